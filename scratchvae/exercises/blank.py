"""A blank: what the reader writes, how an answer is judged, what people write instead, and three hints.

An answer is judged at random points, by differences or by an independent route to the same numbers, so that every
correct formulation passes. Special points would hide mistakes: at mu = logvar = 0 half of the slips look right.

Sizes: B batch, Z latents.
"""

import copy
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import numpy as np

from scratchvae.checks import check_vjp
from scratchvae.checks.report import Finding, Report, Row

POINTS = 3  # at which an answer is compared
CLOSE = 1e-7  # of an answer to a value, relative to the largest entry
DICE = "two calls with the same arguments differ: what is random here is handed in, and none is drawn inside"


class Slip(NamedTuple):
    """A wrong answer that people give, and what they are told: a cause, and a question that leads on."""

    answer: Callable[..., Any]
    cause: str
    message: str


class Blank(NamedTuple):
    """One idea, mostly in one to five lines."""

    solution: Callable[..., Any]
    arguments: Callable[[np.random.Generator], tuple[Any, ...]]  # what it is called with, drawn at random
    judge: Callable[[Callable[..., Any], np.random.Generator], Report]
    hints: tuple[str, str, str]  # a question, the formula, nearly the code
    slips: tuple[Slip, ...]


def gradient(
    solution: Callable[..., Any],
    forward: Callable[..., tuple[Any, tuple[Any, ...]]],
    draw: Callable[[np.random.Generator], tuple[dict[str, Any], dict[str, Any]]],
    hints: tuple[str, str, str],
    slips: tuple[Slip, ...] = (),
) -> Blank:
    """A backward, judged by differences of its forward.

    draw(rng) -> inputs, constants;  forward(**inputs, **constants) -> y, rest;  the answer is called as
    answer(dy, *rest) and returns the gradient of sum(dy * y) with respect to the inputs, in their order.
    """

    def arguments(rng: np.random.Generator) -> tuple[Any, ...]:
        inputs, constants = draw(rng)
        y, rest = forward(**inputs, **constants)
        return (rng.standard_normal(np.shape(y)), *rest)

    def judge(answer: Callable[..., Any], rng: np.random.Generator) -> Report:
        inputs, constants = draw(rng)

        def backward(dy: Any, rest: tuple[Any, ...]) -> Any:
            grads = answer(dy, *rest)
            return tuple(grads) if len(inputs) > 1 and len(in_order(grads, len(inputs))) > 1 else grads

        return check_vjp(forward, backward, inputs, constants=constants, rng=rng)

    return Blank(solution, arguments, judge, hints, slips)


def value(
    solution: Callable[..., Any],
    right: Callable[..., Mapping[str, Any]],
    draw: Callable[[np.random.Generator], tuple[Any, ...]],
    hints: tuple[str, str, str],
    slips: tuple[Slip, ...] = (),
    close: float = CLOSE,
) -> Blank:
    """A value, or several, judged by another route to the same numbers: right(*arguments) -> name: number or array.

    close is what an answer may be off by, relative to the largest entry: more where two conventions are both right.
    """

    def judge(answer: Callable[..., Any], rng: np.random.Generator) -> Report:
        report = Report("")
        points = [draw(rng) for _ in range(POINTS)]
        expected = [right(*point) for point in points]
        n = len(expected[0])
        got = [in_order(answer(*copy.deepcopy(point)), n) for point in points]
        if any(len(values) != n for values in got):
            text = (
                f"{n} value{'s' * (n > 1)} should be returned, {' and '.join(expected[0])}, and there are {len(got[0])}"
            )
            return of_the_values(text)
        for i, name in enumerate(expected[0]):
            pairs = [(e[name], g[i]) for e, g in zip(expected, got, strict=True)]
            compare(report, name, pairs, close)
        if not report.ok and differ(got[0], in_order(answer(*copy.deepcopy(points[0])), n)):
            return of_the_values(DICE, "noise-redrawn")
        return report

    return Blank(solution, draw, judge, hints, slips)


def named(
    solution: Callable[..., Any],
    right: Callable[..., Mapping[str, Any]],
    draw: Callable[[np.random.Generator], tuple[Any, ...]],
    hints: tuple[str, str, str],
    slips: tuple[Slip, ...] = (),
    first: str = "",
) -> Blank:
    """Values by name, a dict, judged as `value` judges, but for noise of one's own.

    With first an array of that name comes before the dict.
    """

    def judge(answer: Callable[..., Any], rng: np.random.Generator) -> Report:
        report = Report("")
        points = [draw(rng) for _ in range(POINTS)]
        expected = [right(*map(copy.deepcopy, point)) for point in points]
        got = [by_name(answer(*map(copy.deepcopy, point)), first) for point in points]
        wanted = expected[0].keys()
        if (text := of_the_names(got[0], wanted, first)) is not None:
            return of_the_values(text)
        for name in wanted:
            compare(report, name, [(e[name], g.get(name)) for e, g in zip(expected, got, strict=True)], CLOSE)
        return report

    return Blank(solution, draw, judge, hints, slips)


def differ(first: Any, second: Any) -> bool:
    """Two calls with the same arguments returned as many numbers, and not the same ones, but for rounding."""
    one, other = numbers_in(first), numbers_in(second)
    return one.shape == other.shape and not np.allclose(one, other, rtol=1e-9, atol=1e-12, equal_nan=True)


def numbers_in(values: Any) -> np.ndarray:
    """All that a function has returned, in a row; nothing of what float64 does not take."""
    if isinstance(values, Mapping):
        values = list(values.values())
    if isinstance(values, tuple | list):
        return np.concatenate([np.zeros(0), *map(numbers_in, values)])
    try:
        return np.asarray(values, dtype=np.float64).ravel()
    except (TypeError, ValueError):
        return np.zeros(0)


def of_the_values(text: str, cause: str = "shape") -> Report:
    """What is told of all that was returned, before any number is looked at."""
    report = Report("")
    report.rows, report.findings = [Row("values", (), np.nan, "wrong")], [Finding(("values",), cause, text)]
    return report


def by_name(values: Any, first: str) -> Any:
    """A dict, or an array and a dict in one; an empty one for a dict that lacks its array; anything else as it is."""
    if first and isinstance(values, tuple | list) and len(values) == 2 and isinstance(values[1], Mapping):
        return {first: values[0], **values[1]}
    return {} if first and isinstance(values, Mapping) else values


def of_the_names(got: Any, wanted: Collection[str], first: str) -> str | None:
    """What can be said of a dict before its values are looked at."""
    if not isinstance(got, Mapping) or (first and not got):
        return f"{first}, and a dict of gradients should be returned" if first else "a dict should be returned"
    missing = [name for name in wanted if name not in got]
    strange = [str(name) for name in got if name not in wanted]
    if missing or strange:
        parts = [f"{word} {', '.join(names)}" for word, names in (("lacks", missing), ("has also", strange)) if names]
        return f"the dict {' and '.join(parts)}"
    return None


def in_order(values: Any, n: int) -> list[Any]:
    """n values: a tuple of them, and where there are several also a list, or one array of all."""
    several = isinstance(values, tuple) or (n > 1 and isinstance(values, list | np.ndarray) and len(values) == n)
    return list(values) if several else [values]


def compare(report: Report, name: str, pairs: list[tuple[Any, Any]], tolerance: float) -> None:
    """A row, and a finding if an answer is another number, or has another shape, than at one of the points."""
    shape = np.shape(pairs[0][0])
    if (finding := of_the_shape(name, shape, [got for _, got in pairs])) is None:
        expected, got = (np.stack([np.asarray(one, float) for one in side]) for side in zip(*pairs, strict=True))
        off = np.abs(got - expected)  # (POINTS, ...)
        error = float(off.max() / np.abs(expected).max())
        if error <= tolerance:
            report.rows.append(Row(name, shape, error, "ok"))
            return
        finding = of_the_numbers(name, expected, got)
    report.rows.append(Row(name, shape, np.nan, "wrong"))
    report.findings.append(finding)


def of_the_shape(name: str, shape: tuple[int, ...], got: list[Any]) -> Finding | None:
    """What can be said of an answer before its numbers are looked at."""
    for one in got:
        if one is None:
            return Finding((name,), "zero", f"{name} is None")
        try:
            array = np.asarray(one, dtype=np.float64)
        except (TypeError, ValueError):
            return Finding((name,), "shape", f"{name} should be numbers, and is {type(one).__name__}")
        if array.shape != shape:
            return Finding((name,), "shape", f"{name} has the shape {array.shape}, where {shape} belongs")
        if not np.isfinite(array).all():
            return Finding((name,), "non-finite", f"{name} is not finite")
    return None


def of_the_numbers(name: str, expected: np.ndarray, got: np.ndarray) -> Finding:
    """One number times what it should be in every entry, or else other numbers; where it is worst."""
    worst = np.unravel_index(np.abs(got - expected).argmax(), expected.shape)
    c = float((got * expected).sum() / (expected * expected).sum())
    if np.abs(got - c * expected).max() > CLOSE * np.abs(expected).max():
        cause, message = "unknown", f"{name} has other numbers than it should have"
    elif np.isclose(c, -1):
        cause, message = "sign", f"{name} has the wrong sign"
    elif abs(c) < CLOSE:
        cause, message = "zero", f"{name} is zero{' everywhere' if expected[0].ndim else ''}"
    else:
        where = "in every entry" if expected[0].ndim else "each time"
        cause, message = "factor", f"{name} is {c:.4g} times what it should be, {where}"
    place = tuple(int(i) for i in worst[1:])
    return Finding((name,), cause, message, "", None, place, float(expected[worst]), float(got[worst]))
