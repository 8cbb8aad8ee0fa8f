"""Items for the check of files: students' and repositories' files as text, 18 with one slip and 12 right ones."""

from typing import Callable, NamedTuple

import numpy as np  # noqa: F401


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
BEFORE_SLIP = {}  # name -> the text without its slip


def _right(name, style, source):
    source = source.lstrip("\n")
    ITEMS.append(Item(name, style, "file", lambda: {"source": source}, True))


def _wrong(name, style, source, old, new, slip, wrong, causes):
    source = source.lstrip("\n")
    assert source.count(old) == 1, (name, source.count(old))
    BEFORE_SLIP[name] = source
    text = source.replace(old, new)
    ITEMS.append(Item(name, style, "file", lambda: {"source": text}, False, slip, tuple(wrong), tuple(causes)))


# ---------------------------------------------------------------------------------------------------- wrong ones

_wrong(
    "cs231n_affine_batchnorm",
    "CS231n assignment",
    '''
import numpy as np


def affine_forward(x, w, b):
    """
    Inputs:
    - x: A numpy array of shape (N, D)
    - w: A numpy array of weights, of shape (D, M)
    - b: A numpy array of biases, of shape (M,)

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


def batchnorm_forward(x, gamma, beta, eps=1e-5):
    """
    Input:
    - x: Data of shape (N, D)
    - gamma: Scale parameter of shape (D,)
    - beta: Shift parameter of shape (D,)
    """
    N, D = x.shape
    # step 1: mean
    mu = 1. / N * np.sum(x, axis=0)
    # step 2: subtract it
    xmu = x - mu
    # step 3: variance
    sq = xmu ** 2
    var = 1. / N * np.sum(sq, axis=0)
    # step 4: normalize
    sqrtvar = np.sqrt(var + eps)
    ivar = 1. / sqrtvar
    xhat = xmu * ivar
    # step 5: scale and shift
    out = gamma * xhat + beta
    cache = (xhat, gamma, xmu, ivar, sqrtvar, var, eps)
    return out, cache


def batchnorm_backward(dout, cache):
    xhat, gamma, xmu, ivar, sqrtvar, var, eps = cache
    N, D = dout.shape

    dbeta = np.sum(dout, axis=0)
    dgamma = np.sum(dout * xhat, axis=0)
    dxhat = dout * gamma

    divar = np.sum(dxhat * xmu, axis=0)
    dxmu1 = dxhat * ivar
    dsqrtvar = -1. / (sqrtvar ** 2) * divar
    dvar = 0.5 * 1. / np.sqrt(var + eps) * dsqrtvar
    dsq = 1. / N * np.ones((N, D)) * dvar
    dxmu2 = 2 * xmu * dsq

    dx1 = dxmu1 + dxmu2
    dmu = -1 * np.sum(dxmu1 + dxmu2, axis=0)
    dx2 = 1. / N * np.ones((N, D)) * dmu
    dx = dx1 + dx2
    return dx, dgamma, dbeta
''',
    "dgamma = np.sum(dout * xhat, axis=0)",
    "dgamma = np.sum(dout * xmu, axis=0)",
    "dgamma is np.sum(dout * xmu, axis=0), it should be np.sum(dout * xhat, axis=0): ivar is missing.",
    ("gamma",),
    ("elementwise-factor",),
)

_wrong(
    "karpathy_char_rnn",
    "Karpathy gist",
    '''
"""
Minimal character-level vanilla RNN, forward and backward through time. After the 100 line gist.
"""
import numpy as np


def rnn(xs, hprev, Wxh, Whh, Why, bh, by):
  """
  xs is (T, V), one row a time step; hprev is the (H,) state before the first step.
  returns the (T, V) unnormalized log probabilities
  """
  hs = {-1: np.copy(hprev)}
  ys = np.zeros((len(xs), len(by)))
  for t in range(len(xs)):
    hs[t] = np.tanh(np.dot(Wxh, xs[t]) + np.dot(Whh, hs[t-1]) + bh) # hidden state
    ys[t] = np.dot(Why, hs[t]) + by
  return ys, (xs, hs, Wxh, Whh, Why, bh, by)


def rnn_backward(dys, cache):
  xs, hs, Wxh, Whh, Why, bh, by = cache
  dxs = np.zeros_like(xs)
  dWxh, dWhh, dWhy = np.zeros_like(Wxh), np.zeros_like(Whh), np.zeros_like(Why)
  dbh, dby = np.zeros_like(bh), np.zeros_like(by)
  dhnext = np.zeros_like(hs[0])
  for t in reversed(range(len(xs))):
    dy = dys[t]
    dWhy += np.outer(dy, hs[t])
    dby += dy
    dh = np.dot(Why.T, dy) + dhnext # backprop into h
    dhraw = (1 - hs[t] * hs[t]) * dh # backprop through tanh nonlinearity
    dbh += dhraw
    dWxh += np.outer(dhraw, xs[t])
    dWhh += np.outer(dhraw, hs[t-1])
    dxs[t] = np.dot(Wxh.T, dhraw)
    dhnext = np.dot(Whh.T, dhraw)
  return dxs, dhnext, dWxh, dWhh, dWhy, dbh, dby


r = np.random.RandomState(3)
V, H, T = 4, 5, 3
examples = {"rnn": {
  "xs": r.randn(T, V), "hprev": r.randn(H) * 0.5,
  "Wxh": r.randn(H, V) * 0.4, "Whh": r.randn(H, H) * 0.4, "Why": r.randn(V, H) * 0.4,
  "bh": r.randn(H) * 0.1, "by": r.randn(V) * 0.1,
}}
''',
    "dhnext = np.dot(Whh.T, dhraw)",
    "dhnext = np.dot(Whh, dhraw)",
    "dhnext is np.dot(Whh, dhraw), it should be np.dot(Whh.T, dhraw).",
    ("xs", "hprev", "Wxh", "Whh", "bh"),
    ("transpose",),
)

_wrong(
    "autograd_linear_function",
    "PyTorch autograd.Function port",
    '''
import numpy as np


class Function:
    """Stand-in for torch.autograd.Function, one object a call."""

    def save_for_backward(self, *tensors):
        self.saved_tensors = tensors


class LinearFunction(Function):

    def forward(self, input, weight, bias):
        # input (N, in_features), weight (out_features, in_features), bias (out_features,)
        self.save_for_backward(input, weight, bias)
        output = input @ weight.T
        output = output + bias[None, :]
        return output

    def backward(self, grad_output):
        input, weight, bias = self.saved_tensors
        grad_input = grad_output @ weight
        grad_weight = grad_output.T @ input
        grad_bias = grad_output.sum(0)
        return grad_input, grad_weight, grad_bias


class ExpFunction(Function):

    def forward(self, i):
        result = np.exp(i)
        self.save_for_backward(result)
        return result

    def backward(self, grad_output):
        result, = self.saved_tensors
        return grad_output * result


_g = np.random.default_rng(11)
examples = {
    "LinearFunction": {
        "input": _g.standard_normal((5, 4)),
        "weight": _g.standard_normal((3, 4)),
        "bias": _g.standard_normal(3),
    },
    "ExpFunction": {"i": _g.standard_normal((4, 3))},
}
''',
    "grad_bias = grad_output.sum(0)",
    "grad_bias = grad_output.sum(1)",
    "grad_bias is grad_output.sum(1), over the outputs; it should be grad_output.sum(0), over the batch.",
    ("bias",),
    ("shape",),
)

_wrong(
    "keras_dense_swish",
    "Keras-like library",
    '''
import numpy as np


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


class Activation(object):
    def __call__(self, x):
        raise NotImplementedError

    def derivative(self, x):
        raise NotImplementedError


class Swish(Activation):
    def __call__(self, x):
        return x * sigmoid(x)

    def derivative(self, x):
        s = sigmoid(x)
        return s + x * s * (1.0 - s)


class Tanh(Activation):
    def __call__(self, x):
        return np.tanh(x)

    def derivative(self, x):
        return 1.0 - np.tanh(x) ** 2


class Dense(object):
    """Regular densely-connected layer: output = activation(dot(input, kernel) + bias)."""

    def __init__(self, input_dim, units, activation="swish", seed=0):
        rng = np.random.RandomState(seed)
        limit = np.sqrt(6.0 / (input_dim + units))
        self.kernel = rng.uniform(-limit, limit, size=(input_dim, units))
        self.bias = rng.uniform(-0.2, 0.2, size=(units,))
        self.activation = {"swish": Swish, "tanh": Tanh}[activation]()
        self.grad_kernel = None
        self.grad_bias = None

    def forward(self, inputs):
        self.inputs = inputs
        self.pre_activation = np.dot(inputs, self.kernel) + self.bias
        self.outputs = self.activation(self.pre_activation)
        return self.outputs

    def backward(self, grad):
        grad = grad * self.activation.derivative(self.pre_activation)
        self.grad_kernel = np.dot(self.inputs.T, grad)
        self.grad_bias = np.sum(grad, axis=0)
        return np.dot(grad, self.kernel.T)


examples = {"Dense": {"init": {"input_dim": 4, "units": 3}, "inputs": np.random.RandomState(5).randn(5, 4)}}
''',
    "self.activation.derivative(self.pre_activation)",
    "self.activation.derivative(self.outputs)",
    "The slope is taken at self.outputs, it should be self.activation.derivative(self.pre_activation).",
    ("inputs", "kernel", "bias"),
    ("elementwise-factor",),
)

_wrong(
    "library_rmsnorm",
    "NumPy layer library (numpy-ml like)",
    '''
import numpy as np


class LayerBase:
    def __init__(self):
        self.X = None
        self.params = {}
        self.grads = {}
        self.derived = {}

    def summary(self):
        return {"layer": type(self).__name__, "n_params": sum(p.size for p in self.params.values())}


class RMSNorm(LayerBase):
    def __init__(self, n_in, epsilon=1e-6):
        """
        Root mean square normalization.

        Notes
        -----
            y = scale * x / sqrt(mean(x ** 2) + epsilon)

        Parameters
        ----------
        n_in : int
            The number of features, the last axis of the input.
        """
        super().__init__()
        self.n_in = n_in
        self.epsilon = epsilon
        self.params = {"scale": np.linspace(0.6, 1.5, n_in)}
        self.grads = {"scale": np.zeros(n_in)}

    def forward(self, X):
        """X : ndarray of shape (n_ex, n_in)"""
        rms = np.sqrt((X ** 2).mean(axis=-1, keepdims=True) + self.epsilon)
        self.X = X
        self.derived["rms"] = rms
        return self.params["scale"] * X / rms

    def backward(self, dLdy):
        X, rms = self.X, self.derived["rms"]
        self.grads["scale"] = (dLdy * X / rms).sum(axis=0)

        dNorm = dLdy * self.params["scale"]
        dRms = -(dNorm * X).sum(axis=-1, keepdims=True) / rms ** 2
        dMeanSq = dRms / (2 * rms)
        dX = dNorm / rms + dMeanSq * 2 * X / self.n_in
        return dX


examples = {"RMSNorm": {"init": {"n_in": 5}, "X": np.random.RandomState(8).randn(3, 5)}}
''',
    "dMeanSq * 2 * X / self.n_in",
    "dMeanSq * 2 * X",
    "The mean's path is dMeanSq * 2 * X, it should be dMeanSq * 2 * X / self.n_in.",
    ("X",),
    ("factor",),
)

_wrong(
    "framework_residual",
    "small framework (several classes)",
    '''
"""nnet.py - a tiny neural network framework"""
import numpy as np


class Module:
    def forward(self, x):
        raise NotImplementedError()

    def backward(self, grad):
        raise NotImplementedError()


class Linear(Module):
    def __init__(self, n_in, n_out, seed=1):
        rng = np.random.default_rng(seed)
        self.W = rng.normal(size=(n_in, n_out)) / np.sqrt(n_in)
        self.b = 0.1 * rng.normal(size=n_out)
        self.dW = np.zeros_like(self.W)
        self.db = np.zeros_like(self.b)

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, grad):
        self.dW = self.x.T @ grad
        self.db = grad.sum(axis=0)
        return grad @ self.W.T


class Tanh(Module):
    def forward(self, x):
        self.y = np.tanh(x)
        return self.y

    def backward(self, grad):
        return grad * (1 - self.y ** 2)


class ResidualBlock(Module):
    """x + fc2(tanh(fc1(x)))"""

    def __init__(self, dim, hidden):
        self.fc1 = Linear(dim, hidden, seed=2)
        self.act = Tanh()
        self.fc2 = Linear(hidden, dim, seed=3)

    def forward(self, x):
        h = self.fc1.forward(x)
        h = self.act.forward(h)
        h = self.fc2.forward(h)
        return x + h

    def backward(self, grad):
        dh = self.fc2.backward(grad)
        dh = self.act.backward(dh)
        dh = self.fc1.backward(dh)
        return grad + dh


_x = np.random.default_rng(0).normal(size=(5, 4))
examples = {
    "Linear": {"init": {"n_in": 4, "n_out": 3}, "x": _x},
    "Tanh": {"x": _x},
    "ResidualBlock": {"init": {"dim": 4, "hidden": 6}, "x": _x},
}
''',
    "        return grad + dh\n",
    "        return dh\n",
    "ResidualBlock.backward returns dh, it should return grad + dh: the skip connection's path is missing.",
    ("x",),
    ("missing-term",),
)

_wrong(
    "book_softmax_loss",
    "deep learning book",
    '''
# coding: utf-8
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
        out = 1 / (1 + np.exp(-x))
        self.out = out
        return out

    def backward(self, dout):
        dx = dout * (1.0 - self.out) * self.out
        return dx


class SoftmaxWithLoss:
    def __init__(self):
        self.loss = None
        self.y = None  # output of softmax
        self.t = None  # teacher data, one-hot

    def forward(self, x, t):
        self.t = t
        self.y = softmax(x)
        self.loss = cross_entropy_error(self.y, self.t)
        return self.loss

    def backward(self, dout=1):
        batch_size = self.t.shape[0]
        dx = dout * (self.y - self.t) / batch_size
        return dx


rng = np.random.RandomState(1)
examples = {
    "Sigmoid": {"x": rng.randn(3, 4)},
    "SoftmaxWithLoss": {"x": rng.randn(4, 3), "t": np.eye(3)[[0, 2, 1, 2]]},
}
''',
    "        batch_size = self.t.shape[0]\n        dx = dout * (self.y - self.t) / batch_size",
    "        dx = dout * (self.y - self.t)",
    "dx is dout * (self.y - self.t), it should be dout * (self.y - self.t) / batch_size, as the loss is a mean.",
    ("x",),
    ("factor",),
)

_wrong(
    "research_lstm",
    "research repository (speech, LSTM)",
    '''
import numpy as np


def _sigmoid(a):
    return 1.0 / (1.0 + np.exp(-a))


def lstm_forward(x, h0, Wx, Wh, b):
    """Unroll an LSTM over a whole utterance.

    x: (N, T, D), h0: (N, H), Wx: (D, 4H), Wh: (H, 4H), b: (4H,). The cell starts at zero.
    Returns h: (N, T, H).
    """
    N, T, D = x.shape
    H = h0.shape[1]
    h = np.zeros((N, T, H))
    steps = []
    prev_h, prev_c = h0, np.zeros_like(h0)
    for t in range(T):
        a = x[:, t] @ Wx + prev_h @ Wh + b
        i = _sigmoid(a[:, :H])
        f = _sigmoid(a[:, H:2 * H])
        o = _sigmoid(a[:, 2 * H:3 * H])
        g = np.tanh(a[:, 3 * H:])
        c = f * prev_c + i * g
        tc = np.tanh(c)
        steps.append((prev_h, prev_c, i, f, o, g, tc))
        h[:, t] = o * tc
        prev_h, prev_c = h[:, t], c
    return h, (x, Wx, Wh, steps)


def lstm_backward(dh, cache):
    x, Wx, Wh, steps = cache
    N, T, H = dh.shape
    dx = np.zeros_like(x)
    dWx, dWh, db = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros(4 * H)
    dh_next = np.zeros((N, H))
    dc_next = np.zeros((N, H))
    for t in range(T - 1, -1, -1):
        prev_h, prev_c, i, f, o, g, tc = steps[t]
        dh_t = dh[:, t] + dh_next
        dc = dc_next + dh_t * o * (1 - tc ** 2)
        da = np.hstack([
            dc * g * i * (1 - i),
            dc * prev_c * f * (1 - f),
            dh_t * tc * o * (1 - o),
            dc * i * (1 - g ** 2),
        ])
        dx[:, t] = da @ Wx.T
        dWx += x[:, t].T @ da
        dWh += prev_h.T @ da
        db += da.sum(axis=0)
        dh_next = da @ Wh.T
        dc_next = dc * f
    return dx, dh_next, dWx, dWh, db


_r = np.random.RandomState(7)
examples = {"lstm": {
    "x": _r.randn(2, 3, 3), "h0": 0.5 * _r.randn(2, 4),
    "Wx": 0.5 * _r.randn(3, 16), "Wh": 0.5 * _r.randn(4, 16), "b": 0.2 * _r.randn(16),
}}
examples["lstm_forward"] = examples["lstm"]
''',
    "dc = dc_next + dh_t * o * (1 - tc ** 2)",
    "dc = dh_t * o * (1 - tc ** 2)",
    "dc is dh_t * o * (1 - tc ** 2), it should be dc_next + dh_t * o * (1 - tc ** 2): the later cell's path is lost.",
    ("x", "h0", "Wx", "Wh", "b"),
    ("missing-term",),
)

_wrong(
    "homework_bag_of_words",
    "student homework (NLP course)",
    '''
# Homework 3: word embeddings, bag of words classifier
import numpy as np


class Embedding:
    """Look up table of word vectors, W has shape (vocab_size, dim)"""

    def __init__(self, vocab_size, dim):
        self.W = np.random.RandomState(4).randn(vocab_size, dim)
        self.dW = None

    def forward(self, idx):
        # idx: int array (batch, length)
        self.idx = idx
        return self.W[idx]

    def backward(self, dout):
        dW = np.zeros_like(self.W)
        np.add.at(dW, self.idx, dout)
        self.dW = dW
        return None


class MeanWords:
    """Average over the words of a sentence: (batch, length, dim) -> (batch, dim)"""

    def forward(self, x):
        self.shape = x.shape
        return x.mean(axis=1)

    def backward(self, dout):
        n = self.shape[1]
        return np.repeat(dout[:, None, :] / n, n, axis=1)


examples = {
    "Embedding": {"init": {"vocab_size": 6, "dim": 3}, "idx": np.array([[1, 4, 1], [0, 4, 5]])},
    "MeanWords": {"x": np.random.RandomState(2).randn(2, 4, 3)},
}
''',
    "np.add.at(dW, self.idx, dout)",
    "dW[self.idx] += dout",
    "dW[self.idx] += dout keeps the last of repeated words only, it should be np.add.at(dW, self.idx, dout).",
    ("W",),
    ("batch-sum", "missing-term"),
)

_wrong(
    "coursera_conv",
    "Coursera assignment",
    '''
import numpy as np


def zero_pad(X, pad):
    """Pad with zeros all images of X, of shape (m, n_H, n_W, n_C)."""
    return np.pad(X, ((0, 0), (pad, pad), (pad, pad), (0, 0)), mode="constant")


def conv_forward(A_prev, W, b, stride=1, pad=1):
    """
    Arguments:
    A_prev -- activations of the previous layer, numpy array of shape (m, n_H_prev, n_W_prev, n_C_prev)
    W -- Weights, numpy array of shape (f, f, n_C_prev, n_C)
    b -- Biases, numpy array of shape (1, 1, 1, n_C)

    Returns:
    Z -- conv output, numpy array of shape (m, n_H, n_W, n_C)
    cache -- cache of values needed for the conv_backward() function
    """
    (m, n_H_prev, n_W_prev, n_C_prev) = A_prev.shape
    (f, f, n_C_prev, n_C) = W.shape
    n_H = (n_H_prev - f + 2 * pad) // stride + 1
    n_W = (n_W_prev - f + 2 * pad) // stride + 1
    Z = np.zeros((m, n_H, n_W, n_C))
    A_prev_pad = zero_pad(A_prev, pad)
    for i in range(m):
        for h in range(n_H):
            for w in range(n_W):
                vs, hs = h * stride, w * stride
                a_slice = A_prev_pad[i, vs:vs + f, hs:hs + f, :]
                for c in range(n_C):
                    Z[i, h, w, c] = np.sum(a_slice * W[:, :, :, c]) + b[0, 0, 0, c]
    cache = (A_prev, W, b, stride, pad)
    return Z, cache


def conv_backward(dZ, cache):
    (A_prev, W, b, stride, pad) = cache
    (m, n_H_prev, n_W_prev, n_C_prev) = A_prev.shape
    (f, f, n_C_prev, n_C) = W.shape
    (m, n_H, n_W, n_C) = dZ.shape
    dA_prev = np.zeros(A_prev.shape)
    dW = np.zeros(W.shape)
    db = np.zeros(b.shape)
    A_prev_pad = zero_pad(A_prev, pad)
    dA_prev_pad = zero_pad(dA_prev, pad)
    for i in range(m):
        a_prev_pad = A_prev_pad[i]
        da_prev_pad = dA_prev_pad[i]
        for h in range(n_H):
            for w in range(n_W):
                vs, hs = h * stride, w * stride
                a_slice = a_prev_pad[vs:vs + f, hs:hs + f, :]
                for c in range(n_C):
                    da_prev_pad[vs:vs + f, hs:hs + f, :] += W[:, :, :, c] * dZ[i, h, w, c]
                    dW[:, :, :, c] += a_slice * dZ[i, h, w, c]
                    db[:, :, :, c] += dZ[i, h, w, c]
        dA_prev[i, :, :, :] = da_prev_pad[pad:-pad, pad:-pad, :]
    return dA_prev, dW, db


np.random.seed(1)
examples = {"conv": {"A_prev": np.random.randn(2, 4, 4, 2), "W": np.random.randn(3, 3, 2, 2),
                     "b": np.random.randn(1, 1, 1, 2)}}
examples["conv_forward"] = examples["conv"]
''',
    "da_prev_pad[pad:-pad, pad:-pad, :]",
    "da_prev_pad[:n_H_prev, :n_W_prev, :]",
    "The padding is cut at the wrong end, da_prev_pad[:n_H_prev, :n_W_prev, :]; it should be [pad:-pad, pad:-pad, :].",
    ("A_prev",),
    ("transpose",),
)

_wrong(
    "cmu_gru_cell",
    "CMU 11-785 homework (mytorch)",
    '''
import numpy as np


class Sigmoid:
    def forward(self, Z):
        self.A = 1 / (1 + np.exp(-Z))
        return self.A

    def backward(self, dLdA):
        return dLdA * self.A * (1 - self.A)


class GRUCell(object):
    """GRU Cell class, h_t = (1 - z) * n + z * h_prev_t."""

    def __init__(self, input_size, hidden_size):
        self.d = input_size
        self.h = hidden_size
        rng = np.random.RandomState(9)

        self.Wrx = rng.randn(self.h, self.d) * 0.5
        self.Wzx = rng.randn(self.h, self.d) * 0.5
        self.Wnx = rng.randn(self.h, self.d) * 0.5
        self.Wrh = rng.randn(self.h, self.h) * 0.5
        self.Wzh = rng.randn(self.h, self.h) * 0.5
        self.Wnh = rng.randn(self.h, self.h) * 0.5

        self.dWrx = np.zeros((self.h, self.d))
        self.dWzx = np.zeros((self.h, self.d))
        self.dWnx = np.zeros((self.h, self.d))
        self.dWrh = np.zeros((self.h, self.h))
        self.dWzh = np.zeros((self.h, self.h))
        self.dWnh = np.zeros((self.h, self.h))

        self.r_act = Sigmoid()
        self.z_act = Sigmoid()

    def forward(self, x, h_prev_t):
        """x: (batch, input dim), h_prev_t: (batch, hidden dim)"""
        self.x = x
        self.hidden = h_prev_t
        self.r = self.r_act.forward(x @ self.Wrx.T + h_prev_t @ self.Wrh.T)
        self.z = self.z_act.forward(x @ self.Wzx.T + h_prev_t @ self.Wzh.T)
        self.hn = h_prev_t @ self.Wnh.T
        self.n = np.tanh(x @ self.Wnx.T + self.r * self.hn)
        return (1 - self.z) * self.n + self.z * h_prev_t

    def backward(self, delta):
        dn = delta * (1 - self.z)
        dz = delta * (self.hidden - self.n)
        dh_prev_t = delta * self.z

        dn_pre = dn * (1 - self.n ** 2)
        dr = dn_pre * self.hn
        dz_pre = self.z_act.backward(dz)
        dr_pre = self.r_act.backward(dr)

        self.dWnx = dn_pre.T @ self.x
        self.dWnh = (dn_pre * self.r).T @ self.hidden
        self.dWzx = dz_pre.T @ self.x
        self.dWzh = dz_pre.T @ self.hidden
        self.dWrx = dr_pre.T @ self.x
        self.dWrh = dr_pre.T @ self.hidden

        dx = dn_pre @ self.Wnx + dz_pre @ self.Wzx + dr_pre @ self.Wrx
        dh_prev_t += (dn_pre * self.r) @ self.Wnh + dz_pre @ self.Wzh + dr_pre @ self.Wrh
        return dx, dh_prev_t


_rng = np.random.RandomState(10)
examples = {
    "Sigmoid": {"Z": _rng.randn(3, 4)},
    "GRUCell": {"init": {"input_size": 4, "hidden_size": 3}, "x": _rng.randn(2, 4), "h_prev_t": _rng.randn(2, 3)},
}
''',
    "dz = delta * (self.hidden - self.n)",
    "dz = delta * (self.n - self.hidden)",
    "dz is delta * (self.n - self.hidden), it should be delta * (self.hidden - self.n).",
    ("Wzx", "Wzh", "x", "h_prev_t"),
    ("sign",),
)

_wrong(
    "transformer_attention",
    "transformer from scratch (blog)",
    '''
import numpy as np


def softmax(s):
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


class SelfAttention:
    """Single-head self-attention on x of shape (batch, seq, d_model)."""

    def __init__(self, d_model, d_head):
        rng = np.random.default_rng(21)
        self.scale = 1.0 / np.sqrt(d_head)
        self.Wq = rng.standard_normal((d_model, d_head)) / np.sqrt(d_model)
        self.Wk = rng.standard_normal((d_model, d_head)) / np.sqrt(d_model)
        self.Wv = rng.standard_normal((d_model, d_head)) / np.sqrt(d_model)

    def forward(self, x):
        self.x = x
        self.q = x @ self.Wq
        self.k = x @ self.Wk
        self.v = x @ self.Wv
        scores = self.q @ self.k.transpose(0, 2, 1) * self.scale
        self.attn = softmax(scores)
        return self.attn @ self.v

    def backward(self, dout):
        dattn = dout @ self.v.transpose(0, 2, 1)
        dv = self.attn.transpose(0, 2, 1) @ dout

        # softmax: p * (dp - <dp, p>)
        inner = (dattn * self.attn).sum(axis=-1, keepdims=True)
        dscores = self.attn * (dattn - inner) * self.scale

        dq = dscores @ self.k
        dk = dscores.transpose(0, 2, 1) @ self.q

        self.dWq = np.einsum("btd,bth->dh", self.x, dq)
        self.dWk = np.einsum("btd,bth->dh", self.x, dk)
        self.dWv = np.einsum("btd,bth->dh", self.x, dv)
        return dq @ self.Wq.T + dk @ self.Wk.T + dv @ self.Wv.T


examples = {"SelfAttention": {
    "init": {"d_model": 5, "d_head": 4},
    "x": np.random.default_rng(22).standard_normal((2, 3, 5)),
}}
''',
    "(dattn * self.attn).sum(axis=-1, keepdims=True)",
    "(dattn * self.attn).sum(axis=1, keepdims=True)",
    "inner sums over axis=1, the queries; it should be (dattn * self.attn).sum(axis=-1, keepdims=True), the keys.",
    ("Wq", "Wk", "x"),
    ("shape",),
)

_wrong(
    "homework_vae_latent",
    "student homework (generative models course)",
    '''
"""HW2, part 1: the latent layer of the VAE."""
import numpy as np


def reparameterize(mu, logvar, eps):
    """z = mu + sigma * eps"""
    std = np.exp(0.5 * logvar)
    z = mu + std * eps
    return z, (std, eps)


def reparameterize_backward(dz, cache):
    std, eps = cache
    return {"mu": dz, "logvar": 0.5 * dz * std * eps, "eps": dz * std}


def kl_divergence(mu, logvar):
    """KL(N(mu, exp(logvar)) || N(0, 1)) for every row, shape (B,)"""
    kl = -0.5 * np.sum(1 + logvar - mu ** 2 - np.exp(logvar), axis=1)
    return kl, (mu, logvar)


def kl_divergence_backward(dkl, cache):
    mu, logvar = cache
    dkl = dkl[:, None]
    dmu = dkl * mu
    dlogvar = 0.5 * dkl * (np.exp(logvar) - 1)
    return {"mu": dmu, "logvar": dlogvar}
''',
    "dlogvar = 0.5 * dkl * (np.exp(logvar) - 1)",
    "dlogvar = 0.5 * dkl * np.exp(logvar)",
    "The KL's dlogvar is 0.5 * dkl * np.exp(logvar), it should be 0.5 * dkl * (np.exp(logvar) - 1).",
    ("logvar",),
    ("missing-term",),
)

_wrong(
    "minilib_dense_grads_dict",
    "GitHub mini library (layers with params and grads dictionaries)",
    '''
from typing import Dict

import numpy as np
from numpy import ndarray as Tensor


class Layer:
    def __init__(self) -> None:
        self.params: Dict[str, Tensor] = {}
        self.grads: Dict[str, Tensor] = {}

    def forward(self, inputs: Tensor) -> Tensor:
        raise NotImplementedError

    def backward(self, grad: Tensor) -> Tensor:
        raise NotImplementedError


class Linear(Layer):
    """
    computes output = inputs @ w + b
    """

    def __init__(self, input_size: int, output_size: int) -> None:
        super().__init__()
        rng = np.random.RandomState(12)
        self.params["w"] = rng.randn(input_size, output_size)
        self.params["b"] = rng.randn(output_size)
        self.grads["w"] = np.zeros((input_size, output_size))
        self.grads["b"] = np.zeros(output_size)

    def forward(self, inputs: Tensor) -> Tensor:
        """inputs will be (batch_size, input_size)"""
        self.inputs = inputs
        return inputs @ self.params["w"] + self.params["b"]

    def backward(self, grad: Tensor) -> Tensor:
        self.grads["b"] = np.sum(grad, axis=0)
        self.grads["w"] = self.inputs.T @ grad
        return grad @ self.params["w"].T


class Softplus(Layer):
    def forward(self, inputs: Tensor) -> Tensor:
        self.inputs = inputs
        return np.logaddexp(0.0, inputs)

    def backward(self, grad: Tensor) -> Tensor:
        return grad / (1.0 + np.exp(-self.inputs))


examples = {
    "Linear": {"init": {"input_size": 3, "output_size": 2}, "inputs": np.random.RandomState(13).randn(4, 3)},
    "Softplus": {"inputs": np.random.RandomState(14).randn(4, 3)},
}
''',
    'self.grads["b"] = np.sum(grad, axis=0)',
    'self.grads["b"] += np.sum(grad, axis=0)',
    'self.grads["b"] += np.sum(grad, axis=0) grows with every backward, it should be self.grads["b"] = np.sum(...).',
    ("b",),
    ("accumulates",),
)

_wrong(
    "book_leaky_relu",
    "deep learning book (layers chapter)",
    '''
import numpy as np


class LeakyRelu:
    def __init__(self, alpha=0.1):
        self.alpha = alpha
        self.mask = None

    def forward(self, x):
        self.mask = (x <= 0)
        out = x.copy()
        out[self.mask] *= self.alpha
        return out

    def backward(self, dout):
        dx = dout.copy()
        dx[self.mask] *= self.alpha
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
        return np.dot(self.x, self.W) + self.b

    def backward(self, dout):
        dx = np.dot(dout, self.W.T)
        self.dW = np.dot(self.x.T, dout)
        self.db = np.sum(dout, axis=0)
        return dx


rs = np.random.RandomState(6)
examples = {
    "LeakyRelu": {"x": rs.randn(3, 4)},
    "Affine": {"init": {"W": rs.randn(4, 2), "b": rs.randn(2)}, "x": rs.randn(3, 4)},
}
''',
    "out = x.copy()",
    "out = x",
    "out is x itself, so out[self.mask] *= self.alpha changes the caller's x; it should be out = x.copy().",
    ("x",),
    ("mutates-input",),
)

_wrong(
    "research_dropout_mlp",
    "research repository (uncertainty by dropout)",
    '''
# mc_dropout/layers.py
import numpy as np


def dropout_mlp(x, W1, b1, W2, b2, noise, p=0.4):
    """One hidden tanh layer with inverted dropout on it.

    noise holds uniform numbers in (0, 1), of the shape of the hidden layer (N, H): a unit stays where noise > p.
    """
    h = np.tanh(x @ W1 + b1)
    keep = (noise > p) / (1.0 - p)
    hd = h * keep
    y = hd @ W2 + b2
    cache = {"x": x, "W1": W1, "W2": W2, "h": h, "hd": hd, "keep": keep, "p": p}
    return y, cache


def dropout_mlp_backward(dy, cache):
    grads = {}
    grads["W2"] = cache["hd"].T @ dy
    grads["b2"] = dy.sum(0)
    dhd = dy @ cache["W2"].T
    keep = cache["keep"]
    dh = dhd * keep
    da = dh * (1.0 - cache["h"] ** 2)
    grads["W1"] = cache["x"].T @ da
    grads["b1"] = da.sum(0)
    grads["x"] = da @ cache["W1"].T
    return grads


gen = np.random.default_rng(17)
examples = {"dropout_mlp": {
    "x": gen.normal(size=(4, 3)), "W1": gen.normal(size=(3, 6)) * 0.5, "b1": gen.normal(size=6) * 0.1,
    "W2": gen.normal(size=(6, 2)), "b2": gen.normal(size=2), "noise": gen.uniform(size=(4, 6)),
}}
''',
    'keep = cache["keep"]',
    'keep = (np.random.rand(*dhd.shape) > cache["p"]) / (1.0 - cache["p"])',
    "The backward draws a new mask with np.random.rand, it should take the forward's, cache['keep'].",
    ("W1", "b1", "x"),
    ("noise-redrawn", "elementwise-factor"),
)

_wrong(
    "research_masked_head",
    "research repository (masked autoencoder)",
    '''
import numpy as np


class MaskedHead:
    """Predicts the masked tokens only, from the first n_used features of each.

    x: (n_tokens, n_features), keep: indices of the masked tokens, out: (len(keep), n_out)
    """

    def __init__(self, n_used, n_out, keep=(0, 2, 3)):
        self.n_used = n_used
        self.keep = list(keep)
        rng = np.random.default_rng(31)
        self.W = rng.normal(size=(n_used, n_out))
        self.b = rng.normal(size=(n_out,))

    def forward(self, x):
        self.x_shape = x.shape
        self.sel = x[self.keep][:, :self.n_used]
        return self.sel @ self.W + self.b

    def backward(self, grad_out):
        self.grad_W = self.sel.T @ grad_out
        self.grad_b = grad_out.sum(axis=0)
        grad_x = np.zeros(self.x_shape)
        grad_x[self.keep, :self.n_used] += grad_out @ self.W.T
        return grad_x


examples = {"MaskedHead": {"init": {"n_used": 4, "n_out": 2}, "x": np.random.default_rng(32).normal(size=(5, 6))}}
''',
    "grad_x[self.keep, :self.n_used] +=",
    "grad_x[self.keep][:, :self.n_used] +=",
    "grad_x[self.keep][:, :n] += ... writes to a copy and x gets zeros, it should be grad_x[self.keep, :n] += ...",
    ("x",),
    ("zero",),
)

_wrong(
    "research_pairwise_distance",
    "research repository (metric learning)",
    '''
"""Distances between embeddings and the stress of an embedding (metric MDS)."""
import numpy as np


def pairwise_distance(x):
    """x (N, D) -> the Euclidean distances between all rows, (N, N), with zeros on the diagonal"""
    diff = x[:, None, :] - x[None, :, :]
    dist = np.sqrt((diff ** 2).sum(axis=-1))
    return dist, (diff, dist)


def pairwise_distance_backward(ddist, cache):
    diff, dist = cache
    safe = np.where(dist > 0, dist, 1.0)
    g = (ddist / safe)[:, :, None] * diff
    return g.sum(axis=1) - g.sum(axis=0)


def center(x):
    """subtract the mean of the rows"""
    return x - x.mean(axis=0, keepdims=True), None


def center_backward(dy, cache):
    return dy - dy.mean(axis=0, keepdims=True)


examples = {
    "pairwise_distance": {"x": np.random.RandomState(15).randn(4, 3)},
    "center": {"x": np.random.RandomState(16).randn(4, 3)},
}
''',
    "    safe = np.where(dist > 0, dist, 1.0)\n    g = (ddist / safe)[:, :, None] * diff",
    "    g = (ddist / dist)[:, :, None] * diff",
    "ddist / dist is infinite on the diagonal and dx NaN, it should be ddist / np.where(dist > 0, dist, 1.0).",
    ("x",),
    ("non-finite",),
)

# ---------------------------------------------------------------------------------------------------- right ones

_right(
    "cs231n_pool_affine_relu",
    "CS231n assignment",
    '''
import numpy as np


def affine_relu_forward(x, w, b):
    """
    Convenience layer that performs an affine transform followed by a ReLU.

    - x: Input of shape (N, D)
    - w: Weights of shape (D, M)
    - b: Biases of shape (M,)
    """
    a = x.dot(w) + b
    out = np.maximum(0, a)
    return out, (x, w, a)


def affine_relu_backward(dout, cache):
    x, w, a = cache
    da = dout * (a > 0)
    dx = da.dot(w.T)
    dw = x.T.dot(da)
    db = da.sum(axis=0)
    return dx, dw, db


def max_pool_forward(x, pool=2):
    """
    - x: Input data, of shape (N, C, H, W), H and W multiples of pool
    """
    N, C, H, W = x.shape
    xr = x.reshape(N, C, H // pool, pool, W // pool, pool)
    out = xr.max(axis=3).max(axis=4)
    return out, (x, xr, out)


def max_pool_backward(dout, cache):
    x, xr, out = cache
    dxr = np.zeros_like(xr)
    out_newaxis = out[:, :, :, np.newaxis, :, np.newaxis]
    mask = (xr == out_newaxis)
    dout_newaxis = dout[:, :, :, np.newaxis, :, np.newaxis]
    dout_broadcast, _ = np.broadcast_arrays(dout_newaxis, dxr)
    dxr[mask] = dout_broadcast[mask]
    dxr /= np.sum(mask, axis=(3, 5), keepdims=True)
    return dxr.reshape(x.shape)


_r = np.random.RandomState(231)
examples = {
    "affine_relu": {"x": _r.randn(4, 5), "w": _r.randn(5, 3), "b": _r.randn(3)},
    "max_pool": {"x": _r.randn(2, 2, 4, 4)},
}
examples["affine_relu_forward"] = examples["affine_relu"]
examples["max_pool_forward"] = examples["max_pool"]
''',
)

_right(
    "karpathy_policy_net",
    "Karpathy gist",
    '''
""" The policy network of the Pong gist, batched over the frames of an episode. """
import numpy as np

def sigmoid(x):
  return 1.0 / (1.0 + np.exp(-x)) # sigmoid "squashing" function to interval [0,1]

def policy_forward(x, W1, W2):
  """ x is (frames, D), W1 is (H, D), W2 is (H,), returns the probability of taking action 2 """
  h = np.dot(x, W1.T)
  mask = h < 0
  h = np.where(mask, 0.0, h) # ReLU nonlinearity
  logp = np.dot(h, W2)
  p = sigmoid(logp)
  return p, (x, W1, W2, h, p)

def policy_backward(dp, cache):
  """ backward pass. (eph is array of intermediate hidden states) """
  epx, W1, W2, eph, p = cache
  epdlogp = dp * p * (1 - p)
  dW2 = np.dot(eph.T, epdlogp).ravel()
  dh = np.outer(epdlogp, W2)
  dh[eph <= 0] = 0 # backprop relu
  dW1 = np.dot(dh.T, epx)
  dx = np.dot(dh, W1)
  return {'x': dx, 'W1': dW1, 'W2': dW2}

rs = np.random.RandomState(0)
ex = {'x': rs.randn(5, 6), 'W1': rs.randn(4, 6) / np.sqrt(6), 'W2': rs.randn(4) / np.sqrt(4)}
examples = {'policy': ex, 'policy_forward': ex}
''',
)

_right(
    "autograd_gelu_layernorm",
    "PyTorch autograd.Function port",
    '''
import numpy as np

SQRT_2_OVER_PI = np.sqrt(2.0 / np.pi)


class GeluFunction:
    """gelu, approximate="tanh" """

    def forward(self, input):
        inner = SQRT_2_OVER_PI * (input + 0.044715 * input ** 3)
        tanh = np.tanh(inner)
        self.saved_tensors = (input, tanh)
        return 0.5 * input * (1.0 + tanh)

    def backward(self, grad_output):
        input, tanh = self.saved_tensors
        d_inner = SQRT_2_OVER_PI * (1.0 + 3 * 0.044715 * input ** 2)
        grad = 0.5 * (1.0 + tanh) + 0.5 * input * (1.0 - tanh ** 2) * d_inner
        return grad_output * grad


class LayerNormFunction:

    def forward(self, input, weight, bias, eps=1e-5):
        mean = input.mean(-1, keepdims=True)
        rstd = 1.0 / np.sqrt(input.var(-1, keepdims=True) + eps)
        norm = (input - mean) * rstd
        self.saved_tensors = (norm, rstd, weight)
        return norm * weight + bias

    def backward(self, grad_output):
        norm, rstd, weight = self.saved_tensors
        dims = tuple(range(grad_output.ndim - 1))
        grad_bias = grad_output.sum(dims)
        grad_weight = (grad_output * norm).sum(dims)
        dnorm = grad_output * weight
        grad_input = dnorm - dnorm.mean(-1, keepdims=True) - norm * (dnorm * norm).mean(-1, keepdims=True)
        grad_input *= rstd
        return grad_input, grad_weight, grad_bias


_g = np.random.default_rng(41)
examples = {
    "GeluFunction": {"input": _g.standard_normal((3, 4))},
    "LayerNormFunction": {
        "input": _g.standard_normal((2, 3, 5)),
        "weight": 1.0 + 0.3 * _g.standard_normal(5),
        "bias": _g.standard_normal(5),
    },
}
''',
)

_right(
    "keras_batchnorm_layer",
    "Keras-like library",
    '''
import numpy as np


class Layer(object):
    trainable = True

    def __init__(self):
        self.params = {}
        self.grads = {}


class BatchNormalization(Layer):
    """Normalizes over the batch axis; in training it also updates the moving averages."""

    def __init__(self, input_dim, momentum=0.99, epsilon=1e-3):
        super(BatchNormalization, self).__init__()
        self.momentum = momentum
        self.epsilon = epsilon
        self.params["gamma"] = np.linspace(0.5, 1.5, input_dim)
        self.params["beta"] = np.linspace(-0.3, 0.3, input_dim)
        self.moving_mean = np.zeros(input_dim)
        self.moving_variance = np.ones(input_dim)

    def forward(self, x):
        mean = np.mean(x, axis=0)
        variance = np.var(x, axis=0)
        self.moving_mean = self.momentum * self.moving_mean + (1.0 - self.momentum) * mean
        self.moving_variance = self.momentum * self.moving_variance + (1.0 - self.momentum) * variance
        self.inv_std = 1.0 / np.sqrt(variance + self.epsilon)
        self.x_norm = (x - mean) * self.inv_std
        return self.params["gamma"] * self.x_norm + self.params["beta"]

    def backward(self, accum_grad):
        m = accum_grad.shape[0]
        self.grads["gamma"] = np.sum(accum_grad * self.x_norm, axis=0)
        self.grads["beta"] = np.sum(accum_grad, axis=0)
        return self.params["gamma"] * self.inv_std / m * (
            m * accum_grad - self.grads["beta"] - self.x_norm * self.grads["gamma"]
        )


class Flatten(Layer):
    trainable = False

    def forward(self, x):
        self.prev_shape = x.shape
        return x.reshape((x.shape[0], -1))

    def backward(self, accum_grad):
        return accum_grad.reshape(self.prev_shape)


examples = {
    "BatchNormalization": {"init": {"input_dim": 3}, "x": np.random.RandomState(2).randn(6, 3)},
    "Flatten": {"x": np.random.RandomState(3).randn(3, 2, 2)},
}
''',
)

_right(
    "book_im2col_convolution",
    "deep learning book",
    '''
# coding: utf-8
import numpy as np


def im2col(input_data, filter_h, filter_w, stride=1, pad=0):
    N, C, H, W = input_data.shape
    out_h = (H + 2*pad - filter_h)//stride + 1
    out_w = (W + 2*pad - filter_w)//stride + 1

    img = np.pad(input_data, [(0, 0), (0, 0), (pad, pad), (pad, pad)], 'constant')
    col = np.zeros((N, C, filter_h, filter_w, out_h, out_w))
    for y in range(filter_h):
        y_max = y + stride*out_h
        for x in range(filter_w):
            x_max = x + stride*out_w
            col[:, :, y, x, :, :] = img[:, :, y:y_max:stride, x:x_max:stride]
    return col.transpose(0, 4, 5, 1, 2, 3).reshape(N*out_h*out_w, -1)


def col2im(col, input_shape, filter_h, filter_w, stride=1, pad=0):
    N, C, H, W = input_shape
    out_h = (H + 2*pad - filter_h)//stride + 1
    out_w = (W + 2*pad - filter_w)//stride + 1
    col = col.reshape(N, out_h, out_w, C, filter_h, filter_w).transpose(0, 3, 4, 5, 1, 2)

    img = np.zeros((N, C, H + 2*pad + stride - 1, W + 2*pad + stride - 1))
    for y in range(filter_h):
        y_max = y + stride*out_h
        for x in range(filter_w):
            x_max = x + stride*out_w
            img[:, :, y:y_max:stride, x:x_max:stride] += col[:, :, y, x, :, :]
    return img[:, :, pad:H + pad, pad:W + pad]


class Convolution:
    def __init__(self, W, b, stride=1, pad=0):
        self.W = W
        self.b = b
        self.stride = stride
        self.pad = pad
        self.x = None
        self.col = None
        self.col_W = None
        self.dW = None
        self.db = None

    def forward(self, x):
        FN, C, FH, FW = self.W.shape
        N, C, H, W = x.shape
        out_h = 1 + int((H + 2*self.pad - FH) / self.stride)
        out_w = 1 + int((W + 2*self.pad - FW) / self.stride)

        col = im2col(x, FH, FW, self.stride, self.pad)
        col_W = self.W.reshape(FN, -1).T
        out = np.dot(col, col_W) + self.b
        out = out.reshape(N, out_h, out_w, -1).transpose(0, 3, 1, 2)

        self.x = x
        self.col = col
        self.col_W = col_W
        return out

    def backward(self, dout):
        FN, C, FH, FW = self.W.shape
        dout = dout.transpose(0, 2, 3, 1).reshape(-1, FN)

        self.db = np.sum(dout, axis=0)
        self.dW = np.dot(self.col.T, dout)
        self.dW = self.dW.transpose(1, 0).reshape(FN, C, FH, FW)

        dcol = np.dot(dout, self.col_W.T)
        dx = col2im(dcol, self.x.shape, FH, FW, self.stride, self.pad)
        return dx


rng = np.random.RandomState(50)
examples = {"Convolution": {
    "init": {"W": rng.randn(2, 2, 3, 3), "b": rng.randn(2), "stride": 2, "pad": 1},
    "x": rng.randn(2, 2, 5, 5),
}}
''',
)

_right(
    "tfp_log_probs",
    "JAX/TFP port",
    '''
"""NumPy port of a few log_prob methods with hand-written VJPs (the originals lean on jax.grad)."""
import numpy as np

HALF_LOG_TWO_PI = 0.5 * np.log(2.0 * np.pi)


def normal_log_prob(value, loc, scale):
    """log N(value | loc, scale), elementwise; scale is positive"""
    z = (value - loc) / scale
    lp = -0.5 * z * z - np.log(scale) - HALF_LOG_TWO_PI
    return lp, (z, scale)


def normal_log_prob_backward(dlp, cache):
    z, scale = cache
    dvalue = -dlp * z / scale
    dloc = dlp * z / scale
    dscale = dlp * (z * z - 1.0) / scale
    return dvalue, dloc, dscale


def gumbel_log_prob(value, loc, scale):
    z = (value - loc) / scale
    expmz = np.exp(-z)
    lp = -(z + expmz) - np.log(scale)
    return lp, (z, expmz, scale)


def gumbel_log_prob_backward(dlp, cache):
    z, expmz, scale = cache
    dz = dlp * (expmz - 1.0)
    return dz / scale, -dz / scale, -dz * z / scale - dlp / scale


def logistic_log_prob(value, loc, scale):
    z = (value - loc) / scale
    lp = -z - 2.0 * np.logaddexp(0.0, -z) - np.log(scale)
    return lp, (z, scale)


def logistic_log_prob_backward(dlp, cache):
    z, scale = cache
    dz = -dlp * np.tanh(0.5 * z)
    return dz / scale, -dz / scale, -(dz * z + dlp) / scale


_rng = np.random.default_rng(60)
_args = {
    "value": _rng.normal(size=(3, 2)),
    "loc": _rng.normal(size=(3, 2)),
    "scale": np.exp(0.3 * _rng.normal(size=(3, 2))),
}
examples = {"normal_log_prob": _args, "gumbel_log_prob": _args, "logistic_log_prob": _args}
''',
)

_right(
    "research_coupling_layer",
    "research repository (normalizing flows)",
    '''
# flows/coupling.py -- affine coupling (RealNVP) by hand
import numpy as np


def coupling_forward(x, Ws, bs, Wt, bt):
    """
    y1 = x1
    y2 = x2 * exp(s(x1)) + t(x1),  s = tanh(x1 Ws + bs),  t = x1 Wt + bt

    x is (B, 2d); Ws and Wt are (d, d); bs and bt are (d,)
    """
    d = x.shape[1] // 2
    x1, x2 = x[:, :d], x[:, d:]
    s = np.tanh(x1 @ Ws + bs)
    t = x1 @ Wt + bt
    es = np.exp(s)
    y = np.concatenate([x1, x2 * es + t], axis=1)
    return y, (x1, x2, s, es, Ws, Wt)


def coupling_backward(dy, cache):
    x1, x2, s, es, Ws, Wt = cache
    d = x1.shape[1]
    dy1, dy2 = dy[:, :d], dy[:, d:]
    dt = dy2
    dx2 = dy2 * es
    ds = dy2 * x2 * es
    dpre = ds * (1.0 - s ** 2)
    dx1 = dy1 + dpre @ Ws.T + dt @ Wt.T
    dx = np.concatenate([dx1, dx2], axis=1)
    return dx, x1.T @ dpre, dpre.sum(0), x1.T @ dt, dt.sum(0)


def coupling_logdet_forward(x, Ws, bs):
    """log |det dy/dx| of the layer above, (B,)"""
    d = x.shape[1] // 2
    s = np.tanh(x[:, :d] @ Ws + bs)
    return s.sum(axis=1), (x, s, Ws)


def coupling_logdet_backward(dlogdet, cache):
    x, s, Ws = cache
    d = Ws.shape[0]
    dpre = dlogdet[:, None] * (1.0 - s ** 2)
    dx = np.zeros_like(x)
    dx[:, :d] = dpre @ Ws.T
    return dx, x[:, :d].T @ dpre, dpre.sum(0)


_r = np.random.default_rng(70)
_x, _Ws, _bs = _r.normal(size=(3, 6)), 0.5 * _r.normal(size=(3, 3)), 0.2 * _r.normal(size=3)
examples = {
    "coupling": {"x": _x, "Ws": _Ws, "bs": _bs, "Wt": _r.normal(size=(3, 3)), "bt": _r.normal(size=3)},
    "coupling_logdet": {"x": _x, "Ws": _Ws, "bs": _bs},
}
examples["coupling_forward"] = examples["coupling"]
examples["coupling_logdet_forward"] = examples["coupling_logdet"]
''',
)

_right(
    "homework_logistic_regression",
    "student homework (intro to machine learning)",
    '''
# Assignment 1 - logistic regression
# Name: ________
import numpy as np


def linear(X, w, b):
    """X: (n, d), w: (d, k), b: (k,)"""
    y = X @ w + b
    return y, (X, w)


def linear_backward(dy, cache):
    X, w = cache
    return dy @ w.T, X.T @ dy, dy.sum(axis=0)


def l2_penalty(w, lam=0.1):
    """lam / 2 * the sum of the squared weights"""
    return 0.5 * lam * np.sum(w ** 2), (w, lam)


def l2_penalty_backward(dloss, cache):
    w, lam = cache
    return dloss * lam * w


def bce_loss(logits, labels):
    """mean binary cross entropy, labels are 0 or 1 and get no gradient"""
    loss = np.mean(np.maximum(logits, 0) - logits * labels + np.log1p(np.exp(-np.abs(logits))))
    return loss, (logits, labels)


def bce_loss_backward(dloss, cache):
    logits, labels = cache
    p = 1 / (1 + np.exp(-logits))
    return {"logits": dloss * (p - labels) / logits.size}


_r = np.random.RandomState(80)
examples = {
    "linear": {"X": _r.randn(5, 3), "w": _r.randn(3, 2), "b": _r.randn(2)},
    "l2_penalty": {"w": _r.randn(3, 2)},
    "bce_loss": {"logits": _r.randn(4, 2), "labels": np.array([[0., 1.], [1., 1.], [0., 0.], [1., 0.]])},
}
''',
)

_right(
    "cs224n_negative_sampling",
    "CS224n assignment",
    '''
#!/usr/bin/env python
import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def neg_sampling_loss(centerWordVecs, outsideVecs, negVecs):
    """ Negative sampling loss of a batch of word pairs

    Arguments:
    centerWordVecs -- (B, D), the vectors of the center words
    outsideVecs -- (B, D), the vectors of the true outside words
    negVecs -- (B, K, D), the vectors of K negative samples for each

    Return:
    loss -- (B,)
    """
    pos = sigmoid(np.sum(centerWordVecs * outsideVecs, axis=1))
    neg = sigmoid(-np.einsum("bd,bkd->bk", centerWordVecs, negVecs))
    loss = -np.log(pos) - np.sum(np.log(neg), axis=1)
    return loss, (centerWordVecs, outsideVecs, negVecs, pos, neg)


def neg_sampling_loss_backward(dloss, cache):
    vc, uo, un, pos, neg = cache
    gpos = (dloss * (pos - 1))[:, None]
    gneg = dloss[:, None] * (1 - neg)
    gradCenterVecs = gpos * uo + np.einsum("bk,bkd->bd", gneg, un)
    gradOutsideVecs = gpos * vc
    gradNegVecs = gneg[:, :, None] * vc[:, None, :]
    return gradCenterVecs, gradOutsideVecs, gradNegVecs


np.random.seed(9265)
examples = {"neg_sampling_loss": {
    "centerWordVecs": np.random.randn(3, 4),
    "outsideVecs": np.random.randn(3, 4),
    "negVecs": np.random.randn(3, 2, 4),
}}
''',
)

_right(
    "library_dilated_conv1d",
    "NumPy layer library (numpy-ml like)",
    '''
import numpy as np


class CausalConv1D:
    def __init__(self, in_ch, out_ch, kernel_width=2, dilation=2):
        """
        A dilated causal convolution over time, as in WaveNet.

        Parameters
        ----------
        in_ch, out_ch : int
            The number of channels of the input and of the output.
        kernel_width : int
            The number of taps.
        dilation : int
            Number of steps between two taps.
        """
        rng = np.random.RandomState(90)
        self.kernel_width = kernel_width
        self.dilation = dilation
        self.params = {"W": rng.randn(kernel_width, in_ch, out_ch), "b": rng.randn(out_ch)}
        self.grads = {}

    def forward(self, X):
        """X : ndarray of shape (n_ex, l_in, in_ch), the output is of the same length"""
        W, b = self.params["W"], self.params["b"]
        pad = (self.kernel_width - 1) * self.dilation
        self.X_pad = np.pad(X, ((0, 0), (pad, 0), (0, 0)))
        n_ex, l_in, _ = X.shape
        Y = np.zeros((n_ex, l_in, W.shape[2])) + b
        for k in range(self.kernel_width):
            start = k * self.dilation
            Y += self.X_pad[:, start:start + l_in] @ W[k]
        return Y

    def backward(self, dLdY):
        W = self.params["W"]
        n_ex, l_in, _ = dLdY.shape
        pad = (self.kernel_width - 1) * self.dilation
        dX_pad = np.zeros_like(self.X_pad)
        dW = np.zeros_like(W)
        for k in range(self.kernel_width):
            start = k * self.dilation
            dW[k] = np.tensordot(self.X_pad[:, start:start + l_in], dLdY, axes=([0, 1], [0, 1]))
            dX_pad[:, start:start + l_in] += dLdY @ W[k].T
        self.grads["W"] = dW
        self.grads["b"] = dLdY.sum(axis=(0, 1))
        return dX_pad[:, pad:]


examples = {"CausalConv1D": {"init": {"in_ch": 2, "out_ch": 3}, "X": np.random.RandomState(91).randn(2, 5, 2)}}
''',
)

_right(
    "cmu_rnn_cell_criterion",
    "CMU 11-785 homework (mytorch)",
    '''
import numpy as np


class RNNCell(object):
    """RNN Cell class: h = tanh(W_ih x + b_ih + W_hh h_prev + b_hh)"""

    def __init__(self, input_size, hidden_size):
        rng = np.random.RandomState(100)
        self.W_ih = rng.randn(hidden_size, input_size) * 0.5
        self.W_hh = rng.randn(hidden_size, hidden_size) * 0.5
        self.b_ih = rng.randn(hidden_size) * 0.1
        self.b_hh = rng.randn(hidden_size) * 0.1
        self.zero_grad()

    def zero_grad(self):
        self.dW_ih = np.zeros_like(self.W_ih)
        self.dW_hh = np.zeros_like(self.W_hh)
        self.db_ih = np.zeros_like(self.b_ih)
        self.db_hh = np.zeros_like(self.b_hh)

    def forward(self, x, h_prev):
        """x: (batch_size, input_size), h_prev: (batch_size, hidden_size)"""
        self.x = x
        self.h_prev = h_prev
        self.h = np.tanh(x @ self.W_ih.T + self.b_ih + h_prev @ self.W_hh.T + self.b_hh)
        return self.h

    def backward(self, delta):
        self.zero_grad()
        dz = (1 - self.h ** 2) * delta
        self.dW_ih += dz.T @ self.x
        self.dW_hh += dz.T @ self.h_prev
        self.db_ih += dz.sum(axis=0)
        self.db_hh += dz.sum(axis=0)
        dx = dz @ self.W_ih
        dh_prev = dz @ self.W_hh
        return dx, dh_prev


class LogSoftmax(object):
    def forward(self, logits):
        z = logits - logits.max(axis=1, keepdims=True)
        self.out = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
        return self.out

    def backward(self, delta):
        return delta - np.exp(self.out) * delta.sum(axis=1, keepdims=True)


_rng = np.random.RandomState(101)
examples = {
    "RNNCell": {"init": {"input_size": 4, "hidden_size": 3}, "x": _rng.randn(2, 4), "h_prev": _rng.randn(2, 3)},
    "LogSoftmax": {"logits": _rng.randn(3, 4)},
}
''',
)

_right(
    "framework_gated_net",
    "small framework (several classes)",
    '''
"""A small framework: every layer has forward(x) and backward(grad), a container calls them in turn."""
import numpy as np


class Dense:
    def __init__(self, n_in, n_out, seed=0):
        gen = np.random.default_rng(seed)
        self.W = gen.normal(0.0, 1.0 / np.sqrt(n_in), (n_in, n_out))
        self.b = gen.normal(0.0, 0.1, n_out)

    def forward(self, x):
        self._x = x
        return x @ self.W + self.b

    def backward(self, grad):
        self.grad_W = self._x.T @ grad
        self.grad_b = grad.sum(axis=0)
        return grad @ self.W.T


class GLU:
    """a * sigmoid(b), a and b the two halves of the features"""

    def forward(self, x):
        a, b = np.split(x, 2, axis=1)
        gate = 1.0 / (1.0 + np.exp(-b))
        self._a, self._gate = a, gate
        return a * gate

    def backward(self, grad):
        a, gate = self._a, self._gate
        return np.hstack([grad * gate, grad * a * gate * (1.0 - gate)])


class Elu:
    def __init__(self, alpha=1.3):
        self.alpha = alpha

    def forward(self, x):
        self._pos = x > 0
        self._out = np.where(self._pos, x, self.alpha * np.expm1(np.minimum(x, 0.0)))
        return self._out

    def backward(self, grad):
        return grad * np.where(self._pos, 1.0, self._out + self.alpha)


class GatedNet:
    """Dense -> GLU -> Dense -> Elu"""

    def __init__(self, n_in, n_hidden, n_out):
        self.layers = [Dense(n_in, 2 * n_hidden, seed=1), GLU(), Dense(n_hidden, n_out, seed=2), Elu()]

    def forward(self, x):
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, grad):
        for layer in reversed(self.layers):
            grad = layer.backward(grad)
        return grad


_x = np.random.default_rng(110).normal(size=(4, 6))
examples = {
    "Dense": {"init": {"n_in": 6, "n_out": 3}, "x": _x},
    "GLU": {"x": _x},
    "Elu": {"x": _x},
    "GatedNet": {"init": {"n_in": 6, "n_hidden": 3, "n_out": 2}, "x": _x},
}
''',
)
