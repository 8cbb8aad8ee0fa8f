"""A run read back: its model, from the checkpoint alone; and its held-out images, for which its data are needed."""

import argparse
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from scratchvae.batches import binarised, fingerprint
from scratchvae.checkpoint import Checkpoint, checkpoint_file, load_checkpoint
from scratchvae.data import Dataset, load_data
from scratchvae.data.sources import SOURCES
from scratchvae.training import TEST_SEED
from scratchvae.vae import VAE


class SavedRun(NamedTuple):
    """What `train` left in a folder."""

    folder: Path
    checkpoint: Checkpoint

    @property
    def vae(self) -> VAE:
        """The model, for a verb that needs a prior.

        Raises    ValueError: it is an autoencoder.
        """
        model = self.checkpoint.model
        if not isinstance(model, VAE):
            raise ValueError(f"RUN should hold a vae, and {self.folder} holds an {model.kind}, which has no prior")
        return model

    @property
    def image_shape(self) -> tuple[int, int] | None:
        """That of the data, if they were images."""
        match self.checkpoint.config["run"].get("image_shape"):
            case [int(h), int(w)] if h > 0 and h * w == self.checkpoint.model.n_x:
                return h, w
        return None


class HeldOut(NamedTuple):
    """The data of a run, and its held-out rows as training saw them."""

    data: Dataset
    binarise: str
    x: np.ndarray  # (N, D)  binarised once, from the seed that `fit` uses

    def describe(self) -> str:
        """How many rows there are, and how they became what the encoder sees."""
        how = {"none": "", "threshold": ", pixel > 1/2"}.get(self.binarise, f", once, from the test seed {TEST_SEED}")
        return f"{len(self.x):,} held-out rows of {self.data.name}, binarise {self.binarise}{how}"


def add_run(parser: argparse.ArgumentParser) -> None:
    """The argument RUN."""
    parser.add_argument(
        "run", metavar="RUN", help="a run folder that train has written, as in runs/mnist-sample-vae-2, or its .npz"
    )


def add_data(parser: argparse.ArgumentParser) -> None:
    """The option --data."""
    parser.add_argument("--data", metavar="PATH", help="where the data of the run are now, if they were moved")


def open_run(path: str) -> SavedRun:
    """Read a run folder, or the checkpoint in it.

    Raises    ValueError: nothing there, or no run in it.
    """
    file = checkpoint_file(path)
    if not Path(path).exists():
        raise ValueError(f"RUN should be a folder that train has written, and {path} is not there; check the path")
    if not file.parent.is_dir():
        raise ValueError(f"RUN should be a folder that train has written, and {path} is a file; check the path")
    return SavedRun(file.parent, load_checkpoint(file))


def held_out(saved: SavedRun, moved: str | None = None) -> HeldOut:
    """The data that the run was trained on, from where they were or from where they were moved to.

    Raises    ValueError: a run without a word about its data; data that are not there, or are others.
    """
    options = train_options(saved.checkpoint, saved.folder)
    options = options if moved is None else {**options, "data": moved, "data_path": None}
    where = find_data(options)
    data = load_data(where, seed=options["seed"])
    require_same_data(saved.checkpoint, data, where)
    binarise = saved.checkpoint.config["training"].get("binarise", "none")
    return HeldOut(data, binarise, binarised(data.x_test, binarise, np.random.default_rng(TEST_SEED)))


# -- which data a run was trained on -----------------------------------------------------------------------------------


def train_options(checkpoint: Checkpoint, where: Path) -> dict[str, Any]:
    """The options of the `train` that wrote a checkpoint.

    Raises    ValueError: it was written from Python.
    """
    options = checkpoint.config["run"]
    if not (isinstance(options.get("data"), str) and isinstance(options.get("seed"), int)):
        raise ValueError(
            f"expected a run of the command train, and that in {where} was trained from Python, which does not say "
            "on which data; go on in Python"
        )
    return dict(options)


def data_path(name: str) -> str | None:
    """Where the data lie, from wherever one looks; None for a data set that is known by its name."""
    return None if name == "mnist-sample" or name in SOURCES else os.path.abspath(name)


def find_data(options: dict[str, Any]) -> str:
    """What `load_data` is called with: the path where the data were, or else what was typed, as seen from here.

    Raises    ValueError: the data are at neither place.
    """
    typed, path = options["data"], options.get("data_path")
    if not isinstance(path, str) or (not os.path.exists(path) and os.path.exists(typed)):
        return str(typed)
    if not os.path.exists(path):
        raise ValueError(
            f"the data of this run should be at {path}, and nothing is there; put them back, or say with --data where "
            "they are now"
        )
    return str(path)


def require_same_data(checkpoint: Checkpoint, data: Dataset, where: str) -> None:
    """A run is trained, resumed and measured on the same numbers, wherever they lie.

    Raises    ValueError: others.
    """
    expected, got = checkpoint.config["training"].get("data"), fingerprint(data.x_train, data.x_test)
    if got != expected:
        raise ValueError(
            f"expected the data that the run was trained on, with the fingerprint {str(expected)[:12]}, and {where} "
            f"holds others, with {got[:12]}; put the former back, or train a new run"
        )
