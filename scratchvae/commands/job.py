"""What a run is made of, from its options: the data, the model, what is maximised, the optimizer, the generator."""

from typing import Any, NamedTuple

import numpy as np

from scratchvae.batches import check_pixels
from scratchvae.checkpoint import MODELS
from scratchvae.commands.saved import data_path, find_data
from scratchvae.data import Dataset, load_data
from scratchvae.iwae import ImportanceWeighted
from scratchvae.likelihoods import LIKELIHOODS, Gaussian
from scratchvae.model import Model
from scratchvae.optim import OPTIMIZERS, Optimizer
from scratchvae.vae import VAE


class Job(NamedTuple):
    """What a run is made of."""

    options: dict[str, Any]
    data: Dataset
    model: Model
    objective: ImportanceWeighted | None  # None: the model's own
    optimizer: Optimizer
    rng: np.random.Generator


def prepare(options: dict[str, Any]) -> Job:
    """The data, the model and the rest, and the options without a gap.

    Raises    ValueError: options that do not go together, or data that do not fit; nothing has been written.
    """
    require_sense(options)
    likelihood = LIKELIHOODS[options["likelihood"]](
        **({} if options["sigma"] is None else {"sigma": options["sigma"]}),
    )
    optimizer = OPTIMIZERS[options["optimizer"]]()
    optimizer.lr = options["lr"] or optimizer.lr
    where = find_data(options)
    data = load_data(where, seed=options["seed"])
    rng = np.random.default_rng(options["seed"])
    model = MODELS[options["model"]](
        data.x_train.shape[1],
        options["hidden"],
        options["latent"],
        options["activation"],
        likelihood,
        layers=options["layers"],
        rng=rng,
        backend=options["backend"],
    )
    K = options["samples"]
    objective = ImportanceWeighted(model, K) if K > 1 and isinstance(model, VAE) else None
    binarise = options["binarise"] or likelihood.binarise
    for name, x in (("x_train", data.x_train), ("x_test", data.x_test)):
        check_pixels(x, name, model.n_x, likelihood.support, binarise)
    filled = {
        "lr": optimizer.lr,
        "sigma": likelihood.config.get("sigma"),
        "binarise": binarise,
        "data_path": data_path(where),
        "image_shape": None if data.image_shape is None else list(data.image_shape),
    }
    return Job({**options, **filled}, data, model, objective, optimizer, rng)


def require_sense(options: dict[str, Any]) -> None:
    """Options that do nothing in this run are refused: its name and its config.json would say that they had.

    Raises    ValueError, in one line.
    """
    model, likelihood, K = options["model"], options["likelihood"], options["samples"]
    has_prior = issubclass(MODELS[model], VAE)
    weighs = f"--beta {options['beta']:g}" if options["beta"] != 1 else ""
    weighs = f"--warmup {options['warmup']}" if options["warmup"] else weighs
    if not has_prior and weighs:
        raise ValueError(f"{weighs} is about the KL, and an {model} has none; leave it out, or train a vae")
    if not has_prior and K > 1:
        raise ValueError(f"--samples {K} draws latents, and an {model} draws none; leave it out, or train a vae")
    if K > 1 and weighs:
        raise ValueError(f"--samples {K} trains a bound that has no KL to weigh, got {weighs}; leave one of them out")
    if options["sigma"] is not None and LIKELIHOODS[likelihood] is not Gaussian:
        raise ValueError(
            f"--sigma is the fixed standard deviation of --likelihood gaussian, got --likelihood {likelihood}; "
            "leave one of them out"
        )


def describe(model: Model) -> str:
    """One line: vae 784-400-2-400-784, relu, gaussian sigma 0.5."""
    sizes = [model.n_x, *model.n_hidden, model.n_z, *model.n_hidden[::-1], model.n_x]
    config = {name: value for name, value in model.likelihood.config.items() if name != "name"}
    settings = [f"{name} {v:.3g}" if isinstance(v, float) else f"{name} {v}" for name, v in config.items()]
    likelihood = " ".join([model.likelihood.name, *settings])
    return f"{model.kind} {'-'.join(map(str, sizes))}, {'+'.join(model.layers[1:]) or 'linear'}, {likelihood}"
