from typing import NamedTuple, Callable
from types import SimpleNamespace
import numpy as np
from scipy.special import gammaln, digamma, logsumexp


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


def add(name, style, f, b, inputs, constants=None, slip="", wrong=(), causes=()):
    def make():
        r = np.random.RandomState(sum(map(ord, name)))
        d = {"forward": f, "backward": b, "inputs": {k: np.array(v, dtype=np.float64) for k, v in inputs(r).items()}}
        if constants is not None:
            d["constants"] = constants(r)
        return d
    ITEMS.append(Item(name, style, "vjp", make, not slip, slip, tuple(wrong), tuple(causes)))


# ---------------------------------------------------------------- class assignment
def two_layer_loss(X, W1, b1, W2, b2, y):
    a1 = X.dot(W1) + b1
    h1 = np.maximum(0, a1)
    scores = h1.dot(W2) + b2
    shifted = scores - scores.max(axis=1, keepdims=True)
    probs = np.exp(shifted)
    probs /= probs.sum(axis=1, keepdims=True)
    N = X.shape[0]
    loss = -np.log(probs[np.arange(N), y]).mean()
    return loss, (X, W1, W2, a1, h1, probs, y)


def two_layer_grads(dout, cache):
    X, W1, W2, a1, h1, probs, y = cache
    N = X.shape[0]
    dscores = probs.copy()
    dscores[np.arange(N), y] -= 1
    dscores *= dout / N
    grads = {}
    grads["W2"] = h1.T.dot(dscores)
    grads["b2"] = dscores.sum(axis=0)
    dh1 = dscores.dot(W2.T)
    grads["b1"] = dh1.sum(axis=0)
    da1 = dh1 * (a1 > 0)
    grads["W1"] = X.T.dot(da1)
    grads["X"] = da1.dot(W1.T)
    return grads


add("two_layer_softmax_net", "class assignment", two_layer_loss, two_layer_grads,
    lambda r: dict(X=r.randn(5, 4), W1=r.randn(4, 6), b1=r.randn(6), W2=r.randn(6, 3), b2=r.randn(3)),
    lambda r: dict(y=np.array([0, 2, 1, 1, 0])),
    "b1 takes the gradient of the hidden layer before the relu mask; it should be da1.sum(0).", ("b1",),
    ("elementwise-factor", "missing-term"))


# ---------------------------------------------------------------- statistics
def gmm_loglik(x, logits, mu, log_sigma):
    lw = logits - logsumexp(logits)
    s = np.exp(log_sigma)
    z = (x[:, None] - mu) / s
    lp = lw - 0.5 * z ** 2 - log_sigma - 0.5 * np.log(2 * np.pi)
    ll = logsumexp(lp, axis=1)
    return ll, (lw, s, z, lp, ll)


def gmm_loglik_grad(dll, cache):
    lw, s, z, lp, ll = cache
    resp = np.exp(lp - ll[:, None]) * dll[:, None]
    dx = -(resp * z / s).sum(1)
    dlogits = resp.sum(0) - resp.sum() * np.exp(lw)
    dmu = (resp * z).sum(0)
    dls = (resp * (z ** 2 - 1)).sum(0)
    return dict(x=dx, logits=dlogits, mu=dmu, log_sigma=dls)


add("gmm_responsibilities", "statistics, functional", gmm_loglik, gmm_loglik_grad,
    lambda r: dict(x=2 * r.randn(6), logits=r.randn(3), mu=r.randn(3), log_sigma=np.array([-.5, .3, .6])), None,
    "dmu lacks the division by sigma: resp * z / s.", ("mu",), ("elementwise-factor",))


# ---------------------------------------------------------------- contrastive
def info_nce(q, k, log_temp):
    qn = np.linalg.norm(q, axis=1, keepdims=True)
    kn = np.linalg.norm(k, axis=1, keepdims=True)
    qh, kh = q / qn, k / kn
    t = np.exp(log_temp)
    S = qh @ kh.T * t
    P = np.exp(S - logsumexp(S, axis=1, keepdims=True))
    loss = -np.mean(np.log(np.diag(P)))
    return loss, (qh, kh, qn, kn, t, S, P)


def info_nce_bwd(g, cache):
    qh, kh, qn, kn, t, S, P = cache
    n = len(qh)
    dS = g * (P - np.eye(n)) / n
    dlt = (dS * S).sum()
    dqh = t * dS @ kh
    dkh = t * dS.T @ qh
    dq = (dqh - qh * (dqh * qh).sum(1, keepdims=True)) / qn
    dk = dkh / kn
    return dq, dk, dlt


add("info_nce_normalised", "research code, contrastive", info_nce, info_nce_bwd,
    lambda r: dict(q=r.randn(4, 3), k=r.randn(4, 3), log_temp=0.7), None,
    "The normalisation of the keys is differentiated as if the norm were constant: the projection kh*(dkh.kh) is missing.",
    ("k",), ("missing-term",))


# ---------------------------------------------------------------- physics
def lj_energy(pos, eps, sigma):
    d = pos[:, None, :] - pos[None, :, :]
    r2 = (d ** 2).sum(-1) + np.eye(len(pos))
    s6 = sigma ** 6 / r2 ** 3
    off = 1 - np.eye(len(pos))
    e = 4 * eps * (s6 ** 2 - s6) * off
    return 0.5 * e.sum(), (d, r2, s6, off, eps, sigma)


def lj_forces(dE, cache):
    d, r2, s6, off, eps, sigma = cache
    dEdr2 = 4 * eps * (-6 * s6 ** 2 + 3 * s6) / r2 * off
    dpos = 0.5 * dE * np.einsum("ij,ijk->ik", 2 * dEdr2, d)
    deps = dE * 2 * ((s6 ** 2 - s6) * off).sum()
    dsigma = dE * 2 * eps * ((12 * s6 ** 2 - 6 * s6) / sigma * off).sum()
    return {"pos": dpos, "eps": deps, "sigma": dsigma}


add("lennard_jones_cluster", "molecular dynamics", lj_energy, lj_forces,
    lambda r: dict(pos=np.array([[0, 0, 0], [1.2, 0, .1], [.1, 1.3, 0], [.9, 1., 1.1]]), eps=0.8, sigma=1.05), None,
    "Each atom stands in two places of the pair sum; the half is kept but only one of the two is counted: dpos is half of what it should be.",
    ("pos",), ("factor", "missing-term"))


def pendulum_rollout(theta0, omega0, g_over_l, damping, dt=0.2, steps=5):
    th, om = theta0.copy(), omega0.copy()
    tape = []
    for _ in range(steps):
        tape.append((th, om))
        om = om + dt * (-g_over_l * np.sin(th) - damping * om)
        th = th + dt * om
    return th, (tape, g_over_l, damping, dt)


def pendulum_adjoint(dth, cache):
    tape, gl, c, dt = cache
    ath, aom = dth.copy(), np.zeros_like(dth)
    dgl = 0.0
    dc = 0.0
    for th, om in reversed(tape):
        aom = aom + dt * ath
        dgl += (aom * -dt * np.sin(th)).sum()
        dc += (aom * -dt * om).sum()
        ath = ath - aom * dt * gl * np.cos(th)
    return {"theta0": ath, "omega0": aom, "g_over_l": dgl, "damping": dc}


add("damped_pendulum_adjoint", "physics simulation, adjoint", pendulum_rollout, pendulum_adjoint,
    lambda r: dict(theta0=r.randn(4), omega0=r.randn(4), g_over_l=2.5, damping=0.6), None,
    "The adjoint of omega is carried over a step without the damping factor (1 - dt*c): aom *= 1 - dt*c at the end of the loop.",
    ("theta0", "omega0", "g_over_l", "damping"), ("unknown", "missing-term", "factor", "elementwise-factor"))


# ---------------------------------------------------------------- RL
def a2c_policy_loss(logits, actions, adv, ent_coef):
    logp = logits - logsumexp(logits, axis=-1, keepdims=True)
    p = np.exp(logp)
    ent = -(p * logp).sum(-1)
    rows = np.arange(len(actions))
    loss = -(logp[rows, actions] * adv).mean() - ent_coef * ent.mean()
    return loss, dict(logp=logp, p=p, ent=ent, a=actions, adv=adv, c=ent_coef)


def a2c_policy_loss_grad(dloss, ctx):
    p, logp = ctx["p"], ctx["logp"]
    n = len(p)
    onehot = np.eye(p.shape[1])[ctx["a"]]
    d_pg = (p - onehot) * ctx["adv"][:, None] / n
    d_ent = -p * (logp + ctx["ent"][:, None]) / n
    return dloss * (d_pg + ctx["c"] * d_ent)


add("a2c_entropy_bonus", "reinforcement-learning baseline", a2c_policy_loss, a2c_policy_loss_grad,
    lambda r: dict(logits=r.randn(5, 4)),
    lambda r: dict(actions=np.array([0, 3, 1, 2, 2]), adv=r.randn(5), ent_coef=0.4),
    "The entropy bonus is subtracted from the loss, its gradient is added: minus ent_coef * d_ent.", ("logits",),
    ("sign", "missing-term"))


class DiagGaussianPolicy:
    @staticmethod
    def log_prob(obs, W, b, log_std, act):
        mean = np.tanh(obs @ W + b)
        z = (act - mean) * np.exp(-log_std)
        lp = (-0.5 * z * z - log_std - 0.5 * np.log(2 * np.pi)).sum(-1)
        return lp, (obs, W, mean, z, log_std)

    @staticmethod
    def grad(dlp, saved):
        obs, W, mean, z, log_std = saved
        g = dlp[:, None]
        dmean = g * z * np.exp(-log_std)
        dpre = dmean * (1 - mean ** 2)
        return {"obs": dpre @ W.T, "W": obs.T @ dpre, "b": dpre.sum(0), "log_std": (g * z * z).sum(0)}


add("diag_gaussian_policy_logp", "RL baseline, static class", DiagGaussianPolicy.log_prob, DiagGaussianPolicy.grad,
    lambda r: dict(obs=r.randn(5, 3), W=r.randn(3, 2), b=r.randn(2), log_std=np.array([-.2, .3])),
    lambda r: dict(act=r.randn(5, 2)),
    "The gradient of -log_std, the -1, is forgotten: g * (z*z - 1).", ("log_std",), ("missing-term",))


# ---------------------------------------------------------------- NLP
def sgns(V, U, center, context, neg):
    v = V[center]
    pos = (v * U[context]).sum(-1)
    ng = np.einsum("bd,bkd->bk", v, U[neg])
    loss = np.logaddexp(0, -pos).sum() + np.logaddexp(0, ng).sum()
    return loss, (V, U, center, context, neg, v, pos, ng)


def sgns_backward(dloss, cache):
    V, U, center, context, neg, v, pos, ng = cache
    sig = lambda a: 1 / (1 + np.exp(-a))
    gp = dloss * (sig(pos) - 1)
    gn = dloss * sig(ng)
    dV, dU = np.zeros_like(V), np.zeros_like(U)
    dv = gp[:, None] * U[context] + np.einsum("bk,bkd->bd", gn, U[neg])
    dV[center] += dv
    np.add.at(dU, context, gp[:, None] * v)
    np.add.at(dU, neg, gn[..., None] * v[:, None, :])
    return dict(V=dV, U=dU)


add("skipgram_negative_sampling", "NLP homework", sgns, sgns_backward,
    lambda r: dict(V=r.randn(5, 3), U=r.randn(6, 3)),
    lambda r: dict(center=np.array([1, 3, 1, 4]), context=np.array([0, 2, 5, 2]), neg=np.array([[3, 4], [4, 4], [1, 0], [5, 3]])),
    "dV[center] += dv keeps only the last of repeated centre words; np.add.at is needed.", ("V",), ("batch-sum", "missing-term"))


def bow_classifier(E, W, b, ids, lengths):
    m = (np.arange(ids.shape[1])[None] < lengths[:, None]).astype(float)
    h = (E[ids] * m[..., None]).sum(1) / lengths[:, None]
    return h @ W + b, (E, W, ids, lengths, m, h)


def bow_classifier_backward(dout, cache):
    E, W, ids, lengths, m, h = cache
    dh = dout @ W.T
    dtok = m[..., None] * dh[:, None, :] / ids.shape[1]
    dE = np.zeros_like(E)
    np.add.at(dE, ids, dtok)
    return {"E": dE, "W": h.T @ dout, "b": dout.sum(0)}


add("padded_bag_of_embeddings", "NLP, functional with caches", bow_classifier, bow_classifier_backward,
    lambda r: dict(E=r.randn(7, 3), W=r.randn(3, 2), b=r.randn(2)),
    lambda r: dict(ids=np.array([[1, 2, 0, 0], [3, 4, 5, 1], [6, 0, 0, 0], [2, 2, 5, 0]]), lengths=np.array([2, 4, 1, 3])),
    "The mean is over each row's true length, the backward divides by the padded length.", ("E",), ("elementwise-factor", "batch-sum"))


# ---------------------------------------------------------------- flows
def planar_flow(z, w, u, b):
    a = np.tanh(z @ w + b)
    psi = 1 - a ** 2
    det = 1 + psi * (w @ u)
    ld = np.log(np.abs(det))
    out = np.concatenate([z + a[:, None] * u, ld[:, None]], axis=1)
    return out, (z, w, u, a, psi, det)


def planar_flow_backward(dout, cache):
    z, w, u, a, psi, det = cache
    dz1, dld = dout[:, :-1], dout[:, -1]
    ddet = dld / det
    wu = w @ u
    dpsi = ddet * wu
    da = dz1 @ u - 2 * a * dpsi
    dpre = da * psi
    dz = dz1 + dpre[:, None] * w
    du = (a[:, None] * dz1).sum(0) + (ddet * psi).sum() * w
    dw = z.T @ dpre
    return dz, dw, du, dpre.sum()


add("planar_flow_logdet", "normalizing flow, research", planar_flow, planar_flow_backward,
    lambda r: dict(z=r.randn(5, 2), w=np.array([.7, .4]), u=np.array([.5, 1.]), b=0.2), None,
    "w also stands in w.u of the determinant; its gradient (ddet*psi).sum()*u is missing.", ("w",), ("missing-term",))


class AffineCoupling:
    def forward(self, x, Ws, bs, Wt, bt):
        x1, x2 = x[:, :2], x[:, 2:]
        s = np.tanh(x1 @ Ws + bs)
        t = x1 @ Wt + bt
        y = np.hstack([x1, x2 * np.exp(s) + t])
        nll = 0.5 * (y ** 2).sum(1) - s.sum(1)
        return nll, (x1, x2, s, y, Ws, Wt)

    def backward(self, dnll, cache):
        x1, x2, s, y, Ws, Wt = cache
        dy = dnll[:, None] * y
        dy1, dy2 = dy[:, :2], dy[:, 2:]
        ds = dy2 * x2 * np.exp(s) - 1.0
        dpre = ds * (1 - s * s)
        dx1 = dy1 + dpre @ Ws.T + dy2 @ Wt.T
        return {"x": np.hstack([dx1, dy2 * np.exp(s)]), "Ws": x1.T @ dpre, "bs": dpre.sum(0), "Wt": x1.T @ dy2, "bt": dy2.sum(0)}


add("realnvp_coupling_nll", "layer classes, flow", AffineCoupling().forward, AffineCoupling().backward,
    lambda r: dict(x=r.randn(4, 4), Ws=r.randn(2, 2), bs=r.randn(2), Wt=r.randn(2, 2), bt=r.randn(2)), None,
    "The log determinant's gradient is -1 instead of -dnll: the upstream gradient is not multiplied in.", ("x", "Ws", "bs"),
    ("elementwise-factor", "missing-term", "batch-sum"))


# ---------------------------------------------------------------- recurrences
def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def gru_cell(x, h, Wx, Wh):
    H = h.shape[1]
    gx, gh = x @ Wx, h @ Wh
    r = sigmoid(gx[:, :H] + gh[:, :H])
    z = sigmoid(gx[:, H:2 * H] + gh[:, H:2 * H])
    n = np.tanh(gx[:, 2 * H:] + r * gh[:, 2 * H:])
    return (1 - z) * n + z * h, (x, h, Wx, Wh, r, z, n, gh[:, 2 * H:])


def gru_cell_bwd(dh1, cache):
    x, h, Wx, Wh, r, z, n, hn = cache
    dn = dh1 * (1 - z) * (1 - n ** 2)
    dz = dh1 * (h - n) * z * (1 - z)
    dr = dn * hn * r * (1 - r)
    dgx = np.hstack([dr, dz, dn])
    dgh = np.hstack([dr, dz, dn])
    return dgx @ Wx.T, dh1 * z + dgh @ Wh.T, x.T @ dgx, h.T @ dgh


add("gru_cell_torch_port", "port of a framework", gru_cell, gru_cell_bwd,
    lambda r: dict(x=r.randn(3, 2), h=r.randn(3, 2), Wx=r.randn(2, 6), Wh=r.randn(2, 6)), None,
    "The candidate's hidden part is gated by r: the third block of dgh must be dn * r.", ("h", "Wh"), ("elementwise-factor", "missing-term"))


def elman(xs, Wxh, Whh, bh):
    # features first: xs (T, D, B)
    T = xs.shape[0]
    hs = {-1: np.zeros((Whh.shape[0], xs.shape[2]))}
    for t in range(T):
        hs[t] = np.tanh(Wxh @ xs[t] + Whh @ hs[t - 1] + bh)
    return hs[T - 1], (xs, hs, Wxh, Whh)


def elman_bptt(dh, cache):
    xs, hs, Wxh, Whh = cache
    dxs = np.zeros_like(xs)
    dWxh, dWhh, dbh = np.zeros_like(Wxh), np.zeros_like(Whh), np.zeros((len(Whh), 1))
    for t in reversed(range(len(xs))):
        dr = (1 - hs[t] ** 2) * dh
        dbh += dr.sum(1, keepdims=True)
        dWxh += dr @ xs[t].T
        dWhh += dr @ hs[t].T
        dxs[t] = Wxh.T @ dr
        dh = Whh.T @ dr
    return dict(xs=dxs, Wxh=dWxh, Whh=dWhh, bh=dbh)


add("elman_bptt_features_first", "features-first lecture code", elman, elman_bptt,
    lambda r: dict(xs=r.randn(3, 2, 4), Wxh=r.randn(3, 2), Whh=.6 * r.randn(3, 3), bh=r.randn(3, 1)), None,
    "dWhh is formed with the present state hs[t] instead of the previous one hs[t-1].", ("Whh",), ("unknown", "missing-term", "elementwise-factor"))


def attn(x, Wq, Wk, Wv):
    q, k, v = x @ Wq, x @ Wk, x @ Wv
    sc = 1 / np.sqrt(q.shape[-1])
    s = q @ k.swapaxes(-1, -2) * sc
    s = np.where(np.tril(np.ones(s.shape[-2:], bool)), s, -1e9)
    p = np.exp(s - s.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    return p @ v, (x, Wq, Wk, Wv, q, k, v, p, sc)


def attn_bwd(do, cache):
    x, Wq, Wk, Wv, q, k, v, p, sc = cache
    dv = p.swapaxes(-1, -2) @ do
    dp = do @ v.swapaxes(-1, -2)
    ds = p * (dp - (dp * p).sum(-1, keepdims=True))
    dq = ds @ k * sc
    dk = ds.swapaxes(-1, -2) @ q * sc
    f = lambda g: np.einsum("btd,bte->de", x, g)
    return {"x": dq @ Wq.T + dk @ Wk.T + dv @ Wv, "Wq": f(dq), "Wk": f(dk), "Wv": f(dv)}


add("causal_self_attention", "transformer from scratch", attn, attn_bwd,
    lambda r: dict(x=r.randn(3, 3, 3), Wq=r.randn(3, 3), Wk=r.randn(3, 3), Wv=r.randn(3, 3)), None,
    "The value path into x lacks a transpose: dv @ Wv.T.", ("x",), ("transpose", "missing-term"))


def triplet(anchor, positive, negative, margin):
    dp = ((anchor - positive) ** 2).sum(1)
    dn = ((anchor - negative) ** 2).sum(1)
    l = np.maximum(dp - dn + margin, 0)
    active = l > 0
    return l.sum() / max(active.sum(), 1), (anchor, positive, negative, active)


def triplet_backward(dloss, cache):
    a, p, n, active = cache
    g = dloss * active[:, None] * 2.0 / len(a)
    return g * (n - p), -g * (a - p), g * (a - n)


add("triplet_margin_active_mean", "metric learning notebook", triplet, triplet_backward,
    lambda r: dict(anchor=np.array([[0., .1], [1, 2], [.5, -1], [2, 0], [.3, .7]]), positive=np.array([[1., .6], [1.1, 1.8], [-.5, .4], [1, 1.2], [.2, 1.7]]),
                   negative=np.array([[.4, .3], [4, -1.], [.1, -.5], [2.3, .4], [3, 3.]])),
    lambda r: dict(margin=0.5), "The forward averages over the active triplets, the backward divides by the batch.",
    ("anchor", "positive", "negative"), ("factor",))


# ---------------------------------------------------------------- graphics
def lambert(normal, albedo, light_dir, light_rgb):
    nn = np.sqrt((normal ** 2).sum(-1, keepdims=True))
    n = normal / nn
    cos = n @ light_dir
    shade = np.maximum(cos, 0)
    return albedo * light_rgb * shade[:, None], (nn, n, albedo, light_dir, light_rgb, cos, shade)


def lambert_grad(dimg, cache):
    nn, n, albedo, L, rgb, cos, shade = cache
    dshade = (dimg * albedo * rgb).sum(-1)
    dalbedo = dimg * shade[:, None]
    drgb = (dimg * albedo * shade[:, None]).sum(0)
    dcos = dshade * (cos > 0)
    dL = n.T @ dcos
    dn = dcos[:, None] * L
    dnormal = (dn - n * (n * dn).sum(-1, keepdims=True)) / nn
    return dict(normal=dnormal, albedo=dalbedo, light_dir=dL, light_rgb=drgb)


add("lambert_shading", "differentiable renderer", lambert, lambert_grad,
    lambda r: dict(normal=r.randn(5, 3), albedo=r.rand(5, 3), light_dir=np.array([.6, .3, .74]), light_rgb=np.array([1.4, .9, .6])), None,
    "dalbedo lacks the light's colour: dimg * light_rgb * shade.", ("albedo",), ("elementwise-factor",))


def composite(sigma, color, delta):
    tau = sigma * delta
    alpha = 1 - np.exp(-tau)
    acc = np.cumsum(tau, 1) - tau
    T = np.exp(-acc)
    w = T * alpha
    return np.einsum("rs,rsc->rc", w, color), (color, delta, tau, T, w)


def composite_bwd(dC, cache):
    color, delta, tau, T, w = cache
    dw = np.einsum("rc,rsc->rs", dC, color)
    dcolor = w[..., None] * dC[:, None, :]
    dalpha = dw * T
    dacc = -dw * w
    suffix = np.cumsum(dacc[:, ::-1], 1)[:, ::-1]
    dtau = dalpha * np.exp(-tau) + suffix
    return {"sigma": dtau * delta, "color": dcolor}


add("nerf_alpha_compositing", "neural rendering", composite, composite_bwd,
    lambda r: dict(sigma=.3 + r.rand(3, 5), color=r.rand(3, 5, 2)), lambda r: dict(delta=.5 + r.rand(3, 5)),
    "The suffix sum is inclusive though the forward's cumulative sum is exclusive; suffix - dacc is right.", ("sigma",), ("missing-term",))


def poisson_glm(beta, log_rate0, X, counts, exposure):
    mu = exposure * np.exp(X @ beta + log_rate0)
    dev = 2 * (np.where(counts > 0, counts * np.log(np.maximum(counts, 1) / mu), 0) - (counts - mu))
    return dev.sum(), (X, counts, exposure, mu)


def poisson_glm_score(g, cache):
    X, counts, exposure, mu = cache
    resid = 2 * g * (mu / exposure - counts)
    return X.T @ resid, resid.sum()


add("poisson_deviance_exposure", "statistics, GLM", poisson_glm, poisson_glm_score,
    lambda r: dict(beta=.5 * r.randn(3), log_rate0=0.3), lambda r: dict(X=r.randn(6, 3), counts=np.array([0, 3, 1, 5, 2, 7]), exposure=np.array([1., 2, .5, 3, 1.5, 4])),
    "The residual takes the rate instead of rate times exposure: mu - counts.", ("beta", "log_rate0"), ("elementwise-factor", "missing-term", "batch-sum"))


def gp_nll(log_ell, log_sf, log_sn, X, y):
    D2 = (X[:, None] - X[None]) ** 2
    K0 = np.exp(2 * log_sf - 0.5 * D2 * np.exp(-2 * log_ell))
    K = K0 + np.exp(2 * log_sn) * np.eye(len(X))
    Lc = np.linalg.cholesky(K)
    alpha = np.linalg.solve(K, y)
    return 0.5 * y @ alpha + np.log(np.diag(Lc)).sum(), (D2, K0, K, alpha, log_ell, log_sn)


def gp_nll_grad(g, cache):
    D2, K0, K, alpha, log_ell, log_sn = cache
    W = np.linalg.inv(K) - 0.5 * np.outer(alpha, alpha)
    W = g * W
    dK_ell = K0 * D2 * np.exp(-2 * log_ell)
    return {"log_ell": (W * dK_ell).sum(), "log_sf": 2 * (W * K0).sum(), "log_sn": 2 * np.exp(2 * log_sn) * np.trace(W)}


add("gp_marginal_likelihood", "Gaussian process notes", gp_nll, gp_nll_grad,
    lambda r: dict(log_ell=-.1, log_sf=.2, log_sn=-.9), lambda r: dict(X=np.linspace(-1, 2, 6), y=r.randn(6)),
    "The half of the log determinant is forgotten: W = 0.5*(K^-1 - alpha alpha^T).", ("log_ell", "log_sf", "log_sn"), ("factor", "missing-term", "elementwise-factor"))


def ppo_clip(logp, value, old_logp, adv, ret, clip):
    ratio = np.exp(logp - old_logp)
    s1 = ratio * adv
    s2 = np.clip(ratio, 1 - clip, 1 + clip) * adv
    pg = -np.minimum(s1, s2).mean()
    vf = 0.5 * ((value - ret) ** 2).mean()
    return pg + 0.5 * vf, (ratio, adv, value, ret, clip)


def ppo_clip_grad(g, cache):
    ratio, adv, value, ret, clip = cache
    inside = (ratio > 1 - clip) & (ratio < 1 + clip)
    n = len(ratio)
    return {"logp": -g * inside * ratio * adv / n, "value": 0.5 * g * (value - ret) / n}


add("ppo_clipped_surrogate", "RL baseline, functional", ppo_clip, ppo_clip_grad,
    lambda r: dict(logp=np.array([.1, .5, -.6, .7, -.5, -.05]), value=r.randn(6)),
    lambda r: dict(old_logp=np.zeros(6), adv=np.array([1., .7, 1.3, -.8, -1.1, .4]), ret=r.randn(6), clip=0.2),
    "Outside the clip range the gradient is always dropped; where s1 < s2 (e.g. ratio low with positive advantage) the unclipped term is the minimum and must pass.",
    ("logp",), ("elementwise-factor", "zero", "missing-term"))


def bilinear_rank(x, W, y):
    s = np.einsum("bi,ij,bj->b", x, W, y)
    return np.logaddexp(0, -s), (x, W, y, s)


def bilinear_rank_b(dl, c):
    x, W, y, s = c
    ds = -dl / (1 + np.exp(s))
    return (ds[:, None] * (y @ W.T), (ds[:, None] * y).T @ x, ds[:, None] * (x @ W))


add("bilinear_relation_score", "knowledge graph embedding", bilinear_rank, bilinear_rank_b,
    lambda r: dict(x=r.randn(4, 3), W=r.randn(3, 3), y=r.randn(4, 3)), None,
    "dW is the transpose of what it should be: x.T @ (ds*y).", ("W",), ("transpose",))


# ================================================================ right ones
class MaskedLSTM:
    def forward(self, x, W, U, b, mask):
        B, T, _ = x.shape
        H = U.shape[0]
        h, c, tape = np.zeros((B, H)), np.zeros((B, H)), []
        for t in range(T):
            a = x[:, t] @ W + h @ U + b
            i, f, o = (sigmoid(a[:, k * H:(k + 1) * H]) for k in range(3))
            g = np.tanh(a[:, 3 * H:])
            m = mask[:, t:t + 1]
            cn = f * c + i * g
            tc = np.tanh(cn)
            tape.append((h, c, i, f, o, g, tc, m))
            h, c = m * o * tc + (1 - m) * h, m * cn + (1 - m) * c
        return h, (x, W, U, tape)

    def backward(self, dh, cache):
        x, W, U, tape = cache
        dx, dW, dU, db = np.zeros_like(x), np.zeros_like(W), np.zeros_like(U), 0
        dc = np.zeros_like(dh)
        for t in range(len(tape) - 1, -1, -1):
            h, c, i, f, o, g, tc, m = tape[t]
            dhn = m * dh
            dcn = m * dc + dhn * o * (1 - tc ** 2)
            da = np.concatenate([dcn * g * i * (1 - i), dcn * c * f * (1 - f), dhn * tc * o * (1 - o), dcn * i * (1 - g * g)], 1)
            dx[:, t] = da @ W.T
            dW += x[:, t].T @ da
            dU += h.T @ da
            db = db + da.sum(0)
            dh = (1 - m) * dh + da @ U.T
            dc = (1 - m) * dc + dcn * f
        return dx, dW, dU, db


add("masked_lstm_last_state", "layer classes, NLP", MaskedLSTM().forward, MaskedLSTM().backward,
    lambda r: dict(x=r.randn(3, 4, 2), W=r.randn(2, 8), U=r.randn(2, 8), b=r.randn(8)),
    lambda r: dict(mask=np.array([[1., 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]])))


def student_t(x, loc, log_scale, log_nu):
    s, nu = np.exp(log_scale), np.exp(log_nu)
    z = (x - loc) / s
    q = 1 + z * z / nu
    lp = gammaln((nu + 1) / 2) - gammaln(nu / 2) - .5 * np.log(nu * np.pi) - log_scale - (nu + 1) / 2 * np.log(q)
    return lp, (z, s, nu, q)


def student_t_score(d, c):
    z, s, nu, q = c
    dz = -(nu + 1) * z / (nu * q) * d
    dnu = .5 * (digamma((nu + 1) / 2) - digamma(nu / 2) - 1 / nu - np.log(q) + (nu + 1) * z * z / (nu ** 2 * q))
    return dict(x=dz / s, loc=-(dz / s).sum(), log_scale=-(dz * z + d).sum(), log_nu=(d * dnu * nu).sum())


add("student_t_loglik", "statistics, 0-d parameters", student_t, student_t_score,
    lambda r: dict(x=2 * r.randn(6), loc=.3, log_scale=-.2, log_nu=1.1))


def crf_nll(emit, trans, tags):
    T, K = emit.shape
    A = np.empty((T, K))
    A[0] = emit[0]
    for t in range(1, T):
        A[t] = emit[t] + logsumexp(A[t - 1][:, None] + trans, axis=0)
    gold = emit[np.arange(T), tags].sum() + trans[tags[:-1], tags[1:]].sum()
    logZ = logsumexp(A[-1])
    return logZ - gold, (emit, trans, tags, A, logZ)


def crf_nll_backward(d, cache):
    emit, trans, tags, A, logZ = cache
    T, K = emit.shape
    Bt = np.zeros((T, K))
    for t in range(T - 2, -1, -1):
        Bt[t] = logsumexp(trans + (emit[t + 1] + Bt[t + 1])[None], axis=1)
    demit = np.exp(A + Bt - logZ)
    dtrans = np.zeros_like(trans)
    for t in range(T - 1):
        dtrans += np.exp(A[t][:, None] + trans + emit[t + 1] + Bt[t + 1] - logZ)
    demit[np.arange(T), tags] -= 1
    np.subtract.at(dtrans, (tags[:-1], tags[1:]), 1)
    return demit * d, dtrans * d


add("linear_chain_crf", "NLP, forward-backward", crf_nll, crf_nll_backward,
    lambda r: dict(emit=r.randn(5, 3), trans=r.randn(3, 3)), lambda r: dict(tags=np.array([0, 1, 1, 1, 2])))


def nbody(pos, mass):
    d = pos[:, None] - pos
    inv = 1 / np.sqrt((d ** 2).sum(-1) + 0.01)
    np.fill_diagonal(inv, 0)
    return 1e-6 * -.5 * mass @ inv @ mass, (d, inv, mass)


def nbody_b(dE, c):
    d, inv, m = c
    w = m[:, None] * inv ** 3 * m
    return {"mass": -1e-6 * dE * (inv @ m), "pos": 1e-6 * dE * (w[..., None] * d).sum(1)}


add("nbody_potential_tiny", "astrophysics script", nbody, nbody_b,
    lambda r: dict(pos=r.randn(5, 2), mass=1 + r.rand(5)))


def nt_xent(z):
    n = len(z) // 2
    S = z @ z.T
    np.fill_diagonal(S, -np.inf)
    lse = logsumexp(S, axis=1)
    j = np.r_[n:2 * n, 0:n]
    return lse - S[np.arange(2 * n), j], (z, S, lse, j)


def nt_xent_b(dl, c):
    z, S, lse, j = c
    G = S - lse[:, None]
    np.exp(G, out=G)
    G[np.arange(len(j)), j] -= 1
    G *= dl[:, None]
    G += G.T.copy()
    return G @ z


add("nt_xent_inplace", "SimCLR reimplementation", nt_xent, nt_xent_b, lambda r: dict(z=.7 * r.randn(6, 3)))


def dueling_huber(s, Wv, Wa, act, target, delta=1.0):
    V, A = s @ Wv, s @ Wa
    Q = V + A - A.mean(1, keepdims=True)
    e = Q[np.arange(len(act)), act] - target
    ae = np.abs(e)
    l = np.where(ae <= delta, .5 * e * e, delta * (ae - .5 * delta))
    return l.mean(), (s, Wv, Wa, act, e, delta)


def dueling_huber_b(d, c):
    s, Wv, Wa, act, e, delta = c
    dQ = np.zeros((len(act), Wa.shape[1]))
    dQ[np.arange(len(act)), act] = d * np.clip(e, -delta, delta) / len(act)
    dA = dQ - dQ.mean(1, keepdims=True)
    dV = dQ.sum(1, keepdims=True)
    return {"s": dV @ Wv.T + dA @ Wa.T, "Wv": s.T @ dV, "Wa": s.T @ dA}


add("dueling_dqn_huber", "reinforcement-learning baseline", dueling_huber, dueling_huber_b,
    lambda r: dict(s=r.randn(5, 3), Wv=r.randn(3, 1), Wa=r.randn(3, 4)), lambda r: dict(act=np.array([0, 3, 2, 2, 1]), target=3 * r.randn(5)))


def quat_rotate(q, p):
    n = np.sqrt(q @ q)
    u = q / n
    w, v = u[0], u[1:]
    t = 2 * np.cross(v, p)
    return p + w * t + np.cross(v, t), (n, u, p, t)


def quat_rotate_b(g, c):
    n, u, p, t = c
    w, v = u[0], u[1:]
    dt = w * g + np.cross(g, v)
    dw = (g * t).sum()
    dv = np.cross(t, g).sum(0) + 2 * np.cross(p, dt).sum(0)
    dp = g + 2 * np.cross(dt, v)
    du = np.r_[dw, dv]
    return (du - u * (u @ du)) / n, dp


add("quaternion_rotate_points", "graphics", quat_rotate, quat_rotate_b, lambda r: dict(q=r.randn(4), p=r.randn(5, 3)))


def cox(beta, X, event):
    eta = X @ beta              # rows sorted by falling time
    R = np.logaddexp.accumulate(eta)
    return -((eta - R) * event).sum(), (X, event, eta, R)


def cox_b(d, c):
    X, event, eta, R = c
    pull = np.cumsum((event * np.exp(-R))[::-1])[::-1] * np.exp(eta)
    return d * X.T @ (pull - event)


add("cox_partial_likelihood", "survival statistics", cox, cox_b, lambda r: dict(beta=r.randn(3)),
    lambda r: dict(X=r.randn(6, 3), event=np.array([1, 0, 1, 1, 0, 1])))


def kalman(log_q, log_r, y):
    q, r = np.exp(log_q), np.exp(log_r)
    m, P, ll, tape = 0.0, 2.0, 0.0, []
    for yt in y:
        Pp = P + q
        S = Pp + r
        v = yt - m
        K = Pp / S
        ll -= .5 * (np.log(2 * np.pi * S) + v * v / S)
        tape.append((Pp, S, v, K))
        m = m + K * v
        P = (1 - K) * Pp
    return ll, (q, r, tape)


def kalman_b(g, c):
    q, r, tape = c
    dm = dP = dq = dr = 0.0
    dy = []
    for Pp, S, v, K in reversed(tape):
        dK = dm * v - dP * Pp
        dPp = dP * (1 - K) + dK / S
        dS = -dK * Pp / S ** 2 - g * .5 * (1 / S - v * v / S ** 2)
        dv = dm * K - g * v / S
        dPp += dS
        dr += dS
        dm = dm - dv
        dy.append(dv)
        dq += dPp
        dP = dPp
    return {"log_q": dq * q, "log_r": dr * r, "y": np.array(dy[::-1])}


add("kalman_local_level", "econometrics, recurrences", kalman, kalman_b, lambda r: dict(log_q=-.5, log_r=.2, y=r.randn(6)))


def texture(img, uv):
    i = np.floor(uv).astype(int)
    f = uv - i
    a, b, fx, fy = i[:, 0], i[:, 1], f[:, 0], f[:, 1]
    p = img[a, b], img[a + 1, b], img[a, b + 1], img[a + 1, b + 1]
    out = (1 - fy) * ((1 - fx) * p[0] + fx * p[1]) + fy * ((1 - fx) * p[2] + fx * p[3])
    return out, (img.shape, a, b, fx, fy, p)


def texture_b(g, c):
    shp, a, b, fx, fy, p = c
    d = np.zeros(shp)
    for da, wa in ((0, 1 - fx), (1, fx)):
        for db, wb in ((0, 1 - fy), (1, fy)):
            np.add.at(d, (a + da, b + db), g * wa * wb)
    dx = (1 - fy) * (p[1] - p[0]) + fy * (p[3] - p[2])
    dyy = (1 - fx) * (p[2] - p[0]) + fx * (p[3] - p[1])
    return d, np.stack([g * dx, g * dyy], 1)


add("bilinear_texture_lookup", "graphics, gather scatter", texture, texture_b,
    lambda r: dict(img=r.randn(4, 4), uv=.1 + np.array([[0.2, 1.4], [2.3, .5], [.1, 1.7], [1.6, 2.2]])))


def moe(x, G, E, log_tau):
    tau = np.exp(log_tau)
    s = x @ G / tau
    p = np.exp(s - s.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    h = np.einsum("bi,kio->bko", x, E)
    return (p[..., None] * np.maximum(h, .1 * h)).sum(1), (x, G, E, tau, s, p, h)


def moe_b(dy, c):
    x, G, E, tau, s, p, h = c
    dp = (dy[:, None] * np.maximum(h, .1 * h)).sum(-1)
    dh = p[..., None] * dy[:, None] * np.where(h > 0, 1, .1)
    ds = p * (dp - (p * dp).sum(1, keepdims=True))
    return {"x": ds @ G.T / tau + np.einsum("bko,kio->bi", dh, E), "G": x.T @ ds / tau,
            "E": np.einsum("bi,bko->kio", x, dh), "log_tau": -(ds * s).sum()}


add("mixture_of_experts", "research code, einsum", moe, moe_b,
    lambda r: dict(x=r.randn(4, 3), G=r.randn(3, 3), E=r.randn(3, 3, 2), log_tau=-.3))


def sinkhorn(C, n_iter=3):
    K, u, tape = np.exp(-C), np.ones(len(C)), []
    for _ in range(n_iter):
        v = 1 / (K.T @ u)
        u2 = 1 / (K @ v)
        tape.append((u, v, u2))
        u = u2
    P = u[:, None] * K * v
    return (P * C).sum(), (C, K, tape, P)


def sinkhorn_b(g, c):
    C, K, tape, P = c
    u0, v, u = tape[-1]
    dP = g * C
    dC = g * P
    dK = dP * np.outer(u, v)
    du, dv = (dP * K * v).sum(1), (dP * K * u[:, None]).sum(0)
    for up, v, u in reversed(tape):
        a = -du * u * u
        dK += np.outer(a, v)
        dv = dv + K.T @ a
        b = -dv * v * v
        dK += np.outer(up, b)
        du, dv = K @ b, 0
    return dC - dK * K


add("sinkhorn_unrolled_cost", "optimal transport", sinkhorn, sinkhorn_b, lambda r: dict(C=r.rand(4, 4) * 2))


def radial_flow(z, z0, log_alpha, beta):
    d = z - z0
    r = np.sqrt((d * d).sum(1))
    al = np.exp(log_alpha)
    h = 1 / (al + r)
    return z + beta * h[:, None] * d, (d, r, al, h, beta)


def radial_flow_b(g, c):
    d, r, al, h, beta = c
    gd = (g * d).sum(1)
    dh = beta * gd
    dr = -dh * h * h
    dd = beta * h[:, None] * g + (dr / r)[:, None] * d
    return g + dd, -dd.sum(0), al * dr.sum(), (h * gd).sum()


add("radial_flow", "flow, tuple gradients", radial_flow, radial_flow_b,
    lambda r: dict(z=r.randn(4, 2), z0=r.randn(2), log_alpha=.1, beta=.8))


# ================================================================ whole models
def addm(name, style, cls, x, eps_dim=None, slip="", wrong=(), causes=()):
    def make():
        r = np.random.RandomState(sum(map(ord, name)))
        d = {"model": cls(r), "x": x(r)}
        if eps_dim:
            d["eps"] = r.randn(len(d["x"]), eps_dim)
        return d
    ITEMS.append(Item(name, style, "gradients", make, not slip, slip, tuple(wrong), tuple(causes)))


def T(obj, nll=None, kl=None):
    return SimpleNamespace(objective=obj, **({} if nll is None else dict(nll=nll)), **({} if kl is None else dict(kl=kl)))


class BernoulliVAE:
    half = True
    def __init__(self, r):
        D, H, Z = 5, 4, 2
        g = lambda *s: .5 * r.randn(*s)
        self.params = dict(W1=g(D, H), b1=g(H), Wm=g(H, Z), bm=g(Z), Wl=g(H, Z), bl=g(Z), Wd=g(Z, D), bd=g(D))

    def encode(self, x):
        p = self.params
        h = np.tanh(x @ p["W1"] + p["b1"])
        return h @ p["Wm"] + p["bm"], h @ p["Wl"] + p["bl"], h

    def objective(self, x, eps, beta=1.0):
        p = self.params
        mu, lv, h = self.encode(x)
        z = mu + np.exp(.5 * lv) * eps
        a = z @ p["Wd"] + p["bd"]
        nll = (np.logaddexp(0, a) - x * a).sum(1)
        kl = .5 * (np.exp(lv) + mu ** 2 - 1 - lv).sum(1)
        return T(-nll - beta * kl, nll, kl), (x, eps, beta, mu, lv, h, z, a)

    def backward(self, dobj, cache):
        x, eps, beta, mu, lv, h, z, a = cache
        p, g = self.params, {}
        d = dobj[:, None]
        da = -d * (sigmoid(a) - x)
        g["Wd"], g["bd"] = z.T @ da, da.sum(0)
        dz = da @ p["Wd"].T
        dmu = dz - d * beta * mu
        dlv = dz * eps * np.exp(.5 * lv) - d * beta * .5 * (np.exp(lv) - 1)
        g["Wm"], g["bm"], g["Wl"], g["bl"] = h.T @ dmu, dmu.sum(0), h.T @ dlv, dlv.sum(0)
        dh = (dmu @ p["Wm"].T + dlv @ p["Wl"].T) * (1 - h * h)
        g["W1"], g["b1"] = x.T @ dh, dh.sum(0)
        return g


addm("bernoulli_vae_numpy", "VAE notebook", BernoulliVAE, lambda r: (r.rand(4, 5) > .5).astype(float), 2,
     "dz/dlogvar of z = mu + exp(lv/2) eps lacks the half.", ("Wl", "bl", "W1", "b1"), ("factor", "missing-term", "elementwise-factor"))


class RidgeLogistic:
    def __init__(self, r):
        self.params = dict(w=r.randn(4), b=np.array(.3))
        self.lam = .3

    def objective(self, x, eps=None, beta=1.0):
        X, y = x[:, :4], (x[:, 4] > 0) * 2. - 1
        m = y * (X @ self.params["w"] + self.params["b"])
        o = -np.logaddexp(0, -m) - self.lam * (self.params["w"] ** 2).sum()
        return T(o), (X, y, m)

    def backward(self, dobj, cache):
        X, y, m = cache
        dm = dobj * sigmoid(-m) * y
        return {"w": X.T @ dm - 2 * self.lam * self.params["w"], "b": dm.sum()}


addm("ridge_logistic_map", "statistics, estimator class", RidgeLogistic, lambda r: r.randn(5, 5), None,
     "The penalty stands in every row's objective; its gradient must be weighted by dobjective.sum().", ("w",), ("batch-sum", "missing-term", "factor"))


class TiedAutoencoder:
    def __init__(self, r):
        self.params = {"W": .6 * r.randn(5, 3), "c": r.randn(3), "d": r.randn(5)}

    def objective(self, x, eps=None, beta=1.0):
        W = self.params["W"]
        h = sigmoid(x @ W + self.params["c"])
        e = h @ W.T + self.params["d"] - x
        return T(-.5 * (e ** 2).sum(1)), (x, h, e)

    def backward(self, dobj, cache):
        x, h, e = cache
        W, grads = self.params["W"], {}
        de = -dobj[:, None] * e
        grads["d"] = de.sum(0)
        grads["W"] = de.T @ h
        da = de @ W * h * (1 - h)
        grads["c"] = da.sum(0)
        grads["W"] = x.T @ da
        return grads


addm("tied_autoencoder", "deep learning tutorial", TiedAutoencoder, lambda r: r.randn(4, 5), None,
     "The encoder's gradient of the tied W overwrites the decoder's; it should be +=.", ("W",), ("missing-term",))


class MADE:
    def __init__(self, r):
        self.params = dict(W=r.randn(4, 5), b=r.randn(5), V=r.randn(5, 4), c=r.randn(4))
        deg = np.array([1, 2, 3, 1, 2])
        self.M1 = (np.arange(1, 5)[:, None] <= deg).astype(float)
        self.M2 = (deg[:, None] < np.arange(1, 5)).astype(float)

    def objective(self, x, eps=None, beta=1.0):
        p = self.params
        h = np.tanh(x @ (p["W"] * self.M1) + p["b"])
        a = h @ (p["V"] * self.M2) + p["c"]
        nll = (np.logaddexp(0, a) - x * a).sum(1)
        return T(-nll, nll), (x, h, a)

    def backward(self, dobj, cache):
        x, h, a = cache
        da = dobj[:, None] * (x - sigmoid(a))
        dh = (da @ (self.params["V"] * self.M2).T) * (1 - h ** 2)
        return dict(V=h.T @ da, c=da.sum(0), W=(x.T @ dh) * self.M1, b=dh.sum(0))


addm("made_autoregressive", "density estimation research", MADE, lambda r: (r.rand(5, 4) > .4).astype(float), None,
     "The gradient of V is not masked by M2.", ("V",), ("elementwise-factor", "missing-term"))


class GaussVAE:
    def __init__(self, r):
        g = lambda *s: .5 * r.randn(*s)
        self.params = dict(A=g(4, 2), a=g(2), s=g(2), C=g(2, 4), c=g(4), log_sigma=np.array(-.3))

    def objective(self, x, eps, beta=1.0):
        p = self.params
        mu = x @ p["A"] + p["a"]
        sd = np.exp(p["s"])
        z = mu + sd * eps
        e = (x - z @ p["C"] - p["c"]) * np.exp(-p["log_sigma"])
        nll = (.5 * e * e + p["log_sigma"] + .5 * np.log(2 * np.pi)).sum(1)
        kl = (.5 * (mu * mu + sd * sd - 1) - p["s"]).sum(1)
        return T(-nll - beta * kl, nll, kl), (x, eps, beta, mu, sd, z, e)

    def backward(self, dobj, cache):
        x, eps, beta, mu, sd, z, e = cache
        p, d = self.params, dobj[:, None]
        drec = d * e * np.exp(-p["log_sigma"])
        dz = drec @ p["C"].T
        dmu = dz - beta * d * mu
        ds = (dz * eps * sd - beta * d * (sd * sd - 1)).sum(0)
        dls = (dobj * ((e * e).sum(1) - 1)).sum()
        return dict(A=x.T @ dmu, a=dmu.sum(0), s=ds, C=z.T @ drec, c=drec.sum(0), log_sigma=np.array(dls))


addm("gaussian_vae_learned_noise", "probabilistic PCA style VAE", GaussVAE, lambda r: r.randn(4, 4), 2,
     "log_sigma is broadcast over D pixels; its constant is counted once a row instead of D times.", ("log_sigma",), ("missing-term",))


class MDN:
    def __init__(self, r):
        self.params = {"net/w": r.randn(2, 9) * .5, "net/b": r.randn(9) * .5}

    def objective(self, x, eps=None, beta=1.0):
        X, y = x[:, :2], x[:, 2:]
        o = X @ self.params["net/w"] + self.params["net/b"]
        l, m, s = np.split(o, 3, axis=1)
        z = (y - m) * np.exp(-s)
        lw = l - logsumexp(l, axis=1, keepdims=True)
        lp = lw - s - .5 * z * z
        ll = logsumexp(lp, axis=1)
        return T(ll, -ll), (X, s, z, lw, lp, ll)

    def backward(self, dobj, cache):
        X, s, z, lw, lp, ll = cache
        r = np.exp(lp - ll[:, None])
        do = np.hstack([r - np.exp(lw), r * z * np.exp(-s), r * (z * z - 1)]) * dobj[:, None]
        return {"net/w": X.T @ do, "net/b": do.sum(0)}


addm("mixture_density_network", "scoped parameter names", MDN, lambda r: r.randn(5, 3))


class RBMFreeEnergy:
    def __init__(self, r):
        self.params = dict(W=r.randn(4, 3), vb=r.randn(4), hb=r.randn(3))

    def objective(self, x, eps=None, beta=1.0):
        a = x @ self.params["W"] + self.params["hb"]
        return T(x @ self.params["vb"] + np.logaddexp(0, a).sum(1)), (x, a)

    def backward(self, dobj, cache):
        x, a = cache
        p = sigmoid(a)
        p *= dobj[:, None]
        return {"hb": p.sum(0), "vb": dobj @ x, "W": np.einsum("nv,nh->vh", x, p)}


addm("rbm_free_energy", "energy model, class", RBMFreeEnergy, lambda r: (r.rand(6, 4) > .5).astype(float))


class SharedDepthNet:
    def __init__(self, r):
        self.params = dict(W=.5 * r.randn(3, 3), g=1 + .2 * r.randn(3))

    def objective(self, x, eps=None, beta=1.0):
        W, g, h, tape = self.params["W"], self.params["g"], x, []
        for _ in range(3):
            rms = np.sqrt((h * h).mean(1, keepdims=True) + 1e-6)
            n = h / rms
            t = np.tanh((n * g) @ W)
            tape.append((n, rms, t))
            h = h + t
        return T(-np.abs(h).sum(1)), (tape, h)

    def backward(self, dobj, cache):
        tape, h = cache
        W, g = self.params["W"], self.params["g"]
        dW, dg = np.zeros_like(W), np.zeros_like(g)
        dh = -np.sign(h) * dobj[:, None]
        for n, rms, t in tape[::-1]:
            da = dh * (1 - t * t)
            dW += (n * g).T @ da
            dng = da @ W.T
            dg += (dng * n).sum(0)
            dn = dng * g
            dh = dh + (dn - n * (dn * n).mean(1, keepdims=True)) / rms
        return dict(W=dW, g=dg)


addm("weight_shared_residual_rmsnorm", "transformer-like research", SharedDepthNet, lambda r: r.randn(4, 3))
