"""What is known about wrong gradients at one point, and what a hypothesis may say about one of them.

A gradient is linear in dy, so it is a matrix: one row for every entry of the input, one column for every entry of y.
Column o is what backward returns for the upstream gradient that is 1 at o and 0 elsewhere; what it should be is the
measured derivative of y_o. A hypothesis compares the two matrices.

Sizes: m entries of an input that were measured, M entries of y that were asked.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from scratchvae.checks.vjp.word import Word

EXPLAINED = 1e-6  # what an explanation may leave over, relative to the largest entry
EVERY = "every "  # before the values of what runs several times
LEFT = 1e-3  # and relative to the error that it explains


class Claim(NamedTuple):
    """What a hypothesis says about one input: data only. The sentence is written in `sentences`, by its kind."""

    cause: str
    kind: str
    words: tuple[Word, ...] = ()
    place: str = ""  # where the words are: "in", at the input; "out", where dy enters; "mid", between the two
    factor: float = 1.0  # expected = factor * repaired
    detail: tuple[Any, ...] = ()  # what else the sentence needs, the same at every point
    cost: float = 1.0  # of two claims that explain as much the simpler one is told
    either: bool = False  # some of the inputs take the factor with the other sign

    @property
    def text(self) -> "Claim":
        """All but its number, and what it costs."""
        return self._replace(factor=1.0, cost=0.0)

    def same_as(self, other: "Claim") -> bool:
        """The same claim about another input, or at another point."""
        return abs(self.factor - other.factor) <= 1e-5 * abs(self.factor) and self.text == other.text

    def is_like(self, other: "Claim") -> bool:
        """The same, or the same term with the other sign, as for the two sides of a difference."""
        turned = other._replace(factor=-other.factor) if self.cause == "missing-term" else other
        return self.same_as(other) or self.same_as(turned)


class Seen(NamedTuple):
    """One wrong input: what its gradient is, and what it should be."""

    name: str
    shape: tuple[int, ...]
    entries: np.ndarray  # (m,) which of its entries were measured, counted along .ravel()
    right: np.ndarray  # (m, M) the measured derivatives
    raw: list[np.ndarray | None]  # M gradients as backward returned them, for dy = scale_o at o
    scale: np.ndarray  # (M,)
    linear: bool  # in dy
    homogeneous: bool  # twice dy gives twice as much
    at_zero: np.ndarray | None  # (m,) what comes back for dy = 0, which should be nothing
    parts: Mapping[str, np.ndarray]  # (m, M) each: what the terms of a sum contribute to right
    spans: Mapping[str, np.ndarray]  # (M, m, Z) each: the derivatives of the two sides of a fork, row by row
    beside: Mapping[str, np.ndarray] = {}  # (M, *shape) each: of a value inside, what other lines compute
    through: np.ndarray | None = None  # (m, n) of it: what all that is said of its n entries is seen through

    @property
    def fits(self) -> bool:
        """Is there a gradient of the right shape?"""
        return all(g is not None and g.shape == self.shape for g in self.raw)

    @property
    def got(self) -> np.ndarray:
        """(m, M)."""
        return self.picked([g for g in self.raw if g is not None])

    def picked(self, arrays: Any) -> np.ndarray:
        """One array for every output, made by a gradient of the input's shape: its measured entries, (m, M)."""
        full = np.broadcast_to(np.asarray(arrays, float), (len(arrays), *self.shape))
        seen = full.reshape(len(full), -1)[:, self.entries].T / self.scale  # (m, M)
        return seen if self.through is None else self.through @ seen

    @property
    def is_right(self) -> bool:
        return self.fits and bool(np.abs(self.right - self.got).max() <= EXPLAINED * np.abs(self.right).max())

    def explained(self, left: np.ndarray) -> bool:
        """Is what is left over nothing, beside the largest entry and beside the error?"""
        error = np.abs(self.right - self.got).max() if self.fits else np.abs(self.right).max()
        return bool(np.abs(left).max() <= min(EXPLAINED * np.abs(self.right).max(), LEFT * error))


class Case(NamedTuple):
    """All wrong inputs at one point."""

    seen: dict[str, Seen]
    shape: tuple[int, ...]  # of y
    outs: np.ndarray  # (M,) which entries of y were asked, counted along .ravel()
    arrays: Mapping[str, np.ndarray]  # in play, under their plain names
    words: list[Word]
    values: dict[str, np.ndarray]  # of the words, by their names
    scalars: Mapping[str, float]  # plain numbers that were handed in, or are in the cache
    weights: Mapping[str, np.ndarray]  # all inputs
    around: Mapping[str, np.ndarray]  # the gradients that are right, (M, *shape) each
    asked: tuple[str, ...] = ()  # the inputs that are looked at; all of them, if none is named
    fixed: bool = False  # what is seen are values of a backward that do not depend on dy
    pair: Any = None  # a Pair: what was run, with the constants of this point

    @property
    def dys(self) -> np.ndarray:
        """The upstream gradients, (M, *y.shape): 1 at one output."""
        dys = np.zeros((len(self.outs), int(np.prod(self.shape))))
        dys[np.arange(len(self.outs)), self.outs] = 1.0
        return dys.reshape(len(self.outs), *self.shape)

    @property
    def whole(self) -> bool:
        """Was every output asked?"""
        return len(self.outs) == int(np.prod(self.shape))


Hypothesis = Callable[..., Any]  # of a case and an input -> its claims; of an operation -> its changes


def ratio(target: np.ndarray, candidate: np.ndarray) -> float | None:
    """The number c with target = c * candidate in every entry, if there is one."""
    squares = float((candidate * candidate).sum())
    if not squares or not np.isfinite(squares):
        return None
    c = float((candidate * target).sum()) / squares
    return c if c and np.abs(target - c * candidate).max() <= EXPLAINED * np.abs(target).max() else None


def repairs(seen: Seen, candidate: np.ndarray) -> float | None:
    """The number c with right = c * candidate, if that explains the error and candidate is no copy of what is there."""
    c = ratio(seen.right, candidate)
    return c if c and seen.explained(seen.right - c * candidate) else None


def aligned(a: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
    """a broadcast to shape, a number a row, or a channel, included: (B,) to (B, Z); None if that does not go."""
    while a.ndim > len(shape) and a.shape[0] == 1:  # a batch of one row, at an input that has no rows
        a = a[0]
    if a.ndim < len(shape) and a.shape == shape[: a.ndim] and a.shape != shape[len(shape) - a.ndim :]:
        a = a.reshape(*a.shape, *(1,) * (len(shape) - a.ndim))
    elif a.ndim == 1 and len(shape) > 2 and len(a) == shape[1] != shape[-1]:  # a number a channel
        a = a.reshape(-1, *(1,) * (len(shape) - 2))
    try:
        return np.broadcast_to(a, shape)
    except ValueError:
        return None
