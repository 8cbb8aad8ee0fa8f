"""A path that a backward has forgotten: does it hold constant what depends on the inputs?

The forward is followed line by line. One value in it, or one operand of one line, is kept as it was while the inputs
move; if the derivatives of that are what the backward returns, for all inputs, it has forgotten that path.

Sizes: K upstream gradients, m entries of all gradients that were measured.
"""

import itertools
import types
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from scratchvae.backend import to_numpy
from scratchvae.checks.report import listed
from scratchvae.checks.vjp.call import copied
from scratchvae.checks.vjp.case import Claim
from scratchvae.checks.vjp.followed import SITES, Point
from scratchvae.checks.vjp.operation import Change, Operation
from scratchvae.checks.vjp.tape import Site, Tape, plain

STEP = 1e-5  # of the differences, relative to an input
EQUAL = 1e-5  # relative to the derivative
LESS = 1e-2  # and to what the backward is off by
USES = 6  # of a name
PATH = 3.0  # what it costs: a repair that can be written down is better
DIRECTIONS = 3  # in which the inputs move, beside each input alone


class Kept(NamedTuple):
    """A value of the forward that is kept; or operands of it, by their places, that are written alike."""

    uses: tuple[tuple[Site, int | None], ...]
    text: str

    @property
    def sites(self) -> set[Site]:
        return {site for site, _ in self.uses}

    @property
    def name(self) -> str:
        """The variable that holds the value, if one does."""
        (site, operand), *more = self.uses
        return site.variable if operand is None and not more else ""

    @property
    def place(self) -> str:
        """line 14 (a / b), or what of it; or what in which lines."""
        (site, operand), *more = self.uses
        if more:
            return f"{self.text} in line {listed(list(dict.fromkeys(str(site.line) for site, _ in self.uses)))}"
        return site.place if operand is None or not self.text else f"{self.text} in {site.place}"

    @property
    def clear(self) -> tuple[int, bool, bool, int]:
        """Of a chain of values the one that has a name is told, or else the last."""
        site, operand = self.uses[0]
        return len(self.uses), operand is not None, not site.variable, -site.line


def detached(points: list[Point]) -> Kept | None:
    """What a backward holds constant, if that alone explains all its gradients, at every point."""
    try:
        bases = [operations(point) for point in points]
    except Exception:  # somebody's function may refuse to be followed
        return None
    first = candidates(bases[0]) if bases else ()
    likely = [kept for kept in first if explains(points[0], kept, bases[0], 1)]
    every = [*zip(points, bases, strict=True)]
    found = [kept for kept in likely if all(explains(point, kept, base, DIRECTIONS) for point, base in every)]
    return min(found, key=lambda kept: kept.clear, default=None)


Base = Mapping[Site, list[Operation]]  # what every line of the forward does, each time


def operations(point: Point) -> Base:
    """What every line of the forward computes, and with what."""
    noted: list[Operation] = []

    def note(operation: Operation) -> Mapping[Change, np.ndarray]:
        noted.append(operation)
        return {}

    tape = Tape({}, (None, note))
    output(tape, point, point.case.weights)
    found: dict[Site, list[Operation]] = {}
    for site, operation in zip(tape.watched, noted, strict=True):
        found.setdefault(site, []).append(operation)
    return dict(list(found.items())[:SITES])


def output(tape: Tape, point: Point, x: Mapping[str, np.ndarray]) -> np.ndarray:
    """y, by a forward that is followed."""
    tape.runs = True
    constants = tape.within(copied(dict(point.pair.constants)))
    y, _ = point.pair.run({name: tape.wrapped(a) for name, a in copied(dict(x)).items()}, constants)
    return to_numpy(plain(y)).astype(float)


def candidates(base: Base) -> Iterator[Kept]:
    """Every value, every operand of floats of what has several, and two or three of those that are written alike."""
    alike: dict[tuple[types.CodeType, str], list[tuple[Site, int | None]]] = {}
    for site, (first, *_) in base.items():
        yield Kept(((site, None),), site.text)
        several = [i for i, a in enumerate(first.operands) if isinstance(a, np.ndarray | np.floating)]
        for i in several:
            text = first.texts[i] if i < len(first.texts) else ""
            if len(several) > 1:
                yield Kept(((site, i),), text)
            if text.isidentifier():
                alike.setdefault((site.code, text), []).append((site, i))
    for (_, text), uses in alike.items():
        for n in (2, 3) if len(uses) <= USES else ():
            yield from (Kept(some, text) for some in itertools.combinations(uses, n))


def explains(point: Point, kept: Kept, base: Base, directions: int) -> bool:
    """Are the gradients those of a forward in which this is kept?"""
    rng = np.random.default_rng(5)
    K = len(point.wanted)
    got = np.stack([run.grads for run in point.runs[:K]])  # (K, m)
    alone = [{name} for name in point.entries] if directions > 1 else []
    for names in [*[set(point.entries)] * directions, *alone]:
        moves = {name: rng.standard_normal(len(i)) * (name in names) for name, i in point.entries.items()}
        along = np.concatenate(list(moves.values()))  # (m,)
        if (change := slope_of(point, kept, base, moves)) is None:
            return False
        slopes = np.tensordot(point.dys[:K], change, change.ndim)  # (K,)
        off, error = np.abs(slopes - got @ along).max(), np.abs((point.wanted - got) @ along).max()
        if off > EQUAL * np.abs(slopes).max() + 1e-9 * np.abs(point.wanted).max() or off > LESS * error > 0:
            return False
    return True


def slope_of(point: Point, kept: Kept, base: Base, moves: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """The derivative of y along a direction, with something kept; None if it does not run."""
    ends = []
    for sign in (1, -1):
        x = copied(dict(point.case.weights))
        for name, entries in point.entries.items():
            x[name] = np.array(x[name])
            x[name].flat[entries] += sign * STEP * moves[name]
        try:
            keeper = Keeper(kept, base)
            keeper.tape = Tape({}, (kept.sites, keeper), puts=True)
            ends.append(output(keeper.tape, point, x))
        except Exception:  # somebody's function may refuse what it does not like
            return None
    return (ends[0] - ends[1]) / (2 * STEP)


class Keeper:
    """Puts what was there before in place of a value, or of operands, each time that a line runs."""

    tape: Tape

    def __init__(self, kept: Kept, base: Base) -> None:
        self.kept, self.times = kept, {site: iter(base[site]) for site in kept.sites}

    def __call__(self, operation: Operation) -> Mapping[Change, np.ndarray]:
        here = self.tape.watched[-1]
        before, places = next(self.times[here]), [i for site, i in self.kept.uses if site == here]
        operands = [before.operands[i] if i in places else a for i, a in enumerate(operation.operands)]
        result = before.result if None in places else operation.function(*operands)
        return {Change("missing-term", "detached", "", "", "", 0.0): np.array(result)}


def claim_of_it(kept: Kept) -> Claim:
    return Claim("missing-term", "detached", detail=(kept.place, kept.name), cost=PATH)
