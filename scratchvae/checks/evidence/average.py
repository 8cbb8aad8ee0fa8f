"""How the weights of a bound of K draws are averaged: the logarithm of their mean, or what else?

Sizes: K draws, B rows, n sets.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from scratchvae.checks.amounts import nats, number, off_by, same
from scratchvae.checks.evidence.many import log_mean_exp
from scratchvae.checks.evidence.parts import one_for_all
from scratchvae.checks.evidence.terms import ALLOWED, close
from scratchvae.checks.report import Finding

WEIGHT = "log w = log p(x|z) + log p(z) - log q(z|x)"
AVERAGE = "log sum_k exp(log w_k) - log K"
MARKS = {"nll": -1.0, "log p(z)": 1.0, "log q(z|x)": -1.0}  # the sign of each part in log w


class Average(NamedTuple):
    """What may stand for the logarithm of the average of the weights: (K, n) -> (n,)."""

    text: str
    of: Callable[[np.ndarray], np.ndarray]
    cause: str


def by_their_weights(log_w: np.ndarray) -> np.ndarray:
    w = np.exp(log_w - log_w.max(axis=0))
    return (w * log_w).sum(axis=0) / w.sum(axis=0)


AVERAGES = (
    Average(
        "the logarithms of the weights are averaged: it is the ELBO", lambda w: w.mean(axis=0), "elementwise-factor"
    ),
    Average("log K is missing: the weights are summed", lambda w: np.logaddexp.reduce(w, axis=0), "missing-term"),
    Average("log K is taken away twice", lambda w: log_mean_exp(w) - math.log(len(w)), "missing-term"),
    Average("log K is added, not taken away", lambda w: log_mean_exp(w) + 2 * math.log(len(w)), "sign"),
    Average("it is the logarithm of the largest weight alone", lambda w: w.max(axis=0), "missing-term"),
    Average("it is the logarithm of the smallest weight alone", lambda w: w.min(axis=0), "missing-term"),
    Average("the weights are averaged upside down, as 1/w", lambda w: -log_mean_exp(-w), "sign"),
    Average("the logarithms are averaged by their weights", by_their_weights, "elementwise-factor"),
    Average("it is the weight of the first draw alone", lambda w: w[0], "missing-term"),
    Average("it is the weight of the last draw alone", lambda w: w[-1], "missing-term"),
    Average("the first draw is left out", lambda w: log_mean_exp(w[1:] if len(w) > 1 else w), "missing-term"),
    Average("the last draw is left out", lambda w: log_mean_exp(w[:-1] if len(w) > 1 else w), "missing-term"),
    Average("it is the logarithm of the median weight", lambda w: np.median(w, axis=0), "elementwise-factor"),
)
SUM_OF_LOGS = "the logarithms of the weights are summed over the draws"


def unknown() -> Finding:
    text = "the bound is not the logarithm of the average weight, in no usual way"
    return Finding(("bound",), "unknown", text, f"{AVERAGE}, with {WEIGHT}")


def of_the_average(got: np.ndarray, parts: np.ndarray, weights: list[float], constant: float, K: int) -> list[Finding]:
    """got (B, n) is the logarithm of the average of the weights, made of parts (3, B, K, n), or of what?"""
    whole = -weights[0]
    scaled = all(same(weight, sign * whole) for weight, sign in zip(weights, MARKS.values(), strict=True))
    made_of = [sign * (1.0 if scaled else weight / sign) for weight, sign in zip(weights, MARKS.values(), strict=True)]
    log_w = np.tensordot(made_of, parts, axes=1).swapaxes(0, 1)  # (K, B, n)
    if close(got, log_mean_exp(log_w)):
        return []
    for average in AVERAGES:
        if close(got, average.of(log_w)):
            return [Finding(("bound",), average.cause, average.text, AVERAGE)]
    if close(got, log_w.sum(axis=0)):
        return [Finding(("bound",), "factor", SUM_OF_LOGS, AVERAGE)]
    if close(got, -log_mean_exp(log_w)):
        return [Finding(("bound",), "sign", "the bound has the wrong sign: it is the loss", AVERAGE, -1.0)]
    for text, changed in one_for_all(parts):
        if close(got, log_mean_exp(np.tensordot(made_of, changed, axes=1).swapaxes(0, 1))):
            return [Finding(("weights",), "shape", text, WEIGHT)]
    if scaled and close(got, whole * log_mean_exp(log_w)):
        text, repair = off_by(whole, {"K": K})
        return [Finding(("bound",), "factor", f"the bound {text}", repair, 1 / whole)]
    if scaled and close(got, log_mean_exp(whole * log_w)):
        text = f"each weight enters to the power {number(whole)}"
        return [Finding(("bound",), "factor", text, AVERAGE, 1 / whole)]
    if scaled and close(got, whole * np.logaddexp.reduce(log_w, axis=0)):
        text = f"the logarithm of the sum of the weights is multiplied by {number(whole)}, and log K is not taken away"
        return [Finding(("bound",), "factor", text, AVERAGE)]
    for text, instead in {"K": K, "log(K - 1)": math.log(K - 1) if K > 2 else math.nan}.items():
        if close(got, np.logaddexp.reduce(log_w, axis=0) - instead):
            return [Finding(("bound",), "missing-term", f"{text} is taken away, where log K belongs", AVERAGE)]
    if close(got, log_mean_exp(log_w) + constant):
        text = f"the bound is off by the same {nats(constant)} for every x: a constant"
        return [Finding(("bound",), "missing-term", text, f"{AVERAGE}, with {WEIGHT} and all constants")]
    return [unknown()]


def taken_away(got: np.ndarray, parts: np.ndarray, constant: float) -> Finding:
    """The bound of K equal draws does not depend on their weight: what was taken from log w is not added back."""
    log_w = np.tensordot([*MARKS.values()], parts, axes=1).swapaxes(0, 1)  # (K, B, n)
    constant = 0.0 if abs(constant) < ALLOWED else constant
    if np.ptp(got) < ALLOWED:
        text = f"the bound is {number(constant)} for every x and all draws, whatever their weights"
        return Finding(("bound",), "zero", text, f"{AVERAGE}, where what is subtracted from log w is added back")
    for name, part in {
        "largest log w": log_w.max(0),
        "log w of the first draw": log_w[0],
        "mean log w": log_w.mean(0),
    }.items():
        if close(got, log_mean_exp(log_w - part)):
            text = f"the {name} is subtracted before the exponential, and not added back to the logarithm"
            return Finding(
                ("bound",), "missing-term", text, f"m + log sum_k exp(log w_k - m) - log K, with the {name} as m"
            )
    text = (
        f"the bound of draws that are the same is {number(constant)} for every x, where it should be the log w of each"
    )
    return Finding(("bound",), "unknown", text, f"{AVERAGE}, with {WEIGHT}")
