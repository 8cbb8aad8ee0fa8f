"""A relu decoder with one latent, made of straight pieces: where they end, and what each adds to the evidence.

Sizes: H hidden units.
"""

import math

import numpy as np

from scratchvae.exercises.blank import Slip, value


def kinks_between(left, right, a_left, a_right):
    """Where between left and right units are 0, from their values at both ends, (H,) each."""
    switches = a_left * a_right < 0  # (H,)
    a, b = a_left[switches], a_right[switches]
    return left + (right - left) * a / (a - b)


def kinks_by_interpolation(
    left: float, right: float, a_left: np.ndarray, a_right: np.ndarray
) -> dict[str, list[float]]:
    """z as a function of the unit: np.interp wants what it is read at to rise."""
    pairs = [sorted([(a, left), (b, right)]) for a, b in zip(a_left.tolist(), a_right.tolist(), strict=True)]
    return {"kinks": [float(np.interp(0, (a, b), (z, y))) for (a, z), (b, y) in pairs if a < 0 < b]}


def some_units(rng: np.random.Generator) -> tuple[float, float, np.ndarray, np.ndarray]:
    """Three units that switch, up and down, from left to right in their order; four that do not."""
    left = float(rng.uniform(-3, 2))
    right = left + float(rng.uniform(0.5, 2))
    fraction = np.sort(rng.uniform(0.05, 0.95, 3))  # (3,)
    slope = np.array([1, -1, 1]) * rng.uniform(0.5, 2, 3)  # (3,)
    ends = np.array([1, 1, -1, -1])[:, None] * rng.uniform(0.5, 2, (4, 2))  # (4, 2) of one sign
    a_left, a_right = (np.append(slope * (end - fraction), ends[:, end]) for end in (0, 1))
    order = [3, 0, 4, 1, 5, 6, 2]
    return left, right, a_left[order], a_right[order]


KINKS = value(
    kinks_between,
    kinks_by_interpolation,
    some_units,
    (
        "Which units are 0 somewhere in between: what can be said of the signs at their ends? And which share of the "
        "way from a_left to a_right has been gone when 0 is reached?",
        "left + (right - left) a_left / (a_left - a_right), for the units with a_left a_right < 0",
        "switches = a_left * a_right < 0; a, b = a_left[switches], a_right[switches]; return left + ... * a / (a - b)",
    ),
    (
        Slip(
            lambda z, y, a, b: z + (y - z) * a / (a - b),
            "shape",
            "one value for every unit: those whose ends have the same sign are not 0 in between",
        ),
        Slip(
            lambda z, y, a, b: np.where(a * b < 0, z + (y - z) * a / (a - b), np.nan),
            "shape",
            "a unit that is not 0 in between has no place in the answer, not even as nan: pick the others",
        ),
        Slip(
            lambda z, y, a, b: (z + (y - z) * a / (a - b))[a * b > 0],
            "sign",
            "these are the units that do not switch: the ends of those that do have different signs",
        ),
        Slip(
            lambda z, y, a, b: ((y - z) * a / (a - b))[a * b < 0],
            "missing-term",
            "this is the distance from the left end: add the place of that end",
        ),
        Slip(
            lambda z, y, a, b: (a / (a - b))[a * b < 0],
            "missing-term",
            "this is a share of the way: multiply by the length, and add the place of the left end",
        ),
        Slip(
            lambda z, y, a, b: (z + (y - z) * b / (b - a))[a * b < 0],
            "transpose",
            "the two ends are swapped: this is the share of the way that is left",
        ),
        Slip(
            lambda z, y, a, b: (z + (y - z) * a / (b - a))[a * b < 0],
            "sign",
            "these lie outside: the sign of the share is turned",
        ),
        Slip(
            lambda z, y, a, b: (z + (y - z) * a / (a + b))[a * b < 0],
            "sign",
            "the way from a_left to a_right is their difference, not their sum",
        ),
        Slip(
            lambda z, y, a, b: np.full((a * b < 0).sum(), (z + y) / 2),
            "elementwise-factor",
            "these are all in the middle: a unit is 0 nearer to the end where it is smaller",
        ),
        Slip(
            lambda z, y, a, b: (z + (y - z) * a / (a - b))[(a < 0) & (b > 0)],
            "shape",
            "a unit that switches off counts as well: from positive to negative",
        ),
        Slip(
            lambda z, y, a, b: (z + (y - z) * a / (a - b))[(a > 0) & (b < 0)],
            "shape",
            "a unit that switches on counts as well: from negative to positive",
        ),
        Slip(
            lambda z, y, a, b: (z + a / (a - b))[a * b < 0],
            "missing-term",
            "to the left end a share of the way is added: first multiply it by the length of the way",
        ),
    ),
)


def piece(px_line, mean, sd, left, right):
    """What a piece adds to p(x); its line has the evidence px_line and the posterior N(mean, sd^2)."""
    below_right, below_left = (math.erf((end - mean) / (sd * math.sqrt(2))) for end in (right, left))
    return px_line * (below_right - below_left) / 2


def piece_by_legendre(px_line: float, mean: float, sd: float, left: float, right: float) -> dict[str, float]:
    left, right = max(left, mean - 9 * sd), min(right, mean + 9 * sd)  # an outer piece has one end
    nodes, weights = np.polynomial.legendre.leggauss(60)
    z = (left + right) / 2 + (right - left) / 2 * nodes  # (60,)
    density = np.exp(-0.5 * ((z - mean) / sd) ** 2) / (sd * math.sqrt(2 * math.pi))  # (60,)
    return {"integral": float(px_line * (weights @ density) * (right - left) / 2)}


def one_piece(rng: np.random.Generator) -> tuple[float, float, float, float, float]:
    mean, sd = float(rng.normal()), float(rng.uniform(0.3, 0.7))
    left = mean + sd * float(rng.uniform(-1.5, 0.5))
    right = left + float(rng.uniform(0.3, 0.9))
    left, right = ((left, right), (-math.inf, right), (left, math.inf))[rng.integers(3)]
    return float(rng.uniform(0.05, 0.4)), mean, sd, left, right


def phi(z: float) -> float:
    """The probability below z of a standard normal."""
    return (1 + math.erf(z / math.sqrt(2))) / 2


PIECE = value(
    piece,
    piece_by_legendre,
    one_piece,
    (
        "p(x|z) p(z) = p(z|x) p(x). Which factor holds no z? And what is the integral of the other one from left to "
        "right, as a difference of two erf?",
        "px_line (erf(v) - erf(u)) / 2 with v = (right - mean) / (sd sqrt(2)), and u the same with left",
        "return px_line * (math.erf((right - mean) / (sd * math.sqrt(2))) - ...) / 2",
    ),
    (
        Slip(
            lambda p, m, s, a, b: 2 * p * (phi((b - m) / s) - phi((a - m) / s)),
            "factor",
            "twice too large: erf runs from -1 to 1, and a probability from 0 to 1",
        ),
        Slip(
            lambda p, m, s, a, b: p * (math.erf((b - m) / s) - math.erf((a - m) / s)) / 2,
            "elementwise-factor",
            "erf(u) is for a density like e^(-u^2): in the normal one stands u^2 / 2, so a square root of 2 is missing",
        ),
        Slip(
            lambda p, m, s, a, b: p * (math.erf((b - m) / (2 * s)) - math.erf((a - m) / (2 * s))) / 2,
            "elementwise-factor",
            "inside of erf the distance is divided by 2: it is the square that is halved, so by the root of 2",
        ),
        Slip(
            lambda p, m, s, a, b: p * (phi((a - m) / s) - phi((b - m) / s)),
            "sign",
            "it is negative: the right end comes first",
        ),
        Slip(
            lambda p, m, s, a, b: phi((b - m) / s) - phi((a - m) / s),
            "missing-term",
            "this is the probability of the piece under the posterior: times p(x) it is the integral of the joint",
        ),
        Slip(
            lambda p, m, s, a, b: p * (phi((b - m) / s**2) - phi((a - m) / s**2)),
            "elementwise-factor",
            "the distance is divided by a variance, where the standard deviation belongs",
        ),
        Slip(
            lambda p, m, s, a, b: p * (phi(b - m) - phi(a - m)),
            "missing-term",
            "the distances are not in standard deviations yet",
        ),
        Slip(
            lambda p, m, s, a, b: p * (math.erf((b - m) / s) - math.erf((a - m) / s)),
            "elementwise-factor",
            "erf is not the normal probability yet: a root of 2 is missing inside of it, and a half outside",
        ),
        Slip(
            lambda p, m, s, a, b: p * (math.erf(b) - math.erf(a)),
            "missing-term",
            "where are mean and sd? The t of erf is a distance from the mean, measured in units of sd sqrt(2)",
        ),
        Slip(
            lambda p, m, s, a, b: p * (phi((b - m) / s) - phi((a - m) / s)) / (s * math.sqrt(2)),
            "elementwise-factor",
            "a step dz is not a step dt: with t = (z - mean) / (sd sqrt(2)), dz = sd sqrt(2) dt",
        ),
        Slip(
            lambda p, m, s, a, b: p * (phi((b - m) / s) - phi((a - m) / s)) * math.sqrt(math.pi) / 2,
            "factor",
            "root of pi over 2 is left: erf holds its 2 / sqrt(pi) already, and the normal density has a constant, too",
        ),
        Slip(
            lambda p, m, s, a, b: p * (phi(b) - phi(a)),
            "missing-term",
            "this is the prior's probability of the piece: that of the posterior is needed",
        ),
        Slip(
            lambda p, m, s, a, b: p * phi((b - m) / s),
            "missing-term",
            "this is all up to the right end: what lies left of the piece is to be taken off",
        ),
        Slip(
            lambda p, m, s, a, b: p,
            "missing-term",
            "this is the integral over all z: the piece has its share of it",
        ),
        Slip(
            lambda p, m, s, a, b: piece(p, m, s, a, b) if math.isfinite(b - a) else math.nan,
            "non-finite",
            "the two outer pieces have an infinite end, and no grid of points reaches there: erf takes it as it is",
        ),
    ),
)
