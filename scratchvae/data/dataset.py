"""Dataset: images or points as rows, with what is known about them; and the one error that reading data can raise."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scratchvae.npz import brief, printable


class DataError(ValueError):
    """Data that cannot be used. The message says what was expected, what came and what to do, in one printable line."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))  # why: it quotes names of files, which may hold any character


@dataclass(frozen=True)
class Dataset:
    """Rows to train on and rows held out.

    Shapes    x_train (N, D), x_test (M, D), y_train (N,), y_test (M,); image_shape (h, w) with h w = D, or None.
    Units     x is uint8 in 0..255, or float; labels are whole numbers, or None where there are none.

    The name is fit to be printed. path is absolute, where the data are a file or a folder of your own; None for a set
    that has a name.
    """

    name: str
    x_train: np.ndarray
    x_test: np.ndarray
    y_train: np.ndarray | None = None
    y_test: np.ndarray | None = None
    image_shape: tuple[int, int] | None = None
    path: Path | None = None


def as_rows(x: np.ndarray, what: str) -> tuple[np.ndarray, tuple[int, int] | None]:
    """x as (N, D), and the shape of its images: that of (N, h, w), or a square one where D is 16, 25, 36, ..., or None.

    Raises    DataError: no rows, another number of axes, neither uint8 nor float.
    """
    if x.dtype != np.uint8 and x.dtype.kind != "f":
        raise DataError(f"{what} should hold uint8 in 0..255 or floats in 0..1, got {brief(x.dtype)}{conversion(x)}")
    if x.ndim not in (2, 3) or x.size == 0:
        how = "; flatten it with x.reshape(len(x), -1)" if x.ndim > 3 and x.size else ""
        raise DataError(f"{what} should have the shape (N, D) or (N, h, w) with no size of 0, got {x.shape}{how}")
    if x.ndim == 3:
        return x.reshape(len(x), -1), (x.shape[1], x.shape[2])
    side = math.isqrt(x.shape[1])
    return x, (side, side) if side >= 4 and side * side == x.shape[1] else None


def conversion(x: np.ndarray) -> str:
    """From where to where whole numbers go, and what would make pixels of them: they may be bits, bytes or neither."""
    if x.dtype.kind not in "biu" or x.size == 0:
        return "; convert it first"
    low, high = int(x.min()), int(x.max())
    if low >= 0 and high <= 1:
        how = "x.astype('float32')"
    elif low >= 0 and high <= 255:
        how = "x.astype('uint8')"
    else:
        shift = "" if low == 0 else f" - {low}" if low > 0 else f" + {-low}"
        how = f"(x.astype('float32'){shift}) / {high - low or 1}"
    return f" from {low} to {high}; save {how} in its place, in an .npz"


def hold_out(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Which of n rows to train on and which to hold out: a tenth, at least one, chosen by seed and kept in order."""
    if n < 2:
        raise DataError(f"x should have at least 2 rows, since one is held out, got {n}; add rows, or an x_test")
    order = np.random.default_rng(seed).permutation(n)
    held_out = max(1, n // 10)
    return np.sort(order[held_out:]), np.sort(order[:held_out])
