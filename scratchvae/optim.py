"""SGD, Adagrad and Adam: what to do with a gradient.

Optimizers *minimise*: the gradients handed to `step` are those of the loss. They are the one exception to the law of
the house: `step` changes the parameters in place. It leaves the gradients as they were.
"""

import math
from collections.abc import Mapping
from typing import Any, Protocol

from scratchvae.arguments import require_fraction, require_positive
from scratchvae.backend import Array, get_xp


class Optimizer(Protocol):
    """What `fit` and a checkpoint ask of an optimizer."""

    name: str
    lr: float
    state: dict[str, Array]  # arrays like the parameters, by slot and parameter: 'm.encoder.0.W'
    steps: int

    @property
    def config(self) -> dict[str, Any]: ...
    def step(self, params: Mapping[str, Array], grads: Mapping[str, Array]) -> None: ...


def slot(state: dict[str, Array], name: str, like: Array) -> Array:
    """The running average called name, zeros when it is first asked for."""
    if name not in state:
        state[name] = get_xp(like).zeros_like(like)
    return state[name]


def check_keys(params: Mapping[str, Array], grads: Mapping[str, Array]) -> None:
    """Every parameter has its gradient: a zip that stops short would leave some untrained for ever."""
    if params.keys() != grads.keys():
        odd = sorted(params.keys() ^ grads.keys())
        raise ValueError(f"grads should have the keys of params; only one of the two has {', '.join(odd)}")


class SGD:
    """v = momentum * v + g;  theta -= lr * v.  momentum = 0 is plain gradient descent.

    Source    Polyak (1964), in the form in which the step size stays outside v.
    Raises    ValueError: a step size that is not positive and finite, a momentum outside [0, 1).
    """

    name = "sgd"

    def __init__(self, lr: float = 1e-3, momentum: float = 0.9) -> None:
        self.lr = require_positive(lr, "lr")
        self.momentum = require_fraction(momentum, "momentum")
        self.state: dict[str, Array] = {}
        self.steps = 0

    @property
    def config(self) -> dict[str, Any]:
        return {"name": self.name, "momentum": self.momentum}

    def step(self, params: Mapping[str, Array], grads: Mapping[str, Array]) -> None:
        check_keys(params, grads)
        self.steps += 1
        for name, theta in params.items():
            v = slot(self.state, f"v.{name}", theta)
            v *= self.momentum
            v += grads[name]
            theta -= self.lr * v


class Adagrad:
    """s += g^2;  theta -= lr * g / (sqrt(s) + tiny): a step size for every weight, which only ever shrinks.

    Source    Duchi, Hazan & Singer (2011).
    Raises    ValueError: a step size or tiny that is not positive and finite.
    """

    name = "adagrad"

    def __init__(self, lr: float = 1e-2, tiny: float = 1e-8) -> None:
        self.lr = require_positive(lr, "lr")
        self.tiny = require_positive(tiny, "tiny")
        self.state: dict[str, Array] = {}
        self.steps = 0

    @property
    def config(self) -> dict[str, Any]:
        return {"name": self.name, "tiny": self.tiny}

    def step(self, params: Mapping[str, Array], grads: Mapping[str, Array]) -> None:
        check_keys(params, grads)
        self.steps += 1
        for name, theta in params.items():
            g = grads[name]
            s = slot(self.state, f"s.{name}", theta)
            s += g * g
            scale = get_xp(theta).sqrt(s)
            scale += self.tiny
            theta -= self.lr * g / scale


class Adam:
    """m = beta1 m + g;  v = beta2 v + g^2;  theta -= lr m_hat / (sqrt(v_hat) + tiny), with averages m_hat and v_hat.

    m and v are sums over the past, in which a gradient of age a weighs beta^a. Divided by the sum of the weights,
    1 + beta + ... + beta^(t-1) = (1 - beta^t) / (1 - beta), they are averages: m_hat = m / M and v_hat = v / V, those
    of the paper, whose own m and v are (1 - beta1) m and (1 - beta2) v. M and V are two numbers and need not divide
    whole arrays: the same step is theta -= (lr sqrt(V) / M) m / (sqrt(v) + tiny sqrt(V)).

    Source    Kingma & Ba (2015), algorithm 1 and the end of Sec. 2.
    Raises    ValueError: a step size or tiny that is not positive and finite, a beta outside [0, 1).
    """

    name = "adam"

    def __init__(self, lr: float = 1e-3, beta1: float = 0.9, beta2: float = 0.999, tiny: float = 1e-8) -> None:
        self.lr = require_positive(lr, "lr")
        self.beta1 = require_fraction(beta1, "beta1")
        self.beta2 = require_fraction(beta2, "beta2")
        self.tiny = require_positive(tiny, "tiny")
        self.state: dict[str, Array] = {}
        self.steps = 0

    @property
    def config(self) -> dict[str, Any]:
        return {"name": self.name, "beta1": self.beta1, "beta2": self.beta2, "tiny": self.tiny}

    def step(self, params: Mapping[str, Array], grads: Mapping[str, Array]) -> None:
        check_keys(params, grads)
        self.steps += 1
        M = (1 - self.beta1**self.steps) / (1 - self.beta1)  # the sum of the weights in m
        root_V = math.sqrt((1 - self.beta2**self.steps) / (1 - self.beta2))
        for name, theta in params.items():
            g, xp = grads[name], get_xp(theta)
            m, v = slot(self.state, f"m.{name}", theta), slot(self.state, f"v.{name}", theta)
            m *= self.beta1
            m += g
            v *= self.beta2
            v += g * g
            step = xp.sqrt(v)
            step += self.tiny * root_V
            xp.divide(m, step, out=step)
            step *= self.lr * root_V / M
            theta -= step


OPTIMIZERS: dict[str, type[SGD] | type[Adagrad] | type[Adam]] = {
    optimizer.name: optimizer for optimizer in (SGD, Adagrad, Adam)
}
