"""Lion, signs alone, Adadelta, centred RMSprop, and their usual slips."""

from collections.abc import Callable

import numpy as np

from scratchvae.checks.optimizer.rules import Family, Run, Slip, before, memory

Direction = Callable[[Run], np.ndarray]


def between(r: Run, m: np.ndarray) -> np.ndarray:
    """What Lion takes the sign of: the new gradient mixed into m."""
    return r.beta1 * m + (1 - r.beta1) * r.g


def average(r: Run, beta: float) -> np.ndarray:
    return memory(r.g, beta) * (1 - beta)


def lion(r: Run) -> np.ndarray:
    return np.sign(between(r, before(average(r, r.beta2))))


LION = Family(
    "Lion",
    ("beta1", "beta2"),
    lion,
    "param -= lr * sign(beta1 * m + (1 - beta1) * grad); m = beta2 * m + (1 - beta2) * grad",
    (
        Slip("the sign is missing", lambda r: between(r, before(average(r, r.beta2))), "elementwise-factor"),
        Slip("there is no memory: each step is the sign of the gradient alone", lambda r: np.sign(r.g)),
        Slip("there is no memory, and no sign: each step is that of the gradient alone", lambda r: r.g),
        Slip(
            "beta1 and beta2 have changed places",
            lambda r: lion(r._replace(beta1=r.beta2, beta2=r.beta1)),
            "transpose",
        ),
        Slip(
            "m takes in the new gradient before the step, not after it",
            lambda r: np.sign(between(r, average(r, r.beta2))),
        ),
        Slip(
            "beta1 stands where beta2 belongs: the step is the sign of one running average",
            lambda r: np.sign(average(r, r.beta1)),
        ),
        Slip(
            "beta2 stands where beta1 belongs: the step is the sign of one running average",
            lambda r: np.sign(average(r, r.beta2)),
        ),
        Slip(
            "the step takes the sign of m alone, without the new gradient",
            lambda r: np.sign(before(average(r, r.beta2))),
        ),
        Slip(
            "the gradient enters m without 1 - beta2",
            lambda r: np.sign(between(r, before(memory(r.g, r.beta2)))),
            "factor",
        ),
        Slip(
            "the gradient enters the step without 1 - beta1",
            lambda r: np.sign(r.beta1 * before(average(r, r.beta2)) + r.g),
            "factor",
        ),
        Slip("m keeps the last gradient alone", lambda r: np.sign(between(r, (1 - r.beta2) * before(r.g)))),
    ),
)


def adadelta(weigh: bool = True, late: bool = False, kept: str = "step", power: float = 0.5) -> Direction:
    """Adadelta, and which of its parts is changed.

    weigh: the new squares are multiplied by 1 - rho. late: the new step is already in x. kept: what x averages the
    squares of, step, grad or nothing. power: of the quotient.
    """

    def direction(r: Run) -> np.ndarray:
        out, x, s = np.empty_like(r.g), np.zeros_like(r.g[0]), np.zeros_like(r.g[0])
        weight = 1 - r.rho if weigh else 1.0
        for i, g in enumerate(r.g):
            s = r.rho * s + weight * g * g
            step = ((x + r.tiny) / (s + r.tiny)) ** power * g
            if kept != "nothing":
                x = r.rho * x + weight * (step if kept == "step" else g) ** 2
            out[i] = ((x + r.tiny) / (s + r.tiny)) ** power * g if late else step
        return out

    return direction


ADADELTA = Family(
    "Adadelta",
    ("rho", "tiny"),
    adadelta(),
    "s = rho * s + (1 - rho) * grad^2; step = sqrt(x + tiny) / sqrt(s + tiny) * grad; "
    "x = rho * x + (1 - rho) * step^2; param -= lr * step",
    (
        Slip("sqrt(x + tiny), the size of the steps before, is missing", lambda r: r.g / np.sqrt(r.square + r.tiny)),
        Slip("x takes in the new step before it is used", adadelta(late=True)),
        Slip("x averages the squares of the gradient, not of the step", adadelta(kept="grad"), "elementwise-factor"),
        Slip("x stays at 0: the squares of the steps are not kept", adadelta(kept="nothing")),
        Slip("both roots are missing", adadelta(power=1.0), "elementwise-factor"),
        Slip("the squares enter without 1 - rho", adadelta(weigh=False), "factor"),
        Slip("the quotient is upside down: sqrt(s + tiny) / sqrt(x + tiny)", adadelta(power=-0.5), "transpose"),
        Slip("the step is not divided by sqrt(s + tiny)", lambda r: r.g, "elementwise-factor"),
    ),
)


def variance(r: Run) -> np.ndarray:
    return r.square - (memory(r.g, r.rho) * (1 - r.rho)) ** 2


CENTRED = Family(
    "centred RMSprop",
    ("rho", "tiny"),
    lambda r: r.g / (np.sqrt(variance(r)) + r.tiny),
    "s = rho * s + (1 - rho) * grad^2; m = rho * m + (1 - rho) * grad; param -= lr * grad / (sqrt(s - m^2) + tiny)",
    (
        Slip("s is not centred: m^2 is not taken away", lambda r: r.g / (np.sqrt(r.square) + r.tiny)),
        Slip(
            "m^2 is added to s, not taken away",
            lambda r: r.g / (np.sqrt(2 * r.square - variance(r)) + r.tiny),
            "sign",
        ),
        Slip("the root is missing", lambda r: r.g / (variance(r) + r.tiny), "elementwise-factor"),
        Slip("tiny stands inside the root", lambda r: r.g / np.sqrt(variance(r) + r.tiny), "elementwise-factor"),
        Slip("the gradient is not divided by the root", lambda r: r.g, "elementwise-factor"),
    ),
)
SIGNS = Family(
    "the sign of the gradient",
    (),
    lambda r: np.sign(r.g),
    "param -= lr * sign(grad)",
    (Slip("the sign is missing: each step is the gradient itself", lambda r: r.g, "elementwise-factor"),),
)
SIGNUM = Family(
    "the sign of a running average",
    ("momentum",),
    lambda r: np.sign(r.velocity),
    "m = momentum * m + (1 - momentum) * grad; param -= lr * sign(m)",
    (
        Slip("there is no memory: each step is the sign of the gradient alone", lambda r: np.sign(r.g)),
        Slip("the sign is missing", lambda r: (1 - r.momentum) * r.velocity, "elementwise-factor"),
        Slip("the step uses m of the step before", lambda r: np.sign(before(r.velocity))),
    ),
)
