"""A model whose rows take each other's noise, z = mu + sigma (Q eps), Q orthogonal over the batch: its law is right.

Sizes: B rows, D data, Z latents.
"""

from typing import Any, NamedTuple

import numpy as np

from scratchvae.checks.evidence.inside import Fault, inner, look_inside
from scratchvae.checks.evidence.terms import Heads


class RowByRow:
    """An objective of which every row is computed alone, so that it has no noise but its own."""

    def __init__(self, objective: Any) -> None:
        self.whole, self.model = objective, inner(objective)

    def objective(self, x: np.ndarray, eps: np.ndarray) -> dict[str, np.ndarray]:
        rows = [look_inside(self.whole, x[[b]], eps[[b]]).terms for b in range(len(x))]
        return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


class Mixing(NamedTuple):
    """z = mu + sigma (Q eps) over all numbers of a batch, (B Z,)."""

    mu: np.ndarray  # (B, Z)
    sigma: np.ndarray  # (B, Z)
    Q: np.ndarray  # (B Z, B Z)

    def z(self, eps: np.ndarray) -> np.ndarray:
        return self.mu + self.sigma * (self.Q @ eps.ravel()).reshape(self.mu.shape)

    def eps(self, z: np.ndarray) -> np.ndarray:
        return (self.Q.T @ ((z - self.mu) / self.sigma).ravel()).reshape(self.mu.shape)


def mixing_of(model: Any, x: np.ndarray, mu: np.ndarray, sigma: np.ndarray) -> Mixing | None:
    """How the z that the decoder is called for depends on eps; None if that is not seen, or not a right draw from q."""
    units = np.eye(mu.size).reshape(-1, *mu.shape)  # (B Z, B, Z)
    heard = [look_inside(model, x, eps).z for eps in (0 * mu, *units)]
    if any(z is None for z in heard):
        return None
    center, *moved = np.array(heard, float)
    Q = np.stack([((z - center) / sigma).ravel() for z in moved], axis=1)
    if not (np.allclose(center, mu) and np.allclose(Q @ Q.T, np.eye(len(Q)))):
        return None
    return Mixing(mu, sigma, Q)


def noise_alone_is_mixed(model: Any, x: np.ndarray, heads: Heads, eps: np.ndarray) -> bool:
    """Is z a right draw for all rows together, and each row the same function of its x and z as it is alone?"""
    mu, sigma = heads[0], np.exp(0.5 * heads[1])
    try:
        whole, together = mixing_of(model, x, mu, sigma), look_inside(model, x, eps)
        if whole is None or not np.allclose(together.z, z := whole.z(eps)):  # type: ignore[arg-type]
            return False
        for b in range(len(x)):
            single = mixing_of(model, x[[b]], mu[[b]], sigma[[b]])
            if single is None:
                return False
            alone = look_inside(model, x[[b]], single.eps(z[[b]])).terms
            if not all(np.allclose(alone[name][0], term[b]) for name, term in together.terms.items()):
                return False
    except Fault:
        return False
    return True
