"""Saves the figures of the pages as SVG and PDF, for slides: python notebooks/figures.py FOLDER [00 05 ...]

The pages run with their blanks filled. A figure's text for those who cannot see it goes into both files.
"""

import argparse
import contextlib
import io
from pathlib import Path

import matplotlib.pyplot as plt
from build import HERE, SOURCES, filled, read_source
from matplotlib.figure import Figure
from threadpoolctl import threadpool_limits

from scratchvae.view import notebook


def save(source: Path, folder: Path) -> int:
    """Run a page, and write NN_title-K.svg and NN_title-K.pdf for its figures K = 1, 2, ...; how many there are."""
    saved: list[str] = []

    def show(figure: Figure, alt: str) -> None:
        saved.append(alt)
        place = folder / f"{source.stem}-{len(saved)}"
        figure.savefig(f"{place}.svg", metadata={"Description": alt, "Date": None})
        figure.savefig(f"{place}.pdf", metadata={"Subject": alt, "CreationDate": None})
        plt.close(figure)

    before, notebook.show = notebook.show, show
    names = {"__name__": "__main__"}
    try:
        with (
            contextlib.chdir(HERE),
            contextlib.redirect_stdout(io.StringIO()),
            threadpool_limits(1),
        ):
            for cell in filled(read_source(source)).cells:
                if cell.cell_type == "code":
                    exec(compile(cell.source, source.name, "exec"), names)
    finally:
        notebook.show = before
    return len(saved)


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Save the figures of the pages as SVG and PDF, with their texts inside."
    )
    parser.add_argument("folder", type=Path, help="where to; it is made if it is not there")
    parser.add_argument(
        "numbers", nargs="*", help="of the pages, such as 00 05; all of them if there are none"
    )
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    plt.switch_backend("agg")
    for source in SOURCES:
        if not arguments.numbers or source.name[:2] in arguments.numbers:
            print(f"{source.stem}: {save(source, folder)} figures")


if __name__ == "__main__":
    main()
