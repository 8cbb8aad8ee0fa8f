"""What is known where something is computed: the names there, and how the expression and its operands are written."""

import ast
import functools
import types
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

OPPOSITES: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Gt: ast.LtE,
    ast.Lt: ast.GtE,
    ast.GtE: ast.Lt,
    ast.LtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
}
INDICES = 3  # whole numbers that may be an index


def names_in(frame: types.FrameType, text: str | None = None) -> dict[str, np.ndarray]:
    """The arrays and numbers that are known where an operation is, by the names that one would write, or in a text."""
    scope = {name: value for name, value in frame.f_locals.items() if not name.startswith(("_", "."))}
    index = {name: value for name, value in scope.items() if type(value) is int and value >= 0}
    found: dict[str, np.ndarray] = {}
    for name, value in scope.items() if text is None else [(n, a) for n, a in scope.items() if n in text]:
        for text, a in parts(name, value):
            found |= {each: np.asarray(b, float) for each, b in [(text, a), *rows(text, a, index)] if is_numbers(b)}
    turned = {f"{name}.T": a.T for name, a in found.items() if a.ndim == 2 and "T" not in name}
    return {name: a for name, a in (found | turned).items() if a.size and np.isfinite(a).all()}


def numbers_in(frame: types.FrameType, text: str | None = None) -> dict[str, int | float]:
    """The plain numbers among them."""
    scope = {name: value for name, value in frame.f_locals.items() if text is None or name in text}
    found = {text: a for name, value in scope.items() for text, a in parts(name, value)}
    plain = {text: a for text, a in found.items() if isinstance(a, int | float) and not isinstance(a, bool)}
    return {text: a for text, a in plain.items() if not isinstance(a, np.generic)}


def numbers_of_class(value: Any) -> dict[str, int | float]:
    """The plain numbers that stand in the body of an object's class, as beta = 4.0."""
    return {key: a for cls in type(value).__mro__[-2::-1] for key, a in vars(cls).items() if type(a) in (int, float)}


def is_numbers(a: Any) -> bool:
    return isinstance(a, np.ndarray | np.generic | float) and np.asarray(a).dtype.kind in "fbi"


def rows(text: str, a: Any, index: Mapping[str, int]) -> Iterator[tuple[str, Any]]:
    """a[t], a[t - 1], a[t + 1], and the columns, for every whole number t that is known."""
    for name, n in (
        list(index.items())[:INDICES] if isinstance(a, list | dict) or (is_numbers(a) and np.ndim(a)) else ()
    ):
        for place, k in ((name, n), (f"{name} - 1", n - 1), (f"{name} + 1", n + 1)):
            if k in a if isinstance(a, dict) else 0 <= k < len(a):
                yield f"{text}[{place}]", a[k]
            if isinstance(a, np.ndarray) and a.ndim > 1 and 0 <= k < a.shape[1]:
                yield f"{text}[:, {place}]", a[:, k]
            if isinstance(a, np.ndarray) and a.ndim > 2 and 0 <= k < a.shape[-1] and place == name:
                yield f"{text}[..., {place}]", a[..., k]
                yield f"{text}[..., -1 - {place}]", a[..., -1 - k]


def parts(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """A value, or what a dict with names, or an object, holds, and a dict of that object, and numbers of its class."""
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        yield from ((f"{name}[{key!r}]", each) for key, each in value.items() if isinstance(key, str))
    elif hasattr(value, "__dict__") and not isinstance(
        value, np.ndarray | type | types.ModuleType | types.FunctionType
    ):
        for key, each in {**numbers_of_class(value), **vars(value)}.items():
            yield from parts(f"{name}.{key}", each) if isinstance(each, dict) else [(f"{name}.{key}", each)]
    else:
        yield name, value


@functools.cache
def taken_apart(expression: str) -> tuple[str, tuple[str, ...]]:
    """An expression on one line, that of a statement with += too, and how its operands are written."""
    try:
        (statement,) = ast.parse(f"({expression.strip()})").body  # why: it may go over several lines
    except (SyntaxError, ValueError):
        try:
            (statement,) = ast.parse(expression.strip()).body
        except (SyntaxError, ValueError):
            return "", ()
    if isinstance(statement, ast.AugAssign):
        left, right = statement.target, statement.value
        left.ctx = ast.Load()
        return ast.unparse(ast.BinOp(left, statement.op, right)), (ast.unparse(left), ast.unparse(right))
    node, parts = getattr(statement, "value", None), []
    if isinstance(node, ast.BinOp):
        parts = [node.left, node.right]
    if isinstance(node, ast.UnaryOp):
        parts = [node.operand]
    if isinstance(node, ast.Subscript):  # why: a[mask] = value
        parts = [node.value, node.slice]
    if isinstance(node, ast.Call):
        method = isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) not in ("np", "numpy", "xp")
        parts = [*([node.func.value] if method and isinstance(node.func, ast.Attribute) else ()), *node.args]
    return (ast.unparse(node) if node else ""), tuple(map(ast.unparse, parts))


@functools.cache
def grouped(text: str) -> str:
    """An expression as a part of a larger one."""
    try:
        node = ast.parse(text, mode="eval").body
    except SyntaxError:
        return f"({text})"
    return text if isinstance(node, ast.Name | ast.Attribute | ast.Subscript | ast.Call) else f"({text})"


@functools.cache
def is_sum(text: str) -> bool:
    """Is this a + b, or a - b?"""
    try:
        node = ast.parse(text, mode="eval").body
    except SyntaxError:
        return False
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub)


def opposite(text: str) -> str:
    """a <= 0 of a > 0; ~a of any other mask."""
    node = ast.parse(text or "mask", mode="eval").body
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in OPPOSITES:
        node.ops = [OPPOSITES[type(node.ops[0])]()]
        return ast.unparse(node)
    return f"~{grouped(text)}"


def transposed(text: str) -> str:
    plain = text.removesuffix(".T")
    return plain if plain != text and grouped(plain) == plain else f"{grouped(text)}.T"
