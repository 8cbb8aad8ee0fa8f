"""The right numbers in the wrong place: none at all, another shape, a transpose, some rows of the batch only."""

import itertools
from collections.abc import Callable, Iterator

import numpy as np

from scratchvae.checks.vjp.case import EXPLAINED, Case, Verdict, ratio
from scratchvae.checks.vjp.sentences import times


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


def another_order(case: Case) -> Verdict | None:
    """What came back for another input belongs to this one."""
    for name, gots in case.others.items():
        if all(g is not None and g.shape == case.shape for g in gots):
            c = ratio(case.expected, np.stack([case.pick(g) for g in gots if g is not None]))
            if c and abs(c - 1) < EXPLAINED:
                text = f"what comes back as d{name} is d{case.name}: return the gradients in the order of the inputs"
                return Verdict("transpose", text)
    return None


def transposed(case: Case) -> Verdict | None:
    """Only square matrices can hide it: the result transposed, or the Jacobian where its transpose belongs."""
    if len(case.shape) == 2 and case.shape[0] == case.shape[1] and (c := repaired_by(case, np.transpose)):
        text = f"d{case.name} is the transpose of what it should be; the matrix is square, so the shapes do not tell"
        return times(Verdict("transpose", text), c)
    return None


def wrong_product(case: Case) -> Verdict | None:
    """expected is a product of dy and a matrix in play, and got another one."""
    found = {side: product_of(case, values) for side, values in (("right", case.expected), ("wrong", case.got))}
    if found["right"] is None or found["wrong"] is None:
        return None
    (right, a), (wrong, b) = found["right"], found["wrong"]
    text = f"d{case.name} is {wrong}, and should be {right}"
    return Verdict("transpose", text) if a == b else Verdict("elementwise-factor", f"{text}: {b} where {a} belongs")


def product_of(case: Case, values: np.ndarray) -> tuple[str, str] | None:
    """The product of dy and a matrix in play that gives these values up to a constant: its formula, the matrix."""
    for name, a in case.arrays.items():
        for formula, term in products(case, name, a):
            if ratio(values, term):
                return formula, name
    return None


def products(case: Case, name: str, a: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """The matrix products of dy and a, either one transposed or not, that have the input's shape; (K, m) each."""
    if a.ndim != 2 or case.dys.ndim != 3 or len(case.shape) != 2:
        return
    turned = {"": lambda m: m, "^T": lambda m: m.swapaxes(-1, -2)}
    for (s, turn_dy), (t, turn_a) in itertools.product(turned.items(), turned.items()):
        left, right = {f"dy{s}": turn_dy(case.dys)}, {f"{name}{t}": turn_a(a)}
        for (first, p), (second, q) in ((*left.items(), *right.items()), (*right.items(), *left.items())):
            if p.shape[-1] == q.shape[-2] and (p.shape[-2], q.shape[-1]) == case.shape:
                yield f"{first} @ {second}", np.stack([case.pick(term) for term in p @ q])


def jacobian_for_its_transpose(case: Case) -> Verdict | None:
    """got_i = sum_j dy_i/dx_j dy_j, the derivative along dy, in place of sum_j dy_j/dx_i dy_j."""
    if case.columns.shape != (int(np.prod(case.shape)),) * 2 or len(case.entries) != np.prod(case.shape):
        return None
    if not ratio(case.got, case.dys.reshape(len(case.dys), -1) @ case.columns):
        return None
    text = (
        f"d{case.name} is the Jacobian times dy, and should be its transpose times dy: W^T for W, or the sum reversed"
    )
    return Verdict("transpose", text)


def diagonal_only(case: Case) -> Verdict | None:
    """got_i = dy_i/dx_i dy_i: right for a function of each entry, but here an output depends on several entries."""
    if case.dys.shape[1:] != case.shape:
        return None
    diagonal = case.columns[np.arange(len(case.entries)), case.entries]  # (m,)
    if not ratio(case.got, case.dys.reshape(len(case.dys), -1)[:, case.entries] * diagonal):
        return None
    text = f"d{case.name} treats each output as a function of its own entry of {case.name}; the others count too"
    return Verdict("missing-term", f"{text}: a sum over the outputs is missing")


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
