"""Whole small networks and algorithms: vjp (most) and gradients (some)."""
from types import SimpleNamespace
from typing import Callable, NamedTuple

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


def item(style, check, right, slip="", wrong=(), causes=()):
    def put(make):
        ITEMS.append(Item(make.__name__, style, check, make, right, slip, tuple(wrong), tuple(causes)))
        return make
    return put


# ------------------------------------------------------------------ CS231n-like

@item("CS231n assignment", "vjp", False, "the relu mask of the second hidden layer is that of the first (same width)",
      ("x", "params.W1", "params.b1", "params.W2", "params.b2"), ("elementwise-factor",))
def three_layer_net_softmax(seed=0):
    r = np.random.default_rng(seed)
    D, H, C, N = 3, 4, 3, 6
    params = {"W1": r.normal(size=(D, H)), "b1": .3 * r.normal(size=H),
              "W2": r.normal(size=(H, H)), "b2": .3 * r.normal(size=H),
              "W3": r.normal(size=(H, C)), "b3": .3 * r.normal(size=C)}

    def loss(x, params, y, reg):
        a1 = x @ params["W1"] + params["b1"]
        h1 = np.maximum(0, a1)
        a2 = h1 @ params["W2"] + params["b2"]
        h2 = np.maximum(0, a2)
        s = h2 @ params["W3"] + params["b3"]
        s = s - s.max(axis=1, keepdims=True)
        p = np.exp(s)
        p /= p.sum(axis=1, keepdims=True)
        L = -np.log(p[np.arange(len(y)), y]).mean()
        for k in ("W1", "W2", "W3"):
            L += 0.5 * reg * np.sum(params[k] ** 2)
        return np.array(L), (x, params, y, reg, a1, h1, a2, h2, p)

    def backward(dL, cache):
        x, params, y, reg, a1, h1, a2, h2, p = cache
        n = len(y)
        ds = p.copy()
        ds[np.arange(n), y] -= 1
        ds *= dL / n
        g = {}
        g["W3"] = h2.T @ ds + dL * reg * params["W3"]
        g["b3"] = ds.sum(0)
        dh2 = ds @ params["W3"].T
        da2 = dh2 * (a1 > 0)
        g["W2"] = h1.T @ da2 + dL * reg * params["W2"]
        g["b2"] = da2.sum(0)
        da1 = (da2 @ params["W2"].T) * (a1 > 0)
        g["W1"] = x.T @ da1 + dL * reg * params["W1"]
        g["b1"] = da1.sum(0)
        return {"x": da1 @ params["W1"].T, "params": g}

    return dict(forward=loss, backward=backward, inputs={"x": r.normal(size=(N, D)), "params": params},
                constants={"y": r.integers(0, C, N), "reg": 0.1})


@item("CS231n assignment", "vjp", False, "the gradient from the later step is not added to the one of this step's output: dh = dout[:, t]",
      ("x", "h0", "Wx", "Wh", "b"), ("missing-term",))
def rnn_bptt(seed=0):
    r = np.random.default_rng(seed)
    N, T, D, H = 2, 4, 3, 3

    def rnn_forward(x, h0, Wx, Wh, b):
        h = h0
        hs, caches = [], []
        for t in range(x.shape[1]):
            nh = np.tanh(x[:, t] @ Wx + h @ Wh + b)
            caches.append((x[:, t], h, nh))
            h = nh
            hs.append(nh)
        return np.stack(hs, axis=1), (caches, Wx, Wh, x.shape)

    def rnn_backward(dout, cache):
        caches, Wx, Wh, shp = cache
        dx = np.zeros(shp)
        dWx, dWh, db = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros(Wh.shape[0])
        dprev = np.zeros_like(dout[:, 0])
        for t in reversed(range(shp[1])):
            xt, hp, nh = caches[t]
            dh = dout[:, t]
            da = dh * (1 - nh ** 2)
            dx[:, t] = da @ Wx.T
            dprev = da @ Wh.T
            dWx += xt.T @ da
            dWh += hp.T @ da
            db += da.sum(axis=0)
        return dx, dprev, dWx, dWh, db

    return dict(forward=rnn_forward, backward=rnn_backward,
                inputs=dict(x=r.normal(size=(N, T, D)), h0=r.normal(size=(N, H)), Wx=r.normal(size=(D, H)) * .6,
                            Wh=r.normal(size=(H, H)) * .6, b=r.normal(size=H) * .3))


@item("blog post on LSTMs", "vjp", False, "dc takes 1 - c**2, not 1 - tanh(c)**2", ("x", "h0", "c0", "W", "b"), ("elementwise-factor",))
def lstm_last_state(seed=0):
    r = np.random.default_rng(seed)
    T, D, H = 3, 2, 2

    def forward(x, h0, c0, W, b):
        h, c = h0, c0
        tape = []
        for t in range(len(x)):
            z = np.concatenate([x[t], h])
            i, f, o, g = np.split(W @ z + b, 4)
            i, f, o, g = expit(i), expit(f), expit(o), np.tanh(g)
            c_old = c
            c = f * c_old + i * g
            h = o * np.tanh(c)
            tape.append(dict(z=z, i=i, f=f, o=o, g=g, c_old=c_old, c=c))
        return h, (tape, W, x.shape)

    def backward(dh, cache):
        tape, W, shape = cache
        D = shape[1]
        dx, dW, db = np.zeros(shape), np.zeros_like(W), np.zeros(W.shape[0])
        dc = np.zeros_like(dh)
        for t in reversed(range(len(tape))):
            s = tape[t]
            tc = np.tanh(s["c"])
            do = dh * tc
            dc = dc + dh * s["o"] * (1 - s["c"] ** 2)
            di, df, dg = dc * s["g"], dc * s["c_old"], dc * s["i"]
            da = np.concatenate([di * s["i"] * (1 - s["i"]), df * s["f"] * (1 - s["f"]),
                                 do * s["o"] * (1 - s["o"]), dg * (1 - s["g"] ** 2)])
            dW += np.outer(da, s["z"])
            db += da
            dz = W.T @ da
            dx[t], dh = dz[:D], dz[D:]
            dc = dc * s["f"]
        return dict(x=dx, h0=dh, c0=dc, W=dW, b=db)

    return dict(forward=forward, backward=backward,
                inputs=dict(x=r.normal(size=(T, D)), h0=r.normal(size=H), c0=r.normal(size=H),
                            W=r.normal(size=(4 * H, D + H)) * .8, b=r.normal(size=4 * H) * .5))


@item("layer library", "vjp", False, "the state's path through the reset gate (Ur dr) is missing from dh_prev",
      ("h", "x", "Wr", "Ur", "Wz", "Uz", "Wn", "Un"), ("missing-term",))
def gru_two_steps(seed=0):
    r = np.random.default_rng(seed)
    B, D, H = 3, 2, 3

    class GRU:
        def __init__(self, Wr, Ur, Wz, Uz, Wn, Un):
            self.w = (Wr, Ur, Wz, Uz, Wn, Un)

        def step(self, x, h):
            Wr, Ur, Wz, Uz, Wn, Un = self.w
            rr = expit(x @ Wr + h @ Ur)
            z = expit(x @ Wz + h @ Uz)
            n = np.tanh(x @ Wn + (rr * h) @ Un)
            return (1 - z) * n + z * h, (x, h, rr, z, n)

        def step_backward(self, dout, saved, grads):
            Wr, Ur, Wz, Uz, Wn, Un = self.w
            x, h, rr, z, n = saved
            dn = dout * (1 - z) * (1 - n * n)
            dz = dout * (h - n) * z * (1 - z)
            drh = dn @ Un.T
            dr = drh * h * rr * (1 - rr)
            for k, v in (("Wr", x.T @ dr), ("Ur", h.T @ dr), ("Wz", x.T @ dz), ("Uz", h.T @ dz),
                         ("Wn", x.T @ dn), ("Un", (rr * h).T @ dn)):
                grads[k] = grads.get(k, 0) + v
            dx = dr @ Wr.T + dz @ Wz.T + dn @ Wn.T
            dh = dout * z + drh * rr + dz @ Uz.T
            return dx, dh

    def forward(x, h, **w):
        cell = GRU(**w)
        h1, s1 = cell.step(x[0], h)
        h2, s2 = cell.step(x[1], h1)
        return h2, (cell, s1, s2)

    def backward(dy, cache):
        cell, s1, s2 = cache
        g = {}
        dx1, dh1 = cell.step_backward(dy, s2, g)
        dx0, dh0 = cell.step_backward(dh1, s1, g)
        g["x"], g["h"] = np.stack([dx0, dx1]), dh0
        return g

    w = {k: r.normal(size=(D if k[0] == "W" else H, H)) for k in ("Wr", "Ur", "Wz", "Uz", "Wn", "Un")}
    return dict(forward=forward, backward=backward, inputs=dict(x=r.normal(size=(2, B, D)), h=r.normal(size=(B, H)), **w))


# ------------------------------------------------------------------ attention

@item("transformer from scratch", "vjp", False, "the softmax's inner sum runs over the queries (axis 0), not over the keys",
      ("x", "Wq", "Wk"), ("shape", "missing-term", "unknown"))
def self_attention_head(seed=0):
    r = np.random.default_rng(seed)
    T, D, K = 4, 3, 3

    def forward(x, Wq, Wk, Wv):
        q, k, v = x @ Wq, x @ Wk, x @ Wv
        s = q @ k.T / np.sqrt(q.shape[1])
        a = np.exp(s - s.max(-1, keepdims=True))
        a = a / a.sum(-1, keepdims=True)
        return a @ v + x, (x, Wq, Wk, Wv, q, k, v, a)

    def backward(dy, cache):
        x, Wq, Wk, Wv, q, k, v, a = cache
        da = dy @ v.T
        dv = a.T @ dy
        ds = a * (da - np.sum(da * a, axis=0))
        ds = ds / np.sqrt(q.shape[1])
        dq, dk = ds @ k, ds.T @ q
        dx = dy + dq @ Wq.T + dk @ Wk.T + dv @ Wv.T
        return dx, x.T @ dq, x.T @ dk, x.T @ dv

    return dict(forward=forward, backward=backward,
                inputs=dict(x=r.normal(size=(T, D)), Wq=r.normal(size=(D, K)), Wk=r.normal(size=(D, K)), Wv=r.normal(size=(D, D))))


@item("transformer from scratch", "vjp", False, "dk lacks the 1/sqrt(d) that q's gradient has", ("k",), ("factor",))
def multihead_causal_core(seed=0):
    r = np.random.default_rng(seed)
    T, E, NH = 4, 6, 2

    def split(m):
        return m.reshape(m.shape[0], NH, -1).transpose(1, 0, 2)

    def merge(m):
        return m.transpose(1, 0, 2).reshape(m.shape[1], -1)

    def forward(q, k, v):
        Q, K, V = split(q), split(k), split(v)
        c = Q.shape[-1] ** -0.5
        s = np.einsum("htd,hsd->hts", Q, K) * c
        s = np.where(np.tril(np.ones((len(q), len(q)), bool)), s, -1e30)
        p = np.exp(s - logsumexp(s, axis=-1, keepdims=True))
        return merge(p @ V), SimpleNamespace(Q=Q, K=K, V=V, p=p, c=c)

    def backward(dy, m):
        dO = split(dy)
        dV = np.einsum("hts,htd->hsd", m.p, dO)
        dp = np.einsum("htd,hsd->hts", dO, m.V)
        ds = m.p * (dp - (m.p * dp).sum(-1, keepdims=True))
        dQ = np.einsum("hts,hsd->htd", ds, m.K) * m.c
        dK = np.einsum("hts,htd->hsd", ds, m.Q)
        return {"q": merge(dQ), "k": merge(dK), "v": merge(dV)}

    return dict(forward=forward, backward=backward, inputs={n: r.normal(size=(T, E)) for n in "qkv"})


# ------------------------------------------------------------------ RL

@item("RL research code", "vjp", False, "the gradient of the entropy is -p log p, without the + H inside: -p (log p + H)",
      ("logits",), ("missing-term",))
def a2c_loss(seed=0):
    r = np.random.default_rng(seed)
    N, A = 5, 4

    def forward(logits, values, actions, returns, ent_coef, vf_coef):
        logp = logits - logsumexp(logits, axis=1, keepdims=True)
        p = np.exp(logp)
        adv = returns - 0.2
        ent = -(p * logp).sum(1)
        pg = -(adv * logp[np.arange(len(actions)), actions]).mean()
        vf = 0.5 * ((values - returns) ** 2).mean()
        return np.asarray(pg + vf_coef * vf - ent_coef * ent.mean()), (logp, p, adv, ent, values, actions, returns, ent_coef, vf_coef)

    def backward(dloss, cache):
        logp, p, adv, ent, values, actions, returns, ent_coef, vf_coef = cache
        n = len(actions)
        onehot = np.eye(p.shape[1])[actions]
        dpg = adv[:, None] * (p - onehot)
        dent = -p * logp
        dlogits = dloss * (dpg - ent_coef * dent) / n
        dvalues = dloss * vf_coef * (values - returns) / n
        return dict(logits=dlogits, values=dvalues)

    return dict(forward=forward, backward=backward, inputs=dict(logits=r.normal(size=(N, A)), values=r.normal(size=N)),
                constants=dict(actions=r.integers(0, A, N), returns=r.normal(size=N), ent_coef=.5, vf_coef=.5))


@item("RL research code", "vjp", False, "the gradient is dropped wherever the ratio is outside the clip range, though min takes the unclipped branch for half of those",
      ("mean", "log_std"), ("elementwise-factor", "zero", "missing-term"))
def ppo_gaussian_clip(seed=0):
    r = np.random.default_rng(seed)
    N = 10
    act = r.normal(size=N) * 1.2
    mean = r.normal(size=N) * .5
    log_std = np.array([-.2])
    lp = -.5 * ((act - mean) / np.exp(log_std)) ** 2 - log_std - .5 * np.log(2 * np.pi)
    shift = np.array([.5, -.5, .6, -.7, .1, -.1, .05, .4, -.45, .02])
    adv = np.array([1., -1.3, -.8, .9, .7, -.6, 1.1, -1.7, 1.2, .4]) * (1 + .2 * r.random(N))

    def ppo_loss(mean, log_std, actions, old_logp, adv, clip):
        std = np.exp(log_std)
        z = (actions - mean) / std
        logp = -.5 * z ** 2 - log_std - .5 * np.log(2 * np.pi)
        ratio = np.exp(logp - old_logp)
        surr1 = ratio * adv
        surr2 = np.clip(ratio, 1 - clip, 1 + clip) * adv
        return np.array(-np.minimum(surr1, surr2).mean()), (z, std, ratio, adv, surr1, surr2, clip)

    def ppo_loss_backward(g, cache):
        z, std, ratio, adv, surr1, surr2, clip = cache
        live = (ratio > 1 - clip) & (ratio < 1 + clip)
        dlogp = -g * live * ratio * adv / len(adv)
        return {"mean": dlogp * z / std, "log_std": np.array([np.sum(dlogp * (z ** 2 - 1))])}

    return dict(forward=ppo_loss, backward=ppo_loss_backward, inputs=dict(mean=mean, log_std=log_std),
                constants=dict(actions=act, old_logp=lp - shift, adv=adv, clip=.2))


@item("RL research code", "vjp", False, "the bootstrap value's gradient carries gamma * lam, should be gamma", ("values",),
      ("elementwise-factor", "factor", "missing-term"))
def gae_advantages(seed=0):
    r = np.random.default_rng(seed)
    T = 6

    def forward(rewards, values, done, gamma, lam):
        adv = np.zeros(len(rewards))
        last = 0.
        for t in range(len(rewards) - 1, -1, -1):
            nt = 1. - done[t]
            delta = rewards[t] + gamma * nt * values[t + 1] - values[t]
            last = delta + gamma * lam * nt * last
            adv[t] = last
        return adv, (done, gamma, lam)

    def backward(dadv, cache):
        done, gamma, lam = cache
        n = len(dadv)
        drew, dval = np.zeros(n), np.zeros(n + 1)
        carry = 0.
        for t in range(n):
            carry = dadv[t] + carry
            drew[t] += carry
            dval[t] -= carry
            dval[t + 1] += gamma * lam * (1 - done[t]) * carry
            carry = gamma * lam * (1 - done[t]) * carry
        return drew, dval

    return dict(forward=forward, backward=backward, inputs=dict(rewards=r.normal(size=T), values=r.normal(size=T + 1)),
                constants=dict(done=np.array([0, 0, 1., 0, 0, 0]), gamma=.95, lam=.8))


# ------------------------------------------------------------------ contrastive / NLP

@item("contrastive learning repository", "vjp", False, "the gradient to the text side uses dlogits, not its transpose", ("text",), ("transpose",))
def clip_loss(seed=0):
    r = np.random.default_rng(seed)
    B, D = 4, 3

    def unit(a):
        n = np.linalg.norm(a, axis=1, keepdims=True)
        return a / n, n

    def unit_backward(du, u, n):
        return (du - u * (du * u).sum(1, keepdims=True)) / n

    def lsm(a, axis):
        return a - logsumexp(a, axis=axis, keepdims=True)

    def forward(image, text, logit_scale):
        u, nu = unit(image)
        w, nw = unit(text)
        sim = u @ w.T
        logits = np.exp(logit_scale) * sim
        l0, l1 = lsm(logits, 1), lsm(logits, 0)
        loss = -.5 * (np.trace(l0) + np.trace(l1)) / len(u)
        return np.array(loss), (u, nu, w, nw, sim, logits, l0, l1, np.exp(logit_scale))

    def backward(dl, cache):
        u, nu, w, nw, sim, logits, l0, l1, sc = cache
        B = len(u)
        dlogits = dl * .5 * (np.exp(l0) + np.exp(l1) - 2 * np.eye(B)) / B
        du = sc * dlogits @ w
        dw = sc * dlogits @ u
        return unit_backward(du, u, nu), unit_backward(dw, w, nw), np.array((dlogits * logits).sum())

    return dict(forward=forward, backward=backward, inputs=dict(image=r.normal(size=(B, D)), text=r.normal(size=(B, D)), logit_scale=np.array(.7)))


@item("word2vec homework", "vjp", False, "dU[idx] += with repeated indices keeps only the last of them; np.add.at is right", ("U",),
      ("batch-sum", "missing-term"))
def skipgram_negative_sampling(seed=0):
    r = np.random.default_rng(seed)
    Vn, D, N, K = 6, 3, 4, 3

    def forward(V, U, centers, outside, negs):
        vc = V[centers]
        sp = (U[outside] * vc).sum(1)
        sn = np.einsum("nkd,nd->nk", U[negs], vc)
        loss = np.logaddexp(0, -sp).sum() + np.logaddexp(0, sn).sum()
        return np.array(loss), (V, U, centers, outside, negs, vc, sp, sn)

    def backward(dl, cache):
        V, U, centers, outside, negs, vc, sp, sn = cache
        dsp = -dl * expit(-sp)
        dsn = dl * expit(sn)
        dvc = dsp[:, None] * U[outside] + np.einsum("nk,nkd->nd", dsn, U[negs])
        dV, dU = np.zeros_like(V), np.zeros_like(U)
        np.add.at(dV, centers, dvc)
        np.add.at(dU, outside, dsp[:, None] * vc)
        dU[negs] += dsn[:, :, None] * vc[:, None, :]
        return {"V": dV, "U": dU}

    return dict(forward=forward, backward=backward, inputs=dict(V=r.normal(size=(Vn, D)), U=r.normal(size=(Vn, D))),
                constants=dict(centers=np.array([0, 2, 0, 5]), outside=np.array([1, 3, 4, 1]),
                               negs=np.array([[2, 2, 5], [0, 1, 5], [3, 2, 0], [4, 4, 2]])))


@item("NLP model", "vjp", False, "the loop over pair marginals stops one step early: the last transition is left out", ("trans",),
      ("missing-term", "batch-sum"))
def crf_negative_loglik(seed=0):
    r = np.random.default_rng(seed)
    T, S = 5, 3

    def forward(emit, trans, start, tags):
        T = len(tags)
        alpha = [start + emit[0]]
        for t in range(1, T):
            alpha.append(logsumexp(alpha[-1][:, None] + trans, axis=0) + emit[t])
        logz = logsumexp(alpha[-1])
        score = start[tags[0]] + emit[np.arange(T), tags].sum() + trans[tags[:-1], tags[1:]].sum()
        return np.array(logz - score), (emit, trans, tags, alpha, logz)

    def backward(g, cache):
        emit, trans, tags, alpha, logz = cache
        T, S = emit.shape
        beta = [None] * T
        beta[-1] = np.zeros(S)
        for t in range(T - 2, -1, -1):
            beta[t] = logsumexp(trans + emit[t + 1] + beta[t + 1], axis=1)
        marg = np.exp(np.array(alpha) + np.array(beta) - logz)
        dtrans = np.zeros_like(trans)
        for t in range(T - 2):
            dtrans += np.exp(alpha[t][:, None] + trans + emit[t + 1] + beta[t + 1] - logz)
        np.add.at(dtrans, (tags[:-1], tags[1:]), -1)
        marg[np.arange(T), tags] -= 1
        return g * marg, g * dtrans, g * marg[0]

    return dict(forward=forward, backward=backward, inputs=dict(emit=r.normal(size=(T, S)), trans=r.normal(size=(S, S)), start=r.normal(size=S)),
                constants=dict(tags=r.integers(0, S, T)))


# ------------------------------------------------------------------ graphics

@item("vision: bundle adjustment", "vjp", False, "depth's gradient divides by z, should be z squared", ("points", "R", "t"), ("elementwise-factor", "missing-term", "unknown"))
def reprojection_error(seed=0):
    r = np.random.default_rng(seed)
    N = 5
    R0, _ = np.linalg.qr(r.normal(size=(3, 3)))

    def project(points, R, t, focal, centre, obs):
        pc = points @ R.T + t
        uv = focal * pc[:, :2] / pc[:, 2:] + centre
        res = uv - obs
        return .5 * (res ** 2).sum(1), (points, R, pc, focal, res)

    def project_backward(dy, cache):
        P, R, pc, f, res = cache
        duv = dy[:, None] * res
        x, y, z = pc.T
        dpc = np.empty_like(pc)
        dpc[:, 0] = duv[:, 0] * f[0] / z
        dpc[:, 1] = duv[:, 1] * f[1] / z
        dpc[:, 2] = -(duv[:, 0] * f[0] * x + duv[:, 1] * f[1] * y) / z
        dfocal = (duv * pc[:, :2] / pc[:, 2:]).sum(0)
        return dict(points=dpc @ R, R=dpc.T @ P, t=dpc.sum(0), focal=dfocal, centre=duv.sum(0))

    return dict(forward=project, backward=project_backward,
                inputs=dict(points=r.normal(size=(N, 3)), R=R0, t=np.array([.1, -.2, 5.]), focal=np.array([2., 2.3]), centre=np.array([.3, .1])),
                constants=dict(obs=r.normal(size=(N, 2))))


@item("graphics: neural rendering", "vjp", False, "what lies behind a sample is not subtracted: the path of sigma through the transmittance is missing", ("sigma",), ("missing-term",))
def nerf_compositing(seed=0):
    r = np.random.default_rng(seed)
    S = 6

    def render(sigma, rgb, delta):
        tau = sigma * delta
        alpha = 1 - np.exp(-tau)
        T = np.exp(-np.concatenate([[0.], np.cumsum(tau)[:-1]]))
        w = T * alpha
        return w @ rgb, (rgb, delta, alpha, T, w)

    def render_backward(dC, cache):
        rgb, delta, alpha, T, w = cache
        c = rgb @ dC
        dtau = T * (1 - alpha) * c
        return {"sigma": dtau * delta, "rgb": np.outer(w, dC)}

    return dict(forward=render, backward=render_backward, inputs=dict(sigma=r.uniform(.2, 1.5, S), rgb=r.random((S, 3))),
                constants=dict(delta=r.uniform(.2, .6, S)))


@item("graphics: splines", "vjp", False, "the weights of the two middle control points are swapped in backward", ("ctrl",),
      ("transpose", "elementwise-factor"))
def bezier_sketch_loss(seed=0):
    r = np.random.default_rng(seed)

    def bezier(ctrl, t, target):
        b = np.stack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t ** 2 * (1 - t), t ** 3])
        pts = np.zeros((len(t), 2))
        for k in range(4):
            pts += b[k][:, None] * ctrl[k]
        diff = pts - target
        return np.sqrt((diff ** 2).sum(1) + 1e-3), (t, diff)

    def bezier_backward(dd, cache):
        t, diff = cache
        d = np.sqrt((diff ** 2).sum(1) + 1e-3)
        g = (dd / d)[:, None] * diff
        s = 1 - t
        return np.array([(s ** 3) @ g,
                         (3 * s * t ** 2) @ g,
                         (3 * s ** 2 * t) @ g,
                         (t ** 3) @ g])

    return dict(forward=bezier, backward=bezier_backward, inputs=dict(ctrl=r.normal(size=(4, 2))),
                constants=dict(t=np.array([.05, .15, .3, .5, .62]), target=r.normal(size=(5, 2))))


# ------------------------------------------------------------------ physics / ODE / flows / signal / finance / control

@item("neural ODE code", "vjp", False, "on the way back k2 gets h * (...) from k3's point, should be h/2", ("y", "A", "b"), ("factor", "missing-term", "unknown", "elementwise-factor"))
def rk4_step(seed=0):
    r = np.random.default_rng(seed)
    D = 3

    def f(y, A, b):
        return np.tanh(A @ y + b)

    def forward(y, A, b, h):
        k1 = f(y, A, b)
        y2 = y + h / 2 * k1
        k2 = f(y2, A, b)
        y3 = y + h / 2 * k2
        k3 = f(y3, A, b)
        y4 = y + h * k3
        k4 = f(y4, A, b)
        return y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4), (A, h, [y, y2, y3, y4], [k1, k2, k3, k4])

    def backward(dy, cache):
        A, h, ys, ks = cache
        dA, db = np.zeros_like(A), np.zeros(len(A))

        def pull(i, dk):
            nonlocal dA, db
            da = dk * (1 - ks[i] ** 2)
            dA = dA + np.outer(da, ys[i])
            db = db + da
            return A.T @ da

        a4 = pull(3, h / 6 * dy)
        a3 = pull(2, h / 3 * dy + h * a4)
        a2 = pull(1, h / 3 * dy + h * a3)
        a1 = pull(0, h / 6 * dy + h / 2 * a2)
        return dy + a1 + a2 + a3 + a4, dA, db

    return dict(forward=forward, backward=backward, inputs=dict(y=r.normal(size=D), A=r.normal(size=(D, D)), b=.4 * r.normal(size=D)),
                constants=dict(h=.7))


@item("differentiable physics", "vjp", False, "the force's gradient comes back with + k (the minus of -dV/dq is lost)", ("q", "p", "k"),
      ("sign", "missing-term", "unknown", "elementwise-factor"))
def leapfrog_chain(seed=0):
    r = np.random.default_rng(seed)
    n, steps = 4, 3

    def force(q, k):
        return -k * np.sin(q)

    def simulate(q, p, k, dt):
        traj = []
        for _ in range(steps):
            q_a = q
            p = p + .5 * dt * force(q, k)
            q = q + dt * p
            q_b = q
            p = p + .5 * dt * force(q, k)
            traj.append((q_a, q_b))
        return np.stack([q, p]), (traj, k, dt)

    def simulate_backward(dy, cache):
        traj, k, dt = cache
        dq, dp = dy[0].copy(), dy[1].copy()
        dk = np.zeros_like(k)
        for q_a, q_b in traj[::-1]:
            dq = dq + .5 * dt * dp * k * np.cos(q_b)
            dk = dk - .5 * dt * dp * np.sin(q_b)
            dp = dp + dt * dq
            dq = dq - .5 * dt * dp * k * np.cos(q_a)
            dk = dk - .5 * dt * dp * np.sin(q_a)
        return dict(q=dq, p=dp, k=dk)

    return dict(forward=simulate, backward=simulate_backward, inputs=dict(q=r.normal(size=n), p=r.normal(size=n), k=r.uniform(.5, 2, n)),
                constants=dict(dt=.4))


@item("audio DSP", "vjp", False, "the gradients of the feedback coefficients a have the wrong sign: y[n] -= a y[n-1-k]", ("a",), ("sign",))
def iir_filter(seed=0):
    r = np.random.default_rng(seed)
    N = 12

    def lfilter(x, b, a):
        y = np.zeros(len(x))
        for n in range(len(x)):
            for k in range(len(b)):
                if n >= k:
                    y[n] += b[k] * x[n - k]
            for k in range(1, len(a) + 1):
                if n >= k:
                    y[n] -= a[k - 1] * y[n - k]
        return y, (x, b, a, y)

    def lfilter_backward(dy, cache):
        x, b, a, y = cache
        g = np.array(dy, float)
        dx, db, da = np.zeros(len(x)), np.zeros(len(b)), np.zeros(len(a))
        for n in range(len(x) - 1, -1, -1):
            for k in range(len(b)):
                if n >= k:
                    db[k] += g[n] * x[n - k]
                    dx[n - k] += g[n] * b[k]
            for k in range(1, len(a) + 1):
                if n >= k:
                    da[k - 1] += g[n] * y[n - k]
                    g[n - k] -= g[n] * a[k - 1]
        return dx, db, da

    return dict(forward=lfilter, backward=lfilter_backward, inputs=dict(x=r.normal(size=N), b=r.normal(size=3), a=np.array([-.8, .4])))


@item("quant finance notebook", "vjp", False, "the slope of the sample standard deviation divides by n, should be n - 1 (ddof=1)", ("w", "R"),
      ("factor", "missing-term", "unknown", "elementwise-factor"))
def sharpe_ratio(seed=0):
    r = np.random.default_rng(seed)
    n, k = 6, 4

    def sharpe(w, R, rf):
        e = np.exp(w - w.max())
        alloc = e / e.sum()
        port = R @ alloc - rf
        m, s = port.mean(), port.std(ddof=1)
        return np.array(m / s), (alloc, R, port, m, s)

    def sharpe_backward(dy, cache):
        alloc, R, port, m, s = cache
        n = len(port)
        dm = dy / s
        ds = -dy * m / s ** 2
        dport = dm / n + ds * (port - m) / (n * s)
        dalloc = R.T @ dport
        dw = alloc * (dalloc - alloc @ dalloc)
        return dict(w=dw, R=np.outer(dport, alloc))

    return dict(forward=sharpe, backward=sharpe_backward, inputs=dict(w=r.normal(size=k), R=.3 + .4 * r.normal(size=(n, k))), constants=dict(rf=.02))


@item("optimal control lecture", "vjp", False, "the costate goes back with A instead of A transposed", ("u", "x0"), ("transpose",))
def finite_horizon_lqr_cost(seed=0):
    r = np.random.default_rng(seed)
    n, m, T = 3, 2, 4
    A = np.eye(n) + .5 * r.normal(size=(n, n))
    B = r.normal(size=(n, m))

    def cost(x0, u, A, B, Q, Rm, Qf):
        xs = [x0]
        J = 0.
        for t in range(len(u)):
            J += .5 * xs[t] @ Q @ xs[t] + .5 * u[t] @ Rm @ u[t]
            xs.append(A @ xs[t] + B @ u[t])
        J += .5 * xs[-1] @ Qf @ xs[-1]
        return np.array(J), dict(xs=xs, u=u, A=A, B=B, Q=Q, R=Rm, Qf=Qf)

    def cost_backward(dJ, c):
        lam = c["Qf"] @ c["xs"][-1]
        du = np.zeros_like(c["u"])
        for t in reversed(range(len(du))):
            du[t] = c["R"] @ c["u"][t] + c["B"].T @ lam
            lam = c["Q"] @ c["xs"][t] + c["A"] @ lam
        return {"x0": dJ * lam, "u": dJ * du}

    return dict(forward=cost, backward=cost_backward, inputs=dict(x0=r.normal(size=n), u=r.normal(size=(T, m))),
                constants=dict(A=A, B=B, Q=np.diag([1., 2., .5]), Rm=.3 * np.eye(m), Qf=2 * np.eye(n)))


# ------------------------------------------------------------------ gradients, wrong

def _init(r, *shape, s=.7):
    return s * r.normal(size=shape)


@item("VAE tutorial", "gradients", False, "KL's slope for logvar is exp(logvar) - 1, the half is missing", ("Wv", "bv", "We", "be"),
      ("factor", "missing-term", "elementwise-factor", "unknown"))
def gaussian_vae(seed=0):
    r = np.random.default_rng(seed)
    D, H, Z, B = 4, 5, 2, 5

    class VAE:
        def __init__(self):
            self.params = {"We": _init(r, D, H), "be": _init(r, H), "Wm": _init(r, H, Z), "bm": _init(r, Z),
                           "Wv": _init(r, H, Z), "bv": _init(r, Z), "Wd": _init(r, Z, D), "bd": _init(r, D)}

        def encode(self, x):
            p = self.params
            h = np.tanh(x @ p["We"] + p["be"])
            return h @ p["Wm"] + p["bm"], h @ p["Wv"] + p["bv"], h

        def objective(self, x, eps, beta=1.0):
            p = self.params
            mu, lv, h = self.encode(x)
            z = mu + np.exp(.5 * lv) * eps
            xr = z @ p["Wd"] + p["bd"]
            nll = .5 * ((x - xr) ** 2 + np.log(2 * np.pi)).sum(1)
            kl = .5 * (np.exp(lv) + mu ** 2 - 1 - lv).sum(1)
            return SimpleNamespace(objective=-nll - beta * kl, nll=nll, kl=kl), (x, eps, beta, mu, lv, h, z, xr)

        def backward(self, dobj, cache):
            p = self.params
            x, eps, beta, mu, lv, h, z, xr = cache
            d = dobj[:, None]
            dxr = d * (x - xr)
            g = {"Wd": z.T @ dxr, "bd": dxr.sum(0)}
            dz = dxr @ p["Wd"].T
            dmu = dz - d * beta * mu
            dlv = dz * eps * .5 * np.exp(.5 * lv) - d * beta * (np.exp(lv) - 1)
            g["Wm"], g["bm"], g["Wv"], g["bv"] = h.T @ dmu, dmu.sum(0), h.T @ dlv, dlv.sum(0)
            da = (dmu @ p["Wm"].T + dlv @ p["Wv"].T) * (1 - h * h)
            g["We"], g["be"] = x.T @ da, da.sum(0)
            return g

    return dict(model=VAE(), x=r.normal(size=(B, D)), eps=r.normal(size=(B, Z)))


@item("Bayes by backprop repository", "gradients", False, "d rho lacks the slope of softplus, sigmoid(rho)", ("rho",), ("elementwise-factor",))
def bayesian_regression_net(seed=0):
    r = np.random.default_rng(seed)
    D, H, B = 2, 4, 6
    P = D * H + H

    class BNN:
        params = None

        def __init__(self):
            self.params = dict(mean=_init(r, P), rho=_init(r, P) - .5, noise=np.array([-.3]))

        def objective(self, x, eps, beta=1.0):
            m, rho, ns = (self.params[k] for k in ("mean", "rho", "noise"))
            sig = np.logaddexp(0, rho)
            w = m + sig * eps
            W, v = w[:D * H].reshape(D, H), w[D * H:]
            xin, t = x[:, :D], x[:, D]
            h = np.tanh(xin @ W)
            e = t - h @ v
            nll = .5 * e ** 2 * np.exp(-2 * ns) + ns + .5 * np.log(2 * np.pi)
            kl = np.full(len(x), (.5 * (sig ** 2 + m ** 2 - 1) - np.log(sig)).sum() / len(x))
            return SimpleNamespace(objective=-nll - beta * kl, nll=nll, kl=kl), (x, eps, beta, sig, W, v, h, e)

        def backward(self, dobjective, cache):
            x, eps, beta, sig, W, v, h, e = cache
            m, rho, ns = (self.params[k] for k in ("mean", "rho", "noise"))
            iv = np.exp(-2 * ns)
            dpred = dobjective * e * iv
            dv = h.T @ dpred
            dW = x[:, :D].T @ (np.outer(dpred, v) * (1 - h ** 2))
            dw = np.concatenate([dW.ravel(), dv])
            share = beta * dobjective.sum() / len(x)
            dm = dw - share * m
            dsig = dw * eps - share * (sig - 1 / sig)
            drho = dsig
            dns = np.array([(dobjective * (e ** 2 * iv - 1)).sum()])
            return dict(mean=dm, rho=drho, noise=dns)

    return dict(model=BNN(), x=r.normal(size=(B, D + 1)), eps=r.normal(size=P))


@item("normalizing flow repository", "gradients", False, "the log-determinant's gradient to s is missing in the second coupling", ("V1", "c1", "T1", "V2", "c2"), ("missing-term",))
def realnvp_density(seed=0):
    r = np.random.default_rng(seed)
    B = 6

    class RealNVP:
        """x -> z by two couplings on halves of 2; objective is log p(x)."""

        def __init__(self):
            self.params = {}
            for i in "12":
                self.params["V" + i] = _init(r, 2, 2)
                self.params["c" + i] = _init(r, 2)
                self.params["T" + i] = _init(r, 2, 2)

        def objective(self, x, eps, beta=1.0):
            p = self.params
            a, b = x[:, :2], x[:, 2:]
            s1 = np.tanh(a @ p["V1"] + p["c1"])
            b2 = b * np.exp(s1) + a @ p["T1"]
            s2 = np.tanh(b2 @ p["V2"] + p["c2"])
            a2 = a * np.exp(s2) + b2 @ p["T2"]
            logp = -.5 * (a2 ** 2 + b2 ** 2).sum(1) - 2 * np.log(2 * np.pi) + s1.sum(1) + s2.sum(1)
            return SimpleNamespace(objective=logp), (a, b, s1, b2, s2, a2)

        def backward(self, dobjective, cache):
            p = self.params
            a, b, s1, b2, s2, a2 = cache
            d = dobjective[:, None]
            g = {}
            da2 = -d * a2
            db2 = -d * b2
            ds2 = da2 * a * np.exp(s2)
            du2 = ds2 * (1 - s2 ** 2)
            g["V2"], g["c2"], g["T2"] = b2.T @ du2, du2.sum(0), b2.T @ da2
            db2 = db2 + du2 @ p["V2"].T + da2 @ p["T2"].T
            ds1 = db2 * b * np.exp(s1) + d
            du1 = ds1 * (1 - s1 ** 2)
            g["V1"], g["c1"], g["T1"] = a.T @ du1, du1.sum(0), a.T @ db2
            return g

    return dict(model=RealNVP(), x=r.normal(size=(B, 4)), eps=np.zeros((B, 1)))


@item("textbook (PRML)", "gradients", False, "the slope of log sigma lacks the -D of the normaliser", ("log_sigma",), ("missing-term",))
def spherical_gmm(seed=0):
    r = np.random.default_rng(seed)
    B, K, D = 7, 3, 2

    class GMM:
        def __init__(self):
            self.params = {"logits": _init(r, K), "mu": _init(r, K, D, s=1.5), "log_sigma": _init(r, K, s=.4)}

        def objective(self, x, eps):
            p = self.params
            lw = p["logits"] - logsumexp(p["logits"])
            d2 = ((x[:, None] - p["mu"]) ** 2).sum(-1)
            lc = -.5 * d2 * np.exp(-2 * p["log_sigma"]) - D * p["log_sigma"] - .5 * D * np.log(2 * np.pi)
            j = lw + lc
            ll = logsumexp(j, axis=1)
            return SimpleNamespace(objective=ll), {"x": x, "d2": d2, "resp": np.exp(j - ll[:, None]), "pi": np.exp(lw)}

        def backward(self, dobjective, c):
            iv = np.exp(-2 * self.params["log_sigma"])
            R = dobjective[:, None] * c["resp"]
            Nk = R.sum(0)
            return {"logits": Nk - dobjective.sum() * c["pi"],
                    "mu": (R.T @ c["x"] - Nk[:, None] * self.params["mu"]) * iv[:, None],
                    "log_sigma": (R * c["d2"] * iv).sum(0)}

    return dict(model=GMM(), x=1.5 * r.normal(size=(B, D)), eps=np.zeros((B, 1)))


@item("research code (PyTorch habits)", "gradients", False, "grads are kept on the modules and added to without zero_grad: the second backward returns more", ("0.W", "0.b", "1.W", "1.b"), ("accumulates",))
def classifier_with_grad_buffers(seed=0):
    r = np.random.default_rng(seed)
    B, D, H, C = 5, 3, 4, 3

    class Linear:
        def __init__(self, i, o):
            self.W, self.b = _init(r, i, o), _init(r, o)
            self.gW, self.gb = np.zeros((i, o)), np.zeros(o)

        def __call__(self, x):
            return x @ self.W + self.b

        def backward(self, x, d):
            self.gW += x.T @ d
            self.gb += d.sum(0)
            return d @ self.W.T

    class Net:
        def __init__(self):
            self.layers = [Linear(D, H), Linear(H, C)]
            self.params = {f"{i}.{k}": getattr(l, k) for i, l in enumerate(self.layers) for k in "Wb"}

        def zero_grad(self):
            for l in self.layers:
                l.gW[...] = 0
                l.gb[...] = 0

        def objective(self, x, eps, beta=1.0):
            feats, lab = x[:, :D], x[:, D:]
            noisy = feats + .1 * eps
            a = self.layers[0](noisy)
            h = np.where(a > 0, a, .1 * a)
            s = self.layers[1](h)
            lp = s - logsumexp(s, axis=1, keepdims=True)
            nll = -(lab * lp).sum(1)
            return SimpleNamespace(objective=-nll), (noisy, a, h, lp, lab)

        def backward(self, dobjective, cache):
            noisy, a, h, lp, lab = cache
            ds = dobjective[:, None] * (lab - np.exp(lp))
            dh = self.layers[1].backward(h, ds)
            self.layers[0].backward(noisy, dh * np.where(a > 0, 1., .1))
            return {f"{i}.{k}": getattr(l, "g" + k).copy() for i, l in enumerate(self.layers) for k in "Wb"}

    x = np.concatenate([r.normal(size=(B, D)), np.eye(C)[r.integers(0, C, B)]], axis=1)
    return dict(model=Net(), x=x, eps=r.normal(size=(B, D)))


@item("RL research code", "gradients", False, "the tanh-squash correction's path to the action is missing (only the Gaussian log-density and Q reach it)", ("Wm", "bm", "Ws", "bs"), ("missing-term",))
def sac_actor(seed=0):
    r = np.random.default_rng(seed)
    B, S, A = 6, 3, 2
    goal = .5 * r.normal(size=(S, A))

    class Actor:
        def __init__(self):
            self.params = {"Wm": _init(r, S, A), "bm": _init(r, A), "Ws": _init(r, S, A, s=.3), "bs": _init(r, A, s=.3)}

        def objective(self, x, eps, beta=1.0):
            p = self.params
            mu = x @ p["Wm"] + p["bm"]
            ls = x @ p["Ws"] + p["bs"]
            u = mu + np.exp(ls) * eps
            a = np.tanh(u)
            logpi = (-.5 * eps ** 2 - ls - .5 * np.log(2 * np.pi)).sum(1) - (2 * (np.log(2) - u - np.logaddexp(0, -2 * u))).sum(1)
            q = -((a - x @ goal) ** 2).sum(1)
            return SimpleNamespace(objective=q - .2 * beta * logpi), (x, eps, beta, ls, a)

        def backward(self, dobjective, cache):
            x, eps, beta, ls, a = cache
            g = dobjective[:, None]
            dq_du = -2 * (a - x @ goal) * (1 - a ** 2)
            du = g * dq_du
            dls = du * eps * np.exp(ls) + g * .2 * beta
            return {"Wm": x.T @ du, "bm": du.sum(0), "Ws": x.T @ dls, "bs": dls.sum(0)}

    return dict(model=Actor(), x=r.normal(size=(B, S)), eps=r.normal(size=(B, A)))


# ------------------------------------------------------------------ right ones

@item("micrograd-like autodiff", "vjp", True)
def scalar_tape_mlp(seed=0):
    r = np.random.default_rng(seed)

    class Value:
        def __init__(self, d, kids=()):
            self.d, self.kids, self.g = d, kids, 0.

        def __add__(self, o):
            return Value(self.d + o.d, ((self, 1.), (o, 1.)))

        def __mul__(self, o):
            return Value(self.d * o.d, ((self, o.d), (o, self.d)))

        def tanh(self):
            t = np.tanh(self.d)
            return Value(t, ((self, 1 - t * t),))

    wrap = np.frompyfunc(Value, 1, 1)

    def forward(x, W1, b1, W2):
        X, A, b, C = wrap(x), wrap(W1), wrap(b1), wrap(W2)
        out = []
        for row in X:
            h = [sum((row[i] * A[i, j] for i in range(len(row))), b[j]).tanh() for j in range(len(b))]
            o = h[0] * C[0]
            for j in range(1, len(h)):
                o = o + h[j] * C[j]
            out.append(o)
        return np.array([o.d for o in out]), (out, X, A, b, C)

    def backward(dy, cache):
        out, *leaves = cache
        order, seen = [], set()

        def visit(v):
            if id(v) not in seen:
                seen.add(id(v))
                v.g = 0.
                for k, _ in v.kids:
                    visit(k)
                order.append(v)

        for o in out:
            visit(o)
        for o, g in zip(out, dy):
            o.g += g
        for v in reversed(order):
            for k, s in v.kids:
                k.g += s * v.g
        return tuple(np.vectorize(lambda v: v.g, otypes=[float])(L) for L in leaves)

    return dict(forward=forward, backward=backward, inputs=dict(x=r.normal(size=(3, 2)), W1=r.normal(size=(2, 3)), b1=r.normal(size=3), W2=r.normal(size=3)))


@item("state space / econometrics", "vjp", True)
def kalman_loglik(seed=0):
    r = np.random.default_rng(seed)
    T = 8

    def forward(y, phi, logq, logr):
        q, s = np.exp(logq), np.exp(logr)
        m, P, ll, rec = 0., 1., 0., []
        for t in range(len(y)):
            mp, Pp = phi * m, phi * phi * P + q
            S, v = Pp + s, y[t] - mp
            K = Pp / S
            ll -= .5 * (np.log(2 * np.pi * S) + v * v / S)
            rec.append((m, P, Pp, S, v, K))
            m, P = mp + K * v, (1 - K) * Pp
        return np.array(ll), (rec, phi, q, s)

    def backward(g, cache):
        rec, phi, q, s = cache
        dy = np.zeros(len(rec))
        dphi = dq = ds = dm = dP = 0.
        for t in range(len(rec) - 1, -1, -1):
            m, P, Pp, S, v, K = rec[t]
            dmp, dK, dv = dm, dm * v - dP * Pp, dm * K
            dPp = dP * (1 - K)
            dv += -g * v / S
            dS = -.5 * g * (1 / S - v * v / S ** 2)
            dPp += dK / S
            dS += -dK * Pp / S ** 2
            dPp += dS
            ds += dS
            dy[t] = dv
            dmp -= dv
            dphi += dmp * m + dPp * 2 * phi * P
            dq += dPp
            dm, dP = dmp * phi, dPp * phi ** 2
        return {"y": dy, "phi": np.array(dphi), "logq": np.array(dq * q), "logr": np.array(ds * s)}

    return dict(forward=forward, backward=backward, inputs=dict(y=r.normal(size=T), phi=np.array(.8), logq=np.array(-.5), logr=np.array(.2)))


@item("numerical analysis blog (complex step)", "vjp", True)
def lorenz_by_complex_step(seed=0):
    r = np.random.default_rng(seed)

    def run(s, th):
        for _ in range(8):
            x, y, z = s
            s = s + .05 * np.array([th[0] * (y - x), x * (th[1] - z) - y, x * y - th[2] * z])
        return s

    def forward(state, theta):
        return run(state, theta), (state.copy(), theta.copy())

    def backward(dy, cache):
        out = []
        for which in range(2):
            g = np.zeros(3)
            for i in range(3):
                a = [c.astype(complex) for c in cache]
                a[which][i] += 1e-30j
                g[i] = dy @ run(*a).imag / 1e-30
            out.append(g)
        return tuple(out)

    return dict(forward=forward, backward=backward, inputs=dict(state=r.normal(size=3), theta=np.array([10., 28., 8 / 3]) * .3))


@item("optimal transport repository", "vjp", True)
def sinkhorn_unrolled(seed=0):
    r = np.random.default_rng(seed)
    n, m = 3, 4

    def forward(C, loga, logb, reg):
        M = -C / reg
        f, g = np.zeros(len(loga)), np.zeros(len(logb))
        tr = []
        for _ in range(4):
            f = loga - logsumexp(M + g, axis=1)
            Pf = np.exp(M + g - logsumexp(M + g, axis=1, keepdims=True))
            g = logb - logsumexp(M + f[:, None], axis=0)
            Pg = np.exp(M + f[:, None] - logsumexp(M + f[:, None], axis=0))
            tr.append((Pf, Pg))
        plan = np.exp(M + f[:, None] + g)
        return np.array((plan * C).sum()), (tr, plan, C, reg)

    def backward(d, cache):
        tr, plan, C, reg = cache
        dC = d * plan
        dM = d * plan * C
        df, dg = dM.sum(1), dM.sum(0)
        da, db = np.zeros(C.shape[0]), np.zeros(C.shape[1])
        for Pf, Pg in reversed(tr):
            db += dg
            dM = dM - Pg * dg
            df = df - Pg @ dg
            da += df
            dM = dM - Pf * df[:, None]
            dg = -(Pf.T @ df)
            df = np.zeros_like(df)
        return dict(C=dC - dM / reg, loga=da, logb=db)

    return dict(forward=forward, backward=backward,
                inputs=dict(C=r.random((n, m)), loga=np.log(r.dirichlet(np.ones(n) * 3)), logb=np.log(r.dirichlet(np.ones(m) * 3))), constants=dict(reg=.3))


@item("quant finance notebook", "vjp", True)
def black_scholes_greeks(seed=0):
    r = np.random.default_rng(seed)
    n = 5

    def price(S, K, vol, rate, tau):
        sd = vol * np.sqrt(tau)
        d1 = (np.log(S / K) + (rate + .5 * vol ** 2) * tau) / sd
        d2 = d1 - sd
        return S * ndtr(d1) - K * np.exp(-rate * tau) * ndtr(d2), (S, K, vol, rate, tau, d1, d2)

    def greeks(dy, c):
        S, K, vol, rate, tau, d1, d2 = c
        pdf = np.exp(-d1 ** 2 / 2) / np.sqrt(2 * np.pi)
        disc = K * np.exp(-rate * tau) * ndtr(d2)
        theta = S * pdf * vol / (2 * np.sqrt(tau)) + rate * disc
        return dict(S=dy * ndtr(d1), K=-dy * disc / K, vol=dy * S * pdf * np.sqrt(tau), rate=np.sum(dy * tau * disc), tau=dy * theta)

    return dict(forward=price, backward=greeks,
                inputs=dict(S=r.uniform(.8, 1.3, n), K=r.uniform(.8, 1.2, n), vol=r.uniform(.2, .6, n), rate=np.array(.05), tau=r.uniform(.4, 2, n)))


@item("deep equilibrium model", "vjp", True)
def deq_fixed_point(seed=0):
    r = np.random.default_rng(seed)
    n, d = 3, 2
    W = r.normal(size=(n, n))
    W *= .6 / np.linalg.norm(W, 2)

    def forward(x, W, U):
        z = np.zeros(len(W))
        for _ in range(200):
            z = np.tanh(W @ z + U @ x)
        return z, (x, W, U, z)

    def backward(dz, cache):
        x, W, U, z = cache
        s = 1 - z ** 2
        J = s[:, None] * W
        v = np.linalg.solve(np.eye(len(z)) - J.T, dz) * s
        return U.T @ v, np.outer(v, z), np.outer(v, x)

    return dict(forward=forward, backward=backward, inputs=dict(x=r.normal(size=d), W=W, U=r.normal(size=(n, d))))


@item("graphics: skinning", "vjp", True)
def quaternion_blend_rotation(seed=0):
    r = np.random.default_rng(seed)

    def forward(quats, weights, verts):
        q = weights @ quats
        n = np.linalg.norm(q)
        w, u = q[0] / n, q[1:] / n
        t = 2 * np.cross(u, verts)
        return verts + w * t + np.cross(u, t), (quats, weights, verts, n, w, u, t)

    def backward(dy, cache):
        quats, weights, verts, n, w, u, t = cache
        dt = w * dy + np.cross(dy, u)
        dw = np.sum(dy * t)
        du = np.cross(t, dy).sum(0) + 2 * np.cross(verts, dt).sum(0)
        dverts = dy + 2 * np.cross(dt, u)
        qh = np.concatenate([[w], u])
        dqh = np.concatenate([[dw], du])
        dq = (dqh - qh * (qh @ dqh)) / n
        return {"quats": np.outer(weights, dq), "weights": quats @ dq, "verts": dverts}

    return dict(forward=forward, backward=backward, inputs=dict(quats=r.normal(size=(3, 4)), weights=r.dirichlet(np.ones(3)), verts=r.normal(size=(4, 3))))


@item("layer library", "vjp", True)
def conv_pool_linear(seed=0):
    r = np.random.default_rng(seed)

    class Conv1d:
        def forward(self, x, w):
            self.win = np.lib.stride_tricks.sliding_window_view(x, w.shape[-1], axis=-1)
            self.x, self.w = x, w
            return np.einsum("nclk,ock->nol", self.win, w)

        def backward(self, d):
            dx = np.zeros_like(self.x)
            L = d.shape[-1]
            for k in range(self.w.shape[-1]):
                dx[:, :, k:k + L] += np.einsum("nol,oc->ncl", d, self.w[:, :, k])
            return dx, np.einsum("nol,nclk->ock", d, self.win)

    class MaxPool:
        def forward(self, x):
            self.shape = x.shape
            v = x.reshape(x.shape[:2] + (-1, 2))
            self.arg = v.argmax(-1)[..., None]
            return np.take_along_axis(v, self.arg, -1)[..., 0]

        def backward(self, d):
            v = np.zeros(d.shape + (2,))
            np.put_along_axis(v, self.arg, d[..., None], -1)
            return v.reshape(self.shape)

    def forward(x, w, fc):
        c, p = Conv1d(), MaxPool()
        h = p.forward(c.forward(x, w))
        flat = h.reshape(len(x), -1)
        return flat @ fc, (c, p, h.shape, flat, fc)

    def backward(dy, cache):
        c, p, hs, flat, fc = cache
        dx, dw = c.backward(p.backward((dy @ fc.T).reshape(hs)))
        return {"fc": flat.T @ dy, "w": dw, "x": dx}

    return dict(forward=forward, backward=backward, inputs=dict(x=r.normal(size=(2, 2, 8)), w=r.normal(size=(2, 2, 3)), fc=r.normal(size=(6, 2))))


@item("speech: HMM toolkit", "vjp", True)
def hmm_scaled_forward(seed=0):
    r = np.random.default_rng(seed)
    S, V, T = 3, 4, 6

    def forward(log_pi, log_A, log_B, obs):
        pi, A, B = np.exp(log_pi), np.exp(log_A), np.exp(log_B)
        a = np.zeros((len(obs), len(pi)))
        c = np.zeros(len(obs))
        for t, o in enumerate(obs):
            a[t] = (pi if t == 0 else a[t - 1] @ A) * B[:, o]
            c[t] = a[t].sum()
            a[t] /= c[t]
        return np.array(np.log(c).sum()), (pi, A, B, obs, a, c)

    def backward(g, cache):
        pi, A, B, obs, a, c = cache
        T = len(obs)
        b = np.ones_like(a)
        xi = np.zeros_like(A)
        for t in range(T - 2, -1, -1):
            e = B[:, obs[t + 1]] * b[t + 1] / c[t + 1]
            xi += A * np.outer(a[t], e)
            b[t] = A @ e
        gam = a * b
        dB = np.zeros_like(B)
        for t in range(T):
            dB[:, obs[t]] += gam[t]
        return g * gam[0], g * xi, g * dB

    return dict(forward=forward, backward=backward,
                inputs=dict(log_pi=.5 * r.normal(size=S), log_A=.5 * r.normal(size=(S, S)), log_B=.5 * r.normal(size=(S, V))),
                constants=dict(obs=r.integers(0, V, T)))


@item("RL research code", "vjp", True)
def discounted_returns_reinforce(seed=0):
    r = np.random.default_rng(seed)
    T, A = 6, 3

    def forward(logits, baseline, rewards, actions, gamma):
        n = len(rewards)
        G = np.triu(gamma ** (np.arange(n)[None] - np.arange(n)[:, None]).clip(0)) @ rewards
        adv = G - baseline
        p = np.exp(logits - logits.max(1, keepdims=True))
        p = p / p.sum(1, keepdims=True)
        lp = np.log(p[np.arange(n), actions])
        return np.array(-(lp * adv).sum()), (p, lp, adv, actions)

    def backward(dl, cache):
        p, lp, adv, actions = cache
        d = p * adv[:, None]
        d[np.arange(len(adv)), actions] -= adv
        return dl * d, np.atleast_1d(dl * lp.sum())

    return dict(forward=forward, backward=backward, inputs=dict(logits=r.normal(size=(T, A)), baseline=np.array([.3])),
                constants=dict(rewards=r.normal(size=T), actions=r.integers(0, A, T), gamma=.9))


@item("scientific computing: PDE", "vjp", True)
def crank_nicolson_heat(seed=0):
    r = np.random.default_rng(seed)
    n = 5
    L = np.diag(-2 * np.ones(n)) + np.diag(np.ones(n - 1), 1) + np.diag(np.ones(n - 1), -1)

    def forward(u0, log_kappa, source):
        M = .25 * np.exp(log_kappa)[:, None] * L
        P, Qm = np.eye(n) - M, np.eye(n) + M
        us = [u0]
        for _ in range(3):
            us.append(np.linalg.solve(P, Qm @ us[-1] + source))
        return us[-1], (us, M, P, Qm)

    def backward(dy, cache):
        us, M, P, Qm = cache
        lam, dM, ds = dy, np.zeros((n, n)), np.zeros(n)
        for t in (3, 2, 1):
            w = np.linalg.solve(P.T, lam)
            ds = ds + w
            dM = dM + np.outer(w, us[t] + us[t - 1])
            lam = Qm.T @ w
        return {"u0": lam, "log_kappa": (dM * M).sum(1), "source": ds}

    return dict(forward=forward, backward=backward, inputs=dict(u0=r.normal(size=n), log_kappa=.5 * r.normal(size=n), source=r.normal(size=n)))


@item("mixture density network notebook", "gradients", True)
def mdn(seed=0):
    r = np.random.default_rng(seed)
    B, H, K = 6, 4, 3

    class MDN:
        def __init__(self):
            self.params = {"W": _init(r, 1, H), "b": _init(r, H), "V": _init(r, H, 3 * K), "c": _init(r, 3 * K)}

        def objective(self, x, eps, beta=1.0):
            p = self.params
            t = x[:, 1:]
            h = np.tanh(x[:, :1] @ p["W"] + p["b"])
            o = h @ p["V"] + p["c"]
            lg, m, ls = o[:, :K], o[:, K:2 * K], o[:, 2 * K:]
            z = (t - m) * np.exp(-ls)
            j = lg - .5 * z * z - ls - .5 * np.log(2 * np.pi)
            ll = logsumexp(j, axis=1) - logsumexp(lg, axis=1)
            return SimpleNamespace(objective=ll), (x, h, lg, ls, z, j)

        def backward(self, dobjective, cache):
            x, h, lg, ls, z, j = cache
            soft = lambda a: np.exp(a - logsumexp(a, axis=1, keepdims=True))
            post = soft(j)
            do = dobjective[:, None] * np.hstack([post - soft(lg), post * z * np.exp(-ls), post * (z * z - 1)])
            dh = (do @ self.params["V"].T) * (1 - h * h)
            return {"W": x[:, :1].T @ dh, "b": dh.sum(0), "V": h.T @ do, "c": do.sum(0)}

    return dict(model=MDN(), x=r.normal(size=(B, 2)), eps=np.zeros((B, 1)))


@item("VAE tutorial", "gradients", True)
def tied_weight_bernoulli_vae(seed=0):
    r = np.random.default_rng(seed)
    D, Z, B = 5, 2, 6

    class Tied:
        def __init__(self):
            self.params = {"W": _init(r, D, Z), "lv": _init(r, Z, s=.4), "b": _init(r, D)}

        def encode(self, x):
            return (x - .5) @ self.params["W"], np.tile(self.params["lv"], (len(x), 1))

        def objective(self, x, eps, beta=1.0):
            mu, lv = self.encode(x)
            z = mu + eps * np.exp(lv / 2)
            l = z @ self.params["W"].T + self.params["b"]
            nll = (np.logaddexp(0, l) - x * l).sum(1)
            kl = .5 * (mu ** 2 + np.exp(lv) - lv - 1).sum(1)
            return SimpleNamespace(objective=-nll - beta * kl, nll=nll, kl=kl), (x, eps, beta, mu, lv, z, l)

        def backward(self, dobjective, cache):
            x, eps, beta, mu, lv, z, l = cache
            d = dobjective.reshape(-1, 1)
            dl = d * (x - expit(l))
            dz = dl @ self.params["W"]
            dmu = dz - d * beta * mu
            dlv = .5 * (dz * (z - mu) - d * beta * np.expm1(lv))
            return {"W": dl.T @ z + (x - .5).T @ dmu, "lv": dlv.sum(0), "b": dl.sum(0)}

    return dict(model=Tied(), x=(r.random((B, D)) < .5).astype(float), eps=r.normal(size=(B, Z)))


@item("topic model research code", "gradients", True)
def prod_lda(seed=0):
    r = np.random.default_rng(seed)
    V, K, B = 5, 3, 4

    class ProdLDA:
        def __init__(self):
            self.params = {"enc_mu": _init(r, V, K, s=.3), "enc_lv": _init(r, V, K, s=.2), "topics": _init(r, K, V), "bg": _init(r, V)}

        def encode(self, x):
            f = np.log1p(x)
            return f @ self.params["enc_mu"], f @ self.params["enc_lv"], f

        def objective(self, x, eps, beta=1.0):
            mu, lv, f = self.encode(x)
            sd = np.exp(.5 * lv)
            z = mu + sd * eps
            th = np.exp(z - logsumexp(z, axis=1, keepdims=True))
            lg = th @ self.params["topics"] + self.params["bg"]
            lp = lg - logsumexp(lg, axis=1, keepdims=True)
            nll = -(x * lp).sum(1)
            kl = .5 * (sd ** 2 + mu ** 2 - 1 - lv).sum(1)
            return SimpleNamespace(objective=-nll - beta * kl, nll=nll, kl=kl), locals()

        def backward(self, dobjective, c):
            d = dobjective[:, None]
            x, th = c["x"], c["th"]
            dlg = d * (x - x.sum(1, keepdims=True) * np.exp(c["lp"]))
            dth = dlg @ self.params["topics"].T
            dz = th * (dth - (th * dth).sum(1, keepdims=True))
            dmu = dz - c["beta"] * d * c["mu"]
            dlv = .5 * dz * c["eps"] * c["sd"] + .5 * c["beta"] * d * (1 - c["sd"] ** 2)
            return dict(enc_mu=c["f"].T @ dmu, enc_lv=c["f"].T @ dlv, topics=th.T @ dlg, bg=dlg.sum(0))

    return dict(model=ProdLDA(), x=r.poisson(1.5, (B, V)).astype(float), eps=r.normal(size=(B, K)))


@item("normalizing flow repository", "gradients", True)
def planar_flow_posterior(seed=0):
    r = np.random.default_rng(seed)
    B, D, Z = 5, 3, 2

    class PlanarVAE:
        """Amortised mean, free log-sigma, one planar layer; single-sample bound log p(x, z1) - log q(z1)."""

        def __init__(self):
            w = _init(r, Z)
            self.params = {"M": _init(r, D, Z), "s": _init(r, Z, s=.3), "w": w, "u": .5 * w + .1 * r.normal(size=Z), "c": _init(r, 1), "G": _init(r, Z, D)}

        def objective(self, x, eps, beta=1.0):
            p = self.params
            z0 = x @ p["M"] + np.exp(p["s"]) * eps
            h = np.tanh(z0 @ p["w"] + p["c"])
            z1 = z0 + h[:, None] * p["u"]
            det = 1 + (1 - h ** 2) * (p["w"] @ p["u"])
            e = x - z1 @ p["G"]
            nll = .5 * (e ** 2).sum(1) + .5 * D * np.log(2 * np.pi)
            kl = -.5 * (eps ** 2).sum(1) - p["s"].sum() - np.log(det) + .5 * (z1 ** 2).sum(1)
            return SimpleNamespace(objective=-nll - beta * kl, nll=nll, kl=kl), (x, eps, beta, z0, h, z1, det, e)

        def backward(self, dobjective, cache):
            p = self.params
            x, eps, beta, z0, h, z1, det, e = cache
            d = dobjective[:, None]
            w, u = p["w"], p["u"]
            wu = w @ u
            dG = z1.T @ (d * e)
            dz1 = (d * e) @ p["G"].T - beta * d * z1
            ddet = beta * dobjective / det
            dwu = (ddet * (1 - h ** 2)).sum()
            dh = dz1 @ u - 2 * h * wu * ddet
            da = dh * (1 - h ** 2)
            dz0 = dz1 + np.outer(da, w)
            ds = (dz0 * eps).sum(0) * np.exp(p["s"]) + beta * dobjective.sum()
            return dict(M=x.T @ dz0, s=ds, w=z0.T @ da + dwu * u, u=dz1.T @ h + dwu * w, c=np.array([da.sum()]), G=dG)

    return dict(model=PlanarVAE(), x=r.normal(size=(B, D)), eps=r.normal(size=(B, Z)))


@item("survival analysis / deep hazard", "gradients", True)
def weibull_hazard_net(seed=0):
    r = np.random.default_rng(seed)
    B, D, H = 7, 2, 4

    class Net:
        def __init__(self):
            self.params = {"A": _init(r, D, H), "B": _init(r, H, 2), "bias": _init(r, 2, s=.3)}

        def objective(self, x, eps, beta=1.0):
            f, t, ev = x[:, :D], x[:, D], x[:, D + 1]
            pre = f @ self.params["A"]
            h = np.logaddexp(0, pre)
            o = h @ self.params["B"] + self.params["bias"]
            k, lam = np.exp(.3 * np.tanh(o[:, 0])), np.exp(o[:, 1])
            lt = np.log(t) - o[:, 1]
            H_ = np.exp(k * lt)
            ll = ev * (np.log(k) - o[:, 1] + (k - 1) * lt) - H_
            return SimpleNamespace(objective=ll, nll=-ll, kl=np.zeros(len(x))), (f, ev, pre, h, o, k, lt, H_)

        def backward(self, dobjective, cache):
            f, ev, pre, h, o, k, lt, H_ = cache
            dk = ev * (1 / k + lt) - H_ * lt
            dlt = ev * (k - 1) - H_ * k
            do = np.stack([dk * k * .3 / np.cosh(o[:, 0]) ** 2, -ev - dlt], 1) * dobjective[:, None]
            dpre = do @ self.params["B"].T / (1 + np.exp(-pre))
            return {"A": f.T @ dpre, "B": h.T @ do, "bias": do.sum(0)}

    x = np.column_stack([r.normal(size=(B, D)), r.gamma(2, .7, B), r.random(B) < .6])
    return dict(model=Net(), x=x, eps=np.zeros((B, 1)))
