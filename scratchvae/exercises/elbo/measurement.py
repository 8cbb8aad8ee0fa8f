"""One measurement x = z + noise, all of it in closed form: the two terms of the ELBO, and its gap as a KL."""

from typing import Any

import numpy as np

from scratchvae.exercises.blank import Slip, value
from scratchvae.gaussian import LOG_2PI


def one_measurement(rng: np.random.Generator) -> tuple[float, float, float, float]:
    """mu, sigma, x, noise."""
    return (float(rng.normal()), float(rng.uniform(0.2, 1.5)), float(rng.normal(0, 2)), float(rng.uniform(0.3, 1.5)))


def two_terms(mu, sigma, x, noise):
    """E_q[log p(x|z)] and KL(q || p(z)): q = N(mu, sigma^2), p(z) = N(0, 1), p(x|z) = N(x; z, noise^2)."""
    expected = -0.5 * (((x - mu) ** 2 + sigma**2) / noise**2 + np.log(2 * np.pi * noise**2))
    return expected, 0.5 * (mu**2 + sigma**2 - 1 - np.log(sigma**2))


def terms_by_quadrature(mu: float, sigma: float, x: float, noise: float) -> dict[str, float]:
    """With Gauss-Hermite nodes, which are exact for polynomials of degree two."""
    u, weights = np.polynomial.hermite_e.hermegauss(6)  # (6,)
    z, weights = mu + sigma * u, weights / weights.sum()
    log_likelihood = -0.5 * (((x - z) / noise) ** 2 + LOG_2PI) - np.log(noise)
    log_ratio = -0.5 * u * u - np.log(sigma) + 0.5 * z * z
    return {
        "expected log-likelihood": float(weights @ log_likelihood),
        "KL to the prior": float(weights @ log_ratio),
    }


def gap_of(mu, sigma, x, noise):
    """log p(x) - ELBO of q = N(mu, sigma^2), as a KL; p(z) = N(0, 1), p(x|z) = N(x; z, noise^2)."""
    m, variance = x / (1 + noise**2), noise**2 / (1 + noise**2)  # of the posterior
    return 0.5 * ((sigma**2 + (mu - m) ** 2) / variance - 1 + np.log(variance / sigma**2))


def kl_to(m: float, variance: float, mu: float, sigma: float) -> float:
    return float(0.5 * ((sigma**2 + (mu - m) ** 2) / variance - 1 + np.log(variance / sigma**2)))


def first(change: Any) -> Any:
    """A wrong answer in the first term alone."""
    return lambda mu, sigma, x, noise: (change(mu, sigma, x, noise), two_terms(mu, sigma, x, noise)[1])


def second(change: Any) -> Any:
    return lambda mu, sigma, x, noise: (two_terms(mu, sigma, x, noise)[0], change(mu, sigma))


TERMS = value(
    two_terms,
    terms_by_quadrature,
    one_measurement,
    (
        "log p(x|z) is a square of x - z and a constant. What is E_q[(x - z)^2], with x - z = (x - mu) - (z - mu)? The "
        "KL to the prior is on page 05.",
        "-1/2 (((x - mu)^2 + sigma^2) / noise^2 + log(2 pi noise^2)), and 1/2 (mu^2 + sigma^2 - 1 - log sigma^2)",
        "-0.5 * ((... + sigma**2) / noise**2 + np.log(2 * np.pi * noise**2)), 0.5 * (mu**2 + ... - 1 - np.log(...))",
    ),
    (
        Slip(
            first(lambda mu, sigma, x, n: -0.5 * ((x - mu) ** 2 / n**2 + np.log(2 * np.pi * n**2))),
            "missing-term",
            "the first is log p(x|z) at the mean of q: it does not feel the width of q",
        ),
        Slip(
            first(lambda mu, s, x, n: -0.5 * ((x - mu) ** 2 / (s**2 + n**2) + np.log(2 * np.pi * (s**2 + n**2)))),
            "elementwise-factor",
            "the first is log E_q[p(x|z)], the logarithm of a mean: the mean of the logarithm is wanted",
        ),
        Slip(
            first(lambda mu, s, x, n: -0.5 * ((x - mu) ** 2 + s**2) / n**2),
            "missing-term",
            "the first lacks the logarithm of the density's constant, 2 pi noise^2",
        ),
        Slip(
            first(lambda mu, s, x, n: -0.5 * (((x - mu) ** 2 + s**2) / n**2 + np.log(n**2))),
            "missing-term",
            "the first lacks log 2 pi: no second density is there to take it away",
        ),
        Slip(
            first(lambda mu, s, x, n: -0.5 * (((x - mu) ** 2 - s**2) / n**2 + np.log(2 * np.pi * n**2))),
            "sign",
            "the first: sigma^2 is added to the square, since z varies around mu",
        ),
        Slip(
            first(lambda mu, s, x, n: -((x - mu) ** 2 + s**2) / n**2 - np.log(2 * np.pi * n**2)),
            "factor",
            "the first is twice what it should be: a 1/2 stands in front of both parts",
        ),
        Slip(
            first(lambda mu, s, x, n: 0.5 * (((x - mu) ** 2 + s**2) / n**2 + np.log(2 * np.pi * n**2))),
            "sign",
            "the first has its sign turned: it is the mean of log p(x|z) itself",
        ),
        Slip(
            first(lambda mu, s, x, n: -0.5 * ((x - mu) ** 2 / n**2 + s**2 + np.log(2 * np.pi * n**2))),
            "missing-term",
            "the first: sigma^2 is divided by noise^2 as well, since both stand in the same square",
        ),
        Slip(
            first(lambda mu, s, x, n: -0.5 * (((x - mu) ** 2 + s**2) / n + np.log(2 * np.pi * n))),
            "elementwise-factor",
            "the first: noise is a standard deviation, and its square belongs here",
        ),
        Slip(
            first(lambda mu, s, x, n: -0.5 * (((x - mu) ** 2 + s**2) / n**2 + np.log(2 * np.pi * n))),
            "missing-term",
            "the first: in its logarithm stands noise, where noise^2 belongs",
        ),
        Slip(
            first(lambda mu, s, x, n: -0.5 * (((x - mu) ** 2 + s**2) / n + np.log(2 * np.pi * n**2))),
            "elementwise-factor",
            "the first: the squares are divided by noise, where noise^2 belongs",
        ),
        Slip(
            first(lambda mu, s, x, n: -0.5 * (((x - mu) ** 2 + s) / n**2 + np.log(2 * np.pi * n**2))),
            "elementwise-factor",
            "the first: what q's width adds to the mean square is sigma^2",
        ),
        Slip(
            second(lambda mu, s: -0.5 * (mu**2 + s**2 - 1 - np.log(s**2))),
            "sign",
            "the second is negative, and a KL never is",
        ),
        Slip(
            second(lambda mu, s: mu**2 + s**2 - 1 - np.log(s**2)),
            "factor",
            "the second is twice what it should be: both logarithms have a 1/2 in front",
        ),
        Slip(
            second(lambda mu, s: 0.5 * (mu**2 + s**2 - 1 - np.log(s))),
            "missing-term",
            "the second: the logarithm is of the variance, not of the standard deviation",
        ),
        Slip(
            second(lambda mu, s: 0.5 * (mu**2 + s**2 - np.log(s**2))),
            "missing-term",
            "the second lacks its -1: where q is the prior it has to be 0",
        ),
        Slip(
            second(lambda mu, s: 0.5 * (mu**2 + s**2 - 1 + np.log(s**2))),
            "sign",
            "the second: its logarithm has the wrong sign, and the KL should grow without limit as q gets narrow",
        ),
        Slip(
            second(lambda mu, s: kl_to(mu, s**2, 0, 1)),
            "transpose",
            "the second is the KL from the prior to q: the mean is taken under q",
        ),
        Slip(
            lambda mu, sigma, x, n: (two_terms(mu, sigma, x, n)[0], gap_of(mu, sigma, x, n)),
            "elementwise-factor",
            "the second is the KL to the posterior: the ELBO has the one to the prior",
        ),
        Slip(
            second(lambda mu, s: 0.5 * (mu**2 + s - 1 - np.log(s**2))),
            "elementwise-factor",
            "the second: beside mu^2 stands the variance, sigma^2",
        ),
        Slip(
            lambda *point: two_terms(*point)[::-1],
            "transpose",
            "the two are swapped: E_q[log p(x|z)] first, then the KL",
        ),
        Slip(
            lambda *point: two_terms(*point)[0] - two_terms(*point)[1],
            "shape",
            "this is the ELBO: return its two terms, one after the other",
        ),
    ),
)
