"""python -m scratchvae gradcheck: this package, and files of other people."""

import os

import numpy as np
import pytest
from zoo import Laplace

from scratchvae.checks.package import check_package
from scratchvae.cli import main
from scratchvae.layers import LAYERS, LayerNorm
from scratchvae.likelihoods import LIKELIHOODS

GOOD = """
import numpy as np

def dense(x, W, b):
    return x @ W + b, (x, W)

def dense_backward(dy, cache):
    x, W = cache
    return dy @ W.T, x.T @ dy, dy.sum(axis=0)

def draw(mu, logvar, eps):
    sigma = np.exp(0.5 * logvar)
    return mu + sigma * eps, (sigma, eps)

def draw_backward(dz, cache):
    sigma, eps = cache
    return dz, 0.5 * dz * sigma * eps

def cross_entropy(x, logits):
    p = 1 / (1 + np.exp(-logits))
    return -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum(axis=1), (x, p)

def cross_entropy_backward(dnll, cache):
    x, p = cache
    return dnll[:, None] * (p - x)

def network(x, W1, b1, W2, b2):
    h = np.tanh(x @ W1 + b1)
    return h @ W2 + b2, (x, h, W1, W2)

def network_backward(dy, cache):
    x, h, W1, W2 = cache
    da = dy @ W2.T * (1 - h * h)
    return {"x": da @ W1.T, "W1": x.T @ da, "b1": da.sum(axis=0), "W2": h.T @ dy, "b2": dy.sum(axis=0)}

def helper(anything):
    return anything
"""


def run(tmp_path, capsys, text):
    file = tmp_path / "student.py"
    file.write_text(text)
    code = main(["gradcheck", str(file)])
    return code, capsys.readouterr()


def checked_rows(capsys):
    """What gradcheck says about the package: the title of every row, and its verdict."""
    assert main(["gradcheck"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].endswith("checked, none wrong")
    rows = [line for line in lines[:-1] if line.startswith("  ") and not line.startswith("      ")]
    return {line[2:].split("  ")[0]: line.split()[-1] for line in rows}


def test_the_package_passes(capsys):
    rows = checked_rows(capsys)
    assert set(rows.values()) == {"ok"}
    assert {"layers.dense", "layers.layer_norm", "gaussian.reparameterize", "iwae: the bound of a vae"} <= rows.keys()
    assert {f"layer {name}" for name in LAYERS} <= rows.keys()
    for name in LIKELIHOODS:
        assert {f"likelihoods.{name}", f"vae, relu, {name}", f"autoencoder, tanh, {name}"} <= rows.keys()
        assert f"evidence of a vae, {name}" in rows


def test_what_is_registered_is_checked(capsys, monkeypatch):
    """A layer and a likelihood of somebody's own get their rows, and a wrong one is found."""

    class Halved(LayerNorm):
        def backward(self, dy, cache):
            dx, grads = super().backward(dy, cache)
            return dx, {name: 0.5 * g for name, g in grads.items()}

    monkeypatch.setitem(LAYERS, "halved", Halved)
    monkeypatch.setitem(LIKELIHOODS, "laplace", Laplace)
    rows = {report.title: report for report in check_package()}
    assert {title for title, report in rows.items() if not report.ok} == {"layer halved", "vae, dense+halved+tanh"}
    assert {"likelihoods.laplace", "vae, relu, laplace", "evidence of a vae, laplace"} <= rows.keys()
    assert rows["likelihoods.laplace"].state == "ok"


def test_a_right_file_passes(tmp_path, capsys):
    code, printed = run(tmp_path, capsys, GOOD)
    assert code == 0, printed.out
    assert "4 checked, none wrong" in printed.out


def test_a_wrong_file_gets_told_what_to_do(tmp_path, capsys):
    code, printed = run(tmp_path, capsys, GOOD.replace("x.T @ dy, dy.sum", "x.T @ dy / len(x), dy.mean"))
    assert code == 1
    assert "put\n            1/m into the loss or take it out here" in printed.out
    assert "4 checked, 1 wrong" in printed.out


def test_the_error_of_a_wrong_pair_is_that_of_what_is_wrong_in_it(tmp_path, capsys):
    _, printed = run(tmp_path, capsys, GOOD.replace("x.T @ dy, dy.sum(axis=0)", "x.T @ dy, dy.sum(axis=1)"))
    assert printed.out.splitlines()[0].split() == ["dense", "-", "WRONG"]
    _, printed = run(tmp_path, capsys, GOOD.replace("x.T @ dy, dy.sum(axis=0)", "x.T @ dy, 2 * dy.sum(axis=0)"))
    assert printed.out.splitlines()[0].split() == ["dense", "1.0e+00", "WRONG"]


def test_inputs_can_be_chosen_and_a_pair_that_fails_says_how(tmp_path, capsys):
    text = """
import numpy as np
def f(width, height):
    return width @ height, (width, height)
def f_backward(dy, cache):
    return dy @ cache[1].T, cache[0].T @ dy
"""
    refusing = text.replace("return width @", "assert width.shape == (2, 9)\n    return width @")
    code, printed = run(tmp_path, capsys, refusing)
    assert code == 2
    assert "not run: none of" in printed.out
    assert "AssertionError (line 4)" in " ".join(printed.out.split())
    assert "examples = {'f': {...}}" in " ".join(printed.out.split())
    given = "examples = {'f': {'width': np.ones((2, 9)), 'height': np.arange(27.0).reshape(9, 3)}}\n"
    code, printed = run(tmp_path, capsys, refusing + given)
    assert code == 0, printed.out


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import nonsense_that_is_not_there", "cannot be imported: ModuleNotFoundError"),
        ("def f(:", "cannot be imported: SyntaxError"),
        ("1 / 0", "cannot be imported: ZeroDivisionError"),
        ("def f(x): return x", "classes with forward and backward, got f"),
        ("", "classes with forward and backward, got no functions"),
        ("import sys; sys.exit(3)", "cannot be imported: sys.exit was called (line 1)"),
        ("input()", "input() was called (line 1), and nobody is there to answer"),
        ("def f(): return f()\nf()", "it calls itself without end"),
    ],
)
def test_files_that_cannot_be_checked_end_in_one_line(text, words, tmp_path, capsys):
    code, printed = run(tmp_path, capsys, text)
    assert code == 2
    assert words in printed.err
    assert len(printed.err.splitlines()) == 1
    assert printed.out == ""


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("none.py", "none.py is not there"),
        ("", "'' is not there"),
        ("nowhere.py", "nowhere.py is not there"),
        (".", ". is a folder; name a file in it"),
        ("folder.py", "folder.py is a folder"),
        ("pipe.py", "pipe.py is not a file"),
        ("page.ipynb", "page.ipynb is a notebook; save its functions in a file"),
        ("notes.txt", "notes.txt does not end in .py"),
    ],
)
def test_what_is_no_python_file_is_told_what_it_is(name, words, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.py").mkdir()
    (tmp_path / "nowhere.py").symlink_to("gone.py")
    os.mkfifo(tmp_path / "pipe.py")
    for text in ("page.ipynb", "notes.txt"):
        (tmp_path / text).write_text("x")
    assert main(["gradcheck", name]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(f"scratchvae gradcheck: FILE should be a Python file, and {words}")
    assert (printed.out, printed.err.count("\n")) == ("", 1)


def test_a_file_may_import_its_neighbour(tmp_path, capsys):
    (tmp_path / "neighbour_of_student.py").write_text("def double(x): return 2 * x\n")
    text = "from neighbour_of_student import double\n"
    text += "def f(x): return double(x), None\ndef f_backward(dy, _): return 2 * dy\n"
    code, printed = run(tmp_path, capsys, text)
    assert code == 0, printed.out


def test_the_global_generator_is_left_alone(tmp_path, capsys):
    before = np.random.get_state()[1].tolist()  # noqa: NPY002  what is looked at is that nobody else uses it
    run(tmp_path, capsys, GOOD)
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002
