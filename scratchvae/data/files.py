"""Your own data: an .npz with named arrays, an .npy with one, or a folder with the four IDX files of MNIST's kind."""

from pathlib import Path

import numpy as np

from scratchvae.data.arrays import read_arrays
from scratchvae.data.dataset import DataError, Dataset, as_rows, hold_out
from scratchvae.data.idx import read_idx
from scratchvae.npz import brief

IDX_FILES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}


def load_path(path: str | Path, seed: int = 0) -> Dataset:
    """The data set in a file or a folder.

    .npz    x_train (N, D) or (N, h, w), uint8 0..255 or float 0..1; optional x_test, y_train, y_test.
    .npy    one array of the same kind.
    folder  train-images-idx3-ubyte and the other three, each plain or gzipped (then with .gz after its name).

    Where there is no x_test, a tenth of the rows is held out, chosen by seed.

    Raises    DataError: nothing there, another format, a damaged file, pickled objects, shapes that do not fit.
    """
    path = Path(path)
    if path.is_dir():
        arrays = {key: read_idx(idx_file(path, name)) for key, name in IDX_FILES.items()}
        return to_dataset(arrays, path.resolve().name, path.resolve().name, seed)
    if not path.is_file():
        raise DataError(f"data should be a file .npz or .npy, and there is no file {path}; check the path")
    return to_dataset(read_arrays(path), path.stem, path.name, seed)


def present(name: str, folder: Path) -> list[Path]:
    """The files of that name in folder: gzipped, plain, both or none."""
    return [path for path in (folder / f"{name}.gz", folder / name) if path.is_file()]


def idx_file(folder: Path, name: str) -> Path:
    """The file of that name in folder, plain or gzipped."""
    if paths := present(name, folder):
        return paths[0]
    raise DataError(
        f"the folder {folder} should hold {', '.join(IDX_FILES.values())}, each plain or .gz, "
        f"and there is no {name}; check the path"
    )


def to_dataset(arrays: dict[str, np.ndarray], name: str, where: str, seed: int = 0) -> Dataset:
    """Arrays by name, x_train at least, looked over together; where they lie is for the messages.

    Raises    DataError: neither images nor points, or rows, labels and sizes that do not fit together.
    """
    x_train, image_shape = as_rows(arrays["x_train"], f"x_train in {where}")
    y_train, y_test = arrays.get("y_train"), arrays.get("y_test")
    if "x_test" in arrays:
        x_test, test_shape = as_rows(arrays["x_test"], f"x_test in {where}")
    else:
        require_labels(x_train, y_train, "y_train", where)
        train, test = hold_out(len(x_train), seed)
        x_train, x_test, test_shape = x_train[train], x_train[test], image_shape
        y_train, y_test = (None, None) if y_train is None else (y_train[train], y_train[test])
    require_labels(x_train, y_train, "y_train", where)
    require_labels(x_test, y_test, "y_test", where)
    if x_train.shape[1] != x_test.shape[1] or x_train.dtype.kind != x_test.dtype.kind:
        raise DataError(
            f"x_train and x_test in {where} should agree in width and kind, got {x_train.shape[1]} {x_train.dtype} "
            f"and {x_test.shape[1]} {x_test.dtype}; store both the same way"
        )
    if image_shape != test_shape:
        raise DataError(
            f"x_train and x_test in {where} should agree in the shape of an image, got {image_shape} and {test_shape}; "
            "store both the same way"
        )
    return Dataset(name, x_train, x_test, y_train, y_test, image_shape)


def require_labels(x: np.ndarray, y: np.ndarray | None, name: str, where: str) -> None:
    """One whole number a row, or no labels at all."""
    if y is not None and (y.shape != (len(x),) or y.dtype.kind not in "iu"):
        raise DataError(
            f"{name} in {where} should hold one whole number for each of the {len(x)} rows, "
            f"got {brief(y.dtype)} of shape {y.shape}; leave {name} out if there are no labels"
        )
