"""The rule of the reference, with one slip.

Sizes: T steps, N entries.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from scratchvae.checks.amounts import number
from scratchvae.checks.optimizer.clips import UNCLIPPED, candidates, clipped, clipped_otherwise, norm
from scratchvae.checks.optimizer.decays import by_its_decay
from scratchvae.checks.optimizer.families import SGD, WITHOUT_MOMENTUM
from scratchvae.checks.optimizer.moves import Steps, joined
from scratchvae.checks.optimizer.readings import NONE, Reading, lr_at
from scratchvae.checks.optimizer.rules import number_of
from scratchvae.checks.report import Finding


def by_a_slip(wrong: Mapping[str, Steps], names: list[str], reading: Reading, optimizer: Any) -> Finding | None:
    """What the reference does, with one slip: that is tried only where the reference is seen to follow a known rule."""
    h = joined(wrong)
    bare, run = reading.bare(h), reading.run(h)
    with np.errstate(all="ignore"):
        slips = WITHOUT_MOMENTUM if reading.family is SGD and not reading.numbers["momentum"] else ()
        for slip in (*slips, *reading.family.slips):
            if bare.follows(-reading.lr * slip.direction(run)):
                repair = slip.repair or reading.family.repair
                left = "" if reading.decay == NONE else "; the weight decay as it is"
                left += "" if reading.clip == UNCLIPPED else "; the clip as it is"
                return Finding((), slip.cause, slip.text, repair + left)
        return (
            with_other_numbers(h, reading, optimizer)
            or by_its_decay(h, reading, optimizer)
            or counted_by_parameter(wrong, names, reading)
            or with_other_gradients(wrong, reading, optimizer)
        )


def with_other_numbers(h: Steps, reading: Reading, optimizer: Any) -> Finding | None:
    """The same rule with another beta, momentum or tiny."""
    usual = {"tiny": [10.0**-k for k in range(1, 17)]}
    for name, right in reading.numbers.items():
        own = number_of(optimizer, name)
        values = usual.get(name, (0.0, 0.5, 0.8, 0.9, 0.95, 0.99, 0.999, 0.9999))
        for value in (*(() if own is None else (own,)), *values):
            other = reading._replace(numbers={**reading.numbers, name: value})
            if value != right and h.follows(other.move(h)):
                told = [number(a) if number(value) != number(right) else repr(a) for a in (value, right)]
                text = f"the rule is that of the reference, with {name} = {told[0]}, which is another number"
                return Finding((), "factor", text, f"{name} = {told[1]}")
    return None


def counted_by_parameter(wrong: Mapping[str, Steps], names: list[str], reading: Reading) -> Finding | None:
    """A step counter inside of the loop over the parameters."""
    for name, h in wrong.items():
        run = reading.run(h)
        run = run._replace(t=(run.t - 1) * len(names) + names.index(name) + 1)
        if not reading.bare(h).follows(-lr_at(reading.lr, run.t) * reading.family.direction(run)):
            return None
    text = "the step count grows with every parameter, not with every step"
    return Finding((), "factor", text, "t += 1 once a step, outside of the loop over the parameters")


def with_other_gradients(wrong: Mapping[str, Steps], reading: Reading, optimizer: Any) -> Finding | None:
    """The rule is right, and something is done with the gradients before, or the clip of the reference is not."""
    h = joined(wrong)
    bare, run = reading.bare(h), reading.run(h)
    inside = run.g - clipped(h, reading.clip)  # a decay
    done = changed(h, optimizer) if reading.clip == UNCLIPPED else clipped_otherwise(h, reading.clip, optimizer)
    for text, cause, g in done:
        if bare.follows(-reading.lr * reading.family.direction(run._replace(g=g + inside))):
            repair = "the gradients as they come" if reading.clip == UNCLIPPED else reading.clip.words
            return Finding((), cause, text, repair)
    for text, pool in (("average", np.mean), ("sum", np.sum)):
        parts = (reading.run(part).g for part in wrong.values())
        squares = np.concatenate([pool(g**2, axis=1, keepdims=True) + 0 * g for g in parts], axis=1)
        if bare.follows(-reading.lr * reading.family.direction(run._replace(squares=squares))):
            text = f"the squares are one number for a whole parameter, their {text} over its entries"
            return Finding((), "elementwise-factor", text, "grad * grad, an array like the parameter")
    return None


def changed(h: Steps, optimizer: Any) -> Iterator[tuple[str, str, np.ndarray]]:
    """What is often done with gradients: in words, the cause, and done."""
    cause = "elementwise-factor"
    yield "every gradient is replaced by its sign", cause, np.sign(h.g)
    yield "every gradient is divided by the norm of its parameter's gradient", cause, h.g / norm(h, "each")
    yield "every gradient is divided by the norm of all gradients", cause, h.g / norm(h, "all")
    for clip in candidates(h, optimizer):
        yield clip.words, cause, clipped(h, clip)
