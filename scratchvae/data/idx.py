"""The IDX format of the MNIST files: a type byte, the number of axes, their sizes, then the bytes themselves."""

import gzip
import math
from pathlib import Path

import numpy as np

from scratchvae.data.dataset import DataError

UNSIGNED_BYTE = 0x08


def read_idx(path: Path) -> np.ndarray:
    """The uint8 array in an IDX file, gzipped or not, in the shape that its header gives.

    Raises    DataError: no such file, another format, fewer or more bytes than the header says.
    """
    try:
        raw = path.read_bytes()
        content = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    except (OSError, EOFError) as error:
        raise DataError(f"{path.name} should be an IDX file, plain or gzipped, and cannot be read: {error}") from None
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] != UNSIGNED_BYTE:
        raise DataError(
            f"{path.name} should begin with the IDX magic 00 00 08, got {content[:3].hex(' ')}; fetch it again"
        )
    n_axes = content[3]
    sizes = np.frombuffer(content[4 : 4 + 4 * n_axes].ljust(4 * n_axes, b"\0"), dtype=">u4")
    shape = tuple(int(size) for size in sizes)
    body = content[4 + 4 * n_axes :]
    if n_axes == 0 or len(body) != math.prod(shape):
        raise DataError(
            f"{path.name} should hold {math.prod(shape)} bytes for the shape {shape}, got {len(body)}; fetch it again"
        )
    return np.frombuffer(body, dtype=np.uint8).reshape(shape)
