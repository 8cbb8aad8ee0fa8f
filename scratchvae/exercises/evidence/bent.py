"""A bent decoder with one latent: the evidence as a sum over a grid.

Sizes: G grid points, D data.
"""

import math

import numpy as np

from scratchvae.exercises.blank import Slip, value

G, D = 801, 3


def evidence_on_grid(x, g_z, z, sigma_x):
    """p(x) as a sum over a grid z (G,), with x (D,), g_z = g(z) (G, D), and the noise sigma_x."""
    squares = ((x - g_z) ** 2).sum(axis=1) / sigma_x**2  # (G,)
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
        "At each point of the grid stands a product of two densities. What is that of D independent data with the "
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
            "the constant of one coordinate stands there once: each of the D has it",
        ),
        Slip(
            on_the_grid(lambda a, b, c, n, step: np.sum(np.exp(a + b)) / c / ROOT * step),
            "factor",
            "the likelihood's constant is that of D = 2: here x may have any number of entries, len(x)",
        ),
        Slip(
            on_the_grid(lambda a, b, c, n, step: np.sum(np.exp(a + b)) / c**n / ROOT * step),
            "factor",
            "the likelihood's constant is squared: each coordinate has the square root of 2 pi sigma_x^2",
        ),
        Slip(
            on_the_grid(lambda a, b, c, n, step: np.log(np.sum(np.exp(a + b)) / c ** (n / 2) / ROOT * step)),
            "elementwise-factor",
            "this is log p(x): here p(x) itself is wanted",
        ),
        Slip(
            lambda x, g, z, s: evidence_on_grid(x, g, z, np.sqrt(s)),
            "elementwise-factor",
            "sigma_x is a standard deviation: its square belongs in the exponent and in the constant",
        ),
        Slip(
            on_the_grid(
                lambda a, b, c, n, step: np.sum(np.exp(a * (c / 2 / np.pi) ** 0.5 + b)) / c ** (n / 2) / ROOT * step
            ),
            "elementwise-factor",
            "in the exponent the squares are divided by sigma_x: its square belongs there, as in the constant",
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
        Slip(
            on_the_grid(
                lambda a, b, c, n, step: np.sum(np.exp(a + b)) * (c / 2 / np.pi) ** (n / 4) / c ** (n / 2) / ROOT * step
            ),
            "factor",
            "in the likelihood's constant stands sigma_x: its square belongs there, as in the exponent",
        ),
        Slip(
            lambda x, g, z, s: math.prod(evidence_on_grid(x[[d]], g[:, [d]], z, s) for d in range(len(x))),
            "elementwise-factor",
            "an integral for each coordinate: they are independent given z, so multiply at each z, and integrate once",
        ),
        Slip(
            lambda x, g, z, s: sum(evidence_on_grid(x[[d]], g[:, [d]], z, s) for d in range(len(x))),
            "elementwise-factor",
            "the densities of the coordinates are added: of independent ones they multiply",
        ),
    ),
)
