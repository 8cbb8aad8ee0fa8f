"""What backward starts from, and what Adam makes of a gradient.

Sizes: B examples, I weights.
"""

import numpy as np

from scratchvae.exercises.blank import Slip, value
from scratchvae.exercises.steps import slope
from scratchvae.optim import Adam

B, I = 6, 5  # noqa: E741  the name of the notation


def weights(objective):
    """The derivatives of the loss, which is -mean(objective), by each objective: (B,) -> (B,)."""
    return np.full(len(objective), -1 / len(objective))


WEIGHTS = value(
    weights,
    lambda objective: {"w": slope(lambda values: -sum(values) / len(objective), objective)},
    lambda rng: (rng.normal(-3, 2, B),),
    (
        "By how much does the loss change if the objective of one example grows by a little?",
        "loss = -(1/B) sum_b objective_b; its derivative by each of them",
        "np.full(len(objective), ...)",
    ),
    (
        Slip(
            lambda o: np.full(len(o), 1 / len(o)),
            "sign",
            "the sign is turned: an optimizer goes down, and with this it would lower the objective",
        ),
        Slip(
            lambda o: np.full(len(o), -1.0),
            "factor",
            "this is the derivative of minus the sum: the loss is minus the mean",
        ),
        Slip(
            lambda o: np.full(len(o), 1.0),
            "sign",
            "this is the derivative of the sum of the objectives: the loss is minus their mean",
        ),
        Slip(lambda o: -1 / len(o), "shape", "one number: each example has its own, though all are equal"),
        Slip(
            lambda o: -o / len(o),
            "elementwise-factor",
            "these are the terms of the loss, not its derivatives: a sum has the slope 1 in each term",
        ),
        Slip(
            lambda o: -o,
            "elementwise-factor",
            "these are the objectives themselves, turned: how much does the loss change when one of them changes?",
        ),
        Slip(lambda o: -o.mean(), "shape", "this is the loss itself: its derivative by each objective is wanted"),
        Slip(
            lambda o: np.full(len(o), -o.mean()),
            "elementwise-factor",
            "this is the loss itself, once for each example: its derivatives do not depend on the objectives",
        ),
        Slip(
            lambda o: np.full(len(o), -1 / (len(o) - 1)),
            "factor",
            "a mean divides by B, not by B - 1",
        ),
        Slip(lambda o: np.full(len(o), -len(o)), "elementwise-factor", "multiplied by B, where a mean divides by it"),
    ),
)


def adam(grad, m, v, t, lr):
    """Step t = 1, 2, ... of Adam: the new m and v, and what is taken off the weights; (I,) each."""
    m = 0.9 * m + 0.1 * grad
    v = 0.999 * v + 0.001 * grad**2
    return m, v, lr * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)


def on_the_way(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray, int, float]:
    """A gradient, averages as they are after t - 1 steps, t and the step size."""
    t = int(rng.integers(2, 9))
    size = np.array([1, 1, 1, 1, 1e-3])  # (I,)  at the small one it shows on what the root is taken
    m, v = (1 - 0.9 ** (t - 1)) * rng.standard_normal(I), (1 - 0.999 ** (t - 1)) * rng.uniform(0.5, 3, I)
    return size * rng.standard_normal(I), size * m, size**2 * v, t, float(rng.uniform(0.5, 2))


def by_the_library(grad: np.ndarray, m: np.ndarray, v: np.ndarray, t: int, lr: float) -> dict[str, np.ndarray]:
    """The library keeps sums in place of averages, 10 and 1,000 times as large."""
    optimizer, param = Adam(lr=lr), np.zeros(I)
    optimizer.steps, optimizer.state = t - 1, {"m.W": m / (1 - 0.9), "v.W": v / (1 - 0.999)}
    optimizer.step({"W": param}, {"W": grad})
    return {
        "m": optimizer.state["m.W"] * (1 - 0.9),
        "v": optimizer.state["v.W"] * (1 - 0.999),
        "step": -param,
    }


def stepped(m: np.ndarray, v: np.ndarray, t: int, lr: float) -> tuple[np.ndarray, ...]:
    """m, v and the right step from them."""
    return m, v, lr * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)


def after(grad: np.ndarray, m: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The right averages."""
    return 0.9 * m + 0.1 * grad, 0.999 * v + 0.001 * grad**2


def last(change):
    """A wrong step from right averages: change(m, v, t, lr)."""
    return lambda grad, m, v, t, lr: (*after(grad, m, v), change(*after(grad, m, v), t, lr))


ADAM = value(
    adam,
    by_the_library,
    on_the_way,
    (
        "Both averages begin at 0, and forget a tenth, or a thousandth, with each step. Which part of them is still "
        "that 0 after t steps?",
        "m = 0.9 m + 0.1 grad; v = 0.999 v + 0.001 grad^2; the step is lr m_hat / (sqrt(v_hat) + 1e-8), with "
        "m_hat = m / (1 - 0.9^t) and v_hat = v / (1 - 0.999^t)",
        "m = 0.9 * m + ...; v = 0.999 * v + ...; return m, v, lr * (m / (1 - 0.9**t)) / (np.sqrt(...) + 1e-8)",
    ),
    (
        Slip(
            last(lambda m, v, t, lr: lr * m / (np.sqrt(v) + 1e-8)),
            "elementwise-factor",
            "the averages are used as they are: they began at 0, and the first ones are too small",
        ),
        Slip(
            last(lambda m, v, t, lr: lr * m / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)),
            "elementwise-factor",
            "m is used as it is: it began at 0 as well, and is too small by 1 - 0.9^t",
        ),
        Slip(
            last(lambda m, v, t, lr: lr * (m * (1 - 0.9**t)) / (np.sqrt(v * (1 - 0.999**t)) + 1e-8)),
            "elementwise-factor",
            "the averages are multiplied by 1 - 0.9^t and 1 - 0.999^t, and shrink still more: divide",
        ),
        Slip(
            last(lambda m, v, t, lr: lr * (m / (1 - 0.9 * t)) / (np.sqrt(v / (1 - 0.999 * t)) + 1e-8)),
            "non-finite",
            "0.9 * t is a product, and a power belongs there: 0.9**t",
        ),
        Slip(
            lambda g, m, v, t, lr: (
                *after(g, m, v),
                lr * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8),
            ),
            "elementwise-factor",
            "the step is taken with the old averages: this gradient belongs in them first",
        ),
        Slip(
            lambda g, m, v, t, lr: adam(g, m, v, t, lr)[::-1],
            "transpose",
            "the three are right, in another order: m, v, and then what is taken off",
        ),
        Slip(
            lambda g, m, v, t, lr: (lambda a, b, step: (b, a, step))(*adam(g, m, v, t, lr)),
            "transpose",
            "v comes first here: m belongs before it",
        ),
        Slip(
            lambda g, m, v, t, lr: (lambda a, b, step: (step, a, b))(*adam(g, m, v, t, lr)),
            "transpose",
            "the step comes first here: m and v come before it",
        ),
        Slip(
            last(lambda m, v, t, lr: lr * (m / (1 - 0.9**t)) / (np.sqrt(v) + 1e-8)),
            "elementwise-factor",
            "v is used as it is: it began at 0 as well, and is too small by 1 - 0.999^t",
        ),
        Slip(
            last(lambda m, v, t, lr: lr * (m / (1 - 0.9 ** (t - 1))) / (np.sqrt(v / (1 - 0.999 ** (t - 1))) + 1e-8)),
            "elementwise-factor",
            "t counts from 1, and this step is in it: no t - 1",
        ),
        Slip(
            last(lambda m, v, t, lr: lr * (m / (1 - 0.9**t)) / (v / (1 - 0.999**t) + 1e-8)),
            "elementwise-factor",
            "the step is divided by v, a square: by its root",
        ),
        Slip(
            last(lambda m, v, t, lr: lr * (m / (1 - 0.9**t)) / np.sqrt(v / (1 - 0.999**t) + 1e-8)),
            "elementwise-factor",
            "the 1e-8 is under the root, where it acts as 1e-4: small gradients then make small steps",
        ),
        Slip(
            last(lambda m, v, t, lr: lr * m / (1 - 0.9**t)),
            "missing-term",
            "the step is not divided by the root of v",
        ),
        Slip(
            last(lambda m, v, t, lr: -lr * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)),
            "sign",
            "the sign is turned: this is what is added to the weights, and what is taken off is asked for",
        ),
        Slip(
            lambda g, m, v, t, lr: (*after(g, m, v), stepped(*after(g, m, v), t, 1.0)[2]),
            "elementwise-factor",
            "the step size lr is missing",
        ),
        Slip(
            lambda g, m, v, t, lr: (
                after(g, m, v)[0] / (1 - 0.9**t),
                after(g, m, v)[1] / (1 - 0.999**t),
                stepped(*after(g, m, v), t, lr)[2],
            ),
            "elementwise-factor",
            "the step is right, but m and v come back divided: the next step goes on from the averages themselves",
        ),
        Slip(
            lambda g, m, v, t, lr: stepped(0.9 * m + g, 0.999 * v + g**2, t, lr),
            "elementwise-factor",
            "these are sums: an average gives the new gradient the weight 0.1, and its square 0.001",
        ),
        Slip(
            lambda g, m, v, t, lr: stepped(0.1 * m + 0.9 * g, 0.001 * v + 0.999 * g**2, t, lr),
            "elementwise-factor",
            "old and new have changed places: 0.9 and 0.999 belong to what was there before",
        ),
        Slip(
            lambda g, m, v, t, lr: stepped(0.999 * m + 0.001 * g, 0.9 * v + 0.1 * g**2, t, lr),
            "elementwise-factor",
            "0.9 and 0.999 have changed places: v forgets more slowly than m",
        ),
        Slip(
            lambda g, m, v, t, lr: stepped(after(g, m, v)[0], 0.999 * v + 0.001 * g, t, lr),
            "elementwise-factor",
            "v is an average of squares: the square of the gradient is missing",
        ),
        Slip(
            lambda g, m, v, t, lr: stepped(after(g, m, v)[0], 0.999 * v + 0.001 * np.abs(g), t, lr),
            "elementwise-factor",
            "v is an average of squares: this takes the absolute value",
        ),
        Slip(
            lambda g, m, v, t, lr: stepped(after(g, m, v)[0], 0.999 * v + 0.001 * after(g, m, v)[0] ** 2, t, lr),
            "elementwise-factor",
            "v averages the squares of the gradients, not of their average m",
        ),
        Slip(
            lambda g, m, v, t, lr: (*after(g, m, v), lr * (g / (np.sqrt(after(g, m, v)[1] / (1 - 0.999**t)) + 1e-8))),
            "elementwise-factor",
            "the step goes along this one gradient: along the average m",
        ),
    ),
    close=5e-4,  # the 1e-8 beside the root of v itself, as programs have it, is right as well
)
