"""check_evidence: which part of a bound is at fault, by what the parts are seen to do.

Sizes: B rows, D data, Z latents.
"""

import contextlib
import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import pytest

import scratchvae.vae as vae_module
from scratchvae import VAE, Bernoulli, Gaussian, ImportanceWeighted
from scratchvae.checks import check_evidence
from scratchvae.checks.pixels import drawn_pixels
from scratchvae.exact import grid_log_evidence
from scratchvae.likelihoods import LIKELIHOODS

D, H = 6, 7


class Terms(NamedTuple):
    nll: np.ndarray
    kl: np.ndarray
    elbo: np.ndarray


class BoundAlone(NamedTuple):
    objective: np.ndarray


class Student:
    """A VAE of a course: its parts are methods, each of which may be wrong. told: how much its objective tells."""

    likelihood = None  # not even that

    def __init__(self, seed=0, n_z=2, told="terms", gaussian=False):
        rng = np.random.default_rng(seed)
        self.W, self.b = rng.standard_normal((D, H)), rng.standard_normal(H)
        self.M, self.V = 0.5 * rng.standard_normal((2, H, n_z))
        self.m, self.v = rng.standard_normal((2, n_z))
        self.A, self.a = rng.standard_normal((n_z, H)), rng.standard_normal(H)
        self.C, self.c = rng.standard_normal((H, D)), rng.standard_normal(D)
        self.told, self.gaussian = told, gaussian

    def encode(self, x):
        h = np.tanh(x @ self.W + self.b)
        return h @ self.M + self.m, h @ self.V + self.v - 0.5

    def decode(self, z):
        return np.tanh(z @ self.A + self.a) @ self.C + self.c, None

    def draw(self, mu, logvar, eps):
        return mu + np.exp(0.5 * logvar) * eps

    def kl(self, mu, logvar, z):
        return 0.5 * (mu**2 + np.exp(logvar) - 1 - logvar).sum(axis=1)

    def nll(self, x, logits):
        if self.gaussian:
            return 0.5 * ((x - logits) ** 2 + math.log(2 * math.pi)).sum(axis=1)
        return (np.logaddexp(0, logits) - x * logits).sum(axis=1)

    def total(self, nll, kl):
        return -nll - kl

    def objective(self, x, eps):
        mu, logvar = self.encode(x)
        z = self.draw(mu, logvar, eps)
        logits = np.tanh(z @ self.A + self.a) @ self.C + self.c if "deaf" in self.told else self.decode(z)[0]
        nll, kl = self.nll(x, logits), self.kl(mu, logvar, z)
        elbo = self.total(nll, kl)
        return (Terms(nll, kl, elbo) if "terms" in self.told else BoundAlone(elbo)), None


TOLD = ("terms", "deaf terms", "bound", "deaf bound")


def with_parts(told="terms", seed=0, n_z=2, gaussian=False, **parts):
    """A student's model with some of its methods replaced."""
    return type("Student", (Student,), parts)(seed, n_z, told, gaussian)


def sampled_kl(mu, logvar, z):
    """log q(z) - log p(z)."""
    return 0.5 * (z**2 - (z - mu) ** 2 * np.exp(-logvar) - logvar).sum(axis=1)


def encode_as(change):
    """encode that returns change(logvar) for logvar."""

    def encode(self, x):
        mu, logvar = Student.encode(self, x)
        return mu, change(logvar)

    return encode


def read_as(change):
    """draw and kl of a model whose encode returns something whose logvar is change(it)."""
    return {
        "draw": lambda self, m, v, e: m + np.exp(0.5 * change(v)) * e,
        "kl": lambda self, m, v, z: Student.kl(self, m, change(v), z),
    }


def swapped_encode(self, x):
    return Student.encode(self, x)[::-1]


def s(v):
    return np.exp(0.5 * v)


def draws(f):
    return {"draw": lambda self, m, v, e: f(m, v, e)}


def kls(f):
    return {"kl": lambda self, m, v, z: f(m, v, z)}


def nlls(f):
    return {"nll": lambda self, x, a: f(Student.nll(self, x, a), x, a)}


def totals(f):
    return {"total": lambda self, n, k: f(n, k)}


RIGHT = {
    "in closed form": {},
    "a sampled kl": kls(sampled_kl),
    "the other sign of eps": draws(lambda m, v, e: m - s(v) * e),
    "another eps": draws(lambda m, v, e: m + s(v) * e[:, ::-1]),
    "written differently": {
        **draws(lambda m, v, e: m + np.sqrt(np.exp(v)) * e),
        **kls(lambda m, v, z: -0.5 * np.sum(1 + v - m**2 - np.exp(v), axis=1)),
    },
}
log_normal = lambda z, m=0.0, v=0.0: -0.5 * ((z - m) ** 2 * np.exp(-v) + v + math.log(2 * math.pi)).sum(axis=1)  # noqa: E731

SLIPS = [  # parts, inputs[0], cause, words
    (draws(lambda m, v, e: m + np.exp(v) * e), "sampler", "elementwise-factor", "sigma^2"),
    (draws(lambda m, v, e: m + 0.01 * s(v) * e), "sampler", "factor", "0.01 times sigma"),
    (draws(lambda m, v, e: m + 0.5 * s(v) * e), "sampler", "factor", "half of sigma"),
    (draws(lambda m, v, e: m + 0 * e), "sampler", "zero", "does not depend on eps"),
    (draws(lambda m, v, e: m + e), "sampler", "elementwise-factor", "1, whatever logvar is"),
    (draws(lambda m, v, e: m + np.logaddexp(v, 0) * e), "sampler", "elementwise-factor", "softplus(logvar)"),
    (draws(lambda m, v, e: m + 0.3 + s(v) * e), "sampler", "missing-term", "mu + 0.3"),
    (draws(lambda m, v, e: 2 * m + s(v) * e), "sampler", "factor", "twice mu"),
    (draws(lambda m, v, e: -m + s(v) * e), "sampler", "sign", "-mu"),
    (draws(lambda m, v, e: s(v) * e), "sampler", "missing-term", "mu is missing"),
    (kls(lambda m, v, z: (m**2 + np.exp(v) - 1 - v).sum(axis=1)), "kl", "factor", "twice what it should be"),
    (
        kls(lambda m, v, z: 0.5 * (m**2 + np.exp(v) - 1 - v).mean(axis=1)),
        "kl",
        "factor",
        "half of what it should be (Z is 2): perhaps a mean",
    ),
    (kls(lambda m, v, z: -0.5 * (m**2 + np.exp(v) - 1 - v).sum(axis=1)), "kl", "sign", "wrong sign"),
    (
        kls(lambda m, v, z: 0.5 * (m**2 + np.exp(v) - v).sum(axis=1)),
        "kl",
        "missing-term",
        "too large by the same 1 nat",
    ),
    (
        kls(lambda m, v, z: 0.5 * (m**2 + np.exp(2 * v) - 1 - 2 * v).sum(axis=1)),
        "kl",
        "factor",
        "the logarithm of sigma",
    ),
    (
        kls(lambda m, v, z: 0.5 * (m**2 + v**2 - 1 - np.log(v**2)).sum(axis=1)),
        "kl",
        "elementwise-factor",
        "sigma itself",
    ),
    (kls(lambda m, v, z: 0.5 * (np.exp(v) - 1 - v).sum(axis=1)), "kl", "missing-term", "no term in mu^2"),
    (
        kls(lambda m, v, z: 0.5 * (np.abs(m) + np.exp(v) - 1 - v).sum(axis=1)),
        "kl",
        "elementwise-factor",
        "but one in |mu|",
    ),
    (kls(lambda m, v, z: 0.5 * (m**2 + s(v) - 1 - v).sum(axis=1)), "kl", "elementwise-factor", "but one in sigma"),
    (kls(lambda m, v, z: 0.5 * (m**2 + np.exp(v) - 1 + v).sum(axis=1)), "kl", "sign", "the part of the kl with logvar"),
    (kls(lambda m, v, z: 0.5 * (m**2 + np.exp(v) - 1).sum(axis=1)), "kl", "missing-term", "no term in logvar"),
    (kls(lambda m, v, z: 0.5 * (m**2 + np.exp(v) - 1 - v)[:, 0]), "kl", "batch-sum", "leaves out latent 1"),
    (kls(lambda m, v, z: -log_normal(z)), "kl", "missing-term", "no log q(z)"),
    (kls(lambda m, v, z: log_normal(z, m, v)), "kl", "missing-term", "no log p(z)"),
    (kls(lambda m, v, z: log_normal(z, m, v) + log_normal(z)), "kl", "sign", "log p(z) has the wrong sign"),
    (kls(lambda m, v, z: -sampled_kl(m, v, z)), "kl", "sign", "the kl has the wrong sign"),
    (kls(lambda m, v, z: sampled_kl(m, v, z) / 2), "kl", "factor", "the kl is half of what it should be (Z is 2)"),
    (kls(lambda m, v, z: 2 * log_normal(z, m, v) - log_normal(z)), "kl", "factor", "in the kl log q(z) is twice"),
    (kls(lambda m, v, z: sampled_kl(m, v, z) + 0.5 * (z**2).sum(axis=1)), "kl", "factor", "the kl with z^2 is twice"),
    (
        kls(lambda m, v, z: (0.5 * m**2 + np.exp(v) - 1 - v).sum(axis=1)),
        "kl",
        "factor",
        "the parts of the kl with sigma^2, logvar and the constant are twice what they should be",
    ),
    (
        kls(lambda m, v, z: 0.5 * (2 * m**2 + 3 * np.exp(v) - 1 - v).sum(axis=1)),
        "kl",
        "factor",
        "the part of the kl with mu^2 twice, the part of the kl with sigma^2 3 times what it should be",
    ),
    (nlls(lambda n, x, a: n / D), "nll", "factor", "1/6 of what it should be (D is 6): perhaps a mean"),
    (nlls(lambda n, x, a: 2 * n), "nll", "factor", "twice"),
    (nlls(lambda n, x, a: -n), "nll", "sign", "wrong sign"),
    (nlls(lambda n, x, a: n - 2.5), "nll", "missing-term", "too small by the same 2.5 nats"),
    (
        nlls(lambda n, x, a: (np.logaddexp(0, a) - (1 - x) * a).sum(axis=1)),
        "nll",
        "elementwise-factor",
        "that of 1 - x",
    ),
    (nlls(lambda n, x, a: ((x - 1 / (1 + np.exp(-a))) ** 2).sum(axis=1)), "nll", "missing-term", "squared distance"),
    (
        kls(lambda m, v, z: 0.5 * (v + (1 + m**2) * np.exp(-v) - 1).sum(axis=1)),
        "kl",
        "elementwise-factor",
        "the other way round",
    ),
    (
        kls(lambda m, v, z: np.maximum(0.5 * (m**2 + np.exp(v) - 1 - v), 0.4).sum(axis=1)),
        "kl",
        "elementwise-factor",
        "the kl of each latent is raised to 0.4",
    ),
    (nlls(lambda n, x, a: 0.5 * n + 2), "nll", "factor", "but for a constant the nll is half of"),
    (nlls(lambda n, x, a: n + x.sum(axis=1)), "nll", "missing-term", "does not depend on the logits"),
    (nlls(lambda n, x, a: n - np.logaddexp(0, a).sum(axis=1)), "nll", "missing-term", "the sum of log(1 + exp(logit))"),
    (nlls(lambda n, x, a: n + 0.2 * a.sum(axis=1)), "nll", "missing-term", "a term too many, 0.2 times the sum of"),
    (
        {"nll": lambda self, x, a: Student.nll(self, x, 1 / (1 + np.exp(-a)))},
        "nll",
        "elementwise-factor",
        "that of sigmoid(logits)",
    ),
    (totals(lambda n, k: -n + k), "elbo", "sign", "the kl has the wrong sign"),
    (totals(lambda n, k: -n), "elbo", "missing-term", "the kl is missing"),
    (totals(lambda n, k: -k), "elbo", "missing-term", "the nll is missing"),
    (totals(lambda n, k: n + k), "elbo", "sign", "the loss"),
    (totals(lambda n, k: -n - 4 * k), "elbo", "factor", "the kl is 4 times"),
    (totals(lambda n, k: -n - k / D), "elbo", "factor", "the kl is 1/6 of"),
    (totals(lambda n, k: 0.5 * (-n - k)), "elbo", "factor", "half of"),
    (totals(lambda n, k: -n - k + 1.5), "elbo", "missing-term", "by the same 1.5 nats"),
    (
        {"encode": encode_as(lambda v: 0.5 * v), **read_as(lambda r: 2 * r)},
        "encode",
        "factor",
        "the logarithm of sigma",
    ),
    ({"encode": encode_as(s), **read_as(lambda r: 2 * np.log(r))}, "encode", "elementwise-factor", "sigma itself"),
    ({"encode": encode_as(np.exp), **read_as(np.log)}, "encode", "elementwise-factor", "the variance itself"),
    ({"encode": encode_as(lambda v: -v), **read_as(lambda r: -r)}, "encode", "sign", "the precision"),
    (
        {"encode": encode_as(lambda v: v), **read_as(lambda r: 2 * np.log(np.logaddexp(r, 0)))},
        "encode",
        "elementwise-factor",
        "sigma before a softplus",
    ),
    (
        {
            "encode": swapped_encode,
            "draw": lambda self, m, v, e: v + s(m) * e,
            "kl": lambda self, m, v, z: Student.kl(self, v, m, z),
        },
        "encode",
        "transpose",
        "mu, after",
    ),
]
ROWS = [  # rows that are not apart, whatever is told
    (nlls(lambda n, x, a: n / len(x)), "nll", "factor", "divided by the number of rows"),
    (kls(lambda m, v, z: np.full(len(m), 0.5 * (m**2 + np.exp(v) - 1 - v).sum())), "kl", "batch-sum", "sum over all"),
    (nlls(lambda n, x, a: np.full(len(x), n.mean())), "nll", "batch-sum", "the mean over all rows"),
    (totals(lambda n, k: -n - k.mean()), "elbo", "batch-sum", "the kl is the mean over all rows"),
    (totals(lambda n, k: -n - k - 0.1 * n.sum()), "elbo", "shape", "changes with the other rows"),
    (totals(lambda n, k: (-n - k) / len(n)), "elbo", "factor", "divided by the number of rows"),
    (totals(lambda n, k: -n.mean() - k.mean()), "elbo", "shape", "has the shape ()"),
    (totals(lambda n, k: -n - k[:, None]), "elbo", "shape", "did (B,) meet (B, 1)?"),
]


def images(seed=0, B=5):
    return np.random.default_rng([seed, 1]).random((B, D))


def only(report):
    assert len(report.findings) == 1, str(report)
    return report.findings[0]


def rotation(eps):
    B = len(eps)
    return np.linalg.qr(np.random.default_rng(B).standard_normal((B, B)))[0] @ eps


@pytest.mark.parametrize("mix", [lambda e: e[::-1], lambda e: np.roll(e, 1), lambda e: e.T.reshape(e.shape), rotation])
def test_rows_that_take_each_others_noise(mix):
    """The law of z is right, and so is the bound of each row; a slip beside it is seen all the same."""

    class Mixed(Student):
        def draw(self, mu, logvar, eps):
            return super().draw(mu, logvar, mix(eps))

    class WithASlip(Mixed):
        def kl(self, mu, logvar, z):
            return 2 * super().kl(mu, logvar, z)

    assert check_evidence(Mixed(n_z=1), images()).ok
    assert only(check_evidence(WithASlip(n_z=1), images())).message == "the kl is twice what it should be"


@pytest.mark.parametrize("mix", [lambda e: e * 0 + e.mean(0), lambda e: np.sort(e, 0), lambda e: np.cumsum(e, 0)])
def test_rows_that_share_their_noise(mix):
    see(type("Mixed", (Student,), draws(lambda m, v, e: m + s(v) * mix(e)))(), "nll", "shape", "with the other rows")


# -- bounds of K draws -------------------------------------------------------------------------------------------------


def lme(w):
    return np.logaddexp.reduce(w, axis=0) - math.log(len(w))


class ManyDraws(Student):
    """An importance-weighted bound of the same course: weight and average may be wrong."""

    K = 4

    def draw_eps(self, B, rng):
        return rng.standard_normal((self.K, B, self.M.shape[1]))

    def log_q(self, z, mu, logvar):
        return log_normal(z, mu, logvar)

    def weight(self, nll, log_p, log_q, kl):
        return log_p - nll - log_q

    def average(self, log_w):
        return lme(log_w)

    def nll_of(self, x, z):
        logits = np.tanh(z @ self.A + self.a) @ self.C + self.c if "deaf" in self.told else self.decode(z)[0]
        return self.nll(x, logits)

    def objective(self, x, eps):
        mu, logvar = self.encode(x)
        log_w = []
        for e in eps:
            z = self.draw(mu, logvar, e)
            kl = self.kl(mu, logvar, z)
            log_w.append(self.weight(self.nll_of(x, z), log_normal(z), self.log_q(z, mu, logvar), kl))
        return BoundAlone(self.average(np.array(log_w))), None


class PriorAtTheNoise(ManyDraws):
    def objective(self, x, eps):
        mu, logvar = self.encode(x)
        log_w = []
        for e in eps:
            z = self.draw(mu, logvar, e)
            log_w.append(log_normal(e) - self.nll_of(x, z) - self.log_q(z, mu, logvar))  # the slip: log_normal(z)
        return BoundAlone(self.average(np.array(log_w))), None


class AllAtOnce(ManyDraws):
    """The same with one pass for all draws, the draws of an example side by side."""

    def objective(self, x, eps):
        K, B, Z = eps.shape
        mu, logvar = (np.repeat(a, K, axis=0) for a in self.encode(x))  # (B K, Z)
        z = self.draw(mu, logvar, eps.swapaxes(0, 1).reshape(B * K, Z))
        nll = self.nll_of(np.repeat(x, K, axis=0), z)
        log_w = self.weight(nll, log_normal(z), self.log_q(z, mu, logvar), self.kl(mu, logvar, z))
        return BoundAlone(self.average(log_w.reshape(B, K).T)), None


def many(kind=ManyDraws, told="bound", seed=0, n_z=2, K=4, **parts):
    model = type("Student", (kind,), parts)(seed, n_z, told)
    model.K = K
    return model


def weights(f):
    return {"weight": lambda self, n, p, q, kl: f(n, p, q, kl)}


def averages(f):
    return {"average": lambda self, w: f(w)}


def density_of_q(f):
    """log q(z|x) out of u = (z - mu) / sigma, (B, Z), and the sum of log sigma, (B,)."""
    return {"log_q": lambda self, z, m, v: f((z - m) / s(v), 0.5 * v.sum(axis=-1))}


RIGHT_MANY = {
    "log q by hand": density_of_q(lambda u, logs: log_normal(u) - logs),
    "plain": {},
    "logsumexp by hand": averages(lambda w: w.max(0) + np.log(np.exp(w - w.max(0)).mean(0))),
    "the other sign of eps": draws(lambda m, v, e: m - s(v) * e),
    "another order of the draws": averages(lambda w: lme(w[::-1])),
}
SLIPS_MANY = [  # parts, inputs[0], cause, words
    (averages(lambda w: w.mean(0)), "bound", "elementwise-factor", "the logarithms of the weights are averaged"),
    (averages(lambda w: np.logaddexp.reduce(w, axis=0)), "bound", "missing-term", "log K is missing"),
    (averages(lambda w: lme(w) - math.log(len(w))), "bound", "missing-term", "taken away twice"),
    (averages(lambda w: lme(w) + 2 * math.log(len(w))), "bound", "sign", "added, not taken away"),
    (averages(lambda w: w.sum(0)), "bound", "factor", "summed over the draws"),
    (averages(lambda w: w.max(0)), "bound", "missing-term", "the largest weight alone"),
    (averages(lambda w: w[0]), None, None, "the first draw alone"),
    (averages(lambda w: -lme(w)), "bound", "sign", "it is the loss"),
    (averages(lambda w: -lme(-w)), "bound", "sign", "upside down"),
    (averages(lambda w: 0.5 * lme(w)), "bound", "factor", "half of what it should be"),
    (averages(lambda w: lme(w) + 0.7), "bound", "missing-term", "by the same 0.7 nats"),
    (
        averages(lambda w: (np.exp(w - lme(w)) * w).mean(0)),
        "bound",
        "elementwise-factor",
        "averaged by their weights",
    ),
    (averages(lambda w: lme(w - w.max(0))), "bound", "missing-term", "the largest log w is subtracted"),
    (averages(lambda w: lme(w - w[0])), "bound", "missing-term", "log w of the first draw is subtracted"),
    (averages(lambda w: lme(w - np.logaddexp.reduce(w, axis=0))), "bound", "zero", "for every x and all draws"),
    (averages(lambda w: 2 * lme(w) - lme(2 * w)), "bound", "unknown", "draws that are the same is 0 for every x"),
    (averages(lambda w: lme(2 * w)), "bound", "factor", "to the power 2"),
    (averages(lambda w: lme(w) - len(w) + math.log(len(w))), "bound", "missing-term", "K is taken away, where log K"),
    (weights(lambda n, p, q, kl: 0.5 * (p - q) - n), "weights", "factor", "log p(z) and log q(z|x) are half of"),
    (weights(lambda n, p, q, kl: -n), "weights", "missing-term", "no log p(z) and no log q(z|x)"),
    (weights(lambda n, p, q, kl: -n - q), "weights", "missing-term", "no log p(z)"),
    (weights(lambda n, p, q, kl: p - n), "weights", "missing-term", "no log q(z|x)"),
    (weights(lambda n, p, q, kl: p - q), "weights", "missing-term", "no nll"),
    (weights(lambda n, p, q, kl: p - n + q), "weights", "sign", "log q(z|x) has the wrong sign"),
    (weights(lambda n, p, q, kl: -p - n - q), "weights", "sign", "log p(z) has the wrong sign"),
    (weights(lambda n, p, q, kl: q - n - p), "weights", "sign", "changed places"),
    (weights(lambda n, p, q, kl: p + n - q), "weights", "sign", "nll has the wrong sign"),
    (weights(lambda n, p, q, kl: p - n / D - q), "weights", "factor", "nll is 1/6 of what it should be (D is 6)"),
    (weights(lambda n, p, q, kl: p - n - 2 * q), "weights", "factor", "log q(z|x) is twice"),
    (weights(lambda n, p, q, kl: -n - kl), "weights", "missing-term", "closed form stands in the place"),
    (density_of_q(lambda u, logs: log_normal(u)), "weights", "missing-term", "no - sum log sigma: it is that of eps"),
    (density_of_q(lambda u, logs: -0.5 * (u * u).sum(-1)), "weights", "missing-term", "log sigma and no log(2 pi)"),
    (
        density_of_q(lambda u, logs: log_normal(u) - 2 * logs),
        "weights",
        "factor",
        "- sum log sigma of log q(z|x) is twice",
    ),
    (density_of_q(lambda u, logs: log_normal(u) - logs / 2), "weights", "factor", "log q(z|x) is half of"),
    (
        density_of_q(lambda u, logs: log_normal(u) + logs),
        "weights",
        "sign",
        "- sum log sigma of log q(z|x) has the wrong",
    ),
    (density_of_q(lambda u, logs: log_normal(0 * u) - logs), "weights", "missing-term", "no - 1/2 sum (z - mu)^2"),
    (
        density_of_q(lambda u, logs: log_normal(2**0.5 * u) - logs),
        "weights",
        "factor",
        "(z - mu)^2 / sigma^2 of log q(z|x) is",
    ),
    (draws(lambda m, v, e: m + np.exp(v) * e), "sampler", "elementwise-factor", "sigma^2"),
    (draws(lambda m, v, e: m + 0.01 * s(v) * e), "sampler", "factor", "0.01 times sigma"),
    ({"log_q": lambda self, z, m, v: log_normal(z, m, 2 * v)}, "weights", "factor", "the logarithm of sigma"),
    (
        {
            "encode": encode_as(lambda v: 0.5 * v),
            "draw": lambda self, m, v, e: m + np.exp(v) * e,
            "log_q": lambda self, z, m, v: log_normal(z, m, 2 * v),
        },
        "encode",
        "factor",
        "the logarithm of sigma",
    ),
]


# -- no false alarm ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gaussian", [False, True])
@pytest.mark.parametrize("told", TOLD)
@pytest.mark.parametrize("name", RIGHT)
def test_a_right_model_passes_however_much_it_tells(name, told, gaussian):
    for n_z, seed in ((1, 3), (2, 4)):
        model = with_parts(told, seed, n_z, gaussian, **RIGHT[name])
        report = check_evidence(model, images(seed), likelihood=Gaussian() if gaussian else None)
        assert report.ok, str(report)


@pytest.mark.parametrize("kind", [ManyDraws, AllAtOnce])
@pytest.mark.parametrize("name", RIGHT_MANY)
def test_a_right_bound_of_many_draws_passes(name, kind):
    for n_z, K, told in ((1, 1, "bound"), (1, 2, "deaf bound"), (2, 4, "bound")):
        report = check_evidence(many(kind, told, n_z=n_z, K=K, **RIGHT_MANY[name]), images())
        assert report.state == "ok", str(report)


def build(kind=VAE, likelihood=None, n_z=2, dtype="float64"):
    rng = np.random.default_rng(3)
    model = kind(D, (H,), n_z, "tanh", likelihood, rng=rng, dtype=dtype)
    for p in model.params.values():
        p += (0.3 * rng.standard_normal(p.shape)).astype(dtype)
    return model


@pytest.mark.parametrize("likelihood", LIKELIHOODS.values(), ids=LIKELIHOODS)
@pytest.mark.parametrize("n_z", [1, 2])
def test_the_identity_holds_for_right_models(n_z, likelihood):
    model = build(n_z=n_z, likelihood=likelihood())
    x = drawn_pixels(model.likelihood, 5, D, np.random.default_rng(4))
    report = check_evidence(model, x)
    assert report.ok, str(report)
    assert max(row.error for row in report.rows) < 1e-6
    assert check_evidence(ImportanceWeighted(model, K=3), x).ok


def test_models_in_float32_pass():
    assert check_evidence(build(dtype="float32"), images()).ok


def test_the_model_is_left_as_it_was():
    """Listening to a decoder leaves no trace, also where it fails."""

    class Fails(Student):
        def objective(self, x, eps):
            self.decode(eps)
            raise RuntimeError("not today")

    for model in (build(), Student(), Fails()):
        before = dict(vars(model))
        with contextlib.suppress(RuntimeError):
            check_evidence(model, images())
        assert vars(model) == before


def test_log_px_of_the_check_is_that_of_the_oracle():
    model = build()
    log_px = grid_log_evidence(model, images())[0]
    rows = [row for row in check_evidence(model, images()).rows if row.name.startswith("x[")]
    np.testing.assert_allclose([float(row.note.split()[2].rstrip(",")) for row in rows], log_px, atol=1e-4)


def test_more_draws_are_told_to_lie_between_the_elbo_and_the_evidence():
    report = check_evidence(ImportanceWeighted(build(), K=4), images())
    rows = {row.name: row for row in report.rows}
    for b in range(5):
        words = rows[f"x[{b}]"].note.replace(",", "").split()
        elbo, bound, log_px = float(words[1]), float(words[5]), float(words[-1])
        assert elbo < bound < log_px
    assert rows["K = 1"].note == "is the ELBO"
    assert rows["K = 8"].note == "is at least K = 4"


# -- planted slips -----------------------------------------------------------------------------------------------------


def see(model, where, cause, words, seed=0):
    report = check_evidence(model, images(seed))
    finding = only(report)
    assert where is None or finding.inputs[0] == where, str(report)
    assert cause is None or finding.cause == cause, str(report)
    assert words in finding.message, str(report)
    assert len(finding.message.split()) <= 30
    assert not finding.repair or finding.repair not in finding.message


@pytest.mark.parametrize(("parts", "where", "cause", "words"), SLIPS + ROWS, ids=[a[3] for a in SLIPS + ROWS])
def test_the_part_at_fault_is_named_by_what_it_does(parts, where, cause, words):
    see(with_parts(**parts), where, cause, words)


@pytest.mark.parametrize(("parts", "where", "cause", "words"), SLIPS[::3], ids=[a[3] for a in SLIPS[::3]])
def test_a_decoder_that_cannot_be_listened_to_hides_nothing(parts, where, cause, words):
    see(with_parts("deaf terms", **parts), where, cause, words)


@pytest.mark.parametrize(("parts", "where", "cause", "words"), SLIPS[::3], ids=[a[3] for a in SLIPS[::3]])
def test_a_bound_alone_is_taken_apart_as_far_as_it_can_be(parts, where, cause, words):
    """What is a factor or a constant of kl or nll is one of the bound, and is said to be."""
    shared = where in ("kl", "nll") and (cause in ("sign", "factor") or "same" in words)
    words = {"leaves out latent 1": "the kl leaves out", "the kl is missing": "the kl is missing from"}.get(
        words, words
    )
    model = with_parts("bound", **parts)
    report = check_evidence(model, images())
    finding = only(report)
    assert finding.inputs[0] in ((where, "elbo") if shared else (where,)), str(report)
    assert finding.cause == cause, str(report)
    assert words in finding.message, str(report)


@pytest.mark.slow
@pytest.mark.parametrize("told", TOLD[:3])
@pytest.mark.parametrize(("parts", "where", "cause", "words"), SLIPS, ids=[a[3] for a in SLIPS])
def test_a_slip_is_one_finding_whatever_the_seed(parts, where, cause, words, told):
    for seed in range(1, 5):
        report = check_evidence(with_parts(told, seed, **parts), images(seed))
        assert only(report).cause == cause, str(report)
        assert words in only(report).message, str(report)


@pytest.mark.parametrize(("parts", "where", "cause", "words"), SLIPS_MANY, ids=[a[3] for a in SLIPS_MANY])
def test_a_bound_of_many_draws_is_taken_apart(parts, where, cause, words):
    see(many(**parts), where, cause, words)


@pytest.mark.slow
@pytest.mark.parametrize(("n_z", "K"), [(1, 2), (1, 5), (2, 3)])
@pytest.mark.parametrize(("parts", "where", "cause", "words"), SLIPS_MANY, ids=[a[3] for a in SLIPS_MANY])
def test_a_bound_of_many_draws_is_taken_apart_for_other_sizes(parts, where, cause, words, n_z, K):
    for kind, told, seed in ((ManyDraws, "deaf bound", 1), (AllAtOnce, "bound", 2), (AllAtOnce, "deaf bound", 3)):
        see(many(kind, told, seed, n_z, K, **parts), where, cause, words, seed)


def test_one_draw_whose_weight_is_taken_away_from_itself():
    see(many(K=1, **averages(lambda w: lme(w - w.max(0)))), "bound", "zero", "the bound is 0 for every x and all draws")


def test_a_draw_that_is_left_out():
    see(many(K=3, **averages(lambda w: lme(w[1:]))), "bound", "missing-term", "the first draw is left out")
    see(many(K=3, **averages(lambda w: lme(w[:-1]))), "bound", "missing-term", "the last draw is left out")


def test_draws_that_share_their_eps():
    class Shares(ManyDraws):
        def objective(self, x, eps):
            return super().objective(x, np.broadcast_to(eps[:1], eps.shape))

    see(Shares(told="bound"), "sampler", "shape", "share one eps")


def test_rows_that_are_mixed_up_with_draws():
    class Mixed(AllAtOnce):
        def average(self, log_w):
            K, B = log_w.shape
            return lme(log_w.T.reshape(K, B))

    see(many(Mixed), "objective", "shape", "changes with the other rows")


def test_two_slips_are_two_findings():
    parts = {**draws(lambda m, v, e: m + np.exp(v) * e), **totals(lambda n, k: -n + k)}
    findings = check_evidence(with_parts(**parts), images()).findings
    assert [f.inputs[0] for f in findings] == ["sampler", "elbo"]


def test_what_could_not_be_told_apart_is_said():
    def odd(self, x, a):
        return Student.nll(self, x, a) ** 1.1

    report = check_evidence(with_parts("deaf bound", nll=odd), images())
    finding = only(report)
    assert finding.cause == "unknown"
    for words in ("terms.nll is not there", "terms.kl is not there", "the decoder is not called as self.decode"):
        assert words in finding.message


def test_the_kl_is_not_blamed_for_an_nll_that_cannot_be_told_from_it():
    finding = only(check_evidence(with_parts("bound", **nlls(lambda n, x, a: np.sqrt(n))), images()))
    assert (finding.inputs, finding.cause) == (("elbo",), "unknown")
    assert "could not be told apart: terms.nll is not there, terms.kl is not there" in finding.message


def test_an_objective_beside_a_right_elbo():
    """beta may be any number; a sign may not."""

    class WithObjective(NamedTuple):
        nll: np.ndarray
        kl: np.ndarray
        elbo: np.ndarray
        objective: np.ndarray

    def trained(f):
        class Trained(Student):
            def objective(self, x, eps):
                t, _ = super().objective(x, eps)
                return WithObjective(*t, f(t.nll, t.kl)), None

        return Trained()

    assert check_evidence(trained(lambda n, k: -n - k), images()).ok
    assert check_evidence(trained(lambda n, k: -n - 4 * k), images()).ok
    see(trained(lambda n, k: -n + k), "objective", "sign", "in objective the kl has the wrong sign")
    see(trained(lambda n, k: n + k), "objective", "sign", "it is nll + kl, the loss")


def test_a_decoder_that_returns_probabilities():
    def probabilities(self, z):
        return 1 / (1 + np.exp(-Student.decode(self, z)[0]))

    def nll(self, x, p):
        return -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum(axis=1)

    def objective(self, x, eps):
        mu, logvar = self.encode(x)
        nll, kl = self.nll(x, self.decode(self.draw(mu, logvar, eps))), self.kl(mu, logvar, None)
        return Terms(nll, kl, -nll - kl)

    see(with_parts(decode=probabilities, nll=nll, objective=objective), "decode", None, "decode returns probabilities")


def test_terms_in_any_form():
    """A decoder without a cache; terms alone, as a dict, or the bound as an array."""

    class Plain(Student):
        form = staticmethod(lambda t: t)

        def decode(self, z):
            return super().decode(z)[0]

        def objective(self, x, eps):
            mu, logvar = self.encode(x)
            z = self.draw(mu, logvar, eps)
            nll, kl = self.nll(x, self.decode(z)), self.kl(mu, logvar, z)
            return self.form(Terms(nll, kl, -nll - kl))

    for form in (lambda t: t, lambda t: t._asdict(), lambda t: (t._asdict(), None), lambda t: t.elbo):
        assert check_evidence(type("Plain", (Plain,), {"form": staticmethod(form)})(), images()).ok
    loss = type("Plain", (Plain,), {"form": staticmethod(lambda t: -t.elbo)})
    see(loss(), "elbo", "sign", "it is nll + kl, the loss")


def test_a_small_constant_inside_a_logarithm():
    def nll(c):
        def of(self, x, a):
            p = 1 / (1 + np.exp(-a))
            return -(x * np.log(p + c) + (1 - x) * np.log(1 - p + c)).sum(axis=1)

        return of

    assert check_evidence(with_parts(nll=nll(1e-9)), images()).ok
    see(with_parts(nll=nll(1e-5)), "nll", "missing-term", "nearly right, off by up to")
    see(with_parts(nll=nll(1e-2)), "nll", "missing-term", "adds 0.01 to the probabilities")


def test_an_encoder_that_returns_something_else():
    see(with_parts(encode=lambda self, x: x @ self.W), "encode", "shape", "does not return two arrays")


def test_what_belongs_to_the_caller():
    class Centres(Student):
        def encode(self, x):
            x -= 0.5
            return super().encode(x)

    class ScalesNoise(Student):
        def objective(self, x, eps):
            eps *= 0.5
            return super().objective(x, eps)

    see(Centres(), "x", "mutates-input", "encode writes into x")
    see(ScalesNoise(), "eps", "mutates-input", "objective writes into eps")


def test_noise_of_its_own():
    generator = np.random.default_rng(0)

    class Own(Student):
        def objective(self, x, eps):
            return super().objective(x, generator.standard_normal(eps.shape))

    see(Own(), None, "noise-redrawn", "noise of its own")


def test_an_empty_cell_is_not_written_yet():
    class Blank(Student):
        def objective(self, x, eps):
            raise NotImplementedError

    report = check_evidence(Blank(), images())
    assert not report.findings
    assert [row.status for row in report.rows] == ["not written yet"]


def mixture(z):
    """log p(z) of two bumps a latent."""
    return (np.logaddexp(-0.5 * (z - 1.5) ** 2, -0.5 * (z + 1.5) ** 2) - math.log(2 * math.sqrt(2 * math.pi))).sum(1)


PRIORS = {  # log p(z) or a kl in closed form, words
    "learned, in closed form": (
        lambda m, v, z: 0.5 * (0.4 - v + (np.exp(v) + (m - 0.7) ** 2) * math.exp(-0.4) - 1).sum(axis=1),
        "variance 1.49",
    ),
    "learned, sampled": (lambda m, v, z: log_normal(z, m, v) - log_normal(z, 0.7, 0.4), "mean 0.7"),
    "in layers": (
        lambda m, v, z: log_normal(z, m, v) - log_normal(z[:, :1]) - log_normal(z[:, 1:], 0.8 * z[:, :1]),
        "correlated by 0.625",
    ),
    "a mixture": (lambda m, v, z: log_normal(z, m, v) - mixture(z), "not normal"),
    "a kink": (lambda m, v, z: log_normal(z, m, v) + (np.abs(z) + math.log(2)).sum(axis=1), "not normal"),
    "heavy tails": (
        lambda m, v, z: log_normal(z, m, v) + (1.5 * np.log1p(z**2 / 2) + 1.5 * math.log(2)).sum(axis=1),
        "not normal",
    ),
}
NO_PRIORS = {  # a slip in one of these has no prior that it belongs to
    "half of it": lambda kl: lambda m, v, z: 0.5 * kl(m, v, z),
    "a constant": lambda kl: lambda m, v, z: kl(m, v, z) + 0.3,
    "without logvar": lambda kl: lambda m, v, z: kl(m, v, z) + 0.5 * v.sum(axis=1),
    "another sign": lambda kl: lambda m, v, z: -kl(m, v, z),
}


@pytest.mark.parametrize("told", TOLD)
@pytest.mark.parametrize("name", PRIORS)
def test_another_prior_is_untested_and_not_wrong(name, told):
    kl, words = PRIORS[name]
    report = check_evidence(with_parts(told, **kls(kl)), images())
    assert not report.findings, str(report)
    assert {row.status for row in report.rows} == {"untested"}
    assert words in report.rows[-1].note
    assert report.rows[-1].name == "prior"


def test_another_prior_where_each_z_takes_the_eps_of_another_latent():
    for change in (lambda e: e[:, ::-1], lambda e: -e):
        parts = {**kls(PRIORS["a mixture"][0]), **draws(lambda m, v, e, change=change: m + s(v) * change(e))}
        assert not check_evidence(with_parts(**parts), images()).findings


@pytest.mark.parametrize("slip", NO_PRIORS)
@pytest.mark.parametrize("name", PRIORS)
def test_a_slip_in_the_kl_is_no_other_prior(name, slip):
    report = check_evidence(with_parts(**kls(NO_PRIORS[slip](PRIORS[name][0]))), images())
    assert only(report).inputs == ("kl",), str(report)
    assert "prior" not in {row.name for row in report.rows}


def test_a_slip_that_one_row_shows_is_no_other_prior_and_has_no_name():
    """Where all mu but one are above 0, mu |mu| is mu^2 in the other rows."""
    model, x = with_parts(**kls(lambda m, v, z: 0.5 * (m * np.abs(m) + np.exp(v) - 1 - v).sum(axis=1))), images()
    mu = model.encode(x)[0]
    model.m = model.m - mu.min(axis=0) + [0.5, -0.01]
    assert (model.encode(x)[0] < 0).sum() == 1
    finding = only(check_evidence(model, x))
    assert (finding.inputs, finding.cause) == (("kl",), "unknown")


def test_a_slip_beside_another_prior_is_the_one_finding():
    parts = {**kls(PRIORS["learned, in closed form"][0]), **totals(lambda n, k: -n - 3 * k)}
    see(with_parts(**parts), "elbo", "factor", "in elbo the kl is 3 times")


def test_another_prior_of_a_bound_of_many_draws():
    for told in ("bound", "deaf bound"):
        for log_p in (lambda z: log_normal(z, 0.7, 0.4), mixture):

            class Other(ManyDraws):
                def objective(self, x, eps, log_p=log_p):
                    (mu, logvar), log_w = self.encode(x), []
                    for e in eps:
                        z = self.draw(mu, logvar, e)
                        log_w.append(self.weight(self.nll_of(x, z), log_p(z), self.log_q(z, mu, logvar), 0))
                    return BoundAlone(self.average(np.array(log_w))), None

            report = check_evidence(many(Other, told), images())
            assert not report.findings, str(report)
            assert report.rows[-1].name == "prior"
            halved = type("Halved", (Other,), weights(lambda n, p, q, kl: 0.5 * p - n - q))
            assert check_evidence(many(halved, told), images()).findings


OF_K = [  # K, the bound, words
    (2, lambda w: lme(w) + math.log(2), "the bound is off by the same 0.693147 nats for every x: a constant"),
    (2, lambda w: lme(w) + math.log(len(w)), "log K is missing: the weights are summed"),
    (4, lambda w: lme(w) / 4, "the bound is a quarter of what it should be"),
    (4, lambda w: lme(w) / len(w), "the bound is a quarter of what it should be (K is 4): a mean where a sum belongs"),
    (3, lambda w: lme(w) * 3, "the bound is 3 times what it should be"),
    (3, lambda w: lme(w) * len(w), "the bound is 3 times what it should be (K is 3): a sum too many"),
]


@pytest.mark.parametrize(("K", "average", "words"), OF_K)
def test_a_number_that_is_k_by_chance_is_not_called_k(K, average, words):
    finding = only(check_evidence(many(K=K, **averages(average)), images()))
    assert finding.message == words


@pytest.mark.parametrize(("K", "average", "words"), OF_K[::2])
def test_where_k_cannot_be_tried_it_is_perhaps_k(K, average, words):
    def at_one_K(w):
        if len(w) != K:
            raise ValueError("K is fixed")
        return average(w)

    assert "perhaps " in only(check_evidence(many(K=K, **averages(at_one_K)), images())).message


@pytest.mark.parametrize("K", [1, 4])
def test_one_draw_of_a_decoder_with_kinks_is_the_elbo(K):
    """Over a kink quadrature is off by more than what is allowed of a smooth decoder."""
    vae = VAE(6, (5,), 2, rng=np.random.default_rng(4), dtype="float64")
    x = (np.random.default_rng(3).random((5, 6)) < 0.5).astype(float)
    report = check_evidence(ImportanceWeighted(vae, K), x)
    assert {row.name: row.status for row in report.rows}["K = 1"] == "ok", str(report)


class OfWholeNumbers:
    """A likelihood that refuses what is no number of its support; no mean."""

    name, support, n_params = "counts", (0.0, math.inf), 1
    log_factorial = staticmethod(np.vectorize(lambda x: math.lgamma(x + 1), otypes=[float]))

    def nll(self, x, logits):
        if (x != np.rint(x)).any() or (x < 0).any():
            raise ValueError("whole numbers, please")
        return (np.exp(logits) - x * logits + self.log_factorial(x)).sum(axis=1), None


def counting(nll, **parts):
    model = with_parts(nll=lambda self, x, a: nll(self, x, a), **parts)
    model.likelihood, model.C, model.c = OfWholeNumbers(), 0.3 * model.C, 0.3 * model.c
    return model


COUNTS = np.random.default_rng(5).poisson(1.5, (5, D)).astype(float)


def test_what_an_nll_of_counts_lacks_is_named():
    log_factorial = OfWholeNumbers.log_factorial
    without = counting(lambda self, x, a: self.likelihood.nll(x, a)[0] - log_factorial(x).sum(axis=1))
    assert "lacks log x!" in only(check_evidence(without, COUNTS)).message
    no_rate = counting(lambda self, x, a: self.likelihood.nll(x, a)[0] - np.exp(a).sum(axis=1))
    assert "lacks the sum of exp(logit)" in only(check_evidence(no_rate, COUNTS)).message


def test_an_nll_of_another_sigma():
    def own(sigma):
        return lambda self, x, a: Gaussian(sigma=sigma).nll(x, a)[0]

    assert check_evidence(with_parts(nll=own(0.5)), images(), likelihood=Gaussian(sigma=0.5)).ok
    finding = only(check_evidence(with_parts(nll=own(1.0)), images(), likelihood=Gaussian(sigma=0.5)))
    assert "that of sigma = 1, where the likelihood has 0.5" in finding.message


def test_squares_for_an_nll_are_one_slip_of_a_bound_alone():
    squares = {"nll": lambda self, x, a: ((x - a) ** 2).sum(axis=1)}
    finding = only(check_evidence(with_parts("bound", **squares), images(), likelihood=Gaussian()))
    assert "the nll is the squared distance" in finding.message


def test_a_likelihood_that_refuses_what_is_tried_ends_no_check():
    assert check_evidence(counting(lambda self, x, a: self.likelihood.nll(x, a)[0]), COUNTS).ok
    wrong = only(check_evidence(counting(lambda self, x, a: self.likelihood.nll(x, a)[0] ** 1.1), COUNTS))
    assert (wrong.inputs, wrong.cause) == (("nll",), "unknown")
    prior = counting(lambda self, x, a: self.likelihood.nll(x, a)[0], **kls(PRIORS["learned, in closed form"][0]))
    assert not check_evidence(prior, COUNTS).findings
    half = only(check_evidence(counting(lambda self, x, a: 0.5 * self.likelihood.nll(x, a)[0]), COUNTS))
    assert "half of" in half.message


# -- noise that is right in another way --------------------------------------------------------------------------------


def box_and_muller(eps):
    Phi = np.vectorize(NormalDist().cdf)
    u = Phi(eps)
    r, angle = np.sqrt(-2 * np.log(u[:, 0])), 2 * np.pi * u[:, 1]
    return np.stack([r * np.cos(angle), r * np.sin(angle)], axis=1)


def turned(eps):
    return eps @ np.array([[0.8, 0.6], [-0.6, 0.8]])


def by_the_radius(eps):
    """Large ones become small, small ones large; of eps = 0, which never occurs, NaN."""
    r2 = (eps * eps).sum(axis=1, keepdims=True)
    with np.errstate(all="ignore"):
        return eps / np.sqrt(r2) * np.sqrt(-2 * np.log(-np.expm1(-r2 / 2)))


class Kinked(Student):
    def decode(self, z):
        return np.maximum(z @ self.A + self.a, 0) @ self.C + self.c, None

    def objective(self, x, eps):
        mu, logvar = self.encode(x)
        z = self.draw(mu, logvar, eps)
        nll, kl = self.nll(x, self.decode(z)[0]), self.kl(mu, logvar, z)
        return Terms(nll, kl, -nll - kl), None


@pytest.mark.parametrize("noise", [turned, box_and_muller, by_the_radius])
@pytest.mark.parametrize("kind", [Student, Kinked])
def test_noise_of_the_right_law_is_not_accused_of_what_the_sums_are_off_by(kind, noise):
    report = check_evidence(type("Noisy", (kind,), draws(lambda m, v, e: m + s(v) * noise(e)))(), images())
    assert not report.findings, str(report)
    assert "wrong" not in {row.status for row in report.rows}


@pytest.mark.parametrize("noise", [turned, by_the_radius])
def test_a_slip_beside_rough_sums_is_seen(noise):
    half = {**draws(lambda m, v, e: m + s(v) * noise(e)), **kls(lambda m, v, z: Student.kl(None, m, v, z) / 2)}
    see(type("Noisy", (Kinked,), half)(), "kl", "factor", "half of what it should be")
    wide = draws(lambda m, v, e: m + 1.5 * s(v) * noise(e))
    assert check_evidence(type("Noisy", (Kinked,), wide)(), images()).findings


def halves(eps):
    h = len(eps) // 2
    return np.concatenate([eps[:h], -eps[:h]])


@pytest.mark.parametrize("mix", [halves, lambda e: e * 0 + e[:1]])
def test_rows_that_share_their_noise_are_right_row_by_row(mix):
    """The halves do not even go for one row."""
    report = check_evidence(with_parts(n_z=1, **draws(lambda m, v, e: m + s(v) * mix(e))), images(B=6))
    assert not report.findings, str(report)
    assert [row.status for row in report.rows] == ["untested", *["ok"] * 6]
    assert report.rows[0].name == "eps"


def test_noise_from_a_generator_with_a_seed_is_no_matter_of_the_rows():
    fixed = draws(lambda m, v, e: m + s(v) * np.random.default_rng(1).standard_normal(e.shape))
    see(with_parts(**fixed), "sampler", "noise-redrawn", "z does not depend on eps: always the same noise")


def test_a_bound_that_is_too_high_is_said_to_be_so_with_its_kl():
    report = check_evidence(with_parts(**kls(lambda m, v, z: Student.kl(None, m, v, z) / 2)), images())
    assert all(" above log p(x)" in row.note for row in report.rows)
    assert all(": ELBO + KL is " in row.note for row in report.rows)


# -- few rows ----------------------------------------------------------------------------------------------------------

OF_THE_KL = [
    (lambda m, v: m**2 + np.exp(v) - 1, "the kl has no term in logvar"),
    (lambda m, v: m**2 + np.exp(v) - 1 + v, "the part of the kl with logvar has the wrong sign"),
    (lambda m, v: np.exp(v) - 1 - v, "the kl has no term in mu^2"),
    (lambda m, v: m + np.exp(v) - 1 - v, "the kl has no term in mu^2, but one in mu"),
    (lambda m, v: m**2 + np.exp(2 * v) - 1 - v, "the kl has no term in sigma^2, but one in sigma^4"),
]


class Straight(Student):
    """An encoder without a bend: mu and logvar of two images and of all between them lie on a line."""

    def encode(self, x):
        return 0.4 * x @ self.W[:, : len(self.A)] + self.m, 0.3 * x @ self.W[:, -len(self.A) :] + self.v - 0.5


@pytest.mark.parametrize("n_z", [1, 2])
@pytest.mark.parametrize(("kl", "words"), OF_THE_KL, ids=[words for _, words in OF_THE_KL])
def test_two_images_are_enough_to_name_a_slip_in_the_kl(kl, words, n_z):
    x = np.array([[1, 1, 0, 0, 1, 0], [0, 1, 1, 0, 1, 1]])[[0, 1, 0, 0]] * 1.0
    model = type("Straight", (Straight,), kls(lambda m, v, z: 0.5 * kl(m, v).sum(axis=1)))(n_z=n_z)
    assert only(check_evidence(model, x)).message == words


def test_what_several_slips_explain_is_not_named():
    """One latent that is the same for all rows: any part may be wrong."""

    def encode(self, x):
        return np.full((len(x), 1), 0.7), np.full((len(x), 1), -0.4) + 1e-3 * x[:, :1]

    finding = only(check_evidence(with_parts(n_z=1, encode=encode, **kls(lambda m, v, z: m[:, 0] + 0.1)), images()))
    assert finding.cause in ("unknown", "missing-term"), finding
    assert "times" not in finding.message


# -- more slips --------------------------------------------------------------------------------------------------------

MORE = [
    (nlls(lambda n, x, a: (np.logaddexp(0, a) + x * a).sum(axis=1)), "nll", "sign", "x * logit has the wrong sign"),
    (nlls(lambda n, x, a: (np.logaddexp(0, a) - 2 * x * a).sum(axis=1)), "nll", "factor", "x * logit is twice"),
    (nlls(lambda n, x, a: (np.logaddexp(0, a) - x * a)[:, 1:].sum(axis=1)), "nll", "missing-term", "out pixel 0"),
    (
        kls(lambda m, v, z: 0.5 * (z**2 - (z - m) ** 2 - v).sum(axis=1)),
        "kl",
        "elementwise-factor",
        "log q(z|x) has (z - mu)^2, where",
    ),
    (
        {"objective": lambda self, x, eps: elsewhere(self, x, eps, x - 0.5)},
        "encode",
        "elementwise-factor",
        "of encode(x - 0.5), not of encode(x)",
    ),
    (
        {"objective": lambda self, x, eps: elsewhere(self, x, eps, x**2)},
        "encode",
        "unknown",
        "agree on a mu and a sigma that encode(x) does not return",
    ),
]


def elsewhere(model, x, eps, encoded):
    mu, logvar = model.encode(encoded)
    z = model.draw(mu, logvar, eps)
    nll, kl = model.nll(x, model.decode(z)[0]), model.kl(mu, logvar, z)
    return Terms(nll, kl, -nll - kl), None


@pytest.mark.parametrize(("parts", "where", "cause", "words"), MORE, ids=[a[3] for a in MORE])
def test_more_slips_are_named(parts, where, cause, words):
    see(with_parts(**parts), where, cause, words)


LOG_2PI = math.log(2 * math.pi)


def log_qs(f):
    return {"log_q": lambda self, z, m, v: -0.5 * (f(z, m, v) + LOG_2PI).sum(axis=1)}


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        (log_qs(lambda z, m, v: (z - m) ** 2 / s(v) + v), "has (z - mu)^2 / sigma, where"),
        (log_qs(lambda z, m, v: (z - m) ** 2 + v), "has (z - mu)^2, where"),
        (log_qs(lambda z, m, v: (z - m) ** 2 * np.exp(-v) + s(v)), "has sigma, where logvar belongs"),
        (log_qs(lambda z, m, v: ((z - m) ** 2 * np.exp(-v) + v)[:, :1]), "leaves out latent 1"),
    ],
)
def test_slips_in_the_log_q_of_the_weights(parts, words):
    assert words in only(check_evidence(many(**parts), images())).message


class Vectorised(Student):
    """A bound of K draws without a loop, whose weights meet before they are averaged."""

    K = 3
    meet = staticmethod(lambda nll, log_p, log_q: log_p - nll - log_q)
    first = False

    def draw_eps(self, B, rng):
        return rng.standard_normal((self.K, B, self.M.shape[1]))

    def objective(self, x, eps):
        mu, logvar = self.encode(x)
        z = mu + s(logvar) * (eps[:1] if self.first else eps)
        a = self.decode(z)[0]
        nll = (np.logaddexp(0, a) - x * a).sum(axis=2)
        log_p, log_q = (-0.5 * (b + LOG_2PI).sum(axis=2) for b in (z**2, eps**2 + logvar))
        return BoundAlone(lme(self.meet(nll, log_p, log_q) + 0 * log_q)), None


def test_weights_of_draws_that_have_a_part_in_common():
    shared = type("Shared", (Vectorised,), {"meet": staticmethod(lambda n, p, q: p - n - q.mean(axis=0))})
    see(shared(), "weights", "shape", "log q(z|x) is averaged over the draws")
    see(type("First", (Vectorised,), {"first": True})(), "sampler", "shape", "share one eps")


@pytest.mark.parametrize(
    ("draw_eps", "cause", "words"),
    [
        (lambda self, B, rng: np.repeat(rng.standard_normal((1, B, 2)), 3, 0), "shape", "the K draws of draw_eps are"),
        (lambda self, B, rng: rng.random((3, B, 2)), "elementwise-factor", "mean 0.50 and spread 0.29, uniform"),
        (
            lambda self, B, rng: 2 * rng.standard_normal((3, B, 2)),
            "elementwise-factor",
            "draws noise of mean 0.00 and spread",
        ),
        (lambda self, B, rng: rng.standard_normal((3, B, 1)), "shape", "the shape (3, 5, 1) for 5 rows and 2 latents"),
        (
            lambda self, B, rng: np.random.default_rng(0).standard_normal((3, B, 2)),
            "noise-redrawn",
            "the same noise in every call",
        ),
    ],
)
def test_the_noise_of_draw_eps(draw_eps, cause, words):
    see(type("Noisy", (Vectorised,), {"draw_eps": draw_eps})(), "draw_eps", cause, words)


def test_pairs_of_draws_may_be_meant():
    def pairs(self, B, rng):
        half = rng.standard_normal((2, B, 2))
        return np.concatenate([half, -half])

    report = check_evidence(type("Pairs", (Vectorised,), {"draw_eps": pairs, "K": 4})(), images())
    assert not report.findings
    assert report.rows[0].name == "draw_eps"
    assert report.rows[0].status == "untested"


def test_the_number_of_rows_in_the_place_of_the_number_of_draws():
    class Rows(Vectorised):
        def objective(self, x, eps):
            terms, _ = super().objective(x, eps)
            return BoundAlone(terms.objective + math.log(len(eps)) - math.log(len(x))), None

    see(Rows(), "objective", "missing-term", "the logarithm of the number of rows is taken from")


# -- the package's own models ------------------------------------------------------------------------------------------


class NoConstant(Gaussian):
    def nll(self, x, logits):
        nll, cache = super().nll(x, logits)
        return nll - 0.5 * x.shape[1] * math.log(2 * math.pi), cache


class MeanOverPixels(Bernoulli):
    def nll(self, x, logits):
        nll, cache = super().nll(x, logits)
        return nll / x.shape[1], cache


class SignOfTheKL(VAE):
    def objective(self, x, eps, beta=1.0):
        terms, cache = super().objective(x, eps, beta)
        return terms._replace(elbo=-terms.nll + terms.kl), cache


class UsesMuForZ(VAE):
    def objective(self, x, eps, beta=1.0):
        return super().objective(x, 0 * eps, beta)


@pytest.mark.parametrize(
    ("kind", "likelihood", "where", "cause", "words"),
    [
        (SignOfTheKL, None, "elbo", "sign", "in elbo the kl has the wrong sign"),
        (UsesMuForZ, None, "sampler", "zero", "it is mu"),
        (VAE, NoConstant(), "nll", "missing-term", "a normalising constant is missing"),
        (VAE, MeanOverPixels(), "nll", "factor", "1/5 of what it should be (D is 5)"),
    ],
)
def test_bounds_of_the_package_that_are_none(kind, likelihood, where, cause, words):
    see(build(kind, likelihood), where, cause, words)


def test_a_wrong_likelihood_is_found_once_beside_the_one_that_is_meant():
    for wrong in (NoConstant(), MeanOverPixels()):
        meant = Gaussian() if isinstance(wrong, NoConstant) else Bernoulli()
        assert only(check_evidence(build(likelihood=wrong), images(), likelihood=meant)).inputs == ("nll",)


@pytest.mark.parametrize(
    ("function", "slip", "where", "words"),
    [
        ("reparameterize", lambda m, v, e: m + np.exp(v) * e, "sampler", "sigma^2"),
        ("kl_to_standard_normal", lambda m, v: (m * m + np.exp(v) - 1 - v).sum(axis=1), "kl", "twice"),
    ],
)
def test_a_part_of_the_package_that_is_replaced(function, slip, where, words, monkeypatch):
    monkeypatch.setattr(vae_module, function, lambda *a: (slip(*a), None))
    see(build(), where, None, words)


def test_a_prior_that_sample_does_not_draw_from_is_wrong(monkeypatch):
    def kl(m, v):
        return 0.5 * ((m * m + np.exp(v)) / 4 - 1 - v + math.log(4)).sum(axis=1), None

    monkeypatch.setattr(vae_module, "kl_to_standard_normal", kl)
    assert only(check_evidence(build(), images())).inputs == ("kl",)
    own = type("Own", (VAE,), {"sample": lambda self, n, rng: 2 * rng.standard_normal((n, self.n_z))})
    assert not check_evidence(build(own), images()).findings


def test_pixels_outside_the_support_are_refused():
    x = np.full((4, D), 1.5)
    for check in (
        lambda: check_evidence(build(), x),
        lambda: check_evidence(build(likelihood=Gaussian()), x, likelihood=Bernoulli()),
    ):
        with pytest.raises(ValueError, match=r"^x should lie in \[0, 1\], the support of bernoulli"):
            check()


def test_evidence_needs_a_grid_that_fits():
    with pytest.raises(ValueError, match="with 1 or 2 latents, got 3"):
        check_evidence(build(n_z=3), images())


@pytest.mark.parametrize(("low", "high"), [(-1.5, 2.0), (0.2, 2.0), (0.1, 0.9)])
def test_a_likelihood_that_names_no_support_may_have_any(low, high):
    """A student's Gaussian says nothing of where pixels lie; it integrates to 1 over the line, not over [0, 1]."""

    class Plain:
        n_params = 1

        def __init__(self, constant):
            self.constant = constant

        def nll(self, x, logits):
            u = (x - logits) / 0.7
            return (0.5 * u * u + self.constant).sum(axis=1), u

    x = np.random.default_rng(0).uniform(low, high, (5, 3))
    vae = VAE(3, (4,), 1, "tanh", Gaussian(0.7), rng=np.random.default_rng(1), dtype="float64")
    vae.likelihood = Plain(math.log(0.7) + 0.5 * math.log(2 * math.pi))
    assert check_evidence(vae, x).ok
    vae.likelihood = Plain(math.log(0.7))
    assert [finding.inputs for finding in check_evidence(vae, x).findings] == [("nll",)]


def test_squares_that_cancel_in_the_weights_are_told_both_ways():
    """log p at eps, or log q with z^2: the weights are the same, and nobody can tell from outside."""
    (finding,) = check_evidence(many(PriorAtTheNoise), images()).findings
    assert "log q(z|x) has z^2" in finding.message
    assert "log p(z) has eps^2" in finding.message
    assert "log p(z) = " in finding.repair
