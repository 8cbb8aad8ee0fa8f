"""The arrays in play, by name: what a cache holds, what could be a factor, and whether anything was written to."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from scratchvae.backend import to_numpy


def named_arrays(thing: Any, name: str = "cache", depth: int = 6) -> dict[str, np.ndarray]:
    """Every array inside tuples, lists, dicts and objects: fields and keys under their own names, the rest by place.

    depth ends the search where objects refer to each other in a circle.
    """
    if hasattr(thing, "dtype") and hasattr(thing, "shape"):
        return {name: to_numpy(thing)}
    if isinstance(thing, Mapping):
        parts = [(str(key), value) for key, value in thing.items()]
    elif isinstance(thing, tuple) and hasattr(thing, "_fields"):
        parts = list(zip(thing._fields, thing, strict=True))
    elif isinstance(thing, tuple | list):
        parts = [(f"{name}[{i}]", value) for i, value in enumerate(thing)]
    elif depth and hasattr(thing, "__dict__") and not callable(thing):
        parts = list(vars(thing).items())
    else:
        return {}
    found: dict[str, np.ndarray] = {}
    for part, value in parts:
        for key, array in named_arrays(value, part, depth - 1).items():
            found.setdefault(key if key not in found else f"{name}.{key}", array)
    return found


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


@contextmanager
def read_only(*things: Any) -> Iterator[None]:
    """Within this block the arrays inside things refuse to be written to."""
    arrays = [a for thing in things for a in named_arrays(thing).values() if isinstance(a, np.ndarray)]
    flags = [a.flags.writeable for a in arrays]
    try:
        for a in arrays:
            a.flags.writeable = False
        yield
    finally:
        for a, flag in zip(arrays, flags, strict=True):
            if flag and (a.base is None or not isinstance(a.base, np.ndarray) or a.base.flags.writeable):
                a.flags.writeable = True


def without_twins(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Only the first of arrays that are equal, and none that is not finite."""
    kept: dict[str, np.ndarray] = {}
    for name, a in arrays.items():
        if np.isfinite(a).all() and not any(a.shape == b.shape and same(a, b) for b in kept.values()):
            kept[name] = a
    return kept


def same(a: np.ndarray, b: np.ndarray) -> bool:
    return not a.size or float(np.abs(a - b).max()) <= 1e-12 * float(np.abs(b).max())


def derived(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays and their simple functions, simplest first: a, 1/a, a^2, a mask, 1 - a^2, a (1 - a), ..."""
    found = dict(arrays)
    with np.errstate(all="ignore"):
        for name, a in arrays.items():
            if name.startswith("mask"):
                continue
            found[f"mask {name} > 0"] = (a > 0).astype(float)
            found[f"{name}^2"] = a * a
            found[f"(1 - {name}^2)"] = 1 - a * a
            found[f"{name} (1 - {name})"] = a * (1 - a)
        for name, a in arrays.items():
            found[f"(1 - {name})"] = 1 - a
            if name.startswith("mask"):
                continue
            found[f"sign({name})"] = np.sign(a)
            found[f"exp({name})"] = np.exp(np.minimum(a, 50))
            found[f"sqrt({name})"] = np.sqrt(np.maximum(a, 0))
    return without_twins({name: a for name, a in found.items() if a.size > 1 and np.ptp(a) > 0})
