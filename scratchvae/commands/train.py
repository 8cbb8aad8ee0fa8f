"""train: from data to a run folder with config.json, metrics.csv, checkpoint.npz and pictures."""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

from scratchvae.backend import BACKENDS
from scratchvae.batches import BINARISE, check_pixels
from scratchvae.checkpoint import MODELS, History, checkpoint_file
from scratchvae.commands.options import count, not_negative, positive, whole, widths
from scratchvae.commands.runs import CONFIG, default_folder, save_config, stored_options
from scratchvae.data import load_data
from scratchvae.layers import ACTIVATIONS
from scratchvae.likelihoods import LIKELIHOODS
from scratchvae.model import Model
from scratchvae.optim import OPTIMIZERS
from scratchvae.training import fit

HELP = "train a model and write a run folder: config, metrics, checkpoint and pictures"
EXAMPLE = """examples:
  python -m scratchvae train
  python -m scratchvae train --latent 20 --hidden 400,200 --epochs 50 --out runs/twenty
  python -m scratchvae train --resume --out runs/twenty --epochs 80
  python -m scratchvae train --data my.npz --likelihood gaussian --binarise none"""

DEFAULTS: dict[str, Any] = {
    "data": "mnist-sample",
    "model": "vae",
    "likelihood": "bernoulli",
    "activation": "relu",
    "hidden": [400],
    "latent": 2,
    "epochs": 30,
    "batch_size": 128,
    "optimizer": "adam",
    "lr": None,  # the optimizer's own
    "beta": 1.0,
    "warmup": 0,
    "binarise": None,  # dynamic for bernoulli, none for densities
    "seed": 0,
    "backend": "numpy",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options, without defaults: on resuming, what is not given comes from the run's config.json."""

    def option(name: str, text: str, **how: Any) -> None:
        default = DEFAULTS[name]
        shown = ",".join(map(str, default)) if isinstance(default, list) else default
        parser.add_argument(
            f"--{name.replace('_', '-')}", help=text if default is None else f"{text} (default {shown})", **how
        )

    option("data", "mnist-sample, mnist, fashion-mnist, or a path: .npz, .npy, IDX folder", metavar="NAME")
    option("model", "what to train", choices=list(MODELS))
    option("likelihood", "p(x|z), and so the loss", choices=list(LIKELIHOODS))
    option("activation", "of the hidden layers", choices=list(ACTIVATIONS))
    option("hidden", "widths of the encoder's hidden layers, mirrored in the decoder", type=widths, metavar="400,200")
    option("latent", "number of latents", type=count, metavar="Z")
    option("epochs", "passes over the training images", type=count, metavar="N")
    option("batch_size", "examples a step", type=count, metavar="B")
    option("optimizer", "how to follow the gradient", choices=list(OPTIMIZERS))
    option("lr", "step size (default: the optimizer's own)", type=positive, metavar="RATE")
    option("beta", "weight of the KL", type=not_negative, metavar="BETA")
    option("warmup", "epochs over which the KL's weight grows from 0", type=whole, metavar="N")
    option("binarise", "grey pixels to bits (default: dynamic for bernoulli, else none)", choices=list(BINARISE))
    option("seed", "of weights, batches, bits and noise", type=whole, metavar="N")
    option("backend", "array library", choices=list(BACKENDS))
    parser.add_argument(
        "--out", metavar="FOLDER", help="run folder (default runs/<data>-<model>-<latent>, or the next free)"
    )
    parser.add_argument("--resume", action="store_true", help="go on with the run in that folder from its last epoch")


def run(args: argparse.Namespace) -> int:
    """Train, draw, and say what was written."""
    given = {name: getattr(args, name) for name in DEFAULTS if getattr(args, name) is not None}
    out = Path(args.out) if args.out else default_folder({**DEFAULTS, **given}, args.resume)
    options = {**DEFAULTS, **(stored_options(out, given, add_arguments) if args.resume else {}), **given}
    options["binarise"] = options["binarise"] or ("dynamic" if options["likelihood"] == "bernoulli" else "none")
    if out.exists() and not args.resume:
        raise ValueError(f"--out should be a folder that is not there yet, got {out}; choose another, or add --resume")
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out should be a folder, got the file {out}; choose another")

    data = load_data(options["data"], seed=options["seed"])
    rng = np.random.default_rng(options["seed"])
    model = MODELS[options["model"]](
        data.x_train.shape[1],
        options["hidden"],
        options["latent"],
        options["activation"],
        LIKELIHOODS[options["likelihood"]](),
        rng=rng,
        backend=options["backend"],
    )
    optimizer = OPTIMIZERS[options["optimizer"]]()
    optimizer.lr = options["lr"] = options["lr"] or optimizer.lr
    for name, x in (("x_train", data.x_train), ("x_test", data.x_test)):  # before anything is written
        check_pixels(x, name, model.n_x, model.likelihood.support, options["binarise"])

    if not checkpoint_file(out).exists():  # a stopped run keeps its own config until it has gone on
        save_config(out, options)
    print(f"{describe(model)}: {len(data.x_train):,} rows of {data.name} to train on, {len(data.x_test):,} held out")
    began = time.perf_counter()
    try:
        history = fit(
            model,
            data.x_train,
            data.x_test,
            epochs=options["epochs"],
            optimizer=optimizer,
            rng=rng,
            batch_size=options["batch_size"],
            beta=options["beta"],
            warmup=options["warmup"],
            binarise=options["binarise"],
            out=out,
            resume=args.resume,
        )
    except KeyboardInterrupt:
        save_config(out, options)
        kept = (
            "the checkpoint of its last whole epoch is kept"
            if checkpoint_file(out).exists()
            else "before its first epoch ended"
        )
        print(f"\nstopped; {kept}. Go on with: python -m scratchvae train --resume --out {out}")
        raise
    seconds = time.perf_counter() - began
    save_config(out, options)

    from scratchvae.view.plots import write_pictures  # why: matplotlib takes longer to import than all the rest

    pictures = write_pictures(model, data, history, out, np.random.default_rng(options["seed"]), options["binarise"])
    print(f"\ndone in {seconds:.1f} s: held-out images, nats per image, binarise {options['binarise']}")
    print(summary(history))
    print(f"wrote {out}/: {', '.join([CONFIG, 'metrics.csv', checkpoint_file(out).name])}")
    print(f"pictures: {', '.join(picture.name for picture in pictures)}")
    return 0


def describe(model: Model) -> str:
    """One line: vae 784-400-2-400-784, relu, bernoulli."""
    sizes = [model.n_x, *model.n_hidden, model.n_z, *model.n_hidden[::-1], model.n_x]
    return f"{model.kind} {'-'.join(map(str, sizes))}, {'+'.join(model.layers[1:])}, {model.likelihood.name}"


def summary(history: History) -> str:
    """A small table of the held-out columns: the first, the best and the last epoch."""
    columns = [name for name in history if name.startswith("test_")]
    headline = columns[0]
    best = int(np.argmax(history[headline]) if headline == "test_elbo" else np.argmin(history[headline]))
    rows = [("first", 0), ("best", best), ("last", len(history["epoch"]) - 1)]
    lines = ["  epoch      " + "".join(f"{name.removeprefix('test_'):>10}" for name in columns)]
    lines += [
        f"  {name:5} {history['epoch'][i]:5}  " + "".join(f"{history[column][i]:10.2f}" for column in columns)
        for name, i in rows
    ]
    return "\n".join(lines)
