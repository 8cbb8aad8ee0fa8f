"""Twelfth paper: layers, losses and small functions of many fields."""
from typing import Callable, NamedTuple

import numpy as np

SEED = 1600


class Item(NamedTuple):
    name: str
    style: str
    check: str
    make: Callable
    right: bool
    slip: str = ""
    wrong: tuple = ()
    causes: tuple = ()



def make_affine_nd():
    def affine_forward(x, w, b):
        out = x.reshape(x.shape[0], -1).dot(w) + b
        return out, (x, w, b)
    def affine_backward(dout, cache):
        x, w, b = cache
        dx = dout.dot(w.T)
        dw = x.reshape(x.shape[0], -1).T.dot(dout)
        db = dout.sum(axis=0)
        return dx, dw, db
    r = np.random.default_rng(SEED + 1)
    return dict(forward=affine_forward, backward=affine_backward,
                inputs=dict(x=r.normal(size=(3, 2, 3)), w=r.normal(size=(6, 4)), b=r.normal(size=4)))

def make_leaky_relu():
    class LeakyReLU:
        def __init__(self, slope=0.1):
            self.slope = slope
        def forward(self, x):
            return np.where(x > 0, x, self.slope * x), x
        def backward(self, grad, x):
            return grad * (x > 0)
    layer = LeakyReLU()
    r = np.random.default_rng(SEED + 2)
    return dict(forward=layer.forward, backward=layer.backward, inputs=dict(x=r.normal(size=(4, 5))))

def make_gelu_tanh():
    C = np.sqrt(2 / np.pi)
    def gelu(x):
        t = np.tanh(C * (x + 0.044715 * x ** 3))
        return 0.5 * x * (1 + t), (x, t)
    def gelu_backward(dout, cache):
        x, t = cache
        dinner = C * (1 + 0.044715 * x ** 2)
        return {"x": dout * (0.5 * (1 + t) + 0.5 * x * (1 - t ** 2) * dinner)}
    r = np.random.default_rng(SEED + 3)
    return dict(forward=gelu, backward=gelu_backward, inputs=dict(x=1.5 * r.normal(size=(3, 6))))

def make_softmax_diag():
    def softmax(z):
        e = np.exp(z - z.max(axis=1, keepdims=True))
        s = e / e.sum(axis=1, keepdims=True)
        return s, s
    def softmax_grad(ds, s):
        return ds * s * (1 - s)
    r = np.random.default_rng(SEED + 4)
    return dict(forward=softmax, backward=softmax_grad, inputs=dict(z=r.normal(size=(4, 5))))

def make_label_smooth_ce():
    def loss_fn(logits, target, pad, eps):
        V = logits.shape[1]
        m = logits.max(1, keepdims=True)
        logp = logits - m - np.log(np.exp(logits - m).sum(1, keepdims=True))
        q = np.full_like(logp, eps / V)
        q[np.arange(len(target)), target] += 1 - eps
        mask = (target != pad).astype(float)
        loss = -((q * logp).sum(1) * mask).sum() / mask.sum()
        return np.asarray(loss), (logp, q, mask)
    def loss_bwd(dloss, cache):
        logp, q, mask = cache
        g = (np.exp(logp) - q) * mask[:, None] / len(mask)
        return {"logits": dloss * g}
    r = np.random.default_rng(SEED + 5)
    return dict(forward=loss_fn, backward=loss_bwd, inputs=dict(logits=r.normal(size=(6, 5))),
                constants=dict(target=np.array([1, 4, 0, 2, 0, 3]), pad=0, eps=0.1))

def make_spatial_groupnorm():
    def groupnorm_forward(x, gamma, beta, G=2, eps=1e-5):
        N, C, H, W = x.shape
        xg = x.reshape(N, G, -1)
        mu = xg.mean(-1, keepdims=True)
        ivar = 1 / np.sqrt(xg.var(-1, keepdims=True) + eps)
        xhat = ((xg - mu) * ivar).reshape(x.shape)
        return gamma[None, :, None, None] * xhat + beta[None, :, None, None], (xhat, ivar, gamma, G)
    def groupnorm_backward(dy, cache):
        xhat, ivar, gamma, G = cache
        dgamma = (dy * xhat).sum((0, 2, 3))
        dbeta = dy.sum((0, 2, 3))
        N = dy.shape[0]
        dh = (dy * gamma[None, :, None, None]).reshape(N, G, -1)
        xh = xhat.reshape(N, G, -1)
        dx = ivar * (dh - dh.mean(-1, keepdims=True))
        return dx.reshape(dy.shape), dgamma, dbeta
    r = np.random.default_rng(SEED + 6)
    return dict(forward=groupnorm_forward, backward=groupnorm_backward,
                inputs=dict(x=r.normal(size=(2, 4, 2, 2)), gamma=r.normal(size=4), beta=r.normal(size=4)))

def make_layernorm_gamma():
    class LayerNorm:
        def __call__(self, x, g, b):
            mu = x.mean(-1, keepdims=True)
            sd = np.sqrt(((x - mu) ** 2).mean(-1, keepdims=True) + 1e-6)
            n = (x - mu) / sd
            return n * g + b, dict(x=x, n=n, sd=sd, g=g)
        def grad(self, dy, c):
            dn = dy * c["g"]
            n = c["n"]
            dx = (dn - dn.mean(-1, keepdims=True) - n * (dn * n).mean(-1, keepdims=True)) / c["sd"]
            return {"x": dx, "g": (dy * c["x"]).sum(0), "b": dy.sum(0)}
    ln = LayerNorm()
    r = np.random.default_rng(SEED + 7)
    return dict(forward=ln, backward=ln.grad, inputs=dict(x=1 + 2 * r.normal(size=(4, 6)), g=r.normal(size=6), b=r.normal(size=6)))

def make_layernorm_gamma_ok():
    class LayerNorm:
        def __call__(self, x, g, b):
            mu = x.mean(-1, keepdims=True)
            sd = np.sqrt(((x - mu) ** 2).mean(-1, keepdims=True) + 1e-6)
            n = (x - mu) / sd
            return n * g + b, dict(x=x, n=n, sd=sd, g=g)
        def grad(self, dy, c):
            dn = dy * c["g"]
            n = c["n"]
            dx = (dn - dn.mean(-1, keepdims=True) - n * (dn * n).mean(-1, keepdims=True)) / c["sd"]
            return {"x": dx, "g": (dy * c["n"]).sum(0), "b": dy.sum(0)}
    ln = LayerNorm()
    r = np.random.default_rng(SEED + 17)
    return dict(forward=ln, backward=ln.grad, inputs=dict(x=1 + 2 * r.normal(size=(4, 6)), g=r.normal(size=6), b=r.normal(size=6)))

def make_rmsnorm():
    def rms_norm(x, weight, eps=1e-6):
        r = 1.0 / np.sqrt((x * x).mean(-1, keepdims=True) + eps)
        return x * r * weight, (x, r, weight)
    def rms_norm_bwd(dout, cache):
        x, r, weight = cache
        dweight = np.einsum("btd,btd->d", dout, x * r)
        dn = dout * weight
        dx = r * dn - x * r ** 3 * (dn * x).sum(-1, keepdims=True)
        return dx, dweight
    r = np.random.default_rng(SEED + 8)
    return dict(forward=rms_norm, backward=rms_norm_bwd, inputs=dict(x=r.normal(size=(2, 3, 5)), weight=1 + 0.3 * r.normal(size=5)))

def make_overlapping_maxpool():
    def max_pool_forward(x, k=3, s=1):
        N, H, W = x.shape
        oh, ow = (H - k) // s + 1, (W - k) // s + 1
        out = np.zeros((N, oh, ow))
        for n in range(N):
            for i in range(oh):
                for j in range(ow):
                    out[n, i, j] = x[n, i * s:i * s + k, j * s:j * s + k].max()
        return out, (x, k, s)
    def max_pool_backward(dout, cache):
        x, k, s = cache
        dx = np.zeros_like(x)
        N, oh, ow = dout.shape
        for n in range(N):
            for i in range(oh):
                for j in range(ow):
                    win = x[n, i * s:i * s + k, j * s:j * s + k]
                    a, b = np.unravel_index(win.argmax(), win.shape)
                    dx[n, i * s + a, j * s + b] = dout[n, i, j]
        return dx
    r = np.random.default_rng(SEED + 9)
    return dict(forward=max_pool_forward, backward=max_pool_backward, inputs=dict(x=r.permutation(36).reshape(1, 6, 6) / 9.0))

def make_avg_pool_repeat():
    class AvgPool2d:
        def __init__(self, k):
            self.k = k
        def forward(self, x):
            n, h, w, c = x.shape
            k = self.k
            return x.reshape(n, h // k, k, w // k, k, c).mean(axis=(2, 4)), None
        def backward(self, dy, _):
            return np.repeat(np.repeat(dy, self.k, axis=1), self.k, axis=2)
    pool = AvgPool2d(2)
    r = np.random.default_rng(SEED + 10)
    return dict(forward=pool.forward, backward=pool.backward, inputs=dict(x=r.normal(size=(1, 4, 4, 2))))

def make_conv1d_same():
    def conv1d(x, w):
        T, K = len(x), len(w)
        xp = np.pad(x, K // 2)
        y = np.array([xp[t:t + K] @ w for t in range(T)])
        return y, (xp, w)
    def conv1d_back(dy, cache):
        xp, w = cache
        K = len(w)
        dw = np.array([dy @ xp[k:k + len(dy)] for k in range(K)])
        dyp = np.pad(dy, K // 2)
        wf = w
        dx = np.array([dyp[t:t + K] @ wf for t in range(len(dy))])
        return {"x": dx, "w": dw}
    r = np.random.default_rng(SEED + 11)
    return dict(forward=conv1d, backward=conv1d_back, inputs=dict(x=r.normal(size=12), w=r.normal(size=5)))

def make_conv2d_pad():
    def conv_forward(x, w, b, pad=1):
        N, C, H, W = x.shape
        F, _, KH, KW = w.shape
        xp = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
        OH, OW = H + 2 * pad - KH + 1, W + 2 * pad - KW + 1
        out = np.zeros((N, F, OH, OW))
        for i in range(OH):
            for j in range(OW):
                out[:, :, i, j] = np.tensordot(xp[:, :, i:i + KH, j:j + KW], w, axes=([1, 2, 3], [1, 2, 3])) + b
        return out, (xp, w, pad)
    def conv_backward(dout, cache):
        xp, w, pad = cache
        F, _, KH, KW = w.shape
        dxp, dw = np.zeros_like(xp), np.zeros_like(w)
        for i in range(dout.shape[2]):
            for j in range(dout.shape[3]):
                d = dout[:, :, i, j]
                dw += np.tensordot(d, xp[:, :, i:i + KH, j:j + KW], axes=(0, 0))
                dxp[:, :, i:i + KH, j:j + KW] += np.tensordot(d, w, axes=(1, 0))
        db = dout.sum(axis=(2, 3))
        return dxp[:, :, pad:-pad, pad:-pad], dw, db
    r = np.random.default_rng(SEED + 12)
    return dict(forward=conv_forward, backward=conv_backward,
                inputs=dict(x=r.normal(size=(2, 2, 3, 3)), w=r.normal(size=(2, 2, 3, 3)), b=r.normal(size=2)))

def make_conv2d_pad_ok():
    def conv_forward(x, w, b, pad=1):
        N, C, H, W = x.shape
        F, _, KH, KW = w.shape
        xp = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
        OH, OW = H + 2 * pad - KH + 1, W + 2 * pad - KW + 1
        out = np.zeros((N, F, OH, OW))
        for i in range(OH):
            for j in range(OW):
                out[:, :, i, j] = np.tensordot(xp[:, :, i:i + KH, j:j + KW], w, axes=([1, 2, 3], [1, 2, 3])) + b
        return out, (xp, w, pad)
    def conv_backward(dout, cache):
        xp, w, pad = cache
        F, _, KH, KW = w.shape
        dxp, dw = np.zeros_like(xp), np.zeros_like(w)
        for i in range(dout.shape[2]):
            for j in range(dout.shape[3]):
                d = dout[:, :, i, j]
                dw += np.tensordot(d, xp[:, :, i:i + KH, j:j + KW], axes=(0, 0))
                dxp[:, :, i:i + KH, j:j + KW] += np.tensordot(d, w, axes=(1, 0))
        db = dout.sum(axis=(0, 2, 3))
        return dxp[:, :, pad:-pad, pad:-pad], dw, db
    r = np.random.default_rng(SEED + 112)
    return dict(forward=conv_forward, backward=conv_backward,
                inputs=dict(x=r.normal(size=(2, 2, 3, 3)), w=r.normal(size=(2, 2, 3, 3)), b=r.normal(size=2)))

def make_mha_scale():
    def attend(q, k, v):
        d = q.shape[-1]
        s = q @ k.swapaxes(-1, -2) / np.sqrt(d)
        T = s.shape[-1]
        s = np.where(np.tri(T, dtype=bool), s, -np.inf)
        p = np.exp(s - s.max(-1, keepdims=True))
        p /= p.sum(-1, keepdims=True)
        return p @ v, (q, k, v, p)
    def attend_backward(do, saved):
        q, k, v, p = saved
        scale = 1 / np.sqrt(q.shape[-1])
        dv = p.swapaxes(-1, -2) @ do
        dp = do @ v.swapaxes(-1, -2)
        ds = p * (dp - (dp * p).sum(-1, keepdims=True))
        dq = ds @ k
        dk = ds.swapaxes(-1, -2) @ q * scale
        return dq, dk, dv
    r = np.random.default_rng(SEED + 13)
    return dict(forward=attend, backward=attend_backward, inputs={n: r.normal(size=(2, 4, 3)) for n in "qkv"})

def make_attention_dk():
    def fwd(Q, K, V):
        S = np.einsum("id,jd->ij", Q, K) / Q.shape[1] ** 0.5
        A = np.exp(S) / np.exp(S).sum(1)[:, None]
        return A @ V, (Q, K, V, A)
    def bwd(dO, ctx):
        Q, K, V, A = ctx
        dA = np.einsum("id,jd->ij", dO, V)
        dS = A * (dA - np.einsum("ij,ij->i", dA, A)[:, None]) / Q.shape[1] ** 0.5
        return dict(Q=dS @ K, K=dS @ Q, V=A.T @ dO)
    r = np.random.default_rng(SEED + 14)
    return dict(forward=fwd, backward=bwd, inputs=dict(Q=r.normal(size=(5, 4)), K=r.normal(size=(5, 4)), V=r.normal(size=(5, 3))))

def make_embedding_bag():
    class EmbeddingBag:
        def forward(self, table, ids):
            self.shape = table.shape
            return table[ids].mean(axis=1), ids
        def backward(self, dy, ids):
            dtable = np.zeros(self.shape)
            g = np.repeat(dy[:, None, :], ids.shape[1], axis=1) / ids.shape[1]
            dtable[ids] += g
            return {"table": dtable}
    e = EmbeddingBag()
    r = np.random.default_rng(SEED + 15)
    return dict(forward=e.forward, backward=e.backward, inputs=dict(table=r.normal(size=(6, 4))),
                constants=dict(ids=np.array([[0, 2, 2], [5, 0, 1], [3, 3, 5]])))

def make_lstm_cell():
    def sig(a):
        return 1 / (1 + np.exp(-a))
    def lstm_step(x, h, c, W, b):
        H = h.shape[1]
        hx = np.hstack([h, x])
        a = hx @ W + b
        i, f, o, g = sig(a[:, :H]), sig(a[:, H:2 * H]), sig(a[:, 2 * H:3 * H]), np.tanh(a[:, 3 * H:])
        cn = f * c + i * g
        tc = np.tanh(cn)
        return np.stack([o * tc, cn]), (hx, c, W, i, f, o, g, tc, H)
    def lstm_step_back(dy, cache):
        hx, c, W, i, f, o, g, tc, H = cache
        dh, dc = dy
        do = dh * tc
        dc = dc + dh * o * (1 - tc ** 2)
        da = np.hstack([dc * g * i * (1 - i), dc * c * f * (1 - f), do * o * (1 - o), dc * i * (1 - g ** 2)])
        dhx = da @ W.T
        return {"x": dhx[:, H:], "h": dhx[:, :H], "c": dc, "W": hx.T @ da, "b": da.sum(0)}
    r = np.random.default_rng(SEED + 16)
    return dict(forward=lstm_step, backward=lstm_step_back,
                inputs=dict(x=r.normal(size=(3, 2)), h=r.normal(size=(3, 2)), c=r.normal(size=(3, 2)), W=r.normal(size=(4, 8)), b=r.normal(size=8)))

def make_lstm_cell_ok():
    def sig(a):
        return 1 / (1 + np.exp(-a))
    def lstm_step(x, h, c, W, b):
        H = h.shape[1]
        hx = np.hstack([h, x])
        a = hx @ W + b
        i, f, o, g = sig(a[:, :H]), sig(a[:, H:2 * H]), sig(a[:, 2 * H:3 * H]), np.tanh(a[:, 3 * H:])
        cn = f * c + i * g
        tc = np.tanh(cn)
        return np.stack([o * tc, cn]), (hx, c, W, i, f, o, g, tc, H)
    def lstm_step_back(dy, cache):
        hx, c, W, i, f, o, g, tc, H = cache
        dh, dc = dy
        do = dh * tc
        dc = dc + dh * o * (1 - tc ** 2)
        da = np.hstack([dc * g * i * (1 - i), dc * c * f * (1 - f), do * o * (1 - o), dc * i * (1 - g ** 2)])
        dhx = da @ W.T
        return {"x": dhx[:, H:], "h": dhx[:, :H], "c": dc * f, "W": hx.T @ da, "b": da.sum(0)}
    r = np.random.default_rng(SEED + 116)
    return dict(forward=lstm_step, backward=lstm_step_back,
                inputs=dict(x=r.normal(size=(3, 2)), h=r.normal(size=(3, 2)), c=r.normal(size=(3, 2)), W=r.normal(size=(4, 8)), b=r.normal(size=8)))

def make_gru_gate():
    def gru(x, h, Wz, Wr, Wn):
        s = lambda a: 1 / (1 + np.exp(-a))
        v = np.concatenate([x, h])
        z, r = s(Wz @ v), s(Wr @ v)
        u = np.concatenate([x, r * h])
        n = np.tanh(Wn @ u)
        return (1 - z) * n + z * h, (x, h, Wz, Wr, Wn, v, z, r, u, n)
    def gru_grad(dy, cache):
        x, h, Wz, Wr, Wn, v, z, r, u, n = cache
        D = len(x)
        dn = dy * (1 - z) * (1 - n * n)
        dz = dy * (h - n) * z * (1 - z)
        du = Wn.T @ dn
        drh = du[D:]
        dr = drh * h * r * (1 - r)
        dv = Wz.T @ dz + Wr.T @ dr
        dx = dv[:D] + du[:D]
        dh = dv[D:] + dy * z
        return dx, dh, np.outer(dz, v), np.outer(dr, v), np.outer(dn, u)
    r = np.random.default_rng(SEED + 17)
    return dict(forward=gru, backward=gru_grad, inputs=dict(x=r.normal(size=3), h=r.normal(size=2), Wz=r.normal(size=(2, 5)),
                Wr=r.normal(size=(2, 5)), Wn=r.normal(size=(2, 5))))

def make_svm_margin():
    def svm_loss(scores, y):
        N = scores.shape[0]
        margins = np.maximum(0, scores - scores[np.arange(N), y][:, None] + 1.0)
        margins[np.arange(N), y] = 0
        return np.asarray(margins.sum() / N), (margins, y)
    def svm_loss_backward(dloss, cache):
        margins, y = cache
        N = margins.shape[0]
        d = (margins > 0).astype(float)
        d[np.arange(N), y] = 0
        return dloss * d / N
    r = np.random.default_rng(SEED + 18)
    return dict(forward=svm_loss, backward=svm_loss_backward, inputs=dict(scores=r.normal(size=(5, 4))), constants=dict(y=np.array([0, 3, 1, 1, 2])))

def make_huber_td():
    def huber(q, target, delta=1.0):
        err = q - target
        small = np.abs(err) <= delta
        loss = np.where(small, 0.5 * err ** 2, delta * (np.abs(err) - 0.5 * delta))
        return loss, (err, delta)
    def huber_backward(dloss, cache):
        err, delta = cache
        g = dloss * np.clip(err, -delta, delta)
        return {"q": g, "target": g.copy()}
    r = np.random.default_rng(SEED + 19)
    return dict(forward=huber, backward=huber_backward, inputs=dict(q=2 * r.normal(size=8), target=r.normal(size=8)))

def make_infonce_normalise():
    def unit(v):
        n = np.sqrt((v ** 2).sum(1, keepdims=True))
        return v / n, n
    def nce(a, b, tau):
        ua, na = unit(a)
        ub, nb = unit(b)
        S = ua @ ub.T / tau
        lse = np.log(np.exp(S).sum(1))
        return (lse - np.diag(S)).mean(), (ua, na, ub, nb, S, lse, tau)
    def nce_backward(dl, cache):
        ua, na, ub, nb, S, lse, tau = cache
        dS = dl * (np.exp(S - lse[:, None]) - np.eye(len(S))) / (len(S) * tau)
        dua, dub = dS @ ub, dS.T @ ua
        da = dua / na
        db = (dub - ub * (ub * dub).sum(1, keepdims=True)) / nb
        return da, db
    r = np.random.default_rng(SEED + 20)
    return dict(forward=nce, backward=nce_backward, inputs=dict(a=r.normal(size=(4, 3)), b=r.normal(size=(4, 3))), constants=dict(tau=0.5))

def make_bilinear_scorer():
    def score(lhs, W, rhs):
        return np.einsum("bi,ij,bj->b", lhs, W, rhs), (lhs, W, rhs)
    def score_backward(ds, cache):
        lhs, W, rhs = cache
        dlhs = ds[:, None] * (rhs @ W.T)
        drhs = ds[:, None] * (lhs @ W)
        dW = np.einsum("b,bi,bj->ij", ds, rhs, lhs)
        return dlhs, dW, drhs
    r = np.random.default_rng(SEED + 21)
    return dict(forward=score, backward=score_backward, inputs=dict(lhs=r.normal(size=(5, 4)), W=r.normal(size=(4, 4)), rhs=r.normal(size=(5, 4))))

def make_weight_norm():
    class WNLinear:
        def forward(self, x, v, g):
            nrm = np.linalg.norm(v, axis=1)
            w = (g / nrm)[:, None] * v
            return x @ w.T, (x, v, g, nrm, w)
        def backward(self, dy, cache):
            x, v, g, nrm, w = cache
            dw = dy.T @ x
            dg = (dw * v).sum(1)
            radial = (dw * v).sum(1) / nrm
            dv = (g / nrm)[:, None] * dw - (g * radial / nrm ** 2)[:, None] * v
            return {"x": dy @ w, "v": dv, "g": dg}
    L = WNLinear()
    r = np.random.default_rng(SEED + 22)
    return dict(forward=L.forward, backward=L.backward, inputs=dict(x=r.normal(size=(4, 3)), v=2 * r.normal(size=(5, 3)), g=r.normal(size=5)))

def make_prelu_channels():
    def prelu(x, a):
        return np.maximum(x, 0) + a[:, None, None] * np.minimum(x, 0), (x, a)
    def prelu_vjp(dy, res):
        x, a = res
        neg = x < 0
        dx = np.where(neg, a[:, None, None] * dy, dy)
        da = np.sum(dy * x * neg)
        return dx, da
    r = np.random.default_rng(SEED + 23)
    return dict(forward=prelu, backward=prelu_vjp, inputs=dict(x=r.normal(size=(2, 3, 2, 3)), a=np.array([0.1, 0.25, -0.3])))

def make_dense_accumulating():
    class Dense:
        def __init__(self, shape):
            self.gW = np.zeros(shape)
        def forward(self, x, W):
            return np.tanh(x @ W), (x, W, np.tanh(x @ W))
        def backward(self, dy, cache):
            x, W, y = cache
            d = dy * (1 - y * y)
            self.gW += x.T @ d
            return {"x": d @ W.T, "W": self.gW.copy()}
    layer = Dense((3, 4))
    r = np.random.default_rng(SEED + 24)
    return dict(forward=layer.forward, backward=layer.backward, inputs=dict(x=r.normal(size=(5, 3)), W=r.normal(size=(3, 4))))

def make_relu_inplace():
    def relu_forward(x):
        return np.maximum(x, 0), x
    def relu_backward(dout, x):
        dx = dout
        dx[x <= 0] = 0
        return dx
    r = np.random.default_rng(SEED + 25)
    return dict(forward=relu_forward, backward=relu_backward, inputs=dict(x=r.normal(size=(4, 5))))

def make_lennard_jones():
    def energy(pos):
        e = 0.0
        for i in range(len(pos)):
            for j in range(i):
                s6 = 1 / ((pos[i] - pos[j]) @ (pos[i] - pos[j])) ** 3
                e += 4 * (s6 * s6 - s6)
        return np.asarray(e), pos
    def energy_grad(de, pos):
        g = np.zeros_like(pos)
        for i in range(len(pos)):
            for j in range(i):
                d = pos[i] - pos[j]
                r2 = d @ d
                s6 = r2 ** -3
                f = 4 * (-6 * s6 * s6 + 6 * s6) / r2 * d
                g[i] += f
                g[j] -= f
        return de * g
    r = np.random.default_rng(SEED + 26)
    return dict(forward=energy, backward=energy_grad,
                inputs=dict(pos=1.3 * np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1.0]]) + 0.1 * r.normal(size=(4, 3))))

def make_lennard_jones_ok():
    def energy(pos):
        e = 0.0
        for i in range(len(pos)):
            for j in range(i):
                s6 = 1 / ((pos[i] - pos[j]) @ (pos[i] - pos[j])) ** 3
                e += 4 * (s6 * s6 - s6)
        return np.asarray(e), pos
    def energy_grad(de, pos):
        g = np.zeros_like(pos)
        for i in range(len(pos)):
            for j in range(i):
                d = pos[i] - pos[j]
                r2 = d @ d
                s6 = r2 ** -3
                f = 4 * (-12 * s6 * s6 + 6 * s6) / r2 * d
                g[i] += f
                g[j] -= f
        return de * g
    r = np.random.default_rng(SEED + 126)
    return dict(forward=energy, backward=energy_grad,
                inputs=dict(pos=1.3 * np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1.0]]) + 0.1 * r.normal(size=(4, 3))))

def make_silu_dict():
    def swiglu(t):
        s = 1 / (1 + np.exp(-t["gate"]))
        return t["gate"] * s * t["up"], (t["gate"], t["up"], s)
    def swiglu_back(dy, c):
        g, u, s = c
        return {"t": {"gate": dy * u * s * (1 + g * (1 - s)), "up": dy * g * s}}
    r = np.random.default_rng(SEED + 31)
    return dict(forward=swiglu, backward=swiglu_back, inputs=dict(t=dict(gate=r.normal(size=(3, 4)), up=r.normal(size=(3, 4)))))

def make_batchnorm_onepass():
    def bn(x, gamma, beta):
        inv = (x.var(0) + 1e-5) ** -0.5
        xh = (x - x.mean(0)) * inv
        return gamma * xh + beta, (xh, gamma * inv)
    def bn_alt(dout, cache):
        xh, k = cache
        N = len(xh)
        db = dout.sum(0)
        dg = np.einsum("nd,nd->d", dout, xh)
        return k / N * (N * dout - db - xh * dg), dg, db
    r = np.random.default_rng(SEED + 32)
    return dict(forward=bn, backward=bn_alt, inputs=dict(x=r.normal(size=(6, 3)), gamma=r.normal(size=3), beta=r.normal(size=3)))

def make_rotary():
    def rope(x, freqs):
        ang = np.outer(np.arange(x.shape[0]), freqs)
        rot = np.exp(1j * ang)
        z = (x[:, 0::2] + 1j * x[:, 1::2]) * rot
        return np.stack([z.real, z.imag], -1).reshape(x.shape), rot
    def rope_backward(dy, rot):
        z = (dy[:, 0::2] + 1j * dy[:, 1::2]) * rot.conj()
        return np.stack([z.real, z.imag], -1).reshape(dy.shape)
    r = np.random.default_rng(SEED + 33)
    return dict(forward=rope, backward=rope_backward, inputs=dict(x=r.normal(size=(5, 6))), constants=dict(freqs=np.array([1.0, 0.3, 0.1])))

def make_dice_loss():
    def dice(p, mask):
        inter, tot = (p * mask).sum((1, 2)), p.sum((1, 2)) + mask.sum((1, 2)) + 1
        return np.mean(1 - (2 * inter + 1) / tot), (mask, inter, tot)
    def dice_grad(g, c):
        mask, inter, tot = c
        t = tot[:, None, None]
        return (g / len(tot)) * ((2 * inter + 1)[:, None, None] / t ** 2 - 2 * mask / t)
    r = np.random.default_rng(SEED + 34)
    return dict(forward=dice, backward=dice_grad, inputs=dict(p=r.uniform(0.1, 0.9, (2, 3, 4))), constants=dict(mask=(r.uniform(size=(2, 3, 4)) > 0.5) * 1.0))

def make_sharpe():
    def sharpe(w, R):
        p = R @ w
        return p.mean() / p.std(ddof=1), (R, p)
    def sharpe_grad(g, c):
        R, p = c
        T, m, s = len(p), p.mean(), p.std(ddof=1)
        return {"w": g * (R.T @ (1 / (T * s) - m * (p - m) / (s ** 3 * (T - 1))))}
    r = np.random.default_rng(SEED + 35)
    return dict(forward=sharpe, backward=sharpe_grad, inputs=dict(w=r.uniform(0.1, 1, 4)), constants=dict(R=0.3 + r.normal(size=(9, 4))))

def make_power_spectrum():
    def logspec(x, window):
        X = np.fft.rfft(x * window)
        P = np.abs(X) ** 2 + 1e-2
        return np.log(P), (X, P, window)
    def logspec_back(dy, c):
        X, P, window = c
        n = len(window)
        full = np.zeros(n, complex)
        full[:len(X)] = 2 * dy / P * X
        return n * np.fft.ifft(full).real * window
    r = np.random.default_rng(SEED + 36)
    return dict(forward=logspec, backward=logspec_back, inputs=dict(x=r.normal(size=12)), constants=dict(window=np.hanning(14)[1:-1]))

def make_quat_rotate():
    def mat(q):
        w, x, y, z = q
        return np.array([[1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
                         [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
                         [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)]])
    def rotate(q, v):
        n = np.sqrt(q @ q)
        u = q / n
        return v @ mat(u).T, (u, n, v)
    def rotate_back(dy, c):
        u, n, v = c
        w, x, y, z = u
        G = dy.T @ v
        dw = 2 * (-z * G[0, 1] + y * G[0, 2] + z * G[1, 0] - x * G[1, 2] - y * G[2, 0] + x * G[2, 1])
        dx = 2 * (y * (G[0, 1] + G[1, 0]) + z * (G[0, 2] + G[2, 0]) + w * (G[2, 1] - G[1, 2])) - 4 * x * (G[1, 1] + G[2, 2])
        dy_ = 2 * (x * (G[0, 1] + G[1, 0]) + z * (G[1, 2] + G[2, 1]) + w * (G[0, 2] - G[2, 0])) - 4 * y * (G[0, 0] + G[2, 2])
        dz = 2 * (x * (G[0, 2] + G[2, 0]) + y * (G[1, 2] + G[2, 1]) + w * (G[1, 0] - G[0, 1])) - 4 * z * (G[0, 0] + G[1, 1])
        du = np.array([dw, dx, dy_, dz])
        return (du - u * (u @ du)) / n, dy @ mat(u)
    r = np.random.default_rng(SEED + 37)
    return dict(forward=rotate, backward=rotate_back, inputs=dict(q=r.normal(size=4), v=r.normal(size=(5, 3))))

def make_ppo_clip():
    def surrogate(logp, old, adv, clip):
        ratio = np.exp(logp - old)
        a, b = ratio * adv, np.clip(ratio, 1 - clip, 1 + clip) * adv
        return -np.minimum(a, b).mean(), (ratio, adv, a <= b)
    def surrogate_back(g, c):
        ratio, adv, use = c
        return {"logp": np.where(use, -g * adv * ratio, 0.0) / adv.size}
    r = np.random.default_rng(SEED + 38)
    return dict(forward=surrogate, backward=surrogate_back, inputs=dict(logp=-1 + 0.4 * r.normal(size=10)),
                constants=dict(old=np.full(10, -1.0), adv=r.normal(size=10), clip=0.2))

def make_crf_forward():
    def lse(a, axis):
        m = a.max(axis, keepdims=True)
        return np.squeeze(m, axis) + np.log(np.exp(a - m).sum(axis))
    def log_z(emit, trans):
        al = [emit[0]]
        for t in range(1, len(emit)):
            al.append(emit[t] + lse(al[-1][:, None] + trans, 0))
        return lse(al[-1], 0), (emit, trans, al)
    def log_z_back(g, c):
        emit, trans, al = c
        de, dt = np.zeros_like(emit), np.zeros_like(trans)
        d = g * np.exp(al[-1] - lse(al[-1], 0))
        for t in range(len(emit) - 1, 0, -1):
            de[t] = d
            s = al[t - 1][:, None] + trans
            w = np.exp(s - lse(s, 0)) * d
            dt += w
            d = w.sum(1)
        de[0] = d
        return de, dt
    r = np.random.default_rng(SEED + 39)
    return dict(forward=log_z, backward=log_z_back, inputs=dict(emit=r.normal(size=(5, 3)), trans=r.normal(size=(3, 3))))

def make_linear_solve():
    def solve(A, b):
        x = np.linalg.solve(A, b)
        return x, (A, x)
    def solve_adj(xbar, c):
        A, x = c
        lam = np.linalg.solve(A.T, xbar)
        return -np.outer(lam, x), lam
    r = np.random.default_rng(SEED + 40)
    return dict(forward=solve, backward=solve_adj, inputs=dict(A=4 * np.eye(4) + r.normal(size=(4, 4)), b=r.normal(size=4)))

def make_pixel_shuffle():
    def ps(x, r):
        n, c, h, w = x.shape
        return x.reshape(n, c // r ** 2, r, r, h, w).transpose(0, 1, 4, 2, 5, 3).reshape(n, c // r ** 2, h * r, w * r), r
    def ps_back(dy, r):
        n, c, H, W = dy.shape
        return dy.reshape(n, c, H // r, r, W // r, r).transpose(0, 1, 3, 5, 2, 4).reshape(n, c * r * r, H // r, W // r)
    g = np.random.default_rng(SEED + 41)
    return dict(forward=ps, backward=ps_back, inputs=dict(x=g.normal(size=(1, 8, 2, 2))), constants=dict(r=2))

def make_inverted_dropout():
    def drop(x, mask, keep):
        return x * mask / keep, (mask, keep)
    def drop_back(dy, c):
        mask, keep = c
        dx = dy * mask
        dx /= keep
        return (dx,)
    r = np.random.default_rng(SEED + 42)
    return dict(forward=drop, backward=drop_back, inputs=dict(x=r.normal(size=(4, 5))), constants=dict(mask=(r.uniform(size=(4, 5)) < 0.7) * 1.0, keep=0.7))


ITEMS = [
    Item('conv2d_pad_ok', 'CS231n assignment', "vjp", make_conv2d_pad_ok, True),
    Item('batchnorm_onepass', 'CS231n assignment', "vjp", make_batchnorm_onepass, True),
    Item('leaky_relu', 'blog post', "vjp", make_leaky_relu, False,
         'negative side gets slope 0 in place of 0.1',
         ('x',), ('elementwise-factor', 'zero')),
    Item('dice_loss', 'vision library', "vjp", make_dice_loss, True),
    Item('softmax_diag', 'homework notebook', "vjp", make_softmax_diag, False,
         'only the diagonal s(1-s) of the softmax Jacobian',
         ('z',), ('missing-term', 'elementwise-factor')),
    Item('spatial_groupnorm', 'vision library', "vjp", make_spatial_groupnorm, False,
         'the path through the variance is left out of dx',
         ('x',), ('missing-term',)),
    Item('crf_forward', 'NLP research code', "vjp", make_crf_forward, True),
    Item('lennard_jones_ok', 'physics simulation', "vjp", make_lennard_jones_ok, True),
    Item('avg_pool_repeat', 'numpy CNN repository', "vjp", make_avg_pool_repeat, False,
         'no division by the size of the window',
         ('x',), ('factor',)),
    Item('conv1d_same', 'audio code', "vjp", make_conv1d_same, False,
         'dx correlates with the kernel unflipped; it has to be convolved',
         ('x',), ('transpose', 'unknown')),
    Item('gru_gate', 'RNN tutorial', "vjp", make_gru_gate, False,
         "dh lacks the path through the reset gate's product r * h",
         ('h',), ('missing-term',)),
    Item('lstm_cell_ok', 'RNN tutorial', "vjp", make_lstm_cell_ok, True),
    Item('overlapping_maxpool', 'CS231n assignment', "vjp", make_overlapping_maxpool, False,
         'windows overlap and the gradient is written with = where it should be +=',
         ('x',), ('missing-term', 'zero', 'elementwise-factor')),
    Item('prelu_channels', 'vision library', "vjp", make_prelu_channels, False,
         "the slopes' gradient is summed over batch and space for all channels together",
         ('a',), ('shape',)),
    Item('weight_norm', 'layer library', "vjp", make_weight_norm, False,
         'dg uses v, not v / |v|',
         ('g',), ('elementwise-factor',)),
    Item('gelu_tanh', 'transformer from scratch', "vjp", make_gelu_tanh, False,
         'derivative of the cubic lacks its 3',
         ('x',), ('elementwise-factor', 'missing-term')),
    Item('linear_solve', 'scientific computing', "vjp", make_linear_solve, True),
    Item('pixel_shuffle', 'vision library', "vjp", make_pixel_shuffle, True),
    Item('rotary', 'LLM from scratch', "vjp", make_rotary, True),
    Item('huber_td', 'RL research code', "vjp", make_huber_td, False,
         "the target's gradient has the sign of the prediction's",
         ('target',), ('sign',)),
    Item('layernorm_gamma_ok', 'layer library', "vjp", make_layernorm_gamma_ok, True),
    Item('power_spectrum', 'audio code', "vjp", make_power_spectrum, True),
    Item('svm_margin', 'CS231n assignment', "vjp", make_svm_margin, False,
         'the column of the right class gets no -count',
         ('scores',), ('missing-term', 'zero', 'elementwise-factor')),
    Item('conv2d_pad', 'CS231n assignment', "vjp", make_conv2d_pad, False,
         'the bias gradient is summed over space but not over the batch: (N, F) in place of (F,)',
         ('b',), ('shape', 'batch-sum')),
    Item('lennard_jones', 'physics simulation', "vjp", make_lennard_jones, False,
         'derivative of 1/r^12 gets 6 in place of 12',
         ('pos',), ('factor', 'elementwise-factor', 'missing-term')),
    Item('relu_inplace', 'blog post', "vjp", make_relu_inplace, False,
         'backward sets zeros in the dout of the caller',
         ('x',), ('mutates-input',)),
    Item('dense_accumulating', 'minimal autograd repository', "vjp", make_dense_accumulating, False,
         "dW of a second backward is added to the first one's",
         ('W',), ('accumulates',)),
    Item('lstm_cell', 'RNN tutorial', "vjp", make_lstm_cell, False,
         'dc_prev is not multiplied by the forget gate',
         ('c',), ('elementwise-factor',)),
    Item('inverted_dropout', 'homework notebook', "vjp", make_inverted_dropout, True),
    Item('infonce_normalise', 'contrastive learning repository', "vjp", make_infonce_normalise, False,
         'the backward of the normalisation of a lacks the projection',
         ('a',), ('missing-term',)),
    Item('layernorm_gamma', 'layer library', "vjp", make_layernorm_gamma, False,
         'dg is summed with x in place of the normalised x',
         ('g',), ('elementwise-factor', 'unknown')),
    Item('mha_scale', 'transformer from scratch', "vjp", make_mha_scale, False,
         'dq lacks 1/sqrt(d)',
         ('q',), ('factor',)),
    Item('embedding_bag', 'NLP research code', "vjp", make_embedding_bag, False,
         'dtable[ids] += drops repeated ids (np.add.at is right)',
         ('table',), ('batch-sum', 'missing-term')),
    Item('quat_rotate', 'graphics code', "vjp", make_quat_rotate, True),
    Item('affine_nd', 'CS231n assignment', "vjp", make_affine_nd, False,
         'dx comes back as (N, D), not reshaped to x.shape',
         ('x',), ('shape',)),
    Item('label_smooth_ce', 'NLP research code', "vjp", make_label_smooth_ce, False,
         'loss is a mean over the tokens that are no padding, the gradient divides by all tokens',
         ('logits',), ('factor',)),
    Item('silu_dict', 'transformer from scratch', "vjp", make_silu_dict, True),
    Item('bilinear_scorer', 'knowledge graph code', "vjp", make_bilinear_scorer, False,
         'dW is summed as rhs x lhs',
         ('W',), ('transpose',)),
    Item('rmsnorm', 'LLM from scratch', "vjp", make_rmsnorm, False,
         'second term of dx lacks 1/D',
         ('x',), ('missing-term', 'elementwise-factor', 'factor', 'unknown')),
    Item('sharpe', 'finance code', "vjp", make_sharpe, True),
    Item('ppo_clip', 'RL research code', "vjp", make_ppo_clip, True),
    Item('attention_dk', 'lecture notes', "vjp", make_attention_dk, False,
         'dK uses dS where its transpose belongs',
         ('K',), ('transpose',)),
]
