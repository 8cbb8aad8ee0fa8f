"""fit: epochs of stochastic gradient ascent on the objective, with everything that a run needs around it.

This file and `evaluation.py` are the only places where examples are averaged. The loss, which appears here alone, is
-objective.mean(); that is why `backward` is called with the weights -1 / B.

Sizes: B batch, D data.
"""

import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from scratchvae.autoencoder import Autoencoder
from scratchvae.backend import get_xp, require_count, require_positive, to_numpy
from scratchvae.batches import batches, binarised, check_pixels, to_unit_floats
from scratchvae.checkpoint import (
    FILE,
    METRICS,
    History,
    append_metrics,
    keep_metrics,
    load_checkpoint,
    restore,
    save_checkpoint,
)
from scratchvae.optim import Optimizer

INTERVAL = 50  # steps between two looks at the losses: a look makes a GPU wait
TEST_SEED = 2014  # held-out images are binarised once, and their noise is the same each epoch: curves without jitter
TEST_BATCH = 500


class NonFiniteObjective(ArithmeticError):
    """The objective became NaN or infinite; the message names the first bad step and the term."""


def fit(
    model: Autoencoder,
    x_train: np.ndarray,
    x_test: np.ndarray,
    *,
    epochs: int = 30,
    optimizer: Optimizer,
    rng: np.random.Generator,
    batch_size: int = 128,
    beta: float = 1.0,
    warmup: int = 0,
    schedule: Callable[[int], float] | None = None,
    binarise: str = "dynamic",
    out: str | Path | None = None,
    resume: bool = False,
    progress: bool = True,
) -> History:
    """Train model in place to maximise the mean of its objective, and return how that went, epoch by epoch.

    Of the model it knows the protocol only: draw_eps, objective, backward, params, start_output_bias.

    x_train, x_test  (N, D), uint8 in 0..255 or floats in the range of the likelihood.
    beta, warmup     the weight of the KL; over the first warmup epochs it grows linearly from 0 to beta.
    schedule         epoch (from 0) -> step size; without it the optimizer's own lr is kept.
    binarise         "dynamic": bits drawn afresh each epoch with the pixels as probabilities (test images: once, from a
                     seed of their own); "threshold": pixel > 1/2; "none": grey, as they are.
    out, resume      a folder for checkpoint.npz and metrics.csv, both brought up to date each epoch. With resume a run
                     that was stopped goes on from its last epoch, and ends as if it had never been stopped.
    progress         a bar for each epoch on standard output, if that is a terminal, then a line.

    Units     nats per example. The history's train_elbo is a mean over an epoch in which the weights moved (the elbo
              itself, whatever beta is); the test columns are taken at the end of the epoch, with one draw of eps.
    Raises    ValueError: an option out of range, data that does not fit; NonFiniteObjective, and the last good
              checkpoint stays.
    """
    if resume and out is None:
        raise ValueError("resume=True needs out, the folder of the stopped run, got None; pass out=...")
    epochs, batch_size = require_count(epochs, "epochs"), require_count(batch_size, "batch_size")
    beta = require_positive(beta, "beta", or_zero=True)
    warmup = 0 if warmup == 0 else require_count(warmup, "warmup")
    for name, x in (("x_train", x_train), ("x_test", x_test)):
        check_pixels(x, name, model.n_x, model.likelihood.support, binarise)
    training = {"batch_size": batch_size, "beta": beta, "warmup": warmup, "binarise": binarise}
    x_test = binarised(x_test, binarise, np.random.default_rng(TEST_SEED))  # (M, D)

    run = None if out is None else Path(out)
    history, done = start_or_resume(model, x_train, optimizer, rng, training, run, resume)
    rates = {e: require_positive(schedule(e), f"schedule({e})") for e in range(done, epochs)} if schedule else {}
    if run is not None:  # from here on things are written
        keep_metrics(run, done)
    steps = math.ceil(len(x_train) / batch_size)
    for epoch in range(done, epochs):
        began = time.perf_counter()
        optimizer.lr = rates.get(epoch, optimizer.lr)
        title = f"epoch {epoch + 1:{len(str(epochs))}}/{epochs}"
        try:
            with np.errstate(all="ignore"):  # why: what overflows is found below, and said once, in plain words
                train = train_epoch(model, x_train, optimizer, rng, training, epoch * steps, title if progress else "")
                test = mean_terms(model, x_test)
        except NonFiniteObjective as error:
            kept = f"; the last good checkpoint is {run / FILE}, of epoch {epoch}" if run and epoch else ""
            where = f"in epoch {epoch + 1} (lr {optimizer.lr:g})"
            raise NonFiniteObjective(f"{error} {where}: lower the step size{kept}") from None
        names = [name for name in ("elbo", "nll", "kl") if name in test]  # a model without a prior has its nll alone
        row = {"epoch": epoch + 1, f"train_{names[0]}": train[names[0]]} | {
            f"test_{name}": test[name] for name in names
        }
        for name, value in row.items():
            history.setdefault(name, []).append(value)
        seconds = time.perf_counter() - began
        if run is not None:  # the row first: resuming drops a row too many, and could not make up for one too few
            append_metrics(run, {**row, "seconds": seconds})
            save_checkpoint(
                run, model, optimizer=optimizer, rng=rng, epoch=epoch + 1, history=history, training=training
            )
        if progress:
            held_out = "  ".join(f"{name} {test[name]:.2f}" for name in names)
            how = f"nats per image, binarise {binarise}  {seconds:.1f} s"
            print(f"{title}  train {names[0]} {train[names[0]]:.2f}  test {held_out}  {how}", flush=True)
    return history


def start_or_resume(
    model: Autoencoder,
    x_train: np.ndarray,
    optimizer: Optimizer,
    rng: np.random.Generator,
    training: dict[str, Any],
    run: Path | None,
    resume: bool,
) -> tuple[History, int]:
    """The history so far and the number of epochs done: what the checkpoint in run says, or nothing and 0."""
    if run is not None and run.exists() and not run.is_dir():
        raise ValueError(f"out should be a folder, got the file {run}; choose another")
    if run is not None and not resume and any((run / name).exists() for name in (FILE, METRICS)):
        raise ValueError(f"out should be a folder without a run in it, got {run}; choose another, or pass resume=True")
    if run is not None and (run / FILE).exists():
        checkpoint = load_checkpoint(run)
        restore(checkpoint, model, optimizer, rng, training)
        return checkpoint.history, checkpoint.epoch
    pixel_mean = x_train.mean(axis=0) / (255 if x_train.dtype == np.uint8 else 1)  # (D,)
    model.start_output_bias(pixel_mean)
    return {}, 0


def train_epoch(
    model: Autoencoder,
    x_train: np.ndarray,
    optimizer: Optimizer,
    rng: np.random.Generator,
    training: dict[str, Any],
    steps_before: int,
    title: str,
) -> dict[str, float]:
    """One pass over the rows, a step a batch; the mean of every term over the examples, as they came by."""
    batch_size, beta, warmup = training["batch_size"], training["beta"], training["warmup"]
    steps = math.ceil(len(x_train) / batch_size)
    xp = get_xp(next(iter(model.params.values())))
    total: Any = 0.0
    pending: list[Any] = []  # the terms of the steps since the last look, still on the backend
    with progress_bar(title, steps) as bar:
        for step, x in enumerate(batches(x_train, batch_size, training["binarise"], rng, model.dtype, xp), start=1):
            weight = min(1.0, (steps_before + step) / (warmup * steps)) if warmup else 1.0
            terms, cache = model.objective(x, model.draw_eps(len(x), rng), beta=beta * weight)
            dobjective = xp.full(len(x), -1 / len(x), dtype=model.dtype)  # (B,)  of the loss, -objective.mean()
            optimizer.step(model.params, model.backward(dobjective, cache))
            pending.append(terms)
            if len(pending) == INTERVAL or step == steps:
                sums = sum_terms(pending)  # (steps since the last look, terms)
                require_finite(sums, terms._fields, steps_before + step - len(pending))
                total = total + sums.sum(axis=0)
                bar.update(len(pending))
                pending = []
    return dict(zip(terms._fields, (total / len(x_train)).tolist(), strict=True))


def mean_terms(model: Autoencoder, x: np.ndarray) -> dict[str, float]:
    """The mean of every term over the rows of x (M, D), with one draw of eps from a seed of its own."""
    rng = np.random.default_rng(TEST_SEED)
    xp = get_xp(next(iter(model.params.values())))
    pending = []
    for start in range(0, len(x), TEST_BATCH):
        rows = to_unit_floats(x[start : start + TEST_BATCH], model.dtype, xp)  # (B, D)
        terms, _ = model.objective(rows, model.draw_eps(len(rows), rng))
        pending.append(terms)
    means = dict(zip(terms._fields, (sum_terms(pending).sum(axis=0) / len(x)).tolist(), strict=True))
    for name, mean in means.items():
        if not math.isfinite(mean):
            raise NonFiniteObjective(f"{name} became {mean} on the held-out images")
    return means


def sum_terms(pending: list[Any]) -> np.ndarray:
    """The sums over examples of the terms of several steps, on the host: (steps, terms). The one look at the losses."""
    xp = get_xp(pending[0].nll)
    return (
        to_numpy(xp.stack([term.sum() for terms in pending for term in terms])).astype(float).reshape(len(pending), -1)
    )


def require_finite(sums: np.ndarray, names: tuple[str, ...], steps_before: int) -> None:
    """Name the first step, counted from 1, and the first term whose sum is NaN or infinite."""
    bad = np.argwhere(~np.isfinite(sums))
    if len(bad):
        step, term = bad[0]
        raise NonFiniteObjective(f"{names[term]} became {sums[step, term]} at step {steps_before + step + 1}")


def progress_bar(title: str, steps: int) -> Any:
    """A bar on standard output; none without a title, and none where standard output is not a terminal."""
    from tqdm import tqdm

    return tqdm(total=steps, desc=title, unit="step", leave=False, file=sys.stdout, disable=None if title else True)
