"""Small changes of an operation are tried: with which of them are all gradients right?

Of an operation that runs once the value that would be right is known, and the change has to give it. Where it runs
several times its values depend on each other: there the change is put in each time, and the backward runs again.

Sizes: K upstream gradients.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from scratchvae.checks.vjp.case import EXPLAINED, LEFT, Case, Claim
from scratchvae.checks.vjp.followed import SITES, Held, Point, Solved, flat, followed, point_at
from scratchvae.checks.vjp.operation import Change, Changed, Operation
from scratchvae.checks.vjp.tape import Site, Tape
from scratchvae.checks.vjp.word import without_twins

TRIALS = 1000  # changes of what runs several times, and so many more where a value would make all right
MIXES = 2  # sums of upstream gradients that are asked

Changes = Mapping[str, Callable[[Operation], Changed]]  # hypotheses by name


def changes_of_one(held: list[Held], changes: Changes) -> Iterator[tuple[Change, Site]]:
    """The small changes of an operation that runs once with which all gradients are right, at every point."""
    for each in held if changes else ():
        if each.runs_once:
            left: set[Change] | None = None  # those that explained all so far
            for point, solution in zip(each.points, each.solutions, strict=True):
                left = of_these(left, (each.site, point, solution), changes) if left is None or left else left
            yield from ((change, each.site) for change in left or ())


def changes_of_several(held: list[Held], changes: Changes) -> Iterator[tuple[Change, Site]]:
    """The simplest of what may be changed where an operation runs several times: put in, each time, and run again."""
    tried: dict[tuple[Change, Site], tuple[str, list[Point]]] = {}
    telling = set()
    for each in held if changes else ():
        if not each.runs_once:
            every, points = each.site._replace(time=None), each.points
            tried |= {(change, every): (name, points) for change, name in first_tried(every, points[0], changes)}
            telling |= {every} if each.is_telling else set()
    in_order = sorted(tried.items(), key=lambda each: likely(each[0][0]))
    more = [each for each in in_order[TRIALS:] if each[0][1] in telling]
    for (change, site), (name, points) in in_order[:TRIALS] + more[:TRIALS]:
        if all(is_right_with(point, site, change, changes[name]) for point in points):
            yield change, site
            return


def likely(change: Change) -> float:
    """What it costs, and more if it brings in a part of an array, a[t], where there was none."""
    return change.cost + 0.5 * ("[" in change.word and "[" not in change.old)


def changes_of_an_axis(points: list[Point], changes: Changes) -> Iterator[tuple[Change, Site]]:
    """Sums along another axis, which may give another shape: put in, wherever there is one, and run again."""
    if "another_axis" not in changes:
        return
    only_this = {"another_axis": changes["another_axis"]}
    every = points[0].runs[-1].values if points else ()
    for site in [site for site in every if site.time is None and not site.is_returned][:SITES]:
        for change, name in first_tried(site, points[0], only_this):
            if all(is_right_with(point, site, change, only_this[name]) for point in points):
                yield change, site


def points_of(cases: list[Case]) -> list[Point]:
    """What the gradients should be, at every point; nothing where somebody's function refuses to be followed."""
    try:
        return [point_at(case, False, n) for n, case in enumerate(cases)]
    except Exception:  # it may not like the class of the arrays
        return []


def first_tried(site: Site, point: Point, changes: Changes) -> Iterator[tuple[Change, str]]:
    """What may be changed where an operation runs several times, and the hypothesis that says so."""
    found: list[tuple[Change, str]] = []

    def noted(operation: Operation) -> dict[Change, np.ndarray]:
        arrays = {name: a for name, a in operation.names.items() if a.ndim}  # why: equal numbers differ elsewhere
        names = {name: a for name, a in operation.names.items() if not a.ndim} | without_twins(arrays)
        operation = with_constants(operation._replace(names=names), point)
        found.extend((change, name) for name, hypothesis in changes.items() for change, _ in hypothesis(operation))
        return {}

    followed(Tape({}, ({site}, noted)), point.pair, point.case.weights, point.dys[0])
    yield from dict.fromkeys(found)


def with_constants(operation: Operation, point: Point) -> Operation:
    """With the plain numbers that were handed to the forward: the backward may have forgotten them."""
    given = {n: a for n, a in point.pair.constants.items() if isinstance(a, int | float) and a is not True}
    return operation._replace(numbers={**given, **operation.numbers})


def mixes(point: Point) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Weights (K,) of the upstream gradients, and those together: what holds for a few sums of all holds for all."""
    K = len(point.wanted)
    for weights in np.random.default_rng(3).standard_normal((1 if K == 1 else MIXES, K)):
        yield weights, np.tensordot(weights, point.dys[:K], 1)


def computed(make: Callable[[], Any]) -> np.ndarray | None:
    """A copy of the value, since the memory may be written to; None if the change does not go."""
    try:
        return np.array(make(), float)
    except Exception:  # an operation may refuse what it does not like: shapes, indices, kinds of numbers
        return None


def is_right_with(point: Point, site: Site, change: Change, hypothesis: Callable[[Operation], Changed]) -> bool:
    """Are all gradients right if the operation is changed each time that it runs?"""

    def changed(operation: Operation) -> dict[Change, np.ndarray]:
        operation = with_constants(operation, point).only(change)
        makes = [make for each, make in hypothesis(operation) if each == change]
        value = computed(makes[0]) if makes else None
        return {} if value is None else {change: value}

    def gradients(dy: np.ndarray) -> np.ndarray:
        tape = Tape({}, ({site}, changed), puts=True, writes=change.word)
        return flat(followed(tape, point.pair, point.case.weights, dy), point.entries)

    return all_right(point, gradients)


def all_right(point: Point, gradients: Callable[[np.ndarray], np.ndarray]) -> bool:
    """Are all gradients right that something else than the backward gives for an upstream gradient?"""
    for weights, dy in mixes(point):
        try:
            grads = gradients(dy)
        except Exception:  # somebody's function may refuse what it does not like, or return another shape
            return False
        wanted, got = weights @ point.wanted, weights @ [run.grads for run in point.runs[: len(weights)]]
        most = min(EXPLAINED * np.abs(wanted).max(), LEFT * np.abs(got - wanted).max())
        if not np.abs(grads - wanted).max() <= most:
            return False
    return True


def of_these(
    left: set[Change] | None,
    held: tuple[Site, Point, Solved],
    changes: Changes,
) -> set[Change]:
    """Those of the changes that are left, or of all, that give a value that makes all gradients right at a point."""
    site, point, solution = held

    def asked(operation: Operation) -> dict[Change, np.ndarray]:
        made = (each for change in changes.values() for each in change(with_constants(operation, point)))
        values = ((change, computed(make)) for change, make in made if left is None or change in left)
        return {change: value for change, value in values if value is not None}

    for weights, dy in mixes(point):
        tape = Tape({}, ({site}, asked))
        followed(tape, point.pair, point.case.weights, dy)
        both = solution.right, solution.got
        right, got = (a[0] if point.mixed else np.tensordot(weights, a[: len(weights)], 1) for a in both)
        wanted, off = solution.through @ right.ravel(), solution.through @ (right - got).ravel()  # (rank,)
        most = min(EXPLAINED * np.abs(wanted).max(), LEFT * np.abs(off).max())
        fitting = {change: a for change, a in tape.changed[0].items() if a.shape == right.shape[1:]}
        left = {c for c, a in fitting.items() if np.abs(solution.through @ a.ravel() - wanted).max() <= most}
    return left or set()


def claim_of(change: Change) -> Claim:
    detail = (change.old, change.word, change.new)
    return Claim(change.cause, f"changed: {change.kind}", detail=detail, cost=change.cost)
