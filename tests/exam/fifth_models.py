"""Fifth paper: VAEs and other latent-variable models, samplers, likelihoods, optimizers."""
import math
from collections import OrderedDict, defaultdict, namedtuple
from types import SimpleNamespace
from typing import Callable, NamedTuple

import numpy as np
from scipy import special as sp


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


# =====================================================================================================================
# gradients
# =====================================================================================================================

# ------------------------------------------------------------------------------------------ course assignment
class FullyConnectedVAE(object):
    """
    A VAE: affine - relu - (affine mu, affine logvar) - reparameterize - affine - relu - affine - sigmoid.
    The objective of each example is its ELBO.
    """

    def __init__(self, input_dim=6, hidden_dim=5, latent_dim=2, weight_scale=0.6, seed=None):
        rng = np.random.RandomState(seed)
        self.params = {}
        self.params['W1'] = weight_scale * rng.randn(input_dim, hidden_dim)
        self.params['b1'] = 0.1 * rng.randn(hidden_dim)
        self.params['W2'] = weight_scale * rng.randn(hidden_dim, latent_dim)
        self.params['b2'] = 0.1 * rng.randn(latent_dim)
        self.params['W3'] = weight_scale * rng.randn(hidden_dim, latent_dim)
        self.params['b3'] = np.full(latent_dim, -0.7)
        self.params['W4'] = weight_scale * rng.randn(latent_dim, hidden_dim)
        self.params['b4'] = 0.1 * rng.randn(hidden_dim)
        self.params['W5'] = weight_scale * rng.randn(hidden_dim, input_dim)
        self.params['b5'] = 0.1 * rng.randn(input_dim)

    def objective(self, X, eps, beta=1.0):
        p = self.params
        # encoder
        h1 = X.dot(p['W1']) + p['b1']
        a1 = np.maximum(0, h1)
        mu = a1.dot(p['W2']) + p['b2']
        logvar = a1.dot(p['W3']) + p['b3']
        # reparameterization trick
        std = np.exp(0.5 * logvar)
        z = mu + std * eps
        # decoder
        h2 = z.dot(p['W4']) + p['b4']
        a2 = np.maximum(0, h2)
        scores = a2.dot(p['W5']) + p['b5']
        nll = np.sum(np.logaddexp(0, scores) - X * scores, axis=1)
        kl = -0.5 * np.sum(1 + logvar - mu ** 2 - np.exp(logvar), axis=1)
        cache = (X, eps, beta, h1, a1, mu, logvar, std, z, h2, a2, scores)
        return SimpleNamespace(objective=-nll - beta * kl, nll=nll, kl=kl), cache

    def backward(self, dobjective, cache):
        X, eps, beta, h1, a1, mu, logvar, std, z, h2, a2, scores = cache
        p, grads = self.params, {}
        d = dobjective[:, None]
        # decoder
        dscores = d * (X - 1 / (1 + np.exp(-scores)))
        grads['W5'] = a2.T.dot(dscores)
        grads['b5'] = dscores.sum(axis=0)
        dh2 = dscores.dot(p['W5'].T) * (h2 > 0)
        grads['W4'] = z.T.dot(dh2)
        grads['b4'] = dh2.sum(axis=0)
        dz = dh2.dot(p['W4'].T)
        # reparameterization + KL
        dmu = dz - beta * d * mu
        dlogvar = dz * eps * 0.5 * std - beta * d * 0.5 * (std - 1)
        # encoder
        grads['W3'] = a1.T.dot(dlogvar)
        grads['b3'] = dlogvar.sum(axis=0)
        grads['W2'] = a1.T.dot(dmu)
        grads['b2'] = dmu.sum(axis=0)
        dh1 = (dmu.dot(p['W2'].T) + dlogvar.dot(p['W3'].T)) * (h1 > 0)
        grads['W1'] = X.T.dot(dh1)
        grads['b1'] = dh1.sum(axis=0)
        return grads


def make_fc_vae():
    rng = np.random.RandomState(231)
    return {"model": FullyConnectedVAE(seed=1), "x": (rng.rand(4, 6) < 0.5).astype(float), "eps": rng.randn(4, 2)}


ITEMS.append(Item(
    "course_fc_vae", "course assignment, class with self.params", "gradients", make_fc_vae, False,
    "The KL term's gradient in logvar uses std where the variance belongs: it is 0.5 * (std**2 - 1), i.e. 0.5 * (exp(logvar) - 1).",
    ("W3", "b3", "W1", "b1"), ("elementwise-factor", "missing-term")))


# ------------------------------------------------------------------------------------------ functional with caches
def linear_fwd(x, w, b):
    return x @ w + b, (x, w)


def linear_bwd(dy, cache):
    x, w = cache
    return dy @ w.T, x.T @ dy, dy.sum(0)


def tanh_fwd(x):
    t = np.tanh(x)
    return t, t


def tanh_bwd(dy, t):
    return dy * (1 - t * t)


def diag_gauss_logpdf_fwd(x, m, lv):
    r = x - m
    iv = np.exp(-lv)
    return -0.5 * (math.log(2 * math.pi) + lv + r * r * iv).sum(1), (r, iv)


def diag_gauss_logpdf_bwd(dlp, cache):
    r, iv = cache
    dm = dlp[:, None] * r * iv
    dlv = 0.5 * dlp[:, None] * (1.0 - r * r * iv)
    return dm, dlv


def std_kl_fwd(m, lv):
    v = np.exp(lv)
    return 0.5 * (v + m * m - 1 - lv).sum(1), (m, v)


def std_kl_bwd(dkl, cache):
    m, v = cache
    return dkl[:, None] * m, 0.5 * dkl[:, None] * (v - 1)


class HeteroVAE:
    def __init__(self, d, h, z, seed):
        g = np.random.default_rng(seed)
        n = lambda *s: g.normal(0, 0.5, s)
        self.params = dict(enc_w=n(d, h), enc_b=n(h), mu_w=n(h, z), mu_b=n(z), lv_w=n(h, z), lv_b=n(z),
                           dec_w=n(z, h), dec_b=n(h), xm_w=n(h, d), xm_b=n(d), xs_w=n(h, d), xs_b=n(d))

    def objective(self, x, eps, beta=1.0):
        P = self.params
        a, c1 = linear_fwd(x, P["enc_w"], P["enc_b"])
        h, c2 = tanh_fwd(a)
        m, c3 = linear_fwd(h, P["mu_w"], P["mu_b"])
        lv, c4 = linear_fwd(h, P["lv_w"], P["lv_b"])
        s = np.exp(lv / 2)
        z = m + s * eps
        a2, c5 = linear_fwd(z, P["dec_w"], P["dec_b"])
        g, c6 = tanh_fwd(a2)
        xm, c7 = linear_fwd(g, P["xm_w"], P["xm_b"])
        xs, c8 = linear_fwd(g, P["xs_w"], P["xs_b"])
        lp, c9 = diag_gauss_logpdf_fwd(x, xm, xs)
        kl, c10 = std_kl_fwd(m, lv)
        return SimpleNamespace(objective=lp - beta * kl, nll=-lp, kl=kl), (beta, s * eps, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10)

    def backward(self, dobj, cache):
        beta, noise, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10 = cache
        G = {}
        dxm, dxs = diag_gauss_logpdf_bwd(dobj, c9)
        dg1, G["xm_w"], G["xm_b"] = linear_bwd(dxm, c7)
        dg2, G["xs_w"], G["xs_b"] = linear_bwd(dxs, c8)
        dz, G["dec_w"], G["dec_b"] = linear_bwd(tanh_bwd(dg1 + dg2, c6), c5)
        kdm, kdlv = std_kl_bwd(-beta * dobj, c10)
        dh1, G["mu_w"], G["mu_b"] = linear_bwd(dz + kdm, c3)
        dh2, G["lv_w"], G["lv_b"] = linear_bwd(0.5 * dz * noise + kdlv, c4)
        _, G["enc_w"], G["enc_b"] = linear_bwd(tanh_bwd(dh1 + dh2, c2), c1)
        return G


def make_hetero_vae():
    g = np.random.default_rng(40)
    return {"model": HeteroVAE(5, 4, 2, 41), "x": g.normal(size=(5, 5)), "eps": g.normal(size=(5, 2))}


ITEMS.append(Item(
    "functional_heteroscedastic_vae", "functional code, fwd/bwd pairs with caches", "gradients", make_hetero_vae, False,
    "diag_gauss_logpdf_bwd returns the gradient in the log variance of the negative log density: it should be 0.5 * (r*r*iv - 1).",
    ("xs_w", "xs_b", "dec_w", "dec_b", "mu_w", "mu_b", "lv_w", "lv_b", "enc_w", "enc_b"), ("sign", "missing-term")))


# ------------------------------------------------------------------------------------------ research code: IWAE
class IWAE:
    """Burda et al. 2016, K importance samples; eps is (K, B, Z)."""

    def __init__(self, nx, nz, seed=0):
        r = np.random.RandomState(seed)
        self.params = OrderedDict([
            ('enc/mu/W', r.normal(0, .7, (nx, nz))), ('enc/mu/b', r.normal(0, .2, nz)),
            ('enc/ls/W', r.normal(0, .3, (nx, nz))), ('enc/ls/b', r.normal(0, .2, nz)),
            ('dec/W', r.normal(0, 1.2, (nz, nx))), ('dec/b', r.normal(0, .2, nx))])

    def objective(self, x, eps, beta=1.0):
        p = self.params
        mu = x @ p['enc/mu/W'] + p['enc/mu/b']
        ls = x @ p['enc/ls/W'] + p['enc/ls/b']          # log sigma
        z = mu + np.exp(ls) * eps                        # K,B,Z
        logits = z @ p['dec/W'] + p['dec/b']             # K,B,X
        log_px = (x * logits - np.logaddexp(0, logits)).sum(-1)
        log_pz = -.5 * (z ** 2 + np.log(2 * np.pi)).sum(-1)
        log_qz = -.5 * (eps ** 2 + np.log(2 * np.pi)).sum(-1) - ls.sum(-1)
        log_w = log_px + beta * (log_pz - log_qz)        # K,B
        mx = log_w.max(0)
        w = np.exp(log_w - mx)
        L = mx + np.log(w.mean(0))
        w_tilde = w / w.sum(0)
        return SimpleNamespace(objective=L), dict(x=x, eps=eps, ls=ls, z=z, logits=logits, w_tilde=w_tilde, beta=beta)

    def backward(self, dL, c):
        p = self.params
        K = c['eps'].shape[0]
        dlog_w = np.broadcast_to(dL / K, c['w_tilde'].shape)
        dlogits = dlog_w[..., None] * (c['x'] - sp.expit(c['logits']))
        dz = dlogits @ p['dec/W'].T - c['beta'] * dlog_w[..., None] * c['z']
        dmu = dz.sum(0)
        dls = (dz * c['eps']).sum(0) * np.exp(c['ls']) + c['beta'] * dlog_w.sum(0)[:, None]
        return OrderedDict([
            ('enc/mu/W', c['x'].T @ dmu), ('enc/mu/b', dmu.sum(0)),
            ('enc/ls/W', c['x'].T @ dls), ('enc/ls/b', dls.sum(0)),
            ('dec/W', np.einsum('kbz,kbx->zx', c['z'], dlogits)), ('dec/b', dlogits.sum((0, 1)))])


def make_iwae_grad():
    r = np.random.RandomState(7)
    return {"model": IWAE(6, 2, seed=8), "x": (r.rand(4, 6) < .5) * 1., "eps": r.randn(5, 4, 2)}


ITEMS.append(Item(
    "research_iwae", "research code, slash-named parameter dict", "gradients", make_iwae_grad, False,
    "The backward pass weighs the K samples equally (1/K, as if the bound were the mean of log w); each belongs with its normalised weight: dlog_w = dL * w_tilde.",
    ("enc/mu/W", "enc/mu/b", "enc/ls/W", "enc/ls/b", "dec/W", "dec/b"), ("elementwise-factor", "batch-sum")))


# ------------------------------------------------------------------------------------------ features-first lecture code
class TiedAutoencodingBayes:
    """Lecture 9: examples are the columns of X, decoder weights are the encoder's transposed."""

    def __init__(self, n_x, n_h, n_z):
        rs = np.random.RandomState(12)
        self.params = {
            "W": rs.randn(n_h, n_x) * 0.5, "b": np.zeros((n_h, 1)) + 0.1,
            "U": rs.randn(n_z, n_h) * 0.6, "c": np.zeros((n_z, 1)),
            "V": rs.randn(n_z, n_h) * 0.3, "d": -0.5 * np.ones((n_z, 1)),
            "e": rs.randn(n_h, 1) * 0.1, "f": rs.randn(n_x, 1) * 0.1,
        }

    def objective(self, x, eps, beta=1.0):
        q = self.params
        X, E = x.T, eps.T
        A = np.tanh(np.dot(q["W"], X) + q["b"])
        M = np.dot(q["U"], A) + q["c"]
        S = np.dot(q["V"], A) + q["d"]
        Z = M + np.exp(S / 2.0) * E
        G = np.tanh(np.dot(q["U"].T, Z) + q["e"])
        Y = 1.0 / (1.0 + np.exp(-(np.dot(q["W"].T, G) + q["f"])))
        nll = -np.sum(X * np.log(Y) + (1 - X) * np.log(1 - Y), axis=0)
        kl = 0.5 * np.sum(M ** 2 + np.exp(S) - S - 1, axis=0)
        self.beta = beta
        return SimpleNamespace(objective=-(nll + beta * kl), nll=nll, kl=kl), (X, E, A, M, S, Z, G, Y)

    def backward(self, dobjective, cache):
        X, E, A, M, S, Z, G, Y = cache
        q = self.params
        d = np.reshape(dobjective, (1, -1))
        grads = {}
        # ---- decoder
        dY = d * (X - Y)
        grads["W"] = np.dot(G, dY.T)
        grads["f"] = np.sum(dY, axis=1, keepdims=True)
        dG = np.dot(q["W"], dY) * (1 - G ** 2)
        grads["U"] = np.dot(Z, dG.T)
        grads["e"] = np.sum(dG, axis=1, keepdims=True)
        dZ = np.dot(q["U"], dG)
        # ---- bottleneck
        dM = dZ - self.beta * d * M
        dS = dZ * E * np.exp(S / 2.0) / 2.0 - self.beta * d * (np.exp(S) - 1) / 2.0
        # ---- encoder
        grads["U"] += np.dot(dM, A.T)
        grads["c"] = np.sum(dM, axis=1, keepdims=True)
        grads["V"] = np.dot(dS, A.T)
        grads["d"] = np.sum(dS, axis=1, keepdims=True)
        dA = (np.dot(q["U"].T, dM) + np.dot(q["V"].T, dS)) * (1 - A ** 2)
        grads["W"] = np.dot(dA, X.T)
        grads["b"] = np.sum(dA, axis=1, keepdims=True)
        return grads


def make_tied():
    rs = np.random.RandomState(13)
    return {"model": TiedAutoencodingBayes(6, 4, 2), "x": (rs.rand(5, 6) > 0.4).astype("float64"), "eps": rs.randn(5, 2)}


ITEMS.append(Item(
    "lecture_tied_vae", "features-first lecture code, dict of gradients", "gradients", make_tied, False,
    "The tied weight W is used twice, but the encoder's share overwrites the decoder's; it should be added: grads['W'] += dA X^T.",
    ("W",), ("missing-term",)))


# ------------------------------------------------------------------------------------------ port of a torch hierarchy
LadderOut = namedtuple("LadderOut", "objective nll kl")


class _Lin:
    def __init__(self, owner, name, n_in, n_out, rs, gain=0.5):
        self.w, self.b, self.p = name + ".weight", name + ".bias", owner.params
        self.p[self.w] = gain * rs.standard_normal((n_out, n_in))
        self.p[self.b] = 0.2 * rs.standard_normal(n_out)

    def __call__(self, x):
        return x @ self.p[self.w].T + self.p[self.b]

    def back(self, x, dy, grads):
        grads[self.w] = dy.T @ x
        grads[self.b] = dy.sum(0)
        return dy @ self.p[self.w]


class TwoLevelVAE:
    """x -> z1 -> z2, prior p(z2) p(z1 | z2); eps holds (eps1, eps2) side by side."""

    def __init__(self, seed=3):
        rs = np.random.default_rng(seed)
        self.params = {}
        self.n1 = 3
        self.q1_mu = _Lin(self, "q1_mu", 5, 3, rs)
        self.q1_lv = _Lin(self, "q1_lv", 5, 3, rs, 0.3)
        self.q2_mu = _Lin(self, "q2_mu", 3, 2, rs)
        self.q2_lv = _Lin(self, "q2_lv", 3, 2, rs, 0.3)
        self.p1_mu = _Lin(self, "p1_mu", 2, 3, rs)
        self.p1_lv = _Lin(self, "p1_lv", 2, 3, rs, 0.3)
        self.px = _Lin(self, "px", 3, 5, rs, 0.9)

    def objective(self, x, eps, beta=1.0):
        e1, e2 = eps[:, :self.n1], eps[:, self.n1:]
        m1, l1 = self.q1_mu(x), self.q1_lv(x)
        z1 = m1 + np.exp(0.5 * l1) * e1
        m2, l2 = self.q2_mu(z1), self.q2_lv(z1)
        z2 = m2 + np.exp(0.5 * l2) * e2
        pm, pl = self.p1_mu(z2), self.p1_lv(z2)
        out = self.px(z1)
        nll = (np.maximum(out, 0) - x * out + np.log1p(np.exp(-np.abs(out)))).sum(1)
        kl2 = 0.5 * (np.exp(l2) + m2 ** 2 - 1 - l2).sum(1)
        kl1 = 0.5 * (pl - l1 - 1 + (np.exp(l1) + (m1 - pm) ** 2) / np.exp(pl)).sum(1)
        kl = kl1 + kl2
        ctx = (x, e1, e2, m1, l1, z1, m2, l2, z2, pm, pl, out, beta)
        return LadderOut(-nll - beta * kl, nll, kl), ctx

    def backward(self, dobj, ctx):
        x, e1, e2, m1, l1, z1, m2, l2, z2, pm, pl, out, beta = ctx
        g = {}
        dnll = -dobj[:, None]
        dkl = -beta * dobj[:, None]
        # p(x | z1)
        dz1 = self.px.back(z1, dnll * (sp.expit(out) - x), g)
        # KL(q(z1|x) || p(z1|z2))
        inv = np.exp(-pl)
        dm1 = dkl * (m1 - pm) * inv
        dl1 = 0.5 * dkl * (np.exp(l1) * inv - 1)
        dpm = -dm1
        dpl = 0.5 * dkl * (1 - np.exp(l1) * inv)
        dz2 = self.p1_mu.back(z2, dpm, g) + self.p1_lv.back(z2, dpl, g)
        # q(z2 | z1) and its KL
        dm2 = dz2 + dkl * m2
        dl2 = 0.5 * dz2 * e2 * np.exp(0.5 * l2) + 0.5 * dkl * (np.exp(l2) - 1)
        dz1 = dz1 + self.q2_mu.back(z1, dm2, g) + self.q2_lv.back(z1, dl2, g)
        # q(z1 | x)
        self.q1_mu.back(x, dm1 + dz1, g)
        self.q1_lv.back(x, dl1 + 0.5 * dz1 * e1 * np.exp(0.5 * l1), g)
        return g


def make_two_level():
    rs = np.random.default_rng(30)
    return {"model": TwoLevelVAE(), "x": (rs.random((4, 5)) < 0.5).astype(np.float64), "eps": rs.standard_normal((4, 5))}


ITEMS.append(Item(
    "torch_port_two_level_vae", "NumPy port of a PyTorch module, dotted state-dict names", "gradients", make_two_level, False,
    "The KL's gradient in the conditional prior's log variance leaves out the squared distance of the means: dpl = 0.5*dkl*(1 - (exp(l1) + (m1-pm)**2) * inv).",
    ("p1_lv.weight", "p1_lv.bias", "q2_mu.weight", "q2_mu.bias", "q2_lv.weight", "q2_lv.bias",
     "q1_mu.weight", "q1_mu.bias", "q1_lv.weight", "q1_lv.bias"), ("missing-term",)))


# ------------------------------------------------------------------------------------------ NLP: neural topic model
class ProdLDA:
    def __init__(self, vocab, hidden, topics, alpha=0.9, seed=5):
        rng = np.random.RandomState(seed)
        self.params = {
            "enc": rng.uniform(-.5, .5, (vocab, hidden)), "enc_bias": rng.uniform(-.5, .5, hidden),
            "mean": rng.uniform(-.8, .8, (hidden, topics)), "logvar": rng.uniform(-.4, .4, (hidden, topics)),
            "beta": rng.uniform(-2, 2, (topics, vocab)), "background": rng.uniform(-.3, .3, vocab),
        }
        # Laplace approximation of the symmetric Dirichlet prior
        self.prior_var = (1. / alpha) * (1 - 2. / topics) + 1. / (topics * alpha)

    def objective(self, bow, eps, beta=1.0):
        w = self.params
        pre = bow @ w["enc"] + w["enc_bias"]
        h = np.log1p(np.exp(pre))
        mu, lv = h @ w["mean"], h @ w["logvar"] - 1.0
        z = mu + np.exp(.5 * lv) * eps
        ez = np.exp(z - z.max(axis=1, keepdims=True))
        theta = ez / ez.sum(axis=1, keepdims=True)
        eta = theta @ w["beta"] + w["background"]
        logp = eta - sp.logsumexp(eta, axis=1, keepdims=True)
        nll = -(bow * logp).sum(axis=1)
        kl = .5 * (np.exp(lv) / self.prior_var + mu ** 2 / self.prior_var - 1 + math.log(self.prior_var) - lv).sum(axis=1)
        return SimpleNamespace(objective=-(nll + beta * kl), nll=nll, kl=kl), locals()

    def backward(self, dobjective, c):
        w, d = self.params, dobjective[:, None]
        bow, theta = c["bow"], c["theta"]
        deta = d * (bow - bow.sum(axis=1, keepdims=True) * np.exp(c["logp"]))
        dbeta = theta.T @ deta
        dtheta = deta @ w["beta"].T
        dz = theta * (dtheta - (dtheta * theta).sum(axis=0))
        dkl = -c["beta"] * d
        dmu = dz + dkl * c["mu"] / self.prior_var
        dlv = dz * c["eps"] * .5 * np.exp(.5 * c["lv"]) + dkl * .5 * (np.exp(c["lv"]) / self.prior_var - 1)
        dh = dmu @ w["mean"].T + dlv @ w["logvar"].T
        dpre = dh * sp.expit(c["pre"])
        return {"enc": bow.T @ dpre, "enc_bias": dpre.sum(0), "mean": c["h"].T @ dmu, "logvar": c["h"].T @ dlv,
                "beta": dbeta, "background": deta.sum(0)}


def make_prodlda():
    rng = np.random.RandomState(50)
    return {"model": ProdLDA(7, 4, 3), "x": rng.poisson(0.8, (5, 7)).astype(float) + np.eye(5, 7), "eps": rng.randn(5, 3)}


ITEMS.append(Item(
    "nlp_prodlda_topics", "NLP topic model, locals() as cache", "gradients", make_prodlda, False,
    "The softmax backward subtracts the sum over the documents (axis 0) in place of the sum over the topics: (dtheta*theta).sum(axis=1, keepdims=True).",
    ("enc", "enc_bias", "mean", "logvar"), ("shape", "missing-term")))


# ------------------------------------------------------------------------------------------ statistics: mixture
class GaussMix:
    """Finite mixture of K normals with diagonal covariance; observed-data log likelihood, one term a row."""

    def __init__(self, K, D, seed):
        r = np.random.RandomState(seed)
        self.params = {"alpha": r.normal(size=K) * .5, "m": r.normal(size=(K, D)), "log_s2": r.normal(size=(K, D)) * .4}

    def objective(self, x, eps=None, beta=1.0):
        alpha, m, ls2 = self.params["alpha"], self.params["m"], self.params["log_s2"]
        logpi = alpha - sp.logsumexp(alpha)
        dev = x[:, None, :] - m[None]                                            # n,K,D
        joint = logpi - .5 * (np.log(2 * np.pi) + ls2 + dev ** 2 * np.exp(-ls2)).sum(2)   # n,K
        ll = sp.logsumexp(joint, axis=1)
        resp = np.exp(joint - ll[:, None])
        return SimpleNamespace(objective=ll), (x, dev, resp, np.exp(logpi))

    def backward(self, dobjective, cache):
        x, dev, resp, pi = cache
        s2 = np.exp(self.params["log_s2"])
        Nk = resp.sum(0)
        R = dobjective[:, None] * resp
        g_alpha = R.sum(0) - dobjective.sum() * pi
        g_m = np.einsum("nk,nkd->kd", R, dev) / s2 / Nk[:, None]
        g_ls2 = .5 * np.einsum("nk,nkd->kd", R, dev ** 2 / s2 - 1)
        return {"alpha": g_alpha, "m": g_m, "log_s2": g_ls2}


def make_gaussmix():
    r = np.random.RandomState(60)
    return {"model": GaussMix(3, 2, 61), "x": r.normal(size=(6, 2)) * 1.5}


ITEMS.append(Item(
    "stats_gaussian_mixture", "statistics, responsibilities and einsum", "gradients", make_gaussmix, False,
    "The gradient in the means is divided by the effective counts Nk, as in the M step; a gradient is the plain weighted sum: drop / Nk.",
    ("m",), ("elementwise-factor", "batch-sum", "factor")))


# ------------------------------------------------------------------------------------------ astronomy: full covariance
class FullCovSpectraVAE:
    """q(z|x) = N(mu, L L^T), L lower triangular with exp on its diagonal; pixels of a spectrum, known noise."""

    noise = 0.4

    def __init__(self, npix=6, nz=3, seed=71):
        rng = np.random.default_rng(seed)
        self.nz = nz
        self.il = np.tril_indices(nz, -1)
        self.params = {"A": rng.normal(0, .4, (npix, nz)), "a": rng.normal(0, .1, nz),
                       "Ddiag": rng.normal(0, .2, (npix, nz)), "ddiag": rng.normal(-.5, .1, nz),
                       "Off": rng.normal(0, .4, (npix, nz, nz)), "off": rng.normal(0, .4, (nz, nz)),
                       "T": rng.normal(0, .6, (nz, npix)), "continuum": rng.normal(0, .2, npix)}

    def objective(self, x, eps, beta=1.0):
        p = self.params
        mu = x @ p["A"] + p["a"]
        ld = x @ p["Ddiag"] + p["ddiag"]
        full = np.einsum("bx,xij->bij", x, p["Off"]) + p["off"]
        L = np.tril(full, -1)
        ar = np.arange(self.nz)
        L[:, ar, ar] = np.exp(ld)
        z = mu + np.einsum("bij,bj->bi", L, eps)
        r = (x - np.sin(z) @ p["T"] - p["continuum"]) / self.noise
        nll = 0.5 * (r * r).sum(1) + x.shape[1] * math.log(self.noise * math.sqrt(2 * math.pi))
        kl = 0.5 * ((L * L).sum((1, 2)) + (mu * mu).sum(1) - self.nz) - ld.sum(1)
        return SimpleNamespace(objective=-nll - beta * kl, nll=nll, kl=kl), (x, eps, mu, ld, L, z, r, beta)

    def backward(self, dobjective, cache):
        x, eps, mu, ld, L, z, r, beta = cache
        p = self.params
        w = dobjective[:, None]
        dmodel = w * r / self.noise
        dz = (dmodel @ p["T"].T) * np.cos(z)
        dmu = dz - beta * w * mu
        dL = eps[:, :, None] * dz[:, None, :] - beta * w[:, :, None] * L
        dld = np.diagonal(dL, axis1=1, axis2=2) * np.exp(ld) + beta * w
        doff = np.tril(dL, -1)
        return {"A": x.T @ dmu, "a": dmu.sum(0), "Ddiag": x.T @ dld, "ddiag": dld.sum(0),
                "Off": np.einsum("bx,bij->xij", x, doff), "off": doff.sum(0),
                "T": np.sin(z).T @ dmodel, "continuum": dmodel.sum(0)}


def make_fullcov():
    rng = np.random.default_rng(72)
    return {"model": FullCovSpectraVAE(), "x": rng.normal(0, .8, (4, 6)), "eps": rng.normal(size=(4, 3))}


ITEMS.append(Item(
    "astro_full_covariance_vae", "astronomy, spectra, triangular factor", "gradients", make_fullcov, False,
    "The gradient of z = mu + L eps in L is the outer product dz eps^T; here it is eps dz^T, its transpose (the diagonal is spared): dz[:, :, None] * eps[:, None, :].",
    ("Off", "off"), ("transpose", "elementwise-factor")))


# ------------------------------------------------------------------------------------------ right: concrete latents
def softmax_(a):
    """in place, last axis"""
    a -= a.max(-1, keepdims=True)
    np.exp(a, out=a)
    a /= a.sum(-1, keepdims=True)
    return a


class ConcreteVAE:
    """n categorical variables of k classes, Gumbel noise passed as eps (B, n*k)."""

    tau = 0.7

    def __init__(self, d, n, k):
        self.d, self.n, self.k = d, n, k
        rng = np.random.default_rng(99)
        self.params = {"E": rng.normal(0, .5, (d, n * k)), "D": rng.normal(0, .8, (n * k, d)), "c": rng.normal(0, .1, (1, d))}

    def objective(self, x, eps, beta=1.0):
        B = len(x)
        a = (x @ self.params["E"]).reshape(B, self.n, self.k)
        q = softmax_(a.copy())
        y = softmax_((a + eps.reshape(a.shape)) / self.tau)
        l = y.reshape(B, -1) @ self.params["D"] + self.params["c"]
        nll = np.logaddexp(0, (1 - 2 * x) * l).sum(1)
        rel = np.log(q) + math.log(self.k)
        kl = (q * rel).sum((1, 2))
        return SimpleNamespace(objective=-nll - beta * kl, nll=nll, kl=kl), (x, q, y, l, rel, beta)

    def backward(self, dobjective, cache):
        x, q, y, l, rel, beta = cache
        B = len(x)
        s = 1 - 2 * x
        dl = -dobjective[:, None] * s * sp.expit(s * l)
        dy = (dl @ self.params["D"].T).reshape(y.shape)
        da = y * dy
        da -= y * da.sum(-1, keepdims=True)
        da /= self.tau
        # the +1 of d(q log q) is a constant along the simplex and drops out
        kq = q * rel
        kq -= q * kq.sum(-1, keepdims=True)
        da -= (beta * dobjective)[:, None, None] * kq
        return {"E": x.T @ da.reshape(B, -1), "D": y.reshape(B, -1).T @ dl, "c": dl.sum(0, keepdims=True)}


def make_concrete():
    rng = np.random.default_rng(98)
    return {"model": ConcreteVAE(5, 2, 3), "x": (rng.random((4, 5)) < .5).astype(float), "eps": rng.gumbel(size=(4, 6))}


ITEMS.append(Item("research_concrete_latents", "research code, in-place work on own buffers", "gradients", make_concrete, True))


# ------------------------------------------------------------------------------------------ right: probabilistic PCA
class PPCA:
    """Tipping and Bishop's marginal likelihood, C = W W' + s2 I; nothing is sampled."""

    def __init__(self):
        r = np.random.RandomState(17)
        self.params = {"W": r.randn(5, 2), "m": r.randn(5), "log_s2": np.array(-0.4)}

    def objective(self, x, eps=None, beta=1.0):
        W, s2 = self.params["W"], np.exp(self.params["log_s2"])
        C = W @ W.T + s2 * np.eye(len(W))
        Lc = np.linalg.cholesky(C)
        dev = x - self.params["m"]
        u = np.linalg.solve(Lc, dev.T)
        ll = -0.5 * (u * u).sum(0) - np.log(np.diag(Lc)).sum() - 0.5 * len(W) * np.log(2 * np.pi)
        return SimpleNamespace(objective=ll), (dev, np.linalg.inv(C), s2)

    def backward(self, w, cache):
        dev, P, s2 = cache
        a = dev @ P                                   # rows: C^-1 (x - m)
        G = 0.5 * ((a.T * w) @ a - w.sum() * P)       # dC, symmetric
        return {"W": 2 * G @ self.params["W"], "m": w @ a, "log_s2": np.asarray(s2 * np.trace(G))}


def make_ppca():
    return {"model": PPCA(), "x": np.random.RandomState(18).randn(6, 5) * 1.3}


ITEMS.append(Item("stats_ppca_marginal", "statistics, closed-form marginal, 0-d parameter", "gradients", make_ppca, True))


# ------------------------------------------------------------------------------------------ right: neuroscience counts
class SpikeVAE:
    """Poisson observations, one readout matrix shared by encoder and decoder, a scalar gain, a fixed bin width."""

    dt = 0.02

    def __init__(self, n_units=6, n_lat=2):
        rng = np.random.RandomState(2024)
        self.params = {"C": rng.randn(n_units, n_lat) * .4, "rate0": rng.randn(n_units) * .2 + 3.5,
                       "gain": np.array(0.6), "lv": np.array([-1.0, -2.0])}

    def objective(self, counts, eps, beta=1.0):
        th = self.params
        r = np.sqrt(counts + 0.375)                       # Anscombe
        u = r @ th["C"]
        act = np.where(u > 0, u, 0.1 * u)
        mu = th["gain"] * act
        z = mu + np.exp(.5 * th["lv"]) * eps
        logr = z @ th["C"].T + th["rate0"] + math.log(self.dt)
        lam = np.exp(logr)
        nll = (lam - counts * logr + sp.gammaln(counts + 1)).sum(1)
        kl = .5 * ((mu ** 2).sum(1) + np.sum(np.exp(th["lv"]) - 1 - th["lv"]))
        return SimpleNamespace(objective=-nll - beta * kl, nll=nll, kl=kl), (counts, eps, r, u, act, mu, z, lam, beta)

    def backward(self, g, cache):
        counts, eps, r, u, act, mu, z, lam, beta = cache
        th = self.params
        gl = g[:, None] * (counts - lam)
        gz = gl @ th["C"]
        gC = gl.T @ z
        glv = (gz * eps).sum(0) * .5 * np.exp(.5 * th["lv"])
        glv -= beta * g.sum() * .5 * np.expm1(th["lv"])
        gz -= (beta * g)[:, None] * mu                    # from here on it is the gradient in mu
        ggain = np.sum(gz * act)
        gz *= th["gain"]
        gz *= np.where(u > 0, 1.0, 0.1)
        gC += r.T @ gz
        return dict(C=gC, rate0=gl.sum(0), gain=ggain, lv=glv)


def make_spikes():
    rng = np.random.RandomState(2025)
    return {"model": SpikeVAE(), "x": rng.poisson(1.5, (4, 6)).astype(float), "eps": rng.randn(4, 2)}


ITEMS.append(Item("neuro_poisson_spikes_vae", "neuroscience, shared readout, scalar gain", "gradients", make_spikes, True))


# ------------------------------------------------------------------------------------------ right: recurrent
class VRNN:
    """x is (B, T*D): T frames. One set of weights at all times; eps (B, T*Z)."""

    def __init__(self, T=3, D=2, Z=2, H=3):
        self.T, self.D, self.Z, self.H = T, D, Z, H
        rng = np.random.default_rng(444)
        init = lambda *s: rng.uniform(-.7, .7, s)
        self.params = {"Wx": init(D, H), "Wz": init(Z, H), "Wh": init(H, H), "h0": init(H),
                       "Q": init(D + H, 2 * Z), "P": init(H, Z), "O": init(Z + H, D), "o": init(D)}

    def objective(self, x, eps, beta=1.0):
        p, B, Z = self.params, len(x), self.Z
        xs = x.reshape(B, self.T, self.D)
        es = eps.reshape(B, self.T, Z)
        h = np.tile(p["h0"], (B, 1))
        nll, kl, tape = np.zeros(B), np.zeros(B), []
        for t in range(self.T):
            xt = xs[:, t]
            qin = np.hstack([xt, h])
            q = qin @ p["Q"]
            m, lv = q[:, :Z], q[:, Z:]
            pm = h @ p["P"]                                # prior mean given the past, unit variance
            z = m + np.exp(.5 * lv) * es[:, t]
            oin = np.hstack([z, h])
            r = xt - oin @ p["O"] - p["o"]
            nll += .5 * (r ** 2 + math.log(2 * math.pi)).sum(1)
            kl += .5 * (np.exp(lv) + (m - pm) ** 2 - 1 - lv).sum(1)
            hn = np.tanh(xt @ p["Wx"] + z @ p["Wz"] + h @ p["Wh"])
            tape.append((xt, qin, m, lv, pm, es[:, t], z, oin, r, h, hn))
            h = hn
        return SimpleNamespace(objective=-nll - beta * kl, nll=nll, kl=kl), (tape, beta)

    def backward(self, dobjective, cache):
        tape, beta = cache
        p, Z, D = self.params, self.Z, self.D
        g = {k: np.zeros_like(v) for k, v in p.items()}
        w = dobjective[:, None]
        dh = 0.0
        for xt, qin, m, lv, pm, e, z, oin, r, h, hn in reversed(tape):
            da = dh * (1 - hn ** 2)
            g["Wx"] += xt.T @ da
            g["Wz"] += z.T @ da
            g["Wh"] += h.T @ da
            dz = da @ p["Wz"].T
            dh = da @ p["Wh"].T
            dout = w * r
            g["O"] += oin.T @ dout
            g["o"] += dout.sum(0)
            doin = dout @ p["O"].T
            dz = dz + doin[:, :Z]
            dh = dh + doin[:, Z:]
            k = -beta * w
            dpm = k * (pm - m)
            g["P"] += h.T @ dpm
            dh = dh + dpm @ p["P"].T
            dq = np.hstack([dz - dpm, .5 * dz * e * np.exp(.5 * lv) + .5 * k * (np.exp(lv) - 1)])
            g["Q"] += qin.T @ dq
            dh = dh + (dq @ p["Q"].T)[:, D:]
        g["h0"] += dh.sum(0)
        return g


def make_vrnn():
    rng = np.random.default_rng(445)
    return {"model": VRNN(), "x": rng.normal(size=(3, 6)), "eps": rng.normal(size=(3, 6))}


ITEMS.append(Item("sequence_vrnn", "sequence model, tape through time", "gradients", make_vrnn, True))


# =====================================================================================================================
# evidence
# =====================================================================================================================

# ------------------------------------------------------------------------------------------ JAX-like functional port
def _dense(key, n, m, scale):
    return {"w": np.random.default_rng(key).normal(0, scale, (n, m)), "b": np.random.default_rng(key + 1).normal(0, .3, m)}


def _apply(layer, x):
    return np.matmul(x, layer["w"]) + layer["b"]


class SampledElbo:
    """log p(x, z) - log q(z | x) with one draw, as in a jax example."""

    def __init__(self):
        self.params = {"mu": _dense(0, 6, 2, .6), "lv": _dense(2, 6, 2, .4), "dec": _dense(4, 2, 6, 1.5)}

    def encode(self, x):
        return _apply(self.params["mu"], x), _apply(self.params["lv"], x)

    def decode(self, z):
        return _apply(self.params["dec"], z)

    def objective(self, x, eps):
        mu, lv = self.encode(x)
        z = mu + np.exp(0.5 * lv) * eps
        logits = self.decode(z)
        log_px = -np.sum(np.logaddexp(0., np.where(x == 1, -logits, logits)), axis=-1)
        log_pz = -0.5 * np.sum(z ** 2 + np.log(2 * np.pi), axis=-1)
        log_qz = -0.5 * np.sum((z - mu) ** 2 / np.exp(lv) + np.log(2 * np.pi), axis=-1)
        return SimpleNamespace(elbo=log_px + log_pz - log_qz, nll=-log_px, kl=log_qz - log_pz), None


def binary(seed, B, D):
    r = np.random.default_rng(seed)
    while True:
        x = (r.random((B, D)) < 0.5).astype(np.float64)
        if len(np.unique(x, axis=0)) == B:
            return x


ITEMS.append(Item(
    "jax_port_sampled_elbo", "port of a JAX example, nested parameter dicts", "evidence",
    lambda: {"model": SampledElbo(), "x": binary(1, 5, 6)}, False,
    "log q(z|x) lacks the normaliser -0.5 * lv of the posterior: the square stands over exp(lv), but the log determinant is not subtracted.",
    ("kl", "elbo"), ("missing-term",)))


# ------------------------------------------------------------------------------------------ Keras-like
class KerasishVAE:
    def __init__(self, original_dim=8, intermediate_dim=4, latent_dim=2):
        rs = np.random.RandomState(77)
        self.k1 = rs.normal(0, .5, (original_dim, intermediate_dim))
        self.k_mean = rs.normal(0, .7, (intermediate_dim, latent_dim))
        self.k_var = rs.normal(0, .4, (intermediate_dim, latent_dim))
        self.k2 = rs.normal(0, 1., (latent_dim, intermediate_dim))
        self.k3 = rs.normal(0, 1., (intermediate_dim, original_dim))

    def encode(self, x):
        h = np.maximum(x @ self.k1, 0)
        return h @ self.k_mean, h @ self.k_var - .5

    def decode(self, z):
        return np.maximum(z @ self.k2, 0) @ self.k3

    @staticmethod
    def binary_crossentropy(y_true, y_pred):
        y_pred = np.clip(y_pred, 1e-15, 1 - 1e-15)
        return np.mean(-y_true * np.log(y_pred) - (1 - y_true) * np.log(1 - y_pred), axis=-1)

    def objective(self, x, eps):
        z_mean, z_log_var = self.encode(x)
        z = z_mean + np.exp(0.5 * z_log_var) * eps
        x_decoded = sp.expit(self.decode(z))
        reconstruction_loss = self.binary_crossentropy(x, x_decoded)
        kl_loss = -0.5 * np.sum(1 + z_log_var - np.square(z_mean) - np.exp(z_log_var), axis=-1)
        return SimpleNamespace(elbo=-(reconstruction_loss + kl_loss), nll=reconstruction_loss, kl=kl_loss), (z,)


ITEMS.append(Item(
    "keras_mean_crossentropy", "Keras tutorial manner", "evidence",
    lambda: {"model": KerasishVAE(), "x": binary(3, 6, 8)}, False,
    "The cross-entropy is the mean over the pixels while the KL is a sum over the latents; the evidence wants the sum over the pixels (times D).",
    ("nll", "elbo"), ("factor", "missing-term")))


# ------------------------------------------------------------------------------------------ multi-sample bound
class ImportanceBound(object):
    def __init__(self, K=5):
        self.K = K
        rng = np.random.RandomState(6)
        self.A, self.a, self.S, self.s = rng.randn(5, 1) * .8, rng.randn(1), rng.randn(5, 1) * .3, rng.randn(1) * .3
        self.V, self.v = rng.randn(1, 5) * 1.5, rng.randn(5) * .5

    def draw_eps(self, B, rng):
        return rng.standard_normal((self.K, B, 1))

    def encode(self, x):
        return x.dot(self.A) + self.a, x.dot(self.S) + self.s

    def decode(self, z):
        return z.dot(self.V) + self.v

    def objective(self, x, eps):
        mu, lv = self.encode(x)
        sd = np.exp(lv / 2)
        z = mu[None] + sd[None] * eps
        y = self.decode(z)
        lpx = np.sum(x * y - np.log1p(np.exp(y)), axis=2)
        lratio = np.sum(-z ** 2 / 2 + eps ** 2 / 2 + lv / 2, axis=2)
        lw = lpx + lratio
        top = np.max(lw, axis=0)
        bound = top + np.log(np.sum(np.exp(lw - top), axis=0))
        return SimpleNamespace(elbo=bound), dict(z=z, lw=lw)


ITEMS.append(Item(
    "thesis_importance_bound", "thesis code, K importance samples", "evidence",
    lambda: {"model": ImportanceBound(), "x": binary(5, 5, 5)}, False,
    "The bound is the log of the mean of the K weights; the log of their sum is too large by log K: subtract np.log(K) (or take np.mean).",
    ("elbo",), ("missing-term",)))


# ------------------------------------------------------------------------------------------ notebook
def make_notebook_vae():
    rng = np.random.RandomState(0)
    W_mu, W_lv = rng.randn(6, 2) * 0.5, rng.randn(6, 2) * 0.5
    b_lv = np.array([0.8, -1.2])
    W_out, b_out = rng.randn(2, 6) * 1.5, rng.randn(6) * 0.3

    def encode(x):
        return x @ W_mu, x @ W_lv + b_lv

    def decode(z):
        return z @ W_out + b_out

    def objective(x, eps):
        mu, logvar = encode(x)
        z = mu + np.exp(logvar) * eps
        logits = decode(z)
        xhat = 1 / (1 + np.exp(-logits))
        nll = (np.logaddexp(0, logits) - x * logits).sum(1)
        kl = (-0.5 * (1 + logvar - mu ** 2 - np.exp(logvar))).sum(1)
        return SimpleNamespace(elbo=-nll - kl, nll=nll, kl=kl), {"z": z, "xhat": xhat}

    return {"model": SimpleNamespace(encode=encode, decode=decode, objective=objective), "x": binary(7, 5, 6)}


ITEMS.append(Item(
    "notebook_logvar_as_logstd", "notebook, closures over globals", "evidence", make_notebook_vae, False,
    "The reparametrisation multiplies the noise by the variance exp(logvar); the standard deviation exp(0.5 * logvar) belongs there.",
    ("z", "nll", "elbo"), ("elementwise-factor",)))


# ------------------------------------------------------------------------------------------ RL world model
class WorldModelEncoder:
    """V of the world model. Observations are binarised frames."""

    def __init__(self, obs_size=7, z_size=2, hidden=4, seed=21):
        rs = np.random.RandomState(seed)
        self.fc_in = rs.normal(scale=.6, size=(obs_size, hidden))
        self.fc_mu = rs.normal(scale=1., size=(hidden, z_size))
        self.fc_logvar = rs.normal(scale=.8, size=(hidden, z_size))
        self.fc_dec = rs.normal(scale=1., size=(z_size, obs_size))

    def encode(self, obs):
        h = np.tanh(obs @ self.fc_in)
        return h @ self.fc_mu, h @ self.fc_logvar

    def decode(self, z):
        return z @ self.fc_dec

    def objective(self, obs, eps):
        mu, logvar = self.encode(obs)
        sigma = np.exp(logvar / 2.)
        z = mu + sigma * eps
        logits = self.decode(z)
        r_loss = np.sum(np.maximum(logits, 0) - logits * obs + np.log1p(np.exp(-abs(logits))), axis=1)
        kl_loss = -.5 * np.sum(1 + logvar - mu ** 2 - np.exp(logvar)) / len(obs)
        return SimpleNamespace(elbo=-r_loss - kl_loss, nll=r_loss, kl=kl_loss * np.ones(len(obs))), z


ITEMS.append(Item(
    "world_model_batch_kl", "reinforcement-learning world model", "evidence",
    lambda: {"model": WorldModelEncoder(), "x": binary(9, 6, 7)}, False,
    "The KL is summed over the whole batch and its mean is charged to every row; each row should carry its own: sum over axis 1.",
    ("kl", "elbo"), ("batch-sum", "shape")))


# ------------------------------------------------------------------------------------------ numerics by hand
class PlainVAE:
    """No library beyond exp and log: loops, C manner."""

    def __init__(self):
        r = np.random.RandomState(31)
        self.n, self.k = 6, 1
        self.we, self.ve, self.wd, self.bd = r.randn(6), 0.3 * r.randn(6), 2.0 * r.randn(6), r.randn(6) - 0.5

    def encode(self, x):
        mu = np.zeros((len(x), 1))
        lv = np.zeros((len(x), 1))
        for i in range(len(x)):
            for j in range(self.n):
                mu[i, 0] += 0.5 * self.we[j] * x[i, j]
                lv[i, 0] += self.ve[j] * x[i, j]
        return mu, lv

    def decode(self, z):
        out = np.zeros((len(z), self.n))
        for j in range(self.n):
            out[:, j] = self.bd[j] + self.wd[j] * z[:, 0]
        return out

    def objective(self, x, eps):
        mu, lv = self.encode(x)
        z = mu + np.sqrt(np.exp(lv)) * eps
        a = self.decode(z)
        nll = np.zeros(len(x))
        for i in range(len(x)):
            for j in range(self.n):
                # stable log(1 + e^a) - x a
                nll[i] += max(a[i, j], 0.0) - x[i, j] * a[i, j] + math.log(1.0 + math.exp(-a[i, j]))
        kl = 0.5 * (mu * mu + np.exp(lv) - lv - 1.0)[:, 0]
        return SimpleNamespace(elbo=-nll - kl, nll=nll, kl=kl), (z, a)


ITEMS.append(Item(
    "plain_loops_stable_bce", "C manner, plain loops", "evidence",
    lambda: {"model": PlainVAE(), "x": binary(11, 5, 6)}, False,
    "The stable softplus is max(a, 0) + log(1 + exp(-|a|)); the absolute value is missing, so that every negative logit is charged -a too much.",
    ("nll", "elbo"), ("missing-term", "elementwise-factor", "sign")))


# ------------------------------------------------------------------------------------------ right: antithetic pair
class AntitheticVAE:
    """One pair (eps, -eps) a row, log weight averaged; the KL is sampled too."""

    def __init__(self):
        g = np.random.Generator(np.random.PCG64(5))
        self.M, self.L, self.G, self.g = g.normal(0, .5, (5, 2)), g.normal(0, .4, (5, 2)), g.normal(0, 1.3, (2, 5)), g.normal(0, .3, 5)

    def encode(self, x):
        y = 2 * x - 1
        return y @ self.M, y @ self.L

    def decode(self, z):
        return self.g - z @ self.G

    def _logw(self, x, mu, lv, e):
        z = mu + np.exp(.5 * lv) * e
        s = 2 * x - 1
        lpx = np.sum(-np.logaddexp(0, -s * self.decode(z)), 1)
        return lpx, lpx + .5 * np.sum(e * e + lv - z * z, 1)

    def objective(self, x, eps):
        mu, lv = self.encode(x)
        pa, a = self._logw(x, mu, lv, eps)
        pb, b = self._logw(x, mu, lv, -eps)
        nll, elbo = -.5 * (pa + pb), .5 * (a + b)
        return SimpleNamespace(elbo=elbo, nll=nll, kl=-elbo - nll), None


ITEMS.append(Item("antithetic_sampled_kl", "statistics, variance reduction by antithetic pairs", "evidence",
                  lambda: {"model": AntitheticVAE(), "x": binary(13, 5, 5)}, True))


# ------------------------------------------------------------------------------------------ right: streaming K bound
class StreamingBound:
    def __init__(self):
        r = np.random.RandomState(8)
        self.p = dict(m=r.randn(6, 2) * .5, s=r.randn(6, 2) * .3 - .2, o=r.randn(2, 6) * 1.4)

    def draw_eps(self, B, rng):
        return rng.normal(size=(4, B, 2))

    def encode(self, x):
        return x @ self.p["m"], x @ self.p["s"]

    def decode(self, z):
        return np.tanh(z) @ self.p["o"] * 1.5

    def objective(self, x, eps):
        mu, lv = self.encode(x)
        acc, n = np.full(len(x), -np.inf), 0
        for e in eps:                     # one sample at a time to save memory
            z = e * np.exp(lv / 2) + mu
            l = self.decode(z)
            lw = -np.sum(np.logaddexp(0, l), 1) + np.einsum("bd,bd->b", x, l)
            lw += 0.5 * (np.square(e).sum(1) - np.square(z).sum(1) + lv.sum(1))
            acc = np.logaddexp(acc, lw)
            n += 1
        return SimpleNamespace(elbo=acc - math.log(n)), None


ITEMS.append(Item("streaming_importance_bound", "memory-lean loop over samples, running logaddexp", "evidence",
                  lambda: {"model": StreamingBound(), "x": binary(15, 5, 6)}, True))


# ------------------------------------------------------------------------------------------ right: Gaussian pixels
class FixedNoise:
    """Normal pixels around the decoder's output, standard deviation 0.5."""

    n_params, discrete, support, sd = 1, False, (-np.inf, np.inf), 0.5

    def nll(self, x, logits):
        r = (x - logits) / self.sd
        return (0.5 * r * r + math.log(self.sd) + 0.5 * math.log(2 * math.pi)).sum(1), r

    def nll_backward(self, dnll, r):
        return -dnll[:, None] * r / self.sd

    def mean(self, logits):
        return logits

    def sample(self, logits, rng):
        return logits + self.sd * rng.standard_normal(logits.shape)


class LinearGaussianVAE:
    likelihood = FixedNoise()

    def __init__(self):
        r = np.random.RandomState(88)
        self.W, self.R, self.l = r.randn(2, 4), r.randn(4, 2) * .4, np.array([-1.5, -0.7])

    def encode(self, x):
        mu = x @ self.R
        return mu, np.broadcast_to(self.l, mu.shape)

    def decode(self, z):
        return z @ self.W

    def objective(self, x, eps):
        mu, lv = self.encode(x)
        z = mu + np.exp(lv / 2) * eps
        nll, _ = self.likelihood.nll(x, self.decode(z))
        kl = 0.5 * (mu ** 2 + np.expm1(lv) - lv).sum(-1)
        return SimpleNamespace(elbo=-(nll + kl), nll=nll, kl=kl), None


ITEMS.append(Item("linear_gaussian_fixed_noise", "signal processing, linear Gaussian model", "evidence",
                  lambda: {"model": LinearGaussianVAE(), "x": np.random.RandomState(89).randn(5, 4)}, True))


# =====================================================================================================================
# sampler
# =====================================================================================================================
def _mulv(seed, B, Z, lo=-2.0, hi=1.5):
    r = np.random.default_rng(seed)
    return {"mu": r.normal(0, 1.5, (B, Z)), "logvar": r.uniform(lo, hi, (B, Z))}


def bayes_draw(mu, logvar, eps):
    """Draw from the variational posterior, in precisions as in BUGS."""
    tau = np.exp(-logvar)
    root = np.sqrt(tau)
    return mu + root * eps


ITEMS.append(Item("bugs_precision_draw", "Bayesian statistics, precisions", "sampler",
                  lambda: {"sampler": bayes_draw, **_mulv(100, 6, 2)}, False,
                  "tau is the precision; the noise must be divided by its root, not multiplied: mu + eps / sqrt(tau).",
                  ("z",), ("elementwise-factor",)))


class ReparamLayer:
    """z = mu + sigma * eps. Layer with state."""

    def __call__(self, mu, logvar, eps):
        self.sigma = np.exp(0.5 * logvar)
        self.noise = np.empty_like(mu)
        self.noise[:] = eps[0]
        self.z = mu + self.sigma * self.noise
        return self.z


ITEMS.append(Item("layer_shared_noise_row", "layer class with state and preallocated buffers", "sampler",
                  lambda: {"sampler": ReparamLayer(), **_mulv(101, 5, 3)}, False,
                  "The buffer is filled with the first row of eps for every row: the draws of a batch share their noise. It should be self.noise[:] = eps.",
                  ("z",), ("shape", "batch-sum", "elementwise-factor")))


def normal_rsample(loc, raw_scale, noise):
    scale = np.logaddexp(0.0, raw_scale)  # softplus
    return loc + scale * noise, {"scale": scale}


ITEMS.append(Item("distributions_port_rsample", "port of a distributions package", "sampler",
                  lambda: {"sampler": normal_rsample, **_mulv(102, 6, 2, -3.0, 2.0)}, False,
                  "The second argument is a log variance, not a raw scale: the scale is exp(0.5 * logvar), not softplus.",
                  ("z",), ("elementwise-factor",)))


def sample_action(mu, log_var, xi):
    std = np.sqrt(np.exp(log_var))
    action = (mu + xi) * std
    return action


ITEMS.append(Item("rl_policy_action", "reinforcement-learning policy", "sampler",
                  lambda: {"sampler": sample_action, **_mulv(103, 6, 3)}, False,
                  "The parentheses stand wrong: the mean is scaled by std too. It should be mu + xi * std.",
                  ("z", "mean"), ("elementwise-factor",)))


def add_noise_(mu, logvar, eps):
    """out = mean + sigma eps, without temporaries"""
    s = np.exp(logvar * 0.5)
    s *= eps
    mu += s
    return mu


ITEMS.append(Item("embedded_inplace_draw", "embedded / low-memory code", "sampler",
                  lambda: {"sampler": add_noise_, **_mulv(104, 5, 2)}, False,
                  "The draw is written into the caller's mu (mu += s): the next draw starts from this one. It should be mu + s, in a new array.",
                  ("z", "mu"), ("mutates-input", "accumulates")))


def sample_z(mu, logvar, eps, return_cache=True):
    e = eps - eps.mean(axis=0, keepdims=True)          # remove the sampling error of the mean
    z = mu + np.exp(logvar / 2) * e
    return (z, (mu, logvar, e)) if return_cache else z


ITEMS.append(Item("montecarlo_centred_noise", "Monte Carlo research code, moment matching", "sampler",
                  lambda: {"sampler": sample_z, **_mulv(105, 4, 2)}, False,
                  "Subtracting the noise's mean over the batch shrinks its variance by 1 - 1/B and ties the rows together; use eps as it is.",
                  ("z",), ("missing-term", "batch-sum", "elementwise-factor")))


# right ones
_H = np.array([[1.0, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]) / 2.0


def hadamard_noise(mu, logvar, eps):
    return mu + np.exp(0.5 * logvar) * (eps @ _H)


ITEMS.append(Item("hadamard_rotated_noise", "signal processing, orthogonal mixing of the noise", "sampler",
                  lambda: {"sampler": hadamard_noise, **_mulv(106, 4, 4)}, True))


def inverse_cdf_draw(mu, logvar, eps):
    u = sp.ndtr(eps)
    q = sp.ndtri(1.0 - u).astype(np.float32)          # mirrored, graphics-card precision
    sd = np.exp(np.float32(0.5) * logvar.astype(np.float32))
    return mu.astype(np.float32) + sd * q


ITEMS.append(Item("quantile_float32_draw", "graphics, inverse CDF in float32", "sampler",
                  lambda: {"sampler": inverse_cdf_draw, **_mulv(107, 6, 2)}, True))


def mvn_draw(mean, logvar, eps):
    """Through a full Cholesky factor, as for any covariance."""
    cov = np.zeros(mean.shape + mean.shape[-1:])
    i = np.arange(mean.shape[-1])
    cov[:, i, i] = np.exp(logvar)
    chol = np.linalg.cholesky(cov)
    return np.einsum("bij,bj->bi", chol, eps[:, ::-1]) + mean, chol


ITEMS.append(Item("econometrics_cholesky_draw", "econometrics, multivariate normal by Cholesky", "sampler",
                  lambda: {"sampler": mvn_draw, **_mulv(108, 5, 3)}, True))


def kick(mu, logvar, eps):
    """Ornstein-Uhlenbeck: half of the way, then the other half, on own buffers; very cold and very hot modes."""
    e = np.roll(eps, 1, axis=0)
    buf = np.multiply(logvar, 0.5)
    np.exp(buf, out=buf)
    np.multiply(buf, e, out=buf)
    np.negative(buf, out=buf)
    buf += mu
    return buf


def make_kick():
    d = _mulv(109, 6, 2)
    d["logvar"][:, 0] = np.linspace(-24.0, -6.0, 6)
    d["logvar"][:, 1] = np.linspace(2.0, 9.0, 6)
    return {"sampler": kick, **d}


ITEMS.append(Item("physics_langevin_buffers", "physics, out= buffers, tiny and huge variances", "sampler", make_kick, True))


# =====================================================================================================================
# likelihood
# =====================================================================================================================
class GaussianHead:
    """Regression head: mean and log variance."""
    n_params = 2
    support = (-np.inf, np.inf)
    discrete = False

    @staticmethod
    def _split(out):
        mu, logvar = np.split(out, 2, axis=1)
        return mu, np.exp(0.5 * logvar)

    def nll(self, y, out):
        mu, sigma = self._split(out)
        per_dim = np.log(sigma) + 0.5 * np.log(2 * np.pi) + (y - mu) ** 2 / (2 * sigma)
        return per_dim.sum(axis=1), (y, mu, sigma)

    def mean(self, out):
        return self._split(out)[0]

    def sample(self, out, rng):
        mu, sigma = self._split(out)
        return rng.normal(mu, sigma)


ITEMS.append(Item("uncertainty_gaussian_head", "deep-ensembles regression code", "likelihood", lambda: {"p": GaussianHead()}, False,
                  "The squared residual is divided by 2 sigma; it should be 2 sigma**2.", ("nll",), ("elementwise-factor",)))


class ContinuousBernoulli:
    """Loaiza-Ganem and Cunningham 2019; lam = sigmoid(logits)."""
    n_params, discrete, support = 1, False, (0.0, 1.0)

    @staticmethod
    def _safe(l):
        return np.where(np.abs(l) < 1e-3, 1e-3, l)

    def _log_norm(self, l):
        s = self._safe(l)
        return np.where(np.abs(l) < 1e-3, math.log(2) + l * l / 12, np.log(s / np.tanh(s / 2)))

    def nll(self, x, logits):
        ll = x * logits - np.logaddexp(0, logits) + self._log_norm(logits)
        return -ll.sum(1), (x, logits)

    def nll_backward(self, dnll, cache):
        x, l = cache
        s = self._safe(l)
        with np.errstate(over="ignore"):
            dnorm = np.where(np.abs(l) < 1e-3, l / 6, 1 / s - 1 / np.sinh(s))
        return -dnll[:, None] * (x - sp.expit(l) + dnorm)

    def mean(self, logits):
        return sp.expit(logits)

    def sample(self, logits, rng):
        u = rng.random(logits.shape)
        s = self._safe(logits)
        with np.errstate(over="ignore"):
            return np.where(np.abs(logits) < 1e-3, u, np.log1p(u * np.expm1(s)) / s)


ITEMS.append(Item("continuous_bernoulli_pixels", "research code with safe branches", "likelihood", lambda: {"p": ContinuousBernoulli()}, False,
                  "sigmoid(logits) is the parameter lam, not the mean; the mean is 1/(1 - exp(-l)) - 1/l.",
                  ("mean",), ("elementwise-factor", "missing-term")))


class LaplaceOut:
    """Speech residuals; theta = [m | log b]."""

    def __init__(self):
        self.n_params = 2
        self.discrete = False
        self.support = (-np.inf, np.inf)

    def unpack(self, theta):
        d = theta.shape[1] // 2
        return theta[:, :d], np.exp(theta[:, d:])

    def nll(self, x, theta):
        m, b = self.unpack(theta)
        a = np.abs(x - m) / b
        return np.sum(a + np.log(2 * b), axis=1), (x, m, b, a)

    def nll_backward(self, g, cache):
        x, m, b, a = cache
        return g[:, None] * np.concatenate([-np.sign(x - m) / b, 1 - a], axis=1)

    def mean(self, theta):
        return self.unpack(theta)[0]

    def sample(self, theta, rng):
        m, b = self.unpack(theta)
        u = rng.uniform(-0.5, 0.5, size=m.shape)
        return m - b * np.sign(u) * np.log(1 - np.abs(u))


ITEMS.append(Item("speech_laplace_residuals", "speech, inverse CDF by hand", "likelihood", lambda: {"p": LaplaceOut()}, False,
                  "The inverse CDF of a Laplace is m - b sign(u) log(1 - 2|u|); the 2 is missing, so that the samples are far too narrow.",
                  ("sample",), ("factor", "elementwise-factor")))


class NegBinomCounts:
    """Gene counts; columns log mean, then log dispersion r. Variance mu + mu**2 / r."""
    n_params = 2
    discrete = True
    support = (0, np.inf)

    def _params(self, logits):
        G = logits.shape[1] // 2
        return np.exp(logits[:, :G]), np.exp(logits[:, G:])

    def nll(self, x, logits):
        mu, r = self._params(logits)
        log_mu_r = np.log(mu + r)
        res = (sp.gammaln(x + r) - sp.gammaln(r) - sp.gammaln(x + 1)
               + r * (np.log(r) - log_mu_r) + x * (np.log(mu) - log_mu_r))
        return -res.sum(-1), (x, mu, r)

    def nll_backward(self, dnll, cache):
        x, mu, r = cache
        dlogmu = x - mu * (x + r) / (mu + r)
        dlogr = r * (sp.digamma(x + r) - sp.digamma(r) + np.log(r) + 1 - np.log(mu + r) - (x + r) / (mu + r))
        return -dnll[:, None] * np.hstack((dlogmu, dlogr))

    def mean(self, logits):
        return self._params(logits)[0]

    def sample(self, logits, rng):
        mu, r = self._params(logits)
        p = mu / (mu + r)
        return rng.negative_binomial(r, p)


ITEMS.append(Item("genomics_negative_binomial", "single-cell genomics", "likelihood", lambda: {"p": NegBinomCounts()}, False,
                  "NumPy's negative_binomial counts the failures before r successes and wants the success probability r / (mu + r); mu / (mu + r) is its complement.",
                  ("sample",), ("elementwise-factor",)))


class DiscretizedLogistic:
    """PixelCNN++ manner, 16 grey levels; parameters location and log scale."""
    n_params = 2
    discrete = True
    support = (0, 15)

    def _p(self, logits):
        D = logits.shape[1] // 2
        return 7.5 + 4.0 * logits[:, :D], 2.0 * np.exp(0.5 * logits[:, D:])

    def nll(self, x, logits):
        loc, scale = self._p(logits)
        plus = (x + 0.5 - loc) / scale
        minus = (x - 0.5 - loc) / scale
        mass = sp.expit(plus) - sp.expit(minus)
        return -np.log(np.maximum(mass, 1e-12)).sum(1), (plus, minus, mass)

    def mean(self, logits):
        loc, scale = self._p(logits)
        k = np.arange(15) + 0.5
        # E[X] = sum over the levels of P(X > k)
        return sp.expit((loc[..., None] - k) / scale[..., None]).sum(-1)

    def sample(self, logits, rng):
        loc, scale = self._p(logits)
        return np.clip(np.rint(rng.logistic(loc, scale)), 0, 15)


ITEMS.append(Item("pixelcnn_discretized_logistic", "image generation, grey levels", "likelihood", lambda: {"p": DiscretizedLogistic()}, False,
                  "The outer bins have no special case: level 0 should take the whole lower tail (cdf(0.5)) and level 15 the whole upper tail; the masses do not sum to one.",
                  ("nll",), ("missing-term", "elementwise-factor")))


class BetaPixels:
    """Albedo in (0, 1): a = 1 + softplus, b = 1 + softplus."""
    n_params, discrete, support = 2, False, (0, 1)

    def _ab(self, t):
        n = t.shape[1] // 2
        s = 1 + np.logaddexp(0, t)
        return s[:, :n], s[:, n:]

    def nll(self, x, t):
        a, b = self._ab(t)
        x = np.clip(x, 1e-12, 1 - 1e-12)
        lx, lc = np.log(x), np.log1p(-x)
        return (sp.betaln(a, b) - (a - 1) * lx - (b - 1) * lc).sum(1), (lx, lc, a, b, t)

    def nll_backward(self, dnll, cache):
        lx, lc, a, b, t = cache
        da = sp.digamma(a) - lx
        db = sp.digamma(b) - lc
        return dnll[:, None] * np.concatenate([da, db], 1) * sp.expit(t)

    def mean(self, t):
        a, b = self._ab(t)
        return a / (a + b)

    def sample(self, t, rng):
        a, b = self._ab(t)
        return rng.beta(a, b)


ITEMS.append(Item("graphics_beta_albedo", "graphics, material maps", "likelihood", lambda: {"p": BetaPixels()}, False,
                  "The derivative of betaln(a, b) is digamma(a) - digamma(a + b); the second digamma is missing in both halves of the backward.",
                  ("logits",), ("missing-term",)))


class ZeroInflatedPoisson:
    """Animal counts at sites. psi: log odds of an empty site, eta: log rate."""
    n_params = 2
    discrete = True
    support = (0, np.inf)

    def link(self, lin):
        J = lin.shape[1] // 2
        return sp.expit(lin[:, :J]), np.exp(lin[:, J:])

    def nll(self, y, lin):
        pi, lam = self.link(lin)
        zero = np.log(pi)
        pos = np.log1p(-pi) - lam + y * np.log(lam) - sp.gammaln(y + 1)
        return -np.where(y == 0, zero, pos).sum(1), (y, pi, lam)

    def mean(self, lin):
        pi, lam = self.link(lin)
        return (1 - pi) * lam

    def sample(self, lin, rng):
        pi, lam = self.link(lin)
        return np.where(rng.random(pi.shape) < pi, 0, rng.poisson(lam))


ITEMS.append(Item("ecology_zero_inflated_poisson", "ecology, site counts", "likelihood", lambda: {"p": ZeroInflatedPoisson()}, False,
                  "A zero may also come from the Poisson part: log(pi + (1 - pi) exp(-lam)); the second summand is missing.",
                  ("nll",), ("missing-term",)))


# right ones
class StudentT:
    """Robust noise with six degrees of freedom."""
    n_params, discrete, support, df = 2, False, (-np.inf, np.inf), 6.0

    def _c(self):
        v = self.df
        return math.lgamma(v / 2) - math.lgamma((v + 1) / 2) + .5 * math.log(v * math.pi)

    def nll(self, x, logits):
        d = x.shape[1]
        loc, ls = logits[:, :d], logits[:, d:]
        t = (x - loc) * np.exp(-ls)
        return (self._c() + ls + .5 * (self.df + 1) * np.log1p(t * t / self.df)).sum(1), (t, ls)

    def nll_backward(self, dnll, cache):
        t, ls = cache
        w = (self.df + 1) * t / (self.df + t * t)
        return dnll[:, None] * np.hstack([-w * np.exp(-ls), 1 - w * t])

    def mean(self, logits):
        return logits[:, :logits.shape[1] // 2].copy()

    def sample(self, logits, rng):
        d = logits.shape[1] // 2
        z, chi = rng.standard_normal((len(logits), d)), rng.chisquare(self.df, (len(logits), d))
        return logits[:, :d] + np.exp(logits[:, d:]) * z / np.sqrt(chi / self.df)


ITEMS.append(Item("robust_student_t", "robust statistics", "likelihood", lambda: {"p": StudentT()}, True))


class BinomialReads:
    """k of n = 4 reads; logit link."""
    n = 4
    n_params, discrete, support = 1, True, (0, 4)
    _logc = np.log([1, 4, 6, 4, 1.0])

    def nll(self, k, eta):
        idx = np.asarray(k).astype(int)
        return (self.n * np.logaddexp(0, eta) - idx * eta - self._logc[idx]).sum(axis=-1), (idx, eta)

    def nll_backward(self, up, cache):
        k, eta = cache
        return (self.n * (0.5 * np.tanh(0.5 * eta) + 0.5) - k) * up.reshape(-1, 1)

    def mean(self, eta):
        return self.n * sp.expit(eta)

    def sample(self, eta, rng):
        return (rng.random((self.n,) + eta.shape) < sp.expit(eta)).sum(0)


ITEMS.append(Item("genetics_binomial_reads", "statistical genetics, table of coefficients, integer data", "likelihood", lambda: {"p": BinomialReads()}, True))


class TwoNormals:
    """Mixture of two normals for each pixel: log odds, m0, m1, log s0, log s1."""
    n_params, discrete, support = 5, False, (-np.inf, np.inf)

    def nll(self, x, logits):
        o, m0, m1, s0, s1 = np.split(logits, 5, axis=1)
        z0, z1 = (x - m0) * np.exp(-s0), (x - m1) * np.exp(-s1)
        k = -.5 * math.log(2 * math.pi)
        l0 = -np.logaddexp(0, o) + k - s0 - .5 * z0 ** 2
        l1 = -np.logaddexp(0, -o) + k - s1 - .5 * z1 ** 2
        l = np.logaddexp(l0, l1)
        return -l.sum(1), (np.exp(l1 - l), sp.expit(o), z0, z1, s0, s1)

    def nll_backward(self, g, cache):
        r, w, z0, z1, s0, s1 = cache
        cols = [w - r, -(1 - r) * z0 * np.exp(-s0), -r * z1 * np.exp(-s1), (1 - r) * (1 - z0 ** 2), r * (1 - z1 ** 2)]
        return np.concatenate(cols, 1) * g[:, None]

    def mean(self, logits):
        o, m0, m1, _, _ = np.split(logits, 5, axis=1)
        return m0 + sp.expit(o) * (m1 - m0)

    def sample(self, logits, rng):
        o, m0, m1, s0, s1 = np.split(logits, 5, axis=1)
        pick = o + rng.logistic(size=o.shape) > 0
        return np.where(pick, m1, m0) + np.exp(np.where(pick, s1, s0)) * rng.standard_normal(o.shape)


ITEMS.append(Item("mixture_density_pixels", "mixture density network, five parameters a pixel", "likelihood", lambda: {"p": TwoNormals()}, True))


class Kumaraswamy:
    """Reservoir fill levels: F(x) = 1 - (1 - x^a)^b."""
    n_params, discrete, support = 2, False, (0.0, 1.0)

    def _shape(self, raw):
        sh = 1 + np.logaddexp(0, raw)
        return sh[:, ::1][:, :raw.shape[1] // 2], sh[:, raw.shape[1] // 2:]

    def nll(self, x, raw):
        a, b = self._shape(raw)
        x = np.clip(x, 1e-14, 1 - 1e-14)
        lx = np.log(x)
        lq = np.log(-np.expm1(a * lx))             # log(1 - x^a)
        return -(np.log(a) + np.log(b) + (a - 1) * lx + (b - 1) * lq).sum(1), dict(a=a, b=b, lx=lx, lq=lq, raw=raw)

    def nll_backward(self, dnll, c):
        a, b, lx, lq = c["a"], c["b"], c["lx"], c["lq"]
        dlq_da = -np.exp(a * lx - lq) * lx
        out = np.empty_like(c["raw"])
        n = a.shape[1]
        out[:, :n] = -1 / a - lx - (b - 1) * dlq_da
        out[:, n:] = -1 / b - lq
        out *= sp.expit(c["raw"])
        out *= dnll[:, None]
        return out

    def mean(self, raw):
        a, b = self._shape(raw)
        return np.exp(np.log(b) + sp.betaln(1 + 1 / a, b))

    def sample(self, raw, rng):
        a, b = self._shape(raw)
        return (1 - rng.random(a.shape) ** (1 / b)) ** (1 / a)


ITEMS.append(Item("hydrology_kumaraswamy", "hydrology, bounded levels", "likelihood", lambda: {"p": Kumaraswamy()}, True))


# =====================================================================================================================
# optimizer
# =====================================================================================================================
class AdamReference:
    def __init__(self, lr=0.01, b1=0.9, b2=0.999, eps=1e-8, decay=0.0, amsgrad=False, schedule=None):
        self.lr, self.b1, self.b2, self.eps, self.decay, self.amsgrad = lr, b1, b2, eps, decay, amsgrad
        self.schedule = schedule or (lambda t: 1.0)
        self.t, self.m, self.v, self.top = 0, {}, {}, {}

    def step(self, params, grads):
        self.t += 1
        lr = self.lr * self.schedule(self.t)
        for k in params:
            g = grads[k]
            self.m[k] = self.b1 * self.m.get(k, 0.0) + (1 - self.b1) * g
            self.v[k] = self.b2 * self.v.get(k, 0.0) + (1 - self.b2) * g ** 2
            v = self.v[k]
            if self.amsgrad:
                self.top[k] = v = np.maximum(self.top.get(k, 0.0), v)
            mh = self.m[k] / (1 - self.b1 ** self.t)
            vh = v / (1 - self.b2 ** self.t)
            old = params[k].copy()
            params[k] -= lr * mh / (np.sqrt(vh) + self.eps)
            params[k] -= lr * self.decay * old


class MomentumReference:
    def __init__(self, lr, mu, nesterov=False):
        self.lr, self.mu, self.nesterov, self.buf = lr, mu, nesterov, {}

    def step(self, params, grads):
        for k in params:
            b = self.buf[k] = self.mu * self.buf.get(k, 0.0) - self.lr * grads[k]
            params[k] += self.mu * b - self.lr * grads[k] if self.nesterov else b


class CourseAdam:
    """config-style Adam of an assignment"""

    def __init__(self, learning_rate=1e-2, beta1=0.9, beta2=0.999, epsilon=1e-8):
        self.config = dict(learning_rate=learning_rate, beta1=beta1, beta2=beta2, epsilon=epsilon, t=0)
        self.m, self.v = {}, {}

    def step(self, params, grads):
        c = self.config
        for name, w in params.items():
            dw = grads[name]
            if name not in self.m:
                self.m[name], self.v[name] = np.zeros_like(w), np.zeros_like(w)
            c['t'] += 1
            self.m[name] = c['beta1'] * self.m[name] + (1 - c['beta1']) * dw
            self.v[name] = c['beta2'] * self.v[name] + (1 - c['beta2']) * dw ** 2
            mt = self.m[name] / (1 - c['beta1'] ** c['t'])
            vt = self.v[name] / (1 - c['beta2'] ** c['t'])
            w -= c['learning_rate'] * mt / (np.sqrt(vt) + c['epsilon'])


ITEMS.append(Item("course_adam_config", "course assignment, config dict", "optimizer",
                  lambda: {"optimizer": CourseAdam(), "reference": AdamReference()}, False,
                  "The step count t is raised once for each parameter; it should be raised once a step, before the loop: all but the first parameter get too weak a bias correction.",
                  ("step",), ("factor", "elementwise-factor", "unknown")))


class AdamW:
    """Port of a transformer training script."""

    def __init__(self, lr=2e-2, betas=(0.9, 0.98), eps=1e-8, weight_decay=0.1):
        self.defaults = dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)
        self.state = defaultdict(dict)

    def step(self, params, grads):
        lr, (b1, b2), eps, wd = (self.defaults[k] for k in ("lr", "betas", "eps", "weight_decay"))
        for n, p in params.items():
            st = self.state[n]
            if not st:
                st.update(step=0, exp_avg=np.zeros_like(p), exp_avg_sq=np.zeros_like(p))
            st["step"] += 1
            g = grads[n] + wd * p
            st["exp_avg"] *= b1
            st["exp_avg"] += (1 - b1) * g
            st["exp_avg_sq"] *= b2
            st["exp_avg_sq"] += (1 - b2) * g * g
            denom = np.sqrt(st["exp_avg_sq"] / (1 - b2 ** st["step"])) + eps
            p -= lr / (1 - b1 ** st["step"]) * st["exp_avg"] / denom


ITEMS.append(Item("transformer_adamw", "port of a transformer training script", "optimizer",
                  lambda: {"optimizer": AdamW(), "reference": AdamReference(2e-2, 0.9, 0.98, 1e-8, decay=0.1)}, False,
                  "The weight decay is added to the gradient and goes through the moments (L2 penalty); AdamW decays the weights by themselves: p -= lr * wd * p.",
                  ("step",), ("missing-term", "elementwise-factor", "unknown")))


class NesterovSGD:
    def __init__(self, lr=0.05, momentum=0.9):
        self.lr, self.momentum, self.velocity = lr, momentum, None

    def step(self, params, grads):
        if self.velocity is None:
            self.velocity = {k: np.zeros_like(p) for k, p in params.items()}
        for k in params:
            v = self.velocity[k]
            v_prev = v
            v *= self.momentum
            v -= self.lr * grads[k]
            params[k] += -self.momentum * v_prev + (1 + self.momentum) * v


ITEMS.append(Item("from_scratch_nesterov", "from-scratch neural network book", "optimizer",
                  lambda: {"optimizer": NesterovSGD(), "reference": MomentumReference(0.05, 0.9, nesterov=True)}, False,
                  "v_prev is the same array as v, which is then changed in place: the look-ahead cancels and plain momentum is left. It should be v.copy().",
                  ("step",), ("missing-term", "elementwise-factor")))


class AdadeltaReference:
    def __init__(self, rho=0.9, eps=1e-3):
        self.rho, self.eps, self.Eg, self.Ed = rho, eps, {}, {}

    def step(self, params, grads):
        for k, g in grads.items():
            self.Eg[k] = self.rho * self.Eg.get(k, 0.0) + (1 - self.rho) * g * g
            d = np.sqrt(self.Ed.get(k, 0.0) + self.eps) / np.sqrt(self.Eg[k] + self.eps) * g
            self.Ed[k] = self.rho * self.Ed.get(k, 0.0) + (1 - self.rho) * d * d
            params[k] -= d


def adadelta(rho=0.9, eps=1e-3):
    """(init, update) pair as in a functional library"""
    def init(p):
        return np.zeros_like(p), np.zeros_like(p)

    def update(g, state):
        sq_g, sq_x = state
        sq_g = rho * sq_g + (1 - rho) * g ** 2
        dx = -np.sqrt((sq_x + eps) / (sq_g + eps)) * g
        sq_x = rho * sq_x + (1 - rho) * g ** 2
        return dx, (sq_g, sq_x)
    return init, update


class Stateful:
    def __init__(self, pair):
        (self.init, self.update), self.states = pair, {}

    def step(self, params, grads):
        for name, p in params.items():
            s = self.states.get(name) or self.init(p)
            dx, self.states[name] = self.update(grads[name], s)
            p += dx


ITEMS.append(Item("functional_adadelta", "functional library, (init, update) pairs", "optimizer",
                  lambda: {"optimizer": Stateful(adadelta()), "reference": AdadeltaReference()}, False,
                  "The second average is to follow the squared updates dx**2; it follows the squared gradients.",
                  ("step",), ("elementwise-factor", "unknown")))


class LionReference:
    def __init__(self, lr=0.01, b1=0.9, b2=0.99):
        self.lr, self.b1, self.b2, self.m = lr, b1, b2, {}

    def step(self, params, grads):
        for k in params:
            m, g = self.m.get(k, np.zeros_like(params[k])), grads[k]
            params[k] -= self.lr * np.sign(self.b1 * m + (1 - self.b1) * g)
            self.m[k] = self.b2 * m + (1 - self.b2) * g


class Lion:
    """EvoLved Sign Momentum."""
    __slots__ = ("lr", "beta1", "beta2", "mom")

    def __init__(self, lr=0.01, beta1=0.9, beta2=0.99):
        self.lr, self.beta1, self.beta2 = lr, beta1, beta2
        self.mom = OrderedDict()

    def step(self, params, grads):
        for key in params.keys():
            m = self.mom.setdefault(key, np.zeros_like(params[key]))
            m[...] = self.beta2 * m + (1.0 - self.beta2) * grads[key]
            c = self.beta1 * m + (1.0 - self.beta1) * grads[key]
            params[key] -= self.lr * np.sign(c)


ITEMS.append(Item("research_lion", "research code, slots", "optimizer",
                  lambda: {"optimizer": Lion(), "reference": LionReference()}, False,
                  "The momentum is moved by beta2 before the direction is taken, so that the new gradient counts twice and the old momentum is decayed once more; c comes first, from the old m, and m is updated after the step.", ("step",), ("elementwise-factor", "unknown")))


class ClippedSgdReference:
    def __init__(self, lr, max_norm):
        self.lr, self.max_norm = lr, max_norm

    def step(self, params, grads):
        total = math.sqrt(sum(float(np.sum(np.square(g))) for g in grads.values()))
        scale = min(1.0, self.max_norm / (total + 1e-12))
        for k in params:
            params[k] -= self.lr * scale * grads[k]


class ClippedSGD:
    """Policy gradient update with max_grad_norm, as in a baselines repository."""

    def __init__(self, lr=0.1, max_grad_norm=0.1):
        self.lr = lr
        self.max_grad_norm = max_grad_norm

    def step(self, params, grads):
        for name in sorted(params):
            grad = grads[name]
            norm = np.sqrt((grad ** 2).sum())
            if norm > self.max_grad_norm:
                grad = grad * (self.max_grad_norm / norm)
            params[name] -= self.lr * grad


ITEMS.append(Item("baselines_max_grad_norm", "reinforcement-learning baselines", "optimizer",
                  lambda: {"optimizer": ClippedSGD(), "reference": ClippedSgdReference(0.1, 0.1)}, False,
                  "Each parameter's gradient is clipped by its own norm; max_grad_norm is for the global norm over all of them, one scale for all.",
                  ("step",), ("factor", "elementwise-factor")))


# right ones
class KingmaAdam:
    """The paper's efficient order: the corrections in the step length, epsilon scaled along."""

    def __init__(self, alpha=0.01, beta_1=0.9, beta_2=0.999, epsilon=1e-8):
        self.alpha, self.beta_1, self.beta_2, self.epsilon = alpha, beta_1, beta_2, epsilon
        self.p1 = self.p2 = 1.0
        self.slots = {}

    def step(self, params, grads):
        self.p1 *= self.beta_1
        self.p2 *= self.beta_2
        c2 = math.sqrt(1 - self.p2)
        alpha_t = self.alpha * c2 / (1 - self.p1)
        for k in grads:
            m, v = self.slots.setdefault(k, (np.zeros(np.shape(params[k])), np.zeros(np.shape(params[k]))))
            m += (1 - self.beta_1) * (grads[k] - m)
            v += (1 - self.beta_2) * (grads[k] * grads[k] - v)
            params[k] -= alpha_t * m / (np.sqrt(v) + self.epsilon * c2)


ITEMS.append(Item("paper_adam_efficient_order", "from the paper, running powers", "optimizer",
                  lambda: {"optimizer": KingmaAdam(), "reference": AdamReference()}, True))


class FlatMomentum:
    """Scientific computing: everything in one long vector."""

    def __init__(self, lr=0.03, mu=0.8):
        self.lr, self.mu, self.v = lr, mu, 0.0

    def step(self, params, grads):
        names = sorted(params)
        g = np.concatenate([np.ravel(grads[n]) for n in names])
        self.v = self.mu * self.v - self.lr * g
        at = 0
        for n in names:
            p = params[n]
            p += self.v[at:at + p.size].reshape(p.shape)
            at += p.size


ITEMS.append(Item("scientific_flat_vector", "scientific computing, one flat vector", "optimizer",
                  lambda: {"optimizer": FlatMomentum(), "reference": MomentumReference(0.03, 0.8)}, True))


class TorchSGD:
    """Port of torch.optim.SGD(nesterov=True): buffers in units of gradients."""

    def __init__(self, lr=0.05, momentum=0.85):
        self.lr, self.momentum, self.bufs = lr, momentum, {}

    def step(self, params, grads):
        for k, p in params.items():
            d = grads[k]
            if k not in self.bufs:
                self.bufs[k] = np.array(d, dtype=np.float64, copy=True)
            else:
                b = self.bufs[k]
                b *= self.momentum
                b += d
            p -= self.lr * (d + self.momentum * self.bufs[k])


ITEMS.append(Item("torch_port_sgd_nesterov", "port of torch.optim", "optimizer",
                  lambda: {"optimizer": TorchSGD(), "reference": MomentumReference(0.05, 0.85, nesterov=True)}, True))


def _cosine(t, T=50):
    return 0.5 * (1 + math.cos(math.pi * min(t, T) / T))


class CosineAMSGrad:
    """A generator for each parameter keeps the state."""

    def __init__(self, lr=0.02):
        self.lr, self.rules = lr, {}

    def _rule(self, shape):
        m, v, top, t = np.zeros(shape), np.zeros(shape), np.zeros(shape), 0
        g = yield
        while True:
            t += 1
            m = 0.9 * m + 0.1 * g
            v = 0.99 * v + 0.01 * np.square(g)
            top = np.fmax(top, v)
            rate = self.lr * math.cos(0.5 * math.pi * min(t, 50) / 50) ** 2
            g = yield -rate * (m / (1 - 0.9 ** t)) / (np.sqrt(top / (1 - 0.99 ** t)) + 1e-8)

    def step(self, params, grads):
        for k in params:
            if k not in self.rules:
                self.rules[k] = self._rule(params[k].shape)
                next(self.rules[k])
            params[k] += self.rules[k].send(grads[k])


ITEMS.append(Item("generators_cosine_amsgrad", "generators as state, half-angle schedule", "optimizer",
                  lambda: {"optimizer": CosineAMSGrad(), "reference": AdamReference(0.02, 0.9, 0.99, amsgrad=True, schedule=_cosine)}, True))
