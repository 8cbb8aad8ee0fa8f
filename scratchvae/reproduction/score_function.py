"""A row on two estimators of one derivative: how far a single draw of each scatters, by an integral and by draws.

Sizes: n draws, or points of a grid.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

WIDTH, POINTS = 10.0, 200_001  # a sum over so fine a grid of noise is the integral to machine precision

Function = Callable[[np.ndarray], np.ndarray]


class Problem(NamedTuple):
    """d/dt E[f(z)], z = m + s eps, where m and s depend on t: f and its slope, m and s and theirs in t."""

    f: Function
    slope: Function
    m: float
    s: float
    dm: float
    ds: float

    def pathwise(self, eps: np.ndarray) -> np.ndarray:
        """f'(z) dz/dt, (n,)."""
        return self.slope(self.m + self.s * eps) * (self.dm + self.ds * eps)

    def score(self, eps: np.ndarray) -> np.ndarray:
        """f(z) dlog q(z)/dt with z held fixed, (n,)."""
        return self.f(self.m + self.s * eps) * (eps * self.dm + (eps * eps - 1) * self.ds) / self.s


def square_and_sine(t: float) -> Problem:
    """E[z^2 + sin z], z ~ N(t^3, exp(t)^2)."""
    s = float(np.exp(t))
    return Problem(lambda z: z * z + np.sin(z), lambda z: 2 * z + np.cos(z), t**3, s, 3 * t * t, s)


def steep_sine(t: float, sigma: float) -> Problem:
    """E[sin 5z], z ~ N(t, sigma^2): steep nearly everywhere, and never large."""
    return Problem(lambda z: np.sin(5 * z), lambda z: 5 * np.cos(5 * z), t, sigma, 1.0, 0.0)


def moments(draw: Function) -> tuple[float, float]:
    """Mean and variance of what one eps gives, by a sum over a grid."""
    eps = np.linspace(-WIDTH, WIDTH, POINTS)  # (n,)
    probability = np.exp(-0.5 * eps * eps)
    probability /= probability.sum()
    values = draw(eps)
    mean = float(probability @ values)
    return mean, float(probability @ (values - mean) ** 2)


def measured(config: dict[str, Any]) -> dict[str, Any]:
    """For each problem the derivative, the variance of both estimators by an integral and by draws, and their ratio."""
    problems = {
        "square and sine": square_and_sine(config["t"]),
        "steep sine": steep_sine(*config["steep"]),
    }
    eps, result = np.random.default_rng(config["seed"]).standard_normal(config["repeats"]), {}
    for name, problem in problems.items():
        derivative, of_path = moments(problem.pathwise)
        same, of_score = moments(problem.score)
        drawn = [float(draw(eps).var()) for draw in (problem.pathwise, problem.score)]
        result[name] = {
            "derivative": {"pathwise": derivative, "score": same},
            "variance": {"pathwise": of_path, "score": of_score},
            "variance_by_draws": {"pathwise": drawn[0], "score": drawn[1]},
            "ratio": of_score / of_path,
        }
    return result
