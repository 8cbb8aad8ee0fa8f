"""Twelfth paper: latent-variable models and what belongs to them."""
import math
from types import SimpleNamespace
from typing import Callable, NamedTuple

import numpy as np
from scipy.special import expit, gammaln, logsumexp


class Item(NamedTuple):
    name: str
    style: str
    check: str
    make: Callable
    right: bool
    slip: str = ""
    wrong: tuple = ()
    causes: tuple = ()


class Terms(NamedTuple):
    objective: np.ndarray
    nll: np.ndarray
    kl: np.ndarray


def norm_logpdf(z, mean, logvar):
    return -0.5 * ((z - mean) ** 2 * np.exp(-logvar) + logvar + np.log(2 * np.pi))



class Model00:
    def __init__(self, seed=3, D=5, H=4, Z=2):
        r = np.random.default_rng(seed)
        g = lambda a, b: r.normal(size=(a, b)) * 0.6
        self.params = {"W1": g(D, H), "b1": r.normal(size=H) * .1, "Wm": g(H, Z), "bm": r.normal(size=Z) * .1,
                       "Wv": g(H, Z), "bv": r.normal(size=Z) * .1, "V1": g(Z, H), "c1": r.normal(size=H) * .3,
                       "V2": g(H, D), "c2": r.normal(size=D) * .1}

    def encode(self, x):
        p = self.params
        h = np.tanh(x @ p["W1"] + p["b1"])
        return h @ p["Wm"] + p["bm"], h @ p["Wv"] + p["bv"], h

    def objective(self, x, eps, beta=1.0):
        p = self.params
        mu, lv, h = self.encode(x)
        std = np.exp(0.5 * lv)
        z = mu + std * eps
        a = z @ p["V1"] + p["c1"]
        g = np.maximum(a, 0)
        logits = g @ p["V2"] + p["c2"]
        nll = np.sum(np.logaddexp(0, logits) - x * logits, axis=1)
        kl = 0.5 * np.sum(np.exp(lv) + mu ** 2 - 1 - lv, axis=1)
        return Terms(-nll - beta * kl, nll, kl), (x, eps, beta, mu, lv, h, std, z, a, g, logits)

    def backward(self, dobj, cache):
        x, eps, beta, mu, lv, h, std, z, a, g, logits = cache
        p, grads = self.params, {}
        d = dobj[:, None]
        dlogits = d * (x - 1 / (1 + np.exp(-logits)))
        grads["V2"], grads["c2"] = g.T @ dlogits, dlogits.sum(0)
        da = (dlogits @ p["V2"].T) * (a > 0)
        grads["V1"], grads["c1"] = z.T @ da, da.sum(0)
        dz = da @ p["V1"].T
        dmu = dz - d * beta * mu
        dlv = dz * eps * std - d * beta * 0.5 * (np.exp(lv) - 1)
        grads["Wm"], grads["bm"] = h.T @ dmu, dmu.sum(0)
        grads["Wv"], grads["bv"] = h.T @ dlv, dlv.sum(0)
        dh = dmu @ p["Wm"].T + dlv @ p["Wv"].T
        dpre = dh * (1 - h ** 2)
        grads["W1"], grads["b1"] = x.T @ dpre, dpre.sum(0)
        return grads


def make_Model00(seed=3):
    r = np.random.default_rng(100 + seed)
    return {"model": Model00(seed), "x": (r.random((6, 5)) < .5).astype(float), "eps": r.normal(size=(6, 2))}


class Model01:
    def __init__(self, seed=3, D=5, H=4, Z=2):
        r = np.random.default_rng(seed)
        g = lambda a, b: r.normal(size=(a, b)) * 0.6
        self.params = {"W1": g(D, H), "b1": r.normal(size=H) * .1, "Wm": g(H, Z), "bm": r.normal(size=Z) * .1,
                       "Wv": g(H, Z), "bv": r.normal(size=Z) * .1, "V1": g(Z, H), "c1": r.normal(size=H) * .3,
                       "V2": g(H, D), "c2": r.normal(size=D) * .1}

    def encode(self, x):
        p = self.params
        h = np.tanh(x @ p["W1"] + p["b1"])
        return h @ p["Wm"] + p["bm"], h @ p["Wv"] + p["bv"], h

    def objective(self, x, eps, beta=1.0):
        p = self.params
        mu, lv, h = self.encode(x)
        std = np.exp(0.5 * lv)
        z = mu + std * eps
        a = z @ p["V1"] + p["c1"]
        g = np.maximum(a, 0)
        logits = g @ p["V2"] + p["c2"]
        nll = np.sum(np.logaddexp(0, logits) - x * logits, axis=1)
        kl = 0.5 * np.sum(np.exp(lv) + mu ** 2 - 1 - lv, axis=1)
        return Terms(-nll - beta * kl, nll, kl), (x, eps, beta, mu, lv, h, std, z, a, g, logits)

    def backward(self, dobj, cache):
        x, eps, beta, mu, lv, h, std, z, a, g, logits = cache
        p, grads = self.params, {}
        d = dobj[:, None]
        dlogits = d * (x - 1 / (1 + np.exp(-logits)))
        grads["V2"], grads["c2"] = g.T @ dlogits, dlogits.sum(0)
        da = (dlogits @ p["V2"].T) * (a > 0)
        grads["V1"], grads["c1"] = z.T @ da, da.sum(0)
        dz = da @ p["V1"].T
        dmu = dz - d * beta * mu
        dlv = dz * eps * std * 0.5 - d * beta * 0.5 * (np.exp(lv) - 1)
        grads["Wm"], grads["bm"] = h.T @ dmu, dmu.sum(0)
        grads["Wv"], grads["bv"] = h.T @ dlv, dlv.sum(0)
        dh = dmu @ p["Wm"].T
        dpre = dh * (1 - h ** 2)
        grads["W1"], grads["b1"] = x.T @ dpre, dpre.sum(0)
        return grads


def make_Model01(seed=3):
    r = np.random.default_rng(100 + seed)
    return {"model": Model01(seed), "x": (r.random((6, 5)) < .5).astype(float), "eps": r.normal(size=(6, 2))}


class Model02:
    """linear Gaussian instrument with a noise level fitted per channel"""
    def __init__(self, seed=3):
        rs = np.random.RandomState(seed)
        self.params = dict(A=rs.randn(4, 3) * .5, a0=rs.randn(3) * .2, S=rs.randn(4, 3) * .3, s0=rs.randn(3) * .2,
                           F=rs.randn(3, 4) * .7, f0=rs.randn(4) * .2, lognoise=rs.randn(4) * .3)

    def objective(self, x, eps, beta=1.0):
        q = self.params
        m = x @ q["A"] + q["a0"]
        t = x @ q["S"] + q["s0"]
        sig = np.exp(t / 2)
        z = m + sig * eps
        res = x - np.sin(z) @ q["F"] - q["f0"]
        prec = np.exp(-2 * q["lognoise"])
        nll = (0.5 * res ** 2 * prec + q["lognoise"] + 0.5 * np.log(2 * np.pi)).sum(1)
        kl = -0.5 * (1 + t - m ** 2 - sig ** 2).sum(1)
        return Terms(-nll - beta * kl, nll, kl), dict(x=x, eps=eps, m=m, sig=sig, z=z, res=res, prec=prec, beta=beta)

    def backward(self, up, c):
        q = self.params
        w = up.reshape(-1, 1)
        dpred = w * c["res"] * c["prec"]
        out = {}
        out["lognoise"] = (w * (c["res"] ** 2 * c["prec"])).sum(axis=0)
        out["F"] = np.sin(c["z"]).T @ dpred
        out["f0"] = dpred.sum(axis=0)
        dz = (dpred @ q["F"].T) * np.cos(c["z"])
        dm = dz - w * c["beta"] * c["m"]
        dt = 0.5 * dz * c["sig"] * c["eps"] + 0.5 * w * c["beta"] * (1 - c["sig"] ** 2)
        out["A"] = c["x"].T @ dm
        out["a0"] = dm.sum(axis=0)
        out["S"] = c["x"].T @ dt
        out["s0"] = dt.sum(axis=0)
        return out


def make_Model02(seed=3):
    rs = np.random.RandomState(50 + seed)
    return {"model": Model02(seed), "x": rs.randn(5, 4), "eps": rs.randn(5, 3)}


class Model03:
    """linear Gaussian instrument with a noise level fitted per channel"""
    def __init__(self, seed=3):
        rs = np.random.RandomState(seed)
        self.params = dict(A=rs.randn(4, 3) * .5, a0=rs.randn(3) * .2, S=rs.randn(4, 3) * .3, s0=rs.randn(3) * .2,
                           F=rs.randn(3, 4) * .7, f0=rs.randn(4) * .2, lognoise=rs.randn(4) * .3)

    def objective(self, x, eps, beta=1.0):
        q = self.params
        m = x @ q["A"] + q["a0"]
        t = x @ q["S"] + q["s0"]
        sig = np.exp(t / 2)
        z = m + sig * eps
        res = x - np.sin(z) @ q["F"] - q["f0"]
        prec = np.exp(-2 * q["lognoise"])
        nll = (0.5 * res ** 2 * prec + q["lognoise"] + 0.5 * np.log(2 * np.pi)).sum(1)
        kl = -0.5 * (1 + t - m ** 2 - sig ** 2).sum(1)
        return Terms(-nll - beta * kl, nll, kl), dict(x=x, eps=eps, m=m, sig=sig, z=z, res=res, prec=prec, beta=beta)

    def backward(self, up, c):
        q = self.params
        w = up.reshape(-1, 1)
        dpred = w * c["res"] * c["prec"]
        out = {}
        out["lognoise"] = (w * (c["res"] ** 2 * c["prec"] - 1)).sum(axis=0)
        out["F"] = np.sin(c["z"]).T @ dpred
        out["f0"] = dpred.mean(axis=0)
        dz = (dpred @ q["F"].T) * np.cos(c["z"])
        dm = dz - w * c["beta"] * c["m"]
        dt = 0.5 * dz * c["sig"] * c["eps"] + 0.5 * w * c["beta"] * (1 - c["sig"] ** 2)
        out["A"] = c["x"].T @ dm
        out["a0"] = dm.sum(axis=0)
        out["S"] = c["x"].T @ dt
        out["s0"] = dt.sum(axis=0)
        return out


def make_Model03(seed=3):
    rs = np.random.RandomState(50 + seed)
    return {"model": Model03(seed), "x": rs.randn(5, 4), "eps": rs.randn(5, 3)}


class Model04:
    def __init__(self, seed=3, D=4, Z=2):
        r = np.random.default_rng(seed)
        self.params = {"enc_mu": r.normal(size=(D, Z)) * .6, "enc_lv": r.normal(size=(D, Z)) * .4,
                       "dec": r.normal(size=(Z, D)) * .9, "dec_b": r.normal(size=D) * .3}

    def objective(self, x, eps):
        P = self.params
        mu, lv = x @ P["enc_mu"], x @ P["enc_lv"]
        s = np.exp(0.5 * lv)
        z = mu[None] + s[None] * eps                                # K, B, Z
        logits = np.einsum("kbz,zd->kbd", z, P["dec"]) + P["dec_b"]
        log_px = (x * logits - np.logaddexp(0, logits)).sum(-1)
        log_pz = -0.5 * (z ** 2).sum(-1)
        log_qz = -0.5 * (eps ** 2 + lv).sum(-1)
        logw = log_px + log_pz - log_qz
        top = logw.max(0)
        bound = top + np.log(np.mean(np.exp(logw - top), axis=0))
        return Terms(bound, None, None), (x, eps, s, z, logits, logw)

    def backward(self, dbound, cache):
        x, eps, s, z, logits, logw = cache
        P = self.params
        wt = np.exp(logw - logw.max(0))
        wt = np.ones_like(wt) / len(wt)
        dlogw = (wt * dbound)[..., None]
        dlogits = dlogw * (x - 0.5 * (1 + np.tanh(0.5 * logits)))
        ddec = np.einsum("kbz,kbd->zd", z, dlogits)
        dz = np.einsum("kbd,zd->kbz", dlogits, P["dec"]) - dlogw * z
        dmu = dz.sum(0)
        dlv = (0.5 * dz * s * eps + 0.5 * dlogw).sum(0)
        return {"enc_mu": x.T @ dmu, "enc_lv": x.T @ dlv, "dec": ddec, "dec_b": dlogits.sum((0, 1))}


def make_Model04(seed=3):
    r = np.random.default_rng(70 + seed)
    return {"model": Model04(seed), "x": r.integers(0, 2, size=(5, 4)).astype(float), "eps": r.normal(size=(3, 5, 2))}


class Model05:
    # mixture of diagonal Gaussians, the latent is summed out; eps isn't needed
    def __init__(self, seed=3, K=3, D=2):
        rng = np.random.default_rng(seed)
        self.params = {"logit_pi": rng.normal(size=K), "means": rng.normal(size=(K, D)) * 1.5, "log_scale": rng.normal(size=(K, D)) * .3}

    def objective(self, x, eps):
        pi, means, ls = (self.params[k] for k in ("logit_pi", "means", "log_scale"))
        logpi = pi - logsumexp(pi)
        comp = np.empty((len(x), len(pi)))
        for k in range(len(pi)):
            u = (x - means[k]) / np.exp(ls[k])
            comp[:, k] = logpi[k] - 0.5 * np.sum(u * u, axis=1) - ls[k].sum() - 0.5 * x.shape[1] * np.log(2 * np.pi)
        ll = logsumexp(comp, axis=1)
        return Terms(ll, -ll, None), (x, comp, ll, np.exp(logpi))

    def backward(self, dll, cache):
        x, comp, ll, prob = cache
        means, ls = self.params["means"], self.params["log_scale"]
        resp = np.exp(comp - ll[:, None]) * dll[:, None]
        dmeans, dls = np.zeros_like(means), np.zeros_like(ls)
        for k in range(len(prob)):
            diff = x - means[k]
            inv = np.exp(-2 * ls[k])
            dmeans[k] = (resp[:, k:k + 1] * diff * inv).sum(0)
            dls[k] = (resp[:, k:k + 1] * (diff ** 2 * inv - 1)).sum(0)
        dpi = resp.sum(0)
        return {"logit_pi": dpi, "means": dmeans, "log_scale": dls}


def make_Model05(seed=3):
    rng = np.random.default_rng(9 + seed)
    return {"model": Model05(seed), "x": rng.normal(size=(7, 2)) * 1.5, "eps": np.zeros((7, 1))}


class Model06:
    def __init__(self, seed=3):
        R = np.random.default_rng(seed)
        self.params = {"enc.w": R.normal(size=(3, 4)) * .5, "flow.u": R.normal(size=2) * .4, "flow.w": R.normal(size=2) * .8,
                       "flow.b": R.normal(size=1) * .5, "dec.w": R.normal(size=(2, 3)), "dec.b": R.normal(size=3) * .2}

    def objective(self, x, eps, beta=1.0):
        P = self.params
        u, w = P["flow.u"], P["flow.w"]
        stats = x @ P["enc.w"]
        mu, lv = stats[:, :2], stats[:, 2:]
        sd = np.exp(lv / 2)
        z0 = mu + sd * eps
        t = np.tanh(z0 @ w + P["flow.b"])
        z1 = z0 + np.outer(t, u)
        det = 1 + (1 - t ** 2) * (u @ w)
        recon = x - z1 @ P["dec.w"] - P["dec.b"]
        nll = 0.5 * (recon ** 2).sum(1) + 1.5 * np.log(2 * np.pi)
        kl = -0.5 * (eps ** 2 + lv).sum(1) - np.log(np.abs(det)) + 0.5 * (z1 ** 2).sum(1)
        return Terms(-nll - beta * kl, nll, kl), (x, eps, beta, sd, z0, t, z1, det, recon)

    def backward(self, gout, cache):
        x, eps, beta, sd, z0, t, z1, det, recon = cache
        P = self.params
        u, w = P["flow.u"], P["flow.w"]
        grow = gout[:, None]
        gpred = grow * recon
        gz1 = gpred @ P["dec.w"].T - beta * grow * z1
        gdet = beta * gout / det
        slope = 1 - t ** 2
        gt = gz1 @ u
        gpre = gt * slope
        gu = t @ gz1 + (gdet * slope).sum() * w
        gw = z0.T @ gpre + (gdet * slope).sum() * u
        gz0 = gz1 + np.outer(gpre, w)
        glv = 0.5 * gz0 * eps * sd + 0.5 * beta * grow
        return {"enc.w": x.T @ np.hstack([gz0, glv]), "flow.u": gu, "flow.w": gw, "flow.b": gpre.sum(keepdims=True),
                "dec.w": z1.T @ gpred, "dec.b": gpred.sum(0)}


def make_Model06(seed=3):
    R = np.random.default_rng(31 + seed)
    return {"model": Model06(seed), "x": R.normal(size=(5, 3)), "eps": R.normal(size=(5, 2))}


class Model07:
    """Probabilistic PCA: x ~ N(m, W W' + s I), the marginal likelihood."""
    def __init__(self, seed=3, d=4, k=2):
        rng = np.random.default_rng(seed)
        self.params = {"W": rng.normal(size=(d, k)), "m": rng.normal(size=d), "log_s": np.array([rng.normal() * .4])}

    def objective(self, x, eps):
        W, m, s = self.params["W"], self.params["m"], np.exp(self.params["log_s"][0])
        C = W @ W.T + s * np.eye(len(m))
        Ci = np.linalg.inv(C)
        r = x - m
        ll = -0.5 * (np.einsum("ni,ij,nj->n", r, Ci, r) + np.linalg.slogdet(C)[1] + len(m) * np.log(2 * np.pi))
        return Terms(ll, None, None), SimpleNamespace(W=W, s=s, Ci=Ci, r=r)

    def backward(self, dll, c):
        v = c.r @ c.Ci
        dC = 0.5 * ((v * dll[:, None]).T @ v - dll.sum() * c.Ci)
        dW = dC @ c.W
        return {"W": dW, "m": (v * dll[:, None]).sum(0), "log_s": np.array([np.trace(dC) * c.s])}


def make_Model07(seed=3):
    rng = np.random.default_rng(12 + seed)
    return {"model": Model07(seed), "x": rng.normal(size=(6, 4)) * 1.3, "eps": np.zeros((6, 1))}


class Model08:
    # two stochastic layers: q(z1|x) q(z2|z1), p(z2) p(z1|z2) p(x|z1), unit variances at the top
    def __init__(self, seed=3, D=4, Z=2):
        r = np.random.RandomState(seed)
        self.params = {"q1": r.randn(D, Z) * .5, "q2": r.randn(Z, Z) * .7, "lv1": r.randn(Z) * .4, "lv2": r.randn(Z) * .4,
                       "p1": r.randn(Z, Z) * .7, "px": r.randn(Z, D)}

    def objective(self, x, eps, beta=1.0):
        th = self.params
        e1, e2 = eps[:, :2], eps[:, 2:]
        s1, s2 = np.exp(.5 * th["lv1"]), np.exp(.5 * th["lv2"])
        z1 = np.tanh(x @ th["q1"]) + s1 * e1
        z2 = z1 @ th["q2"] + s2 * e2
        gap = z1 - z2 @ th["p1"]
        logits = z1 @ th["px"]
        nll = (np.log1p(np.exp(logits)) - x * logits).sum(1)
        kl = (.5 * gap ** 2 + .5 * z2 ** 2 - .5 * (e1 ** 2 + e2 ** 2) - .5 * th["lv1"] - .5 * th["lv2"]).sum(1)
        return Terms(-nll - beta * kl, nll, kl), [x, e1, e2, s1, s2, z1, z2, gap, logits, beta]

    def backward(self, dout, cache):
        th = self.params
        x, e1, e2, s1, s2, z1, z2, gap, logits, beta = cache
        col = dout[:, None]
        dlog = col * (x - expit(logits))
        dgap = -beta * col * gap
        dz2 = -beta * col * z2 - dgap @ th["p1"].T
        dz1 = dlog @ th["px"].T + dgap + dz2 @ th["q2"]
        dmu1 = dz1 * (1 - np.tanh(x @ th["q1"]) ** 2)
        const = .5 * beta * dout.sum()
        return {"px": z1.T @ dlog, "p1": -z2.T @ dgap, "q2": z1.T @ dz2, "q1": x.T @ dmu1,
                "lv1": .5 * (dz1 * s1 * e1).sum(0) + const, "lv2": .5 * (dz2 * s2 * e2).sum(0) + const}


def make_Model08(seed=3):
    r = np.random.RandomState(88 + seed)
    return {"model": Model08(seed), "x": (r.rand(6, 4) > .5) * 1.0, "eps": r.randn(6, 4)}


class Model09:
    # two stochastic layers: q(z1|x) q(z2|z1), p(z2) p(z1|z2) p(x|z1), unit variances at the top
    def __init__(self, seed=3, D=4, Z=2):
        r = np.random.RandomState(seed)
        self.params = {"q1": r.randn(D, Z) * .5, "q2": r.randn(Z, Z) * .7, "lv1": r.randn(Z) * .4, "lv2": r.randn(Z) * .4,
                       "p1": r.randn(Z, Z) * .7, "px": r.randn(Z, D)}

    def objective(self, x, eps, beta=1.0):
        th = self.params
        e1, e2 = eps[:, :2], eps[:, 2:]
        s1, s2 = np.exp(.5 * th["lv1"]), np.exp(.5 * th["lv2"])
        z1 = np.tanh(x @ th["q1"]) + s1 * e1
        z2 = z1 @ th["q2"] + s2 * e2
        gap = z1 - z2 @ th["p1"]
        logits = z1 @ th["px"]
        nll = (np.log1p(np.exp(logits)) - x * logits).sum(1)
        kl = (.5 * gap ** 2 + .5 * z2 ** 2 - .5 * (e1 ** 2 + e2 ** 2) - .5 * th["lv1"] - .5 * th["lv2"]).sum(1)
        return Terms(-nll - beta * kl, nll, kl), [x, e1, e2, s1, s2, z1, z2, gap, logits, beta]

    def backward(self, dout, cache):
        th = self.params
        x, e1, e2, s1, s2, z1, z2, gap, logits, beta = cache
        col = dout[:, None]
        dlog = col * (x - expit(logits))
        dgap = -beta * col * gap
        dz2 = -beta * col * z2 + dgap @ th["p1"].T
        dz1 = dlog @ th["px"].T + dgap + dz2 @ th["q2"].T
        dmu1 = dz1 * (1 - np.tanh(x @ th["q1"]) ** 2)
        const = .5 * beta * dout.sum()
        return {"px": z1.T @ dlog, "p1": -z2.T @ dgap, "q2": z1.T @ dz2, "q1": x.T @ dmu1,
                "lv1": .5 * (dz1 * s1 * e1).sum(0) + const, "lv2": .5 * (dz2 * s2 * e2).sum(0) + const}


def make_Model09(seed=3):
    r = np.random.RandomState(88 + seed)
    return {"model": Model09(seed), "x": (r.rand(6, 4) > .5) * 1.0, "eps": r.randn(6, 4)}


def draw10(mu, logvar, eps):
    std = np.exp(logvar)
    return mu + std * eps


def make_draw10(seed=3):
    r = np.random.default_rng(seed)
    return {"sampler": draw10, "mu": r.normal(size=(4, 3)), "logvar": r.uniform(-1.5, 1.2, size=(4, 3))}


def draw11(mean, log_var, noise):
    """reparameterisation layer, forward"""
    var = np.exp(log_var)
    sigma = np.sqrt(var)
    noise_used = np.random.randn(*noise.shape)
    z = mean + sigma * noise_used
    return z, {"sigma": sigma, "noise": noise_used}


def make_draw11(seed=3):
    r = np.random.default_rng(seed)
    return {"sampler": draw11, "mu": r.normal(size=(4, 3)), "logvar": r.uniform(-1.5, 1.2, size=(4, 3))}


def draw12(m, lv, e):
    out = lv
    out *= 0.5
    np.exp(out, out=out)
    out *= e
    out += m
    return out


def make_draw12(seed=3):
    r = np.random.default_rng(seed)
    return {"sampler": draw12, "mu": r.normal(size=(4, 3)), "logvar": r.uniform(-1.5, 1.2, size=(4, 3))}


def draw13(mu, logvar, eps):
    z = np.zeros(mu.shape)
    for i in range(mu.shape[0]):
        for j in range(mu.shape[1]):
            sd = math.exp(logvar[i, j] / 2)
            z[i, j] = mu[i, j] + sd * eps[i, 0]
    return z


def make_draw13(seed=3):
    r = np.random.default_rng(seed)
    return {"sampler": draw13, "mu": r.normal(size=(4, 3)), "logvar": r.uniform(-1.5, 1.2, size=(4, 3))}


def draw14(mu, logvar, eps):
    L = np.stack([np.linalg.cholesky(np.diag(np.exp(row / 2))) for row in logvar])
    return mu + np.einsum("bij,bj->bi", L, eps), L


def make_draw14(seed=3):
    r = np.random.default_rng(seed)
    return {"sampler": draw14, "mu": r.normal(size=(4, 3)), "logvar": r.uniform(-1.5, 1.2, size=(4, 3))}


def draw15(mean, log_var, noise):
    """reparameterisation layer, forward"""
    var = np.log1p(np.exp(log_var))
    sigma = np.sqrt(var)
    noise_used = noise
    z = mean + sigma * noise_used
    return z, {"sigma": sigma, "noise": noise_used}


def make_draw15(seed=3):
    r = np.random.default_rng(seed)
    return {"sampler": draw15, "mu": r.normal(size=(4, 3)), "logvar": r.uniform(-1.5, 1.2, size=(4, 3))}


class Model16:
    def __init__(self, seed=3, D=4, Z=2):
        g = np.random.default_rng(seed)
        self.We, self.Wl, self.bl = g.normal(size=(D, Z)) * .5, g.normal(size=(D, Z)) * .4, g.normal(size=Z) * .3 - .3
        self.Wd, self.bd = g.normal(size=(Z, D)), g.normal(size=D) * .3

    def encode(self, x):
        return x @ self.We - .2, x @ self.Wl + self.bl

    def decode(self, z):
        return np.tanh(z) @ self.Wd + self.bd

    def objective(self, x, eps):
        mu, logvar = self.encode(x)
        z = mu + np.exp(logvar / 2) * eps
        logits = self.decode(z)
        nll = (np.logaddexp(0, logits) - x * logits).sum(axis=1)
        kl = (mu ** 2 + np.exp(logvar) - logvar - 1).sum(axis=1)
        return SimpleNamespace(elbo=-nll - kl, nll=nll, kl=kl), None


def make_Model16(seed=3):
    g = np.random.default_rng(seed + 5)
    return {"model": Model16(seed), "x": (g.random((5, 4)) < .5).astype(float)}


class Model17:
    def __init__(self, seed=3, D=4, Z=2):
        g = np.random.default_rng(seed)
        self.We, self.Wl, self.bl = g.normal(size=(D, Z)) * .5, g.normal(size=(D, Z)) * .4, g.normal(size=Z) * .3 - .3
        self.Wd, self.bd = g.normal(size=(Z, D)), g.normal(size=D) * .3

    def encode(self, x):
        return x @ self.We - .2, x @ self.Wl + self.bl

    def decode(self, z):
        return np.tanh(z) @ self.Wd + self.bd

    def objective(self, x, eps):
        mu, logvar = self.encode(x)
        z = mu + np.exp(logvar / 2) * eps
        logits = self.decode(z)
        nll = (np.logaddexp(0, logits) - x * logits).sum(axis=1)
        kl = 0.5 * (mu ** 2 + np.exp(logvar) - logvar - 1).sum(axis=1)
        return SimpleNamespace(elbo=-nll + kl, nll=nll, kl=kl), None


def make_Model17(seed=3):
    g = np.random.default_rng(seed + 5)
    return {"model": Model17(seed), "x": (g.random((5, 4)) < .5).astype(float)}


class Model18:
    def __init__(self, seed=3, D=4, Z=2):
        g = np.random.default_rng(seed)
        self.We, self.Wl, self.bl = g.normal(size=(D, Z)) * .5, g.normal(size=(D, Z)) * .4, g.normal(size=Z) * .3 - .3
        self.Wd, self.bd = g.normal(size=(Z, D)), g.normal(size=D) * .3

    def encode(self, x):
        return x @ self.We - .2, x @ self.Wl + self.bl

    def decode(self, z):
        return np.tanh(z) @ self.Wd + self.bd

    def objective(self, x, eps):
        mu, logvar = self.encode(x)
        z = mu + np.exp(logvar / 2) * eps
        logits = self.decode(z)
        nll = (np.logaddexp(0, logits) - x * logits).sum(axis=1)
        kl = 0.5 * (mu ** 2 + np.exp(logvar) - logvar).sum(axis=1)
        return SimpleNamespace(elbo=-nll - kl, nll=nll, kl=kl), None


def make_Model18(seed=3):
    g = np.random.default_rng(seed + 5)
    return {"model": Model18(seed), "x": (g.random((5, 4)) < .5).astype(float)}


class Model19:
    def __init__(self, seed=3, D=4, Z=2):
        g = np.random.default_rng(seed)
        self.We, self.Wl, self.bl = g.normal(size=(D, Z)) * .5, g.normal(size=(D, Z)) * .4, g.normal(size=Z) * .3 - .3
        self.Wd, self.bd = g.normal(size=(Z, D)), g.normal(size=D) * .3

    def encode(self, x):
        return x @ self.We - .2, x @ self.Wl + self.bl

    def decode(self, z):
        return np.tanh(z) @ self.Wd + self.bd

    def objective(self, x, eps):
        mu, logvar = self.encode(x)
        z = mu + np.exp(logvar / 2) * eps
        logits = self.decode(z)
        nll = (np.logaddexp(0, logits) - x * logits).mean(axis=1)
        kl = 0.5 * (mu ** 2 + np.exp(logvar) - logvar - 1).sum(axis=1)
        return SimpleNamespace(elbo=-nll - kl, nll=nll, kl=kl), None


def make_Model19(seed=3):
    g = np.random.default_rng(seed + 5)
    return {"model": Model19(seed), "x": (g.random((5, 4)) < .5).astype(float)}


class Model20:
    K = 2
    def __init__(self, seed=3):
        g = np.random.default_rng(seed)
        self.a, self.b, self.w, self.c = g.normal(size=(3, 1)) * .5, g.normal(size=(3, 1)) * .3, g.normal(size=(1, 3)) * 1.2, g.normal(size=3) * .3

    def encode(self, x):
        return x @ self.a, x @ self.b - .4

    def decode(self, z):
        return z @ self.w + self.c

    def draw_eps(self, B, rng):
        return rng.standard_normal((self.K, B, 1))

    def objective(self, x, eps):
        mu, lv = self.encode(x)
        logw = []
        for e in eps:
            z = mu + np.exp(lv / 2) * e
            t = self.decode(z)
            logw.append((x * t - np.logaddexp(0, t)).sum(1) - .5 * (z ** 2).sum(1) + .5 * (e ** 2 + lv).sum(1))
        bound = logsumexp(np.array(logw), axis=0)
        return SimpleNamespace(objective=bound), logw


def make_Model20(seed=3):
    g = np.random.default_rng(seed + 77)
    return {"model": Model20(seed), "x": g.integers(0, 2, (4, 3)).astype(float)}


class Model21_Lik:
    name, n_params, support = "normal, sd 0.7", 1, (-np.inf, np.inf)

    def nll(self, x, logits):
        u = (x - logits) / 0.7
        return (0.5 * u * u + np.log(0.7) + 0.5 * np.log(2 * np.pi)).sum(1), u

    def nll_backward(self, dnll, u):
        return -dnll[:, None] * u / 0.7

    def mean(self, logits):
        return logits + 0.0

    def sample(self, logits, rng):
        return logits + 0.7 * rng.standard_normal(logits.shape)


class Model21:
    def __init__(self, seed=3):
        g = np.random.RandomState(seed)
        self.likelihood = Model21_Lik()
        self.E, self.l, self.G = g.randn(3, 2) * .4, g.randn(2) * .5 - .6, g.randn(2, 3)

    def encode(self, x):
        return x @ self.E, np.tile(self.l, (len(x), 1))

    def decode(self, z):
        return z @ self.G

    def objective(self, x, eps):
        mu, lv = self.encode(x)
        z = mu + np.exp(.5 * lv) * eps
        log_lik = -self.likelihood.nll(x, self.decode(z))[0]
        log_q = -0.5 * (eps ** 2 + np.log(2 * np.pi)).sum(1)
        log_p = norm_logpdf(z, 0.0, np.zeros_like(lv)).sum(1)
        return SimpleNamespace(objective=log_lik + log_p - log_q), (mu, lv, z)


def make_Model21(seed=3):
    return {"model": Model21(seed), "x": np.random.RandomState(seed + 40).randn(4, 3)}


class Model22:
    name, n_params, support = "poisson, log rate", 1, (0, np.inf)

    def nll(self, x, logits):
        rate = np.exp(logits)
        return np.sum(rate - x * logits + gammaln(np.maximum(x, 1)), axis=1), (x, rate)

    def nll_backward(self, dnll, cache):
        x, rate = cache
        return dnll[:, None] * (rate - x)

    def mean(self, logits):
        return np.exp(logits)

    def sample(self, logits, rng):
        return rng.poisson(np.exp(logits)).astype(float)


def make_Model22(seed=3):
    return {"p": Model22()}


class Model23:
    name, n_params, support = "normal with log variance", 2, (-np.inf, np.inf)

    def nll(self, x, logits):
        m, lv = np.split(logits, 2, axis=1)
        d = x - m
        return 0.5 * (d * d * np.exp(-lv) + lv + np.log(2 * np.pi)).sum(1), (d, lv)

    def nll_backward(self, dnll, cache):
        d, lv = cache
        iv = np.exp(-lv)
        return dnll[:, None] * np.concatenate([-d * iv, (1 - d * d * iv)], axis=1)

    def mean(self, logits):
        return logits[:, :logits.shape[1] // 2].copy()

    def sample(self, logits, rng):
        m, lv = np.split(logits, 2, axis=1)
        return rng.normal(m, np.exp(0.5 * lv))


def make_Model23(seed=3):
    return {"p": Model23()}


class Model24:
    name, n_params, support = "normal with log variance", 2, (-np.inf, np.inf)

    def nll(self, x, logits):
        m, lv = np.split(logits, 2, axis=1)
        d = x - m
        return 0.5 * (d * d * np.exp(-lv) + lv + np.log(2 * np.pi)).sum(1), (d, lv)

    def nll_backward(self, dnll, cache):
        d, lv = cache
        iv = np.exp(-lv)
        return dnll[:, None] * np.concatenate([-d * iv, 0.5 * (1 - d * d * iv)], axis=1)

    def mean(self, logits):
        return logits[:, :logits.shape[1] // 2].copy()

    def sample(self, logits, rng):
        m, lv = np.split(logits, 2, axis=1)
        return rng.normal(m, np.exp(lv))


def make_Model24(seed=3):
    return {"p": Model24()}


class Model25:
    name, n_params, support = "laplace", 2, (-np.inf, np.inf)

    def nll(self, x, logits):
        D = x.shape[1]
        loc, logb = logits[:, :D], logits[:, D:]
        a = (x - loc) * np.exp(-logb)
        return (np.abs(a) + logb).sum(1), (a, logb)

    def nll_backward(self, dnll, cache):
        a, logb = cache
        return dnll[:, None] * np.hstack((-np.sign(a) * np.exp(-logb), 1 - np.abs(a)))

    def mean(self, logits):
        return logits[:, :logits.shape[1] // 2]

    def sample(self, logits, rng):
        loc, logb = np.hsplit(logits, 2)
        return rng.laplace(loc, np.exp(logb))


def make_Model25(seed=3):
    return {"p": Model25()}


class Model26_Ref:
    def __init__(self):
        self.t, self.m, self.v = 0, {}, {}

    def step(self, params, grads):
        self.t += 1
        for k in params:
            g = grads[k]
            self.m[k] = 0.9 * self.m.get(k, 0) + 0.1 * g
            self.v[k] = 0.99 * self.v.get(k, 0) + 0.01 * g ** 2
            mh = self.m[k] / (1 - 0.9 ** self.t)
            vh = self.v[k] / (1 - 0.99 ** self.t)
            params[k] -= 0.02 * mh / (np.sqrt(vh) + 1e-8)


class Model26:
    def __init__(self, lr=0.02, betas=(0.9, 0.99), eps=1e-8):
        self.lr, self.betas, self.eps, self.t, self.state = lr, betas, eps, 0, {}

    def step(self, params, grads):
        b1, b2 = self.betas
        self.t += 1
        c1, c2 = 1 - b1 ** self.t, np.sqrt(1 - b2 ** self.t)
        for k, p in params.items():
            m, v = self.state.setdefault(k, (np.zeros_like(p), np.zeros_like(p)))
            m += (1 - b1) * (grads[k] - m)
            v += (1 - b1) * (grads[k] ** 2 - v)
            p -= self.lr * (c2 / c1) * m / (np.sqrt(v) + self.eps * c2)


def make_Model26(seed=3):
    return {"optimizer": Model26(), "reference": Model26_Ref()}


class Model27_Ref:
    def __init__(self):
        self.t, self.m, self.v = 0, {}, {}

    def step(self, params, grads):
        self.t += 1
        for k in params:
            g = grads[k]
            self.m[k] = 0.9 * self.m.get(k, 0) + 0.1 * g
            self.v[k] = 0.99 * self.v.get(k, 0) + 0.01 * g ** 2
            mh = self.m[k] / (1 - 0.9 ** self.t)
            vh = self.v[k] / (1 - 0.99 ** self.t)
            params[k] -= 0.02 * mh / (np.sqrt(vh) + 1e-8)


class Model27:
    def __init__(self, lr=0.02, betas=(0.9, 0.99), eps=1e-8):
        self.lr, self.betas, self.eps, self.t, self.state = lr, betas, eps, 0, {}

    def step(self, params, grads):
        b1, b2 = self.betas
        c1, c2 = 1 - b1 ** self.t, np.sqrt(1 - b2 ** self.t)
        self.t += 1
        for k, p in params.items():
            m, v = self.state.setdefault(k, (np.zeros_like(p), np.zeros_like(p)))
            m += (1 - b1) * (grads[k] - m)
            v += (1 - b2) * (grads[k] ** 2 - v)
            p -= self.lr * (c2 / c1) * m / (np.sqrt(v) + self.eps * c2)


def make_Model27(seed=3):
    return {"optimizer": Model27(), "reference": Model27_Ref()}


class Model28_Ref:
    def __init__(self):
        self.t, self.m, self.v = 0, {}, {}

    def step(self, params, grads):
        self.t += 1
        for k in params:
            g = grads[k]
            params[k] -= 0.05 * 0.1 * params[k]
            self.m[k] = 0.9 * self.m.get(k, 0) + 0.1 * g
            self.v[k] = 0.999 * self.v.get(k, 0) + 0.001 * g ** 2
            params[k] -= 0.05 * (self.m[k] / (1 - 0.9 ** self.t)) / (np.sqrt(self.v[k] / (1 - 0.999 ** self.t)) + 1e-8)


class Model28:
    def __init__(self):
        self.n = 0
        self.m, self.v = {}, {}

    def step(self, params, grads):
        self.n = self.n + 1
        for key in sorted(params):
            w, g = params[key], grads[key]
            g = g + 0.1 * w
            if key not in self.m:
                self.m[key], self.v[key] = np.zeros(w.shape), np.zeros(w.shape)
            self.m[key] = 0.9 * self.m[key] + 0.1 * g
            self.v[key] = 0.999 * self.v[key] + 0.001 * g * g
            mhat, vhat = self.m[key] / (1 - 0.9 ** self.n), self.v[key] / (1 - 0.999 ** self.n)
            w -= 0.05 * mhat / (np.sqrt(vhat) + 1e-8)


def make_Model28(seed=3):
    return {"optimizer": Model28(), "reference": Model28_Ref()}


class Model29_Ref:
    def __init__(self):
        self.vel = {}

    def step(self, params, grads):
        for k in params:
            g = grads[k] + 0.01 * params[k]
            self.vel[k] = 0.9 * self.vel.get(k, 0) + g
            params[k] -= 0.1 * (g + 0.9 * self.vel[k])


class Model29:
    """SGD, Nesterov momentum, weight decay"""
    def __init__(self, lr=0.1, mu=0.9, wd=0.01):
        self.lr, self.mu, self.wd, self.buf = lr, mu, wd, None

    def step(self, params, grads):
        if self.buf is None:
            self.buf = {k: np.zeros_like(v) for k, v in params.items()}
        for k in params:
            g = grads[k]
            g += self.wd * params[k]
            self.buf[k] *= self.mu
            self.buf[k] += g
            params[k] -= self.lr * (g + self.mu * self.buf[k])


def make_Model29(seed=3):
    return {"optimizer": Model29(), "reference": Model29_Ref()}


class Model30:
    """linear Gaussian instrument with a noise level fitted per channel"""
    def __init__(self, seed=3):
        rs = np.random.RandomState(seed)
        self.params = dict(A=rs.randn(4, 3) * .5, a0=rs.randn(3) * .2, S=rs.randn(4, 3) * .3, s0=rs.randn(3) * .2,
                           F=rs.randn(3, 4) * .7, f0=rs.randn(4) * .2, lognoise=rs.randn(4) * .3)

    def objective(self, x, eps, beta=1.0):
        q = self.params
        m = x @ q["A"] + q["a0"]
        t = x @ q["S"] + q["s0"]
        sig = np.exp(t / 2)
        z = m + sig * eps
        res = x - np.sin(z) @ q["F"] - q["f0"]
        prec = np.exp(-2 * q["lognoise"])
        nll = (0.5 * res ** 2 * prec + q["lognoise"] + 0.5 * np.log(2 * np.pi)).sum(1)
        kl = -0.5 * (1 + t - m ** 2 - sig ** 2).sum(1)
        return Terms(-nll - beta * kl, nll, kl), dict(x=x, eps=eps, m=m, sig=sig, z=z, res=res, prec=prec, beta=beta)

    def backward(self, up, c):
        q = self.params
        w = up.reshape(-1, 1)
        dpred = w * c["res"] * c["prec"]
        out = {}
        out["lognoise"] = (w * (c["res"] ** 2 * c["prec"] - 1)).sum(axis=0)
        out["F"] = np.sin(c["z"]).T @ dpred
        out["f0"] = dpred.sum(axis=0)
        dz = (dpred @ q["F"].T) * np.cos(c["z"])
        dm = dz - w * c["beta"] * c["m"]
        dt = 0.5 * dz * c["sig"] * c["eps"] + 0.5 * w * c["beta"] * (1 - c["sig"] ** 2)
        out["A"] = c["x"].T @ dm
        out["a0"] = dm.sum(axis=0)
        out["S"] = c["x"].T @ dt
        out["s0"] = dt.sum(axis=0)
        return out


def make_Model30(seed=3):
    rs = np.random.RandomState(50 + seed)
    return {"model": Model30(seed), "x": rs.randn(5, 4), "eps": rs.randn(5, 3)}


class Model31:
    def __init__(self, seed=3, D=4, Z=2):
        r = np.random.default_rng(seed)
        self.params = {"enc_mu": r.normal(size=(D, Z)) * .6, "enc_lv": r.normal(size=(D, Z)) * .4,
                       "dec": r.normal(size=(Z, D)) * .9, "dec_b": r.normal(size=D) * .3}

    def objective(self, x, eps):
        P = self.params
        mu, lv = x @ P["enc_mu"], x @ P["enc_lv"]
        s = np.exp(0.5 * lv)
        z = mu[None] + s[None] * eps                                # K, B, Z
        logits = np.einsum("kbz,zd->kbd", z, P["dec"]) + P["dec_b"]
        log_px = (x * logits - np.logaddexp(0, logits)).sum(-1)
        log_pz = -0.5 * (z ** 2).sum(-1)
        log_qz = -0.5 * (eps ** 2 + lv).sum(-1)
        logw = log_px + log_pz - log_qz
        top = logw.max(0)
        bound = top + np.log(np.mean(np.exp(logw - top), axis=0))
        return Terms(bound, None, None), (x, eps, s, z, logits, logw)

    def backward(self, dbound, cache):
        x, eps, s, z, logits, logw = cache
        P = self.params
        wt = np.exp(logw - logw.max(0))
        wt = wt / wt.sum(0)
        dlogw = (wt * dbound)[..., None]
        dlogits = dlogw * (x - 0.5 * (1 + np.tanh(0.5 * logits)))
        ddec = np.einsum("kbz,kbd->zd", z, dlogits)
        dz = np.einsum("kbd,zd->kbz", dlogits, P["dec"]) - dlogw * z
        dmu = dz.sum(0)
        dlv = (0.5 * dz * s * eps + 0.5 * dlogw).sum(0)
        return {"enc_mu": x.T @ dmu, "enc_lv": x.T @ dlv, "dec": ddec, "dec_b": dlogits.sum((0, 1))}


def make_Model31(seed=3):
    r = np.random.default_rng(70 + seed)
    return {"model": Model31(seed), "x": r.integers(0, 2, size=(5, 4)).astype(float), "eps": r.normal(size=(3, 5, 2))}


class Model32:
    # mixture of diagonal Gaussians, the latent is summed out; eps isn't needed
    def __init__(self, seed=3, K=3, D=2):
        rng = np.random.default_rng(seed)
        self.params = {"logit_pi": rng.normal(size=K), "means": rng.normal(size=(K, D)) * 1.5, "log_scale": rng.normal(size=(K, D)) * .3}

    def objective(self, x, eps):
        pi, means, ls = (self.params[k] for k in ("logit_pi", "means", "log_scale"))
        logpi = pi - logsumexp(pi)
        comp = np.empty((len(x), len(pi)))
        for k in range(len(pi)):
            u = (x - means[k]) / np.exp(ls[k])
            comp[:, k] = logpi[k] - 0.5 * np.sum(u * u, axis=1) - ls[k].sum() - 0.5 * x.shape[1] * np.log(2 * np.pi)
        ll = logsumexp(comp, axis=1)
        return Terms(ll, -ll, None), (x, comp, ll, np.exp(logpi))

    def backward(self, dll, cache):
        x, comp, ll, prob = cache
        means, ls = self.params["means"], self.params["log_scale"]
        resp = np.exp(comp - ll[:, None]) * dll[:, None]
        dmeans, dls = np.zeros_like(means), np.zeros_like(ls)
        for k in range(len(prob)):
            diff = x - means[k]
            inv = np.exp(-2 * ls[k])
            dmeans[k] = (resp[:, k:k + 1] * diff * inv).sum(0)
            dls[k] = (resp[:, k:k + 1] * (diff ** 2 * inv - 1)).sum(0)
        dpi = resp.sum(0) - prob * dll.sum()
        return {"logit_pi": dpi, "means": dmeans, "log_scale": dls}


def make_Model32(seed=3):
    rng = np.random.default_rng(9 + seed)
    return {"model": Model32(seed), "x": rng.normal(size=(7, 2)) * 1.5, "eps": np.zeros((7, 1))}


class Model33:
    def __init__(self, seed=3):
        R = np.random.default_rng(seed)
        self.params = {"enc.w": R.normal(size=(3, 4)) * .5, "flow.u": R.normal(size=2) * .4, "flow.w": R.normal(size=2) * .8,
                       "flow.b": R.normal(size=1) * .5, "dec.w": R.normal(size=(2, 3)), "dec.b": R.normal(size=3) * .2}

    def objective(self, x, eps, beta=1.0):
        P = self.params
        u, w = P["flow.u"], P["flow.w"]
        stats = x @ P["enc.w"]
        mu, lv = stats[:, :2], stats[:, 2:]
        sd = np.exp(lv / 2)
        z0 = mu + sd * eps
        t = np.tanh(z0 @ w + P["flow.b"])
        z1 = z0 + np.outer(t, u)
        det = 1 + (1 - t ** 2) * (u @ w)
        recon = x - z1 @ P["dec.w"] - P["dec.b"]
        nll = 0.5 * (recon ** 2).sum(1) + 1.5 * np.log(2 * np.pi)
        kl = -0.5 * (eps ** 2 + lv).sum(1) - np.log(np.abs(det)) + 0.5 * (z1 ** 2).sum(1)
        return Terms(-nll - beta * kl, nll, kl), (x, eps, beta, sd, z0, t, z1, det, recon)

    def backward(self, gout, cache):
        x, eps, beta, sd, z0, t, z1, det, recon = cache
        P = self.params
        u, w = P["flow.u"], P["flow.w"]
        grow = gout[:, None]
        gpred = grow * recon
        gz1 = gpred @ P["dec.w"].T - beta * grow * z1
        gdet = beta * gout / det
        slope = 1 - t ** 2
        gt = gz1 @ u - gdet * 2 * t * (u @ w)
        gpre = gt * slope
        gu = t @ gz1 + (gdet * slope).sum() * w
        gw = z0.T @ gpre + (gdet * slope).sum() * u
        gz0 = gz1 + np.outer(gpre, w)
        glv = 0.5 * gz0 * eps * sd + 0.5 * beta * grow
        return {"enc.w": x.T @ np.hstack([gz0, glv]), "flow.u": gu, "flow.w": gw, "flow.b": gpre.sum(keepdims=True),
                "dec.w": z1.T @ gpred, "dec.b": gpred.sum(0)}


def make_Model33(seed=3):
    R = np.random.default_rng(31 + seed)
    return {"model": Model33(seed), "x": R.normal(size=(5, 3)), "eps": R.normal(size=(5, 2))}


class Model34:
    """Probabilistic PCA: x ~ N(m, W W' + s I), the marginal likelihood."""
    def __init__(self, seed=3, d=4, k=2):
        rng = np.random.default_rng(seed)
        self.params = {"W": rng.normal(size=(d, k)), "m": rng.normal(size=d), "log_s": np.array([rng.normal() * .4])}

    def objective(self, x, eps):
        W, m, s = self.params["W"], self.params["m"], np.exp(self.params["log_s"][0])
        C = W @ W.T + s * np.eye(len(m))
        Ci = np.linalg.inv(C)
        r = x - m
        ll = -0.5 * (np.einsum("ni,ij,nj->n", r, Ci, r) + np.linalg.slogdet(C)[1] + len(m) * np.log(2 * np.pi))
        return Terms(ll, None, None), SimpleNamespace(W=W, s=s, Ci=Ci, r=r)

    def backward(self, dll, c):
        v = c.r @ c.Ci
        dC = 0.5 * ((v * dll[:, None]).T @ v - dll.sum() * c.Ci)
        dW = 2 * dC @ c.W
        return {"W": dW, "m": (v * dll[:, None]).sum(0), "log_s": np.array([np.trace(dC) * c.s])}


def make_Model34(seed=3):
    rng = np.random.default_rng(12 + seed)
    return {"model": Model34(seed), "x": rng.normal(size=(6, 4)) * 1.3, "eps": np.zeros((6, 1))}


class Model35:
    # two stochastic layers: q(z1|x) q(z2|z1), p(z2) p(z1|z2) p(x|z1), unit variances at the top
    def __init__(self, seed=3, D=4, Z=2):
        r = np.random.RandomState(seed)
        self.params = {"q1": r.randn(D, Z) * .5, "q2": r.randn(Z, Z) * .7, "lv1": r.randn(Z) * .4, "lv2": r.randn(Z) * .4,
                       "p1": r.randn(Z, Z) * .7, "px": r.randn(Z, D)}

    def objective(self, x, eps, beta=1.0):
        th = self.params
        e1, e2 = eps[:, :2], eps[:, 2:]
        s1, s2 = np.exp(.5 * th["lv1"]), np.exp(.5 * th["lv2"])
        z1 = np.tanh(x @ th["q1"]) + s1 * e1
        z2 = z1 @ th["q2"] + s2 * e2
        gap = z1 - z2 @ th["p1"]
        logits = z1 @ th["px"]
        nll = (np.log1p(np.exp(logits)) - x * logits).sum(1)
        kl = (.5 * gap ** 2 + .5 * z2 ** 2 - .5 * (e1 ** 2 + e2 ** 2) - .5 * th["lv1"] - .5 * th["lv2"]).sum(1)
        return Terms(-nll - beta * kl, nll, kl), [x, e1, e2, s1, s2, z1, z2, gap, logits, beta]

    def backward(self, dout, cache):
        th = self.params
        x, e1, e2, s1, s2, z1, z2, gap, logits, beta = cache
        col = dout[:, None]
        dlog = col * (x - expit(logits))
        dgap = -beta * col * gap
        dz2 = -beta * col * z2 - dgap @ th["p1"].T
        dz1 = dlog @ th["px"].T + dgap + dz2 @ th["q2"].T
        dmu1 = dz1 * (1 - np.tanh(x @ th["q1"]) ** 2)
        const = .5 * beta * dout.sum()
        return {"px": z1.T @ dlog, "p1": -z2.T @ dgap, "q2": z1.T @ dz2, "q1": x.T @ dmu1,
                "lv1": .5 * (dz1 * s1 * e1).sum(0) + const, "lv2": .5 * (dz2 * s2 * e2).sum(0) + const}


def make_Model35(seed=3):
    r = np.random.RandomState(88 + seed)
    return {"model": Model35(seed), "x": (r.rand(6, 4) > .5) * 1.0, "eps": r.randn(6, 4)}


def draw36(mu, logvar, eps):
    # Householder reflection of the white noise first: still white
    v = np.ones(mu.shape[1]) / np.sqrt(mu.shape[1])
    white = eps - 2 * np.outer(eps @ v, v)
    return mu - np.exp(logvar / 2) * white


def make_draw36(seed=3):
    r = np.random.default_rng(seed)
    return {"sampler": draw36, "mu": r.normal(size=(4, 3)), "logvar": r.uniform(-1.5, 1.2, size=(4, 3))}


def draw37(mu, logvar, eps):
    L = np.stack([np.linalg.cholesky(np.diag(np.exp(row))) for row in logvar])
    return mu + np.einsum("bij,bj->bi", L, eps), L


def make_draw37(seed=3):
    r = np.random.default_rng(seed)
    return {"sampler": draw37, "mu": r.normal(size=(4, 3)), "logvar": r.uniform(-1.5, 1.2, size=(4, 3))}


def draw38(m, lv, e):
    out = lv * 0.5
    np.exp(out, out=out)
    out *= e
    out += m
    return out


def make_draw38(seed=3):
    r = np.random.default_rng(seed)
    return {"sampler": draw38, "mu": r.normal(size=(4, 3)), "logvar": r.uniform(-1.5, 1.2, size=(4, 3))}


class Model39:
    def __init__(self, seed=3, D=4, Z=2):
        g = np.random.default_rng(seed)
        self.We, self.Wl, self.bl = g.normal(size=(D, Z)) * .5, g.normal(size=(D, Z)) * .4, g.normal(size=Z) * .3 - .3
        self.Wd, self.bd = g.normal(size=(Z, D)), g.normal(size=D) * .3

    def encode(self, x):
        return x @ self.We - .2, x @ self.Wl + self.bl

    def decode(self, z):
        return np.tanh(z) @ self.Wd + self.bd

    def objective(self, x, eps):
        mu, logvar = self.encode(x)
        z = mu + np.exp(logvar / 2) * eps
        logits = self.decode(z)
        nll = (np.logaddexp(0, logits) - x * logits).sum(axis=1)
        kl = 0.5 * (mu ** 2 + np.exp(logvar) - logvar - 1).sum(axis=1)
        return SimpleNamespace(elbo=-nll - kl, nll=nll, kl=kl), None


def make_Model39(seed=3):
    g = np.random.default_rng(seed + 5)
    return {"model": Model39(seed), "x": (g.random((5, 4)) < .5).astype(float)}


class Model40_Lik:
    name, n_params, support = "normal, sd 0.7", 1, (-np.inf, np.inf)

    def nll(self, x, logits):
        u = (x - logits) / 0.7
        return (0.5 * u * u + np.log(0.7) + 0.5 * np.log(2 * np.pi)).sum(1), u

    def nll_backward(self, dnll, u):
        return -dnll[:, None] * u / 0.7

    def mean(self, logits):
        return logits + 0.0

    def sample(self, logits, rng):
        return logits + 0.7 * rng.standard_normal(logits.shape)


class Model40:
    def __init__(self, seed=3):
        g = np.random.RandomState(seed)
        self.likelihood = Model40_Lik()
        self.E, self.l, self.G = g.randn(3, 2) * .4, g.randn(2) * .5 - .6, g.randn(2, 3)

    def encode(self, x):
        return x @ self.E, np.tile(self.l, (len(x), 1))

    def decode(self, z):
        return z @ self.G

    def objective(self, x, eps):
        mu, lv = self.encode(x)
        z = mu + np.exp(.5 * lv) * eps
        log_lik = -self.likelihood.nll(x, self.decode(z))[0]
        log_q = norm_logpdf(z, mu, lv).sum(1)
        log_p = norm_logpdf(z, 0.0, np.zeros_like(lv)).sum(1)
        return SimpleNamespace(objective=log_lik + log_p - log_q), (mu, lv, z)


def make_Model40(seed=3):
    return {"model": Model40(seed), "x": np.random.RandomState(seed + 40).randn(4, 3)}


class Model41:
    K = 2
    def __init__(self, seed=3):
        g = np.random.default_rng(seed)
        self.a, self.b, self.w, self.c = g.normal(size=(3, 1)) * .5, g.normal(size=(3, 1)) * .3, g.normal(size=(1, 3)) * 1.2, g.normal(size=3) * .3

    def encode(self, x):
        return x @ self.a, x @ self.b - .4

    def decode(self, z):
        return z @ self.w + self.c

    def draw_eps(self, B, rng):
        return rng.standard_normal((self.K, B, 1))

    def objective(self, x, eps):
        mu, lv = self.encode(x)
        logw = []
        for e in eps:
            z = mu + np.exp(lv / 2) * e
            t = self.decode(z)
            logw.append((x * t - np.logaddexp(0, t)).sum(1) - .5 * (z ** 2).sum(1) + .5 * (e ** 2 + lv).sum(1))
        bound = logsumexp(np.array(logw), axis=0) - np.log(len(logw))
        return SimpleNamespace(objective=bound), logw


def make_Model41(seed=3):
    g = np.random.default_rng(seed + 77)
    return {"model": Model41(seed), "x": g.integers(0, 2, (4, 3)).astype(float)}


class Model42:
    """failures before the first success, success probability sigmoid(l)"""
    name, n_params, support = "geometric", 1, (0, np.inf)

    def nll(self, x, l):
        return (np.logaddexp(0, -l) + x * np.logaddexp(0, l)).sum(1), (x, l)

    def nll_backward(self, dnll, cache):
        x, l = cache
        return dnll[:, None] * ((1 + x) * expit(l) - 1)

    def mean(self, l):
        return np.exp(-l)

    def sample(self, l, rng):
        return rng.geometric(expit(l)) - 1.0


def make_Model42(seed=3):
    return {"p": Model42()}


class Model43:
    name, n_params, support, n = "binomial of 3 (2-bit grey)", 1, (0, 3), 3

    def nll(self, x, l):
        coef = gammaln(self.n + 1) - gammaln(x + 1) - gammaln(self.n - x + 1)
        return (self.n * np.logaddexp(0, l) - x * l - coef).sum(1), (x, l)

    def nll_backward(self, dnll, cache):
        x, l = cache
        return dnll[:, None] * (self.n * expit(l) - x)

    def mean(self, l):
        return self.n * expit(l)

    def sample(self, l, rng):
        return rng.binomial(self.n, expit(l)).astype(float)


def make_Model43(seed=3):
    return {"p": Model43()}


class Model44:
    name, n_params, support = "laplace", 2, (-np.inf, np.inf)

    def nll(self, x, logits):
        D = x.shape[1]
        loc, logb = logits[:, :D], logits[:, D:]
        a = (x - loc) * np.exp(-logb)
        return (np.abs(a) + logb + np.log(2.0)).sum(1), (a, logb)

    def nll_backward(self, dnll, cache):
        a, logb = cache
        return dnll[:, None] * np.hstack((-np.sign(a) * np.exp(-logb), 1 - np.abs(a)))

    def mean(self, logits):
        return logits[:, :logits.shape[1] // 2]

    def sample(self, logits, rng):
        loc, logb = np.hsplit(logits, 2)
        return rng.laplace(loc, np.exp(logb))


def make_Model44(seed=3):
    return {"p": Model44()}


class Model45_Ref:
    def __init__(self):
        self.t, self.m, self.v = 0, {}, {}

    def step(self, params, grads):
        self.t += 1
        for k in params:
            g = grads[k]
            self.m[k] = 0.9 * self.m.get(k, 0) + 0.1 * g
            self.v[k] = 0.99 * self.v.get(k, 0) + 0.01 * g ** 2
            mh = self.m[k] / (1 - 0.9 ** self.t)
            vh = self.v[k] / (1 - 0.99 ** self.t)
            params[k] -= 0.02 * mh / (np.sqrt(vh) + 1e-8)


class Model45:
    def __init__(self, lr=0.02, betas=(0.9, 0.99), eps=1e-8):
        self.lr, self.betas, self.eps, self.t, self.state = lr, betas, eps, 0, {}

    def step(self, params, grads):
        b1, b2 = self.betas
        self.t += 1
        c1, c2 = 1 - b1 ** self.t, np.sqrt(1 - b2 ** self.t)
        for k, p in params.items():
            m, v = self.state.setdefault(k, (np.zeros_like(p), np.zeros_like(p)))
            m += (1 - b1) * (grads[k] - m)
            v += (1 - b2) * (grads[k] ** 2 - v)
            p -= self.lr * (c2 / c1) * m / (np.sqrt(v) + self.eps * c2)


def make_Model45(seed=3):
    return {"optimizer": Model45(), "reference": Model45_Ref()}


class Model46_Ref:
    def __init__(self):
        self.t, self.m, self.v = 0, {}, {}

    def step(self, params, grads):
        self.t += 1
        for k in params:
            g = grads[k]
            params[k] -= 0.05 * 0.1 * params[k]
            self.m[k] = 0.9 * self.m.get(k, 0) + 0.1 * g
            self.v[k] = 0.999 * self.v.get(k, 0) + 0.001 * g ** 2
            params[k] -= 0.05 * (self.m[k] / (1 - 0.9 ** self.t)) / (np.sqrt(self.v[k] / (1 - 0.999 ** self.t)) + 1e-8)


class Model46:
    def __init__(self):
        self.n = 0
        self.m, self.v = {}, {}

    def step(self, params, grads):
        self.n = self.n + 1
        for key in sorted(params):
            w, g = params[key], grads[key]
            w *= 1 - 0.05 * 0.1
            if key not in self.m:
                self.m[key], self.v[key] = np.zeros(w.shape), np.zeros(w.shape)
            self.m[key] = 0.9 * self.m[key] + 0.1 * g
            self.v[key] = 0.999 * self.v[key] + 0.001 * g * g
            mhat, vhat = self.m[key] / (1 - 0.9 ** self.n), self.v[key] / (1 - 0.999 ** self.n)
            w -= 0.05 * mhat / (np.sqrt(vhat) + 1e-8)


def make_Model46(seed=3):
    return {"optimizer": Model46(), "reference": Model46_Ref()}


class Model47_Ref:
    def __init__(self):
        self.vel = {}

    def step(self, params, grads):
        for k in params:
            g = grads[k] + 0.01 * params[k]
            self.vel[k] = 0.9 * self.vel.get(k, 0) + g
            params[k] -= 0.1 * (g + 0.9 * self.vel[k])


class Model47:
    """SGD, Nesterov momentum, weight decay"""
    def __init__(self, lr=0.1, mu=0.9, wd=0.01):
        self.lr, self.mu, self.wd, self.buf = lr, mu, wd, None

    def step(self, params, grads):
        if self.buf is None:
            self.buf = {k: np.zeros_like(v) for k, v in params.items()}
        for k in params:
            g = grads[k]
            g = g + self.wd * params[k]
            self.buf[k] *= self.mu
            self.buf[k] += g
            params[k] -= self.lr * (g + self.mu * self.buf[k])


def make_Model47(seed=3):
    return {"optimizer": Model47(), "reference": Model47_Ref()}


ITEMS = [
    Item("mlp_00", 'CS231n assignment', 'gradients', make_Model00, False, 'dlogvar of the sample lacks the 0.5 of std=exp(lv/2)', ('Wv', 'bv', 'W1', 'b1'), ('factor', 'elementwise-factor')),
    Item("mlp_01", 'CS231n assignment', 'gradients', make_Model01, False, 'trunk gradient lacks the path through logvar', ('W1', 'b1'), ('missing-term',)),
    Item("gauss_02", 'physics instrument code', 'gradients', make_Model02, False, 'gradient of the log noise lacks the -1 of the normaliser', ('lognoise',), ('missing-term',)),
    Item("gauss_03", 'physics instrument code', 'gradients', make_Model03, False, 'bias gradient averaged over the rows, not summed', ('f0',), ('factor', 'batch-sum')),
    Item("iwae_04", 'research repository', 'gradients', make_Model04, False, 'dlogw should be the normalised weights, not 1/K', ('enc_mu', 'enc_lv', 'dec', 'dec_b'), ('elementwise-factor', 'unknown')),
    Item("gmm_05", 'textbook EM', 'gradients', make_Model05, False, 'mixing logits: the - pi of the softmax normaliser is missing', ('logit_pi',), ('missing-term',)),
    Item("flow_06", 'normalizing flow research code', 'gradients', make_Model06, False, "log determinant's path through tanh is missing", ('enc.w', 'flow.w', 'flow.b'), ('missing-term',)),
    Item("ppca_07", 'statistics course', 'gradients', make_Model07, False, "d(WW') needs both sides: 2 dC W", ('W',), ('factor', 'missing-term')),
    Item("hier_08", 'deep generative models homework', 'gradients', make_Model08, False, 'q2 should be transposed on the way back (square, so it runs)', ('q1', 'lv1'), ('transpose',)),
    Item("hier_09", 'deep generative models homework', 'gradients', make_Model09, False, 'gap = z1 - z2 p1: the path to z2 needs a minus', ('q1', 'q2', 'lv1', 'lv2'), ('sign',)),
    Item("s_plain_10", 'blog post', 'sampler', make_draw10, False, 'variance used as standard deviation', ('sigma',), ('elementwise-factor',)),
    Item("s_cache_11", 'layer library', 'sampler', make_draw11, False, 'noise drawn inside instead of the argument', ('z',), ('noise-redrawn',)),
    Item("s_inplace_12", 'audio DSP code', 'sampler', make_draw12, False, "writes into the caller's logvar", ('logvar',), ('mutates-input',)),
    Item("s_loop_13", 'first-year homework', 'sampler', make_draw13, False, 'the first noise number is used for every dimension: correlated draws', ('z',), ('shape', 'unknown', 'zero')),
    Item("s_chol_14", 'finance library', 'sampler', make_draw14, False, 'cholesky of diag(sigma), so the spread is exp(lv/4): cov should be diag(exp(lv))', ('sigma',), ('elementwise-factor',)),
    Item("s_cache_15", 'layer library', 'sampler', make_draw15, False, 'softplus, where log_var needs exp', ('sigma',), ('elementwise-factor',)),
    Item("e_bern_16", 'vision VAE tutorial', 'evidence', make_Model16, False, 'KL lacks the 1/2', ('kl',), ('factor', 'missing-term')),
    Item("e_bern_17", 'vision VAE tutorial', 'evidence', make_Model17, False, 'KL added rather than subtracted', ('elbo',), ('sign', 'missing-term')),
    Item("e_bern_18", 'vision VAE tutorial', 'evidence', make_Model18, False, 'KL lacks the -1 for each dimension', ('kl',), ('missing-term',)),
    Item("e_bern_19", 'vision VAE tutorial', 'evidence', make_Model19, False, 'nll averaged over the pixels, not summed', ('nll',), ('factor',)),
    Item("e_iw_20", 'research repository', 'evidence', make_Model20, False, 'log of the sum, not the mean: lacks - log K', ('objective',), ('missing-term',)),
    Item("e_mc_21", 'physics instrument code', 'evidence', make_Model21, False, 'log q lacks the - logvar/2 of the determinant', ('objective',), ('missing-term',)),
    Item("l_pois_22", 'neuroscience counts', 'likelihood', make_Model22, False, 'log x! written as log Gamma(x): gammaln(x + 1) is right', ('nll',), ('missing-term', 'elementwise-factor')),
    Item("l_norm_23", 'RL world model', 'likelihood', make_Model23, False, 'gradient to logvar lacks 1/2', ('nll_backward',), ('factor', 'elementwise-factor')),
    Item("l_norm_24", 'RL world model', 'likelihood', make_Model24, False, 'sample takes the variance for the standard deviation', ('sample',), ('elementwise-factor',)),
    Item("l_lap_25", 'audio codec', 'likelihood', make_Model25, False, 'normaliser log 2 is missing', ('nll',), ('missing-term',)),
    Item("o_adam_26", 'layer library', 'optimizer', make_Model26, False, 'second moment decays with beta1 instead of beta2', ('params',), ('elementwise-factor',)),
    Item("o_adam_27", 'layer library', 'optimizer', make_Model27, False, 't is counted up after the correction: 0/0 at the first step', ('params',), ('non-finite',)),
    Item("o_adamw_28", 'NLP trainer', 'optimizer', make_Model28, False, 'L2 into the gradient instead of decoupled decay', ('params',), ('missing-term', 'elementwise-factor', 'unknown')),
    Item("o_mom_29", 'deep learning framework', 'optimizer', make_Model29, False, "weight decay is added in place to the caller's grads", ('grads',), ('mutates-input',)),
    Item("gauss_30", 'physics instrument code', 'gradients', make_Model30, True),
    Item("iwae_31", 'research repository', 'gradients', make_Model31, True),
    Item("gmm_32", 'textbook EM', 'gradients', make_Model32, True),
    Item("flow_33", 'normalizing flow research code', 'gradients', make_Model33, True),
    Item("ppca_34", 'statistics course', 'gradients', make_Model34, True),
    Item("hier_35", 'deep generative models homework', 'gradients', make_Model35, True),
    Item("s_rot_36", 'graphics quasi Monte Carlo', 'sampler', make_draw36, True),
    Item("s_chol_37", 'finance library', 'sampler', make_draw37, True),
    Item("s_inplace_38", 'audio DSP code', 'sampler', make_draw38, True),
    Item("e_bern_39", 'vision VAE tutorial', 'evidence', make_Model39, True),
    Item("e_mc_40", 'physics instrument code', 'evidence', make_Model40, True),
    Item("e_iw_41", 'research repository', 'evidence', make_Model41, True),
    Item("l_geo_42", 'queueing course', 'likelihood', make_Model42, True),
    Item("l_bin_43", 'vision grey levels', 'likelihood', make_Model43, True),
    Item("l_lap_44", 'audio codec', 'likelihood', make_Model44, True),
    Item("o_adam_45", 'layer library', 'optimizer', make_Model45, True),
    Item("o_adamw_46", 'NLP trainer', 'optimizer', make_Model46, True),
    Item("o_mom_47", 'deep learning framework', 'optimizer', make_Model47, True),
]
