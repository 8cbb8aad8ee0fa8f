"""Makes the notebooks from their sources: python notebooks/build.py [00 04 ...]

Each notebook NN_title.ipynb is executed from source/NN_title.py, which is the file to edit (py:percent: `# %%` begins a
cell). What differs from run to run (times, random cell names) is left out, so that the same source and the same
versions give the same notebook.

A cell with the tag blank holds an empty function and its check. In solutions/NN_title.ipynb, which is made of the same
source, the function is the solution that scratchvae.exercises has under that name. The outputs of a cell with the tag
answer are folded in the page, since they answer what was asked.
"""

import hashlib
import inspect
import os
import re
import sys
import time
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

from scratchvae.exercises.check import blank_of

HERE = Path(__file__).parent
SOURCES = sorted((HERE / "source").glob("[0-9][0-9]_*.py"))
SECONDS = 120  # for one cell; a whole notebook should stay below 30
CHECK = re.compile(r'^check\("([\w.]+)", (\w+)\)$', re.M)  # the last line of a blank


def digest(source: Path) -> str:
    """What ties a notebook to the text that it was made from."""
    return hashlib.sha256(source.read_bytes()).hexdigest()


def read_source(source: Path) -> nbformat.NotebookNode:
    """The cells of a source, without outputs, under names that do not change."""
    notebook = jupytext.read(source)
    for i, cell in enumerate(notebook.cells):
        cell.id = f"cell-{i:03d}"
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


def filled(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook with the solutions in its blanks, and nothing folded; its links lead out of solutions/."""
    for cell in notebook.cells:
        if "blank" in tags(cell):
            (line,) = CHECK.finditer(cell.source)
            cell.source = f"{inspect.getsource(blank_of(line[1]).solution)}\n\n{line[0]}"
        if cell.cell_type == "markdown":
            cell.source = re.sub(r"\]\((?=\.\./|\w+\.(?:ipynb|md))", "](../", cell.source)
        cell.metadata.pop("jupyter", None)
    return notebook


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


def main(numbers: list[str]) -> None:
    """Execute the sources whose numbers are named, or all of them, and write the notebooks beside this file."""
    for source in SOURCES:
        if numbers and source.name[:2] not in numbers:
            continue
        solved = any("blank" in tags(cell) for cell in read_source(source).cells)
        for folder in (HERE, HERE / "solutions") if solved else (HERE,):
            notebook, seconds = execute(source, folder.name == "solutions")
            target = folder / f"{source.stem}.ipynb"
            target.parent.mkdir(exist_ok=True)
            nbformat.write(notebook, target)
            print(
                f"{target.relative_to(HERE)}: {seconds:.1f} s, {target.stat().st_size / 1024:.0f} KB"
            )


if __name__ == "__main__":
    main(sys.argv[1:])
