"""One input of a pair, the others held fixed: its function, its entries one by one, and a point beside the kink.

Sizes: K upstream gradients, n entries of the input, M entries of y.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from scratchvae.checks.report import Row
from scratchvae.checks.vjp.call import Pair, Values
from scratchvae.checks.vjp.differences import Entry, entry, on_a_kink, size_of
from scratchvae.checks.vjp.directions import Look, halve

ENTRIES = 256  # so many are looked at one by one; of a larger array a sample, and the entries that halving leads to
SAMPLE = 60
LEADS = 20


class Subject(NamedTuple):
    """One input of a pair, the others held fixed at x."""

    pair: Pair
    x: Values
    name: str

    @property
    def value(self) -> np.ndarray:
        return self.x[self.name]

    def y(self, value: np.ndarray) -> np.ndarray:
        return self.pair.y({**self.x, self.name: value})

    def grad(self, dy: np.ndarray) -> Any:
        return self.pair.grads(self.x, dy)[self.name]

    def row(self, status: str, note: str = "", error: float = math.nan) -> Row:
        return Row(self.name, self.value.shape, error, status, note)


def off_the_kink(subject: Subject, rng: np.random.Generator) -> Subject | None:
    """The same input at a point nearby, if x itself is on a kink, where every slope between two is a right one."""
    pair, x, _ = subject
    for _ in range(3):
        u = {name: size_of(value) * rng.standard_normal(value.shape) for name, value in x.items()}
        beside = {name: value + 0.03 * u[name] for name, value in x.items()}

        def y(h: float, u: Values = u) -> np.ndarray:
            return pair.y({name: value + h * u[name] for name, value in x.items()}).ravel()

        if on_a_kink(y):
            return subject._replace(x=beside) if np.isfinite(pair.y(beside)).all() else None
    return None


def entry_by_entry(
    subject: Subject, dys: np.ndarray, grads: list[np.ndarray] | None, seen: Look, rng: np.random.Generator
) -> tuple[np.ndarray, list[Entry]]:
    """The entries of x one by one: all of them, or of a large array a sample and those that halving leads to."""
    value, flat = subject.value, dys.reshape(len(dys), -1)  # (K, M)
    claims = None if grads is None else np.stack([g.ravel() for g in grads])  # (K, n)

    def measured(i: int) -> Entry:
        return entry(subject.y, value, i, flat, None if claims is None else claims[:, i])

    most = max(50, min(ENTRIES, 5_000_000 // max(1, flat.shape[1])))  # why: the columns are kept
    if value.size <= most:
        return np.arange(value.size), [measured(i) for i in range(value.size)]
    found: dict[int, Entry] = {}
    for _ in range(LEADS if grads is not None else 0):
        i = halve(subject.y, value, seen)
        if i in found:
            break
        found[i] = measured(i)
        if found[i].verdict == "wrong":
            break
        seen.u.flat[i] = 0.0  # a kink: look past it
    index = np.union1d(rng.choice(value.size, min(most, SAMPLE), replace=False), list(found)).astype(int)
    return index, [found[i] if i in found else measured(i) for i in map(int, index)]
