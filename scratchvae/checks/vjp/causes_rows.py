"""The rows of a batch: some do not count, or count twice, or meet where they should not.

Sizes: m entries that were measured, M entries of y that were asked, B rows.
"""

from collections.abc import Iterator

import numpy as np

from scratchvae.checks.vjp.case import EXPLAINED, Case, Claim, Seen, ratio


def repeated_rows(case: Case, seen: Seen) -> Iterator[Claim]:
    """Only those rows are wrong whose number stands in an array of numbers more than once: += by an index."""
    if not seen.fits or len(seen.shape) < 1 or seen.shape[0] < 3:
        return
    rows = np.unravel_index(seen.entries, seen.shape)[0]
    off = np.abs(seen.right - seen.got).max(axis=1) > EXPLAINED * np.abs(seen.right).max()  # (m,)
    there = np.abs(seen.right).max(axis=1) > 0  # (m,)
    same = np.abs(seen.right - seen.got) <= EXPLAINED * np.abs(seen.right).max()  # (m, M)
    times = seen.right / np.where(seen.got == 0, np.inf, seen.got)  # (m, M)
    part = (np.abs(times - np.rint(times)) < EXPLAINED) & (times > 1.5)  # one of several that are alike
    kept = (same | (seen.got == 0) | part).all()  # why: what one of several writes over the others is gone
    wrong, right = set(rows[off].tolist()), set(rows[there & ~off].tolist()) - set(rows[off].tolist())
    for name, a in case.arrays.items():
        if a.size and (a == np.rint(a)).all() and a.min() >= 0 and a.max() < seen.shape[0] and name != seen.name:
            numbers, counts = np.unique(a, return_counts=True)
            several = dict(zip(numbers[counts > 1].astype(int).tolist(), counts[counts > 1].tolist(), strict=True))
            if not wrong or not right or wrong != several.keys() & (wrong | right):
                continue
            if kept or (seen.right.shape[1] == 1 and all(may_be_one(seen, rows == b, several[b]) for b in wrong)):
                yield Claim("batch-sum", "repeated rows", detail=(name,), cost=1.4)


def may_be_one(seen: Seen, row: np.ndarray, count: int) -> bool:
    """Of a single output: may what is there be one of so many, which differ, or are all alike?"""
    c = ratio(seen.got[row], seen.right[row])
    return c is None or abs(c * count - 1) < EXPLAINED


def wrong_axis(case: Case, seen: Seen) -> Iterator[Claim]:
    """dy (B,) meets (B, D) without [:, None]: if B = D it broadcasts along the columns, and no shape tells."""
    if len(case.shape) != 1 or case.shape[0] < 2 or seen.shape != case.shape * 2 or not seen.fits:
        return
    B = case.shape[0]
    rows, columns = (np.broadcast_to(case.dys.reshape(-1, *axes), (len(case.dys), B, B)) for axes in ((B, 1), (1, B)))
    along_rows, along_columns = (seen.picked(dy) * seen.scale for dy in (rows, columns))
    density = seen.right.sum(axis=1, keepdims=True)  # (m, 1)  what dy multiplies
    if seen.explained(seen.right - density * along_rows) and ratio(seen.got, density * along_columns):
        yield Claim("shape", "wrong axis", detail=(B,))


def some_rows(case: Case, seen: Seen) -> Iterator[Claim]:
    """right sums the contributions of all rows; got is made of some of them, or weighs them."""
    if not seen.fits or not seen.linear or not case.shape:
        return
    for axis in {0, len(case.shape) - 1}:
        row, B = np.unravel_index(case.outs, case.shape)[axis], case.shape[axis]
        if (
            B < 2
            or not has_rows(case, axis, B)
            or (np.count_nonzero(np.abs(seen.right).sum(axis=0)) < 2 * B and len(case.shape) > 1)
        ):
            continue
        each = np.stack([np.abs(seen.right[:, row == b]).sum(axis=1) for b in range(B)], axis=1)  # (m, B)
        own = (np.count_nonzero(each, axis=1) < 2).all()  # an entry belongs to one row: there is no sum
        weights = np.array([weight_of(seen, row == b) for b in range(B)])  # (B,)
        if np.isnan(weights).any() or np.ptp(weights) < 1e-4 * np.abs(weights).max():
            continue
        used = tuple(b for b in range(B) if abs(weights[b]) > 1e-6)
        kind = "some rows" if len(used) < B else "weighted rows"
        if not used:
            continue
        if len(used) < B and np.ptp(weights[list(used)]) > 1e-4:
            kind = "weighted rows"
        if own and kind == "weighted rows":
            continue
        detail = (axis, B, used, tuple(float(f"{w:.5g}") for w in weights) if kind == "weighted rows" else (), ())
        is_column = axis > 0 and seen.shape[:1] == case.shape[:1]  # why: then the rows are those of the input
        cause = "missing-term" if is_column and kind == "some rows" else "batch-sum"
        yield Claim(cause, kind, detail=detail, cost=1.5 if kind == "some rows" else 4.0)


def has_rows(case: Case, axis: int, B: int) -> bool:
    """Is an axis of y a batch, that other arrays have as well? Two outputs in one, as x and v, are none."""
    others = (a for arrays in (case.weights, case.arrays) for a in arrays.values() if a.shape != case.shape)
    own = any(a.shape == case.shape for a in case.weights.values())
    return own or any(a.ndim and a.shape[0 if axis == 0 else -1] == B for a in others)


def weight_of(seen: Seen, row: np.ndarray) -> float:
    """The number w with got = w * right in these outputs; NaN if there is none."""
    right, got = seen.right[:, row], seen.got[:, row]
    squares = float((right * right).sum())
    if not squares or np.count_nonzero(right) < 2:
        return np.nan
    w = float((right * got).sum()) / squares
    return w if np.abs(got - w * right).max() <= EXPLAINED * np.abs(seen.right).max() else np.nan


def averaged_upstream(case: Case, seen: Seen) -> Iterator[Claim]:
    """got is the same for every row that dy asks for: dy was averaged, or summed, before it met the rows."""
    if len(case.shape) != 1 or case.shape[0] < 2 or not case.whole or not seen.fits or not seen.linear:
        return
    B, total = case.shape[0], seen.right.sum(axis=1, keepdims=True)  # (m, 1)
    for what, k in (("averaged", 1 / B), ("summed", 1.0)):
        if seen.got.any() and np.abs(seen.got - k * total).max() <= EXPLAINED * np.abs(k * total).max():
            yield Claim("batch-sum", "upstream averaged", detail=(what,), cost=1.4)


def sum_of_the_units(case: Case, seen: Seen) -> Iterator[Claim]:
    """A bias of as many entries as there are rows got sums over the units: its entry b the sum of row b."""
    n = int(np.prod(seen.shape))
    if not seen.fits or not seen.linear or len(case.shape) not in (1, 2) or n < 2 or max(seen.shape, default=0) != n:
        return
    for axis in {0, len(case.shape) - 1}:
        row = np.unravel_index(case.outs, case.shape)[axis]  # (M,)
        if case.shape[axis] != n or len(seen.entries) < n:
            continue
        sums = np.where(seen.entries[:, None] == row[None], seen.right.sum(axis=0), 0.0)  # (n, M)
        if ratio(seen.got, sums) and not ratio(seen.got, seen.right):
            yield Claim("shape", "sum of the units", cost=1.3)


def coupled_rows(case: Case, seen: Seen) -> Iterator[Claim]:
    """No row of y depends on another row of the input, and got does: something is summed over a wrong axis."""
    if not seen.fits or not seen.linear or not case.shape or len(seen.shape) < 2:
        return
    for axis in (0, -1):
        if seen.shape[axis] != case.shape[axis] or case.shape[axis] < 2 or len(seen.shape) != len(case.shape):
            continue
        own = (
            np.unravel_index(seen.entries, seen.shape)[axis][:, None]
            == np.unravel_index(case.outs, case.shape)[axis][None]
        )  # (m, M)
        if not seen.right[~own].any() and np.abs(seen.got[~own]).max(initial=0) > EXPLAINED * np.abs(seen.got).max():
            yield Claim("shape", "coupled rows", detail=(axis,), cost=2.8)


HYPOTHESES = (repeated_rows, wrong_axis, some_rows, averaged_upstream, sum_of_the_units, coupled_rows)
