"""Write docs/equations.md: every tagged equation, the functions that cite it and the tests that execute it.

    python docs/make_equations.py

An equation on a page of docs/derivations/ is a line `**(3) [eq: tag]** statement` and a block of mathematics below it.
A docstring cites it as [eq: tag]; a test that executes it carries @pytest.mark.equation("tag"). Nothing is imported:
pages are read as text, Python files by ast.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "docs" / "derivations").glob("*.md"))
SOURCES = sorted((ROOT / "scratchvae").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
TABLE = ROOT / "docs" / "equations.md"

CITATION = re.compile(r"\[eq: ([^\]]+)\]")
DEFINITION = re.compile(r"^\*\*\((\d+)\) \[eq: ([a-z0-9-]+)\]\*\* (.+?)\n\n```math\n(.+?)\n```$", re.M | re.S)

HEAD = """# Every equation, its function and its test

Made by `docs/make_equations.py`; do not edit it by hand. A row is an equation with a tag on a page of the derivations.
The functions are those whose docstring cites the tag; an equation without one is a step on the way. The tests are those
that execute the equation: they compute both of its sides, by different routes, and compare. A test's name is given with
spaces for its underscores.
"""


class Equation(NamedTuple):
    """One tagged equation of a page."""

    page: Path
    number: int
    tag: str
    statement: str


def equations() -> list[Equation]:
    """Every equation that a page defines, in reading order; a tag that is defined twice is there twice."""
    return [
        Equation(page, int(number), tag, " ".join(statement.split()))
        for page in PAGES
        for number, tag, statement, _ in DEFINITION.findall(page.read_text(encoding="utf-8"))
    ]


def definitions(file: Path, module: str) -> Iterator[tuple[str, ast.AST]]:
    """Every module, class and function of a Python file with its dotted name; module is the file's own."""

    def inside(node: ast.AST, name: str) -> Iterator[tuple[str, ast.AST]]:
        yield name, node
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef | ast.FunctionDef):
                yield from inside(child, f"{name}.{child.name}")

    yield from inside(ast.parse(file.read_text(encoding="utf-8"), str(file)), module)


def citations() -> dict[str, list[str]]:
    """Tag -> the dotted names whose docstring cites it."""
    found = defaultdict(list)
    for file in SOURCES:
        module = ".".join(file.relative_to(ROOT / "scratchvae").with_suffix("").parts)
        for name, node in definitions(file, module):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                for tag in CITATION.findall(ast.get_docstring(node) or ""):
                    found[tag].append(name)
    return found


def executions() -> dict[str, list[str]]:
    """Tag -> the tests marked with it."""
    found = defaultdict(list)
    for file in TESTS:
        for name, node in definitions(file, file.stem):
            for mark in getattr(node, "decorator_list", []):
                if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.equation":
                    for tag in mark.args:
                        found[ast.literal_eval(tag)].append(name)
    return found


def title(page: Path) -> str:
    """The page's first heading."""
    return page.read_text(encoding="utf-8").split("\n", 1)[0].removeprefix("# ")


def words(test: str) -> str:
    """A test's name as words, which a narrow column can wrap: "test_kl: the two directions differ"."""
    file, name = test.split(".", 1)
    return f"`{file}`: {name.removeprefix('test_').replace('_', ' ')}"


def table() -> str:
    """The text of docs/equations.md."""
    cited, executed = citations(), executions()
    lines = [HEAD]
    for page in PAGES:
        lines += [f"## [{title(page)}](derivations/{page.name})\n", "| tag | statement | function | test |"]
        lines += ["|---|---|---|---|"]
        for equation in equations():
            if equation.page == page:
                functions = ", ".join(f"`{name}`" for name in cited.get(equation.tag, []))
                tests = "; ".join(words(name) for name in executed.get(equation.tag, []))
                lines.append(f"| {equation.tag} | {equation.statement} | {functions} | {tests} |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    TABLE.write_text(table(), encoding="utf-8")
