"""A page runs to its end with every right answer in its blanks: no value that the check lets through stops it."""

import contextlib
import io
import os

import numpy as np
import pytest
from build import SOURCES, checked_in, read_source, tags
from formulations import FORMULATIONS

from scratchvae.exercises.check import blank_of


def as_lists(name):
    """The solution, which returns lists where it had arrays, and numbers of Python's."""
    right = blank_of(name).solution

    def answer(*arguments):
        values = right(*arguments)
        if isinstance(values, tuple):
            return [np.asarray(value).tolist() for value in values]
        return np.asarray(values).tolist()

    return answer


def answers(name):
    """Lists first, then each formulation. On a device a list is no array."""
    return [*([] if name.startswith("gpu.") else [as_lists(name)]), *FORMULATIONS[name]]


PAGES = {}  # source: its cells, and the names of its blanks
for source in SOURCES:
    page = [cell for cell in read_source(source).cells if cell.cell_type == "code"]
    if names := [checked_in(cell)[1] for cell in page if "blank" in tags(cell)]:
        PAGES[source] = page, max(len(answers(name)) for name in names)
RUNS = [(source, run) for source, (_, runs) in PAGES.items() for run in range(runs)]


@pytest.mark.slow
@pytest.mark.parametrize(("source", "run"), RUNS, ids=lambda v: v.stem if hasattr(v, "stem") else str(v))
@pytest.mark.filterwarnings("default")  # why: a page is run as the reader runs it
def test_a_page_runs_with_other_right_answers(source, run, monkeypatch):
    """In run 0 every blank returns lists; in run i each holds its i-th formulation."""
    monkeypatch.chdir(source.parent.parent)
    names = {"__name__": "__main__", "__file__": os.fspath(source)}
    shown = io.StringIO()
    for cell in PAGES[source][0]:
        if "blank" in tags(cell):
            _, name, function = checked_in(cell)
            names[function] = answers(name)[run % len(answers(name))]
            continue
        with contextlib.redirect_stdout(shown), np.errstate(all="warn"):  # as a reader's NumPy has it
            exec(compile(cell.source, "cell", "exec"), names)
