"""A decay of the weights that the reference has and an optimizer has not, or the other way round.

Sizes: T steps, N entries.
"""

import copy
from typing import Any

import numpy as np

from scratchvae.checks.amounts import number, same, times
from scratchvae.checks.optimizer.moves import SHAPES, Steps
from scratchvae.checks.optimizer.readings import DECAYS, NONE, Decay, Reading, beside
from scratchvae.checks.optimizer.rules import number_of
from scratchvae.checks.report import SEED, Finding
from scratchvae.checks.vjp.case import ratio


def by_its_decay(h: Steps, reading: Reading, optimizer: Any) -> Finding | None:
    """The rule of the reference, with another decay than the reference has."""
    own = own_decay(h, reading, optimizer)
    wanted = reading.decay
    if own is None or own == wanted:
        return None
    if wanted == NONE:
        return decay_too_many(own)
    repair = repaired(reading)
    if own == NONE:
        return Finding((), "missing-term", "the weight decay is missing", repair)
    if own.where == "by its sign":
        text = "the decay takes the sign of the parameter, where the parameter itself belongs (that is L1)"
        return Finding((), "missing-term", text, repair)
    if own.where == "inside" != wanted.where:
        text = "the decay is added to the gradient, where the averages take it in (that is L2)"
        return Finding((), "missing-term", text, repair)
    if wanted.where == "inside" != own.where:
        text = "the weight decay stands beside the step, where the reference adds it to the gradient (that is L2)"
        return Finding((), "missing-term", text, repair)
    if own.where != wanted.where and same(own.size, wanted.size):
        text = "after the step, of the new parameter" if own.where == "after" else "of the parameter before the step"
        return Finding((), "missing-term", f"the weight decay is taken {text}", repair)
    return of_another_size(own.size, wanted.size, repair, reading.lr)


def own_decay(h: Steps, reading: Reading, optimizer: Any) -> Decay | None:
    """The decay with which the rule of the reference is what an optimizer did."""
    if h.follows(reading.move(h, NONE)):
        return NONE
    if found := beside(h, reading.family.direction(reading.run(h, NONE)), reading.lr):
        return found
    step = reading.move(h, NONE)
    if (c := ratio(h.move - step, -np.sign(h.p))) and h.follows(step - c * np.sign(h.p)):
        return Decay("by its sign", c)
    given = [number_of(optimizer, "decay"), reading.decay.size]
    if not np.ndim(reading.lr):
        given += [reading.decay.size / float(reading.lr)]
    sizes = [a * f for a in given if a for f in (1, -1, 0.5, 2)]
    for size in dict.fromkeys((*sizes, *DECAYS, *(-c for c in DECAYS))):
        if h.follows(reading.move(h, found := Decay("inside", size))):
            return found
    return None


def decay_too_many(own: Decay) -> Finding:
    if own.where == "inside":
        text = f"{number(own.size)} times the parameter is added to its gradient: a decay of the weights"
        return Finding((), "missing-term", text, "no decay: the reference has none")
    where = "towards 0" if own.size > 0 else "away from 0"
    if own.where == "by its sign":
        text = f"each step moves every entry by {number(abs(own.size))} as well, {where}: a decay by the sign, L1"
        return Finding((), "missing-term", text, "no decay: the reference has none")
    text = f"each step moves a parameter by {number(abs(own.size))} of itself as well, {where}: a decay of the weights"
    return Finding((), "missing-term", text, "no decay: the reference has none")


def repaired(reading: Reading) -> str:
    """What the reference does."""
    c = number(reading.decay.size)
    if reading.decay.where == "inside":
        return f"grad + {c} * param, before anything else is done with the gradient"
    when = "after the step, with the new parameter" if reading.decay.where == "after" else "beside the step"
    return f"{when}: param -= {c} * param{of_lr(reading.decay.size, reading.lr)}"


def of_lr(c: float, lr: float | np.ndarray) -> str:
    """What the decay of one step is made of."""
    return "" if np.ndim(lr) else f", which is lr * {number(c / float(lr))} * param"


def of_another_size(own: float, wanted: float, repair: str, lr: float | np.ndarray = np.nan) -> Finding:
    """The same decay with another number."""
    q = own / wanted
    if abs(own + np.expm1(-wanted)) < 0.01 * wanted**2:  # why: the two differ by half a square
        text = f"the decay multiplies the parameter by exp(-{number(wanted)}), where 1 - {number(wanted)} belongs"
        return Finding((), "factor", text, repair)
    if same(q, -1.0):
        return Finding((), "sign", "the weight decay has the wrong sign", repair)
    text = "halved" if same(q, 0.5) else f"{times(q)} what it should be"
    if not np.ndim(lr) and same(q * float(lr), 1.0):
        text = f"{text}: is it not multiplied by lr?"
    elif not np.ndim(lr) and same(q, float(lr)):
        text = f"{text}: is it lr once more?"
    return Finding((), "factor", f"the weight decay is {text}", repair)


def by_a_decay(h: Steps, optimizer: Any, reference: Any) -> Finding | None:
    """A difference that grows with the parameter itself, whatever the rule is. Copies tell which of the two decays."""
    if not ((c := ratio(h.move - h.wanted, -h.p)) and h.follows(h.wanted - c * h.p)):
        return None
    own, wanted = decay_of_a_step(optimizer), decay_of_a_step(reference)
    if own is None or wanted is None or not same(own - wanted, c):
        where = "towards 0" if c > 0 else "away from 0"
        text = f"beside the reference each step moves a parameter by {number(abs(c))} of itself too much, {where}"
        return Finding((), "missing-term", f"{text}: the decays of the weights differ")
    if not wanted:
        return decay_too_many(Decay("beside", own))
    repair = f"param -= {number(wanted)} * param"
    if not own:
        return Finding((), "missing-term", "the weight decay is missing", f"in each step also: {repair}")
    return of_another_size(own, wanted, f"in each step: {repair}, and no other decay")


def decay_of_a_step(optimizer: Any) -> float | None:
    """What a copy of it takes off a parameter, of itself: two parameters of opposite signs, and the same gradients."""
    rng = np.random.default_rng(SEED)
    start = {name: rng.standard_normal(shape) for name, shape in SHAPES.items()}
    grads = {name: rng.standard_normal(shape) for name, shape in SHAPES.items()}
    moves = []
    try:
        for sign in (1, -1):
            params = {name: sign * p for name, p in start.items()}
            copy.deepcopy(optimizer).step(params, {name: g.copy() for name, g in grads.items()})
            moves.append(np.concatenate([(params[name] - sign * p).ravel() for name, p in start.items()]))
    except Exception:  # somebody's code may do anything
        return None
    p = np.concatenate([a.ravel() for a in start.values()])
    if np.allclose(moves[0], moves[1], rtol=1e-9, atol=1e-14):
        return 0.0
    return ratio(moves[0] - moves[1], -2 * p)
