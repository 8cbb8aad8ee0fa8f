"""What is known of a line beside its own value: what other lines compute, and what may become of it on the way there.

Sizes: n entries of the value, M entries of y that were asked.
"""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from scratchvae.checks.vjp.case import Case, Claim, Seen, aligned, ratio
from scratchvae.checks.vjp.causes_factor import factor_claim
from scratchvae.checks.vjp.causes_inside import are_shares
from scratchvae.checks.vjp.causes_term import odd
from scratchvae.checks.vjp.word import ONE, Word

PLAIN = 1.6  # words that cost less are arrays themselves, their simple functions, or slopes
SIMPLE = 1.3  # and these are arrays themselves, or the slope of the forward


def a_word_at_a_line(case: Case, seen: Seen) -> Iterator[Claim]:
    """right = c * got * u / v, where the entries are not known one by one: as an_array for a gradient."""
    if seen.through is None:
        return
    aligned_ones = ((w, aligned(case.values[w.name], seen.shape)) for w in case.words)
    words = [(ONE, np.ones(())), *((w, a) for w, a in aligned_ones if a is not None)]
    raw = np.stack([g for g in seen.raw if g is not None])
    divisors = [(w, a) for w, a in words if w.cost < PLAIN and (a != 0).all()]
    for (v, b), (u, a) in itertools.product(divisors, words) if raw.any() else ():
        simple = v == ONE or u == ONE or u.cost < SIMPLE > v.cost
        if u != v and simple and (c := ratio(seen.right, seen.picked(raw * a / b))):
            yield factor_claim(u, v, "in", c)


def another_value(case: Case, seen: Seen) -> Iterator[Claim]:
    """right, or right - got, = c * what becomes of the value of another line: it belongs there, or is a path."""
    if not seen.beside:
        return
    got = seen.got
    for line, a in seen.beside.items():
        rights, gots = [], []
        for way in ways(case, line, a, seen.shape):
            picked = seen.picked(way.value)
            if c := ratio(seen.right, picked):
                rights.append((way, c))
            elif ratio(got, picked):
                gots.append(way.formula)
            elif (c := ratio(seen.right - got, picked)) and seen.explained(seen.right - got - c * picked):
                cost = (3.5 if case.fixed else 2.0) + way.cost + odd(c)  # why: a path has dy in it
                yield Claim("missing-term", "value forgotten", factor=c, detail=(line, way.formula), cost=cost)
        for way, c in rights:
            cause, kind, detail, cost = "elementwise-factor", "another value", (line, way.formula), 2.4
            if way.word != ONE and way.formula == times(line, way.word):
                kind, detail = "another factor", (line,)
            if wrong := next((each for each in gots if untransposed(each) == untransposed(way.formula)), ""):
                cause, kind, detail, cost = "transpose", "another product", (wrong, way.formula), 1.4
            yield Claim(cause, kind, (way.word,), factor=c, detail=detail, cost=cost + way.cost + odd(c))


def untransposed(formula: str) -> str:
    return formula.replace(".T", "")


def a_softmax(case: Case, seen: Seen) -> Iterator[Claim]:
    """right = A * (s - the sum of A s over each row), for shares A and the value s of another line."""
    if not seen.beside:
        return
    for name, A in case.arrays.items():
        if A.shape != seen.shape or not are_shares(A):
            continue
        for line, s in seen.beside.items():
            if s.shape[1:] == A.shape and ratio(seen.right, seen.picked(A * (s - (A * s).sum(axis=-1, keepdims=True)))):
                yield Claim("missing-term", "softmax", detail=(name, line), cost=2.0)


def a_norm(case: Case, seen: Seen) -> Iterator[Claim]:
    """right - got = c * u * (u s summed over an axis), for a word u, or 1, and the value s of another line.

    That is what a mean, a norm, a variance bring.
    """
    if not seen.beside:
        return
    left = seen.right - seen.got
    words = [(w, a) for w in case.words if w.cost < PLAIN and (a := case.values[w.name]).shape == seen.shape]
    for line, s in seen.beside.items():
        for axis in (0, -1) if s.shape[1:] == seen.shape and len(seen.shape) > 1 else ():
            for u, a in [(ONE, np.ones(())), *words]:
                total = a * (s * a).sum(axis=axis + (axis == 0), keepdims=True)
                if c := ratio(left, seen.picked(total)):
                    front, times = ("", "") if u == ONE else (f"{u.formula} * ", f"{u.formula} * ")
                    formula = f"{front}({times}{line}).sum(axis={axis}, keepdims=True)"
                    yield Claim("missing-term", "norm", (), "", c, (line, axis, formula), cost=2.2 + u.cost / 4)


class Way(NamedTuple):
    """What becomes of a value on its way to another one, (M, *shape), as a formula; and a word that it is times of."""

    formula: str
    value: np.ndarray
    cost: float
    word: Word = ONE


def ways(case: Case, name: str, a: np.ndarray, shape: tuple[int, ...]) -> Iterator[Way]:
    """It is passed on, maybe times a word."""
    yield from through(case, name, a, shape)
    for word in case.words:
        if case.values[word.name].shape == a.shape[1:]:
            product = a * case.values[word.name]
            if a.shape[1:] == shape:
                yield Way(times(name, word), product, 0.3 + word.cost / 4, word)
            elif word.cost < 1:  # the slope of the forward
                for way in through(case, times(name, word), product, shape):
                    yield way._replace(cost=way.cost + 0.3 + word.cost / 4, word=word)


def times(name: str, word: Word) -> str:
    return f"({name} * {word.formula})"


def through(case: Case, name: str, a: np.ndarray, shape: tuple[int, ...]) -> Iterator[Way]:
    """It is passed on as it is, summed as for a bias, or multiplied by a matrix."""
    if a.shape[1:] == shape:
        yield Way(name, a, 0.0)
    if a.shape[2:] == shape and a.ndim > 1:
        yield Way(f"{name}.sum(axis=0)", a.sum(axis=1), 0.1)
    if a.ndim != 3 or len(shape) != 2:
        return
    for other, W in case.arrays.items():
        for text, M in ((other, W), (f"{other}.T", W.T)) if W.ndim == 2 else ():
            if (a.shape[1], M.shape[1]) == shape and a.shape[2] == len(M):
                yield Way(f"{name} @ {text}", a @ M, 0.3)
            if (len(M), a.shape[2]) == shape and a.shape[1] == M.shape[1]:
                yield Way(f"{text} @ {name}", M @ a, 0.3)


HYPOTHESES = (a_word_at_a_line, another_value, a_softmax, a_norm)
