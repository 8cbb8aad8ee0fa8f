"""Adam, and the loop around it.

Sizes: B batch, D pixels, Z latents.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from scratchvae import Adam
from scratchvae.exercises.blank import Slip, named, value
from scratchvae.exercises.own import oracle
from scratchvae.exercises.own.back import backward
from scratchvae.exercises.own.oracle import D, Z, bits, drawn_params
from scratchvae.exercises.own.told import source_first
from scratchvae.exercises.own.whole import forward

SIZES = (4, 4, 2, 5)  # of the batches
LR = 0.01


def adam(param, grad, m, v, t, lr):
    """Step t = 1, 2, ... of one array, downhill: the new param, m and v, all of one shape.

    m and v are running averages of grad and of grad^2, the past weighing 0.9 and 0.999; they start
    at zero.
    """
    m = 0.9 * m + 0.1 * grad
    v = 0.999 * v + 0.001 * grad**2
    m_hat = m / (1 - 0.9**t)
    v_hat = v / (1 - 0.999**t)
    return param - lr * m_hat / (np.sqrt(v_hat) + 1e-8), m, v


def adam_by_the_library(param: Any, grad: Any, m: Any, v: Any, t: int, lr: float) -> dict[str, Any]:
    """Its m and v are sums, ten and a thousand times the averages."""
    params, optimizer = {"W": param.copy()}, Adam(lr=lr)
    optimizer.state, optimizer.steps = {"m.W": 10 * m, "v.W": 1000 * v}, t - 1
    optimizer.step(params, {"W": grad})
    return {"param": params["W"], "m": optimizer.state["m.W"] / 10, "v": optimizer.state["v.W"] / 1000}


def drawn_moments(rng: np.random.Generator) -> tuple[Any, ...]:
    """Small gradients, so that 1e-8 can be seen, and moves that are no smaller than the weights."""
    grad, m = 1e-6 * rng.standard_normal((2, 3, 4))
    return 0.1 * rng.standard_normal((3, 4)), grad, m, 1e-13 * (1 + rng.random((3, 4))), int(rng.integers(2, 9)), 0.3


def adam_with(
    sign: float = -1, square: bool = True, root: Any = lambda v: np.sqrt(v) + 1e-8, hats: Any = None, betas: Any = None
) -> Callable[..., Any]:
    """A wrong answer, with another sign, no square, another root, corrections hats(m, v, t), or other betas."""

    def answer(param: Any, grad: Any, m: Any, v: Any, t: int, lr: float) -> Any:
        b1, b2 = (0.9, 0.999) if betas is None else betas
        m, v = b1 * m + (1 - b1) * grad, b2 * v + (1 - b2) * (grad**2 if square else np.abs(grad))
        m_hat, v_hat = (m / (1 - b1**t), v / (1 - b2**t)) if hats is None else hats(m, v, t)
        return param + sign * lr * m_hat / root(v_hat), m, v

    return answer


def keeps_the_corrected(param: Any, grad: Any, m: Any, v: Any, t: int, lr: float) -> Any:
    moved, m, v = adam(param, grad, m, v, t, lr)
    return moved, m / (1 - 0.9**t), v / (1 - 0.999**t)


ADAM = value(
    adam,
    adam_by_the_library,
    drawn_moments,
    (
        "Which two averages does Adam keep? Both start at zero: by which factor are they too small after t steps?",
        "m = 0.9 m + 0.1 g, v = 0.999 v + 0.001 g^2; m_hat = m / (1 - 0.9^t), v_hat = v / (1 - 0.999^t); "
        "param - lr m_hat / (sqrt(v_hat) + 1e-8)",
        "four lines, one each for m, v, m_hat and v_hat, and return param - ..., m, v",
    ),
    (
        Slip(adam_with(sign=1), "sign", "the step goes uphill: the gradient is that of a loss"),
        Slip(
            adam_with(hats=lambda m, v, t: (m, v)),
            "missing-term",
            "m and v are used as they are: both start at zero, and are too small at first",
        ),
        Slip(
            adam_with(hats=lambda m, v, t: (m / (1 - 0.9 ** (t - 1)), v / (1 - 0.999 ** (t - 1)))),
            "unknown",
            "the corrections are those of the step before: t counts from 1",
        ),
        Slip(adam_with(hats=lambda m, v, t: (m / (1 - 0.9**t), v)), "missing-term", "v is not corrected, and m is"),
        Slip(adam_with(hats=lambda m, v, t: (m, v / (1 - 0.999**t))), "missing-term", "m is not corrected, and v is"),
        Slip(
            adam_with(hats=lambda m, v, t: (m / (1 - 0.9 * t), v / (1 - 0.999 * t))),
            "unknown",
            "the corrections have 0.9 t where 0.9^t belongs: what started at zero has decayed t times",
        ),
        Slip(
            adam_with(hats=lambda m, v, t: (m / (1 - 0.9**t), v / (1 - 0.999**t)), betas=(0.1, 0.001)),
            "unknown",
            "past and present are swapped: 0.9 and 0.999 weigh the past",
        ),
        Slip(
            lambda param, grad, m, v, t, lr: (adam(param, grad, m, v, t, lr)[0], m, v),
            "unknown",
            "m and v come back as they were given: the next step needs the new ones",
        ),
        Slip(
            lambda param, grad, m, v, t, lr: adam(param, grad, m, v, t, lr)[1:] + adam(param, grad, m, v, t, lr)[:1],
            "transpose",
            "the order is param, m and v",
        ),
        Slip(
            lambda param, grad, m, v, t, lr: (
                *adam(param, grad, m, v, t, lr)[1:],
                param - adam(param, grad, m, v, t, lr)[0],
            ),
            "transpose",
            "m, v and what is taken off, as on page 10: here the new param comes first",
        ),
        Slip(adam_with(root=lambda v: 1 / (1 / np.sqrt(v) + 0)), "unknown", "1e-8 is missing in the denominator"),
        Slip(adam_with(betas=(0.1, 0.001)), "unknown", "0.1 and 0.001 weigh the past: they belong to the present"),
        Slip(
            lambda param, grad, m, v, t, lr: adam_with(hats=lambda *new: (m / (1 - 0.9**t), v / (1 - 0.999**t)))(
                param, grad, m, v, t, lr
            ),
            "unknown",
            "the step is made with the old m and v: renew them first",
        ),
        Slip(
            adam_with(hats=lambda m, v, t: (m * (1 - 0.9**t), v * (1 - 0.999**t))),
            "factor",
            "the corrections make m and v smaller: they are too small already",
        ),
        Slip(
            lambda param, grad, m, v, t, lr: adam_with(hats=lambda m, v, t: (grad, v / (1 - 0.999**t)))(
                param, grad, m, v, t, lr
            ),
            "missing-term",
            "the gradient itself stands over the root: there belongs its average",
        ),
        Slip(
            lambda param, grad, m, v, t, lr: (
                param - adam(param, grad, m, v, t, lr)[0],
                *adam(param, grad, m, v, t, lr)[1:],
            ),
            "missing-term",
            "this is what is taken off: the new param is asked for",
        ),
        Slip(lambda param, grad, m, v, t, lr: adam(param, grad, m, v, t, 1.0), "factor", "lr is missing"),
        Slip(
            lambda param, grad, m, v, t, lr: (
                param - lr * (0.9 * m + grad) / (np.sqrt(0.999 * v + grad**2) + 1e-8),
                0.9 * m + grad,
                0.999 * v + grad**2,
            ),
            "factor",
            "these are sums: in an average the present weighs what the past leaves, 0.1 and 0.001",
        ),
        *(
            Slip(adam_with(root=lambda v, e=e: np.sqrt(v) + e), "unknown", f"{e:g} in the denominator, and it is 1e-8")
            for e in (1e-6, 1e-7, 1e-10)
        ),
        Slip(adam_with(square=False), "unknown", "v is an average of the squares of the gradients"),
        Slip(adam_with(root=lambda v: v + 1e-8), "elementwise-factor", "the root of v_hat is missing"),
        Slip(
            adam_with(root=lambda v: np.sqrt(v + 1e-8)),
            "elementwise-factor",
            "1e-8 stands under the root: there it is 1e-4, as large as many gradients",
        ),
        Slip(adam_with(betas=(0.9, 0.99)), "unknown", "the past weighs 0.99 in v, and it is 0.999"),
        Slip(
            adam_with(hats=lambda m, v, t: (m / (1 - 0.9), v / (1 - 0.999))),
            "unknown",
            "the corrections are those of the first step, whatever t is",
        ),
        Slip(adam_with(betas=(0.999, 0.9)), "unknown", "0.9 and 0.999 are swapped: v remembers longer than m"),
        Slip(
            keeps_the_corrected,
            "factor",
            "the corrected averages are handed on: the next step needs m and v as they were before",
        ),
        Slip(
            lambda param, grad, m, v, t, lr: (param - lr * grad, m, v),
            "elementwise-factor",
            "this is plain gradient descent: m and v are not used",
        ),
    ),
)
ADAM = source_first(ADAM, "m", "v", "param")


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
