"""Slopes as words: of activations that are in play, and of layers that leave nothing behind.

A slope that multiplies dy in the wrong place, or not at all, is the commonest slip of all: so slopes go by their names.
"""

import itertools
from collections.abc import Iterator, Mapping

import numpy as np

from scratchvae.checks.vjp.curves import ACTIVATIONS, with_a_parameter
from scratchvae.checks.vjp.word import Word, same

MOST = 24  # layers that leave nothing behind; of more, the first
DEEP = 2  # of them upon each other
HIDDEN = ("relu", "tanh", "sigmoid", "softplus")


def slopes(arrays: Mapping[str, np.ndarray], weights: Mapping[str, np.ndarray]) -> Iterator[tuple[Word, np.ndarray]]:
    """Wherever one array is the activation of another one: its slope there, and the slopes that it might be given."""
    sites = list(activations_in(arrays))
    for name, what, a, output, y in sites:
        where = f" that gives {output}" if len({site[3] for site in sites}) > 1 else ""
        short = "a" if " " in what else what
        for other, curve in {**ACTIVATIONS, **with_a_parameter(a, y)}.items():
            out = output if other == name else f"{other}({short})"
            formula = curve.formula.format(a=short, y=out)
            if " " in what and short in formula.replace(output, ""):
                formula = f"{formula} with a = {what}"
            yield Word(f"the slope of the {other}{where}", formula, 0.9 if other == name else 1.45), curve.slope(a)
            if other == name:  # why: what was activated is taken for what was not, and the other way round
                text = f"the slope of the {name} taken at its output {output}"
                yield Word(text, curve.formula.format(a=output, y=f"{name}({output})"), 1.45), curve.slope(y)
                if " " in what and name in ("tanh", "sigmoid"):
                    text = curve.formula.format(y="a")
                    yield Word(f"{text} with a = {what}", text, 1.45), 1 - a * a if name == "tanh" else a * (1 - a)
    yield from slopes_of_hidden_layers(arrays, weights, [a for _, _, a, _, _ in sites])


def slopes_of_hidden_layers(
    arrays: Mapping[str, np.ndarray], weights: Mapping[str, np.ndarray], known: list[np.ndarray]
) -> Iterator[tuple[Word, np.ndarray]]:
    """The slopes of layers that leave nothing behind: of x @ W + b, and of another layer on top of it."""
    seen, below = list(known), dict(arrays)
    for _ in range(DEEP):
        above: dict[str, np.ndarray] = {}
        with_bias = ((what, a) for what, a in layers(below, weights) if " + " in what)
        for what, a in itertools.islice(with_bias, MOST):
            if any(a.shape == other.shape and same(a, other) for other in seen):
                continue
            seen.append(a)
            for name in HIDDEN:
                curve = ACTIVATIONS[name]
                above[f"{name}({what})"] = y = curve.curve(a)
                formula = curve.formula.format(a="a", y=f"{name}(a)")
                yield Word(f"the slope of the {name} at {what}", f"{formula} with a = {what}", 1.6), curve.slope(a)
                text = f"the slope of the {name} taken at its output, {name}({what}),"
                formula = curve.formula.format(a="y", y=f"{name}(y)")
                yield Word(text, f"{formula} with y = {name}({what})", 1.65), curve.slope(y)
        below = above


def activations_in(arrays: Mapping[str, np.ndarray]) -> Iterator[tuple[str, str, np.ndarray, str, np.ndarray]]:
    """The activation, what goes in and what comes out, each by name: for every array that is the curve of another."""
    by_shape: dict[tuple[int, ...], list[str]] = {}
    for output, y in arrays.items():
        if y.size > 1:
            by_shape.setdefault(y.shape, []).append(output)
    for what, a in {**arrays, **affine(arrays)}.items():
        outputs = [output for output in by_shape.get(a.shape, ()) if arrays[output] is not a]
        if not outputs:
            continue
        few = a.ravel()[:3]  # why: most arrays are no activation of each other, and three numbers show it
        starts = np.stack([arrays[output].ravel()[:3] for output in outputs])  # (outputs, 3)
        for name, curve in ACTIVATIONS.items():
            near = (np.abs(curve.curve(few) - starts) <= 1e-9 * np.abs(starts)).all(axis=1)
            for y_name in (outputs[i] for i in np.flatnonzero(near)):
                if alike(curve.curve(a), arrays[y_name]) and not same(a, arrays[y_name]):
                    yield name, what, a, y_name, arrays[y_name]
        for y_name in outputs:
            y = arrays[y_name]
            if np.count_nonzero(y < 0) > 1 and (a > 0).any() and alike(y[a > 0], a[a > 0]):  # why: one fits any alpha
                for name, curve in with_a_parameter(a, y).items():
                    if alike(curve.curve(a), y) and not same(a, y):
                        yield name, what, a, y_name, y


def alike(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal to nine digits, since a constant may be rounded."""
    return bool((np.abs(a - b) <= 1e-9 * np.abs(b)).all())


def affine(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """x @ W and x @ W + b of all arrays in play whose shapes fit, in either layout."""
    return dict(layers(arrays, arrays))


def layers(below: Mapping[str, np.ndarray], weights: Mapping[str, np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
    """x @ W, and x @ W + b, for every x of those below that fits a W and a b of the weights, in either layout."""
    below, flat = ({n: a for n, a in some.items() if a.ndim == 2 and 0 < a.size <= 1e5} for some in (below, weights))
    for (x, a), (W, w) in itertools.product(below.items(), flat.items()):
        for left, right, p, q in ((x, W, a, w), (W, x, w, a)):
            if x == W or p.shape[1] != q.shape[0]:
                continue
            product = p @ q
            yield f"{left} @ {right}", product
            biased = (product.shape[1],), (1, product.shape[1]), (len(product), 1)
            for b, bias in weights.items():
                if bias.size and bias.shape in biased:
                    yield f"{left} @ {right} + {b}", product + bias
