"""The house itself: imports go down the reading order, files and functions stay small, randomness has one door."""

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import scratchvae

PACKAGE = Path(__file__).parent.parent / "scratchvae"
CORE = ["backend", "arguments", "layers", "gaussian", "likelihoods", "model", "autoencoder", "vae", "iwae", "optim"]
CORE += ["batches", "recipe", "npz", "run_folder", "manifest", "checkpoint", "resume", "record", "training"]
CORE += ["evaluation", "exact"]
OUTER = ["data", "lab", "reproduction", "standin", "checks", "museum", "exercises", "view", "commands", "cli"]
FILES = sorted(PACKAGE.rglob("*.py"))
CORE_FILES = [file for file in FILES if file.relative_to(PACKAGE).parts[0].removesuffix(".py") in CORE]
ON_DISK = ["npz.py", "run_folder.py", "manifest.py", "checkpoint.py", "resume.py", "record.py"]  # read on another day
MATHEMATICS = [file for file in CORE_FILES if file.name not in ON_DISK]
FUNCTION = 40  # lines of code
LONG = {}  # functions that are longer, and how long they may be; none is to be added


def tree(file):
    return ast.parse(file.read_text(), str(file))


def imported(file):
    """The names of this package's modules that a file imports, without the package's own name."""
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("scratchvae."):
            yield node.module.split(".")[1]


def code_lines(file, function=None):
    """Lines of a file, or of one function in it, that hold code: no docstrings, no comments, no blank lines."""
    text, skip = file.read_text(), set()
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            first = node.body[0]
            skip |= set(range(first.lineno, first.end_lineno + 1))
    lines = list(enumerate(text.splitlines(), start=1))
    if function is not None:
        lines = lines[function.lineno - 1 : function.end_lineno]
    return sum(1 for i, line in lines if i not in skip and line.strip() and not line.strip().startswith("#"))


def long_functions(file):
    """The dotted name of every function and method of more than FUNCTION lines of code -> how many it has."""

    def inside(node, name):
        for child in ast.iter_child_nodes(node):
            named = isinstance(child, ast.ClassDef | ast.FunctionDef)
            dotted = f"{name}.{child.name}" if named else name
            if isinstance(child, ast.FunctionDef) and (lines := code_lines(file, child)) > FUNCTION:
                yield dotted, lines
            yield from inside(child, dotted)

    return dict(inside(tree(file), ".".join(file.relative_to(PACKAGE).with_suffix("").parts)))


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_imports_go_down_the_reading_order(file):
    order = CORE + OUTER
    own = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if own in ("__init__", "__main__"):
        return
    for name in imported(file):
        assert order.index(name) <= order.index(own), f"{own} imports {name}, which is read later"


def chapters_used(page):
    """The modules that define what a page of the course imports from the package, and their base classes."""
    for node in ast.walk(tree(page)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "scratchvae":
            for alias in node.names:
                thing = getattr(importlib.import_module(node.module), alias.name)
                for part in getattr(thing, "__mro__", [thing]):
                    yield from getattr(part, "__module__", "").split(".")[1:2]


def test_a_chapter_names_pages_that_use_it():
    rows = [re.split(r"  +", line.strip()) for line in scratchvae.__doc__.splitlines()]
    named = {row[1]: row[2].split(", ") for row in rows if len(row) == 3 and row[0] != "chapter"}
    assert named.keys() <= set(CORE)
    assert len(named) == 14
    for chapter, numbers in named.items():
        pages = [page for number in numbers for page in PACKAGE.parent.glob(f"notebooks/source/{number}_*.py")]
        assert len(pages) == len(numbers)
        asked = "training" if chapter == "recipe" else chapter  # it is what `fit` looks over
        assert any(asked in chapters_used(page) for page in pages), f"{chapter} is not on {numbers}"


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_a_file_is_read_in_one_sitting(file):
    assert code_lines(file) < 250


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_a_function_is_seen_whole(file):
    for name, lines in long_functions(file).items():
        assert lines <= LONG.get(name, FUNCTION), f"{name} has {lines} lines of code"


def test_no_exception_is_kept_that_is_not_needed():
    assert LONG.keys() <= {name for file in FILES for name in long_functions(file)}


def test_the_core_is_read_in_an_afternoon():
    """The mathematics and its training. What keeps a run on disk whole is counted apart, and may not grow either."""
    assert sum(map(code_lines, MATHEMATICS)) <= 1650
    assert sum(map(code_lines, CORE_FILES)) <= 2310


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_randomness_is_an_argument(file):
    """np.random.default_rng and np.random.Generator are the only names used of np.random."""
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "np.random":
            assert node.attr in ("default_rng", "Generator")


def test_only_the_backend_speaks_of_cupy():
    for file in FILES:
        names = {node.id for node in ast.walk(tree(file)) if isinstance(node, ast.Name)}
        assert "cupy" not in names or file.name == "backend.py"


def test_importing_the_package_pulls_in_numpy_alone():
    code = "import sys, scratchvae; print(*sorted({'matplotlib', 'tqdm', 'cupy', 'IPython'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_every_public_name_has_a_docstring():
    import scratchvae

    for name in scratchvae.__all__:
        assert getattr(scratchvae, name).__doc__ or name.endswith("_backward"), name
