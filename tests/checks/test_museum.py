"""The museum: every planted bug is seen, its cause is named, and no correct component is accused."""

import inspect
import sys
from pathlib import Path

import numpy as np
import pytest

from scratchvae.checks import CAUSES
from scratchvae.museum import SPECIMENS, causes, deviations, examine, seen_by
from scratchvae.museum.page import CHAPTERS, page
from scratchvae.museum.source import repaired

PAGE = Path(__file__).parents[2] / "docs" / "museum.md"
NOT_NAMED: list[str] = []  # bugs that are seen, under another cause than their label's; to be kept short


@pytest.fixture(scope="module")
def exhibits():
    return [(specimen, examine(specimen.broken, specimen.correct)) for specimen in SPECIMENS]


def test_every_bug_is_caught_by_a_check_beyond_the_shapes(exhibits):
    assert [s.name for s, reports in exhibits if not seen_by(reports) - {"shapes"}] == []


def test_nine_in_ten_causes_are_named(exhibits):
    assert [s.name for s, reports in exhibits if s.cause not in causes(reports)] == NOT_NAMED
    assert len(NOT_NAMED) <= len(exhibits) / 10


def test_no_correct_component_is_accused():
    for correct in {id(s.correct): s.correct for s in SPECIMENS}.values():
        for check, report in examine(correct, correct).items():
            assert report.ok, f"{check}: {report}"


def test_the_page_is_up_to_date(exhibits):
    assert page(exhibits) == PAGE.read_text(), "run: python -m scratchvae.museum > docs/museum.md"


def test_every_chapter_has_its_share_and_names_are_unique():
    chapters = [s.chapter for s in SPECIMENS]
    assert list(dict.fromkeys(chapters)) == list(CHAPTERS)
    assert all(chapters.count(chapter) >= 5 for chapter in CHAPTERS)
    assert len({s.name for s in SPECIMENS}) == len({s.title for s in SPECIMENS}) == len(SPECIMENS)


@pytest.mark.parametrize("specimen", SPECIMENS, ids=lambda s: s.name)
def test_the_label_is_complete_and_the_slip_is_marked(specimen):
    assert specimen.title
    assert specimen.origin
    assert specimen.effect.endswith(".")
    assert specimen.cause in CAUSES
    module = sys.modules[f"scratchvae.museum.{specimen.chapter}"]
    assert inspect.getsource(getattr(module, specimen.name)).count("# the slip") == 1


@pytest.mark.parametrize("specimen", SPECIMENS, ids=lambda s: s.name)
def test_the_right_lines_in_place_of_the_wrong_ones_make_it_right(specimen):
    expected, got = specimen.correct.results(), repaired(specimen.bug, specimen.correct).results()
    for name, a in expected.items():
        np.testing.assert_allclose(got[name], a, rtol=1e-12, atol=1e-12)


def test_figures_on_the_labels():
    """The numbers that the labels give, where they can be computed."""
    mean = lambda logit: 1 / (1 - np.exp(-logit)) - 1 / logit  # noqa: E731
    assert round(mean(3.0), 2) == 0.72  # sigmoid_for_the_mean
    assert round(1 / (1 + np.exp(-3.0)), 2) == 0.95
    assert round(np.log1p(1.0), 2) == 0.69  # pictures_of_softplus: softplus(0), where p = 1/2
    assert round(1 - np.exp(-1.0), 2) == 0.63  # softplus(logit) = -log(1 - p) = 1
    assert round(784 * 0.5 * np.log(2 * np.pi)) == 720  # gaussian_without_its_constants
    assert round(0.1 / np.sqrt(0.001), 2) == round(np.sqrt(10), 2)  # adam_without_bias_correction, first step


def test_deviations_are_those_of_the_results():
    by_name = {s.name: s for s in SPECIMENS}
    assert deviations(by_name["relu_writes_into_the_gradient"]) == {}
    off = deviations(by_name["half_missing_in_dlogvar"])
    assert off.keys() == {"dlogvar of z"}
    assert abs(off["dlogvar of z"] - 1) < 1e-12
