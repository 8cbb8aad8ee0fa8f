"""Makes the notebooks from their sources: python notebooks/build.py [00 04 ...]

Each notebook NN_title.ipynb is executed from source/NN_title.py, which is the file to edit (py:percent: `# %%` begins a
cell). What differs from run to run (times, random cell names) is left out, so that the same source and the same
versions give the same notebook.
"""

import hashlib
import os
import sys
import time
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent
SOURCES = sorted((HERE / "source").glob("[0-9][0-9]_*.py"))
SECONDS = 120  # for one cell; a whole notebook should stay below 30


def digest(source: Path) -> str:
    """What ties a notebook to the text that it was made from."""
    return hashlib.sha256(source.read_bytes()).hexdigest()


def read_source(source: Path) -> nbformat.NotebookNode:
    """The cells of a source, without outputs, under names that do not change."""
    notebook = jupytext.read(source)
    for i, cell in enumerate(notebook.cells):
        cell.id = f"cell-{i:03d}"
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python", "file_extension": ".py"},
        "scratchvae": {"source": f"source/{source.name}", "sha256": digest(source)},
    }
    return notebook


def execute(source: Path) -> tuple[nbformat.NotebookNode, float]:
    """The notebook with its outputs, and the seconds that it took."""
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    notebook = read_source(source)
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
        notebook, seconds = execute(source)
        target = HERE / f"{source.stem}.ipynb"
        nbformat.write(notebook, target)
        print(f"{target.name}: {seconds:.1f} s, {target.stat().st_size / 1024:.0f} KB")


if __name__ == "__main__":
    main(sys.argv[1:])
