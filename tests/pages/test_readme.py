"""The README keeps its promises: two blocks, links that resolve, an example that runs."""

import re
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


FENCES = re.findall(r"^```(\w+)\n(.*?)^```", TEXT, re.S | re.M)
EXACT = re.compile(r"\d\.\de(-1\d|\+00)")  # the errors of a right gradient: rounding, and another on another machine


def section(title):
    """The shell blocks under a heading."""
    text = re.search(rf"^## {title}$(.*?)^## ", TEXT, re.S | re.M)[1]
    return re.findall(r"^```(?:sh|bash)\n(.*?)^```", text, re.S | re.M)


def test_quickstart_has_exactly_two_blocks_and_each_makes_its_own_environment():
    """The first installs what training needs and nothing else; the second what the tests need."""
    make, python = "python3 -m venv .venv", ".venv/bin/python -m"
    assert section("Quickstart") == [
        f"{make}\n{python} pip install -e .\n{python} scratchvae train\n",
        f"{make}\n{python} pip install -r requirements.txt\n{python} pytest\n",
    ]
    assert (ROOT / "requirements.txt").read_text().split() == ["-e", ".[test]"]


def test_every_shell_block_is_tried_by_the_whole_check():
    """.ci/run takes the blocks from here; none may stand under a heading that it does not know."""
    tried = {"Quickstart": 2, "The course": 1, "Where to read": 1}
    assert {title: len(section(title)) for title in tried} == tried
    assert sum(kind in ("sh", "bash") for kind, _ in FENCES) == sum(tried.values())
    calls = re.findall(r'block "([^"]+)"', (ROOT / ".ci" / "run").read_text())
    assert set(calls) == set(tried)


def test_every_python_block_runs_and_prints_what_the_readme_says(capsys):
    """Each alone. A text block below one is what it prints."""
    scopes = []
    for (kind, code), (below, told) in zip(FENCES, [*FENCES[1:], ("", "")], strict=True):
        if kind == "python":
            scopes.append({})
            exec(code, scopes[-1])
            printed = capsys.readouterr().out
            assert EXACT.sub("~", printed) == (EXACT.sub("~", told) if below == "text" else ""), printed
    assert [kind for kind, _ in FENCES].count("text") == 1
    first = scopes[0]
    assert np.isfinite(first["terms"].objective).all()
    assert first["opt"].steps == 1


def test_the_table_of_the_course_names_every_page_as_the_course_does():
    rows = re.findall(r"^\| \[(.*?)\]\(notebooks/(.*?)\) \|", TEXT, re.M)
    course = (ROOT / "notebooks" / "README.md").read_text()
    assert rows == re.findall(r"^\| \[(.*?)\]\((.*?)\) \|", course, re.M)
    assert len(rows) == len(list((ROOT / "notebooks").glob("[0-9]*.ipynb")))


def test_the_readme_takes_three_minutes():
    prose = re.sub(r"^```.*?^```|^\|.*?$|^!\[.*?\)$", "", TEXT, flags=re.S | re.M)  # no code, tables, pictures
    assert len(re.sub(r"\]\(.*?\)", "]", prose).split()) <= 750  # 250 words a minute


def test_every_relative_link_resolves():
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?://|#)([^)#\s]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_number_of_code_lines_is_the_one_that_the_readme_tells():
    from test_house import CORE_FILES, MATHEMATICS, code_lines

    for told, files in zip(
        re.search(r"about (\d+) lines of code, .* (\d+) more", TEXT, re.S).groups(),
        (MATHEMATICS, [file for file in CORE_FILES if file not in MATHEMATICS]),
        strict=True,
    ):
        assert abs(int(told) - sum(map(code_lines, files))) <= 50
