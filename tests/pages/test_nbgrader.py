"""The course in nbgrader: a right, a wrong and an empty hand-in through its own commands."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from build import SOURCES, for_nbgrader, hand_out, has_blanks

with_blanks = pytest.mark.parametrize("source", list(filter(has_blanks, SOURCES)), ids=lambda path: path.stem)
KINDS = ("05_", "09_", "16_")  # values, gradients, dicts of them: each hand-in runs its whole page


def cells_with(notebook, **what):
    """Cells by their grade_id, of those whose metadata say so."""
    cells = [cell for cell in notebook.cells if "nbgrader" in cell.metadata]
    return {
        cell.metadata["nbgrader"]["grade_id"]: cell
        for cell in cells
        if what.items() <= dict(cell.metadata["nbgrader"]).items()
    }


@with_blanks
def test_below_each_blank_stands_a_locked_cell_that_asserts_its_check(source):
    notebook = for_nbgrader(source)
    solutions, tests = cells_with(notebook, solution=True), cells_with(notebook, grade=True, locked=True, points=1)
    assert [f"{name}-check" for name in solutions] == list(tests)
    for name, cell in solutions.items():
        assert cell.source.count("### BEGIN SOLUTION") == cell.source.count("### END SOLUTION") == 1
        assert re.search(r"### BEGIN SOLUTION\n.*return .*### END SOLUTION$", cell.source, re.S)
        page, blank = name.split("-")
        assert f'check("{page}.{blank}"' in tests[f"{name}-check"].source
        assert "assert result.passed" in tests[f"{name}-check"].source
    nbformat.validate(notebook)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("nbgrader") is None, reason="needs the extra: pip install -e .[grading]")
@pytest.mark.parametrize(
    "source", [path for path in SOURCES if path.stem.startswith(KINDS)], ids=lambda path: path.stem
)
def test_three_hand_ins_are_graded_and_told_why(source, tmp_path):
    def nbgrader(*command):
        run = [sys.executable, "-m", "nbgrader", *command, source.stem]
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # why: nbgrader calls alembic by name
        subprocess.run(run, cwd=tmp_path, check=True, capture_output=True, env={**os.environ, "PATH": path})

    (tmp_path / "nbgrader_config.py").write_text('get_config().CourseDirectory.course_id = "course"\n')
    hand_out(source, tmp_path)
    nbgrader("generate_assignment")
    release = tmp_path / "release" / source.stem / f"{source.stem}.ipynb"
    assert "BEGIN SOLUTION" not in release.read_text()

    solutions = cells_with(for_nbgrader(source), solution=True)
    broken = next(iter(solutions))
    for student in ("empty", "right", "wrong"):
        notebook = nbformat.read(release, as_version=4)
        for name, cell in cells_with(notebook, solution=True).items():
            if student != "empty":
                cell.source = solutions[name].source
            if student == "wrong" and name == broken:
                cell.source = cell.source.replace("### BEGIN SOLUTION", "return 7.0")
        target = tmp_path / "submitted" / student / source.stem / f"{source.stem}.ipynb"
        target.parent.mkdir(parents=True)
        nbformat.write(notebook, target)
    nbgrader("autograde")
    nbgrader("generate_feedback")

    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{tmp_path / 'gradebook.db'}") as gradebook:
        scores = {one.student.id: one.score for one in gradebook.assignment_submissions(source.stem)}
    assert scores == {"empty": 0, "right": len(solutions), "wrong": len(solutions) - 1}
    feedback = (tmp_path / "feedback" / "wrong" / source.stem / f"{source.stem}.html").read_text()
    assert f"{broken.replace('-', '.')}: wrong" in feedback
