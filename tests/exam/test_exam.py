"""The published counts are those of a run, and they are as good as the page for readers says."""

from pathlib import Path

import pytest
from marks import CHECKS, marks, page

PAGE = Path(__file__).parents[2] / "docs" / "exam.md"


@pytest.fixture(scope="module")
def everything():
    return list(marks())


@pytest.mark.slow
def test_the_page_is_up_to_date(everything):
    assert page(everything) == PAGE.read_text(), "run: python tests/exam/marks.py > docs/exam.md"


@pytest.mark.slow
def test_the_checks_are_worth_believing(everything):
    wrong, right = ([mark for mark in everything if mark.item.right is is_right] for is_right in (False, True))
    assert len(wrong) >= 100
    assert len(right) >= 60
    assert len({mark.item.style for mark in everything}) >= 6
    assert {mark.item.check for mark in everything} == {*CHECKS, "file"}
    assert sum(mark.caught for mark in wrong) >= 0.98 * len(wrong)
    assert sum(mark.cause_is_right for mark in wrong) >= 0.85 * len(wrong)
    assert sum(mark.one_finding for mark in wrong) >= 0.9 * len(wrong)
    assert [mark.item.name for mark in right if mark.accused] == []
