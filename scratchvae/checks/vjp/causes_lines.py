"""What is known of a line beside its own value: what other lines compute, and what may become of it on the way there.

Sizes: n entries of the value, M entries of y that were asked.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from scratchvae.checks.vjp.case import EVERY, Case, Claim, Seen, aligned, ratio, repairs
from scratchvae.checks.vjp.causes_factor import NEARLY, are_counts, constant, factor_claim, is_nice
from scratchvae.checks.vjp.causes_inside import are_shares
from scratchvae.checks.vjp.causes_term import odd
from scratchvae.checks.vjp.word import ONE, Word

NAMELESS = 0.9  # a value without a name, of a line that is too long to be read out
PLAIN = 1.6  # words that cost less are arrays themselves, their simple functions, or slopes
DEAR = 1.8
SIMPLE = 1.3  # and these are arrays themselves, or the slope of the forward


def a_constant_at_a_line(case: Case, seen: Seen) -> Iterator[Claim]:
    """right = c * got, where the entries are not known one by one either."""
    if (c := repairs(seen, seen.got)) and abs(c - 1) > NEARLY:
        yield constant(c)


def a_word_at_a_line(case: Case, seen: Seen) -> Iterator[Claim]:
    """right = c * got * u / v, where the entries are not known one by one: as an_array for a gradient."""
    if seen.through is None or not seen.got.any():
        return
    raw = np.stack([g for g in seen.raw if g is not None])  # (M, *shape)
    words = {w: a for w in case.words if (a := aligned(case.values[w.name], seen.shape)) is not None and np.ptp(a)}
    for v, b in {ONE: np.ones(seen.shape), **words}.items():
        if v.cost >= PLAIN or not b.all():
            continue
        for u in likely(seen, raw / b, {ONE: np.ones(seen.shape), **words}, [seen.right]):
            simple = v == ONE or u == ONE or u.cost < SIMPLE > v.cost
            factor = np.ones(()) if u == ONE else words[u]
            c = ratio(seen.right, seen.picked(raw * factor / b)) if u != v and simple else None
            if c and (is_nice(c) or not are_counts(factor, b)):
                yield factor_claim(u, v, "in", c)


def likely(
    seen: Seen, value: np.ndarray, words: Mapping[Word, np.ndarray], targets: Sequence[np.ndarray]
) -> list[Word]:
    """The words that value (M, *shape) may be times of to be one of these (n, M), as far as three sums can tell."""
    probes = np.random.default_rng(0).standard_normal((3, *seen.right.shape))
    back = probes if seen.through is None else np.einsum("mn,kmM->knM", seen.through, probes)  # (3, n, M)
    flat = value.reshape(len(value), -1)[:, seen.entries].T / seen.scale  # (n, M)
    table = np.stack([np.ravel(a)[seen.entries] for a in words.values()])  # (W, n)
    sums = table @ np.einsum("knM,nM->nk", back, flat)  # (W, 3)
    found = np.zeros(len(table), bool)
    for target in targets:
        wanted = np.einsum("kmM,mM->k", probes, target)  # (3,)
        c = (sums @ wanted) / np.maximum((sums * sums).sum(axis=1), 1e-300)  # (W,)
        found |= np.abs(wanted - c[:, None] * sums).max(axis=1) <= 1e-5 * np.abs(wanted).max()
    return [word for word, fits in zip(words, found, strict=True) if fits]


def another_value(case: Case, seen: Seen) -> Iterator[Claim]:
    """right, or right - got, = c * what becomes of the value of another line: it belongs there, or is a path."""
    if not seen.beside:
        return
    got = seen.got
    left = seen.right - got
    for line, a in seen.beside.items():
        rights, gots = [], []
        for way in ways(case, seen, line, a):
            picked = seen.picked(way.value)
            if c := ratio(seen.right, picked):
                rights.append((way, c))
            elif ratio(got, picked):
                gots.append(way.formula)
            elif (c := ratio(left, picked)) and seen.explained(left - c * picked):
                cost = (3.5 if case.fixed else 2.0) + way.cost + odd(c)  # why: a path has dy in it
                yield Claim("missing-term", "value forgotten", factor=c, detail=(line, way.formula), cost=cost)
        long = NAMELESS if line.startswith("(what ") else 0.0
        for way, c in rights:
            claim = Claim("elementwise-factor", "another value", (way.word,), "", c, (line, way.formula), 2.4)
            if way.word != ONE and way.formula == times(line, way.word):
                claim = claim._replace(kind="another factor", detail=(line,))
            if way.formula == total(line):
                cause = "missing-term" if line.startswith(EVERY) else "batch-sum"
                claim = claim._replace(cause=cause, kind="another sum", detail=(line,))
            if wrong := next((each for each in gots if untransposed(each) == untransposed(way.formula)), ""):
                claim = claim._replace(cause="transpose", kind="another product", detail=(wrong, way.formula), cost=1.4)
            yield claim._replace(cost=claim.cost + way.cost + odd(c) + long)


def a_fixed_term(case: Case, seen: Seen) -> Iterator[Claim]:
    """right - got = c * a word, where the value does not depend on dy."""
    if not case.fixed or not seen.beside:
        return
    left = seen.right - seen.got
    for word in case.words:
        full = aligned(case.values[word.name], seen.shape)
        if word.cost < DEAR and full is not None and (c := ratio(left, seen.picked(full[None]))):
            yield Claim("missing-term", "fixed term", (word,), factor=c, cost=2.2 + word.cost / 2 + odd(c))


def untransposed(formula: str) -> str:
    return formula.replace(".T", "")


def a_softmax(case: Case, seen: Seen) -> Iterator[Claim]:
    """right = A * (s - the sum of A s over an axis), for shares A along it and the value s of another line."""
    for line, s in seen.beside.items():
        for name, A in case.arrays.items():
            for axis in (-1, 0) if A.shape == seen.shape == s.shape[1:] and A.ndim else ():
                if A.shape[axis] > 1 and are_shares(np.moveaxis(A, axis, -1)):
                    total = (s * A).sum(axis=axis + (axis == 0), keepdims=True)
                    if c := ratio(seen.right, seen.picked(A * (s - total))):
                        yield Claim("missing-term", "softmax", detail=(name, line, axis), factor=c, cost=2.3 + odd(c))


def a_norm(case: Case, seen: Seen) -> Iterator[Claim]:
    """right - got = c * u * (u s summed over an axis), for a word u, or 1, and the value s of another line.

    That is what a mean, a norm, a variance bring.
    """
    if not seen.beside:
        return
    left = seen.right - seen.got
    words = [(w, a) for w in case.words if w.cost < SIMPLE and (a := case.values[w.name]).shape == seen.shape]
    for line, s in seen.beside.items():
        for axis in (0, -1) if s.shape[1:] == seen.shape and len(seen.shape) > 1 else ():
            for u, a in [(ONE, np.ones(())), *words] if seen.shape[axis] > 1 else ():
                total = a * (s * a).sum(axis=axis + (axis == 0), keepdims=True)
                if c := ratio(left, seen.picked(total)):
                    front = "" if u == ONE else f"{u.formula} * "
                    formula = f"{front}({front}{line}).sum(axis={axis}, keepdims=True)"
                    cost = 2.2 + odd(c) + u.cost / 4 + (NAMELESS if line.startswith("(what ") else 0.0)
                    yield Claim("missing-term", "norm", (), "", c, (line, axis, formula), cost=cost)


class Way(NamedTuple):
    """What becomes of a value on its way to another one, (M, *shape), as a formula; and a word that it is times of."""

    formula: str
    value: np.ndarray
    cost: float
    word: Word = ONE


def ways(case: Case, seen: Seen, name: str, a: np.ndarray) -> Iterator[Way]:
    """It is passed on, maybe times a word."""
    yield from through(case, name, a, seen.shape)
    words = {w: case.values[w.name] for w in case.words if case.values[w.name].shape == a.shape[1:]}
    if a.shape[1:] == seen.shape and words:
        for word in likely(seen, a, words, [seen.right, seen.right - seen.got]):
            yield Way(times(name, word), a * words[word], 0.3 + word.cost / 4, word)
        return
    for word in words:
        if word.cost < 1:  # the slope of the forward
            for way in through(case, times(name, word), a * words[word], seen.shape):
                yield way._replace(cost=way.cost + 0.3 + word.cost / 4, word=word)


def total(name: str) -> str:
    return f"{name}.sum(axis=0)"


def times(name: str, word: Word) -> str:
    return f"({name} * {word.formula})"


def through(case: Case, name: str, a: np.ndarray, shape: tuple[int, ...]) -> Iterator[Way]:
    """It is passed on as it is, summed as for a bias, or multiplied by a matrix."""
    if a.shape[1:] == shape:
        yield Way(name, a, 0.0)
    if a.shape[2:] == shape and a.ndim > 1:
        yield Way(total(name), a.sum(axis=1), 0.1)
    if a.shape[1:-1] == shape and a.ndim > 2:
        yield Way(f"{name}.sum(axis=-1)", a.sum(axis=-1), 0.2)
    yield from by_an_index(case, name, a, shape)
    for other, W in case.arrays.items():
        for text, M in ((other, W), (f"{other}.T", W.T)) if W.ndim == 2 and a.ndim > 2 else ():
            if (*a.shape[1:-1], M.shape[1]) == shape and a.shape[-1] == len(M):
                yield Way(f"{name} @ {text}", a @ M, 0.3)
            if (*a.shape[1:-2], len(M), a.shape[-1]) == shape and a.shape[-2] == M.shape[1]:
                yield Way(f"{text} @ {name}", M @ a, 0.3)


def by_an_index(case: Case, name: str, a: np.ndarray, shape: tuple[int, ...]) -> Iterator[Way]:
    """It is passed on to the rows of this shape that an index names; also through the rows, where they are tied."""
    own = [(other, W) for other, W in case.weights.items() if W.shape == shape and W.ndim == 2]
    tied = [(f"{name} @ {other}", a @ W) for other, W in own if a.ndim > 2 and a.shape[-1] == len(W)]
    for formula, value in [(name, a), *tied]:
        for text, ids in indices(case, value, shape):
            scattered = np.zeros((len(value), *shape))
            for one, each in zip(scattered, value, strict=True):
                several = each.shape != (*ids.shape, *shape[1:])  # then all of a row's numbers take the same
                np.add.at(one, ids, each[:, None] if several else each)
            yield Way(f"{formula} by the index {text}", scattered, 0.4)


def indices(case: Case, a: np.ndarray, shape: tuple[int, ...]) -> Iterator[tuple[str, np.ndarray]]:
    """Arrays of whole numbers, or columns of them, that say to which row of this shape each row of a value belongs."""
    for name, whole in case.arrays.items() if a.ndim > 1 and shape else ():
        columns = {f"{name}[:, {i}]": column for i, column in enumerate(whole.T)} if whole.ndim == 2 else {}
        for text, ids in {name: whole, **columns}.items():
            rows = a.shape[1 : 1 + ids.ndim] == ids.shape and a.shape[1 + ids.ndim :] == shape[1:]
            rows |= (
                ids.ndim == 2 and a.ndim == 3 and len(ids) == a.shape[1] and a.shape[2:] == shape[1:]
            )  # several a row
            if ids.ndim and rows and (ids == np.rint(ids)).all() and ids.min() >= 0 and ids.max() < shape[0]:
                yield text, ids.astype(int)


HYPOTHESES = (a_constant_at_a_line, a_word_at_a_line, another_value, a_fixed_term, a_softmax, a_norm)
