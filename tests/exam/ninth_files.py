"""Exam paper: whole module files as students hand them in."""
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
EXAMPLES = {}
WRONG_PAIR = {}
_PRE = "import numpy as _n\n_rng = _n.random.RandomState(3)\n_R = lambda *s: _rng.randn(*s)\n"


def _add(name, style, src, ex, show=False, pair="", slip="", wrong=(), causes=()):
    extra = _PRE + "examples = " + ex.strip() + "\n"
    EXAMPLES[name] = extra
    WRONG_PAIR[name] = pair
    text = src.lstrip() + ("\n\n" + extra if show else "")
    ITEMS.append(Item(name, style, "file", lambda: {"source": text}, not wrong, slip, wrong, causes))


# ------------------------------------------------------------------ wrong
_add("cs_layers_hw2", "CS231n-like layers.py", '''
import numpy as np


def affine_forward(x, w, b):
    """Computes the forward pass for an affine layer."""
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
    return out, x


def relu_backward(dout, cache):
    return dout * (cache > 0)


def batchnorm_forward(x, gamma, beta, eps=1e-5):
    mu = x.mean(axis=0)
    var = x.var(axis=0)
    std = np.sqrt(var + eps)
    xhat = (x - mu) / std
    out = gamma * xhat + beta
    return out, (x, xhat, gamma, std)


def batchnorm_backward(dout, cache):
    x, xhat, gamma, std = cache
    N = x.shape[0]
    dbeta = dout.sum(axis=0)
    dgamma = (dout * x).sum(axis=0)
    dxhat = dout * gamma
    dx = (N * dxhat - dxhat.sum(axis=0) - xhat * (dxhat * xhat).sum(axis=0)) / (N * std)
    return dx, dgamma, dbeta
''', '''{"affine": {"x": _R(4, 3), "w": _R(3, 5), "b": _R(5)}, "relu": {"x": _R(4, 3)},
 "batchnorm": {"x": _R(5, 3), "gamma": _R(3), "beta": _R(3)}}''', False, "batchnorm",
     "dgamma takes the raw x; it must be dout * xhat.", ("gamma",), ("elementwise-factor", "missing-term"))

_add("deep_net_week4", "Coursera-like, columns are examples", '''
import numpy as np


def linear_forward(A, W, b):
    """
    A -- activations from previous layer: (size of previous layer, number of examples)
    """
    Z = np.dot(W, A) + b
    cache = (A, W, b)
    return Z, cache


def linear_backward(dZ, cache):
    A_prev, W, b = cache
    m = A_prev.shape[1]
    dA_prev = np.dot(W.T, dZ)
    dW = 1. / m * np.dot(dZ, A_prev.T)
    db = np.sum(dZ, axis=1, keepdims=True)
    return dA_prev, dW, db


def sigmoid(Z):
    A = 1 / (1 + np.exp(-Z))
    cache = Z
    return A, cache


def sigmoid_backward(dA, cache):
    Z = cache
    s = 1 / (1 + np.exp(-Z))
    dZ = dA * s * (1 - s)
    return dZ


def relu(Z):
    A = np.maximum(0, Z)
    return A, Z


def relu_backward(dA, cache):
    Z = cache
    dZ = np.array(dA, copy=True)
    dZ[Z <= 0] = 0
    return dZ
''', '''{"linear": {"A": _R(3, 5), "W": _R(4, 3), "b": _R(4, 1)}, "sigmoid": {"Z": _R(3, 4)}, "relu": {"Z": _R(3, 4)}}''',
     True, "linear", "dW is divided by m though the forward has no mean (and db has none): drop 1/m.", ("W",), ("factor",))

_add("layernorm_ffn", "transformer self-study repo", '''
import numpy as np


def layer_norm(x, g, b, eps=1e-5):
    m = x.mean(-1, keepdims=True)
    v = ((x - m) ** 2).mean(-1, keepdims=True)
    rstd = 1.0 / np.sqrt(v + eps)
    n = (x - m) * rstd
    return n * g + b, (n, rstd, g)


def layer_norm_backward(dout, cache):
    n, rstd, g = cache
    dn = dout * g
    dx = rstd * (dn - n * (dn * n).mean(-1, keepdims=True))
    dg = (dout * n).reshape(-1, n.shape[-1]).sum(0)
    db = dout.reshape(-1, n.shape[-1]).sum(0)
    return dx, dg, db


def ffn(x, w1, w2):
    h = x @ w1
    a = h * (h > 0)
    return a @ w2, (x, w1, w2, a)


def ffn_backward(dout, cache):
    x, w1, w2, a = cache
    dw2 = a.T @ dout
    dh = (dout @ w2.T) * (a > 0)
    return dh @ w1.T, x.T @ dh, dw2
''', '''{"layer_norm": {"x": _R(4, 5), "g": _R(5), "b": _R(5)}, "ffn": {"x": _R(3, 4), "w1": _R(4, 5), "w2": _R(5, 2)}}''',
     False, "layer_norm", "The mean of dn over the features is not taken off in dx (path through the mean): dn - dn.mean(-1) - ...",
     ("x",), ("missing-term",))

_add("conv_naive_assignment", "CNN assignment with loops", '''
import numpy as np


def conv_forward(x, w, b, stride=1, pad=1):
    N, C, H, W = x.shape
    F, _, HH, WW = w.shape
    xp = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    Ho = 1 + (H + 2 * pad - HH) // stride
    Wo = 1 + (W + 2 * pad - WW) // stride
    out = np.zeros((N, F, Ho, Wo))
    for n in range(N):
        for f in range(F):
            for i in range(Ho):
                for j in range(Wo):
                    hs, ws = i * stride, j * stride
                    out[n, f, i, j] = np.sum(xp[n, :, hs:hs + HH, ws:ws + WW] * w[f]) + b[f]
    return out, (xp, w, b, stride, pad)


def conv_backward(dout, cache):
    xp, w, b, stride, pad = cache
    N, F, Ho, Wo = dout.shape
    HH, WW = w.shape[2:]
    dxp = np.zeros_like(xp)
    dw = np.zeros_like(w)
    db = dout.sum(axis=(0, 2, 3))
    for n in range(N):
        for f in range(F):
            for i in range(Ho):
                for j in range(Wo):
                    hs, ws = i * stride, j * stride
                    dw[f] += dout[n, f, i, j] * xp[n, :, hs:hs + HH, ws:ws + WW]
                    dxp[n, :, hs:hs + HH, ws:ws + WW] = dout[n, f, i, j] * w[f]
    dx = dxp[:, :, pad:-pad, pad:-pad]
    return dx, dw, db


def flatten_forward(x):
    return x.reshape(x.shape[0], -1), x.shape


def flatten_backward(dout, cache):
    return dout.reshape(cache)
''', '''{"conv": {"x": _R(2, 1, 4, 4), "w": _R(2, 1, 3, 3), "b": _R(2)}, "flatten": {"x": _R(3, 2, 2)}}''',
     True, "conv", "dxp is assigned with = where windows overlap; it must add up with +=.", ("x",), ("missing-term", "unknown"))

_add("word_vectors_nlp", "NLP course, embedding lookups", '''
import numpy as np


def embed(W, idx):
    out = W[idx]
    return out, (W.shape, idx)


def embed_backward(dout, cache):
    shape, idx = cache
    dW = np.zeros(shape)
    dW[idx] += dout
    return dW


def mean_pool(e):
    return e.mean(axis=1), e.shape


def mean_pool_backward(dout, cache):
    B, T, D = cache
    return np.repeat(dout[:, None, :], T, axis=1) / T


def score(u, v):
    return np.sum(u * v, axis=1), (u, v)


def score_backward(dout, cache):
    u, v = cache
    return dout[:, None] * v, dout[:, None] * u
''', '''{"embed": {"W": _R(5, 3), "idx": _n.array([1, 0, 1, 4, 1])}, "mean_pool": {"e": _R(2, 3, 4)}, "score": {"u": _R(4, 3), "v": _R(4, 3)}}''',
     True, "embed", "dW[idx] += dout keeps only the last of repeated words; np.add.at(dW, idx, dout).", ("W",), ("missing-term", "batch-sum"))

_add("rnn_layers", "CS231n-like rnn_layers.py", '''
import numpy as np


def rnn_step_forward(x, prev_h, Wx, Wh, b):
    next_h = np.tanh(x.dot(Wx) + prev_h.dot(Wh) + b)
    cache = (x, prev_h, Wx, Wh, next_h)
    return next_h, cache


def rnn_step_backward(dnext_h, cache):
    x, prev_h, Wx, Wh, next_h = cache
    da = dnext_h * (1 - next_h ** 2)
    dx = da.dot(Wx.T)
    dprev_h = da.dot(Wh)
    dWx = x.T.dot(da)
    dWh = prev_h.T.dot(da)
    db = da.sum(axis=0)
    return dx, dprev_h, dWx, dWh, db


def temporal_affine_forward(x, w, b):
    N, T, D = x.shape
    M = b.shape[0]
    out = x.reshape(N * T, D).dot(w).reshape(N, T, M) + b
    return out, (x, w, b, out)


def temporal_affine_backward(dout, cache):
    x, w, b, out = cache
    N, T, D = x.shape
    M = b.shape[0]
    dx = dout.reshape(N * T, M).dot(w.T).reshape(N, T, D)
    dw = dout.reshape(N * T, M).T.dot(x.reshape(N * T, D)).T
    db = dout.sum(axis=(0, 1))
    return dx, dw, db
''', '''{"rnn_step": {"x": _R(4, 3), "prev_h": _R(4, 5), "Wx": _R(3, 5) * .4, "Wh": _R(5, 5) * .4, "b": _R(5)},
 "temporal_affine": {"x": _R(2, 3, 4), "w": _R(4, 2), "b": _R(2)}}''', True, "rnn_step",
     "dprev_h is da.dot(Wh); it must be da.dot(Wh.T).", ("prev_h",), ("transpose",))

_add("lstm_cell_tp", "French university exercise (TP)", '''
import numpy as np


def sigma(z):
    return 1.0 / (1.0 + np.exp(-z))


def cellule_forward(x, h, c, W, U, b):
    """Une etape de LSTM, portes dans l'ordre i, f, o, g."""
    n = h.shape[1]
    a = x @ W + h @ U + b
    i = sigma(a[:, :n])
    f = sigma(a[:, n:2 * n])
    o = sigma(a[:, 2 * n:3 * n])
    g = np.tanh(a[:, 3 * n:])
    c2 = f * c + i * g
    t = np.tanh(c2)
    return o * t, (x, h, c, W, U, i, f, o, g, t)


def cellule_backward(dh2, cache):
    x, h, c, W, U, i, f, o, g, t = cache
    do = dh2 * t
    dc2 = dh2 * o * (1 - t ** 2)
    di = dc2 * g
    df = dc2 * c
    dg = dc2 * i
    dc = dc2
    da = np.hstack([di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g ** 2)])
    return da @ W.T, da @ U.T, dc, x.T @ da, h.T @ da, da.sum(axis=0)


def sortie_forward(h, V):
    return h @ V, (h, V)


def sortie_backward(dy, cache):
    h, V = cache
    return dy @ V.T, h.T @ dy
''', '''{"cellule": {"x": _R(3, 2), "h": _R(3, 2), "c": _R(3, 2), "W": _R(2, 8), "U": _R(2, 8), "b": _R(8)}, "sortie": {"h": _R(3, 2), "V": _R(2, 4)}}''',
     True, "cellule", "The gradient to the old cell is dc2 * f; the forget gate is missing.", ("c",), ("elementwise-factor",))

_add("attention_from_scratch", "blog post attention", '''
import numpy as np


def softmax(s):
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    p = e / e.sum(axis=-1, keepdims=True)
    return p, p


def softmax_backward(dp, cache):
    p = cache
    return p * (dp - (dp * p).sum(axis=-1, keepdims=True))


def attention_forward(Q, K, V):
    d = Q.shape[-1]
    S = Q @ K.T / np.sqrt(d)
    P, _ = softmax(S)
    return P @ V, (Q, K, V, P, d)


def attention_backward(dO, cache):
    Q, K, V, P, d = cache
    dV = P.T @ dO
    dP = dO @ V.T
    dS = softmax_backward(dP, P)
    dQ = dS @ K / np.sqrt(d)
    dK = dS.T @ Q
    return dQ, dK, dV
''', '''{"softmax": {"s": _R(3, 4)}, "attention": {"Q": _R(3, 4), "K": _R(5, 4), "V": _R(5, 2)}}''', True, "attention",
     "dK lacks the 1/sqrt(d) of the scores.", ("K",), ("factor",))

_add("activations_py", "small library, activation classes", '''
import numpy as np


class Tanh:
    def forward(self, x):
        self.out = np.tanh(x)
        return self.out

    def backward(self, grad):
        return grad * (1 - self.out ** 2)


class GELU:
    """tanh approximation"""

    def __init__(self):
        self.k = np.sqrt(2 / np.pi)

    def forward(self, x):
        self.x = x
        self.t = np.tanh(self.k * (x + 0.044715 * x ** 3))
        return 0.5 * x * (1 + self.t)

    def backward(self, grad):
        x, t = self.x, self.t
        return grad * (0.5 * (1 + t) + 0.5 * x * (1 - t ** 2) * self.k)


class Swish:
    def forward(self, x):
        self.x = x
        self.s = 1 / (1 + np.exp(-x))
        return x * self.s

    def backward(self, grad):
        return grad * (self.s + self.x * self.s * (1 - self.s))


class ELU:
    def __init__(self, alpha=1.0):
        self.alpha = alpha

    def forward(self, x):
        self.x = x
        return np.where(x > 0, x, self.alpha * (np.exp(x) - 1))

    def backward(self, grad):
        return grad * np.where(self.x > 0, 1.0, self.alpha * np.exp(self.x))
''', '''{"Tanh": {"x": _R(3, 4)}, "GELU": {"x": _R(3, 4)}, "Swish": {"x": _R(3, 4)}, "ELU": {"init": {"alpha": 0.7}, "x": _R(3, 4)}}''',
     False, "GELU", "The inner derivative 1 + 3*0.044715*x**2 is missing in the tanh part.", ("x",), ("elementwise-factor", "missing-term"))

_add("softmax_layer_oop", "layer classes, Keras-like names", '''
import numpy as np

np.random.seed(1)


class Dense:
    def __init__(self, n_in, n_out):
        self.W = np.random.randn(n_in, n_out) * 0.5
        self.b = np.zeros(n_out)

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout):
        self.dW = self.x.T @ dout
        self.db = dout.sum(axis=0)
        return dout @ self.W.T


class Softmax:
    def forward(self, x):
        e = np.exp(x - np.max(x, axis=1, keepdims=True))
        self.y = e / np.sum(e, axis=1, keepdims=True)
        return self.y

    def backward(self, dout):
        return self.y * (dout - np.sum(dout, axis=1, keepdims=True))
''', '''{"Dense": {"init": {"n_in": 3, "n_out": 4}, "x": _R(5, 3)}, "Softmax": {"x": _R(3, 4)}}''', True, "Softmax",
     "The inner sum lacks y: it must be sum(dout * y).", ("x",), ("elementwise-factor", "missing-term"))

_add("prelu_module", "PyTorch port with self.grads", '''
import numpy as np


class PReLU:
    def __init__(self, channels):
        self.params = {"a": np.full(channels, 0.25)}
        self.grads = {}

    def forward(self, x):
        self.x = x
        return np.where(x > 0, x, self.params["a"] * x)

    def backward(self, dout):
        x = self.x
        self.grads["a"] = np.sum(dout * (x <= 0), axis=0)
        return dout * np.where(x > 0, 1.0, self.params["a"])


class Scale:
    def __init__(self, channels):
        self.params = {"s": np.linspace(0.5, 1.5, channels)}
        self.grads = {}

    def forward(self, x):
        self.x = x
        return x * self.params["s"]

    def backward(self, dout):
        self.grads["s"] = (dout * self.x).sum(0)
        return dout * self.params["s"]
''', '''{"PReLU": {"init": {"channels": 3}, "x": _R(5, 3)}, "Scale": {"init": {"channels": 3}, "x": _R(4, 3)}}''', True, "PReLU",
     "The gradient of the slope lacks the input: sum(dout * x * (x <= 0)).", ("a",), ("elementwise-factor",))

_add("metric_learning_utils", "face recognition project", '''
import numpy as np


def l2_normalize(x):
    n = np.sqrt((x ** 2).sum(axis=1, keepdims=True))
    y = x / n
    return y, (y, n)


def l2_normalize_backward(dy, cache):
    y, n = cache
    return dy - y * (dy * y).sum(axis=1, keepdims=True)


def sq_dist(a, b):
    d = a - b
    return (d ** 2).sum(axis=1), d


def sq_dist_backward(dd, cache):
    g = 2 * dd[:, None] * cache
    return g, -g


def hinge(d_pos, d_neg, margin=0.5):
    t = margin + d_pos - d_neg
    return np.maximum(t, 0.0), t


def hinge_backward(dl, cache):
    m = dl * (cache > 0)
    return m, -m
''', '''{"l2_normalize": {"x": _R(4, 3)}, "sq_dist": {"a": _R(4, 3), "b": _R(4, 3)}, "hinge": {"d_pos": _R(5), "d_neg": _R(5)}}''',
     False, "l2_normalize", "The division by the norm n is missing.", ("x",), ("elementwise-factor",))

_add("cosine_recsys", "recommender system, functional", '''
import numpy as np


def cosine_forward(a, b):
    na = np.linalg.norm(a, axis=1)
    nb = np.linalg.norm(b, axis=1)
    c = (a * b).sum(1) / (na * nb)
    return c, (a, b, na, nb, c)


def cosine_backward(dc, cache):
    a, b, na, nb, c = cache
    da = dc[:, None] * (b / (na * nb)[:, None])
    db = dc[:, None] * (a / (na * nb)[:, None] - c[:, None] * b / (nb ** 2)[:, None])
    return {"a": da, "b": db}


def mf_forward(P, Q, bias):
    R = P @ Q.T + bias
    return R, (P, Q)


def mf_backward(dR, cache):
    P, Q = cache
    return {"P": dR @ Q, "Q": dR.T @ P, "bias": dR.sum(0)}
''', '''{"cosine": {"a": _R(4, 3), "b": _R(4, 3)}, "mf": {"P": _R(4, 3), "Q": _R(5, 3), "bias": _R(5)}}''', True, "cosine",
     "da lacks the term of the norm of a: - c * a / na**2, which db has.", ("a",), ("missing-term",))

_add("losses_regression", "losses module of a toy framework", '''
import numpy as np


def mse_forward(pred, target):
    diff = pred - target
    return np.mean(diff ** 2), diff


def mse_backward(dloss, cache):
    g = dloss * 2.0 * cache / cache.size
    return g, -g


def huber_forward(pred, target, delta=0.5):
    r = pred - target
    small = np.abs(r) <= delta
    loss = np.where(small, 0.5 * r ** 2, delta * (np.abs(r) - 0.5 * delta))
    return loss.mean(), (r, small, delta)


def huber_backward(dloss, cache):
    r, small, delta = cache
    g = np.where(small, r, np.sign(r)) / r.size * dloss
    return g, -g


def logcosh_forward(pred, target):
    r = pred - target
    return np.sum(np.log(np.cosh(r))), r


def logcosh_backward(dloss, cache):
    t = np.tanh(cache) * dloss
    return t, -t
''', '''{"mse": {"pred": _R(4, 3), "target": _R(4, 3)}, "huber": {"pred": _R(5, 2), "target": _R(5, 2)}, "logcosh": {"pred": _R(4, 2), "target": _R(4, 2)}}''',
     True, "huber", "In the linear region the slope is delta * sign(r), delta is missing.", ("pred", "target"), ("elementwise-factor",))

_add("bilinear_relation", "knowledge graph embeddings", '''
import numpy as np


def bilinear(h, M, t):
    s = np.einsum('bi,ij,bj->b', h, M, t)
    return s, (h, M, t)


def bilinear_backward(ds, cache):
    h, M, t = cache
    dh = ds[:, None] * (t @ M.T)
    dt = ds[:, None] * (h @ M)
    dM = np.einsum('b,bi,bj->ji', ds, h, t)
    return dh, dM, dt


def distmult(h, r, t):
    return (h * r * t).sum(-1), (h, r, t)


def distmult_backward(ds, cache):
    h, r, t = cache
    ds = ds[:, None]
    return ds * r * t, (ds * h * t).sum(0), ds * h * r


def transe(h, r, t):
    e = h + r - t
    return -np.abs(e).sum(-1), e


def transe_backward(ds, cache):
    g = -ds[:, None] * np.sign(cache)
    return g, g.sum(0), -g
''', '''{"bilinear": {"h": _R(4, 3), "M": _R(3, 3), "t": _R(4, 3)}, "distmult": {"h": _R(4, 3), "r": _R(3), "t": _R(4, 3)},
 "transe": {"h": _R(4, 3), "r": _R(3), "t": _R(4, 3)}}''', True, "bilinear", "dM comes out transposed: 'b,bi,bj->ij'.", ("M",), ("transpose",))

_add("gru_praktikum", "German university exercise", '''
import numpy as np


def sig(a):
    return 1 / (1 + np.exp(-a))


def gru_forward(x, h, Wz, Uz, Wr, Ur, Wn, Un):
    z = sig(x @ Wz + h @ Uz)
    r = sig(x @ Wr + h @ Ur)
    n = np.tanh(x @ Wn + (r * h) @ Un)
    neu = z * h + (1 - z) * n
    return neu, (x, h, Wz, Uz, Wr, Ur, Wn, Un, z, r, n)


def gru_backward(dneu, cache):
    x, h, Wz, Uz, Wr, Ur, Wn, Un, z, r, n = cache
    daz = dneu * (h - n) * z * (1 - z)
    dan = dneu * (1 - z) * (1 - n * n)
    drh = dan @ Un.T
    dar = drh * h * r * (1 - r)
    dx = daz @ Wz.T + dar @ Wr.T + dan @ Wn.T
    dh = dneu * z + daz @ Uz.T + dar @ Ur.T
    return (dx, dh, x.T @ daz, h.T @ daz, x.T @ dar, h.T @ dar,
            x.T @ dan, (r * h).T @ dan)


def mittel_forward(x):
    return x.mean(axis=0), x.shape


def mittel_backward(dy, cache):
    return np.ones(cache) * dy / cache[0]
''', '''{"gru": {"x": _R(3, 2), "h": _R(3, 3), "Wz": _R(2, 3), "Uz": _R(3, 3), "Wr": _R(2, 3), "Ur": _R(3, 3), "Wn": _R(2, 3), "Un": _R(3, 3)},
 "mittel": {"x": _R(4, 3)}}''', True, "gru", "dh lacks the direct path through r * h: + drh * r.", ("h",), ("missing-term",))

_add("dropout_regularisation", "regularisation homework", '''
import numpy as np


def dropout_forward(x, mask, keep=0.6):
    out = x * mask / keep
    return out, (mask, keep)


def dropout_backward(dout, cache):
    mask, keep = cache
    return dout * mask


def l2_forward(W, lam=0.1):
    return 0.5 * lam * np.sum(W ** 2), (W, lam)


def l2_backward(dl, cache):
    W, lam = cache
    return dl * lam * W


def maxnorm_forward(W, c=1.5):
    n = np.sqrt((W ** 2).sum(0))
    s = np.where(n > c, c / n, 1.0)
    return W * s, (W, n, s, c)


def maxnorm_backward(dout, cache):
    W, n, s, c = cache
    over = n > c
    dW = dout * s
    dW = dW - over * (c / n ** 3) * W * (dout * W).sum(0)
    return dW
''', '''{"dropout": {"x": _R(4, 3), "mask": _n.array([[1, 0, 1], [1, 1, 1], [0, 1, 0], [1, 1, 0]])}, "l2": {"W": _R(3, 4)}, "maxnorm": {"W": _R(3, 4)}}''',
     True, "dropout", "Inverted dropout: the backward must divide by keep too.", ("x",), ("factor",))

_add("factorization_machine_layer", "CTR prediction, layer class", '''
import numpy as np


class FM:
    def __init__(self, n_features, k, seed=0):
        rng = np.random.default_rng(seed)
        self.w = rng.normal(size=n_features)
        self.V = rng.normal(size=(n_features, k))

    def forward(self, x):
        self.x = x
        self.xv = x @ self.V
        x2v2 = (x ** 2) @ (self.V ** 2)
        return x @ self.w + 0.5 * (self.xv ** 2 - x2v2).sum(axis=1)

    def backward(self, dy):
        x, xv = self.x, self.xv
        d = dy[:, None]
        self.grad_w = x.T @ dy
        self.grad_V = x.T @ (d * xv)
        dx = d * (self.w + xv @ self.V.T - x * (self.V ** 2).sum(axis=1))
        return dx


class Logistic:
    def forward(self, x):
        self.p = 1 / (1 + np.exp(-x))
        return self.p

    def backward(self, dy):
        return dy * self.p * (1 - self.p)
''', '''{"FM": {"init": {"n_features": 4, "k": 2}, "x": _R(5, 4)}, "Logistic": {"x": _R(4, 2)}}''', True, "FM",
     "grad_V lacks the term of the squares: - V * (x**2).T @ dy.", ("V",), ("missing-term",))

_add("pooling_layers", "Coursera-like CNN week 1, channels last", '''
import numpy as np


def max_pool_forward(A, f=2):
    m, H, W, C = A.shape
    R = A.reshape(m, H // f, f, W // f, f, C)
    out = R.max(axis=(2, 4))
    mask = (R == out[:, :, None, :, None, :])
    return out, (mask, A.shape)


def max_pool_backward(dA, cache):
    mask, shape = cache
    return (mask * dA[:, :, None, :, None, :]).reshape(shape)


def avg_pool_forward(A, f=2):
    m, H, W, C = A.shape
    out = A.reshape(m, H // f, f, W // f, f, C).mean(axis=(2, 4))
    return out, (A.shape, f)


def avg_pool_backward(dA, cache):
    shape, f = cache
    dx = np.zeros(shape)
    for i in range(dA.shape[1]):
        for j in range(dA.shape[2]):
            dx[:, i * f:(i + 1) * f, j * f:(j + 1) * f, :] += dA[:, i:i + 1, j:j + 1, :] / f
    return dx
''', '''{"max_pool": {"A": _R(2, 4, 4, 1)}, "avg_pool": {"A": _R(2, 4, 4, 1)}}''', True, "avg_pool",
     "A window has f*f cells: divide by f*f, not by f.", ("A",), ("factor",))

_add("resnet_block_class", "self-study ResNet in numpy", '''
import numpy as np

rs = np.random.RandomState(7)


class Linear:
    def __init__(self, fan_in, fan_out):
        self.W = rs.randn(fan_in, fan_out) / np.sqrt(fan_in)
        self.b = np.zeros(fan_out)
        self.dW = self.db = None

    def forward(self, x):
        self.x = x
        return np.dot(x, self.W) + self.b

    def backward(self, g):
        self.dW = np.dot(self.x.T, g)
        self.db = g.sum(0)
        return np.dot(g, self.W.T)


class ResidualBlock:
    def __init__(self, dim):
        self.W1 = rs.randn(dim, dim) * 0.6
        self.W2 = rs.randn(dim, dim) * 0.6

    def forward(self, x):
        self.x = x
        self.h = np.maximum(x @ self.W1, 0)
        return x + self.h @ self.W2

    def backward(self, g):
        self.dW2 = self.h.T @ g
        dh = g @ self.W2.T
        dh[self.h <= 0] = 0
        self.dW1 = self.x.T @ dh
        dx = dh @ self.W1.T
        return dx
''', '''{"Linear": {"init": {"fan_in": 3, "fan_out": 2}, "x": _R(4, 3)}, "ResidualBlock": {"init": {"dim": 3}, "x": _R(4, 3)}}''', True,
     "ResidualBlock", "The identity path is forgotten: dx = dh @ W1.T + g.", ("x",), ("missing-term",))

_add("rbf_network_lab", "university lab on RBF networks", '''
import numpy as np


def rbf_forward(X, C, log_s):
    diff = X[:, None, :] - C[None, :, :]
    d2 = np.sum(diff ** 2, axis=2)
    g = np.exp(log_s)
    Phi = np.exp(-g * d2)
    return Phi, (diff, d2, g, Phi)


def rbf_backward(dPhi, cache):
    diff, d2, g, Phi = cache
    t = dPhi * Phi * g
    dX = -2 * np.sum(t[:, :, None] * diff, axis=1)
    dC = -2 * np.sum(t[:, :, None] * diff, axis=0)
    dlog_s = -np.sum(t * d2, axis=0)
    return dX, dC, dlog_s


def readout_forward(Phi, w):
    return Phi.dot(w), (Phi, w)


def readout_backward(dy, cache):
    Phi, w = cache
    return np.outer(dy, w), Phi.T.dot(dy)
''', '''{"rbf": {"X": _R(4, 2), "C": _R(3, 2), "log_s": _R(3) * .3 - 1}, "readout": {"Phi": _R(4, 3), "w": _R(3)}}''', True, "rbf",
     "The centres enter with a minus: dC must be +2 * sum.", ("C",), ("sign",))

_add("gated_units", "sequence model research code", '''
import numpy as np


def _sigmoid(v):
    return 0.5 * (1 + np.tanh(0.5 * v))


def glu(x):
    a, b = np.split(x, 2, axis=-1)
    s = _sigmoid(b)
    return a * s, (a, s)


def glu_backward(dy, cache):
    a, s = cache
    return np.concatenate([dy * s, dy * a * s * (1 - s)], axis=-1)


def highway(x, W, V, b):
    h = np.tanh(x @ W)
    t = _sigmoid(x @ V + b)
    return t * h + (1 - t) * x, (x, W, V, h, t)


def highway_backward(dy, cache):
    x, W, V, h, t = cache
    dh = dy * t * (1 - h ** 2)
    dt = dy * h * t * (1 - t)
    dx = dh @ W.T + dy * (1 - t)
    du = dy * (h - x) * t * (1 - t)
    dx = dx + du @ V.T
    return dx, x.T @ dh, x.T @ dt, du.sum(0)
''', '''{"glu": {"x": _R(3, 6)}, "highway": {"x": _R(4, 3), "W": _R(3, 3), "V": _R(3, 3), "b": _R(3)}}''', True, "highway",
     "dV uses dt, which forgets that t also weighs x; it must use du = dy * (h - x) * t * (1 - t).", ("V",), ("missing-term", "elementwise-factor"))

_add("autograd_ops_broadcast", "tiny tensor library, ops as functions", '''
import numpy as np


def add(a, b):
    return a + b, (a.shape, b.shape)


def add_backward(g, cache):
    sa, sb = cache
    return g, g


def mul(a, b):
    return a * b, (a, b)


def mul_backward(g, cache):
    a, b = cache
    ga, gb = g * b, g * a
    while gb.ndim > b.ndim:
        gb = gb.sum(axis=0)
    return ga, gb


def power(a, p=3):
    return a ** p, (a, p)


def power_backward(g, cache):
    a, p = cache
    return g * p * a ** (p - 1)


def transpose(a):
    return a.T, None


def transpose_backward(g, cache):
    return g.T
''', '''{"add": {"a": _R(4, 3), "b": _R(3)}, "mul": {"a": _R(4, 3), "b": _R(3)}, "power": {"a": _R(3, 2)}, "transpose": {"a": _R(3, 2)}}''', True,
     "add", "b is broadcast over the rows: its gradient must be summed over axis 0.", ("b",), ("shape", "batch-sum"))

_add("classifier_tp2", "softmax classifier hand-in", '''
import numpy as np


def hidden_forward(X, W1, b1):
    A = np.tanh(X.dot(W1) + b1)
    return A, (X, W1, A)


def hidden_backward(dA, cache):
    X, W1, A = cache
    delta = dA * (1 - np.square(A))
    return delta.dot(W1.T), X.T.dot(delta), np.sum(delta, axis=0)


def cross_entropy_forward(scores, y):
    m = y.shape[0]
    shifted = scores - scores.max(axis=1, keepdims=True)
    logp = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    loss = -logp[np.arange(m), y].mean()
    return loss, (np.exp(logp), y)


def cross_entropy_backward(dloss, cache):
    probs, y = cache
    d = probs.copy()
    d[np.arange(y.shape[0]), y] -= 1
    return d * dloss
''', '''{"hidden": {"X": _R(4, 3), "W1": _R(3, 2), "b1": _R(2)}, "cross_entropy": {"scores": _R(5, 3), "y": _n.array([0, 2, 1, 1, 0])}}''', True,
     "cross_entropy", "The loss is a mean over the batch: divide by the number of rows.", ("scores",), ("factor",))

# ------------------------------------------------------------------ right
_add("spatial_bn_layers", "CS231n-like, compact gradients", '''
import numpy as np


def spatial_batchnorm_forward(x, gamma, beta):
    N, C, H, W = x.shape
    f = x.transpose(0, 2, 3, 1).reshape(-1, C)
    mu, sd = f.mean(0), np.sqrt(f.var(0) + 1e-5)
    h = (f - mu) / sd
    out = (gamma * h + beta).reshape(N, H, W, C).transpose(0, 3, 1, 2)
    return out, (h, sd, gamma, x.shape)


def spatial_batchnorm_backward(dout, cache):
    h, sd, gamma, (N, C, H, W) = cache
    d = dout.transpose(0, 2, 3, 1).reshape(-1, C)
    dgamma, dbeta = (d * h).sum(0), d.sum(0)
    dx = gamma / sd * (d - (dbeta + h * dgamma) / d.shape[0])
    return dx.reshape(N, H, W, C).transpose(0, 3, 1, 2), dgamma, dbeta


def leaky_relu_forward(x, slope=0.01):
    out = np.where(x > 0, x, slope * x)
    return out, (x, slope)


def leaky_relu_backward(dout, cache):
    x, slope = cache
    dx = dout.copy()
    dx[x <= 0] *= slope
    return dx
''', '''{"spatial_batchnorm": {"x": _R(3, 2, 2, 2), "gamma": _R(2), "beta": _R(2)}, "leaky_relu": {"x": _R(4, 3)}}''', True)

_add("nnfs_layers", "nnfs-like layer classes", '''
import numpy as np

np.random.seed(0)


class Layer_Dense:
    def __init__(self, n_inputs, n_neurons):
        self.weights = 0.1 * np.random.randn(n_inputs, n_neurons)
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
        exp_values = np.exp(inputs - np.max(inputs, axis=1, keepdims=True))
        self.output = exp_values / np.sum(exp_values, axis=1, keepdims=True)
        return self.output

    def backward(self, dvalues):
        self.dinputs = np.empty_like(dvalues)
        for index, (single_output, single_dvalues) in enumerate(zip(self.output, dvalues)):
            single_output = single_output.reshape(-1, 1)
            jacobian = np.diagflat(single_output) - np.dot(single_output, single_output.T)
            self.dinputs[index] = np.dot(jacobian, single_dvalues)
        return self.dinputs
''', '''{"Layer_Dense": {"init": {"n_inputs": 3, "n_neurons": 4}, "x": _R(5, 3)}, "Activation_Softmax": {"x": _R(3, 4)}}''', True)

_add("cumulative_ops", "time series notebook", '''
import numpy as np


def cumsum(x):
    return np.cumsum(x, axis=1), None


def cumsum_backward(g, cache):
    return np.cumsum(g[:, ::-1], axis=1)[:, ::-1]


def diff(x):
    return x[:, 1:] - x[:, :-1], x.shape


def diff_backward(g, cache):
    out = np.zeros(cache)
    out[:, 1:] += g
    out[:, :-1] -= g
    return out


def ewma(x, alpha=0.3):
    y = np.empty_like(x)
    y[:, 0] = x[:, 0]
    for t in range(1, x.shape[1]):
        y[:, t] = alpha * x[:, t] + (1 - alpha) * y[:, t - 1]
    return y, alpha


def ewma_backward(g, cache):
    alpha = cache
    run = np.zeros(g.shape[0])
    dx = np.empty_like(g)
    for t in range(g.shape[1] - 1, 0, -1):
        run = run + g[:, t]
        dx[:, t] = alpha * run
        run = run * (1 - alpha)
    dx[:, 0] = g[:, 0] + run
    return dx
''', '''{"cumsum": {"x": _R(3, 5)}, "diff": {"x": _R(3, 5)}, "ewma": {"x": _R(3, 5)}}''')

_add("stable_logs", "statistics library", '''
import numpy as np


def logsumexp(a):
    m = a.max(axis=1, keepdims=True)
    e = np.exp(a - m)
    s = e.sum(axis=1, keepdims=True)
    return (m + np.log(s))[:, 0], e / s


def logsumexp_backward(g, cache):
    return g[:, None] * cache


def softplus(x):
    return np.logaddexp(0.0, x), x


def softplus_backward(g, cache):
    return g * np.exp(-np.logaddexp(0.0, -cache))


def log1mexp(x):
    """log(1 - exp(-|x|))"""
    u = np.abs(x)
    return np.log(-np.expm1(-u)), (x, u)


def log1mexp_backward(g, cache):
    x, u = cache
    return g * np.sign(x) / np.expm1(u)
''', '''{"logsumexp": {"a": _R(3, 4) * 30 + 500}, "softplus": {"x": _n.array([-3., 2., 0., 4.])}, "log1mexp": {"x": _n.array([.8, 2., -1.5])}}''', True)

_add("multihead_einsum", "transformer port, einsum", '''
import numpy as np


def mha_forward(x, wq, wk, wv):
    # x: T D, w*: H D K, shared input
    q = np.einsum('td,hdk->htk', x, wq)
    k = np.einsum('td,hdk->htk', x, wk)
    v = np.einsum('td,hdk->htk', x, wv)
    sc = wq.shape[-1] ** -0.5
    s = np.einsum('htk,hsk->hts', q, k) * sc
    s = np.where(np.tril(np.ones(s.shape[1:])) > 0, s, -1e30)
    p = np.exp(s - s.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    o = np.einsum('hts,hsk->thk', p, v)
    return o, (x, wq, wk, wv, q, k, v, p, sc)


def mha_backward(do, cache):
    x, wq, wk, wv, q, k, v, p, sc = cache
    dv = np.einsum('hts,thk->hsk', p, do)
    ds = np.einsum('thk,hsk->hts', do, v)
    ds -= (ds * p).sum(-1, keepdims=True)
    ds *= p
    ds *= sc
    dq = np.einsum('hts,hsk->htk', ds, k)
    dk = np.einsum('hts,htk->hsk', ds, q)
    dx = 0
    grads = []
    for d, w in ((dq, wq), (dk, wk), (dv, wv)):
        dx = dx + np.einsum('htk,hdk->td', d, w)
        grads.append(np.einsum('td,htk->hdk', x, d))
    return (dx, *grads)
''', '''{"mha": {"x": _R(4, 3), "wq": _R(2, 3, 2), "wk": _R(2, 3, 2), "wv": _R(2, 3, 2)}}''', True)

_add("calibration", "model calibration scripts with scalar parameters", '''
import numpy as np


def temperature_forward(logits, log_t):
    t = np.exp(log_t)
    return logits / t, (logits, t)


def temperature_backward(dout, cache):
    logits, t = cache
    return dout / t, np.asarray(-(dout * logits).sum() / t)


def platt_forward(s, a, b):
    p = 1 / (1 + np.exp(a * s + b))
    return p, (s, a, p)


def platt_backward(dp, cache):
    s, a, p = cache
    du = -dp * p * (1 - p)
    return du * a, np.asarray((du * s).sum()), np.asarray(du.sum())
''', '''{"temperature": {"logits": _R(4, 3), "log_t": _n.array(0.3)}, "platt": {"s": _R(6), "a": _n.array(-1.2), "b": _n.array(0.1)}}''', True)

_add("tied_autoencoder", "autoencoder with shared weights", '''
import numpy as np


class TiedAutoencoder:
    def __init__(self, n_vis, n_hid, seed=42):
        r = np.random.RandomState(seed)
        self.params = dict(W=r.uniform(-1, 1, (n_vis, n_hid)), bh=r.randn(n_hid) * .1, bv=r.randn(n_vis) * .1)
        self.grads = {}

    def forward(self, v):
        p = self.params
        self.v = v
        self.h = 1 / (1 + np.exp(-(v @ p['W'] + p['bh'])))
        return self.h @ p['W'].T + p['bv']

    def backward(self, dr):
        p, h = self.params, self.h
        self.grads['bv'] = dr.sum(axis=0)
        dW_dec = dr.T @ h
        da = (dr @ p['W']) * h * (1 - h)
        self.grads['bh'] = da.sum(axis=0)
        self.grads['W'] = self.v.T @ da + dW_dec
        return da @ p['W'].T
''', '''{"TiedAutoencoder": {"init": {"n_vis": 4, "n_hid": 2}, "x": _R(5, 4)}}''', True)

_add("im2col_conv1d", "deep learning from scratch, im2col", '''
import numpy as np


def windows(n, k, s):
    return np.arange(0, n - k + 1, s)[:, None] + np.arange(k)[None, :]


class Conv1D:
    def __init__(self, c_in, c_out, k=3, stride=2):
        g = np.random.RandomState(5)
        self.W = g.randn(c_out, c_in, k) * 0.3
        self.b = g.randn(c_out) * 0.1
        self.k, self.stride = k, stride

    def forward(self, x):
        self.shape = x.shape
        self.idx = windows(x.shape[2], self.k, self.stride)
        self.cols = x[:, :, self.idx]            # B C L k
        return np.einsum('bclk,ock->bol', self.cols, self.W) + self.b[:, None]

    def backward(self, dy):
        self.dW = np.einsum('bol,bclk->ock', dy, self.cols)
        self.db = dy.sum((0, 2))
        dcols = np.einsum('bol,ock->bclk', dy, self.W)
        dx = np.zeros(self.shape)
        np.add.at(dx, (slice(None), slice(None), self.idx), dcols)
        return dx


class GlobalMaxPool1D:
    def forward(self, x):
        self.arg = x.argmax(-1)
        self.shape = x.shape
        return x.max(-1)

    def backward(self, dy):
        dx = np.zeros(self.shape)
        np.put_along_axis(dx, self.arg[..., None], dy[..., None], -1)
        return dx
''', '''{"Conv1D": {"init": {"c_in": 2, "c_out": 3}, "x": _R(2, 2, 7)}, "GlobalMaxPool1D": {"x": _R(3, 2, 4)}}''', True)

_add("inplace_buffers_lib", "performance-minded small library", '''
import numpy as np


class Affine:
    def __init__(self, n_in, n_out):
        g = np.random.RandomState(9)
        self.W = g.randn(n_out, n_in)
        self.b = g.randn(n_out)
        self.dW = np.empty_like(self.W)
        self.db = np.empty_like(self.b)

    def forward(self, x):
        self._x = x
        out = np.empty((x.shape[0], self.W.shape[0]))
        np.matmul(x, self.W.T, out=out)
        out += self.b
        return out

    def backward(self, g):
        np.matmul(g.T, self._x, out=self.dW)
        np.sum(g, axis=0, out=self.db)
        return g @ self.W


class HardTanh:
    def forward(self, x):
        self._pass = np.logical_and(x > -1.0, x < 1.0)
        return np.clip(x, -1.0, 1.0)

    def backward(self, g):
        buf = np.array(g)
        np.multiply(buf, self._pass, out=buf)
        return buf


class Standardize:
    def forward(self, x):
        z = x - x.mean(1, keepdims=True)
        self.s = z.std(1, ddof=1, keepdims=True)
        z /= self.s
        self.z = z
        return z

    def backward(self, g):
        n = g.shape[1]
        d = g - g.mean(1, keepdims=True)
        d -= self.z * (g * self.z).sum(1, keepdims=True) / (n - 1)
        d /= self.s
        return d
''', '''{"Affine": {"init": {"n_in": 3, "n_out": 2}, "x": _R(4, 3)}, "HardTanh": {"x": _R(4, 3)}, "Standardize": {"x": _R(3, 5)}}''', True)

_add("skipgram_negative", "word2vec exercise with integer inputs", '''
import numpy as np


def lookup_forward(table, ids):
    return table[ids].sum(axis=1), (table.shape, ids)


def lookup_backward(dout, cache):
    shape, ids = cache
    d = np.zeros(shape)
    for row in range(ids.shape[0]):
        for w in ids[row]:
            d[w] += dout[row]
    return d


def neg_sampling_forward(vc, uo, un):
    pos = (vc * uo).sum(1)
    neg = np.einsum('bd,kd->bk', vc, un)
    loss = np.logaddexp(0, -pos).sum() + np.logaddexp(0, neg).sum()
    return loss, (vc, uo, un, pos, neg)


def neg_sampling_backward(dl, cache):
    vc, uo, un, pos, neg = cache
    gp = -dl / (1 + np.exp(pos))
    gn = dl / (1 + np.exp(-neg))
    dvc = gp[:, None] * uo + gn @ un
    return dvc, gp[:, None] * vc, gn.T @ vc
''', '''{"lookup": {"table": _R(5, 3), "ids": _n.array([[0, 2], [2, 2], [4, 1]])}, "neg_sampling": {"vc": _R(4, 3), "uo": _R(4, 3), "un": _R(2, 3)}}''', True)

_add("vanilla_rnn_sequence", "char-rnn exercise, BPTT", '''
import numpy as np


def rnn_forward(x, h0, Wxh, Whh, bh):
    T = x.shape[0]
    hs = {-1: h0}
    for t in range(T):
        hs[t] = np.tanh(x[t] @ Wxh + hs[t - 1] @ Whh + bh)
    return np.stack([hs[t] for t in range(T)]), (x, hs, Wxh, Whh)


def rnn_backward(dhs, cache):
    x, hs, Wxh, Whh = cache
    dx = np.zeros_like(x)
    dWxh, dWhh = np.zeros_like(Wxh), np.zeros_like(Whh)
    dbh = np.zeros(Whh.shape[0])
    dnext = np.zeros_like(hs[-1])
    for t in reversed(range(x.shape[0])):
        draw = (1 - hs[t] * hs[t]) * (dhs[t] + dnext)
        dbh += draw.sum(0)
        dWxh += x[t].T @ draw
        dWhh += hs[t - 1].T @ draw
        dx[t] = draw @ Wxh.T
        dnext = draw @ Whh.T
    return {'dx': dx, 'dh0': dnext, 'dWxh': dWxh, 'dWhh': dWhh, 'dbh': dbh}
''', '''{"rnn": {"x": _R(3, 2, 2), "h0": _R(2, 3), "Wxh": _R(2, 3), "Whh": _R(3, 3) * .5, "bh": _R(3)}}''', True)

_add("rigid_geometry", "graphics homework", '''
import numpy as np


def rotate2d(p, theta):
    c, s = np.cos(theta), np.sin(theta)
    out = np.stack([c * p[:, 0] - s * p[:, 1], s * p[:, 0] + c * p[:, 1]], axis=1)
    return out, (p, c, s, out)


def rotate2d_backward(g, cache):
    p, c, s, out = cache
    dp = np.stack([c * g[:, 0] + s * g[:, 1], c * g[:, 1] - s * g[:, 0]], axis=1)
    dtheta = g[:, 1] * out[:, 0] - g[:, 0] * out[:, 1]
    return dp, dtheta


def cross(a, b):
    return np.cross(a, b), (a, b)


def cross_backward(g, cache):
    a, b = cache
    return np.cross(b, g), np.cross(g, a)


def project(p, f=2.0):
    z = p[:, 2:]
    return f * p[:, :2] / z, (p, f)


def project_backward(g, cache):
    p, f = cache
    z = p[:, 2:]
    dz = -f * (g * p[:, :2]).sum(1, keepdims=True) / z ** 2
    return np.hstack((f * g / z, dz))
''', '''{"rotate2d": {"p": _R(4, 2), "theta": _R(4)}, "cross": {"a": _R(4, 3), "b": _R(4, 3)}, "project": {"p": _rng.rand(4, 3) + .5}}''', True)

_add("weight_norm_linear", "framework port, weight normalisation", '''
import numpy as np


class WeightNormLinear:
    def __init__(self, in_features, out_features):
        g = np.random.RandomState(11)
        self.v = g.randn(out_features, in_features)
        self.g = np.abs(g.randn(out_features)) + 0.5
        self.b = np.zeros(out_features)

    def forward(self, x):
        self.x = x
        self.n = np.linalg.norm(self.v, axis=1)
        self.u = self.v / self.n[:, None]
        return x @ (self.g[:, None] * self.u).T + self.b

    def backward(self, grad_output):
        gw = grad_output.T @ self.x
        self.grad_g = (gw * self.u).sum(1)
        self.grad_v = (self.g / self.n)[:, None] * (gw - self.grad_g[:, None] * self.u)
        self.grad_b = grad_output.sum(0)
        return grad_output @ (self.g[:, None] * self.u)
''', '''{"WeightNormLinear": {"init": {"in_features": 3, "out_features": 2}, "x": _R(4, 3)}}''', True)

_add("gaussian_linear_algebra", "statistics in matrix form", '''
import numpy as np


def solve(A, B):
    X = np.linalg.solve(A, B)
    return X, (A, X)


def solve_backward(G, cache):
    A, X = cache
    dB = np.linalg.solve(A.T, G)
    return -dB @ X.T, dB


def logdet(A):
    return np.linalg.slogdet(A)[1], A


def logdet_backward(g, cache):
    return g * np.linalg.inv(cache).T


def quad(x, S):
    return np.einsum('ni,ij,nj->n', x, S, x), (x, S)


def quad_backward(g, cache):
    x, S = cache
    return g[:, None] * (x @ (S + S.T)), (x * g[:, None]).T @ x
''', '''{"solve": {"A": _R(3, 3) + 4 * _n.eye(3), "B": _R(3, 2)}, "logdet": {"A": _R(3, 3) + 4 * _n.eye(3)}, "quad": {"x": _R(4, 3), "S": _R(3, 3)}}''', True)

_add("udacity_bike_layers", "udacity-like first network, mean loss", '''
import numpy as np


def hidden_layer(features, weights_input_to_hidden):
    hidden_inputs = np.dot(features, weights_input_to_hidden)
    hidden_outputs = 1 / (1 + np.exp(-hidden_inputs))
    return hidden_outputs, (features, weights_input_to_hidden, hidden_outputs)


def hidden_layer_backward(hidden_error, cache):
    features, weights, hidden_outputs = cache
    hidden_error_term = hidden_error * hidden_outputs * (1 - hidden_outputs)
    delta_weights_i_h = np.zeros(weights.shape)
    for X, term in zip(features, hidden_error_term):
        delta_weights_i_h += term * X[:, None]
    return np.dot(hidden_error_term, weights.T), delta_weights_i_h


def mean_error(prediction, targets):
    error = targets - prediction
    return np.mean(error ** 2), error


def mean_error_backward(d, cache):
    return -2 * d * cache / len(cache), 2 * d * cache / len(cache)
''', '''{"hidden_layer": {"features": _R(4, 3), "weights_input_to_hidden": _R(3, 2)}, "mean_error": {"prediction": _R(5), "targets": _R(5)}}''', True)
