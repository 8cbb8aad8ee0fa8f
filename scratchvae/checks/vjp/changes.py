"""Small changes of one operation: another operator, an operand turned round, a name of that line beside an operand.

A line that is wrong is mostly nearly right. Whoever wrote it had the names that are known there, and so have these.
Each hypothesis yields a change, and what computes the value that the operation has with it.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from scratchvae.checks.vjp.operation import Change, Changed, Operation, done
from scratchvae.checks.vjp.scope import grouped, opposite, transposed

FITTING = 60  # matrix products that are tried
LOG = 2.2  # a factor inside a log is a term
ONE_MORE = 1.9  # what a 1 more costs, or less: (1 - y) (1 + y) is a slope
AGAIN = 0.3  # what it costs that a number is there already
NAMES = 20  # that are tried beside an operand; of more those that came last
COUNTERPARTS: dict[Any, tuple[str, str, Any]] = {
    np.add: ("+", "-", np.subtract),
    np.subtract: ("-", "+", np.add),
    np.multiply: ("*", "/", np.divide),
    np.divide: ("/", "*", np.multiply),
    np.maximum: ("the maximum", "the minimum", np.minimum),
    np.minimum: ("the minimum", "the maximum", np.maximum),
}
CURVES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "np.exp": np.exp,
    "np.log": np.log,
    "np.sqrt": np.sqrt,
    "np.square": np.square,
    "np.sin": np.sin,
    "np.cos": np.cos,
    "np.tanh": np.tanh,
    "np.sign": np.sign,
    "np.abs": np.abs,
}


def another_operator(op: Operation) -> Changed:
    """a - b in place of a + b, and the like."""
    if op.ufunc in COUNTERPARTS and len(op.operands) == 2:
        own, sign, other = COUNTERPARTS[op.ufunc]
        cause = "sign" if own in "+-" else "elementwise-factor"
        plain = cause != "sign" and any(text.replace(".", "").isdigit() for text in op.texts)
        if not plain:  # why: that is a constant, and a square
            yield Change(cause, "operator", own, sign, sign, 1.0), lambda: other(*op.operands)
    if op.ufunc in (np.subtract, np.divide) and np.shape(op.operands[0]) == np.shape(op.operands[1]):
        a, b = op.texts
        cause, sign = ("sign", "-") if op.ufunc is np.subtract else ("elementwise-factor", "/")
        yield (
            Change(cause, "swapped", op.text, "", f"{b} {sign} {grouped(a)}", 1.05),
            lambda: op.ufunc(*op.operands[::-1]),
        )


def without_its_sign(op: Operation) -> Changed:
    """a in place of -a."""
    if op.ufunc is np.negative:
        change = Change("sign", "alone", op.text, "the minus", op.texts[0], 0.9)
        yield change, partial(np.array, op.operands[0])


def one_operand_alone(op: Operation) -> Changed:
    """a in place of a + b, or of a * b."""
    if op.ufunc in (np.add, np.subtract, np.multiply, np.divide):
        cause = "missing-term" if op.ufunc in (np.add, np.subtract) else "elementwise-factor"
        for a, alone, b, other in zip(op.operands, op.texts, op.operands[::-1], op.texts[::-1], strict=True):
            if np.ndim(b):
                change = Change(cause, "alone", op.text, other, alone, 1.4)
                yield change, partial(np.broadcast_to, a, op.result.shape)


def another_function(op: Operation) -> Changed:
    """np.cos(a) in place of np.sin(a)."""
    if len(op.operands) == 1 and op.ufunc in CURVES.values():
        positive = bool((np.asarray(op.operands[0]) >= 0).all())
        for name, curve in CURVES.items():
            new = op.texts[0] if curve is np.abs and positive else f"{name}({op.texts[0]})"
            change = Change("elementwise-factor", "instead", op.text, new, new, 1.2)
            yield change, partial(curve, np.asarray(op.operands[0]))


def an_operand_turned(op: Operation) -> Changed:
    """a.T, a + a.T, or a the other way round along an axis, in place of a."""
    for text, a, put, _ in op.parts:
        if a.ndim > 1 and a.shape[-1] == a.shape[-2] > 1:
            turned = a.swapaxes(-1, -2)
            new = transposed(text) if a.ndim == 2 else f"np.swapaxes({text}, -1, -2)"
            yield Change("transpose", "turned", text, "transposed", new, 1.0), partial(put, turned)
            symmetric = Change("transpose", "symmetric", text, "", f"({text} + {new}) / 2", 1.3)
            yield symmetric, partial(put, (a + turned) / 2)
        for axis in range(a.ndim) if op.ufunc is not np.add else ():
            change = Change("transpose", "turned", text, "the other way round", f"np.flip({text}, {axis})", 1.6)
            yield change, partial(put, np.flip(a, axis))


def the_other_mask(op: Operation) -> Changed:
    """1 - a in place of an a that is 0 or 1 everywhere."""
    for i, (a, text) in enumerate(zip(op.operands, op.texts, strict=True)):
        if isinstance(a, np.ndarray) and a.ndim and np.isin(a, (0, 1)).all() and a.any() and not a.all():
            other = ~a if a.dtype == bool else 1 - a
            new = opposite(text) if a.dtype == bool else f"(1 - {grouped(text)})"
            yield Change("elementwise-factor", "mask", text, "", new, 1.0), partial(op.with_operand, i, other)


def another_axis(op: Operation) -> Changed:
    """The same sum along another axis, or along others."""
    if op.axis is None or not op.operands or not isinstance(op.operands[0], np.ndarray) or op.operands[0].ndim < 2:
        return
    n = op.operands[0].ndim
    own = (op.axis,) if isinstance(op.axis, int) else op.axis
    own = tuple(sorted(axis % n for axis in own))
    for axes in itertools.combinations(range(n), len(own)):
        if axes != own:
            axis = axes if isinstance(op.axis, tuple) else axes[0]
            change = Change("shape", "axis", str(op.axis), str(axis), f"axis={axis}", 1.0)
            yield change, partial(op.function, *op.operands, axis=axis)


def another_number(op: Operation) -> Changed:
    """u and -u in place of 1 and -1, as in a clip; a number that was handed in where a plain one stands."""
    plain = [isinstance(a, int | float) and not isinstance(a, bool) for a in op.operands]
    sizes = {abs(a) for a, is_plain in zip(op.operands, plain, strict=True) if is_plain}
    for name, u in op.numbers.items() if len(sizes) == 1 and 0 not in sizes else ():
        new = [math.copysign(u, a) if is_plain else a for a, is_plain in zip(op.operands, plain, strict=True)]
        old = op.texts[plain.index(True)] if sum(plain) == 1 else f"{sizes.copy().pop():g}"
        yield Change("factor", "number", old, name, name, 1.2), partial(op.function, *new)
    if op.ufunc in (np.add, np.subtract, np.multiply, np.divide) and sum(plain) == 1 and len(plain) == 2:
        yield from an_array_for_a_number(op, plain.index(True))


def an_array_for_a_number(op: Operation, place: int) -> Changed:
    """u in place of a plain number, or times or divided by it."""
    n, text = op.operands[place], op.texts[place]
    for name, u in op.names.items():
        if np.ndim(u) and n and spread(u, op.result.shape) is not None:
            new = f"-{name}" if n < 0 else name
            change = Change("elementwise-factor", "number", text, new, new, 1.5)
            yield change, partial(op.with_operand, place, math.copysign(1, n) * u)
            if abs(n) != 1:
                times = Change("elementwise-factor", "beside", text, name, f"{text} * {name}", 1.6)
                yield times, partial(op.with_operand, place, n * u)
                divided = Change("elementwise-factor", "too many", text, name, f"{text} / {name}", 1.6)
                yield divided, partial(done, partial(op.with_operand, place), np.divide, n, u)


def a_clip(op: Operation) -> Changed:
    """a between -u and u in place of a, for a number u that is known by a name."""
    for text, a, put, _ in op.parts:
        for name, u in op.numbers.items():
            if 0 < u < np.abs(a).max() and len(np.unique(a)) > 2:
                new = f"np.clip({text}, -{grouped(name)}, {name})"
                change = Change("elementwise-factor", "instead", text, new, new, 1.3)
                yield change, partial(done, put, np.clip, a, -u, u)


def a_running_sum(op: Operation) -> Changed:
    """np.cumsum from the other end."""
    if op.ufunc is np.cumsum and len(op.operands) and isinstance(op.operands[0], np.ndarray):
        a, text = op.operands[0], op.texts[0]
        for axis in range(a.ndim):
            new = f"np.flip(np.cumsum(np.flip({text}, {axis}), {axis}), {axis})"
            yield Change("transpose", "running sum", text, "", new, 1.0), partial(from_the_end, a, axis)


def from_the_end(a: np.ndarray, axis: int) -> np.ndarray:
    return np.flip(np.cumsum(np.flip(a, axis), axis), axis)


def a_name_beside(op: Operation) -> Changed:
    """a * u, a / u, or a times a slope in terms of u, in place of a."""
    known = {**{name: np.asarray(u) for name, u in op.numbers.items()}, **op.names}
    for text, a, put, shape in op.parts:
        for name, u in known.items():
            if (full := spread(u, shape)) is None or (text == op.text and op.ufunc in (np.multiply, np.divide)):
                continue
            cause = "factor" if name in op.numbers else "elementwise-factor"
            open_ = " or 2" if op.numbers.get(name) == 2 and isinstance(op.numbers[name], int) else ""
            less = 0.4 * (name in op.numbers and not open_)  # why: a setting that is forgotten is a usual slip
            for word, value, cost in factors(name, full, op.text):
                cost += AGAIN * (name in op.numbers and name in op.text)  # why: another length may be the two of them
                cost += LOG * (op.ufunc is np.log) - less
                times = Change(cause, f"beside{open_}", text, word, f"{grouped(text)} * {word}", 1.4 + cost)
                yield times, partial(done, put, np.multiply, a, value)
                if word == text:
                    change = Change("elementwise-factor", "instead", text, "1", "1", 1.5)
                    yield change, partial(put, np.ones(a.shape))
                    continue
                divided = Change(
                    cause, f"too many{open_}", text, word, f"{grouped(text)} / {grouped(word)}", 1.6 + cost
                )
                yield divided, partial(done, put, np.divide, a, value)


def a_term_beside(op: Operation) -> Changed:
    """a + 1, a - 1, a + u, a - u, or a + u w, a - u w, in place of a."""
    for text, a, put, shape in op.parts:
        for sign, does in (("+", np.add), ("-", np.subtract)):
            change = Change("missing-term", "term", text, f"{sign}1", f"({text} {sign} 1)", ONE_MORE)
            yield change, partial(done, put, does, a, 1.0)
        terms = {name: full for name, u in op.names.items() if (full := spread(u, shape)) is not None}
        pairs = itertools.combinations(list(terms.items())[:NAMES], 2)
        products = {f"{p} * {q}": u * v for (p, u), (q, v) in pairs}
        alike = [pair for pair in itertools.combinations(list(terms.items())[:NAMES], 2) if pair[0][1].ndim]
        squares = {f"({p} - {q})**2": (u - v) ** 2 for (p, u), (q, v) in alike if u.shape == v.shape}
        squares |= {f"{name}**2": u * u for name, u in terms.items() if u.ndim}
        for name, full in {**terms, **products, **squares, **matrix_products(op, a.shape)}.items():
            cost = 1.7 + 0.2 * ("[" in name) + 0.3 * name.count("*") + 0.5 * ("@" in name)
            for sign, does in (("+", np.add), ("-", np.subtract)):
                change = Change("missing-term", "term", text, f"{sign}{name}", f"({text} {sign} {name})", cost)
                yield change, partial(done, put, does, a, full)


def matrix_products(op: Operation, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """p @ q of two names, which has this shape: what comes back through a matrix."""
    matrices = {name: a for name, a in op.names.items() if a.ndim > 1}
    pairs = itertools.permutations(list(matrices.items())[-3 * NAMES :], 2)
    fitting = [(p, q) for p, q in pairs if q[1].ndim == 2 and p[1].shape[-1] == len(q[1])]
    fitting = [(p, q) for p, q in fitting if (*p[1].shape[:-1], q[1].shape[1]) == shape]
    return {f"{p} @ {q}": u @ v for (p, u), (q, v) in fitting[:FITTING]}


def another_operand(op: Operation) -> Changed:
    """u, u.T, its square or its like, in place of a; or a itself, squared."""
    for text, a, put, shape in op.parts:
        for name, u in op.names.items():
            if (full := spread(u, shape)) is not None and np.ndim(u) == a.ndim:
                for word, value, cost in factors(name, full, op.text):
                    adds = op.ufunc in (np.add, np.subtract) and text != op.text
                    cause = (
                        "transpose" if same_but_turned(word, text) else "missing-term" if adds else "elementwise-factor"
                    )
                    cost += 1.3 if word == name else 1.5
                    yield Change(cause, "instead", text, word, word, cost), partial(put, value)
        own = grouped(text)
        if a.size > 2 and len(np.unique(a)) < 3:
            continue  # why: of two values every curve is one of any other
        for word, does in ((f"{own}**2", np.square), (f"np.sqrt({text})", np.sqrt), (f"(1 - {own})", one_less)):
            yield Change("elementwise-factor", "instead", text, word, word, 1.5), partial(done, put, does, a)


def same_but_turned(one: str, other: str) -> bool:
    """Are these one array, transposed or the other way round along an axis?"""
    plain = [text.removesuffix(".T").partition("[")[0] for text in (one, other)]
    return plain[0] == plain[1] and ("::-1" in one + other or one.endswith(".T") != other.endswith(".T"))


def one_less(a: np.ndarray) -> np.ndarray:
    return 1 - a


def factors(name: str, u: np.ndarray, text: str) -> Iterator[tuple[str, np.ndarray, float]]:
    """u, and what slopes are in terms of u, with what they cost: less if it is in the text already."""
    far = 0.0 if name.partition("[")[0] in text else 0.2
    yield name, u, far
    if u.ndim or 0 < abs(float(u)) != 1:
        yield f"(1 - {name})", 1 - u, 0.2 + far
        yield f"{name}**2", u * u, 0.2 + far
    if u.ndim:
        yield f"(1 - {name}**2)", 1 - u * u, 0.2 + far
        yield f"{name} * (1 - {name})", u * (1 - u), 0.3 + far
        yield f"({name} > 0)", (u > 0) * 1.0, 0.3 + far


def spread(u: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
    """u as it meets an operand of this shape; None if it does not."""
    if np.ndim(u) == 0:
        return np.asarray(u)
    if np.ndim(u) > len(shape) or any(n not in (1, N) for n, N in zip(u.shape[::-1], shape[::-1], strict=False)):
        return None
    return u


HYPOTHESES = (
    another_operator,
    one_operand_alone,
    another_function,
    an_operand_turned,
    the_other_mask,
    a_running_sum,
    a_name_beside,
    a_term_beside,
    another_operand,
    another_axis,
    another_number,
    a_clip,
    without_its_sign,
)
