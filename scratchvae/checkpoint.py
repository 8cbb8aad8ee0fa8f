"""A run on disk: one .npz that holds all that training needs to go on, written in one piece and read without trust.

    meta            what it is, in words and numbers: see `manifest`
    params/...      the model's parameters, by name
    optimizer/...   the optimizer's sums and averages, by slot and parameter
    sha256          the hash of all the above: one changed number is noticed

No clock time is in it: the same run gives the same bytes. What is written has passed the checks of what is read, so a
run that could not be loaded again fails before its first epoch, and not after its last.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from scratchvae.autoencoder import Autoencoder
from scratchvae.backend import Array, as_backend, get_xp, resolve_backend, to_numpy
from scratchvae.layers import ACTIVATIONS, LAYERS
from scratchvae.likelihoods import LIKELIHOODS, Likelihood
from scratchvae.manifest import A_FUNCTION, EDITION, FORMAT, NAME, as_plain, check_manifest, content_hash
from scratchvae.model import Model
from scratchvae.npz import brief, read_npz
from scratchvae.optim import OPTIMIZERS, Optimizer
from scratchvae.run_folder import CHECKPOINT, History, write_whole
from scratchvae.vae import VAE

MODELS: dict[str, type[Model]] = {"vae": VAE, "autoencoder": Autoencoder}
PARAMS, OPTIMIZER = "params/", "optimizer/"

Arrays = dict[str, np.ndarray]


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
        if schedule == A_FUNCTION:
            raise ValueError("resume needs the schedule of the stopped run, which was a function; pass it again")
        return schedule if schedule is None else [(epoch, lr) for epoch, lr in schedule]


class CheckpointError(ValueError):
    """A file that is no checkpoint, or a damaged one."""


def checkpoint_file(path: str | Path) -> Path:
    """The checkpoint in a run folder, or the file itself."""
    path = Path(path)
    return path if path.suffix == ".npz" and not path.is_dir() else path / CHECKPOINT


# ---------------------------------------------------------------------------------------------------------------------
# Writing


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

    Raises    ValueError: something that could not be loaded again, in one line; OSError: the disk.
    """
    file = checkpoint_file(path)
    arrays = packed(model, optimizer, rng, epoch, history, training, run)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, lambda stream: np.savez(stream, **arrays))  # type: ignore[arg-type]
    return file


def packed(
    model: Model,
    optimizer: Optimizer | None = None,
    rng: np.random.Generator | None = None,
    epoch: int = 0,
    history: History | None = None,
    training: dict[str, Any] | None = None,
    run: dict[str, Any] | None = None,
) -> Arrays:
    """The arrays of a checkpoint. They have passed the checks of `load_checkpoint`, and that is what `fit` asks first.

    Raises    ValueError: a name that is in no table, weights that are not finite, words that JSON cannot hold.
    """
    arrays = {PARAMS + name: to_numpy(p) for name, p in model.params.items()}
    parts = {"model": model.config, "training": training or {}, "run": run or {}}
    manifest = {
        "format": FORMAT,
        "config": {name: as_plain(part, name) for name, part in parts.items()},
        "epoch": as_plain(epoch, "epoch"),
        "history": as_plain(history or {}, "history"),
        "optimizer": None,
        "rng": None if rng is None else as_plain(rng.bit_generator.state, "rng"),
    }
    if optimizer is not None:
        words = {"config": optimizer.config, "lr": optimizer.lr, "steps": optimizer.steps}
        manifest["optimizer"] = as_plain(words, "optimizer")
        arrays |= {OPTIMIZER + name: to_numpy(s) for name, s in optimizer.state.items()}
    check(manifest, arrays)
    require_rebuilt(model.likelihood, manifest["config"]["model"]["likelihood"])
    arrays["meta"] = np.array(json.dumps(manifest))
    return arrays | {"sha256": np.array(content_hash(arrays))}


# ---------------------------------------------------------------------------------------------------------------------
# Reading


def load_checkpoint(path: str | Path, backend: str = "numpy") -> Checkpoint:
    """The checkpoint in a run folder or in a file .npz, its model on the backend asked for.

    It takes time and memory in proportion to the file, whatever the file says of itself.

    Raises    CheckpointError: nothing there, another kind of file, one that is damaged, cut or edited;
              ValueError: a backend that is not to be had.
    """
    resolve_backend(backend)
    file = checkpoint_file(path)
    if not file.is_file():
        raise CheckpointError(
            f"expected a run folder or a checkpoint .npz, and there is no file {file}; check the path"
        )
    try:
        with open(file, "rb") as stream:
            manifest, arrays = unpacked(stream)
        check(manifest, arrays)
        model = build_model(manifest["config"]["model"], backend)
        fill(model.params, under(PARAMS, arrays))
        optimizer = None
        if manifest["optimizer"] is not None:
            optimizer = build_optimizer(manifest["optimizer"])
            optimizer.state = {name: as_backend(s, model.xp) for name, s in under(OPTIMIZER, arrays).items()}
    except CheckpointError as error:
        raise CheckpointError(f"{file}: {error}") from None
    except Exception as error:  # why: what a file says reaches constructors, with errors of their own kinds
        kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        raise CheckpointError(
            f"{file} should hold a {FORMAT}, and it cannot be read as one ({kind}{brief(error)}); "
            "copy it again, or train again"
        ) from None
    config, history, epoch = manifest["config"], manifest["history"], manifest["epoch"]
    return Checkpoint(model, config, history, epoch, optimizer, manifest["rng"])


def unpacked(stream: BinaryIO) -> tuple[dict[str, Any], Arrays]:
    """The manifest and the other arrays of a file that is whole.

    Raises    ValueError: it is not; CheckpointError: it is of another edition.
    """
    arrays = read_npz(stream, stored_only=True)
    if not {"meta", "sha256"} <= arrays.keys() or arrays["meta"].dtype.kind != "U":
        raise ValueError("it lacks the array meta or sha256")
    written = str(arrays.pop("sha256"))
    manifest = json.loads(str(arrays["meta"]))
    named = manifest.get("format") if isinstance(manifest, dict) else None
    edition = str(named).removeprefix(f"{NAME} ")
    if edition.isdecimal() and len(edition) < 10 and int(edition) != EDITION:
        todo = "install a newer scratchvae" if int(edition) > EDITION else "train again"
        raise CheckpointError(f"it is a {NAME} {edition}, and this scratchvae reads {EDITION}; {todo}")
    if named != FORMAT:
        raise ValueError(f"its format is {brief(named, 60)}")
    if content_hash(arrays) != written:
        raise ValueError("what it holds is not what was written: its sha256 is another")
    del arrays["meta"]
    return manifest, arrays


def build_model(config: dict[str, Any], backend: str = "numpy") -> Model:
    """A model from its config, with weights that are still to be filled in."""
    sizes = {key: config[key] for key in ("n_x", "n_hidden", "n_z", "layers", "dtype")}
    likelihood, rng = build_likelihood(config["likelihood"]), np.random.default_rng(0)
    return MODELS[config["kind"]](**sizes, likelihood=likelihood, rng=rng, backend=backend)


def build_likelihood(config: dict[str, Any]) -> Likelihood:
    return LIKELIHOODS[config["name"]](**{key: value for key, value in config.items() if key != "name"})


def build_optimizer(stored: dict[str, Any]) -> Optimizer:
    """The optimizer as it was, but for its sums and averages."""
    config = {key: value for key, value in stored["config"].items() if key != "name"}
    optimizer: Optimizer = OPTIMIZERS[stored["config"]["name"]](lr=stored["lr"], **config)
    optimizer.steps = stored["steps"]
    return optimizer


def under(prefix: str, arrays: Arrays) -> Arrays:
    """The arrays whose names begin with prefix, without it."""
    return {key.removeprefix(prefix): array for key, array in arrays.items() if key.startswith(prefix)}


def fill(params: Mapping[str, Array], stored: Mapping[str, Array]) -> None:
    """Write stored arrays into those of params; names and shapes must be the same."""
    shapes, expected = ({name: a.shape for name, a in arrays.items()} for arrays in (stored, params))
    if shapes != expected:
        raise ValueError(f"expected arrays {expected}, got {shapes}")
    for name, p in params.items():
        p[...] = as_backend(stored[name], get_xp(p), p.dtype)


# ---------------------------------------------------------------------------------------------------------------------
# What must be true of a checkpoint before anything is built from it


def check(manifest: dict[str, Any], arrays: Arrays) -> None:
    """Names that are known, and arrays that are what the manifest says.

    Raises    ValueError, in one line.
    """
    check_manifest(manifest)
    check_names(manifest)
    params, state = under(PARAMS, arrays), under(OPTIMIZER, arrays)
    if len(params) + len(state) != len(arrays):
        raise ValueError("it holds arrays that belong neither to the parameters nor to the optimizer")
    check_params(manifest["config"]["model"], params)
    check_state(manifest["optimizer"], state, params)


def check_names(manifest: dict[str, Any]) -> None:
    """What a checkpoint names is in the tables of those that can be loaded."""
    model, optimizer = manifest["config"]["model"], manifest["optimizer"]
    named: list[tuple[str, str, str, Mapping[str, Any]]] = [("model", model["kind"], "MODELS", MODELS)]
    named += [("likelihood", model["likelihood"]["name"], "LIKELIHOODS", LIKELIHOODS)]
    known_layers = {**LAYERS, **ACTIVATIONS}
    named += [("layer", layer, "LAYERS", known_layers) for layer in model["layers"]]
    if optimizer is not None:
        named.append(("optimizer", optimizer["config"]["name"], "OPTIMIZERS", OPTIMIZERS))
    for what, name, table, known in named:
        if name not in known:
            raise CheckpointError(
                f"a checkpoint names the {what}, and {brief(repr(name), 60)} is not in {table}; "
                "import the module that puts it there"
            )


def require_rebuilt(likelihood: Likelihood, config: dict[str, Any]) -> None:
    """A ValueError if what a likelihood's config builds is not what it is, as when an option was left out of it."""
    was, rebuilt = (getattr(p, "__dict__", {}) for p in (likelihood, build_likelihood(config)))
    if as_plain(was, "a likelihood") != as_plain(rebuilt, "a likelihood"):
        raise ValueError(f"the likelihood's config should hold all that makes it, and {config} makes another one")


def check_params(config: dict[str, Any], params: Arrays) -> None:
    """As many numbers as a model of that config has, so that it may be built; finite, and of its dtype."""
    numbers, sizes = sum(p.size for p in params.values()), [config["n_x"], *config["n_hidden"], config["n_z"]]
    if sum(sizes) > numbers or len(sizes) > len(params):  # a layer of any kind has a number for each of its outputs
        raise ValueError(f"layers of {brief(sizes, 60)} need more than the {numbers} weights that are there")
    for name, shape in dense_shapes(config).items():
        if name not in params or params[name].shape != shape:
            got = f"of shape {params[name].shape}" if name in params else "missing"
            raise ValueError(f"{name} should be of shape {shape}, and it is {got}")
    for name, p in params.items():
        if p.dtype != config["dtype"]:
            raise ValueError(f"{name} should be of dtype {config['dtype']}, got {p.dtype}")
        if not np.isfinite(p).all():
            raise ValueError(f"{name} should hold finite numbers, got NaN or infinity")


def dense_shapes(config: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """The shape (I, O) of every dense W, by name: nearly all of a model's memory, without a model."""
    n_x, n_hidden, n_z, layers = (config[key] for key in ("n_x", "n_hidden", "n_z", "layers"))
    shapes = {}
    for half, widths in (("encoder", [n_x, *n_hidden]), ("decoder", [n_z, *n_hidden[::-1]])):
        for i, (n_in, n_out) in enumerate(pairwise(widths)):
            if "dense" in layers:
                first = layers[0] == "dense"
                shapes[f"{half}.{i}.W" if first else f"{half}.{i}.dense.W"] = (n_in if first else n_out, n_out)
    heads = MODELS[config["kind"]].head_names
    shapes |= {f"{head}.W": ([n_x, *n_hidden][-1], n_z) for head in heads}
    n_params = build_likelihood(config["likelihood"]).n_params
    return shapes | {"logits.W": ([n_z, *n_hidden[::-1]][-1], n_x * n_params)}


def check_state(stored: dict[str, Any] | None, state: Arrays, params: Arrays) -> None:
    """For each parameter, an array like it in every slot of the optimizer; none before the first step."""
    expected = {}
    if stored is not None and stored["steps"]:
        expected = {f"{slot}.{name}": p for slot in slots_of(build_optimizer(stored)) for name, p in params.items()}
    if state.keys() != expected.keys():
        odd = sorted(state.keys() ^ expected.keys())
        raise ValueError(f"the optimizer's running averages are not those of its steps: {brief(', '.join(odd))}")
    for name, like in expected.items():
        if state[name].shape != like.shape or state[name].dtype != like.dtype or np.isnan(state[name]).any():
            raise ValueError(f"the optimizer's {name} should be of shape {like.shape} and dtype {like.dtype}, no NaN")


def slots_of(optimizer: Optimizer) -> list[str]:
    """The names of the sums and averages that an optimizer keeps of a parameter: those that one step leaves."""
    with np.errstate(all="ignore"):
        optimizer.step({"p": np.zeros(1)}, {"p": np.zeros(1)})
    return [name.removesuffix(".p") for name in optimizer.state]
