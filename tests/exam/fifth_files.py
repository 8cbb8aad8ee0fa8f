"""Exam paper: whole module files as students hand them in (check "file")."""
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
PAIR = {}   # item name -> the pair that is wrong (for the verification below)

# a pair f_forward / f_backward may be named by f or by f_forward: both are given
_ALIAS = """
for _k in list(examples):
    if _k.endswith("_forward"):
        examples[_k[:-len("_forward")]] = examples[_k]
"""


def _add(name, style, text, slip="", pair="", wrong=(), causes=()):
    source = text.lstrip("\n")
    if "\nexamples = " in source and '_forward": ' in source.split("\nexamples = ")[1]:
        source = source.rstrip("\n") + "\n" + _ALIAS
    ITEMS.append(Item(name, style, "file", lambda: {"source": str(source)}, not wrong, slip, tuple(wrong), tuple(causes)))
    if wrong:
        PAIR[name] = pair


# ====================================================================== wrong

_add("hw2_layers_bn", "CS231n-like assignment", r'''
import numpy as np


def affine_forward(x, w, b):
    """
    Computes the forward pass for an affine (fully-connected) layer.
    x has shape (N, d_1, ..., d_k), w is (D, M), b is (M,)
    """
    out = x.reshape(x.shape[0], -1).dot(w) + b
    cache = (x, w, b)
    return out, cache


def affine_backward(dout, cache):
    x, w, b = cache
    dx = dout.dot(w.T).reshape(x.shape)
    dw = x.reshape(x.shape[0], -1).T.dot(dout)
    db = np.sum(dout, axis=0)
    return dx, dw, db


def relu_forward(x):
    out = np.maximum(0, x)
    cache = x
    return out, cache


def relu_backward(dout, cache):
    x = cache
    dx = dout * (x > 0)
    return dx


def batchnorm_forward(x, gamma, beta, bn_param):
    """train-time batch normalization, x is (N, D)"""
    eps = bn_param.get('eps', 1e-5)
    mu = x.mean(axis=0)
    xmu = x - mu
    var = np.mean(xmu ** 2, axis=0)
    ivar = 1.0 / np.sqrt(var + eps)
    xhat = xmu * ivar
    out = gamma * xhat + beta
    cache = (xhat, xmu, ivar, gamma)
    return out, cache


def batchnorm_backward(dout, cache):
    xhat, xmu, ivar, gamma = cache
    N, D = dout.shape
    # step through the graph from the top
    dbeta = np.sum(dout, axis=0)
    dgamma = np.sum(dout * xhat, axis=0)
    dxhat = dout * gamma
    divar = np.sum(dxhat * xmu, axis=0)
    dvar = -0.5 * ivar ** 3 * divar
    dxmu1 = dxhat * ivar
    dxmu2 = 2.0 * xmu * np.ones((N, D)) / N * dvar
    dx1 = dxmu1 + dxmu2
    dmu = -np.sum(dx1, axis=0)
    dx2 = np.ones((N, D)) * dmu
    dx = dx1 + dx2
    return dx, dgamma, dbeta


_r = np.random.RandomState(231)
examples = {
    "affine_forward": {"x": _r.randn(3, 2, 2), "w": _r.randn(4, 3), "b": _r.randn(3)},
    "relu_forward": {"x": _r.randn(4, 5)},
    "batchnorm_forward": {"x": 3 * _r.randn(5, 4) + 1, "gamma": _r.rand(4) + 0.5, "beta": _r.randn(4),
                          "bn_param": {"mode": "train"}},
}
''', "batchnorm_backward: the gradient of the mean is spread over the rows without the 1/N; dx2 = np.ones((N, D)) / N * dmu.",
     "batchnorm_forward", ("x",), ("factor", "missing-term"))

_add("layernorm_from_batchnorm", "CS231n-like, a student who adapted his batchnorm", r'''
import numpy as np


def layernorm_forward(x, gamma, beta):
    eps = 1e-5
    N, D = x.shape
    x_t = x.T
    mean = np.mean(x_t, axis=0)
    var = np.var(x_t, axis=0)
    std = np.sqrt(var + eps)
    z = ((x_t - mean) / std).T
    out = z * gamma + beta
    cache = {'z': z, 'std': std, 'gamma': gamma}
    return out, cache


def layernorm_backward(dout, cache):
    z, std, gamma = cache['z'], cache['std'], cache['gamma']
    dbeta = dout.sum(axis=0)
    dgamma = np.sum(dout * z, axis=0)

    N = dout.shape[0]
    dz = (dout * gamma).T
    zt = z.T
    dx = 1.0 / (N * std) * (N * dz - dz.sum(axis=0) - zt * np.sum(dz * zt, axis=0))
    return dx.T, dgamma, dbeta


def tanh_forward(x):
    out = np.tanh(x)
    return out, out


def tanh_backward(dout, cache):
    return dout * (1 - cache * cache)


rng = np.random.RandomState(5)
examples = {
    "layernorm_forward": {"x": rng.randn(3, 6), "gamma": rng.randn(6) + 1.0, "beta": rng.randn(6)},
    "tanh_forward": {"x": rng.randn(3, 6)},
}
''', "layernorm_backward: N is still the number of rows; the two means run over the D features, so N must be dout.shape[1].",
     "layernorm_forward", ("x",), ("factor", "missing-term"))

_add("conv_im2col_fast", "CS231n-like fast layers", r'''
import numpy as np


def im2col_indices(x, HH, WW, stride):
    N, C, H, W = x.shape
    OH = (H - HH) // stride + 1
    OW = (W - WW) // stride + 1
    cols = np.zeros((C, HH, WW, N, OH, OW))
    for i in range(HH):
        for j in range(WW):
            patch = x[:, :, i:i + stride * OH:stride, j:j + stride * OW:stride]
            cols[:, i, j] = patch.transpose(1, 0, 2, 3)
    return cols.reshape(C * HH * WW, N * OH * OW)


def col2im_indices(cols, x_shape, HH, WW, stride):
    N, C, H, W = x_shape
    OH = (H - HH) // stride + 1
    OW = (W - WW) // stride + 1
    cols = cols.reshape(C, HH, WW, N, OH, OW)
    x = np.zeros(x_shape)
    for i in range(HH):
        for j in range(WW):
            x[:, :, i:i + stride * OH:stride, j:j + stride * OW:stride] += cols[:, i, j].transpose(1, 0, 2, 3)
    return x


def conv_forward(x, w, b):
    N = x.shape[0]
    F, C, HH, WW = w.shape
    OH, OW = x.shape[2] - HH + 1, x.shape[3] - WW + 1
    x_cols = im2col_indices(x, HH, WW, 1)
    res = w.reshape(F, -1).dot(x_cols) + b.reshape(-1, 1)
    out = res.reshape(F, N, OH, OW).transpose(1, 0, 2, 3)
    return out, (x, w, b, x_cols)


def conv_backward(dout, cache):
    x, w, b, x_cols = cache
    F, C, HH, WW = w.shape
    db = np.sum(dout, axis=(0, 2, 3))
    dout_reshaped = dout.reshape(F, -1)
    dw = dout_reshaped.dot(x_cols.T).reshape(w.shape)
    dx_cols = w.reshape(F, -1).T.dot(dout_reshaped)
    dx = col2im_indices(dx_cols, x.shape, HH, WW, 1)
    return dx, dw, db


def flatten_forward(x):
    return x.reshape(x.shape[0], -1), x.shape


def flatten_backward(dout, cache):
    return dout.reshape(cache)


_rs = np.random.RandomState(0)
examples = {
    "conv_forward": {"x": _rs.randn(2, 2, 3, 3), "w": _rs.randn(3, 2, 2, 2), "b": _rs.randn(3)},
    "flatten_forward": {"x": _rs.randn(3, 2, 2, 2)},
}
''', "conv_backward: dout is reshaped to (F, -1) while its axes still stand as (N, F, H, W); dout.transpose(1, 0, 2, 3).reshape(F, -1).",
     "conv_forward", ("x", "w"), ("transpose", "shape"))

_add("week1_pooling", "Coursera-like convolutional week", r'''
import numpy as np


def create_mask_from_window(x):
    mask = (x == np.max(x))
    return mask


def distribute_value(dz, shape):
    (n_H, n_W) = shape
    # Compute the value to distribute on the matrix
    average = dz / (n_H + n_W)
    a = np.ones(shape) * average
    return a


def max_pool_forward(A_prev, hparameters):
    (m, n_H_prev, n_W_prev, n_C) = A_prev.shape
    f, stride = hparameters["f"], hparameters["stride"]
    n_H = 1 + (n_H_prev - f) // stride
    n_W = 1 + (n_W_prev - f) // stride
    A = np.zeros((m, n_H, n_W, n_C))
    for i in range(m):
        for h in range(n_H):
            for w in range(n_W):
                for c in range(n_C):
                    a_slice = A_prev[i, h * stride:h * stride + f, w * stride:w * stride + f, c]
                    A[i, h, w, c] = np.max(a_slice)
    return A, (A_prev, hparameters)


def max_pool_backward(dA, cache):
    (A_prev, hparameters) = cache
    f, stride = hparameters["f"], hparameters["stride"]
    m, n_H, n_W, n_C = dA.shape
    dA_prev = np.zeros(A_prev.shape)
    for i in range(m):
        for h in range(n_H):
            for w in range(n_W):
                for c in range(n_C):
                    v, u = h * stride, w * stride
                    mask = create_mask_from_window(A_prev[i, v:v + f, u:u + f, c])
                    dA_prev[i, v:v + f, u:u + f, c] += mask * dA[i, h, w, c]
    return dA_prev


def average_pool_forward(A_prev, hparameters):
    (m, n_H_prev, n_W_prev, n_C) = A_prev.shape
    f, stride = hparameters["f"], hparameters["stride"]
    n_H = 1 + (n_H_prev - f) // stride
    n_W = 1 + (n_W_prev - f) // stride
    A = np.zeros((m, n_H, n_W, n_C))
    for i in range(m):
        for h in range(n_H):
            for w in range(n_W):
                for c in range(n_C):
                    A[i, h, w, c] = np.mean(A_prev[i, h * stride:h * stride + f, w * stride:w * stride + f, c])
    return A, (A_prev, hparameters)


def average_pool_backward(dA, cache):
    (A_prev, hparameters) = cache
    f, stride = hparameters["f"], hparameters["stride"]
    m, n_H, n_W, n_C = dA.shape
    dA_prev = np.zeros(A_prev.shape)
    for i in range(m):
        for h in range(n_H):
            for w in range(n_W):
                for c in range(n_C):
                    v, u = h * stride, w * stride
                    dA_prev[i, v:v + f, u:u + f, c] += distribute_value(dA[i, h, w, c], (f, f))
    return dA_prev


np.random.seed(1)
examples = {
    "max_pool_forward": {"A_prev": np.random.randn(2, 4, 4, 1), "hparameters": {"f": 2, "stride": 2}},
    "average_pool_forward": {"A_prev": np.random.randn(2, 4, 5, 1), "hparameters": {"f": 3, "stride": 1}},
}
''', "distribute_value (used by average_pool_backward) divides by n_H + n_W; a window of f by f has n_H * n_W cells.",
     "average_pool_forward", ("A_prev",), ("factor",))

_add("gru_uebung", "German university exercise, class with parameter dict", r'''
import numpy as np


def sigmoid(a):
    return 1.0 / (1.0 + np.exp(-a))


class GRU:
    """Uebung 7: GRU ueber eine Sequenz, gibt den letzten Zustand zurueck."""

    def __init__(self, d_in, d_h, seed=0):
        r = np.random.RandomState(seed)
        self.params = {}
        for g in ("z", "r", "n"):
            self.params["W" + g] = r.randn(d_in, d_h) * 0.7
            self.params["U" + g] = r.randn(d_h, d_h) * 0.7
            self.params["b" + g] = r.randn(d_h) * 0.1
        self.grads = {}

    def forward(self, x):
        p = self.params
        N, T, _ = x.shape
        h = np.zeros((N, p["Uz"].shape[0]))
        self.x = x
        self.merken = []
        for t in range(T):
            xt = x[:, t]
            z = sigmoid(xt @ p["Wz"] + h @ p["Uz"] + p["bz"])
            r = sigmoid(xt @ p["Wr"] + h @ p["Ur"] + p["br"])
            n = np.tanh(xt @ p["Wn"] + (r * h) @ p["Un"] + p["bn"])
            self.merken.append((h, z, r, n))
            h = (1 - z) * h + z * n
        return h

    def backward(self, dh):
        p = self.params
        g = {k: np.zeros_like(v) for k, v in p.items()}
        dx = np.zeros_like(self.x)
        for t in reversed(range(self.x.shape[1])):
            h, z, r, n = self.merken[t]
            xt = self.x[:, t]
            da_n = dh * z * (1 - n ** 2)
            da_z = dh * (n - h) * z * (1 - z)
            drh = da_n @ p["Un"].T
            da_r = drh * h * r * (1 - r)
            for name, da in (("z", da_z), ("r", da_r), ("n", da_n)):
                g["W" + name] += xt.T @ da
                g["U" + name] += h.T @ da
                g["b" + name] += da.sum(axis=0)
                dx[:, t] += da @ p["W" + name].T
            dh = dh * (1 - z) + drh * r + da_z @ p["Uz"].T + da_r @ p["Ur"].T
        self.grads = g
        return dx


class Dense:
    def __init__(self, d_in, d_out, seed=1):
        r = np.random.RandomState(seed)
        self.params = {"W": r.randn(d_in, d_out), "b": np.zeros(d_out)}
        self.grads = {}

    def forward(self, x):
        self.x = x
        return x @ self.params["W"] + self.params["b"]

    def backward(self, dy):
        self.grads["W"] = self.x.T @ dy
        self.grads["b"] = dy.sum(axis=0)
        return dy @ self.params["W"].T


examples = {
    "GRU": {"init": {"d_in": 2, "d_h": 3}, "x": np.random.RandomState(3).randn(3, 4, 2)},
    "Dense": {"init": {"d_in": 3, "d_out": 2}, "x": np.random.RandomState(4).randn(4, 3)},
}
''', "GRU.backward: the loop gives every gate h.T @ da, but the candidate sees r * h; dUn needs (r * h).T @ da_n.",
     "GRU", ("Un",), ("elementwise-factor", "unknown"))

_add("nnfs_activations", "nnfs-like", r'''
import numpy as np


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
        self.dweights = np.dot(self.inputs.T, dvalues)
        self.dbiases = np.sum(dvalues, axis=0, keepdims=True)
        self.dinputs = np.dot(dvalues, self.weights.T)
        return self.dinputs


# ReLU activation
class Activation_ReLU:

    def forward(self, inputs):
        self.inputs = inputs
        self.output = np.maximum(0, inputs)
        return self.output

    def backward(self, dvalues):
        # make a copy, we need to modify it
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
        # derivative of softmax
        self.dinputs = dvalues * self.output * (1 - self.output)
        return self.dinputs


np.random.seed(0)
examples = {
    "Layer_Dense": {"init": {"n_inputs": 4, "n_neurons": 3}, "inputs": np.random.randn(5, 4)},
    "Activation_ReLU": {"init": {}, "inputs": np.random.randn(5, 3)},
    "Activation_Softmax": {"init": {}, "inputs": np.random.randn(4, 3)},
}
''', "Activation_Softmax.backward takes only the diagonal of the Jacobian; dinputs = output * (dvalues - sum(dvalues * output, axis=1)).",
     "Activation_Softmax", ("inputs",), ("missing-term",))

_add("miniflow_nodes", "Udacity-like MiniFlow nodes", r'''
"""
miniflow.py -- my solution for the graph project
"""
import numpy as np


class Linear:
    def __init__(self, weights, bias):
        self.weights = weights
        self.bias = bias

    def forward(self, inputs):
        self.inputs = inputs
        self.value = np.dot(inputs, self.weights) + self.bias
        return self.value

    def backward(self, grad_cost):
        self.grad_weights = np.dot(self.inputs.T, grad_cost)
        self.grad_bias = np.sum(grad_cost, axis=0, keepdims=False)
        return np.dot(grad_cost, self.weights.T)


class Sigmoid:
    def _sigmoid(self, x):
        return 1. / (1. + np.exp(-x))

    def forward(self, inputs):
        self.value = self._sigmoid(inputs)
        return self.value

    def backward(self, grad_cost):
        sigmoid = self._sigmoid(self.value)
        return sigmoid * (1 - sigmoid) * grad_cost


class MSE:
    def forward(self, a, y):
        self.m = y.size
        self.diff = y.reshape(-1, 1) - a.reshape(-1, 1)
        self.a_shape = a.shape
        return np.mean(self.diff ** 2)

    def backward(self, grad_cost=1.0):
        return (-2. / self.m) * self.diff.reshape(self.a_shape) * grad_cost


_g = np.random.RandomState(42)
examples = {
    "Linear": {"init": {"weights": _g.randn(3, 2), "bias": _g.randn(2)}, "inputs": _g.randn(4, 3)},
    "Sigmoid": {"init": {}, "inputs": _g.randn(4, 2)},
    "MSE": {"init": {}, "a": _g.randn(5, 1), "y": _g.randn(5)},
}
''', "Sigmoid.backward applies the sigmoid a second time to the stored output; it should use self.value * (1 - self.value).",
     "Sigmoid", ("inputs",), ("elementwise-factor",))

_add("fastai_from_the_foundations", "fast.ai-like notebook export", r'''
#################################################
### THIS FILE WAS AUTOGENERATED! DO NOT EDIT! ###
#################################################
import numpy as np
from numpy import array


class Module():
    def __call__(self, *args): return self.forward(*args)


class Lin(Module):
    def __init__(self, w, b): self.w, self.b = w, b
    def forward(self, inp):
        self.inp = inp
        return inp @ self.w + self.b
    def backward(self, outg):
        self.dw = np.einsum('bi,bj->ij', self.inp, outg)
        self.db = outg.sum(0)
        return outg @ self.w.T


class Relu(Module):
    def forward(self, inp):
        self.inp = inp
        return inp.clip(0.) - 0.5
    def backward(self, outg): return (self.inp > 0) * outg


class Mse(Module):
    def forward(self, inp, targ):
        self.inp, self.targ = inp, targ
        return ((inp - targ) ** 2).mean()
    def backward(self, outg=1.): return 2. * (self.inp - self.targ) / self.targ.shape[0] * outg


r = np.random.RandomState(8)
examples = {
    "Lin": {"init": {"w": r.randn(4, 3), "b": r.randn(3)}, "inp": r.randn(5, 4)},
    "Relu": {"init": {}, "inp": r.randn(5, 3)},
    "Mse": {"init": {}, "inp": r.randn(4, 3), "targ": r.randn(4, 3)},
}
''', "Mse.backward divides by the number of rows; the forward takes the mean over all entries, so divide by self.targ.size.",
     "Mse", ("inp",), ("factor",))

_add("bag_of_words_layers", "NLP self-study repo, classes", r'''
import numpy as np


class Embedding(object):
    def __init__(self, vocab_size, dim, rng=None):
        rng = rng or np.random.RandomState(1)
        self.W = rng.normal(scale=0.5, size=(vocab_size, dim))
        self.dW = None

    def forward(self, tokens):
        # tokens: (batch, length) integers
        self.tokens = tokens
        return self.W[tokens]

    def backward(self, dout):
        self.dW = np.zeros_like(self.W)
        self.dW[self.tokens] += dout
        return None


class MeanOverTime(object):
    def forward(self, x):
        self.T = x.shape[1]
        return x.mean(axis=1)

    def backward(self, dout):
        return np.repeat(dout[:, None, :], self.T, axis=1) / self.T


class Classifier(object):
    def __init__(self, dim, n_classes):
        rng = np.random.RandomState(2)
        self.W = rng.normal(size=(dim, n_classes))
        self.b = np.zeros(n_classes)

    def forward(self, x):
        self.x = x
        return x.dot(self.W) + self.b

    def backward(self, dout):
        self.dW = self.x.T.dot(dout)
        self.db = dout.sum(axis=0)
        return dout.dot(self.W.T)


examples = {
    "Embedding": {"init": {"vocab_size": 6, "dim": 3}, "tokens": np.array([[0, 2, 2], [5, 0, 1], [2, 3, 3]])},
    "MeanOverTime": {"init": {}, "x": np.random.RandomState(0).randn(3, 4, 3)},
    "Classifier": {"init": {"dim": 3, "n_classes": 4}, "x": np.random.RandomState(7).randn(4, 3)},
}
''', "Embedding.backward: dW[tokens] += dout keeps only the last of a repeated token; np.add.at(self.dW, self.tokens, dout).",
     "Embedding", ("W",), ("missing-term", "batch-sum"))

_add("attention_from_paper", "self-study, paper reimplementation in functions", r'''
import numpy as np


def _softmax(s):
    s = np.exp(s - s.max(axis=-1, keepdims=True))
    return s / s.sum(axis=-1, keepdims=True)


def attention(Q, K, V):
    """softmax(Q K^T / sqrt(d)) V for one sentence, Q K V of shape (T, d)"""
    scale = 1.0 / np.sqrt(Q.shape[-1])
    P = _softmax(Q @ K.T * scale)
    out = P @ V
    return out, (Q, K, V, P, scale)


def attention_backward(dout, cache):
    Q, K, V, P, scale = cache
    dV = P.T @ dout
    dP = dout @ V.T
    dS = P * (dP - np.sum(dP * P, axis=-1, keepdims=True))
    dS = dS * scale
    dQ = dS @ K
    dK = dS @ Q
    return dQ, dK, dV


def feed_forward(x, W1, b1, W2, b2):
    h = np.maximum(x @ W1 + b1, 0.0)
    return h @ W2 + b2, (x, h, W1, W2)


def feed_forward_backward(dout, cache):
    x, h, W1, W2 = cache
    dW2 = h.T @ dout
    db2 = dout.sum(axis=0)
    dh = dout @ W2.T
    dh = np.where(h > 0, dh, 0.0)
    return dh @ W1.T, x.T @ dh, dh.sum(axis=0), dW2, db2


_rng = np.random.default_rng(17)
examples = {
    "attention": {"Q": _rng.normal(size=(4, 3)), "K": _rng.normal(size=(4, 3)), "V": _rng.normal(size=(4, 3))},
    "feed_forward": {"x": _rng.normal(size=(4, 3)), "W1": _rng.normal(size=(3, 5)), "b1": _rng.normal(size=5),
                     "W2": _rng.normal(size=(5, 3)), "b2": _rng.normal(size=3)},
}
''', "attention_backward: dK = dS.T @ Q; without the transpose the rows of keys get the gradients that belong to queries.",
     "attention", ("K",), ("transpose",))

_add("weight_norm_layer", "small library, layer base class", r'''
import numpy as np


class Layer:
    def forward(self, x):
        raise NotImplementedError

    def backward(self, grad):
        raise NotImplementedError


class WeightNormLinear(Layer):
    """y = x (g * v / ||v||) + b, one norm per output unit (Salimans & Kingma 2016)"""

    def __init__(self, n_in, n_out, seed=11):
        rng = np.random.default_rng(seed)
        self.v = rng.normal(size=(n_in, n_out))
        self.g = rng.uniform(0.5, 1.5, size=n_out)
        self.b = rng.normal(size=n_out)

    def forward(self, x):
        self.x = x
        self.norm = np.linalg.norm(self.v, axis=0)
        self.w = self.g * self.v / self.norm
        return x @ self.w + self.b

    def backward(self, grad):
        dw = self.x.T @ grad
        unit = self.v / self.norm
        self.grad_b = grad.sum(axis=0)
        self.grad_g = np.sum(dw * unit, axis=0)
        self.grad_v = dw * self.g / self.norm
        return grad @ self.w.T


class Tanh(Layer):
    def forward(self, x):
        self.y = np.tanh(x)
        return self.y

    def backward(self, grad):
        return grad * (1.0 - self.y ** 2)


class Bias(Layer):
    def __init__(self, n):
        self.b = np.full(n, 0.1)

    def forward(self, x):
        return x + self.b

    def backward(self, grad):
        self.grad_b = grad.sum(axis=0)
        return grad


examples = {
    "WeightNormLinear": {"init": {"n_in": 4, "n_out": 3}, "x": np.random.default_rng(1).normal(size=(5, 4))},
    "Tanh": {"init": {}, "x": np.random.default_rng(2).normal(size=(5, 3))},
    "Bias": {"init": {"n": 3}, "x": np.random.default_rng(3).normal(size=(5, 3))},
}
''', "WeightNormLinear.backward: the norm depends on v as well; grad_v lacks - g / norm * grad_g * unit (the projection).",
     "WeightNormLinear", ("v",), ("missing-term",))

_add("dnn_app_utils", "Coursera-like deep neural network week, features first", r'''
import numpy as np


def linear_forward(A, W, b):
    """
    Arguments:
    A -- activations from previous layer: (size of previous layer, number of examples)
    W -- weights matrix: (size of current layer, size of previous layer)
    b -- bias vector, (size of the current layer, 1)
    """
    Z = W.dot(A) + b
    assert (Z.shape == (W.shape[0], A.shape[1]))
    cache = (A, W, b)
    return Z, cache


def linear_backward(dZ, cache):
    A_prev, W, b = cache
    m = A_prev.shape[1]

    dW = np.dot(dZ, A_prev.T)
    db = np.sum(dZ, axis=1, keepdims=True) / m
    dA_prev = np.dot(W.T, dZ)

    assert (dA_prev.shape == A_prev.shape)
    assert (dW.shape == W.shape)
    assert (db.shape == b.shape)
    return dA_prev, dW, db


def relu(Z):
    A = np.maximum(0, Z)
    cache = Z
    return A, cache


def relu_backward(dA, cache):
    Z = cache
    dZ = np.array(dA, copy=True)
    dZ[Z <= 0] = 0
    assert (dZ.shape == Z.shape)
    return dZ


def sigmoid(Z):
    A = 1 / (1 + np.exp(-Z))
    cache = Z
    return A, cache


def sigmoid_backward(dA, cache):
    Z = cache
    s = 1 / (1 + np.exp(-Z))
    dZ = dA * s * (1 - s)
    return dZ


np.random.seed(3)
examples = {
    "linear_forward": {"A": np.random.randn(3, 5), "W": np.random.randn(2, 3), "b": np.random.randn(2, 1)},
    "relu": {"Z": np.random.randn(3, 5)},
    "sigmoid": {"Z": np.random.randn(3, 5)},
}
''', "linear_backward: db is divided by m while dW is not (and the forward has no mean); db = np.sum(dZ, axis=1, keepdims=True).",
     "linear_forward", ("b",), ("factor",))

_add("activations_py", "small library, activation zoo without examples", r'''
import numpy as np


class ReLU6:
    def forward(self, x):
        self.x = x
        return np.minimum(np.maximum(x, 0), 6)

    def backward(self, dout):
        return dout * ((self.x > 0) & (self.x < 6))


class LeakyReLU:
    def __init__(self, slope=0.01):
        self.slope = slope

    def forward(self, x):
        self.x = x
        return np.where(x > 0, x, self.slope * x)

    def backward(self, dout):
        return np.where(self.x > 0, dout, self.slope * dout)


class ELU:
    def __init__(self, alpha=1.0):
        self.alpha = alpha

    def forward(self, x):
        self.x = x
        self.out = np.where(x > 0, x, self.alpha * (np.exp(np.minimum(x, 0)) - 1))
        return self.out

    def backward(self, dout):
        return dout * np.where(self.x > 0, 1.0, self.out)


class SoftSign:
    def forward(self, x):
        self.d = 1.0 + np.abs(x)
        return x / self.d

    def backward(self, dout):
        return dout / self.d ** 2


class Identity:
    def forward(self, x):
        return x

    def backward(self, dout):
        return dout
''', "ELU.backward: below zero the slope is alpha * exp(x) = out + alpha, not out.",
     "ELU", ("x",), ("elementwise-factor", "missing-term"))

_add("dropout_reseeded", "Brazilian university exercise", r'''
import numpy as np

# Lista 4 - redes neurais, regularizacao


class Dropout:
    def __init__(self, p=0.5, seed=123):
        self.p = p          # probabilidade de desligar
        self.seed = seed
        self.treino = True

    def mascara(self, forma):
        return (np.random.rand(*forma) >= self.p) / (1.0 - self.p)

    def forward(self, x):
        if not self.treino:
            return x
        np.random.seed(self.seed)
        return x * self.mascara(x.shape)

    def backward(self, dout):
        if not self.treino:
            return dout
        return dout * self.mascara(dout.shape)


class Densa:
    def __init__(self, entrada, saida):
        np.random.seed(0)
        self.W = np.random.randn(entrada, saida) / np.sqrt(entrada)
        self.b = np.zeros((1, saida))

    def forward(self, x):
        self.x = x
        return self.x.dot(self.W) + self.b

    def backward(self, dout):
        self.dW = self.x.T.dot(dout)
        self.db = dout.sum(0, keepdims=True)
        return dout.dot(self.W.T)


examples = {
    "Dropout": {"init": {"p": 0.4}, "x": np.random.RandomState(9).randn(5, 6)},
    "Densa": {"init": {"entrada": 4, "saida": 2}, "x": np.random.RandomState(10).randn(5, 4)},
}
''', "Dropout.backward draws a new mask; the mask of the forward pass has to be kept (self.m) and used again.",
     "Dropout", ("x",), ("noise-redrawn", "elementwise-factor"))

_add("conv1d_practica", "Spanish university practical, dict of gradients", r'''
import numpy as np


class Conv1D:
    """Convolucion temporal 'valid'. x: (N, C, L), W: (F, C, K)"""

    def __init__(self, canales, filtros, k, semilla=0):
        rs = np.random.RandomState(semilla)
        self.params = {'W': rs.randn(filtros, canales, k), 'b': rs.randn(filtros)}
        self.grads = {}

    def forward(self, x):
        W, b = self.params['W'], self.params['b']
        F, C, K = W.shape
        N, _, L = x.shape
        self.x = x
        y = np.zeros((N, F, L - K + 1))
        for t in range(L - K + 1):
            y[:, :, t] = np.tensordot(x[:, :, t:t + K], W, axes=([1, 2], [1, 2])) + b
        return y

    def backward(self, dy):
        W = self.params['W']
        F, C, K = W.shape
        N, _, L = self.x.shape
        dW = np.zeros_like(W)
        for k in range(K):
            dW[:, :, k] = np.einsum('nft,nct->fc', dy, self.x[:, :, k:k + dy.shape[2]])
        self.grads['W'] = dW
        self.grads['b'] = dy.sum(axis=(0, 2))
        # respecto de x: convolucion completa de dy con los filtros
        dyp = np.pad(dy, ((0, 0), (0, 0), (K - 1, K - 1)), mode='constant')
        dx = np.zeros_like(self.x)
        for t in range(L):
            dx[:, :, t] = np.tensordot(dyp[:, :, t:t + K], W, axes=([1, 2], [0, 2]))
        return dx


class PromedioGlobal:
    def forward(self, x):
        self.L = x.shape[2]
        return x.mean(axis=2)

    def backward(self, dy):
        return np.tile(dy[:, :, np.newaxis] / self.L, (1, 1, self.L))


examples = {
    'Conv1D': {'init': {'canales': 2, 'filtros': 3, 'k': 3}, 'x': np.random.RandomState(1).randn(3, 2, 6)},
    'PromedioGlobal': {'init': {}, 'x': np.random.RandomState(2).randn(3, 2, 5)},
}
''', "Conv1D.backward: the full convolution for dx needs the filters flipped in time, W[:, :, ::-1].",
     "Conv1D", ("x",), ("transpose",))

_add("unet_pieces", "research code, layers of a small U-Net", r'''
import numpy as np


class UpsampleNearest:
    def __init__(self, scale=2):
        self.scale = scale

    def forward(self, x):
        return x.repeat(self.scale, axis=2).repeat(self.scale, axis=3)

    def backward(self, grad):
        s = self.scale
        return grad[:, :, ::s, ::s]


class AvgPool:
    def __init__(self, size=2):
        self.size = size

    def forward(self, x):
        n, c, h, w = x.shape
        k = self.size
        return x.reshape(n, c, h // k, k, w // k, k).mean(axis=(3, 5))

    def backward(self, grad):
        k = self.size
        return np.kron(grad, np.ones((1, 1, k, k))) / k ** 2


class Concat:
    """skip connection: channels of a, then channels of b"""

    def forward(self, a, b):
        self.split = a.shape[1]
        return np.concatenate([a, b], axis=1)

    def backward(self, grad):
        return grad[:, :self.split], grad[:, self.split:]


class Conv1x1:
    def __init__(self, c_in, c_out):
        g = np.random.default_rng(4)
        self.W = g.normal(size=(c_out, c_in))
        self.b = g.normal(size=(c_out, 1, 1))

    def forward(self, x):
        self.x = x
        return np.einsum("oc,nchw->nohw", self.W, x) + self.b

    def backward(self, grad):
        self.dW = np.einsum("nohw,nchw->oc", grad, self.x)
        self.db = grad.sum(axis=(0, 2, 3))[:, None, None]
        return np.einsum("oc,nohw->nchw", self.W, grad)


_g = np.random.default_rng(0)
examples = {
    "UpsampleNearest": {"init": {"scale": 2}, "x": _g.normal(size=(3, 2, 2, 2))},
    "AvgPool": {"init": {"size": 2}, "x": _g.normal(size=(2, 1, 4, 4))},
    "Concat": {"init": {}, "a": _g.normal(size=(3, 2, 2, 2)), "b": _g.normal(size=(3, 1, 2, 2))},
    "Conv1x1": {"init": {"c_in": 2, "c_out": 3}, "x": _g.normal(size=(3, 2, 2, 2))},
}
''', "UpsampleNearest.backward takes one cell of each block; every cell was a copy, so the gradient is the sum over the s by s block.",
     "UpsampleNearest", ("x",), ("missing-term",))

_add("maxpool_switches", "Indian university lab file, loops", r'''
import numpy as np

# CNN lab 6 -- Max pooling with switches


class MaxPool2D:
    def __init__(self, pool=2):
        self.pool = pool

    def forward(self, x):
        N, C, H, W = x.shape
        p = self.pool
        out = np.zeros((N, C, H // p, W // p))
        # remember where the maximum was
        self.switches = np.zeros(x.shape, dtype=np.int64)
        for n in range(N):
            for c in range(C):
                for i in range(H // p):
                    for j in range(W // p):
                        win = x[n, c, i*p:(i+1)*p, j*p:(j+1)*p]
                        a, b = np.unravel_index(np.argmax(win), win.shape)
                        out[n, c, i, j] = win[a, b]
                        self.switches[n, c, i*p + a, j*p + b] = 1
        return out

    def backward(self, dout):
        p = self.pool
        dx = np.zeros_like(self.switches)
        N, C, OH, OW = dout.shape
        for n in range(N):
            for c in range(C):
                for i in range(OH):
                    for j in range(OW):
                        sw = self.switches[n, c, i*p:(i+1)*p, j*p:(j+1)*p]
                        a, b = np.unravel_index(np.argmax(sw), sw.shape)
                        dx[n, c, i*p + a, j*p + b] = dout[n, c, i, j]
        return dx


class Flatten:
    def forward(self, x):
        self.shape = x.shape
        return x.reshape(len(x), -1)

    def backward(self, dout):
        return dout.reshape(self.shape)


class ReLU:
    def forward(self, x):
        self.mask = x > 0
        return x * self.mask

    def backward(self, dout):
        return dout * self.mask


rng = np.random.RandomState(6)
examples = {
    "MaxPool2D": {"init": {"pool": 2}, "x": rng.randn(2, 1, 4, 4)},
    "Flatten": {"init": {}, "x": rng.randn(3, 2, 2, 2)},
    "ReLU": {"init": {}, "x": rng.randn(3, 2, 2, 2)},
}
''', "MaxPool2D.backward: dx = np.zeros_like(self.switches) is an integer array, so the gradients are cut to whole numbers; zeros of float.",
     "MaxPool2D", ("x",), ("precision", "zero"))

_add("lstm_sequence", "CS231n-like RNN assignment", r'''
import numpy as np


def sigmoid(x):
    pos_mask = (x >= 0)
    neg_mask = (x < 0)
    z = np.zeros_like(x)
    z[pos_mask] = np.exp(-x[pos_mask])
    z[neg_mask] = np.exp(x[neg_mask])
    top = np.ones_like(x)
    top[neg_mask] = z[neg_mask]
    return top / (1 + z)


def lstm_forward(x, h0, Wx, Wh, b):
    """x: (N, T, D), h0: (N, H) -> h: (N, T, H); the cell state starts at zero"""
    N, T, D = x.shape
    H = h0.shape[1]
    h = np.zeros((N, T, H))
    prev_h, prev_c = h0, np.zeros((N, H))
    steps = []
    for t in range(T):
        a = x[:, t].dot(Wx) + prev_h.dot(Wh) + b
        i, f, o = sigmoid(a[:, :H]), sigmoid(a[:, H:2*H]), sigmoid(a[:, 2*H:3*H])
        g = np.tanh(a[:, 3*H:])
        next_c = f * prev_c + i * g
        next_h = o * np.tanh(next_c)
        steps.append((prev_h, prev_c, i, f, o, g, next_c))
        h[:, t] = next_h
        prev_h, prev_c = next_h, next_c
    return h, (x, Wx, Wh, steps)


def lstm_backward(dh, cache):
    x, Wx, Wh, steps = cache
    N, T, D = x.shape
    H = dh.shape[2]
    dx = np.zeros_like(x)
    dWx, dWh, db = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros(4 * H)
    dprev_h, dprev_c = np.zeros((N, H)), np.zeros((N, H))
    for t in range(T - 1, -1, -1):
        prev_h, prev_c, i, f, o, g, next_c = steps[t]
        dnext_h = dh[:, t] + dprev_h
        tc = np.tanh(next_c)
        dnext_c = dprev_c + dnext_h * o * (1 - tc ** 2)
        do = dnext_h * tc
        df = dnext_c * prev_c
        di = dnext_c * g
        dg = dnext_c * i
        da = np.hstack((di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * g * (1 - g)))
        dx[:, t] = da.dot(Wx.T)
        dWx += x[:, t].T.dot(da)
        dWh += prev_h.T.dot(da)
        db += da.sum(axis=0)
        dprev_h = da.dot(Wh.T)
        dprev_c = dnext_c * f
    return dx, dprev_h, dWx, dWh, db


def temporal_mean_forward(x, lengths):
    """mean of the first lengths[n] steps"""
    N, T, D = x.shape
    keep = (np.arange(T)[None, :] < lengths[:, None]).astype(float)
    weights = keep / lengths[:, None]
    return np.einsum('ntd,nt->nd', x, weights), weights


def temporal_mean_backward(dout, cache):
    return cache[:, :, None] * dout[:, None, :]


_r = np.random.RandomState(12)
examples = {
    "lstm_forward": {"x": _r.randn(3, 3, 2), "h0": _r.randn(3, 2), "Wx": _r.randn(2, 8), "Wh": _r.randn(2, 8),
                     "b": _r.randn(8)},
    "temporal_mean_forward": {"x": _r.randn(3, 4, 2), "lengths": np.array([4, 1, 3])},
}
''', "lstm_backward: the block input g is a tanh, so its slope is 1 - g**2 and not g * (1 - g).",
     "lstm_forward", ("x", "h0", "Wx", "Wh", "b"), ("elementwise-factor", "unknown"))

_add("losses_py_bce", "self-study repo, losses as functions", r'''
import numpy as np

EPS = 1e-12


def mean_absolute_error(y_pred, y_true):
    n = y_pred.size
    return np.abs(y_pred - y_true).sum() / n, (y_pred, y_true)


def mean_absolute_error_backward(dloss, cache):
    y_pred, y_true = cache
    return dloss * np.sign(y_pred - y_true) / y_pred.size


def binary_cross_entropy(y_pred, y_true):
    """y_pred are probabilities, y_true is 0 or 1"""
    p = np.clip(y_pred, EPS, 1 - EPS)
    loss = -np.mean(y_true * np.log(p) + (1 - y_true) * np.log(1 - p))
    return loss, (p, y_true)


def binary_cross_entropy_backward(dloss, cache):
    p, y_true = cache
    return dloss * -(y_true / p + (1 - y_true) / (1 - p)) / p.size


def log_cosh(y_pred, y_true):
    d = y_pred - y_true
    return np.mean(np.logaddexp(d, -d) - np.log(2.0)), d


def log_cosh_backward(dloss, d):
    return dloss * np.tanh(d) / d.size


_r = np.random.RandomState(77)
_y = np.array([[1.0], [0.0], [0.0], [1.0], [0.0]])
examples = {
    "mean_absolute_error": {"y_pred": _r.randn(4, 2), "y_true": _r.randn(4, 2)},
    "binary_cross_entropy": {"y_pred": 0.1 + 0.8 * _r.rand(5, 1), "y_true": _y},
    "log_cosh": {"y_pred": _r.randn(4, 2), "y_true": _r.randn(4, 2)},
}
''', "binary_cross_entropy_backward: the second term has the wrong sign, it is -(y/p - (1-y)/(1-p)) / n.",
     "binary_cross_entropy", ("y_pred",), ("sign", "elementwise-factor"))

_add("vae_pieces_no_examples", "research notebook turned into a module", r'''
import numpy as np

# pieces of the VAE, everything (batch, latent)


def reparameterize(mu, logvar, eps):
    std = np.exp(0.5 * logvar)
    return mu + std * eps, (std, eps)


def reparameterize_backward(dz, cache):
    std, eps = cache
    return {"mu": dz, "logvar": 0.5 * dz * eps * std, "eps": dz * std}


def kl_divergence(mu, logvar):
    kl = -0.5 * np.sum(1 + logvar - mu ** 2 - np.exp(logvar), axis=1)
    return kl, (mu, logvar)


def kl_divergence_backward(dkl, cache):
    mu, logvar = cache
    d = dkl[:, None]
    return {"mu": d * mu, "logvar": 0.5 * d * (1 - np.exp(logvar))}


def gaussian_nll(x, mu, logvar):
    r2 = (x - mu) ** 2 * np.exp(-logvar)
    nll = 0.5 * np.sum(r2 + logvar + np.log(2 * np.pi), axis=1)
    return nll, (x, mu, logvar, r2)


def gaussian_nll_backward(dnll, cache):
    x, mu, logvar, r2 = cache
    d = dnll[:, None]
    dx = d * (x - mu) * np.exp(-logvar)
    return {"x": dx, "mu": -dx, "logvar": 0.5 * d * (1 - r2)}
''', "kl_divergence_backward: the gradient of logvar has the wrong sign, it is 0.5 * (exp(logvar) - 1).",
     "kl_divergence", ("logvar",), ("sign",))

_add("regression_models", "statistics course, models with loss built in", r'''
import numpy as np


class RidgeRegression:
    """ loss = 1/(2n) ||X w + b - y||^2 + lam * ||w||^2   (the intercept is not penalised) """

    def __init__(self, p, lam=0.3, seed=0):
        rs = np.random.RandomState(seed)
        self.w = rs.randn(p)
        self.b = np.array(rs.randn())
        self.lam = lam
        self.grads = {}

    def forward(self, X, y):
        self.X = X
        self.res = X @ self.w + self.b - y
        return 0.5 * np.mean(self.res ** 2) + self.lam * np.sum(self.w ** 2)

    def backward(self, dloss=1.0):
        n = len(self.res)
        self.grads["w"] = dloss * (self.X.T @ self.res / n + self.lam * self.w)
        self.grads["b"] = dloss * np.mean(self.res)
        return self.grads


class PoissonRegression:
    """ mean negative log likelihood without log(y!), log link """

    def __init__(self, p, seed=1):
        rs = np.random.RandomState(seed)
        self.w = 0.3 * rs.randn(p)
        self.b = np.array(0.2)
        self.grads = {}

    def forward(self, X, y):
        eta = X @ self.w + self.b
        self.X, self.y, self.rate = X, y, np.exp(eta)
        return np.mean(self.rate - y * eta)

    def backward(self, dloss=1.0):
        r = dloss * (self.rate - self.y) / len(self.y)
        self.grads["w"] = self.X.T @ r
        self.grads["b"] = r.sum()
        return self.grads


_r = np.random.RandomState(2)
examples = {
    "RidgeRegression": {"init": {"p": 3}, "X": _r.randn(6, 3), "y": _r.randn(6)},
    "PoissonRegression": {"init": {"p": 3}, "X": _r.randn(6, 3), "y": np.array([0, 2, 1, 4, 0, 1])},
}
''', "RidgeRegression.backward: the penalty is lam * ||w||^2 without a half, so its gradient is 2 * lam * w.",
     "RidgeRegression", ("w",), ("factor", "missing-term"))

_add("rbf_network", "Polish university project", r'''
import numpy as np


class WarstwaRBF:
    """phi_j(x) = exp(-||x - c_j||^2 / (2 sigma_j^2))"""

    def __init__(self, n_wejsc, n_neuronow, ziarno=0):
        g = np.random.RandomState(ziarno)
        self.centers = g.randn(n_neuronow, n_wejsc)
        self.sigma = 0.6 + g.rand(n_neuronow)

    def forward(self, x):
        self.diff = x[:, None, :] - self.centers[None, :, :]
        self.d2 = np.sum(self.diff ** 2, axis=2)
        self.phi = np.exp(-self.d2 / (2 * self.sigma ** 2))
        return self.phi

    def backward(self, dphi):
        e = dphi * self.phi / self.sigma ** 2
        self.dcenters = np.sum(e[:, :, None] * self.diff, axis=0)
        self.dsigma = np.sum(e * self.d2, axis=0)
        return -np.sum(e[:, :, None] * self.diff, axis=1)


class WarstwaLiniowa:
    def __init__(self, n_wejsc, n_wyjsc, ziarno=1):
        g = np.random.RandomState(ziarno)
        self.W = g.randn(n_wyjsc, n_wejsc)
        self.b = g.randn(n_wyjsc)

    def forward(self, x):
        self.x = x
        return x @ self.W.T + self.b

    def backward(self, dy):
        self.dW = dy.T @ self.x
        self.db = dy.sum(axis=0)
        return dy @ self.W


examples = {
    "WarstwaRBF": {"init": {"n_wejsc": 2, "n_neuronow": 4}, "x": np.random.RandomState(3).randn(5, 2)},
    "WarstwaLiniowa": {"init": {"n_wejsc": 4, "n_wyjsc": 2}, "x": np.random.RandomState(4).randn(5, 4)},
}
''', "WarstwaRBF.backward: d/dsigma of -d2 / (2 sigma^2) is d2 / sigma^3; dsigma lacks one division by sigma.",
     "WarstwaRBF", ("sigma",), ("elementwise-factor",))

_add("resnet_block", "self-study repo, residual block", r'''
import numpy as np


class ResidualBlock:
    """ y = x + relu(x W + b) """

    def __init__(self, width, seed=21):
        r = np.random.RandomState(seed)
        self.W = r.randn(width, width) / np.sqrt(width)
        self.b = 0.1 * r.randn(width)

    def forward(self, x):
        self.x = x
        self.a = x @ self.W + self.b
        return x + np.maximum(self.a, 0)

    def backward(self, dout):
        # branch
        da = dout
        da[self.a <= 0] = 0
        self.dW = self.x.T @ da
        self.db = da.sum(axis=0)
        dx = da @ self.W.T
        # shortcut
        dx += dout
        return dx


class Head:
    def __init__(self, width, classes, seed=22):
        r = np.random.RandomState(seed)
        self.W = r.randn(width, classes) / np.sqrt(width)

    def forward(self, x):
        self.x = x
        return x @ self.W

    def backward(self, dout):
        self.dW = self.x.T @ dout
        return dout @ self.W.T


examples = {
    "ResidualBlock": {"init": {"width": 4}, "x": np.random.RandomState(1).randn(5, 4)},
    "Head": {"init": {"width": 4, "classes": 3}, "x": np.random.RandomState(2).randn(5, 4)},
}
''', "ResidualBlock.backward: da is dout itself, so the mask is written into dout and the shortcut is masked too; da = dout.copy().",
     "ResidualBlock", ("x",), ("mutates-input", "missing-term", "elementwise-factor"))

_add("tiny_framework_accumulate", "small library in the manner of a torch clone, with training loop", r'''
import numpy as np


class Linear:
    def __init__(self, n_in, n_out, seed=0):
        rng = np.random.RandomState(seed)
        self.W = rng.randn(n_in, n_out) * np.sqrt(2.0 / n_in)
        self.b = np.zeros(n_out)
        self.dW = np.zeros_like(self.W)
        self.db = np.zeros_like(self.b)

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout):
        self.dW += self.x.T @ dout
        self.db += dout.sum(axis=0)
        return dout @ self.W.T


class Tanh:
    def forward(self, x):
        self.y = np.tanh(x)
        return self.y

    def backward(self, dout):
        return dout * (1 - self.y * self.y)


class SquaredError:
    def forward(self, pred, target):
        self.diff = pred - target
        return 0.5 * np.sum(self.diff ** 2) / len(pred)

    def backward(self, dout=1.0):
        return dout * self.diff / len(self.diff)


def train(layers, loss, x, y, lr=0.1, epochs=100):
    history = []
    for _ in range(epochs):
        h = x
        for layer in layers:
            h = layer.forward(h)
        history.append(loss.forward(h, y))
        d = loss.backward()
        for layer in reversed(layers):
            d = layer.backward(d)
        for layer in layers:
            if hasattr(layer, "W"):
                layer.W -= lr * layer.dW
                layer.b -= lr * layer.db
    return history


_r = np.random.RandomState(5)
examples = {
    "Linear": {"init": {"n_in": 3, "n_out": 2}, "x": _r.randn(4, 3)},
    "Tanh": {"init": {}, "x": _r.randn(4, 3)},
    "SquaredError": {"init": {}, "pred": _r.randn(4, 2), "target": _r.randn(4, 2)},
}
''', "Linear.backward adds into dW and db, which nothing ever resets (the loop neither): the second backward returns more; assign with =.",
     "Linear", ("W", "b"), ("accumulates",))

_add("log_softmax_nll", "Korean course homework in functions, no examples", r'''
import numpy as np


def linear(x, w, b):
    return np.matmul(x, w) + b, (x, w)


def linear_backward(dy, cache):
    x, w = cache
    return np.matmul(dy, w.T), np.matmul(x.T, dy), dy.sum(0)


def log_softmax(x):
    shifted = x - x.max(axis=1, keepdims=True)
    logp = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return logp, logp


def log_softmax_backward(dy, logp):
    return dy - np.exp(logp) * dy.sum(axis=0)


def gelu(x):
    # sigmoid approximation
    s = 1 / (1 + np.exp(-1.702 * x))
    return x * s, (x, s)


def gelu_backward(dy, cache):
    x, s = cache
    return dy * (s + 1.702 * x * s * (1 - s))
''', "log_softmax_backward sums dy over the rows; the normaliser is one per row, so dy.sum(axis=1, keepdims=True).",
     "log_softmax", ("x",), ("shape",))

_add("stable_functions", "small numerics library", r'''
"""Overflow-safe elementary functions and their derivatives."""
import numpy as np


def softplus(x):
    return np.logaddexp(0.0, x), x


def softplus_backward(dy, x):
    e = np.exp(x)
    return dy * e / (1.0 + e)


def log_sigmoid(x):
    y = -np.logaddexp(0.0, -x)
    return y, y


def log_sigmoid_backward(dy, y):
    return -dy * np.expm1(y)


def log_add_exp(a, b):
    y = np.logaddexp(a, b)
    return y, (a, b, y)


def log_add_exp_backward(dy, cache):
    a, b, y = cache
    return dy * np.exp(a - y), dy * np.exp(b - y)


examples = {
    "softplus": {"x": np.array([-900.0, -2.0, 0.3, 5.0, 41.0, 800.0])},
    "log_sigmoid": {"x": np.array([-800.0, -3.0, -0.1, 0.0, 2.0, 30.0])},
    "log_add_exp": {"a": np.array([1.0, -700.0, 1000.0, 0.2]), "b": np.array([1.5, -701.0, 999.0, 0.1])},
}
''', "softplus_backward: exp(x) overflows and inf / inf is nan at x = 800; use 1 / (1 + exp(-x)) in a stable form.",
     "softplus", ("x",), ("non-finite",))

_add("captioning_layers", "CS231n-like captioning layers, own variation", r'''
import numpy as np


def temporal_affine_forward(x, w, b):
    """x: (N, T, D), w: (D, M), b: (M,)"""
    out = x @ w + b
    return out, (x, w)


def temporal_affine_backward(dout, cache):
    x, w = cache
    D, M = w.shape
    dx = dout @ w.T
    dw = x.reshape(-1, D).T @ dout.reshape(-1, M)
    db = dout.sum(axis=0)
    return dx, dw, db


def rnn_step_forward(x, prev_h, Wx, Wh, b):
    next_h = np.tanh(x @ Wx + prev_h @ Wh + b)
    return next_h, (x, prev_h, Wx, Wh, next_h)


def rnn_step_backward(dnext_h, cache):
    x, prev_h, Wx, Wh, next_h = cache
    da = dnext_h * (1 - next_h ** 2)
    return da @ Wx.T, da @ Wh.T, x.T @ da, prev_h.T @ da, da.sum(axis=0)


np.random.seed(231)
examples = {
    "temporal_affine_forward": {"x": np.random.randn(3, 4, 2), "w": np.random.randn(2, 3), "b": np.random.randn(3)},
    "rnn_step_forward": {"x": np.random.randn(4, 3), "prev_h": np.random.randn(4, 2), "Wx": np.random.randn(3, 2),
                         "Wh": np.random.randn(2, 2), "b": np.random.randn(2)},
}
''', "temporal_affine_backward: db is summed over the batch only and keeps the time axis; dout.sum(axis=(0, 1)).",
     "temporal_affine_forward", ("b",), ("shape", "batch-sum"))

_add("tied_autoencoder", "Stanford UFLDL-like exercise", r'''
import numpy as np


class TiedAutoencoder(object):
    def __init__(self, visible, hidden, seed=3):
        r = np.random.RandomState(seed)
        self.params = {
            'W': r.uniform(-1, 1, (visible, hidden)),
            'b': r.uniform(-1, 1, hidden),
            'c': r.uniform(-1, 1, visible),
        }

    def forward(self, x):
        W, b, c = self.params['W'], self.params['b'], self.params['c']
        self.x = x
        self.h = 1.0 / (1.0 + np.exp(-(x.dot(W) + b)))
        return self.h.dot(W.T) + c

    def backward(self, dout):
        W = self.params['W']
        self.grads = {}
        # decoder
        self.grads['c'] = dout.sum(axis=0)
        self.grads['W'] = dout.T.dot(self.h)
        # encoder
        dh = dout.dot(W)
        da = dh * self.h * (1.0 - self.h)
        self.grads['b'] = da.sum(axis=0)
        return da.dot(W.T)


class SparsityPenalty(object):
    """sum over hidden units of KL(rho || mean activation)"""

    def __init__(self, rho=0.1):
        self.rho = rho

    def forward(self, h):
        self.m = h.shape[0]
        self.rho_hat = h.mean(axis=0)
        r, q = self.rho, self.rho_hat
        return np.sum(r * np.log(r / q) + (1 - r) * np.log((1 - r) / (1 - q)))

    def backward(self, dout=1.0):
        r, q = self.rho, self.rho_hat
        dq = dout * (-r / q + (1 - r) / (1 - q))
        return np.tile(dq / self.m, (self.m, 1))


_r = np.random.RandomState(8)
examples = {
    'TiedAutoencoder': {'init': {'visible': 4, 'hidden': 3}, 'x': _r.rand(5, 4)},
    'SparsityPenalty': {'init': {}, 'h': 0.1 + 0.8 * _r.rand(4, 3)},
}
''', "TiedAutoencoder.backward: W is used twice, but only the decoder's share is kept; add x.T.dot(da) to grads['W'].",
     "TiedAutoencoder", ("W",), ("missing-term",))

_add("graph_net_layers", "French master's project on graphs", r'''
import numpy as np


def normaliser(A):
    """D^-1 (A + I)"""
    A = A + np.eye(len(A))
    return A / A.sum(axis=1, keepdims=True)


class GraphConv:
    def __init__(self, A, d_in, d_out, graine=0):
        self._A = normaliser(A)
        rng = np.random.default_rng(graine)
        self.W = rng.normal(size=(d_in, d_out))
        self.b = rng.normal(size=d_out)

    def forward(self, X):
        self.AX = self._A @ X
        return self.AX @ self.W + self.b

    def backward(self, dY):
        self.dW = self.AX.T @ dY
        self.db = dY.sum(axis=0)
        return self._A @ (dY @ self.W.T)


class SommeDuGraphe:
    """une ligne par graphe, `segments` dit a quel graphe appartient chaque noeud"""

    def forward(self, X, segments):
        self.segments = segments
        out = np.zeros((segments.max() + 1, X.shape[1]))
        np.add.at(out, segments, X)
        return out

    def backward(self, dY):
        return dY[self.segments]


_A = np.array([[0, 1, 0, 0, 1.], [1, 0, 1, 0, 0], [0, 1, 0, 1, 1], [0, 0, 1, 0, 0], [1, 0, 1, 0, 0]])
examples = {
    "GraphConv": {"init": {"A": _A, "d_in": 3, "d_out": 2}, "X": np.random.default_rng(1).normal(size=(5, 3))},
    "SommeDuGraphe": {"init": {}, "X": np.random.default_rng(2).normal(size=(5, 3)),
                      "segments": np.array([0, 0, 1, 2, 1])},
}
''', "GraphConv.backward: the row-normalised adjacency is not symmetric, the way back is self._A.T @ (dY @ W.T).",
     "GraphConv", ("X",), ("transpose",))

_add("sequence_losses", "NLP course, class losses with padding", r'''
import numpy as np


class MaskedCrossEntropy:
    """x: (N, T, V) scores, y: (N, T) words, y == pad is not scored; mean over the scored words"""

    def __init__(self, pad=0):
        self.pad = pad

    def forward(self, x, y):
        N, T, V = x.shape
        flat, words = x.reshape(N * T, V), y.reshape(N * T)
        mask = words != self.pad
        p = np.exp(flat - flat.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        logp = np.log(p[np.arange(N * T), words])
        self.p, self.words, self.shape = p, words, x.shape
        self.count = mask.sum()
        return -np.sum(mask * logp) / self.count

    def backward(self, dout=1.0):
        dx = self.p.copy()
        dx[np.arange(len(dx)), self.words] -= 1
        dx *= dout / self.count
        return dx.reshape(self.shape)


class UnigramPrior:
    """adds a learned score per word to all the positions"""

    def __init__(self, vocab):
        self.u = np.linspace(-0.5, 0.5, vocab)

    def forward(self, x):
        return x + self.u

    def backward(self, dout):
        self.du = dout.reshape(-1, dout.shape[-1]).sum(axis=0)
        return dout


_r = np.random.RandomState(19)
examples = {
    "MaskedCrossEntropy": {"init": {"pad": 0}, "x": _r.randn(3, 3, 4),
                           "y": np.array([[1, 2, 0], [3, 0, 0], [2, 2, 1]])},
    "UnigramPrior": {"init": {"vocab": 4}, "x": _r.randn(3, 2, 4)},
}
''', "MaskedCrossEntropy.backward forgets the mask, so padded positions get a gradient too; multiply dx by mask[:, None].",
     "MaskedCrossEntropy", ("x",), ("elementwise-factor",))

# ====================================================================== right

_add("layers_from_scratch_book", "Japanese textbook-like layers", r'''
# coding: utf-8
import numpy as np


class Relu:
    def __init__(self):
        self.mask = None

    def forward(self, x):
        self.mask = (x <= 0)
        out = x.copy()
        out[self.mask] = 0
        return out

    def backward(self, dout):
        dx = dout.copy()
        dx[self.mask] = 0
        return dx


class Affine:
    def __init__(self, W, b):
        self.W = W
        self.b = b
        self.x = None
        self.original_x_shape = None
        self.dW = None
        self.db = None

    def forward(self, x):
        self.original_x_shape = x.shape
        x = x.reshape(x.shape[0], -1)
        self.x = x
        return np.dot(self.x, self.W) + self.b

    def backward(self, dout):
        dx = np.dot(dout, self.W.T)
        self.dW = np.dot(self.x.T, dout)
        self.db = np.sum(dout, axis=0)
        return dx.reshape(*self.original_x_shape)


class SoftmaxWithLoss:
    def __init__(self):
        self.loss = None
        self.y = None
        self.t = None

    def forward(self, x, t):
        self.t = t
        e = np.exp((x.T - np.max(x, axis=1)).T)
        self.y = (e.T / e.sum(axis=1)).T
        batch_size = self.y.shape[0]
        self.loss = -np.sum(np.log(self.y[np.arange(batch_size), t] + 1e-300)) / batch_size
        return self.loss

    def backward(self, dout=1):
        batch_size = self.t.shape[0]
        dx = self.y.copy()
        dx[np.arange(batch_size), self.t] -= 1
        return dx * (dout / batch_size)


_r = np.random.RandomState(0)
examples = {
    "Relu": {"init": {}, "x": _r.randn(4, 3)},
    "Affine": {"init": {"W": _r.randn(6, 2), "b": _r.randn(2)}, "x": _r.randn(3, 3, 2)},
    "SoftmaxWithLoss": {"init": {}, "x": _r.randn(4, 3), "t": np.array([2, 0, 0, 1])},
}
''')

_add("robust_losses", "statistics library, losses with kinks", r'''
import numpy as np


def huber(r, delta=1.0):
    small = np.abs(r) <= delta
    loss = np.where(small, 0.5 * r * r, delta * (np.abs(r) - 0.5 * delta))
    return loss.sum(), (r, delta)


def huber_backward(g, cache):
    r, delta = cache
    return g * np.clip(r, -delta, delta)


def pinball(pred, target):
    """quantile loss for the 0.9 quantile, mean over everything"""
    tau = 0.9
    u = target - pred
    return np.maximum(tau * u, (tau - 1) * u).mean(), (u, tau)


def pinball_backward(g, cache):
    u, tau = cache
    return g * ((u < 0) - tau) / u.size


def eps_insensitive(pred, target):
    d = pred - target
    return np.maximum(np.abs(d) - 0.25, 0.0).sum(axis=1), d


def eps_insensitive_backward(g, d):
    return np.sign(d) * (np.abs(d) > 0.25) * g[:, None]


def multiclass_hinge(scores, y):
    rows = np.arange(len(y))
    margins = np.maximum(0, scores - scores[rows, y][:, None] + 1.0)
    margins[rows, y] = 0
    return margins.sum() / len(y), (margins, y)


def multiclass_hinge_backward(g, cache):
    margins, y = cache
    d = (margins > 0).astype(float)
    d[np.arange(len(y)), y] = -d.sum(axis=1)
    return d * g / len(y)


_r = np.random.RandomState(4)
examples = {
    "huber": {"r": np.array([-3.0, -0.2, 0.0, 0.4, 1.7, 12.0]), "delta": 1.0},
    "pinball": {"pred": _r.randn(5, 2), "target": _r.randn(5, 2)},
    "eps_insensitive": {"pred": _r.randn(4, 3), "target": _r.randn(4, 3)},
    "multiclass_hinge": {"scores": _r.randn(5, 4), "y": np.array([0, 3, 1, 1, 2])},
}
''')

_add("batchnorm_class_running", "small library, batch norm with running statistics", r'''
import numpy as np


class BatchNorm1d:
    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        self.eps = eps
        self.momentum = momentum
        self.gamma = np.linspace(0.5, 1.5, num_features)
        self.beta = np.linspace(-1.0, 1.0, num_features)
        self.running_mean = np.zeros(num_features)
        self.running_var = np.ones(num_features)
        self.training = True

    def forward(self, x):
        if self.training:
            mean, var = x.mean(0), x.var(0)
            n = len(x)
            self.running_mean += self.momentum * (mean - self.running_mean)
            self.running_var += self.momentum * (var * n / (n - 1) - self.running_var)
        else:
            mean, var = self.running_mean, self.running_var
        self.inv_std = (var + self.eps) ** -0.5
        self.x_hat = (x - mean) * self.inv_std
        return self.x_hat * self.gamma + self.beta

    def backward(self, grad_out):
        self.grad_gamma = (grad_out * self.x_hat).sum(0)
        self.grad_beta = grad_out.sum(0)
        if not self.training:
            return grad_out * self.gamma * self.inv_std
        g = grad_out * self.gamma
        g = g - g.mean(0) - self.x_hat * (g * self.x_hat).mean(0)
        g *= self.inv_std
        return g


class Linear:
    # no bias, it comes before a batch norm
    def __init__(self, n_in, n_out):
        self.weight = np.random.RandomState(1).randn(n_out, n_in)
        self.weight_grad = np.empty_like(self.weight)

    def forward(self, x):
        self._in = x
        return x.dot(self.weight.T)

    def backward(self, grad_out):
        np.dot(grad_out.T, self._in, out=self.weight_grad)
        return grad_out.dot(self.weight)


_r = np.random.RandomState(3)
examples = {
    "BatchNorm1d": {"init": {"num_features": 3}, "x": 10.0 + 2.0 * _r.randn(6, 3)},
    "Linear": {"init": {"n_in": 4, "n_out": 3}, "x": _r.randn(5, 4)},
}
''')

_add("spatial_groupnorm", "CS231n-like assignment 2", r'''
import numpy as np


def spatial_groupnorm_forward(x, gamma, beta, G, gn_param):
    """gamma, beta: (1, C, 1, 1)"""
    eps = gn_param.get('eps', 1e-5)
    N, C, H, W = x.shape
    xg = x.reshape(N, G, -1)
    mean = xg.mean(axis=2, keepdims=True)
    std = np.sqrt(xg.var(axis=2, keepdims=True) + eps)
    z = ((xg - mean) / std).reshape(x.shape)
    return gamma * z + beta, (G, z, std, gamma)


def spatial_groupnorm_backward(dout, cache):
    G, z, std, gamma = cache
    N, C, H, W = dout.shape
    dbeta = dout.sum(axis=(0, 2, 3), keepdims=True)
    dgamma = np.sum(dout * z, axis=(0, 2, 3), keepdims=True)
    dz = (dout * gamma).reshape(N, G, -1)
    zg = z.reshape(N, G, -1)
    M = zg.shape[2]
    dx = (M * dz - dz.sum(axis=2, keepdims=True) - zg * (dz * zg).sum(axis=2, keepdims=True)) / (M * std)
    return dx.reshape(dout.shape), dgamma, dbeta


def dropout_forward(x, dropout_param):
    p, mode = dropout_param['p'], dropout_param['mode']
    if 'seed' in dropout_param:
        np.random.seed(dropout_param['seed'])
    mask = None
    if mode == 'train':
        mask = (np.random.rand(*x.shape) < p) / p
        out = x * mask
    else:
        out = x
    return out, (dropout_param, mask)


def dropout_backward(dout, cache):
    dropout_param, mask = cache
    if dropout_param['mode'] == 'train':
        return dout * mask
    return dout


_r = np.random.RandomState(231)
examples = {
    "spatial_groupnorm_forward": {"x": 4 * _r.randn(2, 4, 2, 2) + 10, "gamma": _r.randn(1, 4, 1, 1),
                                  "beta": _r.randn(1, 4, 1, 1), "G": 2, "gn_param": {}},
    "dropout_forward": {"x": _r.randn(4, 5), "dropout_param": {"mode": "train", "p": 0.7, "seed": 6}},
}
''')

_add("maxout_and_highway", "Italian master's homework", r'''
import numpy as np


class Maxout:
    """pezzi k per ogni unita'"""

    def __init__(self, d_in, d_out, k=3):
        rng = np.random.RandomState(d_in + d_out)
        self.W = rng.randn(k, d_in, d_out)
        self.b = rng.randn(k, d_out)

    def forward(self, x):
        z = np.einsum('ni,kio->kno', x, self.W) + self.b[:, None, :]
        self.vincitore = z.argmax(axis=0)
        self.x = x
        return z.max(axis=0)

    def backward(self, dout):
        k = self.W.shape[0]
        acceso = self.vincitore[None] == np.arange(k)[:, None, None]
        dz = acceso * dout
        self.dW = np.einsum('ni,kno->kio', self.x, dz)
        self.db = dz.sum(axis=1)
        return np.einsum('kno,kio->ni', dz, self.W)


class Highway:
    def __init__(self, d):
        rng = np.random.RandomState(d)
        self.params = dict(Wh=rng.randn(d, d), bh=rng.randn(d), Wt=rng.randn(d, d), bt=-np.ones(d))
        self.grads = dict.fromkeys(self.params)

    def forward(self, x):
        p = self.params
        h = np.tanh(x.dot(p['Wh']) + p['bh'])
        t = 0.5 * (1 + np.tanh(0.5 * (x.dot(p['Wt']) + p['bt'])))
        self.cache = x, h, t
        return x + t * (h - x)

    def backward(self, dout):
        x, h, t = self.cache
        p, g = self.params, self.grads
        dah = dout * t * (1 - h * h)
        dat = dout * (h - x) * t * (1 - t)
        g['Wh'], g['bh'] = x.T.dot(dah), dah.sum(0)
        g['Wt'], g['bt'] = x.T.dot(dat), dat.sum(0)
        return dout * (1 - t) + dah.dot(p['Wh'].T) + dat.dot(p['Wt'].T)


examples = {
    'Maxout': {'init': {'d_in': 3, 'd_out': 2, 'k': 3}, 'x': np.random.RandomState(5).randn(4, 3)},
    'Highway': {'init': {'d': 3}, 'x': np.random.RandomState(6).randn(4, 3)},
}
''')

_add("char_rnn_columns", "gist-like vanilla RNN, time first, dict of gradients", r'''
"""
Minimal recurrent net, one sequence at a time.
"""
import numpy as np


def rnn_forward(xs, h0, Wxh, Whh, bh):
    T = len(xs)
    hs = np.zeros((T + 1, len(h0)))
    hs[-1] = h0          # hs[t-1] at t = 0 is the last row
    for t in range(T):
        hs[t] = np.tanh(Wxh @ xs[t] + Whh @ hs[t - 1] + bh)
    return hs[:T].copy(), (xs, hs, Wxh, Whh)


def rnn_backward(dhs, cache):
    xs, hs, Wxh, Whh = cache
    T = len(xs)
    dxs = np.zeros_like(xs)
    dWxh, dWhh = np.zeros_like(Wxh), np.zeros_like(Whh)
    dbh = np.zeros(len(Whh))
    dhnext = np.zeros(len(Whh))
    for t in reversed(range(T)):
        dh = dhs[t] + dhnext
        dhraw = (1 - hs[t] * hs[t]) * dh
        dbh += dhraw
        dWxh += np.outer(dhraw, xs[t])
        dWhh += np.outer(dhraw, hs[t - 1])
        dxs[t] = Wxh.T @ dhraw
        dhnext = Whh.T @ dhraw
    return {"xs": dxs, "h0": dhnext, "Wxh": dWxh, "Whh": dWhh, "bh": dbh}


def readout_forward(hs, targets, Why, by):
    ys = hs @ Why.T + by
    ys -= ys.max(axis=1, keepdims=True)
    ps = np.exp(ys)
    ps /= ps.sum(axis=1, keepdims=True)
    loss = -np.log(ps[np.arange(len(hs)), targets]).sum()
    return loss, (hs, ps, targets, Why)


def readout_backward(dloss, cache):
    hs, ps, targets, Why = cache
    dy = ps.copy()
    dy[np.arange(len(hs)), targets] -= 1
    dy *= dloss
    return {"hs": dy @ Why, "Why": dy.T @ hs, "by": dy.sum(axis=0)}


_r = np.random.RandomState(1)
examples = {
    "rnn_forward": {"xs": _r.randn(4, 3), "h0": _r.randn(2), "Wxh": _r.randn(2, 3), "Whh": _r.randn(2, 2),
                    "bh": _r.randn(2)},
    "readout_forward": {"hs": _r.randn(4, 2), "targets": np.array([0, 2, 2, 1]), "Why": _r.randn(3, 2),
                        "by": _r.randn(3)},
}
''')

_add("multihead_causal", "research code, GPT block in NumPy", r'''
import numpy as np


class CausalSelfAttention:
    def __init__(self, n_embd, n_head, seed=0):
        assert n_embd % n_head == 0
        g = np.random.default_rng(seed)
        self.n_head = n_head
        self.params = {
            "w_qkv": g.normal(0, 0.6, (n_embd, 3 * n_embd)),
            "b_qkv": g.normal(0, 0.1, 3 * n_embd),
            "w_o": g.normal(0, 0.6, (n_embd, n_embd)),
            "b_o": np.zeros(n_embd),
        }
        self.grads = {}

    def _split(self, t):
        B, T, C = t.shape
        return t.reshape(B, T, self.n_head, C // self.n_head).transpose(0, 2, 1, 3)

    @staticmethod
    def _merge(t):
        B, H, T, D = t.shape
        return t.transpose(0, 2, 1, 3).reshape(B, T, H * D)

    def forward(self, x):
        p = self.params
        q, k, v = (self._split(t) for t in np.split(x @ p["w_qkv"] + p["b_qkv"], 3, axis=-1))
        T = x.shape[1]
        att = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
        att = np.where(np.tri(T, dtype=bool), att, -1e10)
        att = np.exp(att - att.max(-1, keepdims=True))
        att /= att.sum(-1, keepdims=True)
        y = self._merge(att @ v)
        self._cache = x, q, k, v, att, y
        return y @ p["w_o"] + p["b_o"]

    def backward(self, dout):
        p = self.params
        x, q, k, v, att, y = self._cache
        self.grads["b_o"] = dout.sum((0, 1))
        self.grads["w_o"] = np.einsum("btc,bto->co", y, dout)
        dy = self._split(dout @ p["w_o"].T)
        dv = att.swapaxes(-1, -2) @ dy
        datt = dy @ v.swapaxes(-1, -2)
        ds = att * (datt - (datt * att).sum(-1, keepdims=True)) / np.sqrt(q.shape[-1])
        dq = ds @ k
        dk = ds.swapaxes(-1, -2) @ q
        dqkv = np.concatenate([self._merge(t) for t in (dq, dk, dv)], axis=-1)
        self.grads["w_qkv"] = np.einsum("btc,bto->co", x, dqkv)
        self.grads["b_qkv"] = dqkv.sum((0, 1))
        return dqkv @ p["w_qkv"].T


class RMSNorm:
    def __init__(self, n):
        self.params = {"g": np.linspace(0.8, 1.2, n)}
        self.grads = {}

    def forward(self, x):
        self.x = x
        self.r = 1.0 / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + 1e-6)
        return x * self.r * self.params["g"]

    def backward(self, dout):
        u = self.x * self.r
        self.grads["g"] = np.sum(dout * u, axis=tuple(range(dout.ndim - 1)))
        du = dout * self.params["g"]
        return self.r * (du - u * np.mean(du * u, axis=-1, keepdims=True))


_g = np.random.default_rng(5)
examples = {
    "CausalSelfAttention": {"init": {"n_embd": 4, "n_head": 2}, "x": _g.normal(size=(2, 3, 4))},
    "RMSNorm": {"init": {"n": 4}, "x": _g.normal(size=(2, 3, 4))},
}
''')

_add("recsys_layers", "recommender course project", r'''
import numpy as np


def fm_interaction(x, V):
    """second-order term of a factorization machine: x (N, p), V (p, k) -> (N,)"""
    s = x @ V
    out = 0.5 * np.sum(s ** 2 - (x ** 2) @ (V ** 2), axis=1)
    return out, (x, V, s)


def fm_interaction_backward(dout, cache):
    x, V, s = cache
    ds = dout[:, None] * s
    dx = ds @ V.T - dout[:, None] * x * np.sum(V ** 2, axis=1)
    dV = x.T @ ds - V * (dout @ x ** 2)[:, None]
    return dx, dV


def lookup(table, ids):
    return table[ids], (table.shape, ids)


def lookup_backward(dout, cache):
    shape, ids = cache
    d = np.zeros(shape)
    np.add.at(d, ids, dout)
    return d


def bpr(pos, neg):
    """Bayesian personalised ranking, mean of -log sigmoid(pos - neg)"""
    d = pos - neg
    return np.logaddexp(0, -d).mean(), d


def bpr_backward(dout, d):
    g = -dout / (1 + np.exp(d)) / len(d)
    return g, -g


def cosine(a, b):
    na = np.sqrt((a * a).sum(-1))
    nb = np.sqrt((b * b).sum(-1))
    c = (a * b).sum(-1) / (na * nb)
    return c, (a, b, na, nb, c)


def cosine_backward(dout, cache):
    a, b, na, nb, c = cache
    ua, ub = a / na[:, None], b / nb[:, None]
    da = (dout / na)[:, None] * (ub - c[:, None] * ua)
    db = (dout / nb)[:, None] * (ua - c[:, None] * ub)
    return da, db


_r = np.random.RandomState(10)
examples = {
    "fm_interaction": {"x": _r.randn(4, 5), "V": _r.randn(5, 2)},
    "lookup": {"table": _r.randn(4, 3), "ids": np.array([3, 1, 1, 3, 0])},
    "bpr": {"pos": _r.randn(5), "neg": _r.randn(5)},
    "cosine": {"a": _r.randn(4, 3), "b": _r.randn(4, 3)},
}
''')

_add("huge_logits", "numerics-minded self-study file", r'''
import numpy as np


def logsumexp(x):
    m = x.max(axis=-1, keepdims=True)
    e = np.exp(x - m)
    z = e.sum(axis=-1, keepdims=True)
    return (m + np.log(z))[..., 0], e / z


def logsumexp_backward(dy, p):
    return np.expand_dims(dy, -1) * p


def smoothed_cross_entropy(logits, labels):
    """label smoothing of 0.1, mean over the rows"""
    n, c = logits.shape
    target = np.full((n, c), 0.1 / c)
    target[np.arange(n), labels] += 0.9
    lse, p = logsumexp(logits)
    loss = np.mean(lse - np.sum(target * logits, axis=1))
    return loss, (p, target)


def smoothed_cross_entropy_backward(dloss, cache):
    p, target = cache
    return dloss * (p - target) / len(p)


def tempered(logits, log_t):
    """softmax(logits / exp(log_t)), log_t is a single learned number"""
    t = np.exp(log_t)
    s = logits / t
    e = np.exp(s - s.max(1, keepdims=True))
    p = e / e.sum(1, keepdims=True)
    return p, (p, s, t)


def tempered_backward(dp, cache):
    p, s, t = cache
    ds = p * (dp - (dp * p).sum(1, keepdims=True))
    return ds / t, np.asarray(-(ds * s).sum())


_r = np.random.RandomState(2)
examples = {
    "logsumexp": {"x": np.array([[1000.0, 1001.0, 999.5], [-1000.0, -1002.0, -1000.5], [0.0, 0.0, 0.0]])},
    "smoothed_cross_entropy": {"logits": 300.0 + 3 * _r.randn(4, 3), "labels": np.array([0, 2, 1, 1])},
    "tempered": {"logits": _r.randn(3, 4), "log_t": np.array(0.7)},
}
''')

_add("strided_convolutions", "small library, stride tricks", r'''
import numpy as np
from numpy.lib.stride_tricks import as_strided


def _windows(x, k, stride):
    n, c, h, w = x.shape
    oh, ow = (h - k) // stride + 1, (w - k) // stride + 1
    s = x.strides
    return as_strided(x, (n, c, oh, ow, k, k), (s[0], s[1], s[2] * stride, s[3] * stride, s[2], s[3]), writeable=False)


class Conv2D:
    """padding 1, square kernels"""

    def __init__(self, c_in, c_out, k=3, stride=2):
        rng = np.random.RandomState(k)
        self.k, self.stride = k, stride
        self.W = rng.randn(c_out, c_in, k, k) / k
        self.b = rng.randn(c_out)

    def forward(self, x):
        self.x_shape = x.shape
        xp = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="constant")
        self.win = _windows(xp, self.k, self.stride)
        self.xp_shape = xp.shape
        return np.einsum("nchwij,ocij->nohw", self.win, self.W) + self.b[None, :, None, None]

    def backward(self, dout):
        self.dW = np.einsum("nohw,nchwij->ocij", dout, self.win)
        self.db = dout.sum((0, 2, 3))
        dxp = np.zeros(self.xp_shape)
        oh, ow = dout.shape[2:]
        for i in range(self.k):
            for j in range(self.k):
                dxp[:, :, i:i + oh * self.stride:self.stride, j:j + ow * self.stride:self.stride] += \
                    np.einsum("nohw,oc->nchw", dout, self.W[:, :, i, j])
        return dxp[:, :, 1:-1, 1:-1]


class ConvTranspose1D:
    def __init__(self, c_in, c_out, k=3, stride=2):
        rng = np.random.RandomState(7)
        self.k, self.stride = k, stride
        self.W = rng.randn(c_in, c_out, k)

    def forward(self, x):
        n, c, l = x.shape
        self.x = x
        out = np.zeros((n, self.W.shape[1], (l - 1) * self.stride + self.k))
        for t in range(l):
            out[:, :, t * self.stride:t * self.stride + self.k] += np.einsum("nc,cok->nok", x[:, :, t], self.W)
        return out

    def backward(self, dout):
        self.dW = np.zeros_like(self.W)
        dx = np.empty_like(self.x)
        for t in range(self.x.shape[2]):
            piece = dout[:, :, t * self.stride:t * self.stride + self.k]
            dx[:, :, t] = np.einsum("nok,cok->nc", piece, self.W)
            self.dW += np.einsum("nc,nok->cok", self.x[:, :, t], piece)
        return dx


_r = np.random.RandomState(0)
examples = {
    "Conv2D": {"init": {"c_in": 1, "c_out": 2, "k": 3, "stride": 2}, "x": _r.randn(2, 1, 5, 3)},
    "ConvTranspose1D": {"init": {"c_in": 2, "c_out": 2}, "x": _r.randn(3, 2, 3)},
}
''')

_add("learned_activations", "self-study repo, activations with parameters, no examples", r'''
import numpy as np


class PReLU:
    def __init__(self, a=0.25):
        self.a = np.array([a])

    def forward(self, x):
        self.x = x
        return np.maximum(x, 0) + self.a * np.minimum(x, 0)

    def backward(self, dout):
        self.da = np.array([np.sum(dout * np.minimum(self.x, 0))])
        return dout * np.where(self.x > 0, 1.0, self.a)


class Swish:
    def __init__(self, beta=1.2):
        self.beta = np.array(beta)

    def forward(self, x):
        self.x = x
        self.s = 1 / (1 + np.exp(-self.beta * x))
        return x * self.s

    def backward(self, dout):
        ds = dout * self.x * self.s * (1 - self.s)
        self.dbeta = np.sum(ds * self.x)
        return dout * self.s + ds * self.beta


class GELU:
    C = np.sqrt(2 / np.pi)

    def forward(self, x):
        self.x = x
        self.t = np.tanh(self.C * (x + 0.044715 * x ** 3))
        return 0.5 * x * (1 + self.t)

    def backward(self, dout):
        x, t = self.x, self.t
        inner = self.C * (1 + 3 * 0.044715 * x ** 2)
        return dout * 0.5 * ((1 + t) + x * (1 - t ** 2) * inner)


class HardSigmoid:
    def forward(self, x):
        self.u = 0.2 * x + 0.5
        return np.clip(self.u, 0, 1)

    def backward(self, dout):
        return 0.2 * dout * np.logical_and(self.u > 0, self.u < 1)
''')

_add("linear_chain_crf", "NLP course, CRF tagger", r'''
import numpy as np


def _lse(a, axis):
    m = a.max(axis=axis, keepdims=True)
    return np.squeeze(m, axis) + np.log(np.exp(a - m).sum(axis=axis))


class CRF:
    """negative log likelihood of one tag sequence; emissions (T, K)"""

    def __init__(self, n_tags, seed=0):
        r = np.random.RandomState(seed)
        self.transitions = r.randn(n_tags, n_tags)
        self.start = r.randn(n_tags)

    def forward(self, emissions, tags):
        T, K = emissions.shape
        A = self.transitions
        alpha = np.zeros((T, K))
        beta = np.zeros((T, K))
        alpha[0] = self.start + emissions[0]
        for t in range(1, T):
            alpha[t] = _lse(alpha[t - 1][:, None] + A, 0) + emissions[t]
        for t in range(T - 2, -1, -1):
            beta[t] = _lse(A + emissions[t + 1] + beta[t + 1], 1)
        logz = _lse(alpha[-1], 0)
        score = self.start[tags[0]] + emissions[np.arange(T), tags].sum() + A[tags[:-1], tags[1:]].sum()
        self.saved = emissions, tags, alpha, beta, logz
        return logz - score

    def backward(self, dout=1.0):
        emissions, tags, alpha, beta, logz = self.saved
        T, K = emissions.shape
        node = np.exp(alpha + beta - logz)
        node[np.arange(T), tags] -= 1
        edge = np.zeros((K, K))
        for t in range(T - 1):
            edge += np.exp(alpha[t][:, None] + self.transitions + emissions[t + 1] + beta[t + 1] - logz)
            edge[tags[t], tags[t + 1]] -= 1
        self.dtransitions = dout * edge
        self.dstart = dout * node[0]
        return dout * node


examples = {
    "CRF": {"init": {"n_tags": 3}, "emissions": np.random.RandomState(1).randn(5, 3), "tags": np.array([0, 2, 2, 1, 0])},
}
''')

_add("siamese_network", "Turkish university project, shared weights", r'''
import numpy as np


class SiameseNet:
    """iki kol, ayni agirliklar: d = ||f(x1) - f(x2)||^2"""

    def __init__(self, n_in=3, n_out=2):
        rs = np.random.RandomState(34)
        self.W = rs.randn(n_in, n_out)
        self.b = rs.randn(n_out)

    def forward(self, x1, x2):
        self.x1, self.x2 = x1, x2
        self.f1 = np.tanh(x1 @ self.W + self.b)
        self.f2 = np.tanh(x2 @ self.W + self.b)
        self.fark = self.f1 - self.f2
        return np.sum(self.fark ** 2, axis=1)

    def backward(self, dd):
        g = 2 * dd[:, np.newaxis] * self.fark
        a1 = g * (1 - self.f1 ** 2)
        a2 = -g * (1 - self.f2 ** 2)
        self.dW = np.vstack((self.x1, self.x2)).T @ np.vstack((a1, a2))
        self.db = (a1 + a2).sum(axis=0)
        return a1 @ self.W.T, a2 @ self.W.T


class ContrastiveLoss:
    """d: karesi alinmis uzaklik, y = 1 ayni, y = 0 farkli"""

    def __init__(self, margin=1.5):
        self.margin = margin

    def forward(self, d, y):
        self.y = y
        self.u = np.sqrt(d)
        self.gap = np.maximum(self.margin - self.u, 0)
        return 0.5 * np.mean(y * d + (1 - y) * self.gap ** 2)

    def backward(self, dout=1.0):
        n = len(self.u)
        return dout * (0.5 * self.y - 0.5 * (1 - self.y) * self.gap / self.u) / n


_rs = np.random.RandomState(1)
examples = {
    "SiameseNet": {"init": {}, "x1": _rs.randn(4, 3), "x2": _rs.randn(4, 3)},
    "ContrastiveLoss": {"init": {}, "d": np.array([0.3, 2.0, 0.8, 4.0, 0.1]), "y": np.array([1, 0, 0, 0, 1])},
}
''')

_add("pooling_zoo", "lecture code, overlapping and global pools", r'''
import numpy as np


def maxpool1d(x):
    """window 3, stride 2, overlapping; x: (N, L)"""
    starts = np.arange(0, x.shape[1] - 2, 2)
    idx = starts[:, None] + np.arange(3)
    win = x[:, idx]
    arg = win.argmax(axis=2) + starts
    return win.max(axis=2), (x.shape, arg)


def maxpool1d_backward(dy, cache):
    shape, arg = cache
    dx = np.zeros(shape)
    np.add.at(dx, (np.arange(shape[0])[:, None], arg), dy)
    return dx


def global_lp_pool(x):
    """(mean x^4)^(1/4) over space; x: (N, C, H, W)"""
    m = np.mean(x ** 4, axis=(2, 3), keepdims=True)
    y = m ** 0.25
    return y[:, :, 0, 0], (x, y)


def global_lp_pool_backward(dy, cache):
    x, y = cache
    hw = x.shape[2] * x.shape[3]
    return dy[:, :, None, None] * x ** 3 / (hw * y ** 3)


def topk_mean(x):
    """mean of the two largest of every row"""
    order = np.argsort(x, axis=1)[:, -2:]
    return np.take_along_axis(x, order, 1).mean(axis=1), (order, x.shape)


def topk_mean_backward(dy, cache):
    order, shape = cache
    dx = np.zeros(shape)
    np.put_along_axis(dx, order, (dy / 2)[:, None], axis=1)
    return dx


def crop(x):
    return x[..., 1:-1, 1:-1], x.shape


def crop_backward(dy, shape):
    out = np.zeros(shape)
    out[..., 1:-1, 1:-1] = dy
    return out


_r = np.random.RandomState(14)
examples = {
    "maxpool1d": {"x": _r.randn(3, 9)},
    "global_lp_pool": {"x": _r.randn(3, 2, 2, 3)},
    "topk_mean": {"x": _r.randn(4, 5)},
    "crop": {"x": _r.randn(3, 4, 3)},
}
''')

_add("matrix_adjoints", "numerical linear algebra course", r'''
import numpy as np


def solve(A, b):
    x = np.linalg.solve(A, b)
    return x, (A, x)


def solve_backward(xbar, cache):
    A, x = cache
    bbar = np.linalg.solve(A.T, xbar)
    return -np.outer(bbar, x), bbar


def logdet(A):
    sign, value = np.linalg.slogdet(A)
    return value, A


def logdet_backward(ybar, A):
    return ybar * np.linalg.inv(A).T


def inverse(A):
    B = np.linalg.inv(A)
    return B, B


def inverse_backward(Bbar, B):
    return -B.T @ Bbar @ B.T


def quadratic(x, S):
    """x^T S x, S not taken to be symmetric"""
    return x @ S @ x, (x, S)


def quadratic_backward(ybar, cache):
    x, S = cache
    return ybar * (S + S.T) @ x, ybar * np.outer(x, x)


_r = np.random.RandomState(30)
examples = {
    "solve": {"A": _r.randn(3, 3) + 3 * np.eye(3), "b": _r.randn(3)},
    "logdet": {"A": _r.randn(3, 3) - 4 * np.eye(3)},
    "inverse": {"A": _r.randn(3, 3) + 3 * np.eye(3)},
    "quadratic": {"x": _r.randn(4), "S": _r.randn(4, 4)},
}
''')

_add("camera_model", "graphics / vision exercise", r'''
import numpy as np


def rotate(q, v):
    """rotate points v (N, 3) by ONE quaternion q (4,), which need not have unit length"""
    n = np.sqrt(q @ q)
    u = q / n
    w, r = u[0], u[1:]
    t = 2 * np.cross(r, v)
    out = v + w * t + np.cross(r, t)
    return out, (u, n, v, t)


def rotate_backward(dout, cache):
    u, n, v, t = cache
    w, r = u[0], u[1:]
    # cross(a, b) with gradient g: da = cross(b, g), db = cross(g, a)
    dt = w * dout + np.cross(dout, r)
    dw = np.sum(dout * t)
    dr = np.sum(np.cross(t, dout), axis=0)
    dr = dr + 2 * np.sum(np.cross(v, dt), axis=0)
    dv = dout + 2 * np.cross(dt, r)
    du = np.concatenate(([dw], dr))
    dq = (du - u * (u @ du)) / n
    return dq, dv


def project(points, focal):
    """pinhole camera, points (N, 3) in front of the camera, focal of shape (2,)"""
    z = points[:, 2:]
    xy = points[:, :2] / z
    return xy * focal, (xy, z, focal)


def project_backward(dout, cache):
    xy, z, focal = cache
    dxy = dout * focal
    dpoints = np.hstack((dxy / z, -np.sum(dxy * xy, axis=1, keepdims=True) / z))
    return dpoints, np.sum(dout * xy, axis=0)


_r = np.random.RandomState(9)
examples = {
    "rotate": {"q": np.array([0.9, -0.4, 1.1, 0.3]), "v": _r.randn(4, 3)},
    "project": {"points": _r.randn(4, 3) + np.array([0.0, 0.0, 5.0]), "focal": np.array([1.5, 2.0])},
}
''')


# ====================================================================== own verification

_MORE = {   # inputs of my own for the files without examples
    "activations_py": {c: {"init": {"alpha": 1.5} if c == "ELU" else {}, "x": np.random.RandomState(1).randn(4, 3)}
                       for c in ("ReLU6", "LeakyReLU", "ELU", "SoftSign", "Identity")},
    "learned_activations": {c: {"init": {}, "x": np.random.RandomState(2).randn(4, 3)}
                            for c in ("PReLU", "Swish", "GELU", "HardSigmoid")},
    "vae_pieces_no_examples": {
        "reparameterize": {k: np.random.RandomState(i).randn(4, 2) for i, k in enumerate(("mu", "logvar", "eps"))},
        "kl_divergence": {k: np.random.RandomState(i).randn(4, 2) for i, k in enumerate(("mu", "logvar"))},
        "gaussian_nll": {k: np.random.RandomState(i).randn(4, 2) for i, k in enumerate(("x", "mu", "logvar"))}},
    "log_softmax_nll": {"linear": {"x": np.random.RandomState(0).randn(4, 3), "w": np.random.RandomState(1).randn(3, 2),
                                   "b": np.random.RandomState(2).randn(2)},
                        "log_softmax": {"x": np.random.RandomState(3).randn(4, 3)},
                        "gelu": {"x": np.random.RandomState(4).randn(4, 3)}},
}


def _numeric(run, a, dy):
    g = np.zeros_like(a)
    for i in np.ndindex(a.shape):
        h = 1e-5 * max(1.0, abs(a[i]) * 1e-2)
        keep = a[i].copy()
        a[i] = keep + h
        up = np.asarray(run(), float).copy()
        a[i] = keep - h
        down = np.asarray(run(), float).copy()
        a[i] = keep
        g[i] = np.sum(dy * (up - down)) / (2 * h)
    return g


def _gap(got, want):
    got = np.asarray(got, float)
    if got.shape != want.shape or not np.all(np.isfinite(got)):
        return np.inf
    return float(np.max(np.abs(got - want)) / max(np.max(np.abs(want)), 1e-3))


def _fresh(v):
    return v.copy() if isinstance(v, np.ndarray) else v


def _floats(d):
    return [k for k, v in d.items() if isinstance(v, np.ndarray) and v.dtype == np.float64]


def _named(back, names):
    if isinstance(back, dict):
        return dict(back)
    if not isinstance(back, tuple):
        back = (back,)
    return {k: v for k, v in zip(names, back) if v is not None}


def _gradient_of(obj, name):
    for k in ("d" + name, "grad_" + name, name + "_grad"):
        if isinstance(getattr(obj, k, None), (np.ndarray, np.floating)):
            return getattr(obj, k)
    return getattr(obj, "grads", {}).get(name)


def verify(item):
    """{pair: {input: (gap of the first backward, gap of the second)}}"""
    ns = {"__name__": item.name}
    exec(compile(item.make()["source"], item.name, "exec"), ns)
    ex = ns.get("examples") or _MORE[item.name]
    out = {}
    for name, obj in list(ns.items()):
        if isinstance(obj, type) and obj.__module__ == item.name and "backward" in vars(obj) and name not in ("Layer", "Module"):
            spec = dict(ex[name])
            np.random.seed(0)
            inst = obj(**{k: _fresh(v) for k, v in spec.pop("init").items()})
            args = {k: _fresh(v) for k, v in spec.items()}
            if isinstance(getattr(inst, "params", None), dict):
                params = dict(inst.params)
            else:
                params = {k: v for k, v in vars(inst).items() if k in _floats(vars(inst)) and not k.startswith(("d", "running", "_"))
                          and not k.endswith("_grad")}
            y = np.asarray(inst.forward(**args), float)
            dy = np.asarray(np.random.RandomState(99).randn(*y.shape))
            dy = 1.7 * dy + 0.1 if y.ndim else 1.3

            def grads():
                inst.forward(**args)
                back = _named(inst.backward(_fresh(dy)), _floats(args))
                back.update({k: _gradient_of(inst, k) for k in params if _gradient_of(inst, k) is not None})
                return {k: np.array(v, float) for k, v in back.items()}
            one, two = grads(), grads()
            missing = set(params) - set(one)
            assert not missing, (item.name, name, missing)
            places = {**{k: args[k] for k in _floats(args)}, **params}
            out[name] = {}
            for k in one:
                want = _numeric(lambda: inst.forward(**args), places[k], dy)
                out[name][k] = (_gap(one[k], want), _gap(two[k], want))
        elif callable(obj) and not isinstance(obj, type) and not name.endswith("_backward"):
            b = ns.get(name + "_backward") or (ns.get(name[:-8] + "_backward") if name.endswith("_forward") else None)
            if b is None:
                continue
            args = {k: _fresh(v) for k, v in ex[name].items()}
            y, cache = obj(**args)
            y = np.asarray(y, float)
            dy = 1.7 * np.random.RandomState(99).randn(*y.shape) + 0.1 if y.ndim else 1.3
            with np.errstate(all="ignore"):
                one, two = (_named(b(_fresh(dy), cache), _floats(args)) for _ in range(2))
            out[name] = {}
            for k in one:
                want = _numeric(lambda: obj(**args)[0], args[k], dy)
                out[name][k] = (_gap(one[k], want), _gap(two[k], want))
    return out


if __name__ == "__main__":
    bad = 0
    assert len({it.name for it in ITEMS}) == len(ITEMS)
    for it in ITEMS:
        res = verify(it)
        assert 1 <= len(res) <= 5, (it.name, list(res))
        for pair, gaps in res.items():
            for k, (g1, g2) in gaps.items():
                faulty = pair == PAIR.get(it.name) and k in it.wrong
                ok = max(g1, g2) > 0.01 if faulty else max(g1, g2) < 1e-6
                if not ok:
                    bad += 1
                    print("CHECK", it.name, pair, k, g1, g2)
        if not it.right and not set(it.wrong) <= set(res[PAIR[it.name]]):
            bad += 1
            print("CHECK", it.name, "wrong names an input that is not there", list(res[PAIR[it.name]]))
    print("wrong", sum(not i.right for i in ITEMS), "right", sum(i.right for i in ITEMS), "file", len(ITEMS), "not verified", bad)
