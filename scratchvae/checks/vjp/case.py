"""A gradient that is wrong, and all that is known about it.

Sizes: K upstream gradients, m entries that were measured, M entries of y, B batch.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

EXPLAINED = 1e-6  # what an explanation may leave over, relative to the largest entry


class Case(NamedTuple):
    """The gradients returned for K upstream gradients, and the measured derivatives."""

    name: str
    shape: tuple[int, ...]  # of the input
    entries: np.ndarray  # (m,) which of its entries were measured, counted along .ravel()
    gots: list[np.ndarray | None]  # K gradients as they were returned
    columns: np.ndarray  # (m, M) the derivative of every output
    dys: np.ndarray  # (K, *y.shape)
    arrays: Mapping[str, np.ndarray]  # in play
    redo: Callable[[np.ndarray], np.ndarray | None]  # the gradient that the code under test returns for another dy
    parts: Mapping[str, np.ndarray] = {}  # (K, m) each: what the terms of a sum contribute
    spans: Mapping[str, np.ndarray] = {}  # (K, m, Z) each: the derivatives of the two sides of a fork, row by row
    others: Mapping[str, list[np.ndarray | None]] = {}  # K gradients each, as they were returned for the other inputs

    @property
    def expected(self) -> np.ndarray:
        return self.dys.reshape(len(self.dys), -1) @ self.columns.T  # (K, m)

    @property
    def got(self) -> np.ndarray:
        return np.stack([self.pick(g) for g in self.gots if g is not None])  # (K, m)

    @property
    def row_by_row(self) -> bool:
        """Does each upstream gradient ask for one row of the batch alone, the first for row 0 and so on?"""
        K = len(self.dys)
        rows = self.dys.reshape(*self.dys.shape[:2], -1).any(axis=2) if self.dys.ndim > 1 else self.dys
        return np.array_equal(rows, np.eye(K)) and K > 1

    def pick(self, array: np.ndarray) -> np.ndarray:
        """The measured entries of an array of the input's shape, or of one that broadcasts to it; (m,)."""
        return np.broadcast_to(array, self.shape).ravel()[self.entries]


class Verdict(NamedTuple):
    """A cause that explains the error, and a sentence about it."""

    cause: str
    message: str
    factor: float | None = None
    also: str = ""


def ratio(target: np.ndarray, candidate: np.ndarray) -> float | None:
    """The number c with target = c * candidate in every entry, if there is one."""
    squares = float((candidate * candidate).sum())
    if not squares or not np.isfinite(squares):
        return None
    c = float((candidate * target).sum()) / squares
    return c if c and np.abs(target - c * candidate).max() <= EXPLAINED * np.abs(target).max() else None


def aligned(a: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
    """a broadcast to shape, a number a row included: (B,) to (B, Z); None if that does not go."""
    if a.ndim < len(shape) and a.shape == shape[: a.ndim] and a.shape != shape[len(shape) - a.ndim :]:
        a = a.reshape(*a.shape, *(1,) * (len(shape) - a.ndim))
    try:
        return np.broadcast_to(a, shape)
    except ValueError:
        return None


def spread(dy: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
    """dy broadcast to shape; its axes are the first ones, since it has a number for every row."""
    if dy.shape == shape[: dy.ndim]:
        dy = dy.reshape(*dy.shape, *(1,) * (len(shape) - dy.ndim))
    return aligned(dy, shape)


def signed(verdict: Verdict, c: float) -> Verdict:
    """With a negative constant in front the sign is wrong as well."""
    return verdict._replace(also="sign") if c < 0 else verdict
