"""A layer: the three gradients of a dense one, and a softplus that is right for every number.

Sizes: B batch, I inputs and as many outputs, so that the shapes of a wrong transpose fit.
"""

import math
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


def stable_softplus(a):
    """log(1 + exp(a)), entry by entry, for a as large as 1000 and as small as -1000: (B,) -> (B,)."""
    return np.maximum(a, 0) + np.log1p(np.exp(-np.abs(a)))


def softplus_by_a_loop(a: np.ndarray) -> dict[str, np.ndarray]:
    """The integral of the sigmoid up to a: where that is nearly 0 or 1, from its series e^a - e^2a / 2 + ..."""

    def from_the_left(a: float) -> float:
        if a > -3:
            return math.log(1 + math.exp(a))
        return sum((-1) ** (n + 1) * math.exp(n * a) / n for n in range(1, 20))

    return {"softplus": np.array([from_the_left(v) if v < 0 else v + from_the_left(-v) for v in a.tolist()])}


def quietly(answer: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A wrong answer that overflows, without the warning."""

    def quiet(a: Any) -> Any:
        with np.errstate(all="ignore"):
            return answer(a)

    return quiet


def near_and_far(rng: np.random.Generator) -> np.ndarray:
    """Where the plain formula holds, where exp(-a) is lost beside 1, and where exp(a) is too large."""
    far, farther = rng.uniform(40, 300), rng.uniform(720, 1000)
    return np.array([-farther, farther, -far, far, *rng.uniform(4, 9, 2), *rng.normal(0, 2, 5), rng.uniform(0.5, 2)])


SOFTPLUS = value(
    stable_softplus,
    softplus_by_a_loop,
    lambda rng: (near_and_far(rng),),
    (
        "exp(a) is harmless for a < 0. For a > 0 take exp(a) out of 1 + exp(a): what is left in the logarithm, and "
        "what stands in front of it?",
        "for a > 0: a + log(1 + exp(-a)); for a < 0: log(1 + exp(a)). In one line: max(a, 0) + log(1 + exp(-|a|))",
        "np.maximum(a, 0) + np.log1p(np.exp(...))",
    ),
    (
        Slip(
            quietly(lambda a: np.log(1 + np.exp(a))),
            "non-finite",
            "exp(a) overflows for a large a, and the logarithm of inf is inf: take a out of the logarithm there",
        ),
        Slip(
            quietly(lambda a: -np.log(1 - 1 / (1 + np.exp(-a)))),
            "non-finite",
            "for a > 37 the probability rounds to 1, and this is -log(0): do not go through it",
        ),
        Slip(
            quietly(lambda a: a + np.log(1 + np.exp(-a))),
            "non-finite",
            "this form is for a > 0: far to the left exp(-a) overflows in its turn",
        ),
        Slip(
            lambda a: np.log(1 + np.exp(np.clip(a, -500, 500))),
            "missing-term",
            "what is clipped is the same for all large a: there softplus should go on growing as a does",
        ),
        Slip(
            lambda a: np.maximum(a, 0),
            "missing-term",
            "this is relu: it agrees far out, and at 0 softplus is log 2",
        ),
        Slip(
            lambda a: np.log1p(np.exp(-np.abs(a))),
            "missing-term",
            "it falls to 0 on both sides: for a > 0 the a that was taken out is missing",
        ),
        Slip(
            quietly(lambda a: np.where(a > 0, a, np.log1p(np.exp(a)))),
            "missing-term",
            "for a > 0 there is more than a: what is left of 1 + exp(a) when exp(a) is taken out?",
        ),
        Slip(
            lambda a: np.maximum(a, 0) - np.log1p(np.exp(-np.abs(a))),
            "sign",
            "the logarithm has the wrong sign: softplus lies above max(a, 0)",
        ),
        Slip(
            lambda a: np.exp(np.minimum(a, 0)) / (1 + np.exp(-np.abs(a))),
            "elementwise-factor",
            "this is the sigmoid, the slope of softplus: wanted is the function itself",
        ),
        Slip(
            lambda a: np.abs(a) + np.log1p(np.exp(-np.abs(a))),
            "elementwise-factor",
            "it is the same for a and for -a: far to the left softplus is near 0",
        ),
    ),
    close=1e-12,  # the largest value is near 1000, the smallest are near 0
)
