"""Likelihoods: each integrates to one, its slope is right, its mean and its draws are those of its density.

Whatever is registered is tested here, at its defaults, and a few settings beside.
"""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from proof import assert_backward_matches, freeze, log_normal, within_standard_errors

from scratchvae import Adam, Autoencoder, Bernoulli, ContinuousBernoulli, Gaussian, GaussianLearned, fit
from scratchvae.checks.likelihood.density import Pixel
from scratchvae.checks.likelihood.lattices import best_way
from scratchvae.checks.likelihood.normalised import measured
from scratchvae.gaussian import gaussian_log_density, gaussian_log_density_backward
from scratchvae.likelihoods import LIKELIHOODS

ALL = [*(make() for make in LIKELIHOODS.values()), Gaussian(sigma=0.3), GaussianLearned(floor=0.1)]
LOGITS = np.array([-30.0, -3.0, -0.5, -0.0999, -1e-3, 0.0, 1e-3, 0.1001, 0.5, 3.0, 30.0])


def named(likelihood):
    values = [f"{value:.3g}" for name, value in likelihood.config.items() if name != "name"]
    return "-".join([likelihood.name, *values])


def rows_of_logits(likelihood):
    """LOGITS for every parameter, in another order for each, (11, P)."""
    return np.stack([np.roll(LOGITS, 4 * j) for j in range(likelihood.n_params)], axis=1)


# -- all of them -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("likelihood", ALL, ids=named)
def test_it_adds_up_to_one_and_mean_is_the_mean(likelihood):
    rows = rows_of_logits(likelihood)
    for mass in best_way([Pixel(likelihood, row, likelihood.support) for row in rows]):
        assert mass.settled
        assert abs(mass.total - 1) < 1e-12
        mean = likelihood.mean(mass.pixel.logits[None])[0, 0]
        assert abs(mass.mean - mean) < 1e-12 * (1 + mass.scale)


@pytest.mark.equation(
    "bernoulli-backward", "gaussian-nll-backward", "continuous-bernoulli-backward", "gaussian-learned-backward"
)
@pytest.mark.parametrize("likelihood", ALL, ids=named)
def test_backward(likelihood, rng):
    logits = rows_of_logits(likelihood).T.reshape(1, -1) + 0.01 * rng.standard_normal((4, 11 * likelihood.n_params))
    x = freeze(likelihood.sample(logits, rng))  # (4, 11)
    assert_backward_matches(
        lambda logits: likelihood.nll(x, logits), likelihood.nll_backward, [logits], rng, tolerance=1e-7
    )


@pytest.mark.parametrize("likelihood", ALL, ids=named)
def test_draws_have_the_mean_and_the_variance_of_the_density(likelihood, rng):
    for mass in measured(likelihood):
        draws = likelihood.sample(np.tile(mass.pixel.logits, (100_000, 1)), rng)
        assert within_standard_errors(draws, mass.mean)
        assert within_standard_errors(draws**2, mass.mean**2 + mass.spread**2)
        assert likelihood.support[0] <= draws.min()
        assert draws.max() <= likelihood.support[1]


@pytest.mark.parametrize("likelihood", ALL, ids=named)
@pytest.mark.parametrize("first", [-1e4, 0.0, 1e4])
@pytest.mark.parametrize("others", [-80.0, 0.0, 80.0])
def test_float32_stays_finite_at_extreme_logits(likelihood, first, others, rng):
    """The first parameter, a logit or a mean, as far as 1e4; another one, a log-variance, as far as 80."""
    x = rng.random((3, 784), dtype="float32")
    columns = [first, *[others] * (likelihood.n_params - 1)]
    logits = np.repeat(np.array(columns, "float32"), 784) * np.ones((3, 1), "float32")  # (3, 784 P)
    nll, cache = likelihood.nll(freeze(x), freeze(logits))
    dlogits = likelihood.nll_backward(np.ones(3, dtype="float32"), freeze(cache))
    assert dlogits.shape == logits.shape
    for array in (nll, dlogits, likelihood.mean(logits), likelihood.sample(logits, rng)):
        assert array.dtype == np.float32
        assert np.isfinite(array).all()


@pytest.mark.parametrize("likelihood", ALL, ids=named)
def test_output_bias_starts_at_an_image_like_the_average_one(likelihood):
    pixel_mean = freeze(np.array([0.0, 0.2, 0.5, 1.0]))
    bias = likelihood.output_bias(pixel_mean)
    assert bias.shape == (4 * likelihood.n_params,)
    assert np.isfinite(bias).all()
    image = likelihood.mean(bias[None])[0]
    assert (np.diff(image) > 0).all()
    assert np.abs(image - pixel_mean).max() < 0.25


@pytest.mark.parametrize("likelihood", ALL, ids=named)
def test_config_builds_the_same_likelihood_again(likelihood):
    config = dict(likelihood.config)
    again = LIKELIHOODS[config.pop("name")](**config)
    assert type(again) is type(likelihood)
    assert again.config == likelihood.config


@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, "1", None])
def test_a_standard_deviation_must_be_positive_and_finite(value):
    with pytest.raises(ValueError, match=r"^sigma should be a positive finite number, got"):
        Gaussian(sigma=value)
    with pytest.raises(ValueError, match=r"^floor should be a positive finite number, got"):
        GaussianLearned(floor=value)


# -- one by one --------------------------------------------------------------------------------------------------------


@pytest.mark.equation("bernoulli-nll")
def test_bernoulli_is_the_cross_entropy(rng):
    x, logits = rng.random((4, 6)), rng.standard_normal((4, 6))
    p = 1 / (1 + np.exp(-logits))
    nll, _ = Bernoulli().nll(x, logits)
    np.testing.assert_allclose(nll, -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum(axis=1), rtol=1e-13)


def test_bernoulli_and_gaussian_start_at_the_pixel_mean():
    pixel_mean = np.array([0.0, 0.2, 0.5, 1.0])
    np.testing.assert_allclose(Bernoulli().mean(Bernoulli().output_bias(pixel_mean)), [0.01, 0.2, 0.5, 0.99])
    np.testing.assert_array_equal(Gaussian().output_bias(pixel_mean), pixel_mean)
    np.testing.assert_array_equal(GaussianLearned().output_bias(pixel_mean), [*pixel_mean, 0, 0, 0, 0])


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


# -- a variance from the decoder ---------------------------------------------------------------------------------------

FLOORS = [1 / 255, 0.1, 2.0]


def bound(floor, D):
    """The nll of D pixels is never below this."""
    return D * (math.log(floor) + 0.5 * math.log(2 * math.pi))


@pytest.mark.equation("gaussian-floor")
@pytest.mark.parametrize("floor", FLOORS)
def test_the_variance_is_the_square_of_the_floor_and_what_is_learned(floor):
    s = np.linspace(-60, 60, 241)[None]
    m, logvar, slope = GaussianLearned(floor).mean_and_x_logvar(np.concatenate([0 * s, s], axis=1))
    assert not m.any()
    np.testing.assert_allclose(np.exp(logvar), floor**2 + np.exp(s), rtol=1e-13)
    np.testing.assert_allclose(slope, np.exp(s) / (floor**2 + np.exp(s)), rtol=1e-12, atol=1e-16)


@pytest.mark.equation("gaussian-learned-nll")
@pytest.mark.parametrize("floor", FLOORS)
def test_gaussian_learned_is_the_log_density_with_that_variance(floor, rng):
    x, m, s = rng.standard_normal((3, 4, 6))
    nll, _ = GaussianLearned(floor).nll(x, np.concatenate([m, s], axis=1))
    np.testing.assert_allclose(nll, -log_normal(x, m, floor**2 + np.exp(s)), rtol=1e-12)


@pytest.mark.equation("gaussian-learned-backward")
@pytest.mark.parametrize("s", [-700.0, -80.0, 0.0, 80.0, 700.0])
@pytest.mark.parametrize("m", [-1e8, 0.3, 1e8])
def test_gaussian_learned_backward_at_extreme_logits(m, s):
    """dm = -u / sigma and ds = (1 - u^2) exp(s) / (2 v), each computed here from v itself."""
    x, floor = 0.3, 0.1
    v = floor**2 + math.exp(s)
    likelihood = GaussianLearned(floor)
    _, cache = likelihood.nll(np.array([[x]]), np.array([[m, s]]))
    dlogits = likelihood.nll_backward(np.array([2.0]), cache)
    dm, ds = 2 * (m - x) / v, (1 - (x - m) ** 2 / v) * math.exp(s) / v
    np.testing.assert_allclose(dlogits[0, 0], dm, rtol=1e-11)
    np.testing.assert_allclose(dlogits[0, 1], ds, rtol=1e-11, atol=3e-16 * (1 + (x - m) ** 2 / v))  # of a sigmoid


@pytest.mark.equation("gaussian-learned-bound")
@settings(max_examples=200, deadline=None)
@given(
    floor=st.floats(1e-4, 1e4),
    x=st.lists(st.floats(-1e4, 1e4), min_size=3, max_size=3),
    m=st.lists(st.floats(-1e4, 1e4), min_size=3, max_size=3),
    s=st.lists(st.floats(-1e3, 1e2), min_size=3, max_size=3),
)
def test_no_logits_and_no_pixels_get_below_the_bound(floor, x, m, s):
    nll, _ = GaussianLearned(floor).nll(np.array([x]), np.array([[*m, *s]]))
    assert nll[0] >= bound(floor, 3) - 1e-12 * (1 + abs(bound(floor, 3)))


@pytest.mark.equation("gaussian-learned-bound")
@pytest.mark.parametrize("floor", FLOORS)
def test_the_bound_is_approached_by_a_decoder_that_is_certain_and_right(floor, rng):
    x = rng.random((1, 5))
    above = [
        GaussianLearned(floor).nll(x, np.concatenate([x, np.full((1, 5), s)], axis=1))[0][0] - bound(floor, 5)
        for s in (0.0, -10.0, -20.0, -30.0, -300.0)
    ]
    assert all(np.diff(above[:4]) < 0)
    assert above[-2] < 1e-6
    assert abs(above[-1]) < 1e-12


def test_a_decoder_that_hits_every_pixel_cannot_run_away():
    """Downhill in s from x = m, for ten thousand steps: with a floor it comes to rest, without one it never does."""
    x, likelihood = np.full((1, 4), 0.25), GaussianLearned()
    logits = np.concatenate([x, np.zeros((1, 4))], axis=1)  # (1, 8)
    for _ in range(10_000):
        nll, cache = likelihood.nll(x, logits)
        assert nll[0] >= bound(likelihood.floor, 4) - 1e-12
        logits = logits - likelihood.nll_backward(np.ones(1), cache)
    assert nll[0] - bound(likelihood.floor, 4) < 1e-3
    s = np.zeros((1, 4))  # of a log-variance without a floor, for a fifth of the steps
    for _ in range(2_000):
        log_density, cache = gaussian_log_density(x, x, s)
        s = s + gaussian_log_density_backward(np.ones(1), cache)[2]
    assert -log_density[0] < bound(likelihood.floor, 4) - 1000


def test_a_network_that_is_trained_on_a_black_border_stays_above_the_bound(rng):
    x = np.zeros((64, 6))
    x[:, 2:4] = rng.random((64, 2))  # four of six pixels are always black
    model = Autoencoder(6, (8,), 2, "tanh", GaussianLearned(floor=0.05), rng=rng, dtype="float64")
    history = fit(model, x, x, epochs=60, optimizer=Adam(lr=0.05), rng=rng, binarise="none", progress=False)
    assert history["test_nll"][-1] < history["test_nll"][0] - 6
    assert min(history["test_nll"]) > bound(0.05, 6)
    logvar = model.likelihood.mean_and_x_logvar(model.decode(model.encode(x)[0])[0])[1]
    assert (logvar >= 2 * math.log(0.05)).all()


def test_with_equal_variance_the_learned_and_the_fixed_gaussian_agree(rng):
    sigma, floor = 0.3, 0.1
    x, m = rng.standard_normal((2, 4, 6))
    fixed, learned = Gaussian(sigma), GaussianLearned(floor)
    logits = np.concatenate([m, np.full((4, 6), math.log(sigma**2 - floor**2))], axis=1)
    (nll, cache), (nll_learned, cache_learned) = fixed.nll(x, m), learned.nll(x, logits)
    np.testing.assert_allclose(nll_learned, nll, rtol=1e-12)
    dnll = rng.standard_normal(4)
    np.testing.assert_allclose(
        learned.nll_backward(dnll, cache_learned)[:, :6], fixed.nll_backward(dnll, cache), rtol=1e-12
    )
    np.testing.assert_array_equal(learned.mean(logits), fixed.mean(m))
    draws, fixed_draws = learned.sample(logits, np.random.default_rng(0)), fixed.sample(m, np.random.default_rng(0))
    np.testing.assert_allclose(draws, fixed_draws, rtol=1e-12)


def test_the_floor_is_in_the_config():
    assert GaussianLearned().config == {"name": "gaussian-learned", "floor": 1 / 255}
    assert GaussianLearned(floor=0.1).config == {"name": "gaussian-learned", "floor": 0.1}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_continuous_bernoulli_without_a_slope_draws_the_uniform_number_itself(dtype):
    logits = np.zeros((3, 50), dtype)
    uniforms = np.random.default_rng(4).random(logits.shape, dtype=dtype)
    draws = ContinuousBernoulli().sample(logits, np.random.default_rng(4))
    np.testing.assert_allclose(draws, 1 - uniforms, atol=1e-5)
    assert np.isfinite(draws).all()
