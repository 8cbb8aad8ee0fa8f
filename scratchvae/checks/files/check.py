"""check_file: every forward and backward that somebody's file defines, as it stands."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from scratchvae.checks.files.fit import FITS, RAISES, Fit, Unfit, Unread, fits, fitting, others
from scratchvae.checks.files.module import draws, generators, loaded, reason
from scratchvae.checks.files.names import role
from scratchvae.checks.files.pairs import Written, arguments, looked_for, mentioned, pairs
from scratchvae.checks.files.sizes import in_other_sizes, lengths_in_question, with_plain_numbers
from scratchvae.checks.report import Finding, Report, Row, listed
from scratchvae.checks.stop import OutOfTime, time_limit
from scratchvae.checks.vjp.call import copied
from scratchvae.checks.vjp.check import checked, nothing_found

NOT_RUN = "not run: "
NOT_FOUND = "no gradient of it was found"
SECONDS = 30.0
GROWS = "a second backward adds to {} of the first: nothing sets them to zero"
CONVENTION = (
    "it divides by the batch, as courses do that leave 1/m out of the loss: either is fine, but forward and backward "
    "must agree, so put 1/m into the loss or take it out here"
)


def check_file(path: str | Path, seconds: float = SECONDS) -> list[Report]:
    """A report for every pair, in the order of the file; importing it, each verdict and each why have so many seconds.

    A module-level examples = {"f": {"x": array}} gives arguments; of a class {"Layer": {"init": {...}, "x": array}}.
    What cannot be run has a row that is untested, with the reason.

    Raises    ValueError, in one line: no such file, one that cannot be imported, one without pairs.
    """
    return list(one_by_one(Path(path), seconds))


def one_by_one(path: Path, seconds: float) -> Iterator[Report]:
    """The same, and from the first to the last of them nobody hears what is printed."""
    with loaded(path, seconds) as (module, trouble):
        found = [pair for pair in pairs(module) if not pair.is_base]
        if not found and trouble:
            raise ValueError(f"{path} cannot be imported: {trouble}; run it on its own first")
        if not found:
            names = "f and f_backward, f_forward and f_backward, or classes with forward and backward"
            raise ValueError(f"{path} should define functions {names}, got {looked_for(module)}")
        given = getattr(module, "examples", {})
        wrong: dict[str, str] = {}  # by the name in the code of what is wrong: how it is called here
        for pair in found:
            mine = given.get(pair.title) or given.get(getattr(pair.forward, "__name__", ""), {})
            report = without_what_follows(
                check_pair(pair, by_names(pair, mine), vars(module), path, seconds), pair, wrong
            )
            if report.findings:
                wrong[pair.owner.__name__ if pair.owner else pair.backward.__name__] = pair.title
            yield report


def by_names(pair: Written, given: Any) -> Mapping[str, Any]:
    """Examples as they may be written: by name, or a tuple in the order of the forward's arguments."""
    if isinstance(given, Mapping):
        return given
    parts = list(given) if isinstance(given, tuple | list) else [given]
    return dict(zip(arguments(pair.forward), parts, strict=False))


def without_what_follows(report: Report, pair: Written, wrong: Mapping[str, str]) -> Report:
    """What uses a pair that is wrong has its faults too: they are said once, and to be mended first."""
    used = [title for name, title in wrong.items() if name in mentioned(pair)]
    if used and report.findings:
        note = f"may follow from what {used[0]} does: mend that first"
        wrong_rows = [row for row in report.rows if row.status == "wrong"] or report.rows[:1]
        report.rows = [row._replace(note=note) if row in wrong_rows else row for row in report.rows]
        report.findings = []
    return report


def check_pair(pair: Written, given: Mapping[str, Any], names: dict[str, Any], path: Path, seconds: float) -> Report:
    """One pair; whatever goes wrong while it runs is said, since the others are still to be checked."""
    reset = generators(names)
    try:
        with time_limit(seconds):
            report, fit = best_of(pair, fits(pair, given, reset))
            wrong = set(wrong_ones(report))
            second = others(pair, fit, wrong, reset) if wrong else []
            other = best_of(pair, second)[0] if second else report
        return other if other.ok else with_reasons(pair, report, fit, reset, seconds)
    except NotImplementedError:
        return Report(pair.title, [Row("backward", (), np.nan, "not written yet")])
    except Unfit as unfit:
        why = reason(unfit.__cause__ or unfit, path)
        return not_run(pair, f"none of {unfit} made-up inputs fits, the first says {why}", bool(given))
    except Unread as unread:
        return not_run(pair, str(unread), True)
    except OutOfTime as error:
        return not_run(pair, reason(error, path), True)
    except Exception as error:  # somebody's code may do anything
        return not_run(pair, reason(error, path), bool(given))
    finally:
        reset()


def wrong_ones(report: Report) -> list[str]:
    found = [name for finding in report.findings for name in finding.inputs]
    return [*found, *(row.name for row in report.rows if row.status == "wrong" and row.name not in found)]


def with_reasons(pair: Written, report: Report, fit: Fit, reset: Callable[[], None], seconds: float) -> Report:
    """The report again, now with the reasons; what is wrong is wrong, even if they take too long."""
    if not (wrong := wrong_ones(report)):
        return report
    found: Report | None = None
    try:
        with time_limit(seconds):
            if names := noise_without_effect(fit, reset):
                text = f"{names} changes nothing: forward draws noise of its own, which its backward does not know"
                report.findings = [Finding(("y",), "noise-redrawn", text, f"use {names}, the noise that is given")]
                return report
            found = best_of(pair, [fit], reasons=True)[0]
            return in_two_sizes(pair, found, fit, reset)
    except OutOfTime:
        if found is None:
            report.findings = report.findings or [nothing_found(wrong, "no reason was found in time")]
        return found or report


def noise_without_effect(fit: Fit, reset: Callable[[], None]) -> str:
    """The noise that is handed in, if another one gives the same, and the forward draws its own."""
    noises = [
        name for name, a in fit.constants.items() if role(name) == "noise" and isinstance(a, np.ndarray) and a.ndim
    ]
    if not noises or not draws_its_own(fit, reset):
        return ""
    other = {name: 1 - fit.constants[name] for name in noises}
    y = fit.forward(**copied(fit.inputs), **copied({**fit.constants, **other}))[0]
    return "" if not np.array_equal(y, fit.y) else listed(noises)


def draws_its_own(fit: Fit, reset: Callable[[], None]) -> bool:
    """A forward begins with the generators where they were: does it leave them there?"""
    reset()
    return draws(lambda: fit.forward(**copied(fit.inputs), **copied(fit.constants)))


def in_two_sizes(pair: Written, report: Report, fit: Fit, reset: Callable[[], None]) -> Report:
    """The report; what it says of a number that may be the length of something was tried in other sizes."""
    numbers = lengths_in_question(report, fit)
    other = in_other_sizes(fit.made, numbers) if numbers else None
    if other is None:
        return report
    found = [each for each in fitting(pair, other, reset) if each.reading == fit.reading]
    return with_plain_numbers(report, best_of(pair, found, reasons=True)[0]) if found else report


def not_run(pair: Written, why: str, given: bool) -> Report:
    """The report of a pair about which nothing can be said."""
    others = "" if given else f"; examples = {{'{pair.title}': {{...}}}} gives inputs that fit"
    return Report(pair.title, [Row(pair.title, (), np.nan, "untested", f"{NOT_RUN}{why}{others}")])


def best_of(pair: Written, found: list[Fit], reasons: bool = False) -> tuple[Report, Fit]:
    """The report of the reading that is right; of the likeliest, if none is."""
    first: tuple[Report, Fit] | None = None
    for fit in found:
        if fit.score == RAISES and fit.error is not None:
            shapes = listed([f"{name} {a.shape}" for name, a in fit.inputs.items()])
            text = " ".join(str(fit.error).split())[:160]
            report = not_run(pair, f"backward raises {type(fit.error).__name__}: {text}, with {shapes}", False)
        elif of_other_shapes(fit):
            text = listed([f"d{name} {shape} of {name} {fit.inputs[name].shape}" for name, shape in fit.shapes.items()])
            report = not_run(pair, f"no made-up inputs fit what backward returns: {text}", False)
        else:
            report = checked(fit.forward, fit.backward, fit.inputs, fit.constants, pair.title, reasons=reasons)
            report = said(with_growth(report, fit), fit)
            report.rows += [Row(name, (), np.nan, "untested", NOT_FOUND) for name in fit.left_out]
        if report.ok:
            return report, fit
        first = first or (report, fit)
    assert first is not None
    return first


def of_other_shapes(fit: Fit) -> bool:
    """Was something made up of which every gradient, of several, has another shape? Then it is not what was meant."""
    several = (
        fit.score < FITS and fit.layout is not None and len(fit.inputs) > 1 and fit.inputs.keys() == fit.shapes.keys()
    )
    return several and all(fit.inputs[name].shape != shape for name, shape in fit.shapes.items())


def with_growth(report: Report, fit: Fit) -> Report:
    """Every call of a check works on a copy of the layer; whether its gradients grow was asked before."""
    names = [name for name in fit.grows if name in fit.inputs]
    if names and not any(finding.cause == "accumulates" for finding in report.findings):
        text = GROWS.format(f"the gradient{'s' * (len(names) > 1)} of {listed(names)}")
        finding = Finding(tuple(names), "accumulates", text, "start from 0 in every backward")
        report.findings.insert(0, finding)
    return report


def said(report: Report, fit: Fit) -> Report:
    """What was taken for granted, in the first row; and a division by the batch by its convention."""
    shapes = listed([f"{name} {a.shape}" for name, a in fit.inputs.items()])
    made_up = f"made up: {fit.layout.label if len(fit.inputs) > 1 else shapes}" if fit.layout else ""
    notes = [fit.reading.note, made_up]
    text = "; ".join(filter(None, notes))
    if text and report.rows:
        first = report.rows[0]
        report.rows[0] = first._replace(note="; ".join(filter(None, (first.note, text))))
    data = next((a for a in fit.inputs.values() if a.ndim > 1), None)
    if fit.layout and fit.layout.batch is not None and data is not None:
        B = data.shape[fit.layout.batch]
        report.findings = [
            finding._replace(repair=CONVENTION)
            if finding.factor and abs(finding.factor - B) < 1e-6 * B and len(fit.inputs) <= len(finding.inputs) + 1
            else finding  # why: where one parameter alone is divided, it is no convention
            for finding in report.findings
        ]
    return report
