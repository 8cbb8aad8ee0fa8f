"""+= by an index in which a number occurs more than once: a[ids] += v adds only one of those that meet there.

NumPy takes a[ids], adds, and puts the result back, so that the last one stays. Arrays that a backward makes are given
a class of their own, which adds all of them, and notes where that made a difference.
"""

import sys
import types
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from scratchvae.checks.vjp.followed import Point
from scratchvae.checks.vjp.trials import all_right
from scratchvae.checks.vjp.watched import Here, Setting, Watch, of_the_forward, with_it


class Adding(np.ndarray):
    """An array for which += by an index adds every one."""

    where: dict[tuple[types.CodeType, int], None]  # the lines in which an index had numbers that occur more than once

    def __array_finalize__(self, other: Any) -> None:
        self.where = getattr(other, "where", {})

    def __setitem__(self, place: Any, value: Any) -> None:
        a, plain = self.view(np.ndarray), np.asarray(value)
        if not repeats(place):
            a[place] = plain
            return
        frame = sys._getframe(1)
        self.where[frame.f_code, frame.f_lineno] = None
        np.add.at(a, place, plain - a[place])


def repeats(place: Any) -> bool:
    """Does an index name a place more than once?"""
    parts = place if isinstance(place, tuple) else (place,)
    whole = [np.asarray(each) for each in parts if isinstance(each, list | np.ndarray | int)]
    if not any(each.ndim for each in whole) or any(each.dtype.kind not in "iu" for each in whole):
        return False
    places = np.stack([each.ravel() for each in np.broadcast_arrays(*whole)], axis=1)
    return len(np.unique(places, axis=0)) < len(places)


def repeats_added(points: list[Point]) -> Setting | None:
    """The first line of those in which += by an index loses something, if that is all that is wrong, at every point."""
    if not points:
        return None
    skip = of_the_forward(points[0])
    where: dict[tuple[types.CodeType, int], None] = {}

    def adding(here: Here) -> Mapping[str, Any]:
        if type(here.value) is not np.ndarray or here.value.dtype.kind != "f" or not here.value.ndim:
            return {}
        view = here.value.view(Adding)
        view.where = where
        return {here.setting.name: view}

    watch = partial(Watch, adding, skip)
    if not all(all_right(point, partial(with_it, point, watch)) for point in points) or not where:
        return None
    code, line = next(iter(where))
    return Setting(code, line, "")
