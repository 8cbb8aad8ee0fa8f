"""The README keeps its promises: two blocks, links that resolve, an example that runs."""

import re
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_quickstart_has_exactly_two_blocks_and_each_makes_its_own_environment():
    quickstart = re.search(r"^## Quickstart$(.*?)^## ", TEXT, re.S | re.M)[1]
    blocks = re.findall(r"^```(?:sh|bash)\n(.*?)^```", quickstart, re.S | re.M)
    assert len(blocks) == 2
    for block, last in zip(blocks, ("scratchvae train", "pytest"), strict=True):
        first, second, third = block.splitlines()
        assert first == "python3 -m venv .venv"
        assert second == ".venv/bin/python -m pip install -r requirements.txt"
        assert third == f".venv/bin/python -m {last}"
    assert (ROOT / "requirements.txt").read_text().split() == ["-e", ".[notebooks,test]"]


def test_the_example_runs():
    code = re.search(r"^```python\n(.*?)^```", TEXT, re.S | re.M)[1]
    scope = {}
    exec(code, scope)
    assert np.isfinite(scope["terms"].objective).all()
    assert scope["opt"].steps == 1


def test_every_relative_link_resolves():
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?://|#)([^)#\s]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_number_of_code_lines_is_the_one_that_the_readme_tells():
    from test_house import CORE_FILES, code_lines

    told = int(re.search(r"The core is about (\d+) lines", TEXT)[1])
    counted = sum(map(code_lines, CORE_FILES))
    assert abs(told - counted) <= 50
