"""check_gradients: every parameter of a whole model."""

from typing import Any

import numpy as np

from scratchvae.backend import Array
from scratchvae.checks.report import Report
from scratchvae.checks.vjp import check_vjp


def check_gradients(
    model: Any, x: Array, eps: Array | None = None, *, beta: float = 1.0, rng: np.random.Generator | None = None
) -> Report:
    """The gradient of sum_b w_b objective_b, for random weights w, against differences, for every parameter.

    model has params, a dict of float64 arrays that are its own (they are moved, and put back);
    objective(x, eps, beta) -> terms, cache with terms.objective (B,);  backward(dobjective, cache) -> grads by name.
    """

    def forward(**params: np.ndarray) -> tuple[Any, Any]:
        before = {name: p.copy() for name, p in model.params.items()}
        for name, p in model.params.items():
            p[...] = params[name]
        terms, cache = model.objective(x, eps, beta)
        for name, p in model.params.items():
            p[...] = before[name]
        return terms.objective, cache

    return check_vjp(forward, model.backward, model.params, rng=rng, title=type(model).__name__)
