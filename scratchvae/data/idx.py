"""The IDX format of the MNIST files: a type byte, the number of axes, their sizes, then the bytes themselves."""

import gzip
import hashlib
import math
import os
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from scratchvae.data.dataset import DataError
from scratchvae.npz import FREE, brief, most_unpacked, read_exactly, require_at_most

MAGIC = b"\0\0\x08"  # two zeros, and the type: unsigned bytes
GZIP_MAGIC = b"\x1f\x8b"
MOST_AXES = 3


def read_idx(path: Path, sha256: str | None = None) -> np.ndarray:
    """The uint8 array in an IDX file, gzipped or not, in the shape that its header gives.

    With sha256, the hash that the content should have, unpacked: so a verified file is read once, not twice.

    Raises    DataError: no such file, another format, fewer or more bytes than the header says, another hash.
    """
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            zipped = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
            file.seek(0)
            with gzip.GzipFile(fileobj=file) if zipped else file as content:
                header, shape = read_header(content)  # type: ignore[arg-type]
                n_bytes = math.prod(shape)
                unpacked = (
                    FREE if sha256 else most_unpacked(size)
                )  # every file whose hash is known is shorter than FREE
                require_at_most(n_bytes, unpacked if zipped else size - len(header))
                body = read_exactly(content, n_bytes)  # type: ignore[arg-type]
        if sha256 is not None:
            digest = hashlib.sha256(header)
            digest.update(body.data)
            if digest.hexdigest() != sha256:
                raise ValueError(f"the sha256 of its content is {digest.hexdigest()}, not {sha256}")
    except (OSError, EOFError, zlib.error, ValueError, MemoryError) as error:
        raise DataError(
            f"{path.name} should be an IDX file, plain or gzipped, and cannot be read: {brief(error)}; fetch it again"
        ) from None
    return body.reshape(shape)


def read_header(content: BinaryIO) -> tuple[bytes, tuple[int, ...]]:
    """The first bytes of the content as they are, and the shape that they give."""
    start = content.read(len(MAGIC) + 1)
    if len(start) != len(MAGIC) + 1 or start[:-1] != MAGIC:
        raise ValueError(f"it begins with {start[:3].hex(' ') or 'nothing'}, not with {MAGIC.hex(' ')}")
    n_axes = start[-1]
    if not 1 <= n_axes <= MOST_AXES:
        raise ValueError(f"its header promises {n_axes} axes, not 1 to {MOST_AXES}")
    sizes = content.read(4 * n_axes)
    if len(sizes) != 4 * n_axes:
        raise ValueError("it ends within its header")
    return start + sizes, struct.unpack(f">{n_axes}I", sizes)
