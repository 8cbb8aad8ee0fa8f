"""What an argument must be, and the one line that says so: what was expected, what came, what to do.

A model calls `as_floats` on entry; everything below it may then trust its arrays.
"""

import math
from typing import Any

import numpy as np

from scratchvae.backend import Array, as_backend, get_xp


def as_floats(array: Array, name: str, shape: tuple[int | str, ...], like: Array) -> Array:
    """An argument of a model, checked and converted on entry: floats in like's dtype, on like's library.

    Shapes    shape says what is expected; a letter, such as "B", stands for any size from 1 up.
    Raises    ValueError: another shape, integers (images are to be scaled to [0, 1] first), no array at all.
    """
    array = as_array(array, name)
    if array.dtype.kind != "f":
        convert = f"convert it: {name}.astype('float32')"
        todo = f"scale images first: {name}.astype('float32') / 255" if array.dtype.kind in "iu" else convert
        raise ValueError(f"{name} should hold floats, got {array.dtype}; {todo}")
    fits = array.ndim == len(shape) and all(
        got >= 1 if isinstance(size, str) else got == size for got, size in zip(array.shape, shape, strict=True)
    )
    if not fits:
        wanted = str(shape).replace("'", "") + "".join(
            f", {size} at least 1" for size in shape if isinstance(size, str)
        )
        flat = array.ndim > len(shape) == 2 and array.size == len(array) * shape[1]
        hint = f"; flatten it with {name}.reshape(len({name}), -1)" if flat else ""
        raise ValueError(f"{name} should have the shape {wanted}, got {array.shape}{hint}")
    return as_backend(array, get_xp(like), like.dtype)


def as_array(array: Any, name: str) -> Array:
    """array itself if it is one of NumPy's or CuPy's; a list of numbers, or what another library can hand over, as one.

    Raises    ValueError: a masked array, whose mask would be lost, or something that NumPy makes no array of.
    """
    require_unmasked(array, name)
    if isinstance(array, np.ndarray | np.generic) or get_xp(array) is not np:
        return array
    try:
        return np.asarray(array)
    except Exception:  # why: every library has its own error for what it cannot hand over
        raise ValueError(
            f"{name} should be an array of numbers, got {type(array).__name__}; convert it to NumPy first"
        ) from None


def require_unmasked(array: Any, name: str) -> None:
    """A ValueError for a masked array, whose mask nobody would look at."""
    if isinstance(array, np.ma.MaskedArray):
        raise ValueError(f"{name} should hold plain numbers, got a masked array; fill what is masked: {name}.filled(0)")


def require_count(value: Any, name: str, least: int = 1) -> int:
    """value as a Python int if it is a whole number of at least `least`; a ValueError that says so if not."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{name} should be a whole number of at least {least}, got {value!r}")
    return int(value)


def require_positive(value: Any, name: str, *, or_zero: bool = False) -> float:
    """value as a Python float (a NumPy scalar would widen float32 work) if finite and positive; else a ValueError."""
    plain = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    try:
        number = float(value) if plain else math.nan
    except OverflowError:  # a whole number beyond any float
        number = math.inf
    if not (0.0 < number < float("inf") or (or_zero and number == 0.0)):
        expected = "zero or a positive finite number" if or_zero else "a positive finite number"
        raise ValueError(f"{name} should be {expected}, got {value!r}")
    return number


def require_fraction(value: Any, name: str) -> float:
    """value as a Python float if it lies in [0, 1); a ValueError that says so if not."""
    if not (isinstance(value, int | float | np.number) and 0 <= value < 1):
        raise ValueError(f"{name} should lie in [0, 1), got {value!r}")
    return float(value)


def require_generator(value: Any, name: str = "rng") -> np.random.Generator:
    """value itself if it is a generator of random numbers; a ValueError that says how to make one if not."""
    if not isinstance(value, np.random.Generator):
        raise ValueError(f"{name} should be a generator such as np.random.default_rng(0), got {value!r}")
    return value
