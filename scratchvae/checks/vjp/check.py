"""check_vjp: a forward and its backward against differences, cheap first, entry by entry where that fails.

Sizes: K upstream gradients, n entries of an input, m of them measured, M entries of y.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from scratchvae.checks.report import SEED, Finding, Report, Row
from scratchvae.checks.vjp.call import (
    Pair,
    Values,
    as_array,
    as_output,
    copied,
    described,
    flattened,
    nested,
    numbers_by_default,
)
from scratchvae.checks.vjp.explain import explain
from scratchvae.checks.vjp.function import coarse, impurities, not_finite
from scratchvae.checks.vjp.keeper import keeper_of
from scratchvae.checks.vjp.look import View, look, upstreams
from scratchvae.checks.vjp.point import Hints
from scratchvae.checks.vjp.told import gradients

ROUNDED = 1e-2
FORGIVEN: tuple[type[Exception], ...] = (Exception,)  # of a reason: a verdict stands without; the tests forgive none


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
    on as they are, and no gradient of theirs is expected. Neither is written to. The arrays in a dict of parameters
    are inputs of their own: {"params": {"W": W}} has a row params.W.

    Raises    ValueError: no float among the inputs, more gradients than inputs, a gradient under an unknown name.

    Example
        >>> report = check_vjp(lambda x: (x * x, x), lambda dy, x: dy * x, {"x": np.array([1.0, -2.0, 3.0])})
        >>> report.findings[0].cause, round(report.findings[0].factor, 6)
        ('factor', 2.0)
    """
    return checked(forward, backward, inputs, constants or {}, title, rng)


def checked(
    forward: Callable[..., tuple[Any, Any]],
    backward: Callable[[Any, Any], Any],
    inputs: Mapping[str, Any],
    constants: Mapping[str, Any],
    title: str,
    rng: np.random.Generator | None = None,
    reasons: bool = True,
) -> Report:
    """check_vjp, with or without the reasons for what is wrong, which take the most time."""
    arrays, fixed = sorted_inputs(inputs)
    x = {name: value.astype(float) for name, value in arrays.items()}

    def by_name(**values: Any) -> tuple[Any, Any]:
        others = {name: value for name, value in values.items() if name not in x and name not in fixed}
        return forward(**nested(values, inputs), **others)

    flat = any(isinstance(value, Mapping) for value in inputs.values())
    settings = {name: number for name, number in numbers_by_default(forward).items() if name not in inputs}
    pair = Pair(by_name if flat else forward, backward, list(x), {**settings, **fixed, **constants})
    with np.errstate(all="ignore"):  # why: steps may leave the domain; what is not finite is then left out
        report = examine(pair, x, title or getattr(forward, "__name__", "pair"), rng, reasons=reasons)
    coarse_y = any(finding.inputs == ("y",) and finding.cause == "precision" for finding in report.findings)
    narrow = [name for name in x if arrays[name].dtype != np.float64]
    if narrow and not coarse_y:  # why: one fact is one finding
        text = (
            f"{', '.join(narrow)} came in {arrays[narrow[0]].dtype}: differences need float64 (they were widened here)"
        )
        report.findings.append(Finding(tuple(narrow), "precision", text, "make the inputs float64"))
    return report


def sorted_inputs(inputs: Mapping[str, Any]) -> tuple[Values, dict[str, Any]]:
    """The arrays of floats among the inputs, and the rest, which is handed on as it is."""
    if not isinstance(inputs, Mapping):
        raise ValueError(f"inputs should be a dict from names to arrays, got {described(inputs)}")
    arrays, fixed = {}, {}
    for name, value in flattened(inputs).items():
        array = as_array(value)
        if array is not None and array.dtype.kind == "f" and (name in inputs or hasattr(value, "dtype")):
            arrays[name] = array
        else:
            fixed[name] = value
    if not arrays:
        raise ValueError(f"inputs should hold at least one array of floats, got {', '.join(inputs) or 'none'}")
    return arrays, fixed


def examine(
    pair: Pair,
    x: Values,
    title: str,
    rng: np.random.Generator | None,
    hints: Hints | None = None,
    reasons: bool = True,
) -> Report:
    """Everything that can be said about a pair at the point x: first whether it is a function, then its derivatives."""
    rng, report = np.random.default_rng(SEED) if rng is None else rng, Report(title)
    try:
        y, cache = pair.run(copied(x))
        y = as_output(y)
        first = pair.pull(rng.standard_normal(y.shape), cache)
    except NotImplementedError:
        report.rows = [Row(name, a.shape, np.nan, "not written yet") for name, a in x.items()]
        return report
    pair = pair if pair.keeper is not None else pair._replace(keeper=keeper_of(pair, x))
    blank = {name for name, g in first.items() if g is Ellipsis}
    if finding := not_finite("y", "y", y):
        report.findings, unseen = [finding], set(x)
    else:
        report.findings, unseen = impurities(pair, x, rng.standard_normal(y.shape))
    odd = {name for name, a in x.items() if not np.isfinite(a).all()}
    left = [name for name in x if name not in unseen | blank | odd]
    if left and (finding := coarse(pair, x, y, cache)):
        report.findings.append(finding)
    view = look(pair, x, upstreams(pair, x, y, rng), left, rng) if left else View(x, {}, [], {})
    if any(finding.cause == "precision" for finding in report.findings):
        forgive(view)
    for name, a in x.items():
        note = "not all of its entries are finite" if name in odd else "see the finding"
        other = ("not written yet", "") if name in blank else ("untested", note)
        report.rows.append(view.rows.get(name) or Row(name, a.shape, np.nan, *other))
    narrow = any(finding.cause == "precision" for finding in report.findings)  # why: gradients then follow
    told = {name for name, row in view.rows.items() if row.status == "wrong"}
    seen = [f for f in view.findings if not (narrow and f.cause == "precision" and f.inputs[0] not in told)]
    report.findings = once_each(report.findings + seen)
    if reasons:
        report.findings += [f for f in findings_of(pair, view, hints) if not follows(f, report.findings)]
    return noted(report)


def follows(finding: Finding, others: list[Finding]) -> bool:
    """May a wrong gradient come from what was found already? Then that is to be mended first: one slip, one finding.

    After a write into the caller's arrays nobody knows what the cache holds, or dy; too few digits explain anything.
    """
    causes = {other.cause for other in others}
    return "mutates-input" in causes or (finding.cause == "unknown" and "precision" in causes)


def forgive(view: View) -> None:
    """Where something has seven digits, what is off in the third or later is not to be told from its rounding."""
    for name, row in view.rows.items():
        if row.status == "wrong" and row.error < ROUNDED:
            view.rows[name] = row._replace(status="untested", note="not to be told from the rounding")
            view.evidence.pop(name, None)


def once_each(findings: list[Finding]) -> list[Finding]:
    """One finding for what is wrong in the same way in several inputs, with the names of all."""
    kept: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        words = re.sub(rf"\bd?{re.escape(finding.inputs[0])}\b", "", finding.message)
        kept.setdefault((finding.cause, words), []).append(finding)
    return [first._replace(inputs=(*first.inputs, *(f.inputs[0] for f in more))) for first, *more in kept.values()]


def findings_of(pair: Pair, view: View, hints: Hints | None) -> list[Finding]:
    """Why all that is wrong is wrong, told together."""
    if not view.evidence:
        return []
    index = {name: entries for name, (entries, _) in view.evidence.items()}
    columns = {name: found for name, (_, found) in view.evidence.items()}
    try:
        return explain(pair, view.x, index, columns, hints)
    except FORGIVEN:
        return [nothing_found(list(index), "no reason was found")]


def nothing_found(names: list[str], why: str) -> Finding:
    return Finding(tuple(names), "unknown", f"{gradients(names)}: wrong, and {why}", "")


def noted(report: Report) -> Report:
    """One mistake makes many gradients wrong: rows without an explanation of their own may follow from the others."""
    told = {name for finding in report.findings for name in finding.inputs}
    if told:
        report.rows = [
            row._replace(note="may follow from the finding") if row.status == "wrong" and row.name not in told else row
            for row in report.rows
        ]
    return report
