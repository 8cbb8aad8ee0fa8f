"""Your own data: an .npz with named arrays, an .npy with one, or a folder with four IDX files like MNIST's."""

import re
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
IDX_NAME = re.compile(
    r"(?P<prefix>.*?)(?P<part>train|t10k|test)[-_.](?P<what>image|label)s?"
    r"[-_.]idx\d([-_.](ubyte|byte|short|int|float|double))?(?P<gz>\.gz)?",
    re.IGNORECASE | re.DOTALL,
)


def load_path(path: str | Path, seed: int = 0) -> Dataset:
    """The data set in a file or a folder.

    .npz    x_train (N, D) or (N, h, w), uint8 0..255 or float 0..1; optional x_test, y_train, y_test.
    .npy    one array of the same kind.
    folder  images and labels to train on and to test, in four IDX files with names like train-images-idx3-ubyte,
            train-images.idx3-ubyte or emnist-letters-test-labels-idx1-ubyte, each plain or gzipped (with .gz after it).

    Where there is no x_test, a tenth of the rows is held out, chosen by seed.

    Raises    DataError: nothing there, another format, a damaged file, pickled objects, shapes that do not fit.
    """
    path = Path(path)
    try:
        if path.is_dir():
            arrays, name = {key: read_idx(file) for key, file in idx_files(path).items()}, path.resolve().name
            return to_dataset(arrays, brief(name), name, seed, path.absolute())
        there = path.is_file()
    except OSError as error:
        raise DataError(f"data should be a file or a folder, and {path} cannot be read: {brief(error)}") from None
    if not there:
        raise DataError(f"data should be a file .npz or .npy, and there is no file {path}; check the path")
    if IDX_NAME.fullmatch(path.name):
        raise DataError(f"data in IDX files should be given by the folder that holds all four, got the file {path}")
    return to_dataset(read_arrays(path), brief(path.stem), path.name, seed, path.absolute())


def present(name: str, folder: Path) -> list[Path]:
    """The files of that name in folder: gzipped, plain, both or none."""
    return [path for path in (folder / f"{name}.gz", folder / name) if path.is_file()]


def idx_files(folder: Path) -> dict[str, Path]:
    """The four files of the one data set in folder, by the keys of IDX_FILES.

    Names that differ before "train", "t10k" or "test" belong to different data sets. Where a file is there plain and
    gzipped, the gzipped one counts.

    Raises    DataError: no whole set, or more than one; the message lists what is there.
    """
    sets: dict[str, dict[str, dict[str, Path]]] = {}  # prefix -> key -> name without .gz -> path
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    for name in names:
        match = IDX_NAME.fullmatch(name)
        if match and (folder / name).is_file():
            what = "x" if match["what"].lower() == "image" else "y"
            key = f"{what}_train" if match["part"].lower() == "train" else f"{what}_test"
            files = sets.setdefault(match["prefix"], {}).setdefault(key, {})
            files[name[: match.start("gz")] if match["gz"] else name] = folder / name
    whole = {prefix: files for prefix, files in sets.items() if len(files) == len(IDX_FILES)}
    wanted = f"the folder {folder} should hold {', '.join(IDX_FILES.values())}, each plain or .gz"
    if not whole:
        prefix = max(sets, key=lambda prefix: len(sets[prefix]), default="")
        missing = next(name for key, name in IDX_FILES.items() if key not in sets.get(prefix, {}))
        holds = f"among {brief(', '.join(names))}" if names else "in it: it is empty"
        raise DataError(f"{wanted}, and there is no {prefix}{missing} {holds}; check the path")
    chosen = [file for files in whole.values() for same in files.values() for file in same.values()]
    if len(chosen) != len(IDX_FILES):
        raise DataError(
            f"{wanted}, of one data set, and it holds more: {brief(', '.join(file.name for file in chosen))}; "
            "put those to be used into a folder of their own"
        )
    (only,) = whole.values()
    return {key: next(iter(only[key].values())) for key in IDX_FILES}


def to_dataset(
    arrays: dict[str, np.ndarray], name: str, where: str, seed: int = 0, path: Path | None = None
) -> Dataset:
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
    return Dataset(name, x_train, x_test, y_train, y_test, image_shape, path)


def require_labels(x: np.ndarray, y: np.ndarray | None, name: str, where: str) -> None:
    """One whole number a row, or no labels at all."""
    if y is not None and (y.shape != (len(x),) or y.dtype.kind not in "iu"):
        raise DataError(
            f"{name} in {where} should hold one whole number for each of the {len(x)} rows, "
            f"got {brief(y.dtype)} of shape {y.shape}; leave {name} out if there are no labels"
        )
