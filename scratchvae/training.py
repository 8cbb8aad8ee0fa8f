"""fit: epochs of stochastic gradient ascent on an objective, with everything that a run needs around it.

This file and `evaluation.py` are the only places in the core where terms are averaged over examples. The loss, which
appears here alone, is -objective.mean(); that is why `backward` is called with the weights -1 / B.

Sizes: B batch, D data, N rows of a data set, N_test of the held-out one.
"""

import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from scratchvae.arguments import require_count, require_generator
from scratchvae.backend import get_xp, to_numpy
from scratchvae.batches import batches, binarised, check_pixels, fingerprint, rows_in_order
from scratchvae.model import Model
from scratchvae.optim import Optimizer
from scratchvae.recipe import (
    Objective,
    Schedule,
    checked_objective,
    checked_optimizer,
    checked_recipe,
    checked_schedule,
    step_size,
)
from scratchvae.record import Run, open_record
from scratchvae.resume import opened
from scratchvae.run_folder import History, RunFolder, epochs_of

INTERVAL = 50  # steps between two looks at the losses: a look makes a GPU wait
TEST_SEED = 2014  # held-out images are binarised once, and their noise is the same each epoch: curves without jitter
LARGE = 100.0  # data far beyond this are rarely meant to be trained on as they are


class NonFiniteObjective(ArithmeticError):
    """The objective became NaN or infinite; the message names the term, and the first bad step or held-out images."""

    def __init__(self, message: str, step: int | None = None) -> None:
        super().__init__(message)
        self.step = step


def fit(
    model: Model,
    x_train: np.ndarray,
    x_test: np.ndarray,
    *,
    epochs: int = 30,
    optimizer: Optimizer,
    rng: np.random.Generator,
    batch_size: int = 128,
    beta: float = 1.0,
    warmup: int = 0,
    schedule: Schedule | None = None,
    binarise: str = "dynamic",
    out: str | Path | RunFolder | None = None,
    resume: bool = False,
    progress: bool = True,
    objective: Objective | None = None,
    config: dict[str, Any] | None = None,
) -> History:
    """Train model in place to maximise the mean of its objective, and return how that went, epoch by epoch.

    x_train, x_test  (N, D), (N_test, D), uint8 in 0..255 or floats in the range of the likelihood.
    objective        what is maximised: the model's own, or an `Objective` over it, as ImportanceWeighted(vae, K=5).
    beta, warmup     the weight of the KL; over the first warmup epochs it grows linearly from 0 to beta.
    schedule         [(epoch, lr), ...], epochs counted from 0: from that epoch on that step size; or a function of the
                     epoch, which no checkpoint can hold. Without it the optimizer's own lr is kept.
    binarise         "dynamic": bits drawn afresh each epoch with the pixels as probabilities (test images: once, from a
                     seed of their own); "threshold": pixel > 1/2; "none": grey, as they are.
    out, resume      a folder for config.json, checkpoint.npz and metrics.csv, brought up to date each epoch. With
                     resume the run in it goes on from its last epoch, with the step size that it had, and ends as if
                     it had never been stopped.
    progress         a bar for each epoch on standard output, if that is a terminal, then a line.
    config           what config.json says of the run in place of model and training; the checkpoint keeps all three.

    Units     nats per example. The history's train_elbo is a mean over an epoch in which the weights moved (the elbo
              itself, whatever beta is); the test columns are taken at the end of the epoch, with one draw of eps. An
              objective that is not the model's adds the columns train_objective and test_objective (with beta 1).
    Raises    ValueError: an option out of range, data that does not fit; NonFiniteObjective, and the last good
              checkpoint stays.
    """
    epochs, recipe = require_count(epochs, "epochs"), checked_recipe(batch_size, beta, warmup, binarise)
    rng, schedule = require_generator(rng), checked_schedule(schedule, epochs)
    for name, x in (("x_train", x_train), ("x_test", x_test)):
        check_pixels(x, name, model.n_x, model.likelihood.support, binarise)
    optimizer, objective = checked_optimizer(optimizer), checked_objective(objective, model, x_train, recipe)
    held_out = binarised(x_test, binarise, np.random.default_rng(TEST_SEED))  # (N_test, D)
    with opened(out, resume) as folder:
        run = Run(model, objective, optimizer, rng, recipe, folder, fingerprint(x_train, x_test) if folder else "")
        record = open_record(run, x_train, schedule, config, resume)
        done = epochs_of(record.history)
        record.begin()
        if progress and done < epochs:
            print(f"nats per example, binarise {binarise}{going_on(resume, done)}")
        for epoch in range(done, epochs):
            began, title = time.perf_counter(), f"epoch {epoch + 1:{len(str(epochs))}}/{epochs}"
            optimizer.lr = step_size(record.schedule, epoch, optimizer.lr)
            row = one_epoch(run, x_train, held_out, epoch, title if progress else "")
            record.add(row, time.perf_counter() - began)
            if progress:
                print(f"{title}  {in_words(row)}  {record.seconds[-1]:.1f} s", flush=True)
    return record.history


# ---------------------------------------------------------------------------------------------------------------------
# An epoch


def one_epoch(run: Run, x_train: np.ndarray, held_out: np.ndarray, epoch: int, title: str) -> dict[str, float]:
    """Train for one epoch, look at the held-out rows, and return the row of the history.

    Raises    NonFiniteObjective: with the term, the step or the held-out images, and what may help.
    """
    own = run.objective is run.model
    try:
        with np.errstate(all="ignore"):  # why: what overflows is found below, and said once, in plain words
            train = train_epoch(run, x_train, epoch, title)
            test = mean_terms(run.model, run.model, held_out)
            bound = {} if own else {"test_objective": mean_terms(run.objective, run.model, held_out)["objective"]}
    except NonFiniteObjective as error:
        kept = f"; the checkpoint of epoch {epoch} is kept in {run.folder.path}" if run.folder and epoch else ""
        raise NonFiniteObjective(f"{error} in epoch {epoch + 1}: {advice(run, x_train, error.step)}{kept}") from None
    names = [name for name in ("elbo", "nll", "kl") if name in test]  # a model without a prior has its nll alone
    row: dict[str, float] = {"epoch": epoch + 1}
    if names[0] in train:  # another objective may have no elbo
        row[f"train_{names[0]}"] = train[names[0]]
    row |= {f"test_{name}": test[name] for name in names}
    return row if own else row | {"train_objective": train["objective"], **bound}


def train_epoch(run: Run, x_train: np.ndarray, epoch: int, title: str) -> dict[str, float]:
    """One pass over the rows, a step a batch; the mean of every term over the examples, as they came by."""
    model, objective, optimizer, rng, recipe, *_ = run
    steps = math.ceil(len(x_train) / recipe.batch_size)
    total: Any = 0.0
    pending: list[Any] = []  # the terms of the steps since the last look, still on the backend
    rows = batches(x_train, recipe.batch_size, recipe.binarise, rng, model.dtype, model.xp)
    with progress_bar(title, steps) as bar:
        for step, x in enumerate(rows, start=1):
            beta = recipe.weight(epoch + step / steps)
            terms, cache = objective.objective(x, objective.draw_eps(len(x), rng), beta=beta)
            dobjective = model.xp.full(len(x), -1 / len(x), dtype=model.dtype)  # (B,)  of the loss, -objective.mean()
            optimizer.step(model.params, objective.backward(dobjective, cache))
            pending.append(terms)
            if len(pending) == INTERVAL or step == steps:
                sums = sum_terms(pending)  # (steps since the last look, terms)
                require_finite(sums, terms._fields, epoch * steps + step - len(pending))
                total = total + sums.sum(axis=0)
                bar.update(len(pending))
                pending = []
    return dict(zip(terms._fields, (total / len(x_train)).tolist(), strict=True))


def mean_terms(objective: Any, model: Model, x: np.ndarray) -> dict[str, float]:
    """The mean of every term over the rows of x (N, D), with one draw of eps from a seed of its own."""
    rng = np.random.default_rng(TEST_SEED)
    pending = []
    for rows in rows_in_order(x, model.dtype, model.xp):  # (B, D)
        terms, _ = objective.objective(rows, objective.draw_eps(len(rows), rng), beta=1.0)
        pending.append(terms)
    means = dict(zip(terms._fields, (sum_terms(pending).sum(axis=0) / len(x)).tolist(), strict=True))
    for name, mean in means.items():
        if not math.isfinite(mean):
            raise NonFiniteObjective(f"{name} became {mean} on the held-out images")
    return means


def sum_terms(pending: list[Any]) -> np.ndarray:
    """The sums over examples of the terms of several steps, on the host: (steps, terms). The one look at the losses."""
    xp = get_xp(pending[0].nll)
    sums = xp.stack([term.sum() for terms in pending for term in terms])
    return to_numpy(sums).astype(float).reshape(len(pending), -1)


def require_finite(sums: np.ndarray, names: tuple[str, ...], steps_before: int) -> None:
    """Name the first step, counted from 1, and the first term whose sum is NaN or infinite."""
    bad = np.argwhere(~np.isfinite(sums))
    if len(bad):
        step, term = bad[0]
        number = int(steps_before + step + 1)
        raise NonFiniteObjective(f"{names[term]} became {sums[step, term]} at step {number}", number)


def advice(run: Run, x_train: np.ndarray, step: int | None) -> str:
    """What may help against a NaN. At the first step nothing was learned yet, and no step size can be at fault."""
    low, high = (float(end) / (255 if x_train.dtype == np.uint8 else 1) for end in (x_train.min(), x_train.max()))
    if max(-low, high) > LARGE:
        return f"the data go from {low:.3g} to {high:.3g}: scale them first, to about unit variance a column"
    if step == 1:
        return (
            "no step was taken yet, so it is the model that it starts from, "
            f"or data, from {low:.3g} to {high:.3g}, at which the likelihood is infinite"
        )
    return f"lower the step size, which is {run.optimizer.lr:g}"


# ---------------------------------------------------------------------------------------------------------------------
# In words


def going_on(resume: bool, done: int) -> str:
    """How a run goes on that was stopped; nothing for a new one."""
    if not resume:
        return ""
    return f"; going on after epoch {done}" if done else "; it was stopped before its first checkpoint, and starts over"


def in_words(row: dict[str, float]) -> str:
    """An epoch's numbers for the terminal: train elbo -163.12  test elbo -161.30  nll 155.02  kl 6.28."""
    words = []
    for part in ("train", "test"):
        shown = {name: value for name, value in row.items() if name.startswith(part)}
        numbers = [f"{name.removeprefix(part + '_')} {value:.2f}" for name, value in shown.items()]
        words.append(f"{part} {'  '.join(numbers)}")
    return "  ".join(words)


def progress_bar(title: str, steps: int) -> Any:
    """A bar on standard output; none without a title, and none where standard output is not a terminal."""
    from tqdm import tqdm

    return tqdm(total=steps, desc=title, unit="step", leave=False, file=sys.stdout, disable=None if title else True)
