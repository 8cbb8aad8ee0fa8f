"""What the names of a backward stand for, line by line: looked at, and put to something else.

Python calls a function before every line; that one sees what has been set, and may set it anew.
"""

import ast
import dis
import linecache
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from scratchvae.checks.report import listed
from scratchvae.checks.vjp.call import copied
from scratchvae.checks.vjp.followed import Point, flat
from scratchvae.checks.vjp.scope import names_in
from scratchvae.checks.vjp.tape import OWN, shortened

LINES = 50_000  # that may run
NOTHING = object()
HOUSE = (*OWN, "scratchvae.checks", "scratchvae.backend")  # what runs there is not the backward that is checked


class Setting(NamedTuple):
    """A local variable of somebody's function, as it is after a line; line 0: as it is handed in."""

    code: types.CodeType
    line: int
    name: str

    @property
    def text(self) -> str:
        return linecache.getline(self.code.co_filename, self.line).strip()

    @property
    def is_own(self) -> bool:
        """Is it set to a value of its own, in a line of its own?"""
        return self.line > 0 and sets_it_alone(self.text)

    @property
    def place(self) -> str:
        """line 14 (z, t = zs[i], ts[i]): where it is set to a value of its own; else the lines in which it is used."""
        if self.is_own:
            return f"line {self.line} ({shortened(self.text)})"
        lines = sorted(set(uses(self.code, self.name)))
        return f"line {listed(list(map(str, lines)))}" + " (or one of them)" * (len(lines) > 1)


def uses(code: types.CodeType, name: str) -> Iterator[int]:
    """The lines in which a function, or one inside it, reads a name."""
    for step in dis.get_instructions(code):
        if step.opname.startswith("LOAD") and step.argval == name and step.positions and step.positions.lineno:
            yield step.positions.lineno
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType) and name in inner.co_freevars:
            yield from uses(inner, name)


def sets_it_alone(text: str) -> bool:
    """Has what this line sets an expression of its own? A cache that is unpacked has none for it, nor has a loop."""
    if text.startswith("for "):
        return False
    try:
        (statement,) = ast.parse(text).body
    except (SyntaxError, ValueError):  # a line of a longer statement
        return True
    if not isinstance(statement, ast.Assign):
        return True
    pairs = [(target, statement.value) for target in statement.targets]
    return not any(isinstance(to, ast.Tuple) and not isinstance(value, ast.Tuple) for to, value in pairs)


class Here(NamedTuple):
    """What is known where a name has just been set."""

    setting: Setting
    value: Any
    before: Any  # what it stood for before; NOTHING, if it did not
    scope: dict[str, Any]
    names: Mapping[str, np.ndarray]


Put = Callable[[Here], Mapping[str, Any]]  # what the names are to stand for from here on


class Endless(Exception):
    """So many lines have run that it may never end."""


class Watch:
    """Calls put whenever a name has been set in somebody's function that the forward has not called."""

    def __init__(self, put: Put, skip: frozenset[types.CodeType], only: Setting | None = None) -> None:
        self.put, self.skip, self.only = put, skip, only
        self.known: dict[types.FrameType, tuple[int, dict[str, Any]]] = {}  # the line before, and what names were
        self.seen: set[types.CodeType] = set()
        self.lines = 0

    def __call__(self, frame: types.FrameType, event: str, arg: Any) -> Any:
        """As Python calls it: at a call, and then at every line."""
        if event == "call":
            if frame.f_globals.get("__name__", "").startswith(HOUSE):
                return None
            self.seen.add(frame.f_code)
        elif event == "line":
            self.lines += 1
            if self.lines > LINES:  # why: a loop may wait for a number that does not come any more
                raise Endless
            if frame.f_code not in self.skip and (self.only is None or frame.f_code == self.only.code):
                self.look(frame)
        elif event == "return":
            self.known.pop(frame, None)
        return self

    def look(self, frame: types.FrameType) -> None:
        """At what has been set since the line before."""
        last, known = self.known.get(frame, (0, {}))
        scope = frame.f_locals
        fresh = [name for name, value in scope.items() if value is not known.get(name, NOTHING)]
        settings = [Setting(frame.f_code, last, name) for name in fresh]
        settings = [setting for setting in settings if self.only in (None, setting)]
        names = names_in(frame) if settings else {}
        for setting in settings:
            before = known.get(setting.name, NOTHING)
            scope.update(self.put(Here(setting, scope[setting.name], before, scope, names)))
        self.known[frame] = (frame.f_lineno, dict(scope))


@contextmanager
def looking(watch: Watch) -> Iterator[None]:
    """Who looked on before, a debugger say, does so again afterwards."""
    before = sys.gettrace()
    sys.settrace(watch)
    try:
        yield
    finally:
        sys.settrace(before)


def gradients(point: Point, dy: np.ndarray, watch: Watch) -> dict[str, Any]:
    """A forward, and a backward that is watched."""
    _, cache = point.pair.run(copied(dict(point.case.weights)))
    with looking(watch):
        return dict(point.pair.pull(dy.copy(), cache))


def of_the_forward(point: Point) -> frozenset[types.CodeType]:
    """The functions that the forward runs: they are right, or both are wrong."""
    watch = Watch(lambda here: {}, frozenset())
    with looking(watch):
        point.pair.run(copied(dict(point.case.weights)))
    return frozenset(watch.seen)


def with_it(point: Point, watch: Callable[[], Watch], dy: np.ndarray) -> np.ndarray:
    """All gradients, (m,), with names that stand for something else."""
    return flat(gradients(point, dy, watch()), point.entries)
