"""Makes the notebooks from their sources: python notebooks/build.py [00 05 ...]

Each notebook NN_title.ipynb is executed from source/NN_title.py, which is the file to edit (py:percent: `# %%` begins a
cell). What differs from run to run (times, random cell names) is left out, so that the same source and the same
versions give the same notebook.

A cell with the tag blank holds an empty function and its check. In solutions/NN_title.ipynb, which is made of the same
source, the function is the solution that scratchvae.exercises has under that name. The outputs of a cell with the tag
answer are folded in the page, since they answer what was asked. Below an assert stands, in the source alone, what makes
it fail: `# spoil: sigma = sigma**2`. A test puts that line before the assert, and it has to fail.

    python notebooks/build.py --nbgrader COURSE 09

writes COURSE/source/NN_title/NN_title.ipynb, what an instructor has in nbgrader: the solution of each blank between its
markers, and below it a locked cell, worth a point, that asserts the check.
"""

import argparse
import ast
import hashlib
import inspect
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbclient import NotebookClient

from scratchvae.exercises.check import blank_of

HERE = Path(__file__).parent
SOURCES = sorted((HERE / "source").glob("[0-9][0-9]_*.py"))
SECONDS = 120  # for one cell; a whole notebook should stay below 30
CHECK = re.compile(r'^check\("([\w.]+)", (\w+)\)$', re.M)  # the last line of a blank
SPOIL = re.compile(r"^ *# spoil: (.*)\n?", re.M)  # the line below an assert


def digest(source: Path) -> str:
    """What ties a notebook to the text that it was made from."""
    return hashlib.sha256(source.read_bytes()).hexdigest()


def read_source(source: Path) -> nbformat.NotebookNode:
    """The cells of a source, without outputs, under names that do not change."""
    notebook = jupytext.read(source)
    for i, cell in enumerate(notebook.cells):
        cell.id = f"cell-{i:03d}"
        if spoils := SPOIL.findall(cell.source):
            cell.source = SPOIL.sub("", cell.source)
            cell.metadata["spoils"] = spoils
        if "answer" in tags(cell):
            cell.metadata["tags"] = [*tags(cell), "hide-output"]  # of a site
            cell.metadata["jupyter"] = {"outputs_hidden": True}  # of JupyterLab
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python", "file_extension": ".py"},
        "scratchvae": {"source": f"source/{source.name}", "sha256": digest(source)},
    }
    return notebook


def tags(cell: nbformat.NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


def checked_in(cell: nbformat.NotebookNode) -> tuple[str, str, str]:
    """The last line of a blank, and in it the names of the blank and of the reader's function."""
    (found,) = CHECK.finditer(cell.source)
    return found[0], found[1], found[2]


def has_blanks(source: Path) -> bool:
    return any("blank" in tags(cell) for cell in read_source(source).cells)


def filled(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook with the solutions in its blanks, and nothing folded; its links lead out of solutions/."""
    for cell in notebook.cells:
        if "blank" in tags(cell):
            line, name, _ = checked_in(cell)
            cell.source = f"{inspect.getsource(blank_of(name).solution)}\n\n{line}"
        if cell.cell_type == "markdown":
            cell.source = re.sub(r"\]\((?=\.\./|[\w/]+\.(?:ipynb|md))", "](../", cell.source)
        cell.metadata.pop("jupyter", None)
    return notebook


def for_nbgrader(source: Path) -> nbformat.NotebookNode:
    """The page as an assignment: nbgrader's own metadata in each blank, and a locked cell below it."""
    notebook = read_source(source)
    cells = []
    for cell in notebook.cells:
        cells.append(cell)
        if "blank" in tags(cell):
            line, name, _ = checked_in(cell)
            cell.source = between_markers(blank_of(name).solution)
            cell.metadata["nbgrader"] = marked(name, solution=True)
            test = nbformat.v4.new_code_cell(
                f"result = {line}\nassert result.passed, result", id=f"{cell.id}-check"
            )
            test.metadata["nbgrader"] = marked(
                f"{name}.check", grade=True, locked=True, points=1
            )
            cells.append(test)
    notebook.cells = cells
    return notebook


def between_markers(solution: Callable[..., Any]) -> str:
    """A function whose body, but for its docstring, nbgrader takes out of what it hands out."""
    text = inspect.getsource(solution)
    body = ast.parse(text).body[0].body[1].lineno - 1  # of the first line after the docstring
    lines = text.splitlines()
    return "\n".join(
        [*lines[:body], "    ### BEGIN SOLUTION", *lines[body:], "    ### END SOLUTION"]
    )


def marked(name: str, **what: Any) -> dict[str, Any]:
    """nbgrader's metadata of a cell, schema version 3."""
    return {
        "grade_id": name.replace(".", "-"),
        "schema_version": 3,
        "grade": False,
        "solution": False,
        "locked": False,
        "task": False,
    } | what


def execute(source: Path, solved: bool = False) -> tuple[nbformat.NotebookNode, float]:
    """The notebook, or its solution, with its outputs, and the seconds that it took."""
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    notebook = filled(read_source(source)) if solved else read_source(source)
    metadata = dict(notebook.metadata)
    began = time.perf_counter()
    NotebookClient(
        notebook,
        timeout=SECONDS,
        kernel_name="python3",
        resources={"metadata": {"path": str(HERE)}},
        record_timing=False,
    ).execute()
    notebook.metadata = metadata
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = merge_streams(cell.outputs)
    return notebook, time.perf_counter() - began


def merge_streams(outputs: list[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """Pieces of standard output that came one after the other, as one: how they were cut is chance."""
    merged: list[nbformat.NotebookNode] = []
    for output in outputs:
        if (
            merged
            and output.output_type == "stream" == merged[-1].output_type
            and output.name == merged[-1].name
        ):
            merged[-1].text += output.text
        else:
            merged.append(output)
    return merged


def build(source: Path) -> None:
    """Execute the page, and its solution if it has blanks, and write both beside this file."""
    for folder in (HERE, HERE / "solutions") if has_blanks(source) else (HERE,):
        notebook, seconds = execute(source, folder.name == "solutions")
        target = folder / f"{source.stem}.ipynb"
        target.parent.mkdir(exist_ok=True)
        nbformat.write(notebook, target)
        print(
            f"{target.relative_to(HERE)}: {seconds:.1f} s, {target.stat().st_size / 1024:.0f} KB"
        )


def hand_out(source: Path, course: Path) -> None:
    """Write the instructor's version of a page that has blanks."""
    target = course / "source" / source.stem / f"{source.stem}.ipynb"
    target.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(for_nbgrader(source), target)
    print(target)


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the notebooks from their sources.")
    parser.add_argument(
        "numbers", nargs="*", help="of the pages, such as 00 05; all of them if there are none"
    )
    parser.add_argument(
        "--nbgrader",
        metavar="COURSE",
        type=Path,
        help="write assignments into this folder instead",
    )
    arguments = parser.parse_args()
    for source in SOURCES:
        if arguments.numbers and source.name[:2] not in arguments.numbers:
            continue
        if arguments.nbgrader is None:
            build(source)
        elif has_blanks(source):
            hand_out(source, arguments.nbgrader)


if __name__ == "__main__":
    main()
