"""Where a constant may come from: sizes that a mean divides by, numbers that were handed in, means of arrays."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from scratchvae.checks.vjp.case import Case

USUAL = (0.0, 1.0, 2.0, 0.5)  # these have other reasons than a number that was handed in


class Shorter(NamedTuple):
    """What was seen when these arrays had a row less, or a column: is a constant another one then?"""

    names: tuple[str, ...]
    what: str
    changes: bool


def sizes(case: Case, shorter: Shorter | None) -> dict[str, int]:
    """The numbers that a mean could have divided by, in words: the rows of the batch first, then the other axes.

    An axis that is as long as another one is named beside it, as long as nobody has tried which of them it is.
    """
    batch = case.shape or case.arrays.get("x", np.zeros(())).shape
    arrays = {**{name: np.empty(seen.shape) for name, seen in case.seen.items()}, **case.arrays}
    named: dict[int, list[str]] = {}
    tried = lengths(arrays, shorter)
    if batch and not (shorter and not shorter.changes and batch[0] in tried and shorter.what == "rows"):
        named[batch[0]] = [f"the batch has {batch[0]} rows"]
    for parts, most in ((axes_of, 2), (entries_of, 1)):
        for name, a in arrays.items():
            for size, what in parts(a):
                if shorter and size in tried and (what == shorter.what and name in shorter.names) != shorter.changes:
                    continue
                phrases = named.setdefault(size, [])
                if len(phrases) < most and not any(phrase.endswith(what) for phrase in phrases):
                    mine = any(phrase.startswith(f"{name} has") for phrase in phrases)
                    phrases.append(f"{size} {what}" if mine else f"{name} has {size} {what}")
    return {" and ".join(phrases): size for size, phrases in named.items() if phrases}


def lengths(arrays: Mapping[str, np.ndarray], shorter: Shorter | None) -> set[int]:
    """How long what was shortened was."""
    if shorter is None:
        return set()
    shapes = [arrays[name].shape for name in shorter.names if name in arrays]
    return {shape[0 if shorter.what == "rows" else -1] for shape in shapes if shape}


def axes_of(a: np.ndarray) -> Iterator[tuple[int, str]]:
    names = ("rows", "columns") if a.ndim < 3 else [f"entries along axis {axis}" for axis in range(a.ndim)]
    yield from zip(a.shape, names, strict=False)


def entries_of(a: np.ndarray) -> Iterator[tuple[int, str]]:
    yield a.size, "entries"


def amounts(case: Case) -> dict[str, float]:
    """Numbers that a factor may be: those that were handed in, and the means and sums of arrays."""
    found = {name: value for name, value in case.scalars.items() if abs(value) not in USUAL}
    for name, a in case.arrays.items():
        if a.ndim:
            sums = {f"the mean of {name}": float(a.mean()), f"the sum of {name}": float(a.sum())}
            found |= {what: value for what, value in sums.items() if not is_simple(value)}
    return {name: value for name, value in found.items() if np.isfinite(value)}


def is_simple(value: float) -> bool:
    """A ratio of small whole numbers, which may be the mean of many things."""
    return any(abs(value * n - round(value * n)) < 1e-9 for n in range(1, 61))


def scalars_in(thing: Any, name: str) -> dict[str, float]:
    """The plain numbers inside dicts, tuples and lists, by name."""
    if isinstance(thing, Mapping):
        parts = [(str(key), value) for key, value in thing.items()]
    elif isinstance(thing, tuple) and hasattr(thing, "_fields"):
        parts = list(zip(thing._fields, thing, strict=True))
    elif isinstance(thing, tuple | list):
        parts = [(f"{name}[{i}]", value) for i, value in enumerate(thing)]
    elif isinstance(thing, int | float | np.floating | np.integer) and not isinstance(thing, bool):
        return {name: float(thing)}
    else:
        return {}
    found: dict[str, float] = {}
    for part, value in parts:
        for key, number in scalars_in(value, part).items():
            found.setdefault(key, number)
    return found
