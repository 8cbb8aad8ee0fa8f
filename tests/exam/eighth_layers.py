from collections import namedtuple
from typing import Callable, NamedTuple

import numpy as np
from scipy.special import erf, expit


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


def _add(name, style, make, right, slip="", wrong=(), causes=()):
    ITEMS.append(Item(name, style, "vjp", make, right, slip, tuple(wrong), tuple(causes)))


def _rng(s):
    return np.random.default_rng(s)


# ---------------------------------------------------------------- class assignment (functional, caches)
def temporal_affine_forward(x, w, b):
    N, T, D = x.shape
    M = b.shape[0]
    out = x.reshape(N * T, D).dot(w).reshape(N, T, M) + b
    cache = x, w, b, out
    return out, cache


def temporal_affine_backward(dout, cache):
    x, w, b, out = cache
    N, T, D = x.shape
    M = b.shape[0]
    dx = dout.reshape(N * T, M).dot(w.T).reshape(N, T, D)
    dw = dout.reshape(N * T, M).T.dot(x.reshape(N * T, D)).T
    db = dout[:, -1].sum(axis=0)
    return dx, dw, db


def _m():
    r = _rng(1)
    return dict(forward=temporal_affine_forward, backward=temporal_affine_backward,
                inputs=dict(x=r.normal(size=(3, 4, 3)), w=r.normal(size=(3, 2)), b=r.normal(size=2)))


_add("temporal_affine_bias_last_step", "class assignment, functions with caches", _m, False,
     "db sums the last time step only; it should be dout.sum(axis=(0, 1)).", ("b",), ("batch-sum", "missing-term"))


def svm_loss(scores, y):
    N = scores.shape[0]
    correct = scores[np.arange(N), y]
    margins = np.maximum(0, scores - correct[:, None] + 1.0)
    margins[np.arange(N), y] = 0
    loss = np.sum(margins) / N
    return loss, (margins, y)


def svm_loss_backward(dloss, cache):
    margins, y = cache
    N = margins.shape[0]
    dscores = (margins > 0).astype(float)
    dscores[np.arange(N), y] -= 1
    dscores *= dloss / N
    return dscores


def _m():
    r = _rng(2)
    return dict(forward=svm_loss, backward=svm_loss_backward, inputs=dict(scores=r.normal(size=(5, 4)) * .7),
                constants=dict(y=np.array([0, 2, 1, 3, 2])))


_add("multiclass_hinge_count", "class assignment, functions with caches", _m, False,
     "The right class gets -1 instead of minus the number of violated margins of the row.", ("scores",),
     ("missing-term", "elementwise-factor"))


def batchnorm_forward(x, gamma, beta, eps=1e-5):
    mu = x.mean(axis=0)
    xmu = x - mu
    var = (xmu ** 2).mean(axis=0)
    sqrtvar = np.sqrt(var + eps)
    ivar = 1.0 / sqrtvar
    xhat = xmu * ivar
    return gamma * xhat + beta, (xhat, gamma, xmu, ivar, sqrtvar, var, eps)


def batchnorm_backward(dout, cache):
    xhat, gamma, xmu, ivar, sqrtvar, var, eps = cache
    N, D = dout.shape
    dbeta = np.sum(dout, axis=0)
    dgamma = np.sum(dout * xhat, axis=0)
    dxhat = dout * gamma
    divar = np.sum(dxhat * xmu, axis=0)
    dxmu1 = dxhat * ivar
    dsqrtvar = -1.0 / sqrtvar * divar
    dvar = 0.5 * 1.0 / np.sqrt(var + eps) * dsqrtvar
    dsq = 1.0 / N * np.ones((N, D)) * dvar
    dxmu2 = 2 * xmu * dsq
    dx1 = dxmu1 + dxmu2
    dmu = -1 * np.sum(dx1, axis=0)
    dx2 = 1.0 / N * np.ones((N, D)) * dmu
    return dx1 + dx2, dgamma, dbeta


def _m():
    r = _rng(3)
    return dict(forward=batchnorm_forward, backward=batchnorm_backward,
                inputs=dict(x=2 + 1.9 * r.normal(size=(6, 3)), gamma=r.uniform(.5, 2, 3), beta=r.normal(size=3)))


_add("batchnorm_staged_reciprocal", "blog post, batchnorm as a graph of small steps", _m, False,
     "The derivative of 1/s is -1/s**2; dsqrtvar has -1/s.", ("x",), ("elementwise-factor", "missing-term"))


def batchnorm_fwd_alt(x, gamma, beta):
    v = x.var(axis=0) + 1e-5
    xn = (x - x.mean(axis=0)) / np.sqrt(v)
    return xn * gamma + beta, (xn, gamma, v)


def batchnorm_bwd_alt(dout, cache):
    xn, gamma, v = cache
    N = len(dout)
    dgamma = (dout * xn).sum(0)
    dbeta = dout.sum(0)
    dx = gamma / (N * np.sqrt(v)) * (N * dout - dbeta - xn * dgamma)
    return dx, dgamma, dbeta


def _m():
    r = _rng(4)
    return dict(forward=batchnorm_fwd_alt, backward=batchnorm_bwd_alt,
                inputs=dict(x=-1 + 3 * r.normal(size=(5, 4)), gamma=r.normal(size=4), beta=r.normal(size=4)))


_add("batchnorm_one_line", "class assignment, closed form", _m, True)


# ---------------------------------------------------------------- layer classes with state
class Module:
    def __init__(self):
        self.params, self.grads = {}, {}

    def as_vjp(self, names):
        def f(x, **p):
            self.params = p
            return self.forward(x), None

        def b(dy, _):
            dx = self.backward(dy)
            return {"x": dx, **{n: self.grads[n] for n in names}}
        return f, b


class Dense(Module):
    def forward(self, x):
        self.input = x
        return x @ self.params["W"] + self.params["b"]

    def backward(self, grad_output):
        self.grads["W"] = grad_output.T @ self.input
        self.grads["b"] = grad_output.sum(axis=0)
        return grad_output @ self.params["W"].T


def _m():
    r = _rng(5)
    f, b = Dense().as_vjp(["W", "b"])
    return dict(forward=f, backward=b, inputs=dict(x=r.normal(size=(5, 4)), W=r.normal(size=(4, 4)), b=r.normal(size=4)))


_add("dense_square_grad_w", "layer classes with state", _m, False, "grads['W'] is transposed: x.T @ grad_output.",
     ("W",), ("transpose",))


class PReLU(Module):
    def forward(self, x):
        self.x = x
        return np.where(x > 0, x, self.params["alpha"] * x)

    def backward(self, grad):
        self.grads["alpha"] = np.sum(grad * self.x, axis=0)
        return np.where(self.x > 0, grad, self.params["alpha"] * grad)


def _m():
    r = _rng(6)
    f, b = PReLU().as_vjp(["alpha"])
    return dict(forward=f, backward=b, inputs=dict(x=r.normal(size=(6, 3)), alpha=np.array([.25, .1, .4])))


_add("prelu_alpha_all_rows", "layer classes with state", _m, False,
     "alpha acts only where x <= 0; the sum for alpha needs the mask.", ("alpha",),
     ("elementwise-factor", "missing-term", "batch-sum"))


class MaxPool1d(Module):
    def __init__(self, size, stride):
        super().__init__()
        self.size, self.stride = size, stride

    def forward(self, x):
        n, c, l = x.shape
        lo = (l - self.size) // self.stride + 1
        out = np.empty((n, c, lo))
        self.arg = np.empty((n, c, lo), dtype=int)
        for j in range(lo):
            w = x[:, :, j * self.stride:j * self.stride + self.size]
            self.arg[:, :, j] = w.argmax(-1) + j * self.stride
            out[:, :, j] = w.max(-1)
        self.shape = x.shape
        return out

    def backward(self, grad):
        dx = np.zeros(self.shape)
        n, c, lo = grad.shape
        for i in range(n):
            for k in range(c):
                for j in range(lo):
                    dx[i, k, self.arg[i, k, j]] = grad[i, k, j]
        return dx


def _m():
    r = _rng(8)
    f, b = MaxPool1d(3, 1).as_vjp([])
    return dict(forward=f, backward=b, inputs=dict(x=r.normal(size=(3, 2, 6))))


_add("maxpool1d_overlap_assign", "layer classes with state, loops", _m, False,
     "Windows overlap, so an entry may win twice: += instead of =.", ("x",), ("missing-term", "elementwise-factor"))


class SiLU(Module):
    """x * sigmoid(b x) with a trainable scalar b; writes into its own buffers."""

    def forward(self, x):
        self.x = x
        self.s = np.multiply(x, -self.params["b"])
        np.exp(self.s, out=self.s)
        self.s += 1.0
        np.reciprocal(self.s, out=self.s)
        return x * self.s

    def backward(self, grad):
        b = self.params["b"]
        g = 1.0 - self.s
        g *= self.s
        self.grads["b"] = np.asarray((grad * g * self.x ** 2).sum())
        g *= b
        g *= self.x
        g += self.s
        g *= grad
        return g


def _m():
    r = _rng(9)
    f, b = SiLU().as_vjp(["b"])
    return dict(forward=f, backward=b, inputs=dict(x=2 * r.normal(size=(4, 4)), b=np.array(1.3)))


_add("silu_trainable_scalar", "layer classes, in-place buffers, 0-d parameter", _m, True)


# ---------------------------------------------------------------- transformer code, notebooks
def layer_norm(x, g, b, eps=1e-5):
    m = x.mean(-1, keepdims=True)
    rstd = (((x - m) ** 2).mean(-1, keepdims=True) + eps) ** -0.5
    norm = (x - m) * rstd
    return norm * g + b, (norm, rstd, g)


def layer_norm_bwd(dout, cache):
    norm, rstd, g = cache
    db = dout.sum((0, 1))
    dg = (dout * norm).sum((0, 1))
    dnorm = dout * g
    dx = dnorm - norm * (dnorm * norm).mean(-1, keepdims=True)
    dx *= rstd
    return {"x": dx, "g": dg, "b": db}


def _m():
    r = _rng(10)
    return dict(forward=layer_norm, backward=layer_norm_bwd,
                inputs=dict(x=r.normal(size=(3, 2, 5)), g=r.normal(size=5), b=r.normal(size=5)))


_add("layernorm_no_mean_term", "language-model port, B T C arrays", _m, False,
     "dx lacks -dnorm.mean(-1): the path through the mean.", ("x",), ("missing-term",))


def rms_norm(x, weight):
    ms = np.mean(x * x, axis=-1, keepdims=True)
    inv = 1.0 / np.sqrt(ms + 1e-6)
    return x * inv * weight, (x, inv, weight)


def rms_norm_bwd(dy, cache):
    x, inv, weight = cache
    dxw = dy * weight
    dot = np.sum(dxw * x, axis=-1, keepdims=True)
    dx = inv * dxw - inv ** 3 * x * dot
    dweight = np.sum(dy * x * inv, axis=0)
    return {"x": dx, "weight": dweight}


def _m():
    r = _rng(11)
    return dict(forward=rms_norm, backward=rms_norm_bwd, inputs=dict(x=r.normal(size=(4, 6)), weight=r.normal(size=6)))


_add("rmsnorm_forgot_dim", "language-model port", _m, False,
     "The second term is to be divided by the number of features (mean, not sum).", ("x",), ("missing-term", "factor"))


def gelu_new(x):
    c = np.sqrt(2.0 / np.pi)
    u = c * (x + 0.044715 * x ** 3)
    t = np.tanh(u)
    return 0.5 * x * (1.0 + t), (x, t)


def gelu_new_bwd(dy, cache):
    x, t = cache
    c = np.sqrt(2.0 / np.pi)
    du = c * (1.0 + 0.044715 * x ** 2)
    return dy * (0.5 * (1.0 + t) + 0.5 * x * (1.0 - t ** 2) * du)


def _m():
    return dict(forward=gelu_new, backward=gelu_new_bwd, inputs=dict(x=1.2 * _rng(12).normal(size=(4, 5))))


_add("gelu_tanh_cubic", "language-model port", _m, False,
     "d(0.044715 x^3) is 3 * 0.044715 x^2; the 3 is missing.", ("x",), ("elementwise-factor", "missing-term", "factor"))


def gelu_exact(x):
    Phi = 0.5 * (1 + erf(x / np.sqrt(2)))
    return x * Phi, (x, Phi)


def gelu_exact_bwd(dy, cache):
    x, Phi = cache
    return dy * (Phi + x * np.exp(-x * x / 2) / np.sqrt(2 * np.pi))


def _m():
    return dict(forward=gelu_exact, backward=gelu_exact_bwd, inputs=dict(x=np.linspace(-4, 4, 15).reshape(3, 5)))


_add("gelu_erf", "language-model port", _m, True)


def sdpa(q, k, v):
    scale = 1.0 / np.sqrt(q.shape[-1])
    s = np.einsum("btd,bsd->bts", q, k) * scale
    s = s - s.max(-1, keepdims=True)
    p = np.exp(s)
    p /= p.sum(-1, keepdims=True)
    o = np.einsum("bts,bsd->btd", p, v)
    return o, dict(q=q, k=k, v=v, p=p, scale=scale)


def sdpa_grad(do, c):
    dv = np.einsum("bts,btd->bsd", c["p"], do)
    dp = np.einsum("btd,bsd->bts", do, c["v"])
    ds = c["p"] * (dp - (dp * c["p"]).sum(-1, keepdims=True))
    dq = np.einsum("bts,bsd->btd", ds, c["k"]) * c["scale"]
    dk = np.einsum("bts,btd->bsd", ds, c["q"])
    return dq, dk, dv


def _m():
    r = _rng(13)
    return dict(forward=sdpa, backward=sdpa_grad, inputs={n: r.normal(size=(3, 3, 4)) for n in "qkv"})


_add("attention_key_scale", "einsum research code", _m, False, "dk lacks the 1/sqrt(d) scale.", ("k",), ("factor",))


def causal_mha(x, Wqkv, Wo):
    T, C = len(x), len(Wo)
    H = 2
    qkv = (x @ Wqkv).reshape(T, 3, H, C // H).transpose(1, 2, 0, 3)
    q, k, v = qkv
    att = q @ k.swapaxes(-1, -2) / np.sqrt(C // H)
    att = np.where(np.tril(np.ones((T, T), dtype=bool)), att, -np.inf)
    att = np.exp(att - att.max(-1, keepdims=True))
    att = att / att.sum(-1, keepdims=True)
    y = (att @ v).transpose(1, 0, 2).reshape(T, C)
    return y @ Wo, (x, Wqkv, Wo, q, k, v, att, y)


def causal_mha_bwd(dout, cache):
    x, Wqkv, Wo, q, k, v, att, y = cache
    T, C = len(x), len(Wo)
    H = len(q)
    dWo = y.T @ dout
    dy = (dout @ Wo.T).reshape(T, H, C // H).transpose(1, 0, 2)
    datt = dy @ v.swapaxes(-1, -2)
    dv = att.swapaxes(-1, -2) @ dy
    dpre = att * (datt - np.sum(datt * att, -1, keepdims=True)) / np.sqrt(C // H)
    dq = dpre @ k
    dk = dpre.swapaxes(-1, -2) @ q
    dqkv = np.stack([dq, dk, dv]).transpose(2, 0, 1, 3).reshape(T, 3 * C)
    return dqkv @ Wqkv.T, x.T @ dqkv, dWo


def _m():
    r = _rng(14)
    return dict(forward=causal_mha, backward=causal_mha_bwd,
                inputs=dict(x=r.normal(size=(4, 3)), Wqkv=r.normal(size=(3, 12)), Wo=r.normal(size=(4, 3))))


_add("causal_multihead", "minimal-transformer notebook", _m, True)


def rope(x, theta):
    h = x.shape[-1] // 2
    x1, x2 = x[..., :h], x[..., h:]
    ang = np.arange(x.shape[-2])[:, None] * theta
    c, s = np.cos(ang), np.sin(ang)
    return np.concatenate([x1 * c - x2 * s, x1 * s + x2 * c], axis=-1), (c, s)


def rope_backward(dy, cache):
    c, s = cache
    h = dy.shape[-1] // 2
    d1, d2 = dy[..., :h], dy[..., h:]
    return np.concatenate([d1 * c - d2 * s, d1 * s + d2 * c], axis=-1)


def _m():
    return dict(forward=rope, backward=rope_backward, inputs=dict(x=_rng(15).normal(size=(2, 4, 4))),
                constants=dict(theta=np.array([1.0, 0.3])))


_add("rotary_same_way", "language-model port", _m, False,
     "The gradient must be rotated back (transpose of the rotation, s -> -s).", ("x",), ("transpose", "elementwise-factor"))


def bahdanau(query, keys, Wq, v):
    t = np.tanh(keys + (query @ Wq)[:, None, :])
    e = t @ v
    a = np.exp(e - e.max(1, keepdims=True))
    a /= a.sum(1, keepdims=True)
    ctx = (a[..., None] * keys).sum(1)
    return ctx, (query, keys, Wq, v, t, a)


def bahdanau_back(dctx, cache):
    query, keys, Wq, v, t, a = cache
    da = (keys * dctx[:, None, :]).sum(-1)
    de = a * (da - (a * da).sum(1, keepdims=True))
    dv = np.einsum("bs,bsh->h", de, t)
    dpre = de[..., None] * v * (1 - t ** 2)
    dkeys = a[..., None] * dctx[:, None, :]
    dsum = dpre.sum(1)
    return {"query": dsum @ Wq.T, "keys": dkeys, "Wq": query.T @ dsum, "v": dv}


def _m():
    r = _rng(16)
    return dict(forward=bahdanau, backward=bahdanau_back,
                inputs=dict(query=r.normal(size=(3, 2)), keys=r.normal(size=(3, 4, 3)), Wq=r.normal(size=(2, 3)),
                            v=r.normal(size=3)))


_add("additive_attention_keys_scores", "translation tutorial (NLP)", _m, False,
     "keys also enter the scores: dkeys lacks + dpre.", ("keys",), ("missing-term",))


# ---------------------------------------------------------------- NLP: embeddings
def embed_lookup(table, ids):
    return table[ids], (ids, table.shape)


def embed_lookup_backward(dout, cache):
    ids, shape = cache
    dtable = np.zeros(shape)
    dtable[ids] += dout
    return dtable


def _m():
    return dict(forward=embed_lookup, backward=embed_lookup_backward, inputs=dict(table=_rng(17).normal(size=(6, 3))),
                constants=dict(ids=np.array([[0, 3, 3], [1, 0, 5], [3, 2, 1]])))


_add("embedding_fancy_plus_equals", "NLP course", _m, False,
     "dtable[ids] += drops repeated ids; np.add.at(dtable, ids, dout).", ("table",), ("missing-term", "batch-sum"))


def skipgram_ns(center, context, pairs, labels):
    h, u = center[pairs[:, 0]], context[pairs[:, 1]]
    z = (h * u).sum(1)
    loss = np.logaddexp(0, -labels * z).sum()
    return loss, (h, u, z, pairs, labels, center.shape, context.shape)


def skipgram_ns_back(dl, cache):
    h, u, z, pairs, labels, s1, s2 = cache
    g = labels * expit(-labels * z) * dl
    dc, dx = np.zeros(s1), np.zeros(s2)
    np.add.at(dc, pairs[:, 0], g[:, None] * u)
    np.add.at(dx, pairs[:, 1], g[:, None] * h)
    return dc, dx


def _m():
    r = _rng(18)
    return dict(forward=skipgram_ns, backward=skipgram_ns_back,
                inputs=dict(center=r.normal(size=(4, 3)), context=r.normal(size=(4, 3))),
                constants=dict(pairs=np.array([[0, 1], [0, 2], [1, 3], [2, 0], [3, 1], [3, 3]]),
                               labels=np.array([1., -1, 1, 1, -1, 1])))


_add("skipgram_negative_sampling", "NLP course", _m, False,
     "g is the gradient of the log likelihood; of the loss it is minus that.", ("center", "context"), ("sign",))


def tied_lm(E, b, ids, targets):
    h = np.tanh(E[ids].sum(1))
    logits = h @ E.T + b
    m = logits.max(1, keepdims=True)
    lse = m[:, 0] + np.log(np.exp(logits - m).sum(1))
    nll = lse - logits[np.arange(len(ids)), targets]
    return nll, (E, h, logits, lse, ids, targets)


def tied_lm_back(dnll, cache):
    E, h, logits, lse, ids, targets = cache
    dlog = np.exp(logits - lse[:, None])
    dlog[np.arange(len(ids)), targets] -= 1
    dlog *= dnll[:, None]
    dE = dlog.T @ h
    dh = (dlog @ E) * (1 - h ** 2)
    for i, row in enumerate(ids):
        for j in row:
            dE[j] += dh[i]
    return {"E": dE, "b": dlog.sum(0)}


def _m():
    r = _rng(19)
    return dict(forward=tied_lm, backward=tied_lm_back, inputs=dict(E=r.normal(size=(5, 3)), b=r.normal(size=5)),
                constants=dict(ids=np.array([[0, 0, 1], [2, 3, 2], [4, 1, 0], [3, 3, 3]]), targets=np.array([1, 4, 2, 3])))


_add("tied_embedding_cbow", "NLP research code, shared table", _m, True)


# ---------------------------------------------------------------- recurrent cells
def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def lstm_cell_forward(xt, a_prev, c_prev, W, b):
    concat = np.concatenate((a_prev, xt), axis=1)
    n = a_prev.shape[1]
    Z = concat @ W + b
    ft, it, cct, ot = sigmoid(Z[:, :n]), sigmoid(Z[:, n:2 * n]), np.tanh(Z[:, 2 * n:3 * n]), sigmoid(Z[:, 3 * n:])
    c_next = ft * c_prev + it * cct
    a_next = ot * np.tanh(c_next)
    return a_next, (a_next, c_next, a_prev, c_prev, ft, it, cct, ot, concat, W)


def lstm_cell_backward(da_next, cache):
    a_next, c_next, a_prev, c_prev, ft, it, cct, ot, concat, W = cache
    n = a_prev.shape[1]
    dot = da_next * np.tanh(c_next) * ot * (1 - ot)
    dc = da_next * ot * (1 - np.tanh(c_next) ** 2)
    dcct = dc * it * (1 - cct ** 2)
    dit = dc * cct * it * (1 - it)
    dft = dc * c_next * ft * (1 - ft)
    dZ = np.hstack([dft, dit, dcct, dot])
    dconcat = dZ @ W.T
    return {"xt": dconcat[:, n:], "a_prev": dconcat[:, :n], "c_prev": dc * ft, "W": concat.T @ dZ, "b": dZ.sum(axis=0)}


def _m():
    r = _rng(20)
    return dict(forward=lstm_cell_forward, backward=lstm_cell_backward,
                inputs=dict(xt=r.normal(size=(4, 3)), a_prev=r.normal(size=(4, 2)), c_prev=r.normal(size=(4, 2)),
                            W=r.normal(size=(5, 8)), b=r.normal(size=8)))


_add("lstm_cell_forget_gate", "online-course sequence models", _m, False,
     "The forget gate multiplies c_prev, not c_next: dft = dc * c_prev * ft * (1 - ft).",
     ("xt", "a_prev", "W", "b"), ("elementwise-factor", "missing-term"))


def gru_step(x, h, Wz, Wr, Wh):
    xh = np.hstack([x, h])
    z, r = sigmoid(xh @ Wz), sigmoid(xh @ Wr)
    xrh = np.hstack([x, r * h])
    c = np.tanh(xrh @ Wh)
    return (1 - z) * h + z * c, (x, h, xh, z, r, xrh, c, Wz, Wr, Wh)


def gru_step_backward(dh_new, cache):
    x, h, xh, z, r, xrh, c, Wz, Wr, Wh = cache
    D = x.shape[1]
    dz = dh_new * (c - h) * z * (1 - z)
    dc = dh_new * z * (1 - c * c)
    dxrh = dc @ Wh.T
    drh = dxrh[:, D:]
    dr = drh * h * r * (1 - r)
    dxh = dz @ Wz.T + dr @ Wr.T
    dx = dxh[:, :D] + dxrh[:, :D]
    dh = dh_new * (1 - z) + dxh[:, D:] + drh
    return {"x": dx, "h": dh, "Wz": xh.T @ dz, "Wr": xh.T @ dr, "Wh": xrh.T @ dc}


def _m():
    r = _rng(21)
    return dict(forward=gru_step, backward=gru_step_backward,
                inputs=dict(x=r.normal(size=(3, 2)), h=r.normal(size=(3, 3)), Wz=r.normal(size=(5, 3)),
                            Wr=r.normal(size=(5, 3)), Wh=r.normal(size=(5, 3))))


_add("gru_reset_gate_path", "speech research code", _m, False,
     "The candidate sees r * h: the last term of dh is drh * r.", ("h",), ("elementwise-factor", "missing-term"))


def rnn(xs, h0, Wxh, Whh):
    hs = {-1: h0}
    for t in range(len(xs)):
        hs[t] = np.tanh(Wxh @ xs[t] + Whh @ hs[t - 1])
    return np.stack([hs[t] for t in range(len(xs))]), (xs, hs, Wxh, Whh)


def rnn_bptt(dhs, cache):
    xs, hs, Wxh, Whh = cache
    dxs, dWxh, dWhh = np.zeros_like(xs), np.zeros_like(Wxh), np.zeros_like(Whh)
    dhnext = np.zeros_like(hs[-1])
    for t in reversed(range(len(xs))):
        dh = dhs[t] + dhnext
        dhraw = (1 - hs[t] * hs[t]) * dh
        dxs[t] = Wxh.T @ dhraw
        dWxh += np.outer(dhraw, xs[t])
        dWhh += np.outer(dhraw, hs[t])
        dhnext = Whh.T @ dhraw
    return dxs, dhnext, dWxh, dWhh


def _m():
    r = _rng(22)
    return dict(forward=rnn, backward=rnn_bptt,
                inputs=dict(xs=r.normal(size=(4, 2)), h0=r.normal(size=3), Wxh=r.normal(size=(3, 2)), Whh=.6 * r.normal(size=(3, 3))))


_add("char_rnn_outer_state", "character-model gist", _m, False,
     "dWhh takes the outer product with hs[t]; it should be hs[t-1].", ("Whh",), ("elementwise-factor", "missing-term", "unknown"))


def indrnn(x, u, h0):
    T = x.shape[0]
    H = np.empty_like(x)
    h = h0
    for t in range(T):
        h = np.maximum(x[t] + u * h, 0)
        H[t] = h
    return H, (H, u, h0)


def indrnn_back(dH, cache):
    H, u, h0 = cache
    dx = np.zeros_like(H)
    du = np.zeros_like(u)
    carry = np.zeros_like(h0)
    for t in range(len(H) - 1, -1, -1):
        dx[t] = (dH[t] + carry) * (H[t] > 0)
        du += np.sum(dx[t] * (H[t - 1] if t else h0), axis=0)
        carry = dx[t] * u
    return dx, du, carry


def _m():
    r = _rng(23)
    return dict(forward=indrnn, backward=indrnn_back,
                inputs=dict(x=r.normal(size=(4, 3, 2)) + .4, u=np.array([.9, -.7]), h0=np.abs(r.normal(size=(3, 2)))))


_add("independent_rnn_relu", "speech research code, time first", _m, True)


def ema_scan(x, decay):
    """y_t = a y_{t-1} + (1-a) x_t, a = sigmoid(decay)"""
    a = sigmoid(decay)
    y, prev = [], 0.0
    for xt in x:
        prev = a * prev + (1 - a) * xt
        y.append(prev)
    return np.array(y), (x, np.array(y), a)


def ema_scan_vjp(g, res):
    x, y, a = res
    gx = np.zeros_like(x)
    ga = np.zeros_like(a)
    for t in reversed(range(len(x))):
        lam = g[t]
        gx[t] = (1 - a) * lam
        ga = ga + lam * ((y[t - 1] if t > 0 else 0.0) - x[t])
    return gx, ga * a * (1 - a)


def _m():
    r = _rng(24)
    return dict(forward=ema_scan, backward=ema_scan_vjp, inputs=dict(x=r.normal(size=(5, 3)), decay=r.normal(size=3)))


_add("ema_scan_no_carry", "autodiff-library manner (vjp, residuals)", _m, False,
     "lam must carry a * lam of the step after: lam = g[t] + a * lam.", ("x", "decay"), ("missing-term", "unknown"))


# ---------------------------------------------------------------- convolutions and pooling
def conv1d(x, w):
    k = len(w)
    win = np.lib.stride_tricks.sliding_window_view(x, k, axis=1)
    return win @ w, (win, w)


def conv1d_adj(dy, cache):
    win, w = cache
    dw = np.einsum("bt,btk->k", dy, win)
    dx = np.stack([np.convolve(row, w[::-1]) for row in dy])
    return {"x": dx, "w": dw}


def _m():
    r = _rng(25)
    return dict(forward=conv1d, backward=conv1d_adj, inputs=dict(x=r.normal(size=(3, 7)), w=r.normal(size=3)))


_add("correlation_adjoint_flipped", "signal processing", _m, False,
     "The adjoint of correlation is np.convolve with w itself; the kernel is flipped once too often.", ("x",), ("transpose",))


def conv2d_naive(x, w, b):
    pad = 1
    xp = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    N, C, H, W = x.shape
    F, _, R, S = w.shape
    out = np.zeros((N, F, H, W))
    for i in range(H):
        for j in range(W):
            out[:, :, i, j] = np.tensordot(xp[:, :, i:i + R, j:j + S], w, axes=([1, 2, 3], [1, 2, 3])) + b
    return out, (xp, w, pad)


def conv2d_naive_back(dout, cache):
    xp, w, pad = cache
    F, C, R, S = w.shape
    dxp, dw = np.zeros_like(xp), np.zeros_like(w)
    for i in range(dout.shape[2]):
        for j in range(dout.shape[3]):
            g = dout[:, :, i, j]
            dxp[:, :, i:i + R, j:j + S] += np.tensordot(g, w, axes=(1, 0))
            dw += np.tensordot(g, xp[:, :, i:i + R, j:j + S], axes=(0, 0))
    return dxp[:, :, pad:-pad, pad:-pad], dw, dout.sum(axis=(0, 2, 3))


def _m():
    r = _rng(26)
    return dict(forward=conv2d_naive, backward=conv2d_naive_back,
                inputs=dict(x=r.normal(size=(3, 1, 3, 3)), w=r.normal(size=(2, 1, 3, 3)), b=r.normal(size=2)))


_add("conv2d_padded_loops", "class assignment, four-deep loops", _m, True)


def avg_pool(x, k):
    n, h, w = x.shape
    return x.reshape(n, h // k, k, w // k, k).mean(axis=(2, 4)), (x.shape, k)


def avg_pool_grad(g, cache):
    shape, k = cache
    return np.repeat(np.repeat(g, k, axis=1), k, axis=2) / k


def _m():
    return dict(forward=avg_pool, backward=avg_pool_grad, inputs=dict(x=_rng(27).normal(size=(2, 4, 4))), constants=dict(k=2))


_add("avgpool_one_k", "graphics / image pyramid code", _m, False, "The mean is over k*k pixels, not k: divide by k**2.",
     ("x",), ("factor",))


def gem_pool(x, p):
    m = np.mean(x ** p, axis=(2, 3))
    return m ** (1 / p), (x, p, m)


def gem_pool_backward(g, cache):
    x, p, m = cache
    n = x.shape[2] * x.shape[3]
    y = m ** (1 / p)
    dm = g * y / (p * m)
    dx = dm[..., None, None] * p * x ** (p - 1) / n
    dp = np.sum(dm * np.mean(x ** p * np.log(x), axis=(2, 3))) - np.sum(g * y * np.log(m)) / p ** 2
    return {"x": dx, "p": np.array(dp)}


def _m():
    return dict(forward=gem_pool, backward=gem_pool_backward,
                inputs=dict(x=_rng(28).uniform(.2, 2, (3, 2, 2, 2)), p=np.array(3.0)))


_add("gem_pooling", "image retrieval research code", _m, True)


def pixel_shuffle(x):
    b, c, h, w = x.shape
    return x.reshape(b, c // 4, 2, 2, h, w).transpose(0, 1, 4, 2, 5, 3).reshape(b, c // 4, 2 * h, 2 * w), x.shape


def pixel_unshuffle_grad(g, shape):
    b, c, h, w = shape
    return g.reshape(b, c // 4, h, 2, w, 2).transpose(0, 1, 3, 5, 2, 4).reshape(shape)


def _m():
    return dict(forward=pixel_shuffle, backward=pixel_unshuffle_grad, inputs=dict(x=_rng(29).normal(size=(3, 4, 1, 3))))


_add("pixel_shuffle", "super-resolution code", _m, True)


# ---------------------------------------------------------------- features-first lecture code
def softmax_xent_cols(Z, Y):
    m = Z.shape[1]
    E = np.exp(Z - Z.max(axis=0, keepdims=True))
    A = E / E.sum(axis=0, keepdims=True)
    cost = -np.sum(Y * np.log(A)) / m
    return cost, (A, Y)


def softmax_xent_cols_back(dcost, cache):
    A, Y = cache
    return {"Z": dcost * (A - Y) / A.shape[0]}


def _m():
    return dict(forward=softmax_xent_cols, backward=softmax_xent_cols_back, inputs=dict(Z=_rng(30).normal(size=(3, 5))),
                constants=dict(Y=np.eye(3)[:, [0, 2, 1, 1, 0]]))


_add("softmax_cost_columns", "features-first lecture code", _m, False,
     "Examples are columns: divide by A.shape[1], not by the number of classes.", ("Z",), ("factor",))


def linear_activation_forward(A_prev, W, b):
    Z = W @ A_prev + b
    return np.maximum(0.01 * Z, Z), (A_prev, W, Z)


def linear_activation_backward(dA, cache):
    A_prev, W, Z = cache
    dZ = np.array(dA, copy=True)
    dZ[Z <= 0] *= 0.01
    return W.T @ dZ, dZ @ A_prev.T, np.sum(dA, axis=1, keepdims=True)


def _m():
    r = _rng(31)
    return dict(forward=linear_activation_forward, backward=linear_activation_backward,
                inputs=dict(A_prev=r.normal(size=(3, 5)), W=r.normal(size=(2, 3)), b=r.normal(size=(2, 1))))


_add("leaky_layer_bias_from_dA", "features-first lecture code", _m, False,
     "db sums dA where it should sum dZ (after the slope).", ("b",), ("elementwise-factor", "missing-term"))


def maxout(A, W, b):
    Z = np.einsum("kof,fm->kom", W, A) + b
    k = Z.argmax(axis=0)
    return np.take_along_axis(Z, k[None], 0)[0], (A, W, k)


def maxout_back(dH, cache):
    A, W, k = cache
    dZ = np.zeros((W.shape[0],) + dH.shape)
    np.put_along_axis(dZ, k[None], dH[None], 0)
    return {"W": np.einsum("kom,fm->kof", dZ, A), "b": dZ.sum(2, keepdims=True), "A": np.einsum("kof,kom->fm", W, dZ)}


def _m():
    r = _rng(32)
    return dict(forward=maxout, backward=maxout_back,
                inputs=dict(A=r.normal(size=(3, 4)), W=r.normal(size=(3, 2, 3)), b=r.normal(size=(3, 2, 1))))


_add("maxout_columns", "features-first lecture code", _m, True)


# ---------------------------------------------------------------- losses (metric learning, detection, statistics)
def cosine_sim(u, v):
    nu = np.linalg.norm(u, axis=1, keepdims=True)
    nv = np.linalg.norm(v, axis=1, keepdims=True)
    s = (u * v).sum(1, keepdims=True) / (nu * nv)
    return s[:, 0], (u, v, nu, nv, s)


def cosine_sim_grad(ds, cache):
    u, v, nu, nv, s = cache
    ds = ds[:, None]
    du = ds * (v / (nu * nv) - s * u / nu ** 2)
    dv = ds * (u / (nu * nv) - s * v / nv)
    return du, dv


def _m():
    r = _rng(35)
    return dict(forward=cosine_sim, backward=cosine_sim_grad,
                inputs=dict(u=r.normal(size=(4, 3)), v=2 * r.normal(size=(4, 3))))


_add("cosine_norm_power", "metric learning", _m, False, "dv divides s * v by nv, it should be nv ** 2.", ("v",),
     ("elementwise-factor", "missing-term"))


def bce_pos_weight(logits, y, pw):
    l = (1 - y) * np.logaddexp(0, logits) + pw * y * np.logaddexp(0, -logits)
    return l.sum(1), (logits, y, pw)


def bce_pos_weight_grad(g, cache):
    z, y, pw = cache
    return (expit(z) - y) * pw * g[:, None]


def _m():
    r = _rng(36)
    return dict(forward=bce_pos_weight, backward=bce_pos_weight_grad, inputs=dict(logits=r.normal(size=(4, 3))),
                constants=dict(y=np.array([[1., 0, 1], [0, 0, 1], [1, 1, 0], [0, 1, 0]]), pw=2.5))


_add("bce_weight_on_all", "port of a framework loss", _m, False,
     "pw belongs to the positives only: (1 - y) p + pw y (p - 1).", ("logits",), ("elementwise-factor",))


def focal(z, t, gamma=2.0):
    s = np.where(t == 1, 1.0, -1.0)
    lp = -np.logaddexp(0, -s * z)
    p = np.exp(lp)
    return -((1 - p) ** gamma * lp).mean(), (s, p, lp, gamma)


def focal_grad(g, cache):
    s, p, lp, gamma = cache
    q = 1 - p
    return g * s * q ** gamma * (gamma * p * lp - q) / p.size


def _m():
    return dict(forward=focal, backward=focal_grad, inputs=dict(z=2 * _rng(37).normal(size=(4, 3))),
                constants=dict(t=np.array([[1, 0, 0], [0, 1, 1], [0, 0, 0], [1, 1, 0]])))


_add("focal_loss", "object detection code", _m, True)


def info_nce(za, zb, tau):
    S = za @ zb.T / tau
    def lsm(M):
        M = M - M.max(1, keepdims=True)
        return M - np.log(np.exp(M).sum(1, keepdims=True))
    r, c = lsm(S), lsm(S.T)
    n = len(S)
    return -(np.trace(r) + np.trace(c)) / (2 * n), (za, zb, tau, S, r, c)


def info_nce_grad(g, cache):
    za, zb, tau, S, r, c = cache
    n = len(S)
    dS = (np.exp(r) + np.exp(c).T - 2 * np.eye(n)) * g / (2 * n)
    return {"za": dS @ zb / tau, "zb": dS.T @ za / tau, "tau": np.array(-(dS * S).sum() / tau)}


def _m():
    r = _rng(38)
    return dict(forward=info_nce, backward=info_nce_grad,
                inputs=dict(za=r.normal(size=(4, 3)), zb=r.normal(size=(4, 3)), tau=np.array(.7)))


_add("symmetric_info_nce", "contrastive research code", _m, True)


def label_smoothed_nll(logits, target, smoothing):
    V = logits.shape[1]
    z = logits - logits.max(1, keepdims=True)
    logp = z - np.log(np.exp(z).sum(1, keepdims=True))
    q = np.full(logits.shape, smoothing / V)
    q[np.arange(len(target)), target] += 1 - smoothing
    return -(q * logp).sum(), (logp, target)


def label_smoothed_nll_backward(g, saved):
    logp, target = saved
    d = np.exp(logp)
    d[np.arange(len(target)), target] -= 1.0
    return g * d


def _m():
    return dict(forward=label_smoothed_nll, backward=label_smoothed_nll_backward,
                inputs=dict(logits=_rng(39).normal(size=(4, 5))), constants=dict(target=np.array([1, 0, 4, 4]), smoothing=.2))


_add("label_smoothing_hard_backward", "translation toolkit", _m, False,
     "backward subtracts the one-hot target, not the smoothed q.", ("logits",), ("missing-term",))


def logsumexp_huge(x):
    m = x.max(axis=-1)
    y = m + np.log(np.exp(x - m[..., None]).sum(-1))
    return y, (x, y)


def logsumexp_huge_grad(g, c):
    x, y = c
    return (np.exp(x - y[..., None]) * g[..., None],)


def _m():
    x = _rng(40).normal(size=(4, 3)) + np.array([[900.0], [-800.0], [0.0], [30.0]])
    return dict(forward=logsumexp_huge, backward=logsumexp_huge_grad, inputs=dict(x=x))


_add("logsumexp_huge_rows", "statistics code", _m, True)


# ---------------------------------------------------------------- activations, notebook / physics / graphics
def glu(x):
    a, b = np.split(x, 2, axis=1)
    s = expit(b)
    return a * s, (a, s)


def glu_backward(dy, cache):
    a, s = cache
    return np.concatenate([dy * s, dy * s * (1 - s)], axis=1)


def _m():
    return dict(forward=glu, backward=glu_backward, inputs=dict(x=_rng(41).normal(size=(4, 6))))


_add("glu_gate_half", "notebook", _m, False, "The gate half lacks the factor a: dy * a * s * (1 - s).", ("x",),
     ("elementwise-factor",))


Siren = namedtuple("Siren", "x W pre w0")


def siren(x, W, b, w0=3.0):
    pre = x @ W.T + b
    return np.sin(w0 * pre), Siren(x, W, pre, w0)


def siren_vjp(dy, s):
    dpre = dy * s.w0 * np.cos(s.w0 * s.pre)
    return dict(x=dpre @ s.W, W=dpre.T @ s.x, b=dpre.sum(0))


def _m():
    r = _rng(42)
    return dict(forward=siren, backward=siren_vjp,
                inputs=dict(x=r.uniform(-1, 1, (4, 2)), W=r.normal(size=(3, 2)), b=r.normal(size=3)))


_add("siren_layer", "graphics, implicit fields", _m, True)


def hard_swish(x):
    r6 = np.clip(x + 3, 0, 6)
    return x * r6 / 6, x


def hard_swish_grad(dy, x):
    dx = np.zeros(x.shape)
    mid = (x > -3) & (x < 3)
    dx[mid] = (2 * x[mid] + 3) / 6
    dx[x >= 3] = 1
    return dy * dx


def _m():
    return dict(forward=hard_swish, backward=hard_swish_grad,
                inputs=dict(x=np.array([[-9., -3.4, -2.9], [-.2, 0., 1.], [2.8, 3.3, 50.], [1e-9, -1e-9, 3.01]])))


_add("hard_swish", "mobile network port", _m, True)


def weight_norm(x, v, g):
    n = np.sqrt((v * v).sum(axis=1, keepdims=True))
    W = g[:, None] * v / n
    return x @ W.T, (x, v, g, n, W)


def weight_norm_back(dy, cache):
    x, v, g, n, W = cache
    dW = dy.T @ x
    u = v / n
    dg = (dW * u).sum(1)
    dv = g[:, None] / n * (dW - dg[:, None] * u)
    return dy @ W, dv, dg


def _m():
    r = _rng(43)
    return dict(forward=weight_norm, backward=weight_norm_back,
                inputs=dict(x=r.normal(size=(4, 3)), v=r.normal(size=(2, 3)), g=np.array([1.5, -.6])))


_add("weight_norm_linear", "port of a framework layer", _m, True)

if __name__ == "__main__":
    def fwd(m, i):
        return np.asarray(m["forward"](**i, **m.get("constants", {}))[0], float)
    bad = 0
    for it in ITEMS:
        m = it.make()
        inp = {k: np.array(v) for k, v in m["inputs"].items()}
        y, cache = m["forward"](**inp, **m.get("constants", {}))
        y = np.asarray(y, float)
        dy = _rng(99).normal(size=y.shape)
        if y.ndim == 0:
            dy = float(dy) + .5
        out = m["backward"](dy, cache)
        if isinstance(out, (tuple, list)):
            out = dict(zip(inp, out))
        elif not isinstance(out, dict):
            out = {next(iter(inp)): out}
        off = set()
        for k, v in inp.items():
            num = np.zeros(v.shape)
            for ix in np.ndindex(*v.shape):
                h = 1e-5
                p, q = {**inp, k: v.copy()}, {**inp, k: v.copy()}
                p[k][ix] += h
                q[k][ix] -= h
                num[ix] = np.sum((fwd(m, p) - fwd(m, q)) * dy) / (2 * h)
            got = np.asarray(out[k])
            e = np.inf if got.shape != num.shape else np.abs(got - num).max() / (np.abs(num).max() + 1e-12)
            if e > 1e-2:
                off.add(k)
            elif e > 1e-6:
                print("?", it.name, k, e)
        if off != set(it.wrong) or it.right != (not it.wrong):
            bad += 1
            print("MISMATCH", it.name, off, it.wrong)
        if max(v.size for v in inp.values()) > 40:
            print("big", it.name, {k: v.size for k, v in inp.items()})
    print("wrong", sum(not i.right for i in ITEMS), "right", sum(i.right for i in ITEMS), "bad", bad,
          "unique", len({i.name for i in ITEMS}) == len(ITEMS))
