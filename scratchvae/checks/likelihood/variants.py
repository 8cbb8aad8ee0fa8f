"""Would it be a density with a small change: a factor, a term in x, a factor of all that depends on x?

Sizes: G values of a pixel.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from scratchvae.checks.likelihood.density import Mass
from scratchvae.checks.likelihood.lattices import ALLOWED, attempt, off_one
from scratchvae.checks.likelihood.witnesses import drawn, objection

FACTORS = (0.05, 20.0)  # how large a factor of what depends on x may be
HALVINGS = 30

Change = Callable[[np.ndarray, np.ndarray], np.ndarray]  # of an nll (G,) at x (G,)


class Changed:
    """A likelihood with another nll, made from its own and x; all the rest of it is the same."""

    def __init__(self, likelihood: Any, change: Change) -> None:
        self.likelihood, self.change = likelihood, change

    def nll(self, x: np.ndarray, logits: np.ndarray) -> tuple[np.ndarray, None]:
        return self.change(self.likelihood.nll(x, logits)[0], x[:, 0]), None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.likelihood, name)


def multiplied(c: float) -> Change:
    return lambda nll, x: c * nll


def with_a_term(what: str, side: float, mass: Mass) -> Change:
    """A term of x alone, which a density is easily without: a Jacobian, log x! of a Poisson, a number of ways."""
    low, high = mass.pixel.support
    levels = mass.lattice.levels if mass.lattice else 0.0
    log_factorial = np.vectorize(lambda x: math.lgamma(x + 1), otypes=[float])

    def term(x: np.ndarray) -> np.ndarray:
        if what == "log x":
            return np.log(x)
        if what == "log x!":
            return np.asarray(log_factorial(x))
        k, n = (x - low) * levels, (high - low) * levels
        if what == "log (n - x)!":
            return np.asarray(log_factorial(n - k))
        return np.asarray(log_factorial(k) + log_factorial(n - k) - math.lgamma(n + 1))

    return lambda nll, x: nll + side * term(x)


def adds_up_once(change: Change, masses: list[Mass]) -> bool:
    """Does exp(-nll) add up to 1 once the nll is changed?"""
    pixels = [mass.pixel._replace(likelihood=Changed(mass.pixel.likelihood, change)) for mass in masses]
    return off_one(attempt(pixels, masses[0].lattice)) < ALLOWED


def factor_of_the_rest(masses: list[Mass]) -> float | None:
    """The c that makes a density of exp(-nll) if all that depends on x is multiplied by it: the draws confirm it.

    That part is what nll is above its least value. The total at one row of logits gives c, the others must agree.
    """
    if not masses or drawn([masses[0].pixel], 1) is None:
        return None
    low, high = FACTORS
    if not total(masses[0], high) < 1 < total(masses[0], low):
        return None
    for _ in range(HALVINGS):
        c = math.sqrt(low * high)
        low, high = (c, high) if total(masses[0], c) > 1 else (low, c)
    changed = [mass for one in masses for mass in attempt([with_the_rest(one, c).pixel], one.lattice)]
    return c if off_one(changed) < ALLOWED and len(changed) == len(masses) and objection(changed) == "" else None


def total(mass: Mass, c: float) -> float:
    (changed,) = attempt([with_the_rest(mass, c).pixel], mass.lattice) or [mass]
    return changed.total


def with_the_rest(mass: Mass, c: float) -> Mass:
    """The same pixel with c times what its nll is above its least value."""
    least = float(-mass.pixel.log_density(mass.x).max())
    change: Change = lambda nll, x: least + c * (nll - least)  # noqa: E731
    return mass._replace(pixel=mass.pixel._replace(likelihood=Changed(mass.pixel.likelihood, change)))
