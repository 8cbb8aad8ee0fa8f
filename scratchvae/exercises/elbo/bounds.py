"""Jensen's inequality on a table, and the ELBO as an integral.

Sizes: G grid points, N values of a table.
"""

import numpy as np

from scratchvae.exercises.blank import Slip, value
from scratchvae.gaussian import LOG_2PI

N, G = 5, 2001


def both_logs(p, t):
    """The mean of log t, and the logarithm of the mean of t; t[i] has the probability p[i], (N,) each."""
    return np.sum(p * np.log(t)), np.log(np.sum(p * t))


JENSEN = value(
    both_logs,
    lambda p, t: {
        "mean of the logarithm": float(np.log(np.prod(t**p))),
        "logarithm of the mean": float(np.log(sum(a * b for a, b in zip(p.tolist(), t.tolist(), strict=True)))),
    },
    lambda rng: (rng.dirichlet(np.ones(N)), np.exp(rng.normal(0.3, 1, N))),
    (
        "A mean weighs each value by its probability. In which of the two is the logarithm taken before the mean?",
        "sum_i p_i log t_i, and log(sum_i p_i t_i)",
        "np.sum(p * np.log(t)), np.log(...)",
    ),
    (
        Slip(lambda p, t: (np.log(np.sum(p * t)), np.sum(p * np.log(t))), "transpose", "the two are swapped"),
        Slip(
            lambda p, t: (np.mean(np.log(t)), np.log(np.mean(t))),
            "elementwise-factor",
            "all values count the same: a mean weighs each by its probability",
        ),
        Slip(
            lambda p, t: (np.mean(p * np.log(t)), np.log(np.mean(p * t))),
            "factor",
            "the probabilities sum to one already: no division by the number of values",
        ),
        Slip(
            lambda p, t: (np.sum(np.log(p * t)), np.log(np.sum(p * t))),
            "elementwise-factor",
            "the first has the probabilities inside the logarithm: they weigh it from outside",
        ),
        Slip(
            lambda p, t: (np.sum(p * np.log(t)), np.sum(p * t)),
            "elementwise-factor",
            "the second is the mean itself: its logarithm is wanted",
        ),
        Slip(
            lambda p, t: (np.sum(p * np.log2(t)), np.log2(np.sum(p * t))),
            "factor",
            "these are in bits: nats come with the natural logarithm",
        ),
        Slip(
            lambda p, t: (np.sum(p * np.log(t)), np.log(np.mean(t))),
            "elementwise-factor",
            "in the second all values count the same: its mean needs the probabilities, too",
        ),
        Slip(
            lambda p, t: (np.sum(p * np.log(t)),) * 2,
            "elementwise-factor",
            "both are the same: in the second the mean comes first",
        ),
    ),
)


def bound(log_joint, log_q, step):
    """The ELBO of q, an integral as a sum over a grid of that step: (G,), (G,), a number -> a number."""
    return np.sum(np.exp(log_q) * (log_joint - log_q)) * step


def two_densities(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, float]:
    """The logarithm of a joint, a normal density of z times the evidence, and that of a normal q, on a grid.

    Neither is 0 as a float anywhere, so that an answer may leave the logarithms, as line (4) is written.
    """
    z, step = np.linspace(-9, 9, G, retstep=True)  # (G,)
    (m, mu), (s, sigma) = rng.uniform(-1.5, 1.5, 2), rng.uniform(0.4, 1, 2)
    log_joint = -0.5 * (((z - m) / s) ** 2 + LOG_2PI) - np.log(s) + rng.normal(-2, 1)
    return log_joint, -0.5 * (((z - mu) / sigma) ** 2 + LOG_2PI) - np.log(sigma), float(step)


def bound_in_closed_form(log_joint: np.ndarray, log_q: np.ndarray, step: float) -> dict[str, float]:
    """Both are parabolas: with z in steps, three points of each give their coefficients, and these the integral."""
    (a, b, c), (A, B, _) = (parabola(log_joint), parabola(log_q))
    mean, var = -B / (2 * A), -1 / (2 * A)
    expected = a * (mean**2 + var) + b * mean + c
    return {"ELBO": float(expected + 0.5 * (1 + LOG_2PI + np.log(var * step**2)))}


def parabola(y: np.ndarray) -> tuple[float, float, float]:
    """a, b, c of y = a i^2 + b i + c, i counted from the middle of y."""
    middle, far = len(y) // 2, 100
    left, at, right = y[[middle - far, middle, middle + far]].tolist()
    return (left + right - 2 * at) / (2 * far**2), (right - left) / (2 * far), at


BOUND = value(
    bound,
    bound_in_closed_form,
    two_densities,
    (
        "It is a mean under q of log p(x, z) - log q(z|x). By what is each point of the grid weighed? And what makes "
        "an integral of a sum?",
        "the sum over the grid of q(z) (log p(x, z) - log q(z)), times the step",
        "np.sum(np.exp(log_q) * (... - ...)) * step",
    ),
    (
        Slip(
            lambda j, q, step: np.log(np.sum(np.exp(j)) * step),
            "transpose",
            "this is the logarithm of the mean, log p(x) itself: the ELBO is the mean of the logarithm",
        ),
        Slip(
            lambda j, q, step: np.sum(np.exp(q) * (q - j)) * step,
            "sign",
            "the sign is turned: the joint stands on top in the logarithm",
        ),
        Slip(
            lambda j, q, step: np.sum(np.exp(q) * j) * step,
            "missing-term",
            "log q is missing: this is the expected log joint alone",
        ),
        Slip(
            lambda j, q, step: np.sum(np.exp(q) * (j - q)),
            "factor",
            "a sum over a grid is an integral only with the width of a step",
        ),
        Slip(
            lambda j, q, step: np.mean(np.exp(q) * (j - q)),
            "factor",
            "the mean over the grid points is no integral: add up, times the width of a step",
        ),
        Slip(
            lambda j, q, step: np.sum(np.exp(j) * (j - q)) * step,
            "elementwise-factor",
            "each point is weighed by the joint: the mean is taken under q",
        ),
        Slip(
            lambda j, q, step: np.sum(q * (j - q)) * step,
            "elementwise-factor",
            "each point is weighed by log q: its weight is q itself",
        ),
        Slip(
            lambda j, q, step: np.sum(np.exp(q) * (j + q)) * step,
            "sign",
            "log q is added: the joint is divided by q",
        ),
        Slip(
            lambda j, q, step: np.sum(np.exp(q) * (j / q)) * step,
            "elementwise-factor",
            "a ratio of logarithms: the logarithm of a ratio is a difference",
        ),
        Slip(
            lambda j, q, step: np.mean(j - q),
            "elementwise-factor",
            "the grid points count the same, and are averaged: weigh each by q, and add up, times the width of a step",
        ),
        Slip(
            lambda j, q, step: np.sum(j - q) * step,
            "elementwise-factor",
            "all points count the same: a mean under q weighs each by q",
        ),
        Slip(
            lambda j, q, step: np.sum(np.exp(q) * np.exp(j - q)) * step,
            "elementwise-factor",
            "where is the logarithm? This is p(x)",
        ),
    ),
)
