"""check_vjp: a forward and its backward against differences, cheap first, entry by entry where that fails.

Sizes: K upstream gradients, n entries of an input, m of them measured, M entries of y.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from scratchvae.backend import to_numpy
from scratchvae.checks.report import SEED, Finding, Report, Row
from scratchvae.checks.vjp.call import Pair, Values, copied
from scratchvae.checks.vjp.directions import is_coarse, look
from scratchvae.checks.vjp.explain import explain
from scratchvae.checks.vjp.function import bad_output, impurities, is_float32, not_finite
from scratchvae.checks.vjp.point import Hints
from scratchvae.checks.vjp.subject import Subject, entry_by_entry, off_the_kink


def check_vjp(
    forward: Callable[..., tuple[Any, Any]],
    backward: Callable[[Any, Any], Any],
    inputs: Mapping[str, Any],
    *,
    constants: Mapping[str, Any] | None = None,
    rng: np.random.Generator | None = None,
    title: str = "",
) -> Report:
    """dx of sum(dy * y), for random upstream gradients dy, against central differences, for every input.

    forward(**inputs, **constants) -> y, cache. backward(dy, cache) -> a dict by input name, a tuple in the inputs'
    order, or the one array of a single input. inputs are differentiated; constants (eps, targets, a mask) are handed
    on as they are, and no gradient of theirs is expected. Neither is written to.

    Raises    ValueError: no float among the inputs, more gradients than inputs, a gradient under an unknown name.

    Example
        >>> report = check_vjp(lambda x: (x * x, x), lambda dy, x: dy * x, {"x": np.array([1.0, -2.0, 3.0])})
        >>> report.findings[0].cause, round(report.findings[0].factor, 6)
        ('factor', 2.0)
    """
    if not isinstance(inputs, Mapping):
        raise ValueError(f"inputs should be a dict from names to arrays, got {type(inputs).__name__}")
    arrays = {name: to_numpy(value) for name, value in inputs.items()}
    fixed = {name: value for name, value in inputs.items() if arrays[name].dtype.kind != "f"}
    x = {name: value.astype(float) for name, value in arrays.items() if name not in fixed}
    if not x:
        raise ValueError(f"inputs should hold at least one array of floats, got {', '.join(arrays) or 'none'}")
    pair = Pair(forward, backward, list(x), {**fixed, **(constants or {})})
    with np.errstate(all="ignore"):  # why: steps may leave the domain; what is not finite is then left out
        report = examine(pair, x, title or getattr(forward, "__name__", "pair"), rng)
    narrow = [name for name in x if arrays[name].dtype != np.float64]
    if narrow:
        text = (
            f"{', '.join(narrow)} came in {arrays[narrow[0]].dtype}: differences need float64 (they were widened here)"
        )
        report.findings.append(Finding((narrow[0],), "precision", text))
    return report


def examine(pair: Pair, x: Values, title: str, rng: np.random.Generator | None, hints: Hints | None = None) -> Report:
    """Everything that can be said about a pair at the point x: first whether it is a function, then its derivatives."""
    rng = np.random.default_rng(SEED) if rng is None else rng
    report = Report(title)
    y = to_numpy(pair.run(copied(x))[0])
    dys = rng.standard_normal((2, *y.shape))
    subjects = [Subject(pair, x, name) for name in x]
    if finding := bad_output(y) or impurities(pair, x, dys[0]):
        report.findings.append(finding)
        if finding.cause != "mutates-input":
            report.rows = [subject.row("untested", "see the finding") for subject in subjects]
            return report
    wrong: dict[str, tuple[Values, np.ndarray, np.ndarray]] = {}  # the point, the entries, their columns
    for subject in subjects:
        row, told, seen = examine_input(subject, dys, rng)
        report.rows.append(row)
        if told:
            report.findings.append(told)
        if seen:
            wrong[subject.name] = seen
    report.findings += findings_of(pair, wrong, hints)
    return noted(report)


def examine_input(
    subject: Subject, dys: np.ndarray, rng: np.random.Generator, moved: bool = False
) -> tuple[Row, Finding | None, tuple[Values, np.ndarray, np.ndarray] | None]:
    """One input: directions first, its entries where they fail, then the cause; on a kink all of it a little beside."""
    name, value = subject.name, subject.value
    gots = [subject.grad(dy) for dy in dys]
    fits = all(g is not None and g.shape == value.shape for g in gots)
    grads = [np.asarray(g, float) if fits else np.zeros(value.shape) for g in gots]
    if bad := next(filter(None, (not_finite(name, f"d{name}", g) for g in grads)), None):
        return subject.row("wrong", "not finite"), bad, None
    if is_coarse(subject.y, value, rng):
        text = f"{name} is rounded to float32 or coarser inside forward: differences need float64 throughout"
        return subject.row("wrong", "not in float64"), Finding((name,), "precision", text), None

    looks = [look(subject.y, value, dy, g, rng) for dy, g in zip(dys, grads, strict=True)]
    worst = max(looks, key=lambda seen: seen.error)
    row = Row(name, value.shape, worst.error, "ok", "", worst.line, worst.second)
    if all(seen.passes and seen.blind for seen in looks) and (fits or all(g is None for g in gots)):
        if worst.second is not None and any(map(np.any, grads)) and worst.second < 1e-6:
            return (
                row._replace(error=worst.second, note="too small for differences; the complex step sees it"),
                None,
                None,
            )
        return (
            row._replace(error=0.0, status="untested", note="no slope here on either side: try other inputs"),
            None,
            None,
        )
    if fits and all(is_float32(g) for g in gots) and worst.error < 1e-5:
        text = f"d{name} is computed in float32, right to {worst.error:.0e} only: keep everything in float64"
        return row._replace(status="wrong"), Finding((name,), "precision", text), None
    if fits and all(seen.passes for seen in looks):
        return row._replace(note="as far as rounding lets one see" if worst.error > 1e-6 else ""), None, None

    if not moved and (beside := off_the_kink(subject, rng)):
        row, told, seen = examine_input(beside, dys, rng, moved=True)
        return row._replace(note=row.note or "x is on a kink: checked a little beside it"), told, seen

    index, entries = entry_by_entry(subject, dys, grads if fits else None, worst, rng)
    if fits and not any(e.verdict == "wrong" for e in entries):
        error = max(e.error for e in entries)
        note = "steps in a random direction cross a kink or drown in rounding; entry by entry it agrees"
        return row._replace(note=note, error=error), None, None
    columns = np.stack([e.column for e in entries])  # (m, M)
    return row._replace(status="wrong"), None, (subject.x, index, columns)


def findings_of(
    pair: Pair, wrong: dict[str, tuple[Values, np.ndarray, np.ndarray]], hints: Hints | None
) -> list[Finding]:
    """Why all of them are wrong, told together; at the first point that was moved off a kink, if there is one."""
    if not wrong:
        return []
    x = next(iter(wrong.values()))[0]
    return explain(pair, x, {n: w[1] for n, w in wrong.items()}, {n: w[2] for n, w in wrong.items()}, hints)


def noted(report: Report) -> Report:
    """One mistake makes many gradients wrong: rows without an explanation of their own may follow from the others."""
    told = {name for finding in report.findings for name in finding.inputs}
    if told:
        report.rows = [
            row._replace(note="may follow from the finding") if row.status == "wrong" and row.name not in told else row
            for row in report.rows
        ]
    return report
