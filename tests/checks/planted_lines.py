"""Slips further inside, planted: what a report should say of the line, and which hypothesis is to see it."""

import numpy as np
from planted import Plant, nothing


def residual():
    """y = relu(x @ W1) @ W2 + x @ Ws; backward forgets the way back through Ws."""

    def forward(x, W1, W2, Ws):
        h = np.maximum(x @ W1, 0)
        return np.tanh(h @ W2 + x @ Ws), (x, W1, W2, Ws, h, np.tanh(h @ W2 + x @ Ws))

    def backward(dy, cache):
        x, W1, W2, _, h, y = cache
        du = dy * (1 - y * y)
        da = (du @ W2.T) * (h > 0)
        dx = da @ W1.T
        return dx, x.T @ da, h.T @ du, x.T @ du

    return forward, backward


def with_a_shortcut(rng):
    return {name: rng.standard_normal(shape) for name, shape in SHORTCUT.items()}


SHORTCUT = {"x": (5, 3), "W1": (3, 6), "W2": (6, 4), "Ws": (3, 4)}


def graph(turned=True, slope=lambda h: 1 - h * h, names=("x", "W1", "W2")):
    """y = A tanh(A x W1) W2 with a graph that is not symmetric; backward may take A for A.T once."""

    def forward(x, W1, W2, A):
        h = np.tanh(A @ x @ W1)
        return A @ h @ W2, (x, W1, W2, A, h)

    def backward(dy, cache):
        x, W1, W2, A, h = cache
        dz = A.T @ dy
        dh = A @ (dy @ W2.T) if turned else A.T @ (dy @ W2.T)
        da = dh * slope(h)
        grads = {"x": A.T @ (da @ W1.T), "W1": (A @ x).T @ da, "W2": h.T @ dz}
        return {name: grads[name] for name in names}

    return forward, backward


def nodes(rng):
    return {name: rng.standard_normal(shape) for name, shape in {"x": (5, 3), "W1": (3, 6), "W2": (6, 2)}.items()}


def two_matrices(rng):
    return {name: a for name, a in nodes(rng).items() if name != "x"}


def edges_and_nodes(rng):
    return {**edges(rng), "x": rng.standard_normal((5, 3))}


def edges(rng):
    A = rng.random((5, 5))
    return {"A": A / A.sum(axis=1, keepdims=True)}


def gated():
    """Two experts and a softmax gate; backward takes the gate's softmax entry by entry."""

    def forward(x, Wg, We):
        e = np.exp(x @ Wg - (x @ Wg).max(axis=1, keepdims=True))
        g = e / e.sum(axis=1, keepdims=True)
        out = np.einsum("bi,kio->bko", x, We)
        return np.einsum("bk,bko->bo", g, out), (x, Wg, We, g, out)

    def backward(dy, cache):
        x, Wg, We, g, out = cache
        dg = np.einsum("bo,bko->bk", dy, out)
        ds = g * (1 - g) * dg
        dout = g[:, :, None] * dy[:, None, :]
        dx = ds @ Wg.T + np.einsum("bko,kio->bi", dout, We)
        return dx, x.T @ ds, np.einsum("bi,bko->kio", x, dout)

    return forward, backward


def experts(rng):
    shapes = {"x": (5, 4), "Wg": (4, 3), "We": (3, 4, 2)}
    return {name: rng.standard_normal(shape) for name, shape in shapes.items()}


def normalised():
    """y = ((z - mean) / std) @ W2 with z = x @ W1; backward forgets what the variance brings."""

    def forward(x, W1, W2):
        z = x @ W1
        std = np.sqrt(z.var(axis=0) + 1e-5)
        zn = (z - z.mean(axis=0)) / std
        return np.tanh(zn @ W2), (x, W1, W2, zn, std, np.tanh(zn @ W2))

    def backward(dy, cache):
        x, W1, W2, zn, std, y = cache
        da = dy * (1 - y * y)
        dzn = da @ W2.T
        dz = (dzn - dzn.mean(axis=0)) / std
        return dz @ W1.T, x.T @ dz, zn.T @ da

    return forward, backward


def three_matrices(rng):
    return {name: rng.standard_normal(shape) for name, shape in {"x": (6, 3), "W1": (3, 4), "W2": (4, 2)}.items()}


def twin():
    """The distance of two embeddings with the same weights; backward gives them what one of the two brings."""

    def forward(one, two, W, b):
        e, f = np.tanh(one @ W + b), np.tanh(two @ W + b)
        return ((e - f) ** 2).sum(axis=1), (one, two, W, e, f)

    def backward(dy, cache):
        one, _, W, e, f = cache
        d = 2 * dy[:, None] * (e - f)
        de = d * (1 - e * e)
        df = -d * (1 - f * f)
        return de @ W.T, df @ W.T, one.T @ de, de.sum(axis=0)

    return forward, backward


def pairs(rng):
    shapes = {"one": (5, 4), "two": (5, 4), "W": (4, 3), "b": (3,)}
    return {name: rng.standard_normal(shape) for name, shape in shapes.items()}


def squeezed(bonus=1.0, size=1.0):
    """A gate of the mean over positions, and a bonus for what it lets through."""

    def forward(x, W):
        s = x.mean(axis=2)
        g = 1 / (1 + np.exp(-(s @ W)))
        return (g[:, :, None] * x).sum(axis=(1, 2)) + (g * g).sum(axis=1), (x, W, s, g)

    def backward(dy, cache):
        x, W, s, g = cache
        dg = dy[:, None] * x.sum(axis=2) + bonus * 2 * dy[:, None] * g
        da = dg * g * (1 - g)
        ds = da @ W.T / size
        return np.ones_like(x) * (dy[:, None, None] * g[:, :, None] + ds[:, :, None]), s.T @ da

    return forward, backward


def response():
    """How a cell answers to a dose x: backward takes log(x) for log(x / K)."""

    def forward(x, K, n):
        s = 1 / (1 + (K / x) ** n)
        return s, (x, K, n, s)

    def backward(dy, cache):
        x, K, n, s = cache
        da = dy * s * (1 - s)
        return n * da / x, -(n * da / K).sum(axis=0), (da * np.log(x)).sum(axis=0)

    return forward, backward


def doses(rng):
    return {name: rng.uniform(0.5, 2.0, shape) for name, shape in {"x": (6, 4), "K": (4,), "n": (4,)}.items()}


def springs():
    """The energy of springs between points: backward pulls at one end alone."""

    def forward(points, ends):
        d = points[ends[:, 0]] - points[ends[:, 1]]
        return (np.sqrt((d * d).sum(axis=1)) - 1) ** 2, (points, ends, d)

    def backward(dy, cache):
        points, ends, d = cache
        length = np.sqrt((d * d).sum(axis=1, keepdims=True))
        pull = 2 * dy[:, None] * (length - 1) / length * d
        g = np.zeros_like(points)
        np.add.at(g, ends[:, 0], pull)
        return g

    return forward, backward


def points(rng):
    return {"points": rng.standard_normal((5, 2))}


def ends(rng):
    return {"ends": np.array([[0, 1], [1, 2], [2, 3], [3, 4], [4, 0], [0, 2]])}


def positions(rng):
    return {"x": rng.standard_normal((4, 3, 5)), "W": rng.standard_normal((3, 3))}


def unrolled():
    """A recurrence of a few steps; its backward halves what it hands to the step before."""

    def forward(x, W, U):
        h, states = np.zeros((x.shape[1], W.shape[1])), []
        for t in range(len(x)):
            h = np.tanh(x[t] @ W + h @ U)
            states.append(h)
        return h, (x, W, U, np.stack(states))

    def backward(dy, cache):
        x, W, U, states = cache
        dx, dW, dU, dh = np.zeros_like(x), np.zeros_like(W), np.zeros_like(U), dy
        for t in reversed(range(len(x))):
            da = dh * (1 - states[t] ** 2)
            dx[t] = da @ W.T
            dW += x[t].T @ da
            dU += states[t - 1].T @ da if t else 0
            dh = 0.5 * (da @ U.T)
        return dx, dW, dU

    return forward, backward


def steps_in_time(rng):
    return {name: rng.standard_normal(shape) for name, shape in {"x": (3, 2, 3), "W": (3, 4), "U": (4, 4)}.items()}


LINES = {
    "a shortcut forgotten": Plant(
        "another_value", *residual(), with_a_shortcut, nothing, "x", "missing-term", "what comes from du"
    ),
    "a graph that is not symmetric": Plant(
        "another_value", *graph(), nodes, edges, "x W1", "transpose", "A.T @ (dy @ W2.T)"
    ),
    "a gate without its sum": Plant("a_softmax", *gated(), experts, nothing, "x Wg", "missing-term", "softmax g"),
    "a variance inside": Plant("a_norm", *normalised(), three_matrices, nothing, "x W1", "missing-term", "zn * (zn"),
    "one tower of two": Plant("another_value", *twin(), pairs, nothing, "W b", "missing-term", "what comes from df"),
    "a sign in a bonus": Plant(
        "a_constant_at_a_line", *squeezed(bonus=-1.0, size=5), positions, nothing, "x W", "sign", "is the negative"
    ),
    "a mean on the way": Plant("a_constant_at_a_line", *squeezed(), positions, nothing, "x", "factor", "5 times"),
    "in every step": Plant(
        "a_constant_at_a_line", *unrolled(), steps_in_time, nothing, "x W U", "factor", "(da @ U.T) is half"
    ),
    "a term of a logarithm": Plant(
        "a_fixed_term", *response(), doses, nothing, "n", "missing-term", "wrong there, log(K)"
    ),
    "one end of two": Plant("another_value", *springs(), points, ends, "points", "missing-term", "comes from pull"),
    "no slope, and few equations": Plant(
        "a_word_at_a_line",
        *graph(False, lambda h: 1, ("W1", "W2")),
        two_matrices,
        edges_and_nodes,
        "W1",
        "elementwise-factor",
        "(1 - h^2) is missing",
    ),
}
