"""What is believed: what every hypothesis says at every point, and the smallest set of it that covers all inputs."""

import itertools
import math
from collections.abc import Iterable, Mapping

from scratchvae.checks.vjp.case import Case, Claim, Hypothesis

VAGUE = 5.0  # claims of this cost name no array: they are told where nothing better is known
SEVERAL = 5  # more explanations than so many are no explanation

Opinions = dict[str, dict[str, list[Claim]]]  # by hypothesis, by input
Believed = tuple[Claim, frozenset[str]]  # a claim, and the inputs that it explains


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
        names = frozenset(name for name, other in claims if claim.is_like(other))
        if not all(any(claim.same_as(other) for n, other in claims if n == name) for name in names):
            claim = claim._replace(either=True)
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
