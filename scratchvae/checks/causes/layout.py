"""The right numbers in the wrong place: none at all, another shape, a transpose, some rows of the batch only."""

from collections.abc import Callable

import numpy as np

from scratchvae.checks.causes.case import EXPLAINED, Case, Verdict, ratio
from scratchvae.checks.causes.sentences import times


def nothing_there(case: Case) -> Verdict | None:
    if any(g is None for g in case.gots):
        text = (
            f"backward returns no gradient for {case.name}, so it would never be trained (does a zip stop short, or is "
            "a key missing?); if it is no input but a constant, hand it in as one"
        )
    elif not any(np.any(g) for g in case.gots):
        text = f"d{case.name} is zero everywhere, but y does depend on {case.name}: it would never be trained"
    else:
        return None
    return Verdict("zero", text)


def another_shape(case: Case) -> Verdict | None:
    """Not the shape of the input: transposed, a sum too few, a sum too many, or an axis of length 1."""
    got = case.gots[0]
    if got is None or got.shape == case.shape:
        return None
    text = f"d{case.name} has the shape {got.shape} but {case.name} has {case.shape}"
    if got.ndim == 2 and got.T.shape == case.shape and (c := repaired_by(case, np.transpose)):
        return times(Verdict("transpose", f"{text}: transpose it, or swap the two factors of the product"), c)
    extra = got.ndim - len(case.shape)
    a_row_each = extra > 0 and got.shape[extra:] == case.shape and min(got.shape[:extra]) > 1
    if a_row_each and (c := repaired_by(case, lambda g: g.sum(axis=tuple(range(extra))))):
        text += f": every row uses the same {case.name}, so the rows add up; sum over the batch, .sum(axis=0)"
        return times(Verdict("batch-sum", text), c)
    if got.size == np.prod(case.shape):
        c = repaired_by(case, lambda g: g.reshape(case.shape))
        how = "the numbers are right, but an update would broadcast silently" if c else "and the numbers differ too"
        return times(Verdict("shape", f"{text}: {how}; return the shape of {case.name}"), c or 1.0)
    if sums_to(case, got.shape):
        return Verdict("shape", f"{text}: it was summed over an axis too many", also="batch-sum")
    return Verdict("shape", f"{text}: a gradient has the shape of what it belongs to")


def repaired_by(case: Case, repair: Callable[[np.ndarray], np.ndarray]) -> float | None:
    """The number c with expected = c * repair(got), for all upstream gradients."""
    return ratio(case.expected, np.stack([case.pick(repair(g)) for g in case.gots if g is not None]))


def sums_to(case: Case, shape: tuple[int, ...]) -> bool:
    """Is got, of a smaller shape, the expected gradient summed over one axis or all of them?"""
    if len(case.entries) < np.prod(case.shape):
        return False
    full = case.expected.reshape(-1, *case.shape)  # (K, *shape)
    got = np.stack([np.ravel(g) for g in case.gots if g is not None])  # (K, few)
    for axes in (*((a + 1,) for a in range(len(case.shape))), tuple(range(1, full.ndim))):
        total = full.sum(axis=axes).reshape(len(full), -1)
        if total.shape == got.shape and ratio(total, got):
            return True
    return False


def transposed(case: Case) -> Verdict | None:
    """Only square matrices can hide it: the result transposed, or W where its transpose belongs."""
    if len(case.shape) != 2:
        return None
    if case.shape[0] == case.shape[1] and (c := repaired_by(case, np.transpose)):
        text = f"d{case.name} is the transpose of what it should be; the matrix is square, so the shapes do not tell"
        return times(Verdict("transpose", text), c)
    for name, W in case.arrays.items():
        if W.ndim == 2 and W.shape[0] == W.shape[1] == case.shape[1] and case.dys.shape[1:] == case.shape:
            for right, wrong, rule in ((W.T, W, f"{name}^T"), (W, W.T, name)):
                products = [np.stack([case.pick(dy @ w) for dy in case.dys]) for w in (right, wrong)]
                if ratio(case.expected, products[0]) and ratio(case.got, products[1]):
                    text = f"d{case.name} multiplies dy with {name} the wrong way round: it should be dy @ {rule}"
                    return Verdict("transpose", text)
    return None


def wrong_axis(case: Case) -> Verdict | None:
    """dy (B,) meets (B, D) without [:, None]: if B = D it broadcasts along the columns, and no shape tells."""
    B = case.dys.shape[-1]
    if case.dys.ndim != 2 or case.shape != (B, B):
        return None
    along_rows, along_columns = (
        np.stack([case.pick(dy) for dy in case.dys.reshape(len(case.dys), *axes)]) for axes in ((B, 1), (1, B))
    )
    if not ratio(case.expected * along_columns, case.got * along_rows):
        return None
    text = f"in d{case.name} the {B} numbers of dy, one a row, meet the columns and broadcast: write dy[:, None]"
    return Verdict("shape", text)


def some_rows(case: Case) -> Verdict | None:
    """expected sums the contributions of all rows; got is made of some of them, or weighs them."""
    K, B, m = len(case.dys), case.dys.shape[1] if case.dys.ndim > 1 else 1, len(case.entries)
    if B < 2 or K * m < 2 * B:
        return None
    rows = np.einsum("kbj,mbj->kmb", case.dys.reshape(K, B, -1), case.columns.reshape(m, B, -1))
    if not case.row_by_row and (np.count_nonzero(rows, axis=2) < 2).all():  # an entry belongs to one row: no sum
        return None
    weights, *_ = np.linalg.lstsq(rows.reshape(-1, B), case.got.ravel(), rcond=None)  # (B,)
    if np.abs(rows @ weights - case.got).max() > EXPLAINED * np.abs(case.got).max():
        return None
    used = [str(b) for b in range(B) if abs(weights[b]) > EXPLAINED]
    which = "the rows with unequal weights"
    if len(used) < B:
        which = f"only {'row' if len(used) == 1 else 'rows'} {', '.join(used)} of the {B} in the batch"
    text = f"d{case.name} counts {which}: it should be the sum over all rows, each with weight 1"
    return Verdict("batch-sum", text)
