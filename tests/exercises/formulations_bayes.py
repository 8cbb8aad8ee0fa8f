"""Correct formulations of the blanks on Bayes' rule."""

import numpy as np
from scipy.integrate import simpson, trapezoid
from scipy.special import logsumexp, softmax

from scratchvae.exact import LinearGaussian
from scratchvae.exercises.bayes.tables import posterior_of_table


def evidence_by_counting_rows(prior, likelihood):
    px = [0.0] * likelihood.shape[1]
    for z, p in enumerate(prior):
        for x in range(len(px)):
            px[x] += p * likelihood[z, x]
    return px


def posterior_by_rows(prior, likelihood):
    px = sum(p * h for p, h in zip(prior, likelihood, strict=True))
    return [p * h / px for p, h in zip(prior, likelihood, strict=True)]


def posterior_by_completing(x, sigma_x):
    a, b = (1 + 1 / sigma_x**2) / 2, x / sigma_x**2  # the exponent is -a z^2 + b z
    return b / (2 * a), 1 / (2 * a)


FORMULATIONS = {
    "bayes.evidence": [
        evidence_by_counting_rows,
        lambda prior, likelihood: prior @ likelihood,
        lambda prior, likelihood: likelihood.T @ prior,
        lambda prior, likelihood: np.einsum("n,nr->r", prior, likelihood),
        lambda prior, likelihood: np.average(likelihood, axis=0, weights=prior),
        lambda prior, likelihood: sum(p * row for p, row in zip(prior, likelihood, strict=True)),
    ],
    "bayes.posterior": [
        posterior_by_rows,
        lambda p, h: p * h / (p @ h),
        lambda p, h: h / (h / p.sum() * p).sum() * p,
        lambda p, h: np.exp(np.log(p) + np.log(h) - np.log(np.dot(p, h))),
        lambda p, h: p * (h / np.average(h, weights=p)),
        lambda p, h: (p * h) / np.linalg.norm(p * h, 1),
    ],
    "bayes.logs": [
        softmax,
        lambda a: np.exp(a - logsumexp(a)),
        lambda a: np.exp(a - np.logaddexp.reduce(a)),
        lambda a: 1 / np.exp(np.minimum(a - a[:, None], 700)).sum(axis=1),
        lambda a: np.exp(a - max(a)) / sum(np.exp(a - max(a))),
        lambda a: np.exp(a - a.max() - np.log(np.exp(a - a.max()).sum())),
        lambda a: [float(np.exp(b - np.sort(a)[-1]) / np.exp(a - np.sort(a)[-1]).sum()) for b in a],
    ],
    "bayes.grid": [
        lambda p, h, step: p * h / np.sum(p * h) / step,
        lambda p, h, step: p * h / (np.dot(p, h) * step),
        lambda p, h, step: p * h / trapezoid(p * h, dx=step),
        lambda p, h, step: p * h / simpson(p * h, dx=step),
        lambda p, h, step: posterior_of_table(p * step, h) / step,
        lambda p, h, step: [a / (step * sum(p * h)) for a in p * h],
    ],
    "bayes.normal": [
        posterior_by_completing,
        lambda x, s: (x / (1 + s**2), s**2 / (1 + s**2)),
        lambda x, s: [(0 * 1 + x * s**-2) / (1 + s**-2), (1 + s**-2) ** -1],
        lambda x, s: np.array([x, s * s]) / (s * s + 1),
        lambda x, s: (x - x * s**2 / (1 + s**2), 1 - 1 / (1 + s**2)),
        lambda x, s: (LinearGaussian(np.eye(1), np.zeros(1), s).posterior([[x]])[0][0, 0], 1 / (1 + 1 / s**2)),
    ],
}
