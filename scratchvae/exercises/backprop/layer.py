"""A layer: the three gradients of a dense one.

Sizes: B batch, I inputs and as many outputs, so that the shapes of a wrong transpose fit.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from scratchvae.exercises.blank import Slip, value
from scratchvae.exercises.steps import slope

B, I = 5, 4  # noqa: E741  the names of the formulas


def dense_gradients(dy, x, W):
    """dx, dW and db of y = x W + b: dy (B, O), x (B, I), W (I, O) -> (B, I), (I, O), (O,)."""
    dx = dy @ W.T
    dW = x.T @ dy
    db = dy.sum(axis=0)
    return dx, dW, db


def dense_by_steps(dy: np.ndarray, x: np.ndarray, W: np.ndarray) -> dict[str, np.ndarray]:
    """The slopes of J = sum_bo dy_bo y_bo, entry by entry; where b is does not matter."""

    def J(x: Any, W: Any, b: Any) -> Any:
        return (dy * (x @ W + b)).sum()

    b = np.zeros(dy.shape[1])
    return {
        "dx": slope(lambda at: J(at, W, b), x),
        "dW": slope(lambda at: J(x, at, b), W),
        "db": slope(lambda at: J(x, W, at), b),
    }


def with_another(name: str, wrong: Callable[[Any, Any, Any], Any]) -> Callable[[Any, Any, Any], Any]:
    """The solution but for one of its three."""

    def answer(dy: Any, x: Any, W: Any) -> Any:
        right = dict(zip(("dx", "dW", "db"), dense_gradients(dy, x, W), strict=True))
        return tuple((right | {name: wrong(dy, x, W)}).values())

    return answer


DENSE = value(
    dense_gradients,
    dense_by_steps,
    lambda rng: (rng.standard_normal((B, I)), rng.standard_normal((B, I)), rng.standard_normal((I, I))),
    (
        "A matrix product sums over the last index of its left factor and the first of its right one. Over which index "
        "does each of the three sums run, and where does it stand in the two factors?",
        "dx_ni = sum_o dy_no (W^T)_oi, dW_io = sum_n (x^T)_in dy_no, db_o = sum_n dy_no",
        "dx = dy @ ..., dW = ... @ dy, db = dy.sum(axis=...)",
    ),
    (
        Slip(
            with_another("dx", lambda dy, x, W: dy @ W),
            "transpose",
            "dx: the sum should run over the outputs o, which is the last index of W, and here it runs over the first",
        ),
        Slip(
            with_another("dx", lambda dy, x, W: dy @ np.linalg.inv(W)),
            "transpose",
            "dx: an inverse undoes the layer; wanted is by how much J moves, which is a sum of dy times W",
        ),
        Slip(
            with_another("dx", lambda dy, x, W: np.ones_like(dy) @ W.T),
            "elementwise-factor",
            "dx does not know dy: each output counts with what J makes of it",
        ),
        Slip(
            with_another("dW", lambda dy, x, W: dy.T @ x),
            "transpose",
            "dW is transposed: its first index should count inputs, as that of W does",
        ),
        Slip(
            with_another("dW", lambda dy, x, W: x.T @ dy / len(x)),
            "factor",
            "dW is the mean over the rows: every row uses W, and their parts add up",
        ),
        Slip(
            with_another("db", lambda dy, x, W: dy.mean(axis=0)),
            "factor",
            "db is the mean over the rows: every row uses b, and their parts add up",
        ),
        Slip(
            lambda dy, x, W: (dy @ W.T, x.T @ dy / len(x), dy.mean(axis=0)),
            "factor",
            "dW and db are means over the rows: a mean belongs into J, and then stands in dy already",
        ),
        Slip(
            with_another("db", lambda dy, x, W: dy),
            "shape",
            "db has a row for each example, and there is one b for all of them: what do its uses send back together?",
        ),
        Slip(
            with_another("db", lambda dy, x, W: dy.sum(axis=1)),
            "shape",
            "db is summed over the outputs: each output has a bias of its own, and the rows share it",
        ),
        Slip(
            with_another("db", lambda dy, x, W: dy.sum()),
            "shape",
            "db is one number: each output has a bias of its own",
        ),
        Slip(
            with_another("db", lambda dy, x, W: np.full(I, float(B))),
            "elementwise-factor",
            "db counts the rows: each of them sends back what stands in dy",
        ),
        Slip(
            lambda dy, x, W: (x.T @ dy, dy @ W.T, dy.sum(axis=0)),
            "shape",
            "the first two are swapped: dx, dW, db is the order",
        ),
    ),
)
