"""Averages and weights that are computed in logarithms.

Sizes: K draws, R repetitions, Z latents.
"""

import numpy as np

from scratchvae.exercises.blank import Slip, value

K, R, Z = 6, 4, 3


def log_mean_exp(a):
    """log of the mean over the K draws of e^a, for numbers a of any size: (K, R) -> (R,)."""
    largest = a.max(axis=0)  # (R,)
    return largest + np.log(np.exp(a - largest).mean(axis=0))


def two_at_a_time(a: np.ndarray) -> dict[str, np.ndarray]:
    return {"log_mean_exp": np.logaddexp.reduce(a, axis=0) - np.log(len(a))}


def far_apart(rng: np.random.Generator) -> tuple[np.ndarray]:
    """Columns whose exponentials are 0, or infinite, as floats; far from each other, and each with one far below."""
    a = rng.permutation([-2300.0, -1200.0, 800.0, 1900.0]) + rng.normal(0, 1.5, (K, R))
    a[rng.integers(K, size=R), np.arange(R)] -= 6000
    return (a,)


LOG_MEAN_EXP = value(
    log_mean_exp,
    two_at_a_time,
    far_apart,
    (
        "Which factor can be taken out of the sum over k, so that no exponent is above 0 and one of them is 0? What "
        "becomes of a factor in a logarithm?",
        "m + log(1/K sum_k e^(a_k - m)), with m = max_k a_k in each column",
        "largest = a.max(axis=0); return largest + np.log(np.exp(...).mean(axis=0))",
    ),
    (
        Slip(
            lambda a: np.log(np.exp(a).mean(axis=0)),
            "non-finite",
            "e^a is 0 or infinite as a float here: take the largest a of each column out first",
        ),
        Slip(
            lambda a: a.max() + np.log(np.exp(a - a.max()).mean(axis=0)),
            "non-finite",
            "one maximum for all columns: in a column far below it every e is 0. Each column has its own",
        ),
        Slip(
            lambda a: a.min(axis=0) + np.log(np.exp(a - a.min(axis=0)).mean(axis=0)),
            "non-finite",
            "the smallest is taken out, or the mean: then some exponents stay positive, and may overflow",
        ),
        Slip(
            lambda a: np.log(np.exp(a - a.max(axis=0)).mean(axis=0)),
            "missing-term",
            "the maximum was taken out of the sum, and is to be put back in front of the logarithm",
        ),
        Slip(
            lambda a: a.max(axis=0) + np.log(np.exp(a - a.max(axis=0)).sum(axis=0)),
            "missing-term",
            "a sum where the mean belongs: too much by log K",
        ),
        Slip(
            lambda a: a.max(axis=0) + np.log(np.exp(a - a.max(axis=0)).sum(axis=0)) + np.log(len(a)),
            "sign",
            "log K is added: a mean is a sum divided by K, so log K is taken off",
        ),
        Slip(
            lambda a: a.max(axis=0) * np.exp(a - a.max(axis=0)).mean(axis=0),
            "elementwise-factor",
            "a factor e^m becomes a summand m in the logarithm",
        ),
        Slip(
            lambda a: a.mean(axis=0),
            "missing-term",
            "this is the mean of a, the logarithm of a geometric mean: the mean of e^a is wanted",
        ),
        Slip(
            lambda a: a.max(axis=0),
            "missing-term",
            "this is the largest alone: the others add to it",
        ),
        Slip(
            lambda a: a.max(axis=0) - np.log(len(a)),
            "missing-term",
            "the largest alone is added up: the other draws are missing",
        ),
        Slip(
            lambda a: a.max(axis=1) + np.log(np.exp(a - a.max(axis=1, keepdims=True)).mean(axis=1)),
            "shape",
            "the mean runs over the repetitions: each of them has its own K draws, in a column",
        ),
    ),
)


def log_weights(log_likelihood, log_prior, log_q):
    """log w of K draws from q: (K,), and (K, Z) each, an entry for each latent -> (K,)."""
    return log_likelihood + (log_prior - log_q).sum(axis=1)


def by_products(log_likelihood: np.ndarray, log_prior: np.ndarray, log_q: np.ndarray) -> dict[str, np.ndarray]:
    weights = np.exp(log_likelihood) * np.prod(np.exp(log_prior), axis=1) / np.prod(np.exp(log_q), axis=1)
    return {"log weights": np.log(weights)}


LOG_WEIGHTS = value(
    log_weights,
    by_products,
    lambda rng: (rng.normal(-3, 2, K), rng.normal(-1, 1, (K, Z)), rng.normal(0.5, 1, (K, Z))),
    (
        "The weight is a quotient: which density stands on top, and of what are the draws? What is the logarithm of a "
        "product over latents?",
        "log p(x|z) + sum_j log p(z_j) - sum_j log q(z_j), for each draw",
        "log_likelihood + (log_prior - ...).sum(axis=1)",
    ),
    (
        Slip(
            lambda a, p, q: (q - p).sum(axis=1) - a,
            "sign",
            "upside down: proposal over joint. The draws that explain x worst would weigh most",
        ),
        Slip(
            lambda a, p, q: a + (p + q).sum(axis=1),
            "sign",
            "multiplied by q: a place where q draws often should count less, not more",
        ),
        Slip(
            lambda a, p, q: a + (q - p).sum(axis=1),
            "sign",
            "prior and q are swapped: the prior belongs to the joint, on top",
        ),
        Slip(
            lambda a, p, q: a + p.sum(axis=1),
            "missing-term",
            "this is the joint: it is not divided by the density that the draws came from",
        ),
        Slip(
            lambda a, p, q: a - q.sum(axis=1),
            "missing-term",
            "the prior is missing: on top stands the joint",
        ),
        Slip(
            lambda a, p, q: (p - q).sum(axis=1),
            "missing-term",
            "the likelihood is missing: so x plays no part",
        ),
        Slip(
            lambda a, p, q: a,
            "missing-term",
            "this is right for draws from the prior alone: here they come from q",
        ),
        Slip(
            lambda a, p, q: a + (p - q).mean(axis=1),
            "factor",
            "a mean over the latents: densities of independent latents are multiplied, so their logarithms add",
        ),
        Slip(
            lambda a, p, q: (a[:, None] + p - q).sum(axis=1),
            "elementwise-factor",
            "the likelihood is added once for each latent: a draw has one, so it stands outside of the sum",
        ),
        Slip(
            lambda a, p, q: (a + p.sum(axis=1)) / q.sum(axis=1),
            "elementwise-factor",
            "a quotient of densities is a difference of their logarithms",
        ),
        Slip(
            lambda a, p, q: a + (p - q).sum(axis=1) - np.logaddexp.reduce(a + (p - q).sum(axis=1)),
            "elementwise-factor",
            "these weights sum to 1: divided by their sum they no longer have p(x) as their mean",
        ),
        Slip(
            lambda a, p, q: a + (p - q).sum(),
            "elementwise-factor",
            "the sum runs over the draws as well: each has its own weight",
        ),
        Slip(
            lambda a, p, q: a[:, None] + p - q,
            "shape",
            "a weight for each latent: add up over the latents first, one weight for each draw",
        ),
        Slip(
            lambda a, p, q: np.exp(a + (p - q).sum(axis=1)),
            "elementwise-factor",
            "these are the weights themselves: their logarithms are wanted",
        ),
    ),
)
