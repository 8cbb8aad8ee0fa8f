"""From images on disk to a batch of floats: what they are, order, binarisation, and the move to the backend.

Images stay uint8 until their batch is drawn. Order and binarisation are drawn on the host, so that both backends see
the same batches.

Sizes: N rows of a data set, B batch, D data.
"""

import hashlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from scratchvae.arguments import require_unmasked
from scratchvae.backend import Array, as_backend

BINARISE = ("none", "threshold", "dynamic")
AT_ONCE = 500  # rows that a model is looked at with
ROWS = 64  # of a data set that are hashed together: few, so that an array in another order is copied in small pieces


def binarised(x: np.ndarray, how: str, rng: np.random.Generator) -> np.ndarray:
    """Grey pixels to bits: "dynamic" draws bit ~ Bernoulli(pixel), "threshold" asks pixel > 1/2, "none" returns x.

    Shapes    any; bool like x, or x itself.
    Units     x is uint8 in 0..255 or float in 0..1.
    Raises    ValueError: an unknown name.
    """
    if how == "none":
        return x
    if how == "threshold":
        return x > (127 if x.dtype == np.uint8 else 0.5)
    if how != "dynamic":
        raise ValueError(f"binarise should be one of {', '.join(BINARISE)}, got {how!r}")
    if x.dtype == np.uint8:  # one of 0..254, all equally likely, lies below x with the probability x / 255, exactly
        return rng.integers(0, 255, size=x.shape, dtype=np.uint8) < x
    return rng.random(x.shape, dtype=np.float32) < x


def to_unit_floats(x: np.ndarray, dtype: str, xp: Any) -> Array:
    """Rows as floats on a backend: uint8 is divided by 255, bits become 0 and 1, floats keep their values."""
    rows = as_backend(x, xp).astype(dtype)
    if x.dtype == np.uint8:
        rows /= 255
    return rows


def batches(x: np.ndarray, batch_size: int, how: str, rng: np.random.Generator, dtype: str, xp: Any) -> Iterator[Array]:
    """One epoch: every row once, in an order drawn afresh, binarised afresh; the last batch may be smaller.

    Shapes    x (N, D); yields (B, D) floats.
    """
    order = rng.permutation(len(x))  # (N,)
    for start in range(0, len(x), batch_size):
        rows = x[order[start : start + batch_size]]  # (B, D)
        yield to_unit_floats(binarised(rows, how, rng), dtype, xp)


def rows_in_order(x: np.ndarray, dtype: str, xp: Any) -> Iterator[Array]:
    """Every row once, in order and as it is, a few hundred at a time: for looking at a model, not for training it.

    Shapes    x (N, D); yields (B, D) floats.
    """
    for start in range(0, len(x), AT_ONCE):
        yield to_unit_floats(x[start : start + AT_ONCE], dtype, xp)


def fingerprint(*arrays: np.ndarray) -> str:
    """The sha256 of what the arrays hold, in hex: dtype, shape and numbers, however they lie in memory or on disk.

    A copy in the other byte order, in Fortran's order, with strides or as a memmap has the same; it takes no memory
    to speak of.
    """
    digest = hashlib.sha256()
    for array in arrays:
        dtype = array.dtype.newbyteorder("<")
        digest.update(f"{dtype.str}{array.shape}".encode())
        for start in range(0, len(array), ROWS):
            rows = np.ascontiguousarray(array[start : start + ROWS], dtype)  # (ROWS, ...) or fewer
            digest.update(rows.view(np.uint8).data)
    return digest.hexdigest()


def check_pixels(x: np.ndarray, name: str, n_x: int, support: tuple[float, float], how: str) -> None:
    """Look over a data set once, before training: shape, dtype, NaN, and the range that likelihood and bits need.

    Raises    ValueError, in one line.
    """
    if how not in BINARISE:
        raise ValueError(f"binarise should be one of {', '.join(BINARISE)}, got {how!r}")
    require_unmasked(x, name)
    if not isinstance(x, np.ndarray) or (x.dtype != np.uint8 and x.dtype.kind != "f"):
        got = x.dtype if isinstance(x, np.ndarray) else type(x).__name__
        raise ValueError(f"{name} should be a NumPy array of uint8 (0..255) or floats, got {got}; convert it first")
    if x.ndim != 2 or len(x) == 0 or x.shape[1] != n_x:
        expected = f"{name} should have the shape (N, {n_x}) of the model, N at least 1"
        raise ValueError(f"{expected}, got {x.shape}{how_to_fit(x.shape, n_x)}")
    low, high = (float(end) / (255 if x.dtype == np.uint8 else 1) for end in (x.min(), x.max()))
    if not np.isfinite([low, high]).all():
        raise ValueError(f"{name} should be finite, got NaN or infinity; remove or fill those entries first")
    if how != "none" and not support[0] <= 0 <= 1 <= support[1]:
        raise ValueError(f"binarise should be none, since this likelihood is not one of bits 0 and 1, got {how!r}")
    lower, upper = (0.0, 1.0) if how != "none" else support
    if low < lower or high > upper:
        why = "this likelihood" if how == "none" else f"binarise {how!r}"
        advice = "rescale train and test data with one (x - low) / (high - low)"
        advice = advice if (lower, upper) == (0, 1) else "leave out or move what is outside"
        raise ValueError(
            f"{name} should lie in [{lower:g}, {upper:g}] for {why}, got values from {low:g} to {high:g}; "
            f"{advice}, or use the gaussian likelihood with binarise 'none'"
        )


def how_to_fit(shape: tuple[int, ...], n_x: int) -> str:
    """What makes rows of n_x numbers of an array of another shape, where something does."""
    if len(shape) < 2 or shape[0] == 0:
        return "; a single row is x[None]" if shape == (n_x,) else ""
    width = math.prod(shape[1:])
    flat = "; flatten images with x.reshape(len(x), -1)" if len(shape) > 2 else ""
    return flat if width == n_x else f"{flat}; a model with n_x={width} takes rows of {width} numbers"
