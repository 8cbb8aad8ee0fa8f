"""Naming the cause: the smallest set of explanations that covers all wrong gradients.

Every hypothesis speaks about every wrong input, at two points; what it says at one point and not at the other is a
coincidence, and dropped. What is said in the same words of several inputs is one explanation. Of all sets of
explanations that cover as many inputs as can be covered the smallest is told, and of several the simplest.
"""

import itertools
import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from scratchvae.checks.report import Finding
from scratchvae.checks.vjp import causes_factor, causes_layout, causes_term
from scratchvae.checks.vjp.call import Pair, Values
from scratchvae.checks.vjp.case import Case, Claim, Hypothesis
from scratchvae.checks.vjp.one_row import one_row
from scratchvae.checks.vjp.point import Hints, another_point, case_at, fewer, measured
from scratchvae.checks.vjp.sentences import told
from scratchvae.checks.vjp.told import Told

HYPOTHESES: dict[str, Hypothesis] = {
    hypothesis.__name__: hypothesis
    for module in (causes_layout, causes_factor, causes_term)
    for hypothesis in module.HYPOTHESES
}
EVIDENCE = 12  # numbers to be met by an explanation, which has one constant of its own and was chosen among many
POINTS = 6
VAGUE = 5.0  # claims of this cost name no array: they are told where nothing better is known
SEVERAL = 5  # more explanations than so many are no explanation


class Numbers(NamedTuple):
    """The worst entry of a gradient for one dy, and how many of the entries that were measured are wrong."""

    where: tuple[int, ...]
    expected: float
    got: float
    wrong: int
    of: int


Opinions = dict[str, dict[str, list[Claim]]]  # by hypothesis, by input
Believed = tuple[Claim, frozenset[str]]  # a claim, and the inputs that it explains


def explain(
    pair: Pair,
    x: Values,
    index: Mapping[str, np.ndarray],
    columns: Mapping[str, np.ndarray],
    hints: Hints | None = None,
    hypotheses: Mapping[str, Hypothesis] | None = None,
) -> list[Finding]:
    """The findings about all wrong inputs together, in the order of the inputs.

    index and columns hold, for every wrong input, the entries that were measured at x, and their columns (m, M).
    """
    hints, hypotheses = hints or Hints(), HYPOTHESES if hypotheses is None else hypotheses
    with np.errstate(all="ignore"):  # why: most hypotheses are nonsense, and what is not finite explains nothing
        cases = cases_at(pair, x, index, columns, hints)
        said = opinions(cases, hypotheses)
        numbers = numbers_at(pair, x, index, columns)
        chosen = smallest_cover(said, VAGUE) or in_one_row(pair, x, index, numbers, hypotheses) or smallest_cover(said)
        chosen = chosen or [
            (nothing_known(index, numbers, [name for name in x if name not in index]), frozenset(index))
        ]
        return [finding(cases[0], claim, [n for n in index if n in names], numbers) for claim, names in chosen]


def cases_at(
    pair: Pair, x: Values, index: Mapping[str, np.ndarray], columns: Mapping[str, np.ndarray], hints: Hints
) -> list[Case]:
    """What is known at x, at a second point, and at more of them where an input has few numbers to be explained."""
    rng = np.random.default_rng(1)
    cases = [case_at(pair, x, index, columns, hints)]
    while len(cases) < 2 or (len(cases) < POINTS and fewest_numbers(cases) < EVIDENCE):
        if (moved := another_point(pair, x, rng)) is None:
            break
        few = fewer(index, moved, rng)
        cases.append(case_at(pair, moved, few, measured(pair, moved, few), hints))
    return cases


def fewest_numbers(cases: list[Case]) -> int:
    """How many numbers an explanation of an input has to meet, for the input that has the fewest."""
    return min(sum(int(np.count_nonzero(case.seen[name].right)) for case in cases) for name in cases[0].seen)


def in_one_row(
    pair: Pair,
    x: Values,
    index: Mapping[str, np.ndarray],
    numbers: Mapping[str, Numbers],
    hypotheses: Mapping[str, Hypothesis],
) -> list[Believed]:
    """What is believed about a batch of one row, whose numbers are not hidden in sums over the rows.

    There the words at an input that all rows share are those of the gradient that arrives at its layer.
    """
    for smaller, row, first, separate in one_row(pair, x):
        shared = {name for name in index if row[name].shape == x[name].shape}
        few = fewer({name: index[name] if name in shared else np.arange(row[name].size) for name in index}, row)
        for name in shared & numbers.keys():
            worst = np.ravel_multi_index(numbers[name].where, x[name].shape)
            few[name] = np.union1d(few[name], [worst]).astype(int)
        cases = cases_at(smaller, row, few, measured(smaller, row, few), Hints())
        if all(seen.is_right for case in cases for seen in case.seen.values()):
            kind = ("batch-sum", "not added up") if separate else ("missing-term", "not passed on")
            return [(Claim(*kind), frozenset(few))]
        said = (
            opinions(cases, {name: h for name, h in hypotheses.items() if name != "nearly"})
            if first or separate
            else {}
        )
        if chosen := smallest_cover(said, VAGUE):
            return [(c._replace(place="mid" if c.place == "in" else c.place), names) for c, names in chosen]
    return []


def opinions(cases: list[Case], hypotheses: Mapping[str, Hypothesis]) -> Opinions:
    """What every hypothesis says about every input, at every point."""
    return {
        key: {name: said_everywhere(hypothesis, cases, name) for name in cases[0].seen}
        for key, hypothesis in hypotheses.items()
    }


def said_everywhere(hypothesis: Hypothesis, cases: list[Case], name: str) -> list[Claim]:
    said = [list(hypothesis(case, case.seen[name])) for case in cases]
    return [claim for claim in said[0] if all(any(claim.same_as(other) for other in more) for more in said[1:])]


def smallest_cover(said: Opinions, below: float = math.inf) -> list[Believed]:
    """The explanations that cover the most inputs; of such sets the smallest, then the simplest, then by name.

    Only claims that cost less than below take part.
    """
    claims = [(name, c) for about in said.values() for name, cs in about.items() for c in cs if c.cost < below]
    by_names: dict[frozenset[str], Claim] = {}
    for _, claim in claims:
        names = frozenset(name for name, other in claims if claim.same_as(other))
        if names not in by_names or simpler(claim) < simpler(by_names[names]):
            by_names[names] = claim
    candidates = [(claim, names) for names, claim in by_names.items()]
    most = min(SEVERAL, len(candidates))
    sets = (chosen for n in range(1, most + 1) for chosen in itertools.combinations(candidates, n))
    best = min(sets, key=lambda chosen: (-len(union(chosen)), len(chosen), *cost(chosen)), default=())
    return sorted(best, key=lambda each: sorted(each[1]))


def simpler(claim: Claim) -> tuple[float, str]:
    return claim.cost, repr(claim)


def cost(chosen: Iterable[Believed]) -> tuple[float, str]:
    """What a set of explanations costs, and an order among equals that is no accident."""
    return sum(claim.cost for claim, _ in chosen), repr(sorted(repr(claim) for claim, _ in chosen))


def union(chosen: Iterable[Believed]) -> set[str]:
    return {name for _, names in chosen for name in names}


def nothing_known(index: Mapping[str, np.ndarray], numbers: Mapping[str, Numbers], right: list[str]) -> Claim:
    """No cause; but which entries alone are wrong, and which gradients are right, help to find it."""
    few = [(n.wrong, n.of, n.where) for n in numbers.values() if n.wrong <= n.of // 5 and len(index) == 1]
    return Claim("unknown", "unknown", detail=(few, right))


def finding(case: Case, claim: Claim, names: list[str], numbers: Mapping[str, Numbers]) -> Finding:
    """The finding, with the numbers at the worst entry of the first input."""
    about = [case.seen[name] for name in names]
    shapes = [each.shape for each in about], [() if each.raw[0] is None else each.raw[0].shape for each in about]
    message, repair = told(Told(claim, names, *shapes, sizes(case)))
    also = "sign" if claim.factor < 0 and claim.cause not in ("sign", "missing-term") else ""
    if not also and claim.cause in ("transpose", "batch-sum", "shape") and abs(claim.factor - 1) > 1e-6:
        also = "factor"
    factor = claim.factor if claim.cause in ("sign", "factor") or also else None
    made = Finding(tuple(names), claim.cause, message, repair, factor, also=also)
    if n := numbers.get(names[0]):
        made = made._replace(where=n.where or None, expected=n.expected, got=n.got)
    return made


def numbers_at(
    pair: Pair, x: Values, index: Mapping[str, np.ndarray], columns: Mapping[str, np.ndarray]
) -> dict[str, Numbers]:
    """For every input whose gradient has its shape: where it is worst for a random dy, and the two numbers there."""
    dy = np.random.default_rng(2).standard_normal(pair.y(x).shape)
    found = {}
    for name, g in pair.grads(x, dy).items():
        if name in index and g is not None and g.shape == x[name].shape:
            expected, got = columns[name] @ dy.ravel(), g.ravel()[index[name]]  # (m,) each
            error = np.abs(expected - got)  # (m,)
            worst = int(np.round(error / error.max(), 6).argmax())  # of equal ones the first, on every machine
            where = tuple(int(i) for i in np.unravel_index(index[name][worst], g.shape))
            off = np.abs(expected - got) > 1e-6 * np.abs(expected).max()  # (m,)
            found[name] = Numbers(where, float(expected[worst]), float(got[worst]), int(off.sum()), len(off))
    return found


def sizes(case: Case) -> dict[str, int]:
    """The numbers that a mean could have divided by, in words: the rows of the batch first, then the other axes."""
    batch = case.shape or case.arrays.get("x", np.zeros(())).shape
    named = {f"the batch has {batch[0]} rows": batch[0]} if batch else {}
    for name, a in {**{name: np.empty(seen.shape) for name, seen in case.seen.items()}, **case.arrays}.items():
        axes = ("rows", "columns") if a.ndim < 3 else [f"entries along axis {axis}" for axis in range(a.ndim)]
        for size, what in (*zip(a.shape, axes, strict=False), (a.size, "entries")):
            if size not in named.values():
                named[f"{name} has {size} {what}"] = size
    return named
