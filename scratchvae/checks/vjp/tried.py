"""Does a constant come from a size, or from a number that was handed in? It is tried with another one."""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from scratchvae.checks.vjp.batch import Row, candidates
from scratchvae.checks.vjp.by_rows import expected, returned
from scratchvae.checks.vjp.call import Pair, Values
from scratchvae.checks.vjp.case import ratio
from scratchvae.checks.vjp.point import SETTING

ENTRIES = 8  # of each input are measured once more
Axis = tuple[str, str]  # an array, and "rows" or "columns"


FORMS: Mapping[str, Callable[[float], float]] = {"{0}": lambda a: a, "1 - {0}": lambda a: 1 - a}
POWERS = (1.0, -1.0, 2.0, -2.0, 0.5, -0.5)
EQUAL = 1e-4


class Moved(NamedTuple):
    """A number that was handed in, another one in its place, and by what the constant is multiplied then."""

    value: float
    another: float
    change: float

    @property
    def counts(self) -> bool:
        return abs(self.change - 1) > EQUAL


class Tried(NamedTuple):
    """With which power of a length the constant changes, 0 if it does not; and how it does with numbers.

    What could not be tried is in neither.
    """

    axes: Mapping[Axis, float] = {}
    numbers: Mapping[str, Moved] = {}

    @property
    def names(self) -> list[str]:
        """The numbers with which the constant changes."""
        return [name for name, moved in self.numbers.items() if moved.counts]

    def formula(self) -> list[tuple[str, float, float]] | None:
        """The constant but for a factor: what it is made of, as text, value and power; None if that is not known."""
        found = [form_of(name, self.numbers[name]) for name in self.names]
        return [part for part in found if part] if all(found) else None


def form_of(name: str, moved: Moved) -> tuple[str, float, float] | None:
    """Which function of a number changes as the constant does: a power of it, or of 1 less it."""
    for (text, form), p in itertools.product(FORMS.items(), POWERS):
        one, other = form(moved.value), form(moved.another)
        if one * other > 0 and abs((other / one) ** p / moved.change - 1) < EQUAL:
            return text.format(name), one, p
    return None


def tried(pair: Pair, x: Values, index: Mapping[str, np.ndarray], c: float) -> Tried:
    """For a gradient that has to be multiplied by c."""
    few = {name: entries[:ENTRIES] for name, entries in index.items()}
    axes: dict[Axis, float] = {}
    for names, what, n, row in shorter_ones(pair, x):
        if any((name, what) in axes for name in names):
            continue
        if (other := constant_of(row, x, few)) is not None:
            axes |= dict.fromkeys(((name, what) for name in names), power(other / c, 1 - 1 / n))
    numbers = {}
    for name, value in pair.constants.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            another = value + 1 if isinstance(value, int) else SETTING * value
            moved = Row(pair._replace(constants={**pair.constants, name: another}), x)
            if (other := constant_of(moved, x, few)) is not None:
                numbers[name] = Moved(value, another, other / c)
    return Tried(axes, numbers)


def power(changed: float, shorter: float) -> float:
    """p, where the constant is the p-th power of a length, and the length so much shorter."""
    if abs(changed - 1) <= EQUAL:
        return 0.0
    return math.log(changed) / math.log(shorter) if changed > 0 else math.nan


def shorter_ones(pair: Pair, x: Values) -> Iterator[tuple[tuple[str, ...], str, int, Row]]:
    """Arrays that have an axis of the same length, and the pair with one row, or column, less of all of them."""
    for batch, _ in candidates(pair, x):
        if batch.B > 2:
            yield batch.names, "rows" if batch.axis == 0 else "columns", batch.B, batch.some(pair, x, 0, batch.B - 1)


def constant_of(row: Row, x: Values, index: Mapping[str, np.ndarray]) -> float | None:
    """The c with right = c got there; None where that does not run, or is no constant."""
    try:
        few = {n: i[i < row.x[n].size] if row.x[n].shape != x[n].shape else i for n, i in index.items()}
        right, got = expected(row, few), returned(row, few)
    except Exception:  # somebody's function may refuse what it does not like
        return None
    return None if got is None else ratio(right, got)
