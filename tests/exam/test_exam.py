"""The published counts are those of a run, and they are as good as the page for readers says."""

import importlib
import re
from pathlib import Path

import pytest
from marks import CHECKS, PAPERS, exceptions, marks_of, row, rows, section

PAGE = (Path(__file__).parents[2] / "docs" / "exam.md").read_text()
RUN = "run: python tests/exam/marks.py > docs/exam.md"


@pytest.mark.slow
@pytest.mark.parametrize("paper", PAPERS)
def test_the_counts_and_what_is_said_are_those_of_a_run(paper):
    found = marks_of(paper)
    lines = [*rows(paper, found)]
    assert lines == [line for line in PAGE.splitlines() if line in lines], RUN
    assert section(paper, [*exceptions(found)]) + "\n" in PAGE.replace("\n\n###", "\n###"), RUN


def numbers_of(line):
    return [int(n) for n in re.findall(r"(?<=\| )\d+(?= \|)", line)]


def test_the_last_line_is_the_sum_of_the_others():
    lines = re.findall(r"^\| \w+, \w+ \| `\w+` \|.*$", PAGE, re.M)
    total = [sum(column) for column in zip(*map(numbers_of, lines), strict=True)]
    assert row("all | ", total) in PAGE.splitlines()


def test_the_checks_are_worth_believing():
    (line,) = (line for line in PAGE.splitlines() if line.startswith("| all "))
    wrong, caught, causes, one_finding, right, _, accused = numbers_of(line)
    assert caught >= 0.98 * wrong
    assert causes >= 0.85 * wrong
    assert one_finding >= 0.9 * wrong
    assert accused == 0
    items = [item for paper in PAPERS for item in importlib.import_module(paper).ITEMS]
    assert len(items) == wrong + right
    assert min(wrong - 100, right - 60) >= 0
    assert len({item.style for item in items}) >= 6
    assert {item.check for item in items} == {*CHECKS, "file"}
