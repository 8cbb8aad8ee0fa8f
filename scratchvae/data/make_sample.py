"""Makes the embedded sample from the four MNIST files: python -m scratchvae.data.make_sample FOLDER

The first 1,000 training and the first 200 test images of each digit, in the order of the files.
"""

import sys
from pathlib import Path

import numpy as np

from scratchvae.data.dataset import DataError
from scratchvae.data.idx import read_idx

SAMPLE = Path(__file__).with_name("mnist_sample.npz")


def first_of_each_class(x: np.ndarray, y: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """The first n rows of every class, in file order: x (10 n, 28, 28), y (10 n,)."""
    keep = np.sort(np.concatenate([np.flatnonzero(y == digit)[:n] for digit in range(10)]))
    return x[keep], y[keep]


def main(folder: str) -> None:
    """Read FOLDER/{train,t10k}-{images-idx3,labels-idx1}-ubyte.gz and write mnist_sample.npz beside this file."""
    (x_train, y_train), (x_test, y_test) = (
        first_of_each_class(
            read_idx(Path(folder) / f"{part}-images-idx3-ubyte.gz"),
            read_idx(Path(folder) / f"{part}-labels-idx1-ubyte.gz"),
            n,
        )
        for part, n in (("train", 1000), ("t10k", 200))
    )
    np.savez_compressed(SAMPLE, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    print(f"wrote {SAMPLE.name}: {len(x_train)} + {len(x_test)} images")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except (DataError, TypeError) as error:
        sys.exit(f"make_sample needs one folder with the four MNIST .gz files: {error}")
