"""What draws and mean say about an nll whose total is not 1: is a constant all that is wrong, and which support is it?

Sizes: n draws, L pixels, each with its own logits, P parameters.
"""

import copy
import math
from typing import Any

import numpy as np

from scratchvae.backend import to_numpy
from scratchvae.checks.likelihood.density import Mass, Pixel
from scratchvae.checks.likelihood.draws import ALLOWED, DRAWS, of_the_distribution
from scratchvae.checks.report import SEED

OTHER_SEED = SEED + 1  # why: u that chooses a side of a jump is not to be the u that made the draw
CLIPPED = 0.01  # the share of the draws that lies at an end of the support, where x is clipped to it


def drawn(pixels: list[Pixel], n: int) -> np.ndarray | None:
    """n draws of every pixel, (n, L); None if sample is missing or fails, of which others tell."""
    logits = np.stack([pixel.logits for pixel in pixels])  # (L, P)
    try:
        x = to_numpy(pixels[0].likelihood.sample(np.repeat(logits, n, axis=0), np.random.default_rng(SEED)))
        x = np.asarray(x, float).reshape(len(pixels), n).T  # (n, L)
    except Exception:  # somebody's code may do anything
        return None
    return x if np.isfinite(x).all() else None


def objection(masses: list[Mass]) -> str | None:
    """Who contradicts exp(-nll) even where it is divided by its total; "" if the draws follow it; None: nobody knows.

    The mean alone can contradict, and cannot confirm: many densities have the same.
    """
    x = drawn([mass.pixel for mass in masses], DRAWS) if masses else None
    if x is not None and not masses[0].lattice and len(points_of_mass(masses)):
        return None  # why: beside points of mass no density is followed
    if x is not None:
        with np.errstate(all="ignore"):
            claims = list(of_the_distribution(x, masses, np.random.default_rng(OTHER_SEED)))
        follow = all(claim.status == "ok" for claim in claims if not claim.name.endswith("independence"))
        return "" if follow else "the draws do not follow it divided by that"
    return "mean is not its mean" if any(map(another_mean, masses)) else None


def another_mean(mass: Mass) -> bool:
    """Is mean certainly not that of exp(-nll)?"""
    try:
        mean = float(to_numpy(mass.pixel.likelihood.mean(mass.pixel.logits[None]))[0, 0])
    except Exception:  # somebody's code may do anything
        return False
    return mass.mean_error < 0.1 * ALLOWED * mass.scale and abs(mean - mass.mean) > 100 * ALLOWED * mass.scale


def may_be(support: tuple[float, float], masses: list[Mass]) -> bool:
    """May the density live on this support and not on the one that is declared, as far as draws, or the mean, tell?

    Draws that leave the declared one, or never leave a smaller one, say so. Draws at its very ends are clipped.
    """
    (low, high), (declared_low, declared_high) = support, masses[0].pixel.support
    smaller = declared_low <= low and high <= declared_high
    if (x := drawn([mass.pixel for mass in masses], 200)) is None:
        return smaller or not hasattr(masses[0].pixel.likelihood, "mean") or any(map(another_mean, masses))
    within = bool(((low <= x) & (x <= high)).all())
    leave = bool(((x < declared_low) | (declared_high < x)).any())
    clipped = float(((x == declared_low) | (x == declared_high)).mean()) > CLIPPED
    return within and (smaller or leave or clipped)


def draws_leave(declared: tuple[float, float], wider: tuple[float, float], masses: list[Mass]) -> bool:
    """Do draws lie in the wider support, and beyond the declared one?"""
    x = drawn([mass.pixel for mass in masses], 200)
    if x is None or not ((wider[0] <= x) & (x <= wider[1])).all():
        return False
    return bool(((x < declared[0]) | (declared[1] < x)).any())


def agree_against(masses: list[Mass]) -> bool:
    """Do mean and draws, each for itself, tell of one density, and exp(-nll) of another?

    Draws that are made with the help of mean are no second witness.
    """
    likelihood = masses[0].pixel.likelihood
    x = drawn([mass.pixel for mass in masses], DRAWS)
    if x is None or stands_on_mean(likelihood, masses[0].pixel.logits):
        return False
    logits = np.stack([mass.pixel.logits for mass in masses])  # (L, P)
    claimed = to_numpy(likelihood.mean(logits))[:, 0]  # (L,)
    expected, got, error = np.array([mass.mean for mass in masses]), x.mean(axis=0), x.std(axis=0) / math.sqrt(len(x))
    seen = np.abs(claimed - expected) > 10 * error  # (L,)  where one can tell the two
    return bool(seen.sum() > 1 and (np.abs(got - claimed) <= 5 * error).all())


def stands_on_mean(likelihood: Any, logits: np.ndarray) -> bool:
    """Are the draws others when mean is? Where that cannot be tried they may be."""
    try:
        moved = copy.copy(likelihood)
        moved.mean = lambda logits: likelihood.mean(logits) + 1
        one, other = (
            each.sample(np.tile(logits, (50, 1)), np.random.default_rng(SEED)) for each in (likelihood, moved)
        )
        return not np.array_equal(to_numpy(one), to_numpy(other))
    except Exception:  # somebody's code may do anything
        return True


def points_of_mass(masses: list[Mass]) -> np.ndarray:
    """Values that the draws take again and again, and they take others only once; none if all or none are such."""
    x = drawn([mass.pixel for mass in masses], 200)
    values, counts = np.unique(x if x is not None else np.zeros(0), return_counts=True)
    points = values[counts > CLIPPED * counts.sum()]
    return points if (counts == 1).sum() > CLIPPED * counts.sum() else points[:0]


def point_that_is_missing(masses: list[Mass]) -> float | None:
    """The first point of mass, if exp(-nll) adds up to 1 as a probability there and as a density elsewhere."""
    points = points_of_mass(masses) if not masses[0].lattice else np.zeros(0)
    totals = [mass.total + float(np.exp(mass.pixel.log_density(points)).sum()) for mass in masses]
    return float(points[0]) if len(points) and max(abs(total - 1) for total in totals) < ALLOWED else None
