"""All that is known about wrong gradients, collected at a point; and at another, to see what is no coincidence.

Sizes: m entries that were measured, M entries of y that were asked.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from scratchvae.backend import to_numpy
from scratchvae.checks.vjp.arrays import scalars_in, unpacked
from scratchvae.checks.vjp.call import Kept, Pair, Values, copied
from scratchvae.checks.vjp.case import Case, Seen
from scratchvae.checks.vjp.complex_step import complex_step, lies
from scratchvae.checks.vjp.differences import entry
from scratchvae.checks.vjp.words import in_play, vocabulary

OUTPUTS = 128  # so many entries of y are asked one by one; of more, a sample
ENTRIES = 64  # and so many entries of an input at the second point
EVIDENCE = 12  # numbers to be met by an explanation, which has one constant of its own and was chosen among many
POINTS = 6
TRIES = 4  # for a point
SETTING = 1.07  # so many times a number that was handed in is another one


class Hints(NamedTuple):
    """What is known about a whole model beside its objective, for the diagnosis; functions of the point x."""

    arrays: Callable[[Values], Mapping[str, np.ndarray]] | None = None  # in play
    parts: Callable[[Values, str, np.ndarray], Mapping[str, np.ndarray]] = lambda x, name, index: {}  # (m, M) each
    spans: Callable[[Values, str, np.ndarray], Mapping[str, np.ndarray]] = lambda x, name, index: {}  # (M, m, Z) each


def case_at(
    pair: Pair, x: Values, index: Mapping[str, np.ndarray], columns: Mapping[str, np.ndarray], hints: Hints
) -> Case:
    """What is known at x about the inputs in index, whose measured columns (m, M) are given."""
    rng = np.random.default_rng(0)
    y, cache = pair.run(copied(x))
    y, cache = np.asarray(to_numpy(y), float), cache.cache if isinstance(cache, Kept) else cache
    outs = outputs(pair, x, y.shape, index, columns)
    scale = rng.choice([-1.0, 1.0], len(outs)) * rng.uniform(0.5, 2.0, len(outs))  # why: 1 would hide a forgotten dy
    raw = [pair.grads(x, at_one(y.shape, o, s)) for o, s in zip(outs, scale, strict=True)]
    nothing = pair.grads(x, np.zeros(y.shape))
    linear = linear_in_dy(pair, x, y.shape, rng)
    given, names = {**pair.constants, **x}, unpacked(pair.backward)
    arrays = in_play(given, y, cache, names) if hints.arrays is None else hints.arrays(x)
    known = vocabulary(arrays, x)
    seen = {
        name: Seen(
            name,
            x[name].shape,
            entries,
            columns[name][:, outs],
            [g[name] for g in raw],
            scale,
            *linear[name],
            None if (rest := nothing[name]) is None or rest.shape != x[name].shape else rest.ravel()[entries],
            {part: full[:, outs] for part, full in hints.parts(x, name, entries).items()},
            {part: full[outs] for part, full in hints.spans(x, name, entries).items()},
        )
        for name, entries in index.items()
    }
    around = {
        name: right
        for name in x
        if name not in index and (right := right_ones(x[name].shape, [g[name] for g in raw], scale)) is not None
    }
    values = {word.name: a for word, a in known.items()}
    scalars = {**scalars_in(dict(pair.constants), "constants"), **scalars_in(cache, "cache")}
    return Case(seen, y.shape, outs, arrays, list(known), values, scalars, x, around, pair=pair)


def right_ones(shape: tuple[int, ...], raw: list[np.ndarray | None], scale: np.ndarray) -> np.ndarray | None:
    """The gradients of an input that is right, for a 1 at each output, (M, *shape)."""
    fits = [np.asarray(g, float) / s for g, s in zip(raw, scale, strict=True) if g is not None and g.shape == shape]
    return np.stack(fits) if len(fits) == len(raw) else None


def cases_at(
    pair: Pair, x: Values, index: Mapping[str, np.ndarray], columns: Mapping[str, np.ndarray], hints: Hints
) -> Iterator[Case]:
    """What is known at x, at a second point, and at more of them where an input has few numbers to be explained."""
    rng = np.random.default_rng(1)
    case = case_at(pair, x, index, columns, hints)
    few = fewest_numbers(case)
    yield case
    for n in range(min(POINTS, max(3, math.ceil(EVIDENCE / max(1, few)))) - 1):
        for _ in range(TRIES):  # why: where a slip does not show, an explanation of it does not hold
            there = with_other_rows(pair, x) if n == 1 else pair
            if (moved := another_point(there, x, rng, wild=n > 0)) is None:
                return
            some = fewer(index, moved, rng)
            case = case_at(there, moved, some, measured(there, moved, some), hints)
            if not any(seen.is_right for seen in case.seen.values()):
                break
        yield case


def with_other_rows(pair: Pair, x: Values) -> Pair:
    """What was handed in turned by a row, where each row of the batch has a number: a length, a label.

    What is told of one row is then seen to be about the row, and not about its number.
    """
    rows = {len(a) for a in x.values() if a.ndim > 1}
    other = {
        name: np.roll(a, 1)
        for name, a in pair.constants.items()
        if isinstance(a, np.ndarray) and a.ndim == 1 and a.dtype.kind in "iub" and len(a) in rows
    }
    there = pair._replace(constants={**pair.constants, **other})
    try:
        return there if other and np.isfinite(there.y(x)).all() else pair
    except Exception:  # somebody's function may need their order
        return pair


def with_other_settings(pair: Pair, x: Values, index: Mapping[str, np.ndarray], hints: Hints) -> Iterator[Case]:
    """What is known where every number that was handed in is another one: 1/2 may have been delta by chance."""
    rng = np.random.default_rng(2)
    other = other_settings(pair)
    pair = pair._replace(constants={**pair.constants, **other})
    try:
        if other and (moved := another_point(pair, x, rng)) is not None:
            some = fewer(index, moved, rng)
            yield case_at(pair, moved, some, measured(pair, moved, some), hints)
    except Exception:  # somebody's function may refuse what it does not like
        return


def other_settings(pair: Pair) -> dict[str, float]:
    """The numbers that were handed in, each moved by a share of its own, since two of them may be equal.

    One as unusual as 0.73 stays: nothing else is that by chance.
    """
    floats = [name for name, value in pair.constants.items() if type(value) is float and value and is_usual(value)]
    return {name: (SETTING + 0.03 * n) * pair.constants[name] for n, name in enumerate(floats)}


def is_usual(value: float) -> bool:
    """A multiple of 1/20."""
    return abs(20 * value - round(20 * value)) < 1e-9


def fewest_numbers(case: Case) -> int:
    """How many numbers an explanation of an input has to meet, for the input that has the fewest."""
    return min(int(np.count_nonzero(seen.right)) for seen in case.seen.values())


def outputs(
    pair: Pair, x: Values, shape: tuple[int, ...], index: Mapping[str, np.ndarray], columns: Mapping[str, np.ndarray]
) -> np.ndarray:
    """Which entries of y to ask: all, or a sample with those on which measured entries depend, above all the worst."""
    size, rng = int(np.prod(shape)), np.random.default_rng(0)
    if size <= OUTPUTS:
        return np.arange(size)
    dy = rng.standard_normal(shape)
    chosen = set(rng.choice(size, OUTPUTS // 2, replace=False).tolist())
    for name, g in pair.grads(x, dy).items():
        if name in index and g is not None and g.shape == x[name].shape:
            worst = int(np.abs(columns[name] @ dy.ravel() - g.ravel()[index[name]]).argmax())
            sizes = np.abs(columns[name])  # (m, M)
            strongest = np.argsort(-sizes[worst])[: OUTPUTS // 4]
            chosen |= set(strongest[sizes[worst][strongest] > 0].tolist())
            chosen |= set(sizes.argmax(axis=1)[: OUTPUTS // 4].tolist())  # why: what is right there is evidence, too
    return np.array(sorted(chosen))


def at_one(shape: tuple[int, ...], o: int, value: float) -> np.ndarray:
    """The upstream gradient that asks for one entry of y."""
    dy = np.zeros(shape)
    dy.flat[o] = value
    return dy


def linear_in_dy(
    pair: Pair, x: Values, shape: tuple[int, ...], rng: np.random.Generator
) -> dict[str, tuple[bool, bool]]:
    """Does backward give for a sum the sum, and twice as much for twice dy?"""
    one, other = rng.standard_normal((2, *shape))
    grads = [pair.grads(x, dy) for dy in (one, other, one - 0.7 * other, 2 * one)]

    def equal(a: Any, b: Any) -> bool:
        return bool(np.abs(a - b).max(initial=0) <= 1e-5 * np.abs(b).max(initial=0) + 1e-300)

    found = {}
    for name in x:
        a, b, both, twice = (g[name] for g in grads)
        some = [g for g in (a, b, both, twice) if g is not None]
        fits = len({g.shape for g in some}) == 1 and len(some) == 4
        found[name] = (equal(a - 0.7 * b, both), equal(2 * a, twice)) if fits else (True, True)
    return found


def another_point(pair: Pair, x: Values, rng: np.random.Generator, wild: bool = False) -> Values | None:
    """The entries of every input shuffled and stretched a little; less of that where the function then fails.

    wild: stretched much, and with other signs where there are both, so that two masks do not agree by chance.
    """
    for shuffled, much in (*(((True, 0.6),) if wild else ()), (True, 0.2), (False, 0.2), (False, 0.02)):
        moved = {
            name: (rng.permutation(a.ravel()).reshape(a.shape) if shuffled else a)
            * rng.uniform(1 - much, 1 + much, a.shape)
            * (rng.choice([1.0, -1.0], a.shape) if much > 0.5 and (a < 0).any() and (a > 0).any() else 1.0)
            for name, a in x.items()
        }
        try:
            if np.isfinite(pair.y(moved)).all():
                return moved
        except Exception:  # somebody's function may refuse what it does not like
            continue
    return None


def measured(pair: Pair, x: Values, index: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The columns of some entries at x, (m, M) each."""
    return {name: np.stack(list(columns(pair, x, name, entries))) for name, entries in index.items()}


def columns(pair: Pair, x: Values, name: str, entries: np.ndarray) -> Iterator[np.ndarray]:
    """The derivative of every output by each entry, (M,): by the complex step, one call, if it can be taken."""
    dys = np.random.default_rng(0).standard_normal((2, pair.y(x).size))

    def end(value: np.ndarray) -> Any:
        return pair.run({**copied(x), name: value})[0]

    def y(value: np.ndarray) -> np.ndarray:
        return pair.y({**x, name: value})

    honest = not lies(y, end, x[name], dys)
    for i in map(int, entries):
        exact = complex_step(end, x[name], at_one(x[name].shape, i, 1.0)) if honest else None
        yield entry(y, x[name], i, dys).column if exact is None else exact


def fewer(index: Mapping[str, np.ndarray], x: Values, rng: np.random.Generator | None = None) -> dict[str, np.ndarray]:
    """A sample of the entries, where there are many; of a whole matrix some rows and columns."""
    rng = np.random.default_rng(1) if rng is None else rng
    return {name: i if len(i) <= ENTRIES else sampled(i, x[name].shape, rng) for name, i in index.items()}


def sampled(entries: np.ndarray, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    if len(shape) != 2 or len(entries) < np.prod(shape):
        return np.sort(rng.choice(entries, ENTRIES, replace=False))
    rows = min(shape[0], max(math.isqrt(ENTRIES), ENTRIES // shape[1]))
    some = [np.sort(rng.permutation(n)[:k]) for n, k in zip(shape, (rows, ENTRIES // rows), strict=True)]
    return np.ravel_multi_index(np.ix_(*some), shape).ravel()
