"""Likelihoods: each integrates to one, its slope is right, its mean and its draws are those of its density."""

import math

import numpy as np
import pytest
from proof import assert_backward_matches, freeze, within_standard_errors

from scratchvae import Bernoulli, ContinuousBernoulli, Gaussian
from scratchvae.likelihoods import LIKELIHOODS

ALL = [Bernoulli(), Gaussian(), Gaussian(sigma=0.3), ContinuousBernoulli()]
LOGITS = np.array([-30.0, -3.0, -0.5, -0.0999, -1e-3, 0.0, 1e-3, 0.1001, 0.5, 3.0, 30.0])


def named(likelihood):
    return f"{likelihood.name}-{getattr(likelihood, 'sigma', '')}".rstrip("-")


def gauss_legendre(a, b, n=200):
    nodes, weights = np.polynomial.legendre.leggauss(n)
    return 0.5 * (b - a) * nodes + 0.5 * (a + b), 0.5 * (b - a) * weights


def support_of(likelihood, logit):
    """Points x and weights, so that a weighted sum over them is the sum or the integral over all x."""
    if likelihood.name == "bernoulli":
        return np.array([0.0, 1.0]), np.ones(2)
    if likelihood.name == "gaussian":
        return gauss_legendre(logit - 12 * likelihood.sigma, logit + 12 * likelihood.sigma)
    return gauss_legendre(0, 1)


@pytest.mark.parametrize("logit", LOGITS)
@pytest.mark.parametrize("likelihood", ALL, ids=named)
def test_it_integrates_to_one_and_mean_is_the_mean(likelihood, logit):
    x, weights = support_of(likelihood, logit)
    nll, _ = likelihood.nll(x[:, None], np.full((len(x), 1), logit))
    p = weights * np.exp(-nll)
    assert abs(p.sum() - 1) < 1e-12
    mean = likelihood.mean(np.array([[logit]]))[0, 0]
    assert abs((p * x).sum() - mean) < 1e-12


@pytest.mark.equation("bernoulli-backward", "gaussian-nll-backward", "continuous-bernoulli-backward")
@pytest.mark.parametrize("likelihood", ALL, ids=named)
def test_backward(likelihood, rng):
    x = freeze(rng.random((4, len(LOGITS))))
    logits = LOGITS + 0.01 * rng.standard_normal((4, len(LOGITS)))
    assert_backward_matches(
        lambda logits: likelihood.nll(x, logits), likelihood.nll_backward, [logits], rng, tolerance=1e-7
    )


@pytest.mark.parametrize("likelihood", ALL, ids=named)
def test_draws_have_the_mean_and_the_variance_of_the_density(likelihood, rng):
    n = 100_000
    for logit in (-3.0, -0.05, 0.0, 1.0, 4.0):
        draws = likelihood.sample(np.full((n, 1), logit), rng)
        x, weights = support_of(likelihood, logit)
        nll, _ = likelihood.nll(x[:, None], np.full((len(x), 1), logit))
        p = weights * np.exp(-nll)
        for power in (1, 2):
            assert within_standard_errors(draws**power, (p * x**power).sum())
        assert likelihood.support[0] <= draws.min()
        assert draws.max() <= likelihood.support[1]


@pytest.mark.parametrize("likelihood", ALL, ids=named)
@pytest.mark.parametrize("logit", [-1e4, 0.0, 1e4])
def test_float32_stays_finite_at_extreme_logits(likelihood, logit, rng):
    x = rng.random((3, 784), dtype="float32")
    logits = np.full((3, 784), logit, dtype="float32")
    nll, cache = likelihood.nll(freeze(x), freeze(logits))
    dlogits = likelihood.nll_backward(np.ones(3, dtype="float32"), freeze(cache))
    for array in (nll, dlogits, likelihood.mean(logits), likelihood.sample(logits, rng)):
        assert array.dtype == np.float32
        assert np.isfinite(array).all()


@pytest.mark.equation("bernoulli-nll")
def test_bernoulli_is_the_cross_entropy(rng):
    x, logits = rng.random((4, 6)), rng.standard_normal((4, 6))
    p = 1 / (1 + np.exp(-logits))
    nll, _ = Bernoulli().nll(x, logits)
    np.testing.assert_allclose(nll, -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum(axis=1), rtol=1e-13)


@pytest.mark.equation("gaussian-nll")
def test_gaussian_is_half_the_squared_error_and_its_constants(rng):
    x, m = rng.random((4, 6)), rng.standard_normal((4, 6))
    nll, _ = Gaussian(sigma=0.5).nll(x, m)
    constants = 6 * (0.5 * math.log(2 * math.pi) + math.log(0.5))
    np.testing.assert_allclose(nll, ((x - m) ** 2).sum(axis=1) / (2 * 0.25) + constants, rtol=1e-13)


@pytest.mark.equation("continuous-bernoulli-nll")
def test_continuous_bernoulli_constant_is_the_one_of_the_paper():
    lam = np.array([[0.1, 0.3, 0.49, 0.7, 0.99]])  # C(lambda) = 2 artanh(1 - 2 lambda) / (1 - 2 lambda), eq. 6
    x = np.full((1, 5), 0.25)
    density = 2 * np.arctanh(1 - 2 * lam) / (1 - 2 * lam) * lam**x * (1 - lam) ** (1 - x)
    nll, _ = ContinuousBernoulli().nll(x, np.log(lam / (1 - lam)))
    assert abs(nll[0] + np.log(density).sum()) < 1e-12


def test_continuous_bernoulli_mean_has_no_seam_where_the_series_takes_over():
    likelihood = ContinuousBernoulli()
    for dtype, tolerance in (("float64", 1e-14), ("float32", 1e-6)):
        seam, step = np.array([[-0.1, 0.1]], dtype=dtype), np.finfo(dtype).eps
        inside, outside = likelihood.mean(seam * (1 - step)), likelihood.mean(seam * (1 + step))
        assert np.abs(inside - outside).max() < tolerance


@pytest.mark.parametrize("likelihood", ALL, ids=named)
def test_output_bias_starts_at_the_pixel_mean(likelihood):
    pixel_mean = np.array([0.0, 0.2, 0.5, 1.0])
    bias = likelihood.output_bias(pixel_mean)
    assert np.isfinite(bias).all()
    if likelihood.name == "gaussian":
        np.testing.assert_array_equal(bias, pixel_mean)
    else:
        np.testing.assert_allclose(Bernoulli().mean(bias), [0.01, 0.2, 0.5, 0.99])


@pytest.mark.parametrize("sigma", [0, -1, math.nan, math.inf, "1", None])
def test_sigma_must_be_positive_and_finite(sigma):
    with pytest.raises(ValueError, match=r"^sigma should be a positive finite number, got"):
        Gaussian(sigma=sigma)


def test_configs_build_the_same_likelihood_again():
    for likelihood in ALL:
        config = dict(likelihood.config)
        assert LIKELIHOODS[config.pop("name")](**config).config == likelihood.config
