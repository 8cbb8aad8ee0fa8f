"""A walk from one code to another, and how long the path of its pictures is.

Sizes: S points of a walk, Z latent, D pixels.
"""

from itertools import pairwise
from typing import Any

import numpy as np

from scratchvae.exercises.blank import Slip, value

Z, D = 3, 5


def walk(a, b, steps):
    """Points in equal steps on the straight line from a to b, both included: (Z,), (Z,), S -> (S, Z)."""
    t = np.linspace(0, 1, steps)[:, None]
    return (1 - t) * a + t * b


def two_codes(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, int]:
    return rng.standard_normal(Z), rng.standard_normal(Z), 6


def walk_by_adding(a: np.ndarray, b: np.ndarray, steps: int) -> dict[str, np.ndarray]:
    """One step after the other."""
    points = [a]
    for _ in range(steps - 1):
        points.append(points[-1] + (b - a) / (steps - 1))
    return {"points": np.array(points)}


def at(shares: Any) -> Any:
    """A walk whose points lie at other shares of the way."""
    return lambda a, b, n: (1 - shares(n)[:, None]) * a + shares(n)[:, None] * b


WALK = value(
    walk,
    walk_by_adding,
    two_codes,
    (
        "At the share t of the way, how much of a is left, and how much of b is there? Which t has a, which b?",
        "z(t) = (1 - t) a + t b, for t in equal steps from 0 to 1",
        "t = np.linspace(0, 1, ...)[:, None]; return (1 - t) * ... + t * ...",
    ),
    (
        Slip(
            at(lambda n: np.linspace(1, 0, n)),
            "transpose",
            "it goes from b to a: t is the share of b, and grows",
        ),
        Slip(
            at(lambda n: np.arange(n) / n),
            "missing-term",
            "it stops a step before b: between n points lie n - 1 steps",
        ),
        Slip(
            at(lambda n: np.linspace(0, 1, n + 1)),
            "shape",
            "there is a point too many: steps is the number of points, ends included",
        ),
        Slip(
            at(lambda n: np.linspace(0, 1, n + 2)[1:-1]),
            "missing-term",
            "the ends are missing: the walk begins at a and ends at b",
        ),
        Slip(
            lambda a, b, n: a + np.linspace(0, 1, n)[:, None] * b,
            "missing-term",
            "it ends at a + b: go from a along the difference b - a",
        ),
        Slip(
            lambda a, b, n: np.linspace(0, 1, n)[:, None] * (b - a),
            "missing-term",
            "it begins at 0: this is the way that has been gone, and a is to be added",
        ),
        Slip(
            lambda a, b, n: a + np.linspace(0, 1, n)[:, None] * (a - b),
            "sign",
            "it goes from a away from b: the difference is b - a",
        ),
        Slip(
            lambda a, b, n: np.linspace(a, b, n).T,
            "transpose",
            "rows and columns are swapped: a row for each point",
        ),
        Slip(
            lambda a, b, n: np.sqrt(1 - np.linspace(0, 1, n)[:, None]) * a + np.sqrt(np.linspace(0, 1, n))[:, None] * b,
            "elementwise-factor",
            "the two weights should add up to 1; here their squares do, which is a curve",
        ),
    ),
)


def detour(path):
    """The length of a path, the sum of its steps, over the distance of its ends: (S, D) -> a number."""
    steps = np.sqrt(((path[1:] - path[:-1]) ** 2).sum(axis=1))
    return steps.sum() / np.sqrt(((path[-1] - path[0]) ** 2).sum())


def lengths(steps: np.ndarray) -> Any:
    """The length of each row."""
    return np.sqrt((steps**2).sum(axis=-1))


def detour_by_pythagoras(path: np.ndarray) -> dict[str, float]:
    """Step by step, from inner products."""

    def distance(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.sqrt(a @ a - 2 * (a @ b) + b @ b))

    length = sum(distance(a, b) for a, b in pairwise(path))
    return {"detour": length / distance(path[0], path[-1])}


DETOUR = value(
    detour,
    detour_by_pythagoras,
    lambda rng: (rng.standard_normal((int(rng.integers(5, 9)), D)),),
    (
        "How long is one step, from a point to the next? Which of its D differences do you square, and add?",
        "sum over s of |x_(s+1) - x_s|, over |x_S - x_1|",
        "steps = np.linalg.norm(np.diff(path, axis=0), axis=...); return steps.sum() / np.linalg.norm(path[-1] - ...)",
    ),
    (
        Slip(
            lambda p: lengths(np.diff(p, axis=0)).sum(),
            "missing-term",
            "this is the length of the path: divide by the distance of its ends",
        ),
        Slip(
            lambda p: lengths(np.diff(p, axis=0)).sum() - lengths(p[-1] - p[0]),
            "elementwise-factor",
            "this is how much longer the path is: how many times as long is wanted",
        ),
        Slip(
            lambda p: lengths(np.diff(p, axis=0)).mean() / lengths(p[-1] - p[0]),
            "factor",
            "the mean step stands where their sum belongs: the result would shrink with the number of points",
        ),
        Slip(
            lambda p: lengths(p[-1] - p[0]) / lengths(np.diff(p, axis=0)).sum(),
            "elementwise-factor",
            "upside down: a path is never shorter than the distance of its ends",
        ),
        Slip(
            lambda p: (np.diff(p, axis=0) ** 2).sum() / ((p[-1] - p[0]) ** 2).sum(),
            "elementwise-factor",
            "squared lengths are added: take each root first. Squares would shrink as the steps become finer",
        ),
        Slip(
            lambda p: np.sqrt((np.diff(p, axis=0) ** 2).sum()) / lengths(p[-1] - p[0]),
            "elementwise-factor",
            "one root of all squares: each step has a length of its own",
        ),
        Slip(
            lambda p: np.abs(np.diff(p, axis=0)).sum() / np.abs(p[-1] - p[0]).sum(),
            "elementwise-factor",
            "absolute differences are added: the length of a step is the root of its squares' sum",
        ),
        Slip(
            lambda p: lengths(np.diff(p, axis=1)).sum() / lengths(p[-1] - p[0]),
            "transpose",
            "differences of neighbouring pixels: a step goes from a row to the next, axis 0",
        ),
        Slip(
            lambda p: lengths(np.diff(p, axis=0).T).sum() / lengths(p[-1] - p[0]),
            "transpose",
            "the squares are added over the points, pixel by pixel: add over the pixels, step by step",
        ),
        Slip(
            lambda p: lengths(p - p[0]).sum() / lengths(p[-1] - p[0]),
            "elementwise-factor",
            "every point's distance from the start is added: a step goes from a point to the next",
        ),
        Slip(
            lambda p: lengths(np.diff(p, axis=0)) / lengths(p[-1] - p[0]),
            "shape",
            "this has a number for each step: add them up",
        ),
    ),
)
