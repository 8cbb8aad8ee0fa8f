"""Exam paper P: whole student files, and functions differentiated by hand."""
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
SPECS = {}          # item name -> how the checker below runs it
def R(*shape, seed=0, lo=None, hi=None):
    g = np.random.default_rng(seed + 17 * len(shape) + sum(shape))
    return g.standard_normal(shape) if lo is None else g.uniform(lo, hi, shape)
def file_item(name, style, text, spec, *edit, slip="", wrong=(), causes=()):
    if edit:
        assert text.count(edit[0]) == 1, (name, text.count(edit[0]))
        text = text.replace(*edit)
    ITEMS.append(Item(name, style, "file", lambda: {"source": text}, not edit, slip, wrong, causes))
    SPECS[name] = spec
def FN(fwd, bwd, args, names, call=None):
    return ("fn", fwd, bwd, args, names, call)
def CLS(cls, init, args, names, params=(), value=None, grad=None):
    return ("cls", cls, init, args, names, params, value, grad)
# ---------------------------------------------------------------- 1. assignment layers with caches
LAYERS = '''
import numpy as np
def affine_forward(x, w, b):
    """x: (N, d_1, ..., d_k), w: (D, M), b: (M,)"""
    out = x.reshape(x.shape[0], -1).dot(w) + b
    cache = (x, w, b)
    return out, cache
def affine_backward(dout, cache):
    x, w, b = cache
    dx = dout.dot(w.T).reshape(x.shape)
    dw = x.reshape(x.shape[0], -1).T.dot(dout)
    db = dout.sum(axis=0)
    return dx, dw, db
def leaky_relu_forward(x):
    out = np.where(x > 0, x, 0.1 * x)
    return out, x
def leaky_relu_backward(dout, cache):
    x = cache
    dx = dout.copy()
    dx[x <= 0] *= 0.1
    return dx
def scale_forward(x, gain):
    """one learned gain for each column"""
    return x * np.exp(gain), (x, gain)
def scale_backward(dout, cache):
    x, gain = cache
    dx = dout * np.exp(gain)
    dgain = np.sum(dx * x, axis=0)
    return dx, dgain
examples = {
    "affine": {"x": np.random.RandomState(0).randn(4, 2, 3), "w": np.random.RandomState(1).randn(6, 5),
               "b": np.random.RandomState(2).randn(5)},
    "leaky_relu": {"x": np.random.RandomState(3).randn(4, 5)},
    "scale": {"x": np.random.RandomState(4).randn(4, 5), "gain": np.random.RandomState(5).randn(5)},
}
'''
S_LAYERS = [FN("affine_forward", "affine_backward", dict(x=R(4, 2, 3), w=R(6, 5), b=R(5)), ("x", "w", "b")),
            FN("leaky_relu_forward", "leaky_relu_backward", dict(x=R(4, 5)), ("x",)),
            FN("scale_forward", "scale_backward", dict(x=R(4, 5), gain=R(5)), ("x", "gain"))]
ST = "course assignment, f_forward / f_backward with caches"
file_item("layers_ok", ST, LAYERS, S_LAYERS)
file_item("layers_flat_dx", ST, LAYERS, S_LAYERS, "dx = dout.dot(w.T).reshape(x.shape)", "dx = dout.dot(w.T)",
          slip="affine_backward returns dx flattened; reshape it to x.shape.", wrong=("x",), causes=("shape",))
file_item("layers_leaky_alias", ST, LAYERS, S_LAYERS, "dx = dout.copy()", "dx = dout",
          slip="leaky_relu_backward scales dout in place; copy it first.", wrong=(), causes=("mutates-input",))
# ---------------------------------------------------------------- 2. features first
DEEP = '''
import numpy as np

# columns are examples, A_prev has shape (n_prev, m)
def linear_forward(A_prev, W, b):
    Z = np.dot(W, A_prev) + b          # b: (n, 1)
    cache = {"A_prev": A_prev, "W": W}
    return Z, cache
def linear_backward(dZ, cache):
    A_prev, W = cache["A_prev"], cache["W"]
    m = A_prev.shape[1]
    dW = np.dot(dZ, A_prev.T)
    db = np.sum(dZ, axis=1, keepdims=True)
    dA_prev = np.dot(W.T, dZ)
    return {"dA_prev": dA_prev, "dW": dW, "db": db}
def sigmoid_forward(Z):
    A = 1 / (1 + np.exp(-Z))
    return A, Z
def sigmoid_backward(dA, cache):
    Z = cache
    s = 1 / (1 + np.exp(-Z))
    dZ = dA * s * (1 - s)
    return dZ

def softmax_columns_forward(Z):
    E = np.exp(Z - Z.max(axis=0, keepdims=True))
    A = E / E.sum(axis=0, keepdims=True)
    return A, A
def softmax_columns_backward(dA, cache):
    A = cache
    return A * (dA - np.sum(dA * A, axis=0, keepdims=True))
'''
S_DEEP = [FN("linear_forward", "linear_backward", dict(A_prev=R(4, 5), W=R(3, 4), b=R(3, 1)), ("A_prev", "W", "b")),
          FN("sigmoid_forward", "sigmoid_backward", dict(Z=R(3, 5)), ("Z",)),
          FN("softmax_columns_forward", "softmax_columns_backward", dict(Z=R(3, 5)), ("Z",))]
ST = "features-first notebook, dict caches"
file_item("deep_ok", ST, DEEP, S_DEEP)
file_item("deep_dw_over_m", ST, DEEP, S_DEEP, "np.dot(dZ, A_prev.T)", "np.dot(dZ, A_prev.T) / m",
          slip="linear_backward divides dW by m, though nothing in the forward averages; drop / m.",
          wrong=("W",), causes=("factor",))
file_item("deep_sigmoid_of_z", ST, DEEP, S_DEEP, "dZ = dA * s * (1 - s)", "dZ = dA * Z * (1 - Z)",
          slip="sigmoid_backward uses z (1 - z) with the pre-activation; use s (1 - s).",
          wrong=("Z",), causes=("elementwise-factor",))
# ---------------------------------------------------------------- 3. classes keeping self.dW, loss with labels
BOOK = '''
import numpy as np
class Affine:
    def __init__(self, W, b):
        self.W, self.b = W, b
        self.x = self.dW = self.db = None
    def forward(self, x):
        self.x = x
        return np.dot(x, self.W) + self.b
    def backward(self, dout):
        dx = np.dot(dout, self.W.T)
        self.dW = np.dot(self.x.T, dout)
        self.db = np.sum(dout, axis=0)
        return dx

class Swish:
    def forward(self, x):
        self.sig = 1 / (1 + np.exp(-x))
        self.out = x * self.sig
        return self.out
    def backward(self, dout):
        return dout * (self.out + self.sig * (1 - self.out))

class SoftmaxWithLoss:
    def forward(self, x, t):
        """t: integer labels, shape (batch,)"""
        x = x - np.max(x, axis=1, keepdims=True)
        self.t = t
        self.y = np.exp(x) / np.sum(np.exp(x), axis=1, keepdims=True)
        return -np.mean(np.log(self.y[np.arange(t.size), t]))
    def backward(self, dout=1):
        batch_size = self.t.shape[0]
        dx = self.y.copy()
        dx[np.arange(batch_size), self.t] -= 1
        dx = dx / batch_size
        return dx * dout
'''
T5 = np.array([2, 0, 1, 1, 2])
S_BOOK = [CLS("Affine", dict(W=R(4, 3), b=R(3)), dict(x=R(5, 4)), ("x",), ("W", "b"),
              lambda o, n: getattr(o, n), lambda o, n: getattr(o, "d" + n)),
          CLS("Swish", {}, dict(x=R(5, 4)), ("x",)),
          CLS("SoftmaxWithLoss", {}, dict(x=R(5, 3), t=T5), ("x",))]
ST = "from-scratch book, layer classes keeping self.dW"
file_item("book_ok", ST, BOOK, S_BOOK)
file_item("book_label_after_mean", ST, BOOK, S_BOOK, '''        dx = self.y.copy()
        dx[np.arange(batch_size), self.t] -= 1
        dx = dx / batch_size
''', '''        dx = self.y / batch_size
        dx[np.arange(batch_size), self.t] -= 1
''', slip="SoftmaxWithLoss subtracts 1 at the label after dividing by the batch size; subtract before dividing.",
          wrong=("x",), causes=("missing-term", "elementwise-factor"))
# ---------------------------------------------------------------- 4. Parameter objects
PARAM = '''
import numpy as np
class Parameter:
    def __init__(self, value):
        self.value = np.asarray(value, dtype=float)
        self.grad = np.zeros_like(self.value)

class Dense:
    def __init__(self, n_in, n_out, rng=None):
        rng = rng or np.random.default_rng(1)
        self.weight = Parameter(rng.normal(0, 1 / np.sqrt(n_in), (n_out, n_in)))
        self.bias = Parameter(rng.normal(0, 0.1, n_out))
    def forward(self, x):
        self.x = x
        return x @ self.weight.value.T + self.bias.value
    def backward(self, grad_out):
        self.weight.grad = grad_out.T @ self.x
        self.bias.grad = grad_out.sum(0)
        return grad_out @ self.weight.value

class LayerNorm:
    def __init__(self, dim, eps=1e-5):
        self.gamma = Parameter(np.linspace(0.5, 1.5, dim))
        self.beta = Parameter(np.linspace(-0.3, 0.2, dim))
        self.eps = eps
    def forward(self, x):
        mean = x.mean(-1, keepdims=True)
        self.inv_std = 1.0 / np.sqrt(x.var(-1, keepdims=True) + self.eps)
        self.x_hat = (x - mean) * self.inv_std
        return self.gamma.value * self.x_hat + self.beta.value
    def backward(self, grad_out):
        self.gamma.grad = (grad_out * self.x_hat).sum(0)
        self.beta.grad = grad_out.sum(0)
        g = grad_out * self.gamma.value
        g_mean = g.mean(-1, keepdims=True)
        proj = (g * self.x_hat).mean(-1, keepdims=True)
        return self.inv_std * (g - g_mean - self.x_hat * proj)

class GELU:
    """tanh approximation"""
    def forward(self, x):
        self.x = x
        self.t = np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x ** 3))
        return 0.5 * x * (1 + self.t)
    def backward(self, grad_out):
        x, t = self.x, self.t
        inner = np.sqrt(2 / np.pi) * (1 + 3 * 0.044715 * x ** 2)
        return grad_out * (0.5 * (1 + t) + 0.5 * x * (1 - t ** 2) * inner)
'''
PV, PG = (lambda o, n: getattr(o, n).value), (lambda o, n: getattr(o, n).grad)
S_PARAM = [CLS("Dense", dict(n_in=4, n_out=3), dict(x=R(5, 4)), ("x",), ("weight", "bias"), PV, PG),
           CLS("LayerNorm", dict(dim=4), dict(x=R(5, 4)), ("x",), ("gamma", "beta"), PV, PG),
           CLS("GELU", {}, dict(x=R(5, 4)), ("x",))]
ST = "mini framework with Parameter objects"
file_item("param_ok", ST, PARAM, S_PARAM)
file_item("param_layernorm_mean", ST, PARAM, S_PARAM, "(g - g_mean - self.x_hat * proj)", "(g - self.x_hat * proj)",
          slip="LayerNorm.backward leaves out the path through the mean; subtract g_mean.",
          wrong=("x",), causes=("missing-term",))
# ---------------------------------------------------------------- 5. recurrent net through time
RNN = '''
import numpy as np
def rnn_step_forward(x, prev_h, Wx, Wh, b):
    next_h = np.tanh(x.dot(Wx) + prev_h.dot(Wh) + b)
    return next_h, (x, prev_h, Wx, Wh, next_h)
def rnn_step_backward(dnext_h, cache):
    x, prev_h, Wx, Wh, next_h = cache
    da = dnext_h * (1 - next_h ** 2)
    return da.dot(Wx.T), da.dot(Wh.T), x.T.dot(da), prev_h.T.dot(da), da.sum(axis=0)

def rnn_forward(x, h0, Wx, Wh, b):
    """x: (N, T, D), h0: (N, H) -> h: (N, T, H)"""
    N, T, D = x.shape
    h = np.zeros((N, T, h0.shape[1]))
    cache = []
    prev_h = h0
    for t in range(T):
        prev_h, step = rnn_step_forward(x[:, t], prev_h, Wx, Wh, b)
        h[:, t] = prev_h
        cache.append(step)
    return h, cache
def rnn_backward(dh, cache):
    N, T, H = dh.shape
    D = cache[0][0].shape[1]
    dx = np.zeros((N, T, D))
    dWx, dWh, db = np.zeros((D, H)), np.zeros((H, H)), np.zeros(H)
    dprev_h = np.zeros((N, H))
    for t in reversed(range(T)):
        dx_t, dprev_h, dWx_t, dWh_t, db_t = rnn_step_backward(dh[:, t] + dprev_h, cache[t])
        dx[:, t] = dx_t
        dWx += dWx_t
        dWh += dWh_t
        db += db_t
    dh0 = dprev_h
    return dx, dh0, dWx, dWh, db
'''
W_ = dict(Wx=R(3, 4), Wh=R(4, 4) * .6, b=R(4))
S_RNN = [FN("rnn_step_forward", "rnn_step_backward", dict(x=R(5, 3), prev_h=R(5, 4), **W_), ("x", "prev_h", "Wx", "Wh", "b")),
         FN("rnn_forward", "rnn_backward", dict(x=R(5, 6, 3), h0=R(5, 4), **W_), ("x", "h0", "Wx", "Wh", "b"))]
ST = "course assignment, recurrent layers"
file_item("rnn_ok", ST, RNN, S_RNN)
file_item("rnn_no_carry", ST, RNN, S_RNN, "rnn_step_backward(dh[:, t] + dprev_h, cache[t])", "rnn_step_backward(dh[:, t], cache[t])",
          slip="rnn_backward forgets the gradient from the following step; pass dh[:, t] + dprev_h.",
          wrong=("x", "h0", "Wx", "Wh", "b"), causes=("missing-term", "unknown"))
file_item("rnn_last_db", ST, RNN, S_RNN, "db += db_t", "db = db_t",
          slip="rnn_backward keeps db of one step only; add it over the steps.",
          wrong=("b",), causes=("missing-term", "batch-sum", "unknown"))
# ---------------------------------------------------------------- 6. LSTM step
LSTM = '''
import numpy as np
def sigmoid(z):
    return 0.5 * (1 + np.tanh(0.5 * z))

def lstm_step_forward(x, prev_h, prev_c, Wx, Wh, b):
    a = x @ Wx + prev_h @ Wh + b
    ai, af, ao, ag = np.split(a, 4, axis=1)
    i, f, o, g = sigmoid(ai), sigmoid(af), sigmoid(ao), np.tanh(ag)
    next_c = f * prev_c + i * g
    tanh_c = np.tanh(next_c)
    next_h = o * tanh_c
    cache = (x, prev_h, prev_c, Wx, Wh, i, f, o, g, next_c, tanh_c)
    return next_h, next_c, cache
def lstm_step_backward(dnext_h, dnext_c, cache):
    x, prev_h, prev_c, Wx, Wh, i, f, o, g, next_c, tanh_c = cache
    dc = dnext_c + dnext_h * o * (1 - tanh_c ** 2)
    do = dnext_h * tanh_c
    di, df, dg = dc * g, dc * prev_c, dc * i
    da = np.hstack([di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g ** 2)])
    dx = da @ Wx.T
    dprev_h = da @ Wh.T
    dprev_c = dc * f
    dWx = x.T @ da
    dWh = prev_h.T @ da
    db = da.sum(axis=0)
    return dx, dprev_h, dprev_c, dWx, dWh, db
'''
S_LSTM = [FN("lstm_step_forward", "lstm_step_backward",
             dict(x=R(4, 3), prev_h=R(4, 2), prev_c=R(4, 2), Wx=R(3, 8), Wh=R(2, 8), b=R(8)),
             ("x", "prev_h", "prev_c", "Wx", "Wh", "b"))]
ST = "course assignment, LSTM cell with two outputs"
file_item("lstm_ok", ST, LSTM, S_LSTM)
file_item("lstm_tanh_of_c", ST, LSTM, S_LSTM, "(1 - tanh_c ** 2)", "(1 - next_c ** 2)",
          slip="lstm_step_backward takes 1 - c^2 for the slope of tanh at c; use 1 - tanh(c)^2.",
          wrong=("x", "prev_h", "prev_c", "Wx", "Wh", "b"), causes=("elementwise-factor", "unknown"))
# ---------------------------------------------------------------- 7. GRU class with self.grads
GRU = '''
import numpy as np
class GRUCell:
    def __init__(self, input_size, hidden_size, seed=3):
        rs = np.random.RandomState(seed)
        D, H = input_size, hidden_size
        self.params = {"W_z": rs.randn(D + H, H) * 0.5, "W_r": rs.randn(D + H, H) * 0.5,
                       "W_n": rs.randn(D + H, H) * 0.5, "b_n": rs.randn(H) * 0.1}
        self.grads = {}
    def forward(self, x, h):
        p = self.params
        xh = np.concatenate([x, h], axis=1)
        z = 1 / (1 + np.exp(-xh @ p["W_z"]))
        r = 1 / (1 + np.exp(-xh @ p["W_r"]))
        xrh = np.concatenate([x, r * h], axis=1)
        n = np.tanh(xrh @ p["W_n"] + p["b_n"])
        self.cache = (x, h, xh, z, r, xrh, n)
        return (1 - z) * n + z * h
    def backward(self, dh_next):
        x, h, xh, z, r, xrh, n = self.cache
        p = self.params
        D = x.shape[1]
        dz = dh_next * (h - n) * z * (1 - z)
        dn = dh_next * (1 - z) * (1 - n * n)
        dxrh = dn @ p["W_n"].T
        drh = dxrh[:, D:]
        dr = drh * h * r * (1 - r)
        dxh = dz @ p["W_z"].T + dr @ p["W_r"].T
        dx = dxh[:, :D] + dxrh[:, :D]
        dh = dxh[:, D:] + drh * r + dh_next * z
        self.grads["W_z"] = xh.T @ dz
        self.grads["W_r"] = xh.T @ dr
        self.grads["W_n"] = xrh.T @ dn
        self.grads["b_n"] = dn.sum(axis=0)
        return dx, dh
'''
DV, DG = (lambda o, n: o.params[n]), (lambda o, n: o.grads[n])
S_GRU = [CLS("GRUCell", dict(input_size=3, hidden_size=2), dict(x=R(4, 3), h=R(4, 2)), ("x", "h"),
             ("W_z", "W_r", "W_n", "b_n"), DV, DG)]
ST = "hobby repository, recurrent cell class with self.grads"
file_item("gru_reset_path", ST, GRU, S_GRU, "drh * r + dh_next * z", "dh_next * z",
          slip="GRUCell.backward leaves out the path of h through r * h; add drh * r.",
          wrong=("h",), causes=("missing-term",))
# ---------------------------------------------------------------- 8. text model
TEXT = '''
import numpy as np
class Embedding:
    def __init__(self, vocab, dim):
        self.W = np.random.RandomState(0).randn(vocab, dim)
        self.grads = {"W": None}
    def forward(self, idx):
        self.idx = idx
        return self.W[idx]
    def backward(self, dout):
        dW = np.zeros_like(self.W)
        np.add.at(dW, self.idx, dout)
        self.grads["W"] = dW
        return None

class MeanOverTime:
    """(batch, time, dim) -> (batch, dim)"""
    def forward(self, x):
        self.shape = x.shape
        return x.mean(axis=1)
    def backward(self, dout):
        return np.broadcast_to(dout[:, None, :], self.shape) / self.shape[1]
examples = {
    "Embedding": {"init": {"vocab": 5, "dim": 3}, "idx": np.array([[0, 2, 2], [4, 0, 1], [2, 1, 1], [3, 3, 0]])},
    "MeanOverTime": {"init": {}, "x": np.random.RandomState(1).randn(4, 3, 2)},
}
'''
IDX = np.array([[0, 2, 2], [4, 0, 1], [2, 1, 1], [3, 3, 0]])
S_TEXT = [CLS("Embedding", dict(vocab=5, dim=3), dict(idx=IDX), (), ("W",), lambda o, n: o.W, DG),
          CLS("MeanOverTime", {}, dict(x=R(4, 3, 2)), ("x",))]
ST = "word-vector repository, embedding classes"
file_item("text_ok", ST, TEXT, S_TEXT)
file_item("text_fancy_add", ST, TEXT, S_TEXT, "np.add.at(dW, self.idx, dout)", "dW[self.idx] += dout",
          slip="dW[idx] += dout counts a repeated word once only; use np.add.at.",
          wrong=("W",), causes=("batch-sum", "missing-term"))
# ---------------------------------------------------------------- 9. attention
ATT = '''
import numpy as np
def softmax(s):
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)

def causal_attention(q, k, v):
    """q, k, v: (batch, time, dim)"""
    T, d = q.shape[1:]
    scale = d ** -0.5
    scores = scale * q @ k.transpose(0, 2, 1)
    scores[:, np.triu(np.ones((T, T), dtype=bool), 1)] = -1e9
    p = softmax(scores)
    return p @ v, (q, k, v, p, scale)
def causal_attention_backward(dy, cache):
    q, k, v, p, scale = cache
    dv = p.transpose(0, 2, 1) @ dy
    dp = dy @ v.transpose(0, 2, 1)
    ds = p * (dp - (dp * p).sum(axis=-1, keepdims=True))
    dq = scale * ds @ k
    dk = scale * ds.transpose(0, 2, 1) @ q
    return dq, dk, dv
'''
S_ATT = [FN("causal_attention", "causal_attention_backward", dict(q=R(3, 4, 2), k=R(3, 4, 2, seed=1), v=R(3, 4, 2, seed=2)),
            ("q", "k", "v"))]
ST = "transformer from scratch, f / f_backward"
file_item("attention_ok", ST, ATT, S_ATT)
file_item("attention_softmax_axis", ST, ATT, S_ATT, "(dp * p).sum(axis=-1, keepdims=True)", "(dp * p).sum(axis=1, keepdims=True)",
          slip="the softmax's backward sums over the queries (axis 1); sum over the keys (axis -1).",
          wrong=("q", "k"), causes=("shape", "missing-term", "unknown"))
# ---------------------------------------------------------------- 10. batch normalization
BN = '''
import numpy as np
class BatchNorm1d:
    def __init__(self, num_features, eps=1e-3, momentum=0.9):
        rng = np.random.RandomState(7)
        self.params = {"gamma": 1 + 0.3 * rng.randn(num_features), "beta": rng.randn(num_features)}
        self.grads = {"gamma": np.zeros(num_features), "beta": np.zeros(num_features)}
        self.running_mean = np.zeros(num_features)
        self.running_var = np.ones(num_features)
        self.eps, self.momentum = eps, momentum
    def forward(self, x):
        mu = x.mean(axis=0)
        self.xmu = x - mu
        var = np.mean(self.xmu ** 2, axis=0)
        self.std = np.sqrt(var + self.eps)
        self.xhat = self.xmu / self.std
        self.running_mean = self.momentum * self.running_mean + (1 - self.momentum) * mu
        self.running_var = self.momentum * self.running_var + (1 - self.momentum) * var
        return self.params["gamma"] * self.xhat + self.params["beta"]
    def backward(self, dout):
        N = dout.shape[0]
        self.grads["gamma"] = np.sum(dout * self.xhat, axis=0)
        self.grads["beta"] = np.sum(dout, axis=0)
        dxhat = dout * self.params["gamma"]
        dvar = np.sum(dxhat * self.xmu, axis=0) * -0.5 / self.std ** 3
        dxmu = dxhat / self.std + 2.0 / N * self.xmu * dvar
        return dxmu - dxmu.mean(axis=0)
'''
S_BN = [CLS("BatchNorm1d", dict(num_features=4), dict(x=R(5, 4) * 2 + 1), ("x",), ("gamma", "beta"), DV, DG)]
ST = "hobby framework, class with self.params and self.grads"
file_item("batchnorm_ok", ST, BN, S_BN)
file_item("batchnorm_beta_grows", ST, BN, S_BN, 'self.grads["beta"] = np', 'self.grads["beta"] += np',
          slip="backward adds to grads['beta'] and nothing clears it; assign it.", wrong=(), causes=("accumulates",))
# ---------------------------------------------------------------- 11. one-dimensional convolution
CONV = '''
import numpy as np
def conv1d_forward(x, w, b, pad=1):
    """x: (N, C, L), w: (F, C, K), b: (F,)"""
    K = w.shape[2]
    xp = np.pad(x, ((0, 0), (0, 0), (pad, pad)))
    L_out = xp.shape[2] - K + 1
    out = np.zeros((x.shape[0], w.shape[0], L_out))
    for s in range(L_out):
        out[:, :, s] = np.tensordot(xp[:, :, s:s + K], w, axes=([1, 2], [1, 2])) + b
    return out, (x, xp, w, b, pad)
def conv1d_backward(dout, cache):
    x, xp, w, b, pad = cache
    K, L = w.shape[2], x.shape[2]
    dxp = np.zeros_like(xp)
    dw = np.zeros_like(w)
    db = np.zeros_like(b)
    db += dout.sum(axis=(0, 2))
    for s in range(dout.shape[2]):
        dxp[:, :, s:s + K] += np.tensordot(dout[:, :, s], w, axes=(1, 0))
        dw += np.tensordot(dout[:, :, s], xp[:, :, s:s + K], axes=(0, 0))
    dx = dxp[:, :, pad:pad + L]
    return dx, dw, db

def maxpool1d_forward(x, size=2):
    N, C, L = x.shape
    windows = x[:, :, :L // size * size].reshape(N, C, L // size, size)
    arg = windows.argmax(axis=3)
    return windows.max(axis=3), (x.shape, arg, size)
def maxpool1d_backward(dout, cache):
    shape, arg, size = cache
    dx = np.zeros(shape)
    n, c, j = np.indices(arg.shape)
    dx[n, c, j * size + arg] = dout
    return dx
examples = {
    "conv1d": {"x": np.random.RandomState(0).randn(3, 2, 6), "w": np.random.RandomState(1).randn(4, 2, 3),
               "b": np.random.RandomState(2).randn(4)},
    "maxpool1d": {"x": np.random.RandomState(3).randn(3, 2, 6)},
}
'''
S_CONV = [FN("conv1d_forward", "conv1d_backward", dict(x=R(3, 2, 6), w=R(4, 2, 3), b=R(4)), ("x", "w", "b")),
          FN("maxpool1d_forward", "maxpool1d_backward", dict(x=R(3, 2, 6)), ("x",))]
ST = "convolution homework with loops"
file_item("conv_ok", ST, CONV, S_CONV)
file_item("conv_crop", ST, CONV, S_CONV, "dxp[:, :, pad:pad + L]", "dxp[:, :, :L]",
          slip="conv1d_backward cuts the padding off at the right end only; take dxp[:, :, pad:pad + L].",
          wrong=("x",), causes=("transpose", "shape", "unknown"))
file_item("conv_db_unfilled", ST, CONV, S_CONV, "    db += dout.sum(axis=(0, 2))\n", "",
          slip="conv1d_backward never fills db; add dout over batch and positions.", wrong=("b",), causes=("zero",))
# ---------------------------------------------------------------- 12. losses with labels
LOSS = '''
import numpy as np
def hinge_loss(scores, y, margin=1.0):
    """y: integer class labels"""
    n = len(y)
    diff = scores - scores[np.arange(n), y][:, None] + margin
    diff[np.arange(n), y] = 0
    return np.maximum(diff, 0).sum() / n, (diff > 0, y)
def hinge_loss_backward(dloss, cache):
    active, y = cache
    n = len(y)
    d = active.astype(float)
    d[np.arange(n), y] = -active.sum(axis=1)
    return dloss * d / n

def bce_with_logits(logits, targets):
    """mean over everything, targets in {0, 1}"""
    loss = np.maximum(logits, 0) - logits * targets + np.log1p(np.exp(-np.abs(logits)))
    return loss.mean(), (logits, targets)
def bce_with_logits_backward(dloss, cache):
    logits, targets = cache
    p = 1 / (1 + np.exp(-logits))
    return dloss * (p - targets) / logits.size

def huber_loss(pred, target, delta=0.7):
    r = pred - target
    a = np.abs(r)
    loss = np.where(a <= delta, 0.5 * r ** 2, delta * (a - 0.5 * delta))
    return loss.sum(axis=1), (r, delta)
def huber_loss_backward(dloss, cache):
    r, delta = cache
    d_pred = dloss[:, None] * np.clip(r, -delta, delta)
    return d_pred, -d_pred
examples = {
    "hinge_loss": {"scores": np.random.RandomState(0).randn(5, 3), "y": np.array([2, 0, 1, 1, 2])},
    "bce_with_logits": {"logits": np.random.RandomState(1).randn(4, 3), "targets": np.eye(4)[:, :3].astype(int)},
    "huber_loss": {"pred": np.random.RandomState(2).randn(4, 3), "target": np.random.RandomState(3).randn(4, 3)},
}
'''
S_LOSS = [FN("hinge_loss", "hinge_loss_backward", dict(scores=R(5, 3), y=T5), ("scores",)),
          FN("bce_with_logits", "bce_with_logits_backward", dict(logits=R(4, 3), targets=np.eye(4)[:, :3].astype(int)), ("logits",)),
          FN("huber_loss", "huber_loss_backward", dict(pred=R(4, 3), target=R(4, 3, seed=9)), ("pred", "target"))]
ST = "loss functions with labels, f / f_backward"
file_item("losses_ok", ST, LOSS, S_LOSS)
file_item("losses_bce_sign", ST, LOSS, S_LOSS, "(p - targets)", "(targets - p)",
          slip="bce_with_logits_backward returns the ascent direction; use p - targets.", wrong=("logits",), causes=("sign",))
# ---------------------------------------------------------------- 13. graph convolution
GCN = '''
import numpy as np
class GraphConv:
    """adj is row-normalised, hence not symmetric"""
    def __init__(self, W):
        self.W = W
        self.grad_W = None
    def forward(self, X, adj):
        self.adj = adj
        self.AX = adj @ X
        return np.tanh(self._pre(self.AX))
    def _pre(self, AX):
        self.H = AX @ self.W
        return self.H
    def backward(self, grad):
        g = grad * (1 - np.tanh(self.H) ** 2)
        self.grad_W = self.AX.T @ g
        return self.adj.T @ (g @ self.W.T)

_A = np.array([[1, 1, 0, 0], [1, 1, 1, 1], [0, 1, 1, 0], [0, 1, 0, 1]], dtype=float)
examples = {"GraphConv": {"init": {"W": np.random.RandomState(0).randn(3, 2)},
                          "X": np.random.RandomState(1).randn(4, 3), "adj": _A / _A.sum(1, keepdims=True)}}
'''
_A = np.array([[1, 1, 0, 0], [1, 1, 1, 1], [0, 1, 1, 0], [0, 1, 0, 1]], dtype=float)
S_GCN = [CLS("GraphConv", dict(W=R(3, 2)), dict(X=R(4, 3), adj=_A / _A.sum(1, keepdims=True)), ("X",), ("W",),
             lambda o, n: o.W, lambda o, n: o.grad_W)]
file_item("graph_adj_not_transposed", "graph network class with self.grad_W", GCN, S_GCN, "self.adj.T @ (g", "self.adj @ (g",
          slip="GraphConv.backward multiplies by adj, which is not symmetric; use adj.T.", wrong=("X",), causes=("transpose",))
# ---------------------------------------------------------------- 14. VAE head
VAE = '''
import numpy as np
def reparam_forward(mu, logvar, eps):
    std = np.exp(0.5 * logvar)
    return mu + std * eps, (std, eps)
def reparam_backward(dz, cache):
    std, eps = cache
    dmu = dz
    dlogvar = 0.5 * dz * eps * std
    return dmu, dlogvar

def kl_forward(mu, logvar):
    kl = 0.5 * np.sum(mu ** 2 + np.exp(logvar) - 1 - logvar, axis=1)
    return kl, (mu, logvar)
def kl_backward(dkl, cache):
    mu, logvar = cache
    return dkl[:, None] * mu, dkl[:, None] * 0.5 * (np.exp(logvar) - 1)
'''
S_VAE = [FN("reparam_forward", "reparam_backward", dict(mu=R(4, 3), logvar=R(4, 3, seed=1), eps=R(4, 3, seed=2)), ("mu", "logvar")),
         FN("kl_forward", "kl_backward", dict(mu=R(4, 3), logvar=R(4, 3, seed=1)), ("mu", "logvar"))]
file_item("vae_fresh_noise", "VAE script, f_forward / f_backward", VAE, S_VAE, "    std, eps = cache\n",
          "    std, _ = cache\n    eps = np.random.randn(*std.shape)\n",
          slip="reparam_backward draws eps anew; use the eps of the forward pass.", wrong=("logvar",),
          causes=("noise-redrawn", "elementwise-factor"))

# ================================================================= vjp: functions differentiated by hand
def vjp(name, style, fwd, bwd, inputs, constants=None, slip="", wrong=(), causes=()):
    def make():
        return {"forward": fwd, "backward": bwd, "inputs": {k: v.copy() for k, v in inputs.items()},
                "constants": dict(constants or {})}
    ITEMS.append(Item(name, style, "vjp", make, not slip, slip, wrong, causes))

# --- wrong ones
def lj_energy(pos, eps, sigma):
    i, j = np.triu_indices(len(pos), 1)
    d = pos[i] - pos[j]
    r2 = np.sum(d ** 2, axis=1)
    s6 = (sigma ** 2 / r2) ** 3
    return np.sum(4 * eps * (s6 ** 2 - s6)), (pos, d, r2, s6, eps)
def lj_energy_back(dE, cache):
    pos, d, r2, s6, eps = cache
    i, j = np.triu_indices(len(pos), 1)
    f = (dE * 4 * eps * (-12 * s6 ** 2 + 6 * s6) / r2)[:, None] * d
    g = np.zeros_like(pos)
    np.add.at(g, i, f)
    return {"pos": g}
vjp("lennard_jones_reaction", "molecular dynamics homework", lj_energy, lj_energy_back,
    dict(pos=np.array([[0, 0, .1], [1.1, -.2, 0], [-.3, 1.2, .2], [.9, 1., -.8]])), dict(eps=1.3, sigma=1.0),
    slip="each pair's force goes to particle i only; subtract it at j as well.", wrong=("pos",),
    causes=("missing-term", "unknown"))

def power(x):
    X = np.fft.fft(x, axis=-1)
    return np.abs(X) ** 2, X
def power_back(dP, X):
    return 2 * np.real(np.fft.ifft(dP * X, axis=-1))
vjp("power_spectrum_ifft", "signal processing notebook", power, power_back, dict(x=R(3, 6)),
    slip="np.fft.ifft divides by n, the adjoint of fft does not; multiply by n.", wrong=("x",), causes=("factor",))

def quat_rotate(q, v):
    n = np.linalg.norm(q)
    w, u = q[0] / n, q[1:] / n
    K = np.array([[0, -u[2], u[1]], [u[2], 0, -u[0]], [-u[1], u[0], 0]])
    M = np.eye(3) + 2 * w * K + 2 * K @ K
    return v @ M.T, (q, n, w, u, K, M, v)
def quat_rotate_back(dy, cache):
    q, n, w, u, K, M, v = cache
    dM = dy.T @ v
    dw = 2 * np.sum(dM * K)
    dK = 2 * w * dM + 2 * (dM @ K.T + K.T @ dM)
    du = np.array([dK[2, 1] - dK[1, 2], dK[0, 2] - dK[2, 0], dK[1, 0] - dK[0, 1]])
    unit, d = q / n, np.r_[dw, du]
    return (d - unit * (unit @ d)) / n, dy @ M.T
vjp("quaternion_rotate_back", "graphics course, rotating points", quat_rotate, quat_rotate_back, dict(q=np.array([.9, -.5, .7, .3]), v=R(4, 3)),
    slip="dv is rotated forward once more; use dy @ M, the inverse rotation.", wrong=("v",), causes=("transpose",))

def project(points, focal):
    x, y, z = points.T
    return np.stack([focal * x / z, focal * y / z], axis=1), (points, focal)
def project_back(duv, cache):
    points, focal = cache
    x, y, z = points.T
    du, dv = duv.T
    dz = -focal * (du * x + dv * y) / z
    return {"points": np.stack([focal * du / z, focal * dv / z, dz], axis=1), "focal": np.sum(du * x / z + dv * y / z)}
vjp("pinhole_depth", "graphics course, pinhole camera", project, project_back,
    dict(points=R(5, 3) + np.array([0, 0, 6.]), focal=np.array(1.7)),
    slip="d(x/z)/dz is -x/z^2; one division by z is missing.", wrong=("points",), causes=("elementwise-factor",))

def pearson(a, b):
    ac, bc = a - a.mean(), b - b.mean()
    na, nb = np.sqrt(ac @ ac), np.sqrt(bc @ bc)
    return ac @ bc / (na * nb), {"ac": ac, "bc": bc, "na": na, "nb": nb}
def pearson_back(dr, c):
    r = c["ac"] @ c["bc"] / (c["na"] * c["nb"])
    da = dr * c["bc"] / (c["na"] * c["nb"])
    db = dr * (c["ac"] / (c["na"] * c["nb"]) - r * c["bc"] / c["nb"] ** 2)
    return da, db
vjp("pearson_norm_path", "statistics exercise", pearson, pearson_back, dict(a=R(6), b=R(6) * .5 + R(6, seed=4)),
    slip="da treats the norm of a as a constant; subtract r * ac / na^2.", wrong=("a",), causes=("missing-term",))

def student_t(x, mu, log_s, nu):
    s = np.exp(log_s)
    u = (x - mu) / s
    return -log_s - 0.5 * (nu + 1) * np.log1p(u ** 2 / nu), (u, s, nu)
def student_t_back(dl, cache):
    u, s, nu = cache
    g = dl * (nu + 1) * u / (nu + u ** 2)
    return {"x": -g / s, "mu": np.sum(-g / s, axis=0), "log_s": np.sum(g * u - dl, axis=0)}
vjp("student_t_location", "statistics exercise, robust likelihood", student_t, student_t_back,
    dict(x=R(5, 3), mu=R(3), log_s=.3 * R(3, seed=1)), dict(nu=4.0),
    slip="mu enters as x - mu, so its gradient is + g / s; the sign is that of x.", wrong=("mu",), causes=("sign",))

def smooth(x, a):
    y = np.zeros_like(x)
    s = np.zeros(x.shape[0])
    for t in range(x.shape[1]):
        s = a * x[:, t] + (1 - a) * s
        y[:, t] = s
    return y, (x, y, a)
def smooth_back(dy, cache):
    x, y, a = cache
    dx, da, carry = np.zeros_like(x), 0.0, np.zeros(x.shape[0])
    for t in reversed(range(x.shape[1])):
        g = dy[:, t] + carry
        dx[:, t] = a * g
        da += np.sum(g * x[:, t])
        carry = (1 - a) * g
    return dx, np.array(da)
vjp("ema_coefficient", "signal processing, one-pole filter", smooth, smooth_back, dict(x=R(3, 6), a=np.array(.35)),
    slip="a also weighs the previous state by 1 - a; use g * (x_t - y_{t-1}).", wrong=("a",), causes=("missing-term", "unknown"))

# --- right ones
def bilinear(img, uv):
    i, j = np.floor(uv).astype(int).T
    fy, fx = (uv - np.floor(uv)).T
    y = img[i, j] * (1 - fy) * (1 - fx) + img[i + 1, j] * fy * (1 - fx) + img[i, j + 1] * (1 - fy) * fx + img[i + 1, j + 1] * fy * fx
    return y, (img, i, j, fy, fx)
def bilinear_back(dy, cache):
    img, i, j, fy, fx = cache
    dimg = np.zeros_like(img)
    for di, wy in ((0, 1 - fy), (1, fy)):
        for dj, wx in ((0, 1 - fx), (1, fx)):
            np.add.at(dimg, (i + di, j + dj), dy * wy * wx)
    gy = (img[i + 1, j] - img[i, j]) * (1 - fx) + (img[i + 1, j + 1] - img[i, j + 1]) * fx
    gx = (img[i, j + 1] - img[i, j]) * (1 - fy) + (img[i + 1, j + 1] - img[i + 1, j]) * fy
    return dimg, dy[:, None] * np.stack([gy, gx], axis=1)
vjp("bilinear_texture", "graphics course, texture lookup", bilinear, bilinear_back,
    dict(img=R(4, 5), uv=np.array([[.3, 1.6], [2.4, 3.2], [.7, 1.3], [1.5, .4], [2.8, 2.7]])))

def mixture(x, logits, mu, log_s):
    lw = logits - np.logaddexp.reduce(logits)
    u = (x[:, None] - mu) * np.exp(-log_s)
    lp = lw - log_s - .5 * u ** 2 - .5 * np.log(2 * np.pi)
    total = np.logaddexp.reduce(lp, axis=1)
    return total.sum(), (np.exp(lp - total[:, None]), u, np.exp(lw), log_s)
def mixture_back(dL, cache):
    resp, u, w, log_s = cache
    g = dL * resp * u * np.exp(-log_s)
    return dict(x=-g.sum(1), logits=dL * (resp.sum(0) - len(resp) * w), mu=g.sum(0), log_s=dL * np.sum(resp * (u ** 2 - 1), axis=0))
vjp("normal_mixture", "statistics, EM lecture", mixture, mixture_back, dict(x=R(5), logits=R(3), mu=R(3, seed=1), log_s=.4 * R(3, seed=2)))

def circ_conv(x, h):
    X, H = np.fft.rfft(x), np.fft.rfft(h, x.shape[-1])
    return np.fft.irfft(X * H, x.shape[-1]), (X, H, x.shape[-1], h.shape[-1])
def circ_conv_back(dy, cache):
    X, H, n, k = cache
    D = np.fft.rfft(dy)
    return np.fft.irfft(D * H.conj(), n), np.fft.irfft(D * X.conj(), n).sum(axis=0)[:k]
vjp("circular_convolution", "signal processing, filter by FFT", circ_conv, circ_conv_back, dict(x=R(4, 6), h=R(3)))

def mvn(x, mu, L):
    T = np.tril(L)
    r = (x - mu) @ T
    return np.sum(np.log(np.abs(np.diag(T)))) - .5 * np.sum(r * r, axis=1), (x, mu, T, r)
def mvn_back(dl, cache):
    x, mu, T, r = cache
    dr = -dl[:, None] * r
    dx = dr @ T.T
    dT = np.tril((x - mu).T @ dr) + np.diag(dl.sum() / np.diag(T))
    return dx, -dx.sum(0), dT
vjp("precision_cholesky", "statistics, multivariate normal", mvn, mvn_back, dict(x=R(4, 3), mu=R(3), L=R(3, 3) + 2 * np.eye(3)))

def pendulum(theta, omega, params, dt, steps):
    k = params["g"] / params["length"]
    trace = []
    for _ in range(steps):
        trace.append(theta)
        omega = omega - dt * k * np.sin(theta)
        theta = theta + dt * omega
    return theta, {"trace": trace, "k": k, "params": params, "dt": dt}
def pendulum_back(dtheta, c):
    domega, dk, dt, p = np.zeros_like(dtheta), 0.0, c["dt"], c["params"]
    for th in c["trace"][::-1]:
        domega = domega + dt * dtheta
        dk = dk - dt * np.sum(domega * np.sin(th))
        dtheta = dtheta - dt * c["k"] * np.cos(th) * domega
    return {"theta": dtheta, "omega": domega, "params": {"g": np.array(dk / p["length"]), "length": np.array(-dk * c["k"] / p["length"])}}

ITEMS.append(Item("pendulum_steps", "physics, symplectic Euler", "vjp", lambda: dict(
    forward=pendulum, backward=pendulum_back, constants=dict(dt=.2, steps=7), inputs=dict(
        theta=R(4), omega=R(4, seed=1), params={"g": np.array(9.8), "length": np.array(1.9)})), True))

def spherical(s):
    r, th, ph = s
    return np.array([r * np.sin(th) * np.cos(ph), r * np.sin(th) * np.sin(ph), r * np.cos(th)]), s.copy()
def spherical_back(dy, s):
    (r, th, ph), (a, b, c) = s, dy
    er = a * np.cos(ph) + b * np.sin(ph)
    return np.array([er * np.sin(th) + c * np.cos(th), r * (er * np.cos(th) - c * np.sin(th)), r * np.sin(th) * (b * np.cos(ph) - a * np.sin(ph))])
vjp("spherical_coordinates", "vector calculus, coordinates in rows", spherical, spherical_back, dict(s=R(3, 5, lo=.4, hi=2.6)))

# ================================================================= verification
def numeric(value, arr, h=1e-5):
    g = np.zeros(arr.shape)
    for i in np.ndindex(arr.shape):
        old = arr[i]
        arr[i] = old + h
        up = value()
        arr[i] = old - h
        g[i] = (up - value()) / (2 * h)
        arr[i] = old
    return g
def off(a, b):
    return np.inf if a is None or np.shape(a) != b.shape else np.max(np.abs(a - b)) / max(1.0, np.max(np.abs(b)))
def as_list(g, names):
    if isinstance(g, dict):
        return [g[n] if n in g else g["d" + n] for n in names]
    return list(g) if isinstance(g, tuple) else [g]
def check_part(ns, part):
    """errors by name, and the names of other faults"""
    kind, a, b, args, names = part[:5]
    args = {k: np.array(v) for k, v in args.items()}
    if kind == "fn":
        obj, pars = None, {}
        run = lambda: ns[a](**args)
        r = run()
        outs, back = r[:-1], lambda d: ns[b](*d, r[-1])
        get = lambda: run()[:-1]
    else:
        obj = ns[a](**{k: np.array(v) if isinstance(v, np.ndarray) else v for k, v in b.items()})
        pars = {n: part[6](obj, n) for n in part[5]}
        get = lambda: (obj.forward(**args),)
        outs, back = get(), lambda d: obj.backward(*d)
    rng = np.random.default_rng(5)
    d = [rng.standard_normal(np.shape(o)) if np.shape(o) else float(rng.standard_normal()) for o in outs]
    value = lambda: sum(np.sum(o * g) for o, g in zip(get(), d))
    num = {n: numeric(value, x) for n, x in {**{n: args[n] for n in names}, **pars}.items()}
    get()
    before = [np.copy(x) for x in list(args.values()) + d]
    keep = [np.copy(x) for x in d]
    fault = set()
    take = lambda g: {**dict(zip(names, as_list(g, names) if names else [])), **{n: np.copy(part[7](obj, n)) for n in pars}}
    first = take(back(d))
    if any(not np.array_equal(p, q) for p, q in zip(before, list(args.values()) + d)):
        fault.add("mutates-input")
    err = {n: off(first[n], num[n]) for n in num}
    second = take(back([k if np.shape(k) else float(k) for k in keep]))
    if any(off(second[n], np.asarray(first[n])) > 1e-9 for n in num):
        fault.add("noise-redrawn" if "random.randn(*" in ns["_text"] else "accumulates")
    return err, fault
def check_vjp(a):
    flat = {}
    for k, v in a["inputs"].items():
        flat.update({f"{k}.{n}": x for n, x in v.items()} if isinstance(v, dict) else {k: v})
    run = lambda: a["forward"](**a["inputs"], **a["constants"])
    y, cache = run()
    dy = np.random.default_rng(5).standard_normal(np.shape(y))
    before = [x.copy() for x in flat.values()] + [np.copy(dy)]
    out = dict(zip(a["inputs"], as_list(a["backward"](dy, cache), list(a["inputs"]))))
    fault = set() if all(np.array_equal(p, q) for p, q in zip(before, [*flat.values(), dy])) else {"mutates-input"}
    got = {}
    for k, v in out.items():
        got.update({f"{k}.{n}": x for n, x in v.items()} if isinstance(v, dict) else {k: v})
    return {k: off(got[k], numeric(lambda: np.sum(run()[0] * dy), x)) for k, x in flat.items()}, fault
if __name__ == "__main__":
    bad = 0
    assert len({i.name for i in ITEMS}) == len(ITEMS)
    for it in ITEMS:
        if it.check == "file":
            ns = {}
            exec(it.make()["source"], ns)
            ns["_text"] = it.make()["source"]
            parts = [check_part(ns, p) for p in SPECS[it.name]]
        else:
            parts = [check_vjp(it.make())]
        wrong = sorted({n for e, _ in parts for n, v in e.items() if v > 1e-3})
        unclear = [n for e, _ in parts for n, v in e.items() if 1e-6 < v <= 1e-3]
        faults = set().union(*(f for _, f in parts))
        silent = faults & set(it.causes)
        ok = wrong == sorted(it.wrong) and not unclear and (not faults or bool(silent)) and (it.right != bool(wrong or faults))
        bad += not ok
        if not ok:
            print("BAD", it.name, wrong, it.wrong, unclear, faults)
    for c in ("file", "vjp"):
        print(c, sum(i.check == c and not i.right for i in ITEMS), "wrong", sum(i.check == c and i.right for i in ITEMS), "right")
    print("bad", bad)
