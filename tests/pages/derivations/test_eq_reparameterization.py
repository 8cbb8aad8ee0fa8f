"""docs/derivations/04_reparameterization.md, line by line: means over noise as sums over a grid."""

import math

import numpy as np
import pytest
from proof import grid, log_normal, within_standard_errors

from scratchvae import reparameterize, reparameterize_backward

MU, V = 0.4, -0.6  # mean and log-variance of q
SIGMA = math.exp(V / 2)
EPS, CELL = grid(1, 10, 4001)
EPS = EPS[:, 0]
WEIGHT = np.exp(log_normal(EPS[:, None])) * CELL


def f(z):
    return z**2 + np.sin(z)


def slope(z):
    return 2 * z + np.cos(z)


def mean(values):
    """The mean over the noise."""
    return float(WEIGHT @ values)


def F(mu, v):
    """E[z^2 + sin z] = mu^2 + sigma^2 + sin(mu) exp(-sigma^2 / 2), in closed form."""
    return mu**2 + math.exp(v) + math.sin(mu) * math.exp(-math.exp(v) / 2)


def difference(g, at, h=1e-5):
    return (g(at + h) - g(at - h)) / (2 * h)


def distribution(t):
    """Phi, the distribution function of N(0, 1)."""
    return 0.5 * (1 + math.erf(t / math.sqrt(2)))


@pytest.mark.equation("reparameterization")
def test_the_draw_has_the_distribution_function_of_q():
    z, _ = reparameterize(np.full((len(EPS), 1), MU), np.full((len(EPS), 1), V), EPS[:, None])
    for t in (-1.0, 0.1, 0.9, 2.0):
        phi = distribution((t - MU) / SIGMA)
        assert abs(WEIGHT[z[:, 0] <= t].sum() - phi) < 2 * WEIGHT.max()  # the grid cuts one cell
        density = math.exp(log_normal(np.array([t]), MU, SIGMA**2))
        assert abs(difference(lambda t: distribution((t - MU) / SIGMA), t) - density) < 1e-8


@pytest.mark.equation("mean-over-noise")
def test_a_mean_over_q_is_a_mean_over_the_noise():
    z, cell = grid(1, 12, 8001)
    over_q = (np.exp(log_normal(z, MU, SIGMA**2)) * f(z[:, 0])).sum() * cell
    assert abs(over_q - mean(f(MU + SIGMA * EPS))) < 1e-10
    assert abs(over_q - F(MU, V)) < 1e-10


@pytest.mark.equation("pathwise-gradient")
def test_the_path_gives_the_gradient_of_the_mean():
    z = MU + SIGMA * EPS
    assert abs(mean(slope(z)) - difference(lambda m: F(m, V), MU)) < 1e-8
    assert abs(mean(slope(z) * SIGMA * EPS / 2) - difference(lambda v: F(MU, v), V)) < 1e-8
    by_sigma = difference(lambda s: F(MU, 2 * math.log(s)), SIGMA)
    assert abs(mean(slope(z) * EPS) - by_sigma) < 1e-8


@pytest.mark.equation("pathwise-gradient")
def test_a_kink_does_no_harm_because_f_is_continuous():
    """f = max(z, 0), whose mean is mu Phi(mu / sigma) + sigma^2 N(0; mu, sigma^2)."""

    def mean_of_relu(mu):
        return mu * distribution(mu / SIGMA) + SIGMA**2 * math.exp(log_normal(np.zeros(1), mu, SIGMA**2))

    z = MU + SIGMA * EPS
    assert abs(mean(np.maximum(z, 0)) - mean_of_relu(MU)) < 1e-6
    assert abs(mean(z > 0) - difference(mean_of_relu, MU)) < 2 * WEIGHT.max()  # the grid cuts one cell


@pytest.mark.equation("pathwise-gradient", "score-function")
def test_a_jump_is_fatal_for_the_path_and_not_for_the_score(rng):
    """f = 1 where z > 0, else 0, whose mean is Phi(mu / sigma)."""
    mu, sigma, h = 0.4, 0.8, 1e-9
    truth = difference(lambda mu: distribution(mu / sigma), mu)
    assert round(truth, 3) == 0.440
    assert abs(truth - math.exp(log_normal(np.zeros(1), mu, sigma**2))) < 1e-9  # q(0)
    eps = rng.standard_normal(100_000)
    up, down = (1.0 * (mu + step + sigma * eps > 0) for step in (h, -h))
    assert ((up - down) / (2 * h) == 0).all()  # the path: every draw has the slope 0
    assert within_standard_errors(((mu + sigma * eps > 0) * eps / sigma)[:, None], truth)  # the score


@pytest.mark.equation("pathwise-gradient")
def test_what_the_path_misses_is_the_jump_times_the_density_there():
    """f = sin z, and r more above t: its mean is sin(mu) exp(-sigma^2 / 2) + r Phi((mu - t) / sigma)."""
    r, t = 3.0, 0.1

    def mean_of_f(mu):
        return math.sin(mu) * math.exp(-(SIGMA**2) / 2) + r * distribution((mu - t) / SIGMA)

    missing = difference(mean_of_f, MU) - mean(np.cos(MU + SIGMA * EPS))
    assert abs(missing - r * math.exp(log_normal(np.array([t]), MU, SIGMA**2))) < 1e-8


@pytest.mark.equation("reparameterization-backward")
def test_backward_of_one_draw_one_entry_at_a_time(rng):
    mu, logvar, eps, dz = rng.standard_normal((4, 3, 2))
    _, cache = reparameterize(mu, logvar, eps)
    grads, h = reparameterize_backward(dz, cache), 1e-6
    for i, grad in enumerate(grads):
        for index in np.ndindex(3, 2):
            step = [np.zeros((3, 2)), np.zeros((3, 2))]
            step[i][index] = h
            up, down = (reparameterize(mu + s * step[0], logvar + s * step[1], eps)[0] for s in (1, -1))
            assert abs(grad[index] - (dz * (up - down)).sum() / (2 * h)) < 1e-9


@pytest.mark.equation("noise-drawn-twice")
def test_another_draw_in_the_backward_loses_the_path_through_sigma():
    z = MU + SIGMA * EPS
    both = np.einsum("g,h,g,h->", WEIGHT, WEIGHT, slope(z), EPS)
    assert abs(both) < 1e-12
    assert abs(mean(slope(z) * EPS)) > 0.5


@pytest.mark.equation("score-function", "gaussian-score")
def test_the_score_gives_the_same_gradient():
    z = MU + SIGMA * EPS
    score_mu, score_v = EPS / SIGMA, (EPS**2 - 1) / 2
    assert abs(mean(f(z) * score_mu) - difference(lambda m: F(m, V), MU)) < 1e-8
    assert abs(mean(f(z) * score_v) - difference(lambda v: F(MU, v), V)) < 1e-8
    for e in (-1.3, 0.2, 2.0):
        at = np.array([MU + SIGMA * e])
        assert abs(difference(lambda m, at=at: log_normal(at, m, SIGMA**2), MU) - e / SIGMA) < 1e-8
        assert abs(difference(lambda v, at=at: log_normal(at, MU, math.exp(v)), V) - (e**2 - 1) / 2) < 1e-8


@pytest.mark.equation("score-has-mean-zero")
def test_a_constant_changes_the_scatter_and_not_the_mean():
    z, score = MU + SIGMA * EPS, EPS / SIGMA
    assert abs(mean(score)) < 1e-12
    plain, shifted = f(z) * score, (f(z) - 50) * score
    assert abs(mean(plain) - mean(shifted)) < 1e-10
    assert mean(shifted**2) > 100 * mean(plain**2)


@pytest.mark.equation("estimator-variance")
@pytest.mark.parametrize(("mu", "sigma"), [(0.7, 0.67), (-2.0, 0.1), (0.0, 3.0)])
def test_variance_of_both_estimators_for_the_square(mu, sigma):
    z = mu + sigma * EPS
    for estimator, variance in (
        (2 * z, 4 * sigma**2),
        (z**2 * EPS / sigma, mu**4 / sigma**2 + 14 * mu**2 + 15 * sigma**2),
    ):
        assert abs(mean(estimator) - 2 * mu) < 1e-10
        assert abs(mean((estimator - 2 * mu) ** 2) / variance - 1) < 1e-10


@pytest.mark.equation("estimator-variance")
@pytest.mark.parametrize(("sigma", "of_path", "of_score"), [(0.8, 12.5, 0.78), (0.1, 4.2, 47)])
def test_for_a_steep_function_that_is_never_large_sigma_decides_the_order(sigma, of_path, of_score):
    """f = sin 5z at mu = 0.4."""
    mu = 0.4
    z = mu + sigma * EPS
    truth = 5 * math.cos(5 * mu) * math.exp(-25 * sigma**2 / 2)
    for estimator, variance in ((5 * np.cos(5 * z), of_path), (np.sin(5 * z) * EPS / sigma, of_score)):
        assert abs(mean(estimator) - truth) < 1e-10
        assert abs(mean((estimator - truth) ** 2) / variance - 1) < 0.012  # as rounded in the text
