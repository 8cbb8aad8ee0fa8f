from typing import NamedTuple, Callable
import numpy as np
from scipy.special import expit, logsumexp, ndtr


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


def wrong(name, style, slip, inputs, causes):
    def deco(make):
        ITEMS.append(Item(name, style, "vjp", make, False, slip, tuple(inputs), tuple(causes)))
        return make
    return deco


def right(name, style):
    def deco(make):
        ITEMS.append(Item(name, style, "vjp", make, True))
        return make
    return deco


# ---------------------------------------------------------------- transformer blog
def gelu(x):
    c = np.sqrt(2 / np.pi)
    t = np.tanh(c * (x + 0.044715 * x ** 3))
    return 0.5 * x * (1 + t), (x, t)


def gelu_grad(dout, cache):
    x, t = cache
    c = np.sqrt(2 / np.pi)
    dinner = c * (1 + 0.044715 * x ** 2)
    return dout * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * dinner)


@wrong("gelu_tanh", "transformer blog post", "inner derivative of 0.044715 x^3 lacks the 3", ["x"],
       ["elementwise-factor", "factor", "missing-term"])
def _(seed=0):
    r = np.random.default_rng(seed)
    return dict(forward=gelu, backward=gelu_grad, inputs=dict(x=1.5 * r.standard_normal((4, 6))))


# ---------------------------------------------------------------- layer norm, nanoGPT-like
def ln_forward(inp, weight, bias, eps=1e-5):
    mean = inp.mean(-1, keepdims=True)
    xc = inp - mean
    rstd = 1.0 / np.sqrt((xc ** 2).mean(-1, keepdims=True) + eps)
    norm = xc * rstd
    return norm * weight + bias, dict(norm=norm, rstd=rstd, weight=weight)


def ln_backward(dout, cache):
    norm, rstd, weight = cache["norm"], cache["rstd"], cache["weight"]
    dweight = (dout * norm).sum((0, 1))
    dbias = dout.sum((0, 1))
    dnorm = dout
    dinp = dnorm - dnorm.mean(-1, keepdims=True) - norm * (dnorm * norm).mean(-1, keepdims=True)
    return dict(inp=dinp * rstd, weight=dweight, bias=dbias)


@wrong("layernorm_btc", "minimal GPT code", "dnorm is dout, should be dout * weight", ["inp"], ["elementwise-factor"])
def _(seed=1):
    r = np.random.default_rng(seed)
    return dict(forward=ln_forward, backward=ln_backward,
                inputs=dict(inp=r.standard_normal((2, 3, 5)), weight=1 + .6 * r.standard_normal(5), bias=r.standard_normal(5)))


# ---------------------------------------------------------------- batchnorm, CS231n
def batchnorm_forward(x, gamma, beta, eps):
    N, D = x.shape
    mu = 1. / N * np.sum(x, axis=0)
    xmu = x - mu
    var = 1. / N * np.sum(xmu ** 2, axis=0)
    sqrtvar = np.sqrt(var + eps)
    ivar = 1. / sqrtvar
    xhat = xmu * ivar
    out = gamma * xhat + beta
    return out, (xhat, gamma, xmu, ivar, sqrtvar, var, eps)


def batchnorm_backward(dout, cache):
    xhat, gamma, xmu, ivar, sqrtvar, var, eps = cache
    N, D = dout.shape
    dbeta = np.sum(dout, axis=0)
    dgamma = np.sum(dout * xhat, axis=0)
    dxhat = dout * gamma
    divar = np.sum(dxhat * xmu, axis=0)
    dxmu1 = dxhat * ivar
    dsqrtvar = -1. / sqrtvar ** 2 * divar
    dvar = 1. / np.sqrt(var + eps) * dsqrtvar
    dsq = 1. / N * np.ones((N, D)) * dvar
    dxmu2 = 2 * xmu * dsq
    dx1 = dxmu1 + dxmu2
    dmu = -np.sum(dx1, axis=0)
    dx2 = 1. / N * np.ones((N, D)) * dmu
    return dx1 + dx2, dgamma, dbeta


@wrong("batchnorm_staged", "CS231n assignment", "derivative of the square root lacks 0.5", ["x"],
       ["factor", "elementwise-factor", "missing-term"])
def _(seed=2):
    r = np.random.default_rng(seed)
    return dict(forward=batchnorm_forward, backward=batchnorm_backward, constants=dict(eps=1e-5),
                inputs=dict(x=2 * r.standard_normal((7, 4)) + 1, gamma=1 + .3 * r.standard_normal(4), beta=r.standard_normal(4)))


# ---------------------------------------------------------------- conv, CS231n loops
def conv_forward_naive(x, w, b, conv_param):
    s, p = conv_param["stride"], conv_param["pad"]
    N, C, H, W = x.shape
    F, _, HH, WW = w.shape
    xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    Ho, Wo = 1 + (H + 2 * p - HH) // s, 1 + (W + 2 * p - WW) // s
    out = np.zeros((N, F, Ho, Wo))
    for n in range(N):
        for f in range(F):
            for i in range(Ho):
                for j in range(Wo):
                    out[n, f, i, j] = np.sum(xp[n, :, i * s:i * s + HH, j * s:j * s + WW] * w[f]) + b[f]
    return out, (x, w, b, conv_param)


def conv_backward_naive(dout, cache):
    x, w, b, conv_param = cache
    s, p = conv_param["stride"], conv_param["pad"]
    F, _, HH, WW = w.shape
    N, _, Ho, Wo = dout.shape
    xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    dxp, dw = np.zeros_like(xp), np.zeros_like(w)
    for n in range(N):
        for i in range(Ho):
            for j in range(Wo):
                win = np.s_[n, :, i * s:i * s + HH, j * s:j * s + WW]
                g = dout[n, :, i, j]
                dw += g[:, None, None, None] * xp[win]
                dxp[win] = np.tensordot(g, w, axes=1)
    H, W = x.shape[2:]
    return {"x": dxp[:, :, p:p + H, p:p + W], "w": dw, "b": dout.sum(axis=(0, 2, 3))}


@wrong("conv_naive", "CS231n assignment", "overlapping windows are assigned to dx with =, should be +=", ["x"], ["missing-term"])
def _(seed=3):
    r = np.random.default_rng(seed)
    return dict(forward=conv_forward_naive, backward=conv_backward_naive, constants=dict(conv_param={"stride": 1, "pad": 1}),
                inputs=dict(x=r.standard_normal((1, 2, 4, 4)), w=r.standard_normal((2, 2, 3, 3)), b=r.standard_normal(2)))


# ---------------------------------------------------------------- average pooling
class AvgPool2d:
    def __init__(self, k):
        self.k = k

    def __call__(self, x):
        n, c, h, w = x.shape
        k = self.k
        return x.reshape(n, c, h // k, k, w // k, k).mean(axis=(3, 5))

    def backward(self, grad):
        return np.repeat(np.repeat(grad, self.k, axis=2), self.k, axis=3) / self.k


@wrong("avgpool_repeat", "layer library", "divides by k, should be k*k", ["x"], ["factor"])
def _(seed=4):
    r = np.random.default_rng(seed)
    pool = AvgPool2d(2)
    return dict(forward=lambda x: (pool(x), None), backward=lambda dy, cache: pool.backward(dy),
                inputs=dict(x=r.standard_normal((2, 1, 4, 4))))


# ---------------------------------------------------------------- attention
def sdpa(Q, K, V, causal):
    d = Q.shape[-1]
    S = Q @ K.T / np.sqrt(d)
    if causal:
        S = np.where(np.tril(np.ones_like(S)) > 0, S, -np.inf)
    P = np.exp(S - S.max(-1, keepdims=True))
    P /= P.sum(-1, keepdims=True)
    return P @ V, (Q, K, V, P)


def sdpa_bwd(dO, saved):
    Q, K, V, P = saved
    scale = 1 / np.sqrt(Q.shape[-1])
    dV = P.T @ dO
    dP = dO @ V.T
    dS = P * (dP - (dP * P).sum(-1, keepdims=True))
    dQ = dS @ K * scale
    dK = dS.T @ Q
    return dQ, dK, dV


@wrong("causal_attention", "flash attention tutorial", "dK lacks the scale 1/sqrt(d)", ["K"], ["factor"])
def _(seed=5):
    r = np.random.default_rng(seed)
    return dict(forward=sdpa, backward=sdpa_bwd, constants=dict(causal=True),
                inputs=dict(Q=r.standard_normal((5, 3)), K=r.standard_normal((5, 3)), V=r.standard_normal((5, 4))))


class AdditiveAttention:
    """Bahdanau: score_bt = v . tanh(h_bt Wh + s_b Ws), context = sum_t a_bt h_bt"""

    def forward(self, h, s, Wh, Ws, v):
        e = np.tanh(h @ Wh + (s @ Ws)[:, None, :])
        score = e @ v
        a = np.exp(score - score.max(1, keepdims=True))
        a = a / a.sum(1, keepdims=True)
        ctx = np.einsum("bt,btd->bd", a, h)
        return ctx, (h, s, Wh, Ws, v, e, a)

    def backward(self, dctx, cache):
        h, s, Wh, Ws, v, e, a = cache
        dh = a[:, :, None] * dctx[:, None, :]
        da = np.einsum("bd,btd->bt", dctx, h)
        dscore = a * (da - np.sum(a * da, axis=0, keepdims=True))
        dv = np.einsum("bt,btk->k", dscore, e)
        dpre = dscore[..., None] * v * (1 - e ** 2)
        dWh = np.einsum("btd,btk->dk", h, dpre)
        dh = dh + dpre @ Wh.T
        dsum = dpre.sum(1)
        return {"h": dh, "s": dsum @ Ws.T, "Wh": dWh, "Ws": s.T @ dsum, "v": dv}


@wrong("bahdanau_attention", "NLP course (neural translation)", "softmax backward sums over the batch axis, should be the time axis",
       ["h", "s", "Wh", "Ws", "v"], ["shape", "batch-sum", "missing-term"])
def _(seed=6):
    r = np.random.default_rng(seed)
    att = AdditiveAttention()
    n = r.standard_normal
    return dict(forward=att.forward, backward=att.backward,
                inputs=dict(h=n((3, 4, 2)), s=n((3, 3)), Wh=n((2, 5)), Ws=n((3, 5)), v=n(5)))


# ---------------------------------------------------------------- embedding
def embed(W, idx):
    return W[idx], (W.shape, idx)


def embed_backward(dy, cache):
    shape, idx = cache
    dW = np.zeros(shape)
    dW[idx] += dy
    return dW


@wrong("embedding_lookup", "NLP homework", "dW[idx] += dy loses repeated tokens; np.add.at is right", ["W"], ["missing-term", "batch-sum"])
def _(seed=7):
    r = np.random.default_rng(seed)
    return dict(forward=embed, backward=embed_backward, inputs=dict(W=r.standard_normal((6, 4))),
                constants=dict(idx=np.array([[1, 3, 3], [0, 1, 5]])))


# ---------------------------------------------------------------- BCE pos weight
def bce_with_logits(logits, target, pos_weight):
    log_weight = 1 + (pos_weight - 1) * target
    loss = (1 - target) * logits + log_weight * (np.log1p(np.exp(-np.abs(logits))) + np.maximum(-logits, 0))
    return loss.mean(), (logits, target, log_weight)


def bce_with_logits_backward(dloss, cache):
    logits, target, log_weight = cache
    p = expit(logits)
    grad = p - target
    return dloss * grad / logits.size


@wrong("bce_pos_weight", "vision research code (multi-label)", "grad lacks pos_weight in the positives: should be log_weight * (p - target)",
       ["logits"], ["elementwise-factor"])
def _(seed=8):
    r = np.random.default_rng(seed)
    return dict(forward=bce_with_logits, backward=bce_with_logits_backward, inputs=dict(logits=2 * r.standard_normal((5, 3))),
                constants=dict(target=np.array([[1, 0, 1], [0, 0, 1], [1, 1, 0], [0, 1, 0], [0, 0, 1.]]), pos_weight=np.array([3., .5, 2.])))


# ---------------------------------------------------------------- label smoothing
class LabelSmoothingCE:
    def __init__(self, classes, smoothing=0.1):
        self.K, self.eps = classes, smoothing

    def forward(self, scores, labels):
        onehot = np.eye(self.K)[labels]
        q = (1 - self.eps) * onehot + self.eps / self.K
        logp = scores - logsumexp(scores, axis=1, keepdims=True)
        self.p, self.q, self.onehot = np.exp(logp), q, onehot
        return -(q * logp).sum(1)

    def backward(self, dl):
        return dl[:, None] * (self.p - self.onehot)


@wrong("label_smoothing_rows", "layer library", "backward uses the one-hot targets, should be the smoothed ones", ["scores"],
       ["missing-term", "elementwise-factor"])
def _(seed=9):
    r = np.random.default_rng(seed)
    ce = LabelSmoothingCE(4, 0.2)
    return dict(forward=lambda scores, labels: (ce.forward(scores, labels), None), backward=lambda dy, c: (ce.backward(dy),),
                inputs=dict(scores=r.standard_normal((5, 4))), constants=dict(labels=np.array([0, 3, 2, 1, 3])))


# ---------------------------------------------------------------- RMSNorm
def rmsnorm(x, g):
    inv = (np.mean(np.square(x), axis=-1, keepdims=True) + 1e-6) ** -0.5
    return x * inv * g, (x, g, inv)


def rmsnorm_vjp(ct, res):
    x, g, inv = res
    dg = np.sum(ct * x * inv, axis=0)
    u = ct * g
    dx = u * inv
    return dx, dg


@wrong("rmsnorm", "JAX-style LLM code", "rms is held constant: - x inv^3 mean(u x) is missing in dx", ["x"], ["missing-term"])
def _(seed=10):
    r = np.random.default_rng(seed)
    return dict(forward=rmsnorm, backward=rmsnorm_vjp, inputs=dict(x=r.standard_normal((4, 6)), g=1 + .3 * r.standard_normal(6)))


# ---------------------------------------------------------------- GRU
def gru_cell(x, h, W, U, b):
    H = h.shape[1]
    gx = x @ W + b
    gh = h @ U
    z = expit(gx[:, :H] + gh[:, :H])
    r = expit(gx[:, H:2 * H] + gh[:, H:2 * H])
    n = np.tanh(gx[:, 2 * H:] + r * gh[:, 2 * H:])
    hn = (1 - z) * n + z * h
    return hn, (x, h, W, U, z, r, n, gh[:, 2 * H:])


def gru_cell_backward(dhn, cache):
    x, h, W, U, z, r, n, ghn = cache
    dz = dhn * (h - n) * z * (1 - z)
    dn = dhn * (1 - z) * (1 - n ** 2)
    dr = dn * ghn * r * (1 - r)
    dgx = np.hstack([dz, dr, dn])
    dgh = np.hstack([dz, dr, dn * r])
    dh = dgh @ U.T
    return {"x": dgx @ W.T, "h": dh, "W": x.T @ dgx, "U": h.T @ dgh, "b": dgx.sum(0)}


@wrong("gru_cell", "speech research code", "the direct path dhn * z is missing in dh", ["h"], ["missing-term"])
def _(seed=11):
    r = np.random.default_rng(seed)
    n = r.standard_normal
    return dict(forward=gru_cell, backward=gru_cell_backward,
                inputs=dict(x=n((4, 2)), h=n((4, 3)), W=n((2, 9)), U=n((3, 9)), b=n(9)))


# ---------------------------------------------------------------- cosine
def cosine_similarity(a, b):
    na, nb = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
    c = np.einsum("ij,ij->i", a, b) / (na * nb)
    return c, (a, b, na, nb, c)


def cosine_similarity_backward(dc, cache):
    a, b, na, nb, c = cache
    da = dc[:, None] * (b / (na * nb)[:, None] - (c / na ** 2)[:, None] * a)
    db = dc[:, None] * (a / (na * nb)[:, None] - (c / nb)[:, None] * b)
    return {"a": da, "b": db}


@wrong("cosine_similarity", "metric learning repository", "second term of db divides by |b|, should be |b|^2", ["b"],
       ["elementwise-factor", "missing-term"])
def _(seed=12):
    r = np.random.default_rng(seed)
    return dict(forward=cosine_similarity, backward=cosine_similarity_backward,
                inputs=dict(a=r.standard_normal((5, 3)), b=2 * r.standard_normal((5, 3)) + 1))


# ---------------------------------------------------------------- RoPE
def rope(q, base):
    T, d = q.shape
    freq = base ** (-np.arange(0, d, 2) / d)
    ang = np.arange(T)[:, None] * freq[None]
    cos, sin = np.cos(ang), np.sin(ang)
    out = np.empty_like(q)
    out[:, 0::2] = q[:, 0::2] * cos - q[:, 1::2] * sin
    out[:, 1::2] = q[:, 0::2] * sin + q[:, 1::2] * cos
    return out, (cos, sin)


def rope_backward(dout, cache):
    cos, sin = cache
    dq = np.empty_like(dout)
    de, do = dout[:, 0::2], dout[:, 1::2]
    dq[:, 0::2] = de * cos - do * sin
    dq[:, 1::2] = de * sin + do * cos
    return dq


@wrong("rotary_embedding", "minimal GPT code", "the gradient is rotated forwards; should be rotated back (transposed rotation, -sin)", ["q"],
       ["transpose", "sign"])
def _(seed=13):
    r = np.random.default_rng(seed)
    return dict(forward=rope, backward=rope_backward, inputs=dict(q=r.standard_normal((5, 4))), constants=dict(base=100.0))


# ---------------------------------------------------------------- PReLU
class PReLU:
    def forward(self, x, alpha):
        self.x, self.alpha = x, alpha[None, :, None]
        return np.where(x > 0, x, self.alpha * x)

    def backward(self, g):
        dx = g * np.where(self.x > 0, 1.0, self.alpha)
        dalpha = (g * self.x).sum(axis=(0, 2))
        return dx, dalpha


@wrong("prelu_channels", "vision library", "dalpha sums over all x, should only over x <= 0", ["alpha"],
       ["elementwise-factor", "missing-term"])
def _(seed=14):
    r = np.random.default_rng(seed)
    act = PReLU()
    x = r.standard_normal((3, 2, 5))
    x = x + .1 * np.sign(x)
    return dict(forward=lambda x, alpha: (act.forward(x, alpha), act), backward=lambda dy, a: a.backward(dy),
                inputs=dict(x=x, alpha=np.array([.25, .1])))


# ---------------------------------------------------------------- bilinear
def bilinear(head, dep, W, b):
    s = np.einsum("bi,kij,bj->bk", head, W, dep) + b
    return s, (head, dep, W)


def bilinear_backward(ds, cache):
    head, dep, W = cache
    dW = np.zeros_like(W)
    dhead, ddep = np.zeros_like(head), np.zeros_like(dep)
    for k in range(W.shape[0]):
        g = ds[:, k:k + 1]
        dW[k] = (g * head).T @ dep
        dhead += g * (dep @ W[k])
        ddep += g * (head @ W[k])
    return dict(head=dhead, dep=ddep, W=dW, b=ds.sum(axis=0))


@wrong("biaffine_scorer", "NLP dependency parser", "dhead uses W[k], should be W[k].T", ["head"], ["transpose"])
def _(seed=15):
    r = np.random.default_rng(seed)
    n = r.standard_normal
    return dict(forward=bilinear, backward=bilinear_backward, inputs=dict(head=n((4, 3)), dep=n((4, 3)), W=n((2, 3, 3)), b=n(2)))


# ---------------------------------------------------------------- GCN
class GraphConv:
    def __init__(self, adj):
        a = adj + np.eye(len(adj))
        self.A = a / a.sum(1, keepdims=True)      # random-walk normalisation

    def forward(self, X, W):
        self.X, self.W = X, W
        self.AX = self.A @ X
        self.out = np.tanh(self.AX @ W)
        return self.out

    def backward(self, dOut):
        dZ = dOut * (1 - self.out ** 2)
        return {"X": self.A @ (dZ @ self.W.T), "W": self.AX.T @ dZ}


@wrong("gcn_random_walk", "graph network tutorial", "dX uses A, should be A.T (A is not symmetric)", ["X"], ["transpose"])
def _(seed=16):
    r = np.random.default_rng(seed)
    adj = np.array([[0, 1, 1, 1, 0], [1, 0, 0, 0, 0], [1, 0, 0, 1, 0], [1, 0, 1, 0, 1], [0, 0, 0, 1, 0.]])
    g = GraphConv(adj)
    return dict(forward=lambda X, W: (g.forward(X, W), None), backward=lambda dy, _: g.backward(dy),
                inputs=dict(X=r.standard_normal((5, 3)), W=r.standard_normal((3, 4))))


# ---------------------------------------------------------------- Black-Scholes
def phi(d):
    return np.exp(-d * d / 2) / np.sqrt(2 * np.pi)


def bs_call(spot, vol, rate, strike, T):
    sq = vol * np.sqrt(T)
    d1 = (np.log(spot / strike) + (rate + vol ** 2 / 2) * T) / sq
    d2 = d1 - sq
    df = np.exp(-rate * T)
    return spot * ndtr(d1) - strike * df * ndtr(d2), (spot, vol, rate, strike, T, d1, d2, df)


def bs_call_greeks(dprice, cache):
    spot, vol, rate, strike, T, d1, d2, df = cache
    delta = ndtr(d1)
    vega = spot * phi(d1)
    rho = strike * T * df * ndtr(d2)
    return {"spot": dprice * delta, "vol": dprice * vega, "rate": dprice * rho}


@wrong("black_scholes_greeks", "quantitative finance notebook", "vega lacks sqrt(T)", ["vol"], ["elementwise-factor"])
def _(seed=17):
    r = np.random.default_rng(seed)
    return dict(forward=bs_call, backward=bs_call_greeks,
                inputs=dict(spot=r.uniform(.8, 1.3, 6), vol=r.uniform(.15, .5, 6), rate=r.uniform(.0, .08, 6)),
                constants=dict(strike=np.array([.9, 1, 1.1, 1, .8, 1.2]), T=np.array([.25, .5, 2, 3, 1.5, .75])))


# ---------------------------------------------------------------- quaternion
def quat_rotate(q, p):
    n = np.sqrt((q * q).sum(-1, keepdims=True))
    u = q / n
    w, v = u[:, :1], u[:, 1:]
    t = 2 * np.cross(v, p)
    return p + w * t + np.cross(v, t), (n, u, p, t)


def quat_rotate_backward(g, ctx):
    n, u, p, t = ctx
    w, v = u[:, :1], u[:, 1:]
    dw = (g * t).sum(-1, keepdims=True)
    dt = w * g + np.cross(g, v)
    dv = np.cross(t, g) + 2 * np.cross(p, dt)
    dp = g + 2 * np.cross(dt, v)
    du = np.concatenate([dw, dv], axis=-1)
    dq = du / n
    return {"q": dq, "p": dp}


@wrong("quaternion_rotate", "graphics code (pose fitting)", "backward through the normalisation lacks the projection: (du - u (u.du)) / n", ["q"],
       ["missing-term"])
def _(seed=18):
    r = np.random.default_rng(seed)
    return dict(forward=quat_rotate, backward=quat_rotate_backward,
                inputs=dict(q=r.standard_normal((4, 4)), p=r.standard_normal((4, 3))))


# ---------------------------------------------------------------- weight norm
def wn_linear(x, v, g, b):
    norm = np.linalg.norm(v, axis=1)              # v: (out, in)
    w = (g / norm)[:, None] * v
    return x @ w.T + b, (x, v, g, norm, w)


def wn_linear_backward(dy, cache):
    x, v, g, norm, w = cache
    dw = dy.T @ x
    vhat = v / norm[:, None]
    dg = (dw * vhat).sum(1)
    dv = (dw - dg[:, None] * vhat) / norm[:, None]
    return dy @ w, dv, dg, dy.sum(0)


@wrong("weight_norm_linear", "audio (WaveNet) code", "dv lacks the gain g: (g/|v|)(dw - dg vhat)", ["v"], ["elementwise-factor"])
def _(seed=19):
    r = np.random.default_rng(seed)
    n = r.standard_normal
    return dict(forward=wn_linear, backward=wn_linear_backward,
                inputs=dict(x=n((5, 4)), v=n((3, 4)), g=np.exp(.7 * n(3)) + .3, b=n(3)))


# ---------------------------------------------------------------- PPO
def ppo_loss(logp, logp_old, adv, clip):
    ratio = np.exp(logp - logp_old)
    surr1 = ratio * adv
    surr2 = np.clip(ratio, 1 - clip, 1 + clip) * adv
    return -np.minimum(surr1, surr2).mean(), (ratio, surr1, surr2, adv)


def ppo_loss_backward(dloss, cache):
    ratio, surr1, surr2, adv = cache
    active = surr1 <= surr2
    return dloss * np.where(active, -adv, 0.0) / len(adv)


@wrong("ppo_clip", "RL research code", "d ratio / d logp = ratio is missing", ["logp"], ["elementwise-factor"])
def _(seed=20):
    r = np.random.default_rng(seed)
    old = -1 - r.random(9)
    step = np.array([.05, -.1, .5, -.5, .6, -.7, .1, -.35, .3])
    adv = np.array([1.2, -.6, 1.5, 2.0, -1.1, -.4, -.8, .9, -.5]) * r.uniform(.8, 1.2, 9)
    return dict(forward=ppo_loss, backward=ppo_loss_backward, inputs=dict(logp=old + step), constants=dict(logp_old=old, adv=adv, clip=.2))


# ---------------------------------------------------------------- mutating leaky relu
class LeakyReLU:
    slope = 0.1

    def forward(self, X):
        self.neg = X < 0
        return np.where(self.neg, self.slope * X, X)

    def backward(self, delta):
        out = delta
        out[self.neg] *= self.slope
        return out


@wrong("leaky_relu_inplace", "from-scratch deep learning book", "backward scales the caller's gradient in place; should copy first", ["X"], ["mutates-input"])
def _(seed=21):
    r = np.random.default_rng(seed)
    a = LeakyReLU()
    x = r.standard_normal((4, 5))
    return dict(forward=lambda X: (a.forward(X), None), backward=lambda dy, c: {"X": a.backward(dy)}, inputs=dict(X=x + .1 * np.sign(x)))


# ---------------------------------------------------------------- accumulating conv1d
class Conv1d:
    """x (N, C, T), W (F, C, K), valid, dilation"""

    def __init__(self, dilation=1):
        self.dil = dilation
        self.grads = {}

    def forward(self, x, W):
        self.x, self.W = x, W
        K = W.shape[2]
        T = x.shape[2] - self.dil * (K - 1)
        return sum(np.einsum("nct,fc->nft", x[:, :, k * self.dil:k * self.dil + T], W[:, :, k]) for k in range(K))

    def backward(self, dy):
        T = dy.shape[2]
        dx = np.zeros_like(self.x)
        if "W" not in self.grads:
            self.grads["W"] = np.zeros_like(self.W)
        for k in range(self.W.shape[2]):
            sl = slice(k * self.dil, k * self.dil + T)
            self.grads["W"][:, :, k] += np.einsum("nft,nct->fc", dy, self.x[:, :, sl])
            dx[:, :, sl] += np.einsum("nft,fc->nct", dy, self.W[:, :, k])
        return dx


def _conv1d_bwd(layer, dy):
    dx = layer.backward(dy)
    return {"x": dx, "W": layer.grads["W"].copy()}


@wrong("dilated_conv1d_grads", "layer library", "grads['W'] is made once and never zeroed: a second backward adds to the first", ["W"], ["accumulates"])
def _(seed=22):
    r = np.random.default_rng(seed)
    layer = Conv1d(2)
    return dict(forward=lambda x, W: (layer.forward(x, W), layer), backward=lambda dy, l: _conv1d_bwd(l, dy),
                inputs=dict(x=r.standard_normal((2, 2, 8)), W=r.standard_normal((3, 2, 3))))


# ---------------------------------------------------------------- Lennard-Jones
def lj_energy(pos, epsilon, sigma):
    E = 0.0
    n = len(pos)
    for i in range(n):
        for j in range(i + 1, n):
            r2 = np.sum((pos[i] - pos[j]) ** 2)
            s6 = (sigma ** 2 / r2) ** 3
            E += 4 * epsilon * (s6 ** 2 - s6)
    return np.array(E), (pos, epsilon, sigma)


def lj_forces(dE, cache):
    pos, epsilon, sigma = cache
    grad = np.zeros_like(pos)
    for i in range(len(pos)):
        for j in range(i + 1, len(pos)):
            rij = pos[i] - pos[j]
            r2 = rij @ rij
            s6 = (sigma ** 2 / r2) ** 3
            f = 4 * epsilon * (-12 * s6 ** 2 + 6 * s6) / r2 * rij
            grad[i] += f
    return {"pos": dE * grad}


@wrong("lennard_jones", "molecular dynamics course", "the second particle of a pair gets no force: grad[j] -= f is missing", ["pos"],
       ["missing-term", "zero"])
def _(seed=23):
    r = np.random.default_rng(seed)
    base = np.array([[0, 0, 0], [1.2, 0, 0], [0, 1.2, 0], [0, 0, 1.2], [1.2, 1.2, 0.]])
    return dict(forward=lj_energy, backward=lj_forces, inputs=dict(pos=base + .05 * r.standard_normal((5, 3))), constants=dict(epsilon=.8, sigma=1.0))


# ---------------------------------------------------------------- dropout block
class DropoutAffine:
    def __init__(self, p, seed):
        self.p = p
        self.rng = np.random.default_rng(seed)

    def forward(self, x, W):
        mask = (self.rng.random(x.shape) >= self.p) / (1 - self.p)
        xd = x * mask
        return xd @ W, (xd, mask, W)

    def backward(self, dy, cache):
        xd, mask, W = cache
        return {"x": (dy @ W.T) * mask, "W": xd.T @ dy}


@wrong("dropout_affine", "Keras-like library", "a fresh mask is drawn in every forward; it should be drawn once / passed in", ["x", "W"], ["noise-redrawn"])
def _(seed=24):
    r = np.random.default_rng(seed)
    d = DropoutAffine(.4, seed)
    return dict(forward=d.forward, backward=d.backward, inputs=dict(x=r.standard_normal((4, 5)), W=r.standard_normal((5, 3))))


# ---------------------------------------------------------------- masked LM loss
def masked_xent(logits, targets, ignore):
    B, T, V = logits.shape
    flat, t = logits.reshape(-1, V), targets.ravel()
    keep = t != ignore
    lse = logsumexp(flat, axis=1)
    tt = np.where(keep, t, 0)
    nll = (lse - flat[np.arange(B * T), tt]) * keep
    return nll.sum() / keep.sum(), (logits.shape, flat, lse, tt, keep)


def masked_xent_backward(dloss, cache):
    shape, flat, lse, tt, keep = cache
    d = np.exp(flat - lse[:, None])
    d[np.arange(len(tt)), tt] -= 1
    d *= keep[:, None]
    return (dloss * d / len(keep)).reshape(shape)


@wrong("masked_token_xent", "NLP research code", "divides by all tokens B*T, should be the number of kept ones", ["logits"], ["factor"])
def _(seed=25):
    r = np.random.default_rng(seed)
    return dict(forward=masked_xent, backward=masked_xent_backward, inputs=dict(logits=r.standard_normal((2, 4, 5))),
                constants=dict(targets=np.array([[1, -100, 4, 0], [3, 2, -100, -100]]), ignore=-100))


# ================================================================ right ones
def lstm_step(x, state, params):
    h, c = state["h"], state["c"]
    a = np.concatenate([x, h], 1) @ params["W"] + params["b"]
    i, f, o, g = np.split(a, 4, axis=1)
    i, f, o, g = expit(i), expit(f + 1.0), expit(o), np.tanh(g)
    c2 = f * c + i * g
    tc = np.tanh(c2)
    return o * tc, (x, h, c, params, i, f, o, g, tc)


def lstm_step_backward(dh2, cache):
    x, h, c, params, i, f, o, g, tc = cache
    dc2 = dh2 * o * (1 - tc ** 2)
    da = np.concatenate([dc2 * g * i * (1 - i), dc2 * c * f * (1 - f), dh2 * tc * o * (1 - o), dc2 * i * (1 - g ** 2)], 1)
    dxh = da @ params["W"].T
    D = x.shape[1]
    return {"x": dxh[:, :D], "state": {"h": dxh[:, D:], "c": dc2 * f},
            "params": {"W": np.concatenate([x, h], 1).T @ da, "b": da.sum(0)}}


@right("lstm_step_dicts", "RL research code")
def _(seed=30):
    r = np.random.default_rng(seed)
    n = r.standard_normal
    return dict(forward=lstm_step, backward=lstm_step_backward,
                inputs=dict(x=n((3, 2)), state={"h": n((3, 2)), "c": n((3, 2))}, params={"W": n((4, 8)), "b": n(8)}))


def huber(pred, target, w, delta):
    r = pred - target
    c = np.clip(r, -delta, delta)
    return np.sum(w * c * (r - c / 2)) / w.sum(), (c, w)


@right("huber_by_clip", "RL research code")
def _(seed=31):
    r = np.random.default_rng(seed)
    return dict(forward=huber, backward=lambda d, cache: {"pred": d * cache[1] * cache[0] / cache[1].sum()},
                inputs=dict(pred=3 * r.standard_normal(9)), constants=dict(target=r.standard_normal(9), w=r.uniform(.2, 2, 9), delta=1.3))


def focal(z, y, gamma, alpha):
    s = 2 * y - 1
    p = expit(s * z)                                    # probability of the true class
    at = np.where(y > 0, alpha, 1 - alpha)
    return at * (1 - p) ** gamma * np.logaddexp(0, -s * z), (s, p, at, gamma, z)


def focal_backward(dy, cache):
    s, p, at, gamma, z = cache
    nll = np.logaddexp(0, -s * z)
    return dy * at * s * (1 - p) ** gamma * (-gamma * p * nll - (1 - p))


@right("focal_loss_map", "vision research code (detection)")
def _(seed=32):
    r = np.random.default_rng(seed)
    return dict(forward=focal, backward=focal_backward, inputs=dict(z=1.5 * r.standard_normal((3, 4))),
                constants=dict(y=(r.random((3, 4)) < .4).astype(float), gamma=2.0, alpha=.25))


@right("swish_learnable_scalar", "activation function blog post")
def _(seed=33):
    r = np.random.default_rng(seed)

    def forward(x, beta):
        s = expit(beta * x)
        return x * s, (x, beta, s)

    def backward(dy, cache):
        x, beta, s = cache
        ds = s * (1 - s)
        return dy * (s + beta * x * ds), np.array(np.vdot(dy, x * x * ds))
    return dict(forward=forward, backward=backward, inputs=dict(x=2 * r.standard_normal((3, 5)), beta=np.array(1.4)))


def onepole(x, a, y0):
    y = np.empty_like(x)
    prev = y0
    for t in range(len(x)):
        prev = (1 - a) * x[t] + a * prev
        y[t] = prev
    return y, (x, a, y0, y)


def onepole_adjoint(dy, cache):
    x, a, y0, y = cache
    lam = np.zeros_like(y0)
    dx, da = np.zeros_like(x), np.zeros_like(a)
    for t in reversed(range(len(x))):
        lam = dy[t] + lam
        dx[t] = (1 - a) * lam
        da = da + lam * ((y[t - 1] if t else y0) - x[t])
        lam = a * lam
    return {"x": dx, "a": da, "y0": lam}


@right("onepole_filter_adjoint", "differentiable audio code")
def _(seed=34):
    r = np.random.default_rng(seed)
    return dict(forward=onepole, backward=onepole_adjoint, inputs=dict(x=r.standard_normal((9, 2)), a=r.uniform(.3, .9, 2), y0=r.standard_normal(2)))


def maxpool(x, k):
    n, c, h, w = x.shape
    v = x.reshape(n, c, h // k, k, w // k, k).transpose(0, 1, 2, 4, 3, 5).reshape(n, c, h // k, w // k, k * k)
    arg = v.argmax(-1)
    return np.take_along_axis(v, arg[..., None], -1)[..., 0], (x.shape, k, arg)


def maxpool_backward(dy, cache):
    (n, c, h, w), k, arg = cache
    d = np.zeros(dy.shape + (k * k,))
    np.put_along_axis(d, arg[..., None], dy[..., None], -1)
    return d.reshape(n, c, h // k, w // k, k, k).transpose(0, 1, 2, 4, 3, 5).reshape(n, c, h, w)


@right("maxpool_argmax", "vision library")
def _(seed=35):
    r = np.random.default_rng(seed)
    return dict(forward=maxpool, backward=maxpool_backward, inputs=dict(x=r.permutation(32).reshape(2, 1, 4, 4) * .1 - 1.55), constants=dict(k=2))


def circ_conv(signal, kernel):
    n = len(signal)
    S, K = np.fft.rfft(signal), np.fft.rfft(kernel, n)
    return np.fft.irfft(S * K, n), (S, K, n, len(kernel))


@right("fft_circular_conv", "signal processing notebook")
def _(seed=36):
    r = np.random.default_rng(seed)

    def backward(dy, cache):
        S, K, n, m = cache
        G = np.fft.rfft(dy)
        return np.fft.irfft(G * K.conj(), n), np.fft.irfft(G * S.conj(), n)[:m]
    return dict(forward=circ_conv, backward=backward, inputs=dict(signal=r.standard_normal(11), kernel=r.standard_normal(4)))


class GroupNorm:
    def __init__(self, groups, eps=1e-5):
        self.G, self.eps = groups, eps

    def forward(self, x, scale, shift):
        N, C, L = x.shape
        xg = x.reshape(N, self.G, -1)
        m = xg.mean(2, keepdims=True)
        inv = 1 / np.sqrt(xg.var(2, keepdims=True) + self.eps)
        h = (xg - m) * inv
        return h.reshape(x.shape) * scale[:, None] + shift[:, None], (h, inv, scale)

    def backward(self, dy, cache):
        h, inv, scale = cache
        dh = (dy * scale[:, None]).reshape(h.shape)
        M = h.shape[2]
        dx = inv / M * (M * dh - dh.sum(2, keepdims=True) - h * np.sum(dh * h, 2, keepdims=True))
        return {"shift": np.einsum("ncl->c", dy), "scale": np.einsum("ncl,ncl->c", dy, h.reshape(dy.shape)), "x": dx.reshape(dy.shape)}


@right("groupnorm_1d", "layer library")
def _(seed=37):
    r = np.random.default_rng(seed)
    gn = GroupNorm(2)
    return dict(forward=gn.forward, backward=gn.backward,
                inputs=dict(x=r.standard_normal((2, 4, 3)), scale=r.standard_normal(4), shift=r.standard_normal(4)))


def info_nce(za, zb, log_tau):
    tau = np.exp(log_tau)
    na = np.linalg.norm(za, axis=1, keepdims=True)
    nb = np.linalg.norm(zb, axis=1, keepdims=True)
    a, b = za / na, zb / nb
    L = a @ b.T / tau
    loss = .5 * np.mean(logsumexp(L, 1) + logsumexp(L, 0) - 2 * np.diag(L))
    return loss, (a, b, na, nb, L, tau)


def info_nce_backward(d, cache):
    a, b, na, nb, L, tau = cache
    N = len(L)
    dL = d * (np.exp(L - logsumexp(L, 1, keepdims=True)) + np.exp(L - logsumexp(L, 0, keepdims=True)) - 2 * np.eye(N)) / (2 * N)
    da, db = dL @ b / tau, dL.T @ a / tau
    return {"za": (da - a * (a * da).sum(1, keepdims=True)) / na,
            "zb": (db - b * (b * db).sum(1, keepdims=True)) / nb,
            "log_tau": -np.sum(dL * L)}


@right("clip_symmetric_loss", "contrastive learning repository")
def _(seed=38):
    r = np.random.default_rng(seed)
    return dict(forward=info_nce, backward=info_nce_backward,
                inputs=dict(za=r.standard_normal((5, 3)), zb=r.standard_normal((5, 3)), log_tau=np.array(-.5)))


def kepler(M, e):
    E = M + e * np.sin(M)
    for _ in range(30):
        E = E - (E - e * np.sin(E) - M) / (1 - e * np.cos(E))
    return E, (E, e)


@right("kepler_implicit", "physics (orbital mechanics) script")
def _(seed=39):
    r = np.random.default_rng(seed)

    def adjoint(dE, cache):
        E, e = cache
        lam = dE / (1 - e * np.cos(E))
        return {"M": lam, "e": (lam * np.sin(E)).sum(axis=1, keepdims=True)}
    return dict(forward=kepler, backward=adjoint, inputs=dict(M=r.uniform(.2, 6, (3, 4)), e=r.uniform(.05, .6, (3, 1))))


def composite(sigma, color, dt):
    """volume rendering along rays: sigma (R, S), color (R, S, 3)"""
    tau = sigma * dt
    acc = np.cumsum(tau, axis=1)
    T = np.exp(-(acc - tau))
    w = T - np.exp(-acc)
    return np.einsum("rs,rsc->rc", w, color), (w, acc, color, dt)


def composite_backward(dC, cache):
    w, acc, color, dt = cache
    dw = np.einsum("rc,rsc->rs", dC, color)
    wd = w * dw
    behind = wd.sum(1, keepdims=True) - np.cumsum(wd, axis=1)
    return dt * (np.exp(-acc) * dw - behind), w[..., None] * dC[:, None, :]


@right("nerf_compositing", "graphics code (radiance fields)")
def _(seed=40):
    r = np.random.default_rng(seed)
    return dict(forward=composite, backward=composite_backward,
                inputs=dict(sigma=r.uniform(.1, 2, (2, 5)), color=r.random((2, 5, 3))), constants=dict(dt=np.array([.2, .3, .4, .3, .5])))


def crf_logz(unary, trans):
    T, K = unary.shape
    alpha = np.zeros((T, K))
    alpha[0] = unary[0]
    for t in range(1, T):
        alpha[t] = unary[t] + logsumexp(alpha[t - 1][:, None] + trans, axis=0)
    return logsumexp(alpha[-1]), (unary, trans, alpha)


def crf_marginals(dz, cache):
    unary, trans, alpha = cache
    T, K = unary.shape
    logz = logsumexp(alpha[-1])
    beta = np.zeros((T, K))
    pair = np.zeros_like(trans)
    for t in range(T - 1, 0, -1):
        s = trans + unary[t] + beta[t]
        pair += np.exp(alpha[t - 1][:, None] + s - logz)
        beta[t - 1] = logsumexp(s, axis=1)
    return {"unary": dz * np.exp(alpha + beta - logz), "trans": dz * pair}


@right("crf_partition", "NLP tagger")
def _(seed=41):
    r = np.random.default_rng(seed)
    return dict(forward=crf_logz, backward=crf_marginals, inputs=dict(unary=r.standard_normal((5, 3)), trans=r.standard_normal((3, 3))))


def swiglu(x, W1, W3, W2):
    u, v = x @ W1, x @ W3
    s = expit(u)
    return (u * s * v) @ W2, locals()


@right("swiglu_locals_cache", "minimal GPT code")
def _(seed=42):
    r = np.random.default_rng(seed)
    n = r.standard_normal

    def bwd(dy, c):
        u, v, s = c["u"], c["v"], c["s"]
        dh = dy @ c["W2"].T
        dv = dh * u * s
        du = dh * v * (s + u * s * (1 - s))
        return dict(W2=(u * s * v).T @ dy, W1=c["x"].T @ du, W3=c["x"].T @ dv, x=du @ c["W1"].T + dv @ c["W3"].T)
    return dict(forward=swiglu, backward=bwd, inputs=dict(x=n((4, 3)), W1=n((3, 5)), W3=n((3, 5)), W2=n((5, 2))))


def gp_nll(log_amp, log_len, log_noise, X, y):
    d2 = (X[:, None] - X[None]) ** 2
    Kf = np.exp(2 * log_amp - .5 * d2 * np.exp(-2 * log_len))
    Ky = Kf + np.exp(2 * log_noise) * np.eye(len(X))
    Ki = np.linalg.inv(Ky)
    a = Ki @ y
    return .5 * y @ a + .5 * np.linalg.slogdet(Ky)[1] + .5 * len(y) * np.log(2 * np.pi), (Kf, Ki, a, d2, log_len, log_noise)


def gp_nll_backward(d, cache):
    Kf, Ki, a, d2, log_len, log_noise = cache
    G = .5 * (Ki - np.outer(a, a))
    return d * 2 * np.sum(G * Kf), d * np.sum(G * Kf * d2) * np.exp(-2 * log_len), d * 2 * np.trace(G) * np.exp(2 * log_noise)


@right("gp_marginal_likelihood", "machine learning textbook")
def _(seed=43):
    r = np.random.default_rng(seed)
    X = np.linspace(0, 3, 8)
    return dict(forward=gp_nll, backward=gp_nll_backward, inputs=dict(log_amp=np.array(.2), log_len=np.array(-.3), log_noise=np.array(-1.)),
                constants=dict(X=X, y=np.sin(2 * X) + .2 * r.standard_normal(8)))


@right("embedding_bag_mean", "recommender system code")
def _(seed=44):
    r = np.random.default_rng(seed)

    def forward(table, ids, lengths):
        bag = np.repeat(np.arange(len(lengths)), lengths)
        M = np.zeros((len(lengths), len(table)))
        np.add.at(M, (bag, ids), 1.0)
        M /= np.maximum(lengths, 1)[:, None]
        return M @ table, M
    return dict(forward=forward, backward=lambda dy, M: M.T @ dy, inputs=dict(table=r.standard_normal((7, 3))),
                constants=dict(ids=np.array([0, 2, 2, 5, 1, 0, 6]), lengths=np.array([3, 0, 1, 3])))


class _Depthwise:
    """3x3 depthwise convolution with 'same' padding, then a pointwise one; gradients by flipping the kernel"""

    @staticmethod
    def corr(x, k):
        p = np.pad(x, ((0, 0), (1, 1), (1, 1)))
        win = np.lib.stride_tricks.sliding_window_view(p, (3, 3), axis=(1, 2))
        return np.einsum("chwij,cij->chw", win, k), win

    def forward(self, img, dw, pw):
        h, win = self.corr(img, dw)
        return np.tensordot(pw, h, axes=(1, 0)), (win, h, dw, pw)

    def backward(self, g, cache):
        win, h, dw, pw = cache
        dh = np.tensordot(pw.T, g, axes=(1, 0))
        return (self.corr(dh, dw[:, ::-1, ::-1])[0], np.einsum("chw,chwij->cij", dh, win), np.einsum("ohw,chw->oc", g, h))


@right("depthwise_separable", "mobile vision code")
def _(seed=45):
    r = np.random.default_rng(seed)
    d = _Depthwise()
    return dict(forward=d.forward, backward=d.backward,
                inputs=dict(img=r.standard_normal((2, 4, 5)), dw=r.standard_normal((2, 3, 3)), pw=r.standard_normal((3, 2))))
