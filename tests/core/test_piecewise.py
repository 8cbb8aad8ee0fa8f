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
    vae = VAE(layers[-1][0].shape[1], widths[::-1], 1, "relu", Gaussian(sigma), rng=np.random.default_rng(0), dtype=dtype)
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


def adaptive(vae, x, most=40):
    """The same by quadrature that knows nothing of kinks: intervals are halved until their halves agree with them."""
    width = half_width(vae, x)
    edges = np.linspace(-width, width, 4001)
    left, right, done = edges[:-1], edges[1:], []
    largest = log_joint(vae, x, edges).max()
    for _ in range(most):
        middle = 0.5 * (left + right)
        (z, w), (z_left, w_left), (z_right, w_right) = (
            gauss_legendre(*ends) for ends in ((left, right), (left, middle), (middle, right))
        )
        whole = (np.exp(log_joint(vae, x, z) - largest) * w).sum(axis=1)
        halves = sum((np.exp(log_joint(vae, x, z) - largest) * w).sum(axis=1) for z, w in ((z_left, w_left), (z_right, w_right)))
        rough = np.abs(whole - halves) > 1e-15 * halves.sum()
        done.append((z[~rough], w[~rough]))
        left, right = np.concatenate([left[rough], middle[rough]]), np.concatenate([middle[rough], right[rough]])
        if not rough.any():
            break
    assert not rough.any()
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
    assert_agrees(vae, rng.standard_normal((1, vae.n_x)), lambda vae, x, kinks: adaptive(vae, x))
