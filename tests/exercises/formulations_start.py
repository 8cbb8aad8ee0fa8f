"""Correct formulations of the blanks of the page to start with."""

import numpy as np
from scipy.special import expit
from scipy.stats import multivariate_normal, norm

from scratchvae.layers import relu, sigmoid


def score_by_loop(labels, digit):
    shares = []
    for row in labels:
        shares.append(sum(1 for label in row if label == digit) / 10)
    return shares


def decoder_in_steps(z, W_h, b_h, W_x, b_x):
    h = z @ W_h + b_h
    h[h < 0] = 0
    logits = h @ W_x + b_x
    return np.exp(logits) / (1 + np.exp(logits))


def decoder_code_by_code(z, W_h, b_h, W_x, b_x):
    pictures = []
    for code in z:
        h = [max(0, a) for a in code @ W_h + b_h]
        pictures.append(0.5 * (1 + np.tanh((np.array(h) @ W_x + b_x) / 2)))
    return np.stack(pictures)


def joint_by_class(x, means, variances, p_y):
    columns = []
    for m, v, p in zip(means, variances, p_y, strict=True):
        columns.append(np.log(p) + norm(m, v**0.5).logpdf(x).sum(axis=1))
    return np.stack(columns, axis=1)


def joint_by_loops(x, means, variances, p_y):
    table = np.zeros((len(x), len(p_y)))
    for n in range(len(x)):
        for k in range(len(p_y)):
            square = (x[n, 0] - means[k, 0]) ** 2 + (x[n, 1] - means[k, 1]) ** 2
            table[n, k] = np.log(p_y[k]) - square / (2 * variances[k]) - np.log(2 * np.pi * variances[k])
    return table


def points_by_loop(y, means, variances, eps):
    x = []
    for k, e in zip(y, eps, strict=True):
        x.append(means[k] + variances[k] ** 0.5 * e)
    return x


FORMULATIONS = {
    "start.score": [
        score_by_loop,
        lambda labels, digit: (labels == digit).sum(axis=1) / 10,
        lambda labels, digit: np.count_nonzero(labels == digit, axis=1) / labels.shape[1],
        lambda labels, digit: np.mean(np.where(labels == digit, 1, 0), axis=-1),
        lambda labels, digit: 1 - (labels != digit).mean(axis=1),
        lambda labels, digit: [list(row).count(digit) / len(row) for row in labels],
    ],
    "start.decoder": [
        decoder_in_steps,
        decoder_code_by_code,
        lambda z, W, b, V, c: expit(np.maximum(z @ W + b, 0) @ V + c),
        lambda z, W, b, V, c: sigmoid(relu(z @ W + b)[0] @ V + c)[0],
        lambda z, W, b, V, c: 1 / (1 + np.exp(-np.dot((z.dot(W) + b).clip(0), V) - c)),
        lambda z, W, b, V, c: (1 + np.tanh(0.5 * (((z @ W + b) * (z @ W + b > 0)) @ V + c))) / 2,
    ],
    "start.joint": [
        joint_by_class,
        joint_by_loops,
        lambda x, m, v, p: (
            np.log(p) - ((x**2).sum(1)[:, None] - 2 * x @ m.T + (m**2).sum(1)) / 2 / v - np.log(2 * np.pi * v)
        ),
        lambda x, m, v, p: np.log(p / (2 * np.pi * v)) - 0.5 * np.linalg.norm(x[:, None] - m, axis=2) ** 2 / v,
        lambda x, m, v, p: np.stack(
            [np.log(b) + multivariate_normal(a, s * np.eye(2)).logpdf(x) for a, s, b in zip(m, v, p, strict=True)], 1
        ),
        lambda x, m, v, p: [[float(c) for c in row] for row in joint_by_class(x, m, v, p)],
    ],
    "start.draw": [
        points_by_loop,
        lambda y, m, v, e: m[y] + (v[y] ** 0.5 * e.T).T,
        lambda y, m, v, e: np.take(m, y, axis=0) + e * np.sqrt(v)[y, None],
        lambda y, m, v, e: np.eye(len(m))[y] @ m + np.eye(len(v))[y] @ np.sqrt(v)[:, None] * e,
        lambda y, m, v, e: m[y] + np.exp(0.5 * np.log(v[y]))[:, np.newaxis] * e,
        lambda y, m, v, e: np.einsum("n,nc->nc", np.sqrt(v[y]), e) + m[y],
    ],
}
