"""Slips that act at several places, since a name is used several times, planted: what should be said, and by what."""

import numpy as np
from planted import Plant, nothing


def messages():
    """y = A tanh(A x): a mean over the neighbours, twice."""

    def forward(x, A):
        h = np.tanh(A @ x)
        return A @ h, (A, h)

    def backward(dy, cache):
        A, h = cache
        da = (A @ dy) * (1 - h**2)
        return A @ da

    return forward, backward


def neighbours(rng):
    A = rng.uniform(0, 1, (4, 4))
    return {"A": A / A.sum(axis=1, keepdims=True)}


def steps():
    """Euler's method: z_t+1 = z_t + tanh(z_t W), and z_t is taken from the wrong step on the way back."""

    def forward(x, W):
        path = [x]
        for _ in range(3):
            path.append(path[-1] + np.tanh(path[-1] @ W))
        return path[-1], (path, W)

    def backward(dy, cache):
        path, W = cache
        dW = np.zeros_like(W)
        for t in (3, 2, 1):
            z = path[t]
            da = dy * (1 - np.tanh(z @ W) ** 2)
            dW += z.T @ da
            dy = dy + da @ W.T
        return {"x": dy, "W": dW}

    return forward, backward


def gates():
    """y = f a + (1 - f) c, and its cache is unpacked in another order."""

    def forward(f, a, c):
        f_ = 1 / (1 + np.exp(-f))
        return f_ * a + (1 - f_) * np.tanh(c) * a, (f_, a, c)

    def backward(dy, cache):
        f, c, a = cache
        t = np.tanh(c)
        return dy * (a - t * a) * f * (1 - f), dy * (f + (1 - f) * t), dy * (1 - f) * a * (1 - t**2)

    return forward, backward


def scaled():
    """Normalised by a variance, which is taken for the standard deviation at three places."""

    def forward(x):
        v = x.var(axis=1, keepdims=True)
        return (x - x.mean(axis=1, keepdims=True)) / np.sqrt(v), x

    def backward(dy, x):
        s = x.var(axis=1, keepdims=True)
        xhat = (x - x.mean(axis=1, keepdims=True)) / s
        return (dy - dy.mean(axis=1, keepdims=True) - xhat * (dy * xhat).mean(axis=1, keepdims=True)) / s

    return forward, backward


def decoded():
    """y_t = tanh(x W) U_t: what comes back to the code from every step, and only the last is kept."""

    def forward(x, W, U):
        h = np.tanh(x @ W)
        return np.stack([h @ u for u in U]), (x, W, U, h)

    def backward(dy, cache):
        x, W, U, h = cache
        dh = np.zeros_like(h)
        for d, u in zip(dy, U, strict=True):
            dh = d @ u.T
        da = dh * (1 - h**2)
        return {"x": da @ W.T, "W": x.T @ da, "U": np.stack([h.T @ d for d in dy])}

    return forward, backward


def masked():
    """Two slopes by one mask, which is the other way round."""

    def forward(x):
        mask = x > 0
        return np.where(mask, np.exp(x), np.sin(3 * x)), (x, mask)

    def backward(dy, cache):
        x, mask = cache
        return dy * (mask * np.exp(x) + (~mask) * 3 * np.cos(3 * x))

    def slipped(dy, cache):
        x, mask = cache
        return backward(dy, (x, ~mask))

    return forward, slipped


def grouped():
    """Normalised over the columns of a group; the count of the backward is that of all columns."""

    def forward(x, G):
        a = x.reshape(len(x), G, -1)
        d = a - a.mean(axis=2, keepdims=True)
        s = np.sqrt((d * d).mean(axis=2, keepdims=True) + 0.1)
        return (d / s).reshape(x.shape), (d / s, s, G)

    def backward(dy, cache):
        xhat, s, G = cache
        N, C = dy.shape
        n = C
        d = dy.reshape(N, G, -1)
        dx = (n * d - d.sum(axis=2, keepdims=True) - xhat * (d * xhat).sum(axis=2, keepdims=True)) / (n * s)
        return dx.reshape(N, C)

    return forward, backward


def looked_up():
    """Rows of a table by an index, a row of it at a time; a word that occurs twice in one is added once."""

    def forward(T, w, ids):
        return np.stack([T[row] @ w for row in ids]), (T, w, ids)

    def backward(dy, cache):
        T, w, ids = cache
        dT, dw = np.zeros_like(T), np.zeros_like(w)
        for d, row in zip(dy, ids, strict=True):
            dT[row] += d[:, None] * w
            dw += T[row].T @ d
        return {"T": dT, "w": dw}

    return forward, backward


def focused():
    """y = (1 - p)^2 log p: the weight is taken for a number."""

    def forward(x):
        p = 1 / (1 + np.exp(-x))
        w = (1 - p) ** 2
        return w * np.log(p), (p, w)

    def backward(dy, cache):
        p, w = cache
        return dy * w * (1 - p)

    return forward, backward


def two_levels():
    """A second code is drawn from the first one, and what comes back from it stops there."""

    def forward(h, M, S, W, eps):
        z = np.tanh(h)
        m, s = z @ M, z @ S
        u = m + np.exp(s) * eps
        return z @ W + u**2, (z, W, s, u, eps)

    def backward(dy, cache):
        z, W, s, u, eps = cache
        du = 2 * dy * u
        ds = du * np.exp(s) * eps
        dz = dy @ W.T
        return {"h": dz * (1 - z**2), "M": z.T @ du, "S": z.T @ ds, "W": z.T @ dy}

    return forward, backward


def drawn(**shapes):
    return lambda rng: {name: rng.standard_normal(shape) for name, shape in shapes.items()}


NAMED = {
    "a weight held constant": Plant(
        "detached", *focused(), drawn(x=(3, 4)), nothing, "x", "missing-term", "a path is missing, w, line"
    ),
    "two uses of a code held constant": Plant(
        "detached",
        *two_levels(),
        drawn(h=(4, 3), M=(3, 2), S=(3, 2), W=(3, 2)),
        lambda rng: {"eps": rng.standard_normal((4, 2))},
        "h",
        "missing-term",
        "what z in line",
    ),
    "a matrix for its transpose, twice": Plant(
        "a_name_turned", *messages(), drawn(x=(4, 3)), neighbours, "x", "transpose", "A.T belongs where A stands"
    ),
    "the state of another step": Plant(
        "another_name",
        *steps(),
        drawn(x=(3, 2), W=(2, 2)),
        nothing,
        "x W",
        "elementwise-factor",
        "z should be path[t - 1] there",
    ),
    "a cache in another order": Plant(
        "two_names_exchanged",
        *gates(),
        drawn(f=(3, 4), a=(3, 4), c=(3, 4)),
        nothing,
        "f a c",
        "elementwise-factor",
        "a and c are exchanged",
    ),
    "the variance for its root": Plant(
        "a_formula_of_it",
        *scaled(),
        drawn(x=(3, 5)),
        nothing,
        "x",
        "elementwise-factor",
        "s should be np.sqrt(s) there",
    ),
    "set anew in every round": Plant(
        "added_up",
        *decoded(),
        drawn(x=(3, 2), W=(2, 4), U=(3, 4, 2)),
        nothing,
        "x W",
        "missing-term",
        "dh is set anew each time",
    ),
    "the other mask, twice": Plant(
        "a_mask_turned",
        *masked(),
        drawn(x=(4, 3)),
        nothing,
        "x",
        "elementwise-factor",
        "~mask belongs where mask stands",
    ),
    "the count of all columns": Plant(
        "another_number_there",
        *grouped(),
        drawn(x=(4, 6)),
        lambda rng: {"G": 2},
        "x",
        "elementwise-factor",
        "n should be 3 there; n / G is as much here",
    ),
    "an index with repeats": Plant(
        "repeats_added",
        *looked_up(),
        drawn(T=(5, 2), w=(2,)),
        lambda rng: {"ids": np.array([[0, 0, 3], [4, 1, 2]])},
        "T",
        "batch-sum",
        "+= by an index adds only once",
    ),
}
