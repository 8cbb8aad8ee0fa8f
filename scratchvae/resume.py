"""Going on with a run that was stopped, as if it had never been; and the refusal to go on with another one."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from scratchvae.backend import as_backend
from scratchvae.checkpoint import Checkpoint, fill, load_checkpoint
from scratchvae.manifest import as_plain
from scratchvae.model import Model
from scratchvae.npz import brief
from scratchvae.optim import Optimizer
from scratchvae.run_folder import CHECKPOINT, RunFolder, holds_a_run


def opened(out: str | Path | RunFolder | None, resume: bool) -> AbstractContextManager[RunFolder | None]:
    """The run folder for as long as fit writes to it, as a context; a folder that is open already stays open.

    Raises    ValueError: a run in it without resume, none in it with resume, or another process that holds it.
    """
    if out is None:
        if resume:
            raise ValueError("resume=True needs out, the folder of the stopped run, got None; pass out=...")
        return nullcontext()
    path = out.path if isinstance(out, RunFolder) else Path(out)
    if resume and not holds_a_run(path):
        there = "holds none" if path.is_dir() else "is not there"
        raise ValueError(f"resume=True needs the folder of a stopped run, and {path} {there}; check out")
    folder = out if isinstance(out, RunFolder) else RunFolder(path)
    if not resume and holds_a_run(path):  # why: asked once the folder is locked, when nobody else can begin one
        if folder is not out:
            folder.close()
        raise ValueError(f"out should be a folder without a run in it, got {path}; choose another, or pass resume=True")
    return nullcontext(folder) if folder is out else folder


def stopped_run(folder: RunFolder | None) -> Checkpoint | None:
    """The checkpoint of the run in a folder; None if it was stopped before it wrote one."""
    return load_checkpoint(folder.path) if folder and (folder.path / CHECKPOINT).exists() else None


def restore(
    checkpoint: Checkpoint,
    model: Model,
    optimizer: Optimizer,
    rng: np.random.Generator,
    training: dict[str, Any],
) -> None:
    """Put model, optimizer and generator where the checkpoint left them, so that training goes on as if never stopped.

    Raises    ValueError: another model, optimizer, generator, data or way of training than those of the stopped run.
    """
    if checkpoint.optimizer is None or checkpoint.rng_state is None or not checkpoint.config["training"]:
        raise ValueError("resume needs a checkpoint that fit has written, got one that was saved without its training")
    was_training = {key: value for key, value in checkpoint.config["training"].items() if key != "schedule"}
    was = described(checkpoint.config["model"], was_training, checkpoint.optimizer, checkpoint.rng_state)
    now = described(model.config, training, optimizer, rng.bit_generator.state)
    require_same(was, as_plain(now, "what makes a run this one"))
    fill(model.params, checkpoint.model.params)
    optimizer.state = {name: as_backend(array, model.xp) for name, array in checkpoint.optimizer.state.items()}
    optimizer.steps, optimizer.lr = checkpoint.optimizer.steps, checkpoint.optimizer.lr
    rng.bit_generator.state = checkpoint.rng_state


def described(
    model: Mapping[str, Any], training: Mapping[str, Any], optimizer: Optimizer, rng_state: Mapping[str, Any]
) -> dict[str, Any]:
    """What makes a run this one and no other, by names that are options of `fit` or of the model."""
    sizes = {("model" if key == "kind" else key): value for key, value in model.items()}
    return {**sizes, **training, "optimizer": optimizer.config, "generator": rng_state["bit_generator"]}


def require_same(was: dict[str, Any], now: dict[str, Any]) -> None:
    """A ValueError that names the first entry that differs, or what differs in it if the two share a name.

    Example
        >>> require_same({"beta": 1.0, "optimizer": {"name": "sgd", "momentum": 0.9}},
        ...              {"beta": 1.0, "optimizer": {"name": "sgd", "momentum": 0.5}})
        Traceback (most recent call last):
        ValueError: resume needs the momentum of the stopped run, 0.9, got 0.5; or train into a new folder
    """
    for key in [*was, *(key for key in now if key not in was)]:
        before, after = was.get(key), now.get(key)
        if before == after:
            continue
        if isinstance(before, dict) and isinstance(after, dict) and before.get("name") == after.get("name"):
            require_same(before, after)
        got = ", got other data" if key == "data" else f", {in_a_word(before)}, got {in_a_word(after)}"
        raise ValueError(f"resume needs the {key} of the stopped run{got}; or train into a new folder")


def in_a_word(value: Any) -> str:
    """An entry as a message shows it: what has a name by its name."""
    value = value.get("name", value) if isinstance(value, dict) else value
    return "none" if value is None else brief(value)
