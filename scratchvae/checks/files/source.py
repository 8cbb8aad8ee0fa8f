"""What the text of a forward says of its arguments: which enter a matrix product, and which shapes are told.

Told is what stands in its docstring and comments: `x: (N, D)`, `a, b, c (N, 3)`, `theta angle`, `all (n,)`.
"""

import ast
import functools
import inspect
import io
import re
import textwrap
import tokenize
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from scratchvae.checks.files.names import gradient_of, short

PRODUCTS = ("dot", "matmul", "einsum", "tensordot", "inner", "outer", "solve", "inv", "cholesky", "det")
ALONG = ("sum", "mean", "max", "min", "std", "var", "prod", "argmax", "cumsum", "norm")
SHAPE = re.compile(r"((?:\w+\s*(?:,|and)\s*)*\w+)\s*[:=]?\s*(?:(?:is|an?|array|of|with|shape|in)\s+)*\(([\w\s,]*)\)")
SCALAR = re.compile(r"(\w+)\s*[:=]?\s*(?:(?:is|an?|the)\s+)*(?:scalar|number|angle|float)\b")
USUAL = {"i": 4, "d": 4, "c": 4, "in": 4, "o": 3, "out": 3, "t": 5, "k": 3}
SMALL = USUAL | {"kh": 3, "kw": 3, "hh": 3, "ww": 3, "h": 6, "w": 6, "l": 6}  # of images and sequences
POOL = (4, 3, 6, 7, 2, 8)  # for all other letters, in the order in which they come
Shape = tuple[int, ...]


@functools.cache
def tree_of(function: Callable[..., Any]) -> ast.AST:
    """Its code as a tree; an empty one where there is none to be had."""
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function))))
    except (OSError, TypeError, SyntaxError, IndentationError):
        return ast.Module([], [])


@functools.cache
def multiplied(function: Callable[..., Any]) -> frozenset[str]:
    """The names that are operands of a matrix product, as they are or transposed."""
    found: set[str] = set()
    for node in ast.walk(tree_of(function)):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
            found |= {name_in(node.left), name_in(node.right)}
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in PRODUCTS:
            found |= {name_in(part) for part in (node.func.value, *node.args)}
    return frozenset(found - {""})


@functools.cache
def looked_up(function: Callable[..., Any]) -> frozenset[str]:
    """The names of which entries of something else are looked up: ids of table[ids], of p[np.arange(n), ids]."""
    slices = [node.slice for node in ast.walk(tree_of(function)) if isinstance(node, ast.Subscript)]
    parts = [part for node in slices for part in (node.elts if isinstance(node, ast.Tuple) else [node])]
    return frozenset(part.id for part in parts if isinstance(part, ast.Name))


@functools.cache
def gradients_named(backward: Callable[..., Any]) -> frozenset[str]:
    """Of what its code names a gradient: W, of dW, grad_W or grads["W"]."""
    found: set[str] = set()
    for node in ast.walk(tree_of(backward)):
        if isinstance(node, ast.Name | ast.Attribute):
            found.add(gradient_of(node.id if isinstance(node, ast.Name) else node.attr))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found |= {gradient_of(node.value), short(node.value)}
    return frozenset(found - {""})


def name_in(node: ast.AST) -> str:
    """w of w, w.T, w[0] and w.reshape(...)."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


@functools.cache
def for_vectors(forward: Callable[..., Any], backward: Callable[..., Any]) -> bool:
    """Does the code count the rows and never speak of columns? Then vectors are what it is for."""
    counts = False
    for node in [*ast.walk(tree_of(forward)), *ast.walk(tree_of(backward))]:
        if isinstance(node, ast.keyword) and node.arg in ("axis", "axes", "keepdims"):
            return False
        if isinstance(node, ast.Subscript):
            shape = isinstance(node.value, ast.Attribute) and node.value.attr == "shape"
            counts |= shape
            if isinstance(node.slice, ast.Tuple) or (shape and ast.unparse(node.slice) != "0"):
                return False
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
            return False
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            counts |= name == "len"
            free = isinstance(node.func, ast.Attribute) and name_in(node.func.value) not in ("np", "numpy")
            if name in PRODUCTS or (name in ALONG and len(node.args) > (0 if free else 1)):
                return False
    return counts


@functools.cache
def returned(function: Callable[..., Any]) -> tuple[str, ...]:
    """The parts of what its last return gives back: a name, or nothing for anything else."""
    for node in [node for node in ast.walk(tree_of(function)) if isinstance(node, ast.Return)][::-1]:
        if node.value is not None:
            parts = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
            return tuple(part.id if isinstance(part, ast.Name) else "" for part in parts)
    return ()


def prose(function: Callable[..., Any]) -> Iterator[str]:
    """The lines of its docstring, and its comments."""
    yield from (inspect.getdoc(function) or "").splitlines()
    try:
        source = textwrap.dedent(inspect.getsource(inspect.unwrap(function)))
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.COMMENT:
                yield token.string.lstrip("# ")
    except (OSError, TypeError, SyntaxError, tokenize.TokenError):
        return


def integers(function: Callable[..., Any], names: Iterable[str]) -> list[str]:
    """The arguments that are said to hold integers."""
    text = r"\b{}\b\s*[:=]?\s*\([^)]*\)[\s,:]*(of )?(int|label|class|ind(ex|ices)|token|ids?\b)"
    lines = list(prose(function))
    return [name for name in names if any(re.search(text.format(re.escape(name)), line) for line in lines)]


def frozen(function: Callable[..., Any], name: str) -> bool:
    """Is an argument said to stay as it is?"""
    text = rf"\b{re.escape(name)}\b\s*[:=]?\s*(\([^)]*\))?[\s,:]*(is |are )?(kept )?(frozen|fixed|constant|a buffer)\b"
    return any(re.search(text, line) for line in prose(function))


@functools.cache
def told(function: Callable[..., Any], names: tuple[str, ...]) -> dict[str, Shape]:
    """The shapes of its arguments, as far as they are told in letters and numbers: every letter has a size."""
    written: dict[str, list[str]] = {}
    for line in prose(function):
        line = line.split("->")[0].replace("`", "").replace("**", "")
        for found in SHAPE.finditer(line):
            who = re.split(r"\s*(?:,|\band\b)\s*", found[1])
            sides = [side for side in re.split(r"[\s,]+", found[2]) if side]
            for name in names if who[-1] in ("all", "each") else who:
                if name in names and (sides or found[2]):
                    written.setdefault(name, sides)
        written |= {found[1]: [] for found in SCALAR.finditer(line) if found[1] in names and found[1] not in written}
    size = sizes(written.values())
    return {name: tuple(size[side] for side in sides) for name, sides in written.items()}


def sizes(written: Iterable[list[str]]) -> dict[str, int]:
    """A small number for every letter; a number is itself."""
    written, found = list(written), dict[str, int]()
    many = any(len(sides) > 2 for sides in written)
    for side in [side for sides in written for side in sides]:
        if side in found:
            continue
        low = side.lower()
        free = (n for n in POOL if n not in found.values())
        rows = low in ("n", "b", "batch", "m")
        usual = (2 if many else 5) if rows else (SMALL if many else USUAL).get(low, 0)
        alone = usual and (many or usual not in found.values())
        found[side] = int(side) if side.isdigit() else usual if alone else next(free, 3)
    return found
