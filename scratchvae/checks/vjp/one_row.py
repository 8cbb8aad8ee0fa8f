"""A batch of one row: where the rows of a batch are summed up before they can be seen, one of them shows more.

With one row the gradient that arrives at a layer is a vector, and what multiplies it can be read off a bias or a
column of a weight. And a gradient that is right for one row and wrong for several is wrong in how the rows meet.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from scratchvae.backend import to_numpy
from scratchvae.checks.vjp.call import Pair, Values


def some_rows(pair: Pair, x: Values, rows: list[int]) -> Iterator[tuple[Pair, Values]]:
    """The pair and its inputs with these rows of the batch alone, for every size and axis that may be the batch's."""
    arrays = {**{name: to_numpy(a) for name, a in pair.constants.items() if hasattr(a, "shape")}, **x}
    for axis in (0, -1):
        for B in dict.fromkeys(a.shape[axis] for a in arrays.values() if a.ndim):
            if max(rows) >= B or B < 2:
                continue

            def cut(values: Mapping[str, Any], axis: int = axis, B: int = B) -> dict[str, Any]:
                return {name: rows_of(value, rows, axis, B) for name, value in values.items()}

            smaller = pair._replace(constants=cut(pair.constants)), cut(x)
            if works(*smaller, len(pair.y(x).shape)):
                yield smaller


def rows_of(value: Any, rows: list[int], axis: int, B: int) -> Any:
    """These rows of an array that has B of them, as a smaller batch; anything else as it is."""
    if not hasattr(value, "shape") or not value.shape or value.shape[axis] != B:
        return value
    return value.take(rows, axis=axis) if hasattr(value, "take") else value


def works(pair: Pair, x: Values, ndim: int) -> bool:
    """Does the pair accept these inputs, and give one number for every row?"""
    try:
        y = pair.y(x)
        grads = pair.grads(x, np.ones(y.shape))
    except Exception:  # somebody's function may refuse what it does not like
        return False
    fits = all(g is None or g.shape == x[name].shape for name, g in grads.items())
    return fits and y.ndim == ndim and bool(np.isfinite(y).all())
