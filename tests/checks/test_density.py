"""Integrals, sums and distribution functions of a density that is known through its nll alone."""

import math

import numpy as np
import pytest
from zoo import ZOO, Categorical, Cauchy, Exponential, Gamma, Laplace, Logistic, Poisson, TwoPeaks, Uniform

from scratchvae import Bernoulli, ContinuousBernoulli, Gaussian, GaussianLearned
from scratchvae.checks.likelihood.density import GREY, NODES, WEIGHTS, WHOLE, Pixel, integrated, summed


def pixel(p, *logits):
    return Pixel(p, np.array(logits, float), p.support)


def test_the_rule_is_exact_for_polynomials_of_degree_17():
    for k in range(18):
        assert abs((WEIGHTS * NODES**k).sum() - 1 / (k + 1)) < 1e-14
    assert abs((WEIGHTS * NODES**18).sum() - 1 / 19) > 1e-13


INTEGRALS = {
    "a variance at its floor": (pixel(GaussianLearned(), 20.0, -20.0), 20.0, math.sqrt(255**-2 + math.exp(-20))),
    "a variance of e^20": (pixel(GaussianLearned(), 0.2, 20.0), 0.2, math.sqrt(255**-2 + math.exp(20))),
    "a sigma of 1e-3 far out": (pixel(Gaussian(1e-3), -1e4), -1e4, 1e-3),
    "a slope that ends at 1": (pixel(ContinuousBernoulli(), 20.0), 0.95 + math.exp(-20), 0.05),
    "a kink": (pixel(Laplace(), 4.0, -3.0), 4.0, math.exp(-3) * math.sqrt(2)),
    "half a line, narrow": (pixel(Exponential(), 20.0), math.exp(-20), math.exp(-20)),
    "half a line, wide": (pixel(Exponential(), -20.0), math.exp(20), math.exp(20)),
    "a pole": (pixel(Gamma(), -3.0, 1.0), math.exp(-4), math.exp(-2.5)),
    "a jump": (pixel(Uniform(), 0.2), math.exp(0.2) / 2, math.exp(0.2) / math.sqrt(12)),
    "two peaks": (pixel(TwoPeaks(), 1.0), 1 + 7.77 / 2, math.sqrt(0.01**2 + (7.77 / 2) ** 2)),
}


@pytest.mark.parametrize("name", INTEGRALS)
def test_an_integral_its_mean_and_its_spread(name):
    one, mean, spread = INTEGRALS[name]
    mass = integrated(one)
    assert mass.settled
    assert abs(mass.total - 1) < 1e-10
    assert abs(mass.mean - mean) < 1e-7 * abs(mean) + mass.mean_error
    assert abs(mass.spread - spread) < 1e-6 * spread


@pytest.mark.parametrize("logit", [-4.0, 0.2, 3.0, 20.0])
def test_whole_numbers(logit):
    mass = summed(pixel(Poisson(), logit))
    assert abs(mass.total - 1) < 10 * mass.error + 1e-13  # at e^20 the nll has a dozen digits before the point
    assert abs(mass.mean - math.exp(logit)) < 1e-9 * math.exp(logit)
    assert abs(mass.spread - math.exp(logit / 2)) < 1e-6 * math.exp(logit / 2)
    assert mass.settled == (logit < 20)


def test_a_table_of_whole_numbers_and_grey_levels():
    assert abs(summed(pixel(Categorical(), 1.0, -3.0, 4.0, 0.2)).total - 1) < 1e-14
    assert abs(summed(pixel(Bernoulli(), 1.0)).total - 1) < 1e-14
    for white, lattice in ((255.0, WHOLE), (1.0, GREY)):
        mass = summed(pixel(Logistic(white), 0.3, 1.0), lattice)
        assert len(mass.x) == 256
        assert abs(mass.total - 1) < 1e-13


def test_what_is_out_of_reach_is_said():
    """A pole that has half of its mass below the smallest float, a tail that has no mean, sums without an end."""
    mass = integrated(pixel(Gamma(), -8.0, 0.0))
    assert not mass.settled
    assert mass.total < 0.9
    assert integrated(pixel(Cauchy(), 1.0)).settled
    assert integrated(pixel(Cauchy(), 1.0)).mean_error > 0.1
    assert not summed(pixel(Cauchy(), 1.0)).settled


class Growing:
    support = (-math.inf, math.inf)

    def nll(self, x, logits):
        return -0.5 * (x * x).sum(axis=1), None


class Nowhere:
    support = (0.0, 1.0)

    def nll(self, x, logits):
        return np.full(len(x), np.nan), None


def test_no_density_at_all():
    assert integrated(pixel(Growing(), 0.0)).total == math.inf
    assert summed(pixel(Growing(), 0.0)).total == math.inf
    assert integrated(pixel(Nowhere(), 0.0)).total == 0
    assert summed(pixel(Nowhere(), 0.0)).total == 0


def normal(t):
    return 0.5 * math.erfc(-t / math.sqrt(2))


DISTRIBUTIONS = [
    (pixel(GaussianLearned(), 0.2, -20.0), lambda t: normal((t - 0.2) * 255 / math.sqrt(1 + 255**2 * math.exp(-20)))),
    (
        pixel(Laplace(), -3.0, 1.0),
        lambda t: math.exp((t + 3) / math.e) / 2 if t < -3 else 1 - math.exp(-(t + 3) / math.e) / 2,
    ),
    (pixel(Exponential(), 1.0), lambda t: 1 - math.exp(-math.e * t)),
    (pixel(ContinuousBernoulli(), 4.0), lambda t: math.expm1(4 * t) / math.expm1(4)),
    (pixel(Uniform(), 0.2), lambda t: min(t / math.exp(0.2), 1.0)),
    (pixel(Cauchy(), 4.0), lambda t: 0.5 + math.atan(t - 4) / math.pi),
]


@pytest.mark.parametrize(("one", "F"), DISTRIBUTIONS, ids=lambda v: getattr(getattr(v, "likelihood", None), "name", ""))
def test_the_distribution_function_is_the_one_of_the_textbooks(one, F, rng):
    mass = integrated(one)
    x = np.sort(one.likelihood.sample(np.tile(one.logits, (200, 1)), rng)[:, 0])
    below, upto = mass.distribution(x)
    np.testing.assert_array_equal(below, upto)
    np.testing.assert_allclose(upto, [F(t) for t in x.tolist()], atol=1e-10)


def test_the_distribution_function_of_whole_numbers_jumps():
    mass = summed(pixel(Poisson(), 1.0))
    below, upto = mass.distribution(np.array([-1.0, 0.0, 1.0, 1.5, 1e6]))
    p0, p1 = math.exp(-math.e), math.exp(1 - math.e)
    np.testing.assert_allclose(below, [0, 0, p0, p0 + p1, 1], atol=1e-12)
    np.testing.assert_allclose(upto, [0, p0, p0 + p1, p0 + p1, 1], atol=1e-12)


@pytest.mark.parametrize("p", ZOO, ids=lambda p: p.name)
def test_quantiles_are_in_the_support_and_about_right(p, rng):
    one = pixel(p, *np.linspace(-1, 1, p.n_params))
    lattice = {Poisson: WHOLE, Categorical: WHOLE, Logistic: WHOLE}.get(type(p))
    if isinstance(p, Logistic) and p.support[1] == 1:
        lattice = GREY
    mass = summed(one, lattice) if lattice else integrated(one)
    u = rng.random(100)
    x = mass.quantile(u)
    assert p.support[0] <= x.min()
    assert x.max() <= p.support[1]
    below, upto = mass.distribution(x)
    assert (below - 0.1 < u).all()
    assert (u < upto + 0.1).all()
