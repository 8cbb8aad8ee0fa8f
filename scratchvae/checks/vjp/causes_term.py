"""Gradients add wherever a value is used twice: a term, a path, a sum, or one term of the objective that is off.

Sizes: m entries that were measured, M entries of y that were asked, Z latents.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from scratchvae.checks.vjp.case import EXPLAINED, Case, Claim, Seen, aligned, ratio
from scratchvae.checks.vjp.causes_factor import is_nice, parallel
from scratchvae.checks.vjp.causes_layout import products
from scratchvae.checks.vjp.word import ONE, Word

PAIRED = 80  # words that are tried beside every other one, or beside every array: the simplest


def lacking(case: Case, seen: Seen) -> np.ndarray | None:
    """right - got, if that may be a term."""
    return seen.right - seen.got if seen.fits and seen.linear else None


def a_term(case: Case, seen: Seen) -> Iterator[Claim]:
    """right - got = c * dy * u for a word u, or dy alone, summed over the axes that the input lacks."""
    left = lacking(case, seen)
    if left is None:
        return
    for word in [ONE, *case.words]:
        term = spread_and_summed(case, seen, np.ones(()) if word == ONE else case.values[word.name])
        if term is not None and (c := ratio(left, term)) and seen.explained(left - c * term):
            mine = word != ONE and word.name == seen.name  # as of a penalty: the same slip for every weight
            yield Claim("missing-term", "term", (word,), factor=c, cost=1.5 + word.cost + odd(c))
            if mine:
                yield Claim("missing-term", "term of its own", factor=c, cost=1.4 + word.cost + odd(c))


def are_parts(case: Case, right: Any, got: Any) -> bool:
    """Are the outputs with a gradient, (M,) each, whole slices of y along an axis, and other ones?"""
    for index in np.unravel_index(case.outs, case.shape) if case.shape else ():
        ours, theirs = np.unique(index[right]), np.unique(index[got])
        whole = right[np.isin(index, ours)].all() and got[np.isin(index, theirs)].all()
        if whole and right.sum() > len(ours) and not np.isin(ours, theirs).any():
            return True
    return False


def the_other_half(case: Case, seen: Seen) -> Iterator[Claim]:
    """right and got are never both there, and together are c * dy * u: the mask is that of the other half."""
    if not seen.fits or not seen.linear or (seen.right * seen.got).any() or not (seen.right.any() and seen.got.any()):
        return
    if are_parts(case, seen.right.any(axis=0), seen.got.any(axis=0)):
        return  # why: of two outputs in one array, the one for the other
    both = seen.right + seen.got
    for word in [ONE, *case.words]:
        term = spread_and_summed(case, seen, np.ones(()) if word == ONE else case.values[word.name])
        if term is not None and ratio(both, term):
            yield Claim("elementwise-factor", "other half", (word,), cost=1.5 + word.cost)


def a_term_in_part(case: Case, seen: Seen) -> Iterator[Claim]:
    """The same in some rows or columns of the input alone, as where a penalty leaves out the biases."""
    left = lacking(case, seen)
    if left is None or len(seen.shape) not in (1, 2) or len(seen.entries) < np.prod(seen.shape):
        return
    off = (np.abs(left).max(axis=1) > EXPLAINED * np.abs(seen.right).max()).reshape(seen.shape[0], -1)
    for axis, what in ((0, "row"), (1, "column")) if len(seen.shape) == 2 else ((0, "entry"),):
        there = off.any(axis=1 - axis, keepdims=True)
        if there.all() or not np.array_equal(off, np.broadcast_to(there, off.shape)):
            continue
        numbers = np.flatnonzero(there)
        several = {"entry": "entries"}.get(what, f"{what}s")
        where = f"{several if len(numbers) > 1 else what} {', '.join(map(str, numbers))}"
        for word in [ONE, *case.words]:
            term = spread_and_summed(case, seen, np.ones(()) if word == ONE else case.values[word.name])
            if term is not None and (c := ratio(left, np.where(off.reshape(-1, 1), term, 0))):
                yield Claim("missing-term", "term in part", (word,), factor=c, detail=(where,), cost=2.2 + word.cost)


def a_term_inside(case: Case, seen: Seen) -> Iterator[Claim]:
    """The same in the gradient that arrives at a layer: right - got = c * sum over the rows of dy * p * u.

    p is what goes into the layer, and 1 for its bias.
    """
    left = lacking(case, seen)
    if left is None or len(case.shape) > 1 or not seen.shape:
        return
    for word in [ONE, *case.words]:
        for term in terms_inside(case, seen, np.ones((1, 1)) if word == ONE else case.values[word.name]):
            if (c := ratio(left, term)) and seen.explained(left - c * term):
                yield Claim("missing-term", "term inside", (word,), factor=c, cost=2.6 + word.cost + odd(c))
                if left.shape[1] == 1 and np.count_nonzero(left) > 2:  # why: of two numbers any word may be a multiple
                    yield Claim("missing-term", "multiple inside", (word,), cost=3.2 + word.cost)


def terms_inside(case: Case, seen: Seen, u: np.ndarray) -> Iterator[np.ndarray]:
    """The sum over the rows of dy * p * u, for every p in play, (m, M) each; u has the rows first, or last."""
    dys = case.dys.reshape(len(case.outs), -1, 1)  # (M, B, 1) or (M, 1, 1)
    for rows_last in (False, True):
        a = u.T if rows_last and u.ndim == 2 else u  # (B, J)
        if a.ndim == 2 and (dys.shape[1] == 1 or len(a) in (1, dys.shape[1])):
            yield from summed_for_a_bias(seen, dys * a)
            yield from summed_for_a_matrix(case, seen, dys * a, rows_last)


def summed_for_a_bias(seen: Seen, weighed: np.ndarray) -> Iterator[np.ndarray]:
    """The sum of the rows of (M, B, J), for an input that is one of them."""
    size = int(np.prod(seen.shape))
    if max(seen.shape) == size and weighed.shape[2] in (1, size):
        total = np.broadcast_to(weighed.sum(axis=1), (len(weighed), size))
        yield seen.picked(total.reshape(-1, *seen.shape)) * seen.scale


def summed_for_a_matrix(case: Case, seen: Seen, weighed: np.ndarray, rows_last: bool) -> Iterator[np.ndarray]:
    """p^T (M, B, J) for every p in play that has as many rows, for an input (I, J), and its transpose for (J, I)."""
    if len(seen.shape) != 2:
        return
    for p in (a.T if rows_last else a for a in case.arrays.values() if a.ndim == 2):
        if weighed.shape[1] not in (1, len(p)):
            continue
        for I, J, turned in ((*seen.shape, False), (*seen.shape[::-1], True)):  # noqa: E741
            if p.shape[1] == I and weighed.shape[2] in (1, J):
                product = np.einsum("mbj,bi->mij", np.broadcast_to(weighed, (len(weighed), len(p), J)), p)
                yield seen.picked(product.swapaxes(1, 2) if turned else product) * seen.scale


def odd(c: float) -> float:
    """A constant that is no 1, 2 or 1/2 makes a claim less likely."""
    return 0.0 if is_nice(c) else 0.3


def spread_and_summed(case: Case, seen: Seen, a: np.ndarray) -> np.ndarray | None:
    """dy * a, spread over the axes that dy lacks and summed over those that the input lacks, (m, M)."""
    dys = case.dys  # (M, *y.shape)
    target = max((case.shape, a.shape, seen.shape), key=len)
    if dys[0].shape == target[: dys[0].ndim]:
        dys = dys.reshape(*dys.shape, *(1,) * (len(target) - len(case.shape)))
    else:
        dys = dys.reshape(len(dys), *(1,) * (len(target) - len(case.shape)), *case.shape)
    full = aligned(a, target)
    try:
        product = np.broadcast_to(dys * (a if full is None else full), (len(dys), *target))
        if len(target) > 2 and seen.shape == target[1:2] != target[-1:]:  # channels first
            product = np.moveaxis(product, 2, -1)
        while product.ndim > len(seen.shape) + 1:
            product = product.sum(axis=1)
        if seen.shape and seen.shape[-1] == 1 and product.shape[-1] > 1:  # features first
            product = product.sum(axis=-1, keepdims=True)
        return seen.picked(product) * seen.scale
    except ValueError:  # shapes that do not fit: not this one
        return None


def a_product(case: Case, seen: Seen) -> Iterator[Claim]:
    """right - got is a matrix product of dy and a matrix in play."""
    left = lacking(case, seen)
    if left is None:
        return
    for name, a in case.arrays.items():
        for formula, term in products(case, seen, name, a):
            if (c := ratio(left, term)) and seen.explained(left - c * term):
                yield Claim("missing-term", "product", factor=c, detail=(formula,), cost=3.0 + odd(c))


def two_factors(case: Case, seen: Seen) -> Iterator[Claim]:
    """right - got = c * dy * u * v, entry by entry."""
    left = lacking(case, seen)
    if left is None or not left.any():
        return
    dy = spread_and_summed(case, seen, np.ones(()))
    if dy is None:
        return
    there = np.flatnonzero(dy)[:400]
    words = [(w, full) for w in case.words if (full := meets(case, seen, w)) is not None and w.cost < 1.6]
    if not words or not there.size or np.abs(left[dy == 0]).max(initial=0) > EXPLAINED * np.abs(left).max():
        return
    for i, (u, a) in enumerate(words[:PAIRED]):  # why: the simplest come first
        rows = [(dy * a * b).ravel()[there] for _, b in words[i:]]
        for j in parallel(rows, [left.ravel()[there]])[:, 0]:
            v, b = words[i + j]
            if (c := ratio(left, dy * a * b)) and seen.explained(left - c * dy * a * b):
                yield Claim("missing-term", "two factors", (u, v), factor=c, cost=3.0 + u.cost + v.cost + odd(c))


def meets(case: Case, seen: Seen, word: Word) -> np.ndarray | None:
    """A word as it meets the input, entry by entry, (m, 1)."""
    full = aligned(case.values[word.name], seen.shape)
    return None if full is None else full.ravel()[seen.entries][:, None]


def a_sum(case: Case, seen: Seen) -> Iterator[Claim]:
    """right - got = p * sum(q * dy) over an axis: a softmax or a normalisation that forgot its other entries.

    Then the block of one row (or one column) is an outer product, of p and q.
    """
    left = lacking(case, seen)
    n = int(np.prod(seen.shape))
    if left is None or seen.shape != case.shape or len(seen.shape) < 2 or left.shape != (n, n) or not case.whole:
        return
    shape = (n // seen.shape[-1], seen.shape[-1])  # (B, D), whatever axes the rows have
    blocks = left.reshape(*shape, *shape)  # (B, D, B, D)
    for axis, order in ((1, (0, 2, 1, 3)), (0, (1, 3, 0, 2))):
        by_row = blocks.transpose(order)  # (B, B, D, D) or (D, D, B, B)
        R, S = by_row.shape[0], by_row.shape[2]
        if S < 2 or np.abs(by_row[~np.eye(R, dtype=bool)]).max(initial=0) > EXPLAINED * np.abs(left).max():
            continue
        own = by_row[np.arange(R), np.arange(R)]  # (R, S, S): p along the first axis, q along the second
        if (q := rows_of_rank_one(own)) is not None:
            yield Claim("missing-term", "sum", (named_rows(case, q, axis),), detail=(axis,), cost=2.9)


def a_projection(case: Case, seen: Seen) -> Iterator[Claim]:
    """right - got = a number times a word of the input's shape, or times its columns or rows: what a norm brings."""
    left = lacking(case, seen)
    if left is None or len(left) < 3:
        return
    for place, split in in_parts(seen):
        parts = split(left)  # (P, entries of a part, M)
        if min(parts.shape[1:]) < 3 and parts.shape[0] * (parts.shape[1] - 1) < 4:
            continue  # why: of a few numbers anything is a multiple
        U, s, _ = np.linalg.svd(parts, full_matrices=False)
        if parts.shape[1] < 2 or (s[:, 1:] > EXPLAINED * s.max()).any() or not s[:, 0].all():
            continue
        for word in [ONE, *case.words]:
            full = np.ones((len(left), 1)) if word == ONE else meets(case, seen, word)
            if full is None or not all_parallel(split(full)[:, :, 0], U[:, :, 0]):
                continue
            if not all_parallel(split(full)[:, :, 0], units(split(seen.got)[:, :, 0])):  # why: so is all of dW, a row
                yield Claim("missing-term", "projection", (word,), place, cost=3.0 + word.cost)


def one_use_of_two(case: Case, seen: Seen) -> Iterator[Claim]:
    """For every output got is an outer product, and what is missing is another one: a matrix that is used twice."""
    left = lacking(case, seen)
    if left is None or len(seen.shape) != 2 or min(left.shape) < 1:
        return
    rows, columns = (np.unique(each) for each in np.unravel_index(seen.entries, seen.shape))
    sizes = len(rows), len(columns)
    if min(sizes) < 2 or max(sizes) < 3 or len(rows) * len(columns) != len(seen.entries):
        return
    there = np.abs(left).max(axis=0) > EXPLAINED * np.abs(left).max()  # (M,)
    blocks = [a.T[there].reshape(-1, len(rows), len(columns)) for a in (seen.got, left, seen.right)]
    if all(map(of_rank_one, blocks[:2])) and of_rank_two(blocks[2]):
        yield Claim("missing-term", "one use of two", cost=5.0)  # why: a simpler reason, if there is one, goes first


def of_rank_one(blocks: np.ndarray) -> bool:
    """Is every one of these matrices, (n, I, J), an outer product, and not zero?"""
    s = np.linalg.svd(blocks, compute_uv=False)  # (n, min(I, J))
    return bool(len(s) and s[:, 0].all() and (s[:, 1] <= EXPLAINED * s[:, 0]).all())


def of_rank_two(blocks: np.ndarray) -> bool:
    """Is one of these matrices, (n, I, J), no outer product, nor zero?"""
    s = np.linalg.svd(blocks, compute_uv=False)  # (n, min(I, J))
    return bool((s[:, 1] > 1e-3 * s[:, 0]).any())


def in_parts(seen: Seen) -> Iterator[tuple[str, Callable[[np.ndarray], np.ndarray]]]:
    """Ways to take the entries (m, any) apart: all of them together, the columns, the rows; (P, entries, any)."""
    yield "all", lambda a: a[None]
    if len(seen.shape) == 2 and len(seen.entries) == np.prod(seen.shape):
        yield "column", lambda a: a.reshape(*seen.shape, -1).swapaxes(0, 1)
        yield "row", lambda a: a.reshape(*seen.shape, -1)


def all_parallel(a: np.ndarray, unit: np.ndarray) -> bool:
    """Is every row of a parallel to the unit vector in the same row?"""
    lengths = np.linalg.norm(a, axis=1)
    return bool(lengths.all() and (np.abs(np.abs((a * unit).sum(axis=1)) / lengths - 1) < 1e-9).all())


def units(rows: np.ndarray) -> np.ndarray:
    """Every row as long as 1."""
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-300)


def rows_of_rank_one(own: np.ndarray) -> np.ndarray | None:
    """q (R, S), up to a number a row, if every block is p q^T and not diagonal."""
    largest = np.abs(own).max(axis=(1, 2))
    if not largest.all() or not np.abs(own * (1 - np.eye(own.shape[1]))).any():
        return None
    U, s, Vt = np.linalg.svd(own)
    p, q = np.abs(U[:, :, 0]), np.abs(Vt[:, 0])  # (R, S) each
    several = ((p > 1e-6).sum(axis=1) > 1).all() and (
        (q > 1e-6).sum(axis=1) > 1
    ).all()  # why: of one column it is no sum
    return Vt[:, 0] if several and (s[:, 1] <= 1e-6 * s[:, 0]).all() else None


def named_rows(case: Case, q: np.ndarray, axis: int) -> Word:
    """The word whose rows (or columns) are parallel to q; none has an empty name."""
    for word in [ONE, *case.words]:
        a = aligned(case.values[word.name] if word != ONE else np.ones(()), case.shape)
        if a is None:
            continue
        rows = a.reshape(-1, a.shape[-1])
        if all_parallel(rows if axis == 1 else rows.T, q):  # (R, S)
            return word
    return Word("", "", 0.5)


HYPOTHESES = (
    a_term,
    the_other_half,
    a_term_in_part,
    a_term_inside,
    a_product,
    two_factors,
    a_sum,
    a_projection,
    one_use_of_two,
)
