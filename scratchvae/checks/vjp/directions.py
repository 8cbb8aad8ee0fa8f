"""Many entries at once: displacements in which every entry has the same share, so that none hides behind the others.

A single direction answers for all entries of a group if its error bar is small beside the share of one of them: an
entry that is off by a thousandth of itself then shows. Entries of very different shares go into groups of their own.

Sizes: n entries of x, M entries of y, K upstream gradients.
"""

from typing import NamedTuple

import numpy as np

from scratchvae.checks.vjp.differences import (
    COARSER,
    FINER,
    RIPPLE,
    SEEN,
    Function,
    Sight,
    exact,
    length,
    objects,
    reading,
    sight,
)

WITHIN = 100.0  # the largest ratio of two shares in a group
AGREES, DIFFERS, UNSEEN, ABRUPT = "agrees", "differs", "unseen", "abrupt"  # abrupt: more structure than a step resolves


class Answer(NamedTuple):
    """What a direction says of all entries of a group, and the relative error along it."""

    state: str
    error: float


def shares(claims: np.ndarray, units: np.ndarray) -> np.ndarray:
    """How much a step of one unit in each entry should change f, over K upstream gradients: (K, n), (n,) to (n,)."""
    steps = np.abs(claims * units)
    usual = steps.max(axis=1, keepdims=True, initial=0.0)  # (K, 1)  one of the K may be much larger than another
    return (steps / np.where(usual > 0, usual, 1.0)).max(axis=0)


def groups(share: np.ndarray) -> list[np.ndarray]:
    """The places of the entries whose share is not 0, those of like shares together, the largest first."""
    places = np.flatnonzero(share)
    if not len(places):
        return []
    decade = np.floor(np.log(share[places].max() / share[places]) / np.log(WITHIN))
    return [places[decade == d] for d in np.unique(decade)]


def displacement(group: np.ndarray, share: np.ndarray, units: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Like shares but for a factor between 1/2 and 3/2 and a sign: two that are wrong do not cancel; (n,)."""
    u = np.zeros(units.shape)
    alike = units[group] * (share[group].min() / share[group])
    u[group] = alike * rng.choice([-1.0, 1.0], len(group)) * rng.uniform(0.5, 1.5, len(group))
    return u


def along(
    y: Function, x: np.ndarray, at: np.ndarray, dys: np.ndarray, claims: np.ndarray, u: np.ndarray, tolerance: float
) -> Answer:
    """Does y change along u as the claims say, and is every entry that u moves seen to do its part?

    Shapes    at (M,), dys (K, M), claims (K, n), u (n,).
    """
    coarser: list[Sight] = []
    ripple = RIPPLE * length(dys, at)

    def ask(h: float) -> Answer:
        e = exact(x, h * u.reshape(x.shape))
        found = reading(y, x, at, e)
        if found is None:
            return Answer(ABRUPT, np.nan)
        seen = sight(found, dys, 1.0, h)
        slopes = sight(found, dys, h, h)
        coarser.append(slopes)
        if not seen.settled:
            return Answer(ABRUPT, np.nan)
        if any(objects(other, slopes, ripple) for other in coarser):
            return Answer(UNSEEN, np.nan)
        parts = claims * e.ravel()  # (K, n)
        size = length(parts, np.ones(x.size))  # (K,)
        off = np.abs(seen.values - parts.sum(axis=1))  # (K,)
        state = DIFFERS if (off > seen.bars + tolerance * size).any() else UNSEEN
        if state == UNSEEN and each_is_seen(np.abs(parts[:, u != 0]), seen.bars + tolerance * size):
            state = AGREES
        return Answer(state, float((off / np.where(size > 0, size, 1.0)).max()))

    for h in FINER[:8]:
        answer = ask(h)
        if answer.state != ABRUPT:
            break
    for h in COARSER[:3] if answer.state == UNSEEN else ():
        further = ask(h)
        if further.state == ABRUPT:
            break
        answer = further
        if answer.state != UNSEEN:
            break
    return answer


def each_is_seen(parts: np.ndarray, bars: np.ndarray) -> bool:
    """Is the bar small beside the part of every entry, under one of the K at least, and beside the usual one under all?

    Shapes    parts (K, m), bars (K,).
    """
    usual = np.sqrt((parts * parts).mean(axis=1))  # (K,)
    single = (bars[:, None] <= SEEN * parts).any(axis=0)  # (m,)
    return bool(single.all() and (bars <= SEEN * usual).all())
