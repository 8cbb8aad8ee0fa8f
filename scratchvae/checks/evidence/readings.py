"""What encode returns, if it is not mu and the log-variance: in which way its two arrays can be read."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from scratchvae.checks.report import Finding
from scratchvae.checks.sampler.formulas import softplus
from scratchvae.checks.sampler.instead import Measured

Heads = tuple[np.ndarray, np.ndarray]  # mu, logvar


class Reading(NamedTuple):
    """A name, the mu and the logvar that are meant, what to return instead, and which slip it is."""

    name: str
    heads: Callable[[np.ndarray, np.ndarray], Heads]  # of what encode returns
    repair: str = ""
    cause: str = "elementwise-factor"
    factor: float | None = None


def log(a: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        return np.log(a)


AS_AGREED = Reading("the log-variance", lambda m, v: (m, v))
READINGS = (
    Reading(
        "the logarithm of sigma", lambda m, v: (m, 2 * v), "return twice that: logvar = 2 log sigma", "factor", 2.0
    ),
    Reading("sigma itself", lambda m, v: (m, 2 * log(np.abs(v))), "return logvar = 2 log sigma"),
    Reading("the variance itself", lambda m, v: (m, log(v)), "return its logarithm"),
    Reading("twice the log-variance", lambda m, v: (m, 0.5 * v), "return half of it", "factor", 0.5),
    Reading("the logarithm of the precision", lambda m, v: (m, -v), "return minus that", "sign", -1.0),
    Reading("sigma before a softplus", lambda m, v: (m, 2 * log(softplus(v))), "return logvar = 2 log softplus(it)"),
    Reading("the variance before a softplus", lambda m, v: (m, log(softplus(v))), "return logvar = log softplus(it)"),
    Reading("mu, after the log-variance", lambda m, v: (v, m), "return mu, logvar, in this order", "transpose"),
)


def fits(numbers: Measured | None, reading: Reading) -> bool:
    """Is the draw right for what encode returns, read in this way?"""
    if numbers is None:
        return False
    mu, logvar = reading.heads(numbers.mu, numbers.logvar)
    if not (np.isfinite(mu).all() and np.isfinite(logvar).all()):
        return False
    read = numbers._replace(mu=mu, logvar=logvar)
    return not (read.mean_wrong.any() or read.spread_wrong.any())


def of_encode(reading: Reading) -> Finding:
    text = f"encode returns {reading.name}, where the log-variance belongs; sampler and kl both read it so"
    return Finding(("encode",), reading.cause, text, reading.repair, reading.factor)
