"""Where in the backward it goes wrong: a line whose value, were it another one, would make all gradients right.

What is to be said of that value, beside the one that is there, is what is said of a gradient: the same hypotheses
speak about it. Small changes of the operation are tried beside them.
"""

import inspect
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from scratchvae.checks.vjp.assigned import Hypotheses, claim_of_a_name, names_changed
from scratchvae.checks.vjp.case import EVERY, Case, Claim, Hypothesis, Seen
from scratchvae.checks.vjp.cover import VAGUE, opinions, simpler
from scratchvae.checks.vjp.detached import PATH, claim_of_it, detached
from scratchvae.checks.vjp.followed import Held, Point, Solved, leading, point_at, same, solved
from scratchvae.checks.vjp.repeats import repeats_added
from scratchvae.checks.vjp.scope import is_sum
from scratchvae.checks.vjp.tape import Site
from scratchvae.checks.vjp.trials import (
    Changes,
    changes_of_an_axis,
    changes_of_one,
    changes_of_several,
    claim_of,
    points_of,
)
from scratchvae.checks.vjp.words import vocabulary

FEW, MANY = 4, 99  # lines that are told
ODD = 0.7
LATER = 0.1  # what it costs that it has a factor: a line before or behind may do without
CHEAP = 2.2  # a claim that costs more may not be the best
EVIDENCE = 12  # numbers that a claim has to explain, in all points


class Found(NamedTuple):
    """A claim about a value of this shape, and where it is; None if there is none.

    lines: where a single slip could be; here: it holds for the numbers that were handed in, and not for others; maybe:
    numbers known there, of which one would do in place of its constant; minus: other lines at which one would do;
    others: those at which the same factor would do; fixed: the value does not depend on dy; helper: the
    function that the line is in, if that is not the backward itself.
    """

    claim: Claim | None = None
    where: str = ""
    shape: tuple[int, ...] = ()
    lines: str = ""
    here: bool = False
    maybe: tuple[str, ...] = ()
    minus: str = ""
    others: str = ""
    helper: str = ""
    fixed: bool = False


def by_lines(
    cases: Iterable[Case],
    general: Mapping[str, Hypothesis],
    own: Mapping[str, Hypothesis],
    changes: Changes,
    names: Hypotheses,
) -> Found:
    """The simplest claim about one value that explains all wrong gradients at once, at every point.

    general: hypotheses about any gradient; own: those about what lines compute; changes: of one operation; names: of
    what a name stands for.
    """
    cases = list(cases)
    if not all(seen.fits and seen.linear for seen in cases[0].seen.values()):
        return Found()
    points = points_of(cases)
    if repeats_added.__name__ in names and (place := repeats_added(points)):
        return Found(Claim("batch-sum", "index added once", cost=1.0), place.place)
    found, held = claims_at_sites(cases, ((general, True), (own, False)))
    if not found and all(each.tight for each in held) and len(cases[0].seen) > 1:
        forgotten = forgotten_by_all(cases, own)
        if forgotten.claim:
            return forgotten
    found += [(claim_of(change), site, ()) for change, site in changes_of_one(held, changes)]
    if cheapest(found) >= CHEAP:
        found += [(claim_of(change), site, ()) for change, site in changes_of_several(held, changes)]
    if cheapest(found) >= CHEAP:
        found += [(claim_of(change), site, ()) for change, site in changes_of_an_axis(points, changes)]
    kept = detached(points) if detached.__name__ in names and cheapest(found) > PATH else None
    if kept:
        return Found(claim_of_it(kept))
    if not found and names:
        for change, setting in names_changed(points, names):
            return Found(claim_of_a_name(change, setting), setting.place)
    if not found:
        return Found(lines=lines_of([each.site for each in held if each.is_telling]))
    return the_simplest(found, held, cases[0])


def cheapest(found: Sequence[tuple[Claim, Site, tuple[int, ...]]]) -> float:
    """What the simplest claim costs; more than any, if there is none."""
    return min((claim.cost for claim, _, _ in found), default=math.inf)


def the_simplest(found: Sequence[tuple[Claim, Site, tuple[int, ...]]], held: list[Held], case: Case) -> Found:
    """Of claims about values the one that is told, and where."""
    claim, site, shape = min(found, key=lambda each: (simpler(each[0]), each[1].line, each[1].instruction))
    alike = [other for c, other, _ in found if c.same_as(claim)]  # why: a minus may be on any line of a path
    written = getattr(inspect.unwrap(case.pair.backward), "__code__", None)
    alike = [other for other in alike if other.code is written] or alike
    alike = [other for other in alike if not other.is_returned] or alike
    where = f"a value of {lines_of(alike, MANY)}" if len({each.line for each in alike}) > 1 else site.place
    file = Path(site.code.co_filename).name
    elsewhere = not site.is_returned and file != Path(getattr(written, "co_filename", file)).name
    maybe = [number_of(c) for c, other, _ in found if other == site and claim.kind == "constant"]
    maybe = list(dict.fromkeys(filter(None, maybe)))
    minus, others = other_signs(found, claim, site), other_factors(found, claim, site)
    values = [run.values for each in held if each.site == site for run in each.points[0].runs]
    still = bool(values) and same(values[0].get(site), values[-1][site])
    where = f"{where} of {file}" if elsewhere else where
    helper = "" if elsewhere or site.is_returned or site.code is written else site.code.co_name
    helper = helper if helper.isidentifier() and "backward" not in helper and "line" in where else ""
    return Found(claim, where, shape, maybe=tuple(maybe), minus=minus, others=others, fixed=still, helper=helper)


def other_signs(found: Sequence[tuple[Claim, Site, tuple[int, ...]]], claim: Claim, site: Site) -> str:
    """Where + stands for -, the lines on the way there at which a minus may be missing just as well."""
    if claim.cause != "sign" or claim.kind != "changed: operator":
        return ""
    return lines_of([other for c, other, _ in found if c.cause == "sign" and other.line not in (0, site.line)], MANY)


def other_factors(found: Sequence[tuple[Claim, Site, tuple[int, ...]]], claim: Claim, site: Site) -> str:
    """Where a factor is missing, or too many, the lines on the way there at which it may be just as well."""
    kinds = ("changed: beside", "changed: too many")
    if not claim.kind.startswith(kinds):
        return ""
    same_word = [(c, other) for c, other, _ in found if c.kind.startswith(kinds) and c.detail[1] == claim.detail[1]]
    return lines_of([other for _, other in same_word if other.line not in (0, site.line)])


def number_of(claim: Claim) -> str:
    """The number known by a name that a change brings in, or divides by."""
    if claim.cause != "factor" or not claim.kind.startswith(("changed: beside", "changed: too many")):
        return ""
    return claim.detail[1] if claim.kind.startswith("changed: beside") else f"1 / {claim.detail[1]}"


def claims_at_sites(
    cases: list[Case], families: Sequence[tuple[Mapping[str, Hypothesis], bool]], once: bool = False
) -> tuple[list[tuple[Claim, Site, tuple[int, ...]]], list[Held]]:
    """All that families of hypotheses say about the values that would explain it; and where these are.

    A family speaks of entries that are known, or (False) of all of them, seen through what is known. once: of what
    runs once alone.
    """
    said: list[tuple[Claim, Site, tuple[int, ...]]] = []
    held: list[Held] = []
    for mixed in (False, True):
        try:
            points = [point_at(case, mixed, n) for n, case in enumerate(cases)]
            sites = [site for site in leading(points[0]) if not once or len(points[0].runs[-1].values[site]) == 1]
            solutions = [{site: s for site in sites if (s := solved(points[0], site))}]
            solutions += [{site: s for site in solutions[0] if (s := solved(point, site))} for point in points[1:]]
        except Exception:  # somebody's function may refuse arrays that are followed
            continue
        hold = [site for site in solutions[0] if all(site in each for each in solutions)]
        alone = len(cases[0].seen) == 1  # why: with as many unknowns as equations any line would do
        lines = [site for site in hold if not site.is_returned]
        spare = [site for site in lines if alone or solutions[0][site].spare > 0]
        held += [Held(site, points, [each[site] for each in solutions]) for site in spare]
        held += [Held(site, points, [], tight=True) for site in lines if site not in spare]
        held += [Held(site, points, []) for site in (() if once else leading(points[0], bent=True))]
        for hypotheses, whole in families:
            some = lines if whole else hold  # why: of gradients that come back all was said before
            there = [at_sites(*each, some, whole) for each in zip(points, solutions, strict=True)]
            names = [name for name in there[0].seen if all(name in case.seen for case in there)]
            there = [case._replace(seen={name: case.seen[name] for name in names}) for case in there]
            for about in opinions(there, hypotheses).values():
                for name, claims in about.items():
                    numbers = sum(np.count_nonzero(case.seen[name].right) for case in there)
                    site, shape = some[int(name)], there[0].seen[name].shape
                    single = len(points[0].runs[-1].values[site]) == 1
                    claims = [c for c in claims if numbers >= EVIDENCE and speaks_of_it(c, site)]
                    claims = [fixed(c) if mixed else c for c in claims if single or c.kind != "shuffled"]
                    claims = [c for c in claims if not mixed or c.kind != "paths"]  # why: without dy there are none
                    said += [(at(site, c), site, shape) for c in claims]
    return said, held


def forgotten_by_all(cases: list[Case], own: Mapping[str, Hypothesis]) -> Found:
    """The value that every wrong gradient lacks, each in its own way: what is used twice, and passed on once."""
    lacked: list[dict[str, Claim]] = []  # for every input: by value, the simplest claim
    for name in cases[0].seen:
        said, _ = claims_at_sites([only(case, name) for case in cases], ((own, False),), once=True)
        claims = sorted((c for c, _, _ in said if c.kind == "value forgotten"), key=simpler, reverse=True)
        lacked.append({claim.detail[0]: claim for claim in claims})
    common = [value for value in lacked[0] if all(value in each for each in lacked)]
    if not common:
        return Found()
    value = min(common, key=lambda value: (sum(each[value].cost for each in lacked), value))
    return Found(Claim("missing-term", "value forgotten by all", detail=(value,), cost=2.5))


def only(case: Case, name: str) -> Case:
    """The case of one wrong input; the others are neither right nor asked."""
    asked = tuple(n for n in case.weights if n == name or n not in case.seen)
    return case._replace(seen={name: case.seen[name]}, asked=asked)


def speaks_of_it(claim: Claim, site: Site) -> bool:
    """Is a claim about the value of a line clear, about this line, not one before it, and not in terms of itself?"""
    name = re.match(r"(\w+)(\[.*\])?$", site.text)
    own = site.variable or (name[1] if name else "")
    itself = own and any(re.search(rf"\b{re.escape(own)}\b", word.name) for word in claim.words)
    return claim.cost < VAGUE and claim.place not in ("out", "mid") and not itself


def fixed(claim: Claim) -> Claim:
    """A claim about a value that does not depend on dy: what is missing from it is a number, or an array, alone."""
    return claim._replace(place="fixed") if claim.kind in ("term", "term of its own", "two factors") else claim


def at(site: Site, claim: Claim) -> Claim:
    """Among so many lines a curve is easily the inverse of another one: exp, log, a root or a quotient costs more.

    Where a value of two alone belongs, the other one is a term or a factor; and what lacks a part of one is times that.
    """
    curved = any(word.name.startswith(("exp(", "log(", "sqrt(", "tanh(", "sigmoid(", "1 /")) for word in claim.words)
    if curved or claim.kind in ("shuffled", "paths", "projection") or claim.cause == "sign":
        claim = claim._replace(cost=claim.cost + ODD)
    if claim.kind in ("softmax", "norm") and abs(abs(claim.factor) - 1) > 1e-6:
        claim = claim._replace(cost=claim.cost + LATER)
    value = claim.detail[0] if claim.kind in ("another value", "value forgotten") else ""
    operand = bool(value) and value.removeprefix("(").removesuffix(")") in site.text
    if claim.kind == "value forgotten" and operand and site.does.startswith("multiply"):
        beside = any(is_sum(text) for text in site.parts[1] if text != value.removeprefix("(").removesuffix(")"))
        cause = "missing-term" if beside else "elementwise-factor"
        claim = claim._replace(cause=cause, kind="operand times")
    if claim.kind == "another value" and len(set(claim.detail)) == 1:
        adds = site.does.startswith(("add", "sub"))
        cause = "missing-term" if operand and adds else claim.cause
        claim = claim._replace(cause=cause, kind="operand alone" if operand else claim.kind)
    return claim


def lines_of(sites: Sequence[Site], most: int = FEW) -> str:
    """line 14 (dz @ W), or line 14 or 15: those of some sites, if they are few."""
    sites = [site for site in sites if not site.is_returned] or sites
    numbers = sorted({site.line for site in sites})
    if not numbers or len(numbers) > most:
        return ""
    if len(numbers) > 1:
        return f"line {', '.join(map(str, numbers[:-1]))} or {numbers[-1]}"
    return max((site._replace(time=None).place for site in sites), key=len)


def at_sites(point: Point, solutions: Mapping[Site, Solved], sites: list[Site], whole: bool) -> Case:
    """The case of these values: each is an input, by its number, whose gradient is wrong.

    whole: only the entries that are known; else all of them, seen through what is known.
    """
    case, first = point.case, point.runs[-1].values
    scale = np.array([dy.flat[o] for dy, o in zip(point.dys, case.outs, strict=False)])
    if point.mixed:
        case, scale = case._replace(shape=(), outs=np.zeros(1, int), around={}, fixed=True), np.ones(1)
    seen = {}
    for number, site in enumerate(sites):
        solution = solutions[site]
        shape = first[site].shape[1:] if len(first[site]) == 1 else first[site].shape
        right, got = (a[: len(scale)].reshape(len(scale), -1) for a in (solution.right, solution.got))  # (K, n)
        entries = np.flatnonzero(solution.known) if whole else np.arange(right.shape[1])
        through = None if whole or solution.known.all() else solution.through
        one = Seen(str(number), shape, entries, right, list(got.reshape(-1, *shape)), scale, True, True, None, {}, {})
        one = one._replace(through=through)
        if entries.size:
            seen[str(number)] = one._replace(
                right=one.picked(right.reshape(-1, *shape)),
                beside={} if whole or len(first[site]) > 1 else others(point, solution.values[: len(scale)], site),
            )
    still = {site: a for site, a in first.items() if same(point.runs[0].values.get(site), a)}  # why: a word has no dy
    names = {site.variable: a[0] for site, a in still.items() if len(a) == 1 and site.variable}
    arrays = {**names, **case.weights, **case.arrays}
    known = vocabulary(arrays, case.weights)
    values = {word.name: a for word, a in known.items()}
    return case._replace(seen=seen, words=list(known), values=values, arrays=arrays)


def others(point: Point, after: list[dict[Site, np.ndarray]], site: Site) -> dict[str, np.ndarray]:
    """dy, or the arrays in play, and what the other lines compute, if it does not depend on this one; (K, *shape)."""
    found = {name: a[None] for name, a in point.case.arrays.items()} if point.mixed else {"dy": point.dys[: len(after)]}
    for other, times in point.runs[-1].values.items():
        unmoved = (same(one.values.get(other), two.get(other)) for one, two in zip(point.runs, after, strict=False))
        if site.is_returned and len(times) > 1 and times.shape[1:] == point.runs[-1].values[site].shape[1:]:
            found[f"{EVERY}{other.value}"] = np.stack([each[other] for each in after])  # (K, times, *shape)
        if other != site and len(times) == 1 and all(unmoved):
            value = np.stack([each[other][0] for each in after])
            if not any(same(value, known) for known in found.values()):
                found[as_it_was(other)] = value
    return found


def as_it_was(site: Site) -> str:
    """How a value is written; where a later line gives its name to another one, its line is told, too."""
    return f"({site.variable} as in line {site.line})" if site.is_overwritten else site.value
