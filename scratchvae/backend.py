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
            "install it with pip install cupy-cuda12x, or use backend 'numpy'"
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
