"""What is missing further inside: a path through one of the layers above, the sum in the softmax of an attention.

What arrives at a layer above is known where the gradient of a bias there is right: for one row it is that gradient.

Sizes: m entries that were measured, M entries of y that were asked, J units, K units of the layer above, B rows.
"""

from collections.abc import Callable, Iterator

import numpy as np

from scratchvae.checks.vjp.case import EXPLAINED, Case, Claim, Seen, ratio
from scratchvae.checks.vjp.word import ONE, Word

TWICE = {1.0: "missing", 2.0: "subtracted"}  # how often what came through the path has to be added


def a_path_above(case: Case, seen: Seen) -> Iterator[Claim]:
    """right - got = p * slope * (W^T what arrives above): the way through W is missing, or has the wrong sign."""
    if not seen.fits or not seen.linear or len(case.shape) > 1:
        return
    left = seen.right - seen.got  # (m, M)
    slopes = [word for word in case.words if word.name.startswith("the slope")]
    for W, above, path in paths(case):
        for unit, passed in places(case, seen, path):  # (m,), (m, M) each
            for slope in [ONE, *slopes]:
                if (a := at_units(case, slope, unit, path.shape[1])) is None:
                    continue
                c = ratio(left, passed * a)
                if c and (how := TWICE.get(round(c, 6))) and seen.explained(left - c * passed * a):
                    yield Claim("missing-term", "path above", (slope,), detail=(W, above, how), cost=2.0 + slope.cost)


def paths(case: Case) -> Iterator[tuple[str, str, np.ndarray]]:
    """A matrix that leads up, the bias there, and what would come down through it, (M, J)."""
    for above, gradients in case.around.items():
        arrives = gradients.reshape(len(gradients), -1)  # (M, K)
        if gradients[0].ndim == 0 or max(gradients.shape[1:]) != arrives.shape[1] or not arrives.any():
            continue
        for name, W in case.weights.items():
            if W.ndim == 2 and name != above and arrives.shape[1] in W.shape:
                if W.shape[1] == arrives.shape[1]:
                    yield name, above, arrives @ W.T
                if W.shape[0] == arrives.shape[1]:
                    yield name, above, arrives @ W


def places(case: Case, seen: Seen, path: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For every entry the unit that it belongs to, (m,), and p times what comes down to that unit, (m, M)."""
    J, size = path.shape[1], int(np.prod(seen.shape))
    if seen.shape and max(seen.shape) == size == J:
        yield seen.entries, path[:, seen.entries].T
    if len(seen.shape) == 2 and J in seen.shape:
        at = np.unravel_index(seen.entries, seen.shape)
        for axis in {a for a in (0, 1) if seen.shape[a] == J}:
            for p in case.arrays.values():
                rows = p if axis == 1 else p.T  # (B, I)
                if p.ndim == 2 and rows.shape[1] == seen.shape[1 - axis] and len(rows) == rows_of(case):
                    yield at[axis], rows[row_of(case)][:, at[1 - axis]].T * path[:, at[axis]].T


def rows_of(case: Case) -> int:
    return case.shape[0] if case.shape else 1


def row_of(case: Case) -> np.ndarray:
    """The row that every output belongs to, (M,)."""
    return np.unravel_index(case.outs, case.shape)[0] if case.shape else np.zeros(len(case.outs), int)


def at_units(case: Case, word: Word, unit: np.ndarray, J: int) -> np.ndarray | None:
    """A word of the shape (B, J) or (J, B) for every entry and output, (m, M)."""
    if word == ONE:
        return np.ones((1, 1))
    a = case.values[word.name]
    if a.shape == (rows_of(case), J):
        return a[row_of(case)][:, unit].T
    if a.shape == (J, rows_of(case)):
        return a[unit][:, row_of(case)]
    return None


def a_sum_inside(case: Case, seen: Seen) -> Iterator[Claim]:
    """right - got is diag(c) A p, or A^T diag(c) p, for some c, an array p, and an A whose rows are shares.

    That is what an attention gets that has forgotten the sum over the row in the gradient of its softmax, A.

    Shapes    A (..., R, T), p (..., T, D) or (..., R, D).
    """
    if not seen.fits or not seen.linear or len(seen.shape) < 2 or len(seen.entries) < np.prod(seen.shape):
        return
    left = (seen.right - seen.got).T.reshape(-1, *seen.shape)  # (M, ..., I, J)
    arrays = {name: a for name, a in case.arrays.items() if a.ndim == len(seen.shape)}
    for name, A in arrays.items():
        for p in arrays.values() if are_shares(A) else ():
            if (
                p is not A
                and p.shape[:-2] == A.shape[:-2] == seen.shape[:-2]
                and (is_weighed(left, A, p) or is_weighed_back(left, A, p))
            ):
                yield Claim("missing-term", "sum inside", detail=(name,), cost=2.5)
                break


def are_shares(A: np.ndarray) -> bool:
    return A.shape[-1] > 1 and bool((A >= 0).all() and np.abs(A.sum(axis=-1) - 1).max() < 1e-9)


def is_weighed(left: np.ndarray, A: np.ndarray, p: np.ndarray) -> bool:
    """Is left = diag(c) A p, (M, ..., R, D)?"""
    if A.shape[-1] != p.shape[-2] or left.shape[-2:] != (A.shape[-2], p.shape[-1]) or p.shape[-1] < 2:
        return False
    rows = A @ p  # (..., R, D)
    c = (left * rows).sum(axis=-1, keepdims=True) / (rows * rows).sum(axis=-1, keepdims=True)
    return bool(np.abs(left - c * rows).max() <= EXPLAINED * np.abs(left).max())


def is_weighed_back(left: np.ndarray, A: np.ndarray, p: np.ndarray) -> bool:
    """Is left = A^T diag(c) p, (M, ..., T, D), with more numbers than there are in c?"""
    R, T, D = *A.shape[-2:], p.shape[-1]
    if p.shape[-2] != R or left.shape[-2:] != (T, D) or T * D < R + 2:
        return False
    table = (A[..., :, :, None] * p[..., :, None, :]).reshape(-1, R, T * D).swapaxes(1, 2)  # (N, T D, R)
    target = left.reshape(len(left), -1, T * D).transpose(1, 2, 0)  # (N, T D, M)
    over = max(np.abs(t - a @ np.linalg.lstsq(a, t, rcond=None)[0]).max() for a, t in zip(table, target, strict=True))
    return bool(over <= EXPLAINED * np.abs(left).max())


def a_word_inside(case: Case, seen: Seen) -> Iterator[Claim]:
    """right = S^T p and got = (S u)^T p, or the other way round, for words S and u and an array p; y is a number."""
    if case.shape or not seen.fits or not seen.linear or len(seen.shape) != 2 or not seen.got.any():
        return
    words = [(word, a) for word in case.words if (a := case.values[word.name]).ndim == 2]
    masks = [(word, a) for word, a in words if np.array_equal(a, a != 0)]
    got, left = seen.got, seen.right - seen.got  # (m, 1) each
    for name, p in case.arrays.items():
        for word, S in words if p.ndim == 2 and name != seen.name else ():
            for turn in (lambda S, p: S.T @ p, lambda S, p: p.T @ S, lambda S, p: S @ p, lambda S, p: p @ S):
                for mine, other, lacks in ((got, seen.right, True), (seen.right, got, False)):
                    c = fitted(seen, mine, S, p, turn)
                    for u, a in words if c else ():
                        if a.shape == S.shape and u != word and same_number(c, fitted(seen, other, S * a, p, turn)):
                            yield Claim("elementwise-factor", "inside", (u,), detail=(name, lacks), cost=2.2 + u.cost)
                for u, a in masks if word.name in case.arrays else ():
                    if a.shape == S.shape and (c := fitted(seen, left, S * a, p, turn)):
                        detail = (name, False, word.name)
                        yield Claim("elementwise-factor", "inside", (u,), "", c, detail, cost=2.4 + u.cost)


def same_number(a: float | None, b: float | None) -> bool:
    return a is not None and b is not None and abs(a - b) <= EXPLAINED * abs(b)


def fitted(
    seen: Seen, values: np.ndarray, S: np.ndarray, p: np.ndarray, turn: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> float | None:
    """The number c with values = c times this product, if its shape is the input's."""
    for shape in (S.shape, S.shape[::-1]):
        if shape[-1] in p.shape or shape[0] in p.shape:
            try:
                product = turn(S, p)
            except ValueError:
                return None
            return ratio(values, seen.picked([product])) if product.shape == seen.shape else None
    return None


HYPOTHESES = (a_path_above, a_sum_inside, a_word_inside)
