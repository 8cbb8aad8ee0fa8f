"""The oracle is checked from three sides: its formulas against each other, against quadrature, and against training."""

import itertools

import numpy as np
import pytest
from proof import directional_error, grid, log_normal

from scratchvae import VAE, Adam, Bernoulli, Gaussian, fit
from scratchvae.data.toy import linear_gaussian
from scratchvae.exact import (
    LinearGaussian,
    best_gaussian,
    expected_elbo,
    fit_linear_gaussian,
    grid_log_evidence,
    grid_posterior,
    split_gap,
)

D = 3


def make(rng, n_z, sigma=0.7):
    return LinearGaussian(rng.standard_normal((D, n_z)), rng.standard_normal(D), sigma)


def rows(rng, B=4):
    return 1.5 * rng.standard_normal((B, D))


def log_joint(model, x, z):
    """log p(x|z) + log p(z) for every row and point, (B, G): written once more, apart from the package."""
    return log_normal(x[:, None], z @ model.W.T + model.mean, model.sigma**2) + log_normal(z)


def some_q(rng, n_z, B=4):
    """Means (B, Z) and covariances (B, Z, Z), full ones, of Gaussians that have nothing to do with the posterior."""
    factor = 0.4 * rng.standard_normal((B, n_z, n_z)) + 0.6 * np.eye(n_z)
    return rng.standard_normal((B, n_z)), factor @ factor.transpose(0, 2, 1)


def diagonal(logvar):
    """The covariances (B, Z, Z) of what an encoder returns."""
    return np.exp(logvar)[:, :, None] * np.eye(logvar.shape[1])


def full_log_normal(z, mu, cov):
    """log N(z; mu, cov) at every point, (G,)."""
    r = z - mu
    squares = np.einsum("gi,ij,gj->g", r, np.linalg.inv(cov), r)
    return -0.5 * (squares + np.log(np.linalg.det(2 * np.pi * cov)))


# -- the linear-Gaussian model in closed form --------------------------------------------------------------------------


@pytest.mark.parametrize("n_z", [1, 2])
def test_evidence_and_posterior_by_quadrature(n_z, rng):
    model, x = make(rng, n_z), rows(rng)
    z, cell = grid(n_z, 11, 601)
    joint = np.exp(log_joint(model, x, z))  # (B, G)
    evidence = joint.sum(axis=1) * cell
    assert np.abs(model.log_px(x) - np.log(evidence)).max() < 1e-10
    mu, cov = model.posterior(x)
    posterior = joint * cell / evidence[:, None]  # (B, G)
    assert np.abs(mu - posterior @ z).max() < 1e-10
    for b in range(len(x)):
        r = z - mu[b]
        assert np.abs(cov - (posterior[b, :, None] * r).T @ r).max() < 1e-10


def test_log_px_is_the_density_of_what_the_model_draws(rng):
    """The covariance of 200,000 draws, entry by entry, within 5 standard errors."""
    model, n = make(rng, 2), 200_000
    x = rng.standard_normal((n, 2)) @ model.W.T + model.mean + model.sigma * rng.standard_normal((n, D))
    r = x - model.mean
    products = r[:, :, None] * r[:, None, :]
    error = products.std(axis=0) / np.sqrt(n)
    assert (np.abs(products.mean(axis=0) - model.covariance) < 5 * error).all()


@pytest.mark.parametrize("n_z", [1, 2])
def test_the_elbo_and_the_gap_of_any_gaussian_by_quadrature(n_z, rng):
    model, x = make(rng, n_z), rows(rng)
    z, cell = grid(n_z, 14, 801)
    mu, full = some_q(rng, n_z)
    for cov in (full, full * np.eye(n_z)):
        elbo, gap = model.elbo(x, mu, cov), model.gap(x, mu, cov)
        for b in range(len(x)):
            log_q, joint = full_log_normal(z, mu[b], cov[b]), log_joint(model, x[b : b + 1], z)[0]
            integral = (np.exp(log_q) * (joint - log_q)).sum() * cell
            assert abs(elbo[b] - integral) < 1e-10
            log_px = np.log(np.exp(joint).sum() * cell)
            assert abs(gap[b] - (np.exp(log_q) * (log_q - joint + log_px)).sum() * cell) < 1e-10


@pytest.mark.parametrize("n_z", [1, 2, 5])
def test_the_gap_is_log_px_minus_elbo(n_z, rng):
    model, x = make(rng, n_z), rows(rng)
    mu, cov = some_q(rng, n_z)
    np.testing.assert_allclose(model.gap(x, mu, cov), model.log_px(x) - model.elbo(x, mu, cov), atol=1e-10, rtol=0)
    one = cov[0]  # the same covariance for every row
    np.testing.assert_allclose(model.gap(x, mu, one), model.log_px(x) - model.elbo(x, mu, one), atol=1e-10, rtol=0)
    assert (model.gap(x, mu, cov) > 0.01).all()
    assert np.abs(model.gap(x, *model.posterior(x))).max() < 1e-12


def test_the_best_diagonal_is_the_optimum_and_its_gap_the_known_one(rng):
    model, x = make(rng, 3), rows(rng)
    mu, cov = model.best_diagonal(x)
    best = model.elbo(x, mu, cov)
    np.testing.assert_allclose(best, model.optimal_elbo(x), atol=1e-12)
    P = model.W.T @ model.W / model.sigma**2 + np.eye(3)
    known = 0.5 * (np.log(np.diag(P)).sum() - np.log(np.linalg.det(P)))
    assert known > 0.1
    np.testing.assert_allclose(model.log_px(x) - best, known, atol=1e-12)
    for _ in range(50):  # every other diagonal q is worse
        other = cov * np.exp(0.1 * rng.standard_normal(3))
        assert (model.elbo(x, mu + 0.1 * rng.standard_normal(mu.shape), other) < best).all()


def test_orthogonal_columns_leave_no_gap(rng):
    Q, _ = np.linalg.qr(rng.standard_normal((D, D)))
    model, x = LinearGaussian(Q[:, :2] * [2.0, 0.5], np.zeros(D), 0.5), rows(rng)
    np.testing.assert_allclose(model.optimal_elbo(x), model.log_px(x), atol=1e-12)
    turned = model._replace(W=model.W @ [[0.6, -0.8], [0.8, 0.6]])  # the same evidence, another code
    np.testing.assert_allclose(turned.log_px(x), model.log_px(x), atol=1e-12)
    assert (turned.optimal_elbo(x) < model.optimal_elbo(x) - 0.1).all()


def test_gradients_of_the_evidence_against_differences(rng):
    model, x, w = make(rng, 2), rows(rng), rng.standard_normal(4)
    dW, dmean, dsigma = model.log_px_backward(x, w)
    for name, grad in (("W", dW), ("mean", dmean), ("sigma", np.array(dsigma))):
        value = np.array(getattr(model, name))
        error = directional_error(lambda v, name=name: w @ model._replace(**{name: v}).log_px(x), value, grad, rng)
        assert error < 1e-8, name


# -- maximum likelihood ------------------------------------------------------------------------------------------------


def cloud(rng, n=300, scales=(2.0, 1.2, 0.8, 0.35, 0.3)):
    """Rows whose covariance has well-separated eigenvalues near the squares of scales, turned at random."""
    Q, _ = np.linalg.qr(rng.standard_normal((len(scales), len(scales))))
    return rng.standard_normal((n, len(scales))) * scales @ Q + rng.standard_normal(len(scales))


@pytest.mark.parametrize("sigma", [None, 0.5])
def test_the_fit_is_a_maximum(sigma, rng):
    x = cloud(rng)
    model = fit_linear_gaussian(x, 2, sigma)
    dW, dmean, dsigma = model.log_px_backward(x, np.full(len(x), 1 / len(x)))
    assert max(np.abs(dW).max(), np.abs(dmean).max()) < 1e-12
    assert (abs(dsigma) < 1e-12) == (sigma is None)  # a sigma that was given is not the best one
    best = model.log_px(x).mean()
    for _ in range(100):
        moved = model._replace(
            W=model.W + 0.05 * rng.standard_normal(model.W.shape),
            mean=model.mean + 0.05 * rng.standard_normal(5),
            sigma=model.sigma if sigma else model.sigma * np.exp(0.05 * rng.standard_normal()),
        )
        assert moved.log_px(x).mean() < best


def test_the_fit_explains_the_variance_and_its_columns_are_orthogonal(rng):
    x = cloud(rng)
    model = fit_linear_gaussian(x, 3)
    values = np.sort(np.linalg.eigvalsh(np.cov(x.T, bias=True)))[::-1]
    assert abs(model.sigma**2 - values[3:].mean()) < 1e-12
    np.testing.assert_allclose(model.W.T @ model.W, np.diag(values[:3] - model.sigma**2), atol=1e-12)
    np.testing.assert_allclose(np.linalg.eigvalsh(model.covariance)[::-1][:3], values[:3], rtol=1e-12)


def test_latents_whose_eigenvalue_is_below_sigma_squared_collapse(rng):
    x = cloud(rng)
    values = np.sort(np.linalg.eigvalsh(np.cov(x.T, bias=True)))[::-1]
    model = fit_linear_gaussian(x, 4, sigma=1.0)
    np.testing.assert_array_equal((model.W**2).sum(axis=0) > 0, values[:4] > 1.0)
    _, cov = model.posterior(x)
    np.testing.assert_allclose(np.diag(cov), np.minimum(1 / values[:4], 1), rtol=1e-12)  # a collapsed one: the prior


@pytest.mark.parametrize(
    ("n_z", "sigma", "text"),
    [
        (5, None, "n_z should be smaller than the 5 dimensions of x, got 5"),
        (0, None, "n_z should be a whole number of at least 1, got 0"),
        (2, -1.0, "sigma should be a positive finite number, got -1.0"),
    ],
)
def test_a_fit_that_is_not_to_be_had(n_z, sigma, text, rng):
    with pytest.raises(ValueError, match=text):
        fit_linear_gaussian(cloud(rng), n_z, sigma)


def test_rows_that_are_all_the_same_leave_no_sigma_to_find():
    with pytest.raises(ValueError, match=r"sigma should be a positive finite number, got 0\.0"):
        fit_linear_gaussian(np.ones((10, 3)), 1)


@pytest.mark.parametrize(("seed", "sigma", "active"), [(0, 0.7, 2), (4, 2.2, 1)])
def test_a_linear_vae_trained_by_fit_reaches_the_exact_optimum(seed, sigma, active):
    """Four latents, of which the closed form says how many are worth their KL. Its expectations are exact: no eps."""
    rng, Z, epochs = np.random.default_rng(seed), 4, 3000
    x = linear_gaussian(300, rng, n_x=6, n_z=2).x
    vae = VAE(6, (), Z, likelihood=Gaussian(sigma), rng=rng, dtype="float64")
    decay = (1e-4 / 0.07) ** (1 / epochs)
    fit(
        *(vae, x, x),
        epochs=epochs,
        optimizer=Adam(lr=0.07, beta2=0.99),
        rng=rng,
        batch_size=len(x),
        schedule=lambda epoch: 0.07 * decay**epoch,
        binarise="none",
        progress=False,
    )
    best = fit_linear_gaussian(x, Z, sigma)
    trained = LinearGaussian(vae.params["logits.W"].T, vae.params["logits.b"], sigma)
    mu, logvar, _ = vae.encode(x)
    gap = best.log_px(x).mean() - trained.elbo(x, mu, diagonal(logvar)).mean()
    assert 0 <= gap < 1e-3

    values = np.sort(np.linalg.eigvalsh(np.cov(x.T, bias=True)))[::-1][:Z]
    assert (values > sigma**2).sum() == active
    predicted = 0.5 * np.log(
        np.maximum(values / sigma**2, 1)
    )  # (Z,) the mean KL of each latent, zero for a collapsed one
    kl = np.sort(0.5 * (mu**2 + np.exp(logvar) - 1 - logvar).mean(axis=0))[::-1]
    np.testing.assert_allclose(kl, predicted, atol=0.02)
    assert (kl[active:] < 1e-3).all()
    norms = np.sort((trained.W**2).sum(axis=0))[::-1]
    assert (norms[active:] < 1e-3).all()


# -- the grid ----------------------------------------------------------------------------------------------------------


def linear_vae(model, rng):
    """A VAE whose decoder is that of a linear-Gaussian model; its encoder is a random one, near the prior."""
    vae = VAE(len(model.W), (), model.W.shape[1], likelihood=Gaussian(model.sigma), rng=rng, dtype="float64")
    for p in vae.params.values():
        p *= 0.3
    vae.params["logvar.b"] -= 1  # q well inside the grid
    vae.params["logits.W"][...], vae.params["logits.b"][...] = model.W.T, model.mean
    return vae


@pytest.mark.parametrize("n_z", [1, 2])
def test_the_grid_meets_the_closed_form(n_z, rng):
    model, x = make(rng, n_z), rows(rng)
    posterior = grid_posterior(linear_vae(model, rng), x)
    assert np.abs(posterior.log_px - model.log_px(x)).max() < 1e-10
    assert posterior.error.max() < 1e-10
    mean, cov = posterior.moments()
    mu, exact_cov = model.posterior(x)
    assert np.abs(mean - mu).max() < 1e-10
    assert np.abs(cov - exact_cov).max() < 1e-10
    exact = np.array([full_log_normal(posterior.z, m, exact_cov) for m in mu])
    assert np.abs(posterior.log_density - exact).max() < 1e-9
    means, logvars = rng.uniform(-1, 1, (4, n_z)), rng.uniform(-2, -0.5, (4, n_z))  # all of q on the grid
    assert np.abs(posterior.kl_from(means, logvars) - model.gap(x, means, diagonal(logvars))).max() < 1e-9
    log_px, error = grid_log_evidence(linear_vae(model, rng), x)
    np.testing.assert_array_equal(log_px, posterior.log_px)
    np.testing.assert_array_equal(error, posterior.error)


@pytest.mark.parametrize("n_z", [1, 2])
@pytest.mark.parametrize("what", ["coarse", "small", "narrow"])
def test_the_error_estimate_covers_the_true_error(what, n_z, rng):
    """Over many models and grids, bad ones most of all: true error <= 1.05 estimate, and estimates are not idle."""
    told, covered = 0, 0
    for trial in range(40):
        model, x = make(rng, n_z, sigma=rng.uniform(0.05, 0.2) if what == "narrow" else 0.7), rows(rng)
        half_width, n = {
            "coarse": (8.0, int(rng.integers(3, 40))),
            "small": (rng.uniform(0.5, 4), 101),
            "narrow": (8.0, 81),
        }[what]
        log_px, error = grid_log_evidence(linear_vae(model, rng), x, half_width, n)
        true = np.abs(log_px - model.log_px(x))
        assert (true <= 1.05 * error + 1e-12).all(), (trial, n, half_width, true, error)
        told += (error > 1e-3).sum()
        covered += (true > 1e-3).sum()
    assert told >= covered > 10  # there were errors to be told


@pytest.mark.parametrize("offset", [0.0, 0.25, 0.5])
@pytest.mark.parametrize("n_z", [1, 2])
def test_a_posterior_narrower_than_the_spacing_is_told_wherever_it_lies(n_z, offset, rng):
    """On a point, between two, or halfway to the middle, where the sums over every and every second point may agree."""
    W, n = 100.0 * np.eye(D)[:, :n_z], 161  # spacing 0.1, posterior standard deviation 0.01
    model = LinearGaussian(W, np.zeros(D), 1.0)
    x = (offset * 0.1) * W.sum(axis=1)[None]  # the posterior's mean is offset spacings away from the point at 0
    log_px, error = grid_log_evidence(linear_vae(model, rng), x, 8.0, n)
    assert abs(log_px[0] - model.log_px(x)[0]) > 0.1
    assert error[0] > 1


@pytest.mark.parametrize("n_z", [1, 2])
def test_a_posterior_beyond_the_edge_is_told(n_z, rng):
    model = LinearGaussian(50.0 * np.eye(D)[:, :n_z], np.zeros(D), 1.0)
    log_px, error = grid_log_evidence(linear_vae(model, rng), np.full((1, D), 150.0), half_width=2.0, n=201)
    assert abs(log_px[0] - model.log_px(np.full((1, D), 150.0))[0]) > 100
    assert error[0] == np.inf


@pytest.mark.parametrize(("mu", "logvar"), [(7.5, 0.0), (0.0, 4.0), (0.004, -12.0)])
def test_a_q_that_the_grid_does_not_hold_has_no_kl(mu, logvar, rng):
    """Half of it outside, wider than the grid, narrower than its spacing of 0.008."""
    posterior = grid_posterior(linear_vae(make(rng, 1), rng), rows(rng, B=1))
    assert posterior.kl_from(np.array([[mu]]), np.array([[logvar]]))[0] == np.inf
    assert np.isfinite(posterior.kl_from(np.array([[0.0]]), np.array([[0.0]]))[0])


def test_a_grid_for_three_latents_is_refused(rng):
    with pytest.raises(ValueError, match=r"a grid needs a model with 1 or 2 latents, got 3; use evaluation\.log"):
        grid_posterior(VAE(4, (3,), 3, rng=rng), np.zeros((1, 4)))


@pytest.mark.parametrize(
    ("how", "text"),
    [
        ({"half_width": 0}, "half_width should be a positive finite number, got 0"),
        ({"n": 0}, "n should be a whole number of at least 1, got 0"),
    ],
)
def test_a_grid_with_an_option_out_of_range(how, text, rng):
    with pytest.raises(ValueError, match=text):
        grid_posterior(VAE(4, (3,), 1, rng=rng), np.zeros((1, 4)), **how)


def test_any_number_of_points_makes_a_grid(rng):
    vae, x = linear_vae(make(rng, 1), rng), rows(rng)
    assert [len(grid_posterior(vae, x, 8.0, n).z) for n in (1, 2, 3, 4, 5)] == [3, 3, 3, 5, 5]


# -- the gap, split ----------------------------------------------------------------------------------------------------


def curved_vae(rng, n_z, likelihood=None):
    """A decoder with no closed form, far from linear."""
    vae = VAE(6, (8,), n_z, "tanh", likelihood or Bernoulli(), rng=rng, dtype="float64")
    for name, p in vae.params.items():
        p += (1.0 if name.startswith(("decoder", "logits")) else 0.1) * rng.standard_normal(p.shape)
    vae.params["logvar.b"] -= 1  # q well inside the grid
    return vae


@pytest.mark.parametrize("likelihood", [Bernoulli(), Gaussian(0.5)], ids=lambda p: p.name)
@pytest.mark.parametrize("n_z", [1, 2])
def test_the_two_parts_add_up_to_the_gap(n_z, likelihood, rng):
    vae, x = curved_vae(rng, n_z, likelihood), rng.random((3, 6))
    posterior = grid_posterior(vae, x)
    gap = split_gap(vae, x, posterior)
    np.testing.assert_array_equal(gap.log_px, posterior.log_px)
    np.testing.assert_allclose(gap.approximation + gap.amortization, gap.log_px - gap.elbo, atol=1e-8, rtol=0)
    assert (gap.approximation > 1e-5).all()  # no posterior here is a Gaussian
    assert (gap.amortization > 1e-3).all()  # and nobody trained the encoder


@pytest.mark.parametrize("n_z", [1, 2])
def test_the_expected_elbo_is_the_mean_of_the_objective_over_its_noise(n_z, rng):
    vae, x = curved_vae(rng, n_z), rng.random((1, 6))
    exact, n = expected_elbo(vae, x), 40_000
    terms, _ = vae.objective(np.repeat(x, n, axis=0), vae.draw_eps(n, rng))
    assert abs(terms.elbo.mean() - exact[0]) < 5 * terms.elbo.std() / np.sqrt(n)


@pytest.mark.parametrize("n_z", [1, 2])
def test_the_split_of_a_linear_model_is_the_known_one(n_z, rng):
    model, x = make(rng, n_z), rows(rng)
    vae = linear_vae(model, rng)
    gap = split_gap(vae, x, grid_posterior(vae, x, 12.0, 301))
    mu, logvar, _ = vae.encode(x)
    np.testing.assert_allclose(gap.elbo, model.elbo(x, mu, diagonal(logvar)), atol=1e-9)
    P = model.posterior_precision
    known = 0.5 * (np.log(np.diag(P)).sum() - np.linalg.slogdet(P).logabsdet)
    assert (known > 0.05) == (n_z == 2)  # with one latent the family holds the posterior
    np.testing.assert_allclose(gap.approximation, known, atol=1e-9)
    np.testing.assert_allclose(gap.amortization, model.gap(x, mu, diagonal(logvar)) - known, atol=1e-9)


def test_an_encoder_on_the_smaller_of_two_peaks_is_not_blamed_on_the_family(rng):
    """x = z for z > 0 and -0.6 z below: two peaks, the one on the right heavier; q sits on the left one."""
    vae, x = VAE(1, (2,), 1, "relu", Gaussian(0.15), rng=rng, dtype="float64"), np.ones((1, 1))
    for name, p in vae.params.items():
        p[...] = {"decoder.0.W": [[1, -1]], "logits.W": [[1], [0.6]], "mu.b": -1.6, "logvar.b": -3}.get(name, 0)
    posterior = grid_posterior(vae, x)
    right = best_gaussian(posterior, np.array([[1.0]]), np.full((1, 1), -3.0))
    left = best_gaussian(posterior, np.array([[-1.6]]), np.full((1, 1), -3.0))
    assert left[0] < -1
    assert posterior.kl_from(*left) > posterior.kl_from(*right) + 0.3
    np.testing.assert_allclose(split_gap(vae, x, posterior).approximation, posterior.kl_from(*right), atol=1e-9)


def test_an_encoder_that_knows_the_posterior_has_nothing_left_to_learn(rng):
    model, x = make(rng, 2), rows(rng)
    vae = linear_vae(model, rng)
    P = model.posterior_precision
    A = model.W @ np.linalg.inv(P) / model.sigma**2  # mu = (x - mean) A
    vae.params["mu.W"][...], vae.params["mu.b"][...] = A, -model.mean @ A
    vae.params["logvar.W"][...], vae.params["logvar.b"][...] = 0, -np.log(np.diag(P))
    gap = split_gap(vae, x, grid_posterior(vae, x))
    assert np.abs(gap.amortization).max() < 1e-10
    np.testing.assert_allclose(gap.elbo, model.optimal_elbo(x), atol=1e-10)


@pytest.mark.parametrize("how", [{"n": 41}, {"half_width": 0.5}])
def test_a_grid_that_cannot_carry_the_split_is_refused(how, rng):
    vae, x = linear_vae(make(rng, 2, sigma=0.1), rng), rows(rng)
    with pytest.raises(
        ValueError, match=r"should agree to 0\.001 nat, they may differ by .*; give grid_posterior more"
    ):
        split_gap(vae, x, grid_posterior(vae, x, **how))


def brute_force_kl(posterior, mu, logvar, rounds=14, points=5):
    """The smallest KL found by nested search: a lattice around the best so far, which shrinks by 0.55 each round."""
    best, width = np.concatenate([mu, logvar]), 1.2  # (2 Z,)
    lattice = np.array(list(itertools.product(np.linspace(-1, 1, points), repeat=len(best))))  # (points^(2 Z), 2 Z)
    lowest = np.inf
    for _ in range(rounds):
        candidates = best + width * lattice
        for q in candidates:
            kl = posterior.kl_from(q[None, : len(mu)], q[None, len(mu) :])[0]
            if kl < lowest:
                lowest, best = kl, q
        width *= 0.55
    return lowest


@pytest.mark.parametrize("n_z", [1, 2])
def test_the_best_gaussian_is_as_good_as_a_search_of_the_whole_family(n_z, rng):
    vae, x = curved_vae(rng, n_z), rng.random((3 if n_z == 1 else 1, 6))
    posterior = grid_posterior(vae, x, n=301 if n_z == 1 else 61)
    mean, cov = posterior.moments()
    start = mean, np.log(np.einsum("bii->bi", cov))
    reached = posterior.kl_from(*best_gaussian(posterior, *start))
    searched = [
        brute_force_kl(posterior._replace(log_density=log_density[None]), *(part[b] for part in start))
        for b, log_density in enumerate(posterior.log_density)
    ]
    assert (reached > 1e-4).all()
    np.testing.assert_allclose(reached, searched, atol=1e-6, rtol=0)
    assert (reached <= np.array(searched) + 1e-9).all()


@pytest.mark.parametrize("start", [(3.0, 2.0), (-2.0, -3.0), (0.0, 1.0)])
def test_the_descent_reaches_a_gaussian_posterior_from_far_away(start, rng):
    model, x = make(rng, 1), rows(rng)
    posterior = grid_posterior(linear_vae(model, rng), x)
    mu, logvar = best_gaussian(posterior, *(np.full((4, 1), value) for value in start))
    exact, cov = model.posterior(x)
    np.testing.assert_allclose(mu, exact, atol=1e-5)
    np.testing.assert_allclose(logvar, np.log(cov[0, 0]), atol=1e-5)
