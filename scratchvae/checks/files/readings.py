"""How a forward and a backward are called: which argument is dy, what comes from the cache, what comes back where.

A pair may be readable in several ways: backward() of a loss is the gradient of a sum or of a mean, f'(x) may take x or
f(x). Each way is a Reading; the names leave some open, and the check decides.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from scratchvae.checks.files.names import CONSTANT, OUTPUTS, RATES, TAKES_OUTPUT, gradient_of, is_upstream, role
from scratchvae.checks.files.pairs import CACHES, Written, arguments, called, required
from scratchvae.checks.files.source import returned

Array = np.ndarray


class Reading(NamedTuple):
    """One way to call a backward, and what to say about it."""

    style: str  # given: dy; alone: there is none; slope: f'(x); slope of y: f'(f(x)); of a loss: x for dy, y for dy
    total: str = "sum"  # of a loss with a value for every row, if no dy is handed in
    note: str = ""


class Ran(NamedTuple):
    """A forward that has run: with what, on which object, and what came of it."""

    values: dict[str, Any]
    host: Any
    outputs: list[Array]
    caches: list[Any]


MEAN = "backward is the gradient of the mean of its losses"
SUM = "backward is the gradient of the sum of its losses"


def readings(pair: Written) -> list[Reading]:
    """The ways in which a pair may be meant, the likely one first."""
    if pair.is_derivative:
        found = [Reading("slope"), Reading("slope", "mean", MEAN)]
        if len(required(pair.forward)) == 1:
            found.append(Reading("slope of y", note="the derivative takes the output: f'(y), not f'(x)"))
        return found
    alone = [Reading("alone", "sum"), Reading("alone", "mean", MEAN)]
    if not required(pair.backward):
        return [*alone, Reading("given")] if upstream(pair) else alone
    if not upstream(pair) and pair.kind == "function":  # why: all that it takes went into the forward
        return [Reading("x for dy", "sum", SUM), Reading("x for dy", "mean", MEAN)]
    given = [Reading("given")]
    if any(role(name) in CONSTANT for name in required(pair.backward) if name in arguments(pair.forward)):
        given += [Reading("x for dy", "sum", SUM), Reading("x for dy", "mean", MEAN)]
        if pair.kind == "layer":  # why: a softmax with its loss is handed the shares that it keeps
            given += [Reading("y for dy", "sum", SUM), Reading("y for dy", "mean", MEAN)]
    return given


def upstream(pair: Written) -> list[str]:
    """The arguments of a backward that are dy: those that look like it, or the first that is nothing else."""
    names = [name for name in arguments(pair.backward) if name not in arguments(pair.forward)]
    must = [name for name in names if name in required(pair.backward) and name.lower() not in RATES]
    kept = returned(pair.forward)  # why: what has the name of something that forward returns is handed back by it
    marked = [name for name in must if is_upstream(name) and name not in kept]
    if sure := [name for name in marked if gradient_of(name)]:  # why: beside dloss, err and delta are no gradients
        return sure
    return marked or [name for name in must or names[:1] if name.lower() not in CACHES][:1]


def run(pair: Written, host: Any, values: Mapping[str, Any]) -> Ran:
    """The forward, its outputs apart from its cache.

    Raises    NotImplementedError: it returned nothing, and left nothing where layers leave their output.
    """
    returned = called(bound(pair, pair.forward, host), dict(values))
    if returned is None and pair.kind == "layer":
        returned = next((v for n in OUTPUTS if isinstance(v := vars(host).get(n), Array | float)), None)
    several = isinstance(returned, tuple | list)
    parts = list(returned) if several else [returned]
    if parts[0] is None:
        raise NotImplementedError("forward returns nothing")
    n = outputs_among(pair, parts) if several else 1
    return Ran(dict(values), host, [np.asarray(y) for y in parts[:n]], parts[n:])


def bound(pair: Written, method: Any, host: Any) -> Any:
    """A function as it is; one of a Function with its ctx; a method with its object."""
    if pair.kind == "function":
        return method
    if pair.kind == "context":
        return lambda *args, **more: method(host, *args, **more)
    return method.__get__(host)


def outputs_among(pair: Written, parts: list[Any]) -> int:
    """How many of the returned values are outputs: h, c, cache has two if its backward takes dh and dc."""
    backward = required(pair.backward)
    keeps = any(name.lower() in CACHES for name in backward)
    if len(parts) == 1:
        return 1
    return min(max(1, len(upstream(pair))), len(parts) - keeps if keeps else len(parts))


def pull(pair: Written, reading: Reading, ran: Ran, dys: list[Array]) -> Any:
    """What the backward returns."""
    backward = bound(pair, pair.backward, ran.host)
    if reading.style == "alone":
        return called(backward, {})
    if reading.style == "slope of y":
        return called(backward, {next(iter(required(pair.backward))): ran.outputs[0]})
    names = list(required(pair.backward)) or upstream(pair)
    if reading.style == "slope":
        values = list(ran.values.values())
        return called(backward, {n: ran.values.get(n, values[min(i, len(values) - 1)]) for i, n in enumerate(names)})
    marked, dys = upstream(pair), list(dys)
    first = next(iter(ran.values.values()), None)
    if reading.style == "y for dy":
        first = next((v for n in OUTPUTS if isinstance(v := vars(ran.host).get(n), Array) and v.ndim > 1), None)
        if first is not None and first.shape == ran.outputs[0].shape:
            raise ValueError("its output is what forward returns: no loss")
    rest = [name for name in names if name not in marked and name.lower() not in RATES]
    found = dict.fromkeys((name for name in arguments(backward) if name.lower() in RATES), 1.0) | remembered(rest, ran)
    for name in marked:
        found[name] = first if reading.style in ("x for dy", "y for dy") else dys.pop(0) if dys else None
    return called(backward, found)


def remembered(names: list[str], ran: Ran) -> dict[str, Any]:
    """What a backward asks for beside dy: from the cache, else what the forward was given, or its output."""
    caches = list(ran.caches)
    if len(names) == 1 and caches:
        return {names[0]: caches[0] if len(caches) == 1 else tuple(caches)}
    if len(names) == len(caches):
        return dict(zip(names, caches, strict=True))
    found: dict[str, Any] = {}
    for name in names:
        if name in ran.values:
            found[name] = ran.values[name]
        elif caches:
            found[name] = caches.pop(0)
        else:
            found[name] = ran.outputs[0] if name in TAKES_OUTPUT else next(iter(ran.values.values()), None)
    return found


def times(dy: Array, g: Any) -> Any:
    """dy times a slope of every entry of y, or times a Jacobian: the axes of y, and then those of x."""
    return np.tensordot(dy, g, dy.ndim) if 0 < dy.ndim < np.ndim(g) else dy * g


def joined(outputs: list[Array]) -> Array:
    """Several outputs as one: side by side if they have the same rows, else one after the other."""
    if len(outputs) == 1:
        return outputs[0]
    if len({y.shape[:-1] for y in outputs}) == 1 and all(y.ndim for y in outputs):
        return np.concatenate(outputs, axis=-1)
    return np.concatenate([y.ravel() for y in outputs])


def parted(dy: Array, outputs: list[Array]) -> list[Array]:
    """The same, undone."""
    if len(outputs) == 1:
        return [dy]
    if dy.ndim == outputs[0].ndim and dy.ndim:
        ends = np.cumsum([y.shape[-1] for y in outputs])
        return np.split(dy, ends[:-1], axis=-1)
    ends = np.cumsum([y.size for y in outputs])
    return [part.reshape(y.shape) for part, y in zip(np.split(dy, ends[:-1]), outputs, strict=True)]
