"""Do draws, or a mean, follow exp(-nll) at other logits: negated, doubled, with twice the parameter, or swapped?

A slip about a parameter (its square, its reciprocal, its complement, a number times it) is a change of its logit l,
whatever the family is. What is found must hold at all logits that are tried, and no other change may do as well.

Sizes: n draws, L pixels, each with its own logits, P parameters.
"""

import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from scratchvae.backend import to_numpy
from scratchvae.checks.likelihood.density import Mass
from scratchvae.checks.likelihood.draws import ALLOWED, of_the_distribution
from scratchvae.checks.likelihood.lattices import at_once, attempt
from scratchvae.checks.likelihood.witnesses import OTHER_SEED, drawn
from scratchvae.layers import softplus

DRAWS = 20_000  # of a pixel: a standard deviation that is 4 % off is seen
FEW = 1000
BESIDE = np.array([-1.6, 0.7, 1.9])  # other values of a parameter, where a change must hold as well
UNSEEN = 3  # of the rows at most, where draws are infinite or a density is out of reach
MANY = 3  # with more parameters there are too many changes to tell one from a coincidence
ORDER = ("the first", "the second", "the third")

Function = Callable[[np.ndarray], np.ndarray]


class Change(NamedTuple):
    """What stands for a logit l; made tells what this makes of a parameter a of it, and undone what undoes it."""

    words: str
    value: Function
    made: str
    undone: str
    cause: str = "elementwise-factor"


def inverse_softplus(a: np.ndarray) -> np.ndarray:
    return a + np.log(-np.expm1(-a))


def of_softplus(words: str, value: Function, made: str, undone: str, cause: str = "elementwise-factor") -> Change:
    """A change of a parameter that is the softplus of its logit."""
    made, undone = (text.replace("exp(l)", "softplus(l)") for text in (made, undone))
    return Change(f"{words}{SOFTPLUS}", lambda row: inverse_softplus(value(softplus(row)[0])), made, undone, cause)


def multiplied(c: float, name: str) -> tuple[Change, ...]:
    """The parameter times a number, and divided by it."""
    many, few = f"{name} * exp(l) for exp(l)", f"exp(l) / {name} for exp(l)"
    return (
        Change(f"l + log {name}", lambda row: row + math.log(c), many, few, "factor"),
        Change(f"l - log {name}", lambda row: row - math.log(c), few, many, "factor"),
        of_softplus(f"{name} * softplus(l)", lambda a: c * a, many, few, "factor"),
        of_softplus(f"softplus(l) / {name}", lambda a: a / c, few, many, "factor"),
    )


OTHER = "one parameter for the other"
SOFTPLUS = " in place of softplus(l)"
TURNED = "1 / exp(l) for exp(l)"
COMPLEMENT = f"{TURNED}, or 1 - sigmoid(l) for sigmoid(l)"
SQUARE, ROOT = "the square of exp(l) for exp(l)", "the root of exp(l) for exp(l)"
SOFT, EXP = "softplus(l) for exp(l)", "exp(l) for softplus(l)"
SOFT_ROOT, EXP_ROOT = "softplus(l) for exp(l / 2)", "exp(l / 2) for softplus(l)"
TURNED_SQUARE, TURNED_ROOT = "1 / exp(l)^2 for exp(l)", "1 / sqrt(exp(l)) for exp(l)"
CHANGES = (
    Change("-l", lambda row: -row, COMPLEMENT, COMPLEMENT),
    Change("2 l", lambda row: 2 * row, SQUARE, ROOT),
    Change("l / 2", lambda row: row / 2, ROOT, SQUARE),
    Change("-2 l", lambda row: -2 * row, TURNED_SQUARE, TURNED_ROOT),
    Change("-l / 2", lambda row: -row / 2, TURNED_ROOT, TURNED_SQUARE),
    Change("0", lambda row: 0 * row, "a number for exp(l)", "exp(l) for a number"),
    of_softplus("1 / softplus(l)", lambda a: 1 / a, TURNED, TURNED),
    of_softplus("softplus(l)^2", lambda a: a * a, SQUARE, ROOT),
    of_softplus("sqrt(softplus(l))", np.sqrt, ROOT, SQUARE),
    Change("log(softplus(l))", lambda row: np.log(softplus(row)[0]), SOFT, EXP),
    Change("2 log(softplus(l))", lambda row: 2 * np.log(softplus(row)[0]), SOFT_ROOT, EXP_ROOT),
    Change("log(exp(exp(l)) - 1)", lambda row: inverse_softplus(np.exp(row)), EXP, SOFT),
    *(
        change
        for c, name in ((2.0, "2"), (4.0, "4"), (3.0, "3"), (2**0.5, "sqrt(2)"))
        for change in multiplied(c, name)
    ),
)
PLACES = {  # what a change is to a logit that is itself the place of the density
    "-l": ("-l for l", "-l for l", "sign"),
    "2 l": ("2 l for l", "l / 2 for l", "factor"),
    "l / 2": ("l / 2 for l", "2 l for l", "factor"),
    "0": ("0 for l", "l for 0", "missing-term"),
}


class Elsewhere(NamedTuple):
    """The one change of logits that explains what is seen."""

    words: str  # "-l in place of the second logit l"
    made: str
    undone: str
    cause: str


def rows_of(masses: list[Mass]) -> np.ndarray:
    """Their logits (L, P), and others beside."""
    rows = np.stack([mass.pixel.logits for mass in masses])  # (L, P)
    beside = np.stack([np.roll(BESIDE, j) for j in range(rows.shape[1])], axis=1)  # (3, P)
    return np.concatenate([rows, beside])


def changes(rows: np.ndarray) -> list[tuple[Elsewhere, np.ndarray]]:
    """Every change of one logit, of all of them, or of their order, and the rows (L, P) that it makes."""
    P = rows.shape[1]
    if P > MANY:
        return []
    found, column = [], np.arange(P)
    for which in [column == j for j in range(P)] + [column >= 0] * (P > 1):
        one = f"{ORDER[which.argmax()]} logit" if P > 1 else "the logit"
        name = one if which.sum() == 1 else "every logit"
        for words, value, made, undone, cause in CHANGES:
            text = f"{words}, l being {name}" if words.endswith(SOFTPLUS) else f"{words} in place of {name} l"
            found.append((Elsewhere(text, made, undone, cause), np.where(which, value(rows), rows)))
    for i, j in itertools.combinations(range(P), 2):
        order = column.copy()
        order[[i, j]] = j, i
        text = f"{ORDER[i]} and {ORDER[j]} logit in each other's place"
        found.append((Elsewhere(text, OTHER, OTHER, "elementwise-factor"), rows[:, order]))
    return [(change, changed) for change, changed in found if np.isfinite(changed).all()]


def explained(masses: list[Mass], fits: Callable[[Mass, int], bool | None]) -> Elsewhere | None:
    """The change after which the masses fit what is seen at every row of rows_of(masses); None if it is not one alone.

    Where nothing is seen fits is None; that may be so at a few rows.
    """
    rows, pixel, found = rows_of(masses), masses[0].pixel, []
    for change, changed in changes(rows):
        seen = 0
        for j, row in enumerate(changed):
            one = attempt([pixel._replace(logits=row)], masses[0].lattice, at_once)  # why: most changes are wrong ones
            known = one and one[0].settled and 0 < one[0].total < math.inf
            fit = fits(one[0], j) if known else None
            seen += fit is True
            if fit is False or j + 1 - seen > UNSEEN:
                break
        else:
            found.append((change, changed))
    if len(found) != 1:  # why: of two, one is a coincidence
        return None
    ((change, changed),) = found
    return of_a_place(change, rows, changed, masses)


def of_a_place(change: Elsewhere, rows: np.ndarray, changed: np.ndarray, masses: list[Mass]) -> Elsewhere:
    """Of a logit that is itself the place of the density, minus and twice are a sign and a number."""
    moved = attempt([masses[0].pixel._replace(logits=row) for row in changed[: len(masses)]], masses[0].lattice)
    shift = (changed - rows).sum(axis=1)  # (L + 3,)
    off = [
        abs(abs(b.mean - a.mean) - abs(c)) - ALLOWED * (a.scale + b.scale)
        for a, b, c in zip(masses, moved, shift, strict=False)
    ]
    if not np.max(off) <= 0:  # why: it may be NaN
        return change
    how, other, cause = PLACES.get(change.words.split(" in place")[0], (change.made, change.undone, change.cause))
    return change._replace(cause=cause, made=how, undone=other)


def of_the_draws(masses: list[Mass]) -> Elsewhere | None:
    """The change of logits after which exp(-nll), divided by its total, is what the draws follow."""
    pixels = [masses[0].pixel._replace(logits=row) for row in rows_of(masses)]
    if len(pixels[0].logits) > MANY:
        return None
    x = [drawn([pixel], DRAWS) for pixel in pixels]  # (n, 1) each
    ends = masses[0].pixel.support

    def follow(mass: Mass, j: int) -> bool | None:
        at_random = x[j]
        if at_random is None or (not mass.lattice and np.isin(at_random, ends).mean() > 0.01):  # why: underflow
            return None
        with np.errstate(all="ignore"):
            return all(
                claim.status == "ok"
                for some in (at_random[:FEW], at_random)  # why: few show that most changes are wrong
                for claim in itertools.islice(of_the_distribution(some, [mass], np.random.default_rng(OTHER_SEED)), 3)
            )

    return explained(masses, follow)


def of_the_mean(masses: list[Mass]) -> Elsewhere | None:
    """The change of logits after which mean is that of exp(-nll)."""
    try:
        mean = to_numpy(masses[0].pixel.likelihood.mean(rows_of(masses)))  # (L + 3, 1)
    except Exception:  # somebody's code may do anything
        return None

    def agree(mass: Mass, j: int) -> bool | None:
        known = mass.mean_error < 0.1 * ALLOWED * mass.scale
        return bool(abs(mean[j, 0] - mass.mean) <= ALLOWED * mass.scale) if known else None

    return explained(masses, agree)
