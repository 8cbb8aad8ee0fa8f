"""Correct formulations of the blanks of the page on the ELBO."""

import numpy as np
from scipy.integrate import simpson, trapezoid
from scipy.special import logsumexp
from scipy.stats import norm

from scratchvae import kl_to_standard_normal
from scratchvae.exact import LinearGaussian


def looped_logs(p, t):
    mean_of_log = mean = 0.0
    for weight, one in zip(p, t, strict=True):
        mean_of_log += weight * np.log(one)
        mean += weight * one
    return mean_of_log, np.log(mean)


def bound_by_the_gap(log_joint, log_q, step):
    log_px = logsumexp(log_joint) + np.log(step)
    return log_px - np.sum(np.exp(log_q) * (log_q - (log_joint - log_px))) * step


def line_4(log_joint, log_q, step):
    """As the page writes it, without logarithms; it needs a q that is nowhere 0 as a float."""
    q = np.exp(log_q)
    return np.sum(q * np.log(np.exp(log_joint) / q)) * step


def measured(x, noise):
    """x = z + noise as a linear-Gaussian model, and x as a batch."""
    return LinearGaussian(np.eye(1), np.zeros(1), noise), np.array([[x]])


def terms_by_the_library(mu, sigma, x, noise):
    model, rows = measured(x, noise)
    kl = kl_to_standard_normal(np.array([[mu]]), np.array([[2 * np.log(sigma)]]))[0][0]
    return model.elbo(rows, np.array([[mu]]), np.array([[sigma**2]]))[0] + kl, kl


def gap_by_the_library(mu, sigma, x, noise):
    model, rows = measured(x, noise)
    return model.gap(rows, np.array([[mu]]), np.array([[sigma**2]]))[0]


def gap_by_subtraction(mu, sigma, x, noise):
    expected = norm(0, noise).logpdf(x - mu) - sigma**2 / (2 * noise**2)
    kl = 0.5 * (mu**2 + sigma**2 - 1) - np.log(sigma)
    return norm(0, np.sqrt(1 + noise**2)).logpdf(x) - (expected - kl)


def looped_loss(log_likelihood, kl):
    total = 0.0
    for row, one in zip(log_likelihood, kl, strict=True):
        total += one - sum(row) / len(row)
    return total / len(kl)


FORMULATIONS = {
    "elbo.jensen": [
        looped_logs,
        lambda p, t: (p @ np.log(t), np.log(p @ t)),
        lambda p, t: [np.average(np.log(t), weights=p), np.log(np.average(t, weights=p))],
        lambda p, t: (np.log(np.prod(t**p)), logsumexp(np.log(t), b=p)),
        lambda p, t: np.array([np.dot(np.log(t), p), np.log(np.dot(t, p))]),
    ],
    "elbo.bound": [
        bound_by_the_gap,
        line_4,
        lambda j, q, step: np.exp(q) @ (j - q) * step,
        lambda j, q, step: np.sum(np.exp(q) * j) * step - np.sum(np.exp(q) * q) * step,
        lambda j, q, step: trapezoid(np.exp(q) * (j - q), dx=step),
        lambda j, q, step: simpson(np.exp(q) * (j - q), dx=step),
        lambda j, q, step: sum(np.exp(b) * (a - b) for a, b in zip(j, q, strict=True)) * step,
    ],
    "elbo.terms": [
        terms_by_the_library,
        lambda mu, s, x, n: (
            norm(mu, n).logpdf(x) - s**2 / (2 * n**2),
            0.5 * (mu**2 + s**2 - 1) - np.log(s),
        ),
        lambda mu, s, x, n: [
            -((x - mu) ** 2) / (2 * n**2) - s**2 / (2 * n**2) - np.log(n) - 0.5 * np.log(2 * np.pi),
            -0.5 * (1 + np.log(s**2) - mu**2 - s**2),
        ],
        lambda mu, s, x, n: (
            -(x**2 - 2 * x * mu + mu**2 + s**2) / (2 * n**2) - np.log(n * np.sqrt(2 * np.pi)),
            (mu**2 + s**2 - 1 - 2 * np.log(s)) / 2,
        ),
        lambda mu, s, x, n: np.array(
            [
                -0.5 * ((x - mu) ** 2 + s**2) / n**2 - 0.5 * np.log(2 * np.pi * n**2),
                (mu * mu + s * s - 1) / 2 - np.log(s),
            ]
        ),
    ],
    "elbo.gap": [
        gap_by_the_library,
        gap_by_subtraction,
        lambda mu, s, x, n: (
            0.5 * ((s**2 + (mu - x / (1 + n**2)) ** 2) * (1 + 1 / n**2) - 1 - np.log(s**2 * (1 + 1 / n**2)))
        ),
        lambda mu, s, x, n: (
            np.log(n / np.sqrt(1 + n**2) / s) + (s**2 + (mu - x / (1 + n**2)) ** 2) * (1 + n**2) / (2 * n**2) - 0.5
        ),
        lambda mu, s, x, n: kl_to_standard_normal(
            np.array([[(mu - x / (1 + n**2)) * np.sqrt(1 + n**-2)]]), np.log([[s**2 * (1 + n**-2)]])
        )[0][0],
    ],
    "elbo.loss": [
        looped_loss,
        lambda a, kl: np.mean(kl) - np.mean(a),
        lambda a, kl: -(a.mean(axis=1) - kl).mean(),
        lambda a, kl: np.mean(kl[:, None] - a),
        lambda a, kl: (kl - np.average(a, axis=-1)).sum() / len(kl),
        lambda a, kl: float(np.einsum("bk->", -a) / a.size + kl.mean()),
    ],
}
