"""Derivatives without any derivation: central differences of fourth order, and the complex step.

A function here is y(x) of one array, everything else held fixed, and dy weighs its outputs: f(x) = sum(dy * y(x)).
Steps are tried from coarse to fine. The first that agrees with the claimed gradient settles it, so that a kink inside
one step, or rounding in another, is no reason to call a gradient wrong.

Sizes: n entries of x, M entries of y, K upstream gradients.
"""

import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

STEPS = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7)  # in units of the size of x
TOLERANCE = 1e-7  # relative
EPSILON = float(np.finfo(float).eps)

Function = Callable[[np.ndarray], np.ndarray]


class Residual(NamedTuple):
    """How far the claimed derivative along a direction is from the measured one."""

    error: float  # absolute
    noise: float  # what rounding alone could do
    measured: float  # the derivative


def size_of(x: np.ndarray) -> float:
    """The root mean square of x, 1 for an array of zeros: steps are taken in these units."""
    return math.sqrt(float((x * x).mean())) or 1.0 if x.size else 1.0


def units(x: np.ndarray) -> tuple[float, ...]:
    """The size of x, and 1 if x is far from it: sigmoid(1e-8) and log(1e-8) need different steps."""
    size = size_of(x)
    return (size,) if 0.1 < size < 10 else (size, 1.0)


def central(y: Function, x: np.ndarray, step: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """y(x + step) - y(x - step), what x really moved by after rounding, and |y|, which rounding is relative to."""
    above, below = x + step, x - step
    y_above, y_below = y(above), y(below)
    return y_above - y_below, above - below, np.abs(y_above) + np.abs(y_below)


def residuals(y: Function, x: np.ndarray, u: np.ndarray, dy: np.ndarray, grad: np.ndarray) -> Iterator[Residual]:
    """For each step h: the derivative of f along u, (4 D(h) - D(2h)) / 3 with D(h) = (f(x+hu) - f(x-hu)) / 2h.

    Shapes    u and grad like x; dy like y.
    """
    for unit in units(x):
        for h in STEPS:
            error = measured = noise = 0.0
            for weight, step in ((4 / 3, h * unit), (-1 / 3, 2 * h * unit)):
                moved, by, size = central(y, x, step * u)
                measured += weight * float((dy * moved).sum()) / (2 * step)
                error += weight * (float((dy * moved).sum()) - float((grad * by).sum())) / (2 * step)
                noise += 4 * EPSILON * float((np.abs(dy) * size).sum()) / step
            if math.isfinite(error):
                yield Residual(abs(error), noise, measured)


class Entry(NamedTuple):
    """What was measured at one entry of x: the derivative of every output, and how the claim compares."""

    column: np.ndarray  # (M,)
    verdict: str  # "agrees", "wrong", or "noisy" where rounding and kinks leave no measurement to disagree with
    error: float = 0.0  # relative


def entry(y: Function, x: np.ndarray, place: int, dy: np.ndarray, claimed: np.ndarray | None = None) -> Entry:
    """The derivative with respect to one entry, and whether the claimed values, one for each dy, fit it.

    Shapes    place counts along x.ravel(); dy (K, M); claimed (K,) or None; column (M,).
    """
    unit = np.zeros(x.shape)
    unit.flat[place] = 1.0
    seen: list[tuple[np.ndarray, np.ndarray]] = []
    for size in dict.fromkeys((*units(x), abs(float(x.flat[place])) or 1.0)):
        before = None
        for h in STEPS:
            column, noise = fourth_order(y, x, h * size * unit, h * size, dy)
            values = dy @ column  # (K,)
            if not np.isfinite(values).all():
                continue
            seen.append((column, values))
            if claimed is not None and close(values, claimed, noise):
                error = float(np.abs(values - claimed).max() / (np.abs(claimed).max() or 1.0))
                return Entry(column, "agrees", error)
            if before is not None and close(values, before, noise):  # two steps agree with each other: measured
                return Entry(column, "agrees" if claimed is None else "wrong")
            before = values
    if claimed is not None and (exact := complex_step(y, x, unit)) is not None and close(dy @ exact, claimed, 0.0):
        return Entry(exact, "agrees")  # why: no two steps agree, as for sin(1e10), and this one needs no difference
    if not seen:
        return Entry(np.full(dy.shape[1], np.nan), "noisy")
    all_values = np.array([values for _, values in seen])  # (steps, K)
    distance = np.abs(np.diff(all_values, axis=0)).sum(axis=1) if len(seen) > 1 else np.zeros(1)
    best = int(np.argmin(distance))
    far = claimed is not None and (np.abs(all_values - claimed).min(axis=0) > np.ptp(all_values, axis=0)).any()
    return Entry(seen[best][0], "wrong" if far else "noisy")


def fourth_order(y: Function, x: np.ndarray, step: np.ndarray, h: float, dy: np.ndarray) -> tuple[np.ndarray, float]:
    """The column of derivatives by four evaluations, and the noise that rounding puts on dy @ column."""
    index = int(np.flatnonzero(step)[0])
    column: Any = np.zeros(dy.shape[1])
    noise = 0.0
    for weight, factor in ((4 / 3, 1), (-1 / 3, 2)):
        moved, by, size = central(y, x, factor * step)
        column = column + weight * moved.ravel() / (by.flat[index] or math.nan)
        noise += 4 * EPSILON * float((np.abs(dy) @ size.ravel()).max()) / (factor * h)
    return column, noise


def close(a: np.ndarray, b: np.ndarray, noise: float) -> bool:
    """a = b to a relative 1e-7, or as well as rounding lets one see."""
    return bool((np.abs(a - b) <= TOLERANCE * np.maximum(np.abs(a), np.abs(b)).max() + noise).all())


def on_a_kink(y: Callable[[float], np.ndarray]) -> bool:
    """Does a function of one number have two slopes at 0? A curve's come together as the step shrinks, a kink's do not.

    Every output is judged by its own slopes: that of one example may be ten thousand times that of another.

    Shapes    y(h) (M,).
    """
    at = y(0.0)
    jumps, slopes = [], []
    for h in (1e-6, 1e-7):
        right, left = ((y(s) - at) / s for s in (h, -h))  # (M,), (M,)
        jumps.append(np.abs(right - left))
        slopes.append(np.maximum(np.abs(right), np.abs(left)))
    seen = jumps[0] > 1e-3 * slopes[0] + 64 * EPSILON * np.abs(at) / 1e-6  # (M,)  more than rounding does
    return bool((seen & (jumps[1] > 0.5 * jumps[0])).any())


def complex_step(y: Function, x: np.ndarray, u: np.ndarray) -> np.ndarray | None:
    """Im y(x + i h u) / h with h = 1e-100, (M,): no cancellation at all; None where y does not take complex numbers."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            stepped = np.asarray(y(x + 1e-100j * u))
    except Exception:  # whatever a forward does when it is not made for complex numbers
        return None
    if not np.iscomplexobj(stepped) or not np.isfinite(stepped).all():
        return None
    return stepped.imag.ravel() * 1e100
