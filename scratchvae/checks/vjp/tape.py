"""A backward, followed line by line: every value that it computes, and what comes of it if that value were another one.

The arrays that go in are of a class of their own, which NumPy asks before it computes anything with them. So nobody's
code has to be read, and whatever it calls is followed too.
"""

import dis
import functools
import itertools
import linecache
import sys
import types
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from scratchvae.checks.vjp.call import copied
from scratchvae.checks.vjp.operation import Change, Operation
from scratchvae.checks.vjp.scope import names_in, numbers_in, taken_apart

FEW = 40  # characters of a line
ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth")
OWN = (__name__.rpartition(".")[0], "numpy", "scipy")  # packages whose frames are nobody's code


class Site(NamedTuple):
    """An operation in somebody's code: which instruction it is, and which function of NumPy does it.

    time: which of the times that it runs; all of them together, if there is none.
    """

    code: types.CodeType
    instruction: int
    line: int
    does: str
    time: int | None = None

    @property
    def variable(self) -> str:
        """The name that the result gets in the same line, if it gets one."""
        return stored(self.code).get(self.instruction, "")

    @property
    def is_overwritten(self) -> bool:
        """Does a later line give that name to another value?"""
        last = max((line for name, line in settings(self.code) if name == self.variable), default=0)
        return bool(self.variable) and last > self.line

    @property
    def is_returned(self) -> bool:
        """Is it no operation, but a gradient as it comes back?"""
        return self.line == 0

    @property
    def text(self) -> str:
        """The expression, where the source is to be had."""
        return "" if self.is_returned else source(self.code, self.instruction, self.line)

    @property
    def parts(self) -> tuple[str, tuple[str, ...]]:
        """All of the expression, and how its operands are written."""
        return taken_apart(expression(self.code, self.instruction))

    @property
    def place(self) -> str:
        """line 14 (dz @ W2.T): its line, and what is computed there."""
        if self.is_returned:
            return self.does
        text = self.text or self.variable
        where = f"line {self.line} ({text})" if text else f"line {self.line} of {self.code.co_name}"
        return where if self.time is None else f"{where} as it runs for the {ORDINALS[self.time]} time"

    @property
    def value(self) -> str:
        """What its value may be called in a formula."""
        if self.is_returned:
            return self.does
        whole = self.text and not self.text.endswith("...") and self.time is None
        return self.variable or (f"({self.text})" if whole else f"(what {self.place} computes)")


def returned(what: str) -> Site:
    """The site of a gradient as it comes back, called so."""
    return Site(returned.__code__, -1, 0, what)


@functools.cache
def source(code: types.CodeType, instruction: int, line: int) -> str:
    """The expression of an instruction; the line, where that goes over several."""
    first, last, _, _ = list(code.co_positions())[instruction // 2]
    text = expression(code, instruction) if first == last else linecache.getline(code.co_filename, line)
    return shortened(text)


def shortened(text: str) -> str:
    """An expression on one line, or the beginning of it."""
    text = " ".join(text.split())
    return text if len(text) <= FEW else f"{text[: FEW - 3].rstrip()}..."


@functools.cache
def expression(code: types.CodeType, instruction: int) -> str:
    """The expression of an instruction, whole; nothing where the source is not to be had."""
    first, last, start, end = list(code.co_positions())[instruction // 2]
    if first is None or last is None or start is None or end is None:
        return ""
    lines = [linecache.getline(code.co_filename, line).encode() for line in range(first, last + 1)]
    lines[-1] = lines[-1][:end]
    lines[0] = lines[0][start:]
    return b"".join(lines).decode(errors="ignore")


@functools.cache
def stored(code: types.CodeType) -> dict[int, str]:
    """The instructions after which a local variable is set, with its name."""
    steps = list(dis.get_instructions(code))
    pairs = itertools.pairwise(steps)
    return {step.offset: str(after.argval) for step, after in pairs if after.opname == "STORE_FAST"}


@functools.cache
def settings(code: types.CodeType) -> list[tuple[str, int]]:
    """Where local variables are set: each with its line."""
    steps = [step for step in dis.get_instructions(code) if step.opname == "STORE_FAST" and step.positions]
    return [(str(step.argval), step.positions.lineno or 0) for step in steps if step.positions]


Changes = Callable[[Operation], Mapping[Change, np.ndarray]]  # what may be changed, and the value then


class Tape:
    """What is computed while it runs, each time; added is added to the values of a site, (times, *shape).

    watch: sites whose operation is changed in many ways each time, or None for all of them, and what changes it; then
    the values of the sites are not noted.
    puts: the value is put in its place.
    writes: what the change writes, if only the names in it are needed.
    """

    def __init__(
        self,
        added: Mapping[Site, np.ndarray],
        watch: tuple[Collection[Site] | None, Changes] | None = None,
        puts: bool = False,
        writes: str | None = None,
    ) -> None:
        self.added = added
        self.values: dict[Site, list[np.ndarray]] = {}  # before anything was added
        self.runs = False
        self.before_it: set[types.CodeType] = set()  # what ran before the backward did
        self.watch = watch
        self.puts = puts
        self.writes = writes
        self.changed: list[Mapping[Change, np.ndarray]] = []
        self.watched: list[Site] = []  # as often as they ran

    def wrapped(self, a: Any) -> Any:
        """An array of floats as one that is followed; anything else as it is."""
        if not isinstance(a, np.ndarray | np.floating) or a.dtype.kind != "f":
            return a
        followed = np.asarray(a).view(Followed)
        followed.tape = self
        return followed

    def within(self, thing: Any) -> Any:
        """The same with all arrays followed that tuples, lists and dicts hold: a model fills arrays of its own."""
        if isinstance(thing, tuple) and hasattr(thing, "_fields"):
            return type(thing)(*map(self.within, thing))
        if type(thing) in (list, tuple):
            return type(thing)(map(self.within, thing))
        if type(thing) is dict:
            return {key: self.within(value) for key, value in thing.items()}
        return thing if isinstance(thing, np.floating) else self.wrapped(thing)

    def before(self, operands: Any) -> Any:
        """Copies of the operands, if they are asked for: the operation may write to them."""
        if not self.watch or not self.runs:
            return ()
        sites, frame = self.watch[0], frame_of(sys._getframe(2))
        here = (frame.f_code, frame.f_lasti) if frame else None
        asked = sites is None or any((site.code, site.instruction) == here for site in sites)
        return copied(operands) if asked else ()

    def passed(
        self, result: Any, does: str, function: partial[Any], ufunc: Any, operands: Any, axis: Any = None
    ) -> Any:
        """A result of an operation, noted, and with what is added to it."""
        if not isinstance(result, np.ndarray | np.floating) or result.dtype.kind != "f":
            return result
        if not self.runs and self.watch:
            return result
        frame = frame_of(sys._getframe(2))
        if frame is None or not self.runs:
            self.before_it |= {frame.f_code} if frame else set()
            return result
        site = Site(frame.f_code, frame.f_lasti, frame.f_lineno, does)
        if not self.watch:
            times = self.values.setdefault(site, [])
            times.append(np.array(result))
            more = self.more(site, len(times) - 1)
            return result if more is None or more.shape != times[-1].shape else put_into(result, result + more)
        if self.watch[0] is not None and site not in self.watch[0]:
            return result
        self.watched.append(site)
        self.changed.append(self.watch[1](self.operation(site, frame, result, (function, ufunc, operands, axis))))
        for value in self.changed[-1].values() if self.puts else ():
            return put_into(result, value)
        return result

    def operation(self, site: Site, frame: types.FrameType, result: Any, done: tuple[Any, Any, Any, Any]) -> Operation:
        """What is computed at a site, with what is known there."""
        function, ufunc, operands, axis = done
        whole, texts = site.parts
        texts = (*texts[: len(operands)], *(f"its operand {i + 1}" for i in range(len(texts), len(operands))))
        names = names_in(frame, self.writes)
        for name, a in names.items():  # why: what an operation has written to is what it was
            if operands and np.may_share_memory(a, result) and np.shape(operands[0]) == a.shape:
                names[name] = np.asarray(operands[0], float)
        axis = axis if isinstance(axis, int | tuple) else None
        return Operation(
            function, ufunc, operands, texts, np.array(result), whole, names, numbers_in(frame, self.writes), axis
        )

    def more(self, site: Site, time: int) -> np.ndarray | None:
        """What is to be added at this time."""
        if site in self.added:
            return self.added[site][time] if time < len(self.added[site]) else None
        return self.added[each][0] if (each := site._replace(time=time)) in self.added else None


def put_into(result: Any, value: np.ndarray) -> Any:
    """A value in the memory of a result, since an out= may name that; of another shape it is a result of its own."""
    if isinstance(result, np.ndarray) and result.shape == value.shape and result.ndim:
        result[...] = value
        return result
    return value


def frame_of(frame: types.FrameType | None) -> types.FrameType | None:
    """The innermost frame that is neither NumPy's nor of this package's checks."""
    while frame is not None and frame.f_globals.get("__name__", "").startswith(OWN):
        frame = frame.f_back
    return frame


class Followed(np.ndarray):
    """An array that notes on its tape what is computed with it."""

    tape: Tape

    def __array_finalize__(self, other: Any) -> None:
        self.tape = getattr(other, "tape", None)  # type: ignore[assignment]

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = None, **more: Any) -> Any:
        tape = next(a.tape for a in (*inputs, *(out or ())) if isinstance(a, Followed))
        if out is not None:
            more["out"] = tuple(map(plain, out))
        inputs = tuple(map(plain, inputs))
        more = plain(more) if more else more
        before = tape.before(inputs)
        result = getattr(ufunc, method)(*inputs, **more)
        again = partial(applied, ufunc, method, {k: v for k, v in more.items() if k != "out"})
        if method == "at":  # np.add.at(a, ids, values): the value is what a is then
            tape.passed(inputs[0], f"{ufunc.__name__}.at", again, None, before)
            return None
        if isinstance(result, tuple):
            return out or tuple(map(tape.wrapped, result))
        own = ufunc if method == "__call__" else None
        result = tape.passed(result, f"{ufunc.__name__}.{method}", again, own, before, more.get("axis"))
        return out[0] if out else tape.wrapped(result)

    def __array_function__(self, function: Any, kinds: Any, args: Any, more: Any) -> Any:
        tape = self.tape
        args, more = plain(list(args)), dict(plain(more))
        if "axis" not in more and function in (np.sum, np.mean) and len(args) > 1:
            more["axis"] = args.pop(1)
        axis = more.get("axis")
        before = tape.before(args)
        result = function(*args, **more)
        if more.get("out") is not None:
            return more["out"]
        if isinstance(result, list | tuple):
            return type(result)(map(tape.wrapped, result)) if type(result) in (list, tuple) else result
        return tape.wrapped(tape.passed(result, function.__name__, partial(function, **more), function, before, axis))

    def __getitem__(self, place: Any) -> Any:
        found = super().__getitem__(place)
        return self.tape.wrapped(found) if isinstance(found, np.floating) and self.tape else found

    def __setitem__(self, place: Any, value: Any) -> None:
        """With a mask it is an operation: its value is what the array is then."""
        tape, a, place, value = self.tape, plain(self), plain(place), plain(value)
        if tape is None or not isinstance(place, np.ndarray) or place.dtype != bool or place.shape != a.shape:
            a[place] = value
            return
        before = tape.before((a, place, value))
        a[place] = value
        tape.passed(a, "setitem", partial(set_where), None, before)

    def __iadd__(self, other: Any) -> Any:  # type: ignore[misc]  # why: a number is not written to, nor is this
        return super().__iadd__(other) if self.ndim else self + other

    def __isub__(self, other: Any) -> Any:  # type: ignore[misc]
        return super().__isub__(other) if self.ndim else self - other

    def __imul__(self, other: Any) -> Any:  # type: ignore[misc]
        return super().__imul__(other) if self.ndim else self * other

    def __itruediv__(self, other: Any) -> Any:  # type: ignore[misc]
        return super().__itruediv__(other) if self.ndim else self / other

    def __deepcopy__(self, memo: Any) -> Any:
        return self.tape.wrapped(np.array(self)) if self.tape else np.array(self)

    def dot(self, b: Any, out: Any = None) -> Any:
        return np.dot(self, b)


def applied(ufunc: np.ufunc, method: str, more: Mapping[str, Any], *operands: Any, **other: Any) -> Any:
    """A ufunc by one of its methods; the first operand is not written to."""
    if method != "at":
        return getattr(ufunc, method)(*operands, **{**more, **other})
    first = np.array(operands[0])
    ufunc.at(first, *operands[1:])
    return first


def set_where(a: np.ndarray, mask: np.ndarray, value: Any) -> np.ndarray:
    """What a is after a[mask] = value."""
    after = np.array(a)
    after[mask] = value
    return after


def plain(thing: Any) -> Any:
    """The same without the class, inside lists, tuples and dicts too."""
    kind = type(thing)
    if kind is Followed:
        return thing.view(np.ndarray)
    if kind in (list, tuple):
        return kind(map(plain, thing))
    return {key: plain(value) for key, value in thing.items()} if kind is dict else thing
