"""Small sets made in code, whose distribution is known because it is written here. Floats, (N, D), from a generator."""

import math
from typing import NamedTuple

import numpy as np


def circle(n: int, rng: np.random.Generator, radius: float = 1.0, sigma: float = 0.05) -> np.ndarray:
    """Points on a circle in the plane: an angle, uniform, and Gaussian noise of standard deviation sigma.

    Shapes    (n, 2).
    """
    angle = rng.uniform(0, 2 * math.pi, size=n)  # (n,)
    return radius * np.stack([np.cos(angle), np.sin(angle)], axis=1) + sigma * rng.standard_normal((n, 2))


def mixture(
    n: int, rng: np.random.Generator, centres: np.ndarray | None = None, sigma: float = 0.3
) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian blobs with equal weights: a centre is chosen, then noise of standard deviation sigma is added.

    Shapes    centres (C, D), by default three corners of a triangle in the plane; x (n, D), y (n,) the centre chosen.
    """
    if centres is None:
        centres = np.array([[0.0, 1.5], [-1.3, -0.75], [1.3, -0.75]])
    y = rng.integers(len(centres), size=n)  # (n,)
    return centres[y] + sigma * rng.standard_normal((n, centres.shape[1])), y


class Cloud(NamedTuple):
    """Draws from x = W z + mean + sigma * noise with z ~ N(0, I), and the parameters that made them."""

    x: np.ndarray  # (n, D)
    z: np.ndarray  # (n, Z)
    W: np.ndarray  # (D, Z)
    mean: np.ndarray  # (D,)
    sigma: float


def linear_gaussian(n: int, rng: np.random.Generator, n_x: int = 8, n_z: int = 2, sigma: float = 0.5) -> Cloud:
    """A linear-Gaussian cloud (probabilistic PCA). Its evidence is known: x ~ N(mean, W W^T + sigma^2 I).

    Source    Tipping & Bishop (1999).
    """
    W = rng.standard_normal((n_x, n_z))  # (D, Z)
    mean = rng.standard_normal(n_x)  # (D,)
    z = rng.standard_normal((n, n_z))  # (n, Z)
    x = z @ W.T + mean + sigma * rng.standard_normal((n, n_x))  # (n, D)
    return Cloud(x, z, W, mean, sigma)
