"""A backward that is followed: what it computes on the way, and which value there would make all gradients right.

The gradients are linear in a value that a backward computes, so that value can be solved for.

Sizes: n entries of a value, m of all gradients that were measured, M entries of y, K upstream gradients.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from scratchvae.checks.vjp.call import Pair, copied
from scratchvae.checks.vjp.case import EXPLAINED, Case
from scratchvae.checks.vjp.tape import ORDINALS, Site, Tape, plain, returned
from scratchvae.checks.vjp.told import gradients

LARGEST = 100  # entries of a value that is solved for, in all the rounds of a loop
MOST = 5000  # of one that is not solved for
SITES = 120  # of more the first
OUTPUTS = 24  # so many entries of y are asked; of more a sample
MIXED = 3  # random upstream gradients, for a value that does not depend on dy

Added = Mapping[Site, np.ndarray]  # what is added to the values of a site, (times, *shape)


class Run(NamedTuple):
    """A backward that was followed: its gradients, one after the other (m,), and the values of every site."""

    grads: np.ndarray
    values: dict[Site, np.ndarray]  # (times, *shape) each, before anything was added


class Point(NamedTuple):
    """A point, and the upstream gradients that are asked there, with what the gradients should be for each of them."""

    pair: Pair
    case: Case
    entries: Mapping[str, np.ndarray]  # of all inputs, of those that are right too
    wrong: int  # how many of the m entries are of those that are not
    dys: np.ndarray  # (K + 1, *y.shape), one that is random after those that are asked
    wanted: np.ndarray  # (K, m)
    runs: list[Run]  # of the backward as it is, for each dy
    mixed: bool  # asked for values that do not depend on dy, with random ones


def followed(tape: Tape, pair: Pair, x: Mapping[str, np.ndarray], dy: np.ndarray) -> dict[str, Any]:
    """The forward, and then the backward on a tape: the gradients."""
    constants = tape.within(copied(dict(pair.constants)))
    _, cache = pair.run({name: tape.wrapped(a) for name, a in copied(dict(x)).items()}, constants)
    tape.runs = True
    return dict(plain(pair.pull(tape.wrapped(dy.copy()), tape.within(cache))))


def run(pair: Pair, x: Mapping[str, np.ndarray], dy: np.ndarray, index: Mapping[str, np.ndarray], added: Added) -> Run:
    """The same, with something added to the values of some sites."""
    tape = Tape(added)
    found = followed(tape, pair, x, dy)
    values: dict[Site, np.ndarray] = {}
    for site in [site for site in tape.values if site.code in tape.before_it]:
        del tape.values[site]  # why: a helper that the forward calls as well is right, or both are wrong
    for name in index:
        site, g = returned(gradients([name])), np.array(found[name], float)
        values[site] = g[None]
        found[name] = g + added[site][0] if site in added else g
    for site, times in tape.values.items():
        if len({a.shape for a in times}) == 1:
            values[site] = np.stack(times)
        if 1 < len(times) <= len(ORDINALS) and sum(a.size for a in times) > LARGEST:
            values |= {site._replace(time=n): a[None] for n, a in enumerate(times)}
    return Run(flat(found, index), values)


def flat(found: Mapping[str, Any], index: Mapping[str, np.ndarray]) -> np.ndarray:
    """These entries of the gradients, one after the other, (m,)."""
    return np.concatenate([np.asarray(found[name], float).ravel()[entries] for name, entries in index.items()])


def point_at(case: Case, mixed: bool, number: int) -> Point:
    """What the gradients should be: as measured where they are wrong, as they are elsewhere.

    number: of the point, since each has upstream gradients of its own.
    """
    pair, rng = case.pair, np.random.default_rng(number)
    index = {name: seen.entries for name, seen in case.seen.items()}
    right_ones = case.asked or case.weights
    others = {n: np.arange(case.weights[n].size)[:LARGEST] for n in right_ones if n not in index}
    some = np.arange(len(case.outs))
    if mixed:
        weights = rng.standard_normal((MIXED if case.shape else 1, len(some)))  # (K, M)
    else:
        some = some if len(some) <= OUTPUTS else np.sort(rng.choice(some, OUTPUTS, replace=False))
        weights = np.eye(len(case.outs))[some] * rng.uniform(0.5, 2.0, (len(some), 1))
    dys = np.tensordot([*weights, rng.standard_normal(len(case.outs))], case.dys, 1)  # (K + 1, *y.shape)
    runs = [run(pair, case.weights, dy, {**index, **others}, {}) for dy in dys]
    right = weights @ np.concatenate([seen.right for seen in case.seen.values()]).T  # (K, wrong)
    wrong = right.shape[1]
    wanted = np.stack([np.concatenate([w, r.grads[wrong:]]) for w, r in zip(right, runs, strict=False)])
    seen = {name: s._replace(right=s.right[:, some]) for name, s in case.seen.items()}
    case = case._replace(outs=case.outs[some], around={n: a[some] for n, a in case.around.items()}, seen=seen)
    return Point(pair, case, {**index, **others}, wrong, dys, wanted, runs, mixed)


def leading(point: Point, bent: bool = False) -> Iterator[Site]:
    """The sites on whose value all wrong gradients depend, and linearly; those that have dy in them, or the others.

    bent: not linearly, and no right gradient depends on it, as in a loop where it meets itself; or it is too large.
    """
    rng = np.random.default_rng(0)
    twice = run(point.pair, point.case.weights, 2 * point.dys[-1], point.entries, {}).values
    for site, values in list(point.runs[-1].values.items())[:SITES]:
        with_dy = same(twice.get(site), 2 * values)
        without = same(twice.get(site), values)
        large = LARGEST < values.size <= MOST and len(values) > 1 and bent
        if not values.any() or not (values.size <= LARGEST or large) or not (without if point.mixed else with_dy):
            continue
        more = np.abs(values).max() * rng.standard_normal(values.shape)
        once, again = (changed(point, -1, site, c * more) for c in (1, 2))
        ends = np.cumsum([len(seen.entries) for seen in point.case.seen.values()])[:-1]
        right_ones = not bent or not once[point.wrong :].any()
        if (
            all(part.any() for part in np.split(once[: point.wrong], ends))
            and (large or same(again, 2 * once) != bent)
            and right_ones
        ):
            yield site


def same(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    if a is None or b is None or a.shape != b.shape:
        return False
    return bool(np.abs(a - b).max() <= 1e-9 * np.abs(b).max())


def changed(point: Point, k: int, site: Site, more: np.ndarray) -> np.ndarray:
    """By how much the gradients change, (m,), if so much is added to the value of a site."""
    return run(point.pair, point.case.weights, point.dys[k], point.entries, {site: more}).grads - point.runs[k].grads


class Solved(NamedTuple):
    """The value that would make all gradients right, and the one that is there, for every dy, (K, times, *shape)."""

    right: np.ndarray
    got: np.ndarray
    through: np.ndarray  # (rank, n) what of it the gradients tell, in directions of length 1
    values: list[dict[Site, np.ndarray]]  # of all sites then, for every dy
    spare: int  # gradients that depend on it, less what of it they tell

    @property
    def known(self) -> np.ndarray:
        """The entries, (n,), that the gradients tell."""
        return np.abs((self.through**2).sum(axis=0) - 1) < 1e-9


def solved(point: Point, site: Site) -> Solved | None:
    """What has to be added for the gradients to be right, the same for every dy if they are mixed; None if nothing."""
    values = point.runs[-1].values[site]
    K, n, size = len(point.wanted), values.size, np.abs(values).max()
    units = size * np.eye(n).reshape(n, *values.shape)
    ks = range(K) if point.mixed else (-1,)
    table = np.concatenate([np.stack([changed(point, k, site, u) for u in units], axis=1) for k in ks])  # (any, n)
    left = point.wanted - np.stack([r.grads for r in point.runs[:K]])  # (K, m)
    left = left.reshape(-1, 1) if point.mixed else left.T  # (any, 1 or K)
    U, s, Vt = np.linalg.svd(table, full_matrices=False)
    rank = int((s > 1e-9 * s[0]).sum())
    delta = Vt[:rank].T @ ((U[:, :rank].T @ left) / s[:rank, None])  # (n, 1 or K)
    if np.abs(left - table @ delta).max() > EXPLAINED * np.abs(left).max():
        return None
    added = np.broadcast_to((size * delta).T, (K, n)).reshape(K, *values.shape)
    pair, x = point.pair, point.case.weights
    runs = [run(pair, x, dy, point.entries, {site: more}) for dy, more in zip(point.dys[:K], added, strict=True)]
    if np.abs(point.wanted - [r.grads for r in runs]).max() > EXPLAINED * np.abs(point.wanted).max():
        return None
    got = np.stack([r.values[site] for r in runs])
    spare = int((np.abs(table).max(axis=1) > 0).sum()) - rank
    return Solved(got + added, got, Vt[:rank], [r.values for r in runs], spare)


class Held(NamedTuple):
    """A site at which a single slip may be, with the value that would make all right, at every point."""

    site: Site
    points: list[Point]
    solutions: list[Solved]
    tight: bool = False  # as many unknowns as equations: any value would do, and a small change may be tried

    @property
    def is_telling(self) -> bool:
        """Does it say something that a value there makes all right? With more unknowns than equations any would."""
        return any(first.spare > 0 or bool(first.known.all()) for first in self.solutions[:1])

    @property
    def runs_once(self) -> bool:
        return self.site.time is None and bool(self.solutions) and len(self.solutions[0].got[0]) == 1
