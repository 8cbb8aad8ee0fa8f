"""docs/derivations/07_vae_backward.md, line by line: each intermediate is moved by itself, and the scalar watched."""

import numpy as np
import pytest

from scratchvae import SGD, VAE

B, Z, BETA = 4, 2, 0.7


@pytest.fixture
def walk(rng):
    """A VAE, one pass through it, and the trace of its backward."""
    vae = VAE(5, (6,), Z, "tanh", rng=rng, dtype="float64")
    for p in vae.params.values():
        p += 0.3 * rng.standard_normal(p.shape)
    x, eps, dobjective = rng.random((B, 5)), rng.standard_normal((B, Z)), rng.standard_normal(B)
    terms, cache = vae.objective(x, eps, beta=BETA)
    trace = {}
    grads = vae.backward(dobjective, cache, trace=trace)
    mu, logvar, encode_cache = vae.encode(x)
    h, _ = encode_cache.mu
    return {
        "vae": vae,
        "x": x,
        "eps": eps,
        "dobjective": dobjective,
        "terms": terms,
        "trace": trace,
        "grads": grads,
    } | {
        "mu": mu,
        "logvar": logvar,
        "h": h,
    }


def nll_of(walk, mu, logvar):
    """The negative log-likelihood of each example for a mean and a log-variance that were moved by hand."""
    z = mu + np.exp(logvar / 2) * walk["eps"]
    return nll_at(walk, z)


def nll_at(walk, z):
    logits, _ = walk["vae"].decode(z)
    return walk["vae"].likelihood.nll(walk["x"], logits)[0]


def kl_of(mu, logvar):
    return 0.5 * (mu**2 + np.exp(logvar) - 1 - logvar).sum(axis=1)


def gradient(J, thing, h=1e-5):
    """dJ / d thing, one entry at a time."""
    result = np.zeros_like(thing)
    for index in np.ndindex(thing.shape):
        step = np.zeros_like(thing)
        step[index] = h
        result[index] = (J(thing + step) - J(thing - step)) / (2 * h)
    return result


@pytest.mark.equation("vae-objective")
def test_the_objective_has_two_terms(walk):
    kl, nll = kl_of(walk["mu"], walk["logvar"]), nll_of(walk, walk["mu"], walk["logvar"])
    np.testing.assert_allclose(walk["terms"].kl, kl, rtol=1e-13)
    np.testing.assert_allclose(walk["terms"].nll, nll, rtol=1e-13)
    np.testing.assert_allclose(walk["terms"].objective, -nll - BETA * kl, rtol=1e-13)


@pytest.mark.equation("vae-weights")
def test_each_example_pulls_with_its_own_weight(walk):
    dobjective, nll, kl = walk["dobjective"], np.array(walk["terms"].nll), np.array(walk["terms"].kl)
    by_nll = gradient(lambda nll: (dobjective * (-nll - BETA * kl)).sum(), nll)
    by_kl = gradient(lambda kl: (dobjective * (-nll - BETA * kl)).sum(), kl)
    np.testing.assert_allclose(walk["trace"]["dnll"], by_nll, atol=1e-8)
    np.testing.assert_allclose(walk["trace"]["dkl"], by_kl, atol=1e-8)


@pytest.mark.equation("vae-logits")
def test_the_gradient_of_each_logit(walk):
    z = walk["mu"] + np.exp(walk["logvar"] / 2) * walk["eps"]
    logits, _ = walk["vae"].decode(z)

    def J(logits):
        return -(walk["dobjective"] * walk["vae"].likelihood.nll(walk["x"], logits)[0]).sum()

    np.testing.assert_allclose(walk["trace"]["dlogits"], gradient(J, logits), atol=1e-8)
    p = 1 / (1 + np.exp(-logits))
    np.testing.assert_allclose(walk["trace"]["dlogits"], -walk["dobjective"][:, None] * (p - walk["x"]), rtol=1e-12)


@pytest.mark.equation("vae-latent")
def test_what_arrives_at_the_latent_comes_through_the_decoder_alone(walk):
    z = walk["mu"] + np.exp(walk["logvar"] / 2) * walk["eps"]
    by_difference = gradient(lambda z: -(walk["dobjective"] * nll_at(walk, z)).sum(), z)
    np.testing.assert_allclose(walk["trace"]["dz"], by_difference, atol=1e-8)


@pytest.mark.equation("vae-latent")
def test_the_decoder_layer_by_layer(walk):
    trace, grads, params = walk["trace"], walk["grads"], walk["vae"].params
    z = walk["mu"] + np.exp(walk["logvar"] / 2) * walk["eps"]
    h = np.tanh(z @ params["decoder.0.W"] + params["decoder.0.b"])
    dh = trace["dlogits"] @ params["logits.W"].T
    da = dh * (1 - h * h)
    for name, expected in (
        ("logits.W", sum(np.outer(h[b], trace["dlogits"][b]) for b in range(B))),
        ("logits.b", trace["dlogits"].sum(axis=0)),
        ("decoder.0.W", sum(np.outer(z[b], da[b]) for b in range(B))),
        ("decoder.0.b", da.sum(axis=0)),
    ):
        np.testing.assert_allclose(grads[name], expected, rtol=1e-10)
    np.testing.assert_allclose(trace["decoder.0.tanh.dy"], dh, rtol=1e-12)
    np.testing.assert_allclose(trace["decoder.0.dy"], da, rtol=1e-10)
    np.testing.assert_allclose(trace["dz"], da @ params["decoder.0.W"].T, rtol=1e-10)


@pytest.mark.equation("vae-mu")
def test_two_contributions_reach_the_mean(walk):
    dobjective, mu, logvar, trace = walk["dobjective"], walk["mu"], walk["logvar"], walk["trace"]
    through_z = gradient(lambda mu: -(dobjective * nll_of(walk, mu, logvar)).sum(), mu)
    from_kl = gradient(lambda mu: -(dobjective * BETA * kl_of(mu, logvar)).sum(), mu)
    np.testing.assert_allclose(trace["dmu_z"], through_z, atol=1e-8)
    np.testing.assert_allclose(trace["dmu_kl"], from_kl, atol=1e-8)
    np.testing.assert_allclose(trace["dmu"], trace["dz"] - BETA * dobjective[:, None] * mu, rtol=1e-12)


@pytest.mark.equation("vae-logvar")
def test_two_contributions_reach_the_log_variance(walk):
    dobjective, mu, logvar, trace, eps = walk["dobjective"], walk["mu"], walk["logvar"], walk["trace"], walk["eps"]
    through_z = gradient(lambda v: -(dobjective * nll_of(walk, mu, v)).sum(), logvar)
    from_kl = gradient(lambda v: -(dobjective * BETA * kl_of(mu, v)).sum(), logvar)
    np.testing.assert_allclose(trace["dlogvar_z"], through_z, atol=1e-8)
    np.testing.assert_allclose(trace["dlogvar_kl"], from_kl, atol=1e-8)
    sigma = np.exp(logvar / 2)
    formula = 0.5 * trace["dz"] * eps * sigma - 0.5 * BETA * dobjective[:, None] * (sigma**2 - 1)
    np.testing.assert_allclose(trace["dlogvar"], formula, rtol=1e-10)


@pytest.mark.equation("vae-heads")
def test_the_heads_are_dense_layers_on_one_hidden_layer(walk):
    trace, grads, h, params = walk["trace"], walk["grads"], walk["h"], walk["vae"].params
    for head in ("mu", "logvar"):
        by_loops = sum(np.outer(h[b], trace[f"d{head}"][b]) for b in range(B))
        np.testing.assert_allclose(grads[f"{head}.W"], by_loops, rtol=1e-12)
        np.testing.assert_allclose(grads[f"{head}.b"], trace[f"d{head}"].sum(axis=0), rtol=1e-12)
    dh = trace["dmu"] @ params["mu.W"].T + trace["dlogvar"] @ params["logvar.W"].T
    np.testing.assert_allclose(trace["encoder.0.tanh.dy"], dh, rtol=1e-12)


@pytest.mark.equation("vae-outputs-are-not-trained")
def test_a_step_moves_weights_and_through_them_the_outputs_of_other_examples(walk):
    vae, x, eps, eta = walk["vae"], walk["x"], walk["eps"], 0.01
    _, cache = vae.objective(x, eps)
    trace = {}
    vae.backward(np.ones(B), cache, trace=trace)
    expected = vae.params["mu.W"] + eta / B * sum(np.outer(walk["h"][b], trace["dmu"][b]) for b in range(B))
    one = vae.backward(np.array([-1.0, 0.0, 0.0, 0.0]), cache)  # a step for the first example alone
    SGD(lr=eta, momentum=0.0).step(vae.params, vae.backward(np.full(B, -1 / B), cache))
    np.testing.assert_allclose(vae.params["mu.W"], expected, rtol=1e-12)
    before, _, _ = vae.encode(x)
    SGD(lr=eta, momentum=0.0).step(vae.params, one)
    after, _, _ = vae.encode(x)
    assert (np.abs(after - before)[1:] > 1e-6).all()  # the others' means moved too
