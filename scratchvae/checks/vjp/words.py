"""The words of an explanation: the arrays in play and their simple functions, and the slopes of usual activations.

A slope that multiplies dy in the wrong place, or not at all, is the commonest slip of all: so slopes go by their names.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from scratchvae.checks.vjp.arrays import named_arrays

MOST = 24  # arrays in play; of more, the first


class Word(NamedTuple):
    """An array by its name, and by the formula that one would write."""

    name: str
    formula: str
    cost: float = 1.0


Vocabulary = dict[Word, np.ndarray]
ONE = Word("1", "1", 0.0)


class Activation(NamedTuple):
    """A curve and its slope; formula in terms of {a}, what goes in, and {y}, what comes out."""

    curve: Callable[[np.ndarray], np.ndarray]
    slope: Callable[[np.ndarray], np.ndarray]
    formula: str


def sigmoid(a: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * a))


def Phi(a: np.ndarray) -> np.ndarray:
    """The distribution function of the standard normal."""
    return 0.5 * (1 + np.vectorize(math.erf, otypes=[float])(a / math.sqrt(2)))


def phi(a: np.ndarray) -> np.ndarray:
    return np.exp(-0.5 * a * a) / math.sqrt(2 * math.pi)


def tanh_of_gelu(a: np.ndarray) -> np.ndarray:
    return np.tanh(math.sqrt(2 / math.pi) * (a + 0.044715 * a**3))


def slope_of_tanh_gelu(a: np.ndarray) -> np.ndarray:
    t = tanh_of_gelu(a)
    return 0.5 * (1 + t) + 0.5 * a * (1 - t * t) * math.sqrt(2 / math.pi) * (1 + 0.134145 * a * a)


ACTIVATIONS: dict[str, Activation] = {
    "relu": Activation(lambda a: np.maximum(a, 0), lambda a: (a > 0) * 1.0, "({a} > 0)"),
    "tanh": Activation(np.tanh, lambda a: 1 - np.tanh(a) ** 2, "(1 - {y}^2)"),
    "sigmoid": Activation(sigmoid, lambda a: sigmoid(a) * (1 - sigmoid(a)), "{y} (1 - {y})"),
    "softplus": Activation(lambda a: np.logaddexp(a, 0), sigmoid, "sigmoid({a})"),
    "silu": Activation(
        lambda a: a * sigmoid(a),
        lambda a: sigmoid(a) * (1 + a * (1 - sigmoid(a))),
        "sigmoid({a}) (1 + {a} (1 - sigmoid({a})))",
    ),
    "gelu": Activation(lambda a: a * Phi(a), lambda a: Phi(a) + a * phi(a), "(Phi({a}) + {a} phi({a}))"),
    "tanh gelu": Activation(
        lambda a: 0.5 * a * (1 + tanh_of_gelu(a)), slope_of_tanh_gelu, "the derivative of the tanh formula at {a}"
    ),
}


def with_a_parameter(a: np.ndarray, y: np.ndarray) -> dict[str, Activation]:
    """Leaky relu and elu, with the alpha that y shows at a; with the usual one where y is neither."""
    below = a < 0
    alphas = {"leaky relu": 0.01, "elu": 1.0}
    if below.any() and y.shape == a.shape and not (y >= 0).all():
        for name, base in (("leaky relu", a[below]), ("elu", np.expm1(a[below]))):
            found = y[below] / base
            if np.ptp(found) <= 1e-9 * np.abs(found).max() and found[0] != 1:
                alphas[name] = float(found[0])
    leaky, elu = alphas["leaky relu"], alphas["elu"]
    return {
        "leaky relu": Activation(
            lambda a: np.where(a > 0, a, leaky * a),
            lambda a: np.where(a > 0, 1.0, leaky),
            f"where({{a}} > 0, 1, {leaky:.4g})",
        ),
        "elu": Activation(
            lambda a: np.where(a > 0, a, elu * np.expm1(np.minimum(a, 0))),
            lambda a: np.where(a > 0, 1.0, elu * np.exp(np.minimum(a, 0))),
            f"where({{a}} > 0, 1, {elu:.4g} exp({{a}}))",
        ),
    }


# ---------------------------------------------------------------------------------------------------------------------
# What is in play


def in_play(inputs: Mapping[str, Any], y: np.ndarray, cache: Any) -> dict[str, np.ndarray]:
    """The arrays that a wrong gradient may have forgotten or used once too often, under plain names.

    With a logvar comes its sigma: students who mix up the two should read the names. The output is called y, unless
    something else is.
    """
    raw = {name: np.asarray(a, float) for name, a in named_arrays(inputs, "inputs").items() if a.dtype.kind in "fbiu"}
    for name in ("logvar", "log_var"):
        if name in raw:
            raw["sigma"], raw["sigma^2"] = np.exp(0.5 * raw[name]), np.exp(raw[name])
    cached = {name: np.asarray(a, float) for name, a in named_arrays(cache).items() if a.dtype.kind in "fbiu"}
    taken = "y" in raw or ("y" in cached and not np.array_equal(cached["y"], y))
    raw["the output" if taken else "y"] = y
    for name, a in cached.items():
        raw.setdefault(name, a)
    return dict(list(without_twins({name: a for name, a in raw.items() if a.size}).items())[:MOST])


def without_twins(arrays: Mapping[Any, np.ndarray]) -> dict[Any, np.ndarray]:
    """Only the first of arrays that are equal, and none that is not finite."""
    kept: dict[Any, np.ndarray] = {}
    alike: dict[tuple[int, ...], list[tuple[float, float, np.ndarray]]] = {}  # by shape: first entry, largest, array
    for name, a in arrays.items():
        if not np.isfinite(a).all():
            continue
        others = alike.setdefault(a.shape, [])
        first, largest = (float(a.flat[0]), float(np.abs(a).max())) if a.size else (0.0, 0.0)
        if not any(abs(first - f) <= 1e-12 * most and same(a, b) for f, most, b in others):
            kept[name] = a
            others.append((first, largest, a))
    return kept


def same(a: np.ndarray, b: np.ndarray) -> bool:
    return not a.size or float(np.abs(a - b).max()) <= 1e-12 * float(np.abs(b).max())


def vocabulary(arrays: Mapping[str, np.ndarray]) -> Vocabulary:
    """The arrays, the slopes, and the simple functions of arrays, the simplest first; each value under one name."""
    found: dict[Word, np.ndarray] = {}
    with np.errstate(all="ignore"):
        for word, a in (
            *slopes(arrays),
            *plain(arrays),
            *one_hots(arrays),
            *softmaxes(arrays),
            *simple_functions(arrays),
        ):
            if word not in found and a.size:
                found[word] = a
        return without_twins(dict(sorted(found.items(), key=lambda item: item[0].cost)))


def plain(arrays: Mapping[str, np.ndarray]) -> Iterator[tuple[Word, np.ndarray]]:
    for name, a in arrays.items():
        yield Word(name, name, 1.55 if "[" in name else 1.0), a  # why: sigmoid(logits) says more than cache[1]


def simple_functions(arrays: Mapping[str, np.ndarray]) -> Iterator[tuple[Word, np.ndarray]]:
    """Masks, squares, roots, exponentials, and the slopes that an activation has in terms of its output."""
    for name, a in arrays.items():
        if np.array_equal(a, a.astype(bool)):
            yield Word(f"(1 - {name})", f"(1 - {name})", 1.5), 1 - a
            continue
        for text, value in (
            (f"mask {name} > 0", (a > 0) * 1.0),
            (f"mask {name} >= 0", (a >= 0) * 1.0),
            (f"(1 - {name}^2)", 1 - a * a),
            (f"{name} (1 - {name})", a * (1 - a)),
            (f"(1 - {name})", 1 - a),
            (f"{name}^2", a * a),
            (f"|{name}|", np.abs(a)),
            (f"sign({name})", np.sign(a)),
            (f"exp({name})", np.exp(np.minimum(a, 50))),
            (f"exp({name} / 2)", np.exp(np.minimum(0.5 * a, 50))),
            (f"sqrt({name})", np.sqrt(a)),
            (f"log({name})", np.log(a)),
            (f"tanh({name})", np.tanh(a)),
            (f"sigmoid({name})", sigmoid(a)),
        ):
            yield Word(text, text.removeprefix("mask ") if "mask" not in text else f"({text[5:]})", 1.5), value
        for text, value in ((f"exp(-{name})", np.exp(np.minimum(-a, 50))), (f"1 / {name}", 1 / a)):
            yield Word(text, text, 1.55), value


def one_hots(arrays: Mapping[str, np.ndarray]) -> Iterator[tuple[Word, np.ndarray]]:
    """Integer labels (B,) beside scores (B, C): 1 at the label."""
    for name, a in arrays.items():
        if a.ndim == 1 and a.size and (a >= 0).all() and (a == np.rint(a)).all():
            for C in {b.shape[1] for b in arrays.values() if b.ndim == 2 and len(b) == len(a)}:
                if a.max() < C:
                    yield Word(f"the one-hot of {name}", f"one_hot({name})", 1.2), np.eye(C)[a.astype(int)]


def softmaxes(arrays: Mapping[str, np.ndarray]) -> Iterator[tuple[Word, np.ndarray]]:
    """Shares along either axis, of an array and of its negative."""
    for name, a in arrays.items():
        for sign, axis in ((1, 1), (1, 0), (-1, 1), (-1, 0)) if a.ndim == 2 and min(a.shape) > 1 else ():
            e = np.exp(sign * a - (sign * a).max(axis=axis, keepdims=True))
            text = f"softmax({'-' if sign < 0 else ''}{name}, axis={axis})"
            yield Word(text, text, 1.5), e / e.sum(axis=axis, keepdims=True)


def slopes(arrays: Mapping[str, np.ndarray]) -> Iterator[tuple[Word, np.ndarray]]:
    """Wherever one array is the activation of another one: its slope there, and the slopes that it might be given."""
    sites = list(activations_in(arrays))
    for name, what, a, output, y in sites:
        where = f" at {output}" if len({site[3] for site in sites}) > 1 else ""
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
    found = {}
    flat = {name: a for name, a in arrays.items() if a.ndim == 2 and a.size <= 1e5}
    for left, p in flat.items():
        for right, q in flat.items():
            if left == right or p.shape[1] != q.shape[0] or min(p.shape + q.shape) == 0:
                continue
            product = p @ q
            found[f"{left} @ {right}"] = product
            for bias, b in arrays.items():
                if b.shape in ((product.shape[1],), (1, product.shape[1]), (len(product), 1)) and b.size > 0:
                    found[f"{left} @ {right} + {bias}"] = product + b
    return found
