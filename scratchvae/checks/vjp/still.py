"""An entry whose gradient is said to be 0, and that does not move y: is it idle, or only too small to be seen?

A unit that a relu has switched off comes alive at once when it crosses the kink; what is hidden by rounding comes out
of it gradually. What nobody uses may be no number at all, and what is multiplied by an exact 0 fails in that product
if it is infinite. An entry without any of these reasons is left open.
"""

from collections.abc import Callable

import numpy as np

from scratchvae.checks.vjp.differences import START, Function, units

FAR = (1.0, 1e3, 1e6)  # how far to look for a kink, in units of the entry
NEAR, BEHIND = 1 + 1e-6, 1.01  # how near to a kink to come, and how far behind it to look
PRODUCTS = ("multiply", "matmul", "dot", "vecdot", "matvec", "vecmat", "einsum")  # not sin, nor a quotient
AT_ONCE = 1e3  # so many times more y moves behind a kink than at its edge: out of rounding it comes in equal steps


def is_idle(y: Function, x: np.ndarray, at: np.ndarray, place: int) -> bool:
    """Is the derivative of every output by this entry known to be 0?

    Shapes    at (M,): y at x.
    """
    unit = float(units(x).flat[place])

    def moved_to(value: float) -> np.ndarray:
        there = x.copy()
        there.flat[place] = value
        return y(there).ravel()

    def moves(h: float) -> bool:
        return not np.array_equal(moved_to(float(x.flat[place]) + h), at)

    start = 4 * START * unit
    if moves(start) or moves(-start):
        return False
    sides = [wakes(lambda h, side=side: moves(side * h), start, unit) for side in (1.0, -1.0)]  # type: ignore[misc]
    kinks = [side * h for side, h in zip((1.0, -1.0), sides, strict=True) if h]
    if kinks:
        near, behind = ([moved_to(float(x.flat[place]) + s * h) for h in kinks] for s in (1.0, BEHIND))
        return all(bool((np.abs(b - at) > AT_ONCE * np.abs(a - at)).any()) for a, b in zip(near, behind, strict=True))
    if np.array_equal(moved_to(np.nan), at):
        return True
    try:
        with np.errstate(invalid="raise"):
            moved_to(np.inf)
    except FloatingPointError as error:
        return str(error).endswith(PRODUCTS)
    return False


def wakes(moves: Callable[[float], bool], still: float, unit: float) -> float | None:
    """The first step that moves y, to one in a million; None if it never moves."""
    far = next((h * unit for h in FAR if moves(h * unit)), None)
    if far is None:
        return None
    still = max([still, *(h * unit for h in FAR if h * unit < far)])
    while far > NEAR * still:
        middle = float(np.sqrt(still * far))
        still, far = (still, middle) if moves(middle) else (middle, far)
    return far
