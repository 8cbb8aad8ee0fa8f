"""Exam paper: latent-variable models, samplers, likelihoods, optimizers."""
import itertools
from types import SimpleNamespace
from typing import Callable, NamedTuple

import numpy as np
from scipy import special as sp
from scipy import stats as st


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


def add(name, style, check, make, slip="", wrong=(), causes=()):
    ITEMS.append(Item(name, style, check, make, not slip, slip, wrong, causes))


LOG2PI = np.log(2 * np.pi)

# ============================================================ gradients, wrong


class GaussianDecoderVAE:
    """Research code: real-valued data, one learned observation noise."""

    def __init__(self, D=4, H=3, Z=2, seed=0):
        r = np.random.default_rng(seed)
        n = lambda *s: r.normal(0, 0.5, s)
        self.params = dict(enc_w=n(D, H), enc_b=n(H), mu_w=n(H, Z), lv_w=n(H, Z), dec_w=n(Z, D), dec_b=n(D),
                           obs_logvar=np.array([-0.4]))

    def objective(self, x, eps, beta=1.0):
        p = self.params
        h = np.tanh(x @ p["enc_w"] + p["enc_b"])
        mu, lv = h @ p["mu_w"], h @ p["lv_w"]
        std = np.exp(0.5 * lv)
        z = mu + std * eps
        xhat = z @ p["dec_w"] + p["dec_b"]
        s2 = np.exp(p["obs_logvar"])
        nll = 0.5 * ((x - xhat) ** 2 / s2 + p["obs_logvar"] + LOG2PI).sum(1)
        kl = 0.5 * (mu ** 2 + np.exp(lv) - lv - 1).sum(1)
        return SimpleNamespace(objective=-nll - beta * kl, nll=nll, kl=kl), (x, eps, beta, h, mu, lv, std, z, xhat, s2)

    def backward(self, dobj, cache):
        x, eps, beta, h, mu, lv, std, z, xhat, s2 = cache
        p, g = self.params, {}
        w = dobj[:, None]
        resid = x - xhat
        dxhat = w * resid / s2
        g["obs_logvar"] = np.array([np.sum(w * 0.5 * resid ** 2 / s2)])
        g["dec_w"] = z.T @ dxhat
        g["dec_b"] = dxhat.sum(0)
        dz = dxhat @ p["dec_w"].T
        dmu = dz - w * beta * mu
        dlv = dz * 0.5 * std * eps - w * beta * 0.5 * (np.exp(lv) - 1)
        g["mu_w"], g["lv_w"] = h.T @ dmu, h.T @ dlv
        da = (dmu @ p["mu_w"].T + dlv @ p["lv_w"].T) * (1 - h ** 2)
        g["enc_w"], g["enc_b"] = x.T @ da, da.sum(0)
        return g


def _mk_gauss():
    r = np.random.default_rng(1)
    return {"model": GaussianDecoderVAE(), "x": r.normal(size=(5, 4)), "eps": r.normal(size=(5, 2))}


add("gaussian_decoder_learned_noise", "research code, dict of parameters", "gradients", _mk_gauss,
    "The gradient of obs_logvar has only the residual's part; the normaliser's -D/2 per row is missing: subtract 0.5 for each pixel.",
    ("obs_logvar",), ("missing-term",))


class Affine:
    def __init__(self, i, o, rng):
        self.W = rng.standard_normal((i, o)) / np.sqrt(i)
        self.b = rng.standard_normal(o) * 0.1

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, dy):
        self.dW = self.x.T @ dy
        self.db = dy.sum(axis=0)
        return dy @ self.W.T


class ReLU:
    def forward(self, x):
        self.mask = x > 0
        return x * self.mask

    def backward(self, dy):
        return dy * self.mask


class LayeredVAE:
    """Course assignment: layers that remember."""

    def __init__(self):
        rng = np.random.default_rng(11)
        self.enc, self.act = Affine(5, 4, rng), ReLU()
        self.head_mu, self.head_lv = Affine(4, 2, rng), Affine(4, 2, rng)
        self.dec = Affine(2, 5, rng)
        self.layers = dict(enc=self.enc, head_mu=self.head_mu, head_lv=self.head_lv, dec=self.dec)
        self.params = {}
        for k, l in self.layers.items():
            self.params[k + ".W"], self.params[k + ".b"] = l.W, l.b

    def objective(self, x, eps, beta=1.0):
        h = self.act.forward(self.enc.forward(x))
        mu, logvar = self.head_mu.forward(h), self.head_lv.forward(h)
        sigma = np.exp(logvar / 2)
        logits = self.dec.forward(mu + sigma * eps)
        nll = (np.logaddexp(0, logits) - x * logits).sum(1)
        kl = -0.5 * (1 + logvar - mu ** 2 - np.exp(logvar)).sum(1)
        return SimpleNamespace(objective=-nll - beta * kl, nll=nll, kl=kl), dict(
            x=x, eps=eps, mu=mu, logvar=logvar, sigma=sigma, logits=logits, beta=beta)

    def backward(self, dobjective, c):
        up = -dobjective[:, None]
        dlogits = up * (sp.expit(c["logits"]) - c["x"])
        dz = self.dec.backward(dlogits)
        dkl_dmu = c["mu"]
        dkl_dlogvar = np.exp(c["logvar"]) - 1
        dmu = dz + up * c["beta"] * dkl_dmu
        dlogvar = dz * c["eps"] * c["sigma"] / 2 + up * c["beta"] * dkl_dlogvar
        dh = self.head_mu.backward(dmu) + self.head_lv.backward(dlogvar)
        self.enc.backward(self.act.backward(dh))
        out = {}
        for k, l in self.layers.items():
            out[k + ".W"], out[k + ".b"] = l.dW, l.db
        return out


def _mk_layered():
    r = np.random.default_rng(3)
    return {"model": LayeredVAE(), "x": (r.random((6, 5)) < .5).astype(float), "eps": r.normal(size=(6, 2))}


add("layer_class_vae_kl_half", "course assignment, layer classes with state", "gradients", _mk_layered,
    "The KL's slope in logvar is 0.5 (exp(logvar) - 1); the 0.5 is missing.",
    ("enc.W", "enc.b", "head_lv.W", "head_lv.b"), ("factor", "missing-term", "elementwise-factor"))


class FreeBitsVAE:
    """Notebook: free bits per latent dimension and example."""
    lam = 0.35

    def __init__(self):
        rs = np.random.RandomState(5)
        self.params = {"Wm": rs.randn(4, 3) * .6, "bm": rs.randn(3) * .3, "Ws": rs.randn(4, 3) * .5,
                       "bs": rs.randn(3) * .3, "Wd": rs.randn(3, 4), "bd": rs.randn(4) * .1}

    def objective(self, x, eps, beta=1.0):
        P = self.params
        mu = x.dot(P["Wm"]) + P["bm"]
        ls = x.dot(P["Ws"]) + P["bs"]          # log sigma
        z = mu + np.exp(ls) * eps
        a = z.dot(P["Wd"]) + P["bd"]
        nll = np.sum(np.logaddexp(0, a) - x * a, axis=1)
        kl_dim = 0.5 * (mu ** 2 + np.exp(2 * ls) - 1) - ls
        kl = np.maximum(kl_dim, self.lam).sum(1)
        return SimpleNamespace(objective=-nll - beta * kl, nll=nll, kl=kl), (x, eps, beta, mu, ls, z, a, kl_dim)

    def backward(self, dobjective, cache):
        x, eps, beta, mu, ls, z, a, kl_dim = cache
        P = self.params
        w = np.reshape(dobjective, (-1, 1))
        da = w * (x - 1 / (1 + np.exp(-a)))
        dz = da.dot(P["Wd"].T)
        dmu = dz - w * beta * mu
        dls = dz * eps * np.exp(ls) - w * beta * (np.exp(2 * ls) - 1)
        return {"Wm": x.T.dot(dmu), "bm": dmu.sum(0), "Ws": x.T.dot(dls), "bs": dls.sum(0),
                "Wd": z.T.dot(da), "bd": da.sum(0)}


def _mk_fb():
    r = np.random.RandomState(8)
    return {"model": FreeBitsVAE(), "x": (r.rand(5, 4) < .6) * 1.0, "eps": r.randn(5, 3)}


add("free_bits_vae", "notebook", "gradients", _mk_fb,
    "Where kl_dim lies under the free bits the KL is constant; the mask (kl_dim > lam) is missing in dmu's and dls's KL parts.",
    ("Wm", "bm", "Ws", "bs"), ("elementwise-factor", "missing-term"))


class FactorAnalysis:
    """Statistics: marginal likelihood of factor analysis, C = L L' + diag(psi)."""

    def __init__(self):
        g = np.random.default_rng(21)
        self.params = {"mean": g.normal(size=4), "loadings": g.normal(size=(4, 2)), "log_psi": g.normal(size=4) * .3}

    def objective(self, x, eps=None, beta=1.0):
        th = self.params
        C = th["loadings"] @ th["loadings"].T + np.diag(np.exp(th["log_psi"]))
        Ci = np.linalg.inv(C)
        d = x - th["mean"]
        quad = np.einsum("ni,ij,nj->n", d, Ci, d)
        ll = -0.5 * (quad + np.linalg.slogdet(C)[1] + d.shape[1] * LOG2PI)
        return SimpleNamespace(objective=ll), (d, Ci)

    def backward(self, dobjective, cache):
        d, Ci = cache
        th = self.params
        n = len(d)
        S = (d * dobjective[:, None]).T @ d
        G = 0.5 * (Ci @ S @ Ci - n * Ci)           # d objective / d C
        return {"mean": Ci @ (d.T @ dobjective), "loadings": 2 * G @ th["loadings"],
                "log_psi": np.diag(G) * np.exp(th["log_psi"])}


add("factor_analysis_marginal", "statistics, closed-form likelihood", "gradients",
    lambda: {"model": FactorAnalysis(), "x": np.random.default_rng(22).normal(size=(6, 4))},
    "The log-determinant's part is counted once a row (n) and not with the rows' upstream weights: n should be dobjective.sum().",
    ("loadings", "log_psi"), ("batch-sum", "missing-term", "elementwise-factor"))


class GMM:
    """Pattern-recognition homework: responsibilities as gradients."""

    def __init__(self):
        g = np.random.default_rng(31)
        self.params = {"alpha": g.normal(size=3), "means": g.normal(size=(3, 2)), "log_sd": g.normal(size=(3, 2)) * .3}

    def objective(self, x, eps=None, beta=1.0):
        p = self.params
        diff = x[:, None, :] - p["means"][None]
        u = diff / np.exp(p["log_sd"])
        comp = -0.5 * (u ** 2).sum(-1) - p["log_sd"].sum(-1) - LOG2PI
        log_pi = p["alpha"] - sp.logsumexp(p["alpha"])
        joint = comp + log_pi
        ll = sp.logsumexp(joint, axis=1)
        resp = np.exp(joint - ll[:, None])
        return SimpleNamespace(objective=ll), {"u": u, "resp": resp, "log_pi": log_pi}

    def backward(self, dobjective, cache):
        p = self.params
        r = cache["resp"] * dobjective[:, None]
        u = cache["u"]
        Nk = r.sum(0)
        return {"alpha": Nk,
                "means": (r[..., None] * u).sum(0) / np.exp(p["log_sd"]),
                "log_sd": (r[..., None] * (u ** 2 - 1)).sum(0)}


add("gmm_responsibility_gradient", "pattern-recognition homework", "gradients",
    lambda: {"model": GMM(), "x": np.random.default_rng(32).normal(size=(5, 2))},
    "alpha goes through a softmax: its gradient is Nk - pi * sum(Nk); the normaliser's part is missing.",
    ("alpha",), ("missing-term",))


class CVAE:
    """Conditional VAE with a learned prior p(z|c); last two columns of x are the class."""

    def __init__(self):
        g = np.random.default_rng(41)
        n = lambda *s: g.normal(size=s) * .6
        self.params = {"Q_mu": n(6, 2), "Q_lv": n(6, 2), "P_mu": n(2, 2), "P_lv": n(2, 2), "V": n(4, 4), "c": n(4)}

    def objective(self, x, eps, beta=1.0):
        th = self.params
        y, lab = x[:, :4], x[:, 4:]
        qm, ql = x @ th["Q_mu"], x @ th["Q_lv"]
        pm, pl = lab @ th["P_mu"], lab @ th["P_lv"]
        s = np.exp(.5 * ql)
        zc = np.hstack([qm + s * eps, lab])
        lg = zc @ th["V"] + th["c"]
        nll = (np.logaddexp(0, lg) - y * lg).sum(-1)
        kl = .5 * (pl - ql + (np.exp(ql) + (qm - pm) ** 2) * np.exp(-pl) - 1).sum(-1)
        return SimpleNamespace(objective=-nll - beta * kl, nll=nll, kl=kl), (x, y, lab, qm, ql, pm, pl, s, zc, lg, eps, beta)

    def backward(self, dobjective, cache):
        x, y, lab, qm, ql, pm, pl, s, zc, lg, eps, beta = cache
        th = self.params
        w = dobjective[:, None]
        dlg = w * (y - sp.expit(lg))
        dz = (dlg @ th["V"].T)[:, :2]
        k = -beta * w
        dqm = dz + k * (qm - pm) * np.exp(-pl)
        dql = dz * .5 * s * eps + k * .5 * (np.exp(ql - pl) - 1)
        dpm = -k * (qm - pm)
        dpl = k * .5 * (1 - (np.exp(ql) + (qm - pm) ** 2) * np.exp(-pl))
        return dict(Q_mu=x.T @ dqm, Q_lv=x.T @ dql, P_mu=lab.T @ dpm, P_lv=lab.T @ dpl, V=zc.T @ dlg, c=dlg.sum(0))


def _mk_cvae():
    g = np.random.default_rng(42)
    lab = np.eye(2)[[0, 1, 1, 0, 1]]
    return {"model": CVAE(), "x": np.hstack([(g.random((5, 4)) < .5) * 1., lab]), "eps": g.normal(size=(5, 2))}


add("conditional_vae_learned_prior", "research code, conditional model", "gradients", _mk_cvae,
    "The prior mean's slope lacks the division by the prior's variance: dpm = -k (qm - pm) exp(-pl).",
    ("P_mu",), ("elementwise-factor",))


class IWAE:
    """Importance weighted autoencoder, K samples in front."""

    def __init__(self):
        g = np.random.default_rng(51)
        self.params = {"W": g.normal(size=(4, 4)) * .7, "b": g.normal(size=4) * .3, "V": g.normal(size=(2, 4)), "c": g.normal(size=4)}

    def objective(self, x, eps, beta=1.0):
        P = self.params
        mu, lv = np.split(x @ P["W"] + P["b"], 2, axis=1)
        sd = np.exp(lv / 2)
        z = mu + sd * eps                                   # K, B, Z
        a = z @ P["V"] + P["c"]
        log_px = (x * a - np.logaddexp(0, a)).sum(-1)
        log_w = log_px + beta * 0.5 * (eps ** 2 + lv - z ** 2).sum(-1)
        bound = sp.logsumexp(log_w, axis=0) - np.log(len(eps))
        return SimpleNamespace(objective=bound), (x, eps, beta, sd, z, a, log_w)

    def backward(self, dobjective, cache):
        x, eps, beta, sd, z, a, log_w = cache
        P = self.params
        wt = sp.softmax(log_w, axis=1) * dobjective
        wt = wt[..., None]
        da = wt * (x - sp.expit(a))
        dz = da @ P["V"].T - beta * wt * z
        dmu = dz.sum(0)
        dlv = (dz * 0.5 * sd * eps + 0.5 * beta * wt).sum(0)
        d = np.concatenate([dmu, dlv], axis=1)
        return {"W": x.T @ d, "b": d.sum(0), "V": np.einsum("kbz,kbd->zd", z, da), "c": da.sum((0, 1))}


def _mk_iwae():
    g = np.random.default_rng(52)
    return {"model": IWAE(), "x": (g.random((4, 4)) < .5) * 1., "eps": g.normal(size=(3, 4, 2))}


add("iwae_weights_axis", "research code, importance weighted bound", "gradients", _mk_iwae,
    "The importance weights are a softmax over the samples (axis 0), here they are normalised over the batch (axis 1).",
    ("W", "b", "V", "c"), ("shape", "elementwise-factor", "batch-sum"))


class TiedPoissonVAE:
    """Topic-like model for counts with tied weights."""

    def __init__(self):
        rng = np.random.default_rng(61)
        self.params = {"W": rng.normal(size=(5, 2)) * .3, "U": rng.normal(size=(5, 2)) * .2, "lv0": np.full(2, -.5), "bias": rng.normal(size=5) * .2}

    def encode(self, counts):
        x = np.log1p(counts)
        return x @ self.params["W"], x @ self.params["U"] + self.params["lv0"], x

    def objective(self, counts, eps, beta=1.0):
        mu, lv, x = self.encode(counts)
        z = mu + np.exp(lv / 2) * eps
        log_rate = z @ self.params["W"].T + self.params["bias"]
        rate = np.exp(log_rate)
        nll = np.sum(rate - counts * log_rate + sp.gammaln(counts + 1), axis=1)
        kl = .5 * np.sum(mu * mu + np.exp(lv) - 1 - lv, axis=1)
        return SimpleNamespace(objective=-nll - beta * kl, nll=nll, kl=kl), (counts, x, mu, lv, z, rate, eps, beta)

    def backward(self, dobjective, cache):
        counts, x, mu, lv, z, rate, eps, beta = cache
        u = dobjective[:, None]
        dlr = u * (counts - rate)
        dz = dlr @ self.params["W"]
        dmu = dz - beta * u * mu
        dlv = .5 * (dz * eps * np.exp(lv / 2) - beta * u * (np.exp(lv) - 1))
        grads = {}
        grads["bias"] = dlr.sum(0)
        grads["W"] = dlr.T @ z
        grads["U"] = x.T @ dlv
        grads["lv0"] = dlv.sum(0)
        grads["W"] = x.T @ dmu
        return grads


def _mk_tied():
    rng = np.random.default_rng(62)
    return {"model": TiedPoissonVAE(), "x": rng.poisson(2., (5, 5)).astype(float), "eps": rng.normal(size=(5, 2))}


add("tied_poisson_vae", "NLP / topic model, dict of gradients", "gradients", _mk_tied,
    "W is used twice; the encoder's gradient overwrites the decoder's (= instead of +=).", ("W",), ("missing-term",))


class HMM:
    """Bioinformatics: HMM with expected counts, sequences of symbols."""

    def __init__(self):
        r = np.random.default_rng(71)
        self.params = {"init": r.normal(size=3), "trans": r.normal(size=(3, 3)), "emit": r.normal(size=(3, 4))}

    def objective(self, x, eps=None, beta=1.0):
        seqs = np.asarray(x).astype(int)
        lpi = sp.log_softmax(self.params["init"])
        lA = sp.log_softmax(self.params["trans"], axis=1)
        lE = sp.log_softmax(self.params["emit"], axis=1)
        B, T = seqs.shape
        em = lE.T[seqs]                                   # B, T, S
        la = np.zeros((B, T, 3))
        la[:, 0] = lpi + em[:, 0]
        for t in range(1, T):
            la[:, t] = sp.logsumexp(la[:, t - 1, :, None] + lA, axis=1) + em[:, t]
        ll = sp.logsumexp(la[:, -1], axis=1)
        return SimpleNamespace(objective=ll), (seqs, lpi, lA, lE, em, la, ll)

    def backward(self, dobjective, cache):
        seqs, lpi, lA, lE, em, la, ll = cache
        B, T, S = la.shape
        lb = np.zeros_like(la)
        for t in range(T - 2, -1, -1):
            lb[:, t] = sp.logsumexp(lA + (em[:, t + 1] + lb[:, t + 1])[:, None, :], axis=2)
        gamma = np.exp(la + lb - ll[:, None, None]) * dobjective[:, None, None]
        xi = np.zeros((S, S))
        for t in range(T - 1):
            e = la[:, t, :, None] + lA + (em[:, t + 1] + lb[:, t + 1])[:, None, :] - ll[:, None, None]
            xi += np.einsum("b,bij->ij", dobjective, np.exp(e))
        visits = gamma.sum((0, 1))
        counts = np.zeros((S, lE.shape[1]))
        for t in range(T):
            np.add.at(counts.T, seqs[:, t], gamma[:, t])
        return {"init": gamma[:, 0].sum(0) - dobjective.sum() * np.exp(lpi),
                "trans": xi - visits[:, None] * np.exp(lA),
                "emit": counts - visits[:, None] * np.exp(lE)}


add("hmm_expected_counts", "bioinformatics, forward-backward", "gradients",
    lambda: {"model": HMM(), "x": np.random.default_rng(72).integers(0, 4, (4, 4)).astype(float)},
    "From the last step no transition leaves: the visits in trans must be summed over t < T-1 only (= xi.sum(1)).",
    ("trans",), ("missing-term", "elementwise-factor"))

# ============================================================ gradients, right


class ClippedVAE:
    """Port of a framework model: logvar = clip(., -1, 1), chunked heads."""

    def __init__(self):
        g = np.random.default_rng(81)
        self.params = {"fc1.weight": g.normal(size=(4, 5)) * .6, "fc1.bias": g.normal(size=4) * .3,
                       "fc2.weight": g.normal(size=(4, 4)) * 1.2, "fc2.bias": g.normal(size=4) * .5,
                       "out.weight": g.normal(size=(5, 2)), "out.bias": g.normal(size=5)}

    def objective(self, x, eps, beta=1.0):
        p = self.params
        pre = x @ p["fc1.weight"].T + p["fc1.bias"]
        sg = sp.expit(pre)
        h = pre * sg                                       # SiLU
        mu, raw = np.split(h @ p["fc2.weight"].T + p["fc2.bias"], 2, axis=-1)
        lv = raw.clip(-1, 1)
        z = mu + np.exp(lv / 2) * eps
        o = z @ p["out.weight"].T + p["out.bias"]
        nll = -(x * -np.logaddexp(0, -o) + (1 - x) * -np.logaddexp(0, o)).sum(-1)
        kl = -.5 * (1 + lv - mu ** 2 - np.exp(lv)).sum(-1)
        return SimpleNamespace(objective=-(nll + beta * kl), nll=nll, kl=kl), locals()

    def backward(self, dobjective, c):
        p = self.params
        g = -dobjective[:, None]
        do = sp.expit(c["o"])
        do -= c["x"]
        do *= g
        dz = do @ p["out.weight"]
        dmu = dz + g * c["beta"] * c["mu"]
        dlv = .5 * (c["z"] - c["mu"]) * dz + .5 * g * c["beta"] * np.expm1(c["lv"])
        dlv[np.abs(c["raw"]) > 1] = 0.
        d2 = np.concatenate((dmu, dlv), -1)
        dpre = d2 @ p["fc2.weight"]
        dpre *= c["sg"] + c["h"] * (1 - c["sg"])
        return {"out.bias": do.sum(0), "out.weight": do.T @ c["z"], "fc2.bias": d2.sum(0), "fc2.weight": d2.T @ c["h"],
                "fc1.bias": dpre.sum(0), "fc1.weight": dpre.T @ c["x"]}


def _mk_clipped():
    g = np.random.default_rng(82)
    return {"model": ClippedVAE(), "x": (g.random((6, 5)) < .5) * 1., "eps": g.normal(size=(6, 2))}


add("clipped_logvar_silu_vae", "port of a framework model", "gradients", _mk_clipped)


class PlanarFlowVAE:
    """One planar flow step on the posterior."""

    def __init__(self):
        g = np.random.default_rng(91)
        self.params = {"M": g.normal(size=(4, 2)) * .5, "L": g.normal(size=(4, 2)) * .3, "u": np.array([.8, -.3]),
                       "w": np.array([.7, .4]), "b": np.array(.2), "V": g.normal(size=(2, 4))}

    def objective(self, x, eps, beta=1.0):
        q = self.params
        m, l = x @ q["M"], x @ q["L"]
        s = np.exp(l / 2)
        z0 = m + s * eps
        t = np.tanh(z0 @ q["w"] + q["b"])
        uw = q["u"] @ q["w"]
        det = 1 + (1 - t * t) * uw
        z1 = z0 + np.outer(t, q["u"])
        o = z1 @ q["V"]
        nll = (np.logaddexp(0, o) - x * o).sum(1)
        kl = .5 * (z1 ** 2 - eps ** 2 - l).sum(1) - np.log(np.abs(det))
        return SimpleNamespace(objective=-nll - beta * kl, nll=nll, kl=kl), (x, eps, beta, s, z0, t, uw, det, z1, o)

    def backward(self, r, cache):
        x, eps, beta, s, z0, t, uw, det, z1, o = cache
        q = self.params
        do = r[:, None] * (x - sp.expit(o))
        dz1 = do @ q["V"].T - beta * r[:, None] * z1
        tp = 1 - t * t
        dld = beta * r
        da = tp * (dz1 @ q["u"]) - dld * 2 * t * tp * uw / det
        k = np.dot(dld, tp / det)
        dz0 = dz1 + np.multiply.outer(da, q["w"])
        dl = .5 * (dz0 * s * eps + beta * r[:, None])
        return {"V": z1.T @ do, "u": t @ dz1 + k * q["w"], "w": da @ z0 + k * q["u"], "b": np.array(da.sum()),
                "M": x.T @ dz0, "L": x.T @ dl}


def _mk_planar():
    g = np.random.default_rng(92)
    return {"model": PlanarFlowVAE(), "x": (g.random((5, 4)) < .5) * 1., "eps": g.normal(size=(5, 2))}


add("planar_flow_vae", "normalizing-flow research code", "gradients", _mk_planar)


class RBM:
    """Physics: restricted Boltzmann machine with exact partition function."""

    def __init__(self):
        g = np.random.default_rng(101)
        self.params = {"J": g.normal(size=(4, 3)), "h_vis": g.normal(size=4), "h_hid": g.normal(size=3)}
        self.states = np.array(list(itertools.product([0., 1.], repeat=4)))

    def _minusF(self, v):
        f = v @ self.params["J"] + self.params["h_hid"]
        return v @ self.params["h_vis"] + np.logaddexp(0, f).sum(-1), sp.expit(f)

    def objective(self, x, eps=None, beta=1.0):
        pos, hp = self._minusF(x)
        neg, hn = self._minusF(self.states)
        lz = sp.logsumexp(neg)
        return SimpleNamespace(objective=pos - lz), (x, hp, hn, np.exp(neg - lz))

    def backward(self, dobjective, cache):
        x, hp, hn, boltz = cache
        v = np.vstack((x, self.states))
        h = np.vstack((hp, hn))
        wt = np.append(dobjective, -dobjective.sum() * boltz)
        return {"J": (v * wt[:, None]).T @ h, "h_vis": wt @ v, "h_hid": wt @ h}


add("rbm_exact_partition", "physics", "gradients",
    lambda: {"model": RBM(), "x": (np.random.default_rng(102).random((5, 4)) < .5) * 1.})


class BernoulliMixture:
    """Mixture of Bernoullis with a 0-d inverse temperature and stick-breaking weights."""

    def __init__(self):
        g = np.random.default_rng(111)
        self.params = {"stick": g.normal(size=2), "theta": g.normal(size=(3, 4)), "log_temp": np.array(.3)}

    def objective(self, x, eps=None, beta=1.0):
        v = self.params["stick"]
        ls, lns = -np.logaddexp(0, -v), -np.logaddexp(0, v)
        lpi = np.append(ls, 0.) + np.append(0., np.cumsum(lns))
        it = np.exp(-self.params["log_temp"])
        a = self.params["theta"] * it
        joint = lpi + x @ a.T - np.logaddexp(0, a).sum(1)
        top = joint.max(1, keepdims=True)
        e = np.exp(joint - top)
        return SimpleNamespace(objective=np.log(e.sum(1)) + top[:, 0]), (x, v, it, a, e / e.sum(1, keepdims=True))

    def backward(self, dobjective, cache):
        x, v, it, a, r = cache
        r = r * dobjective[:, None]
        n = r.sum(0)
        da = r.T @ x - n[:, None] * sp.expit(a)
        later = n[::-1].cumsum()[::-1][1:]
        p = sp.expit(v)
        return {"stick": n[:-1] * (1 - p) - later * p, "theta": da * it, "log_temp": np.asarray(-(da * a).sum())}


add("bernoulli_mixture_stick_breaking", "Bayesian nonparametrics", "gradients",
    lambda: {"model": BernoulliMixture(), "x": (np.random.default_rng(112).random((6, 4)) < .5) * 1.})


class FeatureFirstVAE:
    """Lecture code: columns are examples; sigma = softplus(s); buffers are re-used."""

    def __init__(self):
        g = np.random.default_rng(121)
        self.params = {"W1": g.normal(size=(3, 4)), "b1": np.zeros((3, 1)), "Wm": g.normal(size=(2, 3)), "Ws": g.normal(size=(2, 3)),
                       "W2": g.normal(size=(4, 2)), "b2": g.normal(size=(4, 1))}

    def objective(self, x, eps, beta=1.0):
        p = self.params
        X, E = x.T, eps.T
        A = np.where((Z1 := p["W1"] @ X + p["b1"]) > 0, Z1, .1 * Z1)
        M, S = p["Wm"] @ A, p["Ws"] @ A
        sig = np.logaddexp(0, S) + 1e-4
        Zl = M + sig * E
        O = p["W2"] @ Zl + p["b2"]
        nll = (np.logaddexp(0, O) - X * O).sum(0)
        kl = (.5 * (sig ** 2 + M ** 2 - 1) - np.log(sig)).sum(0)
        return SimpleNamespace(objective=-nll - beta * kl, nll=nll, kl=kl), (X, E, Z1, A, M, S, sig, Zl, O, beta)

    def backward(self, dobjective, cache):
        X, E, Z1, A, M, S, sig, Zl, O, beta = cache
        p = self.params
        buf = X - sp.expit(O)
        buf *= dobjective
        g = {"W2": buf @ Zl.T, "b2": buf.sum(1, keepdims=True)}
        dM = p["W2"].T @ buf
        dS = dM * E
        dS -= beta * dobjective * (sig - 1 / sig)
        dS *= sp.expit(S)
        dM -= beta * dobjective * M
        g["Wm"], g["Ws"] = dM @ A.T, dS @ A.T
        dA = p["Wm"].T @ dM
        dA += p["Ws"].T @ dS
        dA[Z1 <= 0] *= .1
        g["W1"], g["b1"] = dA @ X.T, dA.sum(1, keepdims=True)
        return g


def _mk_ff():
    g = np.random.default_rng(122)
    return {"model": FeatureFirstVAE(), "x": (g.random((6, 4)) < .5) * 1., "eps": g.normal(size=(6, 2))}


add("features_first_softplus_vae", "features-first lecture code", "gradients", _mk_ff)

# ============================================================ evidence


class _Small:
    """Weights for the small VAEs below."""
    Z = 2

    def __init__(self, seed, Z=2, D=5, H=4):
        g = np.random.default_rng(seed)
        self.Z = Z
        self.params = {"W": g.normal(size=(D, H)), "Wm": g.normal(size=(H, Z)) * .8, "Wv": g.normal(size=(H, Z)) * .6,
                       "bv": np.full(Z, -.4), "V": g.normal(size=(Z, D)) * 1.3, "c": g.normal(size=D) * .5}

    def encode(self, x):
        h = np.tanh((x - .5) @ self.params["W"])
        return h @ self.params["Wm"], h @ self.params["Wv"] + self.params["bv"], (x, h)

    def decode(self, z):
        return z @ self.params["V"] + self.params["c"]


class _SmallTwo(_Small):
    def encode(self, x):
        return super().encode(x)[:2]


_ROWS = np.array([[0, 1, 1, 0, 1], [1, 1, 0, 0, 0], [0, 0, 1, 1, 1], [1, 0, 0, 1, 0], [1, 1, 1, 1, 0.]])


def _ns(nll, kl):
    e = -nll - kl
    return SimpleNamespace(objective=e, elbo=e, nll=nll, kl=kl)


class MeanKL(_Small):
    def objective(self, x, eps, beta=1.0):
        mu, logvar, _ = self.encode(x)
        z = mu + np.exp(0.5 * logvar) * eps
        l = self.decode(z)
        nll = np.sum(np.logaddexp(0, l) - x * l, axis=1)
        kl = np.mean(-0.5 * (1 + logvar - mu ** 2 - np.exp(logvar)), axis=1)
        return _ns(nll, kl), None


class MeanPixels(_Small):
    """binary_cross_entropy with the default reduction along the pixels"""
    @staticmethod
    def bce(l, x):
        return (np.maximum(l, 0) - l * x + np.log1p(np.exp(-np.abs(l)))).mean(-1)

    def objective(self, x, eps, beta=1.0):
        m, lv, cache = self.encode(x)
        rec = self.bce(self.decode(m + eps * np.sqrt(np.exp(lv))), x)
        kl = .5 * (np.square(m) + np.exp(lv) - 1. - lv).sum(-1)
        return _ns(rec, kl), cache


class KLSigma(_Small):
    def objective(self, x, eps, beta=1.0):
        mu, logvar, _ = self.encode(x)
        sigma = np.exp(logvar / 2)
        logits = self.decode(mu + sigma * eps)
        p = sp.expit(logits)
        nll = -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum(axis=1)
        kl = 0.5 * (mu ** 2 + sigma - 1 - 2 * np.log(sigma)).sum(axis=1)
        return _ns(nll, kl), (mu, logvar)


class VarAsStd(_SmallTwo):
    def reparam(self, mu, logvar, eps):
        return mu + np.exp(logvar) * eps

    def objective(self, x, eps, beta=1.0):
        mu, logvar = self.encode(x)
        lg = self.decode(self.reparam(mu, logvar, eps))
        nll = -np.sum(np.where(x > .5, -np.logaddexp(0, -lg), -np.logaddexp(0, lg)), -1)
        kl = -0.5 * np.sum(1 + logvar - mu * mu - np.exp(logvar), -1)
        return _ns(nll, kl), ()


class KSumNotMean(_Small):
    K = 5

    def draw_eps(self, B, rng):
        return rng.standard_normal((self.K, B, self.Z))

    def objective(self, x, eps, beta=1.0):
        mu, lv, _ = self.encode(x)
        z = mu[None] + np.exp(lv / 2)[None] * eps
        l = self.decode(z)
        lw = (x * l - np.logaddexp(0, l)).sum(-1) + .5 * (eps ** 2 + lv - z ** 2).sum(-1)
        m = lw.max(0)
        elbo = m + np.log(np.exp(lw - m).sum(0))
        return SimpleNamespace(objective=elbo, elbo=elbo), lw


class KNoLogDet(_SmallTwo):
    def draw_eps(self, B, rng):
        return rng.normal(size=(8, B, self.Z))

    @staticmethod
    def log_normal(v, m=0., logvar=0.):
        return (-.5 * np.log(2 * np.pi) - .5 * (v - m) ** 2 / np.exp(logvar)).sum(-1)

    def objective(self, x, eps, beta=1.0):
        mu, lv = self.encode(x)
        z = mu + np.exp(.5 * lv) * eps
        logits = self.decode(z)
        log_px = -(np.logaddexp(0, logits) - x * logits).sum(-1)
        log_w = log_px + self.log_normal(z) - self.log_normal(z, mu, lv)
        elbo = sp.logsumexp(log_w, axis=0) - np.log(log_w.shape[0])
        return SimpleNamespace(objective=elbo, elbo=elbo), None


class MonteCarloKL(_Small):
    def objective(self, x, eps, beta=1.0):
        mu, lv, c = self.encode(x)
        z = mu + np.exp(.5 * lv) * eps
        l = self.decode(z)
        elbo = st.norm.logpdf(z).sum(1) - st.norm.logpdf(z, mu, np.exp(.5 * lv)).sum(1) + (x * l - np.logaddexp(0, l)).sum(1)
        return SimpleNamespace(objective=elbo, elbo=elbo), c


class KGood(_SmallTwo):
    def draw_eps(self, B, rng):
        return rng.normal(size=(6, B, self.Z))

    def objective(self, x, eps, beta=1.0):
        mu, lv = self.encode(x)
        acc = np.full(len(x), -np.inf)
        for e in eps:                                      # streaming log-mean-exp
            z = mu - np.exp(.5 * lv) * e
            l = self.decode(z)
            sign = 2 * x - 1
            lw = -np.logaddexp(0, -sign * l).sum(1) - .5 * (z * z).sum(1) + .5 * (e * e + lv).sum(1)
            acc = np.logaddexp(acc, lw)
        elbo = acc - np.log(len(eps))
        return SimpleNamespace(objective=elbo, elbo=elbo), None


class Antithetic(_Small):
    def objective(self, x, eps, beta=1.0):
        mu, lv, _ = self.encode(x)
        nll = 0.
        for s in (+1, -1):
            l = self.decode(mu + s * np.exp(.5 * lv) * eps)
            nll = nll + .5 * (np.logaddexp(0, l) - x * l).sum(1)
        kl = .5 * (mu ** 2 + np.expm1(lv) - lv).sum(1)
        return _ns(nll, kl), None


def _ev(cls, seed, Z=2):
    return lambda: {"model": cls(seed, Z), "x": _ROWS.copy()}


add("kl_mean_over_latents", "tutorial code with reductions", "evidence", _ev(MeanKL, 201),
    "The KL is a sum over the latents, here it is a mean: sum it.", ("kl", "elbo"), ("factor", "shape"))
add("bce_mean_over_pixels", "port of a framework loss", "evidence", _ev(MeanPixels, 202),
    "The nll is averaged over the pixels and must be summed.", ("nll", "elbo"), ("factor", "shape"))
add("kl_sigma_for_variance", "blog post", "evidence", _ev(KLSigma, 203),
    "In the KL sigma stands where sigma squared belongs.", ("kl", "elbo"), ("elementwise-factor", "missing-term"))
add("evidence_variance_as_std", "class with helper methods", "evidence", _ev(VarAsStd, 204, 1),
    "The noise is scaled by exp(logvar), the variance; the std exp(logvar / 2) belongs there.", ("z", "nll", "elbo"), ("elementwise-factor",))
add("k_sample_sum_for_mean", "research code, hand-written log-sum-exp", "evidence", _ev(KSumNotMean, 205),
    "The bound is the log of the mean of the weights; log K is not subtracted.", ("elbo",), ("missing-term",))
add("k_sample_density_no_logdet", "research code, log-density helper", "evidence", _ev(KNoLogDet, 206),
    "log_normal leaves out -0.5 logvar, so log q(z|x) is not normalised.", ("elbo",), ("missing-term",))
add("monte_carlo_kl", "statistics with scipy densities", "evidence", _ev(MonteCarloKL, 207))
add("k_sample_streaming", "streaming log-mean-exp loop", "evidence", _ev(KGood, 208, 1))
add("antithetic_elbo", "variance-reduction code", "evidence", _ev(Antithetic, 209))

# ============================================================ samplers

_MU = np.array([[.5, -1., 2.], [0., .3, -.7], [1.5, -2., .1], [-.4, .8, 1.1]])
_LV = np.array([[-1., .6, 1.2], [.4, -2., -.5], [1.0, -1.3, .8], [-.7, 1.4, -1.8]])
_LVW = np.array([[-3., .6, 2.8], [.4, -4., -.5], [1.0, -1.3, 3.2], [-.7, 1.4, -1.8]])


def _smp(f, lv=_LV):
    return lambda: {"sampler": f, "mu": _MU.copy(), "logvar": lv.copy()}


def reparameterize_var(mu, logvar, eps):
    var = np.exp(logvar)
    return mu + var * eps


def sample_shared_over_latents(mu, logvar, eps):
    scale = np.exp(logvar * 0.5)
    noise = eps[:, 0].reshape(-1, 1)
    return mu + scale * noise, (scale, noise)


def sample_stabilised(mu, logvar, eps):
    log_std = np.clip(0.5 * logvar, -1.0, 1.0)   # for stability
    return mu + np.exp(log_std) * eps


def sample_truncated(mean, log_var, eps):
    """noise clipped as in exploration noise of TD3"""
    noise = np.clip(eps, -1.5, 1.5)
    return mean + noise * np.exp(log_var / 2)


class GaussianPolicy:
    def __call__(self, mu, logvar, eps):
        std = np.log1p(np.exp(logvar))
        action = mu + std * eps
        return action, {"std": std}


def sample_one_noise_for_batch(mu, logvar, eps):
    B, Z = mu.shape
    e = eps[0]
    out = np.empty((B, Z))
    for i in range(B):
        out[i] = mu[i] + np.exp(0.5 * logvar[i]) * e
    return out


def sample_logistic(mu, logvar, eps):
    u = sp.ndtr(eps)
    return mu + np.exp(.5 * logvar) * (np.log(u) - np.log1p(-u)) / 1.702


def householder_sampler(mu, logvar, eps):
    v = np.arange(1., eps.shape[-1] + 1)
    e = eps - 2 * np.multiply.outer(eps @ v, v) / (v @ v)
    return mu + np.exp(logvar / 2) * e


def inverse_cdf_sampler(mu, logvar, eps):
    u = np.clip(sp.ndtr(-eps), 1e-15, 1 - 1e-15)
    return st.norm.ppf(u, loc=mu, scale=np.sqrt(np.exp(logvar)))


def reversed_columns_sampler(mu, logvar, eps):
    M, S, E = mu.T, np.exp(logvar.T / 2), eps.T
    Zt = np.add(M, S * E[:, ::-1])
    return Zt.T, (M, S, E)


class Float32Sampler:
    def __init__(self):
        self.buf = None

    def __call__(self, mu, logvar, eps):
        self.buf = eps.astype(np.float32)
        self.buf *= np.exp(np.float32(.5) * logvar.astype(np.float32))
        self.buf += mu.astype(np.float32)
        return self.buf.copy(), {"std": np.exp(.5 * logvar)}


add("sampler_variance_as_std", "tutorial function", "sampler", _smp(reparameterize_var),
    "exp(logvar) is the variance; multiply by exp(logvar / 2).", ("z",), ("elementwise-factor",))
add("sampler_noise_shared_latents", "functional code with caches", "sampler", _smp(sample_shared_over_latents),
    "One noise a row is used for all the latents, so that they are wholly correlated; use eps as it is.", ("z",), ("shape", "elementwise-factor"))
add("sampler_clipped_logstd", "reinforcement-learning baseline", "sampler", _smp(sample_stabilised, _LVW),
    "log std is clipped to [-1, 1] though the inputs lie beyond; leave out the clip (or make it much wider).", ("z",), ("elementwise-factor",))
add("sampler_clipped_noise", "reinforcement-learning, exploration noise", "sampler", _smp(sample_truncated),
    "The noise is clipped at 1.5, so z is not normal and its variance is too small; do not clip.", ("z",), ("elementwise-factor",))
add("sampler_softplus_std", "policy class", "sampler", lambda: {"sampler": GaussianPolicy(), "mu": _MU.copy(), "logvar": _LV.copy()},
    "softplus of a log-variance is no standard deviation; std = exp(logvar / 2).", ("z",), ("elementwise-factor",))
add("sampler_noise_shared_batch", "beginner's loop", "sampler", _smp(sample_one_noise_for_batch),
    "All rows get the noise of row 0; use eps[i].", ("z",), ("shape", "elementwise-factor"))
add("sampler_logistic_noise", "statistics, inverse CDF", "sampler", _smp(sample_logistic),
    "The quantile function is the logistic's with the 1.702 rule of thumb and not the normal's; use ndtri(u) (= eps).", ("z",), ("elementwise-factor",))
add("sampler_householder", "linear algebra", "sampler", _smp(householder_sampler))
add("sampler_inverse_cdf", "scipy stats", "sampler", _smp(inverse_cdf_sampler))
add("sampler_features_first_reversed", "features-first lecture code", "sampler", _smp(reversed_columns_sampler))
add("sampler_float32_buffer", "class with an own buffer", "sampler",
    lambda: {"sampler": Float32Sampler(), "mu": _MU.copy(), "logvar": _LV.copy()})

# ============================================================ likelihoods


class GaussianNLLLoss:
    """as in the framework with full=False"""
    n_params, discrete, support = 2, False, (-np.inf, np.inf)

    def nll(self, x, logits):
        mu, lv = np.split(logits, 2, 1)
        prec = np.exp(-lv)
        return .5 * (lv + (x - mu) ** 2 * prec).sum(1), (x, mu, prec)

    def nll_backward(self, dnll, cache):
        x, mu, prec = cache
        d = np.hstack([(mu - x) * prec, .5 - .5 * (x - mu) ** 2 * prec])
        return d * dnll[:, None]

    def mean(self, logits):
        return np.split(logits, 2, 1)[0]

    def sample(self, logits, rng):
        mu, lv = np.split(logits, 2, 1)
        return rng.normal(mu, np.exp(lv / 2))


class NegativeBinomial:
    """Single-cell counts: mean and inverse dispersion."""
    n_params, discrete, support = 2, True, (0, np.inf)

    def _p(self, logits):
        D = logits.shape[1] // 2
        return np.exp(logits[:, :D]), np.exp(logits[:, D:])

    def nll(self, x, logits):
        m, r = self._p(logits)
        ll = sp.gammaln(x + r) - sp.gammaln(r) - sp.gammaln(x + 1) + r * np.log(r / (r + m)) + x * np.log(m / (r + m))
        return -ll.sum(1), (x, m, r)

    def nll_backward(self, dnll, cache):
        x, m, r = cache
        dm = m * (r + x) / (r + m) - x
        dr = -r * (sp.digamma(x + r) - sp.digamma(r) + np.log(r / (r + m)) + 1 - (r + x) / (r + m))
        return np.hstack([dm, dr]) * dnll[:, None]

    def mean(self, logits):
        return self._p(logits)[0]

    def sample(self, logits, rng):
        m, r = self._p(logits)
        return rng.negative_binomial(r, m / (r + m)).astype(float)


class LogNormal:
    n_params, discrete, support = 2, False, (0., np.inf)

    def nll(self, x, logits):
        D = x.shape[1]
        m, ls = logits[:, :D], logits[:, D:]
        u = (np.log(x) - m) / np.exp(ls)
        return (np.log(x) + ls + .5 * LOG2PI + .5 * u ** 2).sum(1), (u, ls)

    def nll_backward(self, dnll, cache):
        u, ls = cache
        return dnll[:, None] * np.concatenate([-u / np.exp(ls), 1 - u ** 2], axis=1)

    def mean(self, logits):
        return np.exp(logits[:, :logits.shape[1] // 2])

    def sample(self, logits, rng):
        D = logits.shape[1] // 2
        return rng.lognormal(logits[:, :D], np.exp(logits[:, D:]))


class ContinuousBernoulli:
    """grey pixels in (0, 1)"""
    n_params, discrete, support = 1, False, (0., 1.)

    def nll(self, x, logits):
        return (np.logaddexp(0, logits) - x * logits).sum(1), (x, logits)

    def nll_backward(self, dnll, cache):
        x, a = cache
        return dnll[:, None] * (sp.expit(a) - x)

    def mean(self, logits):
        a = np.where(np.abs(logits) < 1e-3, 1e-3, logits)
        return np.where(np.abs(logits) < 1e-3, .5 + logits / 12, 1 / -np.expm1(-a) - 1 / a)

    def sample(self, logits, rng):
        u = rng.random(logits.shape)
        a = np.where(np.abs(logits) < 1e-6, 1e-6, logits)
        return np.log1p(u * np.expm1(a)) / a


class DiscretisedLogistic:
    """PixelCNN-like, 16 grey levels, open edge bins."""
    n_params, discrete, support, L = 2, True, (0, 15), 16

    def _z(self, x, logits):
        D = logits.shape[1] // 2
        m, s = 7.5 + 3 * logits[:, :D], np.exp(logits[:, D:])
        return np.where(x >= self.L - 1, np.inf, (x + .5 - m) / s), np.where(x <= 0, -np.inf, (x - .5 - m) / s), s

    def nll(self, x, logits):
        hi, lo, s = self._z(x, logits)
        # F(hi) - F(lo) = F(hi) F(-lo) (1 - exp(lo - hi))
        lp = -np.logaddexp(0, -hi) - np.logaddexp(0, lo) + np.log(-np.expm1(lo - hi))
        return -lp.sum(1), (hi, lo, s)

    def nll_backward(self, dnll, cache):
        hi, lo, s = cache
        Fh, Fl = sp.expit(hi), sp.expit(lo)
        q = np.where(np.isposinf(hi), sp.expit(-lo), np.where(np.isneginf(lo), Fh, Fh - Fl))
        fh, fl = Fh * sp.expit(-hi), Fl * sp.expit(-lo)
        zh, zl = np.where(np.isinf(hi), 0, hi), np.where(np.isinf(lo), 0, lo)
        dm = 3 * (fh - fl) / (q * s)
        ds = (fh * zh - fl * zl) / q
        return np.hstack([dm, ds]) * dnll[:, None]

    def mean(self, logits):
        D = logits.shape[1] // 2
        m, s = 7.5 + 3 * logits[:, :D], np.exp(logits[:, D:])
        return sum(sp.expit((m - k - .5) / s) for k in range(self.L - 1))       # sum of P(x > k)

    def sample(self, logits, rng):
        D = logits.shape[1] // 2
        return np.clip(np.rint(rng.logistic(7.5 + 3 * logits[:, :D], np.exp(logits[:, D:]))), 0, self.L - 1)


class Laplace:
    n_params, discrete, support = 2, False, (-np.inf, np.inf)

    def nll(self, x, logits):
        loc, lb = np.array_split(logits, 2, axis=1)
        d = x - loc
        return (np.abs(d) * np.exp(-lb) + lb + np.log(2.)).sum(1), (d, lb)

    def nll_backward(self, dnll, cache):
        d, lb = cache
        out = np.empty((d.shape[0], 2 * d.shape[1]))
        out[:, :d.shape[1]] = -np.sign(d) * np.exp(-lb)
        out[:, d.shape[1]:] = 1 - np.abs(d) * np.exp(-lb)
        out *= dnll[:, None]
        return out

    def mean(self, logits):
        return logits[:, :logits.shape[1] // 2].copy()

    def sample(self, logits, rng):
        loc, lb = np.array_split(logits, 2, axis=1)
        return loc + np.exp(lb) * (rng.exponential(size=loc.shape) - rng.exponential(size=loc.shape))


class ZeroInflatedPoisson:
    n_params, discrete, support = 2, True, (0, np.inf)

    def nll(self, x, logits):
        D = x.shape[1]
        lr, g = logits[:, :D], logits[:, D:]
        rate = np.exp(lr)
        pos = -np.logaddexp(0, g) + x * lr - rate - sp.gammaln(x + 1)
        zero = np.logaddexp(g, -rate) - np.logaddexp(0, g)
        return -np.where(x == 0, zero, pos).sum(1), (x, rate, g)

    def nll_backward(self, dnll, cache):
        x, rate, g = cache
        t = sp.expit(g + rate)                              # posterior of structural zero
        z = x == 0
        dl = np.where(z, (1 - t) * rate, rate - x)
        dg = sp.expit(g) - np.where(z, t, 0)
        return np.hstack([dl, dg]) * dnll[:, None]

    def mean(self, logits):
        lr, g = np.hsplit(logits, 2)
        return sp.expit(-g) * np.exp(lr)

    def sample(self, logits, rng):
        lr, g = np.hsplit(logits, 2)
        return rng.poisson(np.exp(lr)) * (rng.random(g.shape) >= sp.expit(g)) * 1.0


def _lk(cls):
    return lambda: {"p": cls()}


add("gaussian_nll_unnormalised", "port of a framework loss", "likelihood", _lk(GaussianNLLLoss),
    "0.5 log(2 pi) a pixel is missing, so exp(-nll) does not integrate to one.", ("nll",), ("missing-term", "factor"))
add("negative_binomial_sample_swapped", "single-cell biology", "likelihood", _lk(NegativeBinomial),
    "NumPy's p is the probability of success r / (r + m); the sampler passes its complement.", ("sample",), ("elementwise-factor",))
add("lognormal_mean_is_median", "econometrics", "likelihood", _lk(LogNormal),
    "exp(mu) is the median; the mean is exp(mu + sigma^2 / 2).", ("mean",), ("elementwise-factor", "missing-term"))
add("continuous_bernoulli_no_constant", "research code", "likelihood", _lk(ContinuousBernoulli),
    "The log normaliser log(a / tanh(a / 2)) of the continuous Bernoulli is missing in nll (and thus in its backward): the density over (0, 1) does not integrate to one.",
    ("nll",), ("missing-term",))
add("discretised_logistic_open_edges", "PixelCNN-like", "likelihood", _lk(DiscretisedLogistic))
add("laplace_difference_of_exponentials", "statistics", "likelihood", _lk(Laplace))
add("zero_inflated_poisson", "ecology counts", "likelihood", _lk(ZeroInflatedPoisson))

# ============================================================ optimizers


class AdamRef:
    def __init__(self, lr=1e-2, b1=.9, b2=.999, eps=1e-8, wd=0.):
        self.lr, self.b1, self.b2, self.eps, self.wd, self.t, self.m, self.v = lr, b1, b2, eps, wd, 0, {}, {}

    def step(self, params, grads):
        self.t += 1
        for k, p in params.items():
            g = grads[k]
            self.m[k] = self.b1 * self.m.get(k, 0.) + (1 - self.b1) * g
            self.v[k] = self.b2 * self.v.get(k, 0.) + (1 - self.b2) * g * g
            mh, vh = self.m[k] / (1 - self.b1 ** self.t), self.v[k] / (1 - self.b2 ** self.t)
            p -= self.lr * (mh / (np.sqrt(vh) + self.eps) + self.wd * p)


class AdamCounter:
    """small library"""
    def __init__(self, lr=1e-2, betas=(.9, .999), eps=1e-8):
        self.lr, self.betas, self.eps = lr, betas, eps
        self.state, self.t = {}, 0

    def step(self, params, grads):
        b1, b2 = self.betas
        for name in params:
            if name not in self.state:
                self.state[name] = (np.zeros_like(params[name]), np.zeros_like(params[name]))
            m, v = self.state[name]
            self.t += 1
            m *= b1
            m += (1 - b1) * grads[name]
            v *= b2
            v += (1 - b2) * grads[name] ** 2
            params[name] -= self.lr * (m / (1 - b1 ** self.t)) / (np.sqrt(v / (1 - b2 ** self.t)) + self.eps)


class AdamWCoupled:
    def __init__(self, lr=1e-2, wd=.1):
        self.lr, self.wd, self.n = lr, wd, 0
        self.m, self.s = {}, {}

    def step(self, params, grads):
        self.n += 1
        for k in params:
            g = grads[k] + self.wd * params[k]
            self.m[k] = .9 * self.m.get(k, np.zeros_like(g)) + .1 * g
            self.s[k] = .999 * self.s.get(k, np.zeros_like(g)) + .001 * g ** 2
            params[k] -= self.lr * self.m[k] / (1 - .9 ** self.n) / (np.sqrt(self.s[k] / (1 - .999 ** self.n)) + 1e-8)


class NesterovRef:
    def __init__(self, lr=.05, mu=.9):
        self.lr, self.mu, self.v = lr, mu, {}

    def step(self, params, grads):
        for k, p in params.items():
            self.v[k] = self.mu * self.v.get(k, 0.) + grads[k]
            p -= self.lr * (grads[k] + self.mu * self.v[k])


class NesterovOld(NesterovRef):
    def step(self, params, grads):
        for k in params:
            v_prev = self.v.get(k, np.zeros_like(params[k]))
            v = self.mu * v_prev - self.lr * grads[k]
            params[k] += -self.mu * v + (1 + self.mu) * v
            self.v[k] = v


class ClipSGDRef:
    def __init__(self, lr=.1, max_norm=.5):
        self.lr, self.c = lr, max_norm

    def step(self, params, grads):
        n = np.sqrt(sum(float((g * g).sum()) for g in grads.values()))
        s = min(1., self.c / (n + 1e-12))
        for k, p in params.items():
            p -= self.lr * s * grads[k]


class ClipSGDEach:
    """RL baseline"""
    def __init__(self, lr=.1, max_grad_norm=.5):
        self.lr, self.max_grad_norm = lr, max_grad_norm

    def step(self, params, grads):
        for k, g in grads.items():
            norm = np.linalg.norm(np.ravel(g))
            if norm > self.max_grad_norm:
                g = g * (self.max_grad_norm / norm)
            params[k] -= self.lr * g


class AdamFolded:
    """bias corrections folded in the step size and in epsilon"""
    def __init__(self, lr=1e-2):
        self.lr, self.p1, self.p2, self.mem = lr, 1., 1., {}

    def step(self, params, grads):
        self.p1 *= .9
        self.p2 *= .999
        c = np.sqrt(1 - self.p2)
        for k, g in grads.items():
            m, v = self.mem.setdefault(k, [np.zeros_like(g), np.zeros_like(g)])
            m += (g - m) * (1 - .9)
            v += (np.square(g) - v) * (1 - .999)
            params[k] -= self.lr * c / (1 - self.p1) * m / (np.sqrt(v) + 1e-8 * c)


class MomentumRef:
    def __init__(self, lr=.05, mu=.9):
        self.lr, self.mu, self.v = lr, mu, {}

    def step(self, params, grads):
        for k, p in params.items():
            self.v[k] = self.mu * self.v.get(k, 0.) + grads[k]
            p -= self.lr * self.v[k]


class HeavyBall:
    """Polyak's form with the last iterate, no velocity kept"""
    def __init__(self, lr=.05, mu=.9):
        self.lr, self.mu, self.prev = lr, mu, {}

    def step(self, params, grads):
        for k in params:
            x = params[k].copy()
            params[k] += self.mu * (x - self.prev.get(k, x)) - self.lr * grads[k]
            self.prev[k] = x


class AdagradRef:
    def __init__(self, lr=.1, eps=1e-8):
        self.lr, self.eps, self.h = lr, eps, {}

    def step(self, params, grads):
        for k, p in params.items():
            self.h[k] = self.h.get(k, 0.) + grads[k] ** 2
            p -= self.lr * grads[k] / (np.sqrt(self.h[k]) + self.eps)


class AdagradHypot:
    """keeps the root of the sum; overflow-safe"""
    def __init__(self, lr=.1):
        self.lr, self.root = lr, None

    def step(self, params, grads):
        if self.root is None:
            self.root = {k: np.zeros_like(p) for k, p in params.items()}
        for k in sorted(grads):
            np.hypot(self.root[k], grads[k], out=self.root[k])
            params[k][...] = params[k] - self.lr * (grads[k] / (self.root[k] + 1e-8))


def _op(o, r):
    return lambda: {"optimizer": o(), "reference": r()}


add("adam_counter_in_the_loop", "small library", "optimizer", _op(AdamCounter, AdamRef),
    "t is raised once a parameter and not once a step, so the bias corrections differ; raise it before the loop.", ("step",), ("factor", "elementwise-factor"))
add("adamw_coupled_decay", "port of a framework optimizer", "optimizer", _op(AdamWCoupled, lambda: AdamRef(wd=.1)),
    "The decay is put in the gradient (L2) and goes through the moments; decoupled it is lr * wd * p beside the Adam step.", ("step",), ("missing-term", "elementwise-factor"))
add("nesterov_forgets_v_prev", "course notes", "optimizer", _op(NesterovOld, NesterovRef),
    "-mu v + (1 + mu) v is just v: the first v must be v_prev.", ("step",), ("missing-term", "elementwise-factor"))
add("clip_norm_each_array", "reinforcement-learning baseline", "optimizer", _op(ClipSGDEach, ClipSGDRef),
    "The norm is taken array by array; it is to be the global norm of all gradients.", ("step",), ("factor", "elementwise-factor"))
add("adam_folded_corrections", "efficient form of the paper", "optimizer", _op(AdamFolded, AdamRef))
add("heavy_ball_last_iterate", "optimisation textbook", "optimizer", _op(HeavyBall, MomentumRef))
add("adagrad_hypot", "numerical code", "optimizer", _op(AdagradHypot, AdagradRef))
