"""The Gaussian: calculus by differences, probability by quadrature and by the moments of draws."""

import numpy as np
import pytest
from proof import assert_backward_matches, freeze, grid, log_normal, within_standard_errors

from scratchvae import (
    kl_to_standard_normal,
    kl_to_standard_normal_backward,
    reparameterize,
    reparameterize_backward,
)
from scratchvae.gaussian import gaussian_log_density, gaussian_log_density_backward


def some(rng, shape=(4, 3)):
    return rng.standard_normal(shape), rng.standard_normal(shape), rng.standard_normal(shape)


@pytest.mark.equation("reparameterization-backward")
def test_reparameterize_backward(rng):
    mu, logvar, eps = some(rng)
    assert_backward_matches(lambda m, s: reparameterize(m, s, freeze(eps)), reparameterize_backward, [mu, logvar], rng)


@pytest.mark.equation("kl-standard-normal-backward")
def test_kl_backward(rng):
    mu, logvar, _ = some(rng)
    assert_backward_matches(kl_to_standard_normal, kl_to_standard_normal_backward, [mu, logvar], rng)


@pytest.mark.equation("gaussian-log-density-backward")
def test_log_density_backward(rng):
    assert_backward_matches(gaussian_log_density, gaussian_log_density_backward, some(rng), rng)


@pytest.mark.equation("reparameterization")
@pytest.mark.parametrize("logvar", [-2.0, 0.0, 1.0, 2.5])
def test_the_draw_has_the_moments_of_the_distribution_that_the_kl_assumes(logvar, rng):
    n, mu = 200_000, 0.7
    eps = rng.standard_normal((n, 1))
    z, _ = reparameterize(np.full((n, 1), mu), np.full((n, 1), logvar), eps)
    var = np.exp(logvar)
    for power, moment in ((1, 0), (2, var), (3, 0), (4, 3 * var**2)):  # central moments of N(mu, var)
        assert within_standard_errors((z - mu) ** power, moment)


@pytest.mark.equation("kl-standard-normal")
@pytest.mark.parametrize("n_z", [1, 2])
def test_kl_by_quadrature(n_z, rng):
    points, cell = grid(n_z, 14, 801)
    for mu, logvar in zip(1.5 * rng.standard_normal((4, n_z)), rng.uniform(-2, 1, (4, n_z)), strict=True):
        log_q, log_p = log_normal(points, mu, np.exp(logvar)), log_normal(points)
        integral = (np.exp(log_q) * (log_q - log_p)).sum() * cell
        kl, _ = kl_to_standard_normal(mu[None], logvar[None])
        assert abs(kl[0] - integral) < 1e-9


def test_kl_is_zero_only_at_the_prior_and_adds_over_latents(rng):
    mu, logvar, _ = some(rng)
    zero, _ = kl_to_standard_normal(np.zeros((2, 3)), np.zeros((2, 3)))
    np.testing.assert_array_equal(zero, 0)
    kl, _ = kl_to_standard_normal(mu, logvar)
    assert (kl > 0).all()
    parts = [kl_to_standard_normal(mu[:, j : j + 1], logvar[:, j : j + 1])[0] for j in range(3)]
    np.testing.assert_allclose(kl, sum(parts), rtol=1e-14)


def test_kl_of_a_shifted_wide_gaussian_worked_out_by_hand():
    kl, _ = kl_to_standard_normal(np.array([[1.0]]), np.array([[np.log(4.0)]]))
    assert abs(kl[0] - (2 - np.log(2))) < 1e-15  # (1 + 4 - 1 - log 4) / 2


@pytest.mark.equation("gaussian-log-density")
@pytest.mark.parametrize("n_z", [1, 2])
def test_log_density_integrates_to_one_and_agrees_with_a_second_spelling(n_z, rng):
    points, cell = grid(n_z, 14, 801)
    mu, logvar = rng.standard_normal((1, n_z)), rng.uniform(-2, 1, (1, n_z))
    log_q, _ = gaussian_log_density(points, mu, logvar)
    assert abs(np.exp(log_q).sum() * cell - 1) < 1e-10
    np.testing.assert_allclose(log_q, log_normal(points, mu, np.exp(logvar)), rtol=1e-12)


@pytest.mark.parametrize("logvar", [-80.0, 80.0])
def test_float32_stays_finite_at_extreme_log_variances(logvar, rng):
    mu, _, eps = (a.astype("float32") for a in some(rng, (4, 20)))
    logvars = np.full((4, 20), logvar, dtype="float32")
    z, z_cache = reparameterize(mu, logvars, eps)
    kl, kl_cache = kl_to_standard_normal(mu, logvars)
    log_q, q_cache = gaussian_log_density(z, mu, logvars)
    grads = (
        *reparameterize_backward(np.ones_like(z), z_cache),
        *kl_to_standard_normal_backward(np.ones_like(kl), kl_cache),
        *gaussian_log_density_backward(np.ones_like(log_q), q_cache),
    )
    for array in (z, kl, log_q, *grads):
        assert array.dtype == np.float32
        assert np.isfinite(array).all()
