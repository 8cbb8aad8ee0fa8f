"""The score function's estimator.

Sizes: K draws.
"""

from typing import Any

import numpy as np

from scratchvae.exercises.blank import Slip, value
from scratchvae.exercises.steps import slope

K = 60


def score(z, mu, sigma):
    """d log q(z) / d mu and d log q(z) / d sigma, q = N(mu, sigma^2): z (K,) -> (K,), (K,)."""
    eps = (z - mu) / sigma
    return eps / sigma, (eps**2 - 1) / sigma


def score_by_steps(z: np.ndarray, mu: float, sigma: float) -> dict[str, np.ndarray]:
    """Slopes of the sum of log q over rows that each have a mean and a standard deviation of their own."""

    def log_q(mu: Any, sigma: Any) -> Any:
        return (-0.5 * ((z - mu) / sigma) ** 2 - np.log(sigma)).sum()

    means, spreads = np.full(len(z), mu), np.full(len(z), sigma)
    return {
        "dlogq/dmu": slope(lambda at: log_q(at, spreads), means),
        "dlogq/dsigma": slope(lambda at: log_q(means, at), spreads),
    }


SCORE = value(
    score,
    score_by_steps,
    lambda rng: (rng.normal(0, 2, K), float(rng.normal()), float(np.exp(rng.normal()))),
    (
        "log q(z) = -((z - mu) / sigma)^2 / 2 - log sigma + a constant. z stays where it is: what is the slope in mu? "
        "And in sigma, which stands in it twice?",
        "with eps = (z - mu) / sigma: eps / sigma, and (eps^2 - 1) / sigma",
        "eps = (z - mu) / sigma; return eps / sigma, (... - 1) / sigma",
    ),
    (
        Slip(
            lambda z, m, s: ((m - z) / s**2, (((z - m) / s) ** 2 - 1) / s),
            "sign",
            "the first has the wrong sign: moving mu towards z makes z more likely",
        ),
        Slip(
            lambda z, m, s: ((z - m) / s, (((z - m) / s) ** 2 - 1) / s),
            "elementwise-factor",
            "the first lacks a division by sigma: the square of (z - mu) / sigma has an inner derivative",
        ),
        Slip(
            lambda z, m, s: ((z - m) / s, ((z - m) / s) ** 2 - 1),
            "elementwise-factor",
            "both lack a division by sigma: (z - mu) / sigma has an inner derivative, in mu and in sigma",
        ),
        Slip(
            lambda z, m, s: ((z - m) / s**2, -(((z - m) / s) ** 2 + 1) / s),
            "sign",
            "the second: a larger sigma makes ((z - mu) / sigma)^2 smaller, and it has a minus in log q",
        ),
        Slip(
            lambda z, m, s: ((z - m) / s**2, ((z - m) / s) ** 2 / s),
            "missing-term",
            "the second lacks a term: -log sigma depends on sigma, too",
        ),
        Slip(
            lambda z, m, s: ((z - m) / s**2, ((z - m) / s) ** 2 - 1),
            "elementwise-factor",
            "the second is multiplied by sigma: it is the slope in log sigma",
        ),
        Slip(
            lambda z, m, s: ((z - m) / s**2, (((z - m) / s) ** 2 - 1) / 2),
            "elementwise-factor",
            "the second is the slope in the log-variance: wanted is the one in sigma",
        ),
        Slip(
            lambda z, m, s: ((z - m) / s**2, (((z - m) / s) ** 2 + 1) / s),
            "sign",
            "the second: which sign does log sigma have in log q?",
        ),
        Slip(
            lambda z, m, s: ((z - m) / s**2, ((z - m) / s) ** 2 - 1 / s),
            "elementwise-factor",
            "the second: in sigma, 1 / sigma^2 has the slope -2 / sigma^3",
        ),
        Slip(
            lambda z, m, s: ((z - m) / s**2, (((z - m) / s) ** 2 - 1) / (2 * s**2)),
            "elementwise-factor",
            "the second is the slope in the variance: wanted is the one in sigma",
        ),
        Slip(
            lambda z, m, s: ((z - m) / s**2, (((z - m) / s) ** 2 / 2 - 1) / s),
            "elementwise-factor",
            "the second: 1 / sigma^2 has the slope -2 / sigma^3, and its 2 takes the 1/2 away",
        ),
        Slip(
            lambda z, m, s: (0 * z, 0 * z - 1 / s),
            "zero",
            "eps is held fixed here: z stays where it is, and (z - mu) / sigma moves with mu and with sigma",
        ),
        Slip(
            lambda z, m, s: tuple(
                np.exp(-0.5 * ((z - m) / s) ** 2) / np.sqrt(2 * np.pi) / s * d for d in score(z, m, s)
            ),
            "elementwise-factor",
            "these are the slopes of q: wanted are those of log q",
        ),
        Slip(
            lambda z, m, s: ((((z - m) / s) ** 2 - 1) / s, (z - m) / s**2),
            "transpose",
            "the two are swapped",
        ),
        Slip(
            lambda z, m, s: (-(z - m) / s**2, -((z - m) ** 2) / s**3),
            "sign",
            "these are slopes in z and its like: z stays where it is, and mu and sigma move",
        ),
    ),
)


def score_estimate(f_of_z, dlogq_dmu, dlogq_dsigma):
    """What each draw says about dF/dmu and dF/dsigma by the score function: (K,) each -> (K,), (K,)."""
    return f_of_z * dlogq_dmu, f_of_z * dlogq_dsigma


SCORE_ESTIMATE = value(
    score_estimate,
    lambda y, a, b: {
        "dF/dmu": np.array([u * v for u, v in zip(y.tolist(), a.tolist(), strict=True)]),
        "dF/dsigma": np.array([u * v for u, v in zip(y.tolist(), b.tolist(), strict=True)]),
    },
    lambda rng: tuple(rng.normal(size=(3, K))),
    (
        "dF/dmu is the mean under q of a product. Which two numbers does each draw bring?",
        "f(z_k) times the score at z_k",
        "f_of_z * ..., f_of_z * ...",
    ),
    (
        Slip(lambda y, a, b: (a, b), "elementwise-factor", "f is missing: the mean of a score alone is 0"),
        Slip(
            lambda y, a, b: ((y * a).mean(), (y * b).mean()),
            "shape",
            "these are means: one number for each draw is wanted, so that their spread can be seen",
        ),
        Slip(lambda y, a, b: (y * b, y * a), "transpose", "the two are swapped"),
        Slip(
            lambda y, a, b: (y.mean() * a, y.mean() * b),
            "elementwise-factor",
            "the mean of f is multiplied with each score: the mean of a product is wanted, draw by draw",
        ),
        Slip(lambda y, a, b: (-y * a, -y * b), "sign", "both have the wrong sign"),
        Slip(
            lambda y, a, b: ((y - y.mean()) * a, (y - y.mean()) * b),
            "missing-term",
            "the mean of f is subtracted: a good idea for later, but here f is wanted as it is",
        ),
        Slip(lambda y, a, b: (y + a, y + b), "missing-term", "a sum, where a product belongs"),
    ),
)
