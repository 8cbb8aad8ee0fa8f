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


def R(seed):
    return np.random.default_rng(seed)


# ------------------------------------------------------------------ wrong ones
def affine_forward(x, w, b):
    N = x.shape[0]
    out = x.reshape(N, -1).dot(w) + b
    return out, (x, w, b)


def affine_backward(dout, cache):
    x, w, b = cache
    dx = dout.dot(w.T).reshape(x.shape)
    dw = x.reshape(x.shape[0], -1).T.dot(dout)
    db = np.mean(dout, axis=0)
    return dx, dw, db


def make_affine():
    r = R(1)
    return dict(forward=affine_forward, backward=affine_backward,
                inputs=dict(x=r.normal(size=(4, 2, 3)), w=r.normal(size=(6, 3)), b=r.normal(size=3)))


def layernorm_cols(Z, gamma, beta):
    mu = Z.mean(axis=0, keepdims=True)
    var = Z.var(axis=0, keepdims=True)
    istd = 1. / np.sqrt(var + 1e-5)
    Zhat = (Z - mu) * istd
    return gamma * Zhat + beta, {"Zhat": Zhat, "istd": istd, "gamma": gamma}


def layernorm_cols_back(dA, cache):
    Zhat, istd, gamma = cache["Zhat"], cache["istd"], cache["gamma"]
    grads = {}
    grads["gamma"] = np.sum(dA * Zhat, axis=1, keepdims=True)
    grads["beta"] = np.sum(dA, axis=1, keepdims=True)
    dZhat = dA * gamma
    grads["Z"] = istd * (dZhat - np.mean(dZhat, axis=0, keepdims=True))
    return grads


def make_ln_cols():
    r = R(2)
    return dict(forward=layernorm_cols, backward=layernorm_cols_back,
                inputs=dict(Z=r.normal(size=(5, 4)), gamma=r.normal(size=(5, 1)) + 1, beta=r.normal(size=(5, 1))))


def bn_unbiased(x, gamma, beta, eps):
    m = x.mean(0)
    v = x.var(0, ddof=1)
    inv = (v + eps) ** -0.5
    xn = (x - m) * inv
    return gamma * xn + beta, (xn, inv, gamma)


def bn_unbiased_bwd(g, saved):
    xn, inv, gamma = saved
    N = len(g)
    g_gamma = (g * xn).sum(0)
    g_beta = g.sum(0)
    g_x = gamma * inv / N * (N * g - g_beta - xn * g_gamma)
    return {"x": g_x, "gamma": g_gamma, "beta": g_beta}


def make_bn_unbiased():
    r = R(3)
    return dict(forward=bn_unbiased, backward=bn_unbiased_bwd, constants=dict(eps=1e-5),
                inputs=dict(x=r.normal(size=(4, 3)), gamma=r.normal(size=3) + 2, beta=r.normal(size=3)))


class SoftmaxFunction:
    """autograd-like function object"""

    @staticmethod
    def forward(x):
        e = np.exp(x - x.max(axis=-1, keepdims=True))
        y = e / e.sum(axis=-1, keepdims=True)
        return y, y

    @staticmethod
    def backward(grad_output, y):
        inner = np.sum(grad_output * y, axis=0, keepdims=True)
        return y * (grad_output - inner)


def make_softmax_fn():
    return dict(forward=SoftmaxFunction.forward, backward=SoftmaxFunction.backward,
                inputs=dict(x=R(4).normal(size=(4, 5))))


def gelu_fwd(x):
    c = np.sqrt(2.0 / np.pi)
    u = c * (x + 0.044715 * x ** 3)
    t = np.tanh(u)
    return 0.5 * x * (1.0 + t), (x, t)


def gelu_bwd(dy, cache):
    x, t = cache
    c = np.sqrt(2.0 / np.pi)
    du = c * (1.0 + 0.044715 * x ** 2)
    return dy * (0.5 * (1.0 + t) + 0.5 * x * (1.0 - t ** 2) * du)


def make_gelu():
    return dict(forward=gelu_fwd, backward=gelu_bwd, inputs=dict(x=R(5).normal(size=(3, 4)) * 1.5))


def sdpa(q, k, v):
    d = q.shape[-1]
    s = np.einsum("bqd,bkd->bqk", q, k) / np.sqrt(d)
    s = s - s.max(-1, keepdims=True)
    p = np.exp(s)
    p /= p.sum(-1, keepdims=True)
    return np.einsum("bqk,bkd->bqd", p, v), (q, k, v, p)


def sdpa_vjp(do, res):
    q, k, v, p = res
    dv = np.einsum("bqk,bqd->bkd", p, do)
    dp = np.einsum("bqd,bkd->bqk", do, v)
    ds = p * (dp - (dp * p).sum(-1, keepdims=True))
    dq = np.einsum("bqk,bkd->bqd", ds, k)
    dk = np.einsum("bqk,bqd->bkd", ds, q)
    return dq, dk, dv


def make_sdpa():
    r = R(6)
    return dict(forward=sdpa, backward=sdpa_vjp,
                inputs=dict(q=r.normal(size=(3, 2, 3)), k=r.normal(size=(3, 4, 3)), v=r.normal(size=(3, 4, 2))))


def causal_mix(S, V):
    T = S.shape[0]
    keep = np.tril(np.ones((T, T), dtype=bool))
    L = np.where(keep, S, -1e30)
    A = np.exp(L - L.max(1, keepdims=True))
    A = A / A.sum(1, keepdims=True)
    return A @ V, (A, V)


def causal_mix_grad(dO, cache):
    A, V = cache
    dV = A @ dO
    dA = dO @ V.T
    dS = A * (dA - np.sum(dA * A, axis=1, keepdims=True))
    return {"S": dS, "V": dV}


def make_causal():
    r = R(7)
    return dict(forward=causal_mix, backward=causal_mix_grad,
                inputs=dict(S=r.normal(size=(5, 5)), V=r.normal(size=(5, 3))))


def lookup(W, idx):
    return W[idx], (W.shape, idx)


def lookup_backward(dout, cache):
    shape, idx = cache
    dW = np.zeros(shape)
    dW[idx] += dout
    return dW


def make_lookup():
    return dict(forward=lookup, backward=lookup_backward, inputs=dict(W=R(8).normal(size=(6, 3))),
                constants=dict(idx=np.array([[0, 2, 2], [5, 0, 1], [2, 3, 3]])))


def fir(x, h):
    """'valid' correlation of every signal with one filter"""
    L = h.size
    n = x.shape[1] - L + 1
    y = np.empty((x.shape[0], n))
    for i in range(n):
        y[:, i] = x[:, i:i + L] @ h
    return y, (x, h)


def fir_adjoint(ybar, tape):
    x, h = tape
    L = h.size
    n = ybar.shape[1]
    hbar = np.array([np.sum(ybar * x[:, j:j + n]) for j in range(L)])
    pad = np.pad(ybar, ((0, 0), (L - 1, L - 1)))
    xbar = np.stack([pad[:, i:i + L] @ h for i in range(x.shape[1])], axis=1)
    return {"x": xbar, "h": hbar}


def make_fir():
    r = R(9)
    return dict(forward=fir, backward=fir_adjoint, inputs=dict(x=r.normal(size=(3, 7)), h=r.normal(size=3)))


class AvgPool2D:
    def __init__(self, size=2):
        self.size = size

    def forward(self, x):
        N, C, H, W = x.shape
        k = self.size
        self.x_shape = x.shape
        return x.reshape(N, C, H // k, k, W // k, k).mean(axis=(3, 5))

    def backward(self, dout):
        k = self.size
        return dout.repeat(k, axis=2).repeat(k, axis=3)


def make_avgpool():
    layer = AvgPool2D(2)
    return dict(forward=lambda x: (layer.forward(x), None), backward=lambda dout, _: layer.backward(dout),
                inputs=dict(x=R(10).normal(size=(4, 1, 2, 4))))


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def gru_step(x, h_prev, Wz, Wr, Wh):
    xh = np.hstack((x, h_prev))
    z = sigmoid(xh @ Wz)
    r = sigmoid(xh @ Wr)
    xrh = np.hstack((x, r * h_prev))
    hh = np.tanh(xrh @ Wh)
    h = z * h_prev + (1 - z) * hh
    return h, (x, h_prev, Wz, Wr, Wh, xh, z, r, xrh, hh)


def gru_step_back(dh, cache):
    x, h_prev, Wz, Wr, Wh, xh, z, r, xrh, hh = cache
    D = x.shape[1]
    dhh = dh * (1 - z) * (1 - hh ** 2)
    dz = dh * (h_prev - hh) * z * (1 - z)
    dWh = xrh.T @ dhh
    dxrh = dhh @ Wh.T
    dr = dxrh[:, D:] * h_prev * r * (1 - r)
    dWz = xh.T @ dz
    dWr = xh.T @ dr
    dxh = dz @ Wz.T + dr @ Wr.T
    dx = dxh[:, :D] + dxrh[:, :D]
    dh_prev = dxh[:, D:] + dxrh[:, D:] * r
    return {"x": dx, "h_prev": dh_prev, "Wz": dWz, "Wr": dWr, "Wh": dWh}


def make_gru():
    r = R(11)
    return dict(forward=gru_step, backward=gru_step_back,
                inputs=dict(x=r.normal(size=(4, 2)), h_prev=r.normal(size=(4, 3)), Wz=r.normal(size=(5, 3)) * .6,
                            Wr=r.normal(size=(5, 3)) * .6, Wh=r.normal(size=(5, 3)) * .6))


def lstm_cell_forward(a, c_prev):
    """a: pre-activations (N, 4H) in the order i f o g; returns only the hidden state"""
    H = c_prev.shape[1]
    i, f, o = sigmoid(a[:, :H]), sigmoid(a[:, H:2 * H]), sigmoid(a[:, 2 * H:3 * H])
    g = np.tanh(a[:, 3 * H:])
    c = f * c_prev + i * g
    h = o * np.tanh(c)
    return h, (i, f, o, g, c, c_prev)


def lstm_cell_backward(dh, cache):
    i, f, o, g, c, c_prev = cache
    dc = dh * o * (1 - c ** 2)
    do = dh * np.tanh(c)
    da = np.hstack([dc * g * i * (1 - i), dc * c_prev * f * (1 - f), do * o * (1 - o), dc * i * (1 - g ** 2)])
    return da, dc * f


def make_lstm_cell():
    r = R(12)
    return dict(forward=lstm_cell_forward, backward=lstm_cell_backward,
                inputs=dict(a=r.normal(size=(3, 8)), c_prev=r.normal(size=(3, 2)) * 1.4))


def smoothed_xent(logits, targets, alpha):
    n, k = logits.shape
    shifted = logits - logits.max(1, keepdims=True)
    logp = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    onehot = np.eye(k)[targets]
    q = (1 - alpha) * onehot + alpha / k
    return -(q * logp).sum() / n, (np.exp(logp), onehot)


def smoothed_xent_backward(dloss, ctx):
    probs, onehot = ctx
    return dloss * (probs - onehot) / probs.shape[0]


def make_smooth():
    return dict(forward=smoothed_xent, backward=smoothed_xent_backward, inputs=dict(logits=R(13).normal(size=(5, 4))),
                constants=dict(targets=np.array([0, 3, 1, 1, 2]), alpha=0.2))




def rms_norm(inp, weight):
    rstd = 1.0 / np.sqrt((inp ** 2).mean(-1, keepdims=True) + 1e-6)
    return inp * rstd * weight, (inp, weight, rstd)


def rms_norm_backward(dout, cache):
    inp, weight, rstd = cache
    C = inp.shape[-1]
    dweight = (dout * inp * rstd).reshape(-1, C).sum(0)
    dnorm = dout * weight
    dinp = rstd * dnorm - inp * rstd ** 3 * (dout * inp).mean(-1, keepdims=True)
    return dinp, dweight


def make_rms():
    r = R(14)
    return dict(forward=rms_norm, backward=rms_norm_backward,
                inputs=dict(inp=r.normal(size=(3, 2, 4)), weight=r.normal(size=4) + .5))


def cosine_similarity(u, v):
    nu = np.linalg.norm(u, axis=1)
    nv = np.linalg.norm(v, axis=1)
    sim = np.einsum("ij,ij->i", u, v) / (nu * nv)
    return sim, dict(u=u, v=v, nu=nu, nv=nv, sim=sim)


def cosine_similarity_grad(dsim, c):
    scale = (dsim / (c["nu"] * c["nv"]))[:, None]
    du = scale * c["v"] - (dsim * c["sim"] / c["nu"] ** 2)[:, None] * c["u"]
    dv = scale * c["u"] - (dsim * c["sim"] / c["nu"] ** 2)[:, None] * c["v"]
    return {"u": du, "v": dv}


def make_cos():
    r = R(15)
    return dict(forward=cosine_similarity, backward=cosine_similarity_grad,
                inputs=dict(u=r.normal(size=(4, 3)), v=2.5 * r.normal(size=(4, 3)) + 1))


def td_huber(q_values, td_target, kappa):
    delta = td_target - q_values
    small = np.abs(delta) <= kappa
    loss = np.where(small, 0.5 * delta ** 2, kappa * (np.abs(delta) - 0.5 * kappa))
    return loss, (delta, small, kappa)


def td_huber_grad(dloss, memo):
    delta, small, kappa = memo
    d_delta = np.where(small, delta, kappa * np.sign(delta)) * dloss
    return {"q_values": d_delta, "td_target": d_delta}


def make_huber():
    r = R(16)
    return dict(forward=td_huber, backward=td_huber_grad, constants=dict(kappa=1.0),
                inputs=dict(q_values=r.normal(size=6) * 2, td_target=r.normal(size=6) * 2))


class PReLU:
    def __call__(self, input, slope):
        self.input, self.slope = input, slope
        a = slope[None, :, None]
        return np.maximum(input, 0) + a * np.minimum(input, 0)

    def grad(self, gy):
        a = self.slope[None, :, None]
        gx = np.where(self.input > 0, gy, a * gy)
        ga = (gy * np.minimum(self.input, 0)).sum(axis=(0, 1))
        return gx, ga


def make_prelu():
    f = PReLU()
    r = R(17)
    return dict(forward=lambda input, slope: (f(input, slope), f), backward=lambda gy, f: f.grad(gy),
                inputs=dict(input=r.normal(size=(4, 3, 3)), slope=np.array([.1, .25, .4])))


def svm_loss(scores, y):
    N = scores.shape[0]
    correct = scores[np.arange(N), y][:, None]
    margins = np.maximum(0, scores - correct + 1.0)
    margins[np.arange(N), y] = 0
    return margins.sum() / N, (margins, y)


def svm_loss_backward(dloss, cache):
    margins, y = cache
    N = margins.shape[0]
    ds = np.zeros_like(margins)
    ds[margins > 0] = 1
    ds /= N
    return ds * dloss


def make_svm():
    return dict(forward=svm_loss, backward=svm_loss_backward, inputs=dict(scores=R(18).normal(size=(5, 4))),
                constants=dict(y=np.array([1, 0, 3, 2, 2])))


def group_norm(x, gamma, beta, G):
    N, C, L = x.shape
    xg = x.reshape(N, G, -1)
    mean = xg.mean(-1, keepdims=True)
    std = np.sqrt(xg.var(-1, keepdims=True) + 1e-5)
    xhat = ((xg - mean) / std).reshape(N, C, L)
    y = xhat * gamma[:, None] + beta[:, None]
    return y, (x, xhat, std, gamma, G)


def group_norm_backward(dy, cache):
    x, xhat, std, gamma, G = cache
    N, C, L = dy.shape
    dgamma = (dy * x).sum(axis=(0, 2))
    dbeta = dy.sum(axis=(0, 2))
    dxh = (dy * gamma[:, None]).reshape(N, G, -1)
    xh = xhat.reshape(N, G, -1)
    dx = (dxh - dxh.mean(-1, keepdims=True) - xh * (dxh * xh).mean(-1, keepdims=True)) / std
    return dx.reshape(N, C, L), dgamma, dbeta


def make_gn():
    r = R(19)
    return dict(forward=group_norm, backward=group_norm_backward, constants=dict(G=2),
                inputs=dict(x=r.normal(size=(3, 4, 3)) * 2 + .7, gamma=r.normal(size=4) + 1, beta=r.normal(size=4)))


def bilinear_score(head, dep, U):
    """biaffine arc scorer, one score for each pair"""
    return np.einsum("ni,ij,nj->n", head, U, dep), (head, dep, U)


def bilinear_score_backward(dscore, saved):
    head, dep, U = saved
    g = dscore[:, None]
    dhead = g * (dep @ U.T)
    ddep = g * (head @ U.T)
    dU = (g * head).T @ dep
    return dict(head=dhead, dep=ddep, U=dU)


def make_bilinear():
    r = R(20)
    return dict(forward=bilinear_score, backward=bilinear_score_backward,
                inputs=dict(head=r.normal(size=(4, 3)), dep=r.normal(size=(4, 3)), U=r.normal(size=(3, 3))))


def focal_loss(z, y, gamma):
    p = sigmoid(z)
    pt = y * p + (1 - y) * (1 - p)
    return np.mean(-(1 - pt) ** gamma * np.log(pt)), (y, gamma, p, pt)


def focal_loss_bwd(g, cache):
    y, gamma, p, pt = cache
    dpt = -(1 - pt) ** gamma / pt
    dz = dpt * (2 * y - 1) * p * (1 - p)
    return g * dz / pt.size




def make_focal():
    return dict(forward=focal_loss, backward=focal_loss_bwd, inputs=dict(z=R(21).normal(size=6)),
                constants=dict(y=np.array([1, 0, 0, 1, 1, 0]), gamma=2.0))


def swiglu(x, w1, w3, w2):
    a, b = x @ w1, x @ w3
    s = sigmoid(a)
    h = a * s * b
    return h @ w2, (x, w1, w3, w2, a, b, s, h)


def swiglu_backward(dy, cache):
    x, w1, w3, w2, a, b, s, h = cache
    dh = dy @ w2.T
    db = dh * a * s
    da = dh * b * (s + s * (1 - s))
    return dict(x=da @ w1.T + db @ w3.T, w1=x.T @ da, w3=x.T @ db, w2=h.T @ dy)


def make_swiglu():
    r = R(22)
    return dict(forward=swiglu, backward=swiglu_backward,
                inputs=dict(x=r.normal(size=(4, 3)), w1=r.normal(size=(3, 4)), w3=r.normal(size=(3, 4)),
                            w2=r.normal(size=(4, 2))))


def apply_rope(x, pos, base):
    half = x.shape[-1] // 2
    theta = pos[:, None] * base ** (-np.arange(half) / half)
    cos, sin = np.cos(theta), np.sin(theta)
    x1, x2 = x[..., :half], x[..., half:]
    return np.concatenate([x1 * cos - x2 * sin, x1 * sin + x2 * cos], -1), (cos, sin)


def apply_rope_backward(dy, cache):
    cos, sin = cache
    half = dy.shape[-1] // 2
    d1, d2 = dy[..., :half], dy[..., half:]
    return np.concatenate([d1 * cos - d2 * sin, d1 * sin + d2 * cos], -1)


def make_rope():
    return dict(forward=apply_rope, backward=apply_rope_backward, inputs=dict(x=R(23).normal(size=(3, 3, 4))),
                constants=dict(pos=np.arange(1, 4), base=10.0))


def rnn_scan(xs, Wxh, Whh, bh):
    hs = {-1: np.zeros((xs.shape[0], Whh.shape[0]))}
    for t in range(xs.shape[1]):
        hs[t] = np.tanh(xs[:, t] @ Wxh + hs[t - 1] @ Whh + bh)
    return hs[xs.shape[1] - 1], (xs, Wxh, Whh, hs)


def rnn_scan_bptt(dhT, cache):
    xs, Wxh, Whh, hs = cache
    dWxh, dWhh, dbh = np.zeros_like(Wxh), np.zeros_like(Whh), np.zeros(Whh.shape[0])
    dxs = np.zeros_like(xs)
    dhnext = dhT
    for t in reversed(range(xs.shape[1])):
        draw = (1 - hs[t] * hs[t]) * dhnext
        dbh += draw.sum(0)
        dWxh += xs[:, t].T @ draw
        dWhh += hs[t].T @ draw
        dxs[:, t] = draw @ Wxh.T
        dhnext = draw @ Whh.T
    return dxs, dWxh, dWhh, dbh


def make_rnn():
    r = R(24)
    return dict(forward=rnn_scan, backward=rnn_scan_bptt,
                inputs=dict(xs=r.normal(size=(3, 4, 2)), Wxh=r.normal(size=(2, 3)) * .7, Whh=r.normal(size=(3, 3)) * .6,
                            bh=r.normal(size=3) * .3))


class Pointwise1x1:
    """1x1 convolution, NHWC"""

    def __init__(self, cin, cout):
        self.grads = {"W": np.zeros((cin, cout)), "b": np.zeros(cout)}

    def forward(self, x, W, b):
        self.x, self.W = x, W
        return x @ W + b

    def backward(self, dy):
        flat = dy.reshape(-1, dy.shape[-1])
        self.grads["W"] += self.x.reshape(-1, self.x.shape[-1]).T @ flat
        self.grads["b"] = flat.sum(0)
        return {"x": dy @ self.W.T, "W": self.grads["W"].copy(), "b": self.grads["b"]}


def make_pointwise():
    r = R(25)
    conv = Pointwise1x1(2, 3)
    return dict(forward=lambda x, W, b: (conv.forward(x, W, b), conv), backward=lambda dy, c: c.backward(dy),
                inputs=dict(x=r.normal(size=(3, 2, 2, 2)), W=r.normal(size=(2, 3)), b=r.normal(size=3)))


def skip_relu(x):
    mask = x <= 0
    out = x.copy()
    out[mask] = 0
    return x + out, mask


def skip_relu_backward(dout, mask):
    dx = dout
    dx[mask] = 0
    return dx + dout


def make_skip():
    return dict(forward=skip_relu, backward=skip_relu_backward, inputs=dict(x=R(26).normal(size=(4, 4))))


# ------------------------------------------------------------------ right ones
def softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))), x


def softplus_bwd(g, x):
    e = np.exp(-np.abs(x))
    return g * np.where(x >= 0, 1, e) / (1 + e)


def make_softplus():
    return dict(forward=softplus, backward=softplus_bwd,
                inputs=dict(x=np.array([[-750., -30., -1.5], [.3, 2., 800.], [40., -0.01, 5.]])))


def max_pool_odd(X, k):
    B, H, W = X.shape
    h, w = H // k, W // k
    blocks = X[:, :h * k, :w * k].reshape(B, h, k, w, k).transpose(0, 1, 3, 2, 4).reshape(B, h, w, k * k)
    arg = blocks.argmax(-1)
    return np.take_along_axis(blocks, arg[..., None], -1)[..., 0], (X.shape, arg, k)


def max_pool_odd_back(G, cache):
    shape, arg, k = cache
    out = np.zeros(shape)
    for b, i, j in np.ndindex(*arg.shape):
        di, dj = divmod(arg[b, i, j], k)
        out[b, i * k + di, j * k + dj] = G[b, i, j]
    return out


def make_maxpool():
    return dict(forward=max_pool_odd, backward=max_pool_odd_back, inputs=dict(X=R(32).normal(size=(3, 3, 4))),
                constants=dict(k=2))


def ln_fused(x, g, b):
    D = x.shape[-1]
    y = x - x.mean(-1, keepdims=True)
    rs = (np.einsum("...i,...i->...", y, y) / D + 1e-5)[..., None] ** -.5
    y *= rs
    return y * g + b, (y, rs, g)


def ln_fused_back(dy, cache):
    y, rs, g = cache
    t = dy * y
    db = dy.reshape(-1, y.shape[-1]).sum(0)
    dg = t.reshape(-1, y.shape[-1]).sum(0)
    t *= g
    m2 = t.mean(-1, keepdims=True)
    np.multiply(dy, g, out=t)
    t -= t.mean(-1, keepdims=True)
    t -= y * m2
    t *= rs
    return t, dg, db


def make_ln():
    r = R(33)
    return dict(forward=ln_fused, backward=ln_fused_back,
                inputs=dict(x=r.normal(size=(3, 2, 5)), g=r.normal(size=5), b=r.normal(size=5)))


def batchnorm_staged(x, gamma, beta):
    N, D = x.shape
    mu = 1. / N * np.sum(x, axis=0)
    xmu = x - mu
    sq = xmu ** 2
    var = 1. / N * np.sum(sq, axis=0)
    sqrtvar = np.sqrt(var + 1e-4)
    ivar = 1. / sqrtvar
    xhat = xmu * ivar
    return gamma * xhat + beta, (xhat, gamma, xmu, ivar, sqrtvar)


def batchnorm_staged_backward(dout, cache):
    xhat, gamma, xmu, ivar, sqrtvar = cache
    N, D = dout.shape
    dbeta = np.sum(dout, axis=0)
    dgamma = np.sum(dout * xhat, axis=0)
    dxhat = dout * gamma
    divar = np.sum(dxhat * xmu, axis=0)
    dxmu1 = dxhat * ivar
    dsqrtvar = -1. / (sqrtvar ** 2) * divar
    dvar = 0.5 * 1. / sqrtvar * dsqrtvar
    dsq = 1. / N * np.ones((N, D)) * dvar
    dxmu2 = 2 * xmu * dsq
    dx1 = dxmu1 + dxmu2
    dmu = -1 * np.sum(dx1, axis=0)
    return dx1 + 1. / N * np.ones((N, D)) * dmu, dgamma, dbeta


def make_bn_staged():
    r = R(34)
    return dict(forward=batchnorm_staged, backward=batchnorm_staged_backward,
                inputs=dict(x=r.normal(size=(5, 3)) * 3, gamma=r.normal(size=3), beta=r.normal(size=3)))


def tied_lm(E, tokens, nxt):
    h = np.tanh(E[tokens].mean(1))
    logits = h @ E.T
    m = logits.max(1)
    lse = m + np.log(np.exp(logits - m[:, None]).sum(1))
    rows = np.arange(len(nxt))
    return np.mean(lse - logits[rows, nxt]), (E, tokens, nxt, h, np.exp(logits - lse[:, None]))


def tied_lm_backward(dl, cache):
    E, tokens, nxt, h, p = cache
    n, T = tokens.shape
    d = p.copy()
    d[np.arange(n), nxt] -= 1
    d *= dl / n
    dE = d.T @ h
    dh = (d @ E) * (1 - h * h)
    np.add.at(dE, tokens, np.broadcast_to(dh[:, None] / T, (n, T, h.shape[1])))
    return {"E": dE}


def make_tied():
    return dict(forward=tied_lm, backward=tied_lm_backward, inputs=dict(E=R(35).normal(size=(5, 3))),
                constants=dict(tokens=np.array([[0, 1, 1], [4, 2, 4], [3, 3, 3]]), nxt=np.array([2, 1, 4])))


def clip_loss(im, tx, log_temp):
    s = np.exp(log_temp)
    L = s * im @ tx.T

    def logsoft(A):
        A = A - A.max(1, keepdims=True)
        return A - np.log(np.exp(A).sum(1, keepdims=True))
    r, c = logsoft(L), logsoft(L.T)
    return -.5 * (np.diag(r).mean() + np.diag(c).mean()), (im, tx, s, L, np.exp(r), np.exp(c))


def clip_loss_vjp(ct, res):
    im, tx, s, L, pr, pc = res
    n = len(im)
    dL = ct / (2 * n) * (pr + pc.T - 2 * np.eye(n))
    return s * dL @ tx, s * dL.T @ im, np.sum(dL * L)


def make_clip():
    r = R(36)
    return dict(forward=clip_loss, backward=clip_loss_vjp,
                inputs=dict(im=r.normal(size=(4, 3)), tx=r.normal(size=(4, 3)), log_temp=np.array(.4)))


def mqa(q, k, v, pad):
    s = np.einsum("bhd,bkd->bhk", q, k) * q.shape[-1] ** -.5
    s = np.where(pad[:, None, :], -np.inf, s)
    w = np.exp(s - s.max(-1, keepdims=True))
    w = w / w.sum(-1, keepdims=True)
    o = w @ v
    return o, (q, k, v, w, o)


def mqa_bwd(do, c):
    q, k, v, w, o = c
    delta = np.sum(do * o, -1)[..., None]
    ds = w * (do @ v.swapaxes(1, 2) - delta) * q.shape[-1] ** -.5
    return {"v": w.swapaxes(1, 2) @ do, "k": ds.swapaxes(1, 2) @ q, "q": ds @ k}


def make_mqa():
    r = R(37)
    pad = np.zeros((3, 4), bool)
    pad[0, 3] = pad[2, 2:] = True
    return dict(forward=mqa, backward=mqa_bwd, constants=dict(pad=pad),
                inputs=dict(q=r.normal(size=(3, 2, 3)), k=r.normal(size=(3, 4, 3)), v=r.normal(size=(3, 4, 2))))


def conv2d_strided(x, w, stride, pad):
    n, c, H, W = x.shape
    f, _, kh, kw = w.shape
    xp = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    oh, ow = (H + 2 * pad - kh) // stride + 1, (W + 2 * pad - kw) // stride + 1
    y = np.zeros((n, f, oh, ow))
    for i in range(kh):
        for j in range(kw):
            y += np.einsum("nchw,fc->nfhw", xp[:, :, i:i + stride * oh:stride, j:j + stride * ow:stride], w[:, :, i, j])
    return y, (xp, w, stride, pad)


def conv2d_strided_backward(dy, cache):
    xp, w, stride, pad = cache
    oh, ow = dy.shape[2:]
    dxp, dw = np.zeros_like(xp), np.empty_like(w)
    for i in range(w.shape[2]):
        for j in range(w.shape[3]):
            win = (slice(None), slice(None), slice(i, i + stride * oh, stride), slice(j, j + stride * ow, stride))
            dw[:, :, i, j] = np.einsum("nfhw,nchw->fc", dy, xp[win])
            dxp[win] += np.einsum("nfhw,fc->nchw", dy, w[:, :, i, j])
    return dxp[:, :, pad:-pad, pad:-pad], dw


def make_conv2d():
    r = R(38)
    return dict(forward=conv2d_strided, backward=conv2d_strided_backward, constants=dict(stride=2, pad=1),
                inputs=dict(x=r.normal(size=(3, 1, 4, 3)), w=r.normal(size=(2, 1, 3, 2))))


def deconv1d(x, kernel, s):
    n, T = x.shape
    K = len(kernel)
    out = np.zeros((n, (T - 1) * s + K))
    for t in range(T):
        out[:, t * s:t * s + K] += x[:, t:t + 1] * kernel
    return out, (x, kernel, s)


def deconv1d_b(dout, st):
    x, kernel, s = st
    K = len(kernel)
    win = np.lib.stride_tricks.sliding_window_view(dout, K, axis=1)[:, ::s]
    return win @ kernel, np.tensordot(x, win, 2)


def make_deconv():
    r = R(39)
    return dict(forward=deconv1d, backward=deconv1d_b, constants=dict(s=2),
                inputs=dict(x=r.normal(size=(3, 4)), kernel=r.normal(size=3)))


def peephole(a, c0, p):
    ai, af, ao, ag = np.split(a, 4, axis=0)
    i, f, g = sigmoid(ai + p[0][:, None] * c0), sigmoid(af + p[1][:, None] * c0), np.tanh(ag)
    c = f * c0 + i * g
    o = sigmoid(ao + p[2][:, None] * c)
    tc = np.tanh(c)
    return np.stack([o * tc, c]), (i, f, g, o, c, tc, c0, p)


def peephole_back(d, cache):
    i, f, g, o, c, tc, c0, p = cache
    dh, dc = d[0], d[1].copy()
    dao = dh * tc * o * (1 - o)
    dc += dh * o * (1 - tc ** 2) + dao * p[2][:, None]
    dai, daf, dag = dc * g * i * (1 - i), dc * c0 * f * (1 - f), dc * i * (1 - g ** 2)
    dp = np.stack([(dai * c0).sum(1), (daf * c0).sum(1), (dao * c).sum(1)])
    return dict(a=np.concatenate([dai, daf, dao, dag]), p=dp,
                c0=dc * f + dai * p[0][:, None] + daf * p[1][:, None])


def make_peep():
    r = R(40)
    return dict(forward=peephole, backward=peephole_back,
                inputs=dict(a=r.normal(size=(8, 4)), c0=r.normal(size=(2, 4)), p=r.normal(size=(3, 2))))


def sru_reverse(u, f_logit):
    """recurrence that runs from the last step to the first"""
    F = sigmoid(f_logit)
    H = np.empty_like(u)
    h = np.zeros(u.shape[1:])
    for t in range(len(u) - 1, -1, -1):
        h = F[t] * h + (1 - F[t]) * u[t]
        H[t] = h
    return H, (u, F, H)


def sru_reverse_grad(dH, cache):
    u, F, H = cache
    carry = np.zeros(u.shape[1:])
    du, df = np.zeros_like(u), np.zeros_like(u)
    for t in range(len(u)):
        carry += dH[t]
        nxt = H[t + 1] if t + 1 < len(u) else 0.
        du[t] = carry * (1 - F[t])
        df[t] = carry * (nxt - u[t]) * F[t] * (1 - F[t])
        carry *= F[t]
    return du, df


def make_sru():
    r = R(41)
    return dict(forward=sru_reverse, backward=sru_reverse_grad,
                inputs=dict(u=r.normal(size=(4, 3, 2)), f_logit=r.normal(size=(4, 3, 2))))


def pinball(q, y, taus):
    e = y[:, None] - q
    return np.maximum(taus * e, (taus - 1) * e).mean(1).sum(), (e, taus)


def pinball_grad(dl, c):
    e, taus = c
    w = ((e < 0) - taus) * dl / e.shape[1]
    return dict(q=w, y=-w.sum(1))


def make_pinball():
    r = R(42)
    return dict(forward=pinball, backward=pinball_grad, constants=dict(taus=np.array([.1, .5, .9])),
                inputs=dict(q=r.normal(size=(5, 3)), y=r.normal(size=5)))


def unit_rows(v):
    n = np.sqrt((v * v).sum(1, keepdims=True))
    e = v / n
    return e, (e, n)


def unit_rows_pullback(g, c):
    e, n = c
    return (g - e * (e * g).sum(1, keepdims=True)) / n


def make_unit():
    return dict(forward=unit_rows, backward=unit_rows_pullback,
                inputs=dict(v=R(43).normal(size=(4, 3)) * np.array([[1e-2], [1.], [50.], [3e3]])))


class ELUInplace:
    def __init__(self, alpha=1.0):
        self.alpha = alpha

    def forward(self, bottom):
        top = bottom.copy()
        neg = top < 0
        top[neg] = self.alpha * np.expm1(top[neg])
        self.top = top
        return top

    def backward(self, top_diff):
        bottom_diff = np.array(top_diff)
        neg = self.top < 0
        bottom_diff[neg] *= self.top[neg] + self.alpha
        return bottom_diff


def make_elu():
    layer = ELUInplace(1.3)
    return dict(forward=lambda bottom: (layer.forward(bottom), None), backward=lambda d, _: layer.backward(d),
                inputs=dict(bottom=R(44).normal(size=(3, 2, 2))))


def maxout(x, W, b):
    z = np.tensordot(x, W, axes=(1, 1)) + b
    win = z.argmax(1)
    return z.max(1), (x, W, b, win)


def maxout_bwd(dy, cache):
    x, W, b, win = cache
    dz = np.zeros((len(x),) + b.shape)
    np.put_along_axis(dz, win[:, None, :], dy[:, None, :], axis=1)
    return np.einsum("npo,pio->ni", dz, W), np.einsum("npo,ni->pio", dz, x), dz.sum(0)


def make_maxout():
    r = R(45)
    return dict(forward=maxout, backward=maxout_bwd,
                inputs=dict(x=r.normal(size=(5, 3)), W=r.normal(size=(2, 3, 4)), b=r.normal(size=(2, 4))))


def weight_norm_linear(x, v, g):
    nrm = np.sqrt(np.square(v).sum(0))
    w = v * (g / nrm)
    return x @ w, (x, v, g, nrm, w)


def weight_norm_linear_grad(dy, cache):
    x, v, g, nrm, w = cache
    dw = x.T @ dy
    dg = (dw * v).sum(0) / nrm
    return {"g": dg, "v": g / nrm * dw - g * dg / nrm ** 2 * v, "x": dy @ w.T}


def make_wn():
    r = R(46)
    return dict(forward=weight_norm_linear, backward=weight_norm_linear_grad,
                inputs=dict(x=r.normal(size=(4, 3)), v=r.normal(size=(3, 2)), g=np.array([1.5, -.4])))


W_ = lambda name, style, make, slip, wrong, causes: Item(name, style, "vjp", make, False, slip, wrong, causes)
OK = lambda name, style, make: Item(name, style, "vjp", make, True)

ITEMS = [
    W_("affine_bias_mean", "class assignment, tuples", make_affine, "db averages dout over the rows; it is dout.sum(axis=0).", ("b",), ("factor", "batch-sum")),
    W_("layernorm_columns", "features-first lecture code", make_ln_cols, "dZ lacks the variance path: - Zhat * mean(dZhat * Zhat, axis=0).", ("Z",), ("missing-term",)),
    W_("batchnorm_ddof", "functional, short names", make_bn_unbiased, "The forward divides the variance by N-1, the backward by N: the term xn*g_gamma needs N/(N-1).", ("x",), ("missing-term", "factor")),
    W_("softmax_wrong_axis", "autograd function object", make_softmax_fn, "The inner product is summed over axis 0 instead of -1.", ("x",), ("shape",)),
    W_("gelu_inner_derivative", "transformer port", make_gelu, "The derivative of the cube lacks its 3: 1 + 3*0.044715*x**2.", ("x",), ("elementwise-factor", "factor", "missing-term")),
    W_("sdpa_scale_lost", "einsum research code", make_sdpa, "dq and dk lack 1/sqrt(d).", ("q", "k"), ("factor",)),
    W_("causal_dv", "notebook", make_causal, "dV = A.T @ dO, not A @ dO.", ("V",), ("transpose",)),
    W_("embedding_duplicates", "deep learning from scratch book", make_lookup, "dW[idx] += keeps only the last of repeated indices; np.add.at.", ("W",), ("batch-sum", "missing-term")),
    W_("fir_kernel_not_flipped", "signal processing adjoint", make_fir, "xbar must correlate the padded ybar with the flipped filter h[::-1].", ("x",), ("transpose",)),
    W_("avgpool_spread", "layer class with state", make_avgpool, "Each of the k*k inputs gets dout/(k*k), not dout.", ("x",), ("factor",)),
    W_("gru_direct_path", "rnn notebook, dict of gradients", make_gru, "dh_prev lacks the direct path dh * z.", ("h_prev",), ("missing-term",)),
    W_("lstm_tanh_of_c", "packed gates", make_lstm_cell, "dc uses 1 - c**2; it is 1 - tanh(c)**2.", ("a", "c_prev"), ("elementwise-factor",)),
    W_("label_smoothing_onehot", "nlp toolkit loss", make_smooth, "probs - onehot, where the smoothed target q belongs.", ("logits",), ("missing-term", "elementwise-factor", "factor")),
    W_("rmsnorm_weight_in_mean", "llm in plain code port", make_rms, "The mean is of dnorm*inp (weight included), not of dout*inp.", ("inp",), ("elementwise-factor", "missing-term")),
    W_("cosine_norm_copied", "retrieval research code", make_cos, "dv's second term divides by nu**2, copied from du; nv**2.", ("v",), ("elementwise-factor", "missing-term")),
    W_("td_huber_sign", "reinforcement learning baseline", make_huber, "delta = target - q, so q's gradient is -d_delta.", ("q_values",), ("sign",)),
    W_("prelu_slope_axes", "chainer-like function", make_prelu, "ga sums over (0, 1); a slope per channel needs (0, 2).", ("slope",), ("shape",)),
    W_("svm_correct_class", "class assignment, vectorised", make_svm, "The correct class lacks -(number of positive margins)/N.", ("scores",), ("missing-term", "zero")),
    W_("groupnorm_dgamma_x", "framework port", make_gn, "dgamma is of dy*xhat, not dy*x.", ("gamma",), ("elementwise-factor", "missing-term")),
    W_("biaffine_dep", "dependency parser", make_bilinear, "ddep = g * (head @ U), not U.T.", ("dep",), ("transpose",)),
    W_("focal_modulator", "detection loss", make_focal, "dpt lacks the modulator's own derivative: + gamma (1-pt)**(gamma-1) log(pt).", ("z",), ("missing-term", "elementwise-factor")),
    W_("swiglu_silu_slope", "llama-like mlp", make_swiglu, "silu' = s + a*s*(1-s); the a is missing.", ("x", "w1"), ("elementwise-factor", "missing-term")),
    W_("rope_not_inverted", "rotary embedding port", make_rope, "The backward rotates forward again; it must rotate by -theta (sin with the other sign).", ("x",), ("transpose", "sign", "elementwise-factor")),
    W_("rnn_whh_hs_t", "min-char-rnn manner", make_rnn, "dWhh uses hs[t] where hs[t-1] belongs.", ("Whh",), ("elementwise-factor", "unknown")),
    W_("pointwise_accumulates", "layer with grads dict", make_pointwise, "grads['W'] += is never zeroed: a second backward returns the sum of both. The first is right; assign, do not add.", ("W",), ("accumulates",)),
    W_("skip_relu_alias", "residual block, in place", make_skip, "dx is dout itself; masking it wipes out the skip path as well and writes to the caller's dout. dx = dout.copy().", ("x",), ("mutates-input", "missing-term", "elementwise-factor", "zero")),
    OK("softplus_huge", "numerics library", make_softplus),
    OK("maxpool_cropped", "loops over ndindex", make_maxpool),
    OK("layernorm_in_place_buffer", "performance-minded", make_ln),
    OK("batchnorm_staged_ok", "blog, computational graph", make_bn_staged),
    OK("tied_embedding_lm", "nlp, shared parameter", make_tied),
    OK("clip_loss_ok", "jax-like vjp names", make_clip),
    OK("multi_query_padding", "flash-attention delta trick", make_mqa),
    OK("conv2d_stride_pad", "loop over kernel taps", make_conv2d),
    OK("deconv1d_ok", "sliding windows", make_deconv),
    OK("peephole_lstm", "features first, stacked output", make_peep),
    OK("sru_reversed_time", "scan, in-place carry", make_sru),
    OK("pinball_ok", "statistics, quantile regression", make_pinball),
    OK("unit_rows_scales", "geometry, pullback", make_unit),
    OK("elu_from_output", "caffe-like top and bottom", make_elu),
    OK("maxout_ok", "goodfellow-era research", make_maxout),
    OK("weight_norm_ok", "dict in another order", make_wn),
]


if __name__ == "__main__":
    bad = 0
    for it in ITEMS:
        m = it.make()
        inp, con = m["inputs"], m.get("constants", {})
        keep = {k: v.copy() for k, v in inp.items()}
        y, c = m["forward"](**inp, **con)
        y = np.asarray(y, float).copy()
        dy = R(99).normal(size=y.shape)
        arg = lambda: float(dy) if dy.ndim == 0 else dy.copy()
        g = m["backward"](arg(), c)
        if "accumulates" in it.causes:
            g = m["backward"](arg(), c)
        if isinstance(g, tuple):
            g = dict(zip(inp, g))
        elif not isinstance(g, dict):
            g = {next(iter(inp)): g}
        off = []
        for k, v in keep.items():
            num = np.zeros_like(v)
            for i in np.ndindex(*v.shape):
                h = 1e-5 * max(1e-2, abs(v[i]))
                vals = []
                for s in (h, -h):
                    w = {a: b.copy() for a, b in keep.items()}
                    w[k][i] += s
                    vals.append(np.asarray(m["forward"](**w, **con)[0]).copy())
                num[i] = np.sum(dy * (vals[0] - vals[1])) / (2 * h)
            assert v.size <= 40 and v.dtype == np.float64
            e = np.inf if np.shape(g[k]) != v.shape else np.abs(g[k] - num).max() / np.abs(num).max()
            if e > 1e-6:
                off.append((k, e))
            assert np.array_equal(inp[k], keep[k])
        if {k for k, _ in off} != set(it.wrong) or any(e < 1e-2 for _, e in off):
            bad += 1
            print("CHECK", it.name, off, it.wrong)
    print("wrong", sum(not i.right for i in ITEMS), "right", sum(i.right for i in ITEMS), "vjp", len(ITEMS), "bad", bad,
          "unique", len({i.name for i in ITEMS}))
