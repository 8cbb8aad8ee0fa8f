"""The house itself: imports go down the reading order, files stay small, and randomness has one door."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "scratchvae"
CORE = ["backend", "layers", "gaussian", "likelihoods", "autoencoder", "vae", "iwae", "optim", "batches", "npz"]
CORE += ["checkpoint", "training", "evaluation", "exact"]
OUTER = ["data", "checks", "lab", "view", "commands", "cli"]
FILES = sorted(PACKAGE.rglob("*.py"))


def tree(file):
    return ast.parse(file.read_text(), str(file))


def imported(file):
    """The names of this package's modules that a file imports, without the package's own name."""
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("scratchvae."):
            yield node.module.split(".")[1]


def code_lines(file):
    """Lines that hold code: no docstrings, no comments, no blank lines."""
    text, skip = file.read_text(), set()
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            first = node.body[0]
            skip |= set(range(first.lineno, first.end_lineno + 1))
    lines = enumerate(text.splitlines(), start=1)
    return sum(1 for i, line in lines if i not in skip and line.strip() and not line.strip().startswith("#"))


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_imports_go_down_the_reading_order(file):
    order = CORE + OUTER
    own = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if own in ("__init__", "__main__"):
        return
    for name in imported(file):
        assert order.index(name) <= order.index(own), f"{own} imports {name}, which is read later"


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_a_file_is_read_in_one_sitting(file):
    assert code_lines(file) <= 160


def test_the_core_is_read_in_an_afternoon():
    assert sum(code_lines(PACKAGE / f"{name}.py") for name in CORE if (PACKAGE / f"{name}.py").exists()) <= 1600


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
