"""Moves of the usual optimizers, and of their usual slips, from the gradients alone.

A rule says which move each step makes; a slip is a rule that stands where another is meant. What an optimizer does is
compared with all slips of the rule that its reference follows, over all steps and all entries at once.

Sizes: T steps, N entries of all parameters.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

NAMES = {  # of the numbers, as they are usually called
    "lr": ("lr", "learning_rate", "alpha", "eta", "step_size"),
    "momentum": ("momentum", "mu", "rho"),
    "beta1": ("beta1", "beta_1", "b1"),
    "beta2": ("beta2", "beta_2", "b2"),
    "rho": ("rho", "decay_rate", "decay", "gamma", "beta", "alpha"),
    "tiny": ("tiny", "eps", "epsilon"),
}


class Run(NamedTuple):
    """What a rule may use: gradients and parameters before each step, (T, N) each, and the numbers of the optimizer."""

    g: np.ndarray
    p: np.ndarray
    lr: float
    momentum: float
    beta1: float
    beta2: float
    rho: float
    tiny: float

    @property
    def t(self) -> np.ndarray:
        """(T, 1)."""
        return np.arange(1.0, len(self.g) + 1)[:, None]

    @property
    def m(self) -> np.ndarray:
        return memory(self.g, self.beta1) * (1 - self.beta1)

    @property
    def v(self) -> np.ndarray:
        return memory(self.g**2, self.beta2) * (1 - self.beta2)

    @property
    def m_hat(self) -> np.ndarray:
        return self.m / (1 - self.beta1**self.t)

    @property
    def v_hat(self) -> np.ndarray:
        return self.v / (1 - self.beta2**self.t)

    @property
    def s(self) -> np.ndarray:
        return np.cumsum(self.g**2, axis=0)

    @property
    def velocity(self) -> np.ndarray:
        return memory(self.g, self.momentum)

    @property
    def square(self) -> np.ndarray:
        """RMSprop's running average of the squares."""
        return memory(self.g**2, self.rho) * (1 - self.rho)


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

    needs: tuple[str, ...]  # which numbers of the optimizer
    direction: Callable[[Run], np.ndarray]
    repair: str
    slips: tuple[Slip, ...]


SGD = Family(
    ("lr", "momentum"),
    lambda r: r.velocity,
    "v = momentum * v + grad; param -= lr * v",
    (
        Slip("there is no momentum: each step is that of the gradient alone", lambda r: r.g),
        Slip("the momentum has the wrong sign", lambda r: memory(r.g, -r.momentum), "sign"),
        Slip("the gradient enters v times 1 - momentum", lambda r: (1 - r.momentum) * r.velocity, "factor"),
        Slip("it is Nesterov's momentum, which looks one step ahead", lambda r: r.g + r.momentum * r.velocity),
        Slip("the momentum is applied twice", lambda r: memory(r.g, r.momentum**2)),
        Slip("the momentum is missing from v, which sums all gradients", lambda r: memory(r.g, 1.0), "factor"),
        Slip("the step uses v of the step before", lambda r: before(r.velocity)),
        Slip("v is multiplied by the momentum once more in the step", lambda r: r.momentum * r.velocity, "factor"),
        Slip(
            "the gradient is left out of v at the first step",
            lambda r: memory(np.concatenate([0 * r.g[:1], r.g[1:]]), r.momentum),
        ),
    ),
)
NESTEROV = Family(
    ("lr", "momentum"),
    lambda r: r.g + r.momentum * r.velocity,
    "v = momentum * v + grad; param -= lr * (grad + momentum * v)",
    (
        Slip("it is plain momentum, which does not look ahead", lambda r: r.velocity),
        Slip("there is no momentum: each step is that of the gradient alone", lambda r: r.g),
        Slip("the step takes momentum * v alone, without the gradient", lambda r: r.momentum * r.velocity),
        Slip("the step takes v of the step before", lambda r: r.g + r.momentum * before(r.velocity)),
        Slip("v enters the step without the momentum", lambda r: r.g + r.velocity, "factor"),
    ),
)
RMSPROP = Family(
    ("lr", "rho", "tiny"),
    lambda r: r.g / (np.sqrt(r.square) + r.tiny),
    "s = rho * s + (1 - rho) * grad^2; param -= lr * grad / (sqrt(s) + tiny)",
    (
        Slip("the root of s is missing", lambda r: r.g / (r.square + r.tiny), "elementwise-factor"),
        Slip("tiny stands inside the root", lambda r: r.g / np.sqrt(r.square + r.tiny), "elementwise-factor"),
        Slip("tiny is missing", lambda r: r.g / np.sqrt(r.square)),
        Slip(
            "the square enters s without 1 - rho", lambda r: r.g / (np.sqrt(memory(r.g**2, r.rho)) + r.tiny), "factor"
        ),
        Slip("s sums all squares (it is Adagrad)", lambda r: r.g / (np.sqrt(r.s) + r.tiny)),
        Slip("s holds the last square alone", lambda r: r.g / (np.sqrt((1 - r.rho) * r.g**2) + r.tiny)),
        Slip(
            "rho and 1 - rho have changed places",
            lambda r: r.g / (np.sqrt(r.rho * memory(r.g**2, 1 - r.rho)) + r.tiny),
            "transpose",
        ),
        Slip(
            "s averages |grad|, not its square",
            lambda r: r.g / (np.sqrt((1 - r.rho) * memory(np.abs(r.g), r.rho)) + r.tiny),
            "elementwise-factor",
        ),
        Slip("s is used before the new square enters", lambda r: r.g / (np.sqrt(before(r.square)) + r.tiny)),
        Slip("the gradient is not divided by sqrt(s)", lambda r: r.g, "elementwise-factor"),
    ),
)
ADAGRAD = Family(
    ("lr", "tiny"),
    lambda r: r.g / (np.sqrt(r.s) + r.tiny),
    "s += grad^2; param -= lr * grad / (sqrt(s) + tiny)",
    (
        Slip("s holds the last square alone, not the sum", lambda r: r.g / (np.abs(r.g) + r.tiny)),
        Slip("s is the mean of the squares, not their sum", lambda r: r.g / (np.sqrt(r.s / r.t) + r.tiny), "factor"),
        Slip("the root of s is missing", lambda r: r.g / (r.s + r.tiny), "elementwise-factor"),
        Slip("tiny stands inside the root", lambda r: r.g / np.sqrt(r.s + r.tiny), "elementwise-factor"),
        Slip("tiny is missing", lambda r: r.g / np.sqrt(r.s)),
        Slip(
            "s sums |grad|, not its square",
            lambda r: r.g / (np.sqrt(np.cumsum(np.abs(r.g), 0)) + r.tiny),
            "elementwise-factor",
        ),
        Slip("s is used before the new square is added", lambda r: r.g / (np.sqrt(before(r.s)) + r.tiny)),
        Slip(
            "s forgets (it is RMSprop, with 0.9)",
            lambda r: r.g / (np.sqrt(0.1 * memory(r.g**2, 0.9)) + r.tiny),
        ),
        Slip(
            "s forgets (it is RMSprop, with 0.99)",
            lambda r: r.g / (np.sqrt(0.01 * memory(r.g**2, 0.99)) + r.tiny),
        ),
        Slip("the gradient is not divided by sqrt(s)", lambda r: r.g, "elementwise-factor"),
    ),
)


def adam(m: np.ndarray, v: np.ndarray, tiny: float) -> np.ndarray:
    return m / (np.sqrt(v) + tiny)


def corrected(r: Run, t: np.ndarray) -> np.ndarray:
    """With the bias correction of another step t."""
    return adam(r.m / (1 - r.beta1**t), r.v / (1 - r.beta2**t), r.tiny)


def nesterov(r: Run) -> np.ndarray:
    return r.beta1 * r.m_hat + (1 - r.beta1) * r.g / (1 - r.beta1**r.t)


def swapped_betas(r: Run) -> np.ndarray:
    other = r._replace(beta1=r.beta2, beta2=r.beta1)
    return adam(other.m_hat, other.v_hat, r.tiny)


ADAM = Family(
    ("lr", "beta1", "beta2", "tiny"),
    lambda r: adam(r.m_hat, r.v_hat, r.tiny),
    "param -= lr * m_hat / (sqrt(v_hat) + tiny), with m_hat = m / (1 - beta1^t) and v_hat = v / (1 - beta2^t)",
    (
        Slip("the bias correction of m and v is missing", lambda r: adam(r.m, r.v, r.tiny), "factor"),
        Slip("the bias correction of m is missing", lambda r: adam(r.m, r.v_hat, r.tiny), "factor"),
        Slip("the bias correction of v is missing", lambda r: adam(r.m_hat, r.v, r.tiny), "factor"),
        Slip("the bias correction counts one step too many", lambda r: corrected(r, r.t + 1), "factor"),
        Slip("the step count of the bias correction stays at 1", lambda r: corrected(r, np.ones_like(r.t)), "factor"),
        Slip(
            "the bias correction is divided by t, not taken to its power",
            lambda r: adam(r.m / (1 - r.beta1 * r.t), r.v / (1 - r.beta2 * r.t), r.tiny),
            "factor",
        ),
        Slip("tiny stands inside the root", lambda r: r.m_hat / np.sqrt(r.v_hat + r.tiny), "elementwise-factor"),
        Slip(
            "tiny stands inside the root, and is corrected for bias",
            lambda r: r.m_hat / np.sqrt((r.v + r.tiny) / (1 - r.beta2**r.t)),
            "elementwise-factor",
        ),
        Slip(
            "tiny is added before the bias correction of v",
            lambda r: adam(r.m_hat, r.v, r.tiny) * np.sqrt(1 - r.beta2**r.t),
            "elementwise-factor",
        ),
        Slip("tiny is missing", lambda r: adam(r.m_hat, r.v_hat, 0.0), "elementwise-factor"),
        Slip("m and v have changed places", lambda r: r.v_hat / (np.sqrt(np.abs(r.m_hat)) + r.tiny), "transpose"),
        Slip("beta1 and beta2 have changed places", swapped_betas, "transpose"),
        Slip("the root of v is missing", lambda r: r.m_hat / (r.v_hat + r.tiny), "elementwise-factor"),
        Slip(
            "v averages |grad|, not its square",
            lambda r: adam(r.m_hat, memory(np.abs(r.g), r.beta2) * (1 - r.beta2) / (1 - r.beta2**r.t), r.tiny),
            "elementwise-factor",
        ),
        Slip(
            "v averages |grad|, and its root is not taken",
            lambda r: r.m_hat / (memory(np.abs(r.g), r.beta2) * (1 - r.beta2) / (1 - r.beta2**r.t) + r.tiny),
            "elementwise-factor",
        ),
        Slip("m is the gradient alone: no momentum", lambda r: adam(r.g, r.v_hat, r.tiny)),
        Slip(
            "m forgets all but the last gradient",
            lambda r: adam((1 - r.beta1) * r.g / (1 - r.beta1**r.t), r.v_hat, r.tiny),
        ),
        Slip(
            "v forgets all but the last square",
            lambda r: adam(r.m_hat, (1 - r.beta2) * r.g**2 / (1 - r.beta2**r.t), r.tiny),
        ),
        Slip("v is the last square alone", lambda r: adam(r.m_hat, r.g**2, r.tiny)),
        Slip(
            "the gradient enters m without 1 - beta1",
            lambda r: adam(r.m_hat / (1 - r.beta1), r.v_hat, r.tiny),
            "factor",
        ),
        Slip(
            "the square enters v without 1 - beta2", lambda r: adam(r.m_hat, r.v_hat / (1 - r.beta2), r.tiny), "factor"
        ),
        Slip(
            "gradient and square enter without 1 - beta",
            lambda r: adam(r.m_hat / (1 - r.beta1), r.v_hat / (1 - r.beta2), r.tiny),
            "factor",
        ),
        Slip(
            "beta1 and 1 - beta1 have changed places",
            lambda r: adam(memory(r.g, 1 - r.beta1) * r.beta1 / (1 - r.beta1**r.t), r.v_hat, r.tiny),
            "transpose",
        ),
        Slip("it is Nesterov's momentum, which looks one step ahead", lambda r: adam(nesterov(r), r.v_hat, r.tiny)),
        Slip("m is not divided by the root of v", lambda r: r.m_hat, "elementwise-factor"),
        Slip(
            "m and v are used before the new gradient enters",
            lambda r: adam(before(r.m) / (1 - r.beta1**r.t), before(r.v) / (1 - r.beta2**r.t), r.tiny),
        ),
        Slip("the root of v_hat takes in tiny alone: v is missing", lambda r: r.m_hat / (1 + r.tiny)),
    ),
)
FAMILIES = (SGD, NESTEROV, ADAGRAD, RMSPROP, ADAM)


def numbers_of(optimizer: Any, names: tuple[str, ...]) -> Mapping[str, float] | None:
    """Those numbers by their plain names, as far as the optimizer has attributes for them; None if one is lacking."""
    found = {}
    for name in names:
        value = next((getattr(optimizer, other) for other in NAMES[name] if hasattr(optimizer, other)), None)
        if value is None and name == "momentum":
            value = 0.0
        if not isinstance(value, int | float):
            return None
        found[name] = float(value)
    return found
