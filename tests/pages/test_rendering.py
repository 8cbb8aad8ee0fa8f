"""No formula and no list breaks on its way to a reader: every page, every derivation and every text of the docs.

nbconvert sets the notebooks, Sphinx and a Git host the texts. With each of them all formulas of the source arrive as
they were written, nothing of a formula is left as text, and every list has the items that it should. JupyterLab is
looked at in a browser (test_browser.py).
"""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from build import HERE as NOTEBOOKS
from derivations import PAGES, notebook, target
from rendering import RAW, Shown, accidents, formulas, items, plain

ROOT = NOTEBOOKS.parent
TEXTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")), NOTEBOOKS / "README.md"]
BOOKS = sorted(NOTEBOOKS.rglob("*.ipynb"))

each_text = pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.relative_to(ROOT).as_posix())
each_book = pytest.mark.parametrize("path", BOOKS, ids=lambda path: path.relative_to(NOTEBOOKS).as_posix())


def cells(path: Path) -> list[str]:
    return [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown"]


def faults(source: str, html: str) -> list[str]:
    """What a reader sees of a Markdown source that its writer did not mean."""
    shown, meant = Shown(html), formulas(plain(source))
    lost = [f"lost: {formula}" for formula in meant if formula not in shown.formulas]
    new = [f"made: {formula}" for formula in shown.formulas if formula not in meant]
    raw = [f"raw: {shown.rest[max(0, m.start() - 30) : m.end() + 30]!r}" for m in RAW.finditer(shown.rest)]
    lists = [f"items: {items(source)} in the source, {shown.items} shown"] * (items(source) != shown.items)
    return lost + new + raw + lists


@each_text
def test_no_line_of_a_text_begins_like_an_item_by_accident(path):
    assert accidents(path.read_text()) == []


@each_book
def test_no_line_of_a_notebook_begins_like_an_item_by_accident(path):
    assert [line for cell in cells(path) for line in accidents(cell)] == []


@each_book
def test_no_formula_between_single_dollars_is_broken_over_lines(path):
    """JupyterLab and a Git host take them for text, in some places."""
    for cell in cells(path):
        assert not [f for f in re.findall(r"(?<!\$)\$([^$]+)\$(?!\$)", plain(cell)) if "\n" in f]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_the_notebook_of_a_derivation_is_up_to_date(page):
    made = nbformat.read(target(page), as_version=4)
    assert made == notebook(page), "run python notebooks/derivations.py"
    for cell in made.cells:
        for link in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", cell.source):
            assert (target(page).parent / link).exists(), link


@pytest.mark.slow
@each_book
def test_nbconvert_shows_every_formula_and_every_list(path):
    markdown = pytest.importorskip("nbconvert.filters.markdown")
    assert [fault for cell in cells(path) for fault in faults(cell, str(markdown.markdown2html(cell)))] == []


@each_text
def test_a_git_host_shows_every_formula_and_every_list(path):
    """It reads Markdown first, which may take backslashes and underscores from a formula between dollars."""
    markdown_it = pytest.importorskip("markdown_it")
    source = path.read_text()
    host = markdown_it.MarkdownIt("commonmark", {"html": True}).enable("table")

    def fence(renderer, tokens, i, options, env):
        return f'<div class="math">{tokens[i].content}</div>' if tokens[i].info == "math" else "<pre></pre>"

    host.add_render_rule("fence", fence)
    assert faults(source, host.render(source)) == []


@pytest.mark.parametrize(
    ("source", "html", "kind"),
    [
        ("Let $x_{a}$ and $y_{b}$ be.", "Let $x<em>{a}$ and $y</em>{b}$ be.", "lost"),
        (r"Let $\{a\}$ be.", r"Let ${a}$ be.", "lost"),
        ("Let $t > 0$ be.", "Let t &gt; 0 be.", "lost"),
        (r"Let \mu be.", r"Let \mu be.", "raw"),
        ("A sum of\n\n1. one\n2. two", "A sum of 1. one 2. two", "items"),
    ],
)
def test_what_breaks_is_seen(source, html, kind):
    assert faults(source, html)[0].startswith(kind)


def test_an_accident_is_told_from_a_list():
    assert accidents("It is 0 or\n1. So it goes on.") == ["1. So it goes on."]
    assert accidents("The sum is 4\n- 3, which is 1.") == ["- 3, which is 1."]
    assert accidents("> It is 0 or\n> 1. So it goes on.") == ["> 1. So it goes on."]
    assert accidents("**You need**\n- this,\n  and\n- that.\n\n1. One\n2. two\n\nSo:\n- it") == []
    assert accidents("```\nx\n- 3\n```\n$$ a\n+ b $$\n") == []


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("sphinx")
    pytest.importorskip("myst_parser")
    folder = tmp_path_factory.mktemp("site")
    subprocess.run([sys.executable, "-m", "sphinx", "-q", "-W", str(ROOT / "docs"), str(folder)], check=True)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_sphinx_shows_every_formula_and_every_list(path, site):
    if ROOT / "docs" not in path.parents:
        pytest.skip("not a page of the site")
    html = (site / path.relative_to(ROOT / "docs").with_suffix(".html")).read_text()
    body = re.search(r'<div class="body" role="main">(.*?)<div class="sphinxsidebar"', html, re.S)[1]
    assert faults(path.read_text(), body) == []
