"""A picture from two draws: a code, then pixels.

Sizes: B pictures, Z latent, D pixels.
"""

from typing import Any

import numpy as np

from scratchvae.exercises.blank import Slip, value

B, D, Z = 6, 5, 2


def two_draws(mu, logvar, eps, u, decode):
    """Pictures of bits: z from N(mu, exp(logvar)) with the noise eps, then each pixel from p(x|z) with u.

    mu, logvar, eps (B, Z); u (B, D), uniform between 0 and 1; decode takes z (B, Z) to the probability that a
    pixel is 1, (B, D). Returns (B, D), zeros and ones.
    """
    z = mu + np.exp(0.5 * logvar) * eps
    return (u < decode(z)).astype(float)


def noise_and_decoder(rng: np.random.Generator) -> tuple[Any, ...]:
    mu, logvar, eps = rng.standard_normal((3, B, Z))
    W, b = 2 * rng.standard_normal((Z, D)), rng.standard_normal(D)
    return mu, logvar, eps, rng.random((B, D)), lambda z: 1 / (1 + np.exp(-z @ W - b))


def draws_by_loop(
    mu: np.ndarray, logvar: np.ndarray, eps: np.ndarray, u: np.ndarray, decode: Any
) -> dict[str, np.ndarray]:
    """Number by number, with the quantile of a bit: the smallest value whose distribution function reaches u."""
    bits = np.zeros(u.shape)
    for n in range(len(u)):
        z = [m + e * np.sqrt(np.exp(v)) for m, v, e in zip(mu[n], logvar[n], eps[n], strict=True)]
        (p,) = decode(np.array([z]))
        for d in range(len(p)):
            bits[n, d] = 0 if 1 - u[n, d] <= 1 - p[d] else 1
    return {"x": bits}


DRAWS = value(
    two_draws,
    draws_by_loop,
    noise_and_decoder,
    (
        "Two draws: which noise belongs to which? How often is a uniform number smaller than 0.3?",
        "z = mu + sigma eps with sigma = exp(logvar / 2); x_d = 1 if u_d < p_d(z), which happens with probability p_d",
        "z = mu + np.exp(0.5 * ...) * eps; return (u < decode(...)).astype(float)",
    ),
    (
        Slip(
            lambda m, v, e, u, f: u > f(m + np.exp(v / 2) * e),
            "sign",
            "the pixel is 1 if u is larger: that has the probability 1 - p, and the picture is a negative",
        ),
        Slip(
            lambda m, v, e, u, f: f(m + np.exp(v / 2) * e),
            "missing-term",
            "these are the decoder's means, grey: the second draw is missing",
        ),
        Slip(
            lambda m, v, e, u, f: f(m + np.exp(v / 2) * e) > 0.5,
            "missing-term",
            "rounding a mean is no draw: each time the same, and a pixel at 0.4 would never be lit",
        ),
        Slip(
            lambda m, v, e, u, f: u < f(m),
            "missing-term",
            "the code is the mean: the first draw is missing",
        ),
        Slip(
            lambda m, v, e, u, f: u < f(e),
            "missing-term",
            "the code is drawn from N(0, I), whatever mu and logvar are",
        ),
        Slip(
            lambda m, v, e, u, f: u < f(m + np.exp(v) * e),
            "elementwise-factor",
            "exp(logvar) is the variance: the noise is multiplied with the standard deviation",
        ),
        Slip(
            lambda m, v, e, u, f: u < f(m + v * e),
            "elementwise-factor",
            "logvar is a logarithm, and may be negative: the noise is multiplied with the standard deviation",
        ),
        Slip(
            lambda m, v, e, u, f: u < f(m + e),
            "elementwise-factor",
            "the noise has the standard deviation 1: that of q is exp(logvar / 2)",
        ),
        Slip(
            lambda m, v, e, u, f: u < f(m + np.exp(-v / 2) * e),
            "elementwise-factor",
            "this multiplies with 1 / sigma",
        ),
        Slip(
            lambda m, v, e, u, f: u * f(m + np.exp(v / 2) * e),
            "elementwise-factor",
            "the means are multiplied with u, and are grey: a pixel is 0 or 1",
        ),
        Slip(
            lambda m, v, e, u, f: u[:, :1] < f(m + np.exp(v / 2) * e),
            "elementwise-factor",
            "one u for the whole picture: each pixel is drawn on its own",
        ),
    ),
)
