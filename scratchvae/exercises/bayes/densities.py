"""Bayes' rule for densities: on a grid, and for a normal prior with normal noise.

Sizes: G grid points.
"""

import numpy as np

from scratchvae.exercises.blank import Slip, value

G = 401  # an odd number: Simpson's rule takes the intervals in pairs


def posterior_on_grid(prior, likelihood, step):
    """The density p(z|x) on a grid, from p(z) and p(x|z) there, and its step: (G,), (G,) -> (G,)."""
    joint = likelihood * prior
    return joint / (joint.sum() * step)


def posterior_by_simpson(prior: np.ndarray, likelihood: np.ndarray, step: float) -> dict[str, np.ndarray]:
    """The evidence by Simpson's rule, in which points count differently: 1 4 2 4 ... 4 1."""
    weights = np.ones(len(prior))
    weights[1:-1:2], weights[2:-1:2] = 4, 2
    return {"posterior": prior * likelihood / (np.dot(weights, prior * likelihood) * step / 3)}


def two_densities(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, float]:
    """A prior with two peaks, and a likelihood that does not integrate to one."""
    z, step = np.linspace(-12, 12, G, retstep=True)  # (G,)
    (a, b, c), (s, t, w), share = rng.normal(0, 1.5, 3), rng.uniform(0.4, 1.2, 3), rng.uniform(0.2, 0.8)
    peaks = [np.exp(-0.5 * ((z - m) / d) ** 2) / (d * np.sqrt(2 * np.pi)) for m, d in ((a, s), (b, t))]
    height = rng.uniform(0.2, 0.9)
    return share * peaks[0] + (1 - share) * peaks[1], height * np.exp(-0.5 * ((z - c) / w) ** 2), float(step)


GRID = value(
    posterior_on_grid,
    posterior_by_simpson,
    two_densities,
    (
        "As in the table: a product, divided by the evidence. But the evidence is an integral now: how wide is the "
        "strip that each grid point stands for?",
        "p(z|x) = p(x|z) p(z) / p(x), with p(x) = step times the sum of p(x|z) p(z) over the grid",
        "joint = likelihood * prior; return joint / (... * step)",
    ),
    (
        Slip(
            lambda p, h, step: p * h / (p * h).sum(),
            "factor",
            "this sums to one: a density integrates to one, so the sum is to be multiplied by the step",
        ),
        Slip(
            lambda p, h, step: p * h,
            "factor",
            "this is the joint: divide by the evidence",
        ),
        Slip(
            lambda p, h, step: p * h * step,
            "factor",
            "these are the areas of the strips: they are to be added up, and the joint divided by their sum",
        ),
        Slip(
            lambda p, h, step: h / (h.sum() * step),
            "elementwise-factor",
            "the prior is not in it",
        ),
        Slip(
            lambda p, h, step: p * h / (h.sum() * step),
            "factor",
            "below the line stands the integral of the likelihood alone: the evidence is that of the product",
        ),
        Slip(
            lambda p, h, step: p * h * step / (p * h).sum(),
            "factor",
            "the step stands above the line: the integral below it is the sum times the step",
        ),
        Slip(
            lambda p, h, step: p * h / (p * h).max(),
            "factor",
            "the largest value is 1: it is the area that should be 1",
        ),
        Slip(
            lambda p, h, step: p * h / (p * h).mean(),
            "factor",
            "a mean over the grid points is no integral: it leaves out how wide the grid is",
        ),
        Slip(
            lambda p, h, step: (p * h).sum() * step,
            "shape",
            "this is the evidence: one value for each grid point is wanted",
        ),
    ),
)


def posterior_of_normal(x, sigma_x):
    """Mean and variance of p(z|x), for p(z) = N(0, 1) and p(x|z) = N(x; z, sigma_x^2)."""
    variance = 1 / (1 + 1 / sigma_x**2)
    return variance * x / sigma_x**2, variance


def measurement(rng: np.random.Generator) -> tuple[float, float]:
    """An x that is not 0, and noise that is clearly smaller or clearly larger than the prior's spread."""
    return float(rng.choice([-1, 1]) * rng.uniform(0.6, 2.5)), float(rng.choice([0.4, 1.7]) * rng.uniform(0.8, 1.2))


def moments_by_a_grid(x: float, sigma_x: float) -> dict[str, float]:
    """Of likelihood times prior on a grid, by sums."""
    z = np.linspace(-12, 12, 6001)  # (6001,)
    weights = np.exp(-0.5 * (z**2 + ((x - z) / sigma_x) ** 2))  # (6001,)
    mean = (weights * z).sum() / weights.sum()
    return {"mean": mean, "variance": (weights * (z - mean) ** 2).sum() / weights.sum()}


NORMAL = value(
    posterior_of_normal,
    moments_by_a_grid,
    measurement,
    (
        "In the exponent stands -(z - mean)^2 / (2 variance). Which of the two can be read off the number in front of "
        "z^2? And the other one off the number in front of z?",
        "1/variance = 1 + 1/sigma_x^2, and mean = variance times x/sigma_x^2",
        "variance = 1 / (1 + ...); return variance * ..., variance",
    ),
    (
        Slip(
            lambda x, s: (1 / (1 + 1 / s**2), x / (1 + s**2)),
            "transpose",
            "the two are swapped: mean first",
        ),
        Slip(
            lambda x, s: (x / (1 + s**2), np.sqrt(s**2 / (1 + s**2))),
            "elementwise-factor",
            "the second is the standard deviation: its square is wanted",
        ),
        Slip(
            lambda x, s: (x / (1 + s**2), 1 + 1 / s**2),
            "elementwise-factor",
            "the second is the precision: the variance is one over it",
        ),
        Slip(
            lambda x, s: (x / (1 + s**2), 1 + s**2),
            "elementwise-factor",
            "the second is the variance of x, the one of the evidence: the posterior is narrower than the prior",
        ),
        Slip(
            lambda x, s: (x / (1 + s**2), 1 / (1 + s**2)),
            "elementwise-factor",
            "the second is the weight of x in the mean: the variance is one over the sum of both precisions",
        ),
        Slip(
            lambda x, s: (0.0, 1.0),
            "missing-term",
            "this is the prior: nothing has been learnt from x",
        ),
        Slip(
            lambda x, s: (x, s**2),
            "missing-term",
            "the prior is not in it: this is where the likelihood has its peak, and how wide that is",
        ),
        Slip(
            lambda x, s: (x, s**2 / (1 + s**2)),
            "elementwise-factor",
            "the mean is all x: the prior draws it towards 0",
        ),
        Slip(
            lambda x, s: (x / 2, s**2 / (1 + s**2)),
            "elementwise-factor",
            "the mean lies halfway, whatever the noise: the more precise of the two should count for more",
        ),
        Slip(
            lambda x, s: (x * s**2 / (1 + s**2), s**2 / (1 + s**2)),
            "elementwise-factor",
            "the weights of the mean are exchanged: with little noise it should be close to x",
        ),
        Slip(
            lambda x, s: (x / s**2, s**2 / (1 + s**2)),
            "elementwise-factor",
            "the mean is x times its precision, and is to be divided by the sum of both precisions",
        ),
        Slip(
            lambda x, s: (x / (1 + s), s / (1 + s)),
            "elementwise-factor",
            "standard deviations stand where variances belong: precisions are what adds",
        ),
        Slip(
            lambda x, s: (0.0, 1 + s**2),
            "missing-term",
            "this is the evidence, a density of x: wanted is what is known of z when x is",
        ),
        Slip(
            lambda x, s: (0.96, 0.2),
            "missing-term",
            "these are the numbers for x = 1.2 and sigma_x = 0.5: here both may be anything",
        ),
        Slip(
            lambda x, s: (0.8 * x, 0.2),
            "missing-term",
            "this is right for sigma_x = 0.5 alone: where does the noise come in?",
        ),
        Slip(
            lambda x, s: (x / 2, s**2 / 2),
            "elementwise-factor",
            "both are halved, whatever the noise: the more precise of the two should count for more",
        ),
    ),
)
