"""Which of the usual rules the reference follows, with which numbers, and with which decay of the weights.

Sizes: T steps, N entries.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from scratchvae.checks.amounts import number
from scratchvae.checks.optimizer.clips import COMMON, UNCLIPPED, Clip, candidates, clipped
from scratchvae.checks.optimizer.families import FAMILIES, OFTEN_CLIPPED
from scratchvae.checks.optimizer.moves import Steps, median_ratio
from scratchvae.checks.optimizer.rules import Family, Run, number_of
from scratchvae.checks.vjp.case import ratio

USUAL = {  # numbers that an optimizer may have without an attribute for them
    "momentum": (0.0, 0.9),
    "beta1": (0.9,),
    "beta2": (0.999, 0.99),
    "rho": (0.9, 0.99, 0.95),
    "tiny": (1e-8, 1e-7, 1e-6, 1e-10),
}
DECAYS = [f * 10.0**-k for k in range(7) for f in (1.0, 5.0, 2.0)]
EARLY = 5  # steps that are looked at first
COURSES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "1 / t": lambda t: 1 / t,
    "1 / sqrt(t)": lambda t: t**-0.5,
    "t": lambda t: t,
}
Way = Callable[[Steps, "Reading", Any], "Reading | None"]


class Decay(NamedTuple):
    """Where a decay of the weights stands, and its size.

    beside: the step also takes away size * param. after: it does so with the new parameter. inside: size * param is
    added to the gradient.
    """

    where: str = "nowhere"
    size: float = 0.0


NONE = Decay()


class Reading(NamedTuple):
    """The rule of the reference. lr is one number, or one for each step, (T, 1)."""

    family: Family
    numbers: Mapping[str, float]
    lr: float | np.ndarray
    decay: Decay = NONE
    clip: Clip = UNCLIPPED  # of the gradients, before all else

    def run(self, h: Steps, decay: Decay | None = None) -> Run:
        decay = self.decay if decay is None else decay
        g = clipped(h, self.clip)
        g = g + decay.size * h.p if decay.where == "inside" else g
        return Run(g, np.arange(1.0, len(h.g) + 1)[:, None], **dict[str, Any](self.numbers))

    def move(self, h: Steps, decay: Decay | None = None) -> np.ndarray:
        """What an optimizer of this rule does, with this decay."""
        decay = self.decay if decay is None else decay
        step = -self.lr * self.family.direction(self.run(h, decay))
        if decay.where == "beside":
            return np.asarray(step - decay.size * h.p)
        return np.asarray(step - decay.size * (h.p + step) if decay.where == "after" else step)

    def bare(self, h: Steps) -> Steps:
        """What an optimizer did, without the decay that the reference has."""
        if self.decay.where not in ("beside", "after"):
            return h
        left = 1 - self.decay.size if self.decay.where == "after" else 1.0
        return h._replace(move=(h.move + self.decay.size * h.p) / left)


def reading_of(h: Steps, reference: Any) -> Reading | None:
    """The first rule that explains all moves of the reference: without a decay, with one, with a schedule of lr."""
    with np.errstate(all="ignore"):
        return read(h.reference, reference, UNCLIPPED, (plain, with_decay, with_schedule), FAMILIES)


def clipped_reading_of(h: Steps, reference: Any) -> Reading | None:
    """The same of a reference that clips the gradients first; few rules are tried, since there are many clips."""
    h = h.reference
    searches: list[tuple[tuple[Way, ...], tuple[float, ...]]]
    searches = [((plain,), ()), ((with_decay, with_schedule), ()), ((plain,), COMMON)]
    with np.errstate(all="ignore"):
        for ways, guesses in searches:
            for clip in candidates(h.first(EARLY), reference, guesses):
                if found := read(h, reference, clip, ways, OFTEN_CLIPPED):
                    return found
    return None


def read(h: Steps, reference: Any, clip: Clip, ways: tuple[Way, ...], families: tuple[Family, ...]) -> Reading | None:
    """The first rule, with that clip, in one of these ways."""
    lr = number_of(reference, "lr")
    for at_once in ways:
        for family in families:
            few = at_once is with_decay or clip != UNCLIPPED
            for numbers in numbers_of(reference, family, few):
                start = Reading(family, numbers, np.nan if lr is None else lr, clip=clip)
                found = at_once(h.first(EARLY), start, reference)
                if found and (found := at_once(h, found, reference)):
                    return found
    return None


def numbers_of(reference: Any, family: Family, few: bool) -> Iterator[dict[str, float]]:
    """The numbers that a family needs, those of the reference first; few: no guesses where it has one."""
    choices = []
    for name in family.needs:
        own = number_of(reference, name)
        guesses = USUAL[name] if own is None or not few else (0.0,) if name == "momentum" else ()
        choices.append(tuple(dict.fromkeys(((own,) if own is not None else ()) + guesses)))
    for values in itertools.product(*choices):
        yield dict(zip(family.needs, values, strict=True))


def scaled(h: Steps, reading: Reading, decay: Decay = NONE) -> Reading | None:
    """With the lr that is given, or else with the one that is seen."""
    direction = reading.family.direction(reading.run(h, decay))
    if np.ndim(reading.lr) or not np.isfinite(reading.lr):
        reading = reading._replace(lr=float(median_ratio(-h.move, direction)))
    return reading._replace(decay=decay) if h.follows(-reading.lr * direction) else None


def plain(h: Steps, reading: Reading, reference: Any) -> Reading | None:
    return scaled(h, reading)


def with_decay(h: Steps, reading: Reading, reference: Any) -> Reading | None:
    """Beside the step, after it, or inside the gradient."""
    direction = reading.family.direction(reading.run(h, NONE))
    decay = beside(h, direction, reading.lr)
    if decay:
        lr = reading.lr if np.isfinite(reading.lr) else two_numbers(h, direction)[0]
        return reading._replace(lr=lr, decay=decay)
    given = number_of(reference, "decay")
    for size in (*([given] if given else []), *DECAYS):
        if found := scaled(h, reading, Decay("inside", size)):
            return found
    return None


def two_numbers(h: Steps, direction: np.ndarray) -> tuple[float, float]:
    """lr and c of move = -lr * direction - c * param, as well as they fit."""
    columns = np.stack([-direction.ravel(), -h.p.ravel()], axis=1)
    if not np.isfinite(columns).all():
        return np.nan, np.nan
    (lr, size), *_ = np.linalg.lstsq(columns, h.move.ravel(), rcond=None)
    return float(lr), float(size)


def beside(h: Steps, direction: np.ndarray, lr: float | np.ndarray) -> Decay | None:
    """A decay that stands beside the step or, where the step is shortened too, after it."""
    if not np.ndim(lr) and not np.isfinite(lr):
        lr = two_numbers(h, direction)[0]
    step = -lr * direction
    if (c := ratio(h.move - step, -h.p)) and h.follows(step - c * h.p):
        return Decay("beside", c)
    if (c := ratio(h.move - step, -(h.p + step))) and h.follows(step - c * (h.p + step)):
        return Decay("after", c)
    return None


def with_schedule(h: Steps, reading: Reading, reference: Any) -> Reading | None:
    """With one lr for each step, where that follows a usual course."""
    direction = reading.family.direction(reading.run(h, NONE))
    lr = median_ratio(-h.move, direction, axis=1)[:, None]
    usual = np.isfinite(lr).all() and course(lr.ravel())
    return reading._replace(lr=lr) if usual and h.follows(-lr * direction) else None


def course(lr: np.ndarray) -> str:
    """How a number goes on from step to step, in words; nothing if in no usual way."""
    if len(lr) < 3 or not (lr > 0).all():
        return ""
    t = np.arange(1.0, len(lr) + 1)
    for what, shape in COURSES.items():
        if np.allclose(lr, lr[0] * shape(t), rtol=1e-5, atol=0.0):
            return what
    highest = float(lr[-1] / lr[0])
    if np.allclose(lr, lr[0] * np.minimum(t, highest), rtol=1e-5, atol=0.0) and highest > 1.5:
        return f"min(t, {number(highest)})"
    if np.allclose(lr[1:] / lr[:-1], lr[1] / lr[0], rtol=1e-5, atol=0.0):
        return "the same" if abs(lr[1] / lr[0] - 1) <= 1e-5 else "a power"
    return ""


def lr_at(lr: float | np.ndarray, t: np.ndarray) -> np.ndarray:
    """What lr is at other counts t, if it goes on as in the steps that were seen."""
    seen = np.ravel(lr)
    what = course(seen)
    if what in COURSES:
        return np.asarray(seen[0] * COURSES[what](t))
    if what in ("a power", "the same"):
        return np.asarray(seen[0] * (seen[1] / seen[0]) ** (t - 1))
    return np.full_like(t, seen[0] if len(seen) == 1 else np.nan)
