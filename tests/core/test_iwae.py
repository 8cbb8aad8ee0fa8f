"""The importance-weighted bound: each path of its gradient apart, all of them together, and what makes it a bound."""

import numpy as np
import pytest
from proof import assert_backward_matches, directional_error, freeze, grid, log_normal, within_standard_errors

from scratchvae import VAE, Autoencoder, Gaussian, ImportanceWeighted
from scratchvae.iwae import (
    importance_weighted_bound,
    importance_weighted_bound_backward,
    log_importance_weights,
    log_importance_weights_backward,
)
from scratchvae.likelihoods import LIKELIHOODS

EVERY = [likelihood() for likelihood in LIKELIHOODS.values()] + [Gaussian(0.5)]
D, Z, B = 6, 2, 3


def build(rng, likelihood=None, n_hidden=(7, 5), n_z=Z, **how):
    vae = VAE(D, n_hidden, n_z, "tanh", likelihood, rng=rng, **{"dtype": "float64", **how})
    for p in vae.params.values():
        p += (0.3 * rng.standard_normal(p.shape)).astype(p.dtype)
    return vae


def batch(rng, K, n_z=Z):
    """x (B, D), eps (K, B, Z), and an upstream gradient dbound (B,): all of them read-only."""
    return freeze((rng.random((B, D)), rng.standard_normal((K, B, n_z)), rng.standard_normal(B)))


def bound_of(vae, x, eps):
    log_w, cache = log_importance_weights(vae, x, eps)
    bound, weights = importance_weighted_bound(log_w)
    return bound, (cache, weights)


# -- the gradient ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("K", [1, 4])
@pytest.mark.parametrize("n_hidden", [(), (7, 5)])
@pytest.mark.parametrize("likelihood", EVERY, ids=lambda p: f"{p.name}-{getattr(p, 'sigma', '')}".rstrip("-"))
def test_every_parameter_against_differences(likelihood, n_hidden, K, rng):
    vae = build(rng, likelihood, n_hidden)
    x, eps, dbound = batch(rng, K)
    _, (cache, weights) = bound_of(vae, x, eps)
    grads = log_importance_weights_backward(vae, importance_weighted_bound_backward(dbound, weights), cache)
    assert grads.keys() == vae.params.keys()
    for name, p in vae.params.items():

        def f(value, p=p):
            before = p.copy()
            p[...] = value
            bound, _ = bound_of(vae, x, eps)
            p[...] = before
            return dbound @ bound

        assert directional_error(f, p.copy(), grads[name], rng) < 1e-7, name


def test_each_path_apart_against_differences(rng):
    """dlog_w dlog w / d(path) with everything that is not on the path held still."""
    vae, K = build(rng), 4
    x, eps, _ = batch(rng, K)
    dlog_w = freeze(rng.standard_normal((K, B)))
    log_w, cache = log_importance_weights(vae, x, eps)
    trace = {}
    log_importance_weights_backward(vae, dlog_w, cache, trace=trace)
    assert all(array.shape == (K * B, Z) for array in trace.values())

    rows, upstream = np.tile(x, (K, 1)), dlog_w.ravel()  # (K B, D), (K B,)  row k B + b is draw k of example b
    mu, logvar = (np.tile(a, (K, 1)) for a in vae.encode(x)[:2])  # (K B, Z)
    noise = eps.reshape(K * B, Z)
    z = mu + np.exp(0.5 * logvar) * noise

    def log_likelihood(z):
        return -vae.likelihood.nll(rows, vae.decode(z)[0])[0]

    def through_z(mu, logvar):
        return (trace["dz"] * (mu + np.exp(0.5 * logvar) * noise)).sum()

    paths = {
        "dz_decoder": (lambda v: upstream @ log_likelihood(v), z),
        "dz_prior": (lambda v: upstream @ log_normal(v), z),
        "dz_q": (lambda v: -upstream @ log_normal(v, mu, np.exp(logvar)), z),
        "dmu_q": (lambda v: -upstream @ log_normal(z, v, np.exp(logvar)), mu),
        "dlogvar_q": (lambda v: -upstream @ log_normal(z, mu, np.exp(v)), logvar),
        "dmu_z": (lambda v: through_z(v, logvar), mu),
        "dlogvar_z": (lambda v: through_z(mu, v), logvar),
    }
    assert set(trace) == {*paths, "dz"}
    for name, (f, at) in paths.items():
        assert directional_error(f, at, trace[name], rng) < 1e-8, name
    np.testing.assert_array_equal(trace["dz"], trace["dz_decoder"] + trace["dz_prior"] + trace["dz_q"])
    np.testing.assert_allclose(
        log_w.ravel(), log_likelihood(z) + log_normal(z) - log_normal(z, mu, np.exp(logvar)), rtol=1e-12
    )


def test_the_bound_backward(rng):
    log_w = 3 * rng.standard_normal((5, B))
    assert_backward_matches(importance_weighted_bound, importance_weighted_bound_backward, [log_w], rng)


def test_backward_twice_on_one_read_only_cache_gives_the_same(rng):
    vae = build(rng)
    x, eps, dbound = batch(rng, 3)
    _, (cache, weights) = bound_of(vae, x, eps)
    freeze((cache, weights))
    dlog_w = freeze(importance_weighted_bound_backward(dbound, weights))
    first, second = (log_importance_weights_backward(vae, dlog_w, cache) for _ in range(2))
    for name in vae.params:
        np.testing.assert_array_equal(first[name], second[name])


def test_one_draw_is_the_elbo_up_to_how_the_kl_is_estimated(rng):
    """K = 1: log w = -nll - (log q - log p), and the gradient is that of the same estimator, not of the closed KL."""
    vae = build(rng)
    x, eps, dbound = batch(rng, 1)
    bound, (cache, weights) = bound_of(vae, x, eps)
    terms, elbo_cache = vae.objective(x, eps[0])
    mu, logvar, _ = vae.encode(x)
    z = mu + np.exp(0.5 * logvar) * eps[0]
    sampled_kl = log_normal(z, mu, np.exp(logvar)) - log_normal(z)  # (B,)  one draw of what the closed form averages
    np.testing.assert_allclose(bound, terms.elbo + terms.kl - sampled_kl, rtol=1e-12)
    np.testing.assert_array_equal(weights, 1)

    grads = log_importance_weights_backward(vae, importance_weighted_bound_backward(dbound, weights), cache)
    of_elbo = vae.backward(dbound, elbo_cache)
    for name in vae.params:
        if name.startswith(("decoder", "logits")):  # the KL does not reach the decoder
            np.testing.assert_allclose(grads[name], of_elbo[name], rtol=1e-12, atol=1e-15)


def test_the_gradient_of_one_draw_averages_to_that_of_the_elbo(rng):
    """The two estimators of the KL have the same mean, and so have their gradients: over the noise, by quadrature."""
    vae = build(rng)
    x = rng.random((1, D))
    eps, cell = grid(Z, 9, 121)
    weights = np.exp(log_normal(eps)) * cell  # (G,)
    rows = np.repeat(x, len(eps), axis=0)
    _, cache = vae.objective(rows, eps)
    expected = vae.backward(weights, cache)
    _, iwae_cache = log_importance_weights(vae, rows, eps[None])
    got = log_importance_weights_backward(vae, weights[None], iwae_cache)
    for name in vae.params:
        np.testing.assert_allclose(got[name], expected[name], atol=1e-10)


# -- the bound ---------------------------------------------------------------------------------------------------------


def test_the_weights_are_normalised_over_the_draws(rng):
    log_w = 5 * rng.standard_normal((7, B))
    bound, weights = importance_weighted_bound(log_w)
    assert bound.shape == (B,)
    np.testing.assert_allclose(weights.sum(axis=0), 1, rtol=1e-14)
    np.testing.assert_allclose(weights, np.exp(log_w) / np.exp(log_w).sum(axis=0), rtol=1e-12)
    np.testing.assert_allclose(bound, np.log(np.exp(log_w).mean(axis=0)), rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shift", [-1e6, -2000.0, 2000.0, 1e6])
def test_extreme_log_weights_do_not_overflow(shift, dtype, rng):
    log_w = rng.integers(-8, 8, (6, B)).astype(dtype)
    log_w[2] -= 30_000  # one draw that is worth nothing
    bound, weights = importance_weighted_bound(log_w)
    shifted, same = importance_weighted_bound((log_w + shift).astype(dtype))
    assert shifted.dtype == same.dtype == dtype
    np.testing.assert_allclose(shifted, bound + shift, rtol=1e-6)
    np.testing.assert_allclose(same, weights, atol=1e-6)
    assert (same[2] == 0).all()


def test_the_bound_lies_between_the_mean_and_the_largest_log_weight(rng):
    log_w = 4 * rng.standard_normal((9, 50))
    bound, _ = importance_weighted_bound(log_w)
    assert (log_w.mean(axis=0) <= bound).all()
    assert (bound <= log_w.max(axis=0)).all()


@pytest.mark.parametrize("n_z", [1, 2])
def test_the_bound_grows_with_k_toward_the_evidence(n_z, rng):
    """In expectation; and the mean of the weights themselves is p(x) for every K."""
    vae = build(rng, n_hidden=(8,), n_z=n_z)
    vae.params["logits.W"] *= 3  # a gap worth closing
    x = rng.random((1, D))
    z, cell = grid(n_z, 12, {1: 4001, 2: 401}[n_z])
    nll, _ = vae.likelihood.nll(np.repeat(x, len(z), axis=0), vae.decode(z)[0])
    log_px = np.log(np.exp(log_normal(z) - nll).sum() * cell)

    K, repeats = 64, 2000
    log_w, _ = log_importance_weights(vae, np.repeat(x, repeats, axis=0), rng.standard_normal((K, repeats, n_z)))
    assert within_standard_errors(np.exp(log_w.ravel() - log_px), 1.0)
    means = {}
    for k in (1, 4, 16, 64):  # the K draws in groups of k: every group is a draw of bound_k
        groups = log_w.reshape(K // k, k, repeats).swapaxes(0, 1).reshape(k, -1)
        means[k] = importance_weighted_bound(groups)[0].reshape(K // k, repeats).mean(axis=0)  # (repeats,)
    for fewer, more in ((1, 4), (4, 16), (16, 64)):  # Jensen, for every single set of draws
        assert (means[fewer] < means[more]).all()
    assert means[1].mean() < log_px - 0.05
    # Near the limit the gap is var(w) / (2 K p(x)^2).
    gap = np.exp(log_w - log_px).var() / (2 * K)
    assert abs(log_px - means[64].mean() - gap) < 0.2 * gap + 5 * means[64].std() / np.sqrt(repeats)


def test_float64_noise_does_not_widen_float32_work(rng):
    vae = build(rng, dtype="float32")
    x, eps, dbound = batch(rng, 3)
    bound, (cache, weights) = bound_of(vae, x, eps)
    grads = log_importance_weights_backward(vae, importance_weighted_bound_backward(dbound, weights), cache)
    for array in (bound, weights, *grads.values()):
        assert array.dtype == np.float32


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda v, x, e: log_importance_weights(v, x[:, :5], e), r"x should have the shape \(B, 6\)"),
        (lambda v, x, e: log_importance_weights(v, x, e[0]), r"eps should have the shape \(K, 3, 2\), .* got \(3, 2\)"),
        (lambda v, x, e: log_importance_weights(v, x, e[:, :2]), r"eps should have the shape \(K, 3, 2\)"),
        (
            lambda v, x, e: log_importance_weights_backward(v, np.ones(B), log_importance_weights(v, x, e)[1]),
            r"dlog_w should have the shape \(4, 3\)",
        ),
    ],
)
def test_it_says_what_it_expected(call, text, rng):
    x, eps, _ = batch(rng, 4)
    with pytest.raises(ValueError, match=text):
        call(build(rng), x, eps)


# -- as an objective for fit -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("K", [1, 4])
def test_the_objective_is_the_bound_and_its_gradient(K, rng):
    vae = build(rng)
    x, eps, dbound = batch(rng, K)
    objective = ImportanceWeighted(vae, K)
    terms, cache = objective.objective(x, eps)
    bound, (weights_cache, normalised) = bound_of(vae, x, eps)
    np.testing.assert_array_equal(terms.objective, bound)
    grads = objective.backward(dbound, freeze(cache))
    dlog_w = importance_weighted_bound_backward(dbound, normalised)
    expected = log_importance_weights_backward(vae, dlog_w, weights_cache)
    assert grads.keys() == expected.keys()
    for name, grad in expected.items():
        np.testing.assert_array_equal(grads[name], grad)


def test_its_terms_are_averages_over_the_draws_and_jensen_orders_them(rng):
    vae, K = build(rng), 5
    x, eps, _ = batch(rng, K)
    terms, _ = ImportanceWeighted(vae, K).objective(x, eps)
    each = [vae.objective(x, e)[0] for e in eps]  # one draw at a time, with the KL in closed form
    np.testing.assert_allclose(terms.nll, np.mean([t.nll for t in each], axis=0), rtol=1e-12)
    log_w, _ = log_importance_weights(vae, x, eps)
    np.testing.assert_allclose(terms.elbo, log_w.mean(axis=0), rtol=1e-14)
    assert (terms.objective > terms.elbo).all()  # the log of a mean is above the mean of the logs
    one, _ = ImportanceWeighted(vae, 1).objective(x, eps[:1])
    np.testing.assert_allclose(one.objective, one.elbo, rtol=1e-13)


def test_its_noise_is_the_vaes_own_k_times(rng):
    vae = build(rng, dtype="float32")
    draws = ImportanceWeighted(vae, 4).draw_eps(B, np.random.default_rng(1))
    assert draws.shape == (4, B, Z)
    assert draws.dtype == np.float32
    np.testing.assert_array_equal(draws.reshape(4 * B, Z), vae.draw_eps(4 * B, np.random.default_rng(1)))


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda v: ImportanceWeighted(v, 0), "K should be a whole number of at least 1, got 0"),
        (lambda v: ImportanceWeighted(v, 2.5), r"K should be a whole number of at least 1, got 2\.5"),
        (
            lambda v: ImportanceWeighted(Autoencoder(D, rng=np.random.default_rng(0)), 5),
            "the importance-weighted bound needs a VAE, got Autoencoder",
        ),
        (
            lambda v: ImportanceWeighted(v, 2).objective(np.zeros((B, D)), np.zeros((2, B, Z)), beta=0.5),
            r"beta should be 1 for the importance-weighted bound, got 0\.5; it has no KL to weigh",
        ),
    ],
)
def test_it_says_what_it_takes(call, text, rng):
    with pytest.raises(ValueError, match=text):
        call(build(rng))
