"""The words of an explanation: the arrays in play and their simple functions, and the slopes of usual activations."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from scratchvae.checks.vjp.arrays import named_arrays
from scratchvae.checks.vjp.curves import sigmoid
from scratchvae.checks.vjp.slopes import slopes
from scratchvae.checks.vjp.word import Vocabulary, Word, without_twins

MOST = 24  # arrays in play; of more, the first
CURVED = 1.75  # what a curve costs: a quotient of two arrays is easily the curve of a third
DIFFERENCES = 40  # pairs whose difference may be a word


def in_play(inputs: Mapping[str, Any], y: np.ndarray, cache: Any, names: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """The arrays that a wrong gradient may have forgotten or used once too often, under plain names.

    With a logvar comes its sigma: students who mix up the two should read the names. The output is called y, unless
    something else is. names: those that backward gives to the parts of the cache.
    """
    if isinstance(cache, tuple | list) and len(cache) == len(names):
        own = [f"cache[{i}]" if name == "_" or name in inputs else name for i, name in enumerate(names)]
        cache = dict(zip(own, cache, strict=True))
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


def vocabulary(arrays: Mapping[str, np.ndarray], weights: Mapping[str, np.ndarray]) -> Vocabulary:
    """The arrays, the slopes, and the simple functions of arrays, the simplest first; each value under one name.

    weights: the inputs, whether in play or not.
    """
    found: dict[Word, np.ndarray] = {}
    with np.errstate(all="ignore"):
        for word, a in (
            *slopes(arrays, weights),
            *plain(arrays),
            *one_hots(arrays),
            *indexed(arrays),
            *softmaxes(arrays),
            *differences(arrays),
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
            (f"mask {name} < 0", (a < 0) * 1.0),
            (f"(1 - {name}^2)", 1 - a * a),
            (f"{name} (1 - {name})", a * (1 - a)),
            (f"(1 - {name})", 1 - a),
            (f"{name}^2", a * a),
            *(((f"|{name}|", np.abs(a)), (f"sign({name})", np.sign(a))) if (a < 0).any() and (a > 0).any() else ()),
        ):
            yield Word(text, text.removeprefix("mask ") if "mask" not in text else f"({text[5:]})", 1.5), value
        for text, value in (
            (f"exp({name})", np.exp(np.minimum(a, 50))),
            (f"exp({name} / 2)", np.exp(np.minimum(0.5 * a, 50))),
            (f"sqrt({name})", np.sqrt(a)),
            (f"log({name})", np.log(a)),
            (f"tanh({name})", np.tanh(a)),
            (f"sigmoid({name})", sigmoid(a)),
            (f"exp(-{name})", np.exp(np.minimum(-a, 50))),
            (f"1 / {name}", 1 / a),
        ):
            yield Word(text, text, CURVED), value
        if a.ndim == 2 and min(a.shape) > 1:
            yield (
                Word(f"the norm of each row of {name}", f"np.linalg.norm({name}, axis=1, keepdims=True)", CURVED),
                (np.linalg.norm(a, axis=1, keepdims=True)),
            )
        yield Word(f"(1 + {name})", f"(1 + {name})", 3.2), 1 + a  # why: 1 - y^2 over 1 - y is that, and says less


def one_hots(arrays: Mapping[str, np.ndarray]) -> Iterator[tuple[Word, np.ndarray]]:
    """Integer labels (B,) beside scores (B, C): 1 at the label."""
    for name, a in arrays.items():
        if a.ndim == 1 and a.size and (a >= 0).all() and (a == np.rint(a)).all():
            widths = {b.shape[1] for b in arrays.values() if b.ndim == 2 and len(b) == len(a)}
            for C in sorted(C for C in widths if max(1, a.max()) < C):
                among = f" among {C}" if len(widths) > 1 else ""
                yield Word(f"the one-hot of {name}{among}", f"one_hot({name})", 1.2), np.eye(C)[a.astype(int)]


def indexed(arrays: Mapping[str, np.ndarray]) -> Iterator[tuple[Word, np.ndarray]]:
    """w[t], a weight a class, for whole numbers t (B,); and the identity, beside shares of as many rows as columns."""
    for t, ids in arrays.items():
        whole = ids.ndim == 1 and ids.size > 1 and (ids >= 0).all() and (ids == np.rint(ids)).all()
        for w, a in arrays.items() if whole else ():
            if a.ndim == 1 and a is not ids and len(a) != len(ids) and ids.max() < len(a):
                yield Word(f"{w}[{t}]", f"{w}[{t}]", 1.05), a[ids.astype(int)]
    for a in arrays.values():
        square = a.ndim == 2 and 2 < a.shape[0] == a.shape[1] and (a >= 0).all()
        if square and any(np.abs(a.sum(axis=axis) - 1).max() < 1e-9 for axis in (0, 1)):
            yield Word("the identity", "np.eye(n)", 1.3), np.eye(len(a))
            return


def softmaxes(arrays: Mapping[str, np.ndarray]) -> Iterator[tuple[Word, np.ndarray]]:
    """Shares along either axis, of an array and of its negative."""
    for name, a in arrays.items():
        for sign, axis in ((1, 1), (1, 0), (-1, 1), (-1, 0)) if a.ndim == 2 and min(a.shape) > 1 else ():
            e = np.exp(sign * a - (sign * a).max(axis=axis, keepdims=True))
            text = f"softmax({'-' if sign < 0 else ''}{name}, axis={axis})"
            yield Word(text, text, 1.5), e / e.sum(axis=axis, keepdims=True)


def differences(arrays: Mapping[str, np.ndarray]) -> Iterator[tuple[Word, np.ndarray]]:
    """One array less another one, as a residual, and its sign."""
    known = {**arrays, **{word.name: a for word, a in (*one_hots(arrays), *indexed(arrays))}}
    alike = [(p, q) for p, q in itertools.combinations(known, 2) if known[p].shape == known[q].shape]
    for p, q in [pair for pair in alike if known[pair[0]].ndim and known[pair[0]].size > 1][:DIFFERENCES]:
        yield Word(f"({p} - {q})", f"({p} - {q})", 1.7), known[p] - known[q]
        if not any(np.array_equal(known[name], known[name].astype(bool)) for name in (p, q)):  # a mask has no side
            yield Word(f"sign({p} - {q})", f"sign({p} - {q})", 1.7), np.sign(known[p] - known[q])
