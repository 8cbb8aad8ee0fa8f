"""Every assert of a page can fail: beside it stands a spoil of what it depends on, and with that it does fail.

In a source a spoil is the line below its assert, `# spoil: sigma = sigma**2`; build.py keeps them in a cell's metadata.
The page runs once. At each assert a copy of the process goes through the cell again, with the spoil right before the
assert, and has to end in that assert.
"""

import ast
import contextlib
import io
import os

import pytest
from build import SOURCES, filled, read_source

FAILED, PASSED, OTHERWISE = 0, 1, 2  # what became of an assert
SPOILT = [source for source in SOURCES if "# spoil: " in source.read_text()]


def cells_of(source):
    """The cells of the page with its blanks filled, so that nothing waits for the reader."""
    return [cell for cell in filled(read_source(source)).cells if cell.cell_type == "code"]


def asserts_in(code):
    """Each assert of a cell, with the list of statements that it stands in and its place there."""
    for node in ast.walk(code):
        for field in ("body", "orelse", "finalbody"):
            statements = getattr(node, field, None)
            for i, statement in enumerate(statements if isinstance(statements, list) else ()):
                if isinstance(statement, ast.Assert):
                    yield statement.lineno, statements, i


def spoiled(text, number, spoil):
    """The cell with a statement before its assert of that number; and the assert's line."""
    code = ast.parse(text)
    line, statements, i = sorted(asserts_in(code), key=lambda found: found[0])[number]
    statements[i:i] = ast.parse(spoil).body
    return ast.fix_missing_locations(code), line


def fate(text, number, spoil, names):
    """What becomes of an assert of a cell after the spoil, in a copy of this process."""
    child = os.fork()
    if child == 0:
        code, line = spoiled(text, number, spoil)
        status = OTHERWISE
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                exec(compile(code, "cell", "exec"), names)
            status = PASSED
        except AssertionError as error:
            trace = error.__traceback__.tb_next
            status = FAILED if trace.tb_lineno == line else OTHERWISE
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("source", SPOILT, ids=lambda path: path.stem)
def test_every_assert_has_its_spoil(source):
    for cell in cells_of(source):
        asserts = list(asserts_in(ast.parse(cell.source)))
        assert len(cell.metadata.get("spoils", [])) == len(asserts), cell.source


@pytest.mark.slow
@pytest.mark.parametrize("source", SPOILT, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("default")  # why: a page is run as the reader runs it
def test_every_assert_fails_when_it_is_spoiled(source, monkeypatch):
    monkeypatch.chdir(source.parent.parent)
    names, fates = {"__name__": "__main__"}, {}
    for cell in cells_of(source):
        for number, spoil in enumerate(cell.metadata.get("spoils", [])):
            fates[spoil, cell.source[:60]] = fate(cell.source, number, spoil, names)
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(cell.source, "cell", "exec"), names)
    assert fates
    assert not {spoil: what for spoil, what in fates.items() if what != FAILED}
