"""check_evidence: which part of a bound is at fault, by what the parts are seen to do.

Sizes: B rows, D data, Z latents.
"""

import math
from typing import NamedTuple

import numpy as np
import pytest

from scratchvae import Bernoulli, Gaussian
from scratchvae.checks import check_evidence

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
    model = type("Student", (Student,), parts)(seed, n_z, told, gaussian)
    return model


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
        "too large by the same 1 nats",
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
    (kls(lambda m, v, z: 0.5 * (np.exp(v) - 1 - v).sum(axis=1)), "kl", "missing-term", "no part with mu^2"),
    (kls(lambda m, v, z: 0.5 * (np.abs(m) + np.exp(v) - 1 - v).sum(axis=1)), "kl", "missing-term", "but one with |mu|"),
    (kls(lambda m, v, z: 0.5 * (m**2 + s(v) - 1 - v).sum(axis=1)), "kl", "missing-term", "but one with sigma"),
    (kls(lambda m, v, z: 0.5 * (m**2 + np.exp(v) - 1 + v).sum(axis=1)), "kl", "sign", "the part of the kl with logvar"),
    (kls(lambda m, v, z: 0.5 * (m**2 + np.exp(v) - 1).sum(axis=1)), "kl", "missing-term", "no part with logvar"),
    (kls(lambda m, v, z: 0.5 * (m**2 + np.exp(v) - 1 - v)[:, 0]), "kl", "batch-sum", "leaves out latent 1"),
    (kls(lambda m, v, z: -log_normal(z)), "kl", "missing-term", "no log q(z)"),
    (kls(lambda m, v, z: log_normal(z, m, v)), "kl", "missing-term", "no log p(z)"),
    (kls(lambda m, v, z: log_normal(z, m, v) + log_normal(z)), "kl", "sign", "log p(z) has the wrong sign"),
    (kls(lambda m, v, z: -sampled_kl(m, v, z)), "kl", "sign", "wrong sign"),
    (nlls(lambda n, x, a: n / D), "nll", "factor", "1/6 of what it should be (D is 6): a mean"),
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
    (totals(lambda n, k: (-n - k) / len(n)), "elbo", "factor", "divided by the number of rows"),
    (totals(lambda n, k: -n.mean() - k.mean()), "elbo", "shape", "has the shape ()"),
    (totals(lambda n, k: -n - k[:, None]), "elbo", "shape", "did (B,) meet (B, 1)?"),
]


def images(seed=0, B=5):
    return np.random.default_rng([seed, 1]).random((B, D))


def only(report):
    assert len(report.findings) == 1, str(report)
    return report.findings[0]


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


def tiled_rows(self, x, z):
    """Rows repeated in the order of a tile, where those of z lie side by side."""
    return Student.nll(self, np.tile(x[:: len(z) // len(x)], (len(z) // len(x), 1))[: len(z)], self.decode(z)[0])


RIGHT_MANY = {
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
    (weights(lambda n, p, q, kl: -n - kl), "weights", "missing-term", "closed form stands outside"),
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
