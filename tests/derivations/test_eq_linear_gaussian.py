"""docs/derivations/09_linear_gaussian.md, line by line: integrals on a grid, and the sample covariance of data."""

import math

import numpy as np
import pytest
from proof import grid, log_normal, within_standard_errors

from scratchvae.exact import LinearGaussian, fit_linear_gaussian

POINTS, CELL = grid(2, 9, 361)


@pytest.fixture
def model(rng):
    return LinearGaussian(0.7 * rng.standard_normal((3, 2)), rng.standard_normal(3), 0.8)


@pytest.fixture
def x(rng):
    return rng.standard_normal((4, 3))


def log_joint(model, x):
    """log p(x_b, z_g) for every row and every point of the grid, (B, G): two Gaussians, written out."""
    means = POINTS @ model.W.T + model.mean
    return log_normal(x[:, None], means[None], model.sigma**2) + log_normal(POINTS)


@pytest.mark.equation("linear-gaussian-evidence")
def test_evidence_by_integral_and_covariance_by_draws(model, x, rng):
    integral = np.log(np.exp(log_joint(model, x)).sum(axis=1) * CELL)
    np.testing.assert_allclose(model.log_px(x), integral, atol=1e-10)
    z, n = rng.standard_normal((100_000, 2)), rng.standard_normal((100_000, 3))
    r = z @ model.W.T + model.sigma * n
    products = (r[:, :, None] * r[:, None, :]).reshape(-1, 9)
    assert within_standard_errors(products, model.covariance.ravel())


@pytest.mark.equation("linear-gaussian-posterior")
def test_posterior_by_integral(model, x):
    p = np.exp(log_joint(model, x) - model.log_px(x)[:, None]) * CELL
    mu, cov = model.posterior(x)
    np.testing.assert_allclose(p @ POINTS, mu, atol=1e-10)
    for b in range(len(x)):
        d = POINTS - mu[b]
        np.testing.assert_allclose((p[b][:, None] * d).T @ d, cov, atol=1e-10)
    np.testing.assert_allclose(cov, np.linalg.inv(model.W.T @ model.W / model.sigma**2 + np.eye(2)), rtol=1e-12)


def some_q(x, rng):
    root = 0.4 * rng.standard_normal((2, 2)) + 0.5 * np.eye(2)
    return 0.3 * rng.standard_normal((len(x), 2)), root @ root.T


def log_gaussian(z, mu, cov):
    """log N(z; mu, cov) with a full covariance, (G,)."""
    d = z - mu
    return -0.5 * ((d @ np.linalg.inv(cov) * d).sum(axis=1) + math.log(np.linalg.det(2 * math.pi * cov)))


@pytest.mark.equation("linear-gaussian-elbo", "linear-gaussian-gap")
def test_elbo_and_gap_by_integral(model, x, rng):
    mu, cov = some_q(x, rng)
    for b in range(len(x)):
        log_q = log_gaussian(POINTS, mu[b], cov)
        q = np.exp(log_q) * CELL
        elbo = q @ (log_joint(model, x[b : b + 1])[0] - log_q)
        log_posterior = log_joint(model, x[b : b + 1])[0] - model.log_px(x[b : b + 1])
        gap = q @ (log_q - log_posterior)
        assert abs(elbo - model.elbo(x, mu, cov)[b]) < 1e-9
        assert abs(gap - model.gap(x, mu, cov)[b]) < 1e-9
        assert gap > 0
    np.testing.assert_allclose(model.elbo(x, mu, cov) + model.gap(x, mu, cov), model.log_px(x), rtol=1e-12)


@pytest.mark.equation("linear-gaussian-best-diagonal")
def test_the_best_diagonal_takes_the_diagonal_of_the_precision(model, x, rng):
    mu, cov = model.best_diagonal(x)
    P = model.posterior_precision
    gap = 0.5 * (np.log(np.diag(P)).sum() - math.log(np.linalg.det(P)))
    np.testing.assert_allclose(model.gap(x, mu, cov), gap, rtol=1e-9)
    np.testing.assert_allclose(model.optimal_elbo(x), model.log_px(x) - gap, rtol=1e-12)
    for _ in range(50):
        other = np.diag(np.diag(cov) * np.exp(0.2 * rng.standard_normal(2)))
        assert (model.gap(x, mu + 0.1 * rng.standard_normal(mu.shape), other) > gap).all()
    naive = np.diag(np.diag(np.linalg.inv(P)))  # the diagonal of the covariance is not the best
    assert (model.gap(x, mu, naive) > gap + 1e-6).all()


@pytest.mark.equation("linear-gaussian-gradient")
def test_gradient_of_the_evidence_entry_by_entry(model, x, rng):
    weights, h = rng.standard_normal(len(x)), 1e-6
    grads = dict(zip(("W", "mean", "sigma"), model.log_px_backward(x, weights), strict=True))
    for name, grad in grads.items():
        value = np.asarray(getattr(model, name), float)
        for index in np.ndindex(value.shape):
            up, down = value.copy(), value.copy()
            up[index] += h
            down[index] -= h
            moved = [weights @ model._replace(**{name: v if v.shape else float(v)}).log_px(x) for v in (up, down)]
            assert abs(np.asarray(grad)[index] - (moved[0] - moved[1]) / (2 * h)) < 1e-7


@pytest.mark.equation("linear-gaussian-maximum-likelihood", "linear-gaussian-noise")
@pytest.mark.parametrize("sigma", [None, 1.0])
def test_the_best_weights_are_shortened_eigenvectors(sigma, rng):
    x = rng.standard_normal((300, 5)) * np.array([3.0, 1.6, 0.9, 0.5, 0.4])
    best = fit_linear_gaussian(x, 3, sigma)
    S = np.cov(x.T, bias=True)
    values = np.sort(np.linalg.eigvalsh(S))[::-1]
    if sigma is None:
        assert abs(best.sigma**2 - values[3:].mean()) < 1e-12
    active = values[:3] > best.sigma**2
    assert active.tolist() == [True, True, sigma is None]  # 0.9 < sigma = 1: that latent collapses
    lengths = np.sqrt(np.maximum(values[:3] - best.sigma**2, 0))
    np.testing.assert_allclose(np.linalg.norm(best.W, axis=0), lengths, atol=1e-7)
    np.testing.assert_allclose(S @ best.W, best.covariance @ best.W, atol=1e-10)
    dW, dmean, dsigma = best.log_px_backward(x, np.full(300, 1 / 300))
    assert np.abs(dW).max() < 1e-10
    assert np.abs(dmean).max() < 1e-10
    assert sigma is not None or abs(dsigma) < 1e-10
