from types import SimpleNamespace as NS
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


def V(name, style, f, b, inputs, right=False, slip="", wrong="", causes="", consts=None):
    def make():
        d = {"forward": f, "backward": b, "inputs": {k: np.array(v, dtype=float) for k, v in inputs(np.random.RandomState(len(name) * 7 + 3)).items()}}
        if consts:
            d["constants"] = consts()
        return d
    ITEMS.append(Item(name, style, "vjp", make, right, slip, tuple(wrong.split()), tuple(causes.split())))


def G(name, style, make, right=False, slip="", wrong="", causes=""):
    ITEMS.append(Item(name, style, "gradients", make, right, slip, tuple(wrong.split()), tuple(causes.split())))


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def softmax(a):
    e = np.exp(a - a.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


# ---------------------------------------------------------------- 1
def two_layer_loss(X, W1, b1, W2, b2, y, reg):
    N = X.shape[0]
    h1 = np.maximum(0, X.dot(W1) + b1)
    scores = h1.dot(W2) + b2
    probs = softmax(scores)
    loss = -np.log(probs[range(N), y]).mean() + 0.5 * reg * (np.sum(W1 * W1) + np.sum(W2 * W2))
    return loss, (X, W1, W2, h1, probs, y, reg)


def two_layer_grad(dout, cache):
    X, W1, W2, h1, probs, y, reg = cache
    N = X.shape[0]
    grads = {}
    dscores = probs.copy()
    dscores[range(N), y] -= 1
    dscores *= dout / N
    grads["W2"] = h1.T.dot(dscores) + dout * reg * W2
    grads["b2"] = dscores.sum(axis=0)
    dh = dscores.dot(W2.T)
    dh[h1 <= 0] = 0
    grads["W1"] = X.T.dot(dh) + dout * 2 * reg * W1
    grads["b1"] = dh.sum(axis=0)
    grads["X"] = dh.dot(W1.T)
    return grads


V("two_layer_net_reg", "class assignment", two_layer_loss, two_layer_grad,
  lambda r: dict(X=r.randn(5, 4), W1=r.randn(4, 6), b1=r.randn(6), W2=r.randn(6, 3), b2=r.randn(3)), slip="W1's penalty has 2*reg*W1 where the loss has 0.5*reg; should be reg*W1.",
  wrong="W1", causes="missing-term factor", consts=lambda: dict(y=np.array([0, 2, 1, 1, 0]), reg=0.3))


# ---------------------------------------------------------------- 2
def mlp_fwd(x, t, w1, b1, w2):
    z = x @ w1 + b1
    a = np.tanh(z)
    out = a @ w2
    return ((out - t) ** 2).mean(), dict(x=x, z=z, a=a, out=out, t=t, w1=w1, w2=w2)


def mlp_bwd(g, c):
    e = g * 2 * (c["out"] - c["t"]) / c["out"].size
    dw2 = c["a"].T @ e
    dz = (e @ c["w2"].T) * (1 - c["z"] ** 2)
    return {"x": dz @ c["w1"].T, "t": -e, "w1": c["x"].T @ dz, "b1": dz.sum(0), "w2": dw2}


V("mlp_tanh_mse", "notebook", mlp_fwd, mlp_bwd, lambda r: dict(x=r.randn(4, 3), t=r.randn(4, 2), w1=r.randn(3, 5), b1=r.randn(5), w2=r.randn(5, 2)),
  slip="tanh' is taken as 1 - z**2 of the pre-activation; should be 1 - a**2.", wrong="x w1 b1", causes="elementwise-factor")


# ---------------------------------------------------------------- 3
def gmm_nll(X, logits, mu, logs):
    lp = logits - np.log(np.exp(logits).sum())
    d = (X[:, None, :] - mu) / np.exp(logs)
    comp = lp + (-0.5 * d ** 2 - logs - 0.5 * np.log(2 * np.pi)).sum(-1)
    m = comp.max(1, keepdims=True)
    ll = m[:, 0] + np.log(np.exp(comp - m).sum(1))
    return -ll.sum(), (np.exp(comp - ll[:, None]), d, logs)


def gmm_nll_grad(dl, cache):
    gamma, d, logs = cache
    s = gamma[..., None] * d / np.exp(logs)
    dX = dl * s.sum(1)
    dlogits = -dl * gamma.sum(0)
    dmu = -dl * s.sum(0)
    dlogs = -dl * (gamma[..., None] * (d ** 2 - 1)).sum(0)
    return dX, dlogits, dmu, dlogs


V("gmm_nll_diag", "statistics script", gmm_nll, gmm_nll_grad, lambda r: dict(X=r.randn(6, 2), logits=r.randn(3), mu=r.randn(3, 2), logs=.3 * r.randn(3, 2)),
  slip="mixture logits are normalised, the gradient lacks + N*softmax(logits).", wrong="logits", causes="missing-term")


# ---------------------------------------------------------------- 4
def mdn_loss(h, W_pi, W_mu, W_s, y):
    pi = softmax(h @ W_pi)
    mu = h @ W_mu
    ls = h @ W_s
    inv = np.exp(-ls)
    u = (y[:, None] - mu) * inv
    dens = pi * np.exp(-0.5 * u * u) * inv / np.sqrt(2 * np.pi)
    tot = dens.sum(1)
    return -np.log(tot).mean(), (h, W_pi, W_mu, W_s, pi, u, inv, dens / tot[:, None])


def mdn_loss_backward(dout, cache):
    h, W_pi, W_mu, W_s, pi, u, inv, post = cache
    k = dout / h.shape[0]
    d_pi = k * (pi - post)
    d_mu = -k * post * u * inv
    d_s = -k * post * u * u
    dh = d_pi @ W_pi.T + d_mu @ W_mu.T + d_s @ W_s.T
    return dict(h=dh, W_pi=h.T @ d_pi, W_mu=h.T @ d_mu, W_s=h.T @ d_s)


V("mixture_density_head", "research code", mdn_loss, mdn_loss_backward, lambda r: dict(h=r.randn(4, 3), W_pi=r.randn(3, 2), W_mu=r.randn(3, 2), W_s=.4 * r.randn(3, 2)),
  slip="log sigma's gradient lacks the normaliser: post*(1 - u**2), not -post*u**2.", wrong="h W_s", causes="missing-term", consts=lambda: dict(y=np.array([.2, -1., 1.4, .5])))


# ---------------------------------------------------------------- 5
def spring_energy(pos, k, rest, edges):
    i, j = edges[:, 0], edges[:, 1]
    d = pos[i] - pos[j]
    L = np.sqrt((d ** 2).sum(1))
    return 0.5 * (k * (L - rest) ** 2).sum(), (pos.shape, k, rest, i, j, d, L)


def spring_energy_vjp(dE, cache):
    shape, k, rest, i, j, d, L = cache
    stretch = L - rest
    f = dE * (k * stretch / L)[:, None] * d
    g = np.zeros(shape)
    np.add.at(g, i, f)
    g[j] -= f
    return {"pos": g, "k": dE * 0.5 * stretch ** 2, "rest": -dE * k * stretch}


V("spring_mesh_energy", "graphics / cloth simulation", spring_energy, spring_energy_vjp, lambda r: dict(pos=r.randn(4, 3), k=1 + r.rand(6), rest=.5 + r.rand(6)),
  slip="g[j] -= f keeps only the last of repeated indices; should be np.subtract.at.", wrong="pos", causes="missing-term batch-sum",
  consts=lambda: dict(edges=np.array([[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]])))


# ---------------------------------------------------------------- 6
def pendulum_rollout(q, p, omega2, n, dt):
    qs = [q]
    for _ in range(n):
        p = p - dt * omega2 * np.sin(q)
        q = q + dt * p
        qs.append(q)
    return np.stack([q, p]), (qs, omega2, dt, n)


def pendulum_adjoint(g, cache):
    qs, omega2, dt, n = cache
    lq, lp = g[0].copy(), g[1].copy()
    dom = 0.0
    for t in reversed(range(n)):
        lp = lp + dt * lq
        dom += -dt * (np.sin(qs[t]) * lp).sum()
        lq = lq - dt * omega2 * np.cos(qs[t + 1]) * lp
    return {"q": lq, "p": lp, "omega2": np.array(dom)}


V("pendulum_symplectic", "physics, adjoint method", pendulum_rollout, pendulum_adjoint, lambda r: dict(q=1.5 * r.randn(4), p=r.randn(4), omega2=2.5),
  slip="cos is taken at qs[t+1]; the force of step t was at qs[t].", wrong="q p omega2", causes="elementwise-factor unknown", consts=lambda: dict(n=4, dt=.4))


# ---------------------------------------------------------------- 7
def render_rays(sigma, rgb, deltas):
    tau = sigma * deltas
    alpha = 1 - np.exp(-tau)
    T = np.exp(-(np.cumsum(tau, 1) - tau))
    w = T * alpha
    return (w[..., None] * rgb).sum(1), (w, T, tau, rgb, deltas)


def render_rays_bwd(dC, ctx):
    w, T, tau, rgb, deltas = ctx
    drgb = w[..., None] * dC[:, None]
    dw = (dC[:, None] * rgb).sum(-1)
    dtau = dw * T * np.exp(-tau)
    return dtau * deltas, drgb


V("nerf_compositing", "graphics, NeRF port", render_rays, render_rays_bwd, lambda r: dict(sigma=r.rand(3, 4) + .3, rgb=r.rand(3, 4, 3)),
  slip="a sample's density also dims those behind it: the transmittance path, minus the sum of dw*w over later samples, is missing.", wrong="sigma", causes="missing-term",
  consts=lambda: dict(deltas=np.array([.5, .4, .7, .6])))


# ---------------------------------------------------------------- 8
class LambertShader:
    def forward(self, normal, light, albedo):
        self.len = np.linalg.norm(normal, axis=1, keepdims=True)
        self.n = normal / self.len
        self.light, self.albedo = light, albedo
        self.cos = self.n @ light
        self.lit = np.clip(self.cos, 0, None)
        return self.lit[:, None] * albedo, self

    def backward(self, dcolor, ctx):
        dalbedo = dcolor * ctx.lit[:, None]
        dcos = (dcolor * ctx.albedo).sum(1) * (ctx.cos > 0)
        dn = dcos[:, None] * ctx.light
        return dict(normal=dn / ctx.len, light=ctx.n.T @ dcos, albedo=dalbedo)


V("lambert_shading", "graphics, layer class", lambda **k: LambertShader().forward(**k), lambda d, c: c.backward(d, c),
  lambda r: dict(normal=r.randn(5, 3) + [0, 0, 2], light=[.3, .5, .8], albedo=r.rand(5, 3)), slip="backward of the normalisation lacks the projection: (dn - n (n.dn)) / len.", wrong="normal", causes="missing-term")


# ---------------------------------------------------------------- 9
def ppo_surrogate(logp, adv, old_logp, clip):
    ratio = np.exp(logp - old_logp)
    s1 = ratio * adv
    s2 = np.clip(ratio, 1 - clip, 1 + clip) * adv
    return -np.minimum(s1, s2).mean(), (ratio, adv, clip)


def ppo_surrogate_grad(dl, cache):
    ratio, adv, clip = cache
    n = len(ratio)
    rc = np.clip(ratio, 1 - clip, 1 + clip)
    return {"logp": -dl * ratio * adv / n, "adv": -dl * np.where(ratio * adv <= rc * adv, ratio, rc) / n}


V("ppo_clip_loss", "reinforcement-learning baseline", ppo_surrogate, ppo_surrogate_grad, lambda r: dict(logp=[-.2, -1.5, -.9, -1., -.4, -2.], adv=[1., -1., .5, -.7, 2., 1.5]),
  slip="clipped samples must pass no gradient to logp; the mask is missing.", wrong="logp", causes="elementwise-factor", consts=lambda: dict(old_logp=np.array([-1., -1., -1., -1.1, -.5, -1.]), clip=.2))


# ---------------------------------------------------------------- 10
def pg_loss(obs, W, b, actions, returns, ent_coef):
    p = softmax(obs @ W + b)
    lp = np.log(p)
    H = -(p * lp).sum(1)
    n = len(obs)
    return (-(lp[np.arange(n), actions] * returns) - ent_coef * H).mean(), (obs, W, p, lp, H, actions, returns, ent_coef)


def pg_loss_back(dl, cache):
    obs, W, p, lp, H, actions, returns, ent_coef = cache
    n = len(obs)
    onehot = np.eye(p.shape[1])[actions]
    dpg = (p - onehot) * returns[:, None]
    dH = -p * (lp + H[:, None])
    dlogits = dl * (dpg + ent_coef * dH) / n
    return [dlogits @ W.T, obs.T @ dlogits, dlogits.sum(0)]


V("reinforce_entropy_bonus", "reinforcement-learning, spinning-up manner", pg_loss, lambda d, c: tuple(pg_loss_back(d, c)), lambda r: dict(obs=r.randn(5, 3), W=r.randn(3, 4), b=r.randn(4)),
  slip="the entropy bonus is subtracted in the loss, its gradient is added: dpg - ent_coef*dH.", wrong="obs W b", causes="missing-term sign",
  consts=lambda: dict(actions=np.array([0, 3, 1, 2, 2]), returns=np.array([1., -.5, 2., .3, -1.]), ent_coef=.5))


# ---------------------------------------------------------------- 11
def discount_cumsum(rew, gamma):
    out = np.zeros_like(rew)
    run = np.zeros(rew.shape[0])
    for t in range(rew.shape[1] - 1, -1, -1):
        run = rew[:, t] + gamma * run
        out[:, t] = run
    return out, gamma


def discount_cumsum_vjp(dout, gamma):
    dr = np.zeros_like(dout)
    run = np.zeros(dout.shape[0])
    for t in reversed(range(dout.shape[1])):
        run = dout[:, t] + gamma * run
        dr[:, t] = run
    return dr


V("discounted_returns", "reinforcement-learning utilities", discount_cumsum, discount_cumsum_vjp, lambda r: dict(rew=r.randn(3, 5)),
  slip="the adjoint must run forward in time (from t = 0); it runs backward like the forward.", wrong="rew", causes="transpose unknown", consts=lambda: dict(gamma=.9))


# ---------------------------------------------------------------- 12
def sgns(Vin, Uout, center, context, neg):
    v = Vin[center]
    pos = sigmoid((v * Uout[context]).sum(1))
    ng = sigmoid(np.einsum("bd,bkd->bk", v, Uout[neg]))
    return -(np.log(pos).sum() + np.log(1 - ng).sum()), (Vin, Uout, center, context, neg, v, pos, ng)


def sgns_grad(dl, cache):
    Vin, Uout, center, context, neg, v, pos, ng = cache
    gp = dl * (pos - 1)[:, None]
    gn = dl * ng[..., None]
    dv = gp * Uout[context] + (gn * Uout[neg]).sum(1)
    dVin = np.zeros_like(Vin)
    dUout = np.zeros_like(Uout)
    dVin[center] += dv
    np.add.at(dUout, context, gp * v)
    np.add.at(dUout, neg, gn * v[:, None])
    return dict(Vin=dVin, Uout=dUout)


V("skipgram_negative_sampling", "NLP, word2vec", sgns, sgns_grad, lambda r: dict(Vin=r.randn(5, 3), Uout=r.randn(6, 3)),
  slip="dVin[center] += dv loses repeated centre words; np.add.at.", wrong="Vin", causes="missing-term batch-sum",
  consts=lambda: dict(center=np.array([1, 1, 3, 1]), context=np.array([0, 2, 2, 4]), neg=np.array([[5, 3], [1, 1], [0, 5], [2, 3]])))


# ---------------------------------------------------------------- 13
def cbow(E, O, ctx, target):
    h = E[ctx].mean(1)
    s = h @ O
    p = softmax(s)
    return -np.log(p[np.arange(len(h)), target]), (E, O, ctx, target, h, p)


def cbow_backward(dloss, cache):
    E, O, ctx, target, h, p = cache
    ds = p - np.eye(p.shape[1])[target]
    ds = ds * dloss[:, None]
    dO = h.T @ ds
    dh = ds @ O.T
    dE = np.zeros(E.shape)
    for b in range(ctx.shape[0]):
        for w in ctx[b]:
            dE[w] += dh[b]
    return {"E": dE, "O": dO}


V("cbow_mean_context", "NLP, course homework", cbow, cbow_backward, lambda r: dict(E=r.randn(6, 3), O=r.randn(3, 6)), slip="context vectors are averaged: dE must be divided by the window size 4.", wrong="E", causes="factor",
  consts=lambda: dict(ctx=np.array([[0, 1, 3, 4], [1, 2, 4, 5], [2, 2, 0, 1]]), target=np.array([2, 3, 5])))


# ---------------------------------------------------------------- 14
def nt_xent(z, tau):
    n = len(z)
    nrm = np.sqrt((z ** 2).sum(1, keepdims=True))
    u = z / nrm
    S = u @ u.T / tau
    S[np.diag_indices(n)] = -1e9
    P = softmax(S)
    pos = (np.arange(n) + n // 2) % n
    return -np.log(P[np.arange(n), pos]).mean(), (u, nrm, P, pos, tau)


def nt_xent_bwd(g, c):
    u, nrm, P, pos, tau = c
    n = len(u)
    dS = P.copy()
    dS[np.arange(n), pos] -= 1
    dS *= g / (n * tau)
    du = dS @ u
    return (du - u * (du * u).sum(1, keepdims=True)) / nrm


V("simclr_nt_xent", "contrastive research code", nt_xent, nt_xent_bwd, lambda r: dict(z=r.randn(6, 4)), slip="u stands on both sides of u u^T: du = (dS + dS.T) @ u.", wrong="z", causes="missing-term", consts=lambda: dict(tau=.5))


# ---------------------------------------------------------------- 15
class TripletLoss:
    def __init__(self, margin=1.0):
        self.margin = margin

    def __call__(self, anchor, positive, negative):
        dp, dn = anchor - positive, anchor - negative
        l = np.maximum((dp ** 2).sum(1) - (dn ** 2).sum(1) + self.margin, 0)
        return l, (dp, dn, l > 0)

    def backward(self, dl, saved):
        dp, dn, active = saved
        w = 2 * (dl * active)[:, None]
        return w * (dp - dn), w * dp, w * dn


V("triplet_margin", "port of a framework", TripletLoss(), TripletLoss().backward, lambda r: dict(anchor=r.randn(5, 3), positive=r.randn(5, 3), negative=r.randn(5, 3)),
  slip="d/dpositive of |a-p|^2 is -2(a-p); the sign is missing.", wrong="positive", causes="sign")


# ---------------------------------------------------------------- 16
def coupling_logp(x, Ws, bs, Wt):
    xa, xb = x[:, :2], x[:, 2:]
    s = np.tanh(xa @ Ws + bs)
    t = xa @ Wt
    yb = xb * np.exp(s) + t
    logp = -0.5 * (xa ** 2).sum(1) - 0.5 * (yb ** 2).sum(1) + s.sum(1)
    return logp, (xa, xb, s, yb, Ws, Wt)


def coupling_logp_backward(dlogp, cache):
    xa, xb, s, yb, Ws, Wt = cache
    g = dlogp[:, None]
    dyb = -g * yb
    dxb = dyb * np.exp(s)
    ds = dyb * xb * np.exp(s)
    da = ds * (1 - s ** 2)
    dxa = -g * xa + da @ Ws.T + dyb @ Wt.T
    return {"x": np.concatenate([dxa, dxb], 1), "Ws": xa.T @ da, "bs": da.sum(0), "Wt": xa.T @ dyb}


V("realnvp_coupling_logp", "flows, research code", coupling_logp, coupling_logp_backward, lambda r: dict(x=r.randn(4, 4), Ws=.6 * r.randn(2, 2), bs=r.randn(2) * .3, Wt=r.randn(2, 2)),
  slip="the log-determinant s.sum(1) also reaches s: ds lacks + dlogp.", wrong="x Ws bs", causes="missing-term")


# ---------------------------------------------------------------- 17
def planar_logdet(z, w, u, b):
    a = np.tanh(z @ w + b)
    wu = w @ u
    det = 1 + (1 - a ** 2) * wu
    return np.log(np.abs(det)), (z, w, u, a, wu, det)


def planar_logdet_bwd(g, cache):
    z, w, u, a, wu, det = cache
    gd = g / det
    dwu = (gd * (1 - a ** 2)).sum()
    dpre = gd * wu * (-2 * a)
    return {"z": np.outer(dpre, w), "w": z.T @ dpre + dwu * u, "u": dwu * w, "b": dpre.sum()}


V("planar_flow_logdet", "flows, notebook", planar_logdet, planar_logdet_bwd, lambda r: dict(z=r.randn(5, 3), w=r.randn(3), u=r.randn(3) * .5, b=.3),
  slip="d(1-a^2)/dpre is -2a(1-a^2); the tanh slope is missing.", wrong="z w b", causes="elementwise-factor")


# ---------------------------------------------------------------- 18
def gru_step(x, h, Wz, Wr, Wh):
    xh = np.hstack([x, h])
    z, r = sigmoid(xh @ Wz), sigmoid(xh @ Wr)
    xr = np.hstack([x, r * h])
    n = np.tanh(xr @ Wh)
    return (1 - z) * h + z * n, (x, h, Wz, Wr, Wh, xh, z, r, xr, n)


def gru_step_backward(dy, cache):
    x, h, Wz, Wr, Wh, xh, z, r, xr, n = cache
    D = x.shape[1]
    dn = dy * z * (1 - n * n)
    dz = dy * (n - h) * z * (1 - z)
    dxr = dn @ Wh.T
    dr = dxr[:, D:] * h * r * (1 - r)
    dxh = dz @ Wz.T + dr @ Wr.T
    dh = dy * (1 - z) + dxr[:, D:] + dxh[:, D:]
    return dxr[:, :D] + dxh[:, :D], dh, xh.T @ dz, xh.T @ dr, xr.T @ dn


V("gru_cell_concat", "recurrent cell from scratch", gru_step, gru_step_backward, lambda r: dict(x=r.randn(4, 2), h=r.randn(4, 3), Wz=r.randn(5, 3), Wr=r.randn(5, 3), Wh=r.randn(5, 3)),
  slip="the candidate saw r*h: its share of dh must be dxr*r.", wrong="h", causes="elementwise-factor missing-term")


# ---------------------------------------------------------------- 19
def lstm_seq(X, W, b):
    N, T, D = X.shape
    H = b.size // 4
    h = np.zeros((N, H)); c = np.zeros((N, H)); steps = []
    for t in range(T):
        inp = np.concatenate([X[:, t], h], 1)
        A = inp @ W + b
        i, f, o = (sigmoid(A[:, k * H:(k + 1) * H]) for k in range(3))
        g = np.tanh(A[:, 3 * H:])
        cp, c = c, f * c + i * g
        tc = np.tanh(c)
        h = o * tc
        steps.append((inp, i, f, o, g, cp, tc))
    return h, (steps, W, X.shape)


def lstm_seq_backward(dh, cache):
    steps, W, shp = cache
    dX = np.zeros(shp); dW = np.zeros_like(W); db = np.zeros(W.shape[1]); dc = 0
    D = shp[2]
    for t in reversed(range(shp[1])):
        inp, i, f, o, g, cp, tc = steps[t]
        dc = dc + dh * o * (1 - tc ** 2)
        dA = np.hstack([dc * g * i * (1 - i), dc * cp * f * (1 - f), dh * tc * o * (1 - o), dc * i * (1 - g ** 2)])
        dW += inp.T @ dA
        db += dA.sum(0)
        dinp = dA @ W.T
        dX[:, t], dh = dinp[:, :D], dinp[:, D:]
    return {"X": dX, "W": dW, "b": db}


V("lstm_last_state", "class assignment, recurrent", lstm_seq, lstm_seq_backward, lambda r: dict(X=r.randn(3, 4, 2), W=r.randn(4, 8), b=r.randn(8)),
  slip="the cell gradient handed to the step before must be dc*f.", wrong="X W b", causes="elementwise-factor unknown")


# ---------------------------------------------------------------- 20
def rnn_lm(x, h0, Wx, Wh, b):
    hs = [h0]
    for t in range(x.shape[0]):
        hs.append(np.tanh(x[t] @ Wx + hs[-1] @ Wh + b))
    return np.array(hs[1:]), (x, hs, Wx, Wh)


def rnn_lm_bptt(dhs, cache):
    x, hs, Wx, Wh = cache
    dx, dWx, dWh, db = np.zeros_like(x), 0 * Wx, 0 * Wh, np.zeros(Wx.shape[1])
    dhnext = np.zeros_like(hs[0])
    for t in range(len(x))[::-1]:
        da = (dhs[t] + dhnext) * (1 - hs[t + 1] ** 2)
        db += da.sum(0)
        dWx += x[t].T @ da
        dWh += hs[t].T @ da
        dx[t] = da @ Wx.T
        dhnext = da @ Wh
    return dx, dhnext, dWx, dWh, db


V("vanilla_rnn_bptt", "char-rnn gist", rnn_lm, rnn_lm_bptt, lambda r: dict(x=r.randn(3, 3, 2), h0=r.randn(3, 3), Wx=r.randn(2, 3), Wh=r.randn(3, 3), b=r.randn(3)),
  slip="dhnext = da @ Wh.T; the transpose is forgotten.", wrong="x h0 Wx Wh b", causes="transpose unknown")


# ---------------------------------------------------------------- 21
def crf_nll(emit, trans, tags):
    T, K = emit.shape
    la = [emit[0]]
    for t in range(1, T):
        m = la[-1][:, None] + trans
        la.append(emit[t] + np.log(np.exp(m).sum(0)))
    logZ = np.log(np.exp(la[-1]).sum())
    score = emit[np.arange(T), tags].sum() + trans[tags[:-1], tags[1:]].sum()
    return logZ - score, (emit, trans, tags, la, logZ)


def crf_nll_backward(dl, cache):
    emit, trans, tags, la, logZ = cache
    T, K = emit.shape
    lb = [None] * T
    lb[-1] = np.zeros(K)
    for t in range(T - 2, -1, -1):
        lb[t] = np.log(np.exp(trans + emit[t + 1] + lb[t + 1]).sum(1))
    de = np.exp(np.array(la) + np.array(lb) - logZ)
    de[np.arange(T), tags] -= 1
    dt = np.zeros_like(trans)
    for t in range(1, T):
        dt += np.exp(la[t - 1][:, None] + trans + (emit[t] + lb[t])[None] - logZ)
    for t in range(2, T):
        dt[tags[t - 1], tags[t]] -= 1
    return {"emit": dl * de, "trans": dl * dt}


V("crf_sequence_nll", "NLP tagger", crf_nll, crf_nll_backward, lambda r: dict(emit=r.randn(5, 3), trans=r.randn(3, 3)), slip="the observed transition of t = 1 is not subtracted: the loop must begin at 1.", wrong="trans",
  causes="missing-term batch-sum", consts=lambda: dict(tags=np.array([0, 2, 1, 1, 2])))


# ================================================================ right ones
def kalman_ll(y, a, logq, logr):
    q, r = np.exp(logq), np.exp(logr)
    m, P, ll, tr = 0.0, 1.0, 0.0, []
    for yt in y:
        mp, Pp = a * m, a * a * P + q
        S = Pp + r
        v = yt - mp
        ll += -0.5 * (np.log(2 * np.pi * S) + v * v / S)
        K = Pp / S
        tr.append((m, P, Pp, S, v, K))
        m, P = mp + K * v, (1 - K) * Pp
    return ll, (tr, a, q, r)


def kalman_ll_rev(g, c):
    tr, a, q, r = c
    dy = np.zeros(len(tr)); da = dq = dr = dm = dP = 0.0
    for t in reversed(range(len(tr))):
        m, P, Pp, S, v, K = tr[t]
        dK = dm * v - dP * Pp
        dv = dm * K - g * v / S
        dS = -0.5 * g * (1 / S - v * v / S ** 2) - dK * Pp / S ** 2
        dPp = dP * (1 - K) + dK / S + dS
        dr += dS
        dy[t] = dv
        dmp = dm - dv
        da += dmp * m + dPp * 2 * a * P
        dq += dPp
        dm, dP = dmp * a, dPp * a * a
    return {"y": dy, "a": np.asarray(da), "logq": np.asarray(dq * q), "logr": np.asarray(dr * r)}


V("kalman_local_level", "statistics, scalar state space", kalman_ll, kalman_ll_rev, lambda r: dict(y=r.randn(6), a=.8, logq=-.5, logr=.2), True)


def cox_pl(X, beta, time, event):
    o = np.argsort(-time)
    eta = (X @ beta)[o]
    risk = np.cumsum(np.exp(eta))
    ev = event[o]
    return np.sum(ev * (eta - np.log(risk))), (X, beta, o, eta, risk, ev)


def cox_pl_grad(g, c):
    X, beta, o, eta, risk, ev = c
    w = np.cumsum((ev / risk)[::-1])[::-1]
    de = np.empty(len(eta))
    de[o] = g * (ev - np.exp(eta) * w)
    return np.outer(de, beta), de @ X


V("cox_partial_likelihood", "survival statistics", cox_pl, cox_pl_grad, lambda r: dict(X=r.randn(6, 3), beta=r.randn(3)), True, consts=lambda: dict(time=np.array([5, 2, 9, 1, 7, 4]), event=np.array([1, 0, 1, 1, 1, 0])))


def struct_svm(scores, margin, y):
    n = np.arange(len(y))
    viol = np.maximum(scores - scores[n, y][:, None] + margin, 0)
    viol[n, y] = 0
    return viol.sum(1).mean(), (viol, y)


def struct_svm_back(g, c):
    viol, y = c
    B = (viol > 0).astype(float)
    tot = B.sum()
    B[np.arange(len(y)), y] = -B.sum(1)
    B *= g / len(y)
    return {"margin": np.array(tot * g / len(y)), "scores": B}


V("multiclass_hinge_margin", "class assignment, vectorised", struct_svm, struct_svm_back, lambda r: dict(scores=3 * r.randn(5, 4), margin=1.), True, consts=lambda: dict(y=np.array([3, 0, 0, 2, 1])))


def a2c(logits, values, act, ret, mask):
    p = softmax(logits)
    adv = ret - values
    n = mask.sum()
    l = -np.log(p[np.arange(len(act)), act]) + 0.5 * adv ** 2
    return (l * mask).sum() / n, (p, adv, act, mask / n)


def a2c_back(g, c):
    p, adv, act, w = c
    d = p * (g * w)[:, None]
    np.subtract.at(d, (np.arange(len(act)), act), g * w)
    return d, -(g * w) * adv


V("actor_critic_masked", "reinforcement-learning, functional", a2c, a2c_back, lambda r: dict(logits=r.randn(6, 3), values=r.randn(6)), True,
  consts=lambda: dict(act=np.array([0, 1, 2, 2, 1, 0]), ret=np.array([1., 2, 3, 0, -1, 2]), mask=np.array([1, 1, 0, 1, 1, 0])))


def clip_loss(img, txt, t):
    s = np.exp(t)
    M = img @ txt.T
    L = s * M
    r_, c_ = softmax(L), softmax(L.T).T
    n = len(M)
    return -0.5 * (np.log(np.diag(r_)).mean() + np.log(np.diag(c_)).mean()), (img, txt, s, M, r_, c_)


def clip_loss_back(g, c):
    img, txt, s, M, r_, c_ = c
    n = len(M)
    dL = g * (0.5 * (r_ + c_) - np.eye(n)) / n
    return {"img": s * dL @ txt, "txt": s * dL.T @ img, "t": np.sum(dL * M) * s}


V("clip_symmetric_temperature", "contrastive, dict of gradients", clip_loss, clip_loss_back, lambda r: dict(img=r.randn(4, 3), txt=r.randn(4, 3), t=.2), True)


def actnorm(x, logs, b):
    y = (x + b) * np.exp(logs)
    return -0.5 * (y ** 2).sum((1, 2)) + x.shape[1] * logs.sum(), (y, logs, x.shape)


def actnorm_back(g, c):
    y, logs, (N, L, C) = c
    dx = -g[:, None, None] * y * np.exp(logs)
    dlogs = L * g.sum() - np.einsum("n,nlc,nlc->c", g, y, y)
    return dx, dlogs, dx.sum((0, 1))


V("glow_actnorm_logp", "flows, port of Glow", actnorm, actnorm_back, lambda r: dict(x=r.randn(3, 4, 2), logs=.3 * r.randn(2), b=r.randn(2)), True)


def gravity(pos, mass, eps2):
    d = pos[None] - pos[:, None]
    r2 = (d ** 2).sum(-1) + eps2
    acc = np.einsum("j,ijk,ij->ik", mass, d, r2 ** -1.5)
    return acc, (d, r2, mass)


def gravity_vjp(g, c):
    d, r2, m = c
    gd = np.einsum("ik,ijk->ij", g, d)
    G_ = m[None, :, None] * (g[:, None] * (r2 ** -1.5)[..., None] - 3 * (gd * r2 ** -2.5)[..., None] * d)
    return dict(mass=(gd * r2 ** -1.5).sum(0), pos=G_.sum(0) - G_.sum(1))


V("nbody_accelerations", "physics, vectorised", gravity, gravity_vjp, lambda r: dict(pos=r.randn(5, 3), mass=1 + r.rand(5)), True, consts=lambda: dict(eps2=.1))


def quat_rotate(q, v):
    n = np.linalg.norm(q)
    w, u = q[0] / n, q[1:] / n
    t = 2 * np.cross(u, v)
    return v + w * t + np.cross(u, t), (q / n, n, v, t)


def quat_rotate_back(g, c):
    qh, n, v, t = c
    w, u = qh[0], qh[1:]
    dt = w * g + np.cross(g, u)
    du = np.cross(t, g).sum(0) + 2 * np.cross(v, dt).sum(0)
    dq = np.r_[(g * t).sum(), du]
    return {"q": (dq - qh * (qh @ dq)) / n, "v": g + 2 * np.cross(dt, u)}


V("quaternion_rotate_points", "graphics, geometry library", quat_rotate, quat_rotate_back, lambda r: dict(q=r.randn(4), v=r.randn(5, 3)), True)


def bag_classifier(emb, W, tok):
    m = (tok != 0)[..., None]
    cnt = np.maximum(m.sum(1), 1)
    h = (emb[tok] * m).sum(1) / cnt
    return np.tanh(h) @ W, (emb.shape, W, tok, m, cnt, h)


def bag_classifier_back(g, c):
    shape, W, tok, m, cnt, h = c
    dh = g @ W.T
    dh /= np.cosh(h) ** 2
    out = np.zeros(shape)
    np.add.at(out, tok.ravel(), (m * (dh / cnt)[:, None]).reshape(-1, shape[1]))
    return out, np.tanh(h).T @ g


V("padded_bag_of_words", "NLP, pad index is constant", bag_classifier, bag_classifier_back, lambda r: dict(emb=r.randn(6, 3), W=r.randn(3, 2)), True, consts=lambda: dict(tok=np.array([[1, 2, 2, 0], [4, 0, 0, 0], [0, 0, 0, 0]])))


def holt(y, la, lb):
    a, b = sigmoid(la), sigmoid(lb)
    l, tr, sse, hist = y[0], y[1] - y[0], 0., []
    for t in range(1, len(y)):
        e = y[t] - l - tr
        hist.append(e)
        sse += e * e
        l, tr = l + tr + a * e, tr + a * b * e
    return sse, (hist, a, b)


def holt_back(g, c):
    hist, a, b = c
    gy = np.zeros(len(hist) + 1); gl = gt = ga = gb = 0.
    for t in range(len(hist), 0, -1):
        e = hist[t - 1]
        ge = 2 * g * e + a * gl + a * b * gt
        ga += e * (gl + b * gt)
        gb += a * e * gt
        gy[t] += ge
        gl, gt = gl - ge, gl + gt - ge
    gy[0] += gl - gt
    gy[1] += gt
    return gy, np.array(ga * a * (1 - a)), np.array(gb * b * (1 - b))


V("holt_smoothing_sse", "time-series statistics", holt, holt_back, lambda r: dict(y=r.randn(7), la=.1, lb=-.4), True)


def heat(u, kappa, steps):
    us = []
    for _ in range(steps):
        us.append(u)
        u = u + kappa * (np.roll(u, 1, -1) - 2 * u + np.roll(u, -1, -1))
    return u, (us, kappa)


def heat_adj(lam, c):
    us, k = c
    lap = lambda v: np.roll(v, 1, -1) - 2 * v + np.roll(v, -1, -1)
    dk = np.zeros_like(k)
    todo = list(us)
    while todo:
        dk += (lam * lap(todo.pop())).sum(0)
        lam = lam + lap(k * lam)
    return {"u": lam, "kappa": dk}


V("heat_equation_adjoint", "physics, adjoint", heat, heat_adj, lambda r: dict(u=r.randn(3, 6), kappa=.1 + .2 * r.rand(6)), True, consts=lambda: dict(steps=4))


def shared_net(x, W, delta, t):
    h1 = np.maximum(x @ W, .1 * x @ W)
    e = h1 @ W - t
    big = abs(e) > delta
    return np.where(big, delta * (abs(e) - .5 * delta), .5 * e * e).sum(), [x, W, h1, e, big, delta]


def shared_net_back(g, c):
    x, W, h1, e, big, delta = c
    de = g * np.clip(e, -delta, delta)
    da = (de @ W.T) * np.where(h1 > 0, 1, .1)
    return da @ W.T, x.T @ da + h1.T @ de, g * ((abs(e) - delta) * big).sum()


V("shared_weight_huber", "notebook, one matrix twice", shared_net, shared_net_back, lambda r: dict(x=r.randn(4, 3), W=r.randn(3, 3), delta=.8), True, consts=lambda: dict(t=np.arange(12).reshape(4, 3) % 3))


def logmix(x, loc):
    a = -np.abs(x[:, None] - loc)
    m = a.max(1, keepdims=True)
    e = np.exp(a - m)
    return (m + np.log(e.sum(1, keepdims=True)))[:, 0], (e / e.sum(1, keepdims=True), np.sign(x[:, None] - loc))


def logmix_back(g, c):
    r_, s = c
    w = g[:, None] * r_ * s
    return -w.sum(1), w.sum(0)


V("laplace_mixture_far", "statistics, huge values", logmix, logmix_back, lambda r: dict(x=np.array([-900., -1., .3, 2., 1200.]), loc=np.array([-.5, 1., 3.7])), True)


# ================================================================ models
class Base:
    def __init__(self, **p):
        self.params = {k: np.array(v, float) for k, v in p.items()}


def bce(l, x):
    return np.logaddexp(0, l) - x * l


class TinyVAE(Base):
    def encode(self, x):
        P = self.params
        h = np.tanh(x @ P["W1"] + P["b1"])
        return h @ P["Wm"] + P["bm"], h @ P["Wv"] + P["bv"], (x, h)

    def objective(self, x, eps, beta=1.0):
        P = self.params
        mu, lv, (x, h) = self.encode(x)
        z = mu + np.exp(.5 * lv) * eps
        l = z @ P["Wd"] + P["bd"]
        nll = bce(l, x).sum(1)
        kl = .5 * (np.exp(lv) + mu ** 2 - 1 - lv).sum(1)
        return NS(objective=-nll - beta * kl, nll=nll, kl=kl), (x, h, mu, lv, eps, z, l, beta)

    def backward(self, dobj, cache):
        x, h, mu, lv, eps, z, l, beta = cache
        P, g = self.params, {}
        w = -dobj[:, None]
        dl = w * (sigmoid(l) - x)
        g["Wd"], g["bd"] = z.T @ dl, dl.sum(0)
        dz = dl @ P["Wd"].T
        dmu = dz + w * beta * mu
        dlv = dz * eps * np.exp(.5 * lv) + w * beta * .5 * (np.exp(lv) - 1)
        g["Wm"], g["bm"], g["Wv"], g["bv"] = h.T @ dmu, dmu.sum(0), h.T @ dlv, dlv.sum(0)
        da = (dmu @ P["Wm"].T + dlv @ P["Wv"].T) * (1 - h ** 2)
        g["W1"], g["b1"] = x.T @ da, da.sum(0)
        return g


def mk_vae():
    r = np.random.RandomState(0)
    return dict(model=TinyVAE(W1=r.randn(5, 4), b1=r.randn(4), Wm=r.randn(4, 2), bm=r.randn(2), Wv=.5 * r.randn(4, 2), bv=r.randn(2) * .3, Wd=r.randn(2, 5), bd=r.randn(5)),
                x=(r.rand(4, 5) > .5).astype(float), eps=r.randn(4, 2))


G("vae_model_logvar", "VAE class with param dict", mk_vae, slip="d exp(logvar/2) is half exp(logvar/2): the 0.5 is missing on the path of z.", wrong="Wv bv W1 b1", causes="factor missing-term elementwise-factor")


class TiedAE(Base):
    def objective(self, x, eps=None, beta=1.0):
        W, b, c = (self.params[k] for k in ("W", "b", "c"))
        h = sigmoid(x @ W + b)
        r = h @ W.T + c
        return NS(objective=-.5 * ((r - x) ** 2).sum(1)), (x, h, r)

    def backward(self, dobjective, cache):
        x, h, r = cache
        W = self.params["W"]
        dr = -dobjective[:, None] * (r - x)
        da = dr @ W * h * (1 - h)
        return {"W": x.T @ da, "b": da.sum(0), "c": dr.sum(0)}


def mk_tied():
    r = np.random.RandomState(1)
    return dict(model=TiedAE(W=r.randn(4, 3), b=r.randn(3), c=r.randn(4)), x=r.randn(5, 4))


G("tied_autoencoder", "deep-learning tutorial class", mk_tied, slip="the decoder uses W too: dW lacks dr.T @ h.", wrong="W", causes="missing-term")


class MixModel(Base):
    def objective(self, x, eps=None, beta=1.0):
        P = self.params
        s = np.exp(P["log_scale"])
        d = x[:, None] - P["mean"]
        c = np.log(softmax(P["logit"])) + (-.5 * (d / s) ** 2 - np.log(s) - .9189385332046727).sum(2)
        ll = np.log(np.exp(c).sum(1))
        return NS(objective=ll, nll=-ll), dict(d=d, s=s, r=np.exp(c - ll[:, None]))

    def backward(self, do, c):
        r = c["r"] * do[:, None]
        return dict(logit=r.sum(0) - do.sum() * softmax(self.params["logit"]),
                    mean=np.einsum("nk,nkd->kd", r, c["d"] / c["s"]),
                    log_scale=np.einsum("nk,nkd->kd", r, (c["d"] / c["s"]) ** 2 - 1))


def mk_mix():
    r = np.random.RandomState(2)
    return dict(model=MixModel(logit=r.randn(3), mean=r.randn(3, 2), log_scale=.4 * r.randn(3, 2)), x=r.randn(6, 2))


G("gaussian_mixture_model", "sklearn-like estimator", mk_mix, slip="mean's gradient divides by s once; it must be d / s**2.", wrong="mean", causes="elementwise-factor")


class ResRegressor(Base):
    def objective(self, x, eps=None, beta=1.0):
        P = self.params
        h0 = x[:, :3] @ P["embed"]
        a = np.tanh(h0 @ P["fc1"])
        h1 = h0 + a @ P["fc2"]
        out = h1 @ P["head"]
        return NS(objective=-(out - x[:, 3]) ** 2), (x, h0, a, h1, out)

    def backward(self, do, cache):
        x, h0, a, h1, out = cache
        P = self.params
        dout = -2 * do * (out - x[:, 3])
        dh1 = np.outer(dout, P["head"])
        da = dh1 @ P["fc2"].T * (1 - a * a)
        dh0 = da @ P["fc1"].T
        dh0 += dh1
        return {"head": h1.T @ dout, "fc2": a.T @ dh1, "fc1": h0.T @ da, "embed": x[:, :3].T @ dh0}


def mk_res():
    r = np.random.RandomState(3)
    return dict(model=ResRegressor(embed=r.randn(3, 4), fc1=r.randn(4, 3), fc2=r.randn(3, 4), head=r.randn(4)), x=r.randn(5, 4))


G("residual_regressor", "framework-like residual block", mk_res, True)


class PoissonGLM(Base):
    def objective(self, x, eps=None, beta=1.0):
        f, y = x[:, :-1], x[:, -1]
        eta = f @ self.params["coef"] + self.params["intercept"]
        return NS(objective=y * eta - np.exp(eta)), (f, y, eta)

    def backward(self, do, cache):
        f, y, eta = cache
        score = do * (y - np.exp(eta))
        return {"coef": f.T @ score, "intercept": np.array(score.mean())}


def mk_pois():
    r = np.random.RandomState(4)
    return dict(model=PoissonGLM(coef=.4 * r.randn(3), intercept=.2), x=np.c_[r.randn(5, 3), [0, 2, 1, 4, 1]])


G("poisson_glm", "econometrics class", mk_pois, slip="the intercept's score is averaged; coef's is summed. score.sum().", wrong="intercept", causes="factor batch-sum")


class FactorModel(Base):
    def objective(self, x, eps=None, beta=1.0):
        L, s = self.params["L"], np.exp(self.params["lpsi"])
        C = L @ L.T + np.diag(s)
        Ci = np.linalg.inv(C)
        d = x - self.params["m"]
        nll = .5 * (np.einsum("ni,ij,nj->n", d, Ci, d) + np.linalg.slogdet(2 * np.pi * C)[1])
        return NS(objective=-nll, nll=nll), (d @ Ci, Ci, s)

    def backward(self, do, cache):
        u, Ci, s = cache
        dC = .5 * ((u * do[:, None]).T @ u - do.sum() * Ci)
        return dict(L=2 * dC @ self.params["L"], lpsi=np.diag(dC) * s, m=do @ u)


def mk_fa():
    r = np.random.RandomState(5)
    return dict(model=FactorModel(L=r.randn(4, 2), lpsi=.3 * r.randn(4), m=r.randn(4)), x=r.randn(5, 4))


G("factor_analysis", "multivariate statistics", mk_fa, True)


class Nade(Base):
    def objective(self, x, eps=None, beta=1.0):
        P = self.params
        a = np.tile(P["c"], (len(x), 1)); hs, ls = [], []
        for i in range(x.shape[1]):
            h = sigmoid(a)
            hs.append(h); ls.append(h @ P["V"][i] + P["b"][i])
            a = a + np.outer(x[:, i], P["W"][i])
        l = np.stack(ls, 1)
        nll = bce(l, x).sum(1)
        return NS(objective=-nll, nll=nll), (x, hs, l)

    def backward(self, do, cache):
        x, hs, l = cache
        g = {k: np.zeros_like(v) for k, v in self.params.items()}
        dl = do[:, None] * (x - sigmoid(l))
        da = np.zeros_like(hs[0])
        for i in reversed(range(x.shape[1])):
            g["W"][i] = x[:, i] @ da
            g["V"][i] = dl[:, i] @ hs[i]
            da += np.outer(dl[:, i], self.params["V"][i]) * hs[i] * (1 - hs[i])
        g["c"] += da.sum(0)
        g["b"] += dl.sum(0)
        return g


def mk_nade():
    r = np.random.RandomState(6)
    return dict(model=Nade(W=r.randn(4, 3), V=r.randn(4, 3), b=r.randn(4), c=r.randn(3)), x=(r.rand(5, 4) > .4).astype(float))


G("nade_autoregressive", "autoregressive research code", mk_nade, True)


class CharModel(Base):
    def objective(self, x, eps=None, beta=1.0):
        E, b = self.params["E"], self.params["b"]
        i, j = x[:, 0].astype(int), x[:, 1].astype(int)
        lp = E[i] @ E.T + b
        p = softmax(lp)
        n = np.arange(len(i))
        return NS(objective=np.log(p[n, j])), (i, j, p)

    def backward(self, do, cache):
        i, j, p = cache
        E = self.params["E"]
        d = do[:, None] * (np.eye(len(E))[j] - p)
        gE = d.T @ E[i]
        return {"E": gE, "b": d.sum(0)}


def mk_char():
    r = np.random.RandomState(7)
    return dict(model=CharModel(E=r.randn(5, 3), b=r.randn(5)), x=np.array([[0, 1], [1, 4], [0, 2], [3, 3.]]))


G("bigram_tied_embedding", "NLP, minimal language model", mk_char, slip="E is read as input embedding too: np.add.at(gE, i, d @ E) is missing.", wrong="E", causes="missing-term")
