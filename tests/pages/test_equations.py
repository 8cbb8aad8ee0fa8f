"""Derivations and code are one text: every tagged equation has a test, and nobody cites one that is not there."""

import importlib.util
import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location("make_equations", ROOT / "docs" / "make_equations.py")
book = importlib.util.module_from_spec(spec)
spec.loader.exec_module(book)

TAGS = {equation.tag for equation in book.equations()}
RECAP = re.compile(r"^## Recap\n\n((?:- .+\n(?:  .+\n)*)+)\Z", re.M)
FENCE = re.compile(r"^```.*?^```$", re.M | re.S)


def test_every_equation_is_executed():
    assert not sorted(TAGS - book.executions().keys())


def test_no_test_names_an_equation_that_no_page_defines():
    assert not {tag: names for tag, names in book.executions().items() if tag not in TAGS}


def test_no_docstring_cites_an_equation_that_no_page_defines():
    assert not {tag: names for tag, names in book.citations().items() if tag not in TAGS}


def test_no_tag_is_defined_twice():
    counts = Counter(equation.tag for equation in book.equations())
    assert not [tag for tag, count in counts.items() if count > 1]


@pytest.mark.parametrize("page", book.PAGES, ids=lambda page: page.stem)
def test_a_page_numbers_its_equations_cites_what_exists_and_ends_with_a_recap_of_five_lines(page):
    text = page.read_text(encoding="utf-8")
    numbers = [equation.number for equation in book.equations() if equation.page == page]
    assert numbers == list(range(1, len(numbers) + 1))
    cited = book.CITATION.findall(text)
    assert set(cited) <= TAGS
    assert len(re.findall(r"^\*\*\(", text, re.M)) == len(numbers)  # none is there that the pattern misses
    assert len(re.findall(r"^- ", RECAP.search(text)[1], re.M)) == 5


@pytest.mark.parametrize("page", book.PAGES, ids=lambda page: page.stem)
def test_formulas_in_the_text_survive_a_plain_git_host(page):
    """Such a host reads the backslash before punctuation as Markdown, and wants room on both sides of the dollars."""
    for paragraph in FENCE.sub("", page.read_text(encoding="utf-8")).splitlines():
        text = re.sub(r"`[^`]*`", "code", paragraph)
        spans = re.findall(r"(.?)\$([^$]*)\$(.?)", text)
        assert 2 * len(spans) == text.count("$"), paragraph
        for before, formula, after in spans:
            assert before in ("", " ", "(", "*"), paragraph
            assert after in ("", " ", ")", *".,;:?*"), paragraph
            assert not re.search(r"\\[^A-Za-z]", formula), paragraph
            assert formula == formula.strip() != "", paragraph


def test_the_table_is_up_to_date():
    assert book.TABLE.read_text(encoding="utf-8") == book.table(), "run python docs/make_equations.py"
