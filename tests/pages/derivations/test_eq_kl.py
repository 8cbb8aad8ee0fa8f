"""docs/derivations/02_kl.md, line by line: integrals on a grid and loops over latents."""

import math

import numpy as np
import pytest
from proof import grid, log_normal

from scratchvae import kl_to_standard_normal, kl_to_standard_normal_backward
from scratchvae.gaussian import gaussian_log_density, gaussian_log_density_backward

Z, CELL = grid(1, 32, 2**13 + 1)  # the cell is 2^-7, exactly


def integral(f):
    return float(f.sum() * CELL)


def kl_by_integral(log_q, log_p):
    return integral(np.exp(log_q) * (log_q - log_p))


def two_gaussians(mu, sigma, m, s):
    """Equation (10) for one latent."""
    return 0.5 * ((sigma**2 + (mu - m) ** 2) / s**2 - 1 + math.log(s**2 / sigma**2))


@pytest.mark.equation("kl-definition")
def test_kl_is_a_mean_of_log_density_differences_under_q(rng):
    log_q, log_p = log_normal(Z, 0.4, 0.6), log_normal(Z, -0.3, 1.7)
    z = 0.4 + math.sqrt(0.6) * rng.standard_normal((200_000, 1))
    differences = log_normal(z, 0.4, 0.6) - log_normal(z, -0.3, 1.7)
    error = differences.std() / math.sqrt(len(differences))
    assert abs(differences.mean() - kl_by_integral(log_q, log_p)) < 5 * error


@pytest.mark.equation("kl-nonnegative")
def test_kl_is_never_negative_and_zero_only_for_equal_distributions(rng):
    t = np.exp(np.linspace(-10, 5, 1001))
    assert (np.log(t) <= t - 1).all()
    assert ((t - 1 - np.log(t))[np.abs(t - 1) > 1e-3] > 1e-7).all()
    for _ in range(20):
        q, p = rng.dirichlet(np.ones(6)), rng.dirichlet(np.ones(6))
        bound = (q * (p / q - 1)).sum()  # the third line
        assert -(q * np.log(q / p)).sum() < bound < 1e-12
    assert kl_by_integral(log_normal(Z, 1.0, 2.0), log_normal(Z, 1.0, 2.0)) == 0


@pytest.mark.equation("kl-asymmetric", "kl-two-gaussians")
def test_the_two_directions_differ():
    narrow, wide = log_normal(Z, 0, 1), log_normal(Z, 0, 4)
    for log_q, log_p, value, rounded in (
        (narrow, wide, 0.5 * (math.log(4) + 0.25 - 1), 0.318),
        (wide, narrow, 0.5 * (-math.log(4) + 4 - 1), 0.807),
    ):
        assert abs(kl_by_integral(log_q, log_p) - value) < 1e-10
        assert round(value, 3) == rounded
    # and no triangle inequality: the detour over standard deviation 2 is shorter than the way from 4 to 1
    detour = two_gaussians(0, 4, 0, 2) + two_gaussians(0, 2, 0, 1)
    assert two_gaussians(0, 4, 0, 1) > detour + 1


@pytest.mark.equation("kl-adds")
def test_kl_of_independent_latents_adds():
    points, cell = grid(2, 14, 701)
    mu, var, m, s2 = np.array([0.5, -1.0]), np.array([0.3, 1.4]), np.array([0.1, 0.2]), np.array([1.2, 0.7])
    log_q, log_p = log_normal(points, mu, var), log_normal(points, m, s2)
    joint = (np.exp(log_q) * (log_q - log_p)).sum() * cell
    parts = [kl_by_integral(log_normal(Z, mu[j], var[j]), log_normal(Z, m[j], s2[j])) for j in range(2)]
    assert abs(joint - sum(parts)) < 1e-10


@pytest.mark.equation("gaussian-log-density")
def test_log_density_is_the_log_of_a_product_of_bell_curves(rng):
    z, mu, logvar = rng.standard_normal((3, 4, 3))
    log_q, _ = gaussian_log_density(z, mu, logvar)
    for b in range(4):
        product = 1.0
        for j in range(3):
            var = math.exp(logvar[b, j])
            product *= math.exp(-((z[b, j] - mu[b, j]) ** 2) / (2 * var)) / math.sqrt(2 * math.pi * var)
        assert abs(log_q[b] - math.log(product)) < 1e-13


@pytest.mark.equation("gaussian-log-density-backward")
def test_log_density_backward_one_entry_at_a_time(rng):
    arguments, dlog_q, h = list(rng.standard_normal((3, 4, 3))), rng.standard_normal(4), 1e-5
    _, cache = gaussian_log_density(*arguments)
    for i, grad in enumerate(gaussian_log_density_backward(dlog_q, cache)):
        for index in np.ndindex(4, 3):
            step = np.zeros((4, 3))
            step[index] = h
            up, down = (
                gaussian_log_density(*arguments[:i], arguments[i] + s, *arguments[i + 1 :])[0] for s in (step, -step)
            )
            assert abs(grad[index] - (dlog_q * (up - down)).sum() / (2 * h)) < 1e-8


@pytest.mark.equation("gaussian-moments", "gaussian-entropies")
@pytest.mark.parametrize(("mu", "logvar"), [(0.0, 0.0), (1.3, -1.2), (-0.7, 0.9)])
def test_moments_and_entropies_by_quadrature(mu, logvar):
    var = math.exp(logvar)
    log_q, log_p, z = log_normal(Z, mu, var), log_normal(Z), Z[:, 0]
    q = np.exp(log_q)
    assert abs(integral(q * (z - mu) ** 2 / var) - 1) < 1e-12
    assert abs(integral(q * z**2) - (var + mu**2)) < 1e-12
    assert abs(integral(q * log_q) + 0.5 * (1 + logvar + math.log(2 * math.pi))) < 1e-12
    assert abs(integral(q * log_p) + 0.5 * (mu**2 + var + math.log(2 * math.pi))) < 1e-12


@pytest.mark.equation("kl-two-gaussians", "kl-standard-normal")
def test_kl_between_gaussians_by_quadrature(rng):
    for (mu, m), (sigma, s) in zip(rng.standard_normal((5, 2)), rng.uniform(0.4, 2, (5, 2)), strict=True):
        value = two_gaussians(mu, sigma, m, s)
        assert abs(kl_by_integral(log_normal(Z, mu, sigma**2), log_normal(Z, m, s**2)) - value) < 1e-10
        kl, _ = kl_to_standard_normal(np.array([[mu]]), np.array([[2 * math.log(sigma)]]))
        assert abs(kl[0] - two_gaussians(mu, sigma, 0, 1)) < 1e-13


@pytest.mark.equation("kl-standard-normal-backward")
def test_kl_backward_is_the_derivative_of_the_integral(rng):
    """Not of the closed form: of the integral that it stands for."""
    mu, logvar, dkl, h = 0.8, -0.5, 1.7, 1e-4
    _, cache = kl_to_standard_normal(np.array([[mu]]), np.array([[logvar]]))
    dmu, dlogvar = kl_to_standard_normal_backward(np.array([dkl]), cache)

    def kl(mu, logvar):
        return dkl * kl_by_integral(log_normal(Z, mu, math.exp(logvar)), log_normal(Z))

    assert abs(dmu[0, 0] - (kl(mu + h, logvar) - kl(mu - h, logvar)) / (2 * h)) < 1e-7
    assert abs(dlogvar[0, 0] - (kl(mu, logvar + h) - kl(mu, logvar - h)) / (2 * h)) < 1e-7
