"""What a specimen is: a planted bug beside the correct component, with its label, and the checks that apply to it.

A bug is a function that takes the correct component and gives back the broken one; its docstring is the label:

    first line   the title
    Origin       where it was seen, or "classic slip"
    Effect       what it does to the numbers
    Cause        what a report should say, a word of `scratchvae.checks.CAUSES`

How the wrong line and the right one are written down is said in `museum.source`.
"""

import inspect
from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeVar

import numpy as np

from scratchvae.backend import Array
from scratchvae.checks import Finding, Report, Row

BY_CAUSE = {"noise-redrawn": "repeat", "accumulates": "repeat", "mutates-input": "read-only"}  # seen by the way


class Component(Protocol):
    """Something that can be right or wrong: a pair, a posterior, a likelihood, a model, an optimizer."""

    def results(self) -> dict[str, Array]:
        """Values and gradients by name, computed once the naive way."""

    def reports(self) -> dict[str, Report]:
        """The checks that apply, by name; what is checked in two parts has more words after the name."""


C = TypeVar("C", bound=Component)


class Specimen(NamedTuple):
    """A planted bug: its label, the broken component and the correct one."""

    name: str
    title: str
    chapter: str
    origin: str
    effect: str
    cause: str
    bug: Callable[..., Component]
    broken: Component
    correct: Component


def plant(specimens: list[Specimen], correct: C) -> Callable[[Callable[[C], Component]], Callable[[C], Component]]:
    """A decorator: put the bug that a function makes out of correct into specimens."""

    def put(bug: Callable[[C], Component]) -> Callable[[C], Component]:
        title, fields = read_label(bug.__doc__ or "")
        chapter = bug.__module__.rsplit(".", 1)[1]
        specimens.append(
            Specimen(bug.__name__, title, chapter, **fields, bug=bug, broken=bug(correct), correct=correct)
        )
        return bug

    return put


def read_label(docstring: str) -> tuple[str, dict[str, str]]:
    """The title of a label and its fields origin, effect and cause."""
    title, *rest = inspect.cleandoc(docstring).splitlines()
    fields: dict[str, list[str]] = {}
    for line in filter(None, rest):
        if not line.startswith(" "):  # a new field; its later lines are indented
            name, _, line = line.partition(" ")
            words = fields.setdefault(name.lower(), [])
        words.append(line.strip())
    return title.rstrip("."), {name: " ".join(words) for name, words in fields.items()}


# ---------------------------------------------------------------------------------------------------------------------
# What the checks say


def check_shapes(component: Component, correct: Component) -> Report:
    """The check that everybody makes: it runs, and every result has the shape that it should have."""
    report = Report("shapes")
    with np.errstate(all="ignore"):
        expected = {name: np.shape(a) for name, a in correct.results().items()}
        try:
            got = {name: np.shape(a) for name, a in component.results().items()}
        except ValueError as error:
            report.findings.append(Finding(("all",), "shape", str(error)))
            return report
    for name, shape in expected.items():
        if got.get(name) != shape:
            report.findings.append(Finding((name,), "shape", f"the shape is {got.get(name)}, not {shape}"))
    report.rows = [Row("shapes", (), 0.0, "wrong" if report.findings else "ok")]
    return report


def examine(component: Component, correct: Component) -> dict[str, Report]:
    """The report of every check that applies, by name; the shapes are those of the correct component."""
    return {"shapes": check_shapes(component, correct), **component.reports()}


def seen_by(reports: dict[str, Report]) -> set[str]:
    """The checks that found something. Reading twice and read-only inputs are counted as checks of their own."""
    return {BY_CAUSE.get(f.cause, check.split()[0]) for check, report in reports.items() for f in report.findings}


def causes(reports: dict[str, Report]) -> set[str]:
    """All causes that the reports name, apart from the shapes that everybody checks."""
    findings = [f for check, report in reports.items() if check != "shapes" for f in report.findings]
    return {cause for f in findings for cause in (f.cause, f.also) if cause}


def deviations(specimen: Specimen) -> dict[str, float]:
    """How far the broken results are from the correct ones, |a - b| / |b|, by name; those that differ only."""
    with np.errstate(all="ignore"):
        try:
            got = specimen.broken.results()
        except ValueError:
            return {}
        expected = specimen.correct.results()
        off = {
            name: float(np.linalg.norm(got[name] - b) / np.linalg.norm(b))
            for name, b in expected.items()
            if np.shape(got[name]) == np.shape(b)
        }
    return {name: error for name, error in off.items() if not error < 1e-6}
