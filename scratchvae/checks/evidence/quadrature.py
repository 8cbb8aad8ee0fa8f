"""The terms of the evidence identity by sums over grids: no formula for the KL, no sampling noise.

Sizes: B rows, D data, Z latents, G grid points.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from scratchvae.checks.evidence.inside import look_inside
from scratchvae.exact import make_grid
from scratchvae.gaussian import LOG_2PI

GRIDS = 8
ASIDE = np.array([0.5, 0.5])  # of a cell: a noise may be undefined at eps = 0, which never occurs
ERRORS = 6.0  # times the spread of single grids, of which the average has a third
Heads = tuple[np.ndarray, np.ndarray]  # mu, logvar
NllAt = Callable[[np.ndarray, np.ndarray], np.ndarray]  # z (G, Z), one row of x (D,) -> -log p(x|z) (G,)


class Sides(NamedTuple):
    """The terms of the identity, each (B,), in nats."""

    log_px: np.ndarray
    nll: np.ndarray  # E_q[-log p(x|z)]
    kl: np.ndarray  # E_q[log q(z|x) - log p(z)]

    @property
    def kl_posterior(self) -> np.ndarray:
        """E_q[log q(z|x) - log p(z|x)] with log p(z|x) = log p(x|z) + log p(z) - log p(x)."""
        return self.kl + self.nll + self.log_px


def by_quadrature(nll_at: NllAt, x: np.ndarray, mu: np.ndarray, logvar: np.ndarray) -> Sides:
    """log p(x) on a grid of z under the prior, and the expectations under q on a grid of eps."""
    Z = mu.shape[1]
    z, cell = make_grid(Z, 8.0, 2001 if Z == 1 else 201)  # (G, Z)
    log_prior = -0.5 * (z * z + LOG_2PI).sum(axis=1)  # (G,)
    log_joint = np.stack([log_prior - nll_at(z, row) for row in x])  # (B, G)
    log_px = np.logaddexp.reduce(log_joint, axis=1) + np.log(cell)  # (B,)
    return Sides(log_px, expected_nll(nll_at, x, mu, np.exp(0.5 * logvar)), expected_kl(mu, logvar))


def noise_grid(Z: int, moved: np.ndarray = ASIDE) -> tuple[np.ndarray, np.ndarray]:
    """eps (G, Z), moved by a part of a cell (Z,), and the weights (G,) that make a sum the expectation under N(0, I).

    Over all ways to move it the sum is right, however rough the summand: from a few the error can be told.
    """
    n = 401 if Z == 1 else 81
    eps, cell = make_grid(Z, 8.0, n)
    eps = eps + moved[:Z] * 16.0 / (n - 1)
    return eps, np.exp(-0.5 * (eps * eps + LOG_2PI).sum(axis=1)) * cell


def expected_nll(
    nll_at: NllAt, x: np.ndarray, mu: np.ndarray, sigma: np.ndarray, moved: np.ndarray = ASIDE
) -> np.ndarray:
    """E[-log p(x|z)] for z ~ N(mu, sigma^2), (B,)."""
    eps, weights = noise_grid(mu.shape[1], moved)
    return np.array([weights @ nll_at(m + s * eps, row) for m, s, row in zip(mu, sigma, x, strict=True)])


def expected_kl(mu: np.ndarray, logvar: np.ndarray) -> np.ndarray:
    """E_q[log q(z|x) - log p(z)], (B,), as an average over eps."""
    eps, weights = noise_grid(mu.shape[1])
    z = mu[:, None] + np.exp(0.5 * logvar)[:, None] * eps  # (B, G, Z)
    return 0.5 * ((z * z - eps * eps).sum(axis=2) - logvar.sum(axis=1)[:, None]) @ weights


def expected_elbo(model: Any, x: np.ndarray, Z: int, moved: np.ndarray = ASIDE) -> np.ndarray:
    """What the model says, averaged over eps, (B,)."""
    eps, weights = noise_grid(Z, moved)
    rows = [look_inside(model, np.broadcast_to(row, (len(eps), len(row))), eps).terms["elbo"] for row in x]
    return np.array([weights @ row for row in rows])


class Excess(NamedTuple):
    """How far ELBO + KL is above log p(x), and what that may be off by, (B,) each."""

    off: np.ndarray
    error: np.ndarray


def excess_of(
    model: Any, nll_at: NllAt, x: np.ndarray, heads: Heads, sides: Sides, rng: np.random.Generator, allowed: np.ndarray
) -> Excess:
    """The excess over one grid, where the errors of both sides are the same if z takes its eps as it should.

    If that is more than is allowed, (B,), the average over grids that are moved, with an error of its own.
    """
    mu, logvar = heads
    off = expected_elbo(model, x, mu.shape[1]) + sides.nll + sides.kl  # (B,)
    if (np.abs(off) <= allowed).all():
        return Excess(off, np.zeros(len(off)))
    grids = rng.uniform(-0.5, 0.5, (GRIDS, mu.shape[1]))
    sigma = np.exp(0.5 * logvar)
    each = np.stack(
        [
            expected_elbo(model, x, mu.shape[1], moved) + expected_nll(nll_at, x, mu, sigma, moved) + sides.kl
            for moved in grids
        ]
    )  # (GRIDS, B)
    return Excess(each.mean(axis=0), ERRORS * each.std(axis=0))
