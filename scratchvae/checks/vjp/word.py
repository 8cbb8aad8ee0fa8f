"""A word of an explanation: an array by its name."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np


class Word(NamedTuple):
    """An array by its name, and by the formula that one would write."""

    name: str
    formula: str
    cost: float = 1.0

    @property
    def is_plain(self) -> bool:
        """An array in play, and no function of one."""
        return self.name == self.formula and not set(self.name) & set("( +-*/^|")


Vocabulary = dict[Word, np.ndarray]
ONE = Word("1", "1", 0.0)


def without_twins(arrays: Mapping[Any, np.ndarray]) -> dict[Any, np.ndarray]:
    """Only the first of arrays that are equal, and none that is not finite."""
    kept: dict[Any, np.ndarray] = {}
    alike: dict[tuple[int, ...], list[tuple[float, float, np.ndarray]]] = {}  # by shape: first entry, largest, array
    for name, a in arrays.items():
        if not np.isfinite(a).all():
            continue
        others = alike.setdefault(a.shape, [])
        first, largest = (float(a.flat[0]), float(np.abs(a).max())) if a.size else (0.0, 0.0)
        if not any(abs(first - f) <= 1e-12 * most and same(a, b) for f, most, b in others):
            kept[name] = a
            others.append((first, largest, a))
    return kept


def same(a: np.ndarray, b: np.ndarray) -> bool:
    return not a.size or float(np.abs(a - b).max()) <= 1e-12 * float(np.abs(b).max())
