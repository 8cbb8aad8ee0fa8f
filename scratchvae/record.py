"""A run and its record: what an epoch moves, how it went so far, and the files that tell it.

Sizes: N rows of a data set, D data.
"""

from typing import Any, NamedTuple

import numpy as np

from scratchvae import __version__
from scratchvae.checkpoint import packed, save_checkpoint
from scratchvae.manifest import A_FUNCTION, as_plain
from scratchvae.model import Model
from scratchvae.optim import Optimizer
from scratchvae.recipe import Recipe, Schedule
from scratchvae.resume import restore, stopped_run
from scratchvae.run_folder import History, RunFolder, epochs_of


class Run(NamedTuple):
    """What an epoch needs and moves: the same from the first epoch to the last."""

    model: Model
    objective: Any
    optimizer: Optimizer
    rng: np.random.Generator
    recipe: Recipe
    folder: RunFolder | None
    data: str  # the fingerprint of what it is trained and tested on

    @property
    def training(self) -> dict[str, Any]:
        """What makes it this run beside model, optimizer and generator, in words and numbers; the same when resumed."""
        objective = None if self.objective is self.model else config_of(self.objective)
        return {**self.recipe._asdict(), "objective": objective, "data": self.data}


def config_of(objective: Any) -> dict[str, Any]:
    """What an objective says makes it another one; where it says nothing, its class and its numbers and words."""
    plain = {
        name: value
        for name, value in getattr(objective, "__dict__", {}).items()
        if isinstance(value, int | float | str)
    }
    return as_plain(getattr(objective, "config", {"name": type(objective).__name__, **plain}), "objective.config")


class Record:
    """How a run went so far, and the files that tell it, if there is a run folder."""

    def __init__(self, run: Run, history: History, schedule: Schedule | None, config: dict[str, Any] | None) -> None:
        self.run, self.history, self.schedule, self.config = run, history, schedule, config
        self.seconds = [] if run.folder is None else run.folder.seconds(history)

    @property
    def kept(self) -> dict[str, Any]:
        """What a checkpoint holds beside the model, the epoch and the history."""
        training = {**self.run.training, "schedule": A_FUNCTION if callable(self.schedule) else self.schedule}
        return {"optimizer": self.run.optimizer, "rng": self.run.rng, "training": training, "run": self.config}

    def begin(self) -> None:
        """Write what is known before the first epoch.

        Raises    ValueError: a run that no checkpoint could hold, and nothing is written.
        """
        if self.run.folder is not None:
            packed(self.run.model, **self.kept)
            described = self.config or {"model": self.run.model.config, "training": self.run.training}
            self.run.folder.write_config({"scratchvae": __version__, **as_plain(described, "config")})
            self.run.folder.write_metrics(self.history, self.seconds)

    def add(self, row: dict[str, float], seconds: float) -> None:
        """The row of an epoch, in the history and on disk."""
        for name, value in row.items():
            self.history.setdefault(name, []).append(value)
        self.seconds.append(seconds)
        if self.run.folder is not None:  # the checkpoint first: the table can be made from it, not the other way round
            self.run.folder.require_held()
            epoch = epochs_of(self.history)
            save_checkpoint(self.run.folder.path, self.run.model, epoch=epoch, history=self.history, **self.kept)
            self.run.folder.write_metrics(self.history, self.seconds)


def open_record(
    run: Run, x_train: np.ndarray, schedule: Schedule | None, config: dict[str, Any] | None, resume: bool
) -> Record:
    """Everything where the stopped run left it, and its record; or the output bias at the mean image, and a new one."""
    stopped = stopped_run(run.folder) if resume else None
    if stopped is None:
        pixel_mean = x_train.mean(axis=0) / (255 if x_train.dtype == np.uint8 else 1)  # (D,)
        run.model.start_output_bias(pixel_mean)
        return Record(run, {}, schedule, as_plain(config, "config"))
    schedule = stopped.schedule if schedule is None else schedule
    restore(stopped, run.model, run.optimizer, run.rng, run.training)
    return Record(run, stopped.history, schedule, as_plain(config, "config") or stopped.config["run"])
