"""A step of Adam.

Sizes: B batch, D pixels, Z latents.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from scratchvae import Adam
from scratchvae.exercises.blank import Slip, value
from scratchvae.exercises.own.told import source_first


def adam(param, grad, m, v, t, lr):
    """Step t = 1, 2, ... of one array, downhill: the new param, m and v, all of one shape.

    m and v are running averages of grad and of grad^2, the past weighing 0.9 and 0.999; they start
    at zero.
    """
    m = 0.9 * m + 0.1 * grad
    v = 0.999 * v + 0.001 * grad**2
    m_hat = m / (1 - 0.9**t)
    v_hat = v / (1 - 0.999**t)
    return param - lr * m_hat / (np.sqrt(v_hat) + 1e-8), m, v


def adam_by_the_library(param: Any, grad: Any, m: Any, v: Any, t: int, lr: float) -> dict[str, Any]:
    """Its m and v are sums, ten and a thousand times the averages."""
    params, optimizer = {"W": param.copy()}, Adam(lr=lr)
    optimizer.state, optimizer.steps = {"m.W": 10 * m, "v.W": 1000 * v}, t - 1
    optimizer.step(params, {"W": grad})
    return {"param": params["W"], "m": optimizer.state["m.W"] / 10, "v": optimizer.state["v.W"] / 1000}


def drawn_moments(rng: np.random.Generator) -> tuple[Any, ...]:
    """Small gradients, so that 1e-8 can be seen, and moves that are no smaller than the weights."""
    grad, m = 1e-6 * rng.standard_normal((2, 3, 4))
    return 0.1 * rng.standard_normal((3, 4)), grad, m, 1e-13 * (1 + rng.random((3, 4))), int(rng.integers(2, 9)), 0.3


def adam_with(
    sign: float = -1, square: bool = True, root: Any = lambda v: np.sqrt(v) + 1e-8, hats: Any = None, betas: Any = None
) -> Callable[..., Any]:
    """A wrong answer, with another sign, no square, another root, corrections hats(m, v, t), or other betas."""

    def answer(param: Any, grad: Any, m: Any, v: Any, t: int, lr: float) -> Any:
        b1, b2 = (0.9, 0.999) if betas is None else betas
        m, v = b1 * m + (1 - b1) * grad, b2 * v + (1 - b2) * (grad**2 if square else np.abs(grad))
        m_hat, v_hat = (m / (1 - b1**t), v / (1 - b2**t)) if hats is None else hats(m, v, t)
        return param + sign * lr * m_hat / root(v_hat), m, v

    return answer


def keeps_the_corrected(param: Any, grad: Any, m: Any, v: Any, t: int, lr: float) -> Any:
    moved, m, v = adam(param, grad, m, v, t, lr)
    return moved, m / (1 - 0.9**t), v / (1 - 0.999**t)


ADAM = value(
    adam,
    adam_by_the_library,
    drawn_moments,
    (
        "Which two averages does Adam keep? Both start at zero: by which factor are they too small after t steps?",
        "m = 0.9 m + 0.1 g, v = 0.999 v + 0.001 g^2; m_hat = m / (1 - 0.9^t), v_hat = v / (1 - 0.999^t); "
        "param - lr m_hat / (sqrt(v_hat) + 1e-8)",
        "four lines, one each for m, v, m_hat and v_hat, and return param - ..., m, v",
    ),
    (
        Slip(adam_with(sign=1), "sign", "the step goes uphill: the gradient is that of a loss"),
        Slip(
            adam_with(hats=lambda m, v, t: (m, v)),
            "missing-term",
            "m and v are used as they are: both start at zero, and are too small at first",
        ),
        Slip(
            adam_with(hats=lambda m, v, t: (m / (1 - 0.9 ** (t - 1)), v / (1 - 0.999 ** (t - 1)))),
            "unknown",
            "the corrections are those of the step before: t counts from 1",
        ),
        Slip(adam_with(hats=lambda m, v, t: (m / (1 - 0.9**t), v)), "missing-term", "v is not corrected, and m is"),
        Slip(adam_with(hats=lambda m, v, t: (m, v / (1 - 0.999**t))), "missing-term", "m is not corrected, and v is"),
        Slip(
            adam_with(hats=lambda m, v, t: (m / (1 - 0.9 * t), v / (1 - 0.999 * t))),
            "unknown",
            "the corrections have 0.9 t where 0.9^t belongs: what started at zero has decayed t times",
        ),
        Slip(
            adam_with(hats=lambda m, v, t: (m / (1 - 0.9**t), v / (1 - 0.999**t)), betas=(0.1, 0.001)),
            "unknown",
            "past and present are swapped: 0.9 and 0.999 weigh the past",
        ),
        Slip(
            lambda param, grad, m, v, t, lr: (adam(param, grad, m, v, t, lr)[0], m, v),
            "unknown",
            "m and v come back as they were given: the next step needs the new ones",
        ),
        Slip(
            lambda param, grad, m, v, t, lr: adam(param, grad, m, v, t, lr)[1:] + adam(param, grad, m, v, t, lr)[:1],
            "transpose",
            "the order is param, m and v",
        ),
        Slip(
            lambda param, grad, m, v, t, lr: (
                *adam(param, grad, m, v, t, lr)[1:],
                param - adam(param, grad, m, v, t, lr)[0],
            ),
            "transpose",
            "m, v and what is taken off, as on page 10: here the new param comes first",
        ),
        Slip(adam_with(root=lambda v: 1 / (1 / np.sqrt(v) + 0)), "unknown", "1e-8 is missing in the denominator"),
        Slip(adam_with(betas=(0.1, 0.001)), "unknown", "0.1 and 0.001 weigh the past: they belong to the present"),
        Slip(
            lambda param, grad, m, v, t, lr: adam_with(hats=lambda *new: (m / (1 - 0.9**t), v / (1 - 0.999**t)))(
                param, grad, m, v, t, lr
            ),
            "unknown",
            "the step is made with the old m and v: renew them first",
        ),
        Slip(
            adam_with(hats=lambda m, v, t: (m * (1 - 0.9**t), v * (1 - 0.999**t))),
            "factor",
            "the corrections make m and v smaller: they are too small already",
        ),
        Slip(
            lambda param, grad, m, v, t, lr: adam_with(hats=lambda m, v, t: (grad, v / (1 - 0.999**t)))(
                param, grad, m, v, t, lr
            ),
            "missing-term",
            "the gradient itself stands over the root: there belongs its average",
        ),
        Slip(
            lambda param, grad, m, v, t, lr: (
                param - adam(param, grad, m, v, t, lr)[0],
                *adam(param, grad, m, v, t, lr)[1:],
            ),
            "missing-term",
            "this is what is taken off: the new param is asked for",
        ),
        Slip(lambda param, grad, m, v, t, lr: adam(param, grad, m, v, t, 1.0), "factor", "lr is missing"),
        Slip(
            lambda param, grad, m, v, t, lr: (
                param - lr * (0.9 * m + grad) / (np.sqrt(0.999 * v + grad**2) + 1e-8),
                0.9 * m + grad,
                0.999 * v + grad**2,
            ),
            "factor",
            "these are sums: in an average the present weighs what the past leaves, 0.1 and 0.001",
        ),
        *(
            Slip(adam_with(root=lambda v, e=e: np.sqrt(v) + e), "unknown", f"{e:g} in the denominator, and it is 1e-8")
            for e in (1e-6, 1e-7, 1e-10)
        ),
        Slip(adam_with(square=False), "unknown", "v is an average of the squares of the gradients"),
        Slip(adam_with(root=lambda v: v + 1e-8), "elementwise-factor", "the root of v_hat is missing"),
        Slip(
            adam_with(root=lambda v: np.sqrt(v + 1e-8)),
            "elementwise-factor",
            "1e-8 stands under the root: there it is 1e-4, as large as many gradients",
        ),
        Slip(adam_with(betas=(0.9, 0.99)), "unknown", "the past weighs 0.99 in v, and it is 0.999"),
        Slip(
            adam_with(hats=lambda m, v, t: (m / (1 - 0.9), v / (1 - 0.999))),
            "unknown",
            "the corrections are those of the first step, whatever t is",
        ),
        Slip(adam_with(betas=(0.999, 0.9)), "unknown", "0.9 and 0.999 are swapped: v remembers longer than m"),
        Slip(
            keeps_the_corrected,
            "factor",
            "the corrected averages are handed on: the next step needs m and v as they were before",
        ),
        Slip(
            lambda param, grad, m, v, t, lr: (param - lr * grad, m, v),
            "elementwise-factor",
            "this is plain gradient descent: m and v are not used",
        ),
    ),
)
ADAM = source_first(ADAM, "m", "v", "param")
