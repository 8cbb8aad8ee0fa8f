"""check_optimizer: an optimizer step by step beside a reference."""

from typing import Any

import numpy as np

from scratchvae.checks.report import SEED, Finding, Report, Row
from scratchvae.checks.vjp.arrays import derived, first_change, snapshot
from scratchvae.checks.vjp.case import ratio
from scratchvae.checks.vjp.sentences import factor_sentence, number

ALLOWED = 1e-9


def check_optimizer(
    optimizer: Any, reference: Any, *, steps: int = 5, rng: np.random.Generator | None = None
) -> Report:
    """How every parameter moves in a few steps, beside what a reference optimizer does with the same gradients.

    Both are fresh and have step(params, grads), which moves params (a dict of float64 arrays) in place and leaves
    grads alone. The error of a row is relative to the step; the finding says from which step on they differ.

    Example
        >>> from scratchvae.optim import SGD
        >>> check_optimizer(SGD(lr=0.1, momentum=0.0), SGD(lr=0.2, momentum=0.0)).findings[0].cause
        'factor'
    """
    rng = np.random.default_rng(SEED) if rng is None else rng
    report = Report(type(optimizer).__name__, unit="relative error")
    got = {"W": rng.standard_normal((4, 3)), "b": rng.standard_normal(3)}
    expected = {name: p.copy() for name, p in got.items()}
    worst = dict.fromkeys(got, 0.0)
    for t in range(1, steps + 1):
        grads = {name: rng.standard_normal(p.shape) for name, p in got.items()}
        before, given = {name: p.copy() for name, p in got.items()}, snapshot(grads)
        right = {name: p.copy() for name, p in expected.items()}
        optimizer.step(got, grads)
        if change := first_change(grads, given):
            text = f"step writes into the gradient of {change[0]}, which belongs to the caller: work on a copy"
            report.findings.append(Finding((change[0],), "mutates-input", text, where=change[1] or None))
            break
        reference.step(expected, grads)
        for name in got:
            move, wanted = got[name] - before[name], expected[name] - right[name]
            error = float(np.abs(move - wanted).max() / np.abs(wanted).max())
            worst[name] = max(worst[name], error)
            if not error <= ALLOWED and (name,) not in {f.inputs for f in report.findings}:
                report.findings.append(explain(name, t, move, wanted, grads[name]))
    wrong = {name for f in report.findings for name in f.inputs}
    report.rows = [Row(name, p.shape, worst[name], "wrong" if name in wrong else "ok") for name, p in got.items()]
    return report


def explain(name: str, t: int, move: np.ndarray, wanted: np.ndarray, g: np.ndarray) -> Finding:
    """The finding at the first step whose move is not the one that was wanted."""
    place = np.unravel_index(int(np.abs(move - wanted).argmax()), move.shape)
    where = tuple(int(i) for i in place)
    numbers: dict[str, Any] = {"where": where, "expected": float(wanted[place]), "got": float(move[place])}
    if not np.isfinite(move).all():
        return Finding((name,), "non-finite", f"step {t} moves {name} to something that is not finite", **numbers)
    if not move.any():
        text = f"step {t} does not move {name}: is it skipped, or is a new array made instead of params[name] -= ...?"
        return Finding((name,), "zero", text, **numbers)
    if c := ratio(wanted, move):
        cause = "sign" if abs(c + 1) < 1e-6 else "factor"
        since = "" if t == 1 else f"; the steps before {t} are right, so look at what changes with the step count"
        return Finding((name,), cause, f"step {t} of {name} {factor_sentence(c, {})}{since}", factor=c, **numbers)
    if t > 1:
        text = f"the first {t - 1} steps of {name} are right, step {t} is not: a term of the running state is missing"
        return Finding(
            (name,), "missing-term", f"{text} or kept wrongly (momentum, squares, the step count)", **numbers
        )
    for what, a in derived({"g": g, "|g|": np.abs(g)}).items():
        if c := ratio(wanted, move * a):
            text = f"step 1 of {name} lacks a factor, entry by entry: {number(c)}{what}"
            return Finding((name,), "elementwise-factor", text, **numbers)
        if c := ratio(move, wanted * a):
            text = f"step 1 of {name} has a factor too many, entry by entry: {number(c)}{what}"
            return Finding((name,), "elementwise-factor", text, **numbers)
    if (move * wanted >= 0).all():
        text = (
            f"step {t} of {name} points the right way in every entry, but has another length in each: a wrong divisor?"
        )
        return Finding((name,), "elementwise-factor", text, **numbers)
    return Finding((name,), "unknown", f"step 1 already moves {name} another way than the reference", **numbers)
