"""Seventh paper: whole module files as students hand them in."""
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
EX = {}      # examples that are kept out of the source (for the verification below only)
PAIR = {}    # the wrong pair of a file


def put(name, style, source, examples="", hidden=False, pair="", slip="", wrong=(), causes=()):
    source = source.lstrip("\n")
    ex = "\n\n_r = np.random.RandomState(%d)\nexamples = {\n%s\n}\n" % (sum(map(ord, name)) % 1000, examples.strip("\n"))
    if hidden:
        EX[name] = ex
    else:
        source = source + ex
    PAIR[name] = pair
    if slip:
        slip = "In %s: %s" % (pair, slip)
    ITEMS.append(Item(name, style, "file", lambda: {"source": source}, not slip, slip, wrong, causes))


# ------------------------------------------------------------------ wrong ones

put("cs_assignment_two_layers", "CS231n-like assignment file", r'''
import numpy as np


def affine_forward(x, w, b):
    """
    Computes the forward pass for an affine (fully-connected) layer.
    x has shape (N, d_1, ..., d_k), w (D, M), b (M,).
    """
    N = x.shape[0]
    out = x.reshape(N, -1).dot(w) + b
    cache = (x, w, b)
    return out, cache


def affine_backward(dout, cache):
    x, w, b = cache
    N = x.shape[0]
    dx = dout.dot(w.T).reshape(x.shape)
    dw = x.reshape(N, -1).T.dot(dout)
    db = dout.sum(axis=0)
    return dx, dw, db


def relu_forward(x):
    out = np.maximum(0, x)
    cache = x
    return out, cache


def relu_backward(dout, cache):
    x = cache
    return dout * (x > 0)


def batchnorm_forward(x, gamma, beta, eps=1e-5):
    N, D = x.shape
    # step 1: mean
    mu = 1. / N * np.sum(x, axis=0)
    # step 2: subtract mean
    xmu = x - mu
    # step 3 + 4: variance
    sq = xmu ** 2
    var = 1. / N * np.sum(sq, axis=0)
    # step 5 + 6
    sqrtvar = np.sqrt(var + eps)
    ivar = 1. / sqrtvar
    # step 7..9
    xhat = xmu * ivar
    out = gamma * xhat + beta
    cache = (xhat, gamma, xmu, ivar, sqrtvar, var, eps)
    return out, cache


def batchnorm_backward(dout, cache):
    xhat, gamma, xmu, ivar, sqrtvar, var, eps = cache
    N, D = dout.shape
    dbeta = np.sum(dout, axis=0)
    dgamma = np.sum(dout * xhat, axis=0)
    dxhat = dout * gamma
    # step 7
    divar = np.sum(dxhat * xmu, axis=0)
    dxmu1 = dxhat * ivar
    # step 6, 5
    dsqrtvar = -1. / (sqrtvar ** 2) * divar
    dvar = 0.5 * 1. / np.sqrt(var + eps) * dsqrtvar
    # step 4, 3
    dsq = 1. / N * np.ones((N, D)) * dvar
    dxmu2 = 2 * xmu * dsq
    # step 2
    dx = dxmu1 + dxmu2
    return dx, dgamma, dbeta
''', '''
    "affine": {"x": _r.randn(4, 2, 3), "w": _r.randn(6, 5), "b": _r.randn(5)},
    "relu": {"x": _r.randn(4, 5)},
    "batchnorm": {"x": _r.randn(5, 4) * 2 + 1, "gamma": _r.rand(4) + .5, "beta": _r.randn(4)},
''', pair="batchnorm", slip="the path through the mean is forgotten; add -sum(dxmu1 + dxmu2, axis=0) / N to dx.",
    wrong=("x",), causes=("missing-term",))

put("coursera_columns_db", "Coursera-like, examples in columns", r'''
import numpy as np

# GRADED FUNCTION: linear_forward
def linear_forward(A, W, b):
    """
    Arguments:
    A -- activations from previous layer: (size of previous layer, number of examples)
    W -- weights matrix: (size of current layer, size of previous layer)
    b -- bias vector (size of the current layer, 1)
    """
    ### START CODE HERE ###
    Z = np.dot(W, A) + b
    ### END CODE HERE ###
    assert(Z.shape == (W.shape[0], A.shape[1]))
    cache = (A, W, b)
    return Z, cache


# GRADED FUNCTION: linear_backward  (the 1/m is in the cost)
def linear_backward(dZ, cache):
    A_prev, W, b = cache
    ### START CODE HERE ###
    dW = np.dot(dZ, A_prev.T)
    db = np.sum(dZ, axis=0, keepdims=True)
    dA_prev = np.dot(W.T, dZ)
    ### END CODE HERE ###
    return dA_prev, dW, db


def tanh_forward(Z):
    A = np.tanh(Z)
    return A, A


def tanh_backward(dA, cache):
    return dA * (1 - np.power(cache, 2))


def compute_cost_forward(AL, Y):
    m = Y.shape[1]
    cost = -np.sum(Y * np.log(AL) + (1 - Y) * np.log(1 - AL)) / m
    return np.squeeze(cost), (AL, Y)


def compute_cost_backward(dcost, cache):
    AL, Y = cache
    m = Y.shape[1]
    return {"AL": -dcost / m * (np.divide(Y, AL) - np.divide(1 - Y, 1 - AL))}
''', '''
    "linear": {"A": _r.randn(3, 5), "W": _r.randn(4, 3), "b": _r.randn(4, 1)},
    "tanh": {"Z": _r.randn(4, 5)},
    "compute_cost": {"AL": _r.rand(1, 5) * .8 + .1, "Y": np.array([[0, 1, 1, 0, 1]])},
''', pair="linear", slip="db is summed over the units (axis 0) where the examples are in axis 1; np.sum(dZ, axis=1, keepdims=True).",
    wrong=("b",), causes=("shape",))

put("conv1d_class_local_db", "self-study layer classes, attributes", r'''
"""My tiny NN library - part 3: 1d convolutions (audio)."""
import numpy as np


class Conv1D:
    def __init__(self, in_ch=2, out_ch=3, k=3, seed=0):
        rng = np.random.default_rng(seed)
        self.k = k
        self.W = rng.normal(0, 0.5, (out_ch, in_ch, k))
        self.b = rng.normal(0, 0.1, (out_ch,))
        self.dW = np.zeros_like(self.W)
        self.db = np.zeros_like(self.b)

    def forward(self, x):
        # x: (batch, in_ch, length), no padding
        self.x = x
        n, c, L = x.shape
        Lo = L - self.k + 1
        out = np.zeros((n, self.W.shape[0], Lo))
        for t in range(Lo):
            out[:, :, t] = np.tensordot(x[:, :, t:t + self.k], self.W, axes=([1, 2], [1, 2])) + self.b
        return out

    def backward(self, dout):
        dx = np.zeros_like(self.x)
        self.dW = np.zeros_like(self.W)
        self.db = np.zeros_like(self.b)
        for t in range(dout.shape[2]):
            g = dout[:, :, t]
            patch = self.x[:, :, t:t + self.k]
            self.dW += np.tensordot(g, patch, axes=([0], [0]))
            db = self.db + g.sum(axis=0)
            dx[:, :, t:t + self.k] += np.tensordot(g, self.W, axes=([1], [0]))
        return dx


class GlobalMeanPool:
    def forward(self, x):
        self.shape = x.shape
        return x.mean(axis=2)

    def backward(self, dout):
        return np.broadcast_to(dout[:, :, None], self.shape) / self.shape[2]
''', '''
    "Conv1D": {"init": {"in_ch": 2, "out_ch": 3, "k": 3, "seed": 4}, "x": _r.randn(3, 2, 6)},
    "GlobalMeanPool": {"init": {}, "x": _r.randn(3, 2, 5)},
''', pair="Conv1D", slip="the bias gradient goes to a local name db and self.db stays zero; self.db += g.sum(axis=0).",
    wrong=("b",), causes=("zero",))

put("nnfs_softmax_diagonal", "nnfs-like, dinputs and dweights", r'''
import numpy as np


# Dense layer
class Layer_Dense:

    # Layer initialization
    def __init__(self, n_inputs=4, n_neurons=3):
        rs = np.random.RandomState(0)
        self.weights = 0.5 * rs.randn(n_inputs, n_neurons)
        self.biases = 0.1 * rs.randn(1, n_neurons)

    # Forward pass
    def forward(self, inputs):
        # Remember input values
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


# ReLU activation
class Activation_ReLU:

    def forward(self, inputs):
        self.inputs = inputs
        self.output = np.maximum(0, inputs)
        return self.output

    def backward(self, dvalues):
        # Since we need to modify original variable,
        # let's make a copy of values first
        self.dinputs = dvalues.copy()
        self.dinputs[self.inputs <= 0] = 0
        return self.dinputs


# Softmax activation
class Activation_Softmax:

    def forward(self, inputs):
        exp_values = np.exp(inputs - np.max(inputs, axis=1, keepdims=True))
        self.output = exp_values / np.sum(exp_values, axis=1, keepdims=True)
        return self.output

    def backward(self, dvalues):
        # derivative of softmax is s * (1 - s)
        self.dinputs = dvalues * self.output * (1 - self.output)
        return self.dinputs
''', '''
    "Layer_Dense": {"init": {"n_inputs": 4, "n_neurons": 3}, "x": _r.randn(5, 4)},
    "Activation_ReLU": {"init": {}, "x": _r.randn(5, 4)},
    "Activation_Softmax": {"init": {}, "x": _r.randn(5, 4)},
''', pair="Activation_Softmax", slip="only the diagonal of the softmax Jacobian; s * (d - sum(s * d)).",
    wrong=("x",), causes=("missing-term",))

put("udacity_sigmoid_twice", "udacity-like neural network project", r'''
import numpy as np


def sigmoid(x):
    """Calculate sigmoid"""
    return 1 / (1 + np.exp(-x))


def sigmoid_prime(x):
    """Derivative of the sigmoid function"""
    return sigmoid(x) * (1 - sigmoid(x))


def hidden_forward(features, weights_input_to_hidden):
    hidden_inputs = np.dot(features, weights_input_to_hidden)
    hidden_outputs = sigmoid(hidden_inputs)
    return hidden_outputs, (features, weights_input_to_hidden, hidden_outputs)


def hidden_backward(error, cache):
    features, weights_input_to_hidden, hidden_outputs = cache
    # propagate errors to hidden layer
    hidden_error_term = error * sigmoid_prime(hidden_outputs)
    delta_weights_i_h = np.dot(features.T, hidden_error_term)
    delta_features = np.dot(hidden_error_term, weights_input_to_hidden.T)
    return delta_features, delta_weights_i_h


def output_forward(hidden_outputs, weights_hidden_to_output):
    # regression: the output unit is linear, f(x) = x
    final_outputs = np.dot(hidden_outputs, weights_hidden_to_output)
    return final_outputs, (hidden_outputs, weights_hidden_to_output)


def output_backward(error, cache):
    hidden_outputs, weights_hidden_to_output = cache
    output_error_term = error * 1.0
    return np.dot(output_error_term, weights_hidden_to_output.T), np.dot(hidden_outputs.T, output_error_term)
''', '''
    "hidden": {"features": _r.randn(5, 3), "weights_input_to_hidden": 2 * _r.randn(3, 4)},
    "output": {"hidden_outputs": _r.rand(5, 4), "weights_hidden_to_output": _r.randn(4, 1)},
''', pair="hidden", slip="sigmoid_prime expects the pre-activation but gets the activation; use hidden_outputs * (1 - hidden_outputs).",
    wrong=("features", "weights_input_to_hidden"), causes=("elementwise-factor",))

put("conv_naive_assign", "CS231n-like, naive loops", r'''
import numpy as np


def conv_forward(x, w, b, stride=1, pad=1):
    N, C, H, W = x.shape
    F, _, HH, WW = w.shape
    xp = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)), mode='constant')
    Ho = 1 + (H + 2 * pad - HH) // stride
    Wo = 1 + (W + 2 * pad - WW) // stride
    out = np.zeros((N, F, Ho, Wo))
    for n in range(N):
        for f in range(F):
            for i in range(Ho):
                for j in range(Wo):
                    window = xp[n, :, i * stride:i * stride + HH, j * stride:j * stride + WW]
                    out[n, f, i, j] = np.sum(window * w[f]) + b[f]
    return out, (x, w, b, stride, pad)


def conv_backward(dout, cache):
    x, w, b, stride, pad = cache
    N, F, Ho, Wo = dout.shape
    HH, WW = w.shape[2:]
    xp = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)), mode='constant')
    dxp = np.zeros_like(xp)
    dw = np.zeros_like(w)
    db = dout.sum(axis=(0, 2, 3))
    for n in range(N):
        for f in range(F):
            for i in range(Ho):
                for j in range(Wo):
                    hs, vs = i * stride, j * stride
                    dw[f] += dout[n, f, i, j] * xp[n, :, hs:hs + HH, vs:vs + WW]
                    dxp[n, :, hs:hs + HH, vs:vs + WW] = dout[n, f, i, j] * w[f]
    dx = dxp[:, :, pad:-pad, pad:-pad]
    return dx, dw, db


def flatten_forward(x):
    return x.reshape(x.shape[0], -1), x.shape


def flatten_backward(dout, cache):
    return dout.reshape(cache)
''', '''
    "conv": {"x": _r.randn(3, 1, 3, 3), "w": _r.randn(2, 1, 3, 3), "b": _r.randn(2)},
    "flatten": {"x": _r.randn(3, 2, 2, 2)},
''', pair="conv", slip="the windows overlap but dxp is assigned; dxp[...] += dout * w.",
    wrong=("x",), causes=("missing-term",))

put("pooling_blatt_7", "German university exercise sheet", r'''
# Uebungsblatt 7, Aufgabe 2: Pooling-Schichten
# Gruppe 14
import numpy as np


class MaxPooling:
    """2x2-Max-Pooling, Schrittweite 2."""

    def forward(self, x):
        n, c, h, w = x.shape
        self.form = x.shape
        bloecke = x.reshape(n, c, h // 2, 2, w // 2, 2).transpose(0, 1, 2, 4, 3, 5).reshape(n, c, h // 2, w // 2, 4)
        self.idx = bloecke.argmax(axis=-1)
        return bloecke.max(axis=-1)

    def backward(self, dy):
        n, c, h, w = self.form
        d = np.zeros(dy.shape + (4,))
        np.put_along_axis(d, self.idx[..., None], dy[..., None], axis=-1)
        return d.reshape(n, c, h // 2, w // 2, 2, 2).transpose(0, 1, 2, 4, 3, 5).reshape(self.form)


class MittelwertPooling:
    """Mittelwert ueber kxk-Bloecke."""

    def __init__(self, k=2):
        self.k = k

    def forward(self, x):
        n, c, h, w = x.shape
        k = self.k
        return x.reshape(n, c, h // k, k, w // k, k).mean(axis=(3, 5))

    def backward(self, dy):
        # Gradient gleichmaessig auf den Block verteilen
        return dy.repeat(self.k, axis=2).repeat(self.k, axis=3) / self.k
''', '''
    "MaxPooling": {"init": {}, "x": _r.randn(3, 1, 4, 2)},
    "MittelwertPooling": {"init": {"k": 2}, "x": _r.randn(3, 1, 4, 2)},
''', pair="MittelwertPooling", slip="the block has k * k elements, the gradient is divided by k only; / self.k ** 2.",
    wrong=("x",), causes=("factor",))

put("gru_cell_no_carry", "self-study recurrent cells, dict of gradients", r'''
import numpy as np


def sigmoid(a):
    return 1.0 / (1.0 + np.exp(-a))


def rnn_cell_forward(x, h, U, V, b):
    hn = np.tanh(x @ U + h @ V + b)
    return hn, (x, h, U, V, hn)


def rnn_cell_backward(dhn, cache):
    x, h, U, V, hn = cache
    da = dhn * (1 - hn ** 2)
    return {"x": da @ U.T, "h": da @ V.T, "U": x.T @ da, "V": h.T @ da, "b": da.sum(0)}


def gru_cell_forward(x, h, Wz, Wr, Wn):
    xh = np.concatenate([x, h], axis=1)
    z = sigmoid(xh @ Wz)
    r = sigmoid(xh @ Wr)
    xrh = np.concatenate([x, r * h], axis=1)
    n = np.tanh(xrh @ Wn)
    hn = z * h + (1 - z) * n
    return hn, (x, h, Wz, Wr, Wn, xh, z, r, xrh, n)


def gru_cell_backward(dhn, cache):
    x, h, Wz, Wr, Wn, xh, z, r, xrh, n = cache
    D = x.shape[1]
    dn = dhn * (1 - z)
    dz = dhn * (h - n)
    dan = dn * (1 - n ** 2)
    dWn = xrh.T @ dan
    dxrh = dan @ Wn.T
    dx = dxrh[:, :D]
    drh = dxrh[:, D:]
    dr = drh * h
    dh = drh * r
    daz = dz * z * (1 - z)
    dar = dr * r * (1 - r)
    dWz = xh.T @ daz
    dWr = xh.T @ dar
    dxh = daz @ Wz.T + dar @ Wr.T
    dx = dx + dxh[:, :D]
    dh = dh + dxh[:, D:]
    return {"x": dx, "h": dh, "Wz": dWz, "Wr": dWr, "Wn": dWn}
''', '''
    "rnn_cell": {"x": _r.randn(4, 2), "h": _r.randn(4, 3), "U": _r.randn(2, 3), "V": _r.randn(3, 3), "b": _r.randn(3)},
    "gru_cell": {"x": _r.randn(4, 2), "h": _r.randn(4, 3), "Wz": _r.randn(5, 3), "Wr": _r.randn(5, 3), "Wn": _r.randn(5, 3)},
''', pair="gru_cell", slip="the direct path z * h is missing from dh; dh += dhn * z.",
    wrong=("h",), causes=("missing-term",))

put("layernorm_from_batchnorm", "transformer from scratch, small library", r'''
import numpy as np


class Module:
    def __init__(self):
        self.params = {}
        self.grads = {}

    def __call__(self, x):
        return self.forward(x)


class Linear(Module):
    def __init__(self, d_in=6, d_out=4, seed=1):
        super().__init__()
        rng = np.random.default_rng(seed)
        self.params["W"] = rng.standard_normal((d_in, d_out)) / np.sqrt(d_in)
        self.params["b"] = rng.standard_normal(d_out) * 0.1

    def forward(self, x):
        self.x = x
        return x @ self.params["W"] + self.params["b"]

    def backward(self, dy):
        self.grads["W"] = self.x.T @ dy
        self.grads["b"] = dy.sum(axis=0)
        return dy @ self.params["W"].T


class LayerNorm(Module):
    def __init__(self, d=6, eps=1e-5):
        super().__init__()
        self.eps = eps
        self.params["g"] = np.linspace(0.5, 1.5, d)
        self.params["b"] = np.linspace(-0.2, 0.2, d)

    def forward(self, x):
        mu = x.mean(axis=-1, keepdims=True)
        var = x.var(axis=-1, keepdims=True)
        self.istd = 1.0 / np.sqrt(var + self.eps)
        self.xhat = (x - mu) * self.istd
        return self.params["g"] * self.xhat + self.params["b"]

    def backward(self, dy):
        self.grads["g"] = (dy * self.xhat).sum(axis=0)
        self.grads["b"] = dy.sum(axis=0)
        dxhat = dy * self.params["g"]
        return self.istd * (dxhat - dxhat.mean(axis=0) - self.xhat * (dxhat * self.xhat).mean(axis=0))
''', '''
    "Linear": {"init": {"d_in": 6, "d_out": 4, "seed": 3}, "x": _r.randn(4, 6)},
    "LayerNorm": {"init": {"d": 6}, "x": _r.randn(4, 6) * 2 + 1},
''', pair="LayerNorm", slip="means in the backward run over the batch as in batch norm; mean(axis=-1, keepdims=True).",
    wrong=("x",), causes=("shape", "missing-term"))

put("dropout_mask_arg", "French TP, fonctions et caches", r'''
# TP4 - Regularisation.  Binome: A. & M.
import numpy as np


def dense_forward(x, w, b):
    """Couche dense: z = x w + b"""
    return np.einsum('ni,ij->nj', x, w) + b[None, :], (x, w)


def dense_backward(dz, cache):
    x, w = cache
    return np.einsum('nj,ij->ni', dz, w), np.einsum('ni,nj->ij', x, dz), np.einsum('nj->j', dz)


def dropout_forward(x, masque, p_garde=0.6):
    """Dropout inverse: le masque (0/1) est tire a l'exterieur."""
    sortie = x * masque / p_garde
    return sortie, (masque, p_garde)


def dropout_backward(dsortie, cache):
    masque, p_garde = cache
    dx = dsortie * masque
    return dx


def softplus_forward(x):
    return np.logaddexp(0, x), x


def softplus_backward(dy, cache):
    return dy / (1 + np.exp(-cache))
''', '''
    "dense": {"x": _r.randn(4, 3), "w": _r.randn(3, 5), "b": _r.randn(5)},
    "dropout": {"x": _r.randn(4, 5), "masque": (_r.rand(4, 5) < .6).astype(int)},
    "softplus": {"x": _r.randn(4, 5)},
''', pair="dropout", slip="the scale 1 / p_garde of the inverted dropout is missing in the backward; dsortie * masque / p_garde.",
    wrong=("x",), causes=("factor",))

put("embedding_fancy_index", "word2vec homework, NLP course", r'''
import numpy as np


def word_embedding_forward(W, tokens):
    """tokens: (N, T) integers; W: (V, D).  Returns (N, T, D)."""
    out = W[tokens]
    cache = (tokens, W.shape)
    return out, cache


def word_embedding_backward(dout, cache):
    tokens, shape = cache
    dW = np.zeros(shape)
    dW[tokens] += dout
    return dW


def bag_of_words_forward(emb):
    # average of the context vectors
    return emb.mean(axis=1), emb.shape


def bag_of_words_backward(dout, cache):
    N, T, D = cache
    return np.repeat(dout[:, np.newaxis, :], T, axis=1) / T


def scores_forward(h, U):
    return h.dot(U.T), (h, U)


def scores_backward(dout, cache):
    h, U = cache
    dh = dout.dot(U)
    dU = dout.T.dot(h)
    return dh, dU
''', '''
    "word_embedding": {"W": _r.randn(6, 3), "tokens": np.array([[0, 2, 2], [1, 0, 5], [2, 4, 0]])},
    "bag_of_words": {"emb": _r.randn(3, 4, 2)},
    "scores": {"h": _r.randn(3, 4), "U": _r.randn(5, 4)},
''', pair="word_embedding", slip="dW[tokens] += keeps only one of repeated tokens; np.add.at(dW, tokens, dout).",
    wrong=("W",), causes=("missing-term", "batch-sum"))

put("prelu_alpha_unmasked", "activations.py of a small library", r'''
"""Activation functions.  Every class keeps what it needs from forward()."""
import numpy as np


class Tanh:
    def forward(self, x):
        self.out = np.tanh(x)
        return self.out

    def backward(self, grad):
        return grad * (1.0 - self.out * self.out)


class LeakyReLU:
    def __init__(self, slope=0.1):
        self.slope = slope

    def forward(self, x):
        self.scale = np.where(x > 0, 1.0, self.slope)
        return x * self.scale

    def backward(self, grad):
        return grad * self.scale


class PReLU:
    """Parametric ReLU, one learned slope per feature (He et al. 2015)."""

    def __init__(self, n_features=4):
        self.alpha = np.full(n_features, 0.25)
        self.grad_alpha = np.zeros(n_features)

    def forward(self, x):
        self.x = x
        return np.where(x > 0, x, self.alpha * x)

    def backward(self, grad):
        self.grad_alpha = np.sum(grad * self.x, axis=0)
        return np.where(self.x > 0, grad, self.alpha * grad)
''', '''
    "Tanh": {"init": {}, "x": _r.randn(4, 4)},
    "LeakyReLU": {"init": {"slope": 0.2}, "x": _r.randn(4, 4)},
    "PReLU": {"init": {"n_features": 4}, "x": _r.randn(5, 4)},
''', pair="PReLU", slip="alpha acts on negative inputs only, the positive ones must be masked out: sum(grad * x * (x <= 0), axis=0).",
    wrong=("alpha",), causes=("elementwise-factor", "missing-term"))

put("elu_from_output", "notebook exported to a script", r'''
# coding: utf-8
# In[1]:
import numpy as np

# In[2]:
def sigmoid_forward(z):
    a = np.where(z >= 0, 1 / (1 + np.exp(-np.abs(z))), np.exp(-np.abs(z)) / (1 + np.exp(-np.abs(z))))
    return a, a

def sigmoid_backward(da, cache):
    return da * cache * (1 - cache)

# In[3]:
# elu: x for x > 0, alpha * (exp(x) - 1) otherwise
def elu_forward(z, alpha=1.3):
    a = np.where(z > 0, z, alpha * (np.exp(z) - 1))
    return a, (a, alpha)

def elu_backward(da, cache):
    a, alpha = cache
    # trick: derivative from the output
    slope = np.where(a > 0, 1.0, a + 1)
    return da * slope

# In[4]:
def softsign_forward(z):
    d = 1 + np.abs(z)
    return z / d, d

def softsign_backward(da, d):
    return da / d ** 2
''', '''
    "sigmoid": {"z": _r.randn(4, 3)},
    "elu": {"z": _r.randn(4, 4)},
    "softsign": {"z": _r.randn(4, 3)},
''', hidden=True, pair="elu", slip="the derivative from the output is a + alpha, not a + 1.",
    wrong=("z",), causes=("elementwise-factor", "missing-term"))

put("softmax_loss_divided_by_classes", "deep learning course, Spanish comments", r'''
# Practica 2 - Redes neuronales
# Entrega: modulo de funciones de perdida
import numpy as np


def error_cuadratico_forward(pred, y):
    """Media del error cuadratico sobre todas las entradas; y son enteros."""
    dif = pred - y
    return np.mean(dif ** 2), dif


def error_cuadratico_backward(dperdida, cache):
    dif = cache
    return {'pred': dperdida * 2 * dif / dif.size}


def entropia_cruzada_forward(puntajes, etiquetas):
    """puntajes: (lote, clases); etiquetas: (lote,)"""
    desplazados = puntajes - puntajes.max(axis=1, keepdims=True)
    probs = np.exp(desplazados)
    probs /= probs.sum(axis=1, keepdims=True)
    n = len(etiquetas)
    perdida = -np.log(probs[np.arange(n), etiquetas]).mean()
    return perdida, (probs, etiquetas)


def entropia_cruzada_backward(dperdida, cache):
    probs, etiquetas = cache
    n = len(probs[0])
    grad = probs.copy()
    grad[np.arange(len(etiquetas)), etiquetas] -= 1
    grad /= n
    return {'puntajes': dperdida * grad}
''', '''
    "error_cuadratico": {"pred": _r.randn(4, 2), "y": _r.randint(0, 3, (4, 2))},
    "entropia_cruzada": {"puntajes": _r.randn(5, 3), "etiquetas": np.array([0, 2, 1, 1, 0])},
''', pair="entropia_cruzada", slip="len(probs[0]) is the number of classes; divide by the number of rows len(probs).",
    wrong=("puntajes",), causes=("factor",))

put("svm_loss_minus_one", "CS231n-like losses with regulariser", r'''
import numpy as np


def svm_loss_forward(x, y, margin=1.0):
    """
    Multiclass SVM loss.
    - x: scores (N, C);  y: labels (N,)
    """
    N = x.shape[0]
    correct = x[np.arange(N), y][:, None]
    margins = np.maximum(0, x - correct + margin)
    margins[np.arange(N), y] = 0
    loss = np.sum(margins) / N
    return loss, (margins, y)


def svm_loss_backward(dloss, cache):
    margins, y = cache
    N = margins.shape[0]
    dx = np.zeros_like(margins)
    dx[margins > 0] = 1
    dx[np.arange(N), y] -= 1
    return {"x": dloss * dx / N}


def l2_penalty_forward(W1, W2, reg=0.3):
    return 0.5 * reg * (np.sum(W1 * W1) + np.sum(W2 * W2)), (W1, W2, reg)


def l2_penalty_backward(dloss, cache):
    W1, W2, reg = cache
    return {"W1": dloss * reg * W1, "W2": dloss * reg * W2}
''', '''
    "svm_loss": {"x": _r.randn(4, 5) * .5, "y": np.array([1, 0, 4, 2])},
    "l2_penalty": {"W1": _r.randn(3, 4), "W2": _r.randn(4, 2)},
''', pair="svm_loss", slip="the correct class must lose 1 for each violated margin: dx[arange(N), y] -= number of positive margins of the row.",
    wrong=("x",), causes=("missing-term", "elementwise-factor"))

put("attention_key_scale", "transformer notes, functional", r'''
import numpy as np


def softmax(x, axis=-1):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def attention_forward(Q, K, V):
    """softmax(Q K^T / sqrt(d)) V  for one head, Q (T, d), K (S, d), V (S, e)"""
    d = Q.shape[-1]
    scores = Q @ K.T / np.sqrt(d)
    P = softmax(scores)
    return P @ V, (Q, K, V, P)


def attention_backward(dO, cache):
    Q, K, V, P = cache
    d = Q.shape[-1]
    dV = P.T @ dO
    dP = dO @ V.T
    dS = P * (dP - (dP * P).sum(-1, keepdims=True))
    dQ = dS @ K / np.sqrt(d)
    dK = dS.T @ Q
    return dQ, dK, dV


def geglu_forward(a, g):
    s = 1 / (1 + np.exp(-1.702 * g))
    return a * g * s, (a, g, s)


def geglu_backward(dy, cache):
    a, g, s = cache
    return dy * g * s, dy * a * (s + 1.702 * g * s * (1 - s))
''', '''
    "attention": {"Q": _r.randn(4, 3), "K": _r.randn(5, 3), "V": _r.randn(5, 2)},
    "geglu": {"a": _r.randn(3, 4), "g": _r.randn(3, 4)},
''', pair="attention", slip="1/sqrt(d) is missing in dK; dS.T @ Q / np.sqrt(d).",
    wrong=("K",), causes=("factor",))

put("swish_trainable_beta", "Kaggle helper module", r'''
import numpy as np


class Swish(object):
    '''+"'''x * sigmoid(beta * x) with a trainable beta (scalar)'''"+r'''

    def __init__(self, beta=1.5):
        self.beta = np.array([beta])
        self.dbeta = np.zeros(1)

    def forward(self, x):
        self.x = x
        self.s = 1. / (1. + np.exp(-self.beta * x))
        return x * self.s

    def backward(self, dout):
        x, s = self.x, self.s
        ds = s * (1. - s)
        self.dbeta = np.array([(dout * x * ds).sum()])
        return dout * (s + self.beta * x * ds)


class Scale(object):
    def __init__(self, n=3):
        self.gamma = 1. + np.arange(n) / 10.
        self.dgamma = None

    def forward(self, x):
        self.x = x
        return x * self.gamma

    def backward(self, dout):
        self.dgamma = np.sum(dout * self.x, axis=0)
        return dout * self.gamma
''', '''
    "Swish": {"init": {"beta": 1.5}, "x": _r.randn(4, 3) * 2},
    "Scale": {"init": {"n": 3}, "x": _r.randn(4, 3)},
''', pair="Swish", slip="dbeta needs x once more: the outer x times the inner derivative x, sum(dout * x**2 * s * (1 - s)).",
    wrong=("beta",), causes=("elementwise-factor",))

put("gaussian_head_logvar", "uncertainty estimation, research code", r'''
import numpy as np

LOG2PI = np.log(2.0 * np.pi)


def gaussian_nll(mu, logvar, target):
    """Heteroscedastic regression (Kendall & Gal).  Per-row negative log likelihood."""
    resid = target - mu
    prec = np.exp(-logvar)
    nll = 0.5 * (LOG2PI + logvar + resid ** 2 * prec)
    return nll.sum(axis=1), (resid, prec)


def gaussian_nll_backward(dnll, cache):
    resid, prec = cache
    g = dnll[:, None]
    dmu = -g * resid * prec
    dlogvar = -0.5 * g * resid ** 2 * prec
    dtarget = g * resid * prec
    return dmu, dlogvar, dtarget


def laplace_nll(mu, logb, target):
    resid = target - mu
    b = np.exp(logb)
    return (np.log(2.0) + logb + np.abs(resid) / b).sum(axis=1), (resid, b)


def laplace_nll_backward(dnll, cache):
    resid, b = cache
    g = dnll[:, None]
    dmu = -g * np.sign(resid) / b
    return dmu, g * (1.0 - np.abs(resid) / b), -dmu
''', '''
    "gaussian_nll": {"mu": _r.randn(4, 3), "logvar": _r.randn(4, 3) * .5, "target": _r.randn(4, 3)},
    "laplace_nll": {"mu": _r.randn(4, 3), "logb": _r.randn(4, 3) * .5, "target": _r.randn(4, 3)},
''', hidden=True, pair="gaussian_nll", slip="the derivative of the log-variance term itself is missing; 0.5 * g * (1 - resid**2 * prec).",
    wrong=("logvar",), causes=("missing-term",))

put("springs_force_not_gradient", "computational physics exercise", r'''
"""Mass-spring cloth, energies and their derivatives."""
import numpy as np


def spring_energy_forward(pos, edges, rest=0.8, k=3.0):
    d = pos[edges[:, 0]] - pos[edges[:, 1]]
    length = np.sqrt((d ** 2).sum(axis=1))
    E = 0.5 * k * np.sum((length - rest) ** 2)
    return E, (pos.shape, edges, d, length, rest, k)


def spring_energy_backward(dE, cache):
    shape, edges, d, length, rest, k = cache
    # Hooke: F = -k (l - l0) * direction
    F = -k * ((length - rest) / length)[:, None] * d
    out = np.zeros(shape)
    np.add.at(out, edges[:, 0], F)
    np.add.at(out, edges[:, 1], -F)
    return {"pos": dE * out}


def gravity_energy_forward(pos, mass, g=9.81):
    return g * np.sum(mass * pos[:, 1]), (pos, mass, g)


def gravity_energy_backward(dE, cache):
    pos, mass, g = cache
    dpos = np.zeros_like(pos)
    dpos[:, 1] = g * mass
    return {"pos": dE * dpos, "mass": dE * g * pos[:, 1]}
''', '''
    "spring_energy": {"pos": _r.randn(4, 2), "edges": np.array([[0, 1], [1, 2], [2, 3], [3, 0], [0, 2]])},
    "gravity_energy": {"pos": _r.randn(4, 2), "mass": _r.rand(4) + .5},
''', pair="spring_energy", slip="the force is minus the gradient of the energy; k * (length - rest) / length * d without the minus.",
    wrong=("pos",), causes=("sign",))

put("decoder_upsample_strided", "image segmentation course project", r'''
import numpy as np


class Upsample2x:
    """Nearest neighbour upsampling, NCHW."""

    def forward(self, x):
        return np.kron(x, np.ones((1, 1, 2, 2)))

    def backward(self, dout):
        return dout[:, :, ::2, ::2]


class ZeroPad2d:
    def __init__(self, p=1):
        self.p = p

    def forward(self, x):
        p = self.p
        return np.pad(x, [(0, 0), (0, 0), (p, p), (p, p)])

    def backward(self, dout):
        p = self.p
        return dout[:, :, p:-p, p:-p]


class Conv1x1:
    def __init__(self, cin=2, cout=3):
        rng = np.random.RandomState(7)
        self.W = rng.randn(cout, cin)
        self.b = rng.randn(cout)

    def forward(self, x):
        self.x = x
        return np.einsum('oc,nchw->nohw', self.W, x) + self.b.reshape(1, -1, 1, 1)

    def backward(self, dout):
        self.dW = np.einsum('nohw,nchw->oc', dout, self.x)
        self.db = dout.sum((0, 2, 3))
        return np.einsum('oc,nohw->nchw', self.W, dout)
''', '''
    "Upsample2x": {"init": {}, "x": _r.randn(3, 2, 2, 2)},
    "ZeroPad2d": {"init": {"p": 1}, "x": _r.randn(3, 1, 2, 3)},
    "Conv1x1": {"init": {"cin": 2, "cout": 3}, "x": _r.randn(3, 2, 2, 2)},
''', pair="Upsample2x", slip="every input pixel has four copies, only the upper left one's gradient is taken; sum the 2x2 blocks.",
    wrong=("x",), causes=("missing-term",))

put("tied_autoencoder_one_path", "Stanford UFLDL-like autoencoder", r'''
import numpy as np


def sigm(t):
    return 1.0 / (1.0 + np.exp(-t))


def tied_autoencoder_forward(x, W, b_enc, b_dec):
    """Denoising autoencoder with tied weights: decoder uses W'."""
    h = sigm(x @ W + b_enc)
    r = sigm(h @ W.T + b_dec)
    return r, (x, W, h, r)


def tied_autoencoder_backward(dr, cache):
    x, W, h, r = cache
    delta_dec = dr * r * (1 - r)
    delta_enc = (delta_dec @ W) * h * (1 - h)
    W_grad = x.T @ delta_enc
    b_enc_grad = delta_enc.sum(axis=0)
    b_dec_grad = delta_dec.sum(axis=0)
    x_grad = delta_enc @ W.T
    return x_grad, W_grad, b_enc_grad, b_dec_grad


def sparsity_forward(h, rho=0.05):
    rho_hat = h.mean(axis=0)
    kl = rho * np.log(rho / rho_hat) + (1 - rho) * np.log((1 - rho) / (1 - rho_hat))
    return kl.sum(), (h.shape, rho, rho_hat)


def sparsity_backward(dkl, cache):
    shape, rho, rho_hat = cache
    row = (-rho / rho_hat + (1 - rho) / (1 - rho_hat)) / shape[0]
    return dkl * np.tile(row, (shape[0], 1))
''', '''
    "tied_autoencoder": {"x": _r.rand(4, 5), "W": _r.randn(5, 3), "b_enc": _r.randn(3), "b_dec": _r.randn(5)},
    "sparsity": {"h": _r.rand(4, 3) * .8 + .1},
''', pair="tied_autoencoder", slip="W is used twice, the decoder's part delta_dec.T @ h is missing in W_grad.",
    wrong=("W",), causes=("missing-term",))

put("char_rnn_bptt", "min-char-rnn-like, Chinese course comments", r'''
# -*- coding: utf-8 -*-
# 作业三: 循环神经网络 (RNN)
import numpy as np


def rnn_forward(x, h0, Wx, Wh, b):
    """
    x: (N, T, D) 输入序列, h0: (N, H) 初始状态
    返回 h: (N, T, H)
    """
    N, T, D = x.shape
    h = np.zeros((N, T, h0.shape[1]))
    prev = h0
    for t in range(T):
        prev = np.tanh(x[:, t] @ Wx + prev @ Wh + b)
        h[:, t] = prev
    return h, (x, h0, Wx, Wh, h)


def rnn_backward(dh, cache):
    x, h0, Wx, Wh, h = cache
    N, T, D = x.shape
    dx = np.zeros_like(x)
    dWx, dWh = np.zeros_like(Wx), np.zeros_like(Wh)
    db = np.zeros(Wh.shape[0])
    dnext = np.zeros_like(h0)
    for t in reversed(range(T)):
        prev = h[:, t - 1] if t > 0 else h0
        da = (dh[:, t] + dnext) * (1 - h[:, t] ** 2)   # tanh 的导数
        dx[:, t] = da @ Wx.T
        dWx += x[:, t].T @ da
        dWh += prev.T @ da
        db += da.sum(axis=0)
        dnext = da @ Wh
    return dx, dnext, dWx, dWh, db


def temporal_affine_forward(x, w, b):
    """ 每个时间步共享同一个全连接层 """
    N, T, D = x.shape
    return (x.reshape(N * T, D) @ w).reshape(N, T, -1) + b, (x, w)


def temporal_affine_backward(dout, cache):
    x, w = cache
    N, T, D = x.shape
    d2 = dout.reshape(N * T, -1)
    return (d2 @ w.T).reshape(x.shape), x.reshape(N * T, D).T @ d2, d2.sum(axis=0)
''', '''
    "rnn": {"x": _r.randn(3, 4, 2), "h0": _r.randn(3, 3), "Wx": _r.randn(2, 3), "Wh": _r.randn(3, 3), "b": _r.randn(3) * .1},
    "temporal_affine": {"x": _r.randn(3, 2, 3), "w": _r.randn(3, 4), "b": _r.randn(4)},
''', pair="rnn", slip="the gradient to the previous state goes through Wh transposed; dnext = da @ Wh.T.",
    wrong=("x", "h0", "Wx", "Wh", "b"), causes=("transpose", "unknown"))

put("camada_densa_transposta", "Brazilian course, layer classes in Portuguese", r'''
import numpy as np


class CamadaDensa:
    """Camada totalmente conectada: saida = entrada @ W + b"""

    def __init__(self, n=4, semente=0):
        gerador = np.random.RandomState(semente)
        self.W = gerador.randn(n, n) * np.sqrt(2.0 / n)
        self.b = gerador.randn(n) * 0.1
        self.dW = None
        self.db = None

    def forward(self, entrada):
        self.entrada = entrada
        return entrada @ self.W + self.b

    def backward(self, grad):
        self.dW = grad.T @ self.entrada
        self.db = grad.sum(axis=0)
        return grad @ self.W.T


class Sigmoide:
    def forward(self, entrada):
        self.saida = 1 / (1 + np.exp(-entrada))
        return self.saida

    def backward(self, grad):
        return grad * self.saida * (1 - self.saida)


class Residual:
    """y = x + tanh(x @ W), W quadrada"""

    def __init__(self, n=4, semente=1):
        self.W = np.random.RandomState(semente).randn(n, n) * 0.5

    def forward(self, entrada):
        self.entrada = entrada
        self.t = np.tanh(entrada @ self.W)
        return entrada + self.t

    def backward(self, grad):
        d = grad * (1 - self.t ** 2)
        self.dW = self.entrada.T @ d
        return grad + d @ self.W.T
''', '''
    "CamadaDensa": {"init": {"n": 4, "semente": 0}, "x": _r.randn(5, 4)},
    "Sigmoide": {"init": {}, "x": _r.randn(5, 4)},
    "Residual": {"init": {"n": 4, "semente": 1}, "x": _r.randn(5, 4)},
''', hidden=True, pair="CamadaDensa", slip="dW is transposed (W is square, so nobody notices); self.entrada.T @ grad.",
    wrong=("W",), causes=("transpose",))

put("pairwise_distance_diagonal", "metric learning seminar", r'''
import numpy as np


def pairwise_distances_forward(X):
    """Euclidean distance matrix D[i, j] = ||x_i - x_j||"""
    diff = X[:, None, :] - X[None, :, :]
    D = np.sqrt(np.sum(diff * diff, axis=-1))
    return D, (diff, D)


def pairwise_distances_backward(dD, cache):
    diff, D = cache
    with np.errstate(divide="ignore", invalid="ignore"):
        g = dD / D
        G = g[:, :, None] * diff
    dX = G.sum(axis=1) - G.sum(axis=0)
    return dX


def rbf_kernel_forward(X, Y, gamma=0.4):
    sq = (X ** 2).sum(1)[:, None] + (Y ** 2).sum(1)[None, :] - 2 * X @ Y.T
    K = np.exp(-gamma * sq)
    return K, (X, Y, gamma, K)


def rbf_kernel_backward(dK, cache):
    X, Y, gamma, K = cache
    S = -gamma * dK * K
    dX = 2 * (S.sum(1)[:, None] * X - S @ Y)
    dY = 2 * (S.sum(0)[:, None] * Y - S.T @ X)
    return dX, dY
''', '''
    "pairwise_distances": {"X": _r.randn(5, 3)},
    "rbf_kernel": {"X": _r.randn(4, 2), "Y": _r.randn(3, 2)},
''', pair="pairwise_distances", slip="the diagonal is 0 / 0; divide by D where D > 0 only and put 0 elsewhere.",
    wrong=("X",), causes=("non-finite",))

put("lstm_cell_tanh_of_cell", "LSTM from scratch, blog style", r'''
import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


class LSTMCell:
    """ h' of one LSTM step from zero hidden state and a fixed previous cell """

    def __init__(self, n_in=3, n_hid=2, seed=5):
        rng = np.random.RandomState(seed)
        self.W = rng.randn(n_in, 4 * n_hid) * 0.8
        self.b = rng.randn(4 * n_hid) * 0.3
        self.c_prev = 0.7
        self.H = n_hid
        self.dW = np.zeros_like(self.W)
        self.db = np.zeros_like(self.b)

    def forward(self, x):
        H = self.H
        z = np.dot(x, self.W) + self.b
        self.x = x
        self.i = sigmoid(z[:, :H])
        self.f = sigmoid(z[:, H:2 * H])
        self.o = sigmoid(z[:, 2 * H:3 * H])
        self.g = np.tanh(z[:, 3 * H:])
        self.c = self.f * self.c_prev + self.i * self.g
        return self.o * np.tanh(self.c)

    def backward(self, dh):
        i, f, o, g, c = self.i, self.f, self.o, self.g, self.c
        do = dh * np.tanh(c)
        dc = dh * o * (1 - c ** 2)
        df = dc * self.c_prev
        di = dc * g
        dg = dc * i
        dz = np.hstack([di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g ** 2)])
        self.dW = np.dot(self.x.T, dz)
        self.db = dz.sum(axis=0)
        return np.dot(dz, self.W.T)


class TimeMean:
    def forward(self, x):
        self.n = x.shape[1]
        return x.mean(axis=1)

    def backward(self, dy):
        return np.stack([dy / self.n] * self.n, axis=1)
''', '''
    "LSTMCell": {"init": {"n_in": 3, "n_hid": 2, "seed": 5}, "x": _r.randn(4, 3) * 1.5},
    "TimeMean": {"init": {}, "x": _r.randn(3, 4, 2)},
''', pair="LSTMCell", slip="the slope of tanh(c) is 1 - tanh(c)**2, not 1 - c**2.",
    wrong=("x", "W", "b"), causes=("elementwise-factor",))

put("per_sample_loop_overwritten", "first-year project, loops over samples", r'''
# Neural network project - per sample loops (no vectorization yet!)
import numpy as np


def layer_forward(X, W, B):
    n_samples = X.shape[0]
    n_out = W.shape[0]
    Y = np.zeros((n_samples, n_out))
    for s in range(n_samples):
        Y[s] = np.dot(W, X[s]) + B
    return Y, [X, W, B]


def layer_backward(dY, cache):
    X, W, B = cache
    dX = np.zeros(X.shape)
    dW = np.zeros(W.shape)
    dB = np.zeros(B.shape)
    for s in range(X.shape[0]):
        dX[s] = np.dot(W.T, dY[s])
        dW = np.outer(dY[s], X[s])
        dB = dB + dY[s]
    return dX, dW, dB


def square_forward(X):
    Y = X.copy()
    for s in range(X.shape[0]):
        for k in range(X.shape[1]):
            Y[s][k] = X[s][k] ** 2
    return Y, X


def square_backward(dY, X):
    dX = np.zeros(X.shape)
    for s in range(X.shape[0]):
        for k in range(X.shape[1]):
            dX[s][k] = 2 * X[s][k] * dY[s][k]
    return dX
''', '''
    "layer": {"X": _r.randn(4, 3), "W": _r.randn(2, 3), "B": _r.randn(2)},
    "square": {"X": _r.randn(3, 4)},
''', pair="layer", slip="dW is overwritten for each sample so only the last row counts; dW += np.outer(...).",
    wrong=("W",), causes=("batch-sum",))

# ------------------------------------------------------------------ right ones

put("ok_cs_pool_and_losses", "CS231n-like, in-place own buffers", r'''
import numpy as np


def max_pool_forward(x, size=2, stride=1):
    N, C, H, W = x.shape
    Ho, Wo = (H - size) // stride + 1, (W - size) // stride + 1
    out = np.empty((N, C, Ho, Wo))
    for i in range(Ho):
        for j in range(Wo):
            out[:, :, i, j] = x[:, :, i*stride:i*stride+size, j*stride:j*stride+size].max(axis=(2, 3))
    return out, (x, out, size, stride)


def max_pool_backward(dout, cache):
    x, out, size, stride = cache
    dx = np.zeros_like(x)
    for i in range(out.shape[2]):
        for j in range(out.shape[3]):
            win = x[:, :, i*stride:i*stride+size, j*stride:j*stride+size]
            mask = win == out[:, :, i, j][:, :, None, None]
            dx[:, :, i*stride:i*stride+size, j*stride:j*stride+size] += mask * dout[:, :, i, j][:, :, None, None]
    return dx


def softmax_loss_forward(x, y):
    p = x - x.max(1, keepdims=True)
    np.exp(p, out=p)
    p /= p.sum(1, keepdims=True)
    loss = -np.log(p[np.arange(len(y)), y]).sum() / len(y)
    return loss, (p, y)


def softmax_loss_backward(dloss, cache):
    p, y = cache
    dx = p.copy()
    dx[np.arange(len(y)), y] -= 1
    dx *= dloss / len(y)
    return dx


def hinge_forward(x, y):
    N = len(x)
    m = np.maximum(0, x - x[np.arange(N), y][:, None] + 1.0)
    m[np.arange(N), y] = 0
    return m.sum() / N, (m, y)


def hinge_backward(dloss, cache):
    m, y = cache
    d = (m > 0).astype(float)
    d[np.arange(len(y)), y] -= d.sum(1)
    return d * (dloss / len(y))
''', '''
    "max_pool": {"x": _r.randn(3, 1, 3, 4)},
    "softmax_loss": {"x": _r.randn(4, 3), "y": np.array([0, 2, 1, 1])},
    "hinge": {"x": _r.randn(4, 3), "y": np.array([2, 0, 1, 1])},
''')

put("ok_coursera_columns", "Coursera-like, dictionaries", r'''
import numpy as np


def model_forward(X, W1, b1, W2, b2):
    Z1 = np.dot(W1, X) + b1
    A1 = np.maximum(0, Z1)
    Z2 = np.dot(W2, A1) + b2
    A2 = 1 / (1 + np.exp(-Z2))
    cache = {"X": X, "Z1": Z1, "A1": A1, "A2": A2, "W1": W1, "W2": W2}
    return A2, cache


def model_backward(dA2, cache):
    A2 = cache["A2"]
    dZ2 = dA2 * A2 * (1 - A2)
    dW2 = np.dot(dZ2, cache["A1"].T)
    db2 = np.sum(dZ2, axis=1, keepdims=True)
    dA1 = np.dot(cache["W2"].T, dZ2)
    dZ1 = np.array(dA1, copy=True)
    dZ1[cache["Z1"] <= 0] = 0
    dW1 = np.dot(dZ1, cache["X"].T)
    db1 = np.sum(dZ1, axis=1, keepdims=True)
    grads = {"dX": np.dot(cache["W1"].T, dZ1), "dW1": dW1, "db1": db1, "dW2": dW2, "db2": db2}
    return grads


def cost_forward(A, Y):
    m = Y.shape[1]
    return -np.sum(np.where(Y == 1, np.log(A), np.log1p(-A))) / m, (A, Y)


def cost_backward(dcost, cache):
    A, Y = cache
    return {"dA": dcost * (A - Y) / (A * (1 - A)) / Y.shape[1]}
''', '''
    "model": {"X": _r.randn(3, 5), "W1": _r.randn(4, 3), "b1": _r.randn(4, 1), "W2": _r.randn(1, 4), "b2": _r.randn(1, 1)},
    "cost": {"A": _r.rand(1, 5) * .8 + .1, "Y": np.array([[1, 0, 0, 1, 1]])},
''')

put("ok_nnfs_like", "nnfs-like with Jacobian loop", r'''
import numpy as np


class Layer_Dense:
    def __init__(self, n_inputs=3, n_neurons=4):
        rs = np.random.RandomState(2)
        self.weights = rs.randn(n_inputs, n_neurons)
        self.biases = np.zeros((1, n_neurons))

    def forward(self, inputs):
        self.inputs = inputs
        self.output = np.dot(inputs, self.weights) + self.biases
        return self.output

    def backward(self, dvalues):
        self.dweights = np.dot(self.inputs.T, dvalues)
        self.dbiases = np.sum(dvalues, axis=0, keepdims=True)
        self.dinputs = np.dot(dvalues, self.weights.T)
        return self.dinputs


class Activation_Softmax:
    def forward(self, inputs):
        e = np.exp(inputs - np.max(inputs, axis=1, keepdims=True))
        self.output = e / np.sum(e, axis=1, keepdims=True)
        return self.output

    def backward(self, dvalues):
        # Create uninitialized array
        self.dinputs = np.empty_like(dvalues)
        for index, (single_output, single_dvalues) in enumerate(zip(self.output, dvalues)):
            single_output = single_output.reshape(-1, 1)
            jacobian_matrix = np.diagflat(single_output) - np.dot(single_output, single_output.T)
            self.dinputs[index] = np.dot(jacobian_matrix, single_dvalues)
        return self.dinputs


class Activation_ReLU:
    def forward(self, inputs):
        self.inputs = inputs
        self.output = np.maximum(0, inputs)
        return self.output

    def backward(self, dvalues):
        self.dinputs = dvalues.copy()
        self.dinputs[self.inputs <= 0] = 0
        return self.dinputs
''', '''
    "Layer_Dense": {"init": {"n_inputs": 3, "n_neurons": 4}, "x": _r.randn(4, 3)},
    "Activation_Softmax": {"init": {}, "x": _r.randn(4, 3)},
    "Activation_ReLU": {"init": {}, "x": _r.randn(4, 3)},
''')

put("ok_lstm_sequence", "recurrent assignment", r'''
import numpy as np


def sig(a):
    return .5 * (1 + np.tanh(.5 * a))


def lstm_forward(x, h0, Wx, Wh, b):
    N, T, D = x.shape
    H = h0.shape[1]
    h, c, out, steps = h0, np.zeros_like(h0), [], []
    for t in range(T):
        a = x[:, t] @ Wx + h @ Wh + b
        i, f, o = sig(a[:, :H]), sig(a[:, H:2*H]), sig(a[:, 2*H:3*H])
        g = np.tanh(a[:, 3*H:])
        cn = f * c + i * g
        steps.append((h, c, i, f, o, g, np.tanh(cn)))
        c = cn
        h = o * steps[-1][-1]
        out.append(h)
    return np.stack(out, 1), (x, Wx, Wh, steps)


def lstm_backward(dout, cache):
    x, Wx, Wh, steps = cache
    dx = np.empty_like(x)
    dWx = dWh = db = 0
    dh = dc = 0
    for t in range(len(steps) - 1, -1, -1):
        hp, cp, i, f, o, g, tc = steps[t]
        dh = dh + dout[:, t]
        dc = dc + dh * o * (1 - tc * tc)
        da = np.concatenate([dc * g * i * (1 - i), dc * cp * f * (1 - f), dh * tc * o * (1 - o), dc * i * (1 - g * g)], 1)
        dx[:, t] = da @ Wx.T
        dWx = dWx + x[:, t].T @ da
        dWh = dWh + hp.T @ da
        db = db + da.sum(0)
        dh = da @ Wh.T
        dc = dc * f
    return dx, dh, dWx, dWh, db
''', '''
    "lstm": {"x": _r.randn(3, 3, 2), "h0": _r.randn(3, 2), "Wx": _r.randn(2, 8), "Wh": _r.randn(2, 8), "b": _r.randn(8)},
''')

put("ok_batchnorm_running_stats", "small library, stateful batch norm", r'''
import numpy as np


class BatchNorm:
    def __init__(self, n=3, momentum=0.9, eps=1e-5):
        self.gamma = np.linspace(.5, 2., n)
        self.beta = np.linspace(-1., 1., n)
        self.momentum, self.eps = momentum, eps
        self.running_mean, self.running_var = np.zeros(n), np.ones(n)
        self.training = True

    def forward(self, x):
        if self.training:
            m, v = x.mean(0), x.var(0)
            self.running_mean *= self.momentum
            self.running_mean += (1 - self.momentum) * m
            self.running_var = self.momentum * self.running_var + (1 - self.momentum) * v
        else:
            m, v = self.running_mean, self.running_var
        self.inv = (v + self.eps) ** -0.5
        self.xhat = (x - m) * self.inv
        return self.gamma * self.xhat + self.beta

    def backward(self, dout):
        n = dout.shape[0]
        self.dgamma = np.einsum('nd,nd->d', dout, self.xhat)
        self.dbeta = dout.sum(0)
        if not self.training:
            return dout * self.gamma * self.inv
        return self.gamma * self.inv / n * (n * dout - self.dbeta - self.xhat * self.dgamma)


class Flatten:
    def forward(self, x):
        self.shape = x.shape
        return x.ravel().reshape(len(x), -1)

    def backward(self, d):
        return d.reshape(*self.shape)
''', '''
    "BatchNorm": {"init": {"n": 3}, "x": _r.randn(6, 3) * 3 + 2},
    "Flatten": {"init": {}, "x": _r.randn(3, 2, 2)},
''')

put("ok_causal_multihead", "GPT in numpy", r'''
import numpy as np


def causal_attention_forward(x, Wqkv, Wo, n_head=2):
    B, T, C = x.shape
    hs = C // n_head
    qkv = (x @ Wqkv).reshape(B, T, 3, n_head, hs).transpose(2, 0, 3, 1, 4)
    q, k, v = qkv
    s = q @ k.swapaxes(-1, -2) * hs ** -0.5
    s = np.where(np.tril(np.ones((T, T), bool)), s, -np.inf)
    p = np.exp(s - s.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    y = (p @ v).transpose(0, 2, 1, 3).reshape(B, T, C)
    return y @ Wo, (x, Wqkv, Wo, q, k, v, p, y, n_head)


def causal_attention_backward(dout, cache):
    x, Wqkv, Wo, q, k, v, p, y, n_head = cache
    B, T, C = x.shape
    hs = C // n_head
    dWo = np.einsum('btc,btd->cd', y, dout)
    dy = (dout @ Wo.T).reshape(B, T, n_head, hs).transpose(0, 2, 1, 3)
    dv = p.swapaxes(-1, -2) @ dy
    dp = dy @ v.swapaxes(-1, -2)
    ds = p * (dp - np.sum(dp * p, -1, keepdims=True)) * hs ** -0.5
    dq, dk = ds @ k, ds.swapaxes(-1, -2) @ q
    dqkv = np.stack([dq, dk, dv]).transpose(1, 3, 0, 2, 4).reshape(B, T, 3 * C)
    return {"x": dqkv @ Wqkv.T, "Wqkv": np.einsum('btc,btd->cd', x, dqkv), "Wo": dWo}
''', '''
    "causal_attention": {"x": _r.randn(3, 3, 4), "Wqkv": _r.randn(4, 12) * .5, "Wo": _r.randn(4, 4)},
''')

put("ok_stable_extremes", "numerics lecture, huge values", r'''
import numpy as np


def logsumexp(x):
    m = x.max(axis=-1, keepdims=True)
    e = np.exp(x - m)
    s = e.sum(axis=-1, keepdims=True)
    return (m + np.log(s))[..., 0], e / s


def logsumexp_backward(g, softmax):
    return g[..., None] * softmax


def softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))), x


def softplus_backward(g, x):
    t = np.exp(-np.abs(x))
    return g * np.where(x >= 0, 1, t) / (1 + t)


def log_softmax(x):
    z = x - x.max(1, keepdims=True)
    out = z - np.log(np.exp(z).sum(1, keepdims=True))
    return out, out


def log_softmax_backward(g, out):
    return g - np.exp(out) * g.sum(1, keepdims=True)


def bce_with_logits(logits, labels):
    return np.maximum(logits, 0) - logits * labels + np.log1p(np.exp(-abs(logits))), (logits, labels)


def bce_with_logits_backward(g, cache):
    logits, labels = cache
    return {"logits": g * (0.5 * np.tanh(0.5 * logits) + 0.5 - labels)}
''', '''
    "logsumexp": {"x": np.array([[900., 901., 899.], [-800., -801.5, -800.2], [0.1, 0.2, -3.]])},
    "softplus": {"x": np.array([[-50., 60., 0.3], [2., -3., 1.]])},
    "log_softmax": {"x": _r.randn(4, 3) * 5},
    "bce_with_logits": {"logits": np.array([[30., -30., .5], [1., -2., 3.]]), "labels": np.array([[1, 0, 1], [0, 0, 1]])},
''')

put("ok_group_norm_dict", "vision assignment, group norm", r'''
import numpy as np


def groupnorm_forward(x, gamma, beta, G=2, eps=1e-5):
    N, C, H, W = x.shape
    xg = x.reshape(N * G, -1).T
    mu = xg.mean(0)
    v = ((xg - mu) ** 2).mean(0)
    xn = ((xg - mu) / np.sqrt(v + eps)).T.reshape(x.shape)
    return gamma * xn + beta, (xn, gamma, v, G, eps)


def groupnorm_backward(dout, cache):
    xn, gamma, v, G, eps = cache
    shape = dout.shape
    dgamma = (dout * xn).sum(axis=(0, 2, 3), keepdims=True)
    dbeta = dout.sum(axis=(0, 2, 3), keepdims=True)
    d = (dout * gamma).reshape(shape[0] * G, -1).T
    z = xn.reshape(shape[0] * G, -1).T
    M = d.shape[0]
    dx = (M * d - d.sum(0) - z * (d * z).sum(0)) / (M * np.sqrt(v + eps))
    return dx.T.reshape(shape), dgamma, dbeta
''', '''
    "groupnorm": {"x": _r.randn(3, 4, 1, 3), "gamma": _r.randn(1, 4, 1, 1), "beta": _r.randn(1, 4, 1, 1)},
''')

put("ok_modern_activations", "port of a framework's activations", r'''
import numpy as np

_C = np.sqrt(2 / np.pi)


class GELU:
    def forward(self, x):
        self.x = x
        self.t = np.tanh(_C * (x + 0.044715 * x ** 3))
        return 0.5 * x * (1 + self.t)

    def backward(self, g):
        x, t = self.x, self.t
        return g * (0.5 * (1 + t) + 0.5 * x * (1 - t ** 2) * _C * (1 + 3 * 0.044715 * x ** 2))


class Mish:
    def forward(self, x):
        self.x = x
        self.w = np.tanh(np.log1p(np.exp(x)))
        return x * self.w

    def backward(self, g):
        s = 1 / (1 + np.exp(-self.x))
        return g * (self.w + self.x * s * (1 - self.w ** 2))


class HardSwish:
    def forward(self, x):
        self.x = x
        return x * np.clip(x + 3, 0, 6) / 6

    def backward(self, g):
        x = self.x
        slope = (2 * x + 3) / 6
        slope[x <= -3] = 0
        slope[x >= 3] = 1
        return g * slope


class SELU:
    A, L = 1.6732632423543772, 1.0507009873554805

    def forward(self, x):
        self.out = self.L * np.where(x > 0, x, self.A * np.expm1(np.minimum(x, 0)))
        return self.out

    def backward(self, g):
        return g * np.where(self.out > 0, self.L, self.out + self.L * self.A)
''', '''
    "GELU": {"init": {}, "x": _r.randn(4, 3)},
    "Mish": {"init": {}, "x": _r.randn(4, 3)},
    "HardSwish": {"init": {}, "x": _r.randn(4, 5) * 3},
    "SELU": {"init": {}, "x": _r.randn(4, 3)},
''', hidden=True)

put("ok_graph_conv", "graph learning exercise, integer adjacency", r'''
import numpy as np


def gcn_forward(X, W, A):
    """A: integer adjacency (n, n), directed; row-normalised with self loops"""
    At = A + np.eye(len(A), dtype=int)
    P = At / At.sum(axis=1, keepdims=True)
    Z = P @ X @ W
    return np.maximum(Z, 0), dict(P=P, X=X, W=W, Z=Z)


def gcn_backward(dH, cache):
    dZ = dH * (cache["Z"] > 0)
    PdZ = cache["P"].T @ dZ
    return {"dX": PdZ @ cache["W"].T, "dW": cache["X"].T @ PdZ}


def readout_forward(H, graph_id):
    n = graph_id.max() + 1
    out = np.zeros((n, H.shape[1]))
    np.add.at(out, graph_id, H)
    return out, graph_id


def readout_backward(dout, graph_id):
    return {"dH": dout[graph_id]}
''', '''
    "gcn": {"X": _r.randn(5, 3), "W": _r.randn(3, 2), "A": np.array([[0,1,0,0,1],[0,0,1,0,0],[1,0,0,1,0],[0,0,0,0,1],[0,1,1,0,0]])},
    "readout": {"H": _r.randn(5, 2), "graph_id": np.array([0, 1, 1, 0, 2])},
''')

put("ok_embedding_tied_output", "language model homework", r'''
import numpy as np


def tied_lm_forward(E, tokens):
    """mean of embeddings -> logits with the same table E"""
    h = E[tokens].mean(axis=1)
    return h @ E.T, (E, tokens, h)


def tied_lm_backward(dlogits, cache):
    E, tokens, h = cache
    dE = dlogits.T @ h
    dh = dlogits @ E
    np.add.at(dE, tokens, np.repeat(dh[:, None] / tokens.shape[1], tokens.shape[1], axis=1))
    return dE


def positional_forward(x, P):
    T = x.shape[1]
    return x + P[:T], (T, P.shape)


def positional_backward(dy, cache):
    T, shape = cache
    dP = np.zeros(shape)
    dP[:T] = dy.sum(axis=0)
    return dy.copy(), dP
''', '''
    "tied_lm": {"E": _r.randn(5, 3), "tokens": np.array([[0, 0, 3], [1, 4, 0], [2, 2, 2]])},
    "positional": {"x": _r.randn(3, 2, 4), "P": _r.randn(3, 4)},
''')

put("ok_highway_params_dict", "Italian university, params and grads dicts", r'''
# Esercitazione 5: reti highway
import numpy as np


class Highway:
    """y = t * tanh(x Wh + bh) + (1 - t) * x,   t = sigma(x Wt + bt)"""

    def __init__(self, n=3, seme=0):
        g = np.random.RandomState(seme)
        self.params = {'Wh': g.randn(n, n), 'bh': g.randn(n), 'Wt': g.randn(n, n), 'bt': -np.ones(n)}
        self.grads = {k: np.zeros_like(v) for k, v in self.params.items()}

    def forward(self, x):
        p = self.params
        h = np.tanh(x @ p['Wh'] + p['bh'])
        t = 1 / (1 + np.exp(-(x @ p['Wt'] + p['bt'])))
        self.memoria = x, h, t
        return t * h + (1 - t) * x

    def backward(self, dy):
        p = self.params
        x, h, t = self.memoria
        dah = dy * t * (1 - h * h)
        dat = dy * (h - x) * t * (1 - t)
        self.grads['Wh'][...] = x.T @ dah
        self.grads['bh'][...] = dah.sum(0)
        self.grads['Wt'][...] = x.T @ dat
        self.grads['bt'][...] = dat.sum(0)
        return dy * (1 - t) + dah @ p['Wh'].T + dat @ p['Wt'].T


class Normalizza:
    """righe a norma unitaria"""

    def forward(self, x):
        self.r = np.linalg.norm(x, axis=1, keepdims=True)
        self.u = x / self.r
        return self.u

    def backward(self, dy):
        return (dy - self.u * np.sum(dy * self.u, axis=1, keepdims=True)) / self.r
''', '''
    "Highway": {"init": {"n": 3, "seme": 2}, "x": _r.randn(4, 3)},
    "Normalizza": {"init": {}, "x": _r.randn(4, 3)},
''')

put("ok_lennard_jones", "molecular dynamics project", r'''
import numpy as np


def lennard_jones_forward(R, eps=1.0, sigma=1.0):
    i, j = np.triu_indices(len(R), k=1)
    d = R[i] - R[j]
    r2 = np.einsum('pk,pk->p', d, d)
    s6 = (sigma ** 2 / r2) ** 3
    return 4 * eps * np.sum(s6 * s6 - s6), (R, i, j, d, r2, s6, eps)


def lennard_jones_backward(dU, cache):
    R, i, j, d, r2, s6, eps = cache
    # -F = dU/dr * r/|r|
    pref = -24 * eps * (2 * s6 ** 2 - s6) / r2
    f = pref[:, None] * d
    out = np.zeros_like(R)
    np.add.at(out, i, f)
    np.subtract.at(out, j, f)
    return {"R": dU * out}


def rotate_forward(theta, pts):
    """theta: 0-d array, pts (n, 2)"""
    c, s = np.cos(theta), np.sin(theta)
    M = np.array([[c, -s], [s, c]])
    return pts @ M.T, (c, s, M, pts)


def rotate_backward(dy, cache):
    c, s, M, pts = cache
    dM = dy.T @ pts
    dtheta = -s * (dM[0, 0] + dM[1, 1]) + c * (dM[1, 0] - dM[0, 1])
    return {"theta": np.asarray(dtheta), "pts": dy @ M}
''', '''
    "lennard_jones": {"R": np.array([[0., 0., 0.], [1.2, .1, 0.], [.2, 1.3, .3], [1.1, 1.2, -.4]])},
    "rotate": {"theta": np.array(0.7), "pts": _r.randn(4, 2)},
''')

put("ok_transposed_conv_shuffle", "super resolution repo, Turkish comments", r'''
import numpy as np


def pixel_shuffle_forward(x, r=2):
    # kanallari uzamsal boyuta tasi
    n, c, h, w = x.shape
    y = x.reshape(n, c // r**2, r, r, h, w).transpose(0, 1, 4, 2, 5, 3)
    return y.reshape(n, c // r**2, h * r, w * r), (x.shape, r)


def pixel_shuffle_backward(dy, cache):
    (n, c, h, w), r = cache
    return dy.reshape(n, c // r**2, h, r, w, r).transpose(0, 1, 3, 5, 2, 4).reshape(n, c, h, w)


def conv_transpose_forward(x, w, stride=2):
    # x: (N, C, L), w: (C, F, K)
    N, C, L = x.shape
    K = w.shape[2]
    y = np.zeros((N, w.shape[1], (L - 1) * stride + K))
    for l in range(L):
        y[:, :, l*stride:l*stride + K] += np.einsum('nc,cfk->nfk', x[:, :, l], w)
    return y, (x, w, stride)


def conv_transpose_backward(dy, cache):
    x, w, stride = cache
    K = w.shape[2]
    pencere = np.lib.stride_tricks.sliding_window_view(dy, K, axis=2)[:, :, ::stride]
    dx = np.einsum('nflk,cfk->ncl', pencere, w)
    dw = np.einsum('ncl,nflk->cfk', x, pencere)
    return dx, dw
''', '''
    "pixel_shuffle": {"x": _r.randn(3, 4, 1, 2)},
    "conv_transpose": {"x": _r.randn(3, 2, 3), "w": _r.randn(2, 2, 3)},
''')

put("ok_robust_losses", "regression losses, fast.ai-like classes with targets in the constructor", r'''
import numpy as np


class Huber:
    def __init__(self, target=0.0, delta=0.7):
        self.target, self.delta = target, delta

    def forward(self, inp):
        self.e = inp - self.target
        a = np.abs(self.e)
        return np.where(a <= self.delta, 0.5 * a * a, self.delta * (a - 0.5 * self.delta)).mean()

    def backward(self, dout):
        return dout * np.clip(self.e, -self.delta, self.delta) / self.e.size


class Pinball:
    """quantile loss"""

    def __init__(self, target=0.0, q=0.8):
        self.target, self.q = target, q

    def forward(self, inp):
        self.e = self.target - inp
        return np.maximum(self.q * self.e, (self.q - 1) * self.e)

    def backward(self, dout):
        return dout * ((self.e < 0) - self.q)


class LogCosh:
    def __init__(self, target=0.0):
        self.target = target

    def forward(self, inp):
        self.e = inp - self.target
        return (np.logaddexp(self.e, -self.e) - np.log(2)).sum(axis=-1)

    def backward(self, dout):
        return dout[:, None] * np.tanh(self.e)


class Lin:
    def __init__(self, w=None, b=None):
        self.w = np.array([[1., -2.], [.5, .3], [0., 1.]]) if w is None else w
        self.b = np.array([.1, -.1]) if b is None else b

    def forward(self, inp):
        self.inp = inp
        return inp @ self.w + self.b

    def backward(self, dout):
        self.dw = (self.inp[:, :, None] * dout[:, None, :]).sum(0)
        self.db = dout.sum(0)
        return dout @ self.w.T
''', '''
    "Huber": {"init": {"target": 0.1, "delta": 0.7}, "x": _r.randn(4, 2) * 1.5},
    "Pinball": {"init": {"target": 0.2, "q": 0.8}, "x": _r.randn(4, 3)},
    "LogCosh": {"init": {"target": 0.3}, "x": _r.randn(4, 3)},
    "Lin": {"init": {}, "x": _r.randn(4, 3)},
''')


# ------------------------------------------------------------------ verification

def _verify():
    import collections
    import numpy as np
    bad = 0

    def differs(a, n):
        a = np.asarray(a, float)
        if a.shape != n.shape or not np.all(np.isfinite(a)):
            return np.inf
        return np.max(np.abs(a - n)) / max(np.max(np.abs(n)), 1e-8)

    def numeric(f, arr, dy):
        g = np.zeros(arr.shape)
        for k in np.ndindex(arr.shape):
            o = arr[k]
            h = 1e-5
            arr[k] = o + h
            p = np.sum(f() * dy)
            arr[k] = o - h
            m = np.sum(f() * dy)
            arr[k] = o
            g[k] = (p - m) / (2 * h)
        return g

    for it in ITEMS:
        src = it.make()["source"]
        ns = {}
        exec(compile(src, it.name, "exec"), ns)
        if it.name in EX:
            assert "examples" not in ns
            exec(EX[it.name], ns)
        found = {}
        rng = np.random.RandomState(1)
        for key, ex in ns["examples"].items():
            res = {}
            if "init" in ex or key in ns and isinstance(ns[key], type):
                layer = ns[key](**ex["init"])
                x = ex["x"].copy()
                y = layer.forward(x)
                dy = rng.randn(*np.shape(y))
                dy = np.asarray(dy)
                dx = layer.backward(dy.copy())
                par = layer.params if hasattr(layer, "params") else {k: v for k, v in vars(layer).items() if hasattr(layer, "d" + k) or hasattr(layer, "grad_" + k)}
                got = {"x": np.array(dx)}
                for k in par:
                    got[k] = np.array(layer.grads[k] if hasattr(layer, "grads") else getattr(layer, "d" + k, None) if hasattr(layer, "d" + k) else getattr(layer, "grad_" + k))
                arrs = dict(par, x=x)
                for k in got:
                    res[k] = differs(got[k], numeric(lambda: np.array(layer.forward(x)), arrs[k], dy))
            else:
                fwd = ns.get(key + "_forward") or ns[key]
                bwd = ns[key + "_backward"]
                ins = {k: (v.copy() if v.dtype.kind == "f" else v) for k, v in ex.items()}
                y, cache = fwd(**ins)
                dy = np.asarray(rng.randn(*np.shape(y)))
                save = {k: v.copy() for k, v in ins.items()}
                out = bwd(dy.copy(), cache)
                assert all(np.array_equal(save[k], ins[k]) for k in ins), (it.name, key, "mutates")
                names = [k for k, v in ins.items() if v.dtype.kind == "f"]
                if not isinstance(out, (dict, tuple)):
                    out = (out,)
                if isinstance(out, tuple):
                    assert len(out) == len(names), (it.name, key)
                    out = dict(zip(names, out))
                out = {(k if k in ins else k[1:]): np.array(v) for k, v in out.items()}
                assert set(out) == set(names), (it.name, key, set(out), names)
                for k in names:
                    res[k] = differs(out[k], numeric(lambda: np.array(fwd(**ins)[0]), ins[k], dy))
            found[key] = res
        pair = PAIR[it.name]
        for key, res in found.items():
            for k, e in res.items():
                want = (not it.right) and key == pair and k in it.wrong
                ok = e > 0.01 if want else e < 1e-6
                if not ok:
                    bad += 1
                    print("BAD", it.name, key, k, e, "wanted wrong" if want else "wanted right")
        if not it.right:
            assert pair in found and set(it.wrong) <= set(found[pair]), it.name
        npairs = len(found)
        assert 1 <= npairs <= 5
    assert len({i.name for i in ITEMS}) == len(ITEMS)
    print("wrong", sum(not i.right for i in ITEMS), "right", sum(i.right for i in ITEMS), "bad", bad,
          dict(collections.Counter(i.check for i in ITEMS)), dict(collections.Counter(c for i in ITEMS for c in i.causes)))


if __name__ == "__main__":
    _verify()
