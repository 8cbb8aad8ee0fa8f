"""Gradients that are clipped: by the entry, or by one of several norms.

Sizes: T steps, N entries, K norms.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from scratchvae.checks.amounts import number
from scratchvae.checks.optimizer.moves import Steps

NORMS = ("all", "each", "square", "absolute", "largest", "last", "sum")
COMMON = (1.0, 5.0, 0.5, 0.1, 10.0, 0.25, 2.0, 100.0)
USUAL = [f * 10.0**-k for k in range(-2, 4) for f in (5.0, 2.0, 1.0)] + [0.25]
NORMS_TOLD = {
    "each": "the norm is that of each parameter's own gradient, where that of all gradients together belongs",
    "all": "the norm is that of all gradients together, where that of each parameter's own gradient belongs",
    "square": "the norm lacks its root: it is the sum of the squares",
    "absolute": "the norm is the sum of |grad|, where the root of the sum of the squares belongs",
    "largest": "the norm is the largest |grad|, where the root of the sum of the squares belongs",
    "last": "the norm is that of the last parameter's gradient alone",
    "sum": "the norm is the sum of the norms of the parameters, where the root of the sum of all squares belongs",
}


class Clip(NamedTuple):
    """How gradients are clipped: not at all, by the entry, or to a norm of all of them or of each parameter's own."""

    how: str = "not"  # or entry, all, each
    bound: float = np.inf
    tiny: float = 0.0  # beside the norm

    @property
    def words(self) -> str:
        if self.how == "entry":
            return f"gradients are clipped at {number(self.bound)}, entry by entry"
        if self.how == "each":
            return f"the gradient of each parameter is shortened to the norm {number(self.bound)}"
        return f"all gradients together are shortened to the norm {number(self.bound)}"


UNCLIPPED = Clip()


def norms_of(grads: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The norms of the gradients of one step, (N, K) for each parameter."""
    own = {name: float(np.sqrt((g * g).sum())) for name, g in grads.items()}
    square = sum(n * n for n in own.values())
    absolute = sum(float(np.abs(g).sum()) for g in grads.values())
    largest = max(float(np.abs(g).max()) for g in grads.values())
    rest = (square, absolute, largest, own[list(own)[-1]], sum(own.values()))
    return {name: np.tile((np.sqrt(square), own[name], *rest), (g.size, 1)) for name, g in grads.items()}


def norm(h: Steps, which: str) -> np.ndarray:
    return np.asarray(h.norms[..., NORMS.index(which)])


def clipped(h: Steps, clip: Clip) -> np.ndarray:
    """The gradients, clipped."""
    if clip.how == "not":
        return h.g
    if clip.how == "entry":
        return np.clip(h.g, -clip.bound, clip.bound)
    return np.asarray(h.g * np.minimum(1, clip.bound / (norm(h, clip.how) + clip.tiny)))


def candidates(h: Steps, optimizer: Any, guesses: Iterable[float] = USUAL) -> Iterator[Clip]:
    """Clips that change some gradient. The bound is a number of the optimizer, or one of the guesses."""
    numbers = getattr(optimizer, "__dict__", {}).values()
    own = [float(a) for a in numbers if isinstance(a, int | float)]
    for bound in dict.fromkeys((*own, *guesses)):
        for how in ("all", "each", "entry"):
            sizes = np.abs(h.g) if how == "entry" else norm(h, how)
            if 0 < bound < sizes.max():
                yield from (Clip(how, bound, tiny) for tiny in ((0.0,) if how == "entry" else (0.0, 1e-6)))


def clipped_otherwise(h: Steps, clip: Clip, optimizer: Any) -> Iterator[tuple[str, str, np.ndarray]]:
    """What is written in place of a clip: in words, the cause, and done."""
    yield f"gradients are not clipped: in the reference {clip.words}", "missing-term", h.g
    if clip.how != "entry":
        for tiny in (clip.tiny, 0.0, 1e-6):
            yield from slips_of_a_norm(h, clip._replace(tiny=tiny))
    for other in (Clip("entry", clip.bound), *candidates(h, optimizer)):
        if (other.how, other.bound) != (clip.how, clip.bound):
            alike = f", not {number(clip.bound)}" if other.how == clip.how else f": in the reference {clip.words}"
            yield other.words + alike, "factor", clipped(h, other)


def slips_of_a_norm(h: Steps, clip: Clip) -> Iterator[tuple[str, str, np.ndarray]]:
    """Another factor than min(1, bound / norm)."""
    c, n = clip.bound, norm(h, clip.how) + clip.tiny
    told = number(c)
    factors = {
        f"gradients whose norm is below {told} are lengthened to it, where they should stay as they are": c / n,
        "gradients are multiplied by the larger one of 1 and bound / norm, not by the smaller": np.maximum(1, c / n),
        "the quotient is upside down: norm / bound, where bound / norm belongs": np.minimum(1, n / c),
        f"long gradients are multiplied by {told}, and not divided by their norm": np.where(n > c, c, 1),
        f"long gradients are divided by their norm, and not multiplied by {told}": np.where(n > c, 1 / n, 1),
        "all gradients are divided by the norm": 1 / n,
    }
    for text, factor in factors.items():
        yield text, "factor", h.g * factor
    for which, text in NORMS_TOLD.items():
        if which != clip.how:
            yield text, "factor", h.g * np.minimum(1, c / (norm(h, which) + clip.tiny))
