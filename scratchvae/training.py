"""fit: epochs of stochastic gradient ascent on an objective, with everything that a run needs around it.

This file and `evaluation.py` are the only places where examples are averaged. The loss, which appears here alone, is
-objective.mean(); that is why `backward` is called with the weights -1 / B.

Sizes: B batch, D data, N rows of a data set, N_test of the held-out one.
"""

import math
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from scratchvae import __version__
from scratchvae.arguments import require_count, require_generator, require_positive
from scratchvae.backend import Array, Cache, get_xp, to_numpy
from scratchvae.batches import batches, binarised, check_pixels, fingerprint, to_unit_floats
from scratchvae.checkpoint import packed, save_checkpoint
from scratchvae.manifest import A_FUNCTION, as_plain
from scratchvae.model import Model
from scratchvae.optim import Optimizer
from scratchvae.resume import opened, restore, stopped_run
from scratchvae.run_folder import History, RunFolder, epochs_of

INTERVAL = 50  # steps between two looks at the losses: a look makes a GPU wait
TEST_SEED = 2014  # held-out images are binarised once, and their noise is the same each epoch: curves without jitter
TEST_BATCH = 500
LARGE = 100.0  # data far beyond this are rarely meant to be trained on as they are

Schedule = Sequence[tuple[int, float]] | Callable[[int], float]


class Objective(Protocol):
    """What `fit` maximises. A model is its own; `iwae.ImportanceWeighted` is another one.

    draw_eps   None, or the noise of B examples: an array that has B as its last axis but one.
    objective  terms, a NamedTuple of (B,), with nll and objective at least; and what the backward needs.
    backward   the gradient of sum_b dobjective_b objective_b, by the names of the model's parameters.

    Where it is not the model itself it says which one it trains, as `model`, and in `config` what makes it another
    objective, in words and numbers that JSON can hold: both stand in the checkpoint.
    """

    def draw_eps(self, B: int, rng: np.random.Generator) -> Array | None: ...
    def objective(self, x: Array, eps: Any, beta: float = 1.0) -> tuple[Any, Cache]: ...
    def backward(self, dobjective: Array, cache: Any) -> dict[str, Array]: ...


class NonFiniteObjective(ArithmeticError):
    """The objective became NaN or infinite; the message names the first bad step, counted from 1, and the term."""

    def __init__(self, message: str, step: int | None = None) -> None:
        super().__init__(message)
        self.step = step


class Recipe(NamedTuple):
    """How an epoch is trained. A run that goes on goes on with the same."""

    batch_size: int
    beta: float
    warmup: int
    binarise: str

    def weight(self, epochs: float) -> float:
        """The weight of the KL after so many epochs, a fraction of one included."""
        return self.beta * min(1.0, epochs / self.warmup) if self.warmup else self.beta


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
    config           what else config.json and the checkpoint are to say of the run.

    Units     nats per example. The history's train_elbo is a mean over an epoch in which the weights moved (the elbo
              itself, whatever beta is); the test columns are taken at the end of the epoch, with one draw of eps. An
              objective that is not the model's adds the columns train_objective and test_objective.
    Raises    ValueError: an option out of range, data that does not fit; NonFiniteObjective, and the last good
              checkpoint stays.
    """
    epochs, recipe = require_count(epochs, "epochs"), checked_recipe(batch_size, beta, warmup, binarise)
    rng, schedule = require_generator(rng), checked_schedule(schedule)
    for name, x in (("x_train", x_train), ("x_test", x_test)):
        check_pixels(x, name, model.n_x, model.likelihood.support, binarise)
    objective = checked_objective(objective, model, x_train, recipe)
    held_out = binarised(x_test, binarise, np.random.default_rng(TEST_SEED))  # (N_test, D)
    with opened(out, resume) as folder:
        run = Run(model, objective, optimizer, rng, recipe, folder, fingerprint(x_train, x_test) if folder else "")
        record = start(run, x_train, schedule, config, resume)
        done, rates = epochs_of(record.history), step_sizes(record, epochs)
        record.begin()
        if progress and done < epochs:
            print(f"nats per example, binarise {binarise}{going_on(resume, done)}")
        for epoch in range(done, epochs):
            began, title = time.perf_counter(), f"epoch {epoch + 1:{len(str(epochs))}}/{epochs}"
            optimizer.lr = rates.get(epoch, optimizer.lr)
            row = one_epoch(run, x_train, held_out, epoch, title if progress else "")
            record.add(row, time.perf_counter() - began)
            if progress:
                print(f"{title}  {in_words(row)}  {record.seconds[-1]:.1f} s", flush=True)
    return record.history


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
        """All but the model that makes it this run and no other, in words and numbers; a resumed run has the same."""
        own, name = self.objective is self.model, type(self.objective).__name__
        objective = None if own else as_plain(getattr(self.objective, "config", {"name": name}), "objective.config")
        return {**self.recipe._asdict(), "objective": objective, "data": self.data}


# ---------------------------------------------------------------------------------------------------------------------
# Before the first epoch


def checked_recipe(batch_size: int, beta: float, warmup: int, binarise: str) -> Recipe:
    """The options of an epoch, each a plain Python number; a ValueError names the one that is out of range."""
    batch_size, beta = require_count(batch_size, "batch_size"), require_positive(beta, "beta", or_zero=True)
    return Recipe(batch_size, beta, 0 if warmup == 0 else require_count(warmup, "warmup"), binarise)


def checked_objective(objective: Any, model: Model, x_train: np.ndarray, recipe: Recipe) -> Any:
    """The objective, after one pass over two rows: is it one over this model, and does it take beta? None: the model.

    Raises    ValueError, in one line.
    """
    objective = model if objective is None else objective
    lacks = [name for name in ("draw_eps", "objective", "backward") if not hasattr(objective, name)]
    if lacks:
        raise ValueError(f"objective should have draw_eps, objective and backward, got one without {', '.join(lacks)}")
    if getattr(objective, "model", model) is not model:
        raise ValueError("objective should be one over the model that is trained, got one over another model")
    x = to_unit_floats(x_train[[0, -1]], model.dtype, model.xp)  # (2, D)
    eps, beta = objective.draw_eps(2, np.random.default_rng(0)), recipe.weight(0.0)
    try:
        with np.errstate(all="ignore"):
            terms, _ = objective.objective(x, eps, beta=beta)
    except ValueError as error:
        warm = f"; warmup {recipe.warmup} begins with beta 0" if recipe.warmup and "beta" in str(error) else ""
        raise ValueError(f"{error}{warm}") from None
    got = {name: getattr(getattr(terms, name, None), "shape", "none") for name in ("nll", "objective")}
    if not hasattr(terms, "_fields") or set(got.values()) != {(2,)}:
        raise ValueError(
            "terms should be a NamedTuple with nll and objective, a number an example, of shape (2,) for two; "
            f"got {type(terms).__name__} with nll {got['nll']}, objective {got['objective']}"
        )
    return objective


def checked_schedule(schedule: Schedule | None) -> Schedule | None:
    """Pairs of plain numbers in the order of their epochs, or the function itself.

    Raises    ValueError: other things than pairs, an epoch below 0, a step size that is not positive and finite.
    """
    if schedule is None or callable(schedule):
        return schedule
    try:
        pairs = [(epoch, lr) for epoch, lr in schedule]
    except (TypeError, ValueError):
        raise ValueError(
            f"schedule should be pairs [(epoch, lr), ...] or a function of the epoch, got {schedule!r}"
        ) from None
    plain = [(as_epoch(epoch), require_positive(lr, "an lr of the schedule")) for epoch, lr in pairs]
    return sorted(plain, key=lambda pair: pair[0])


def as_epoch(value: Any) -> int:
    return 0 if value == 0 else require_count(value, "an epoch of the schedule")


def start(
    run: Run, x_train: np.ndarray, schedule: Schedule | None, config: dict[str, Any] | None, resume: bool
) -> "Record":
    """Everything where the stopped run left it, and its record; or the output bias at the mean image, and a new one."""
    stopped = stopped_run(run.folder) if resume else None
    if stopped is None:
        pixel_mean = x_train.mean(axis=0) / (255 if x_train.dtype == np.uint8 else 1)  # (D,)
        run.model.start_output_bias(pixel_mean)
        return Record(run, {}, schedule, as_plain(config, "config"))
    schedule = stopped.schedule if schedule is None else schedule
    restore(stopped, run.model, run.optimizer, run.rng, run.training)
    return Record(run, stopped.history, schedule, as_plain(config, "config") or stopped.config["run"])


def step_sizes(record: "Record", epochs: int) -> dict[int, float]:
    """The step size of every epoch that is to come and has one: of pairs, the last that has begun."""
    schedule, to_come = record.schedule or [], range(epochs_of(record.history), epochs)
    if callable(schedule):
        return {epoch: require_positive(schedule(epoch), f"schedule({epoch})") for epoch in to_come}
    begun = {epoch: [lr for start, lr in schedule if start <= epoch] for epoch in to_come}
    return {epoch: rates[-1] for epoch, rates in begun.items() if rates}


# ---------------------------------------------------------------------------------------------------------------------
# An epoch


def one_epoch(run: Run, x_train: np.ndarray, held_out: np.ndarray, epoch: int, title: str) -> dict[str, float]:
    """Train for one epoch, look at the held-out rows, and return the row of the history.

    Raises    NonFiniteObjective: with the step, the term, and what may help.
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
    row |= {f"train_{name}": train[name] for name in names[:1] if name in train}
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
    for start in range(0, len(x), TEST_BATCH):
        rows = to_unit_floats(x[start : start + TEST_BATCH], model.dtype, model.xp)  # (B, D)
        terms, _ = objective.objective(rows, objective.draw_eps(len(rows), rng))
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
    largest = 1.0 if x_train.dtype == np.uint8 else float(np.abs(x_train).max())
    if largest > LARGE or step == 1:
        return f"the data reach {largest:.3g}: scale them first, to a standard deviation of about 1 a column"
    return f"lower the step size, which is {run.optimizer.lr:g}"


# ---------------------------------------------------------------------------------------------------------------------
# After an epoch


class Record:
    """How a run went so far, and the files that tell it, if there is a run folder."""

    def __init__(self, run: Run, history: History, schedule: Schedule | None, config: dict[str, Any] | None) -> None:
        self.run, self.history, self.schedule, self.config = run, history, schedule, config
        self.seconds = [] if run.folder is None else run.folder.seconds(history)

    @property
    def kept(self) -> dict[str, Any]:
        """What a checkpoint holds beside the model and the history."""
        training = {**self.run.training, "schedule": A_FUNCTION if callable(self.schedule) else self.schedule}
        return {"optimizer": self.run.optimizer, "rng": self.run.rng, "training": training, "run": self.config}

    def begin(self) -> None:
        """Write what is known before the first epoch.

        Raises    ValueError: a run that no checkpoint could hold, and nothing is written.
        """
        if self.run.folder is not None:
            packed(self.run.model, **self.kept)
            described = self.config or {"model": self.run.model.config, "training": self.run.training}
            self.run.folder.write_config({"scratchvae": __version__, **described})
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
