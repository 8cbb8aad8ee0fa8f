"""Exam paper: whole module files."""
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


def _add(name, style, src, slip="", wrong=(), causes=()):
    src = src.lstrip("\n")
    ITEMS.append(Item(name, style, "file", lambda: {"source": src}, not slip, slip, tuple(wrong), tuple(causes)))


# ------------------------------------------------------------------ wrong
_add("cs231n_bn_file", "CS231n layers.py", r'''
import numpy as np


def affine_forward(x, w, b):
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
    return np.maximum(0, x), x


def relu_backward(dout, cache):
    return dout * (cache > 0)


def batchnorm_forward(x, gamma, beta):
    eps = 1e-5
    mu = x.mean(axis=0)
    var = x.var(axis=0)
    std = np.sqrt(var + eps)
    x_hat = (x - mu) / std
    out = gamma * x_hat + beta
    return out, (x_hat, std, gamma)


def batchnorm_backward(dout, cache):
    x_hat, std, gamma = cache
    dgamma = np.sum(dout * x_hat, axis=0)
    dbeta = np.sum(dout, axis=0)
    dx_hat = dout * gamma
    dx = (dx_hat - dx_hat.mean(axis=0)) / std
    return dx, dgamma, dbeta


_r = np.random.RandomState(0)
examples = {
    "affine": {"x": _r.randn(4, 2, 3), "w": _r.randn(6, 3), "b": _r.randn(3)},
    "relu": {"x": _r.randn(4, 5)},
    "batchnorm": {"x": _r.randn(5, 3) * 2 + 1, "gamma": _r.rand(3) + .5, "beta": _r.randn(3)},
}
''', "The variance path is missing in dx; subtract x_hat * mean(dx_hat * x_hat).", ["x"], ["missing-term"])

_add("conv_naive_file", "CS231n convnet assignment", r'''
import numpy as np

STRIDE, PAD = 1, 1


def conv_forward(x, w, b):
    N, C, H, W = x.shape
    F, _, HH, WW = w.shape
    xp = np.pad(x, ((0, 0), (0, 0), (PAD, PAD), (PAD, PAD)), mode='constant')
    Ho = 1 + (H + 2 * PAD - HH) // STRIDE
    Wo = 1 + (W + 2 * PAD - WW) // STRIDE
    out = np.zeros((N, F, Ho, Wo))
    for n in range(N):
        for f in range(F):
            for i in range(Ho):
                for j in range(Wo):
                    win = xp[n, :, i*STRIDE:i*STRIDE+HH, j*STRIDE:j*STRIDE+WW]
                    out[n, f, i, j] = np.sum(win * w[f]) + b[f]
    return out, (x, w, b, xp)


def conv_backward(dout, cache):
    x, w, b, xp = cache
    N, F, Ho, Wo = dout.shape
    HH, WW = w.shape[2:]
    dxp = np.zeros_like(xp)
    dw = np.zeros_like(w)
    db = dout.sum(axis=(0, 2, 3))
    for n in range(N):
        for i in range(Ho):
            for j in range(Wo):
                si, sj = i * STRIDE, j * STRIDE
                g = np.zeros_like(xp[n, :, :HH, :WW])
                for f in range(F):
                    g += dout[n, f, i, j] * w[f]
                    dw[f] += dout[n, f, i, j] * xp[n, :, si:si+HH, sj:sj+WW]
                dxp[n, :, si:si+HH, sj:sj+WW] = g
    dx = dxp[:, :, PAD:-PAD, PAD:-PAD]
    return dx, dw, db


def flatten_forward(x):
    return x.reshape(x.shape[0], -1), x.shape


def flatten_backward(dout, cache):
    return dout.reshape(cache)


_r = np.random.RandomState(1)
examples = {
    "conv": {"x": _r.randn(3, 1, 3, 4), "w": _r.randn(2, 1, 3, 3), "b": _r.randn(2)},
    "flatten": {"x": _r.randn(3, 2, 2, 2)},
}
''', "Overlapping windows overwrite each other in dxp; use += .", ["x"], ["missing-term", "unknown"])

_add("coursera_linear_db_file", "Coursera deep learning helper module", r'''
import numpy as np


def sigmoid(Z):
    A = 1 / (1 + np.exp(-Z))
    cache = Z
    return A, cache


def sigmoid_backward(dA, cache):
    Z = cache
    s = 1 / (1 + np.exp(-Z))
    dZ = dA * s * (1 - s)
    assert (dZ.shape == Z.shape)
    return dZ


def linear_forward(A, W, b):
    Z = np.dot(W, A) + b
    cache = (A, W, b)
    return Z, cache


def linear_backward(dZ, cache):
    A_prev, W, b = cache
    m = A_prev.shape[1]
    dW = np.dot(dZ, A_prev.T)
    db = np.sum(dZ, axis=1, keepdims=True) / m
    dA_prev = np.dot(W.T, dZ)
    return dA_prev, dW, db


np.random.seed(1)
examples = {
    "sigmoid": {"Z": np.random.randn(3, 4)},
    "linear": {"A": np.random.randn(3, 5), "W": np.random.randn(2, 3), "b": np.random.randn(2, 1)},
}
''', "db is divided by m although dW is not and the forward does no averaging; drop / m.", ["b"], ["factor"])

_add("lstm_step_file", "Coursera sequence models, LSTM cell", r'''
import numpy as np


def sig(x):
    return 1.0 / (1.0 + np.exp(-x))


def lstm_step_forward(x, h_prev, c_prev, Wx, Wh, b):
    H = h_prev.shape[1]
    a = x @ Wx + h_prev @ Wh + b
    i = sig(a[:, :H]); f = sig(a[:, H:2*H]); o = sig(a[:, 2*H:3*H]); g = np.tanh(a[:, 3*H:])
    c = f * c_prev + i * g
    h = o * np.tanh(c)
    return h, (x, h_prev, c_prev, Wx, Wh, i, f, o, g, c)


def lstm_step_backward(dh, cache):
    x, h_prev, c_prev, Wx, Wh, i, f, o, g, c = cache
    tc = np.tanh(c)
    do = dh * tc
    dc = dh * o * (1 - tc ** 2)
    di = dc * g
    dg = dc * i
    df = dc * c_prev
    dc_prev = dc * i
    da = np.hstack([di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g ** 2)])
    return da @ Wx.T, da @ Wh.T, dc_prev, x.T @ da, h_prev.T @ da, da.sum(axis=0)


def tanh_forward(x):
    t = np.tanh(x)
    return t, t


def tanh_backward(dout, cache):
    return dout * (1 - cache ** 2)


_r = np.random.RandomState(2)
examples = {
    "lstm_step": {"x": _r.randn(3, 3), "h_prev": _r.randn(3, 2), "c_prev": _r.randn(3, 2),
                  "Wx": _r.randn(3, 8), "Wh": _r.randn(2, 8), "b": _r.randn(8)},
    "tanh": {"x": _r.randn(3, 3)},
}
''', "dc_prev is dc times the input gate; it should be dc * f.", ["c_prev"], ["elementwise-factor"])

_add("rnn_cell_file", "Coursera sequence models, RNN cell, columns are examples", r'''
import numpy as np


def rnn_cell_forward(xt, a_prev, Wax, Waa, ba):
    a_next = np.tanh(np.dot(Waa, a_prev) + np.dot(Wax, xt) + ba)
    cache = (a_next, a_prev, xt, Wax, Waa)
    return a_next, cache


def rnn_cell_backward(da_next, cache):
    (a_next, a_prev, xt, Wax, Waa) = cache
    dtanh = (1 - a_next ** 2) * da_next
    dxt = np.dot(Wax.T, dtanh)
    dWax = np.dot(dtanh, xt.T)
    da_prev = np.dot(Waa, dtanh)
    dWaa = np.dot(dtanh, a_prev.T)
    dba = np.sum(dtanh, axis=1, keepdims=True)
    gradients = {"dxt": dxt, "da_prev": da_prev, "dWax": dWax, "dWaa": dWaa, "dba": dba}
    return gradients


def output_forward(a, Wya, by):
    z = np.dot(Wya, a) + by
    e = np.exp(z - np.max(z, axis=0, keepdims=True))
    y = e / e.sum(axis=0, keepdims=True)
    return y, (a, Wya, y)


def output_backward(dy, cache):
    a, Wya, y = cache
    dz = y * (dy - np.sum(dy * y, axis=0, keepdims=True))
    return {"da": Wya.T @ dz, "dWya": dz @ a.T, "dby": dz.sum(axis=1, keepdims=True)}


np.random.seed(3)
examples = {
    "rnn_cell": {"xt": np.random.randn(2, 4), "a_prev": np.random.randn(3, 4), "Wax": np.random.randn(3, 2),
                 "Waa": np.random.randn(3, 3) * .5, "ba": np.random.randn(3, 1)},
    "output": {"a": np.random.randn(3, 4), "Wya": np.random.randn(2, 3), "by": np.random.randn(2, 1)},
}
''', "da_prev must be Waa.T @ dtanh.", ["a_prev"], ["transpose"])

_add("layernorm_layers_file", "small transformer library, layer classes", r'''
import numpy as np


class Linear:
    def __init__(self, n_in, n_out, seed=0):
        rng = np.random.default_rng(seed)
        self.W = rng.normal(size=(n_in, n_out))
        self.b = rng.normal(size=n_out)

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout):
        self.dW = self.x.T @ dout
        self.db = dout.sum(0)
        return dout @ self.W.T


class LayerNorm:
    def __init__(self, dim, eps=1e-5):
        self.gamma = np.linspace(0.5, 1.5, dim)
        self.beta = np.linspace(-1, 1, dim)
        self.eps = eps

    def forward(self, x):
        self.x = x
        self.mean = x.mean(-1, keepdims=True)
        self.inv = 1 / np.sqrt(x.var(-1, keepdims=True) + self.eps)
        self.xhat = (x - self.mean) * self.inv
        return self.gamma * self.xhat + self.beta

    def backward(self, dout):
        self.dgamma = (dout * (self.x - self.mean)).sum(0)
        self.dbeta = dout.sum(0)
        g = dout * self.gamma
        return self.inv * (g - g.mean(-1, keepdims=True) - self.xhat * (g * self.xhat).mean(-1, keepdims=True))


_r = np.random.RandomState(4)
examples = {
    "Linear": {"init": {"n_in": 3, "n_out": 2}, "x": _r.randn(4, 3)},
    "LayerNorm": {"init": {"dim": 5}, "x": 3 * _r.randn(4, 5) + 1},
}
''', "dgamma uses x - mean instead of the normalised xhat; multiply by inv.", ["gamma"], ["elementwise-factor"])

_add("dropout_fixed_mask_file", "self-study repo, inverted dropout with given mask", r'''
import numpy as np


def dropout_forward(x, keep):
    """keep: probability that a unit stays"""
    rng = np.random.RandomState(7)
    mask = rng.rand(*x.shape) < keep
    return x * mask / keep, (mask, keep)


def dropout_backward(dout, cache):
    mask, keep = cache
    return dout * mask


def elu_forward(x):
    out = np.where(x > 0, x, np.exp(np.minimum(x, 0)) - 1)
    return out, (x, out)


def elu_backward(dout, cache):
    x, out = cache
    return dout * np.where(x > 0, 1.0, out + 1.0)


def dense_forward(x, w):
    return x.dot(w), (x, w)


def dense_backward(dout, cache):
    x, w = cache
    return dout.dot(w.T), x.T.dot(dout)


_r = np.random.RandomState(5)
examples = {
    "dropout": {"x": _r.randn(4, 6), "keep": 0.6},
    "elu": {"x": _r.randn(4, 3)},
    "dense": {"x": _r.randn(4, 3), "w": _r.randn(3, 2)},
}
''', "The backward forgets the division by keep.", ["x"], ["factor"])

_add("nnfs_softmax_file", "nnfs book", r'''
import numpy as np


class Layer_Dense:
    def __init__(self, n_inputs, n_neurons):
        rnd = np.random.RandomState(0)
        self.weights = 0.5 * rnd.randn(n_inputs, n_neurons)
        self.biases = 0.1 * rnd.randn(1, n_neurons)

    def forward(self, inputs):
        self.inputs = inputs
        self.output = np.dot(inputs, self.weights) + self.biases
        return self.output

    def backward(self, dvalues):
        self.dweights = np.dot(self.inputs.T, dvalues)
        self.dbiases = np.sum(dvalues, axis=0, keepdims=True)
        self.dinputs = np.dot(dvalues, self.weights.T)
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


class Activation_Softmax:
    def forward(self, x):
        e = np.exp(x - np.max(x, axis=1, keepdims=True))
        self.output = e / np.sum(e, axis=1, keepdims=True)
        return self.output

    def backward(self, dvalues):
        self.dinputs = dvalues * self.output * (1 - self.output)
        return self.dinputs


_r = np.random.RandomState(6)
examples = {
    "Layer_Dense": {"init": {"n_inputs": 3, "n_neurons": 4}, "x": _r.randn(5, 3)},
    "Activation_ReLU": {"init": {}, "x": _r.randn(5, 3)},
    "Activation_Softmax": {"init": {}, "x": _r.randn(5, 3)},
}
''', "Only the diagonal of the softmax Jacobian is used; y * (d - sum(d*y)).", ["x"], ["missing-term"])

_add("losses_bce_file", "Italian university exercise, loss functions", r'''
import numpy as np


def errore_quadratico_forward(y, t):
    diff = y - t
    return 0.5 * np.mean(np.sum(diff ** 2, axis=1)), diff


def errore_quadratico_backward(dout, cache):
    diff = cache
    n = diff.shape[0]
    return dout * diff / n, -dout * diff / n


def entropia_forward(p, t):
    n = p.shape[0]
    L = -np.sum(t * np.log(p) + (1 - t) * np.log(1 - p)) / p.size
    return L, (p, t, n)


def entropia_backward(dout, cache):
    p, t, n = cache
    dp = dout * ((1 - t) / (1 - p) - t / p) / n
    dt = dout * (np.log(1 - p) - np.log(p)) / p.size
    return dp, dt


_r = np.random.RandomState(7)
examples = {
    "errore_quadratico": {"y": _r.randn(4, 3), "t": _r.randn(4, 3)},
    "entropia": {"p": _r.uniform(.1, .9, (4, 3)), "t": _r.uniform(.1, .9, (4, 3))},
}
''', "dp is divided by the rows only; the mean runs over all entries, divide by p.size.", ["p"], ["factor"])

_add("fastai_general_relu_file", "fast.ai part 2 notebook module", r'''
import numpy as np


class GeneralRelu:
    def __init__(self, leak=0.1, sub=0.4):
        self.leak, self.sub = leak, sub

    def forward(self, x):
        self.inp = x
        self.out = np.where(x > 0, x, x * self.leak) - self.sub
        return self.out

    def backward(self, g):
        return np.where(self.out > 0, 1., self.leak) * g


class Lin:
    def __init__(self, ni, nh):
        r = np.random.RandomState(42)
        self.w = r.randn(ni, nh) / np.sqrt(ni)
        self.b = np.zeros(nh)

    def forward(self, inp):
        self.inp = inp
        return inp @ self.w + self.b

    def backward(self, g):
        self.dw = (self.inp[:, :, None] * g[:, None, :]).sum(0)
        self.db = g.sum(0)
        return g @ self.w.T


_x = np.linspace(-1.0, 1.5, 20).reshape(4, 5)
examples = {"GeneralRelu": {"init": {"leak": 0.1, "sub": 0.4}, "x": _x},
            "Lin": {"init": {"ni": 5, "nh": 3}, "x": _x}}
''', "The mask is taken from the shifted output; it should be from self.inp > 0.", ["x"], ["elementwise-factor"])

_add("highway_file", "NLP self-study, highway network", r'''
import numpy as np


def _sigm(a):
    return 0.5 * (1 + np.tanh(0.5 * a))


def highway_forward(x, Wh, bh, Wt, bt):
    h = np.tanh(x @ Wh + bh)
    t = _sigm(x @ Wt + bt)
    y = t * h + (1 - t) * x
    return y, (x, Wh, Wt, h, t)


def highway_backward(dy, cache):
    x, Wh, Wt, h, t = cache
    dah = dy * t * (1 - h * h)
    dat = dy * (h - x) * t * (1 - t)
    dx = dah @ Wh.T + dat @ Wt.T
    return dict(x=dx, Wh=x.T @ dah, bh=dah.sum(0), Wt=x.T @ dat, bt=dat.sum(0))


def mean_pool_forward(x):
    return x.mean(axis=1), x.shape


def mean_pool_backward(dy, cache):
    B, T, D = cache
    return np.repeat(dy[:, None, :], T, axis=1) / T


_r = np.random.RandomState(8)
examples = {"highway": dict(x=_r.randn(4, 3), Wh=_r.randn(3, 3), bh=_r.randn(3), Wt=_r.randn(3, 3), bt=_r.randn(3)),
            "mean_pool": dict(x=_r.randn(3, 4, 2))}
''', "The carry path (1 - t) * dy is missing in dx.", ["x"], ["missing-term"])

_add("gru_file", "udacity-like recurrent cells", r'''
import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gru_forward(x, h, Wz, Wr, Wc, Uz, Ur, Uc):
    z = sigmoid(x @ Wz + h @ Uz)
    r = sigmoid(x @ Wr + h @ Ur)
    c = np.tanh(x @ Wc + (r * h) @ Uc)
    h_new = (1 - z) * h + z * c
    return h_new, (x, h, Wz, Wr, Wc, Uz, Ur, Uc, z, r, c)


def gru_backward(dout, cache):
    x, h, Wz, Wr, Wc, Uz, Ur, Uc, z, r, c = cache
    dz = dout * (c - h) * z * (1 - z)
    dc = dout * z * (1 - c ** 2)
    drh = dc @ Uc.T
    dr = drh * h * r * (1 - r)
    dx = dz @ Wz.T + dr @ Wr.T + dc @ Wc.T
    dh = dout * (1 - z) + dz @ Uz.T + dr @ Ur.T
    return (dx, dh, x.T @ dz, x.T @ dr, x.T @ dc, h.T @ dz, h.T @ dr, (r * h).T @ dc)


def softsign_forward(x):
    return x / (1 + np.abs(x)), x


def softsign_backward(dout, x):
    return dout / (1 + np.abs(x)) ** 2


_r = np.random.RandomState(9)
examples = {"gru": {"x": _r.randn(4, 2), "h": _r.randn(4, 3), "Wz": _r.randn(2, 3), "Wr": _r.randn(2, 3), "Wc": _r.randn(2, 3),
                    "Uz": _r.randn(3, 3), "Ur": _r.randn(3, 3), "Uc": _r.randn(3, 3)},
            "softsign": {"x": _r.randn(3, 4)}}
''', "dh lacks the path through r * h: add drh * r.", ["h"], ["missing-term"])

_add("embedding_file", "Deep Learning from Scratch (Japanese) style", r'''
import numpy as np


class Embedding:
    def __init__(self, idx):
        self.params = {"W": np.random.RandomState(1).randn(5, 3)}
        self.grads = {}
        self.idx = np.asarray(idx)

    def forward(self, x):
        # token vectors plus the features x
        return self.params["W"][self.idx] + x

    def backward(self, dout):
        dW = np.zeros_like(self.params["W"])
        dW[self.idx] += dout
        self.grads["W"] = dW
        return dout


class Affine:
    def __init__(self, n, m):
        r = np.random.RandomState(2)
        self.params = {"W": r.randn(n, m), "b": r.randn(m)}
        self.grads = {}

    def forward(self, x):
        self.x = x
        return np.dot(x, self.params["W"]) + self.params["b"]

    def backward(self, dout):
        self.grads["W"] = np.dot(self.x.T, dout)
        self.grads["b"] = np.sum(dout, axis=0)
        return np.dot(dout, self.params["W"].T)


_r = np.random.RandomState(3)
examples = {"Embedding": {"init": {"idx": [0, 2, 2, 4]}, "x": _r.randn(4, 3)},
            "Affine": {"init": {"n": 3, "m": 2}, "x": _r.randn(4, 3)}}
''', "Repeated indices are written once only by dW[idx] += ; use np.add.at.", ["W"], ["missing-term", "batch-sum"])

_add("word2vec_file", "CS224n-like word2vec", r'''
import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def neg_sampling_forward(v, u_o, U_neg):
    """v (D,), u_o (D,), U_neg (K, D)"""
    loss = -np.log(sigmoid(u_o @ v)) - np.sum(np.log(sigmoid(-U_neg @ v)))
    return loss, (v, u_o, U_neg)


def neg_sampling_backward(dloss, cache):
    v, u_o, U_neg = cache
    po = sigmoid(u_o @ v)
    pn = sigmoid(U_neg @ v)
    dv = (po - 1) * u_o + U_neg.T @ pn
    du_o = (po - 1) * v
    dU = -np.outer(pn, v)
    return dloss * dv, dloss * du_o, dloss * dU


def naive_softmax_forward(v, U):
    s = U @ v
    s = s - s.max()
    logZ = np.log(np.exp(s).sum())
    return logZ - s[1], (v, U, np.exp(s - logZ))


def naive_softmax_backward(dloss, cache):
    v, U, p = cache
    d = p.copy()
    d[1] -= 1
    return dloss * (U.T @ d), dloss * np.outer(d, v)


_r = np.random.RandomState(10)
examples = {"neg_sampling": {"v": _r.randn(4), "u_o": _r.randn(4), "U_neg": _r.randn(3, 4)},
            "naive_softmax": {"v": _r.randn(4), "U": _r.randn(5, 4)}}
''', "The gradient of the negative vectors has the wrong sign; + outer(pn, v).", ["U_neg"], ["sign"])

_add("attention_file", "small transformer from scratch", r'''
import numpy as np


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def attention_forward(Q, K, V):
    scale = 1.0 / np.sqrt(Q.shape[-1])
    P = softmax(Q @ K.T * scale)
    return P @ V, (Q, K, V, P, scale)


def attention_backward(dO, cache):
    Q, K, V, P, scale = cache
    dV = P.T @ dO
    dP = dO @ V.T
    dS = P * (dP - (dP * P).sum(-1, keepdims=True))
    dQ = dS @ K * scale
    dK = dS.T @ Q
    return dQ, dK, dV


def ffn_forward(x, W1, W2):
    h = x @ W1
    a = np.maximum(h, 0)
    return x + a @ W2, (x, W1, W2, h, a)


def ffn_backward(dy, cache):
    x, W1, W2, h, a = cache
    dh = (dy @ W2.T) * (h > 0)
    return dy + dh @ W1.T, x.T @ dh, a.T @ dy


_r = np.random.RandomState(11)
examples = {"attention": {"Q": _r.randn(3, 4), "K": _r.randn(5, 4), "V": _r.randn(5, 2)},
            "ffn": {"x": _r.randn(3, 3), "W1": _r.randn(3, 4), "W2": _r.randn(4, 3)}}
''', "dK lacks the scale 1/sqrt(d).", ["K"], ["factor"])

_add("prelu_file", "French university TP, couches", r'''
import numpy as np


class PReLU:
    def __init__(self, canaux):
        self.alpha = np.linspace(0.1, 0.4, canaux)

    def forward(self, x):
        self.x = x
        return np.where(x > 0, x, self.alpha * x)

    def backward(self, dout):
        x = self.x
        self.grad_alpha = np.sum(dout * (x <= 0), axis=0)
        return dout * np.where(x > 0, 1.0, self.alpha)


class Couche:
    def __init__(self, entree, sortie):
        g = np.random.RandomState(5)
        self.W = g.randn(sortie, entree)
        self.b = g.randn(sortie)

    def forward(self, x):
        self.x = x
        return x @ self.W.T + self.b

    def backward(self, dout):
        self.grad_W = dout.T @ self.x
        self.grad_b = dout.sum(axis=0)
        return dout @ self.W


_r = np.random.RandomState(12)
examples = {"PReLU": {"init": {"canaux": 4}, "x": _r.randn(5, 4)},
            "Couche": {"init": {"entree": 4, "sortie": 3}, "x": _r.randn(5, 4)}}
''', "The slope gradient misses the factor x: sum(dout * x * (x <= 0)).", ["alpha"], ["elementwise-factor"])

_add("avgpool_file", "pooling layers of a hobby CNN", r'''
import numpy as np


class AvgPool2x2:
    def forward(self, x):
        N, C, H, W = x.shape
        self.shape = x.shape
        return x.reshape(N, C, H // 2, 2, W // 2, 2).mean(axis=(3, 5))

    def backward(self, dout):
        return dout.repeat(2, axis=2).repeat(2, axis=3) / 2


class MaxPool2x2:
    def forward(self, x):
        N, C, H, W = x.shape
        xr = x.reshape(N, C, H // 2, 2, W // 2, 2)
        out = xr.max(axis=(3, 5))
        self.mask = (xr == out[:, :, :, None, :, None])
        self.shape = x.shape
        return out

    def backward(self, dout):
        return (self.mask * dout[:, :, :, None, :, None]).reshape(self.shape)


class Upsample2:
    def forward(self, x):
        return x.repeat(2, axis=2).repeat(2, axis=3)

    def backward(self, dout):
        return dout[:, :, ::2, ::2] + dout[:, :, 1::2, ::2] + dout[:, :, ::2, 1::2] + dout[:, :, 1::2, 1::2]


_r = np.random.RandomState(13)
examples = {"AvgPool2x2": {"init": {}, "x": _r.randn(2, 1, 4, 4)},
            "MaxPool2x2": {"init": {}, "x": _r.randn(2, 1, 4, 4)},
            "Upsample2": {"init": {}, "x": _r.randn(3, 1, 2, 2)}}
''', "A window has 4 entries; divide by 4, not by 2.", ["x"], ["factor"])

_add("cosine_file", "metric learning research code", r'''
import numpy as np


def cosine_forward(a, b):
    na = np.sqrt((a * a).sum(1, keepdims=True))
    nb = np.sqrt((b * b).sum(1, keepdims=True))
    ua, ub = a / na, b / nb
    return (ua * ub).sum(1), (ua, ub, na, nb)


def cosine_backward(dout, cache):
    ua, ub, na, nb = cache
    s = (ua * ub).sum(1, keepdims=True)
    g = dout[:, None]
    da = g * (ub - s * ua) / na
    db = g * (ua - s * ub) / na
    return {"a": da, "b": db}


def sqdist_forward(a, b):
    d = a - b
    return (d ** 2).sum(1), d


def sqdist_backward(dout, d):
    g = 2 * d * dout[:, None]
    return {"a": g, "b": -g}


_r = np.random.RandomState(14)
examples = {"cosine": {"a": _r.randn(4, 3), "b": 2 * _r.randn(4, 3)},
            "sqdist": {"a": _r.randn(4, 3), "b": _r.randn(4, 3)}}
''', "db is divided by the norm of a; it should be nb.", ["b"], ["elementwise-factor"])

_add("channel_scale_file", "spatial layers built on row-wise ones, CS231n-like", r'''
import numpy as np


def rownorm_forward(x, gamma):
    mu = x.mean(0)
    xc = x - mu
    inv = 1 / np.sqrt((xc ** 2).mean(0) + 1e-5)
    xh = xc * inv
    return xh * gamma, (xh, inv, gamma)


def rownorm_backward(dout, cache):
    xh, inv, gamma = cache
    n = dout.shape[0]
    dgamma = (dout * xh).sum(0)
    dx = gamma * inv / n * (n * dout - dout.sum(0) - xh * dgamma)
    return dx, dgamma


def spatialnorm_forward(x, gamma):
    N, C, H, W = x.shape
    flat = x.transpose(0, 2, 3, 1).reshape(-1, C)
    out, cache = rownorm_forward(flat, gamma)
    return out.reshape(N, H, W, C).transpose(0, 3, 1, 2), cache


def spatialnorm_backward(dout, cache):
    N, C, H, W = dout.shape
    dflat = dout.transpose(0, 2, 3, 1).reshape(-1, C)
    dx, dgamma = rownorm_backward(dflat, cache)
    return dx.reshape(N, C, H, W), dgamma


_r = np.random.RandomState(15)
examples = {"rownorm": {"x": _r.randn(5, 3), "gamma": _r.rand(3) + .5},
            "spatialnorm": {"x": _r.randn(3, 2, 2, 3), "gamma": _r.rand(2) + .5}}
''', "dx is reshaped straight to NCHW; reshape to N,H,W,C and then transpose(0,3,1,2).", ["x"], ["transpose", "shape"])

_add("label_smoothing_file", "classification heads, small library", r'''
import numpy as np

LABELS = np.array([0, 2, 1, 2])
SMOOTH = 0.2


def smooth_ce_forward(logits):
    n, k = logits.shape
    z = logits - logits.max(axis=1, keepdims=True)
    logp = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    q = np.full((n, k), SMOOTH / k)
    q[np.arange(n), LABELS] += 1 - SMOOTH
    return -(q * logp).sum() / n, logp


def smooth_ce_backward(dloss, logp):
    n = logp.shape[0]
    d = np.exp(logp)
    d[np.arange(n), LABELS] -= 1
    return dloss * d / n


def log_softmax_forward(x):
    m = x.max(axis=1, keepdims=True)
    out = x - m - np.log(np.exp(x - m).sum(axis=1, keepdims=True))
    return out, out


def log_softmax_backward(dout, out):
    return dout - np.exp(out) * dout.sum(axis=1, keepdims=True)


_r = np.random.RandomState(16)
examples = {"smooth_ce": {"logits": _r.randn(4, 3)}, "log_softmax": {"x": _r.randn(4, 3)}}
''', "The backward uses hard labels; subtract the smoothed q instead.", ["logits"], ["missing-term", "elementwise-factor"])

_add("svm_hinge_file", "CS231n assignment 1", r'''
import numpy as np

y = np.array([1, 0, 3, 2, 1])


def svm_loss_forward(scores):
    n = scores.shape[0]
    correct = scores[np.arange(n), y][:, None]
    margins = np.maximum(0, scores - correct + 1)
    margins[np.arange(n), y] = 0
    return margins.sum() / n, margins


def svm_loss_backward(dloss, margins):
    n = margins.shape[0]
    ds = (margins > 0).astype(float)
    ds[np.arange(n), y] -= 1
    return dloss * ds / n


def linear_scores_forward(X, W):
    return X.dot(W), (X, W)


def linear_scores_backward(dscores, cache):
    X, W = cache
    return dscores.dot(W.T), X.T.dot(dscores)


_r = np.random.RandomState(17)
examples = {"svm_loss": {"scores": _r.randn(5, 4)},
            "linear_scores": {"X": _r.randn(5, 3), "W": _r.randn(3, 4)}}
''', "The entry of the right class must lose the number of positive margins, not 1.", ["scores"], ["missing-term", "elementwise-factor"])

_add("bilinear_file", "knowledge-graph embeddings, einsum", r'''
import numpy as np


def bilinear_forward(x1, W, x2):
    return np.einsum('bi,kij,bj->bk', x1, W, x2), (x1, W, x2)


def bilinear_backward(dout, cache):
    x1, W, x2 = cache
    dx1 = np.einsum('bk,kij,bj->bi', dout, W, x2)
    dW = np.einsum('bk,bi,bj->kij', dout, x1, x2)
    dx2 = np.einsum('bk,kij,bj->bi', dout, W, x1)
    return dx1, dW, dx2


def distmult_forward(h, r, t):
    return np.einsum('bi,i,bi->b', h, r, t), (h, r, t)


def distmult_backward(dout, cache):
    h, r, t = cache
    d = dout[:, None]
    return d * r * t, (d * h * t).sum(0), d * h * r


_r = np.random.RandomState(18)
examples = {"bilinear": {"x1": _r.randn(4, 3), "W": _r.randn(2, 3, 3), "x2": _r.randn(4, 3)},
            "distmult": {"h": _r.randn(4, 3), "r": _r.randn(3), "t": _r.randn(4, 3)}}
''', "dx2 contracts the wrong index of W; 'bk,kij,bi->bj'.", ["x2"], ["transpose"])

_add("swish_file", "activation zoo", r'''
import numpy as np


def sigmoid(x):
    out = 1 / (1 + np.exp(-x))
    return out, out


def sigmoid_backward(dout, out):
    return dout * out * (1 - out)


def swish(x, beta):
    s = 1 / (1 + np.exp(-beta * x))
    return x * s, (x, beta, s)


def swish_backward(dout, cache):
    x, beta, s = cache
    dx = dout * (s + x * s * (1 - s))
    dbeta = (dout * x * x * s * (1 - s)).sum(axis=0)
    return dx, dbeta


def softplus(x):
    return np.logaddexp(0, x), x


def softplus_backward(dout, x):
    return dout / (1 + np.exp(-x))


def mish(x):
    t = np.tanh(np.logaddexp(0, x))
    return x * t, (x, t)


def mish_backward(dout, cache):
    x, t = cache
    return dout * (t + x * (1 - t * t) / (1 + np.exp(-x)))


_r = np.random.RandomState(19)
examples = {"sigmoid": {"x": _r.randn(3, 3)}, "swish": {"x": _r.randn(4, 3), "beta": np.array([.5, 1.7, 2.5])},
            "softplus": {"x": _r.randn(3, 4)}, "mish": {"x": _r.randn(3, 4)}}
''', "The inner derivative beta is missing in the second term of dx.", ["x"],
     ["missing-term", "elementwise-factor"])

_add("conv1d_file", "audio hobby project, 1-d convolution", r'''
import numpy as np


class Conv1D:
    def __init__(self, cin, cout, k):
        r = np.random.RandomState(0)
        self.W = r.randn(k, cin, cout)
        self.b = r.randn(cout)

    def forward(self, x):
        self.x = x
        k = self.W.shape[0]
        T = x.shape[1] - k + 1
        out = np.zeros((x.shape[0], T, self.W.shape[2])) + self.b
        for j in range(k):
            out += x[:, j:j + T] @ self.W[j]
        return out

    def backward(self, dout):
        k = self.W.shape[0]
        T = dout.shape[1]
        self.dW = np.zeros_like(self.W)
        self.db = dout.sum(axis=(0, 1))
        dx = np.zeros_like(self.x)
        for n in range(len(self.x)):
            for j in range(k):
                self.dW[j] = self.x[n, j:j + T].T @ dout[n]
                dx[n, j:j + T] += dout[n] @ self.W[j].T
        return dx


class GlobalMax:
    def forward(self, x):
        self.shape = x.shape
        self.idx = x.argmax(axis=1)
        return x.max(axis=1)

    def backward(self, dout):
        dx = np.zeros(self.shape)
        np.put_along_axis(dx, self.idx[:, None, :], dout[:, None, :], axis=1)
        return dx


_r = np.random.RandomState(20)
examples = {"Conv1D": {"init": {"cin": 2, "cout": 3, "k": 3}, "x": _r.randn(3, 6, 2)},
            "GlobalMax": {"init": {}, "x": _r.randn(3, 5, 2)}}
''', "dW[j] is overwritten for each sample; use +=.", ["W"], ["batch-sum", "missing-term"])

# ------------------------------------------------------------------ right
_add("ok_inplace_relu_file", "nnfs-like with own buffers", r'''
import numpy as np


class Relu6:
    def forward(self, x):
        self.mask = (x > 0) & (x < 6)
        return np.clip(x, 0, 6)

    def backward(self, dout):
        d = np.array(dout)
        d *= self.mask
        return d


class Dense:
    def __init__(self, n, m):
        r = np.random.RandomState(3)
        self.W, self.b = r.randn(n, m), np.zeros((1, m))
        self.dW, self.db = np.empty((n, m)), np.empty((1, m))

    def forward(self, x):
        self._x = x
        out = x @ self.W
        out += self.b
        return out

    def backward(self, dout):
        np.matmul(self._x.T, dout, out=self.dW)
        np.sum(dout, axis=0, keepdims=True, out=self.db)
        return dout @ self.W.T


_r = np.random.RandomState(1)
examples = {"Relu6": {"init": {}, "x": 5 * _r.randn(4, 4)}, "Dense": {"init": {"n": 3, "m": 2}, "x": _r.randn(4, 3)}}
''')

_add("ok_columns_file", "Coursera-like, columns are examples, cost with 1/m", r'''
import numpy as np


def linear_forward(A, W, b):
    return W @ A + b, (A, W)


def linear_backward(dZ, cache):
    A, W = cache
    return {"dA": W.T @ dZ, "dW": dZ @ A.T, "db": dZ.sum(axis=1, keepdims=True)}


def cost_forward(AL):
    Y = np.array([[1, 0, 1, 1]])
    m = Y.shape[1]
    return float(-np.sum(Y * np.log(AL) + (1 - Y) * np.log(1 - AL)) / m), (AL, Y)


def cost_backward(dcost, cache):
    AL, Y = cache
    return {"dAL": -dcost * (np.divide(Y, AL) - np.divide(1 - Y, 1 - AL)) / Y.shape[1]}


_r = np.random.RandomState(2)
examples = {"linear": {"A": _r.randn(3, 4), "W": _r.randn(2, 3), "b": _r.randn(2, 1)},
            "cost": {"AL": _r.uniform(.1, .9, (1, 4))}}
''')

_add("ok_rnn_sequence_file", "CS231n rnn_layers", r'''
import numpy as np


def rnn_forward(x, h0, Wx, Wh, b):
    N, T, D = x.shape
    h = np.empty((N, T, h0.shape[1]))
    prev = h0
    for t in range(T):
        prev = np.tanh(x[:, t] @ Wx + prev @ Wh + b)
        h[:, t] = prev
    return h, (x, h0, Wx, Wh, h)


def rnn_backward(dh, cache):
    x, h0, Wx, Wh, h = cache
    dx, dWx, dWh = np.zeros_like(x), np.zeros_like(Wx), np.zeros_like(Wh)
    db = np.zeros(Wh.shape[1])
    carry = 0
    for t in reversed(range(x.shape[1])):
        da = (dh[:, t] + carry) * (1 - h[:, t] ** 2)
        prev = h[:, t - 1] if t else h0
        dx[:, t] = da @ Wx.T
        dWx += x[:, t].T @ da
        dWh += prev.T @ da
        db += da.sum(0)
        carry = da @ Wh.T
    return dx, carry, dWx, dWh, db


_r = np.random.RandomState(3)
examples = {"rnn": {"x": _r.randn(3, 4, 2), "h0": _r.randn(3, 3), "Wx": _r.randn(2, 3), "Wh": _r.randn(3, 3) * .5, "b": _r.randn(3)}}
''')

_add("ok_gelu_rms_file", "llm.c-like port to NumPy", r'''
import numpy as np

K = np.sqrt(2 / np.pi)


def gelu_forward(x):
    t = np.tanh(K * (x + 0.044715 * x ** 3))
    return 0.5 * x * (1 + t), (x, t)


def gelu_backward(dout, cache):
    x, t = cache
    return dout * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * K * (1 + 3 * 0.044715 * x ** 2))


def rmsnorm_forward(x, w):
    r = 1 / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-6)
    return x * r * w, (x, w, r)


def rmsnorm_backward(dout, cache):
    x, w, r = cache
    g = dout * w
    dx = r * g - x * r ** 3 * (g * x).mean(-1, keepdims=True)
    return dx, (dout * x * r).sum(axis=tuple(range(x.ndim - 1)))


def swiglu_forward(a, b):
    s = 1 / (1 + np.exp(-a))
    return a * s * b, (a, b, s)


def swiglu_backward(dout, cache):
    a, b, s = cache
    return dout * b * s * (1 + a * (1 - s)), dout * a * s


_r = np.random.RandomState(4)
examples = {"gelu": {"x": _r.randn(3, 4)}, "rmsnorm": {"x": _r.randn(3, 2, 4), "w": _r.randn(4)},
            "swiglu": {"a": _r.randn(3, 4), "b": _r.randn(3, 4)}}
''')

_add("ok_causal_attention_file", "minGPT-like", r'''
import numpy as np


def causal_forward(q, k, v):
    T, d = q.shape[1:]
    s = np.einsum('btd,bsd->bts', q, k) / np.sqrt(d)
    s = np.where(np.tril(np.ones((T, T), bool)), s, -np.inf)
    p = np.exp(s - s.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    return p @ v, (q, k, v, p)


def causal_backward(dy, cache):
    q, k, v, p = cache
    dp = dy @ v.transpose(0, 2, 1)
    ds = p * (dp - (dp * p).sum(-1, keepdims=True)) / np.sqrt(q.shape[-1])
    return ds @ k, ds.transpose(0, 2, 1) @ q, p.transpose(0, 2, 1) @ dy


def residual_forward(x, f):
    return x + f, None


def residual_backward(dy, cache):
    return dy, dy.copy()


_r = np.random.RandomState(5)
examples = {"causal": {"q": _r.randn(3, 4, 2), "k": _r.randn(3, 4, 2), "v": _r.randn(3, 4, 2)},
            "residual": {"x": _r.randn(3, 2), "f": _r.randn(3, 2)}}
''')

_add("ok_im2col_file", "Japanese textbook, im2col", r'''
import numpy as np


class Convolution:
    def __init__(self, fn, c, fh, fw, stride=2):
        r = np.random.RandomState(8)
        self.W = r.randn(fn, c, fh, fw)
        self.b = r.randn(fn)
        self.stride = stride

    def forward(self, x):
        FN, C, FH, FW = self.W.shape
        N, C, H, W = x.shape
        s = self.stride
        oh, ow = (H - FH) // s + 1, (W - FW) // s + 1
        col = np.zeros((N, C, FH, FW, oh, ow))
        for i in range(FH):
            for j in range(FW):
                col[:, :, i, j] = x[:, :, i:i + s * oh:s, j:j + s * ow:s]
        self.col = col.transpose(0, 4, 5, 1, 2, 3).reshape(N * oh * ow, -1)
        self.x_shape, self.o = x.shape, (oh, ow)
        out = self.col @ self.W.reshape(FN, -1).T + self.b
        return out.reshape(N, oh, ow, -1).transpose(0, 3, 1, 2)

    def backward(self, dout):
        FN, C, FH, FW = self.W.shape
        N = dout.shape[0]
        s = self.stride
        oh, ow = self.o
        d = dout.transpose(0, 2, 3, 1).reshape(-1, FN)
        self.db = d.sum(axis=0)
        self.dW = (self.col.T @ d).T.reshape(FN, C, FH, FW)
        dcol = (d @ self.W.reshape(FN, -1)).reshape(N, oh, ow, C, FH, FW).transpose(0, 3, 4, 5, 1, 2)
        dx = np.zeros(self.x_shape)
        for i in range(FH):
            for j in range(FW):
                dx[:, :, i:i + s * oh:s, j:j + s * ow:s] += dcol[:, :, i, j]
        return dx


_r = np.random.RandomState(6)
examples = {"Convolution": {"init": {"fn": 2, "c": 1, "fh": 3, "fw": 2}, "x": _r.randn(2, 1, 5, 4)}}
''')

_add("ok_tied_autoencoder_file", "tied weights autoencoder, Spanish course", r'''
import numpy as np


class AutoencoderAtado:
    """el decodificador usa W transpuesta"""

    def __init__(self, n, h):
        r = np.random.RandomState(9)
        self.params = {"W": r.randn(n, h) * .7, "b": r.randn(h), "c": r.randn(n)}
        self.grads = {}

    def forward(self, x):
        self.x = x
        self.h = np.tanh(x @ self.params["W"] + self.params["b"])
        return self.h @ self.params["W"].T + self.params["c"]

    def backward(self, dout):
        W = self.params["W"]
        da = (dout @ W) * (1 - self.h ** 2)
        self.grads["W"] = self.x.T @ da + dout.T @ self.h
        self.grads["b"] = da.sum(0)
        self.grads["c"] = dout.sum(0)
        return da @ W.T


_r = np.random.RandomState(7)
examples = {"AutoencoderAtado": {"init": {"n": 4, "h": 2}, "x": _r.randn(5, 4)}}
''')

_add("ok_maxout_file", "self-study, kinks", r'''
import numpy as np


def maxout_forward(x, W):
    z = np.einsum('bi,kio->bko', x, W)
    idx = z.argmax(1)
    return z.max(1), (x, W, idx)


def maxout_backward(dout, cache):
    x, W, idx = cache
    sel = (np.arange(W.shape[0])[None, :, None] == idx[:, None, :])
    dz = sel * dout[:, None, :]
    return np.einsum('bko,kio->bi', dz, W), np.einsum('bi,bko->kio', x, dz)


def hardtanh_forward(x):
    return np.clip(x, -1, 1), x


def hardtanh_backward(dout, x):
    return np.where(np.abs(x) < 1, dout, 0.)


def absolute_forward(x):
    return np.abs(x), np.sign(x)


def absolute_backward(dout, s):
    return s * dout


_r = np.random.RandomState(8)
examples = {"maxout": {"x": _r.randn(4, 3), "W": _r.randn(3, 3, 2)},
            "hardtanh": {"x": 1.5 * _r.randn(4, 3)}, "absolute": {"x": _r.randn(3, 3)}}
''')

_add("ok_huber_file", "reinforcement-learning losses", r'''
import numpy as np

ACTIONS = np.array([1, 0, 2, 1])


def huber_forward(q, target):
    d = q[np.arange(4), ACTIONS] - target
    a = np.abs(d)
    loss = np.where(a <= 1, 0.5 * d * d, a - 0.5)
    return loss.mean(), (d, q.shape)


def huber_backward(dloss, cache):
    d, shape = cache
    g = np.clip(d, -1, 1) * dloss / len(d)
    dq = np.zeros(shape)
    dq[np.arange(len(d)), ACTIONS] = g
    return dq, -g


def entropy_forward(logits):
    z = logits - logits.max(1, keepdims=True)
    lp = z - np.log(np.exp(z).sum(1, keepdims=True))
    H = -(np.exp(lp) * lp).sum(1)
    return H, (lp, H)


def entropy_backward(dH, cache):
    lp, H = cache
    return -dH[:, None] * np.exp(lp) * (lp + H[:, None])


def dueling_forward(v, a):
    return v + a - a.mean(axis=1, keepdims=True), None


def dueling_backward(dq, _):
    return dq.sum(axis=1, keepdims=True), dq - dq.mean(axis=1, keepdims=True)


_r = np.random.RandomState(9)
examples = {"huber": {"q": 2 * _r.randn(4, 3), "target": _r.randn(4)}, "entropy": {"logits": _r.randn(4, 3)},
            "dueling": {"v": _r.randn(4, 1), "a": _r.randn(4, 3)}}
''')

_add("ok_gcn_file", "graph networks, small library", r'''
import numpy as np

ADJ = np.array([[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 1], [0, 0, 1, 1.]])
A_HAT = ADJ / np.sqrt(ADJ.sum(0)[:, None] * ADJ.sum(1)[None, :])


class GraphConv:
    def __init__(self, fin, fout):
        self.W = np.random.RandomState(11).randn(fin, fout)

    def forward(self, x):
        self.ax = A_HAT @ x
        self.out = np.tanh(self.ax @ self.W)
        return self.out

    def backward(self, dout):
        d = dout * (1 - self.out ** 2)
        self.grad_W = self.ax.T @ d
        return A_HAT @ (d @ self.W.T)     # A_HAT is symmetric


class SumReadout:
    def forward(self, x):
        self.n = len(x)
        return x.sum(0)

    def backward(self, dout):
        return np.broadcast_to(dout, (self.n,) + dout.shape).copy()


_r = np.random.RandomState(10)
examples = {"GraphConv": {"init": {"fin": 3, "fout": 2}, "x": _r.randn(4, 3)}, "SumReadout": {"init": {}, "x": _r.randn(4, 3)}}
''')

_add("ok_instancenorm_file", "style transfer hobby code", r'''
import numpy as np


def instancenorm_forward(x, g, b):
    m = x.mean((2, 3), keepdims=True)
    s = np.sqrt(x.var((2, 3), keepdims=True) + 1e-5)
    n = (x - m) / s
    return n * g[None, :, None, None] + b[None, :, None, None], (n, s, g)


def instancenorm_backward(dy, cache):
    n, s, g = cache
    dn = dy * g[None, :, None, None]
    ax = (2, 3)
    dx = (dn - dn.mean(ax, keepdims=True) - n * (dn * n).mean(ax, keepdims=True)) / s
    return dx, (dy * n).sum((0, 2, 3)), dy.sum((0, 2, 3))


def gram_forward(f):
    return f @ f.T / f.size, f


def gram_backward(dG, f):
    return (dG + dG.T) @ f / f.size


_r = np.random.RandomState(11)
examples = {"instancenorm": {"x": _r.randn(3, 2, 2, 3), "g": _r.randn(2), "b": _r.randn(2)}, "gram": {"f": _r.randn(3, 5)}}
''')

_add("ok_rbf_file", "German university exercise, RBF network", r'''
import numpy as np


class RBFSchicht:
    def __init__(self, zentren, dim):
        r = np.random.RandomState(12)
        self.C = r.randn(zentren, dim)
        self.log_s = 0.3 * r.randn(zentren)

    def forward(self, x):
        self.diff = x[:, None, :] - self.C[None]
        self.r2 = (self.diff ** 2).sum(-1)
        self.phi = np.exp(-0.5 * self.r2 * np.exp(-2 * self.log_s))
        return self.phi

    def backward(self, dout):
        g = dout * self.phi * np.exp(-2 * self.log_s)
        self.dC = np.einsum('bk,bkd->kd', g, self.diff)
        self.dlog_s = (g * self.r2).sum(0)
        return -np.einsum('bk,bkd->bd', g, self.diff)


_r = np.random.RandomState(12)
examples = {"RBFSchicht": {"init": {"zentren": 3, "dim": 2}, "x": _r.randn(4, 2)}}
''')

_add("ok_array_ops_file", "mini autograd library, array operations", r'''
import numpy as np


def cumsum_forward(x):
    return np.cumsum(x, axis=1), None


def cumsum_backward(dy, _):
    return np.cumsum(dy[:, ::-1], axis=1)[:, ::-1]


def roll_diff_forward(x):
    return x - np.roll(x, 1, axis=1), None


def roll_diff_backward(dy, _):
    return dy - np.roll(dy, -1, axis=1)


def prod_forward(x):
    p = np.prod(x, axis=1)
    return p, (x, p)


def prod_backward(dy, cache):
    x, p = cache
    return (dy * p)[:, None] / x


def concat_forward(a, b):
    return np.concatenate([b, a], axis=1), b.shape[1]


def concat_backward(dy, nb):
    da, db = dy[:, nb:], dy[:, :nb]
    return da, db


def logsumexp_forward(x):
    m = x.max()
    out = m + np.log(np.exp(x - m).sum())
    return out, (x, out)


def logsumexp_backward(dy, cache):
    x, out = cache
    return dy * np.exp(x - out)


_r = np.random.RandomState(13)
examples = {"cumsum": {"x": _r.randn(3, 4)}, "roll_diff": {"x": _r.randn(3, 4)}, "prod": {"x": 1 + _r.rand(3, 4)},
            "concat": {"a": _r.randn(3, 2), "b": _r.randn(3, 1)}, "logsumexp": {"x": 200 + _r.randn(7)}}
''')

_add("ok_fm_file", "recommender systems, factorization machine", r'''
import numpy as np


def fm_forward(x, w0, w, V):
    xv = x @ V
    y = w0 + x @ w + 0.5 * (xv ** 2 - (x ** 2) @ (V ** 2)).sum(1)
    return y, (x, w, V, xv)


def fm_backward(dy, cache):
    x, w, V, xv = cache
    g = dy[:, None]
    dV = x.T @ (g * xv) - V * ((x ** 2).T @ g)
    dx = g * (w + xv @ V.T - x * (V ** 2).sum(1))
    return {"x": dx, "w0": dy.sum(), "w": x.T @ dy, "V": dV}


def bpr_forward(pos, neg):
    d = pos - neg
    return np.logaddexp(0, -d).sum(), d


def bpr_backward(dloss, d):
    g = -dloss / (1 + np.exp(d))
    return {"pos": g, "neg": -g}


_r = np.random.RandomState(14)
examples = {"fm": {"x": _r.randn(4, 3), "w0": np.array(0.3), "w": _r.randn(3), "V": _r.randn(3, 2)},
            "bpr": {"pos": _r.randn(5), "neg": _r.randn(5)}}
''')

_add("ok_weightnorm_file", "ports of framework layers", r'''
import numpy as np


class WeightNormLinear:
    def __init__(self, n, m):
        r = np.random.RandomState(15)
        self.V, self.g = r.randn(n, m), r.rand(m) + 0.5

    def forward(self, x):
        self.x = x
        self.norm = np.sqrt((self.V ** 2).sum(0))
        self.U = self.V / self.norm
        return x @ (self.g * self.U)

    def backward(self, dout):
        dW = self.x.T @ dout
        self.dg = (dW * self.U).sum(0)
        self.dV = self.g / self.norm * (dW - self.U * self.dg)
        return dout @ (self.g * self.U).T


class GLU:
    def forward(self, x):
        self.a, b = np.split(x, 2, axis=-1)
        self.s = 1 / (1 + np.exp(-b))
        return self.a * self.s

    def backward(self, dout):
        return np.concatenate([dout * self.s, dout * self.a * self.s * (1 - self.s)], axis=-1)


_r = np.random.RandomState(15)
examples = {"WeightNormLinear": {"init": {"n": 3, "m": 4}, "x": _r.randn(4, 3)}, "GLU": {"init": {}, "x": _r.randn(3, 6)}}
''')
