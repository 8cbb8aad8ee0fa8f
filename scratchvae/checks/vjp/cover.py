"""What is believed: what every hypothesis says at every point, and the smallest set of it that covers all inputs."""

import itertools
import math
from collections.abc import Iterable, Mapping

from scratchvae.checks.vjp.case import Case, Claim, Hypothesis

VAGUE = 5.0  # claims of this cost name no array: they are told where nothing better is known
SEVERAL = 5  # more explanations than so many are no explanation
MANY = 16  # of more, those that explain less than another one are left out

Opinions = dict[str, dict[str, list[Claim]]]  # by hypothesis, by input
Believed = tuple[Claim, frozenset[str]]  # a claim, and the inputs that it explains


def opinions(cases: Iterable[Case], hypotheses: Mapping[str, Hypothesis]) -> Opinions:
    """What every hypothesis says about every input, at every point; points are asked for while something is left."""
    cases = iter(cases)
    first = next(cases)
    wrong = {name: seen for name, seen in first.seen.items() if not seen.is_right}  # why: 0 is explained by anything
    said = {key: {name: list(h(first, seen)) for name, seen in wrong.items()} for key, h in hypotheses.items()}
    while any(claims for about in said.values() for claims in about.values()) and (case := next(cases, None)):
        for key, about in said.items():
            for name, claims in about.items():
                about[name] = repeated(claims, hypotheses[key](case, case.seen[name])) if claims else []
    return said


def repeated(claims: Iterable[Claim], again: Iterable[Claim]) -> list[Claim]:
    """Those of the claims that are made again. Of an input of few numbers there may be thousands at the first point."""
    by_text: dict[Claim, list[Claim]] = {}
    for other in again:
        by_text.setdefault(other.text, []).append(other)
    return [claim for claim in claims if any(claim.same_as(other) for other in by_text.get(claim.text, ()))]


def smallest_cover(said: Opinions, below: float = math.inf) -> list[Believed]:
    """The explanations that cover the most inputs; of such sets the smallest, then the simplest, then by name.

    Only claims that cost less than below take part.
    """
    claims = [(name, c) for about in said.values() for name, cs in about.items() for c in cs if c.cost < below]
    by_names: dict[frozenset[str], Claim] = {}
    for _, claim in claims:
        names = frozenset(name for name, other in claims if claim.is_like(other))
        if not all(any(claim.same_as(other) for n, other in claims if n == name) for name in names):
            claim = claim._replace(either=True)
        if names not in by_names or simpler(claim) < simpler(by_names[names]):
            by_names[names] = claim
    candidates = [(claim, names) for names, claim in by_names.items()]
    if len(candidates) > MANY:
        candidates = [each for each in candidates if not any(each[1] < names for _, names in candidates)]
    most = len(union(candidates))
    best: tuple[Believed, ...] = ()
    for n in range(1, min(SEVERAL, len(candidates)) + 1):
        sets = itertools.combinations(candidates, n)
        best = min([best, *sets], key=lambda chosen: (-len(union(chosen)), len(chosen), *cost(chosen)))
        if len(union(best)) == most:
            break
    return sorted(best, key=lambda each: sorted(each[1]))


def simpler(claim: Claim) -> tuple[float, str]:
    """Its cost, and an order among equals that does not depend on the last digits of a constant."""
    return claim.cost, repr(claim._replace(factor=float(f"{claim.factor:.6g}")))


def cost(chosen: Iterable[Believed]) -> tuple[float, str]:
    """What a set of explanations costs, and an order among equals that is no accident."""
    return sum(claim.cost for claim, _ in chosen), repr(sorted(repr(claim) for claim, _ in chosen))


def union(chosen: Iterable[Believed]) -> set[str]:
    return {name for _, names in chosen for name in names}
