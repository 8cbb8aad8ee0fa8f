"""A softplus that keeps its digits for every number: judged by its absolute error and by its relative one, as the page.

Size: B numbers.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from scratchvae.checks.report import Finding, Report, Row
from scratchvae.exercises.blank import POINTS, Blank, Slip, in_order, of_the_shape

DIGITS = np.finfo(np.float64)
UNIT = 16 * float(DIGITS.eps)  # what an answer may be off by, as on the page's map


def stable_softplus(a):
    """log(1 + exp(a)) with all its digits, entry by entry, for a from -1000 to 1000: (B,) -> (B,)."""
    return np.maximum(a, 0) + np.log1p(np.exp(-np.abs(a)))


def softplus_by_a_loop(a: np.ndarray) -> np.ndarray:
    """The integral of the sigmoid up to a: where that is nearly 0 or 1, from its series e^a - e^2a / 2 + ..."""

    def from_the_left(a: float) -> float:
        if a > -3:
            return math.log(1 + math.exp(a))
        return sum((-1) ** (n + 1) * math.exp(n * a) / n for n in range(1, 20))

    return np.array([from_the_left(v) if v < 0 else v + from_the_left(-v) for v in a.tolist()])


def near_and_far(rng: np.random.Generator) -> np.ndarray:
    """A number in each unit from -40 to 40, so that none can be cut off unseen; and four that are far out."""
    far, farther = rng.uniform(40, 300), rng.uniform(720, 1000)
    return np.array([-farther, farther, -far, far, *(np.arange(-40, 40) + rng.uniform(0, 1, 80))])


def judge(answer: Callable[..., Any], rng: np.random.Generator) -> Report:
    """A finding if one of the numbers is off by more than the page's map calls right."""
    report = Report("")
    for _ in range(POINTS):
        a = near_and_far(rng)
        got, true = in_order(answer(a.copy()), 1), softplus_by_a_loop(a)
        if len(got) != 1:
            text = f"one value should be returned, softplus, and there are {len(got)}"
            finding: Finding | None = Finding(("softplus",), "shape", text)
        elif (finding := of_the_shape("softplus", a.shape, got)) is None:
            finding = of_the_digits(a, np.asarray(got[0], float), true)
        if finding is not None:
            report.rows, report.findings = [Row("softplus", a.shape, np.nan, "wrong")], [finding]
            return report
    report.rows = [Row("softplus", a.shape, 0.0, "ok")]
    return report


def of_the_digits(a: np.ndarray, got: np.ndarray, true: np.ndarray) -> Finding | None:
    """What can be said of the error: which of the two it is, on which side, and what was left out there."""
    off = np.abs(got - true)
    lost = off > UNIT * true + float(DIGITS.smallest_normal)
    large = off > UNIT * np.maximum(1, true)
    left = a < 0
    if not lost.any():
        return None
    if not large.any():
        cause, message = "precision", NOTHING if (got[lost] == 0).all() else ROUNDED
    elif (got == a)[large].all():
        cause, message = "missing-term", f"for a = {a[large].min():.1f} it returns a alone: {TOO_SOON}"
    elif (large & ~left).sum() > 1 and np.isfinite(got).all() and np.ptp(got[large & ~left]) == 0:
        cause, message = "missing-term", CLIPPED
    elif (got[large] == 0).all() and left[large].all():
        cause, message = "missing-term", f"for a = {a[large].max():.1f} it returns 0: exp(a) is small there, and not 0"
    else:
        worst = off[large].argmax()
        place = int(np.flatnonzero(large)[worst])
        return Finding(("softplus",), "unknown", OTHER, "", None, (place,), float(true[place]), float(got[place]))
    return Finding(("softplus",), cause, message)


TOO_SOON = "what is added to it is small there, and the digits have room for it still"
ROUNDED = (
    "small values have lost their digits: the sum 1 + u keeps few of those of a small u, or none. "
    "np.log1p(u) is log(1 + u) without that sum"
)
CLIPPED = "what is clipped is the same for all large a: there softplus should go on growing as a does"
NOTHING = "far to the left it is 0, where softplus is small and positive: what is left of it there?"
OTHER = "softplus has other numbers than it should have"


SOFTPLUS = Blank(
    stable_softplus,
    lambda rng: (near_and_far(rng),),
    judge,
    (
        "exp(a) is harmless for a < 0. For a > 0 take exp(a) out of 1 + exp(a): what is left in the logarithm, and "
        "what stands in front of it?",
        "for a > 0: a + log(1 + exp(-a)); for a < 0: log(1 + exp(a))",
        "np.maximum(a, 0) + np.log1p(np.exp(...)), where the exponent is never positive",
    ),
    (
        Slip(
            lambda a: np.log(1 + np.exp(a)),
            "non-finite",
            "exp(a) overflows for a large a, and the logarithm of inf is inf: take a out of the logarithm there",
        ),
        Slip(
            lambda a: -np.log(1 - 1 / (1 + np.exp(-a))),
            "non-finite",
            "for a > 37 the probability rounds to 1, and this is -log(0): do not go through it",
        ),
        Slip(
            lambda a: a + np.log(1 + np.exp(-a)),
            "non-finite",
            "this form is for a > 0: far to the left exp(-a) overflows in its turn",
        ),
        Slip(
            lambda a: np.maximum(a, 0) + np.log(1 + np.exp(-a)),
            "non-finite",
            "what is added to max(a, 0) overflows far to the left: its exponent should never be positive",
        ),
        Slip(
            lambda a: np.maximum(a, 0) + np.log(1 + np.exp(np.abs(a))),
            "non-finite",
            "exp(|a|) overflows on both sides: which sign keeps the exponent from being positive?",
        ),
        Slip(
            lambda a: np.where(a < 0, a + np.log(1 + np.exp(-a)), np.log(1 + np.exp(a))),
            "non-finite",
            "the two sides are exchanged: each exponential overflows where it is used",
        ),
        Slip(
            lambda a: a + np.log1p(np.exp(-np.abs(a))),
            "missing-term",
            "for a < 0 nothing was taken out of the logarithm, and a is added all the same",
        ),
        Slip(
            lambda a: np.log(1 + np.exp(np.clip(a, -500, 500))),
            "missing-term",
            CLIPPED,
        ),
        Slip(
            lambda a: np.maximum(a, 0),
            "missing-term",
            "this is relu: it agrees far out, and near 0 softplus lies above it. What is log(1 + exp(0))?",
        ),
        Slip(
            lambda a: np.log1p(np.exp(-np.abs(a))),
            "missing-term",
            "it falls to 0 on both sides: for a > 0 the a that was taken out is missing",
        ),
        Slip(
            lambda a: np.where(a > 0, a, np.log1p(np.exp(a))),
            "missing-term",
            "for a > 0 there is more than a: what is left of 1 + exp(a) when exp(a) is taken out?",
        ),
        Slip(
            lambda a: np.maximum(a, 0) - np.log1p(np.exp(-np.abs(a))),
            "sign",
            "the logarithm has the wrong sign: softplus lies above max(a, 0)",
        ),
        Slip(
            lambda a: np.exp(np.minimum(a, 0)) / (1 + np.exp(-np.abs(a))),
            "elementwise-factor",
            "this is the sigmoid, the slope of softplus: wanted is the function itself",
        ),
        Slip(
            lambda a: np.abs(a) + np.log1p(np.exp(-np.abs(a))),
            "elementwise-factor",
            "it is the same for a and for -a: far to the left softplus is near 0",
        ),
    ),
)
