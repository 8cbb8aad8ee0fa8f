"""Arrays read without trusting them: NumPy's formats .npz and .npy. Nothing is unpickled, and sizes are checked first.

A file may lie about what it holds. No more memory is taken, and no more unpacked, than its length can account for, and
no parser of a whole language sees its words: `numpy.load` hands a header to Python's, here a regular expression does.
"""

import math
import os
import re
import zipfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np

FREE = 64 * 2**20  # what any compressed file may unpack to, in bytes
RATIO = 400  # times its own size beyond that: sparse black and white pictures pack 230 to 1, a bomb 1,000 to 1
CHUNK = 2**18
LONGEST_DIRECTORY = 2**19  # bytes: some thousands of arrays in one file
LONGEST_HEADER = 10_000  # bytes; NumPy's own limit too

MAGIC = b"\x93NUMPY"
LENGTH_BYTES = {b"\x01\x00": 2, b"\x02\x00": 4, b"\x03\x00": 4}  # of the header's length, by version of the format
PAIR = rb"\s*'(descr|fortran_order|shape)'\s*:\s*('[^']*'|True|False|\([\dL,\s]*\))\s*"
HEADER = re.compile(rb"\s*\{%b,%b,%b(?:,\s*)?\}\s*" % (PAIR, PAIR, PAIR))
NUMBERS = re.compile(r"'[<>|=]?([biuf]\d+|U\d+)'")  # or text; no complex numbers, dates, records, objects
SHAPE = re.compile(r"\(\s*(?:\d+L?\s*,\s*)*(?:\d+L?\s*)?\)")  # Python 2 wrote 60000L


class Unreadable(ValueError):
    """What is wrong with a file, in one line."""


def printable(text: str) -> str:
    """text with a ? for all that Python calls unprintable: what breaks a line, steers a terminal, cannot be encoded."""
    return "".join(c if c.isprintable() else "?" for c in text)


def brief(text: object, length: int = 300) -> str:
    """Words that come out of a file, fit to be quoted: one line, printable, not too long."""
    line = printable(" ".join(str(text).split()))
    return line if len(line) <= length else line[: length - 4] + " ..."


@contextmanager
def in_one_line() -> Iterator[None]:
    """A damaged file makes zipfile, zlib and numpy raise errors of a dozen kinds: each becomes an Unreadable."""
    try:
        yield
    except Exception as error:
        kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        raise Unreadable(f"{kind}{brief(error)}") from None


def most_unpacked(file_size: int) -> int:
    """FREE + RATIO * file_size, in bytes: what a compressed file of that size may unpack to."""
    return FREE + RATIO * file_size


def require_at_most(claimed: int, most: int) -> None:
    """A ValueError where a header promises more bytes than its file can hold."""
    if claimed > most:
        raise ValueError(f"its header promises {claimed} bytes of data, and a file of its size holds at most {most}")


def read_exactly(stream: BinaryIO, size: int) -> np.ndarray:
    """The bytes of stream up to its end, which should come after size bytes: (size,) uint8.

    Reading on to the end is what makes gzip and zip compare their checksums. Bound the size first.

    Raises    ValueError: fewer or more; and whatever a damaged stream raises.
    """
    data = np.empty(size, np.uint8)  # (size,)
    got = 0
    while got < size:
        chunk = stream.read(min(CHUNK, size - got))
        if not chunk:
            raise ValueError(f"its header promises {size} bytes of data and {got} are there")
        data[got : got + len(chunk)] = np.frombuffer(chunk, np.uint8)
        got += len(chunk)
    if stream.read(1):
        raise ValueError(f"its header promises {size} bytes of data and more are there")
    return data


def read_npz(
    file: BinaryIO, wanted: Collection[str] | None = None, *, stored_only: bool = False
) -> dict[str, np.ndarray]:
    """The arrays of an .npz by name: those wanted that it holds, or all of them. Numbers, bits and text ('<U..') only.

    Big-endian and Fortran-ordered arrays come out native and in C order. stored_only refuses compressed ones, so that
    what is read is never longer than the file.

    Raises    Unreadable: no .npz, a damaged one, a name twice, other things than numbers, sizes that cannot be true.
    """
    with in_one_line(), open_zip(file) as archive:
        members = {name: info for name, info in members_of(archive).items() if wanted is None or name in wanted}
        for name, info in members.items():
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # why: others unpack in one go
                raise ValueError(f"{name} is compressed as NumPy never does it")
            if stored_only and info.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"{name} is compressed, and should be stored as it is")
        size = file.seek(0, os.SEEK_END)
        require_at_most(sum(info.compress_size for info in members.values()), size)  # why: they may not overlap
        require_at_most(sum(info.file_size for info in members.values()), size if stored_only else most_unpacked(size))
        arrays = {}
        for name, info in members.items():
            with archive.open(info) as stream:
                arrays[name] = read_array(stream, info.file_size, name)  # type: ignore[arg-type]
    return arrays


def names_in(file: BinaryIO) -> list[str]:
    """The names of the arrays in an .npz, without a look at the arrays themselves.

    Raises    Unreadable: no .npz, a damaged one, a name twice.
    """
    with in_one_line(), open_zip(file) as archive:
        return list(members_of(archive))


def read_npy(file: BinaryIO) -> np.ndarray:
    """The array of an .npy, native and in C order. Numbers, bits and text only.

    Raises    Unreadable: no .npy, a damaged one, other things than numbers, a size that is not that of the file.
    """
    with in_one_line():
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        return read_array(file, size, "the array")


class InPieces:
    """A file that gives no piece longer than LONGEST_DIRECTORY.

    zipfile takes the list of members in one piece, and makes an object of half a kilobyte of every 46 bytes of it.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, n: int = -1) -> bytes:
        data = self.file.read(LONGEST_DIRECTORY + 1 if n is None or n < 0 else min(n, LONGEST_DIRECTORY + 1))
        if len(data) > LONGEST_DIRECTORY:
            raise ValueError(f"its list of what it holds is longer than {LONGEST_DIRECTORY} bytes")
        return data


def open_zip(file: BinaryIO) -> zipfile.ZipFile:
    """The zip file in file; an .npz is one."""
    return zipfile.ZipFile(InPieces(file))


def members_of(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """What a zip file holds, by the names of its arrays."""
    members: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        name = info.filename.removesuffix(".npy")
        if name in members:
            raise ValueError(f"it holds {name} twice")
        members[name] = info
    return members


def read_array(stream: BinaryIO, size: int, name: str) -> np.ndarray:
    """The array in a stream of size bytes in the format .npy; its name is for the messages.

    Source    https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
    """
    start = stream.read(len(MAGIC) + 2)
    n_length = LENGTH_BYTES.get(start[len(MAGIC) :])
    if start[: len(MAGIC)] != MAGIC or n_length is None:
        raise ValueError(f"{name} begins with {start.hex(' ') or 'nothing'}, and no .npy does")
    length = int.from_bytes(stream.read(n_length), "little")
    if length > LONGEST_HEADER:
        raise ValueError(f"the header of {name} is {length} bytes long, more than {LONGEST_HEADER}")
    dtype, fortran_order, shape = parse_header(stream.read(length), name)
    n_bytes = size - len(start) - n_length - length
    if dtype.itemsize * math.prod(shape) != n_bytes:
        raise ValueError(f"the header of {name} says {dtype} of shape {shape}, and {n_bytes} bytes of data are there")
    data = read_exactly(stream, n_bytes).view(dtype)
    array = data.reshape(shape[::-1]).T if fortran_order else data.reshape(shape)
    return np.asarray(array, dtype.newbyteorder("="), order="C")


def parse_header(header: bytes, name: str) -> tuple[np.dtype[Any], bool, tuple[int, ...]]:
    """dtype, order and shape out of a text like {'descr': '<f8', 'fortran_order': False, 'shape': (3, 4), }."""
    found = HEADER.fullmatch(header)
    words = [] if found is None else [word.decode("latin-1") for word in found.groups()]
    fields = dict(zip(words[::2], words[1::2], strict=True))
    descr, order, shape = (fields.get(key, "") for key in ("descr", "fortran_order", "shape"))
    if order not in ("True", "False") or not SHAPE.fullmatch(shape):
        raise ValueError(f"the header of {name} is {brief(header.decode('latin-1'), 100)}, not that of plain numbers")
    if not NUMBERS.fullmatch(descr):
        raise ValueError(f"{name} is of the type {brief(descr, 30)}, not of plain numbers")
    sizes = tuple(int(size) for size in re.findall(r"\d+", shape))
    return np.dtype(descr.strip("'")), order == "True", sizes
