"""Data: embedded digits, MNIST and Fashion-MNIST, your own files, and toy sets whose distribution is known (`toy`)."""

import os
from pathlib import Path

import numpy as np

from scratchvae.data.dataset import DataError, Dataset, as_rows
from scratchvae.data.files import load_path, to_dataset
from scratchvae.data.sources import SOURCES
from scratchvae.npz import brief

__all__ = ["DataError", "Dataset", "load_data"]

SAMPLE = Path(__file__).with_name("mnist_sample.npz")


def load_data(name: str | Path, seed: int = 0) -> Dataset:
    """A data set by name, or from the path of your own .npz, .npy or folder of IDX files (see `data.files.load_path`).

    "mnist-sample"   10,000 + 2,000 images of MNIST, 1,000 + 200 a digit, inside the package: no network needed.
    "mnist"          all 60,000 + 10,000; fetched once, verified, and kept in SCRATCHVAE_DATA or the user's cache.
    "fashion-mnist"  60,000 + 10,000 images of clothes in ten classes, likewise.

    A folder that has one of these names is given as ./mnist.

    Shapes    x_train (N, D), x_test (M, D) uint8 or float; y_train (N,), y_test (M,) or None.
    Raises    DataError: an unknown name, a file that cannot be used, or a data set that cannot be fetched.

    Example
        >>> data = load_data("mnist-sample")
        >>> data.x_train.shape, data.x_train.dtype, data.image_shape
        ((10000, 784), dtype('uint8'), (28, 28))
    """
    if str(name) == "mnist-sample":
        with np.load(SAMPLE, allow_pickle=False) as arrays:
            x_train, image_shape = as_rows(arrays["x_train"], "x_train")
            x_test, _ = as_rows(arrays["x_test"], "x_test")
            return Dataset("mnist-sample", x_train, x_test, arrays["y_train"], arrays["y_test"], image_shape)
    if name in SOURCES:
        from scratchvae.data.download import obtain  # why: urllib takes as long to import as a third of NumPy

        return to_dataset(obtain(str(name)), str(name), str(name))
    if not Path(name).suffix and not os.path.exists(name):
        raise DataError(
            f"data should be mnist-sample, {', '.join(SOURCES)}, or the path of an .npz or .npy file "
            f"or of a folder with IDX files, got {brief(repr(str(name)))}"
        )
    return load_path(name, seed)
