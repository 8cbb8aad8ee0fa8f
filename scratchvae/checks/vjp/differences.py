"""Derivatives without any derivation: central differences, and how far off each of them may be.

A reading takes y at x +- e, x +- 2e and x +- 4e. Where extrapolations of different orders disagree there is truncation,
a kink or noise; how large y is says what rounding does. Together they are the error bar of a derivative, and from it
follows what can be said of a claim: it agrees, it is wrong, or it cannot be seen.

Steps are walked from a middling one to finer ones until nothing but rounding is left in the bar, and to coarser ones
while rounding is what hides the derivative.

Sizes: n entries of x, M entries of y, K upstream gradients.
"""

import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

START = 5e-4  # the first step, in units of an entry
FINER = tuple(START / 10**k for k in range(11))
COARSER = tuple(START * 10**k for k in range(1, 6))
TOLERANCE = 1e-7  # what a claim may be off by, relative
RIPPLE = 1e-4  # so large, beside y, rounding of larger numbers inside forward may be
SEEN = 1e-4  # the largest error bar of a derivative that counts as seen, relative
FAINT = 1e-2  # the largest error bar of a slope that is there at all, relative
BY_CHANCE = 1e-2  # so much smaller than its terms a sum over the outputs may be by chance
EPSILON = float(np.finfo(float).eps)

Function = Callable[[np.ndarray], np.ndarray]


def size_of(x: np.ndarray) -> float:
    """The root mean square of x, 1 for an array of zeros."""
    return math.sqrt(float((x * x).mean())) or 1.0 if x.size else 1.0


def units(x: np.ndarray) -> np.ndarray:
    """What a step of each entry is measured in: its own size, or a tenth of the usual size where it is near 0."""
    return np.maximum(np.abs(x), 0.1 * size_of(x))  # like x


def length(weights: np.ndarray, a: np.ndarray) -> np.ndarray:
    """The lengths of weights * a, what independent errors add up to: (K, M) and (M,) to (K,)."""
    terms = np.abs(weights * a)
    largest = terms.max(axis=-1, keepdims=True, initial=1e-300)  # why: the square of 1e200 is infinite
    return largest[..., 0] * np.sqrt(((terms / largest) ** 2).sum(axis=-1))


def exact(x: np.ndarray, e: np.ndarray) -> np.ndarray:
    """e rounded such that x +- 4e is exact, if no power of two lies between these two; else nearly so."""
    return (8 * x + e) - 8 * x


class Reading(NamedTuple):
    """The derivative of every output along e, how far it may be off, and how large the outputs were; (M,) each."""

    column: np.ndarray
    doubt: np.ndarray
    level: np.ndarray
    moved: np.ndarray


def reading(y: Function, x: np.ndarray, at: np.ndarray, e: np.ndarray) -> Reading | None:
    """Six values of y beside at, the one at x; None where they are not finite or not alike."""
    odd, even = [], []
    level, moved = np.abs(at), np.zeros(at.shape, bool)
    for k in (1, 2, 4):
        above, below = y(x + k * e).ravel(), y(x - k * e).ravel()
        if above.shape != at.shape or below.shape != at.shape:
            return None
        odd.append((above - below) / (2 * k))
        even.append((above - at) + (below - at))
        level = np.maximum(level, np.maximum(np.abs(above), np.abs(below)))
        moved |= (above != at) | (below != at)
    fine, coarse = (4 * odd[0] - odd[1]) / 3, (4 * odd[1] - odd[2]) / 3  # of fourth order both
    kink = (
        np.abs(64 * even[0] - 20 * even[1] + even[2]) / 118
    )  # of a curve only noise is left, as large as in the other
    column, doubt = (16 * fine - coarse) / 15, np.maximum(np.abs(fine - coarse), kink)
    return Reading(column, doubt, level, moved) if np.isfinite(column + doubt).all() else None


class Sight(NamedTuple):
    """The derivative of f_k = sum(dy_k * y) as one step h sees it, (K,) each; settled: only rounding is in the bars."""

    h: float
    column: np.ndarray  # (M,)
    values: np.ndarray
    bars: np.ndarray
    settled: bool

    @property
    def is_there(self) -> bool:
        """Does it see a slope, rather than none from so far away that a small wave looks flat?"""
        return bool((self.bars <= FAINT * np.abs(self.values)).any())

    def agrees(self, other: "Sight") -> bool:
        return bool((np.abs(self.values - other.values) <= self.bars + other.bars).all())


def sight(found: Reading, dys: np.ndarray, by: float, h: float) -> Sight:
    """What a reading along by times a unit says of each f_k."""
    doubt, rounding = length(dys, found.doubt), EPSILON * length(dys, found.level)
    settled = bool((doubt <= 16 * rounding).all())
    column = found.column / by
    return Sight(h, column, dys @ column, (4 * doubt + 8 * rounding) / abs(by), settled)


def measured(
    y: Function, x: np.ndarray, at: np.ndarray, place: int, dys: np.ndarray, start: float = 1.0
) -> Sight | None:
    """The best sight of the derivative by one entry, the one at place along x.ravel(); None if no step tells anything.

    Shapes    at (M,), dys (K, M).
    """
    unit = start * float(units(x).flat[place])
    slopes, ripple = np.zeros(at.shape), RIPPLE * length(dys, at)

    def look(h: float) -> Sight | None:
        e = np.zeros(x.shape)
        e.flat[place] = h * unit
        e = exact(x, e)
        by = float(e.flat[place])
        found = reading(y, x, at, e) if by else None
        if found is None:
            return None
        stuck = ~found.moved & (slopes > 0)  # why: an output that moved for a larger step has been rounded to a halt
        seen = sight(found._replace(doubt=np.where(stuck, slopes * by, found.doubt)), dys, by, h * unit)
        np.maximum(slopes, np.abs(seen.column), out=slopes)
        return seen

    sights: list[Sight] = []
    for h in FINER:
        if seen := look(h):
            sights.append(seen)
            if seen.settled or (len(sights) > 1 and not seen.column.any()):
                break
    for h in COARSER:
        if not sights or is_fine(best(sights, ripple), dys):
            break
        seen = look(h)
        if seen is None or (not seen.settled and (seen.bars >= best(sights, ripple).bars).any()):
            break
        sights.append(seen)
    return best(sights, ripple) if sights else None


def entry(y: Function, x: np.ndarray, place: int, dys: np.ndarray) -> Sight:
    """The derivative by one entry as the steps that show most of dys @ y see it; not a number where none does."""
    at = y(x).ravel()
    seen = measured(y, x, at, place, dys)
    nothing = np.full(at.shape, math.nan)
    return seen or Sight(math.nan, nothing, dys @ nothing, dys @ nothing, False)


def is_fine(seen: Sight, dys: np.ndarray) -> bool:
    """Is the bar below anything that one would call an error?"""
    size = np.maximum(np.abs(seen.values), BY_CHANCE * length(dys, seen.column))
    return bool((seen.bars <= TOLERANCE * size).all())


def objects(coarse: Sight, fine: Sight, ripple: np.ndarray) -> bool:
    """Does a coarser step see another slope, and no more structure than rounding inside forward may well be?

    On a tread of that staircase a fine step sees a slope as steady as it is wrong. Shapes    ripple (K,).
    """
    small = bool((coarse.bars * coarse.h <= ripple).all())
    return small and coarse.h > fine.h and not coarse.settled and not coarse.agrees(fine)


def best(sights: list[Sight], ripple: np.ndarray) -> Sight:
    """The smallest bars among the sights that the finest settled one agrees with: coarse steps may see another slope.

    If none is settled there is noise larger than rounding, or more structure than any step resolves: then the noise is
    what the steps show of it, and a sight has to have another on its side. Two fine steps that see the same slope are
    believed before coarser ones; and where none do, what is larger than rounding may be a wave, whose slope is unknown.
    """
    sights = [seen for seen in sights if seen.h <= sights[0].h or seen.is_there]
    settled = [seen for seen in sights if seen.settled]
    if settled and (objecting := [seen for seen in sights if objects(seen, settled[0], ripple)]):
        sights = objecting
        if len(objecting) == 1 or not all(one.agrees(two) for one, two in itertools.pairwise(objecting)):
            return settled[0]._replace(bars=np.full(settled[0].bars.shape, math.inf))
    elif settled:
        finest = min(settled, key=lambda seen: seen.h)
        return min((s for s in sights if s.agrees(finest)), key=lambda s: float(s.bars.sum()))
    noise = np.median([seen.bars * seen.h for seen in sights], axis=0)  # (K,)
    ladder = itertools.pairwise(sorted(sights, key=lambda seen: seen.h))  # the finest first
    if resolved := next((two for one, two in ladder if one.is_there and two.is_there and one.agrees(two)), None):
        sights = [seen for seen in sights if seen.agrees(resolved)]
    elif (noise > ripple).any():
        return sights[0]._replace(bars=np.full(noise.shape, math.inf))
    sights = [seen._replace(bars=np.maximum(seen.bars, noise / seen.h)) for seen in sights]
    chosen = min(sights, key=lambda s: float(s.bars.sum()))
    confirmed = any(other.agrees(chosen) and other is not chosen for other in sights)
    return chosen if confirmed else chosen._replace(bars=np.full(chosen.bars.shape, math.inf))


def verdict(claims: np.ndarray, seen: Sight, dys: np.ndarray, slack: float | np.ndarray = 0.0) -> str:
    """What follows for the claimed values (K,): "agrees", "wrong" or "unseen".

    To agree a claim must be seen to: for some upstream gradient to SEEN of itself, for all of them to SEEN of what they
    would be if no terms cancelled. slack is what rounding may have done to the claims themselves.
    """
    off, size = np.abs(claims - seen.values), np.maximum(np.abs(claims), np.abs(seen.values))
    if (off > seen.bars + slack + TOLERANCE * size).any():
        return "wrong"
    usual = np.maximum(size, BY_CHANCE * length(dys, seen.column))
    near = off + seen.bars
    return "agrees" if (near <= SEEN * size).any() and (near <= SEEN * usual).all() else "unseen"


def on_a_kink(y: Callable[[float], np.ndarray]) -> bool:
    """Does a function of one number have two slopes at 0? A curve's come together as the step shrinks, a kink's do not.

    Every output is judged by its own slopes: that of one example may be ten thousand times that of another.

    Shapes    y(h) (M,).
    """
    at = y(0.0)
    jumps, slopes = [], []
    for h in (1e-5, 1e-6, 1e-7):
        right, left = ((y(s) - at) / s for s in (h, -h))  # (M,), (M,)
        jumps.append(np.abs(right - left))
        slopes.append(np.maximum(np.abs(right), np.abs(left)))
    seen = jumps[1] > 1e-3 * slopes[1] + 64 * EPSILON * np.abs(at) / 1e-6  # (M,)  more than rounding does
    steady = [(0.5 * a < b) & (b < 2 * a) for a, b in itertools.pairwise(jumps)]  # an oscillation's are not
    return bool((seen & steady[0] & steady[1]).any())
