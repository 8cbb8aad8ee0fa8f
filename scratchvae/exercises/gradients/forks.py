"""Where gradients meet: at mu and logvar, and at the hidden layer that both heads use; then the encoder's weights.

Sizes: B batch, H hidden units, Z latents, D pixels. dz stands for the gradient of s = sum_b w_b objective_b.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from scratchvae.exercises.blank import Slip, value
from scratchvae.exercises.steps import slope

B, H, Z, D = 4, 5, 3, 6


def to_mu_and_logvar(dz, mu, logvar, eps, w, beta):
    """All that reaches mu and logvar from sum_b w_b (-nll_b - beta kl_b), of which dz brings the nll's part.

    dz, mu, logvar, eps (B, Z), w (B,), beta a number -> dmu, dlogvar (B, Z).
    """
    sigma, dkl = np.exp(logvar / 2), -beta * w[:, None]
    return dz + dkl * mu, dz * eps * sigma / 2 + dkl * (sigma**2 - 1) / 2


def fork_by_steps(dz: Any, mu: Any, logvar: Any, eps: Any, w: Any, beta: float) -> dict[str, np.ndarray]:
    """The slopes of a function whose gradient at z is dz, and which has the KL beside it."""

    def s(mu: Any, logvar: Any) -> Any:
        kl = 0.5 * (mu**2 + np.exp(logvar) - 1 - logvar).sum(axis=1)  # (B,)
        return (dz * (mu + np.exp(logvar / 2) * eps)).sum() - beta * (w * kl).sum()

    return {"dmu": slope(lambda at: s(at, logvar), mu), "dlogvar": slope(lambda at: s(mu, at), logvar)}


def parts(dz: Any, mu: Any, logvar: Any, eps: Any) -> tuple[Any, Any, Any, Any]:
    """Through z and from the KL, to mu and to logvar; the KL's for dkl = 1."""
    sigma = np.exp(logvar / 2)
    return dz, mu, dz * eps * sigma / 2, (sigma**2 - 1) / 2


def wrong_fork(mix: Callable[..., Any]) -> Callable[..., Any]:
    """A wrong answer, from its four parts, w as a column and beta."""
    return lambda dz, mu, v, eps, w, beta: mix(*parts(dz, mu, v, eps), w[:, None], beta)


FORK = value(
    to_mu_and_logvar,
    fork_by_steps,
    lambda rng: (*rng.standard_normal((4, B, Z)), rng.standard_normal(B), 0.7),
    (
        "mu is used twice, in z and in the KL. What does the chain rule do with the two gradients? And with which "
        "weight does kl_b stand in the objective?",
        "dkl_b = -beta w_b; dmu = dz + dkl mu, and dlogvar = dz eps sigma / 2 + dkl (sigma^2 - 1) / 2",
        "dkl = -beta * w[:, None], then the lines that you have written above, added",
    ),
    (
        Slip(
            wrong_fork(lambda m, mk, v, vk, w, beta: (m - w * mk, v - w * vk)),
            "factor",
            "the KL's parts have no beta: with which weight does the KL stand in the objective?",
        ),
        Slip(
            wrong_fork(lambda m, mk, v, vk, w, beta: (m + beta * w * mk, v + beta * w * vk)),
            "sign",
            "the KL's parts have the wrong sign: the KL is subtracted in the objective",
        ),
        Slip(
            wrong_fork(lambda m, mk, v, vk, w, beta: (m - beta * mk, v - beta * vk)),
            "elementwise-factor",
            "the KL's parts do not know the weights w: each example has its own, and dz has it already",
        ),
        Slip(
            wrong_fork(lambda m, mk, v, vk, w, beta: (m - beta * mk / B, v - beta * vk / B)),
            "elementwise-factor",
            "the KL's parts have 1/B for a weight: each example has its own, w_b",
        ),
        Slip(
            wrong_fork(lambda m, mk, v, vk, w, beta: (beta * (m - w * mk), beta * (v - w * vk))),
            "elementwise-factor",
            "the parts through z have a beta: it stands in front of the KL alone",
        ),
        Slip(
            wrong_fork(lambda m, mk, v, vk, w, beta: (-m - beta * w * mk, -v - beta * w * vk)),
            "sign",
            "the parts through z have the wrong sign: the minus of nll is in dz already",
        ),
        Slip(
            lambda dz, mu, v, eps, w, beta: (
                dz - beta * w[:, None] * mu,
                dz * eps * v / 2 - beta * w[:, None] * (v**2 - 1) / 2,
            ),
            "elementwise-factor",
            "logvar stands where sigma belongs: sigma is exp(logvar / 2)",
        ),
        Slip(
            wrong_fork(lambda m, mk, v, vk, w, beta: (m - beta * w * mk / B, v - beta * w * vk / B)),
            "factor",
            "the KL's parts are divided by the number of rows once more: the weights w are all there is",
        ),
        Slip(
            wrong_fork(lambda m, mk, v, vk, w, beta: (w * (m - beta * mk), w * (v - beta * vk))),
            "elementwise-factor",
            "the parts through z are multiplied by w twice: dz has the weights in it",
        ),
        Slip(
            wrong_fork(lambda m, mk, v, vk, w, beta: (m, v)),
            "missing-term",
            "this is what comes through z alone: the KL pulls on both as well",
        ),
        Slip(
            wrong_fork(lambda m, mk, v, vk, w, beta: (-beta * w * mk, -beta * w * vk)),
            "missing-term",
            "this is what the KL sends alone: gradients also come through z",
        ),
        Slip(
            wrong_fork(lambda m, mk, v, vk, w, beta: (m - beta * w * mk, v)),
            "missing-term",
            "dlogvar lacks what the KL sends",
        ),
        Slip(
            wrong_fork(lambda m, mk, v, vk, w, beta: (m, v - beta * w * vk)),
            "missing-term",
            "dmu lacks what the KL sends",
        ),
        Slip(
            wrong_fork(lambda m, mk, v, vk, w, beta: (m - beta * w * mk, 2 * v - beta * w * vk)),
            "factor",
            "dlogvar: the part through z is twice what it should be, the one from the KL is right",
        ),
        Slip(
            wrong_fork(lambda m, mk, v, vk, w, beta: (m - beta * w * mk, v - 2 * beta * w * vk)),
            "factor",
            "dlogvar: the part from the KL is twice what it should be, the one through z is right",
        ),
        Slip(
            wrong_fork(lambda m, mk, v, vk, w, beta: (m - beta * w * mk, v + beta * w * vk)),
            "sign",
            "dlogvar: the part from the KL has the wrong sign",
        ),
        Slip(
            lambda dz, mu, v, eps, w, beta: to_mu_and_logvar(dz, mu, 2 * v, eps, w, beta),
            "elementwise-factor",
            "the variance stands where sigma belongs: sigma is exp(logvar / 2)",
        ),
    ),
)


def heads_to_h(dmu, dlogvar, W_mu, W_logvar):
    """What reaches h through both heads, mu = h W_mu + b_mu and logvar = h W_logvar + b_logvar.

    dmu, dlogvar (B, Z), W_mu, W_logvar (H, Z) -> (B, H).
    """
    return dmu @ W_mu.T + dlogvar @ W_logvar.T


def dh_by_steps(dmu: Any, dlogvar: Any, W_mu: Any, W_logvar: Any) -> dict[str, np.ndarray]:
    """The slope of sum dmu mu + sum dlogvar logvar in h, which is the same at every h."""
    return {"dh": slope(lambda h: (dmu * (h @ W_mu)).sum() + (dlogvar * (h @ W_logvar)).sum(), np.zeros((B, H)))}


DH = value(
    heads_to_h,
    dh_by_steps,
    lambda rng: (*rng.standard_normal((2, B, Z)), *rng.standard_normal((2, H, Z))),
    (
        "h is used by two heads. What happens to their gradients at h? And through which matrix does a gradient go "
        "back over y = h W?",
        "dh = dmu W_mu^T + dlogvar W_logvar^T",
        "dmu @ W_mu.T, and the same of the other head, added",
    ),
    (
        Slip(lambda m, v, Wm, Wv: m @ Wm.T, "missing-term", "this is what comes from the head of mu: h has another"),
        Slip(
            lambda m, v, Wm, Wv: v @ Wv.T, "missing-term", "this is what comes from the head of logvar: h has another"
        ),
        Slip(lambda m, v, Wm, Wv: m @ Wv.T + v @ Wm.T, "transpose", "the two heads' weights are swapped"),
        Slip(
            lambda m, v, Wm, Wv: (m + v) @ (Wm + Wv).T,
            "missing-term",
            "each gradient goes through its own weights alone",
        ),
        Slip(lambda m, v, Wm, Wv: m @ Wm.T - v @ Wv.T, "sign", "one of the two is subtracted: at a fork gradients add"),
        Slip(
            lambda m, v, Wm, Wv: (m @ Wm.T + v @ Wv.T) / 2,
            "factor",
            "this is the mean of the two: at a fork gradients add",
        ),
        Slip(
            lambda m, v, Wm, Wv: (m @ Wm.T).sum(axis=0) + (v @ Wv.T).sum(axis=0),
            "shape",
            "it is summed over the batch: each example has its own h",
        ),
    ),
)


def h_to_weights(dh, h, x):
    """The gradients of W and b of h = tanh(x W + b): (B, H), (B, H), (B, D) -> (D, H), (H,)."""
    da = dh * (1 - h**2)
    return x.T @ da, da.sum(axis=0)


def encoder_by_steps(dh: Any, h: Any, x: Any) -> dict[str, np.ndarray]:
    """The slopes of sum dh tanh(a + x V + c) at V = 0, c = 0, where a is what makes h."""
    a = np.arctanh(h)
    return {
        "dW": slope(lambda V: (dh * np.tanh(a + x @ V)).sum(), np.zeros((D, H))),
        "db": slope(lambda c: (dh * np.tanh(a + c)).sum(), np.zeros(H)),
    }


ENCODER = value(
    h_to_weights,
    encoder_by_steps,
    lambda rng: (rng.standard_normal((B, H)), np.tanh(rng.standard_normal((B, H))), rng.standard_normal((B, D))),
    (
        "First back over the tanh, whose slope can be written with h alone. Then each weight W_do meets x_bd of every "
        "example b: what is summed?",
        "da = dh (1 - h^2), entry by entry; dW_do = sum_b x_bd da_bo; db_o = sum_b da_bo",
        "da = dh * (...), then x.T @ da, and da summed over the examples",
    ),
    (
        Slip(
            lambda d, h, x: (x.T @ d, d.sum(axis=0)),
            "elementwise-factor",
            "the slope of the tanh is missing in both: dh is behind it, the weights are before it",
        ),
        Slip(
            lambda d, h, x: (x.T @ (d * (1 - np.tanh(h) ** 2)), (d * (1 - np.tanh(h) ** 2)).sum(axis=0)),
            "elementwise-factor",
            "tanh was taken twice: h is the tanh already",
        ),
        Slip(
            lambda d, h, x: (x.T @ (d * h * (1 - h)), (d * h * (1 - h)).sum(axis=0)),
            "elementwise-factor",
            "h (1 - h) is the slope of a sigmoid, and this is a tanh",
        ),
        Slip(
            lambda d, h, x: (x.T @ (d * (1 - h)), (d * (1 - h)).sum(axis=0)),
            "elementwise-factor",
            "the slope of the tanh lacks a square",
        ),
        Slip(
            lambda d, h, x: ((d * (1 - h**2)).T @ x, (d * (1 - h**2)).sum(axis=0)),
            "transpose",
            "dW is transposed: it has the shape of W, (D, H)",
        ),
        Slip(
            lambda d, h, x: (x.T @ (d * (1 - h**2)), (d * (1 - h**2)).mean(axis=0)),
            "factor",
            "db is the mean over the examples, where dW is a sum: the weights of the examples are in dh already",
        ),
        Slip(
            lambda d, h, x: (x.T @ (d * (1 - h**2)) / B, (d * (1 - h**2)).sum(axis=0) / B),
            "factor",
            "both are divided by the number of rows: the weights of the examples are in dh already",
        ),
        Slip(
            lambda d, h, x: (x.T @ (d * (1 - h**2)), d * (1 - h**2)),
            "batch-sum",
            "db is one row for each example: the bias is shared by all of them",
        ),
        Slip(
            lambda d, h, x: (x.T @ (d * (1 - h**2)), d.sum(axis=0)),
            "elementwise-factor",
            "db lacks the slope of the tanh, which dW has",
        ),
        Slip(
            lambda d, h, x: (x.T @ d, (d * (1 - h**2)).sum(axis=0)),
            "elementwise-factor",
            "dW lacks the slope of the tanh, which db has",
        ),
    ),
)
