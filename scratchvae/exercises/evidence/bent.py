"""A bent decoder with one latent: the evidence as a sum over a grid, and as a sum over straight pieces.

Sizes: G grid points, D data, H hidden units.
"""

import math

import numpy as np

from scratchvae.exercises.blank import Slip, value

G, D, H = 801, 3, 7


def evidence_on_grid(x, g, z, sigma_x):
    """p(x) as a sum over a grid z (G,), with x (D,), g(z) there (G, D), and the noise sigma_x."""
    squares = ((x - g) ** 2).sum(axis=1) / sigma_x**2  # (G,)
    likelihood = np.exp(-0.5 * squares) / (2 * np.pi * sigma_x**2) ** (len(x) / 2)  # (G,)
    prior = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)  # (G,)
    return np.sum(likelihood * prior) * (z[1] - z[0])


def evidence_by_simpson(x: np.ndarray, g: np.ndarray, z: np.ndarray, sigma_x: float) -> dict[str, float]:
    """Pixel by pixel in logarithms, and Simpson's rule, in which points count differently: 1 4 2 4 ... 4 1."""
    weights = np.ones(len(z))
    weights[1:-1:2], weights[2:-1:2] = 4, 2
    log_joint = -0.5 * (z**2 + math.log(2 * math.pi))
    for d in range(len(x)):
        log_joint = log_joint - 0.5 * ((x[d] - g[:, d]) / sigma_x) ** 2 - math.log(sigma_x * math.sqrt(2 * math.pi))
    return {"evidence": float(weights @ np.exp(log_joint) * (z[-1] - z[0]) / (3 * (len(z) - 1)))}


def bent_curve(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """A smooth curve in D dimensions, and a point that is not far from it."""
    z = np.linspace(-8, 8, G)  # (G,)
    g = np.sin(np.outer(z, rng.uniform(0.3, 1, D)) + rng.uniform(0, 6, D)) + 0.2 * np.outer(z, rng.normal(size=D))
    return g[G // 2 + 30] + rng.normal(0, 0.3, D), g, z, float(rng.uniform(0.4, 0.8))


def on_the_grid(joint):
    """A wrong answer from the likelihood's exponent, the prior's, the constant of a pixel, the number of pixels."""

    def answer(x, g, z, s):
        return joint(-0.5 * ((x - g) ** 2).sum(axis=1) / s**2, -0.5 * z**2, 2 * np.pi * s**2, len(x), z[1] - z[0])

    return answer


ROOT = math.sqrt(2 * math.pi)
GRID = value(
    evidence_on_grid,
    evidence_by_simpson,
    bent_curve,
    (
        "At each point of the grid stands a product of two densities. What is that of D independent pixels with the "
        "same noise? And what makes an integral of a sum?",
        "sum_g prod_d N(x_d; g_d(z_g), sigma_x^2) N(z_g; 0, 1), times the step of the grid",
        "likelihood = np.exp(...) / (2 * np.pi * sigma_x**2) ** (len(x) / 2); the step is z[1] - z[0]",
    ),
    (
        Slip(
            on_the_grid(lambda a, b, c, n, step: np.sum(np.exp(a + b)) / c ** (n / 2) / ROOT),
            "factor",
            "a sum over a grid is an integral only with the width of a step",
        ),
        Slip(
            on_the_grid(lambda a, b, c, n, step: np.mean(np.exp(a + b)) / c ** (n / 2) / ROOT),
            "factor",
            "the mean over the grid points is no integral: add up, times the width of a step",
        ),
        Slip(
            on_the_grid(lambda a, b, c, n, step: np.sum(np.exp(a)) / c ** (n / 2) * step),
            "missing-term",
            "the prior is not in it: this is the area under the likelihood",
        ),
        Slip(
            on_the_grid(lambda a, b, c, n, step: np.sum(np.exp(a + b)) / c ** (n / 2) * step),
            "factor",
            "the prior lacks its constant: it should integrate to 1",
        ),
        Slip(
            on_the_grid(lambda a, b, c, n, step: np.sum(np.exp(a + b)) / ROOT * step),
            "factor",
            "the likelihood lacks its constant: it is a density of x",
        ),
        Slip(
            on_the_grid(lambda a, b, c, n, step: np.sum(np.exp(a + b)) / c**0.5 / ROOT * step),
            "factor",
            "the constant of one pixel stands there once: each of the D pixels has it",
        ),
        Slip(
            on_the_grid(lambda a, b, c, n, step: np.sum(np.exp(a + b)) / c**n / ROOT * step),
            "factor",
            "the likelihood's constant is squared: each pixel has the square root of 2 pi sigma_x^2",
        ),
        Slip(
            on_the_grid(lambda a, b, c, n, step: np.log(np.sum(np.exp(a + b)) / c ** (n / 2) / ROOT * step)),
            "elementwise-factor",
            "this is log p(x): here p(x) itself is wanted",
        ),
        Slip(
            on_the_grid(lambda a, b, c, n, step: np.sum(np.exp(2 * a + b)) / c ** (n / 2) / ROOT * step),
            "missing-term",
            "the exponent of the likelihood lacks its 1/2",
        ),
        Slip(
            on_the_grid(lambda a, b, c, n, step: np.sum(np.exp(a + 2 * b)) / c ** (n / 2) / ROOT * step),
            "missing-term",
            "the exponent of the prior lacks its 1/2",
        ),
    ),
)


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
    ),
)


def piece(px_line, mean, sd, left, right):
    """What a piece adds to p(x); its line has the evidence px_line and the posterior N(mean, sd^2)."""
    below_right, below_left = (math.erf((end - mean) / (sd * math.sqrt(2))) for end in (right, left))
    return px_line * (below_right - below_left) / 2


def piece_by_legendre(px_line: float, mean: float, sd: float, left: float, right: float) -> dict[str, float]:
    nodes, weights = np.polynomial.legendre.leggauss(60)
    z = (left + right) / 2 + (right - left) / 2 * nodes  # (60,)
    density = np.exp(-0.5 * ((z - mean) / sd) ** 2) / (sd * ROOT)  # (60,)
    return {"integral": float(px_line * (weights @ density) * (right - left) / 2)}


def one_piece(rng: np.random.Generator) -> tuple[float, float, float, float, float]:
    mean, sd = float(rng.normal()), float(rng.uniform(0.3, 0.7))
    left = mean + sd * float(rng.uniform(-1.5, 0.5))
    return float(rng.uniform(0.05, 0.4)), mean, sd, left, left + float(rng.uniform(0.3, 0.9))


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
    ),
)
