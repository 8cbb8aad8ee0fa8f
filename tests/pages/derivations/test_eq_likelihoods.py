"""docs/derivations/06_likelihoods.md, line by line: sums over pixels, integrals over the unit interval."""

# ruff: noqa: E741  # l is the natural parameter on the page

import itertools
import math

import numpy as np
import pytest
from proof import grid

from scratchvae import Bernoulli, ContinuousBernoulli, Gaussian, GaussianLearned

LOGITS = np.array([-4.0, -0.7, 0.03, 0.9, 3.0])
T, STEP = np.polynomial.legendre.leggauss(80)
T, STEP = 0.5 * (T + 1), 0.5 * STEP  # nodes and weights for integrals from 0 to 1


def nll(likelihood, x, logit):
    return likelihood.nll(np.array([[float(x)]]), np.array([[float(logit)]]))[0][0]


def derivative(f, t, h=1e-5):
    return (f(t + h) - f(t - h)) / (2 * h)


@pytest.mark.equation("pixels-independent")
@pytest.mark.parametrize("likelihood", [Bernoulli(), Gaussian(0.4), ContinuousBernoulli()], ids=lambda p: p.name)
def test_an_image_is_a_sum_of_pixels(likelihood, rng):
    x, logits = rng.random((2, 5)), rng.standard_normal((2, 5))
    whole, _ = likelihood.nll(x, logits)
    for b in range(2):
        product = math.prod(math.exp(-nll(likelihood, x[b, d], logits[b, d])) for d in range(5))
        assert abs(whole[b] + math.log(product)) < 1e-12


@pytest.mark.equation("bernoulli-nll")
@pytest.mark.parametrize("x", [0.0, 1.0, 0.3])
def test_cross_entropy_line_by_line(x):
    for l in LOGITS:
        p = 1 / (1 + math.exp(-l))
        lines = (
            -x * math.log(p) - (1 - x) * math.log(1 - p),
            -x * (math.log(p) - math.log(1 - p)) - math.log(1 - p),
            math.log(1 + math.exp(l)) - x * l,
        )
        for line in lines:
            assert abs(line - nll(Bernoulli(), x, l)) < 1e-13
        if x in (0.0, 1.0):
            assert abs(p**x * (1 - p) ** (1 - x) - math.exp(-lines[0])) < 1e-14


def assert_slope(likelihood, x, logit, slope):
    """slope is the derivative of nll along the logit, by a difference and by the backward."""
    assert abs(slope - derivative(lambda l: nll(likelihood, x, l), logit)) < 1e-8
    _, cache = likelihood.nll(np.array([[x]]), np.array([[logit]]))
    assert abs(likelihood.nll_backward(np.array([1.7]), cache)[0, 0] - 1.7 * slope) < 1e-10


@pytest.mark.equation("bernoulli-backward")
def test_bernoulli_slope_is_probability_minus_pixel():
    for l in LOGITS:
        assert_slope(Bernoulli(), 0.3, l, 1 / (1 + math.exp(-l)) - 0.3)


@pytest.mark.equation("gaussian-nll", "gaussian-nll-backward")
def test_gaussian_with_its_constants():
    sigma, x = 0.4, 0.7
    for m in LOGITS:
        density = math.exp(-((x - m) ** 2) / (2 * sigma**2)) / (math.sqrt(2 * math.pi) * sigma)
        assert (
            abs(
                nll(Gaussian(sigma), x, m)
                - ((x - m) ** 2 / (2 * sigma**2) + math.log(sigma) + 0.5 * math.log(2 * math.pi))
            )
            < 1e-12
        )
        assert density == 0 or abs(math.exp(-nll(Gaussian(sigma), x, m)) - density) < 1e-12
        assert_slope(Gaussian(sigma), x, m, -(x - m) / sigma**2)
    points, cell = grid(1, 8, 4001)
    total = sum(math.exp(-nll(Gaussian(sigma), t, 0.2)) for t in points[:, 0]) * cell
    assert abs(total - 1) < 1e-10


@pytest.mark.equation("continuous-bernoulli-normaliser")
def test_the_integral_makes_a_density():
    for l in LOGITS:
        p = 1 / (1 + math.exp(-l))
        plain = p**T * (1 - p) ** (1 - T)
        np.testing.assert_allclose(plain, (1 - p) * np.exp(l * T), rtol=1e-13)
        assert abs((STEP * np.exp(l * T)).sum() - (math.exp(l) - 1) / l) < 1e-12
        density = l / (math.exp(l) - 1) * np.exp(l * T)
        np.testing.assert_allclose(density, plain / (STEP * plain).sum(), rtol=1e-12)
        np.testing.assert_allclose(density, [math.exp(-nll(ContinuousBernoulli(), t, l)) for t in T], rtol=1e-11)
    assert abs((STEP * plain).sum() - 1) > 0.1  # without it the integral is not 1


@pytest.mark.equation("continuous-bernoulli-nll")
def test_the_stable_form_line_by_line():
    for l in LOGITS:
        value = math.log((math.exp(l) - 1) / l)
        if l > 0:
            assert abs(l + math.log((1 - math.exp(-l)) / l) - value) < 1e-12
        else:
            assert abs(math.log((1 - math.exp(-abs(l))) / abs(l)) - value) < 1e-12
        assert abs(max(l, 0) + math.log((1 - math.exp(-abs(l))) / abs(l)) - value) < 1e-12
        assert abs(nll(ContinuousBernoulli(), 0.3, l) - (value - 0.3 * l)) < 1e-12


@pytest.mark.equation("continuous-bernoulli-mean", "continuous-bernoulli-backward")
def test_the_mean_by_integrals_and_as_a_slope():
    for l in LOGITS:
        mean = (STEP * T * np.exp(l * T)).sum() / (STEP * np.exp(l * T)).sum()
        assert abs(mean - derivative(lambda l: math.log((math.exp(l) - 1) / l), l)) < 1e-8
        assert abs(mean - (1 / (1 - math.exp(-l)) - 1 / l)) < 1e-12
        assert abs(mean - ContinuousBernoulli().mean(np.array([[l]]))[0, 0]) < 1e-12
        assert_slope(ContinuousBernoulli(), 0.3, l, mean - 0.3)
    assert abs(mean - 1 / (1 + math.exp(-l))) > 0.1  # not the sigmoid
    for l in (-0.09, 0.02, 0.099):
        series = 1 / 2 + l / 12 - l**3 / 720 + l**5 / 30240 - l**7 / 1209600
        assert abs(series - (STEP * T * np.exp(l * T)).sum() / (STEP * np.exp(l * T)).sum()) < 1e-14


class Fixed:
    """A generator whose uniform draws are known."""

    def __init__(self, u):
        self.u = u

    def random(self, shape, dtype):
        return np.full(shape, self.u, dtype)


@pytest.mark.equation("continuous-bernoulli-draw")
@pytest.mark.parametrize("u", [0.01, 0.3, 0.5, 0.99])
def test_a_draw_inverts_the_distribution_function(u):
    for l in LOGITS:
        t = math.log(1 + u * (math.exp(l) - 1)) / l
        below = t * (STEP * np.exp(l * t * T)).sum() / (STEP * np.exp(l * T)).sum()
        assert abs(below - u) < 1e-12
        assert abs((math.exp(l * t) - 1) / (math.exp(l) - 1) - u) < 1e-12
        flipped = u if l < 0 else 1 - u  # for a positive logit the code mirrors the draw
        draw = ContinuousBernoulli().sample(np.array([[l]]), Fixed(flipped))[0, 0]
        assert abs(draw - t) < 1e-12


# -- the Gaussian with a learned variance ------------------------------------------------------------------------------

FLOOR = 0.1
C = math.log(FLOOR**2)


def learned(x, m, s):
    return GaussianLearned(FLOOR).nll(np.array([[x]]), np.array([[m, s]]))[0][0]


@pytest.mark.equation("gaussian-floor")
def test_the_variance_and_its_logarithm_as_a_softplus():
    for s in (-60.0, -4.0, C, 0.0, 3.0):
        v = FLOOR**2 + math.exp(s)
        lines = (math.log(v), math.log(FLOOR**2) + math.log1p(math.exp(s) / FLOOR**2), C + math.log1p(math.exp(s - C)))
        _, logvar, slope = GaussianLearned(FLOOR).mean_and_x_logvar(np.array([[0.0, s]]))
        for line in lines:
            assert abs(line - logvar[0, 0]) < 1e-13
        assert abs(slope[0, 0] - math.exp(s) / v) < 1e-15
        assert abs(slope[0, 0] - math.exp(s - C) / (1 + math.exp(s - C))) < 1e-15


@pytest.mark.equation("gaussian-learned-nll")
def test_a_variance_for_each_pixel(rng):
    x, m, s = (rng.standard_normal(3) for _ in range(3))
    total = 0.0
    for d in range(3):
        v = FLOOR**2 + math.exp(s[d])
        assert abs(learned(x[d], m[d], s[d]) - nll(Gaussian(math.sqrt(v)), x[d], m[d])) < 1e-13
        total += 0.5 * ((x[d] - m[d]) ** 2 / v + math.log(v) + math.log(2 * math.pi))
    whole, _ = GaussianLearned(FLOOR).nll(x[None], np.concatenate([m, s])[None])  # the means first
    assert abs(whole[0] - total) < 1e-12


@pytest.mark.equation("gaussian-learned-bound")
def test_a_pixel_that_is_hit_exactly_cannot_run_away(rng):
    bound = math.log(FLOOR) + 0.5 * math.log(2 * math.pi)
    values = [learned(0.5, 0.5, s) for s in np.linspace(10, -80, 50)]
    assert all(after <= before for before, after in itertools.pairwise(values))
    assert abs(values[-1] - bound) < 1e-14
    for x, m, s in rng.standard_normal((200, 3)) * [1, 1, 20]:
        assert learned(x, m, s) >= bound - 1e-14
    assert nll(Gaussian(1e-40), 0.5, 0.5) < -90  # without a floor there is no bound
    assert abs(math.exp(-nll(ContinuousBernoulli(), 1.0, 1e4)) - 1e4) < 1e-6  # the density at 1 grows with the logit


@pytest.mark.equation("gaussian-learned-backward")
def test_slopes_of_the_mean_and_of_the_variance(rng):
    for x, m, s in rng.standard_normal((20, 3)) * [1, 1, 3]:
        v = FLOOR**2 + math.exp(s)
        u = (x - m) / math.sqrt(v)
        dm, dlogvar = -(x - m) / v, (1 - u * u) / 2
        assert abs(dm - derivative(lambda t, x=x, s=s: learned(x, t, s), m)) < 1e-6 * max(1, abs(dm))
        log_v = math.log(v)
        by_hand = derivative(lambda t, x=x, m=m: (x - m) ** 2 / (2 * math.exp(t)) + t / 2, log_v)
        assert abs(dlogvar - by_hand) < 1e-6 * max(1, abs(dlogvar))
        likelihood = GaussianLearned(FLOOR)
        _, cache = likelihood.nll(np.array([[x]]), np.array([[m, s]]))
        got = likelihood.nll_backward(np.array([1.7]), cache)[0]
        np.testing.assert_allclose(got, [1.7 * dm, 1.7 * dlogvar * math.exp(s) / v], rtol=1e-11)
    assert (
        abs(learned(0.3, 0.0, math.log(0.09 - FLOOR**2)) - min(learned(0.3, 0.0, t) for t in np.linspace(-6, 2, 4001)))
        < 1e-6
    )
