"""The source of a bug: its wrong lines beside the right ones, and what the right ones make of it.

In the function of a bug each wrong line stands above the right one, which is a comment:

    return dz, dz * sigma * eps  # the slip: a factor is forgotten
    # right: return dz, 0.5 * dz * sigma * eps

Where a line should not be there at all, `# right: no such line` stands below it. One line is the slip; others may
follow from it, such as the backward of a wrong forward.
"""

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

RIGHT = "# right: "
NOTHING = "no such line"


def lines_of(bug: Callable[..., Any]) -> list[str]:
    """The function of a bug without what stands above its def."""
    lines = textwrap.dedent(inspect.getsource(bug)).splitlines()
    return lines[next(i for i, line in enumerate(lines) if line.startswith("def ")) :]


def marked(lines: list[str]) -> Iterator[tuple[str, str]]:
    """Every line with its mark: - is wrong, + is right in place of the line above, the others have a space."""
    indent = ""
    for line, after in zip(lines, [*lines[1:], ""], strict=True):
        if line.strip().startswith(RIGHT):
            text = line.strip().removeprefix(RIGHT)
            if text != NOTHING:
                yield "+", indent + text
        else:
            indent = line[: len(line) - len(line.lstrip())]
            yield "-" if after.strip().startswith(RIGHT) else " ", line


def repaired(bug: Callable[..., Any], correct: Any) -> Any:
    """What the function makes of the correct component, if every right line stands in the place of the wrong one."""
    source = "\n".join(line for mark, line in marked(lines_of(bug)) if mark != "-")
    scope = dict(vars(sys.modules[bug.__module__]))
    exec(source, scope)  # this package's own source, a line of it replaced
    return scope[bug.__name__](correct)


def comparison(bug: Callable[..., Any]) -> str:
    """The few lines that matter, in the form of a diff: without the label, types, and the last line, which plants."""
    lines = lines_of(bug)
    function = ast.parse("\n".join(lines)).body[0]
    assert isinstance(function, ast.FunctionDef)
    label, last = function.body[0], function.body[-1]
    shown = lines[label.end_lineno : last.lineno - 1]
    code = textwrap.dedent("\n".join(untyped(line) for line in shown)).strip("\n").splitlines()
    return "\n".join(f"{mark} {line}".rstrip() for mark, line in marked(code))


def untyped(line: str) -> str:
    """A line without its annotations, as it would stand in a notebook."""
    line = re.sub(r"^(\s*\w+): [^=()]+ = ", r"\1 = ", line)
    if not line.lstrip().startswith(("def ", f"{RIGHT}def ")):
        return line
    return re.sub(r"(\w): \w+( = )?", lambda m: m[1] + ("=" if m[2] else ""), re.sub(r" -> .*:$", ":", line))
