"""The right numbers times something: a constant, or an array at the input, where dy comes in, or between the two.

Sizes: m entries that were measured, M entries of y that were asked, n of the numbers that are compared.
"""

from collections.abc import Iterator

import numpy as np

from scratchvae.checks.vjp.case import EXPLAINED, Case, Claim, Seen, aligned, ratio, repairs
from scratchvae.checks.vjp.word import ONE, Word

FEW = 300  # numbers that a first look compares
NEARLY = 1e-4
MINUS = 0.15
MOSTLY = 0.75  # so much of what a mask hides must be there without it
OF_DY = (Word("dy, the upstream gradient,", "dy", 0.8), Word("mask dy > 0", "(dy > 0)", 1.5))


def a_constant(case: Case, seen: Seen) -> Iterator[Claim]:
    """right = c * got."""
    if seen.fits and seen.linear and (c := repairs(seen, seen.got)) and abs(c - 1) > NEARLY:
        yield constant(c)


def constant(c: float) -> Claim:
    return Claim("sign" if abs(c + 1) < 1e-6 else "factor", "constant", factor=c)


def nearly(case: Case, seen: Seen) -> Iterator[Claim]:
    """Every number is right to four digits, or all to as many as can be explained, and not to as many as should be."""
    if not seen.fits:
        return
    off, size = np.abs(seen.right - seen.got), np.abs(seen.right)
    if (off <= NEARLY * size).all() or off.max() <= EXPLAINED * size.max():
        yield Claim("elementwise-factor", "nearly", cost=0.5)


def an_array(case: Case, seen: Seen) -> Iterator[Claim]:
    """right * v = c * got * u: the word u is missing, v is one too many, or v stands where u belongs."""
    if seen.fits:
        for claim in array_factors(case, seen, seen.right, seen.got):
            if seen.linear or any(word in OF_DY for word in claim.words):
                yield claim


def array_factors(case: Case, seen: Seen, right: np.ndarray, got: np.ndarray) -> Iterator[Claim]:
    """The same for any two matrices (m, M) of this input; costs grow with what has to be said."""
    some = np.flatnonzero((right != 0) | (got != 0))  # (n,)
    some = some[:: max(1, len(some) // FEW)]
    if not len(some):
        return
    for place in ("in", "out", "mid"):
        single = right.size == 1  # why: one number at each point, and many points
        at = at_place(case, seen, place) if not single or place == "in" else ()
        placed = [(ONE, np.ones((1, 1))), *((word, full) for word, full in at if single or np.ptp(full))]
        repaired, wanted = ([(side * full).ravel()[some] for _, full in placed] for side in (got, right))
        for i, j in parallel(repaired, wanted):
            (u_word, u), (v_word, v) = placed[i], placed[j]
            if (
                i == j
                or (single and ONE not in (u_word, v_word))
                or (v_word == ONE and says_nothing(u, got))
                or (u_word == ONE and says_nothing(v, right))
                or (ONE not in (u_word, v_word) and u.size > 1 and ratio(u, v) is not None)  # why: they are one word
                or not told_apart(u, v, right, got)
                or hidden_by(u_word, u, v, right)
                or (u_word == ONE and hides_little(v, right))
                or (are_counts(u, v) and not is_nice(ratio(right * v, got * u)))
            ):
                continue
            c = ratio(right * v, got * u)
            if c and seen.explained(np.divide(right * v - c * got * u, v, where=v != 0, out=np.zeros(right.shape))):
                claim = factor_claim(u_word, v_word, place, c)
                yield hides(claim) if u_word == ONE and ((v == 0) & (right != 0)).any() else claim


def says_nothing(a: np.ndarray, side: np.ndarray) -> bool:
    """Is this side the same without the word, but for a constant, as what is masked already is with the mask?"""
    return side.size > 1 and ratio(side * a, side) is not None


def hides(claim: Claim) -> Claim:
    """Where v is 0 nothing comes back, and something should: v is too much, or all that belongs there is missing."""
    return claim._replace(kind=claim.kind.replace("too many", "hides"), cost=claim.cost + 0.5)


def hidden_by(u_word: Word, u: np.ndarray, v: np.ndarray, right: np.ndarray) -> bool:
    """Does v hide entries that should be there, so that nothing is seen of u in them?

    A slope is believed even so, in most of its entries, and a u that is 0 exactly where nothing should be.
    """
    hidden = (v == 0) & (right != 0)
    if u_word == ONE or not hidden.any():
        return False
    if u_word.name.startswith("the slope"):
        return bool(2 * np.count_nonzero(hidden) > np.count_nonzero(right))
    rest, masks = ~hidden & (right != 0), all(np.array_equal(a, a.astype(bool)) for a in (u, v))
    if not masks and ratio(*(np.broadcast_to(a, right.shape)[rest] for a in (u, v))) is not None:
        return True  # why: where anything is seen of it, u is v
    there = (right != 0).any(axis=tuple(axis for axis in (0, 1) if u.shape[axis] == 1), keepdims=True)
    return bool(((u != 0) != there).any())


def told_apart(u: np.ndarray, v: np.ndarray, right: np.ndarray, got: np.ndarray) -> bool:
    """Does right * v = got * u say something of every number that is there: is one of u and v not zero?"""
    return bool(((u != 0) | (v != 0) | ((right == 0) & (got == 0))).all())


def hides_little(v: np.ndarray, right: np.ndarray) -> bool:
    """Is most of what a mask v hides there without it? Then it is the mask of something else."""
    if ((v != 0) & (v != 1)).any():
        return False
    there = right != 0  # (m, M)
    hidden = there.any(axis=1)[v[:, 0] == 0] if v.shape[1] == 1 else there.any(axis=0)[v[0] == 0]
    return hidden.size > 0 and float(hidden.mean()) < MOSTLY


def are_counts(u: np.ndarray, v: np.ndarray) -> bool:
    """Are these whole numbers, and no masks? They are few, and the same at every point: most ratios are chance."""
    return bool((u == np.rint(u)).all() and (v == np.rint(v)).all() and max(np.abs(u).max(), np.abs(v).max()) > 1)


def is_nice(c: float | None) -> bool:
    return c is not None and any(abs(abs(c) - nice) < 1e-6 for nice in (1.0, 2.0, 0.5))


def factor_claim(u: Word, v: Word, place: str, c: float) -> Claim:
    u, v = reduced(u, v)
    kind = "lacks" if v == ONE else "too many" if u == ONE else "in place of"
    slopes = u.cost < 1 and v.name.startswith("the slope")  # why: another one for that of the forward is a usual slip
    cost = (
        (-1.7 if u.name == f"(1 + {v.name})" else 0.0)
        + (1.4 if slopes else u.cost + v.cost)
        + (0.6 if u.cost < 1 and v.name.endswith("^2") else 0.0)  # why: T (1 - T) for T^2 is 1 - T for T
        + {"out": 0.0, "in": 0.1, "mid": 0.2}[place]
        + (0.3 if abs(abs(c) - 1) > 1e-6 else MINUS if c < 0 else 0.0)  # why: |x| is -x where all are negative
        + (
            1.0 if " - " in u.name + v.name and (u.name in v.name or v.name in u.name) else 0.0
        )  # why: p for p - t lacks t
    )
    return Claim("elementwise-factor", kind, (u, v), place, c, cost=cost)


def reduced(u: Word, v: Word) -> tuple[Word, Word]:
    """u and v without what they have in common: (1 - a) over (1 - a^2) is one over (1 + a)."""
    for one, square in ((u, v), (v, u)):
        a = square.name.removeprefix("(1 - ").removesuffix("^2)")
        if square.name == f"(1 - {a}^2)" and one.name in (f"(1 - {a})", f"{a} (1 - {a})"):
            left = ONE if one.name == f"(1 - {a})" else Word(a, a, one.cost)
            more = Word(f"(1 + {a})", f"(1 + {a})", square.cost)
            return (left, more) if square == v else (more, left)
    return u, v


def at_place(case: Case, seen: Seen, place: str) -> Iterator[tuple[Word, np.ndarray]]:
    """Every word as it meets this input there, broadcast to (m, M) as far as it has to be."""
    for word in case.words:
        a = case.values[word.name]
        if place == "in" and (full := aligned(a, seen.shape)) is not None:
            yield word, full.ravel()[seen.entries][:, None]  # (m, 1)
        elif place == "out" and (full := aligned(a, case.shape)) is not None:
            yield word, full.ravel()[case.outs][None]  # (1, M)
        elif place == "mid" and a.ndim == 2 and case.shape and seen.shape:
            unit, row = np.unravel_index(seen.entries, seen.shape), np.unravel_index(case.outs, case.shape)
            if a.shape == (case.shape[0], seen.shape[-1]):
                yield word, a[row[0][None, :], unit[-1][:, None]]  # (m, M)
            elif a.shape == (seen.shape[0], case.shape[-1]):  # features first
                yield word, a[unit[0][:, None], row[-1][None, :]]
    if place == "out":
        yield from zip(OF_DY, (seen.scale[None], (seen.scale > 0)[None] * 1.0), strict=True)


def parallel(one: list[np.ndarray], other: list[np.ndarray]) -> np.ndarray:
    """The pairs i, j for which one[i] and other[j] are about parallel, (any, 2): all at once, to be judged singly."""
    a, b = (np.nan_to_num(np.stack(rows)) for rows in (one, other))
    a, b = (rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-300) for rows in (a, b))
    return np.argwhere(np.abs(a @ b.T) > 1 - 1e-9)


def the_upstream(case: Case, seen: Seen) -> Iterator[Claim]:
    """backward returns the same for every dy, lets its sign decide, or does something else that is not linear."""
    if not seen.fits or seen.linear:
        return
    raw = seen.got * seen.scale  # (m, M)
    total = seen.right.sum(axis=1, keepdims=True)  # (m, 1)  for an upstream gradient of ones
    still = seen.at_zero is not None and np.abs(raw - seen.at_zero[:, None]).max() <= 1e-9 * np.abs(raw).max()
    if case.whole and still:
        if c := ratio(total, raw[:, :1]):
            yield Claim("elementwise-factor", "upstream forgotten", factor=c)
        elif raw.any():
            yield Claim("elementwise-factor", "upstream lost", cost=2.0)
    elif seen.homogeneous:
        yield Claim("elementwise-factor", "upstream decides", cost=6.0)
    else:
        yield Claim("unknown", "not linear", cost=6.0)


def an_offset(case: Case, seen: Seen) -> Iterator[Claim]:
    """got = right + c * u, whatever dy is: what belongs to a term that the forward does not have, as a decay."""
    if not seen.fits or seen.linear or seen.at_zero is None or not seen.at_zero.any():
        return
    rest = seen.at_zero[:, None]  # (m, 1)
    if not seen.explained(seen.right - (seen.got - rest / seen.scale)):
        return
    for word, full in at_place(case, seen, "in"):
        if c := ratio(rest, full):
            yield Claim("missing-term", "offset", (word,), factor=c, cost=1.0 + word.cost)
    yield Claim("missing-term", "offset", cost=5.5)


def a_term_without_dy(case: Case, seen: Seen) -> Iterator[Claim]:
    """A part of got does not depend on dy, and is what it should be for a dy of ones: dy is forgotten in one term."""
    if not seen.fits or seen.linear or seen.at_zero is None or not seen.at_zero.any() or not case.whole:
        return
    rest = seen.at_zero[:, None]  # (m, 1)
    lacking = seen.right - (seen.got - rest / seen.scale)  # (m, M)
    c = ratio(lacking.sum(axis=1, keepdims=True), rest)
    if c and np.ptp(lacking, axis=1).any():
        yield Claim("elementwise-factor", "upstream forgotten in part", factor=c, cost=1.5)


def some_array(case: Case, seen: Seen) -> Iterator[Claim]:
    """got / right is an array without a name: the same for every entry of y, of the input, or of a hidden layer."""
    if (r := ratios(seen)) is None:
        return
    for place, group in groups(case, seen):
        if one_number_each(r, group) or (place == "out" and as_for_another(case, seen, r)):
            cause = "unknown" if place == "mid" else "elementwise-factor"
            yield Claim(cause, "some array", place=place, cost=5.0)


def as_for_another(case: Case, seen: Seen, r: np.ndarray) -> bool:
    """Does every entry of y have the number that it has for another input, where it shows in several entries?"""
    for other in case.seen.values():
        if other.name == seen.name or (r_other := ratios(other)) is None:
            continue
        if one_number_each(r_other, np.broadcast_to(np.arange(r_other.shape[1])[None], r_other.shape)):
            each = np.nanmean(r_other, axis=0)  # (M,)
            return bool(np.nanmax(np.abs(r - each)) <= 1e-5 * np.nanmax(np.abs(each)))
    return False


def some_paths(case: Case, seen: Seen) -> Iterator[Claim]:
    """got is right where it is not zero: from some entries of y, or in some rows, nothing arrives."""
    r = ratios(seen)
    if r is None or np.nanmin(r) > 1e-6:
        return
    there = r[~np.isnan(r)]
    if (np.minimum(np.abs(there), np.abs(there - 1)) > 1e-6).any() or 2 * (there > 0.5).sum() < 4:
        return
    gone = np.abs(np.nan_to_num(r)) < 1e-6  # (m, M)
    known = ~np.isnan(r)
    if len(case.shape) < 2 and len(seen.shape) == 2 and whole_rows(seen, gone & known, known):
        yield Claim("elementwise-factor", "rows masked", cost=2.9)
    yield Claim("missing-term", "paths", detail=("y",) if case.shape else (), cost=3.0)


def whole_rows(seen: Seen, gone: np.ndarray, known: np.ndarray) -> bool:
    """Is all that is missing (m, M) whole rows of the input, to which nothing comes?"""
    row = np.unravel_index(seen.entries, seen.shape)[0]  # (m,)
    lost = set(row[gone.any(axis=1)].tolist())
    return len(lost) < seen.shape[0] and not any((known & ~gone)[row == i].any() for i in lost)


def a_missing_mask(case: Case, seen: Seen) -> Iterator[Claim]:
    """got is right but for entries that y does not depend on, or entries of y that depend on none: a clip, a margin."""
    if not seen.fits or not seen.linear:
        return
    there = np.abs(seen.right) > 1e-9 * np.abs(seen.right).max()  # (m, M)
    flat = ~there.any(axis=1, keepdims=True) | ~there.any(axis=0)  # (m, M)
    off = np.abs(seen.right - seen.got) > EXPLAINED * np.abs(seen.right).max()
    if off.any() and not off[~flat].any() and there.sum() >= 4:
        outputs = bool(off[there.any(axis=1)].any())
        yield Claim("elementwise-factor", "mask missing", detail=("y",) if outputs else (), cost=2.6)


def ratios(seen: Seen) -> np.ndarray | None:
    """got / right, (m, M), NaN where both are zero; None if there is something where nothing should be."""
    if not seen.fits or not seen.linear or not seen.got.any():
        return None
    right, got = seen.right, seen.got
    there = np.abs(right) > 1e-9 * np.abs(right).max()  # (m, M)
    if np.abs(got[~there]).max(initial=0) > 1e-6 * np.abs(got).max():
        return None
    return np.where(there, got / np.where(there, right, 1.0), np.nan)


def groups(case: Case, seen: Seen) -> Iterator[tuple[str, np.ndarray]]:
    """For each place: which of the numbers (m, M) would share one factor."""
    m, M = seen.right.shape
    yield "in", np.broadcast_to(np.arange(m)[:, None], (m, M))
    yield "out", np.broadcast_to(np.arange(M)[None], (m, M))
    if case.shape and seen.shape:
        unit, row = np.unravel_index(seen.entries, seen.shape)[-1], np.unravel_index(case.outs, case.shape)[0]
        yield "mid", row[None, :] * (unit.max() + 1) + unit[:, None]


def one_number_each(r: np.ndarray, group: np.ndarray) -> bool:
    """Is r the same within every group, and are there twice as many numbers as groups? NaN is no number."""
    known = ~np.isnan(r)
    values, index = r[known], np.unique(group[known], return_inverse=True)[1].ravel()
    n = index.max(initial=-1) + 1
    if len(values) < 2 * n or not n:  # why: with one number a group, any error fits
        return False
    low, high = np.full(n, np.inf), np.full(n, -np.inf)
    np.minimum.at(low, index, values)
    np.maximum.at(high, index, values)
    return bool((high - low).max() <= 1e-5 * np.abs(values).max() and np.ptp(values) > 1e-3 * np.abs(values).max())


def the_slope(case: Case, seen: Seen) -> Iterator[Claim]:
    """Each output depends on its own entry alone, and so does the gradient: what is wrong is a slope."""
    if not seen.fits or not seen.linear or seen.right.size < 4:
        return
    own = seen.entries[:, None] == case.outs[None]  # (m, M)
    if seen.shape == case.shape and not seen.right[~own].any() and not seen.got[~own].any():
        yield Claim("elementwise-factor", "slope", cost=6.0)


HYPOTHESES = (
    a_constant,
    nearly,
    an_array,
    the_upstream,
    a_term_without_dy,
    an_offset,
    some_array,
    some_paths,
    a_missing_mask,
    the_slope,
)
