"""Why an optimizer moves its parameters in another way than its reference.

Sizes: T steps, N entries.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from scratchvae.checks.amounts import number, off_by, same
from scratchvae.checks.optimizer.adam import corrected
from scratchvae.checks.optimizer.families import FAMILIES
from scratchvae.checks.optimizer.rules import NAMES, Family, Run, numbers_of
from scratchvae.checks.report import Finding
from scratchvae.checks.vjp.case import ratio

ROUNDING = 8 * float(np.finfo(float).eps)
EXPLAINED = 1e-7  # relative: what a rule may leave over
DECAYS = [f * 10.0**-k for k in range(7) for f in (1.0, 5.0, 2.0)]


class Steps(NamedTuple):
    """What a parameter did, (T, N) each: gradient, value before the step, move, and the move that was wanted."""

    g: np.ndarray
    p: np.ndarray
    move: np.ndarray
    wanted: np.ndarray

    @property
    def off(self) -> np.ndarray:
        """|move - wanted| relative to what was wanted, beside what rounding of the parameter leaves of it."""
        with np.errstate(all="ignore"):
            off = np.abs(self.move - self.wanted) / (
                np.abs(self.wanted) + 1e9 * ROUNDING * (np.abs(self.p) + np.abs(self.wanted))
            )
        return np.nan_to_num(off, nan=np.inf)

    def follows(self, move: np.ndarray, times: np.ndarray | float = 1.0) -> bool:
        """Is this, times something, what it did?"""
        rounding = ROUNDING * np.maximum(1, np.abs(times)) * (np.abs(self.p) + np.abs(move))
        return bool((np.abs(self.move - times * move) <= EXPLAINED * np.abs(times * move) + rounding).all())


def joined(parts: Mapping[str, Steps]) -> Steps:
    return Steps(*(np.concatenate(a, axis=1) for a in zip(*parts.values(), strict=True)))


def explain_steps(wrong: Mapping[str, Steps], names: list[str], optimizer: Any, reference: Any) -> list[Finding]:
    """One finding for all that one slip explains: first what does not move at all, then the rest together."""
    still = [name for name, h in wrong.items() if not h.move.any()]
    rest = {name: h for name, h in wrong.items() if name not in still}
    found = []
    if still:
        text = f"step does not move {' and '.join(still)}: it is skipped, or a new array is made of it"
        repair = "every parameter in place: params[name] -= ..."
        found.append(numbered(Finding(tuple(still), "zero", text, repair), wrong[still[-1]]))
    if rest:
        with np.errstate(all="ignore"):
            finding = explain_moves(rest, names, optimizer, reference)
        found.append(numbered(finding._replace(inputs=tuple(rest)), rest[list(rest)[-1]]))
    return found


def numbered(finding: Finding, h: Steps) -> Finding:
    """With the two moves at the worst entry of the first wrong step."""
    t = int(np.flatnonzero((h.off > EXPLAINED).any(axis=1))[0]) if (h.off > EXPLAINED).any() else 0
    i = int(h.off[t].argmax())
    return finding._replace(where=(i,), expected=float(h.wanted[t, i]), got=float(h.move[t, i]))


def explain_moves(wrong: Mapping[str, Steps], names: list[str], optimizer: Any, reference: Any) -> Finding:
    """The first of: a number that is not finite, a constant, a slip of the rule, a number of each step, a curve."""
    h = joined(wrong)
    if not np.isfinite(h.move).all():
        t = int(np.flatnonzero(~np.isfinite(h.move).all(axis=1))[0]) + 1
        return Finding((), "non-finite", f"step {t} moves the parameters to something that is not finite")
    return (
        by_a_constant(wrong, reference)
        or by_a_slip(wrong, names, optimizer, reference)
        or by_a_decay(h)
        or by_a_number_a_step(h)
        or by_a_curve(h)
        or unknown(h)
    )


def by_a_constant(wrong: Mapping[str, Steps], reference: Any) -> Finding | None:
    """One for all of them, or one that each has of its own size."""
    c = {name: float(np.median(h.move / h.wanted)) for name, h in wrong.items()}
    if not all(h.follows(h.wanted, c[name]) for name, h in wrong.items()):
        return None
    first = next(iter(c.values()))
    if all(same(a, first) for a in c.values()):
        text, repair = off_by(first)
        cause = "sign" if same(first, -1.0) else "factor"
        known = [
            f"{one}{name}"
            for name in ("momentum", "beta1")
            for one in ("", "1 - ")
            if is_number(reference, name, one, first)
        ]
        return Finding(
            (), cause, f"every move {text}{''.join(f', which is {name}' for name in known)}", repair, 1 / first
        )
    text = (
        f"the moves of each parameter are multiplied by another number: {' and '.join(number(a) for a in c.values())}"
    )
    return Finding((), "factor", text, "one lr for all: no division by the size of a parameter")


def is_number(reference: Any, name: str, one: str, c: float) -> bool:
    """Is c a number of the reference, or what is left of 1?"""
    value = (numbers_of(reference, (name,)) or {}).get(name, 0.0)
    return 0 < value < 1 and same(c, 1 - value if one else value)


def by_a_number_a_step(h: Steps) -> Finding | None:
    """Whole steps are too long or too short."""
    r = np.median(h.move / h.wanted, axis=1)  # (T,)
    if not h.follows(h.wanted, r[:, None]):
        return None
    t = np.arange(1, len(r) + 1)
    for what, shape in (("1 / t", 1 / t), ("1 / sqrt(t)", t**-0.5), ("t", 1.0 * t)):
        if np.allclose(r, r[0] * shape, rtol=1e-5):
            return Finding((), "factor", f"step t is multiplied by {what}: lr changes with the step count", "one lr")
    if np.allclose(r[1:] / r[:-1], r[1] / r[0], rtol=1e-5):
        return Finding(
            (), "factor", f"each step is {number(r[1] / r[0])} times shorter than meant: lr decays", "one lr"
        )
    first = int(np.flatnonzero(np.abs(r - 1) > EXPLAINED)[0]) + 1
    text = f"from step {first} on whole steps are {number(r[first - 1])}, ... times as long as meant"
    return Finding((), "factor", f"{text}: a number that changes with the step count")


def by_a_curve(h: Steps) -> Finding | None:
    """Every move is multiplied by the same function of its gradient."""
    size = np.abs(h.g)
    curves = {"|grad|": size, "1 / |grad|": 1 / size, "sqrt(|grad|)": np.sqrt(size), "1 / sqrt(|grad|)": size**-0.5}
    for name, a in curves.items():
        c = float(np.median(h.move / (h.wanted * a)))
        if Steps(*(part[:1] for part in h)).follows(h.wanted[:1], c * a[:1]):
            return Finding((), "elementwise-factor", f"a move has a factor too many, {name}, entry by entry")
    largest = float(np.abs(h.move).max())
    if h.follows(np.clip(h.wanted, -largest, largest)):
        return Finding((), "elementwise-factor", f"moves are clipped at {number(largest)}")
    return None


def unknown(h: Steps) -> Finding:
    """From which step on, and in which way."""
    first = int(np.flatnonzero((h.off > EXPLAINED).any(axis=1))[0]) + 1
    if first > 1:
        text = f"the first {first - 1} steps are right, step {first} is not: what is kept from step to step is wrong"
        return Finding((), "missing-term", f"{text} (momentum, squares, the step count)")
    if (h.move * h.wanted >= 0).all():
        text = "step 1 points the right way in every entry, but has another length in each"
        return Finding((), "elementwise-factor", f"{text}: a wrong divisor?")
    return Finding((), "unknown", "step 1 already makes another move than the reference")


# ---------------------------------------------------------------------------------------------------------------------
# Slips of a known rule


def by_a_slip(wrong: Mapping[str, Steps], names: list[str], optimizer: Any, reference: Any) -> Finding | None:
    """What the reference does, with one slip: that is tried only where the reference is seen to follow a known rule."""
    h = joined(wrong)
    for family in FAMILIES:
        given = numbers_of(reference, family.needs)
        if given is None:
            continue
        run = run_of(h, given)
        if not h._replace(move=h.wanted).follows(-run.lr * family.direction(run)):
            continue
        with np.errstate(all="ignore"):
            for slip in family.slips:
                if h.follows(-run.lr * slip.direction(run)):
                    return Finding((), slip.cause, slip.text, slip.repair or family.repair)
            return (
                with_other_numbers(h, family, given, optimizer)
                or with_decay(h, run, family)
                or counted_by_parameter(wrong, names, family, given)
            )
    return None


def run_of(h: Steps, given: Mapping[str, float]) -> Run:
    return Run(h.g, h.p, **{name: given.get(name, 0.0) for name in NAMES})


def with_other_numbers(h: Steps, family: Family, given: Mapping[str, float], optimizer: Any) -> Finding | None:
    """The same rule with another beta, momentum or tiny."""
    own = numbers_of(optimizer, family.needs) or {}
    usual = {"tiny": [10.0**-k for k in range(1, 17)]}
    for name in family.needs[1:]:
        for value in (
            *([own[name]] if name in own else []),
            *usual.get(name, (0.0, 0.5, 0.8, 0.9, 0.95, 0.99, 0.999, 0.9999)),
        ):
            if value != given[name] and h.follows(-given["lr"] * family.direction(run_of(h, {**given, name: value}))):
                text = f"the rule is that of the reference, with {name} = {number(value)}, which is another number"
                return Finding((), "factor", text, f"{name} = {number(given[name])}")
    return None


def by_a_decay(h: Steps) -> Finding | None:
    """A term in the move that grows with the parameter itself, whatever the rule is."""
    if not ((c := ratio(h.move - h.wanted, -h.p)) and h.follows(h.wanted - c * h.p)):
        return None
    where = "towards 0" if c > 0 else "away from 0"
    text = f"each step moves a parameter by {number(abs(c))} of itself as well, {where}: a decay of the weights"
    return Finding((), "missing-term", text, "no decay that the reference does not have")


def with_decay(h: Steps, run: Run, family: Family) -> Finding | None:
    """A multiple of the parameter in its gradient."""
    repair = f"{family.repair}, without a decay of the parameters"
    for c in (*DECAYS, *(-c for c in DECAYS)):
        if h.follows(-run.lr * family.direction(run._replace(g=run.g + c * run.p))):
            text = f"{number(c)} times the parameter is added to its gradient: a decay of the weights"
            return Finding((), "missing-term", text, repair)
    return None


def counted_by_parameter(
    wrong: Mapping[str, Steps], names: list[str], family: Family, given: Mapping[str, float]
) -> Finding | None:
    """A step counter inside of the loop over the parameters."""
    if "beta1" not in family.needs:
        return None
    for name, h in wrong.items():
        run = run_of(h, given)
        if not h.follows(-run.lr * corrected(run, (run.t - 1) * len(names) + names.index(name) + 1)):
            return None
    text = "the step count of the bias correction grows with every parameter, not with every step"
    return Finding((), "factor", text, "t += 1 once a step, outside of the loop over the parameters")
