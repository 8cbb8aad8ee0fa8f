"""The terms of the evidence identity by sums over grids: no formula for the KL, no sampling noise.

Sizes: B rows, D data, Z latents, G grid points.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from scratchvae.checks.evidence.inside import look_inside
from scratchvae.exact import make_grid
from scratchvae.gaussian import LOG_2PI

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


def noise_grid(Z: int) -> tuple[np.ndarray, np.ndarray]:
    """eps (G, Z), and the weights (G,) that make a sum the expectation under N(0, I)."""
    eps, cell = make_grid(Z, 8.0, 401 if Z == 1 else 81)
    return eps, np.exp(-0.5 * (eps * eps + LOG_2PI).sum(axis=1)) * cell


def expected_nll(nll_at: NllAt, x: np.ndarray, mu: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """E[-log p(x|z)] for z ~ N(mu, sigma^2), (B,)."""
    eps, weights = noise_grid(mu.shape[1])
    return np.array([weights @ nll_at(m + s * eps, row) for m, s, row in zip(mu, sigma, x, strict=True)])


def expected_kl(mu: np.ndarray, logvar: np.ndarray) -> np.ndarray:
    """E_q[log q(z|x) - log p(z)], (B,), as an average over eps."""
    eps, weights = noise_grid(mu.shape[1])
    z = mu[:, None] + np.exp(0.5 * logvar)[:, None] * eps  # (B, G, Z)
    return 0.5 * ((z * z - eps * eps).sum(axis=2) - logvar.sum(axis=1)[:, None]) @ weights


def expected_terms(model: Any, x: np.ndarray, Z: int) -> dict[str, np.ndarray]:
    """What the model says: elbo, and nll and kl if it has them, averaged over eps, (B,) each."""
    eps, weights = noise_grid(Z)
    rows = [look_inside(model, np.broadcast_to(row, (len(eps), len(row))), eps).terms for row in x]
    return {name: np.array([weights @ row[name] for row in rows]) for name in rows[0]}
