"""What a parameter did, and what the reference did with the same gradients.

Sizes: T steps, N entries.
"""

import warnings
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

ROUNDING = 8 * float(np.finfo(float).eps)
ALLOWED = 1e-9  # relative to a move, beside what rounding does to the parameter
EXPLAINED = 1e-7  # relative: what a rule may leave over
SHAPES = {"W": (4, 3), "b": (3,)}


class Steps(NamedTuple):
    """What a parameter did, (T, N) each: gradient, value before the step, move, and the move that was wanted.

    norms: of the gradients of all parameters, (T, N, K), as clips.NORMS names them.
    """

    g: np.ndarray
    p: np.ndarray
    move: np.ndarray
    wanted: np.ndarray
    norms: np.ndarray

    @property
    def off(self) -> np.ndarray:
        """|move - wanted| relative to what was wanted, beside what rounding of the parameter leaves of it.

        What passes through the whole parameter, as a mean, a projection or an angle's 2 pi does, rounds at the size of
        its largest entry.
        """
        error = np.abs(self.move - self.wanted)
        with np.errstate(all="ignore"):
            held = np.abs(self.p).max(axis=1, keepdims=True) + np.abs(self.wanted)
            off = error / (np.abs(self.wanted) + 1e9 * ROUNDING * held)
        return np.where(error == 0, 0.0, np.nan_to_num(off, nan=np.inf))  # why: a parameter may be 0 and stay there

    @property
    def reference(self) -> "Steps":
        """What the reference did, as if it were one's own."""
        return self._replace(move=self.wanted)

    def first(self, steps: int) -> "Steps":
        return Steps(*(a[:steps] for a in self))

    def follows(self, move: np.ndarray, times: np.ndarray | float = 1.0) -> bool:
        """Is this, times something, what it did?"""
        rounding = ROUNDING * np.maximum(1, np.abs(times)) * (np.abs(self.p) + np.abs(move))
        worst = float(self.off.max())
        explained = min(EXPLAINED, 0.01 * worst) if worst > ALLOWED else EXPLAINED  # why: less than what is to explain
        return bool((np.abs(self.move - times * move) <= explained * np.abs(times * move) + rounding).all())


def median_ratio(a: np.ndarray, b: np.ndarray, axis: int | None = None) -> np.ndarray:
    """The median of a / b where b is not 0, that is 1 if it is 0 everywhere, along an axis."""
    quotients = np.where(b == 0, np.nan, a / np.where(b == 0, 1.0, b))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # why: nothing but zeros
        return np.nan_to_num(np.nanmedian(quotients, axis=axis), nan=1.0)


def joined(parts: Mapping[str, Steps]) -> Steps:
    return Steps(*(np.concatenate(a, axis=1) for a in zip(*parts.values(), strict=True)))


def of_one_length(h: Steps) -> bool:
    """Does the reference step by the sign of something, so that all moves, decays apart, have one length?"""
    if not np.isfinite(h.wanted).all():
        return False
    signs = np.sign(h.g[0])
    columns = np.stack([signs, h.p[0]], axis=1)
    (length, decay), *_ = np.linalg.lstsq(columns, h.wanted[0], rcond=None)
    lengths = np.abs(h.wanted - decay * h.p)
    return bool(length) and bool(np.allclose(lengths, abs(length), rtol=1e-6, atol=0.0))
