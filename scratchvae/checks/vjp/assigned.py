"""A name that stands for something else in a backward: with which of a few other values are all gradients right?

A slip often acts at several places, since a name is used several times: a matrix that is to be transposed each time, a
state of the wrong step, a count that is too large. So a name is given another value where it is set.
"""

import types
from collections.abc import Callable, Container, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from scratchvae.checks.vjp.case import Claim
from scratchvae.checks.vjp.changes import CURVES
from scratchvae.checks.vjp.followed import Point
from scratchvae.checks.vjp.operation import Change
from scratchvae.checks.vjp.trials import all_right
from scratchvae.checks.vjp.watched import Here, Setting, Watch, gradients, of_the_forward, with_it

TRIALS = 600

# ---------------------------------------------------------------------------------------------------------------------
# What a name may stand for


Others = Iterator[tuple[Change, Callable[[], Mapping[str, Any]]]]
Hypotheses = Mapping[str, Callable[[Here], Others]]
FORMULAS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "-{0}": lambda a: -a,
    **{f"{name}({{0}})": does for name, does in CURVES.items() if name not in ("np.sin", "np.cos", "np.sign")},
    "1 / {0}": lambda a: 1 / a,
    "1 - {0}": lambda a: 1 - a,
    "{0} / 2": lambda a: a / 2,
    "2 * {0}": lambda a: 2 * a,
}


def a_name_turned(here: Here) -> Others:
    """Its transpose, or the other way round along one axis, or along two."""
    name, a = here.setting.name, here.value
    if not is_array(a):
        return
    found: list[tuple[str, np.ndarray, float]] = [
        (f"np.flip({name}, {axis})", np.flip(a, axis), 1.7) for axis in range(a.ndim)
    ]
    if a.ndim > 1 and a.shape[-1] == a.shape[-2]:
        found.append((f"{name}.T" if a.ndim == 2 else f"np.swapaxes({name}, -1, -2)", a.swapaxes(-1, -2), 1.3))
    if a.ndim > 2:
        found.append((f"{name}[..., ::-1, ::-1]", a[..., ::-1, ::-1], 1.3))
        found.append((f"{name}[::-1, ::-1]", a[::-1, ::-1], 1.3))
    for new, value, cost in found:
        yield Change("transpose", "turned", name, "", new, cost), partial(put, name, value)


def another_name(here: Here) -> Others:
    """Another array that is known there, of the same shape."""
    name, a = here.setting.name, here.value
    for other, u in here.names.items() if is_array(a) else ():
        if u.shape == a.shape and other != name and not np.array_equal(u, a):
            change = Change("elementwise-factor", "instead", name, "", other, 1.5 + 0.2 * ("[" in other))
            yield change, partial(put, name, u)


def two_names_exchanged(here: Here) -> Others:
    """Another one of the same shape in its place, and it in that one's, as from a cache in another order."""
    name, a = here.setting.name, here.value
    for other, u in here.scope.items() if is_array(a) else ():
        if name < other and is_array(u) and u.shape == a.shape and not np.array_equal(u, a):
            change = Change("elementwise-factor", "exchanged", name, "", other, 1.6)
            yield change, partial(dict, {name: u, other: a})


def a_formula_of_it(here: Here) -> Others:
    """A function of it, as sigma where the variance stands."""
    name, a = here.setting.name, here.value
    values = [a]
    for text, does in FORMULAS.items() if is_array(a) and len(np.unique(a)) > 2 else ():
        if any(np.array_equal(does(a), value) for value in values):
            continue  # why: |a| is -a where all are negative
        values.append(does(a))
        change = Change("elementwise-factor", "instead", name, "", text.format(name), 1.8)
        yield change, partial(computed, name, does, a)


def added_up(here: Here) -> Others:
    """+= in place of =, where it stood for an array of this shape before."""
    name, a, before = here.setting.name, here.value, here.before
    if is_array(a) and is_array(before) and before.shape == a.shape:
        change = Change("missing-term", "set anew", name, "", "+= in place of =", 1.4)
        yield change, partial(computed, name, np.add, a, before)


def a_mask_turned(here: Here) -> Others:
    """~a of a mask."""
    name, a = here.setting.name, here.value
    if isinstance(a, np.ndarray) and a.ndim and a.dtype.kind == "b":
        yield Change("elementwise-factor", "mask", name, "", f"~{name}", 1.2), partial(computed, name, np.invert, a)


def another_number_there(here: Here) -> Others:
    """Another number that is known there; one more or less; times or divided by a number, or a length."""
    name, n = here.setting.name, here.value
    if not is_number(n):
        return
    known = {other: u for other, u in here.scope.items() if is_number(u) and u not in (0, 1, -1) and other != name}
    found = {other: (u, 1.5) for other, u in known.items() if u != n and type(u) is type(n)}
    if type(n) is int:
        for new, value in ((f"{name} + 1", n + 1), (f"{name} - 1", n - 1)):
            yield Change("missing-term", "end", name, "", new, 1.6), partial(dict, {name: value})
    for text, u in {**known, **lengths(here.scope, set(known.values()))}.items():
        found |= {f"{name} * {text}": (n * u, 1.7), f"{name} / {text}": (n / u, 1.7)}
    for new, (value, cost) in found.items():
        whole = type(n) is int and value == int(value)  # why: it may be a length, or an index
        value = int(value) if whole else value
        change = Change("elementwise-factor", "instead", name, "", new, cost)
        if type(n) is int:  # why: another size may be as much
            change = change._replace(kind="count", word=new, new=f"{value:g}")
        yield change, partial(dict, {name: value})


def lengths(scope: Mapping[str, Any], known: Container[float]) -> dict[str, int]:
    """The lengths of arrays that have no name of their own."""
    shapes = ((name, axis, n) for name, a in scope.items() if is_array(a) for axis, n in enumerate(a.shape) if n > 1)
    found = {n: f"{name}.shape[{axis}]" for name, axis, n in shapes if n not in known}
    return {text: n for n, text in found.items()}


def is_array(a: Any) -> bool:
    return isinstance(a, np.ndarray) and a.ndim > 0 and a.size > 1 and a.dtype.kind == "f"


def is_number(a: Any) -> bool:
    return isinstance(a, int | float) and not isinstance(a, bool)


def put(name: str, value: np.ndarray) -> dict[str, Any]:
    return {name: np.array(value)}


def computed(name: str, does: Callable[..., Any], *operands: Any) -> dict[str, Any]:
    return {name: does(*operands)}


HYPOTHESES = (
    a_name_turned,
    another_name,
    two_names_exchanged,
    a_formula_of_it,
    added_up,
    a_mask_turned,
    another_number_there,
)


# ---------------------------------------------------------------------------------------------------------------------
# Which of them is right


def names_changed(points: list[Point], hypotheses: Hypotheses) -> Iterator[tuple[Change, Setting]]:
    """The simplest of what a name may stand for with which all gradients are right, at every point."""
    if not points:
        return
    first = points[0]
    skip = of_the_forward(first)
    kinds = {kind.__name__: kind for kind in HYPOTHESES if kind.__name__ in hypotheses}
    tried: dict[tuple[Change, Setting], str] = {}

    def noted(here: Here) -> Mapping[str, Any]:
        made = {change: name for name in kinds for change, _ in kinds[name](here)}
        tried.update({(change, here.setting): name for change, name in made.items()})
        return {}

    gradients(first, first.dys[0], Watch(noted, skip))
    telling = {setting: matters(first, setting, skip) for setting in dict.fromkeys(setting for _, setting in tried)}
    both = {each for each in tried if each[0].kind == "exchanged"}  # why: there it is the two together that matter
    in_order = sorted((each for each in tried if telling[each[1]] or each in both), key=lambda each: each[0].cost)
    for change, setting in in_order[:TRIALS]:
        watch = partial(Watch, partial(instead, change, kinds[tried[change, setting]]), skip, setting)
        if all(all_right(point, partial(with_it, point, watch)) for point in points):
            yield change, setting
            return


def instead(change: Change, others: Callable[[Here], Others], here: Here) -> Mapping[str, Any]:
    """What the names stand for with this change; nothing else where it cannot be made."""
    return next((make() for each, make in others(here) if each == change), {})


def matters(point: Point, setting: Setting, skip: frozenset[types.CodeType]) -> bool:
    """Do all wrong gradients depend on it? Of what is no array of floats it is not asked."""
    rng = np.random.default_rng(0)
    moved = []

    def shaken(here: Here) -> Mapping[str, Any]:
        if not is_array(here.value):
            return {}
        moved.append(True)
        return {here.setting.name: here.value * rng.uniform(0.5, 1.5, here.value.shape)}

    try:
        found = with_it(point, partial(Watch, shaken, skip, setting), point.dys[-1])
    except Exception:  # somebody's function may refuse what it does not like
        return False
    ends = np.cumsum([len(seen.entries) for seen in point.case.seen.values()])[:-1]
    off = (found - point.runs[-1].grads)[: point.wrong]
    return not moved or all(part.any() for part in np.split(off, ends))


def claim_of_a_name(change: Change, setting: Setting) -> Claim:
    return Claim(
        change.cause,
        f"named: {change.kind}",
        detail=(change.old, change.new, setting.is_own, change.word),
        cost=change.cost,
    )
