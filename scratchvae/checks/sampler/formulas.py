"""What the mean and the spread of a draw may be instead of mu and sigma, as formulas of mu and logvar.

Sizes: K points, B rows, Z latents.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

Function = Callable[[np.ndarray, np.ndarray], np.ndarray]  # mu, logvar (K, B, Z) -> (K, B, Z)


class Formula(NamedTuple):
    """A name, as one would write it, and the values; cause is a word of CAUSES."""

    name: str
    value: Function
    cause: str = "elementwise-factor"


def sigma(logvar: np.ndarray) -> np.ndarray:
    return np.exp(0.5 * logvar)


def softplus(a: np.ndarray) -> np.ndarray:
    return np.logaddexp(a, 0.0)


def sigmoid(a: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * a))


def mean_over(a: np.ndarray, axis: int) -> np.ndarray:
    return np.broadcast_to(a.mean(axis=axis, keepdims=True), a.shape)


def mixed_up(what: str, values: Function) -> tuple[Formula, ...]:
    """An array whose rows or latents are those of others."""
    return (
        Formula(f"{what} of the latents in reverse order", lambda m, v: values(m, v)[..., ::-1], "transpose"),
        Formula(f"{what} of the latent before", lambda m, v: np.roll(values(m, v), 1, axis=-1), "transpose"),
        Formula(f"{what} of the latent after", lambda m, v: np.roll(values(m, v), -1, axis=-1), "transpose"),
        Formula(f"{what} of the first latent", lambda m, v: values(m, v)[..., :1] + 0 * m, "shape"),
        Formula(f"{what} averaged over the latents", lambda m, v: mean_over(values(m, v), -1), "shape"),
        Formula(f"{what} of the rows in reverse order", lambda m, v: values(m, v)[..., ::-1, :], "transpose"),
        Formula(f"{what} of the row before", lambda m, v: np.roll(values(m, v), 1, axis=-2), "transpose"),
        Formula(f"{what} of the row after", lambda m, v: np.roll(values(m, v), -1, axis=-2), "transpose"),
        Formula(f"{what} of the first row", lambda m, v: values(m, v)[..., :1, :] + 0 * m, "shape"),
        Formula(f"{what} averaged over the rows", lambda m, v: mean_over(values(m, v), -2), "shape"),
    )


SPREADS = (
    Formula("sigma^2", lambda m, v: np.exp(v)),
    Formula("1, whatever logvar is", lambda m, v: np.ones(v.shape)),
    Formula("sqrt(sigma)", lambda m, v: np.exp(0.25 * v)),
    Formula("1 / sigma", lambda m, v: np.exp(-0.5 * v)),
    Formula("1 / sigma^2", lambda m, v: np.exp(-v)),
    Formula("logvar itself", lambda m, v: v),
    Formula("logvar / 2, the logarithm of sigma", lambda m, v: 0.5 * v),
    Formula("softplus(logvar)", lambda m, v: softplus(v)),
    Formula("sqrt(softplus(logvar))", lambda m, v: np.sqrt(softplus(v))),
    Formula("softplus(logvar / 2)", lambda m, v: softplus(0.5 * v)),
    Formula("sigmoid(logvar)", lambda m, v: sigmoid(v)),
    Formula("sigmoid(logvar / 2)", lambda m, v: sigmoid(0.5 * v)),
    Formula("tanh(logvar)", lambda m, v: np.tanh(v)),
    Formula("relu(logvar)", lambda m, v: np.maximum(v, 0)),
    Formula("elu(logvar) + 1", lambda m, v: np.where(v > 0, v + 1, np.exp(np.minimum(v, 0)))),
    Formula("logvar^2", lambda m, v: v * v),
    Formula("sqrt(|logvar|)", lambda m, v: np.sqrt(np.abs(v))),
    Formula("exp(|logvar| / 2)", lambda m, v: np.exp(0.5 * np.abs(v))),
    Formula("sqrt(1 + sigma^2)", lambda m, v: np.sqrt(1 + np.exp(v)), "missing-term"),
    Formula("2^(logvar / 2)", lambda m, v: 2 ** (0.5 * v)),
    Formula("2^logvar", lambda m, v: 2**v),
    Formula("10^(logvar / 2)", lambda m, v: 10 ** (0.5 * v)),
    Formula("exp(mu / 2)", lambda m, v: np.exp(0.5 * m)),
    Formula("exp(mu)", lambda m, v: np.exp(m)),
    Formula("|sigma - 1|, as expm1 makes it", lambda m, v: np.expm1(0.5 * v), "missing-term"),
    Formula("exp(logvar / 2) of the mean logvar of the latents", lambda m, v: sigma(mean_over(v, -1)), "shape"),
    Formula("exp(logvar / 2) of the mean logvar of the rows", lambda m, v: sigma(mean_over(v, -2)), "shape"),
    Formula("|mu|", lambda m, v: m),
    Formula("sigma * |mu|", lambda m, v: sigma(v) * m),
    *mixed_up("sigma", lambda m, v: sigma(v)),
)
MEANS = (
    Formula("0, and mu is missing", lambda m, v: 0 * m, "missing-term"),
    Formula("logvar", lambda m, v: v),
    Formula("sigma", lambda m, v: sigma(v)),
    Formula("mu + sigma", lambda m, v: m + sigma(v), "missing-term"),
    Formula("mu - sigma", lambda m, v: m - sigma(v), "missing-term"),
    Formula("mu + sigma^2", lambda m, v: m + np.exp(v), "missing-term"),
    Formula("mu + sigma^2 / 2", lambda m, v: m + 0.5 * np.exp(v), "missing-term"),
    Formula("mu + logvar", lambda m, v: m + v, "missing-term"),
    Formula("mu + logvar / 2", lambda m, v: m + 0.5 * v, "missing-term"),
    Formula("mu * sigma", lambda m, v: m * sigma(v)),
    Formula("mu * sigma^2", lambda m, v: m * np.exp(v)),
    Formula("mu / sigma", lambda m, v: m / sigma(v)),
    Formula("mu * logvar", lambda m, v: m * v),
    Formula("mu^2", lambda m, v: m * m),
    Formula("|mu|", lambda m, v: np.abs(m)),
    Formula("relu(mu)", lambda m, v: np.maximum(m, 0)),
    Formula("tanh(mu)", lambda m, v: np.tanh(m)),
    Formula("sigmoid(mu)", lambda m, v: sigmoid(m)),
    Formula("softplus(mu)", lambda m, v: softplus(m)),
    Formula("exp(mu)", lambda m, v: np.exp(m)),
    *mixed_up("mu", lambda m, v: m),
    Formula("mu minus its mean over the latents", lambda m, v: m - mean_over(m, -1), "missing-term"),
    Formula("mu minus its mean over the rows", lambda m, v: m - mean_over(m, -2), "missing-term"),
)


class Draw(NamedTuple):
    """All of a draw as it is written by mistake: its mean, and what eps is multiplied with."""

    formula: str
    why: str
    cause: str
    values: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


DRAWS = (
    Draw(
        "logvar + exp(mu / 2) * eps",
        "mu and logvar have changed places",
        "transpose",
        lambda m, v: (v, np.exp(0.5 * m)),
    ),
    Draw(
        "(mu + sigma) * eps",
        "mu is inside of the brackets, and the mean of z is 0",
        "missing-term",
        lambda m, v: (0 * m, m + sigma(v)),
    ),
    Draw("sigma + mu * eps", "mu and sigma have changed places", "transpose", lambda m, v: (sigma(v), m)),
    Draw(
        "mu + sigma + eps",
        "+ stands where * belongs, before eps",
        "elementwise-factor",
        lambda m, v: (m + sigma(v), np.ones(m.shape)),
    ),
    Draw(
        "mu * sigma * eps",
        "* stands where + belongs, behind mu",
        "missing-term",
        lambda m, v: (0 * m, m * sigma(v)),
    ),
    Draw(
        "mu * sigma + eps",
        "+ and * have changed places",
        "elementwise-factor",
        lambda m, v: (m * sigma(v), np.ones(m.shape)),
    ),
)
