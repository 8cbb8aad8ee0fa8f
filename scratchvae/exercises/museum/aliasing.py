"""A block that uses its input twice, and must not write into what it shares.

Sizes: B batch, H hidden.
"""

from typing import Any

import numpy as np

from scratchvae.exercises.blank import Slip, gradient

B, H = 4, 3


def block_backward(dy, positive):
    """The gradient of y = x + relu(x): dy (B, H), and where x > 0, (B, H) of booleans -> dx (B, H)."""
    return dy + dy * positive


def block(x: Any) -> tuple[Any, tuple[Any, ...]]:
    """y = x + relu(x), and what its backward needs."""
    positive = np.real(x) > 0
    return x + x * positive, (positive,)


def away_from_the_kink(rng: np.random.Generator) -> tuple[dict[str, Any], dict[str, Any]]:
    """Positive and negative numbers, none of them near 0; of both signs there are some."""
    x = rng.uniform(0.3, 1.5, (B, H)) * rng.choice([-1, 1], (B, H))
    x[0, :2] = [0.7, -0.9]
    return {"x": x}, {}


MEND = gradient(
    block_backward,
    block,
    away_from_the_kink,
    (
        "x is used twice. What comes back through each of the two paths, and what happens to gradients at a fork?",
        "dx = dy + dy * [x > 0], in a new array",
        "dy + dy * ...",
    ),
    (
        Slip(
            lambda dy, positive: dy * positive,
            "missing-term",
            "this is what comes through the relu: x also reaches y without it",
        ),
        Slip(
            lambda dy, positive: dy * 1.0,
            "missing-term",
            "this is what comes past the relu: x also reaches y through it",
        ),
        Slip(
            lambda dy, positive: 2 * dy * positive,
            "elementwise-factor",
            "where x is not positive nothing comes back: past the relu something does",
        ),
        Slip(
            lambda dy, positive: 2 * dy,
            "elementwise-factor",
            "both paths let everything through: the relu is closed where x is not positive",
        ),
        Slip(
            lambda dy, positive: dy + positive,
            "elementwise-factor",
            "through the relu comes 1, whatever dy is: the slope multiplies dy",
        ),
        Slip(
            lambda dy, positive: dy + dy * ~positive,
            "elementwise-factor",
            "the relu lets through what it should stop: its slope is 1 where x is positive",
        ),
        Slip(
            lambda dy, positive: 0.5 * (dy + dy * positive),
            "factor",
            "this is the mean of the two paths: at a fork gradients add",
        ),
        Slip(
            lambda dy, positive: dy - dy * positive,
            "sign",
            "one path is taken off from the other: at a fork gradients add",
        ),
    ),
)
