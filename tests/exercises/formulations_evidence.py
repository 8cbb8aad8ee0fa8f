"""Correct formulations of the blanks of the page on the evidence."""

import math
from statistics import NormalDist

import numpy as np
from scipy.integrate import quad, simpson, trapezoid
from scipy.special import erf, ndtr
from scipy.stats import multivariate_normal, norm

from scratchvae.exact import LinearGaussian


def looped_moments(W, b, sigma_x):
    C = np.zeros((len(b), len(b)))
    for i in range(len(b)):
        for j in range(len(b)):
            C[i, j] = sum(W[i, k] * W[j, k] for k in range(W.shape[1])) + (sigma_x**2 if i == j else 0)
    return b.copy(), C


def looped_grid(x, g, z, sigma_x):
    total = 0.0
    for at, point in zip(z, g, strict=True):
        likelihood = 1.0
        for a, m in zip(x, point, strict=True):
            likelihood *= math.exp(-0.5 * ((a - m) / sigma_x) ** 2) / (sigma_x * math.sqrt(2 * math.pi))
        total += likelihood * math.exp(-0.5 * at * at) / math.sqrt(2 * math.pi)
    return total * (z[-1] - z[0]) / (len(z) - 1)


def looped_kinks(left, right, a_left, a_right):
    found = []
    for a, b in zip(a_left, a_right, strict=True):
        if (a > 0) != (b > 0):
            slope = (b - a) / (right - left)
            found.append(left - a / slope)
    return found


def weighted_ends(left, right, a, b):
    on = np.sign(a) != np.sign(b)
    return ((right * a - left * b) / (a - b))[on]


def rising_kinks(left, right, a, b):
    where = np.flatnonzero(a * b < 0)
    return np.sort(right - (right - left) * b[where] / (b[where] - a[where]))


FORMULATIONS = {
    "evidence.moments": [
        looped_moments,
        lambda W, b, s: (b, LinearGaussian(W, b, s).covariance),
        lambda W, b, s: [b + 0, np.einsum("dz,ez->de", W, W) + np.diag(np.full(len(b), s**2))],
        lambda W, b, s: (W @ np.zeros(W.shape[1]) + b, np.dot(W, W.T) + np.square(s) * np.identity(W.shape[0])),
        lambda W, b, s: (b, np.hstack([W, s * np.eye(len(b))]) @ np.hstack([W, s * np.eye(len(b))]).T),
    ],
    "evidence.grid": [
        looped_grid,
        lambda x, g, z, s: trapezoid(norm.pdf(x, g, s).prod(axis=1) * norm.pdf(z), z),
        lambda x, g, z, s: simpson(np.exp(norm.logpdf(x, g, s).sum(axis=1) + norm.logpdf(z)), x=z),
        lambda x, g, z, s: multivariate_normal(x, s**2 * np.eye(len(x))).pdf(g) @ norm.pdf(z) * np.diff(z)[0],
        lambda x, g, z, s: (
            np.exp(-(np.linalg.norm(x - g, axis=1) ** 2) / (2 * s**2) - z**2 / 2).sum()
            * (z[1] - z[0])
            / (np.sqrt(2 * np.pi) ** (len(x) + 1) * s ** len(x))
        ),
    ],
    "evidence.kinks": [
        looped_kinks,
        weighted_ends,
        rising_kinks,
        lambda left, right, a, b: left + (right - left) * (a / (a - b))[(a < 0) ^ (b < 0)],
        lambda left, right, a, b: np.array(
            [left - u * (right - left) / (v - u) for u, v in zip(a, b, strict=True) if u * v < 0]
        ),
    ],
    "evidence.piece": [
        lambda p, m, s, a, b: p * (NormalDist(m, s).cdf(b) - NormalDist(m, s).cdf(a)),
        lambda p, m, s, a, b: p * (ndtr((b - m) / s) - ndtr((a - m) / s)),
        lambda p, m, s, a, b: (
            p * quad(lambda z: math.exp(-(((z - m) / s) ** 2) / 2), a, b)[0] / (s * math.sqrt(2 * math.pi))
        ),
        lambda p, m, s, a, b: 0.5 * p * (erf((b - m) / np.sqrt(2 * s**2)) - erf((a - m) / np.sqrt(2 * s**2))),
        lambda p, m, s, a, b: (
            p * (math.erfc((a - m) / (math.sqrt(2) * s)) - math.erfc((b - m) / (math.sqrt(2) * s))) / 2
        ),
    ],
}
