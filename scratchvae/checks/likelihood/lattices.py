"""Which values does a pixel take: all of its support, whole numbers, grey levels, or those of another lattice?

exp(-nll) is added up in the way that the draws speak for, unless that does not come to 1 and another way does.
"""

import math
from collections.abc import Callable

import numpy as np

from scratchvae.checks.likelihood.density import GREY, SLACK, WHOLE, Lattice, Mass, Pixel, integrated, summed
from scratchvae.checks.likelihood.witnesses import drawn

ALLOWED = 1e-6  # of a total
MANY = 4096  # steps between the draws: a finer lattice is that of the floats
DIVISORS = 12  # the smallest distance between two draws is so many steps at most
DRAWS = 100_000  # to find a peak of a ten thousandth of the mass
ROUNDS, AT_ONCE = 6, 300  # so many of them, so often, get panels


def best_way(pixels: list[Pixel]) -> list[Mass]:
    """Added up over all values, or over the lattice that suits."""
    first, *others = ways(pixels)
    found = attempt(pixels, first)
    if off_one(found) < ALLOWED:
        return found
    closest = min((attempt(pixels, lattice) for lattice in others), key=off_one)
    if off_one(closest) < ALLOWED or not found:
        found = closest
    return found or [add_up(pixel, first) for pixel in pixels]  # why: the error is raised once more, to be told


def ways(pixels: list[Pixel]) -> list[Lattice | None]:
    """The lattices to try, None for an integral; the likeliest first: one that holds the draws, if there is one."""
    low, high = pixels[0].support
    usual: list[Lattice | None] = [None, WHOLE, GREY] if (low, high) == (0.0, 1.0) else [None, WHOLE]
    if math.isfinite(high - low):
        usual += [Lattice((2**bits - 1) / (high - low), low) for bits in range(1, 9)]  # as few grey levels are kept
    if (x := drawn(pixels, 20)) is None:  # (20, 5)
        return list(dict.fromkeys(usual))
    values = np.unique(x)
    seen = [lattice for lattice in (WHOLE, GREY) if lattice in usual and lattice.holds(values).all()]
    if through := lattice_through(values, low, high):
        seen.append(through)
        usual.append(Lattice(through.levels, low if math.isfinite(low) else 0.0))
    return list(dict.fromkeys([*seen, *usual]))


def fill(pixels: list[Pixel]) -> bool:
    """Do the draws lie on no lattice?"""
    x = drawn(pixels, 20)
    return x is not None and lattice_through(np.unique(x), *pixels[0].support) is None


def lattice_through(x: np.ndarray, low: float, high: float) -> Lattice | None:
    """The coarsest lattice through the values x, in order, with round numbers if that is possible; None if none is."""
    gaps = np.diff(x)
    if not len(gaps) or not gaps.min():
        return None
    for divisor in range(1, DIVISORS + 1):
        k = (x - x[0]) * (divisor / gaps.min())
        if k[-1] > MANY:
            return None
        if np.abs(k - np.rint(k)).max() < 0.01:
            return with_round_numbers(float((x[-1] - x[0]) / np.rint(k[-1])), float(x[0]), low, high)
    return None


def with_round_numbers(step: float, origin: float, low: float, high: float) -> Lattice:
    """A lattice from one end of the support to the other, or from 0, if it is nearly such a one."""
    n = (high - low) / step  # of steps in the support
    levels = round(n) / (high - low) if math.isfinite(n) and near_whole(n) else 1 / step
    levels = next((c for c in (round(levels), 1 / max(round(step), 1)) if c and abs(levels / c - 1) < SLACK), levels)
    starts = [end for end in (low, 0.0) if math.isfinite(end) and near_whole((origin - end) * levels)]
    return Lattice(levels, starts[0] if starts else origin)


def near_whole(n: float) -> bool:
    return abs(n - round(n)) < 0.01


def add_up(pixel: Pixel, lattice: Lattice | None) -> Mass:
    """The sum over a lattice; without one the integral, with more panels at the draws if it seems to lack something.

    There may be peaks so narrow and so far out that no panel shows them, and the draws lie there.
    """
    mass = at_once(pixel, lattice)
    if not lattice and mass.total < 1 - ALLOWED and (x := drawn([pixel], DRAWS)) is not None:
        found = np.zeros(0)  # draws where there was next to nothing
        for _ in range(ROUNDS):
            missed = x[:, 0][unexpected(x[:, 0], mass)]
            if not len(missed) or mass.total >= 1 - ALLOWED:
                break
            found = np.concatenate([found, missed[:AT_ONCE]])
            mass = integrated(pixel, found)
    return mass


def at_once(pixel: Pixel, lattice: Lattice | None) -> Mass:
    return summed(pixel, lattice) if lattice else integrated(pixel)


def unexpected(x: np.ndarray, mass: Mass) -> np.ndarray:
    """Which draws (n,) lie in panels that are as good as empty."""
    shares = np.concatenate([[0.0], np.diff(mass.below), [0.0]])  # (S + 2,)
    return shares[np.searchsorted(mass.x, x)] * len(x) < 0.01


def attempt(
    pixels: list[Pixel], lattice: Lattice | None, how: Callable[[Pixel, Lattice | None], Mass] = add_up
) -> list[Mass]:
    """Added up; nothing where the nll does not take such x, as a table of whole numbers does not."""
    try:
        return [how(pixel, lattice) for pixel in pixels]
    except Exception:  # somebody's code may do anything
        return []


def off_one(masses: list[Mass]) -> float:
    """The largest |total - 1| of those that have settled."""
    return max((abs(mass.total - 1) for mass in masses if mass.settled), default=math.inf)
