"""Exam paper six: latent-variable models, evidence values, samplers, likelihoods, optimizers."""
from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Callable, NamedTuple

import itertools
import math

import numpy as np
from scipy import special
from scipy.special import digamma, expit, gammaln, logsumexp


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


def _add(*args, **kw):
    ITEMS.append(Item(*args, **kw))


def _binary(seed, b, d):
    """b different rows of zeros and ones."""
    rng = np.random.default_rng(seed)
    while True:
        x = (rng.random((b, d)) < 0.5).astype(np.float64)
        if len({tuple(r) for r in x}) == b:
            return x


# =====================================================================================================
# gradients
# =====================================================================================================

# ---- class assignment --------------------------------------------------------------------------------
class AssignmentVAE(object):
    """Two-layer VAE. Architecture: affine - tanh - (affine, affine) - sample - affine - tanh - affine."""

    def __init__(self, input_dim=5, hidden_dim=4, latent_dim=2, weight_scale=0.6, seed=0):
        rng = np.random.RandomState(seed)
        self.params = {}
        self.params['W1'] = weight_scale * rng.randn(input_dim, hidden_dim)
        self.params['b1'] = 0.1 * rng.randn(hidden_dim)
        self.params['Wmu'] = weight_scale * rng.randn(hidden_dim, latent_dim)
        self.params['bmu'] = 0.1 * rng.randn(latent_dim)
        self.params['Wlv'] = weight_scale * rng.randn(hidden_dim, latent_dim)
        self.params['blv'] = 0.1 * rng.randn(latent_dim)
        self.params['W2'] = weight_scale * rng.randn(latent_dim, hidden_dim)
        self.params['b2'] = 0.1 * rng.randn(hidden_dim)
        self.params['W3'] = weight_scale * rng.randn(hidden_dim, input_dim)
        self.params['b3'] = 0.1 * rng.randn(input_dim)

    def encode(self, X):
        p = self.params
        h1 = np.tanh(X.dot(p['W1']) + p['b1'])
        mu = h1.dot(p['Wmu']) + p['bmu']
        logvar = h1.dot(p['Wlv']) + p['blv']
        return mu, logvar, (X, h1)

    def objective(self, X, eps, beta=1.0):
        p = self.params
        mu, logvar, (X, h1) = self.encode(X)
        std = np.exp(0.5 * logvar)
        z = mu + std * eps
        h2 = np.tanh(z.dot(p['W2']) + p['b2'])
        scores = h2.dot(p['W3']) + p['b3']
        nll = np.sum(np.maximum(scores, 0) - scores * X + np.log1p(np.exp(-np.abs(scores))), axis=1)
        kl = -0.5 * np.sum(1 + logvar - mu ** 2 - np.exp(logvar), axis=1)
        terms = SimpleNamespace(objective=-nll - beta * kl, nll=nll, kl=kl)
        return terms, (X, h1, mu, logvar, std, eps, z, h2, scores, beta)

    def backward(self, dobjective, cache):
        X, h1, mu, logvar, std, eps, z, h2, scores, beta = cache
        p, grads = self.params, {}
        up = dobjective.reshape(-1, 1)
        dscores = up * (X - 1.0 / (1.0 + np.exp(-scores)))
        grads['W3'] = h2.T.dot(dscores)
        grads['b3'] = dscores.sum(axis=0)
        da2 = dscores.dot(p['W3'].T) * (1 - h2 ** 2)
        grads['W2'] = z.T.dot(da2)
        grads['b2'] = da2.sum(axis=0)
        dz = da2.dot(p['W2'].T)
        dmu = dz - beta * up * mu
        dlogvar = dz * eps * std
        dlogvar += -0.5 * beta * up * (np.exp(logvar) - 1)
        grads['Wmu'] = h1.T.dot(dmu)
        grads['bmu'] = dmu.sum(axis=0)
        grads['Wlv'] = h1.T.dot(dlogvar)
        grads['blv'] = dlogvar.sum(axis=0)
        da1 = (dmu.dot(p['Wmu'].T) + dlogvar.dot(p['Wlv'].T)) * (1 - h1 ** 2)
        grads['W1'] = X.T.dot(da1)
        grads['b1'] = da1.sum(axis=0)
        return grads


def _make_assignment():
    rng = np.random.RandomState(11)
    return {"model": AssignmentVAE(seed=3), "x": _binary(1, 4, 5), "eps": rng.randn(4, 2)}


_add("assignment_vae_tanh", "class assignment, params dict and grads dict", "gradients", _make_assignment, False,
     slip="std = exp(logvar / 2), so the path through z into logvar is dz * eps * std * 0.5; the half is missing.",
     wrong=("Wlv", "blv", "W1", "b1"), causes=("factor", "missing-term", "elementwise-factor"))


# ---- features-first lecture code -----------------------------------------------------------------------
class LectureVAE:
    """Columns are examples. A[l] = g(W[l] A[l-1] + b[l])."""

    Terms = namedtuple("Terms", "objective nll kl")

    def __init__(self, n_x=4, n_h=5, n_z=2):
        np.random.seed(5)
        self.params = {
            "W1": np.random.randn(n_h, n_x) * 0.7, "b1": np.random.randn(n_h, 1) * 0.3,
            "Wm": np.random.randn(n_z, n_h) * 0.5, "bm": np.random.randn(n_z, 1) * 0.3,
            "Ws": np.random.randn(n_z, n_h) * 0.4, "bs": np.random.randn(n_z, 1) * 0.3,
            "W2": np.random.randn(n_h, n_z) * 0.7, "b2": np.random.randn(n_h, 1) * 0.3,
            "W3": np.random.randn(n_x, n_h) * 0.5, "b3": np.random.randn(n_x, 1) * 0.3,
        }

    def objective(self, x, eps, beta=1.0):
        P = self.params
        A0, E = x.T, eps.T
        Z1 = P["W1"] @ A0 + P["b1"]
        A1 = np.maximum(0, Z1)
        M = P["Wm"] @ A1 + P["bm"]
        S = P["Ws"] @ A1 + P["bs"]                  # log sigma^2
        sig = np.exp(S / 2)
        Zl = M + sig * E
        Z2 = P["W2"] @ Zl + P["b2"]
        A2 = np.maximum(0, Z2)
        Z3 = P["W3"] @ A2 + P["b3"]
        A3 = 1 / (1 + np.exp(-Z3))
        nll = -np.sum(A0 * np.log(A3) + (1 - A0) * np.log(1 - A3), axis=0)
        kl = 0.5 * np.sum(M ** 2 + np.exp(S) - S - 1, axis=0)
        cache = dict(A0=A0, E=E, Z1=Z1, A1=A1, M=M, S=S, sig=sig, Zl=Zl, Z2=Z2, A2=A2, A3=A3, beta=beta)
        return self.Terms(-nll - beta * kl, nll, kl), cache

    def backward(self, dobjective, cache):
        P, c, g = self.params, cache, {}
        d = dobjective[None, :]
        dZ3 = -d * (c["A3"] - c["A0"])
        g["W3"], g["b3"] = dZ3 @ c["A2"].T, dZ3.sum(axis=1, keepdims=True)
        dZ2 = (P["W3"].T @ dZ3) * (c["Z2"] > 0)
        g["W2"], g["b2"] = dZ2 @ c["Zl"].T, dZ2.sum(axis=1, keepdims=True)
        dZl = P["W2"].T @ dZ2
        dM = dZl - c["beta"] * c["M"]
        dS = 0.5 * dZl * c["E"] * c["sig"] - c["beta"] * 0.5 * (np.exp(c["S"]) - 1)
        g["Wm"], g["bm"] = dM @ c["A1"].T, dM.sum(axis=1, keepdims=True)
        g["Ws"], g["bs"] = dS @ c["A1"].T, dS.sum(axis=1, keepdims=True)
        dZ1 = (P["Wm"].T @ dM + P["Ws"].T @ dS) * (c["Z1"] > 0)
        g["W1"], g["b1"] = dZ1 @ c["A0"].T, dZ1.sum(axis=1, keepdims=True)
        return g


_add("lecture_vae_columns", "features-first lecture code, column vectors", "gradients",
     lambda: {"model": LectureVAE(), "x": _binary(2, 5, 4), "eps": np.random.default_rng(21).standard_normal((5, 2))},
     False,
     slip="The gradient of the KL with respect to mu and log sigma^2 is not multiplied by dobjective of its row (only the likelihood's is).",
     wrong=("Wm", "bm", "Ws", "bs", "W1", "b1"), causes=("elementwise-factor", "batch-sum", "missing-term"))


# ---- functional research code: importance weighted -------------------------------------------------------
LOG2PI = np.log(2 * np.pi)


def iw_init(rng, d, h, k):
    f = lambda *s: rng.normal(scale=0.7, size=s)
    return {"enc/w": f(d, h), "enc/b": f(h), "mu/w": f(h, k), "lv/w": f(h, k), "lv/b": f(k) - 0.5, "dec/w": f(k, d), "dec/b": f(d)}


def iw_apply(params, x, eps, beta):
    h = np.tanh(x @ params["enc/w"] + params["enc/b"])
    mu, lv = h @ params["mu/w"], h @ params["lv/w"] + params["lv/b"]
    sd = np.exp(0.5 * lv)
    z = mu + sd * eps                                                   # [K, B, Z]
    logits = z @ params["dec/w"] + params["dec/b"]
    log_px = (x * logits - np.logaddexp(0, logits)).sum(-1)
    log_pz = -0.5 * (z ** 2 + LOG2PI).sum(-1)
    log_qz = -0.5 * (eps ** 2 + LOG2PI + lv).sum(-1)
    log_w = log_px + beta * (log_pz - log_qz)                           # [K, B]
    bound = logsumexp(log_w, axis=0) - np.log(len(eps))
    return bound, (x, eps, h, sd, z, logits, log_w, beta)


def iw_grads(params, g, res):
    x, eps, h, sd, z, logits, log_w, beta = res
    w = np.broadcast_to(g / log_w.shape[0], log_w.shape)[..., None]
    dlogits = w * (x - expit(logits))
    dz = dlogits @ params["dec/w"].T - beta * w * z
    dmu = dz.sum(0)
    dlv = (0.5 * dz * sd * eps).sum(0) + 0.5 * beta * w.sum(0)
    dpre = (dmu @ params["mu/w"].T + dlv @ params["lv/w"].T) * (1 - h * h)
    return {
        "enc/w": x.T @ dpre, "enc/b": dpre.sum(0),
        "mu/w": h.T @ dmu, "lv/w": h.T @ dlv, "lv/b": dlv.sum(0),
        "dec/w": np.einsum("kbz,kbd->zd", z, dlogits), "dec/b": dlogits.sum((0, 1)),
    }


class ImportanceWeighted:
    def __init__(self, params):
        self.params = params

    def encode(self, x):
        h = np.tanh(x @ self.params["enc/w"] + self.params["enc/b"])
        return h @ self.params["mu/w"], h @ self.params["lv/w"] + self.params["lv/b"], h

    def objective(self, x, eps, beta=1.0):
        bound, res = iw_apply(self.params, x, eps, beta)
        return SimpleNamespace(objective=bound), res

    def backward(self, dobjective, cache):
        return iw_grads(self.params, dobjective, cache)


def _make_iw():
    rng = np.random.default_rng(17)
    return {"model": ImportanceWeighted(iw_init(rng, 5, 3, 2)), "x": _binary(3, 4, 5), "eps": rng.normal(size=(3, 4, 2))}


_add("importance_weighted_bound", "functional research code with haiku-like names", "gradients", _make_iw, False,
     slip="The gradient of log mean exp over the K samples weighs each with softmax(log_w) over K; here every sample gets 1/K.",
     wrong=("enc/w", "enc/b", "mu/w", "lv/w", "lv/b", "dec/w", "dec/b"), causes=("elementwise-factor", "batch-sum"))


# ---- statistics: mixture of normals -------------------------------------------------------------------
class NormalMixture:
    """Finite mixture, diagonal normals. theta = (eta, m, s): eta log-odds of the weights, s log sd."""

    def __init__(self, K, p, seed):
        rs = np.random.RandomState(seed)
        self.params = OrderedDict(eta=rs.randn(K) * .8, m=rs.randn(K, p), s=rs.randn(K, p) * .3)

    def loglik_i(self, y):
        eta, m, s = self.params["eta"], self.params["m"], self.params["s"]
        lpi = eta - logsumexp(eta)
        e = (y[:, None, :] - m[None]) / np.exp(s)[None]
        comp = lpi + np.sum(-.5 * e ** 2 - s - .5 * np.log(2 * np.pi), axis=2)
        ll = logsumexp(comp, axis=1)
        return ll, e, np.exp(comp - ll[:, None])

    def objective(self, x, eps=None, beta=1.0):
        ll, e, tau = self.loglik_i(x)
        return SimpleNamespace(objective=ll), (e, tau)

    def backward(self, dobjective, cache):
        e, tau = cache
        wt = dobjective[:, None] * tau                    # posterior weights, n x K
        score = OrderedDict()
        score["eta"] = wt.sum(axis=0)
        score["m"] = np.einsum("nk,nkp->kp", wt, e) / np.exp(self.params["s"])
        score["s"] = np.einsum("nk,nkp->kp", wt, e ** 2 - 1)
        return score


_add("normal_mixture_loglik", "statistics, score of a mixture model", "gradients",
     lambda: {"model": NormalMixture(3, 2, 8), "x": np.random.RandomState(9).randn(6, 2) * 1.3}, False,
     slip="The weights are a softmax of eta, so the score is sum_n (tau_nk - pi_k); the normaliser's -pi_k is missing.",
     wrong=("eta",), causes=("missing-term",))


# ---- torch port, tied weights -----------------------------------------------------------------------------
class F:
    @staticmethod
    def linear(input, weight, bias=None):
        out = input @ weight.T
        return out if bias is None else out + bias

    @staticmethod
    def leaky_relu(input, negative_slope=0.2):
        return np.where(input >= 0, input, negative_slope * input)

    @staticmethod
    def leaky_relu_backward(grad, input, negative_slope=0.2):
        return np.where(input >= 0, grad, negative_slope * grad)


class TiedVAE:
    """mu/decoder share V, input/output layers share W (weight tying)."""

    def __init__(self, in_features, hidden, latent, seed):
        gen = np.random.default_rng(seed)
        u = lambda *s: gen.uniform(-1, 1, s) * .8
        self.params = {"W": u(hidden, in_features), "b_h": u(hidden), "V": u(latent, hidden), "b_mu": u(latent),
                       "S": u(latent, hidden), "b_lv": u(latent), "b_dh": u(hidden), "b_x": u(in_features)}

    def encode(self, x):
        p = self.params
        pre = F.linear(x, p["W"], p["b_h"])
        h = F.leaky_relu(pre)
        return F.linear(h, p["V"], p["b_mu"]), F.linear(h, p["S"], p["b_lv"]), (pre, h)

    def objective(self, x, eps, beta=1.0):
        p = self.params
        mu, logvar, (pre, h) = self.encode(x)
        z = mu + np.exp(logvar / 2) * eps
        dpre = F.linear(z, p["V"].T, p["b_dh"])
        dh = F.leaky_relu(dpre)
        recon = F.linear(dh, p["W"].T, p["b_x"])
        nll = .5 * np.square(recon - x).sum(-1) + .5 * x.shape[-1] * np.log(2 * np.pi)
        kl = -.5 * (1 + logvar - mu ** 2 - np.exp(logvar)).sum(-1)
        return (SimpleNamespace(objective=-(nll + beta * kl), nll=nll, kl=kl),
                (x, eps, pre, h, mu, logvar, z, dpre, dh, recon, beta))

    def backward(self, dobjective, cache):
        x, eps, pre, h, mu, logvar, z, dpre, dh, recon, beta = cache
        p = self.params
        go = dobjective[:, None]
        grad = {}
        g_recon = -go * (recon - x)
        grad["b_x"] = g_recon.sum(0)
        grad["W"] = dh.T @ g_recon
        g_dpre = F.leaky_relu_backward(g_recon @ p["W"].T, dpre)
        grad["b_dh"] = g_dpre.sum(0)
        grad["V"] = z.T @ g_dpre
        g_z = g_dpre @ p["V"].T
        g_mu = g_z - go * beta * mu
        g_lv = g_z * eps * .5 * np.exp(logvar / 2) + go * beta * .5 * (1 - np.exp(logvar))
        grad["V"] = g_mu.T @ h
        grad["b_mu"] = g_mu.sum(0)
        grad["S"] = g_lv.T @ h
        grad["b_lv"] = g_lv.sum(0)
        g_pre = F.leaky_relu_backward(g_mu @ p["V"] + g_lv @ p["S"], pre)
        grad["W"] += g_pre.T @ x
        grad["b_h"] = g_pre.sum(0)
        return grad


_add("tied_weights_vae", "port of a framework, functional ops", "gradients",
     lambda: {"model": TiedVAE(5, 4, 2, 31), "x": np.random.default_rng(32).standard_normal((4, 5)),
              "eps": np.random.default_rng(33).standard_normal((4, 2))}, False,
     slip="V is used in the decoder and in the head of mu; the second assignment overwrites the decoder's share instead of adding to it (+=).",
     wrong=("V",), causes=("missing-term",))


# ---- layer classes with state -------------------------------------------------------------------------------
class Layer:
    def forward(self, x):
        raise NotImplementedError

    def backward(self, dy):
        raise NotImplementedError


class Dense(Layer):
    def __init__(self, store, name, n_in, n_out, rng):
        self.W = store[name + ".W"] = rng.standard_normal((n_in, n_out)) / np.sqrt(n_in)
        self.b = store[name + ".b"] = 0.1 * rng.standard_normal(n_out)
        self.name = name

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, dy):
        self.dW = self.x.T @ dy
        self.db = dy.sum(axis=0)
        return dy @ self.W.T


class Sin(Layer):
    def forward(self, x):
        self.x = x
        return np.sin(x)

    def backward(self, dy):
        return dy * np.cos(self.x)


class GaussianDecoderVAE:
    def __init__(self, seed=2):
        rng = np.random.default_rng(seed)
        self.params = {}
        self.trunk = Dense(self.params, "trunk", 4, 5, rng)
        self.act = Sin()
        self.mu_head = Dense(self.params, "mu", 5, 2, rng)
        self.lv_head = Dense(self.params, "lv", 5, 2, rng)
        self.dec1 = Dense(self.params, "dec1", 2, 5, rng)
        self.act2 = Sin()
        self.dec2 = Dense(self.params, "dec2", 5, 4, rng)
        self.params["log_sigma"] = np.array([-0.3])
        self.dense = [self.trunk, self.mu_head, self.lv_head, self.dec1, self.dec2]

    def encode(self, x):
        h = self.act.forward(self.trunk.forward(x))
        return self.mu_head.forward(h), self.lv_head.forward(h), None

    def objective(self, x, eps, beta=1.0):
        mu, lv, _ = self.encode(x)
        z = mu + np.exp(0.5 * lv) * eps
        m = self.dec2.forward(self.act2.forward(self.dec1.forward(z)))
        ls = self.params["log_sigma"]
        r = (x - m) / np.exp(ls)
        nll = np.sum(0.5 * r ** 2 + ls + 0.5 * np.log(2 * np.pi), axis=1)
        kl = 0.5 * np.sum(np.exp(lv) + mu ** 2 - 1 - lv, axis=1)
        return SimpleNamespace(objective=-nll - beta * kl, nll=nll, kl=kl), (mu, lv, eps, r, beta)

    def backward(self, dobjective, cache):
        mu, lv, eps, r, beta = cache
        dnll = -dobjective[:, None]
        dkl = -beta * dobjective[:, None]
        sigma = np.exp(self.params["log_sigma"])
        grads = {"log_sigma": np.array([np.sum(dnll[:, 0] * (1 - np.sum(r ** 2, axis=1)))])}
        dz = self.dec1.backward(self.act2.backward(self.dec2.backward(-dnll * r / sigma)))
        dmu = dz + dkl * mu
        dlv = 0.5 * dz * eps * np.exp(0.5 * lv) + 0.5 * dkl * (np.exp(lv) - 1)
        dh = self.mu_head.backward(dmu) + self.lv_head.backward(dlv)
        self.trunk.backward(self.act.backward(dh))
        for layer in self.dense:
            grads[layer.name + ".W"] = layer.dW
            grads[layer.name + ".b"] = layer.db
        return grads


_add("gaussian_decoder_learned_sigma", "layer classes with state", "gradients",
     lambda: {"model": GaussianDecoderVAE(), "x": np.random.default_rng(41).standard_normal((5, 4)) * 1.2,
              "eps": np.random.default_rng(42).standard_normal((5, 2))}, False,
     slip="One log_sigma serves all D pixels, so its normaliser's derivative is D a row; the code counts it once (D - sum r^2 is meant, not 1 - sum r^2).",
     wrong=("log_sigma",), causes=("missing-term", "factor"))


# ---- physics -------------------------------------------------------------------------------------------------
class PhotonCountVAE:
    """Latent amplitudes a -> expected photon counts lam = exp(a R + c) in each detector bin."""

    def __init__(self):
        rng = np.random.default_rng(77)
        self.params = dict(Q=0.4 * rng.normal(size=(5, 3)), q=0.2 * rng.normal(size=3),
                           Qm=0.6 * rng.normal(size=(3, 2)), Qw=0.9 * rng.normal(size=(3, 2)), qw=0.3 * rng.normal(size=2) - 0.6,
                           R=0.5 * rng.normal(size=(2, 5)), c=0.2 * rng.normal(size=5))

    def objective(self, x, eps, beta=1.0):
        P = self.params
        s = np.sqrt(x + 3 / 8)                            # Anscombe
        h = np.arctan(s @ P["Q"] + P["q"])
        m = h @ P["Qm"]
        w_raw = h @ P["Qw"] + P["qw"]
        width = np.logaddexp(0.0, w_raw)                  # posterior widths > 0
        a = m + width * eps
        lnlam = a @ P["R"] + P["c"]
        nll = np.sum(np.exp(lnlam) - x * lnlam + gammaln(x + 1), axis=1)
        kl = np.sum(0.5 * (m ** 2 + width ** 2 - 1) - np.log(width), axis=1)
        return SimpleNamespace(objective=-nll - beta * kl, nll=nll, kl=kl), (x, s, h, m, width, eps, a, lnlam, beta)

    def backward(self, dobjective, cache):
        x, s, h, m, width, eps, a, lnlam, beta = cache
        P = self.params
        wgt = dobjective[:, None]
        dlnlam = wgt * (x - np.exp(lnlam))
        da = dlnlam @ P["R"].T
        dm = da - beta * wgt * m
        dwidth = da * eps - beta * wgt * (width - 1 / width)
        dw_raw = dwidth / (1 + np.exp(-width))
        dh = dm @ P["Qm"].T + dw_raw @ P["Qw"].T
        du = dh / (1 + np.tan(h) ** 2)
        return dict(Q=s.T @ du, q=du.sum(0), Qm=h.T @ dm, Qw=h.T @ dw_raw, qw=dw_raw.sum(0), R=a.T @ dlnlam, c=dlnlam.sum(0))


_add("photon_count_softplus_width", "physics, detector counts", "gradients",
     lambda: {"model": PhotonCountVAE(), "x": np.random.default_rng(78).poisson(1.5, size=(4, 5)).astype(float),
              "eps": np.random.default_rng(79).normal(size=(4, 2))}, False,
     slip="softplus'(u) is sigmoid(u) of its input w_raw; the code takes the sigmoid of its output width.",
     wrong=("Qw", "qw", "Q", "q"), causes=("elementwise-factor",))


# ---- time series, state space ------------------------------------------------------------------------------
class DeepMarkov:
    """z_t ~ N(A z_{t-1}, I), y_t ~ N(C z_t + d, 1), q(z_t) = N(mu(y_t), diag exp lv(y_t))."""

    def __init__(self, seed=6):
        r = np.random.RandomState(seed)
        self.params = {"A": .7 * r.randn(2, 2), "C": r.randn(2), "d": .2 * r.randn(1), "u": r.randn(3), "c": .3 * r.randn(3),
                       "M": .8 * r.randn(3, 2), "L": .6 * r.randn(3, 2)}

    def objective(self, x, eps, beta=1.0):
        p = self.params
        B, T = x.shape
        nll, kl = np.zeros(B), np.zeros(B)
        z_prev = np.zeros((B, 2))
        tape = []
        for t in range(T):
            h = np.tanh(np.outer(x[:, t], p["u"]) + p["c"])
            mu, lv = h @ p["M"], h @ p["L"]
            z = mu + np.exp(.5 * lv) * eps[:, t]
            diff = mu - z_prev @ p["A"].T
            kl += .5 * (np.exp(lv) + diff ** 2 - 1 - lv).sum(1)
            res = x[:, t] - z @ p["C"] - p["d"]
            nll += .5 * res ** 2 + .5 * np.log(2 * np.pi)
            tape.append((x[:, t], h, mu, lv, eps[:, t], z, z_prev, diff, res))
            z_prev = z
        return SimpleNamespace(objective=-nll - beta * kl, nll=nll, kl=kl), (tape, beta)

    def backward(self, dobjective, cache):
        tape, beta = cache
        p = self.params
        grads = {k: np.zeros_like(v) for k, v in p.items()}
        g = dobjective[:, None]
        dz_next = np.zeros_like(tape[0][5])
        for y, h, mu, lv, e, z, z_prev, diff, res in reversed(tape):
            gres = g[:, 0] * res
            grads["C"] += gres @ z
            grads["d"] += gres.sum()
            dz = np.outer(gres, p["C"])
            ddiff = -beta * g * diff
            grads["A"] -= ddiff.T @ z_prev
            dmu = dz + ddiff
            dlv = .5 * dz * np.exp(.5 * lv) * e - .5 * beta * g * (np.exp(lv) - 1)
            grads["M"] += h.T @ dmu
            grads["L"] += h.T @ dlv
            da = (dmu @ p["M"].T + dlv @ p["L"].T) * (1 - h ** 2)
            grads["u"] += y @ da
            grads["c"] += da.sum(0)
        return grads


_add("deep_markov_prior_path", "time-series research code, tape in a list", "gradients",
     lambda: {"model": DeepMarkov(), "x": np.random.RandomState(61).randn(4, 3), "eps": np.random.RandomState(62).randn(4, 3, 2)}, False,
     slip="The sample z_{t-1} also stands in the prior mean of step t; its gradient -ddiff @ A is never carried back to the step before.",
     wrong=("u", "c", "M", "L"), causes=("missing-term",))


# ---- NLP topic model -----------------------------------------------------------------------------------------
def softmax(a):
    a = a - a.max(axis=1, keepdims=True)
    e = np.exp(a)
    return e / e.sum(axis=1, keepdims=True)


class NeuralTopicModel:
    """Logistic-normal topics, word distribution is softmax(theta . topics + background); bag-of-words counts."""

    def __init__(self, vocab=6, n_topics=3, n_hidden=4, seed=90):
        rng = np.random.default_rng(seed)
        self.params = {
            'We': rng.normal(0, .5, (vocab, n_hidden)), 'be': rng.normal(0, .2, n_hidden),
            'Wm': rng.normal(0, .6, (n_hidden, n_topics)), 'bm': rng.normal(0, .2, n_topics),
            'Wv': rng.normal(0, .4, (n_hidden, n_topics)), 'bv': rng.normal(0, .2, n_topics),
            'topics': rng.normal(0, 1., (n_topics, vocab)), 'background': rng.normal(0, .4, vocab),
        }

    def encode(self, bow):
        P = self.params
        pre = np.log1p(bow) @ P['We'] + P['be']
        h = np.logaddexp(0, pre)
        return h @ P['Wm'] + P['bm'], h @ P['Wv'] + P['bv'], (pre, h)

    def objective(self, bow, eps, beta=1.0):
        P = self.params
        mu, logvar, (pre, h) = self.encode(bow)
        theta = softmax(mu + np.exp(logvar / 2) * eps)
        probs = softmax(theta @ P['topics'] + P['background'])
        nll = -(bow * np.log(probs)).sum(axis=1)
        kl = .5 * (np.exp(logvar) + mu ** 2 - logvar - 1).sum(axis=1)
        terms = SimpleNamespace(objective=-nll - beta * kl, nll=nll, kl=kl)
        return terms, {'bow': bow, 'eps': eps, 'mu': mu, 'logvar': logvar, 'pre': pre, 'h': h, 'theta': theta, 'probs': probs, 'beta': beta}

    def backward(self, dobjective, cache):
        P, C = self.params, cache
        up = dobjective[:, np.newaxis]
        dscore = -up * (C['probs'] - C['bow'])
        dtheta = dscore @ P['topics'].T
        th = C['theta']
        dz = th * (dtheta - (dtheta * th).sum(axis=1, keepdims=True))
        dmu = dz - C['beta'] * up * C['mu']
        dlv = .5 * dz * C['eps'] * np.exp(C['logvar'] / 2) - .5 * C['beta'] * up * (np.exp(C['logvar']) - 1)
        dpre = (dmu @ P['Wm'].T + dlv @ P['Wv'].T) * expit(C['pre'])
        lx = np.log1p(C['bow'])
        return {'topics': th.T @ dscore, 'background': dscore.sum(axis=0),
                'Wm': C['h'].T @ dmu, 'bm': dmu.sum(axis=0), 'Wv': C['h'].T @ dlv, 'bv': dlv.sum(axis=0),
                'We': lx.T @ dpre, 'be': dpre.sum(axis=0)}


_add("neural_topic_model", "NLP, bag of words", "gradients",
     lambda: {"model": NeuralTopicModel(), "x": np.random.default_rng(91).integers(0, 4, (4, 6)).astype(float),
              "eps": np.random.default_rng(92).normal(size=(4, 3))}, False,
     slip="With counts the gradient of the cross-entropy is N p - x with N the words of the document (bow.sum(1)); p - x holds only for one word.",
     wrong=("We", "be", "Wm", "bm", "Wv", "bv", "topics", "background"), causes=("elementwise-factor", "missing-term"))


# ---- right: vamp prior ------------------------------------------------------------------------------------------
class VampVAE:
    """Aggregate-posterior prior: p(z) = 1/M sum_m q(z | u_m), with learned pseudo inputs u."""

    def __init__(self, rng):
        n = rng.standard_normal
        self.params = {"Wm": .6 * n((4, 2)), "bm": .2 * n(2), "Wv": .4 * n((4, 2)), "bv": .2 * n(2) - .4,
                       "Wd": .8 * n((2, 4)), "bd": .2 * n(4), "pseudo": n((3, 4))}

    def encode(self, x):
        p = self.params
        return x @ p["Wm"] + p["bm"], x @ p["Wv"] + p["bv"], None

    def objective(self, x, eps, beta=1.0):
        p = self.params
        B = len(x)
        both = np.concatenate([x, p["pseudo"]])              # encode data and pseudo inputs together
        m, v, _ = self.encode(both)
        mu, lv, pm, pv = m[:B], v[:B], m[B:], v[B:]
        z = mu + np.exp(.5 * lv) * eps
        a = z @ p["Wd"] + p["bd"]
        nll = np.sum(np.logaddexp(0, a) - x * a, axis=1)
        logq = np.sum(-.5 * eps ** 2 - .5 * lv, axis=1)
        delta = z[:, None] - pm[None]                        # B, M, Z
        comp = np.sum(-.5 * delta ** 2 * np.exp(-pv) - .5 * pv, axis=2)
        logp = logsumexp(comp, axis=1) - np.log(len(pm))
        kl = logq - logp
        resp = np.exp(comp - logsumexp(comp, axis=1, keepdims=True))
        return (SimpleNamespace(objective=-nll - beta * kl, nll=nll, kl=kl),
                (x, both, lv, pv, eps, z, a, delta, resp, beta))

    def backward(self, dobjective, cache):
        x, both, lv, pv, eps, z, a, delta, resp, beta = cache
        p = self.params
        go = dobjective[:, None]
        da = go * (x - expit(a))
        dcomp = (beta * go * resp)[:, :, None]
        pull = dcomp * delta * np.exp(-pv)
        dz = da @ p["Wd"].T - pull.sum(1)
        dm = np.concatenate([dz, pull.sum(0)])
        dv = np.concatenate([.5 * dz * np.exp(.5 * lv) * eps + .5 * beta * go,
                             (.5 * dcomp * (delta ** 2 * np.exp(-pv) - 1)).sum(0)])
        dboth = dm @ p["Wm"].T + dv @ p["Wv"].T
        return {"Wd": z.T @ da, "bd": da.sum(0), "Wm": both.T @ dm, "bm": dm.sum(0), "Wv": both.T @ dv, "bv": dv.sum(0),
                "pseudo": dboth[len(x):]}


_add("vamp_prior_pseudo_inputs", "research code, learned prior", "gradients",
     lambda: {"model": VampVAE(np.random.default_rng(101)), "x": _binary(102, 5, 4), "eps": np.random.default_rng(103).standard_normal((5, 2))},
     True)


# ---- right: planar flow, 0-d parameters -------------------------------------------------------------------------
class PlanarFlowVAE:
    n_flows = 2

    def __init__(self, seed):
        g = np.random.default_rng(seed)
        self.params = {"wm": g.normal(size=(3, 2)), "ws": .5 * g.normal(size=(3, 2)), "dec": g.normal(size=(2, 3)), "off": np.array(0.37)}
        for k in range(self.n_flows):
            self.params[f"u{k}"] = .6 * g.normal(size=2)
            self.params[f"w{k}"] = .6 * g.normal(size=2)
            self.params[f"b{k}"] = np.array(g.normal())

    def objective(self, x, eps, beta=1.0):
        P = self.params
        mu, ls = x @ P["wm"], x @ P["ws"]
        z = mu + np.exp(ls) * eps
        log_q = (-.5 * eps ** 2 - ls - .5 * LOG2PI).sum(1)
        stack = []
        for k in range(self.n_flows):
            u, w, b = P[f"u{k}"], P[f"w{k}"], P[f"b{k}"]
            t = np.tanh(z @ w + b)
            det = 1 + (1 - t ** 2) * (u @ w)
            stack.append((z, t, det))
            log_q = log_q - np.log(np.abs(det))
            z = z + t[:, None] * u
        mean = z @ P["dec"] + P["off"]
        nll = (.5 * (x - mean) ** 2 + .5 * LOG2PI).sum(1)
        kl = log_q - (-.5 * z ** 2 - .5 * LOG2PI).sum(1)
        return SimpleNamespace(objective=-nll - beta * kl, nll=nll, kl=kl), (x, eps, ls, stack, z, mean, beta)

    def backward(self, dobjective, cache):
        x, eps, ls, stack, z, mean, beta = cache
        P, G = self.params, {}
        d = dobjective
        dmean = d[:, None] * (x - mean)
        G["off"] = dmean.sum()
        G["dec"] = z.T @ dmean
        dz = dmean @ P["dec"].T - beta * d[:, None] * z
        for k in reversed(range(self.n_flows)):
            u, w = P[f"u{k}"], P[f"w{k}"]
            zin, t, det = stack[k]
            ddet = beta * d / det
            slope = 1 - t ** 2
            uw = u @ w
            dt = dz @ u - 2 * t * uw * ddet
            duw = slope @ ddet
            ds = dt * slope
            G[f"u{k}"] = t @ dz + duw * w
            G[f"w{k}"] = ds @ zin + duw * u
            G[f"b{k}"] = ds.sum()
            dz = dz + np.outer(ds, w)
        dls = dz * np.exp(ls) * eps + beta * d[:, None]
        G["wm"], G["ws"] = x.T @ dz, x.T @ dls
        return G


_add("planar_flow_posterior", "normalising flows, compact research code with scalars as parameters", "gradients",
     lambda: {"model": PlanarFlowVAE(111), "x": np.random.default_rng(112).normal(size=(4, 3)), "eps": np.random.default_rng(113).normal(size=(4, 2))},
     True)


# ---- right: restricted Boltzmann machine ----------------------------------------------------------------------------
class TinyBoltzmann:
    """Exact log likelihood of a restricted Boltzmann machine, Z by enumeration of all spins."""

    def __init__(self, nv=4, nh=3, seed=120):
        rng = np.random.RandomState(seed)
        self.params = {'J': rng.normal(0, .8, (nv, nh)), 'hv': rng.normal(0, .5, nv), 'hh': rng.normal(0, .5, nh)}
        self.states = np.array(list(itertools.product([0, 1], repeat=nv)))        # integers on purpose

    def minus_F(self, v):
        phi = v @ self.params['J'] + self.params['hh']
        return v @ self.params['hv'] + np.logaddexp(0, phi).sum(-1), phi

    def objective(self, x, eps=None, beta=1.0):
        data, phi = self.minus_F(x)
        model, phi_m = self.minus_F(self.states)
        lnZ = np.logaddexp.reduce(model)
        return SimpleNamespace(objective=data - lnZ), (x, phi, np.exp(model - lnZ), phi_m)

    def backward(self, dobjective, cache):
        x, phi, prob, phi_m = cache
        v = np.vstack([x, self.states])
        weight = np.concatenate([dobjective, -dobjective.sum() * prob])           # data minus model averages
        act = weight[:, None] * expit(np.vstack([phi, phi_m]))
        return {'J': v.T @ act, 'hv': weight @ v, 'hh': act.sum(0)}


_add("boltzmann_exact_likelihood", "statistical physics, enumeration", "gradients",
     lambda: {"model": TinyBoltzmann(), "x": _binary(121, 5, 4)}, True)


# ---- right: factor analysis -------------------------------------------------------------------------------------------
class FactorAnalysis:
    def __init__(self, p=4, q=2, seed=130):
        rng = np.random.default_rng(seed)
        self.params = {"Lambda": np.asfortranarray(rng.normal(size=(p, q))), "log_psi": rng.normal(size=p) * .4, "nu": rng.normal(size=p)}

    def objective(self, x, eps=None, beta=1.0):
        L, lp, nu = (self.params[k] for k in ("Lambda", "log_psi", "nu"))
        Sigma = L @ L.T
        Sigma[np.diag_indices_from(Sigma)] += np.exp(lp)
        Sinv = np.linalg.inv(Sigma)
        r = x - nu
        a = r @ Sinv
        ll = -.5 * (np.einsum("ij,ij->i", a, r) + np.linalg.slogdet(Sigma)[1] + len(nu) * np.log(2 * np.pi))
        return SimpleNamespace(objective=ll), (a, Sinv)

    def backward(self, dobjective, cache):
        a, Sinv = cache
        G = .5 * ((a * dobjective[:, None]).T @ a - dobjective.sum() * Sinv)         # d ll / d Sigma, symmetric
        return {"nu": dobjective @ a, "Lambda": 2 * G @ self.params["Lambda"], "log_psi": np.diag(G) * np.exp(self.params["log_psi"])}


_add("factor_analysis_marginal", "psychometrics, closed-form marginal likelihood", "gradients",
     lambda: {"model": FactorAnalysis(), "x": np.random.default_rng(131).normal(size=(6, 4)) * 1.5}, True)


# ---- right: world model with clipped logvar, huge inputs, work buffers --------------------------------------------------
class PixelEncoderDecoder:
    """From an RL baseline: log-variance clipped to [LO, HI], pixel logits multiplied by a learned temperature."""

    LO, HI = -3.0, 1.0

    def __init__(self, obs_dim=5, latent=3, seed=140):
        rs = np.random.RandomState(seed)
        self.params = {"fc": rs.randn(obs_dim, 2 * latent) * .6, "fc_b": np.array([.1, -.2, .3, -9., .2, .9]),
                       "out": rs.randn(latent, obs_dim) * 40., "out_b": rs.randn(obs_dim) * 1e-6, "log_temp": np.array(0.25)}
        self._work = np.empty(0)

    def encode(self, obs):
        both = obs @ self.params["fc"]
        both += self.params["fc_b"]
        mean, raw = np.split(both, 2, axis=1)
        return mean, np.clip(raw, self.LO, self.HI), raw

    def objective(self, obs, eps, beta=1.0):
        mean, logvar, raw = self.encode(obs)
        std = np.exp(logvar * .5)
        z = eps * std
        z += mean
        pre = z @ self.params["out"] + self.params["out_b"]
        logits = pre * np.exp(self.params["log_temp"])
        nll = (np.maximum(logits, 0.) - logits * obs + np.log1p(np.exp(-np.abs(logits)))).sum(axis=-1)
        kl = .5 * (mean * mean + std * std - 1. - logvar).sum(axis=-1)
        return SimpleNamespace(objective=-nll - beta * kl, nll=nll, kl=kl), (obs, mean, logvar, raw, std, z, logits, eps, beta)

    def backward(self, dobjective, cache):
        obs, mean, logvar, raw, std, z, logits, eps, beta = cache
        if self._work.shape != logits.shape:
            self._work = np.empty_like(logits)
        d = self._work                                      # own buffer, used again at each call
        np.subtract(obs, expit(logits), out=d)
        d *= dobjective[:, None]
        grads = {"log_temp": np.array((d * logits).sum())}
        d *= np.exp(self.params["log_temp"])
        grads["out"], grads["out_b"] = z.T @ d, d.sum(axis=0)
        dz = d @ self.params["out"].T
        dboth = np.concatenate([dz, dz], axis=1)
        dmean, draw = np.split(dboth, 2, axis=1)            # views
        dmean -= beta * dobjective[:, None] * mean
        draw *= .5 * std * eps
        draw -= .5 * beta * dobjective[:, None] * (std * std - 1.)
        draw[(raw < self.LO) | (raw > self.HI)] = 0.
        grads["fc"], grads["fc_b"] = obs.T @ dboth, dboth.sum(axis=0)
        return grads


_add("world_model_clipped_logvar", "reinforcement-learning baseline, work buffers", "gradients",
     lambda: {"model": PixelEncoderDecoder(), "x": np.random.RandomState(141).rand(4, 5), "eps": np.random.RandomState(142).randn(4, 3)}, True)


# =====================================================================================================
# evidence
# =====================================================================================================

# ---- statistics -------------------------------------------------------------------------------------
class LatentTrait:
    """One latent trait, items answered 0/1 (two-parameter logistic), amortised posterior."""

    def __init__(self):
        rng = np.random.default_rng(200)
        self.params = {"disc": rng.normal(size=(1, 5)) + .8, "diff": .5 * rng.normal(size=5),
                       "g": .6 * rng.normal(size=(5, 1)), "g0": np.array([.4]), "t": .4 * rng.normal(size=(5, 1)), "t0": np.array([-.8])}

    def encode(self, y):
        return y @ self.params["g"] + self.params["g0"], y @ self.params["t"] + self.params["t0"]

    def decode(self, theta):
        return theta @ self.params["disc"] - self.params["diff"]

    def objective(self, y, eps):
        m, lv = self.encode(y)
        theta = m + np.exp(lv / 2) * eps
        eta = self.decode(theta)
        loglik = np.sum(y * eta - np.logaddexp(0, eta), axis=1)
        kl = -0.5 * np.sum(1 + lv - m - np.exp(lv), axis=1)
        return SimpleNamespace(elbo=loglik - kl, nll=-loglik, kl=kl), None


_add("latent_trait_elbo", "statistics, item response", "evidence", lambda: {"model": LatentTrait(), "x": _binary(201, 6, 5)}, False,
     slip="The KL to N(0, 1) has the mean squared: 1 + lv - m**2 - exp(lv); the square is missing.",
     wrong=("elbo",), causes=("elementwise-factor", "missing-term"))


# ---- Keras-like -------------------------------------------------------------------------------------
class K:
    mean = staticmethod(np.mean)
    sum = staticmethod(np.sum)
    exp = staticmethod(np.exp)

    @staticmethod
    def binary_crossentropy(y_true, logits):
        return np.maximum(logits, 0) - logits * y_true + np.log1p(np.exp(-np.abs(logits)))


class KerasLikeVAE:
    def __init__(self, original_dim=6, intermediate_dim=4, latent_dim=2):
        rs = np.random.RandomState(210)
        init = lambda *s: rs.uniform(-1, 1, s)
        self.weights = [init(original_dim, intermediate_dim), init(intermediate_dim, latent_dim), init(intermediate_dim, latent_dim),
                        init(latent_dim, intermediate_dim) * 1.5, init(intermediate_dim, original_dim) * 1.5]

    def encode(self, x):
        h = np.maximum(0, x @ self.weights[0])
        return h @ self.weights[1], h @ self.weights[2] - .5

    def decode(self, z):
        return np.maximum(0, z @ self.weights[3]) @ self.weights[4]

    def objective(self, x, eps):
        z_mean, z_log_var = self.encode(x)
        z = z_mean + K.exp(0.5 * z_log_var) * eps
        xent_loss = K.mean(K.binary_crossentropy(x, self.decode(z)), axis=-1)
        kl_loss = -0.5 * K.sum(1 + z_log_var - z_mean ** 2 - K.exp(z_log_var), axis=-1)
        return SimpleNamespace(elbo=-(xent_loss + kl_loss), nll=xent_loss, kl=kl_loss), (z,)


_add("keras_like_vae_loss", "port of a Keras example", "evidence", lambda: {"model": KerasLikeVAE(), "x": _binary(211, 5, 6)}, False,
     slip="The reconstruction is averaged over the pixels while the KL is summed; log p(x|z) is the sum over pixels (times original_dim).",
     wrong=("elbo",), causes=("factor",))


# ---- functional, importance weighted ------------------------------------------------------------------
@dataclass
class BoundTerms:
    elbo: Any


class IwaeModel:
    K = 4

    def __init__(self, seed=220):
        key = np.random.default_rng(seed)
        self.params = {"encoder": {"w": key.normal(size=(5, 2)) * .5, "v": key.normal(size=(5, 2)) * .3 - .2},
                       "decoder": {"w": key.normal(size=(2, 5)) * 1.1, "b": key.normal(size=5) * .3}}

    def draw_eps(self, B, rng):
        return rng.standard_normal((self.K, B, 2))

    def encode(self, x):
        return x @ self.params["encoder"]["w"], x @ self.params["encoder"]["v"]

    def decode(self, z):
        return z @ self.params["decoder"]["w"] + self.params["decoder"]["b"]

    def objective(self, x, eps):
        mu, logvar = self.encode(x)
        z = mu + np.exp(.5 * logvar) * eps
        logits = self.decode(z)
        log_joint = (x * logits - np.logaddexp(0., logits)).sum(-1) - .5 * (z ** 2 + LOG2PI).sum(-1)
        log_q = -.5 * (eps ** 2 + logvar + LOG2PI).sum(-1)
        log_w = log_joint - log_q
        top = log_w.max(axis=0)
        return BoundTerms(elbo=top + np.log(np.exp(log_w - top).sum(axis=0))), log_w


_add("iwae_bound_value", "functional research code, nested parameter trees", "evidence", lambda: {"model": IwaeModel(), "x": _binary(221, 4, 5)}, False,
     slip="The bound is the log of the mean of the weights; the sum is taken, -log K is missing.",
     wrong=("elbo",), causes=("missing-term",))


# ---- tutorial class -------------------------------------------------------------------------------------
class TutorialVAE:
    """The VAE of the blog post, in numpy. Encoder -> reparameterize -> Decoder."""

    def __init__(self):
        np.random.seed(288)
        self.fc1 = np.random.randn(4, 5) * .6
        self.fc21 = np.random.randn(5, 1) * .7
        self.fc22 = np.random.randn(5, 1) * .8
        self.fc3 = np.random.randn(1, 5) * 1.2
        self.fc4 = np.random.randn(5, 4) * 1.2

    def encode(self, x):
        h1 = np.tanh(x.dot(self.fc1))
        return h1.dot(self.fc21), h1.dot(self.fc22) - 2.0

    def reparameterize(self, mu, logvar, eps):
        std = np.exp(logvar)
        return mu + eps * std

    def decode(self, z):
        return np.tanh(z.dot(self.fc3)).dot(self.fc4)

    def objective(self, x, eps):
        mu, logvar = self.encode(x)
        logits = self.decode(self.reparameterize(mu, logvar, eps))
        p = 1 / (1 + np.exp(-logits))
        BCE = -np.sum(x * np.log(p) + (1 - x) * np.log(1 - p), axis=1)
        KLD = -0.5 * np.sum(1 + logvar - mu ** 2 - np.exp(logvar), axis=1)
        terms = SimpleNamespace(nll=BCE, kl=KLD, elbo=-BCE - KLD)
        return terms, (mu, logvar)


_add("tutorial_vae_elbo", "blog tutorial", "evidence", lambda: {"model": TutorialVAE(), "x": _binary(231, 5, 4)}, False,
     slip="reparameterize takes exp(logvar), the variance, for the standard deviation; exp(0.5 * logvar) is meant.",
     wrong=("elbo",), causes=("elementwise-factor",))


# ---- distributions library ---------------------------------------------------------------------------------
class Normal:
    def __init__(self, loc, scale):
        self.loc, self.scale = loc, scale

    def rsample(self, noise):
        return self.loc + self.scale * noise

    def log_prob(self, value):
        return -((value - self.loc) ** 2) / (2 * self.scale ** 2) - np.log(self.scale) - math.log(math.sqrt(2 * math.pi))


class StandardNormal:
    def log_prob(self, value):
        return -0.5 * value ** 2


class BernoulliLogits:
    def __init__(self, logits):
        self.logits = logits

    def log_prob(self, value):
        return value * self.logits - np.logaddexp(0, self.logits)


class ProbabilisticVAE:
    prior = StandardNormal()

    def __init__(self):
        rng = np.random.default_rng(240)
        self.params = {"a": rng.normal(size=(5, 2)) * .5, "s": rng.normal(size=(5, 2)) * .4, "d": rng.normal(size=(2, 5)), "d0": rng.normal(size=5) * .5}

    def encode(self, x):
        return (x - .5) @ self.params["a"], (x - .5) @ self.params["s"] - .3

    def decode(self, z):
        return z @ self.params["d"] + self.params["d0"]

    def guide(self, x):
        loc, log_var = self.encode(x)
        return Normal(loc, np.sqrt(np.exp(log_var)))

    def objective(self, x, eps):
        q = self.guide(x)
        z = q.rsample(eps)
        log_px = BernoulliLogits(self.decode(z)).log_prob(x).sum(axis=-1)
        elbo = log_px + self.prior.log_prob(z).sum(axis=-1) - q.log_prob(z).sum(axis=-1)
        return SimpleNamespace(elbo=elbo), {"z": z}


_add("distributions_elbo", "probabilistic programming, distribution classes", "evidence",
     lambda: {"model": ProbabilisticVAE(), "x": _binary(241, 4, 5)}, False,
     slip="StandardNormal.log_prob lacks its constant -0.5 log(2 pi) a latent while the posterior's log_prob has it.",
     wrong=("elbo",), causes=("missing-term",))


# ---- torch-like port -------------------------------------------------------------------------------------------
class LitVAE:
    def __init__(self, hparams):
        g = np.random.default_rng(hparams["seed"])
        d, k = hparams["d"], hparams["k"]
        self.state_dict = {"enc.weight": g.normal(size=(2 * k, d)) * .9, "enc.bias": g.normal(size=2 * k) * .3,
                           "dec.weight": g.normal(size=(d, k)), "dec.bias": g.normal(size=d) * .2}

    def encode(self, x):
        out = x @ self.state_dict["enc.weight"].T + self.state_dict["enc.bias"]
        mu, logvar = np.array_split(out, 2, axis=-1)
        return mu, logvar

    def decode(self, z):
        return z @ self.state_dict["dec.weight"].T + self.state_dict["dec.bias"]

    def objective(self, x, eps):
        mu, logvar = self.encode(x)
        logits = self.decode(mu + np.exp(0.5 * logvar) * eps)
        recon = (np.logaddexp(0, logits) - x * logits).sum(-1)
        kl = (-0.5 * (1 + logvar - mu ** 2 - np.exp(logvar)).sum(-1)).mean()
        return SimpleNamespace(elbo=-recon - kl, nll=recon), None


_add("lightning_like_elbo", "port of a training module with hparams", "evidence",
     lambda: {"model": LitVAE(dict(d=4, k=2, seed=250)), "x": _binary(251, 5, 4)}, False,
     slip="The KL is averaged over the batch before it is subtracted, so each row gets the mean KL; it should stay one a row.",
     wrong=("elbo",), causes=("batch-sum", "shape"))


# ---- right ones --------------------------------------------------------------------------------------------------
class ColumnElbo:
    """Examples in columns, Monte Carlo ELBO log p(x, z) - log q(z | x), the 2 pi's cancel."""

    def __init__(self):
        np.random.seed(260)
        self.Wm, self.Ws = np.random.randn(2, 5) * .5, np.random.randn(2, 5) * .3
        self.Wd, self.bd = np.random.randn(5, 2), np.random.randn(5, 1) * .4

    def encode(self, x):
        return (self.Wm @ x.T).T, (self.Ws @ x.T - 1).T

    def decode(self, z):
        return (self.Wd @ z.T + self.bd).T

    def objective(self, x, eps):
        M, S = (a.T for a in self.encode(x))
        Z = M + np.exp(S / 2) * eps.T
        A = self.decode(Z.T).T
        Y = x.T
        J = (Y * A - np.log1p(np.exp(A))).sum(axis=0) - .5 * (Z * Z).sum(axis=0)
        J = J + .5 * (S + ((Z - M) / np.exp(S / 2)) ** 2).sum(axis=0)
        return SimpleNamespace(elbo=J), (M, S, Z)


_add("column_monte_carlo_elbo", "features-first lecture code", "evidence", lambda: {"model": ColumnElbo(), "x": _binary(261, 5, 5)}, True)


class LogaddIwae:
    def __init__(self, n_particles=3):
        r = np.random.RandomState(270)
        self.n = n_particles
        self.params = dict(E=r.randn(4, 1), e=r.randn(1) * .3, V=r.randn(4, 1) * .6, G=r.randn(1, 6), G2=r.randn(6, 4))

    def draw_eps(self, B, rng):
        return rng.normal(size=(self.n, B, 1))

    def encode(self, x):
        return x @ self.params["E"] + self.params["e"], x @ self.params["V"] - .7

    def decode(self, z):
        return np.sin(z @ self.params["G"]) @ self.params["G2"]

    def objective(self, x, eps):
        mu, logvar = self.encode(x)
        total = []
        for e in eps:                                   # one particle at a time
            z = mu + np.sqrt(np.exp(logvar)) * e
            s = np.where(x > .5, 1., -1.) * self.decode(z)
            total.append(-np.logaddexp(0, -s).sum(1) - .5 * (z ** 2).sum(1) + .5 * (e ** 2 + logvar).sum(1))
        return SimpleNamespace(elbo=np.logaddexp.reduce(total, axis=0) - np.log(len(total))), None


_add("particle_loop_bound", "sequential Monte Carlo code, loop over particles", "evidence",
     lambda: {"model": LogaddIwae(), "x": _binary(271, 4, 4)}, True)


class FlippedNoiseVAE:
    """x - shifted inputs, noise subtracted, KL written with sigma; free of logvar inside."""

    def __init__(self):
        rng = np.random.default_rng(280)
        self.theta = rng.normal(size=41) * .7

    def _unpack(self):
        t = self.theta
        return t[:10].reshape(5, 2), t[10:20].reshape(5, 2), t[20:30].reshape(2, 5), t[30:35], t[35:37], t[37:39]

    def encode(self, x):
        a, s, _, _, a0, s0 = self._unpack()
        return x @ a + a0, 2 * (x @ s * .5 + s0)

    def decode(self, z):
        _, _, d, d0, _, _ = self._unpack()
        return z @ d + d0

    def objective(self, x, eps):
        mu, lv = self.encode(x)
        sigma = np.exp(lv) ** .5
        z = mu - sigma * eps
        sgn = 2 * x - 1
        nll = -np.log(expit(sgn * self.decode(z))).sum(axis=1)
        kl = (.5 * (sigma ** 2 + mu ** 2) - .5 - np.log(sigma)).sum(axis=1)
        return SimpleNamespace(elbo=-(nll + kl), nll=nll, kl=kl), None


_add("flat_vector_vae_elbo", "scipy-style code with one flat parameter vector", "evidence",
     lambda: {"model": FlippedNoiseVAE(), "x": _binary(281, 6, 5)}, True)


# =====================================================================================================
# samplers
# =====================================================================================================

def _moments(seed, b, z, lo=-2.0, hi=1.0):
    rng = np.random.default_rng(seed)
    return {"mu": rng.normal(size=(b, z)) * 1.2, "logvar": rng.uniform(lo, hi, (b, z))}


def sampling(args):
    z_mean, z_log_var, epsilon = args
    return z_mean + np.exp(z_log_var) / 2 * epsilon


_add("lambda_sampling_layer", "Keras Lambda layer", "sampler",
     lambda: {"sampler": lambda mu, logvar, eps: sampling([mu, logvar, eps]), **_moments(300, 4, 3)}, False,
     slip="The half stands outside the exponential: exp(logvar) / 2 instead of exp(logvar / 2).",
     wrong=("z",), causes=("elementwise-factor",))


class GaussianLayer:
    """Stochastic layer. Keeps what backward needs."""

    def __init__(self):
        self.cache = None

    def __call__(self, mu, logvar, eps):
        sigma = np.exp(0.5 * logvar)
        noise = eps[0]
        z = mu + sigma * noise
        self.cache = (sigma, noise)
        return z, self.cache


_add("gaussian_layer_call", "layer class with state", "sampler", lambda: {"sampler": GaussianLayer(), **_moments(310, 5, 2)}, False,
     slip="One row of noise (eps[0]) is spread over the whole batch, so all rows share it; eps itself is meant.",
     wrong=("z",), causes=("shape", "batch-sum"))


def act(mean, log_variance, noise, clip=2.0):
    """Action of a diagonal Gaussian policy."""
    log_std = 0.5 * log_variance
    noise = np.clip(noise, -clip, clip)
    return mean + np.exp(log_std) * noise


_add("policy_action_noise", "reinforcement-learning baseline", "sampler", lambda: {"sampler": act, **_moments(320, 4, 2)}, False,
     slip="The noise is clipped at two, which takes the tails off and makes the spread too small; no clipping is meant.",
     wrong=("z",), causes=("elementwise-factor",))


def reparam_trick(mu, logvar, eps=None):
    # reproducible runs
    rng = np.random.RandomState(42)
    if eps is None or eps.shape == mu.shape:
        eps = rng.randn(*mu.shape)
    z = eps * np.sqrt(np.exp(logvar)) + mu
    return z


_add("notebook_reparam_trick", "notebook", "sampler", lambda: {"sampler": reparam_trick, **_moments(330, 4, 2)}, False,
     slip="The noise is drawn again inside from a generator seeded at each call, so every call gives the same z; the argument eps is to be used.",
     wrong=("z",), causes=("noise-redrawn",))


def latent_sample(M, S, E):
    """M, S, E: (batch, latent). Works on columns inside."""
    Mc, Ec = M.T, E.T
    sd = np.exp(0.5 * S)
    Zc = Mc + sd * Ec
    return Zc.T


_add("columns_latent_sample", "features-first lecture code", "sampler", lambda: {"sampler": latent_sample, **_moments(340, 3, 3)}, False,
     slip="M and E are turned to columns but S is not, so sigma stands transposed (it only fits because batch and latent are both 3); sd = exp(0.5 * S.T).",
     wrong=("z",), causes=("transpose",))


def fast_sample(mu, logvar, eps):
    # no temporaries
    sigma = logvar
    sigma *= 0.5
    np.exp(sigma, out=sigma)
    z = np.multiply(sigma, eps)
    z += mu
    return z


_add("allocation_free_sample", "high-performance code with out=", "sampler", lambda: {"sampler": fast_sample, **_moments(350, 4, 2)}, False,
     slip="sigma is the caller's logvar under another name; the in-place work overwrites it and the next call sees sigma. Copy it first.",
     wrong=("z",), causes=("mutates-input",))


def draw_posterior(m, lv, noise):
    # remove Monte Carlo drift of the minibatch
    noise = noise - noise.mean(axis=0, keepdims=True)
    s = np.exp(lv / 2.0)
    return m + s * noise, {"s": s, "noise": noise}


_add("drift_free_posterior_draw", "statistics, variational Bayes code", "sampler", lambda: {"sampler": draw_posterior, **_moments(360, 4, 2)}, False,
     slip="The mean of the noise over the batch is subtracted: rows depend on each other and the variance shrinks by 1 - 1/B.",
     wrong=("z",), causes=("missing-term", "batch-sum"))


def mvn_rsample(loc, logvar, eps):
    cov = np.exp(logvar)[:, :, None] * np.eye(loc.shape[1])
    scale_tril = np.linalg.cholesky(cov)
    return loc + np.einsum("bij,bj->bi", scale_tril, eps)


_add("cholesky_rsample", "port of a distributions library", "sampler", lambda: {"sampler": mvn_rsample, **_moments(370, 4, 3)}, True)


class GivensSampler:
    """Turns neighbouring noise coordinates by a fixed angle first (decorrelates successive Sobol dimensions)."""

    def __init__(self, angle=0.7):
        self.c, self.s = np.cos(angle), np.sin(angle)

    def __call__(self, mu, logvar, eps):
        e = eps.copy()
        for j in range(0, e.shape[1] - 1, 2):
            a, b = eps[:, j], eps[:, j + 1]
            e[:, j], e[:, j + 1] = self.c * a - self.s * b, -(self.s * a + self.c * b)
        return mu + np.exp(logvar * 0.5) * e, e


_add("givens_rotated_noise", "quasi-Monte Carlo code", "sampler", lambda: {"sampler": GivensSampler(), **_moments(380, 4, 3)}, True)


class Float32Sampler:
    def __init__(self):
        self.buf = None

    def __call__(self, mu, logvar, eps):
        if self.buf is None or self.buf.shape != eps.shape:
            self.buf = np.empty(eps.shape, np.float32)
        np.exp2(logvar * (0.5 / np.log(2.0)), out=self.buf, casting="same_kind")
        self.buf *= eps.astype(np.float32)
        self.buf += mu.astype(np.float32)
        return self.buf.copy(), None


_add("half_width_graphics_sampler", "graphics, single precision buffers", "sampler", lambda: {"sampler": Float32Sampler(), **_moments(390, 5, 2)}, True)


def thermal_velocities(drift, ln_kT_over_m, xi):
    """Maxwell velocities around a drift; hot and very cold particles. xi: unit normals."""
    xi = -np.roll(xi, 1, axis=0)                          # each particle takes its neighbour's kick
    cold = ln_kT_over_m < 0
    hot_part = np.exp(0.5 * np.where(cold, 0, ln_kT_over_m))
    cold_part = 1.0 / np.sqrt(np.exp(np.where(cold, -ln_kT_over_m, 0)))
    return drift + hot_part * cold_part * xi


_add("thermal_velocity_draw", "molecular dynamics", "sampler", lambda: {"sampler": thermal_velocities, **_moments(400, 4, 3, -9.0, 5.0)}, True)


# =====================================================================================================
# likelihoods
# =====================================================================================================

class PoissonLogRate:
    """log rate parameterisation, as in the frameworks' PoissonNLLLoss(log_input=True)."""

    support = (0, np.inf)
    discrete = True
    n_params = 1

    def nll(self, x, logits):
        rate = np.exp(logits)
        return (rate - x * logits).sum(axis=1), (x, rate)

    def nll_backward(self, dnll, cache):
        x, rate = cache
        return dnll[:, None] * (rate - x)

    def mean(self, logits):
        return np.exp(logits)

    def sample(self, logits, rng):
        return rng.poisson(np.exp(logits)).astype(float)


_add("poisson_log_rate", "port of a framework loss", "likelihood", lambda: {"p": PoissonLogRate()}, False,
     slip="The constant log x! (gammaln(x + 1)) is left out, so the density is not normalised.",
     wrong=("nll",), causes=("missing-term",))


class LogNormalObs:
    """ln x ~ N(m, s^2); columns of the network output: all m, then all ln s."""

    support = (0.0, np.inf)
    discrete = False
    n_params = 2

    @staticmethod
    def _split(out):
        return np.hsplit(out, 2)

    def nll(self, x, logits):
        m, ln_s = self._split(logits)
        u = (np.log(x) - m) * np.exp(-ln_s)
        return np.sum(.5 * u ** 2 + ln_s + np.log(x) + .5 * np.log(2 * np.pi), axis=1), (u, ln_s)

    def nll_backward(self, dnll, cache):
        u, ln_s = cache
        w = dnll[:, None]
        return np.hstack([-w * u * np.exp(-ln_s), w * (1 - u ** 2)])

    def mean(self, logits):
        m, ln_s = self._split(logits)
        return np.exp(m)

    def sample(self, logits, rng):
        m, ln_s = self._split(logits)
        return np.exp(m + np.exp(ln_s) * rng.standard_normal(m.shape))


_add("log_normal_observation", "econometrics", "likelihood", lambda: {"p": LogNormalObs()}, False,
     slip="exp(m) is the median; the mean is exp(m + s**2 / 2).",
     wrong=("mean",), causes=("elementwise-factor", "missing-term"))


class NegativeBinomialCounts(object):
    """Single-cell counts. total_count fixed, probs = sigmoid(logits), mean total_count * exp(logits)."""

    def __init__(self, total_count=3.0):
        self.r = total_count
        self.support = (0, np.inf)
        self.discrete = True
        self.n_params = 1

    def nll(self, x, logits):
        r = self.r
        log_p = -np.logaddexp(0, -logits)
        log_1mp = -np.logaddexp(0, logits)
        ll = gammaln(x + r) - gammaln(r) - gammaln(x + 1) + r * log_1mp + x * log_p
        return -ll.sum(axis=-1), (x, logits)

    def nll_backward(self, dnll, cache):
        x, logits = cache
        return dnll[:, None] * ((self.r + x) * expit(logits) - x)

    def mean(self, logits):
        return self.r * np.exp(logits)

    def sample(self, logits, rng):
        probs = expit(logits)
        return rng.negative_binomial(self.r, probs).astype(np.float64)


_add("negative_binomial_counts", "computational biology", "likelihood", lambda: {"p": NegativeBinomialCounts()}, False,
     slip="NumPy's negative_binomial wants the other probability: 1 - probs in this parameterisation.",
     wrong=("sample",), causes=("elementwise-factor", "sign"))


class BetaPixels:
    support = (0.0, 1.0)
    discrete = False
    n_params = 2

    def nll(self, x, logits):
        D = x.shape[1]
        alpha, beta = np.exp(logits[:, :D]), np.exp(logits[:, D:])
        logB = gammaln(alpha) + gammaln(beta) - gammaln(alpha + beta)
        nll = logB - (alpha - 1) * np.log(x) - (beta - 1) * np.log1p(-x)
        return nll.sum(1), (x, alpha, beta)

    def nll_backward(self, dnll, cache):
        x, alpha, beta = cache
        common = digamma(alpha + beta)
        dalpha = digamma(alpha) - common - np.log(x)
        dbeta = digamma(beta) - common - np.log1p(-x)
        return dnll[:, None] * np.concatenate((dalpha, dbeta), axis=1)

    def mean(self, logits):
        a, b = np.split(np.exp(logits), 2, axis=1)
        return a / (a + b)

    def sample(self, logits, rng):
        a, b = np.split(np.exp(logits), 2, axis=1)
        return rng.beta(a, b)


_add("beta_pixels", "computer vision, grey values", "likelihood", lambda: {"p": BetaPixels()}, False,
     slip="alpha and beta are exponentials of the logits; the gradient stops at them, the factor alpha (beta) of the exponential is missing.",
     wrong=("dlogits",), causes=("elementwise-factor",))


class ZeroInflatedPoisson:
    """First D columns: log rate. Last D: logit of the extra zeros."""

    support, discrete, n_params = (0, np.inf), True, 2

    def nll(self, x, logits):
        D = logits.shape[-1] // 2
        eta, gate = logits[..., :D], logits[..., D:]
        lam = np.exp(eta)
        ln_keep = -np.logaddexp(0, gate)
        zero = np.logaddexp(gate, -lam) + ln_keep
        pos = ln_keep + x * eta - lam - gammaln(x + 1)
        return -np.where(x == 0, zero, pos).sum(-1), (x, eta, gate, lam)

    def nll_backward(self, dnll, cache):
        x, eta, gate, lam = cache
        q = expit(gate + lam)                              # an observed zero is an extra one
        deta = np.where(x == 0, (1 - q) * lam, lam - x)
        dgate = expit(gate) - np.where(x == 0, q, 0.0)
        return dnll[..., None] * np.concatenate([deta, dgate], -1)

    def mean(self, logits):
        eta, gate = np.split(logits, 2, axis=-1)
        return expit(-gate) * np.exp(eta)

    def sample(self, logits, rng):
        eta, gate = np.split(logits, 2, axis=-1)
        return np.where(rng.random(gate.shape) < expit(gate), 0.0, rng.poisson(np.exp(eta)))


_add("zero_inflated_poisson", "ecology, counts", "likelihood", lambda: {"p": ZeroInflatedPoisson()}, True)


class StudentT5:
    """Robust residuals, five degrees of freedom; sampled as normal over root of a gamma."""

    def __init__(self, nu=5):
        self.nu = nu
        self.support = (-np.inf, np.inf)
        self.discrete = False
        self.n_params = 2
        self._const = -gammaln((nu + 1) / 2) + gammaln(nu / 2) + .5 * np.log(nu * np.pi)

    def nll(self, x, logits):
        D = x.shape[1]
        ls = logits[:, D:]
        t = (x - logits[:, :D]) / np.exp(ls)
        return (self._const + ls + .5 * (self.nu + 1) * np.log1p(t * t / self.nu)).sum(1), (t, ls)

    def nll_backward(self, dnll, cache):
        t, ls = cache
        w = (self.nu + 1) / (self.nu + t * t)              # the weight of iteratively reweighted least squares
        out = np.empty((len(t), 2 * t.shape[1]))
        out[:, :t.shape[1]] = -w * t / np.exp(ls)
        out[:, t.shape[1]:] = 1 - w * t * t
        out *= dnll[:, None]
        return out

    def mean(self, logits):
        return logits[:, :logits.shape[1] // 2].copy()

    def sample(self, logits, rng):
        m, ls = np.split(logits, 2, axis=1)
        g = rng.gamma(self.nu / 2, 2 / self.nu, size=m.shape)
        return m + np.exp(ls) * rng.normal(size=m.shape) / np.sqrt(g)


_add("student_t_residuals", "robust statistics", "likelihood", lambda: {"p": StudentT5()}, True)


class ContinuousBernoulli:
    """p(x) = exp(x l) l / (exp(l) - 1) on [0, 1], series around l = 0."""

    support = (0.0, 1.0)
    discrete = False
    n_params = 1
    tiny = 1e-2

    def _safe(self, l):
        small = np.abs(l) < self.tiny
        return small, np.where(small, 1.0, l)

    def _log_norm(self, l):
        small, s = self._safe(l)
        a = np.abs(s)
        exact = np.maximum(s, 0) + np.log(-np.expm1(-a)) - np.log(a)
        return np.where(small, l / 2 + l ** 2 / 24 - l ** 4 / 2880, exact)

    def nll(self, x, logits):
        return np.sum(self._log_norm(logits) - x * logits, axis=1), (x, logits)

    def mean(self, logits):
        small, s = self._safe(logits)
        return np.where(small, .5 + logits / 12 - logits ** 3 / 720, -1 / np.expm1(-s) - 1 / s)

    def nll_backward(self, dnll, cache):
        x, logits = cache
        return dnll[:, None] * (self.mean(logits) - x)

    def sample(self, logits, rng):
        u = rng.uniform(size=logits.shape)
        small, s = self._safe(logits)
        return np.where(small, u + logits * u * (u - 1) / 2 * -1, np.log1p(u * np.expm1(s)) / s)


_add("continuous_bernoulli_series", "research code on image likelihoods", "likelihood", lambda: {"p": ContinuousBernoulli()}, True)


# =====================================================================================================
# optimizers
# =====================================================================================================

class _RefAdam:
    def __init__(self, lr=0.01, b1=0.9, b2=0.999, eps=1e-8, decay=0.0):
        self.lr, self.b1, self.b2, self.eps, self.decay = lr, b1, b2, eps, decay
        self.t, self.m, self.v = 0, {}, {}

    def step(self, params, grads):
        self.t += 1
        for k in params:
            g = grads[k]
            self.m[k] = self.b1 * self.m.get(k, 0.0) + (1 - self.b1) * g
            self.v[k] = self.b2 * self.v.get(k, 0.0) + (1 - self.b2) * g ** 2
            mh = self.m[k] / (1 - self.b1 ** self.t)
            vh = self.v[k] / (1 - self.b2 ** self.t)
            params[k][...] -= self.lr * self.decay * params[k] + self.lr * mh / (np.sqrt(vh) + self.eps)


class _RefNesterov:
    def __init__(self, lr=0.05, mu=0.9):
        self.lr, self.mu, self.buf = lr, mu, {}

    def step(self, params, grads):
        for k in params:
            self.buf[k] = self.mu * self.buf.get(k, 0.0) + grads[k]
            params[k][...] -= self.lr * (grads[k] + self.mu * self.buf[k])


class _RefRMSprop:
    def __init__(self, lr=0.01, alpha=0.95, eps=1e-6):
        self.lr, self.alpha, self.eps, self.sq, self.av = lr, alpha, eps, {}, {}

    def step(self, params, grads):
        for k in params:
            g = grads[k]
            self.sq[k] = self.alpha * self.sq.get(k, 0.0) + (1 - self.alpha) * g * g
            self.av[k] = self.alpha * self.av.get(k, 0.0) + (1 - self.alpha) * g
            params[k][...] -= self.lr * g / (np.sqrt(self.sq[k] - self.av[k] ** 2) + self.eps)


class Adam:
    """Adam (http://arxiv.org/abs/1412.6980v8)"""

    def __init__(self, lr=0.01, beta1=0.9, beta2=0.999):
        self.lr, self.beta1, self.beta2 = lr, beta1, beta2
        self.iter = 0
        self.m = None
        self.v = None

    def step(self, params, grads):
        if self.m is None:
            self.m, self.v = {}, {}
            for key, val in params.items():
                self.m[key] = np.zeros_like(val)
                self.v[key] = np.zeros_like(val)
        for key in params.keys():
            self.iter += 1
            self.m[key] = self.beta1 * self.m[key] + (1 - self.beta1) * grads[key]
            self.v[key] = self.beta2 * self.v[key] + (1 - self.beta2) * (grads[key] ** 2)
            m_hat = self.m[key] / (1 - self.beta1 ** self.iter)
            v_hat = self.v[key] / (1 - self.beta2 ** self.iter)
            params[key] -= self.lr * m_hat / (np.sqrt(v_hat) + 1e-8)


_add("textbook_adam", "book code, one optimizer class for a dict of parameters", "optimizer",
     lambda: {"optimizer": Adam(), "reference": _RefAdam()}, False,
     slip="The step counter is raised inside the loop over parameters, so the bias correction runs too fast; raise it once a step.",
     wrong=("step",), causes=("elementwise-factor", "factor"))


class AdamW:
    def __init__(self, lr=1e-2, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.02):
        self.defaults = dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)
        self.state = {}

    def step(self, params, grads):
        d = self.defaults
        b1, b2 = d["betas"]
        for name, p in params.items():
            st = self.state.setdefault(name, {"step": 0, "exp_avg": np.zeros_like(p), "exp_avg_sq": np.zeros_like(p)})
            st["step"] += 1
            p *= 1 - d["weight_decay"]
            st["exp_avg"] = b1 * st["exp_avg"] + (1 - b1) * grads[name]
            st["exp_avg_sq"] = b2 * st["exp_avg_sq"] + (1 - b2) * grads[name] ** 2
            denom = np.sqrt(st["exp_avg_sq"]) / math.sqrt(1 - b2 ** st["step"]) + d["eps"]
            p -= d["lr"] / (1 - b1 ** st["step"]) * st["exp_avg"] / denom


_add("adamw_state_dicts", "port of a framework, state per parameter", "optimizer",
     lambda: {"optimizer": AdamW(), "reference": _RefAdam(decay=0.02)}, False,
     slip="The decoupled decay is to shrink by lr * weight_decay; the learning rate is missing.",
     wrong=("step",), causes=("factor", "missing-term"))


def nesterov_update(w, dw, config):
    v = config.setdefault('velocity', np.zeros_like(w))
    mu, lr = config['momentum'], config['learning_rate']
    w -= lr * (dw + mu * v)
    config['velocity'] = mu * v + dw
    return w, config


class Solver:
    def __init__(self, update_rule, **optim_config):
        self.update_rule, self.optim_config, self.configs = update_rule, optim_config, {}

    def step(self, params, grads):
        for p, w in params.items():
            config = self.configs.setdefault(p, dict(self.optim_config))
            params[p][...], self.configs[p] = self.update_rule(w, grads[p], config)


_add("solver_nesterov_rule", "class assignment, update rules with config dicts", "optimizer",
     lambda: {"optimizer": Solver(nesterov_update, learning_rate=0.05, momentum=0.9), "reference": _RefNesterov()}, False,
     slip="Nesterov's step looks ahead with the new velocity; the old one is used (the velocity is to be updated before the parameter).",
     wrong=("step",), causes=("missing-term", "elementwise-factor"))


def update_parameters_with_adam(parameters, grads, v, s, t, learning_rate=0.01, beta1=0.9, beta2=0.999, epsilon=1e-8):
    for name in parameters:
        v[name] = beta1 * v[name] + (1 - beta1) * grads[name]
        v[name] = v[name] / (1 - beta1 ** t)
        s[name] = beta2 * s[name] + (1 - beta2) * np.square(grads[name])
        s_corrected = s[name] / (1 - beta2 ** t)
        parameters[name] -= learning_rate * v[name] / (np.sqrt(s_corrected) + epsilon)
    return parameters, v, s


class LectureAdam:
    def __init__(self):
        self.v, self.s, self.t = {}, {}, 0

    def step(self, params, grads):
        self.t += 1
        for name in params:
            if name not in self.v:
                self.v[name], self.s[name] = np.zeros(params[name].shape), np.zeros(params[name].shape)
        _, self.v, self.s = update_parameters_with_adam(params, grads, self.v, self.s, self.t)


_add("lecture_adam_update", "lecture code, functions that hand the state around", "optimizer",
     lambda: {"optimizer": LectureAdam(), "reference": _RefAdam()}, False,
     slip="The bias-corrected first moment is written back into the running average and corrected again at the next step; keep it in a name of its own.",
     wrong=("step",), causes=("elementwise-factor", "factor", "accumulates"))


class FoldedAdam:
    """Bias corrections folded into the step size (section 2 of the paper), epsilon scaled to match."""

    def __init__(self, alpha=0.01, beta1=0.9, beta2=0.999, epsilon=1e-8):
        self.alpha, self.beta1, self.beta2, self.epsilon = alpha, beta1, beta2, epsilon
        self.pow1 = self.pow2 = 1.0
        self.slots = {}

    def step(self, params, grads):
        self.pow1 *= self.beta1
        self.pow2 *= self.beta2
        root = np.sqrt(1 - self.pow2)
        lr_t = self.alpha * root / (1 - self.pow1)
        for var, g in grads.items():
            if var not in self.slots:
                self.slots[var] = np.zeros((2,) + params[var].shape)
            m, v = self.slots[var][0:1], self.slots[var][1:2]
            m += (g - m) * (1 - self.beta1)
            v += (np.square(g) - v) * (1 - self.beta2)
            np.subtract(params[var], (lr_t * m / (np.sqrt(v) + self.epsilon * root))[0], out=params[var])


_add("folded_adam_slots", "port of a graph framework, slots", "optimizer", lambda: {"optimizer": FoldedAdam(), "reference": _RefAdam()}, True)


class NAG:
    """Parameters are kept at the look-ahead point."""

    def __init__(self, eta=0.05, mu=0.9):
        self.eta, self.mu, self.vel = eta, mu, {}

    def step(self, params, grads):
        for k, x in params.items():
            v_prev = self.vel.get(k, np.zeros_like(x))
            v = self.mu * v_prev - self.eta * grads[k]
            x += -self.mu * v_prev + (1 + self.mu) * v
            self.vel[k] = v


_add("lookahead_nesterov", "course notes", "optimizer", lambda: {"optimizer": NAG(), "reference": _RefNesterov()}, True)


class FlatCenteredRMSprop:
    """All parameters in one long vector, sorted by name; centred second moment."""

    def __init__(self, step_size=0.01, rho=0.95, tol=1e-6):
        self.step_size, self.rho, self.tol = step_size, rho, tol
        self.moments = None

    def step(self, params, grads):
        names = sorted(params)
        g = np.concatenate([np.ravel(grads[n]) for n in names])
        if self.moments is None:
            self.moments = np.zeros((2, g.size))
        first, second = self.moments
        first *= self.rho
        first += (1 - self.rho) * g
        second *= self.rho
        second += (1 - self.rho) * g ** 2
        move = self.step_size * g / (self.tol + np.sqrt(second - first * first))
        at = 0
        for n in names:
            size = params[n].size
            params[n] -= move[at:at + size].reshape(params[n].shape)
            at += size


_add("flat_centered_rmsprop", "scientific computing, one flat vector", "optimizer",
     lambda: {"optimizer": FlatCenteredRMSprop(), "reference": _RefRMSprop()}, True)
