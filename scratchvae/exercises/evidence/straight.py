"""A straight decoder with normal noise: p(x) is normal, and two moments say which normal.

Sizes: D data, Z latents.
"""

import numpy as np

from scratchvae.exercises.blank import Slip, value

D, Z = 4, 2


def moments(W, b, sigma_x):
    """Mean (D,) and covariance (D, D) of x = W z + b + sigma_x n, with W (D, Z) and b (D,)."""
    return b, W @ W.T + sigma_x**2 * np.eye(len(b))


def moments_by_directions(W: np.ndarray, b: np.ndarray, sigma_x: float) -> dict[str, np.ndarray]:
    """z and n are Z + D independent numbers, and each pushes x along its own direction."""
    covariance = np.zeros((len(b), len(b)))
    for direction in (*W.T, *(sigma_x * np.eye(len(b)))):
        covariance += np.multiply.outer(direction, direction)
    return {"mean": b, "covariance": covariance}


def straight(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, float]:
    return rng.standard_normal((D, Z)), rng.standard_normal(D), float(rng.choice([0.4, 1.8]) * rng.uniform(0.8, 1.2))


MOMENTS = value(
    moments,
    moments_by_directions,
    straight,
    (
        "z and n have the mean 0 and the covariance I. What does W do to a mean, and what to a covariance? What do the "
        "covariances of two independent vectors do when the vectors are added?",
        "the mean is b, and the covariance W W^T + sigma_x^2 I",
        "return b, W @ ... + sigma_x**2 * np.eye(len(b))",
    ),
    (
        Slip(
            lambda W, b, s: (b, W @ W.T + s * np.eye(len(b))),
            "elementwise-factor",
            "the covariance: sigma_x is a standard deviation, and its square belongs here",
        ),
        Slip(
            lambda W, b, s: (b, W @ W.T + s**2),
            "elementwise-factor",
            "the covariance: a number is added to every entry, where noise that is independent belongs on the diagonal",
        ),
        Slip(
            lambda W, b, s: (b, W @ W.T),
            "missing-term",
            "the covariance lacks that of the noise",
        ),
        Slip(
            lambda W, b, s: (b, s**2 * np.eye(len(b))),
            "missing-term",
            "the covariance is that of x for a given z: the spread of z is missing",
        ),
        Slip(
            lambda W, b, s: (b, W.T @ W + s**2 * np.eye(W.shape[1])),
            "transpose",
            "the covariance: the transposes are swapped, and this is a matrix over the latents",
        ),
        Slip(
            lambda W, b, s: (b, np.diag((W**2).sum(axis=1) + s**2)),
            "missing-term",
            "the covariance has its diagonal alone: entries of x that share a latent move together",
        ),
        Slip(
            lambda W, b, s: (b, np.linalg.inv(W @ W.T + s**2 * np.eye(len(b)))),
            "elementwise-factor",
            "the second is the precision: the covariance is its inverse",
        ),
        Slip(
            lambda W, b, s: (np.zeros(len(b)), W @ W.T + s**2 * np.eye(len(b))),
            "missing-term",
            "the mean: z and n have the mean zero, but b stays",
        ),
        Slip(
            lambda W, b, s: (W.sum(axis=1) + b, W @ W.T + s**2 * np.eye(len(b))),
            "elementwise-factor",
            "the mean: this is x at z = 1, and z has the mean 0",
        ),
        Slip(
            lambda W, b, s: (W @ W.T + s**2 * np.eye(len(b)), b),
            "transpose",
            "the two are swapped: mean first",
        ),
    ),
)
