"""The IDX format of the MNIST files: two zeros, a byte for the type, the number of axes, their sizes, the numbers."""

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

TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
GZIP_MAGIC = b"\x1f\x8b"


def read_idx(path: Path, sha256: str | None = None) -> np.ndarray:
    """The array in an IDX file, gzipped or not, in the shape and of the type that its header gives, in native order.

    With sha256, the hash that the content should have, unpacked: so a verified file is read once, not twice.

    Raises    DataError: no such file, another format, fewer or more bytes than the header says, another hash.
    """
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            zipped = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
            file.seek(0)
            with gzip.GzipFile(fileobj=file) if zipped else file as content:
                header, dtype, shape = read_header(content)  # type: ignore[arg-type]
                n_bytes = dtype.itemsize * math.prod(shape)
                unpacked = FREE if sha256 else most_unpacked(size)  # why: no file whose hash is known is longer
                require_at_most(n_bytes, unpacked if zipped else size - len(header))
                body = read_exactly(content, n_bytes)  # type: ignore[arg-type]
        if sha256 is not None:
            digest = hashlib.sha256(header)
            digest.update(body.data)
            if digest.hexdigest() != sha256:
                raise ValueError(f"the sha256 of its content is {digest.hexdigest()}, not {sha256}")
        array = body.view(dtype.newbyteorder("=")).reshape(shape)
    except (OSError, EOFError, zlib.error, ValueError, MemoryError) as error:
        raise DataError(
            f"{path.name} should be an IDX file, plain or gzipped, and cannot be read: {brief(error)}; fetch it again"
        ) from None
    return array if dtype.isnative else array.byteswap(inplace=True)


def read_header(content: BinaryIO) -> tuple[bytes, np.dtype[np.generic], tuple[int, ...]]:
    """The first bytes of the content as they are, and the type and the shape that they give."""
    start = content.read(4)
    if len(start) != 4 or start[:2] != b"\0\0" or start[2] not in TYPES:
        types = ", ".join(f"{number:02x}" for number in TYPES)
        raise ValueError(f"it begins with {start[:3].hex(' ') or 'nothing'}, not with 00 00 and one of {types}")
    n_axes = start[3]
    sizes = content.read(4 * n_axes)
    if len(sizes) != 4 * n_axes:
        raise ValueError("it ends within its header")
    return start + sizes, np.dtype(TYPES[start[2]]), struct.unpack(f">{n_axes}I", sizes)
