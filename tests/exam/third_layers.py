"""Exam paper: single layers, activations, normalisations, losses, small functional pairs."""
from typing import Callable, NamedTuple

import numpy as np
from scipy.special import digamma, erf, expit, gammaln, ndtr, logsumexp as _lse


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


def good(style, check="vjp"):
    def deco(fn):
        ITEMS.append(Item(fn.__name__, style, check, fn, True))
        return fn
    return deco


def bad(style, slip, wrong, causes, check="vjp"):
    def deco(fn):
        ITEMS.append(Item(fn.__name__, style, check, fn, False, slip, tuple(wrong), tuple(causes)))
        return fn
    return deco


def R(seed):
    return np.random.default_rng(seed)


# ============================================================ wrong =========

@bad("class assignment", "db is the mean over the batch while the layer does not average; use dout.sum(0).", ["b"], ["factor"])
def affine_relu_assignment():
    def affine_relu_forward(x, w, b):
        a = x.reshape(x.shape[0], -1).dot(w) + b
        out = np.maximum(0, a)
        cache = (x, w, b, a)
        return out, cache

    def affine_relu_backward(dout, cache):
        x, w, b, a = cache
        da = dout * (a > 0)
        dx = da.dot(w.T).reshape(x.shape)
        dw = x.reshape(x.shape[0], -1).T.dot(da)
        db = da.mean(axis=0)
        return dx, dw, db
    r = R(1)
    return dict(forward=affine_relu_forward, backward=affine_relu_backward,
                inputs=dict(x=r.normal(size=(4, 2, 3)), w=r.normal(size=(6, 3)), b=r.normal(size=3)))


@bad("transformer from scratch", "The gradient through the mean of the row is missing: subtract dxhat.mean(-1).", ["x"], ["missing-term"])
def layernorm_transformer():
    def layer_norm(x, g, b, eps=1e-5):
        mu = x.mean(-1, keepdims=True)
        var = x.var(-1, keepdims=True)
        rstd = 1.0 / np.sqrt(var + eps)
        xhat = (x - mu) * rstd
        return g * xhat + b, (xhat, rstd, g)

    def layer_norm_bwd(dout, cache):
        xhat, rstd, g = cache
        dg = (dout * xhat).sum(0)
        db = dout.sum(0)
        dxhat = dout * g
        dx = rstd * (dxhat - xhat * (dxhat * xhat).mean(-1, keepdims=True))
        return dict(x=dx, g=dg, b=db)
    r = R(2)
    return dict(forward=layer_norm, backward=layer_norm_bwd,
                inputs=dict(x=r.normal(size=(5, 6)) * 2, g=r.uniform(.5, 1.5, 6), b=r.normal(size=6)))


class _BatchNorm1d:
    def __init__(self, gamma, beta, eps=1e-5):
        self.gamma, self.beta, self.eps = gamma, beta, eps
        self.grads = {}

    def forward(self, x):
        self.xmu = x - x.mean(axis=0)
        self.ivar = 1 / np.sqrt((self.xmu ** 2).mean(axis=0) + self.eps)
        self.xhat = self.xmu * self.ivar
        return self.gamma * self.xhat + self.beta

    def backward(self, dout):
        N = dout.shape[0]
        self.grads['gamma'] = np.sum(dout * self.xmu, axis=0)
        self.grads['beta'] = np.sum(dout, axis=0)
        dxhat = dout * self.gamma
        return self.ivar / N * (N * dxhat - dxhat.sum(0) - self.xhat * (dxhat * self.xhat).sum(0))


@bad("layer class with state", "dgamma sums dout times the centred x; it should be the normalised xhat (1/std is missing).", ["gamma"], ["elementwise-factor"])
def batchnorm_class():
    def forward(x, gamma, beta):
        layer = _BatchNorm1d(gamma, beta)
        return layer.forward(x), layer

    def backward(dy, layer):
        dx = layer.backward(dy)
        return {"x": dx, "gamma": layer.grads["gamma"], "beta": layer.grads["beta"]}
    r = R(3)
    return dict(forward=forward, backward=backward,
                inputs=dict(x=r.normal(size=(6, 4)) * np.array([3, .4, 2, 5]) + 1, gamma=r.uniform(.5, 2, 4), beta=r.normal(size=4)))


@bad("LLM inference port", "The projection term uses dy instead of dy * weight: the gain is missing in the second term.", ["x"], ["missing-term", "elementwise-factor"])
def rmsnorm_port():
    def rmsnorm(x, weight):
        ms = np.mean(np.square(x), axis=-1, keepdims=True)
        scale = 1.0 / np.sqrt(ms + 1e-6)
        return x * scale * weight, {"x": x, "scale": scale, "weight": weight}

    def rmsnorm_grad(dy, c):
        xn = c["x"] * c["scale"]
        d_weight = np.einsum("td,td->d", dy, xn)
        dxn = dy * c["weight"]
        dx = c["scale"] * (dxn - xn * np.mean(dy * xn, axis=-1, keepdims=True))
        return {"x": dx, "weight": d_weight}
    r = R(4)
    return dict(forward=rmsnorm, backward=rmsnorm_grad,
                inputs=dict(x=r.normal(size=(4, 5)), weight=np.array([.2, 3., -1., 1.8, .6])))


def _softmax(s):
    e = np.exp(s - s.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


@bad("attention notebook", "dk lacks the 1/sqrt(d) of the scores; dq has it.", ["k"], ["factor"])
def attention_scale():
    def forward(q, k, v):
        d = q.shape[-1]
        P = _softmax(q @ k.T / np.sqrt(d))
        return P @ v, (q, k, v, P)

    def backward(dO, cache):
        q, k, v, P = cache
        dv = P.T @ dO
        dP = dO @ v.T
        dS = P * (dP - (dP * P).sum(-1, keepdims=True))
        dq = dS @ k / np.sqrt(q.shape[-1])
        dk = dS.T @ q
        return dq, dk, dv
    r = R(5)
    return dict(forward=forward, backward=backward,
                inputs=dict(q=r.normal(size=(4, 3)), k=r.normal(size=(5, 3)), v=r.normal(size=(5, 2))))


@bad("attention notebook", "dV multiplies by A, not by A transposed.", ["V"], ["transpose"])
def self_attention_batched():
    def forward(Q, K, V):
        S = np.einsum('bid,bjd->bij', Q, K)
        A = _softmax(S)
        return np.einsum('bij,bjd->bid', A, V), dict(Q=Q, K=K, V=V, A=A)

    def backward(dY, c):
        dV = np.einsum('bij,bjd->bid', c['A'], dY)
        dA = np.einsum('bid,bjd->bij', dY, c['V'])
        dS = c['A'] * (dA - np.sum(dA * c['A'], -1, keepdims=True))
        return {'Q': np.einsum('bij,bjd->bid', dS, c['K']), 'K': np.einsum('bij,bid->bjd', dS, c['Q']), 'V': dV}
    r = R(6)
    return dict(forward=forward, backward=backward,
                inputs=dict(Q=r.normal(size=(3, 3, 2)), K=r.normal(size=(3, 3, 2)), V=r.normal(size=(3, 3, 4))))


@bad("NLP lab", "dE[ids] += dout keeps one of the repeated words only; np.add.at is needed.", ["E"], ["missing-term", "batch-sum"])
def embedding_lookup():
    def embed_forward(E, ids):
        return E[ids], (E.shape, ids)

    def embed_backward(dout, cache):
        shape, ids = cache
        dE = np.zeros(shape)
        dE[ids] += dout
        return dE
    r = R(7)
    ids = np.array([[0, 2, 2], [4, 0, 1], [2, 2, 4]])
    return dict(forward=embed_forward, backward=embed_backward, inputs=dict(E=r.normal(size=(6, 3))), constants=dict(ids=ids))


@bad("activation zoo", "The derivative of the cubic lacks the 3: du = c (1 + 3 * 0.044715 x^2).", ["x"], ["elementwise-factor", "missing-term"])
def gelu_tanh():
    C = np.sqrt(2 / np.pi)

    def gelu(x):
        t = np.tanh(C * (x + 0.044715 * x ** 3))
        return 0.5 * x * (1 + t), (x, t)

    def gelu_backward(dy, cache):
        x, t = cache
        return dy * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * C * (1 + 0.044715 * x * x))
    r = R(8)
    return dict(forward=gelu, backward=gelu_backward, inputs=dict(x=r.uniform(-2, 2, size=(4, 5))))


@bad("blog tutorial", "sigmoid's slope is taken at the pre-activation z instead of the activation a: a (1 - a).", ["X", "W", "b"], ["elementwise-factor"])
def sigmoid_neuron_blog():
    def sigmoid(z):
        return 1 / (1 + np.exp(-z))

    def sigmoid_prime(a):
        return a * (1 - a)

    def feedforward(X, W, b):
        z = np.dot(X, W) + b
        a = sigmoid(z)
        return a, {"X": X, "W": W, "z": z, "a": a}

    def backprop(error, cache):
        delta = error * sigmoid_prime(cache["z"])
        return {"X": delta.dot(cache["W"].T), "W": cache["X"].T.dot(delta), "b": delta.sum(axis=0)}
    r = R(9)
    return dict(forward=feedforward, backward=backprop, inputs=dict(X=r.normal(size=(5, 3)), W=r.normal(size=(3, 2)), b=r.normal(size=2)))


@bad("speech separation research code", "The gate's gradient lacks the content a: dgate = dy * a * s * (1 - s).", ["gate"], ["elementwise-factor"])
def gated_linear_unit():
    def glu(content, gate):
        s = expit(gate)
        return content * s, (content, s)

    def glu_bwd(dy, saved):
        content, s = saved
        return dy * s, dy * s * (1 - s)
    r = R(10)
    return dict(forward=glu, backward=glu_bwd, inputs=dict(content=r.normal(size=(3, 2, 4)), gate=r.normal(size=(3, 2, 4))))


@bad("metric learning", "The negative's gradient has the wrong sign: d/dn of -|a-n|^2 is +2 (a - n).", ["negative"], ["sign"])
def triplet_loss():
    def triplet_forward(anchor, positive, negative, margin):
        dp = ((anchor - positive) ** 2).sum(1)
        dn = ((anchor - negative) ** 2).sum(1)
        viol = dp - dn + margin
        active = viol > 0
        return np.mean(np.where(active, viol, 0.)), (anchor, positive, negative, active)

    def triplet_backward(g, cache):
        a, p, n, active = cache
        w = (g / len(a)) * active[:, None]
        return dict(anchor=2 * w * (n - p), positive=-2 * w * (a - p), negative=-2 * w * (a - n))
    r = R(11)
    return dict(forward=triplet_forward, backward=triplet_backward,
                inputs=dict(anchor=r.normal(size=(5, 3)), positive=r.normal(size=(5, 3)), negative=r.normal(size=(5, 3))), constants=dict(margin=1.0))


@bad("contrastive image-text pretraining", "d log_scale must be sum(dlogits * logits): the factor exp(log_scale) is missing.", ["log_scale"], ["factor", "elementwise-factor"])
def clip_loss():
    def clip_loss_fwd(img, txt, log_scale):
        sim = img @ txt.T
        logits = np.exp(log_scale) * sim
        n = len(img)
        lp_i = logits - _lse(logits, axis=1, keepdims=True)
        lp_t = logits - _lse(logits, axis=0, keepdims=True)
        loss = -0.5 * (np.trace(lp_i) + np.trace(lp_t)) / n
        return loss, (img, txt, log_scale, sim, lp_i, lp_t)

    def clip_loss_bwd(dloss, cache):
        img, txt, log_scale, sim, lp_i, lp_t = cache
        n = len(img)
        dlogits = dloss * 0.5 / n * (np.exp(lp_i) + np.exp(lp_t) - 2 * np.eye(n))
        dsim = dlogits * np.exp(log_scale)
        return dsim @ txt, dsim.T @ img, np.sum(dlogits * sim)
    r = R(12)
    return dict(forward=clip_loss_fwd, backward=clip_loss_bwd,
                inputs=dict(img=r.normal(size=(4, 3)) * .7, txt=r.normal(size=(4, 3)) * .7, log_scale=np.array(0.8)))


@bad("NLP lab", "Padding rows are ignored in the forward mean, but the backward divides by all rows rather than by the number of valid ones.", ["logits"], ["factor"])
def masked_cross_entropy():
    def cross_entropy(logits, target, ignore_index=-100):
        keep = target != ignore_index
        logp = logits - _lse(logits, axis=1, keepdims=True)
        t = np.where(keep, target, 0)
        nll = -logp[np.arange(len(t)), t] * keep
        return nll.sum() / keep.sum(), (logp, t, keep)

    def cross_entropy_grad(dout, cache):
        logp, t, keep = cache
        d = np.exp(logp)
        d[np.arange(len(t)), t] -= 1
        return dout * d * keep[:, None] / len(t)
    r = R(13)
    return dict(forward=cross_entropy, backward=cross_entropy_grad, inputs=dict(logits=r.normal(size=(6, 4))),
                constants=dict(target=np.array([1, -100, 3, 0, -100, 2])))


@bad("learning to rank", "Only the better document of each pair is pushed; the worse one's -dS is missing.", ["scores"], ["missing-term"])
def ranknet():
    def ranknet_loss(scores, pairs):
        i, j = pairs[:, 0], pairs[:, 1]
        diff = scores[i] - scores[j]
        return np.logaddexp(0, -diff).sum(), (scores, pairs, diff)

    def ranknet_lambdas(dloss, cache):
        scores, pairs, diff = cache
        lam = -dloss * expit(-diff)
        out = np.zeros_like(scores)
        for (hi, lo), l in zip(pairs, lam):
            out[hi] += l
        return out
    r = R(14)
    return dict(forward=ranknet_loss, backward=ranknet_lambdas, inputs=dict(scores=r.normal(size=6)),
                constants=dict(pairs=np.array([[0, 1], [0, 2], [3, 1], [4, 5], [2, 5], [3, 4]])))


@bad("pooling with loops", "Overlapping windows: dx is assigned (=) where it should be added (+=).", ["x"], ["missing-term"])
def avgpool_overlap():
    def avgpool1d(x, k=3, stride=2):
        n = (x.shape[1] - k) // stride + 1
        y = np.stack([x[:, i * stride:i * stride + k].mean(axis=1) for i in range(n)], axis=1)
        return y, (x.shape, k, stride, n)

    def avgpool1d_backward(dy, cache):
        shape, k, stride, n = cache
        dx = np.zeros(shape)
        for i in range(n):
            dx[:, i * stride:i * stride + k] = dy[:, i:i + 1] / k
        return dx
    r = R(15)
    return dict(forward=avgpool1d, backward=avgpool1d_backward, inputs=dict(x=r.normal(size=(4, 9))))


@bad("signal processing", "np.convolve flips the taps, the gradient for them is not flipped back: dh must be reversed.", ["h"], ["transpose"])
def fir_filter():
    def fir(x, h):
        y = np.array([np.convolve(row, h, mode="valid") for row in x])
        return y, (x, h)

    def fir_adjoint(dy, cache):
        x, h = cache
        dx = np.array([np.correlate(row, h, mode="full") for row in dy])
        dh = sum(np.correlate(xr, gr, mode="valid") for xr, gr in zip(x, dy))
        return {"x": dx, "h": dh}
    r = R(16)
    return dict(forward=fir, backward=fir_adjoint, inputs=dict(x=r.normal(size=(3, 9)), h=np.array([.9, -.4, .1])))


@bad("signal processing", "d alpha lacks the -x_t part: y_t = a y_{t-1} + (1 - a) x_t.", ["alpha"], ["missing-term"])
def one_pole_smoother():
    def smooth(x, alpha):
        y = np.empty_like(x)
        prev = np.zeros(len(x))
        for t in range(x.shape[1]):
            prev = alpha[0] * prev + (1 - alpha[0]) * x[:, t]
            y[:, t] = prev
        return y, (x, alpha, y)

    def smooth_back(gy, tape):
        x, alpha, y = tape
        gx, galpha = np.empty_like(x), np.zeros(1)
        carry = np.zeros(len(x))
        for t in reversed(range(x.shape[1])):
            g = gy[:, t] + carry
            gx[:, t] = (1 - alpha[0]) * g
            before = y[:, t - 1] if t else np.zeros(len(x))
            galpha += np.sum(g * before)
            carry = alpha[0] * g
        return gx, galpha
    r = R(17)
    return dict(forward=smooth, backward=smooth_back, inputs=dict(x=r.normal(size=(3, 6)) + .5, alpha=np.array([.7])))


@bad("physics simulation", "The adjoint of cumsum runs backwards in time; here it runs forwards.", ["acc"], ["transpose", "missing-term"])
def integrate_velocity():
    def velocity(v0, acc, dt):
        return v0[:, None] + dt * np.cumsum(acc, axis=1), dt

    def velocity_vjp(dv, dt):
        return dict(v0=dv.sum(axis=1), acc=dt * np.cumsum(dv, axis=1))
    r = R(18)
    return dict(forward=velocity, backward=velocity_vjp, inputs=dict(v0=r.normal(size=4), acc=r.normal(size=(4, 5))), constants=dict(dt=0.1))


@bad("graphics", "Points are p R^T, so the gradient is dy R; here the inverse rotation is applied: R stands transposed.", ["points"], ["transpose"])
def rotate_points_2d():
    def rotate(points, theta):
        c, s = np.cos(theta), np.sin(theta)
        Rm = np.array([[c, -s], [s, c]])
        return points @ Rm.T, (points, theta, Rm)

    def rotate_backward(dy, cache):
        points, theta, Rm = cache
        c, s = np.cos(theta), np.sin(theta)
        dR = np.array([[-s, -c], [c, -s]])
        return dict(points=dy @ Rm.T, theta=np.sum(dy * (points @ dR.T)))
    r = R(19)
    return dict(forward=rotate, backward=rotate_backward, inputs=dict(points=r.normal(size=(5, 2)), theta=np.array(0.7)))


@bad("graphics", "The normal's gradient is not projected: -n (n . dn) / |N| of the normalisation is missing.", ["normal"], ["missing-term"])
def lambert_shading():
    def shade(normal, light, albedo):
        length = np.linalg.norm(normal, axis=1, keepdims=True)
        n = normal / length
        cos = n @ light
        lit = np.maximum(cos, 0.0)
        return albedo * lit[:, None], (n, length, light, albedo, cos)

    def shade_grad(dcol, ctx):
        n, length, light, albedo, cos = ctx
        dcos = (dcol * albedo).sum(1) * (cos > 0)
        dlight = n.T @ dcos
        dn = np.outer(dcos, light)
        return {"normal": dn / length, "light": dlight, "albedo": dcol * np.maximum(cos, 0)[:, None]}
    r = R(20)
    return dict(forward=shade, backward=shade_grad,
                inputs=dict(normal=r.normal(size=(4, 3)) + np.array([0, 0, 2.]), light=np.array([.3, -.2, .9]), albedo=r.uniform(.2, .9, (4, 3))))


@bad("reinforcement-learning baseline", "In the linear part the slope is delta * sign(err); the delta is missing.", ["q"], ["elementwise-factor"])
def huber_td():
    def huber_loss(q, target, delta):
        err = q - target
        small = np.abs(err) <= delta
        return np.where(small, 0.5 * err ** 2, delta * (np.abs(err) - 0.5 * delta)), (err, small)

    def huber_loss_grad(dloss, cache):
        err, small = cache
        return dloss * np.where(small, err, np.sign(err))
    q = np.array([0.2, -1.7, 3.0, 0.9, -0.4, 2.2])
    return dict(forward=huber_loss, backward=huber_loss_grad, inputs=dict(q=q), constants=dict(target=np.array([0., 1.2, 0.3, 0.7, -.1, -1.]), delta=2.0))


@bad("quantitative finance", "Theta lacks the discounting term r K exp(-rT) N(d2).", ["T"], ["missing-term"])
def call_price_greeks():
    def call(S, K, sigma, T, r):
        sq = sigma * np.sqrt(T)
        d1 = (np.log(S / K) + (r + 0.5 * sigma ** 2) * T) / sq
        d2 = d1 - sq
        df = np.exp(-r * T)
        return S * ndtr(d1) - K * df * ndtr(d2), (S, K, sigma, T, r, d1, d2, df)

    def call_greeks(bar, cache):
        S, K, sigma, T, r, d1, d2, df = cache
        pdf = np.exp(-0.5 * d1 ** 2) / np.sqrt(2 * np.pi)
        delta = ndtr(d1)
        strike = -df * ndtr(d2)
        vega = S * pdf * np.sqrt(T)
        theta = S * pdf * sigma / (2 * np.sqrt(T))
        return bar * delta, bar * strike, bar * vega, bar * theta
    return dict(forward=call, backward=call_greeks,
                inputs=dict(S=np.array([1.0, 1.1, .9, 1.3]), K=np.array([1., 1., 1., .9]), sigma=np.array([.2, .3, .25, .4]), T=np.array([1., .5, 2., .25])),
                constants=dict(r=0.05))


@bad("statistics", "The log-scale's gradient is 1 - z^2; the 1 of the normaliser is missing.", ["log_sigma"], ["missing-term"])
def gaussian_nll_logscale():
    def nll(mu, log_sigma, y):
        z = (y - mu) * np.exp(-log_sigma)
        return np.sum(0.5 * z ** 2 + log_sigma + 0.5 * np.log(2 * np.pi), axis=1), (z, log_sigma)

    def nll_score(g, cache):
        z, log_sigma = cache
        g = g[:, None]
        return {"mu": -g * z * np.exp(-log_sigma), "log_sigma": -g * z ** 2}
    r = R(23)
    return dict(forward=nll, backward=nll_score, inputs=dict(mu=r.normal(size=(4, 3)), log_sigma=r.normal(size=(4, 3)) * .4), constants=dict(y=r.normal(size=(4, 3))))


@bad("statistics", "2 A x holds for symmetric A only; the gradient is (A + A^T) x.", ["x"], ["transpose", "missing-term"])
def quadratic_form():
    def quad(x, A):
        return np.einsum("ni,ij,nj->n", x, A, x), (x, A)

    def quad_vjp(g, cache):
        x, A = cache
        return dict(x=2 * g[:, None] * (x @ A.T), A=np.einsum("n,ni,nj->ij", g, x, x))
    r = R(24)
    return dict(forward=quad, backward=quad_vjp, inputs=dict(x=r.normal(size=(5, 3)), A=r.normal(size=(3, 3))))


@bad("recommender research code", "v's gradient is not divided by |v|; u's is divided by |u|.", ["v"], ["elementwise-factor"])
def cosine_similarity():
    def cos_sim(u, v):
        nu = np.sqrt((u * u).sum(1, keepdims=True))
        nv = np.sqrt((v * v).sum(1, keepdims=True))
        uh, vh = u / nu, v / nv
        sim = (uh * vh).sum(1)
        return sim, (uh, vh, nu, nv, sim)

    def cos_sim_backward(dsim, cache):
        uh, vh, nu, nv, sim = cache
        d, s = dsim[:, None], sim[:, None]
        return d * (vh - s * uh) / nu, d * (uh - s * vh)
    r = R(25)
    return dict(forward=cos_sim, backward=cos_sim_backward, inputs=dict(u=r.normal(size=(5, 4)), v=r.normal(size=(5, 4)) * 2))


@bad("splines", "The derivative of the parameter lacks the knot spacing: dy/dx = slope / h.", ["x"], ["factor"])
def linear_spline():
    def spline(x, coef, lo, h):
        u = (x - lo) / h
        i = np.floor(u).astype(int)
        f = u - i
        return (1 - f) * coef[i] + f * coef[i + 1], (i, f, coef, h)

    def spline_grad(dy, cache):
        i, f, coef, h = cache
        dcoef = np.zeros_like(coef)
        np.add.at(dcoef, i, dy * (1 - f))
        np.add.at(dcoef, i + 1, dy * f)
        return {"x": dy * (coef[i + 1] - coef[i]), "coef": dcoef}
    r = R(26)
    return dict(forward=spline, backward=spline_grad, inputs=dict(x=np.array([-.82, -.3, .12, .61, .77]), coef=r.normal(size=6)),
                constants=dict(lo=-1.0, h=0.4))


class _Dropout:
    def __init__(self, p, mask):
        self.keep, self.mask = 1 - p, mask

    def __call__(self, x):
        return x * self.mask / self.keep

    def backward(self, grad_output):
        return grad_output * self.mask


@bad("port of a framework", "Inverted dropout: the backward lacks the 1/keep.", ["x"], ["factor"])
def inverted_dropout():
    mask = (R(270).random((4, 6)) < .6).astype(float)

    def forward(x, mask):
        m = _Dropout(0.4, mask)
        return m(x), m

    def backward(dy, module):
        return module.backward(dy)
    return dict(forward=forward, backward=backward, inputs=dict(x=R(27).normal(size=(4, 6))), constants=dict(mask=mask))


@bad("GAN repo", "The negative side's slope 0.2 is missing: a plain relu mask was used.", ["x"], ["elementwise-factor", "zero"])
def leaky_relu():
    lrelu = lambda x: (np.where(x > 0, x, 0.2 * x), x)
    lrelu_grad = lambda d, x: d * (x > 0)
    return dict(forward=lrelu, backward=lrelu_grad, inputs=dict(x=R(28).normal(size=(5, 4))))


@bad("style transfer", "dgamma is summed over the channels instead of the batch and pixels.", ["gamma"], ["shape"])
def instance_norm():
    def inorm(x, gamma, beta):
        m = x.mean(axis=(2, 3), keepdims=True)
        s = np.sqrt(x.var(axis=(2, 3), keepdims=True) + 1e-5)
        xn = (x - m) / s
        return gamma[None, :, None, None] * xn + beta[None, :, None, None], (xn, s, gamma)

    def inorm_back(dy, cache):
        xn, s, gamma = cache
        dgamma = (dy * xn).sum(axis=(1, 2, 3))
        dbeta = dy.sum(axis=(0, 2, 3))
        d = dy * gamma[None, :, None, None]
        dx = (d - d.mean((2, 3), keepdims=True) - xn * (d * xn).mean((2, 3), keepdims=True)) / s
        return dx, dgamma, dbeta
    r = R(29)
    return dict(forward=inorm, backward=inorm_back, inputs=dict(x=r.normal(size=(3, 2, 2, 3)), gamma=r.uniform(.5, 2, 2), beta=r.normal(size=2)))


@bad("class assignment", "The true class' column -count is missing from the margin matrix.", ["W"], ["missing-term"])
def multiclass_svm():
    def svm_loss(W, X, y, reg):
        scores = X.dot(W)
        n = X.shape[0]
        margins = np.maximum(0, scores - scores[np.arange(n), y][:, None] + 1)
        margins[np.arange(n), y] = 0
        return margins.sum() / n + reg * np.sum(W * W), (W, X, y, reg, margins)

    def svm_grad(dloss, cache):
        W, X, y, reg, margins = cache
        binary = (margins > 0).astype(float)
        dW = X.T.dot(binary) / X.shape[0] + 2 * reg * W
        return dloss * dW
    r = R(30)
    return dict(forward=svm_loss, backward=svm_grad, inputs=dict(W=r.normal(size=(4, 3))),
                constants=dict(X=r.normal(size=(6, 4)), y=np.array([0, 2, 1, 1, 0, 2]), reg=0.05))


@bad("multiple-instance pooling", "The sharpness beta cancels (1/beta outside); the backward multiplies by it once too often.", ["x"], ["factor"])
def smooth_max_pool():
    def lse_pool(x, beta):
        return (_lse(beta * x, axis=1) - np.log(x.shape[1])) / beta, (x, beta)

    def lse_pool_backward(dy, cache):
        x, beta = cache
        return dy[:, None] * beta * _softmax(beta * x)
    return dict(forward=lse_pool, backward=lse_pool_backward, inputs=dict(x=R(31).normal(size=(4, 5))), constants=dict(beta=3.0))


@bad("dicts of gradients", "The carry path (1 - t) * dy into x is missing.", ["x"], ["missing-term"])
def highway_layer():
    def highway(x, Wh, Wt, bt):
        h = np.tanh(x @ Wh)
        t = expit(x @ Wt + bt)
        return t * h + (1 - t) * x, dict(x=x, Wh=Wh, Wt=Wt, h=h, t=t)

    def highway_backward(dy, c):
        g = {}
        dzh = dy * c['t'] * (1 - c['h'] ** 2)
        dzt = dy * (c['h'] - c['x']) * c['t'] * (1 - c['t'])
        g['Wh'] = c['x'].T @ dzh
        g['Wt'] = c['x'].T @ dzt
        g['bt'] = dzt.sum(0)
        g['x'] = dzh @ c['Wh'].T + dzt @ c['Wt'].T
        return g
    r = R(32)
    return dict(forward=highway, backward=highway_backward,
                inputs=dict(x=r.normal(size=(5, 3)), Wh=r.normal(size=(3, 3)), Wt=r.normal(size=(3, 3)), bt=np.full(3, -1.)))


@bad("features-first lecture code", "dW and db are divided by m although the layer's output is not averaged.", ["W", "b"], ["factor"])
def linear_activation_lecture():
    def linear_activation_forward(A_prev, W, b):
        Z = np.dot(W, A_prev) + b
        A = np.tanh(Z)
        return A, ((A_prev, W, b), A)

    def linear_activation_backward(dA, cache):
        (A_prev, W, b), A = cache
        m = A_prev.shape[1]
        dZ = dA * (1 - np.power(A, 2))
        dW = 1 / m * np.dot(dZ, A_prev.T)
        db = 1 / m * np.sum(dZ, axis=1, keepdims=True)
        dA_prev = np.dot(W.T, dZ)
        return dA_prev, dW, db
    r = R(33)
    return dict(forward=linear_activation_forward, backward=linear_activation_backward,
                inputs=dict(A_prev=r.normal(size=(3, 5)), W=r.normal(size=(2, 3)), b=r.normal(size=(2, 1))))


@bad("features-first lecture code", "db sums over the units (axis 0), not over the examples (axis 1).", ["b"], ["shape"])
def linear_lecture_bias():
    def linear_forward(A, W, b):
        return W @ A + b, (A, W, b)

    def linear_backward(dZ, cache):
        A, W, b = cache
        return W.T @ dZ, dZ @ A.T, np.sum(dZ, axis=0, keepdims=True)
    r = R(34)
    return dict(forward=linear_forward, backward=linear_backward,
                inputs=dict(A=r.normal(size=(3, 6)), W=r.normal(size=(4, 3)), b=r.normal(size=(4, 1))))


@bad("medical imaging", "The positive class' weight is missing from the gradient of its pixels.", ["logits"], ["elementwise-factor"])
def weighted_bce():
    def bce(logits, y, pos_weight):
        per = pos_weight * y * np.logaddexp(0, -logits) + (1 - y) * np.logaddexp(0, logits)
        return per.mean(), (logits, y, pos_weight)

    def bce_backward(dl, cache):
        logits, y, pos_weight = cache
        return dl * (expit(logits) - y) / logits.size
    r = R(35)
    return dict(forward=bce, backward=bce_backward, inputs=dict(logits=r.normal(size=(4, 5)) * 2),
                constants=dict(y=(r.random((4, 5)) < .4).astype(float), pos_weight=4.0))


@bad("object detection", "The modulating factor (1-p)^gamma is treated as constant; its own derivative is missing.", ["logit"], ["missing-term", "elementwise-factor"])
def focal_loss():
    def focal(logit, sign, gamma):
        p = expit(sign * logit)
        return -(1 - p) ** gamma * np.log(p), (p, sign, gamma)

    def focal_grad(dy, cache):
        p, sign, gamma = cache
        return -dy * sign * (1 - p) ** gamma * (1 - p)
    r = R(36)
    return dict(forward=focal, backward=focal_grad, inputs=dict(logit=r.normal(size=8)), constants=dict(sign=np.array([1, -1, -1, 1, 1, -1, 1, -1]), gamma=2.0))


class _Scale:
    """y = x * s + o, framework-like: .grad is zeroed by the user"""
    def __init__(self, k):
        self.grad_s = np.zeros(k)
        self.grad_o = np.zeros(k)


@bad("layer class with state", "The layer's buffers are added to at every backward and never zeroed, so a second backward returns more.", ["s", "o"], ["accumulates"])
def scale_shift_accumulating():
    layer = _Scale(3)

    def forward(x, s, o):
        layer.x, layer.s = x, s
        return x * s + o, (layer, x, s)

    def backward(dy, cache):
        lay, x, s = cache
        lay.grad_s += (dy * x).sum(0)
        lay.grad_o += dy.sum(0)
        return dict(x=dy * s, s=lay.grad_s.copy(), o=lay.grad_o.copy())
    r = R(37)
    return dict(forward=forward, backward=backward, inputs=dict(x=r.normal(size=(4, 3)), s=r.normal(size=3), o=r.normal(size=3)))


@bad("competition snippet", "x -= x.max() shifts the caller's array in place; work on a copy.", ["x"], ["mutates-input"])
def softmax_inplace():
    def softmax(x):
        x -= x.max(axis=1, keepdims=True)
        e = np.exp(x)
        p = e / e.sum(axis=1, keepdims=True)
        return p, p

    def softmax_backward(dp, p):
        return p * (dp - (dp * p).sum(axis=1, keepdims=True))
    return dict(forward=softmax, backward=softmax_backward, inputs=dict(x=R(38).normal(size=(4, 5))))


@bad("signal processing", "The power spectrum's imaginary half is missing: dx also needs 2 dP * im @ S^T.", ["x"], ["missing-term"])
def power_spectrum():
    n = 8
    t = np.arange(n)[:, None] * np.arange(n // 2 + 1)[None] * 2 * np.pi / n
    Cb, Sb = np.cos(t), -np.sin(t)

    def power(x):
        re, im = x @ Cb, x @ Sb
        return re ** 2 + im ** 2, (re, im)

    def power_adjoint(dP, cache):
        re, im = cache
        return 2 * (dP * re) @ Cb.T
    return dict(forward=power, backward=power_adjoint, inputs=dict(x=R(39).normal(size=(3, n))))


@bad("physics simulation", "What is returned is the force, i.e. minus the gradient of the energy.", ["pos"], ["sign"])
def lennard_jones():
    def energy(pos, eps, sigma):
        E = 0.0
        N = len(pos)
        for i in range(N):
            for j in range(i + 1, N):
                s6 = (sigma ** 2 / np.sum((pos[i] - pos[j]) ** 2)) ** 3
                E += 4 * eps * (s6 ** 2 - s6)
        return E, (pos, eps, sigma)

    def energy_backward(dE, cache):
        pos, eps, sigma = cache
        f = np.zeros_like(pos)
        for i in range(len(pos)):
            for j in range(i + 1, len(pos)):
                d = pos[i] - pos[j]
                r2 = d @ d
                s6 = (sigma ** 2 / r2) ** 3
                fij = 24 * eps * (2 * s6 ** 2 - s6) / r2 * d
                f[i] += fij
                f[j] -= fij
        return dE * f
    pos = np.array([[0, 0, 0], [1.2, 0.1, 0], [0.1, 1.3, .2], [1.1, 1.2, .9]])
    return dict(forward=energy, backward=energy_backward, inputs=dict(pos=pos), constants=dict(eps=0.7, sigma=1.0))


@bad("linear algebra / matrix calculus", "The gradient of log|det A| is the inverse transposed; the transpose is missing.", ["A"], ["transpose"])
def logdet_flow():
    def flow(z, A):
        _, ld = np.linalg.slogdet(A)
        x = z @ A.T
        return -0.5 * np.sum(x ** 2, axis=1) + ld, (z, A, x)

    def flow_backward(g, cache):
        z, A, x = cache
        dx = -g[:, None] * x
        return dict(z=dx @ A, A=dx.T @ z + g.sum() * np.linalg.inv(A))
    r = R(41)
    return dict(forward=flow, backward=flow_backward, inputs=dict(z=r.normal(size=(4, 3)) * .4, A=np.array([[.8, .9, -.3], [-.5, .7, .6], [.2, -.8, .9]])))


@bad("linear algebra / matrix calculus", "dA = -outer(lambda, x); here the outer product is transposed.", ["A"], ["transpose"])
def linear_solve():
    def solve(A, b):
        x = np.linalg.solve(A, b)
        return x, (A, x)

    def solve_adjoint(gx, ctx):
        A, x = ctx
        lam = np.linalg.solve(A.T, gx)
        return -np.outer(x, lam), lam
    r = R(42)
    return dict(forward=solve, backward=solve_adjoint, inputs=dict(A=r.normal(size=(4, 4)) + 3 * np.eye(4), b=r.normal(size=4)))


@bad("generative research code", "dv lacks the gain g of each output unit.", ["v"], ["elementwise-factor"])
def weight_norm_dense():
    def wn_dense(x, v, g):
        n = np.linalg.norm(v, axis=0)
        vh = v / n
        return x @ (vh * g), (x, vh, n, g)

    def wn_dense_bwd(dy, cache):
        x, vh, n, g = cache
        dw = x.T @ dy
        dg = (dw * vh).sum(0)
        dv = (dw - vh * dg) / n
        return {'x': dy @ (vh * g).T, 'v': dv, 'g': dg}
    r = R(43)
    return dict(forward=wn_dense, backward=wn_dense_bwd, inputs=dict(x=r.normal(size=(5, 4)), v=r.normal(size=(4, 3)), g=np.array([.4, 2., -1.3])))


@bad("pooling with loops", "RMS pooling: the gradient is x / (n y); the 1/n of the mean is missing.", ["x"], ["factor"])
def rms_pool():
    def rms_pool_forward(x):
        B, T, C = x.shape
        y = np.sqrt(np.mean(x.reshape(B, T // 2, 2, C) ** 2, axis=2))
        return y, (x, y)

    def rms_pool_backward(dy, cache):
        x, y = cache
        return x * np.repeat(dy / y, 2, axis=1)
    return dict(forward=rms_pool_forward, backward=rms_pool_backward, inputs=dict(x=R(44).normal(size=(3, 4, 3))))


@bad("activation zoo", "d beta needs x^2 s (1-s); one x is missing.", ["beta"], ["elementwise-factor"])
def swish_learned_beta():
    def swish(x, beta):
        s = expit(beta * x)
        return x * s, (x, beta, s)

    def swish_backward(dy, cache):
        x, beta, s = cache
        dx = dy * (s + beta * x * s * (1 - s))
        dbeta = np.sum(dy * x * s * (1 - s), axis=0)
        return dx, dbeta
    r = R(45)
    return dict(forward=swish, backward=swish_backward, inputs=dict(x=r.normal(size=(5, 3)) * 2, beta=r.uniform(.5, 1.5, 3)))


@bad("functional code with caches", "The projection is summed along the batch (axis 0) instead of the classes.", ["z"], ["shape"])
def softmax_wrong_axis():
    def softmax_forward(z):
        p = _softmax(z)
        return p, {"p": p}

    def softmax_backward(dp, cache):
        p = cache["p"]
        return p * (dp - np.sum(dp * p, axis=0, keepdims=True))
    return dict(forward=softmax_forward, backward=softmax_backward, inputs=dict(z=R(46).normal(size=(4, 4))))


@bad("data normalisation layer", "lo and hi are treated as constants: the paths through the smallest and largest entry are missing.", ["x"], ["missing-term"])
def minmax_normalise():
    def minmax(x):
        lo, hi = x.min(1, keepdims=True), x.max(1, keepdims=True)
        return ((x - lo) / (hi - lo)) ** 2, (x, lo, hi)

    def minmax_backward(dy, cache):
        x, lo, hi = cache
        u = (x - lo) / (hi - lo)
        return dy * 2 * u / (hi - lo)
    return dict(forward=minmax, backward=minmax_backward, inputs=dict(x=R(47).normal(size=(3, 5))))


@bad("transformer from scratch", "The position table is shared by the batch: the sum over the batch is missing, only the first sequence is used.", ["wpe"], ["batch-sum"])
def token_position_embedding():
    def encoder_forward(wte, wpe, tokens):
        return wte[tokens] + wpe[None, :tokens.shape[1]], (wte.shape, wpe.shape, tokens)

    def encoder_backward(dout, cache):
        vs, ps, tokens = cache
        dwte, dwpe = np.zeros(vs), np.zeros(ps)
        np.add.at(dwte, tokens, dout)
        dwpe[:tokens.shape[1]] += dout[0]
        return {"wte": dwte, "wpe": dwpe}
    r = R(48)
    return dict(forward=encoder_forward, backward=encoder_backward, inputs=dict(wte=r.normal(size=(5, 3)), wpe=r.normal(size=(6, 3))),
                constants=dict(tokens=np.array([[0, 1, 1, 4], [3, 0, 2, 2], [4, 4, 1, 0]])))


@bad("explicit loops, C-like", "The loop for dW starts at row 1: the first example is left out.", ["W"], ["batch-sum"])
def softplus_layer_loops():
    def layer(X, W):
        A = X.dot(W)
        return np.log1p(np.exp(A)), (X, W, A)

    def layer_back(G, cache):
        X, W, A = cache
        D = G / (1 + np.exp(-A))
        dX = np.zeros_like(X)
        dW = np.zeros_like(W)
        for n in range(len(X)):
            dX[n] = W.dot(D[n])
        for n in range(1, len(X)):
            dW += np.outer(X[n], D[n])
        return dX, dW
    r = R(49)
    return dict(forward=layer, backward=layer_back, inputs=dict(X=r.normal(size=(4, 3)), W=r.normal(size=(3, 2))))


@bad("knowledge distillation", "The temperature is learnable, but its gradient is left at zero: -sum(dz * z) / tau.", ["tau"], ["zero"])
def tempered_log_softmax():
    def tempered(logits, tau):
        z = logits / tau
        return z - _lse(z, axis=1, keepdims=True), (z, tau)

    def tempered_backward(dlogp, cache):
        z, tau = cache
        dz = dlogp - _softmax(z) * dlogp.sum(1, keepdims=True)
        grads = {"logits": dz / tau, "tau": np.zeros_like(tau)}
        return grads
    return dict(forward=tempered, backward=tempered_backward, inputs=dict(logits=R(50).normal(size=(3, 4)), tau=np.array([1.7])))


@bad("probabilistic programming", "exp(x) / (1 + exp(x)) overflows to nan for a large x; use a stable sigmoid.", ["x"], ["non-finite"])
def softplus_big():
    def softplus(x):
        return np.logaddexp(0, x), x

    def softplus_vjp(g, x):
        with np.errstate(over="ignore", invalid="ignore"):
            return g * np.exp(x) / (1 + np.exp(x))
    return dict(forward=softplus, backward=softplus_vjp, inputs=dict(x=np.array([-3., -.5, .2, 2., 30., 900.])))


@bad("physics simulation", "Each spring pulls only its first end; the opposite gradient on the second end is missing.", ["pos"], ["missing-term"])
def mass_springs():
    def springs(pos, rest, edges, k):
        d = pos[edges[:, 0]] - pos[edges[:, 1]]
        L = np.sqrt((d ** 2).sum(1))
        return 0.5 * k * np.sum((L - rest) ** 2), (pos, rest, edges, k, d, L)

    def springs_vjp(dE, cache):
        pos, rest, edges, k, d, L = cache
        stretch = k * (L - rest)
        dpos = np.zeros_like(pos)
        np.add.at(dpos, edges[:, 0], stretch[:, None] * d / L[:, None])
        return dE * dpos, -dE * stretch
    r = R(52)
    return dict(forward=springs, backward=springs_vjp, inputs=dict(pos=r.normal(size=(4, 2)), rest=r.uniform(.4, 1., 5)),
                constants=dict(edges=np.array([[0, 1], [1, 2], [2, 3], [3, 0], [0, 2]]), k=2.5))


@bad("statistics", "The Poisson rate is exp(eta) * exposure; the exposure is missing from the score.", ["beta"], ["elementwise-factor", "missing-term"])
def poisson_regression():
    def negloglik(beta, X, counts, exposure):
        eta = X @ beta
        rate = exposure * np.exp(eta)
        return np.sum(rate - counts * (eta + np.log(exposure))), (X, counts, exposure, eta)

    def negloglik_grad(d, cache):
        X, counts, exposure, eta = cache
        return d * X.T @ (np.exp(eta) - counts)
    r = R(53)
    return dict(forward=negloglik, backward=negloglik_grad, inputs=dict(beta=r.normal(size=3) * .5),
                constants=dict(X=r.normal(size=(6, 3)), counts=np.array([0, 2, 1, 5, 3, 1]), exposure=r.uniform(1.5, 6, 6)))


@bad("statistics", "KL(q || p) in the logits of q: d = q * (log q - log p - KL); the -KL term is missing.", ["logits_q"], ["missing-term"])
def categorical_kl():
    def kl(logits_q, logits_p):
        lq = logits_q - _lse(logits_q, axis=-1, keepdims=True)
        lp = logits_p - _lse(logits_p, axis=-1, keepdims=True)
        out = np.sum(np.exp(lq) * (lq - lp), axis=-1)
        return out, (lq, lp, out)

    def kl_vjp(g, res):
        lq, lp, out = res
        g = g[:, None]
        return g * np.exp(lq) * (lq - lp), g * (np.exp(lp) - np.exp(lq))
    r = R(54)
    return dict(forward=kl, backward=kl_vjp, inputs=dict(logits_q=r.normal(size=(4, 3)), logits_p=r.normal(size=(4, 3))))


@bad("quantitative finance", "The denominator's path is missing: the portfolio's volatility also moves with w.", ["w"], ["missing-term"])
def sharpe_ratio():
    def sharpe(w, returns):
        p = returns @ w
        m, s = p.mean(), p.std()
        return m / s, (w, returns, p, m, s)

    def sharpe_backward(dout, cache):
        w, returns, p, m, s = cache
        dp = dout / (len(p) * s) * np.ones_like(p)
        return returns.T @ dp
    r = R(55)
    return dict(forward=sharpe, backward=sharpe_backward, inputs=dict(w=np.array([.4, .3, .3])), constants=dict(returns=r.normal(size=(6, 3)) * .3 + .2))


@bad("graphics", "Alpha compositing: the background's weight is 1 - alpha; the gradient of alpha lacks the -bg part.", ["alpha"], ["missing-term"])
def alpha_over():
    def over(fg, bg, alpha):
        a = alpha[:, None]
        return fg * a + bg * (1 - a), (fg, bg, a)

    def over_grad(d, cache):
        fg, bg, a = cache
        return {"fg": d * a, "bg": d * (1 - a), "alpha": np.sum(d * fg, axis=1)}
    r = R(56)
    return dict(forward=over, backward=over_grad, inputs=dict(fg=r.random((5, 3)), bg=r.random((5, 3)), alpha=r.uniform(.2, .8, 5)))


# ============================================================ right =========

@good("class assignment")
def batchnorm_staged():
    def batchnorm_forward(x, gamma, beta):
        N, D = x.shape
        mu = 1. / N * np.sum(x, axis=0)
        xmu = x - mu
        sq = xmu ** 2
        var = 1. / N * np.sum(sq, axis=0)
        sqrtvar = np.sqrt(var + 1e-5)
        ivar = 1. / sqrtvar
        xhat = xmu * ivar
        return gamma * xhat + beta, (xhat, gamma, xmu, ivar, sqrtvar)

    def batchnorm_backward(dout, cache):
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
        dx2 = 1. / N * np.ones((N, D)) * dmu
        return dx1 + dx2, dgamma, dbeta
    r = R(101)
    return dict(forward=batchnorm_forward, backward=batchnorm_backward, inputs=dict(x=r.normal(size=(5, 4)) * 3 - 2, gamma=r.normal(size=4), beta=r.normal(size=4)))


@good("class assignment")
def softmax_loss_inplace_probs():
    def softmax_loss(x, y):
        shifted = x - np.max(x, axis=1, keepdims=True)
        probs = np.exp(shifted)
        probs /= np.sum(probs, axis=1, keepdims=True)
        loss = -np.sum(np.log(probs[np.arange(len(y)), y])) / len(y)
        return loss, (probs, y)

    def softmax_loss_backward(dloss, cache):
        probs, y = cache
        dx = probs.copy()
        dx[np.arange(len(y)), y] -= 1
        dx /= len(y)
        dx *= dloss
        return dx
    return dict(forward=softmax_loss, backward=softmax_loss_backward, inputs=dict(x=R(102).normal(size=(6, 4))), constants=dict(y=np.array([3, 0, 0, 2, 1, 2])))


@good("im2col")
def conv1d_strided():
    def conv(x, w, b, stride=2, pad=1):
        xp = np.pad(x, ((0, 0), (0, 0), (pad, pad)))
        cols = np.lib.stride_tricks.sliding_window_view(xp, w.shape[2], axis=2)[:, :, ::stride]
        return np.einsum("bctk,ock->bot", cols, w) + b[None, :, None], (cols, xp.shape, w, stride, pad)

    def conv_bwd(dy, cache):
        cols, shp, w, stride, pad = cache
        dcols = np.einsum("bot,ock->bctk", dy, w)
        dxp = np.zeros(shp)
        for t in range(dy.shape[2]):
            dxp[:, :, t * stride:t * stride + w.shape[2]] += dcols[:, :, t]
        return {"b": np.einsum("bot->o", dy), "w": np.einsum("bot,bctk->ock", dy, cols), "x": dxp[:, :, pad:-pad]}
    r = R(103)
    return dict(forward=conv, backward=conv_bwd, inputs=dict(x=r.normal(size=(3, 2, 6)), w=r.normal(size=(2, 2, 3)), b=r.normal(size=2)))


@good("NLP lab")
def tied_embedding_logits():
    def lm(E, W, ids):
        h = E[ids]
        z = np.tanh(h @ W)
        return z @ E.T, (E, W, ids, h, z)

    def lm_backward(dlogits, cache):
        E, W, ids, h, z = cache
        dE = dlogits.T @ z
        da = (dlogits @ E) * (1 - z ** 2)
        np.add.at(dE, ids, da @ W.T)
        return {"E": dE, "W": h.T @ da}
    r = R(104)
    return dict(forward=lm, backward=lm_backward, inputs=dict(E=r.normal(size=(6, 3)), W=r.normal(size=(3, 3))), constants=dict(ids=np.array([5, 1, 1, 0])))


@good("attention notebook")
def causal_attention_two_heads():
    def mha(x, Wqkv):
        T, C = x.shape
        q, k, v = np.split(x @ Wqkv, 3, axis=1)
        split = lambda m: m.reshape(T, 2, -1).transpose(1, 0, 2)
        q, k, v = map(split, (q, k, v))
        s = q @ k.transpose(0, 2, 1) / np.sqrt(q.shape[-1])
        s = np.where(np.tril(np.ones((T, T))) > 0, s, -np.inf)
        p = _softmax(s)
        return (p @ v).transpose(1, 0, 2).reshape(T, -1), (x, Wqkv, q, k, v, p)

    def mha_backward(dy, cache):
        x, Wqkv, q, k, v, p = cache
        T = len(x)
        do = dy.reshape(T, 2, -1).transpose(1, 0, 2)
        dv = p.transpose(0, 2, 1) @ do
        dp = do @ v.transpose(0, 2, 1)
        ds = p * (dp - np.sum(do * (p @ v), -1, keepdims=True))
        ds /= np.sqrt(q.shape[-1])
        dq, dk = ds @ k, ds.transpose(0, 2, 1) @ q
        dqkv = np.concatenate([m.transpose(1, 0, 2).reshape(T, -1) for m in (dq, dk, dv)], axis=1)
        return dqkv @ Wqkv.T, x.T @ dqkv
    r = R(105)
    return dict(forward=mha, backward=mha_backward, inputs=dict(x=r.normal(size=(4, 3)), Wqkv=r.normal(size=(3, 12))))


@good("activation zoo")
def geglu_erf():
    def geglu(xg):
        a, g = np.split(xg, 2, axis=-1)
        cdf = 0.5 * (1 + erf(g / np.sqrt(2)))
        return a * g * cdf, (a, g, cdf)

    def geglu_vjp(dy, res):
        a, g, cdf = res
        pdf = np.exp(-g * g / 2) / np.sqrt(2 * np.pi)
        return (np.concatenate([dy * g * cdf, dy * a * (cdf + g * pdf)], axis=-1),)
    return dict(forward=geglu, backward=geglu_vjp, inputs=dict(xg=R(106).normal(size=(4, 6)) * 1.5))


@good("numerics with huge values")
def logsumexp_huge():
    def lse(x):
        m = x.max(axis=1)
        e = np.exp(x - m[:, None])
        s = e.sum(1)
        return m + np.log(s), e / s[:, None]
    return dict(forward=lse, backward=lambda dy, p: p * dy[:, None],
                inputs=dict(x=np.array([[1000., 1001., 999.5], [-800., -802., -801.], [0., 500., 500.3], [-1., 1., 0.]])))


@good("0-d parameters")
def zero_d_temperature():
    def attn_pool(x, tau, bias):
        w = _softmax(x / tau)
        return np.sum(w * x, axis=1) + bias, (x, tau, w)

    def attn_pool_backward(dy, c):
        x, tau, w = c
        dw = dy[:, None] * x
        ds = w * (dw - (w * dw).sum(1, keepdims=True))
        return dict(bias=dy.sum(), tau=-(ds * x).sum() / tau ** 2, x=dy[:, None] * w + ds / tau)
    return dict(forward=attn_pool, backward=attn_pool_backward, inputs=dict(x=R(108).normal(size=(4, 3)), tau=np.array(0.8), bias=np.array(-.3)))


@good("LLM inference port")
def rotary_embedding():
    def rope(x, freqs):
        T = x.shape[1]
        ang = np.arange(T)[:, None] * freqs[None]
        c, s = np.cos(ang), np.sin(ang)
        x1, x2 = x[..., 0::2], x[..., 1::2]
        y = np.empty_like(x)
        y[..., 0::2] = x1 * c - x2 * s
        y[..., 1::2] = x1 * s + x2 * c
        return y, (c, s)

    def rope_back(dy, cs):
        c, s = cs
        d1, d2 = dy[..., 0::2], dy[..., 1::2]
        dx = np.empty_like(dy)
        dx[..., 0::2] = d1 * c + d2 * s
        dx[..., 1::2] = d2 * c - d1 * s
        return dx
    return dict(forward=rope, backward=rope_back, inputs=dict(x=R(109).normal(size=(3, 3, 4))), constants=dict(freqs=np.array([1., .01])))


@good("splines")
def cubic_bspline_curve():
    M = np.array([[-1, 3, -3, 1], [3, -6, 3, 0], [-3, 0, 3, 0], [1, 4, 1, 0]]) / 6

    def curve(t, ctrl):
        i = np.clip(t.astype(int), 0, len(ctrl) - 4)
        u = t - i
        U = np.stack([u ** 3, u ** 2, u, np.ones_like(u)], 1)
        idx = i[:, None] + np.arange(4)
        return np.einsum("nk,kj,njd->nd", U, M, ctrl[idx]), (u, U, idx, ctrl)

    def curve_grad(dp, ctx):
        u, U, idx, ctrl = ctx
        dU = np.stack([3 * u ** 2, 2 * u, np.ones_like(u), np.zeros_like(u)], 1)
        dctrl = np.zeros_like(ctrl)
        np.add.at(dctrl, idx, (U @ M)[:, :, None] * dp[:, None, :])
        return np.einsum("nd,nk,kj,njd->n", dp, dU, M, ctrl[idx]), dctrl
    r = R(110)
    return dict(forward=curve, backward=curve_grad, inputs=dict(t=np.array([.3, 1.2, 2.7, 1.9, .8]), ctrl=r.normal(size=(6, 2))))


@good("signal processing")
def fft_circular_convolution():
    def circ(x, h):
        X, H = np.fft.rfft(x), np.fft.rfft(h)
        return np.fft.irfft(X * H[None], n=x.shape[1]), (X, H, x.shape[1])

    def circ_adj(dy, cache):
        X, H, n = cache
        D = np.fft.rfft(dy)
        return np.fft.irfft(D * H.conj(), n=n), np.fft.irfft((D * X.conj()).sum(0), n=n)
    r = R(111)
    return dict(forward=circ, backward=circ_adj, inputs=dict(x=r.normal(size=(3, 7)), h=r.normal(size=7)))


@good("signal processing")
def rfft_magnitude():
    def mag(x):
        X = np.fft.rfft(x, axis=1)
        m = np.sqrt(np.abs(X) ** 2 + 1e-3)
        return np.log(m), (X, m, x.shape[1])

    def mag_backward(dy, cache):
        X, m, n = cache
        G = dy / m ** 2 * X
        full = np.zeros((len(G), n), complex)
        full[:, :G.shape[1]] = G
        return np.real(np.fft.ifft(full, axis=1)) * n
    return dict(forward=mag, backward=mag_backward, inputs=dict(x=R(112).normal(size=(3, 8))))


@good("graphics")
def quaternion_rotation():
    def qrot(q, p):
        n = np.linalg.norm(q)
        w, v = q[0] / n, q[1:] / n
        t = 2 * np.cross(v, p)
        return p + w * t + np.cross(v, t), (q, n, w, v, p, t)

    def qrot_backward(dy, c):
        q, n, w, v, p, t = c
        dw = np.sum(dy * t)
        dt = w * dy + np.cross(dy, v)
        dv = np.sum(np.cross(t, dy), axis=0) + 2 * np.sum(np.cross(p, dt), axis=0)
        dp = dy + 2 * np.cross(dt, v)
        dqh = np.concatenate([[dw], dv])
        qh = q / n
        return dict(q=(dqh - qh * (qh @ dqh)) / n, p=dp)
    r = R(113)
    return dict(forward=qrot, backward=qrot_backward, inputs=dict(q=r.normal(size=4), p=r.normal(size=(4, 3))))


@good("graphics")
def bilinear_texture():
    def sample(tex, uv):
        i = np.floor(uv).astype(int)
        f = uv - i
        x0, y0, fx, fy = i[:, 0], i[:, 1], f[:, 0], f[:, 1]
        c = tex[y0, x0], tex[y0, x0 + 1], tex[y0 + 1, x0], tex[y0 + 1, x0 + 1]
        top, bot = c[0] + fx * (c[1] - c[0]), c[2] + fx * (c[3] - c[2])
        return top + fy * (bot - top), (tex.shape, x0, y0, fx, fy, c, top, bot)

    def sample_grad(d, ctx):
        shape, x0, y0, fx, fy, c, top, bot = ctx
        g = np.zeros(shape)
        for oy, ox, w in ((0, 0, (1 - fx) * (1 - fy)), (0, 1, fx * (1 - fy)), (1, 0, (1 - fx) * fy), (1, 1, fx * fy)):
            np.add.at(g, (y0 + oy, x0 + ox), d * w)
        dfx = (1 - fy) * (c[1] - c[0]) + fy * (c[3] - c[2])
        return {"tex": g, "uv": np.stack([d * dfx, d * (bot - top)], axis=1)}
    r = R(114)
    return dict(forward=sample, backward=sample_grad, inputs=dict(tex=r.normal(size=(4, 5)), uv=np.array([[.3, .6], [2.4, 1.2], [2.7, 1.8], [3.1, 2.5]])))


@good("statistics")
def student_t_nll():
    def tnll(mu, log_s, log_nu, y):
        nu, s = np.exp(log_nu), np.exp(log_s)
        q = ((y - mu) / s) ** 2 / nu
        v = 0.5 * (nu + 1) * np.log1p(q) + log_s + 0.5 * np.log(nu * np.pi) - gammaln((nu + 1) / 2) + gammaln(nu / 2)
        return v.sum(), (mu, s, nu, q, y)

    def tnll_back(g, cache):
        mu, s, nu, q, y = cache
        dq = 0.5 * (nu + 1) / (1 + q)
        dmu = dq * -2 * (y - mu) / (s ** 2 * nu)
        dls = np.sum(1 - 2 * q * dq)
        dlnu = np.sum(nu * (0.5 * np.log1p(q) - 0.5 * digamma((nu + 1) / 2) + 0.5 * digamma(nu / 2)) + 0.5 - dq * q)
        return g * dmu, g * dls, g * dlnu
    r = R(115)
    return dict(forward=tnll, backward=tnll_back, inputs=dict(mu=r.normal(size=5), log_s=np.array(.2), log_nu=np.array(1.1)), constants=dict(y=r.normal(size=5) * 2))


@good("survival statistics")
def cox_partial_likelihood():
    def cox(risk, event):
        logcum = np.logaddexp.accumulate(risk[::-1])[::-1]
        return -np.sum((risk - logcum)[event]), (risk, logcum, event)

    def cox_grad(d, cache):
        risk, logcum, event = cache
        return d * (np.cumsum(np.where(event, np.exp(-logcum), 0.0)) * np.exp(risk) - event)
    return dict(forward=cox, backward=cox_grad, inputs=dict(risk=R(116).normal(size=7)), constants=dict(event=np.array([1, 0, 1, 1, 0, 0, 1], bool)))


@good("contrastive learning")
def nt_xent():
    def ntx(z, tau):
        n = np.linalg.norm(z, axis=1, keepdims=True)
        u = z / n
        s = u @ u.T / tau
        np.fill_diagonal(s, -np.inf)
        B = len(z) // 2
        pos = np.r_[np.arange(B, 2 * B), np.arange(B)]
        p = _softmax(s)
        return -np.mean(np.log(p[np.arange(2 * B), pos])), (u, n, p, pos, tau)

    def ntx_backward(d, cache):
        u, n, p, pos, tau = cache
        ds = p.copy()
        ds[np.arange(len(u)), pos] -= 1.
        ds *= d / len(u) / tau
        du = (ds + ds.T) @ u
        return (du - u * np.sum(u * du, axis=1, keepdims=True)) / n
    return dict(forward=ntx, backward=ntx_backward, inputs=dict(z=R(117).normal(size=(6, 3))), constants=dict(tau=.5))


@good("learning to rank")
def listnet_loss():
    def listnet(s, rel):
        t = _softmax(rel)
        lp = s - _lse(s, axis=1, keepdims=True)
        return -(t * lp).sum(1), (lp, t)
    return dict(forward=listnet, backward=lambda d, c: [d[:, None] * (np.exp(c[0]) - c[1])][0],
                inputs=dict(s=R(118).normal(size=(4, 5))), constants=dict(rel=R(119).integers(0, 4, (4, 5)).astype(float)))


@good("recurrent cell")
def lstm_cell_step():
    def step(x, h, c, W, b):
        z = np.hstack([x, h]) @ W + b
        i, f, o, g = np.split(z, 4, axis=1)
        i, f, o, g = expit(i), expit(f + 1), expit(o), np.tanh(g)
        c2 = f * c + i * g
        return o * np.tanh(c2), (x, h, c, W, i, f, o, g, c2)

    def step_back(dh2, cache):
        x, h, c, W, i, f, o, g, c2 = cache
        tc = np.tanh(c2)
        dc2 = dh2 * o * (1 - tc * tc)
        dz = np.hstack([dc2 * g * i * (1 - i), dc2 * c * f * (1 - f), dh2 * tc * o * (1 - o), dc2 * i * (1 - g * g)])
        dxh = dz @ W.T
        D = x.shape[1]
        return dict(x=dxh[:, :D], h=dxh[:, D:], c=dc2 * f, W=np.hstack([x, h]).T @ dz, b=dz.sum(0))
    r = R(120)
    return dict(forward=step, backward=step_back, inputs=dict(x=r.normal(size=(3, 2)), h=r.normal(size=(3, 2)), c=r.normal(size=(3, 2)), W=r.normal(size=(4, 8)), b=r.normal(size=8)))


@good("functional code, closures on a tape")
def closure_tape():
    def forward(x, W1, W2):
        tape = []
        h = x @ W1
        tape.append(lambda g, G: (G.__setitem__("W1", x.T @ g), G.__setitem__("x", g @ W1.T))[0])
        r = np.maximum(h, 0.1 * h)
        tape.append(lambda g, G: g * np.where(h > 0, 1, 0.1))
        y = r @ W2 + x
        tape.append(lambda g, G: (g @ W2.T, G.__setitem__("W2", r.T @ g))[0])
        return y, tape

    def backward(dy, tape):
        G, g = {}, dy
        for f in reversed(tape):
            g = f(g, G)
        G["x"] = G["x"] + dy
        return G
    r = R(121)
    return dict(forward=forward, backward=backward, inputs=dict(x=r.normal(size=(5, 3)), W1=r.normal(size=(3, 4)), W2=r.normal(size=(4, 3))))


@good("features-first lecture code")
def logistic_cost_lecture():
    def cost(w, b, X, Y):
        m = X.shape[1]
        A = 1 / (1 + np.exp(-(np.dot(w.T, X) + b)))
        J = -1 / m * np.sum(Y * np.log(A) + (1 - Y) * np.log(1 - A))
        return float(np.squeeze(J)), {"A": A, "X": X, "Y": Y}

    def grads(dJ, cache):
        m = cache["X"].shape[1]
        dZ = cache["A"] - cache["Y"]
        return {"w": dJ / m * np.dot(cache["X"], dZ.T), "b": dJ * np.sum(dZ) / m}
    r = R(122)
    return dict(forward=cost, backward=grads, inputs=dict(w=r.normal(size=(3, 1)), b=np.array(.2)), constants=dict(X=r.normal(size=(3, 6)), Y=np.array([[1, 0, 0, 1, 1, 0]])))


@good("pooling with loops")
def maxpool_odd_shape():
    def pool(x):
        B, H, W = x.shape
        y = np.full((B, -(-H // 2), -(-W // 2)), -np.inf)
        arg = {}
        for n, i, j in np.ndindex(*y.shape):
            win = x[n, 2 * i:2 * i + 2, 2 * j:2 * j + 2]
            a, b = np.unravel_index(win.argmax(), win.shape)
            y[n, i, j] = win[a, b]
            arg[n, i, j] = (n, 2 * i + a, 2 * j + b)
        return y, (x.shape, arg)

    def pool_back(dy, cache):
        shape, arg = cache
        dx = np.zeros(shape)
        for k, src in arg.items():
            dx[src] = dy[k]
        return dx
    return dict(forward=pool, backward=pool_back, inputs=dict(x=R(123).permutation(27).reshape(3, 3, 3) * 0.37 - 4))


@good("own buffers, in place")
def group_norm_buffers():
    def gn(x, w, b, groups=2):
        B, C, T = x.shape
        v = x.reshape(B, groups, -1).copy()
        v -= v.mean(-1, keepdims=True)
        inv = 1 / np.sqrt(np.einsum("bgk,bgk->bg", v, v) / v.shape[-1] + 1e-5)
        v *= inv[..., None]
        out = v.reshape(B, C, T) * w[:, None]
        out += b[:, None]
        return out, (v, inv, w)

    def gn_backward(dy, cache):
        v, inv, w = cache
        B, C, T = dy.shape
        buf = np.multiply(dy, v.reshape(B, C, T))
        dw = buf.sum((0, 2))
        np.multiply(dy, w[:, None], out=buf)
        g = buf.reshape(v.shape)
        proj = (g * v).mean(-1, keepdims=True)
        g -= g.mean(-1, keepdims=True)
        g -= v * proj
        g *= inv[..., None]
        return buf, dw, dy.sum((0, 2))
    r = R(124)
    return dict(forward=gn, backward=gn_backward, inputs=dict(x=r.normal(size=(3, 4, 3)) * 2, w=r.normal(size=4), b=r.normal(size=4)))


@good("quantitative finance")
def discount_curve_bond():
    def bond(zero_rates, times, cash):
        df = np.exp(-zero_rates * times)
        return cash @ df, (times, df, cash)

    def bond_bwd(dprice, cache):
        times, df, cash = cache
        return {"zero_rates": -(cash.T @ dprice) * times * df}
    return dict(forward=bond, backward=bond_bwd, inputs=dict(zero_rates=np.array([.01, .015, .02, .022, -.003])),
                constants=dict(times=np.array([.5, 1., 2., 5., 10.]), cash=np.array([[2, 2, 102, 0, 0], [1, 1, 1, 101, 0], [0, 0, 0, 0, 100.]])))


@good("tiny values")
def log1p_intensity_tiny():
    def f(lam, k):
        return -np.sum(np.log(-np.expm1(-lam))[k > 0]) + np.sum(lam[k == 0]), (lam, k)

    def b(d, c):
        lam, k = c
        out = np.where(k > 0, -1 / np.expm1(lam), 1.0)
        return d * out
    return dict(forward=f, backward=b, inputs=dict(lam=np.array([.02, .3, .05, 2., .9, .01])), constants=dict(k=np.array([1, 0, 3, 1, 0, 0])))


@good("linear-chain model")
def crf_log_partition():
    def logz(emit, trans):
        alpha = [emit[0]]
        for t in range(1, len(emit)):
            alpha.append(_lse(alpha[-1][:, None] + trans, axis=0) + emit[t])
        return _lse(alpha[-1]), (emit, trans, np.array(alpha))

    def logz_marginals(d, c):
        emit, trans, alpha = c
        T, K = emit.shape
        beta = np.zeros((T, K))
        Z = _lse(alpha[-1])
        pair = np.zeros((K, K))
        for t in range(T - 2, -1, -1):
            s = trans + (emit[t + 1] + beta[t + 1])[None]
            beta[t] = _lse(s, axis=1)
            pair += np.exp(alpha[t][:, None] + s - Z)
        return d * np.exp(alpha + beta - Z), d * pair
    r = R(127)
    return dict(forward=logz, backward=logz_marginals, inputs=dict(emit=r.normal(size=(5, 3)), trans=r.normal(size=(3, 3))))


@good("einsum research code")
def squeeze_excite_gate():
    def se(x, W1, W2):
        s = np.einsum("bct->bc", x) / x.shape[2]
        h = np.maximum(s @ W1, 0)
        g = expit(h @ W2)
        return np.einsum("bct,bc->bct", x, g), (x, W1, W2, s, h, g)

    def se_back(dy, cache):
        x, W1, W2, s, h, g = cache
        dzg = np.einsum("bct,bct->bc", dy, x) * g * (1 - g)
        dh = np.where(h > 0, dzg @ W2.T, 0)
        return {"W2": h.T @ dzg, "W1": s.T @ dh, "x": dy * g[..., None] + (dh @ W1.T)[..., None] / x.shape[2]}
    r = R(128)
    return dict(forward=se, backward=se_back, inputs=dict(x=r.normal(size=(4, 3, 3)) + .3, W1=r.normal(size=(3, 2)), W2=r.normal(size=(2, 3))))


@good("unusual but equal formula")
def tanh_via_sigmoid():
    def f(x):
        return np.tanh(x), x

    def b(dy, x):
        s = expit(2 * x)
        return 4 * dy * s * (1 - s)
    return dict(forward=f, backward=b, inputs=dict(x=R(129).normal(size=(3, 1, 4))))


# ============================================================ files =========

_FILE_RIGHT = '''
"""HW2: basic modules.  author: student 17"""
import numpy as np


def softplus_forward(x):
    return np.logaddexp(0.0, x), x


def softplus_backward(dout, cache):
    return dout / (1.0 + np.exp(-cache))


def affine_forward(x, w, b):
    return x @ w + b, (x, w)


def affine_backward(dout, cache):
    x, w = cache
    return dout @ w.T, x.T @ dout, dout.sum(axis=0)


class Standardize:
    """per row, no parameters"""

    def forward(self, x):
        self.s = np.sqrt(x.var(axis=1, keepdims=True) + 1e-3)
        self.y = (x - x.mean(axis=1, keepdims=True)) / self.s
        return self.y

    def backward(self, dy):
        y = self.y
        return (dy - dy.mean(1, keepdims=True) - y * (dy * y).mean(1, keepdims=True)) / self.s


examples = {
    "softplus": {"x": np.array([[-2.0, 0.3], [1.0, 2.5], [-0.7, 0.1]])},
    "affine": {"x": np.linspace(-1, 1, 12).reshape(4, 3) ** 2, "w": np.cos(np.arange(6.0)).reshape(3, 2), "b": np.array([0.3, -0.8])},
    "Standardize": {"init": {}, "x": np.sin(np.arange(15.0) ** 2).reshape(3, 5)},
}
'''


@good("student file, functions and a class", "file")
def hw2_modules_file():
    return {"source": _FILE_RIGHT}


_FILE_CLASS = '''
import numpy as np

class Linear:
    def __init__(self, n_in, n_out, seed=0):
        rng = np.random.RandomState(seed)
        self.W = rng.randn(n_in, n_out) * 0.5
        self.b = rng.randn(n_out) * 0.1

    def forward(self, x):
        self.x = x
        return np.dot(x, self.W) + self.b

    def backward(self, grad):
        self.dW = np.dot(self.x.T, grad)
        self.db = np.sum(grad, axis=0)
        return np.dot(grad, self.W.T)


class PReLU:
    def __init__(self, n):
        self.a = np.linspace(0.1, 0.4, n)

    def forward(self, x):
        self.x = x
        return np.where(x > 0, x, self.a * x)

    def backward(self, grad):
        neg = self.x <= 0
        self.da = np.sum(grad * %s, axis=0)
        return grad * np.where(neg, self.a, 1.0)


class Tanh:
    def forward(self, x):
        self.y = np.tanh(x)
        return self.y

    def backward(self, grad):
        return grad * (1 - self.y ** 2)


examples = {
    "Linear": {"init": {"n_in": 3, "n_out": 2}, "x": np.sin(np.arange(12.0)).reshape(4, 3)},
    "PReLU": {"init": {"n": 3}, "x": np.sin(1.0 + np.arange(15.0)).reshape(5, 3)},
    "Tanh": {"init": {}, "x": np.cos(np.arange(8.0)).reshape(4, 2)},
}
'''


@good("student file, layer classes", "file")
def layers_file_prelu():
    return {"source": _FILE_CLASS % "np.where(neg, self.x, 0.0)"}


@bad("student file, layer classes", "PReLU's da sums grad * x over all entries; only the negative ones belong: the mask is missing.",
     ["a"], ["elementwise-factor", "missing-term"], "file")
def layers_file_prelu_mask():
    return {"source": _FILE_CLASS % "self.x"}


_FILE_PAIRS = '''
# losses.py -- regression and ranking losses with hand-written gradients
import numpy as np


def logcosh(pred, target):
    r = pred - target
    loss = np.mean(np.abs(r) + np.log1p(np.exp(-2 * np.abs(r))) - np.log(2.0))
    return loss, r


def logcosh_backward(dloss, r):
    g = dloss * np.tanh(r)%s
    return g, -g


def margin_rank(s_pos, s_neg):
    viol = 1.0 - s_pos + s_neg
    return np.sum(np.maximum(viol, 0.0) ** 2), viol


def margin_rank_backward(dloss, viol):
    v = 2 * dloss * np.maximum(viol, 0.0)
    return -v, v


def center_rows(x):
    return x - x.mean(axis=1, keepdims=True), x.shape


def center_rows_backward(dy, shape):
    return dy - dy.sum(axis=1, keepdims=True) / shape[1]


examples = {
    "logcosh": {"pred": np.array([0.3, -1.2, 2.0, 0.7, -0.4]), "target": np.array([0.0, 1.0, 0.5, 1.5, -2.0])},
    "margin_rank": {"s_pos": np.array([0.2, 1.7, 0.4, -0.3]), "s_neg": np.array([0.1, -0.9, 0.8, 0.6])},
    "center_rows": {"x": np.sin(np.arange(12.0) * 1.7).reshape(3, 4)},
}
'''


@bad("student file, loss functions", "logcosh averages over the samples, but its backward does not divide by their number.", ["pred", "target"], ["factor"], "file")
def losses_file_logcosh():
    return {"source": _FILE_PAIRS % ""}


@good("student file, loss functions", "file")
def losses_file_complete():
    return {"source": _FILE_PAIRS % " / r.size"}


# ============================================================ own check =====

def _numeric(f, inputs, constants, dy, h=4e-4):
    def val(name, x):
        a = {k: v.copy() for k, v in inputs.items()}
        a[name] = x
        return np.sum(f(**a, **constants)[0] * dy)
    out = {}
    for name, x in inputs.items():
        g = np.zeros(x.shape)
        for i in np.ndindex(*x.shape):
            def at(e):
                z = x.copy()
                z[i] += e
                return val(name, z)
            g[i] = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)
        out[name] = g
    return out


def _named(g, names):
    if isinstance(g, dict):
        return g
    return dict(zip(names, g)) if isinstance(g, (tuple, list)) else {names[0]: g}


def _differs(a, n):
    a = np.asarray(a, float)
    if a.shape != n.shape or not np.all(np.isfinite(a)):
        return np.inf
    return np.abs(a - n).max() / max(np.abs(n).max(), 1e-9)


def _check_vjp(item, problems):
    for seed in (0, 1):
        m = item.make()
        f, b, inputs, const = m["forward"], m["backward"], m["inputs"], m.get("constants", {})
        before = {k: v.copy() for k, v in inputs.items()}
        names = list(inputs)
        assert all(1 <= v.size <= 40 and v.dtype == np.float64 for v in inputs.values()), item.name
        y, cache = f(**inputs, **const)
        dy = R(900 + seed).normal(size=np.shape(y))
        dy = float(dy) if np.ndim(y) == 0 else dy
        dy0 = np.copy(dy)
        g = {k: np.array(v) for k, v in _named(b(dy, cache), names).items()}
        mutated = [k for k in names if not np.array_equal(before[k], inputs[k])] + ([] if np.array_equal(dy0, dy) else ["dy"])
        g2 = _named(b(dy, cache), names)
        again = [k for k in names if np.shape(g2[k]) == g[k].shape and not np.allclose(g[k], g2[k], equal_nan=True)]
        num = _numeric(f, before, const, dy)
        bad_ = []
        for k in names:
            e = _differs(g[k], num[k])
            if e > 1e-2:
                bad_.append(k)
            elif e > 1e-6:
                problems.append((item.name, k, "between", e))
        if "mutates-input" in item.causes:
            bad_ += mutated
        elif mutated:
            problems.append((item.name, "mutates", mutated))
        if "accumulates" in item.causes:
            bad_ += again
        elif again:
            problems.append((item.name, "accumulates", again))
        if set(bad_) != set(item.wrong):
            problems.append((item.name, "found", bad_, "listed", item.wrong))


def _check_file(item, problems):
    ns = {}
    exec(item.make()["source"], ns)
    bad_ = []
    for name, ex in ns["examples"].items():
        if "init" in ex:
            lay = ns[name](**ex["init"])
            pars = [k for k, v in vars(lay).items() if isinstance(v, np.ndarray)]
            inputs = {"x": ex["x"], **{k: getattr(lay, k) for k in pars}}

            def f(x, **p):
                for k, v in p.items():
                    setattr(lay, k, v)
                return lay.forward(x), None

            def b(dy, _):
                return {"x": lay.backward(dy), **{k: getattr(lay, "d" + k) for k in pars}}
        else:
            f, b, inputs = ns.get(name) or ns[name + "_forward"], ns[name + "_backward"], ex
        inputs = {k: v.astype(float) for k, v in inputs.items()}
        y, c = f(**inputs)
        dy = R(5).normal(size=np.shape(y))
        g = _named(b(dy, c), list(inputs))
        num = _numeric(f, inputs, {}, dy)
        for k in inputs:
            e = _differs(g[k], num[k])
            if e > 1e-2:
                bad_.append(k)
            elif e > 1e-6:
                problems.append((item.name, name, k, "between", e))
    if set(bad_) != set(item.wrong):
        problems.append((item.name, "found", bad_, "listed", item.wrong))


if __name__ == "__main__":
    from collections import Counter
    problems = []
    assert len({i.name for i in ITEMS}) == len(ITEMS)
    for it in ITEMS:
        try:
            (_check_file if it.check == "file" else _check_vjp)(it, problems)
        except Exception as e:
            problems.append((it.name, repr(e)))
    for p in problems:
        print("PROBLEM", *p)
    print("wrong", sum(not i.right for i in ITEMS), "right", sum(i.right for i in ITEMS), "styles", len({i.style for i in ITEMS}),
          Counter((i.check, i.right) for i in ITEMS), Counter(c for i in ITEMS for c in i.causes))
