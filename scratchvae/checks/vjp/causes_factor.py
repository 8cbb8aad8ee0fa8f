"""The right numbers times something: a constant, an array entry by entry, or one at the output.

Sizes: K upstream gradients, m entries that were measured.
"""

from collections.abc import Iterator

import numpy as np

from scratchvae.checks.vjp.arrays import derived
from scratchvae.checks.vjp.case import EXPLAINED, Case, Verdict, aligned, ratio, signed, spread
from scratchvae.checks.vjp.sentences import factor_sentence, number

UPSTREAM = "dy, the upstream gradient"


def constant_factor(case: Case) -> Verdict | None:
    """expected = c * got."""
    return scaled(case, f"d{case.name}", case.expected, case.got)


def scaled(case: Case, what: str, expected: np.ndarray, got: np.ndarray) -> Verdict | None:
    """expected = c * got, for a whole gradient or for a part of it."""
    c = ratio(expected, got)
    if c is None:
        return None
    verdict = Verdict("factor", f"{what} {factor_sentence(c, sizes(case))}", c)
    return verdict._replace(cause="sign") if abs(c + 1) < EXPLAINED else signed(verdict, c)


def sizes(case: Case) -> dict[str, int]:
    """The numbers that a mean could have divided by: the batch, and the other axes."""
    named = {"B": case.dys.shape[1]} if case.dys.ndim > 1 else {}
    shapes = {case.name: case.shape, "y": case.dys.shape[1:], **{n: a.shape for n, a in case.arrays.items()}}
    for name, shape in shapes.items():
        for axis, size in enumerate(shape):
            named.setdefault(f"{name}.shape[{axis}]", size)
        named.setdefault(f"{name}.size", int(np.prod(shape)))
    return named


def array_factor(case: Case) -> Verdict | None:
    """expected = c * got * a, or got = c * expected * a, entry by entry, for an array a in play."""
    return scaled_by_an_array(case, f"d{case.name}", case.expected, case.got)


def scaled_by_an_array(case: Case, what: str, expected: np.ndarray, got: np.ndarray) -> Verdict | None:
    for name, a in factors(case):
        if c := ratio(expected, got * a):
            text = f"{what} lacks a factor, entry by entry: multiply by {number(c)}{name}"
            return signed(Verdict("elementwise-factor", text), c)
        if c := ratio(got, expected * a):
            text = f"{what} has a factor too many, entry by entry: take {number(c)}{name} out"
            return signed(Verdict("elementwise-factor", text), c)
    return None


def factors(case: Case) -> Iterator[tuple[str, np.ndarray]]:
    """The arrays in play, their simple functions, and the upstream gradient, as they meet the input; (K, m) each."""
    K, m = len(case.dys), len(case.entries)
    for name, a in derived(case.arrays).items():
        if case.row_by_row and case.shape and a.shape == (K, case.shape[-1]):  # a bias sees one row of it at a time
            yield name, np.stack([case.pick(row) for row in a])
        elif (full := aligned(a, case.shape)) is not None:
            yield name, np.broadcast_to(case.pick(full), (K, m))
    upstream = [full for dy in case.dys if (full := spread(dy, case.shape)) is not None]
    if len(upstream) == K and not case.row_by_row:
        yield UPSTREAM, np.stack([case.pick(dy) for dy in upstream])


def factor_at_the_output(case: Case) -> Verdict | None:
    """got belongs to the upstream gradient dy * a or dy / a, or would be right if dy were multiplied by a first."""
    K, shape = case.dys.shape[0], case.dys.shape[1:]
    for name, a in (*derived(case.arrays).items(), (UPSTREAM, case.dys)):
        full = a if name == UPSTREAM else aligned(a, shape)
        if full is None:
            continue
        full = np.broadcast_to(full, case.dys.shape)  # (K, *y.shape)
        inverse = np.divide(1.0, full, out=np.zeros(full.shape), where=full != 0)
        for variant, what in ((full, "has a factor too many"), (inverse, "lacks a factor")):
            if c := ratio(case.got, (case.dys * variant).reshape(K, -1) @ case.columns.T):
                text = f"d{case.name} {what} at the output of the function, where dy comes in: {name}"
                return signed(Verdict("elementwise-factor", text), c)
        again = [case.redo(dy * f) for dy, f in zip(case.dys, full, strict=True)]
        again = [g for g in again if g is not None and g.shape == case.shape]
        if len(again) == K and (c := ratio(case.expected, np.stack([case.pick(g) for g in again if g is not None]))):
            text = f"d{case.name} lacks a factor: multiply dy by {number(c)}{name} before anything else"
            return signed(Verdict("elementwise-factor", text), c)
    return None


def one_array_for_another(case: Case) -> Verdict | None:
    """expected = c * got * a / b for two arrays in play: the right formula at the wrong array."""
    right, wrong = ([(n, a) for n, a in factors(case) if same_zeros(a, side)] for side in (case.expected, case.got))
    if not right or not wrong:
        return None
    wanted, given = (
        [(side * a).ravel() for _, a in some] for side, some in ((case.expected, wrong), (case.got, right))
    )
    for i, j in parallel(given, wanted):
        if right[i][0] != wrong[j][0] and (c := ratio(wanted[j], given[i])):
            text = f"d{case.name} uses {wrong[j][0]} where {number(c)}{right[i][0]} belongs"
            return signed(Verdict("elementwise-factor", text), c)
    return None


def same_zeros(a: np.ndarray, gradient: np.ndarray) -> bool:
    """Can a be a factor of this gradient: is it zero in the same places?"""
    return np.array_equal(a == 0, gradient == 0)


def parallel(one: list[np.ndarray], other: list[np.ndarray]) -> np.ndarray:
    """The pairs i, j for which one[i] and other[j] are about parallel, (any, 2): all at once, to be judged singly."""
    a, b = (np.stack(rows) for rows in (one, other))
    a, b = (rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-300) for rows in (a, b))
    return np.argwhere(np.abs(a @ b.T) > 1 - 1e-9)


def unnamed_factor(case: Case) -> Verdict | None:
    """got / expected is the same array for every upstream gradient, but none that is in play."""
    expected, got = case.expected, case.got
    seen = np.abs(expected) > 1e-9 * np.abs(expected).max()  # (K, m)
    if case.row_by_row or np.abs(got[~seen]).max(initial=0) > EXPLAINED * np.abs(got).max():
        return None
    r = (got / np.where(seen, expected, 1.0))[:, seen.all(axis=0)]  # (K, some)
    if not r.size or (np.ptp(r, axis=0) > EXPLAINED * np.abs(r).max()).any():
        return None
    off = r[0][np.abs(r[0] - 1) > EXPLAINED]
    if not off.size:
        return None
    which = f"{off.size} of {r.shape[1]} entries are" if off.size < r.shape[1] else "every entry is"
    multiple = f"{off[0]:.6g}" if np.ptp(off) < EXPLAINED else f"between {off.min():.4g} and {off.max():.4g}"
    text = f"in d{case.name} {which} what it should be times a number of its own ({multiple}), whatever dy is"
    return Verdict("elementwise-factor", f"{text}; it is none of the arrays in play: look for the wrong array or index")
