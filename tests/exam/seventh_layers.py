"""Seventh paper: single layers, activations, losses, norms, attention pieces, embeddings, convolutions, pooling, cells."""
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


def item(style, right=False, slip="", wrong=(), causes=()):
    def deco(make):
        ITEMS.append(Item(make.__name__, style, "vjp", make, right, slip, tuple(wrong), tuple(causes)))
        return make
    return deco


def pack(f, b, inputs, **constants):
    d = {"forward": f, "backward": b, "inputs": {k: np.array(v, dtype=np.float64) for k, v in inputs.items()}}
    if constants:
        d["constants"] = constants
    return d


# ------------------------------------------------------------------ wrong ones

@item("course assignment, functions with cache tuples",
      slip="dx is returned in the flattened shape (N, D); it needs .reshape(x.shape).", wrong=("x",), causes=("shape",))
def affine_on_images():
    def affine_forward(x, w, b):
        N = x.shape[0]
        out = x.reshape(N, -1).dot(w) + b
        return out, (x, w, b)

    def affine_backward(dout, cache):
        x, w, b = cache
        N = x.shape[0]
        flat = x.reshape(N, -1)
        dx = dout.dot(w.T)
        dw = flat.T.dot(dout)
        db = np.sum(dout, axis=0)
        return dx, dw, db

    r = np.random.RandomState(701)
    return pack(affine_forward, affine_backward,
                dict(x=r.randn(3, 2, 2, 3), w=r.randn(12, 3), b=r.randn(3)))


@item("small library, layer object kept as cache",
      slip="The forward uses the unbiased variance (N-1); in the backward the xhat term must be weighed N/(N-1).",
      wrong=("x",), causes=("factor", "missing-term"))
def batchnorm_unbiased_variance():
    class BatchNorm1d:
        def __init__(self, eps=1e-5):
            self.eps = eps

        def __call__(self, x, gamma, beta):
            self.gamma = gamma
            self.xmu = x - x.mean(0)
            self.ivar = 1.0 / np.sqrt(x.var(0, ddof=1) + self.eps)
            self.xhat = self.xmu * self.ivar
            return gamma * self.xhat + beta

        def backward(self, grad):
            n = grad.shape[0]
            dxhat = grad * self.gamma
            dx = self.ivar / n * (n * dxhat - dxhat.sum(0) - self.xhat * (dxhat * self.xhat).sum(0))
            return {"x": dx, "gamma": (grad * self.xhat).sum(0), "beta": grad.sum(0)}

    def fwd(x, gamma, beta):
        bn = BatchNorm1d()
        return bn(x, gamma, beta), bn

    r = np.random.RandomState(702)
    return pack(fwd, lambda dy, bn: bn.backward(dy),
                dict(x=2 * r.randn(4, 5) + 1, gamma=r.randn(5), beta=r.randn(5)))


@item("transformer from scratch notebook",
      slip="In dx the two means run over the batch (axis 0, taken from batch norm) and not over the features (axis -1).",
      wrong=("x",), causes=("shape",))
def layernorm_from_batchnorm():
    def ln_fwd(x, scale, shift):
        m = x.mean(-1, keepdims=True)
        s = np.sqrt(((x - m) ** 2).mean(-1, keepdims=True) + 1e-6)
        n = (x - m) / s
        return n * scale + shift, dict(n=n, s=s, scale=scale)

    def ln_bwd(dout, c):
        n, s = c["n"], c["s"]
        dn = dout * c["scale"]
        dx = (dn - dn.mean(0, keepdims=True) - n * (dn * n).mean(0, keepdims=True)) / s
        return dict(x=dx, scale=np.sum(dout * n, 0), shift=np.sum(dout, 0))

    g = np.random.default_rng(703)
    return pack(ln_fwd, ln_bwd, dict(x=g.normal(size=(4, 6)), scale=g.normal(size=6), shift=g.normal(size=6)))


@item("C port, llm training code in terse NumPy",
      slip="The derivative of the inner cubic is left out: the inner slope is k (1 + 3*0.044715 x^2), not k.",
      wrong=("x",), causes=("elementwise-factor", "missing-term"))
def gelu_tanh_inner_slope():
    K = np.sqrt(2.0 / np.pi)

    def gelu_forward(x):
        cube = 0.044715 * x * x * x
        t = np.tanh(K * (x + cube))
        return 0.5 * x * (1.0 + t), (x, t)

    def gelu_backward(dout, cache):
        x, t = cache
        sech2 = 1.0 - t * t
        local = 0.5 * (1.0 + t) + 0.5 * x * sech2 * K
        return local * dout

    g = np.random.default_rng(704)
    return pack(gelu_forward, gelu_backward, dict(x=g.normal(size=(4, 7)) * 1.5))


@item("research code, einsum everywhere",
      slip="q is scaled by d**-0.5 before the product; dq misses that scale.", wrong=("q",), causes=("factor",))
def sdpa_prescaled_query():
    def attend(q, k, v):
        scale = q.shape[-1] ** -0.5
        qs = q * scale
        logits = np.einsum("bid,bjd->bij", qs, k)
        logits = logits - logits.max(-1, keepdims=True)
        a = np.exp(logits)
        a /= a.sum(-1, keepdims=True)
        return np.einsum("bij,bjd->bid", a, v), (qs, k, v, a, scale)

    def attend_bwd(do, saved):
        qs, k, v, a, scale = saved
        dv = np.einsum("bij,bid->bjd", a, do)
        da = np.einsum("bid,bjd->bij", do, v)
        ds = a * (da - np.einsum("bij,bij->bi", a, da)[..., None])
        dk = np.einsum("bij,bid->bjd", ds, qs)
        dq = np.einsum("bij,bjd->bid", ds, k)
        return dq, dk, dv

    g = np.random.default_rng(705)
    return pack(attend, attend_bwd, dict(q=g.normal(size=(3, 2, 4)), k=g.normal(size=(3, 3, 4)), v=g.normal(size=(3, 3, 3))))


@item("port of a torch module, view and permute helpers",
      slip="dv is merged by a bare reshape of (B, H, T, d) to (B, T, D); the axes H and T must be swapped first.",
      wrong=("v",), causes=("transpose",))
def multihead_merge_of_values():
    def split(t, h):
        B, T, D = t.shape
        return t.reshape(B, T, h, D // h).transpose(0, 2, 1, 3)

    def merge(t):
        B, H, T, d = t.shape
        return t.transpose(0, 2, 1, 3).reshape(B, T, H * d)

    def forward(q, k, v, num_heads):
        Q, K, V = (split(t, num_heads) for t in (q, k, v))
        s = Q @ K.swapaxes(-1, -2) / np.sqrt(Q.shape[-1])
        p = np.exp(s - s.max(axis=-1, keepdims=True))
        p = p / p.sum(axis=-1, keepdims=True)
        return merge(p @ V), (Q, K, V, p, num_heads)

    def backward(grad_out, ctx):
        Q, K, V, p, num_heads = ctx
        g = split(grad_out, num_heads)
        gV = p.swapaxes(-1, -2) @ g
        gp = g @ V.swapaxes(-1, -2)
        gs = p * (gp - (gp * p).sum(-1, keepdims=True)) / np.sqrt(Q.shape[-1])
        return {"q": merge(gs @ K), "k": merge(gs.swapaxes(-1, -2) @ Q), "v": gV.reshape(grad_out.shape)}

    r = np.random.RandomState(706)
    return pack(forward, backward, {n: r.randn(3, 3, 4) for n in "qkv"}, num_heads=2)


@item("blog post, LSTM in one matrix",
      slip="dc_prev is dc times the input gate; it must be the forget gate.", wrong=("c_prev",), causes=("elementwise-factor",))
def lstm_cell_concat():
    sig = lambda z: 1 / (1 + np.exp(-z))

    def lstm_step(x, h_prev, c_prev, W, b):
        H = h_prev.shape[1]
        xh = np.hstack([x, h_prev])
        z = xh @ W + b
        i, f, o = sig(z[:, :H]), sig(z[:, H:2 * H]), sig(z[:, 2 * H:3 * H])
        g = np.tanh(z[:, 3 * H:])
        c = f * c_prev + i * g
        h = o * np.tanh(c)
        return h, (xh, W, i, f, o, g, c, c_prev)

    def lstm_step_back(dh, cache):
        xh, W, i, f, o, g, c, c_prev = cache
        H = dh.shape[1]
        tc = np.tanh(c)
        dc = dh * o * (1 - tc ** 2)
        dz = np.hstack([dc * g * i * (1 - i), dc * c_prev * f * (1 - f), dh * tc * o * (1 - o), dc * i * (1 - g ** 2)])
        dxh = dz @ W.T
        return dict(x=dxh[:, :-H], h_prev=dxh[:, -H:], c_prev=dc * i, W=xh.T @ dz, b=dz.sum(axis=0))

    r = np.random.RandomState(707)
    return pack(lstm_step, lstm_step_back,
                dict(x=r.randn(4, 2), h_prev=r.randn(4, 2), c_prev=r.randn(4, 2), W=r.randn(4, 8), b=r.randn(8)))


@item("NLP course, column of separate weight matrices",
      slip="The path of h through the reset product r*h into the candidate is not added to dh: + (da_n @ Un.T) * r is missing.",
      wrong=("h",), causes=("missing-term",))
def gru_cell_separate_weights():
    def sigmoid(a):
        return 1.0 / (1.0 + np.exp(-a))

    def gru(x, h, Wz, Uz, Wr, Ur, Wn, Un):
        z = sigmoid(x @ Wz + h @ Uz)
        r = sigmoid(x @ Wr + h @ Ur)
        n = np.tanh(x @ Wn + (r * h) @ Un)
        out = (1 - z) * n + z * h
        return out, (x, h, z, r, n, Wz, Uz, Wr, Ur, Wn, Un)

    def gru_back(dout, c):
        x, h, z, r, n, Wz, Uz, Wr, Ur, Wn, Un = c
        da_n = dout * (1 - z) * (1 - n * n)
        da_z = dout * (h - n) * z * (1 - z)
        d_rh = da_n @ Un.T
        da_r = d_rh * h * r * (1 - r)
        dx = da_n @ Wn.T + da_z @ Wz.T + da_r @ Wr.T
        dh = dout * z + da_z @ Uz.T + da_r @ Ur.T
        return dx, dh, x.T @ da_z, h.T @ da_z, x.T @ da_r, h.T @ da_r, x.T @ da_n, (r * h).T @ da_n

    g = np.random.default_rng(708)
    w = {}
    for k in "zrn":
        w["W" + k], w["U" + k] = g.normal(size=(2, 3)), g.normal(size=(3, 3))
    return pack(gru, gru_back, dict(x=g.normal(size=(4, 2)), h=g.normal(size=(4, 3)), **w))


@item("signal processing script, np.correlate",
      slip="dx must be the full convolution of dy with w (np.convolve); np.correlate flips the kernel once too often.",
      wrong=("x",), causes=("transpose", "unknown"))
def conv1d_by_correlate():
    def filt(x, w):
        return np.stack([np.correlate(row, w, mode="valid") for row in x]), (x, w)

    def filt_adjoint(dy, cache):
        x, w = cache
        dx = np.stack([np.correlate(g, w, mode="full") for g in dy])
        dw = sum(np.correlate(row, g, mode="valid") for row, g in zip(x, dy))
        return dx, dw

    g = np.random.default_rng(709)
    return pack(filt, filt_adjoint, dict(x=g.normal(size=(3, 8)), w=[0.3, -1.2, 2.0]))


@item("layer with loops, argmax indices saved",
      slip="Windows overlap (stride 2, width 3): the gradient must be added (+=) to the winner, here a later window overwrites it.",
      wrong=("x",), causes=("missing-term",))
def maxpool1d_overlapping():
    def pool(x, size, stride):
        N, L = x.shape
        n_out = (L - size) // stride + 1
        out = np.empty((N, n_out))
        idx = np.empty((N, n_out), dtype=int)
        for t in range(n_out):
            win = x[:, t * stride:t * stride + size]
            k = win.argmax(axis=1)
            idx[:, t] = k + t * stride
            out[:, t] = win[np.arange(N), k]
        return out, (idx, x.shape)

    def pool_grad(dout, cache):
        idx, shape = cache
        dx = np.zeros(shape)
        for t in range(dout.shape[1]):
            dx[np.arange(shape[0]), idx[:, t]] = dout[:, t]
        return dx

    r = np.random.RandomState(710)
    return pack(pool, pool_grad, dict(x=r.permutation(36).reshape(4, 9) * 0.25 - 3.0), size=3, stride=2)


@item("framework port, NCHW, padding arguments",
      slip="The forward divides by the number of real pixels in the window; the backward divides by k*k everywhere.",
      wrong=("x",), causes=("elementwise-factor",))
def avgpool2d_count_exclude_pad():
    def forward(x, k, pad):
        N, C, H, W = x.shape
        xp = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
        ones = np.pad(np.ones((H, W)), pad)
        oh, ow = H + 2 * pad - k + 1, W + 2 * pad - k + 1
        y = np.zeros((N, C, oh, ow))
        count = np.zeros((oh, ow))
        for i in range(oh):
            for j in range(ow):
                count[i, j] = ones[i:i + k, j:j + k].sum()
                y[:, :, i, j] = xp[:, :, i:i + k, j:j + k].sum(axis=(2, 3)) / count[i, j]
        return y, {"count": count, "shape": x.shape, "k": k, "pad": pad}

    def backward(dy, cache):
        N, C, H, W = cache["shape"]
        k, p = cache["k"], cache["pad"]
        dxp = np.zeros((N, C, H + 2 * p, W + 2 * p))
        for i in range(dy.shape[2]):
            for j in range(dy.shape[3]):
                dxp[:, :, i:i + k, j:j + k] += dy[:, :, i, j][:, :, None, None] / (k * k)
        return {"x": dxp[:, :, p:p + H, p:p + W]}

    r = np.random.RandomState(711)
    return pack(forward, backward, dict(x=r.randn(3, 1, 3, 4)), k=3, pad=1)


@item("word vectors homework",
      slip="dW[ids] += dout counts a repeated id once only; np.add.at(dW, ids, dout) is needed.",
      wrong=("W",), causes=("missing-term", "batch-sum"))
def embedding_with_repeats():
    def embed_forward(W, ids):
        return W[ids], (ids, W.shape)

    def embed_backward(dout, cache):
        ids, shape = cache
        dW = np.zeros(shape)
        dW[ids] += dout
        return dW

    r = np.random.RandomState(712)
    return pack(embed_forward, embed_backward, dict(W=r.randn(7, 4)),
                ids=np.array([[0, 2, 2, 5], [1, 2, 6, 0], [4, 4, 1, 3]]))


@item("language model training script, ignore_index",
      slip="The loss is the mean over the tokens that are not ignored; the backward divides by all tokens.",
      wrong=("logits",), causes=("factor",))
def token_cross_entropy_ignore():
    def loss_fn(logits, targets, ignore_index):
        keep = targets != ignore_index
        m = logits.max(1, keepdims=True)
        lse = m[:, 0] + np.log(np.exp(logits - m).sum(1))
        safe = np.where(keep, targets, 0)
        ll = logits[np.arange(len(targets)), safe] - lse
        return -(ll * keep).sum() / keep.sum(), (logits, lse, safe, keep)

    def loss_bwd(dloss, cache):
        logits, lse, safe, keep = cache
        g = np.exp(logits - lse[:, None])
        g[np.arange(len(safe)), safe] -= 1
        g *= keep[:, None]
        return {"logits": dloss * g / len(safe)}

    r = np.random.RandomState(713)
    return pack(loss_fn, loss_bwd, dict(logits=r.randn(6, 5)), targets=np.array([1, -100, 4, 0, -100, 2]), ignore_index=-100)


@item("image classification repo, criterion class",
      slip="The backward subtracts the hard one-hot and not the smoothed target of the forward.",
      wrong=("scores",), causes=("missing-term",))
def label_smoothing_criterion():
    class SmoothCE:
        def __init__(self, n_classes, smoothing):
            self.n_classes, self.smoothing = n_classes, smoothing

        def forward(self, scores, y):
            self.onehot = np.eye(self.n_classes)[y]
            self.target = (1 - self.smoothing) * self.onehot + self.smoothing / self.n_classes
            e = np.exp(scores - scores.max(axis=1, keepdims=True))
            self.prob = e / e.sum(axis=1, keepdims=True)
            return -np.mean(np.sum(self.target * np.log(self.prob), axis=1))

        def backward(self, upstream):
            return upstream * (self.prob - self.onehot) / self.prob.shape[0]

    def fwd(scores, y, smoothing):
        crit = SmoothCE(scores.shape[1], smoothing)
        return crit.forward(scores, y), crit

    r = np.random.RandomState(714)
    return pack(fwd, lambda d, c: c.backward(d), dict(scores=r.randn(4, 6)), y=np.array([2, 0, 5, 3]), smoothing=0.3)


@item("medical imaging repo, unreduced loss",
      slip="The positives carry pos_weight in the loss, the backward is the plain sigmoid(z) - t; the positives need the factor pos_weight.",
      wrong=("z",), causes=("elementwise-factor",))
def bce_logits_pos_weight():
    def bce(z, t, pos_weight):
        softplus = lambda a: np.logaddexp(0.0, a)
        return pos_weight * t * softplus(-z) + (1 - t) * softplus(z), (z, t, pos_weight)

    def bce_grad(dy, cache):
        z, t, pos_weight = cache
        s = 1.0 / (1.0 + np.exp(-z))
        return {"z": dy * (s - t)}

    r = np.random.RandomState(715)
    return pack(bce, bce_grad, dict(z=r.randn(4, 5) * 2), t=(r.rand(4, 5) > 0.5).astype(float), pos_weight=3.5)


@item("multiple instance learning, log-sum-exp pooling",
      slip="The backward takes the exponentials without subtracting the maximum: inf/inf for large scores. exp(r*x - max) is needed.",
      wrong=("x",), causes=("non-finite",))
def lse_pooling_large_scores():
    def lse_pool(x, r):
        m = np.max(r * x, axis=1, keepdims=True)
        s = np.exp(r * x - m).mean(axis=1, keepdims=True)
        return ((m + np.log(s)) / r)[:, 0], (x, r)

    def lse_pool_backward(dy, cache):
        x, r = cache
        with np.errstate(all="ignore"):
            e = np.exp(r * x)
            w = e / e.sum(axis=1, keepdims=True)
        return (dy[:, None] * w,)

    g = np.random.default_rng(716)
    return pack(lse_pool, lse_pool_backward, dict(x=180.0 + g.normal(size=(3, 5))), r=5.0)


@item("metric learning notebook",
      slip="d_anchor has the sign reversed: it is 2 (negative - positive) for the active triplets.",
      wrong=("anchor",), causes=("sign",))
def triplet_margin_loss():
    def triplet_loss(anchor, positive, negative, margin=1.0):
        dp = ((anchor - positive) ** 2).sum(1)
        dn = ((anchor - negative) ** 2).sum(1)
        hinge = np.maximum(0, dp - dn + margin)
        return hinge.mean(), (anchor, positive, negative, hinge > 0)

    def triplet_loss_grad(dl, cache):
        a, p, n, active = cache
        coef = dl * active[:, None] / a.shape[0]
        return {"anchor": 2 * coef * (p - n), "positive": -2 * coef * (a - p), "negative": 2 * coef * (a - n)}

    r = np.random.RandomState(717)
    return pack(triplet_loss, triplet_loss_grad,
                dict(anchor=r.randn(5, 3), positive=r.randn(5, 3), negative=r.randn(5, 3)), margin=2.5)


@item("retrieval code, unit vectors",
      slip="du takes the norm of u as a constant: the projection term - y u / |u|^2 is missing.",
      wrong=("u",), causes=("missing-term",))
def cosine_similarity_rows():
    def cos_sim(u, v):
        nu = np.linalg.norm(u, axis=1)
        nv = np.linalg.norm(v, axis=1)
        y = np.einsum("nd,nd->n", u, v) / (nu * nv)
        return y, (u, v, nu, nv, y)

    def cos_sim_bwd(dy, cache):
        u, v, nu, nv, y = cache
        du = (dy / (nu * nv))[:, None] * v
        dv = dy[:, None] * (u / (nu * nv)[:, None] - (y / nv ** 2)[:, None] * v)
        return du, dv

    g = np.random.default_rng(718)
    return pack(cos_sim, cos_sim_bwd, dict(u=g.normal(size=(4, 4)) + 0.5, v=g.normal(size=(4, 4)) + 0.5))


@item("weight reparametrisation, params dict",
      slip="dg is the sum of dW*v and misses the division by the norm of each row of v.",
      wrong=("g",), causes=("elementwise-factor",))
def weight_norm_linear():
    def forward(x, v, g, b):
        norm = np.sqrt((v ** 2).sum(axis=1, keepdims=True))
        W = g[:, None] * v / norm
        return x @ W.T + b, {"x": x, "v": v, "g": g, "norm": norm, "W": W}

    def backward(dy, c):
        dW = dy.T @ c["x"]
        grads = {}
        grads["g"] = (dW * c["v"]).sum(axis=1)
        unit = c["v"] / c["norm"]
        grads["v"] = c["g"][:, None] / c["norm"] * (dW - unit * (dW * unit).sum(axis=1, keepdims=True))
        grads["b"] = dy.sum(axis=0)
        grads["x"] = dy @ c["W"]
        return grads

    r = np.random.RandomState(719)
    return pack(forward, backward, dict(x=r.randn(4, 3), v=1.7 * r.randn(5, 3), g=r.randn(5), b=r.randn(5)))


@item("layer class with a learned slope per channel",
      slip="dalpha sums dy*x over all entries; only the negative entries belong into it.",
      wrong=("alpha",), causes=("elementwise-factor", "missing-term"))
def prelu_channel_slope():
    class PReLU:
        def forward(self, x, alpha):
            self.x, self.alpha = x, alpha
            self.pos = x > 0
            return np.where(self.pos, x, alpha[None, :, None] * x)

        def backward(self, dy):
            dx = dy.copy()
            dx[~self.pos] *= np.broadcast_to(self.alpha[None, :, None], dy.shape)[~self.pos]
            dalpha = (dy * self.x).sum(axis=(0, 2))
            return dx, dalpha

    def f(x, alpha):
        layer = PReLU()
        return layer.forward(x, alpha), layer

    r = np.random.RandomState(720)
    return pack(f, lambda dy, layer: layer.backward(dy), dict(x=r.randn(3, 3, 4), alpha=[0.25, 0.1, -0.3]))


@item("features first (D, N), inference code turned training code",
      slip="The subtracted dot product is a sum over the D features; it must be the mean (divide by D).",
      wrong=("X",), causes=("factor", "missing-term"))
def rmsnorm_features_first():
    def rms_norm(X, w, eps):
        D = X.shape[0]
        rinv = 1.0 / np.sqrt(np.sum(X * X, axis=0, keepdims=True) / D + eps)
        N = X * rinv
        return w * N, (N, rinv, w)

    def rms_norm_bwd(dY, cache):
        N, rinv, w = cache
        dw = np.sum(dY * N, axis=1, keepdims=True)
        dN = dY * w
        dX = rinv * (dN - N * np.sum(dN * N, axis=0, keepdims=True))
        return {"X": dX, "w": dw}

    g = np.random.default_rng(721)
    return pack(rms_norm, rms_norm_bwd, dict(X=g.normal(size=(6, 4)), w=g.normal(size=(6, 1)) + 1), eps=1e-6)


@item("char-rnn in the manner of a gist, loop over time",
      slip="db is assigned at each time step and keeps the first step only; it must be summed over time (db += ...).",
      wrong=("b",), causes=("missing-term", "batch-sum"))
def vanilla_rnn_over_time():
    def rnn_forward(xs, h0, Wx, Wh, b):
        hs = {-1: h0}
        for t in range(xs.shape[1]):
            hs[t] = np.tanh(xs[:, t] @ Wx + hs[t - 1] @ Wh + b)
        return np.stack([hs[t] for t in range(xs.shape[1])], axis=1), (xs, hs, Wx, Wh)

    def rnn_backward(dhs, cache):
        xs, hs, Wx, Wh = cache
        dxs = np.zeros_like(xs)
        dWx, dWh, db = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros(Wh.shape[0])
        dhnext = np.zeros_like(hs[-1])
        for t in reversed(range(xs.shape[1])):
            dh = dhs[:, t] + dhnext
            draw = (1 - hs[t] ** 2) * dh
            db = draw.sum(axis=0)
            dWx += xs[:, t].T @ draw
            dWh += hs[t - 1].T @ draw
            dxs[:, t] = draw @ Wx.T
            dhnext = draw @ Wh.T
        return dxs, dhnext, dWx, dWh, db

    r = np.random.RandomState(722)
    return pack(rnn_forward, rnn_backward,
                dict(xs=r.randn(3, 4, 2), h0=r.randn(3, 3), Wx=0.6 * r.randn(2, 3), Wh=0.6 * r.randn(3, 3), b=r.randn(3)))


@item("knowledge graph scorer, einsum",
      slip="dM has its two axes swapped: the score is head^T M tail, so dM[i, j] = sum d head_i tail_j.",
      wrong=("M",), causes=("transpose",))
def bilinear_scorer():
    def score(head, M, tail):
        return np.einsum("ni,ij,nj->n", head, M, tail), (head, M, tail)

    def score_vjp(ds, res):
        head, M, tail = res
        return (
            np.einsum("n,ij,nj->ni", ds, M, tail),
            np.einsum("n,ni,nj->ji", ds, head, tail),
            np.einsum("n,ni,ij->nj", ds, head, M),
        )

    g = np.random.default_rng(723)
    return pack(score, score_vjp, dict(head=g.normal(size=(5, 4)), M=g.normal(size=(4, 4)), tail=g.normal(size=(5, 4))))


@item("structured prediction research code",
      slip="The mean over the support divides by the number of classes K; it must divide by the size of the support.",
      wrong=("z",), causes=("missing-term", "factor", "elementwise-factor"))
def sparsemax_rows():
    def sparsemax(z):
        K = z.shape[1]
        srt = -np.sort(-z, axis=1)
        cs = np.cumsum(srt, axis=1) - 1
        ks = np.arange(1, K + 1)
        k = (srt * ks > cs).sum(axis=1)
        tau = cs[np.arange(len(z)), k - 1] / k
        p = np.maximum(z - tau[:, None], 0)
        return p, p

    def sparsemax_backward(dp, p):
        supp = (p > 0).astype(dp.dtype)
        avg = (dp * supp).mean(axis=1, keepdims=True)
        return {"z": supp * (dp - avg)}

    r = np.random.RandomState(724)
    return pack(sparsemax, sparsemax_backward, dict(z=0.7 * r.randn(4, 6)))


@item("rotary embedding, even and odd halves",
      slip="The backward rotates by the same angle; the adjoint rotates back (the sine terms with the other sign).",
      wrong=("x",), causes=("transpose", "sign"))
def rotary_positions():
    def tables(T, d, base):
        ang = np.outer(np.arange(1, T + 1), base ** (-np.arange(0, d, 2) / d))
        return np.cos(ang), np.sin(ang)

    def apply_rope(x, base):
        c, s = tables(x.shape[-2], x.shape[-1], base)
        out = np.empty_like(x)
        out[..., 0::2] = x[..., 0::2] * c - x[..., 1::2] * s
        out[..., 1::2] = x[..., 0::2] * s + x[..., 1::2] * c
        return out, (c, s)

    def apply_rope_grad(g, cs):
        c, s = cs
        dx = np.empty_like(g)
        dx[..., 0::2] = g[..., 0::2] * c - g[..., 1::2] * s
        dx[..., 1::2] = g[..., 0::2] * s + g[..., 1::2] * c
        return dx

    r = np.random.RandomState(725)
    return pack(apply_rope, apply_rope_grad, dict(x=r.randn(3, 3, 4)), base=100.0)


@item("point cloud code, gather of rows and columns",
      slip="dx[rows][:, cols] += dy writes to a copy, so dx stays zero; np.add.at(dx, np.ix_(rows, cols), dy) is needed.",
      wrong=("x",), causes=("zero",))
def gather_rows_and_columns():
    def gather(x, rows, cols):
        return x[rows][:, cols], (rows, cols, x.shape)

    def gather_grad(dy, ctx):
        rows, cols, shape = ctx
        dx = np.zeros(shape)
        dx[rows][:, cols] += dy
        return dx

    g = np.random.default_rng(726)
    return pack(gather, gather_grad, dict(x=g.normal(size=(5, 6))), rows=np.array([3, 0, 4]), cols=np.array([1, 5, 2, 0]))


@item("linear classifier assignment, vectorised SVM",
      slip="The correct class gets no gradient: dscores[i, y_i] must be minus the number of violated margins.",
      wrong=("W", "X"), causes=("missing-term", "zero"))
def multiclass_svm_loss():
    def svm_loss(W, X, y, reg):
        n = X.shape[0]
        scores = X.dot(W)
        margins = np.maximum(0, scores - scores[np.arange(n), y][:, None] + 1)
        margins[np.arange(n), y] = 0
        return margins.sum() / n + reg * np.sum(W * W), (W, X, y, reg, margins)

    def svm_grad(dL, cache):
        W, X, y, reg, margins = cache
        binary = (margins > 0).astype(float)
        binary /= X.shape[0]
        dW = X.T.dot(binary) + 2 * reg * W
        dX = binary.dot(W.T)
        return dL * dW, dL * dX

    r = np.random.RandomState(727)
    return pack(svm_loss, svm_grad, dict(W=r.randn(4, 5), X=r.randn(6, 4)), y=np.array([0, 3, 4, 1, 1, 2]), reg=0.05)


@item("residual network, in-place style",
      slip="dout *= mask works on the caller's array, and the skip is the same array: the skip path gets masked too. Use dz = dout * mask.",
      wrong=("x",), causes=("mutates-input", "elementwise-factor", "missing-term"))
def residual_relu_block():
    class ResidualBlock:
        def forward(self, x, W, b):
            self.x, self.W = x, W
            self.pre = x @ W + b
            return x + np.maximum(self.pre, 0)

        def backward(self, dout):
            dskip = dout
            dout *= self.pre > 0
            self.dW = self.x.T @ dout
            self.db = dout.sum(axis=0)
            return dskip + dout @ self.W.T

    def run(x, W, b):
        blk = ResidualBlock()
        return blk.forward(x, W, b), blk

    def back(dy, blk):
        dx = blk.backward(dy)
        return dx, blk.dW, blk.db

    r = np.random.RandomState(728)
    return pack(run, back, dict(x=r.randn(5, 4), W=r.randn(4, 4), b=0.3 * r.randn(4)))


# ------------------------------------------------------------------ right ones

@item("layer with state, pieces on the last axis", right=True)
def maxout_pieces():
    def fwd(x, W, b):
        z = np.einsum("nd,dkp->nkp", x, W) + b
        win = z.argmax(-1)
        return np.take_along_axis(z, win[..., None], -1)[..., 0], (x, W, win)

    def bwd(dy, c):
        x, W, win = c
        dz = np.zeros(win.shape + (W.shape[-1],))
        np.put_along_axis(dz, win[..., None], dy[..., None], -1)
        return {"b": dz.sum(0), "W": np.tensordot(x, dz, (0, 0)), "x": np.tensordot(dz, W, ((1, 2), (1, 2)))}

    r = np.random.RandomState(741)
    return pack(fwd, bwd, dict(x=r.randn(4, 3), W=r.randn(3, 4, 3), b=r.randn(4, 3)))


@item("audio decoder, transposed convolution with loops", right=True)
def conv_transpose_1d():
    def up(x, w, b, stride):
        N, C, L = x.shape
        _, O, K = w.shape
        y = np.zeros((N, O, (L - 1) * stride + K))
        for t in range(L):
            y[:, :, t * stride:t * stride + K] += np.tensordot(x[:, :, t], w, 1)
        y += b[:, None]
        return y, (x, w, stride)

    def up_back(dy, saved):
        x, w, stride = saved
        K = w.shape[2]
        dx, dw = np.zeros_like(x), np.zeros_like(w)
        for t in range(x.shape[2]):
            g = dy[:, :, t * stride:t * stride + K]
            dx[:, :, t] = np.einsum("nok,cok->nc", g, w)
            dw += np.einsum("nc,nok->cok", x[:, :, t], g)
        return dx, dw, dy.sum((0, 2))

    g = np.random.default_rng(742)
    return pack(up, up_back, dict(x=g.normal(size=(3, 2, 4)), w=g.normal(size=(2, 3, 3)), b=g.normal(size=3)), stride=2)


@item("mobile network, stride tricks, NHWC", right=True)
def depthwise_conv_nhwc():
    def dw_forward(x, k):
        win = np.lib.stride_tricks.sliding_window_view(x, k.shape[:2], axis=(1, 2))   # N, h, w, C, kh, kw
        return np.einsum("nhwcij,ijc->nhwc", win, k), (win, k, x.shape)

    def dw_backward(dy, cache):
        win, k, shape = cache
        dk = np.einsum("nhwcij,nhwc->ijc", win, dy)
        kh, kw = k.shape[:2]
        padded = np.pad(dy, ((0, 0), (kh - 1,) * 2, (kw - 1,) * 2, (0, 0)))
        w2 = np.lib.stride_tricks.sliding_window_view(padded, (kh, kw), axis=(1, 2))
        return np.einsum("nhwcij,ijc->nhwc", w2, k[::-1, ::-1]), dk

    r = np.random.RandomState(743)
    return pack(dw_forward, dw_backward, dict(x=r.randn(3, 3, 2, 2), k=r.randn(2, 2, 2)))


@item("activation zoo, 0-d learned parameter", right=True)
def swish_learned_beta():
    def swish(x, beta):
        s = 0.5 * (1 + np.tanh(0.5 * beta * x))
        y = x * s
        return y, (x, beta, s, y)

    def swish_grad(dy, cache):
        x, beta, s, y = cache
        dx = dy * (beta * y + s * (1 - beta * y))
        dbeta = np.sum(dy * x * y * (1 - s))
        return {"x": dx, "beta": dbeta}

    r = np.random.RandomState(744)
    return pack(swish, swish_grad, dict(x=np.concatenate([r.randn(4, 4), [[-40., 60., 0., 1e-9]]]), beta=np.array(1.3)))


@item("speech code, peepholes and coupled gates", right=True)
def lstm_peephole_coupled():
    sg = lambda a: 1 / (1 + np.exp(-a))

    def cell(x, c0, A, pf, po):
        af, ao, ag = np.split(x @ A, 3, axis=1)
        f = sg(af + pf * c0)
        g = np.tanh(ag)
        c = f * c0 + (1 - f) * g
        o = sg(ao + po * c)
        return np.concatenate([o * np.tanh(c), c], 1), (x, c0, A, pf, po, f, g, c, o)

    def cell_back(dhc, tape):
        x, c0, A, pf, po, f, g, c, o = tape
        dh, dc = np.hsplit(dhc, 2)
        tc = np.tanh(c)
        dao = dh * tc * o * (1 - o)
        dc = dc + dh * o * (1 - tc * tc) + dao * po
        daf = dc * (c0 - g) * f * (1 - f)
        dag = dc * (1 - f) * (1 - g * g)
        da = np.concatenate((daf, dao, dag), axis=-1)
        return da @ A.T, dc * f + daf * pf, x.T @ da, (daf * c0).sum(0), (dao * c).sum(0)

    r = np.random.RandomState(745)
    return pack(cell, cell_back, dict(x=r.randn(4, 3), c0=r.randn(4, 3), A=r.randn(3, 9), pf=r.randn(3), po=r.randn(3)))


@item("activation with extreme arguments", right=True)
def mish_extremes():
    def mish(x):
        t = np.tanh(np.logaddexp(0, x))
        return x * t, (x, t)

    def mish_bwd(dy, c):
        x, t = c
        slope = np.exp(-np.logaddexp(0, -x))
        return dy * (t + x * (1 + t) * (1 - t) * slope)

    r = np.random.RandomState(746)
    x = np.r_[r.randn(8) * 2, -90.0, 90.0, -1e-8, 25.0].reshape(3, 4)
    return pack(mish, mish_bwd, dict(x=x))


@item("vision block, squeeze and excitation", right=True)
def squeeze_excite():
    def se(x, W1, W2):
        s = x.mean(axis=(2, 3))
        h = s @ W1
        a = h * (h > 0)
        gate = 1 / (1 + np.exp(-(a @ W2)))
        return x * gate[:, :, None, None], (x, s, h, a, gate, W1, W2)

    def se_backward(dy, cache):
        x, s, h, a, gate, W1, W2 = cache
        dpre = (dy * x).sum((2, 3)) * gate * (1 - gate)
        dh = dpre @ W2.T
        dh[h <= 0] = 0
        dx = dy * gate[:, :, None, None]
        dx += (dh @ W1.T)[:, :, None, None] / (x.shape[2] * x.shape[3])
        return {"W2": a.T @ dpre, "W1": s.T @ dh, "x": dx}

    g = np.random.default_rng(747)
    return pack(se, se_backward, dict(x=g.normal(size=(3, 3, 2, 2)), W1=g.normal(size=(3, 2)), W2=g.normal(size=(2, 3))))


@item("GAN code, spectral normalisation with fixed u, v", right=True)
def spectral_norm_linear():
    def forward(x, W, u, v):
        sigma = u @ W @ v
        return x @ (W / sigma).T, (x, W, u, v, sigma)

    def backward(dy, c):
        x, W, u, v, sigma = c
        G = dy.T @ x / sigma
        return {"W": G - (np.vdot(G, W) / sigma) * np.outer(u, v), "x": dy @ W / sigma}

    r = np.random.RandomState(748)
    W = r.randn(4, 3)
    U, _, Vt = np.linalg.svd(W)
    return pack(forward, backward, dict(x=r.randn(5, 3), W=W), u=U[:, 0] + 0.02, v=Vt[0] - 0.01)


@item("text classifier, masked mean and max pooling joined", right=True)
def masked_mean_max_pool():
    def pool(x, lengths):
        mask = np.arange(x.shape[1]) < lengths[:, None]
        mean = (x * mask[..., None]).sum(1) / lengths[:, None]
        arg = np.where(mask[..., None], x, -np.inf).argmax(1)
        mx = np.take_along_axis(x, arg[:, None], 1)[:, 0]
        return np.concatenate([mean, mx], -1), (mask, arg, lengths, x.shape)

    def pool_bwd(dy, c):
        mask, arg, lengths, shape = c
        D = shape[2]
        dx = mask[..., None] * (dy[:, :D] / lengths[:, None])[:, None]
        n, d = np.ogrid[:shape[0], :D]
        dx[n, arg, d] += dy[:, D:]
        return dx

    r = np.random.RandomState(749)
    return pack(pool, pool_bwd, dict(x=r.randn(3, 4, 3)), lengths=np.array([4, 1, 2]))


@item("language model, tied input and output table", right=True)
def tied_embedding_loss():
    def loss(E, ctx, nxt):
        h = E[ctx].mean(axis=1)
        z = h @ E.T
        z -= z.max(axis=1, keepdims=True)
        logp = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
        return -logp[np.arange(len(nxt)), nxt].sum(), (E, ctx, nxt, h, np.exp(logp))

    def loss_grad(d, cache):
        E, ctx, nxt, h, p = cache
        dz = d * p
        dz[np.arange(len(nxt)), nxt] -= d
        dE = dz.T @ h
        np.add.at(dE, ctx, (dz @ E / ctx.shape[1])[:, None, :])
        return dE

    r = np.random.RandomState(750)
    return pack(loss, loss_grad, dict(E=r.randn(7, 4)), ctx=np.array([[0, 0, 3], [1, 6, 3], [2, 2, 2], [5, 4, 0]]), nxt=np.array([3, 0, 2, 2]))


@item("recommender, bags by offsets with sample weights", right=True)
def embedding_bag_offsets():
    def bag(table, weights, ids, offsets):
        rows = weights[:, None] * table[ids]
        return np.add.reduceat(rows, offsets, axis=0), (table, weights, ids, offsets)

    def bag_backward(dout, saved):
        table, weights, ids, offsets = saved
        which = np.searchsorted(offsets, np.arange(ids.size), side="right") - 1
        per = dout[which]
        onehot = (ids[:, None] == np.arange(table.shape[0])).astype(float)
        return {"table": onehot.T @ (weights[:, None] * per), "weights": np.einsum("id,id->i", per, table[ids])}

    r = np.random.RandomState(751)
    return pack(bag, bag_backward, dict(table=r.randn(6, 3), weights=r.randn(8)),
                ids=np.array([1, 1, 4, 0, 5, 1, 2, 2]), offsets=np.array([0, 3, 4, 6]))


@item("whitening-like instance norm, in place on own buffers", right=True)
def instance_norm_inplace():
    def inorm(x, g, b):
        c = x - x.mean((2, 3), keepdims=True)
        inv = (np.square(c).mean((2, 3), keepdims=True) + 1e-5) ** -0.5
        c *= inv
        y = c * g[:, None, None]
        y += b[:, None, None]
        return y, (c, inv, g)

    def inorm_bwd(dy, cache):
        c, inv, g = cache
        dg = np.einsum("nchw,nchw->c", dy, c)
        buf = dy * g[:, None, None]
        buf -= c * (buf * c).mean((2, 3), keepdims=True)
        buf -= buf.mean((2, 3), keepdims=True)
        buf *= inv
        return buf, dg, np.einsum("nchw->c", dy)

    r = np.random.RandomState(752)
    return pack(inorm, inorm_bwd, dict(x=r.randn(3, 2, 2, 3) * 30 + 500, g=r.randn(2), b=r.randn(2)))


@item("forecasting, quantile loss, scalar", right=True)
def pinball_loss_many_quantiles():
    def pinball(pred, bias, obs, taus):
        e = obs[:, None] - (pred + bias)
        return np.maximum(taus * e, (taus - 1) * e).mean(), (e, taus)

    def pinball_back(dl, c):
        e, taus = c
        d = dl * ((e < 0) - taus) / e.size
        return d, d.sum()

    r = np.random.RandomState(753)
    return pack(pinball, pinball_back, dict(pred=r.randn(5, 3), bias=np.array(0.2)), obs=r.randn(5), taus=np.array([0.1, 0.5, 0.9]))


@item("causal attention with minus infinity and linear position bias", right=True)
def causal_alibi_attention():
    def attn(q, kv, slope):
        T = q.shape[1]
        dist = np.subtract.outer(np.arange(T), np.arange(T))
        s = q @ kv.transpose(0, 2, 1) - slope * dist
        s = np.where(dist >= 0, s, -np.inf)
        w = np.exp(s - s.max(-1, keepdims=True))
        w /= w.sum(-1, keepdims=True)
        return w @ kv, (q, kv, w, dist)

    def attn_back(g, c):
        q, kv, w, dist = c
        gw = g @ kv.transpose(0, 2, 1)
        gs = w * gw
        gs -= w * gs.sum(-1, keepdims=True)
        gkv = w.transpose(0, 2, 1) @ g
        gkv += gs.transpose(0, 2, 1) @ q
        return {"q": gs @ kv, "kv": gkv, "slope": -(gs * dist).sum()}

    r = np.random.RandomState(754)
    return pack(attn, attn_back, dict(q=r.randn(3, 4, 3), kv=r.randn(3, 4, 3), slope=np.array(0.5)))


@item("linear attention with elu+1 feature map, research code", right=True)
def linear_attention_elu():
    phi = lambda a: np.where(a > 0, a + 1, np.exp(np.minimum(a, 0)))
    dphi = lambda a: np.exp(np.minimum(a, 0))

    def fwd(q, k, v):
        Q, K = phi(q), phi(k)
        S = np.einsum("btd,bte->bde", K, v)
        z = K.sum(1)
        den = np.einsum("btd,bd->bt", Q, z)
        y = np.einsum("btd,bde->bte", Q, S) / den[..., None]
        return y, (q, k, v, Q, K, S, z, den, y)

    def bwd(dy, c):
        q, k, v, Q, K, S, z, den, y = c
        dnum = dy / den[..., None]
        dden = -(dnum * y).sum(-1)
        dQ = np.einsum("bte,bde->btd", dnum, S) + dden[..., None] * z[:, None]
        dS = np.einsum("btd,bte->bde", Q, dnum)
        dz = np.einsum("bt,btd->bd", dden, Q)
        dK = np.einsum("bte,bde->btd", v, dS) + dz[:, None]
        return dQ * dphi(q), dK * dphi(k), np.einsum("btd,bde->bte", K, dS)

    r = np.random.RandomState(755)
    return pack(fwd, bwd, dict(q=r.randn(3, 3, 2), k=r.randn(3, 4, 2), v=r.randn(3, 4, 3)))


@item("segmentation, soft Dice with class weights", right=True)
def soft_dice_loss():
    class Dice:
        smooth = 1.0

        def forward(self, logits, mask, weight):
            self.mask, self.weight = mask, weight
            self.p = p = 1 / (1 + np.exp(-logits))
            self.inter = (p * mask).sum((0, 2))
            self.total = (p + mask).sum((0, 2)) + self.smooth
            self.score = (2 * self.inter + self.smooth) / self.total
            return float(weight @ (1 - self.score))

        def backward(self, up=1.0):
            num = self.score[:, None] - 2 * self.mask
            return up * (self.weight / self.total)[:, None] * num * self.p * (1 - self.p)

    def fwd(logits, mask, weight):
        d = Dice()
        return d.forward(logits, mask, weight), d

    r = np.random.RandomState(756)
    return pack(fwd, lambda dy, d: {"logits": d.backward(dy)}, dict(logits=r.randn(3, 2, 6)),
                mask=(r.rand(3, 2, 6) > 0.6).astype(np.int64), weight=np.array([0.3, 1.7]))
