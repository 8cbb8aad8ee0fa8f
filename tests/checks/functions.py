"""Right functions of many kinds, drawn at random, and slips of one entry: what no verdict may get wrong.

A function is (forward, backward, inputs). Half of them refuse complex numbers, as most people's code would not: then
differences are all there is.
"""

import numpy as np

SLIPS = {
    "a thousandth": lambda g: 1.001 * g,
    "twice": lambda g: 2 * g,
    "sign": lambda g: -g,
    "zero": lambda g: 0 * g,
}
CURVES = {
    "square": (lambda x: x * x, lambda x: 2 * x),
    "tanh": (np.tanh, lambda x: 1 / np.cosh(np.real(x)) ** 2),
    "sin": (np.sin, np.cos),
    "exp": (lambda x: np.exp(-x * x), lambda x: -2 * x * np.exp(-x * x)),
    "relu": (lambda x: np.maximum(x, 0), lambda x: 1.0 * (x > 0)),
    "line": (lambda x: 3 * x, lambda x: 3 + 0 * x),
}


def log_uniform(rng, decades, size):
    return rng.choice([-1.0, 1.0], size) * 10 ** rng.uniform(-decades, decades, size)


def shape_of(rng):
    return tuple(rng.integers(1, 6, 2))


def curve(rng):
    return CURVES[rng.choice(list(CURVES))]


def elementwise(rng):
    f, df = curve(rng)
    return lambda x: (f(x), x), lambda dy, x: dy * df(x), {"x": rng.standard_normal(shape_of(rng))}


def oscillating(rng):
    k = 10 ** rng.uniform(1, 6)
    return lambda x: (np.sin(k * x), x), lambda dy, x: dy * k * np.cos(k * x), {"x": rng.standard_normal(shape_of(rng))}


def weighed(decades):
    """A sum of the entries' curves with weights of very different sizes."""

    def draw(rng):
        f, df = curve(rng)
        shape = shape_of(rng)
        w = log_uniform(rng, decades, shape)
        return (
            lambda x: ((w * f(x)).sum(axis=1), x),
            lambda dy, x: dy[:, None] * w * df(x),
            {"x": rng.standard_normal(shape)},
        )

    return draw


def scaled(decades):
    """Inputs and outputs that are huge or tiny, all of them."""

    def draw(rng):
        f, df = curve(rng)
        a, b = 10.0 ** rng.integers(-decades, decades + 1, 2)
        return (
            lambda x: (b * f(x / a), x),
            lambda dy, x: dy * (b / a) * df(x / a),
            {"x": a * rng.standard_normal(shape_of(rng))},
        )

    return draw


def beside_a_large_one(rng):
    """A small output beside a large one, of the same inputs."""
    (f, df), (g, dg), small = curve(rng), curve(rng), 10.0 ** rng.integers(-12, 0)
    return (
        lambda x: (np.stack([f(x).sum(), small * g(x).sum()]), x),
        lambda dy, x: dy[0] * df(x) + small * dy[1] * dg(x),
        {"x": rng.standard_normal(shape_of(rng))},
    )


def centred(rng):
    """A sum of which the first part cancels, to leave a small one."""
    (g, dg), small = curve(rng), 10.0 ** rng.integers(-10, 1)
    return (
        lambda x: ((x - x.mean()).sum() + small * g(x).sum(), x),
        lambda dy, x: dy * small * dg(x),
        {"x": rng.standard_normal(shape_of(rng))},
    )


def difference(rng):
    """Two large numbers that differ by little."""
    f, df = curve(rng)
    large = 10.0 ** rng.integers(0, 9)
    return (
        lambda x: ((large + f(x)) - large, x),
        lambda dy, x: dy * df(x),
        {"x": rng.standard_normal(shape_of(rng))},
    )


def layers(rng):
    (f, df), (B, X), Z = curve(rng), shape_of(rng), int(rng.integers(1, 4))
    scale = 10.0 ** rng.integers(-6, 7)

    def forward(x, W, b):
        a = x @ W + b
        return f(a), (x, W, a)

    def backward(dy, cache):
        x, W, a = cache
        da = dy * df(a)
        return da @ W.T, x.T @ da, da.sum(axis=0)

    return (
        forward,
        backward,
        {
            "x": scale * rng.standard_normal((B, X)),
            "W": rng.standard_normal((X, Z)) / scale,
            "b": rng.standard_normal(Z),
        },
    )


def cross_entropy(rng):
    """Softmax with logits of any size: most of the probabilities are next to nothing."""
    scale = 10.0 ** rng.uniform(-3, 3)
    logits = scale * rng.standard_normal(shape_of(rng))
    labels = rng.integers(0, logits.shape[1], len(logits))

    def forward(logits):
        shifted = logits - np.real(logits).max(axis=1, keepdims=True)
        log_sum = np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        rows = np.arange(len(labels))
        return (log_sum - shifted)[rows, labels], np.exp(shifted - log_sum)

    def backward(dy, p):
        dlogits = p.copy()
        for row, label in enumerate(labels):
            dlogits[row, label] = -np.delete(p[row], label).sum()
        return dy[:, None] * dlogits

    return forward, backward, {"logits": logits}


def large(rng):
    """More entries than are looked at one by one, of several sizes."""
    f, df = curve(rng)
    w = log_uniform(rng, 2, (20, 20))
    return (
        lambda x: ((w * f(x)).sum(axis=1), x),
        lambda dy, x: dy[:, None] * w * df(x),
        {"x": rng.standard_normal((20, 20))},
    )


def rational(rng):
    """Poles not far away, and inputs of very different sizes."""
    x = log_uniform(rng, 4, shape_of(rng))
    return lambda x: (1 / x, x), lambda dy, x: -dy / (x * x), {"x": x}


KINDS = {
    "elementwise": elementwise,
    "oscillating": oscillating,
    "weighed": weighed(3),
    "weighed wildly": weighed(12),
    "huge and tiny": scaled(8),
    "huge and tiny beyond squares": scaled(100),
    "small beside large": beside_a_large_one,
    "cancelling": centred,
    "difference of large numbers": difference,
    "layers": layers,
    "cross entropy": cross_entropy,
    "large": large,
    "rational": rational,
}


def draw(kind, seed):
    """A right function; in one half of the cases it refuses complex numbers."""
    rng = np.random.default_rng(seed)
    forward, backward, inputs = KINDS[kind](rng)
    if rng.random() < 0.5:
        return forward, backward, inputs

    def real(**inputs):
        return forward(**{name: np.array(list(map(float, a.flat))).reshape(a.shape) for name, a in inputs.items()})

    return real, backward, inputs


def spoiled(forward, backward, inputs, slip, rng):
    """The same backward with one entry changed, anywhere: (backward, input). None if no entry has a slope."""
    with np.errstate(all="ignore"):
        y, cache = forward(**{name: a.copy() for name, a in inputs.items()})
        grads = in_order(backward(rng.standard_normal(np.shape(y)), cache), inputs)
    places = [(name, place) for name, g in grads.items() for place in np.ndindex(g.shape) if abs(g[place]) > 1e-300]
    if not places:
        return None
    name, place = places[rng.integers(len(places))]

    def wrong(dy, cache):
        grads = {key: np.array(g) for key, g in in_order(backward(dy, cache), inputs).items()}
        grads[name][place] = SLIPS[slip](grads[name][place])
        return grads

    return wrong, name


def in_order(grads, inputs):
    return dict(zip(inputs, grads if isinstance(grads, tuple) else (grads,), strict=True))
