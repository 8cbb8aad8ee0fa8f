"""The batch: which axis of which arrays it is, and its rows, each alone.

Nobody says which axis is the batch's. It is tried: the outputs of the rows alone have to be the rows of the output, or
to add up to it, as they are or in the mean.
"""

import itertools
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from scratchvae.backend import to_numpy
from scratchvae.checks.vjp.call import Pair, Values

TRIED = 32  # sets of arrays that may share the batch, for one axis and one size
MOST = 3  # batches that are looked at


class Row(NamedTuple):
    """A pair and its inputs, with one row of the batch, or some."""

    pair: Pair
    x: Values

    @property
    def y(self) -> np.ndarray | None:
        """None where the forward refuses a single row."""
        try:
            return self.pair.y(self.x)
        except Exception:  # somebody's function may refuse what it does not like
            return None

    @property
    def has_gradients(self) -> bool:
        """Does backward accept this row, with gradients that fit?"""
        try:
            grads = self.pair.grads(self.x, np.ones(self.pair.y(self.x).shape))
        except Exception:  # as above
            return False
        return all(g is None or g.shape == self.x[name].shape for name, g in grads.items())


class Batch(NamedTuple):
    """Arrays, and lists, that have B rows along an axis."""

    names: tuple[str, ...]
    axis: int
    B: int

    def rows(self, pair: Pair, x: Values) -> list[Row]:
        """The rows, each alone."""
        return [self.some(pair, x, i, i + 1) for i in range(self.B)]

    def some(self, pair: Pair, x: Values, start: int, end: int) -> Row:
        """The rows from start to end, together."""

        def cut(values: Mapping[str, Any]) -> dict[str, Any]:
            return {name: few(value) if name in self.names else value for name, value in values.items()}

        def few(value: Any) -> Any:
            if isinstance(value, list | tuple):
                return value[start:end]
            return value[start:end] if self.axis == 0 else value[..., start:end]

        return Row(pair._replace(constants=cut(pair.constants)), cut(x))

    def is_first(self, whole: np.ndarray, alone: list[np.ndarray]) -> bool:
        """Is the output of the first row the first row of the whole, as that of a first step in time is?"""
        return whole.shape != alone[0].shape and near(whole.take([0], axis=self.axis), alone[0])

    def is_separate(self, whole: np.ndarray, alone: list[np.ndarray]) -> bool:
        """Are the outputs of the rows the rows of the whole output?"""
        return whole.shape != alone[0].shape and near(whole, np.concatenate(alone, axis=self.axis))

    def adds_up(self, whole: np.ndarray, alone: list[np.ndarray]) -> bool:
        """Is the whole output the sum of those of the rows, or their mean?"""
        return whole.shape == alone[0].shape and any(near(whole, np.sum(alone, axis=0) / n) for n in (1, self.B))


class Cut(NamedTuple):
    """A batch, and how the output of the whole is made of those of its rows."""

    batch: Batch
    rows: list[Row]
    first: bool
    separate: bool
    added: bool


def cuts(pair: Pair, x: Values) -> list[Cut]:
    """The ways to take a batch apart. If there is one in which the rows do not meet, then only such ways."""
    found = list(itertools.islice(ways(pair, x), MOST))
    return [cut for cut in found if cut.separate or cut.added] or found


def ways(pair: Pair, x: Values) -> Iterator[Cut]:
    whole = pair.y(x)
    for batch, is_largest in candidates(pair, x):
        rows = batch.rows(pair, x)
        if (y := rows[0].y) is None or y.ndim != whole.ndim or not np.isfinite(y).all():
            continue
        alone = [y for row in rows if (y := row.y) is not None]
        if len(alone) < batch.B:
            continue  # why: a table with fewer rows than an index names, for one
        met = len({y.shape for y in alone}) == 1
        first, separate, added = (
            met and question(whole, alone) for question in (batch.is_first, batch.is_separate, batch.adds_up)
        )
        if is_largest or first or separate or added:
            yield Cut(batch, rows, first, separate, added)


def candidates(pair: Pair, x: Values) -> Iterator[tuple[Batch, bool]]:
    """Every axis and size, with all arrays that have it, and then with some of them."""
    sizes = [(name, 0, len(value)) for name, value in pair.constants.items() if isinstance(value, list | tuple)]
    arrays = {**{name: to_numpy(a) for name, a in pair.constants.items() if hasattr(a, "shape")}, **x}
    sizes += [(name, axis, a.shape[axis]) for axis in (0, -1) for name, a in arrays.items() if a.ndim]
    for axis, B in dict.fromkeys((axis, B) for _, axis, B in sizes if B > 1):
        names = [name for name, *place in sizes if place == [axis, B]]
        sets = (chosen for n in range(len(names), 0, -1) for chosen in itertools.combinations(names, n))
        for n, chosen in enumerate(itertools.islice(sets, TRIED)):
            yield Batch(chosen, axis, B), n == 0


def near(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and bool(np.abs(a - b).max(initial=0.0) <= 1e-9 * np.abs(a).max(initial=0.0))
