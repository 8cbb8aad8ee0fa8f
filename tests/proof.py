"""The instruments of the tests: derivatives by central differences, frozen arrays, integrals on a grid."""

import math

import numpy as np


def freeze(thing):
    """The same arrays, wherever they sit in tuples, lists and dicts, made read-only; returns thing."""
    if isinstance(thing, np.ndarray):
        thing.flags.writeable = False
    elif isinstance(thing, dict):
        freeze(list(thing.values()))
    elif isinstance(thing, tuple | list):
        for item in thing:
            freeze(item)
    return thing


def directional_error(f, x, grad, rng, h=1e-5):
    """|g.u - (f(x + h u) - f(x - h u)) / 2h| for a random direction u, in units of |g| |u| / sqrt(n).

    The derivative along u can be near zero by chance; its typical size, |g| |u| / sqrt(n), is not.
    """
    assert grad.shape == x.shape
    u = rng.standard_normal(x.shape)
    difference = (f(x + h * u) - f(x - h * u)) / (2 * h)
    scale = np.linalg.norm(grad) * np.linalg.norm(u) / math.sqrt(x.size)
    return abs((grad * u).sum() - difference) / scale


def assert_backward_matches(forward, backward, inputs, rng, tolerance=1e-8):
    """dx of sum(dy * y) for a random upstream dy, against central differences, for every input; nothing is written to.

    forward(*inputs) -> y, cache; backward(dy, cache) -> one gradient, or a tuple in the order of the inputs.
    """
    inputs = [freeze(np.array(x)) for x in inputs]
    y, cache = forward(*inputs)
    dy = freeze(rng.standard_normal(y.shape))
    grads, again = backward(dy, freeze(cache)), backward(dy, cache)
    grads, again = (g if isinstance(g, tuple) else (g,) for g in (grads, again))
    for i, (grad, same) in enumerate(zip(grads, again, strict=True)):
        np.testing.assert_array_equal(grad, same)

        def f(x, i=i):
            y, _ = forward(*inputs[:i], x, *inputs[i + 1 :])
            return (dy * y).sum()

        assert directional_error(f, inputs[i], grad, rng) < tolerance


def grid(n_z, half_width, n):
    """Points (n^Z, Z) of a regular grid on [-half_width, half_width]^Z, and the volume of a cell.

    The sum over such a grid of a smooth function that has died out at the edge is its integral to machine precision.
    """
    axis = np.linspace(-half_width, half_width, n)
    points = np.stack([a.ravel() for a in np.meshgrid(*[axis] * n_z, indexing="ij")], axis=1)
    return points, (axis[1] - axis[0]) ** n_z


def log_normal(z, mu=0.0, var=1.0):
    """log N(z; mu, var), summed over the last axis: written here once more, apart from the package."""
    return -0.5 * ((z - mu) ** 2 / var + np.log(2 * np.pi * var)).sum(axis=-1)


def within_standard_errors(draws, mean, n=5.0):
    """|average - mean| <= n standard errors, column by column."""
    error = draws.std(axis=0, ddof=1) / math.sqrt(len(draws))
    return bool((np.abs(draws.mean(axis=0) - mean) <= n * error).all())
