"""Where a constant may come from: sizes that a mean divides by, numbers that were handed in, means of arrays."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from scratchvae.checks.vjp.case import Case

USUAL = (0.0, 1.0, 2.0, 0.5)  # these have other reasons than an array whose mean they are


def sizes(case: Case) -> dict[str, int]:
    """The numbers that a mean could have divided by, in words: the rows of the batch first, then the other axes.

    An axis that is as long as another one is named beside it.
    """
    batch = case.shape or case.arrays.get("x", np.zeros(())).shape
    arrays = {**{name: np.empty(seen.shape) for name, seen in case.seen.items()}, **case.arrays}
    named: dict[int, list[str]] = {batch[0]: [f"the batch has {batch[0]} rows"]} if batch else {}
    for parts, most in ((axes_of, 2), (entries_of, 1)):
        for name, a in arrays.items():
            for size, what in parts(a):
                phrases = named.setdefault(size, [])
                if len(phrases) < most and not any(phrase.endswith(what) for phrase in phrases):
                    mine = any(phrase.startswith(f"{name} has") for phrase in phrases)
                    phrases.append(f"{size} {what}" if mine else f"{name} has {size} {what}")
    return {" and ".join(phrases): size for size, phrases in named.items()}


def axes_of(a: np.ndarray) -> Iterator[tuple[int, str]]:
    names = ("rows", "columns") if a.ndim < 3 else [f"entries along axis {axis}" for axis in range(a.ndim)]
    yield from zip(a.shape, names, strict=False)


def entries_of(a: np.ndarray) -> Iterator[tuple[int, str]]:
    yield a.size, "entries"


def amounts(case: Case) -> dict[str, float]:
    """Numbers that a factor may be: those that were handed in, and the means and sums of arrays."""
    found = dict(case.scalars)
    for name, a in case.arrays.items():
        if a.ndim:
            found |= {f"the mean of {name}": float(a.mean()), f"the sum of {name}": float(a.sum())}
    return {name: value for name, value in found.items() if np.isfinite(value) and abs(value) not in USUAL}


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
