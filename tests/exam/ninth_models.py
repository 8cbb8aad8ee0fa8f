"""Exam paper: latent-variable models, samplers, likelihoods, optimizers."""
from types import SimpleNamespace
from typing import Callable, NamedTuple

import numpy as np
from scipy.special import betaln, digamma, gammaln, logsumexp, ndtr, ndtri


class Item(NamedTuple):
    name: str
    style: str
    check: str
    make: Callable
    right: bool
    slip: str = ""
    wrong: tuple = ()
    causes: tuple = ()


LOG2PI = np.log(2 * np.pi)
ITEMS = []


def _sig(a):
    return 0.5 * (1 + np.tanh(0.5 * a))


def _sp(a):
    return np.logaddexp(0.0, a)


def _binary(rng, B, D):
    return (rng.random((B, D)) < 0.5).astype(float)


# ======================================================================= gradients
class NotebookVAE:
    def __init__(self, rng, D=5, H=4, Z=2):
        n = lambda *s: 0.6 * rng.standard_normal(s)
        self.params = dict(W1=n(D, H), b1=n(H), Wm=n(H, Z), bm=n(Z), Wv=n(H, Z), bv=n(Z), W2=n(Z, D), b2=n(D))

    def encode(self, x):
        p = self.params
        h = np.tanh(x @ p["W1"] + p["b1"])
        return h @ p["Wm"] + p["bm"], h @ p["Wv"] + p["bv"], h

    def objective(self, x, eps, beta=1.0):
        p = self.params
        mu, lv, h = self.encode(x)
        s = np.exp(lv / 2)
        z = mu + s * eps
        o = z @ p["W2"] + p["b2"]
        nll = (_sp(o) - x * o).sum(1)
        kl = 0.5 * (mu ** 2 + np.exp(lv) - lv - 1).sum(1)
        return SimpleNamespace(objective=-nll - beta * kl, nll=nll, kl=kl), (x, eps, beta, mu, lv, h, s, z, o)

    def backward(self, dobj, cache):
        x, eps, beta, mu, lv, h, s, z, o = cache
        p, g = self.params, {}
        d = dobj[:, None]
        do = d * (x - _sig(o))
        g["W2"], g["b2"] = z.T @ do, do.sum(0)
        dz = do @ p["W2"].T
        dmu = dz - d * beta * mu
        dlv = dz * eps * s - d * beta * 0.5 * (np.exp(lv) - 1)
        g["Wm"], g["bm"] = h.T @ dmu, dmu.sum(0)
        g["Wv"], g["bv"] = h.T @ dlv, dlv.sum(0)
        da = (dmu @ p["Wm"].T + dlv @ p["Wv"].T) * (1 - h ** 2)
        g["W1"], g["b1"] = x.T @ da, da.sum(0)
        return g


class _Affine:
    def __init__(self, name, store, rng, i, o, mean_bias=False):
        self.name, self.store, self.mean_bias = name, store, mean_bias
        store[name + "/w"] = rng.normal(0, 0.5, (o, i))
        store[name + "/b"] = rng.normal(0, 0.5, o)

    def __call__(self, x):
        return x @ self.store[self.name + "/w"].T + self.store[self.name + "/b"]

    def grad(self, x, dy, out):
        out[self.name + "/w"] = dy.T @ x
        out[self.name + "/b"] = dy.sum(axis=0)
        return dy @ self.store[self.name + "/w"]


class GaussDecoderVAE:
    """layer objects; decoder N(x; f(z), exp(2 log_sigma))"""

    def __init__(self, rng, D=4, Z=2):
        self.params = {}
        self.enc_m = _Affine("enc_m", self.params, rng, D, Z)
        self.enc_s = _Affine("enc_s", self.params, rng, D, Z)
        self.dec = _Affine("dec", self.params, rng, Z, D)
        self.params["log_sigma"] = np.array(-0.3)

    def encode(self, x):
        return self.enc_m(x), self.enc_s(x), x

    def objective(self, x, eps, beta=1.0):
        mu, lv, _ = self.encode(x)
        std = np.exp(.5 * lv)
        z = mu + eps * std
        r = x - self.dec(z)
        ls = self.params["log_sigma"]
        nll = np.sum(0.5 * r ** 2 * np.exp(-2 * ls) + ls + 0.5 * LOG2PI, axis=1)
        kl = -.5 * np.sum(1 + lv - mu ** 2 - std ** 2, axis=1)
        return SimpleNamespace(objective=-nll - beta * kl, nll=nll, kl=kl), dict(
            x=x, eps=eps, beta=beta, mu=mu, std=std, z=z, r=r, iv=np.exp(-2 * ls))

    def backward(self, dobjective, c):
        grads = {}
        dn = -dobjective[:, None]
        dk = dn * c["beta"]
        dz = self.dec.grad(c["z"], -dn * c["r"] * c["iv"], grads)
        # d nll / d log_sigma = D - sum r^2 / sigma^2; once per row
        grads["log_sigma"] = np.sum(dn[:, 0] * (1 - (c["r"] ** 2).sum(1) * c["iv"]))
        self.enc_m.grad(c["x"], dz + dk * c["mu"], grads)
        self.enc_s.grad(c["x"], 0.5 * dz * c["eps"] * c["std"] + 0.5 * dk * (c["std"] ** 2 - 1), grads)
        return grads


class IWAE:
    """research code: K importance samples, decoder as in the paper, encoder linear."""

    def __init__(self, seed):
        r = np.random.default_rng(seed)
        self.params = {"phi_mu": r.normal(size=(4, 2)) * .7, "phi_ls": r.normal(size=(4, 2)) * .3,
                       "theta": r.normal(size=(2, 4)), "c": r.normal(size=4)}

    def encode(self, x):
        return x @ self.params["phi_mu"], 2 * (x @ self.params["phi_ls"]), None

    def objective(self, x, eps, beta=1.0):
        P = self.params
        mu, ls = x @ P["phi_mu"], x @ P["phi_ls"]
        z = mu + np.exp(ls) * eps                                # K B Z
        logits = z @ P["theta"] + P["c"]
        logw = (x * logits - _sp(logits)).sum(-1) + beta * (-0.5 * z ** 2 + 0.5 * eps ** 2 + ls).sum(-1)
        L = logsumexp(logw, axis=0) - np.log(len(eps))
        return SimpleNamespace(objective=L), (x, eps, beta, ls, z, logits, logw)

    def backward(self, dobjective, cache):
        x, eps, beta, ls, z, logits, logw = cache
        P = self.params
        K = eps.shape[0]
        dlogw = np.broadcast_to(dobjective / K, logw.shape)[..., None]
        dlogits = dlogw * (x - _sig(logits))
        dz = dlogits @ P["theta"].T - beta * dlogw * z
        dmu = dz.sum(0)
        dls = (dz * eps * np.exp(ls)).sum(0) + beta * dlogw.sum(0)
        return {"phi_mu": x.T @ dmu, "phi_ls": x.T @ dls,
                "theta": np.einsum("kbz,kbd->zd", z, dlogits), "c": dlogits.sum((0, 1))}


class TiedVAE:
    """autoencoder port: the decoder is W.T"""

    def __init__(self):
        rs = np.random.RandomState(7)
        self.params = {"W": rs.randn(5, 2) * .6, "vb": rs.randn(5) * .3, "hb": rs.randn(2) * .3, "S": rs.randn(5, 2) * .3}

    def encode(self, v):
        return v @ self.params["W"] + self.params["hb"], v @ self.params["S"], None

    def objective(self, v, eps, beta=1.0):
        mu, lv, _ = self.encode(v)
        h = mu + np.exp(lv / 2) * eps
        t = np.dot(h, self.params["W"].T) + self.params["vb"]
        nll = np.sum(np.maximum(t, 0) - t * v + np.log1p(np.exp(-abs(t))), 1)
        kl = np.sum(mu * mu + np.exp(lv) - 1 - lv, 1) / 2
        self_cache = (v, eps, beta, mu, lv, h, t)
        return SimpleNamespace(objective=-(nll + beta * kl), nll=nll, kl=kl), self_cache

    def backward(self, dobjective, cache):
        v, eps, beta, mu, lv, h, t = cache
        dt = (v - _sig(t)) * dobjective[:, None]
        dW = dt.T @ h
        dh = dt @ self.params["W"]
        dmu = dh - beta * mu * dobjective[:, None]
        dlv = dh * eps * np.exp(lv / 2) / 2 - beta * (np.exp(lv) - 1) / 2 * dobjective[:, None]
        dhb = dmu.sum(0)
        dS = v.T @ dlv
        return {"W": dW, "vb": dt.sum(0), "hb": dhb, "S": dS}


class FactorAnalysis:
    """statistics: exact marginal log density of x = W f + m + e, e ~ N(0, diag exp(log_psi))"""

    def __init__(self):
        g = np.random.default_rng(11)
        self.params = {"W": g.normal(size=(4, 2)), "m": g.normal(size=4), "log_psi": g.normal(size=4) * .4}

    def objective(self, x, eps=None, beta=1.0):
        W, m, lp = (self.params[k] for k in ("W", "m", "log_psi"))
        S = W @ W.T + np.diag(np.exp(lp))
        P = np.linalg.inv(S)
        r = x - m
        a = r @ P
        ll = -.5 * ((a * r).sum(1) + np.linalg.slogdet(S)[1] + x.shape[1] * LOG2PI)
        return SimpleNamespace(objective=ll, nll=-ll, kl=np.zeros(len(x))), (a, P)

    def backward(self, dobjective, cache):
        a, P = cache
        W = self.params["W"]
        dS = 0.5 * ((a * dobjective[:, None]).T @ a - dobjective.sum() * P)
        return {"W": dS @ W, "m": dobjective @ a, "log_psi": np.diag(dS) * np.exp(self.params["log_psi"])}


class GMM:
    """pattern recognition course: mixture of spherical Gaussians"""

    def __init__(self):
        rng = np.random.default_rng(3)
        self.params = {"pi_logits": rng.normal(size=3), "means": rng.normal(size=(3, 2)) * 1.5, "log_s": rng.normal(size=3) * .3}

    def objective(self, X, eps=None, beta=1.0):
        th = self.params
        logpi = th["pi_logits"] - logsumexp(th["pi_logits"])
        diff = X[:, None, :] - th["means"][None]
        d2 = (diff ** 2).sum(-1)
        D = X.shape[1]
        joint = logpi - D * th["log_s"] - D / 2 * LOG2PI - .5 * d2 * np.exp(-2 * th["log_s"])
        ll = logsumexp(joint, axis=1)
        R = np.exp(joint - ll[:, None])
        return SimpleNamespace(objective=ll), {"R": R, "diff": diff, "d2": d2, "D": D}

    def backward(self, dobjective, cache):
        G = cache["R"] * dobjective[:, None]
        iv = np.exp(-2 * self.params["log_s"])
        return {"pi_logits": G.sum(0),
                "means": np.einsum("bk,bkd->kd", G, cache["diff"]) * iv[:, None],
                "log_s": (G * (cache["d2"] * iv - cache["D"])).sum(0)}


class PlanarFlowVAE:
    """normalizing flow tutorial: one planar layer after the reparametrisation"""

    def __init__(self):
        r = np.random.default_rng(21)
        f = lambda *s: r.normal(0, .5, s)
        self.params = {"A": f(4, 2), "C": f(4, 2), "u": np.array([.8, .3]), "w": np.array([.6, .9]), "b": np.array(.4), "V": f(2, 4), "d": f(4)}

    def encode(self, x):
        return x @ self.params["A"], x @ self.params["C"], None

    def objective(self, x, eps, beta=1.0):
        p = self.params
        mu, lv, _ = self.encode(x)
        sd = np.exp(.5 * lv)
        z0 = mu + sd * eps
        t = np.tanh(z0 @ p["w"] + p["b"])
        z1 = z0 + t[:, None] * p["u"]
        uw = p["u"] @ p["w"]
        det = 1 + (1 - t ** 2) * uw
        o = z1 @ p["V"] + p["d"]
        nll = (_sp(o) - x * o).sum(1)
        logq = (-.5 * eps ** 2 - .5 * lv - .5 * LOG2PI).sum(1) - np.log(np.abs(det))
        logp = (-.5 * z1 ** 2 - .5 * LOG2PI).sum(1)
        kl = logq - logp
        return SimpleNamespace(objective=-nll - beta * kl, nll=nll, kl=kl), (x, eps, beta, sd, z0, t, z1, uw, det, o)

    def backward(self, dobjective, cache):
        x, eps, beta, sd, z0, t, z1, uw, det, o = cache
        p = self.params
        do = dobjective[:, None] * (x - _sig(o))
        dz1 = do @ p["V"].T - beta * dobjective[:, None] * z1
        ddet = beta * dobjective / det
        h1 = 1 - t ** 2
        dt = dz1 @ p["u"] + ddet * uw * (-2 * t)
        dpre = dt * h1
        du = t @ dz1
        dw = dpre @ z0 + (ddet * h1).sum() * p["u"]
        dz0 = dz1 + dpre[:, None] * p["w"]
        dlv = .5 * dz0 * eps * sd + .5 * beta * dobjective[:, None]
        return {"A": x.T @ dz0, "C": x.T @ dlv, "u": du, "w": dw, "b": dpre.sum(), "V": z1.T @ do, "d": do.sum(0)}


class LearnedPriorVAE:
    """port of a framework module with a trainable prior N(prior_mu, exp prior_lv)"""

    def __init__(self):
        g = np.random.default_rng(31)
        self.params = {"enc.weight": g.normal(size=(4, 5)) * .5, "enc.bias": g.normal(size=4) * .2,
                       "dec.weight": g.normal(size=(5, 2)) * .7, "dec.bias": g.normal(size=5) * .2,
                       "prior_mu": np.array([.5, -.4]), "prior_lv": np.array([.3, -.6])}

    def encode(self, x):
        e = x @ self.params["enc.weight"].T + self.params["enc.bias"]
        mu, lv = np.split(e, 2, axis=-1)
        return mu, lv, x

    def objective(self, x, eps, beta=1.0):
        p = self.params
        mu, lv, _ = self.encode(x)
        std = np.exp(.5 * lv)
        z = mu + std * eps
        y = z @ p["dec.weight"].T + p["dec.bias"]
        nll = (_sp(y) - y * x).sum(-1)
        ip = np.exp(-p["prior_lv"])
        dm = mu - p["prior_mu"]
        kl = .5 * (p["prior_lv"] - lv + (std ** 2 + dm ** 2) * ip - 1).sum(-1)
        return SimpleNamespace(objective=-nll - beta * kl, nll=nll, kl=kl), (x, eps, beta, std, z, y, ip, dm)

    def backward(self, dobjective, ctx):
        x, eps, beta, std, z, y, ip, dm = ctx
        p = self.params
        g = dobjective[:, None]
        dy = g * (x - _sig(y))
        dz = dy @ p["dec.weight"]
        gk = -beta * g
        dmu = dz + gk * dm * ip
        dlv = .5 * dz * std * eps + gk * .5 * (std ** 2 * ip - 1)
        de = np.concatenate([dmu, dlv], -1)
        return {"enc.weight": de.T @ x, "enc.bias": de.sum(0), "dec.weight": dy.T @ z, "dec.bias": dy.sum(0),
                "prior_mu": -(gk * dm * ip).sum(0), "prior_lv": (gk * .5 * (1 - dm ** 2 * ip)).sum(0)}


class LabelVAE:
    """conditional VAE, features first (columns are examples inside), label embedding shared by both halves"""

    def __init__(self):
        r = np.random.RandomState(5)
        self.labels = np.array([0, 2, 1, 2, 0])
        self.params = {"Emb": r.randn(3, 3) * .8, "Wmu": r.randn(2, 4) * .5, "Wlv": r.randn(2, 4) * .3, "U": r.randn(3, 2) * .6,
                       "Q": r.randn(3, 4) * .4, "Wo": r.randn(4, 2) * .7, "bo": r.randn(4, 1) * .2}

    def objective(self, x, eps, beta=1.0):
        p = self.params
        X, E = x.T, eps.T
        C = p["Emb"][self.labels].T
        mu = p["Wmu"] @ X + p["U"].T @ C
        lv = p["Wlv"] @ X
        Z = mu + np.exp(lv / 2) * E
        O = p["Wo"] @ Z + p["Q"].T @ C + p["bo"]
        nll = (_sp(O) - X * O).sum(0)
        kl = .5 * (mu ** 2 + np.exp(lv) - lv - 1).sum(0)
        return SimpleNamespace(objective=-nll - beta * kl, nll=nll, kl=kl), (X, E, C, beta, mu, lv, Z, O)

    def backward(self, dobjective, cache):
        X, E, C, beta, mu, lv, Z, O = cache
        p = self.params
        dO = dobjective * (X - _sig(O))
        dZ = p["Wo"].T @ dO
        dmu = dZ - beta * dobjective * mu
        dlv = dZ * E * np.exp(lv / 2) / 2 - beta * dobjective * (np.exp(lv) - 1) / 2
        dC = p["U"] @ dmu + p["Q"] @ dO
        dEmb = np.zeros_like(p["Emb"])
        dEmb[self.labels] += dC.T
        return {"Emb": dEmb, "Wmu": dmu @ X.T, "Wlv": dlv @ X.T, "U": C @ dmu.T, "Q": C @ dO.T,
                "Wo": dO @ Z.T, "bo": dO.sum(1, keepdims=True)}


# ---- right ones
class SoftplusVAE:
    """in-place on own buffers; sigma = softplus(s) + 1e-4, leaky relu"""

    def __init__(self):
        g = np.random.default_rng(41)
        self.params = {k: g.normal(size=s) * .6 for k, s in dict(w0=(5, 4), wm=(4, 2), ws=(4, 2), w1=(2, 3), w2=(3, 5)).items()}

    def objective(self, x, eps, beta=1.0):
        p = self.params
        a = x @ p["w0"]
        h = np.where(a > 0, a, .1 * a)
        m, s = h @ p["wm"], h @ p["ws"]
        sig = _sp(s) + 1e-4
        z = eps * sig
        z += m
        a1 = z @ p["w1"]
        h1 = np.maximum(a1, .1 * a1)
        o = h1 @ p["w2"]
        nll = _sp((1 - 2 * x) * o).sum(1)
        kl = (.5 * (m * m + sig * sig - 1) - np.log(sig)).sum(1)
        return SimpleNamespace(objective=-nll - beta * kl, nll=nll, kl=kl), (x, eps, beta, a, h, m, s, sig, z, a1, h1, o)

    def backward(self, dobjective, cache):
        x, eps, beta, a, h, m, s, sig, z, a1, h1, o = cache
        p = self.params
        r = -dobjective.reshape(-1, 1)
        buf = _sig(o)
        buf -= x
        buf *= r
        g = {"w2": h1.T @ buf}
        buf = buf @ p["w2"].T
        buf[a1 <= 0] *= .1
        g["w1"] = z.T @ buf
        dm = buf @ p["w1"].T
        ds = dm * eps
        dm += beta * r * m
        ds += beta * r * (sig - 1 / sig)
        ds *= _sig(s)
        g["wm"], g["ws"] = h.T @ dm, h.T @ ds
        dh = dm @ p["wm"].T
        dh += ds @ p["ws"].T
        dh *= np.where(a > 0, 1, .1)
        g["w0"] = x.T @ dh
        return g


class TinyRBM:
    """physics: exact likelihood, the partition sum is enumerated; positive minus negative phase"""

    def __init__(self):
        r = np.random.default_rng(43)
        self.params = {"J": r.normal(size=(4, 3)), "hv": r.normal(size=4), "hh": r.normal(size=3)}
        self.states = np.array([[(i >> j) & 1 for j in range(4)] for i in range(16)], float)

    def _minus_free_energy(self, v):
        act = v @ self.params["J"] + self.params["hh"]
        return v @ self.params["hv"] + _sp(act).sum(1), _sig(act)

    def objective(self, x, eps=None, beta=1.0):
        f, s = self._minus_free_energy(x)
        F, S = self._minus_free_energy(self.states)
        lz = logsumexp(F)
        return SimpleNamespace(objective=f - lz), (x, s, S, np.exp(F - lz))

    def backward(self, dobjective, cache):
        x, s, S, prob = cache
        n = dobjective.sum()
        w = np.r_[dobjective, -n * prob][:, None]
        v, h = np.r_[x, self.states], np.r_[s, S]
        return {"J": (w * v).T @ h, "hv": (w * v).sum(0), "hh": (w * h).sum(0)}


class HMM:
    """NLP: log-space forward algorithm, gradients from the forward-backward posteriors"""

    def __init__(self):
        r = np.random.default_rng(47)
        self.params = {"start": r.normal(size=2), "trans": r.normal(size=(2, 2)), "emit": r.normal(size=(2, 3))}

    def objective(self, x, eps=None, beta=1.0):
        p = self.params
        tok = np.asarray(x).astype(int)
        ls = lambda t: t - logsumexp(t, axis=-1, keepdims=True)
        pi, A, E = ls(p["start"]), ls(p["trans"]), ls(p["emit"])
        B, T = tok.shape
        al = np.empty((T, B, 2))
        al[0] = pi + E[:, tok[:, 0]].T
        for t in range(1, T):
            al[t] = logsumexp(al[t - 1][:, :, None] + A, axis=1) + E[:, tok[:, t]].T
        ll = logsumexp(al[-1], axis=1)
        return SimpleNamespace(objective=ll), (tok, pi, A, E, al, ll)

    def backward(self, dobjective, cache):
        tok, pi, A, E, al, ll = cache
        T, B, K = al.shape
        bt = np.zeros((B, K))
        cE, cA = np.zeros_like(E), np.zeros_like(A)
        for t in range(T - 1, -1, -1):
            gam = np.exp(al[t] + bt - ll[:, None]) * dobjective[:, None]
            np.add.at(cE.T, tok[:, t], gam)
            if t:
                fut = E[:, tok[:, t]].T + bt
                cA += (dobjective[:, None, None] * np.exp(al[t - 1][:, :, None] + A + fut[:, None, :] - ll[:, None, None])).sum(0)
                bt = logsumexp(A + fut[:, None, :], axis=2)
        unnorm = lambda c, l: c - np.exp(l) * c.sum(-1, keepdims=True)
        return {"start": unnorm(gam.sum(0), pi), "trans": unnorm(cA, A), "emit": unnorm(cE, E)}


class BernoulliMixture:
    """EM homework re-used for gradient ascent; some logits are huge"""

    def __init__(self):
        r = np.random.default_rng(53)
        T = r.normal(size=(3, 4))
        T[0, 0], T[1, 2] = 30., -25.
        self.params = {"alpha": r.normal(size=(3,)), "T": T}

    def objective(self, x, eps=None, beta=1.0):
        a, T = self.params["alpha"], self.params["T"]
        J = a + (x[:, None] * T - _sp(T)).sum(2)
        return SimpleNamespace(objective=logsumexp(J, 1) - logsumexp(a)), (x, J)

    def backward(self, dobjective, cache):
        x, J = cache
        R = np.exp(J - J.max(1, keepdims=True))
        R /= R.sum(1, keepdims=True)
        R *= dobjective[:, None]
        Nk = R.sum(0)
        a = self.params["alpha"]
        return {"alpha": Nk - np.exp(a - logsumexp(a)) * Nk.sum(), "T": R.T @ x - Nk[:, None] * _sig(self.params["T"])}


class FreeBitsVAE:
    """reinforcement-learning world model: free bits a dimension, one trunk weight used twice"""

    def __init__(self):
        r = np.random.default_rng(59)
        self.free = .25
        self.params = {"trunk": r.normal(size=(4, 4)) * .5, "head": r.normal(size=(4, 4)) * .7, "out": r.normal(size=(2, 4)), "gain": np.array(.8)}

    def objective(self, obs, eps, beta=1.0):
        P = self.params
        h1 = np.tanh(obs @ P["trunk"])
        h2 = np.tanh(h1 @ P["trunk"])
        st = h2 @ P["head"]
        mu, lv = st[:, 0::2], st[:, 1::2]
        z = mu + np.exp(.5 * lv) * eps
        rec = P["gain"] * (z @ P["out"])
        nll = .5 * ((obs - rec) ** 2 + LOG2PI).sum(1)
        kd = .5 * (mu ** 2 + np.exp(lv) - 1 - lv)
        kl = np.maximum(kd, self.free).sum(1)
        return SimpleNamespace(objective=-nll - beta * kl, nll=nll, kl=kl), (obs, eps, beta, h1, h2, mu, lv, z, rec, kd)

    def backward(self, dobjective, cache):
        obs, eps, beta, h1, h2, mu, lv, z, rec, kd = cache
        P = self.params
        w = dobjective[:, None]
        drec = w * (obs - rec)
        zo = z @ P["out"]
        dz = P["gain"] * drec @ P["out"].T
        on = -beta * w * (kd > self.free)
        dst = np.empty((len(obs), 4))
        dst[:, ::2] = dz + on * mu
        dst[:, 1::2] = .5 * (dz * eps * np.exp(.5 * lv) + on * (np.exp(lv) - 1))
        d2 = dst @ P["head"].T * (1 - h2 ** 2)
        d1 = d2 @ P["trunk"].T * (1 - h1 ** 2)
        return {"trunk": h1.T @ d2 + obs.T @ d1, "head": h2.T @ dst, "out": P["gain"] * z.T @ drec, "gain": np.sum(drec * zo)}


def _g(factory, D, B=5, Z=2, K=None, kind="bin", seed=100):
    def make():
        rng = np.random.default_rng(seed)
        x = {"bin": lambda: _binary(rng, B, D), "real": lambda: rng.normal(size=(B, D)),
             "tok": lambda: rng.integers(0, 3, (B, D)).astype(float)}[kind]()
        d = {"model": factory(), "x": x}
        if Z:
            d["eps"] = rng.normal(size=(B, Z) if K is None else (K, B, Z))
        return d
    return make


def _add(*a, **k):
    ITEMS.append(Item(*a, **k))


_add("vae_logvar_half", "notebook", "gradients", _g(lambda: NotebookVAE(np.random.default_rng(1)), 5), False,
     "d std / d logvar is 0.5 std: the half is missing in the path of the noise; dlv = 0.5 * dz * eps * s - ...",
     ("Wv", "bv", "W1", "b1"), ("elementwise-factor", "factor", "missing-term"))
_add("vae_gauss_log_sigma", "layer objects with a parameter store", "gradients", _g(lambda: GaussDecoderVAE(np.random.default_rng(2)), 4, kind="real"), False,
     "log_sigma is added once a pixel, so its derivative is D - sum r^2/sigma^2, not 1 - ...", ("log_sigma",), ("missing-term", "factor"))
_add("iwae_uniform_weights", "research code, importance weighted", "gradients", _g(lambda: IWAE(5), 4, K=3), False,
     "The derivative of logsumexp is the softmax of logw over K; here every sample gets 1/K.", ("phi_mu", "phi_ls", "theta", "c"), ("elementwise-factor", "batch-sum"))
_add("vae_tied_weight", "RBM-like autoencoder, RandomState", "gradients", _g(TiedVAE, 5), False,
     "W is used by the encoder too: v.T @ dmu is missing in dW.", ("W",), ("missing-term",))
_add("factor_analysis_half", "statistics", "gradients", _g(FactorAnalysis, 4, Z=0, kind="real"), False,
     "S = W W^T holds W twice: dW = (dS + dS.T) @ W = 2 dS @ W.", ("W",), ("factor", "missing-term"))
_add("gmm_mixing_logits", "pattern recognition course", "gradients", _g(GMM, 2, Z=0, kind="real"), False,
     "The normaliser of the softmax is forgotten: G.sum(0) - pi * G.sum().", ("pi_logits",), ("missing-term",))
_add("planar_flow_u_logdet", "flow tutorial", "gradients", _g(PlanarFlowVAE, 4), False,
     "log det depends on u too: du lacks (ddet * h1).sum() * w.", ("u",), ("missing-term",))
_add("learned_prior_logvar", "port of a framework module", "gradients", _g(LearnedPriorVAE, 5), False,
     "prior_lv divides the posterior variance as well: 0.5 * (1 - (std**2 + dm**2) * ip).", ("prior_lv",), ("missing-term",))
_add("cvae_embedding_rows", "features first, label embedding", "gradients", _g(LabelVAE, 4), False,
     "Fancy-index += keeps only the last of repeated labels; np.add.at(dEmb, labels, dC.T).", ("Emb",), ("batch-sum", "missing-term"))
_add("softplus_sigma_vae", "in-place buffers", "gradients", _g(SoftplusVAE, 5), True)
_add("rbm_exact", "physics", "gradients", _g(TinyRBM, 4, Z=0), True)
_add("hmm_posteriors", "NLP, log space", "gradients", _g(HMM, 4, Z=0, kind="tok"), True)
_add("bernoulli_mixture", "EM homework", "gradients", _g(BernoulliMixture, 4, Z=0), True)
_add("free_bits_world_model", "reinforcement learning", "gradients", _g(FreeBitsVAE, 4, kind="real"), True)


# ======================================================================= evidence
class _EvBase:
    def __init__(self, seed=0, D=4, Z=2):
        r = np.random.default_rng(seed)
        self.Z = Z
        self.params = {"M": r.normal(size=(D, Z)) * .8, "m0": r.normal(size=Z) * .4, "S": r.normal(size=(D, Z)) * .4, "s0": r.normal(size=Z) * .3 - .5,
                       "W": r.normal(size=(Z, D)) * 1.1, "c": r.normal(size=D) * .7}

    def encode(self, x):
        p = self.params
        return x @ p["M"] + p["m0"], x @ p["S"] + p["s0"], x

    def decode(self, z):
        return z @ self.params["W"] + self.params["c"]


class EvMeanKL(_EvBase):
    def objective(self, x, eps, beta=1.0):
        mu, logvar, _ = self.encode(x)
        logits = self.decode(mu + np.exp(0.5 * logvar) * eps)
        bce = np.maximum(logits, 0) - logits * x + np.log1p(np.exp(-np.abs(logits)))
        nll = bce.sum(axis=1)
        kl = np.mean(-0.5 * (1 + logvar - mu ** 2 - np.exp(logvar)), axis=1)
        return SimpleNamespace(elbo=-nll - beta * kl, nll=nll, kl=kl), None


class EvSoftplusTail(_EvBase):
    def objective(self, x, eps, beta=1.0):
        m, lv, _ = self.encode(x)
        a = self.decode(m + np.sqrt(np.exp(lv)) * eps)
        nll = np.sum(np.log1p(np.exp(-np.abs(a))) - x * a, -1)
        kl = .5 * np.sum(np.exp(lv) + m * m - 1 - lv, -1)
        return SimpleNamespace(elbo=-(nll + beta * kl), nll=nll, kl=kl), None


class EvLogq(_EvBase):
    def objective(self, x, eps, beta=1.0):
        loc, lv, _ = self.encode(x)
        scale = np.exp(lv / 2)
        z = loc + scale * eps
        lo = self.decode(z)
        log_px_z = np.sum(x * -_sp(-lo) + (1 - x) * -_sp(lo), 1)
        log_pz = np.sum(-.5 * z ** 2 - .5 * LOG2PI, 1)
        log_qz = np.sum(-.5 * ((z - loc) / scale) ** 2 - .5 * LOG2PI, 1)
        return SimpleNamespace(elbo=log_px_z + log_pz - log_qz), None


class EvIwaeBase(_EvBase):
    K = 4

    def draw_eps(self, B, rng):
        return rng.standard_normal((self.K, B, self.Z))

    def _logw(self, x, eps):
        mu, lv, _ = self.encode(x)
        z = mu + np.exp(.5 * lv) * eps
        l = self.decode(z)
        return (x * l - _sp(l)).sum(-1) + (.5 * (eps ** 2 + lv - z ** 2)).sum(-1)


class EvIwaeNoLogK(EvIwaeBase):
    def objective(self, x, eps, beta=1.0):
        lw = self._logw(x, eps)
        top = lw.max(0)
        return SimpleNamespace(elbo=top + np.log(np.exp(lw - top).sum(0))), None


class EvIwae(EvIwaeBase):
    K = 3

    def objective(self, x, eps, beta=1.0):
        lw = self._logw(x, eps)
        out = lw[0]
        for k in range(1, len(lw)):          # running logaddexp
            out = np.logaddexp(out, lw[k])
        return SimpleNamespace(elbo=out - np.log(lw.shape[0])), None


class EvStd(_EvBase):
    def objective(self, x, eps, beta=1.0):
        mu, log_var, _ = self.encode(x)
        z = mu + eps * np.exp(log_var)
        o = self.decode(z)
        rec = -np.log(np.where(x > .5, _sig(o), _sig(-o))).sum(1)
        kl = .5 * (mu ** 2 + np.exp(log_var) - log_var - 1).sum(1)
        return SimpleNamespace(elbo=-rec - kl, nll=rec, kl=kl), None


class EvKlBatchMean(_EvBase):
    def objective(self, x, eps, beta=1.0):
        mu, lv, _ = self.encode(x)
        o = self.decode(mu + np.exp(lv * .5) * eps)
        nll = np.einsum("bd->b", _sp(o) - o * x)
        kl = -.5 * np.mean(np.sum(1 + lv - mu ** 2 - np.exp(lv), axis=1))
        kl = np.full(len(x), kl)
        return SimpleNamespace(elbo=-nll - beta * kl, nll=nll, kl=kl), None


class EvMC(_EvBase):
    def objective(self, x, eps, beta=1.0):
        mu, lv, _ = self.encode(x)
        z = mu - np.exp(.5 * lv) * eps       # the minus is harmless
        l = self.decode(z)
        kl = np.sum(.5 * z * z - .5 * (z - mu) ** 2 * np.exp(-lv) - .5 * lv, -1)
        nll = -np.sum(x * l + np.log(_sig(-l)), -1)
        return SimpleNamespace(elbo=-nll - kl, nll=nll, kl=kl), None


class EvSignTrick(_EvBase):
    def objective(self, x, eps, beta=1.0):
        mu, lv, _ = self.encode(x)
        s = np.exp(lv / 2)
        t = self.decode(eps[::-1] * s + mu)
        nll = np.logaddexp(0, (1 - 2 * x) * t).sum(1)
        kl = ((mu ** 2 + (s - 1) * (s + 1)) / 2 - np.log(s)).sum(1)
        return SimpleNamespace(elbo=-(nll + kl), nll=nll, kl=kl), None


def _e(cls, seed, Z=2):
    def make():
        return {"model": cls(seed, 4, Z), "x": np.array([[0, 1, 1, 0], [1, 0, 1, 1], [0, 0, 0, 1], [1, 1, 0, 0], [1, 1, 1, 1.]])}
    return make


_add("ev_kl_mean_latents", "Keras-like blog", "evidence", _e(EvMeanKL, 1), False, "KL is averaged over the latents; sum it.", ("kl", "elbo"), ("factor", "elementwise-factor", "shape"))
_add("ev_softplus_tail", "terse research script", "evidence", _e(EvSoftplusTail, 2, 1), False, "Stable softplus lacks max(a, 0).", ("nll", "elbo"), ("missing-term",))
_add("ev_log_q_scale", "probabilistic programming", "evidence", _e(EvLogq, 3), False, "log q lacks -log scale.", ("elbo", "kl"), ("missing-term",))
_add("ev_iwae_log_k", "importance weighted research code", "evidence", _e(EvIwaeNoLogK, 4), False, "Sum, not mean, of the weights: -log K is missing.", ("elbo",), ("missing-term", "factor"))
_add("ev_std_is_exp_logvar", "student notebook", "evidence", _e(EvStd, 5), False, "z uses exp(log_var) as standard deviation; exp(0.5 log_var).", ("z", "nll", "elbo"), ("elementwise-factor", "factor"))
_add("ev_kl_batch_mean", "PyTorch port", "evidence", _e(EvKlBatchMean, 6), False, "The KL is averaged over the batch and given to every row; keep it per row.", ("kl", "elbo"), ("batch-sum", "shape"))
_add("ev_iwae_running", "research code, running logaddexp", "evidence", _e(EvIwae, 7), True)
_add("ev_mc_kl", "Monte Carlo KL, minus noise", "evidence", _e(EvMC, 8, 1), True)
_add("ev_sign_trick", "sign trick, reversed noise", "evidence", _e(EvSignTrick, 9), True)


# ======================================================================= samplers
def s_exp_logvar(mu, logvar, eps):
    sigma = np.exp(logvar)
    return mu + sigma * eps


def s_shared_noise(mean, log_var, noise):
    n = noise[:, :1]
    return mean + n * np.exp(log_var / 2), (mean, n)


def s_clipped(mu, logvar, eps):
    e = np.clip(eps, -1.5, 1.5)
    return e * np.exp(.5 * logvar) + mu


class s_scaled_mean:
    def __call__(self, mu, logvar, eps):
        std = np.exp(0.5 * logvar)
        return (mu + eps) * std


def s_logvar_clamp(mu, logvar, eps, low=-2.0, high=2.0):
    logvar = np.clip(logvar, low, high)
    z = mu + np.exp(.5 * logvar) * eps
    return z, {"logvar": logvar, "eps": eps}


def s_box_muller(mu, logvar, eps):
    u = ndtr(eps)
    half = u.shape[1] // 2
    u1, u2 = u[:, :half], u[:, half:]
    rad, ang = np.sqrt(-np.log(u1)), 2 * np.pi * u2
    n = np.concatenate([rad * np.cos(ang), rad * np.sin(ang)], 1)
    return mu + np.exp(.5 * logvar) * n


def s_logistic(mu, logvar, eps):
    u = ndtr(eps)
    n = np.log(u / (1 - u)) / (np.pi / np.sqrt(3))
    return mu + n * np.exp(logvar / 2)


def s_rotated(mu, logvar, eps):
    a = .7
    R = np.eye(eps.shape[1])
    R[:2, :2] = [[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]
    return mu + np.sqrt(np.exp(logvar)) * (eps @ R)


def s_float32(mu, logvar, eps):
    z = (mu - eps[::-1] * np.exp(logvar * .5)).astype(np.float32)
    return z, (eps,)


def s_quantile(mu, logvar, eps):
    return mu + np.exp(.5 * logvar) * ndtri(ndtr(-eps))


def s_cholesky(mu, logvar, eps):
    L = np.linalg.cholesky(np.einsum("bi,ij->bij", np.exp(logvar), np.eye(mu.shape[1])))
    return mu + np.einsum("bij,bj->bi", L, eps)


def _s(fn, seed, Z=2, lv=None):
    def make():
        r = np.random.default_rng(seed)
        return {"sampler": fn() if isinstance(fn, type) else fn, "mu": r.normal(size=(4, Z)) * 1.5,
                "logvar": r.normal(size=(4, Z)) if lv is None else np.array(lv, float)}
    return make


_EF = ("elementwise-factor",)
_add("smp_exp_logvar", "student notebook", "sampler", _s(s_exp_logvar, 1), False, "exp(logvar) is the variance; take exp(logvar/2).", ("z",), ("elementwise-factor",))
_add("smp_shared_noise", "functional with cache", "sampler", _s(s_shared_noise, 2, 3), False, "One noise a row is shared by all latents, z is perfectly correlated; use the whole noise.", ("z",), ("elementwise-factor", "shape"))
_add("smp_clipped_noise", "reinforcement learning", "sampler", _s(s_clipped, 3), False, "Noise is clipped at 1.5: variance too small, no tails.", ("z",), ("elementwise-factor", "unknown"))
_add("smp_scaled_mean", "callable layer", "sampler", _s(s_scaled_mean, 4), False, "std multiplies mu too; mu + std * eps.", ("z",), ("elementwise-factor",))
_add("smp_logvar_clamp", "robotics policy", "sampler", _s(s_logvar_clamp, 5, 2, [[-4, .3], [.5, 3.2], [-.2, 1], [-3.5, 0]]), False,
     "logvar is clamped to [-2, 2] although it goes beyond; no clamp.", ("z",), ("elementwise-factor",))
_add("smp_box_muller", "graphics", "sampler", _s(s_box_muller, 6, 4), False, "Radius is sqrt(-2 log u).", ("z",), ("factor", "elementwise-factor"))
_add("smp_logistic_noise", "inverse CDF, statistics", "sampler", _s(s_logistic, 7), False, "Logistic, not normal noise (the variance is right); use ndtri(u) or eps.", ("z",), ("elementwise-factor", "unknown"))
_add("smp_rotated", "linear algebra", "sampler", _s(s_rotated, 8, 3), True)
_add("smp_float32_reversed", "float32 port", "sampler", _s(s_float32, 9), True)
_add("smp_quantile", "statistics, quantiles", "sampler", _s(s_quantile, 10, 1), True)
_add("smp_cholesky", "einsum and Cholesky", "sampler", _s(s_cholesky, 11, 2, [[-12, 2], [0, 0], [3, -8], [.5, 1]]), True)


# ======================================================================= likelihoods
def _two(logits):
    return np.split(logits, 2, axis=1)


class GaussianNLL:
    support, discrete, n_params = (-np.inf, np.inf), False, 2

    def nll(self, x, logits):
        mu, lv = _two(logits)
        return (.5 * (x - mu) ** 2 * np.exp(-lv) + lv + .5 * LOG2PI).sum(1), (x, mu, lv)

    def mean(self, logits):
        return _two(logits)[0].copy()

    def sample(self, logits, rng):
        mu, lv = _two(logits)
        return mu + np.exp(lv / 2) * rng.standard_normal(mu.shape)

    def nll_backward(self, dnll, cache):
        x, mu, lv = cache
        return dnll[:, None] * np.hstack([(mu - x) * np.exp(-lv), 1 - .5 * (x - mu) ** 2 * np.exp(-lv)])


class LaplaceNLL:
    support, discrete, n_params = (-np.inf, np.inf), False, 2

    def nll(self, x, logits):
        m, lb = _two(logits)
        return np.sum(np.abs(x - m) * np.exp(-lb) + lb + np.log(2), axis=1), (x - m, lb)

    def mean(self, logits):
        return _two(logits)[0]

    def sample(self, logits, rng):
        m, lb = _two(logits)
        u = rng.uniform(-.5, .5, size=m.shape)
        return m - np.sqrt(2) * np.exp(lb) * np.sign(u) * np.log1p(-2 * np.abs(u))

    def nll_backward(self, dnll, cache):
        e, lb = cache
        return dnll[:, None] * np.concatenate([-np.sign(e) * np.exp(-lb), 1 - np.abs(e) * np.exp(-lb)], 1)


class NegBinomial:
    """counts (single-cell): r = exp(first), p = sigmoid(second) of success"""
    support, discrete, n_params = (0, np.inf), True, 2

    def nll(self, x, logits):
        lr, t = _two(logits)
        r = np.exp(lr)
        lp = gammaln(x + r) - gammaln(r) - gammaln(x + 1) - r * _sp(-t) - x * _sp(t)
        return -lp.sum(1), (x, r, t)

    def mean(self, logits):
        lr, t = _two(logits)
        return np.exp(lr + t)

    def sample(self, logits, rng):
        lr, t = _two(logits)
        return rng.negative_binomial(np.exp(lr), _sig(t)).astype(float)

    def nll_backward(self, dnll, cache):
        x, r, t = cache
        return -dnll[:, None] * np.hstack([r * (digamma(x + r) - digamma(r) - _sp(-t)), r * _sig(-t) - x * _sig(t)])


class GammaNLL:
    support, discrete, n_params = (0.0, np.inf), False, 2

    def nll(self, x, logits):
        la, lb = _two(logits)
        a, b = np.exp(la), np.exp(lb)
        return (gammaln(a) - a * lb - (a - 1) * np.log(x) + b * x).sum(1), (x, a, b, lb)

    def mean(self, logits):
        la, lb = _two(logits)
        return np.exp(la - lb)

    def sample(self, logits, rng):
        la, lb = _two(logits)
        return rng.gamma(np.exp(la), np.exp(-lb))

    def nll_backward(self, dnll, cache):
        x, a, b, lb = cache
        da = digamma(a) - lb - np.log(x)
        db = b * x - a
        return dnll[:, None] * np.hstack([da, db])


class ZeroInflatedPoisson:
    support, discrete, n_params = (0, np.inf), True, 2

    def nll(self, x, logits):
        lr, g = _two(logits)
        rate = np.exp(lr)
        zero = _sp(g) - np.logaddexp(g, -rate)
        pos = _sp(g) + rate - x * lr + gammaln(x + 1)
        return np.where(x == 0, zero, pos).sum(1), (x, rate, g)

    def mean(self, logits):
        lr, g = _two(logits)
        return np.exp(lr) * _sig(-g)

    def sample(self, logits, rng):
        lr, g = _two(logits)
        return np.where(rng.random(g.shape) < _sig(g), 0.0, rng.poisson(np.exp(lr)))

    def nll_backward(self, dnll, cache):
        x, rate, g = cache
        w = _sig(g + rate)                      # posterior of the structural zero
        z = x == 0
        return dnll[:, None] * np.hstack([np.where(z, (1 - w) * rate, rate - x), _sig(g) - np.where(z, w, 0)])


class BetaNLL:
    support, discrete, n_params = (0.0, 1.0), False, 2

    def nll(self, x, logits):
        la, lb = _two(logits)
        a, b = 1 + np.exp(la), 1 + np.exp(lb)
        return np.sum(betaln(a, b) - (a - 1) * np.log(x) - (b - 1) * np.log1p(-x), 1), (x, a, b)

    def mean(self, logits):
        la, lb = _two(logits)
        return (1 + np.exp(la)) / (2 + np.exp(la) + np.exp(lb))

    def sample(self, logits, rng):
        la, lb = _two(logits)
        ga, gb = rng.gamma(1 + np.exp(la)), rng.gamma(1 + np.exp(lb))
        return ga / (ga + gb)

    def nll_backward(self, dnll, cache):
        x, a, b = cache
        s = digamma(a + b)
        return dnll[:, None] * np.hstack([(digamma(a) - s - np.log(x)) * (a - 1), (digamma(b) - s - np.log1p(-x)) * (b - 1)])


class LogisticNLL:
    support, discrete, n_params = (-np.inf, np.inf), False, 2

    def nll(self, x, logits):
        m, ls = _two(logits)
        t = (x - m) * np.exp(-ls)
        return (ls + np.abs(t) + 2 * np.log1p(np.exp(-np.abs(t)))).sum(1), (t, ls)

    def mean(self, logits):
        return +_two(logits)[0]

    def sample(self, logits, rng):
        m, ls = _two(logits)
        u = rng.random(m.shape)
        return m + np.exp(ls) * (np.log(u) - np.log1p(-u))

    def nll_backward(self, dnll, cache):
        t, ls = cache
        th = np.tanh(t / 2)
        return dnll[:, None] * np.hstack([-th * np.exp(-ls), 1 - t * th])


def _l(cls):
    return lambda: {"p": cls()}


_add("lik_gauss_log_term", "uncertainty regression", "likelihood", _l(GaussianNLL), False, "log sigma = 0.5 lv: the half is missing, so the density is not normalised.", ("nll",), ("missing-term", "factor", "elementwise-factor"))
_add("lik_laplace_sample", "inverse CDF by hand", "likelihood", _l(LaplaceNLL), False, "The sampler scales by sqrt(2) b; the scale is b.", ("sample",), ("factor", "elementwise-factor"))
_add("lik_negbin_mean", "single-cell counts", "likelihood", _l(NegBinomial), False, "With x * log(1-p) the mean is r(1-p)/p = exp(lr - t), not r p/(1-p).", ("mean",), ("elementwise-factor", "sign"))
_add("lik_gamma_backward", "positive data, statistics", "likelihood", _l(GammaNLL), False, "The first parameter is log a: da must be multiplied by a.", ("nll_backward",), ("elementwise-factor",))
_add("lik_zip", "zero-inflated counts", "likelihood", _l(ZeroInflatedPoisson), True)
_add("lik_beta_concave", "beta with parameters above one", "likelihood", _l(BetaNLL), True)
_add("lik_logistic", "image model, logistic", "likelihood", _l(LogisticNLL), True)


# ======================================================================= optimizers
class AdamRef:
    def __init__(self, lr=.01, b1=.9, b2=.999, eps=1e-8, wd=0.0, ams=False):
        self.h = lr, b1, b2, eps, wd, ams
        self.t, self.m, self.v, self.x = 0, {}, {}, {}

    def step(self, params, grads):
        lr, b1, b2, eps, wd, ams = self.h
        self.t += 1
        for k, g in grads.items():
            m = self.m[k] = b1 * self.m.get(k, 0) + (1 - b1) * g
            v = self.v[k] = b2 * self.v.get(k, 0) + (1 - b2) * g * g
            if ams:
                v = self.x[k] = np.maximum(self.x.get(k, 0), v)
            params[k] -= lr * wd * params[k]
            params[k] -= lr * (m / (1 - b1 ** self.t)) / (np.sqrt(v / (1 - b2 ** self.t)) + eps)


class AdamPerParamT:
    def __init__(self, lr=.01, betas=(.9, .999), eps=1e-8):
        self.lr, self.betas, self.eps = lr, betas, eps
        self.state, self.iter = {}, 0

    def step(self, params, grads):
        for name in params:
            self.iter += 1
            if name not in self.state:
                self.state[name] = [np.zeros_like(params[name]), np.zeros_like(params[name])]
            m, v = self.state[name]
            g = grads[name]
            m[...] = self.betas[0] * m + (1 - self.betas[0]) * g
            v[...] = self.betas[1] * v + (1 - self.betas[1]) * g ** 2
            mh, vh = m / (1 - self.betas[0] ** self.iter), v / (1 - self.betas[1] ** self.iter)
            params[name] -= self.lr * mh / (np.sqrt(vh) + self.eps)


class AdamWCoupled:
    def __init__(self, lr=.02, wd=.1):
        self.lr, self.wd, self.n = lr, wd, 0
        self.mom, self.sq = {}, {}

    def step(self, params, grads):
        self.n += 1
        for k in sorted(params):
            g = grads[k] + self.wd * params[k]
            self.mom[k] = .9 * self.mom.get(k, 0) + .1 * g
            self.sq[k] = .999 * self.sq.get(k, 0) + .001 * g * g
            params[k] -= self.lr * self.mom[k] / (1 - .9 ** self.n) / (np.sqrt(self.sq[k] / (1 - .999 ** self.n)) + 1e-8)


class AMSGradForget:
    def __init__(self, alpha=.01, b1=.9, b2=.9):
        self.a, self.b1, self.b2, self.t = alpha, b1, b2, 0
        self.s = None

    def step(self, params, grads):
        if self.s is None:
            self.s = {k: dict(m=0 * p, v=0 * p) for k, p in params.items()}
        self.t += 1
        for k, p in params.items():
            st = self.s[k]
            v_old = st["v"]
            st["m"] = self.b1 * st["m"] + (1 - self.b1) * grads[k]
            st["v"] = self.b2 * v_old + (1 - self.b2) * grads[k] ** 2
            vmax = np.maximum(v_old, st["v"])
            p -= self.a * st["m"] / (1 - self.b1 ** self.t) / (np.sqrt(vmax / (1 - self.b2 ** self.t)) + 1e-8)


class NesterovRef:
    def __init__(self, lr=.05, mu=.9):
        self.lr, self.mu, self.v = lr, mu, {}

    def step(self, params, grads):
        for k, g in grads.items():
            old = self.v.get(k, np.zeros_like(g))
            v = self.v[k] = self.mu * old - self.lr * g
            params[k] += -self.mu * old + (1 + self.mu) * v


class NesterovSlip:
    def __init__(self, lr=.05, mu=.9):
        self.lr, self.mu, self.velocity = lr, mu, {}

    def step(self, params, grads):
        for k in grads:
            v = self.velocity.setdefault(k, np.zeros_like(params[k]))
            v *= self.mu
            v -= self.lr * grads[k]
            v_prev = v                       # for the look-ahead
            params[k] += -self.mu * v_prev + (1 + self.mu) * v


class AdamFolded:
    def __init__(self, lr=.01):
        self.lr, self.p1, self.p2, self.m, self.v = lr, 1., 1., {}, {}

    def step(self, params, grads):
        self.p1 *= .9
        self.p2 *= .999
        c = np.sqrt(1 - self.p2)
        for k in reversed(list(params)):
            m = self.m.setdefault(k, np.zeros(np.shape(params[k])))
            v = self.v.setdefault(k, np.zeros(np.shape(params[k])))
            m += .1 * (grads[k] - m)
            v += (1 - .999) * (grads[k] ** 2 - v)
            params[k] -= self.lr * c / (1 - self.p1) * m / (np.sqrt(v) + 1e-8 * c)


class NesterovTorch:
    """buffer without the learning rate inside"""

    def __init__(self, lr=.05, momentum=.9):
        self.lr, self.momentum, self.buf = lr, momentum, {}

    def step(self, params, grads):
        for k, p in params.items():
            b = self.buf[k] = self.momentum * self.buf[k] + grads[k] if k in self.buf else grads[k].copy()
            p -= self.lr * (grads[k] + self.momentum * b)


class CenteredRef:
    def __init__(self):
        self.a, self.s = {}, {}

    def step(self, params, grads):
        for k, g in grads.items():
            self.a[k] = .95 * self.a.get(k, 0) + .05 * g
            self.s[k] = .95 * self.s.get(k, 0) + .05 * g ** 2
            params[k] -= .01 * g / np.sqrt(self.s[k] - self.a[k] ** 2 + 1e-4)


class CenteredWelford:
    """running variance by an incremental update: var' = rho var + rho (1-rho) (g - mean)^2"""

    def __init__(self, lr=.01, rho=.95):
        self.lr, self.rho, self.st = lr, rho, {}

    def step(self, params, grads):
        for k, g in grads.items():
            mean, var = self.st.get(k, (np.zeros_like(g), np.zeros_like(g)))
            d = g - mean
            mean = mean + (1 - self.rho) * d
            var = self.rho * (var + (1 - self.rho) * d * d)
            self.st[k] = mean, var
            np.subtract(params[k], self.lr * g / np.sqrt(var + 1e-4), out=params[k])


def _o(o, r):
    return lambda: {"optimizer": o(), "reference": r()}


_add("opt_adam_counter", "framework port, per-name state", "optimizer", _o(AdamPerParamT, AdamRef), False, "The counter grows once a parameter instead of once a step.", ("step",), ("elementwise-factor", "factor"))
_add("opt_adamw_coupled", "fine-tuning script", "optimizer", _o(AdamWCoupled, lambda: AdamRef(.02, wd=.1)), False, "Decay goes into the moments (L2); AdamW subtracts lr*wd*p by itself.", ("step",), ("missing-term", "elementwise-factor"))
_add("opt_amsgrad_max", "thesis code", "optimizer", _o(AMSGradForget, lambda: AdamRef(.01, .9, .9, ams=True)), False, "The maximum is over the last two v only; keep the running maximum.", ("step",), ("elementwise-factor",))
_add("opt_nesterov_alias", "course assignment", "optimizer", _o(NesterovSlip, NesterovRef), False, "v_prev is taken after the update (should be a copy before): plain momentum.", ("step",), ("missing-term", "elementwise-factor"))
_add("opt_adam_folded", "folded bias corrections", "optimizer", _o(AdamFolded, AdamRef), True)
_add("opt_nesterov_torch_form", "framework form of momentum", "optimizer", _o(NesterovTorch, NesterovRef), True)
_add("opt_centered_welford", "incremental statistics", "optimizer", _o(CenteredWelford, CenteredRef), True)
