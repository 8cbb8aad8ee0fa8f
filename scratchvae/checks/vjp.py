"""check_vjp: a forward and its backward against differences, cheap first, entry by entry where that fails.

Sizes: K upstream gradients, n entries of an input, m of them measured, M entries of y.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from scratchvae.backend import to_numpy
from scratchvae.checks.arrays import in_play
from scratchvae.checks.causes.case import Case
from scratchvae.checks.diagnose import diagnose
from scratchvae.checks.differences import Entry, entry, on_a_kink, size_of
from scratchvae.checks.directions import Look, halve, is_coarse, look
from scratchvae.checks.purity import Pair, Values, bad_output, copied, impurities, is_float32, not_finite
from scratchvae.checks.report import Finding, Report, Row

ENTRIES = 1000  # so many are looked at one by one; of a larger array a sample, and the entries that halving leads to
SAMPLE = 60
LEADS = 20


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
        report.findings.append(Finding(narrow[0], "precision", text))
    return report


class Hints(NamedTuple):
    """What is known about a whole model beside its objective, for the diagnosis; functions of the point x."""

    dys: np.ndarray | None = None  # (K, *y.shape) upstream gradients that are easier to read than random ones
    arrays: Callable[[Values], Mapping[str, np.ndarray]] | None = None  # in play
    parts: Callable[[Values, str, np.ndarray, np.ndarray], Mapping[str, np.ndarray]] = lambda x, name, index, dys: {}
    spans: Callable[[Values, str, np.ndarray], Mapping[str, np.ndarray]] = lambda x, name, index: {}


class Subject(NamedTuple):
    """One input of a pair, the others held fixed at x."""

    pair: Pair
    x: Values
    name: str

    @property
    def value(self) -> np.ndarray:
        return self.x[self.name]

    def y(self, value: np.ndarray) -> np.ndarray:
        return self.pair.y({**self.x, self.name: value})

    def grad(self, dy: np.ndarray) -> Any:
        return self.pair.grads(self.x, dy)[self.name]

    def row(self, status: str, note: str = "", error: float = math.nan) -> Row:
        return Row(self.name, self.value.shape, error, status, note)


def examine(pair: Pair, x: Values, title: str, rng: np.random.Generator | None, hints: Hints | None = None) -> Report:
    """Everything that can be said about a pair at the point x: first whether it is a function, then its derivatives."""
    rng = np.random.default_rng(0) if rng is None else rng
    report = Report(title)
    y = to_numpy(pair.run(copied(x))[0])
    dys = rng.standard_normal((2, *y.shape))
    subjects = [Subject(pair, x, name) for name in x]
    if finding := bad_output(y) or impurities(pair, x, dys[0]):
        report.findings.append(finding)
        if finding.cause != "mutates-input":
            report.rows = [subject.row("untested", "see the finding") for subject in subjects]
            return report
    for subject in subjects:
        row, wrong = examine_input(subject, dys, rng, hints or Hints())
        report.rows.append(row)
        if wrong and subject.name not in {f.input for f in report.findings}:
            report.findings.append(wrong)
    return report


def examine_input(
    subject: Subject, dys: np.ndarray, rng: np.random.Generator, hints: Hints, moved: bool = False
) -> tuple[Row, Finding | None]:
    """One input: directions first, its entries where they fail, then the cause; on a kink all of it a little beside."""
    name, value = subject.name, subject.value
    gots = [subject.grad(dy) for dy in dys]
    fits = all(g is not None and g.shape == value.shape for g in gots)
    grads = [np.asarray(g, float) if fits else np.zeros(value.shape) for g in gots]
    if bad := next(filter(None, (not_finite(name, f"d{name}", g) for g in grads)), None):
        return subject.row("wrong", "not finite"), bad
    if is_coarse(subject.y, value, rng):
        text = f"{name} is rounded to float32 or coarser inside forward: differences need float64 throughout"
        return subject.row("wrong", "not in float64"), Finding(name, "precision", text)

    looks = [look(subject.y, value, dy, g, rng) for dy, g in zip(dys, grads, strict=True)]
    worst = max(looks, key=lambda seen: seen.error)
    row = Row(name, value.shape, worst.error, "ok", "", worst.line, worst.second)
    if all(seen.passes and seen.blind for seen in looks) and (fits or all(g is None for g in gots)):
        if worst.second is not None and any(map(np.any, grads)) and worst.second < 1e-6:
            return row._replace(error=worst.second, note="too small for differences; the complex step sees it"), None
        return row._replace(error=0.0, status="untested", note="no slope here on either side: try other inputs"), None
    if fits and all(is_float32(g) for g in gots) and worst.error < 1e-5:
        text = f"d{name} is computed in float32, right to {worst.error:.0e} only: keep everything in float64"
        return row._replace(status="wrong"), Finding(name, "precision", text)
    if fits and all(seen.passes for seen in looks):
        return row._replace(note="as far as rounding lets one see" if worst.error > 1e-6 else ""), None

    if not moved and (beside := off_the_kink(subject, rng)):
        row, wrong = examine_input(beside, dys, rng, hints, moved=True)
        return row._replace(note=row.note or "x is on a kink: checked a little beside it"), wrong

    index, entries = entry_by_entry(subject, dys, grads if fits else None, worst, rng)
    if fits and not any(e.verdict == "wrong" for e in entries):
        error = max(e.error for e in entries)
        note = "steps in a random direction cross a kink or drown in rounding; entry by entry it agrees"
        return row._replace(note=note, error=error), None
    columns = np.stack([e.column for e in entries])  # (m, M)
    return row._replace(status="wrong"), diagnose(case(subject, index, columns, dys, hints, rng))


def off_the_kink(subject: Subject, rng: np.random.Generator) -> Subject | None:
    """The same input at a point nearby, if x itself is on a kink, where every slope between two is a right one."""
    pair, x, _ = subject
    for _ in range(3):
        u = {name: size_of(value) * rng.standard_normal(value.shape) for name, value in x.items()}
        beside = {name: value + 0.03 * u[name] for name, value in x.items()}

        def y(h: float, u: Values = u) -> np.ndarray:
            return pair.y({name: value + h * u[name] for name, value in x.items()}).ravel()

        if on_a_kink(y):
            return subject._replace(x=beside) if np.isfinite(pair.y(beside)).all() else None
    return None


def entry_by_entry(
    subject: Subject, dys: np.ndarray, grads: list[np.ndarray] | None, seen: Look, rng: np.random.Generator
) -> tuple[np.ndarray, list[Entry]]:
    """The entries of x one by one: all of them, or of a large array a sample and those that halving leads to."""
    value, flat = subject.value, dys.reshape(len(dys), -1)  # (K, M)
    claims = None if grads is None else np.stack([g.ravel() for g in grads])  # (K, n)

    def measured(i: int) -> Entry:
        return entry(subject.y, value, i, flat, None if claims is None else claims[:, i], seen.second is not None)

    most = max(50, min(ENTRIES, 5_000_000 // max(1, flat.shape[1])))  # why: the columns are kept
    if value.size <= most:
        return np.arange(value.size), [measured(i) for i in range(value.size)]
    found: dict[int, Entry] = {}
    for _ in range(LEADS if grads is not None else 0):
        i = halve(subject.y, value, seen)
        if i in found:
            break
        found[i] = measured(i)
        if found[i].verdict == "wrong":
            break
        seen.u.flat[i] = 0.0  # a kink: look past it
    index = np.union1d(rng.choice(value.size, min(most, SAMPLE), replace=False), list(found)).astype(int)
    return index, [found[i] if i in found else measured(i) for i in map(int, index)]


def case(
    subject: Subject, index: np.ndarray, columns: np.ndarray, dys: np.ndarray, hints: Hints, rng: np.random.Generator
) -> Case:
    """All that the diagnosis wants to know: more upstream gradients, and the arrays in play."""
    pair, x, name = subject
    if hints.dys is not None:
        dys = hints.dys
    else:  # why: as many as it takes to tell the rows of the batch apart
        B = dys.shape[1] if dys.ndim > 1 else 1
        more = min(64, 2 + 3 * B // len(index))
        dys = np.concatenate([dys, rng.standard_normal((more, *dys.shape[1:]))])
    y, cache = pair.run(copied(x))
    arrays = in_play({**pair.constants, **x}, to_numpy(y), cache) if hints.arrays is None else hints.arrays(x)
    gots = [subject.grad(dy) for dy in dys]
    parts, spans = hints.parts(x, name, index, dys), hints.spans(x, name, index)
    return Case(name, subject.value.shape, index, gots, columns, dys, arrays, subject.grad, parts, spans)
