"""Whole module files as they are handed in."""
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


def _text(text):
    return lambda: {"source": text}


ITEMS = []

ITEMS.append(Item('cs_layernorm_no_mean_term', 'CS231n assignment: layers.py', "file", _text(r'''import numpy as np


def affine_forward(x, w, b):
    """x: (N, d_1, ..., d_k), w: (D, M), b: (M,)"""
    out = x.reshape(x.shape[0], -1).dot(w) + b
    return out, (x, w, b)


def affine_backward(dout, cache):
    x, w, b = cache
    dx = dout.dot(w.T).reshape(x.shape)
    dw = x.reshape(x.shape[0], -1).T.dot(dout)
    db = dout.sum(axis=0)
    return dx, dw, db


def relu_forward(x):
    return np.maximum(0, x), x


def relu_backward(dout, cache):
    x = cache
    return dout * (x > 0)


def layernorm_forward(x, gamma, beta, eps=1e-5):
    mu = x.mean(axis=1, keepdims=True)
    var = x.var(axis=1, keepdims=True)
    istd = 1.0 / np.sqrt(var + eps)
    xhat = (x - mu) * istd
    return gamma * xhat + beta, (xhat, istd, gamma)


def layernorm_backward(dout, cache):
    xhat, istd, gamma = cache
    dgamma = (dout * xhat).sum(axis=0)
    dbeta = dout.sum(axis=0)
    g = dout * gamma
    D = xhat.shape[1]
    dx = istd / D * (D * g
                     - xhat * (g * xhat).sum(axis=1, keepdims=True))
    return dx, dgamma, dbeta


def max_pool_forward(x, size=2):
    N, C, H, W = x.shape
    Ho, Wo = H // size, W // size
    out = np.zeros((N, C, Ho, Wo))
    for i in range(Ho):
        for j in range(Wo):
            out[:, :, i, j] = x[:, :, i*size:(i+1)*size, j*size:(j+1)*size].max(axis=(2, 3))
    return out, (x, out, size)


def max_pool_backward(dout, cache):
    x, out, size = cache
    dx = np.zeros_like(x)
    for i in range(out.shape[2]):
        for j in range(out.shape[3]):
            win = x[:, :, i*size:(i+1)*size, j*size:(j+1)*size]
            mask = win == out[:, :, i, j][:, :, None, None]
            dx[:, :, i*size:(i+1)*size, j*size:(j+1)*size] += mask * dout[:, :, i, j][:, :, None, None]
    return dx


rng = np.random.default_rng(231)
examples = {
    "affine": (rng.normal(size=(3, 2, 3)), rng.normal(size=(6, 4)), rng.normal(size=4)),
    "relu": (rng.normal(size=(4, 5)),),
    "layernorm": (rng.normal(size=(4, 5)), rng.normal(size=5), rng.normal(size=5)),
    "max_pool": (rng.normal(size=(2, 1, 4, 4)),),
}
'''), False, 'layernorm_backward: the path through the mean is left out', ('x',), ('missing-term',)))

ITEMS.append(Item('nlp_attention_no_scale', 'NLP course, functions with dicts of gradients', "file", _text(r'''import numpy as np


def softmax(s):
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def attention(q, k, v):
    """Scaled dot-product attention, causal.  q, k, v: (B, T, d)"""
    T, d = q.shape[1:]
    scores = np.einsum("btd,bsd->bts", q, k) / np.sqrt(d)
    keep = np.tril(np.ones((T, T), dtype=bool))
    p = softmax(np.where(keep, scores, -1e30))
    return p @ v, {"q": q, "k": k, "v": v, "p": p}


def attention_backward(dout, cache):
    q, k, v, p = cache["q"], cache["k"], cache["v"], cache["p"]
    dv = np.einsum("bts,btd->bsd", p, dout)
    dp = np.einsum("btd,bsd->bts", dout, v)
    ds = p * (dp - (dp * p).sum(axis=-1, keepdims=True))
    return {"q": np.einsum("bts,bsd->btd", ds, k),
            "k": np.einsum("bts,btd->bsd", ds, q),
            "v": dv}


def embed(tokens, table):
    return table[tokens], {"tokens": tokens, "shape": table.shape}


def embed_backward(dout, cache):
    dtable = np.zeros(cache["shape"])
    np.add.at(dtable, cache["tokens"], dout)
    return {"table": dtable}


def masked_mean(h, mask):
    """Mean of the hidden states over the words that are no padding.  h: (B, T, d), mask: (B, T)"""
    count = mask.sum(axis=1)
    pooled = (h * mask[:, :, None]).sum(axis=1) / count[:, None]
    return pooled, {"mask": mask, "count": count}


def masked_mean_backward(dout, cache):
    g = dout / cache["count"][:, None]
    return {"h": g[:, None, :] * cache["mask"][:, :, None]}


_r = np.random.RandomState(3)
examples = {
    "attention": {"q": _r.randn(2, 3, 4), "k": _r.randn(2, 3, 4), "v": _r.randn(2, 3, 4)},
    "embed": {"tokens": np.array([[1, 3, 1], [0, 4, 4]]), "table": _r.randn(5, 3)},
    "masked_mean": {"h": _r.randn(2, 4, 3), "mask": np.array([[1., 1., 1., 0.], [1., 1., 0., 0.]])},
}
'''), False, "attention_backward: 1/sqrt(d) missing in the scores' gradient", ('q', 'k'), ('factor',)))

ITEMS.append(Item('nlp_embed_fancy_index', 'NLP course, functions with dicts of gradients', "file", _text(r'''import numpy as np


def softmax(s):
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def attention(q, k, v):
    """Scaled dot-product attention, causal.  q, k, v: (B, T, d)"""
    T, d = q.shape[1:]
    scores = np.einsum("btd,bsd->bts", q, k) / np.sqrt(d)
    keep = np.tril(np.ones((T, T), dtype=bool))
    p = softmax(np.where(keep, scores, -1e30))
    return p @ v, {"q": q, "k": k, "v": v, "p": p}


def attention_backward(dout, cache):
    q, k, v, p = cache["q"], cache["k"], cache["v"], cache["p"]
    dv = np.einsum("bts,btd->bsd", p, dout)
    dp = np.einsum("btd,bsd->bts", dout, v)
    ds = p * (dp - (dp * p).sum(axis=-1, keepdims=True))
    ds = ds / np.sqrt(q.shape[-1])
    return {"q": np.einsum("bts,bsd->btd", ds, k),
            "k": np.einsum("bts,btd->bsd", ds, q),
            "v": dv}


def embed(tokens, table):
    return table[tokens], {"tokens": tokens, "shape": table.shape}


def embed_backward(dout, cache):
    dtable = np.zeros(cache["shape"])
    dtable[cache["tokens"]] += dout
    return {"table": dtable}


def masked_mean(h, mask):
    """Mean of the hidden states over the words that are no padding.  h: (B, T, d), mask: (B, T)"""
    count = mask.sum(axis=1)
    pooled = (h * mask[:, :, None]).sum(axis=1) / count[:, None]
    return pooled, {"mask": mask, "count": count}


def masked_mean_backward(dout, cache):
    g = dout / cache["count"][:, None]
    return {"h": g[:, None, :] * cache["mask"][:, :, None]}


_r = np.random.RandomState(3)
examples = {
    "attention": {"q": _r.randn(2, 3, 4), "k": _r.randn(2, 3, 4), "v": _r.randn(2, 3, 4)},
    "embed": {"tokens": np.array([[1, 3, 1], [0, 4, 4]]), "table": _r.randn(5, 3)},
    "masked_mean": {"h": _r.randn(2, 4, 3), "mask": np.array([[1., 1., 1., 0.], [1., 1., 0., 0.]])},
}
'''), False, 'embed_backward: repeated tokens are counted once; np.add.at', ('table',), ('batch-sum', 'missing-term', 'unknown')))

ITEMS.append(Item('nlp_masked_mean_over_T', 'NLP course, functions with dicts of gradients', "file", _text(r'''import numpy as np


def softmax(s):
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def attention(q, k, v):
    """Scaled dot-product attention, causal.  q, k, v: (B, T, d)"""
    T, d = q.shape[1:]
    scores = np.einsum("btd,bsd->bts", q, k) / np.sqrt(d)
    keep = np.tril(np.ones((T, T), dtype=bool))
    p = softmax(np.where(keep, scores, -1e30))
    return p @ v, {"q": q, "k": k, "v": v, "p": p}


def attention_backward(dout, cache):
    q, k, v, p = cache["q"], cache["k"], cache["v"], cache["p"]
    dv = np.einsum("bts,btd->bsd", p, dout)
    dp = np.einsum("btd,bsd->bts", dout, v)
    ds = p * (dp - (dp * p).sum(axis=-1, keepdims=True))
    ds = ds / np.sqrt(q.shape[-1])
    return {"q": np.einsum("bts,bsd->btd", ds, k),
            "k": np.einsum("bts,btd->bsd", ds, q),
            "v": dv}


def embed(tokens, table):
    return table[tokens], {"tokens": tokens, "shape": table.shape}


def embed_backward(dout, cache):
    dtable = np.zeros(cache["shape"])
    np.add.at(dtable, cache["tokens"], dout)
    return {"table": dtable}


def masked_mean(h, mask):
    """Mean of the hidden states over the words that are no padding.  h: (B, T, d), mask: (B, T)"""
    count = mask.sum(axis=1)
    pooled = (h * mask[:, :, None]).sum(axis=1) / count[:, None]
    return pooled, {"mask": mask, "count": count}


def masked_mean_backward(dout, cache):
    g = dout / cache["mask"].shape[1]
    return {"h": g[:, None, :] * cache["mask"][:, :, None]}


_r = np.random.RandomState(3)
examples = {
    "attention": {"q": _r.randn(2, 3, 4), "k": _r.randn(2, 3, 4), "v": _r.randn(2, 3, 4)},
    "embed": {"tokens": np.array([[1, 3, 1], [0, 4, 4]]), "table": _r.randn(5, 3)},
    "masked_mean": {"h": _r.randn(2, 4, 3), "mask": np.array([[1., 1., 1., 0.], [1., 1., 0., 0.]])},
}
'''), False, 'masked_mean_backward: divides by T, not by the number of words', ('h',), ('elementwise-factor', 'batch-sum')))

ITEMS.append(Item('mod_gelu_three', 'torch-like module classes, gradients in attributes, no examples', "file", _text(r'''import numpy as np


class Linear:
    def __init__(self, in_features, out_features):
        rng = np.random.default_rng(0)
        self.W = rng.normal(size=(out_features, in_features)) / np.sqrt(in_features)
        self.b = rng.normal(size=out_features) * 0.1
        self.dW = np.zeros_like(self.W)
        self.db = np.zeros_like(self.b)

    def forward(self, x):
        self.x = x
        return x @ self.W.T + self.b

    def backward(self, dout):
        self.dW = dout.T @ self.x
        self.db = dout.sum(axis=0)
        return dout @ self.W


class Sigmoid:
    def forward(self, x):
        self.out = 1.0 / (1.0 + np.exp(-x))
        return self.out

    def backward(self, dout):
        return dout * self.out * (1.0 - self.out)


class Tanh:
    def forward(self, x):
        self.out = np.tanh(x)
        return self.out

    def backward(self, dout):
        return dout * (1.0 - self.out ** 2)


class GELU:
    """tanh approximation"""
    c = np.sqrt(2.0 / np.pi)

    def forward(self, x):
        self.x = x
        self.t = np.tanh(self.c * (x + 0.044715 * x ** 3))
        return 0.5 * x * (1.0 + self.t)

    def backward(self, dout):
        x, t = self.x, self.t
        du = self.c * (1.0 + 0.044715 * x ** 2)
        return dout * (0.5 * (1.0 + t) + 0.5 * x * (1.0 - t ** 2) * du)


class Softmax:
    def forward(self, x):
        e = np.exp(x - x.max(axis=1, keepdims=True))
        self.p = e / e.sum(axis=1, keepdims=True)
        return self.p

    def backward(self, dout):
        dot = np.sum(dout * self.p, axis=1, keepdims=True)
        return self.p * (dout - dot)
'''), False, 'GELU.backward: the 3 of d x^3 is missing', ('x',), ('elementwise-factor', 'unknown', 'missing-term')))

ITEMS.append(Item('mod_linear_accumulates', 'torch-like module classes, gradients in attributes, no examples', "file", _text(r'''import numpy as np


class Linear:
    def __init__(self, in_features, out_features):
        rng = np.random.default_rng(0)
        self.W = rng.normal(size=(out_features, in_features)) / np.sqrt(in_features)
        self.b = rng.normal(size=out_features) * 0.1
        self.dW = np.zeros_like(self.W)
        self.db = np.zeros_like(self.b)

    def forward(self, x):
        self.x = x
        return x @ self.W.T + self.b

    def backward(self, dout):
        self.dW += dout.T @ self.x
        self.db = dout.sum(axis=0)
        return dout @ self.W


class Sigmoid:
    def forward(self, x):
        self.out = 1.0 / (1.0 + np.exp(-x))
        return self.out

    def backward(self, dout):
        return dout * self.out * (1.0 - self.out)


class Tanh:
    def forward(self, x):
        self.out = np.tanh(x)
        return self.out

    def backward(self, dout):
        return dout * (1.0 - self.out ** 2)


class GELU:
    """tanh approximation"""
    c = np.sqrt(2.0 / np.pi)

    def forward(self, x):
        self.x = x
        self.t = np.tanh(self.c * (x + 0.044715 * x ** 3))
        return 0.5 * x * (1.0 + self.t)

    def backward(self, dout):
        x, t = self.x, self.t
        du = self.c * (1.0 + 3 * 0.044715 * x ** 2)
        return dout * (0.5 * (1.0 + t) + 0.5 * x * (1.0 - t ** 2) * du)


class Softmax:
    def forward(self, x):
        e = np.exp(x - x.max(axis=1, keepdims=True))
        self.p = e / e.sum(axis=1, keepdims=True)
        return self.p

    def backward(self, dout):
        dot = np.sum(dout * self.p, axis=1, keepdims=True)
        return self.p * (dout - dot)
'''), False, 'Linear.backward: dW is added to the one before', ('W',), ('accumulates',)))

ITEMS.append(Item('mod_softmax_diag_only', 'torch-like module classes, gradients in attributes, no examples', "file", _text(r'''import numpy as np


class Linear:
    def __init__(self, in_features, out_features):
        rng = np.random.default_rng(0)
        self.W = rng.normal(size=(out_features, in_features)) / np.sqrt(in_features)
        self.b = rng.normal(size=out_features) * 0.1
        self.dW = np.zeros_like(self.W)
        self.db = np.zeros_like(self.b)

    def forward(self, x):
        self.x = x
        return x @ self.W.T + self.b

    def backward(self, dout):
        self.dW = dout.T @ self.x
        self.db = dout.sum(axis=0)
        return dout @ self.W


class Sigmoid:
    def forward(self, x):
        self.out = 1.0 / (1.0 + np.exp(-x))
        return self.out

    def backward(self, dout):
        return dout * self.out * (1.0 - self.out)


class Tanh:
    def forward(self, x):
        self.out = np.tanh(x)
        return self.out

    def backward(self, dout):
        return dout * (1.0 - self.out ** 2)


class GELU:
    """tanh approximation"""
    c = np.sqrt(2.0 / np.pi)

    def forward(self, x):
        self.x = x
        self.t = np.tanh(self.c * (x + 0.044715 * x ** 3))
        return 0.5 * x * (1.0 + self.t)

    def backward(self, dout):
        x, t = self.x, self.t
        du = self.c * (1.0 + 3 * 0.044715 * x ** 2)
        return dout * (0.5 * (1.0 + t) + 0.5 * x * (1.0 - t ** 2) * du)


class Softmax:
    def forward(self, x):
        e = np.exp(x - x.max(axis=1, keepdims=True))
        self.p = e / e.sum(axis=1, keepdims=True)
        return self.p

    def backward(self, dout):
        return dout * self.p * (1.0 - self.p)
'''), False, 'Softmax.backward: only the diagonal of the Jacobian', ('x',), ('missing-term', 'elementwise-factor', 'unknown')))

ITEMS.append(Item('zero_relu_writes_dout', "'from scratch' textbook classes, params and grads lists", "file", _text(r'''# coding: utf-8
import numpy as np


class MatMul:
    def __init__(self, W):
        self.params = [W]
        self.grads = [np.zeros_like(W)]
        self.x = None

    def forward(self, x):
        W, = self.params
        self.x = x
        return np.dot(x, W)

    def backward(self, dout):
        W, = self.params
        dx = np.dot(dout, W.T)
        dW = np.dot(self.x.T, dout)
        self.grads[0][...] = dW
        return dx


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
        dx = np.dot(dout, W.T)
        self.grads[0][...] = np.dot(self.x.T, dout)
        self.grads[1][...] = np.sum(dout, axis=0)
        return dx


class Relu:
    def __init__(self):
        self.mask = None

    def forward(self, x):
        self.mask = (x <= 0)
        out = x.copy()
        out[self.mask] = 0
        return out

    def backward(self, dout):
        dout[self.mask] = 0
        dx = dout
        return dx


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
'''), False, 'Relu.backward writes into dout', ('dout', 'x'), ('mutates-input',)))

ITEMS.append(Item('loss_mse_by_rows', 'losses file, functions f / f_backward', "file", _text(r'''"""losses.py - every loss is a scalar, mean over the batch"""
import numpy as np


def mse(pred, target):
    diff = pred - target
    return np.mean(diff ** 2), diff


def mse_backward(dloss, cache):
    diff = cache
    return dloss * 2.0 * diff / len(diff)


def huber(pred, target, delta=1.0):
    r = pred - target
    a = np.abs(r)
    per = np.where(a <= delta, 0.5 * r ** 2, delta * (a - 0.5 * delta))
    return per.mean(), (r, a, delta)


def huber_backward(dloss, cache):
    r, a, delta = cache
    g = np.where(a <= delta, r, delta * np.sign(r))
    return dloss * g / r.size


def cross_entropy(logits, labels, smoothing=0.1):
    n, c = logits.shape
    m = logits.max(axis=1, keepdims=True)
    logp = logits - m - np.log(np.exp(logits - m).sum(axis=1, keepdims=True))
    t = np.full((n, c), smoothing / c)
    t[np.arange(n), labels] += 1.0 - smoothing
    return -(t * logp).sum() / n, (logp, t)


def cross_entropy_backward(dloss, cache):
    logp, t = cache
    return dloss * (np.exp(logp) - t) / len(t)


def focal(logits, target, gamma=2.0):
    """binary focal loss of the logits, target 0 or 1"""
    s = 2.0 * target - 1.0
    p = 1.0 / (1.0 + np.exp(-s * logits))
    return np.mean(-(1 - p) ** gamma * np.log(p)), (s, p, gamma)


def focal_backward(dloss, cache):
    s, p, gamma = cache
    dp = gamma * (1 - p) ** (gamma - 1) * np.log(p) - (1 - p) ** gamma / p
    return dloss * dp * s * p * (1 - p) / p.size


rng = np.random.default_rng(11)
examples = {
    "mse": {"pred": rng.normal(size=(4, 3)), "target": rng.normal(size=(4, 3))},
    "huber": {"pred": 2 * rng.normal(size=(4, 3)), "target": rng.normal(size=(4, 3))},
    "cross_entropy": {"logits": rng.normal(size=(5, 4)), "labels": np.array([0, 3, 1, 1, 2])},
    "focal": {"logits": rng.normal(size=6), "target": np.array([0., 1., 1., 0., 1., 0.])},
}
'''), False, 'mse_backward: divides by the rows, the forward by all the entries', ('pred',), ('factor',)))

ITEMS.append(Item('loss_focal_sign_of_target', 'losses file, functions f / f_backward', "file", _text(r'''"""losses.py - every loss is a scalar, mean over the batch"""
import numpy as np


def mse(pred, target):
    diff = pred - target
    return np.mean(diff ** 2), diff


def mse_backward(dloss, cache):
    diff = cache
    return dloss * 2.0 * diff / diff.size


def huber(pred, target, delta=1.0):
    r = pred - target
    a = np.abs(r)
    per = np.where(a <= delta, 0.5 * r ** 2, delta * (a - 0.5 * delta))
    return per.mean(), (r, a, delta)


def huber_backward(dloss, cache):
    r, a, delta = cache
    g = np.where(a <= delta, r, delta * np.sign(r))
    return dloss * g / r.size


def cross_entropy(logits, labels, smoothing=0.1):
    n, c = logits.shape
    m = logits.max(axis=1, keepdims=True)
    logp = logits - m - np.log(np.exp(logits - m).sum(axis=1, keepdims=True))
    t = np.full((n, c), smoothing / c)
    t[np.arange(n), labels] += 1.0 - smoothing
    return -(t * logp).sum() / n, (logp, t)


def cross_entropy_backward(dloss, cache):
    logp, t = cache
    return dloss * (np.exp(logp) - t) / len(t)


def focal(logits, target, gamma=2.0):
    """binary focal loss of the logits, target 0 or 1"""
    s = 2.0 * target - 1.0
    p = 1.0 / (1.0 + np.exp(-s * logits))
    return np.mean(-(1 - p) ** gamma * np.log(p)), (s, p, gamma)


def focal_backward(dloss, cache):
    s, p, gamma = cache
    dp = gamma * (1 - p) ** (gamma - 1) * np.log(p) - (1 - p) ** gamma / p
    return dloss * dp * p * (1 - p) / p.size


rng = np.random.default_rng(11)
examples = {
    "mse": {"pred": rng.normal(size=(4, 3)), "target": rng.normal(size=(4, 3))},
    "huber": {"pred": 2 * rng.normal(size=(4, 3)), "target": rng.normal(size=(4, 3))},
    "cross_entropy": {"logits": rng.normal(size=(5, 4)), "labels": np.array([0, 3, 1, 1, 2])},
    "focal": {"logits": rng.normal(size=6), "target": np.array([0., 1., 1., 0., 1., 0.])},
}
'''), False, 'focal_backward: the sign s of d(s logits) is missing', ('logits',), ('elementwise-factor', 'sign')))

ITEMS.append(Item('rl_ppo_no_ratio', 'RL research code: losses.py of an agent', "file", _text(r'''import numpy as np


def log_softmax(logits):
    z = logits - logits.max(-1, keepdims=True)
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


def ppo_policy_loss(logits, actions, old_logp, adv, clip=0.2):
    logp_all = log_softmax(logits)
    idx = np.arange(len(actions))
    ratio = np.exp(logp_all[idx, actions] - old_logp)
    s1 = ratio * adv
    s2 = np.clip(ratio, 1 - clip, 1 + clip) * adv
    loss = -np.minimum(s1, s2).mean()
    return loss, (logp_all, actions, ratio, adv, s1, s2)


def ppo_policy_loss_backward(dloss, cache):
    logp_all, actions, ratio, adv, s1, s2 = cache
    n = len(actions)
    active = s1 <= s2
    dlogp = -dloss * active * adv / n
    onehot = np.zeros_like(logp_all)
    onehot[np.arange(n), actions] = 1.0
    return {"logits": dlogp[:, None] * (onehot - np.exp(logp_all))}


def entropy_bonus(logits):
    lp = log_softmax(logits)
    H = -(np.exp(lp) * lp).sum(-1)
    return H.mean(), (lp, H)


def entropy_bonus_backward(dout, cache):
    lp, H = cache
    return {"logits": -dout * np.exp(lp) * (lp + H[:, None]) / len(H)}


def value_loss(values, returns):
    err = values - returns
    return 0.5 * np.mean(err ** 2), err


def value_loss_backward(dloss, cache):
    return {"values": dloss * cache / cache.size}


def discounted_returns(rewards, gamma=0.9):
    """rewards (T, B) -> returns (T, B)"""
    out = np.zeros_like(rewards)
    run = np.zeros(rewards.shape[1])
    for t in reversed(range(len(rewards))):
        run = rewards[t] + gamma * run
        out[t] = run
    return out, gamma


def discounted_returns_backward(dout, gamma):
    drew = np.zeros_like(dout)
    run = np.zeros(dout.shape[1])
    for t in range(len(dout)):
        run = dout[t] + gamma * run
        drew[t] = run
    return {"rewards": drew}


_g = np.random.default_rng(7)
_l = _g.normal(size=(6, 3))
_a = np.array([0, 2, 1, 1, 0, 2])
examples = {
    "ppo_policy_loss": {"logits": _l, "actions": _a,
                        "old_logp": log_softmax(_l)[np.arange(6), _a] + np.array([.1, -.4, .05, .5, -.1, .3]),
                        "adv": np.array([1.0, 0.7, -1.2, 0.8, -0.5, -0.9])},
    "entropy_bonus": {"logits": _g.normal(size=(4, 3))},
    "value_loss": {"values": _g.normal(size=5), "returns": _g.normal(size=5)},
    "discounted_returns": {"rewards": _g.normal(size=(5, 2))},
}
'''), False, 'ppo_policy_loss_backward: d ratio / d logp = ratio is missing', ('logits',), ('elementwise-factor', 'batch-sum')))

ITEMS.append(Item('rl_returns_same_direction', 'RL research code: losses.py of an agent', "file", _text(r'''import numpy as np


def log_softmax(logits):
    z = logits - logits.max(-1, keepdims=True)
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


def ppo_policy_loss(logits, actions, old_logp, adv, clip=0.2):
    logp_all = log_softmax(logits)
    idx = np.arange(len(actions))
    ratio = np.exp(logp_all[idx, actions] - old_logp)
    s1 = ratio * adv
    s2 = np.clip(ratio, 1 - clip, 1 + clip) * adv
    loss = -np.minimum(s1, s2).mean()
    return loss, (logp_all, actions, ratio, adv, s1, s2)


def ppo_policy_loss_backward(dloss, cache):
    logp_all, actions, ratio, adv, s1, s2 = cache
    n = len(actions)
    active = s1 <= s2
    dlogp = -dloss * active * adv * ratio / n
    onehot = np.zeros_like(logp_all)
    onehot[np.arange(n), actions] = 1.0
    return {"logits": dlogp[:, None] * (onehot - np.exp(logp_all))}


def entropy_bonus(logits):
    lp = log_softmax(logits)
    H = -(np.exp(lp) * lp).sum(-1)
    return H.mean(), (lp, H)


def entropy_bonus_backward(dout, cache):
    lp, H = cache
    return {"logits": -dout * np.exp(lp) * (lp + H[:, None]) / len(H)}


def value_loss(values, returns):
    err = values - returns
    return 0.5 * np.mean(err ** 2), err


def value_loss_backward(dloss, cache):
    return {"values": dloss * cache / cache.size}


def discounted_returns(rewards, gamma=0.9):
    """rewards (T, B) -> returns (T, B)"""
    out = np.zeros_like(rewards)
    run = np.zeros(rewards.shape[1])
    for t in reversed(range(len(rewards))):
        run = rewards[t] + gamma * run
        out[t] = run
    return out, gamma


def discounted_returns_backward(dout, gamma):
    drew = np.zeros_like(dout)
    run = np.zeros(dout.shape[1])
    for t in reversed(range(len(dout))):
        run = dout[t] + gamma * run
        drew[t] = run
    return {"rewards": drew}


_g = np.random.default_rng(7)
_l = _g.normal(size=(6, 3))
_a = np.array([0, 2, 1, 1, 0, 2])
examples = {
    "ppo_policy_loss": {"logits": _l, "actions": _a,
                        "old_logp": log_softmax(_l)[np.arange(6), _a] + np.array([.1, -.4, .05, .5, -.1, .3]),
                        "adv": np.array([1.0, 0.7, -1.2, 0.8, -0.5, -0.9])},
    "entropy_bonus": {"logits": _g.normal(size=(4, 3))},
    "value_loss": {"values": _g.normal(size=5), "returns": _g.normal(size=5)},
    "discounted_returns": {"rewards": _g.normal(size=(5, 2))},
}
'''), False, 'discounted_returns_backward runs backwards in time, as the forward does', ('rewards',), ('transpose', 'unknown', 'missing-term')))

ITEMS.append(Item('vis_groupnorm_gamma_forgotten', 'vision layer library: classes with a dict of gradients', "file", _text(r'''import numpy as np


class Conv2D:
    """3x3 convolution, stride 1, zero padding 1."""

    def __init__(self, c_in=2, c_out=2, seed=1):
        rng = np.random.default_rng(seed)
        self.params = {"W": rng.normal(size=(c_out, c_in, 3, 3)) * 0.3, "b": rng.normal(size=c_out)}
        self.grads = {}

    def forward(self, x):
        W, b = self.params["W"], self.params["b"]
        n, c, h, w = x.shape
        xp = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
        out = np.zeros((n, len(b), h, w)) + b[None, :, None, None]
        for i in range(3):
            for j in range(3):
                out += np.einsum("nchw,oc->nohw", xp[:, :, i:i+h, j:j+w], W[:, :, i, j])
        self.xp = xp
        return out

    def backward(self, dout):
        W = self.params["W"]
        h, w = dout.shape[2:]
        dxp = np.zeros_like(self.xp)
        dW = np.zeros_like(W)
        for i in range(3):
            for j in range(3):
                dW[:, :, i, j] = np.einsum("nohw,nchw->oc", dout, self.xp[:, :, i:i+h, j:j+w])
                dxp[:, :, i:i+h, j:j+w] += np.einsum("nohw,oc->nchw", dout, W[:, :, i, j])
        self.grads = {"W": dW, "b": dout.sum(axis=(0, 2, 3))}
        return dxp[:, :, 1:-1, 1:-1]


class GroupNorm:
    def __init__(self, channels=4, groups=2):
        rng = np.random.default_rng(2)
        self.groups = groups
        self.params = {"gamma": rng.normal(size=channels), "beta": rng.normal(size=channels)}
        self.grads = {}

    def forward(self, x):
        n, c, h, w = x.shape
        g = x.reshape(n, self.groups, -1)
        mu = g.mean(-1, keepdims=True)
        self.istd = 1 / np.sqrt(g.var(-1, keepdims=True) + 1e-5)
        self.xhat = ((g - mu) * self.istd).reshape(x.shape)
        return self.xhat * self.params["gamma"][:, None, None] + self.params["beta"][:, None, None]

    def backward(self, dout):
        n = dout.shape[0]
        self.grads["gamma"] = (dout * self.xhat).sum(axis=(0, 2, 3))
        self.grads["beta"] = dout.sum(axis=(0, 2, 3))
        d = dout.reshape(n, self.groups, -1)
        xh = self.xhat.reshape(d.shape)
        dx = self.istd * (d - d.mean(-1, keepdims=True) - xh * (d * xh).mean(-1, keepdims=True))
        return dx.reshape(dout.shape)


class GlobalAvgPool:
    def forward(self, x):
        self.shape = x.shape
        return x.mean(axis=(2, 3))

    def backward(self, dout):
        n, c, h, w = self.shape
        return np.ones(self.shape) * dout[:, :, None, None] / (h * w)


class Upsample2x:
    def forward(self, x):
        return x.repeat(2, axis=2).repeat(2, axis=3)

    def backward(self, dout):
        n, c, h, w = dout.shape
        return dout.reshape(n, c, h // 2, 2, w // 2, 2).sum(axis=(3, 5))


rng = np.random.default_rng(0)
examples = {
    "Conv2D": (rng.normal(size=(2, 2, 3, 3)),),
    "GroupNorm": (rng.normal(size=(2, 4, 2, 2)),),
    "GlobalAvgPool": (rng.normal(size=(2, 3, 2, 3)),),
    "Upsample2x": (rng.normal(size=(1, 2, 2, 3)),),
}
'''), False, 'GroupNorm.backward: gamma is missing in dx', ('x',), ('elementwise-factor', 'missing-term', 'unknown')))

ITEMS.append(Item('vis_upsample_mean', 'vision layer library: classes with a dict of gradients', "file", _text(r'''import numpy as np


class Conv2D:
    """3x3 convolution, stride 1, zero padding 1."""

    def __init__(self, c_in=2, c_out=2, seed=1):
        rng = np.random.default_rng(seed)
        self.params = {"W": rng.normal(size=(c_out, c_in, 3, 3)) * 0.3, "b": rng.normal(size=c_out)}
        self.grads = {}

    def forward(self, x):
        W, b = self.params["W"], self.params["b"]
        n, c, h, w = x.shape
        xp = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
        out = np.zeros((n, len(b), h, w)) + b[None, :, None, None]
        for i in range(3):
            for j in range(3):
                out += np.einsum("nchw,oc->nohw", xp[:, :, i:i+h, j:j+w], W[:, :, i, j])
        self.xp = xp
        return out

    def backward(self, dout):
        W = self.params["W"]
        h, w = dout.shape[2:]
        dxp = np.zeros_like(self.xp)
        dW = np.zeros_like(W)
        for i in range(3):
            for j in range(3):
                dW[:, :, i, j] = np.einsum("nohw,nchw->oc", dout, self.xp[:, :, i:i+h, j:j+w])
                dxp[:, :, i:i+h, j:j+w] += np.einsum("nohw,oc->nchw", dout, W[:, :, i, j])
        self.grads = {"W": dW, "b": dout.sum(axis=(0, 2, 3))}
        return dxp[:, :, 1:-1, 1:-1]


class GroupNorm:
    def __init__(self, channels=4, groups=2):
        rng = np.random.default_rng(2)
        self.groups = groups
        self.params = {"gamma": rng.normal(size=channels), "beta": rng.normal(size=channels)}
        self.grads = {}

    def forward(self, x):
        n, c, h, w = x.shape
        g = x.reshape(n, self.groups, -1)
        mu = g.mean(-1, keepdims=True)
        self.istd = 1 / np.sqrt(g.var(-1, keepdims=True) + 1e-5)
        self.xhat = ((g - mu) * self.istd).reshape(x.shape)
        return self.xhat * self.params["gamma"][:, None, None] + self.params["beta"][:, None, None]

    def backward(self, dout):
        n = dout.shape[0]
        self.grads["gamma"] = (dout * self.xhat).sum(axis=(0, 2, 3))
        self.grads["beta"] = dout.sum(axis=(0, 2, 3))
        d = (dout * self.params["gamma"][:, None, None]).reshape(n, self.groups, -1)
        xh = self.xhat.reshape(d.shape)
        dx = self.istd * (d - d.mean(-1, keepdims=True) - xh * (d * xh).mean(-1, keepdims=True))
        return dx.reshape(dout.shape)


class GlobalAvgPool:
    def forward(self, x):
        self.shape = x.shape
        return x.mean(axis=(2, 3))

    def backward(self, dout):
        n, c, h, w = self.shape
        return np.ones(self.shape) * dout[:, :, None, None] / (h * w)


class Upsample2x:
    def forward(self, x):
        return x.repeat(2, axis=2).repeat(2, axis=3)

    def backward(self, dout):
        n, c, h, w = dout.shape
        return dout.reshape(n, c, h // 2, 2, w // 2, 2).mean(axis=(3, 5))


rng = np.random.default_rng(0)
examples = {
    "Conv2D": (rng.normal(size=(2, 2, 3, 3)),),
    "GroupNorm": (rng.normal(size=(2, 4, 2, 2)),),
    "GlobalAvgPool": (rng.normal(size=(2, 3, 2, 3)),),
    "Upsample2x": (rng.normal(size=(1, 2, 2, 3)),),
}
'''), False, 'Upsample2x.backward: mean instead of sum', ('x',), ('factor',)))

ITEMS.append(Item('net_skip_forgotten', 'homework: a network file with its layers', "file", _text(r'''import numpy as np


class Dense:
    def __init__(self, n_in=3, n_out=4, seed=0):
        rng = np.random.default_rng(seed)
        self.W = rng.normal(0, 0.7, (n_in, n_out))
        self.b = rng.normal(0, 0.2, (1, n_out))
        self.grad_W = None
        self.grad_b = None

    def forward(self, x):
        self.inp = x
        return x @ self.W + self.b

    def backward(self, grad):
        self.grad_W = self.inp.T @ grad
        self.grad_b = grad.sum(axis=0, keepdims=True)
        return grad @ self.W.T


class LeakyReLU:
    def __init__(self, slope=0.1):
        self.slope = slope

    def forward(self, x):
        self.inp = x
        return np.where(x > 0, x, self.slope * x)

    def backward(self, grad):
        return np.where(self.inp > 0, grad, self.slope * grad)


class ResidualNet:
    """x -> x + fc2(act(fc1(x)))"""

    def __init__(self):
        self.fc1 = Dense(3, 4, seed=1)
        self.act = LeakyReLU()
        self.fc2 = Dense(4, 3, seed=2)

    def forward(self, x):
        return x + self.fc2.forward(self.act.forward(self.fc1.forward(x)))

    def backward(self, grad):
        g = self.fc2.backward(grad)
        g = self.act.backward(g)
        g = self.fc1.backward(g)
        return g


rng = np.random.default_rng(4)
examples = {
    "Dense": (rng.normal(size=(5, 3)),),
    "LeakyReLU": (rng.normal(size=(4, 3)),),
    "ResidualNet": (rng.normal(size=(4, 3)),),
}
'''), False, 'ResidualNet.backward: the path of the skip connection is missing', ('x',), ('missing-term',)))

ITEMS.append(Item('phys_lj_half', 'computational physics: energies and a time step', "file", _text(r'''import numpy as np


def lennard_jones(pos, eps=1.0, sigma=1.0):
    """total energy of the particles at pos (N, 3)"""
    rij = pos[:, None, :] - pos[None, :, :]
    r2 = (rij ** 2).sum(-1)
    np.fill_diagonal(r2, 1.0)
    s6 = (sigma ** 2 / r2) ** 3
    e = 4 * eps * (s6 ** 2 - s6)
    np.fill_diagonal(e, 0.0)
    return 0.5 * e.sum(), (rij, r2, s6, eps)


def lennard_jones_backward(dE, cache):
    rij, r2, s6, eps = cache
    c = 12 * eps * (s6 - 2 * s6 ** 2) / r2
    np.fill_diagonal(c, 0.0)
    return dE * (c[:, :, None] * rij).sum(axis=1)


def spring_chain(x, k):
    """potential energy of a chain of springs with constants k (N-1,), rest length 1"""
    ext = x[1:] - x[:-1] - 1.0
    return 0.5 * (k * ext ** 2).sum(), (k, ext)


def spring_chain_backward(dE, cache):
    k, ext = cache
    f = k * ext
    dx = np.zeros(len(k) + 1)
    dx[1:] += f
    dx[:-1] -= f
    return dE * dx, dE * 0.5 * ext ** 2


def heat_step(u, alpha):
    """one explicit Euler step of u_t = alpha u_xx, periodic; alpha (n,)"""
    lap = np.roll(u, 1) - 2 * u + np.roll(u, -1)
    return u + alpha * lap, (alpha, lap)


def heat_step_backward(du, cache):
    alpha, lap = cache
    g = du * alpha
    return du + np.roll(g, -1) - 2 * g + np.roll(g, 1), du * lap


rng = np.random.RandomState(8)
examples = {
    "lennard_jones": (1.3 * np.array([[0., 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1.]]) + 0.1 * rng.randn(4, 3),),
    "spring_chain": (np.arange(5) * 1.2 + 0.2 * rng.randn(5), rng.rand(4) + 0.5),
    "heat_step": (rng.randn(6), 0.1 + 0.2 * rng.rand(6)),
}
'''), False, 'lennard_jones_backward: the 1/2 of the double sum is taken once more', ('pos',), ('factor',)))

ITEMS.append(Item('phys_heat_alpha_outside', 'computational physics: energies and a time step', "file", _text(r'''import numpy as np


def lennard_jones(pos, eps=1.0, sigma=1.0):
    """total energy of the particles at pos (N, 3)"""
    rij = pos[:, None, :] - pos[None, :, :]
    r2 = (rij ** 2).sum(-1)
    np.fill_diagonal(r2, 1.0)
    s6 = (sigma ** 2 / r2) ** 3
    e = 4 * eps * (s6 ** 2 - s6)
    np.fill_diagonal(e, 0.0)
    return 0.5 * e.sum(), (rij, r2, s6, eps)


def lennard_jones_backward(dE, cache):
    rij, r2, s6, eps = cache
    c = 24 * eps * (s6 - 2 * s6 ** 2) / r2
    np.fill_diagonal(c, 0.0)
    return dE * (c[:, :, None] * rij).sum(axis=1)


def spring_chain(x, k):
    """potential energy of a chain of springs with constants k (N-1,), rest length 1"""
    ext = x[1:] - x[:-1] - 1.0
    return 0.5 * (k * ext ** 2).sum(), (k, ext)


def spring_chain_backward(dE, cache):
    k, ext = cache
    f = k * ext
    dx = np.zeros(len(k) + 1)
    dx[1:] += f
    dx[:-1] -= f
    return dE * dx, dE * 0.5 * ext ** 2


def heat_step(u, alpha):
    """one explicit Euler step of u_t = alpha u_xx, periodic; alpha (n,)"""
    lap = np.roll(u, 1) - 2 * u + np.roll(u, -1)
    return u + alpha * lap, (alpha, lap)


def heat_step_backward(du, cache):
    alpha, lap = cache
    lap_du = np.roll(du, -1) - 2 * du + np.roll(du, 1)
    return du + alpha * lap_du, du * lap


rng = np.random.RandomState(8)
examples = {
    "lennard_jones": (1.3 * np.array([[0., 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1.]]) + 0.1 * rng.randn(4, 3),),
    "spring_chain": (np.arange(5) * 1.2 + 0.2 * rng.randn(5), rng.rand(4) + 0.5),
    "heat_step": (rng.randn(6), 0.1 + 0.2 * rng.rand(6)),
}
'''), False, 'heat_step_backward: alpha is multiplied after the Laplacian, it belongs inside', ('u',), ('elementwise-factor', 'transpose', 'missing-term', 'unknown')))

ITEMS.append(Item('llm_rmsnorm_square', 'LLM from scratch blog: blocks, no examples', "file", _text(r'''import numpy as np


def rmsnorm(x, gamma, eps=1e-6):
    r = 1.0 / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps)
    return x * r * gamma, (x, r, gamma)


def rmsnorm_backward(dout, cache):
    x, r, gamma = cache
    d = x.shape[-1]
    g = dout * gamma
    dx = r * g - x * r ** 2 * np.sum(g * x, axis=-1, keepdims=True) / d
    dgamma = np.sum(dout * x * r, axis=0)
    return dx, dgamma


def silu(x):
    s = 1.0 / (1.0 + np.exp(-x))
    return x * s, (x, s)


def silu_backward(dout, cache):
    x, s = cache
    return dout * (s + x * s * (1 - s))


def swiglu(x, w1, w2):
    """silu(x w1) * (x w2), x (N, D), w1 and w2 (D, H)"""
    a = x @ w1
    b = x @ w2
    s = 1.0 / (1.0 + np.exp(-a))
    return a * s * b, (x, w1, w2, a, b, s)


def swiglu_backward(dout, cache):
    x, w1, w2, a, b, s = cache
    da = dout * b * s * (1 + a * (1 - s))
    db = dout * a * s
    dx = da @ w1.T + db @ w2.T
    return dx, x.T @ da, x.T @ db


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    p = e / e.sum(axis=-1, keepdims=True)
    return p, p


def softmax_backward(dout, p):
    return p * (dout - np.sum(dout * p, axis=-1, keepdims=True))
'''), False, 'rmsnorm_backward: r^2 instead of r^3 in the second term', ('x',), ('elementwise-factor', 'missing-term', 'unknown')))

ITEMS.append(Item('llm_swiglu_half_dx', 'LLM from scratch blog: blocks, no examples', "file", _text(r'''import numpy as np


def rmsnorm(x, gamma, eps=1e-6):
    r = 1.0 / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps)
    return x * r * gamma, (x, r, gamma)


def rmsnorm_backward(dout, cache):
    x, r, gamma = cache
    d = x.shape[-1]
    g = dout * gamma
    dx = r * g - x * r ** 3 * np.sum(g * x, axis=-1, keepdims=True) / d
    dgamma = np.sum(dout * x * r, axis=0)
    return dx, dgamma


def silu(x):
    s = 1.0 / (1.0 + np.exp(-x))
    return x * s, (x, s)


def silu_backward(dout, cache):
    x, s = cache
    return dout * (s + x * s * (1 - s))


def swiglu(x, w1, w2):
    """silu(x w1) * (x w2), x (N, D), w1 and w2 (D, H)"""
    a = x @ w1
    b = x @ w2
    s = 1.0 / (1.0 + np.exp(-a))
    return a * s * b, (x, w1, w2, a, b, s)


def swiglu_backward(dout, cache):
    x, w1, w2, a, b, s = cache
    da = dout * b * s * (1 + a * (1 - s))
    db = dout * a * s
    dx = da @ w1.T
    return dx, x.T @ da, x.T @ db


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    p = e / e.sum(axis=-1, keepdims=True)
    return p, p


def softmax_backward(dout, p):
    return p * (dout - np.sum(dout * p, axis=-1, keepdims=True))
'''), False, 'swiglu_backward: the path through the second branch is missing in dx', ('x',), ('missing-term',)))

ITEMS.append(Item('rnn_no_next', 'RNN homework, class with BPTT, no examples', "file", _text(r'''import numpy as np


class RNN:
    """h_t = tanh(x_t Wx + h_{t-1} Wh + b), x of shape (T, N, D), h_0 = 0"""

    def __init__(self, input_size=3, hidden_size=4):
        rng = np.random.default_rng(12)
        self.Wx = rng.normal(size=(input_size, hidden_size)) * 0.5
        self.Wh = rng.normal(size=(hidden_size, hidden_size)) * 0.5
        self.b = rng.normal(size=hidden_size) * 0.1

    def forward(self, x):
        T, N, D = x.shape
        H = self.b.size
        self.x = x
        self.h = np.zeros((T + 1, N, H))
        for t in range(T):
            self.h[t + 1] = np.tanh(x[t] @ self.Wx + self.h[t] @ self.Wh + self.b)
        return self.h[1:].copy()

    def backward(self, dh):
        self.dWx = np.zeros_like(self.Wx)
        self.dWh = np.zeros_like(self.Wh)
        self.db = np.zeros_like(self.b)
        dx = np.zeros_like(self.x)
        dnext = np.zeros_like(dh[0])
        for t in reversed(range(len(dh))):
            dz = dh[t] * (1 - self.h[t + 1] ** 2)
            self.dWx += self.x[t].T @ dz
            self.dWh += self.h[t].T @ dz
            self.db += dz.sum(axis=0)
            dx[t] = dz @ self.Wx.T
            dnext = dz @ self.Wh.T
        return dx
'''), False, 'RNN.backward: the gradient from the next step is left out', ('x', 'Wx', 'Wh', 'b'), ('missing-term',)))

ITEMS.append(Item('plain_softplus_wrong_side', 'first-year ML homework, f / f_backward, plain names, no examples', "file", _text(r'''import numpy as np


def linear(x, W, b):
    y = x @ W + b
    cache = (x, W)
    return y, cache


def linear_backward(dy, cache):
    x, W = cache
    dx = dy @ W.T
    dW = x.T @ dy
    db = np.sum(dy, axis=0)
    return dx, dW, db


def sigmoid(x):
    y = 1 / (1 + np.exp(-x))
    return y, y


def sigmoid_backward(dy, y):
    return dy * y * (1 - y)


def softplus(x):
    return np.logaddexp(0, x), x


def softplus_backward(dy, x):
    return dy / (1 + np.exp(x))


def elu(x, alpha=1.0):
    y = np.where(x > 0, x, alpha * (np.exp(np.minimum(x, 0)) - 1))
    return y, (x, y, alpha)


def elu_backward(dy, cache):
    x, y, alpha = cache
    return dy * np.where(x > 0, 1.0, y + alpha)


def mse_loss(pred, target):
    diff = pred - target
    return np.sum(diff ** 2) / len(pred), diff


def mse_loss_backward(dloss, diff):
    d = 2 * dloss * diff / len(diff)
    return d, -d
'''), False, 'softplus_backward: sigmoid(-x) instead of sigmoid(x)', ('x',), ('elementwise-factor',)))

ITEMS.append(Item('vae_logvar_no_half', 'VAE research code: pieces of the bound', "file", _text(r'''import numpy as np


def reparameterize(mu, logvar, eps):
    std = np.exp(0.5 * logvar)
    return mu + std * eps, {"std": std, "eps": eps}


def reparameterize_backward(dz, c):
    return {"mu": dz, "logvar": dz * c["eps"] * c["std"]}


def kl_normal(mu, logvar):
    """KL(N(mu, e^logvar) || N(0, 1)) of each row"""
    kl = 0.5 * np.sum(mu ** 2 + np.exp(logvar) - 1.0 - logvar, axis=1)
    return kl, {"mu": mu, "logvar": logvar}


def kl_normal_backward(dkl, c):
    d = dkl[:, None]
    return {"mu": d * c["mu"], "logvar": 0.5 * d * (np.exp(c["logvar"]) - 1.0)}


def gaussian_nll(x, mean, logvar):
    r = x - mean
    iv = np.exp(-logvar)
    nll = 0.5 * np.sum(r ** 2 * iv + logvar + np.log(2 * np.pi), axis=1)
    return nll, {"r": r, "iv": iv}


def gaussian_nll_backward(dnll, c):
    d = dnll[:, None]
    g = d * c["r"] * c["iv"]
    return {"x": g, "mean": -g, "logvar": 0.5 * d * (1.0 - c["r"] ** 2 * c["iv"])}


def bernoulli_nll(logits, x):
    return np.sum(np.logaddexp(0, logits) - x * logits, axis=1), {"l": logits, "x": x}


def bernoulli_nll_backward(dnll, c):
    p = 1 / (1 + np.exp(-c["l"]))
    return {"logits": dnll[:, None] * (p - c["x"])}


rng = np.random.default_rng(99)
_n = lambda: rng.normal(size=(4, 3))
examples = {
    "reparameterize": {"mu": _n(), "logvar": _n(), "eps": _n()},
    "kl_normal": {"mu": _n(), "logvar": _n()},
    "gaussian_nll": {"x": _n(), "mean": _n(), "logvar": _n()},
    "bernoulli_nll": {"logits": _n(), "x": (rng.random((4, 3)) > 0.5) * 1.0},
}
'''), False, 'reparameterize_backward: the 1/2 is missing in the gradient of logvar', ('logvar',), ('factor',)))

ITEMS.append(Item('gfx_quaternion_not_projected', 'graphics / differentiable rendering', "file", _text(r'''import numpy as np


def rotate(q, v):
    """rotate the points v (N, 3) by the quaternion q (w, x, y, z), which need not have length 1"""
    nrm = np.sqrt(q @ q)
    u = q / nrm
    w, r = u[0], u[1:]
    t = 2 * np.cross(r, v)
    return v + w * t + np.cross(r, t), (u, nrm, v, t)


def rotate_backward(dout, cache):
    u, nrm, v, t = cache
    w, r = u[0], u[1:]
    dw = (dout * t).sum()
    dt = w * dout + np.cross(dout, r)
    dr = np.cross(t, dout).sum(axis=0) + 2 * np.cross(v, dt).sum(axis=0)
    dv = dout + 2 * np.cross(dt, r)
    du = np.concatenate([[dw], dr])
    dq = du / nrm
    return dq, dv


def project(points, f):
    """pinhole camera: (N, 3) -> (N, 2), focal length f"""
    z = points[:, 2:]
    return f * points[:, :2] / z, (points, z, f)


def project_backward(dout, cache):
    points, z, f = cache
    dp = np.zeros_like(points)
    dp[:, :2] = f * dout / z
    dp[:, 2] = -f * (dout * points[:, :2]).sum(axis=1) / z[:, 0] ** 2
    df = (dout * points[:, :2] / z).sum()
    return dp, df


def composite(rgb, sigma):
    """volume rendering along a ray: rgb (S, 3), sigma (S,)"""
    alpha = 1 - np.exp(-sigma)
    trans = np.concatenate([[1.0], np.cumprod(1 - alpha)[:-1]])
    w = alpha * trans
    return w @ rgb, (rgb, sigma, w, trans)


def composite_backward(dout, cache):
    rgb, sigma, w, trans = cache
    drgb = w[:, None] * dout[None, :]
    dw = rgb @ dout
    after = np.concatenate([np.cumsum((w * dw)[::-1])[::-1][1:], [0.0]])
    dsigma = trans * np.exp(-sigma) * dw - after
    return drgb, dsigma


rng = np.random.default_rng(1)
examples = {
    "rotate": (np.array([0.9, 0.3, -0.5, 0.4]), rng.normal(size=(4, 3))),
    "project": (rng.normal(size=(4, 3)) + np.array([0, 0, 5.0]), np.array(1.7)),
    "composite": (rng.random((5, 3)), rng.random(5)),
}
'''), False, 'rotate_backward: the path through the norm of q is missing', ('q',), ('missing-term',)))

ITEMS.append(Item('gnn_adj_not_transposed', 'graph network research code', "file", _text(r'''import numpy as np


def normalize_adj(adj):
    a = adj + np.eye(len(adj))
    d = 1 / np.sqrt(a.sum(1))
    return d[:, None] * a * d[None, :]


class GCNLayer:
    def __init__(self, d_in=3, d_out=2):
        rng = np.random.default_rng(5)
        self.weight = rng.normal(size=(d_in, d_out))
        self.bias = rng.normal(size=d_out)

    def forward(self, x, adj):
        """x (N, d_in), adj (N, N): row i holds the weights of the neighbours of i (directed)"""
        self.adj = adj
        self.agg = adj @ x
        return self.agg @ self.weight + self.bias

    def backward(self, dout):
        self.dweight = self.agg.T @ dout
        self.dbias = dout.sum(0)
        return self.adj @ (dout @ self.weight.T)


class ScatterMean:
    """mean of the rows of each group"""

    def forward(self, x, group):
        k = group.max() + 1
        self.group = group
        self.count = np.bincount(group, minlength=k)
        out = np.zeros((k, x.shape[1]))
        np.add.at(out, group, x)
        return out / self.count[:, None]

    def backward(self, dout):
        return (dout / self.count[:, None])[self.group]


rng = np.random.default_rng(6)
_adj = (rng.random((5, 5)) < 0.5) * rng.random((5, 5)) + np.eye(5)
examples = {
    "GCNLayer": (rng.normal(size=(5, 3)), _adj / _adj.sum(1, keepdims=True)),
    "ScatterMean": (rng.normal(size=(6, 2)), np.array([0, 1, 1, 2, 0, 1])),
}
'''), False, 'GCNLayer.backward: adj instead of adj.T', ('x',), ('transpose',)))

ITEMS.append(Item('fin_all_right', 'quantitative finance script', "file", _text(r'''import math
import numpy as np


def _Phi(z):
    return 0.5 * (1.0 + np.vectorize(math.erf)(z / math.sqrt(2.0)))


def _phi(z):
    return np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)


def call_price(spot, vol, strike=1.0, rate=0.02, tau=0.5):
    sq = vol * math.sqrt(tau)
    d1 = (np.log(spot / strike) + (rate + 0.5 * vol ** 2) * tau) / sq
    price = spot * _Phi(d1) - strike * math.exp(-rate * tau) * _Phi(d1 - sq)
    return price, (spot, d1, tau)


def call_price_backward(dprice, cache):
    spot, d1, tau = cache
    # delta and vega: the terms with d1's own derivative cancel
    return {"spot": dprice * _Phi(d1), "vol": dprice * spot * _phi(d1) * math.sqrt(tau)}


def portfolio_risk(w, cov):
    s = math.sqrt(w @ cov @ w)
    return np.array(s), (w, cov, s)


def portfolio_risk_backward(ds, cache):
    w, cov, s = cache
    return {"w": ds * 0.5 * (cov + cov.T) @ w / s, "cov": ds * 0.5 * np.outer(w, w) / s}


def sharpe(r):
    m, s = r.mean(), r.std()
    return m / s, (r, m, s)


def sharpe_backward(d, cache):
    r, m, s = cache
    return {"r": d * (1.0 / s - m * (r - m) / s ** 3) / r.size}


_r = np.random.default_rng(17)
_A = _r.normal(size=(3, 3))
examples = {
    "call_price": {"spot": 0.8 + 0.4 * _r.random(4), "vol": 0.2 + 0.3 * _r.random(4)},
    "portfolio_risk": {"w": np.array([0.5, 0.3, 0.2]), "cov": _A @ _A.T + np.eye(3)},
    "sharpe": {"r": 0.1 + 0.3 * _r.normal(size=7)},
}
'''), True, '', (), ()))

ITEMS.append(Item('audio_all_right', 'audio DSP notebook', "file", _text(r'''import numpy as np


def preemphasis(x, coef=0.97):
    y = x.copy()
    y[..., 1:] -= coef * x[..., :-1]
    return y, coef


def preemphasis_backward(dy, coef):
    dx = np.array(dy, copy=True)
    dx[..., :-1] -= coef * dy[..., 1:]
    return dx


def one_pole(x, a):
    """y[t] = (1 - a) x[t] + a y[t-1], a scalar"""
    y = np.zeros_like(x)
    prev = 0.0
    for t in range(len(x)):
        prev = (1 - a) * x[t] + a * prev
        y[t] = prev
    return y, (x, y, a)


def one_pole_backward(dy, cache):
    x, y, a = cache
    dx = np.zeros_like(x)
    da = 0.0
    g = 0.0
    for t in range(len(x) - 1, -1, -1):
        g = dy[t] + a * g
        dx[t] = (1 - a) * g
        da += g * ((y[t - 1] if t > 0 else 0.0) - x[t])
    return dx, np.array(da)


def log_power(x, floor=1e-3):
    """log power spectrum of each frame, x (F, n) with n even"""
    X = np.fft.rfft(x, axis=-1)
    p = X.real ** 2 + X.imag ** 2
    return np.log(p + floor), (X, p, floor, x.shape[-1])


def log_power_backward(dy, cache):
    X, p, floor, n = cache
    G = 2 * (dy / (p + floor)) * X
    full = np.zeros(X.shape[:-1] + (n,), dtype=complex)
    full[..., : n // 2 + 1] = G
    return n * np.fft.ifft(full, axis=-1).real


rs = np.random.RandomState(44)
examples = {"preemphasis": (rs.randn(2, 6),), "one_pole": (rs.randn(7), np.array(0.6)), "log_power": (rs.randn(2, 8),)}
'''), True, '', (), ()))

ITEMS.append(Item('rec_all_right', 'recommender research code', "file", _text(r'''import numpy as np


def fm(x, w, V):
    """factorization machine: x (N, D), w (D,), V (D, K) -> scores (N,)"""
    s = x @ V
    inter = 0.5 * ((s ** 2).sum(1) - ((x ** 2) @ (V ** 2)).sum(1))
    return x @ w + inter, dict(x=x, w=w, V=V, s=s)


def fm_backward(d, c):
    x, w, V, s = c["x"], c["w"], c["V"], c["s"]
    dx = d[:, None] * (w[None, :] + s @ V.T - x * (V ** 2).sum(1))
    dV = (x * d[:, None]).T @ s - ((x ** 2) * d[:, None]).sum(0)[:, None] * V
    return {"x": dx, "w": x.T @ d, "V": dV}


def bpr(pos, neg):
    diff = pos - neg
    return np.logaddexp(0.0, -diff).mean(), dict(diff=diff)


def bpr_backward(d, c):
    g = -d / (1.0 + np.exp(c["diff"])) / c["diff"].size
    return dict(pos=g, neg=-g)


def cosine(a, b):
    na, nb = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
    c = (a * b).sum(1) / (na * nb)
    return c, dict(a=a, b=b, na=na, nb=nb, c=c)


def cosine_backward(d, k):
    a, b = k["a"] / k["na"][:, None], k["b"] / k["nb"][:, None]
    c = k["c"][:, None]
    return dict(a=(d / k["na"])[:, None] * (b - c * a), b=(d / k["nb"])[:, None] * (a - c * b))


rng = np.random.default_rng(30)
examples = {
    "fm": dict(x=rng.normal(size=(4, 3)), w=rng.normal(size=3), V=rng.normal(size=(3, 2))),
    "bpr": dict(pos=rng.normal(size=5), neg=rng.normal(size=5)),
    "cosine": dict(a=rng.normal(size=(4, 3)), b=rng.normal(size=(4, 3))),
}
'''), True, '', (), ()))

ITEMS.append(Item('ssl_all_right', 'self-supervised learning research code', "file", _text(r'''import numpy as np


def info_nce(za, zb, tau=0.5):
    n = len(za)
    s = za @ zb.T / tau
    lse = np.log(np.exp(s).sum(axis=1))
    return (lse - np.diag(s)).mean(), (za, zb, s, lse, tau)


def info_nce_backward(dloss, cache):
    za, zb, s, lse, tau = cache
    n = len(za)
    ds = (np.exp(s - lse[:, None]) - np.eye(n)) * dloss / (n * tau)
    return ds @ zb, ds.T @ za


def l2_normalize(x):
    r = np.sqrt((x ** 2).sum(axis=1, keepdims=True))
    y = x / r
    return y, (y, r)


def l2_normalize_backward(dy, cache):
    y, r = cache
    return (dy - y * (dy * y).sum(axis=1, keepdims=True)) / r


def triplet(anchor, pos, neg, margin=0.5):
    dp, dn = anchor - pos, anchor - neg
    h = (dp ** 2).sum(1) - (dn ** 2).sum(1) + margin
    return np.maximum(h, 0).sum(), (dp, dn, h > 0)


def triplet_backward(dloss, cache):
    dp, dn, on = cache
    k = 2 * dloss * on[:, None]
    return k * (dp - dn), -k * dp, k * dn


_q = np.random.default_rng(13)
examples = {
    "info_nce": (_q.normal(size=(4, 3)), _q.normal(size=(4, 3))),
    "l2_normalize": (_q.normal(size=(4, 3)),),
    "triplet": (_q.normal(size=(6, 3)), _q.normal(size=(6, 3)), _q.normal(size=(6, 3))),
}
'''), True, '', (), ()))

ITEMS.append(Item('bn_all_right', 'deep learning course, classes, no examples', "file", _text(r'''import numpy as np


class BatchNorm:
    """training mode only"""

    def __init__(self, dim=3, eps=1e-5):
        rng = np.random.default_rng(21)
        self.gamma = 1.0 + 0.3 * rng.normal(size=dim)
        self.beta = 0.3 * rng.normal(size=dim)
        self.eps = eps

    def forward(self, x):
        self.xc = x - x.mean(axis=0)
        self.std = np.sqrt((self.xc ** 2).mean(axis=0) + self.eps)
        self.xn = self.xc / self.std
        return self.gamma * self.xn + self.beta

    def backward(self, dout):
        n = len(dout)
        self.dgamma = np.einsum("ij,ij->j", dout, self.xn)
        self.dbeta = dout.sum(0)
        dxn = dout * self.gamma
        dxc = dxn / self.std
        dstd = -np.sum(dxn * self.xc, axis=0) / self.std ** 2
        dxc = dxc + self.xc * (dstd / self.std) / n
        return dxc - dxc.mean(axis=0)


class Swish:
    def forward(self, x):
        self.x = x
        self.s = 0.5 * (1 + np.tanh(0.5 * x))
        return x * self.s

    def backward(self, dout):
        y = self.x * self.s
        return dout * (y + self.s * (1 - y))


class LogSoftmax:
    def forward(self, x):
        m = x.max(axis=1, keepdims=True)
        self.y = x - m - np.log(np.sum(np.exp(x - m), axis=1, keepdims=True))
        return self.y.copy()

    def backward(self, dout):
        return dout - np.exp(self.y) * dout.sum(axis=1, keepdims=True)
'''), True, '', (), ()))

ITEMS.append(Item('act_all_right', 'activations file, f_forward / f_backward, no examples', "file", _text(r'''"""activations.py"""
import numpy as np


def relu_forward(x):
    return (np.abs(x) + x) / 2, x


def relu_backward(dout, cache):
    return np.where(cache > 0, dout, 0.0)


def tanh_forward(x):
    e = np.exp(-2 * np.abs(x))
    out = np.sign(x) * (1 - e) / (1 + e)
    return out, out


def tanh_backward(dout, cache):
    return dout * (1 - cache) * (1 + cache)


def mish_forward(x):
    t = np.tanh(np.logaddexp(0.0, x))
    return x * t, (x, t)


def mish_backward(dout, cache):
    x, t = cache
    return dout * (t + x * (1 - t * t) / (1 + np.exp(-x)))


def prelu_forward(x, alpha):
    return np.maximum(x, 0) + alpha * np.minimum(x, 0), (x, alpha)


def prelu_backward(dout, cache):
    x, alpha = cache
    dx = dout * ((x > 0) + alpha * (x <= 0))
    dalpha = dout * np.minimum(x, 0)
    # alpha is one number, or one for each column
    extra = dalpha.ndim - np.ndim(alpha)
    dalpha = dalpha.sum(axis=tuple(range(extra)))
    return dx, dalpha
'''), True, '', (), ()))

ITEMS.append(Item('cs_all_right', 'CS231n assignment: layers.py', "file", _text(r'''import numpy as np


def affine_forward(x, w, b):
    """x: (N, d_1, ..., d_k), w: (D, M), b: (M,)"""
    out = x.reshape(x.shape[0], -1).dot(w) + b
    return out, (x, w, b)


def affine_backward(dout, cache):
    x, w, b = cache
    dx = dout.dot(w.T).reshape(x.shape)
    dw = x.reshape(x.shape[0], -1).T.dot(dout)
    db = dout.sum(axis=0)
    return dx, dw, db


def relu_forward(x):
    return np.maximum(0, x), x


def relu_backward(dout, cache):
    x = cache
    return dout * (x > 0)


def layernorm_forward(x, gamma, beta, eps=1e-5):
    mu = x.mean(axis=1, keepdims=True)
    var = x.var(axis=1, keepdims=True)
    istd = 1.0 / np.sqrt(var + eps)
    xhat = (x - mu) * istd
    return gamma * xhat + beta, (xhat, istd, gamma)


def layernorm_backward(dout, cache):
    xhat, istd, gamma = cache
    dgamma = (dout * xhat).sum(axis=0)
    dbeta = dout.sum(axis=0)
    g = dout * gamma
    D = xhat.shape[1]
    dx = istd / D * (D * g - g.sum(axis=1, keepdims=True)
                     - xhat * (g * xhat).sum(axis=1, keepdims=True))
    return dx, dgamma, dbeta


def max_pool_forward(x, size=2):
    N, C, H, W = x.shape
    Ho, Wo = H // size, W // size
    out = np.zeros((N, C, Ho, Wo))
    for i in range(Ho):
        for j in range(Wo):
            out[:, :, i, j] = x[:, :, i*size:(i+1)*size, j*size:(j+1)*size].max(axis=(2, 3))
    return out, (x, out, size)


def max_pool_backward(dout, cache):
    x, out, size = cache
    dx = np.zeros_like(x)
    for i in range(out.shape[2]):
        for j in range(out.shape[3]):
            win = x[:, :, i*size:(i+1)*size, j*size:(j+1)*size]
            mask = win == out[:, :, i, j][:, :, None, None]
            dx[:, :, i*size:(i+1)*size, j*size:(j+1)*size] += mask * dout[:, :, i, j][:, :, None, None]
    return dx


rng = np.random.default_rng(231)
examples = {
    "affine": (rng.normal(size=(3, 2, 3)), rng.normal(size=(6, 4)), rng.normal(size=4)),
    "relu": (rng.normal(size=(4, 5)),),
    "layernorm": (rng.normal(size=(4, 5)), rng.normal(size=5), rng.normal(size=5)),
    "max_pool": (rng.normal(size=(2, 1, 4, 4)),),
}
'''), True, '', (), ()))

ITEMS.append(Item('mod_all_right', 'torch-like module classes, gradients in attributes, no examples', "file", _text(r'''import numpy as np


class Linear:
    def __init__(self, in_features, out_features):
        rng = np.random.default_rng(0)
        self.W = rng.normal(size=(out_features, in_features)) / np.sqrt(in_features)
        self.b = rng.normal(size=out_features) * 0.1
        self.dW = np.zeros_like(self.W)
        self.db = np.zeros_like(self.b)

    def forward(self, x):
        self.x = x
        return x @ self.W.T + self.b

    def backward(self, dout):
        self.dW = dout.T @ self.x
        self.db = dout.sum(axis=0)
        return dout @ self.W


class Sigmoid:
    def forward(self, x):
        self.out = 1.0 / (1.0 + np.exp(-x))
        return self.out

    def backward(self, dout):
        return dout * self.out * (1.0 - self.out)


class Tanh:
    def forward(self, x):
        self.out = np.tanh(x)
        return self.out

    def backward(self, dout):
        return dout * (1.0 - self.out ** 2)


class GELU:
    """tanh approximation"""
    c = np.sqrt(2.0 / np.pi)

    def forward(self, x):
        self.x = x
        self.t = np.tanh(self.c * (x + 0.044715 * x ** 3))
        return 0.5 * x * (1.0 + self.t)

    def backward(self, dout):
        x, t = self.x, self.t
        du = self.c * (1.0 + 3 * 0.044715 * x ** 2)
        return dout * (0.5 * (1.0 + t) + 0.5 * x * (1.0 - t ** 2) * du)


class Softmax:
    def forward(self, x):
        e = np.exp(x - x.max(axis=1, keepdims=True))
        self.p = e / e.sum(axis=1, keepdims=True)
        return self.p

    def backward(self, dout):
        dot = np.sum(dout * self.p, axis=1, keepdims=True)
        return self.p * (dout - dot)
'''), True, '', (), ()))

ITEMS.append(Item('plain_all_right', 'first-year ML homework, f / f_backward, plain names, no examples', "file", _text(r'''import numpy as np


def linear(x, W, b):
    y = x @ W + b
    cache = (x, W)
    return y, cache


def linear_backward(dy, cache):
    x, W = cache
    dx = dy @ W.T
    dW = x.T @ dy
    db = np.sum(dy, axis=0)
    return dx, dW, db


def sigmoid(x):
    y = 1 / (1 + np.exp(-x))
    return y, y


def sigmoid_backward(dy, y):
    return dy * y * (1 - y)


def softplus(x):
    return np.logaddexp(0, x), x


def softplus_backward(dy, x):
    return dy / (1 + np.exp(-x))


def elu(x, alpha=1.0):
    y = np.where(x > 0, x, alpha * (np.exp(np.minimum(x, 0)) - 1))
    return y, (x, y, alpha)


def elu_backward(dy, cache):
    x, y, alpha = cache
    return dy * np.where(x > 0, 1.0, y + alpha)


def mse_loss(pred, target):
    diff = pred - target
    return np.sum(diff ** 2) / len(pred), diff


def mse_loss_backward(dloss, diff):
    d = 2 * dloss * diff / len(diff)
    return d, -d
'''), True, '', (), ()))

ITEMS.append(Item('vae_all_right', 'VAE research code: pieces of the bound', "file", _text(r'''import numpy as np


def reparameterize(mu, logvar, eps):
    std = np.exp(0.5 * logvar)
    return mu + std * eps, {"std": std, "eps": eps}


def reparameterize_backward(dz, c):
    return {"mu": dz, "logvar": 0.5 * dz * c["eps"] * c["std"]}


def kl_normal(mu, logvar):
    """KL(N(mu, e^logvar) || N(0, 1)) of each row"""
    kl = 0.5 * np.sum(mu ** 2 + np.exp(logvar) - 1.0 - logvar, axis=1)
    return kl, {"mu": mu, "logvar": logvar}


def kl_normal_backward(dkl, c):
    d = dkl[:, None]
    return {"mu": d * c["mu"], "logvar": 0.5 * d * (np.exp(c["logvar"]) - 1.0)}


def gaussian_nll(x, mean, logvar):
    r = x - mean
    iv = np.exp(-logvar)
    nll = 0.5 * np.sum(r ** 2 * iv + logvar + np.log(2 * np.pi), axis=1)
    return nll, {"r": r, "iv": iv}


def gaussian_nll_backward(dnll, c):
    d = dnll[:, None]
    g = d * c["r"] * c["iv"]
    return {"x": g, "mean": -g, "logvar": 0.5 * d * (1.0 - c["r"] ** 2 * c["iv"])}


def bernoulli_nll(logits, x):
    return np.sum(np.logaddexp(0, logits) - x * logits, axis=1), {"l": logits, "x": x}


def bernoulli_nll_backward(dnll, c):
    p = 1 / (1 + np.exp(-c["l"]))
    return {"logits": dnll[:, None] * (p - c["x"])}


rng = np.random.default_rng(99)
_n = lambda: rng.normal(size=(4, 3))
examples = {
    "reparameterize": {"mu": _n(), "logvar": _n(), "eps": _n()},
    "kl_normal": {"mu": _n(), "logvar": _n()},
    "gaussian_nll": {"x": _n(), "mean": _n(), "logvar": _n()},
    "bernoulli_nll": {"logits": _n(), "x": (rng.random((4, 3)) > 0.5) * 1.0},
}
'''), True, '', (), ()))

ITEMS.append(Item('gfx_all_right', 'graphics / differentiable rendering', "file", _text(r'''import numpy as np


def rotate(q, v):
    """rotate the points v (N, 3) by the quaternion q (w, x, y, z), which need not have length 1"""
    nrm = np.sqrt(q @ q)
    u = q / nrm
    w, r = u[0], u[1:]
    t = 2 * np.cross(r, v)
    return v + w * t + np.cross(r, t), (u, nrm, v, t)


def rotate_backward(dout, cache):
    u, nrm, v, t = cache
    w, r = u[0], u[1:]
    dw = (dout * t).sum()
    dt = w * dout + np.cross(dout, r)
    dr = np.cross(t, dout).sum(axis=0) + 2 * np.cross(v, dt).sum(axis=0)
    dv = dout + 2 * np.cross(dt, r)
    du = np.concatenate([[dw], dr])
    dq = (du - u * (u @ du)) / nrm
    return dq, dv


def project(points, f):
    """pinhole camera: (N, 3) -> (N, 2), focal length f"""
    z = points[:, 2:]
    return f * points[:, :2] / z, (points, z, f)


def project_backward(dout, cache):
    points, z, f = cache
    dp = np.zeros_like(points)
    dp[:, :2] = f * dout / z
    dp[:, 2] = -f * (dout * points[:, :2]).sum(axis=1) / z[:, 0] ** 2
    df = (dout * points[:, :2] / z).sum()
    return dp, df


def composite(rgb, sigma):
    """volume rendering along a ray: rgb (S, 3), sigma (S,)"""
    alpha = 1 - np.exp(-sigma)
    trans = np.concatenate([[1.0], np.cumprod(1 - alpha)[:-1]])
    w = alpha * trans
    return w @ rgb, (rgb, sigma, w, trans)


def composite_backward(dout, cache):
    rgb, sigma, w, trans = cache
    drgb = w[:, None] * dout[None, :]
    dw = rgb @ dout
    after = np.concatenate([np.cumsum((w * dw)[::-1])[::-1][1:], [0.0]])
    dsigma = trans * np.exp(-sigma) * dw - after
    return drgb, dsigma


rng = np.random.default_rng(1)
examples = {
    "rotate": (np.array([0.9, 0.3, -0.5, 0.4]), rng.normal(size=(4, 3))),
    "project": (rng.normal(size=(4, 3)) + np.array([0, 0, 5.0]), np.array(1.7)),
    "composite": (rng.random((5, 3)), rng.random(5)),
}
'''), True, '', (), ()))

ITEMS.append(Item('gnn_all_right', 'graph network research code', "file", _text(r'''import numpy as np


def normalize_adj(adj):
    a = adj + np.eye(len(adj))
    d = 1 / np.sqrt(a.sum(1))
    return d[:, None] * a * d[None, :]


class GCNLayer:
    def __init__(self, d_in=3, d_out=2):
        rng = np.random.default_rng(5)
        self.weight = rng.normal(size=(d_in, d_out))
        self.bias = rng.normal(size=d_out)

    def forward(self, x, adj):
        """x (N, d_in), adj (N, N): row i holds the weights of the neighbours of i (directed)"""
        self.adj = adj
        self.agg = adj @ x
        return self.agg @ self.weight + self.bias

    def backward(self, dout):
        self.dweight = self.agg.T @ dout
        self.dbias = dout.sum(0)
        return self.adj.T @ (dout @ self.weight.T)


class ScatterMean:
    """mean of the rows of each group"""

    def forward(self, x, group):
        k = group.max() + 1
        self.group = group
        self.count = np.bincount(group, minlength=k)
        out = np.zeros((k, x.shape[1]))
        np.add.at(out, group, x)
        return out / self.count[:, None]

    def backward(self, dout):
        return (dout / self.count[:, None])[self.group]


rng = np.random.default_rng(6)
_adj = (rng.random((5, 5)) < 0.5) * rng.random((5, 5)) + np.eye(5)
examples = {
    "GCNLayer": (rng.normal(size=(5, 3)), _adj / _adj.sum(1, keepdims=True)),
    "ScatterMean": (rng.normal(size=(6, 2)), np.array([0, 1, 1, 2, 0, 1])),
}
'''), True, '', (), ()))

ITEMS.append(Item('rl_all_right', 'RL research code: losses.py of an agent', "file", _text(r'''import numpy as np


def log_softmax(logits):
    z = logits - logits.max(-1, keepdims=True)
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


def ppo_policy_loss(logits, actions, old_logp, adv, clip=0.2):
    logp_all = log_softmax(logits)
    idx = np.arange(len(actions))
    ratio = np.exp(logp_all[idx, actions] - old_logp)
    s1 = ratio * adv
    s2 = np.clip(ratio, 1 - clip, 1 + clip) * adv
    loss = -np.minimum(s1, s2).mean()
    return loss, (logp_all, actions, ratio, adv, s1, s2)


def ppo_policy_loss_backward(dloss, cache):
    logp_all, actions, ratio, adv, s1, s2 = cache
    n = len(actions)
    active = s1 <= s2
    dlogp = -dloss * active * adv * ratio / n
    onehot = np.zeros_like(logp_all)
    onehot[np.arange(n), actions] = 1.0
    return {"logits": dlogp[:, None] * (onehot - np.exp(logp_all))}


def entropy_bonus(logits):
    lp = log_softmax(logits)
    H = -(np.exp(lp) * lp).sum(-1)
    return H.mean(), (lp, H)


def entropy_bonus_backward(dout, cache):
    lp, H = cache
    return {"logits": -dout * np.exp(lp) * (lp + H[:, None]) / len(H)}


def value_loss(values, returns):
    err = values - returns
    return 0.5 * np.mean(err ** 2), err


def value_loss_backward(dloss, cache):
    return {"values": dloss * cache / cache.size}


def discounted_returns(rewards, gamma=0.9):
    """rewards (T, B) -> returns (T, B)"""
    out = np.zeros_like(rewards)
    run = np.zeros(rewards.shape[1])
    for t in reversed(range(len(rewards))):
        run = rewards[t] + gamma * run
        out[t] = run
    return out, gamma


def discounted_returns_backward(dout, gamma):
    drew = np.zeros_like(dout)
    run = np.zeros(dout.shape[1])
    for t in range(len(dout)):
        run = dout[t] + gamma * run
        drew[t] = run
    return {"rewards": drew}


_g = np.random.default_rng(7)
_l = _g.normal(size=(6, 3))
_a = np.array([0, 2, 1, 1, 0, 2])
examples = {
    "ppo_policy_loss": {"logits": _l, "actions": _a,
                        "old_logp": log_softmax(_l)[np.arange(6), _a] + np.array([.1, -.4, .05, .5, -.1, .3]),
                        "adv": np.array([1.0, 0.7, -1.2, 0.8, -0.5, -0.9])},
    "entropy_bonus": {"logits": _g.normal(size=(4, 3))},
    "value_loss": {"values": _g.normal(size=5), "returns": _g.normal(size=5)},
    "discounted_returns": {"rewards": _g.normal(size=(5, 2))},
}
'''), True, '', (), ()))

ITEMS.append(Item('zero_all_right', "'from scratch' textbook classes, params and grads lists", "file", _text(r'''# coding: utf-8
import numpy as np


class MatMul:
    def __init__(self, W):
        self.params = [W]
        self.grads = [np.zeros_like(W)]
        self.x = None

    def forward(self, x):
        W, = self.params
        self.x = x
        return np.dot(x, W)

    def backward(self, dout):
        W, = self.params
        dx = np.dot(dout, W.T)
        dW = np.dot(self.x.T, dout)
        self.grads[0][...] = dW
        return dx


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
        dx = np.dot(dout, W.T)
        self.grads[0][...] = np.dot(self.x.T, dout)
        self.grads[1][...] = np.sum(dout, axis=0)
        return dx


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
'''), True, '', (), ()))

ITEMS.append(Item('vis_all_right', 'vision layer library: classes with a dict of gradients', "file", _text(r'''import numpy as np


class Conv2D:
    """3x3 convolution, stride 1, zero padding 1."""

    def __init__(self, c_in=2, c_out=2, seed=1):
        rng = np.random.default_rng(seed)
        self.params = {"W": rng.normal(size=(c_out, c_in, 3, 3)) * 0.3, "b": rng.normal(size=c_out)}
        self.grads = {}

    def forward(self, x):
        W, b = self.params["W"], self.params["b"]
        n, c, h, w = x.shape
        xp = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
        out = np.zeros((n, len(b), h, w)) + b[None, :, None, None]
        for i in range(3):
            for j in range(3):
                out += np.einsum("nchw,oc->nohw", xp[:, :, i:i+h, j:j+w], W[:, :, i, j])
        self.xp = xp
        return out

    def backward(self, dout):
        W = self.params["W"]
        h, w = dout.shape[2:]
        dxp = np.zeros_like(self.xp)
        dW = np.zeros_like(W)
        for i in range(3):
            for j in range(3):
                dW[:, :, i, j] = np.einsum("nohw,nchw->oc", dout, self.xp[:, :, i:i+h, j:j+w])
                dxp[:, :, i:i+h, j:j+w] += np.einsum("nohw,oc->nchw", dout, W[:, :, i, j])
        self.grads = {"W": dW, "b": dout.sum(axis=(0, 2, 3))}
        return dxp[:, :, 1:-1, 1:-1]


class GroupNorm:
    def __init__(self, channels=4, groups=2):
        rng = np.random.default_rng(2)
        self.groups = groups
        self.params = {"gamma": rng.normal(size=channels), "beta": rng.normal(size=channels)}
        self.grads = {}

    def forward(self, x):
        n, c, h, w = x.shape
        g = x.reshape(n, self.groups, -1)
        mu = g.mean(-1, keepdims=True)
        self.istd = 1 / np.sqrt(g.var(-1, keepdims=True) + 1e-5)
        self.xhat = ((g - mu) * self.istd).reshape(x.shape)
        return self.xhat * self.params["gamma"][:, None, None] + self.params["beta"][:, None, None]

    def backward(self, dout):
        n = dout.shape[0]
        self.grads["gamma"] = (dout * self.xhat).sum(axis=(0, 2, 3))
        self.grads["beta"] = dout.sum(axis=(0, 2, 3))
        d = (dout * self.params["gamma"][:, None, None]).reshape(n, self.groups, -1)
        xh = self.xhat.reshape(d.shape)
        dx = self.istd * (d - d.mean(-1, keepdims=True) - xh * (d * xh).mean(-1, keepdims=True))
        return dx.reshape(dout.shape)


class GlobalAvgPool:
    def forward(self, x):
        self.shape = x.shape
        return x.mean(axis=(2, 3))

    def backward(self, dout):
        n, c, h, w = self.shape
        return np.ones(self.shape) * dout[:, :, None, None] / (h * w)


class Upsample2x:
    def forward(self, x):
        return x.repeat(2, axis=2).repeat(2, axis=3)

    def backward(self, dout):
        n, c, h, w = dout.shape
        return dout.reshape(n, c, h // 2, 2, w // 2, 2).sum(axis=(3, 5))


rng = np.random.default_rng(0)
examples = {
    "Conv2D": (rng.normal(size=(2, 2, 3, 3)),),
    "GroupNorm": (rng.normal(size=(2, 4, 2, 2)),),
    "GlobalAvgPool": (rng.normal(size=(2, 3, 2, 3)),),
    "Upsample2x": (rng.normal(size=(1, 2, 2, 3)),),
}
'''), True, '', (), ()))
