"""Exam paper, fifth: single layers, activations, losses, normalisations, attention, embeddings, convolutions, pooling, recurrent cells."""
from __future__ import annotations

import math
from collections import namedtuple
from dataclasses import dataclass
from types import SimpleNamespace
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


ITEMS: list[Item] = []


def _wrong(name, style, make, slip, wrong, causes):
    ITEMS.append(Item(name, style, "vjp", make, False, slip, tuple(wrong), tuple(causes)))


def _right(name, style, make):
    ITEMS.append(Item(name, style, "vjp", make, True))


def _rng(seed):
    return np.random.default_rng(seed)


# ----------------------------------------------------------------------------------------------------------------------
# class-assignment manner: functions and cache tuples
# ----------------------------------------------------------------------------------------------------------------------
def affine_forward(x, w, b):
    N = x.shape[0]
    out = x.reshape(N, -1).dot(w) + b
    cache = (x, w, b)
    return out, cache


def affine_backward(dout, cache):
    x, w, b = cache
    N = x.shape[0]
    dx = dout.dot(w.T).reshape(x.shape)
    dw = x.reshape(N, -1).T.dot(dout)
    db = np.mean(dout, axis=0)
    return dx, dw, db


def make_affine():
    r = _rng(101)
    return {"forward": affine_forward, "backward": affine_backward,
            "inputs": {"x": r.normal(size=(4, 2, 3)), "w": r.normal(size=(6, 3)), "b": r.normal(size=3)}}


_wrong("affine_image_rows", "class assignment, cache tuples", make_affine,
       "The bias gradient is averaged over the rows instead of summed; use dout.sum(axis=0).", ["b"], ["factor"])


def max_pool_forward(x, pool, stride):
    N, H, W = x.shape
    Ho, Wo = 1 + (H - pool) // stride, 1 + (W - pool) // stride
    out = np.zeros((N, Ho, Wo))
    for i in range(Ho):
        for j in range(Wo):
            win = x[:, i * stride:i * stride + pool, j * stride:j * stride + pool]
            out[:, i, j] = win.max(axis=(1, 2))
    return out, (x, pool, stride)


def max_pool_backward(dout, cache):
    x, pool, stride = cache
    N, Ho, Wo = dout.shape
    dx = np.zeros_like(x)
    for n in range(N):
        for i in range(Ho):
            for j in range(Wo):
                win = x[n, i * stride:i * stride + pool, j * stride:j * stride + pool]
                a, b = np.unravel_index(np.argmax(win), win.shape)
                dx[n, i * stride + a, j * stride + b] = dout[n, i, j]
    return dx


def make_max_pool():
    r = _rng(102)
    return {"forward": max_pool_forward, "backward": max_pool_backward,
            "inputs": {"x": r.permutation(36).reshape(3, 3, 4) / 9.0}, "constants": {"pool": 2, "stride": 1}}


_wrong("max_pool_overlapping", "class assignment, naive loops", make_max_pool,
       "Overlapping windows that share a maximum overwrite each other; dx[...] += dout.", ["x"], ["missing-term"])


# ----------------------------------------------------------------------------------------------------------------------
# layer classes with state
# ----------------------------------------------------------------------------------------------------------------------
class BatchNormalization:
    def __init__(self, gamma, beta, eps=1e-5):
        self.params = [gamma, beta]
        self.grads = [None, None]
        self.eps = eps

    def forward(self, x):
        gamma, beta = self.params
        self.xc = x - x.mean(axis=0)
        self.std = np.sqrt(np.mean(self.xc ** 2, axis=0) + self.eps)
        self.xn = self.xc / self.std
        return gamma * self.xn + beta

    def backward(self, dout):
        gamma, beta = self.params
        dgamma = np.sum(dout * self.xn, axis=0)
        dbeta = dout.sum(axis=0)
        self.grads = [dgamma, dbeta]
        m = dout.shape[0]
        dx = gamma / self.std * (dout - self.xn * dgamma / m)
        return dx


def bn_fwd(x, gamma, beta):
    layer = BatchNormalization(gamma, beta)
    return layer.forward(x), layer


def bn_bwd(dy, layer):
    dx = layer.backward(dy)
    return {"x": dx, "gamma": layer.grads[0], "beta": layer.grads[1]}


def make_bn():
    r = _rng(103)
    return {"forward": bn_fwd, "backward": bn_bwd,
            "inputs": {"x": r.normal(1.0, 2.0, size=(5, 4)), "gamma": r.uniform(0.5, 1.5, 4), "beta": r.normal(size=4)}}


_wrong("batch_normalization_layer", "from-scratch book, layer class with params/grads lists", make_bn,
       "The path through the batch mean is missing: subtract dbeta / m inside the bracket.", ["x"], ["missing-term"])


class DropConnect:
    def __init__(self, W, b, keep=0.6, seed=7):
        self.W, self.b, self.keep = W, b, keep
        self.rng = np.random.RandomState(seed)

    def _mask(self):
        return (self.rng.rand(*self.W.shape) < self.keep) / self.keep

    def forward(self, x):
        self.x = x
        return x @ (self.W * self._mask()) + self.b

    def backward(self, dy):
        M = self._mask()
        self.db = dy.sum(0)
        self.dW = (self.x.T @ dy) * M
        return dy @ (self.W * M).T


def dropconnect_fwd(x, W, b):
    l = DropConnect(W, b)
    return l.forward(x), l


def dropconnect_bwd(dy, l):
    dx = l.backward(dy)
    return dict(x=dx, W=l.dW, b=l.db)


def make_dropconnect():
    r = _rng(104)
    return {"forward": dropconnect_fwd, "backward": dropconnect_bwd,
            "inputs": {"x": r.normal(size=(4, 5)), "W": r.normal(size=(5, 4)), "b": r.normal(size=4)}}


_wrong("drop_connect_dense", "layer class with its own random state", make_dropconnect,
       "backward draws a fresh mask instead of the one of the forward pass; keep self.M.", ["x", "W"],
       ["elementwise-factor", "noise-redrawn"])


class MaxOverTime:
    """Max pooling over time of a text CNN: (B, T, C) -> (B, C)."""

    def forward(self, x):
        self.winner = np.zeros(x.shape, dtype=int)
        self.pos = x.argmax(axis=1)
        np.put_along_axis(self.winner, self.pos[:, None, :], 1, axis=1)
        return (x * self.winner).sum(axis=1)

    def backward(self, grad):
        dx = np.zeros_like(self.winner)
        for b in range(grad.shape[0]):
            for c in range(grad.shape[1]):
                dx[b, self.pos[b, c], c] = grad[b, c]
        return dx


def mot_fwd(x):
    layer = MaxOverTime()
    return layer.forward(x), layer


def make_mot():
    r = _rng(105)
    return {"forward": mot_fwd, "backward": lambda dy, layer: layer.backward(dy), "inputs": {"x": r.normal(size=(3, 4, 3))}}


_wrong("max_over_time", "NLP, sentence CNN layer class", make_mot,
       "dx takes the integer dtype of the winner mask, so gradients are truncated; np.zeros(x.shape).", ["x"],
       ["precision", "zero"])


class ResidualBlock:
    def forward(self, x, W, b):
        self.x, self.W = x, W
        self.z = x @ W + b
        return x + np.maximum(self.z, 0)

    def backward(self, dy):
        dz = dy
        dz[self.z <= 0] = 0
        dW = self.x.T @ dz
        db = dz.sum(axis=0)
        dx = dy + dz @ self.W.T
        return dx, dW, db


def res_fwd(x, W, b):
    blk = ResidualBlock()
    return blk.forward(x, W, b), blk


def make_res():
    r = _rng(106)
    return {"forward": res_fwd, "backward": lambda dy, blk: blk.backward(dy),
            "inputs": {"x": r.normal(size=(4, 3)), "W": r.normal(size=(3, 3)), "b": r.normal(size=3)}}


_wrong("residual_relu_block", "layer class, tuple of gradients", make_res,
       "dz is the same array as dy, so the mask also hits the skip path (and the caller's dy); dz = dy.copy().", ["x"],
       ["mutates-input", "elementwise-factor", "missing-term"])


# ----------------------------------------------------------------------------------------------------------------------
# scalar loops in the manner of C
# ----------------------------------------------------------------------------------------------------------------------
def layernorm_forward(inp, weight, bias):
    B, C = inp.shape
    out, mean, rstd = np.empty((B, C)), np.empty(B), np.empty(B)
    eps = 1e-5
    for b in range(B):
        m = 0.0
        for i in range(C):
            m += inp[b, i]
        m /= C
        v = 0.0
        for i in range(C):
            xshift = inp[b, i] - m
            v += xshift * xshift
        v /= C
        s = 1.0 / math.sqrt(v + eps)
        for i in range(C):
            out[b, i] = s * (inp[b, i] - m) * weight[i] + bias[i]
        mean[b], rstd[b] = m, s
    return out, (inp, weight, mean, rstd)


def layernorm_backward(dout, acts):
    inp, weight, mean, rstd = acts
    B, C = inp.shape
    dinp, dweight, dbias = np.zeros((B, C)), np.zeros(C), np.zeros(C)
    for b in range(B):
        dnorm_mean = 0.0
        dnorm_norm_mean = 0.0
        for i in range(C):
            norm_bi = (inp[b, i] - mean[b]) * rstd[b]
            dnorm_i = weight[i] * dout[b, i]
            dnorm_mean += dout[b, i]
            dnorm_norm_mean += dnorm_i * norm_bi
        dnorm_mean /= C
        dnorm_norm_mean /= C
        for i in range(C):
            norm_bi = (inp[b, i] - mean[b]) * rstd[b]
            dnorm_i = weight[i] * dout[b, i]
            dbias[i] += dout[b, i]
            dweight[i] += norm_bi * dout[b, i]
            dinp[b, i] += (dnorm_i - dnorm_mean - norm_bi * dnorm_norm_mean) * rstd[b]
    return dinp, dweight, dbias


def make_layernorm_c():
    r = _rng(107)
    return {"forward": layernorm_forward, "backward": layernorm_backward,
            "inputs": {"inp": r.normal(size=(3, 5)), "weight": r.uniform(0.3, 2.0, 5), "bias": r.normal(size=5)}}


_wrong("layernorm_scalar_loops", "C manner, scalar loops", make_layernorm_c,
       "The running mean of the normalised gradient sums dout without the weight; dnorm_mean += dnorm_i.", ["inp"],
       ["elementwise-factor", "missing-term"])


def rope_forward(x, base=10000.0):
    B, T, D = x.shape
    out = np.empty_like(x)
    freqs = np.empty((T, D // 2))
    for t in range(T):
        for i in range(D // 2):
            freqs[t, i] = t / base ** (2.0 * i / D)
    for t in range(T):
        for i in range(D // 2):
            c, s = math.cos(freqs[t, i]), math.sin(freqs[t, i])
            out[:, t, 2 * i] = x[:, t, 2 * i] * c - x[:, t, 2 * i + 1] * s
            out[:, t, 2 * i + 1] = x[:, t, 2 * i] * s + x[:, t, 2 * i + 1] * c
    return out, freqs


def rope_backward(dout, freqs):
    B, T, D = dout.shape
    dx = np.empty_like(dout)
    for t in range(T):
        for i in range(D // 2):
            c, s = math.cos(freqs[t, i]), math.sin(freqs[t, i])
            dx[:, t, 2 * i] = dout[:, t, 2 * i] * c - dout[:, t, 2 * i + 1] * s
            dx[:, t, 2 * i + 1] = dout[:, t, 2 * i] * s + dout[:, t, 2 * i + 1] * c
    return dx


def make_rope():
    r = _rng(108)
    return {"forward": rope_forward, "backward": rope_backward, "inputs": {"x": r.normal(size=(3, 3, 4))},
            "constants": {"base": 20.0}}


_wrong("rotary_embedding", "language-model port, loops over positions", make_rope,
       "The gradient is rotated forward once more; the transpose rotates by minus the angle (s -> -s).", ["x"],
       ["transpose", "sign"])


# ----------------------------------------------------------------------------------------------------------------------
# notebook manner
# ----------------------------------------------------------------------------------------------------------------------
def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    s = e / e.sum(axis=1, keepdims=True)
    return s, s


def softmax_grad(dA, A):
    return dA * A * (1 - A)


def make_softmax():
    return {"forward": softmax, "backward": softmax_grad, "inputs": {"z": _rng(109).normal(size=(4, 3))}}


_wrong("softmax_rows", "notebook, two-liners", make_softmax,
       "Only the diagonal of the softmax Jacobian is used; A * (dA - (dA * A).sum(1, keepdims=True)).", ["z"],
       ["missing-term"])


def nonlin(x, deriv=False):
    s = 1 / (1 + np.exp(-x))
    if deriv:
        return s * (1 - s)
    return s


def one_layer(l0, syn0):
    l1 = nonlin(np.dot(l0, syn0))
    return l1, (l0, syn0, l1)


def one_layer_back(l1_error, cache):
    l0, syn0, l1 = cache
    l1_delta = l1_error * nonlin(l1, True)
    return {"l0": l1_delta.dot(syn0.T), "syn0": l0.T.dot(l1_delta)}


def make_one_layer():
    r = _rng(110)
    return {"forward": one_layer, "backward": one_layer_back,
            "inputs": {"l0": r.normal(size=(4, 3)), "syn0": 2 * r.normal(size=(3, 2))}}


_wrong("eleven_line_sigmoid_layer", "blog post, eleven-line network", make_one_layer,
       "nonlin(.., True) wants the pre-activation but is given the output; use l1 * (1 - l1).", ["l0", "syn0"],
       ["elementwise-factor"])


def gelu_act(h):
    c0 = np.sqrt(2 / np.pi)
    u = c0 * (h + 0.044715 * h ** 3)
    t = np.tanh(u)
    return 0.5 * h * (1 + t), (h, t)


def gelu_act_prime(up, saved):
    h, t = saved
    c0 = np.sqrt(2 / np.pi)
    left = 0.5 * (1 + t)
    right = 0.5 * h * (1 - t ** 2) * c0 * (1 + 0.044715 * h ** 2)
    return up * (left + right)


def make_gelu():
    return {"forward": gelu_act, "backward": gelu_act_prime, "inputs": {"h": _rng(111).normal(0, 1.3, size=(4, 4))}}


_wrong("gelu_tanh_form", "notebook", make_gelu,
       "The derivative of 0.044715 h^3 lost its 3: c0 * (1 + 3 * 0.044715 * h**2).", ["h"],
       ["elementwise-factor", "factor", "missing-term"])


# ----------------------------------------------------------------------------------------------------------------------
# ports of an autograd Function (ctx, save_for_backward)
# ----------------------------------------------------------------------------------------------------------------------
class Ctx(SimpleNamespace):
    def save_for_backward(self, *ts):
        self.saved_tensors = ts


class LogSoftmaxFn:
    @staticmethod
    def forward(ctx, input):
        m = input.max(-1, keepdims=True)
        output = input - m - np.log(np.exp(input - m).sum(-1, keepdims=True))
        ctx.save_for_backward(output)
        return output

    @staticmethod
    def backward(ctx, grad_output):
        output, = ctx.saved_tensors
        return grad_output - np.exp(output) * grad_output.sum(0)


class PReLUFn:
    @staticmethod
    def forward(ctx, input, weight):
        ctx.save_for_backward(input, weight)
        return np.where(input > 0, input, weight * input)

    @staticmethod
    def backward(ctx, grad_output):
        input, weight = ctx.saved_tensors
        grad_input = np.where(input > 0, grad_output, weight * grad_output)
        grad_weight = np.where(input > 0, 0.0, grad_output).sum(axis=0)
        return grad_input, grad_weight


class RMSNormFn:
    @staticmethod
    def forward(ctx, input, g):
        inv = 1.0 / np.sqrt(np.mean(input ** 2, axis=-1, keepdims=True) + ctx.eps)
        ctx.save_for_backward(input, g, inv)
        return input * inv * g

    @staticmethod
    def backward(ctx, grad_output):
        input, g, inv = ctx.saved_tensors
        n = input.shape[-1]
        gg = grad_output * g
        grad_input = inv * gg - input * inv ** 3 * np.sum(gg * input, axis=-1, keepdims=True) / n
        grad_g = np.sum(grad_output * input, axis=0)
        return grad_input, grad_g


def _apply(fn, **attrs):
    def forward(*args, **kwargs):
        ctx = Ctx(**attrs)
        return fn.forward(ctx, *args, **kwargs), ctx

    def backward(dy, ctx):
        return fn.backward(ctx, dy)

    return forward, backward


def make_log_softmax():
    f, b = _apply(LogSoftmaxFn)
    return {"forward": f, "backward": b, "inputs": {"input": _rng(112).normal(size=(3, 5))}}


def make_prelu():
    f, b = _apply(PReLUFn)
    r = _rng(113)
    return {"forward": f, "backward": b, "inputs": {"input": r.normal(0, 2, size=(5, 4)), "weight": r.uniform(0.1, 0.4, 4)}}


def make_rmsnorm():
    f, b = _apply(RMSNormFn, eps=1e-6)
    r = _rng(114)
    return {"forward": f, "backward": b, "inputs": {"input": r.normal(0, 2.5, size=(4, 6)), "g": r.uniform(0.5, 1.5, 6)}}


_wrong("log_softmax_function", "port of an autograd Function with ctx", make_log_softmax,
       "The gradient is summed over the batch axis instead of the classes; sum(-1, keepdims=True).", ["input"], ["shape"])
_wrong("prelu_function", "port of an autograd Function with ctx", make_prelu,
       "The slope's gradient lacks the input: np.where(input > 0, 0, input * grad_output).sum(0).", ["weight"],
       ["elementwise-factor"])
_wrong("rmsnorm_function", "port of an autograd Function with ctx", make_rmsnorm,
       "The gain's gradient uses the raw input instead of the normalised one; times inv.", ["g"], ["elementwise-factor"])


# ----------------------------------------------------------------------------------------------------------------------
# NLP
# ----------------------------------------------------------------------------------------------------------------------
class Embedding:
    def __init__(self, W):
        self.W = W

    def forward(self, idx):
        self.idx = idx
        return self.W[idx]

    def backward(self, dout):
        dW = np.zeros_like(self.W)
        dW[self.idx] += dout
        return dW


def embed_fwd(W, pos, tokens):
    emb = Embedding(W)
    return emb.forward(tokens) + pos, emb


def embed_bwd(dy, emb):
    return {"W": emb.backward(dy), "pos": dy.sum(axis=0)}


def make_embed():
    r = _rng(115)
    return {"forward": embed_fwd, "backward": embed_bwd, "inputs": {"W": r.normal(size=(6, 3)), "pos": r.normal(size=(4, 3))},
            "constants": {"tokens": np.array([[0, 2, 2, 5], [1, 2, 3, 0], [5, 4, 0, 0]])}}


_wrong("token_and_position_embedding", "NLP, layer class", make_embed,
       "dW[idx] += dout keeps one of repeated tokens only; np.add.at(dW, idx, dout).", ["W"], ["missing-term", "batch-sum"])


def token_loss(logits, b, labels, ignore_index=-100):
    """mean token cross entropy over positions which are not padding"""
    z = logits + b
    keep = labels != ignore_index
    z = z - z.max(-1, keepdims=True)
    logp = z - np.log(np.exp(z).sum(-1, keepdims=True))
    safe = np.where(keep, labels, 0)
    picked = np.take_along_axis(logp, safe[..., None], -1)[..., 0]
    loss = -(picked * keep).sum() / keep.sum()
    return loss, (logp, keep, safe)


def token_loss_backward(dloss, cache):
    logp, keep, safe = cache
    d = np.exp(logp)
    rows, cols = np.indices(safe.shape)
    d[rows, cols, safe] -= 1.0
    d *= keep[..., None]
    d *= dloss / keep.size
    return {"logits": d, "b": d.sum((0, 1))}


def make_token_loss():
    r = _rng(116)
    return {"forward": token_loss, "backward": token_loss_backward,
            "inputs": {"logits": r.normal(size=(3, 3, 4)), "b": r.normal(size=4)},
            "constants": {"labels": np.array([[1, 3, -100], [0, -100, -100], [2, 2, 1]])}}


_wrong("token_cross_entropy_padding", "NLP, masked loss", make_token_loss,
       "The forward averages over kept tokens, the backward divides by all positions; keep.sum().", ["logits", "b"],
       ["factor"])


def cbow_loss(E, b, context, target):
    h = E[context].mean(axis=1)
    scores = h @ E.T + b
    scores -= scores.max(axis=1, keepdims=True)
    p = np.exp(scores)
    p /= p.sum(axis=1, keepdims=True)
    n = len(target)
    J = -np.log(p[np.arange(n), target]).mean()
    return J, (E, h, p, context, target)


def cbow_grad(dJ, cache):
    E, h, p, context, target = cache
    n = len(target)
    delta = p.copy()
    delta[np.arange(n), target] -= 1
    delta *= dJ / n
    gradE = delta.T @ h
    gradb = delta.sum(axis=0)
    return {"E": gradE, "b": gradb}


def make_cbow():
    r = _rng(117)
    return {"forward": cbow_loss, "backward": cbow_grad, "inputs": {"E": r.normal(size=(6, 3)), "b": r.normal(size=6)},
            "constants": {"context": np.array([[0, 1], [2, 3], [4, 4], [1, 5]]), "target": np.array([2, 1, 0, 3])}}


_wrong("cbow_tied_softmax", "word-vector homework", make_cbow,
       "E is used twice; the path through the averaged context vectors is missing (np.add.at of delta @ E / window).", ["E"],
       ["missing-term"])


# Luong's 'general' score
def luong_attend(query, keys, Wa):
    """query (B, D), keys (B, T, D), Wa (D, D): score_bt = query_b Wa keys_bt"""
    score = np.einsum("bi,ij,btj->bt", query, Wa, keys)
    score = score - score.max(1, keepdims=True)
    align = np.exp(score)
    align /= align.sum(1, keepdims=True)
    context = np.einsum("bt,btj->bj", align, keys)
    return context, (query, keys, Wa, align)


def luong_attend_backward(dcontext, cache):
    query, keys, Wa, align = cache
    dalign = np.einsum("bj,btj->bt", dcontext, keys)
    dkeys = np.einsum("bj,bt->btj", dcontext, align)
    dscore = align * (dalign - (dalign * align).sum(1, keepdims=True))
    dquery = np.einsum("bt,ij,btj->bi", dscore, Wa, keys)
    dWa = np.einsum("bt,bi,btj->ji", dscore, query, keys)
    dkeys += np.einsum("bt,bi,ij->btj", dscore, query, Wa)
    return {"query": dquery, "keys": dkeys, "Wa": dWa}


def make_luong():
    r = _rng(118)
    return {"forward": luong_attend, "backward": luong_attend_backward,
            "inputs": {"query": r.normal(size=(3, 3)), "keys": r.normal(size=(3, 4, 3)), "Wa": r.normal(size=(3, 3))}}


_wrong("luong_general_attention", "translation research code, einsum", make_luong,
       "dWa comes out transposed; the output subscripts are ij.", ["Wa"], ["transpose"])


@dataclass
class SDPACache:
    q: np.ndarray
    k: np.ndarray
    v: np.ndarray
    p: np.ndarray
    scale: float


def scaled_dot_product(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, SDPACache]:
    scale = q.shape[-1] ** -0.5
    s = (q @ k.swapaxes(-1, -2)) * scale
    s -= s.max(-1, keepdims=True)
    p = np.exp(s)
    p /= p.sum(-1, keepdims=True)
    return p @ v, SDPACache(q, k, v, p, scale)


def scaled_dot_product_vjp(g: np.ndarray, c: SDPACache) -> dict[str, np.ndarray]:
    dv = c.p.swapaxes(-1, -2) @ g
    dp = g @ c.v.swapaxes(-1, -2)
    ds = c.p * (dp - np.sum(dp * c.p, axis=-1, keepdims=True))
    dq = ds @ c.k * c.scale
    dk = ds.swapaxes(-1, -2) @ c.q
    return {"q": dq, "k": dk, "v": dv}


def make_sdpa():
    r = _rng(119)
    return {"forward": scaled_dot_product, "backward": scaled_dot_product_vjp,
            "inputs": {"q": r.normal(size=(3, 2, 4)), "k": r.normal(size=(3, 3, 4)), "v": r.normal(size=(3, 3, 2))}}


_wrong("scaled_dot_product_attention", "typed, dataclass cache", make_sdpa,
       "dk lacks the scale 1/sqrt(d).", ["k"], ["factor"])


# ----------------------------------------------------------------------------------------------------------------------
# recurrent cells
# ----------------------------------------------------------------------------------------------------------------------
def sigmoid(a):
    return 1.0 / (1.0 + np.exp(-a))


def lstm_step_forward(x, h_prev, c_prev, W, b):
    H = h_prev.shape[1]
    xh = np.hstack([x, h_prev])
    a = xh @ W + b
    i, f, o = sigmoid(a[:, :H]), sigmoid(a[:, H:2 * H]), sigmoid(a[:, 2 * H:3 * H])
    g = np.tanh(a[:, 3 * H:])
    c = f * c_prev + i * g
    tc = np.tanh(c)
    return np.stack([o * tc, c]), (xh, x.shape[1], W, i, f, o, g, tc, c_prev)


def lstm_step_backward(dhc, cache):
    xh, D, W, i, f, o, g, tc, c_prev = cache
    dh, dc = dhc
    dc = dc + dh * o * (1 - tc ** 2)
    di = dc * g * i * (1 - i)
    df = dc * c_prev * f * (1 - f)
    do = dh * tc * o * (1 - o)
    dg = dc * i * (1 - g ** 2)
    da = np.hstack([di, df, dg, do])
    dxh = da @ W.T
    return dxh[:, :D], dxh[:, D:], dc * f, xh.T @ da, da.sum(0)


def make_lstm():
    r = _rng(120)
    return {"forward": lstm_step_forward, "backward": lstm_step_backward,
            "inputs": {"x": r.normal(size=(3, 2)), "h_prev": r.normal(size=(3, 2)), "c_prev": r.normal(size=(3, 2)),
                       "W": r.normal(size=(4, 8)), "b": r.normal(size=8)}}


_wrong("lstm_step", "class assignment, cache tuples", make_lstm,
       "The gates are laid out i, f, o, g but their gradients are stacked i, f, g, o; hstack([di, df, do, dg]).",
       ["x", "h_prev", "W", "b"], ["transpose", "unknown"])


def gru_cell(x, h, Wz, Wr, Wn):
    """Columns are examples."""
    n_h = h.shape[0]
    hx = np.concatenate((h, x), axis=0)
    z = sigmoid(Wz @ hx)
    r = sigmoid(Wr @ hx)
    rhx = np.concatenate((r * h, x), axis=0)
    n = np.tanh(Wn @ rhx)
    h_next = (1 - z) * n + z * h
    return h_next, {"hx": hx, "rhx": rhx, "z": z, "r": r, "n": n, "h": h, "n_h": n_h, "W": (Wz, Wr, Wn)}


def gru_cell_backward(dh_next, cache):
    z, r, n, h, n_h = (cache[k] for k in ("z", "r", "n", "h", "n_h"))
    Wz, Wr, Wn = cache["W"]
    dn = dh_next * (1 - z) * (1 - n ** 2)
    dz = dh_next * (h - n) * z * (1 - z)
    drhx = Wn.T @ dn
    dr = drhx[:n_h] * h * r * (1 - r)
    dhx = Wz.T @ dz + Wr.T @ dr
    grads = {}
    grads["Wz"] = dz @ cache["hx"].T
    grads["Wr"] = dr @ cache["hx"].T
    grads["Wn"] = dn @ cache["rhx"].T
    grads["h"] = dh_next * z + dhx[:n_h]
    grads["x"] = dhx[n_h:] + drhx[n_h:]
    return grads


def make_gru():
    r = _rng(121)
    return {"forward": gru_cell, "backward": gru_cell_backward,
            "inputs": {"x": r.normal(size=(2, 4)), "h": r.normal(size=(3, 4)), "Wz": r.normal(size=(3, 5)),
                       "Wr": r.normal(size=(3, 5)), "Wn": r.normal(size=(3, 5))}}


_wrong("gru_cell_columns", "features-first lecture code, dict of gradients", make_gru,
       "The path of h through the reset product r * h is missing: + r * drhx[:n_h].", ["h"], ["missing-term"])


def char_rnn(inputs, hprev, Wxh, Whh, bh):
    hs = {-1: np.copy(hprev)}
    for t in range(len(inputs)):
        hs[t] = np.tanh(np.dot(Wxh, inputs[t]) + np.dot(Whh, hs[t - 1]) + bh)
    return np.array([hs[t] for t in range(len(inputs))]), (inputs, hs, Wxh, Whh)


def char_rnn_bptt(dhs, cache):
    inputs, hs, Wxh, Whh = cache
    dWxh, dWhh, dbh = np.zeros_like(Wxh), np.zeros_like(Whh), np.zeros(Whh.shape[0])
    dinputs = np.zeros_like(inputs)
    dhnext = np.zeros_like(hs[0])
    for t in reversed(range(len(inputs))):
        dh = dhs[t] + dhnext
        dhraw = (1 - hs[t] * hs[t]) * dh
        dbh += dhraw
        dWxh += np.outer(dhraw, inputs[t])
        dWhh += np.outer(dhraw, hs[t])
        dinputs[t] = np.dot(Wxh.T, dhraw)
        dhnext = np.dot(Whh.T, dhraw)
    return {"inputs": dinputs, "hprev": dhnext, "Wxh": dWxh, "Whh": dWhh, "bh": dbh}


def make_char_rnn():
    r = _rng(122)
    return {"forward": char_rnn, "backward": char_rnn_bptt,
            "inputs": {"inputs": r.normal(size=(4, 2)), "hprev": r.normal(size=3), "Wxh": r.normal(size=(3, 2)),
                       "Whh": 0.7 * r.normal(size=(3, 3)), "bh": r.normal(size=3)}}


_wrong("char_rnn_unrolled", "gist, dict of hidden states", make_char_rnn,
       "The recurrent weight saw the previous state: np.outer(dhraw, hs[t - 1]).", ["Whh"],
       ["elementwise-factor", "unknown"])


# ----------------------------------------------------------------------------------------------------------------------
# convolutions, resampling
# ----------------------------------------------------------------------------------------------------------------------
def _correlate(x, w):
    K = w.shape[-1]
    L = x.shape[-1] - K + 1
    return sum(np.einsum("nct,oc->not", x[:, :, k:k + L], w[:, :, k]) for k in range(K))


def conv1d(x, w, b):
    return _correlate(x, w) + b[None, :, None], (x, w)


def conv1d_backward(dy, cache):
    x, w = cache
    K, L = w.shape[-1], dy.shape[-1]
    dw = np.stack([np.einsum("not,nct->oc", dy, x[:, :, k:k + L]) for k in range(K)], axis=-1)
    db = dy.sum(axis=(0, 2))
    full = np.pad(dy, ((0, 0), (0, 0), (K - 1, K - 1)))
    dx = _correlate(full, w.transpose(1, 0, 2))
    return dx, dw, db


def make_conv1d():
    r = _rng(123)
    return {"forward": conv1d, "backward": conv1d_backward,
            "inputs": {"x": r.normal(size=(3, 2, 6)), "w": r.normal(size=(2, 2, 3)), "b": r.normal(size=2)}}


_wrong("conv1d_valid", "signal processing, correlate helper", make_conv1d,
       "The full correlation for dx needs the kernel flipped in time: w.transpose(1, 0, 2)[..., ::-1].", ["x"], ["transpose"])


class Conv2D:
    def __init__(self, W, b):
        self.W, self.b = W, b

    def _im2col(self, x):
        N, C, H, Wd = x.shape
        kh, kw = self.W.shape[2:]
        self.out_hw = (H - kh + 1, Wd - kw + 1)
        cols = [x[:, :, i:i + kh, j:j + kw].reshape(N, -1) for i in range(self.out_hw[0]) for j in range(self.out_hw[1])]
        return np.stack(cols, axis=1)

    def __call__(self, x):
        self.x_shape = x.shape
        self.cols = self._im2col(x)
        F = self.W.shape[0]
        y = self.cols @ self.W.reshape(F, -1).T + self.b
        return y.transpose(0, 2, 1).reshape(len(x), F, *self.out_hw)

    def backward(self, delta):
        F, C, kh, kw = self.W.shape
        N = delta.shape[0]
        d = delta.reshape(N, F, -1).transpose(0, 2, 1)
        self.grad_W = np.einsum("npf,npk->fk", d, self.cols).reshape(self.W.shape)
        self.grad_b = delta.sum(axis=(0, 1, 2))
        dcols = d @ self.W.reshape(F, -1)
        dx = np.zeros(self.x_shape)
        p = 0
        for i in range(self.out_hw[0]):
            for j in range(self.out_hw[1]):
                dx[:, :, i:i + kh, j:j + kw] += dcols[:, p].reshape(N, C, kh, kw)
                p += 1
        return dx


def conv2d_fwd(x, W, b):
    layer = Conv2D(W, b)
    return layer(x), layer


def conv2d_bwd(dy, layer):
    return {"x": layer.backward(dy), "W": layer.grad_W, "b": layer.grad_b}


def make_conv2d():
    r = _rng(124)
    return {"forward": conv2d_fwd, "backward": conv2d_bwd,
            "inputs": {"x": r.normal(size=(3, 1, 4, 3)), "W": r.normal(size=(2, 1, 2, 2)), "b": r.normal(size=2)}}


_wrong("conv2d_im2col", "small deep-learning library, callable layer", make_conv2d,
       "The bias gradient sums NCHW as if it were NHWC: delta.sum(axis=(0, 2, 3)).", ["b"], ["shape"])


def depthwise_forward(x, k, pad=1):
    xp = np.pad(x, [(0, 0), (0, 0), (pad, pad)])
    win = np.lib.stride_tricks.sliding_window_view(xp, k.shape[1], axis=2)
    return np.einsum("nctk,ck->nct", win, k), {"xp": xp, "win": win, "k": k, "pad": pad}


def depthwise_backward(dy, ctx):
    k = ctx["k"]
    dk = np.einsum("nct,nctk->ck", dy, ctx["win"])
    dxp = np.zeros_like(ctx["xp"])
    T = dy.shape[2]
    for j in range(k.shape[1]):
        dxp[:, :, j:j + T] += dy * k[:, j][:, None]
    return {"x": dxp, "k": dk}


def make_depthwise():
    r = _rng(125)
    return {"forward": depthwise_forward, "backward": depthwise_backward,
            "inputs": {"x": r.normal(size=(3, 2, 4)), "k": r.normal(size=(2, 3))}}


_wrong("depthwise_conv_padded", "mobile network research code", make_depthwise,
       "The gradient of the padded signal is returned; cut the padding off: dxp[:, :, pad:-pad].", ["x"], ["shape"])


def upsample2x_bias(img, tint):
    """nearest neighbour upsampling of (B, H, W) images plus a tint per image column of the source"""
    up = np.repeat(np.repeat(img * tint, 2, axis=1), 2, axis=2)
    return up, (img, tint)


def upsample2x_bias_adjoint(up_bar, saved):
    img, tint = saved
    small_bar = up_bar[:, ::2, ::2]
    img_bar = small_bar * tint
    tint_bar = (small_bar * img).sum(axis=(0, 1))
    return {"img": img_bar, "tint": tint_bar}


def make_upsample():
    r = _rng(126)
    return {"forward": upsample2x_bias, "backward": upsample2x_bias_adjoint,
            "inputs": {"img": r.uniform(0.1, 1, size=(3, 2, 3)), "tint": r.uniform(0.5, 1.5, size=3)}}


_wrong("nearest_upsample_tint", "graphics, adjoint (bar) notation", make_upsample,
       "Downsampling is not the adjoint of repeating: sum every 2 x 2 block of up_bar.", ["img", "tint"],
       ["missing-term", "shape"])


# ----------------------------------------------------------------------------------------------------------------------
# losses
# ----------------------------------------------------------------------------------------------------------------------
def huber_td_loss(q, actions, targets, kappa):
    idx = np.arange(q.shape[0])
    td = q[idx, actions] - targets
    quad = np.abs(td) <= kappa
    loss = np.where(quad, 0.5 * td ** 2, kappa * (np.abs(td) - 0.5 * kappa)).mean()
    return loss, dict(q_shape=q.shape, actions=actions, td=td)


def huber_td_loss_grad(dloss, info):
    td = info["td"]
    grad = np.zeros(info["q_shape"])
    grad[np.arange(len(td)), info["actions"]] = np.clip(td, -1.0, 1.0) / len(td)
    return dloss * grad


def make_huber():
    return {"forward": huber_td_loss, "backward": huber_td_loss_grad,
            "inputs": {"q": np.array([[0.3, 1.0, -0.4], [2.9, 0.1, 0.2], [0.0, -1.4, 5.0], [1.0, 1.2, 0.9], [0.4, -3.0, 0.7]])},
            "constants": {"actions": np.array([1, 0, 2, 2, 1]), "targets": np.array([0.4, 1.3, 0.8, 1.2, 0.6]), "kappa": 2.0}}


_wrong("huber_td_error", "reinforcement-learning baseline", make_huber,
       "The slope is clipped at 1 whatever kappa; np.clip(td, -kappa, kappa).", ["q"], ["elementwise-factor"])


class TripletMarginLoss:
    def __init__(self, margin=1.0):
        self.margin = margin

    def forward(self, anchor, positive, negative):
        self.ap = anchor - positive
        self.an = anchor - negative
        gap = (self.ap ** 2).sum(1) - (self.an ** 2).sum(1) + self.margin
        self.active = (gap > 0).astype(float)[:, None]
        return np.maximum(gap, 0.0).mean()

    def backward(self, grad=1.0):
        s = 2.0 * grad * self.active / len(self.active)
        return {"anchor": s * (self.ap - self.an), "positive": -s * self.ap, "negative": -s * self.an}


def triplet_fwd(anchor, positive, negative):
    crit = TripletMarginLoss(0.8)
    return crit.forward(anchor, positive, negative), crit


def make_triplet():
    r = _rng(127)
    return {"forward": triplet_fwd, "backward": lambda g, crit: crit.backward(g),
            "inputs": {"anchor": r.normal(size=(5, 3)), "positive": r.normal(size=(5, 3)), "negative": r.normal(size=(5, 3))}}


_wrong("triplet_margin_loss", "metric learning, criterion class", make_triplet,
       "Two minus signs cancel for the negative: + s * self.an.", ["negative"], ["sign"])


def clip_loss(img, txt, log_scale):
    B = img.shape[0]
    S = img @ txt.T
    L = np.exp(log_scale) * S
    e = np.exp(L - L.max())
    pr, pc = e / e.sum(1, keepdims=True), e / e.sum(0, keepdims=True)
    loss = -0.5 * (np.log(np.diag(pr)).mean() + np.log(np.diag(pc)).mean())
    return loss, (img, txt, log_scale, S, pr, pc, B)


def _accumulate(buf, value):
    buf = buf + value


def clip_loss_bwd(dloss, cache):
    img, txt, log_scale, S, pr, pc, B = cache
    grads = {"img": np.zeros_like(img), "txt": np.zeros_like(txt), "log_scale": np.zeros_like(log_scale)}
    dL = dloss * (0.5 * (pr + pc) - np.eye(B)) / B
    dS = np.exp(log_scale) * dL
    grads["img"] += dS @ txt
    grads["txt"] += dS.T @ img
    _accumulate(grads["log_scale"], np.sum(dS * S))
    return grads


def make_clip():
    r = _rng(128)
    return {"forward": clip_loss, "backward": clip_loss_bwd,
            "inputs": {"img": r.normal(size=(4, 3)), "txt": r.normal(size=(4, 3)), "log_scale": np.array([0.3])}}


_wrong("contrastive_logit_scale", "multimodal research code, dict of gradients", make_clip,
       "The helper rebinds its local name, so the gradient of log_scale stays zero; buf += value.", ["log_scale"], ["zero"])


# ----------------------------------------------------------------------------------------------------------------------
# others
# ----------------------------------------------------------------------------------------------------------------------
def highway(x, W_H, b_H, W_T, b_T):
    H = np.tanh(x @ W_H + b_H)
    T = 1 / (1 + np.exp(-(x @ W_T + b_T)))
    y = T * H + (1 - T) * x
    return y, (x, W_H, W_T, H, T)


def highway_bwd(dy, cache):
    x, W_H, W_T, H, T = cache
    dH = dy * T
    dT = dy * H + dy * x
    dx = dy * (1 - T)
    dzH = dH * (1 - H * H)
    dzT = dT * T * (1 - T)
    dx = dx + dzH @ W_H.T + dzT @ W_T.T
    return dx, x.T @ dzH, dzH.sum(0), x.T @ dzT, dzT.sum(0)


def make_highway():
    r = _rng(129)
    return {"forward": highway, "backward": highway_bwd,
            "inputs": {"x": r.normal(size=(4, 3)), "W_H": r.normal(size=(3, 3)), "b_H": r.normal(size=3),
                       "W_T": r.normal(size=(3, 3)), "b_T": r.normal(size=3)}}


_wrong("highway_layer", "research code", make_highway,
       "1 - T carries a minus: dT = dy * H - dy * x.", ["x", "W_T", "b_T"], ["sign", "missing-term"])


class SigmoidLayer(object):
    """One layer, a mini-batch as a list of examples."""

    def feedforward(self, batch, weights, biases):
        self.batch, self.weights = batch, weights
        self.activations = [1.0 / (1.0 + np.exp(-(np.dot(weights, a) + biases))) for a in batch]
        return np.array(self.activations)

    def backprop(self, cost_derivative):
        nabla_b = np.zeros(self.weights.shape[0])
        nabla_w = np.zeros(self.weights.shape)
        out = []
        for a, act, cd in zip(self.batch, self.activations, cost_derivative):
            delta = cd * act * (1 - act)
            nabla_b += delta
            nabla_w = np.outer(delta, a)
            out.append(np.dot(self.weights.T, delta))
        return np.array(out), nabla_w, nabla_b


def sig_layer_fwd(batch, weights, biases):
    net = SigmoidLayer()
    return net.feedforward(batch, weights, biases), net


def make_sig_layer():
    r = _rng(130)
    return {"forward": sig_layer_fwd, "backward": lambda dy, net: net.backprop(dy),
            "inputs": {"batch": r.normal(size=(5, 3)), "weights": r.normal(size=(2, 3)), "biases": r.normal(size=2)}}


_wrong("sigmoid_layer_example_loop", "online book, loop over examples", make_sig_layer,
       "nabla_w is overwritten at every example, only the last remains; nabla_w += np.outer(delta, a).", ["weights"],
       ["batch-sum"])


def softplus(x, beta):
    return np.logaddexp(0.0, beta * x) / beta, (x, beta)


def softplus_vjp(g, res):
    x, beta = res
    with np.errstate(over="ignore", invalid="ignore"):
        e = np.exp(beta * x)
        return (g * e / (1.0 + e),)


def make_softplus():
    return {"forward": softplus, "backward": softplus_vjp,
            "inputs": {"x": np.array([[-2.0, 0.3, 1.1], [400.0, -0.7, 2.5], [0.9, 512.0, -30.0]])}, "constants": {"beta": 2.0}}


_wrong("softplus_beta", "functional, fwd/vjp pairs as in a tracing library", make_softplus,
       "exp overflows for large inputs and inf / inf is nan; 1 / (1 + exp(-beta x)).", ["x"], ["non-finite"])


# ======================================================================================================================
# right ones
# ======================================================================================================================
def leaky_forward(x, bias, slope=0.01):
    y = np.array(x, copy=True)
    np.add(y, bias, out=y)
    neg = np.signbit(y)
    np.multiply(y, slope, out=y, where=neg)
    return y, (neg, slope, bias.shape)


def leaky_backward(dy, cache):
    neg, slope, bshape = cache
    buf = np.empty_like(dy)
    np.copyto(buf, dy)
    buf[neg] *= slope
    db = np.add.reduce(buf, axis=0).reshape(bshape)
    return {"bias": db, "x": buf}


def make_leaky():
    r = _rng(201)
    return {"forward": leaky_forward, "backward": leaky_backward,
            "inputs": {"x": 50 * r.normal(size=(4, 5)), "bias": r.normal(size=(1, 5))}}


_right("leaky_relu_out_buffers", "performance-minded, ufuncs with out and where", make_leaky)


def ln_forward(x, scale, shift, eps=1e-3):
    mu = x.mean(1, keepdims=True)
    sd = np.sqrt(x.var(1, keepdims=True) + eps)
    return scale * (x - mu) / sd + shift, ((x - mu) / sd, sd, scale)


def ln_backward(ct, res):
    xhat, sd, scale = res
    n = xhat.shape[1]
    # Row by row, with the Jacobian as a matrix.  It is symmetric, so no transpose is needed.
    rows = []
    for u, s, g in zip(xhat, sd[:, 0], ct * scale):
        J = (np.eye(n) - np.full((n, n), 1 / n) - np.outer(u, u) / n) / s
        rows.append(J @ g)
    return np.vstack(rows), np.einsum("bi,bi->i", ct, xhat), np.einsum("bi->i", ct)


def make_ln():
    r = _rng(202)
    return {"forward": ln_forward, "backward": ln_backward,
            "inputs": {"x": 0.05 * r.normal(size=(4, 5)) + 3, "scale": r.normal(size=5), "shift": r.normal(size=5)}}


_right("layer_norm_jacobian_rows", "statistics, explicit Jacobians", make_ln)


def conv_nhwc(x, w, stride=(2, 1), dilation=(1, 2)):
    kh, kw = w.shape[:2]
    (sh, sw), (dh, dw_) = stride, dilation
    Ho = (x.shape[1] - dh * (kh - 1) - 1) // sh + 1
    Wo = (x.shape[2] - dw_ * (kw - 1) - 1) // sw + 1
    s = x.strides
    view = np.lib.stride_tricks.as_strided(
        x, (x.shape[0], Ho, Wo, kh, kw, x.shape[3]), (s[0], s[1] * sh, s[2] * sw, s[1] * dh, s[2] * dw_, s[3]), writeable=False)
    return np.tensordot(view, w, axes=3), (view.copy(), w, x.shape, stride, dilation)


def conv_nhwc_transpose(dy, saved):
    view, w, shape, (sh, sw), (dh, dw_) = saved
    _, Ho, Wo, _ = dy.shape
    gx = np.zeros(shape)
    for p in range(w.shape[0]):
        for q in range(w.shape[1]):
            gx[:, p * dh:p * dh + sh * (Ho - 1) + 1:sh, q * dw_:q * dw_ + sw * (Wo - 1) + 1:sw] += dy @ w[p, q].T
    gw = np.tensordot(view, dy, axes=((0, 1, 2), (0, 1, 2)))
    return {"x": gx, "w": gw}


def make_conv_nhwc():
    r = _rng(203)
    return {"forward": conv_nhwc, "backward": conv_nhwc_transpose,
            "inputs": {"x": r.normal(size=(3, 4, 3, 1)), "w": r.normal(size=(2, 2, 1, 2))}}


_right("strided_dilated_conv_nhwc", "as_strided, NHWC port", make_conv_nhwc)


class Maxout:
    def __init__(self, W, b):
        self.W, self.b = W, b   # (pieces, D, H), (pieces, H)

    def forward(self, x):
        z = np.einsum("nd,kdh->knh", x, self.W) + self.b[:, None]
        self.x, self.k = x, z.argmax(0)
        return np.take_along_axis(z, self.k[None], 0)[0]

    def backward(self, dout):
        sel = np.equal.outer(np.arange(len(self.W)), self.k)
        d = sel * dout
        self.grads = {"W": np.einsum("knh,nd->kdh", d, self.x), "b": d.sum(1)}
        return np.einsum("knh,kdh->nd", d, self.W)


def maxout_fwd(b, x, W):
    m = Maxout(W, b)
    return m.forward(x), m


def maxout_bwd(dout, m):
    dx = m.backward(dout)
    return {"x": dx, **m.grads}


def make_maxout():
    r = _rng(204)
    return {"forward": maxout_fwd, "backward": maxout_bwd,
            "inputs": {"b": r.normal(size=(3, 2)), "x": r.normal(size=(4, 3)), "W": r.normal(size=(3, 3, 2))}}


_right("maxout_pieces", "layer class with grads dict", make_maxout)


def free_energy(E, kT):
    """F = -kT log sum exp(-E / kT), energies in the thousands"""
    E0 = E.min(axis=1, keepdims=True)
    w = np.exp(-(E - E0) / kT)
    Z = w.sum(axis=1, keepdims=True)
    F = E0 - kT * np.log(Z)
    return F[:, 0], (w / Z,)


def free_energy_adj(Fbar, saved):
    occ, = saved
    return Fbar[:, None] * occ


def make_free_energy():
    return {"forward": free_energy, "backward": free_energy_adj,
            "inputs": {"E": np.array([[-2300.0, -2301.5, -2299.2], [1850.0, 1849.0, 1853.0], [-912.0, 40.0, -911.1], [3.0, 3.5, 1.0]])},
            "constants": {"kT": 1.3}}


_right("free_energy_of_levels", "statistical physics, adjoint notation", make_free_energy)


def tempered_softmax(logits, tau):
    s = logits / tau
    p = np.exp(s - np.logaddexp.reduce(s, axis=-1)[..., None])
    return p, (p, s, tau)


def tempered_softmax_bwd(g, c):
    p, s, tau = c
    h = p * g
    h = h - p * h.sum(-1)[..., None]
    return {"logits": h / tau, "tau": -np.vdot(h, s) / tau}


def make_tempered():
    return {"forward": tempered_softmax, "backward": tempered_softmax_bwd,
            "inputs": {"logits": _rng(206).normal(size=(3, 4)), "tau": np.array(0.7)}}


_right("softmax_temperature_0d", "notebook, 0-d parameter", make_tempered)


def tied_autoencoder(X, W, b, c):
    """Columns of X are examples; decoder weights are the encoder's, transposed."""
    A = 1 / (1 + np.exp(-(W @ X + b)))
    R = W.T @ A + c
    return R, (X, W, A)


def tied_autoencoder_backward(dR, cache):
    X, W, A = cache
    dc = dR.sum(axis=1, keepdims=True)
    dZ = (W @ dR) * A * (1 - A)
    dW = A @ dR.T
    dW += dZ @ X.T
    db = dZ.sum(axis=1, keepdims=True)
    dX = W.T @ dZ
    return dX, dW, db, dc


def make_tied():
    r = _rng(207)
    return {"forward": tied_autoencoder, "backward": tied_autoencoder_backward,
            "inputs": {"X": r.normal(size=(3, 5)), "W": r.normal(size=(2, 3)), "b": r.normal(size=(2, 1)), "c": r.normal(size=(3, 1))}}


_right("tied_autoencoder_columns", "features-first lecture code", make_tied)


def embedding_bag(table, ids, pad=-1):
    valid = ids != pad
    count = np.maximum(valid.sum(1), 1)
    rows = table[np.where(valid, ids, 0)] * valid[..., None]
    return rows.sum(1) / count[:, None], (table.shape, ids, valid, count)


def embedding_bag_backward(dbag, cache):
    shape, ids, valid, count = cache
    g = np.zeros(shape)
    where_bag, where_pos = np.nonzero(valid)
    np.add.at(g, ids[where_bag, where_pos], (dbag / count[:, None])[where_bag])
    return g


def make_bag():
    return {"forward": embedding_bag, "backward": embedding_bag_backward, "inputs": {"table": _rng(208).normal(size=(7, 2))},
            "constants": {"ids": np.array([[1, 1, 4], [0, -1, -1], [-1, -1, -1], [6, 4, 1]])}}


_right("embedding_bag_mean_padding", "recommender code, integer ids", make_bag)


def causal_mha(x, Wq, Wk, Wv, Wo, heads=2):
    B, T, D = x.shape
    hd = D // heads
    split = lambda a: a.reshape(B, T, heads, hd).transpose(0, 2, 1, 3)
    q, k, v = split(x @ Wq), split(x @ Wk), split(x @ Wv)
    att = np.where(np.tri(T, dtype=bool), q @ k.transpose(0, 1, 3, 2) / np.sqrt(hd), -np.inf)
    att = np.exp(att - att.max(-1, keepdims=True))
    att /= att.sum(-1, keepdims=True)
    y = (att @ v).transpose(0, 2, 1, 3).reshape(B, T, D)
    return y @ Wo, (x, q, k, v, att, y, (Wq, Wk, Wv, Wo))


def causal_mha_backward(dout, cache):
    x, q, k, v, att, y, (Wq, Wk, Wv, Wo) = cache
    B, T, D = x.shape
    hd = q.shape[-1]
    merge = lambda a: a.transpose(0, 2, 1, 3).reshape(B * T, D)
    flat = x.reshape(B * T, D)
    dWo = y.reshape(B * T, D).T @ dout.reshape(B * T, -1)
    dy = (dout @ Wo.T).reshape(B, T, -1, hd).transpose(0, 2, 1, 3)
    datt = dy @ v.transpose(0, 1, 3, 2)
    # hidden places have att == 0 and need no mask of their own
    ds = att * (datt - np.einsum("bhij,bhij->bhi", att, datt)[..., None]) / np.sqrt(hd)
    dq, dk, dv = merge(ds @ k), merge(ds.swapaxes(2, 3) @ q), merge(att.swapaxes(2, 3) @ dy)
    dx = (dq @ Wq.T + dk @ Wk.T + dv @ Wv.T).reshape(x.shape)
    return {"x": dx, "Wq": flat.T @ dq, "Wk": flat.T @ dk, "Wv": flat.T @ dv, "Wo": dWo}


def make_mha():
    r = _rng(209)
    return {"forward": causal_mha, "backward": causal_mha_backward,
            "inputs": {"x": r.normal(size=(3, 3, 4)), **{k: r.normal(size=(4, 4)) for k in ("Wq", "Wk", "Wv", "Wo")}}}


_right("causal_multi_head_attention", "language-model port", make_mha)


def _lse(a, axis):
    m = a.max(axis=axis, keepdims=True)
    return np.log(np.exp(a - m).sum(axis=axis)) + m.squeeze(axis)


def crf_nll(emis, trans, start, tags):
    B, T, K = emis.shape
    alpha = np.empty_like(emis)
    alpha[:, 0] = start + emis[:, 0]
    for t in range(1, T):
        alpha[:, t] = _lse(alpha[:, t - 1, :, None] + trans, 1) + emis[:, t]
    logZ = _lse(alpha[:, -1], 1)
    gold = start[tags[:, 0]] + emis[np.arange(B)[:, None], np.arange(T), tags].sum(1) + trans[tags[:, :-1], tags[:, 1:]].sum(1)
    return logZ - gold, (emis, trans, tags, alpha, logZ)


def crf_nll_grad(dnll, cache):
    emis, trans, tags, alpha, logZ = cache
    B, T, K = emis.shape
    beta = np.zeros((B, T, K))
    for t in range(T - 2, -1, -1):
        beta[:, t] = _lse(trans + (emis[:, t + 1] + beta[:, t + 1])[:, None, :], 2)
    unary = np.exp(alpha + beta - logZ[:, None, None])
    d_trans = np.zeros((K, K))
    for t in range(T - 1):
        pair = np.exp(alpha[:, t, :, None] + trans + (emis[:, t + 1] + beta[:, t + 1])[:, None, :] - logZ[:, None, None])
        d_trans += np.tensordot(dnll, pair, 1)
        np.subtract.at(d_trans, (tags[:, t], tags[:, t + 1]), dnll)
    unary[np.arange(B)[:, None], np.arange(T), tags] -= 1
    unary *= dnll[:, None, None]
    return {"emis": unary, "trans": d_trans, "start": unary[:, 0].sum(0)}


def make_crf():
    r = _rng(210)
    return {"forward": crf_nll, "backward": crf_nll_grad,
            "inputs": {"emis": r.normal(size=(3, 4, 3)), "trans": r.normal(size=(3, 3)), "start": r.normal(size=3)},
            "constants": {"tags": np.array([[0, 1, 1, 2], [2, 2, 0, 1], [1, 0, 1, 1]])}}


_right("linear_chain_crf_loss", "NLP, sequence tagging", make_crf)


def hardswish(x):
    return x * np.clip(x + 3, 0, 6) / 6, x


def hardswish_bwd(dy, x):
    slope = np.select([x <= -3, x >= 3], [0.0, 1.0], default=(2 * x + 3) / 6)
    return dy * slope


def make_hardswish():
    return {"forward": hardswish, "backward": hardswish_bwd,
            "inputs": {"x": np.array([[-3.01, -2.99, -1.5, 1e-9], [2.99, 3.01, 0.0, -7.0], [1e4, -1e4, -1e-7, 0.4]])}}


_right("hard_swish", "mobile network port, kinks", make_hardswish)


Stats = namedtuple("Stats", "x mu var ivar gain")


def spatial_bn(x, gain, bias):
    """(N, C, H, W); statistics per channel"""
    ax = (0, 2, 3)
    mu = x.mean(ax, keepdims=True)
    var = ((x - mu) ** 2).mean(ax, keepdims=True)
    ivar = (var + 1e-5) ** -0.5
    return gain * (x - mu) * ivar + bias, Stats(x, mu, var, ivar, gain)


def spatial_bn_backward(dy, st):
    ax = (0, 2, 3)
    m = st.x.size // st.x.shape[1]
    xmu = st.x - st.mu
    dxhat = dy * st.gain
    dvar = (dxhat * xmu).sum(ax, keepdims=True) * -0.5 * st.ivar ** 3
    dmu = -(dxhat * st.ivar).sum(ax, keepdims=True)     # the term through var is a sum of xmu: zero
    dx = dxhat * st.ivar + dvar * 2 * xmu / m + dmu / m
    return {"bias": dy.sum(ax, keepdims=True), "gain": (dy * xmu * st.ivar).sum(ax, keepdims=True), "x": dx}


def make_spatial_bn():
    r = _rng(212)
    return {"forward": spatial_bn, "backward": spatial_bn_backward,
            "inputs": {"x": r.normal(size=(3, 2, 2, 2)) * 4, "gain": r.normal(size=(1, 2, 1, 1)), "bias": r.normal(size=(1, 2, 1, 1))}}


_right("spatial_batchnorm_keepdims", "class assignment, named tuple cache", make_spatial_bn)


def sparsemax(z):
    s = -np.sort(-z, axis=1)
    cum = np.cumsum(s, axis=1)
    k = np.arange(1, z.shape[1] + 1)
    size = (1 + k * s > cum).sum(1)
    tau = (cum[np.arange(len(z)), size - 1] - 1) / size
    p = np.maximum(z - tau[:, None], 0)
    return p, p


def sparsemax_backward(dp, p):
    S = p > 0
    mean = np.ma.masked_array(dp, ~S).mean(axis=1).filled(0)
    return np.where(S, dp - mean[:, None], 0.0)


def make_sparsemax():
    return {"forward": sparsemax, "backward": sparsemax_backward,
            "inputs": {"z": np.array([[0.35, 0.9, -1.0, 0.5], [3.0, 0.1, 0.2, 0.0], [0.1, 0.15, 0.05, 0.12], [-5.0, -5.3, -4.9, -9.0]])}}


_right("sparsemax_rows", "research code, masked arrays", make_sparsemax)


def implicit_layer(A, rhs):
    u = np.linalg.solve(A, rhs)
    return u, (A, u)


def implicit_layer_adjoint(u_bar, saved):
    A, u = saved
    lam = np.linalg.solve(A.T, u_bar)
    return -lam @ u.T, lam


def make_implicit():
    r = _rng(214)
    return {"forward": implicit_layer, "backward": implicit_layer_adjoint,
            "inputs": {"A": 3 * np.eye(3) + r.normal(size=(3, 3)), "rhs": r.normal(size=(3, 4))}}


_right("linear_solve_layer", "physics, adjoint state", make_implicit)


def holographic(a, rel):
    n = a.shape[-1]
    fa, fr = np.fft.rfft(a), np.fft.rfft(rel)
    return np.fft.irfft(fa * fr, n), (fa, fr, n)


def holographic_bwd(g, c):
    fa, fr, n = c
    fg = np.fft.rfft(g)
    return {"rel": np.fft.irfft((fa.conj() * fg).sum(0), n), "a": np.fft.irfft(fr.conj() * fg, n)}


def make_holographic():
    r = _rng(215)
    return {"forward": holographic, "backward": holographic_bwd,
            "inputs": {"a": 1e-6 * r.normal(size=(4, 5)), "rel": r.normal(size=5)}}


_right("circular_convolution_fft", "knowledge-graph embeddings, FFT, tiny values", make_holographic)


class PeepholeLSTM:
    """Sequence (T, B, D) with a mask of living steps; gates i, f, g, o; peepholes p[0..2] for i, f, o."""

    def run(self, xs, W, p, alive):
        T, B, D = xs.shape
        H = p.shape[1]
        h, c = np.zeros((B, H)), np.zeros((B, H))
        self.tape, self.W, self.p, self.D = [], W, p, D
        for x, m in zip(xs, alive[..., None]):
            xh = np.c_[x, h]
            ai, af, ag, ao = np.split(xh @ W, 4, axis=1)
            i, f, g = sigmoid(ai + p[0] * c), sigmoid(af + p[1] * c), np.tanh(ag)
            cn = f * c + i * g
            o = sigmoid(ao + p[2] * cn)
            t = np.tanh(cn)
            self.tape.append((xh, c, cn, i, f, g, o, t, m))
            h, c = m * o * t + (1 - m) * h, m * cn + (1 - m) * c
        return h

    def back(self, dh):
        dc, dW, dp, dxs = np.zeros_like(dh), 0.0 * self.W, 0.0 * self.p, []
        while self.tape_left:
            xh, c, cn, i, f, g, o, t, m = self.tape_left.pop()
            dhn, dcn = m * dh, m * dc
            dao = dhn * t * o * (1 - o)
            dcn = dcn + dhn * o * (1 - t * t) + dao * self.p[2]
            dai, daf, dag = dcn * g * i * (1 - i), dcn * c * f * (1 - f), dcn * i * (1 - g * g)
            da = np.c_[dai, daf, dag, dao]
            dW += xh.T @ da
            dp += [(dai * c).sum(0), (daf * c).sum(0), (dao * cn).sum(0)]
            dxh = da @ self.W.T
            dxs.append(dxh[:, :self.D])
            dh = (1 - m) * dh + dxh[:, self.D:]
            dc = (1 - m) * dc + dcn * f + dai * self.p[0] + daf * self.p[1]
        return np.array(dxs[::-1]), dW, dp

    @property
    def tape_left(self):
        if not hasattr(self, "_left"):
            self._left = list(self.tape)
        return self._left


def peephole_fwd(xs, W, p, alive):
    net = PeepholeLSTM()
    return net.run(xs, W, p, alive), net


def peephole_bwd(dh, net):
    net.__dict__.pop("_left", None)
    return net.back(dh)


def make_peephole():
    r = _rng(216)
    return {"forward": peephole_fwd, "backward": peephole_bwd,
            "inputs": {"xs": r.normal(size=(3, 3, 2)), "W": r.normal(size=(4, 8)), "p": r.normal(size=(3, 2))},
            "constants": {"alive": np.array([[1, 1, 1], [1, 1, 0], [1, 0, 0]])}}


_right("peephole_lstm_masked_sequence", "speech research code, tape of steps", make_peephole)
