"""docs/derivations/11_gradient_estimators.md, line by line: a mean over the noise is a sum over a grid."""

import math

import numpy as np
import pytest
from proof import grid, log_normal

from scratchvae import VAE, ImportanceWeighted
from scratchvae.exact import LinearGaussian
from scratchvae.iwae import log_importance_weights
from scratchvae.lab import DReG, Pathwise, ScoreFunction, StickingTheLanding, gradient_moments
from scratchvae.reproduction.signal_to_noise import posterior_encoder

D, H = 3, 1e-5
HEADS = ("mu.b", "logvar.b", "mu.W", "logvar.W", "encoder.0.W")  # what the encoder alone holds
NODES = {1: 801, 2: 161, 3: 49}  # of each draw's noise, for K draws


@pytest.fixture
def vae(rng):
    model = VAE(D, (4,), 1, "tanh", rng=rng, dtype="float64")
    for p in model.params.values():
        p += 0.5 * rng.standard_normal(p.shape)
    return model


@pytest.fixture
def x(rng):
    return rng.random((1, D))


def noise(K):
    """Nodes eps (K, G, 1) for K draws of one latent, and their probabilities (G,)."""
    points, cell = grid(K, 8, NODES[K])  # (G, K)
    return points.T[:, :, None].copy(), np.exp(log_normal(points)) * cell


def mean_gradient(objective, x):
    """The mean over the noise of what backward returns for one example: each node is a row, its weight its chance."""
    eps, probability = noise(objective.K)
    _, cache = objective.objective(np.repeat(x, len(probability), axis=0), eps)
    return objective.backward(probability, cache)


def mean_objective(objective, x):
    eps, probability = noise(objective.K)
    terms, _ = objective.objective(np.repeat(x, len(probability), axis=0), eps)
    return probability @ terms.objective


def derivative(f, p):
    """df/dp, entry by entry, by central differences of a mean over the noise."""
    grad = np.zeros_like(p)
    for i in np.ndindex(p.shape):
        before, values = p[i], []
        for step in (H, -H):
            p[i] = before + step
            values.append(f())
        p[i] = before
        grad[i] = (values[0] - values[1]) / (2 * H)
    return grad


def log_w_slopes(vae, x, eps):
    """log w (K, G), r and s (K, G) for mu: by differences, with the density held still, and with the draw."""
    rows = np.repeat(x, eps.shape[1], axis=0)
    mu, logvar = (head[0, 0] for head in vae.encode(x)[:2])
    z = mu + math.exp(logvar / 2) * eps[..., 0]  # (K, G)

    def log_w(z, mu):
        logits = vae.decode(z.reshape(-1, 1))[0]
        nll = vae.likelihood.nll(np.tile(rows, (len(z), 1)), logits)[0].reshape(z.shape)
        return log_normal(z[..., None]) - nll - log_normal(z[..., None], mu, math.exp(logvar))

    r = (log_w(z + H, mu) - log_w(z - H, mu)) / (2 * H)  # dz/dmu = 1
    s = -(log_w(z, mu + H) - log_w(z, mu - H)) / (2 * H)
    return log_w(z, mu), r, s


@pytest.mark.equation("elbo-pathwise")
@pytest.mark.parametrize("K", [1, 2])
def test_both_paths_give_the_derivative_of_the_elbo(vae, x, K):
    objective = Pathwise(vae, K)
    got = mean_gradient(objective, x)
    for name, p in vae.params.items():
        np.testing.assert_allclose(got[name], derivative(lambda: mean_objective(objective, x), p), atol=1e-8)


@pytest.mark.equation("elbo-score-function", "leave-one-out-baseline")
@pytest.mark.parametrize(("K", "baseline"), [(1, False), (2, False), (2, True), (3, True)])
def test_the_score_has_the_same_mean_with_and_without_a_baseline(vae, x, K, baseline):
    got, expected = mean_gradient(ScoreFunction(vae, K, baseline), x), mean_gradient(Pathwise(vae, K), x)
    for name in vae.params:
        np.testing.assert_allclose(got[name], expected[name], atol=1e-9, err_msg=name)


@pytest.mark.equation("leave-one-out-baseline")
def test_the_mean_over_all_draws_is_no_baseline(vae, x):
    eps, probability = noise(2)
    log_w, _, s = log_w_slopes(vae, x, eps)
    right = mean_gradient(Pathwise(vae, 2), x)["mu.b"][0]
    for baseline, factor in (((log_w.sum(axis=0) - log_w), 1.0), (log_w.mean(axis=0), 0.5)):
        got = probability @ ((log_w - baseline) * s).mean(axis=0)
        assert abs(got - factor * right) < 1e-7  # with all K draws, (K - 1) / K of it is left
    assert abs(right) > 1e-2


@pytest.mark.equation("sticking-the-landing")
def test_the_draw_alone_suffices_for_one_draw(vae, x):
    got, expected = mean_gradient(StickingTheLanding(vae, 1), x), mean_gradient(Pathwise(vae, 1), x)
    for name in vae.params:
        np.testing.assert_allclose(got[name], expected[name], atol=1e-9, err_msg=name)


@pytest.mark.equation("landing-without-variance")
def test_at_the_posterior_nothing_scatters_but_the_score(rng):
    q, _ = np.linalg.qr(rng.standard_normal((4, 2)))
    vae, x = posterior_encoder(LinearGaussian(q * [1.5, 0.7], rng.standard_normal(4), 0.6)), rng.standard_normal((3, 4))
    still = gradient_moments(StickingTheLanding(vae, 1), x, 200, rng)
    noisy = gradient_moments(Pathwise(vae, 1), x, 200, rng)
    for name in ("mu.W", "mu.b", "logvar.W", "logvar.b"):
        assert np.abs(still.mean[name]).max() < 1e-12
        assert np.sqrt(still.variance[name]).max() < 1e-12
        assert np.sqrt(noisy.variance[name]).min() > 0.1
    # at the posterior the gradient of both paths is minus the score, draw by draw
    objective = Pathwise(vae, 1)
    eps = objective.draw_eps(3, rng)
    _, cache = objective.objective(x, eps)
    sigma = np.exp(vae.params["logvar.b"] / 2)
    np.testing.assert_allclose(objective.backward(np.ones(3), cache)["mu.b"], -(eps[0] / sigma).sum(axis=0), rtol=1e-10)


@pytest.mark.equation("score-as-path")
def test_a_score_times_a_function_is_a_slope(vae, x):
    eps, probability = noise(1)
    _, _, s = log_w_slopes(vae, x, eps)
    mu, logvar = (head[0, 0] for head in vae.encode(x)[:2])
    z = mu + math.exp(logvar / 2) * eps[0, :, 0]
    for f, slope in ((np.sin, np.cos), (np.tanh, lambda z: 1 - np.tanh(z) ** 2)):
        assert abs(probability @ (f(z) * s[0]) - probability @ slope(z)) < 1e-8


@pytest.mark.equation("dreg")
@pytest.mark.parametrize("K", [1, 2, 3])
def test_the_squared_weights_lose_nothing(vae, x, K):
    got, objective = mean_gradient(DReG(vae, K), x), ImportanceWeighted(vae, K)
    for name, p in vae.params.items():
        expected = derivative(lambda: mean_objective(objective, x), p) if K < 3 else mean_gradient(objective, x)[name]
        np.testing.assert_allclose(got[name], expected, atol=1e-7, err_msg=name)


@pytest.mark.equation("dreg")
def test_a_weight_moves_with_its_own_draw_alone(vae, x, rng):
    eps = rng.standard_normal((3, 1, 1))
    log_w, r, _ = log_w_slopes(vae, x, eps)
    weights = np.exp(log_w) / np.exp(log_w).sum(axis=0)  # (K, 1)
    sigma = math.exp(vae.encode(x)[1][0, 0] / 2)
    for k in range(3):
        moved = []
        for step in (H, -H):
            other = eps.copy()
            other[k] += step / sigma  # moves z_k by step
            w = np.exp(log_importance_weights(vae, x, other)[0])
            moved.append((w / w.sum(axis=0))[k, 0])
        slope = (moved[0] - moved[1]) / (2 * H)
        assert abs(slope - ((weights - weights**2) * r)[k, 0]) < 1e-8


@pytest.mark.equation("landing-bias")
@pytest.mark.parametrize("K", [1, 2])
def test_what_sticking_the_landing_is_wrong_by(vae, x, K):
    eps, probability = noise(K)
    log_w, r, _ = log_w_slopes(vae, x, eps)
    weights = np.exp(log_w - log_w.max(axis=0))
    weights /= weights.sum(axis=0)
    bias = probability @ ((weights - weights**2) * r).sum(axis=0)
    got, right = (
        mean_gradient(StickingTheLanding(vae, K), x)["mu.b"],
        mean_gradient(ImportanceWeighted(vae, K), x)["mu.b"],
    )
    assert abs(got[0] - right[0] - bias) < 1e-7
    assert (abs(bias) < 1e-12) if K == 1 else (abs(bias) > 1e-2)


@pytest.mark.equation("landing-limit")
def test_for_many_draws_it_fits_q_to_the_posterior(rng):
    """One latent, linear: the posterior is N(a, s^2), and E[dlog q/dmu] = (a - mu) / sigma^2 under it."""
    exact = LinearGaussian(np.array([[0.8], [-0.5]]), np.zeros(2), 0.9)
    vae, x = posterior_encoder(exact), np.array([[0.7, 0.2]])
    vae.params["mu.b"] += 0.3
    vae.params["logvar.b"] += 0.4  # wider than the posterior: the weights have a variance
    a, s2 = exact.posterior(x)
    mu, logvar = (head[0, 0] for head in vae.encode(x)[:2])
    var = math.exp(logvar)
    limit = {"mu.b": (a[0, 0] - mu) / var, "logvar.b": 0.5 * ((s2[0, 0] + (a[0, 0] - mu) ** 2) / var - 1)}
    assert min(map(abs, limit.values())) > 0.05
    found, right = (gradient_moments(kind(vae, 1024), x, 2000, rng) for kind in (StickingTheLanding, DReG))
    for name, value in limit.items():  # what is left of the limit for K draws is of the order 1/K
        assert abs(found.mean[name][0] - value) < 5 * found.standard_error[name][0] + 2 / 1024
        assert abs(right.mean[name][0]) < 5 * right.standard_error[name][0] + 2 / 1024
        assert found.standard_error[name][0] < 0.01
