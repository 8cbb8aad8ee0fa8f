"""docs/derivations/08_importance_weighted_bound.md, line by line, on a decoder whose evidence is known on a grid."""

import itertools
import math

import numpy as np
import pytest
from proof import grid, log_normal

from scratchvae import VAE, Gaussian
from scratchvae.evaluation import log_evidence
from scratchvae.exact import LinearGaussian, grid_log_evidence
from scratchvae.iwae import (
    importance_weighted_bound,
    importance_weighted_bound_backward,
    log_importance_weights,
    log_importance_weights_backward,
)

B, K = 3, 4


@pytest.fixture
def vae(rng):
    model = VAE(5, (6,), 1, "tanh", rng=rng, dtype="float64")
    for p in model.params.values():
        p += 0.3 * rng.standard_normal(p.shape)
    return model


@pytest.fixture
def x(rng):
    return rng.random((B, 5))


@pytest.mark.equation("importance-weight")
def test_a_weight_is_joint_over_q_draw_by_draw(vae, x, rng):
    eps = rng.standard_normal((K, B, 1))
    log_w, _ = log_importance_weights(vae, x, eps)
    mu, logvar, _ = vae.encode(x)
    for k, b in itertools.product(range(K), range(B)):
        z = mu[b] + np.exp(logvar[b] / 2) * eps[k, b]
        p = 1 / (1 + np.exp(-vae.decode(z[None])[0][0]))
        likelihood = np.prod(p ** x[b] * (1 - p) ** (1 - x[b]))
        w = likelihood * np.exp(log_normal(z)) / np.exp(log_normal(z, mu[b], np.exp(logvar[b])))
        assert abs(log_w[k, b] - math.log(w)) < 1e-12


def weights_on_a_grid(vae, x):
    """Nodes eps (G, B, 1), their probabilities (G,), and the log weights there (G, B): expectations without noise."""
    eps, cell = grid(1, 9, 2001)
    log_w, _ = log_importance_weights(vae, x, np.repeat(eps[:, None], len(x), axis=1))
    return np.exp(log_normal(eps)) * cell, log_w


@pytest.mark.equation("importance-unbiased")
def test_the_mean_weight_is_the_evidence(vae, x):
    probability, log_w = weights_on_a_grid(vae, x)
    log_px, _ = grid_log_evidence(vae, x)
    np.testing.assert_allclose(np.log(probability @ np.exp(log_w)), log_px, atol=1e-8)


def log_mean_square(log_joint, log_q, cell):
    """log E_q[w^2], with the integral cut off at the edges of the grid that the densities are given on."""
    log_square = 2 * log_joint - log_q
    return log_square.max() + math.log(np.exp(log_square - log_square.max()).sum() * cell)


@pytest.mark.equation("importance-unbiased")
def test_gaussian_weights_have_a_variance_if_q_is_not_too_narrow(rng):
    """Posterior N(a, s^2) of a linear model, q = N(mu, sigma^2): finite if and only if sigma^2 > s^2 / 2."""
    model, x = LinearGaussian(rng.standard_normal((3, 1)), np.zeros(3), 0.8), rng.standard_normal((1, 3))
    a, var = (float(moment.squeeze()) for moment in model.posterior(x))
    s = math.sqrt(var)

    def over_the_square_of_the_mean(mu, sigma, half_width):
        z, cell = grid(1, half_width, 2**13 + 1)
        log_joint = log_normal(x, z @ model.W.T, 0.8**2) + log_normal(z)
        return log_mean_square(log_joint, log_normal(z, mu, sigma**2), cell) - 2 * model.log_px(x)[0]

    for sigma in (0.72 * s, 0.8 * s, s, 3 * s):
        exact = math.log(sigma**2 / (s * math.sqrt(2 * sigma**2 - s**2)))
        assert abs(over_the_square_of_the_mean(a, sigma, 50) - exact) < 1e-8
        off_centre = [over_the_square_of_the_mean(a + s, sigma, half_width) for half_width in (50, 100)]
        assert abs(off_centre[0] - off_centre[1]) < 1e-8
    for sigma in (0.7 * s, 0.5 * s):  # it grows with the grid, without end
        assert over_the_square_of_the_mean(a, sigma, 100) > over_the_square_of_the_mean(a, sigma, 50) + 100


@pytest.mark.equation("importance-unbiased")
@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "relu", "softplus"])
def test_behind_bernoulli_pixels_the_prior_decides_whether_weights_have_a_variance(activation, rng):
    """sigma^2 < 1/2 has none, however narrow the posterior; the nll cannot save it, since it grows like |z| at most."""
    vae = VAE(5, (6,), 1, activation, rng=rng, dtype="float64")
    x = (rng.random((1, 5)) < 0.5).astype(float)

    def cut_off(var, half_width):
        z, cell = grid(1, half_width, 2**14 + 1)
        nll, _ = vae.likelihood.nll(np.repeat(x, len(z), axis=0), vae.decode(z)[0])
        return log_mean_square(log_normal(z) - nll, log_normal(z, 0.0, var), cell)

    assert cut_off(0.45, 400) > cut_off(0.45, 200) + 1000
    assert abs(cut_off(0.55, 400) - cut_off(0.55, 200)) < 1e-3  # what is left is the grid's, at the kinks of relu
    assert abs((0.05 - 1 - math.log(0.05)) / 2 - 1) < 0.05  # a latent of that variance pays a nat for its width


@pytest.mark.equation("importance-weighted-bound")
def test_more_draws_weaken_the_gradient_of_the_encoder_and_not_of_the_decoder(rng):
    """Signal over noise of one estimate: like 1 / sqrt(K) in the encoder's mean, like sqrt(K) in the decoder's bias."""
    vae = VAE(3, (), 1, likelihood=Gaussian(0.8), rng=rng, dtype="float64")
    vae.params["logits.W"][...] = [[0.9, -0.5, 0.4]]
    n = 20_000  # estimates, as the rows of a batch
    x = np.tile([[1.0, 0.2, -0.5]], (n, 1))
    a, var = LinearGaussian(vae.params["logits.W"].T, vae.params["logits.b"], 0.8).posterior(x[:1])
    for head, value in (("mu", a[0] + math.sqrt(var[0, 0])), ("logvar", np.log(1.5 * var[0]))):  # off, and too wide
        vae.params[f"{head}.W"][...], vae.params[f"{head}.b"][...] = 0, value

    def signal_over_noise(draws):
        log_w, cache = log_importance_weights(vae, x, rng.standard_normal((draws, n, 1)))
        dlog_w = importance_weighted_bound_backward(np.ones(n), importance_weighted_bound(log_w)[1])
        trace = {}
        log_importance_weights_backward(vae, dlog_w, cache, trace=trace)
        dlogits = vae.likelihood.nll_backward(-dlog_w.ravel(), cache.nll)
        encoder = (trace["dmu_z"] + trace["dmu_q"])[:, 0].reshape(draws, n).sum(axis=0)
        decoder = dlogits[:, 0].reshape(draws, n).sum(axis=0)
        return [abs(gradient.mean()) / gradient.std() for gradient in (encoder, decoder)]

    few, many = signal_over_noise(4), signal_over_noise(64)  # 16 times as many: a factor of 4 each
    assert 2.5 < few[0] / many[0] < 8  # four, within five standard errors of the mean
    assert 3 < many[1] / few[1] < 7


@pytest.mark.equation("importance-weighted-bound", "bound-grows")
def test_the_bound_lies_below_the_evidence_and_grows_with_the_draws(vae, x):
    """Exactly: for one and two draws the mean is an integral over one and two noises."""
    probability, log_w = weights_on_a_grid(vae, x)
    probability, log_w = probability[::8] * 8, log_w[::8]
    log_px, _ = grid_log_evidence(vae, x)
    one = probability @ log_w
    pairs = np.logaddexp(log_w[:, None], log_w[None]) - math.log(2)  # (G, G, B)
    two = np.einsum("g,h,ghb->b", probability, probability, pairs)
    assert (one < two - 1e-4).all()
    assert (two < log_px - 1e-4).all()
    np.testing.assert_allclose(one, [probability @ log_w[:, b] for b in range(B)])


@pytest.mark.equation("bound-grows")
def test_the_mean_over_subsets_is_the_mean(rng):
    w = rng.random(5)
    subsets = list(itertools.combinations(range(5), 3))
    assert abs(np.mean([w[list(i)].mean() for i in subsets]) - w.mean()) < 1e-15
    assert math.log(w.mean()) >= np.mean([math.log(w[list(i)].mean()) for i in subsets])


@pytest.mark.equation("importance-weighted-bound")
def test_with_one_draw_the_bound_is_the_elbo(vae, x):
    probability, log_w = weights_on_a_grid(vae, x)
    eps, _ = grid(1, 9, 2001)
    elbo = [probability @ vae.objective(np.repeat(row[None], len(eps), axis=0), eps)[0].elbo for row in x]
    np.testing.assert_allclose(probability @ log_w, elbo, atol=1e-8)


@pytest.mark.equation("bound-log-sum-exp")
def test_taking_the_largest_out_changes_nothing_and_survives_where_the_plain_sum_does_not(rng):
    log_w = rng.standard_normal((K, B))
    bound, _ = importance_weighted_bound(log_w)
    np.testing.assert_allclose(bound, np.log(np.exp(log_w).mean(axis=0)), rtol=1e-14)
    shifted, _ = importance_weighted_bound(log_w - 5000)  # exp of these is 0 in floating point
    np.testing.assert_allclose(shifted, bound - 5000, rtol=1e-14)


@pytest.mark.equation("bound-streaming")
@pytest.mark.parametrize("at_once", [1, 3, 7, 50])
def test_draws_that_stream_by_give_the_bound_of_all_of_them_together(vae, x, at_once, monkeypatch):
    monkeypatch.setattr("scratchvae.evaluation.DECODED", at_once * B)
    eps = vae.draw_eps(7 * B, np.random.default_rng(1)).reshape(7, B, 1)
    together, _ = importance_weighted_bound(log_importance_weights(vae, x, eps)[0])
    streamed = log_evidence(vae, x, 7, np.random.default_rng(1))
    np.testing.assert_allclose(streamed, together, rtol=1e-13)


@pytest.mark.equation("bound-backward")
def test_each_log_weight_receives_its_share(rng):
    log_w, dbound, h = rng.standard_normal((K, B)), rng.standard_normal(B), 1e-6
    _, cache = importance_weighted_bound(log_w)
    dlog_w = importance_weighted_bound_backward(dbound, cache)
    np.testing.assert_allclose((dlog_w / dbound).sum(axis=0), 1, rtol=1e-14)
    for k, b in itertools.product(range(K), range(B)):
        step = np.zeros((K, B))
        step[k, b] = h
        difference = importance_weighted_bound(log_w + step)[0] - importance_weighted_bound(log_w - step)[0]
        assert abs(dlog_w[k, b] - (dbound * difference).sum() / (2 * h)) < 1e-9


@pytest.fixture
def paths(vae, x, rng):
    """The trace of one backward, with what is needed to work each path out again."""
    eps, dlog_w = rng.standard_normal((K, B, 1)), rng.standard_normal((K, B))
    _, cache = log_importance_weights(vae, x, eps)
    trace = {}
    grads = log_importance_weights_backward(vae, dlog_w, cache, trace=trace)
    mu, logvar, _ = vae.encode(x)
    z = mu + np.exp(logvar / 2) * eps  # (K, B, 1)
    shaped = {name: value.reshape(K, B, 1) for name, value in trace.items()}
    return {"d": dlog_w, "mu": mu, "logvar": logvar, "eps": eps, "z": z, "grads": grads, **shaped}


@pytest.mark.equation("weight-latent-backward")
def test_three_paths_meet_in_z(vae, x, paths):
    h, d, z, mu, logvar = 1e-5, paths["d"], paths["z"], paths["mu"], paths["logvar"]

    def by_difference(f):
        return d[..., None] * ((f(z + h) - f(z - h)) / (2 * h))[..., None]

    def log_likelihood(z):
        logits, _ = vae.decode(z.reshape(-1, 1))
        return -vae.likelihood.nll(np.tile(x, (K, 1)), logits)[0].reshape(K, B)

    for name, f in (
        ("dz_decoder", log_likelihood),
        ("dz_prior", log_normal),
        ("dz_q", lambda z: -log_normal(z, mu, np.exp(logvar))),
    ):
        np.testing.assert_allclose(paths[name], by_difference(f), atol=1e-8, err_msg=name)
    np.testing.assert_array_equal(paths["dz"], paths["dz_decoder"] + paths["dz_prior"] + paths["dz_q"])


@pytest.mark.equation("weight-parameters-backward", "weight-mean-cancels")
def test_two_paths_meet_in_mu_and_logvar_and_draws_add(vae, x, paths):
    d, sigma, eps = paths["d"][..., None], np.exp(paths["logvar"] / 2), paths["eps"]
    u = (paths["z"] - paths["mu"]) / sigma
    np.testing.assert_allclose(paths["dmu_q"], -d * u / sigma, rtol=1e-12)
    np.testing.assert_allclose(paths["dlogvar_q"], -d * (u * u - 1) / 2, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(paths["dmu_z"], paths["dz"], rtol=1e-15)
    np.testing.assert_allclose(paths["dlogvar_z"], paths["dz"] * sigma * eps / 2, rtol=1e-12)
    np.testing.assert_allclose(paths["dz_q"] + paths["dmu_q"], 0, atol=1e-12)  # what q does to mu cancels
    # summed over the draws, they are what the heads of the encoder receive: db = sum over rows
    np.testing.assert_allclose(paths["grads"]["mu.b"], (paths["dmu_z"] + paths["dmu_q"]).sum(axis=(0, 1)), rtol=1e-12)
    total = (paths["dlogvar_z"] + paths["dlogvar_q"]).sum(axis=(0, 1))
    np.testing.assert_allclose(paths["grads"]["logvar.b"], total, rtol=1e-12)
