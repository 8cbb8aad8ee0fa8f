"""The right numbers times something in a part alone: in some columns, as of one gate; in one branch of a function.

Sizes: m entries that were measured, M entries of y that were asked.
"""

from collections.abc import Iterator

import numpy as np

from scratchvae.checks.vjp.case import EXPLAINED, Case, Claim, Seen, ratio
from scratchvae.checks.vjp.causes_factor import array_factors, at_place, constant, ratios

COLUMNS = 6  # that may have a scale each


def a_constant_in_part(case: Case, seen: Seen) -> Iterator[Claim]:
    """The same in some columns alone, or rows, as of one gate or one parameter of several; a vector has columns."""
    for where, some, _ in parts_that_are_off(seen):
        if np.count_nonzero(seen.right[some]) > 2 and (c := ratio(seen.right[some], seen.got[some])):
            yield constant(c)._replace(kind="constant in part", detail=(where,), cost=1.6)


def an_array_in_part(case: Case, seen: Seen) -> Iterator[Claim]:
    """The same in some columns alone, as in one gate of several, beside words that are as wide."""
    for where, some, numbers in parts_that_are_off(seen):
        if not where.startswith("column") or len(numbers) < 2 or not seen.right[some].any():
            continue
        raw = [None if g is None else g[..., numbers] for g in seen.raw]
        shape = (*seen.shape[:-1], len(numbers))
        part = seen._replace(shape=shape, entries=np.arange(some.sum()), right=seen.right[some], raw=raw)
        for claim in array_factors(case, part, part.right, part.got):
            yield claim._replace(kind=f"{claim.kind} in part", detail=(where,), cost=claim.cost + 0.6)


def a_constant_in_places(case: Case, seen: Seen) -> Iterator[Claim]:
    """right = got in some entries, and c got in all others: as in one branch of a function that has two."""
    if (r := ratios(seen)) is None:
        return
    known = ~np.isnan(r)  # (m, M)
    off = known & (np.abs(r - 1) > EXPLAINED)  # (m, M)
    some_right = (known & ~off).any(axis=1)  # (m,)
    if not r[known].all() or off.any(axis=1)[some_right].any():
        return  # why: right for some outputs and wrong for others is no entry that is right
    other = r[off]
    if (
        np.count_nonzero(off.any(axis=1)) >= 3
        and len(other) <= np.count_nonzero(known) - 3
        and np.ptp(other) <= EXPLAINED * np.abs(other).max()
    ):
        claim = Claim("elementwise-factor", "constant in places", factor=float(1 / np.median(other)), cost=2.4)
        yield claim
        for where, cost in where_it_is(case, seen, off.any(axis=1), known.any(axis=1)):
            yield claim._replace(detail=(where,), cost=1.5 + cost / 10)


def where_it_is(case: Case, seen: Seen, off: np.ndarray, known: np.ndarray) -> Iterator[tuple[str, float]]:
    """The masks and the arrays of 0 and 1 that are 1 just where an entry is off, or 0, in words."""
    for word, full in at_place(case, seen, "in"):
        a = full[:, 0]  # (m,)
        if word.cost <= 1.5 and ((a == 0) | (a == 1)).all():
            slope = word.name.startswith("the slope")
            name = word.formula if slope else word.name.removeprefix("mask ")
            for value in (0, 1):
                if np.array_equal((a == value)[known], off[known]):
                    text = f"{name} is {value}"
                    yield text if name == word.name else name if value else f"not {name}", word.cost + slope


def parts_that_are_off(seen: Seen) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Columns, or rows, that are wrong while the others are right: in words, the entries (m,), and their numbers."""
    if not seen.fits or not seen.linear or len(seen.entries) < np.prod(seen.shape) or len(seen.shape) not in (1, 2):
        return
    shape = seen.shape if len(seen.shape) == 2 else (1, *seen.shape)
    off = (np.abs(seen.right - seen.got).max(axis=1) > EXPLAINED * np.abs(seen.right).max()).reshape(shape)
    there = (seen.right.any(axis=1) | seen.got.any(axis=1)).reshape(shape)
    for axis, what in ((1, "column"), (0, "row")):
        wrong = off.any(axis=1 - axis)  # the columns, or the rows
        if wrong.all() or shape[axis] < 2 or (there & ~off).any(axis=1 - axis)[wrong].any():
            continue
        some = np.broadcast_to(np.expand_dims(wrong, 1 - axis), shape).ravel()  # (m,)
        numbers = np.flatnonzero(wrong)
        yield f"{what}{'s' * (len(numbers) > 1)} {numbered(numbers.tolist())}", some, numbers


def numbered(places: list[int]) -> str:
    """0, 1, 2 as 0 to 2."""
    if len(places) > 2 and places[-1] - places[0] == len(places) - 1:
        return f"{places[0]} to {places[-1]}"
    return ", ".join(map(str, places))


def a_constant_a_column(case: Case, seen: Seen) -> Iterator[Claim]:
    """right = c_j * got in column j: each column has a scale of its own, and it is missing."""
    if not seen.fits or not seen.linear or len(seen.shape) < 2 or not 2 <= seen.shape[-1] <= COLUMNS:
        return
    column = np.unravel_index(seen.entries, seen.shape)[-1]  # (m,)
    right, got = seen.right, seen.got
    there = [column == j for j in range(seen.shape[-1])]
    constants = [ratio(right[some], got[some]) if np.count_nonzero(right[some]) > 2 else None for some in there]
    numbers = [float(f"{c:.5g}") for c in constants if c]
    if len(numbers) == len(there) and len(set(numbers)) > 1:
        yield Claim("elementwise-factor", "constant a column", detail=tuple(numbers), cost=1.9)


HYPOTHESES = (a_constant_in_part, an_array_in_part, a_constant_in_places, a_constant_a_column)
