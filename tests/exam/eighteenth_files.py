"""Students' and repositories' files as text: some right, some with one slip."""
from typing import Callable, NamedTuple


class Item(NamedTuple):
    name: str
    style: str
    check: str
    make: Callable
    right: bool
    slip: str = ""
    wrong: tuple = ()
    causes: tuple = ()


ITEMS = []


def _right(name, style, source):
    ITEMS.append(Item(name, style, "file", lambda: dict(source=source), True))


def _wrong(name, style, source, slip, wrong, causes):
    ITEMS.append(Item(name, style, "file", lambda: dict(source=source), False, slip, wrong, causes))


# ---------------------------------------------------------------------------------------------- wrong

_wrong("w01_layernorm_gamma", "CS231n assignment", r'''
import numpy as np


def affine_forward(x, w, b):
    """
    Inputs:
    - x: input data, of shape (N, D)
    - w: weights, of shape (D, M)
    - b: biases, of shape (M,)

    Returns a tuple of:
    - out: output, of shape (N, M)
    - cache: (x, w, b)
    """
    out = x.dot(w) + b
    cache = (x, w, b)
    return out, cache


def affine_backward(dout, cache):
    x, w, b = cache
    dx = dout.dot(w.T)
    dw = x.T.dot(dout)
    db = np.sum(dout, axis=0)
    return dx, dw, db


def relu_forward(x):
    """x: of shape (N, D)"""
    out = np.maximum(0, x)
    return out, x


def relu_backward(dout, cache):
    x = cache
    return dout * (x > 0)


def layernorm_forward(x, gamma, beta, eps=1e-5):
    """
    Normalises every row of x on its own.

    Inputs:
    - x: data of shape (N, D)
    - gamma: scale of shape (D,)
    - beta: shift of shape (D,)
    """
    mu = x.mean(axis=1, keepdims=True)
    var = x.var(axis=1, keepdims=True)
    istd = 1.0 / np.sqrt(var + eps)
    x_hat = (x - mu) * istd
    out = gamma * x_hat + beta
    cache = (x, x_hat, gamma, istd)
    return out, cache


def layernorm_backward(dout, cache):
    x, x_hat, gamma, istd = cache
    dbeta = dout.sum(axis=0)
    dgamma = (dout * x).sum(axis=0)
    dx_hat = dout * gamma
    dx = istd * (dx_hat - dx_hat.mean(axis=1, keepdims=True)
                 - x_hat * (dx_hat * x_hat).mean(axis=1, keepdims=True))
    return dx, dgamma, dbeta
''', "layernorm_backward: dgamma = (dout * x).sum(axis=0) uses the raw x where x_hat belongs: "
       "(dout * x_hat).sum(axis=0).",
       ("layernorm gamma",), ("elementwise-factor", "missing-term"))

_wrong("w02_softmax_with_loss", "deep learning book (from-scratch layer classes)", r'''
import numpy as np


def softmax(x):
    x = x - np.max(x, axis=-1, keepdims=True)
    return np.exp(x) / np.sum(np.exp(x), axis=-1, keepdims=True)


def cross_entropy_error(y, t):
    batch_size = y.shape[0]
    return -np.sum(t * np.log(y + 1e-12)) / batch_size


class Sigmoid:
    def __init__(self):
        self.out = None

    def forward(self, x):
        out = 1.0 / (1.0 + np.exp(-x))
        self.out = out
        return out

    def backward(self, dout):
        dx = dout * (1.0 - self.out) * self.out
        return dx


class Affine:
    def __init__(self, W, b):
        self.W = W
        self.b = b
        self.x = None
        self.dW = None
        self.db = None

    def forward(self, x):
        self.x = x
        return np.dot(x, self.W) + self.b

    def backward(self, dout):
        dx = np.dot(dout, self.W.T)
        self.dW = np.dot(self.x.T, dout)
        self.db = np.sum(dout, axis=0)
        return dx


class SoftmaxWithLoss:
    def __init__(self):
        self.loss = None
        self.y = None   # output of softmax
        self.t = None   # one-hot labels

    def forward(self, x, t):
        self.t = t
        self.y = softmax(x)
        self.loss = cross_entropy_error(self.y, self.t)
        return self.loss

    def backward(self, dout=1):
        dx = dout * (self.y - self.t)
        return dx


_rs = np.random.RandomState(3)
examples = {
    "Sigmoid": {"x": _rs.randn(4, 3)},
    "Affine": {"init": {"W": _rs.randn(5, 3), "b": _rs.randn(3)}, "x": _rs.randn(4, 5)},
    "SoftmaxWithLoss": {"x": _rs.randn(4, 3), "t": np.eye(3)[[0, 2, 1, 2]]},
}
''', "SoftmaxWithLoss.backward: (self.y - self.t) is not divided by the batch size although the loss is a mean: "
       "dout * (self.y - self.t) / batch_size.", ("SoftmaxWithLoss x",), ("factor",))

_wrong("w03_lstm_forget", "Karpathy gist", r'''
"""
A batched LSTM over a sequence, one matrix WLSTM holds bias, input and recurrent weights.
"""
import numpy as np


def lstm_forward(X, WLSTM, c0, h0):
    """
    X is (n, b, input_size), n = length of sequence, b = batch size
    WLSTM is (1 + input_size + d, 4 * d), row 0 is the bias
    c0, h0 are (b, d)
    """
    n, b, input_size = X.shape
    d = WLSTM.shape[1] // 4
    xphpb = WLSTM.shape[0]
    Hin = np.zeros((n, b, xphpb))
    Hout = np.zeros((n, b, d))
    IFOGf = np.zeros((n, b, d * 4))
    C = np.zeros((n, b, d))
    Ct = np.zeros((n, b, d))
    for t in range(n):
        prevh = Hout[t - 1] if t > 0 else h0
        prevc = C[t - 1] if t > 0 else c0
        Hin[t, :, 0] = 1
        Hin[t, :, 1:input_size + 1] = X[t]
        Hin[t, :, input_size + 1:] = prevh
        IFOG = Hin[t].dot(WLSTM)
        IFOGf[t, :, :3 * d] = 1.0 / (1.0 + np.exp(-IFOG[:, :3 * d]))
        IFOGf[t, :, 3 * d:] = np.tanh(IFOG[:, 3 * d:])
        C[t] = IFOGf[t, :, :d] * IFOGf[t, :, 3 * d:] + IFOGf[t, :, d:2 * d] * prevc
        Ct[t] = np.tanh(C[t])
        Hout[t] = IFOGf[t, :, 2 * d:3 * d] * Ct[t]
    cache = (WLSTM, Hout, IFOGf, C, Ct, Hin, c0)
    return Hout, cache


def lstm_backward(dHout_in, cache):
    WLSTM, Hout, IFOGf, C, Ct, Hin, c0 = cache
    n, b, d = Hout.shape
    input_size = WLSTM.shape[0] - d - 1
    dWLSTM = np.zeros(WLSTM.shape)
    dX = np.zeros((n, b, input_size))
    dh0 = np.zeros((b, d))
    dc0 = np.zeros((b, d))
    dC = np.zeros(C.shape)
    dHout = dHout_in.copy()   # will be modified below
    for t in reversed(range(n)):
        dIFOGf = np.zeros((b, 4 * d))
        dIFOG = np.zeros((b, 4 * d))
        dIFOGf[:, 2 * d:3 * d] = Ct[t] * dHout[t]
        dC[t] += (1 - Ct[t] ** 2) * (IFOGf[t, :, 2 * d:3 * d] * dHout[t])
        if t > 0:
            dIFOGf[:, d:2 * d] = C[t] * dC[t]
            dC[t - 1] += IFOGf[t, :, d:2 * d] * dC[t]
        else:
            dIFOGf[:, d:2 * d] = c0 * dC[t]
            dc0 = IFOGf[t, :, d:2 * d] * dC[t]
        dIFOGf[:, :d] = IFOGf[t, :, 3 * d:] * dC[t]
        dIFOGf[:, 3 * d:] = IFOGf[t, :, :d] * dC[t]
        # activations
        dIFOG[:, 3 * d:] = (1 - IFOGf[t, :, 3 * d:] ** 2) * dIFOGf[:, 3 * d:]
        y = IFOGf[t, :, :3 * d]
        dIFOG[:, :3 * d] = (y * (1.0 - y)) * dIFOGf[:, :3 * d]
        # matrix multiply
        dWLSTM += Hin[t].T.dot(dIFOG)
        dHin = dIFOG.dot(WLSTM.T)
        dX[t] = dHin[:, 1:input_size + 1]
        if t > 0:
            dHout[t - 1] += dHin[:, input_size + 1:]
        else:
            dh0 += dHin[:, input_size + 1:]
    return dX, dWLSTM, dc0, dh0


_r = np.random.RandomState(0)
examples = {"lstm": {"X": _r.randn(4, 2, 3), "WLSTM": _r.randn(6, 8) * 0.6, "c0": _r.randn(2, 2),
                     "h0": _r.randn(2, 2)}}
examples["lstm_forward"] = examples["lstm"]
''', "lstm_backward, t > 0: the forget gate gets C[t] * dC[t] where the previous cell belongs: C[t - 1] * dC[t].",
       ("X", "WLSTM", "c0", "h0"), ("elementwise-factor",))

_wrong("w04_conv1d_flip", "CMU 11-785 homework (mytorch)", r'''
import numpy as np


class Tanh:

    def forward(self, Z):
        self.A = np.tanh(Z)
        return self.A

    def backward(self, dLdA):
        return dLdA * (1 - self.A ** 2)


class Conv1d_stride1:

    def __init__(self, in_channels, out_channels, kernel_size):
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = kernel_size

        rng = np.random.RandomState(11785)
        self.W = rng.normal(0, 1.0, (out_channels, in_channels, kernel_size))
        self.b = rng.normal(0, 1.0, out_channels)
        self.dLdW = np.zeros(self.W.shape)
        self.dLdb = np.zeros(self.b.shape)

    def forward(self, A):
        """
        Argument:
            A (np.array): (batch_size, in_channels, input_size)
        Return:
            Z (np.array): (batch_size, out_channels, output_size)
        """
        self.A = A
        output_size = A.shape[2] - self.kernel_size + 1
        Z = np.zeros((A.shape[0], self.out_channels, output_size))
        for i in range(output_size):
            segment = A[:, :, i:i + self.kernel_size]
            Z[:, :, i] = np.tensordot(segment, self.W, axes=([1, 2], [1, 2])) + self.b
        return Z

    def backward(self, dLdZ):
        """
        Argument:
            dLdZ (np.array): (batch_size, out_channels, output_size)
        Return:
            dLdA (np.array): (batch_size, in_channels, input_size)
        """
        batch_size, _, output_size = dLdZ.shape
        self.dLdb = dLdZ.sum(axis=(0, 2))

        self.dLdW = np.zeros(self.W.shape)
        for k in range(self.kernel_size):
            segment = self.A[:, :, k:k + output_size]
            self.dLdW[:, :, k] = np.tensordot(dLdZ, segment, axes=([0, 2], [0, 2]))

        pad = self.kernel_size - 1
        padded = np.pad(dLdZ, ((0, 0), (0, 0), (pad, pad)))
        flipped = self.W
        dLdA = np.zeros(self.A.shape)
        for i in range(self.A.shape[2]):
            segment = padded[:, :, i:i + self.kernel_size]
            dLdA[:, :, i] = np.tensordot(segment, flipped, axes=([1, 2], [0, 2]))
        return dLdA


examples = {
    "Tanh": {"Z": np.random.RandomState(1).randn(3, 4)},
    "Conv1d_stride1": {"init": {"in_channels": 2, "out_channels": 3, "kernel_size": 3},
                       "A": np.random.RandomState(2).randn(2, 2, 6)},
}
''', "Conv1d_stride1.backward: the kernel is not flipped for the full convolution: flipped = self.W[:, :, ::-1].",
       ("Conv1d_stride1 A",), ("transpose",))

_wrong("w05_embedding_repeats", "numpy-ml-like library", r'''
import numpy as np


class LayerBase(object):
    def __init__(self):
        self.X = []
        self.parameters = {}
        self.gradients = {}

    def forward(self, X):
        raise NotImplementedError

    def backward(self, dLdY):
        raise NotImplementedError


class Embedding(LayerBase):
    def __init__(self, n_out, vocab_size):
        """
        An embedding layer.

        Parameters
        ----------
        n_out : int
            The dimensionality of the embeddings
        vocab_size : int
            The total number of items in the vocabulary
        """
        super().__init__()
        rng = np.random.RandomState(7)
        self.parameters = {"W": rng.randn(vocab_size, n_out)}
        self.gradients = {"W": np.zeros((vocab_size, n_out))}

    def forward(self, ids):
        """Look up `ids` of shape (n_ex, n_in), integers; returns (n_ex, n_in, n_out)."""
        self.ids = ids
        return self.parameters["W"][ids]

    def backward(self, dLdY):
        """Sets the gradient of the table; the ids have none."""
        dW = np.zeros_like(self.parameters["W"])
        dW[self.ids] += dLdY
        self.gradients["W"] = dW


class FullyConnected(LayerBase):
    def __init__(self, n_in, n_out):
        super().__init__()
        rng = np.random.RandomState(8)
        self.parameters = {"W": rng.randn(n_in, n_out), "b": rng.randn(1, n_out)}
        self.gradients = {"W": np.zeros((n_in, n_out)), "b": np.zeros((1, n_out))}

    def forward(self, X):
        """X of shape (n_ex, n_in)"""
        self.X = X
        return X @ self.parameters["W"] + self.parameters["b"]

    def backward(self, dLdY):
        self.gradients["W"] = self.X.T @ dLdY
        self.gradients["b"] = dLdY.sum(axis=0, keepdims=True)
        return dLdY @ self.parameters["W"].T


examples = {
    "Embedding": {"init": {"n_out": 3, "vocab_size": 5}, "ids": np.array([[0, 2, 2], [4, 2, 1]])},
    "FullyConnected": {"init": {"n_in": 3, "n_out": 2}, "X": np.random.RandomState(9).randn(4, 3)},
}
''', "Embedding.backward: dW[self.ids] += dLdY counts an id that comes several times only once: "
       "np.add.at(dW, self.ids, dLdY).", ("Embedding W",), ("batch-sum", "missing-term"))

_wrong("w06_leaky_relu_assign", "Neural Networks from Scratch book", r'''
import numpy as np

np.random.seed(0)


# Dense layer
class Layer_Dense:

    # Layer initialization
    def __init__(self, n_inputs, n_neurons):
        self.weights = 0.5 * np.random.randn(n_inputs, n_neurons)
        self.biases = np.zeros((1, n_neurons))

    # Forward pass
    def forward(self, inputs):
        self.inputs = inputs
        self.output = np.dot(inputs, self.weights) + self.biases
        return self.output

    # Backward pass
    def backward(self, dvalues):
        # Gradients on parameters
        self.dweights = np.dot(self.inputs.T, dvalues)
        self.dbiases = np.sum(dvalues, axis=0, keepdims=True)
        # Gradient on values
        self.dinputs = np.dot(dvalues, self.weights.T)
        return self.dinputs


# Leaky ReLU activation
class Activation_LeakyReLU:

    def __init__(self, alpha=0.1):
        self.alpha = alpha

    # Forward pass
    def forward(self, inputs):
        self.inputs = inputs
        self.output = np.where(inputs > 0, inputs, self.alpha * inputs)
        return self.output

    # Backward pass
    def backward(self, dvalues):
        # We modify the variable, so make a copy of the values first
        self.dinputs = dvalues.copy()
        # Slope alpha where input values were negative
        self.dinputs[self.inputs <= 0] = self.alpha
        return self.dinputs


# Sigmoid activation
class Activation_Sigmoid:

    # Forward pass
    def forward(self, inputs):
        self.inputs = inputs
        self.output = 1 / (1 + np.exp(-inputs))
        return self.output

    # Backward pass
    def backward(self, dvalues):
        self.dinputs = dvalues * (1 - self.output) * self.output
        return self.dinputs
''', "Activation_LeakyReLU.backward: self.dinputs[self.inputs <= 0] = self.alpha throws the incoming gradient away: "
       "*= self.alpha.", ("Activation_LeakyReLU inputs",), ("elementwise-factor",))

_wrong("w07_keras_dense_adds", "Keras-like library", r'''
import numpy as np


class Layer:
    """Base of all layers: weights live in self.params, their gradients in self.grads."""

    def __init__(self):
        self.params = {}
        self.grads = {}


class Activation(Layer):
    def __init__(self, name="softplus"):
        super().__init__()
        if name not in ("softplus", "tanh"):
            raise ValueError("unknown activation: %s" % name)
        self.name = name

    def forward(self, inputs):
        self.inputs = inputs
        if self.name == "tanh":
            return np.tanh(inputs)
        return np.logaddexp(0.0, inputs)

    def backward(self, grad):
        if self.name == "tanh":
            return grad * (1.0 - np.tanh(self.inputs) ** 2)
        return grad / (1.0 + np.exp(-self.inputs))


class Dense(Layer):
    def __init__(self, input_dim, units, use_bias=True, seed=42):
        super().__init__()
        rng = np.random.default_rng(seed)
        limit = np.sqrt(6.0 / (input_dim + units))
        self.use_bias = use_bias
        self.params["kernel"] = rng.uniform(-limit, limit, size=(input_dim, units))
        self.grads["kernel"] = np.zeros((input_dim, units))
        if use_bias:
            self.params["bias"] = np.zeros(units)
            self.grads["bias"] = np.zeros(units)

    def forward(self, inputs):
        self.inputs = inputs
        out = inputs @ self.params["kernel"]
        if self.use_bias:
            out = out + self.params["bias"]
        return out

    def backward(self, grad):
        self.grads["kernel"] += self.inputs.T @ grad
        if self.use_bias:
            self.grads["bias"] = grad.sum(axis=0)
        return grad @ self.params["kernel"].T


class SGD:
    def __init__(self, lr=0.01):
        self.lr = lr

    def apply(self, layers):
        for layer in layers:
            for name in layer.params:
                layer.params[name] = layer.params[name] - self.lr * layer.grads[name]


examples = {
    "Activation": {"inputs": np.random.default_rng(1).normal(size=(3, 4))},
    "Dense": {"init": {"input_dim": 4, "units": 3}, "inputs": np.random.default_rng(2).normal(size=(5, 4))},
}
''', "Dense.backward: self.grads['kernel'] += adds to the last step's gradient and nobody clears it: "
       "self.grads['kernel'] = self.inputs.T @ grad.", ("Dense kernel (second backward)",), ("accumulates",))

_wrong("w08_logsumexp_inplace", "PyTorch autograd.Function port", r'''
import numpy as np

# Ports of a few torch.autograd.Function classes; ctx is a plain dict that takes the place of the saved tensors.


def logsumexp_forward(input):
    """input: (N, C) -> (N,)"""
    m = input.max(axis=1, keepdims=True)
    input -= m
    e = np.exp(input)
    s = e.sum(axis=1, keepdims=True)
    ctx = {"softmax": e / s}
    return (m + np.log(s))[:, 0], ctx


def logsumexp_backward(grad_output, ctx):
    return grad_output[:, None] * ctx["softmax"]


def silu_forward(input):
    """input: (N, C) -> (N, C)"""
    sig = 1.0 / (1.0 + np.exp(-input))
    ctx = {"input": input.copy(), "sig": sig}
    return input * sig, ctx


def silu_backward(grad_output, ctx):
    input, sig = ctx["input"], ctx["sig"]
    return grad_output * sig * (1.0 + input * (1.0 - sig))


def linear_forward(input, weight, bias):
    """input: (N, in_features), weight: (out_features, in_features), bias: (out_features,)"""
    ctx = {"input": input, "weight": weight}
    return input @ weight.T + bias, ctx


def linear_backward(grad_output, ctx):
    grad_input = grad_output @ ctx["weight"]
    grad_weight = grad_output.T @ ctx["input"]
    grad_bias = grad_output.sum(0)
    return grad_input, grad_weight, grad_bias


_g = np.random.default_rng(5)
examples = {
    "logsumexp_forward": {"input": _g.normal(size=(3, 4))},
    "silu_forward": {"input": _g.normal(size=(3, 4))},
    "linear_forward": {"input": _g.normal(size=(3, 4)), "weight": _g.normal(size=(2, 4)), "bias": _g.normal(size=2)},
}
for _k in list(examples):
    examples[_k.replace("_forward", "")] = examples[_k]
''', "logsumexp_forward: input -= m shifts the caller's array in place: input = input - m.",
       ("logsumexp input (the caller's array is changed)",), ("mutates-input",))

_wrong("w09_vae_kl_logvar", "research repository (numpy VAE)", r'''
"""Loss terms of the VAE, with their gradients by hand."""
import numpy as np


def bce_with_logits(logits, x):
    """logits, x: (B, D); x in [0, 1]. Returns the reconstruction loss of every example, (B,)."""
    loss = np.maximum(logits, 0) - logits * x + np.log1p(np.exp(-np.abs(logits)))
    return loss.sum(axis=1), (logits, x)


def bce_with_logits_backward(dloss, cache):
    logits, x = cache
    p = 1.0 / (1.0 + np.exp(-logits))
    dlogits = dloss[:, None] * (p - x)
    dx = -dloss[:, None] * logits
    return dlogits, dx


def kl_divergence(mu, logvar):
    """KL(N(mu, exp(logvar)) || N(0, 1)) of every example; mu, logvar: (B, Z) -> (B,)."""
    var = np.exp(logvar)
    kl = -0.5 * np.sum(1 + logvar - mu ** 2 - var, axis=1)
    return kl, (mu, var)


def kl_divergence_backward(dkl, cache):
    mu, var = cache
    dmu = dkl[:, None] * mu
    dlogvar = 0.5 * dkl[:, None] * var
    return dmu, dlogvar


def reparameterize(mu, logvar, eps):
    """mu, logvar, eps: (B, Z)"""
    std = np.exp(0.5 * logvar)
    return mu + std * eps, (std, eps)


def reparameterize_backward(dz, cache):
    std, eps = cache
    return dz, 0.5 * dz * std * eps, dz * std


rng = np.random.RandomState(10)
examples = {
    "bce_with_logits": {"logits": rng.randn(3, 5), "x": rng.rand(3, 5)},
    "kl_divergence": {"mu": rng.randn(3, 2), "logvar": rng.randn(3, 2)},
    "reparameterize": {"mu": rng.randn(3, 2), "logvar": rng.randn(3, 2), "eps": rng.randn(3, 2)},
}
''', "kl_divergence_backward: dlogvar = 0.5 * dkl * var forgets the -1 from the logvar term: 0.5 * dkl * (var - 1).",
       ("kl_divergence logvar",), ("missing-term",))

_wrong("w10_attention_dk", "Transformer in numpy (GPT port)", r'''
import numpy as np


def softmax(s):
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def causal_attention_forward(q, k, v):
    """
    q, k, v: (B, T, d), one head
    returns (B, T, d)
    """
    T, d = q.shape[1], q.shape[2]
    scale = 1.0 / np.sqrt(d)
    att = np.einsum("btd,bsd->bts", q, k) * scale
    future = np.triu(np.ones((T, T), dtype=bool), k=1)
    att = np.where(future, -1e10, att)
    p = softmax(att)
    return p @ v, (q, k, v, p, scale)


def causal_attention_backward(dout, cache):
    q, k, v, p, scale = cache
    dv = np.einsum("bts,btd->bsd", p, dout)
    dp = np.einsum("btd,bsd->bts", dout, v)
    datt = p * (dp - (dp * p).sum(axis=-1, keepdims=True))
    datt = datt * scale
    dq = np.einsum("bts,bsd->btd", datt, k)
    dk = np.einsum("bts,bsd->btd", datt, q)
    return dq, dk, dv


def mlp_forward(x, w_fc, w_proj):
    """x: (B, T, C), w_fc: (C, H), w_proj: (H, C)"""
    a = x @ w_fc
    u = np.sqrt(2.0 / np.pi) * (a + 0.044715 * a ** 3)
    th = np.tanh(u)
    h = 0.5 * a * (1.0 + th)
    return h @ w_proj, (x, w_fc, w_proj, a, th, h)


def mlp_backward(dout, cache):
    x, w_fc, w_proj, a, th, h = cache
    dw_proj = np.einsum("bth,btc->hc", h, dout)
    dh = dout @ w_proj.T
    du = np.sqrt(2.0 / np.pi) * (1.0 + 3 * 0.044715 * a ** 2)
    da = dh * (0.5 * (1.0 + th) + 0.5 * a * (1.0 - th ** 2) * du)
    dw_fc = np.einsum("btc,bth->ch", x, da)
    return da @ w_fc.T, dw_fc, dw_proj


r = np.random.default_rng(1337)
examples = {
    "causal_attention_forward": {n: r.normal(size=(2, 4, 3)) for n in "qkv"},
    "mlp_forward": {"x": r.normal(size=(2, 3, 4)), "w_fc": r.normal(size=(4, 6)), "w_proj": r.normal(size=(6, 4))},
}
examples["causal_attention"] = examples["causal_attention_forward"]
examples["mlp"] = examples["mlp_forward"]
''', "causal_attention_backward: dk sums datt over its second index, as dq does: np.einsum('bts,btd->bsd', datt, q), "
       "that is datt^T q.", ("causal_attention k",), ("transpose",))

_wrong("w11_column_bias", "deeplearning.ai assignment", r'''
import numpy as np


def linear_forward(A, W, b):
    """
    Arguments:
    A -- activations from previous layer, (size of previous layer, number of examples)
    W -- weights matrix, numpy array of shape (size of current layer, size of previous layer)
    b -- bias vector, numpy array of shape (size of the current layer, 1)

    Returns:
    Z -- the input of the activation function, (size of current layer, number of examples)
    cache -- a tuple containing A, W and b
    """
    Z = W @ A + b
    cache = (A, W, b)
    return Z, cache


def linear_backward(dZ, cache):
    """
    Arguments:
    dZ -- gradient of the cost with respect to the linear output (the 1/m is already in it)
    """
    A_prev, W, b = cache
    dW = np.dot(dZ, A_prev.T)
    db = np.sum(dZ, axis=0, keepdims=True)
    dA_prev = np.dot(W.T, dZ)
    return dA_prev, dW, db


def sigmoid_forward(Z):
    A = 1 / (1 + np.exp(-Z))
    return A, A


def sigmoid_backward(dA, cache):
    s = cache
    return dA * s * (1 - s)


def compute_cost_forward(AL, Y):
    """
    AL -- probabilities, shape (1, number of examples)
    Y -- labels (0 or 1), shape (1, number of examples)
    """
    m = Y.shape[1]
    cost = -(1. / m) * np.sum(Y * np.log(AL) + (1 - Y) * np.log(1 - AL))
    return float(cost), (AL, Y)


def compute_cost_backward(dcost, cache):
    AL, Y = cache
    m = Y.shape[1]
    dAL = -dcost / m * (np.divide(Y, AL) - np.divide(1 - Y, 1 - AL))
    return {"AL": dAL}


np.random.seed(1)
examples = {
    "linear_forward": {"A": np.random.randn(3, 5), "W": np.random.randn(4, 3), "b": np.random.randn(4, 1)},
    "sigmoid_forward": {"Z": np.random.randn(2, 4)},
    "compute_cost_forward": {"AL": np.array([[0.8, 0.3, 0.6]]), "Y": np.array([[1, 0, 0]])},
}
for key in list(examples):
    examples[key[:-len("_forward")]] = examples[key]
''', "linear_backward: db = np.sum(dZ, axis=0, keepdims=True) sums over the units, examples are columns: axis=1.",
       ("linear b",), ("shape",))

_wrong("w12_sage_self_path", "research repository (graph neural networks)", r'''
import numpy as np


def glorot(rng, shape):
    init_range = np.sqrt(6.0 / (shape[0] + shape[1]))
    return rng.uniform(-init_range, init_range, size=shape)


class SAGEConv:
    """h' = x W_self + mean of the neighbours' x W_neigh + b, the graph is the same all the time."""

    def __init__(self, adj, in_feats, out_feats, seed=123):
        rng = np.random.default_rng(seed)
        degree = np.maximum(adj.sum(axis=1, keepdims=True), 1.0)
        self.norm_adj = adj / degree          # (nodes, nodes), rows sum to one
        self.W_self = glorot(rng, (in_feats, out_feats))
        self.W_neigh = glorot(rng, (in_feats, out_feats))
        self.b = np.zeros(out_feats)

    def forward(self, x):
        """x: (nodes, in_feats)"""
        self.x = x
        self.agg = self.norm_adj @ x
        return x @ self.W_self + self.agg @ self.W_neigh + self.b

    def backward(self, grad):
        self.grad_W_self = self.x.T @ grad
        self.grad_W_neigh = self.agg.T @ grad
        self.grad_b = grad.sum(axis=0)
        grad_agg = grad @ self.W_neigh.T
        grad_x = self.norm_adj.T @ grad_agg
        return grad_x


class ELU:
    def __init__(self, alpha=1.0):
        self.alpha = alpha

    def forward(self, x):
        self.x = x
        self.out = np.where(x > 0, x, self.alpha * np.expm1(np.minimum(x, 0.0)))
        return self.out

    def backward(self, grad):
        return grad * np.where(self.x > 0, 1.0, self.out + self.alpha)


class MeanReadout:
    def forward(self, x):
        self.nodes = x.shape[0]
        return x.mean(axis=0)

    def backward(self, grad):
        return np.repeat(grad[None, :], self.nodes, axis=0) / self.nodes


_adj = np.array([[0, 1, 1, 0], [1, 0, 0, 0], [0, 1, 0, 1], [1, 1, 0, 0]], dtype=float)
_x = np.random.default_rng(4).normal(size=(4, 3))
examples = {
    "SAGEConv": {"init": {"adj": _adj, "in_feats": 3, "out_feats": 2}, "x": _x},
    "ELU": {"x": _x},
    "MeanReadout": {"x": _x},
}
''', "SAGEConv.backward: the path through W_self is forgotten in grad_x: + grad @ self.W_self.T.",
       ("SAGEConv x",), ("missing-term",))

_wrong("w13_logistic_loc", "JAX/TFP port", r'''
"""Location-scale log densities, after tensorflow_probability's jax substrate; gradients written out."""
import numpy as np


def _unbroadcast(g, shape):
    while g.ndim > len(shape):
        g = g.sum(axis=0)
    for axis, n in enumerate(shape):
        if n == 1 and g.shape[axis] != 1:
            g = g.sum(axis=axis, keepdims=True)
    return g


def gumbel_log_prob(value, loc, scale):
    """value: (N, D), loc and scale: (D,), scale > 0; returns (N, D)."""
    z = (value - loc) / scale
    return -(z + np.exp(-z)) - np.log(scale), (z, loc, scale)


def gumbel_log_prob_backward(dlogp, cache):
    z, loc, scale = cache
    dz = dlogp * (np.exp(-z) - 1.0)
    dvalue = dz / scale
    dloc = _unbroadcast(-dz / scale, loc.shape)
    dscale = _unbroadcast(-dz * z / scale - dlogp / scale, scale.shape)
    return {"value": dvalue, "loc": dloc, "scale": dscale}


def logistic_log_prob(value, loc, scale):
    """value: (N, D), loc and scale: (D,), scale > 0; returns (N, D)."""
    z = (value - loc) / scale
    return -z - 2.0 * np.logaddexp(0.0, -z) - np.log(scale), (z, loc, scale)


def logistic_log_prob_backward(dlogp, cache):
    z, loc, scale = cache
    dz = -dlogp * np.tanh(0.5 * z)
    dvalue = dz / scale
    dloc = _unbroadcast(dz / scale, loc.shape)
    dscale = _unbroadcast(-dz * z / scale - dlogp / scale, scale.shape)
    return {"value": dvalue, "loc": dloc, "scale": dscale}


_rng = np.random.default_rng(2021)
examples = {
    name: {"value": _rng.normal(size=(4, 3)), "loc": _rng.normal(size=3), "scale": _rng.uniform(0.5, 2.0, size=3)}
    for name in ("gumbel_log_prob", "logistic_log_prob")
}
''', "logistic_log_prob_backward: dloc = sum(dz / scale) lacks the minus of z = (value - loc) / scale: -dz / scale.",
       ("logistic_log_prob loc",), ("sign",))

_wrong("w14_coupling_out_copy", "research repository (normalizing flows)", r'''
import numpy as np


class ActNorm:
    def __init__(self, dim):
        rng = np.random.default_rng(dim)
        self.params = {"logs": 0.3 * rng.standard_normal(dim), "bias": rng.standard_normal(dim)}
        self.grads = {}

    def forward(self, x):
        """x: (batch, dim)"""
        self.x = x
        return (x + self.params["bias"]) * np.exp(self.params["logs"])

    def backward(self, dy):
        scale = np.exp(self.params["logs"])
        self.grads["bias"] = (dy * scale).sum(0)
        self.grads["logs"] = (dy * scale * (self.x + self.params["bias"])).sum(0)
        return dy * scale


class AffineCoupling:
    """Every second column is kept, the others are scaled and shifted by a small net of the kept ones."""

    def __init__(self, dim, hidden, seed=0):
        rng = np.random.default_rng(seed)
        self.keep = np.arange(0, dim, 2)
        self.move = np.arange(1, dim, 2)
        n, m = len(self.keep), len(self.move)
        self.params = {
            "W1": rng.standard_normal((n, hidden)), "b1": np.zeros(hidden),
            "Ws": 0.5 * rng.standard_normal((hidden, m)), "bs": np.zeros(m),
            "Wt": 0.5 * rng.standard_normal((hidden, m)), "bt": np.zeros(m),
        }
        self.grads = {}

    def forward(self, x):
        """x: (batch, dim)"""
        p = self.params
        self.xa, self.xb = x[:, self.keep], x[:, self.move]
        self.h = np.tanh(self.xa @ p["W1"] + p["b1"])
        self.s = np.tanh(self.h @ p["Ws"] + p["bs"])
        self.t = self.h @ p["Wt"] + p["bt"]
        y = np.empty_like(x)
        y[:, self.keep] = self.xa
        y[:, self.move] = self.xb * np.exp(self.s) + self.t
        return y

    def backward(self, dy):
        p, g = self.params, self.grads
        dya, dyb = dy[:, self.keep], dy[:, self.move]
        es = np.exp(self.s)
        da = dyb * self.xb * es * (1.0 - self.s ** 2)
        g["Ws"], g["bs"] = self.h.T @ da, da.sum(0)
        g["Wt"], g["bt"] = self.h.T @ dyb, dyb.sum(0)
        dh = da @ p["Ws"].T + dyb @ p["Wt"].T
        du = dh * (1.0 - self.h ** 2)
        g["W1"], g["b1"] = self.xa.T @ du, du.sum(0)
        dx = np.zeros_like(dy)
        dx[:, self.keep] = dya + du @ p["W1"].T
        np.multiply(dyb, es, out=dx[:, self.move])
        return dx


examples = {
    "ActNorm": {"init": {"dim": 4}, "x": np.random.default_rng(1).standard_normal((3, 4))},
    "AffineCoupling": {"init": {"dim": 4, "hidden": 5}, "x": np.random.default_rng(2).standard_normal((3, 4))},
}
''', "AffineCoupling.backward: out=dx[:, self.move] is a copy (an index array), so these columns of dx stay zero: "
       "dx[:, self.move] = dyb * es.", ("AffineCoupling x",), ("zero", "missing-term"))

_wrong("w15_avgpool_overlap", "university homework (CNN from scratch)", r'''
import numpy as np


class Flatten:
    """Flattens everything but the batch."""

    def forward(self, x):
        self.shape = x.shape
        return x.reshape(x.shape[0], -1)

    def backward(self, dout):
        return dout.reshape(self.shape)


class AvgPool2D:
    """
    Average pooling.

    x: (N, C, H, W); windows of pool_size x pool_size, moved by stride.
    """

    def __init__(self, pool_size=3, stride=2):
        self.k = pool_size
        self.s = stride
        self.x_shape = None

    def forward(self, x):
        n, c, h, w = x.shape
        self.x_shape = x.shape
        oh = (h - self.k) // self.s + 1
        ow = (w - self.k) // self.s + 1
        out = np.zeros((n, c, oh, ow))
        for i in range(oh):
            for j in range(ow):
                r, q = i * self.s, j * self.s
                out[:, :, i, j] = x[:, :, r:r + self.k, q:q + self.k].mean(axis=(2, 3))
        return out

    def backward(self, dout):
        dx = np.zeros(self.x_shape)
        _, _, oh, ow = dout.shape
        for i in range(oh):
            for j in range(ow):
                r, q = i * self.s, j * self.s
                dx[:, :, r:r + self.k, q:q + self.k] = dout[:, :, i:i + 1, j:j + 1] / (self.k * self.k)
        return dx


examples = {
    "Flatten": {"x": np.random.RandomState(0).randn(2, 2, 3, 3)},
    "AvgPool2D": {"init": {"pool_size": 3, "stride": 2}, "x": np.random.RandomState(1).randn(2, 2, 5, 5)},
}
''', "AvgPool2D.backward: dx[window] = ... overwrites what overlapping windows have put there: +=.",
       ("AvgPool2D x",), ("missing-term",))

_wrong("w16_infonce_temperature", "research repository (contrastive learning)", r'''
import numpy as np


class L2Normalize:
    def __init__(self, eps=1e-8):
        self.eps = eps

    def forward(self, z):
        """z: (B, D), every row is brought to length one"""
        self.norm = np.sqrt((z ** 2).sum(axis=1, keepdims=True) + self.eps)
        self.u = z / self.norm
        return self.u

    def backward(self, du):
        radial = (du * self.u).sum(axis=1, keepdims=True)
        return (du - self.u * radial) / self.norm


class InfoNCE:
    """Row i of `a` belongs to row i of `b`, all other rows of `b` are negatives."""

    def __init__(self, temperature=0.2):
        self.temperature = temperature

    def forward(self, a, b):
        """a, b: (B, D)"""
        self.a, self.b = a, b
        logits = a @ b.T / self.temperature
        logits = logits - logits.max(axis=1, keepdims=True)
        self.prob = np.exp(logits)
        self.prob /= self.prob.sum(axis=1, keepdims=True)
        return -np.mean(np.log(np.diag(self.prob)))

    def backward(self, grad=1.0):
        n = self.a.shape[0]
        dsim = grad * (self.prob - np.eye(n)) / n
        return dsim @ self.b, dsim.T @ self.a


class NTXent:
    """Symmetric loss of two views, rows of length one."""

    def __init__(self, temperature=0.5):
        self.temperature = temperature

    def forward(self, a, b):
        """a, b: (B, D)"""
        n = a.shape[0]
        self.h = np.concatenate([a, b], axis=0)
        sim = self.h @ self.h.T / self.temperature
        np.fill_diagonal(sim, -1e9)
        self.pos = np.concatenate([np.arange(n, 2 * n), np.arange(n)])
        m = sim.max(axis=1, keepdims=True)
        lse = m[:, 0] + np.log(np.exp(sim - m).sum(axis=1))
        self.prob = np.exp(sim - lse[:, None])
        return np.mean(lse - sim[np.arange(2 * n), self.pos])

    def backward(self, grad=1.0):
        n2 = self.h.shape[0]
        dsim = self.prob.copy()
        dsim[np.arange(n2), self.pos] -= 1.0
        dsim *= grad / (n2 * self.temperature)
        dh = (dsim + dsim.T) @ self.h
        return dh[:n2 // 2], dh[n2 // 2:]


_rng = np.random.RandomState(42)
examples = {
    "L2Normalize": {"z": _rng.randn(3, 4)},
    "InfoNCE": {"a": _rng.randn(3, 4) * 0.5, "b": _rng.randn(3, 4) * 0.5},
    "NTXent": {"a": _rng.randn(3, 4) * 0.5, "b": _rng.randn(3, 4) * 0.5},
}
''', "InfoNCE.backward: dsim is not divided by the temperature: grad * (prob - eye) / (n * self.temperature).",
       ("InfoNCE a", "InfoNCE b"), ("factor",))

_wrong("w17_vib_new_eps", "research repository (variational information bottleneck)", r'''
import numpy as np


def encode(x, W, b):
    """x: (B, D), W: (D, 2 * Z), b: (2 * Z,); first half of the output is the mean, second half the raw scale."""
    return x @ W + b, (x, W)


def encode_backward(dout, cache):
    x, W = cache
    return dout @ W.T, x.T @ dout, dout.sum(axis=0)


def bottleneck(stats, eps):
    """
    stats: (B, 2 * Z), mean and raw scale side by side
    eps: (B, Z), standard normal noise
    returns z = mean + softplus(raw - 1) * eps, (B, Z)
    """
    Z = stats.shape[1] // 2
    mean, raw = stats[:, :Z], stats[:, Z:]
    sigma = np.logaddexp(0.0, raw - 1.0)
    return mean + sigma * eps, (raw, sigma, eps)


def bottleneck_backward(dz, cache):
    raw, sigma, eps = cache
    eps = np.random.randn(*dz.shape)
    dsigma = dz * eps
    draw = dsigma / (1.0 + np.exp(1.0 - raw))
    return {"stats": np.concatenate([dz, draw], axis=1), "eps": dz * sigma}


def classifier_loss(z, V, labels):
    """z: (B, Z), V: (Z, K), labels: (B,) integers; mean cross entropy in nats"""
    logits = z @ V
    logits = logits - logits.max(axis=1, keepdims=True)
    logp = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    rows = np.arange(len(labels))
    return -logp[rows, labels].mean(), (z, V, labels, logp)


def classifier_loss_backward(dloss, cache):
    z, V, labels, logp = cache
    g = np.exp(logp)
    g[np.arange(len(labels)), labels] -= 1.0
    g *= dloss / len(labels)
    return {"z": g @ V.T, "V": z.T @ g}


_r = np.random.RandomState(0)
examples = {
    "encode": {"x": _r.randn(4, 3), "W": _r.randn(3, 4), "b": _r.randn(4)},
    "bottleneck": {"stats": _r.randn(4, 4), "eps": _r.randn(4, 2)},
    "classifier_loss": {"z": _r.randn(4, 2), "V": _r.randn(2, 3), "labels": np.array([0, 2, 1, 1])},
}
''', "bottleneck_backward: eps is drawn anew with np.random.randn where the forward's eps from the cache belongs: "
       "dsigma = dz * eps (without the redraw).", ("bottleneck stats",), ("noise-redrawn", "elementwise-factor"))

_wrong("w18_rnn_first_step", "small framework (blog post series)", r'''
import numpy as np


class RNN:
    """Elman network that returns all hidden states, starts from zeros."""

    def __init__(self, n_in, n_hidden):
        rng = np.random.RandomState(n_in * 10 + n_hidden)
        self.Wx = rng.randn(n_in, n_hidden) / np.sqrt(n_in)
        self.Wh = rng.randn(n_hidden, n_hidden) / np.sqrt(n_hidden)
        self.b = np.zeros(n_hidden)
        self.grads = {}

    def forward(self, x):
        """x: (batch, time, n_in) -> (batch, time, n_hidden)"""
        batch, time, _ = x.shape
        self.x = x
        self.h = np.zeros((batch, time + 1, self.b.size))   # h[:, t + 1] is the state after step t
        for t in range(time):
            self.h[:, t + 1] = np.tanh(x[:, t] @ self.Wx + self.h[:, t] @ self.Wh + self.b)
        return self.h[:, 1:].copy()

    def backward(self, dh_all):
        self.grads = {"Wx": np.zeros_like(self.Wx), "Wh": np.zeros_like(self.Wh), "b": np.zeros_like(self.b)}
        dx = np.zeros_like(self.x)
        dh_next = np.zeros_like(self.h[:, 0])
        for t in range(self.x.shape[1] - 1, 0, -1):
            dh = dh_all[:, t] + dh_next
            da = dh * (1.0 - self.h[:, t + 1] ** 2)
            self.grads["Wx"] += self.x[:, t].T @ da
            self.grads["Wh"] += self.h[:, t].T @ da
            self.grads["b"] += da.sum(axis=0)
            dx[:, t] = da @ self.Wx.T
            dh_next = da @ self.Wh.T
        return dx


class TimeDense:
    """The same dense layer at every time step."""

    def __init__(self, n_in, n_out):
        rng = np.random.RandomState(n_in * 10 + n_out)
        self.W = rng.randn(n_in, n_out) / np.sqrt(n_in)
        self.b = np.zeros(n_out)
        self.grads = {}

    def forward(self, x):
        """x: (batch, time, n_in)"""
        self.x = x
        return x @ self.W + self.b

    def backward(self, dy):
        flat_x = self.x.reshape(-1, self.x.shape[-1])
        flat_dy = dy.reshape(-1, dy.shape[-1])
        self.grads = {"W": flat_x.T @ flat_dy, "b": flat_dy.sum(axis=0)}
        return dy @ self.W.T


examples = {
    "RNN": {"init": {"n_in": 2, "n_hidden": 3}, "x": np.random.RandomState(6).randn(2, 4, 2)},
    "TimeDense": {"init": {"n_in": 3, "n_out": 2}, "x": np.random.RandomState(7).randn(2, 4, 3)},
}
''', "RNN.backward: the loop over time stops at t = 1 and leaves step 0 out: range(T - 1, -1, -1).",
       ("RNN x", "RNN Wx", "RNN b"), ("missing-term", "batch-sum", "zero"))

# ---------------------------------------------------------------------------------------------- right

_right("r01_batchnorm_alt", "CS231n assignment", r'''
import numpy as np


def batchnorm_forward(x, gamma, beta, eps=1e-5):
    """
    Batch normalization in training mode.

    Inputs:
    - x: Data of shape (N, D)
    - gamma: Scale parameter of shape (D,)
    - beta: Shift parameter of shape (D,)
    """
    mu = x.mean(axis=0)
    std = np.sqrt(x.var(axis=0) + eps)
    x_hat = (x - mu) / std
    return gamma * x_hat + beta, (x_hat, gamma, std)


def batchnorm_backward(dout, cache):
    x_hat, gamma, std = cache
    N = dout.shape[0]
    dbeta = dout.sum(axis=0)
    dgamma = np.sum(dout * x_hat, axis=0)
    dx = gamma / (N * std) * (N * dout - dbeta - x_hat * dgamma)
    return dx, dgamma, dbeta


def svm_loss(x, y):
    """
    Inputs:
    - x: scores, of shape (N, C)
    - y: labels, of shape (N,), 0 <= y[i] < C

    Returns the mean multiclass hinge loss and a cache.
    """
    N = x.shape[0]
    correct = x[np.arange(N), y]
    margins = np.maximum(0, x - correct[:, None] + 1.0)
    margins[np.arange(N), y] = 0
    return np.sum(margins) / N, (margins, y)


def svm_loss_backward(dout, cache):
    margins, y = cache
    N = margins.shape[0]
    dx = np.zeros_like(margins)
    dx[margins > 0] = 1
    dx[np.arange(N), y] -= np.sum(margins > 0, axis=1)
    return {"x": dout * dx / N}


_np = np.random.RandomState(231)
examples = {
    "batchnorm_forward": {"x": _np.randn(5, 3), "gamma": _np.randn(3), "beta": _np.randn(3)},
    "svm_loss": {"x": _np.randn(4, 3), "y": np.array([2, 0, 1, 1])},
}
examples["batchnorm"] = examples["batchnorm_forward"]
''')

_right("r02_char_rnn", "Karpathy gist", r'''
"""
Minimal vanilla RNN, one hot inputs, loss over a sequence (after min-char-rnn).
"""
import numpy as np


def rnn_loss(Wxh, Whh, Why, bh, by, hprev, inputs, targets):
    """
    Wxh (H, V), Whh (H, H), Why (V, H), bh (H, 1), by (V, 1), hprev (H, 1)
    inputs, targets: lists of integers
    """
    xs, hs, ps = {}, {}, {}
    hs[-1] = np.copy(hprev)
    loss = 0
    for t in range(len(inputs)):
        xs[t] = np.zeros((Wxh.shape[1], 1))
        xs[t][inputs[t]] = 1
        hs[t] = np.tanh(np.dot(Wxh, xs[t]) + np.dot(Whh, hs[t - 1]) + bh)
        y = np.dot(Why, hs[t]) + by
        ps[t] = np.exp(y) / np.sum(np.exp(y))
        loss += -np.log(ps[t][targets[t], 0])
    return loss, (xs, hs, ps, targets, Wxh, Whh, Why)


def rnn_loss_backward(dloss, cache):
    xs, hs, ps, targets, Wxh, Whh, Why = cache
    dWxh, dWhh, dWhy = np.zeros_like(Wxh), np.zeros_like(Whh), np.zeros_like(Why)
    dbh, dby = np.zeros((Whh.shape[0], 1)), np.zeros((Why.shape[0], 1))
    dhnext = np.zeros((Whh.shape[0], 1))
    for t in reversed(range(len(targets))):
        dy = np.copy(ps[t])
        dy[targets[t]] -= 1
        dy *= dloss
        dWhy += np.dot(dy, hs[t].T)
        dby += dy
        dh = np.dot(Why.T, dy) + dhnext
        dhraw = (1 - hs[t] * hs[t]) * dh
        dbh += dhraw
        dWxh += np.dot(dhraw, xs[t].T)
        dWhh += np.dot(dhraw, hs[t - 1].T)
        dhnext = np.dot(Whh.T, dhraw)
    return {"Wxh": dWxh, "Whh": dWhh, "Why": dWhy, "bh": dbh, "by": dby, "hprev": dhnext}


_r = np.random.RandomState(5)
examples = {"rnn_loss": {"Wxh": _r.randn(3, 4), "Whh": _r.randn(3, 3), "Why": _r.randn(4, 3), "bh": _r.randn(3, 1),
                         "by": _r.randn(4, 1), "hprev": _r.randn(3, 1), "inputs": [0, 2, 3, 2],
                         "targets": [2, 3, 2, 1]}}
''')

_right("r03_im2col_conv", "deep learning book (from-scratch layer classes)", r'''
import numpy as np


def im2col(x, fh, fw, stride=1, pad=0):
    n, c, h, w = x.shape
    oh = (h + 2 * pad - fh) // stride + 1
    ow = (w + 2 * pad - fw) // stride + 1
    img = np.pad(x, [(0, 0), (0, 0), (pad, pad), (pad, pad)], "constant")
    col = np.zeros((n, c, fh, fw, oh, ow))
    for i in range(fh):
        for j in range(fw):
            col[:, :, i, j] = img[:, :, i:i + stride * oh:stride, j:j + stride * ow:stride]
    return col.transpose(0, 4, 5, 1, 2, 3).reshape(n * oh * ow, -1)


def col2im(col, shape, fh, fw, stride=1, pad=0):
    n, c, h, w = shape
    oh = (h + 2 * pad - fh) // stride + 1
    ow = (w + 2 * pad - fw) // stride + 1
    col = col.reshape(n, oh, ow, c, fh, fw).transpose(0, 3, 4, 5, 1, 2)
    img = np.zeros((n, c, h + 2 * pad + stride - 1, w + 2 * pad + stride - 1))
    for i in range(fh):
        for j in range(fw):
            img[:, :, i:i + stride * oh:stride, j:j + stride * ow:stride] += col[:, :, i, j]
    return img[:, :, pad:h + pad, pad:w + pad]


class Convolution:
    def __init__(self, W, b, stride=1, pad=0):
        self.W, self.b = W, b
        self.stride, self.pad = stride, pad
        self.dW, self.db = None, None

    def forward(self, x):
        FN, C, FH, FW = self.W.shape
        N, C, H, W = x.shape
        out_h = 1 + (H + 2 * self.pad - FH) // self.stride
        out_w = 1 + (W + 2 * self.pad - FW) // self.stride
        self.col = im2col(x, FH, FW, self.stride, self.pad)
        self.col_W = self.W.reshape(FN, -1).T
        out = np.dot(self.col, self.col_W) + self.b
        self.x_shape = x.shape
        return out.reshape(N, out_h, out_w, -1).transpose(0, 3, 1, 2)

    def backward(self, dout):
        FN, C, FH, FW = self.W.shape
        dout = dout.transpose(0, 2, 3, 1).reshape(-1, FN)
        self.db = np.sum(dout, axis=0)
        self.dW = np.dot(self.col.T, dout).transpose(1, 0).reshape(FN, C, FH, FW)
        dcol = np.dot(dout, self.col_W.T)
        return col2im(dcol, self.x_shape, FH, FW, self.stride, self.pad)


class Pooling:
    def __init__(self, pool_h, pool_w, stride=2):
        self.pool_h, self.pool_w, self.stride = pool_h, pool_w, stride

    def forward(self, x):
        N, C, H, W = x.shape
        out_h = 1 + (H - self.pool_h) // self.stride
        out_w = 1 + (W - self.pool_w) // self.stride
        col = im2col(x, self.pool_h, self.pool_w, self.stride).reshape(-1, self.pool_h * self.pool_w)
        self.x_shape = x.shape
        self.arg_max = np.argmax(col, axis=1)
        return np.max(col, axis=1).reshape(N, out_h, out_w, C).transpose(0, 3, 1, 2)

    def backward(self, dout):
        dout = dout.transpose(0, 2, 3, 1)
        size = self.pool_h * self.pool_w
        dmax = np.zeros((dout.size, size))
        dmax[np.arange(self.arg_max.size), self.arg_max] = dout.flatten()
        dcol = dmax.reshape(dout.shape[0] * dout.shape[1] * dout.shape[2], -1)
        return col2im(dcol, self.x_shape, self.pool_h, self.pool_w, self.stride)


_rs = np.random.RandomState(0)
examples = {
    "Convolution": {"init": {"W": _rs.randn(2, 2, 3, 3), "b": _rs.randn(2), "stride": 2, "pad": 1},
                    "x": _rs.randn(2, 2, 5, 5)},
    "Pooling": {"init": {"pool_h": 2, "pool_w": 2, "stride": 2}, "x": _rs.randn(2, 2, 4, 4)},
}
''')

_right("r04_softmax_jacobian", "Neural Networks from Scratch book", r'''
import numpy as np

np.random.seed(0)


# Dense layer
class Layer_Dense:

    def __init__(self, n_inputs, n_neurons, weight_regularizer_l2=0):
        self.weights = 0.5 * np.random.randn(n_inputs, n_neurons)
        self.biases = np.zeros((1, n_neurons))
        self.weight_regularizer_l2 = weight_regularizer_l2

    def forward(self, inputs):
        self.inputs = inputs
        self.output = np.dot(inputs, self.weights) + self.biases
        return self.output

    def backward(self, dvalues):
        self.dweights = np.dot(self.inputs.T, dvalues)
        self.dbiases = np.sum(dvalues, axis=0, keepdims=True)
        # Gradients on regularization
        if self.weight_regularizer_l2 > 0:
            self.dweights += 2 * self.weight_regularizer_l2 * self.weights
        self.dinputs = np.dot(dvalues, self.weights.T)
        return self.dinputs


# ReLU activation
class Activation_ReLU:

    def forward(self, inputs):
        self.inputs = inputs
        self.output = np.maximum(0, inputs)
        return self.output

    def backward(self, dvalues):
        self.dinputs = dvalues.copy()
        self.dinputs[self.inputs <= 0] = 0
        return self.dinputs


# Softmax activation
class Activation_Softmax:

    def forward(self, inputs):
        self.inputs = inputs
        exp_values = np.exp(inputs - np.max(inputs, axis=1, keepdims=True))
        self.output = exp_values / np.sum(exp_values, axis=1, keepdims=True)
        return self.output

    def backward(self, dvalues):
        self.dinputs = np.empty_like(dvalues)
        # Enumerate outputs and gradients
        for index, (single_output, single_dvalues) in enumerate(zip(self.output, dvalues)):
            single_output = single_output.reshape(-1, 1)
            jacobian_matrix = np.diagflat(single_output) - np.dot(single_output, single_output.T)
            self.dinputs[index] = np.dot(jacobian_matrix, single_dvalues)
        return self.dinputs


examples = {
    "Layer_Dense": {"init": {"n_inputs": 3, "n_neurons": 4}, "inputs": np.random.randn(5, 3)},
    "Activation_ReLU": {"inputs": np.random.randn(4, 3)},
    "Activation_Softmax": {"inputs": np.random.randn(4, 3)},
}
''')

_right("r05_highway", "numpy-ml-like library", r'''
import numpy as np


class LayerBase(object):
    def __init__(self):
        self.parameters = {}
        self.gradients = {}
        self.derived_variables = {}

    def forward(self, X):
        raise NotImplementedError

    def backward(self, dLdY):
        raise NotImplementedError


class Highway(LayerBase):
    def __init__(self, n_in):
        """
        y = g * tanh(X Wh + bh) + (1 - g) * X  with the gate  g = sigmoid(X Wg + bg)

        Parameters
        ----------
        n_in : int
            The number of columns of the input and of the output
        """
        super().__init__()
        rng = np.random.RandomState(n_in)
        self.parameters = {
            "Wh": rng.randn(n_in, n_in), "bh": rng.randn(1, n_in),
            "Wg": rng.randn(n_in, n_in), "bg": -np.ones((1, n_in)),
        }
        self.gradients = {k: np.zeros_like(v) for k, v in self.parameters.items()}

    def forward(self, X):
        """X of shape (n_ex, n_in)"""
        P = self.parameters
        h = np.tanh(X @ P["Wh"] + P["bh"])
        g = 1 / (1 + np.exp(-(X @ P["Wg"] + P["bg"])))
        self.derived_variables = {"X": X, "h": h, "g": g}
        return X + g * (h - X)

    def backward(self, dLdY):
        X, h, g = (self.derived_variables[k] for k in ("X", "h", "g"))
        dG = dLdY * (h - X) * (g - g ** 2)
        dH = dLdY * g * (1 - h ** 2)
        self.gradients["Wh"] = X.T @ dH
        self.gradients["bh"] = dH.sum(axis=0, keepdims=True)
        self.gradients["Wg"] = X.T @ dG
        self.gradients["bg"] = dG.sum(axis=0, keepdims=True)
        dX = dH @ self.parameters["Wh"].T + dG @ self.parameters["Wg"].T
        dX += dLdY * (1 - g)
        return dX


class Maxout(LayerBase):
    def __init__(self, n_in, n_out, pieces):
        super().__init__()
        rng = np.random.RandomState(n_in + n_out)
        self.parameters = {"W": rng.randn(pieces, n_in, n_out), "b": rng.randn(pieces, n_out)}

    def forward(self, X):
        """X of shape (n_ex, n_in)"""
        Z = np.einsum("ni,pio->pno", X, self.parameters["W"]) + self.parameters["b"][:, None, :]
        self.derived_variables = {"X": X, "winner": Z == Z.max(axis=0)}
        return Z.max(axis=0)

    def backward(self, dLdY):
        dZ = self.derived_variables["winner"] * dLdY
        self.gradients["W"] = np.einsum("ni,pno->pio", self.derived_variables["X"], dZ)
        self.gradients["b"] = dZ.sum(axis=1)
        return np.einsum("pno,pio->ni", dZ, self.parameters["W"])


examples = {
    "Highway": {"init": {"n_in": 3}, "X": np.random.RandomState(1).randn(4, 3)},
    "Maxout": {"init": {"n_in": 3, "n_out": 2, "pieces": 3}, "X": np.random.RandomState(2).randn(4, 3)},
}
''')

_right("r06_autograd_ports", "PyTorch autograd.Function port", r'''
import numpy as np
from scipy.special import erf


def gelu_forward(input):
    """input: (N, C) -> (N, C), the exact one with erf"""
    cdf = 0.5 * (1.0 + erf(input / np.sqrt(2.0)))
    ctx = {"input": input, "cdf": cdf}
    return input * cdf, ctx


def gelu_backward(grad_output, ctx):
    x = ctx["input"]
    pdf = np.exp(-0.5 * x * x) / np.sqrt(2.0 * np.pi)
    return grad_output * (ctx["cdf"] + x * pdf)


def bilinear_forward(input1, input2, weight, bias):
    """input1: (N, I), input2: (N, J), weight: (O, I, J), bias: (O,) -> (N, O)"""
    ctx = {"saved_tensors": (input1, input2, weight)}
    return np.einsum("ni,oij,nj->no", input1, weight, input2) + bias, ctx


def bilinear_backward(grad_output, ctx):
    input1, input2, weight = ctx["saved_tensors"]
    t = np.einsum("no,oij->nij", grad_output, weight)
    grad_input1 = np.einsum("nij,nj->ni", t, input2)
    grad_input2 = np.einsum("nij,ni->nj", t, input1)
    grad_weight = np.einsum("no,ni,nj->oij", grad_output, input1, input2)
    return grad_input1, grad_input2, grad_weight, grad_output.sum(0)


def cumsum_forward(input):
    """input: (N, C) -> (N, C), along the columns"""
    return np.cumsum(input, axis=1), {}


def cumsum_backward(grad_output, ctx):
    return np.cumsum(grad_output[:, ::-1], axis=1)[:, ::-1]


def smooth_l1_loss_forward(input, target, beta=0.7):
    """input, target: (N, C), mean over all entries"""
    diff = input - target
    small = np.abs(diff) < beta
    loss = np.where(small, 0.5 * diff ** 2 / beta, np.abs(diff) - 0.5 * beta)
    return loss.mean(), {"diff": diff, "small": small, "beta": beta}


def smooth_l1_loss_backward(grad_output, ctx):
    diff = ctx["diff"]
    g = np.where(ctx["small"], diff / ctx["beta"], np.sign(diff)) * grad_output / diff.size
    return {"input": g, "target": -g}


_g = np.random.default_rng(6)
examples = {
    "gelu": {"input": _g.normal(size=(3, 4))},
    "bilinear": {"input1": _g.normal(size=(4, 2)), "input2": _g.normal(size=(4, 3)),
                 "weight": _g.normal(size=(2, 2, 3)), "bias": _g.normal(size=2)},
    "cumsum": {"input": _g.normal(size=(2, 5))},
    "smooth_l1_loss": {"input": _g.normal(size=(3, 3)), "target": _g.normal(size=(3, 3))},
}
for _k in list(examples):
    examples[_k + "_forward"] = examples[_k]
''')

_right("r07_gamma_dirichlet", "JAX/TFP port", r'''
"""Gamma and Dirichlet pieces of a probabilistic model, gradients by hand."""
import numpy as np
from scipy.special import digamma, gammaln, polygamma


def gamma_log_prob(value, concentration, rate):
    """value: (N, D) > 0, concentration, rate: (D,) > 0; the sum over D, (N,)."""
    lp = (concentration * np.log(rate) + (concentration - 1.0) * np.log(value)
          - rate * value - gammaln(concentration))
    return lp.sum(axis=-1), (value, concentration, rate)


def gamma_log_prob_backward(dlp, cache):
    value, concentration, rate = cache
    d = dlp[:, None]
    return {
        "value": d * ((concentration - 1.0) / value - rate),
        "concentration": (d * (np.log(rate) + np.log(value) - digamma(concentration))).sum(axis=0),
        "rate": (d * (concentration / rate - value)).sum(axis=0),
    }


def dirichlet_kl(alpha, beta):
    """KL(Dir(alpha) || Dir(beta)), alpha and beta: (N, K) > 0; returns (N,)."""
    a0, b0 = alpha.sum(axis=1), beta.sum(axis=1)
    expected_log = digamma(alpha) - digamma(a0)[:, None]
    kl = (gammaln(a0) - gammaln(alpha).sum(axis=1) - gammaln(b0) + gammaln(beta).sum(axis=1)
          + ((alpha - beta) * expected_log).sum(axis=1))
    return kl, (alpha, beta, a0, b0, expected_log)


def dirichlet_kl_backward(dkl, cache):
    alpha, beta, a0, b0, expected_log = cache
    diff = alpha - beta
    # the digamma terms of the log normaliser cancel with the expectation
    dalpha = diff * polygamma(1, alpha) - polygamma(1, a0)[:, None] * diff.sum(axis=1, keepdims=True)
    dbeta = digamma(beta) - digamma(b0)[:, None] - expected_log
    return {"alpha": dkl[:, None] * dalpha, "beta": dkl[:, None] * dbeta}


_rng = np.random.default_rng(11)
examples = {
    "gamma_log_prob": {"value": _rng.gamma(2.0, size=(4, 3)), "concentration": _rng.uniform(0.5, 3.0, 3),
                       "rate": _rng.uniform(0.5, 3.0, 3)},
    "dirichlet_kl": {"alpha": _rng.uniform(0.5, 3.0, (3, 4)), "beta": _rng.uniform(0.5, 3.0, (3, 4))},
}
''')

_right("r08_multihead", "Transformer in numpy (GPT port)", r'''
import numpy as np


class RMSNorm:
    def __init__(self, n_embd, eps=1e-6):
        self.weight = 1.0 + 0.1 * np.random.RandomState(n_embd).randn(n_embd)
        self.eps = eps
        self.grads = {}

    def forward(self, x):
        """x: (B, T, n_embd)"""
        self.r = 1.0 / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + self.eps)
        self.xn = x * self.r
        return self.xn * self.weight

    def backward(self, dout):
        self.grads["weight"] = (dout * self.xn).sum(axis=(0, 1))
        dxn = dout * self.weight
        return self.r * (dxn - self.xn * np.mean(dxn * self.xn, axis=-1, keepdims=True))


class CausalSelfAttention:
    def __init__(self, n_embd, n_head):
        rng = np.random.RandomState(1337)
        self.n_head = n_head
        self.c_attn = rng.randn(n_embd, 3 * n_embd) / np.sqrt(n_embd)
        self.b_attn = 0.1 * rng.randn(3 * n_embd)
        self.c_proj = rng.randn(n_embd, n_embd) / np.sqrt(n_embd)
        self.grads = {}

    def _split(self, a):
        B, T, C = a.shape
        return a.reshape(B, T, self.n_head, C // self.n_head).transpose(0, 2, 1, 3)

    def _merge(self, a):
        B, nh, T, hs = a.shape
        return a.transpose(0, 2, 1, 3).reshape(B, T, nh * hs)

    def forward(self, x):
        """x: (B, T, n_embd)"""
        B, T, C = x.shape
        self.x = x
        qkv = x @ self.c_attn + self.b_attn
        self.q, self.k, self.v = (self._split(a) for a in np.split(qkv, 3, axis=2))
        self.scale = (C // self.n_head) ** -0.5
        att = self.q @ self.k.transpose(0, 1, 3, 2) * self.scale
        att = np.where(np.tril(np.ones((T, T))) == 0, -np.inf, att)
        att = np.exp(att - att.max(axis=-1, keepdims=True))
        self.p = att / att.sum(axis=-1, keepdims=True)
        self.y = self._merge(self.p @ self.v)
        return self.y @ self.c_proj

    def backward(self, dout):
        self.grads["c_proj"] = np.tensordot(self.y, dout, axes=([0, 1], [0, 1]))
        dy = self._split(dout @ self.c_proj.T)
        dp = dy @ self.v.transpose(0, 1, 3, 2)
        dv = self.p.transpose(0, 1, 3, 2) @ dy
        datt = self.p * (dp - (dp * self.p).sum(axis=-1, keepdims=True)) * self.scale
        dq = datt @ self.k
        dk = datt.transpose(0, 1, 3, 2) @ self.q
        dqkv = np.concatenate([self._merge(a) for a in (dq, dk, dv)], axis=2)
        self.grads["c_attn"] = np.tensordot(self.x, dqkv, axes=([0, 1], [0, 1]))
        self.grads["b_attn"] = dqkv.sum(axis=(0, 1))
        return dqkv @ self.c_attn.T


examples = {
    "RMSNorm": {"init": {"n_embd": 4}, "x": np.random.RandomState(2).randn(2, 3, 4)},
    "CausalSelfAttention": {"init": {"n_embd": 4, "n_head": 2}, "x": np.random.RandomState(3).randn(2, 3, 4)},
}
''')

_right("r09_mdn", "research repository (mixture density network)", r'''
import numpy as np

LOG_2PI = np.log(2.0 * np.pi)


def hidden(x, W, b):
    """x: (N, D), W: (D, H), b: (H,)"""
    h = np.tanh(x @ W + b)
    return h, (x, W, h)


def hidden_backward(dh, cache):
    x, W, h = cache
    da = dh * (1 - h * h)
    return da @ W.T, x.T @ da, da.sum(axis=0)


def mdn_nll(logits, mu, log_sigma, target):
    """
    logits, mu, log_sigma: (N, K), parameters of a mixture of K Gaussians per example
    target: (N,)
    Returns the mean negative log likelihood.
    """
    log_pi = logits - np.logaddexp.reduce(logits, axis=1)[:, None]
    z = (target[:, None] - mu) * np.exp(-log_sigma)
    joint = log_pi - 0.5 * z ** 2 - log_sigma - 0.5 * LOG_2PI
    log_lik = np.logaddexp.reduce(joint, axis=1)
    resp = np.exp(joint - log_lik[:, None])
    return -log_lik.mean(), (np.exp(log_pi), resp, z, log_sigma)


def mdn_nll_backward(dloss, cache):
    pi, resp, z, log_sigma = cache
    scale = dloss / len(pi)
    inv_sigma = np.exp(-log_sigma)
    dlogits = scale * (pi - resp)
    dmu = -scale * resp * z * inv_sigma
    dlog_sigma = scale * resp * (1 - z ** 2)
    dtarget = (scale * resp * z * inv_sigma).sum(axis=1)
    return {"logits": dlogits, "mu": dmu, "log_sigma": dlog_sigma, "target": dtarget}


rng = np.random.default_rng(0)
examples = {
    "hidden": {"x": rng.normal(size=(4, 2)), "W": rng.normal(size=(2, 3)), "b": rng.normal(size=3)},
    "mdn_nll": {"logits": rng.normal(size=(4, 3)), "mu": rng.normal(size=(4, 3)),
                "log_sigma": 0.5 * rng.normal(size=(4, 3)), "target": rng.normal(size=4)},
}
''')

_right("r10_planar_flow", "research repository (normalizing flows)", r'''
import numpy as np


def planar(z, u, w, b):
    """z: (N, D), u, w: (D,), b: (1,); returns the moved points, (N, D)."""
    h = np.tanh(z @ w + b)
    return z + h[:, None] * u, (z, u, w, h)


def planar_backward(dout, cache):
    z, u, w, h = cache
    du = h @ dout
    da = (dout @ u) * (1 - h ** 2)
    dz = dout + np.outer(da, w)
    return dz, du, da @ z, np.array([da.sum()])


def planar_logdet(z, u, w, b):
    """log |det dz'/dz| of the planar map at every row, (N,)."""
    h = np.tanh(z @ w + b)
    slope = 1 - h ** 2
    det = 1 + slope * (u @ w)
    return np.log(np.abs(det)), (z, u, w, h, slope, det)


def planar_logdet_backward(dlogdet, cache):
    z, u, w, h, slope, det = cache
    ddet = dlogdet / det
    duw = (ddet * slope).sum()
    dslope = ddet * (u @ w)
    da = -2 * h * slope * dslope
    return np.outer(da, w), duw * w, duw * u + da @ z, np.array([da.sum()])


def base_log_prob(z):
    """Standard normal log density of the rows of z, (N,)."""
    return -0.5 * (z ** 2).sum(axis=1) - 0.5 * z.shape[1] * np.log(2 * np.pi), z


def base_log_prob_backward(dlogp, z):
    return -dlogp[:, None] * z


_r = np.random.RandomState(8)
examples = {
    "planar": {"z": _r.randn(4, 3), "u": _r.randn(3), "w": _r.randn(3), "b": _r.randn(1)},
    "planar_logdet": {"z": _r.randn(4, 3), "u": np.array([0.5, -0.2, 0.8]), "w": np.array([0.7, 0.3, 0.4]),
                      "b": np.array([0.1])},
    "base_log_prob": {"z": _r.randn(4, 3)},
}
''')

_right("r11_edge_list_gcn", "research repository (graph neural networks)", r'''
import numpy as np


class GCNLayer:
    """Graph convolution on an edge list, messages weighted with 1 / sqrt(deg_src deg_dst)."""

    def __init__(self, src, dst, num_nodes, in_feats, out_feats):
        rng = np.random.default_rng(17)
        loops = np.arange(num_nodes)
        self.src = np.concatenate([src, loops])
        self.dst = np.concatenate([dst, loops])
        out_deg = np.bincount(self.src, minlength=num_nodes)
        in_deg = np.bincount(self.dst, minlength=num_nodes)
        self.coef = 1.0 / np.sqrt(out_deg[self.src] * in_deg[self.dst])[:, None]
        self.weight = rng.normal(size=(in_feats, out_feats)) / np.sqrt(in_feats)
        self.bias = rng.normal(size=out_feats)
        self.grad_weight = None
        self.grad_bias = None

    def forward(self, x):
        """x: (num_nodes, in_feats)"""
        self.x = x
        support = x @ self.weight
        out = np.zeros_like(support)
        np.add.at(out, self.dst, self.coef * support[self.src])
        return out + self.bias

    def backward(self, grad_out):
        grad_support = np.zeros_like(grad_out)
        np.add.at(grad_support, self.src, self.coef * grad_out[self.dst])
        self.grad_weight = self.x.T @ grad_support
        self.grad_bias = grad_out.sum(axis=0)
        return grad_support @ self.weight.T


class PairNorm:
    """Centres the nodes and brings them to mean square length `scale ** 2`."""

    def __init__(self, scale=1.0):
        self.scale = scale

    def forward(self, x):
        """x: (num_nodes, feats)"""
        xc = x - x.mean(axis=0)
        self.rms = np.sqrt((xc ** 2).sum(axis=1).mean())
        self.out = self.scale * xc / self.rms
        return self.out

    def backward(self, grad):
        n = grad.shape[0]
        inner = (grad * self.out).sum() / (n * self.scale ** 2)
        g = self.scale * (grad - inner * self.out) / self.rms
        return g - g.mean(axis=0)


_x = np.random.default_rng(3).normal(size=(4, 3))
examples = {
    "GCNLayer": {"init": {"src": np.array([0, 0, 2, 3, 1]), "dst": np.array([1, 2, 1, 0, 3]), "num_nodes": 4,
                          "in_feats": 3, "out_feats": 2}, "x": _x},
    "PairNorm": {"init": {"scale": 1.5}, "x": _x},
}
''')

_right("r12_residual_framework", "small framework (blog post series)", r'''
import numpy as np


class Module:
    def __init__(self):
        self.params = {}
        self.grads = {}

    def zero_grad(self):
        for name, value in self.params.items():
            self.grads[name] = np.zeros_like(value)


class Linear(Module):
    def __init__(self, n_in, n_out, seed=0):
        super().__init__()
        rng = np.random.RandomState(seed)
        self.params["W"] = rng.randn(n_in, n_out) * np.sqrt(1.0 / n_in)
        self.params["b"] = np.zeros(n_out)
        self.zero_grad()

    def forward(self, x):
        """x: (batch, n_in)"""
        self.x = x
        return x @ self.params["W"] + self.params["b"]

    def backward(self, dy):
        self.zero_grad()
        for row_x, row_dy in zip(self.x, dy):
            self.grads["W"] += np.outer(row_x, row_dy)
            self.grads["b"] += row_dy
        return dy @ self.params["W"].T


class Tanh(Module):
    def forward(self, x):
        self.y = np.tanh(x)
        return self.y

    def backward(self, dy):
        return dy - dy * self.y ** 2


class ResidualBlock(Module):
    """x + Linear(Tanh(Linear(x)))"""

    def __init__(self, width, hidden):
        super().__init__()
        self.layers = [Linear(width, hidden, seed=1), Tanh(), Linear(hidden, width, seed=2)]

    def forward(self, x):
        """x: (batch, width)"""
        y = x
        for layer in self.layers:
            y = layer.forward(y)
        return x + y

    def backward(self, dy):
        dx = dy
        for layer in reversed(self.layers):
            dx = layer.backward(dx)
        return dx + dy


class MSELoss(Module):
    """Half the squared distance, mean over the batch."""

    def forward(self, pred, target):
        """pred, target: (batch, n_out)"""
        self.diff = pred - target
        return 0.5 * np.sum(self.diff ** 2) / len(pred)

    def backward(self, dloss=1.0):
        dpred = dloss * self.diff / len(self.diff)
        return dpred, -dpred


_r = np.random.RandomState(12)
examples = {
    "Linear": {"init": {"n_in": 3, "n_out": 2}, "x": _r.randn(4, 3)},
    "Tanh": {"x": _r.randn(4, 3)},
    "ResidualBlock": {"init": {"width": 3, "hidden": 4}, "x": _r.randn(4, 3)},
    "MSELoss": {"pred": _r.randn(4, 2), "target": _r.randn(4, 2)},
}
''')
