"""Random directions: the cheap question, asked first, and the way down to a single wrong entry.

A function here is y(x) of one array, everything else held fixed, and dy weighs its outputs: f(x) = sum(dy * y(x)).
"""

import math
from typing import NamedTuple

import numpy as np

from scratchvae.checks.report import Line
from scratchvae.checks.vjp.differences import TOLERANCE, Function, Residual, complex_step, residuals


class Look(NamedTuple):
    """One random direction u: how far g.u is from the derivative of f along it, and whether that passes."""

    error: float  # relative
    passes: bool
    blind: bool  # nothing there to be seen: zero on both sides, or below what rounding hides
    measured: float
    noise: float
    u: np.ndarray
    dy: np.ndarray
    grad: np.ndarray
    line: Line
    second: float | None  # the error in the opinion of the complex step


def look(y: Function, x: np.ndarray, dy: np.ndarray, grad: np.ndarray, rng: np.random.Generator) -> Look:
    """g.u against the difference along u, judged against |g| |u| / sqrt(n): g.u itself may be near zero by chance.

    Every |u_i| lies between 1/2 and 3/2, so that one wrong entry is not drowned by the others, and two do not cancel.
    """
    u = rng.choice([-1.0, 1.0], x.shape) * rng.uniform(0.5, 1.5, x.shape)  # like x
    scale = float(np.linalg.norm(grad) * np.linalg.norm(u)) / math.sqrt(max(1, x.size))
    best = Residual(math.inf, 0.0, math.nan)
    noise, passes = 0.0, False
    for seen in residuals(y, x, u, dy, grad):
        noise = noise or 10 * seen.noise  # why: of the largest step; that of a small one would excuse anything
        best = min(best, seen, key=lambda r: r.error)
        if passes := seen.error <= TOLERANCE * scale + noise:
            break
    size = max(scale, abs(best.measured)) if math.isfinite(best.measured) else scale
    slope = float((grad * u).sum())
    line = Line(lambda h: float((dy * y(x + h * u)).sum()), slope, size or 1.0)
    imaginary = complex_step(y, x, u)
    exact = math.nan if imaginary is None else float(dy.ravel() @ imaginary)
    analytic = abs(exact - best.measured) <= 1e-5 * size + noise  # why: abs and .real drop the imaginary part
    second = abs(exact - slope) / (size or 1.0) if analytic else None
    blind = max(scale, abs(best.measured)) <= noise
    return Look(best.error / (size or 1.0), passes, blind, best.measured, noise, u, dy, grad, line, second)


def halve(y: Function, x: np.ndarray, seen: Look) -> int:
    """Follow the larger error through ever smaller halves of the direction, down to one entry."""
    support = np.arange(x.size)
    while len(support) > 1:
        halves = np.array_split(support, 2)
        errors = []
        for half in halves:
            u = np.zeros(x.size)
            u[half] = seen.u.ravel()[half]
            tried = zip(range(3), residuals(y, x, u.reshape(x.shape), seen.dy, seen.grad), strict=False)
            errors.append(min((r.error for _, r in tried), default=math.inf))
        support = halves[int(np.argmax(errors))]
    return int(support[0])


def is_coarse(y: Function, x: np.ndarray, rng: np.random.Generator) -> bool:
    """Does y stand still for a step of 1e-10 that a function in float64 would feel, though it moves for 1e-5?"""
    u = rng.choice([-1.0, 1.0], x.shape) * np.where(x == 0, 1.0, np.abs(x))
    at = y(x)
    rate = (y(x + 1e-5 * u) - at) / 1e-5
    felt = np.abs(rate) * 1e-10 > 64 * np.finfo(float).eps * np.abs(at)
    return bool(felt.any() and (y(x + 1e-10 * u) == at)[felt].mean() > 0.5)
