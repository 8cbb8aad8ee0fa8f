"""docs/derivations/01_evidence.md, line by line: sums over all x, integrals over z on a grid."""

import itertools

import numpy as np
import pytest
from proof import grid, log_normal, within_standard_errors

from scratchvae import VAE, Gaussian
from scratchvae.exact import LinearGaussian, grid_posterior

ALL_BITS = np.array(list(itertools.product([0.0, 1.0], repeat=3)))  # (8, 3) every x there is
Z, CELL = grid(1, 10, 1001)
PRIOR = np.exp(log_normal(Z))


@pytest.fixture
def vae(rng):
    model = VAE(3, (5,), 1, "tanh", rng=rng, dtype="float64")
    for p in model.params.values():
        p += 0.8 * rng.standard_normal(p.shape)
    return model


def likelihood(vae, x, z):
    """p(x|z_g), (G,), for one x (D,)."""
    logits, _ = vae.decode(z)
    nll, _ = vae.likelihood.nll(np.broadcast_to(x, (len(z), len(x))), logits)
    return np.exp(-nll)


def linear_vae(rng):
    """A VAE whose decoder is linear, and the closed form of the same model."""
    vae = VAE(3, (), 1, likelihood=Gaussian(sigma=0.7), rng=rng, dtype="float64")
    vae.params["logits.b"][...] = rng.standard_normal(3)
    return vae, LinearGaussian(vae.params["logits.W"].T, vae.params["logits.b"], 0.7)


@pytest.mark.equation("joint")
def test_the_joint_sums_to_one_over_every_x_and_z(vae):
    assert abs(sum((likelihood(vae, x, Z) * PRIOR).sum() * CELL for x in ALL_BITS) - 1) < 1e-12


@pytest.mark.equation("evidence")
def test_evidence_by_integral_by_sampling_and_in_closed_form(vae, rng):
    by_integral = np.array([(likelihood(vae, x, Z) * PRIOR).sum() * CELL for x in ALL_BITS])
    assert abs(by_integral.sum() - 1) < 1e-12  # a distribution over x
    draws = np.stack([likelihood(vae, x, rng.standard_normal((50_000, 1))) for x in ALL_BITS], axis=1)
    assert within_standard_errors(draws, by_integral)
    linear, closed = linear_vae(rng)
    x = rng.standard_normal(3)
    assert abs(np.log((likelihood(linear, x, Z) * PRIOR).sum() * CELL) - closed.log_px(x[None])[0]) < 1e-10


@pytest.mark.equation("bayes", "evidence-at-any-z")
def test_posterior_is_the_conjugate_one_and_gives_the_evidence_at_every_z(rng):
    linear, closed = linear_vae(rng)
    x = rng.standard_normal(3)
    mu, cov = closed.posterior(x[None])
    posterior = np.exp(log_normal(Z, mu[0], np.diag(cov)))  # (G,)  without Bayes: the closed form
    joint = likelihood(linear, x, Z) * PRIOR
    np.testing.assert_allclose(posterior, joint / (joint.sum() * CELL), rtol=1e-9, atol=1e-12)
    near = posterior > 1e-6
    np.testing.assert_allclose(joint[near] / posterior[near], np.exp(closed.log_px(x[None]))[0], rtol=1e-9)


@pytest.mark.equation("evidence-on-a-grid")
def test_log_sum_exp_on_a_grid_is_the_plain_sum_and_survives_where_that_underflows(vae):
    x = ALL_BITS[[3]]
    plain = np.log((likelihood(vae, x[0], Z) * PRIOR).sum() * CELL)
    posterior = grid_posterior(vae, x)
    assert abs(posterior.log_px[0] - plain) < 1e-10
    assert posterior.error[0] < 1e-6
    vae.params["logits.b"][...] = [1000.0, -1000.0, -1000.0]  # x = 011 costs 3000 nats: exp(-3000) is 0
    assert likelihood(vae, x[0], Z).max() == 0
    assert -3100 < grid_posterior(vae, x).log_px[0] < -2900


@pytest.mark.equation("prior-sampling-variance")
def test_relative_variance_of_a_prior_draw(vae):
    p = likelihood(vae, ALL_BITS[5], Z)
    px = (p * PRIOR).sum() * CELL
    variance = ((p - px) ** 2 * PRIOR).sum() * CELL  # straight from the definition of a variance
    posterior = p * PRIOR / px
    assert abs(variance / px**2 - ((posterior**2 / PRIOR).sum() * CELL - 1)) < 1e-10
    assert variance / px**2 > 0.01


@pytest.mark.equation("prior-sampling-variance")
@pytest.mark.parametrize("n_z", [1, 2])
def test_relative_variance_of_a_squeezed_posterior_is_a_power_of_z(n_z):
    """The posterior N(0, s^2) over the prior, against (s sqrt(2 - s^2))^-Z."""

    def second_moment(s, half_width):
        points, cell = grid(n_z, half_width, 1201)
        return np.exp(2 * log_normal(points, var=s * s) - log_normal(points)).sum() * cell

    for s in (0.1, 0.5, 0.9, 1.1, 1.3):
        exact = (s * np.sqrt(2 - s * s)) ** -n_z
        assert abs(second_moment(s, 12 if s < 1 else 24) / exact - 1) < 1e-9
        assert exact > 1
    assert second_moment(1.42, 24) > 1.9**n_z * second_moment(1.42, 12)  # s^2 > 2: it grows with the grid, without end


@pytest.mark.equation("evidence-gradient")
def test_gradient_of_the_evidence_is_the_posterior_average_of_the_gradient_of_the_joint(vae):
    x = ALL_BITS[6]
    logits, cache = vae.decode(Z)
    nll, nll_cache = vae.likelihood.nll(np.broadcast_to(x, (len(Z), 3)), logits)
    joint = np.exp(-nll) * PRIOR
    posterior = joint / joint.sum()  # (G,)  weights of the grid points, which sum to 1
    _, grads = vae.decode_backward(vae.likelihood.nll_backward(-posterior, nll_cache), cache)
    for name in ("decoder.0.W", "logits.W", "logits.b"):
        theta, h = vae.params[name], 1e-5
        for index in np.ndindex(theta.shape):
            before, log_px = theta[index], []
            for step in (h, -h):
                theta[index] = before + step
                log_px.append(np.log((likelihood(vae, x, Z) * PRIOR).sum() * CELL))
            theta[index] = before
            assert abs((log_px[0] - log_px[1]) / (2 * h) - grads[name][index]) < 1e-8


@pytest.mark.equation("maximum-likelihood")
def test_mean_log_evidence_is_minus_entropy_minus_kl(vae, rng):
    p_data = rng.dirichlet(np.ones(8))
    log_px = np.log([(likelihood(vae, x, Z) * PRIOR).sum() * CELL for x in ALL_BITS])
    entropy, kl = -(p_data * np.log(p_data)).sum(), (p_data * (np.log(p_data) - log_px)).sum()
    assert abs((p_data * log_px).sum() - (-entropy - kl)) < 1e-12
    assert kl > 0
