"""Naming the cause: the smallest set of explanations that covers all wrong gradients.

Every hypothesis speaks about every wrong input, at two points; what it says at one point and not at the other is a
coincidence, and dropped. What is said in the same words of several inputs is one explanation. Of all sets of
explanations that cover as many inputs as can be covered the smallest is told, and of several the simplest.
"""

import itertools
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from scratchvae.checks.report import Finding
from scratchvae.checks.vjp import (
    assigned,
    causes_factor,
    causes_inside,
    causes_layout,
    causes_lines,
    causes_model,
    causes_part,
    causes_rows,
    causes_term,
    changes,
    detached,
    repeats,
)
from scratchvae.checks.vjp.by_rows import by_rows
from scratchvae.checks.vjp.call import Pair, Values
from scratchvae.checks.vjp.case import EXPLAINED, Case, Claim, Hypothesis, ratio
from scratchvae.checks.vjp.cover import VAGUE, Believed, opinions, smallest_cover
from scratchvae.checks.vjp.lines import CHEAP, Found, by_lines
from scratchvae.checks.vjp.origins import amounts, means, sizes, sure_sizes, unproven
from scratchvae.checks.vjp.point import Hints, cases_at, other_settings
from scratchvae.checks.vjp.sentences import told
from scratchvae.checks.vjp.settings import Settings, held
from scratchvae.checks.vjp.told import Told, gradients, size_in
from scratchvae.checks.vjp.tried import Tried, tried

GENERAL: dict[str, Hypothesis] = {
    hypothesis.__name__: hypothesis
    for module in (causes_layout, causes_rows, causes_factor, causes_part, causes_term, causes_inside, causes_model)
    for hypothesis in module.HYPOTHESES
}
LINES: dict[str, Hypothesis] = {hypothesis.__name__: hypothesis for hypothesis in causes_lines.HYPOTHESES}
CHANGES: dict[str, Hypothesis] = {hypothesis.__name__: hypothesis for hypothesis in changes.HYPOTHESES}
NAMES: dict[str, Hypothesis] = {
    hypothesis.__name__: hypothesis for hypothesis in (*assigned.HYPOTHESES, repeats.repeats_added, detached.detached)
}
HYPOTHESES = GENERAL | LINES | CHANGES | NAMES  # about gradients, values on the way, operations there, and names
SURE = 1.65  # a claim about gradients that costs less is told; a dearer one only if no line is a better reason
HERE = 2.0  # what it costs that a claim holds for the numbers alone that were handed in
UNEVEN = "elementwise-factor"
OF_GRADIENTS = {  # and what is not asked about values on the way
    *("a_constant", "nothing_there", "another_shape", "another_order", "two_factors", "a_missing_mask"),
    *("diagonal_only", "jacobian_for_its_transpose", "a_term_inside", "some_rows", "repeated_rows"),
    *(hypothesis.__name__ for hypothesis in causes_inside.HYPOTHESES),
}


class Numbers(NamedTuple):
    """The worst entry of a gradient for one dy, and how many of the entries that were measured are wrong."""

    where: tuple[int, ...]
    expected: float
    got: float
    wrong: int
    of: int


class Telling(NamedTuple):
    """What is needed to tell a claim about gradients."""

    pair: Pair
    x: Values
    case: Case
    entries: Mapping[str, np.ndarray]
    numbers: Mapping[str, Numbers]
    front: Callable[[Claim, str], str | None]  # the constant of a claim in terms of settings


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
        of_lines = (LINES, CHANGES, NAMES)
        own, small, names = ({n: h for n, h in hypotheses.items() if n in family} for family in of_lines)
        general = {n: h for n, h in hypotheses.items() if not any(n in family for family in of_lines)}
        cases, again = itertools.tee(cases_at(pair, x, index, columns, hints))
        case = next(cases)
        said = opinions(itertools.chain([case], cases), general)
        numbers = numbers_at(pair, x, index, columns)
        chosen = smallest_cover(said, VAGUE)
        settings = Settings(pair, x, index, hints)
        about = Telling(pair, x, case, index, numbers, lambda claim, name: settings.front(claim, name, said, general))
        here = any(claim.kind != "constant" and about.front(claim, min(names)) is None for claim, names in chosen)
        if len(chosen) == 1 and chosen[0][1] == frozenset(index) and is_sure(chosen[0][0]) and not here:
            return told_of(about, chosen)
        families = ({n: h for n, h in general.items() if n not in OF_GRADIENTS}, own, small, names)
        lines = by_lines_at([*again], settings.cases, *families)
        worst = {name: n.where for name, n in numbers.items()}
        if not chosen and not (lines.claim and lines.claim.cost <= CHEAP):
            chosen = by_rows(pair, x, index, worst, general)
        whole = frozenset().union(*(names for _, names in chosen)) == frozenset(index)
        cost = sum(cost_of(claim) for claim, _ in chosen) + HERE * here
        if lines.claim and (not whole or lines.claim.cost + HERE * lines.here <= cost):
            return [at_line(case, lines, list(index), numbers)]
        right = [name for name in x if name not in index]
        nothing = [(nothing_known(index, numbers, right, lines.lines), frozenset(index))]
        vague = [(claim, names) for claim, names in smallest_cover(said) if claim.cause != "unknown" or not lines.lines]
        chosen, vague = (speaks_of_all(each, frozenset(index)) for each in (chosen, vague))
        if any(n.wrong for n in few_wrong(index, numbers)):
            vague = []  # why: which few entries are wrong says more
        return beside_others(told_of(about, chosen or vague or nothing), list(index))


def by_lines_at(cases: list[Case], others: list[Case], *families: Mapping[str, Hypothesis]) -> Found:
    """What holds with other settings as well; or else what hypotheses say with these alone, which is then said.

    Small changes are so many that one of them easily fits some numbers by chance.
    """
    lines = by_lines([*cases, *others], *families)
    if lines.claim or not others:
        return lines
    general, own, *_ = families
    here = by_lines(cases, general, own, {}, {})
    return here._replace(here=True, lines=lines.lines or here.lines)


def is_sure(claim: Claim) -> bool:
    """A simple claim; one of what stands in place of the slope of the forward; one about a part of an objective."""
    other = claim.kind == "in place of"
    of_the_slope = other and claim.words[0].cost < 1
    return (
        claim.cost < SURE
        or of_the_slope
        or claim.kind in ("objective", "fork")
        or (claim.kind.endswith(" of") and not other)
    )


def cost_of(claim: Claim) -> float:
    """What is unknown costs more than any claim."""
    return VAGUE if claim.cause == "unknown" else claim.cost


def told_of(about: Telling, chosen: list[Believed]) -> list[Finding]:
    """What is believed, a finding each."""
    return [finding(about, claim, [name for name in about.entries if name in names]) for claim, names in chosen]


def speaks_of_all(chosen: list[Believed], wrong: frozenset[str]) -> list[Believed]:
    """Nothing, if nothing is known, and that not of all: the others would be left without a word."""
    known = any(claim.cause != "unknown" for claim, _ in chosen)
    return chosen if known or frozenset().union(*(names for _, names in chosen)) == wrong else []


def beside_others(found: list[Finding], names: list[str]) -> list[Finding]:
    """With those of the wrong inputs that no finding speaks of, in the first of them."""
    if left := [name for name in names if not any(name in finding.inputs for finding in found)]:
        text = f"{found[0].message}; {gradients(left)} {'are' if len(left) > 1 else 'is'} wrong, too"
        found = [found[0]._replace(message=f"{text}, by the same slip or by another one"), *found[1:]]
    return found


def at_line(case: Case, lines: Found, names: list[str], numbers: Mapping[str, Numbers]) -> Finding:
    """The finding about a line, in all inputs that it spoils."""
    assert lines.claim
    shapes = [case.seen[name].shape for name in names]
    moved = other_settings(case.pair)
    maybe = unproven(case, () if lines.here else moved)  # why: elsewhere they were others at one of the points
    found = {} if lines.maybe else sizes(case, Tried())
    about = Told(lines.claim, names, shapes, [], found, amounts(case), means(case), unproven=maybe)
    if lines.where:
        about = about._replace(names=["it"], shapes=[lines.shape], called=lines.where)
    message, repair = told(about)
    repair += size_in(repair, about)
    if lines.maybe and lines.claim.cause != "sign" and not message.endswith("is it that?"):
        message = f"{message}; {' or '.join(lines.maybe[:2])} is as much here: is it that?"
    if lines.minus:
        message = f"{message}; or a minus is missing, or there twice, in {lines.minus}"
    if lines.helper and lines.claim.kind == "constant":
        message = f"{message}; in {lines.helper}, or where it is called"
    if lines.others:
        message = f"{message}; or in {lines.others}"
    if lines.here:
        repair = f"{repair}, while {held(case.pair)}"
        message = (
            f"{message}, while {held(case.pair)}" if lines.claim.kind == "constant" and message[-1] != "?" else message
        )
    uneven = lines.claim.cause == "factor" and lines.fixed and is_uneven(case)
    return with_numbers(Finding(tuple(names), UNEVEN if uneven else lines.claim.cause, message, repair), numbers)


def is_uneven(case: Case) -> bool:
    """Has what is a constant at a line come to a factor of its own for every entry, or for some entries alone?"""
    for seen in case.seen.values():
        largest = EXPLAINED * np.abs(seen.right).max()
        off = (np.abs(seen.right - seen.got) > largest).any(axis=1)  # (m,)
        some = off.any() and np.abs(seen.right[~off]).max(initial=0) > largest
        own = seen.right.shape[1] > 1 and bool((np.count_nonzero(np.abs(seen.right) > largest, axis=1) < 2).all())
        if not (some and ratio(seen.right[off], seen.got[off])) and not (own and not ratio(seen.right, seen.got)):
            return False
    return True


def nothing_known(
    index: Mapping[str, np.ndarray], numbers: Mapping[str, Numbers], right: list[str], lines: str
) -> Claim:
    """No cause; but which entries alone are wrong, which gradients are right, and which lines it may be, help."""
    few = [(n.wrong, n.of, n.where) for n in few_wrong(index, numbers)]
    return Claim("unknown", "unknown", detail=(few, right, lines))


def few_wrong(index: Mapping[str, np.ndarray], numbers: Mapping[str, Numbers]) -> list[Numbers]:
    """Those of the one wrong input, if few of its entries are wrong."""
    return [n for n in numbers.values() if n.wrong <= n.of // 5 and len(index) == 1]


def finding(about: Telling, claim: Claim, names: list[str]) -> Finding:
    """The finding, with the numbers at the worst entry of the first input; where a constant is from is tried first."""
    case, wrong = about.case, [about.case.seen[name] for name in names]
    index = {name: about.entries[name] for name in names}
    is_constant = claim.kind == "constant"
    seen = tried(about.pair, about.x, index, claim.factor) if is_constant else Tried()
    front = "" if is_constant or claim.cause == "unknown" else about.front(claim, names[0])
    shapes = [each.shape for each in wrong], [() if each.raw[0] is None else each.raw[0].shape for each in wrong]
    sure, roots = (sure_sizes(case, seen, power) for power in (1.0, 0.5))
    about_it = Told(claim, names, *shapes, sizes(case, seen), amounts(case), means(case), sure, roots, seen)
    about_it = about_it._replace(unproven=unproven(case, seen.numbers), front=front or "")
    message, repair = told(about_it)
    repair += size_in(repair, about_it)
    if front is None:
        repair = f"{repair}, while {held(about.pair)}"
    also = "sign" if claim.factor < 0 and claim.cause not in ("sign", "missing-term") else ""
    if not also and claim.cause in ("transpose", "batch-sum", "shape") and abs(claim.factor - 1) > 1e-6:
        also = "factor"
    factor = claim.factor if claim.cause in ("sign", "factor") or also else None
    return with_numbers(Finding(tuple(names), claim.cause, message, repair, factor, also=also), about.numbers)


def with_numbers(finding: Finding, numbers: Mapping[str, Numbers]) -> Finding:
    """Those at the worst entry of its first input."""
    if n := numbers.get(finding.inputs[0]):
        return finding._replace(where=n.where or None, expected=n.expected, got=n.got)
    return finding


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
