"""Small generative models, samplers, bounds, likelihoods and optimizers, in the manner of public code."""
from typing import Callable, NamedTuple

import numpy as np
from scipy.special import digamma, gammaln


class Item(NamedTuple):
    name: str
    style: str
    check: str
    make: Callable
    right: bool
    slip: str = ""
    wrong: tuple = ()
    causes: tuple = ()


class Named:
    """Values with names."""

    def __init__(self, **values):
        self.__dict__.update(values)


ITEMS = []
LOG2PI = np.log(2 * np.pi)


def sigmoid(a):
    return 1.0 / (1.0 + np.exp(-a))


def softplus(a):
    return np.logaddexp(0.0, a)


def log_softmax(a, axis=-1):
    a = a - a.max(axis=axis, keepdims=True)
    return a - np.log(np.exp(a).sum(axis=axis, keepdims=True))


def logsumexp(a, axis):
    m = a.max(axis=axis, keepdims=True)
    return np.squeeze(m, axis) + np.log(np.exp(a - m).sum(axis=axis))


# ---------------------------------------------------------------------------------------------------- gradients


class GistVAE:
    """Minimal VAE with a Bernoulli decoder. tanh hidden layers, everything by hand."""

    def __init__(self, D=6, H=5, Z=2, seed=0):
        r = np.random.RandomState(seed)
        self.params = {
            "W1": r.randn(D, H) / np.sqrt(D), "b1": 0.1 * r.randn(H),
            "Wm": r.randn(H, Z) / np.sqrt(H), "bm": 0.1 * r.randn(Z),
            "Wv": r.randn(H, Z) / np.sqrt(H), "bv": 0.1 * r.randn(Z),
            "W2": r.randn(Z, H) / np.sqrt(Z), "b2": 0.1 * r.randn(H),
            "W3": r.randn(H, D) / np.sqrt(H), "b3": 0.1 * r.randn(D),
        }

    def encode(self, x):
        p = self.params
        h = np.tanh(x @ p["W1"] + p["b1"])
        return h @ p["Wm"] + p["bm"], h @ p["Wv"] + p["bv"], h

    def objective(self, x, eps, beta=1.0):
        p = self.params
        mu, lv, h = self.encode(x)
        z = mu + np.exp(0.5 * lv) * eps
        g = np.tanh(z @ p["W2"] + p["b2"])
        o = g @ p["W3"] + p["b3"]
        nll = np.sum(softplus(o) - x * o, axis=1)
        kl = -0.5 * np.sum(1 + lv - mu ** 2 - np.exp(lv), axis=1)
        return Named(objective=nll + beta * kl, nll=nll, kl=kl), (x, eps, beta, h, mu, lv, z, g, o)

    def backward(self, dobjective, cache):
        x, eps, beta, h, mu, lv, z, g, o = cache
        p = self.params
        d = dobjective[:, None]
        grads = {}
        do = d * (sigmoid(o) - x)
        grads["W3"], grads["b3"] = g.T @ do, do.sum(0)
        dg = (do @ p["W3"].T) * (1 - g ** 2)
        grads["W2"], grads["b2"] = z.T @ dg, dg.sum(0)
        dz = dg @ p["W2"].T
        dmu = dz + beta * d * mu
        dlv = dz * eps * 0.5 * np.exp(0.5 * lv) + beta * d * 0.5 * (np.exp(lv) - 1)
        grads["Wm"], grads["bm"] = h.T @ dmu, dmu.sum(0)
        grads["Wv"], grads["bv"] = h.T @ dlv, dlv.sum(0)
        dh = (dmu @ p["Wm"].T + dlv @ p["Wv"].T) * (1 - h ** 2)
        grads["W1"], grads["b1"] = x.T @ dh, dh.sum(0)
        return grads


class GistVAENoScale(GistVAE):
    def backward(self, dobjective, cache):
        x, eps, beta, h, mu, lv, z, g, o = cache
        p = self.params
        d = dobjective[:, None]
        grads = {}
        do = d * (sigmoid(o) - x)
        grads["W3"], grads["b3"] = g.T @ do, do.sum(0)
        dg = (do @ p["W3"].T) * (1 - g ** 2)
        grads["W2"], grads["b2"] = z.T @ dg, dg.sum(0)
        dz = dg @ p["W2"].T
        dmu = dz + beta * d * mu
        dlv = dz * eps * 0.5 + beta * d * 0.5 * (np.exp(lv) - 1)
        grads["Wm"], grads["bm"] = h.T @ dmu, dmu.sum(0)
        grads["Wv"], grads["bv"] = h.T @ dlv, dlv.sum(0)
        dh = (dmu @ p["Wm"].T + dlv @ p["Wv"].T) * (1 - h ** 2)
        grads["W1"], grads["b1"] = x.T @ dh, dh.sum(0)
        return grads


def make_gist_right():
    r = np.random.RandomState(11)
    return dict(model=GistVAE(seed=1), x=(r.rand(4, 6) < 0.5).astype(float), eps=r.randn(4, 2), beta=1.0)


def make_gist_noscale():
    r = np.random.RandomState(12)
    return dict(model=GistVAENoScale(D=5, H=4, Z=3, seed=2), x=(r.rand(3, 5) < 0.5).astype(float), eps=r.randn(3, 3),
                beta=1.0)


ITEMS.append(Item("gist-bernoulli", "Karpathy gist", "gradients", make_gist_right, True))
ITEMS.append(Item(
    "gist-noscale", "Karpathy gist", "gradients", make_gist_noscale, False,
    "the path of the sample into the log variance has no sigma: dz * eps * 0.5 should be "
    "dz * eps * 0.5 * np.exp(0.5 * lv)",
    ("W1", "b1", "Wv", "bv"), ("elementwise-factor",)))


class SigmaVAE:
    """Gaussian decoder with one learned log sigma per output, as in the sigma-VAE repositories."""

    def __init__(self, in_dim=5, hidden=4, latent=2, seed=0):
        rng = np.random.default_rng(seed)

        def init(n_in, n_out):
            return rng.normal(0.0, 1.0 / np.sqrt(n_in), (n_in, n_out))

        self.params = {
            "enc.weight": init(in_dim, hidden), "enc.bias": rng.normal(0, 0.1, hidden),
            "mu.weight": init(hidden, latent), "mu.bias": rng.normal(0, 0.1, latent),
            "logvar.weight": init(hidden, latent), "logvar.bias": rng.normal(0, 0.1, latent),
            "dec.weight": init(latent, hidden), "dec.bias": rng.normal(0, 0.1, hidden),
            "out.weight": init(hidden, in_dim), "out.bias": rng.normal(0, 0.1, in_dim),
            "log_sigma": rng.normal(0, 0.3, in_dim),
        }

    def encode(self, x):
        P = self.params
        a = x @ P["enc.weight"] + P["enc.bias"]
        h = softplus(a)
        mu = h @ P["mu.weight"] + P["mu.bias"]
        logvar = h @ P["logvar.weight"] + P["logvar.bias"]
        return mu, logvar, (x, a, h)

    def objective(self, x, eps, beta=1.0):
        P = self.params
        mu, logvar, enc_cache = self.encode(x)
        std = np.exp(0.5 * logvar)
        z = mu + std * eps
        a = z @ P["dec.weight"] + P["dec.bias"]
        h = softplus(a)
        x_hat = h @ P["out.weight"] + P["out.bias"]
        diff = (x - x_hat) * np.exp(-P["log_sigma"])
        nll = np.sum(0.5 * diff ** 2 + P["log_sigma"] + 0.5 * LOG2PI, axis=1)
        kl = 0.5 * np.sum(mu ** 2 + std ** 2 - logvar - 1, axis=1)
        cache = dict(enc=enc_cache, mu=mu, logvar=logvar, std=std, eps=eps, z=z, a=a, h=h, diff=diff, beta=beta)
        return Named(objective=nll + beta * kl, nll=nll, kl=kl), cache

    def backward(self, dobjective, cache):
        P = self.params
        grads = {k: np.zeros_like(v) for k, v in P.items()}
        g = dobjective[:, None]

        dx_hat = -g * cache["diff"] * np.exp(-P["log_sigma"])
        grads["out.weight"] += cache["h"].T @ dx_hat
        grads["out.bias"] += dx_hat.sum(axis=0)
        da = (dx_hat @ P["out.weight"].T) * sigmoid(cache["a"])
        grads["dec.weight"] += cache["z"].T @ da
        grads["dec.bias"] += da.sum(axis=0)

        dz = da @ P["dec.weight"].T
        gb = g * cache["beta"]
        dmu = dz + gb * cache["mu"]
        dlogvar = 0.5 * dz * cache["eps"] * cache["std"] + 0.5 * gb * (cache["std"] ** 2 - 1)

        x, a, h = cache["enc"]
        grads["mu.weight"] += h.T @ dmu
        grads["mu.bias"] += dmu.sum(axis=0)
        grads["logvar.weight"] += h.T @ dlogvar
        grads["logvar.bias"] += dlogvar.sum(axis=0)
        da = (dmu @ P["mu.weight"].T + dlogvar @ P["logvar.weight"].T) * sigmoid(a)
        grads["enc.weight"] += x.T @ da
        grads["enc.bias"] += da.sum(axis=0)
        return grads


def make_sigma_vae():
    rng = np.random.default_rng(21)
    return dict(model=SigmaVAE(seed=3), x=rng.normal(size=(4, 5)), eps=rng.normal(size=(4, 2)), beta=0.5)


ITEMS.append(Item(
    "sigma-vae-forgotten", "research repository (sigma-VAE)", "gradients", make_sigma_vae, False,
    "the gradient of log_sigma is never filled in and stays zero: it should be (g * (1 - diff ** 2)).sum(axis=0)",
    ("log_sigma",), ("zero", "missing-term")))


class CVAE:
    """Conditional VAE with a conditional prior; the columns of x are the data and then a one-hot label."""

    def __init__(self, D=4, C=3, H=5, Z=2, seed=0):
        rng = np.random.default_rng(seed)
        self.D, self.Z = D, Z
        shapes = {"We": (D + C, H), "be": (H,), "Wq_mu": (H, Z), "bq_mu": (Z,), "Wq_lv": (H, Z), "bq_lv": (Z,),
                  "Wp_mu": (C, Z), "bp_mu": (Z,), "Wp_lv": (C, Z), "bp_lv": (Z,),
                  "Wd": (Z + C, H), "bd": (H,), "Wo": (H, D), "bo": (D,)}
        self.params = {k: rng.normal(0, 0.5, s) for k, s in shapes.items()}

    def encode(self, xy):
        P = self.params
        h = np.tanh(xy @ P["We"] + P["be"])
        return h @ P["Wq_mu"] + P["bq_mu"], h @ P["Wq_lv"] + P["bq_lv"], h

    def objective(self, xy, eps, beta=1.0):
        P = self.params
        x, y = xy[:, :self.D], xy[:, self.D:]
        mu_q, lv_q, h = self.encode(xy)
        mu_p, lv_p = y @ P["Wp_mu"] + P["bp_mu"], y @ P["Wp_lv"] + P["bp_lv"]
        z = mu_q + np.exp(0.5 * lv_q) * eps
        zy = np.concatenate([z, y], axis=1)
        hd = np.tanh(zy @ P["Wd"] + P["bd"])
        x_rec = hd @ P["Wo"] + P["bo"]
        nll = 0.5 * np.sum((x - x_rec) ** 2 + LOG2PI, axis=1)
        delta = mu_q - mu_p
        kl = 0.5 * np.sum(lv_p - lv_q + (np.exp(lv_q) + delta ** 2) / np.exp(lv_p) - 1, axis=1)
        cache = (xy, x, y, eps, beta, h, lv_q, lv_p, delta, zy, hd, x_rec)
        return Named(objective=nll + beta * kl, nll=nll, kl=kl), cache

    def backward(self, dobjective, cache):
        xy, x, y, eps, beta, h, lv_q, lv_p, delta, zy, hd, x_rec = cache
        P, G = self.params, {}
        d = dobjective[:, None]
        # decoder
        dx_rec = d * (x_rec - x)
        G["Wo"], G["bo"] = hd.T @ dx_rec, dx_rec.sum(axis=0)
        dhd = dx_rec @ P["Wo"].T * (1 - hd ** 2)
        G["Wd"], G["bd"] = zy.T @ dhd, dhd.sum(axis=0)
        dz = (dhd @ P["Wd"].T)[:, :self.Z]
        # KL(q(z|x,y) || p(z|y))
        dkl = beta * d
        dmu_q = dkl * delta * np.exp(-lv_p)
        dmu_p = -dkl * delta * np.exp(-lv_p)
        dlv_q = 0.5 * dkl * (np.exp(lv_q - lv_p) - 1)
        dlv_p = 0.5 * dkl * (1 - (np.exp(lv_q) + delta ** 2) * np.exp(-lv_p))
        G["Wp_mu"], G["bp_mu"] = y.T @ dmu_p, dmu_p.sum(axis=0)
        G["Wp_lv"], G["bp_lv"] = y.T @ dlv_p, dlv_p.sum(axis=0)
        # encoder
        dmu_q = dmu_q + dz
        dlv_q = dlv_q + 0.5 * dz * eps * np.exp(0.5 * lv_q)
        G["Wq_mu"], G["bq_mu"] = h.T @ dmu_q, dmu_q.sum(axis=0)
        G["Wq_lv"], G["bq_lv"] = h.T @ dlv_q, dlv_q.sum(axis=0)
        dh = (dmu_q @ P["Wq_mu"].T + dlv_q @ P["Wq_lv"].T) * (1 - h ** 2)
        G["We"], G["be"] = xy.T @ dh, dh.sum(axis=0)
        return G


class CVAEPriorMean(CVAE):
    def backward(self, dobjective, cache):
        xy, x, y, eps, beta, h, lv_q, lv_p, delta, zy, hd, x_rec = cache
        P, G = self.params, {}
        d = dobjective[:, None]
        # decoder
        dx_rec = d * (x_rec - x)
        G["Wo"], G["bo"] = hd.T @ dx_rec, dx_rec.sum(axis=0)
        dhd = dx_rec @ P["Wo"].T * (1 - hd ** 2)
        G["Wd"], G["bd"] = zy.T @ dhd, dhd.sum(axis=0)
        dz = (dhd @ P["Wd"].T)[:, :self.Z]
        # KL(q(z|x,y) || p(z|y))
        dkl = beta * d
        dmu_q = dkl * delta * np.exp(-lv_p)
        dmu_p = dkl * delta * np.exp(-lv_p)
        dlv_q = 0.5 * dkl * (np.exp(lv_q - lv_p) - 1)
        dlv_p = 0.5 * dkl * (1 - (np.exp(lv_q) + delta ** 2) * np.exp(-lv_p))
        G["Wp_mu"], G["bp_mu"] = y.T @ dmu_p, dmu_p.sum(axis=0)
        G["Wp_lv"], G["bp_lv"] = y.T @ dlv_p, dlv_p.sum(axis=0)
        # encoder
        dmu_q = dmu_q + dz
        dlv_q = dlv_q + 0.5 * dz * eps * np.exp(0.5 * lv_q)
        G["Wq_mu"], G["bq_mu"] = h.T @ dmu_q, dmu_q.sum(axis=0)
        G["Wq_lv"], G["bq_lv"] = h.T @ dlv_q, dlv_q.sum(axis=0)
        dh = (dmu_q @ P["Wq_mu"].T + dlv_q @ P["Wq_lv"].T) * (1 - h ** 2)
        G["We"], G["be"] = xy.T @ dh, dh.sum(axis=0)
        return G


def make_cvae_right():
    rng = np.random.default_rng(31)
    xy = np.concatenate([rng.normal(size=(5, 4)), np.eye(3)[rng.integers(0, 3, 5)]], axis=1)
    return dict(model=CVAE(seed=4), x=xy, eps=rng.normal(size=(5, 2)), beta=1.0)


def make_cvae_sign():
    rng = np.random.default_rng(32)
    xy = np.concatenate([rng.normal(size=(4, 3)), np.eye(2)[[0, 1, 1, 0]]], axis=1)
    return dict(model=CVAEPriorMean(D=3, C=2, H=4, Z=3, seed=5), x=xy, eps=rng.normal(size=(4, 3)), beta=1.5)


ITEMS.append(Item("cvae-prior-net", "research repository (conditional VAE)", "gradients", make_cvae_right, True))
ITEMS.append(Item(
    "cvae-prior-mean", "research repository (conditional VAE)", "gradients", make_cvae_sign, False,
    "the mean of the prior gets the gradient of the posterior's mean: dmu_p should be -dkl * delta * np.exp(-lv_p)",
    ("Wp_mu", "bp_mu"), ("sign",)))


class TwoLevelVAE:
    """Two stochastic layers: q(z1|x), q(z2|x), p(z2), p(z1|z2), p(x|z1). eps: the noise of z1, then of z2."""

    def __init__(self, D=6, H1=5, H2=4, Z1=3, Z2=2, seed=0):
        rng = np.random.default_rng(seed)
        self.Z1 = Z1
        sizes = {"e1": (D, H1), "q1m": (H1, Z1), "q1v": (H1, Z1), "e2": (H1, H2), "q2m": (H2, Z2), "q2v": (H2, Z2),
                 "t": (Z2, H2), "p1m": (H2, Z1), "p1v": (H2, Z1), "d": (Z1, H1), "o": (H1, D)}
        self.params = {}
        for name, (i, o) in sizes.items():
            self.params["W_" + name] = rng.normal(0, 1 / np.sqrt(i), (i, o))
            self.params["b_" + name] = rng.normal(0, 0.1, o)

    def lin(self, name, a):
        return a @ self.params["W_" + name] + self.params["b_" + name]

    def lin_back(self, name, a, dy, grads):
        grads["W_" + name] = a.T @ dy
        grads["b_" + name] = dy.sum(axis=0)
        return dy @ self.params["W_" + name].T

    def objective(self, x, eps, beta=1.0):
        e1, e2 = eps[:, :self.Z1], eps[:, self.Z1:]
        h1 = np.tanh(self.lin("e1", x))
        h2 = np.tanh(self.lin("e2", h1))
        m1, v1 = self.lin("q1m", h1), self.lin("q1v", h1)
        m2, v2 = self.lin("q2m", h2), self.lin("q2v", h2)
        z1 = m1 + np.exp(v1 / 2) * e1
        z2 = m2 + np.exp(v2 / 2) * e2
        t = np.tanh(self.lin("t", z2))
        pm, pv = self.lin("p1m", t), self.lin("p1v", t)
        hd = np.tanh(self.lin("d", z1))
        logits = self.lin("o", hd)
        nll = np.sum(softplus(logits) - x * logits, axis=1)
        kl1 = 0.5 * np.sum(pv - v1 + (np.exp(v1) + (m1 - pm) ** 2) * np.exp(-pv) - 1, axis=1)
        kl2 = 0.5 * np.sum(np.exp(v2) + m2 ** 2 - 1 - v2, axis=1)
        kl = kl1 + kl2
        cache = dict(x=x, e1=e1, e2=e2, beta=beta, h1=h1, h2=h2, m1=m1, v1=v1, m2=m2, v2=v2, z1=z1, z2=z2, t=t,
                     pm=pm, pv=pv, hd=hd, logits=logits)
        return Named(objective=nll + beta * kl, nll=nll, kl=kl), cache

    def backward(self, dobjective, cache):
        c = Named(**cache)
        g = {}
        d = dobjective[:, None]
        db = d * c.beta
        # p(x | z1)
        dhd = self.lin_back("o", c.hd, d * (sigmoid(c.logits) - c.x), g)
        dz1 = self.lin_back("d", c.z1, dhd * (1 - c.hd ** 2), g)
        # KL of the lower layer
        ipv = np.exp(-c.pv)
        dm1 = db * (c.m1 - c.pm) * ipv
        dpm = -dm1
        dv1 = 0.5 * db * (np.exp(c.v1) * ipv - 1)
        dpv = 0.5 * db * (1 - (np.exp(c.v1) + (c.m1 - c.pm) ** 2) * ipv)
        # p(z1 | z2)
        dt = self.lin_back("p1m", c.t, dpm, g)
        dt += self.lin_back("p1v", c.t, dpv, g)
        dz2 = self.lin_back("t", c.z2, dt * (1 - c.t ** 2), g)
        # samples, and KL of the upper layer
        dm1 = dm1 + dz1
        dv1 = dv1 + dz1 * c.e1 * 0.5 * np.exp(c.v1 / 2)
        dm2 = dz2 + db * c.m2
        dv2 = dz2 * c.e2 * 0.5 * np.exp(c.v2 / 2) + 0.5 * db * (np.exp(c.v2) - 1)
        # bottom-up
        dh1 = self.lin_back("q1m", c.h1, dm1, g)
        dh1 += self.lin_back("q1v", c.h1, dv1, g)
        dh2 = self.lin_back("q2m", c.h2, dm2, g)
        dh2 += self.lin_back("q2v", c.h2, dv2, g)
        dh1 += self.lin_back("e2", c.h1, dh2 * (1 - c.h2 ** 2), g)
        self.lin_back("e1", c.x, dh1 * (1 - c.h1 ** 2), g)
        return g


class TwoLevelVAEOverwritten(TwoLevelVAE):
    def backward(self, dobjective, cache):
        c = Named(**cache)
        g = {}
        d = dobjective[:, None]
        db = d * c.beta
        # p(x | z1)
        dhd = self.lin_back("o", c.hd, d * (sigmoid(c.logits) - c.x), g)
        dz1 = self.lin_back("d", c.z1, dhd * (1 - c.hd ** 2), g)
        # KL of the lower layer
        ipv = np.exp(-c.pv)
        dm1 = db * (c.m1 - c.pm) * ipv
        dpm = -dm1
        dv1 = 0.5 * db * (np.exp(c.v1) * ipv - 1)
        dpv = 0.5 * db * (1 - (np.exp(c.v1) + (c.m1 - c.pm) ** 2) * ipv)
        # p(z1 | z2)
        dt = self.lin_back("p1m", c.t, dpm, g)
        dt += self.lin_back("p1v", c.t, dpv, g)
        dz2 = self.lin_back("t", c.z2, dt * (1 - c.t ** 2), g)
        # samples, and KL of the upper layer
        dm1 = dm1 + dz1
        dv1 = dv1 + dz1 * c.e1 * 0.5 * np.exp(c.v1 / 2)
        dm2 = dz2 + db * c.m2
        dv2 = dz2 * c.e2 * 0.5 * np.exp(c.v2 / 2) + 0.5 * db * (np.exp(c.v2) - 1)
        # bottom-up
        dh1 = self.lin_back("q1m", c.h1, dm1, g)
        dh1 += self.lin_back("q1v", c.h1, dv1, g)
        dh2 = self.lin_back("q2m", c.h2, dm2, g)
        dh2 += self.lin_back("q2v", c.h2, dv2, g)
        dh1 = self.lin_back("e2", c.h1, dh2 * (1 - c.h2 ** 2), g)
        self.lin_back("e1", c.x, dh1 * (1 - c.h1 ** 2), g)
        return g


def make_two_level_right():
    rng = np.random.default_rng(41)
    return dict(model=TwoLevelVAE(seed=6), x=rng.integers(0, 2, (4, 6)).astype(float), eps=rng.normal(size=(4, 5)),
                beta=1.0)


def make_two_level_overwritten():
    rng = np.random.default_rng(42)
    return dict(model=TwoLevelVAEOverwritten(D=5, H1=4, H2=3, Z1=2, Z2=2, seed=7),
                x=rng.integers(0, 2, (3, 5)).astype(float), eps=rng.normal(size=(3, 4)), beta=0.8)


ITEMS.append(Item("two-level", "research repository (ladder VAE)", "gradients", make_two_level_right, True))
ITEMS.append(Item(
    "two-level-overwritten", "research repository (ladder VAE)", "gradients", make_two_level_overwritten, False,
    "the gradient that reaches h1 from the second layer replaces the one of the heads of z1: "
    "dh1 = self.lin_back(\"e2\", ...) should be dh1 += self.lin_back(\"e2\", ...)",
    ("W_e1", "b_e1"), ("missing-term",)))


class PlanarFlowVAE:
    """q(z|x) = planar flows on a diagonal Gaussian; Bernoulli decoder; torch port, weights are (out, in)."""

    def __init__(self, n_in=5, n_hid=4, n_z=2, n_flows=2, seed=0):
        rng = np.random.default_rng(seed)

        def w(o, i):
            return rng.uniform(-1, 1, (o, i)) / np.sqrt(i)

        self.n_flows = n_flows
        self.params = {
            "fc1.weight": w(n_hid, n_in), "fc1.bias": rng.uniform(-.3, .3, n_hid),
            "fc21.weight": w(n_z, n_hid), "fc21.bias": rng.uniform(-.3, .3, n_z),
            "fc22.weight": w(n_z, n_hid), "fc22.bias": rng.uniform(-.3, .3, n_z),
            "flow.u": rng.uniform(-.8, .8, (n_flows, n_z)), "flow.w": rng.uniform(-.9, .9, (n_flows, n_z)),
            "flow.b": rng.uniform(-.5, .5, n_flows),
            "fc3.weight": w(n_hid, n_z), "fc3.bias": rng.uniform(-.3, .3, n_hid),
            "fc4.weight": w(n_in, n_hid), "fc4.bias": rng.uniform(-.3, .3, n_in),
        }

    def encode(self, x):
        p = self.params
        h = np.tanh(x @ p["fc1.weight"].T + p["fc1.bias"])
        return h @ p["fc21.weight"].T + p["fc21.bias"], h @ p["fc22.weight"].T + p["fc22.bias"], h

    def objective(self, x, eps, beta=1.0):
        p = self.params
        mu, logvar, h = self.encode(x)
        std = np.exp(0.5 * logvar)
        z = mu + eps * std
        log_q = -0.5 * np.sum(eps ** 2 + logvar + LOG2PI, axis=1)
        saved = []
        for k in range(self.n_flows):
            u, w, b = p["flow.u"][k], p["flow.w"][k], p["flow.b"][k]
            t = np.tanh(z @ w + b)
            det = 1 + (1 - t ** 2) * (u @ w)
            log_q = log_q - np.log(np.abs(det))
            saved.append((z, t, det))
            z = z + t[:, None] * u
        log_p = -0.5 * np.sum(z ** 2 + LOG2PI, axis=1)
        hd = np.tanh(z @ p["fc3.weight"].T + p["fc3.bias"])
        logits = hd @ p["fc4.weight"].T + p["fc4.bias"]
        nll = np.sum(np.logaddexp(0, logits) - x * logits, axis=1)
        kl = log_q - log_p
        return Named(objective=nll + beta * kl, nll=nll, kl=kl), (x, eps, beta, h, std, saved, z, hd, logits)

    def backward(self, grad_output, ctx):
        x, eps, beta, h, std, saved, z, hd, logits = ctx
        p = self.params
        grads = {k: np.zeros_like(v) for k, v in p.items()}
        go = grad_output[:, None]
        dlogits = go * (sigmoid(logits) - x)
        grads["fc4.weight"] = dlogits.T @ hd
        grads["fc4.bias"] = dlogits.sum(0)
        dpre = dlogits @ p["fc4.weight"] * (1 - hd ** 2)
        grads["fc3.weight"] = dpre.T @ z
        grads["fc3.bias"] = dpre.sum(0)
        dz = dpre @ p["fc3.weight"] + beta * go * z
        for k in reversed(range(self.n_flows)):
            u, w = p["flow.u"][k], p["flow.w"][k]
            z_in, t, det = saved[k]
            dt = 1 - t ** 2
            ddet = -beta * grad_output / det
            duw = np.sum(ddet * dt)
            da = (dz @ u) * dt + ddet * (u @ w) * (-2 * t * dt)
            grads["flow.u"][k] = t @ dz + duw * w
            grads["flow.w"][k] = da @ z_in + duw * u
            grads["flow.b"][k] = da.sum()
            dz = dz + da[:, None] * w
        dmu = dz
        dlogvar = 0.5 * dz * eps * std - 0.5 * beta * go
        grads["fc21.weight"], grads["fc21.bias"] = dmu.T @ h, dmu.sum(0)
        grads["fc22.weight"], grads["fc22.bias"] = dlogvar.T @ h, dlogvar.sum(0)
        dh = (dmu @ p["fc21.weight"] + dlogvar @ p["fc22.weight"]) * (1 - h ** 2)
        grads["fc1.weight"], grads["fc1.bias"] = dh.T @ x, dh.sum(0)
        return grads


class PlanarFlowVAELogDet(PlanarFlowVAE):
    def backward(self, grad_output, ctx):
        x, eps, beta, h, std, saved, z, hd, logits = ctx
        p = self.params
        grads = {k: np.zeros_like(v) for k, v in p.items()}
        go = grad_output[:, None]
        dlogits = go * (sigmoid(logits) - x)
        grads["fc4.weight"] = dlogits.T @ hd
        grads["fc4.bias"] = dlogits.sum(0)
        dpre = dlogits @ p["fc4.weight"] * (1 - hd ** 2)
        grads["fc3.weight"] = dpre.T @ z
        grads["fc3.bias"] = dpre.sum(0)
        dz = dpre @ p["fc3.weight"] + beta * go * z
        for k in reversed(range(self.n_flows)):
            u, w = p["flow.u"][k], p["flow.w"][k]
            z_in, t, det = saved[k]
            dt = 1 - t ** 2
            ddet = -beta * grad_output / det
            duw = np.sum(ddet * dt)
            da = (dz @ u) * dt + ddet * (u @ w) * (-t * dt)
            grads["flow.u"][k] = t @ dz + duw * w
            grads["flow.w"][k] = da @ z_in + duw * u
            grads["flow.b"][k] = da.sum()
            dz = dz + da[:, None] * w
        dmu = dz
        dlogvar = 0.5 * dz * eps * std - 0.5 * beta * go
        grads["fc21.weight"], grads["fc21.bias"] = dmu.T @ h, dmu.sum(0)
        grads["fc22.weight"], grads["fc22.bias"] = dlogvar.T @ h, dlogvar.sum(0)
        dh = (dmu @ p["fc21.weight"] + dlogvar @ p["fc22.weight"]) * (1 - h ** 2)
        grads["fc1.weight"], grads["fc1.bias"] = dh.T @ x, dh.sum(0)
        return grads


def make_planar_right():
    rng = np.random.default_rng(51)
    return dict(model=PlanarFlowVAE(seed=8), x=rng.integers(0, 2, (4, 5)).astype(float), eps=rng.normal(size=(4, 2)),
                beta=1.0)


def make_planar_logdet():
    rng = np.random.default_rng(52)
    return dict(model=PlanarFlowVAELogDet(n_in=4, n_hid=3, n_z=3, n_flows=2, seed=14),
                x=rng.integers(0, 2, (3, 4)).astype(float), eps=rng.normal(size=(3, 3)), beta=1.0)


ITEMS.append(Item("planar-flow", "PyTorch autograd.Function port", "gradients", make_planar_right, True))
ITEMS.append(Item(
    "planar-flow-slope", "PyTorch autograd.Function port", "gradients", make_planar_logdet, False,
    "the derivative of 1 - tanh ** 2 in the log determinant has lost its 2: (-t * dt) should be (-2 * t * dt)",
    ("fc1.weight", "fc1.bias", "fc21.weight", "fc21.bias", "fc22.weight", "fc22.bias", "flow.u", "flow.w", "flow.b"),
    ("factor",)))


class IWAE:
    """Importance weighted autoencoder; eps is (K, B, Z) and the loss is -log mean_k w_k."""

    def __init__(self, D=5, H=4, Z=2, key=0):
        rng = np.random.default_rng(key)
        glorot = lambda i, o: rng.normal(size=(i, o)) * np.sqrt(2.0 / (i + o))  # noqa: E731
        self.params = {
            "enc_w": glorot(D, H), "enc_b": 0.1 * rng.normal(size=H),
            "loc_w": glorot(H, Z), "loc_b": 0.1 * rng.normal(size=Z),
            "lv_w": glorot(H, Z), "lv_b": 0.1 * rng.normal(size=Z),
            "dec_w": glorot(Z, H), "dec_b": 0.1 * rng.normal(size=H),
            "out_w": glorot(H, D), "out_b": 0.1 * rng.normal(size=D),
        }

    def encode(self, x):
        p = self.params
        h = np.tanh(x @ p["enc_w"] + p["enc_b"])
        return h @ p["loc_w"] + p["loc_b"], h @ p["lv_w"] + p["lv_b"], h

    def objective(self, x, eps):
        p = self.params
        mu, lv, h = self.encode(x)
        std = np.exp(0.5 * lv)
        z = mu + std * eps
        hd = np.tanh(z @ p["dec_w"] + p["dec_b"])
        logits = hd @ p["out_w"] + p["out_b"]
        log_px = np.sum(x * logits - softplus(logits), axis=-1)
        log_pz = -0.5 * np.sum(z ** 2 + LOG2PI, axis=-1)
        log_qz = -0.5 * np.sum(eps ** 2 + lv + LOG2PI, axis=-1)
        log_w = log_px + log_pz - log_qz
        loss = -(logsumexp(log_w, axis=0) - np.log(len(eps)))
        return Named(objective=loss), (x, eps, h, std, z, hd, logits, log_w)

    def backward(self, dobjective, cache):
        x, eps, h, std, z, hd, logits, log_w = cache
        p, g = self.params, {}
        w_norm = np.exp(log_softmax(log_w, axis=0))
        dlog_w = (-dobjective * w_norm)[..., None]
        dlogits = dlog_w * (x - sigmoid(logits))
        g["out_w"] = np.einsum("kbh,kbd->hd", hd, dlogits)
        g["out_b"] = dlogits.sum(axis=(0, 1))
        dhd = dlogits @ p["out_w"].T * (1 - hd ** 2)
        g["dec_w"] = np.einsum("kbz,kbh->zh", z, dhd)
        g["dec_b"] = dhd.sum(axis=(0, 1))
        dz = dhd @ p["dec_w"].T - dlog_w * z
        dmu = dz.sum(axis=0)
        dlv = (0.5 * dz * eps * std + 0.5 * dlog_w).sum(axis=0)
        g["loc_w"], g["loc_b"] = h.T @ dmu, dmu.sum(axis=0)
        g["lv_w"], g["lv_b"] = h.T @ dlv, dlv.sum(axis=0)
        dh = (dmu @ p["loc_w"].T + dlv @ p["lv_w"].T) * (1 - h ** 2)
        g["enc_w"], g["enc_b"] = x.T @ dh, dh.sum(axis=0)
        return g


class IWAEAxis(IWAE):
    def backward(self, dobjective, cache):
        x, eps, h, std, z, hd, logits, log_w = cache
        p, g = self.params, {}
        w_norm = np.exp(log_softmax(log_w, axis=-1))
        dlog_w = (-dobjective * w_norm)[..., None]
        dlogits = dlog_w * (x - sigmoid(logits))
        g["out_w"] = np.einsum("kbh,kbd->hd", hd, dlogits)
        g["out_b"] = dlogits.sum(axis=(0, 1))
        dhd = dlogits @ p["out_w"].T * (1 - hd ** 2)
        g["dec_w"] = np.einsum("kbz,kbh->zh", z, dhd)
        g["dec_b"] = dhd.sum(axis=(0, 1))
        dz = dhd @ p["dec_w"].T - dlog_w * z
        dmu = dz.sum(axis=0)
        dlv = (0.5 * dz * eps * std + 0.5 * dlog_w).sum(axis=0)
        g["loc_w"], g["loc_b"] = h.T @ dmu, dmu.sum(axis=0)
        g["lv_w"], g["lv_b"] = h.T @ dlv, dlv.sum(axis=0)
        dh = (dmu @ p["loc_w"].T + dlv @ p["lv_w"].T) * (1 - h ** 2)
        g["enc_w"], g["enc_b"] = x.T @ dh, dh.sum(axis=0)
        return g


def make_iwae_right():
    rng = np.random.default_rng(61)
    return dict(model=IWAE(key=10), x=rng.integers(0, 2, (4, 5)).astype(float), eps=rng.normal(size=(3, 4, 2)))


def make_iwae_axis():
    rng = np.random.default_rng(62)
    return dict(model=IWAEAxis(D=6, H=3, Z=2, key=11), x=rng.integers(0, 2, (3, 6)).astype(float),
                eps=rng.normal(size=(4, 3, 2)))


ITEMS.append(Item("iwae", "JAX/TFP port", "gradients", make_iwae_right, True))
ITEMS.append(Item(
    "iwae-axis", "JAX/TFP port", "gradients", make_iwae_axis, False,
    "the importance weights are normalised over the batch and not over the draws: log_softmax(log_w, axis=-1) should "
    "be log_softmax(log_w, axis=0)",
    ("enc_w", "enc_b", "loc_w", "loc_b", "lv_w", "lv_b", "dec_w", "dec_b", "out_w", "out_b"),
    ("shape", "elementwise-factor", "batch-sum")))


class CapacityVAE:
    """Bag of words VAE with the capacity objective nll + beta * |kl - C|."""

    def __init__(self, V=7, H=4, Z=2, C=0.8, seed=0):
        rng = np.random.RandomState(seed)
        self.C = C
        self.params = dict(
            We=rng.normal(0, 0.4, (V, H)), be=rng.normal(0, 0.1, H),
            Wmu=rng.normal(0, 0.6, (H, Z)), bmu=rng.normal(0, 0.1, Z),
            Wlv=rng.normal(0, 0.6, (H, Z)), blv=rng.normal(0, 0.1, Z),
            Wd=rng.normal(0, 0.8, (Z, V)), bd=rng.normal(0, 0.1, V))

    def encode(self, x):
        p = self.params
        h = np.tanh(x @ p["We"] + p["be"])
        return h @ p["Wmu"] + p["bmu"], h @ p["Wlv"] + p["blv"], h

    def objective(self, x, eps, beta=4.0):
        p = self.params
        mu, lv, h = self.encode(x)
        z = mu + np.exp(lv / 2) * eps
        logp = log_softmax(z @ p["Wd"] + p["bd"], axis=1)
        nll = -(x * logp).sum(1)
        kl = 0.5 * (mu ** 2 + np.exp(lv) - lv - 1).sum(1)
        loss = nll + beta * np.abs(kl - self.C)
        return Named(objective=loss, nll=nll, kl=kl), (x, eps, beta, h, mu, lv, z, logp, kl)

    def backward(self, dobjective, cache):
        x, eps, beta, h, mu, lv, z, logp, kl = cache
        p = self.params
        dnll = dobjective[:, None]
        dkl = (dobjective * beta)[:, None]
        dlogits = dnll * (np.exp(logp) * x.sum(1, keepdims=True) - x)
        dz = dlogits @ p["Wd"].T
        dmu = dz + dkl * mu
        dlv = dz * eps * np.exp(lv / 2) / 2 + dkl * (np.exp(lv) - 1) / 2
        dh = (dmu @ p["Wmu"].T + dlv @ p["Wlv"].T) * (1 - h * h)
        return dict(Wd=z.T @ dlogits, bd=dlogits.sum(0), Wmu=h.T @ dmu, bmu=dmu.sum(0), Wlv=h.T @ dlv, blv=dlv.sum(0),
                    We=x.T @ dh, be=dh.sum(0))


def make_capacity():
    rng = np.random.RandomState(71)
    return dict(model=CapacityVAE(seed=12, C=0.45), x=rng.poisson(1.0, (5, 7)).astype(float), eps=rng.randn(5, 2),
                beta=4.0)


ITEMS.append(Item(
    "capacity-abs", "research repository (beta-VAE with capacity)", "gradients", make_capacity, False,
    "the slope of the absolute value is missing: dkl should be (dobjective * beta * np.sign(kl - self.C))[:, None]",
    ("We", "be", "Wmu", "bmu", "Wlv", "blv"), ("elementwise-factor", "sign")))


class Dense:
    def __init__(self, model, name, activation=None):
        self.model, self.name, self.activation = model, name, activation

    def forward(self, x):
        p = self.model.params
        y = x @ p[self.name + "/kernel"] + p[self.name + "/bias"]
        if self.activation == "tanh":
            y = np.tanh(y)
        return y, (x, y)

    def backward(self, dy, cache):
        x, y = cache
        if self.activation == "tanh":
            dy = dy * (1 - y ** 2)
        self.model.grads[self.name + "/kernel"] += x.T @ dy
        self.model.grads[self.name + "/bias"] += dy.sum(axis=0)
        return dy @ self.model.params[self.name + "/kernel"].T


class LayeredVAE:
    """VAE from Dense layers; log-cosh reconstruction."""

    def __init__(self, n_x=5, n_h=4, n_z=2, seed=0):
        rng = np.random.default_rng(seed)
        self.params = {}
        for name, i, o in [("enc", n_x, n_h), ("z_mean", n_h, n_z), ("z_log_var", n_h, n_z), ("dec", n_z, n_h),
                           ("out", n_h, n_x)]:
            limit = np.sqrt(6.0 / (i + o))
            self.params[name + "/kernel"] = rng.uniform(-limit, limit, (i, o))
            self.params[name + "/bias"] = rng.uniform(-0.2, 0.2, o)
        self.enc, self.dec = Dense(self, "enc", "tanh"), Dense(self, "dec", "tanh")
        self.z_mean, self.z_log_var, self.out = Dense(self, "z_mean"), Dense(self, "z_log_var"), Dense(self, "out")
        self.zero_grads()

    def zero_grads(self):
        self.grads = {k: np.zeros_like(v) for k, v in self.params.items()}

    def objective(self, x, eps, beta=1.0):
        h, c_enc = self.enc.forward(x)
        mu, c_mu = self.z_mean.forward(h)
        log_var, c_lv = self.z_log_var.forward(h)
        z = mu + np.exp(0.5 * log_var) * eps
        hd, c_dec = self.dec.forward(z)
        y, c_out = self.out.forward(hd)
        nll = np.sum(np.log(np.cosh(y - x)) + np.log(np.pi), axis=1)
        kl = -0.5 * np.sum(1 + log_var - mu ** 2 - np.exp(log_var), axis=1)
        cache = (x, eps, beta, mu, log_var, y, c_enc, c_mu, c_lv, c_dec, c_out)
        return Named(objective=nll + beta * kl, nll=nll, kl=kl), cache

    def backward(self, dobjective, cache):
        x, eps, beta, mu, log_var, y, c_enc, c_mu, c_lv, c_dec, c_out = cache
        d = dobjective[:, None]
        dhd = self.out.backward(d * np.tanh(y - x), c_out)
        dz = self.dec.backward(dhd, c_dec)
        dh = self.z_mean.backward(dz + beta * d * mu, c_mu)
        dlog_var = dz * eps * 0.5 * np.exp(0.5 * log_var) + 0.5 * beta * d * (np.exp(log_var) - 1)
        dh = dh + self.z_log_var.backward(dlog_var, c_lv)
        self.enc.backward(dh, c_enc)
        return {k: g.copy() for k, g in self.grads.items()}


def make_layered():
    rng = np.random.default_rng(81)
    return dict(model=LayeredVAE(seed=13), x=rng.normal(size=(3, 5)), eps=rng.normal(size=(3, 2)), beta=1.0)


ITEMS.append(Item(
    "layers-never-zeroed", "Keras-like library", "gradients", make_layered, False,
    "the layers add to the model's gradients and backward never clears them: it should call self.zero_grads() first",
    ("enc/kernel", "enc/bias", "z_mean/kernel", "z_mean/bias", "z_log_var/kernel", "z_log_var/bias", "dec/kernel",
     "dec/bias", "out/kernel", "out/bias"), ("accumulates",)))


class TiedPoissonVAE:
    """Counts; the last layer of the decoder is the transpose of the first layer of the encoder."""

    def __init__(self, D=4, H=4, Z=2, seed=0):
        rng = np.random.default_rng(seed)
        self.params = {"W": rng.normal(0, 0.5, (D, H)), "b": rng.normal(0, 0.1, H),
                       "M": rng.normal(0, 0.5, (H, Z)), "S": rng.normal(0, 0.5, (H, Z)),
                       "V": rng.normal(0, 0.7, (Z, H)), "c": rng.normal(0, 0.1, H), "a": rng.normal(0, 0.1, D)}

    def encode(self, x):
        h = np.tanh(np.log1p(x) @ self.params["W"] + self.params["b"])
        return h @ self.params["M"], h @ self.params["S"], h

    def objective(self, x, eps, beta=1.0):
        th = self.params
        mu, lv, h = self.encode(x)
        z = mu + np.exp(0.5 * lv) * eps
        g = np.tanh(z @ th["V"] + th["c"])
        log_rate = g @ th["W"].T + th["a"]
        nll = np.sum(np.exp(log_rate) - x * log_rate + gammaln(x + 1), axis=1)
        kl = 0.5 * np.sum(mu ** 2 + np.exp(lv) - 1 - lv, axis=1)
        return Named(objective=nll + beta * kl, nll=nll, kl=kl), (x, eps, beta, h, mu, lv, z, g, log_rate)

    def backward(self, dobjective, cache):
        x, eps, beta, h, mu, lv, z, g, log_rate = cache
        th = self.params
        r = dobjective[:, None]
        delta_out = r * (np.exp(log_rate) - x)
        delta_g = delta_out @ th["W"] * (1 - g ** 2)
        delta_z = delta_g @ th["V"].T
        delta_mu = delta_z + r * beta * mu
        delta_lv = delta_z * eps * 0.5 * np.exp(0.5 * lv) + r * beta * 0.5 * (np.exp(lv) - 1)
        delta_h = (delta_mu @ th["M"].T + delta_lv @ th["S"].T) * (1 - h ** 2)
        return {
            "a": delta_out.sum(axis=0),
            "V": z.T @ delta_g, "c": delta_g.sum(axis=0),
            "M": h.T @ delta_mu, "S": h.T @ delta_lv,
            "W": np.log1p(x).T @ delta_h + g.T @ delta_out,
            "b": delta_h.sum(axis=0),
        }


def make_tied():
    rng = np.random.default_rng(91)
    return dict(model=TiedPoissonVAE(seed=14), x=rng.poisson(2.0, (5, 4)).astype(float), eps=rng.normal(size=(5, 2)),
                beta=1.0)


ITEMS.append(Item(
    "tied-poisson", "deep learning book", "gradients", make_tied, False,
    "the decoder's share of the tied weights is not transposed: g.T @ delta_out should be delta_out.T @ g",
    ("W",), ("transpose",)))


class MixturePriorVAE:
    """Gaussian decoder with its own variances, mixture of Gaussians as a learned prior, KL from one sample."""

    def __init__(self, dim=4, hid=5, lat=2, comps=3, seed=0):
        rng = np.random.default_rng(seed)
        n = rng.normal
        self.params = {
            "enc_W": n(0, .5, (dim, hid)), "enc_b": n(0, .1, hid),
            "head_W": n(0, .5, (hid, 2 * lat)), "head_b": n(0, .1, 2 * lat),
            "dec_W": n(0, .6, (lat, hid)), "dec_b": n(0, .1, hid),
            "out_W": n(0, .4, (hid, 2 * dim)), "out_b": n(0, .1, 2 * dim),
            "prior_logits": n(0, .5, comps), "prior_means": n(0, 1., (comps, lat)),
            "prior_logvars": n(0, .3, (comps, lat)),
        }

    def encode(self, x):
        p = self.params
        h = np.tanh(x @ p["enc_W"] + p["enc_b"])
        mu, logvar = np.split(h @ p["head_W"] + p["head_b"], 2, axis=1)
        return mu, logvar, h

    def objective(self, x, eps, beta=1.0):
        p = self.params
        mu, logvar, h = self.encode(x)
        std = np.exp(0.5 * logvar)
        z = mu + std * eps
        log_q = -0.5 * np.sum(LOG2PI + logvar + eps ** 2, axis=1)
        dev = z[:, None, :] - p["prior_means"]
        comp = -0.5 * np.sum(LOG2PI + p["prior_logvars"] + dev ** 2 * np.exp(-p["prior_logvars"]), axis=2)
        comp = comp + log_softmax(p["prior_logits"])
        log_p = logsumexp(comp, axis=1)
        hd = np.tanh(z @ p["dec_W"] + p["dec_b"])
        loc, lv = np.split(hd @ p["out_W"] + p["out_b"], 2, axis=1)
        nll = 0.5 * np.sum(LOG2PI + lv + (x - loc) ** 2 * np.exp(-lv), axis=1)
        kl = log_q - log_p
        cache = dict(x=x, eps=eps, beta=beta, h=h, std=std, z=z, dev=dev, resp=np.exp(comp - log_p[:, None]), hd=hd,
                     loc=loc, lv=lv)
        return Named(objective=nll + beta * kl, nll=nll, kl=kl), cache

    def backward(self, dobjective, cache):
        p = self.params
        x, loc, lv, hd, z, h = (cache[k] for k in ("x", "loc", "lv", "hd", "z", "h"))
        grads = {}
        dn = dobjective[:, None]
        dloc = -dn * (x - loc) * np.exp(-lv)
        dlv = 0.5 * dn * (1 - (x - loc) ** 2 * np.exp(-lv))
        dout = np.concatenate([dloc, dlv], axis=1)
        grads["out_W"], grads["out_b"] = hd.T @ dout, dout.sum(axis=0)
        dhd = dout @ p["out_W"].T * (1 - hd ** 2)
        grads["dec_W"], grads["dec_b"] = z.T @ dhd, dhd.sum(axis=0)
        # -log p(z) of the mixture
        dcomp = -cache["beta"] * dn * cache["resp"]
        prec = np.exp(-p["prior_logvars"])
        score = dcomp[:, :, None] * cache["dev"] * prec
        grads["prior_means"] = score.sum(axis=0)
        grads["prior_logvars"] = np.sum(0.5 * dcomp[:, :, None] * (cache["dev"] ** 2 * prec - 1), axis=0)
        weights = np.exp(log_softmax(p["prior_logits"]))
        grads["prior_logits"] = dcomp.sum(axis=0) - weights * dcomp.sum()
        dz = dhd @ p["dec_W"].T - score.sum(axis=1)
        dlogvar = 0.5 * dz * cache["eps"] * cache["std"] - 0.5 * cache["beta"] * dn
        dhead = np.concatenate([dz, dlogvar], axis=1)
        grads["head_W"], grads["head_b"] = h.T @ dhead, dhead.sum(axis=0)
        dh = dhead @ p["head_W"].T * (1 - h ** 2)
        grads["enc_W"], grads["enc_b"] = x.T @ dh, dh.sum(axis=0)
        return grads


class MixturePriorVAEMean(MixturePriorVAE):
    def backward(self, dobjective, cache):
        p = self.params
        x, loc, lv, hd, z, h = (cache[k] for k in ("x", "loc", "lv", "hd", "z", "h"))
        grads = {}
        dn = dobjective[:, None]
        dloc = -dn * (x - loc) * np.exp(-lv)
        dlv = 0.5 * dn * (1 - (x - loc) ** 2 * np.exp(-lv))
        dout = np.concatenate([dloc, dlv], axis=1)
        grads["out_W"], grads["out_b"] = hd.T @ dout, dout.sum(axis=0)
        dhd = dout @ p["out_W"].T * (1 - hd ** 2)
        grads["dec_W"], grads["dec_b"] = z.T @ dhd, dhd.sum(axis=0)
        # -log p(z) of the mixture
        dcomp = -cache["beta"] * dn * cache["resp"]
        prec = np.exp(-p["prior_logvars"])
        score = dcomp[:, :, None] * cache["dev"] * prec
        grads["prior_means"] = score.mean(axis=0)
        grads["prior_logvars"] = np.sum(0.5 * dcomp[:, :, None] * (cache["dev"] ** 2 * prec - 1), axis=0)
        weights = np.exp(log_softmax(p["prior_logits"]))
        grads["prior_logits"] = dcomp.sum(axis=0) - weights * dcomp.sum()
        dz = dhd @ p["dec_W"].T - score.sum(axis=1)
        dlogvar = 0.5 * dz * cache["eps"] * cache["std"] - 0.5 * cache["beta"] * dn
        dhead = np.concatenate([dz, dlogvar], axis=1)
        grads["head_W"], grads["head_b"] = h.T @ dhead, dhead.sum(axis=0)
        dh = dhead @ p["head_W"].T * (1 - h ** 2)
        grads["enc_W"], grads["enc_b"] = x.T @ dh, dh.sum(axis=0)
        return grads


def make_mixture_right():
    rng = np.random.default_rng(101)
    return dict(model=MixturePriorVAE(seed=15), x=rng.normal(size=(4, 4)), eps=rng.normal(size=(4, 2)), beta=1.0)


def make_mixture_mean():
    rng = np.random.default_rng(102)
    return dict(model=MixturePriorVAEMean(dim=3, hid=4, lat=2, comps=4, seed=16), x=rng.normal(size=(5, 3)),
                eps=rng.normal(size=(5, 2)), beta=0.7)


ITEMS.append(Item("mixture-prior", "research repository (mixture prior)", "gradients", make_mixture_right, True))
ITEMS.append(Item(
    "mixture-prior-mean", "research repository (mixture prior)", "gradients", make_mixture_mean, False,
    "the prior's means take the mean over the batch: score.mean(axis=0) should be score.sum(axis=0)",
    ("prior_means",), ("factor", "batch-sum")))


# ------------------------------------------------------------------------------------------------------ sampler


def moments(seed, B=4, Z=3):
    rng = np.random.default_rng(seed)
    return dict(mu=rng.normal(size=(B, Z)), logvar=rng.uniform(0.3, 1.4, (B, Z)) * rng.choice([-1.0, 1.0], (B, Z)))


def reparameterize(mu, logvar, eps):
    std = np.exp(0.5 * logvar)
    return mu + eps * std


class Normal:
    """loc-scale family with a sample method that takes its noise."""

    def __init__(self, loc, scale_diag):
        self.loc, self.scale_diag = loc, scale_diag

    def sample(self, eps):
        return self.loc + np.einsum("bij,bj->bi", self._scale_tril(), eps)

    def _scale_tril(self):
        return np.einsum("bi,ij->bij", self.scale_diag, np.eye(self.scale_diag.shape[1]))


def sample_posterior(mu, logvar, eps):
    q = Normal(loc=mu, scale_diag=np.sqrt(np.exp(logvar)))
    return q.sample(eps)


class HouseholderNoise:
    """Mirrors the noise at a fixed hyperplane before it is scaled; a reflection leaves N(0, I) as it is."""

    def __init__(self, v):
        self.v = np.asarray(v, dtype=float)

    def __call__(self, mu, logvar, eps):
        reflected = eps - 2.0 * (eps @ self.v)[:, None] * self.v / (self.v @ self.v)
        z = mu + np.exp(logvar / 2) * reflected
        return z, (logvar, reflected)


def reparameterize_var(mu, logvar, eps):
    std = np.exp(logvar)
    return eps * std + mu


class SamplingLayer:
    def __call__(self, z_mean, z_log_var, epsilon):
        z_log_var *= 0.5
        scale = np.exp(z_log_var)
        return z_mean + scale * epsilon


class GaussianSampler:
    def __init__(self, seed=0):
        self.rng = np.random.default_rng(seed)

    def __call__(self, mu, logvar, eps=None):
        eps = self.rng.standard_normal(mu.shape)
        sigma = np.exp(0.5 * logvar)
        return mu + sigma * eps, (sigma, eps)


def diag_normal_sample(loc, log_variance, noise):
    batch, event = loc.shape
    scale = np.exp(0.5 * log_variance)
    noise = noise[:, :1]
    return loc + scale * np.broadcast_to(noise, (batch, event))


def sample_z(mu, log_var, eps):
    return (mu + eps) * np.exp(log_var / 2)


class StochasticNode:
    """A node of a graph that keeps the precision of q and draws from it."""

    def forward(self, mean, logvar, eps):
        self.precision = np.exp(-logvar)
        std = np.sqrt(self.precision)
        return mean + std * eps

    __call__ = forward


def make_reparam():
    return dict(sampler=reparameterize, **moments(201))


def make_scale_tril():
    return dict(sampler=sample_posterior, **moments(202, 3, 2))


def make_householder():
    return dict(sampler=HouseholderNoise([1.0, -2.0, 0.5]), **moments(203))


def make_reparam_var():
    return dict(sampler=reparameterize_var, **moments(204, 3, 3))


def make_sampling_layer():
    return dict(sampler=SamplingLayer(), **moments(205, 4, 2))


def make_own_noise():
    return dict(sampler=GaussianSampler(seed=7), **moments(206))


def make_shared_noise():
    return dict(sampler=diag_normal_sample, **moments(207))


def make_grouped():
    return dict(sampler=sample_z, **moments(208, 5, 2))


def make_precision():
    return dict(sampler=StochasticNode(), **moments(209, 4, 2))


ITEMS += [
    Item("reparameterize", "PyTorch example", "sampler", make_reparam, True),
    Item("scale-tril", "JAX/TFP port", "sampler", make_scale_tril, True),
    Item("householder-noise", "research repository (Householder flow)", "sampler", make_householder, True),
    Item("reparameterize-var", "PyTorch example", "sampler", make_reparam_var, False,
         "the variance is used as the standard deviation: np.exp(logvar) should be np.exp(0.5 * logvar)",
         ("z",), ("elementwise-factor", "factor")),
    Item("sampling-layer-inplace", "Keras-like library", "sampler", make_sampling_layer, False,
         "the caller's log variance is halved in place: z_log_var *= 0.5 should be z_log_var = 0.5 * z_log_var",
         ("logvar",), ("mutates-input",)),
    Item("own-noise", "CS231n assignment", "sampler", make_own_noise, False,
         "the noise that is handed over is thrown away for a new draw: eps = self.rng.standard_normal(mu.shape) should "
         "only be done if eps is None", ("z",), ("noise-redrawn",)),
    Item("shared-noise", "JAX/TFP port", "sampler", make_shared_noise, False,
         "one number of noise is spread over all latents of a row: noise[:, :1] should be noise",
         ("z",), ("shape",)),
    Item("grouped-wrongly", "Karpathy gist", "sampler", make_grouped, False,
         "the mean is scaled with the noise: (mu + eps) * np.exp(log_var / 2) should be mu + eps * np.exp(log_var / 2)",
         ("z",), ("elementwise-factor",)),
    Item("precision-std", "deep learning book", "sampler", make_precision, False,
         "the root of the precision is taken for the standard deviation: np.sqrt(self.precision) should be "
         "1 / np.sqrt(self.precision)", ("z",), ("sign", "elementwise-factor")),
]


# ----------------------------------------------------------------------------------------------------- evidence


class SmallVAE:
    """Bernoulli VAE with a linear encoder and a one-hidden-layer decoder."""

    def __init__(self, D=5, H=4, Z=2, seed=0):
        rng = np.random.default_rng(seed)
        self.Z = Z
        self.params = {
            "Wm": rng.normal(0, 0.6, (D, Z)), "bm": rng.normal(0, 0.3, Z),
            "Wv": rng.normal(0, 0.4, (D, Z)), "bv": rng.normal(-0.4, 0.3, Z),
            "W1": rng.normal(0, 0.9, (Z, H)), "b1": rng.normal(0, 0.3, H),
            "W2": rng.normal(0, 0.9, (H, D)), "b2": rng.normal(0, 0.3, D),
        }

    def encode(self, x):
        p = self.params
        c = x - 0.5
        return c @ p["Wm"] + p["bm"], c @ p["Wv"] + p["bv"], c

    def decode(self, z):
        p = self.params
        h = np.tanh(z @ p["W1"] + p["b1"])
        return h @ p["W2"] + p["b2"], h

    def objective(self, x, eps):
        mu, logvar, _ = self.encode(x)
        z = mu + np.exp(0.5 * logvar) * eps
        logits, _ = self.decode(z)
        nll = np.sum(softplus(logits) - x * logits, axis=1)
        kl = -0.5 * np.sum(1 + logvar - mu ** 2 - np.exp(logvar), axis=1)
        return Named(elbo=-nll - kl, nll=nll, kl=kl), (mu, logvar, z, logits)


class SmallVAEKlMean(SmallVAE):
    def objective(self, x, eps):
        z_mean, z_log_var, _ = self.encode(x)
        z = z_mean + np.exp(0.5 * z_log_var) * eps
        logits, _ = self.decode(z)
        reconstruction_loss = np.sum(softplus(logits) - x * logits, axis=-1)
        kl_loss = -0.5 * np.mean(1 + z_log_var - np.square(z_mean) - np.exp(z_log_var), axis=-1)
        elbo = -(reconstruction_loss + kl_loss)
        return Named(elbo=elbo, nll=reconstruction_loss, kl=kl_loss), (z_mean, z_log_var, z)


class SmallVAEKlSign(SmallVAE):
    def objective(self, x, eps):
        mu, log_sigma_sq, _ = self.encode(x)
        z = mu + np.sqrt(np.exp(log_sigma_sq)) * eps
        logits, _ = self.decode(z)
        y = sigmoid(logits)
        neg_ll = -np.sum(x * np.log(y) + (1 - x) * np.log(1 - y), axis=1)
        kl = 0.5 * np.sum(1 + log_sigma_sq - mu ** 2 - np.exp(log_sigma_sq), axis=1)
        return Named(elbo=-neg_ll - kl, nll=neg_ll, kl=kl), (mu, log_sigma_sq, z)


class SmallVAENoSigma(SmallVAE):
    def reparameterize(self, mu, std, eps):
        return mu + eps

    def objective(self, x, eps):
        mu, logvar, _ = self.encode(x)
        std = np.exp(0.5 * logvar)
        logits, _ = self.decode(self.reparameterize(mu, std, eps))
        bce = np.sum(np.maximum(logits, 0) - logits * x + np.log1p(np.exp(-np.abs(logits))), axis=1)
        kld = 0.5 * np.sum(mu ** 2 + std ** 2 - 1 - 2 * np.log(std), axis=1)
        return Named(elbo=-bce - kld, nll=bce, kl=kld), (mu, std, logits)


class GaussianPixels:
    """N(x; logits, sigma^2) with one fixed sigma."""

    n_params = 1

    def __init__(self, sigma=0.6):
        self.sigma = sigma

    def nll(self, x, logits):
        r = (x - logits) / self.sigma
        return np.sum(0.5 * r ** 2 + np.log(self.sigma) + 0.5 * LOG2PI, axis=1), (x, logits)

    def nll_backward(self, dnll, cache):
        x, logits = cache
        return dnll[:, None] * (logits - x) / self.sigma ** 2

    def mean(self, logits):
        return logits

    def sample(self, logits, rng):
        return logits + self.sigma * rng.standard_normal(logits.shape)


class GaussianVAE(SmallVAE):
    """Gaussian pixels; the KL is the Monte Carlo one, log q(z|x) - log p(z) at the sample."""

    def __init__(self, D=3, H=4, Z=1, sigma=0.6, seed=0):
        super().__init__(D, H, Z, seed)
        self.likelihood = GaussianPixels(sigma)

    @staticmethod
    def log_normal(z, loc, logvar):
        return -0.5 * np.sum(LOG2PI + logvar + (z - loc) ** 2 / np.exp(logvar), axis=-1)

    def objective(self, x, eps):
        loc, logvar, _ = self.encode(x)
        z = loc + np.exp(0.5 * logvar) * eps
        nll, _ = self.likelihood.nll(x, self.decode(z)[0])
        kl = self.log_normal(z, loc, logvar) - self.log_normal(z, np.zeros_like(z), np.zeros_like(z))
        return Named(elbo=-nll - kl, nll=nll, kl=kl), (loc, logvar, z)


class GaussianVAEMse(GaussianVAE):
    def objective(self, x, eps):
        mu, logvar, _ = self.encode(x)
        z = mu + np.exp(0.5 * logvar) * eps
        recon, _ = self.decode(z)
        sigma = self.likelihood.sigma
        nll = np.sum((x - recon) ** 2, axis=1) / (2 * sigma ** 2)
        kl = -0.5 * np.sum(1 + logvar - mu ** 2 - np.exp(logvar), axis=1)
        return Named(elbo=-nll - kl, nll=nll, kl=kl), (mu, logvar, z)


class SmallIWAE(SmallVAE):
    def __init__(self, D=5, H=4, Z=2, K=5, seed=0):
        super().__init__(D, H, Z, seed)
        self.K = K

    def draw_eps(self, B, rng):
        return rng.standard_normal((self.K, B, self.Z))

    def objective(self, x, eps):
        mu, logvar, _ = self.encode(x)
        z = mu + np.exp(0.5 * logvar) * eps
        logits, _ = self.decode(z)
        log_px = np.sum(x * logits - softplus(logits), axis=-1)
        log_pz = -0.5 * np.sum(z ** 2 + LOG2PI, axis=-1)
        log_qz = -0.5 * np.sum(eps ** 2 + logvar + LOG2PI, axis=-1)
        log_w = log_px + log_pz - log_qz
        return Named(elbo=logsumexp(log_w, axis=0) - np.log(eps.shape[0])), (z, log_w)


class SmallIWAENoLogK(SmallIWAE):
    def objective(self, x, eps):
        mu, logvar, _ = self.encode(x)
        std = np.exp(0.5 * logvar)
        z = mu + std * eps
        logits, _ = self.decode(z)
        log_weight = np.sum(x * logits - softplus(logits), axis=-1)
        log_weight = log_weight + np.sum(-0.5 * z ** 2 - 0.5 * LOG2PI, axis=-1)
        log_weight = log_weight - np.sum(-0.5 * ((z - mu) / std) ** 2 - np.log(std) - 0.5 * LOG2PI, axis=-1)
        top = log_weight.max(axis=0)
        bound = top + np.log(np.sum(np.exp(log_weight - top), axis=0))
        return Named(elbo=bound), (z, log_weight)


class SmallIWAEPriorAtNoise(SmallIWAE):
    def log_prior(self, z):
        return -0.5 * np.sum(z ** 2 + LOG2PI, axis=-1)

    def log_posterior(self, eps, logvar):
        return -0.5 * np.sum(eps ** 2 + logvar + LOG2PI, axis=-1)

    def objective(self, x, eps):
        mu, logvar, _ = self.encode(x)
        z = mu + np.exp(0.5 * logvar) * eps
        logits, _ = self.decode(z)
        log_lik = np.sum(x * logits - softplus(logits), axis=-1)
        log_w = log_lik + self.log_prior(eps) - self.log_posterior(eps, logvar)
        m = log_w.max(axis=0)
        return Named(elbo=m + np.log(np.mean(np.exp(log_w - m), axis=0))), (z, log_w)


def binary_rows(seed, B=4, D=5):
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 2, (B, D)).astype(float)
    while len(np.unique(x, axis=0)) < B:
        x = rng.integers(0, 2, (B, D)).astype(float)
    return x


def make_ev_bernoulli():
    return dict(model=SmallVAE(seed=301), x=binary_rows(301))


def make_ev_gaussian():
    return dict(model=GaussianVAE(sigma=0.9, seed=302), x=np.random.default_rng(302).normal(0, 0.8, (4, 3)))


def make_ev_iwae():
    return dict(model=SmallIWAE(K=4, seed=303), x=binary_rows(303))


def make_ev_kl_mean():
    return dict(model=SmallVAEKlMean(seed=304), x=binary_rows(304, 5))


def make_ev_kl_sign():
    return dict(model=SmallVAEKlSign(D=6, H=3, Z=1, seed=305), x=binary_rows(305, 4, 6))


def make_ev_no_sigma():
    return dict(model=SmallVAENoSigma(D=6, H=5, Z=2, seed=306), x=binary_rows(306, 4, 6))


def make_ev_mse():
    return dict(model=GaussianVAEMse(D=3, H=4, Z=2, sigma=0.9, seed=307),
                x=np.random.default_rng(307).normal(0, 0.8, (5, 3)))


def make_ev_no_log_k():
    return dict(model=SmallIWAENoLogK(D=4, H=4, Z=2, K=5, seed=308), x=binary_rows(308, 4, 4))


def make_ev_prior_noise():
    return dict(model=SmallIWAEPriorAtNoise(D=5, H=3, Z=1, K=3, seed=309), x=binary_rows(309, 5))


ITEMS += [
    Item("bound-bernoulli", "PyTorch example", "evidence", make_ev_bernoulli, True),
    Item("bound-gaussian-mc", "JAX/TFP port", "evidence", make_ev_gaussian, True),
    Item("bound-iwae", "research repository (IWAE)", "evidence", make_ev_iwae, True),
    Item("bound-kl-mean", "Keras-like library", "evidence", make_ev_kl_mean, False,
         "the KL is the mean over the latents, half of what it should be: np.mean(..., axis=-1) should be "
         "np.sum(..., axis=-1)", ("kl", "elbo"), ("factor",)),
    Item("bound-kl-sign", "Karpathy gist", "evidence", make_ev_kl_sign, False,
         "the KL lacks its minus: 0.5 * np.sum(1 + ...) should be -0.5 * np.sum(1 + ...)", ("kl", "elbo"), ("sign",)),
    Item("bound-no-sigma", "PyTorch example", "evidence", make_ev_no_sigma, False,
         "the sample has standard deviation 1: mu + eps should be mu + std * eps", ("nll", "elbo"),
         ("elementwise-factor",)),
    Item("bound-mse", "research repository (Gaussian VAE)", "evidence", make_ev_mse, False,
         "the normalising constant of the Gaussian is missing: x.shape[1] * (np.log(sigma) + 0.5 * LOG2PI) should be "
         "added to nll", ("nll", "elbo"), ("missing-term",)),
    Item("bound-iwae-no-log-k", "research repository (IWAE)", "evidence", make_ev_no_log_k, False,
         "the weights are summed and not averaged: the bound should have - np.log(eps.shape[0])", ("elbo",),
         ("missing-term", "factor")),
    Item("bound-iwae-prior-noise", "JAX/TFP port", "evidence", make_ev_prior_noise, False,
         "the prior is evaluated at the noise: self.log_prior(eps) should be self.log_prior(z)", ("elbo",),
         ("elementwise-factor", "missing-term")),
]


# --------------------------------------------------------------------------------------------------- likelihood


class ContinuousBernoulli:
    """p(x) = l exp(l x) / (exp(l) - 1) on [0, 1]."""

    n_params = 1
    support = (0.0, 1.0)

    @staticmethod
    def _guard(logits):
        small = np.abs(logits) < 1e-3
        return small, np.where(small, 1.0, logits)

    def nll(self, x, logits):
        small, safe = self._guard(logits)
        log_norm = np.where(small, logits / 2 + logits ** 2 / 24, np.log(np.expm1(safe) / safe))
        return np.sum(log_norm - x * logits, axis=1), (x, logits)

    def nll_backward(self, dnll, cache):
        x, logits = cache
        return dnll[:, None] * (self.mean(logits) - x)

    def mean(self, logits):
        small, safe = self._guard(logits)
        return np.where(small, 0.5 + logits / 12, 1.0 / (1.0 - np.exp(-safe)) - 1.0 / safe)

    def sample(self, logits, rng):
        u = rng.uniform(size=logits.shape)
        small, safe = self._guard(logits)
        return np.where(small, u + logits * u * (1 - u) / 2, np.log1p(u * np.expm1(safe)) / safe)


class Laplace:
    """Location and log scale per pixel."""

    n_params = 2

    def nll(self, x, logits):
        loc, log_b = np.split(logits, 2, axis=1)
        r = (x - loc) * np.exp(-log_b)
        return (np.abs(r) + log_b + np.log(2.0)).sum(axis=1), (r, log_b)

    def nll_backward(self, dnll, cache):
        r, log_b = cache
        dloc = -np.sign(r) * np.exp(-log_b)
        dlog_b = 1.0 - np.abs(r)
        return dnll[:, None] * np.concatenate([dloc, dlog_b], axis=1)

    def mean(self, logits):
        return logits[:, :logits.shape[1] // 2]

    def sample(self, logits, rng):
        loc, log_b = np.split(logits, 2, axis=1)
        u = rng.uniform(-0.5, 0.5, size=loc.shape)
        return loc - np.exp(log_b) * np.sign(u) * np.log1p(-2 * np.abs(u))


class ZeroInflatedPoisson:
    """log rate, then the logit of an extra zero."""

    n_params = 2
    support = (0.0, np.inf)

    def split(self, logits):
        D = logits.shape[1] // 2
        return logits[:, :D], logits[:, D:]

    def nll(self, x, logits):
        log_rate, gate = self.split(logits)
        rate = np.exp(log_rate)
        zero = softplus(gate) - np.logaddexp(gate, -rate)
        positive = softplus(gate) + rate - x * log_rate + gammaln(x + 1)
        return np.where(x == 0, zero, positive).sum(axis=1), (x, log_rate, gate)

    def nll_backward(self, dnll, cache):
        x, log_rate, gate = cache
        rate = np.exp(log_rate)
        extra = sigmoid(gate + rate)
        dlog_rate = np.where(x == 0, (1 - extra) * rate, rate - x)
        dgate = sigmoid(gate) - np.where(x == 0, extra, 0.0)
        return dnll[:, None] * np.concatenate([dlog_rate, dgate], axis=1)

    def mean(self, logits):
        log_rate, gate = self.split(logits)
        return np.exp(log_rate) * sigmoid(-gate)

    def sample(self, logits, rng):
        log_rate, gate = self.split(logits)
        counts = rng.poisson(np.exp(log_rate)).astype(float)
        counts[rng.uniform(size=counts.shape) < sigmoid(gate)] = 0.0
        return counts


class NegativeBinomial:
    """log mean and log dispersion (the number of failures) per gene."""

    n_params = 2
    support = (0.0, np.inf)

    def nll(self, x, logits):
        a, b = np.split(logits, 2, axis=1)
        r = np.exp(b)
        log_p, log_1mp = -softplus(a - b), -softplus(b - a)
        ll = gammaln(x + r) - gammaln(r) - gammaln(x + 1) + r * log_p + x * log_1mp
        return -ll.sum(axis=1), (x, a, b)

    def nll_backward(self, dnll, cache):
        x, a, b = cache
        r = np.exp(b)
        q = sigmoid(a - b)
        da = r * q - x * (1 - q)
        db = -(r * (digamma(x + r) - digamma(r)) - r * softplus(a - b)) - da
        return dnll[:, None] * np.concatenate([da, db], axis=1)

    def mean(self, logits):
        return np.exp(np.split(logits, 2, axis=1)[0])

    def sample(self, logits, rng):
        a, b = np.split(logits, 2, axis=1)
        return rng.negative_binomial(np.exp(b), sigmoid(a - b)).astype(float)


class DiscretizedLogistic:
    """Levels 0 .. 7, the bin of a level is one wide; location and log scale per pixel."""

    n_params = 2
    support = (0.0, 7.0)

    def _cdfs(self, x, logits):
        m, s = np.split(logits, 2, axis=1)
        inv = np.exp(-s)
        plus, minus = (x + 0.5 - m) * inv, (x - 0.5 - m) * inv
        upper = np.where(x >= self.support[1], 1.0, sigmoid(plus))
        lower = sigmoid(minus)
        return inv, plus, minus, upper, lower

    def nll(self, x, logits):
        inv, plus, minus, upper, lower = self._cdfs(x, logits)
        return -np.log(upper - lower).sum(axis=1), (inv, plus, minus, upper, lower)

    def nll_backward(self, dnll, cache):
        inv, plus, minus, upper, lower = cache
        du, dl = upper * (1 - upper), lower * (1 - lower)
        dm = (du - dl) * inv / (upper - lower)
        ds = (du * plus - dl * minus) / (upper - lower)
        return dnll[:, None] * np.concatenate([dm, ds], axis=1)

    def mean(self, logits):
        m, s = np.split(logits, 2, axis=1)
        edges = np.arange(self.support[1]) + 0.5
        return sigmoid((m[..., None] - edges) * np.exp(-s)[..., None]).sum(axis=-1)

    def sample(self, logits, rng):
        m, s = np.split(logits, 2, axis=1)
        u = rng.uniform(1e-12, 1 - 1e-12, size=m.shape)
        return np.clip(np.round(m + np.exp(s) * (np.log(u) - np.log1p(-u))), *self.support)


class StudentT:
    """Location and log scale per pixel, fixed degrees of freedom."""

    n_params = 2

    def __init__(self, df=5.0):
        self.df = df

    def nll(self, x, logits):
        loc, log_s = np.split(logits, 2, axis=1)
        t = (x - loc) / np.exp(log_s)
        const = gammaln(self.df / 2) - gammaln((self.df + 1) / 2) + 0.5 * np.log(self.df * np.pi)
        nll = 0.5 * (self.df + 1) * np.log1p(t ** 2 / self.df) + log_s + const
        return nll.sum(axis=1), (t, log_s)

    def nll_backward(self, dnll, cache):
        t, log_s = cache
        dloc = -self.df * t / (self.df + t ** 2) * np.exp(-log_s)
        dlog_s = 1 - (self.df + 1) * t ** 2 / (self.df + t ** 2)
        return dnll[:, None] * np.concatenate([dloc, dlog_s], axis=1)

    def mean(self, logits):
        return np.split(logits, 2, axis=1)[0]

    def sample(self, logits, rng):
        loc, log_s = np.split(logits, 2, axis=1)
        return loc + np.exp(log_s) * rng.standard_t(self.df, size=loc.shape)


class LogNormal:
    """log x ~ N(m, exp(s)^2)."""

    n_params = 2
    support = (0.0, np.inf)

    def nll(self, x, logits):
        m, s = np.split(logits, 2, axis=1)
        r = (np.log(x) - m) * np.exp(-s)
        return np.sum(0.5 * r ** 2 + s + np.log(x) + 0.5 * LOG2PI, axis=1), (r, s)

    def nll_backward(self, dnll, cache):
        r, s = cache
        return dnll[:, None] * np.concatenate([-r * np.exp(-s), 1 - r ** 2], axis=1)

    def mean(self, logits):
        m, s = np.split(logits, 2, axis=1)
        return np.exp(m)

    def sample(self, logits, rng):
        m, s = np.split(logits, 2, axis=1)
        return np.exp(m + np.exp(s) * rng.standard_normal(m.shape))


def make_lik_cb():
    return dict(p=ContinuousBernoulli())


def make_lik_laplace():
    return dict(p=Laplace())


def make_lik_zip():
    return dict(p=ZeroInflatedPoisson())


def make_lik_nb():
    return dict(p=NegativeBinomial())


def make_lik_disc():
    return dict(p=DiscretizedLogistic())


def make_lik_t():
    return dict(p=StudentT())


def make_lik_lognormal():
    return dict(p=LogNormal())


ITEMS += [
    Item("continuous-bernoulli", "JAX/TFP port", "likelihood", make_lik_cb, True),
    Item("laplace", "PyTorch distributions port", "likelihood", make_lik_laplace, True),
    Item("zero-inflated-poisson", "research repository (single cell)", "likelihood", make_lik_zip, True),
    Item("negative-binomial-sample", "research repository (single cell)", "likelihood", make_lik_nb, False,
         "the draws take the probability of the other outcome: sigmoid(a - b) should be sigmoid(b - a)", ("sample",),
         ("sign", "elementwise-factor")),
    Item("discretized-logistic-edge", "research repository (PixelCNN++)", "likelihood", make_lik_disc, False,
         "the lowest level does not get the whole lower tail: lower should be np.where(x <= self.support[0], 0.0, "
         "sigmoid(minus))", ("nll",), ("missing-term", "elementwise-factor")),
    Item("student-t-location", "PyTorch distributions port", "likelihood", make_lik_t, False,
         "the gradient of the location has df where df + 1 belongs: -self.df * t should be -(self.df + 1) * t",
         ("dlogits",), ("factor", "missing-term")),
    Item("log-normal-median", "JAX/TFP port", "likelihood", make_lik_lognormal, False,
         "the mean returned is the median: np.exp(m) should be np.exp(m + 0.5 * np.exp(2 * s))", ("mean",),
         ("missing-term", "elementwise-factor")),
]


# ---------------------------------------------------------------------------------------------------- optimizer


class Adam:
    """As in the paper."""

    def __init__(self, lr=1e-2, beta1=0.9, beta2=0.999, eps=1e-8):
        self.lr, self.beta1, self.beta2, self.eps = lr, beta1, beta2, eps
        self.m, self.v, self.t = {}, {}, 0

    def step(self, params, grads):
        self.t += 1
        for k in params:
            m = self.m.get(k, np.zeros_like(params[k]))
            v = self.v.get(k, np.zeros_like(params[k]))
            self.m[k] = self.beta1 * m + (1 - self.beta1) * grads[k]
            self.v[k] = self.beta2 * v + (1 - self.beta2) * grads[k] ** 2
            m_hat = self.m[k] / (1 - self.beta1 ** self.t)
            v_hat = self.v[k] / (1 - self.beta2 ** self.t)
            params[k] -= self.lr * m_hat / (np.sqrt(v_hat) + self.eps)


class AdamEfficient:
    """The two corrections in one step size, eps scaled to go with it."""

    def __init__(self, lr=1e-2, betas=(0.9, 0.999), eps=1e-8):
        self.lr, self.betas, self.eps = lr, betas, eps
        self.state = {}

    def step(self, params, grads):
        b1, b2 = self.betas
        for name, w in params.items():
            s = self.state.setdefault(name, {"step": 0, "exp_avg": np.zeros_like(w), "exp_avg_sq": np.zeros_like(w)})
            s["step"] += 1
            s["exp_avg"] += (1 - b1) * (grads[name] - s["exp_avg"])
            s["exp_avg_sq"] *= b2
            s["exp_avg_sq"] += (1 - b2) * grads[name] * grads[name]
            root = np.sqrt(1 - b2 ** s["step"])
            w -= self.lr * root / (1 - b1 ** s["step"]) * s["exp_avg"] / (np.sqrt(s["exp_avg_sq"]) + self.eps * root)


class AdamCountsParams:
    """Adam from a book, one update method for an array."""

    def __init__(self, alpha=1e-2, beta_1=0.9, beta_2=0.999, epsilon=1e-8):
        self.alpha, self.beta_1, self.beta_2, self.epsilon = alpha, beta_1, beta_2, epsilon
        self.iterations = 0
        self.m, self.v = {}, {}

    def update(self, key, w, dw):
        self.iterations += 1
        if key not in self.m:
            self.m[key], self.v[key] = np.zeros_like(w), np.zeros_like(w)
        self.m[key] = self.beta_1 * self.m[key] + (1 - self.beta_1) * dw
        self.v[key] = self.beta_2 * self.v[key] + (1 - self.beta_2) * dw ** 2
        m_hat = self.m[key] / (1 - self.beta_1 ** self.iterations)
        v_hat = self.v[key] / (1 - self.beta_2 ** self.iterations)
        w -= self.alpha * m_hat / (np.sqrt(v_hat) + self.epsilon)

    def step(self, params, grads):
        for key in params:
            self.update(key, params[key], grads[key])


class MomentumDecay:
    """SGD with momentum and L2 weight decay (reference)."""

    def __init__(self, lr=0.05, momentum=0.9, weight_decay=0.1):
        self.lr, self.momentum, self.weight_decay = lr, momentum, weight_decay
        self.buf = {}

    def step(self, params, grads):
        for k, w in params.items():
            g = grads[k] + self.weight_decay * w
            self.buf[k] = self.momentum * self.buf[k] + g if k in self.buf else g
            w -= self.lr * self.buf[k]


class MomentumVelocity:
    """The same motion with the learning rate inside the velocity."""

    def __init__(self, learning_rate=0.05, mu=0.9, reg=0.1):
        self.learning_rate, self.mu, self.reg = learning_rate, mu, reg
        self.velocity = {}

    def step(self, params, grads):
        for name in params:
            dw = grads[name] + self.reg * params[name]
            v = self.mu * self.velocity.get(name, 0.0) - self.learning_rate * dw
            self.velocity[name] = v
            params[name] += v


class SGDInPlace:
    def __init__(self, lr=0.05, momentum=0.9, weight_decay=0.1):
        self.lr, self.momentum, self.weight_decay = lr, momentum, weight_decay
        self.momentum_buffer = {}

    def step(self, params, grads):
        for name, p in params.items():
            d_p = grads[name]
            if self.weight_decay != 0:
                d_p += self.weight_decay * p
            buf = self.momentum_buffer.get(name)
            if buf is None:
                buf = self.momentum_buffer[name] = d_p.copy()
            else:
                buf *= self.momentum
                buf += d_p
            p -= self.lr * buf


class NesterovReference:
    """w += mu * v_new - lr * g in the variables of the lookahead point."""

    def __init__(self, lr=0.02, mu=0.9):
        self.lr, self.mu, self.v = lr, mu, {}

    def step(self, params, grads):
        for k in params:
            self.v[k] = self.mu * self.v.get(k, np.zeros_like(params[k])) - self.lr * grads[k]
            params[k] += self.mu * self.v[k] - self.lr * grads[k]


class NesterovNotes:
    """v_prev and v as in the course notes."""

    def __init__(self, learning_rate=0.02, mu=0.9):
        self.learning_rate, self.mu = learning_rate, mu
        self.v = {}

    def step(self, params, grads):
        for name, x in params.items():
            if name not in self.v:
                self.v[name] = np.zeros_like(x)
            v = self.v[name]
            v_prev = v
            v *= self.mu
            v -= self.learning_rate * grads[name]
            x += -self.mu * v_prev + (1 + self.mu) * v


class ClippedReference:
    """SGD on gradients clipped to a norm over all arrays."""

    def __init__(self, lr=0.1, max_norm=0.5):
        self.lr, self.max_norm = lr, max_norm

    def step(self, params, grads):
        norm = np.sqrt(sum(np.sum(grads[k] ** 2) for k in params))
        scale = min(1.0, self.max_norm / norm)
        for k in params:
            params[k] -= self.lr * scale * grads[k]


class ClippedSGD:
    def __init__(self, lr=0.1, clipnorm=0.5):
        self.lr, self.clipnorm = lr, clipnorm

    def global_norm(self, grads):
        return sum(np.sqrt(np.sum(np.square(g))) for g in grads)

    def step(self, params, grads):
        names = list(params)
        norm = self.global_norm([grads[n] for n in names])
        clip_coef = min(1.0, self.clipnorm / norm)
        for n in names:
            params[n] -= self.lr * clip_coef * grads[n]


class RMSPropCentered:
    """Centered RMSProp (reference)."""

    def __init__(self, lr=0.01, rho=0.9, eps=1e-6):
        self.lr, self.rho, self.eps = lr, rho, eps
        self.sq, self.avg = {}, {}

    def step(self, params, grads):
        for k, g in grads.items():
            self.sq[k] = self.rho * self.sq.get(k, 0.0) + (1 - self.rho) * g ** 2
            self.avg[k] = self.rho * self.avg.get(k, 0.0) + (1 - self.rho) * g
            params[k] -= self.lr * g / (np.sqrt(self.sq[k] - self.avg[k] ** 2) + self.eps)


class RMSPropSlots:
    def __init__(self, learning_rate=0.01, decay=0.9, epsilon=1e-6):
        self.learning_rate, self.decay, self.epsilon = learning_rate, decay, epsilon
        self.slots = {}

    def build(self, params):
        for name, value in params.items():
            if name not in self.slots:
                self.slots[name] = [np.zeros_like(value), np.zeros_like(value)]

    def step(self, params, grads):
        self.build(params)
        for name in params:
            mean_square, mean_grad = self.slots[name]
            mean_square += (1 - self.decay) * (np.square(grads[name]) - mean_square)
            mean_grad += (1 - self.decay) * (grads[name] - mean_grad)
            denom = np.sqrt(mean_square - np.square(mean_grad)) + self.epsilon
            params[name] -= self.learning_rate * grads[name] / denom


def make_opt_adam():
    return dict(optimizer=AdamEfficient(), reference=Adam())


def make_opt_momentum():
    return dict(optimizer=MomentumVelocity(), reference=MomentumDecay())


def make_opt_rmsprop():
    return dict(optimizer=RMSPropSlots(), reference=RMSPropCentered())


def make_opt_adam_counts():
    return dict(optimizer=AdamCountsParams(), reference=Adam())


def make_opt_sgd_inplace():
    return dict(optimizer=SGDInPlace(), reference=MomentumDecay())


def make_opt_nesterov():
    return dict(optimizer=NesterovNotes(), reference=NesterovReference())


def make_opt_clip():
    return dict(optimizer=ClippedSGD(), reference=ClippedReference())


ITEMS += [
    Item("adam-efficient", "PyTorch optim port", "optimizer", make_opt_adam, True),
    Item("momentum-velocity", "CS231n assignment", "optimizer", make_opt_momentum, True),
    Item("rmsprop-centered", "Keras-like library", "optimizer", make_opt_rmsprop, True),
    Item("adam-counts-arrays", "deep learning book", "optimizer", make_opt_adam_counts, False,
         "the step is counted once per array and not once per step: self.iterations += 1 belongs in step, before the "
         "loop, so the bias corrections 1 - beta ** iterations are off", ("params",), ("factor",)),
    Item("sgd-decay-inplace", "PyTorch optim port", "optimizer", make_opt_sgd_inplace, False,
         "the weight decay is written into the caller's gradients: d_p += self.weight_decay * p should be "
         "d_p = d_p + self.weight_decay * p", ("grads",), ("mutates-input",)),
    Item("nesterov-alias", "CS231n assignment", "optimizer", make_opt_nesterov, False,
         "the previous velocity is the same array as the new one: v_prev = v should be v_prev = v.copy()", ("params",),
         ("missing-term", "mutates-input")),
    Item("clip-sum-of-norms", "Keras-like library", "optimizer", make_opt_clip, False,
         "the global norm is the sum of the norms of the arrays: it should be "
         "np.sqrt(sum(np.sum(np.square(g)) for g in grads))", ("params",), ("factor",)),
]
