"""What an estimator of a gradient does on average, and how far its draws scatter.

Sizes: B batch, D data.
"""

import math
from typing import NamedTuple

import numpy as np

from scratchvae.iwae import ImportanceWeighted


class Moments(NamedTuple):
    """Of each parameter's gradient, by name and entry by entry, over repeated draws of eps."""

    mean: dict[str, np.ndarray]
    variance: dict[str, np.ndarray]
    standard_error: dict[str, np.ndarray]  # of the mean: sqrt(variance / repeats)


def gradient_moments(objective: ImportanceWeighted, x: np.ndarray, repeats: int, rng: np.random.Generator) -> Moments:
    """Mean and variance of the gradient of sum_b objective_b, from so many draws of eps; x and the model stay.

    The sums are kept relative to the first draw, so that a scatter far below the mean is still seen.

    Shapes    x (B, D).
    """
    first: dict[str, np.ndarray] = {}
    total: dict[str, np.ndarray] = {}
    squares: dict[str, np.ndarray] = {}
    for _ in range(repeats):
        _, cache = objective.objective(x, objective.draw_eps(len(x), rng))
        for name, grad in objective.backward(np.ones(len(x)), cache).items():
            off = grad - first.setdefault(name, grad)
            total[name] = total.get(name, 0.0) + off
            squares[name] = squares.get(name, 0.0) + off * off
    mean = {name: first[name] + total[name] / repeats for name in first}
    variance = {name: np.maximum(squares[name] - total[name] ** 2 / repeats, 0.0) / (repeats - 1) for name in first}
    return Moments(mean, variance, {name: np.sqrt(v) / math.sqrt(repeats) for name, v in variance.items()})
