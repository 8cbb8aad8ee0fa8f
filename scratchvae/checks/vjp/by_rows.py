"""What the rows of a batch say, each alone, where their sum hides it.

With one row the gradient that arrives at a layer is a vector, and what multiplies it can be read off a bias or a
column of a weight. A gradient that is right for every row alone, and wrong for all of them together, is wrong in how
the rows meet; and where it counts some rows only, or weighs them, the weights can be solved for.

Sizes: m entries of the inputs that were measured, B rows.
"""

import itertools
from collections.abc import Iterator, Mapping

import numpy as np

from scratchvae.checks.vjp.batch import Batch, Cut, Row, cuts, near
from scratchvae.checks.vjp.call import Pair, Values
from scratchvae.checks.vjp.case import EXPLAINED, Case, Claim, Hypothesis
from scratchvae.checks.vjp.cover import VAGUE, Believed, opinions, smallest_cover
from scratchvae.checks.vjp.point import Hints, another_point, cases_at, fewer, measured

OF_ALL = ("nearly", "nothing_there", "a_constant_in_places")  # what these see in one row need not be so in the others
PLAIN = 2.0  # what a claim about a first step may cost
MORE = 2  # points beside the first at which rows are weighed
OTHERS = 8  # rows beside the first wrong one of which the same has to be true
SPARE = 3  # numbers that the weights of the rows have to explain beside themselves

Index = dict[str, np.ndarray]


def by_rows(
    pair: Pair,
    x: Values,
    index: Mapping[str, np.ndarray],
    worst: Mapping[str, tuple[int, ...]],
    hypotheses: Mapping[str, Hypothesis],
) -> list[Believed]:
    """What is believed about how the rows add up, and about a batch of one row.

    There the words at an input that all rows share are those of the gradient that arrives at its layer.
    """
    hypotheses = {name: hypothesis for name, hypothesis in hypotheses.items() if name not in OF_ALL}
    for cut in cuts(pair, x):
        row = cut.rows[0]
        shared = [name for name in index if row.x[name].shape == x[name].shape]
        few = some_of(index, worst, row.x, shared)
        weighs = shared and (cut.added or not pair.y(x).ndim)  # why: rows that have weights of their own do not add up
        if weighs and (claim := weighed(cut.batch, pair, x, {name: few[name] for name in shared})):
            return [(claim, frozenset(shared))]
        if not row.has_gradients:
            continue
        place, wrong = next(((i, each) for i, each in enumerate(cut.rows) if not is_right(each, few)), (0, None))
        if wrong is None and not any(expected(each, few).any() for each in cut.rows):
            continue  # why: where nothing should come, and nothing does, a row says nothing
        if wrong is None:
            adds = shared == [*index] and (cut.separate or cut.added)  # why: a row's own gradient is no sum
            kind = ("batch-sum", "not added up") if adds else ("unknown", "not passed on")
            return [(Claim(*kind), frozenset(few))]
        after = cut.rows[place + 1 :] if cut.separate or cut.added else []
        off = [wrong, *(each for each in after if not is_right(each, few))]
        if cut.added and (flat := flat_rows(cut.rows, off, few)):
            return [(Claim("elementwise-factor", "flat rows", detail=(cut.batch.axis, flat)), frozenset(few))]
        if cut.first or cut.separate or cut.added:
            only_first = cut.first and not cut.separate and not cut.added
            row, others = (row, []) if only_first else (wrong, off[1:])
            cases = itertools.chain(
                cases_of(row, few), *(itertools.islice(cases_of(each, few), 1) for each in others[-OTHERS:])
            )
            below = PLAIN if only_first else VAGUE  # why: the first step alone is easily explained
            chosen = smallest_cover(opinions(cases, hypotheses), below)
            of_y = [claim for claim, _ in chosen if any(word.name == "y" for word in claim.words)]
            if chosen and not (of_y and not pair.y(x).ndim):  # why: the y of one row is not that of all
                return [(of_a_row(claim, cut, pair.y(x), few), names) for claim, names in chosen]
    return []


def of_a_row(claim: Claim, cut: Cut, whole: np.ndarray, index: Index) -> Claim:
    """As a claim about all of them: what meets an input that the rows share is what arrives at its layer."""
    if claim.kind in ("rows masked", "paths"):
        return Claim("missing-term", "paths in a row", cost=claim.cost)
    if claim.cause == "missing-term" and (cut.added or cut.separate):
        some = [b for b, row in enumerate(cut.rows) if not is_right(row, index)]
        if 0 < len(some) < len(cut.rows):
            return Claim("elementwise-factor", "wrong rows", detail=(cut.batch.axis, tuple(some)), cost=claim.cost)
        if cut.added and near(whole, np.mean([row.pair.y(row.x) for row in cut.rows], axis=0)):
            claim = claim._replace(factor=claim.factor / len(cut.rows))
    return claim._replace(place="mid" if claim.place == "in" else claim.place)


def some_of(
    index: Mapping[str, np.ndarray], worst: Mapping[str, tuple[int, ...]], x: Values, shared: list[str]
) -> Index:
    """A sample of the entries of a row's inputs, with the worst one of those that all rows share."""
    few = fewer({n: index[n] if n in shared else np.arange(x[n].size) for n in index}, x)
    for name in worst.keys() & set(shared):
        few[name] = np.union1d(few[name], [np.ravel_multi_index(worst[name], x[name].shape)]).astype(int)
    return few


def cases_of(row: Row, index: Index) -> Iterator[Case]:
    return cases_at(row.pair, row.x, index, measured(row.pair, row.x, index), Hints())


def is_right(row: Row, index: Index) -> bool:
    """Is the backward right for this row alone?"""
    right, got = expected(row, index), returned(row, index)
    return got is not None and bool(np.abs(right - got).max() <= EXPLAINED * np.abs(right).max())


def flat_rows(rows: list[Row], off: list[Row], index: Index) -> tuple[int, ...]:
    """The rows whose output does not depend on these inputs, if those that are wrong, off, are among them."""
    if any(expected(row, index).any() for row in off):
        return ()
    flat = tuple(b for b, row in enumerate(rows) if not expected(row, index).any())
    return flat if len(flat) < len(rows) else ()


def upstream(row: Row) -> np.ndarray:
    """A random dy, the same one for outputs of the same shape."""
    return np.random.default_rng(3).standard_normal(row.pair.y(row.x).shape)


def expected(row: Row, index: Index) -> np.ndarray:
    """What the gradients of these entries should be, (m,)."""
    dy = upstream(row).ravel()
    return np.concatenate([columns @ dy for columns in measured(row.pair, row.x, index).values()])


def returned(row: Row, index: Index) -> np.ndarray | None:
    """What backward gives for them, (m,); None if that does not fit."""
    grads = row.pair.grads(row.x, upstream(row))
    found = [g.ravel()[i] for n, i in index.items() if (g := grads[n]) is not None and g.shape == row.x[n].shape]
    return np.concatenate(found) if len(found) == len(index) else None


def weighed(batch: Batch, pair: Pair, x: Values, index: Index) -> Claim | None:
    """got is a sum over the rows in which some do not count, or not as much: the same ones at another point."""
    rng = np.random.default_rng(1)
    points = [x, *(moved for _ in range(MORE) if (moved := another_point(pair, x, rng)) is not None)]
    weights = weights_of_rows(batch, pair, points, index)
    if weights is None or np.ptp(weights) < 1e-4:
        return None
    used = tuple(b for b in range(batch.B) if abs(weights[b]) > 1e-6)
    some = 0 < len(used) < batch.B and np.ptp(weights[list(used)]) < 1e-4
    counts = [bool(expected(row, index).any()) for row in batch.rows(pair, x)] if some else []
    if not all(counts):  # why: a row that is clipped is rightly left out
        missing = tuple(b for b, does in enumerate(counts) if does and b not in used)
        return Claim("batch-sum", "rows left out", detail=(batch.axis, batch.B, missing, batch.names))
    detail = (batch.axis, batch.B, used, () if some else tuple(float(f"{w:.5g}") for w in weights), batch.names)
    kind, cost = ("some rows", 1.0) if some else ("weighted rows", 4.0)
    return Claim("batch-sum", kind, detail=detail, cost=cost) if used else None


def weights_of_rows(batch: Batch, pair: Pair, points: list[Values], index: Index) -> np.ndarray | None:
    """The w with got = sum_b w_b right_b at all points, 1 for a row that counts as it should, (B,); or None."""
    if len(points) * sum(map(len, index.values())) < batch.B + SPARE:
        return None
    parts = []
    for x in points:
        each = np.stack([expected(row, index) for row in batch.rows(pair, x)], axis=1)  # (m, B)
        if (got := returned(Row(pair, x), index)) is None:
            return None
        parts.append(np.column_stack([each, expected(Row(pair, x), index), got]))  # (m, B + 2)
    each, totals = np.split(np.concatenate(parts), [batch.B], axis=1)  # (m, B), (m, 2), of all points
    if not np.isfinite(each).all() or np.linalg.matrix_rank(each) < batch.B:  # why: a row alone may be 0 / 0
        return None
    weights = np.linalg.lstsq(each, totals, rcond=None)[0]  # (B, 2)
    left = np.abs(totals - each @ weights).max(axis=0) / np.abs(totals).max(axis=0)  # (2,)
    return weights[:, 1] / weights[:, 0] if left.max() <= EXPLAINED else None
