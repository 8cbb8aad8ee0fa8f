"""Training: the loop around Adam's step.

Sizes: B batch, D pixels, Z latents.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from scratchvae import Adam
from scratchvae.exercises.blank import Slip, named
from scratchvae.exercises.own import oracle
from scratchvae.exercises.own.adam import adam
from scratchvae.exercises.own.back import backward
from scratchvae.exercises.own.objective import forward
from scratchvae.exercises.own.oracle import D, Z, bits, drawn_params

SIZES = (4, 4, 2, 5)  # of the batches
LR = 0.01


def train(params, batches, lr):
    """Climb the mean objective, with beta = 1: a step of adam for each of the batches (x, eps).

    Returns new params; those that were given stay as they are.
    """
    params = dict(params)
    m = {name: np.zeros_like(p) for name, p in params.items()}
    v = {name: np.zeros_like(p) for name, p in params.items()}
    for t, (x, eps) in enumerate(batches, start=1):
        cache = forward(params, x, eps, 1.0)
        grads = backward(np.full(len(x), -1 / len(x)), params, cache, 1.0)
        for name, p in params.items():
            params[name], m[name], v[name] = adam(p, grads[name], m[name], v[name], t, lr)
    return params


def train_by_the_library(params: Any, batches: Any, lr: float) -> dict[str, Any]:
    vae, optimizer = oracle.library(params), Adam(lr=lr)
    for x, eps in batches:
        _, cache = vae.objective(x, eps)
        optimizer.step(vae.params, vae.backward(np.full(len(x), -1 / len(x)), cache))
    return dict(vae.params)


def few_batches(rng: np.random.Generator) -> tuple[Any, ...]:
    return drawn_params(rng), [(bits(rng, n), rng.standard_normal((n, Z))) for n in SIZES], LR


def train_with(
    weight: Callable[[int], float] = lambda n: -1 / n,
    number: Callable[[int], int] = lambda t: t,
    fresh: bool = False,
    steps: int = 99,
    beta: float = 1.0,
) -> Callable[..., Any]:
    """A wrong answer: another weight of an example, count of steps, moments that do not last, fewer steps, a beta."""

    def answer(params: Any, batches: Any, lr: float) -> Any:
        params = dict(params)
        zeros = {name: (np.zeros_like(p), np.zeros_like(p)) for name, p in params.items()}
        moments = dict(zeros)
        for t, (x, eps) in enumerate(batches[:steps], start=1):
            moments = dict(zeros) if fresh else moments
            grads = backward(np.full(len(x), weight(len(x))), params, forward(params, x, eps, beta), beta)
            for name, p in params.items():
                m, v = moments[name]
                params[name], m, v = adam(p, grads[name], m, v, number(t), lr)
                moments[name] = m, v
        return params

    return answer


def steps_of(params: Any, batches: Any, lr: float, at_first: bool, per_array: bool) -> Any:
    """After every step of one array, the weights: counted array by array, or with gradients at the first weights."""
    first, params, t = params, dict(params), 0
    m, v = ({name: np.zeros_like(p) for name, p in params.items()} for _ in range(2))
    for number, (x, eps) in enumerate(batches, start=1):
        at = first if at_first else params
        grads = backward(np.full(len(x), -1 / len(x)), at, forward(at, x, eps, 1.0), 1.0)
        for name, p in params.items():
            t += 1
            params[name], m[name], v[name] = adam(p, grads[name], m[name], v[name], t if per_array else number, lr)
            yield params


def counts_arrays(params: Any, batches: Any, lr: float) -> Any:
    return list(steps_of(params, batches, lr, False, True))[-1]


def stays(params: Any, batches: Any, lr: float) -> Any:
    return list(steps_of(params, batches, lr, True, False))[-1]


def one_array(params: Any, batches: Any, lr: float) -> Any:
    return next(steps_of(params, batches, lr, False, False))


def plain_descent(params: Any, batches: Any, lr: float) -> Any:
    for x, eps in batches:
        grads = backward(np.full(len(x), -1 / len(x)), params, forward(params, x, eps, 1.0), 1.0)
        params = {name: p - lr * grads[name] for name, p in params.items()}
    return params


def shared_moments(params: Any, batches: Any, lr: float) -> Any:
    """m and v are one dict."""
    params, v = dict(params), {name: np.zeros_like(p) for name, p in params.items()}
    for t, (x, eps) in enumerate(batches, start=1):
        grads = backward(np.full(len(x), -1 / len(x)), params, forward(params, x, eps, 1.0), 1.0)
        for name, p in params.items():
            params[name], _, v[name] = adam(p, grads[name], v[name], v[name], t, lr)
    return params


def own_weights(params: Any, batches: Any, lr: float) -> Any:
    """The objective itself as dobjective."""
    params = dict(params)
    m, v = ({name: np.zeros_like(p) for name, p in params.items()} for _ in range(2))
    for t, (x, eps) in enumerate(batches, start=1):
        cache = forward(params, x, eps, 1.0)
        grads = backward(-cache["objective"] / len(x), params, cache, 1.0)
        for name, p in params.items():
            params[name], m[name], v[name] = adam(p, grads[name], m[name], v[name], t, lr)
    return params


TRAIN = named(
    train,
    train_by_the_library,
    few_batches,
    (
        "adam goes downhill, and the objective should rise: which weight has each example in dobjective? What has to "
        "be kept from step to step?",
        "for t = 1, 2, ...: cache = forward, grads = backward with dobjective_b = -1/B, adam for every array",
        "params = dict(params), m and v dicts of zeros, for t, (x, eps) in enumerate(batches, start=1): ...",
    ),
    (
        Slip(
            train_with(weight=lambda n: 1 / n),
            "sign",
            "it goes downhill on the objective: adam minimises, so that dobjective is -1/B",
        ),
        Slip(
            train_with(weight=lambda n: -1),
            "batch-sum",
            "dobjective is -1, a sum over the batch: Adam hides it until a batch has another size",
        ),
        Slip(
            train_with(weight=lambda n: -1 / SIZES[0]),
            "batch-sum",
            "every batch is divided by the size of the first: the last one of an epoch may be smaller",
        ),
        Slip(
            train_with(number=lambda t: 1),
            "unknown",
            "adam is told t = 1 at every step: its averages are corrected as at the first",
        ),
        Slip(
            train_with(number=lambda t: t + 1),
            "unknown",
            "adam's first step has the number 2: count from 1",
        ),
        Slip(train_with(number=lambda t: t - 1), "non-finite", "adam's first step has the number 0: count from 1"),
        Slip(counts_arrays, "unknown", "t rises with every array: it counts batches, and is the same for all arrays"),
        Slip(one_array, "unknown", "it returns after the first array: does the return stand in the inner loop?"),
        Slip(stays, "unknown", "each gradient is taken at the first weights: take it at the newest"),
        Slip(
            train_with(weight=lambda n: 1.0),
            "sign",
            "dobjective is 1: adam minimises, so that each of B examples weighs -1/B",
        ),
        Slip(plain_descent, "unknown", "this is plain gradient descent: the steps are adam's"),
        Slip(shared_moments, "unknown", "m and v are the same dict, and one writes over the other: make two"),
        Slip(own_weights, "elementwise-factor", "the objective is handed back as its own gradient: each weighs -1/B"),
        Slip(
            train_with(weight=lambda n: -1 / n / D),
            "factor",
            "dobjective is divided by the number of pixels, too: Adam hides nearly all of it; each weighs -1/B",
        ),
        Slip(train_with(fresh=True), "unknown", "m and v start from zero again at every batch: keep them"),
        Slip(train_with(steps=1), "unknown", "it returns after the first batch: does the return stand in the loop?"),
        Slip(train_with(steps=0), "zero", "the weights have not moved"),
        Slip(train_with(beta=0.0), "missing-term", "the KL has the weight 0: this is an autoencoder with noise"),
    ),
)
