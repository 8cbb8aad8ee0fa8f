"""Somebody's file as a module: imported quietly, in bounded time, and with one line about what went wrong.

Quietly means: what Python prints is not heard, input() is not answered, no window opens, and the generators that all
share are left as they were. What speaks to the system itself, as os.system does, is heard.
"""

import builtins
import importlib.util
import os
import random
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy import random as shared  # why: what a file does to the generator that all share is undone

from scratchvae.checks.stop import OutOfTime, time_limit

PACKAGE = "__init__.py"


class Asked(Exception):
    """input() was called: nobody is there to answer."""


class Loaded(NamedTuple):
    """A module, as far as its file could be run, and what stopped it; nothing if it ran to its end."""

    module: ModuleType
    trouble: str


@contextmanager
def loaded(path: Path, seconds: float) -> Iterator[Loaded]:
    """The file as a module, within a block in which it may be used.

    Its folder, and the one above its packages, are on the import path meanwhile. What stands above a line that fails
    is there all the same: many files define their functions first and train afterwards.
    """
    name, folders = module_name(path)
    spec = importlib.util.spec_from_file_location(name, path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise ValueError(f"expected a Python file, got {path}; check the path, and that its name ends in .py")
    module, before = importlib.util.module_from_spec(spec), dict(sys.modules)
    with quiet():
        sys.path[:0] = folders
        sys.modules[name] = module  # why: a dataclass looks its own module up
        try:
            trouble = ""
            try:
                with time_limit(seconds):
                    spec.loader.exec_module(module)
            except BaseException as error:
                trouble = reason(error, path)
            yield Loaded(module, trouble)
        finally:
            for folder in folders:
                sys.path.remove(folder)
            forget(set(sys.modules) - set(before), folders)
            sys.modules.pop(name, None)


def module_name(path: Path) -> tuple[str, list[str]]:
    """What to call it, and where its imports are looked for: a file in a package may use relative imports."""
    root, parts = path.resolve().parent, [f"student_{path.stem}"]
    folders = [str(root)]
    while (root / PACKAGE).is_file():
        parts.insert(0, root.name)
        root = root.parent
        folders.append(str(root))
    return ".".join(parts), list(dict.fromkeys([folders[0], folders[-1]]))


def forget(names: set[str], folders: list[str]) -> None:
    """The next file may have a neighbour of the same name: what was imported from these folders is no longer known."""
    for name in names:
        origin = getattr(sys.modules[name], "__file__", None) or ""
        if "site-packages" not in origin and any(origin.startswith(folder + os.sep) for folder in folders):
            del sys.modules[name]


@contextmanager
def quiet() -> Iterator[None]:
    """What Python prints, warns or draws in this block, nobody hears of or sees."""

    def ask(prompt: object = "") -> str:
        raise Asked

    put_back, backend = generators({}), os.environ.get("MPLBACKEND")
    answer, builtins.input = builtins.input, ask
    os.environ["MPLBACKEND"] = "agg"  # why: plt.show() then shows nothing, and does not wait
    with ExitStack() as stack:
        nowhere = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))
        stack.enter_context(redirect_stdout(nowhere))
        stack.enter_context(redirect_stderr(nowhere))
        stack.enter_context(warnings.catch_warnings())
        stack.enter_context(np.errstate(all="ignore"))
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            put_back()
            builtins.input = answer
            os.environ.pop("MPLBACKEND")
            if backend is not None:
                os.environ["MPLBACKEND"] = backend


def generators(names: dict[str, Any]) -> Callable[[], None]:
    """A function that sets the shared generators, and those among these names, to where they are now."""
    own = [g for g in names.values() if isinstance(g, np.random.Generator)]
    states = [g.bit_generator.state for g in own]
    legacy, python = shared.get_state(), random.getstate()  # noqa: NPY002

    def put_back() -> None:
        shared.set_state(legacy)  # noqa: NPY002
        random.setstate(python)
        for generator, state in zip(own, states, strict=True):
            generator.bit_generator.state = state

    return put_back


def draws(call: Callable[[], Any]) -> bool:
    """Does a call draw from a generator that all share?"""
    before = shared.get_state(), random.getstate()  # noqa: NPY002
    call()
    after = shared.get_state(), random.getstate()  # noqa: NPY002
    return repr(before) != repr(after)


def reason(error: BaseException, path: Path) -> str:
    """What went wrong, in one line that names the line of the file."""
    if isinstance(error, KeyboardInterrupt):
        raise error
    frames, here = traceback.extract_tb(error.__traceback__), path.resolve()
    lines = [frame.lineno for frame in frames if Path(frame.filename).resolve() == here]
    line = error.lineno if isinstance(error, SyntaxError) else lines[-1] if lines else None
    where = f" (line {line})" if line else ""
    if isinstance(error, OutOfTime):
        return f"{error}{where}: does a loop there never end?"
    if isinstance(error, SystemExit):
        return f"sys.exit was called{where}"
    if isinstance(error, Asked):
        return f"input() was called{where}, and nobody is there to answer"
    if isinstance(error, RecursionError):
        return f"it calls itself without end{where}"
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    first = " ".join(str(text).split())
    return f"{type(error).__name__}{': ' if first else ''}{first[:160]}{where}"
