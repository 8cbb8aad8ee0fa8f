"""Planted mistakes, each a line of a backward: what a report should say of it, and which hypothesis is to see it.

Points are drawn afresh from a generator, so that no example depends on its numbers.
"""

from typing import Any, NamedTuple

import numpy as np

from scratchvae.checks import check_vjp
from scratchvae.gaussian import kl_to_standard_normal, reparameterize
from scratchvae.layers import dense, relu, sigmoid, softplus, tanh
from scratchvae.likelihoods import Bernoulli


class Plant(NamedTuple):
    """forward and backward as check_vjp takes them; inputs and constants are made by functions of a generator."""

    hypothesis: str
    forward: Any
    backward: Any
    inputs: Any
    constants: Any
    wrong: str  # the inputs of the finding, with spaces between them
    cause: str
    words: str  # in the message or in the repair


def report_of(plant, seed):
    rng = np.random.default_rng(seed)
    return check_vjp(plant.forward, plant.backward, plant.inputs(rng), constants=plant.constants(rng), rng=rng)


def is_told(plant, report):
    """Is it one finding, about the gradients that are wrong, with the cause and the words of the plant?"""
    (finding,) = report.findings
    text = f"{finding.message} || {finding.repair}"
    return (" ".join(finding.inputs), finding.cause) == (plant.wrong, plant.cause) and plant.words in text


def nothing(rng):
    return {}


def x(rng):
    return {"x": rng.standard_normal((5, 4))}


def layer(rng):
    return {"x": rng.standard_normal((5, 4)), "W": rng.standard_normal((4, 3)), "b": rng.standard_normal(3)}


def square(rng):
    return {"x": rng.standard_normal((5, 4)), "W": rng.standard_normal((4, 4)), "b": rng.standard_normal(4)}


def q(rng):
    return {"mu": rng.standard_normal((6, 2)), "logvar": rng.standard_normal((6, 2))}


def noise(rng):
    return {"eps": rng.standard_normal((6, 2))}


def logits(rng):
    return {"logits": rng.standard_normal((5, 5))}


def pixels(rng):
    return {"x": rng.random((5, 5))}


def network(rng):
    shapes = {"x": (5, 4), "W1": (4, 6), "b1": (6,), "W2": (6, 3), "b2": (3,)}
    return {name: rng.standard_normal(shape) for name, shape in shapes.items()}


def but(place, make):
    """dense's gradients, with one of the three replaced by make(dy, x, W)."""

    def backward(dy, cache):
        x, W = cache
        grads = [dy @ W.T, x.T @ dy, dy.sum(axis=0)]
        grads[place] = make(dy, x, W)
        return tuple(grads)

    return dense, backward


def activated(curve, slope):
    """y = curve(x W + b), and its backward with dy * slope(a, y)."""

    def forward(x, W, b):
        a = x @ W + b
        return curve(a), (x, W, a, curve(a))

    def backward(dy, cache):
        x, W, a, y = cache
        da = dy * slope(a, y)
        return da @ W.T, x.T @ da, da.sum(axis=0)

    return forward, backward


def two_layers(slope=lambda h: h > 0, rows=slice(None)):
    """A network with one hidden layer, and its backward with another slope of the relu, or some rows only."""

    def forward(x, W1, b1, W2, b2):
        h = np.maximum(x @ W1 + b1, 0)
        return h @ W2 + b2, (x, h, W1, W2)

    def backward(dy, cache):
        x, h, W1, W2 = cache
        da = dy @ W2.T * slope(h)
        grads = {"x": da @ W1.T, "W1": x[rows].T @ da[rows], "b1": da[rows].sum(axis=0)}
        return grads | {"W2": h.T @ dy, "b2": dy.sum(axis=0)}

    return forward, backward


def squared_error(slope=lambda h: 1 - h * h, every=slice(None)):
    """The mean of the squares, a number; the backward of a network that sees no rows of it."""

    def forward(x, W1, b1, W2, b2, t):
        h = np.tanh(x @ W1 + b1)
        y = h @ W2 + b2
        return ((y - t) ** 2).sum() / len(x), (x, h, W1, W2, y, t)

    def backward(dloss, cache):
        x, h, W1, W2, y, t = cache
        dy = 2 * dloss * (y - t) / len(x)
        da = dy @ W2.T * slope(h)
        grads = {"x": da @ W1.T, "W1": x[every].T @ da[every], "b1": da[every].sum(axis=0)}
        return grads | {"W2": h[every].T @ dy[every], "b2": dy[every].sum(axis=0)}

    return forward, backward


def attention(turned=False, summed=True):
    """softmax(q k^T) v; dk from the scores' or their transpose, with or without the sum in the softmax' gradient."""

    def forward(q, k, v):
        scores = np.exp(q @ k.T)
        p = scores / scores.sum(axis=1, keepdims=True)
        return p @ v, (q, k, v, p)

    def backward(dy, cache):
        q, k, v, p = cache
        dp = dy @ v.T
        ds = p * (dp - summed * (p * dp).sum(axis=1, keepdims=True))
        return {"q": ds @ k, "k": (ds if turned else ds.T) @ q, "v": p.T @ dy}

    return forward, backward


def queries(rng):
    return {name: rng.standard_normal((4, 3)) for name in "qkv"}


def rows_of_a_table(dE, ids, dy):
    dE[ids] += dy  # which keeps one of the rows with the same number
    return dE


def behind_a_matrix(back):
    """tanh(x W) with W square, and dx through W where its transpose belongs."""

    def backward(dy, cache):
        x, W, y = cache
        da = dy * (1 - y * y)
        return {"x": back(da, W), "W": x.T @ da}

    return lambda x, W: (np.tanh(x @ W), (x, W, np.tanh(x @ W))), backward


def square_matrix(rng):
    return {"x": rng.standard_normal((5, 4)), "W": rng.standard_normal((4, 4))}


def first_row_only(dy, cache):
    x, W, y = cache
    dx, dW = np.zeros(x.shape), np.zeros(W.shape)
    for row in range(1):  # as if it returned inside the loop
        da = dy[row] * (1 - y[row] ** 2)
        dx[row] = W @ da
        dW += np.outer(x[row], da)
    return dx, dW


def in_columns(slope):
    """The same the other way round: an example is a column, and as many are in the batch as units are hidden."""

    def forward(X, W1, b1, W2, t):
        H = np.tanh(W1 @ X + b1)
        return ((W2 @ H - t) ** 2).sum() / X.shape[1], (X, H, W1, W2, t)

    def backward(dloss, cache):
        X, H, W1, W2, t = cache
        dY = 2 * dloss * (W2 @ H - t) / X.shape[1]
        dA = W2.T @ dY * slope(H)
        return {"X": W1.T @ dA, "W1": dA @ X.T, "b1": dA.sum(axis=1, keepdims=True), "W2": dY @ H.T}

    return forward, backward


def columns(rng):
    shapes = {"X": (4, 5), "W1": (5, 4), "b1": (5, 1), "W2": (3, 5)}
    return {name: rng.standard_normal(shape) for name, shape in shapes.items()}


def targets_in_columns(rng):
    return {"t": rng.standard_normal((3, 5))}


def tied(both):
    """y = sin(x W) W^T, and a dW that may have one of its two uses only."""

    def backward(dy, cache):
        x, W = cache
        da = dy @ W * np.cos(x @ W)
        return {"x": da @ W.T, "W": x.T @ da + both * dy.T @ np.sin(x @ W)}

    return lambda x, W: (np.sin(x @ W) @ W.T, (x, W)), backward


def encoder(rng):
    return {"x": rng.standard_normal((5, 4)), "W": rng.standard_normal((4, 3))}


def targets(rng):
    return {"t": rng.standard_normal((5, 3))}


def recurrence(passed_on=0.0):
    """h_t = tanh(x_t W + h_{t-1} U), the sum of all h; what a step passes on to the one before gets this share."""

    def forward(xs, W, U):
        h, hs = np.zeros(U.shape[0]), []
        for x in xs:
            h = np.tanh(x @ W + h @ U)
            hs.append(h)
        return np.sum(hs), (xs, W, U, hs)

    def backward(dy, cache):
        xs, W, U, hs = cache
        dW, dU, dh = np.zeros(W.shape), np.zeros(U.shape), np.zeros(U.shape[0])
        for t in reversed(range(len(xs))):
            da = (dy + passed_on * dh) * (1 - hs[t] ** 2)
            dW += np.outer(xs[t], da)
            dU += np.outer(hs[t - 1] if t else np.zeros(len(U)), da)
            dh = da @ U.T
        return {"W": dW, "U": dU}

    return forward, backward


def forgetful(dy, cache):
    """The backward of tanh(x W + b) V that takes the slope at tanh(a) in place of a."""
    x, W, b, V = cache
    y = np.tanh(x @ W + b)
    da = dy @ V.T * (1 - np.tanh(y) ** 2)
    return {"W": x.T @ da, "b": da.sum(axis=0), "V": y.T @ dy}


def margins(mask):
    """The mean of max(0, 1 - t x w), and a gradient that may count the rows beyond the margin as well."""

    def forward(w, x, t):
        return np.maximum(0, 1 - t * (x @ w)).mean(), (w, x, t)

    def backward(dy, cache):
        w, x, t = cache
        return {"w": -dy / len(x) * x.T @ (t * np.where(t * (x @ w) < 1, 1.0, not mask))}

    return forward, backward


def weights(rng):
    return {"w": 2 * rng.standard_normal(4)}


def answers(rng):
    return {"x": rng.standard_normal((7, 4)), "t": rng.choice([-1.0, 1.0], 7)}


def policy():
    """-log p[action] less the entropy of p, each in the mean, and an entropy's gradient as if p were free."""

    def forward(W, b, x, action):
        p = softmax(x @ W + b)[0]
        rows = np.arange(len(x))
        return (-np.log(p[rows, action]) + (p * np.log(p)).sum(axis=1)).mean(), {"x": x, "p": p, "action": action}

    def backward(dy, cache):
        x, p, action = cache["x"], cache["p"], cache["action"]
        ds = p - np.eye(p.shape[1])[action] + p * (np.log(p) + 1)
        return {"W": dy * x.T @ ds / len(x), "b": dy * ds.mean(axis=0)}

    return forward, backward


def scores(rng):
    return {"W": rng.standard_normal((4, 5)), "b": rng.standard_normal(5)}


def actions(rng):
    return {"x": rng.standard_normal((6, 4)), "action": rng.integers(0, 5, 6)}


def two_heads(forgotten):
    """The squares of two heads on one hidden layer, a number a row, and a gradient that may forget one of the heads."""

    def forward(W, b, M, m, S, s, x):
        h = np.tanh(x @ W + b)
        mu, logs = h @ M + m, h @ S + s
        return (mu**2 + np.exp(logs)).sum(axis=1), (x, h, mu, logs, M, S)

    def backward(d, cache):
        x, h, mu, logs, M, S = cache
        dmu, dlogs = 2 * d[:, None] * mu, d[:, None] * np.exp(logs)
        da = (dmu @ M.T + (not forgotten) * dlogs @ S.T) * (1 - h * h)
        grads = {"W": x.T @ da, "b": da.sum(axis=0), "M": h.T @ dmu, "m": dmu.sum(axis=0)}
        return grads | {"S": h.T @ dlogs, "s": dlogs.sum(axis=0)}

    return forward, backward


def heads(rng):
    shapes = {"W": (4, 6), "b": (6,), "M": (6, 2), "m": (2,), "S": (6, 2), "s": (2,)}
    return {name: 0.5 * rng.standard_normal(shape) for name, shape in shapes.items()}


def factorisation(error_for_Q, decay=0.2):
    """The squared error of ratings that were given, as P Q^T, with a decay; dQ may see others as well."""

    def forward(P, Q, ratings, seen):
        error = ratings - P @ Q.T
        return 0.5 * (seen * error**2).sum() + 0.5 * decay * (Q * Q).sum(), {
            "P": P,
            "Q": Q,
            "error": error,
            "seen": seen,
        }

    def backward(d, cache):
        P, Q, error, seen = cache.values()
        return {"P": -d * (seen * error) @ Q, "Q": d * (decay * Q - error_for_Q(error, seen).T @ P)}

    return forward, backward


def factors(rng):
    return {"P": rng.standard_normal((5, 2)), "Q": rng.standard_normal((4, 2))}


def ratings(rng):
    return {"ratings": rng.standard_normal((5, 4)), "seen": (rng.random((5, 4)) < 0.5) * 1.0}


def gates(a):
    """tanh(u) times the slope at v, for a = (u, v)."""
    return np.tanh(a[:, :3]) * (1 - sigmoid(a[:, 3:])[0])


def gates_backward(dy, x, W, b):
    """With a minus missing in the second half."""
    a = x @ W + b
    t, s = np.tanh(a[:, :3]), sigmoid(a[:, 3:])[0]
    da = np.concatenate([dy * (1 - t * t) * (1 - s), dy * t * s * (1 - s)], axis=1)
    return {"W": x.T @ da, "b": da.sum(axis=0)}


def sigmoid_slope(a):
    s = sigmoid(a)[0]
    return s * (1 - s)


def steps(rng):
    return {"W": rng.standard_normal((3, 4)), "U": rng.standard_normal((4, 4))}


def sequence(rng):
    return {"xs": rng.standard_normal((6, 3))}


def softmax(x):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True), e / e.sum(axis=1, keepdims=True)


def batch_norm(x):
    xhat = (x - x.mean(axis=0)) / x.std(axis=0)
    return xhat, (xhat, x.std(axis=0))


def gelu_by_tanh(x):
    t = np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))
    return 0.5 * x * (1 + t), x


def slope_of_gelu(x):
    from math import erf

    Phi = 0.5 * (1 + np.vectorize(erf)(x / np.sqrt(2)))
    return Phi + x * np.exp(-0.5 * x * x) / np.sqrt(2 * np.pi)


def curve(function):
    return lambda x: (function(x), x)


FACTORS = {
    "minus": Plant("a_constant", *but(0, lambda dy, x, W: -dy @ W.T), layer, nothing, "x", "sign", "minus"),
    "minus twice": Plant(
        "a_constant",
        *but(0, lambda dy, x, W: -2 * dy @ W.T),
        layer,
        nothing,
        "x",
        "factor",
        "minus twice what it should be: the sign is wrong, and a factor 1/2 is missing",
    ),
    "mean over the batch": Plant(
        "a_constant", *but(1, lambda dy, x, W: x.T @ dy / len(x)), layer, nothing, "W", "factor", "the batch has 5 rows"
    ),
    "bias averaged": Plant(
        "a_constant", *but(2, lambda dy, x, W: dy.mean(axis=0)), layer, nothing, "b", "factor", "the batch has 5 rows"
    ),
    "a half too few": Plant(
        "a_constant",
        reparameterize,
        lambda dz, c: (dz, dz * c[0] * c[1]),
        q,
        noise,
        "logvar",
        "factor",
        "twice what it should be: a factor 1/2 is missing",
    ),
    "times B": Plant(
        "a_constant", *but(1, lambda dy, x, W: x.T @ dy * 5), layer, nothing, "W", "factor", "5 times what it should be"
    ),
    "over D": Plant(
        "a_constant",
        lambda x: ((x * x).sum(axis=1), x),
        lambda dy, x: 2 * dy[:, None] * x / x.shape[1],
        lambda rng: {"x": rng.random((5, 7))},
        nothing,
        "x",
        "factor",
        "x has 7 columns",
    ),
    "odd constant": Plant(
        "a_constant", tanh, lambda dy, y: 1.37 * dy * (1 - y * y), x, nothing, "x", "factor", "1.37 times"
    ),
    "a mean forgotten everywhere": Plant(
        "a_constant",
        lambda p, t: (((p - t) ** 2).mean(axis=0).sum(), (p, t)),
        lambda d, c: {"p": 2 * d * (c[0] - c[1])},
        lambda rng: {"p": rng.standard_normal((4, 3))},
        lambda rng: {"t": rng.standard_normal((4, 3))},
        "p",
        "factor",
        "p has 4 rows",
    ),
    "neither the mean nor its 2": Plant(
        "a_constant",
        lambda p: ((p * p).mean(), p),
        lambda d, p: d * p,
        lambda rng: {"p": rng.standard_normal((5, 4))},
        nothing,
        "p",
        "factor",
        "10 times what it should be",
    ),
    "a small constant in a log": Plant(
        "nearly",
        lambda p: (np.log(p + 1e-6), p),
        lambda dy, p: dy / p,
        lambda rng: {"p": rng.uniform(0.1, 0.9, (5, 4))},
        nothing,
        "p",
        "elementwise-factor",
        "inside a log, a square root or a division",
    ),
    "sigma forgotten": Plant(
        "an_array",
        reparameterize,
        lambda dz, c: (dz, 0.5 * dz * c[1]),
        q,
        noise,
        "logvar",
        "elementwise-factor",
        "sigma",
    ),
    "eps forgotten": Plant(
        "an_array", reparameterize, lambda dz, c: (dz, 0.5 * dz * c[0]), q, noise, "logvar", "elementwise-factor", "eps"
    ),
    "sigma squared": Plant(
        "an_array",
        reparameterize,
        lambda dz, c: (dz, 0.5 * dz * c[0] ** 2 * c[1]),
        q,
        noise,
        "logvar",
        "elementwise-factor",
        "sigma is a factor too many",
    ),
    "no mask": Plant(
        "an_array", relu, lambda dy, m: dy, x, nothing, "x", "elementwise-factor", "the slope of the relu is missing"
    ),
    "no slope": Plant(
        "an_array", tanh, lambda dy, y: dy, x, nothing, "x", "elementwise-factor", "multiply dy by (1 - y^2)"
    ),
    "1 - y for 1 - y^2": Plant(
        "an_array",
        tanh,
        lambda dy, y: dy * (1 - y),
        x,
        nothing,
        "x",
        "elementwise-factor",
        "(1 - y) stands in place of the slope of the tanh",
    ),
    "1 - y forgotten": Plant(
        "an_array", sigmoid, lambda dy, y: dy * y, x, nothing, "x", "elementwise-factor", "(1 - y)"
    ),
    "at the pre-activation": Plant(
        "an_array",
        lambda x: (sigmoid(x)[0], x),
        lambda dy, x: dy * x * (1 - x),
        x,
        nothing,
        "x",
        "elementwise-factor",
        "x (1 - x) stands in place of the slope of the sigmoid",
    ),
    "|mu| for mu^2": Plant(
        "an_array",
        lambda mu: (np.abs(mu).sum(axis=1), mu),
        lambda d, mu: d[:, None] * mu,
        lambda rng: {"mu": rng.standard_normal((6, 2))},
        nothing,
        "mu",
        "elementwise-factor",
        "|mu|",
    ),
    "a layer without its slope": Plant(
        "an_array",
        *activated(lambda a: softplus(a)[0], lambda a, y: 1.0),
        layer,
        nothing,
        "x W b",
        "elementwise-factor",
        "the slope of the softplus is missing where dy enters",
    ),
    "a layer with a neighbour's slope": Plant(
        "an_array",
        *activated(np.tanh, lambda a, y: y * (1 - y)),
        layer,
        nothing,
        "x W b",
        "elementwise-factor",
        "in place of the slope of the tanh",
    ),
    "the erf slope in the tanh gelu": Plant(
        "an_array",
        gelu_by_tanh,
        lambda dy, x: dy * slope_of_gelu(x),
        x,
        nothing,
        "x",
        "elementwise-factor",
        "the slope of the gelu stands in place of the slope of the tanh gelu",
    ),
    "dy twice": Plant(
        "an_array", tanh, lambda dy, y: dy * dy * (1 - y * y), x, nothing, "x", "elementwise-factor", "dy"
    ),
    "the mask of the output inside a network": Plant(
        "an_array",
        *two_layers(lambda h: h >= 0),
        network,
        nothing,
        "x W1 b1",
        "elementwise-factor",
        "dy @ W2.T): the slope of the relu is missing",
    ),
    "inside a network whose loss is a number": Plant(
        "by_rows",
        *squared_error(lambda h: h * (1 - h)),
        network,
        targets,
        "x W1 b1",
        "elementwise-factor",
        "in place of the slope of the tanh",
    ),
    "inside a network in columns": Plant(
        "by_rows",
        *in_columns(lambda H: H * (1 - H)),
        columns,
        targets_in_columns,
        "X W1 b1",
        "elementwise-factor",
        "stands in place of the slope of the tanh",
    ),
    "a clip without its mask": Plant(
        "a_missing_mask",
        lambda x: (np.exp(np.clip(x, -0.31, 0.53)).sum(axis=1), x),
        lambda dy, x: dy[:, None] * np.exp(np.clip(x, -0.31, 0.53)),
        x,
        nothing,
        "x",
        "elementwise-factor",
        "a mask is missing",
    ),
    "a slope of a layer that leaves nothing behind": Plant(
        "an_array",
        lambda x, W, b, V: (np.tanh(x @ W + b) @ V, (x, W, b, V)),
        forgetful,
        lambda rng: {"W": rng.standard_normal((4, 3)), "b": rng.standard_normal(3), "V": rng.standard_normal((3, 2))},
        x,
        "W b",
        "elementwise-factor",
        "taken at its output",
    ),
    "the residual for its sign": Plant(
        "an_array",
        lambda m, t: (np.abs(m - t).sum(axis=1), (m, t)),
        lambda d, c: {"m": d[:, None] * (c[0] - c[1])},
        lambda rng: {"m": rng.standard_normal((5, 4))},
        lambda rng: {"t": rng.standard_normal((5, 4))},
        "m",
        "elementwise-factor",
        "stands in place of sign(",
    ),
    "what arrives is forgotten on the way": Plant(
        "the_upstream",
        lambda x, W1, W2: (np.tanh(x @ W1) @ W2, (x, np.tanh(x @ W1), W2)),
        lambda dy, c: {"W1": c[0].T @ (1 - c[1] ** 2), "W2": c[1].T @ dy},
        lambda rng: {"W1": rng.standard_normal((4, 3)), "W2": rng.standard_normal((3, 2))},
        lambda rng: {"x": rng.standard_normal((5, 4))},
        "W1",
        "elementwise-factor",
        "on the way back what arrives from above is forgotten",
    ),
    "upstream forgotten": Plant(
        "the_upstream",
        kl_to_standard_normal,
        lambda d, c: (c[0], 0.5 * (c[1] - 1)),
        q,
        nothing,
        "mu logvar",
        "elementwise-factor",
        "dy, the upstream gradient, is forgotten",
    ),
    "the gradient of the mean, whatever dy": Plant(
        "the_upstream",
        kl_to_standard_normal,
        lambda d, c: (c[0] / 6, 0.5 * (c[1] - 1) / 6),
        q,
        nothing,
        "mu logvar",
        "elementwise-factor",
        "a mean over 6",
    ),
    "the mask of dy": Plant(
        "an_array",
        *activated(lambda a: a, lambda a, y: 1.0)[:1],
        lambda dy, c: (np.maximum(dy, 0) @ c[1].T, c[0].T @ np.maximum(dy, 0), np.maximum(dy, 0).sum(axis=0)),
        layer,
        nothing,
        "x W b",
        "elementwise-factor",
        "dy > 0",
    ),
    "the mask of a gradient inside": Plant(
        "the_upstream",
        two_layers()[0],
        lambda dy, c: {
            "W1": c[0].T @ np.maximum(dy @ c[3].T, 0),
            "b1": np.maximum(dy @ c[3].T, 0).sum(axis=0),
            "x": np.maximum(dy @ c[3].T, 0) @ c[2].T,
            "W2": c[1].T @ dy,
            "b2": dy.sum(axis=0),
        },
        network,
        nothing,
        "x W1 b1",
        "elementwise-factor",
        "the sign of dy decides what passes",
    ),
    "dy forgotten in one of two terms": Plant(
        "a_term_without_dy",
        lambda x: (x * x + np.sin(x), x),
        lambda dy, x: dy * 2 * x + np.cos(x),
        x,
        nothing,
        "x",
        "elementwise-factor",
        "one term is the same whatever dy is",
    ),
    "a weight decay of its own": Plant(
        "an_offset",
        *but(1, lambda dy, x, W: x.T @ dy + 0.01 * W),
        layer,
        nothing,
        "W",
        "missing-term",
        "0.01 * W that is added whatever dy is",
    ),
    "clipped": Plant(
        "the_upstream",
        *but(1, lambda dy, x, W: np.clip(x.T @ dy, -0.5, 0.5)),
        layer,
        nothing,
        "W",
        "unknown",
        "not proportional to dy",
    ),
    "a wrong array where dy enters": Plant(
        "some_array",
        *activated(np.sin, lambda a, y: np.cos(1.1 * a)),
        layer,
        nothing,
        "x W b",
        "elementwise-factor",
        "dy is multiplied by a wrong array where it enters",
    ),
    "an array that nobody knows": Plant(
        "the_slope",
        tanh,
        lambda dy, y: dy * (1 - y * y) * np.linspace(1, 2, 20).reshape(5, 4),
        x,
        nothing,
        "x",
        "elementwise-factor",
        "what multiplies dy is not the slope",
    ),
}


def windows(x):
    """Every entry and its neighbour to the right, (B, D - 1, 2)."""
    return np.stack([x[:, :-1], x[:, 1:]], axis=2), x.shape


def overwritten(dy, shape):
    """dx of windows, with = where += belongs: each window wipes out half of the one before."""
    dx = np.zeros(shape)
    for d in range(shape[1] - 1):
        dx[:, d : d + 2] = dy[:, d]
    return dx


LAYOUT = {
    "a return inside the loop": Plant(
        "some_rows",
        lambda x, W: (np.tanh(x @ W), (x, W, np.tanh(x @ W))),
        first_row_only,
        lambda rng: {"x": rng.standard_normal((5, 4)), "W": rng.standard_normal((4, 3))},
        nothing,
        "x W",
        "batch-sum",
        "only the first row of the 5",
    ),
    "a matrix for its transpose, behind a slope": Plant(
        "untransposed", *behind_a_matrix(lambda da, W: da @ W), square_matrix, nothing, "x", "transpose", "through W"
    ),
    "scores for their transpose": Plant(
        "turned_inside", *attention(True), queries, nothing, "k", "transpose", "what multiplies q is the transpose"
    ),
    "a table whose rows are used twice": Plant(
        "repeated_rows",
        lambda E, ids: (E[ids], (ids, E.shape)),
        lambda dy, c: {"E": rows_of_a_table(np.zeros(c[1]), c[0], dy)},
        lambda rng: {"E": rng.standard_normal((5, 3))},
        lambda rng: {"ids": np.array([1, 3, 1, 0, 1])},
        "E",
        "batch-sum",
        "only the rows are wrong whose number occurs more than once in ids",
    ),
    "no gradient at all": Plant(
        "nothing_there",
        dense,
        lambda dy, c: (dy @ c[1].T, c[0].T @ dy),
        layer,
        nothing,
        "b",
        "zero",
        "no gradient for b",
    ),
    "zeros": Plant(
        "nothing_there", *but(2, lambda dy, x, W: 0 * dy[0]), layer, nothing, "b", "zero", "zero everywhere"
    ),
    "bias not summed": Plant(
        "another_shape",
        *but(2, lambda dy, x, W: dy),
        layer,
        nothing,
        "b",
        "batch-sum",
        "sum over the axes that b",
    ),
    "summed to nothing": Plant(
        "another_shape", *but(2, lambda dy, x, W: dy.sum()), layer, nothing, "b", "shape", "an axis too many"
    ),
    "keepdims": Plant(
        "another_shape",
        *but(2, lambda dy, x, W: dy.sum(axis=0, keepdims=True)),
        layer,
        nothing,
        "b",
        "shape",
        "broadcast silently",
    ),
    "dW transposed": Plant(
        "another_shape", *but(1, lambda dy, x, W: dy.T @ x), layer, nothing, "W", "transpose", "(3, 4)"
    ),
    "gradients in another order": Plant(
        "another_order",
        lambda a, b: (np.sin(a) * np.cos(b), (a, b)),
        lambda dy, c: (-dy * np.sin(c[0]) * np.sin(c[1]), dy * np.cos(c[0]) * np.cos(c[1])),
        lambda rng: {"a": rng.standard_normal((5, 4)), "b": rng.standard_normal((5, 4))},
        nothing,
        "a b",
        "transpose",
        "in the order of the inputs",
    ),
    "dW transposed, square": Plant(
        "transposed",
        lambda x, W, V: (np.tanh(x @ W) @ V, (x, W, V)),
        lambda dy, c: {"W": (c[0].T @ (dy @ c[2].T * (1 - np.tanh(c[0] @ c[1]) ** 2))).T},
        lambda rng: {"W": rng.standard_normal((4, 4))},
        lambda rng: {"x": rng.standard_normal((5, 4)), "V": rng.standard_normal((4, 3))},
        "W",
        "transpose",
        "square",
    ),
    "W for W^T, square": Plant(
        "another_product", *but(0, lambda dy, x, W: dy @ W), square, nothing, "x", "transpose", "dx = dy @ W^T"
    ),
    "a running sum the wrong way": Plant(
        "jacobian_for_its_transpose",
        lambda x: (np.cumsum(np.cumsum(x, axis=1), axis=0) + x, None),
        lambda dy, _: np.cumsum(np.cumsum(dy, axis=1), axis=0) + dy,
        x,
        nothing,
        "x",
        "transpose",
        "Jacobian",
    ),
    "softmax entry by entry": Plant(
        "diagonal_only", softmax, lambda dy, p: dy * p * (1 - p), x, nothing, "x", "missing-term", "own entry"
    ),
    "dnll along the columns": Plant(
        "wrong_axis",
        Bernoulli().nll,
        lambda d, c: d * (c[1] - c[0]),
        logits,
        pixels,
        "logits",
        "shape",
        "dy[:, None]",
    ),
    "last row only": Plant(
        "some_rows", *but(2, lambda dy, x, W: dy[-1]), layer, nothing, "b", "batch-sum", "only the last row of the 5"
    ),
    "last rows lost": Plant(
        "some_rows", *two_layers(rows=slice(3)), network, nothing, "W1 b1", "batch-sum", "rows 0, 1, 2"
    ),
    "a reshape without its transpose": Plant(
        "shuffled",
        lambda x, W: ((x @ W).T.copy(), (x, W)),
        lambda dy, c: (dy.reshape(5, 3) @ c[1].T, c[0].T @ dy.reshape(5, 3)),
        lambda rng: {"x": rng.standard_normal((5, 4)), "W": rng.standard_normal((4, 3))},
        nothing,
        "x W",
        "transpose",
        "in another order",
    ),
}
TERMS = {
    "a norm kept fixed, of a batch of sequences": Plant(
        "a_sum",
        lambda x: (x / np.sqrt((x * x).mean(axis=-1, keepdims=True)), x),
        lambda dy, x: dy / np.sqrt((x * x).mean(axis=-1, keepdims=True)),
        lambda rng: {"x": rng.standard_normal((2, 3, 4))},
        nothing,
        "x",
        "missing-term",
        "a term with a sum over the entries of its row is wrong or missing",
    ),
    "the sum in the softmax of an attention": Plant(
        "a_sum_inside", *attention(summed=False), queries, nothing, "q k", "missing-term", "the sum over each row"
    ),
    "the weights of the rows averaged": Plant(
        "averaged_upstream",
        lambda W, x: (((x @ W) ** 2).sum(axis=1), (x, W)),
        lambda d, c: {"W": 2 * d.mean() * c[0].T @ c[0] @ c[1]},
        lambda rng: {"W": rng.standard_normal((4, 3))},
        x,
        "W",
        "batch-sum",
        "every row counts alike",
    ),
    "a mean over the wrong axis": Plant(
        "coupled_rows",
        lambda x: (x - x.mean(axis=1, keepdims=True), None),
        lambda dy, c: dy - dy.mean(axis=0),
        lambda rng: {"x": rng.standard_normal((5, 5))},
        nothing,
        "x",
        "shape",
        "does a sum belong over the columns?",
    ),
    "the gradient of the other bias": Plant(
        "another_order",
        lambda b, c: (b * b + c**3, (b, c)),
        lambda dy, k: {"b": 2 * dy * k[0], "c": 2 * dy * k[0]},
        lambda rng: {"b": rng.standard_normal(5), "c": rng.standard_normal(5)},
        nothing,
        "c",
        "transpose",
        "dc is the gradient of b",
    ),
    "ratings that nobody gave": Plant(
        "a_word_inside",
        *factorisation(lambda error, seen: error),
        factors,
        ratings,
        "Q",
        "elementwise-factor",
        "is wrong where (1 - seen) is 1: a mask or a weight of error",
    ),
    "ratings whose weight is forgotten": Plant(
        "a_word_inside",
        *factorisation(lambda error, seen: error, decay=0.0),
        factors,
        lambda rng: ratings(rng) | {"seen": rng.random((5, 4))},
        "Q",
        "elementwise-factor",
        "seen is missing in what is multiplied by P",
    ),
    "one of two terms transposed": Plant(
        "part_transposed",
        lambda W, x: (np.sum(np.sin(x @ W) @ W.T, axis=1), (x, W)),
        lambda d, c: {
            "W": c[0].T @ (d[:, None] * c[1].sum(axis=0) * np.cos(c[0] @ c[1]))
            + np.sin(c[0] @ c[1]).T @ (d[:, None] * np.ones(4))
        },
        lambda rng: {"W": rng.standard_normal((4, 4))},
        x,
        "W",
        "transpose",
        "is one of several terms transposed",
    ),
    "a sum over the units": Plant(
        "sum_of_the_units",
        lambda x, b: (np.tanh(x + b), np.tanh(x + b)),
        lambda dy, y: {"b": (dy * (1 - y * y)).sum(axis=1)},
        lambda rng: {"b": rng.standard_normal(5)},
        lambda rng: {"x": rng.standard_normal((5, 5))},
        "b",
        "shape",
        "summed along the wrong axis",
    ),
    "the sign of one gate": Plant(
        "a_constant_in_part",
        lambda x, W, b: (gates(x @ W + b), (x, W, b)),
        lambda dy, c: gates_backward(dy, *c),
        lambda rng: {"W": rng.standard_normal((4, 6)), "b": rng.standard_normal(6)},
        x,
        "W b",
        "sign",
        "in columns 3 to 5 alone",
    ),
    "a gate that takes the state of another step": Plant(
        "an_array_in_part",
        lambda a, c, k: (k * sigmoid(a[:, :3])[0] + c * sigmoid(a[:, 3:])[0], {"a": a, "c": c, "k": k}),
        lambda dy, m: {"a": np.concatenate([dy * m["k"], dy * m["k"]], axis=1) * sigmoid_slope(m["a"])},
        lambda rng: {"a": rng.standard_normal((5, 6))},
        lambda rng: {"c": rng.standard_normal((5, 3)), "k": rng.standard_normal((5, 3))},
        "a",
        "elementwise-factor",
        "k stands in place of c",
    ),
    "the other half": Plant(
        "the_other_half",
        lambda x, a: (np.where(x > 0, x, a * x), x),
        lambda dy, x: {"a": (dy * x * (x > 0)).sum(axis=0)},
        lambda rng: {"a": rng.uniform(0.1, 0.5, 4)},
        lambda rng: {"x": rng.standard_normal((6, 4))},
        "a",
        "elementwise-factor",
        "the mask is inverted",
    ),
    "texels for a share of the width": Plant(
        "a_constant_a_column",
        lambda uv, size: (np.sin(uv * size), (uv, size)),
        lambda dy, c: dy * np.cos(c[0] * c[1]),
        lambda rng: {"uv": rng.random((5, 2))},
        lambda rng: {"size": (7.0, 4.0)},
        "uv",
        "elementwise-factor",
        "each column has a factor of its own, 7 and 4",
    ),
    "one branch of two": Plant(
        "a_constant_in_places",
        lambda r, delta: (np.where(np.abs(r) < delta, r * r / 2, delta * np.abs(r)).sum(axis=1), (r, delta)),
        lambda d, c: d[:, None] * np.where(np.abs(c[0]) < c[1], c[0], np.sign(c[0])),
        lambda rng: {"r": 2 * rng.standard_normal((5, 4))},
        lambda rng: {"delta": 1.3},
        "r",
        "elementwise-factor",
        "delta or cache[1] is 1.3 here: is it that?",
    ),
    "rows that a mask hides": Plant(
        "some_paths",
        lambda s: ((s * s).sum(), s),
        lambda d, s: 2 * d * s * (s.sum(axis=1, keepdims=True) > 0),
        lambda rng: {"s": rng.standard_normal((8, 3))},
        nothing,
        "s",
        "elementwise-factor",
        "some rows get nothing",
    ),
    "a number that was handed in": Plant(
        "a_constant",
        lambda x, h: (np.sin(x / h), (x, h)),
        lambda dy, c: dy * np.cos(c[0] / c[1]),
        x,
        lambda rng: {"h": 0.4},
        "x",
        "factor",
        "0.4 is h",
    ),
    "scores without their root": Plant(
        "a_constant",
        lambda q, k: (q @ k.T / np.sqrt(q.shape[1]), (q, k)),
        lambda dy, c: {"q": dy @ c[1], "k": dy.T @ c[0]},
        lambda rng: {"q": rng.standard_normal((5, 3)), "k": rng.standard_normal((6, 3))},
        nothing,
        "q k",
        "factor",
        "sqrt(3) times what they should be: q has 3 columns",
    ),
    "the mean of an array": Plant(
        "a_term",
        lambda s, a: ((a * (np.sin(s) - s.sum())).mean(), (s, a)),
        lambda d, c: {"s": d * c[1] * np.cos(c[0]) / len(c[0])},
        lambda rng: {"s": rng.standard_normal(6)},
        lambda rng: {"a": rng.uniform(0, 1, 6)},
        "s",
        "missing-term",
        "add -(the mean of a) * dy",
    ),
    "one of two heads": Plant(
        "a_path_above", *two_heads(forgotten=True), heads, x, "W b", "missing-term", "what comes back through S"
    ),
    "a matrix used twice": Plant(
        "one_use_of_two", *tied(0), encoder, nothing, "W", "missing-term", "W is used twice in the forward"
    ),
    "a term": Plant(
        "a_term",
        curve(lambda x: x * x + 3 * x),
        lambda dy, x: 2 * dy * x,
        x,
        nothing,
        "x",
        "missing-term",
        "add 3 * dy",
    ),
    "a penalty on the biases as well": Plant(
        "a_term_in_part",
        lambda W, x: (((x @ W) ** 2).sum() + (W[1:] ** 2).sum(), (x, W)),
        lambda dy, c: 2 * dy * (c[0].T @ c[0] @ c[1] + c[1]),
        lambda rng: {"W": rng.standard_normal((4, 3))},
        x,
        "W",
        "missing-term",
        "in row 0 alone",
    ),
    "a term of the KL": Plant(
        "a_term",
        kl_to_standard_normal,
        lambda d, c: (d[:, None] * c[0], 0.5 * d[:, None] * c[1]),
        q,
        nothing,
        "logvar",
        "missing-term",
        "-1/2 * dy",
    ),
    "the one-hot of a label": Plant(
        "a_term",
        lambda s, label: (-np.log(softmax(s)[0][np.arange(5), label]), (softmax(s)[0], label)),
        lambda d, c: d[:, None] * c[0],
        lambda rng: {"s": rng.standard_normal((5, 4))},
        lambda rng: {"label": rng.integers(0, 4, 5)},
        "s",
        "missing-term",
        "the one-hot of label",
    ),
    "a path at a fork": Plant(
        "a_term",
        lambda x, g: (x * np.tanh(g) + x, (x, np.tanh(g))),
        lambda dy, c: (dy * c[1], dy * c[0] * (1 - c[1] ** 2)),
        lambda rng: {"x": rng.standard_normal((5, 4)), "g": rng.standard_normal((5, 4))},
        nothing,
        "x",
        "missing-term",
        "add dy",
    ),
    "a term of a hidden layer": Plant(
        "a_term_inside",
        lambda x, W, b: ((0.5 * (np.exp(x @ W + b) - (x @ W + b))).sum(axis=1), (x, np.exp(x @ W + b))),
        lambda d, c: {"W": c[0].T @ (0.5 * d[:, None] * c[1]), "b": (0.5 * d[:, None] * c[1]).sum(axis=0)},
        lambda rng: {"W": rng.standard_normal((4, 3)), "b": rng.standard_normal(3)},
        x,
        "W b",
        "missing-term",
        "in the gradient that arrives there a term is missing",
    ),
    "a path through a matrix": Plant(
        "a_product",
        lambda x, W: (x @ W + x, (x, W)),
        lambda dy, c: (dy.copy(), c[0].T @ dy),
        lambda rng: {"x": rng.standard_normal((5, 4)), "W": rng.standard_normal((4, 4))},
        nothing,
        "x",
        "missing-term",
        "dy @ W^T",
    ),
    "half of the cross-entropy": Plant(
        "two_factors",
        Bernoulli().nll,
        lambda d, c: -d[:, None] * c[0] * (1 - c[1]),
        logits,
        pixels,
        "logits",
        "missing-term",
        "(1 - x)",
    ),
    "softmax without its sum": Plant(
        "a_sum", softmax, lambda dy, p: dy * p, x, nothing, "x", "missing-term", "the sum of dy times y"
    ),
    "batch norm with a fixed spread": Plant(
        "a_sum",
        batch_norm,
        lambda dy, c: (dy - dy.mean(axis=0)) / c[1],
        x,
        nothing,
        "x",
        "missing-term",
        "a sum over the rows of the batch",
    ),
    "a norm that was kept fixed": Plant(
        "a_projection",
        lambda x, v: (x @ (v / np.linalg.norm(v)), (x, v)),
        lambda dy, c: {"v": c[0].T @ dy / np.linalg.norm(c[1])},
        lambda rng: {"v": rng.standard_normal((4, 3))},
        x,
        "v",
        "missing-term",
        "a multiple of v",
    ),
    "a path that is overwritten": Plant(
        "some_paths", windows, overwritten, x, nothing, "x", "missing-term", "some entries of y send nothing"
    ),
    "a sum over rows that nobody sees": Plant(
        "by_rows",
        *squared_error(every=slice(-1, None)),
        network,
        targets,
        "W1 b1 W2 b2",
        "batch-sum",
        "only the last row of the 5",
    ),
    "what a step passes on": Plant(
        "by_rows", *recurrence(), steps, sequence, "W U", "unknown", "that one passes on to the others"
    ),
    "a loss whose maximum is taken": Plant(
        "by_rows", *margins(mask=False), weights, answers, "w", "elementwise-factor", "a mask is missing"
    ),
    "a bonus of its own, in a policy": Plant(
        "by_rows", *policy(), scores, actions, "W b", "missing-term", "a term is missing or wrong, a multiple of p"
    ),
}
PLANTED = {**FACTORS, **LAYOUT, **TERMS}
