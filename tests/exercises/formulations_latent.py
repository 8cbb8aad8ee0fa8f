"""Correct formulations of the blanks on the latent space."""

from itertools import pairwise

import numpy as np
from scipy.spatial import KDTree
from scipy.special import logsumexp
from scipy.stats import multivariate_normal, norm


def walk_point_by_point(a, b, steps):
    return [a + i / (steps - 1) * (b - a) for i in range(steps)]


def detour_by_loop(path):
    length = 0.0
    for i in range(1, len(path)):
        length += np.sqrt(sum((path[i] - path[i - 1]) ** 2))
    return length / np.sqrt(sum((path[-1] - path[0]) ** 2))


def aggregate_by_scipy(z, mu, logvar):
    return np.mean([multivariate_normal(m, np.diag(np.exp(v))).pdf(z) for m, v in zip(mu, logvar, strict=True)], axis=0)


def aggregate_in_logs(z, mu, logvar):
    log_q = -0.5 * ((z[:, None, :] - mu[None]) ** 2 * np.exp(-logvar) + logvar + np.log(2 * np.pi)).sum(axis=-1)
    return np.exp(logsumexp(log_q, axis=1) - np.log(len(mu)))


def aggregate_by_loop(z, mu, logvar):
    sigma = np.exp(logvar / 2)
    density = np.zeros(len(z))
    for n in range(len(mu)):
        u = (z - mu[n]) / sigma[n]
        density += np.exp(-0.5 * np.sum(u * u, axis=1)) / np.prod(np.sqrt(2 * np.pi) * sigma[n])
    return density / len(mu)


def holes_by_a_tree(draws, codes, fresh):
    tree = KDTree(codes)
    limit = np.quantile(tree.query(fresh)[0], 0.95)
    return sum(tree.query(draws)[0] > limit) / len(draws)


def limit_of(codes, fresh):
    return np.quantile([np.min(((z - codes) ** 2).sum(1)) for z in fresh], 0.95)


def holes_by_broadcasting(draws, codes, fresh):
    near = [np.linalg.norm(points[:, None] - codes, axis=2).min(axis=1) for points in (draws, fresh)]
    return np.mean(near[0] > np.percentile(near[1], 95))


def holes_without_broadcasting(draws, codes, fresh):
    def squares(points):
        return (points**2).sum(1)[:, None] + (codes**2).sum(1) - 2 * points @ codes.T

    return 1 - np.mean(squares(draws).min(1) <= np.quantile(squares(fresh).min(1), 0.95))


def draws_by_loop(mu, logvar, eps, u, decode):
    p = decode(mu + np.sqrt(np.exp(logvar)) * eps)
    return [[1 if u[n, d] < p[n, d] else 0 for d in range(u.shape[1])] for n in range(len(u))]


def draws_with_sigma(mu, logvar, eps, u, decode):
    sigma = np.exp(logvar / 2)
    return np.where(decode(mu + eps * sigma) > u, 1.0, 0.0)


FORMULATIONS = {
    "latent.walk": [
        walk_point_by_point,
        lambda a, b, n: np.linspace(a, b, n),
        lambda a, b, n: a + np.linspace(0, 1, n)[:, None] * (b - a),
        lambda a, b, n: a + np.outer(np.arange(n) / (n - 1), b - a),
        lambda a, b, n: np.array([(1 - t) * a + t * b for t in np.linspace(0, 1, n)]),
        lambda a, b, n: np.stack([np.linspace(1, 0, n), np.linspace(0, 1, n)], axis=1) @ np.stack([a, b]),
    ],
    "latent.detour": [
        detour_by_loop,
        lambda p: np.linalg.norm(np.diff(p, axis=0), axis=1).sum() / np.linalg.norm(p[-1] - p[0]),
        lambda p: sum(np.linalg.norm(b - a) for a, b in pairwise(p)) / np.linalg.norm(p[0] - p[-1]),
        lambda p: np.sum(np.sqrt(np.einsum("sd,sd->s", p[1:] - p[:-1], p[1:] - p[:-1]))) / np.linalg.norm(p[-1] - p[0]),
        lambda p: (len(p) - 1) * np.linalg.norm(p[1:] - p[:-1], axis=1).mean() / np.linalg.norm(np.ptp(p[[0, -1]], 0)),
    ],
    "latent.aggregate": [
        aggregate_by_scipy,
        aggregate_in_logs,
        aggregate_by_loop,
        lambda z, m, v: norm(m, np.exp(v / 2)).pdf(z[:, None]).prod(axis=2).mean(axis=1),
        lambda z, m, v: [np.mean(np.prod(norm.pdf(point, m, np.exp(v / 2)), axis=1)) for point in z],
        lambda z, m, v: np.exp(norm.logpdf(z[:, None], m, np.exp(0.5 * v)).sum(-1)).sum(1) / len(m),
    ],
    "latent.holes": [
        holes_by_a_tree,
        holes_by_broadcasting,
        holes_without_broadcasting,
        lambda d, c, f: np.mean([np.min(((z - c) ** 2).sum(1)) for z in d] > limit_of(c, f)),
        lambda d, c, f: holes_by_a_tree(d, c, f[::-1]),
        lambda d, c, f: holes_by_broadcasting(d, c, f).item(),
    ],
    "latent.draws": [
        draws_by_loop,
        draws_with_sigma,
        lambda m, v, e, u, f: u < f(m + np.exp(v / 2) * e),
        lambda m, v, e, u, f: (f(m + np.sqrt(np.exp(v)) * e) - u > 0).astype(int),
        lambda m, v, e, u, f: np.heaviside(f(m + np.exp(0.5 * v) * e) - u, 0),
        lambda m, v, e, u, f: np.ceil(f(m + np.exp(v / 2) * e) - u),
    ],
}
