from collections import namedtuple
from types import SimpleNamespace
from typing import Callable, NamedTuple
import numpy as np
from scipy.special import expit, gammaln, logsumexp, ndtr, ndtri, softmax, log_softmax


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
Terms = namedtuple("Terms", "objective nll kl")


def add(name, style, check, make, slip="", wrong=(), causes=()):
    ITEMS.append(Item(name, style, check, make, not slip, slip, tuple(wrong), tuple(causes)))


def softplus(a):
    return np.logaddexp(0.0, a)


# ---------------------------------------------------------------- gradients
class SoftplusVAE:
    def __init__(self, D=5, H=4, Z=2, seed=0):
        r = np.random.RandomState(seed)
        self.params = dict(W1=r.randn(D, H) * .6, b1=r.randn(H) * .2, Wm=r.randn(H, Z) * .6, bm=r.randn(Z) * .2,
                           Ws=r.randn(H, Z) * .6, bs=r.randn(Z) * .2, Wd=r.randn(Z, D), bd=r.randn(D) * .2)

    def objective(self, x, eps, beta=1.0):
        p = self.params
        h = np.tanh(x @ p["W1"] + p["b1"])
        mu = h @ p["Wm"] + p["bm"]
        raw = h @ p["Ws"] + p["bs"]
        sd = softplus(raw)
        z = mu + sd * eps
        logits = z @ p["Wd"] + p["bd"]
        nll = np.sum(softplus(logits) - x * logits, axis=1)
        kl = np.sum(0.5 * (mu ** 2 + sd ** 2 - 1) - np.log(sd), axis=1)
        return Terms(-nll - beta * kl, nll, kl), (x, eps, beta, h, mu, raw, sd, z, logits)

    def backward(self, dobjective, cache):
        p = self.params
        x, eps, beta, h, mu, raw, sd, z, logits = cache
        d = dobjective[:, None]
        dlogits = d * (x - expit(logits))
        dz = dlogits @ p["Wd"].T
        dmu = dz - beta * d * mu
        dsd = dz * eps - beta * d * (sd - 1 / sd)
        draw = dsd * expit(sd)
        dh = dmu @ p["Wm"].T + draw @ p["Ws"].T
        da = dh * (1 - h ** 2)
        return dict(W1=x.T @ da, b1=da.sum(0), Wm=h.T @ dmu, bm=dmu.sum(0), Ws=h.T @ draw, bs=draw.sum(0),
                    Wd=z.T @ dlogits, bd=dlogits.sum(0))


def mk_softplus():
    r = np.random.RandomState(1)
    return dict(model=SoftplusVAE(), x=(r.rand(4, 5) > .5).astype(float), eps=r.randn(4, 2))


add("vae_softplus_sd", "compact class, dict of params", "gradients", mk_softplus,
    "slope of the softplus is taken at its output: sigmoid(sd) instead of sigmoid(raw).",
    ("Ws", "bs", "W1", "b1"), ("elementwise-factor",))


# functional with caches
def affine_fwd(x, w, b):
    return x.dot(w) + b, (x, w)


def affine_bwd(dout, cache):
    x, w = cache
    return dout.dot(w.T), x.T.dot(dout), dout.sum(axis=0)


class FreeBits:
    LAM = 0.8

    def __init__(self):
        r = np.random.default_rng(2)
        self.params = {"enc_w": r.normal(size=(4, 5)) * .5, "enc_b": r.normal(size=5) * .1,
                       "mu_w": r.normal(size=(5, 3)) * .7, "mu_b": r.normal(size=3) * .1,
                       "lv_w": r.normal(size=(5, 3)) * .4, "lv_b": r.normal(size=3) * .1,
                       "dec_w": r.normal(size=(3, 4)) * .15, "dec_b": r.normal(size=4) * .1}

    def objective(self, x, eps, beta=1.0):
        P = self.params
        a, c1 = affine_fwd(x, P["enc_w"], P["enc_b"])
        h = np.maximum(a, 0.1 * a)
        mu, c2 = affine_fwd(h, P["mu_w"], P["mu_b"])
        lv, c3 = affine_fwd(h, P["lv_w"], P["lv_b"])
        std = np.exp(lv / 2)
        z = mu + std * eps
        rec, c4 = affine_fwd(z, P["dec_w"], P["dec_b"])
        nll = 0.5 * ((x - rec) ** 2).sum(1)
        kl_dim = 0.5 * (mu * mu + np.exp(lv) - lv - 1)
        kl = np.maximum(kl_dim, self.LAM).sum(1)
        cache = (c1, c2, c3, c4, a, mu, lv, std, eps, x, rec, kl_dim, beta)
        return Terms(-nll - beta * kl, nll, kl), cache

    def backward(self, dobjective, cache):
        c1, c2, c3, c4, a, mu, lv, std, eps, x, rec, kl_dim, beta = cache
        g = {}
        drec = dobjective[:, None] * (x - rec)
        dz, g["dec_w"], g["dec_b"] = affine_bwd(drec, c4)
        dkl_dim = np.repeat(-beta * dobjective[:, None], mu.shape[1], axis=1)
        dmu = dz + dkl_dim * mu
        dlv = dz * eps * std / 2 + dkl_dim * 0.5 * (np.exp(lv) - 1)
        dh1, g["mu_w"], g["mu_b"] = affine_bwd(dmu, c2)
        dh2, g["lv_w"], g["lv_b"] = affine_bwd(dlv, c3)
        da = (dh1 + dh2) * np.where(a > 0, 1.0, 0.1)
        _, g["enc_w"], g["enc_b"] = affine_bwd(da, c1)
        return g


def mk_freebits():
    r = np.random.default_rng(3)
    return dict(model=FreeBits(), x=r.normal(size=(5, 4)), eps=r.normal(size=(5, 3)))


add("vae_free_bits", "course style affine_forward/backward with caches", "gradients", mk_freebits,
    "the kl is floored at LAM per latent, but the backward has no mask kl_dim > LAM.",
    ("enc_w", "enc_b", "mu_w", "mu_b", "lv_w", "lv_b"), ("elementwise-factor", "missing-term"))


# stateful layers
class Linear:
    def __init__(self, store, name, i, o, r):
        self.s, self.n = store, name
        store[name + ".weight"] = r.standard_normal((o, i)) * .6
        store[name + ".bias"] = r.standard_normal(o) * .2

    def __call__(self, x):
        self.x = x
        return x @ self.s[self.n + ".weight"].T + self.s[self.n + ".bias"]

    def back(self, g, grads):
        grads[self.n + ".weight"] = g.T @ self.x
        grads[self.n + ".bias"] = g.sum(0)
        return g @ self.s[self.n + ".weight"]


class ReLU:
    def __call__(self, x):
        self.m = x > 0
        return x * self.m

    def back(self, g, grads):
        return g * self.m


class TorchLikeVAE:
    def __init__(self):
        r = np.random.default_rng(4)
        self.params = {}
        self.fc1 = Linear(self.params, "fc1", 6, 6, r)
        self.fc21 = Linear(self.params, "fc21", 6, 2, r)
        self.fc22 = Linear(self.params, "fc22", 6, 2, r)
        self.fc3 = Linear(self.params, "fc3", 2, 5, r)
        self.fc4 = Linear(self.params, "fc4", 5, 6, r)
        self.r1, self.r2 = ReLU(), ReLU()

    def encode(self, x):
        h = self.r1(self.fc1(x))
        return self.fc21(h), self.fc22(h), None

    def objective(self, x, eps, beta=1.0):
        mu, logvar, _ = self.encode(x)
        std = np.exp(0.5 * logvar)
        z = mu + eps * std
        logits = self.fc4(self.r2(self.fc3(z)))
        bce = (softplus(logits) - x * logits).sum(-1)
        kld = -0.5 * (1 + logvar - mu ** 2 - np.exp(logvar)).sum(-1)
        return Terms(-(bce + beta * kld), bce, kld), dict(x=x, mu=mu, logvar=logvar, std=std, eps=eps, l=logits, beta=beta)

    def backward(self, dobjective, cache):
        c, g = cache, {}
        up = -dobjective.reshape(-1, 1)
        dl = up * (expit(c["l"]) - c["x"])
        dz = self.fc3.back(self.r2.back(self.fc4.back(dl, g), g), g)
        dmu = dz + up * c["beta"] * c["mu"]
        dlogvar = dz * c["eps"] * c["std"] + up * c["beta"] * 0.5 * (np.exp(c["logvar"]) - 1)
        dh = self.fc21.back(dmu, g) + self.fc22.back(dlogvar, g)
        self.fc1.back(self.r1.back(dh, g), g)
        return g


def mk_torchlike():
    r = np.random.default_rng(5)
    return dict(model=TorchLikeVAE(), x=(r.random((6, 6)) < .5) * 1.0, eps=r.standard_normal((6, 2)))


add("vae_torch_port", "port of a framework example, layers with state", "gradients", mk_torchlike,
    "d std / d logvar is std / 2; the half is missing in the reparameterisation path.",
    ("fc22.weight", "fc22.bias", "fc1.weight", "fc1.bias"), ("factor", "elementwise-factor", "missing-term"))


# tied weights
class TiedVAE:
    def __init__(self):
        r = np.random.RandomState(6)
        self.params = {"W": r.randn(5, 4) * .5, "b": r.randn(4) * .1, "Vmu": r.randn(4, 2) * .6, "Vlv": r.randn(4, 2) * .4,
                       "U": r.randn(2, 4) * .6, "c": r.randn(4) * .1, "d": r.randn(5) * .1}

    def objective(self, x, eps, beta=1.0):
        W, b, Vmu, Vlv, U, c, d = self.params.values()
        h = np.tanh(x @ W + b)
        m, s = h @ Vmu, h @ Vlv
        z = m + np.exp(s / 2) * eps
        k = np.tanh(z @ U + c)
        y = 1 / (1 + np.exp(-(k @ W.T + d)))
        nll = -(x * np.log(y) + (1 - x) * np.log(1 - y)).sum(1)
        kl = .5 * (m ** 2 + np.exp(s) - 1 - s).sum(1)
        return Terms(-nll - beta * kl, nll, kl), (x, eps, beta, h, m, s, z, k, y)

    def backward(self, dobjective, cache):
        W, b, Vmu, Vlv, U, c, d = self.params.values()
        x, eps, beta, h, m, s, z, k, y = cache
        w = dobjective[:, None]
        e = (x - y) * w                         # output delta
        dk = (e @ W) * (1 - k * k)
        dz = dk @ U.T
        dm = dz - beta * w * m
        ds = dz * eps * .5 * np.exp(s / 2) - beta * w * .5 * (np.exp(s) - 1)
        dh = (dm @ Vmu.T + ds @ Vlv.T) * (1 - h * h)
        return {"W": x.T @ dh, "b": dh.sum(0), "Vmu": h.T @ dm, "Vlv": h.T @ ds, "U": z.T @ dk, "c": dk.sum(0), "d": e.sum(0)}


def mk_tied():
    r = np.random.RandomState(7)
    return dict(model=TiedVAE(), x=(r.rand(5, 5) > .4).astype(float), eps=r.randn(5, 2))


add("vae_tied_weights", "terse notebook, one-letter names", "gradients", mk_tied,
    "W is used by encoder and decoder; the decoder's share e.T @ k is missing from its gradient.",
    ("W",), ("missing-term",))


# real nvp
class RealNVP:
    def __init__(self):
        r = np.random.default_rng(8)
        self.params = {}
        for l in (1, 2):
            for n in "st":
                self.params[f"W{n}{l}"] = r.normal(size=(2, 2)) * .6
                self.params[f"b{n}{l}"] = r.normal(size=2) * .3

    def objective(self, x, eps=None, beta=1.0):
        p = self.params
        a, b = x[:, :2], x[:, 2:]
        logdet = np.zeros(len(x))
        saved = []
        for l in (1, 2):
            s = np.tanh(a @ p[f"Ws{l}"] + p[f"bs{l}"])
            t = a @ p[f"Wt{l}"] + p[f"bt{l}"]
            out = b * np.exp(s) + t
            logdet = logdet + s.sum(1)
            saved.append((a, b, s))
            a, b = out, a
        z = np.concatenate([a, b], axis=1)
        logp = -0.5 * (z ** 2 + np.log(2 * np.pi)).sum(1)
        return SimpleNamespace(objective=logp + logdet), (saved, z)

    def backward(self, dobjective, cache):
        saved, z = cache
        p, g = self.params, {}
        dz = -z * dobjective[:, None]
        da, db = dz[:, :2], dz[:, 2:]
        for l in (2, 1):
            a, b, s = saved[l - 1]
            dout, dpass = da, db
            ds = dout * b * np.exp(s)
            dpre = ds * (1 - s ** 2)
            g[f"Ws{l}"], g[f"bs{l}"] = a.T @ dpre, dpre.sum(0)
            g[f"Wt{l}"], g[f"bt{l}"] = a.T @ dout, dout.sum(0)
            da = dpass + dpre @ p[f"Ws{l}"].T + dout @ p[f"Wt{l}"].T
            db = dout * np.exp(s)
        return g


add("flow_realnvp", "normalising-flow research code", "gradients",
    lambda: dict(model=RealNVP(), x=np.random.default_rng(9).normal(size=(5, 4))),
    "the log determinant's share is missing: ds must also receive dobjective[:, None].",
    ("Ws1", "bs1", "Ws2", "bs2", "Wt1", "bt1"), ("missing-term",))


# gmm
class GaussianMixture:
    def __init__(self, K=3, D=2):
        rng = np.random.RandomState(10)
        self.params = {"logits": rng.randn(K), "means": rng.randn(K, D) * 1.5, "log_scales": rng.randn(K, D) * .3}

    def objective(self, x, eps=None, beta=1.0):
        """log p(x_n) = log sum_k pi_k N(x_n | m_k, s_k^2)"""
        log_pi = log_softmax(self.params["logits"])
        diff = (x[:, None, :] - self.params["means"]) / np.exp(self.params["log_scales"])
        comp = -0.5 * np.sum(diff ** 2 + np.log(2 * np.pi), axis=-1) - self.params["log_scales"].sum(-1)
        joint = log_pi + comp
        ll = logsumexp(joint, axis=1)
        resp = np.exp(joint - ll[:, None])
        return Terms(ll, -ll, 0 * ll), {"resp": resp, "diff": diff}

    def backward(self, dobjective, cache):
        r = cache["resp"] * dobjective[:, None]
        diff = cache["diff"]
        return {"logits": r.sum(axis=0),
                "means": np.einsum("nk,nkd->kd", r, diff / np.exp(self.params["log_scales"])),
                "log_scales": np.einsum("nk,nkd->kd", r, diff ** 2 - 1)}


add("gmm_responsibilities", "statistics, EM notation", "gradients",
    lambda: dict(model=GaussianMixture(), x=np.random.RandomState(11).randn(6, 2) * 1.5),
    "the weights are a softmax of logits: - sum(dobjective) * pi is missing.", ("logits",), ("missing-term",))


# iwae
class IWAE:
    def __init__(self):
        r = np.random.default_rng(12)
        n = r.normal
        self.params = dict(A=n(size=(4, 2)) * .6, a=n(size=2) * .2, L=n(size=(4, 2)) * .4, l=n(size=2) * .2, C=n(size=(2, 4)) * 1.3, c=n(size=4) * .2)

    def objective(self, x, eps, beta=1.0):
        q = self.params
        mu, lv = x @ q["A"] + q["a"], x @ q["L"] + q["l"]
        z = mu + np.exp(.5 * lv) * eps                      # (K, B, Z)
        logits = z @ q["C"] + q["c"]
        logpx = (x * logits - softplus(logits)).sum(-1)
        logr = (-.5 * z ** 2 + .5 * eps ** 2 + .5 * lv).sum(-1)   # log p(z) - log q(z)
        logw = logpx + beta * logr
        obj = logsumexp(logw, axis=0) - np.log(len(eps))
        return SimpleNamespace(objective=obj), (x, eps, beta, lv, z, logits, logw)

    def backward(self, dobjective, cache):
        x, eps, beta, lv, z, logits, logw = cache
        q = self.params
        K = logw.shape[0]
        dlogw = np.broadcast_to(dobjective / K, logw.shape)[..., None]
        dlogits = dlogw * (x - expit(logits))
        dz = dlogits @ q["C"].T - beta * dlogw * z
        dmu = dz.sum(0)
        dlv = (dz * eps * .5 * np.exp(.5 * lv) + .5 * beta * dlogw).sum(0)
        return dict(A=x.T @ dmu, a=dmu.sum(0), L=x.T @ dlv, l=dlv.sum(0),
                    C=np.einsum("kbz,kbd->zd", z, dlogits), c=dlogits.sum((0, 1)))


def mk_iwae():
    r = np.random.default_rng(13)
    return dict(model=IWAE(), x=(r.random((4, 4)) > .5).astype(float), eps=r.normal(size=(5, 4, 2)))


add("iwae_uniform_weights", "research code, importance weighting", "gradients", mk_iwae,
    "the gradient of logmeanexp weighs the samples by softmax(logw), not by 1/K.",
    ("A", "a", "L", "l", "C", "c"), ("elementwise-factor", "batch-sum"))


# cvae
class CVAE(object):
    def __init__(self, labels):
        rs = np.random.RandomState(14)
        self.y = labels
        self.params = {"We": rs.randn(4, 4) * .5, "E": rs.randn(3, 2) * .5, "Wo": rs.randn(2, 4) * .8, "bo": np.zeros(4) + .1}

    def objective(self, x, eps, beta=1.0):
        stats = np.dot(x, self.params["We"])
        mu, logvar = np.split(stats, 2, axis=1)
        z = mu + np.exp(logvar / 2.) * eps
        h = np.tanh(z + self.params["E"][self.y])
        xhat = np.dot(h, self.params["Wo"]) + self.params["bo"]
        nll = np.sum(np.square(x - xhat), axis=1) / 2.
        kl = np.sum(np.exp(logvar) + mu ** 2 - 1. - logvar, axis=1) / 2.
        self.last = (x, eps, mu, logvar, z, h, xhat, beta)
        return Terms(-nll - beta * kl, nll, kl), self.last

    def backward(self, dobjective, cache):
        x, eps, mu, logvar, z, h, xhat, beta = cache
        do = dobjective[:, np.newaxis]
        dxhat = do * (x - xhat)
        grads = {k: np.zeros_like(v) for k, v in self.params.items()}
        grads["Wo"] += np.dot(h.T, dxhat)
        grads["bo"] += np.sum(dxhat, axis=0)
        dpre = np.dot(dxhat, self.params["Wo"].T) * (1 - h ** 2)
        grads["E"][self.y] += dpre
        dmu = dpre - beta * do * mu
        dlogvar = dpre * eps * np.exp(logvar / 2.) / 2. - beta * do * (np.exp(logvar) - 1) / 2.
        grads["We"] += np.dot(x.T, np.hstack((dmu, dlogvar)))
        return grads


def mk_cvae():
    r = np.random.RandomState(15)
    return dict(model=CVAE(np.array([0, 2, 0, 1, 2, 2])), x=r.randn(6, 4), eps=r.randn(6, 2))


add("cvae_label_embedding", "old python 2 style, conditional VAE, NLP embedding", "gradients", mk_cvae,
    "grads['E'][y] += keeps only the last row of a repeated label; np.add.at is needed.", ("E",), ("batch-sum", "missing-term"))


# learned prior
class LearnedPriorAgent:
    """latent state model: posterior from obs, learned prior."""
    def __init__(self):
        g = np.random.default_rng(16)
        self.params = {"post/w": g.normal(0, .5, (3, 2)), "post/b": g.normal(0, .1, 2), "post_logstd": g.normal(0, .3, 2),
                       "prior/mu": g.normal(0, .8, 2), "prior/logstd": g.normal(0, .3, 2), "dec/w": g.normal(0, .7, (2, 3))}

    def objective(self, obs, eps, beta=1.0):
        p = self.params
        mean = np.tanh(obs @ p["post/w"] + p["post/b"])
        std, pstd = np.exp(p["post_logstd"]), np.exp(p["prior/logstd"])
        z = mean + std * eps
        err = z @ p["dec/w"] - obs
        nll = .5 * np.einsum("bi,bi->b", err, err)
        delta = (mean - p["prior/mu"]) / pstd
        kl = (p["prior/logstd"] - p["post_logstd"] + .5 * (std / pstd) ** 2 + .5 * delta ** 2 - .5).sum(-1)
        return Terms(-nll - beta * kl, nll, kl), (obs, eps, beta, mean, std, pstd, z, err, delta)

    def backward(self, dobjective, cache):
        obs, eps, beta, mean, std, pstd, z, err, delta = cache
        dnll, dkl = -dobjective[:, None], -beta * dobjective[:, None]
        derr = dnll * err
        dz = derr @ self.params["dec/w"].T
        dmean = dz + dkl * delta / pstd
        dpre = dmean * (1 - mean ** 2)
        ratio = (std / pstd) ** 2
        return {"post/w": obs.T @ dpre, "post/b": dpre.sum(0),
                "post_logstd": (dz * eps * std + dkl * (ratio - 1)).sum(0),
                "prior/mu": (dkl * delta / pstd).sum(0),
                "prior/logstd": (dkl * (1 - ratio - delta ** 2)).sum(0),
                "dec/w": z.T @ derr}


def mk_prior():
    g = np.random.default_rng(17)
    return dict(model=LearnedPriorAgent(), x=g.normal(size=(5, 3)), eps=g.normal(size=(5, 2)))


add("learned_prior_latent_state", "reinforcement learning world-model code, slash names", "gradients", mk_prior,
    "the prior mean enters the kl as mean - prior_mu, its gradient needs a minus.", ("prior/mu",), ("sign",))


# right ones
class PPCA:
    def __init__(self):
        r = np.random.RandomState(18)
        self.params = {"W": r.randn(4, 2), "log_s2": np.array(-0.7), "m": r.randn(4) * .3}

    def objective(self, x, eps=None, beta=1.0):
        W, s2 = self.params["W"], np.exp(self.params["log_s2"])
        C = W @ W.T + s2 * np.eye(4)
        L = np.linalg.cholesky(C)
        Ci = np.linalg.inv(C)
        V = (x - self.params["m"]) @ Ci
        nll = .5 * (4 * np.log(2 * np.pi) + ((x - self.params["m"]) * V).sum(1)) + np.log(np.diag(L)).sum()
        return SimpleNamespace(objective=-nll, nll=nll), (Ci, V, s2)

    def backward(self, dobjective, cache):
        Ci, V, s2 = cache
        G = .5 * ((V * dobjective[:, None]).T @ V - dobjective.sum() * Ci)
        return {"W": 2 * G @ self.params["W"], "log_s2": np.asarray(np.trace(G) * s2), "m": dobjective @ V}


add("ppca_marginal", "statistics, marginal likelihood with 0-d parameter", "gradients",
    lambda: dict(model=PPCA(), x=np.random.RandomState(19).randn(5, 4)))


class TwoLevel:
    def __init__(self):
        n = np.random.default_rng(20).normal
        self.params = {"A": n(0, .5, (4, 2)), "l1": n(0, .4, 2), "B": n(0, .8, (2, 1)), "l2": n(0, .4, 1), "C": n(0, .8, (1, 2)), "Dw": n(0, .7, (2, 4))}

    def objective(self, x, eps, beta=1.0):
        p = self.params
        e1, e2 = eps[:, :2], eps[:, 2:]
        z1 = x @ p["A"] + np.exp(.5 * p["l1"]) * e1
        m2 = np.tanh(z1 @ p["B"])
        z2 = m2 + np.exp(.5 * p["l2"]) * e2
        r1 = z1 - z2 @ p["C"]
        rx = x - z1 @ p["Dw"]
        nll = .5 * (rx ** 2).sum(1)
        kl = .5 * (r1 ** 2).sum(1) + .5 * (z2 ** 2).sum(1) - .5 * (eps ** 2).sum(1) - .5 * p["l1"].sum() - .5 * p["l2"].sum()
        return Terms(-nll - beta * kl, nll, kl), locals()

    def backward(self, dobjective, cache):
        p, x, beta = self.params, cache["x"], cache["beta"]
        w = dobjective[:, None]
        v = beta * w
        z1, z2, m2, r1, rx = (cache[k] for k in ("z1", "z2", "m2", "r1", "rx"))
        g = {"Dw": z1.T @ (w * rx), "C": z2.T @ (v * r1)}
        dz2 = (v * r1) @ p["C"].T
        dz2 -= v * z2
        g["l2"] = (.5 * dz2 * cache["e2"] * np.exp(.5 * p["l2"]) + .5 * v).sum(0)
        dt = dz2 * (1 - m2 ** 2)
        g["B"] = z1.T @ dt
        dz1 = (w * rx) @ p["Dw"].T - v * r1 + dt @ p["B"].T
        g["l1"] = (.5 * dz1 * cache["e1"] * np.exp(.5 * p["l1"]) + .5 * v).sum(0)
        g["A"] = x.T @ dz1
        return g


def mk_two():
    r = np.random.default_rng(21)
    return dict(model=TwoLevel(), x=r.normal(size=(4, 4)), eps=r.normal(size=(4, 3)))


add("hierarchical_two_level", "research prototype, cache is locals()", "gradients", mk_two)


class ConcreteVAE:
    tau, N, K = 0.8, 2, 3

    def __init__(self):
        r = np.random.RandomState(22)
        self.params = {"W": r.randn(5, 6) * .5, "b": r.randn(6) * .2, "V": r.randn(6, 5) * .8, "c": r.randn(5) * .2}

    def objective(self, x, eps, beta=1.0):
        B = x.shape[0]
        a = (x @ self.params["W"] + self.params["b"]).reshape(B, self.N, self.K)
        g = -np.log(-np.log(ndtr(eps))).reshape(a.shape)       # normal -> uniform -> gumbel
        y = softmax((a + g) / self.tau, axis=-1)
        out = y.reshape(B, -1) @ self.params["V"] + self.params["c"]
        nll = (softplus(out) - x * out).sum(1)
        lq = log_softmax(a, axis=-1)
        kl = (np.exp(lq) * (lq + np.log(self.K))).sum((1, 2))
        return Terms(-nll - beta * kl, nll, kl), (x, y, out, lq, beta)

    def backward(self, dobjective, cache):
        x, y, out, lq, beta = cache
        B = len(x)
        do = (x - expit(out)) * dobjective[:, None]
        dy = (do @ self.params["V"].T).reshape(y.shape)
        da = y * (dy - (y * dy).sum(-1, keepdims=True)) / self.tau
        q = np.exp(lq)
        u = lq                                    # log K drops out
        da -= beta * dobjective[:, None, None] * q * (u - (q * u).sum(-1, keepdims=True))
        da = da.reshape(B, -1)
        return {"W": x.T @ da, "b": da.sum(0), "V": y.reshape(B, -1).T @ do, "c": do.sum(0)}


def mk_concrete():
    r = np.random.RandomState(23)
    return dict(model=ConcreteVAE(), x=(r.rand(4, 5) > .5) * 1., eps=r.randn(4, 6))


add("concrete_vae", "gumbel-softmax discrete latents", "gradients", mk_concrete)


class ClampVAE:
    """columns are samples inside (features first)"""
    def __init__(self):
        r = np.random.default_rng(24)
        self.params = {"We": r.normal(size=(4, 3)) * 1.2, "be": r.normal(size=(4, 1)), "Wd": r.normal(size=(3, 2)), "bd": r.normal(size=(3, 1)), "log_gamma": np.array([0.3])}

    def objective(self, x, eps, beta=1.0):
        X, E = x.T, eps.T
        S = self.params["We"] @ X + self.params["be"]
        M, R = S[:2], S[2:]
        Lv = np.clip(R, -1.5, 1.0)
        Zt = M + np.exp(.5 * Lv) * E
        Y = self.params["Wd"] @ Zt + self.params["bd"]
        lg = self.params["log_gamma"]
        Q = (X - Y) * np.exp(-lg)
        nll = (.5 * Q ** 2 + lg + .5 * np.log(2 * np.pi)).sum(0)
        kl = .5 * (M ** 2 + np.exp(Lv) - Lv - 1).sum(0)
        return Terms(-nll - beta * kl, nll, kl), (X, E, M, R, Lv, Zt, Q, beta)

    def backward(self, dobjective, cache):
        X, E, M, R, Lv, Zt, Q, beta = cache
        d = dobjective[None, :]
        dY = d * Q * np.exp(-self.params["log_gamma"])
        dlg = np.array([(d * (Q ** 2 - 1)).sum()])
        dZ = self.params["Wd"].T @ dY
        dS = np.empty((4, X.shape[1]))
        np.subtract(dZ, beta * d * M, out=dS[:2])
        dS[2:] = .5 * (dZ * E * np.exp(.5 * Lv) - beta * d * np.expm1(Lv))
        dS[2:][(R < -1.5) | (R > 1.0)] = 0
        return {"We": dS @ X.T, "be": dS.sum(1, keepdims=True), "Wd": dY @ Zt.T, "bd": dY.sum(1, keepdims=True), "log_gamma": dlg}


def mk_clamp():
    r = np.random.default_rng(25)
    return dict(model=ClampVAE(), x=r.normal(size=(6, 3)), eps=r.normal(size=(6, 2)))


add("vae_clamped_logvar", "features-first lecture code", "gradients", mk_clamp)


class HMM:
    def __init__(self):
        r = np.random.RandomState(26)
        self.params = {"start": r.randn(3), "trans": r.randn(3, 3), "emit": r.randn(3, 4)}

    def objective(self, x, eps=None, beta=1.0):
        li, lt, le = (log_softmax(self.params[k], axis=-1) for k in ("start", "trans", "emit"))
        x = x.astype(int)
        B, T = x.shape
        al, be = np.zeros((T, B, 3)), np.zeros((T, B, 3))
        al[0] = li + le[:, x[:, 0]].T
        for t in range(1, T):
            al[t] = logsumexp(al[t - 1][:, :, None] + lt, axis=1) + le[:, x[:, t]].T
        for t in range(T - 2, -1, -1):
            be[t] = logsumexp(lt[None] + (le[:, x[:, t + 1]].T + be[t + 1])[:, None, :], axis=2)
        ll = logsumexp(al[-1], axis=1)
        return SimpleNamespace(objective=ll), (x, li, lt, le, al, be, ll)

    def backward(self, dobjective, cache):
        x, li, lt, le, al, be, ll = cache
        gam = np.exp(al + be - ll[:, None]) * dobjective[:, None]
        cs = gam[0].sum(0)
        ct, ce = np.zeros((3, 3)), np.zeros((3, 4))
        for t in range(x.shape[1]):
            np.add.at(ce.T, x[:, t], gam[t])
            if t:
                xi = al[t - 1][:, :, None] + lt + (le[:, x[:, t]].T + be[t])[:, None, :] - ll[:, None, None]
                ct += np.tensordot(dobjective, np.exp(xi), 1)
        f = lambda c, l: c - c.sum(-1, keepdims=True) * np.exp(l)
        return {"start": f(cs, li), "trans": f(ct, lt), "emit": f(ce, le)}


add("hmm_expected_counts", "NLP, forward-backward, integer observations", "gradients",
    lambda: dict(model=HMM(), x=np.random.RandomState(27).randint(0, 4, (4, 5))))


# ---------------------------------------------------------------- samplers
def smk(s, B=4, Z=3, seed=30):
    def make():
        r = np.random.default_rng(seed)
        return dict(sampler=s(), mu=r.normal(size=(B, Z)), logvar=r.normal(size=(B, Z)) * .8 - .3)
    return make


def reparameterize(mu, log_var, eps):
    sigma = np.exp(log_var)
    return mu + sigma * eps


class VariationalDropout:
    def __call__(self, mu, logvar, eps):
        alpha = np.exp(0.5 * logvar)
        noise = 1.0 + alpha * eps
        return mu * noise, (mu, noise)


def sample_latents_shared(mu, logvar, eps):
    batch, dim = mu.shape
    z = np.zeros((batch, dim))
    e = np.asarray(eps).reshape(batch, dim)[0]
    for i in range(batch):
        for j in range(dim):
            z[i, j] = mu[i, j] + np.sqrt(np.exp(logvar[i, j])) * e[j]
    return z


def truncated_sample(mu, logvar, eps, psi=1.0):
    """generator sampling with the truncation trick"""
    e = np.where(np.abs(eps) > psi, psi * np.sign(eps), eps)
    return mu + e * np.exp(logvar / 2)


def box_muller():
    rng = np.random.RandomState(31)

    def s(mu, logvar, eps):
        u1, u2 = 1 - rng.rand(*mu.shape), rng.rand(*mu.shape)
        n = np.sqrt(-np.log(u1)) * np.cos(2 * np.pi * u2)
        return mu + np.exp(.5 * logvar) * n
    return s


class NormalSoftplus:
    def __init__(self, loc, raw):
        self.loc, self.scale = loc, np.log1p(np.exp(raw))

    def rsample(self, eps):
        return self.loc + self.scale * eps


def householder_step(mu, logvar, eps):
    v = np.ones(mu.shape[1]) / np.sqrt(mu.shape[1])
    noise = eps - (eps @ v)[:, None] * v[None, :]
    return mu + np.exp(logvar / 2) * noise, noise


add("sampler_logvar_as_logstd", "short function of a course", "sampler", smk(lambda: reparameterize), "exp(logvar) is the variance; sigma is exp(logvar / 2).", ("z",), ("elementwise-factor",))
add("sampler_multiplicative", "variational dropout layer", "sampler", smk(VariationalDropout, seed=32), "noise is multiplied by mu too; z = mu + sigma * eps.", ("z",), ("elementwise-factor",))
add("sampler_one_row_of_noise", "loops of a beginner", "sampler", smk(lambda: sample_latents_shared, 5, 2, 33), "all rows share the noise of row 0; use eps[i, j].", ("z",), ("shape", "batch-sum"))
add("sampler_truncation_left_on", "generative art code", "sampler", smk(lambda: truncated_sample, seed=34), "noise is clamped to +-1, the law has too little variance; use eps as it is.", ("z",), ("elementwise-factor", "unknown"))
add("sampler_box_muller", "graphics, own noise", "sampler", smk(box_muller, 4, 2, 35), "the radius is sqrt(-2 log u), the 2 is missing.", ("z",), ("factor", "elementwise-factor", "noise-redrawn"))
add("sampler_softplus_of_logvar", "distribution object with rsample", "sampler", smk(lambda: (lambda mu, logvar, eps: NormalSoftplus(mu, logvar).rsample(eps)), seed=36), "softplus(logvar) is taken as scale; sigma is exp(logvar / 2).", ("z",), ("elementwise-factor",))
add("sampler_householder", "flow research code", "sampler", smk(lambda: householder_step, 4, 3, 37), "the reflection is I - 2 v v', without the 2 it is a projection and noise is lost.", ("z",), ("factor", "missing-term"))


def antithetic(mu, logvar, eps):
    return mu - np.exp(.5 * logvar) * eps[::-1, ::-1]


def givens_rows(mu, logvar, eps):
    e = eps.copy()
    c, s = np.cos(.7), np.sin(.7)
    e[0], e[-1] = c * eps[0] - s * eps[-1], s * eps[0] + c * eps[-1]
    z = e
    z *= np.sqrt(np.exp(logvar))
    z += mu
    return z


def by_quantile(mu, logvar, eps):
    u = ndtr(-np.abs(eps))
    return mu + np.sqrt(np.exp(logvar)) * np.where(eps < 0, ndtri(u), -ndtri(u))


class Float32Sampler:
    def __call__(self, mu, logvar, eps):
        f = np.float32
        h = np.exp(f(.25) * logvar.astype(f))
        self.out = mu.astype(f) + h * h * eps.astype(f)
        return self.out, {"h": h}


add("sampler_antithetic_flip", "variance reduction", "sampler", smk(lambda: antithetic, seed=38))
add("sampler_rotated_rows", "in-place on own buffer", "sampler", smk(lambda: givens_rows, 5, 3, 39))
add("sampler_by_quantile", "statistics, inverse cdf", "sampler", smk(lambda: by_quantile, 4, 2, 40))
add("sampler_float32", "embedded port, single precision", "sampler", smk(Float32Sampler, 4, 4, 41))


# ---------------------------------------------------------------- evidence
class EvBase:
    def __init__(self, Z=1, D=4, seed=50):
        r = np.random.default_rng(seed)
        self.A, self.a = r.normal(size=(D, Z)) * .7, r.normal(size=Z) * .3
        self.L, self.l = r.normal(size=(D, Z)) * .4, r.normal(size=Z) * .3 - .4
        self.C, self.c = r.normal(size=(Z, D)) * 1.2, r.normal(size=D) * .4

    def encode(self, x):
        return x @ self.A + self.a, x @ self.L + self.l

    def decode(self, z):
        return z @ self.C + self.c


class ElboTerms(NamedTuple):
    elbo: np.ndarray
    nll: np.ndarray
    kl: np.ndarray


class EvBatchMean(EvBase):
    def objective(self, x, eps):
        mu, lv = self.encode(x)
        y = self.decode(mu + np.exp(lv / 2) * eps)
        nll = (softplus(y) - x * y).sum(1)
        kl = np.mean(.5 * np.sum(mu ** 2 + np.exp(lv) - lv - 1, axis=1))
        return ElboTerms(-nll - kl, nll, np.full(len(x), kl)), None


class EvPixelMean(EvBase):
    def objective(self, x, eps):
        mu, lv = self.encode(x)
        p = self.decode(mu + np.exp(lv / 2) * eps)
        nll = np.mean(np.maximum(p, 0) - x * p + np.log1p(np.exp(-np.abs(p))), axis=-1)
        kl = -.5 * np.sum(1 + lv - mu ** 2 - np.exp(lv), axis=-1)
        return SimpleNamespace(elbo=-(nll + kl), nll=nll, kl=kl), (p,)


class EvStdForVar(EvBase):
    def objective(self, x, eps):
        mu, lv = self.encode(x)
        sigma = np.exp(.5 * lv)
        out = self.decode(mu + sigma * eps)
        rec = np.sum(x * -softplus(-out) - (1 - x) * softplus(out), 1)
        kld = -.5 * (1 + lv - mu ** 2 - sigma).sum(1)
        return ElboTerms(rec - kld, -rec, kld), {}


class EvIwaeSum(EvBase):
    K = 5

    def draw_eps(self, B, rng):
        return rng.standard_normal((self.K, B, len(self.a)))

    def objective(self, x, eps):
        mu, lv = self.encode(x)
        z = mu + np.exp(lv / 2) * eps
        y = self.decode(z)
        logw = (x * y - softplus(y)).sum(-1) + .5 * (eps ** 2 - z ** 2 + lv).sum(-1)
        m = logw.max(0)
        return SimpleNamespace(elbo=m + np.log(np.exp(logw - m).sum(0))), logw


class EvHalfBCE(EvBase):
    def objective(self, x, eps):
        mean, logv = self.encode(x)
        probs = 1. / (1. + np.exp(-self.decode(mean + eps * np.exp(.5 * logv))))
        nll = -(x * np.log(probs + 1e-12)).sum(axis=1)
        kl = .5 * (np.exp(logv) + mean ** 2 - 1. - logv).sum(axis=1)
        return ElboTerms(-nll - kl, nll, kl), None


class EvLogqNoScale(EvBase):
    def objective(self, x, eps):
        mu, lv = self.encode(x)
        z = mu + eps * np.exp(lv / 2)
        c = np.log(2 * np.pi)
        log_p_z = -.5 * (z ** 2 + c).sum(1)
        log_q_z = -.5 * ((z - mu) ** 2 / np.exp(lv) + c).sum(1)
        y = self.decode(z)
        log_p_x = (x * y - softplus(y)).sum(1)
        return SimpleNamespace(elbo=log_p_x + log_p_z - log_q_z), None


class EvMC(EvBase):
    def objective(self, x, eps):
        mu, lv = self.encode(x)
        z = mu + eps * np.exp(lv / 2)
        y = self.decode(z)
        sgn = 2 * x - 1
        nll = softplus(-sgn * y).sum(1)
        kl = .5 * (z ** 2 - eps ** 2 - lv).sum(1)        # one draw, may be negative
        return ElboTerms(-nll - kl, nll, kl), None


class EvNormalizer(EvBase):
    def objective(self, x, eps):
        mu, lv = self.encode(x)
        s = np.exp(lv / 2)
        e = -eps
        y = self.decode(mu + s * e)
        ll = np.log(np.where(x > .5, expit(y), expit(-y))).sum(1)
        kl = np.zeros(len(x))
        for j in range(mu.shape[1]):
            kl += (s[:, j] ** 2 + mu[:, j] ** 2 - 1) / 2 - np.log(s[:, j])
        return ElboTerms(ll - kl, -ll, kl), None


class EvIwae(EvBase):
    def draw_eps(self, B, rng):
        return rng.standard_normal((4, B, self.a.size))

    def objective(self, x, eps):
        mu, lv = self.encode(x)
        z = mu[None] + np.exp(lv / 2)[None] * eps
        y = self.decode(z)
        lw = (x * y - softplus(y)).sum(-1) - .5 * (z ** 2).sum(-1) + .5 * (eps ** 2).sum(-1) + .5 * lv.sum(-1)
        return SimpleNamespace(elbo=np.logaddexp.reduce(lw, axis=0) - np.log(lw.shape[0])), lw


def emk(cls, Z, seed):
    def make():
        x = np.array([[0, 1, 1, 0], [1, 1, 0, 1], [0, 0, 1, 1], [1, 0, 0, 0], [1, 1, 1, 1]], float)
        return dict(model=cls(Z=Z, seed=seed), x=x)
    return make


add("elbo_batch_mean_kl", "training script", "evidence", emk(EvBatchMean, 1, 51), "kl is averaged over the batch and put on every row; keep it per row.", ("elbo", "kl"), ("batch-sum", "shape"))
add("elbo_pixel_mean", "keras-like port", "evidence", emk(EvPixelMean, 2, 52), "reconstruction is the mean over pixels, must be the sum (times D).", ("elbo", "nll"), ("factor",))
add("elbo_sigma_for_variance", "assignment", "evidence", emk(EvStdForVar, 1, 53), "sigma stands where sigma ** 2 belongs in the kl.", ("elbo", "kl"), ("elementwise-factor",))
add("iwae_without_log_k", "research code", "evidence", emk(EvIwaeSum, 1, 54), "logsumexp lacks - log K.", ("elbo",), ("missing-term", "factor"))
add("elbo_half_cross_entropy", "blog notebook", "evidence", emk(EvHalfBCE, 1, 55), "(1 - x) log(1 - p) is missing from the cross entropy.", ("elbo", "nll"), ("missing-term",))
add("elbo_log_q_without_scale", "probabilistic programming", "evidence", emk(EvLogqNoScale, 2, 56), "log q lacks - logvar / 2.", ("elbo",), ("missing-term",))
add("elbo_single_draw_kl", "Monte Carlo kl, signed labels", "evidence", emk(EvMC, 1, 57))
add("elbo_flipped_noise_loop", "loop over latents", "evidence", emk(EvNormalizer, 2, 58))
add("iwae_logaddexp", "functional importance weighting", "evidence", emk(EvIwae, 1, 59))


# ---------------------------------------------------------------- likelihoods
class LogNormal:
    n_params, discrete, support = 2, False, (0.0, np.inf)

    def nll(self, x, logits):
        D = x.shape[1]
        m, ls = logits[:, :D], logits[:, D:]
        u = (np.log(x) - m) * np.exp(-ls)
        return (.5 * u ** 2 + ls + .5 * np.log(2 * np.pi)).sum(1), (u, ls)

    def mean(self, logits):
        m, ls = np.split(logits, 2, axis=1)
        return np.exp(m + .5 * np.exp(2 * ls))

    def sample(self, logits, rng):
        m, ls = np.split(logits, 2, axis=1)
        return np.exp(m + np.exp(ls) * rng.standard_normal(m.shape))

    def nll_backward(self, dnll, cache):
        u, ls = cache
        d = dnll[:, None]
        return np.concatenate([-d * u * np.exp(-ls), d * (1 - u ** 2)], axis=1)


class LaplaceHead:
    n_params, discrete, support = 2, False, (-np.inf, np.inf)

    def _split(self, o):
        k = o.shape[1] // 2
        return o[:, :k], np.exp(o[:, k:])

    def nll(self, x, o):
        loc, b = self._split(o)
        return np.sum(np.abs(x - loc) / b + np.log(2 * b), axis=1), (x, loc, b)

    def mean(self, o):
        return self._split(o)[0].copy()

    def sample(self, o, rng):
        loc, b = self._split(o)
        u = rng.uniform(size=loc.shape) - .5
        return loc - b * np.sign(u) * np.log(1 - np.abs(u))

    def nll_backward(self, dnll, cache):
        x, loc, b = cache
        return dnll[:, None] * np.hstack([-np.sign(x - loc) / b, 1 - np.abs(x - loc) / b])


class NegBinomial:
    """first column log r, second logit of the success probability p; counts of successes before r failures"""
    n_params, discrete, support = 2, True, (0, np.inf)

    def nll(self, x, logits):
        D = x.shape[1]
        r, l = np.exp(logits[:, :D]), logits[:, D:]
        lp = gammaln(x + r) - gammaln(r) - gammaln(x + 1) - r * softplus(l) - x * softplus(-l)
        return -lp.sum(1), None

    def mean(self, logits):
        lr, l = np.split(logits, 2, 1)
        return np.exp(lr) * expit(-l) / expit(l)

    def sample(self, logits, rng):
        lr, l = np.split(logits, 2, 1)
        return rng.poisson(rng.gamma(np.exp(lr)) * np.exp(l)).astype(float)


class ZIP:
    n_params, discrete, support = 2, True, (0, np.inf)

    def nll(self, x, logits):
        d = x.shape[1]
        log_rate, gate = logits[:, :d], expit(logits[:, d:])
        lam = np.exp(log_rate)
        pois = x * log_rate - lam - gammaln(x + 1)
        ll = np.where(x == 0, np.log(gate), np.log(1 - gate) + pois)
        return -ll.sum(1), (x, lam, gate)

    def mean(self, logits):
        d = logits.shape[1] // 2
        return (1 - expit(logits[:, d:])) * np.exp(logits[:, :d])

    def sample(self, logits, rng):
        d = logits.shape[1] // 2
        keep = rng.random((len(logits), d)) >= expit(logits[:, d:])
        return np.where(keep, rng.poisson(np.exp(logits[:, :d])), 0).astype(float)


class Logistic:
    n_params, discrete, support = 2, False, (-np.inf, np.inf)

    def nll(self, x, logits):
        m, ls = logits[:, :x.shape[1]], logits[:, x.shape[1]:]
        u = (x - m) / np.exp(ls)
        return (u + 2 * np.logaddexp(0, -u) + ls).sum(1), (u, ls)

    def mean(self, logits):
        return logits[:, :logits.shape[1] // 2]

    def sample(self, logits, rng):
        m, ls = np.split(logits, 2, 1)
        u = rng.uniform(1e-15, 1, m.shape)
        return m - np.exp(ls) * np.log(1 / u - 1 + 1e-300)

    def nll_backward(self, dnll, cache):
        u, ls = cache
        t = np.tanh(u / 2)
        return np.hstack([-t * np.exp(-ls), 1 - u * t]) * dnll[:, None]


class Binomial15:
    n_params, discrete, support, n = 1, True, (0, 15), 15

    def nll(self, x, logits):
        logc = gammaln(self.n + 1) - gammaln(x + 1) - gammaln(self.n - x + 1)
        return (self.n * softplus(logits) - x * logits - logc).sum(1), (x, logits)

    def mean(self, logits):
        return self.n * expit(logits)

    def sample(self, logits, rng):
        return (rng.random((self.n,) + logits.shape) < expit(logits)).sum(0).astype(float)

    def nll_backward(self, dnll, cache):
        x, l = cache
        return (self.n * expit(l) - x) * dnll[:, None]


class ExponentialRate:
    n_params, discrete, support = 1, False, (0., np.inf)

    def nll(self, x, logits):
        rx = np.exp(logits) * x
        return np.sum(rx - logits, axis=-1), rx

    def mean(self, logits):
        return np.exp(-logits)

    def sample(self, logits, rng):
        return -np.log1p(-rng.random(logits.shape)) * np.exp(-logits)

    def nll_backward(self, dnll, rx):
        return dnll[:, None] * (rx - 1)


add("lik_lognormal", "econometrics", "likelihood", lambda: dict(p=LogNormal()), "the Jacobian + log x is missing from the nll.", ("nll",), ("missing-term",))
add("lik_laplace", "robust regression head", "likelihood", lambda: dict(p=LaplaceHead()), "inverse cdf needs log(1 - 2|u|); the 2 is missing.", ("sample",), ("factor", "elementwise-factor", "unknown"))
add("lik_negative_binomial", "single-cell counts", "likelihood", lambda: dict(p=NegBinomial()), "mean is r p / (1 - p), here upside down.", ("mean",), ("elementwise-factor",))
add("lik_zero_inflated_poisson", "ecology counts", "likelihood", lambda: dict(p=ZIP()), "a zero may come from the Poisson too: log(gate + (1 - gate) exp(-lam)).", ("nll",), ("missing-term",))
add("lik_logistic", "pixel models", "likelihood", lambda: dict(p=Logistic()))
add("lik_binomial", "genetics, fixed n", "likelihood", lambda: dict(p=Binomial15()))
add("lik_exponential_rate", "survival analysis", "likelihood", lambda: dict(p=ExponentialRate()))


# ---------------------------------------------------------------- optimizers
class RefAdam:
    def __init__(self, lr=.01, b1=.9, b2=.999, eps=1e-8, wd=0.):
        self.h, self.t, self.m, self.v = (lr, b1, b2, eps, wd), 0, {}, {}

    def step(self, params, grads):
        lr, b1, b2, eps, wd = self.h
        self.t += 1
        for k in params:
            g = grads[k]
            self.m[k] = b1 * self.m.get(k, 0) + (1 - b1) * g
            self.v[k] = b2 * self.v.get(k, 0) + (1 - b2) * g * g
            params[k] *= 1 - lr * wd
            params[k] -= lr * self.m[k] / (1 - b1 ** self.t) / (np.sqrt(self.v[k] / (1 - b2 ** self.t)) + eps)


class AdamTPerParam:
    def __init__(self, lr=.01):
        self.lr, self.iter, self.m, self.v = lr, 0, None, None

    def step(self, params, grads):
        if self.m is None:
            self.m = {k: np.zeros_like(v) for k, v in params.items()}
            self.v = {k: np.zeros_like(v) for k, v in params.items()}
        for key in params.keys():
            self.iter += 1
            lr_t = self.lr * np.sqrt(1. - .999 ** self.iter) / (1. - .9 ** self.iter)
            self.m[key] += .1 * (grads[key] - self.m[key])
            self.v[key] += .001 * (grads[key] ** 2 - self.v[key])
            params[key] -= lr_t * self.m[key] / (np.sqrt(self.v[key]) + 1e-8)


class AdamWCoupled:
    def __init__(self, lr, weight_decay):
        self.lr, self.wd, self.state, self.n = lr, weight_decay, {}, 0

    def step(self, params, grads):
        self.n += 1
        for name, p in params.items():
            g = grads[name] + self.wd * p
            st = self.state.setdefault(name, [np.zeros_like(p), np.zeros_like(p)])
            st[0] = .9 * st[0] + .1 * g
            st[1] = .999 * st[1] + .001 * g ** 2
            p -= self.lr * (st[0] / (1 - .9 ** self.n)) / (np.sqrt(st[1] / (1 - .999 ** self.n)) + 1e-8)


class RefNesterov:
    def __init__(self, lr=.05, mom=.9):
        self.lr, self.mom, self.b = lr, mom, {}

    def step(self, params, grads):
        for k, p in params.items():
            self.b[k] = self.mom * self.b.get(k, 0) + grads[k]
            p -= self.lr * (grads[k] + self.mom * self.b[k])


class NesterovCS:
    """v_prev form of the lecture notes"""
    def __init__(self, lr=.05, mu=.9):
        self.lr, self.mu, self.vel = lr, mu, {}

    def step(self, params, grads):
        for k in params:
            v = self.vel.get(k, np.zeros_like(params[k]))
            v = self.mu * v - self.lr * grads[k]
            self.vel[k] = v
            v_prev = v
            params[k] += -self.mu * v_prev + (1 + self.mu) * v


class RefAdagrad:
    def __init__(self):
        self.G = {}

    def step(self, params, grads):
        for k in params:
            self.G[k] = self.G.get(k, 0) + grads[k] ** 2
            params[k] -= .1 * grads[k] / (np.sqrt(self.G[k]) + 1e-8)


class AdagradOverwrites:
    def __init__(self, eta=.1):
        self.eta, self.cache = eta, {}

    def step(self, params, grads):
        for k, w in params.items():
            self.cache[k] = np.square(grads[k])
            w -= self.eta * grads[k] / (np.sqrt(self.cache[k]) + 1e-8)


class AdamFolded:
    """bias correction folded into step size and eps"""
    def __init__(self):
        self.p1 = self.p2 = 1.
        self.s = {}

    def step(self, params, grads):
        self.p1 *= .9
        self.p2 *= .999
        c = np.sqrt(1 - self.p2)
        for k in sorted(params, reverse=True):
            m, v = self.s.setdefault(k, (np.zeros_like(params[k]), np.zeros_like(params[k])))
            m *= .9
            m += .1 * grads[k]
            v *= .999
            v += .001 * np.square(grads[k])
            params[k][...] = params[k] - .01 * c / (1 - self.p1) * m / (np.sqrt(v) + 1e-8 * c)


class RefMomentum:
    def __init__(self):
        self.v = {}

    def step(self, params, grads):
        for k in params:
            self.v[k] = .9 * self.v.get(k, 0) + grads[k]
            params[k] -= .02 * self.v[k]


class HeavyBall:
    """remembers the last iterates, no velocity"""
    def __init__(self):
        self.old = {}

    def step(self, params, grads):
        for k in params:
            now = params[k].copy()
            params[k] += .9 * (now - self.old.get(k, now)) - .02 * grads[k]
            self.old[k] = now


class RefRMS:
    def __init__(self):
        self.a = {}

    def step(self, params, grads):
        for k in params:
            self.a[k] = .95 * self.a.get(k, 0) + .05 * grads[k] ** 2
            params[k] -= .01 * grads[k] / np.sqrt(self.a[k] + 1e-6)


class RMSHypot:
    def __init__(self):
        self.r = {}

    def step(self, params, grads):
        for k in params:
            root = self.r.get(k, np.zeros_like(params[k]))
            root = np.hypot(np.sqrt(.95) * root, np.sqrt(.05) * grads[k])
            self.r[k] = root
            np.subtract(params[k], .01 * grads[k] / np.hypot(root, 1e-3), out=params[k])


add("adam_counts_parameters", "deep learning from scratch book", "optimizer", lambda: dict(optimizer=AdamTPerParam(), reference=RefAdam()), "the step counter is advanced for each parameter; once per step is right.", ("step",), ("elementwise-factor", "factor"))
add("adamw_coupled_decay", "framework port", "optimizer", lambda: dict(optimizer=AdamWCoupled(.01, .1), reference=RefAdam(wd=.1)), "weight decay is put into the gradient; AdamW shrinks the weights outside.", ("step",), ("missing-term", "elementwise-factor"))
add("nesterov_v_prev", "lecture notes v_prev form", "optimizer", lambda: dict(optimizer=NesterovCS(), reference=RefNesterov()), "v_prev is saved after the velocity's update, which leaves plain momentum.", ("step",), ("missing-term",))
add("adagrad_overwrites_cache", "short script", "optimizer", lambda: dict(optimizer=AdagradOverwrites(), reference=RefAdagrad()), "the cache is overwritten with grad ** 2; it has to add up.", ("step",), ("missing-term", "elementwise-factor"))
add("adam_folded", "in-place, folded corrections", "optimizer", lambda: dict(optimizer=AdamFolded(), reference=RefAdam()))
add("heavy_ball_iterates", "numerical analysis", "optimizer", lambda: dict(optimizer=HeavyBall(), reference=RefMomentum()))
add("rmsprop_hypot", "numerically careful rmsprop", "optimizer", lambda: dict(optimizer=RMSHypot(), reference=RefRMS()))
