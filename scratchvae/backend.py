"""The array-backend switch: the same code runs on NumPy and on CuPy.

Nothing here is remembered. A function finds its array library from the array that it was given, `xp = get_xp(x)`, and
calls `xp.exp`, `xp.tanh`, ... from then on. CuPy is imported in this file only, and only when somebody asks for it.

Random numbers are always drawn by NumPy on the host and then moved, so that both backends see the same numbers.
"""

import sys
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = Any  # numpy.ndarray or cupy.ndarray
Cache: TypeAlias = Any  # what a forward hands to its backward: arrays, never written to
BACKENDS = ("numpy", "cupy")
DTYPES = ("float32", "float64")


def get_xp(array: Array) -> Any:
    """The library that array belongs to: the module numpy or the module cupy.

    Example
        >>> get_xp(np.zeros(3)).__name__
        'numpy'
    """
    cupy = sys.modules.get("cupy")  # an array of CuPy's can only exist once somebody has imported CuPy
    return cupy if cupy is not None and isinstance(array, cupy.ndarray) else np


def resolve_backend(name: str) -> Any:
    """The module behind a backend's name, "numpy" or "cupy".

    Raises    ValueError, in one line: an unknown name, CuPy not installed, or no GPU that answers.
    """
    if name == "numpy":
        return np
    if name != "cupy":
        raise ValueError(f"backend should be one of {', '.join(BACKENDS)}, got {name!r}")
    try:
        import cupy  # type: ignore[import-not-found, import-untyped, unused-ignore]
    except ImportError:
        raise ValueError(
            "backend 'cupy' needs the package CuPy, which is not installed here; "
            "install it with pip install 'scratchvae[gpu]', or use backend 'numpy'"
        ) from None
    if not cupy.is_available():
        raise ValueError("backend 'cupy' needs a CUDA GPU, and CuPy finds none here; use backend 'numpy'")
    return cupy


def to_numpy(array: Array) -> np.ndarray:
    """The same numbers on the host, as a NumPy array; copies only what lies on a GPU."""
    xp = get_xp(array)
    return np.asarray(array) if xp is np else xp.asnumpy(array)


def as_backend(array: Array, xp: Any, dtype: Any = None) -> Array:
    """The same numbers as an array of the library xp, in dtype if one is given; copies only if it must."""
    return np.asarray(to_numpy(array), dtype) if xp is np else xp.asarray(array, dtype)


def as_floats(array: Array, name: str, shape: tuple[int | None, ...], like: Array) -> Array:
    """An argument of a model, checked and converted once, on entry: floats in like's dtype, on like's library.

    Shapes    shape says what is expected; None stands for the batch, any size from 1 up.
    Raises    ValueError: another shape, or integers (images are to be scaled to [0, 1] first).
    """
    if not hasattr(array, "dtype"):
        array = np.asarray(array)
    wanted = (
        "(" + ", ".join("B" if size is None else str(size) for size in shape) + ("," if len(shape) == 1 else "") + ")"
    )
    if array.dtype.kind != "f":
        raise ValueError(
            f"{name} should hold floats, got {array.dtype}; scale images first: {name}.astype('float32') / 255"
        )
    fits = array.ndim == len(shape) and all(
        got >= 1 if size is None else got == size for got, size in zip(array.shape, shape, strict=True)
    )
    if not fits:
        hint = f"; flatten it with {name}.reshape(len({name}), -1)" if array.ndim > len(shape) else ""
        raise ValueError(f"{name} should have the shape {wanted}, B at least 1, got {array.shape}{hint}")
    return as_backend(array, get_xp(like), like.dtype)


def require_count(value: Any, name: str) -> int:
    """value itself if it is a whole number of at least 1; a ValueError that says so if not."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ValueError(f"{name} should be a whole number of at least 1, got {value!r}")
    return int(value)


def require_positive(value: Any, name: str, *, or_zero: bool = False) -> float:
    """value as a Python float (a NumPy scalar would widen float32 work) if finite and positive; else a ValueError."""
    number = float(value) if isinstance(value, int | float | np.number) else float("nan")
    if not (0.0 < number < float("inf") or (or_zero and number == 0.0)):
        expected = "zero or a positive finite number" if or_zero else "a positive finite number"
        raise ValueError(f"{name} should be {expected}, got {value!r}")
    return number
