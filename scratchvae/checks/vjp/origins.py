"""Where a constant may come from: sizes that a mean divides by, numbers that were handed in, means of arrays."""

from collections.abc import Collection, Iterator, Mapping

import numpy as np

from scratchvae.checks.vjp.case import Case
from scratchvae.checks.vjp.scope import numbers_of_class
from scratchvae.checks.vjp.tried import Tried

MANY = 6  # entries: a smaller number has nearer reasons
USUAL = (0.0, 1.0, 2.0, 0.5)  # these have other reasons than a number that was handed in


def in_play(case: Case) -> dict[str, np.ndarray]:
    """The arrays whose shapes count: the wrong inputs, and what else is in play."""
    return {**{name: np.empty(seen.shape) for name, seen in case.seen.items()}, **case.arrays}


def sizes(case: Case, tried: Tried) -> dict[str, int]:
    """The numbers that a mean could have divided by, in words: the rows of the batch first, then the other axes.

    None with which the constant does not change; an axis that is as long as another one is named beside it.
    """
    batch = case.shape or case.arrays.get("x", np.zeros(())).shape
    arrays = in_play(case)
    rows = [
        changes
        for (name, what), changes in tried.axes.items()
        if what == "rows" and name in arrays and arrays[name].shape[:1] == batch[:1]
    ]
    tried_ones = {arrays[n].shape[0 if what == "rows" else -1] for n, what in tried.axes if n in arrays}
    named: dict[int, list[str]] = {batch[0]: [f"the batch has {batch[0]} rows"]} if batch and all(rows) else {}
    for parts, most in ((axes_of, 2), (entries_of, 1)):
        for name, a in arrays.items():
            for size, what, key in parts(a):
                if not tried.axes.get((name, key), size not in tried_ones):
                    continue
                phrases = named.setdefault(size, [])
                if len(phrases) < most and not any(phrase.endswith(what) for phrase in phrases):
                    mine = any(phrase.startswith(f"{name} has") for phrase in phrases)
                    phrases.append(f"{size} {what}" if mine else f"{name} has {size} {what}")
    return {" and ".join(phrases): size for size, phrases in named.items() if phrases}


def sure_sizes(case: Case, tried: Tried, power: float) -> frozenset[int]:
    """The lengths with which, or with one over which, the constant was seen to change as this power of them does."""
    arrays = in_play(case)
    found = [(arrays[n].shape, what) for (n, what), p in tried.axes.items() if close(abs(p), power) and n in arrays]
    return frozenset(shape[0 if what == "rows" else -1] for shape, what in found if shape)


def close(one: float, other: float) -> bool:
    return abs(one - other) < 1e-3


def axes_of(a: np.ndarray) -> Iterator[tuple[int, str, str]]:
    """The lengths, in words, and the first and the last as they are tried."""
    names = ("rows", "columns") if a.ndim < 3 else [f"entries along axis {axis}" for axis in range(a.ndim)]
    for axis, (size, what) in enumerate(zip(a.shape, names, strict=False)):
        yield size, what, "rows" if axis == 0 else "columns" if axis == a.ndim - 1 else what


def entries_of(a: np.ndarray) -> Iterator[tuple[int, str, str]]:
    if a.size >= MANY:
        yield a.size, "entries", "entries"


def amounts(case: Case) -> dict[str, float]:
    """Numbers that a factor may be written as: those that were handed in, and the means and sums of arrays."""
    found = {name: value for name, value in case.scalars.items() if abs(value) not in USUAL}
    return found | complements(case.scalars) | means(case)


def complements(numbers: Mapping[str, float]) -> dict[str, float]:
    """1 less each of them that lies between 0 and 1."""
    return {f"1 - {name}": 1 - value for name, value in numbers.items() if 0 < value < 1 and value != 0.5}


def means(case: Case) -> dict[str, float]:
    """The means and sums of the arrays in play."""
    found: dict[str, float] = {}
    for name, a in case.arrays.items():
        if a.ndim:
            sums = {f"the mean of {name}": float(a.mean()), f"the sum of {name}": float(a.sum())}
            found |= {what: value for what, value in sums.items() if not is_simple(value)}
    return {name: value for name, value in found.items() if np.isfinite(value)}


def unproven(case: Case, moved: Collection[str]) -> dict[str, float]:
    """Settings of which it is not known whether they are the constant, since another one was not tried."""
    known = {case.scalars[name] for name in moved if name in case.scalars}
    open_ones = {name: value for name, value in case.scalars.items() if name not in moved}
    found = {name: a for name, a in open_ones.items() if not (a in known and name.startswith("cache"))}
    found |= complements(found)
    keeper = case.pair.keeper
    held = {**numbers_of_class(keeper), **getattr(keeper, "__dict__", {})} if keeper is not None else {}
    return found | {f"self.{key}": float(a) for key, a in held.items() if type(a) in (int, float)}


def is_simple(value: float) -> bool:
    """A ratio of small whole numbers, which may be the mean of many things."""
    return any(abs(value * n - round(value * n)) < 1e-9 for n in range(1, 61))
