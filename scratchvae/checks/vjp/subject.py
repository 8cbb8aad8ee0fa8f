"""One input of a pair, the others held fixed: what can be said of every entry of its gradient.

First all entries together, in directions where each has its share; then, where those do not settle it, one by one.

Sizes: K upstream gradients, n entries of the input, M entries of y.
"""

from typing import Any, NamedTuple

import numpy as np

from scratchvae.checks.vjp.call import Pair, Values
from scratchvae.checks.vjp.complex_step import complex_step, lies
from scratchvae.checks.vjp.differences import (
    EPSILON,
    SEEN,
    START,
    Sight,
    length,
    measured,
    on_a_kink,
    size_of,
    units,
    verdict,
)
from scratchvae.checks.vjp.still import is_idle

ENTRIES = 256  # so many are looked at one by one
HARDLY = 1e-6  # such a share of y may be lost in rounding inside forward
NEARLY = 1e-2  # so little, relative, may be the rounding of the claim
FELT = 1e-2  # such a step, in units of an entry, moves its gradient by more than the rounding of numbers near 1
SHORTER = 4  # stretches, each a quarter as long as the one before
POINTS, DEGREE = 24, 8  # of the curve beside which noise shows
GRAIN = EPSILON / 2  # what numbers just below 1 are multiples of
FEW = 1e6  # of more grains y shows by itself how it is rounded
LENGTHS = 2 ** (np.arange(8) / 8)  # of complex steps: every one is rounded in its own way
LONGER = 1e80  # so much longer a complex step, for slopes below 1e-200


class Subject(NamedTuple):
    """One input of a pair at the point x, and what its backward claims there."""

    pair: Pair
    x: Values
    name: str
    at: np.ndarray  # (M,) y
    dys: np.ndarray  # (K, M)
    claims: np.ndarray | None  # (K, n); None where the shapes do not fit
    rounding: float = 0.0  # of the claims, relative to the largest of them
    by_differences: bool = False  # alone: the complex step is no witness here

    @property
    def value(self) -> np.ndarray:
        return self.x[self.name]

    def y(self, value: np.ndarray) -> np.ndarray:
        return self.pair.y({**self.x, self.name: value})

    def exact(self, u: np.ndarray) -> np.ndarray | None:
        """The derivatives along u by the complex step, (M,)."""
        return None if self.by_differences else complex_step(self.end, self.value, u.reshape(self.value.shape))

    def end(self, value: np.ndarray) -> Any:
        """y as it comes, for a complex value as well."""
        return self.pair.run({**{name: a.copy() for name, a in self.x.items()}, self.name: value})[0]

    @property
    def with_its_witnesses(self) -> "Subject":
        """Without the complex step, if that is none."""
        return self._replace(by_differences=lies(self.y, self.end, self.value, self.dys))

    def slack(self, place: int) -> np.ndarray:
        """What rounding may have done to the claims of one entry: what it does to y, and to the neighbours; (K,).

        A tiny output of a whole number of grains is what rounding has left of numbers near 1, as log(1 + 4e-16) is,
        and one of hardly any may be.
        """
        assert self.claims is not None
        less = (self.at != 0) & (np.abs(self.at) < 1e-6 * GRAIN)  # (M,)
        level = np.where(is_of_grains(self.at) | less, 1.0, self.at)  # (M,)
        own = 64 * EPSILON * length(self.dys, level) / float(units(self.value).flat[place])
        return own + max(self.rounding, 8 * EPSILON) * np.abs(self.claims).max(axis=1)  # why: as of 1 + tanh(-20)

    @property
    def upstreams(self) -> np.ndarray:
        """dys as backward takes them, (K, *y.shape)."""
        return self.dys.reshape(len(self.dys), *self.pair.y(self.x).shape)

    @property
    def most(self) -> int:
        """How many entries are looked at one by one: their columns are kept."""
        return max(50, min(ENTRIES, 5_000_000 // max(1, len(self.at))))


def is_of_grains(y: np.ndarray) -> np.ndarray:
    """Which outputs are so tiny, and such a whole number of grains, that rounding has left them of numbers near 1?"""
    grains = np.abs(y) / GRAIN
    return (grains > 0.5) & (grains < FEW) & (np.abs(grains - np.round(grains)) < 1e-6)


class Entry(NamedTuple):
    """What was measured at one entry: the derivative of every output, and what follows for the claims."""

    column: np.ndarray  # (M,)
    state: str  # "agrees", "wrong" or "unseen"
    off: np.ndarray  # (K,)
    settled: bool


def entry_at(subject: Subject, place: int) -> Entry:
    """What stands still, by its reasons; by differences; and by the complex step where they do not see it."""
    value, at, dys = subject.value, subject.at, subject.dys
    idle = subject.claims is not None and not subject.claims[:, place].any()
    if idle and stands_still(subject, place):
        return Entry(np.zeros(at.shape), "agrees", np.zeros(len(dys)), True)
    seen = measured(subject.y, value, at, place, dys)
    if subject.claims is None:
        column = np.full(at.shape, np.nan) if seen is None else seen.column
        return Entry(column, "unseen" if seen is None or not is_there(seen) else "wrong", dys[:, 0], seen is not None)
    claims, slack = subject.claims[:, place], subject.slack(place)
    state = verdict(claims, seen, dys, slack) if seen else "unseen"
    if seen and state == "wrong" and not confirmed(subject, place, seen):
        state, seen = "unseen", seen._replace(settled=False)
    better = by_the_complex_step(subject, place) if state == "unseen" else None
    if better and (seen is None or not seen.settled or seen.agrees(better)):
        if verdict(claims, better, dys, slack) == "wrong":  # why: rounding in forward is in the slopes of y as well
            unit = float(units(value).flat[place])
            felt = np.maximum(1 / unit, np.abs(better.values))  # (K,)  and in those of a logarithm by as much of itself
            slack = slack + 8 * noise(subject, place, START * unit) * felt
        state, seen = verdict(claims, better, dys, slack), better
    if seen is None:
        return Entry(np.full(at.shape, np.nan), "unseen", np.zeros(len(dys)), False)
    if state == "wrong" and nearly(claims, seen):
        state = verdict(claims, seen, dys, slack + 8 * noise_of_claims(subject, place))
    return Entry(seen.column, state, np.abs(claims - seen.values), seen.settled)


def stands_still(subject: Subject, place: int) -> bool:
    """Is the derivative of every output exactly 0, as the complex step knows, or else as its reasons say?"""
    u = np.zeros(subject.value.size)
    u[place] = float(units(subject.value).flat[place])
    column = subject.exact(u)
    return is_idle(subject.y, subject.value, subject.at, place) if column is None else not column.any()


def confirmed(subject: Subject, place: int, seen: Sight) -> bool:
    """Is a claim still wrong by steps of other lengths, with rounding inside forward counted in, and y not stuck?

    An output that stands still is stuck if what is claimed would hardly show in it, and idle if there is a reason.
    """
    value, at, dys = subject.value, subject.at, subject.dys
    assert subject.claims is not None
    claims, slack = subject.claims[:, place], subject.slack(place)
    u = np.zeros(value.size)
    u[place] = seen.h
    column = subject.exact(u) if seen.column.any() else None
    if column is not None and far_off(claims, dys @ column / seen.h, seen):
        return True
    again = measured(subject.y, value, at, place, dys, start=0.3)
    if again is None or not again.agrees(seen):
        return False  # why: two bars are hardly both too short by chance
    if not seen.column.any():
        shows = (np.abs(claims * seen.h) > HARDLY * np.abs(dys * at).max(axis=1, initial=0.0)).all() and at.any()
        return bool(shows) or is_idle(subject.y, value, at, place)
    noisy = (with_noise(subject, place, one) for one in (seen, again))
    return all(verdict(claims, one, dys, slack) == "wrong" for one in noisy)


def far_off(claims: np.ndarray, exact: np.ndarray, seen: Sight) -> bool:
    """Do differences and the complex step agree, and the claims with neither, by more than any rounding? (K,) each."""
    off, size = np.abs(claims - exact), np.abs(exact)
    return bool((np.abs(exact - seen.values) <= seen.bars).all() and (off > SEEN * size + 4 * seen.bars).any())


def is_there(seen: Sight) -> bool:
    """Is there a slope at all?"""
    return bool((np.abs(seen.values) > seen.bars).any())


def with_noise(subject: Subject, place: int, seen: Sight) -> Sight:
    """A sight whose bars know of rounding inside forward, which y does not show if terms cancel in it."""
    return seen._replace(bars=seen.bars + 4 * noise(subject, place, seen.h) / abs(seen.h))


def nearly(claims: np.ndarray, seen: Sight) -> bool:
    """Is a claim off by so little that it may be its own rounding, as that of p - 1 for a p near 1?"""
    return bool((np.abs(claims - seen.values) <= NEARLY * np.abs(seen.values)).all())


def noise_of_claims(subject: Subject, place: int) -> np.ndarray:
    """What is left of one entry of the gradient, beside x, when a smooth curve has been laid through it, (K,).

    What a curve that bends too much leaves over is gone in a shorter stretch; rounding is not.
    """
    reaches = FELT / 4.0 ** np.arange(SHORTER + 1)
    return np.asarray(np.min([claims_beside_a_curve(subject, place, reach) for reach in reaches], axis=0))  # (K,)


def claims_beside_a_curve(subject: Subject, place: int, reach: float) -> np.ndarray:
    """How far the claims are from a smooth curve within a stretch, in units of the entry, (K,)."""
    value, unit = subject.value, float(units(subject.value).flat[place])
    t = np.random.default_rng(place).uniform(-1.0, 1.0, POINTS)
    claims = []
    for each in t:
        there = value.copy()
        there.flat[place] += reach * unit * each
        grads = (subject.pair.grads({**subject.x, subject.name: there}, dy) for dy in subject.upstreams)
        claims.append([float(np.asarray(g[subject.name]).flat[place]) for g in grads])
    return left_over(t, np.array(claims), DEGREE)


def left_over(t: np.ndarray, y: np.ndarray, degree: int) -> np.ndarray:
    """How far values y (POINTS, M) at the points t are from a smooth curve, (M,)."""
    curve = np.polynomial.chebyshev.chebvander(t, degree)  # (POINTS, degree + 1)
    left = y - curve @ np.linalg.lstsq(curve, y, rcond=None)[0]
    return np.sqrt((left**2).sum(axis=0) / (len(t) - degree - 1))


def noise(subject: Subject, place: int, h: float) -> np.ndarray:
    """What is left of y between the points that a step h reads when a smooth curve has been laid through it, (K,)."""
    value = subject.value
    t = np.random.default_rng(place).uniform(-1.0, 1.0, POINTS)
    outputs = []
    for each in t:
        there = value.copy()
        there.flat[place] += 4 * h * each
        outputs.append(subject.y(there).ravel() - subject.at)
    return length(subject.dys, left_over(t, np.array(outputs), DEGREE))


def by_the_complex_step(subject: Subject, place: int) -> Sight | None:
    """What the complex step sees of one entry; nothing on a kink, where it follows one of two slopes.

    Steps of several lengths differ by what rounding does to it. A slope below all numbers of the first one takes a
    longer one.
    """
    value, unit = subject.value, float(units(subject.value).flat[place])
    u = np.zeros(value.size)
    u[place] = unit
    column = subject.exact(u)
    if column is None or on_a_kink(lambda h: subject.y(value + h * u.reshape(value.shape)).ravel()):
        return None
    by = LONGER if np.abs(column).max(initial=0.0) < 1 / LONGER else 1.0
    columns = [found / (by * s * unit) for s in LENGTHS if (found := subject.exact(by * s * u)) is not None]
    if len(columns) < len(LENGTHS):
        return None
    spread = np.ptp(columns, axis=0)  # (M,)
    bars = 1e-13 * length(subject.dys, columns[0]) + 4 * length(subject.dys, spread)
    return Sight(0.0, columns[0], subject.dys @ columns[0], bars, True)


def off_the_kink(pair: Pair, x: Values, rng: np.random.Generator) -> Values | None:
    """A point nearby, if x itself is on a kink, where every slope between two is a right one."""
    for _ in range(3):
        u = {name: size_of(value) * rng.standard_normal(value.shape) for name, value in x.items()}
        beside = {name: value + 0.03 * u[name] for name, value in x.items()}

        def y(h: float, u: Values = u) -> np.ndarray:
            return pair.y({name: value + h * u[name] for name, value in x.items()}).ravel()

        if on_a_kink(y):
            return beside if np.isfinite(pair.y(beside)).all() else None
    return None
