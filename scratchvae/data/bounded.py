"""Reading files that may lie: no more memory is taken, and no more unpacked, than the file can account for."""

from typing import BinaryIO

import numpy as np

FREE = 64 * 2**20  # what any compressed file may unpack to, in bytes
RATIO = 400  # times its own size beyond that: sparse black and white pictures pack 230 to 1, a bomb 1,000 to 1
CHUNK = 2**18


def most_unpacked(file_size: int) -> int:
    """FREE + RATIO * file_size, in bytes: what a compressed file of that size may unpack to."""
    return FREE + RATIO * file_size


def require_at_most(claimed: int, most: int) -> None:
    """A ValueError where a header promises more bytes than its file can hold."""
    if claimed > most:
        raise ValueError(f"its header promises {claimed} bytes of data, and a file of its size holds at most {most}")


def read_exactly(stream: BinaryIO, size: int, start: bytes = b"") -> np.ndarray:
    """The bytes start, then those of stream up to its end, which should come after size bytes in all: (size,) uint8.

    Reading on to the end is what makes gzip and zip compare their checksums. Bound the size first.

    Raises    ValueError: fewer or more; and whatever a damaged stream raises.
    """
    data = np.empty(size, np.uint8)  # (size,)
    got = min(len(start), size)
    data[:got] = np.frombuffer(start[:got], np.uint8)
    while got < size:
        chunk = stream.read(min(CHUNK, size - got))
        if not chunk:
            raise ValueError(f"its header promises {size} bytes of data and {got} are there")
        data[got : got + len(chunk)] = np.frombuffer(chunk, np.uint8)
        got += len(chunk)
    if len(start) > size or stream.read(1):
        raise ValueError(f"its header promises {size} bytes of data and more are there")
    return data
