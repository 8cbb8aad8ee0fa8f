"""Why an optimizer moves its parameters in another way than its reference.

Sizes: T steps, N entries.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from scratchvae.checks.amounts import number, off_by, same
from scratchvae.checks.optimizer.clips import norm
from scratchvae.checks.optimizer.decays import by_a_decay
from scratchvae.checks.optimizer.families import SGD
from scratchvae.checks.optimizer.moves import ALLOWED, ROUNDING, Steps, joined, median_ratio
from scratchvae.checks.optimizer.readings import Reading, clipped_reading_of, course, reading_of
from scratchvae.checks.optimizer.rules import number_of
from scratchvae.checks.optimizer.slips import by_a_slip
from scratchvae.checks.report import Finding


def explain_steps(wrong: Mapping[str, Steps], names: list[str], optimizer: Any, reference: Any) -> list[Finding]:
    """One finding for all that one slip explains: first what does not move at all, then the rest together."""
    still = [name for name, h in wrong.items() if not h.move.any()]
    rest = {name: h for name, h in wrong.items() if name not in still}
    found = []
    if still:
        text = (
            f"step does not move {' and '.join(still)}: it is skipped, or a new array is made of it, or 0 is taken away"
        )
        repair = "every parameter in place: params[name] -= ..."
        found.append(numbered(Finding(tuple(still), "zero", text, repair), wrong[still[-1]]))
    if rest:
        with np.errstate(all="ignore"):
            finding = explain_moves(rest, names, optimizer, reference)
        found.append(numbered(finding._replace(inputs=tuple(rest)), rest[list(rest)[-1]]))
    return found


def numbered(finding: Finding, h: Steps) -> Finding:
    """With the two moves at the worst entry of the first wrong step."""
    worst = h.off.max(axis=1)
    t = int(np.argmax(worst > min(1e-4, 0.5 * float(worst.max()))))  # why: where the digits that are shown differ
    i = int(h.off[t].argmax())
    return finding._replace(where=(i,), expected=float(h.wanted[t, i]), got=float(h.move[t, i]))


def explain_moves(wrong: Mapping[str, Steps], names: list[str], optimizer: Any, reference: Any) -> Finding:
    """The first of: a number that is not finite, rounding, a constant, a slip of the rule, a number of each step."""
    h = joined(wrong)
    if not np.isfinite(h.move).all():
        t = int(np.flatnonzero(~np.isfinite(h.move).all(axis=1))[0]) + 1
        return Finding((), "non-finite", f"step {t} moves the parameters to something that is not finite")
    if is_rounding(h):
        return by_a_decay(h, optimizer, reference) or rounded(h)
    reading = reading_of(h, reference) or clipped_reading_of(h, reference)
    return (
        by_a_constant(wrong, optimizer, reference, reading)
        or (by_a_slip(wrong, names, reading, optimizer) if reading else None)
        or by_a_decay(h, optimizer, reference)
        or by_a_number_a_step(h, reading)
        or by_another_rule(h, reading, optimizer)
        or by_a_number_a_parameter(wrong)
        or by_a_curve(h)
        or unknown(h)
    )


def is_rounding(h: Steps) -> bool:
    """Are all differences small, and some up, some down, beside what an entry moves at most or what it holds?"""
    error = (h.move - h.wanted) * np.sign(h.wanted)
    sizes = np.maximum.accumulate(np.abs(h.wanted), axis=0)
    small = (np.abs(error) <= 2e-6 * sizes).all() or (np.abs(error) <= 1.5e-7 * (np.abs(h.p) + np.abs(h.move))).all()
    at_once = (np.abs(error) > 4 * ROUNDING * (np.abs(h.p) + np.abs(h.wanted)))[0].any()
    if not small or not at_once:  # why: a wrong number of what is remembered spares step 1, and rounding does not
        return False
    seen = error[h.off > ALLOWED]
    uneven = np.abs(seen).max() > 1.5 * np.median(np.abs(seen))  # why: what is added is the same in many entries
    return bool(uneven) and 0.15 < float((seen > 0).mean()) < 0.85


def rounded(h: Steps) -> Finding:
    """Of the parameters themselves, or of something on the way."""
    after = h.p + h.move
    if (np.abs(after.astype(np.float32) - after) <= 1e-14 * np.abs(after)).all():
        text = "the new parameters hold the digits of float32 alone"
    else:
        text = "the moves are those of the reference in their first digits, and differ up and down in those that follow"
    return Finding((), "precision", f"{text}: numbers are rounded on the way", "float64 in step, and in all it keeps")


def by_a_constant(
    wrong: Mapping[str, Steps], optimizer: Any, reference: Any, reading: Reading | None
) -> Finding | None:
    """One for all of them, or one that each has of its own size."""
    c = {name: float(median_ratio(h.move, h.wanted)) for name, h in wrong.items()}
    if not all(h.follows(h.wanted, c[name]) for name, h in wrong.items()):
        return None
    first = next(iter(c.values()))
    if all(same(a, first) for a in c.values()):
        text, repair = off_by(first)
        if 0 < abs(first - 1) < 1e-3:
            return nearly(first, number_of(reference, "lr") or np.nan)
        cause = "sign" if same(first, -1.0) else "factor"
        text = f"every move {text}{origin_of(first, optimizer, reference, reading)}"
        return Finding((), cause, text, repair, 1 / first)
    text = (
        f"the moves of each parameter are multiplied by another number: {' and '.join(number(a) for a in c.values())}"
    )
    return Finding((), "factor", text, "one lr for all: no division by the size of a parameter")


def nearly(c: float, lr: float) -> Finding:
    """One number for all moves, large and small: no tiny is to blame, but perhaps the digits of lr."""
    if np.isclose(c, float(np.float32(lr)) / lr, rtol=1e-12, atol=0.0):
        return Finding((), "precision", "lr is rounded to float32, and every move with it", "lr in float64", 1 / c)
    return Finding((), "factor", f"every move is off by {c - 1:.2g} of itself", "", 1 / c)


def origin_of(c: float, optimizer: Any, reference: Any, reading: Reading | None) -> str:
    """Which number of the reference c may be, or what is left of 1; or that the two have another lr.

    A question: no other numbers can be tried on an optimizer that is handed in, and any number may be that by chance.
    """
    lr, own = number_of(reference, "lr"), number_of(optimizer, "lr")
    if lr and own and not same(own, lr):
        return f", as lr is: {number(own)}, not {number(lr)}" if same(own / lr, c) else ""
    numbers = {**(reading.numbers if reading else {}), "lr": lr or 0.0}
    known = [name for name, value in numbers.items() if 0 < value < 1 and same(c, value)]
    known += [f"1 - {name}" for name, value in numbers.items() if name != "lr" and 0 < value < 1 and same(c, 1 - value)]
    known = known or [f"1 / {name}" for name, value in numbers.items() if 0 < value < 1 and same(c * value, 1)]
    known += [f"1 / (1 - {name})" for name, value in numbers.items() if name != "lr" and same(c * (1 - value), 1)]
    return f": is it {' or '.join(known)}?" if known and not same(c, 1) else ""


def by_a_number_a_step(h: Steps, reading: Reading | None) -> Finding | None:
    """Whole steps are too long or too short."""
    if reading and np.ndim(reading.lr):
        reading = reading._replace(lr=np.asarray(reading.lr)[: clear(h)])
    h = h.first(clear(h))
    bare = reading.bare(h) if reading else h
    wanted = reading.bare(h.reference).move if reading else h.wanted
    r = median_ratio(bare.move, wanted, axis=1)  # (T,)
    if not bare.follows(wanted, r[:, None]):
        return None
    if reading:
        own, theirs = going_on(r * np.ravel(reading.lr)), going_on(np.ravel(reading.lr) * np.ones_like(r))
        if own and own != theirs:
            text = f"in these {len(r)} steps lr {own}, and that of the reference {theirs}"
            constant = theirs == "stays the same"
            return Finding((), "factor", text, "one lr for all steps" if constant else "the schedule of the reference")
    if known := going_on(r):
        text = f"beside the reference the length of a step {known}"
        return Finding((), "factor", f"{text}: something changes with the step count in one of the two, such as lr")
    wrong, n = np.abs(r - 1) > 0.1 * ALLOWED, norm(h, "all")[:, 0]
    if when := by_its_norm(wrong, n):
        return Finding((), "factor", f"steps are too long or too short where {when}: look for a clip by the norm")
    off = np.abs(r - 1)
    first = int(np.argmax(off > min(1e-4, 0.5 * float(off.max())))) + 1  # why: where the digits that are shown differ
    text = f"step {first} as a whole is {number(r[first - 1])} times as long as meant, and not every step is so"
    return Finding((), "factor", f"{text}: something changes from step to step, such as lr or a norm")


def clear(h: Steps) -> int:
    """How many steps there are before the first that vanishes, or drowns in the rounding of the parameters."""
    drowned = (np.minimum(np.abs(h.move), np.abs(h.wanted)) <= 1e7 * ROUNDING * np.abs(h.p)).all(axis=1)
    first = int(drowned.argmax()) if drowned.any() else len(drowned)
    return first if first >= 3 else len(drowned)


def by_its_norm(wrong: np.ndarray, n: np.ndarray) -> str:
    """Above or below which norm n of all gradients the steps are wrong, if these are the wrong ones; (T,) both."""
    if min(wrong.sum(), (~wrong).sum()) < 3:
        return ""
    if n[wrong].min() > n[~wrong].max():
        return f"the norm of all gradients is {number(n[wrong].min())} or more, and right below"
    if n[wrong].max() < n[~wrong].min():
        return f"the norm of all gradients is {number(n[wrong].max())} or less, and right above"
    return ""


def by_a_number_a_parameter(wrong: Mapping[str, Steps]) -> Finding | None:
    """In each step one number for a parameter, and another one for the next."""
    r = {name: median_ratio(h.move, h.wanted, axis=1) for name, h in wrong.items()}
    if len(r) < 2 or not all(h.follows(h.wanted, r[name][:, None]) for name, h in wrong.items()):
        return None
    t = int(np.argmax(np.ptp(np.stack(list(r.values())), axis=0) > 1e-4))
    told = " and ".join(f"{name} by {number(q[t])}" for name, q in r.items())
    text = f"each step multiplies the moves of each parameter by a number of its own, in step {t + 1} {told}"
    return Finding((), "factor", f"{text}: look for what changes from parameter to parameter, a count, an lr or a norm")


def going_on(lr: np.ndarray) -> str:
    """What lr does from step to step."""
    how = course(lr)
    if how == "a power":
        q = float(lr[1] / lr[0])
        return f"{'grows' if q > 1 else 'decays'}, {number(q)} times from step to step"
    if how == "the same":
        return "stays the same"
    return f"is multiplied by {how} in step t" if how else ""


def by_a_curve(h: Steps) -> Finding | None:
    """Every move is multiplied by the same function of its gradient: in all steps, or in the first at least."""
    first, size = h.first(1), np.abs(h.g)
    curves = {"|grad|": size, "1 / |grad|": 1 / size, "sqrt(|grad|)": np.sqrt(size), "1 / sqrt(|grad|)": size**-0.5}
    for name, a in curves.items():
        c = float(median_ratio(first.move, first.wanted * a[:1]))
        if c and first.follows(first.wanted, c * a[:1]):
            when = "a move" if h.follows(h.wanted, c * a) else "in step 1 a move"
            return Finding((), "elementwise-factor", f"{when} has a factor too many, {name}, entry by entry")
    largest = float(np.abs(h.move).max())
    if h.follows(np.clip(h.wanted, -largest, largest)):
        return Finding((), "elementwise-factor", f"moves are clipped at {number(largest)}")
    return None


def by_another_rule(h: Steps, reading: Reading | None, optimizer: Any) -> Finding | None:
    """The rule of another optimizer, or the right rule with more than one other number."""
    own = reading_of(h._replace(wanted=h.move), optimizer)
    if own is None:
        return None
    name = own.family.name + (" with momentum" if own.family is SGD and own.numbers["momentum"] else "")
    if reading is None:  # why: it may be the same rule with something that is not known here
        return Finding((), "unknown", f"the rule is {name}, and the reference makes other moves")
    repair = reading.family.repair
    if own.family.name != reading.family.name:
        text = f"the rule is {name}, where that of the reference is {reading.family.name}"
        return Finding((), "missing-term", text, repair)
    other = [
        f"{name} = {number(own.numbers[name])}, not {number(right)}"
        for name, right in reading.numbers.items()
        if own.numbers[name] != right
    ]
    if own.family is not reading.family or not other or own.decay != reading.decay:
        return None
    return Finding((), "factor", f"the rule is that of the reference, with other numbers: {', '.join(other)}", repair)


def unknown(h: Steps) -> Finding:
    """From which step on, and in which way."""
    first = int(np.flatnonzero((h.off > ALLOWED).any(axis=1))[0]) + 1
    if first > 1:
        right = "step 1 is right" if first == 2 else f"steps 1 to {first - 1} are right"
        look = "look at what it keeps from the step before (momentum, squares, a count) and at how large gradients are"
        return Finding((), "missing-term", f"{right}, step {first} is not: {look}")
    if (h.move * h.wanted >= 0).all():
        text = "every entry moves the right way, but already in step 1 not by the right length"
        return Finding((), "elementwise-factor", text)
    return Finding((), "unknown", "step 1 already makes another move than the reference")
