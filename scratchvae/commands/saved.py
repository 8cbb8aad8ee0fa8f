"""A run folder read back: the model, the data it was trained on, and its held-out images as training saw them."""

import argparse
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from scratchvae.batches import binarised, check_pixels
from scratchvae.checkpoint import Checkpoint, load_checkpoint
from scratchvae.commands.runs import CONFIG
from scratchvae.data import Dataset, load_data
from scratchvae.training import TEST_SEED
from scratchvae.vae import VAE


class SavedRun(NamedTuple):
    """What `train` left in a folder."""

    folder: Path
    checkpoint: Checkpoint
    data: Dataset
    binarise: str
    x_test: np.ndarray  # (N, D)  binarised once, from the seed that `fit` uses

    @property
    def vae(self) -> VAE:
        """The model, for a verb that needs a prior.

        Raises    ValueError: it is an autoencoder.
        """
        model = self.checkpoint.model
        if not isinstance(model, VAE):
            raise ValueError(f"RUN should hold a vae, and {self.folder} holds an {model.kind}, which has no prior")
        return model

    def describe_images(self) -> str:
        """How many held-out images there are, and how they became what the encoder sees."""
        how = {"none": "", "threshold": ", pixel > 1/2"}.get(self.binarise, f", once, from the test seed {TEST_SEED}")
        return f"{len(self.x_test):,} held-out rows of {self.data.name}, binarise {self.binarise}{how}"


def add_run(parser: argparse.ArgumentParser) -> None:
    """The argument RUN."""
    parser.add_argument("run", metavar="RUN", help="a run folder that train has written, as in runs/mnist-sample-vae-2")


def open_run(path: str) -> SavedRun:
    """Read a run folder.

    Raises    ValueError: no folder, no run in it, or data that are no longer there or no longer fit.
    """
    folder = Path(path)
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "is not there"
        raise ValueError(f"RUN should be a folder that train has written, and {folder} {what}; check the path")
    checkpoint = load_checkpoint(folder)
    try:
        options = json.loads((folder / CONFIG).read_text())
        name, seed, binarise = str(options["data"]), int(options["seed"]), checkpoint.config["training"]["binarise"]
    except (OSError, ValueError, KeyError, TypeError):
        raise ValueError(
            f"RUN should hold the {CONFIG} of a run, and {folder / CONFIG} is not one; train again"
        ) from None
    data, model = load_data(name, seed=seed), checkpoint.model
    check_pixels(data.x_test, f"x_test of {name}", model.n_x, model.likelihood.support, binarise)
    x_test = binarised(data.x_test, binarise, np.random.default_rng(TEST_SEED))  # (N, D)
    return SavedRun(folder, checkpoint, data, binarise, x_test)
