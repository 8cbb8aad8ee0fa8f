"""Correct formulations of the blanks on training."""

import numpy as np
from scipy.special import expit, xlog1py, xlogy
from scipy.stats import bernoulli, multivariate_normal, norm

from scratchvae import Bernoulli
from scratchvae.gaussian import gaussian_log_density


def nll_by_loop(x, logits):
    nll = np.zeros(len(x))
    for b in range(len(x)):
        for d in range(x.shape[1]):
            p = 1 / (1 + np.exp(-logits[b, d]))
            nll[b] -= np.log(p) if x[b, d] == 1 else np.log(1 - p)
    return nll


def sigma_by_loop(x, m):
    total = 0.0
    for image, mean in zip(x, m, strict=True):
        total += sum((image - mean) ** 2)
    return (total / (len(x) * len(x[0]))) ** 0.5


def adam_in_steps(grad, m, v, t, lr):
    m_new = m + (1 - 0.9) * (grad - m)
    v_new = v + (1 - 0.999) * (np.square(grad) - v)
    m_hat, v_hat = m_new / (1 - 0.9**t), v_new / (1 - 0.999**t)
    return m_new, v_new, lr * m_hat / (v_hat**0.5 + 1e-8)


def adam_entry_by_entry(grad, m, v, t, lr):
    out = np.empty((3, len(grad)))
    for i, g in enumerate(grad):
        a, b = 0.9 * m[i] + 0.1 * g, 0.999 * v[i] + 0.001 * g * g
        out[:, i] = a, b, lr * a / (1 - 0.9**t) / (np.sqrt(b / (1 - 0.999**t)) + 1e-8)
    return tuple(out)


def adam_with_one_factor(grad, m, v, t, lr):
    m, v = 0.9 * m + 0.1 * grad, 0.999 * v + 0.001 * grad**2
    root = np.sqrt(1 - 0.999**t)
    return m, v, lr * root / (1 - 0.9**t) * m / (np.sqrt(v) + 1e-8 * root)


def weight_by_scipy(nll, z, mu, logvar):
    Z = z.shape[1]
    prior = multivariate_normal(np.zeros(Z), np.eye(Z)).logpdf(z)
    q = [multivariate_normal(m, np.diag(np.exp(v))).logpdf(one) for one, m, v in zip(z, mu, logvar, strict=True)]
    return prior - nll - np.array(q)


def weight_by_loop(nll, z, mu, logvar):
    log_w = []
    for b in range(len(z)):
        total = -nll[b]
        for j in range(z.shape[1]):
            total += norm.logpdf(z[b, j]) - norm.logpdf(z[b, j], mu[b, j], np.exp(logvar[b, j] / 2))
        log_w.append(total)
    return log_w


FORMULATIONS = {
    "training.bernoulli": [
        nll_by_loop,
        lambda x, a: np.logaddexp(0, a).sum(1) - (x * a).sum(1),
        lambda x, a: -bernoulli(expit(a)).logpmf(x).sum(axis=1),
        lambda x, a: -np.sum(xlogy(x, expit(a)) + xlog1py(1 - x, -expit(a)), axis=-1),
        lambda x, a: Bernoulli().nll(x, a)[0],
        lambda x, a: np.log1p(np.exp(np.where(x == 1, -a, a))).sum(axis=1),
    ],
    "training.best_sigma": [
        sigma_by_loop,
        lambda x, m: np.linalg.norm(x - m) / x.size**0.5,
        lambda x, m: np.mean((x - m) ** 2) ** 0.5,
        lambda x, m: np.sqrt(((x - m) ** 2).sum(axis=1).mean() / x.shape[1]),
        lambda x, m: np.sqrt(np.vdot(x - m, x - m) / np.size(m)),
    ],
    "training.weights": [
        lambda o: -np.ones(len(o)) / len(o),
        lambda o: np.repeat(-1 / o.size, o.size),
        lambda o: [-1 / len(o) for _ in o],
        lambda o: -np.ones_like(o) * (1 / o.shape[0]),
        lambda o: 0 * o - 1 / len(o),
    ],
    "training.adam": [
        adam_in_steps,
        adam_entry_by_entry,
        adam_with_one_factor,
        lambda g, m, v, t, lr: [a.tolist() for a in adam_in_steps(g, m, v, t, lr)],
        lambda g, m, v, t, lr: np.stack(adam_in_steps(g, m, v, t, lr)),
    ],
    "training.log_weight": [
        weight_by_scipy,
        weight_by_loop,
        lambda n, z, m, v: norm.logpdf(z).sum(1) - norm.logpdf(z, m, np.exp(v / 2)).sum(1) - n,
        lambda n, z, m, v: -n - 0.5 * (z**2).sum(1) + 0.5 * (((z - m) / np.exp(v / 2)) ** 2 + v).sum(1),
        lambda n, z, m, v: gaussian_log_density(z, 0 * m, 0 * v)[0] - gaussian_log_density(z, m, v)[0] - n,
    ],
}
