"""Correct formulations of the blanks on collapse."""

import numpy as np
from scipy.stats import multivariate_normal, sem

from scratchvae.gaussian import kl_to_standard_normal


def kl_latent_by_latent(mu, logvar):
    return [kl_to_standard_normal(mu[:, [j]], logvar[:, [j]])[0].mean() for j in range(mu.shape[1])]


def kl_by_loop(mu, logvar):
    total = np.zeros(mu.shape[1])
    for m, v in zip(mu, logvar, strict=True):
        sigma = np.sqrt(np.exp(v))
        total += -np.log(sigma) + (sigma**2 + m**2 - 1) / 2
    return total / len(mu)


def length_one_by_one(eigenvalues, sigma_x):
    return [value - sigma_x**2 if value > sigma_x**2 else 0 for value in eigenvalues]


def price_one_by_one(eigenvalues, sigma_x):
    return [max(0, np.log(np.sqrt(value) / sigma_x)) for value in eigenvalues]


def price_where_active(eigenvalues, sigma_x):
    kl = np.zeros(len(eigenvalues))
    active = eigenvalues > sigma_x**2
    kl[active] = -0.5 * np.log(sigma_x**2 / eigenvalues[active])
    return kl


def gain_by_loop(with_it, without):
    d = [a - b for a, b in zip(with_it, without, strict=True)]
    mean = sum(d) / len(d)
    return mean, (sum((one - mean) ** 2 for one in d) / (len(d) - 1) / len(d)) ** 0.5


FORMULATIONS = {
    "collapse.kl": [
        kl_latent_by_latent,
        kl_by_loop,
        lambda m, v: -0.5 * np.mean(1 + v - m**2 - np.exp(v), axis=0),
        lambda m, v: ((m**2).mean(0) + np.exp(v).mean(0) - 1 - v.mean(0)) / 2,
        lambda m, v: 0.5 * np.einsum("nj->j", m * m + np.expm1(v) - v) / len(m),
    ],
    "collapse.activity": [
        lambda mu: np.var(mu, axis=0),
        lambda mu: ((mu - mu.mean(axis=0)) ** 2).mean(axis=0),
        lambda mu: np.diag(np.cov(mu.T)),
        lambda mu: (mu**2).mean(0) - mu.mean(0) ** 2,
        lambda mu: [column.std() ** 2 for column in mu.T],
    ],
    "collapse.length": [
        length_one_by_one,
        lambda e, s: np.clip(e - s**2, 0, None),
        lambda e, s: np.where(e > s * s, e - s * s, 0.0),
        lambda e, s: (e - s**2) * (e > s**2),
        lambda e, s: 0.5 * (e - s**2 + np.abs(e - s**2)),
    ],
    "collapse.price": [
        price_one_by_one,
        price_where_active,
        lambda e, s: 0.5 * np.log(np.maximum(e, s**2) / s**2),
        lambda e, s: np.clip(np.log(e) / 2 - np.log(s), 0, None),
        lambda e, s: [
            -multivariate_normal.entropy(cov=s * s) + multivariate_normal.entropy(cov=max(a, s * s)) for a in e
        ],
    ],
    "collapse.gain": [
        gain_by_loop,
        lambda a, b: (np.mean(a - b), sem(a - b)),
        lambda a, b: [np.mean(a) - np.mean(b), np.sqrt(np.cov(a - b) / len(a))],
        lambda a, b: ((a - b).sum() / len(a), np.sqrt(np.var(a - b, ddof=1) / len(a))),
        lambda a, b: (a.mean() - b.mean(), np.linalg.norm(a - b - (a - b).mean()) / np.sqrt(len(a) * (len(a) - 1))),
    ],
}
