"""The first term of the objective, with its derivative.

Sizes: B batch, D pixels.
"""

from typing import Any

import numpy as np

from scratchvae.exercises.blank import Slip, gradient, value
from scratchvae.exercises.own.oracle import B, D
from scratchvae.exercises.own.told import in_a_row


def bernoulli_nll(x, logits):
    """-log p(x|z) of each example, finite for every logit: x (B, D), logits (B, D) -> (B,)."""
    softplus = np.maximum(logits, 0) + np.log1p(np.exp(-np.abs(logits)))
    return (softplus - x * logits).sum(axis=1)


def far_logits(rng: np.random.Generator) -> tuple[Any, Any]:
    """Also those that overflow in exp, at pixels which are as the model says, and three that are surely wrong."""
    x, logits = (rng.random((B, D)) < 0.5).astype(float), 2 * rng.standard_normal((B, D))
    x[0, :3], logits[0, :3] = (1, 0, 1), (800, -800, -30)
    x[1, :2], logits[1, :2] = (0, 1), (800, -800)
    return x, logits


def sigmoid(a: Any) -> Any:
    return np.exp(-np.logaddexp(0, -a))


def clipped(x: Any, a: Any) -> Any:
    p = np.clip(sigmoid(a), 1e-7, 1 - 1e-7)
    return -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum(axis=1)


def lifted(by: float) -> Slip:
    """Something small in each logarithm."""
    return Slip(
        lambda x, a: -(x * np.log(sigmoid(a) + by) + (1 - x) * np.log(1 - sigmoid(a) + by)).sum(axis=1),
        "unknown",
        f"{by:g} in the logarithms: finite, and wrong wherever the model gives a pixel less than that",
    )


def held(at: float) -> Slip:
    """No logit above that in exp, which changes the objective."""
    return Slip(
        lambda x, a: (np.log(1 + np.exp(np.clip(a, -at, at))) - x * a).sum(axis=1),
        "unknown",
        f"logits are clipped at {at:g}: finite, and wrong beyond it, where log(1 + exp(l)) goes on as l",
    )


BERNOULLI_NLL = value(
    bernoulli_nll,
    lambda x, logits: {"nll": np.where(x == 1, np.logaddexp(0, -logits), np.logaddexp(0, logits)).sum(axis=1)},
    far_logits,
    (
        "For one pixel, -x log p - (1 - x) log(1 - p) with p = 1 / (1 + exp(-l)): what is left when p is put in? And "
        "what does exp do at l = 800?",
        "nll_b = sum_d log(1 + exp(l_bd)) - x_bd l_bd, and log(1 + exp(l)) = max(l, 0) + log(1 + exp(-|l|))",
        "(np.maximum(logits, 0) + np.log1p(...) - x * logits).sum(axis=1)",
    ),
    (
        Slip(
            lambda x, a: (np.log(1 + np.exp(a)) - x * a).sum(axis=1),
            "non-finite",
            "exp overflows at a large logit: take the larger of l and 0 out of the logarithm first",
        ),
        Slip(
            lambda x, a: -(x * np.log(1 / (1 + np.exp(-a))) + (1 - x) * np.log(1 - 1 / (1 + np.exp(-a)))).sum(1),
            "non-finite",
            "the logarithm of a probability that was rounded to 0: put the sigmoid into the formula, and simplify",
        ),
        Slip(
            lambda x, a: np.where(x == 1, -np.log(sigmoid(a)), -np.log(1 - sigmoid(a))).sum(axis=1),
            "non-finite",
            "1 - p is rounded to 0 where p is nearly 1: put the sigmoid into the formula, and simplify",
        ),
        Slip(
            lambda x, a: (np.maximum(a, 0) + np.log1p(np.exp(-a)) - x * a).sum(axis=1),
            "non-finite",
            "exp(-l) overflows at l = -800: after the larger of l and 0 is taken out, -|l| is left",
        ),
        Slip(
            clipped,
            "unknown",
            "the probabilities are clipped: finite, and wrong wherever the model is surer than the clip allows",
        ),
        *map(lifted, (1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-12)),
        *map(held, (30.0, 50.0, 100.0, 500.0, 700.0)),
        Slip(
            lambda x, a: (np.maximum(a, 0) - x * a).sum(axis=1),
            "missing-term",
            "the larger of l and 0 is there, and log(1 + exp(-|l|)) is not",
        ),
        Slip(
            lambda x, a: (np.log1p(np.exp(-np.abs(a))) - x * a).sum(axis=1),
            "missing-term",
            "log(1 + exp(-|l|)) is there, and the larger of l and 0 is not",
        ),
        Slip(
            lambda x, a: (np.where(a > 0, a, np.log1p(np.exp(a))) - x * a).sum(axis=1),
            "missing-term",
            "above 0, log(1 + exp(l)) is more than l: log(1 + exp(-l)) is left",
        ),
        Slip(
            lambda x, a: (np.logaddexp(0, a) - x).sum(axis=1),
            "missing-term",
            "x stands by itself: in the second term it is multiplied by the logit",
        ),
        Slip(
            lambda x, a: (np.logaddexp(0, a) + x * a).sum(axis=1),
            "sign",
            "x l is added: a lit pixel should ask for a large logit",
        ),
        Slip(
            lambda x, a: (np.logaddexp(0, a) - x * a).sum(axis=0),
            "shape",
            "it is summed over the examples: sum along axis 1",
        ),
        Slip(
            lambda x, a: (np.logaddexp(0, a) - x * a).mean(axis=1),
            "factor",
            "this is the mean over the pixels: log-probabilities of independent pixels add up",
        ),
        Slip(
            lambda x, a: (np.logaddexp(0, a) - x * a).sum(),
            "shape",
            "this is one number for the whole batch: each example has its own nll, (B,)",
        ),
        Slip(
            lambda x, a: np.logaddexp(0, a) - x * a, "shape", "one number for each pixel: add them up for each example"
        ),
        Slip(
            lambda x, a: (x * a - np.logaddexp(0, a)).sum(axis=1),
            "sign",
            "it is negative: this is log p(x|z), and nll is minus that",
        ),
        Slip(
            lambda x, a: (np.logaddexp(0, a) - (1 - x) * a).sum(axis=1),
            "sign",
            "black and white are swapped: a lit pixel should ask for a large logit",
        ),
        Slip(
            lambda x, a: np.logaddexp(0, a).sum(axis=1),
            "missing-term",
            "the image has no influence: a term with x is missing",
        ),
    ),
)


def bernoulli_nll_backward(dnll, x, logits):
    """Back through the nll: dnll (B,), x (B, D), logits (B, D) -> dlogits (B, D)."""
    p = 1 / (1 + np.exp(-logits))
    return dnll[:, None] * (p - x)


BERNOULLI_NLL_BACKWARD = gradient(
    bernoulli_nll_backward,
    lambda logits, x: ((np.logaddexp(0, logits) - x * logits).sum(axis=1), (x, logits)),
    lambda rng: ({"logits": 2 * rng.standard_normal((B, D))}, {"x": (rng.random((B, D)) < 0.5).astype(float)}),
    (
        "What is the slope of log(1 + exp(l)), and what that of -x l? What arrives from above, once for each example?",
        "dlogits_bd = dnll_b (p_bd - x_bd), with p = 1 / (1 + exp(-l))",
        "dnll[:, None] * (... - x)",
    ),
    (
        Slip(
            lambda d, x, a: d[:, None] * (x - sigmoid(a)),
            "sign",
            "it has the wrong sign: nll grows where the model lights a dark pixel",
        ),
        Slip(
            lambda d, x, a: sigmoid(a) - x,
            "elementwise-factor",
            "it is the same whatever dnll is: each example is to be multiplied by what arrives from above",
        ),
        Slip(
            lambda d, x, a: d[:, None] * (a - x),
            "elementwise-factor",
            "the logit is compared with x: which function makes a probability of it?",
        ),
        Slip(
            lambda d, x, a: d[:, None] * sigmoid(a),
            "missing-term",
            "the slope of one of the two terms of nll is there, that of the other is missing",
        ),
        Slip(
            lambda d, x, a: d[:, None] * (sigmoid(a) - x) / D,
            "factor",
            "it is divided by the number of pixels: nll is a sum over them, not a mean",
        ),
        Slip(
            lambda d, x, a: d[:, None] * (sigmoid(a) - x) * sigmoid(a) * sigmoid(-a),
            "elementwise-factor",
            "the slope of the sigmoid is in it once too often: that is for a squared error of probabilities",
        ),
    ),
)
BERNOULLI_NLL_BACKWARD = in_a_row(BERNOULLI_NLL_BACKWARD, "dlogits")
