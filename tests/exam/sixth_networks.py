"""Exam paper six: functions with several steps, and whole models."""
import math
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


ITEMS = []


def wrong_item(style, check, slip, wrong, causes):
    def deco(make):
        ITEMS.append(Item(make.__name__, style, check, make, False, slip, wrong, causes))
        return make
    return deco


def right_item(style, check):
    def deco(make):
        ITEMS.append(Item(make.__name__, style, check, make, True))
        return make
    return deco


# ---------------------------------------------------------------- class assignment
def two_layer_loss(X, W1, b1, W2, b2, y, reg):
    N = X.shape[0]
    h = np.maximum(0, X.dot(W1) + b1)
    scores = h.dot(W2) + b2
    scores -= scores.max(axis=1, keepdims=True)
    p = np.exp(scores)
    p /= p.sum(axis=1, keepdims=True)
    loss = -np.log(p[range(N), y]).sum() / N
    loss += reg * (np.sum(W1 * W1) + np.sum(W2 * W2))
    return loss, (X, W1, W2, h, p, y, reg)


def two_layer_grads(dloss, cache):
    X, W1, W2, h, p, y, reg = cache
    N = X.shape[0]
    grads = {}
    dscores = p.copy()
    dscores[range(N), y] -= 1
    dscores *= dloss / N
    grads["W2"] = h.T.dot(dscores) + dloss * reg * W2
    grads["b2"] = dscores.sum(axis=0)
    dh = dscores.dot(W2.T)
    dh[h <= 0] = 0
    grads["W1"] = X.T.dot(dh) + dloss * reg * W1
    grads["b1"] = dh.sum(axis=0)
    grads["X"] = dh.dot(W1.T)
    return grads


@wrong_item("class assignment, dict of gradients", "vjp",
            "The penalty is reg * sum(W**2), its gradient is 2 * reg * W; the 2 is missing in dW1 and dW2.",
            ("W1", "W2"), ("missing-term", "factor"))
def two_layer_net_with_penalty():
    r = np.random.RandomState(1)
    return {"forward": two_layer_loss, "backward": two_layer_grads,
            "inputs": {"X": r.randn(5, 3), "W1": r.randn(3, 4), "b1": 0.3 * r.randn(4), "W2": r.randn(4, 3), "b2": r.randn(3)},
            "constants": {"y": np.array([0, 2, 1, 1, 0]), "reg": 0.15}}


# ---------------------------------------------------------------- mixture density network
def mdn_forward(h, W_pi, W_mu, W_sig, t):
    a = h @ W_pi
    mu = h @ W_mu
    sigma = np.exp(h @ W_sig)
    a_max = a.max(1, keepdims=True)
    log_pi = a - a_max - np.log(np.exp(a - a_max).sum(1, keepdims=True))
    u = (t[:, None] - mu) / sigma
    comp = log_pi - 0.5 * u ** 2 - np.log(sigma) - 0.5 * math.log(2 * math.pi)
    top = comp.max(1, keepdims=True)
    ll = (top + np.log(np.exp(comp - top).sum(1, keepdims=True)))[:, 0]
    gamma = np.exp(comp - ll[:, None])
    return -ll.mean(), (h, W_pi, W_mu, W_sig, np.exp(log_pi), mu, sigma, gamma, t)


def mdn_backward(dy, cache):
    h, W_pi, W_mu, W_sig, pi, mu, sigma, gamma, t = cache
    n = len(t)
    diff = t[:, None] - mu
    d_a = dy / n * (pi - gamma)
    d_mu = -dy / n * gamma * diff / sigma ** 2
    d_sig = dy / n * gamma * (1.0 / sigma - diff ** 2 / sigma ** 3)
    d_h = d_a @ W_pi.T + d_mu @ W_mu.T + d_sig @ W_sig.T
    return d_h, h.T @ d_a, h.T @ d_mu, h.T @ d_sig


@wrong_item("notebook, Bishop's mixture density network", "vjp",
            "d_sig is the gradient by sigma and not by its logarithm: sigma = exp(.), so d_sig must be multiplied by sigma.",
            ("h", "W_sig"), ("elementwise-factor", "missing-term"))
def mixture_density_head():
    r = np.random.RandomState(2)
    return {"forward": mdn_forward, "backward": mdn_backward,
            "inputs": {"h": r.randn(5, 3), "W_pi": r.randn(3, 2), "W_mu": r.randn(3, 2), "W_sig": 0.7 * r.randn(3, 2)},
            "constants": {"t": r.randn(5)}}


# ---------------------------------------------------------------- RL baselines: PPO
def ppo_loss(logits, actions, old_logp, adv, clip_range=0.2):
    z = logits - logits.max(-1, keepdims=True)
    logp_all = z - np.log(np.exp(z).sum(-1, keepdims=True))
    idx = np.arange(len(actions))
    ratio = np.exp(logp_all[idx, actions] - old_logp)
    unclipped = ratio * adv
    clipped = np.clip(ratio, 1 - clip_range, 1 + clip_range) * adv
    loss = -np.mean(np.minimum(unclipped, clipped))
    return loss, dict(p=np.exp(logp_all), ratio=ratio, actions=actions, adv=adv, eps=clip_range)


def ppo_loss_grad(dloss, c):
    n = len(c["actions"])
    inside = np.abs(c["ratio"] - 1.0) < c["eps"]
    dratio = -dloss * c["adv"] / n * inside
    dlogp = dratio * c["ratio"]
    onehot = np.eye(c["p"].shape[1])[c["actions"]]
    return {"logits": dlogp[:, None] * (onehot - c["p"])}


@wrong_item("reinforcement-learning baselines", "vjp",
            "The gradient is cut for every ratio outside the clip range; it must be cut only where min() picks the clipped branch "
            "(use mask = unclipped <= clipped).",
            ("logits",), ("elementwise-factor", "zero", "missing-term"))
def ppo_clipped_surrogate():
    r = np.random.RandomState(3)
    logits = r.randn(6, 3)
    actions = np.array([0, 1, 2, 2, 0, 1])
    lp = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    shift = np.array([0.5, 0.5, -0.5, -0.5, 0.05, -0.06])
    adv = np.array([1.2, -0.8, 0.9, -1.1, 0.7, -0.6])
    return {"forward": ppo_loss, "backward": ppo_loss_grad, "inputs": {"logits": logits},
            "constants": {"actions": actions, "old_logp": lp[np.arange(6), actions] - shift, "adv": adv}}


# ---------------------------------------------------------------- RL: A2C with a Gaussian head
class DiagGaussianA2C:
    def __init__(self, ent_coef=0.2, vf_coef=0.5):
        self.ent_coef = ent_coef
        self.vf_coef = vf_coef

    def forward(self, mean, log_std, value, act, ret, adv):
        std = np.exp(log_std)
        zed = (act - mean) / std
        logp = (-0.5 * zed ** 2 - log_std - 0.5 * np.log(2 * np.pi)).sum(axis=1)
        entropy = np.sum(log_std + 0.5 * np.log(2 * np.pi * np.e))
        pg_loss = -(adv * logp).mean()
        vf_loss = 0.5 * ((value - ret) ** 2).mean()
        loss = pg_loss - self.ent_coef * entropy + self.vf_coef * vf_loss
        return loss, (zed, std, value, ret, adv)

    def backward(self, dloss, cache):
        zed, std, value, ret, adv = cache
        n = adv.shape[0]
        dlogp = -dloss * adv[:, None] / n
        dmean = dlogp * zed / std
        dlog_std = (dlogp * (zed ** 2 - 1)).sum(axis=0) + dloss * self.ent_coef
        dvalue = dloss * self.vf_coef * (value - ret) / n
        return dmean, dlog_std, dvalue


@wrong_item("reinforcement learning, policy class", "vjp",
            "The entropy bonus is subtracted in the loss, but its gradient is added in dlog_std: it must be - ent_coef.",
            ("log_std",), ("missing-term", "sign"))
def a2c_gaussian_policy_loss():
    r = np.random.RandomState(4)
    agent = DiagGaussianA2C()
    return {"forward": agent.forward, "backward": agent.backward,
            "inputs": {"mean": r.randn(5, 2), "log_std": np.array([-0.3, 0.4]), "value": r.randn(5)},
            "constants": {"act": r.randn(5, 2), "ret": r.randn(5), "adv": r.randn(5)}}


# ---------------------------------------------------------------- RL: GAE
def gae(rewards, values, dones, gamma=0.9, lam=0.8):
    T = len(rewards)
    nonterminal = 1.0 - dones
    adv = np.zeros_like(rewards)
    last = 0.0
    for t in reversed(range(T)):
        delta = rewards[t] + gamma * values[t + 1] * nonterminal[t] - values[t]
        adv[t] = last = delta + gamma * lam * nonterminal[t] * last
    return adv, (nonterminal, gamma, lam)


def gae_backward(dadv, cache):
    nonterminal, gamma, lam = cache
    T, B = dadv.shape
    drewards = np.zeros((T, B))
    dvalues = np.zeros((T + 1, B))
    g = np.zeros(B)
    for t in range(T):
        g = dadv[t] + gamma * lam * nonterminal[t] * g
        drewards[t] += g
        dvalues[t] -= g
        dvalues[t + 1] += gamma * nonterminal[t] * g
    return {"rewards": drewards, "values": dvalues}


@wrong_item("reinforcement learning, time-first arrays", "vjp",
            "The gradient that comes to step t from step t-1 went through nonterminal[t-1]; the backward multiplies by nonterminal[t].",
            ("rewards", "values"), ("elementwise-factor", "missing-term", "unknown"))
def generalised_advantages():
    r = np.random.RandomState(5)
    dones = np.zeros((5, 3))
    dones[1, 0] = dones[3, 1] = dones[2, 2] = 1
    return {"forward": gae, "backward": gae_backward,
            "inputs": {"rewards": r.randn(5, 3), "values": r.randn(6, 3)}, "constants": {"dones": dones}}


# ---------------------------------------------------------------- contrastive: CLIP
def _l2n(v):
    n = np.linalg.norm(v, axis=-1, keepdims=True)
    return v / n, n


def _l2n_bwd(dout, v, n):
    return dout / n


def _log_softmax(a, axis):
    a = a - a.max(axis=axis, keepdims=True)
    return a - np.log(np.exp(a).sum(axis=axis, keepdims=True))


def clip_loss_fwd(img, txt, logit_scale):
    i_n, i_norm = _l2n(img)
    t_n, t_norm = _l2n(txt)
    s = np.exp(logit_scale)
    cos = i_n @ t_n.T
    rows = _log_softmax(s * cos, 1)
    cols = _log_softmax(s * cos, 0)
    loss = -0.5 * (np.trace(rows) + np.trace(cols)) / len(img)
    return loss, (img, txt, i_n, i_norm, t_n, t_norm, s, cos, rows, cols)


def clip_loss_bwd(g, cache):
    img, txt, i_n, i_norm, t_n, t_norm, s, cos, rows, cols = cache
    B = len(img)
    eye = np.eye(B)
    dlogits = g * 0.5 / B * ((np.exp(rows) - eye) + (np.exp(cols) - eye))
    dscale = np.sum(dlogits * cos) * s
    di = _l2n_bwd(s * dlogits @ t_n, img, i_norm)
    dt = _l2n_bwd(s * dlogits.T @ i_n, txt, t_norm)
    return {"img": di, "txt": dt, "logit_scale": dscale}


@wrong_item("research code, functional with small helpers", "vjp",
            "The backward of v / |v| only divides by the norm; the part along v must be taken out: (d - n (n.d)) / |v|.",
            ("img", "txt"), ("missing-term",))
def clip_symmetric_infonce():
    r = np.random.RandomState(6)
    return {"forward": clip_loss_fwd, "backward": clip_loss_bwd,
            "inputs": {"img": r.randn(4, 3), "txt": r.randn(4, 3), "logit_scale": np.array(0.9)}}


# ---------------------------------------------------------------- contrastive: triplet
class TripletEmbedding(object):
    """ Linear embedding with triplet margin loss, squared distances """

    def __init__(self, margin=0.5):
        self.margin = margin

    def forward(self, anchor, positive, negative, W):
        self.inp = (anchor, positive, negative, W)
        self.ea, self.ep, self.en = anchor.dot(W), positive.dot(W), negative.dot(W)
        self.dist_p = np.square(self.ea - self.ep).sum(1)
        self.dist_n = np.square(self.ea - self.en).sum(1)
        self.hinge = self.dist_p - self.dist_n + self.margin
        return np.maximum(self.hinge, 0).mean(), None

    def backward(self, dout, _=None):
        anchor, positive, negative, W = self.inp
        active = (self.hinge > 0)[:, None] * dout / len(anchor)
        dea = 2 * active * (self.ep - self.en)
        dep = 2 * active * (self.ep - self.ea)
        den = 2 * active * (self.ea - self.en)
        dW = anchor.T.dot(dea) + positive.T.dot(dep) + negative.T.dot(den)
        return dict(anchor=dea.dot(W.T), positive=dep.dot(W.T), negative=den.dot(W.T), W=dW)


@wrong_item("layer class with state", "vjp",
            "The anchor's gradient is 2 (e_n - e_p), not 2 (e_p - e_n): wrong sign.",
            ("anchor", "W"), ("sign", "missing-term"))
def triplet_margin_embedding():
    r = np.random.RandomState(7)
    layer = TripletEmbedding()
    a = r.randn(5, 3)
    return {"forward": layer.forward, "backward": layer.backward,
            "inputs": {"anchor": a, "positive": a + r.randn(5, 3), "negative": a + r.randn(5, 3), "W": r.randn(3, 2)}}


# ---------------------------------------------------------------- flows: planar
def planar_logp(z, u, w, b):
    """log N(f(z); 0, I) + log |det df/dz| for f(z) = z + u tanh(w.z + b)."""
    a = z.dot(w) + b
    h = np.tanh(a)
    fz = z + h[:, None] * u
    psi = (1 - h ** 2)[:, None] * w
    det = 1 + psi.dot(u)
    logdet = np.log(np.abs(det))
    logn = -0.5 * (fz ** 2).sum(1) - 0.5 * z.shape[1] * np.log(2 * np.pi)
    return logn + logdet, (z, u, w, h, fz, psi, det)


def planar_logp_vjp(gy, cache):
    z, u, w, h, fz, psi, det = cache
    gfz = -gy[:, None] * fz
    gdet = gy / det
    gpsi = gdet[:, None] * u
    gu = (gfz * h[:, None]).sum(0) + (gdet[:, None] * psi).sum(0)
    gh = gfz.dot(u)
    ga = gh * (1 - h ** 2)
    gw = (gpsi * (1 - h ** 2)[:, None]).sum(0) + (ga[:, None] * z).sum(0)
    gz = gfz + ga[:, None] * w
    return gz, gu, gw, ga.sum()


@wrong_item("research code, normalizing flows with g-prefixed names", "vjp",
            "psi = (1 - h^2) w depends on h as well: gh lacks the term -2 h (gpsi . w) from the log determinant.",
            ("z", "w", "b"), ("missing-term",))
def planar_flow_density():
    r = np.random.RandomState(8)
    return {"forward": planar_logp, "backward": planar_logp_vjp,
            "inputs": {"z": r.randn(5, 2), "u": np.array([1.5, 0.9]), "w": np.array([1.4, 0.8]), "b": np.array(0.3)}}


# ---------------------------------------------------------------- flows: coupling
class AffineCoupling:
    def __init__(self, d):
        self.d = d

    def forward(self, x, Ws, bs, Wt):
        xa, xb = np.split(x, [self.d], axis=1)
        s = np.tanh(xa @ Ws + bs)
        t = xa @ Wt
        yb = xb * np.exp(s) + t
        y = np.concatenate([xa, yb], axis=1)
        nll = 0.5 * (y ** 2).sum(1) - s.sum(1)
        ctx = SimpleNamespace(xa=xa, xb=xb, s=s, y=y, Ws=Ws, Wt=Wt)
        return nll, ctx

    def backward(self, dnll, ctx):
        dy = dnll[:, None] * ctx.y
        dya, dyb = dy[:, :self.d], dy[:, self.d:]
        ds = dyb * ctx.xb * np.exp(ctx.s) - dnll[:, None]
        dt = dyb
        dpre = ds * (1 - ctx.s ** 2)
        dxa = dya + dpre @ ctx.Ws.T + dt @ ctx.Wt.T
        dxb = dyb * np.exp(-ctx.s)
        return np.hstack([dxa, dxb]), ctx.xa.T @ dpre, dpre.sum(0), ctx.xa.T @ dt


@wrong_item("port of a framework, ctx namespace", "vjp",
            "dxb is multiplied by exp(-s), as in the inverse; the forward multiplies by exp(s), so must the gradient.",
            ("x",), ("elementwise-factor",))
def realnvp_coupling_nll():
    r = np.random.RandomState(9)
    layer = AffineCoupling(2)
    return {"forward": layer.forward, "backward": layer.backward,
            "inputs": {"x": r.randn(4, 4), "Ws": r.randn(2, 2), "bs": r.randn(2), "Wt": r.randn(2, 2)}}


# ---------------------------------------------------------------- in-place standardisation
def logreg_standardised(x, w, b, targets):
    x -= x.mean(axis=0)
    sd = np.sqrt((x ** 2).mean(axis=0) + 1e-5)
    x /= sd
    s = x @ w + b
    loss = np.mean(np.logaddexp(0, s) - targets * s)
    return loss, (x.copy(), sd, w, s, targets)


def logreg_standardised_backward(dloss, cache):
    xn, sd, w, s, targets = cache
    n = len(s)
    ds = dloss * (1 / (1 + np.exp(-s)) - targets) / n
    dw = xn.T @ ds
    dxn = np.outer(ds, w)
    dx = (dxn - dxn.mean(0) - xn * (dxn * xn).mean(0)) / sd
    return {"x": dx, "w": dw, "b": ds.sum()}


@wrong_item("statistics notebook", "vjp",
            "The forward centres and scales x in place and so overwrites the caller's data; work on a copy (x = x - x.mean(0)).",
            ("x",), ("mutates-input",))
def standardised_logistic_regression():
    r = np.random.RandomState(10)
    return {"forward": logreg_standardised, "backward": logreg_standardised_backward,
            "inputs": {"x": 2 * r.randn(6, 3) + 1, "w": r.randn(3), "b": np.array(0.2)},
            "constants": {"targets": np.array([0, 1, 1, 0, 1, 0])}}


# ---------------------------------------------------------------- GRU
def sigmoid(v):
    return 1.0 / (1.0 + np.exp(-v))


def gru_step_forward(x, prev_h, Wx, Wh, b):
    H = prev_h.shape[1]
    ax = x.dot(Wx) + b
    ah = prev_h.dot(Wh[:, :2 * H])
    z = sigmoid(ax[:, :H] + ah[:, :H])
    r = sigmoid(ax[:, H:2 * H] + ah[:, H:])
    rh = r * prev_h
    n = np.tanh(ax[:, 2 * H:] + rh.dot(Wh[:, 2 * H:]))
    next_h = (1 - z) * n + z * prev_h
    return next_h, (x, prev_h, Wx, Wh, z, r, rh, n)


def gru_step_backward(dnext_h, cache):
    x, prev_h, Wx, Wh, z, r, rh, n = cache
    H = prev_h.shape[1]
    dz = dnext_h * (prev_h - n)
    dn = dnext_h * (1 - z)
    dan = dn * (1 - n ** 2)
    drh = dan.dot(Wh[:, 2 * H:].T)
    dr = drh * prev_h
    daz = dz * z * (1 - z)
    dar = dr * r * (1 - r)
    da = np.hstack([daz, dar, dan])
    dx = da.dot(Wx.T)
    dWx = x.T.dot(da)
    db = da.sum(axis=0)
    dWh = np.hstack([prev_h.T.dot(daz), prev_h.T.dot(dar), rh.T.dot(dan)])
    dprev_h = dnext_h * z + da[:, :2 * H].dot(Wh[:, :2 * H].T)
    return dx, dprev_h, dWx, dWh, db


@wrong_item("class assignment, step functions with tuple caches", "vjp",
            "prev_h also enters the candidate through r * prev_h: dprev_h lacks drh * r.",
            ("prev_h",), ("missing-term",))
def gru_single_step():
    r = np.random.RandomState(11)
    return {"forward": gru_step_forward, "backward": gru_step_backward,
            "inputs": {"x": r.randn(4, 2), "prev_h": r.randn(4, 3), "Wx": r.randn(2, 9), "Wh": r.randn(3, 9), "b": r.randn(9)}}


# ---------------------------------------------------------------- physics: leapfrog
def kdk(q, p, k, lam, dt, nsteps):
    """kick-drift-kick in V(q) = k q^2/2 + lam q^4/4; returns final (q, p)"""
    tape = []
    for _ in range(nsteps):
        q0 = q
        ph = p - 0.5 * dt * (k * q0 + lam * q0 ** 3)
        q = q0 + dt * ph
        p = ph - 0.5 * dt * (k * q + lam * q ** 3)
        tape.append((q0, q))
    return np.stack([q, p]), (tape, k, lam, dt)


def kdk_adjoint(bar, cache):
    tape, k, lam, dt = cache
    qbar, pbar = bar[0].copy(), bar[1].copy()
    kbar = lbar = 0.0
    for q0, q1 in tape[::-1]:
        kbar -= 0.5 * dt * np.sum(pbar * q1)
        lbar -= 0.5 * dt * np.sum(pbar * q1 ** 3)
        qbar = qbar - 0.5 * dt * pbar * (k + 3 * lam * q1 ** 2)
        pbar = pbar + dt * qbar
        kbar -= 0.5 * dt * np.sum(pbar * q0)
        lbar -= 0.5 * dt * np.sum(pbar * q0 ** 3)
    return {"q": qbar, "p": pbar, "k": kbar, "lam": lbar}


@wrong_item("physics, adjoint of an integrator", "vjp",
            "The first half kick depends on q0 too: after pbar is complete, qbar lacks - dt/2 pbar (k + 3 lam q0^2).",
            ("q", "p", "k", "lam"), ("missing-term", "unknown"))
def leapfrog_quartic_oscillator():
    r = np.random.RandomState(12)
    return {"forward": kdk, "backward": kdk_adjoint,
            "inputs": {"q": r.randn(4), "p": r.randn(4), "k": np.array(1.3), "lam": np.array(0.4)},
            "constants": {"dt": 0.3, "nsteps": 4}}


# ---------------------------------------------------------------- physics: Lennard-Jones
def lj_energy(pos, epsilon, sigma):
    N = pos.shape[0]
    E = 0.0
    for i in range(N):
        for j in range(i + 1, N):
            r2 = ((pos[i] - pos[j]) ** 2).sum()
            s6 = (sigma ** 2 / r2) ** 3
            E = E + 4 * epsilon * (s6 ** 2 - s6)
    return float(E), (pos, epsilon, sigma)


def lj_gradient(dE, cache):
    pos, epsilon, sigma = cache
    N = len(pos)
    dpos = np.zeros_like(pos)
    deps = dsig = 0.0
    for i in range(N):
        for j in range(N):
            if i == j:
                continue
            rij = pos[i] - pos[j]
            r2 = rij @ rij
            s6 = (sigma ** 2 / r2) ** 3
            f = -24 * epsilon * (2 * s6 ** 2 - s6) / r2 * rij
            dpos[i] += f
            dpos[j] -= f
            if i < j:
                deps += 4 * (s6 ** 2 - s6)
                dsig += 24 * epsilon * (2 * s6 ** 2 - s6) / sigma
    return dE * dpos, dE * deps, dE * dsig


@wrong_item("physics, loops over pairs", "vjp",
            "Each pair is visited twice and both times added to both atoms: the gradient by pos is twice too large.",
            ("pos",), ("factor",))
def lennard_jones_cluster():
    r = np.random.RandomState(13)
    pos = np.array([[0, 0], [1.2, 0.1], [0.2, 1.1], [1.3, 1.4]]) + 0.05 * r.randn(4, 2)
    return {"forward": lj_energy, "backward": lj_gradient,
            "inputs": {"pos": pos, "epsilon": np.array(0.7), "sigma": np.array(0.95)}}


# ---------------------------------------------------------------- graphics: Blinn-Phong
def shade(normals, albedo, ks, light, half, shininess):
    length = np.sqrt(np.einsum("ij,ij->i", normals, normals))
    nn = normals / length[:, None]
    ndl = np.clip(nn @ light, 0, None)
    ndh = np.clip(nn @ half, 0, None)
    spec = ndh ** shininess
    rgb = albedo * ndl[:, None] + ks * spec[:, None]
    return rgb, dict(length=length, nn=nn, ndl=ndl, ndh=ndh, spec=spec, albedo=albedo, ks=ks, L=light, H=half, s=shininess)


def shade_backward(drgb, c):
    d_albedo = drgb * c["ndl"][:, None]
    d_ks = np.sum(drgb * c["spec"][:, None])
    d_ndl = np.sum(drgb * c["albedo"], axis=1) * (c["ndl"] > 0)
    d_spec = c["ks"] * drgb.sum(axis=1)
    d_ndh = d_spec * c["ndh"] ** (c["s"] - 1)
    d_nn = np.outer(d_ndl, c["L"]) + np.outer(d_ndh, c["H"])
    radial = np.einsum("ij,ij->i", d_nn, c["nn"])
    d_normals = (d_nn - radial[:, None] * c["nn"]) / c["length"][:, None]
    return {"normals": d_normals, "albedo": d_albedo, "ks": d_ks}


@wrong_item("graphics, differentiable shading", "vjp",
            "The derivative of ndh ** s is s * ndh ** (s - 1): the exponent in front is missing.",
            ("normals",), ("factor", "missing-term"))
def blinn_phong_shading():
    r = np.random.RandomState(14)
    L = np.array([0.3, 0.5, 0.8]); L /= np.linalg.norm(L)
    H = L + np.array([0, 0, 1.0]); H /= np.linalg.norm(H)
    normals = np.array([[0, 0, 1.0]]) + 0.5 * r.randn(5, 3)
    normals[3] = [0.4, -0.3, -1.5]
    return {"forward": shade, "backward": shade_backward,
            "inputs": {"normals": normals, "albedo": r.rand(5, 3), "ks": np.array(0.6)},
            "constants": {"light": L, "half": H, "shininess": 6}}


# ---------------------------------------------------------------- graphics: volume rendering
def composite(sigma, rgb, deltas):
    tau = sigma * deltas
    alpha = 1.0 - np.exp(-tau)
    T = np.exp(-(np.cumsum(tau, -1) - tau))
    weights = T * alpha
    return (weights[..., None] * rgb).sum(-2), (tau, T, weights, rgb, deltas)


def composite_bwd(dC, saved):
    tau, T, weights, rgb, deltas = saved
    drgb = weights[..., None] * dC[:, None, :]
    cg = (rgb * dC[:, None, :]).sum(-1)
    wc = weights * cg
    behind = np.cumsum(wc[:, ::-1], axis=1)[:, ::-1]
    dtau = T * np.exp(-tau) * cg - behind
    return {"sigma": dtau * deltas, "rgb": drgb}


@wrong_item("graphics research, radiance fields", "vjp",
            "`behind` is to hold the samples behind the i-th only; the reversed cumsum includes the i-th itself (subtract wc).",
            ("sigma",), ("missing-term",))
def alpha_compositing_along_rays():
    r = np.random.RandomState(15)
    return {"forward": composite, "backward": composite_bwd,
            "inputs": {"sigma": r.rand(3, 4) * 2, "rgb": r.rand(3, 4, 3)}, "constants": {"deltas": 0.2 + r.rand(3, 4)}}


# ---------------------------------------------------------------- NLP: skip-gram
def sgns_loss(V, U, center, context, negatives):
    vc = V[center]
    pos = np.einsum("bd,bd->b", vc, U[context])
    neg = np.einsum("bd,bkd->bk", vc, U[negatives])
    loss = np.logaddexp(0, -pos).sum() + np.logaddexp(0, neg).sum()
    return loss, (V, U, center, context, negatives, pos, neg)


def sgns_grad(dloss, cache):
    V, U, center, context, negatives, pos, neg = cache
    gpos = dloss * (sigmoid(pos) - 1)
    gneg = dloss * sigmoid(neg)
    dV, dU = np.zeros_like(V), np.zeros_like(U)
    dV[center] += gpos[:, None] * U[context] + np.einsum("bk,bkd->bd", gneg, U[negatives])
    np.add.at(dU, context, gpos[:, None] * V[center])
    np.add.at(dU, negatives, gneg[..., None] * V[center][:, None, :])
    return {"V": dV, "U": dU}


@wrong_item("NLP, word2vec", "vjp",
            "dV[center] += ... keeps only the last of repeated centre words; use np.add.at(dV, center, ...).",
            ("V",), ("batch-sum", "missing-term"))
def skipgram_negative_sampling():
    r = np.random.RandomState(16)
    return {"forward": sgns_loss, "backward": sgns_grad, "inputs": {"V": r.randn(5, 3), "U": r.randn(5, 3)},
            "constants": {"center": np.array([0, 2, 2, 1, 2]), "context": np.array([1, 0, 3, 4, 4]),
                          "negatives": np.array([[2, 3], [4, 4], [1, 0], [0, 3], [1, 1]])}}


# ---------------------------------------------------------------- NLP: causal attention
class CausalSelfAttention:
    def forward(self, x, w_query, w_key, w_value):
        self.x, self.wq, self.wk, self.wv = x, w_query, w_key, w_value
        self.q, self.k, self.v = x @ w_query, x @ w_key, x @ w_value
        self.scale = self.q.shape[-1] ** -0.5
        att = self.q @ self.k.T * self.scale
        att = np.where(np.tri(len(x), dtype=bool), att, -np.inf)
        att = np.exp(att - att.max(-1, keepdims=True))
        self.att = att / att.sum(-1, keepdims=True)
        return self.att @ self.v, self

    def backward(self, dout, cache=None):
        datt = dout @ self.v.T
        dv = self.att.T @ dout
        dscore = self.att * (datt - (datt * self.att).sum(-1, keepdims=True))
        dq = dscore @ self.k * self.scale
        dk = dscore.T @ self.q
        dx = dq @ self.wq.T + dk @ self.wk.T + dv @ self.wv.T
        return dx, self.x.T @ dq, self.x.T @ dk, self.x.T @ dv


@wrong_item("NLP, minimal GPT in NumPy, class with state", "vjp",
            "dk lacks the scale 1/sqrt(d) which dq has.",
            ("x", "w_key"), ("factor", "missing-term"))
def causal_self_attention():
    r = np.random.RandomState(17)
    layer = CausalSelfAttention()
    return {"forward": layer.forward, "backward": layer.backward,
            "inputs": {"x": r.randn(4, 3), "w_query": r.randn(3, 3), "w_key": r.randn(3, 3), "w_value": r.randn(3, 3)}}


# ---------------------------------------------------------------- NLP: CRF
def lse(a, axis):
    m = a.max(axis=axis, keepdims=True)
    return (m + np.log(np.exp(a - m).sum(axis=axis, keepdims=True))).squeeze(axis)


def crf_nll(emissions, transitions, tags):
    B, T, K = emissions.shape
    alpha = np.zeros((B, T, K))
    alpha[:, 0] = emissions[:, 0]
    gold = emissions[np.arange(B), 0, tags[:, 0]]
    for t in range(1, T):
        alpha[:, t] = lse(alpha[:, t - 1, :, None] + transitions[None], 1) + emissions[:, t]
        gold = gold + transitions[tags[:, t - 1], tags[:, t]] + emissions[np.arange(B), t, tags[:, t]]
    logZ = lse(alpha[:, -1], 1)
    return logZ - gold, (emissions, transitions, tags, alpha, logZ)


def crf_nll_backward(dnll, cache):
    emissions, transitions, tags, alpha, logZ = cache
    B, T, K = emissions.shape
    beta = np.zeros((B, T, K))
    for t in range(T - 2, -1, -1):
        beta[:, t] = lse(transitions[None] + (emissions[:, t + 1] + beta[:, t + 1])[:, None, :], 2)
    d_em = np.exp(alpha + beta - logZ[:, None, None]) * dnll[:, None, None]
    d_tr = np.zeros((K, K))
    for t in range(1, T):
        pair = alpha[:, t - 1, :, None] + transitions[None] + (emissions[:, t] + beta[:, t])[:, None, :]
        d_tr += (np.exp(pair - logZ[:, None, None]) * dnll[:, None, None]).sum(0)
        np.add.at(d_tr, (tags[:, t], tags[:, t - 1]), -dnll)
    for t in range(T):
        d_em[np.arange(B), t, tags[:, t]] -= dnll
    return d_em, d_tr


@wrong_item("NLP, structured prediction", "vjp",
            "The gold counts are put at [to, from], the transitions are indexed [from, to]: the indices in add.at are swapped.",
            ("transitions",), ("transpose", "missing-term"))
def linear_chain_crf():
    r = np.random.RandomState(18)
    return {"forward": crf_nll, "backward": crf_nll_backward,
            "inputs": {"emissions": r.randn(3, 4, 3), "transitions": r.randn(3, 3)},
            "constants": {"tags": np.array([[0, 1, 2, 0], [2, 2, 0, 1], [0, 1, 1, 2]])}}


# ---------------------------------------------------------------- statistics: multivariate normal
def mvn_logpdf(x, mu, L):
    L = np.tril(L)
    resid = np.linalg.solve(L, (x - mu).T)
    logdet = np.log(np.abs(np.diag(L))).sum()
    D = len(mu)
    return -0.5 * (resid ** 2).sum(0) - logdet - 0.5 * D * np.log(2 * np.pi), (resid, L)


def mvn_logpdf_grad(g, cache):
    resid, L = cache
    dresid = -resid * g
    A = np.linalg.solve(L.T, dresid)
    dx = A.T
    dmu = -A.sum(axis=1)
    dL = -np.tril(resid @ A.T)
    dL -= np.diag(g.sum() / np.diag(L))
    return {"x": dx, "mu": dmu, "L": dL}


@wrong_item("statistics, Cholesky parametrisation", "vjp",
            "The gradient by L of L^-1 v is -A resid^T; the code has its transpose, resid A^T, under tril.",
            ("L",), ("transpose",))
def mvn_cholesky_logpdf():
    r = np.random.RandomState(19)
    return {"forward": mvn_logpdf, "backward": mvn_logpdf_grad,
            "inputs": {"x": r.randn(4, 3), "mu": r.randn(3),
                       "L": np.array([[1.2, 0, 0], [0.7, 0.9, 0], [-0.6, 0.8, 1.1]])}}


# ---------------------------------------------------------------- features-first lectures
def model_forward(X, W1, b1, W2, b2, Y):
    m = X.shape[1]
    Z1 = np.dot(W1, X) + b1
    A1 = np.tanh(Z1)
    Z2 = np.dot(W2, A1) + b2
    A2 = 1 / (1 + np.exp(-Z2))
    cost = -(1. / m) * np.sum(Y * np.log(A2) + (1 - Y) * np.log(1 - A2))
    return np.squeeze(cost), {"X": X, "Y": Y, "W1": W1, "W2": W2, "A1": A1, "A2": A2}


def model_backward(dcost, cache):
    X, Y, W1, W2, A1, A2 = (cache[k] for k in ("X", "Y", "W1", "W2", "A1", "A2"))
    m = X.shape[1]
    dZ2 = dcost * (A2 - Y)
    dW2 = (1. / m) * np.dot(dZ2, A1.T)
    db2 = (1. / m) * np.sum(dZ2, axis=1, keepdims=True)
    dZ1 = np.dot(W2.T, dZ2) * (1 - np.power(A1, 2))
    dW1 = (1. / m) * np.dot(dZ1, X.T)
    db1 = (1. / m) * np.sum(dZ1, axis=0).reshape(-1, 1)
    dX = (1. / m) * np.dot(W1.T, dZ1)
    return {"X": dX, "W1": dW1, "b1": db1, "W2": dW2, "b2": db2}


@wrong_item("features-first lecture code", "vjp",
            "db1 sums dZ1 over the units (axis 0) and not over the examples (axis 1); it fits only because both are 5.",
            ("b1",), ("shape",))
def features_first_binary_classifier():
    r = np.random.RandomState(20)
    return {"forward": model_forward, "backward": model_backward,
            "inputs": {"X": r.randn(3, 5), "W1": r.randn(5, 3), "b1": r.randn(5, 1), "W2": r.randn(1, 5), "b2": r.randn(1, 1)},
            "constants": {"Y": np.array([[1, 0, 1, 1, 0]])}}


# ---------------------------------------------------------------- focal loss
class FocalLoss:
    def __init__(self, gamma=2.0):
        self.gamma = gamma

    def __call__(self, logits, class_weight, target):
        m = logits.max(axis=1, keepdims=True)
        logp = logits - m - np.log(np.exp(logits - m).sum(axis=1, keepdims=True))
        lpt = logp[np.arange(len(target)), target]
        pt = np.exp(lpt)
        per_row = -class_weight[target] * (1 - pt) ** self.gamma * lpt
        return per_row.sum(), (logits, class_weight, target, lpt, pt)

    def grad(self, dy, cache):
        logits, class_weight, target, lpt, pt = cache
        g = self.gamma
        dlpt = class_weight[target] * (g * (1 - pt) ** (g - 1) * pt * lpt - (1 - pt) ** g)
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        onehot = np.zeros_like(p)
        onehot[np.arange(len(target)), target] = 1
        dlogits = dy * dlpt[:, None] * (onehot - p)
        dweight = np.zeros_like(class_weight)
        np.add.at(dweight, target, -dy * (1 - pt) ** g * lpt)
        return dlogits, dweight


@wrong_item("callable loss object", "vjp",
            "The backward recomputes the softmax without subtracting the row's maximum; exp overflows and the row is nan.",
            ("logits",), ("non-finite",))
def focal_loss_with_large_logits():
    r = np.random.RandomState(21)
    logits = r.randn(5, 3)
    logits[2] = [900.0, 899.0, 897.5]
    loss = FocalLoss()
    return {"forward": loss, "backward": loss.grad, "inputs": {"logits": logits, "class_weight": np.array([0.5, 1.0, 2.0])},
            "constants": {"target": np.array([0, 2, 1, 1, 2])}}


# ---------------------------------------------------------------- accumulating framework
class Module:
    def __init__(self):
        self.grads = {}

    def _acc(self, key, value):
        self.grads[key] = self.grads.get(key, 0) + value


class RegressionNet(Module):
    def forward(self, x, W1, b1, W2, target):
        pre = x @ W1 + b1
        act = pre * sigmoid(pre)
        out = act @ W2
        return 0.5 * np.mean((out - target) ** 2), (x, W1, W2, pre, act, out, target)

    def backward(self, dy, cache):
        x, W1, W2, pre, act, out, target = cache
        dout = dy * (out - target) / out.size
        self._acc("W2", act.T @ dout)
        sg = sigmoid(pre)
        dpre = dout @ W2.T * (sg + pre * sg * (1 - sg))
        self._acc("W1", x.T @ dpre)
        self._acc("b1", dpre.sum(0))
        return {"x": dpre @ W1.T, "W1": self.grads["W1"], "b1": self.grads["b1"], "W2": self.grads["W2"]}


@wrong_item("own little framework with a Module base class", "vjp",
            "backward adds to self.grads and nothing ever resets it: the second call returns the sum of both. Set the gradients anew in each backward.",
            ("W1", "b1", "W2"), ("accumulates",))
def swish_regression_module():
    r = np.random.RandomState(22)
    net = RegressionNet()
    return {"forward": net.forward, "backward": net.backward,
            "inputs": {"x": r.randn(4, 3), "W1": r.randn(3, 4), "b1": r.randn(4), "W2": r.randn(4, 2)},
            "constants": {"target": r.randn(4, 2)}}


# ---------------------------------------------------------------- recommender
def bpr_forward(u, i, j, M):
    diff = i - j
    x_uij = (u.dot(M) * diff).sum(axis=1)
    return np.log1p(np.exp(-x_uij)).sum(), (u, i, j, M, diff, x_uij)


def bpr_backward(dloss, cache):
    u, i, j, M, diff, x_uij = cache
    e = -dloss / (1 + np.exp(x_uij))
    du = e[:, None] * diff.dot(M.T)
    di = e[:, None] * u.dot(M)
    dj = e[:, None] * u.dot(M)
    dM = (u * e[:, None]).T.dot(diff)
    return du, di, dj, dM


@wrong_item("recommender systems, pairwise ranking", "vjp",
            "The negative item enters with a minus: dj must be -e u M.",
            ("j",), ("sign",))
def bayesian_personalised_ranking():
    r = np.random.RandomState(23)
    return {"forward": bpr_forward, "backward": bpr_backward,
            "inputs": {"u": r.randn(4, 3), "i": r.randn(4, 2), "j": r.randn(4, 2), "M": r.randn(3, 2)}}


# ---------------------------------------------------------------- state-space layer
def ssm_scan(x, a_log, b, c, d, dt=0.5):
    B, T = x.shape
    abar = np.exp(-dt * np.exp(a_log))
    h = np.zeros((B, len(a_log)))
    hs, y = [], np.empty((B, T))
    for t in range(T):
        h = abar * h + b * x[:, t:t + 1]
        hs.append(h)
        y[:, t] = h @ c + d * x[:, t]
    return y, (x, abar, a_log, b, c, d, dt, hs)


def ssm_scan_vjp(dy, res):
    x, abar, a_log, b, c, d, dt, hs = res
    dx = d * dy
    dabar, db, dc = np.zeros_like(abar), np.zeros_like(b), np.zeros_like(c)
    dh = np.zeros_like(hs[0])
    for t in range(x.shape[1] - 1, -1, -1):
        dh = dh + dy[:, t:t + 1] * c
        dc += dy[:, t] @ hs[t]
        dabar += (dh * hs[t]).sum(0)
        db += x[:, t] @ dh
        dx[:, t] += dh @ b
        dh = dh * abar
    da_log = -dabar * abar * dt * np.exp(a_log)
    return dx, da_log, db, dc, np.sum(dy * x)


@wrong_item("sequence-model research, functional scan", "vjp",
            "abar multiplies the state before the step: dabar must use h[t-1] (zeros at t = 0), not h[t].",
            ("a_log",), ("elementwise-factor", "missing-term", "unknown"))
def diagonal_state_space_scan():
    r = np.random.RandomState(24)
    return {"forward": ssm_scan, "backward": ssm_scan_vjp,
            "inputs": {"x": r.randn(3, 5), "a_log": 0.5 * r.randn(4), "b": r.randn(4), "c": r.randn(4), "d": np.array(0.7)}}


# ---------------------------------------------------------------- leaky reservoir
def leaky_forward(x, h0, W, U, leak, v):
    h = h0
    trace = [h0]
    cand = []
    for t in range(x.shape[1]):
        c = np.tanh(np.matmul(x[:, t], W) + np.matmul(h, U))
        h = (1 - leak) * h + leak * c
        cand.append(c)
        trace.append(h)
    return h @ v, {"x": x, "W": W, "U": U, "leak": leak, "v": v, "trace": trace, "cand": cand}


def leaky_backward(dout, cache):
    x, W, U, leak, v = (cache[n] for n in ["x", "W", "U", "leak", "v"])
    grads = {"x": np.zeros_like(x), "h0": np.zeros_like(cache["trace"][0]), "W": np.zeros_like(W), "U": np.zeros_like(U),
             "leak": 0.0, "v": cache["trace"][-1].T @ dout}
    dh = np.outer(dout, v)
    for t in range(x.shape[1])[::-1]:
        h_prev, c = cache["trace"][t], cache["cand"][t]
        grads["leak"] += np.sum(dh * (c - h_prev))
        da = leak * dh * (1 - c * c)
        grads["W"] += x[:, t].T @ da
        grads["U"] += h_prev.T @ da
        grads["x"][:, t] = da @ W.T
        dh = (1 - leak) * dh + da @ U.T
    return grads


@wrong_item("neuroscience rate model, dict of gradients", "vjp",
            "The gradient that is left after the loop is never stored: grads['h0'] = dh is missing, zeros come back.",
            ("h0",), ("zero",))
def leaky_rate_network():
    r = np.random.RandomState(25)
    return {"forward": leaky_forward, "backward": leaky_backward,
            "inputs": {"x": r.randn(3, 4, 2), "h0": r.randn(3, 3), "W": r.randn(2, 3), "U": 0.6 * r.randn(3, 3),
                       "leak": np.array(0.4), "v": r.randn(3)}}


# ================================================================ right ones, vjp
class ResidualBlock:
    """x + W2 gelu(W1 layernorm(x)); buffers are reused"""

    def forward(self, x, gain, shift, W1, b1, W2):
        xhat = x - x.mean(-1, keepdims=True)
        inv = 1.0 / np.sqrt(np.mean(xhat * xhat, -1, keepdims=True) + 1e-6)
        xhat *= inv
        n = xhat * gain
        n += shift
        a = n @ W1
        a += b1
        th = np.tanh(0.7978845608028654 * (a + 0.044715 * a ** 3))
        g = 0.5 * a * (1 + th)
        out = g @ W2
        out += x
        return out, [xhat, inv, gain, n, W1, a, th, g, W2]

    def backward(self, dout, cache):
        xhat, inv, gain, n, W1, a, th, g, W2 = cache
        dW2 = g.T @ dout
        da = dout @ W2.T
        da *= 0.5 * (1 + th) + 0.5 * a * (1 - th * th) * 0.7978845608028654 * (1 + 3 * 0.044715 * a * a)
        dW1, db1 = n.T @ da, da.sum(0)
        dn = da @ W1.T
        dgain, dshift = (dn * xhat).sum(0), dn.sum(0)
        dn *= gain
        m1 = dn.mean(-1, keepdims=True)
        m2 = (dn * xhat).mean(-1, keepdims=True)
        dn -= m1
        dn -= xhat * m2
        dn *= inv
        dn += dout
        return dn, dgain, dshift, dW1, db1, dW2


@right_item("port of a framework, in-place on own buffers", "vjp")
def layernorm_gelu_residual():
    r = np.random.RandomState(31)
    blk = ResidualBlock()
    return {"forward": blk.forward, "backward": blk.backward,
            "inputs": {"x": r.randn(4, 5), "gain": r.randn(5), "shift": r.randn(5), "W1": r.randn(5, 6), "b1": r.randn(6), "W2": r.randn(6, 5)}}


def hmm_loglik(start, trans, means, obs):
    """start (K,), trans (K,K): unnormalised logits; unit-variance Gaussian emissions"""
    lp0 = start - lse(start, 0)
    lA = trans - lse(trans, 1)[:, None]
    lB = -0.5 * (obs[:, None] - means[None]) ** 2 - 0.5 * np.log(2 * np.pi)
    T = len(obs)
    la = [lp0 + lB[0]]
    for t in range(1, T):
        la.append(lse(la[-1][:, None] + lA, 0) + lB[t])
    ll = lse(la[-1], 0)
    return float(ll), (lp0, lA, lB, la, ll, means, obs)


def hmm_loglik_grad(dll, cache):
    lp0, lA, lB, la, ll, means, obs = cache
    T, K = lB.shape
    lb = [np.zeros(K)]
    for t in range(T - 1, 0, -1):
        lb.insert(0, lse(lA + (lB[t] + lb[0])[None], 1))
    post = np.exp(np.array(la) + np.array(lb) - ll)
    xi = sum(np.exp(la[t][:, None] + lA + (lB[t + 1] + lb[t + 1])[None] - ll) for t in range(T - 1))
    dstart = post[0] - np.exp(lp0)
    dtrans = xi - xi.sum(1, keepdims=True) * np.exp(lA)
    dmeans = (post * (obs[:, None] - means)).sum(0)
    return dll * dstart, dll * dtrans, dll * dmeans


@right_item("statistics, Baum-Welch posteriors as gradient", "vjp")
def hmm_marginal_likelihood():
    r = np.random.RandomState(32)
    return {"forward": hmm_loglik, "backward": hmm_loglik_grad,
            "inputs": {"start": r.randn(3), "trans": r.randn(3, 3), "means": np.array([-1.0, 0.2, 2.0])},
            "constants": {"obs": r.randn(6)}}


def tempered_xent(scores, temperature, labels):
    s = scores / temperature
    top = s.max(1)
    lz = top + np.log(np.exp(s - top[:, None]).sum(1))
    return lz - s[np.arange(len(s)), labels], (s, lz, temperature, labels)


def tempered_xent_bwd(d, saved):
    s, lz, temperature, labels = saved
    ds = np.exp(s - lz[:, None])
    ds[np.arange(len(s)), labels] -= 1
    ds *= d[:, None]
    return ds / temperature, np.asarray(-(ds * s).sum() / temperature)


@right_item("calibration script, 0-d temperature, huge scores", "vjp")
def temperature_scaled_cross_entropy():
    r = np.random.RandomState(33)
    return {"forward": tempered_xent, "backward": tempered_xent_bwd,
            "inputs": {"scores": 5000.0 + 40 * r.randn(4, 3), "temperature": np.array(25.0)},
            "constants": {"labels": np.array([2, 0, 1, 1], dtype=np.int8)}}


class Siamese:
    margin = 1.5

    def embed(self, inp, W, b):
        return np.tanh(inp.dot(W) + b)

    def forward(self, left, right, W, b, same):
        el, er = self.embed(left, W, b), self.embed(right, W, b)
        dist = np.sqrt(((el - er) ** 2).sum(1) + 1e-9)
        gap = np.maximum(self.margin - dist, 0)
        return (same * dist ** 2 + (1 - same) * gap ** 2).sum() / 2, (left, right, W, el, er, dist, gap, same)

    def backward(self, dy, cache):
        left, right, W, el, er, dist, gap, same = cache
        ddist = dy * (same * dist - (1 - same) * gap)
        del_ = (ddist / dist)[:, None] * (el - er)
        dpl = del_ * (1 - el ** 2)
        dpr = -del_ * (1 - er ** 2)
        return {"left": dpl.dot(W.T), "right": dpr.dot(W.T), "W": np.r_[left, right].T.dot(np.r_[dpl, dpr]),
                "b": (dpl + dpr).sum(0)}


@right_item("one-shot learning class, shared weights", "vjp")
def siamese_contrastive():
    r = np.random.RandomState(34)
    net = Siamese()
    return {"forward": net.forward, "backward": net.backward,
            "inputs": {"left": r.randn(5, 3), "right": r.randn(5, 3), "W": r.randn(3, 2), "b": r.randn(2)},
            "constants": {"same": np.array([1, 0, 0, 1, 0])}}


def moe(x, Wg, We, be):
    gate = np.exp(_log_softmax(x @ Wg, -1))
    out = np.tanh(np.einsum("bi,kio->bko", x, We) + be)
    return np.einsum("bk,bko->bo", gate, out), (x, Wg, We, gate, out)


def moe_vjp(dy, res):
    x, Wg, We, gate, out = res
    dgate = np.einsum("bo,bko->bk", dy, out)
    dpre = np.einsum("bo,bk,bko->bko", dy, gate, 1 - out ** 2)
    dscore = gate * (dgate - np.einsum("bk,bk->b", gate, dgate)[:, None])
    dx = np.einsum("bko,kio->bi", dpre, We) + dscore @ Wg.T
    return dx, x.T @ dscore, np.einsum("bi,bko->kio", x, dpre), dpre.sum(0)


@right_item("einsum-heavy research code", "vjp")
def mixture_of_experts():
    r = np.random.RandomState(35)
    return {"forward": moe, "backward": moe_vjp,
            "inputs": {"x": r.randn(4, 3), "Wg": r.randn(3, 2), "We": r.randn(2, 3, 3), "be": r.randn(2, 3)}}


def rbm_contrast(v, W, vbias, hbias, v_neg):
    def F(u):
        return -u @ vbias - np.logaddexp(0, u @ W + hbias).sum(1)
    return F(v).mean() - F(v_neg).mean(), (v, v_neg, W, vbias, hbias)


def rbm_contrast_grad(dy, cache):
    v, v_neg, W, vbias, hbias = cache
    hp = sigmoid(v @ W + hbias) / len(v)
    hn = sigmoid(v_neg @ W + hbias) / len(v_neg)
    return {"W": -dy * (v.T @ hp - v_neg.T @ hn), "hbias": dy * (hn.sum(0) - hp.sum(0)),
            "vbias": dy * (v_neg.mean(0) - v.mean(0)),
            "v": -dy * (vbias / len(v) + hp @ W.T)}


@right_item("deep-learning tutorial, energy-based", "vjp")
def rbm_free_energy_difference():
    r = np.random.RandomState(36)
    return {"forward": rbm_contrast, "backward": rbm_contrast_grad,
            "inputs": {"v": r.rand(4, 5), "W": r.randn(5, 3), "vbias": r.randn(5), "hbias": r.randn(3)},
            "constants": {"v_neg": r.randint(0, 2, (6, 5))}}


def fly(r0, v0, drag, dt=0.1, steps=6, g=9.81):
    r, v = r0, v0
    vs = []
    for _ in range(steps):
        vs.append(v)
        speed = np.hypot(v[:, :1], v[:, 1:])
        r = r + dt * v
        v = v + dt * (np.array([0.0, -g]) - drag * speed * v)
    return r, (vs, drag, dt)


def fly_adjoint(rbar, cache):
    vs, drag, dt = cache
    vbar = 0 * rbar
    kbar = 0.0
    while vs_left := len(vs):
        v = vs[vs_left - 1]
        vs = vs[:-1]
        speed = np.hypot(v[:, :1], v[:, 1:])
        kbar -= dt * np.sum(vbar * speed * v)
        vbar = vbar - dt * drag * (speed * vbar + v * np.sum(vbar * v, 1, keepdims=True) / speed) + dt * rbar
    return rbar, vbar, kbar


@right_item("physics, explicit Euler with discrete adjoint", "vjp")
def projectile_with_drag():
    r = np.random.RandomState(37)
    return {"forward": fly, "backward": fly_adjoint,
            "inputs": {"r0": r.randn(3, 2), "v0": np.array([[5.0, 7.0], [1.0, 12.0], [8.0, -2.0]]), "drag": np.array(0.03)}}


def texture_lookup(tex, uv):
    H, W = tex.shape
    y = np.clip(uv[:, 1] * (H - 1), 0, H - 1)
    x = np.clip(uv[:, 0] * (W - 1), 0, W - 1)
    y0 = np.minimum(y.astype(int), H - 2)
    x0 = np.minimum(x.astype(int), W - 2)
    fy, fx = y - y0, x - x0
    t00, t01, t10, t11 = tex[y0, x0], tex[y0, x0 + 1], tex[y0 + 1, x0], tex[y0 + 1, x0 + 1]
    out = (1 - fy) * ((1 - fx) * t00 + fx * t01) + fy * ((1 - fx) * t10 + fx * t11)
    return out, (tex.shape, uv, y0, x0, fy, fx, t00, t01, t10, t11)


def texture_lookup_bwd(dout, c):
    (H, W), uv, y0, x0, fy, fx, t00, t01, t10, t11 = c
    dtex = np.zeros(H * W)
    base = y0 * W + x0
    for off, wgt in ((0, (1 - fy) * (1 - fx)), (1, (1 - fy) * fx), (W, fy * (1 - fx)), (W + 1, fy * fx)):
        dtex += np.bincount(base + off, weights=wgt * dout, minlength=H * W)
    inside = (uv > 0) & (uv < 1)
    du = ((1 - fy) * (t01 - t00) + fy * (t11 - t10)) * (W - 1)
    dv = ((1 - fx) * (t10 - t00) + fx * (t11 - t01)) * (H - 1)
    return {"tex": dtex.reshape(H, W), "uv": np.stack([du, dv], 1) * inside * dout[:, None]}


@right_item("graphics, clamped bilinear sampling", "vjp")
def bilinear_texture_lookup():
    r = np.random.RandomState(38)
    uv = np.array([[0.13, 0.41], [0.13, 0.45], [1.4, 0.6], [0.77, -0.3], [0.92, 0.88], [0.55, 0.2]])
    return {"forward": texture_lookup, "backward": texture_lookup_bwd, "inputs": {"tex": r.randn(4, 5), "uv": uv}}


def dueling_td_loss(s, W, Wv, Wa, a, target):
    feat = np.where(s @ W > 0, s @ W, 0.01 * (s @ W))
    V, A = feat @ Wv, feat @ Wa
    Q = V + A - A.mean(axis=1, keepdims=True)
    td = Q[np.arange(len(a)), a] - target
    huber = np.where(np.abs(td) <= 1, 0.5 * td ** 2, np.abs(td) - 0.5)
    return huber.mean(), (s, W, Wv, Wa, a, td, feat)


def dueling_td_loss_grad(dy, cache):
    s, W, Wv, Wa, a, td, feat = cache
    dq = dy * np.clip(td, -1, 1) / td.size
    dA = np.full((len(a), Wa.shape[1]), -1.0 / Wa.shape[1])
    dA[np.arange(len(a)), a] += 1
    dA *= dq[:, None]
    dfeat = dq[:, None] * Wv.T + dA @ Wa.T
    dpre = np.where(feat > 0, dfeat, 0.01 * dfeat)
    return {"s": dpre @ W.T, "W": s.T @ dpre, "Wv": feat.T @ dq[:, None], "Wa": feat.T @ dA}


@right_item("reinforcement learning, dueling DQN with Huber loss", "vjp")
def dueling_dqn_huber():
    r = np.random.RandomState(39)
    return {"forward": dueling_td_loss, "backward": dueling_td_loss_grad,
            "inputs": {"s": r.randn(5, 3), "W": r.randn(3, 4), "Wv": r.randn(4, 1), "Wa": r.randn(4, 3)},
            "constants": {"a": np.array([0, 2, 1, 1, 0]), "target": 2 * r.randn(5)}}


def ntxent(z, tau=0.5):
    n = np.sqrt((z * z).sum(1, keepdims=True))
    u = z / n
    sim = u @ u.T / tau
    np.fill_diagonal(sim, -np.inf)
    N = len(z)
    partner = np.arange(N) ^ 1
    logp = _log_softmax(sim, 1)
    return -logp[np.arange(N), partner].mean(), (u, n, logp, partner, tau)


def ntxent_grad(dy, cache):
    u, n, logp, partner, tau = cache
    N = len(u)
    G = np.exp(logp)
    G[np.arange(N), partner] -= 1
    G *= dy / N / tau
    du = (G + G.T) @ u
    return (du - u * (du * u).sum(1, keepdims=True)) / n


@right_item("self-supervised research code, one bare array returned", "vjp")
def simclr_ntxent():
    r = np.random.RandomState(40)
    return {"forward": ntxent, "backward": ntxent_grad, "inputs": {"z": r.randn(6, 3)}}


class MaskedLSTM:
    def forward(self, x, Wx, Wh, b, lengths):
        B, T, _ = x.shape
        H = Wh.shape[0]
        h, c = np.zeros((B, H)), np.zeros((B, H))
        steps = []
        for t in range(T):
            live = (t < lengths)[:, None]
            i, f, o, g = np.split(x[:, t] @ Wx + h @ Wh + b, 4, axis=1)
            i, f, o, g = sigmoid(i), sigmoid(f + 1.0), sigmoid(o), np.tanh(g)
            c_new = f * c + i * g
            tc = np.tanh(c_new)
            steps.append((live, i, f, o, g, c, tc, h))
            h = np.where(live, o * tc, h)
            c = np.where(live, c_new, c)
        return h, (x, Wx, Wh, b, steps)

    def backward(self, dh, cache):
        x, Wx, Wh, b, steps = cache
        dx, dWx, dWh, db = [np.zeros_like(q) for q in (x, Wx, Wh, b)]
        dc = np.zeros_like(dh)
        for t in range(len(steps) - 1, -1, -1):
            live, i, f, o, g, c_prev, tc, h_prev = steps[t]
            dhl, dcl = dh * live, dc * live
            dcl = dcl + dhl * o * (1 - tc ** 2)
            da = np.concatenate([dcl * g * i * (1 - i), dcl * c_prev * f * (1 - f), dhl * tc * o * (1 - o), dcl * i * (1 - g ** 2)], 1)
            dx[:, t] = da @ Wx.T
            dWx += x[:, t].T @ da
            dWh += h_prev.T @ da
            db += da.sum(0)
            dh = dh * ~live + da @ Wh.T
            dc = dc * ~live + dcl * f
        return dx, dWx, dWh, db


@right_item("NLP, padded batch in an LSTM class", "vjp")
def lstm_with_lengths():
    r = np.random.RandomState(41)
    net = MaskedLSTM()
    return {"forward": net.forward, "backward": net.backward,
            "inputs": {"x": r.randn(3, 4, 2), "Wx": r.randn(2, 8), "Wh": r.randn(2, 8), "b": r.randn(8)},
            "constants": {"lengths": np.array([4, 2, 3])}}


def zip_nll(X, beta, gamma, counts):
    """zero-inflated Poisson regression: log link for the rate, logit link for the extra zeros"""
    eta, zeta = X @ beta, X @ gamma
    lam = np.exp(eta)
    lgam = np.array([math.lgamma(k + 1) for k in counts])
    zero = counts == 0
    log_q = -np.logaddexp(0, zeta)
    ll = np.where(zero, np.logaddexp(zeta, -lam) + log_q, log_q + counts * eta - lam - lgam)
    return -ll.sum(), (X, beta, gamma, lam, zeta, zero, counts)


def zip_score(dy, cache):
    X, beta, gamma, lam, zeta, zero, counts = cache
    structural = 1 / (1 + np.exp(-lam - zeta))
    d_eta = np.where(zero, (1 - structural) * lam, lam - counts)
    d_zeta = 1 / (1 + np.exp(-zeta)) - np.where(zero, structural, 0)
    return {"beta": dy * (d_eta @ X), "gamma": dy * (d_zeta @ X), "X": dy * (np.outer(d_eta, beta) + np.outer(d_zeta, gamma))}


@right_item("statistics, score function of a regression with counts", "vjp")
def zero_inflated_poisson():
    r = np.random.RandomState(42)
    return {"forward": zip_nll, "backward": zip_score,
            "inputs": {"X": r.randn(6, 2), "beta": np.array([0.6, -0.4]), "gamma": np.array([-0.5, 0.8])},
            "constants": {"counts": np.array([0, 3, 0, 1, 7, 0])}}


def gp_nll(y, log_ell, log_sf, log_noise, t):
    D2 = (t[:, None] - t[None]) ** 2
    K = np.exp(2 * log_sf - 0.5 * D2 * np.exp(-2 * log_ell))
    C = K + np.exp(2 * log_noise) * np.eye(len(t))
    chol = np.linalg.cholesky(C)
    alpha = np.linalg.solve(chol.T, np.linalg.solve(chol, y))
    nll = 0.5 * y.dot(alpha) + np.log(chol.diagonal()).sum() + 0.5 * len(t) * np.log(2 * np.pi)
    return nll, (D2, K, C, alpha, log_ell, log_noise)


def gp_nll_grad(dy, cache):
    D2, K, C, alpha, log_ell, log_noise = cache
    Q = np.linalg.inv(C) - np.outer(alpha, alpha)
    return (dy * alpha, dy * 0.5 * np.sum(Q * K * D2) * np.exp(-2 * log_ell), dy * np.sum(Q * K),
            dy * np.trace(Q) * np.exp(2 * log_noise))


@right_item("statistics, Gaussian process, 0-d hyperparameters", "vjp")
def gp_marginal_likelihood():
    r = np.random.RandomState(43)
    return {"forward": gp_nll, "backward": gp_nll_grad,
            "inputs": {"y": r.randn(5), "log_ell": np.array(-0.2), "log_sf": np.array(0.3), "log_noise": np.array(-1.0)},
            "constants": {"t": np.linspace(0, 3, 5)}}


# ================================================================ whole models
class Terms(NamedTuple):
    objective: np.ndarray
    nll: np.ndarray = None
    kl: np.ndarray = None


class BernoulliVAE:
    def __init__(self, D=6, H=4, Z=2, seed=51):
        r = np.random.RandomState(seed)
        self.params = {"enc_W": r.randn(D, H), "enc_b": 0.1 * r.randn(H), "mu_W": 0.7 * r.randn(H, Z), "mu_b": 0.1 * r.randn(Z),
                       "lv_W": 0.7 * r.randn(H, Z), "lv_b": 0.1 * r.randn(Z), "dec_W": r.randn(Z, H), "dec_b": 0.1 * r.randn(H),
                       "out_W": r.randn(H, D), "out_b": 0.1 * r.randn(D)}

    def encode(self, x):
        P = self.params
        h = np.tanh(x @ P["enc_W"] + P["enc_b"])
        return h @ P["mu_W"] + P["mu_b"], h @ P["lv_W"] + P["lv_b"], h

    def objective(self, x, eps, beta=1.0):
        P = self.params
        mu, logvar, h = self.encode(x)
        std = np.exp(0.5 * logvar)
        z = mu + std * eps
        hd = np.tanh(z @ P["dec_W"] + P["dec_b"])
        logits = hd @ P["out_W"] + P["out_b"]
        nll = (np.logaddexp(0, logits) - x * logits).sum(1)
        kl = 0.5 * (mu ** 2 + np.exp(logvar) - 1 - logvar).sum(1)
        return Terms(-nll - beta * kl, nll, kl), (x, eps, beta, mu, logvar, std, h, z, hd, logits)

    def backward(self, dobjective, cache):
        x, eps, beta, mu, logvar, std, h, z, hd, logits = cache
        P, g = self.params, {}
        d = -dobjective[:, None]
        dlogits = d * (sigmoid(logits) - x)
        g["out_W"], g["out_b"] = hd.T @ dlogits, dlogits.sum(0)
        dhd = dlogits @ P["out_W"].T * (1 - hd ** 2)
        g["dec_W"], g["dec_b"] = z.T @ dhd, dhd.sum(0)
        dz = dhd @ P["dec_W"].T
        dmu = dz + d * beta * mu
        dlogvar = dz * eps * std + d * beta * 0.5 * (np.exp(logvar) - 1)
        g["mu_W"], g["mu_b"] = h.T @ dmu, dmu.sum(0)
        g["lv_W"], g["lv_b"] = h.T @ dlogvar, dlogvar.sum(0)
        dh = (dmu @ P["mu_W"].T + dlogvar @ P["lv_W"].T) * (1 - h ** 2)
        g["enc_W"], g["enc_b"] = x.T @ dh, dh.sum(0)
        return g


@wrong_item("deep-learning course, VAE class", "gradients",
            "std = exp(logvar / 2): the path through z needs 0.5 * dz * eps * std; the half is missing.",
            ("enc_W", "enc_b", "lv_W", "lv_b"), ("factor", "missing-term"))
def bernoulli_vae_mlp():
    r = np.random.RandomState(52)
    return {"model": BernoulliVAE(), "x": (r.rand(5, 6) > 0.5) * 1.0, "eps": r.randn(5, 2)}


class TiedVAE:
    """decoder weights are the transposed encoder weights"""

    def __init__(self, D=5, Z=2, seed=53):
        rng = np.random.default_rng(seed)
        self.params = dict(W=rng.normal(size=(D, Z)), b=0.1 * rng.normal(size=Z), V=0.4 * rng.normal(size=(D, Z)),
                           s=0.1 * rng.normal(size=Z), c=0.1 * rng.normal(size=D))

    def encode(self, x):
        p = self.params
        return x @ p["W"] + p["b"], x @ p["V"] + p["s"], None

    def objective(self, x, eps, beta=1.0):
        p = self.params
        mu, logvar, _ = self.encode(x)
        z = mu + np.exp(logvar / 2) * eps
        logits = z @ p["W"].T + p["c"]
        nll = np.sum(np.maximum(logits, 0) - x * logits + np.log1p(np.exp(-np.abs(logits))), axis=1)
        kl = -0.5 * np.sum(1 + logvar - mu ** 2 - np.exp(logvar), axis=1)
        cache = {"x": x, "eps": eps, "beta": beta, "mu": mu, "logvar": logvar, "z": z, "logits": logits}
        return Terms(-nll - beta * kl, nll, kl), cache

    def backward(self, dobjective, cache):
        p = self.params
        x, eps, beta, mu, logvar = cache["x"], cache["eps"], cache["beta"], cache["mu"], cache["logvar"]
        w = dobjective.reshape(-1, 1)
        dlogits = w * (x - 1 / (1 + np.exp(-cache["logits"])))
        dz = dlogits @ p["W"]
        dmu = dz - beta * w * mu
        dlv = 0.5 * dz * eps * np.exp(logvar / 2) - beta * w * 0.5 * (np.exp(logvar) - 1)
        return {"W": x.T @ dmu, "b": dmu.sum(axis=0), "V": x.T @ dlv, "s": dlv.sum(axis=0), "c": dlogits.sum(axis=0)}


@wrong_item("research code, tied weights", "gradients",
            "W is used by encoder and decoder; dW lacks the decoder's share dlogits^T z.",
            ("W",), ("missing-term",))
def tied_weight_vae():
    r = np.random.RandomState(54)
    return {"model": TiedVAE(), "x": r.randint(0, 2, (4, 5)).astype(float), "eps": r.randn(4, 2)}


class GaussianDecoderVAE:
    def __init__(self):
        r = np.random.RandomState(55)
        self.params = {"A": r.randn(4, 2), "a": r.randn(2), "log_s": np.array([-0.4, 0.2]),
                       "B": r.randn(2, 4), "b": r.randn(4), "log_sigma": 0.3 * r.randn(4)}

    def encode(self, x):
        mu = x @ self.params["A"] + self.params["a"]
        return mu, np.broadcast_to(2 * self.params["log_s"], mu.shape), None

    def objective(self, x, eps, beta=1.0):
        p = self.params
        mu, logvar, _ = self.encode(x)
        s = np.exp(p["log_s"])
        z = mu + s * eps
        err = (x - z @ p["B"] - p["b"]) / np.exp(p["log_sigma"])
        nll = (0.5 * err ** 2 + p["log_sigma"] + 0.5 * np.log(2 * np.pi)).sum(-1)
        kl = 0.5 * (mu ** 2 + s ** 2 - 1 - 2 * p["log_s"]).sum(-1)
        return Terms(-(nll + beta * kl), nll, kl), (x, eps, beta, mu, s, z, err)

    def backward(self, dobjective, cache):
        x, eps, beta, mu, s, z, err = cache
        p = self.params
        wt = dobjective[:, None]
        dmean = wt * err / np.exp(p["log_sigma"])
        dlog_sigma = (wt * (err ** 2 - 1)).mean(axis=0)
        dz = dmean @ p["B"].T
        dmu = dz - beta * wt * mu
        dlog_s = (dz * eps * s - beta * wt * (s ** 2 - 1)).sum(axis=0)
        return {"A": x.T @ dmu, "a": dmu.sum(axis=0), "log_s": dlog_s, "B": z.T @ dmean, "b": dmean.sum(axis=0), "log_sigma": dlog_sigma}


@wrong_item("statistics, linear Gaussian VAE", "gradients",
            "log_sigma is shared by all rows: its gradient is the sum over the rows, not the mean.",
            ("log_sigma",), ("factor", "batch-sum"))
def gaussian_vae_learned_noise():
    r = np.random.RandomState(56)
    return {"model": GaussianDecoderVAE(), "x": r.randn(5, 4), "eps": r.randn(5, 2)}


class MADE:
    def __init__(self, D=4, H=5, seed=57):
        r = np.random.RandomState(seed)
        deg_in, deg_h = np.arange(1, D + 1), np.arange(H) % (D - 1) + 1
        self.M1 = (deg_in[:, None] <= deg_h[None]).astype(float)
        self.M2 = (deg_h[:, None] < deg_in[None]).astype(float)
        self.params = {"W1": r.randn(D, H), "b1": r.randn(H), "W2": r.randn(H, D), "b2": r.randn(D)}

    def objective(self, x, eps=None, beta=1.0):
        p = self.params
        h = np.tanh(x @ (p["W1"] * self.M1) + p["b1"])
        logits = h @ (p["W2"] * self.M2) + p["b2"]
        nll = (np.logaddexp(0, logits) - x * logits).sum(1)
        return SimpleNamespace(objective=-nll, nll=nll), (x, h, logits)

    def backward(self, dobjective, cache):
        x, h, logits = cache
        p = self.params
        dlogits = dobjective[:, None] * (x - sigmoid(logits))
        dW2 = h.T @ dlogits
        dh = dlogits @ (p["W2"] * self.M2).T * (1 - h * h)
        return {"W1": (x.T @ dh) * self.M1, "b1": dh.sum(0), "W2": dW2, "b2": dlogits.sum(0)}


@wrong_item("autoregressive density research code", "gradients",
            "dW2 is not multiplied by the mask M2: masked weights take no part and must get zero.",
            ("W2",), ("elementwise-factor",))
def made_bernoulli():
    r = np.random.RandomState(58)
    return {"model": MADE(), "x": (r.rand(6, 4) > 0.4).astype(np.float64)}


class BigramLM:
    def __init__(self, vocab=5, dim=3):
        rs = np.random.RandomState(59)
        self.params = {"emb": rs.randn(vocab, dim), "proj": rs.randn(dim, vocab), "bias": rs.randn(vocab)}

    def objective(self, x, eps=None, beta=1.0):
        prv, nxt = x[:, :-1], x[:, 1:]
        e = self.params["emb"][prv]
        lp = _log_softmax(e @ self.params["proj"] + self.params["bias"], -1)
        ll = np.take_along_axis(lp, nxt[..., None], -1)[..., 0].sum(1)
        return SimpleNamespace(objective=ll, nll=-ll), (prv, nxt, e, lp)

    def backward(self, dobjective, cache):
        prv, nxt, e, lp = cache
        V = len(self.params["bias"])
        resid = np.eye(V)[nxt] - np.exp(lp)
        dlogits = resid * dobjective[:, None, None]
        demb = np.zeros_like(self.params["emb"])
        np.add.at(demb, prv, dlogits @ self.params["proj"].T)
        return {"emb": demb, "proj": np.einsum("btd,btv->dv", e, dlogits), "bias": resid.sum((0, 1))}


@wrong_item("NLP, bigram language model with integer tokens", "gradients",
            "The bias sums resid and not dlogits: the rows are not weighted with dobjective.",
            ("bias",), ("batch-sum", "elementwise-factor"))
def bigram_language_model():
    return {"model": BigramLM(), "x": np.array([[0, 1, 2, 1, 4], [3, 3, 0, 2, 1], [4, 0, 0, 1, 2], [2, 4, 3, 1, 0]])}


class ColumnVAE:
    """features first inside; one matrix carries both heads; softplus scale; a scalar gain on the logits"""

    def __init__(self, D=5, H=6, Z=2):
        g = np.random.default_rng(60)
        self.Z = Z
        self.params = {"W1": g.normal(size=(H, D)), "b1": g.normal(size=(H, 1)), "heads": 0.6 * g.normal(size=(2 * Z, H)),
                       "W2": g.normal(size=(D, Z)), "b2": g.normal(size=(D, 1)), "gain": np.array(0.8)}

    def _enc(self, X):
        A = np.maximum(self.params["W1"] @ X + self.params["b1"], 0)
        out = self.params["heads"] @ A
        return A, out[:self.Z], out[self.Z:], np.logaddexp(0, out[self.Z:]) + 1e-3

    def encode(self, x):
        A, M, R, S = self._enc(x.T)
        return M.T, 2 * np.log(S).T, None

    def objective(self, x, eps, beta=1.0):
        X = x.T
        A, M, R, S = self._enc(X)
        Zs = M + S * eps.T
        pre = self.params["W2"] @ Zs + self.params["b2"]
        L = self.params["gain"] * pre
        nll = -(X * -np.logaddexp(0, -L) + (1 - X) * -np.logaddexp(0, L)).sum(0)
        kl = (0.5 * (M ** 2 + S ** 2 - 1) - np.log(S)).sum(0)
        return Terms(-nll - beta * kl, nll, kl), (X, eps, beta, A, M, R, S, Zs, pre, L)

    def backward(self, dobjective, cache):
        X, eps, beta, A, M, R, S, Zs, pre, L = cache
        P = self.params
        dL = (X - sigmoid(L)) * dobjective
        dpre = dL * P["gain"]
        dZ = P["W2"].T @ dpre
        dM = dZ - beta * dobjective * M
        dS = dZ * eps.T - beta * dobjective * (S - 1 / S)
        dout = np.vstack((dM, dS * sigmoid(R)))
        dA = np.where(A > 0, P["heads"].T @ dout, 0)
        return {"gain": np.array(np.vdot(dL, pre)), "W2": dpre @ Zs.T, "b2": dpre.sum(1, keepdims=True),
                "heads": dout @ A.T, "W1": dA @ X.T, "b1": dA.sum(1, keepdims=True)}


@right_item("features-first VAE, both heads in one matrix, 0-d gain", "gradients")
def column_vae_softplus():
    r = np.random.RandomState(61)
    return {"model": ColumnVAE(), "x": r.randint(0, 2, (5, 5)).astype(float), "eps": r.randn(5, 2)}


class PPCA:
    def __init__(self):
        r = np.random.RandomState(62)
        self.params = {"loadings": r.randn(4, 2), "mean": r.randn(4), "log_var": np.array(-0.5)}

    def objective(self, x, eps=None, beta=1.0):
        p = self.params
        C = p["loadings"] @ p["loadings"].T + np.exp(p["log_var"]) * np.eye(4)
        R = x - p["mean"]
        A = np.linalg.solve(C, R.T).T
        sign, logdet = np.linalg.slogdet(C)
        ll = -0.5 * (4 * np.log(2 * np.pi) + logdet + (R * A).sum(1))
        return SimpleNamespace(objective=ll), (C, A)

    def backward(self, dobjective, cache):
        C, A = cache
        p = self.params
        dC = 0.5 * ((A.T * dobjective) @ A - dobjective.sum() * np.linalg.inv(C))
        return {"loadings": 2 * dC @ p["loadings"], "mean": dobjective @ A, "log_var": np.trace(dC) * np.exp(p["log_var"])}


@right_item("statistics, probabilistic PCA in closed form", "gradients")
def probabilistic_pca():
    r = np.random.RandomState(63)
    return {"model": PPCA(), "x": r.randn(6, 4)}


class BernoulliMixture:
    """logits of component k: common + tilt[k]"""

    def __init__(self, K=3, D=5):
        r = np.random.RandomState(64)
        self.params = {"common": r.randn(D), "tilt": r.randn(K, D), "alpha": r.randn(K)}

    def objective(self, x, eps=None, beta=1.0):
        th = self.params["common"] + self.params["tilt"]
        lw = self.params["alpha"] - lse(self.params["alpha"], 0)
        comp = lw + x @ th.T - np.logaddexp(0, th).sum(1)
        ll = lse(comp, 1)
        return Terms(objective=ll, nll=-ll), (x, th, lw, np.exp(comp - ll[:, None]))

    def backward(self, dobjective, cache):
        x, th, lw, resp = cache
        wr = resp * dobjective[:, None]
        nk = wr.sum(0)
        dth = wr.T @ x - nk[:, None] * sigmoid(th)
        return {"tilt": dth, "common": dth.sum(0), "alpha": nk - nk.sum() * np.exp(lw)}


@right_item("machine-learning course, mixture with responsibilities", "gradients")
def bernoulli_mixture_model():
    r = np.random.RandomState(65)
    return {"model": BernoulliMixture(), "x": (r.rand(6, 5) > 0.5).astype(float)}


# ================================================================ verification
def _numeric(fun, arr, h=1e-5):
    g = np.zeros_like(arr)
    it = np.nditer(arr, flags=["multi_index"])
    for _ in it:
        k = it.multi_index
        old = float(arr[k])
        step = h * max(1.0, abs(old))
        arr[k] = old + step
        up = fun()
        arr[k] = old - step
        dn = fun()
        arr[k] = old
        g[k] = (up - dn) / (2 * step)
    return g


def _errors(item):
    a = item.make()
    rng = np.random.RandomState(99)
    err = {}
    again = set()
    if item.check == "vjp":
        ins, const = a["inputs"], a.get("constants", {})
        cp = lambda: {k: v.copy() for k, v in ins.items()}
        given = cp()
        y, cache = a["forward"](**given, **const)
        for k in ins:
            if not np.array_equal(given[k], ins[k]):
                again.add(k)
        dy = rng.randn(*np.shape(y)) if np.ndim(y) else float(rng.randn())
        keep = np.copy(dy)
        g = a["backward"](dy, cache)
        if not isinstance(g, dict):
            g = dict(zip(ins, g if isinstance(g, (tuple, list)) else (g,)))
        assert set(g) == set(ins), item.name
        g = {k: np.array(v, float) for k, v in g.items()}
        assert np.array_equal(keep, dy), "dy written " + item.name
        for k in ins:
            num = _numeric(lambda: float(np.sum(dy * a["forward"](**cp(), **const)[0])), ins[k])
            err[k] = (g[k], num)
        y2, cache2 = a["forward"](**cp(), **const)
        g2 = a["backward"](dy, cache2)
        if not isinstance(g2, dict):
            g2 = dict(zip(ins, g2 if isinstance(g2, (tuple, list)) else (g2,)))
        for k in ins:
            if not np.allclose(g2[k], g[k], rtol=1e-9, equal_nan=True):
                again.add(k)
    else:
        m, x, eps = a["model"], a["x"], a.get("eps")
        for beta in (1.0, 0.6):
            terms, cache = m.objective(x, eps, beta=beta)
            d = rng.randn(len(x))
            g = m.backward(d, cache)
            assert set(g) == set(m.params), item.name
            for k, p in m.params.items():
                err[k, beta] = (np.array(g[k], float), _numeric(lambda: float(d @ m.objective(x, eps, beta=beta)[0].objective), p))
        err = {(k if b == 1.0 else k + "'"): v for (k, b), v in err.items()}
    return err, again


def verify():
    bad = 0
    for it in ITEMS:
        with np.errstate(all="ignore"):
            err, again = _errors(it)
        special = it.causes in (("mutates-input",), ("accumulates",))
        if again != (set(it.wrong) if special else set()):
            print("AGAIN", it.name, again); bad += 1
        for k, (g, n) in err.items():
            if g.shape != n.shape:
                print("SHAPE", it.name, k, g.shape, n.shape); bad += 1
                continue
            scale = max(np.abs(n).max(), 1e-12)
            rel = np.abs(g - n).max() / scale
            ok = np.abs(g - n).max() <= 1e-6 * max(1, scale)
            is_wrong = k.rstrip("'") in it.wrong and not special
            if is_wrong and rel <= 0.03 or not is_wrong and not ok:
                print("BAD", it.name, k, rel); bad += 1
        if not it.right:
            assert it.slip and it.wrong and it.causes
    assert len({i.name for i in ITEMS}) == len(ITEMS)
    print("problems", bad)
    print("wrong", sum(not i.right for i in ITEMS), "right", sum(i.right for i in ITEMS))
    for c in sorted({i.check for i in ITEMS}):
        print(c, "wrong", sum(i.check == c and not i.right for i in ITEMS), "right", sum(i.check == c and i.right for i in ITEMS))
    print("styles", len({i.style for i in ITEMS}))


if __name__ == "__main__":
    verify()
