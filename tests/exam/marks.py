"""The marks of the checks in exams that strangers set: `python tests/exam/marks.py > docs/exam.md`.

The papers here were written by people who had not seen the checks, the museum or their tests, from a page of contract
alone. They stand as they were marked; those of the first sixteen exams are in the history.
"""

import importlib
import tempfile
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from scratchvae.checks import (
    check_evidence,
    check_gradients,
    check_likelihood,
    check_optimizer,
    check_sampler,
    check_vjp,
)
from scratchvae.checks.files.check import check_file
from scratchvae.checks.report import Finding, Report

SUBJECTS = ("layers", "models", "networks", "files")
PAPERS = [f"{exam}_{subject}" for exam in ("seventeenth", "eighteenth") for subject in SUBJECTS]
CHECKS = {
    "vjp": check_vjp,
    "gradients": check_gradients,
    "sampler": check_sampler,
    "evidence": check_evidence,
    "likelihood": check_likelihood,
    "optimizer": check_optimizer,
}
ARGUMENTS = (
    "forward",
    "backward",
    "inputs",
    "model",
    "x",
    "eps",
    "sampler",
    "mu",
    "logvar",
    "p",
    "optimizer",
    "reference",
)


class Mark(NamedTuple):
    """What the checks made of one item."""

    item: Any
    findings: list[Finding]
    passed: bool  # something is ok and nothing is wrong

    @property
    def caught(self) -> bool:
        return not self.item.right and not self.passed and bool(self.findings)

    @property
    def cause_is_right(self) -> bool:
        return self.caught and self.findings[0].cause in self.item.causes

    @property
    def one_finding(self) -> bool:
        return self.caught and len(self.findings) == 1

    @property
    def accused(self) -> bool:
        return self.item.right and bool(self.findings)


def reports_on(item: Any) -> list[Report]:
    """The reports of the check that an item names; of a file one for each pair in it."""
    given = item.make()
    if item.check == "file":
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "student.py"
            path.write_text(given["source"])
            return list(check_file(path, seconds=600))  # why: what is found must not depend on the machine
    placed = [given.pop(name) for name in ARGUMENTS if name in given]
    return [CHECKS[item.check](*placed, **given)]


def marks_of(paper: str) -> list[Mark]:
    """Every item of a paper."""
    found = []
    for item in importlib.import_module(paper).ITEMS:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            reports = reports_on(item)
        findings = [finding for report in reports for finding in report.findings]
        found.append(Mark(item, findings, bool(reports) and all(report.ok for report in reports)))
    return found


def counts(found: list[Mark]) -> list[int]:
    """The numbers of a row: of what is wrong, and of what is right."""
    wrong, right = ([mark for mark in found if mark.item.right is is_right] for is_right in (False, True))
    return [
        len(wrong),
        sum(mark.caught for mark in wrong),
        sum(mark.cause_is_right for mark in wrong),
        sum(mark.one_finding for mark in wrong),
        len(right),
        sum(mark.passed for mark in right),
        sum(mark.accused for mark in right),
    ]


def row(name: str, numbers: list[int]) -> str:
    """A line of the table."""
    return f"| {name} | {' | '.join(map(str, numbers))} |"


def rows(paper: str, found: list[Mark]) -> Iterator[str]:
    """A line for each check in a paper."""
    exam, _, subject = paper.partition("_")
    for check in (*CHECKS, "file"):
        if some := [mark for mark in found if mark.item.check == check]:
            yield row(f"{exam}, {subject} | `{check}`", counts(some))


def sentence(text: str) -> str:
    """With a full stop, where it has no end of its own."""
    return text if text.endswith((".", "?")) else f"{text}."


def exceptions(found: list[Mark]) -> Iterator[str]:
    """What did not come out as it should, item by item."""
    for mark in found:
        item, said = mark.item, " ".join(f"*{f.cause}*: {sentence(f.message)}" for f in mark.findings)
        if item.right and not mark.passed:
            yield f"- {item.name} ({item.style}). It is right. Said: {said or 'untested.'}"
        elif not item.right and not (mark.cause_is_right and mark.one_finding):
            yield f"- {item.name} ({item.style}). {sentence(item.slip)} Said: {said or 'nothing.'}"


class Told(NamedTuple):
    """What the page tells of a paper."""

    name: str
    rows: list[str]
    exceptions: list[str]
    counts: list[int]


def told_of(paper: str) -> Told:
    found = marks_of(paper)
    return Told(paper, [*rows(paper, found)], [*exceptions(found)], counts(found))


def section(paper: str, lines: list[str]) -> str:
    """What did not come out as it should in a paper."""
    return "\n".join([f"### {paper.replace('_', ', ')}\n", *(lines or ["Nothing."])])


def page(papers: list[Told]) -> str:
    """docs/exam.md."""
    head = "| paper | check | wrong | caught | cause right | one finding | right | passed | accused |\n|---|---|"
    lines = [line for paper in papers for line in paper.rows]
    total = [sum(column) for column in zip(*(paper.counts for paper in papers), strict=True)]
    table = f"{head}{'--:|' * 7}\n" + "\n".join([*lines, row("all | ", total)])
    template = Path(__file__).with_name("page.md").read_text()
    sections = "\n\n".join(section(paper.name, paper.exceptions) for paper in papers)
    return template.format(table=table, exceptions=sections)


if __name__ == "__main__":
    with ProcessPoolExecutor() as pool:
        print(page(list(pool.map(told_of, PAPERS))), end="")
