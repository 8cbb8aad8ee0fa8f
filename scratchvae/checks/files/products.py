"""The shapes that a forward asks for by what it computes, whatever its arguments are called.

What is multiplied with a matrix has as many features as the matrix has on that side; what is added to something, or
multiplied entry by entry, is as wide. Sizes: 4 features of x, 3 of the output, other numbers for all other widths.
"""

import ast
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from scratchvae.checks.files.layouts import LAYOUTS, Layout, Shape
from scratchvae.checks.files.source import ALONG, tree_of

PRODUCTS = ("dot", "matmul")
INPUTS, OUTPUTS = 4, 3
HIDDEN = (6, 7, 8, 2, 9)


class Reader:
    """Follows the widths of everything through the lines of a forward, from its data on."""

    def __init__(self, data: str, open_ones: Iterable[str]) -> None:
        self.same: list[int] = [0]  # of every width an equal one that was there before; 0 is that of the data
        self.known: dict[str, int] = {data: 0}  # the width of a variable
        self.open = set(open_ones) - {data}
        self.matrices: dict[str, tuple[int, int]] = {}
        self.vectors: dict[str, int] = {}
        self.last = 0

    def root(self, width: int) -> int:
        while self.same[width] != width:
            width = self.same[width]
        return width

    def new(self) -> int:
        self.same.append(len(self.same))
        return len(self.same) - 1

    def equal(self, one: int | None, other: int | None) -> int | None:
        """Two widths that are added or multiplied entry by entry."""
        if one is None or other is None:
            return one if other is None else other
        low, high = sorted((self.root(one), self.root(other)))
        self.same[high] = low
        return low

    def read(self, node: ast.AST | None) -> int | None:
        """The width of an expression; none, if nothing is known of it."""
        if isinstance(node, ast.Name | ast.Attribute) and (name := name_of(node)):
            return self.known.get(name)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
            return self.product(node.left, node.right)
        if isinstance(node, ast.BinOp):
            return self.entrywise(node.left, node.right)
        if isinstance(node, ast.Call):
            return self.call(node)
        if isinstance(node, ast.Tuple | ast.List | ast.Dict | ast.Lambda | ast.Subscript):
            for child in ast.iter_child_nodes(node):
                self.read(child)
            return None
        widths = [self.read(child) for child in ast.iter_child_nodes(node)] if node else []
        return next((width for width in widths if width is not None), None)

    def entrywise(self, left: ast.AST, right: ast.AST) -> int | None:
        """A sum or a product entry by entry; an argument in it of which nothing is known is a vector."""
        widths = [self.read(left), self.read(right)]
        for node, width in ((left, widths[1]), (right, widths[0])):
            name = name_of(node)
            if name in self.open and name not in self.known and name not in self.matrices and width is not None:
                self.vectors[name] = self.known[name] = width
        return self.equal(*widths)

    def call(self, node: ast.Call) -> int | None:
        """A product, a sum over something, or a function of every entry."""
        name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        owner = node.func.value if isinstance(node.func, ast.Attribute) else None
        free = isinstance(owner, ast.Name) and owner.id in ("np", "numpy", "self")
        parts = [*([] if free or owner is None else [owner]), *node.args]
        if name in PRODUCTS and len(parts) == 2:
            return self.product(*parts)
        widths = [self.read(part) for part in parts]
        return None if name in ALONG else next((width for width in widths if width is not None), None)

    def product(self, left: ast.AST, right: ast.AST) -> int | None:
        """x @ W, W @ x, or either with W.T: the width of what comes out."""
        for matrix, other, flipped in ((right, left, False), (left, right, True)):
            transposed = isinstance(matrix, ast.Attribute) and matrix.attr == "T"
            name = name_of(matrix.value if isinstance(matrix, ast.Attribute) and transposed else matrix)
            if name not in self.open or name in self.known:
                continue
            if (width := self.read(other)) is None:
                return None
            turned = transposed != flipped
            if name not in self.matrices:
                sides = (width, self.new())
                self.matrices[name] = sides[::-1] if turned else sides
            before, after = self.matrices[name][::-1] if turned else self.matrices[name]
            self.equal(before, width)
            self.last = after
            return after
        self.read(left)
        return self.read(right)

    def follow(self, body: Iterable[ast.stmt]) -> None:
        """The lines, in their order."""
        for line in body:
            if isinstance(line, ast.Assign):
                self.assign(line.targets[0], line.value)
            elif isinstance(line, ast.AugAssign):
                self.assign(line.target, ast.BinOp(line.target, line.op, line.value))
            elif isinstance(line, ast.Return | ast.Expr):
                self.read(line.value)
            else:
                self.follow(getattr(line, "body", []))

    def assign(self, target: ast.AST, value: ast.AST) -> None:
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
            for each, part in zip(target.elts, value.elts, strict=True):
                self.assign(each, part)
            return
        width = self.read(value)
        if (name := name_of(target)) and width is not None:
            self.known[name] = width


def name_of(node: ast.AST) -> str:
    """w of w, and of self.w."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def shapes_asked(
    forward: Callable[..., Any], names: Iterable[str], data: str
) -> Iterator[tuple[Layout, dict[str, Shape]]]:
    """For every layout with matrices the shapes of those arguments that enter a product or meet what came of one."""
    function = next((node for node in ast.walk(tree_of(forward)) if isinstance(node, ast.FunctionDef)), None)
    reader = Reader(data, names)
    reader.follow(function.body if function else [])
    if not reader.matrices:
        return
    size = sizes(reader)
    for layout in (each for each in LAYOUTS if len(each.weight) == 2 and each.bias):
        shapes: dict[str, Shape] = {
            name: (size[reader.root(rows)], size[reader.root(columns)])
            for name, (rows, columns) in reader.matrices.items()
        }
        for name, width in reader.vectors.items():
            shapes[name] = tuple(size[reader.root(width)] if n == OUTPUTS else n for n in layout.bias)
        yield layout, shapes


def sizes(reader: Reader) -> Mapping[int, int]:
    """A number for every width that is not the same as another."""
    found = {reader.root(0): INPUTS}
    found.setdefault(reader.root(reader.last), OUTPUTS)
    free = iter(HIDDEN)
    for width in range(len(reader.same)):
        if reader.root(width) not in found:
            found[reader.root(width)] = next(free, HIDDEN[-1])
    return found
