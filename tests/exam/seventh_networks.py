"""Seventh paper: functions of several steps, and whole models."""
from types import SimpleNamespace
from typing import Callable, NamedTuple

import numpy as np
from scipy import special
from scipy.linalg import cho_factor, cho_solve


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


def item(style, check, right=False, slip="", wrong=(), causes=()):
    def keep(make):
        ITEMS.append(Item(make.__name__, style, check, make, right, slip, tuple(wrong), tuple(causes)))
        return make
    return keep


# ------------------------------------------------------------------ wrong, vjp


@item("class assignment, cache tuple", "vjp", slip="tanh's slope is taken at the pre-activation (1 - a1**2); it is 1 - h1**2.",
      wrong=("X", "W1", "b1"), causes=("elementwise-factor",))
def two_layer_tanh_mse():
    def forward(X, W1, b1, W2, b2, y):
        a1 = X.dot(W1) + b1
        h1 = np.tanh(a1)
        pred = h1.dot(W2) + b2
        loss = 0.5 * np.mean(np.sum((pred - y) ** 2, axis=1))
        cache = (X, W1, a1, h1, W2, pred, y)
        return loss, cache

    def backward(dloss, cache):
        X, W1, a1, h1, W2, pred, y = cache
        N = X.shape[0]
        dpred = dloss * (pred - y) / N
        dW2 = h1.T.dot(dpred)
        db2 = dpred.sum(axis=0)
        dh1 = dpred.dot(W2.T)
        da1 = dh1 * (1 - a1 ** 2)
        dW1 = X.T.dot(da1)
        db1 = da1.sum(axis=0)
        dX = da1.dot(W1.T)
        return {"X": dX, "W1": dW1, "b1": db1, "W2": dW2, "b2": db2}

    r = np.random.RandomState(0)
    return dict(forward=forward, backward=backward, constants={"y": r.randn(5, 2)},
                inputs=dict(X=r.randn(5, 3), W1=r.randn(3, 4), b1=r.randn(4), W2=r.randn(4, 2), b2=r.randn(2)))


@item("statistics notebook", "vjp", slip="The mixing logits get resp.sum(0) only; the -N*pi of the softmax's normaliser is missing.",
      wrong=("logits",), causes=("missing-term",))
def diagonal_gmm_loglik():
    def forward(X, mu, logvar, logits):
        diff = X[:, None, :] - mu[None]                       # N K D
        quad = -0.5 * (diff ** 2 * np.exp(-logvar) + logvar + np.log(2 * np.pi)).sum(-1)
        logpi = logits - special.logsumexp(logits)
        joint = quad + logpi
        ll = special.logsumexp(joint, axis=1)
        resp = np.exp(joint - ll[:, None])
        return ll.sum(), (diff, logvar, logpi, resp)

    def backward(g, cache):
        diff, logvar, logpi, resp = cache
        iv = np.exp(-logvar)
        w = resp[:, :, None]
        d_mu = (w * diff * iv).sum(0)
        d_lv = 0.5 * (w * (diff ** 2 * iv - 1)).sum(0)
        d_logits = resp.sum(0)
        d_X = -(w * diff * iv).sum(1)
        return {"X": g * d_X, "mu": g * d_mu, "logvar": g * d_lv, "logits": g * d_logits}

    r = np.random.default_rng(1)
    return dict(forward=forward, backward=backward, inputs=dict(
        X=r.normal(size=(6, 2)), mu=r.normal(size=(3, 2)), logvar=0.4 * r.normal(size=(3, 2)), logits=r.normal(size=3)))


@item("statistics, robust regression", "vjp", slip="The log scale's derivative lacks the +1 a row of the log sigma in the density.",
      wrong=("log_sigma",), causes=("missing-term",))
def student_t_regression_nll():
    def forward(X, beta, log_sigma, y, nu):
        sigma = np.exp(log_sigma)
        e = (y - X @ beta) / sigma
        const = special.gammaln((nu + 1) / 2) - special.gammaln(nu / 2) - 0.5 * np.log(nu * np.pi)
        nll = np.sum(log_sigma - const + 0.5 * (nu + 1) * np.log1p(e ** 2 / nu))
        return nll, dict(X=X, beta=beta, e=e, sigma=sigma, nu=nu)

    def backward(dnll, c):
        psi = (c["nu"] + 1) * c["e"] / (c["nu"] + c["e"] ** 2)
        deta = -psi / c["sigma"] * dnll
        return dict(X=np.outer(deta, c["beta"]), beta=c["X"].T @ deta,
                    log_sigma=np.asarray(-np.sum(psi * c["e"]) * dnll))

    r = np.random.default_rng(2)
    return dict(forward=forward, backward=backward, constants=dict(y=2 * r.normal(size=6), nu=3.5),
                inputs=dict(X=r.normal(size=(6, 3)), beta=r.normal(size=3), log_sigma=np.array(-0.3)))


@item("reinforcement learning baseline", "vjp", slip="The entropy's gradient is -p (log p + 1); through the softmax it is -p (log p + H).",
      wrong=("obs", "W", "b"), causes=("missing-term",))
def reinforce_entropy_bonus():
    def forward(obs, W, b, actions, returns, ent_coef):
        logits = obs @ W + b
        logp = logits - special.logsumexp(logits, axis=-1, keepdims=True)
        p = np.exp(logp)
        entropy = -(p * logp).sum(-1)
        pg_loss = -(logp[np.arange(len(obs)), actions] * returns).mean()
        loss = pg_loss - ent_coef * entropy.mean()
        return loss, (obs, W, logp, p, entropy, actions, returns, ent_coef)

    def backward(dloss, cache):
        obs, W, logp, p, entropy, actions, returns, ent_coef = cache
        n = len(obs)
        onehot = np.eye(p.shape[1])[actions]
        dlogits = (p - onehot) * returns[:, None] / n
        dent = -p * (logp + 1.0)
        dlogits -= ent_coef * dent / n
        dlogits *= dloss
        return {"obs": dlogits @ W.T, "W": obs.T @ dlogits, "b": dlogits.sum(0)}

    r = np.random.default_rng(3)
    return dict(forward=forward, backward=backward,
                constants=dict(actions=np.array([0, 2, 1, 3, 2]), returns=r.normal(size=5), ent_coef=0.6),
                inputs=dict(obs=r.normal(size=(5, 3)), W=1.5 * r.normal(size=(3, 4)), b=r.normal(size=4)))


@item("reinforcement learning baseline", "vjp",
      slip="The gradient is cut wherever the ratio leaves the clip range; it may only be cut where the clipped branch is the minimum (adv > 0 and ratio high, or adv < 0 and ratio low).",
      wrong=("logp",), causes=("elementwise-factor", "zero", "missing-term"))
def ppo_clipped_surrogate():
    def forward(logp, values, logp_old, adv, ret, clip, vf_coef):
        ratio = np.exp(logp - logp_old)
        surr1 = ratio * adv
        surr2 = np.clip(ratio, 1 - clip, 1 + clip) * adv
        pi_loss = -np.minimum(surr1, surr2).mean()
        v_loss = ((values - ret) ** 2).mean()
        return pi_loss + vf_coef * v_loss, (ratio, adv, clip, values, ret, vf_coef)

    def backward(dout, cache):
        ratio, adv, clip, values, ret, vf_coef = cache
        n = ratio.size
        inside = (ratio > 1 - clip) & (ratio < 1 + clip)
        dlogp = -(inside * adv * ratio) / n * dout
        dvalues = 2 * vf_coef * (values - ret) / n * dout
        return dlogp, dvalues

    r = np.random.default_rng(4)
    old = -np.abs(r.normal(size=6))
    return dict(forward=forward, backward=backward,
                constants=dict(logp_old=old, adv=np.array([1.2, -0.7, 0.5, -1.1, 0.9, -0.4]), ret=r.normal(size=6), clip=0.2, vf_coef=0.5),
                inputs=dict(logp=old + np.array([0.05, 0.5, 0.6, -0.5, -0.6, 0.1]), values=r.normal(size=6)))


@item("contrastive learning research code", "vjp",
      slip="The text side's normalisation is backed up as d/||t|| only; the projection t_hat (t_hat . d) must be taken off as on the image side.",
      wrong=("txt",), causes=("missing-term",))
def clip_symmetric_loss():
    def forward(img, txt, log_scale):
        ni = np.linalg.norm(img, axis=1, keepdims=True)
        nt = np.linalg.norm(txt, axis=1, keepdims=True)
        i, t = img / ni, txt / nt
        sim = i @ t.T
        logits = np.exp(log_scale) * sim
        lp_r = logits - special.logsumexp(logits, axis=1, keepdims=True)
        lp_c = logits - special.logsumexp(logits, axis=0, keepdims=True)
        loss = -0.5 * (np.diag(lp_r).mean() + np.diag(lp_c).mean())
        return loss, (i, t, ni, nt, sim, log_scale, lp_r, lp_c)

    def backward(g, cache):
        i, t, ni, nt, sim, log_scale, lp_r, lp_c = cache
        n = len(i)
        s = np.exp(log_scale)
        dlogits = g * 0.5 * (np.exp(lp_r) + np.exp(lp_c) - 2 * np.eye(n)) / n
        dls = np.sum(dlogits * sim) * s
        di = s * dlogits @ t
        dt = s * dlogits.T @ i
        dimg = (di - i * (i * di).sum(1, keepdims=True)) / ni
        dtxt = dt / nt
        return {"img": dimg, "txt": dtxt, "log_scale": np.array(dls)}

    r = np.random.default_rng(5)
    return dict(forward=forward, backward=backward,
                inputs=dict(img=r.normal(size=(4, 3)), txt=r.normal(size=(4, 3)), log_scale=np.array(0.9)))


@item("normalizing flow research code", "vjp", slip="The log determinant's own gradient into s is forgotten: ds needs + d(logdet).",
      wrong=("x", "Ws", "bs"), causes=("missing-term",))
def affine_coupling_nll():
    def forward(x, Ws, bs, Wt, bt):
        d = x.shape[1] // 2
        xa, xb = x[:, :d], x[:, d:]
        s = np.tanh(xa @ Ws + bs)
        t = xa @ Wt + bt
        zb = xb * np.exp(s) + t
        logdet = s.sum(1)
        logp = -0.5 * (xa ** 2).sum(1) - 0.5 * (zb ** 2).sum(1) + logdet
        return logp, (xa, xb, s, zb, Ws, Wt)

    def backward(dlogp, cache):
        xa, xb, s, zb, Ws, Wt = cache
        g = dlogp[:, None]
        dzb = -g * zb
        dxb = dzb * np.exp(s)
        ds = dzb * xb * np.exp(s)
        dt = dzb
        dpre = ds * (1 - s * s)
        dxa = -g * xa + dpre @ Ws.T + dt @ Wt.T
        return {"x": np.concatenate([dxa, dxb], 1), "Ws": xa.T @ dpre, "bs": dpre.sum(0), "Wt": xa.T @ dt, "bt": dt.sum(0)}

    r = np.random.default_rng(6)
    return dict(forward=forward, backward=backward, inputs=dict(
        x=r.normal(size=(4, 4)), Ws=r.normal(size=(2, 2)), bs=r.normal(size=2), Wt=r.normal(size=(2, 2)), bt=r.normal(size=2)))


@item("framework port, recurrent cell", "vjp",
      slip="dh of the step before lacks the direct path z * dh through h' = (1-z) n + z h.",
      wrong=("x", "h0", "Wz", "Uz", "Wn", "Un"), causes=("missing-term", "unknown"))
def minimal_gru_unrolled():
    def sigm(a):
        return 1 / (1 + np.exp(-a))

    def forward(x, h0, Wz, Uz, Wn, Un):
        h, steps = h0, []
        for t in range(x.shape[1]):
            z = sigm(x[:, t] @ Wz + h @ Uz)
            n = np.tanh(x[:, t] @ Wn + h @ Un)
            steps.append((h, z, n))
            h = (1 - z) * n + z * h
        return h, (x, steps, Wz, Uz, Wn, Un)

    def backward(dh, cache):
        x, steps, Wz, Uz, Wn, Un = cache
        g = {"x": np.zeros_like(x)}
        for k, v in (("Wz", Wz), ("Uz", Uz), ("Wn", Wn), ("Un", Un)):
            g[k] = np.zeros_like(v)
        for t in reversed(range(x.shape[1])):
            h, z, n = steps[t]
            dz = dh * (h - n) * z * (1 - z)
            dn = dh * (1 - z) * (1 - n ** 2)
            g["Wz"] += x[:, t].T @ dz
            g["Uz"] += h.T @ dz
            g["Wn"] += x[:, t].T @ dn
            g["Un"] += h.T @ dn
            g["x"][:, t] = dz @ Wz.T + dn @ Wn.T
            dh = dz @ Uz.T + dn @ Un.T
        g["h0"] = dh
        return g

    r = np.random.default_rng(7)
    return dict(forward=forward, backward=backward, inputs=dict(
        x=r.normal(size=(3, 3, 2)), h0=r.normal(size=(3, 3)), Wz=r.normal(size=(2, 3)), Uz=r.normal(size=(3, 3)),
        Wn=r.normal(size=(2, 3)), Un=r.normal(size=(3, 3))))


@item("vanilla RNN lecture code", "vjp", slip="Whh's gradient multiplies with hs[t]; it is the state before, hs[t-1].",
      wrong=("Whh",), causes=("elementwise-factor", "missing-term", "unknown"))
def char_rnn_sequence_loss():
    def forward(Wxh, Whh, Why, bh, by, inputs, targets):
        hs = {-1: np.zeros(Whh.shape[0])}
        ps, loss = {}, 0.0
        for t, (i, k) in enumerate(zip(inputs, targets)):
            hs[t] = np.tanh(Wxh[:, i] + Whh @ hs[t - 1] + bh)
            y = Why @ hs[t] + by
            e = np.exp(y - y.max())
            ps[t] = e / e.sum()
            loss += -np.log(ps[t][k])
        return loss, (Whh, Why, Wxh, hs, ps, inputs, targets)

    def backward(dloss, cache):
        Whh, Why, Wxh, hs, ps, inputs, targets = cache
        dWxh, dWhh, dWhy = np.zeros_like(Wxh), np.zeros_like(Whh), np.zeros_like(Why)
        dbh, dby = np.zeros(Whh.shape[0]), np.zeros(Why.shape[0])
        dhnext = np.zeros(Whh.shape[0])
        for t in reversed(range(len(inputs))):
            dy = ps[t].copy()
            dy[targets[t]] -= 1
            dy *= dloss
            dWhy += np.outer(dy, hs[t])
            dby += dy
            dh = Why.T @ dy + dhnext
            dhraw = (1 - hs[t] ** 2) * dh
            dbh += dhraw
            dWxh[:, inputs[t]] += dhraw
            dWhh += np.outer(dhraw, hs[t])
            dhnext = Whh.T @ dhraw
        return dWxh, dWhh, dWhy, dbh, dby

    r = np.random.RandomState(8)
    return dict(forward=forward, backward=backward, constants=dict(inputs=[0, 2, 1, 3, 2], targets=[2, 1, 3, 2, 0]),
                inputs=dict(Wxh=r.randn(3, 4), Whh=0.7 * r.randn(3, 3), Why=r.randn(4, 3), bh=r.randn(3), by=r.randn(4)))


@item("physics, molecular mechanics", "vjp",
      slip="Forces are gathered with fancy-index +=, which keeps only one spring for each particle that stands in several; np.add.at is needed.",
      wrong=("pos",), causes=("missing-term", "batch-sum"))
def spring_network_energy():
    def forward(pos, k, rest, bonds):
        i, j = bonds.T
        rij = pos[i] - pos[j]
        length = np.sqrt(np.sum(rij ** 2, axis=-1))
        ext = length - rest
        E = 0.5 * np.sum(k * ext ** 2)
        return E, (pos.shape, i, j, rij, length, ext, k)

    def backward(dE, cache):
        shape, i, j, rij, length, ext, k = cache
        f = dE * (k * ext / length)[:, None] * rij
        dpos = np.zeros(shape)
        dpos[i] += f
        dpos[j] -= f
        return {"pos": dpos, "k": 0.5 * dE * ext ** 2, "rest": -dE * k * ext}

    r = np.random.default_rng(9)
    return dict(forward=forward, backward=backward,
                constants=dict(bonds=np.array([[0, 1], [0, 2], [1, 2], [2, 3], [3, 0]])),
                inputs=dict(pos=2 * r.normal(size=(4, 3)), k=r.uniform(1, 2, 5), rest=r.uniform(0.5, 1.5, 5)))


@item("physics, molecular dynamics", "vjp", slip="dE/dsigma has the sign of dE/dr; E depends on sigma/r, so it is +24 eps (2 sr12 - sr6)/sigma.",
      wrong=("sigma",), causes=("sign",))
def lennard_jones_cluster():
    def forward(coords, epsilon, sigma):
        n = len(coords)
        iu = np.triu_indices(n, 1)
        d = coords[iu[0]] - coords[iu[1]]
        r2 = np.einsum("ij,ij->i", d, d)
        sr6 = (sigma ** 2 / r2) ** 3
        sr12 = sr6 ** 2
        return np.sum(4 * epsilon * (sr12 - sr6)), (iu, d, r2, sr6, sr12, epsilon, sigma, n)

    def backward(g, cache):
        iu, d, r2, sr6, sr12, epsilon, sigma, n = cache
        w = -24 * epsilon * (2 * sr12 - sr6)
        gc = np.zeros((n, d.shape[1]))
        pair = (w / r2)[:, None] * d
        np.add.at(gc, iu[0], pair)
        np.subtract.at(gc, iu[1], pair)
        return {"coords": g * gc, "epsilon": np.array(g * 4 * (sr12 - sr6).sum()), "sigma": np.array(g * w.sum() / sigma)}

    c = np.array([[0, 0, 0], [1.2, 0.1, 0], [0.2, 1.3, 0.3], [0.9, 0.8, 1.1]])
    return dict(forward=forward, backward=backward, inputs=dict(coords=c, epsilon=np.array(0.8), sigma=np.array(1.1)))


@item("physics, adjoint of an integrator", "vjp",
      slip="The momentum was kicked before the drift, so the kick's adjoint must use the momentum's adjoint after dt*dq was added; here the old dp is used.",
      wrong=("q0", "p0", "g"), causes=("missing-term", "unknown"))
def pendulum_symplectic_euler():
    def forward(q0, p0, g, dt, n_steps):
        q, p = q0, p0
        traj = []
        for _ in range(n_steps):
            traj.append(q)
            p = p - dt * g * np.sin(q)
            q = q + dt * p
        return np.stack([q, p]), (traj, g, dt)

    def backward(dy, cache):
        traj, g, dt = cache
        dq, dp = dy[0], dy[1]
        dg = 0.0
        for q in reversed(traj):
            dp_new = dp + dt * dq
            dg = dg - dt * np.sum(dp * np.sin(q))
            dq = dq - dt * g * np.cos(q) * dp
            dp = dp_new
        return {"q0": dq, "p0": dp, "g": np.array(dg)}

    r = np.random.default_rng(11)
    return dict(forward=forward, backward=backward, constants=dict(dt=0.2, n_steps=6),
                inputs=dict(q0=r.normal(size=3), p0=r.normal(size=3), g=np.array(2.0)))


@item("NLP notebook", "vjp", slip="The context is a mean of the window's embeddings; each embedding's gradient needs 1/window.",
      wrong=("E",), causes=("factor",))
def cbow_softmax():
    def forward(E, W, contexts, targets):
        h = E[contexts].mean(axis=1)
        scores = h @ W
        scores = scores - scores.max(axis=1, keepdims=True)
        probs = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        loss = -np.log(probs[range(len(targets)), targets]).mean()
        return loss, {"E": E, "W": W, "h": h, "probs": probs, "ctx": contexts, "t": targets}

    def backward(dloss, c):
        n = len(c["t"])
        d = c["probs"].copy()
        d[range(n), c["t"]] -= 1
        d = d * dloss / n
        dh = d @ c["W"].T
        dE = np.zeros_like(c["E"])
        for k in range(c["ctx"].shape[1]):
            np.add.at(dE, c["ctx"][:, k], dh)
        return {"E": dE, "W": c["h"].T @ d}

    r = np.random.default_rng(13)
    return dict(forward=forward, backward=backward,
                constants=dict(contexts=np.array([[0, 1, 3, 4], [1, 2, 4, 5], [2, 3, 5, 0]]), targets=np.array([2, 3, 4])),
                inputs=dict(E=r.normal(size=(6, 3)), W=r.normal(size=(3, 6))))


@item("graphics, differentiable rendering", "vjp",
      slip="A sample's alpha also dims all samples behind it; dalpha lacks the term - sum_{j>i} w_j c_j / (1 - alpha_i).",
      wrong=("sigma",), causes=("missing-term",))
def volume_rendering_ray():
    def forward(sigma, rgb, deltas):
        alpha = 1.0 - np.exp(-sigma * deltas)
        trans = np.cumprod(np.concatenate([np.ones_like(alpha[:, :1]), 1.0 - alpha[:, :-1]], axis=1), axis=1)
        weights = trans * alpha
        color = np.sum(weights[..., None] * rgb, axis=1)
        return color, (sigma, rgb, deltas, alpha, trans, weights)

    def backward(dcolor, cache):
        sigma, rgb, deltas, alpha, trans, weights = cache
        drgb = weights[..., None] * dcolor[:, None, :]
        dweights = np.sum(rgb * dcolor[:, None, :], axis=-1)
        dalpha = dweights * trans
        dsigma = dalpha * deltas * (1.0 - alpha)
        return {"sigma": dsigma, "rgb": drgb}

    r = np.random.default_rng(14)
    return dict(forward=forward, backward=backward, constants=dict(deltas=r.uniform(0.2, 0.6, (3, 4))),
                inputs=dict(sigma=r.uniform(0.3, 2, (3, 4)), rgb=r.uniform(0, 1, (3, 4, 3))))


@item("graphics, texture lookup", "vjp", slip="The pixel scales are swapped: u runs over the width (W-1) and v over the height (H-1).",
      wrong=("uv",), causes=("elementwise-factor",))
def bilinear_texture_sample():
    def forward(tex, uv):
        H, W = tex.shape
        px, py = uv[:, 0] * (W - 1), uv[:, 1] * (H - 1)
        x0, y0 = np.floor(px).astype(int), np.floor(py).astype(int)
        fx, fy = px - x0, py - y0
        t00, t10 = tex[y0, x0], tex[y0, x0 + 1]
        t01, t11 = tex[y0 + 1, x0], tex[y0 + 1, x0 + 1]
        out = (t00 * (1 - fx) + t10 * fx) * (1 - fy) + (t01 * (1 - fx) + t11 * fx) * fy
        return out, (tex.shape, x0, y0, fx, fy, t00, t10, t01, t11)

    def backward(dout, cache):
        (H, W), x0, y0, fx, fy, t00, t10, t01, t11 = cache
        dtex = np.zeros((H, W))
        np.add.at(dtex, (y0, x0), dout * (1 - fx) * (1 - fy))
        np.add.at(dtex, (y0, x0 + 1), dout * fx * (1 - fy))
        np.add.at(dtex, (y0 + 1, x0), dout * (1 - fx) * fy)
        np.add.at(dtex, (y0 + 1, x0 + 1), dout * fx * fy)
        dfx = (t10 - t00) * (1 - fy) + (t11 - t01) * fy
        dfy = (t01 - t00) * (1 - fx) + (t11 - t10) * fx
        duv = np.stack([dout * dfx * (H - 1), dout * dfy * (W - 1)], axis=1)
        return dtex, duv

    r = np.random.default_rng(15)
    return dict(forward=forward, backward=backward, inputs=dict(tex=r.normal(size=(4, 6)), uv=np.array(
        [[0.13, 0.45], [0.5, 0.2], [0.87, 0.72], [0.31, 0.9], [0.55, 0.51]])))


@item("statistics, survival analysis", "vjp",
      slip="The sum over the events at whose time the subject was at risk runs from the wrong end: cumsum(delta/S) is needed, not the reversed one.",
      wrong=("X", "beta"), causes=("missing-term", "shape", "unknown", "elementwise-factor", "transpose"))
def cox_partial_likelihood():
    # rows sorted by increasing time; event[i] is 1 for a death
    def forward(X, beta, event):
        eta = X @ beta
        w = np.exp(eta)
        risk = np.cumsum(w[::-1])[::-1]
        ll = np.sum(event * (eta - np.log(risk)))
        return ll, (X, beta, w, risk, event)

    def backward(dll, cache):
        X, beta, w, risk, event = cache
        haz = np.cumsum((event / risk)[::-1])[::-1]
        resid = dll * (event - w * haz)
        return np.outer(resid, beta), X.T @ resid

    r = np.random.default_rng(16)
    return dict(forward=forward, backward=backward, constants=dict(event=np.array([1., 0., 1., 1., 0., 1.])),
                inputs=dict(X=r.normal(size=(6, 2)), beta=r.normal(size=2)))


@item("statistics, Gaussian processes", "vjp", slip="The noise is exp(log_noise); its gradient trace(dK) must be times the noise variance.",
      wrong=("log_noise",), causes=("factor", "elementwise-factor"))
def gp_marginal_likelihood():
    def forward(y, log_ell, log_sf, log_noise, X):
        d2 = ((X[:, None] - X[None]) ** 2).sum(-1)
        ell2, sf2, sn2 = np.exp(2 * log_ell), np.exp(2 * log_sf), np.exp(log_noise)
        Kf = sf2 * np.exp(-0.5 * d2 / ell2)
        K = Kf + sn2 * np.eye(len(y))
        cf = cho_factor(K, lower=True)
        alpha = cho_solve(cf, y)
        lml = -0.5 * y @ alpha - np.log(np.diag(cf[0])).sum() - 0.5 * len(y) * np.log(2 * np.pi)
        return lml, dict(d2=d2, ell2=ell2, sn2=sn2, Kf=Kf, cf=cf, alpha=alpha)

    def backward(g, c):
        a = c["alpha"]
        Kinv = cho_solve(c["cf"], np.eye(len(a)))
        dK = 0.5 * g * (np.outer(a, a) - Kinv)
        return {"y": -g * a,
                "log_ell": np.array(np.sum(dK * c["Kf"] * c["d2"] / c["ell2"])),
                "log_sf": np.array(2 * np.sum(dK * c["Kf"])),
                "log_noise": np.array(np.trace(dK))}

    r = np.random.default_rng(17)
    return dict(forward=forward, backward=backward, constants=dict(X=r.normal(size=(6, 2))),
                inputs=dict(y=r.normal(size=6), log_ell=np.array(0.2), log_sf=np.array(0.1), log_noise=np.array(-1.2)))


@item("reinforcement learning, layer dicts", "vjp", slip="Q = V + A - mean(A): dA must be dQ - mean(dQ); the mean's path is forgotten.",
      wrong=("s", "Wh", "Wa", "ba"), causes=("missing-term",))
def dueling_head():
    def forward(s, Wh, Wv, bv, Wa, ba):
        h = np.maximum(0, s @ Wh)
        v = h @ Wv + bv
        a = h @ Wa + ba
        q = v + (a - a.mean(axis=1, keepdims=True))
        return q, {"s": s, "h": h, "Wh": Wh, "Wv": Wv, "Wa": Wa}

    def backward(dq, c):
        grads = {}
        dv = dq.sum(axis=1, keepdims=True)
        da = dq
        grads["Wv"] = c["h"].T @ dv
        grads["bv"] = dv.sum(axis=0)
        grads["Wa"] = c["h"].T @ da
        grads["ba"] = da.sum(axis=0)
        dh = dv @ c["Wv"].T + da @ c["Wa"].T
        dh[c["h"] <= 0] = 0
        grads["Wh"] = c["s"].T @ dh
        grads["s"] = dh @ c["Wh"].T
        return grads

    r = np.random.default_rng(18)
    return dict(forward=forward, backward=backward, inputs=dict(
        s=r.normal(size=(4, 3)), Wh=r.normal(size=(3, 5)), Wv=r.normal(size=(5, 1)), bv=r.normal(size=1),
        Wa=r.normal(size=(5, 3)), ba=r.normal(size=3)))


@item("reinforcement learning, advantage estimation", "vjp",
      slip="The recursion's adjoint carries gamma*lam back without the (1 - done) of the forward recursion; episodes leak into one another.",
      wrong=("rewards", "values"), causes=("elementwise-factor", "missing-term", "unknown"))
def generalized_advantage():
    def forward(rewards, values, dones, gamma, lam):
        T = len(rewards)
        adv = np.zeros_like(rewards)
        last = 0.0
        for t in reversed(range(T)):
            nonterm = 1.0 - dones[t]
            delta = rewards[t] + gamma * values[t + 1] * nonterm - values[t]
            last = delta + gamma * lam * nonterm * last
            adv[t] = last
        return adv, (dones, gamma, lam)

    def backward(dadv, cache):
        dones, gamma, lam = cache
        T = len(dadv)
        dr, dv = np.zeros(T), np.zeros(T + 1)
        carry = 0.0
        for t in range(T):
            carry = dadv[t] + carry
            dr[t] = carry
            dv[t] -= carry
            dv[t + 1] += gamma * (1.0 - dones[t]) * carry
            carry = gamma * lam * carry
        return {"rewards": dr, "values": dv}

    r = np.random.default_rng(19)
    return dict(forward=forward, backward=backward, constants=dict(dones=np.array([0., 0., 1., 0., 0., 0.]), gamma=0.95, lam=0.9),
                inputs=dict(rewards=r.normal(size=6), values=r.normal(size=7)))


@item("speech, hidden Markov model", "vjp", slip="The expected transitions come out as (to, from); logA is (from, to), so xi must be transposed.",
      wrong=("logA",), causes=("transpose",))
def hmm_forward_algorithm():
    def forward(logpi, logA, logB):
        T, K = logB.shape
        la = np.empty((T, K))
        la[0] = logpi + logB[0]
        for t in range(1, T):
            la[t] = logB[t] + special.logsumexp(la[t - 1][:, None] + logA, axis=0)
        return special.logsumexp(la[-1]), (la, logA, logB)

    def backward(dll, cache):
        la, logA, logB = cache
        T, K = logB.shape
        ll = special.logsumexp(la[-1])
        lb = np.zeros((T, K))
        for t in range(T - 2, -1, -1):
            lb[t] = special.logsumexp(logA + logB[t + 1] + lb[t + 1], axis=1)
        gamma = np.exp(la + lb - ll)
        xi = np.zeros((K, K))
        for t in range(T - 1):
            xi += np.exp((logB[t + 1] + lb[t + 1])[:, None] + logA.T + la[t][None, :] - ll)
        return dict(logpi=dll * gamma[0], logA=dll * xi, logB=dll * gamma)

    r = np.random.default_rng(20)
    n = lambda a: a - special.logsumexp(a, axis=-1, keepdims=True)
    return dict(forward=forward, backward=backward, inputs=dict(
        logpi=n(r.normal(size=3)), logA=n(1.5 * r.normal(size=(3, 3))), logB=r.normal(size=(5, 3))))


@item("normalizing flow, functional", "vjp",
      slip="The log determinant log|1 + u.psi| also depends on w directly (psi = h' w); its path g h' u / det into w is forgotten.",
      wrong=("w",), causes=("missing-term",))
def planar_flow_density():
    def forward(z, u, w, b):
        a = z @ w + b
        h = np.tanh(a)
        hp = 1 - h ** 2
        uw = u @ w
        det = 1 + hp * uw
        znew = z + h[:, None] * u
        out = -0.5 * np.sum(znew ** 2, axis=1) + np.log(np.abs(det))
        return out, (z, u, w, h, hp, uw, det, znew)

    def backward(g, cache):
        z, u, w, h, hp, uw, det, znew = cache
        gz = -g[:, None] * znew
        gdet = g / det
        gh = gz @ u
        ga = gh * hp + gdet * uw * (-2 * h * hp)
        guw = np.sum(gdet * hp)
        du = h @ gz + guw * w
        dw = z.T @ ga
        db = ga.sum()
        dz = gz + np.outer(ga, w)
        return {"z": dz, "u": du, "w": dw, "b": np.asarray(db)}

    return dict(forward=forward, backward=backward, inputs=dict(
        z=np.random.default_rng(21).normal(size=(5, 2)), u=np.array([0.7, -0.4]), w=np.array([0.9, 0.5]), b=np.array(0.2)))


@item("metric learning", "vjp", slip="For the dissimilar pairs the distance's slope diff/d lacks its 1/d.",
      wrong=("x1", "x2"), causes=("elementwise-factor",))
def siamese_margin_loss():
    def forward(x1, x2, same, margin):
        diff = x1 - x2
        dist = np.sqrt((diff * diff).sum(1))
        hinge = np.maximum(margin - dist, 0.0)
        loss = 0.5 * np.mean(same * dist ** 2 + (1 - same) * hinge ** 2)
        return loss, (diff, dist, hinge, same)

    def backward(dloss, cache):
        diff, dist, hinge, same = cache
        n = len(diff)
        coef = same - (1 - same) * hinge
        ddiff = dloss * coef[:, None] * diff / n
        return ddiff, -ddiff

    r = np.random.default_rng(22)
    return dict(forward=forward, backward=backward, constants=dict(same=np.array([1., 0., 0., 1., 0.]), margin=4.0),
                inputs=dict(x1=r.normal(size=(5, 3)), x2=r.normal(size=(5, 3))))


@item("ordinal statistics, object with methods", "vjp",
      slip="cuts = first + cumsum(exp(gaps)): the adjoint of a cumsum is a cumsum from the end; here it runs from the front.",
      wrong=("gaps",), causes=("missing-term", "shape", "unknown", "elementwise-factor", "transpose"))
def ordered_logit():
    class OrderedLogit:
        def __init__(self, y):
            self.y = y

        def forward(self, eta, first, gaps):
            widths = np.exp(gaps)
            cuts = np.concatenate([[first], first + np.cumsum(widths)])
            F = special.expit(cuts[None] - eta[:, None])
            Fp = np.pad(F, ((0, 0), (1, 1)), constant_values=((0, 0), (0, 1)))
            n = np.arange(len(eta))
            like = Fp[n, self.y + 1] - Fp[n, self.y]
            return -np.log(like), (F, widths, like, n)

        def backward(self, dnll, cache):
            F, widths, like, n = cache
            dFp = np.zeros((F.shape[0], F.shape[1] + 2))
            dFp[n, self.y + 1] = -dnll / like
            dFp[n, self.y] = dnll / like
            da = dFp[:, 1:-1] * F * (1 - F)
            dcuts = da.sum(0)
            dgaps = np.cumsum(dcuts[1:]) * widths
            return {"eta": -da.sum(1), "first": np.array(dcuts.sum()), "gaps": dgaps}

    m = OrderedLogit(np.array([0, 2, 1, 3, 2, 4]))
    r = np.random.default_rng(23)
    return dict(forward=m.forward, backward=m.backward,
                inputs=dict(eta=r.normal(size=6), first=np.array(-1.0), gaps=np.array([-0.2, 0.1, 0.3])))


# ------------------------------------------------------------------ wrong, gradients


@item("VAE course project", "gradients", slip="The sample's path into logvar lacks eps: d z/d logvar = 0.5 * std * eps.",
      wrong=("enc_W", "enc_b", "lv_W", "lv_b"), causes=("elementwise-factor",))
def bernoulli_vae_small():
    class VAE:
        def __init__(self, D=5, H=4, Z=2):
            r = np.random.default_rng(30)
            n = lambda *s: 0.6 * r.normal(size=s)
            self.params = dict(enc_W=n(D, H), enc_b=n(H), mu_W=n(H, Z), mu_b=n(Z), lv_W=n(H, Z), lv_b=n(Z), dec_W=n(Z, D), dec_b=n(D))

        def encode(self, x):
            p = self.params
            h = np.tanh(x @ p["enc_W"] + p["enc_b"])
            return h @ p["mu_W"] + p["mu_b"], h @ p["lv_W"] + p["lv_b"], (x, h)

        def objective(self, x, eps, beta=1.0):
            p = self.params
            mu, logvar, (x, h) = self.encode(x)
            std = np.exp(0.5 * logvar)
            z = mu + std * eps
            logits = z @ p["dec_W"] + p["dec_b"]
            nll = np.sum(np.logaddexp(0, logits) - x * logits, axis=1)
            kl = 0.5 * np.sum(mu ** 2 + np.exp(logvar) - 1 - logvar, axis=1)
            return SimpleNamespace(objective=-nll - beta * kl, nll=nll, kl=kl), (x, h, mu, logvar, std, eps, z, logits, beta)

        def backward(self, dobj, cache):
            x, h, mu, logvar, std, eps, z, logits, beta = cache
            p, g = self.params, {}
            d = dobj[:, None]
            dlogits = d * (x - special.expit(logits))
            g["dec_W"], g["dec_b"] = z.T @ dlogits, dlogits.sum(0)
            dz = dlogits @ p["dec_W"].T
            dmu = dz - d * beta * mu
            dlv = 0.5 * dz * std - d * beta * 0.5 * (np.exp(logvar) - 1)
            g["mu_W"], g["mu_b"] = h.T @ dmu, dmu.sum(0)
            g["lv_W"], g["lv_b"] = h.T @ dlv, dlv.sum(0)
            da = (dmu @ p["mu_W"].T + dlv @ p["lv_W"].T) * (1 - h ** 2)
            g["enc_W"], g["enc_b"] = x.T @ da, da.sum(0)
            return g

    r = np.random.default_rng(31)
    return dict(model=VAE(), x=(r.uniform(size=(4, 5)) < 0.5).astype(float), eps=r.normal(size=(4, 2)))


@item("autoencoder with tied weights", "gradients", slip="W is also the decoder (transposed); only the encoder's share of its gradient is returned.",
      wrong=("W",), causes=("missing-term",))
def tied_autoencoder():
    class TiedAE:
        def __init__(self):
            r = np.random.RandomState(32)
            self.params = {"W": r.randn(4, 3), "b": r.randn(3), "c": r.randn(4)}

        def objective(self, x, eps=None, beta=1.0):
            W, b, c = (self.params[k] for k in "Wbc")
            h = special.expit(x @ W + b)
            rec = h @ W.T + c
            sq = 0.5 * ((rec - x) ** 2).sum(axis=1)
            return SimpleNamespace(objective=-sq), (x, h, rec)

        def backward(self, dobjective, cache):
            x, h, rec = cache
            W = self.params["W"]
            drec = dobjective[:, None] * (x - rec)
            dh = drec @ W
            da = dh * h * (1 - h)
            return {"W": x.T @ da, "b": da.sum(0), "c": drec.sum(0)}

    return dict(model=TiedAE(), x=np.random.RandomState(33).randn(5, 4))


@item("mixture density network", "gradients", slip="The log sigma head's gradient lacks the -1 of the density's normaliser: resp * (e**2 - 1).",
      wrong=("W", "b", "Ws"), causes=("missing-term",))
def mixture_density_net():
    class MDN:
        def __init__(self, K=3, H=4):
            g = np.random.default_rng(34)
            self.params = dict(W=g.normal(size=(2, H)), b=g.normal(size=H), Wp=g.normal(size=(H, K)),
                               Wm=g.normal(size=(H, K)), Ws=0.4 * g.normal(size=(H, K)))

        def objective(self, x, eps=None, beta=1.0):
            P = self.params
            inp, y = x[:, :2], x[:, 2:]
            h = np.tanh(inp @ P["W"] + P["b"])
            lo, m, ls = h @ P["Wp"], h @ P["Wm"], h @ P["Ws"]
            logpi = lo - special.logsumexp(lo, axis=1, keepdims=True)
            e = (y - m) * np.exp(-ls)
            comp = logpi - 0.5 * e ** 2 - ls - 0.5 * np.log(2 * np.pi)
            ll = special.logsumexp(comp, axis=1)
            return SimpleNamespace(objective=ll, nll=-ll), dict(inp=inp, h=h, logpi=logpi, e=e, ls=ls, r=np.exp(comp - ll[:, None]))

        def backward(self, dobjective, c):
            P = self.params
            w = dobjective[:, None]
            dlo = w * (c["r"] - np.exp(c["logpi"]))
            dm = w * c["r"] * c["e"] * np.exp(-c["ls"])
            dls = w * c["r"] * c["e"] ** 2
            dh = dlo @ P["Wp"].T + dm @ P["Wm"].T + dls @ P["Ws"].T
            da = dh * (1 - c["h"] ** 2)
            return dict(W=c["inp"].T @ da, b=da.sum(0), Wp=c["h"].T @ dlo, Wm=c["h"].T @ dm, Ws=c["h"].T @ dls)

    return dict(model=MDN(), x=np.random.default_rng(35).normal(size=(5, 3)))


@item("layer list, small library", "gradients", slip="The last bias sums the loss's slope without the rows' weights dobjective.",
      wrong=("b1",), causes=("batch-sum", "elementwise-factor", "factor"))
def layer_list_classifier():
    class Net:
        sizes = (3, 4, 3)

        def __init__(self):
            rs = np.random.RandomState(36)
            self.params = {}
            for l, (i, o) in enumerate(zip(self.sizes[:-1], self.sizes[1:])):
                self.params["W%d" % l] = rs.randn(i, o)
                self.params["b%d" % l] = 0.3 * rs.randn(o)

        def objective(self, x, eps=None, beta=1.0):
            p = self.params
            a0 = x @ p["W0"] + p["b0"]
            h0 = a0 * special.expit(a0)
            logits = h0 @ p["W1"] + p["b1"]
            lp = special.log_softmax(logits, axis=1)
            labels = x.argmax(axis=1)
            return SimpleNamespace(objective=lp[np.arange(len(x)), labels]), (x, a0, h0, lp, labels)

        def backward(self, dobjective, cache):
            x, a0, h0, lp, labels = cache
            delta = np.eye(3)[labels] - np.exp(lp)
            weighted = delta * dobjective[:, None]
            s = special.expit(a0)
            d0 = (weighted @ self.params["W1"].T) * (s + a0 * s * (1 - s))
            return {"W1": h0.T @ weighted, "b1": delta.sum(axis=0), "W0": x.T @ d0, "b0": d0.sum(axis=0)}

    return dict(model=Net(), x=np.random.RandomState(37).randn(5, 3))


@item("sequence model, many to many", "gradients", slip="The output bias receives only the last time step's slope; it must be summed over all steps.",
      wrong=("by",), causes=("missing-term", "batch-sum", "shape"))
def elman_next_value():
    class Elman:
        def __init__(self):
            g = np.random.default_rng(38)
            self.params = {"U": g.normal(size=(1, 3)), "R": 0.6 * g.normal(size=(3, 3)), "bh": g.normal(size=3), "V": g.normal(size=3), "by": np.array([0.3])}

        def objective(self, x, eps=None, beta=1.0):
            p = self.params
            B, T = x.shape
            h = np.zeros((B, T, 3))
            prev = np.zeros((B, 3))
            for t in range(T):
                prev = h[:, t] = np.tanh(x[:, t:t + 1] @ p["U"] + prev @ p["R"] + p["bh"])
            yhat = h[:, :-1] @ p["V"] + p["by"]
            err = yhat - x[:, 1:]
            return SimpleNamespace(objective=-0.5 * (err ** 2).sum(1)), (x, h, err)

        def backward(self, dobjective, cache):
            x, h, err = cache
            p = self.params
            g = {k: np.zeros_like(v) for k, v in p.items()}
            dh = np.zeros((len(x), 3))
            for t in range(x.shape[1] - 2, -1, -1):
                dy = -dobjective * err[:, t]
                g["V"] += dy @ h[:, t]
                g["by"][...] = dy.sum()
                dh = dh + dy[:, None] * p["V"]
                da = dh * (1 - h[:, t] ** 2)
                g["U"] += x[:, t][None] @ da
                g["bh"] += da.sum(0)
                if t > 0:
                    g["R"] += h[:, t - 1].T @ da
                dh = da @ p["R"].T
            return g

    m = Elman()
    return dict(model=m, x=np.random.default_rng(39).normal(size=(4, 5)))


# ------------------------------------------------------------------ right, vjp


@item("residual net with own buffers", "vjp", right=True)
def inplace_residual_stack():
    def forward(x, A, c):
        h = x.copy()
        saved = []
        for W, b in zip(A, c):
            buf = np.empty_like(h)
            np.matmul(h, W, out=buf)
            buf += b
            np.tanh(buf, out=buf)
            saved.append((h.copy(), buf))
            h += buf
        return h, (saved, A)

    def backward(dy, cache):
        saved, A = cache
        dA, dc = np.empty_like(A), np.empty(A.shape[:2])
        dh = np.array(dy, copy=True)
        for l in range(len(A) - 1, -1, -1):
            h, t = saved[l]
            da = np.multiply(t, t)
            np.subtract(1.0, da, out=da)
            da *= dh
            np.matmul(h.T, da, out=dA[l])
            da.sum(axis=0, out=dc[l])
            dh += da @ A[l].T
        return dh, dA, dc

    r = np.random.default_rng(50)
    return dict(forward=forward, backward=backward, inputs=dict(x=r.normal(size=(4, 3)), A=r.normal(size=(3, 3, 3)), c=r.normal(size=(3, 3))))


@item("logistic regression, extreme scores", "vjp", right=True)
def logistic_huge_logits():
    def forward(X, w, b, y):
        s = np.where(y > 0, -1.0, 1.0) * (X @ w + b)
        return np.logaddexp(0.0, s).mean(), (X, w, s, y)

    def backward(dl, cache):
        X, w, s, y = cache
        ds = np.exp(-np.logaddexp(0.0, -s)) * dl / s.size
        deta = np.where(y > 0, -ds, ds)
        return {"X": deta[:, None] * w, "w": deta @ X, "b": deta.sum()}

    r = np.random.default_rng(51)
    X = r.normal(size=(5, 3)) * np.array([[1.], [300.], [1.], [800.], [0.01]])
    return dict(forward=forward, backward=backward, constants=dict(y=np.array([1, 0, 0, 1, 1])), inputs=dict(X=X, w=r.normal(size=3), b=np.array(0.1)))


@item("siamese net, shared weights", "vjp", right=True)
def siamese_shared_cosine():
    def forward(p, q, W):
        a, b = np.tanh(p @ W), np.tanh(q @ W)
        na, nb = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
        cos = np.einsum("ij,ij->i", a, b) / (na * nb)
        return cos, (p, q, W, a, b, na, nb, cos)

    def backward(g, cache):
        p, q, W, a, b, na, nb, cos = cache
        ga = (g / na)[:, None] * (b / nb[:, None] - cos[:, None] * a / na[:, None])
        gb = (g / nb)[:, None] * (a / na[:, None] - cos[:, None] * b / nb[:, None])
        stacked = np.vstack([ga * (1 - a * a), gb * (1 - b * b)])
        dW = np.vstack([p, q]).T @ stacked
        both = stacked @ W.T
        return {"W": dW, "q": both[len(p):], "p": both[:len(p)]}

    r = np.random.default_rng(52)
    return dict(forward=forward, backward=backward, inputs=dict(p=r.normal(size=(4, 3)), q=r.normal(size=(4, 3)), W=r.normal(size=(3, 4))))


@item("distillation, 0-d parameters", "vjp", right=True)
def temperature_distillation():
    def forward(student, log_T, bias, teacher):
        T = np.exp(log_T)
        ls = special.log_softmax((student + bias) / T, axis=-1)
        pt = special.softmax(teacher, axis=-1)
        return T * T * np.sum(pt * (np.log(pt) - ls)) / len(student), (student + bias, T, ls, pt)

    def backward(g, cache):
        s, T, ls, pt = cache
        d = g * T * (np.exp(ls) - pt) / len(s)            # T^2 / T
        kl = np.sum(pt * (np.log(pt) - ls)) / len(s)
        dlogT = 2 * g * T ** 2 * kl - np.sum(d * s)
        return d, np.float64(dlogT), np.array(d.sum())

    r = np.random.default_rng(53)
    return dict(forward=forward, backward=backward, constants=dict(teacher=2 * r.normal(size=(4, 3))),
                inputs=dict(student=r.normal(size=(4, 3)), log_T=np.array(0.7), bias=np.array(0.3)))


@item("class assignment, svm", "vjp", right=True)
def multiclass_hinge_l2():
    def forward(W, X, y, reg):
        scores = X.dot(W)
        correct = scores[np.arange(len(y)), y][:, np.newaxis]
        margins = np.maximum(0, scores - correct + 1.0)
        margins[np.arange(len(y)), y] = 0
        return margins.sum() / len(y) + reg * np.sum(W * W), (W, X, y, reg, margins)

    def backward(dloss, cache):
        W, X, y, reg, margins = cache
        binary = (margins > 0).astype(float)
        binary[np.arange(len(y)), y] = -binary.sum(axis=1)
        binary /= len(y)
        return {"W": dloss * (X.T.dot(binary) + 2 * reg * W), "X": dloss * binary.dot(W.T)}

    r = np.random.RandomState(54)
    return dict(forward=forward, backward=backward, constants=dict(y=np.array([0, 3, 1, 2, 1]), reg=0.05), inputs=dict(W=r.randn(3, 4), X=r.randn(5, 3)))


@item("framework port, fused gates", "vjp", right=True)
def lstm_fused_features_first():
    def forward(x, W, b, h0, c0):
        # x (T, I, B), W (4H, I+H), states (H, B)
        H = h0.shape[0]
        h, c, tape, out = h0, c0, [], []
        for xt in x:
            v = np.concatenate([xt, h], axis=0)
            G = W @ v + b[:, None]
            i, f, o = special.expit(G[:3 * H]).reshape(3, H, -1)
            g = np.tanh(G[3 * H:])
            cn = f * c + i * g
            tc = np.tanh(cn)
            tape.append((v, i, f, o, g, c, tc))
            h, c = o * tc, cn
            out.append(h)
        return np.stack(out), (tape, W, x.shape, H)

    def backward(dout, cache):
        tape, W, xs, H = cache
        dW, db, dx = np.zeros_like(W), np.zeros(4 * H), np.zeros(xs)
        dh, dc = 0.0, 0.0
        for t, (v, i, f, o, g, c, tc) in list(enumerate(tape))[::-1]:
            dh = dh + dout[t]
            dc = dc + dh * o * (1 - tc ** 2)
            dG = np.concatenate([dc * g * i * (1 - i), dc * c * f * (1 - f), dh * tc * o * (1 - o), dc * i * (1 - g ** 2)])
            dW += dG @ v.T
            db += dG.sum(1)
            dv = W.T @ dG
            dx[t], dh, dc = dv[:xs[1]], dv[xs[1]:], dc * f
        return {"x": dx, "W": dW, "b": db, "h0": dh, "c0": dc}

    r = np.random.default_rng(55)
    return dict(forward=forward, backward=backward, inputs=dict(
        x=r.normal(size=(3, 2, 3)), W=r.normal(size=(8, 4)), b=r.normal(size=8), h0=r.normal(size=(2, 3)), c0=r.normal(size=(2, 3))))


@item("language model, integer tokens", "vjp", right=True)
def causal_attention_lm():
    def forward(E, Wq, Wk, tokens):
        x = E[tokens]
        T, d = x.shape
        q, k = x @ Wq, x @ Wk
        s = q @ k.T / d ** 0.5
        s = np.where(np.tri(T, dtype=bool), s, -np.inf)
        p = special.softmax(s, axis=-1)
        o = p @ x
        logits = o[:-1] @ E.T
        lp = special.log_softmax(logits, axis=-1)
        return -np.take_along_axis(lp, tokens[1:, None], 1).sum(), (E, Wq, Wk, tokens, x, q, k, p, o, lp)

    def backward(g, cache):
        E, Wq, Wk, tokens, x, q, k, p, o, lp = cache
        dl = np.exp(lp)
        dl[np.arange(len(dl)), tokens[1:]] -= 1.0
        dl *= g
        dE = dl.T @ o[:-1]
        do = np.vstack([dl @ E, np.zeros((1, E.shape[1]))])
        dp = do @ x.T
        ds = p * (dp - np.sum(p * dp, -1, keepdims=True)) / x.shape[1] ** 0.5
        dq, dk = ds @ k, ds.T @ q
        dx = p.T @ do + dq @ Wq.T + dk @ Wk.T
        np.add.at(dE, tokens, dx)
        return dE, x.T @ dq, x.T @ dk

    r = np.random.default_rng(56)
    return dict(forward=forward, backward=backward, constants=dict(tokens=np.array([1, 3, 1, 0, 2])),
                inputs=dict(E=r.normal(size=(5, 3)), Wq=r.normal(size=(3, 3)), Wk=r.normal(size=(3, 3))))


@item("directional statistics", "vjp", right=True)
def von_mises_nll():
    def forward(theta, loc, log_kappa):
        kappa = np.exp(log_kappa)
        d = theta - loc
        return -kappa * np.cos(d) + np.log(2 * np.pi * special.i0e(kappa)) + kappa, (d, kappa)

    def backward(g, cache):
        d, kappa = cache
        ratio = special.i1e(kappa) / special.i0e(kappa)
        t = g * kappa * np.sin(d)
        return dict(theta=t, loc=-t.sum(), log_kappa=np.sum(g * (ratio - np.cos(d))) * kappa)

    return dict(forward=forward, backward=backward, inputs=dict(theta=np.linspace(-2.7, 3, 5), loc=np.array(0.4), log_kappa=np.array(1.1)))


@item("graphics, rigid registration", "vjp", right=True)
def quaternion_registration():
    def rot(u):
        w, v = u[0], u[1:]
        K = np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])
        return (w * w - v @ v) * np.eye(3) + 2 * np.outer(v, v) + 2 * w * K

    def forward(quat, trans, pts, target):
        n = np.sqrt(quat @ quat)
        u = quat / n
        R = rot(u)
        res = pts @ R.T + trans - target
        return 0.5 * np.sum(res ** 2), (u, n, R, res, pts)

    def backward(g, cache):
        u, n, R, res, pts = cache
        dres = g * res
        dR = dres.T @ pts
        w, v = u[0], u[1:]
        skew = np.array([dR[2, 1] - dR[1, 2], dR[0, 2] - dR[2, 0], dR[1, 0] - dR[0, 1]])
        tr = np.trace(dR)
        du = np.empty(4)
        du[0] = 2 * w * tr + 2 * v @ skew
        du[1:] = -2 * v * tr + 2 * (dR + dR.T) @ v + 2 * w * skew
        return {"quat": (du - u * (u @ du)) / n, "trans": dres.sum(0), "pts": dres @ R}

    r = np.random.default_rng(58)
    return dict(forward=forward, backward=backward, constants=dict(target=r.normal(size=(4, 3))),
                inputs=dict(quat=2 * r.normal(size=4), trans=r.normal(size=3), pts=r.normal(size=(4, 3))))


@item("contrastive learning, two views stacked", "vjp", right=True)
def nt_xent_stacked():
    def forward(z, tau):
        n = len(z) // 2
        nrm = np.linalg.norm(z, axis=1, keepdims=True)
        u = z / nrm
        S = u @ u.T / tau
        np.fill_diagonal(S, -np.inf)
        lp = S - special.logsumexp(S, axis=1, keepdims=True)
        pos = np.roll(np.arange(2 * n), n)
        return -lp[np.arange(2 * n), pos].mean(), (u, nrm, lp, pos, tau)

    def backward(g, cache):
        u, nrm, lp, pos, tau = cache
        m = len(u)
        dS = np.exp(lp)
        dS[np.arange(m), pos] -= 1
        dS *= g / (m * tau)
        du = (dS + dS.T) @ u
        return (du - u * np.sum(u * du, axis=1, keepdims=True)) / nrm

    r = np.random.default_rng(59)
    return dict(forward=forward, backward=backward, constants=dict(tau=0.5), inputs=dict(z=r.normal(size=(6, 3))))


@item("robotics, planar arm", "vjp", right=True)
def planar_arm_complex():
    def forward(theta, length):
        phase = np.exp(1j * np.cumsum(theta, axis=1))
        links = length * phase
        tip = links.sum(axis=1)
        return np.stack([tip.real, tip.imag], axis=-1), (phase, links)

    def backward(dtip, cache):
        phase, links = cache
        g = (dtip[:, 0] - 1j * dtip[:, 1])[:, None]
        dcum = (g * 1j * links).real
        dtheta = np.flip(np.cumsum(np.flip(dcum, 1), 1), 1)
        return dtheta, (g * phase).real.sum(0)

    r = np.random.default_rng(60)
    return dict(forward=forward, backward=backward, inputs=dict(theta=r.normal(size=(3, 4)), length=r.uniform(0.5, 1.5, 4)))


@item("implicit layer, adjoint solve", "vjp", right=True)
def ridge_head_adjoint():
    def forward(Phi, y, log_lam, Phi_test):
        M = Phi.T @ Phi + np.exp(log_lam) * np.eye(Phi.shape[1])
        w = np.linalg.solve(M, Phi.T @ y)
        return Phi_test @ w, (Phi, y, log_lam, Phi_test, M, w)

    def backward(dpred, cache):
        Phi, y, log_lam, Phi_test, M, w = cache
        lam_adj = np.linalg.solve(M, Phi_test.T @ dpred)      # M is symmetric
        resid = y - Phi @ w
        dPhi = np.outer(resid, lam_adj) - np.outer(Phi @ lam_adj, w)
        return {"Phi": dPhi, "y": Phi @ lam_adj, "log_lam": np.array(-np.exp(log_lam) * lam_adj @ w), "Phi_test": np.outer(dpred, w)}

    r = np.random.default_rng(61)
    return dict(forward=forward, backward=backward, inputs=dict(
        Phi=r.normal(size=(6, 3)), y=r.normal(size=6), log_lam=np.array(-0.5), Phi_test=r.normal(size=(4, 3))))


@item("optimal transport, unrolled", "vjp", right=True)
def sinkhorn_unrolled_cost():
    def forward(C, eps, iters):
        n, m = C.shape
        u, v, tape = np.zeros(n), np.zeros(m), []
        L = -C / eps
        for _ in range(iters):
            A = L + v
            u = -np.log(n) - special.logsumexp(A, axis=1)
            B = L + u[:, None]
            v = -np.log(m) - special.logsumexp(B, axis=0)
            tape.append((special.softmax(A, axis=1), special.softmax(B, axis=0)))
        P = np.exp(L + u[:, None] + v)
        return np.sum(P * C), (C, eps, tape, P)

    def backward(g, cache):
        C, eps, tape, P = cache
        dlogP = g * P * C
        dL = dlogP.copy()
        du, dv = dlogP.sum(1), dlogP.sum(0)
        for SA, SB in tape[::-1]:
            dB = -SB * dv
            dL += dB
            du = du + dB.sum(1)
            dA = -SA * du[:, None]
            dL += dA
            du, dv = np.zeros_like(du), dA.sum(0)
        return g * P - dL / eps

    return dict(forward=forward, backward=backward, constants=dict(eps=0.4, iters=3), inputs=dict(C=np.random.default_rng(62).uniform(0, 1.5, (4, 5))))


# ------------------------------------------------------------------ right, gradients


@item("VAE, features first, flat heads", "gradients", right=True)
def gaussian_vae_features_first():
    class Model:
        def __init__(self):
            r = np.random.default_rng(63)
            self.params = {"A": r.normal(size=(4, 3)) * 0.5, "a": r.normal(size=(4, 1)), "C": r.normal(size=(3, 2)), "log_s": np.array(-0.2)}

        def encode(self, x):
            out = self.params["A"] @ x.T + self.params["a"]
            return out[:2].T, out[2:].T, x

        def objective(self, x, eps, beta=1.0):
            mu, logvar, _ = self.encode(x)
            sd = np.exp(logvar / 2)
            z = mu + sd * eps
            s = np.exp(self.params["log_s"])
            e = (x - z @ self.params["C"].T) / s
            nll = 0.5 * np.sum(e ** 2, 1) + x.shape[1] * (self.params["log_s"] + 0.5 * np.log(2 * np.pi))
            kl = -0.5 * np.sum(1 + logvar - mu ** 2 - sd ** 2, 1)
            return SimpleNamespace(objective=-(nll + beta * kl), nll=nll, kl=kl), (x, mu, sd, eps, z, e, s, beta)

        def backward(self, dobjective, cache):
            x, mu, sd, eps, z, e, s, beta = cache
            w = dobjective[:, None]
            drec = w * e / s
            dz = drec @ self.params["C"]
            dhead = np.concatenate([dz - w * beta * mu, 0.5 * (dz * sd * eps + w * beta * (1 - sd ** 2))], axis=1)
            return {"C": drec.T @ z, "A": dhead.T @ x, "a": dhead.sum(0)[:, None],
                    "log_s": np.sum(w * (e ** 2 - 1))}

    r = np.random.default_rng(64)
    return dict(model=Model(), x=r.normal(size=(5, 3)), eps=r.normal(size=(5, 2)))


@item("recommender, shared biases", "gradients", right=True)
def prelu_factorization_machine():
    class FM:
        def __init__(self):
            r = np.random.RandomState(65)
            self.params = {"w0": np.array(0.2), "w": r.randn(4), "V": r.randn(4, 2), "slope": np.array(0.3)}

        def objective(self, x, eps=None, beta=1.0):
            p = self.params
            xv = x @ p["V"]
            pair = 0.5 * (xv ** 2 - (x ** 2) @ (p["V"] ** 2)).sum(1)
            s = p["w0"] + x @ p["w"] + pair
            out = np.where(s > 0, s, p["slope"] * s)
            return SimpleNamespace(objective=-np.log1p(out ** 2)), (x, xv, s, out)

        def backward(self, dobjective, cache):
            x, xv, s, out = cache
            p = self.params
            dout = -2 * dobjective * out / (1 + out ** 2)
            ds = dout * np.where(s > 0, 1.0, p["slope"])
            dV = (x * ds[:, None]).T @ xv - ((x ** 2).T @ ds)[:, None] * p["V"]
            return dict(slope=np.sum(dout * np.minimum(s, 0)), w0=ds.sum(), w=ds @ x, V=dV)

    return dict(model=FM(), x=np.random.RandomState(66).randn(6, 4))


@item("flow model, whole", "gradients", right=True)
def triangular_flow_model():
    class LUFlow:
        def __init__(self):
            r = np.random.default_rng(67)
            self.params = {"L": r.normal(size=(3, 3)), "U": r.normal(size=(3, 3)), "log_d": 0.3 * r.normal(size=3), "shift": r.normal(size=3)}

        def objective(self, x, eps=None, beta=1.0):
            p = self.params
            L = np.tril(p["L"], -1) + np.eye(3)
            U = np.triu(p["U"], 1) + np.diag(np.exp(p["log_d"]))
            xc = x - p["shift"]
            t = xc @ U.T
            z = np.arcsinh(t @ L.T)
            lin = t @ L.T
            obj = -0.5 * (z ** 2).sum(1) - 0.5 * np.log1p(lin ** 2).sum(1) + p["log_d"].sum()
            return SimpleNamespace(objective=obj), (xc, t, lin, z, L, U)

        def backward(self, dobjective, cache):
            xc, t, lin, z, L, U = cache
            w = dobjective[:, None]
            dlin = -w * (z / np.sqrt(1 + lin ** 2) + lin / (1 + lin ** 2))
            dt = dlin @ L
            dU = dt.T @ xc
            return {"L": np.tril(dlin.T @ t, -1), "U": np.triu(dU, 1),
                    "log_d": np.diag(dU) * np.diag(U) + dobjective.sum(), "shift": -(dt @ U).sum(0)}

    return dict(model=LUFlow(), x=np.random.default_rng(68).normal(size=(4, 3)))
