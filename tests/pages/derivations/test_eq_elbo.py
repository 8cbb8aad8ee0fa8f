"""docs/derivations/03_elbo.md, line by line, for a non-linear decoder with one latent: every integral on a grid."""

import itertools

import numpy as np
import pytest
from proof import grid, log_normal

from scratchvae import VAE
from scratchvae.exact import grid_posterior, split_gap

Z, CELL = grid(1, 16, 2**12 + 1)


class Setting:
    """One example, a small VAE, and every density of the page on the grid."""

    def __init__(self, rng):
        self.vae = VAE(4, (6,), 1, "tanh", rng=rng, dtype="float64")
        for p in self.vae.params.values():
            p += 0.7 * rng.standard_normal(p.shape)
        self.vae.params["logits.W"] *= 3  # a posterior that is no Gaussian
        self.x = np.array([[1.0, 0.0, 1.0, 1.0]])
        self.mu, self.logvar, _ = self.vae.encode(self.x)
        self.log_likelihood = -self.vae.likelihood.nll(np.repeat(self.x, len(Z), axis=0), self.vae.decode(Z)[0])[0]
        self.log_prior = log_normal(Z)
        self.log_joint = self.log_likelihood + self.log_prior
        self.log_px = np.log(np.exp(self.log_joint).sum() * CELL)
        self.log_posterior = self.log_joint - self.log_px
        self.log_q = log_normal(Z, self.mu, np.exp(self.logvar))

    def mean(self, f):
        """E_q[f(z)]."""
        return float((np.exp(self.log_q) * f).sum() * CELL)

    @property
    def elbo(self):
        return self.mean(self.log_joint - self.log_q)


@pytest.fixture
def s(rng):
    return Setting(rng)


@pytest.mark.equation("jensen")
def test_jensen_and_its_tangent(rng):
    t, weights = rng.gamma(0.5, size=(50, 9)) + 1e-3, rng.dirichlet(np.ones(9), size=50)
    mean, mean_log = (weights * t).sum(axis=1), (weights * np.log(t)).sum(axis=1)
    tangent = np.log(mean)[:, None] + (t - mean[:, None]) / mean[:, None]
    assert (np.log(t) <= tangent + 1e-15).all()
    np.testing.assert_allclose((weights * tangent).sum(axis=1), np.log(mean), rtol=1e-10, atol=1e-12)
    assert (mean_log < np.log(mean)).all()


@pytest.mark.equation("evidence-under-q", "elbo-jensen")
def test_evidence_is_a_mean_under_any_q_and_the_mean_of_the_log_is_below_it(s):
    for mu, logvar in ((s.mu, s.logvar), (0.5, 0.8), (-1.0, 0.3)):
        s.log_q = log_normal(Z, mu, np.exp(logvar))
        assert abs(np.log(s.mean(np.exp(s.log_joint - s.log_q))) - s.log_px) < 1e-10
        assert s.elbo < s.log_px - 1e-3


@pytest.mark.equation("elbo-identity")
def test_the_log_evidence_is_elbo_plus_kl_to_the_posterior(s):
    kl_posterior = s.mean(s.log_q - s.log_posterior)
    assert kl_posterior > 1e-2
    eps, cell = grid(1, 9, 2001)  # the ELBO as training computes it, averaged over its noise
    terms, _ = s.vae.objective(np.repeat(s.x, len(eps), axis=0), eps)
    elbo = float((np.exp(log_normal(eps)) * terms.elbo).sum() * cell)
    assert abs(s.log_px - (elbo + kl_posterior)) < 1e-10


@pytest.mark.equation("elbo-identity")
def test_the_bound_is_tight_at_the_posterior(s):
    s.log_q = s.log_posterior
    assert abs(s.elbo - s.log_px) < 1e-10


@pytest.mark.equation("elbo-two-terms", "elbo-entropy")
def test_the_two_ways_to_split_the_elbo(s):
    assert abs(s.mean(s.log_likelihood) - s.mean(s.log_q - s.log_prior) - s.elbo) < 1e-12
    entropy = 0.5 * float(1 + s.logvar[0, 0] + np.log(2 * np.pi))  # closed form
    assert abs(s.mean(s.log_joint) + entropy - s.elbo) < 1e-12


@pytest.mark.equation("elbo-one-draw")
def test_the_estimate_with_one_draw_is_unbiased_and_may_lie_above_the_evidence(s, rng):
    mean, cov = grid_posterior(s.vae, s.x).moments()
    for head, value in (("mu", mean[0, 0]), ("logvar", np.log(cov[0, 0, 0]))):  # a good encoder for this x
        s.vae.params[f"{head}.W"][...], s.vae.params[f"{head}.b"][...] = 0, value
    s.log_q = log_normal(Z, mean, cov[0])
    eps = rng.standard_normal((20_000, 1))
    terms, _ = s.vae.objective(np.repeat(s.x, len(eps), axis=0), eps)
    error = terms.elbo.std() / np.sqrt(len(eps))
    assert abs(terms.elbo.mean() - s.elbo) < 5 * error
    assert s.elbo < s.log_px < terms.elbo.max()
    at_the_mean = s.vae.objective(s.x, np.zeros((1, 1)))[0].elbo[0]
    assert at_the_mean > s.log_px  # z = mu gives no bound


@pytest.mark.equation("beta-objective")
@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0, 4.0])
def test_beta_weighs_the_kl(s, beta):
    eps, cell = grid(1, 9, 2001)
    terms, _ = s.vae.objective(np.repeat(s.x, len(eps), axis=0), eps, beta=beta)
    objective = float((np.exp(log_normal(eps)) * terms.objective).sum() * cell)
    assert abs(objective - (s.elbo - (beta - 1) * terms.kl[0])) < 1e-10
    assert (objective <= s.elbo + 1e-10) == (beta >= 1)


@pytest.mark.equation("beta-objective")
def test_without_the_kl_the_objective_can_exceed_the_evidence(s):
    """With q at the best latent and beta = 0, the objective tends to max log p(x|z), which no mean can exceed."""
    s.log_q = log_normal(Z, Z[s.log_likelihood.argmax()], 0.01**2)
    assert s.mean(s.log_likelihood) > s.log_px


@pytest.mark.equation("beta-objective")
def test_a_mean_over_pixels_beside_a_sum_over_latents_is_beta_d(s):
    terms, _ = s.vae.objective(s.x, np.ones((1, 1)), beta=4.0)  # D = 4
    np.testing.assert_allclose(-terms.nll / 4 - terms.kl, terms.objective / 4, rtol=1e-14)


@pytest.mark.equation("gap-split")
def test_the_gap_is_approximation_plus_amortization(s):
    gap = split_gap(s.vae, s.x, grid_posterior(s.vae, s.x))
    assert abs(gap.log_px - s.log_px) < 1e-8
    assert abs(gap.elbo - s.elbo) < 1e-8
    assert abs(gap.log_px - gap.elbo - gap.approximation - gap.amortization) < 1e-8
    # the family's best by brute force: every mean and width on a net around it
    best = np.inf
    for mu, logvar in itertools.product(np.linspace(-3, 3, 61), np.linspace(-4, 1, 51)):
        s.log_q = log_normal(Z, mu, np.exp(logvar))
        best = min(best, s.mean(s.log_q - s.log_posterior))
    assert 0 < gap.approximation[0] <= best + 1e-9
    assert best - gap.approximation[0] < 0.01
    assert gap.amortization[0] > 0
