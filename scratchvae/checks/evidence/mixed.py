"""A model whose rows take each other's noise: is each of them a right draw, whatever the others are?

z = mu + sigma (Q eps) over a batch: a row of z is drawn as it should if its rows of Q are orthonormal. The bound of a
row asks for no more; whether the rows of a batch are independent is a matter of check_sampler.

Sizes: B rows, D data, Z latents.
"""

import copy
from typing import Any, NamedTuple

import numpy as np

from scratchvae.checks.evidence.inside import Fault, Inside, inner, look_inside
from scratchvae.checks.evidence.terms import Heads


class FirstRow:
    """An objective of which every row is computed in the first place of a batch, with the noise that arrives there."""

    def __init__(self, objective: Any, x: np.ndarray, Q: np.ndarray) -> None:
        self.whole, self.x, self.Q = objective, x, Q  # Q (Z, B Z): what arrives in the first row is Q eps
        self.model = copy.copy(inner(objective))  # why: who listens to it is to hear no row but the first

    def objective(self, x: np.ndarray, eps: np.ndarray) -> dict[str, np.ndarray]:
        looks = [self.look(row, e) for row, e in zip(x, eps, strict=True)]
        if all(look.z is not None for look in looks):
            self.model.decode(np.concatenate([look.z[:1] for look in looks]))  # type: ignore[index]
        return {name: np.concatenate([look.terms[name][:1] for look in looks]) for name in looks[0].terms}

    def look(self, row: np.ndarray, eps: np.ndarray) -> Inside:
        batch = np.concatenate([row[None], self.x[1:]])  # (B, D)
        return look_inside(self.whole, batch, (eps @ self.Q).reshape(len(batch), -1))


class Mixed(NamedTuple):
    """A model with its rows one by one, and whether they depend on each other in a batch."""

    model: FirstRow
    rows_depend: bool


def mixing_of(model: Any, x: np.ndarray, mu: np.ndarray, sigma: np.ndarray) -> np.ndarray | None:
    """The Q (B, Z, B Z) in the z that the decoder is called for; None if it is not heard, or the mean is not mu."""
    units = np.eye(mu.size).reshape(-1, *mu.shape)  # (B Z, B, Z)
    above, below = ([look_inside(model, x, sign * eps).z for eps in units] for sign in (1, -1))
    if any(z is None for z in (*above, *below)):
        return None
    up, down = np.array(above, float), np.array(below, float)  # (B Z, B, Z) each; why not eps = 0: it never occurs
    return np.moveaxis((up - down) / (2 * sigma), 0, 2) if np.allclose(up + down, 2 * mu) else None


def each_with_its_own(model: Any, x: np.ndarray, heads: Heads, eps: np.ndarray) -> Mixed | None:
    """Is every row of z a right draw, and its terms the same function of its x and z wherever it is? None if not."""
    try:
        if (Q := mixing_of(model, x, heads[0], np.exp(0.5 * heads[1]))) is None:
            return None
        first = FirstRow(model, x, Q[0])
        for n in (1, 2):  # why: what is divided by the number of rows is the same in every place of a batch
            many = np.tile(x, (n, 1)), (np.tile(heads[0], (n, 1)), np.tile(heads[1], (n, 1))), np.tile(eps, (n, 1))
            if not is_right_in_every_place(model, first, *many):
                return None
    except Fault:
        return None
    whole = Q.reshape(eps.size, eps.size)
    return Mixed(first, not np.allclose(whole @ whole.T, np.eye(len(whole))))


def is_right_in_every_place(model: Any, first: FirstRow, x: np.ndarray, heads: Heads, eps: np.ndarray) -> bool:
    mu, sigma = heads[0], np.exp(0.5 * heads[1])
    Q = mixing_of(model, x, mu, sigma)  # (B, Z, B Z)
    if Q is None or not np.allclose(Q @ Q.swapaxes(1, 2), np.eye(mu.shape[1])):
        return False
    own, together = Q @ eps.ravel(), look_inside(model, x, eps)  # (B, Z)
    if together.z is None or not np.allclose(together.z, mu + sigma * own):
        return False
    return all(np.allclose(term, together.terms[name]) for name, term in first.objective(x, own).items())


def require_eps_to_matter(model: Any, x: np.ndarray) -> None:
    """Nothing, unless equal rows get different z, and always the same ones.

    Raises    Fault: they do.
    """
    mu = np.zeros((len(x), np.shape(inner(model).encode(x.copy())[0])[1]))  # (B, Z)
    one = np.broadcast_to(x[0], x.shape)
    heard = [look_inside(model, one, mu + eps).z for eps in (0.5, -1.0, np.arange(len(x))[:, None])]
    if any(z is None for z in heard) or not all(np.array_equal(z, heard[0]) for z in heard):  # type: ignore[arg-type]
        return
    if np.ptp(heard[0], axis=0).any():  # type: ignore[arg-type]
        text = "z does not depend on eps: always the same noise, from a generator of its own"
        raise Fault("sampler", "noise-redrawn", text, "use the eps that is given")
