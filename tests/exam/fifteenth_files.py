"""Fifteenth exam, files: items of check "file": twelve students' files, each once right, and eighteen with one slip in the whole file."""
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
    ITEMS.append(Item(name, style, "file", lambda: {"source": source}, True))


def _wrong(name, style, source, old, new, slip, wrong, causes):
    assert source.count(old) == 1, (name, source.count(old))
    text = source.replace(old, new)
    ITEMS.append(Item(name, style, "file", lambda: {"source": text}, False, slip, wrong, causes))


# ---------------------------------------------------------------- 1: CS231n homework, no examples
CS231N = r'''
import numpy as np


def affine_forward(x, w, b):
    """
    Inputs:
    - x: array of shape (N, D)
    - w: weights of shape (D, M)
    - b: biases of shape (M,)
    Returns (out, cache), out of shape (N, M)
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
    out = np.maximum(0, x)
    cache = x
    return out, cache


def relu_backward(dout, cache):
    x = cache
    dx = dout * (x > 0)
    return dx


def batchnorm_forward(x, gamma, beta, eps=1e-5):
    """
    - x: data of shape (N, D)
    - gamma: scale of shape (D,)
    - beta: shift of shape (D,)
    """
    mu = np.mean(x, axis=0)
    var = np.var(x, axis=0)
    std = np.sqrt(var + eps)
    x_hat = (x - mu) / std
    out = gamma * x_hat + beta
    cache = (x, mu, std, x_hat, gamma)
    return out, cache


def batchnorm_backward(dout, cache):
    x, mu, std, x_hat, gamma = cache
    N = x.shape[0]
    dgamma = np.sum(dout * x_hat, axis=0)
    dbeta = np.sum(dout, axis=0)
    dx_hat = dout * gamma
    dvar = np.sum(dx_hat * (x - mu), axis=0) * -0.5 * std ** -3
    dmu = np.sum(-dx_hat / std, axis=0)
    dx = dx_hat / std + dvar * 2.0 * (x - mu) / N + dmu / N
    return dx, dgamma, dbeta


def layernorm_forward(x, gamma, beta, eps=1e-5):
    """
    - x: data of shape (N, D)
    - gamma: scale of shape (D,)
    - beta: shift of shape (D,)
    """
    mu = x.mean(axis=1, keepdims=True)
    ivar = 1.0 / np.sqrt(x.var(axis=1, keepdims=True) + eps)
    xhat = (x - mu) * ivar
    out = gamma * xhat + beta
    return out, (xhat, ivar, gamma)


def layernorm_backward(dout, cache):
    xhat, ivar, gamma = cache
    dgamma = (dout * xhat).sum(axis=0)
    dbeta = dout.sum(axis=0)
    dxhat = dout * gamma
    proj = (dxhat * xhat).mean(axis=1, keepdims=True)
    dx = ivar * (dxhat - dxhat.mean(axis=1, keepdims=True) - xhat * proj)
    return dx, dgamma, dbeta


def affine_relu_forward(x, w, b):
    """
    - x: (N, D), w: (D, M), b: (M,)
    """
    a, fc_cache = affine_forward(x, w, b)
    out, relu_cache = relu_forward(a)
    return out, (fc_cache, relu_cache)


def affine_relu_backward(dout, cache):
    fc_cache, relu_cache = cache
    da = relu_backward(dout, relu_cache)
    return affine_backward(da, fc_cache)
'''
_right("file-cs231n-right", "CS231n assignment", CS231N)
_wrong("file-cs231n-layernorm-axis", "CS231n assignment", CS231N,
       "proj = (dxhat * xhat).mean(axis=1, keepdims=True)", "proj = (dxhat * xhat).mean(axis=0, keepdims=True)",
       "the mean of dxhat * xhat in layernorm_backward is over the batch (axis 0, left over from batchnorm); should be over the features (axis 1)",
       ("layernorm.x",), ("shape",))


# ---------------------------------------------------------------- 2: layer library after a book, examples
BOOK = r'''
# coding: utf-8
import numpy as np


def softmax(x):
    x = x - x.max(axis=-1, keepdims=True)
    e = np.exp(x)
    return e / e.sum(axis=-1, keepdims=True)


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


class TimeAffine:
    def __init__(self, W, b):
        self.W, self.b = W, b
        self.x = None
        self.dW = None
        self.db = None

    def forward(self, x):
        N, T, D = x.shape
        rx = x.reshape(N * T, -1)
        out = np.dot(rx, self.W) + self.b
        self.x = x
        return out.reshape(N, T, -1)

    def backward(self, dout):
        x = self.x
        N, T, D = x.shape
        dout = dout.reshape(N * T, -1)
        rx = x.reshape(N * T, -1)
        self.db = np.sum(dout, axis=0)
        self.dW = np.dot(rx.T, dout)
        dx = np.dot(dout, self.W.T)
        return dx.reshape(*x.shape)


class TimeSoftmaxWithLoss:
    def __init__(self, ignore_label=-1):
        self.cache = None
        self.ignore_label = ignore_label

    def forward(self, xs, ts):
        N, T, V = xs.shape
        mask = (ts != self.ignore_label)
        xs = xs.reshape(N * T, V)
        ts = ts.reshape(N * T)
        mask = mask.reshape(N * T)
        ys = softmax(xs)
        ls = np.log(ys[np.arange(N * T), ts])
        ls = ls * mask
        loss = -np.sum(ls) / mask.sum()
        self.cache = (ts, ys, mask, (N, T, V))
        return loss

    def backward(self, dout=1):
        ts, ys, mask, (N, T, V) = self.cache
        dx = ys.copy()
        dx[np.arange(N * T), ts] -= 1
        dx = dx * dout
        dx = dx / mask.sum()
        dx = dx * mask[:, np.newaxis]
        return dx.reshape((N, T, V))


_r = np.random.RandomState(3)
examples = {
    "Sigmoid": {"init": {}, "x": _r.randn(4, 3)},
    "TimeAffine": {"init": {"W": _r.randn(4, 3), "b": _r.randn(3)}, "x": _r.randn(3, 2, 4)},
    "TimeSoftmaxWithLoss": {"init": {}, "xs": _r.randn(3, 4, 5),
                            "ts": np.array([[0, 2, -1, 4], [1, 1, 3, -1], [4, -1, -1, 2]])},
}
'''
_right("file-book-right", "deep learning book, NumPy layers", BOOK)
_wrong("file-book-loss-ignored-count", "deep learning book, NumPy layers", BOOK,
       "dx = dx / mask.sum()", "dx = dx / (N * T)",
       "TimeSoftmaxWithLoss.backward divides by all N * T positions; the forward divides by the number of positions that are not ignored",
       ("TimeSoftmaxWithLoss.xs",), ("factor",))


# ---------------------------------------------------------------- 3: RL utilities, examples
RL = r'''
"""Policy-gradient helpers (numpy). f(...) gives (value, cache); f_backward(dvalue, cache) gives a dict of gradients."""
import numpy as np

LOG_2PI = np.log(2 * np.pi)


def gaussian_log_prob(mean, log_std, action):
    # mean, action (N, A); log_std (A,), state independent
    z = (action - mean) / np.exp(log_std)
    logp = np.sum(-0.5 * z ** 2 - log_std - 0.5 * LOG_2PI, axis=-1)
    return logp, (z, log_std)


def gaussian_log_prob_backward(dlogp, cache):
    z, log_std = cache
    g = dlogp[:, None]
    dmean = g * z / np.exp(log_std)
    dlog_std = np.sum(g * (z ** 2 - 1.0), axis=0)
    return {"mean": dmean, "log_std": dlog_std, "action": -dmean}


def categorical_entropy(logits):
    m = logits.max(axis=-1, keepdims=True)
    logp = logits - m - np.log(np.sum(np.exp(logits - m), axis=-1, keepdims=True))
    p = np.exp(logp)
    ent = -np.sum(p * logp, axis=-1)
    return ent, (p, logp, ent)


def categorical_entropy_backward(dent, cache):
    p, logp, ent = cache
    return {"logits": -dent[:, None] * p * (logp + ent[:, None])}


def ppo_clip_loss(log_prob, old_log_prob, advantage, clip=0.2):
    # old_log_prob and advantage are data from the rollout: no gradient
    ratio = np.exp(log_prob - old_log_prob)
    surr1 = ratio * advantage
    surr2 = np.clip(ratio, 1 - clip, 1 + clip) * advantage
    loss = -np.mean(np.minimum(surr1, surr2))
    return loss, (ratio, advantage, surr1, surr2)


def ppo_clip_loss_backward(dloss, cache):
    ratio, advantage, surr1, surr2 = cache
    active = surr1 <= surr2
    return {"log_prob": -dloss * active * ratio * advantage / len(ratio)}


def discounted_returns(rewards, gamma=0.9):
    # rewards (N, T)
    G = np.zeros_like(rewards)
    run = np.zeros(rewards.shape[0])
    for t in reversed(range(rewards.shape[1])):
        run = rewards[:, t] + gamma * run
        G[:, t] = run
    return G, gamma


def discounted_returns_backward(dG, cache):
    gamma = cache
    dr = np.zeros_like(dG)
    run = np.zeros(dG.shape[0])
    for t in range(dG.shape[1]):
        run = dG[:, t] + gamma * run
        dr[:, t] = run
    return {"rewards": dr}


_rng = np.random.RandomState(0)
examples = {
    "gaussian_log_prob": {"mean": _rng.randn(5, 3), "log_std": 0.4 * _rng.randn(3), "action": _rng.randn(5, 3)},
    "categorical_entropy": {"logits": _rng.randn(4, 5)},
    "ppo_clip_loss": {"log_prob": np.array([-0.4, -1.3, -2.1, -0.7, -1.6, -0.9]),
                      "old_log_prob": np.array([-0.9, -1.25, -1.5, -1.3, -1.0, -0.95]),
                      "advantage": np.array([1.2, -0.7, 0.9, -1.1, -0.4, 0.6])},
    "discounted_returns": {"rewards": _rng.randn(3, 5)},
}
'''
_right("file-rl-right", "RL research repository", RL)
_wrong("file-rl-gaussian-log-std", "RL research repository", RL,
       "dlog_std = np.sum(g * (z ** 2 - 1.0), axis=0)", "dlog_std = np.sum(g * z ** 2, axis=0)",
       "the -1 of the normaliser -log_std is missing in d log_std; should be z**2 - 1",
       ("gaussian_log_prob.log_std",), ("missing-term",))
_wrong("file-rl-ppo-mask", "RL research repository", RL,
       "active = surr1 <= surr2", "active = np.abs(ratio - 1.0) < 0.2",
       "the gradient is stopped wherever the ratio is outside the clip range; it should be stopped only where the clipped term is the smaller one",
       ("ppo_clip_loss.log_prob",), ("elementwise-factor", "zero"))


# ---------------------------------------------------------------- 4: NLP layers, examples
NLP = r'''
import numpy as np


def embedding_forward(W, idx):
    """W: (V, D) word vectors, idx: (N, T) integers -> (N, T, D)"""
    return W[idx], (W.shape, idx)


def embedding_backward(dout, cache):
    shape, idx = cache
    dW = np.zeros(shape)
    np.add.at(dW, idx, dout)
    return dW


def causal_attention_forward(q, k, v):
    """q, k: (N, T, D), v: (N, T, E) -> (N, T, E); position t looks at 0..t"""
    scale = 1.0 / np.sqrt(q.shape[-1])
    T = q.shape[1]
    scores = np.einsum("ntd,nsd->nts", q, k) * scale
    scores = np.where(np.tril(np.ones((T, T), dtype=bool)), scores, -1e9)
    scores = scores - scores.max(axis=-1, keepdims=True)
    att = np.exp(scores)
    att = att / att.sum(axis=-1, keepdims=True)
    out = np.einsum("nts,nse->nte", att, v)
    return out, (q, k, v, att, scale)


def causal_attention_backward(dout, cache):
    q, k, v, att, scale = cache
    dv = np.einsum("nts,nte->nse", att, dout)
    datt = np.einsum("nte,nse->nts", dout, v)
    dscores = att * (datt - np.sum(datt * att, axis=-1, keepdims=True))
    dq = scale * np.einsum("nts,nsd->ntd", dscores, k)
    dk = scale * np.einsum("nts,ntd->nsd", dscores, q)
    return dq, dk, dv


def neg_sampling_forward(center, context, negatives):
    """center, context: (N, D); negatives: (N, K, D) -> loss per pair (N,)"""
    pos = np.sum(center * context, axis=1)
    neg = np.einsum("nd,nkd->nk", center, negatives)
    loss = np.logaddexp(0, -pos) + np.logaddexp(0, neg).sum(axis=1)
    return loss, (center, context, negatives, pos, neg)


def neg_sampling_backward(dloss, cache):
    center, context, negatives, pos, neg = cache
    dpos = -dloss / (1 + np.exp(pos))
    dneg = dloss[:, None] / (1 + np.exp(-neg))
    dcenter = dpos[:, None] * context + np.einsum("nk,nkd->nd", dneg, negatives)
    dcontext = dpos[:, None] * center
    dnegatives = dneg[:, :, None] * center[:, None, :]
    return dcenter, dcontext, dnegatives


_rs = np.random.RandomState(11)
examples = {
    "embedding": {"W": _rs.randn(6, 4), "idx": np.array([[1, 4, 1], [0, 5, 4], [4, 2, 2]])},
    "causal_attention": {"q": _rs.randn(3, 4, 3), "k": _rs.randn(3, 4, 3), "v": _rs.randn(3, 4, 2)},
    "neg_sampling": {"center": _rs.randn(4, 3), "context": _rs.randn(4, 3), "negatives": _rs.randn(4, 2, 3)},
}
'''
_right("file-nlp-right", "NLP course project", NLP)
_wrong("file-nlp-embedding-repeats", "NLP course project", NLP,
       "np.add.at(dW, idx, dout)", "dW[idx] += dout",
       "dW[idx] += keeps only one of the rows of a repeated word; np.add.at adds them all",
       ("embedding.W",), ("batch-sum", "missing-term"))
_wrong("file-nlp-attention-scale-k", "NLP course project", NLP,
       'dk = scale * np.einsum("nts,ntd->nsd", dscores, q)', 'dk = np.einsum("nts,ntd->nsd", dscores, q)',
       "1/sqrt(D) is missing in dk",
       ("causal_attention.k",), ("factor",))


# ---------------------------------------------------------------- 5: vision layers, examples
VISION = r'''
import numpy as np


def conv2d_forward(x, w, b):
    """3x3 convolution, stride 1, 'same'. x: (N, C, H, W), w: (F, C, 3, 3), b: (F,)"""
    N, C, H, W = x.shape
    F, _, KH, KW = w.shape
    x_pad = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    out = np.zeros((N, F, H, W))
    for i in range(H):
        for j in range(W):
            patch = x_pad[:, :, i:i + KH, j:j + KW]
            out[:, :, i, j] = np.tensordot(patch, w, axes=([1, 2, 3], [1, 2, 3])) + b
    return out, (x_pad, w, x.shape)


def conv2d_backward(dout, cache):
    x_pad, w, (N, C, H, W) = cache
    F, _, KH, KW = w.shape
    dx_pad = np.zeros_like(x_pad)
    dw = np.zeros_like(w)
    for i in range(H):
        for j in range(W):
            g = dout[:, :, i, j]
            patch = x_pad[:, :, i:i + KH, j:j + KW]
            dw += np.tensordot(g, patch, axes=([0], [0]))
            dx_pad[:, :, i:i + KH, j:j + KW] += np.tensordot(g, w, axes=([1], [0]))
    db = dout.sum(axis=(0, 2, 3))
    dx = dx_pad[:, :, 1:H + 1, 1:W + 1]
    return dx, dw, db


def max_pool_forward(x):
    """2x2, stride 2"""
    N, C, H, W = x.shape
    xr = x.reshape(N, C, H // 2, 2, W // 2, 2)
    out = xr.max(axis=(3, 5))
    return out, (xr, out, x.shape)


def max_pool_backward(dout, cache):
    xr, out, shape = cache
    mask = xr == out[:, :, :, None, :, None]
    return (mask * dout[:, :, :, None, :, None]).reshape(shape)


def avg_pool_forward(x, pool_h=2, pool_w=3):
    N, C, H, W = x.shape
    OH, OW = H // pool_h, W // pool_w
    out = x.reshape(N, C, OH, pool_h, OW, pool_w).mean(axis=(3, 5))
    return out, (x.shape, pool_h, pool_w)


def avg_pool_backward(dout, cache):
    shape, pool_h, pool_w = cache
    area = pool_h * pool_w
    dx = np.repeat(np.repeat(dout, pool_h, axis=2), pool_w, axis=3) / area
    return dx.reshape(shape)


def channel_gate_forward(x, g):
    """squeeze-and-excitation gate without the MLP. x: (N, C, H, W), g: (C,)"""
    pooled = x.mean(axis=(2, 3))
    s = 1.0 / (1.0 + np.exp(-pooled * g))
    return x * s[:, :, None, None], (x, g, pooled, s)


def channel_gate_backward(dout, cache):
    x, g, pooled, s = cache
    ds = np.sum(dout * x, axis=(2, 3))
    da = ds * s * (1 - s)
    dg = np.sum(da * pooled, axis=0)
    dpooled = da * g
    dx = dout * s[:, :, None, None] + dpooled[:, :, None, None] / (x.shape[2] * x.shape[3])
    return dx, dg


_rs = np.random.RandomState(5)
examples = {
    "conv2d": {"x": _rs.randn(3, 2, 2, 5), "w": _rs.randn(2, 2, 3, 3), "b": _rs.randn(2)},
    "max_pool": {"x": _rs.randn(3, 1, 4, 2)},
    "avg_pool": {"x": _rs.randn(3, 1, 4, 3)},
    "channel_gate": {"x": _rs.randn(3, 2, 2, 3), "g": _rs.randn(2)},
}
'''
_right("file-vision-right", "computer vision homework", VISION)
_wrong("file-vision-conv-crop", "computer vision homework", VISION,
       "dx = dx_pad[:, :, 1:H + 1, 1:W + 1]", "dx = dx_pad[:, :, :H, :W]",
       "the padding is cut off at the far side only, so dx is shifted by one pixel; should be dx_pad[:, :, 1:H+1, 1:W+1]",
       ("conv2d.x",), ("transpose",))
_wrong("file-vision-avgpool-area", "computer vision homework", VISION,
       "area = pool_h * pool_w", "area = pool_h * pool_h",
       "divides by pool_h**2 where the window is pool_h x pool_w",
       ("avg_pool.x",), ("factor",))


# ---------------------------------------------------------------- 6: losses, examples
LOSSES = r'''
"""A small loss zoo. Every loss returns (mean loss, cache); the backward takes the gradient of that mean."""
import numpy as np


def _sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def focal_loss(logits, targets, gamma=2.0):
    # targets: integers 0 / 1, same shape as logits
    sign = 2 * targets - 1
    pt = _sigmoid(sign * logits)
    loss = np.mean(-(1 - pt) ** gamma * np.log(pt))
    return loss, (sign, pt, gamma)


def focal_loss_backward(dloss, cache):
    sign, pt, gamma = cache
    dpt = gamma * (1 - pt) ** (gamma - 1) * np.log(pt) - (1 - pt) ** gamma / pt
    return dloss * dpt * pt * (1 - pt) * sign / pt.size


def cosine_loss(a, b):
    # a, b: (N, D)
    na = np.sqrt(np.sum(a * a, axis=1, keepdims=True))
    nb = np.sqrt(np.sum(b * b, axis=1, keepdims=True))
    cos = np.sum(a * b, axis=1, keepdims=True) / (na * nb)
    return np.mean(1.0 - cos), (a, b, na, nb, cos)


def cosine_loss_backward(dloss, cache):
    a, b, na, nb, cos = cache
    g = -dloss / a.shape[0]
    da = g * (b / (na * nb) - cos * a / na ** 2)
    db = g * (a / (na * nb) - cos * b / nb ** 2)
    return da, db


def smooth_l1(pred, target, beta=0.5):
    d = pred - target
    small = np.abs(d) < beta
    loss = np.where(small, 0.5 * d ** 2 / beta, np.abs(d) - 0.5 * beta)
    return loss.mean(), (d, small, beta)


def smooth_l1_backward(dloss, cache):
    d, small, beta = cache
    g = np.where(small, d / beta, np.sign(d)) * dloss / d.size
    return g, -g


def multiclass_hinge(scores, y, margin=1.0):
    # scores: (N, C), y: (N,) labels
    n = np.arange(len(y))
    m = scores - scores[n, y][:, None] + margin
    m[n, y] = 0.0
    return np.maximum(m, 0).sum() / len(y), (m, y)


def multiclass_hinge_backward(dloss, cache):
    m, y = cache
    n = np.arange(len(y))
    ds = (m > 0).astype(float)
    ds[n, y] = -ds.sum(axis=1)
    return ds * dloss / len(y)


_rng = np.random.RandomState(21)
examples = {
    "focal_loss": (_rng.randn(4, 3), np.array([[0, 1, 1], [1, 0, 0], [0, 0, 1], [1, 1, 0]])),
    "cosine_loss": (_rng.randn(4, 3), 1.7 * _rng.randn(4, 3)),
    "smooth_l1": (_rng.randn(5, 2), _rng.randn(5, 2)),
    "multiclass_hinge": (_rng.randn(5, 4), np.array([0, 3, 1, 1, 2])),
}
'''
_right("file-losses-right", "loss collection on GitHub", LOSSES)
_wrong("file-losses-focal-modulator", "loss collection on GitHub", LOSSES,
       "dpt = gamma * (1 - pt) ** (gamma - 1) * np.log(pt) - (1 - pt) ** gamma / pt", "dpt = -(1 - pt) ** gamma / pt",
       "the modulating factor (1 - pt)**gamma is treated as a constant; its own derivative gamma (1 - pt)**(gamma-1) log(pt) is missing",
       ("focal_loss.logits",), ("missing-term", "elementwise-factor"))
_wrong("file-losses-cosine-norm", "loss collection on GitHub", LOSSES,
       "cos * b / nb ** 2", "cos * b / nb",
       "the projection term of db is divided by |b|; should be |b|**2",
       ("cosine_loss.b",), ("elementwise-factor", "missing-term"))


# ---------------------------------------------------------------- 7: recurrent cells, examples
RECURRENT = r'''
import numpy as np


def sigmoid(x):
    return 1. / (1. + np.exp(-x))


def rnn_forward(x, h0, Wx, Wh, b):
    """x: (N, T, D), h0: (N, H), Wx: (D, H), Wh: (H, H), b: (H,) -> h: (N, T, H)"""
    N, T, D = x.shape
    h = np.zeros((N, T, h0.shape[1]))
    prev = h0
    for t in range(T):
        prev = np.tanh(x[:, t].dot(Wx) + prev.dot(Wh) + b)
        h[:, t] = prev
    return h, (x, h0, Wx, Wh, h)


def rnn_backward(dh, cache):
    x, h0, Wx, Wh, h = cache
    N, T, D = x.shape
    dx = np.zeros_like(x)
    dWx, dWh, db = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros(Wh.shape[0])
    dprev = np.zeros_like(h0)
    for t in range(T - 1, -1, -1):
        prev = h[:, t - 1] if t > 0 else h0
        da = (dh[:, t] + dprev) * (1 - h[:, t] ** 2)
        dx[:, t] = da.dot(Wx.T)
        dprev = da.dot(Wh.T)
        dWx += x[:, t].T.dot(da)
        dWh += prev.T.dot(da)
        db += da.sum(axis=0)
    return dx, dprev, dWx, dWh, db


def lstm_forward(x, h0, Wx, Wh, b):
    """x: (N, T, D), h0: (N, H), Wx: (D, 4H), Wh: (H, 4H), b: (4H,) -> h: (N, T, H); c0 = 0"""
    N, T, D = x.shape
    H = h0.shape[1]
    h = np.zeros((N, T, H))
    prev_h, prev_c = h0, np.zeros((N, H))
    steps = []
    for t in range(T):
        a = x[:, t].dot(Wx) + prev_h.dot(Wh) + b
        i = sigmoid(a[:, :H])
        f = sigmoid(a[:, H:2 * H])
        o = sigmoid(a[:, 2 * H:3 * H])
        g = np.tanh(a[:, 3 * H:])
        c = f * prev_c + i * g
        tc = np.tanh(c)
        steps.append((prev_h, prev_c, i, f, o, g, c, tc))
        prev_h, prev_c = o * tc, c
        h[:, t] = prev_h
    return h, (x, Wx, Wh, steps)


def lstm_backward(dh, cache):
    x, Wx, Wh, steps = cache
    dx = np.zeros_like(x)
    dWx, dWh, db = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros(Wh.shape[1])
    dnext_h = np.zeros_like(dh[:, 0])
    dnext_c = np.zeros_like(dh[:, 0])
    for t in reversed(range(x.shape[1])):
        prev_h, prev_c, i, f, o, g, c, tc = steps[t]
        dht = dh[:, t] + dnext_h
        dc = dnext_c + dht * o * (1 - tc ** 2)
        di = dc * g * i * (1 - i)
        df = dc * prev_c * f * (1 - f)
        do = dht * tc * o * (1 - o)
        dg = dc * i * (1 - g ** 2)
        da = np.hstack([di, df, do, dg])
        dx[:, t] = da.dot(Wx.T)
        dnext_h = da.dot(Wh.T)
        dnext_c = dc * f
        dWx += x[:, t].T.dot(da)
        dWh += prev_h.T.dot(da)
        db += da.sum(axis=0)
    return dx, dnext_h, dWx, dWh, db


def gru_cell_forward(x, h, W, U, b):
    """x: (N, D), h: (N, H), W: (D, 3H), U: (H, 3H), b: (3H,); gates in the order z, r, n"""
    H = h.shape[1]
    zr = sigmoid(x.dot(W[:, :2 * H]) + h.dot(U[:, :2 * H]) + b[:2 * H])
    z, r = zr[:, :H], zr[:, H:]
    rh = r * h
    n = np.tanh(x.dot(W[:, 2 * H:]) + rh.dot(U[:, 2 * H:]) + b[2 * H:])
    out = (1 - z) * n + z * h
    return out, (x, h, W, U, z, r, rh, n)


def gru_cell_backward(dout, cache):
    x, h, W, U, z, r, rh, n = cache
    H = h.shape[1]
    dn = dout * (1 - z) * (1 - n ** 2)
    dz = dout * (h - n) * z * (1 - z)
    drh = dn.dot(U[:, 2 * H:].T)
    dr = drh * h * r * (1 - r)
    dzr = np.hstack([dz, dr])
    da = np.hstack([dzr, dn])
    dx = da.dot(W.T)
    dh = dout * z + drh * r + dzr.dot(U[:, :2 * H].T)
    dW = x.T.dot(da)
    dU = np.hstack([h.T.dot(dzr), rh.T.dot(dn)])
    db = da.sum(axis=0)
    return dx, dh, dW, dU, db


_r = np.random.RandomState(8)
examples = {
    "rnn": {"x": _r.randn(3, 4, 2), "h0": _r.randn(3, 5), "Wx": _r.randn(2, 5), "Wh": 0.5 * _r.randn(5, 5), "b": _r.randn(5)},
    "lstm": {"x": _r.randn(4, 3, 2), "h0": _r.randn(4, 3), "Wx": _r.randn(2, 12), "Wh": 0.7 * _r.randn(3, 12), "b": _r.randn(12)},
    "gru_cell": {"x": _r.randn(5, 2), "h": _r.randn(5, 3), "W": _r.randn(2, 9), "U": _r.randn(3, 9), "b": _r.randn(9)},
}
'''
_right("file-recurrent-right", "recurrent nets homework", RECURRENT)
_wrong("file-recurrent-lstm-tanh-slope", "recurrent nets homework", RECURRENT,
       "dc = dnext_c + dht * o * (1 - tc ** 2)", "dc = dnext_c + dht * o * (1 - c ** 2)",
       "the slope of tanh(c) is written with c instead of tanh(c); should be 1 - tanh(c)**2",
       ("lstm.x", "lstm.h0", "lstm.Wx", "lstm.Wh", "lstm.b"), ("elementwise-factor",))
_wrong("file-recurrent-gru-reset-path", "recurrent nets homework", RECURRENT,
       "dh = dout * z + drh * r + dzr.dot(U[:, :2 * H].T)", "dh = dout * z + dzr.dot(U[:, :2 * H].T)",
       "the path to h through r * h (drh * r) is missing in dh",
       ("gru_cell.h",), ("missing-term",))


# ---------------------------------------------------------------- 8: VAE pieces, no examples
VAE = r'''
"""Pieces of a VAE in plain numpy, following Kingma & Welling (2014), appendix B."""
import numpy as np


def linear_forward(x, W, b):
    """x (N, D), W (D, M), b (M,)"""
    return x @ W + b, (x, W)


def linear_backward(dy, cache):
    x, W = cache
    return {"x": dy @ W.T, "W": x.T @ dy, "b": dy.sum(axis=0)}


def reparameterize_forward(mu, logvar, eps):
    """mu, logvar, eps (N, Z); eps is standard normal noise"""
    std = np.exp(0.5 * logvar)
    return mu + std * eps, (std, eps)


def reparameterize_backward(dz, cache):
    std, eps = cache
    dmu = dz
    dlogvar = 0.5 * dz * eps * std
    return {"mu": dmu, "logvar": dlogvar, "eps": dz * std}


def kl_forward(mu, logvar):
    """KL(N(mu, exp(logvar)) || N(0, 1)), summed over the latents: (N, Z) -> (N,)"""
    kl = -0.5 * np.sum(1 + logvar - mu ** 2 - np.exp(logvar), axis=1)
    return kl, (mu, logvar)


def kl_backward(dkl, cache):
    mu, logvar = cache
    dmu = dkl[:, None] * mu
    dlogvar = dkl[:, None] * 0.5 * (np.exp(logvar) - 1)
    return {"mu": dmu, "logvar": dlogvar}


def gaussian_nll_forward(x, mean, logvar):
    """-log N(x; mean, exp(logvar)), summed over the pixels: (N, D) each -> (N,)"""
    r = x - mean
    nll = 0.5 * np.sum(np.log(2 * np.pi) + logvar + r ** 2 * np.exp(-logvar), axis=1)
    return nll, (r, logvar)


def gaussian_nll_backward(dnll, cache):
    r, logvar = cache
    g = dnll[:, None]
    dx = g * r * np.exp(-logvar)
    return {"x": dx, "mean": -dx, "logvar": 0.5 * g * (1 - r ** 2 * np.exp(-logvar))}


def bernoulli_nll_forward(logits, x):
    """-log p(x) from logits, summed over the pixels: (N, D) each -> (N,)"""
    nll = np.sum(np.logaddexp(0, logits) - x * logits, axis=1)
    return nll, (logits, x)


def bernoulli_nll_backward(dnll, cache):
    logits, x = cache
    p = 1 / (1 + np.exp(-logits))
    return {"logits": dnll[:, None] * (p - x), "x": -dnll[:, None] * logits}
'''
_right("file-vae-right", "paper reimplementation, VAE", VAE)
_wrong("file-vae-kl-logvar-sign", "paper reimplementation, VAE", VAE,
       "dlogvar = dkl[:, None] * 0.5 * (np.exp(logvar) - 1)", "dlogvar = dkl[:, None] * 0.5 * (1 - np.exp(logvar))",
       "d KL / d logvar has the wrong sign (the gradient of -KL, as in the paper's bound); should be (exp(logvar) - 1) / 2",
       ("kl.logvar",), ("sign",))
_wrong("file-vae-eps-redrawn", "paper reimplementation, VAE", VAE,
       "    std, eps = cache\n", "    std, _ = cache\n    eps = np.random.randn(*dz.shape)\n",
       "reparameterize_backward draws new noise instead of the eps that the forward used",
       ("reparameterize.logvar",), ("noise-redrawn", "elementwise-factor"))


# ---------------------------------------------------------------- 9: graph layers, examples
GRAPH = r'''
import numpy as np


class GraphConv:
    """Kipf-style layer on a directed graph: tanh(A_hat X W + b), A_hat = D^-1 (A + I)."""

    def __init__(self, adj, in_dim, out_dim, seed=0):
        rng = np.random.RandomState(seed)
        a = adj + np.eye(len(adj))
        self.a_hat = a / a.sum(axis=1, keepdims=True)
        self.params = {"W": rng.randn(in_dim, out_dim) / np.sqrt(in_dim), "b": 0.1 * rng.randn(out_dim)}
        self.grads = {}

    def forward(self, x):
        self.ax = self.a_hat @ x
        self.out = np.tanh(self.ax @ self.params["W"] + self.params["b"])
        return self.out

    def backward(self, dout):
        da = dout * (1 - self.out ** 2)
        self.grads = {"W": self.ax.T @ da, "b": da.sum(axis=0)}
        dax = da @ self.params["W"].T
        return self.a_hat.T @ dax


class GIN:
    """(1 + eps) x + sum over neighbours, followed by a linear map."""

    def __init__(self, adj, in_dim, out_dim, seed=1):
        rng = np.random.RandomState(seed)
        self.adj = adj
        self.params = {"eps": np.array([0.3]), "W": rng.randn(in_dim, out_dim)}
        self.grads = {}

    def forward(self, x):
        self.x = x
        self.h = (1 + self.params["eps"]) * x + self.adj @ x
        return self.h @ self.params["W"]

    def backward(self, dout):
        dh = dout @ self.params["W"].T
        self.grads = {"eps": np.array([np.sum(dh * self.x)]), "W": self.h.T @ dout}
        return (1 + self.params["eps"]) * dh + self.adj.T @ dh


class GraphReadout:
    """mean of the nodes of each graph in the batch"""

    def __init__(self, segment):
        self.segment = segment
        self.count = np.bincount(segment)

    def forward(self, x):
        out = np.zeros((len(self.count), x.shape[1]))
        np.add.at(out, self.segment, x)
        return out / self.count[:, None]

    def backward(self, dout):
        return (dout / self.count[:, None])[self.segment]


_r = np.random.RandomState(14)
_adj = np.array([[0., 1., 0., 0., 1.],
                 [0., 0., 1., 0., 0.],
                 [1., 1., 0., 1., 0.],
                 [0., 0., 0., 0., 1.],
                 [0., 1., 0., 0., 0.]])
examples = {
    "GraphConv": {"init": {"adj": _adj, "in_dim": 3, "out_dim": 4}, "x": _r.randn(5, 3)},
    "GIN": {"init": {"adj": _adj, "in_dim": 3, "out_dim": 2}, "x": _r.randn(5, 3)},
    "GraphReadout": {"init": {"segment": np.array([0, 0, 0, 1, 2, 2])}, "x": _r.randn(6, 3)},
}
'''
_right("file-graph-right", "graph network research code", GRAPH)
_wrong("file-graph-adjacency-transpose", "graph network research code", GRAPH,
       "return self.a_hat.T @ dax", "return self.a_hat @ dax",
       "the row-normalised adjacency of a directed graph is taken for symmetric; the gradient of x goes through A_hat.T",
       ("GraphConv.x",), ("transpose",))


# ---------------------------------------------------------------- 10: a framework from scratch, no examples
FRAMEWORK = r'''
"""tinynet: a torch-like framework in one file."""
import numpy as np


class Linear:
    def __init__(self, in_features, out_features, seed=0):
        rng = np.random.default_rng(seed)
        bound = 1.0 / np.sqrt(in_features)
        self.weight = rng.uniform(-bound, bound, (out_features, in_features))
        self.bias = rng.uniform(-bound, bound, out_features)
        self.grad_weight = None
        self.grad_bias = None

    def forward(self, x):
        self.x = x
        return x @ self.weight.T + self.bias

    def backward(self, grad_output):
        self.grad_weight = grad_output.T @ self.x
        self.grad_bias = grad_output.sum(axis=0)
        return grad_output @ self.weight


class Tanh:
    def forward(self, x):
        self.y = np.tanh(x)
        return self.y

    def backward(self, grad_output):
        return grad_output * (1 - self.y ** 2)


class LeakyReLU:
    def __init__(self, negative_slope=0.1):
        self.negative_slope = negative_slope

    def forward(self, x):
        self.pos = x > 0
        return np.where(self.pos, x, self.negative_slope * x)

    def backward(self, grad_output):
        return grad_output * np.where(self.pos, 1.0, self.negative_slope)


class LogSoftmax:
    def forward(self, x):
        m = x.max(axis=-1, keepdims=True)
        self.y = x - m - np.log(np.exp(x - m).sum(axis=-1, keepdims=True))
        return self.y

    def backward(self, grad_output):
        return grad_output - np.exp(self.y) * grad_output.sum(axis=-1, keepdims=True)


class Residual:
    """x + tanh(x W^T + b)"""

    def __init__(self, features, seed=1):
        self.fc = Linear(features, features, seed)
        self.act = Tanh()

    def forward(self, x):
        return x + self.act.forward(self.fc.forward(x))

    def backward(self, grad_output):
        branch = self.fc.backward(self.act.backward(grad_output))
        return grad_output + branch
'''
_right("file-framework-right", "framework from scratch", FRAMEWORK)
_wrong("file-framework-residual-skip", "framework from scratch", FRAMEWORK,
       "return grad_output + branch", "return branch",
       "the gradient of the skip connection is missing; should be grad_output + branch",
       ("Residual.x",), ("missing-term",))


# ---------------------------------------------------------------- 11: transformer activations, no examples
LLM = r'''
# forward / backward of the small pieces of a transformer block, written out to port them to C later
import numpy as np

GELU_C = np.sqrt(2.0 / np.pi)


def gelu(x):
    u = GELU_C * (x + 0.044715 * x ** 3)
    t = np.tanh(u)
    return 0.5 * x * (1 + t), (x, t)


def gelu_backward(dy, cache):
    x, t = cache
    du = GELU_C * (1 + 3 * 0.044715 * x ** 2)
    return dy * (0.5 * (1 + t) + 0.5 * x * (1 - t ** 2) * du)


def silu(x):
    s = 1 / (1 + np.exp(-x))
    return x * s, (x, s)


def silu_backward(dy, cache):
    x, s = cache
    return dy * (s + x * s * (1 - s))


def rmsnorm(x, weight):
    """x (B, C), weight (C,)"""
    rstd = 1 / np.sqrt(np.mean(x ** 2, axis=-1, keepdims=True) + 1e-6)
    return x * rstd * weight, (x, weight, rstd)


def rmsnorm_backward(dy, cache):
    x, weight, rstd = cache
    norm = x * rstd
    dnorm = dy * weight
    dweight = np.sum(dy * norm, axis=0)
    dx = rstd * (dnorm - norm * np.mean(dnorm * norm, axis=-1, keepdims=True))
    return dx, dweight


def swiglu(gate, up):
    """gate, up (B, C)"""
    s = 1 / (1 + np.exp(-gate))
    return gate * s * up, (gate, up, s)


def swiglu_backward(dy, cache):
    gate, up, s = cache
    dgate = dy * up * s * (1 + gate * (1 - s))
    dup = dy * gate * s
    return dgate, dup
'''
_right("file-llm-right", "transformer port to C", LLM)
_wrong("file-llm-gelu-cubic", "transformer port to C", LLM,
       "du = GELU_C * (1 + 3 * 0.044715 * x ** 2)", "du = GELU_C * (1 + 0.044715 * x ** 2)",
       "the 3 of the derivative of x**3 is missing in the slope of the tanh's argument",
       ("gelu.x",), ("elementwise-factor", "missing-term"))


# ---------------------------------------------------------------- 12: normalizing flows, examples
FLOWS = r'''
import numpy as np


def actnorm_log_prob(x, bias, log_scale):
    """y = (x + bias) exp(log_scale); log density of x (N, D) under y ~ N(0, I): (N,)"""
    y = (x + bias) * np.exp(log_scale)
    logp = -0.5 * np.sum(y ** 2 + np.log(2 * np.pi), axis=1) + np.sum(log_scale)
    return logp, (y, log_scale)


def actnorm_log_prob_backward(dlogp, cache):
    y, log_scale = cache
    dy = -dlogp[:, None] * y
    dx = dy * np.exp(log_scale)
    dbias = dx.sum(axis=0)
    dlog_scale = np.sum(dy * y, axis=0) + np.sum(dlogp)
    return dx, dbias, dlog_scale


def planar(z, u, w, b):
    """z (N, D), u (D,), w (D,), b (1,) -> z + u tanh(w.z + b)"""
    h = np.tanh(z @ w + b)
    return z + h[:, None] * u, (z, u, w, h)


def planar_backward(dout, cache):
    z, u, w, h = cache
    du = h @ dout
    da = (dout @ u) * (1 - h ** 2)
    return dout + da[:, None] * w, du, da @ z, np.array([da.sum()])


def planar_logdet(z, u, w, b):
    """log |1 + u.w (1 - tanh^2(w.z + b))|, (N,)"""
    h = np.tanh(z @ w + b)
    det = 1 + (u @ w) * (1 - h ** 2)
    return np.log(np.abs(det)), (z, u, w, h, det)


def planar_logdet_backward(dld, cache):
    z, u, w, h, det = cache
    ddet = dld / det
    slope = 1 - h ** 2
    duw = np.sum(ddet * slope)
    da = ddet * (u @ w) * -2 * h * slope
    return da[:, None] * w, duw * w, duw * u + da @ z, np.array([da.sum()])


def coupling(x, W, V):
    """RealNVP: the first k columns of x (N, D) give scale and shift of the others. W, V (k, D - k)"""
    k = W.shape[0]
    x1, x2 = x[:, :k], x[:, k:]
    s = np.tanh(x1 @ W)
    y2 = x2 * np.exp(s) + x1 @ V
    return np.hstack([x1, y2]), (x1, x2, s, W, V)


def coupling_backward(dy, cache):
    x1, x2, s, W, V = cache
    k = W.shape[0]
    dy1, dy2 = dy[:, :k], dy[:, k:]
    da = dy2 * x2 * np.exp(s) * (1 - s ** 2)
    dx1 = dy1 + da @ W.T + dy2 @ V.T
    dx2 = dy2 * np.exp(s)
    return np.hstack([dx1, dx2]), x1.T @ da, x1.T @ dy2


_r = np.random.RandomState(30)
examples = {
    "actnorm_log_prob": {"x": _r.randn(5, 3), "bias": _r.randn(3), "log_scale": 0.5 * _r.randn(3)},
    "planar": {"z": _r.randn(4, 3), "u": _r.randn(3), "w": _r.randn(3), "b": _r.randn(1)},
    "planar_logdet": {"z": _r.randn(4, 3), "u": np.array([0.8, -0.5, 0.4]), "w": np.array([0.9, 0.3, -0.7]), "b": np.array([0.2])},
    "coupling": {"x": _r.randn(4, 5), "W": 0.6 * _r.randn(2, 3), "V": _r.randn(2, 3)},
}
'''
_right("file-flows-right", "normalizing flows blog post", FLOWS)
_wrong("file-flows-actnorm-logdet-mean", "normalizing flows blog post", FLOWS,
       "+ np.sum(dlogp)", "+ np.mean(dlogp)",
       "the log-determinant's part of d log_scale is averaged over the batch; each row has it, so it is summed",
       ("actnorm_log_prob.log_scale",), ("batch-sum", "missing-term"))

assert len({i.name for i in ITEMS}) == len(ITEMS)
assert sum(i.right for i in ITEMS) == 12 and sum(not i.right for i in ITEMS) == 18
