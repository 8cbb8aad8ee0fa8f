"""Correct formulations of the blanks on backpropagation."""

import math

import numpy as np
from scipy.special import log_expit

from scratchvae.layers import dense_backward


def dense_by_loops(dy, x, W):
    dx, dW, db = np.zeros(x.shape), np.zeros(W.shape), np.zeros(W.shape[1])
    for b, o in np.ndindex(dy.shape):
        db[o] += dy[b, o]
        for i in range(x.shape[1]):
            dx[b, i] += dy[b, o] * W[i, o]
            dW[i, o] += x[b, i] * dy[b, o]
    return dx, dW, db


def softplus_by_sides(a):
    y = np.empty_like(a)
    y[a > 0] = a[a > 0] + np.log(1 + np.exp(-a[a > 0]))
    y[a <= 0] = np.log1p(np.exp(a[a <= 0]))
    return y


FORMULATIONS = {
    "backprop.edges": [
        lambda x, w, b: [w, x, 1.0],
        lambda x, w, b: np.array([w, x, 1]),
        lambda x, w, b: ((w * (x + 1) + b) - (w * x + b), x * 1, w**0),
        lambda x, w, b: (w * 1 + x * 0 + 0, w * 0 + x * 1 + 0, 1),
        lambda x, w, b: (float(w), float(x), b / b),
    ],
    "backprop.tanh": [
        lambda dy, y: dy - dy * y * y,
        lambda dy, y: dy * (1 + y) * (1 - y),
        lambda dy, y: dy / np.cosh(np.arctanh(y)) ** 2,
        lambda dy, y: np.multiply(1 - np.square(y), dy),
        lambda dy, y: np.array([[d * (1 - v**2) for d, v in zip(*r, strict=True)] for r in zip(dy, y, strict=True)]),
    ],
    "backprop.difference": [
        lambda f, x, h: (f(x + h) - f(x - h)) / 2 / h,
        lambda f, x, h: 0.5 * (f(x + h) - f(x - h)) / h,
        lambda f, x, h: ((f(x + h) - f(x)) / h + (f(x) - f(x - h)) / h) / 2,
        lambda f, x, h: f(x + h) / (2 * h) - f(x - h) / (2 * h),
        lambda f, x, h: np.diff([f(x - h), f(x + h)])[0] / (2 * h),
        lambda f, x, h: np.gradient([f(x - h), f(x), f(x + h)], h)[1],
    ],
    "backprop.dense": [
        dense_by_loops,
        lambda dy, x, W: dense_backward(dy, (x, W)),
        lambda dy, x, W: ((W @ dy.T).T, (dy.T @ x).T, np.ones(len(x)) @ dy),
        lambda dy, x, W: (np.einsum("bo,io->bi", dy, W), np.einsum("bi,bo->io", x, dy), np.einsum("bo->o", dy)),
        lambda dy, x, W: [np.inner(dy, W), sum(map(np.outer, x, dy)), sum(dy)],
        lambda dy, x, W: (dy.dot(W.T), np.tensordot(x, dy, (0, 0)), np.add.reduce(dy)),
    ],
    "backprop.softplus": [
        softplus_by_sides,
        lambda a: np.logaddexp(0, a),
        lambda a: np.where(a > 0, a + np.log(1 + np.exp(-a)), np.log1p(np.exp(a))),
        lambda a: np.where(a > 35, a, np.log1p(np.exp(np.minimum(a, 35)))),
        lambda a: (a + np.abs(a)) / 2 + np.log1p(np.exp(-np.abs(a))),
        lambda a: -log_expit(-a),
        lambda a: np.clip(a, 0, None) + 2 * np.arctanh(np.exp(-np.abs(a)) / (2 + np.exp(-np.abs(a)))),
        lambda a: np.array([max(v, 0) + math.log1p(math.exp(-abs(v))) for v in a]),
    ],
}
