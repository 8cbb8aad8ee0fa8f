"""The notebooks: complete, tied to their sources, described for those who cannot see, and linked to each other."""

import ast
import inspect
import re

import nbformat
import pytest
from build import HERE as NOTEBOOKS
from build import SOURCES, checked_in, digest, execute, filled, read_source, tags
from course_map import ITEMS, PAGE, page, places

from scratchvae.exercises.check import PAGES, blank_of

FIGURE_BYTES = 110_000
SECONDS = 30

each_source = pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)


def blanks(source):
    return [cell for cell in read_source(source).cells if "blank" in tags(cell)]


WITH_BLANKS = [source for source in SOURCES if blanks(source)]


def committed(source):
    return nbformat.read(NOTEBOOKS / f"{source.stem}.ipynb", as_version=4)


def solved(source):
    return nbformat.read(NOTEBOOKS / "solutions" / f"{source.stem}.ipynb", as_version=4)


def pictures(notebook):
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                yield output


def test_every_notebook_has_its_source_and_every_source_its_notebook():
    assert [source.stem for source in SOURCES] == sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb"))


@each_source
def test_the_notebook_is_that_of_its_source(source):
    notebook, text = committed(source), read_source(source)
    assert notebook.metadata["scratchvae"]["sha256"] == digest(source), (
        f"run python notebooks/build.py {source.stem[:2]}"
    )
    assert [(c.cell_type, c.source) for c in notebook.cells] == [(c.cell_type, c.source) for c in text.cells]


@pytest.mark.parametrize("source", WITH_BLANKS, ids=lambda path: path.stem)
def test_the_solution_is_the_same_page_with_its_blanks_filled(source):
    page, text = solved(source), filled(read_source(source))
    assert page.metadata["scratchvae"]["sha256"] == digest(source)
    assert [(c.cell_type, c.source) for c in page.cells] == [(c.cell_type, c.source) for c in text.cells]
    passed = [c for c in page.cells if c.cell_type == "code" and ": passed" in str(c.outputs)]
    assert len(passed) == len(blanks(source))
    for target in (t for c in page.cells for t in re.findall(r"\]\((?!https?://|#)([^)#\s]+)", c.source)):
        assert (NOTEBOOKS / "solutions" / target).exists(), target


@pytest.mark.parametrize("source", WITH_BLANKS, ids=lambda path: path.stem)
def test_a_blank_is_empty_and_has_the_signature_of_its_solution(source):
    for cell in blanks(source):
        _, name, function = checked_in(cell)
        empty, right = ast.parse(cell.source).body[0], ast.parse(inspect.getsource(blank_of(name).solution)).body[0]
        assert empty.name == right.name == function
        assert ast.dump(empty.args) == ast.dump(right.args)
        assert ast.get_docstring(empty) == ast.get_docstring(right)
        assert ast.unparse(empty.body[1:]) == "raise NotImplementedError"


def test_every_blank_stands_on_a_page_and_in_the_order_of_progress():
    named = [checked_in(cell)[1] for source in WITH_BLANKS for cell in blanks(source)]
    assert named == [f"{page}.{blank}" for page, page_blanks in PAGES.items() for blank in page_blanks]


@each_source
def test_outputs_are_complete_and_clean(source):
    notebook = committed(source)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert code[-1].outputs or any(cell.outputs for cell in code)
    for cell in code:
        for output in cell.outputs:
            assert output.output_type != "error"
            assert output.get("name") != "stderr", output.text
            assert not [kind for kind in output.get("data", {}) if "widget" in kind]
            text = str(output.get("text", "")) + str(output.get("data", {}).get("text/plain", ""))
            assert text.count("\n") < 40, "a long repr: assign the value, or print what matters"
            assert "Warning" not in text
            assert "Traceback" not in text


@each_source
def test_every_figure_is_small_and_has_a_text(source):
    for output in pictures(committed(source)):
        assert len(output.data["image/png"]) * 3 / 4 < FIGURE_BYTES
        assert len(output.metadata.get("image/png", {}).get("alt", "")) > 20


@each_source
def test_links_between_pages_resolve(source):
    for cell in committed(source).cells:
        if cell.cell_type == "markdown":
            for target in re.findall(r"\]\((?!https?://|#)([^)#\s]+)", cell.source):
                assert (NOTEBOOKS / target).exists(), target


@each_source
def test_a_page_ends_with_the_way_back_to_the_contents_and_on(source):
    i, last = SOURCES.index(source), committed(source).cells[-1].source
    around = [SOURCES[i - 1].stem] * (i > 0), [path.stem for path in SOURCES[i + 1 : i + 2]]
    expected = [f"{stem}.ipynb" for stem in around[0]] + ["README.md"] + [f"{stem}.ipynb" for stem in around[1]]
    assert re.findall(r"\[(?:Back: [^\]]+|Contents|Next: [^\]]+)\]\(([^)]+)\)", last) == expected


@each_source
def test_the_rhythm_of_a_page(source):
    text = "\n".join(cell.source for cell in committed(source).cells if cell.cell_type == "markdown")
    for part in (
        "What you will do",
        "What you will learn",
        "What you need",
        "## Recap",
        "## On your own",
        "## Further",
    ):
        assert part in text, part
    recap = text.split("## Recap")[1].split("## ")[0]
    assert len(re.findall(r"^\d\. ", recap, re.M)) == 5
    questions = text.split("## On your own")[1].split("## ")[0]
    assert 3 <= len(re.findall(r"^\d\. ", questions, re.M)) <= 5


@each_source
def test_every_section_asks(source):
    """A blank, a guess to write down, or a question; but for those about the page itself or the installation."""
    asks, section = {}, None
    for cell in read_source(source).cells:
        if cell.cell_type == "markdown" and (titles := re.findall(r"^## (.+)$", cell.source, re.M)):
            section = titles[-1]
        guess = cell.cell_type == "code" and re.search(r"^\w+ = None", cell.source, re.M)
        question = cell.cell_type == "markdown" and "?" in cell.source
        asks[section] = asks.get(section, False) or "blank" in tags(cell) or bool(guess or question)
    around = {None, "How this page works", "Your progress", "Recap", "On your own", "Further", "Further reading"}
    assert [name for name, one in asks.items() if not one and name not in around] == []


@each_source
def test_randomness_is_seeded(source):
    text = source.read_text()
    assert not re.findall(r"default_rng\(\s*\)|np\.random\.(?!default_rng|Generator)", text)


@pytest.mark.slow
@each_source
def test_it_runs_within_its_time(source):
    notebook, seconds = execute(source)
    assert len(notebook.cells) == len(committed(source).cells)
    assert len(list(pictures(notebook))) == len(list(pictures(committed(source))))
    assert not [o for c in notebook.cells for o in c.get("outputs", []) if o.get("name") == "stderr"]
    assert seconds < SECONDS


def test_the_contents_name_every_page():
    contents = (NOTEBOOKS / "README.md").read_text()
    for source in SOURCES:
        assert f"({source.stem}.ipynb)" in contents


def test_tags_name_items_of_the_course_map():
    assert set(places()) - {"answer", "blank"} <= set(ITEMS)  # these two are build.py's


def test_the_course_map_is_up_to_date_and_has_no_empty_row():
    assert PAGE.read_text() == page(), "run python notebooks/course_map.py"
    assert not set(ITEMS) - set(places())
