"""Layers, activations, losses, normalisations, pooling, attention parts, small functions of many fields."""
from typing import Callable, NamedTuple
import numpy as np
from scipy.special import ndtr, expit


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
SHIFT = 0


def rng_of(seed):
    return np.random.default_rng(seed + SHIFT)


def bad(style, slip, wrong, causes):
    def deco(f):
        ITEMS.append(Item(f.__name__, style, "vjp", f, False, slip, wrong, causes))
        return f
    return deco


def good(style):
    def deco(f):
        ITEMS.append(Item(f.__name__, style, "vjp", f, True))
        return f
    return deco


# ------------------------------------------------------------------ wrong

@bad("CS231n assignment", "db is the mean over the batch; right: the sum", ("b",), ("batch-sum", "factor"))
def affine_forward_flat():
    r = rng_of(1)

    def affine_forward(x, w, b):
        out = x.reshape(x.shape[0], -1).dot(w) + b
        return out, (x, w, b)

    def affine_backward(dout, cache):
        x, w, b = cache
        dx = dout.dot(w.T).reshape(x.shape)
        dw = x.reshape(x.shape[0], -1).T.dot(dout)
        db = dout.mean(axis=0)
        return dx, dw, db
    return dict(forward=affine_forward, backward=affine_backward,
                inputs=dict(x=r.normal(size=(4, 2, 3)), w=r.normal(size=(6, 3)), b=r.normal(size=3)))


@bad("CS231n assignment", "dx of batchnorm lacks the path through the variance, - xhat * mean(dxhat * xhat)", ("x",), ("missing-term",))
def batchnorm_short():
    r = rng_of(2)

    def forward(x, gamma, beta):
        mu, var = x.mean(0), x.var(0)
        istd = 1 / np.sqrt(var + 1e-5)
        xhat = (x - mu) * istd
        return gamma * xhat + beta, (xhat, istd, gamma)

    def backward(dout, cache):
        xhat, istd, gamma = cache
        dxhat = dout * gamma
        dx = istd * (dxhat - dxhat.mean(0))
        return {"x": dx, "gamma": (dout * xhat).sum(0), "beta": dout.sum(0)}
    return dict(forward=forward, backward=backward,
                inputs=dict(x=r.normal(size=(6, 4)) * 2 + 1, gamma=r.normal(size=4), beta=r.normal(size=4)))


@bad("NLP research code", "dg uses the raw x instead of the normalised x", ("g",), ("elementwise-factor", "missing-term", "unknown"))
def layernorm_gain_raw():
    r = rng_of(3)

    class LayerNorm:
        eps = 1e-6

        def forward(self, x, g, b):
            m = x.mean(-1, keepdims=True)
            s = np.sqrt(((x - m) ** 2).mean(-1, keepdims=True) + self.eps)
            h = (x - m) / s
            return h * g + b, dict(x=x, h=h, s=s, g=g)

        def backward(self, dy, c):
            h, g = c["h"], c["g"]
            dh = dy * g
            dx = (dh - dh.mean(-1, keepdims=True) - h * (dh * h).mean(-1, keepdims=True)) / c["s"]
            dg = (dy * c["x"]).sum((0, 1))
            return dx, dg, dy.sum((0, 1))
    ln = LayerNorm()
    return dict(forward=ln.forward, backward=ln.backward,
                inputs=dict(x=r.normal(size=(2, 3, 5)) + .5, g=r.normal(size=5), b=r.normal(size=5)))


@bad("transformer from scratch", "inner derivative of the tanh GELU has 0.044715 x^2 where 3 * 0.044715 x^2 belongs", ("x",), ("elementwise-factor", "missing-term"))
def gelu_tanh():
    r = rng_of(4)
    k = np.sqrt(2 / np.pi)

    def gelu(x):
        t = np.tanh(k * (x + 0.044715 * x ** 3))
        return 0.5 * x * (1 + t), (x, t)

    def gelu_backward(dy, cache):
        x, t = cache
        du = k * (1 + 0.044715 * x ** 2)
        return dy * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * du)
    return dict(forward=gelu, backward=gelu_backward, inputs=dict(x=r.normal(size=(4, 5)) * 1.5))


@bad("course homework", "the inner sum of the softmax backward goes over the whole array, not over the last axis", ("logits",), ("shape", "missing-term", "batch-sum", "unknown"))
def softmax_whole():
    r = rng_of(5)

    def fwd(logits):
        e = np.exp(logits - logits.max(axis=1, keepdims=True))
        p = e / e.sum(axis=1, keepdims=True)
        return p, p

    def bwd(grad, p):
        inner = np.sum(grad * p)
        return {"logits": p * (grad - inner)}
    return dict(forward=fwd, backward=bwd, inputs=dict(logits=r.normal(size=(4, 5))))


@bad("audio code", "the kernel is used flipped in dx of the strided conv1d", ("x",), ("transpose",))
def conv1d_strided():
    r = rng_of(6)

    def conv1d(x, w, stride):
        C, T = x.shape
        O, _, K = w.shape
        n = (T - K) // stride + 1
        y = np.zeros((O, n))
        for t in range(n):
            y[:, t] = np.tensordot(w, x[:, t * stride:t * stride + K], axes=([1, 2], [0, 1]))
        return y, (x, w, stride)

    def conv1d_grad(dy, cache):
        x, w, stride = cache
        K = w.shape[2]
        dx, dw = np.zeros_like(x), np.zeros_like(w)
        for t in range(dy.shape[1]):
            sl = slice(t * stride, t * stride + K)
            dx[:, sl] += np.tensordot(dy[:, t], w[:, :, ::-1], axes=(0, 0))
            dw += dy[:, t][:, None, None] * x[None, :, sl]
        return {"x": dx, "w": dw}
    return dict(forward=conv1d, backward=conv1d_grad, constants=dict(stride=2),
                inputs=dict(x=r.normal(size=(2, 11)), w=r.normal(size=(3, 2, 3))))


@bad("vision layer library", "dx of the average pool lacks the division by the window's size", ("x",), ("factor",))
def avgpool_repeat():
    r = rng_of(7)

    def forward(x, k):
        n, c, h, w = x.shape
        return x.reshape(n, c, h // k, k, w // k, k).mean(axis=(3, 5)), k

    def backward(dy, k):
        dx = dy.repeat(k, axis=2).repeat(k, axis=3)
        return (dx,)
    return dict(forward=forward, backward=backward, constants=dict(k=2), inputs=dict(x=r.normal(size=(1, 2, 4, 4))))


@bad("vision layer library", "overlapping windows: dx is assigned where it must be added", ("x",), ("missing-term", "elementwise-factor"))
def maxpool_overlap():
    r = rng_of(8)
    x0 = r.normal(size=(1, 2, 4, 4))
    x0[0, 0, 1, 1] += 6
    x0[0, 1, 2, 2] += 6

    def forward(x, size, stride):
        n, c, h, w = x.shape
        oh, ow = (h - size) // stride + 1, (w - size) // stride + 1
        out = np.empty((n, c, oh, ow))
        arg = np.empty((n, c, oh, ow), dtype=int)
        for i in range(oh):
            for j in range(ow):
                win = x[:, :, i * stride:i * stride + size, j * stride:j * stride + size].reshape(n, c, -1)
                arg[:, :, i, j] = win.argmax(-1)
                out[:, :, i, j] = win.max(-1)
        return out, (x.shape, arg, size, stride)

    def backward(dout, cache):
        shape, arg, size, stride = cache
        dx = np.zeros(shape)
        for idx in np.ndindex(*dout.shape):
            b, c, i, j = idx
            u, v = divmod(arg[idx], size)
            dx[b, c, i * stride + u, j * stride + v] = dout[idx]
        return dx
    return dict(forward=forward, backward=backward, constants=dict(size=2, stride=1), inputs=dict(x=x0))


@bad("NLP research code", "dE[ids] += dy counts a repeated token once only; right: np.add.at", ("E",), ("missing-term", "batch-sum"))
def embedding_plus_position():
    r = rng_of(9)

    def forward(E, P, ids):
        return E[ids] + P[None, :ids.shape[1]], (E.shape, P.shape, ids)

    def backward(dy, cache):
        se, sp, ids = cache
        dE, dP = np.zeros(se), np.zeros(sp)
        dE[ids] += dy
        dP[:ids.shape[1]] = dy.sum(0)
        return {"E": dE, "P": dP}
    return dict(forward=forward, backward=backward, constants=dict(ids=np.array([[0, 3, 3, 1], [2, 0, 3, 5]])),
                inputs=dict(E=r.normal(size=(6, 3)), P=r.normal(size=(5, 3))))


def _sm(a):
    e = np.exp(a - a.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


@bad("transformer from scratch", "dK lacks the 1/sqrt(d)", ("K",), ("factor",))
def attention_scale_in_q():
    r = rng_of(10)

    def attend(Q, K, V):
        d = Q.shape[-1]
        S = Q @ K.swapaxes(-1, -2) / np.sqrt(d)
        P = _sm(S)
        return P @ V, (Q, K, V, P, d)

    def attend_backward(dO, saved):
        Q, K, V, P, d = saved
        dV = P.swapaxes(-1, -2) @ dO
        dP = dO @ V.swapaxes(-1, -2)
        dS = P * (dP - (dP * P).sum(-1, keepdims=True))
        dQ = dS @ K / np.sqrt(d)
        dK = dS.swapaxes(-1, -2) @ Q
        return dQ, dK, dV
    return dict(forward=attend, backward=attend_backward,
                inputs=dict(Q=r.normal(size=(2, 3, 4)), K=r.normal(size=(2, 4, 4)), V=r.normal(size=(2, 4, 3))))


@bad("tutorial notebook", "dV uses P where P^T belongs", ("V",), ("transpose",))
def self_attention_square():
    r = rng_of(11)

    def f(X, V):
        P = _sm(X @ X.T)
        return P @ V, (X, V, P)

    def g(dy, c):
        X, V, P = c
        dP = dy @ V.T
        dS = P * (dP - np.sum(dP * P, 1, keepdims=True))
        dX = (dS + dS.T) @ X
        dV = P @ dy
        return {"X": dX, "V": dV}
    return dict(forward=f, backward=g, inputs=dict(X=r.normal(size=(5, 3)) * .7, V=r.normal(size=(5, 2))))


@bad("vision research code", "the gradient uses the hard one-hot instead of the smoothed targets", ("logits",), ("missing-term", "unknown"))
def label_smoothing_ce():
    r = rng_of(12)

    def loss(logits, labels, smooth):
        n, k = logits.shape
        z = logits - logits.max(1, keepdims=True)
        logp = z - np.log(np.exp(z).sum(1, keepdims=True))
        hot = np.eye(k)[labels]
        q = (1 - smooth) * hot + smooth / k
        return -(q * logp).sum() / n, (logp, hot, q)

    def loss_backward(dl, cache):
        logp, hot, q = cache
        return dl * (np.exp(logp) - hot) / len(q)
    return dict(forward=loss, backward=loss_backward, constants=dict(labels=np.array([0, 2, 3, 1]), smooth=0.2),
                inputs=dict(logits=r.normal(size=(4, 4))))


@bad("RL research code", "the linear branch of the Huber loss lacks delta", ("q",), ("elementwise-factor",))
def huber_td():
    r = rng_of(13)

    def huber(q, target, delta):
        e = q - target
        a = np.abs(e)
        y = np.where(a <= delta, 0.5 * e ** 2, delta * (a - 0.5 * delta))
        return y, (e, a, delta)

    def huber_grad(dy, cache):
        e, a, delta = cache
        return {"q": dy * np.where(a <= delta, e, np.sign(e))}
    return dict(forward=huber, backward=huber_grad, constants=dict(target=r.normal(size=12), delta=1.5),
                inputs=dict(q=r.normal(size=12) * 3))


@bad("retrieval code", "du lacks the projection term - cos * u / |u|^2", ("u",), ("missing-term",))
def cosine_rows():
    r = rng_of(14)

    def cosine(u, v):
        nu = np.linalg.norm(u, axis=1)
        nv = np.linalg.norm(v, axis=1)
        c = (u * v).sum(1) / (nu * nv)
        return c, (u, v, nu, nv, c)

    def cosine_backward(dc, cache):
        u, v, nu, nv, c = cache
        du = v / (nu * nv)[:, None]
        dv = u / (nu * nv)[:, None] - v * (c / nv ** 2)[:, None]
        return dc[:, None] * du, dc[:, None] * dv
    return dict(forward=cosine, backward=cosine_backward, inputs=dict(u=r.normal(size=(4, 3)), v=r.normal(size=(4, 3))))


@bad("vision research code", "the modulating factor of the focal loss is treated as a constant", ("s",), ("missing-term", "elementwise-factor"))
def focal_binary():
    r = rng_of(15)

    def focal(s, sgn, gamma):
        p = expit(s * sgn)
        return -(1 - p) ** gamma * np.log(p), (p, sgn, gamma)

    def focal_backward(dl, cache):
        p, sgn, gamma = cache
        dp = -(1 - p) ** gamma / p
        return dl * dp * p * (1 - p) * sgn
    return dict(forward=focal, backward=focal_backward, constants=dict(sgn=np.array([1., -1, 1, 1, -1, -1, 1]), gamma=2.0),
                inputs=dict(s=r.normal(size=7)))


@bad("layer library", "self.gW is added to and never cleared: the second backward returns more", ("W",), ("accumulates",))
def dense_tanh_object():
    r = rng_of(16)

    class Dense:
        def __init__(self, n_in, n_out):
            self.gW = np.zeros((n_in, n_out))
            self.gb = np.zeros(n_out)

        def forward(self, x, W, b):
            a = np.tanh(x @ W + b)
            return a, (x, W, a)

        def backward(self, da, cache):
            x, W, a = cache
            dz = da * (1 - a ** 2)
            self.gW += x.T @ dz
            self.gb = dz.sum(0)
            return {"x": dz @ W.T, "W": self.gW.copy(), "b": self.gb}
    layer = Dense(3, 4)
    return dict(forward=layer.forward, backward=layer.backward,
                inputs=dict(x=r.normal(size=(5, 3)), W=r.normal(size=(3, 4)) * .5, b=r.normal(size=4)))


@bad("LLM inference code", "derivative of silu lacks x * s * (1 - s)", ("gate",), ("missing-term", "elementwise-factor"))
def swiglu_two():
    r = rng_of(17)

    def swiglu(gate, up):
        s = 1 / (1 + np.exp(-gate))
        return gate * s * up, (gate, up, s)

    def swiglu_backward(dh, cache):
        gate, up, s = cache
        d_up = dh * gate * s
        d_gate = dh * up * s
        return d_gate, d_up
    return dict(forward=swiglu, backward=swiglu_backward, inputs=dict(gate=r.normal(size=(3, 4)), up=r.normal(size=(3, 4))))


@bad("LLM inference code", "the second term of dx lacks 1/D: sum instead of mean", ("x",), ("missing-term", "factor", "elementwise-factor", "unknown", "shape"))
def rmsnorm_sum():
    r = rng_of(18)

    def rmsnorm(x, w):
        rinv = (np.mean(x * x, -1, keepdims=True) + 1e-6) ** -0.5
        return w * (x * rinv), (x, w, rinv)

    def rmsnorm_bwd(dy, res):
        x, w, rinv = res
        g = dy * w
        dx = rinv * g - rinv ** 3 * x * np.sum(g * x, -1, keepdims=True)
        return {"x": dx, "w": np.sum(dy * x * rinv, axis=0)}
    return dict(forward=rmsnorm, backward=rmsnorm_bwd, inputs=dict(x=r.normal(size=(4, 5)), w=r.normal(size=5)))


@bad("CS231n assignment", "the correct class gets no gradient: minus the count of violated margins is missing", ("scores",), ("missing-term", "zero"))
def svm_hinge():
    r = rng_of(19)

    def svm_loss(scores, y):
        n = len(y)
        correct = scores[np.arange(n), y][:, None]
        margins = np.maximum(0, scores - correct + 1.0)
        margins[np.arange(n), y] = 0
        return margins.sum() / n, (margins, y)

    def svm_backward(dloss, cache):
        margins, y = cache
        n = len(y)
        d = (margins > 0).astype(float)
        d[np.arange(n), y] = 0
        return dloss * d / n
    return dict(forward=svm_loss, backward=svm_backward, constants=dict(y=np.array([1, 0, 2, 3, 1])),
                inputs=dict(scores=r.normal(size=(5, 4))))


@bad("LLM inference code", "the backward turns by +theta again; right: by -theta (the transposed rotation)", ("q",), ("transpose", "sign", "elementwise-factor", "unknown"))
def rope_half():
    r = rng_of(20)

    def rope(q, base):
        T, D = q.shape
        half = D // 2
        ang = np.arange(1, T + 1)[:, None] * base ** (-np.arange(half) / half)
        c, s = np.cos(ang), np.sin(ang)
        a, b = q[:, :half], q[:, half:]
        return np.concatenate([a * c - b * s, a * s + b * c], 1), (c, s, half)

    def rope_backward(dq, cache):
        c, s, half = cache
        a, b = dq[:, :half], dq[:, half:]
        return np.concatenate([a * c - b * s, a * s + b * c], 1)
    return dict(forward=rope, backward=rope_backward, constants=dict(base=100.0), inputs=dict(q=r.normal(size=(4, 6))))


@bad("knowledge graph code", "dR is the outer product the wrong way round (transposed)", ("R",), ("transpose",))
def bilinear_score():
    r = rng_of(21)

    def score(h, R, t):
        return np.einsum("ni,ij,nj->n", h, R, t), (h, R, t)

    def score_grad(ds, cache):
        h, R, t = cache
        gh = ds[:, None] * (t @ R.T)
        gt = ds[:, None] * (h @ R)
        gR = np.einsum("n,ni,nj->ij", ds, t, h)
        return dict(h=gh, R=gR, t=gt)
    return dict(forward=score, backward=score_grad,
                inputs=dict(h=r.normal(size=(3, 4)), R=r.normal(size=(4, 4)), t=r.normal(size=(3, 4))))


@bad("VAE blog post", "dlogvar lacks the - 1/2 of the -logvar term", ("logvar",), ("missing-term",))
def kl_to_normal():
    r = rng_of(22)

    def kl(mu, logvar):
        return 0.5 * (np.exp(logvar) + mu ** 2 - 1 - logvar).sum(1), (mu, logvar)

    def kl_backward(dk, cache):
        mu, logvar = cache
        dmu = dk[:, None] * mu
        dlogvar = dk[:, None] * 0.5 * np.exp(logvar)
        return dmu, dlogvar
    return dict(forward=kl, backward=kl_backward, inputs=dict(mu=r.normal(size=(4, 3)), logvar=r.normal(size=(4, 3))))


@bad("course homework", "backward writes zeros into dout, which is the caller's", (), ("mutates-input",))
def leaky_relu_inplace():
    r = rng_of(23)

    def leaky_relu_forward(x, slope):
        return np.where(x > 0, x, slope * x), (x > 0, slope)

    def leaky_relu_backward(dout, cache):
        pos, slope = cache
        dx = dout
        dx[~pos] *= slope
        return dx
    return dict(forward=leaky_relu_forward, backward=leaky_relu_backward, constants=dict(slope=0.1), inputs=dict(x=r.normal(size=(4, 4))))


@bad("metric learning code", "the gradient of the negative has the wrong sign", ("n",), ("sign",))
def triplet_margin():
    r = rng_of(24)

    def triplet(a, p, n, margin):
        dp = ((a - p) ** 2).sum(1)
        dn = ((a - n) ** 2).sum(1)
        h = np.maximum(dp - dn + margin, 0.0)
        return h.mean(), (a, p, n, h > 0)

    def triplet_backward(dl, cache):
        a, p, n, on = cache
        w = (dl * on / len(a))[:, None]
        ga = 2 * w * (n - p)
        gp = -2 * w * (a - p)
        gn = -2 * w * (a - n)
        return ga, gp, gn
    return dict(forward=triplet, backward=triplet_backward, constants=dict(margin=3.0),
                inputs=dict(a=r.normal(size=(5, 2)), p=r.normal(size=(5, 2)), n=r.normal(size=(5, 2))))


@bad("molecular dynamics code", "returns the forces, minus the gradient of the energy", ("pos",), ("sign",))
def lennard_jones():
    r = rng_of(25)
    start = np.array([[0., 0, 0], [1.3, 0, 0], [0, 1.4, 0], [0, 0.2, 1.5]]) + 0.05 * r.normal(size=(4, 3))

    def energy(pos, sigma):
        e = 0.0
        for i in range(len(pos)):
            for j in range(i):
                s6 = (sigma ** 2 / np.sum((pos[i] - pos[j]) ** 2)) ** 3
                e += 4 * (s6 * s6 - s6)
        return np.asarray(e), (pos, sigma)

    def energy_backward(de, cache):
        pos, sigma = cache
        out = np.zeros_like(pos)
        for i in range(len(pos)):
            for j in range(i):
                d = pos[i] - pos[j]
                r2 = d @ d
                s6 = (sigma ** 2 / r2) ** 3
                f = 24 * (2 * s6 * s6 - s6) / r2 * d
                out[i] += f
                out[j] -= f
        return {"pos": de * out}
    return dict(forward=energy, backward=energy_backward, constants=dict(sigma=1.1), inputs=dict(pos=start))


@bad("style transfer code", "the variance of the instance norm is unbiased in the forward, but the backward divides by n", ("x",), ("factor", "missing-term", "elementwise-factor", "unknown"))
def instance_norm_ddof():
    r = rng_of(26)

    def forward(x, scale):
        c, n = x.shape
        xc = x - x.mean(1, keepdims=True)
        sd = np.sqrt((xc ** 2).sum(1, keepdims=True) / (n - 1) + 1e-5)
        return scale[:, None] * xc / sd, (xc / sd, sd, scale)

    def backward(dy, cache):
        h, sd, scale = cache
        n = h.shape[1]
        dh = dy * scale[:, None]
        proj = (dh * h).sum(1, keepdims=True) / n
        dx = (dh - dh.mean(1, keepdims=True) - h * proj) / sd
        return {"x": dx, "scale": (dy * h).sum(1)}
    return dict(forward=forward, backward=backward, inputs=dict(x=r.normal(size=(3, 5)), scale=r.normal(size=3)))


# ------------------------------------------------------------------ right

@good("tutorial notebook")
def softplus_beta():
    r = rng_of(41)
    return dict(forward=lambda x, beta: (np.logaddexp(0, beta * x) / beta, (x, beta)),
                backward=lambda dy, c: dy * 0.5 * (1 + np.tanh(0.5 * c[0] * c[1])),
                constants=dict(beta=2.0), inputs=dict(x=r.normal(size=(3, 4)) * 2))


@good("textbook")
def logsumexp_axis0():
    r = rng_of(42)

    def fwd(a):
        m = a.max(axis=0)
        y = m + np.log(np.exp(a - m).sum(axis=0))
        return y, (a, y)

    def bwd(dy, cache):
        a, y = cache
        return {"a": np.exp(a - y) * dy}
    return dict(forward=fwd, backward=bwd, inputs=dict(a=r.normal(size=(5, 3)) * 3))


@good("vision layer library")
def conv2d_padded_loops():
    r = rng_of(43)

    def forward(x, w, b, pad):
        xp = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
        k = w.shape[2]
        H, W = xp.shape[1] - k + 1, xp.shape[2] - k + 1
        cols = np.stack([xp[:, i:i + H, j:j + W] for i in range(k) for j in range(k)], 1).reshape(-1, H * W)
        y = (w.reshape(len(w), -1) @ cols).reshape(len(w), H, W) + b[:, None, None]
        return y, (xp.shape, w, cols, pad)

    def backward(dy, cache):
        shape, w, cols, pad = cache
        O, H, W = dy.shape
        k = w.shape[2]
        flat = dy.reshape(O, -1)
        dcols = (w.reshape(O, -1).T @ flat).reshape(shape[0], k, k, H, W)
        dxp = np.zeros(shape)
        for i in range(k):
            for j in range(k):
                dxp[:, i:i + H, j:j + W] += dcols[:, i, j]
        return dxp[:, pad:-pad, pad:-pad], (flat @ cols.T).reshape(w.shape), flat.sum(1)
    return dict(forward=forward, backward=backward, constants=dict(pad=1),
                inputs=dict(x=r.normal(size=(2, 4, 3)), w=r.normal(size=(2, 2, 3, 3)), b=r.normal(size=2)))


@good("diffusion code")
def groupnorm_two():
    r = rng_of(44)

    def forward(x, gamma, groups):
        n, c, l = x.shape
        g = x.reshape(n, groups, -1)
        mu = g.mean(-1, keepdims=True)
        iv = 1 / np.sqrt(g.var(-1, keepdims=True) + 1e-5)
        h = ((g - mu) * iv)
        return h.reshape(x.shape) * gamma[:, None], (h, iv, gamma, x.shape)

    def backward(dy, cache):
        h, iv, gamma, shape = cache
        dgamma = np.einsum("ncl,ncl->c", dy, h.reshape(shape))
        dh = (dy * gamma[None, :, None]).reshape(h.shape)
        m = h.shape[-1]
        dx = iv / m * (m * dh - dh.sum(-1, keepdims=True) - h * (dh * h).sum(-1, keepdims=True))
        return {"gamma": dgamma, "x": dx.reshape(shape)}
    return dict(forward=forward, backward=backward, constants=dict(groups=2), inputs=dict(x=r.normal(size=(2, 4, 3)), gamma=r.normal(size=4)))


@good("transformer from scratch")
def causal_attention():
    r = rng_of(45)

    def forward(q, k, v):
        T = len(q)
        s = np.where(np.tril(np.ones((T, T), bool)), q @ k.T / np.sqrt(q.shape[1]), -1e30)
        p = _sm(s)
        return p @ v, (q, k, v, p)

    def backward(do, cache):
        q, k, v, p = cache
        delta = (do * (p @ v)).sum(1, keepdims=True)
        ds = p * (do @ v.T - delta) / np.sqrt(q.shape[1])
        return ds @ k, ds.T @ q, p.T @ do
    return dict(forward=forward, backward=backward, inputs={n: r.normal(size=(4, 3)) for n in "qkv"})


@good("audio code")
def mu_law():
    r = rng_of(46)

    def compress(x, mu):
        return np.sign(x) * np.log1p(mu * np.abs(x)) / np.log1p(mu), (x, mu)

    def compress_backward(dy, c):
        x, mu = c
        return dy * mu / ((1 + mu * np.abs(x)) * np.log1p(mu))
    return dict(forward=compress, backward=compress_backward, constants=dict(mu=15.0),
                inputs=dict(x=r.uniform(.1, 1, 10) * np.where(np.arange(10) % 3 == 0, -1, 1)))


@good("finance code")
def black_scholes_call():
    r = rng_of(47)

    def price(S, vol, rate, K, T):
        d1 = (np.log(S / K) + (rate + vol ** 2 / 2) * T) / (vol * np.sqrt(T))
        d2 = d1 - vol * np.sqrt(T)
        return S * ndtr(d1) - K * np.exp(-rate * T) * ndtr(d2), (S, d1, d2, rate, K, T)

    def greeks(dc, cache):
        S, d1, d2, rate, K, T = cache
        pdf = np.exp(-d1 ** 2 / 2) / np.sqrt(2 * np.pi)
        return dict(S=dc * ndtr(d1), vol=dc * S * pdf * np.sqrt(T),
                    rate=np.sum(dc * K * T * np.exp(-rate * T) * ndtr(d2)))
    return dict(forward=price, backward=greeks, constants=dict(K=np.array([.9, 1, 1.1, 1.2]), T=1.5),
                inputs=dict(S=r.uniform(.8, 1.3, 4), vol=r.uniform(.2, .5, 4), rate=np.array(0.03)))


@good("NLP research code")
def gru_step():
    r = rng_of(48)

    def step(x, h, W, U):
        n = h.shape[1]
        a, b = x @ W, h @ U
        z = expit(a[:, :n] + b[:, :n])
        g = expit(a[:, n:2 * n] + b[:, n:2 * n])
        c = np.tanh(a[:, 2 * n:] + g * b[:, 2 * n:])
        return z * h + (1 - z) * c, (x, h, W, U, z, g, c, b[:, 2 * n:])

    def step_back(dh2, cache):
        x, h, W, U, z, g, c, bc = cache
        dz = dh2 * (h - c) * z * (1 - z)
        dc = dh2 * (1 - z) * (1 - c * c)
        dg = dc * bc * g * (1 - g)
        da = np.hstack([dz, dg, dc])
        db = np.hstack([dz, dg, dc * g])
        return {"x": da @ W.T, "h": dh2 * z + db @ U.T, "W": x.T @ da, "U": h.T @ db}
    return dict(forward=step, backward=step_back,
                inputs=dict(x=r.normal(size=(3, 2)), h=r.normal(size=(3, 2)), W=r.normal(size=(2, 6)), U=r.normal(size=(2, 6))))


@good("vision research code")
def depthwise_circular():
    r = rng_of(49)

    def forward(x, w):
        return sum(w[:, k:k + 1] * np.roll(x, k - 1, axis=1) for k in range(3)), (x, w)

    def backward(dy, cache):
        x, w = cache
        dx = sum(w[:, k:k + 1] * np.roll(dy, 1 - k, axis=1) for k in range(3))
        dw = np.stack([(dy * np.roll(x, k - 1, axis=1)).sum(1) for k in range(3)], 1)
        return dx, dw
    return dict(forward=forward, backward=backward, inputs=dict(x=r.normal(size=(3, 6)), w=r.normal(size=(3, 3))))


@good("graphics code")
def bilinear_sample():
    r = rng_of(50)
    uv0 = np.stack([r.integers(0, 3, 5), r.integers(0, 3, 5)], 1) + r.uniform(.1, .9, (5, 2))

    def sample(img, uv):
        i0 = np.floor(uv).astype(int)
        f = uv - i0
        i, j = i0.T
        fu, fv = f.T
        top = img[i, j] * (1 - fv) + img[i, j + 1] * fv
        bot = img[i + 1, j] * (1 - fv) + img[i + 1, j + 1] * fv
        return top * (1 - fu) + bot * fu, (img, i, j, fu, fv, top, bot)

    def sample_backward(dy, cache):
        img, i, j, fu, fv, top, bot = cache
        d = np.zeros_like(img)
        np.add.at(d, (i, j), dy * (1 - fu) * (1 - fv))
        np.add.at(d, (i, j + 1), dy * (1 - fu) * fv)
        np.add.at(d, (i + 1, j), dy * fu * (1 - fv))
        np.add.at(d, (i + 1, j + 1), dy * fu * fv)
        dv = (img[i, j + 1] - img[i, j]) * (1 - fu) + (img[i + 1, j + 1] - img[i + 1, j]) * fu
        return {"img": d, "uv": np.stack([dy * (bot - top), dy * dv], 1)}
    return dict(forward=sample, backward=sample_backward, inputs=dict(img=r.normal(size=(4, 4)), uv=uv0))


@good("layer library")
def mish_object():
    r = rng_of(51)

    class Mish:
        def forward(self, x):
            self.x = x.copy()
            self.t = np.tanh(np.log1p(np.exp(x)))
            return x * self.t

        def backward(self, dy):
            return dy * (self.t + self.x * (1 - self.t ** 2) / (1 + np.exp(-self.x)))
    m = Mish()

    def fwd(x):
        y = m.forward(x)
        return y, (m.x, m.t)

    def bwd(dy, cache):
        m.x, m.t = cache
        return m.backward(dy)
    return dict(forward=fwd, backward=bwd, inputs=dict(x=r.normal(size=(2, 6))))


@good("medical imaging code")
def bce_pos_weight():
    r = rng_of(52)

    def loss(z, y, pw):
        return np.mean(pw * y * np.logaddexp(0, -z) + (1 - y) * np.logaddexp(0, z)), (z, y, pw)

    def grad(dl, c):
        z, y, pw = c
        p = expit(z)
        return (dl * ((1 - y) * p - pw * y * (1 - p)) / z.size,)
    return dict(forward=loss, backward=grad, constants=dict(y=(np.arange(12).reshape(3, 4) % 3 == 0) * 1.0, pw=3.0), inputs=dict(z=r.normal(size=(3, 4))))


@good("NLP research code")
def bag_of_embeddings():
    r = rng_of(53)

    def forward(table, ids, pad):
        keep = (ids != pad)[..., None]
        n = keep.sum(1)
        return (table[ids] * keep).sum(1) / n, (table.shape, ids, keep, n)

    def backward(dy, cache):
        (v, d), ids, keep, n = cache
        g = np.where(keep, (dy / n)[:, None, :], 0.0)
        hot = np.eye(v)[ids.ravel()]
        return hot.T @ g.reshape(-1, d)
    return dict(forward=forward, backward=backward, constants=dict(ids=np.array([[1, 2, 2, 0], [3, 1, 0, 0], [4, 4, 1, 2]]), pad=0),
                inputs=dict(table=r.normal(size=(6, 3))))


@good("robotics code")
def quaternion_rotate():
    r = rng_of(54)

    def rotate(q, v):
        w, u = q[0], q[1:]
        t = 2 * np.cross(u, v)
        return v + w * t + np.cross(u, t), (q, v, t)

    def rotate_backward(dy, cache):
        q, v, t = cache
        w, u = q[0], q[1:]
        dt = w * dy + np.cross(dy, u)
        du = np.cross(t, dy).sum(0) + 2 * np.cross(v, dt).sum(0)
        dv = dy + 2 * np.cross(dt, u)
        return {"q": np.concatenate([[(dy * t).sum()], du]), "v": dv}
    return dict(forward=rotate, backward=rotate_backward, inputs=dict(q=r.normal(size=4), v=r.normal(size=(5, 3))))


@good("statistics code")
def gaussian_process_nll():
    r = rng_of(55)
    X = np.linspace(0, 3, 6)
    D2 = (X[:, None] - X[None]) ** 2

    def nll(logl, lognoise, y):
        K = np.exp(-0.5 * D2 * np.exp(-2 * logl))
        A = K + np.exp(lognoise) * np.eye(6)
        Ai = np.linalg.inv(A)
        return 0.5 * y @ Ai @ y + 0.5 * np.linalg.slogdet(A)[1], (K, Ai, Ai @ y, logl, lognoise)

    def nll_backward(d, cache):
        K, Ai, al, logl, lognoise = cache
        dA = 0.5 * (Ai - np.outer(al, al))
        return (d * np.sum(dA * K * D2) * np.exp(-2 * logl), d * np.trace(dA) * np.exp(lognoise), d * al)
    return dict(forward=nll, backward=nll_backward, inputs=dict(logl=np.array(0.1), lognoise=np.array(-1.0), y=r.normal(size=6)))


@good("RL research code")
def gumbel_softmax_fixed_noise():
    r = rng_of(56)

    def relax(logits, u, tau):
        y = _sm((logits - np.log(-np.log(u))) / tau)
        return y, (y, tau)

    def relax_backward(dy, cache):
        y, tau = cache
        J = np.einsum("ni,ij->nij", y, np.eye(y.shape[1])) - y[:, :, None] * y[:, None, :]
        return np.einsum("nij,nj->ni", J, dy) / tau
    return dict(forward=relax, backward=relax_backward, constants=dict(u=r.uniform(.05, .95, (4, 3)), tau=0.7), inputs=dict(logits=r.normal(size=(4, 3))))
