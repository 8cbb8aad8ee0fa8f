"""Fourth paper: whole files as students hand them in, and a few vjp items in rarer styles."""
from typing import Callable, NamedTuple

import numpy as np


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


def _file(name, style, source, slip="", wrong=(), causes=()):
    source = source.lstrip("\n")
    ITEMS.append(Item(name, style, "file", lambda: {"source": source}, not wrong, slip, tuple(wrong), tuple(causes)))


def _vjp(style, slip="", wrong=(), causes=()):
    def put(make):
        ITEMS.append(Item(make.__name__, style, "vjp", make, not wrong, slip, tuple(wrong), tuple(causes)))
        return make
    return put


# ------------------------------------------------------------------------------------------------ files, wrong

_file("dlfs_softmax_loss_unaveraged", "layer classes with params/grads lists, book style", '''
# Assignment 3 - layers.py
import numpy as np

np.random.seed(3)


def softmax(x):
    x = x - x.max(axis=1, keepdims=True)
    e = np.exp(x)
    return e / e.sum(axis=1, keepdims=True)


class Affine:
    def __init__(self, W, b):
        self.params = {"W": W, "b": b}
        self.grads = {}
        self.x = None

    def forward(self, x):
        self.x = x
        return x.dot(self.params["W"]) + self.params["b"]

    def backward(self, dout):
        self.grads["W"] = self.x.T.dot(dout)
        self.grads["b"] = dout.sum(axis=0)
        return dout.dot(self.params["W"].T)


class SoftmaxWithLoss:
    def __init__(self):
        self.params, self.grads = {}, {}
        self.y = None
        self.t = None

    def forward(self, x, t):
        self.t = t
        self.y = softmax(x)
        batch = x.shape[0]
        return -np.sum(np.log(self.y[np.arange(batch), t] + 1e-12)) / batch

    def backward(self, dout=1):
        batch = self.t.shape[0]
        dx = self.y.copy()
        dx[np.arange(batch), self.t] -= 1
        return dout * dx


examples = {
    "Affine": {"init": {"W": np.random.randn(4, 3), "b": np.random.randn(3)}, "x": np.random.randn(5, 4)},
    "SoftmaxWithLoss": {"init": {}, "x": np.random.randn(5, 3), "t": np.array([0, 2, 1, 1, 0])},
}
''', "the loss is a mean over the batch, its gradient is not divided by the batch size: dx / batch", ("x",), ("factor",))

_file("dense_bias_mean", "classes with dW / db attributes, homework", '''
import numpy as np


class Dense:
    """y = x W + b"""

    def __init__(self, n_in, n_out, seed=0):
        rng = np.random.RandomState(seed)
        self.W = rng.randn(n_in, n_out) * np.sqrt(2.0 / n_in)
        self.b = np.zeros(n_out)
        self.dW = None
        self.db = None

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout):
        self.dW = self.x.T @ dout
        self.db = np.mean(dout, axis=0)
        return dout @ self.W.T


class Sigmoid:
    def forward(self, x):
        self.out = 1 / (1 + np.exp(-x))
        return self.out

    def backward(self, dout):
        return dout * self.out * (1 - self.out)


class Tanh:
    def forward(self, x):
        self.out = np.tanh(x)
        return self.out

    def backward(self, dout):
        return dout * (1 - self.out ** 2)
''', "db averages over the batch while dW sums: np.sum(dout, axis=0)", ("b",), ("factor",))

_file("parameter_embedding_overwrites", "Parameter objects with .data and .grad, tiny NLP library", '''
import numpy as np


class Parameter:
    def __init__(self, data):
        self.data = np.asarray(data, dtype=np.float64)
        self.grad = np.zeros_like(self.data)

    def zero_grad(self):
        self.grad = np.zeros_like(self.data)


class Embedding:
    def __init__(self, vocab, dim):
        rng = np.random.default_rng(1)
        self.weight = Parameter(rng.normal(size=(vocab, dim)))

    def forward(self, idx):
        self.idx = idx
        return self.weight.data[idx]

    def backward(self, dout):
        self.weight.zero_grad()
        self.weight.grad[self.idx] = dout
        return None


class Linear:
    def __init__(self, n_in, n_out):
        rng = np.random.default_rng(2)
        self.weight = Parameter(rng.normal(size=(n_out, n_in)) / np.sqrt(n_in))
        self.bias = Parameter(rng.normal(size=n_out))

    def forward(self, x):
        self.x = x
        return x @ self.weight.data.T + self.bias.data

    def backward(self, dout):
        self.weight.grad = dout.T @ self.x
        self.bias.grad = dout.sum(0)
        return dout @ self.weight.data


examples = {
    "Embedding": {"init": {"vocab": 6, "dim": 3}, "idx": np.array([[1, 4, 1], [0, 4, 4]])},
    "Linear": {"init": {"n_in": 3, "n_out": 2}, "x": np.linspace(-1, 1, 12).reshape(4, 3)},
}
''', "a word that occurs several times keeps only its last gradient: np.add.at(grad, idx, dout)", ("weight",), ("batch-sum", "missing-term"))

_file("bn_unbiased_variance", "f_forward / f_backward with cache tuples, course assignment", '''
import numpy as np


def affine_forward(x, w, b):
    out = x.reshape(x.shape[0], -1).dot(w) + b
    cache = (x, w, b)
    return out, cache


def affine_backward(dout, cache):
    x, w, b = cache
    dx = dout.dot(w.T).reshape(x.shape)
    dw = x.reshape(x.shape[0], -1).T.dot(dout)
    db = dout.sum(axis=0)
    return dx, dw, db


def relu_forward(x):
    return np.maximum(0, x), x


def relu_backward(dout, cache):
    return dout * (cache > 0)


def batchnorm_forward(x, gamma, beta, eps=1e-5):
    N, D = x.shape
    mu = x.mean(axis=0)
    xmu = x - mu
    var = np.sum(xmu ** 2, axis=0) / (N - 1)
    ivar = 1.0 / np.sqrt(var + eps)
    xhat = xmu * ivar
    out = gamma * xhat + beta
    return out, (xhat, xmu, ivar, gamma)


def batchnorm_backward(dout, cache):
    xhat, xmu, ivar, gamma = cache
    N, D = dout.shape
    dbeta = dout.sum(axis=0)
    dgamma = np.sum(dout * xhat, axis=0)
    dxhat = dout * gamma
    dvar = np.sum(dxhat * xmu, axis=0) * -0.5 * ivar ** 3
    dxmu = dxhat * ivar + dvar * 2.0 * xmu / N
    dmu = -np.sum(dxmu, axis=0)
    dx = dxmu + dmu / N
    return dx, dgamma, dbeta


_r = np.random.RandomState(0)
examples = {
    "affine_forward": {"x": _r.randn(4, 3), "w": _r.randn(3, 2), "b": _r.randn(2)},
    "relu_forward": {"x": _r.randn(4, 3)},
    "batchnorm_forward": {"x": _r.randn(4, 3) * 2 + 1, "gamma": _r.randn(3), "beta": _r.randn(3)},
}
''', "the forward divides the variance by N - 1, its backward by N: dvar * 2 * xmu / (N - 1)", ("x",), ("missing-term", "unknown", "elementwise-factor"))

_file("features_first_tanh_of_z", "features-first functions with caches, lecture code", '''
import numpy as np

# Shapes: A is (units, m), one column an example.


def linear_forward(A, W, b):
    Z = np.dot(W, A) + b
    cache = (A, W, b)
    return Z, cache


def linear_backward(dZ, cache):
    A_prev, W, b = cache
    dW = np.dot(dZ, A_prev.T)
    db = np.sum(dZ, axis=1, keepdims=True)
    dA_prev = np.dot(W.T, dZ)
    return dA_prev, dW, db


def sigmoid_forward(Z):
    A = 1 / (1 + np.exp(-Z))
    return A, Z


def sigmoid_backward(dA, cache):
    Z = cache
    s = 1 / (1 + np.exp(-Z))
    return dA * s * (1 - s)


def tanh_forward(Z):
    A = np.tanh(Z)
    return A, Z


def tanh_backward(dA, cache):
    Z = cache
    dZ = dA * (1 - np.power(Z, 2))
    return dZ


examples = {
    "linear_forward": {"A": np.arange(12.0).reshape(3, 4) / 7 - 0.6, "W": np.array([[0.3, -1.1, 0.8], [0.5, 0.2, -0.7]]),
                       "b": np.array([[0.1], [-0.4]])},
    "sigmoid_forward": {"Z": np.linspace(-2, 2, 8).reshape(2, 4)},
    "tanh_forward": {"Z": np.linspace(-1.7, 1.3, 8).reshape(2, 4)},
}
''', "the cache holds Z, the slope wants A: 1 - tanh(Z)**2", ("Z",), ("elementwise-factor",))

_file("lr_in_backward_updates_first", "learning rate in backward, hobby network from scratch", '''
import numpy as np

np.random.seed(42)


class Layer:
    def forward(self, input):
        raise NotImplementedError

    def backward(self, output_gradient, learning_rate):
        raise NotImplementedError


class Dense(Layer):
    def __init__(self, input_size, output_size):
        rng = np.random.RandomState(42)
        self.weights = rng.randn(input_size, output_size)
        self.bias = rng.randn(1, output_size)

    def forward(self, input):
        self.input = input
        return np.dot(input, self.weights) + self.bias

    def backward(self, output_gradient, learning_rate=0.1):
        weights_gradient = np.dot(self.input.T, output_gradient)
        bias_gradient = output_gradient.sum(axis=0, keepdims=True)
        self.weights = self.weights - learning_rate * weights_gradient
        self.bias = self.bias - learning_rate * bias_gradient
        return np.dot(output_gradient, self.weights.T)


class Tanh(Layer):
    def forward(self, input):
        self.input = input
        return np.tanh(input)

    def backward(self, output_gradient, learning_rate=0.1):
        return output_gradient * (1 - np.tanh(self.input) ** 2)


examples = {
    "Dense": {"init": {"input_size": 3, "output_size": 4}, "input": np.random.randn(5, 3)},
    "Tanh": {"init": {}, "input": np.random.randn(5, 4)},
}
''', "the input's gradient is taken with the weights already moved: compute it before the update", ("input",), ("missing-term", "unknown"))

_file("huber_class_delta_lost", "losses as classes, predictions and targets", '''
import numpy as np


class Loss:
    def forward(self, pred, target):
        raise NotImplementedError

    def backward(self):
        raise NotImplementedError


class MSELoss(Loss):
    def forward(self, pred, target):
        self.diff = pred - target
        return np.mean(self.diff ** 2)

    def backward(self):
        return 2 * self.diff / self.diff.size


class HuberLoss(Loss):
    def __init__(self, delta=0.6):
        self.delta = delta

    def forward(self, pred, target):
        self.diff = pred - target
        a = np.abs(self.diff)
        quad = 0.5 * self.diff ** 2
        lin = self.delta * (a - 0.5 * self.delta)
        return np.where(a <= self.delta, quad, lin).mean()

    def backward(self):
        small = np.abs(self.diff) <= self.delta
        return np.where(small, self.diff, np.sign(self.diff)) / self.diff.size


examples = {
    "MSELoss": {"init": {}, "pred": np.array([[0.2, 1.0], [-1.5, 0.3]]), "target": np.array([[0.0, 2.5], [0.4, 0.1]])},
    "HuberLoss": {"init": {}, "pred": np.array([[0.2, 1.0, 0.1], [-1.5, 0.3, 2.2]]),
                  "target": np.array([[0.0, 2.5, 0.4], [0.4, 0.1, 0.3]])},
}
''', "the straight part has slope delta, not 1: delta * sign(diff)", ("pred",), ("elementwise-factor",))

_file("residual_skip_forgotten", "tiny framework with Module and nested layers", '''
import numpy as np


class Module:
    def __call__(self, x):
        return self.forward(x)


class ReLU(Module):
    def forward(self, x):
        self.mask = x > 0
        return x * self.mask

    def backward(self, grad):
        return grad * self.mask


class Linear(Module):
    def __init__(self, d_in, d_out, rng=None):
        rng = rng or np.random.default_rng(0)
        self.W = rng.normal(size=(d_in, d_out)) / np.sqrt(d_in)
        self.b = rng.normal(size=d_out) * 0.1

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, grad):
        self.grad_W = self.x.T @ grad
        self.grad_b = grad.sum(axis=0)
        return grad @ self.W.T


class ResidualBlock(Module):
    """x + W2 relu(W1 x + b1)"""

    def __init__(self, dim=3, hidden=5):
        rng = np.random.default_rng(7)
        self.W1 = rng.normal(size=(dim, hidden)) / np.sqrt(dim)
        self.b1 = rng.normal(size=hidden) * 0.1
        self.W2 = rng.normal(size=(hidden, dim)) / np.sqrt(hidden)

    def forward(self, x):
        self.x = x
        self.a = x @ self.W1 + self.b1
        self.h = np.maximum(self.a, 0)
        return x + self.h @ self.W2

    def backward(self, grad):
        self.grad_W2 = self.h.T @ grad
        da = (grad @ self.W2.T) * (self.a > 0)
        self.grad_W1 = self.x.T @ da
        self.grad_b1 = da.sum(axis=0)
        return da @ self.W1.T


examples = {
    "ReLU": {"init": {}, "x": np.linspace(-1, 1, 6).reshape(2, 3)},
    "Linear": {"init": {"d_in": 3, "d_out": 2}, "x": np.linspace(-1, 1.4, 12).reshape(4, 3)},
    "ResidualBlock": {"init": {"dim": 3, "hidden": 5}, "x": np.linspace(-1, 1.4, 12).reshape(4, 3)},
}
''', "the skip's gradient is missing: + grad", ("x",), ("missing-term",))

_file("swish_scalar_beta", "activation layers with one scalar parameter", '''
import numpy as np


def sigmoid(z):
    return 0.5 * (1 + np.tanh(0.5 * z))


class PReLU:
    def __init__(self, alpha=0.25):
        self.alpha = alpha

    def forward(self, x):
        self.x = x
        return np.where(x > 0, x, self.alpha * x)

    def backward(self, dout):
        self.dalpha = np.sum(dout * np.minimum(self.x, 0))
        return dout * np.where(self.x > 0, 1.0, self.alpha)


class Swish:
    """x * sigmoid(beta * x), beta is learned"""

    def __init__(self, beta=1.3):
        self.beta = beta

    def forward(self, x):
        self.x = x
        self.s = sigmoid(self.beta * x)
        return x * self.s

    def backward(self, dout):
        ds = self.s * (1 - self.s)
        self.dbeta = np.sum(dout * self.x * ds)
        return dout * (self.s + self.beta * self.x * ds)


examples = {
    "PReLU": {"init": {"alpha": 0.25}, "x": np.array([[0.4, -1.2, 2.0], [-0.3, 0.9, -2.1]])},
    "Swish": {"init": {"beta": 1.3}, "x": np.array([[0.4, -1.2, 2.0], [-0.3, 0.9, -2.1]])},
}
''', "d(beta x)/dbeta = x is missing: dout * x * x * s (1 - s)", ("beta",), ("elementwise-factor", "factor", "unknown"))

_file("conv2d_im2col_weight_layout", "convolution with im2col, NCHW, dW attributes", '''
import numpy as np


def im2col(x, k, stride):
    N, C, H, W = x.shape
    oh, ow = (H - k) // stride + 1, (W - k) // stride + 1
    cols = np.empty((N, oh, ow, C, k, k))
    for i in range(oh):
        for j in range(ow):
            cols[:, i, j] = x[:, :, i * stride:i * stride + k, j * stride:j * stride + k]
    return cols.reshape(N * oh * ow, -1), oh, ow


def col2im(cols, shape, k, stride, oh, ow):
    N, C, H, W = shape
    cols = cols.reshape(N, oh, ow, C, k, k)
    x = np.zeros(shape)
    for i in range(oh):
        for j in range(ow):
            x[:, :, i * stride:i * stride + k, j * stride:j * stride + k] += cols[:, i, j]
    return x


class Conv2D:
    def __init__(self, in_channels=2, out_channels=3, kernel_size=2, stride=1):
        rng = np.random.default_rng(0)
        self.k, self.stride = kernel_size, stride
        self.W = rng.normal(size=(out_channels, in_channels, kernel_size, kernel_size))
        self.b = rng.normal(size=out_channels)

    def forward(self, x):
        self.shape = x.shape
        self.cols, self.oh, self.ow = im2col(x, self.k, self.stride)
        out = self.cols @ self.W.reshape(len(self.W), -1).T + self.b
        return out.reshape(x.shape[0], self.oh, self.ow, -1).transpose(0, 3, 1, 2)

    def backward(self, dout):
        F = self.W.shape[0]
        d = dout.transpose(0, 2, 3, 1).reshape(-1, F)
        self.db = d.sum(axis=0)
        self.dW = (self.cols.T @ d).reshape(self.W.shape)
        dcols = d @ self.W.reshape(F, -1)
        return col2im(dcols, self.shape, self.k, self.stride, self.oh, self.ow)


examples = {"Conv2D": {"init": {"in_channels": 2, "out_channels": 3, "kernel_size": 2},
                       "x": np.random.default_rng(1).normal(size=(2, 2, 3, 3))}}
''', "cols.T @ d is (C k k, F) and must be transposed before the reshape to (F, C, k, k)", ("W",), ("transpose",))

_file("conv1d_padding_left_on", "convolution functions with forward/backward, naive loops", '''
import numpy as np


def conv1d_forward(x, w, b, pad=1):
    """x (N, C, L), w (F, C, K), b (F,)"""
    N, C, L = x.shape
    F, _, K = w.shape
    xp = np.pad(x, ((0, 0), (0, 0), (pad, pad)))
    Lo = L + 2 * pad - K + 1
    out = np.zeros((N, F, Lo))
    for t in range(Lo):
        out[:, :, t] = np.tensordot(xp[:, :, t:t + K], w, axes=([1, 2], [1, 2])) + b
    return out, (xp, w, pad)


def conv1d_backward(dout, cache):
    xp, w, pad = cache
    K = w.shape[2]
    dxp = np.zeros_like(xp)
    dw = np.zeros_like(w)
    for t in range(dout.shape[2]):
        g = dout[:, :, t]
        dxp[:, :, t:t + K] += np.tensordot(g, w, axes=(1, 0))
        dw += np.tensordot(g, xp[:, :, t:t + K], axes=(0, 0))
    db = dout.sum(axis=(0, 2))
    return dxp, dw, db


examples = {"conv1d_forward": {
    "x": np.random.RandomState(0).randn(2, 2, 5),
    "w": np.random.RandomState(1).randn(3, 2, 3),
    "b": np.array([0.1, -0.2, 0.3]),
}}
''', "the gradient of the padded input is returned; cut the padding off: dxp[:, :, pad:-pad]", ("x",), ("shape",))

_file("avgpool_not_divided", "pooling layer classes, NHWC", '''
import numpy as np


class AveragePool2D:
    """Non-overlapping windows; input is (batch, height, width, channels)."""

    def __init__(self, pool=2):
        self.pool = pool

    def forward(self, x):
        n, h, w, c = x.shape
        p = self.pool
        self.input_shape = x.shape
        return x.reshape(n, h // p, p, w // p, p, c).mean(axis=(2, 4))

    def backward(self, dy):
        p = self.pool
        return np.repeat(np.repeat(dy, p, axis=1), p, axis=2)


class Flatten:
    def forward(self, x):
        self.input_shape = x.shape
        return x.reshape(len(x), -1)

    def backward(self, dy):
        return dy.reshape(self.input_shape)


class GlobalAveragePool:
    def forward(self, x):
        self.input_shape = x.shape
        return x.mean(axis=(1, 2))

    def backward(self, dy):
        n, h, w, c = self.input_shape
        return np.ones(self.input_shape) * dy[:, None, None, :] / (h * w)


_x = np.random.default_rng(5).normal(size=(2, 4, 4, 1))
examples = {"AveragePool2D": {"init": {"pool": 2}, "x": _x}, "Flatten": {"init": {}, "x": _x},
            "GlobalAveragePool": {"init": {}, "x": _x}}
''', "each pixel gets the whole gradient of the mean: / pool**2", ("x",), ("factor",))

_file("layernorm_counts_rows", "normalisation layer with gamma/beta and a grads dict", '''
import numpy as np


class LayerNorm:
    def __init__(self, dim, eps=1e-5):
        self.eps = eps
        self.params = {"gamma": np.linspace(0.5, 1.5, dim), "beta": np.linspace(-0.2, 0.2, dim)}
        self.grads = {}

    def forward(self, x):
        mean = x.mean(axis=-1, keepdims=True)
        var = x.var(axis=-1, keepdims=True)
        self.rstd = 1.0 / np.sqrt(var + self.eps)
        self.xhat = (x - mean) * self.rstd
        return self.params["gamma"] * self.xhat + self.params["beta"]

    def backward(self, dy):
        N = dy.shape[0]
        self.grads["gamma"] = (dy * self.xhat).sum(axis=0)
        self.grads["beta"] = dy.sum(axis=0)
        g = dy * self.params["gamma"]
        s1 = g.sum(axis=-1, keepdims=True)
        s2 = (g * self.xhat).sum(axis=-1, keepdims=True)
        return self.rstd * (g - s1 / N - self.xhat * s2 / N)


examples = {"LayerNorm": {"init": {"dim": 5}, "x": np.random.default_rng(2).normal(1.0, 2.0, size=(3, 5))}}
''', "the means over the features divide by the number of rows: N = dy.shape[-1]", ("x",), ("missing-term", "unknown"))

_file("rnn_step_wh_side", "recurrent step functions, course assignment", '''
import numpy as np


def rnn_step_forward(x, prev_h, Wx, Wh, b):
    """
    x: (N, D), prev_h: (N, H), Wx: (D, H), Wh: (H, H), b: (H,)
    """
    next_h = np.tanh(x.dot(Wx) + prev_h.dot(Wh) + b)
    cache = (x, prev_h, Wx, Wh, next_h)
    return next_h, cache


def rnn_step_backward(dnext_h, cache):
    x, prev_h, Wx, Wh, next_h = cache
    dz = dnext_h * (1 - next_h ** 2)
    dx = dz.dot(Wx.T)
    dprev_h = dz.dot(Wh)
    dWx = x.T.dot(dz)
    dWh = prev_h.T.dot(dz)
    db = dz.sum(axis=0)
    return dx, dprev_h, dWx, dWh, db


_g = np.random.RandomState(11)
examples = {"rnn_step_forward": {"x": _g.randn(4, 3), "prev_h": _g.randn(4, 5) * 0.5, "Wx": _g.randn(3, 5) * 0.5,
                                 "Wh": _g.randn(5, 5) * 0.4, "b": _g.randn(5) * 0.1}}
''',
      "dprev_h goes back through Wh itself: dz.dot(Wh.T)", ("prev_h",), ("transpose",))

_file("gru_cell_reset_path", "recurrent cell class, grads dict, row vectors", '''
import numpy as np


def sig(a):
    return 1 / (1 + np.exp(-a))


class GRUCell:
    def __init__(self, n_x, n_h):
        g = np.random.default_rng(4)
        s = 1 / np.sqrt(n_h)
        self.params = {k: g.uniform(-s, s, size=(n_x + n_h, n_h)) * 2 for k in ("Wz", "Wr", "Wn")}

    def forward(self, x, h):
        p = self.params
        self.x, self.h = x, h
        xh = np.concatenate([x, h], axis=1)
        self.z = sig(xh @ p["Wz"])
        self.r = sig(xh @ p["Wr"])
        self.xrh = np.concatenate([x, self.r * h], axis=1)
        self.n = np.tanh(self.xrh @ p["Wn"])
        self.xh = xh
        return (1 - self.z) * self.n + self.z * h

    def backward(self, dh_next):
        p, D = self.params, self.x.shape[1]
        dz = dh_next * (self.h - self.n) * self.z * (1 - self.z)
        dn = dh_next * (1 - self.z) * (1 - self.n ** 2)
        dxrh = dn @ p["Wn"].T
        drh = dxrh[:, D:]
        dr = drh * self.h * self.r * (1 - self.r)
        dxh = dz @ p["Wz"].T + dr @ p["Wr"].T
        self.grads = {"Wz": self.xh.T @ dz, "Wr": self.xh.T @ dr, "Wn": self.xrh.T @ dn}
        dx = dxh[:, :D] + dxrh[:, :D]
        dh = dh_next * self.z + dxh[:, D:]
        return dx, dh


_g = np.random.default_rng(8)
examples = {"GRUCell": {"init": {"n_x": 2, "n_h": 3}, "x": _g.normal(size=(4, 2)), "h": _g.normal(size=(4, 3))}}
''', "the state's path through the reset product r * h is missing: dh += drh * r", ("h",), ("missing-term",))

_file("lstm_cell_wrong_gate", "LSTM step functions with stacked gates", '''
import numpy as np


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def lstm_step_forward(x, prev_h, prev_c, Wx, Wh, b):
    H = prev_h.shape[1]
    a = x @ Wx + prev_h @ Wh + b
    i = sigmoid(a[:, :H])
    f = sigmoid(a[:, H:2 * H])
    o = sigmoid(a[:, 2 * H:3 * H])
    g = np.tanh(a[:, 3 * H:])
    c = f * prev_c + i * g
    h = o * np.tanh(c)
    return h, (x, prev_h, prev_c, Wx, Wh, i, f, o, g, c)


def lstm_step_backward(dh, cache):
    x, prev_h, prev_c, Wx, Wh, i, f, o, g, c = cache
    tc = np.tanh(c)
    do = dh * tc
    dc = dh * o * (1 - tc ** 2)
    di, dg, df = dc * g, dc * i, dc * prev_c
    dprev_c = dc * i
    da = np.hstack([di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g ** 2)])
    return da @ Wx.T, da @ Wh.T, dprev_c, x.T @ da, prev_h.T @ da, da.sum(0)


_g = np.random.default_rng(6)
examples = {"lstm_step_forward": {
    "x": _g.normal(size=(3, 2)), "prev_h": _g.normal(size=(3, 2)), "prev_c": _g.normal(size=(3, 2)),
    "Wx": _g.normal(size=(2, 8)), "Wh": _g.normal(size=(2, 8)), "b": _g.normal(size=8)}}
''', "the old cell comes through the forget gate, not the input gate: dprev_c = dc * f", ("prev_c",), ("elementwise-factor",))

_file("attention_scale_lost", "functional, f / f_backward, small transformer notebook", '''
import numpy as np


def softmax(s):
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def attention(q, k, v):
    """Scaled dot product attention; all (batch, time, dim)."""
    d = q.shape[-1]
    p = softmax(q @ k.swapaxes(-1, -2) / np.sqrt(d))
    return p @ v, (q, k, v, p)


def attention_backward(dout, cache):
    q, k, v, p = cache
    dv = p.swapaxes(-1, -2) @ dout
    dp = dout @ v.swapaxes(-1, -2)
    ds = p * (dp - (dp * p).sum(-1, keepdims=True))
    dq = ds @ k
    dk = ds.swapaxes(-1, -2) @ q
    return dq, dk, dv


def gelu(x):
    u = np.sqrt(2 / np.pi) * (x + 0.044715 * x ** 3)
    return 0.5 * x * (1 + np.tanh(u)), (x, u)


def gelu_backward(dout, cache):
    x, u = cache
    t = np.tanh(u)
    du = np.sqrt(2 / np.pi) * (1 + 3 * 0.044715 * x ** 2)
    return dout * (0.5 * (1 + t) + 0.5 * x * (1 - t ** 2) * du)


_g = np.random.default_rng(10)
examples = {
    "attention": {"q": _g.normal(size=(2, 3, 4)), "k": _g.normal(size=(2, 3, 4)), "v": _g.normal(size=(2, 3, 4))},
    "gelu": {"x": _g.normal(size=(3, 4))},
}
''', "the scores' scale 1 / sqrt(d) is missing on the way back: ds / np.sqrt(d)", ("q", "k"), ("factor",))

_file("weight_norm_radial_part", "layer class with reparametrised weights, research code", '''
import numpy as np


class WeightNormLinear:
    """w_j = g_j v_j / |v_j|, one row an output unit."""

    def __init__(self, in_features, out_features):
        r = np.random.default_rng(12)
        self.v = r.normal(size=(out_features, in_features))
        self.g = r.uniform(0.5, 2.0, size=out_features)
        self.b = r.normal(size=out_features)

    def forward(self, x):
        self.x = x
        self.norm = np.sqrt((self.v ** 2).sum(axis=1))
        self.unit = self.v / self.norm[:, None]
        self.w = self.g[:, None] * self.unit
        return x @ self.w.T + self.b

    def backward(self, dy):
        dw = dy.T @ self.x
        self.grad_b = dy.sum(0)
        self.grad_g = (dw * self.unit).sum(axis=1)
        self.grad_v = dw * (self.g / self.norm)[:, None]
        return dy @ self.w


examples = {"WeightNormLinear": {"init": {"in_features": 3, "out_features": 2},
                                 "x": np.random.default_rng(1).normal(size=(4, 3))}}
''', "the norm depends on v too: subtract the radial part, (g / norm) (dw - grad_g unit)", ("v",), ("missing-term",))

_file("position_table_wrong_axis", "params and grads in dicts, language model layer", '''
import numpy as np


class PositionalBias:
    """Adds a learned table (T, D) to a batch of sequences (B, T, D) and scales by a learned gain (D,)."""

    def __init__(self, T, D):
        rng = np.random.RandomState(5)
        self.params = {"pos": rng.randn(T, D), "gain": 1 + 0.3 * rng.randn(D)}
        self.grads = {}

    def forward(self, x):
        self.s = x + self.params["pos"][None]
        return self.s * self.params["gain"]

    def backward(self, dout):
        self.grads["gain"] = np.einsum("btd,btd->d", dout, self.s)
        ds = dout * self.params["gain"]
        self.grads["pos"] = ds.sum(axis=1)
        return ds


examples = {"PositionalBias": {"init": {"T": 4, "D": 2}, "x": np.random.RandomState(6).randn(4, 4, 2)}}
''', "the table is shared over the batch, not over time: ds.sum(axis=0)", ("pos",), ("shape", "batch-sum"))

_file("elu_slope_from_output", "activation functions f / f_backward, no examples", '''
import numpy as np


def leaky_relu(x, slope=0.1):
    return np.where(x > 0, x, slope * x), (x, slope)


def leaky_relu_backward(dy, cache):
    x, slope = cache
    return np.where(x > 0, dy, slope * dy)


def elu(x, alpha=1.5):
    y = np.where(x > 0, x, alpha * (np.exp(np.minimum(x, 0)) - 1))
    return y, (x, y, alpha)


def elu_backward(dy, cache):
    # for x < 0 the slope can be read off the output
    x, y, alpha = cache
    return dy * np.where(x > 0, 1.0, y)


def softplus(x):
    return np.logaddexp(0, x), x


def softplus_backward(dy, x):
    return dy / (1 + np.exp(-x))
''', "for x < 0 the slope is alpha exp(x) = y + alpha, not y", ("x",), ("elementwise-factor", "missing-term"))

_file("dense_dw_piles_up", "dW attributes with a step method, no examples", '''
import numpy as np


class FullyConnected:
    def __init__(self, n_in, n_out):
        rng = np.random.default_rng(33)
        self.W = rng.normal(0, 1 / np.sqrt(n_in), size=(n_in, n_out))
        self.b = np.zeros(n_out)
        self.dW = np.zeros_like(self.W)
        self.db = np.zeros_like(self.b)

    def forward(self, x):
        self.x = x
        return np.dot(x, self.W) + self.b

    def backward(self, dy):
        self.dW += np.dot(self.x.T, dy)
        self.db = np.sum(dy, axis=0)
        return np.dot(dy, self.W.T)

    def step(self, lr=0.01):
        self.W -= lr * self.dW
        self.b -= lr * self.db


class ReLU:
    def forward(self, x):
        self.x = x
        return np.maximum(x, 0)

    def backward(self, dy):
        return np.where(self.x > 0, dy, 0)
''', "dW is added to at each backward and never cleared: self.dW = ...", ("W",), ("accumulates",))

_file("rbf_centres_sign", "kernel layer with centres, from-scratch repository", '''
import numpy as np


class RBFLayer:
    """phi_k(x) = exp(-gamma |x - c_k|^2), gamma is fixed."""

    def __init__(self, in_dim, n_centers, gamma=0.4):
        rng = np.random.default_rng(21)
        self.params = {"centers": rng.normal(size=(n_centers, in_dim))}
        self.gamma = gamma

    def forward(self, x):
        self.diff = x[:, None, :] - self.params["centers"][None, :, :]
        self.phi = np.exp(-self.gamma * np.sum(self.diff ** 2, axis=2))
        return self.phi

    def backward(self, dphi):
        t = -2 * self.gamma * (dphi * self.phi)[:, :, None] * self.diff
        self.grads = {"centers": t.sum(axis=0)}
        return t.sum(axis=1)


examples = {"RBFLayer": {"init": {"in_dim": 2, "n_centers": 3}, "x": np.random.default_rng(3).normal(size=(5, 2))}}
''', "the centres enter with a minus: -t.sum(axis=0)", ("centers",), ("sign",))

_file("gather_writes_to_a_copy", "functional with caches, index layers", '''
import numpy as np


def take_block_forward(x, rows, cols):
    """x[rows][:, cols]; rows and cols are integer arrays without repeats."""
    return x[rows][:, cols], (x.shape, rows, cols)


def take_block_backward(dout, cache):
    shape, rows, cols = cache
    dx = np.zeros(shape)
    dx[rows][:, cols] += dout
    return dx


def scale_forward(x, s):
    return x * s, (x, s)


def scale_backward(dout, cache):
    x, s = cache
    return dout * s, (dout * x).sum(axis=0)


examples = {
    "take_block_forward": {"x": np.random.RandomState(2).randn(5, 4), "rows": np.array([3, 0, 4]), "cols": np.array([2, 1])},
    "scale_forward": {"x": np.random.RandomState(3).randn(5, 4), "s": np.array([0.5, -1.0, 2.0, 1.5])},
}
''', "dx[rows] is a copy, the sum is lost: dx[np.ix_(rows, cols)] += dout", ("x",), ("zero",))

_file("standardise_in_place", "preprocessing layer in a hobby framework", '''
import numpy as np


class Standardize:
    """Fixed statistics, as kept from the training set."""

    def __init__(self, mean, std):
        self.mean = np.asarray(mean, dtype=float)
        self.std = np.asarray(std, dtype=float)

    def forward(self, x):
        x -= self.mean
        x /= self.std
        return x

    def backward(self, grad):
        return grad / self.std


class Bias:
    def __init__(self, dim):
        self.b = np.zeros(dim)

    def forward(self, x):
        return x + self.b

    def backward(self, grad):
        self.db = grad.sum(axis=0)
        return grad.copy()


examples = {
    "Standardize": {"init": {"mean": [1.0, -2.0, 0.5], "std": [2.0, 0.5, 1.5]}, "x": np.linspace(-2, 3, 12).reshape(4, 3)},
    "Bias": {"init": {"dim": 3}, "x": np.linspace(-2, 3, 12).reshape(4, 3)},
}
''', "forward writes over the caller's x: x = (x - mean) / std", ("x",), ("mutates-input",))

# ------------------------------------------------------------------------------------------------ files, right

_file("right_book_layers", "layer classes with params/grads lists, default dout=1", '''
import numpy as np


class Affine:
    def __init__(self, W, b):
        self.params = [W, b]
        self.grads = [np.zeros_like(W), np.zeros_like(b)]
        self.x = None

    def forward(self, x):
        W, b = self.params
        self.x = x
        return np.dot(x, W) + b

    def backward(self, dout):
        W, b = self.params
        self.grads[0][...] = np.dot(self.x.T, dout)
        self.grads[1][...] = np.sum(dout, axis=0)
        return np.dot(dout, W.T)


class SigmoidWithLoss:
    def __init__(self):
        self.params, self.grads = [], []

    def forward(self, x, t):
        self.t = t
        self.y = 1 / (1 + np.exp(-x))
        return -np.mean(t * np.log(self.y) + (1 - t) * np.log(1 - self.y))

    def backward(self, dout=1):
        return (self.y - self.t) * dout / self.t.size


examples = {
    "Affine": {"init": {"W": np.array([[0.3, -0.2], [1.1, 0.4], [-0.7, 0.9]]), "b": np.array([0.2, -0.1])},
               "x": np.linspace(-1, 2, 12).reshape(4, 3)},
    "SigmoidWithLoss": {"init": {}, "x": np.array([0.3, -1.2, 2.0, 0.1]), "t": np.array([1, 0, 1, 0])},
}
''')

_file("right_parameter_objects", "Parameter objects, Sequential, a tiny framework", '''
import numpy as np


class Parameter:
    __slots__ = ("data", "grad")

    def __init__(self, data):
        self.data = data
        self.grad = None


class Linear:
    def __init__(self, n_in, n_out, seed=0):
        rng = np.random.default_rng(seed)
        self.weight = Parameter(rng.standard_normal((n_out, n_in)))
        self.bias = Parameter(rng.standard_normal(n_out))

    def forward(self, x):
        self._x = x
        return x @ self.weight.data.T + self.bias.data

    def backward(self, g):
        self.weight.grad = np.einsum("no,ni->oi", g, self._x)
        self.bias.grad = np.ones(len(g)) @ g
        return g @ self.weight.data


class SiLU:
    def forward(self, x):
        self._s = np.reciprocal(1 + np.exp(-x))
        self._x = x
        return x * self._s

    def backward(self, g):
        return g * self._s * (1 + self._x * (1 - self._s))


class MLP:
    def __init__(self, sizes=(3, 4, 2)):
        self.layers = []
        for k, (a, b) in enumerate(zip(sizes[:-1], sizes[1:])):
            self.layers += [Linear(a, b, seed=k), SiLU()]
        self.layers.pop()

    def forward(self, x):
        for l in self.layers:
            x = l.forward(x)
        return x

    def backward(self, g):
        for l in reversed(self.layers):
            g = l.backward(g)
        return g


examples = {
    "Linear": {"init": {"n_in": 3, "n_out": 2}, "x": np.linspace(-1, 1, 12).reshape(4, 3)},
    "SiLU": {"init": {}, "x": np.linspace(-2, 1, 6)},
    "MLP": {"init": {"sizes": (3, 4, 2)}, "x": np.linspace(-1, 1, 12).reshape(4, 3)},
}
''')

_file("right_batchnorm_running", "batch normalisation class with running statistics", '''
import numpy as np


class BatchNorm1d:
    def __init__(self, num_features, momentum=0.9, eps=1e-5):
        self.gamma = np.linspace(0.8, 1.4, num_features)
        self.beta = np.zeros(num_features)
        self.running_mean = np.zeros(num_features)
        self.running_var = np.ones(num_features)
        self.momentum, self.eps = momentum, eps
        self.training = True

    def forward(self, x):
        if self.training:
            mu, var = x.mean(0), x.var(0)
            self.running_mean = self.momentum * self.running_mean + (1 - self.momentum) * mu
            self.running_var = self.momentum * self.running_var + (1 - self.momentum) * var
        else:
            mu, var = self.running_mean, self.running_var
        self.std = np.sqrt(var + self.eps)
        self.xn = (x - mu) / self.std
        return self.gamma * self.xn + self.beta

    def backward(self, dout):
        self.dbeta = dout.sum(0)
        self.dgamma = (dout * self.xn).sum(0)
        if not self.training:
            return dout * self.gamma / self.std
        m = len(dout)
        return self.gamma / (m * self.std) * (m * dout - self.dbeta - self.xn * self.dgamma)


examples = {"BatchNorm1d": {"init": {"num_features": 3}, "x": np.random.RandomState(1).randn(6, 3) * 3 - 1}}
''')

_file("right_features_first_softmax", "features-first functions with caches, lecture code, column softmax", '''
import numpy as np


def linear_forward(A_prev, W, b):
    Z = W @ A_prev + b
    assert Z.shape == (W.shape[0], A_prev.shape[1])
    return Z, (A_prev, W, b)


def linear_backward(dZ, cache):
    A_prev, W, b = cache
    dA_prev = W.T @ dZ
    dW = dZ @ A_prev.T
    db = dZ.sum(axis=1, keepdims=True)
    assert dA_prev.shape == A_prev.shape and dW.shape == W.shape and db.shape == b.shape
    return dA_prev, dW, db


def softmax_forward(Z):
    E = np.exp(Z - Z.max(axis=0))
    A = E / E.sum(axis=0)
    return A, A


def softmax_backward(dA, cache):
    A = cache
    dZ = np.empty_like(A)
    for j in range(A.shape[1]):
        a = A[:, [j]]
        J = np.diagflat(a) - a @ a.T
        dZ[:, [j]] = J @ dA[:, [j]]
    return dZ


examples = {
    "linear_forward": {"A_prev": np.linspace(-1, 1, 12).reshape(3, 4), "W": np.linspace(1, -2, 6).reshape(2, 3), "b": np.array([[0.5], [-0.5]])},
    "softmax_forward": {"Z": np.linspace(-1.3, 1.9, 12).reshape(3, 4) ** 2},
}
''')

_file("right_lr_in_backward", "learning rate in backward, column vectors, hobby network", '''
import numpy as np


class Dense:
    def __init__(self, input_size, output_size):
        rng = np.random.RandomState(1)
        self.weights = rng.randn(output_size, input_size)
        self.bias = rng.randn(output_size, 1)

    def forward(self, input):
        self.input = input
        return np.dot(self.weights, input) + self.bias

    def backward(self, output_gradient, learning_rate=0.05):
        weights_gradient = np.dot(output_gradient, self.input.T)
        input_gradient = np.dot(self.weights.T, output_gradient)
        self.weights -= learning_rate * weights_gradient
        self.bias -= learning_rate * output_gradient.sum(axis=1, keepdims=True)
        return input_gradient


class Activation:
    def __init__(self, activation=np.sin, activation_prime=np.cos):
        self.activation = activation
        self.activation_prime = activation_prime

    def forward(self, input):
        self.input = input
        return self.activation(self.input)

    def backward(self, output_gradient, learning_rate=0.05):
        return np.multiply(output_gradient, self.activation_prime(self.input))


examples = {
    "Dense": {"init": {"input_size": 3, "output_size": 2}, "input": np.array([[0.4], [-1.0], [0.8]])},
    "Activation": {"init": {}, "input": np.array([[0.4], [-1.0], [0.8]])},
}
''')

_file("right_conv_padded_strided", "convolution f_forward / f_backward with padding and stride", '''
import numpy as np


def conv_forward(x, w, b, stride=2, pad=1):
    N, C, H, W = x.shape
    F, _, HH, WW = w.shape
    xp = np.pad(x, [(0, 0), (0, 0), (pad, pad), (pad, pad)], mode="constant")
    Ho = 1 + (H + 2 * pad - HH) // stride
    Wo = 1 + (W + 2 * pad - WW) // stride
    out = np.zeros((N, F, Ho, Wo))
    for n in range(N):
        for f in range(F):
            for i in range(Ho):
                for j in range(Wo):
                    win = xp[n, :, i * stride:i * stride + HH, j * stride:j * stride + WW]
                    out[n, f, i, j] = np.sum(win * w[f]) + b[f]
    return out, (x, w, b, stride, pad, xp)


def conv_backward(dout, cache):
    x, w, b, stride, pad, xp = cache
    dxp, dw = np.zeros_like(xp), np.zeros_like(w)
    HH, WW = w.shape[2:]
    for n, f, i, j in np.ndindex(*dout.shape):
        sl = (n, slice(None), slice(i * stride, i * stride + HH), slice(j * stride, j * stride + WW))
        dw[f] += dout[n, f, i, j] * xp[sl]
        dxp[sl] += dout[n, f, i, j] * w[f]
    return dxp[:, :, pad:-pad, pad:-pad], dw, dout.sum((0, 2, 3))


_r = np.random.RandomState(4)
examples = {"conv_forward": {"x": _r.randn(2, 1, 4, 4), "w": _r.randn(2, 1, 3, 3), "b": _r.randn(2)}}
''')

_file("right_lstm_cell_stacked", "LSTM cell class, one stacked matrix, forget bias one", '''
import numpy as np


class LSTMCell:
    def __init__(self, n_in, n_hid):
        rng = np.random.default_rng(17)
        self.n = n_hid
        self.params = {"W": rng.normal(size=(n_in + n_hid, 4 * n_hid)) * 0.5, "b": np.zeros(4 * n_hid)}
        self.params["b"][n_hid:2 * n_hid] = 1.0

    def forward(self, x, h, c):
        n = self.n
        v = np.hstack((x, h))
        a = v @ self.params["W"] + self.params["b"]
        gates = 0.5 + 0.5 * np.tanh(0.5 * a[:, :3 * n])
        i, f, o = np.split(gates, 3, axis=1)
        u = np.tanh(a[:, 3 * n:])
        c_new = f * c + i * u
        t = np.tanh(c_new)
        self.tape = (v, c, gates, i, f, o, u, t, x.shape[1])
        return o * t

    def backward(self, dh):
        v, c, gates, i, f, o, u, t, D = self.tape
        dc = dh * o * (1 - t * t)
        dgates = np.hstack((dc * u, dc * c, dh * t))
        da = np.hstack((dgates * gates * (1 - gates), dc * i * (1 - u * u)))
        self.grads = {"W": v.T @ da, "b": da.sum(0)}
        dv = da @ self.params["W"].T
        return dv[:, :D], dv[:, D:], dc * f


_g = np.random.default_rng(18)
examples = {"LSTMCell": {"init": {"n_in": 2, "n_hid": 3}, "x": _g.normal(size=(4, 2)), "h": _g.normal(size=(4, 3)), "c": _g.normal(size=(4, 3))}}
''')

_file("right_scalar_parameters", "layers with plain-float parameters", '''
import numpy as np


class ScaleShift:
    """y = a x + b with two numbers"""

    def __init__(self, a=1.7, b=-0.3):
        self.a = a
        self.b = b

    def forward(self, x):
        self.x = x
        return self.a * x + self.b

    def backward(self, dy):
        self.da = float(np.vdot(dy, self.x))
        self.db = float(dy.sum())
        return self.a * dy


class Temperature:
    """softmax(x / exp(log_t)) over the last axis"""

    def __init__(self, log_t=0.4):
        self.log_t = log_t

    def forward(self, x):
        self.z = x * np.exp(-self.log_t)
        e = np.exp(self.z - self.z.max(-1, keepdims=True))
        self.p = e / e.sum(-1, keepdims=True)
        return self.p

    def backward(self, dy):
        dz = self.p * (dy - np.sum(dy * self.p, -1, keepdims=True))
        self.dlog_t = -np.sum(dz * self.z)
        return dz * np.exp(-self.log_t)


_x = np.random.RandomState(8).randn(3, 4)
examples = {"ScaleShift": {"init": {"a": 1.7, "b": -0.3}, "x": _x}, "Temperature": {"init": {"log_t": 0.4}, "x": _x}}
''')

_file("right_loss_classes", "losses as classes, backward without arguments", '''
import numpy as np


class L1Loss:
    def forward(self, pred, target):
        self.sign = np.sign(pred - target)
        return np.abs(pred - target).mean()

    def backward(self):
        return self.sign / self.sign.size


class LogCosh:
    def forward(self, pred, target):
        self.d = pred - target
        return np.sum(np.logaddexp(self.d, -self.d) - np.log(2.0)) / len(pred)

    def backward(self):
        return np.tanh(self.d) / len(self.d)


class SquaredHinge:
    """target is -1 or +1"""

    def forward(self, pred, target):
        self.t = target
        self.m = np.maximum(0, 1 - target * pred)
        return (self.m ** 2).mean()

    def backward(self):
        return -2 * self.m * self.t / self.m.size


_p = np.array([0.3, -1.4, 2.2, 0.7, -0.2])
examples = {
    "L1Loss": {"init": {}, "pred": _p, "target": np.array([1.0, 0.0, 2.0, -1.0, 0.5])},
    "LogCosh": {"init": {}, "pred": _p, "target": np.array([1.0, 0.0, 2.0, -1.0, 0.5])},
    "SquaredHinge": {"init": {}, "pred": _p, "target": np.array([1, -1, 1, -1, 1])},
}
''')

_file("right_embedding_bag", "integer inputs, gradients in a dict, NLP coursework", '''
import numpy as np


class EmbeddingBag:
    """Sum of word vectors of a sentence; index 0 is padding and counts nothing."""

    def __init__(self, vocab_size, dim):
        self.params = {"E": np.random.RandomState(9).randn(vocab_size, dim)}
        self.grads = {}

    def forward(self, ids):
        self.ids = ids
        self.keep = (ids != 0)[..., None]
        return (self.params["E"][ids] * self.keep).sum(axis=1)

    def backward(self, dout):
        dE = np.zeros_like(self.params["E"])
        np.add.at(dE, self.ids, dout[:, None, :] * self.keep)
        self.grads["E"] = dE
        return None


examples = {"EmbeddingBag": {"init": {"vocab_size": 5, "dim": 2}, "ids": np.array([[1, 1, 3, 0], [4, 2, 1, 1], [3, 0, 0, 0]])}}
''')

_file("right_tied_autoencoder", "model class with shared weights, one dict of gradients", '''
import numpy as np


class TiedAutoencoder:
    def __init__(self, n_visible, n_hidden):
        rng = np.random.default_rng(23)
        self.W = rng.normal(size=(n_visible, n_hidden)) * 0.7
        self.b_h = rng.normal(size=n_hidden) * 0.1
        self.b_v = rng.normal(size=n_visible) * 0.1

    def forward(self, x):
        self.x = x
        self.h = np.tanh(x @ self.W + self.b_h)
        return self.h @ self.W.T + self.b_v

    def backward(self, dy):
        dh = (dy @ self.W) * (1 - self.h ** 2)
        self.dW = dy.T @ self.h           # decoder
        self.dW += self.x.T @ dh          # encoder, the same matrix
        self.db_v = dy.sum(axis=0)
        self.db_h = dh.sum(axis=0)
        return dh @ self.W.T


examples = {"TiedAutoencoder": {"init": {"n_visible": 4, "n_hidden": 2}, "x": np.random.default_rng(24).normal(size=(5, 4))}}
''')

_file("right_groupnorm_in_place", "normalisation functions with own buffers, in-place work", '''
import numpy as np


def group_norm_forward(x, gamma, beta, groups=2, eps=1e-6):
    N, C, L = x.shape
    buf = x.reshape(N, groups, -1).copy()
    buf -= buf.mean(-1, keepdims=True)
    rstd = 1 / np.sqrt(np.mean(np.square(buf), -1, keepdims=True) + eps)
    buf *= rstd
    xhat = buf.reshape(N, C, L)
    out = np.multiply(xhat, gamma[:, None])
    out += beta[:, None]
    return out, (xhat, rstd, gamma, groups)


def group_norm_backward(dout, cache):
    xhat, rstd, gamma, groups = cache
    N, C, L = dout.shape
    dgamma = np.einsum("ncl,ncl->c", dout, xhat)
    dbeta = np.einsum("ncl->c", dout)
    g = (dout * gamma[:, None]).reshape(N, groups, -1)
    h = xhat.reshape(N, groups, -1)
    proj = (g * h).mean(-1, keepdims=True) * h
    g -= g.mean(-1, keepdims=True)
    g -= proj
    g *= rstd
    return g.reshape(N, C, L), dgamma, dbeta


_r = np.random.RandomState(14)
examples = {"group_norm_forward": {"x": _r.randn(2, 4, 3), "gamma": _r.randn(4), "beta": _r.randn(4)}}
''')

_file("right_no_examples_mixed", "plain course layers, no examples", '''
import numpy as np


class Linear:
    def __init__(self, input_dim, output_dim):
        np.random.seed(0)
        self.W = np.random.randn(input_dim, output_dim) / np.sqrt(input_dim)
        self.b = np.zeros((1, output_dim))

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, grad_output):
        self.grad_W = self.x.T @ grad_output
        self.grad_b = grad_output.sum(axis=0, keepdims=True)
        return grad_output @ self.W.T


class Softsign:
    def forward(self, x):
        self.d = 1 + np.abs(x)
        return x / self.d

    def backward(self, grad_output):
        return grad_output / self.d ** 2


class HardTanh:
    def forward(self, x):
        self.inside = np.abs(x) < 1
        return np.clip(x, -1, 1)

    def backward(self, grad_output):
        return grad_output * self.inside


def l2_normalize(x):
    n = np.linalg.norm(x, axis=1, keepdims=True)
    return x / n, (x / n, n)


def l2_normalize_backward(dy, cache):
    u, n = cache
    return (dy - u * np.sum(u * dy, axis=1, keepdims=True)) / n
''')


# ------------------------------------------------------------------------------------------------ vjp, wrong

@_vjp("graphics: front-to-back alpha compositing along a ray",
      "an opaque sample also hides what lies behind it: subtract the light from behind over (1 - alpha)", ("alpha",), ("missing-term",))
def ray_compositing_no_occlusion():
    r = np.random.default_rng(101)

    def render(alpha, rgb):
        through = np.cumprod(np.concatenate([np.ones((len(alpha), 1)), 1 - alpha[:, :-1]], 1), 1)
        weight = through * alpha
        return np.einsum("rs,rsc->rc", weight, rgb), dict(T=through, w=weight, alpha=alpha, rgb=rgb)

    def render_bwd(dpix, c):
        per_sample = np.einsum("rc,rsc->rs", dpix, c["rgb"])
        return {"alpha": c["T"] * per_sample, "rgb": c["w"][..., None] * dpix[:, None, :]}

    return {"forward": render, "backward": render_bwd,
            "inputs": {"alpha": r.uniform(0.2, 0.8, (3, 4)), "rgb": r.uniform(0, 1, (3, 4, 3))}}


@_vjp("molecular dynamics: pair list and forces",
      "only the first atom of each pair feels the force; the second gets the opposite: np.add.at(g, j, -f)", ("pos",), ("missing-term", "batch-sum"))
def lennard_jones_half_of_newton():
    r = np.random.default_rng(102)
    pos = np.array([[0, 0, 0], [1.2, 0, 0], [0, 1.3, 0], [0, 0, 1.25], [1.1, 1.2, 0.2]]) + 0.05 * r.normal(size=(5, 3))
    pairs = np.array([(a, b) for a in range(5) for b in range(a + 1, 5)])

    def energy(pos, well, pairs):
        i, j = pairs.T
        d = pos[i] - pos[j]
        r2 = np.sum(d * d, 1)
        s6 = r2 ** -3
        shape = 4 * (s6 * s6 - s6)
        return float(well * shape.sum()), (pos, well, i, j, d, r2, s6, shape)

    def forces(de, cache):
        pos, well, i, j, d, r2, s6, shape = cache
        f = de * well * (4 * (-6 * s6 * s6 + 3 * s6) / r2 * 2)[:, None] * d
        g = np.zeros_like(pos)
        np.add.at(g, i, f)
        return g, np.asarray(de * shape.sum())

    return {"forward": energy, "backward": forces, "inputs": {"pos": pos, "well": np.array(0.8)}, "constants": {"pairs": pairs}}


@_vjp("audio: windowed power spectrum by rfft, adjoint by irfft",
      "irfft counts the first and the last bin once, the others twice: double those two bins before it", ("frames",), ("missing-term", "unknown"))
def power_spectrum_edge_bins():
    r = np.random.default_rng(103)

    def power(frames, window):
        spec = np.fft.rfft(frames * window, axis=-1)
        return spec.real ** 2 + spec.imag ** 2, (spec, window)

    def power_adj(g, cache):
        spec, window = cache
        n = window.size
        return n * np.fft.irfft(g * spec, n=n, axis=-1) * window

    return {"forward": power, "backward": power_adj, "inputs": {"frames": r.normal(size=(3, 6))}, "constants": {"window": np.hanning(8)[1:-1]}}


@_vjp("numerical analysis: implicit layer, adjoint of a linear solve",
      "the adjoint system has the transposed matrix: solve(A.T, g)", ("A", "b"), ("transpose", "unknown"))
def linear_solve_untransposed():
    r = np.random.default_rng(104)

    def solve(A, b):
        u = np.linalg.solve(A, b)
        return u, (A, u)

    def solve_adjoint(g, saved):
        A, u = saved
        lam = np.linalg.solve(A, g)
        return {"A": -np.outer(lam, u), "b": lam}

    return {"forward": solve, "backward": solve_adjoint,
            "inputs": {"A": np.diag([3.0, 2.5, 4.0, 3.5]) + r.normal(size=(4, 4)), "b": r.normal(size=4)}}


@_vjp("reinforcement learning: GAE by a reversed loop, values with bootstrap",
      "at the end of an episode the next value takes no part: gamma * (1 - done) * ddelta", ("values",), ("elementwise-factor", "missing-term"))
def gae_bootstrap_unmasked():
    r = np.random.default_rng(105)
    GAMMA, LAM = 0.95, 0.9

    def gae(rewards, values, dones):
        T = len(rewards)
        adv, last = np.zeros(T), 0.0
        for t in reversed(range(T)):
            live = 1.0 - dones[t]
            delta = rewards[t] + GAMMA * live * values[t + 1] - values[t]
            adv[t] = last = delta + GAMMA * LAM * live * last
        return adv, dones

    def gae_backward(dadv, dones):
        T = len(dadv)
        drew, dval, carry = np.zeros(T), np.zeros(T + 1), 0.0
        for t in range(T):
            carry = dadv[t] + (GAMMA * LAM * (1.0 - dones[t - 1]) * carry if t else 0.0)
            drew[t] = carry
            dval[t] -= carry
            dval[t + 1] += GAMMA * carry
        return drew, dval

    return {"forward": gae, "backward": gae_backward, "inputs": {"rewards": r.normal(size=7), "values": r.normal(size=8)},
            "constants": {"dones": np.array([0, 0, 1, 0, 0, 1, 0])}}


@_vjp("robotics: rotation by quaternions normalised on the fly",
      "the unit quaternion's gradient must be projected: (g - q (q.g)) / |q|", ("quat",), ("missing-term",))
def quaternion_without_projection():
    r = np.random.default_rng(106)

    def rotate(quat, pts):
        norm = np.sqrt(np.sum(quat ** 2, -1, keepdims=True))
        q = quat / norm
        w, v = q[:, :1], q[:, 1:]
        t = 2 * np.cross(v, pts)
        return pts + w * t + np.cross(v, t), (q, norm, pts, t)

    def rotate_vjp(g, ctx):
        q, norm, pts, t = ctx
        w, v = q[:, :1], q[:, 1:]
        dt = w * g + np.cross(g, v)
        dw = np.sum(g * t, -1, keepdims=True)
        dv = np.cross(t, g) + 2 * np.cross(pts, dt)
        dpts = g + 2 * np.cross(dt, v)
        return {"quat": np.hstack([dw, dv]) / norm, "pts": dpts}

    return {"forward": rotate, "backward": rotate_vjp, "inputs": {"quat": r.normal(size=(4, 4)) + 0.3, "pts": r.normal(size=(4, 3))}}


@_vjp("finance: Black-Scholes calls with hand-written greeks",
      "vega is S phi(d1) sqrt(T); the root of the maturity is missing", ("vol",), ("elementwise-factor",))
def black_scholes_vega():
    from scipy.stats import norm

    def price(spot, vol, strike, maturity, rate):
        srt = np.sqrt(maturity)
        d1 = (np.log(spot / strike) + (rate + 0.5 * vol ** 2) * maturity) / (vol * srt)
        d2 = d1 - vol * srt
        return spot * norm.cdf(d1) - strike * np.exp(-rate * maturity) * norm.cdf(d2), (spot, d1, srt)

    def greeks(dprice, cache):
        spot, d1, srt = cache
        delta, vega = norm.cdf(d1), spot * norm.pdf(d1)
        return dict(spot=dprice * delta, vol=dprice * vega)

    return {"forward": price, "backward": greeks,
            "inputs": {"spot": np.array([0.9, 1.0, 1.2, 1.05]), "vol": np.array([0.2, 0.35, 0.25, 0.5])},
            "constants": {"strike": np.array([1.0, 1.1, 1.0, 0.9]), "maturity": np.array([0.25, 2.0, 0.5, 3.0]), "rate": 0.03}}


@_vjp("matrix calculus: vec and Kronecker products, column-major",
      "vec stacks columns, so the way back must unstack columns: reshape(..., order='F')", ("X",), ("transpose",))
def kron_vec_row_major():
    r = np.random.default_rng(108)

    def sandwich(A, X, B):
        K = np.kron(B.T, A)
        y = K @ X.reshape(-1, order="F")
        return y, (A, X, B, K)

    def sandwich_grad(dy, cache):
        A, X, B, K = cache
        dY = dy.reshape((A.shape[0], B.shape[1]), order="F")
        dX = (K.T @ dy).reshape(X.shape)
        return {"A": dY @ B.T @ X.T, "X": dX, "B": X.T @ A.T @ dY}

    return {"forward": sandwich, "backward": sandwich_grad,
            "inputs": {"A": r.normal(size=(2, 3)), "X": r.normal(size=(3, 3)), "B": r.normal(size=(3, 4))}}


@_vjp("closures: the forward hands back a pullback, masked mean over tokens",
      "each sentence's mean divides by its length; the pullback does not: g / lengths", ("tok",), ("elementwise-factor",))
def pullback_masked_mean():
    r = np.random.default_rng(109)
    mask = np.array([[1, 1, 1, 0], [1, 0, 0, 0], [1, 1, 1, 1]], dtype=bool)

    def pool(tok, mask):
        lengths = mask.sum(1)
        y = np.where(mask[:, :, None], tok, 0.0).sum(1) / lengths[:, None]

        def pullback(g):
            return np.where(mask[:, :, None], g[:, None, :], 0.0)
        return y, pullback

    return {"forward": pool, "backward": lambda g, pullback: pullback(g), "inputs": {"tok": r.normal(size=(3, 4, 3))}, "constants": {"mask": mask}}


# ------------------------------------------------------------------------------------------------ vjp, right

@_vjp("Bayesian statistics: Gaussian log density through a Cholesky factor")
def right_gaussian_cholesky():
    r = np.random.default_rng(111)

    def nll(mean, root, data):
        S = root @ root.T + np.eye(len(root))
        L = np.linalg.cholesky(S)
        d = data - mean
        w = np.linalg.solve(L, d.T)
        return 0.5 * np.sum(w * w) + len(data) * np.log(np.diag(L)).sum(), (L, d, root)

    def nll_grad(seed, state):
        L, d, root = state
        P = np.linalg.solve(L.T, np.linalg.solve(L, np.eye(len(L))))
        a = d @ P
        dS = 0.5 * (len(d) * P - a.T @ a)
        return -seed * a.sum(0), seed * (dS + dS.T) @ root

    return {"forward": nll, "backward": nll_grad, "inputs": {"mean": r.normal(size=3), "root": r.normal(size=(3, 2))},
            "constants": {"data": r.normal(size=(5, 3))}}


@_vjp("order statistics: L-moments by argsort, scatter back")
def right_sorted_weights():
    r = np.random.default_rng(112)

    def l_stat(sample, coef):
        order = np.argsort(sample, axis=0, kind="stable")
        s = np.take_along_axis(sample, order, 0)
        return coef @ s, (order, s, coef)

    def l_stat_t(g, memo):
        order, s, coef = memo
        ds = np.multiply.outer(coef, g)
        dx = np.empty_like(s)
        np.put_along_axis(dx, order, ds, 0)
        return {"sample": dx, "coef": s @ g}

    return {"forward": l_stat, "backward": l_stat_t, "inputs": {"sample": r.permutation(12).reshape(6, 2) * 0.7 - 3.0, "coef": r.normal(size=6)}}


@_vjp("physics: leapfrog pendulum, adjoint run backward in time with a stack")
def right_leapfrog_adjoint():
    r = np.random.default_rng(113)

    def flow(theta, omega, stiffness, dt, n):
        stack, q, p = [], theta.copy(), omega.copy()
        for _ in range(n):
            stack.append(q.copy())
            p -= 0.5 * dt * stiffness * np.sin(q)
            q += dt * p
            stack.append(q.copy())
            p -= 0.5 * dt * stiffness * np.sin(q)
        return np.stack([q, p]), (tuple(stack), stiffness, dt)

    def reverse(ybar, saved):
        stack, k, dt = saved
        qb, pb = ybar[0].copy(), ybar[1].copy()
        kb = 0.0
        for m in range(len(stack) - 1, -1, -1):
            q = stack[m]
            kb -= 0.5 * dt * np.sum(pb * np.sin(q))
            qb -= 0.5 * dt * k * np.cos(q) * pb
            if m % 2:
                pb += dt * qb
        return {"theta": qb, "omega": pb, "stiffness": np.array(kb)}

    return {"forward": flow, "backward": reverse,
            "inputs": {"theta": r.normal(size=4), "omega": r.normal(size=4), "stiffness": np.array(2.3)}, "constants": {"dt": 0.15, "n": 6}}


@_vjp("speech: hidden Markov model in log space, forward-backward posteriors")
def right_hmm_posteriors():
    r = np.random.default_rng(114)

    def lse(a, axis):
        m = a.max(axis, keepdims=True)
        return np.squeeze(m, axis) + np.log(np.exp(a - m).sum(axis))

    def loglik(log_init, log_trans, emit):
        al = [log_init + emit[0]]
        for e in emit[1:]:
            al.append(lse(al[-1][:, None] + log_trans, 0) + e)
        return float(lse(al[-1], 0)), (np.array(al), log_trans, emit)

    def counts(g, cache):
        al, A, emit = cache
        be = np.zeros_like(al)
        for t in range(len(al) - 2, -1, -1):
            be[t] = lse(A + (emit[t + 1] + be[t + 1])[None, :], 1)
        Z = lse(al[-1], 0)
        post = np.exp(al + be - Z)
        xi = np.exp(al[:-1, :, None] + A[None] + (emit[1:] + be[1:])[:, None, :] - Z)
        return g * post[0], g * xi.sum(0), g * post

    return {"forward": loglik, "backward": counts,
            "inputs": {"log_init": r.normal(size=3), "log_trans": r.normal(size=(3, 3)), "emit": r.normal(size=(5, 3)) - 40.0}}


@_vjp("electronics: complex impedances inside, real inputs and 0-d arrays, tiny values")
def right_rc_filter_gain():
    def gain(log_r, log_c, source, freq):
        R, C = np.exp(log_r), np.exp(log_c)
        H = 1.0 / (1.0 + 2j * np.pi * freq * R * C)
        return (np.abs(H) ** 2 * source).real, (H, source)

    def gain_rev(g, cache):
        H, source = cache
        m = (H * H.conj()).real
        # d|H|^2 / dlog(RC) = -2 |H|^2 (1 - |H|^2)
        s = np.sum(g * source * -2 * m * (1 - m))
        return np.asarray(s), np.asarray(s), g * m

    return {"forward": gain, "backward": gain_rev,
            "inputs": {"log_r": np.array(np.log(4.7e3)), "log_c": np.array(np.log(2.2e-8)), "source": np.array([1e-3, -2e-3, 5e-4, 3e-3])},
            "constants": {"freq": np.array([100, 1000, 2000, 10000])}}
