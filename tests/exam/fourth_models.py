"""Exam paper: variational autoencoders and probability - whole models, samplers, evidence, likelihoods, optimizers."""
from collections import namedtuple
from types import SimpleNamespace
from typing import Callable, NamedTuple

import numpy as np
from scipy import special, stats


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
LOG2PI = np.log(2 * np.pi)


def _item(name, style, check, make, right, slip="", wrong=(), causes=()):
    ITEMS.append(Item(name, style, check, make, right, slip, wrong, causes))


def _pixels(seed, b, d):
    return (np.random.default_rng(seed).random((b, d)) < 0.5).astype(np.float64)


# =====================================================================================================================
# gradients
# =====================================================================================================================

# --- 1. course assignment ---------------------------------------------------------------------------------------------


class AssignmentVAE:
    """Two layer VAE of a course assignment; everything is a row vector times a matrix."""

    def __init__(self, D=5, H=4, Z=2, seed=0):
        r = np.random.RandomState(seed)
        self.params = {}
        self.params["W1"] = 0.6 * r.randn(D, H)
        self.params["b1"] = 0.1 * r.randn(H)
        self.params["W_mu"] = 0.6 * r.randn(H, Z)
        self.params["b_mu"] = 0.1 * r.randn(Z)
        self.params["W_lv"] = 0.6 * r.randn(H, Z)
        self.params["b_lv"] = 0.1 * r.randn(Z)
        self.params["W2"] = 0.6 * r.randn(Z, H)
        self.params["b2"] = 0.1 * r.randn(H)
        self.params["W3"] = 0.6 * r.randn(H, D)
        self.params["b3"] = 0.1 * r.randn(D)

    def encode(self, x):
        p = self.params
        h = np.tanh(x @ p["W1"] + p["b1"])
        return h @ p["W_mu"] + p["b_mu"], h @ p["W_lv"] + p["b_lv"], (x, h)

    def objective(self, x, eps, beta=1.0):
        p = self.params
        mu, logvar, enc = self.encode(x)
        std = np.exp(0.5 * logvar)
        z = mu + std * eps
        h2 = np.tanh(z @ p["W2"] + p["b2"])
        logits = h2 @ p["W3"] + p["b3"]
        nll = np.sum(np.logaddexp(0, logits) - x * logits, axis=1)
        kl = -0.5 * np.sum(1 + logvar - mu**2 - np.exp(logvar), axis=1)
        cache = (enc, mu, logvar, std, eps, z, h2, logits, beta)
        return SimpleNamespace(objective=-nll - beta * kl, nll=nll, kl=kl), cache

    def backward(self, dobjective, cache):
        (x, h), mu, logvar, std, eps, z, h2, logits, beta = cache
        p, g = self.params, {}
        dout = dobjective.reshape(-1, 1)
        # reconstruction
        dlogits = -dout * (1 / (1 + np.exp(-logits)) - x)
        g["W3"] = h2.T @ dlogits
        g["b3"] = dlogits.sum(0)
        da2 = dlogits @ p["W3"].T * (1 - h2**2)
        g["W2"] = z.T @ da2
        g["b2"] = da2.sum(0)
        dz = da2 @ p["W2"].T
        # reparametrization
        dmu = dz.copy()
        dlogvar = dz * eps * std
        # KL
        dmu += -beta * dout * mu
        dlogvar += -beta * dout * 0.5 * (np.exp(logvar) - 1)
        g["W_mu"], g["b_mu"] = h.T @ dmu, dmu.sum(0)
        g["W_lv"], g["b_lv"] = h.T @ dlogvar, dlogvar.sum(0)
        da = (dmu @ p["W_mu"].T + dlogvar @ p["W_lv"].T) * (1 - h**2)
        g["W1"], g["b1"] = x.T @ da, da.sum(0)
        return g


def make_assignment_half():
    return {"model": AssignmentVAE(), "x": _pixels(1, 4, 5), "eps": np.random.default_rng(2).standard_normal((4, 2))}


_item("assignment_reparam_half", "course assignment, params dict", "gradients", make_assignment_half, False,
      "std = exp(logvar / 2), so d std / d logvar = std / 2; the reparametrisation path has no 1/2. "
      "Repair: dlogvar = 0.5 * dz * eps * std.",
      ("W_lv", "b_lv", "W1", "b1"), ("factor", "elementwise-factor", "missing-term"))


# --- 2. layer classes with state ------------------------------------------------------------------------------------


class _Affine:
    def __init__(self, store, name, n_in, n_out, rng):
        self.store, self.name = store, name
        store[name + ".weight"] = rng.normal(size=(n_out, n_in)) / np.sqrt(n_in)
        store[name + ".bias"] = rng.normal(size=n_out) * 0.2

    def __call__(self, v):
        self.v = v
        return v @ self.store[self.name + ".weight"].T + self.store[self.name + ".bias"]

    def back(self, dy, grads):
        grads[self.name + ".weight"] = dy.T @ self.v
        grads[self.name + ".bias"] = dy.sum(axis=0)
        return dy @ self.store[self.name + ".weight"]


class _Softplus:
    def __call__(self, v):
        self.v = v
        return np.logaddexp(0.0, v)

    def back(self, dy, grads):
        return dy * special.expit(self.v)


class ModuleVAE:
    def __init__(self, seed=5):
        rng = np.random.default_rng(seed)
        self.params = {}
        self.fc1 = _Affine(self.params, "fc1", 6, 4, rng)
        self.act1 = _Softplus()
        self.fc21 = _Affine(self.params, "fc21", 4, 2, rng)
        self.fc22 = _Affine(self.params, "fc22", 4, 2, rng)
        self.fc3 = _Affine(self.params, "fc3", 2, 4, rng)
        self.act3 = _Softplus()
        self.fc4 = _Affine(self.params, "fc4", 4, 6, rng)

    def encode(self, x):
        h = self.act1(self.fc1(x))
        return self.fc21(h), self.fc22(h), h

    def reparameterize(self, mu, logvar, eps):
        std = np.exp(0.5 * logvar)
        return mu + eps * std

    def objective(self, x, eps, beta=1.0):
        mu, logvar, _ = self.encode(x)
        z = self.reparameterize(mu, logvar, eps)
        recon = self.fc4(self.act3(self.fc3(z)))
        bce = (np.maximum(recon, 0) - recon * x + np.log1p(np.exp(-np.abs(recon)))).sum(1)
        kld = -0.5 * (1 + logvar - mu**2 - np.exp(logvar)).sum(1)
        return SimpleNamespace(objective=-(bce + beta * kld), nll=bce, kl=kld), dict(
            x=x, eps=eps, mu=mu, logvar=logvar, recon=recon, beta=beta)

    def backward(self, dobjective, cache):
        g = {}
        c = SimpleNamespace(**cache)
        dloss = -dobjective[:, None]
        drecon = dloss * (special.expit(c.recon) - c.x)
        dz = self.fc3.back(self.act3.back(self.fc4.back(drecon, g), g), g)
        dkl = c.beta * dloss
        dmu = dz - dkl * c.mu
        dlogvar = dz * c.eps * 0.5 * np.exp(0.5 * c.logvar) - dkl * 0.5 * (1 - np.exp(c.logvar))
        dh = self.fc21.back(dmu, g) + self.fc22.back(dlogvar, g)
        self.fc1.back(self.act1.back(dh, g), g)
        return g


def make_module_klsign():
    return {"model": ModuleVAE(), "x": _pixels(7, 5, 6), "eps": np.random.default_rng(8).standard_normal((5, 2))}


_item("module_vae_kl_mu_sign", "port of a framework example, layers with state", "gradients", make_module_klsign, False,
      "d kl / d mu is +mu, here it enters the gradient of the loss with a minus. Repair: dmu = dz + dkl * mu.",
      ("fc21.weight", "fc21.bias", "fc1.weight", "fc1.bias"), ("sign", "missing-term"))


# --- 3. functional, haiku-like paths ------------------------------------------------------------------------------------


def _linear(params, scope, v):
    return v @ params[scope + "/w"] + params[scope + "/b"]


def _linear_vjp(params, scope, v, ct, out):
    out[scope + "/w"] = np.einsum("bi,bj->ij", v, ct)
    out[scope + "/b"] = ct.sum(0)
    return ct @ params[scope + "/w"].T


def _linear_vjp_head(params, scope, v, ct, out):
    out[scope + "/w"] = np.einsum("bi,bj->ij", v, ct)
    out[scope + "/b"] = np.mean(ct, 0)
    return ct @ params[scope + "/w"].T


class ScopedVAE:
    Terms = namedtuple("Terms", "objective nll kl")

    def __init__(self):
        rng = np.random.default_rng(21)
        shapes = {"encoder/body": (4, 5), "encoder/loc": (5, 2), "encoder/logvar": (5, 2), "decoder/body": (2, 5), "decoder/logits": (5, 4)}
        self.params = {}
        for scope, shape in shapes.items():
            self.params[scope + "/w"] = rng.normal(size=shape) * 0.7
            self.params[scope + "/b"] = rng.normal(size=shape[1]) * 0.3

    def objective(self, x, eps, beta=1.0):
        P = self.params
        e = np.sin(_linear(P, "encoder/body", x))
        loc, lv = _linear(P, "encoder/loc", e), _linear(P, "encoder/logvar", e)
        z = loc + np.exp(lv / 2) * eps
        d = np.sin(_linear(P, "decoder/body", z))
        lg = _linear(P, "decoder/logits", d)
        nll = np.logaddexp(0, np.where(x > 0.5, -lg, lg)).sum(-1)
        kl = 0.5 * (loc**2 + np.expm1(lv) - lv).sum(-1)
        return self.Terms(-nll - beta * kl, nll, kl), (x, eps, beta, e, loc, lv, z, d, lg)

    def backward(self, dobjective, cache):
        x, eps, beta, e, loc, lv, z, d, lg = cache
        P, out = self.params, {}
        ct = dobjective[:, None]
        ct_d = _linear_vjp_head(P, "decoder/logits", d, ct * (x - special.expit(lg)), out)
        ct_z = _linear_vjp(P, "decoder/body", z, ct_d * np.cos(_linear(P, "decoder/body", z)), out)
        ct_loc = ct_z - beta * ct * loc
        ct_lv = 0.5 * (ct_z * eps * np.exp(lv / 2) - beta * ct * np.expm1(lv))
        ct_e = _linear_vjp(P, "encoder/loc", e, ct_loc, out) + _linear_vjp(P, "encoder/logvar", e, ct_lv, out)
        _linear_vjp(P, "encoder/body", x, ct_e * np.cos(_linear(P, "encoder/body", x)), out)
        return out


_item("scoped_vae_bias_mean", "functional, haiku-like parameter paths", "gradients",
      lambda: {"model": ScopedVAE(), "x": _pixels(22, 4, 4), "eps": np.random.default_rng(23).standard_normal((4, 2))}, False,
      "The bias of the output head takes the mean over the batch while every other takes the sum: off by 1/B. Repair: ct.sum(0).",
      ("decoder/logits/b",), ("factor", "batch-sum"))


# --- 4. tied weights --------------------------------------------------------------------------------------------------


class TiedVAE:
    """Decoder's last layer is the transpose of the encoder's first one."""

    def __init__(self, rng):
        D, H, Z = 5, 3, 2
        self.params = dict(W=rng.normal(0, .7, (D, H)), b=rng.normal(0, .2, H), M=rng.normal(0, .7, (H, Z)), S=rng.normal(0, .7, (H, Z)),
                           V=rng.normal(0, .7, (Z, H)), c=rng.normal(0, .2, H), d=rng.normal(0, .2, D))

    def objective(self, x, eps, beta=1.0):
        p = SimpleNamespace(**self.params)
        h = np.tanh(x @ p.W + p.b)
        mu, ls = h @ p.M, h @ p.S          # ls: log standard deviation
        s = np.exp(ls)
        z = mu + s * eps
        g = np.tanh(z @ p.V + p.c)
        a = g @ p.W.T + p.d
        nll = (np.logaddexp(0, a) - a * x).sum(1)
        kl = (0.5 * (mu * mu + s * s - 1) - ls).sum(1)
        return SimpleNamespace(objective=-nll - beta * kl, nll=nll, kl=kl), (x, eps, beta, h, mu, s, z, g, a)

    def backward(self, dobjective, cache):
        x, eps, beta, h, mu, s, z, g, a = cache
        p = SimpleNamespace(**self.params)
        dJ = dobjective[:, None]
        grads = {}
        da = dJ * (x - 1 / (1 + np.exp(-a)))
        grads["d"] = da.sum(0)
        grads["W"] = da.T @ g
        dg = (da @ p.W) * (1 - g * g)
        grads["V"], grads["c"] = z.T @ dg, dg.sum(0)
        dz = dg @ p.V.T
        dmu = dz - beta * dJ * mu
        dls = dz * eps * s - beta * dJ * (s * s - 1)
        grads["M"], grads["S"] = h.T @ dmu, h.T @ dls
        dh = (dmu @ p.M.T + dls @ p.S.T) * (1 - h * h)
        grads["W"] = x.T @ dh
        grads["b"] = dh.sum(0)
        return grads


_item("tied_vae_overwrites", "notebook, tied encoder and decoder", "gradients",
      lambda: {"model": TiedVAE(np.random.default_rng(31)), "x": _pixels(32, 4, 5), "eps": np.random.default_rng(33).standard_normal((4, 2))}, False,
      "W is used twice; its decoder share is overwritten by the encoder's. Repair: grads['W'] += x.T @ dh.",
      ("W",), ("missing-term",))


# --- 5. features first ------------------------------------------------------------------------------------------------


class ColumnsVAE:
    """Lecture notation: columns are examples inside, rows outside."""

    def __init__(self):
        r = np.random.default_rng(41)
        self.params = {"We": r.normal(size=(4, 5)) * .5, "be": r.normal(size=(4, 1)) * .2,
                       "Wm": r.normal(size=(2, 4)) * .6, "bm": r.normal(size=(2, 1)) * .5,
                       "Wv": r.normal(size=(2, 4)) * .6, "bv": r.normal(size=(2, 1)) * .5,
                       "Wd": r.normal(size=(5, 2)) * .6, "bd": r.normal(size=(5, 1)) * .2}

    def objective(self, x, eps, beta=1.0):
        p = self.params
        X, E = x.T, eps.T
        H = np.arctan(p["We"] @ X + p["be"])
        M = p["Wm"] @ H + p["bm"]
        L = p["Wv"] @ H + p["bv"]
        Zs = M + np.exp(.5 * L) * E
        A = p["Wd"] @ Zs + p["bd"]
        nll = np.sum(np.logaddexp(0, A) - X * A, axis=0)
        kl = .5 * np.sum(M**2 + np.exp(L) - L - 1, axis=0)
        return SimpleNamespace(objective=-nll - beta * kl, nll=nll, kl=kl), (X, E, H, M, L, Zs, A, beta)

    def backward(self, dobjective, cache):
        X, E, H, M, L, Zs, A, beta = cache
        p = self.params
        w = dobjective[None, :]
        dA = w * (X - special.expit(A))
        dZ = p["Wd"].T @ dA
        dM = dZ - beta * M
        dL = .5 * dZ * E * np.exp(.5 * L) - .5 * beta * (np.exp(L) - 1)
        dH = p["Wm"].T @ dM + p["Wv"].T @ dL
        pre = p["We"] @ X + p["be"]
        dP = dH / (1 + pre**2)
        col = dict(axis=1, keepdims=True)
        return {"Wd": dA @ Zs.T, "bd": dA.sum(**col), "Wm": dM @ H.T, "bm": dM.sum(**col), "Wv": dL @ H.T, "bv": dL.sum(**col),
                "We": dP @ X.T, "be": dP.sum(**col)}


_item("columns_vae_kl_unweighted", "features-first lecture code", "gradients",
      lambda: {"model": ColumnsVAE(), "x": _pixels(42, 4, 5), "eps": np.random.default_rng(43).standard_normal((4, 2))}, False,
      "The KL part of the gradient is not multiplied by the incoming dobjective (every row counts 1). Repair: w * beta * M and w * beta * (exp(L) - 1) / 2.",
      ("Wm", "bm", "Wv", "bv", "We", "be"), ("missing-term", "batch-sum", "elementwise-factor"))


# --- 6. RL baselines style, clipped log std -------------------------------------------------------------------------------

LOG_STD_MIN, LOG_STD_MAX = -1.0, 0.6


class ClippedStdVAE:
    """World model of an agent: the encoder head gives both mean and log std, which is clipped as in policies."""

    def __init__(self, seed):
        rng = np.random.default_rng(seed)
        self.params = {
            "enc.kernel": rng.normal(0, 0.8, (4, 6)), "enc.bias": rng.normal(0, 0.2, 6),
            "head.kernel": rng.normal(0, 1.2, (6, 4)), "head.bias": rng.normal(0, 0.2, 4),
            "dec.kernel": rng.normal(0, 0.8, (2, 4)), "dec.bias": rng.normal(0, 0.2, 4)}

    def encode(self, obs):
        p = self.params
        feat = np.tanh(obs @ p["enc.kernel"] + p["enc.bias"])
        mean, raw = np.split(feat @ p["head.kernel"] + p["head.bias"], 2, axis=-1)
        log_std = np.clip(raw, LOG_STD_MIN, LOG_STD_MAX)
        return mean, 2 * log_std, (feat, raw, log_std)

    def objective(self, x, eps, beta=1.0):
        p = self.params
        mean, logvar, (feat, raw, log_std) = self.encode(x)
        std = np.exp(log_std)
        z = mean + std * eps
        pred = z @ p["dec.kernel"] + p["dec.bias"]
        # unit variance Gaussian observation
        nll = 0.5 * np.sum((x - pred)**2 + LOG2PI, -1)
        kl = 0.5 * np.sum(mean**2 + std**2 - 1 - 2 * log_std, -1)
        return SimpleNamespace(objective=-nll - beta * kl, nll=nll, kl=kl), dict(
            obs=x, eps=eps, feat=feat, raw=raw, mean=mean, std=std, z=z, pred=pred, beta=beta)

    def backward(self, dobjective, cache):
        p, c = self.params, cache
        w = dobjective[..., None]
        dpred = w * (c["obs"] - c["pred"])
        dz = dpred @ p["dec.kernel"].T
        dmean = dz - w * c["beta"] * c["mean"]
        dlog_std = dz * c["eps"] * c["std"] - w * c["beta"] * (c["std"]**2 - 1)
        dhead = np.concatenate([dmean, dlog_std], axis=-1)
        dfeat = dhead @ p["head.kernel"].T
        dpre = dfeat * (1 - c["feat"]**2)
        return {"dec.kernel": c["z"].T @ dpred, "dec.bias": dpred.sum(0), "head.kernel": c["feat"].T @ dhead, "head.bias": dhead.sum(0),
                "enc.kernel": c["obs"].T @ dpre, "enc.bias": dpre.sum(0)}


_item("clipped_std_no_mask", "reinforcement-learning baseline, world model", "gradients",
      lambda: {"model": ClippedStdVAE(51), "x": np.random.default_rng(52).normal(size=(5, 4)), "eps": np.random.default_rng(53).standard_normal((5, 2))},
      False, "log_std is clipped in the forward but the gradient passes outside of the range too. "
      "Repair: dlog_std *= (raw > LOG_STD_MIN) & (raw < LOG_STD_MAX).",
      ("head.kernel", "head.bias", "enc.kernel", "enc.bias"), ("elementwise-factor",))


# --- 7 and right: IWAE ----------------------------------------------------------------------------------------------------


class IWAE:
    """K importance samples; eps is (K, B, Z)."""

    def __init__(self, seed):
        g = np.random.default_rng(seed)
        n = lambda *s: g.normal(0, 0.9, s)
        self.params = {"A": n(5, 2), "a": n(2), "C": n(5, 2), "c": n(2), "F": n(2, 4), "f": n(4), "G": n(4, 5), "g": n(5)}

    def objective(self, x, eps, beta=1.0):
        p = self.params
        mu, lv = x @ p["A"] + p["a"], x @ p["C"] + p["c"]
        sig = np.exp(lv / 2)
        z = mu + sig * eps
        t = np.tanh(z @ p["F"] + p["f"])
        y = t @ p["G"] + p["g"]
        logpx = (x * y - np.logaddexp(0, y)).sum(-1)
        logpz = -0.5 * (z**2 + LOG2PI).sum(-1)
        logqz = -0.5 * (eps**2 + lv + LOG2PI).sum(-1)
        logw = logpx + beta * (logpz - logqz)
        bound = special.logsumexp(logw, axis=0) - np.log(len(eps))
        return SimpleNamespace(objective=bound), (x, eps, beta, sig, z, t, y, logw)

    def _weights(self, logw):
        return special.softmax(logw, axis=0)

    def backward(self, dobjective, cache):
        x, eps, beta, sig, z, t, y, logw = cache
        p = self.params
        v = (self._weights(logw) * dobjective)[..., None]      # (K, B, 1)
        dy = v * (x - special.expit(y))
        dt = dy @ p["G"].T * (1 - t**2)
        dz = dt @ p["F"].T - beta * v * z
        dmu = dz.sum(0)
        dlv = 0.5 * (dz * eps * sig + beta * v).sum(0)
        return {"A": x.T @ dmu, "a": dmu.sum(0), "C": x.T @ dlv, "c": dlv.sum(0),
                "F": np.einsum("kbz,kbh->zh", z, dt), "f": dt.sum((0, 1)), "G": np.tensordot(t, dy, axes=([0, 1], [0, 1])), "g": dy.sum(axis=(0, 1))}


class IWAEAverage(IWAE):
    def _weights(self, logw):
        return np.full_like(logw, 1.0 / logw.shape[0])


_item("iwae_uniform_weights", "research code, importance weighted", "gradients",
      lambda: {"model": IWAEAverage(61), "x": _pixels(62, 4, 5), "eps": np.random.default_rng(63).standard_normal((3, 4, 2))}, False,
      "The gradient of the log of a mean of weights weighs the samples by their normalised weights softmax(logw), not by 1/K each.",
      ("A", "a", "C", "c", "F", "f", "G", "g"), ("batch-sum", "elementwise-factor", "unknown"))

_item("iwae_softmax_weights", "research code, importance weighted", "gradients",
      lambda: {"model": IWAE(64), "x": _pixels(65, 3, 5), "eps": np.random.default_rng(66).standard_normal((4, 3, 2))}, True)


# --- 8. two stochastic layers -----------------------------------------------------------------------------------------------


def _kl_two(mq, lq, mp, lp):
    return 0.5 * np.sum(lp - lq + (np.exp(lq) + (mq - mp)**2) / np.exp(lp) - 1, axis=1)


def _kl_two_grad(mq, lq, mp, lp):
    ivp = np.exp(-lp)
    d = mq - mp
    return d * ivp, 0.5 * (np.exp(lq) * ivp - 1), -d * ivp, 0.5 * (1 - np.exp(lq) * ivp)


class Ladder:
    """p(z2) p(z1|z2) p(x|z1); q(z2|x) q(z1|x). eps = [eps1, eps2] in columns."""

    z1, z2 = 2, 1

    def __init__(self):
        g = np.random.default_rng(71)
        w = lambda *s: g.normal(size=s) * 0.8
        self.params = {"q1_mu": w(5, 2), "q1_lv": w(5, 2), "q2_mu": w(5, 1), "q2_lv": w(5, 1), "p1_mu": w(1, 2), "p1_lv": w(1, 2),
                       "p1_b": w(2), "p1_bl": w(2), "px": w(2, 5), "px_b": w(5)}

    def objective(self, x, eps, beta=1.0):
        P = self.params
        e1, e2 = eps[:, :self.z1], eps[:, self.z1:]
        m1, l1 = x @ P["q1_mu"], x @ P["q1_lv"]
        m2, l2 = x @ P["q2_mu"], x @ P["q2_lv"]
        z1 = m1 + np.exp(l1 / 2) * e1
        z2 = m2 + np.exp(l2 / 2) * e2
        mp, lp = z2 @ P["p1_mu"] + P["p1_b"], z2 @ P["p1_lv"] + P["p1_bl"]
        a = z1 @ P["px"] + P["px_b"]
        nll = (np.logaddexp(0, a) - x * a).sum(1)
        kl = _kl_two(m1, l1, mp, lp) + _kl_two(m2, l2, 0.0 * m2, 0.0 * l2)
        return SimpleNamespace(objective=-nll - beta * kl, nll=nll, kl=kl), (x, e1, e2, m1, l1, m2, l2, z1, z2, mp, lp, a, beta)

    def backward(self, dobjective, cache):
        x, e1, e2, m1, l1, m2, l2, z1, z2, mp, lp, a, beta = cache
        P = self.params
        up = dobjective[:, None]
        da = up * (x - special.expit(a))
        dz1 = da @ P["px"].T
        k = -beta * up
        gm1, gl1, gmp, glp = (k * t for t in _kl_two_grad(m1, l1, mp, lp))
        gm2, gl2 = k * m2, k * 0.5 * np.expm1(l2)
        dz2 = gmp @ P["p1_mu"].T + glp @ P["p1_lv"].T
        gm1 = gm1 + dz1
        gl1 = gl1 + dz1 * e1 * np.exp(l1 / 2) / 2
        gm2 = gm2 + dz2
        gl2 = gl2 + dz2 * e2 * np.exp(l2 / 2) / 2
        return {"q1_mu": x.T @ gm1, "q1_lv": x.T @ gl1, "q2_mu": x.T @ gm2, "q2_lv": x.T @ gl2, "p1_mu": z2.T @ gmp, "p1_lv": z2.T @ glp,
                "p1_b": gmp.sum(0), "p1_bl": glp.sum(0), "px": z1.T @ da, "px_b": da.sum(0)}


_item("ladder_prior_variance", "hierarchical VAE, research code", "gradients",
      lambda: {"model": Ladder(), "x": _pixels(72, 5, 5), "eps": np.random.default_rng(73).standard_normal((5, 3))}, False,
      "d KL / d logvar of the learned prior lacks the squared distance of the means. Repair: 0.5 * (1 - (exp(lq) + d**2) * ivp).",
      ("p1_lv", "p1_bl", "q2_mu", "q2_lv"), ("missing-term",))


# --- 9. planar flow -----------------------------------------------------------------------------------------------------


class PlanarPosterior:
    """Encoder, one planar flow step, linear Bernoulli decoder; single sample free energy."""

    def __init__(self):
        g = np.random.default_rng(81)
        self.params = {"mu": g.normal(size=(4, 2)) * .3, "ls": g.normal(size=(4, 2)) * .2, "u": np.array([1.9, .8]), "w": np.array([.8, 1.1]),
                       "b": np.array(0.3), "D": g.normal(size=(2, 4))}

    def objective(self, x, eps, beta=1.0):
        q = self.params
        m, s = x @ q["mu"], np.exp(x @ q["ls"])
        z0 = m + s * eps
        h = np.tanh(z0 @ q["w"] + q["b"])
        z1 = z0 + np.outer(h, q["u"])
        det = 1 + (1 - h**2) * (q["u"] @ q["w"])
        a = z1 @ q["D"]
        ll = (x * a - np.logaddexp(0, a)).sum(1)
        ratio = -.5 * (z1**2).sum(1) + .5 * (eps**2).sum(1) + np.log(s).sum(1) + np.log(np.abs(det))
        return SimpleNamespace(objective=ll + beta * ratio), (x, eps, beta, s, z0, h, z1, det, a)

    def backward(self, dobjective, cache):
        x, eps, beta, s, z0, h, z1, det, a = cache
        q = self.params
        up = dobjective
        da = up[:, None] * (x - special.expit(a))
        dz1 = da @ q["D"].T - beta * up[:, None] * z1
        ddet = beta * up / det
        psi = 1 - h**2
        # through z1 = z0 + u h
        du = dz1.T @ h
        dh = dz1 @ q["u"]
        # through log |det|
        du = du + np.sum(ddet * psi) * q["w"]
        dw = np.sum(ddet * psi) * q["u"]
        dpre = dh * psi
        dw = dw + z0.T @ dpre
        dz0 = dz1 + np.outer(dpre, q["w"])
        dls = dz0 * s * eps + beta * up[:, None]
        return {"mu": x.T @ dz0, "ls": x.T @ dls, "u": du, "w": dw, "b": np.asarray(dpre.sum()), "D": z1.T @ da}


_item("planar_flow_det_path", "normalizing flow posterior, paper code", "gradients",
      lambda: {"model": PlanarPosterior(), "x": _pixels(82, 4, 4), "eps": np.random.default_rng(83).standard_normal((4, 2))}, False,
      "The log determinant depends on h through 1 - h^2; that path is missing. Repair: dh -= 2 * h * (u @ w) * ddet before the tanh.",
      ("mu", "ls", "w", "b"), ("missing-term",))


# --- 10. Gaussian decoder with learned noise --------------------------------------------------------------------------------


class GaussianDecoderVAE:
    """Chemometrics: spectra with one noise level per channel."""

    def __init__(self):
        g = np.random.default_rng(91)
        self.params = {"enc_W": g.normal(size=(2 * 2, 5)) * .5, "enc_b": g.normal(size=4) * .2, "load": g.normal(size=(5, 2)),
                       "offset": g.normal(size=5), "log_noise": np.array([-.8, .5, .2, -.4, .9])}

    def encode(self, x):
        out = np.dot(x, self.params["enc_W"].T) + self.params["enc_b"]
        return out[:, 0::2], out[:, 1::2], None

    def objective(self, x, eps, beta=1.0):
        p = self.params
        mu, logvar, _ = self.encode(x)
        z = mu + np.sqrt(np.exp(logvar)) * eps
        sigma = np.exp(p["log_noise"])
        resid = x - (np.dot(z, p["load"].T) + p["offset"])
        nll = np.sum(0.5 * (resid / sigma)**2 + p["log_noise"] + 0.5 * LOG2PI, axis=1)
        kl = np.sum(0.5 * (np.exp(logvar) + mu**2 - 1 - logvar), axis=1)
        return SimpleNamespace(objective=-nll - beta * kl, nll=nll, kl=kl), dict(x=x, eps=eps, z=z, mu=mu, logvar=logvar, resid=resid, sigma=sigma, beta=beta)

    def backward(self, dobjective, cache):
        p, c = self.params, cache
        dnll = -dobjective[:, None]
        grads = dict.fromkeys(p)
        resid, sigma = c["resid"], c["sigma"]
        drec = -dnll * resid / sigma**2
        grads["log_noise"] = np.sum(dnll * (1 - resid**2 / sigma), axis=0)
        grads["load"] = np.dot(drec.T, c["z"])
        grads["offset"] = np.sum(drec, axis=0)
        dz = np.dot(drec, p["load"])
        dout = np.empty((len(dz), 4))
        dout[:, 0::2] = dz + c["beta"] * dnll * c["mu"]
        dout[:, 1::2] = 0.5 * (dz * c["eps"] * np.exp(0.5 * c["logvar"]) + c["beta"] * dnll * (np.exp(c["logvar"]) - 1))
        grads["enc_W"] = np.dot(dout.T, c["x"])
        grads["enc_b"] = np.sum(dout, axis=0)
        return grads


_item("gaussian_decoder_noise", "science code, spectra, np.dot", "gradients",
      lambda: {"model": GaussianDecoderVAE(), "x": np.random.default_rng(92).normal(size=(4, 5)) * 1.5, "eps": np.random.default_rng(93).standard_normal((4, 2))},
      False, "The squared residual in the gradient of log_noise is divided by sigma rather than sigma^2. Repair: 1 - resid**2 / sigma**2.",
      ("log_noise",), ("elementwise-factor", "missing-term"))


# --- right: softplus sigma, own buffers -----------------------------------------------------------------------------------


class BufferVAE:
    """Embedded-style: preallocated work arrays, out= everywhere; sigma = softplus(rho)."""

    def __init__(self, B=3):
        g = np.random.default_rng(101)
        self.params = {"We": g.normal(size=(6, 4)) * .5, "Wd": g.normal(size=(2, 6)) * .5, "shift": np.array(0.25)}
        self.head = np.empty((B, 4))
        self.dhead = np.empty((B, 4))
        self.dlog = np.empty((B, 6))

    def objective(self, x, eps, beta=1.0):
        if len(x) != len(self.head):
            self.head, self.dhead, self.dlog = np.empty((len(x), 4)), np.empty((len(x), 4)), np.empty((len(x), 6))
        np.matmul(x, self.params["We"], out=self.head)
        self.head += self.params["shift"]
        m, rho = self.head[:, :2], self.head[:, 2:]
        s = np.logaddexp(0, rho)
        z = m + s * eps
        lg = z @ self.params["Wd"]
        lg += self.params["shift"]
        nll = (np.logaddexp(0, lg) - lg * x).sum(1)
        kl = (.5 * (m**2 + s**2 - 1) - np.log(s)).sum(1)
        return SimpleNamespace(objective=-nll - beta * kl, nll=nll, kl=kl), [x, eps, beta, self.head.copy(), s, z, lg]

    def backward(self, dobjective, cache):
        x, eps, beta, head, s, z, lg = cache
        u = dobjective[:, None]
        np.subtract(x, special.expit(lg), out=self.dlog)
        self.dlog *= u
        dz = self.dlog @ self.params["Wd"].T
        np.multiply(head[:, :2], -beta * u, out=self.dhead[:, :2])
        self.dhead[:, :2] += dz
        np.multiply(dz, eps, out=self.dhead[:, 2:])
        self.dhead[:, 2:] -= beta * u * (s - 1 / s)
        self.dhead[:, 2:] *= -np.expm1(-s)          # slope of softplus: 1 - exp(-softplus(rho)) = sigmoid(rho)
        return {"Wd": z.T @ self.dlog, "We": x.T @ self.dhead, "shift": np.asarray(self.dhead.sum() + self.dlog.sum())}


_item("buffer_softplus_vae", "preallocated buffers, out= arguments, one shared 0-d bias", "gradients",
      lambda: {"model": BufferVAE(), "x": _pixels(102, 3, 6), "eps": np.random.default_rng(103).standard_normal((3, 2))}, True)


# --- right: mixture of Gaussians --------------------------------------------------------------------------------------------


class MixtureDensity:
    """Statistics: log-likelihood of a mixture with diagonal covariances. No latent noise at all, eps is ignored."""

    def __init__(self, K=3, D=2):
        g = np.random.default_rng(111)
        self.params = {"means": g.normal(size=(K, D)) * 2, "log_prec": g.normal(size=(K, D)) * .5, "weights": g.normal(size=K)}

    def objective(self, x, eps=None, beta=1.0):
        th = self.params
        diff = x[:, None, :] - th["means"]
        comp = .5 * (th["log_prec"] - np.exp(th["log_prec"]) * diff**2 - LOG2PI).sum(-1)
        joint = comp + special.log_softmax(th["weights"])
        ll = special.logsumexp(joint, axis=1)
        return SimpleNamespace(objective=ll, nll=-ll), (diff, joint - ll[:, None])

    def backward(self, dobjective, cache):
        diff, logr = cache
        r = np.exp(logr) * dobjective[:, None]
        prec = np.exp(self.params["log_prec"])
        return {"means": np.einsum("nk,kd,nkd->kd", r, prec, diff),
                "log_prec": .5 * (r.sum(0)[:, None] - prec * np.einsum("nk,nkd->kd", r, diff**2)),
                "weights": r.sum(0) - dobjective.sum() * special.softmax(self.params["weights"])}


_item("mixture_loglik", "statistics, no noise, eps unused", "gradients",
      lambda: {"model": MixtureDensity(), "x": np.random.default_rng(112).normal(size=(6, 2)) * 2, "eps": np.random.default_rng(113).standard_normal((6, 2))}, True)


# --- right: coupling flow ----------------------------------------------------------------------------------------------------


class CouplingFlow:
    """RealNVP with two couplings, written recursively with a stack of closures as tape."""

    def __init__(self):
        g = np.random.default_rng(121)
        self.params = {f"{n}{i}": g.normal(size=(2, 2)) * .6 for i in (0, 1) for n in ("S", "T")}
        self.params["a"] = g.normal(size=2) * .4

    def objective(self, x, eps=None, beta=1.0):
        P, tape = self.params, []
        lo, hi = x[:, :2], x[:, 2:]
        logdet = np.zeros(len(x))
        for i in (0, 1):
            t = np.tanh(lo @ P[f"S{i}"])
            s = t * P["a"]
            new = hi * np.exp(s) + lo @ P[f"T{i}"]
            logdet = logdet + s.sum(1)
            tape.append((i, lo, hi, t, s))
            lo, hi = new, lo
        z = np.hstack([lo, hi])
        ll = logdet - .5 * (z**2 + LOG2PI).sum(1)
        return SimpleNamespace(objective=ll), (z, tuple(tape))

    def backward(self, dobjective, cache):
        z, tape = cache
        P = self.params
        G = {k: np.zeros_like(v) for k, v in P.items()}
        dz = -dobjective[:, None] * z
        dlo, dhi = dz[:, :2], dz[:, 2:]
        for i, lo, hi, t, s in reversed(tape):
            dnew, dlo_pass = dlo, dhi
            ds = dnew * hi * np.exp(s) + dobjective[:, None]
            G[f"T{i}"] += lo.T @ dnew
            G["a"] += (ds * t).sum(0)
            dpre = ds * P["a"] * (1 - t * t)
            G[f"S{i}"] += lo.T @ dpre
            dlo, dhi = dlo_pass + dnew @ P[f"T{i}"].T + dpre @ P[f"S{i}"].T, dnew * np.exp(s)
        return G


_item("coupling_flow", "normalizing flow, tape of tuples", "gradients",
      lambda: {"model": CouplingFlow(), "x": np.random.default_rng(122).normal(size=(5, 4)), "eps": np.random.default_rng(123).standard_normal((5, 4))}, True)


# --- right: conditional VAE ---------------------------------------------------------------------------------------------------


class ConditionalVAE:
    """x = pixels and, in the last column, the class label; embedding shared by encoder and decoder; relu with a dead unit; learned temperature."""

    def __init__(self):
        g = np.random.default_rng(131)
        self.params = {"emb": g.normal(size=(3, 2)), "E": g.normal(size=(6, 5)) * .7, "e": np.array([.3, -50., .2, .1, .4]),
                       "H": g.normal(size=(5, 4)) * .5, "R": g.normal(size=(4, 4)) * .7, "r": g.normal(size=4) * .2, "log_t": np.array(0.4)}

    def objective(self, x, eps, beta=1.0):
        p = self.params
        pix, lab = x[:, :-1], x[:, -1].astype(int)
        c = p["emb"][lab]
        xc = np.c_[pix, c]
        h = np.maximum(xc @ p["E"] + p["e"], 0)
        mu, lv = np.hsplit(h @ p["H"], 2)
        z = mu + np.exp(lv / 2) * eps
        zc = np.c_[z, c]
        raw = zc @ p["R"] + p["r"]
        lg = raw * np.exp(-p["log_t"])
        nll = -(special.log_expit(lg) * pix + special.log_expit(-lg) * (1 - pix)).sum(1)
        kl = -.5 * (1 + lv - mu**2 - np.exp(lv)).sum(1)
        return SimpleNamespace(objective=-nll - beta * kl, nll=nll, kl=kl), locals()

    def backward(self, dobjective, cache):
        k, p = cache, self.params
        w = dobjective[:, None]
        dlg = w * (k["pix"] - special.expit(k["lg"]))
        g = {"log_t": np.array(-(dlg * k["lg"]).sum())}
        draw = dlg * np.exp(-p["log_t"])
        g["R"], g["r"] = k["zc"].T @ draw, draw.sum(0)
        dzc = draw @ p["R"].T
        dz, dc = dzc[:, :2], dzc[:, 2:].copy()
        dmu = dz - k["beta"] * w * k["mu"]
        dlv = .5 * (dz * k["eps"] * np.exp(k["lv"] / 2) - k["beta"] * w * np.expm1(k["lv"]))
        dhead = np.c_[dmu, dlv]
        g["H"] = k["h"].T @ dhead
        da = (dhead @ p["H"].T) * (k["h"] > 0)
        g["E"], g["e"] = k["xc"].T @ da, da.sum(0)
        dc += (da @ p["E"].T)[:, 4:]
        g["emb"] = np.zeros_like(p["emb"])
        np.add.at(g["emb"], k["lab"], dc)
        return g


_item("conditional_vae_embedding", "notebook, locals() as cache", "gradients",
      lambda: {"model": ConditionalVAE(), "x": np.c_[_pixels(132, 5, 4), [0., 2., 2., 0., 1.]], "eps": np.random.default_rng(133).standard_normal((5, 2))}, True)


# =====================================================================================================================
# samplers
# =====================================================================================================================


def _moments(seed, b=4, z=3):
    g = np.random.default_rng(seed)
    return {"mu": g.normal(size=(b, z)) * 1.5, "logvar": g.uniform(-1.6, 1.2, (b, z))}


def sample_exp_logvar(mu, logvar, eps):
    std = np.exp(logvar)
    return mu + std * eps


_item("sampler_variance_as_std", "course assignment", "sampler", lambda: {"sampler": sample_exp_logvar, **_moments(201)}, False,
      "The variance exp(logvar) stands for the standard deviation. Repair: std = exp(0.5 * logvar).", ("z",), ("elementwise-factor", "factor"))


def sample_shared_column(mu, logvar, eps):
    noise = eps[:, 0][:, None]
    scale = np.sqrt(np.exp(logvar))
    z = mu + scale * noise
    return z, (scale, noise)


_item("sampler_shared_noise", "lecture notebook with cache", "sampler", lambda: {"sampler": sample_shared_column, **_moments(202)}, False,
      "One noise number a row is spread over all latents: each has the right variance but they are perfectly correlated. Repair: noise = eps.",
      ("z",), ("shape", "elementwise-factor", "unknown"))


class WhitenedReparam:
    def __call__(self, mean, log_variance, noise):
        # "normalise" the batch of noise: less variance between minibatches
        noise = (noise - noise.mean(0)) / (noise.std(0) + 1e-8)
        return mean + np.exp(log_variance / 2) * noise


_item("sampler_batch_whitened", "callable class, variance reduction trick", "sampler", lambda: {"sampler": WhitenedReparam(), **_moments(203)}, False,
      "The noise is standardised over the batch: rows are no longer independent and no longer normal. Repair: use eps as it is.",
      ("z",), ("batch-sum", "elementwise-factor", "missing-term", "unknown"))


def sample_truncated(mu, logvar, eps, trunc=1.5):
    eps = np.clip(eps, -trunc, trunc)
    return mu + np.exp(logvar * 0.5) * eps


_item("sampler_truncation_trick", "GAN code carried over", "sampler", lambda: {"sampler": sample_truncated, **_moments(204)}, False,
      "The truncation trick clips the noise to 1.5: the tails are gone and the variance is too small. Repair: no clip while training.",
      ("z",), ("elementwise-factor", "unknown"))


def sample_inplace(mu, logvar, eps):
    z = mu
    z += np.exp(0.5 * logvar) * eps
    return z


_item("sampler_writes_mu", "script, in-place", "sampler", lambda: {"sampler": sample_inplace, **_moments(205)}, False,
      "z is mu itself, so that += writes into the caller's mu, and a later KL sees z. Repair: z = mu + ... or mu.copy().",
      ("z",), ("mutates-input", "accumulates"))


def sample_clamped(mu, logvar, eps):
    logvar = np.clip(logvar, -2.0, 2.0)      # keep exp from overflowing
    return mu + np.exp(0.5 * logvar) * eps


_item("sampler_clamped_logvar", "framework port with a clamp", "sampler",
      lambda: {"sampler": sample_clamped, "mu": np.random.default_rng(206).normal(size=(4, 2)),
               "logvar": np.array([[-0.5, 0.3], [-4.0, 1.0], [0.7, 3.2], [-1.0, -3.5]])}, False,
      "logvar is clamped to (-2, 2), so that latents with a larger or smaller variance are drawn from another law. Repair: drop the clamp or widen it.",
      ("z",), ("elementwise-factor",))


def sample_scaled_mean(mu, logvar, eps):
    sigma = np.exp(logvar / 2)
    return (mu + eps) * sigma


_item("sampler_scaled_mean", "physics script", "sampler", lambda: {"sampler": sample_scaled_mean, **_moments(207)}, False,
      "A bracket stands wrongly: the mean is multiplied by sigma too. Repair: mu + sigma * eps.", ("z",), ("elementwise-factor",))


def sample_mirrored(mu, logvar, eps):
    return mu - np.exp(logvar / 4)**2 * eps[::-1, ::-1]


_item("sampler_mirrored", "terse, minus sign and reversed noise", "sampler", lambda: {"sampler": sample_mirrored, **_moments(211)}, True)


def sample_single_precision(mu, logvar, eps):
    m, lv, e = (np.asarray(a, dtype=np.float32) for a in (mu, logvar, eps))
    return m + np.exp(np.float32(0.5) * lv) * e


_item("sampler_float32", "mixed precision port", "sampler", lambda: {"sampler": sample_single_precision, **_moments(212)}, True)


class RotatedNoise:
    """A fixed orthogonal matrix turns the noise, which leaves a standard normal as it is."""

    def __init__(self, n):
        v = np.arange(1.0, n + 1)
        self.Q = np.eye(n) - 2 * np.outer(v, v) / (v @ v)

    def __call__(self, mu, logvar, eps):
        z = eps @ self.Q
        z *= np.exp(0.5 * logvar)
        z += mu
        return z, {"eps": eps}


_item("sampler_householder", "class, Householder rotation", "sampler", lambda: {"sampler": RotatedNoise(3), **_moments(213)}, True)


def sample_by_quantile(mu, logvar, eps):
    u = stats.norm.cdf(eps)
    return stats.norm.ppf(1 - u, loc=mu, scale=np.sqrt(np.exp(logvar)))


_item("sampler_inverse_cdf", "statistics, copula style", "sampler", lambda: {"sampler": sample_by_quantile, **_moments(214)}, True)


def sample_loop(mu, logvar, eps):
    z = np.empty_like(mu)
    for i in range(mu.shape[0]):
        for j in range(mu.shape[1]):
            L = np.sqrt(np.exp(logvar[i, j]))
            z[i, j] = mu[i, j] + L * eps[i, j] * (-1) ** (i + j)
    return z


_item("sampler_checkerboard", "loops, alternating signs", "sampler", lambda: {"sampler": sample_loop, **_moments(215)}, True)


# =====================================================================================================================
# evidence
# =====================================================================================================================

_ROWS = np.array([[1, 0, 1, 1, 0], [0, 0, 1, 0, 1], [1, 1, 1, 0, 0], [0, 1, 0, 0, 1], [1, 0, 0, 1, 1]], dtype=np.float64)


class _Core:
    """Small tanh VAE whose parts work for any number of leading axes."""

    Z = 2

    def __init__(self, seed):
        g = np.random.default_rng(seed)
        self.Wm, self.bm = g.normal(size=(5, self.Z)) * .6, g.normal(size=self.Z) * .4
        self.Wl, self.bl = g.normal(size=(5, self.Z)) * .5, g.normal(size=self.Z) * .4 - .5
        self.U, self.u = g.normal(size=(self.Z, 4)), g.normal(size=4) * .3
        self.V, self.v = g.normal(size=(4, 5)) * 1.1, g.normal(size=5) * .3

    def encode(self, x):
        return x @ self.Wm + self.bm, x @ self.Wl + self.bl

    def decode(self, z):
        return np.tanh(z @ self.U + self.u) @ self.V + self.v


class KLNoHalf(_Core):
    def objective(self, x, eps):
        mu, logvar = self.encode(x)
        logits = self.decode(mu + np.exp(.5 * logvar) * eps)
        nll = np.sum(np.logaddexp(0, logits) - x * logits, axis=1)
        kl = -np.sum(1 + logvar - mu**2 - np.exp(logvar), axis=1)
        return SimpleNamespace(elbo=-nll - kl, nll=nll, kl=kl), None


_item("evidence_kl_no_half", "course assignment", "evidence", lambda: {"model": KLNoHalf(301), "x": _ROWS.copy()}, False,
      "The KL divergence lacks its factor 1/2. Repair: kl = -0.5 * sum(...).", ("elbo", "kl"), ("factor",))


class KLNoOne(_Core):
    Z = 1

    def objective(self, x, eps):
        mean, logvar = self.encode(x)
        std = np.exp(logvar / 2)
        logits = self.decode(mean + eps * std)
        p = 1 / (1 + np.exp(-logits))
        rec = np.sum(x * np.log(p) + (1 - x) * np.log(1 - p), axis=-1)
        kl = 0.5 * np.sum(std**2 + mean**2 - logvar, axis=-1)
        return SimpleNamespace(elbo=rec - kl, nll=-rec, kl=kl), (mean, std)


_item("evidence_kl_no_minus_one", "notebook, probabilities rather than logits", "evidence", lambda: {"model": KLNoOne(302), "x": _ROWS[:4].copy()}, False,
      "The KL divergence lacks the -1 of each latent. Repair: 0.5 * sum(std**2 + mean**2 - logvar - 1).", ("elbo", "kl"), ("missing-term",))


class PixelMean(_Core):
    def objective(self, x, eps):
        mu, logvar = self.encode(x)
        z = mu + np.exp(.5 * logvar) * eps
        logits = self.decode(z)
        bce = np.maximum(logits, 0) - logits * x + np.log1p(np.exp(-np.abs(logits)))
        nll = bce.mean(axis=1)
        kl = 0.5 * (mu**2 + np.exp(logvar) - 1 - logvar).sum(axis=1)
        return SimpleNamespace(elbo=-(nll + kl), nll=nll, kl=kl), {"z": z}


_item("evidence_pixel_mean", "port of a high-level framework (bce averages the pixels)", "evidence", lambda: {"model": PixelMean(303), "x": _ROWS.copy()}, False,
      "The reconstruction is the mean over the pixels, the KL a sum: nll is D times too small. Repair: bce.sum(axis=1).", ("elbo", "nll"), ("factor",))


class BoundNoLogK(_Core):
    K = 5

    def draw_eps(self, B, rng):
        return rng.standard_normal((self.K, B, self.Z))

    def objective(self, x, eps):
        mu, logvar = self.encode(x)
        z = mu + np.exp(.5 * logvar) * eps
        lg = self.decode(z)
        log_lik = (x * lg - np.logaddexp(0, lg)).sum(-1)
        log_w = log_lik + stats.norm.logpdf(z).sum(-1) - stats.norm.logpdf(z, mu, np.exp(.5 * logvar)).sum(-1)
        m = log_w.max(0)
        return SimpleNamespace(elbo=m + np.log(np.exp(log_w - m).sum(0))), log_w


_item("evidence_iwae_no_log_k", "importance weighted, scipy.stats", "evidence", lambda: {"model": BoundNoLogK(304), "x": _ROWS.copy()}, False,
      "The K weights are summed rather than averaged: log K too much. Repair: subtract log(K), or take the mean of the exponentials.",
      ("elbo",), ("missing-term", "factor"))


class BoundNoJacobian(_Core):
    def draw_eps(self, B, rng):
        return rng.normal(size=(4, B, self.Z))

    def objective(self, x, eps):
        mu, logvar = self.encode(x)
        z = mu + np.exp(.5 * logvar) * eps
        y = self.decode(z)
        log_px = -(np.logaddexp(0, y) - x * y).sum(axis=2)
        log_pz = -.5 * (z**2).sum(axis=2)
        log_qz = -.5 * (eps**2).sum(axis=2)          # the log(2 pi) cancel
        return SimpleNamespace(elbo=special.logsumexp(log_px + log_pz - log_qz, axis=0) - np.log(eps.shape[0])), ()


_item("evidence_iwae_no_jacobian", "importance weighted, whitened noise", "evidence", lambda: {"model": BoundNoJacobian(305), "x": _ROWS.copy()}, False,
      "log q(z) is the density of eps; the Jacobian -sum(logvar)/2 of z = mu + sigma eps is missing. Repair: log_qz -= 0.5 * logvar.sum(-1).",
      ("elbo",), ("missing-term",))


class WideDraw(_Core):
    def objective(self, x, eps):
        mu, logvar = self.encode(x)
        z = mu + eps * np.exp(logvar)
        logits = self.decode(z)
        nll = -np.sum(x * special.log_expit(logits) + (1 - x) * special.log_expit(-logits), 1)
        kl = np.sum(-.5 * logvar + .5 * (mu**2 + np.exp(logvar)) - .5, 1)
        return SimpleNamespace(elbo=-nll - kl, nll=nll, kl=kl), (z, logits)


def make_wide_draw():
    m = WideDraw(306)
    m.bl = m.bl + 1.5
    return {"model": m, "x": _ROWS.copy()}


_item("evidence_wide_draw", "lab code, KL right but draw wrong", "evidence", make_wide_draw, False,
      "z is drawn with exp(logvar) as standard deviation while the KL takes exp(logvar) as variance: the expectation is over another q. "
      "Repair: z = mu + eps * exp(logvar / 2).", ("elbo", "nll"), ("elementwise-factor", "factor"))


class BatchKL(_Core):
    def objective(self, x, eps):
        mu, logvar = self.encode(x)
        logits = self.decode(mu + np.exp(.5 * logvar) * eps)
        nll = (np.logaddexp(0, logits) - logits * x).sum(1)
        kl = .5 * (mu**2 + np.exp(logvar) - logvar - 1).sum(1).mean()
        return SimpleNamespace(elbo=-(nll + kl), nll=nll, kl=np.broadcast_to(kl, nll.shape)), None


_item("evidence_batch_mean_kl", "blog code, loss = rec + kl.mean()", "evidence", lambda: {"model": BatchKL(307), "x": _ROWS.copy()}, False,
      "The KL is averaged over the batch and added to each row: the ELBO of a row holds the other rows' KL. Repair: keep the sum(1) per row.",
      ("elbo", "kl"), ("batch-sum", "shape"))


class MonteCarloKL(_Core):
    def objective(self, x, eps):
        mu, logvar = self.encode(x)
        z = mu + np.exp(.5 * logvar) * eps
        lg = self.decode(z)
        logp = (x * lg - np.logaddexp(0, lg)).sum(1) - .5 * (z**2 + LOG2PI).sum(1)
        logq = -.5 * (eps**2 + logvar + LOG2PI).sum(1)
        return SimpleNamespace(elbo=logp - logq), None


_item("evidence_monte_carlo_kl", "one-sample log p - log q", "evidence", lambda: {"model": MonteCarloKL(311), "x": _ROWS.copy()}, True)


class AntitheticELBO(_Core):
    def objective(self, x, eps):
        mu, logvar = self.encode(x)
        sd = np.exp(.5 * logvar)
        both = np.stack([mu + sd * eps, mu - sd * eps])
        lg = self.decode(both)
        nll = (np.logaddexp(0, lg) - x * lg).sum(-1).mean(0)
        kl = .5 * (mu**2 + np.expm1(logvar) - logvar).sum(-1)
        return SimpleNamespace(elbo=-nll - kl, nll=nll, kl=kl), both


_item("evidence_antithetic", "variance reduction by mirrored noise", "evidence", lambda: {"model": AntitheticELBO(312), "x": _ROWS.copy()}, True)


class ControlVariate(_Core):
    Z = 1

    def objective(self, x, eps):
        mu, logvar = self.encode(x)
        lg = self.decode(mu - np.exp(.5 * logvar) * eps)
        ll = np.where(x == 1, -np.logaddexp(0, -lg), -np.logaddexp(0, lg)).sum(1)
        kl = np.log(np.exp(-.5 * logvar)).sum(1) + .5 * (np.exp(logvar) + mu**2).sum(1) - .5 * self.Z
        baseline = 0.7 * eps.sum(1) - 0.3 * (eps**2 - 1).sum(1)      # mean zero
        return SimpleNamespace(elbo=ll - kl - baseline), None


_item("evidence_control_variate", "control variate of mean zero, one latent", "evidence", lambda: {"model": ControlVariate(313), "x": _ROWS.copy()}, True)


class RightBound(_Core):
    def draw_eps(self, B, rng):
        half = rng.standard_normal((6, B, self.Z))
        return half

    def objective(self, x, eps):
        mu, logvar = self.encode(x)
        z = mu[None] + np.exp(.5 * logvar)[None] * eps
        lg = self.decode(z)
        total = None
        for k in range(len(eps)):
            lw = (x * lg[k] - np.logaddexp(0, lg[k])).sum(1) - .5 * (z[k]**2 - eps[k]**2 - logvar).sum(1)
            total = lw if total is None else np.logaddexp(total, lw)
        return SimpleNamespace(elbo=total - np.log(len(eps))), None


_item("evidence_running_logaddexp", "importance weighted, running logaddexp", "evidence", lambda: {"model": RightBound(314), "x": _ROWS.copy()}, True)


# =====================================================================================================================
# likelihoods
# =====================================================================================================================


class GaussNoConstant:
    n_params, discrete, support = 2, False, (-np.inf, np.inf)

    def _split(self, logits):
        d = logits.shape[1] // 2
        return logits[:, :d], logits[:, d:]

    def nll(self, x, logits):
        m, lv = self._split(logits)
        return 0.5 * np.sum(lv + (x - m)**2 * np.exp(-lv), axis=1), (x, m, lv)

    def nll_backward(self, dnll, cache):
        x, m, lv = cache
        w = dnll[:, None] * 0.5
        return np.hstack([w * 2 * (m - x) * np.exp(-lv), w * (1 - (x - m)**2 * np.exp(-lv))])

    def mean(self, logits):
        return self._split(logits)[0].copy()

    def sample(self, logits, rng):
        m, lv = self._split(logits)
        return rng.normal(m, np.exp(0.5 * lv))


_item("gauss_no_constant", "regression with learned variance, deep ensembles", "likelihood", lambda: {"p": GaussNoConstant()}, False,
      "0.5 * log(2 pi) a pixel is left out: exp(-nll) does not integrate to 1. Repair: add 0.5 * log(2 pi) in the sum.",
      ("nll",), ("missing-term", "factor"))


class PoissonNoFactorial:
    support, discrete, n_params = (0, np.inf), True, 1

    def nll(self, x, logits):
        return (np.exp(logits) - x * logits).sum(-1), (x, logits)

    def nll_backward(self, dnll, cache):
        x, logits = cache
        return dnll[:, None] * (np.exp(logits) - x)

    def mean(self, logits):
        return np.exp(logits)

    def sample(self, logits, rng):
        return rng.poisson(np.exp(logits)).astype(float)


_item("poisson_no_factorial", "neuroscience, spike counts", "likelihood", lambda: {"p": PoissonNoFactorial()}, False,
      "log(x!) is left out (harmless for gradients, wrong as a density). Repair: add gammaln(x + 1).", ("nll",), ("missing-term", "elementwise-factor"))


class LaplaceDensity:
    """Location and log scale; draws by inverse cdf."""

    n_params = 2
    discrete = False
    support = (-np.inf, np.inf)

    def nll(self, x, logits):
        loc, ls = np.split(logits, 2, axis=1)
        dev = (x - loc) / np.exp(ls)
        return (np.abs(dev) + ls + np.log(2)).sum(1), (dev, ls)

    def nll_backward(self, dnll, cache):
        dev, ls = cache
        return np.concatenate((-np.sign(dev) * np.exp(-ls), 1 - np.abs(dev)), axis=1) * dnll.reshape(-1, 1)

    def mean(self, logits):
        return np.split(logits, 2, axis=1)[0]

    def sample(self, logits, rng):
        loc, ls = np.split(logits, 2, axis=1)
        u = rng.uniform(-0.5, 0.5, size=loc.shape)
        return loc - np.exp(ls) * np.sign(u) * np.log1p(-np.abs(u))


_item("laplace_sample", "robust regression, inverse cdf", "likelihood", lambda: {"p": LaplaceDensity()}, False,
      "The inverse cdf of the Laplace law with u in (-1/2, 1/2) is -b sign(u) log(1 - 2|u|); the 2 is missing, so the draws never leave b log 2. "
      "Repair: log1p(-2 * abs(u)).", ("sample",), ("factor", "elementwise-factor", "unknown"))


class NegBinomial:
    """Single cell counts: first the log of the total count r, then the logit of the success probability p; pmf C(x+r-1, x) (1-p)^r p^x."""

    n_params, support, discrete = 2, (0, np.inf), True

    @staticmethod
    def unpack(logits):
        d = logits.shape[-1] // 2
        return np.exp(logits[:, :d]), logits[:, d:]

    def nll(self, x, logits):
        r, a = self.unpack(logits)
        ll = special.gammaln(x + r) - special.gammaln(r) - special.gammaln(x + 1) + r * special.log_expit(-a) + x * special.log_expit(a)
        return -ll.sum(1), (x, r, a)

    def nll_backward(self, dnll, cache):
        x, r, a = cache
        dr = special.digamma(x + r) - special.digamma(r) + special.log_expit(-a)
        da = x * special.expit(-a) - r * special.expit(a)
        return -dnll[:, None] * np.hstack([dr * r, da])

    def mean(self, logits):
        r, a = self.unpack(logits)
        p = special.expit(a)
        return r * (1 - p) / p

    def sample(self, logits, rng):
        r, a = self.unpack(logits)
        return rng.poisson(rng.gamma(r, np.exp(a))).astype(np.float64)


_item("negative_binomial_mean", "single-cell genomics", "likelihood", lambda: {"p": NegBinomial()}, False,
      "The mean belongs to the other convention of p (failures for successes). Repair: r * p / (1 - p).", ("mean",), ("elementwise-factor",))


class BetaPixels:
    n_params, discrete, support = 2, False, (0.0, 1.0)

    def nll(self, x, logits):
        d = x.shape[1]
        a, b = np.logaddexp(0, logits[:, :d]) + .5, np.logaddexp(0, logits[:, d:]) + .5
        x = np.clip(x, 1e-12, 1 - 1e-12)
        ll = (a - 1) * np.log(x) + (b - 1) * np.log1p(-x) - special.betaln(a, b)
        return -ll.sum(axis=1), {"x": x, "a": a, "b": b, "logits": logits}

    def nll_backward(self, dnll, cache):
        x, a, b = cache["x"], cache["a"], cache["b"]
        da = np.log(x) - special.psi(a)
        db = np.log1p(-x) - special.psi(b)
        return -dnll[:, None] * np.concatenate([da, db], 1) * special.expit(cache["logits"])

    def mean(self, logits):
        a, b = np.hsplit(np.logaddexp(0, logits) + .5, 2)
        return a / (a + b)

    def sample(self, logits, rng):
        a, b = np.hsplit(np.logaddexp(0, logits) + .5, 2)
        return rng.beta(a, b)


_item("beta_backward_digamma", "grey pixels in (0, 1), dict cache", "likelihood", lambda: {"p": BetaPixels()}, False,
      "The derivative of log B(a, b) by a is psi(a) - psi(a + b); the psi(a + b) is missing for a and b. Repair: da += psi(a + b), db += psi(a + b).",
      ("nll_backward",), ("missing-term",))


class BinnedLogistic:
    """Discretised logistic on 0..7, as for 8 bit pixels but with 3 bits."""

    n_params, discrete, support = 2, True, (0, 7)

    def _unpack(self, logits):
        d = logits.shape[1] // 2
        return 3.5 + 3.5 * np.tanh(logits[:, :d]), np.exp(logits[:, d:] * .5)

    def _prob(self, x, m, s):
        return special.expit((x + .5 - m) / s) - special.expit((x - .5 - m) / s)

    def nll(self, x, logits):
        m, s = self._unpack(logits)
        p = self._prob(x, m, s)
        return -np.log(np.maximum(p, 1e-300)).sum(1), (x, m, s)

    def mean(self, logits):
        m, s = self._unpack(logits)
        k = np.arange(7)[:, None, None]
        return special.expit(-(k + .5 - m) / s).sum(0)       # sum of P(x > k)

    def sample(self, logits, rng):
        m, s = self._unpack(logits)
        u = rng.uniform(1e-12, 1 - 1e-12, size=m.shape)
        return np.clip(np.round(m + s * special.logit(u)), 0, 7)


_item("binned_logistic_edges", "autoregressive image model", "likelihood", lambda: {"p": BinnedLogistic()}, False,
      "The outer bins 0 and 7 must hold the whole tail (cdf 0 below, 1 above); here the tails beyond are lost and the sum over 0..7 is below 1. "
      "Repair: upper cdf 1 at x = 7 and lower cdf 0 at x = 0.", ("nll",), ("missing-term", "elementwise-factor"))


class ZeroInflatedPoisson:
    n_params, discrete, support = 2, True, (0, np.inf)

    def nll(self, x, logits):
        d = x.shape[1]
        lr, g = logits[:, :d], logits[:, d:]
        lp, lq = special.log_expit(g), special.log_expit(-g)           # gate, and not
        pois = x * lr - np.exp(lr) - special.gammaln(x + 1)
        zero = np.logaddexp(lp, lq - np.exp(lr))
        ll = np.where(x == 0, zero, lq + pois)
        return -ll.sum(1), (x, lr, g, zero)

    def nll_backward(self, dnll, cache):
        x, lr, g, zero = cache
        rate, p = np.exp(lr), special.expit(g)
        at0 = np.exp(special.log_expit(-g) - rate - zero)              # posterior of 'Poisson' given zero
        dlr = np.where(x == 0, -rate * at0, x - rate)
        dg = np.where(x == 0, (1 - at0) - p, -p)
        return -np.hstack([dlr, dg]) * dnll[:, None]

    def mean(self, logits):
        lr, g = np.hsplit(logits, 2)
        return np.exp(lr) * special.expit(-g)

    def sample(self, logits, rng):
        lr, g = np.hsplit(logits, 2)
        keep = rng.random(g.shape) >= special.expit(g)
        return np.where(keep, rng.poisson(np.exp(lr)), 0).astype(float)


_item("zero_inflated_poisson", "ecology counts", "likelihood", lambda: {"p": ZeroInflatedPoisson()}, True)


class LogNormalLikelihood:
    n_params = 2
    discrete = False
    support = (0.0, np.inf)

    def _par(self, logits):
        m, r = np.hsplit(logits, 2)
        return m, .2 + .6 * special.expit(r), r

    def nll(self, x, logits):
        m, s, r = self._par(logits)
        with np.errstate(divide="ignore", invalid="ignore"):
            lx = np.log(x)
            t = (lx - m) / s
            nll = (.5 * t * t + lx + np.log(s) + .5 * LOG2PI).sum(1)
        return nll, (t, s, r)

    def nll_backward(self, dnll, cache):
        t, s, r = cache
        sg = special.expit(r)
        return dnll[:, None] * np.hstack([-t / s, (1 - t * t) / s * .6 * sg * (1 - sg)])

    def mean(self, logits):
        m, s, _ = self._par(logits)
        return np.exp(m + s * s / 2)

    def sample(self, logits, rng):
        m, s, _ = self._par(logits)
        return rng.lognormal(m, s)


_item("lognormal_bounded_scale", "finance, scale squashed into (0.2, 0.8)", "likelihood", lambda: {"p": LogNormalLikelihood()}, True)


class ContinuousBernoulli:
    """The normalised 'Bernoulli' of grey pixels; Taylor series about logit 0."""

    n_params, discrete, support = 1, False, (0.0, 1.0)

    @staticmethod
    def _logc(a):
        """log of a / (exp(a) - 1), so that the log density is a x + logc."""
        small = np.abs(a) < 1e-2
        b = np.where(small, 1.0, a)
        far = np.log(np.abs(b)) - np.maximum(b, 0) - np.log1p(-np.exp(-np.abs(b)))
        return np.where(small, -a / 2 - a**2 / 24 + a**4 / 2880, far)

    def nll(self, x, logits):
        return -(x * logits + self._logc(logits)).sum(1), (x, logits)

    def nll_backward(self, dnll, cache):
        x, logits = cache
        return dnll[:, None] * (self.mean(logits) - x)

    def mean(self, logits):
        small = np.abs(logits) < 1e-2
        b = np.where(small, 1.0, logits)
        return np.where(small, .5 + logits / 12 - logits**3 / 720, -1 / np.expm1(-b) - 1 / b)

    def sample(self, logits, rng):
        u = rng.random(logits.shape)
        small = np.abs(logits) < 1e-6
        b = np.where(small, 1.0, logits)
        return np.where(small, u, np.log1p(u * np.expm1(b)) / b)


_item("continuous_bernoulli", "research code, series near zero", "likelihood", lambda: {"p": ContinuousBernoulli()}, True)


class BinomialLevels:
    """0..15 grey levels as 15 coin tosses."""

    n_params, discrete, support, n = 1, True, (0, 15), 15

    def nll(self, x, logits):
        logc = -np.log(self.n + 1) - special.betaln(self.n - x + 1, x + 1)
        return (self.n * np.logaddexp(0, logits) - x * logits - logc).sum(1), (x, logits)

    def nll_backward(self, dnll, cache):
        return (self.mean(cache[1]) - cache[0]) * dnll[:, None]

    def mean(self, logits):
        return self.n * special.expit(logits)

    def sample(self, logits, rng):
        return (rng.random((self.n,) + logits.shape) < special.expit(logits)).sum(0).astype(float)


_item("binomial_levels", "image model, coin tosses", "likelihood", lambda: {"p": BinomialLevels()}, True)


# =====================================================================================================================
# optimizers
# =====================================================================================================================


class RefAdam:
    def __init__(self, lr=0.02, b1=0.9, b2=0.99, eps=1e-8, wd=0.0):
        self.lr, self.b1, self.b2, self.eps, self.wd = lr, b1, b2, eps, wd
        self.m, self.v, self.t = {}, {}, 0

    def step(self, params, grads):
        self.t += 1
        for k, p in params.items():
            g = grads[k]
            m = self.m[k] = self.b1 * self.m.get(k, 0.0) + (1 - self.b1) * g
            v = self.v[k] = self.b2 * self.v.get(k, 0.0) + (1 - self.b2) * g * g
            mh, vh = m / (1 - self.b1**self.t), v / (1 - self.b2**self.t)
            p[...] -= self.lr * mh / (np.sqrt(vh) + self.eps) + self.lr * self.wd * p


class AdamNoVCorrection:
    def __init__(self, lr=0.02, beta1=0.9, beta2=0.99, epsilon=1e-8):
        self.lr, self.beta1, self.beta2, self.epsilon = lr, beta1, beta2, epsilon
        self.iter, self.m, self.v = 0, None, None

    def step(self, params, grads):
        if self.m is None:
            self.m = {k: np.zeros_like(p) for k, p in params.items()}
            self.v = {k: np.zeros_like(p) for k, p in params.items()}
        self.iter += 1
        for k in params:
            self.m[k] = self.beta1 * self.m[k] + (1 - self.beta1) * grads[k]
            self.v[k] = self.beta2 * self.v[k] + (1 - self.beta2) * grads[k]**2
            m_hat = self.m[k] / (1 - self.beta1**self.iter)
            params[k] -= self.lr * m_hat / (np.sqrt(self.v[k]) + self.epsilon)


_item("adam_no_v_correction", "deep learning from scratch, dicts", "optimizer",
      lambda: {"optimizer": AdamNoVCorrection(), "reference": RefAdam()}, False,
      "The second moment is not corrected for its start at zero: the first steps are too long. Repair: v_hat = v / (1 - beta2**t).",
      ("params",), ("factor", "missing-term"))


class AdamPerKeyClock:
    def __init__(self, alpha=0.02, betas=(0.9, 0.99), eps=1e-8):
        self.alpha, self.betas, self.eps = alpha, betas, eps
        self.state = {}
        self.count = 0

    def step(self, params, grads):
        b1, b2 = self.betas
        for name, g in grads.items():
            self.count += 1
            m, v = self.state.setdefault(name, [np.zeros_like(g), np.zeros_like(g)])
            m *= b1
            m += (1 - b1) * g
            v *= b2
            v += (1 - b2) * g * g
            rate = self.alpha / (1 - b1**self.count)
            params[name] -= rate * m / (np.sqrt(v / (1 - b2**self.count)) + self.eps)


_item("adam_clock_in_loop", "research code, in-place state lists", "optimizer",
      lambda: {"optimizer": AdamPerKeyClock(), "reference": RefAdam()}, False,
      "The step counter runs once for each parameter, not for each step, so that only the first parameter's first correction is right. "
      "Repair: count += 1 before the loop.", ("params",), ("factor", "elementwise-factor", "unknown"))


class RefNesterov:
    """v = mu v - lr g; p += mu v - lr g"""

    def __init__(self, lr=0.03, mu=0.9):
        self.lr, self.mu, self.vel = lr, mu, {}

    def step(self, params, grads):
        for k in params:
            v = self.mu * self.vel.get(k, np.zeros_like(params[k])) - self.lr * grads[k]
            self.vel[k] = v
            params[k][...] += self.mu * v - self.lr * grads[k]


class NesterovPlain:
    def __init__(self, lr=0.03, momentum=0.9):
        self.lr, self.momentum, self.v = lr, momentum, {}

    def step(self, params, grads):
        for k, g in grads.items():
            if k not in self.v:
                self.v[k] = np.zeros_like(g)
            self.v[k] = self.momentum * self.v[k] - self.lr * g
            params[k] += self.v[k]


_item("nesterov_plain_momentum", "course assignment update rules", "optimizer",
      lambda: {"optimizer": NesterovPlain(), "reference": RefNesterov()}, False,
      "Called Nesterov, it moves by the velocity as ordinary momentum does; the look-ahead is missing. Repair: params += momentum * v - lr * g.",
      ("params",), ("missing-term", "factor"))


class AdamL2:
    """'AdamW' with the decay added to the gradient."""

    def __init__(self, lr=0.02, wd=0.5):
        self.lr, self.wd, self.t, self.m, self.v = lr, wd, 0, {}, {}

    def step(self, params, grads):
        self.t += 1
        c1, c2 = 1 - 0.9**self.t, 1 - 0.99**self.t
        for k, p in params.items():
            g = grads[k] + self.wd * p
            self.m[k] = 0.9 * self.m.get(k, 0) + 0.1 * g
            self.v[k] = 0.99 * self.v.get(k, 0) + 0.01 * g**2
            p -= self.lr * (self.m[k] / c1) / (np.sqrt(self.v[k] / c2) + 1e-8)


_item("adamw_coupled_decay", "compact port of AdamW", "optimizer",
      lambda: {"optimizer": AdamL2(), "reference": RefAdam(wd=0.5)}, False,
      "The decay goes into the gradient (and so through both moments) rather than being taken off the parameters. "
      "Repair: g = grads[k] and p -= lr * wd * p besides.", ("params",), ("missing-term", "elementwise-factor", "unknown"))


class RefAdagrad:
    def __init__(self, lr=0.1, eps=1e-7):
        self.lr, self.eps, self.s = lr, eps, {}

    def step(self, params, grads):
        for k in params:
            self.s[k] = self.s.get(k, 0.0) + grads[k]**2
            params[k][...] -= self.lr * grads[k] / (np.sqrt(self.s[k]) + self.eps)


class AdagradForgets:
    def __init__(self, lr=0.1):
        self.lr = lr
        self.h = None

    def step(self, params, grads):
        if self.h is None:
            self.h = {}
            for key, val in params.items():
                self.h[key] = np.zeros_like(val)
        for key in params.keys():
            self.h[key] = grads[key] * grads[key]
            params[key] -= self.lr * grads[key] / (np.sqrt(self.h[key]) + 1e-7)


_item("adagrad_forgets", "textbook optimizer classes", "optimizer",
      lambda: {"optimizer": AdagradForgets(), "reference": RefAdagrad()}, False,
      "The squares are overwritten rather than summed, which makes sign descent of it. Repair: self.h[key] += grads[key] ** 2.",
      ("params",), ("missing-term", "elementwise-factor"))


class AdamEfficient:
    """Kingma's remark: both corrections in the step size, epsilon scaled along."""

    def __init__(self, lr=0.02):
        self.lr, self.b1t, self.b2t, self.slots = lr, 1.0, 1.0, {}

    def step(self, params, grads):
        self.b1t *= 0.9
        self.b2t *= 0.99
        root = np.sqrt(1 - self.b2t)
        lr_t = self.lr * root / (1 - self.b1t)
        for k, p in params.items():
            slot = self.slots.setdefault(k, np.zeros((2,) + np.shape(p)))
            slot[0] += 0.1 * (grads[k] - slot[0])
            slot[1] += 0.01 * (np.square(grads[k]) - slot[1])
            p[...] = p - lr_t * slot[0] / (np.sqrt(slot[1]) + 1e-8 * root)


_item("adam_efficient_form", "algebraically rewritten Adam", "optimizer", lambda: {"optimizer": AdamEfficient(), "reference": RefAdam()}, True)


class NesterovGradientBuffer:
    """The framework form: the buffer collects gradients without the step size."""

    def __init__(self, lr=0.03, momentum=0.9):
        self.lr, self.momentum, self.buf = lr, momentum, {}

    def step(self, params, grads):
        for k in sorted(params):
            b = self.buf.get(k)
            b = np.array(grads[k], dtype=float) if b is None else self.momentum * b + grads[k]
            self.buf[k] = b
            np.subtract(params[k], self.lr * (grads[k] + self.momentum * b), out=params[k])


_item("nesterov_gradient_buffer", "framework port, buffer without step size", "optimizer",
      lambda: {"optimizer": NesterovGradientBuffer(), "reference": RefNesterov()}, True)


class FlatAdamW:
    """Everything packed in one vector; decay first, as a shrinkage."""

    def __init__(self, lr=0.02, wd=0.5):
        self.lr, self.wd, self.n, self.m, self.v = lr, wd, 0, 0.0, 0.0

    def step(self, params, grads):
        names = list(params)
        g = np.concatenate([np.ravel(grads[k]) for k in names])
        self.n += 1
        self.m = 0.9 * self.m + 0.1 * g
        self.v = 0.99 * self.v + 0.01 * g * g
        d = (self.m / (1 - 0.9**self.n)) / (np.sqrt(self.v / (1 - 0.99**self.n)) + 1e-8)
        at = 0
        for k in names:
            n = params[k].size
            params[k] *= 1 - self.lr * self.wd
            params[k] -= self.lr * d[at:at + n].reshape(params[k].shape)
            at += n


_item("adamw_flat_vector", "flat parameter vector, shrink first", "optimizer", lambda: {"optimizer": FlatAdamW(), "reference": RefAdam(wd=0.5)}, True)
