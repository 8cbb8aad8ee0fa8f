"""Your own data: an .npz with named arrays or an .npy with one. Nothing is ever unpickled."""

from pathlib import Path

import numpy as np

from scratchvae.data.dataset import DataError, Dataset, as_rows, hold_out

NPZ_KEYS = ("x_train", "x_test", "y_train", "y_test")


def load_file(path: str | Path, seed: int = 0) -> Dataset:
    """The data set in a file.

    .npz  x_train (N, D) or (N, h, w), uint8 0..255 or float 0..1; optional x_test, y_train, y_test.
    .npy  one array of the same kind.

    Where there is no x_test, a tenth of the rows is held out, chosen by seed.

    Raises    DataError: no such file, another format, a truncated file, pickled objects, shapes that do not fit.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"data should be a file .npz or .npy, and there is no file {path}; check the path")
    arrays = read_arrays(path)
    x_train, image_shape = as_rows(arrays["x_train"], f"x_train in {path.name}")
    y_train, y_test = arrays.get("y_train"), arrays.get("y_test")
    if "x_test" in arrays:
        x_test, _ = as_rows(arrays["x_test"], f"x_test in {path.name}")
    else:
        require_labels(x_train, y_train, "y_train", path)
        train, test = hold_out(len(x_train), seed)
        x_train, x_test = x_train[train], x_train[test]
        y_train, y_test = (None, None) if y_train is None else (y_train[train], y_train[test])
    require_labels(x_train, y_train, "y_train", path)
    require_labels(x_test, y_test, "y_test", path)
    if x_train.shape[1] != x_test.shape[1] or x_train.dtype.kind != x_test.dtype.kind:
        raise DataError(
            f"x_train and x_test in {path.name} should agree in width and kind, got {x_train.shape[1]} {x_train.dtype} "
            f"and {x_test.shape[1]} {x_test.dtype}; store both the same way"
        )
    return Dataset(path.stem, x_train, x_test, y_train, y_test, image_shape)


def require_labels(x: np.ndarray, y: np.ndarray | None, name: str, path: Path) -> None:
    """One whole number a row, or no labels at all."""
    if y is not None and (y.shape != (len(x),) or y.dtype.kind not in "iu"):
        raise DataError(
            f"{name} in {path.name} should hold one whole number for each of the {len(x)} rows, "
            f"got {y.dtype} of shape {y.shape}; leave {name} out if there are no labels"
        )


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz by name, or {"x_train": the array} of an .npy."""
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {"x_train": loaded}
        with loaded:
            arrays = {key: loaded[key] for key in NPZ_KEYS if key in loaded.files}
            found = ", ".join(loaded.files) or "nothing"
    except Exception as error:  # why: a damaged file makes numpy, zipfile and zlib raise errors of a dozen kinds
        if "allow_pickle" in str(error):
            expected, problem = "plain numbers", "it holds pickled Python objects, or is no NumPy file at all"
        else:
            details = str(error).splitlines()[0] if str(error) else "no details"
            expected, problem = "NumPy arrays", f"it cannot be read ({type(error).__name__}: {details})"
        raise DataError(
            f"{path.name} should hold {expected} as .npz or .npy, and {problem}; "
            "save it again with np.savez(file, x_train=array), uint8 or float32"
        ) from None
    if "x_train" not in arrays:
        raise DataError(f"{path.name} should hold an array named x_train, it holds {found}; save it under that name")
    return arrays
