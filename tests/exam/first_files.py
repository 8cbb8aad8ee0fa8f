"""Exam paper L: whole student files, and hand-differentiated functions from the sciences."""
import re
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
BASES = {}
CALLS = {}   # base -> rng -> [(pair, args, differentiated inputs, init or None)], for the verification only
USED = {}    # item -> base

def swap(text, *pairs):
    for old, new in pairs:
        assert text.count(old) == 1, (old, text.count(old))
        text = text.replace(old, new)
    return text

def file_item(name, style, base, *pairs, slip="", wrong=(), causes=()):
    text = re.sub(r"\n(?=def |class |_r|rs = |g = np)", "\n\n\n", swap(BASES[base], *pairs))
    text = re.sub(r"(?<!:)\n(?=    def )", "\n\n", text)
    USED[name] = base
    ITEMS.append(Item(name, style, "file", lambda: {"source": text}, not slip, slip, wrong, causes))

# ------------------------------------------------------------------ A: vision course, cache tuples
BASES["vision"] = '''import numpy as np
def affine_forward(x, w, b):
    """x: (N, d_1, ..., d_k), w: (D, M) with D = d_1 * ... * d_k, b: (M,) -> out: (N, M)"""
    out = x.reshape(x.shape[0], -1).dot(w) + b
    return out, (x, w, b)
def affine_backward(dout, cache):
    x, w, b = cache
    dx = dout.dot(w.T).reshape(x.shape)
    dw = x.reshape(x.shape[0], -1).T.dot(dout)
    db = dout.sum(axis=0)
    return dx, dw, db
def batchnorm_forward(x, gamma, beta, eps=1e-5):
    """x: (N, D), gamma: (D,), beta: (D,); training mode only."""
    mu = x.mean(axis=0)
    xc = x - mu
    var = (xc ** 2).mean(axis=0)
    std = np.sqrt(var + eps)
    xhat = xc / std
    return gamma * xhat + beta, (xhat, gamma, std)
def batchnorm_backward(dout, cache):
    xhat, gamma, std = cache
    N = dout.shape[0]
    dbeta = dout.sum(axis=0)
    dgamma = (dout * xhat).sum(axis=0)
    dx = gamma / (N * std) * (N * dout - dbeta - xhat * dgamma)
    return dx, dgamma, dbeta
'''
CALLS["vision"] = lambda r: [
    ("affine", dict(x=r(5, 2, 2), w=r(4, 3), b=r(3)), "x w b", None),
    ("batchnorm", dict(x=r(5, 3), gamma=r(3), beta=r(3)), "x gamma beta", None)]
file_item("vision_layers_right", "vision course layers, cache tuples", "vision",
          ("db = dout.sum(axis=0)", "db = np.ones(dout.shape[0]).dot(dout)"))
file_item("vision_bias_axis", "vision course layers, cache tuples", "vision",
          ("db = dout.sum(axis=0)", "db = dout.sum(axis=1)"),
          slip="affine_backward sums the bias gradient over the features (axis=1), not over the batch: use axis=0.",
          wrong=("b",), causes=("shape",))
file_item("vision_batchnorm_in_place", "vision course layers, cache tuples", "vision",
          ("    xc = x - mu\n", "    x -= mu\n    xc = x\n"),
          slip="batchnorm_forward centres the caller's x in place (x -= mu): write xc = x - mu.",
          wrong=(), causes=("mutates-input",))

# ------------------------------------------------------------------ B: features first
BASES["columns"] = '''import numpy as np
def linear_forward(A_prev, W, b):
    """A_prev -- activations, shape (n_prev, m); W -- shape (n, n_prev); b -- shape (n, 1)"""
    return np.dot(W, A_prev) + b, (A_prev, W, b)
def linear_backward(dZ, cache):
    A_prev, W, b = cache
    m = A_prev.shape[1]
    dW = np.dot(dZ, A_prev.T)
    db = np.sum(dZ, axis=1, keepdims=True)
    dA_prev = np.dot(W.T, dZ)
    return dA_prev, dW, db
def linear_tanh_forward(A_prev, W, b):
    """A_prev (n_prev, m), W (n, n_prev), b (n, 1)"""
    Z, linear_cache = linear_forward(A_prev, W, b)
    A = np.tanh(Z)
    return A, (linear_cache, Z, A)
def linear_tanh_backward(dA, cache):
    linear_cache, Z, A = cache
    dZ = dA * (1 - np.power(A, 2))
    return linear_backward(dZ, linear_cache)
def mse_cost_forward(A, Y):
    """A, Y (n, m); the cost is averaged over the m examples"""
    m = Y.shape[1]
    cost = np.sum((A - Y) ** 2) / (2 * m)
    return cost, (A, Y)
def mse_cost_backward(dcost, cache):
    A, Y = cache
    return dcost * (A - Y) / Y.shape[1]
'''
CALLS["columns"] = lambda r: [
    ("linear", dict(A_prev=r(3, 5), W=r(2, 3), b=r(2, 1)), "A_prev W b", None),
    ("linear_tanh", dict(A_prev=r(3, 5), W=r(2, 3), b=r(2, 1)), "A_prev W b", None),
    ("mse_cost", dict(A=r(2, 5), Y=r(2, 5)), "A", None)]
file_item("columns_right", "features-first deep learning course", "columns",
          ("dZ = dA * (1 - np.power(A, 2))", "dZ = dA / np.cosh(Z) ** 2"))
file_item("columns_averaged_twice", "features-first deep learning course", "columns",
          ("dW = np.dot(dZ, A_prev.T)", "dW = 1. / m * np.dot(dZ, A_prev.T)"),
          slip="linear_backward divides dW by m though the cost has already been averaged: drop 1/m.",
          wrong=("W",), causes=("factor",))
file_item("columns_tanh_of_z", "features-first deep learning course", "columns",
          ("np.power(A, 2)", "np.power(Z, 2)"),
          slip="linear_tanh_backward takes 1 - Z**2 for the slope of tanh: it is 1 - A**2.",
          wrong=("A_prev", "W", "b"), causes=("elementwise-factor",))

# ------------------------------------------------------------------ C: from-scratch book classes
BASES["book"] = '''import numpy as np
class Embedding:
    def __init__(self, W):
        self.W = W
    def forward(self, idx):
        self.idx = idx
        return self.W[idx]
    def backward(self, dout):
        dW = np.zeros_like(self.W)
        np.add.at(dW, self.idx, dout)
        self.dW = dW
class SoftmaxWithLoss:
    def forward(self, x, t):
        self.t = t
        e = np.exp(x - x.max(axis=1, keepdims=True))
        self.y = e / e.sum(axis=1, keepdims=True)
        n = x.shape[0]
        return -np.sum(np.log(self.y[np.arange(n), t] + 1e-12)) / n
    def backward(self, dout=1):
        n = self.t.shape[0]
        dx = self.y.copy()
        dx[np.arange(n), self.t] -= 1
        return dout * dx / n
_rng = np.random.RandomState(3)
examples = {
    "Embedding": {"init": {"W": _rng.randn(6, 3)}, "idx": np.array([1, 4, 1, 0, 5])},
    "SoftmaxWithLoss": {"init": {}, "x": _rng.randn(5, 3), "t": np.array([0, 2, 1, 1, 2])},
}
'''
CALLS["book"] = lambda r: [
    ("Embedding", dict(idx=np.array([1, 4, 1, 0, 5])), "", dict(W=r(6, 3))),
    ("SoftmaxWithLoss", dict(x=r(5, 3), t=np.array([0, 2, 1, 1, 2])), "x", {})]
file_item("book_layers_right", "from-scratch book, layer classes", "book",
          ("        np.add.at(dW, self.idx, dout)\n",
           "        for word_id, row in zip(self.idx.ravel(), dout.reshape(-1, dW.shape[1])):\n"
           "            dW[word_id] += row\n"))
file_item("book_embedding_repeats", "from-scratch book, layer classes", "book",
          ("np.add.at(dW, self.idx, dout)", "dW[self.idx] = dout"),
          slip="Embedding.backward assigns rows, so a repeated index keeps only its last row: np.add.at.",
          wrong=("W",), causes=("batch-sum",))

# ------------------------------------------------------------------ D: hobby framework, grads dict
BASES["hobby"] = '''import numpy as np
class Dense:
    def __init__(self, in_dim, out_dim, seed=0):
        rng = np.random.default_rng(seed)
        self.params = {"W": rng.normal(size=(in_dim, out_dim)) / np.sqrt(in_dim), "b": rng.normal(size=out_dim)}
        self.grads = {k: np.zeros_like(v) for k, v in self.params.items()}
    def forward(self, x):
        self._x = x
        return x @ self.params["W"] + self.params["b"]
    def backward(self, grad):
        self.grads["W"] = self._x.T @ grad
        self.grads["b"] = grad.sum(0)
        return grad @ self.params["W"].T
class ELU:
    def __init__(self, alpha=1.0):
        self.alpha = alpha
    def forward(self, x):
        self._x = x
        self._y = np.where(x > 0, x, self.alpha * np.expm1(np.minimum(x, 0)))
        return self._y
    def backward(self, grad):
        return grad * np.where(self._x > 0, 1.0, self._y + self.alpha)
class HuberLoss:
    def __init__(self, delta=1.0):
        self.delta = delta
    def forward(self, pred, target):
        self.r = pred - target
        a = np.abs(self.r)
        quad = np.minimum(a, self.delta)
        return np.mean(0.5 * quad ** 2 + self.delta * (a - quad))
    def backward(self, grad=1.0):
        return grad * np.clip(self.r, -self.delta, self.delta) / self.r.size
'''
CALLS["hobby"] = lambda r: [
    ("Dense", dict(x=r(5, 4)), "x", dict(in_dim=4, out_dim=3)), ("ELU", dict(x=r(4, 3)), "x", {}),
    ("HuberLoss", dict(pred=r(4, 3), target=r(4, 3)), "pred", {})]
file_item("hobby_right", "hobby framework, self.grads dict", "hobby",
          ('self.grads["W"] = self._x.T @ grad', 'np.matmul(self._x.T, grad, out=self.grads["W"])'))
file_item("hobby_grads_pile_up", "hobby framework, self.grads dict", "hobby",
          ('self.grads["W"] = self._x.T @ grad', 'self.grads["W"] += self._x.T @ grad'),
          slip="Dense.backward adds to self.grads['W'] and nobody clears it: assign instead of +=.",
          wrong=("W",), causes=("accumulates",))
file_item("hobby_huber_target_minus_pred", "hobby framework, loss class", "hobby",
          ("self.r = pred - target", "self.r = target - pred"),
          slip="HuberLoss keeps target - pred, so the gradient for pred has the wrong sign: pred - target.",
          wrong=("pred",), causes=("sign",))

# ------------------------------------------------------------------ E: recurrent cell, features first, dict of gradients
BASES["rnn"] = '''import numpy as np
def rnn_cell_forward(xt, a_prev, Wax, Waa, ba):
    """xt -- shape (n_x, m); a_prev -- (n_a, m); Wax -- (n_a, n_x); Waa -- (n_a, n_a); ba -- (n_a, 1)"""
    a_next = np.tanh(np.dot(Wax, xt) + np.dot(Waa, a_prev) + ba)
    return a_next, {"a_next": a_next, "a_prev": a_prev, "xt": xt, "Wax": Wax, "Waa": Waa}
def rnn_cell_backward(da_next, cache):
    dtanh = (1 - cache["a_next"] ** 2) * da_next
    gradients = {}
    gradients["dxt"] = np.dot(cache["Wax"].T, dtanh)
    gradients["dWax"] = np.dot(dtanh, cache["xt"].T)
    gradients["da_prev"] = np.dot(cache["Waa"].T, dtanh)
    gradients["dWaa"] = np.dot(dtanh, cache["a_prev"].T)
    gradients["dba"] = np.sum(dtanh, axis=1, keepdims=True)
    return gradients
def rnn_forward(x, a0, Wax, Waa, ba):
    """x -- shape (n_x, m, T_x); a0 -- shape (n_a, m); weights as above; returns a, shape (n_a, m, T_x)"""
    a_next, states, caches = a0, [], []
    for t in range(x.shape[2]):
        a_next, cache = rnn_cell_forward(x[:, :, t], a_next, Wax, Waa, ba)
        states.append(a_next)
        caches.append(cache)
    return np.stack(states, axis=2), (caches, x)
def rnn_backward(da, cache):
    caches, x = cache
    da_prev = np.zeros(da.shape[:2])
    dx = np.empty(x.shape)
    total = None
    for t in range(len(caches) - 1, -1, -1):
        g = rnn_cell_backward(da[:, :, t] + da_prev, caches[t])
        dx[:, :, t], da_prev = g["dxt"], g["da_prev"]
        step = [g["dWax"], g["dWaa"], g["dba"]]
        total = step if total is None else [s + u for s, u in zip(total, step)]
    return {"dx": dx, "da0": da_prev, "dWax": total[0], "dWaa": total[1], "dba": total[2]}
'''
CALLS["rnn"] = lambda r: [
    ("rnn_cell", dict(xt=r(2, 4), a_prev=r(3, 4), Wax=r(3, 2), Waa=r(3, 3), ba=r(3, 1)),
     "xt a_prev Wax Waa ba", None),
    ("rnn", dict(x=r(2, 4, 3), a0=r(3, 4), Wax=r(3, 2), Waa=r(3, 3), ba=r(3, 1)), "x a0 Wax Waa ba", None)]
file_item("rnn_columns_right", "sequence course, features first, gradient dicts", "rnn")
file_item("rnn_recurrent_weight_transposed", "sequence course, features first, gradient dicts", "rnn",
          ('np.dot(dtanh, cache["a_prev"].T)', 'np.dot(cache["a_prev"], dtanh.T)'),
          slip="rnn_cell_backward returns the square dWaa transposed: dtanh @ a_prev.T.",
          wrong=("Waa",), causes=("transpose",))

# ------------------------------------------------------------------ F: LSTM over time
BASES["lstm"] = '''import numpy as np
def sigmoid(a):
    return 0.5 * (1 + np.tanh(0.5 * a))
def lstm(x, h0, Wx, Wh, b):
    """x: (N, T, D), h0: (N, H), Wx: (D, 4H), Wh: (H, 4H), b: (4H,) -> h: (N, T, H)"""
    N, T, D = x.shape
    H = h0.shape[1]
    h, c = h0, np.zeros_like(h0)
    out, steps = np.empty((N, T, H)), []
    for t in range(T):
        a = x[:, t] @ Wx + h @ Wh + b
        i, f, o = sigmoid(a[:, :H]), sigmoid(a[:, H:2 * H]), sigmoid(a[:, 2 * H:3 * H])
        g = np.tanh(a[:, 3 * H:])
        c_new = f * c + i * g
        tc = np.tanh(c_new)
        steps.append((h, c, i, f, o, g, tc))
        h, c = o * tc, c_new
        out[:, t] = h
    return out, (x, Wx, Wh, steps)
def lstm_backward(dout, cache):
    x, Wx, Wh, steps = cache
    dx, dWx, dWh = np.zeros_like(x), np.zeros_like(Wx), np.zeros_like(Wh)
    db = np.zeros(Wx.shape[1])
    dh_next = np.zeros_like(steps[0][0])
    dc_next = np.zeros_like(dh_next)
    for t in reversed(range(len(steps))):
        h, c, i, f, o, g, tc = steps[t]
        dh = dout[:, t] + dh_next
        dc = dc_next + dh * o * (1 - tc ** 2)
        da = np.hstack([dc * g * i * (1 - i), dc * c * f * (1 - f), dh * tc * o * (1 - o), dc * i * (1 - g ** 2)])
        dx[:, t] = da @ Wx.T
        dWx += x[:, t].T @ da
        dWh += h.T @ da
        db += da.sum(axis=0)
        dh_next = da @ Wh.T
        dc_next = dc * f
    return dx, dh_next, dWx, dWh, db
'''
CALLS["lstm"] = lambda r: [
    ("lstm", dict(x=r(3, 4, 2), h0=r(3, 2), Wx=r(2, 8), Wh=r(2, 8), b=r(8)), "x h0 Wx Wh b", None)]
file_item("lstm_right", "recurrent network exercise, f / f_backward", "lstm")
file_item("lstm_carry_without_forget", "recurrent network exercise, f / f_backward", "lstm",
          ("dc_next = dc * f", "dc_next = dc"),
          slip="the cell gradient is carried to the step before without the forget gate: dc_next = dc * f.",
          wrong=("x", "h0", "Wx", "Wh", "b"), causes=("elementwise-factor", "unknown"))

# ------------------------------------------------------------------ G: GRU cell class
BASES["gru"] = '''import numpy as np
def sig(v):
    return 1.0 / (1.0 + np.exp(-v))
class GRUCell:
    """h_new = (1 - z) * h + z * n, all gates act on [x, h]; x is (batch, input_size), h is (batch, hidden_size)"""
    def __init__(self, input_size, hidden_size, seed=0):
        rng = np.random.RandomState(seed)
        n = input_size + hidden_size
        self.D = input_size
        self.params = {}
        for k in "zrn":
            self.params["W" + k] = rng.randn(n, hidden_size) / np.sqrt(n)
            self.params["b" + k] = 0.1 * rng.randn(hidden_size)
        self.grads = {}
    def forward(self, x, h):
        p = self.params
        xh = np.concatenate([x, h], axis=1)
        z = sig(xh @ p["Wz"] + p["bz"])
        r = sig(xh @ p["Wr"] + p["br"])
        xrh = np.concatenate([x, r * h], axis=1)
        n = np.tanh(xrh @ p["Wn"] + p["bn"])
        self.cache = (h, xh, z, r, xrh, n)
        return (1 - z) * h + z * n
    def backward(self, dh_new):
        p, D = self.params, self.D
        h, xh, z, r, xrh, n = self.cache
        dh = dh_new * (1 - z)
        dan = dh_new * z * (1 - n ** 2)
        daz = dh_new * (n - h) * z * (1 - z)
        dxrh = dan @ p["Wn"].T
        dx, drh = dxrh[:, :D], dxrh[:, D:]
        dar = drh * h * r * (1 - r)
        dh = dh + drh * r
        dxh = daz @ p["Wz"].T + dar @ p["Wr"].T
        dx = dx + dxh[:, :D]
        dh = dh + dxh[:, D:]
        for k, da, inp in (("z", daz, xh), ("r", dar, xh), ("n", dan, xrh)):
            self.grads["W" + k] = inp.T @ da
            self.grads["b" + k] = da.sum(axis=0)
        return dx, dh
'''
CALLS["gru"] = lambda r: [("GRUCell", dict(x=r(4, 2), h=r(4, 3)), "x h", dict(input_size=2, hidden_size=3))]
file_item("gru_state_path_overwritten", "recurrent cell class, params and grads dicts", "gru",
          ("dh = dh + drh * r", "dh = drh * r"),
          slip="the direct path dh_new * (1 - z) to the old state is overwritten: dh = dh + drh * r.",
          wrong=("h",), causes=("missing-term",))

# ------------------------------------------------------------------ H: convolution and pooling
BASES["conv"] = '''import numpy as np
def conv1d_forward(x, w, b, pad=1):
    """x: (N, C, L), w: (F, C, K), b: (F,), zero padding on both sides -> (N, F, L + 2 * pad - K + 1)"""
    N, C, L = x.shape
    F, _, K = w.shape
    xp = np.pad(x, ((0, 0), (0, 0), (pad, pad)))
    Lo = xp.shape[2] - K + 1
    out = np.zeros((N, F, Lo))
    for l in range(Lo):
        out[:, :, l] = np.tensordot(xp[:, :, l:l + K], w, axes=([1, 2], [1, 2])) + b
    return out, (xp, w, pad)
def conv1d_backward(dout, cache):
    xp, w, pad = cache
    N, F, Lo = dout.shape
    K = w.shape[2]
    dxp, dw, db = np.zeros_like(xp), np.zeros_like(w), np.zeros(F)
    for n in range(N):
        for f in range(F):
            db[f] += dout[n, f].sum()
            for l in range(Lo):
                dxp[n, :, l:l + K] += dout[n, f, l] * w[f]
                dw[f] += dout[n, f, l] * xp[n, :, l:l + K]
    return dxp[:, :, pad:dxp.shape[2] - pad], dw, db
def maxpool_forward(x, size=2):
    """x: (N, C, H, W); H and W divisible by size"""
    N, C, H, W = x.shape
    win = x.reshape(N, C, H // size, size, W // size, size).transpose(0, 1, 2, 4, 3, 5)
    win = win.reshape(N, C, H // size, W // size, size * size)
    arg = win.argmax(axis=-1)
    return win.max(axis=-1), (x.shape, size, arg)
def maxpool_backward(dout, cache):
    (N, C, H, W), size, arg = cache
    dwin = np.zeros((N, C, H // size, W // size, size * size))
    np.put_along_axis(dwin, arg[..., None], dout[..., None], axis=-1)
    dwin = dwin.reshape(N, C, H // size, W // size, size, size)
    return dwin.transpose(0, 1, 2, 4, 3, 5).reshape(N, C, H, W)
_r = np.random.RandomState(0)
examples = {"conv1d": {"x": _r.randn(3, 2, 5), "w": _r.randn(4, 2, 3), "b": _r.randn(4)},
            "maxpool": {"x": _r.randn(2, 3, 4, 4)}}
'''
CALLS["conv"] = lambda r: [("conv1d", dict(x=r(3, 2, 5), w=r(4, 2, 3), b=r(4)), "x w b", None),
                           ("maxpool", dict(x=r(2, 2, 4, 4)), "x", None)]
file_item("conv_pool_right", "convolution assignment, loops", "conv",
          ("            db[f] += dout[n, f].sum()\n", ""),
          ("    return dxp[:", "    db += np.einsum('nfl->f', dout)\n    return dxp[:"))
file_item("conv_bias_last_image", "convolution assignment, loops", "conv",
          ("db[f] += dout", "db[f] = dout"),
          slip="conv1d_backward assigns db[f] within the loop over images, so only the last image counts: +=.",
          wrong=("b",), causes=("batch-sum",))
file_item("pool_writes_to_copy", "convolution assignment, reshape trick", "conv",
          ("    dwin = np.zeros((N, C, H // size, W // size, size * size))\n",
           "    dx = np.zeros((N, C, H, W))\n"
           "    dwin = dx.reshape(N, C, H // size, size, W // size, size).transpose(0, 1, 2, 4, 3, 5)\n"
           "    dwin = dwin.reshape(N, C, H // size, W // size, size * size)\n"),
          ("    dwin = dwin.reshape(N, C, H // size, W // size, size, size)\n"
           "    return dwin.transpose(0, 1, 2, 4, 3, 5).reshape(N, C, H, W)\n", "    return dx\n"),
          slip="maxpool_backward fills a reshaped copy, not dx, which stays zero: reshape the windows back into dx.",
          wrong=("x",), causes=("zero",))

# ------------------------------------------------------------------ I: variational autoencoder pieces
BASES["vae"] = '''import numpy as np
def reparameterize(mu, logvar, eps):
    """z = mu + std * eps, all (B, Z)"""
    std = np.exp(0.5 * logvar)
    return mu + std * eps, (std, eps)
def reparameterize_backward(dz, cache):
    std, eps = cache
    return dz, 0.5 * dz * std * eps
def kl_divergence(mu, logvar):
    """KL(q || N(0, I)) of every example, (B,)"""
    var = np.exp(logvar)
    kl = -0.5 * np.sum(1 + logvar - mu ** 2 - var, axis=1)
    return kl, (mu, var)
def kl_divergence_backward(dkl, cache):
    mu, var = cache
    return dkl[:, None] * mu, 0.5 * dkl[:, None] * (var - 1)
'''
CALLS["vae"] = lambda r: [
    ("reparameterize", dict(mu=r(4, 2), logvar=r(4, 2), eps=r(4, 2)), "mu logvar", None),
    ("kl_divergence", dict(mu=r(4, 2), logvar=r(4, 2)), "mu logvar", None)]
file_item("vae_pieces_right", "variational autoencoder tutorial, f / f_backward", "vae")
CALLS["vae_noise"] = lambda r: [("reparameterize", dict(mu=r(4, 2), logvar=r(4, 2)), "mu logvar", None)] + \
    CALLS["vae"](r)[1:]
BASES["vae_noise"] = swap(
    BASES["vae"], ("def reparameterize(mu, logvar, eps):", "def reparameterize(mu, logvar):"),
    ("    return mu + std * eps, (std, eps)", "    eps = np.random.randn(*mu.shape)\n    return mu + std * eps, std"),
    ("    std, eps = cache\n", "    std = cache\n    eps = np.random.randn(*std.shape)\n"))
file_item("vae_backward_draws_again", "variational autoencoder tutorial, f / f_backward", "vae_noise",
          slip="the noise is drawn within reparameterize and again in its backward: hand eps in and keep it.",
          wrong=("logvar",), causes=("noise-redrawn",))

# ------------------------------------------------------------------ J: transformer from scratch
BASES["transformer"] = '''import numpy as np
def layer_norm(x, gamma, beta, eps=1e-5):
    """x: (B, T, D), gamma, beta: (D,)"""
    mean = x.mean(-1, keepdims=True)
    rstd = 1.0 / np.sqrt(x.var(-1, keepdims=True) + eps)
    xhat = (x - mean) * rstd
    return xhat * gamma + beta, (xhat, rstd, gamma)
def layer_norm_backward(dout, cache):
    xhat, rstd, gamma = cache
    dxhat = dout * gamma
    m1 = dxhat.mean(-1, keepdims=True)
    m2 = (dxhat * xhat).mean(-1, keepdims=True)
    dx = rstd * (dxhat - m1 - xhat * m2)
    return dx, (dout * xhat).sum((0, 1)), dout.sum((0, 1))
def split(a, n_heads):
    B, T, D = a.shape
    return a.reshape(B, T, n_heads, D // n_heads).transpose(0, 2, 1, 3)
def merge(a):
    B, n, T, d = a.shape
    return a.transpose(0, 2, 1, 3).reshape(B, T, n * d)
def attention(q, k, v, n_heads=2):
    """causal self-attention; q, k, v: (B, T, D) with D a multiple of n_heads"""
    q, k, v = split(q, n_heads), split(k, n_heads), split(v, n_heads)
    scale = 1.0 / np.sqrt(q.shape[-1])
    s = q @ k.swapaxes(-1, -2) * scale
    s = np.where(np.tril(np.ones(s.shape[-2:], dtype=bool)), s, -np.inf)
    p = np.exp(s - s.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    return merge(p @ v), (q, k, v, p, scale)
def attention_backward(dout, cache):
    q, k, v, p, scale = cache
    dy = split(dout, q.shape[1])
    dv = p.swapaxes(-1, -2) @ dy
    dp = dy @ v.swapaxes(-1, -2)
    ds = p * (dp - (dp * p).sum(-1, keepdims=True)) * scale
    dq, dk = ds @ k, ds.swapaxes(-1, -2) @ q
    return merge(dq), merge(dk), merge(dv)
rs = np.random.RandomState(7)
examples = {"attention": {"q": rs.randn(3, 5, 4), "k": rs.randn(3, 5, 4), "v": rs.randn(3, 5, 4)},
            "layer_norm": {"x": rs.randn(3, 2, 4), "gamma": rs.randn(4), "beta": rs.randn(4)}}
'''
CALLS["transformer"] = lambda r: [
    ("layer_norm", dict(x=r(2, 3, 4), gamma=r(4), beta=r(4)), "x gamma beta", None),
    ("attention", dict(q=r(2, 3, 4), k=r(2, 3, 4), v=r(2, 3, 4)), "q k v", None)]
file_item("transformer_right", "transformer from scratch, f / f_backward", "transformer")
file_item("layer_norm_mean_forgotten", "transformer from scratch, f / f_backward", "transformer",
          ("rstd * (dxhat - m1 - xhat * m2)", "rstd * (dxhat - xhat * m2)"),
          slip="layer_norm_backward forgets that the mean depends on x: subtract m1 as well.",
          wrong=("x",), causes=("missing-term",))
file_item("attention_heads_merged_flat", "transformer from scratch, f / f_backward", "transformer",
          ("return merge(dq), merge(dk)", "return dq.reshape(dout.shape), merge(dk)"),
          slip="attention_backward reshapes dq without bringing the time axis back in front of the heads: merge(dq).",
          wrong=("q",), causes=("transpose",))

# ------------------------------------------------------------------ K: metric learning
BASES["metric"] = '''import numpy as np
def pairwise_dist(X):
    """Euclidean distances between all rows of X (N, d) -> (N, N)"""
    diff = X[:, None, :] - X[None, :, :]
    D = np.sqrt((diff ** 2).sum(axis=2))
    return D, (diff, D)
def pairwise_dist_backward(dD, cache):
    diff, D = cache
    coef = np.where(D > 0, dD / np.where(D > 0, D, 1.0), 0.0)
    coef = coef + coef.T
    return (coef[:, :, None] * diff).sum(axis=1)
def triplet_loss(a, p, n, margin=0.7):
    """a, p, n: (N, d) anchors, positives, negatives"""
    h = ((a - p) ** 2).sum(1) - ((a - n) ** 2).sum(1) + margin
    return np.maximum(h, 0).mean(), (a, p, n, h > 0)
def triplet_loss_backward(dloss, cache):
    a, p, n, active = cache
    g = dloss * 2 * active[:, None] / len(a)
    return g * (n - p), g * (p - a), g * (a - n)
'''
CALLS["metric"] = lambda r: [("pairwise_dist", dict(X=r(4, 3)), "X", None),
                             ("triplet_loss", dict(a=r(5, 3), p=r(5, 3), n=r(5, 3)), "a p n", None)]
file_item("metric_learning_right", "metric learning repository, f / f_backward", "metric")
file_item("pairwise_dist_diagonal", "metric learning repository, f / f_backward", "metric",
          ("coef = np.where(D > 0, dD / np.where(D > 0, D, 1.0), 0.0)", "coef = dD / D"),
          slip="pairwise_dist_backward divides by the zero distance of a row to itself: set the coefficient to 0 where D is 0.",
          wrong=("X",), causes=("non-finite",))

# ------------------------------------------------------------------ L: tied autoencoder
BASES["tied"] = '''import numpy as np
class TiedAutoencoder:
    """h = sigmoid(x W + b), reconstruction = h W^T + c; x is (batch, n_visible)"""
    def __init__(self, n_visible, n_hidden, seed=42):
        rng = np.random.RandomState(seed)
        self.W = rng.uniform(-0.8, 0.8, (n_visible, n_hidden))
        self.b = rng.uniform(-0.5, 0.5, n_hidden)
        self.c = rng.uniform(-0.5, 0.5, n_visible)
    def forward(self, x):
        self.x = x
        self.h = 1 / (1 + np.exp(-(x @ self.W + self.b)))
        return self.h @ self.W.T + self.c
    def backward(self, delta):
        delta_h = (delta @ self.W) * self.h * (1 - self.h)
        self.grad_W = self.x.T @ delta_h + delta.T @ self.h
        self.grad_b = delta_h.sum(axis=0)
        self.grad_c = delta.sum(axis=0)
        return delta_h @ self.W.T
'''
CALLS["tied"] = lambda r: [("TiedAutoencoder", dict(x=r(5, 4)), "x", dict(n_visible=4, n_hidden=3))]
file_item("tied_decoder_path_lost", "unsupervised learning class, self.grad_W", "tied",
          ("self.x.T @ delta_h + delta.T @ self.h", "self.x.T @ delta_h"),
          slip="the gradient of the tied W lacks the decoder's use of it: add delta.T @ self.h.",
          wrong=("W",), causes=("missing-term",))

# ------------------------------------------------------------------ M: losses with labels
BASES["losses"] = '''import numpy as np
def bce_logits_forward(logits, targets, pos_weight=3.0):
    """targets in {0, 1}, both (N, K); positives count pos_weight times; one mean over everything"""
    sp_pos, sp_neg = np.logaddexp(0, logits), np.logaddexp(0, -logits)
    loss = np.mean(pos_weight * targets * sp_neg + (1 - targets) * sp_pos)
    return loss, (logits, targets, pos_weight)
def bce_logits_backward(dloss, cache):
    logits, targets, pos_weight = cache
    p = 1 / (1 + np.exp(-logits))
    w = 1 + (pos_weight - 1) * targets
    return dloss * w * (p - targets) / logits.size
def masked_ce_forward(scores, labels):
    """scores (N, C), integer labels (N,); a label of -1 is padding and is left out of the mean"""
    keep = labels >= 0
    logp = scores - scores.max(1, keepdims=True)
    logp = logp - np.log(np.exp(logp).sum(1, keepdims=True))
    n_valid = keep.sum()
    loss = -logp[keep, labels[keep]].sum() / n_valid
    return loss, (logp, labels, keep, n_valid)
def masked_ce_backward(dloss, cache):
    logp, labels, keep, n_valid = cache
    dscores = np.exp(logp)
    dscores[keep, labels[keep]] -= 1
    dscores[~keep] = 0
    return dloss * dscores / n_valid
g = np.random.RandomState(11)
examples = {"bce_logits": {"logits": g.randn(4, 3), "targets": (g.rand(4, 3) < 0.5).astype(float)},
            "masked_ce": {"scores": g.randn(6, 3), "labels": np.array([2, 0, -1, 1, -1, 2])}}
'''
CALLS["losses"] = lambda r: [
    ("bce_logits", dict(logits=r(4, 3), targets=(r(4, 3) > 0).astype(float)), "logits", None),
    ("masked_ce", dict(scores=r(6, 3), labels=np.array([2, 0, -1, 1, -1, 2])), "scores", None)]
file_item("losses_right", "losses with labels, cache tuples", "losses",
          ("dloss * w * (p - targets)", "dloss * np.where(targets > 0.5, pos_weight * (p - 1), p)"))
file_item("bce_pos_weight_forgotten", "losses with labels, cache tuples", "losses",
          ("dloss * w * (p - targets)", "dloss * (p - targets)"),
          slip="bce_logits_backward leaves out the weight of the positive labels: multiply by w.",
          wrong=("logits",), causes=("elementwise-factor",))
file_item("masked_ce_counts_padding", "losses with labels, cache tuples", "losses",
          ("return dloss * dscores / n_valid", "return dloss * dscores / len(labels)"),
          slip="masked_ce_backward divides by all rows, the loss by the unpadded ones: divide by n_valid.",
          wrong=("scores",), causes=("factor",))

# ------------------------------------------------------------------ N: recommender
BASES["recommender"] = '''import numpy as np
class MatrixFactorization:
    """rating(u, i) = P[u] . Q[i] + bu[u] + bi[i]"""
    def __init__(self, n_users, n_items, k, seed=5):
        rng = np.random.default_rng(seed)
        self.params = {"P": rng.normal(size=(n_users, k)), "Q": rng.normal(size=(n_items, k)),
                       "bu": rng.normal(size=n_users), "bi": rng.normal(size=n_items)}
        self.grads = {}
    def forward(self, users, items):
        self.users, self.items = users, items
        p = self.params
        return (p["P"][users] * p["Q"][items]).sum(axis=1) + p["bu"][users] + p["bi"][items]
    def backward(self, dr):
        p = self.params
        self.grads = {name: np.zeros(a.shape) for name, a in p.items()}
        np.add.at(self.grads["P"], self.users, dr[:, None] * p["Q"][self.items])
        np.add.at(self.grads["Q"], self.items, dr[:, None] * p["P"][self.users])
        self.grads["bu"] += np.bincount(self.users, weights=dr, minlength=len(p["bu"]))
        self.grads["bi"] += np.bincount(self.items, weights=dr, minlength=len(p["bi"]))
examples = {"MatrixFactorization": {"init": {"n_users": 4, "n_items": 3, "k": 2},
                                    "users": np.array([0, 2, 2, 3, 1, 0]), "items": np.array([1, 0, 2, 2, 1, 1])}}
'''
CALLS["recommender"] = lambda r: [
    ("MatrixFactorization", dict(users=np.array([0, 2, 2, 3, 1, 0]), items=np.array([1, 0, 2, 2, 1, 1])), "",
     dict(n_users=4, n_items=3, k=2))]
file_item("recommender_right", "recommender class, integer indices, grads dict", "recommender")
file_item("recommender_single_precision", "recommender class, integer indices, grads dict", "recommender",
          ("np.zeros(a.shape)", "np.zeros(a.shape, dtype=np.float32)"),
          ('self.grads["bu"] += np.b', 'self.grads["bu"] = np.b'), ('self.grads["bi"] += np.b', 'self.grads["bi"] = np.b'),
          slip="the gradients of P and Q are gathered in float32 buffers: np.zeros(a.shape) in float64.",
          wrong=("P", "Q"), causes=("precision",))

# ================================================================== vjp: by hand, in the sciences
def vjp_item(name, style, make, slip="", wrong=(), causes=()):
    ITEMS.append(Item(name, style, "vjp", make, not slip, slip, wrong, causes))

def rand(seed):
    return np.random.RandomState(seed).randn

def logdet(A):
    _, ld = np.linalg.slogdet(A)
    return ld, np.linalg.inv(A)
def logdet_slipped(dy, Ainv):
    return dy[:, None, None] * Ainv
vjp_item("logdet_not_transposed", "matrix calculus",
         lambda: dict(forward=logdet, backward=logdet_slipped, inputs={"A": rand(1)(4, 3, 3) + 2 * np.eye(3)}, constants={}),
         "the gradient of log |det A| is the inverse transposed; the transpose of the last two axes is missing.",
         ("A",), ("transpose",))

def springs(pos, k, rest, ends):
    i, j = ends
    d = pos[i] - pos[j]
    length = np.linalg.norm(d, axis=1)
    return 0.5 * np.sum(k * (length - rest) ** 2), (pos.shape, d, length, k, rest, i, j)
def springs_slipped(dE, cache):
    shape, d, length, k, rest, i, j = cache
    pull = dE * (k * (length - rest) / length)[:, None] * d
    dpos = np.zeros(shape)
    np.add.at(dpos, i, pull)
    return dict(pos=dpos, k=dE * 0.5 * (length - rest) ** 2, rest=-dE * k * (length - rest))
vjp_item("springs_without_reaction", "mechanics, mass-spring network",
         lambda: dict(forward=springs, backward=springs_slipped,
                      inputs={"pos": rand(2)(5, 2), "k": np.abs(rand(3)(6)) + 0.5, "rest": np.abs(rand(4)(6)) + 0.2},
                      constants={"ends": (np.array([0, 1, 2, 3, 0, 1]), np.array([1, 2, 3, 4, 2, 4]))}),
         "only the first end of each spring gets its force; subtract the same pull at the second end.",
         ("pos",), ("missing-term",))

def periodogram(x, window):
    F = np.fft.fft(x * window, axis=-1)
    return np.abs(F) ** 2 / x.shape[-1], (F, window)
def periodogram_slipped(dP, cache):
    F, window = cache
    return 2 * np.fft.ifft(dP * F, axis=-1).real / F.shape[-1] * window
vjp_item("periodogram_length_twice", "signal processing, windowed periodogram",
         lambda: dict(forward=periodogram, backward=periodogram_slipped, inputs={"x": rand(5)(3, 6)},
                      constants={"window": 0.54 - 0.46 * np.cos(2 * np.pi * np.arange(6) / 6)}),
         "ifft already holds the 1/n of the periodogram; the further division by n must go.", ("x",), ("factor",))

def specular(normal, half, ks, shininess):
    nh = np.maximum((normal * half).sum(1), 0)
    return ks * nh ** shininess, {"normal": normal, "half": half, "ks": ks, "nh": nh, "p": shininess}
def specular_slipped(dI, c):
    dnh = dI * c["ks"] * c["p"] * c["nh"] ** c["p"]
    return {"normal": dnh[:, None] * c["half"], "half": dnh[:, None] * c["normal"], "ks": dI * c["nh"] ** c["p"]}
def specular_make():
    n = rand(6)(5, 3)
    return dict(forward=specular, backward=specular_slipped, constants={"shininess": 4},
                inputs={"normal": n, "half": 0.4 * n + 0.3 * rand(7)(5, 3), "ks": np.abs(rand(8)(5)) + 0.3})
vjp_item("specular_power_not_lowered", "graphics, Blinn-Phong highlight", specular_make,
         "the derivative of nh**p is p * nh**(p - 1); the exponent was not lowered.",
         ("normal", "half"), ("elementwise-factor",))

def weibull(lam, k, t):
    u = (t / lam) ** k
    return np.log(k / lam) + (k - 1) * np.log(t / lam) - u, (lam, k, t, u)
def weibull_slipped(dlogp, cache):
    lam, k, t, u = cache
    return dlogp * k / lam * (1 - u), dlogp * (1 / k + np.log(t / lam) * (1 - u))
vjp_item("weibull_scale_sign", "statistics, survival log-density",
         lambda: dict(forward=weibull, backward=weibull_slipped, constants={"t": np.abs(rand(9)(5)) + 0.3},
                      inputs={"lam": np.abs(rand(10)(5)) + 0.8, "k": np.abs(rand(11)(5)) + 0.8}),
         "the derivative to the scale is k / lam * (u - 1); it has the wrong sign.", ("lam",), ("sign",))

def kalman(m, P, R, z):
    K = P / (P + R)
    return m + K * (z - m), (m, P, R, z, K)
def kalman_slipped(dm, cache):
    m, P, R, z, K = cache
    dK = dm * (z - m)
    return {"m": dm * (1 - K), "P": dK * R / (P + R) ** 2, "R": np.zeros_like(R)}
vjp_item("kalman_noise_constant", "signal processing, Kalman update",
         lambda: dict(forward=kalman, backward=kalman_slipped, constants={"z": rand(15)(4)},
                      inputs={"m": rand(12)(4), "P": np.abs(rand(13)(4)) + 0.4, "R": np.abs(rand(14)(4)) + 0.4}),
         "the gain depends on the measurement noise R too: its gradient is -dK * P / (P + R)**2, not zero.", ("R",), ("zero",))

def arm(theta, lengths):
    phi = np.cumsum(theta, axis=1)
    tip = np.stack([(lengths * np.cos(phi)).sum(1), (lengths * np.sin(phi)).sum(1)], axis=1)
    return tip, (phi, lengths)
def arm_backward(dtip, cache):
    phi, lengths = cache
    g, s = np.cos(phi), np.sin(phi)
    dl = dtip[:, 0] @ g + dtip[:, 1] @ s
    g *= dtip[:, 1:]
    s *= dtip[:, :1]
    g -= s
    g *= lengths
    return np.cumsum(g[:, ::-1], axis=1)[:, ::-1], dl
vjp_item("robot_arm_right", "kinematics, planar chain, in-place work and a reversed view",
         lambda: dict(forward=arm, backward=arm_backward, inputs={"theta": rand(16)(4, 3), "lengths": np.abs(rand(17)(3)) + 0.5},
                      constants={}))

def pearson(x, y):
    xc, yc = x - x.mean(1, keepdims=True), y - y.mean(1, keepdims=True)
    sx, sy = np.sqrt((xc ** 2).sum(1)), np.sqrt((yc ** 2).sum(1))
    r = (xc * yc).sum(1) / (sx * sy)
    return r, (xc / sx[:, None], yc / sy[:, None], sx, sy, r)
def pearson_backward(dr, cache):
    u, v, sx, sy, r = cache
    r = r[:, None]
    return {"y": (dr / sy)[:, None] * (u - r * v), "x": (dr / sx)[:, None] * (v - r * u)}
vjp_item("pearson_right", "statistics, correlation of rows",
         lambda: dict(forward=pearson, backward=pearson_backward, inputs={"x": 1e3 + 50 * rand(18)(3, 6), "y": rand(19)(3, 6)},
                      constants={}))

def smooth(x, a):
    y = np.empty_like(x)
    y[0] = x[0]
    for t in range(1, len(x)):
        y[t] = y[t - 1] + a * (x[t] - y[t - 1])
    return y, (x, a, y)
def smooth_backward(dy, cache):
    x, a, y = cache
    g = dy.copy()
    da = np.zeros_like(a)
    for t in range(len(x) - 1, 0, -1):
        g[t - 1] += (1 - a) * g[t]
        da += g[t] * (x[t] - y[t - 1])
        g[t] *= a
    return g, da
vjp_item("exponential_smoothing_right", "signal processing, time first, recursion in place",
         lambda: dict(forward=smooth, backward=smooth_backward, inputs={"x": rand(20)(6, 3), "a": np.array([0.2, 0.5, 0.85])},
                      constants={}))

def render(sigma, rgb, delta):
    tau = np.cumsum(sigma * delta, axis=1)
    T = np.exp(-np.concatenate([np.zeros((len(tau), 1)), tau], axis=1))
    w = T[:, :-1] - T[:, 1:]
    return np.einsum("rs,rsc->rc", w, rgb), (T, w, rgb, delta)
def render_backward(dC, cache):
    T, w, rgb, delta = cache
    s = np.einsum("rc,rsc->rs", dC, rgb)
    behind = np.cumsum((w * s)[:, ::-1], axis=1)[:, ::-1] - w * s
    return {"sigma": delta * (T[:, 1:] * s - behind), "rgb": w[:, :, None] * dC[:, None, :]}
vjp_item("volume_rendering_right", "graphics, emission-absorption along rays",
         lambda: dict(forward=render, backward=render_backward, constants={"delta": np.array([0.1, 0.2, 0.4, 0.3])},
                      inputs={"sigma": np.abs(rand(21)(3, 4)) + 0.1, "rgb": rand(22)(3, 4, 3)}))

def rotate(q, v):
    n = np.sqrt((q * q).sum(1, keepdims=True))
    u = q / n
    w, r = u[:, :1], u[:, 1:]
    t = np.cross(r, v)
    return v + 2 * w * t + 2 * np.cross(r, t), (n, u, t, v)
def rotate_backward(g, cache):
    n, u, t, v = cache
    w, r = u[:, :1], u[:, 1:]
    dt = 2 * w * g + 2 * np.cross(g, r)
    dr = 2 * np.cross(t, g) + np.cross(v, dt)
    du = np.hstack([2 * (g * t).sum(1, keepdims=True), dr])
    return (du - u * (u * du).sum(1, keepdims=True)) / n, g + np.cross(dt, r)
vjp_item("quaternion_rotation_right", "graphics, rotation by an unnormalised quaternion",
         lambda: dict(forward=rotate, backward=rotate_backward, inputs={"q": rand(23)(4, 4), "v": rand(24)(4, 3)}, constants={}))

def free_energy(levels):
    E, T = levels["E"], levels["T"][:, None]
    m = E.min(axis=1, keepdims=True)
    Z = np.exp((m - E) / T)
    p = Z / Z.sum(1, keepdims=True)
    F = m[:, 0] - levels["T"] * np.log(Z.sum(1))
    return F, {"p": p, "S": (np.einsum("bk,bk->b", p, E) - F) / levels["T"]}
def free_energy_backward(dF, cache):
    return {"levels": {"E": dF[:, None] * cache["p"], "T": -dF * cache["S"]}}
vjp_item("free_energy_right", "statistical physics, big energies, inputs in a dict",
         lambda: dict(forward=free_energy, backward=free_energy_backward, constants={},
                      inputs={"levels": {"E": 400 + 60 * rand(25)(3, 5), "T": np.array([30.0, 55.0, 90.0])}}))

# ================================================================== verification
def named(grads, diff):
    if isinstance(grads, dict):
        flat = {k if k in diff else k[1:]: v for k, v in grads.items() if not isinstance(v, dict)}
        return flat or {k: v for d in grads.values() for k, v in d.items()}
    return dict(zip(diff, grads if isinstance(grads, tuple) else (grads,)))

def calls_of(item):
    """(arrays to differentiate, all that must stay as it is, run() -> y, state; grads(dy, state)) for each pair"""
    if item.check == "vjp":
        d = item.make()
        flat = {k: v for k, v in d["inputs"].items() if not isinstance(v, dict)} or d["inputs"]["levels"]
        yield (flat, {**flat, **d["constants"]}, lambda: d["forward"](**d["inputs"], **d["constants"]),
               lambda dy, cache: named(d["backward"](dy, cache), list(flat)))
        return
    space = {}
    exec(compile(item.make()["source"], item.name, "exec"), space)
    examples = space.get("examples", {})
    for pair, args, diff, init in CALLS[USED[item.name]](rand(len(item.name))):
        diff = diff.split()
        arrays = {k: args[k] for k in diff}
        if init is None:
            f, b = space.get(pair + "_forward") or space[pair], space[pair + "_backward"]
            f(**examples.get(pair, args))
            yield arrays, args, (lambda: f(**args)), lambda dy, cache: named(b(dy, cache), diff)
        else:
            given = dict(examples.get(pair, {"init": init, **args}))
            space[pair](**given.pop("init")).forward(**given)
            o = space[pair](**init)
            params = dict(getattr(o, "params", None) or {k: getattr(o, k) for k in "Wbc" if hasattr(o, k)})

            def back(dy, _):
                g = named(o.backward(dy), diff)
                return {**g, **{k: o.grads[k] if hasattr(o, "grads") else
                                getattr(o, "grad_" + k, getattr(o, "d" + k, None)) for k in params}}
            yield {**arrays, **params}, args, lambda: (o.forward(**args), None), back

def verify(item):
    wrong, note = set(), set()
    for arrays, keep, run, grads in calls_of(item):
        kept = {k: np.array(v) for k, v in keep.items()}
        y, state = run()
        dy = rand(99)(*y.shape) if np.ndim(y) else 1.3
        dy_kept = np.array(dy)
        got = {k: np.array(v) for k, v in grads(dy, state).items()}
        again = grads(dy, state)
        if not all(np.array_equal(v, keep[k]) for k, v in kept.items()) or not np.array_equal(dy, dy_kept):
            note.add(("mutates-input", ""))
        for k, a in arrays.items():
            want = np.zeros(a.shape)
            for i in np.ndindex(a.shape):
                start, step, side = {n: v.copy() for n, v in arrays.items()}, 1e-6 * max(1.0, abs(a[i])), []
                for h in (step, -step):
                    a[i] = start[k][i] + h
                    np.random.seed(0)
                    side.append(np.array(run()[0]))
                    for n, v in start.items():
                        arrays[n][...] = v
                want[i] = np.sum(dy * (side[0] - side[1])) / (2 * step)
            g, g2 = got[k], np.asarray(again[k])
            err = np.max(np.abs(g - want)) / max(1.0, np.abs(want).max()) if g.shape == want.shape else np.inf
            if g.dtype == np.float32:
                note.add(("precision", k))
            elif np.shape(g) == g2.shape and not np.array_equal(g, g2, equal_nan=True):
                note.add(("accumulates" if np.allclose(g2, 2 * g) else "noise-redrawn", k))
            if not err < 1e-3:
                wrong.add(k)
            assert not err < 1e-3 or err < 1e-6 or g.dtype == np.float32, (item.name, k, err)
    kinds = {n for n, _ in note}
    if item.right or item.causes[0] not in ("mutates-input", "accumulates", "precision", "noise-redrawn"):
        assert wrong == set(item.wrong) and not kinds, (item.name, wrong, note)
    else:
        assert kinds == {item.causes[0]} and {k for _, k in note} - {""} == set(item.wrong) >= wrong, (item.name, wrong, note)

if __name__ == "__main__":
    assert len({i.name for i in ITEMS}) == len(ITEMS)
    with np.errstate(divide="ignore", invalid="ignore"):
        for it in ITEMS:
            verify(it)
    for check in ("file", "vjp"):
        print(check, "wrong", sum(i.check == check and not i.right for i in ITEMS),
              "right", sum(i.check == check and i.right for i in ITEMS))
