"""docs/derivations/10_relu_decoder.md, line by line: a network evaluated point by point, integrals by quadrature."""

import itertools
import math

import numpy as np
import pytest
from proof import log_normal

from scratchvae import VAE, Gaussian
from scratchvae.exact import piecewise_posterior
from scratchvae.exact.piecewise import affine_pieces, find_edges, piece_moments
from scratchvae.exact.truncated import half_line_moments, truncated_moments

NODES, WEIGHTS = np.polynomial.legendre.leggauss(60)
STEEP = [0.0, 0.3, 1.7, 2.0, 4.0, 12.0]
SIGMA = 0.6


def integral(f, left, right, n=40):
    """Of a smooth f, by n Gauss-Legendre rules side by side."""
    edges = np.linspace(left, right, n + 1)
    half = 0.5 * np.diff(edges)[:, None]
    u = 0.5 * (edges[1:] + edges[:-1])[:, None] + half * NODES
    return (f(u) * half * WEIGHTS).sum()


def moment(n, s, left=0.0, right=None):
    """The integral of u^n exp(-s u - u^2 / 2); without an end it is cut where exp(-50) is left."""
    return integral(lambda u: u**n * np.exp(-s * u - u * u / 2), left, 10.0 if right is None else right)


@pytest.fixture
def vae(rng):
    vae = VAE(3, (4, 5), 1, "relu", Gaussian(SIGMA), rng=rng, dtype="float64")
    for p in vae.params.values():
        p += 0.5 * rng.standard_normal(p.shape)
    return vae


@pytest.fixture
def x(rng):
    return rng.standard_normal((2, 3))


def layers(vae):
    return [(vae.params[f"{name}.W"], vae.params[f"{name}.b"]) for name in ("decoder.0", "decoder.1", "logits")]


def outputs(vae, z, upto):
    """What dense layer number `upto` returns, before its activation, at each of the points."""
    h = z[:, None]
    for W, b in layers(vae)[:upto]:
        a = h @ W + b
        h = np.maximum(a, 0)
    return a


def inside(edges, share):
    """A point of each piece; the outer ones are cut 5 beyond the last kink."""
    ends = np.concatenate([[edges[1] - 5], edges[1:-1], [edges[-2] + 5]])
    return ends[:-1] + share * np.diff(ends)


def log_joint(vae, row, z):
    means, _ = vae.decode(z[:, None])
    return log_normal(row, means, SIGMA**2) + log_normal(z[:, None])


@pytest.mark.equation("relu-affine")
def test_between_kinks_every_layer_is_affine(vae):
    for upto in (1, 2, 3):
        edges = find_edges(layers(vae)[:upto])
        anchor, value, slope = affine_pieces(layers(vae)[:upto], edges)
        for share in (0.05, 0.3, 0.9):
            z = inside(edges, share) if upto > 1 else np.array([share])
            np.testing.assert_allclose(value + slope * (z - anchor)[:, None], outputs(vae, z, upto), atol=1e-12)


@pytest.mark.equation("relu-kinks")
def test_all_kinks_are_roots_and_none_is_missing(vae):
    """Signs of every unit on a fine grid change where the kinks are, and nowhere else."""
    kinks = find_edges(layers(vae))[1:-1]
    assert all(min(np.abs(outputs(vae, kink[None], upto)).min() for upto in (1, 2)) < 1e-14 for kink in kinks)
    z = np.linspace(kinks[0] - 3, kinks[-1] + 3, 200_001)
    on = np.concatenate([outputs(vae, z, upto) > 0 for upto in (1, 2)], axis=1)
    cells = np.flatnonzero((on[1:] != on[:-1]).any(axis=1))
    np.testing.assert_array_equal(cells, np.unique(np.searchsorted(z, kinks) - 1))


@pytest.mark.equation("relu-joint")
def test_the_log_joint_is_a_parabola_on_each_piece(vae, x):
    posterior = piecewise_posterior(vae, x)
    edges = np.concatenate([[-np.inf], posterior.kinks, [np.inf]])
    for share in (0.1, 0.5, 0.8):
        z = inside(edges, share)
        for b, row in enumerate(x):
            delta = z - posterior.peak[b]
            parabola = posterior.log_joint[b] + posterior.slope[b] * delta - 0.5 * posterior.precision * delta**2
            np.testing.assert_allclose(parabola, log_joint(vae, row, z), rtol=1e-11)
            own = posterior.log_density(z[:, None])[b] + posterior.log_px[b]
            np.testing.assert_allclose(own, parabola, rtol=1e-11)


@pytest.mark.equation("relu-peak")
def test_no_point_of_a_piece_is_higher_than_its_peak(vae):
    x, _ = vae.decode(np.linspace(-3, 3, 9)[:, None])  # each explained best by a point inside some piece
    posterior = piecewise_posterior(vae, x)
    edges = np.concatenate([[-np.inf], posterior.kinks, [np.inf]])
    tops = 0
    for b, row in enumerate(x):
        peak = posterior.peak[b]
        assert ((edges[:-1] <= peak) & (peak <= edges[1:])).all()
        np.testing.assert_allclose(posterior.log_joint[b], log_joint(vae, row, peak), rtol=1e-11)
        for share in np.linspace(0, 1, 101):
            assert (log_joint(vae, row, inside(edges, share)) <= posterior.log_joint[b] + 1e-9).all()
        top = (edges[:-1] < peak) & (peak < edges[1:])
        tops += top.sum()
        np.testing.assert_allclose(posterior.slope[b][top], 0, atol=1e-10)
        assert (posterior.slope[b][peak == edges[:-1]] <= 0).all()
        assert (posterior.slope[b][peak == edges[1:]] >= 0).all()
    assert tops > 0


@pytest.mark.equation("relu-piece")
@pytest.mark.parametrize(
    ("slope", "peak", "edges"), [(0.0, 0.3, [-0.4, 1.1]), (-3.0, 0.2, [0.2, 0.9]), (2.0, -1.0, [-4.0, -1.0])]
)
def test_a_piece_in_steepness_and_length(slope, peak, edges):
    P = 2.5
    found = piece_moments(np.array(edges), np.array([P]), np.array([[peak]]), np.array([[slope]]))[:, 0, 0]
    for n in range(3):

        def f(delta, n=n):
            return delta**n * np.exp(slope * delta - P * delta * delta / 2)

        direct = integral(f, edges[0] - peak, edges[1] - peak)
        assert abs(found[n] - direct) < 1e-13
        s, sides = abs(slope) / math.sqrt(P), [edges[1] - peak, peak - edges[0]]
        right, left = (moment(n, s, 0, side * math.sqrt(P)) for side in sides)
        assert abs(P ** (-(n + 1) / 2) * (right + (-1) ** n * left) - direct) < 1e-13


@pytest.mark.equation("scaled-erfc")
@pytest.mark.parametrize("s", STEEP)
def test_half_a_line_is_a_scaled_erfc(s):
    scaled = math.sqrt(math.pi / 2) * math.exp(s * s / 2) * math.erfc(s / math.sqrt(2))
    assert abs(scaled / moment(0, s) - 1) < 1e-12
    assert abs(half_line_moments(np.array(s))[0] / moment(0, s) - 1) < 1e-12


@pytest.mark.equation("half-line-recurrence", "laplace-fraction")
@pytest.mark.parametrize("s", STEEP)
def test_each_moment_from_its_neighbours(s):
    M = [moment(n, s) for n in range(6)]
    assert abs(M[1] - (1 - s * M[0])) < 1e-13
    assert abs(M[0] - 1 / (s + M[1] / M[0])) < 1e-13
    for n in range(1, 5):
        assert abs(M[n + 1] - (n * M[n - 1] - s * M[n])) < 1e-12
        assert abs(M[n] / M[n - 1] - n / (s + M[n + 1] / M[n])) < 1e-12
    np.testing.assert_allclose(half_line_moments(np.array(s)), M[:3], rtol=1e-12)


@pytest.mark.equation("truncated-moments")
@pytest.mark.parametrize("t", [0.05, 0.7, 3.0])
@pytest.mark.parametrize("s", STEEP)
def test_a_side_that_ends_is_half_a_line_without_another(s, t):
    M, beyond = ([moment(n, steepness) for n in range(3)] for steepness in (s, s + t))
    factor = math.exp(-s * t - t * t / 2)
    differences = [
        M[0] - factor * beyond[0],
        M[1] - factor * (beyond[1] + t * beyond[0]),
        M[2] - factor * (beyond[2] + 2 * t * beyond[1] + t * t * beyond[0]),
    ]
    direct = [moment(n, s, 0, t) for n in range(3)]
    np.testing.assert_allclose(differences, direct, atol=1e-13)
    np.testing.assert_allclose(truncated_moments(np.array(s), np.array(t)), direct, rtol=1e-12)


@pytest.mark.equation("truncated-series")
@pytest.mark.parametrize("s", STEEP)
def test_a_short_side_by_its_power_series(s):
    t = 2 / (s + math.sqrt(s * s + 2))  # s t + t^2 / 2 = 1
    f = [1.0, -s]
    for j in range(1, 60):
        f.append((-s * f[j] - f[j - 1]) / (j + 1))
    for u in (0.3 * t, t):
        assert abs(sum(f_j * u**j for j, f_j in enumerate(f)) - math.exp(-s * u - u * u / 2)) < 1e-14
    for n in range(3):
        series = sum(f_j * t ** (j + n + 1) / (j + n + 1) for j, f_j in enumerate(f))
        assert abs(series / moment(n, s, 0, t) - 1) < 1e-12
        assert abs(truncated_moments(np.array(s), np.array(t))[n] / series - 1) < 1e-12


@pytest.mark.equation("relu-evidence", "relu-moments")
def test_evidence_mean_and_variance_are_integrals(vae, x):
    posterior = piecewise_posterior(vae, x)
    ends = np.concatenate([[-12.0], posterior.kinks[np.abs(posterior.kinks) < 12], [12.0]])
    for b, row in enumerate(x):

        def integrated(n, start=0.0, row=row):
            """The integral of (z - start)^n p(x, z), piece by piece."""

            def f(z):
                return (z - start) ** n * np.exp(log_joint(vae, row, z.ravel())).reshape(z.shape)

            return sum(integral(f, left, right) for left, right in itertools.pairwise(ends))

        evidence, mean = integrated(0), integrated(1) / integrated(0)
        assert abs(posterior.log_px[b] - math.log(evidence)) < 1e-11
        assert abs(posterior.mean[b, 0] - mean) < 1e-11
        assert abs(posterior.variance[b, 0] - integrated(2, mean) / evidence) < 1e-11
