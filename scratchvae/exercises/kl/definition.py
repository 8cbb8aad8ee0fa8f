"""The KL as a mean: of a table, and from draws.

Sizes: K draws, N outcomes of a table.
"""

from typing import Any

import numpy as np

from scratchvae.exercises.blank import Slip, value

N = 5


def kl_of_tables(q, p):
    """KL(q || p) of two tables of probabilities, (N,) each. Some entries of q are 0; none of p is."""
    allowed = q > 0
    return np.sum(q[allowed] * np.log(q[allowed] / p[allowed]))


def two_tables(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    q, p = rng.dirichlet(np.ones(N), 2)
    q[int(rng.integers(N))] = 0
    return q / q.sum(), p


def kl_by_counting(q: np.ndarray, p: np.ndarray) -> dict[str, float]:
    """The entropies: -H(q) - sum q log p, by a loop."""
    return {"kl": sum(a * (np.log(a) - np.log(b)) for a, b in zip(q.tolist(), p.tolist(), strict=True) if a > 0)}


def without_zeros(f: Any) -> Any:
    """A wrong answer that leaves outcomes with q = 0 out, as it should."""
    return lambda q, p: f(q[q > 0], p[q > 0])


TABLE = value(
    kl_of_tables,
    kl_by_counting,
    two_tables,
    (
        "The mean of log q - log p is taken under which of the two? And what does an outcome add that q never gives?",
        "sum over z with q(z) > 0 of q(z) log(q(z) / p(z))",
        "keep = q > 0, then np.sum(q[keep] * np.log(q[keep] / p[keep]))",
    ),
    (
        Slip(
            lambda q, p: np.nan,
            "non-finite",
            "0 times the logarithm of 0 is nan: an outcome that q never gives adds nothing, so leave it out",
        ),
        Slip(
            lambda q, p: np.inf,
            "transpose",
            "it is infinite, since q has a 0: which of the two stands on top in the logarithm, and weighs the mean?",
        ),
        Slip(
            without_zeros(lambda q, p: np.sum(p * np.log(p / q))),
            "transpose",
            "the mean is taken under p, and q and p are exchanged: this is part of KL(p || q)",
        ),
        Slip(
            without_zeros(lambda q, p: np.sum(p * np.log(q / p))),
            "elementwise-factor",
            "each outcome is weighed by p: the mean is taken under q",
        ),
        Slip(
            without_zeros(lambda q, p: np.sum(q * np.log(p / q))),
            "sign",
            "it is negative, and a KL never is: which of the two stands on top in the logarithm?",
        ),
        Slip(
            without_zeros(lambda q, p: np.sum(np.log(q / p))),
            "elementwise-factor",
            "all outcomes count the same: a mean under q weighs each by its probability",
        ),
        Slip(
            without_zeros(lambda q, p: np.mean(q * np.log(q / p))),
            "factor",
            "the weights q sum to one already: the mean is this sum, and no division by the number of outcomes",
        ),
        Slip(
            without_zeros(lambda q, p: np.sum(q * np.log2(q / p))),
            "factor",
            "this is in bits: nats come with the natural logarithm",
        ),
        Slip(
            without_zeros(lambda q, p: np.sum(q * (q / p))),
            "elementwise-factor",
            "where is the logarithm?",
        ),
        Slip(
            without_zeros(lambda q, p: -np.sum(q * np.log(p))),
            "missing-term",
            "this is the mean of -log p alone, the cross-entropy: log q is missing",
        ),
        Slip(
            without_zeros(lambda q, p: -np.sum(q * np.log(q))),
            "missing-term",
            "this is the mean of -log q alone, the entropy: where is p?",
        ),
        Slip(
            lambda q, p: np.sum(q * np.abs(np.log(np.where(q > 0, q, p) / p))),
            "sign",
            "the parts may be negative: it is their sum that never is",
        ),
    ),
)


def kl_from_draws(log_q, log_p):
    """An estimate of KL(q || p) and its standard error, from log q and log p of draws from q, (K,)."""
    values = log_q - log_p
    return values.mean(), values.std() / np.sqrt(len(values))


def estimate_by_sums(log_q: np.ndarray, log_p: np.ndarray) -> dict[str, float]:
    """By moments: the error from the mean square less the squared mean."""
    n, total, squares = len(log_q), 0.0, 0.0
    for a, b in zip(log_q.tolist(), log_p.tolist(), strict=True):
        total, squares = total + (a - b), squares + (a - b) ** 2
    return {"estimate": total / n, "standard error": np.sqrt(squares / n - (total / n) ** 2) / np.sqrt(n)}


def logarithms_at_draws(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Each time of another number of draws, so that an answer counts them."""
    n = int(rng.integers(4000, 6000))
    log_q = rng.normal(-1.0, 0.7, n)  # (K,)
    return log_q, log_q - rng.normal(0.6, 0.9, n)  # where q is high, p tends to be


DRAWS = value(
    kl_from_draws,
    estimate_by_sums,
    logarithms_at_draws,
    (
        "A mean under q becomes a mean over draws from q. Of which values? And how far is a mean of K draws off, if a "
        "single one is off by the standard deviation?",
        "the mean of log q(z_k) - log p(z_k) over k, and the standard deviation of these values over sqrt(K)",
        "values = log_q - log_p; return values.mean(), values.std() / ...",
    ),
    (
        Slip(
            lambda q, p: ((p - q).mean(), (p - q).std() / np.sqrt(len(q))),
            "sign",
            "log p - log q has the mean -KL",
        ),
        Slip(
            lambda q, p: ((q - p).mean(), (q - p).std()),
            "factor",
            "this is the spread of a single value: the mean of K independent ones is nearer to the truth",
        ),
        Slip(
            lambda q, p: ((q - p).mean(), (q - p).std() / len(q)),
            "factor",
            "the error falls with the root of the number of draws: variances add, not standard deviations",
        ),
        Slip(
            lambda q, p: ((q - p).mean(), (q - p).var() / len(q)),
            "elementwise-factor",
            "this is the variance of the mean: its root is the standard error",
        ),
        Slip(
            lambda q, p: ((np.exp(q) * (q - p)).mean(), (np.exp(q) * (q - p)).std() / np.sqrt(len(q))),
            "elementwise-factor",
            "each value is weighed by q once more: the draws come from q, so that likely ones are there more often",
        ),
        Slip(
            lambda q, p: ((q - p).mean(), np.sqrt((q.var() + p.var()) / len(q))),
            "elementwise-factor",
            "both logarithms are of the same draws, so their variances do not add: how far does log q - log p vary?",
        ),
        Slip(
            lambda q, p: ((q - p).mean(), (q - p).var() / np.sqrt(len(q))),
            "elementwise-factor",
            "the variance stands over the root: there belongs the standard deviation",
        ),
        Slip(
            lambda q, p: ((q - p).sum(), (q - p).std() / np.sqrt(len(q))),
            "factor",
            "a sum, where a mean belongs",
        ),
        Slip(
            lambda q, p: ((q - p).std() / np.sqrt(len(q)), (q - p).mean()),
            "transpose",
            "the two are exchanged: the estimate comes first, its standard error second",
        ),
        Slip(
            lambda q, p: (np.log(np.mean(np.exp(q - p))), (q - p).std() / np.sqrt(len(q))),
            "elementwise-factor",
            "this is the logarithm of a mean: wanted is the mean of a logarithm",
        ),
        Slip(
            lambda q, p: (np.abs(q - p).mean(), (q - p).std() / np.sqrt(len(q))),
            "sign",
            "single values may be negative: without their signs the mean is too large",
        ),
    ),
    close=3e-4,  # a variance over K or over K - 1
)
