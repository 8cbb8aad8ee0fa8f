"""Is it a function? The same answer twice, nothing written to that belongs to the caller, nothing kept, finite.

These questions come before any derivative: a forward that draws its own noise has none.

What belongs to the caller is what the caller passed in (inputs, constants, dy) and what forward handed back (y; the
cache, in so far as a second backward needs it). An array that a layer keeps for itself is its own, and may be filled
again in every call. A pair that hands over a cache promises that the cache is all that backward needs. Where an object
keeps that on itself and hands over nothing, each backward belongs to the forward just before it, and is asked so.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from scratchvae.checks.report import Finding, listed
from scratchvae.checks.vjp.arrays import Watched, named_arrays, read_only, watched
from scratchvae.checks.vjp.call import Pair, Values, copied
from scratchvae.checks.vjp.differences import size_of

TIMES = 24  # so often an input is rounded, to see what that does


def not_finite(name: str, what: str, array: np.ndarray) -> Finding | None:
    """An overflow, log(0) or 0/0, and where it shows first."""
    if np.isfinite(array).all():
        return None
    where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
    text = f"{what} is not finite: look for an exp that overflows, log(0), 0/0 or 0 times infinity"
    return Finding((name,), "non-finite", text, "rewrite that formula", where=where or None, got=float(array[where]))


def impurities(pair: Pair, x: Values, dy: np.ndarray) -> tuple[list[Finding], set[str]]:
    """What keeps the pair from being a function and its derivative, each kind once; and the inputs left untested."""
    findings = writes(pair, x, dy) or rewrites(pair, x, dy)
    if noise := redrawn(pair, x):
        return [*findings, noise], set(x)
    if another := another_answer(pair, x, dy):
        return [*findings, another], set(another.inputs) if another.cause == "accumulates" else set(x)
    if pair.keeper is None and not findings:
        findings += [f for question in (spoils_its_cache, keeps_something) if (f := question(pair, x, dy))][:1]
    return findings, set(x) if any(finding.cause == "noise-redrawn" for finding in findings) else set()


# ---------------------------------------------------------------------------------------------------------------------
# Writing


def written(who: str, what: str, where: tuple[int, ...] = ()) -> Finding:
    """The finding that who writes into what."""
    text = f"{who} writes into {what}, which belongs to the caller: look for +=, *=, out= or a[...] ="
    return Finding((what,), "mutates-input", text, f"make a new array in place of {what}", where=where or None)


def writes(pair: Pair, x: Values, dy: np.ndarray) -> list[Finding]:
    """Which arrays are not what they were: inputs and constants after the forward, dy and y too after the backward."""
    given, constants, upstream = copied(x), copied(pair.constants), dy.copy()
    theirs = watched(given, "inputs") + watched(constants, "constants")
    y, cache = pair.run(given, constants)
    found = [written("forward", *w.change) for w in theirs if w.change][:1]
    theirs = watched(upstream, "dy") + watched(given, "inputs") + watched(constants, "constants") + watched(y, "y")
    pair.pull(upstream, cache)
    return found + [written("backward", *w.change) for w in theirs if w.change][:1]


def rewrites(pair: Pair, x: Values, dy: np.ndarray) -> list[Finding]:
    """Writing back the value that was there changes nothing, and is still writing."""
    given, constants, upstream = copied(x), copied(pair.constants), dy.copy()
    theirs = watched(given, "inputs") + watched(constants, "constants")
    if refuses(lambda: pair.run(given, constants), theirs):
        names = [w.name for w in theirs if refuses(lambda: pair.run(given, constants), [w])]
        return [written("forward", listed(names or list(x)))._replace(inputs=tuple(names or x))]
    with read_only([w.array for w in theirs]):
        y, cache = pair.run(given, constants)
    if refuses(lambda: pair.pull(upstream, cache), [*theirs, *watched(upstream, "dy"), *watched(y, "y")]):
        others = "its argument (dy, or y and what shares its memory)"
        return [written("backward", others)._replace(inputs=("dy",))]
    return []


def refuses(call: Callable[[], Any], arrays: list[Watched]) -> bool:
    """Does this fail if these arrays refuse to be written to?"""
    try:
        with read_only([w.array for w in arrays]):
            call()
    except ValueError as error:
        if "read-only" not in str(error) and "WRITEABLE" not in str(error):
            raise
        return True
    return False


# ---------------------------------------------------------------------------------------------------------------------
# The same answer twice


def redrawn(pair: Pair, x: Values) -> Finding | None:
    """The forward twice, on the same inputs."""
    first, second = pair.y(x), pair.y(x)
    if first.shape == second.shape and np.array_equal(first, second, equal_nan=True):
        return None
    where = np.argwhere(first != second)[0] if first.shape == second.shape and first.ndim else ()
    text = "forward gives another result when it is called again with the same inputs: it draws its own noise"
    repair = "draw the noise outside, hand it in as an argument (eps), and keep it in the cache for the backward"
    return Finding(("y",), "noise-redrawn", text, repair, where=tuple(int(i) for i in where) or None)


def another_answer(pair: Pair, x: Values, dy: np.ndarray) -> Finding | None:
    """A forward and its backward three times. What grows by the same each time is added to; what jumps is noise."""
    one, two, three = (pair.grads(x, dy) for _ in range(3))
    names = differing(one, two)
    if not names:
        return None
    gradients = f"the gradient{'s' * (len(names) > 1)} of {listed(names)}"
    if all(grows(one[name], two[name], three[name]) for name in names):
        text = f"a second backward adds to {gradients} of the first: nothing sets {them(names)} to zero"
        return Finding(tuple(names), "accumulates", text, "start from 0 in every backward")
    where = first_difference(one[names[0]], two[names[0]])
    _, cache = pair.run(copied(x))
    again = [copied(pair.pull(dy.copy(), cache)) for _ in range(2)]
    if differing(*again):
        text = f"backward gives {gradients} anew when it is called again: it draws noise of its own"
        return Finding(tuple(names), "noise-redrawn", text, "use what the forward used, from the cache", where=where)
    text = f"{gradients} changes from one forward to the next though y stays the same: the cache holds other noise"
    return Finding(tuple(names), "noise-redrawn", text, "keep the noise that y was made with", where=where)


def differing(one: dict[str, Any], two: dict[str, Any]) -> list[str]:
    """The names under which two answers differ."""
    arrays = [name for name in one if isinstance(one[name], np.ndarray) or isinstance(two[name], np.ndarray)]
    return [name for name in arrays if not alike(one[name], two[name])]


def alike(one: Any, two: Any) -> bool:
    """The same numbers, and no number where the other is none; a blank is like no array."""
    blank = one is None or one is Ellipsis or two is None or two is Ellipsis
    return not blank and np.array_equal(one, two, equal_nan=True)


def them(names: list[str]) -> str:
    return "them" if len(names) > 1 else "it"


def grows(one: Any, two: Any, three: Any) -> bool:
    """Does an array grow by the same amount each time?"""
    if not np.shape(one) == np.shape(two) == np.shape(three):
        return False
    first, second = two - one, three - two
    size = float(np.abs(first).max(initial=0.0))
    return size > 0 and float(np.abs(first - second).max()) <= 1e-9 * float(np.abs(three).max())


def first_difference(one: Any, two: Any) -> tuple[int, ...] | None:
    if np.shape(one) != np.shape(two) or not np.ndim(one):
        return None
    return tuple(int(i) for i in np.argwhere(one != two)[0])


# ---------------------------------------------------------------------------------------------------------------------
# What a cache promises


def spoils_its_cache(pair: Pair, x: Values, dy: np.ndarray) -> Finding | None:
    """The backward again on the same cache, with another in between."""
    _, cache = pair.run(copied(x))
    kept = watched(cache, "cache", inside=True)
    one = copied(pair.pull(dy.copy(), cache))
    try:
        left = copied(pair.pull(0 * dy, cache))
        two = copied(pair.pull(dy.copy(), cache))
    except Exception as error:  # whatever a backward does without what it has used up
        text = f"backward can be called once only, the second time it fails with {type(error).__name__}: "
        return Finding(("cache",), "mutates-input", text + "it takes something out of the cache", "leave it there")
    names = differing(one, two)
    if not names:
        return None
    nothing = pair.grads(x, 0 * dy)
    if all(np.any(left[n]) and not np.any(nothing[n]) for n in names):  # what a former call left
        what = f"the gradient of {listed(names)} of the first"
        text = f"a second backward adds to {what}: nothing sets {them(names)} to zero"
        return Finding(tuple(names), "accumulates", text, "start from 0 in every backward")
    if change := next(filter(None, (w.change for w in kept)), None):
        return written("backward", *change)
    if differing(two, three := copied(pair.pull(dy.copy(), cache))) and differing(one, three):
        text = f"backward gives another gradient of {names[0]} at every call on the same cache: it draws its own noise"
        return Finding((names[0],), "noise-redrawn", text, "use what the forward used, from the cache")
    text = f"backward gives another gradient of {names[0]} when it is called again on the same cache"
    return Finding((names[0],), "mutates-input", text, "leave what the cache holds as it is")


def keeps_something(pair: Pair, x: Values, dy: np.ndarray) -> Finding | None:
    """A second forward, on other inputs, between a forward and its backward must change nothing."""
    alone = pair.grads(x, dy)
    _, cache = pair.run(copied(x))
    pair.run({name: 0.9 * value for name, value in x.items()})
    after = pair.pull(dy.copy(), cache)
    names = differing(alone, after)
    if not names:
        return None
    text = (
        f"the gradient of {names[0]} changes when another forward runs before the backward: what backward uses is "
        "kept outside the cache, or the next forward overwrites it"
    )
    where = first_difference(alone[names[0]], after[names[0]])
    return Finding(
        (names[0],), "mutates-input", text, "return it in the cache, as a copy that nobody else writes to", where=where
    )


# ---------------------------------------------------------------------------------------------------------------------
# Float32


def coarse(pair: Pair, x: Values, y: np.ndarray, cache: Any) -> Finding | None:
    """Is something computed in fewer digits than float64 has? It shows in y, in the cache, or in rounded inputs."""
    because, repair = "though every input is float64: differences want all of its digits", "use float64 throughout"
    if y.dtype.kind == "f" and y.dtype != np.float64:
        return Finding(("y",), "precision", f"y is {y.dtype} {because}", repair)
    if narrow := narrow_arrays(cache):
        moved = {name: value + 1e-3 * np.where(value == 0, 1.0, value) for name, value in x.items()}
        after = narrow_arrays(pair.run(moved)[1])
        for name, array in narrow.items():
            if name in after and not np.array_equal(after[name], array) and is_float32(array):
                return Finding(("y",), "precision", f"{name}, in the cache, is {array.dtype} {because}", repair)
    for name in x:
        if is_rounded(pair, x, name):
            text = f"{name} is rounded to float32 inside forward: differences want all digits of float64"
            return Finding((name,), "precision", text, repair)
    return None


def is_rounded(pair: Pair, x: Values, name: str) -> bool:
    """Does y stay the same whenever an input is rounded to float32, and move with the next such number but three?

    Many times, since what cancels, or is small beside 1, may give the same number again by chance. And y has to change
    half-way between two such numbers, also where these lie twice as close: that of a large number has stairs as well.
    """
    rng, size = np.random.default_rng(0), np.abs(x[name][x[name] != 0])
    if size.size and not (size.min() > 1e-30 and size.max() < 1e30):  # why: float32 ends there
        return False
    felt = 0
    for scale in (1.0, 0.5) * (TIMES // 2):
        value = scale * (x[name] + 1e-3 * size_of(x[name]) * rng.uniform(-1.0, 1.0, x[name].shape))
        rounded = value.astype(np.float32)
        y = pair.y({**x, name: value})
        if not np.array_equal(y, pair.y({**x, name: rounded.astype(float)})):
            return False
        if np.array_equal(y, pair.y({**x, name: value + 4.0 * np.spacing(rounded)})):  # so little is not felt
            return False
        before, after = (pair.y({**x, name: rounded + c * np.spacing(rounded).astype(float)}) for c in (0.4, 0.6))
        felt += scale < 1 and np.array_equal(before, y) and not np.array_equal(before, after)
    return 4 * felt >= TIMES


def narrow_arrays(cache: Any) -> dict[str, np.ndarray]:
    return {name: a for name, a in named_arrays(cache).items() if a.dtype in (np.float32, np.float16)}


def is_float32(g: np.ndarray) -> bool:
    """Is g float32, or was it: is every number one that float32 holds, and not by being simple?"""
    digits = 2048 * np.frexp(g)[0]  # why: what rounding leaves of 0 is a few bits of a tiny number
    simple = (g * 1024 == np.round(g * 1024)).all() or (digits == np.round(digits)).all()
    return g.dtype == np.float32 or bool((g.astype(np.float32) == g).all() and not simple)
