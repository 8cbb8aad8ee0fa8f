"""The sum over the pieces of a relu decoder against quadrature, closed forms, the grid, and the model's own ELBO."""

import math

import numpy as np
import pytest
from proof import freeze

from scratchvae import VAE, Bernoulli, Gaussian
from scratchvae.exact import LinearGaussian, grid_posterior, piecewise_posterior

LOG_2PI = math.log(2 * math.pi)
NODES, WEIGHTS = np.polynomial.legendre.leggauss(20)


def network(rng, n_x=None, n_hidden=None, sigma=None, dtype="float64"):
    """A relu decoder of any size with weights and biases of any size."""
    n_x = int(rng.integers(1, 12)) if n_x is None else n_x
    n_hidden = tuple(int(h) for h in rng.integers(1, 25, size=rng.integers(1, 3))) if n_hidden is None else n_hidden
    sigma = float(10 ** rng.uniform(-2, 1)) if sigma is None else sigma
    vae = VAE(n_x, n_hidden, 1, "relu", Gaussian(sigma), rng=rng, dtype=dtype)
    scale = 10 ** rng.uniform(-1, 1)
    for name, p in vae.params.items():
        if name.startswith(("decoder", "logits")) and name.endswith("b"):
            p += scale * rng.standard_normal(p.shape)
    return vae


def with_decoder(layers, sigma, dtype="float64"):
    """A VAE whose decoder has these layers, (W, b) each; the last one returns the mean."""
    widths = tuple(W.shape[1] for W, _ in layers[:-1])
    vae = VAE(
        layers[-1][0].shape[1], widths[::-1], 1, "relu", Gaussian(sigma), rng=np.random.default_rng(0), dtype=dtype
    )
    for name, (W, b) in zip([*(f"decoder.{i}" for i in range(len(widths))), "logits"], layers, strict=True):
        vae.params[f"{name}.W"][...], vae.params[f"{name}.b"][...] = W, b
    return vae


def decoder_layers(vae):
    names = [*(f"decoder.{i}" for i in range(len(vae.n_hidden))), "logits"]
    return [(vae.params[f"{name}.W"].astype(float), vae.params[f"{name}.b"].astype(float)) for name in names]


def log_joint(vae, x, z):
    """log p(x, z) of one row at every z, in float64: written once more, apart from the package."""
    h = z.reshape(-1, 1)
    *hidden, (W_out, b_out) = decoder_layers(vae)
    for W, b in hidden:
        h = np.maximum(h @ W + b, 0)
    r = (x - h @ W_out - b_out) / vae.likelihood.sigma
    constant = len(x) * (0.5 * LOG_2PI + math.log(vae.likelihood.sigma)) + 0.5 * LOG_2PI
    return (-0.5 * (r * r).sum(axis=1) - constant).reshape(z.shape) - 0.5 * z * z


def half_width(vae, x):
    """|z| beyond which p(x, z) is below exp(-50) of its value at 0, by the prior alone."""
    most = -len(x) * (0.5 * LOG_2PI + math.log(vae.likelihood.sigma)) - 0.5 * LOG_2PI  # no residual, z = 0
    return 1 + math.sqrt(2 * (most - log_joint(vae, x, np.zeros(1))[0]) + 100)


def gauss_legendre(left, right):
    """Points (n, 20) and weights of a rule on each interval."""
    half = 0.5 * (right - left)[:, None]
    return 0.5 * (left + right)[:, None] + half * NODES, half * WEIGHTS


def summed(log_f, z, w):
    """log of the integral, mean and variance of a density that is known at nodes, up to a constant."""
    largest, start = log_f.max(), z.ravel()[log_f.argmax()]
    p = np.exp(log_f - largest) * w
    shift = (p * (z - start)).sum() / p.sum()
    return largest + math.log(p.sum()), start + shift, (p * (z - start - shift) ** 2).sum() / p.sum()


def between(vae, x, kinks):
    """log p(x), mean and variance by quadrature that knows the kinks, and that p(x, z) is log-concave between them.

    Each piece is searched for its highest point and cut at distances 2^-k from there: some cut fits any width.
    """
    width = half_width(vae, x)
    edges = np.concatenate([[-width], kinks[np.abs(kinks) < width], [width]])
    low, high = edges[:-1], edges[1:]
    for _ in range(100):
        third, other = low + 0.382 * (high - low), low + 0.618 * (high - low)
        rises = log_joint(vae, x, third) < log_joint(vae, x, other)
        low, high = np.where(rises, third, low), np.where(rises, high, other)
    steps = width * 2.0 ** np.arange(1, -60, -1)
    steps = np.concatenate([-steps, [0], steps[::-1]])
    cuts = np.clip(0.5 * (low + high)[:, None] + steps, edges[:-1, None], edges[1:, None])
    left, right = cuts[:, :-1].ravel(), cuts[:, 1:].ravel()
    z, w = gauss_legendre(left[left < right], right[left < right])
    return summed(log_joint(vae, x, z), z, w)


def adaptive(vae, x, _kinks):
    """The same by quadrature that is not told the kinks: an interval is halved until its halves agree with it."""

    def integrals(left, right):
        z, w = gauss_legendre(left, right)
        return (np.exp(log_joint(vae, x, z) - largest) * w).sum(axis=1)

    width = half_width(vae, x)
    edges = np.linspace(-width, width, 4001)
    left, right, done = edges[:-1], edges[1:], []
    largest = log_joint(vae, x, edges).max()
    while len(left):
        middle = 0.5 * (left + right)
        halves = integrals(left, middle) + integrals(middle, right)
        fine = np.abs(integrals(left, right) - halves) <= 1e-15 * halves.sum()
        done.append(gauss_legendre(left[fine], right[fine]))
        left, middle, right = left[~fine], middle[~fine], right[~fine]
        left, right = np.concatenate([left, middle]), np.concatenate([middle, right])
    z, w = (np.concatenate(part) for part in zip(*done, strict=True))
    return summed(log_joint(vae, x, z), z, w)


def assert_agrees(vae, x, reference=between):
    """log p(x) to 1e-10, mean and variance to 1e-10 of the posterior's own width, beyond the rounding of log p(x|z).

    That rounding, 1e-14 of log p(x), is in the quadrature's integrand too.
    """
    posterior = piecewise_posterior(vae, x)
    for b, row in enumerate(x.astype(float)):
        log_px, mean, variance = reference(vae, row, posterior.kinks)
        tolerance = 1e-10 + 1e-14 * abs(log_px)
        assert abs(posterior.log_px[b] - log_px) < tolerance
        assert abs(posterior.mean[b, 0] - mean) < tolerance * math.sqrt(variance) + 1e-15 * abs(mean)
        assert abs(posterior.variance[b, 0] / variance - 1) < tolerance
    return posterior


# -- against quadrature ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(30))
def test_random_networks_by_quadrature_between_the_kinks(seed):
    """One or two hidden layers, sigma from 0.01 to 10, x near and a thousand times farther."""
    rng = np.random.default_rng(seed)
    vae = network(rng)
    posterior = assert_agrees(vae, rng.standard_normal((4, vae.n_x)) * np.array([[0.3], [3], [30], [1000]]))
    assert posterior.mean.shape == posterior.variance.shape == (4, 1)
    assert posterior.log_px.shape == (4,)


@pytest.mark.parametrize("seed", range(8))
def test_random_networks_by_quadrature_that_does_not_know_the_kinks(seed):
    rng = np.random.default_rng(seed)
    vae = network(rng, sigma=float(rng.uniform(0.2, 2)))
    assert_agrees(vae, rng.standard_normal((1, vae.n_x)), adaptive)


@pytest.mark.parametrize("seed", range(5))
def test_three_hidden_layers(seed):
    rng = np.random.default_rng(seed)
    vae = network(rng, n_hidden=(7, 9, 5), sigma=0.3)
    assert_agrees(vae, rng.standard_normal((3, vae.n_x)))


@pytest.mark.parametrize("seed", range(5))
def test_weights_in_float32_are_taken_as_they_are(seed):
    """The network that they describe is evaluated in float64; x is rounded to float32, as the model does."""
    rng = np.random.default_rng(seed)
    vae = network(rng, dtype="float32")
    x = rng.standard_normal((3, vae.n_x))
    posterior = assert_agrees(vae, x.astype("float32"))
    twin = with_decoder(decoder_layers(vae), vae.likelihood.sigma)
    for mine, theirs in zip(posterior, piecewise_posterior(twin, x.astype("float32").astype(float)), strict=True):
        assert mine.dtype == np.float64
        np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_array_equal(piecewise_posterior(vae, x).log_px, posterior.log_px)


def test_the_evidence_integrates_to_one_over_x(rng):
    """With one pixel p(x) is a density on the line: no constant is missing."""
    vae = network(rng, n_x=1, n_hidden=(6, 5), sigma=0.4)
    means = vae.decode(np.linspace(-8, 8, 1001)[:, None])[0]  # the prior has 1e-15 of its mass beyond
    x = np.arange(means.min() - 4, means.max() + 4, 0.05)  # ten sigmas on either side, eight points a sigma
    assert abs(np.exp(piecewise_posterior(vae, x[:, None]).log_px).sum() * 0.05 - 1) < 1e-10


# -- the kinks ---------------------------------------------------------------------------------------------------------


def preactivations(vae, z):
    """What every hidden unit computes before its relu, (G, all H)."""
    h, found = z[:, None], []
    for W, b in decoder_layers(vae)[:-1]:
        found.append(h @ W + b)
        h = np.maximum(found[-1], 0)
    return np.concatenate(found, axis=1)


@pytest.mark.parametrize("seed", range(10))
def test_a_unit_switches_at_every_kink_and_none_between_them(seed):
    rng = np.random.default_rng(seed)
    vae = network(rng, n_hidden=(int(rng.integers(1, 20)), int(rng.integers(1, 20))))
    kinks = piecewise_posterior(vae, np.zeros((1, vae.n_x))).kinks
    assert (np.diff(kinks) > 0).all()
    gaps = np.diff(kinks, prepend=2 * kinks[0] - 1e3, append=2 * kinks[-1] + 1e3)  # (R,)
    lefts = np.concatenate([[kinks[0] - gaps[0]], kinks])  # (R,)
    inside = lefts[:, None] + gaps[:, None] * np.linspace(0.01, 0.99, 9)  # (R, 9)
    on = (preactivations(vae, inside.ravel()) > 0).reshape(len(gaps), 9, -1)
    assert (on == on[:, :1]).all()
    assert (on[1:, 0] != on[:-1, 0]).any(axis=1).all()


def test_tents_on_tents_have_kinks_at_every_eighth():
    """t(v) = 2 relu(v) - 4 relu(v - 1/2) is a tent on [0, 1]; three of them zigzag four times, and fall off outside."""
    first, bias = np.array([[1.0, 1.0]]), np.array([0.0, -0.5])
    tent = np.array([[2.0], [-4.0]])
    layers = [(first, bias), (tent @ first, bias), (tent @ first, bias), (tent, np.zeros(1))]
    posterior = piecewise_posterior(with_decoder(layers, 0.1), np.full((1, 1), 0.5))
    np.testing.assert_allclose(posterior.kinks, np.arange(9) / 8, atol=1e-15)
    assert_agrees(with_decoder(layers, 0.1), np.full((1, 1), 0.5))


def test_an_untrained_network_has_one_kink(rng):
    """All biases are zero, so all units of all layers switch at z = 0."""
    vae = VAE(5, (8, 6), 1, "relu", Gaussian(0.5), rng=rng, dtype="float64")
    np.testing.assert_array_equal(assert_agrees(vae, rng.standard_normal((3, 5))).kinks, [0.0])


@pytest.mark.parametrize("gap", [1e-15, 1e-12, 1e-9])
def test_kinks_that_nearly_coincide(gap, rng):
    """30 pieces, each far narrower than the posterior, in the middle of it; with steep units, which nearly cancel."""
    b = -0.3 - gap * np.arange(30)
    W_out = 5 * rng.standard_normal((30, 4))
    vae = with_decoder([(np.ones((1, 30)), b), (W_out, np.zeros(4))], 0.5)
    merged = with_decoder([(np.ones((1, 30)), np.full(30, -0.3)), (W_out, np.zeros(4))], 0.5)
    x = rng.standard_normal((3, 4))
    many, one = assert_agrees(vae, x), assert_agrees(merged, x)
    assert len(many.kinks) > 10
    assert len(one.kinks) == 1
    np.testing.assert_allclose(many.log_px, one.log_px, atol=1e4 * gap + 1e-13)


def test_a_posterior_a_million_away_has_its_kinks(rng):
    """x is so far out, and sigma so small, that the prior cannot hold the latent; the kink is right at its mode."""
    layers = [(np.ones((1, 2)), np.array([0.0, -1e6])), (np.array([[1.0], [1.0]]), np.zeros(1))]
    vae = with_decoder(layers, 1e-4)
    posterior = assert_agrees(vae, np.array([[1e6 + 0.01], [1e6 + 0.05]]))
    np.testing.assert_array_equal(posterior.kinks, [0, 1e6])
    assert (np.abs(posterior.mean - 1e6) < 1).all()


@pytest.mark.parametrize("weight", [1e-15, 1e-200, 5e-324])
def test_a_kink_that_nothing_reaches_is_none(weight, rng):
    """Its root, -b / weight, would be out of reach, or not even a float64."""
    W_out = rng.standard_normal((2, 3))
    near = with_decoder([(np.array([[1.0, weight]]), np.ones(2)), (W_out, np.zeros(3))], 0.5)
    never = with_decoder([(np.array([[1.0, 0.0]]), np.ones(2)), (W_out, np.zeros(3))], 0.5)
    x = rng.standard_normal((3, 3))
    np.testing.assert_array_equal(piecewise_posterior(near, x).kinks, [-1.0])
    np.testing.assert_allclose(piecewise_posterior(near, x).log_px, piecewise_posterior(never, x).log_px, rtol=1e-13)


# -- closed forms ------------------------------------------------------------------------------------------------------


def assert_linear(vae, model, x):
    """The decoder is that of a linear-Gaussian model wherever the posterior is."""
    posterior = piecewise_posterior(vae, x)
    mu, cov = model.posterior(x)
    np.testing.assert_allclose(posterior.log_px, model.log_px(x), rtol=1e-12)
    np.testing.assert_allclose(posterior.mean, mu, atol=1e-12)
    np.testing.assert_allclose(posterior.variance, np.full((len(x), 1), cov[0, 0]), rtol=1e-11)
    return posterior


def test_a_linear_decoder_in_disguise(rng):
    """Units that are on for all z > -100, and others that are off there: one piece has all the mass."""
    slopes, W_out, b_out = rng.uniform(0.1, 1, 6), rng.standard_normal((6, 4)), rng.standard_normal(4)
    slopes[4:] *= -1
    vae = with_decoder([(slopes[None], 100 * slopes), (W_out, b_out)], 0.7)
    mean = 100 * slopes[:4] @ W_out[:4] + b_out
    model = LinearGaussian((slopes[:4] @ W_out[:4])[:, None], mean, 0.7)
    posterior = assert_linear(vae, model, mean + rng.standard_normal((5, 4)))
    np.testing.assert_allclose(posterior.kinks, -100)


def test_no_hidden_layer_is_one_piece_whatever_the_activation(rng):
    model = LinearGaussian(rng.standard_normal((4, 1)), rng.standard_normal(4), 0.3)
    vae = VAE(4, (), 1, "tanh", Gaussian(0.3), rng=rng, dtype="float64")
    vae.params["logits.W"][...], vae.params["logits.b"][...] = model.W.T, model.mean
    assert len(assert_linear(vae, model, rng.standard_normal((5, 4))).kinks) == 0


def test_a_network_of_zeros_explains_nothing(rng):
    """The decoder's mean is its last bias for every z: p(x) = N(x; b, sigma^2), and the posterior is the prior."""
    vae = VAE(4, (7, 5), 1, "relu", Gaussian(0.6), rng=rng, dtype="float64")
    for p in vae.params.values():
        p[...] = 0
    vae.params["logits.b"][...] = b = rng.standard_normal(4)
    x = rng.standard_normal((3, 4))
    posterior = piecewise_posterior(vae, x)
    log_normal = -0.5 * (((x - b) / 0.6) ** 2 + LOG_2PI + 2 * math.log(0.6)).sum(axis=1)
    np.testing.assert_allclose(posterior.log_px, log_normal, rtol=1e-14)
    np.testing.assert_allclose(posterior.mean, 0, atol=1e-15)
    np.testing.assert_allclose(posterior.variance, 1, rtol=1e-14)
    assert len(posterior.kinks) == 0


def test_dead_units_change_nothing(rng):
    """Off everywhere, never switching, or switching while nothing listens."""
    (W, b), (W_out, b_out) = decoder_layers(network(rng, n_x=4, n_hidden=(6,)))
    alive = with_decoder([(W, b), (W_out, b_out)], 0.4)
    W, b = np.concatenate([W, [[0.0, 0.0, 1.0]]], axis=1), np.concatenate([b, [-10.0, 0.0, 0.2]])
    W_out = np.concatenate([W_out, rng.standard_normal((2, 4)), np.zeros((1, 4))])
    dead = with_decoder([(W, b), (W_out, b_out)], 0.4)
    x = rng.standard_normal((3, 4))
    mine, theirs = piecewise_posterior(dead, x), piecewise_posterior(alive, x)
    assert len(mine.kinks) == len(theirs.kinks) + 1
    for name in ("log_px", "mean", "variance"):
        np.testing.assert_allclose(getattr(mine, name), getattr(theirs, name), rtol=1e-12)


def mills(s):
    """M_0, M_1, M_2 of half a line for s >= 50, by the asymptotic series: the moments of exp(-s u - u^2 / 2)."""
    j = np.arange(8)
    factorials = np.array([math.factorial(k) for k in range(17)], float)
    return [(factorials[2 * j + n] / factorials[j] * (-0.5 / s / s) ** j).sum() / s ** (n + 1) for n in range(3)]


@pytest.mark.parametrize("sigma", [0.01, 1.0])
@pytest.mark.parametrize("deviations", [50, 500, 5000])
def test_modes_many_standard_deviations_beyond_a_kink(deviations, sigma):
    """m(z) = c |z| and x far below zero: each half pulls the posterior to the other side, and it piles up on the kink.

    Both modes lie the given number of their standard deviations beyond it, and erfc is zero there. By symmetry the mean
    is zero; evidence and variance follow from the asymptotic series.
    """
    c = 3.0
    vae = with_decoder([(np.array([[1.0, -1.0]]), np.zeros(2)), (np.full((2, 1), c), np.zeros(1))], sigma)
    P = 1 + c * c / sigma**2
    x = -deviations * math.sqrt(P) * sigma**2 / c  # the mode is at c x / (sigma^2 P)
    posterior = piecewise_posterior(vae, np.array([[x]]))
    moments = mills(float(deviations))
    log_px = -0.5 * (x / sigma) ** 2 - LOG_2PI - math.log(sigma) + math.log(2 * moments[0] / math.sqrt(P))
    np.testing.assert_allclose(posterior.log_px, log_px, rtol=1e-14, atol=1e-12)
    np.testing.assert_allclose(posterior.variance, moments[2] / moments[0] / P, rtol=1e-12)
    assert abs(posterior.mean[0, 0]) < 1e-10 * math.sqrt(posterior.variance[0, 0])


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("deviations", [5, 50, 500])
@pytest.mark.parametrize("sigma", [0.01, 1.0])
def test_a_hinge_in_closed_form(deviations, sigma, sign):
    """m(z) = relu(z): the left half is the prior's own, and the right one is flat or steep at the kink."""
    vae = with_decoder([(np.ones((1, 1)), np.zeros(1)), (np.ones((1, 1)), np.zeros(1))], sigma)
    assert_agrees(vae, np.array([[sign * deviations * sigma]]))


# -- beside the other oracle, and the model ----------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(10))
def test_the_grid_agrees_as_far_as_a_sum_can(seed):
    """The sum of f over a grid with the spacing h is off by at most h^2 / 8 times the total variation of f'.

    The variation is summed over the same grid. The grid's own error is an estimate, and with kinks not a bound.
    """
    rng = np.random.default_rng(seed)
    vae = network(rng, sigma=float(rng.uniform(0.5, 2)))
    x = rng.standard_normal((1, vae.n_x))
    exact, n, bound = piecewise_posterior(vae, x), 10_000, math.inf
    while bound > 1e-4:
        n *= 2
        grid = grid_posterior(vae, x, half_width(vae, x[0]), n)
        bound = grid.cell / 8 * np.abs(np.diff(np.exp(grid.log_density[0]), 2)).sum() + 1e-12
    assert abs(exact.log_px[0] - grid.log_px[0]) < bound
    np.testing.assert_allclose(exact.log_density(grid.z), grid.log_density, rtol=1e-12, atol=2 * bound)
    mean, cov = grid.moments()
    np.testing.assert_allclose(exact.mean, mean, atol=1e-4)
    np.testing.assert_allclose(exact.variance, cov[:, 0], rtol=1e-3)


@pytest.mark.parametrize("seed", range(10))
def test_the_log_density_is_joint_over_evidence(seed):
    rng = np.random.default_rng(seed)
    vae = network(rng)
    x, z = rng.standard_normal((3, vae.n_x)), np.concatenate([rng.uniform(-9, 9, 500), [-1e3, 1e3]])
    posterior = piecewise_posterior(vae, x)
    z = np.concatenate([z, posterior.kinks])
    for b in range(3):
        expected = log_joint(vae, x[b], z) - posterior.log_px[b]
        np.testing.assert_allclose(posterior.log_density(z[:, None])[b], expected, rtol=1e-11, atol=1e-9)


@pytest.mark.parametrize("seed", range(10))
def test_the_evidence_is_the_elbo_plus_the_kl_to_the_posterior(seed):
    """For the q of a network's encoder. The ELBO is the model's own, its mean over eps an integral between kinks."""
    rng = np.random.default_rng(seed)
    vae = network(rng, sigma=float(rng.uniform(0.2, 2)))
    x = rng.standard_normal((3, vae.n_x))
    posterior = piecewise_posterior(vae, x)
    mu, logvar, _ = vae.encode(x)
    for b in range(3):
        sigma = math.exp(0.5 * logvar[b, 0])
        kinks = (posterior.kinks - mu[b, 0]) / sigma  # (R - 1,) in units of eps
        edges = np.unique([*np.linspace(-12, 12, 49), *kinks[np.abs(kinks) < 12]])
        eps, w = (part.ravel() for part in gauss_legendre(edges[:-1], edges[1:]))  # (G,)
        w = w * np.exp(-0.5 * (eps * eps + LOG_2PI))
        terms, _ = vae.objective(np.broadcast_to(x[b], (len(eps), vae.n_x)), eps[:, None])
        log_q = -0.5 * (eps * eps + LOG_2PI + logvar[b, 0])
        kl_posterior = w @ (log_q - posterior.log_density(mu[b, 0] + sigma * eps[:, None])[b])
        assert kl_posterior > -1e-12
        assert abs(w @ terms.elbo + kl_posterior - posterior.log_px[b]) < 1e-10 * max(1, abs(posterior.log_px[b]))


def test_rows_do_not_meet_and_nothing_is_written_to(rng):
    vae = network(rng, n_hidden=(6, 5), sigma=0.5)
    x = freeze(rng.standard_normal((5, vae.n_x)))
    freeze(list(vae.params.values()))
    together = piecewise_posterior(vae, x)
    for b in range(5):
        alone = piecewise_posterior(vae, x[b : b + 1])
        for name in ("peak", "log_joint", "slope", "log_px", "mean", "variance"):
            np.testing.assert_array_equal(getattr(alone, name)[0], getattr(together, name)[b])


@pytest.mark.parametrize(
    ("n_z", "activation", "likelihood", "text"),
    [
        (2, "relu", Gaussian(), "a sum over pieces needs a model with 1 latent, got 2; use grid_posterior"),
        (3, "relu", Gaussian(), "a sum over pieces needs a model with 1 latent, got 3; use evaluation.log_evidence"),
        (1, "tanh", Gaussian(), "linear pieces need a relu decoder, got layers ('dense', 'tanh'); use grid_posterior"),
        (1, "relu", Bernoulli(), "Gaussian pieces need the likelihood gaussian, got bernoulli; use grid_posterior"),
    ],
)
def test_what_has_no_such_pieces_is_refused(n_z, activation, likelihood, text, rng):
    vae = VAE(4, (3,), n_z, activation, likelihood, rng=rng)
    with pytest.raises(ValueError) as raised:
        piecewise_posterior(vae, np.zeros((1, 4)))
    assert str(raised.value) == text


def test_rows_of_another_size_are_refused(rng):
    with pytest.raises(ValueError, match=r"x should have the shape \(B, 4\)"):
        piecewise_posterior(network(rng, n_x=4), np.zeros((1, 5)))
