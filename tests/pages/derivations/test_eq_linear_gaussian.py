"""docs/derivations/09_linear_gaussian.md, line by line: integrals on a grid, and the sample covariance of data."""

import math

import numpy as np
import pytest
from proof import grid, log_normal, within_standard_errors

from scratchvae.exact import LinearGaussian, fit_linear_gaussian
from scratchvae.lab.exact import elbo_backward

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


@pytest.mark.equation("linear-gaussian-model", "linear-gaussian-evidence")
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


@pytest.mark.equation("mean-of-a-quadratic")
def test_mean_of_a_quadratic_form_by_integral(rng):
    mu, cov = np.array([0.4, -0.9]), np.array([[0.5, 0.2], [0.2, 0.3]])
    A, a = rng.standard_normal((2, 2)), rng.standard_normal(2)
    A = A + A.T
    q, d = np.exp(log_gaussian(POINTS, mu, cov)) * CELL, POINTS - a
    assert abs(q @ (d @ A * d).sum(axis=1) - (mu - a) @ A @ (mu - a) - np.trace(A @ cov)) < 1e-10


@pytest.mark.equation("kl-full-gaussians")
def test_kl_of_full_gaussians_by_integral():
    mu, cov = np.array([0.4, -0.9]), np.array([[0.5, 0.2], [0.2, 0.3]])
    a, P = np.array([-0.3, 0.2]), np.array([[1.5, -0.6], [-0.6, 0.9]])
    log_q, log_p, d = log_gaussian(POINTS, mu, cov), log_gaussian(POINTS, a, np.linalg.inv(P)), mu - a
    q, log_dets = np.exp(log_q) * CELL, math.log(np.linalg.det(P)) + math.log(np.linalg.det(cov))
    entropy = 0.5 * (2 + math.log(np.linalg.det(cov)) + 2 * math.log(2 * math.pi))
    assert abs(q @ log_q + entropy) < 1e-10
    assert abs(q @ (log_q - log_p) - 0.5 * (d @ P @ d + np.trace(P @ cov) - 2 - log_dets)) < 1e-10


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


@pytest.mark.equation("linear-gaussian-best-diagonal")
def test_a_rotation_may_change_the_gap_and_never_the_evidence(model, x):
    q, _ = np.linalg.qr(model.W)
    orthogonal = LinearGaussian(q * [1.5, 0.7], model.mean, model.sigma)
    assert np.abs(orthogonal.gap(x, *orthogonal.best_diagonal(x))).max() < 1e-12
    turn = np.array([[math.cos(0.5), -math.sin(0.5)], [math.sin(0.5), math.cos(0.5)]])
    turned = LinearGaussian(orthogonal.W @ turn, model.mean, model.sigma)
    np.testing.assert_allclose(turned.log_px(x), orthogonal.log_px(x), rtol=1e-12)
    gaps = turned.gap(x, *turned.best_diagonal(x))
    np.testing.assert_allclose(gaps, gaps[0], rtol=1e-9)  # the same for every x
    assert gaps[0] > 1e-3
    for unchanged, columns in ((turn, q * [1.1, 1.1]), (np.array([[0.0, -1.0], [1.0, 0.0]]), turned.W)):
        before = model._replace(W=columns)  # equal eigenvalues of P; a quarter turn, which exchanges the latents
        after = model._replace(W=columns @ unchanged)
        np.testing.assert_allclose(
            after.gap(x, *after.best_diagonal(x)), before.gap(x, *before.best_diagonal(x)), atol=1e-12
        )


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


@pytest.mark.equation("mean-log-evidence")
def test_the_data_enter_through_their_covariance(rng):
    x = rng.standard_normal((50, 4)) @ rng.standard_normal((4, 4)) + 1
    model = LinearGaussian(rng.standard_normal((4, 2)), x.mean(axis=0), 0.9)
    C, covariance = model.covariance, np.cov(x.T, bias=True)
    formula = -0.5 * (np.trace(np.linalg.inv(C) @ covariance) + math.log(np.linalg.det(C)) + 4 * math.log(2 * math.pi))
    assert abs(model.log_px(x).mean() - formula) < 1e-10


@pytest.mark.equation("linear-gaussian-maximum-likelihood", "linear-gaussian-noise")
def test_no_other_length_of_a_column_and_no_model_nearby_does_better(rng):
    x = rng.standard_normal((300, 5)) * np.array([3.0, 1.6, 0.9, 0.5, 0.4])
    vectors = np.linalg.eigh(np.cov(x.T, bias=True))[1][:, ::-1][:, :3]
    best = fit_linear_gaussian(x, 3, sigma=1.0)  # the third latent collapses
    lengths, highest = np.linalg.norm(best.W, axis=0), best.log_px(x).mean()
    for j in range(3):
        for w in np.linspace(0, 2, 9) * max(lengths[j], 0.5):
            W = vectors * np.where(np.arange(3) == j, w, lengths)
            assert best._replace(W=W).log_px(x).mean() <= highest + 1e-12
    free = fit_linear_gaussian(x, 2)
    highest = free.log_px(x).mean()
    for _ in range(50):
        W, sigma = free.W + 0.05 * rng.standard_normal((5, 2)), free.sigma * math.exp(0.05 * rng.standard_normal())
        assert free._replace(W=W, sigma=sigma).log_px(x).mean() < highest
    np.testing.assert_allclose(free.optimal_elbo(x), free.log_px(x), rtol=1e-12)


@pytest.mark.equation("linear-gaussian-elbo-gradient")
def test_gradient_of_the_elbo_entry_by_entry(model, x, rng):
    mu, logvar, weights = rng.standard_normal((4, 2)), rng.standard_normal((4, 2)), rng.standard_normal(4)

    def elbo(mu, logvar, W, mean):
        covs = np.exp(logvar)[:, :, None] * np.eye(2)  # (B, Z, Z)
        return weights @ model._replace(W=W, mean=mean).elbo(x, mu, covs)

    at = [mu, logvar, model.W, model.mean]
    for i, grad in enumerate(elbo_backward(model, x, mu, logvar, weights)):
        for index in np.ndindex(at[i].shape):
            moved = []
            for h in (1e-6, -1e-6):
                other = [value.copy() for value in at]
                other[i][index] += h
                moved.append(elbo(*other))
            assert abs((moved[0] - moved[1]) / 2e-6 - grad[index]) < 1e-7 * (1 + abs(grad[index]))
    best, cov = model.best_diagonal(x)
    zero = elbo_backward(model, x, best, np.log(np.diag(cov)) * np.ones((4, 1)), weights)
    assert max(np.abs(zero[0]).max(), np.abs(zero[1]).max()) < 1e-12
