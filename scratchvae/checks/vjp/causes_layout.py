"""The right numbers in the wrong place: none at all, another shape, a transpose, some rows of the batch only.

Sizes: m entries that were measured, M entries of y that were asked, B rows.
"""

import itertools
from collections.abc import Callable, Iterator

import numpy as np

from scratchvae.checks.vjp.case import EXPLAINED, Case, Claim, Seen, aligned, ratio, repairs
from scratchvae.checks.vjp.word import ONE


def nothing_there(case: Case, seen: Seen) -> Iterator[Claim]:
    """No gradient, or zeros."""
    if any(g is None for g in seen.raw):
        yield Claim("zero", "none", cost=0.5)
    elif seen.fits and not seen.got.any():
        yield Claim("zero", "zeros", cost=0.5)


def another_shape(case: Case, seen: Seen) -> Iterator[Claim]:
    """Not the shape of the input: transposed, a sum too few, a sum too many, or an axis of length 1."""
    raw = [g for g in seen.raw if g is not None]
    if len(raw) < len(seen.raw) or seen.fits or len({g.shape for g in raw}) > 1:
        return
    shape, extra = raw[0].shape, raw[0].ndim - len(seen.shape)
    claim = Claim("shape", "shape", cost=3.0)

    def repaired(repair: Callable[[np.ndarray], np.ndarray]) -> float | None:
        return repairs(seen, seen.picked([repair(g) for g in raw]))

    if len(shape) == 2 and shape[::-1] == seen.shape and (c := repaired(np.transpose)):
        yield claim._replace(cause="transpose", kind="transposed shape", factor=c, cost=1.0)
    rows = extra > 0 and shape[extra:] == seen.shape and max(shape[:extra]) > 1
    if rows and (c := repaired(lambda g: g.sum(axis=tuple(range(extra))))):
        if len(case.shape) > 2 and extra < len(case.shape) - 1:
            yield claim._replace(kind="summed too little", factor=c, cost=1.0)
        else:
            yield claim._replace(cause="batch-sum", kind="not summed", factor=c, cost=1.0)
    columns = len(shape) == len(seen.shape) == 2 and shape[0] == seen.shape[0] and seen.shape[1] == 1  # features first
    if columns and (c := repaired(lambda g: g.sum(axis=1, keepdims=True))):
        yield claim._replace(cause="batch-sum", kind="not summed", factor=c, cost=1.0)
    if raw[0].size == np.prod(seen.shape) and (c := repaired(lambda g: g.reshape(seen.shape))):
        yield claim._replace(kind="axis of length 1", factor=c, cost=1.1)
    if sums_to(seen, raw):
        yield claim._replace(kind="summed away", cost=1.2)
    yield claim


def sums_to(seen: Seen, raw: list[np.ndarray]) -> bool:
    """Is got, of a smaller shape, the expected gradient summed over one axis or all of them?"""
    if len(seen.entries) < np.prod(seen.shape):
        return False
    full = seen.right.T.reshape(-1, *seen.shape)  # (M, *shape)
    got = np.stack([np.ravel(g) for g in raw]) / seen.scale[:, None]  # (M, few)
    for axes in (*((a + 1,) for a in range(len(seen.shape))), tuple(range(1, full.ndim))):
        total = full.sum(axis=axes).reshape(len(full), -1)
        if total.shape == got.shape and ratio(total, got):
            return True
    return False


def another_order(case: Case, seen: Seen) -> Iterator[Claim]:
    """What came back for another wrong input belongs to this one; or this one got what belongs to a right one."""
    for name, other in case.seen.items():
        if name != seen.name and all(g is not None and g.shape == seen.shape for g in other.raw):
            c = repairs(seen, seen.picked(other.raw))
            if c and abs(c - 1) < EXPLAINED:
                yield Claim("transpose", "another order")
    for name, gradients in case.around.items():
        if seen.fits and gradients.shape[1:] == seen.shape and seen.got.any():
            c = ratio(seen.got, seen.picked(gradients) * seen.scale)
            if c and abs(c - 1) < EXPLAINED:
                yield Claim("transpose", "another's", detail=(name,), cost=2.2)


def transposed(case: Case, seen: Seen) -> Iterator[Claim]:
    """Only square matrices can hide it."""
    square = seen.fits and len(seen.shape) == 2 and seen.shape[0] == seen.shape[1]
    if square and (c := repairs(seen, seen.picked([np.transpose(g) for g in seen.raw if g is not None]))):
        yield Claim("transpose", "transposed", factor=c)


def part_transposed(case: Case, seen: Seen) -> Iterator[Claim]:
    """What is off is a matrix less its transpose: of two terms one is transposed."""
    square = len(seen.shape) == 2 and seen.shape[0] == seen.shape[1] > 2 and len(seen.entries) == np.prod(seen.shape)
    if not square or not seen.fits or not seen.linear:
        return
    off = (seen.right - seen.got).reshape(*seen.shape, -1)  # (n, n, M)
    if off.any() and np.abs(off + off.swapaxes(0, 1)).max() <= EXPLAINED * np.abs(off).max():
        yield Claim("transpose", "part transposed", cost=1.6)


def another_product(case: Case, seen: Seen) -> Iterator[Claim]:
    """right is a product of dy and a matrix in play, and got another one."""
    if not seen.fits or not seen.linear or ratio(seen.right, seen.got):
        return
    rights = list(products_that_give(case, seen, seen.right))
    for wrong, b, _ in products_that_give(case, seen, seen.got) if rights else ():
        for right, a, c in rights:
            cause = "transpose" if a == b else "elementwise-factor"
            yield Claim(cause, "another product", detail=(wrong, right), factor=c, cost=1.1 + (a != b))


def products_that_give(case: Case, seen: Seen, values: np.ndarray) -> Iterator[tuple[str, str, float]]:
    """The products of dy and a matrix in play that give these values up to a constant: formula, matrix, constant."""
    for name, a in case.arrays.items():
        for formula, term in products(case, seen, name, a):
            if c := ratio(values, term):
                yield formula, name, c


def products(case: Case, seen: Seen, name: str, a: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """The matrix products of dy and a, either one transposed or not, that have the input's shape; (m, M) each."""
    if a.ndim != 2 or len(case.shape) != 2 or len(seen.shape) != 2:
        return
    turned: dict[str, Callable[[np.ndarray], np.ndarray]] = {"": lambda m: m, "^T": lambda m: m.swapaxes(-1, -2)}
    for (s, turn_dy), (t, turn_a) in itertools.product(turned.items(), turned.items()):
        dy, matrix = (f"dy{s}", turn_dy(case.dys)), (f"{name}{t}", turn_a(a))
        for (first, p), (second, q) in ((dy, matrix), (matrix, dy)):
            if p.shape[-1] == q.shape[-2] and (p.shape[-2], q.shape[-1]) == seen.shape:
                yield f"{first} @ {second}", seen.picked(p @ q) * seen.scale


def jacobian_for_its_transpose(case: Case, seen: Seen) -> Iterator[Claim]:
    """got_i = sum_j dy_i/dx_j dy_j, the derivative along dy, in place of sum_j dy_j/dx_i dy_j."""
    n = int(np.prod(seen.shape))
    if not seen.fits or not seen.linear or seen.right.shape != (n, n) or not case.whole:
        return
    if (c := ratio(seen.got, seen.right.T)) and not ratio(seen.got, seen.right):
        yield Claim("transpose", "jacobian", factor=1 / c, cost=1.2)


def diagonal_only(case: Case, seen: Seen) -> Iterator[Claim]:
    """got_i = dy_i/dx_i dy_i: right for a function of each entry, but here an output depends on several entries."""
    own = seen.entries[:, None] == case.outs[None]  # (m, M)
    several = seen.fits and seen.linear and seen.shape == case.shape and seen.right[~own].any()
    if several and ratio(seen.got, np.where(own, seen.right, 0.0)):
        yield Claim("missing-term", "diagonal", cost=1.2)


def untransposed(case: Case, seen: Seen) -> Iterator[Claim]:
    """right = s W^T and got = s W for one s, or the other way round: W square, so that no shape tells.

    Whatever s is: it is solved for. It may still be multiplied by a slope, as behind a hidden layer.
    """
    if not seen.fits or not seen.linear or not seen.shape or len(seen.entries) < np.prod(seen.shape):
        return
    slopes = [word for word in case.words if word.name.startswith("the slope") and (case.values[word.name] != 0).all()]
    for name, W in case.arrays.items():
        spans = [spanned_with_its_transpose(M) for M in (W, W.T)] if square(W) else []
        for axis in {0, len(seen.shape) - 1} if spans else ():
            for word in [ONE, *slopes] if seen.shape[axis] == len(W) else ():
                full = aligned(np.ones(()) if word == ONE else case.values[word.name], seen.shape)
                if full is None:
                    continue
                right, got = (
                    np.moveaxis(a.T.reshape(-1, *seen.shape) / full, axis + 1, 0).reshape(len(W), -1)
                    for a in (seen.right, seen.got)
                )  # (n, any)
                both = np.concatenate([right, got])  # (2 n, any)
                if any(np.abs(both - U @ (U.T @ both)).max() <= EXPLAINED * np.abs(both).max() for U in spans):
                    yield Claim("transpose", "untransposed", (word,), detail=(name,), cost=1.3 + word.cost)


def is_one(c: float | None) -> bool:
    return c is not None and abs(c - 1) < EXPLAINED


def spanned_with_its_transpose(M: np.ndarray) -> np.ndarray:
    """U (2 n, rank), orthonormal: right = M s and got = M^T s for one s if right over got is in what U spans."""
    U, s, _ = np.linalg.svd(np.concatenate([M, M.T]), full_matrices=False)
    return U[:, s > 1e-12 * s[0]]


def square(W: np.ndarray) -> bool:
    """A matrix that is not its own transpose."""
    if W.ndim != 2 or W.shape[0] != W.shape[1] or len(W) < 2:
        return False
    return bool(np.abs(W - W.T).max() > EXPLAINED * np.abs(W).max())


def turned_inside(case: Case, seen: Seen) -> Iterator[Claim]:
    """right = S^T p and got = S p for one S, whatever it is, and an array p in play: the scores of an attention.

    Shapes    p (..., T, D), S (..., T, T).
    """
    if not seen.fits or not seen.linear or len(seen.shape) < 2 or len(seen.entries) < np.prod(seen.shape):
        return
    right, got = (a.T.reshape(-1, *seen.shape) for a in (seen.right, seen.got))
    for name, p in case.arrays.items():
        if p.shape != seen.shape or name == seen.name or seen.shape[-2] < 2 or ratio(right, got):
            continue
        for S in (scores_of_a_row(case, right, p), np.swapaxes(got @ np.linalg.pinv(p), -1, -2)):
            if S is not None and is_one(ratio(right, S @ p)) and is_one(ratio(got, np.swapaxes(S, -1, -2) @ p)):
                yield Claim("transpose", "turned inside", detail=(name,), cost=1.6)
                break


def scores_of_a_row(case: Case, right: np.ndarray, p: np.ndarray) -> np.ndarray | None:
    """The S^T with right = S^T p, (M, ..., T, T), where an output of row i comes from row i of the scores alone."""
    if case.shape[:-1] != p.shape[:-1]:
        return None
    S = np.zeros((len(right), *p.shape[:-1], p.shape[-2]))
    for o, place in enumerate(zip(*np.unravel_index(case.outs, case.shape), strict=True)):
        *batch, i, _ = place
        row = p[(*batch, i)]  # (D,)
        S[(o, *batch, slice(None), i)] = right[(o, *batch)] @ row / (row @ row)
    return S


def shuffled(case: Case, seen: Seen) -> Iterator[Claim]:
    """The right numbers in another order: of the entries of dy where it enters, or of those of the input."""
    if not seen.fits or not seen.linear:
        return
    if case.whole and same_columns(seen.got, seen.right):
        yield Claim("transpose", "shuffled", place="out", cost=2.5)
    if len(seen.entries) == np.prod(seen.shape) and same_columns(seen.got.T, seen.right.T):
        yield Claim("transpose", "shuffled", place="in", cost=2.6)


def same_columns(got: np.ndarray, right: np.ndarray) -> bool:
    """Are the columns of got those of right in another order, those that are not 0?"""
    there, mine = (np.flatnonzero(np.abs(a).max(axis=0) > EXPLAINED * np.abs(right).max()) for a in (right, got))
    if len(there) != len(mine) or len(there) < 3 or right.shape[0] * len(there) ** 2 > 2e6:
        return False
    distance = np.abs(got[:, mine][:, :, None] - right[:, there][:, None, :]).max(axis=0)
    fits = distance <= EXPLAINED * np.abs(right).max()  # (mine, there)
    if not ((fits.sum(axis=0) == 1).all() and (fits.sum(axis=1) == 1).all()):
        return False
    return not np.array_equal(there[fits.argmax(axis=1)], mine)


HYPOTHESES = (
    nothing_there,
    another_shape,
    another_order,
    transposed,
    part_transposed,
    another_product,
    jacobian_for_its_transpose,
    diagonal_only,
    untransposed,
    turned_inside,
    shuffled,
)
