"""What a rule of an optimizer is made of: a run, from which every step follows, and the slips of the rule.

A rule says which move each step makes; a slip is a rule that stands where another is meant.

Sizes: T steps, N entries of all parameters.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

NAMES = {  # of the numbers, as they are usually called
    "lr": ("lr", "learning_rate", "alpha", "eta", "step_size"),
    "momentum": ("momentum", "mu", "mom", "rho", "beta", "beta1", "friction"),
    "beta1": ("beta1", "beta_1", "b1"),
    "beta2": ("beta2", "beta_2", "b2"),
    "rho": ("rho", "decay_rate", "decay", "gamma", "beta", "alpha"),
    "tiny": ("tiny", "eps", "epsilon"),
    "decay": ("weight_decay", "decay", "wd", "l2"),
}


class Run(NamedTuple):
    """What a rule may use: the gradients, (T, N), the step counts, (T, 1), and the numbers of the optimizer."""

    g: np.ndarray
    t: np.ndarray
    momentum: float = 0.0
    beta1: float = 0.0
    beta2: float = 0.0
    rho: float = 0.0
    tiny: float = 0.0
    squares: np.ndarray | None = None  # what is averaged in place of grad^2

    @property
    def g2(self) -> np.ndarray:
        return self.g**2 if self.squares is None else self.squares

    @property
    def m(self) -> np.ndarray:
        return memory(self.g, self.beta1) * (1 - self.beta1)

    @property
    def v(self) -> np.ndarray:
        return memory(self.g2, self.beta2) * (1 - self.beta2)

    @property
    def m_hat(self) -> np.ndarray:
        return self.m / (1 - self.beta1**self.t)

    @property
    def v_hat(self) -> np.ndarray:
        return self.v / (1 - self.beta2**self.t)

    @property
    def s(self) -> np.ndarray:
        return np.cumsum(self.g2, axis=0)

    @property
    def velocity(self) -> np.ndarray:
        return memory(self.g, self.momentum)

    @property
    def square(self) -> np.ndarray:
        """RMSprop's running average of the squares."""
        return memory(self.g2, self.rho) * (1 - self.rho)


def memory(a: np.ndarray, beta: float) -> np.ndarray:
    """m_t = beta m_(t-1) + a_t, from m_0 = 0, (T, N)."""
    out, m = np.empty_like(a), np.zeros_like(a[0])
    for t, row in enumerate(a):
        m = beta * m + row
        out[t] = m
    return out


def before(a: np.ndarray) -> np.ndarray:
    """The values of the step before, 0 at first."""
    return np.concatenate([np.zeros_like(a[:1]), a[:-1]])


class Slip(NamedTuple):
    """A sentence, the direction of descent that it makes (the move is minus lr times it), a repair and a cause."""

    text: str
    direction: Callable[[Run], np.ndarray]
    cause: str = "missing-term"
    repair: str = ""


class Family(NamedTuple):
    """A rule, and what may stand where it is meant."""

    name: str
    needs: tuple[str, ...]  # which numbers of the optimizer, beside lr
    direction: Callable[[Run], np.ndarray]
    repair: str
    slips: tuple[Slip, ...]


def number_of(optimizer: Any, name: str) -> float | None:
    """That number by its plain name, if the optimizer has an attribute for it."""
    value = next((getattr(optimizer, other) for other in NAMES[name] if hasattr(optimizer, other)), None)
    return float(value) if isinstance(value, int | float) else None
