"""What `fit` is asked to do, looked over before anything is written: the objective, an epoch's recipe, the step sizes.

Sizes: B batch, D data.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from scratchvae.arguments import require_count, require_positive
from scratchvae.backend import Array, Cache
from scratchvae.batches import to_unit_floats
from scratchvae.model import Model
from scratchvae.optim import Optimizer

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


class Recipe(NamedTuple):
    """How an epoch is trained. A run that goes on goes on with the same."""

    batch_size: int
    beta: float
    warmup: int
    binarise: str

    def weight(self, epochs: float) -> float:
        """The weight of the KL after so many epochs, a fraction of one included."""
        return self.beta * min(1.0, epochs / self.warmup) if self.warmup else self.beta


def checked_recipe(batch_size: int, beta: float, warmup: int, binarise: str) -> Recipe:
    """The options of an epoch as plain Python numbers; a ValueError names one out of range, but for binarise."""
    batch_size, beta = require_count(batch_size, "batch_size"), require_positive(beta, "beta", or_zero=True)
    return Recipe(batch_size, beta, require_count(warmup, "warmup", least=0), binarise)


def checked_optimizer(optimizer: Any) -> Optimizer:
    if isinstance(optimizer, type) or not hasattr(optimizer, "step"):
        raise ValueError(f"optimizer should be an object such as Adam(lr=1e-3), got {optimizer!r}")
    return optimizer


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
    except Exception as error:  # why: it is the reader's code, and may raise anything
        called = "objective.objective(x, eps, beta=...) should return terms and a cache"
        raise ValueError(f"{called}, and ended in {type(error).__name__}: {error}") from error
    got = {name: getattr(getattr(terms, name, None), "shape", "none") for name in ("nll", "objective")}
    if not hasattr(terms, "_fields") or set(got.values()) != {(2,)}:
        raise ValueError(
            "terms should be a NamedTuple with nll and objective, a number an example, of shape (2,) for two; "
            f"got {type(terms).__name__} with nll {got['nll']}, objective {got['objective']}"
        )
    return objective


def checked_schedule(schedule: Schedule | None, epochs: int) -> Schedule | None:
    """Pairs of plain numbers in the order of their epochs, or the function itself, tried on every epoch.

    Raises    ValueError: other things than pairs, an epoch below 0, a step size that is not positive and finite.
    """
    if callable(schedule):
        for epoch in range(epochs):
            require_positive(schedule(epoch), f"schedule({epoch})")
    if schedule is None or callable(schedule):
        return schedule
    try:
        pairs = [(epoch, lr) for epoch, lr in schedule]
    except (TypeError, ValueError):
        raise ValueError(
            f"schedule should be pairs [(epoch, lr), ...] or a function of the epoch, got {schedule!r}"
        ) from None
    starts = [require_count(epoch, "an epoch of the schedule", least=0) for epoch, _ in pairs]
    rates = [require_positive(lr, "an lr of the schedule") for _, lr in pairs]
    return sorted(zip(starts, rates, strict=True), key=lambda pair: pair[0])


def step_size(schedule: Schedule | None, epoch: int, lr: float) -> float:
    """That of an epoch: of pairs, the last that has begun; lr where the schedule says nothing of it."""
    if callable(schedule):
        return float(schedule(epoch))
    return [lr, *(rate for start, rate in schedule or [] if start <= epoch)][-1]
