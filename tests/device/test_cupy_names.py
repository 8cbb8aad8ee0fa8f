"""A lint: every name and keyword of the array library that the core uses is CuPy's too, as cupy_names.json says.

It reads `xp.name(keyword=)` and `get_xp(x).name(...)`, and the attributes and methods of arrays. Since a syntax tree
has no types, anything called like an attribute of numpy.ndarray is taken for one, on the host too.
"""

import ast

import freeze_cupy_names
import numpy as np
import pytest
from test_house import CORE_FILES, PACKAGE

from scratchvae.standin import NAMES

HOST_ONLY = [*(PACKAGE / "exact").rglob("*.py")]
FILES = [file for file in CORE_FILES if file not in HOST_ONLY] + [PACKAGE / "commands" / "doctor.py"]
LIBRARIES = ("get_xp", "resolve_backend")  # what they return is called xp
HOST = ("np", "math", "os", "sys", "time", "json")


def is_library(node):
    """xp, or a call of get_xp."""
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id in LIBRARIES
    return isinstance(node, ast.Name) and node.id == "xp"


def lookup(node):
    """What an attribute is in CuPy: its full name, its keywords (None: no function), and whether it is there at all."""
    if is_library(node.value):
        there = node.attr in NAMES["functions"] or node.attr in NAMES["others"] or node.attr in ("linalg", "random")
        return f"xp.{node.attr}", NAMES["functions"].get(node.attr), there or node.attr.startswith("__")
    if isinstance(node.value, ast.Attribute) and is_library(node.value.value):
        part = node.value.attr
        keywords = NAMES[part].get(node.attr) if part == "linalg" else None
        return f"xp.{part}.{node.attr}", keywords, keywords is not None
    if hasattr(np.ndarray, node.attr) and not (isinstance(node.value, ast.Name) and node.value.id in HOST):
        keywords = NAMES["methods"].get(node.attr)
        there = keywords is not None or node.attr in NAMES["attributes"] or node.attr.startswith("__")
        return f"array.{node.attr}", keywords, there
    return None


def uses(source):
    """Every use of the array library: line, full name, keywords given, CuPy's keywords, whether CuPy has the name."""
    tree = ast.parse(source)
    called = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and (found := lookup(node)) is not None:
            name, keywords, there = found
            given = [k.arg for k in called[id(node)].keywords if k.arg] if id(node) in called else []
            yield node.lineno, name, given, keywords, there


def complaints(source):
    for line, name, given, keywords, there in uses(source):
        if name.startswith("xp.random."):
            yield f"line {line}: {name} draws other numbers than the host; draw there"
        elif not there:
            yield f"line {line}: CuPy has no {name}"
        elif keywords is not None and "**" not in keywords:
            yield from (f"line {line}: CuPy's {name} has no keyword {key}" for key in given if key not in keywords)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_cupy_has_every_name_and_keyword_that_the_core_uses(file):
    assert list(complaints(file.read_text())) == []


def test_it_sees_what_the_core_uses():
    seen = {}
    for file in FILES:
        for _, name, given, _, _ in uses(file.read_text()):
            seen.setdefault(name, set()).update(given)
    assert {
        "xp.exp",
        "xp.tanh",
        "xp.where",
        "xp.stack",
        "xp.sqrt",
        "array.sum",
        "array.astype",
        "array.T",
    } <= seen.keys()
    assert "dtype" in seen["xp.full"]
    assert "axis" in seen["array.sum"]


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("y = xp.block([a, b])", "CuPy has no xp.block"),
        ("with get_xp(x).errstate(all='ignore'): pass", "CuPy has no xp.errstate"),
        ("y = xp.insert(a, 0, 1)", "CuPy has no xp.insert"),
        ("y = xp.exp(x, where=m)", "CuPy's xp.exp has no keyword where"),
        ("y = get_xp(x).exp(x, where=m)", "CuPy's xp.exp has no keyword where"),
        ("y = xp.sum(x, axis=0, initial=0.0)", "CuPy's xp.sum has no keyword initial"),
        ("y = x.max(axis=0, initial=0.0)", "CuPy's array.max has no keyword initial"),
        ("y = (a - b).astype('f4', casting='safe')", "CuPy's array.astype has no keyword casting"),
        ("x.setflags(write=False)", "CuPy has no array.setflags"),
        ("p = x.ctypes", "CuPy has no array.ctypes"),
        ("z = xp.random.standard_normal(3)", "xp.random.standard_normal draws other numbers than the host; draw there"),
        ("z = xp.linalg.lapack(x)", "CuPy has no xp.linalg.lapack"),
    ],
)
def test_a_planted_fault_is_named(source, complaint):
    assert list(complaints(f"\n{source}")) == [f"line 2: {complaint}"]


@pytest.mark.parametrize(
    "source",
    [
        "y = xp.exp(x, out=y)",
        "y = xp.sum(x, axis=0, keepdims=True).T",
        "y = xp.linalg.solve(a, b)",
        "y = xp.float32(1)",
        "y = xp.einsum('ij->i', x, optimize=True)",
        "y = np.max(x, initial=0.0)",
    ],
)
def test_what_cupy_has_is_let_through(source):
    assert list(complaints(source)) == []


@pytest.mark.gpu
def test_the_frozen_names_are_those_of_the_installed_cupy():
    """It needs CuPy alone, and no GPU."""
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed; pip install cupy-cuda12x")
    if cupy.__version__ != NAMES["version"]:
        pytest.skip(f"frozen from CuPy {NAMES['version']}, installed is {cupy.__version__}: refresh the file")
    assert freeze_cupy_names.frozen() == NAMES
    with pytest.raises(TypeError, match="Wrong arguments"):  # before any GPU is asked
        cupy.exp(1.0, where=True)
