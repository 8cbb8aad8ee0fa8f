"""Likelihoods that are right, of many kinds: half-bounded, heavy-tailed, with a kink, a jump, two peaks, whole numbers.

Sizes: B batch, D data.
"""

import math

import numpy as np
from scipy.special import gammaln as log_gamma


def halves(logits):
    """The two parameters of every pixel, (B, D) each."""
    D = logits.shape[1] // 2
    return logits[:, :D], logits[:, D:]


class Laplace:
    """A kink at the median; logits are the median and the log of the scale."""

    name = "laplace"
    support = (-math.inf, math.inf)
    n_params = 2

    def nll(self, x, logits):
        m, s = halves(logits)
        u = (x - m) * np.exp(-s)
        return (np.abs(u) + s + math.log(2)).sum(axis=1), (u, s)

    def nll_backward(self, dnll, cache):
        u, s = cache
        return dnll[:, None] * np.concatenate([-np.sign(u) * np.exp(-s), 1 - np.abs(u)], axis=1)

    def mean(self, logits):
        return halves(logits)[0].copy()

    def sample(self, logits, rng):
        m, s = halves(logits)
        return (m + np.exp(s) * rng.laplace(size=m.shape)).astype(logits.dtype)

    def output_bias(self, pixel_mean):
        return np.concatenate([pixel_mean, np.zeros_like(pixel_mean)])


class Exponential:
    """x >= 0; the logit is the log of the rate."""

    name = "exponential"
    support = (0.0, math.inf)
    n_params = 1

    def nll(self, x, logits):
        rate = np.exp(logits)
        return (rate * x - logits).sum(axis=1), rate * x

    def nll_backward(self, dnll, cache):
        return dnll[:, None] * (cache - 1)

    def mean(self, logits):
        return np.exp(-logits)

    def sample(self, logits, rng):
        return (rng.standard_exponential(logits.shape) * np.exp(-logits)).astype(logits.dtype)

    def output_bias(self, pixel_mean):
        return -np.log(np.maximum(pixel_mean, 0.01))


class Gamma:
    """x > 0, with a pole at 0 for a shape below 1; logits are the logs of shape and rate. No backward, no bias."""

    name = "gamma"
    support = (0.0, math.inf)
    n_params = 2

    def nll(self, x, logits):
        a, b = halves(logits)
        shape = np.exp(a)
        return (-shape * b + log_gamma(shape) - (shape - 1) * np.log(x) + np.exp(b) * x).sum(axis=1), None

    def mean(self, logits):
        a, b = halves(logits)
        return np.exp(a - b)

    def sample(self, logits, rng):
        a, b = halves(logits)
        return (rng.standard_gamma(np.exp(a)) * np.exp(-b)).astype(logits.dtype)


class Uniform:
    """A jump: x is uniform between 0 and exp(logit), and the support does not say so."""

    name = "uniform"
    support = (0.0, math.inf)
    n_params = 1

    def nll(self, x, logits):
        return np.where(x < np.exp(logits), logits, math.inf).sum(axis=1), None

    def mean(self, logits):
        return np.exp(logits) / 2

    def sample(self, logits, rng):
        return (rng.random(logits.shape) * np.exp(logits)).astype(logits.dtype)


class Cauchy:
    """No mean, no variance."""

    name = "cauchy"
    support = (-math.inf, math.inf)
    n_params = 1

    def nll(self, x, logits):
        u = x - logits
        return (math.log(math.pi) + np.log1p(u * u)).sum(axis=1), u

    def nll_backward(self, dnll, cache):
        u = cache
        return -dnll[:, None] * 2 * u / (1 + u * u)

    def sample(self, logits, rng):
        return (logits + rng.standard_cauchy(logits.shape)).astype(logits.dtype)


class TwoPeaks:
    """Half of the mass at the logit, half of it 7.77 to the right, and nothing in between."""

    name = "two-peaks"
    support = (-math.inf, math.inf)
    n_params = 1
    sigma = 0.01

    def nll(self, x, logits):
        u = np.stack([x - logits, x - logits - 7.77]) / self.sigma  # (2, B, D)
        log_p = np.logaddexp(*(-0.5 * u * u)) - math.log(2 * self.sigma * math.sqrt(2 * math.pi))
        return -log_p.sum(axis=1), None

    def mean(self, logits):
        return logits + np.asarray(7.77 / 2, logits.dtype)

    def sample(self, logits, rng):
        which = rng.random(logits.shape) < 0.5
        return (logits + 7.77 * which + self.sigma * rng.standard_normal(logits.shape)).astype(logits.dtype)


class Poisson:
    """Whole numbers from 0 on; the logit is the log of the rate."""

    name = "poisson"
    support = (0.0, math.inf)
    n_params = 1

    def nll(self, x, logits):
        rate = np.exp(logits)
        return (rate - x * logits + log_gamma(x + 1)).sum(axis=1), (rate, x)

    def nll_backward(self, dnll, cache):
        rate, x = cache
        return dnll[:, None] * (rate - x)

    def mean(self, logits):
        return np.exp(logits)

    def sample(self, logits, rng):
        return rng.poisson(np.exp(logits)).astype(logits.dtype)

    def output_bias(self, pixel_mean):
        return np.log(np.maximum(pixel_mean, 0.01))


class Logistic:
    """A logistic density in bins, the outermost taking all that lies beyond: the 256 grey levels, k or k / 255."""

    name = "discretised-logistic"
    n_params = 2

    def __init__(self, white):
        self.support, self.level = (0.0, white), white / 255

    def edges(self, x, logits):
        """The distribution function at both edges of the bin of x, (B, D) each."""
        m, s = halves(logits)
        t = (x - self.support[1] / 2 - 40 * self.level * m) / self.level
        low, high = (0.5 + 0.5 * np.tanh(0.5 * (t + side) * np.exp(-s)) for side in (-0.5, 0.5))
        return np.where(x < 0.5 * self.level, 0, low), np.where(x > 254.5 * self.level, 1, high)

    def nll(self, x, logits):
        low, high = self.edges(x, logits)
        return -np.log(np.maximum(high - low, 1e-300)).sum(axis=1), None

    def mean(self, logits):
        x = np.arange(256.0)[:, None, None] * self.level  # (256, 1, 1)
        low, high = self.edges(x, logits)
        return (x * (high - low)).sum(axis=0).astype(logits.dtype)

    def sample(self, logits, rng):
        m, s = halves(logits)
        u = rng.random(m.shape)
        t = 127.5 + 40 * m + np.exp(s) * np.log(u / (1 - u))
        return (np.clip(np.rint(t), 0, 255) * self.support[1] / 255).astype(logits.dtype)


class Categorical:
    """Four classes by a table: it knows nothing of numbers that are not whole. Logits are four scores a pixel."""

    name = "categorical"
    support = (0.0, 3.0)
    n_params = 4

    def shares(self, logits):
        """(B, 4, D)."""
        p = np.exp(logits.reshape(len(logits), 4, -1))
        return p / p.sum(axis=1, keepdims=True)

    def nll(self, x, logits):
        if (x != np.rint(x)).any():
            raise IndexError("classes are whole numbers")
        p, k = self.shares(logits), x.astype(int)
        return -np.log(np.take_along_axis(p, k[:, None], axis=1)[:, 0]).sum(axis=1), (p, k)

    def nll_backward(self, dnll, cache):
        p, k = cache
        dlogits = dnll[:, None, None] * (p - (np.arange(4)[:, None] == k[:, None]))
        return dlogits.reshape(len(k), -1).astype(p.dtype)

    def mean(self, logits):
        return (self.shares(logits) * np.arange(4)[:, None]).sum(axis=1).astype(logits.dtype)

    def sample(self, logits, rng):
        scores = logits.reshape(len(logits), 4, -1)
        return (scores + rng.gumbel(size=scores.shape)).argmax(axis=1).astype(logits.dtype)

    def output_bias(self, pixel_mean):
        return np.zeros(4 * len(pixel_mean))


class Kumaraswamy:
    """Like a beta density, with x kept away from 0 and 1; logits are the logs of a - 1 and of b - 1."""

    name = "kumaraswamy"
    support = (0.0, 1.0)
    n_params = 2
    AWAY = 1e-12

    def nll(self, x, logits):
        a, b = (1 + np.exp(each) for each in halves(logits))
        x = np.clip(x, self.AWAY, 1 - self.AWAY)
        log_x, power = np.log(x), np.exp(a * np.log(x))
        return -(np.log(a * b) + (a - 1) * log_x + (b - 1) * np.log1p(-power)).sum(axis=1), (log_x, power, a, b)

    def nll_backward(self, dnll, cache):
        log_x, power, a, b = cache
        da = -1 / a - log_x + (b - 1) * power * log_x / (1 - power)
        db = -1 / b - np.log1p(-power)
        return dnll[:, None] * np.concatenate([da * (a - 1), db * (b - 1)], axis=1)

    def mean(self, logits):
        a, b = (1 + np.exp(each) for each in halves(logits))
        return b * np.exp(log_gamma(1 + 1 / a) + log_gamma(b) - log_gamma(1 + 1 / a + b))

    def sample(self, logits, rng):
        a, b = (1 + np.exp(each) for each in halves(logits))
        return (1 - (1 - rng.random(a.shape)) ** (1 / b)) ** (1 / a)


ZOO = [Kumaraswamy(), Laplace(), Exponential(), Gamma(), Uniform(), Cauchy(), TwoPeaks(), Poisson(), Categorical()]
ZOO += [Logistic(255.0), Logistic(1.0)]
