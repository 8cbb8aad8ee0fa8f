"""train: from data to a run folder with config.json, metrics.csv, checkpoint.npz and pictures."""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from scratchvae.backend import BACKENDS
from scratchvae.batches import BINARISE
from scratchvae.checkpoint import MODELS, Checkpoint, load_checkpoint
from scratchvae.commands.job import Job, describe, prepare
from scratchvae.commands.options import (
    blas_threads,
    command_line,
    count,
    not_negative,
    positive,
    whole,
    widths,
)
from scratchvae.commands.runs import (
    checked_options,
    claimed,
    config_differs,
    read_config,
    require_free,
    require_the_same,
    stopped_folder,
)
from scratchvae.commands.saved import find_data, require_same_data, train_options
from scratchvae.layers import ACTIVATIONS
from scratchvae.likelihoods import LIKELIHOODS
from scratchvae.npz import brief
from scratchvae.optim import OPTIMIZERS
from scratchvae.run_folder import CHECKPOINT, CONFIG, METRICS, History, RunFolder
from scratchvae.training import fit

HELP = "train a model and write a run folder: config, metrics, checkpoint and pictures"
EXAMPLE = """examples:
  python -m scratchvae train
  python -m scratchvae train --latent 20 --hidden 400,200 --epochs 50 --out runs/twenty
  python -m scratchvae train --resume --out runs/twenty --epochs 80
  python -m scratchvae train --samples 5 --latent 50
  python -m scratchvae train --layers dense,layer-norm,relu --hidden 400,200
  python -m scratchvae train --data my.npz --likelihood gaussian --sigma 0.5"""

DEFAULTS: dict[str, Any] = {
    "data": "mnist-sample",
    "model": "vae",
    "likelihood": "bernoulli",
    "sigma": None,  # the likelihood's own
    "activation": "relu",
    "layers": None,  # dense and the activation
    "hidden": [400],
    "latent": 2,
    "epochs": 30,
    "batch_size": 128,
    "optimizer": "adam",
    "lr": None,  # the optimizer's own
    "beta": 1.0,
    "warmup": 0,
    "samples": 1,
    "binarise": None,  # the likelihood's own
    "seed": 0,
    "threads": 1,
    "backend": "numpy",
}


def layer_names(text: str) -> list[str]:
    """ "dense,relu" to ["dense", "relu"]; the model says which names there are."""
    return text.split(",")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options, without defaults: on resuming, what is not given comes from the run."""

    def option(name: str, text: str, **how: Any) -> None:
        default = DEFAULTS[name]
        shown = ",".join(map(str, default)) if isinstance(default, list) else default
        parser.add_argument(
            f"--{name.replace('_', '-')}", help=text if default is None else f"{text} (default {shown})", **how
        )

    option("data", "mnist-sample, mnist, fashion-mnist, or a path: .npz, .npy, IDX folder", metavar="NAME")
    option("model", "what to train", choices=list(MODELS))
    option("likelihood", "p(x|z), and so the loss", choices=list(LIKELIHOODS))
    option("sigma", "standard deviation of the gaussian likelihood; uint8 is pixel / 255 (default 1)", type=positive)
    option("activation", "of the hidden layers", choices=list(ACTIVATIONS))
    option("layers", "of what a hidden layer is made, instead of --activation", type=layer_names, metavar="dense,relu")
    option("hidden", "widths of the encoder's hidden layers, mirrored in the decoder", type=widths, metavar="400,200")
    option("latent", "number of latents", type=count, metavar="Z")
    option("epochs", "passes over the training images", type=count, metavar="N")
    option("batch_size", "examples a step", type=count, metavar="B")
    option("optimizer", "how to follow the gradient", choices=list(OPTIMIZERS))
    option("lr", "step size (default: the optimizer's own)", type=positive, metavar="RATE")
    option("beta", "weight of the KL", type=not_negative, metavar="BETA")
    option("warmup", "epochs over which the KL's weight grows from 0", type=whole, metavar="N")
    option("samples", "K draws an example: above 1 trains the importance-weighted bound", type=count, metavar="K")
    option(
        "binarise",
        "grey pixels to bits (default: the likelihood's own, as dynamic for bernoulli)",
        choices=list(BINARISE),
    )
    option("seed", "of weights, batches, bits and noise", type=whole, metavar="N")
    option("threads", "BLAS threads for the matrix products", type=count, metavar="N")
    option("backend", "array library", choices=list(BACKENDS))
    parser.add_argument(
        "--out", metavar="FOLDER", help="run folder (default runs/<data>-<model>-<latent>, or the next free)"
    )
    parser.add_argument("--resume", action="store_true", help="go on with the run in that folder from its last epoch")


def run(args: argparse.Namespace) -> int:
    """Train, draw, and say what was written: a new run, or one that was stopped."""
    given = {name: getattr(args, name) for name in DEFAULTS if getattr(args, name) is not None}
    if "activation" in given and "layers" in given:
        raise ValueError("--layers names the activation too, got --activation beside it; leave one of them out")
    if args.resume:
        with RunFolder(stopped_folder(args.out, {**DEFAULTS, **given})) as folder:
            return go_on(folder, given)
    if args.out is not None:
        require_free(Path(args.out))
    options = {**DEFAULTS, **given} | ({"activation": None} if "layers" in given else {})
    with blas_threads(options["threads"]):
        job = prepare(options)
        with claimed(args.out, options) as folder:
            return carry_out(job, folder)


def go_on(folder: RunFolder, given: dict[str, Any]) -> int:
    """Go on with the run in a folder. Its checkpoint says how; config.json only if there is no checkpoint yet."""
    checkpoint, file = None, folder.path / CONFIG
    if (folder.path / CHECKPOINT).exists():
        checkpoint, file = load_checkpoint(folder.path), folder.path / CHECKPOINT
    stored = read_config(folder.path) if checkpoint is None else train_options(checkpoint, folder.path)
    if stored is None:
        raise ValueError(f"--resume needs the {CONFIG} or the {CHECKPOINT} of a run, and {folder.path} has neither")
    options = {**DEFAULTS, **checked_options(stored, file, add_arguments)}
    require_the_same(given, options)
    if "data" in given:
        options.pop("data_path", None)
    options |= given
    if checkpoint is not None and options["epochs"] < checkpoint.epoch:
        done, asked = checkpoint.epoch, options["epochs"]
        raise ValueError(f"--epochs should be at least {done}, which are done in {folder.path}, got {asked}")
    with blas_threads(options["threads"]):
        job = prepare(options)
        if checkpoint is not None:
            require_same_data(checkpoint, job.data, find_data(job.options))
        differs = "" if checkpoint is None else config_differs(folder.path, stored)
        if differs:
            print(f"{folder.path / CONFIG} {differs}: the checkpoint counts, and it is written anew")
        return carry_out(job, folder, checkpoint)


# -- the run -----------------------------------------------------------------------------------------------------------


def carry_out(job: Job, folder: RunFolder, checkpoint: Checkpoint | None = None) -> int:
    """Train to the last epoch, say how it went, draw."""
    options, done = job.options, 0 if checkpoint is None else checkpoint.epoch
    schedule = None
    if checkpoint is not None and checkpoint.optimizer is not None and options["lr"] != checkpoint.optimizer.lr:
        schedule = [*(checkpoint.schedule or []), (done, options["lr"])]
    resume = folder.holds_a_run()
    for line in introduction(job, done):
        print(line, flush=True)
    began = time.perf_counter()
    try:
        history = fit(
            job.model,
            job.data.x_train,
            job.data.x_test,
            epochs=options["epochs"],
            optimizer=job.optimizer,
            rng=job.rng,
            batch_size=options["batch_size"],
            beta=options["beta"],
            warmup=options["warmup"],
            schedule=schedule,
            binarise=options["binarise"],
            out=folder,
            resume=resume,
            objective=job.objective,
            config=options,
        )
    except KeyboardInterrupt:
        print(f"\n{how_to_go_on(folder)}")
        raise
    took = f"done in {time.perf_counter() - began:.1f} s: " if done < options["epochs"] else ""
    print(f"\n{took}held-out rows, nats per example, binarise {options['binarise']}\n{summary(history)}")
    print(f"wrote {folder.path}/: {', '.join([CONFIG, METRICS, CHECKPOINT])}", flush=True)
    return draw(job, folder, history)


def introduction(job: Job, done: int) -> list[str]:
    """What holds for all epochs, said once before the first."""
    options, data = job.options, job.data
    what = (
        f"{describe(job.model)}: {len(data.x_train):,} rows of {data.name} to train on, {len(data.x_test):,} held out"
    )
    how = [f"{options['optimizer']}, lr {options['lr']:g}, {options['batch_size']} rows a step, seed {options['seed']}"]
    how += [f"beta {options['beta']:g}"] if options["beta"] != 1 else []
    how += [f"warm-up over {options['warmup']} epochs"] if options["warmup"] else []
    how += [f"importance-weighted bound of {options['samples']} draws"] if options["samples"] > 1 else []
    how += [f"{options['threads']} BLAS threads"] if options["threads"] > 1 else []
    lines = [what, ", ".join(how)]
    if options["binarise"] != "none" and job.model.likelihood.binarise == "none":
        name = job.model.likelihood.name
        lines.append(
            f"note: {name} is a density, and these are bits: its nats compare with runs of the same kind alone"
        )
    if done == options["epochs"]:
        lines.append(f"epochs done: {done} of {done}; nothing is left to train, --epochs asks for more")
    return lines


def how_to_go_on(folder: RunFolder) -> str:
    """What Ctrl-C has left, and the line that goes on with it."""
    if not folder.holds_a_run():
        return "stopped before anything was written"
    kept = "the checkpoint of its last whole epoch is kept"
    kept = kept if (folder.path / CHECKPOINT).exists() else "before its first epoch ended"
    return f"stopped; {kept}. Go on with: {command_line('train', '--resume', '--out', folder.path)}"


def draw(job: Job, folder: RunFolder, history: History) -> int:
    """The pictures. The run is whole by now, and without them it still is."""
    again = f"the run itself is complete; draw them with: {command_line('plot', folder.path)}"
    rng = np.random.default_rng(job.options["seed"])
    try:
        from scratchvae.view.plots import write_pictures  # why: matplotlib takes longer to import than all the rest

        pictures = write_pictures(job.model, job.data, history, folder.path, rng, job.options["binarise"])
    except KeyboardInterrupt:
        print(f"\nstopped before its pictures were drawn; {again}")
        raise
    except Exception as error:  # why: fonts, an odd name, a full disk: whatever it is, it is not the run that failed
        details = brief(error) or "no details"
        print(f"scratchvae train: no pictures ({type(error).__name__}: {details}); {again}", file=sys.stderr)
        return 1
    print(f"pictures: {', '.join(picture.name for picture in pictures)}")
    return 0


# -- in words ----------------------------------------------------------------------------------------------------------


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
