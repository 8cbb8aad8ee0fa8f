"""A run on disk: one .npz that holds all that training needs to go on, written atomically and read without pickle.

No clock time is in it: the same run gives the same bytes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scratchvae.autoencoder import Autoencoder
from scratchvae.backend import Array, as_backend, get_xp, resolve_backend, to_numpy
from scratchvae.layers import ACTIVATIONS, LAYERS
from scratchvae.likelihoods import LIKELIHOODS
from scratchvae.model import Model
from scratchvae.optim import OPTIMIZERS, Optimizer
from scratchvae.run_folder import CHECKPOINT, History, write_whole
from scratchvae.vae import VAE

FORMAT = "scratchvae checkpoint 2"
MODELS: dict[str, type[Model]] = {"vae": VAE, "autoencoder": Autoencoder}


@dataclass
class Checkpoint:
    """What a run folder holds: the model, how it was trained and how that went; and what it takes to go on."""

    model: Model
    config: dict[str, Any]  # {"model": ..., "training": ..., "run": ...}
    history: History  # a list a column, an entry an epoch, in nats per image
    epoch: int  # epochs done
    optimizer: Optimizer | None
    rng_state: dict[str, Any] | None

    @property
    def schedule(self) -> list[tuple[int, float]] | None:
        """The pairs (epoch, lr) that the run was trained with.

        Raises    ValueError: it was a function, which no checkpoint can hold.
        """
        schedule = self.config["training"].get("schedule")
        if isinstance(schedule, str):
            raise ValueError("resume needs the schedule of the stopped run, which was a function; pass it again")
        return schedule if schedule is None else [(epoch, lr) for epoch, lr in schedule]


class CheckpointError(ValueError):
    """A file that is no checkpoint, or a damaged one."""


def checkpoint_file(path: str | Path) -> Path:
    """The checkpoint in a run folder, or the file itself."""
    path = Path(path)
    return path if path.suffix == ".npz" and not path.is_dir() else path / CHECKPOINT


def build_model(config: dict[str, Any], backend: str = "numpy") -> Model:
    """A model from its config, with weights that are still to be filled in."""
    sizes = {key: config[key] for key in ("n_x", "n_hidden", "n_z", "layers", "dtype")}
    likelihood = dict(config["likelihood"])
    return MODELS[config["kind"]](
        **sizes,
        likelihood=LIKELIHOODS[likelihood.pop("name")](**likelihood),
        rng=np.random.default_rng(0),
        backend=backend,
    )


def save_checkpoint(
    path: str | Path,
    model: Model,
    *,
    optimizer: Optimizer | None = None,
    rng: np.random.Generator | None = None,
    epoch: int = 0,
    history: History | None = None,
    training: dict[str, Any] | None = None,
    run: dict[str, Any] | None = None,
) -> Path:
    """Write a checkpoint into a run folder (made if need be) or to a file .npz; either all of it or nothing.

    A first write under another name, then a rename: whoever reads the file sees the old one or the new one.
    """
    file = checkpoint_file(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    require_loadable(model)
    arrays = {f"params/{name}": to_numpy(p) for name, p in model.params.items()}
    meta: dict[str, Any] = {
        "format": FORMAT,
        "config": {"model": model.config, "training": training or {}, "run": run or {}},
        "epoch": epoch,
        "history": history or {},
        "rng": None if rng is None else rng.bit_generator.state,
        "optimizer": None,
    }
    if optimizer is not None:
        arrays |= {f"optimizer/{name}": to_numpy(s) for name, s in optimizer.state.items()}
        meta["optimizer"] = {"config": optimizer.config, "lr": optimizer.lr, "steps": optimizer.steps}
    text = json.dumps(meta, default=lambda array: array.tolist())  # why: some generators keep arrays in their state
    write_whole(file, lambda stream: np.savez(stream, meta=np.array(text), **arrays))  # type: ignore[arg-type]
    return file


def require_loadable(model: Model) -> None:
    """A model that can be saved can be loaded again: what its config names is known by that name.

    Raises    ValueError: a likelihood or a layer that is in no table.
    """
    name = model.likelihood.config["name"]
    if name not in LIKELIHOODS:
        raise ValueError(
            f"a checkpoint names the likelihood; {name!r} is not in LIKELIHOODS, add it: LIKELIHOODS[{name!r}] = ..."
        )
    unknown = [layer for layer in model.layers if layer not in LAYERS and layer not in ACTIVATIONS]
    if unknown:
        raise ValueError(f"a checkpoint names the layers, and {unknown[0]!r} is not in LAYERS; add it there")


def load_checkpoint(path: str | Path, backend: str = "numpy") -> Checkpoint:
    """The checkpoint in a run folder or in a file .npz, its model on the backend asked for.

    Raises    CheckpointError: nothing there, another kind of file, a truncated or a pickled one;
              ValueError: a backend that is not to be had.
    """
    resolve_backend(backend)
    file = checkpoint_file(path)
    if not file.is_file():
        raise CheckpointError(
            f"expected a run folder or a checkpoint .npz, and there is no file {file}; check the path"
        )
    try:
        with open(file, "rb") as stream, np.load(stream, allow_pickle=False) as stored:
            arrays = {key: stored[key] for key in stored.files}
        meta = json.loads(str(arrays.pop("meta")))
        if meta["format"] != FORMAT:
            raise ValueError(f"its format is {meta['format']!r}")
        model = build_model(meta["config"]["model"], backend)
        fill(model.params, under("params/", arrays))
        optimizer = None if meta["optimizer"] is None else build_optimizer(meta["optimizer"], model, arrays)
        return Checkpoint(model, meta["config"], meta["history"], meta["epoch"], optimizer, meta["rng"])
    except Exception as error:  # why: a damaged file makes numpy, zipfile, zlib and json raise errors of a dozen kinds
        details = str(error).splitlines()[0] if str(error) else "no details"
        raise CheckpointError(
            f"{file} should hold a {FORMAT}, and it cannot be read as one ({type(error).__name__}: {details}); "
            "copy it again, or train again"
        ) from None


def under(prefix: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays whose names begin with prefix, without it."""
    return {key.removeprefix(prefix): array for key, array in arrays.items() if key.startswith(prefix)}


def fill(params: Mapping[str, Array], stored: Mapping[str, Array]) -> None:
    """Write stored arrays into those of params; names and shapes must be the same."""
    shapes, expected = ({name: a.shape for name, a in arrays.items()} for arrays in (stored, params))
    if shapes != expected:
        raise ValueError(f"expected arrays {expected}, got {shapes}")
    for name, p in params.items():
        p[...] = as_backend(stored[name], get_xp(p), p.dtype)


def build_optimizer(meta: dict[str, Any], model: Model, arrays: dict[str, np.ndarray]) -> Optimizer:
    """The optimizer as it was, its running averages on the model's backend."""
    config = dict(meta["config"])
    optimizer: Optimizer = OPTIMIZERS[config.pop("name")](lr=meta["lr"], **config)
    optimizer.steps = meta["steps"]
    optimizer.state = {name: as_backend(array, model.xp) for name, array in under("optimizer/", arrays).items()}
    return optimizer


def restore(
    checkpoint: Checkpoint,
    model: Model,
    optimizer: Optimizer,
    rng: np.random.Generator,
    training: dict[str, Any],
) -> None:
    """Put model, optimizer and generator where the checkpoint left them, so that training goes on as if never stopped.

    Raises    ValueError: another model, optimizer, generator or way of training than the one that was stopped.
    """
    if checkpoint.optimizer is None or checkpoint.rng_state is None:
        raise ValueError("resume needs a checkpoint that fit has written, got one without optimizer and generator")
    was_training = {k: v for k, v in checkpoint.config["training"].items() if k != "schedule"}
    before = {
        "model": checkpoint.config["model"],
        "training": was_training,
        "optimizer": checkpoint.optimizer.config,
        "rng": checkpoint.rng_state["bit_generator"],
    }
    now = {"model": model.config, "training": training, "optimizer": optimizer.config}
    now["rng"] = rng.bit_generator.state["bit_generator"]
    for part, was in before.items():
        if was != now[part]:
            raise ValueError(
                f"resume needs the {part} of the stopped run, {was}, got {now[part]}; or train into a new folder"
            )
    fill(model.params, checkpoint.model.params)
    optimizer.state = {name: as_backend(array, model.xp) for name, array in checkpoint.optimizer.state.items()}
    optimizer.steps, optimizer.lr = checkpoint.optimizer.steps, checkpoint.optimizer.lr
    rng.bit_generator.state = checkpoint.rng_state
