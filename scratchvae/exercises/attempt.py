"""Calling what somebody has just written: whatever goes wrong is told in a sentence, but for what ends Python."""

import copy
import sysconfig
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from scratchvae.checks.stop import OutOfTime, time_limit

SECONDS = 2.0  # that an answer may take at one point
JUDGING = 6.0  # that the search for what is wrong with it may take
LIBRARIES = ("scratchvae", "site-packages", "dist-packages", sysconfig.get_path("stdlib"))  # not the reader's lines


class Trouble(Exception):
    """The answer could not be run; what it says is for the reader."""


class NotWritten(Exception):
    """Nothing has been written yet."""


@contextmanager
def kindly(
    seconds: float = SECONDS, late: str = "it did not return: is there a loop that does not end?"
) -> Iterator[None]:
    """Raises NotWritten or Trouble for every Exception inside; late is what is said after so many seconds."""
    try:
        with np.errstate(all="ignore"), time_limit(seconds):
            yield
    except (NotImplementedError, NotWritten):
        raise NotWritten from None
    except OutOfTime:
        raise Trouble(f"after {seconds:g} seconds {late}") from None
    except Exception as error:
        raise Trouble(in_a_sentence(error)) from None


def in_a_sentence(error: Exception) -> str:
    """Which error, at which line of the reader's."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not any(name in f.filename for name in LIBRARIES)]
    line = f" at the line `{frames[-1].line}`" if frames and frames[-1].line else ""
    return f"{type(error).__name__}{line}: {' '.join(str(error).split())}"


def called(answer: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """What the answer returns for copies of its arguments."""
    copies = [fresh(argument) for argument in arguments]
    try:
        with kindly():
            result = answer(*copies)
    except NotWritten:
        if has_lines(answer, empty):
            raise Trouble("raise NotImplementedError is still reached, here or in what it calls: take it out") from None
        raise
    if all(one is None or one is ... for one in (result if isinstance(result, tuple) else (result,))):
        if result is None and has_lines(answer, nothing):
            raise Trouble("it returns nothing: is there a line that begins with return, and is it reached?")
        raise NotWritten
    for name, given, argument in zip(names_of(answer, len(copies)), copies, arguments, strict=True):
        if written_into(given, argument):
            raise Trouble(f"it writes into its argument {name}, which belongs to the caller: make a new array")
    return result


def empty() -> None:
    raise NotImplementedError


def nothing() -> None:
    pass


def has_lines(answer: Callable[..., Any], without: Callable[[], None]) -> bool:
    """Does it do more than one of these two? Then it has more instructions; a docstring is none."""
    code = getattr(answer, "__code__", None)
    return code is not None and len(code.co_code) > len(without.__code__.co_code)


def fresh(argument: Any) -> Any:
    """A copy of arrays, of dicts and lists, and of a generator, which goes on from where the original stands."""
    return copy.deepcopy(argument) if isinstance(argument, np.ndarray | dict | list | np.random.Generator) else argument


def written_into(given: Any, argument: Any) -> bool:
    """Is a copy no longer what it was made from? Of arrays, and of what holds them."""
    if isinstance(argument, Mapping):
        return given.keys() != argument.keys() or any(written_into(given[name], argument[name]) for name in argument)
    if isinstance(argument, list | tuple):
        return len(given) != len(argument) or any(map(written_into, given, argument))
    return isinstance(argument, np.ndarray) and not np.array_equal(given, argument)


def names_of(answer: Callable[..., Any], n: int) -> list[str]:
    """The names of n positional arguments."""
    code = getattr(answer, "__code__", None)
    names = list(code.co_varnames[: code.co_argcount]) if code else []
    return [names[i] if i < len(names) else f"number {i + 1}" for i in range(n)]
