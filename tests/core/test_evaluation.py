"""Evaluation: the estimates against models whose evidence is known, and their promises about memory and noise."""

import math
import tracemalloc

import numpy as np
import pytest
from proof import freeze, log_normal, within_standard_errors

from scratchvae import VAE, Autoencoder, Bernoulli, Gaussian, kl_to_standard_normal
from scratchvae.evaluation import active_units, estimate, evaluate_terms, kl_per_latent, log_evidence
from scratchvae.exact import LinearGaussian, grid_log_evidence
from scratchvae.iwae import importance_weighted_bound, log_importance_weights


def build(rng, n_x=9, n_hidden=(8,), n_z=2, likelihood=None, kind=VAE, **how):
    model = kind(n_x, n_hidden, n_z, "tanh", likelihood, rng=rng, **{"dtype": "float64", **how})
    for p in model.params.values():
        p += (0.3 * rng.standard_normal(p.shape)).astype(p.dtype)
    return model


# -- log p(x) ----------------------------------------------------------------------------------------------------------


def assert_estimates(log_px, exact):
    """Independent estimates (N,) of a known log p(x): their weights average to 1, and so, roughly, do they to 0."""
    ratio = np.exp(log_px - exact)
    assert within_standard_errors(ratio, 1.0)  # unbiased before the logarithm, for every K
    bias = -0.5 * ratio.var()  # of the logarithm, to first order
    error = (log_px - exact).std() / math.sqrt(len(log_px))
    assert abs((log_px - exact).mean() - bias) < 0.2 * abs(bias) + 5 * error


@pytest.mark.parametrize("K", [20, 400])
def test_log_evidence_of_a_linear_model_against_the_closed_form(K, rng):
    Z, D = 5, 8
    vae = build(rng, D, (), Z, Gaussian(0.8))
    exact = LinearGaussian(vae.params["logits.W"].T, vae.params["logits.b"], 0.8)
    P = exact.posterior_precision
    A = exact.W @ np.linalg.inv(P) / exact.sigma**2  # an encoder that knows the posterior's mean, with wider noise
    vae.params["mu.W"][...], vae.params["mu.b"][...] = A, -exact.mean @ A
    vae.params["logvar.W"][...], vae.params["logvar.b"][...] = 0, 0.2 - np.log(np.diag(P))
    x = np.repeat(rng.standard_normal((4, D)), 250, axis=0)
    assert_estimates(log_evidence(vae, x, K, rng), exact.log_px(x))


@pytest.mark.parametrize("likelihood", [Bernoulli(), Gaussian(0.7)], ids=lambda p: p.name)
def test_log_evidence_of_a_curved_model_against_the_grid(likelihood, rng):
    vae, x = build(rng, likelihood=likelihood), rng.random((2, 9))
    log_px, error = grid_log_evidence(vae, x)
    assert error.max() < 1e-6
    assert_estimates(log_evidence(vae, np.repeat(x, 500, axis=0), 200, rng), np.repeat(log_px, 500))


def test_an_encoder_that_is_the_posterior_needs_one_draw(rng):
    """Then every weight is p(x), whatever the noise: row by row, over several portions of rows."""
    vae = build(rng, 3, (), 1, Gaussian(0.5))
    exact = LinearGaussian(vae.params["logits.W"].T, vae.params["logits.b"], 0.5)
    mu, cov = exact.posterior(np.zeros((1, 3)))
    A = exact.W @ cov / exact.sigma**2
    vae.params["mu.W"][...], vae.params["mu.b"][...] = A, mu[0]
    vae.params["logvar.W"][...], vae.params["logvar.b"][...] = 0, np.log(cov[0])
    x = rng.standard_normal((1203, 3))
    np.testing.assert_allclose(log_evidence(vae, x, 1, rng), exact.log_px(x), atol=1e-10)


@pytest.mark.parametrize("decoded", [1, 12, 28, 500])
def test_the_same_noise_gives_the_same_result_however_it_streams(decoded, rng, monkeypatch):
    vae, x, K = build(rng), freeze(rng.random((4, 9))), 7
    monkeypatch.setattr("scratchvae.evaluation.DECODED", decoded)
    streamed = log_evidence(vae, x, K, np.random.default_rng(5))
    eps = np.random.default_rng(5).standard_normal((K, 4, 2))
    at_once, _ = importance_weighted_bound(log_importance_weights(vae, x, eps)[0])
    np.testing.assert_allclose(streamed, at_once, rtol=1e-13)


def test_a_sum_of_weights_that_differ_by_thousands_of_nats_does_not_overflow(rng):
    vae, x = build(rng, likelihood=Gaussian(0.01)), rng.random((5, 9))
    log_px = log_evidence(vae, x, 50, rng)
    eps = rng.standard_normal((50, 5, 2))
    assert np.ptp(log_importance_weights(vae, x, eps)[0]) > 1000
    assert np.isfinite(log_px).all()


def test_memory_does_not_grow_with_k(rng):
    vae, x = build(rng, n_x=100, n_hidden=(30,)), rng.random((100, 100))
    log_evidence(vae, x, 10, rng)
    peaks = []
    for K in (10, 1000):
        tracemalloc.start()
        log_evidence(vae, x, K, rng)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[0] > 10 * 100 * 100 * 8  # the rows of one portion of draws are in it
    assert peaks[1] < 1.02 * peaks[0]


# -- means and their standard errors -----------------------------------------------------------------------------------


def test_terms_are_means_over_the_rows_with_their_standard_errors(rng):
    vae, x = build(rng), rng.random((1203, 9))
    got = evaluate_terms(vae, x, np.random.default_rng(3))
    noise = np.random.default_rng(3)
    parts = [vae.objective(rows, vae.draw_eps(len(rows), noise))[0] for rows in (x[:500], x[500:1000], x[1000:])]
    assert list(got) == ["nll", "kl", "elbo"]
    for name, value in got.items():
        values = np.concatenate([getattr(terms, name) for terms in parts])
        assert value.mean == pytest.approx(values.mean(), rel=1e-12)
        assert value.standard_error == pytest.approx(np.sqrt(((values - values.mean()) ** 2).sum() / 1202 / 1203))


def test_the_standard_error_is_how_much_the_mean_scatters(rng):
    groups = rng.gamma(2.0, size=(4000, 30))
    estimates = [estimate(values) for values in groups]
    scatter = np.std([e.mean for e in estimates])
    assert np.sqrt(np.mean([e.standard_error**2 for e in estimates])) == pytest.approx(scatter, rel=0.05)
    one = estimate(np.array([3.0]))
    assert one.mean == 3.0
    assert math.isnan(one.standard_error)


def test_an_autoencoder_has_its_nll_alone(rng):
    model, x = build(rng, kind=Autoencoder), rng.random((20, 9))
    got = evaluate_terms(model, x, rng)
    assert list(got) == ["nll"]
    assert got["nll"].mean == pytest.approx(model.objective(x)[0].nll.mean())


# -- what each latent does ---------------------------------------------------------------------------------------------


def test_kl_per_latent_sums_to_the_mean_kl(rng):
    vae, x = build(rng, n_z=4), rng.random((1203, 9))
    per_latent = kl_per_latent(vae, x)
    mu, logvar, _ = vae.encode(x)
    assert per_latent.shape == (4,)
    assert per_latent.sum() == pytest.approx(kl_to_standard_normal(mu, logvar)[0].mean(), rel=1e-12)
    for j in range(4):
        one, _ = kl_to_standard_normal(mu[:, [j]], logvar[:, [j]])
        assert per_latent[j] == pytest.approx(one.mean(), rel=1e-12)


def test_planted_dead_latents_are_found(rng):
    vae, x = build(rng, n_z=5), rng.random((600, 9))
    for dead in (1, 4):
        vae.params["mu.W"][:, dead] = 0
    vae.params["mu.b"][4] = 2.0  # away from zero, but the same for every x: it says nothing about x
    vae.params["mu.b"][1] = vae.params["logvar.b"][1] = 0
    vae.params["logvar.W"][:, 1] = 0  # and q(z_1|x) is the prior
    np.testing.assert_array_equal(active_units(vae, x), [True, False, True, True, False])
    per_latent = kl_per_latent(vae, x)
    assert abs(per_latent[1]) < 1e-15
    assert per_latent[4] > 1  # a large KL is not yet an active latent


@pytest.mark.parametrize(("variance", "active"), [(0.0099, False), (0.0101, True)])
def test_the_threshold_is_a_variance_of_one_hundredth(variance, active, rng):
    vae, x = build(rng, n_z=1), rng.random((600, 9))
    spread = vae.encode(x)[0].std()
    vae.params["mu.W"] *= math.sqrt(variance) / spread
    assert active_units(vae, x).tolist() == [active]


# -- what goes in ------------------------------------------------------------------------------------------------------


MEASURES = {
    "evaluate_terms": lambda vae, x: evaluate_terms(vae, x, np.random.default_rng(1))["nll"].mean,
    "log_evidence": lambda vae, x: log_evidence(vae, x, 3, np.random.default_rng(1)),
    "kl_per_latent": kl_per_latent,
    "active_units": active_units,
}


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
def test_bytes_bits_and_floats_say_the_same(measure, rng):
    vae = build(rng)
    grey = freeze(rng.integers(0, 256, (7, 9), dtype=np.uint8))
    np.testing.assert_allclose(measure(vae, grey), measure(vae, grey / 255), rtol=1e-12)
    bits = freeze(grey > 127)
    np.testing.assert_allclose(measure(vae, bits), measure(vae, bits.astype(float)), rtol=1e-12)


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
@pytest.mark.parametrize(
    ("x", "text"),
    [
        (np.zeros((5, 8)), r"x should have the shape \(N, 9\) of the model, N at least 1, got \(5, 8\)"),
        (np.zeros((5, 3, 3)), r"x should have the shape \(N, 9\) .*flatten images with"),
        (np.zeros((0, 9), bool), r"x should have the shape \(N, 9\) of the model, N at least 1, got \(0, 9\)"),
        (np.full((5, 9), np.nan), "x should be finite, got NaN or infinity"),
        (np.full((5, 9), 1.5), r"x should lie in \[0, 1\] for this likelihood, got values from 1.5 to 1.5"),
        (np.zeros((5, 9), int), "x should be a NumPy array of uint8 .* got int64; convert it first"),
        ([[0.0] * 9], "x should be a NumPy array of uint8 .* got list; convert it first"),
    ],
)
def test_data_that_do_not_fit(x, text, measure, rng):
    with pytest.raises(ValueError, match=text):
        measure(build(rng), x)


@pytest.mark.parametrize("K", [0, -3, 2.5, True])
def test_the_number_of_draws_is_a_whole_one(K, rng):
    with pytest.raises(ValueError, match=f"K should be a whole number of at least 1, got {K}"):
        log_evidence(build(rng), rng.random((2, 9)), K, rng)


def test_float32_models_are_summed_in_float64(rng):
    vae = build(np.random.default_rng(0), dtype="float32")
    same = build(np.random.default_rng(0))
    x = rng.random((50, 9))
    for model in (vae, same):
        assert log_evidence(model, x, 20, np.random.default_rng(1)).dtype == np.float64
        assert kl_per_latent(model, x).dtype == np.float64
    single, double = (log_evidence(model, x, 20, np.random.default_rng(1)) for model in (vae, same))
    np.testing.assert_allclose(single, double, atol=1e-4)


def test_the_mean_over_rows_of_a_known_elbo(rng):
    """A decoder that ignores z: the nll is known, the KL is known, and so are their means."""
    vae = build(rng)
    vae.params["logits.W"][...], vae.params["logits.b"][...] = 0, 0
    x = rng.random((40, 9))
    got = evaluate_terms(vae, x, rng)
    assert got["nll"].mean == pytest.approx(9 * math.log(2), rel=1e-12)
    assert got["nll"].standard_error < 1e-12
    assert got["elbo"].mean == pytest.approx(-9 * math.log(2) - kl_per_latent(vae, x).sum(), rel=1e-12)
    # And then the prior is the posterior: log p(x) = -D log 2, which importance sampling must find.
    mu, logvar, _ = vae.encode(x)
    eps = rng.standard_normal((40, 2))
    z = mu + np.exp(0.5 * logvar) * eps
    weights = log_normal(z) - log_normal(z, mu, np.exp(logvar))
    np.testing.assert_allclose(log_importance_weights(vae, x, eps[None])[0][0], weights - 9 * math.log(2), rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda model, x, rng: log_evidence(model, x, 5, rng), "log_evidence needs a VAE, .*, got Autoencoder"),
        (lambda model, x, rng: kl_per_latent(model, x), "kl_per_latent needs a VAE, .*, got Autoencoder"),
        (lambda model, x, rng: active_units(model, x), "active_units needs a VAE, .*, got Autoencoder"),
        (lambda model, x, rng: log_evidence(build(rng), x, 5, 0), r"rng should be a generator such as .*, got 0"),
        (lambda model, x, rng: evaluate_terms(build(rng), x, 0), r"rng should be a generator such as .*, got 0"),
        (lambda model, x, rng: build(rng).sample(3, 0), r"rng should be a generator such as .*, got 0"),
    ],
)
def test_what_needs_a_prior_or_a_generator_says_so(call, text, rng):
    model = Autoencoder(9, (5,), 2, rng=rng)
    with pytest.raises(ValueError, match=text):
        call(model, rng.random((4, 9)), rng)
