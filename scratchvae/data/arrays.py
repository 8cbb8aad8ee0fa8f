"""Files in NumPy's own formats, .npz and .npy, and what is said when one cannot be used."""

from pathlib import Path

import numpy as np

from scratchvae.data.dataset import DataError
from scratchvae.npz import MAGIC, Unreadable, brief, names_in, read_npy, read_npz

KEYS = ("x_train", "x_test", "y_train", "y_test")
ZIP_MAGICS = (b"PK\x03\x04", b"PK\x05\x06")  # a zip file, one without members
SAVE_AGAIN = "save it again with np.savez(file, x_train=array), uint8 or float32"


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz by name, those of `KEYS` alone, or {"x_train": the array} of an .npy.

    Raises    DataError: another format, a damaged file, pickled objects, a header that promises what is not there.
    """
    try:
        with open(path, "rb") as file:
            magic = file.read(len(MAGIC))
            if magic == MAGIC:
                return {"x_train": read_npy(file)}
            if magic and magic[:4] not in ZIP_MAGICS:
                raise Unreadable(f"it begins with {magic.hex(' ')}, as no NumPy file does")
            arrays = read_npz(file, KEYS)
            found = "" if "x_train" in arrays else brief(", ".join(names_in(file)))
    except (OSError, Unreadable) as error:
        raise DataError(
            f"{path.name} should hold plain numbers as .npz or .npy, and it cannot be read: {brief(error)}; "
            f"{SAVE_AGAIN}"
        ) from None
    if "x_train" not in arrays:
        raise DataError(
            f"{path.name} should hold an array named x_train, it holds {found or 'nothing'}; save it under that name"
        )
    return arrays
