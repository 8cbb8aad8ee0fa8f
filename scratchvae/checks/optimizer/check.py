"""check_optimizer: an optimizer step by step beside a reference.

Sizes: T steps, N entries of all parameters.
"""

import math
from typing import Any

import numpy as np

from scratchvae.arguments import require_count
from scratchvae.checks.optimizer.clips import norms_of
from scratchvae.checks.optimizer.moves import ALLOWED, SHAPES, Steps, joined, of_one_length
from scratchvae.checks.optimizer.steps import explain_steps
from scratchvae.checks.report import SEED, Finding, Report, Row
from scratchvae.checks.vjp.arrays import first_change, snapshot

SIZES = {"W": np.array([[1.0], [1e-2], [1e-4], [1e-8]]), "b": np.array([1.0, 1e-3, 1e-6])}  # of gradients
NORMS = (1.7, 0.063, 0.43, 7.3, 310.0, 0.0031, 23.0, 0.17)  # of all gradients, step by step, over and over
LONG = 2000  # steps of signs: each of them tells little
Seen = dict[str, list[tuple[np.ndarray, ...]]]


def check_optimizer(
    optimizer: Any, reference: Any, *, steps: int = 40, rng: np.random.Generator | None = None
) -> Report:
    """How every parameter moves in some steps, beside what a reference optimizer does with the same gradients.

    Both are fresh and have step(params, grads), which moves params (a dict of float64 arrays) in place, or puts new
    arrays into the dict, and leaves grads alone. The gradients are of several sizes, since a tiny in a wrong place is
    seen at the small ones alone, and of several norms, below and above the usual bounds of a clip. There are so many
    steps because some rules change after a few of them: a warm-up, a lookahead, the start of RAdam. Where one of the
    two steps by a sign, as Lion does, many more steps are compared, since each tells little. The error of a row is
    relative to the move. One slip is one finding, in all parameters that it moves wrongly.

    Raises    ValueError: steps below 1.

    Example
        >>> from scratchvae.optim import SGD
        >>> check_optimizer(SGD(lr=0.1, momentum=0.0), SGD(lr=0.2, momentum=0.0)).findings[0].cause
        'factor'
    """
    steps = require_count(steps, "steps")
    rng = np.random.default_rng(SEED) if rng is None else rng
    report = Report(type(optimizer).__name__, unit="relative error")
    got = {name: rng.standard_normal(shape) for name, shape in SHAPES.items()}
    seen: Seen = {name: [] for name in got}
    own = {name: np.empty_like(p) for name, p in got.items()}  # the reference's, the same arrays in all steps
    handed: list[tuple[dict[str, np.ndarray], dict[str, np.ndarray]]] = []  # all gradients, and what they were
    try:
        for t in range(steps):
            grads = of_norm(NORMS[t % len(NORMS)], {n: SIZES[n] * rng.standard_normal(p.shape) for n, p in got.items()})
            handed.append((dict(grads), given := snapshot(grads)))
            before = {name: p.copy() for name, p in got.items()}
            optimizer.step(got, grads)
            if finding := written_to(handed):
                report.findings = [finding]
            beside(reference, own, before, given, got, seen)
        h = joined(histories(seen))
        if not report.findings and (of_one_length(h) or of_one_length(h._replace(wanted=h.move))):
            further(optimizer, reference, own, got, seen, rng)
    except NotImplementedError:
        return Report(report.title, [Row(name, shape, math.nan, "not written yet") for name, shape in SHAPES.items()])
    except Exception as error:  # somebody's code may do anything
        text = f"step fails, with {type(error).__name__}: {' '.join(str(error).split())}"
        report.findings.append(Finding(tuple(got), "unknown", text))
        report.rows = [Row(name, p.shape, math.nan, "untested") for name, p in got.items()]
        return report
    history = histories(seen)
    wrong = [name for name, h in history.items() if not (h.off <= ALLOWED).all()]
    judged = {name: "wrong" if name in wrong else "ok" for name in history}
    report.rows = [Row(name, SHAPES[name], float(h.off.max()), judged[name]) for name, h in history.items()]
    if wrong and not report.findings:  # why: a gradient that was written into may spoil the next steps
        found = explain_steps({name: history[name] for name in wrong}, list(got), optimizer, reference)
        report.findings += [in_shape(finding) for finding in found]
    return report


def of_norm(norm: float, grads: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same gradients, all of them together of this norm."""
    total = math.sqrt(sum(float((g * g).sum()) for g in grads.values()))
    return {name: g * (norm / total) for name, g in grads.items()}


def beside(
    reference: Any,
    own: dict[str, np.ndarray],
    before: dict[str, np.ndarray],
    given: dict[str, np.ndarray],
    got: dict[str, np.ndarray],
    seen: Seen,
) -> None:
    """The reference makes the same step, from where the parameters were: a decay depends on that."""
    for name, p in before.items():
        own[name][...] = p  # why: in place, since some keep what they remember under id(param)
    reference.step(own, {name: g.copy() for name, g in given.items()})
    norms = norms_of(given)
    for name, p in before.items():
        parts = (given[name], p, got[name] - p, own[name] - p)
        seen[name].append((*(a.ravel() for a in parts), norms[name]))


def further(
    optimizer: Any,
    reference: Any,
    own: dict[str, np.ndarray],
    got: dict[str, np.ndarray],
    seen: Seen,
    rng: np.random.Generator,
) -> None:
    """Many steps more: a sign tells what is remembered only where the new gradient nearly outweighs it."""
    for _ in range(LONG):
        given = {
            name: SIZES[name] * rng.choice([-1, 1], p.shape) * 10 ** rng.uniform(-4, 0, p.shape)
            for name, p in got.items()
        }
        before = {name: p.copy() for name, p in got.items()}
        optimizer.step(got, {name: g.copy() for name, g in given.items()})
        beside(reference, own, before, given, got, seen)


def histories(seen: Seen) -> dict[str, Steps]:
    """What each parameter did, in all steps, its entries in one line."""
    return {name: Steps(*(np.stack(a) for a in zip(*rows, strict=True))) for name, rows in seen.items()}


def written_to(handed: list[tuple[dict[str, np.ndarray], dict[str, np.ndarray]]]) -> Finding | None:
    """The first gradient, of this step or of one before, that is not what it was."""
    change = next(filter(None, (first_change(grads, given) for grads, given in handed)), None)
    if change is None:
        return None
    text = f"step writes into the gradient of {change[0]}, which belongs to the caller"
    return Finding((change[0],), "mutates-input", text, "work on a copy", where=change[1] or None)


def in_shape(finding: Finding) -> Finding:
    """The place of an entry that was counted along .ravel()."""
    if not finding.where:
        return finding
    place = np.unravel_index(finding.where[0], SHAPES[finding.inputs[-1]])
    return finding._replace(where=tuple(int(i) for i in place))
