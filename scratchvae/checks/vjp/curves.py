"""The usual activations and their slopes, by name."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Activation(NamedTuple):
    """A curve and its slope; formula in terms of {a}, what goes in, and {y}, what comes out."""

    curve: Callable[[np.ndarray], np.ndarray]
    slope: Callable[[np.ndarray], np.ndarray]
    formula: str


def sigmoid(a: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * a))


def Phi(a: np.ndarray) -> np.ndarray:
    """The distribution function of the standard normal."""
    return 0.5 * (1 + np.vectorize(math.erf, otypes=[float])(a / math.sqrt(2)))


def phi(a: np.ndarray) -> np.ndarray:
    return np.exp(-0.5 * a * a) / math.sqrt(2 * math.pi)


def tanh_of_gelu(a: np.ndarray) -> np.ndarray:
    return np.tanh(math.sqrt(2 / math.pi) * (a + 0.044715 * a**3))


def slope_of_tanh_gelu(a: np.ndarray) -> np.ndarray:
    t = tanh_of_gelu(a)
    return 0.5 * (1 + t) + 0.5 * a * (1 - t * t) * math.sqrt(2 / math.pi) * (1 + 0.134145 * a * a)


ACTIVATIONS: dict[str, Activation] = {
    "relu": Activation(lambda a: np.maximum(a, 0), lambda a: (a > 0) * 1.0, "({a} > 0)"),
    "tanh": Activation(np.tanh, lambda a: 1 - np.tanh(a) ** 2, "(1 - {y}^2)"),
    "sigmoid": Activation(sigmoid, lambda a: sigmoid(a) * (1 - sigmoid(a)), "{y} (1 - {y})"),
    "softplus": Activation(lambda a: np.logaddexp(a, 0), sigmoid, "sigmoid({a})"),
    "silu": Activation(
        lambda a: a * sigmoid(a),
        lambda a: sigmoid(a) * (1 + a * (1 - sigmoid(a))),
        "sigmoid({a}) (1 + {a} (1 - sigmoid({a})))",
    ),
    "gelu": Activation(lambda a: a * Phi(a), lambda a: Phi(a) + a * phi(a), "(Phi({a}) + {a} phi({a}))"),
    "tanh gelu": Activation(
        lambda a: 0.5 * a * (1 + tanh_of_gelu(a)), slope_of_tanh_gelu, "the derivative of the tanh formula at {a}"
    ),
}


def with_a_parameter(a: np.ndarray, y: np.ndarray) -> dict[str, Activation]:
    """Leaky relu and elu, with the alpha that y shows at a; with the usual one where y is neither."""
    below = a < 0
    alphas = {"leaky relu": 0.01, "elu": 1.0}
    if below.any() and y.shape == a.shape and not (y >= 0).all():
        for name, base in (("leaky relu", a[below]), ("elu", np.expm1(a[below]))):
            found = y[below] / base
            if np.ptp(found) <= 1e-9 * np.abs(found).max() and abs(found[0]) < 1:  # why: else it is the inverse of one
                alphas[name] = float(found[0])
    leaky, elu = alphas["leaky relu"], alphas["elu"]
    times = f"{elu:.4g} ".removeprefix("1 ")
    return {
        "leaky relu": Activation(
            lambda a: np.where(a > 0, a, leaky * a),
            lambda a: np.where(a > 0, 1.0, leaky),
            f"where({{a}} > 0, 1, {leaky:.4g})",
        ),
        "elu": Activation(
            lambda a: np.where(a > 0, a, elu * np.expm1(np.minimum(a, 0))),
            lambda a: np.where(a > 0, 1.0, elu * np.exp(np.minimum(a, 0))),
            f"where({{a}} > 0, 1, {times}exp({{a}}))",
        ),
    }
