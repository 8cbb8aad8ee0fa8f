"""Correct formulations of the blanks of the page on estimating the evidence."""

import numpy as np
from scipy.integrate import simpson, trapezoid
from scipy.special import logsumexp

from scratchvae.iwae import importance_weighted_bound


def looped_log_mean_exp(a):
    result = []
    for column in a.T:
        m = max(column)
        result.append(m + np.log(sum(np.exp(one - m) for one in column) / len(column)))
    return result


def looped_log_weights(log_likelihood, log_prior, log_q):
    log_w = np.empty(len(log_likelihood))
    for k in range(len(log_w)):
        log_w[k] = log_likelihood[k] + sum(log_prior[k]) - sum(log_q[k])
    return log_w


def mean_under_q(log_posterior, log_q, step):
    log_w = log_posterior - log_q
    return np.sum(np.exp(log_q + 2 * log_w)) * step


def looped_draws(factor, Z, error):
    product = 1.0
    for _ in range(Z):
        product *= factor
    return (product - 1) / error / error


FORMULATIONS = {
    "estimating.log_mean_exp": [
        looped_log_mean_exp,
        lambda a: logsumexp(a, axis=0) - np.log(len(a)),
        lambda a: logsumexp(a, axis=0, b=1 / len(a)),
        lambda a: importance_weighted_bound(a)[0],
        lambda a: np.logaddexp.reduce(a, axis=0) - np.log(a.shape[0]),
        lambda a: np.log(np.sum(np.exp(a - np.max(a, 0, keepdims=True)), 0) / len(a)) + np.amax(a, 0),
    ],
    "estimating.second_moment": [
        mean_under_q,
        lambda p, q, step: np.exp(p - q + p).sum() * step,
        lambda p, q, step: trapezoid(np.exp(2 * p - q), dx=step),
        lambda p, q, step: simpson(np.exp(p + p - q), dx=step),
        lambda p, q, step: np.exp(logsumexp(2 * p - q) + np.log(step)),
    ],
    "estimating.draws": [
        looped_draws,
        lambda f, Z, e: (f**Z - 1) / e**2,
        lambda f, Z, e: np.expm1(Z * np.log(f)) / e**2,
        lambda f, Z, e: (np.sqrt(f**Z - 1) / e) ** 2,
        lambda f, Z, e: (np.prod([f] * Z) - 1) * e**-2,
    ],
    "estimating.log_weights": [
        looped_log_weights,
        lambda a, p, q: a + p.sum(axis=1) - q.sum(axis=1),
        lambda a, p, q: np.log(np.exp(a) * np.exp(p).prod(1) / np.exp(q).prod(1)),
        lambda a, p, q: -(q.sum(-1) - p.sum(-1) - a),
        lambda a, p, q: a + np.einsum("kz->k", p - q),
    ],
}
