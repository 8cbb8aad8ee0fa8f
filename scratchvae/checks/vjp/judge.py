"""What follows for the gradient of one input: seen to agree, wrong, or not to be seen.

Directions in which every entry has its share are asked first, and settle most of it. What they leave open is looked at
entry by entry; of a large array by halves, which lead to the entry that is wrong.

Sizes: K upstream gradients, n entries of the input, m of them measured, M entries of y.
"""

import math
from dataclasses import dataclass, field

import numpy as np

from scratchvae.checks.vjp.differences import START, TOLERANCE, length, units
from scratchvae.checks.vjp.directions import (
    ABRUPT,
    AGREES,
    DIFFERS,
    UNSEEN,
    Answer,
    along,
    displacement,
    groups,
    shares,
)
from scratchvae.checks.vjp.still import is_idle
from scratchvae.checks.vjp.subject import LONGER, Entry, Subject, entry_at

ALONG = TOLERANCE / 10  # a direction adds up errors of both signs
SAMPLE = 60  # so many entries of a large array are measured to explain what is wrong
DOUBTED = 1e-4  # from such an error in the opinion of the complex step on a direction is not believed
MOST = 1e60  # the complex step has to stay short
HALVES = 200  # so many halves of a large array are asked


Open = tuple[np.ndarray, Answer]  # entries that a direction did not settle, and what it said


@dataclass
class Judgement:
    """All that was seen of one input: which entries agree, what is open, and the entries that were measured."""

    agreed: np.ndarray  # (n,) bool
    open: list[Open] = field(default_factory=list)
    entries: dict[int, Entry] = field(default_factory=dict)
    error: float = 0.0
    second: float | None = None  # the error in the opinion of the complex step

    @property
    def wrong(self) -> bool:
        return any(entry.state == "wrong" for entry in self.entries.values())

    @property
    def abrupt(self) -> bool:
        """Is there more structure in y than a step resolves, as on a kink?"""
        unsettled = any(entry.state == "unseen" and not entry.settled for entry in self.entries.values())
        return unsettled or any(answer.state == ABRUPT for _, answer in self.open)

    def put(self, place: int, entry: Entry) -> None:
        self.entries[place] = entry
        self.agreed[place] = entry.state == "agrees"


def by_directions(subject: Subject, rng: np.random.Generator) -> Judgement:
    """Settle what can be settled in groups; what they say of the others."""
    judgement = Judgement(np.zeros(subject.value.size, bool))
    if subject.claims is None:
        return judgement
    step = units(subject.value).ravel()  # (n,)
    share = shares(subject.claims, step)  # (n,)
    tolerance = ALONG + subject.rounding
    judgement.second = by_the_complex_step(subject, share, step, rng)
    exact = judgement.second is not None and judgement.second <= tolerance
    for group in groups(share):
        answer = ask(subject, group, np.where(share > 0, share, 1.0), step, rng)
        doubted = judgement.second is not None and judgement.second > DOUBTED
        if (answer.state == AGREES and not doubted) or (answer.state != DIFFERS and exact):
            judgement.agreed[group] = True
            judgement.error = max(judgement.error, answer.error if answer.state == AGREES else judgement.second or 0.0)
        else:
            judgement.open.append((group, answer))
    idle = np.flatnonzero(share == 0)
    if len(idle) and all_idle(subject, idle, step, rng):
        judgement.agreed[idle] = True
    elif len(idle):
        judgement.open.append((idle, ask(subject, idle, np.ones(len(share)), step, rng)))
    return judgement


def ask(subject: Subject, group: np.ndarray, share: np.ndarray, step: np.ndarray, rng: np.random.Generator) -> Answer:
    """What a direction says of a group of entries."""
    claims = subject.claims
    assert claims is not None
    u = displacement(group, share, step, rng)
    return along(subject.y, subject.value, subject.at, subject.dys, claims, u, ALONG + subject.rounding)


def one_by_one(subject: Subject, judgement: Judgement, rng: np.random.Generator) -> None:
    """Settle what the directions left open: every entry of a small array, of a large one what halving leads to."""
    n = subject.value.size
    if n > subject.most and subject.claims is not None:
        by_halves(subject, judgement, rng)
    else:
        places = np.flatnonzero(~judgement.agreed)
        for i in map(int, places if n <= subject.most else rng.choice(n, SAMPLE, replace=False)):
            judgement.put(i, entry_at(subject, i))
        judgement.open = []
    if subject.claims is not None:
        for entry in judgement.entries.values():
            if entry.state == "agrees":
                size = length(subject.dys, entry.column)
                judgement.error = max(judgement.error, float((entry.off / np.where(size > 0, size, 1.0)).max()))


def by_the_complex_step(
    subject: Subject, share: np.ndarray, step: np.ndarray, rng: np.random.Generator
) -> float | None:
    """The relative error along a direction in which all entries have the same share: here none is too small."""
    claims, places = subject.claims, np.flatnonzero(share)
    assert claims is not None
    if not len(places):
        return None
    u = displacement(places, share, step, rng)
    u *= min(MOST, math.sqrt(share[places].max() / share[places].min()))  # why: the largest must not underflow
    exact = subject.exact(u)
    if exact is None:
        return None
    parts = claims * u  # (K, n)
    size = length(parts, np.ones(parts.shape[1]))  # (K,)
    off = np.abs(subject.dys @ exact - parts.sum(axis=1))  # (K,)
    return float((off / np.where(size > 0, size, 1.0)).max())


def all_idle(subject: Subject, places: np.ndarray, step: np.ndarray, rng: np.random.Generator) -> bool:
    """Is the derivative by all these entries exactly 0? The complex step knows; or y stands still, with its reasons.

    Of more entries than can be looked at one by one the reasons of a sample are asked.
    """
    u = displacement(places, np.ones(step.shape), step, rng)
    exact = subject.exact(LONGER * u)
    if exact is not None:
        return not exact.any()
    if len(step) <= subject.most:
        return False  # they are looked at one by one
    e = START * u.reshape(subject.value.shape)
    still = all(np.array_equal(subject.y(subject.value + s * e).ravel(), subject.at) for s in (1, -1))
    sample = rng.choice(places, min(len(places), SAMPLE), replace=False)
    return still and all(is_idle(subject.y, subject.value, subject.at, int(i)) for i in sample)


def by_halves(subject: Subject, judgement: Judgement, rng: np.random.Generator) -> None:
    """Follow what differs through ever smaller halves, down to an entry that is wrong; and split what is too abrupt."""
    assert subject.claims is not None
    step = units(subject.value).ravel()
    share = shares(subject.claims, step)
    share = np.where(share > 0, share, 1.0)
    stack = sorted(judgement.open, key=lambda each: each[1].state == DIFFERS)
    judgement.open = [each for each in stack if each[1].state == UNSEEN]
    stack = [each for each in stack if each[1].state != UNSEEN]
    for _ in range(HALVES):
        if not stack or judgement.wrong:
            break
        group, _ = stack.pop()
        if len(group) == 1:
            judgement.put(int(group[0]), entry_at(subject, int(group[0])))
            continue
        asked = [(half, ask(subject, half, share, step, rng)) for half in np.array_split(rng.permutation(group), 2)]
        for half, answer in asked:
            judgement.agreed[half] = answer.state == AGREES
        judgement.open += [each for each in asked if each[1].state == UNSEEN]
        halves = [each for each in asked if each[1].state in (DIFFERS, ABRUPT)]
        stack += sorted(halves, key=lambda each: (each[1].state == DIFFERS, np.nan_to_num(each[1].error)))
    judgement.open += stack


def evidence(subject: Subject, judgement: Judgement, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The entries that were measured, all of them or a sample with the wrong ones, (m,), and their columns, (m, M)."""
    n = subject.value.size
    wanted = range(n) if n <= subject.most else rng.choice(n, min(n, SAMPLE), replace=False)
    for i in map(int, wanted):
        if i not in judgement.entries:
            judgement.entries[i] = entry_at(subject, i)
    entries = judgement.entries
    good = sorted(i for i in entries if entries[i].state != "unseen" or entries[i].settled) or sorted(entries)
    return np.array(good), np.stack([column_of(subject, i, entries[i]) for i in good])


def column_of(subject: Subject, place: int, entry: Entry) -> np.ndarray:
    """By the complex step, where it is a witness: differences may have a kink within their reach."""
    u = np.zeros(subject.value.size)
    u[place] = 1.0
    exact = subject.exact(u)
    return entry.column if exact is None else exact
