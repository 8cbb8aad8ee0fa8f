"""An objective of K draws, row by row, and the importance weights that it should be made of.

Sizes: K draws, B rows, D data, Z latents, n sets of K draws.
"""

import copy
import math
from typing import Any, NamedTuple

import numpy as np

from scratchvae.checks.evidence.inside import Inside, look_inside
from scratchvae.checks.evidence.quadrature import NllAt
from scratchvae.checks.evidence.terms import Heads, log_normal


class Many(NamedTuple):
    """An objective of K draws, and what is known of its model."""

    objective: Any
    nll_at: NllAt
    x: np.ndarray  # (B, D)
    heads: Heads
    K: int

    def with_K(self, K: int) -> "Many":
        """The same with another K, which it keeps under that name, or takes from eps."""
        other = copy.copy(self.objective)
        if hasattr(other, "K"):
            other.K = K
        return self._replace(objective=other, K=K)

    def look(self, b: int, eps: np.ndarray) -> Inside:
        """Row b with many sets of draws, eps (K, n, Z), as so many rows of a batch."""
        return look_inside(self.objective, np.broadcast_to(self.x[b], (eps.shape[1], self.x.shape[1])), eps)

    def bound(self, b: int, eps: np.ndarray) -> np.ndarray:
        """What the objective says, (n,)."""
        terms = self.look(b, eps).terms
        return terms.get("objective", terms["elbo"])

    def z(self, eps: np.ndarray) -> np.ndarray:
        """The draws as they should be, (B, K, n, Z)."""
        mu, logvar = (a[:, None, None] for a in self.heads)  # (B, 1, 1, Z) each
        with np.errstate(all="ignore"):
            return mu + np.exp(0.5 * logvar) * eps

    def nll(self, b: int, z: np.ndarray) -> np.ndarray:
        """-log p(x|z), of the shape that z has without its latents."""
        return self.nll_at(z.reshape(-1, z.shape[-1]), self.x[b]).reshape(z.shape[:-1])

    def right(self, b: int, eps: np.ndarray) -> np.ndarray:
        """What it should say, (n,)."""
        mu, logvar = (a[b] for a in self.heads)  # (Z,), (Z,)
        z = mu + np.exp(0.5 * logvar) * eps  # (K, n, Z)
        return log_mean_exp(log_normal(z) - self.nll(b, z) - log_normal(z, mu, logvar))


def draws_of(model: Any, rng: np.random.Generator) -> int:
    """K, if draw_eps gives (K, B, Z); otherwise 0."""
    eps: Any = model.draw_eps(2, rng) if hasattr(model, "draw_eps") else None
    return len(eps) if getattr(eps, "ndim", 0) == 3 else 0


def log_mean_exp(log_w: np.ndarray) -> np.ndarray:
    """log (1/K) sum_k w_k over the first axis."""
    return np.logaddexp.reduce(log_w, axis=0) - math.log(len(log_w))
