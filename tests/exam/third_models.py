"""Exam paper: variational autoencoders and probability (whole models, samplers, evidence, likelihoods, optimizers)."""
from collections import namedtuple
from types import SimpleNamespace
from typing import Callable, NamedTuple

import numpy as np
from scipy.special import digamma, expit, gammaln, logsumexp, ndtr, ndtri, softmax


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


def item(name, style, check, right, slip="", wrong=(), causes=()):
    def add(make):
        ITEMS.append(Item(name, style, check, make, right, slip, tuple(wrong), tuple(causes)))
        return make
    return add


Terms = namedtuple("Terms", "objective nll kl")


def bits(rng, b, d):
    return (rng.random((b, d)) < 0.5).astype(float)


# ====================================================================== gradients
# ---- conditional VAE with a label embedding (label is the last column of x)
class CondVAE:
    def __init__(self, seed, lost=True, n_pix=6, n_cls=3, e=2, h=4, z=2):
        r = np.random.RandomState(seed)
        self.n_pix, self.z, self.lost = n_pix, z, lost
        n = lambda *s: r.randn(*s) * 0.5
        self.params = dict(E=n(n_cls, e), W1=n(n_pix + e, h), b1=n(h), Wmu=n(h, z), bmu=n(z), Wlv=n(h, z), blv=n(z),
                           W2=n(z + e, h), b2=n(h), W3=n(h, n_pix), b3=n(n_pix))

    def objective(self, x, eps, beta=1.0):
        P = self.params
        pix, y = x[:, :self.n_pix], x[:, self.n_pix].astype(int)
        emb = P["E"][y]
        xin = np.concatenate([pix, emb], axis=1)
        h1 = np.tanh(xin @ P["W1"] + P["b1"])
        mu, lv = h1 @ P["Wmu"] + P["bmu"], h1 @ P["Wlv"] + P["blv"]
        std = np.exp(0.5 * lv)
        zin = np.concatenate([mu + std * eps, emb], axis=1)
        h2 = np.tanh(zin @ P["W2"] + P["b2"])
        a = h2 @ P["W3"] + P["b3"]
        nll = (np.logaddexp(0, a) - pix * a).sum(1)
        kl = 0.5 * (np.exp(lv) + mu ** 2 - 1 - lv).sum(1)
        return Terms(-nll - beta * kl, nll, kl), (pix, y, xin, h1, mu, lv, std, eps, zin, h2, a, beta)

    def backward(self, dobjective, cache):
        P, G = self.params, {}
        pix, y, xin, h1, mu, lv, std, eps, zin, h2, a, beta = cache
        up = dobjective[:, None]
        da = up * (pix - 1 / (1 + np.exp(-a)))
        G["W3"], G["b3"] = h2.T @ da, da.sum(0)
        dh2 = (da @ P["W3"].T) * (1 - h2 ** 2)
        G["W2"], G["b2"] = zin.T @ dh2, dh2.sum(0)
        dzin = dh2 @ P["W2"].T
        dz, demb = dzin[:, :self.z], dzin[:, self.z:].copy()
        dmu = dz - beta * up * mu
        dlv = dz * eps * std * 0.5 - beta * up * 0.5 * (np.exp(lv) - 1)
        G["Wmu"], G["bmu"] = h1.T @ dmu, dmu.sum(0)
        G["Wlv"], G["blv"] = h1.T @ dlv, dlv.sum(0)
        dh1 = (dmu @ P["Wmu"].T + dlv @ P["Wlv"].T) * (1 - h1 ** 2)
        G["W1"], G["b1"] = xin.T @ dh1, dh1.sum(0)
        demb += (dh1 @ P["W1"].T)[:, self.n_pix:]
        G["E"] = np.zeros_like(P["E"])
        if self.lost:
            G["E"][y] += demb
        else:
            np.add.at(G["E"], y, demb)
        return G


def _cond_data(seed):
    r = np.random.default_rng(seed)
    return np.concatenate([bits(r, 5, 6), np.array([[0], [2], [2], [1], [0]], float)], 1), r.standard_normal((5, 2))


@item("cvae_embedding_duplicates", "conditional VAE, label embedding, research code", "gradients", False,
      "dE[y] += demb keeps only the last of rows that share a label; use np.add.at(dE, y, demb).", ("E",), ("batch-sum", "missing-term"))
def _():
    x, eps = _cond_data(1)
    return {"model": CondVAE(3, lost=True), "x": x, "eps": eps}


@item("cvae_embedding_right", "conditional VAE, label embedding, research code", "gradients", True)
def _():
    x, eps = _cond_data(2)
    return {"model": CondVAE(4, lost=False), "x": x, "eps": eps}


# ---- lecture code, features first, 1/m everywhere
class ColumnVAE:
    """X is (n_x, m): one example a column."""

    def __init__(self, n_x, n_h, n_z, seed):
        np_rng = np.random.default_rng(seed)
        w = lambda o, i: np_rng.normal(size=(o, i)) / np.sqrt(i)
        self.params = {"W1": w(n_h, n_x), "b1": np_rng.normal(size=(n_h, 1)) * .3, "Wm": w(n_z, n_h), "bm": np.zeros((n_z, 1)),
                       "Wv": w(n_z, n_h), "bv": np.zeros((n_z, 1)), "W4": w(n_x, n_z), "b4": np_rng.normal(size=(n_x, 1)) * .1}

    def objective(self, x, eps, beta=1.0):
        X, e, p = x.T, eps.T, self.params
        Z1 = np.dot(p["W1"], X) + p["b1"]
        A1 = np.maximum(0, Z1)
        M = np.dot(p["Wm"], A1) + p["bm"]
        V = np.dot(p["Wv"], A1) + p["bv"]
        S = np.exp(V / 2)
        Z = M + S * e
        Z4 = np.dot(p["W4"], Z) + p["b4"]
        A4 = 1 / (1 + np.exp(-Z4))
        nll = -np.sum(X * np.log(A4) + (1 - X) * np.log(1 - A4), axis=0)
        kl = -0.5 * np.sum(1 + V - M ** 2 - np.exp(V), axis=0)
        return Terms(-nll - beta * kl, nll, kl), dict(X=X, e=e, Z1=Z1, A1=A1, M=M, V=V, S=S, Z=Z, A4=A4, beta=beta)

    def backward(self, dobjective, cache):
        c, p = SimpleNamespace(**cache), self.params
        m = c.X.shape[1]
        u = dobjective.reshape(1, m)
        dZ4 = u * (c.X - c.A4)
        dW4, db4 = 1 / m * np.dot(dZ4, c.Z.T), 1 / m * np.sum(dZ4, axis=1, keepdims=True)
        dZ = np.dot(p["W4"].T, dZ4)
        dM = dZ - c.beta * u * c.M
        dV = 0.5 * dZ * c.e * c.S + 0.5 * c.beta * u * (1 - np.exp(c.V))
        dWm, dbm = 1 / m * np.dot(dM, c.A1.T), 1 / m * np.sum(dM, axis=1, keepdims=True)
        dWv, dbv = 1 / m * np.dot(dV, c.A1.T), 1 / m * np.sum(dV, axis=1, keepdims=True)
        dZ1 = (np.dot(p["Wm"].T, dM) + np.dot(p["Wv"].T, dV)) * (c.Z1 > 0)
        dW1, db1 = 1 / m * np.dot(dZ1, c.X.T), 1 / m * np.sum(dZ1, axis=1, keepdims=True)
        return {"W1": dW1, "b1": db1, "Wm": dWm, "bm": dbm, "Wv": dWv, "bv": dbv, "W4": dW4, "b4": db4}


@item("column_vae_one_over_m", "features-first lecture code", "gradients", False,
      "The objective is per example and not averaged, yet every gradient is divided by m; drop the 1/m.",
      ("W1", "b1", "Wm", "bm", "Wv", "bv", "W4", "b4"), ("factor",))
def _():
    r = np.random.default_rng(21)
    return {"model": ColumnVAE(6, 5, 2, 8), "x": bits(r, 4, 6), "eps": r.normal(size=(4, 2))}


# ---- softplus scale head
class SoftplusVAE:
    def __init__(self, rng, d=5, h=4, z=2, wrong=True):
        g = lambda *s: 0.6 * rng.standard_normal(s)
        self.wrong = wrong
        self.params = {"enc/w": g(d, h), "enc/b": g(h), "loc/w": g(h, z), "loc/b": g(z), "scale/w": g(h, z), "scale/b": g(z),
                       "dec/w": g(z, d), "dec/b": g(d)}

    def encode(self, x):
        p = self.params
        h = np.tanh(x @ p["enc/w"] + p["enc/b"])
        loc, raw = h @ p["loc/w"] + p["loc/b"], h @ p["scale/w"] + p["scale/b"]
        scale = np.log1p(np.exp(raw)) + 1e-3
        return loc, 2 * np.log(scale), (h, loc, raw, scale)

    def objective(self, x, eps, beta=1.0):
        _, _, (h, loc, raw, scale) = self.encode(x)
        z = loc + scale * eps
        xhat = z @ self.params["dec/w"] + self.params["dec/b"]
        nll = 0.5 * ((x - xhat) ** 2 + np.log(2 * np.pi)).sum(-1)
        kl = (0.5 * (scale ** 2 + loc ** 2 - 1) - np.log(scale)).sum(-1)
        return Terms(-nll - beta * kl, nll, kl), (x, eps, h, loc, raw, scale, z, xhat, beta)

    def backward(self, dobjective, cache):
        x, eps, h, loc, raw, scale, z, xhat, beta = cache
        p, u = self.params, dobjective[:, np.newaxis]
        dxhat = u * (x - xhat)
        dz = dxhat @ p["dec/w"].T
        dloc = dz - u * beta * loc
        dscale = dz * eps - u * beta * (scale - 1 / scale)
        draw = dscale * (scale if self.wrong else 1 / (1 + np.exp(-raw)))
        dpre = (dloc @ p["loc/w"].T + draw @ p["scale/w"].T) * (1 - h * h)
        return {"enc/w": x.T @ dpre, "enc/b": dpre.sum(0), "loc/w": h.T @ dloc, "loc/b": dloc.sum(0),
                "scale/w": h.T @ draw, "scale/b": draw.sum(0), "dec/w": z.T @ dxhat, "dec/b": dxhat.sum(0)}


@item("softplus_scale_exp_slope", "Gaussian VAE, softplus scale, probabilistic-programming names", "gradients", False,
      "The scale is softplus(raw) but the slope used is scale itself, as if it were exp; multiply with sigmoid(raw).",
      ("enc/w", "enc/b", "scale/w", "scale/b"), ("elementwise-factor",))
def _():
    r = np.random.default_rng(31)
    return {"model": SoftplusVAE(r), "x": r.standard_normal((4, 5)), "eps": r.standard_normal((4, 2))}


@item("softplus_scale_right", "Gaussian VAE, softplus scale, probabilistic-programming names", "gradients", True)
def _():
    r = np.random.default_rng(32)
    return {"model": SoftplusVAE(r, wrong=False), "x": 3 * r.standard_normal((4, 5)), "eps": r.standard_normal((4, 2))}


# ---- importance weighted
class IWAE:
    def __init__(self, seed, uniform, d=5, z=2):
        r = np.random.default_rng(seed)
        self.uniform = uniform
        self.params = {k: 0.7 * r.standard_normal(s) for k, s in
                       dict(Wm=(d, z), bm=(z,), Ws=(d, z), bs=(z,), V=(z, d), c=(d,)).items()}

    def encode(self, x):
        p = self.params
        return x @ p["Wm"] + p["bm"], x @ p["Ws"] + p["bs"], x

    def objective(self, x, eps, beta=1.0):            # eps (K, B, Z)
        p = self.params
        mu, lv, _ = self.encode(x)
        sd = np.exp(lv / 2)
        z = mu + sd * eps
        l = z @ p["V"] + p["c"]
        log_px = (x * l - np.logaddexp(0, l)).sum(-1)
        log_pz = -0.5 * (z ** 2 + np.log(2 * np.pi)).sum(-1)
        log_qz = -0.5 * (eps ** 2 + lv + np.log(2 * np.pi)).sum(-1)
        log_w = log_px + beta * (log_pz - log_qz)
        bound = logsumexp(log_w, axis=0) - np.log(len(eps))
        return SimpleNamespace(objective=bound), (x, eps, sd, z, l, log_w, beta)

    def backward(self, dobjective, cache):
        x, eps, sd, z, l, log_w, beta = cache
        K = len(eps)
        if self.uniform:
            w = np.full_like(log_w, 1.0 / K)
        else:
            w = np.exp(log_w - log_w.max(0))
            w /= w.sum(0)
        g = (w * dobjective)[..., None]
        dl = g * (x - expit(l))
        dz = dl @ self.params["V"].T - beta * g * z
        dmu = dz.sum(0)
        dlv = (0.5 * dz * eps * sd + 0.5 * beta * g).sum(0)
        return {"Wm": x.T @ dmu, "bm": dmu.sum(0), "Ws": x.T @ dlv, "bs": dlv.sum(0),
                "V": np.einsum("kbz,kbd->zd", z, dl), "c": dl.sum((0, 1))}


@item("iwae_uniform_weights", "importance weighted autoencoder, research code", "gradients", False,
      "Backward weighs the K samples by 1/K; the gradient of log-mean-exp weighs them by softmax(log_w) over K.",
      ("Wm", "bm", "Ws", "bs", "V", "c"), ("elementwise-factor", "batch-sum"))
def _():
    r = np.random.default_rng(41)
    return {"model": IWAE(5, True), "x": bits(r, 4, 5), "eps": r.standard_normal((3, 4, 2))}


@item("iwae_right", "importance weighted autoencoder, research code", "gradients", True)
def _():
    r = np.random.default_rng(42)
    return {"model": IWAE(6, False), "x": bits(r, 5, 5), "eps": r.standard_normal((4, 5, 2))}


# ---- learned prior
class LearnedPriorVAE(object):
    def __init__(self, seed, d=6, h=3, z=2):
        rs = np.random.RandomState(seed)
        self.params = {"We": rs.normal(0, .5, (d, h)), "Wmu": rs.normal(0, 1, (h, z)), "Wlv": rs.normal(0, .5, (h, z)),
                       "Wd": rs.normal(0, .8, (z, d)), "bd": rs.normal(0, .1, d),
                       "prior_mu": rs.normal(0, 1, z), "prior_logvar": rs.normal(0, .5, z)}

    def objective(self, x, eps, beta=1.0):
        q = self.params
        h = expit(x @ q["We"])
        mu, lv = h @ q["Wmu"], h @ q["Wlv"]
        z = mu + eps * np.exp(.5 * lv)
        logits = z @ q["Wd"] + q["bd"]
        nll = np.sum(np.maximum(logits, 0) - logits * x + np.log1p(np.exp(-np.abs(logits))), axis=1)
        diff, pv = mu - q["prior_mu"], np.exp(q["prior_logvar"])
        kl = .5 * np.sum(q["prior_logvar"] - lv + (np.exp(lv) + diff ** 2) / pv - 1, axis=1)
        return Terms(-nll - beta * kl, nll, kl), (x, eps, h, mu, lv, z, logits, diff, pv, beta)

    def backward(self, dobjective, cache):
        (x, eps, h, mu, lv, z, logits, diff, pv, beta) = cache
        q = self.params
        dnll = -dobjective[:, None]
        dkl = -beta * dobjective[:, None]
        dlogits = dnll * (expit(logits) - x)
        dz = dlogits @ q["Wd"].T
        dmu = dz + dkl * diff / pv
        dlv = .5 * dz * eps * np.exp(.5 * lv) + dkl * .5 * (np.exp(lv) / pv - 1)
        da = (dmu @ q["Wmu"].T + dlv @ q["Wlv"].T) * h * (1 - h)
        return dict(We=x.T @ da, Wmu=h.T @ dmu, Wlv=h.T @ dlv, Wd=z.T @ dlogits, bd=dlogits.sum(0),
                    prior_mu=(-dkl * diff / pv).sum(0), prior_logvar=(.5 * dkl * (1 - np.exp(lv) / pv)).sum(0))


@item("learned_prior_logvar_misses_distance", "Bernoulli VAE, learned Gaussian prior", "gradients", False,
      "The gradient of prior_logvar has only the variance ratio; (mu - prior_mu)^2 / prior_var belongs beside it.",
      ("prior_logvar",), ("missing-term",))
def _():
    r = np.random.default_rng(51)
    return {"model": LearnedPriorVAE(2), "x": bits(r, 5, 6), "eps": r.standard_normal((5, 2))}


# ---- tied weights
class TiedVAE:
    def __init__(self, rng, d=6, h=4, z=2, both=True):
        self.both = both
        self.params = {"W": rng.normal(size=(d, h)) * .6, "b": rng.normal(size=h) * .2, "A": rng.normal(size=(h, z)) * .7,
                       "L": rng.normal(size=(h, z)) * .4, "U": rng.normal(size=(z, h)), "c": rng.normal(size=d) * .2}

    def objective(self, x, eps, beta=1.0):
        p = self.params
        h = np.tanh(x @ p["W"] + p["b"])
        mu, ls = h @ p["A"], h @ p["L"]                 # ls: log sigma
        s = np.exp(ls)
        z = mu + s * eps
        g = np.tanh(z @ p["U"])
        l = g @ p["W"].T + p["c"]
        nll = (np.logaddexp(0, l) - x * l).sum(1)
        kl = (.5 * (mu ** 2 + s ** 2) - ls - .5).sum(1)
        return Terms(-nll - beta * kl, nll, kl), dict(x=x, eps=eps, h=h, mu=mu, s=s, z=z, g=g, l=l, beta=beta)

    def backward(self, dobjective, t):
        p, u = self.params, np.asarray(dobjective)[:, None]
        dl = u * (t["x"] - expit(t["l"]))
        dg = (dl @ p["W"]) * (1 - t["g"] ** 2)
        dz = dg @ p["U"].T
        dmu = dz - u * t["beta"] * t["mu"]
        dls = dz * t["eps"] * t["s"] - u * t["beta"] * (t["s"] ** 2 - 1)
        da = (dmu @ p["A"].T + dls @ p["L"].T) * (1 - t["h"] ** 2)
        dW = t["x"].T @ da
        if self.both:
            dW += dl.T @ t["g"]
        return {"W": dW, "b": da.sum(0), "A": t["h"].T @ dmu, "L": t["h"].T @ dls, "U": t["z"].T @ dg, "c": dl.sum(0)}


@item("tied_weights_decoder_path_lost", "tied-weight autoencoder, log sigma head", "gradients", False,
      "W serves in the encoder and, transposed, in the decoder; the decoder's share dl.T @ g is not added to dW.", ("W",), ("missing-term",))
def _():
    r = np.random.default_rng(61)
    return {"model": TiedVAE(r, both=False), "x": bits(r, 5, 6), "eps": r.normal(size=(5, 2))}


@item("tied_weights_right", "tied-weight autoencoder, log sigma head", "gradients", True)
def _():
    r = np.random.default_rng(62)
    return {"model": TiedVAE(r, both=True), "x": bits(r, 3, 6), "eps": r.normal(size=(3, 2))}


# ---- functional Laplace
def _laplace_forward(theta, x, eps, beta):
    m, lv = x @ theta["em"], x @ theta["ev"] + theta["evb"]
    z = m + np.exp(lv / 2) * eps
    rec = np.tanh(z @ theta["d1"]) @ theta["d2"] + theta["d2b"]
    log_b = theta["log_b"]
    nll = (np.abs(x - rec) * np.exp(-log_b) + log_b + np.log(2)).sum(1)
    kl = -.5 * (1 + lv - m ** 2 - np.exp(lv)).sum(1)
    return nll, kl, (x, eps, beta, m, lv, z, rec)


def _laplace_grads(theta, up, saved):
    x, eps, beta, m, lv, z, rec = saved
    u, b = up[:, None], np.exp(theta["log_b"])
    h = np.tanh(z @ theta["d1"])
    grads = {}
    drec = u * np.sign(x - rec) / b
    grads["log_b"] = (u * (1 - np.abs(x - rec) / b)).sum(0)
    grads["d2"], grads["d2b"] = h.T @ drec, drec.sum(0)
    dpre = (drec @ theta["d2"].T) * (1 - h ** 2)
    grads["d1"] = z.T @ dpre
    dz = dpre @ theta["d1"].T
    grads["em"] = x.T @ (dz - beta * u * m)
    dlv = .5 * dz * eps * np.exp(lv / 2) + .5 * beta * u * (1 - np.exp(lv))
    grads["ev"], grads["evb"] = x.T @ dlv, dlv.sum(0)
    return grads


class LaplaceVAE:
    def __init__(self, seed):
        r = np.random.default_rng(seed)
        sh = dict(em=(5, 2), ev=(5, 2), evb=(2,), d1=(2, 3), d2=(3, 5), d2b=(5,), log_b=(5,))
        self.params = {k: .5 * r.standard_normal(v) for k, v in sh.items()}

    def objective(self, x, eps, beta=1.0):
        nll, kl, saved = _laplace_forward(self.params, x, eps, beta)
        return Terms(-nll - beta * kl, nll, kl), saved

    def backward(self, dobjective, cache):
        return _laplace_grads(self.params, dobjective, cache)


@item("laplace_log_b_sign", "functional, Laplace likelihood with learned scales", "gradients", False,
      "The gradient of log_b is that of the nll, not of the objective: its sign is turned; it should be |x-rec|/b - 1.", ("log_b",), ("sign",))
def _():
    r = np.random.default_rng(71)
    return {"model": LaplaceVAE(12), "x": r.standard_normal((5, 5)), "eps": r.standard_normal((5, 2))}


# ---- categorical pixels
class GreyVAE:
    levels = 3

    def __init__(self, seed, d=4, h=3, z=2):
        r = np.random.default_rng(seed)
        self.params = {"W1": r.normal(size=(d, h)), "b1": r.normal(size=h), "W_mu": r.normal(size=(h, z)), "b_mu": r.normal(size=z),
                       "W_lv": r.normal(size=(h, z)) * .5, "b_lv": r.normal(size=z) * .5, "W2": r.normal(size=(z, d * self.levels)), "b2": r.normal(size=d * self.levels)}

    def objective(self, x, eps, beta=1.0):
        p, B, D = self.params, *x.shape
        a1 = (x - 1) @ p["W1"] + p["b1"]
        h = np.where(a1 > 0, a1, .1 * a1)
        mu, lv = h @ p["W_mu"] + p["b_mu"], h @ p["W_lv"] + p["b_lv"]
        z = mu + np.exp(lv / 2) * eps
        lg = (z @ p["W2"] + p["b2"]).reshape(B, D, self.levels)
        probs = softmax(lg, -1)
        onehot = np.eye(self.levels)[x.astype(int)]
        nll = -(onehot * np.log(probs)).sum((1, 2))
        kl = .5 * (mu ** 2 + np.exp(lv) - lv - 1).sum(1)
        return Terms(-nll - beta * kl, nll, kl), (x, eps, a1, h, mu, lv, z, probs, onehot, beta)

    def backward(self, dobjective, cache):
        x, eps, a1, h, mu, lv, z, probs, onehot, beta = cache
        p = self.params
        dlg = (dobjective[:, None, None] * (onehot - probs)).reshape(len(x), -1)
        d = {"W2": z.T @ dlg, "b2": dlg.sum(0)}
        dz = dlg @ p["W2"].T
        dkl = -(beta * dobjective)[:, None]
        dmu = dz + dkl * mu
        dlv = dz * eps * np.exp(lv / 2) * .5 + dkl * (np.exp(lv) - 1)
        for n, g in (("mu", dmu), ("lv", dlv)):
            d["W_" + n], d["b_" + n] = h.T @ g, g.sum(0)
        da = (dmu @ p["W_mu"].T + dlv @ p["W_lv"].T) * np.where(a1 > 0, 1., .1)
        d["W1"], d["b1"] = (x - 1).T @ da, da.sum(0)
        return d


@item("categorical_vae_kl_half", "grey-level VAE, categorical pixels, leaky relu", "gradients", False,
      "d kl / d logvar is 0.5 (exp(logvar) - 1); the half is missing.", ("W_lv", "b_lv", "W1", "b1"), ("factor", "elementwise-factor", "missing-term"))
def _():
    r = np.random.default_rng(81)
    return {"model": GreyVAE(3), "x": r.integers(0, 3, (5, 4)).astype(float), "eps": r.standard_normal((5, 2))}


# ---- beta-VAE with its own weight
class BetaVAE:
    def __init__(self, in_dim=6, latent=2, kl_weight=4.0, seed=0):
        rng = np.random.RandomState(seed)
        self.kl_weight = kl_weight
        self.params = {}
        for name, (i, o) in {"fc21": (in_dim, latent), "fc22": (in_dim, latent), "fc3": (latent, 4), "fc4": (4, in_dim)}.items():
            bound = 1 / np.sqrt(i)
            self.params[name + ".weight"] = rng.uniform(-bound, bound, (o, i))      # torch layout
            self.params[name + ".bias"] = rng.uniform(-bound, bound, o)

    def _lin(self, n, v):
        return v @ self.params[n + ".weight"].T + self.params[n + ".bias"]

    def objective(self, x, eps, beta=1.0):
        mu, logvar = self._lin("fc21", x), self._lin("fc22", x)
        z = mu + eps * np.exp(.5 * logvar)
        h3 = np.maximum(self._lin("fc3", z), 0)
        out = self._lin("fc4", h3)
        recon = (np.logaddexp(0, out) - x * out).sum(-1)
        kld = -.5 * (1 + logvar - mu ** 2 - np.exp(logvar)).sum(-1)
        return SimpleNamespace(objective=-recon - beta * self.kl_weight * kld), (x, eps, mu, logvar, z, h3, out, beta)

    def backward(self, dobjective, cache):
        x, eps, mu, logvar, z, h3, out, beta = cache
        u, P, grads = dobjective[:, None], self.params, {}

        def lin_back(n, inp, g):
            grads[n + ".weight"], grads[n + ".bias"] = g.T @ inp, g.sum(0)
            return g @ P[n + ".weight"]
        dh3 = lin_back("fc4", h3, u * (x - expit(out)))
        dz = lin_back("fc3", z, dh3 * (h3 > 0))
        lin_back("fc21", x, dz - beta * u * mu)
        lin_back("fc22", x, .5 * dz * eps * np.exp(.5 * logvar) - beta * u * .5 * (np.exp(logvar) - 1))
        return grads


@item("beta_vae_own_weight_forgotten", "beta-VAE, port of a torch example", "gradients", False,
      "The forward weighs the kl with kl_weight * beta, the backward only with beta; multiply the kl gradients by self.kl_weight.",
      ("fc21.weight", "fc21.bias", "fc22.weight", "fc22.bias"), ("factor", "elementwise-factor", "missing-term"))
def _():
    r = np.random.default_rng(91)
    return {"model": BetaVAE(seed=4), "x": bits(r, 5, 6), "eps": r.standard_normal((5, 2))}


# ---- class layers
class Dense:
    def __init__(self, owner, name, i, o, rng, flip=False, keep=False):
        self.owner, self.name, self.flip, self.keep = owner, name, flip, keep
        owner.params[name + "_W"] = rng.standard_normal((i, o)) * .6
        owner.params[name + "_b"] = rng.standard_normal(o) * .2
        self.dW, self.db = np.zeros((i, o)), np.zeros(o)

    def forward(self, v):
        self.v = v
        return v @ self.owner.params[self.name + "_W"] + self.owner.params[self.name + "_b"]

    def backward(self, g):
        if not self.keep:
            self.dW[...] = 0
            self.db[...] = 0
        self.dW += self.v.T @ g
        self.db += g.sum(0)
        W = self.owner.params[self.name + "_W"]
        return g @ W if self.flip else g @ W.T


class Tanh:
    def forward(self, v):
        self.out = np.tanh(v)
        return self.out

    def backward(self, g):
        return g * (1 - self.out ** 2)


class LayerVAE:
    def __init__(self, seed, flip=False, keep=False, d=5, h=4, z=2):
        rng = np.random.default_rng(seed)
        self.params = {}
        mk = lambda n, i, o, **k: Dense(self, n, i, o, rng, keep=keep, **k)
        self.enc = [mk("enc", d, h), Tanh()]
        self.mu, self.lv = mk("mu", h, z), mk("lv", h, z)
        self.dec = [mk("dec1", z, h), Tanh(), mk("dec2", h, h, flip=flip), Tanh(), mk("out", h, d)]
        self.dense = [l for l in self.enc + [self.mu, self.lv] + self.dec if isinstance(l, Dense)]

    def objective(self, x, eps, beta=1.0):
        h = x
        for l in self.enc:
            h = l.forward(h)
        mu, lv = self.mu.forward(h), self.lv.forward(h)
        sd = np.exp(.5 * lv)
        o = mu + sd * eps
        for l in self.dec:
            o = l.forward(o)
        nll = .5 * ((x - o) ** 2).sum(1) + .5 * x.shape[1] * np.log(2 * np.pi)
        kl = .5 * (mu ** 2 + sd ** 2 - lv - 1).sum(1)
        return Terms(-nll - beta * kl, nll, kl), (x, o, mu, lv, sd, eps, beta)

    def backward(self, dobjective, cache):
        x, o, mu, lv, sd, eps, beta = cache
        u = dobjective[:, None]
        g = u * (x - o)
        for l in reversed(self.dec):
            g = l.backward(g)
        gm = g - u * beta * mu
        gv = g * eps * .5 * sd - u * beta * .5 * (sd ** 2 - 1)
        g = self.mu.backward(gm) + self.lv.backward(gv)
        for l in reversed(self.enc):
            g = l.backward(g)
        out = {}
        for l in self.dense:
            out[l.name + "_W"], out[l.name + "_b"] = l.dW.copy(), l.db.copy()
        return out


@item("layer_vae_square_transpose", "layer classes with state, Gaussian decoder", "gradients", False,
      "The square layer dec2 sends back g @ W instead of g @ W.T.",
      ("enc_W", "enc_b", "mu_W", "mu_b", "lv_W", "lv_b", "dec1_W", "dec1_b"), ("transpose",))
def _():
    r = np.random.default_rng(101)
    return {"model": LayerVAE(7, flip=True), "x": r.standard_normal((4, 5)), "eps": r.standard_normal((4, 2))}


@item("layer_vae_accumulates", "layer classes with state, += gradients", "gradients", False,
      "The layers add to dW and db and nobody empties them: a second backward returns the sum of both; zero them first.",
      tuple(f"{n}_{k}" for n in ("enc", "mu", "lv", "dec1", "dec2", "out") for k in "Wb"), ("accumulates",))
def _():
    r = np.random.default_rng(102)
    return {"model": LayerVAE(9, keep=True), "x": r.standard_normal((4, 5)), "eps": r.standard_normal((4, 2))}


# ---- right: heteroscedastic Gaussian decoder, in-place work in own buffers
class HeteroVAE:
    def __init__(self, seed, d=4, z=2):
        r = np.random.default_rng(seed)
        self.d, self.z = d, z
        self.params = {"enc": r.standard_normal((d + 1, 2 * z)) * .5, "dec": r.standard_normal((z + 1, 2 * d)) * .5}   # bias in the last row

    def objective(self, x, eps, beta=1.0):
        x1 = np.c_[x, np.ones(len(x))]
        mu, lp = np.split(x1 @ self.params["enc"], 2, axis=1)          # lp: log precision
        z1 = np.c_[mu + eps * np.exp(-lp / 2), np.ones(len(x))]
        m, ls = np.hsplit(z1 @ self.params["dec"], 2)
        t = (x - m) * np.exp(-ls)
        nll = (t ** 2 / 2 + ls).sum(1) + self.d * np.log(2 * np.pi) / 2
        kl = (mu ** 2 + np.exp(-lp) + lp - 1).sum(1) / 2
        return Terms(-nll - beta * kl, nll, kl), (x1, eps, mu, lp, z1, ls, t, beta)

    def backward(self, dobjective, cache):
        x1, eps, mu, lp, z1, ls, t, beta = cache
        B = len(x1)
        gd = np.empty((B, 2 * self.d))
        np.multiply(t, np.exp(-ls), out=gd[:, :self.d])
        np.multiply(t, t, out=gd[:, self.d:])
        gd[:, self.d:] -= 1
        gd *= dobjective[:, None]
        dz = gd @ self.params["dec"][:-1].T
        ge = np.empty((B, 2 * self.z))
        ge[:, :self.z] = dz
        ge[:, self.z:] = dz * eps * np.exp(-lp / 2) * -.5
        ge[:, :self.z] -= beta * dobjective[:, None] * mu
        ge[:, self.z:] -= beta * dobjective[:, None] * .5 * (1 - np.exp(-lp))
        return {"enc": x1.T @ ge, "dec": z1.T @ gd}


@item("hetero_log_precision_right", "bias row inside the matrix, log precision, preallocated buffers", "gradients", True)
def _():
    r = np.random.default_rng(111)
    return {"model": HeteroVAE(5), "x": r.standard_normal((5, 4)), "eps": r.standard_normal((5, 2))}


# ---- right: mixture prior, Monte Carlo kl, clipped logvar, Poisson counts
class CountVAE:
    def __init__(self, seed, d=4, z=2, k=3):
        r = np.random.default_rng(seed)
        self.params = {"We": r.normal(size=(d, z)) * .3, "Ve": r.normal(size=(d, z)) * .6, "Wd": r.normal(size=(z, d)) * .4, "bd": r.normal(size=d) * .2 + 1,
                       "centers": r.normal(size=(k, z)), "mix": r.normal(size=k), "temp": np.array(0.3)}

    def objective(self, x, eps, beta=1.0):
        p = self.params
        y = np.log1p(x)
        mu, raw = y @ p["We"], y @ p["Ve"]
        lv = np.clip(raw, -1.0, 1.0)
        z = mu + np.exp(lv / 2) * eps
        lr = z @ p["Wd"] + p["bd"]
        nll = (np.exp(lr) - x * lr + gammaln(x + 1)).sum(1)
        lq = -.5 * (eps ** 2 + lv + np.log(2 * np.pi)).sum(1)
        diff = z[:, None, :] - p["centers"]
        prec = np.exp(p["temp"])
        comp = p["mix"] - logsumexp(p["mix"]) - .5 * prec * (diff ** 2).sum(2) + .5 * z.shape[1] * (p["temp"] - np.log(2 * np.pi))
        kl = lq - logsumexp(comp, axis=1)
        return Terms(-nll - beta * kl, nll, kl), (x, y, raw, lv, eps, z, lr, diff, prec, comp, beta)

    def backward(self, dobjective, cache):
        x, y, raw, lv, eps, z, lr, diff, prec, comp, beta = cache
        p, u = self.params, dobjective[:, None]
        dlr = u * (x - np.exp(lr))
        ub = beta * u
        resp = ub * softmax(comp, axis=1)
        dcen = prec * resp[:, :, None] * diff
        dz = dlr @ p["Wd"].T - dcen.sum(1)
        dlv = dz * eps * np.exp(lv / 2) / 2 + ub / 2
        draw = dlv * ((raw > -1) & (raw < 1))
        return {"We": y.T @ dz, "Ve": y.T @ draw, "Wd": z.T @ dlr, "bd": dlr.sum(0), "centers": dcen.sum(0),
                "mix": (resp - ub * softmax(p["mix"])).sum(0),
                "temp": np.array((resp * (-.5 * prec * (diff ** 2).sum(2) + .5 * z.shape[1])).sum())}


@item("count_vae_mixture_prior_right", "Poisson counts, mixture prior, clipped logvar, 0-d parameter", "gradients", True)
def _():
    r = np.random.default_rng(121)
    return {"model": CountVAE(14), "x": r.poisson(4, (5, 4)).astype(float), "eps": r.standard_normal((5, 2))}


# ====================================================================== samplers
def _mv(seed, b=4, z=3):
    r = np.random.default_rng(seed)
    lv = r.uniform(.6, 1.6, (b, z)) * np.where(np.arange(b * z).reshape(b, z) % 2, 1, -1)
    return {"mu": r.normal(1.0, 1.5, (b, z)), "logvar": lv}


def _sampler(name, style, right, slip="", causes=(), seed=0, z=3):
    def add(f):
        ITEMS.append(Item(name, style, "sampler", lambda: {"sampler": f, **_mv(seed, z=z)}, right, slip, () if right else ("z",), causes))
        return f
    return add


@_sampler("sampler_variance_as_std", "keras example", False, "exp(logvar) is the variance; the noise wants exp(logvar / 2).", ("elementwise-factor",), 1)
def _(z_mean, z_log_var, epsilon):
    return z_mean + np.exp(z_log_var) * epsilon


@_sampler("sampler_one_noise_per_row", "notebook", False, "One noise number a row is spread over all latents, so they move together; use the whole eps.", ("shape", "unknown"), 2)
def _(mu, logvar, eps):
    n = eps[:, :1]
    return mu + np.exp(0.5 * logvar) * n, (n, logvar)


@_sampler("sampler_mean_dropped", "two-stage helper", False, "The mean is never added: z = mu + std * eps.", ("missing-term",), 3)
def _(mu, logvar, eps):
    std = np.sqrt(np.exp(logvar))
    z = np.zeros_like(mu)
    z += std * eps
    return z


@_sampler("sampler_softplus_of_logvar", "probabilistic-programming port", False, "The head is a log variance, but softplus of it is taken as the scale; use exp(logvar / 2).", ("elementwise-factor",), 4)
def _(loc, raw, eps):
    scale = np.log1p(np.exp(raw))
    return loc + scale * eps


@_sampler("sampler_as_precision", "statistics code", False, "The log variance is used as a log precision: the exponent has the wrong sign, exp(+logvar / 2) is meant.", ("elementwise-factor",), 5)
def _(mu, logvar, eps):
    prec = np.exp(logvar)
    return mu + eps / np.sqrt(prec), {"prec": prec}


@_sampler("sampler_uniform_noise", "quasi Monte Carlo", False, "The noise is uniform with unit variance, not normal; put the uniform through the normal quantile.", ("unknown", "elementwise-factor"), 6)
def _(mu, logvar, eps):
    u = ndtr(eps)
    return mu + np.exp(logvar / 2) * np.sqrt(12.0) * (u - 0.5)


@_sampler("sampler_scales_the_mean", "one-liner", False, "The bracket is wrong: the mean is multiplied by sigma too; mu + sigma * eps.", ("elementwise-factor",), 7)
def _(mu, logvar, eps):
    return (mu + eps) * np.exp(.5 * logvar)


@_sampler("sampler_minus_eps_right", "antithetic habit", True, seed=11)
def _(mu, logvar, eps):
    return mu - np.exp(logvar / 2) * eps


@_sampler("sampler_householder_right", "random features code", True, seed=12)
def _(mu, logvar, eps):
    v = np.arange(1.0, 1 + eps.shape[1])
    turned = eps - 2 * np.outer(eps @ v, v) / (v @ v)          # an orthogonal turn of white noise is white
    return mu + np.sqrt(np.exp(logvar)) * turned, turned


@_sampler("sampler_cholesky_float32_right", "statistics, covariance matrices", True, seed=13)
def _(mu, logvar, eps):
    cov = np.zeros(mu.shape + mu.shape[-1:])
    i = np.arange(mu.shape[1])
    cov[:, i, i] = np.exp(logvar)
    L = np.linalg.cholesky(cov)
    return (mu + np.einsum("bij,bj->bi", L, eps)).astype(np.float32)


@_sampler("sampler_inverse_cdf_right", "quasi Monte Carlo", True, seed=14)
def _(mu, logvar, eps):
    u = ndtr(eps)
    return mu + np.exp(.5 * logvar) * ndtri(np.clip(1 - u, 1e-15, 1 - 1e-15))


@_sampler("sampler_reversed_columns_right", "strided views", True, seed=15, z=2)
def _(mu, logvar, eps):
    z = eps[:, ::-1].copy()
    z *= np.exp(logvar * .5)
    z += mu
    return z, eps


# ====================================================================== evidence
class _Ev:
    """Linear encoder, one hidden layer in the decoder, Bernoulli pixels."""

    def __init__(self, seed, d=6, z=1, h=4):
        r = np.random.default_rng(seed)
        self.params = {"Wm": r.normal(size=(d, z)) * .7, "bm": r.normal(size=z) * .3, "Wv": r.normal(size=(d, z)) * .4, "bv": r.normal(size=z) * .3 - .8,
                       "W1": r.normal(size=(z, h)) * 1.2, "b1": r.normal(size=h) * .4, "W2": r.normal(size=(h, d)), "b2": r.normal(size=d) * .4}

    def encode(self, x):
        p = self.params
        return x @ p["Wm"] + p["bm"], x @ p["Wv"] + p["bv"]

    def decode(self, z):
        p = self.params
        return np.tanh(z @ p["W1"] + p["b1"]) @ p["W2"] + p["b2"]


def _evidence(name, style, right, slip="", causes=(), seed=0, z=1, b=5):
    def add(cls):
        def make():
            r = np.random.default_rng(1000 + seed)
            x = bits(r, b, 6)
            x[np.arange(b), np.arange(b)] = 1 - x[np.arange(b), (np.arange(b) + 1) % 6]
            return {"model": cls(seed, z=z), "x": x}
        ITEMS.append(Item(name, style, "evidence", make, right, slip, () if right else ("elbo",), causes))
        return cls
    return add


@_evidence("elbo_kl_without_half", "textbook ELBO", False, "The kl lacks its factor one half.", ("factor",), 1)
class _(_Ev):
    def objective(self, x, eps):
        mu, lv = self.encode(x)
        a = self.decode(mu + np.exp(lv / 2) * eps)
        nll = (np.logaddexp(0, a) - x * a).sum(1)
        kl = (mu ** 2 + np.exp(lv) - lv - 1).sum(1)
        return SimpleNamespace(elbo=-nll - kl, nll=nll, kl=kl), (mu, lv, a)


@_evidence("elbo_mean_over_pixels", "keras binary_crossentropy", False, "The cross entropy is averaged over the pixels; it must be summed (times D) against the kl.", ("factor",), 2, 2)
class _(_Ev):
    def objective(self, x, eps):
        mu, lv = self.encode(x)
        p = np.clip(expit(self.decode(mu + np.exp(lv / 2) * eps)), 1e-9, 1 - 1e-9)
        recon = -np.mean(x * np.log(p) + (1 - x) * np.log(1 - p), axis=-1)
        kl = -0.5 * np.sum(1 + lv - mu ** 2 - np.exp(lv), axis=-1)
        return SimpleNamespace(elbo=-(recon + kl), nll=recon, kl=kl), None


@_evidence("elbo_kl_added", "elbo = log-likelihood minus kl, by hand", False, "'kl' is minus the divergence already, and is subtracted again: the bound gains the kl instead of paying it.", ("sign",), 3)
class _(_Ev):
    def objective(self, x, eps):
        mu, lv = self.encode(x)
        a = self.decode(mu + np.exp(lv / 2) * eps)
        ll = (x * a - np.logaddexp(0, a)).sum(1)
        neg_kl = 0.5 * (1 + lv - mu ** 2 - np.exp(lv)).sum(1)
        return SimpleNamespace(elbo=ll - neg_kl), None


@_evidence("iwae_without_log_k", "importance weighted bound", False, "log-sum-exp without - log K: the mean over the samples is meant.", ("missing-term",), 4)
class _(_Ev):
    K = 5

    def draw_eps(self, B, rng):
        return rng.standard_normal((self.K, B, self.params["bm"].size))

    def objective(self, x, eps):
        mu, lv = self.encode(x)
        z = mu + np.exp(lv / 2) * eps
        a = self.decode(z)
        lw = (x * a - np.logaddexp(0, a)).sum(-1) - .5 * (z ** 2).sum(-1) + .5 * (eps ** 2 + lv).sum(-1)
        top = lw.max(0)
        return SimpleNamespace(elbo=top + np.log(np.exp(lw - top).sum(0))), lw


@_evidence("elbo_kl_batch_mean", "notebook, torch port", False, "The kl is averaged over the batch and the same number taken from every row; keep it per row.", ("batch-sum", "shape"), 5, 2)
class _(_Ev):
    def objective(self, x, eps):
        mu, lv = self.encode(x)
        a = self.decode(mu + np.exp(lv / 2) * eps)
        nll = np.sum(np.maximum(a, 0) - a * x + np.log1p(np.exp(-abs(a))), 1)
        kld = np.mean(-0.5 * np.sum(1 + lv - mu ** 2 - np.exp(lv), 1))
        return SimpleNamespace(elbo=-nll - kld, nll=nll, kl=np.full(len(x), kld)), None


@_evidence("elbo_log_q_without_log_sigma", "Monte Carlo ELBO", False, "log q(z|x) lacks - log sigma, its normaliser: subtract 0.5 logvar.", ("missing-term",), 6)
class _(_Ev):
    def objective(self, x, eps):
        mu, lv = self.encode(x)
        z = mu + np.exp(lv / 2) * eps
        a = self.decode(z)
        log_px = (x * a - np.logaddexp(0, a)).sum(1)
        log_pz = -.5 * (z ** 2 + np.log(2 * np.pi)).sum(1)
        log_qz = -.5 * ((z - mu) ** 2 / np.exp(lv) + np.log(2 * np.pi)).sum(1)
        return SimpleNamespace(elbo=log_px + log_pz - log_qz), (z, a)


@_evidence("elbo_only_the_ones", "cross entropy by hand", False, "Only x log p is summed; (1 - x) log(1 - p) of the dark pixels is missing.", ("missing-term",), 7)
class _(_Ev):
    def objective(self, x, eps):
        mu, lv = self.encode(x)
        p = expit(self.decode(mu + np.exp(lv / 2) * eps))
        nll = -(x * np.log(p + 1e-12)).sum(1)
        kl = .5 * (mu ** 2 + np.exp(lv) - lv - 1).sum(1)
        return SimpleNamespace(elbo=-nll - kl, nll=nll, kl=kl), None


@_evidence("elbo_textbook_right", "features first inside, log sigma", True, seed=11, z=2)
class _(_Ev):
    def objective(self, x, eps):
        mu, lv = self.encode(x)
        M, LS = mu.T, lv.T / 2
        A = self.decode((M + np.exp(LS) * eps.T).T).T
        nll = -np.einsum("db,db->b", x.T, A) + np.logaddexp(0, A).sum(0)
        kl = np.sum(.5 * M ** 2 + .5 * np.exp(2 * LS) - LS - .5, axis=0)
        return SimpleNamespace(elbo=-nll - kl, nll=nll, kl=kl), None


@_evidence("elbo_antithetic_right", "antithetic pair", True, seed=12)
class _(_Ev):
    def objective(self, x, eps):
        mu, lv = self.encode(x)
        ll = 0.0
        for s in (1, -1):
            a = self.decode(mu + s * np.exp(lv / 2) * eps)
            ll = ll + .5 * (log_ber(x, a))
        kl = .5 * (mu ** 2 + np.exp(lv) - lv - 1).sum(1)
        return SimpleNamespace(elbo=ll - kl, nll=-ll, kl=kl), None


def log_ber(x, a):
    return -np.logaddexp(0, (1 - 2 * x) * a).sum(-1)


@_evidence("iwae_bound_right", "importance weighted bound", True, seed=13)
class _(_Ev):
    def draw_eps(self, B, rng):
        return rng.standard_normal((4, B, self.params["bm"].size))

    def objective(self, x, eps):
        mu, lv = self.encode(x)
        z = mu + np.exp(lv / 2) * eps
        lw = log_ber(x, self.decode(z)) + (-.5 * z ** 2 + .5 * eps ** 2 + .5 * lv).sum(-1)
        return SimpleNamespace(elbo=logsumexp(lw, axis=0, b=1 / len(eps))), None


@_evidence("elbo_monte_carlo_control_variate_right", "Monte Carlo kl with a control variate", True, seed=14, z=2)
class _(_Ev):
    def objective(self, x, eps):
        mu, lv = self.encode(x)
        z = mu + np.exp(lv / 2) * eps
        ll = log_ber(x, self.decode(z))
        kl = (.5 * z ** 2 - .5 * eps ** 2 - .5 * lv).sum(1)
        kl -= (np.exp(lv / 2) * mu * eps).sum(1)                # has mean zero
        return SimpleNamespace(elbo=ll - kl, nll=-ll, kl=kl), None


# ====================================================================== likelihoods
def _likelihood(name, style, right, slip="", wrong=(), causes=()):
    def add(cls):
        ITEMS.append(Item(name, style, "likelihood", lambda: {"p": cls()}, right, slip, wrong, causes))
        return cls
    return add


@_likelihood("poisson_without_factorial", "spike counts", False, "log x! is left out, so the probabilities do not sum to one: add gammaln(x + 1).", ("nll",), ("missing-term",))
class _:
    support, discrete, n_params = (0, np.inf), True, 1

    def nll(self, x, logits):
        rate = np.exp(logits)
        return (rate - x * logits).sum(1), (x, rate)

    def nll_backward(self, dnll, cache):
        x, rate = cache
        return dnll[:, None] * (rate - x)

    def mean(self, logits):
        return np.exp(logits)

    def sample(self, logits, rng):
        return rng.poisson(np.exp(logits)).astype(float)


@_likelihood("laplace_log_b_for_log_2b", "robust regression", False, "The normaliser of a Laplace density is log(2 b), not log(b): add log 2 a pixel.", ("nll",), ("missing-term",))
class _:
    support, discrete, n_params = (-np.inf, np.inf), False, 2

    def nll(self, x, logits):
        m, lb = np.split(logits, 2, axis=1)
        r = (x - m) / np.exp(lb)
        return np.sum(np.abs(r) + lb, axis=1), (r, lb)

    def nll_backward(self, dnll, cache):
        r, lb = cache
        return dnll[:, None] * np.concatenate([-np.sign(r) / np.exp(lb), 1 - np.abs(r)], axis=1)

    def mean(self, logits):
        return logits[:, :logits.shape[1] // 2].copy()

    def sample(self, logits, rng):
        m, lb = np.split(logits, 2, axis=1)
        return rng.laplace(m, np.exp(lb))


@_likelihood("gaussian_sample_variance", "Gaussian with logvar head", False, "rng.normal wants the standard deviation, and is given exp(logvar); give exp(logvar / 2).", ("sample",), ("elementwise-factor",))
class _:
    support, discrete, n_params = (-np.inf, np.inf), False, 2

    def nll(self, x, logits):
        D = x.shape[1]
        mean, logvar = logits[:, :D], logits[:, D:]
        t = (x - mean) ** 2 * np.exp(-logvar)
        return 0.5 * (t + logvar + np.log(2 * np.pi)).sum(1), (x, mean, logvar)

    def nll_backward(self, dnll, cache):
        x, mean, logvar = cache
        g = np.hstack([(mean - x) * np.exp(-logvar), 0.5 - 0.5 * (x - mean) ** 2 * np.exp(-logvar)])
        return g * dnll[:, None]

    def mean(self, logits):
        return logits[:, :logits.shape[1] // 2]

    def sample(self, logits, rng):
        D = logits.shape[1] // 2
        return rng.normal(logits[:, :D], np.exp(logits[:, D:]))


@_likelihood("lognormal_mean_is_median", "incomes", False, "exp(m) is the median; the mean is exp(m + s^2 / 2).", ("mean",), ("elementwise-factor", "missing-term"))
class _:
    support, discrete, n_params = (0.0, np.inf), False, 2

    @staticmethod
    def _split(logits):
        m, raw = np.hsplit(logits, 2)
        return m, 0.2 + 0.6 * expit(raw)

    def nll(self, x, logits):
        m, s = self._split(logits)
        lx = np.log(x)
        return (.5 * ((lx - m) / s) ** 2 + np.log(s) + .5 * np.log(2 * np.pi) + lx).sum(1), (lx, m, s)

    def nll_backward(self, dnll, cache):
        lx, m, s = cache
        dm = (m - lx) / s ** 2
        ds = 1 / s - (lx - m) ** 2 / s ** 3
        q = (s - 0.2) / 0.6
        return np.hstack([dm, ds * .6 * q * (1 - q)]) * dnll[:, None]

    def mean(self, logits):
        return np.exp(self._split(logits)[0])

    def sample(self, logits, rng):
        m, s = self._split(logits)
        return np.exp(m + s * rng.standard_normal(m.shape))


def _cb_parts(l):
    """log normaliser of the density exp(l x) on [0, 1], its mean, safely near l = 0"""
    small = np.abs(l) < 1e-3
    s = np.where(small, 1.0, l)
    logz = np.where(small, l / 2 + l ** 2 / 24, np.maximum(s, 0) + np.log(-np.expm1(-np.abs(s)) / np.abs(s)))
    mean = np.where(small, .5 + l / 12, 1 / -np.expm1(-s) - 1 / s)
    return logz, mean


class _CB:
    support, discrete, n_params = (0.0, 1.0), False, 1
    bare = False

    def nll(self, x, logits):
        logz = np.logaddexp(0, logits) if self.bare else _cb_parts(logits)[0]
        return (logz - x * logits).sum(1), (x, logits)

    def mean(self, logits):
        return _cb_parts(logits)[1]

    def sample(self, logits, rng):
        u = rng.random(logits.shape)
        s = np.where(np.abs(logits) < 1e-6, 1e-6, logits)
        return np.log1p(u * np.expm1(s)) / s


@_likelihood("cross_entropy_on_grey_pixels", "continuous Bernoulli, MNIST grey values", False,
             "Plain cross entropy on values in [0, 1] is no density: the continuous Bernoulli's log normaliser is missing.", ("nll",), ("missing-term",))
class _(_CB):
    bare = True


@_likelihood("continuous_bernoulli_right", "continuous Bernoulli, Taylor near zero", True)
class _(_CB):
    def nll_backward(self, dnll, cache):
        x, l = cache
        return dnll[:, None] * (_cb_parts(l)[1] - x)


@_likelihood("gamma_backward_log_shape", "waiting times, gamma", False, "The gradient of the log rate is right, but in place of the raw shape head stands that of the shape a = 1 + exp(la): multiply by exp(la) = a - 1.",
             ("logits",), ("elementwise-factor",))
class _:
    support, discrete, n_params = (0.0, np.inf), False, 2

    def _ab(self, logits):
        la, lb = np.split(logits, 2, axis=1)
        return 1 + np.exp(la), np.exp(lb)

    def nll(self, x, logits):
        a, b = self._ab(logits)
        return (gammaln(a) - a * np.log(b) - (a - 1) * np.log(x) + b * x).sum(1), (x, a, b)

    def nll_backward(self, dnll, cache):
        x, a, b = cache
        da = digamma(a) - np.log(b) - np.log(x)
        dlb = -a + b * x
        return np.concatenate([da, dlb], axis=1) * dnll[:, None]

    def mean(self, logits):
        a, b = self._ab(logits)
        return a / b

    def sample(self, logits, rng):
        a, b = self._ab(logits)
        return rng.gamma(a, 1 / b)


@_likelihood("negative_binomial_right", "gene counts, log mean and log dispersion", True)
class _:
    support, discrete, n_params = (0, np.inf), True, 2

    def _mr(self, logits):
        D = logits.shape[1] // 2
        return np.exp(logits[:, :D]), 1.0 + np.exp(logits[:, D:])

    def nll(self, x, logits):
        m, r = self._mr(logits)
        lp = gammaln(x + r) - gammaln(r) - gammaln(x + 1) + r * np.log(r / (r + m)) + x * np.log(m / (r + m))
        return -lp.sum(1), (x, m, r)

    def nll_backward(self, dnll, cache):
        x, m, r = cache
        dlm = r * (m - x) / (r + m)
        dr = -(digamma(x + r) - digamma(r) + np.log(r / (r + m)) + 1 - (r + x) / (r + m))
        return np.concatenate([dlm, dr * (r - 1)], 1) * dnll[:, None]

    def mean(self, logits):
        return self._mr(logits)[0]

    def sample(self, logits, rng):
        m, r = self._mr(logits)
        return rng.poisson(rng.gamma(r, m / r)).astype(float)


@_likelihood("discretised_logistic_right", "PixelCNN++-like bins 0..4", True)
class _:
    support, discrete, n_params = (0, 4), True, 2

    def _cdf(self, v, logits):
        D = logits.shape[1] // 2
        return expit((v - 2 - logits[:, :D]) * np.exp(-logits[:, D:]))

    def _pmf(self, x, logits):
        hi = np.where(x >= 4, 1.0, self._cdf(x + .5, logits))
        lo = np.where(x <= 0, 0.0, self._cdf(x - .5, logits))
        return hi - lo

    def nll(self, x, logits):
        return -np.log(np.maximum(self._pmf(x, logits), 1e-300)).sum(1), None

    def mean(self, logits):
        D = logits.shape[1] // 2
        return sum(k * self._pmf(np.full((len(logits), D), float(k)), logits) for k in range(1, 5))

    def sample(self, logits, rng):
        D = logits.shape[1] // 2
        v = 2 + rng.logistic(logits[:, :D], np.exp(logits[:, D:]))
        return np.clip(np.rint(v), 0, 4)


@_likelihood("gumbel_right", "extreme values", True)
class _:
    support, discrete, n_params = (-np.inf, np.inf), False, 2

    def nll(self, x, logits):
        m, ls = np.hsplit(logits, 2)
        t = (x - m) * np.exp(-ls)
        return (t + np.exp(-t) + ls).sum(1), (t, ls)

    def nll_backward(self, dnll, cache):
        t, ls = cache
        dt = 1 - np.exp(-t)
        return np.hstack([-dt * np.exp(-ls), 1 - dt * t]) * dnll[:, None]

    def mean(self, logits):
        m, ls = np.hsplit(logits, 2)
        return m + np.euler_gamma * np.exp(ls)

    def sample(self, logits, rng):
        m, ls = np.hsplit(logits, 2)
        return m - np.exp(ls) * np.log(rng.exponential(size=m.shape))


# ====================================================================== optimizers
class RefAdam:
    def __init__(self, lr=.01, b1=.9, b2=.999, eps=1e-8, decay=0.0):
        self.lr, self.b1, self.b2, self.eps, self.decay, self.t, self.m, self.v = lr, b1, b2, eps, decay, 0, {}, {}

    def step(self, params, grads):
        self.t += 1
        for k, p in params.items():
            g = grads[k]
            self.m[k] = self.b1 * self.m.get(k, 0.0) + (1 - self.b1) * g
            self.v[k] = self.b2 * self.v.get(k, 0.0) + (1 - self.b2) * g ** 2
            mh, vh = self.m[k] / (1 - self.b1 ** self.t), self.v[k] / (1 - self.b2 ** self.t)
            p -= self.lr * (mh / (np.sqrt(vh) + self.eps) + self.decay * p)


class RefNesterov:
    """torch manner: buf = mu buf + g, p -= lr (g + mu buf)"""

    def __init__(self, lr=.05, mu=.9, nesterov=True):
        self.lr, self.mu, self.nesterov, self.buf = lr, mu, nesterov, {}

    def step(self, params, grads):
        for k in params:
            self.buf[k] = self.mu * self.buf.get(k, 0.0) + grads[k]
            params[k] -= self.lr * (grads[k] + self.mu * self.buf[k] if self.nesterov else self.buf[k])


class RefRMSprop:
    def __init__(self, lr=.01, rho=.9, eps=1e-6):
        self.lr, self.rho, self.eps, self.s = lr, rho, eps, {}

    def step(self, params, grads):
        for k in params:
            self.s[k] = self.rho * self.s.get(k, 0.0) + (1 - self.rho) * grads[k] ** 2
            params[k] -= self.lr * grads[k] / (np.sqrt(self.s[k]) + self.eps)


def _optimizer(name, style, ref, right, slip="", causes=()):
    def add(cls):
        ITEMS.append(Item(name, style, "optimizer", lambda: {"optimizer": cls(), "reference": ref()}, right, slip, () if right else ("params",), causes))
        return cls
    return add


@_optimizer("adam_second_moment_not_corrected", "course assignment", RefAdam, False,
            "Only the first moment is bias-corrected; divide v by 1 - beta2**t too.", ("factor", "elementwise-factor", "missing-term"))
class _:
    def __init__(self):
        self.cfg = {"t": 0, "m": {}, "v": {}}

    def step(self, params, grads):
        c = self.cfg
        c["t"] += 1
        for k in params:
            m = c["m"].setdefault(k, np.zeros_like(params[k]))
            v = c["v"].setdefault(k, np.zeros_like(params[k]))
            m[...] = .9 * m + .1 * grads[k]
            v[...] = .999 * v + .001 * grads[k] ** 2
            mhat = m / (1 - .9 ** c["t"])
            params[k] -= .01 * mhat / (np.sqrt(v) + 1e-8)


@_optimizer("adam_t_per_parameter", "from-scratch framework", RefAdam, False,
            "t is counted up once for every parameter instead of once a step; move it before the loop.", ("factor", "elementwise-factor", "unknown"))
class _:
    def __init__(self, lr=.01, betas=(.9, .999), eps=1e-8):
        self.lr, self.betas, self.eps, self.t, self.state = lr, betas, eps, 0, {}

    def step(self, params, grads):
        b1, b2 = self.betas
        for name, g in grads.items():
            self.t += 1
            m, v = self.state.get(name, (0, 0))
            m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
            self.state[name] = m, v
            params[name] -= self.lr * (m / (1 - b1 ** self.t)) / (np.sqrt(v / (1 - b2 ** self.t)) + self.eps)


@_optimizer("adamw_coupled_decay", "AdamW port", lambda: RefAdam(decay=.1), False,
            "The decay is added to the gradient and so is normalised away (L2); AdamW takes lr * decay * p off directly.", ("missing-term", "elementwise-factor"))
class _(RefAdam):
    def __init__(self):
        super().__init__(decay=0.0)
        self.wd = .1

    def step(self, params, grads):
        super().step(params, {k: grads[k] + self.wd * params[k] for k in params})


@_optimizer("nesterov_alias_of_old_velocity", "cs-course Nesterov", RefNesterov, False,
            "v_prev is the same array as v, which is then moved in place, so the look-back is lost; v_prev = v.copy().", ("missing-term", "elementwise-factor", "factor"))
class _:
    def __init__(self):
        self.vel = {}

    def step(self, params, grads):
        lr, mu = .05, .9
        for k in params:
            v = self.vel.setdefault(k, np.zeros_like(params[k]))
            v_prev = v
            v *= mu
            v -= lr * grads[k]
            params[k] += -mu * v_prev + (1 + mu) * v


@_optimizer("momentum_keeps_callers_gradient", "SGD port without clone", lambda: RefNesterov(nesterov=False), False,
            "The first buffer is the caller's gradient array itself and is later changed in place; copy it.", ("mutates-input",))
class _:
    def __init__(self):
        self.buf = {}

    def step(self, params, grads):
        for k, g in grads.items():
            if k not in self.buf:
                self.buf[k] = g
            else:
                self.buf[k] *= .9
                self.buf[k] += g
            params[k] -= .05 * self.buf[k]


@_optimizer("adam_folded_step_right", "efficient form of the Adam paper", RefAdam, True)
class _:
    def __init__(self):
        self.n, self.m, self.u = 0, {}, {}

    def step(self, params, grads):
        self.n += 1
        c2 = np.sqrt(1 - .999 ** self.n)
        rate = .01 * c2 / (1 - .9 ** self.n)
        for k in sorted(params):
            g = grads[k]
            m = self.m.setdefault(k, np.zeros_like(g))
            u = self.u.setdefault(k, np.zeros_like(g))
            m += .1 * (g - m)
            u += (1 - .999) * (g * g - u)
            params[k] -= rate * m / (np.sqrt(u) + 1e-8 * c2)


@_optimizer("nesterov_velocity_form_right", "cs-course Nesterov", RefNesterov, True)
class _:
    def __init__(self):
        self.vel = {}

    def step(self, params, grads):
        for k, p in params.items():
            old = self.vel.get(k, np.zeros_like(p))
            new = .9 * old - .05 * grads[k]
            p += -.9 * old + 1.9 * new
            self.vel[k] = new


@_optimizer("rmsprop_buffers_right", "preallocated buffers, out= everywhere", RefRMSprop, True)
class _:
    def __init__(self):
        self.s, self.tmp = {}, {}

    def step(self, params, grads):
        for k, g in grads.items():
            if k not in self.s:
                self.s[k], self.tmp[k] = np.zeros_like(g), np.empty_like(g)
            s, t = self.s[k], self.tmp[k]
            np.multiply(g, g, out=t)
            t *= 1 - .9
            s *= .9
            s += t
            np.sqrt(s, out=t)
            t += 1e-6
            np.divide(g, t, out=t)
            t *= .01
            params[k] -= t
