"""The published counts are those of a run, and they are as good as the page for readers says."""

import importlib
import re
from pathlib import Path

import pytest
from marks import CHECKS, PAPERS, marks, page

PAGE = (Path(__file__).parents[2] / "docs" / "exam.md").read_text()


@pytest.mark.slow
def test_the_counts_are_those_of_a_run():
    assert page(list(marks())) == PAGE, "run: python tests/exam/marks.py > docs/exam.md"


def test_the_checks_are_worth_believing():
    (counts,) = re.findall(r"^\| all \| (.*) \|$", PAGE, re.M)
    wrong, caught, causes, one_finding, right, _, accused = map(int, counts.split(" | "))
    assert caught >= 0.98 * wrong
    assert causes >= 0.85 * wrong
    assert one_finding >= 0.9 * wrong
    assert accused == 0
    items = [item for paper in PAPERS for item in importlib.import_module(paper).ITEMS]
    assert len(items) == wrong + right
    assert min(wrong - 100, right - 60) >= 0
    assert len({item.style for item in items}) >= 6
    assert {item.check for item in items} == {*CHECKS, "file"}
