"""docs/derivations/09_linear_gaussian.md, line by line: draws, grids over two latents, differences, loops."""

import math

import numpy as np
import pytest
from proof import grid, log_normal, within_standard_errors

from scratchvae.exact import LinearGaussian, fit_linear_gaussian

POINTS, CELL = grid(2, 9, 361)
S = np.array([[0.5, 0.2], [0.2, 0.3]])  # (Z, Z) a covariance that is not diagonal
MU = np.array([0.4, -0.9])  # (Z,)


@pytest.fixture
def model(rng):
    return LinearGaussian(rng.standard_normal((3, 2)), rng.standard_normal(3), 0.8)


@pytest.fixture
def x(model, rng):
    return model.mean + rng.standard_normal((1, 3))


def log_full_normal(z, mu, cov):
    """log N(z; mu, cov), (G,), spelled out."""
    r = z - mu
    inverse, det = np.linalg.inv(cov), np.linalg.det(cov)
    return -0.5 * (np.einsum("gi,ij,gj->g", r, inverse, r) + math.log(det) + len(mu) * math.log(2 * math.pi))


LOG_Q = log_full_normal(POINTS, MU, S)


def mean(f):
    """E_q[f(z)] for q = N(MU, S), on the grid."""
    return float((np.exp(LOG_Q) * f).sum() * CELL)


def log_likelihood(model, x):
    return log_normal(x, POINTS @ model.W.T + model.mean, model.sigma**2)


@pytest.mark.equation("linear-gaussian", "linear-gaussian-evidence")
def test_draws_of_the_model_have_the_covariance_and_the_evidence_is_the_integral(model, x, rng):
    n = 50_000
    draws = rng.standard_normal((n, 2)) @ model.W.T + model.mean + model.sigma * rng.standard_normal((n, 3))
    assert within_standard_errors(draws, model.mean)
    r = draws - model.mean
    assert within_standard_errors((r[:, :, None] * r[:, None, :]).reshape(n, 9), model.covariance.ravel())
    integral = np.log(np.exp(log_likelihood(model, x) + log_normal(POINTS)).sum() * CELL)
    assert abs(integral - model.log_px(x)[0]) < 1e-10
    assert abs(integral - log_full_normal(x, model.mean, model.W @ model.W.T + 0.64 * np.eye(3))[0]) < 1e-10


@pytest.mark.equation("linear-gaussian-posterior")
def test_posterior_is_bayes_on_the_grid(model, x):
    log_joint = log_likelihood(model, x) + log_normal(POINTS)
    posterior = np.exp(log_joint) / (np.exp(log_joint).sum() * CELL)
    a, cov = model.posterior(x)
    np.testing.assert_allclose(np.exp(log_full_normal(POINTS, a[0], cov)), posterior, atol=1e-10)
    np.testing.assert_allclose(a[0], cov @ model.W.T @ (x[0] - model.mean) / 0.64, rtol=1e-12)


@pytest.mark.equation("mean-of-a-quadratic")
def test_mean_of_a_quadratic_form(rng):
    A, a = rng.standard_normal((2, 2)), rng.standard_normal(2)
    A = A + A.T
    formula = (MU - a) @ A @ (MU - a) + np.trace(A @ S)
    assert abs(mean(np.einsum("gi,ij,gj->g", POINTS - a, A, POINTS - a)) - formula) < 1e-10


@pytest.mark.equation("kl-full-gaussians")
def test_kl_of_full_gaussians_by_quadrature():
    a, P = np.array([-0.3, 0.2]), np.array([[1.5, -0.6], [-0.6, 0.9]])
    log_p, d = log_full_normal(POINTS, a, np.linalg.inv(P)), MU - a
    assert abs(mean(LOG_Q) + 0.5 * (2 + math.log(np.linalg.det(S)) + 2 * math.log(2 * math.pi))) < 1e-10
    kl = 0.5 * (d @ P @ d + np.trace(P @ S) - 2 - math.log(np.linalg.det(P)) - math.log(np.linalg.det(S)))
    assert abs(mean(LOG_Q - log_p) - kl) < 1e-10


@pytest.mark.equation("linear-gaussian-elbo", "linear-gaussian-gap")
def test_elbo_and_gap_by_quadrature(model, x):
    elbo = mean(log_likelihood(model, x)) - mean(LOG_Q - log_normal(POINTS))
    assert abs(model.elbo(x, MU[None], S)[0] - elbo) < 1e-10
    a, cov = model.posterior(x)
    gap = mean(LOG_Q - log_full_normal(POINTS, a[0], cov))
    assert abs(model.gap(x, MU[None], S)[0] - gap) < 1e-10
    assert abs(model.log_px(x)[0] - elbo - gap) < 1e-10


@pytest.mark.equation("best-diagonal")
def test_no_diagonal_covariance_beats_the_inverse_of_the_diagonal_of_the_precision(model, x, rng):
    P = model.posterior_precision
    mu, cov = model.best_diagonal(x)
    np.testing.assert_allclose(np.diag(cov), [1 / P[0, 0], 1 / P[1, 1]])
    best = model.gap(x, mu, cov)[0]
    assert abs(best - 0.5 * (np.log(np.diag(P)).sum() - np.linalg.slogdet(P).logabsdet)) < 1e-12
    assert abs(model.log_px(x)[0] - model.optimal_elbo(x)[0] - best) < 1e-12
    for _ in range(50):
        other = mu + 0.1 * rng.standard_normal(mu.shape), cov * np.exp(0.2 * rng.standard_normal(2))
        assert model.gap(x, *other)[0] > best > 1e-3
    assert model.gap(x, mu, np.diag(np.diag(np.linalg.inv(P))))[0] > best + 1e-3  # the posterior's own variances
    q, _ = np.linalg.qr(model.W)
    orthogonal = LinearGaussian(q * [1.5, 0.7], model.mean, model.sigma)
    assert abs(orthogonal.gap(x, *orthogonal.best_diagonal(x))[0]) < 1e-12
    c, s = math.cos(0.5), math.sin(0.5)
    turned = LinearGaussian(orthogonal.W @ np.array([[c, -s], [s, c]]), model.mean, model.sigma)
    assert abs(turned.log_px(x)[0] - orthogonal.log_px(x)[0]) < 1e-12
    assert turned.gap(x, *turned.best_diagonal(x))[0] > 1e-3


@pytest.mark.equation("linear-gaussian-backward")
def test_gradients_of_the_evidence_entry_by_entry(model, rng):
    x, dlog_px, h = model.mean + rng.standard_normal((4, 3)), rng.standard_normal(4), 1e-5
    dW, dmean, dsigma = model.log_px_backward(x, dlog_px)
    for name, grad in (("W", dW), ("mean", dmean), ("sigma", np.array(dsigma))):
        value = np.asarray(getattr(model, name))
        for index in np.ndindex(value.shape):
            step = np.zeros(value.shape)
            step[index] = h
            up, down = (model._replace(**{name: value + s}).log_px(x) for s in (step, -step))
            assert abs((dlog_px * (up - down)).sum() / (2 * h) - grad[index]) < 1e-7


def data(rng):
    return rng.standard_normal((200, 5)) @ np.diag([3.0, 1.6, 1.1, 0.5, 0.3]) @ rng.standard_normal((5, 5)) + 1.0


@pytest.mark.equation("mean-log-evidence")
def test_the_data_enter_through_their_covariance(rng):
    x = data(rng)
    model = LinearGaussian(rng.standard_normal((5, 2)), x.mean(axis=0), 0.9)
    covariance, C = np.cov(x.T, bias=True), model.covariance
    formula = -0.5 * (np.trace(np.linalg.inv(C) @ covariance) + math.log(np.linalg.det(C)) + 5 * math.log(2 * math.pi))
    assert abs(model.log_px(x).mean() - formula) < 1e-10


@pytest.mark.equation("active-latents")
def test_a_latent_whose_eigenvalue_is_below_the_noise_collapses(rng):
    x = data(rng)
    eigenvalues = np.linalg.eigvalsh(np.cov(x.T, bias=True))[::-1]
    sigma = math.sqrt((eigenvalues[1] + eigenvalues[2]) / 2)  # the third latent is below the noise
    model = fit_linear_gaussian(x, 3, sigma)
    lengths = np.sqrt((model.W**2).sum(axis=0))
    np.testing.assert_allclose(lengths, np.sqrt(np.maximum(eigenvalues[:3] - sigma**2, 0)), atol=1e-9)
    assert lengths[2] == 0 < lengths[1]
    e = np.linalg.eigh(np.cov(x.T, bias=True))[1][:, ::-1][:, :3]
    best, net = model.log_px(x).mean(), np.linspace(0, 2, 9)
    for j in range(3):  # no other length of any column is better, the collapsed one included
        for w in net * max(lengths[j], 1.0):
            W = e * np.where(np.arange(3) == j, w, lengths)
            assert model._replace(W=W).log_px(x).mean() <= best + 1e-12


@pytest.mark.equation("best-noise", "active-latents")
def test_at_the_best_parameters_every_gradient_is_zero_and_the_elbo_is_the_evidence(rng):
    x = data(rng)
    model = fit_linear_gaussian(x, 2)
    eigenvalues = np.linalg.eigvalsh(np.cov(x.T, bias=True))[::-1]
    assert abs(model.sigma**2 - eigenvalues[2:].mean()) < 1e-12
    for grad in model.log_px_backward(x, np.full(200, 1 / 200)):
        assert np.abs(grad).max() < 1e-12
    np.testing.assert_allclose(model.optimal_elbo(x), model.log_px(x), rtol=1e-12)
    for _ in range(50):  # no nearby model is better, whatever its columns
        W = model.W + 0.05 * rng.standard_normal(model.W.shape)
        assert (
            model._replace(W=W, sigma=model.sigma * math.exp(0.05 * rng.standard_normal())).log_px(x).mean()
            < model.log_px(x).mean()
        )
