"""NumPy's own formats, .npz and .npy, read without trusting them: nothing is unpickled, and sizes are checked first."""

import io
import math
import os
import warnings
import zipfile
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy

from scratchvae.data.bounded import most_unpacked, read_exactly, require_at_most
from scratchvae.data.dataset import DataError, brief

KEYS = ("x_train", "x_test", "y_train", "y_test")
LONGEST_HEADER = 10_000  # bytes; NumPy's own limit too
HEADER_READERS = {
    (1, 0): npy.read_array_header_1_0,
    (2, 0): npy.read_array_header_2_0,
    (3, 0): npy.read_array_header_2_0,  # differs in the encoding of field names, and arrays with fields are no data
}


class NotNumbers(ValueError):
    """What may not be read, since reading it would run whatever program it holds."""


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz by name, those of `KEYS` alone, or {"x_train": the array} of an .npy.

    Big-endian and Fortran-ordered arrays come out native and in C order.

    Raises    DataError: another format, a damaged file, pickled objects, a header that promises what is not there.
    """
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            magic = file.read(len(npy.MAGIC_PREFIX))
            file.seek(0)
            if magic == npy.MAGIC_PREFIX:
                return {"x_train": read_npy(file, size)}
            if magic and magic[:4] not in (b"PK\x03\x04", b"PK\x05\x06"):  # a zip file, one without members
                raise NotNumbers
            arrays, found = read_npz(file, size)
    except Exception as error:  # why: a damaged file makes numpy, zipfile and zlib raise errors of a dozen kinds
        if isinstance(error, NotNumbers):
            expected, problem = "plain numbers", "it holds pickled Python objects, or is no NumPy file at all"
        else:
            expected, problem = "NumPy arrays", f"it cannot be read ({type(error).__name__}: {brief(error)})"
        raise DataError(
            f"{path.name} should hold {expected} as .npz or .npy, and {problem}; "
            "save it again with np.savez(file, x_train=array), uint8 or float32"
        ) from None
    if "x_train" not in arrays:
        raise DataError(f"{path.name} should hold an array named x_train, it holds {found}; save it under that name")
    return arrays


def read_npz(file: BinaryIO, size: int) -> tuple[dict[str, np.ndarray], str]:
    """The arrays of KEYS that a zip file holds, and the names of all it holds."""
    with zipfile.ZipFile(file) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        wanted = {key: members[key] for key in KEYS if key in members}
        require_at_most(sum(info.file_size for info in wanted.values()), most_unpacked(size))
        arrays = {}
        for key, info in wanted.items():
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # why: others unpack in one go
                raise ValueError(f"{key} is compressed as NumPy never does it")
            with archive.open(info) as stream:
                arrays[key] = read_npy(stream, info.file_size)  # type: ignore[arg-type]
        return arrays, brief(", ".join(members)) or "nothing"


def read_npy(stream: BinaryIO, size: int) -> np.ndarray:
    """The array in a stream of size bytes in the format .npy.

    Source    https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
    """
    head = io.BytesIO(stream.read(LONGEST_HEADER))
    version = npy.read_magic(head)
    if version not in HEADER_READERS:
        raise ValueError(f"version {version} of the format is not known")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # why: headers of Python 2 are fine, and strange ones are refused anyway
        shape, fortran_order, dtype = HEADER_READERS[version](head)
    if dtype.hasobject:
        raise NotNumbers
    n_bytes = dtype.itemsize * math.prod(shape)
    if n_bytes != size - head.tell():
        raise ValueError(f"its header promises {n_bytes} bytes of data and {size - head.tell()} are there")
    data = read_exactly(stream, n_bytes, start=head.read()).view(dtype)
    array = data.reshape(shape[::-1]).T if fortran_order else data.reshape(shape)
    return np.asarray(array, dtype.newbyteorder("="), order="C")
