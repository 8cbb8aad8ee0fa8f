"""How much weights scatter, and how many draws that takes.

Sizes: G grid points, Z latents.
"""

from typing import Any

import numpy as np

from scratchvae.exercises.blank import Slip, value
from scratchvae.gaussian import LOG_2PI

G = 2001


def second_moment(log_posterior, log_q, step):
    """E_q[w^2] / p(x)^2 as a sum over a grid of that step: (G,), (G,), a number -> a number."""
    return np.sum(np.exp(2 * log_posterior - log_q)) * step


def two_normals(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, float]:
    """Posterior and q, both normal; far out both are 0 as floats, and where q is narrower their ratio is infinite.

    The variance of q is more than half of the posterior's, so that the integral is finite.
    """
    z, step = np.linspace(-60, 60, G, retstep=True)  # (G,)
    m, s = rng.uniform(-1, 1), rng.uniform(0.5, 0.8)
    mu, sigma = m + rng.uniform(-0.3, 0.3), s * rng.choice([0.8, 0.9, 1.2, 1.4])
    parts = [-0.5 * (((z - a) / b) ** 2 + LOG_2PI) - np.log(b) for a, b in ((m, s), (mu, sigma))]
    return parts[0], parts[1], float(step)


def moment_in_closed_form(log_posterior: np.ndarray, log_q: np.ndarray, step: float) -> dict[str, float]:
    """The exponent is a parabola: three of its points give the integral."""
    y, middle, far = 2 * log_posterior - log_q, G // 2, 100
    left, at, right = y[[middle - far, middle, middle + far]].tolist()
    a, b = (right + left - 2 * at) / (2 * far**2), (right - left) / (2 * far)  # of a i^2 + b i + at
    return {"second moment": float(np.exp(at - b * b / (4 * a)) * np.sqrt(np.pi / -a) * step)}


def densities_first(log_posterior: np.ndarray, log_q: np.ndarray, step: float) -> Any:
    """0 / 0 far out."""
    return np.sum(np.exp(log_posterior) ** 2 / np.exp(log_q)) * step


def weights_first(log_posterior: np.ndarray, log_q: np.ndarray, step: float) -> Any:
    """0 times infinity far out."""
    return np.sum(np.exp(log_q) * np.exp(log_posterior - log_q) ** 2) * step


SECOND_MOMENT = value(
    second_moment,
    moment_in_closed_form,
    two_normals,
    (
        "The mean under q of (posterior / q)^2: how often does q remain below the line, and what is the logarithm of "
        "what stands there?",
        "the sum over the grid of p(z|x)^2 / q(z), times the step",
        "np.sum(np.exp(2 * log_posterior - ...)) * step",
    ),
    (
        Slip(
            weights_first,
            "non-finite",
            "far out q is 0 as a float and the weight infinite, and 0 times infinity is no number: combine the "
            "logarithms, then take exp",
        ),
        Slip(
            densities_first,
            "non-finite",
            "far out both densities are 0 as floats, and 0 / 0 is no number: combine the logarithms, then take exp",
        ),
        Slip(
            lambda p, q, step: np.sum(np.exp(2 * q - p)) * step,
            "transpose",
            "posterior and q are swapped: the posterior is squared, and q stands below",
        ),
        Slip(
            lambda p, q, step: np.sum(np.exp(p)) * step,
            "missing-term",
            "this is the mean of the weights, 1: their squares are averaged",
        ),
        Slip(
            lambda p, q, step: np.sum(np.exp(2 * (p - q))) * step,
            "missing-term",
            "the square is there, but not the mean under q: each point is weighed by q",
        ),
        Slip(
            lambda p, q, step: np.mean(np.exp(2 * (p - q))),
            "non-finite",
            "a mean over the grid is no mean under q: its points are not drawn from q, so each is weighed by q",
        ),
        Slip(
            lambda p, q, step: np.sum(np.exp(p - q)) * step,
            "missing-term",
            "no square, and no mean under q: this is the sum of the weights",
        ),
        Slip(
            lambda p, q, step: np.sum(np.exp(2 * p)) * step,
            "missing-term",
            "this lacks q below the line",
        ),
        Slip(
            lambda p, q, step: np.sum(np.exp(2 * p + q)) * step,
            "sign",
            "multiplied by q: two of three q cancel, and one stays below the line",
        ),
        Slip(
            lambda p, q, step: np.sum(np.exp(2 * p - q)),
            "factor",
            "a sum over a grid is an integral only with the width of a step",
        ),
        Slip(
            lambda p, q, step: np.mean(np.exp(2 * p - q)),
            "factor",
            "the mean over the grid points is no integral: add up, times the width of a step",
        ),
        Slip(
            lambda p, q, step: np.sum(np.exp(2 * p - q)) * step - 1,
            "missing-term",
            "this is the variance: the 1 comes off later",
        ),
        Slip(
            lambda p, q, step: np.log(np.sum(np.exp(2 * p - q)) * step),
            "elementwise-factor",
            "this is its logarithm: the number itself is wanted",
        ),
        Slip(
            lambda p, q, step: np.sum(p**2 / q) * step,
            "elementwise-factor",
            "square and quotient are of the densities: these are their logarithms",
        ),
        Slip(
            lambda p, q, step: np.sum(2 * p - q) * step,
            "elementwise-factor",
            "these are logarithms: exp comes before the sum",
        ),
    ),
)


def draws_needed(factor, Z, error):
    """K for a relative standard error, with Z independent latents of that second moment each."""
    return (factor**Z - 1) / error**2


DRAWS = value(
    draws_needed,
    lambda factor, Z, error: {"draws": float(np.expm1(sum([np.log(factor)] * Z)) / error / error)},
    lambda rng: (float(rng.uniform(1.2, 3)), int(rng.integers(3, 9)), float(rng.uniform(0.02, 0.3))),
    (
        "What is the second moment of Z latents, if the weight is a product of Z independent ones? The variance is it "
        "less 1; the standard error is its root over that of K.",
        "K = (factor^Z - 1) / error^2",
        "return (factor**... - 1) / error**2",
    ),
    (
        Slip(
            lambda f, Z, e: f**Z / e**2,
            "missing-term",
            "this takes the mean square for the variance: the squared mean, 1, comes off",
        ),
        Slip(
            lambda f, Z, e: f**Z / e**2 - 1,
            "elementwise-factor",
            "the 1 comes off the second moment, before the division",
        ),
        Slip(
            lambda f, Z, e: (f - 1) ** Z / e**2,
            "elementwise-factor",
            "the 1 comes off once, of the product: it is the second moments that multiply",
        ),
        Slip(
            lambda f, Z, e: Z * (f - 1) / e**2,
            "elementwise-factor",
            "the variances are added: the weights of the latents multiply",
        ),
        Slip(
            lambda f, Z, e: (Z * f - 1) / e**2,
            "elementwise-factor",
            "the factor is taken Z times and added: the weights of the latents multiply",
        ),
        Slip(
            lambda f, Z, e: (f - 1) / e**2,
            "missing-term",
            "this is the number for a single latent",
        ),
        Slip(
            lambda f, Z, e: (f**Z - 1) / e,
            "missing-term",
            "the standard error falls with the square root of K: solved for K, it is squared",
        ),
        Slip(
            lambda f, Z, e: np.sqrt(f**Z - 1) / e,
            "missing-term",
            "this is the square root of K",
        ),
        Slip(
            lambda f, Z, e: float(np.ceil((f**Z - 1) / e**2)),
            "elementwise-factor",
            "rounded up to a whole number of draws: leave the formula's number as it is",
        ),
        Slip(
            lambda f, Z, e: float(np.floor((f**Z - 1) / e**2)),
            "elementwise-factor",
            "rounded down to a whole number of draws: leave the formula's number as it is",
        ),
        Slip(
            lambda f, Z, e: (f**Z - 1) * e**2,
            "elementwise-factor",
            "a smaller error takes more draws: its square stands below the line",
        ),
        Slip(
            lambda f, Z, e: 100 * (f**Z - 1),
            "elementwise-factor",
            "this is the number for 10 %: the error is an argument",
        ),
    ),
)
