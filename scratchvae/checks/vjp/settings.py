"""Is the constant of a claim a number that was handed in? It is made again where every setting is another one."""

import itertools
from collections.abc import Mapping
from functools import cached_property

from scratchvae.backend import Array
from scratchvae.checks.report import listed
from scratchvae.checks.vjp.call import Pair, Values
from scratchvae.checks.vjp.case import Case, Claim, Hypothesis
from scratchvae.checks.vjp.cover import Opinions
from scratchvae.checks.vjp.point import Hints, other_settings, with_other_settings
from scratchvae.checks.vjp.told import number

POWERS = {1: "{0}", 2: "{0}**2", -1: "1 / {0}", -2: "1 / {0}**2"}
EQUAL = 1e-5


def held(pair: Pair) -> str:
    """reg is 0.5 and beta is 2."""
    return listed([f"{name} is {pair.constants[name]:g}" for name in other_settings(pair)])


class Settings:
    """Claims about the gradients at a point, asked again with other settings."""

    def __init__(self, pair: Pair, x: Values, index: Mapping[str, Array], hints: Hints) -> None:
        self.pair, self.moved, self.at = pair, other_settings(pair), (x, index, hints)

    @cached_property
    def cases(self) -> list[Case]:
        """The point with other settings, made when it is asked for; none if there are no settings."""
        return list(with_other_settings(self.pair, *self.at))

    def front(self, claim: Claim, name: str, said: Opinions, hypotheses: Mapping[str, Hypothesis]) -> str | None:
        """The constant in terms of settings, the front of a product; "" if it is none; None if nothing holds there."""
        claim = claim._replace(either=False)
        if not any(claim.same_as(other) for about in said.values() for other in about.get(name, ())):
            return ""  # why: what the rows alone have said
        for case in self.cases:
            again = claim_at(case, claim, name, said, hypotheses)
            if again is None:
                return None
            change = again.factor / claim.factor
            return "" if abs(change - 1) < EQUAL else self.in_terms(claim.factor, change)
        return ""

    def in_terms(self, c: float, change: float) -> str | None:
        for n in (1, 2):
            for names in itertools.combinations(self.moved, n):
                for powers in itertools.product(POWERS, repeat=n):
                    if abs(self.product(self.shares, names, powers) / change - 1) < EQUAL:
                        words = [POWERS[p].format(name) for name, p in zip(names, powers, strict=True)]
                        values = self.product(self.pair.constants, names, powers)
                        return f"{number(c / values)}{' * '.join(words)} * "
        return None

    @property
    def shares(self) -> dict[str, float]:
        return {name: value / self.pair.constants[name] for name, value in self.moved.items()}

    def product(self, of: Mapping[str, float], names: tuple[str, ...], powers: tuple[int, ...]) -> float:
        result = 1.0
        for name, p in zip(names, powers, strict=True):
            result *= of[name] ** p
        return result


def claim_at(case: Case, claim: Claim, name: str, said: Opinions, hypotheses: Mapping[str, Hypothesis]) -> Claim | None:
    """The same claim there, whatever its constant; None if it is not made."""
    for key, about in said.items():
        if any(claim.same_as(other) for other in about.get(name, ())):
            again = [other for other in hypotheses[key](case, case.seen[name]) if other.text == claim.text]
            if again:
                return min(again, key=lambda other: abs(other.factor - claim.factor))
    return None
