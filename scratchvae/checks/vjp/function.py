"""Is it a function? The same answer twice, nothing written to, nothing kept, finite, in float64.

These questions come before any derivative: a forward that draws its own noise has none.
"""

import numpy as np

from scratchvae.checks.report import Finding
from scratchvae.checks.vjp.arrays import first_change, named_arrays, read_only, snapshot
from scratchvae.checks.vjp.call import Pair, Values, copied
from scratchvae.checks.vjp.case import ratio


def bad_output(y: np.ndarray) -> Finding | None:
    """An output without derivatives that one could measure."""
    if y.dtype != np.float64:
        text = f"y is {y.dtype} though every input is float64: differences need float64, so compute in float64"
        return Finding(("y",), "precision", text)
    return not_finite("y", "y", y)


def not_finite(name: str, what: str, array: np.ndarray) -> Finding | None:
    if np.isfinite(array).all():
        return None
    where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
    text = f"{what} is not finite: look for an exp that overflows, log(0) or 0/0, and rewrite that formula"
    return Finding((name,), "non-finite", text, where=where or None, got=float(array[where]))


def is_float32(g: np.ndarray) -> bool:
    """Is g float32, or was it: is every number one that float32 holds, and not by being simple?"""
    simple = (g * 1024 == np.round(g * 1024)).all()
    return g.dtype == np.float32 or bool((g.astype(np.float32) == g).all() and not simple)


def impurities(pair: Pair, x: Values, dy: np.ndarray) -> Finding | None:
    """What keeps the pair from being a function and its derivative, the most telling thing alone."""
    questions = (overwrites, changes_its_mind, keeps_something, refuses_frozen_arrays)
    return next(filter(None, (question(pair, x, dy) for question in questions)), None)


def writes(who: str, what: str, where: tuple[int, ...] = ()) -> Finding:
    """The finding that who writes into what."""
    text = f"{who} writes into {what}, which belongs to the caller: make a new array, without +=, *=, out= or a[...] ="
    return Finding((what,), "mutates-input", text, where=where or None)


def overwrites(pair: Pair, x: Values, dy: np.ndarray) -> Finding | None:
    """Inputs and constants by the forward; inputs, dy, y and the cache by the backward."""
    given, upstream = copied(x), dy.copy()
    constants = copied(pair.constants)
    before, constants_before = snapshot(given), snapshot(constants)
    y, cache = pair.run(given, constants)
    if change := first_change(given, before) or first_change(constants, constants_before):
        return writes("forward", *change)
    y_before, cache_before = snapshot(y, "y"), snapshot(cache)
    pair.pull(upstream, cache)
    for thing, was, name in (
        (upstream, {"dy": dy}, "dy"),
        (given, before, ""),
        (constants, constants_before, ""),
        (y, y_before, "y"),
    ):
        if change := first_change(thing, was, name):
            return writes("backward", *change)
    if change := first_change(cache, cache_before):
        return writes("backward", *change)
    return None


def changes_its_mind(pair: Pair, x: Values, dy: np.ndarray) -> Finding | None:
    """The forward twice on the same inputs, and the backward."""
    first, second = pair.y(x), pair.y(x)
    if first.shape != second.shape or not np.array_equal(first, second, equal_nan=True):
        where = np.argwhere(first != second)[0] if first.shape == second.shape and first.ndim else ()
        return Finding(
            ("y",),
            "noise-redrawn",
            "forward gives another result when it is called again with the same inputs: draw the noise outside, hand "
            "it in as an argument (eps), and keep it in the cache for the backward",
            where=tuple(int(i) for i in where) or None,
        )
    _, cache = pair.run(copied(x))
    one, cache_before = pair.pull(dy.copy(), cache), snapshot(cache)
    kept = snapshot(one)
    pair.pull(0.5 * dy, cache)
    if change := first_change(one, kept):
        text = (
            f"the gradient of {change[0]} from a former call is overwritten by the next: return a new array each time"
        )
        return Finding((change[0],), "mutates-input", text, where=change[1] or None)
    two = pair.pull(dy.copy(), cache)
    for name, was in kept.items():
        now = two.get(name)
        if now is None or np.array_equal(now, was, equal_nan=True):
            continue
        if now.shape == was.shape and ratio(now, was):
            text = (
                f"the gradient of {name} grows from call to call: it is added to the last one; start from 0 each time"
            )
            return Finding((name,), "mutates-input", text)
        same_cache = first_change(cache, cache_before) is None
        text = f"backward gives another gradient of {name} when it is called again on the same cache: " + (
            "it draws noise of its own; use what the forward used, from the cache" if same_cache else "it writes there"
        )
        return Finding((name,), "noise-redrawn" if same_cache else "mutates-input", text)
    return None


def keeps_something(pair: Pair, x: Values, dy: np.ndarray) -> Finding | None:
    """A second forward, on other inputs, between a forward and its backward must change nothing."""
    alone, again = pair.grads(x, dy), pair.grads(x, dy)
    if change := first_change(again, snapshot({k: v for k, v in alone.items() if v is not None})):
        return Finding(
            (change[0],),
            "noise-redrawn",
            f"the gradient of {change[0]} changes from one forward to the next though y stays the same: the cache "
            "holds other noise than y was made with; keep the one that was used",
            where=change[1] or None,
        )
    _, cache = pair.run(copied(x))
    pair.run({name: 0.9 * value for name, value in x.items()})
    after = pair.pull(dy.copy(), cache)
    if change := first_change(after, snapshot({k: v for k, v in alone.items() if v is not None})):
        return Finding(
            (change[0],),
            "mutates-input",
            f"the gradient of {change[0]} changes when another forward runs before the backward: what backward uses is "
            "kept outside the cache, or the next forward overwrites it; return it in the cache",
            where=change[1] or None,
        )
    return None


def refuses_frozen_arrays(pair: Pair, x: Values, dy: np.ndarray) -> Finding | None:
    """Writing back the value that was there changes nothing, and is still writing."""
    given, upstream = copied(x), dy.copy()
    who = "forward"
    try:
        constants = copied(pair.constants)
        with read_only(given, constants):
            _, cache = pair.run(given, constants)
            who = "backward"
            with read_only(cache, upstream):
                pair.pull(upstream, cache)
    except ValueError as error:
        if "read-only" not in str(error) and "WRITEABLE" not in str(error):
            raise
        what = ", ".join(given) if who == "forward" else f"dy or {', '.join(named_arrays(cache)) or 'the cache'}"
        return writes(who, f"its argument ({what})")._replace(
            inputs=(next(iter(given)),) if who == "forward" else ("dy",)
        )
    return None
