"""One operation of a backward, with what is known where it is done; and a change of it.

What a small change may be is in `changes`; that all gradients are right with it is seen in `trials`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np


class Operand(NamedTuple):
    """What an operation is done with, how it is written, and the operation done with something else."""

    text: str
    value: np.ndarray
    put: Callable[[np.ndarray], Any]
    shape: tuple[int, ...]  # up to which it may be spread


class Operation(NamedTuple):
    """What is computed at a site: function(*operands), and how the operands are written."""

    function: Callable[..., Any]
    ufunc: Any  # the plain function of NumPy behind it
    operands: Sequence[Any]
    texts: Sequence[str]
    result: np.ndarray
    text: str
    names: Mapping[str, np.ndarray]  # what is known there, by the name that one would write
    numbers: Mapping[str, float]  # those of the names that are plain numbers, handed in
    axis: int | tuple[int, ...] | None = None  # along which it goes

    def only(self, change: "Change") -> "Operation":
        """With no more names than this change needs."""
        return self._replace(names={name: a for name, a in self.names.items() if name in change.word})

    @property
    def parts(self) -> Iterator[Operand]:
        """Its operands, those that are arrays of floats; and all of it, as if that were done with by doing nothing."""
        for i, (a, text) in enumerate(zip(self.operands, self.texts, strict=True)):
            if isinstance(a, np.ndarray | np.floating) and np.asarray(a).dtype.kind == "f":
                shape = (
                    self.result.shape if isinstance(self.ufunc, np.ufunc) and self.ufunc.signature is None else a.shape
                )
                yield Operand(text, np.asarray(a), partial(self.with_operand, i), shape)
        if self.text:
            yield Operand(self.text, self.result, lambda value: value, self.result.shape)

    def with_operand(self, place: int, value: np.ndarray) -> Any:
        return self.function(*(value if i == place else a for i, a in enumerate(self.operands)))


class Change(NamedTuple):
    """One change: that of the operand `old`, or of all of it, which is then written `new`."""

    cause: str
    kind: str
    old: str
    word: str
    new: str
    cost: float


Changed = Iterator[tuple[Change, Callable[[], Any]]]


def done(put: Callable[[np.ndarray], Any], does: Callable[..., Any], *operands: Any) -> Any:
    return put(does(*operands))
