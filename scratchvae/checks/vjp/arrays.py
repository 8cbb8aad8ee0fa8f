"""The arrays in play, by name: what a cache holds, and whether anything was written to."""

import dis
import inspect
import types
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from scratchvae.backend import Array, to_numpy

NO_OBJECTS = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.MethodType)


def named_arrays(thing: Any, name: str = "cache", depth: int = 6) -> dict[str, np.ndarray]:
    """Every array inside tuples, lists, dicts and objects: fields and keys under their own names, the rest by place.

    depth ends the search where objects refer to each other in a circle; at 0 objects are not looked into.
    """
    return {key: to_numpy(array) for key, array in arrays_in(thing, name, depth).items()}


def unpacked(backward: Any) -> tuple[str, ...]:
    """The names that a backward gives to the parts of its cache: x, W and h of `x, W, h = cache`."""
    code = getattr(inspect.unwrap(backward), "__code__", None)
    if code is None or code.co_argcount < 2:
        return ()
    cache = code.co_varnames[code.co_argcount - 1]
    steps = [step for step in dis.get_instructions(code) if step.opname != "CACHE"]
    for i, step in enumerate(steps[:-1]):
        if step.argval == cache and steps[i + 1].opname == "UNPACK_SEQUENCE":
            names = steps[i + 2 : i + 2 + steps[i + 1].argval]
            return tuple(str(name.argval) for name in names) if all(n.opname == "STORE_FAST" for n in names) else ()
    return ()


def arrays_in(thing: Any, name: str, depth: int) -> dict[str, Array]:
    """The same arrays themselves, also where they lie on a device."""
    if hasattr(thing, "dtype") and hasattr(thing, "shape"):
        return {name: thing}
    parts = parts_of(thing, name)
    if parts is None and depth and hasattr(thing, "__dict__") and not isinstance(thing, NO_OBJECTS):
        parts = list(vars(thing).items())
    found: dict[str, Array] = {}
    for part, value in parts or ():
        for key, array in arrays_in(value, part, max(0, depth - 1)).items():
            found.setdefault(key if key not in found else f"{name}.{key}", array)
    return found


def parts_of(thing: Any, name: str) -> list[tuple[str, Any]] | None:
    """What is inside a dict, a tuple or a list: fields and keys under their own names, the rest by place."""
    if isinstance(thing, Mapping):
        return [(key if isinstance(key, str) else f"{name}[{key!r}]", value) for key, value in thing.items()]
    if isinstance(thing, tuple) and hasattr(thing, "_fields"):
        return list(zip(thing._fields, thing, strict=True))
    if isinstance(thing, tuple | list):
        return [(f"{name}[{i}]", value) for i, value in enumerate(thing)]
    return None


def snapshot(thing: Any, name: str = "cache") -> dict[str, np.ndarray]:
    """The same arrays, copied: what they are now."""
    return {key: array.copy() for key, array in named_arrays(thing, name).items()}


def first_change(thing: Any, before: dict[str, np.ndarray], name: str = "cache") -> tuple[str, tuple[int, ...]] | None:
    """The name of an array that is no longer what it was, and the index of its first entry that changed."""
    for key, array in named_arrays(thing, name).items():
        if key in before and not np.array_equal(array, before[key], equal_nan=array.dtype.kind in "fc"):
            if array.shape != before[key].shape:
                return key, ()
            return key, tuple(int(i) for i in np.argwhere(array != before[key])[0])
    return None


class Watched(NamedTuple):
    """An array that is not to be written to, and what was in it."""

    name: str
    array: Array
    before: np.ndarray

    @property
    def change(self) -> tuple[str, tuple[int, ...]] | None:
        """Its name and the index of its first entry that changed; None if none did."""
        return first_change(self.array, {self.name: self.before}, self.name)


def watched(thing: Any, name: str, inside: bool = False) -> list[Watched]:
    """The arrays in thing, themselves: whatever its names stand for later, these are the ones that were given.

    What an object keeps in its attributes is its own affair, unless inside is true.
    """
    found = arrays_in(thing, name, 6 if inside else 0)
    return [Watched(key, array, to_numpy(array).copy()) for key, array in found.items()]


@contextmanager
def read_only(arrays: Iterable[Array]) -> Iterator[None]:
    """Within this block these arrays refuse to be written to."""
    frozen = [a for a in arrays if isinstance(a, np.ndarray) and a.flags.writeable]
    try:
        for a in frozen:
            a.flags.writeable = False
        yield
    finally:
        for a in reversed(frozen):
            if not isinstance(a.base, np.ndarray) or a.base.flags.writeable:
                a.flags.writeable = True


def scalars_in(thing: Any, name: str) -> dict[str, float]:
    """The plain numbers inside dicts, tuples and lists, by name."""
    if isinstance(thing, int | float | np.floating | np.integer) and not isinstance(thing, bool):
        return {name: float(thing)}
    found: dict[str, float] = {}
    for part, value in parts_of(thing, name) or ():
        for key, number in scalars_in(value, part).items():
            found.setdefault(key, number)
    return found
