"""A batch of one row: where the rows of a batch are summed up before they can be seen, one of them shows more.

With one row the gradient that arrives at a layer is a vector, and what multiplies it can be read off a bias or a
column of a weight. And a gradient that is right for one row and wrong for several is wrong in how the rows meet.

Which axis of which arrays is the batch's nobody says. It is tried: the outputs of the rows alone have to be the rows of
the output, or to add up to it, as they are or in the mean.
"""

import itertools
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from scratchvae.backend import to_numpy
from scratchvae.checks.vjp.call import Pair, Values

TRIED = 32  # sets of arrays that may share the batch, for one axis and one size
CUTS = 3  # batches of one row that are looked at


class Cut(NamedTuple):
    """One row of a batch."""

    pair: Pair
    x: Values
    first: bool  # is its output the first row of the whole output, as that of a first step in time is?
    separate: bool  # is the whole output made of those of the rows, each by itself?


def one_row(pair: Pair, x: Values) -> list[Cut]:
    """The pair and its inputs with the first row of the batch alone, for every size and axis that may be the batch's.

    If rows that are separate can be found, then only those.
    """
    found = list(itertools.islice(cuts(pair, x), CUTS))
    return [cut for cut in found if cut.separate] or found


def cuts(pair: Pair, x: Values) -> Iterator[Cut]:
    arrays = {**{name: to_numpy(a) for name, a in pair.constants.items() if hasattr(a, "shape")}, **x}
    whole = pair.y(x)
    for axis in (0, -1):
        for B in dict.fromkeys(a.shape[axis] for a in arrays.values() if a.ndim):
            names = [name for name, a in arrays.items() if a.ndim and a.shape[axis] == B]
            sets = (c for n in range(len(names), 0, -1) for c in itertools.combinations(names, n))
            for n, chosen in enumerate(itertools.islice(sets, TRIED) if B > 1 else ()):
                rows = [rows_of(pair, x, chosen, i, axis) for i in range(B)]
                if works(*rows[0], whole.ndim):
                    first, separate = meets(whole, rows, axis)
                    if n == 0 or first or separate:
                        yield Cut(*rows[0], first, separate)


def rows_of(pair: Pair, x: Values, names: tuple[str, ...], i: int, axis: int) -> tuple[Pair, Values]:
    """The pair and its inputs with row i alone of the arrays of these names."""

    def cut(values: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value.take([i], axis=axis) if name in names else value for name, value in values.items()}

    return pair._replace(constants=cut(pair.constants)), cut(x)


def works(pair: Pair, x: Values, ndim: int) -> bool:
    """Does the pair accept these inputs, and give one number for every row?"""
    try:
        y = pair.y(x)
        grads = pair.grads(x, np.ones(y.shape))
    except Exception:  # somebody's function may refuse what it does not like
        return False
    fits = all(g is None or g.shape == x[name].shape for name, g in grads.items())
    return fits and y.ndim == ndim and bool(np.isfinite(y).all())


def meets(whole: np.ndarray, rows: list[tuple[Pair, Values]], axis: int) -> tuple[bool, bool]:
    """Is the output of the first row that of the whole? And are those of all, or do they add up to it, or to a mean?"""
    try:
        alone = [pair.y(x) for pair, x in rows]
    except Exception:  # as above
        return False, False
    if any(y.shape != alone[0].shape for y in alone):
        return False, False
    if alone[0].shape == whole.shape:
        total = np.sum(alone, axis=0)
        return False, any(near(whole, total / n) for n in (1, len(rows)))
    return near(whole.take([0], axis=axis), alone[0]), near(whole, np.concatenate(alone, axis=axis))


def near(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and bool(np.abs(a - b).max(initial=0.0) <= 1e-9 * np.abs(a).max(initial=0.0))
