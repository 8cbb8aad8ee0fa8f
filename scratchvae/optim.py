"""SGD, Adagrad and Adam: what to do with a gradient.

Optimizers *minimise*: the gradients handed to `step` are those of the loss. They are the one exception to the law of
the house: `step` changes the parameters in place. It leaves the gradients as they were.
"""

import math
from collections.abc import Callable, Mapping
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
    """The array of that name in an optimizer's state; zeros when it is first asked for."""
    if name not in state:
        state[name] = get_xp(like).zeros_like(like)
    return state[name]


def check_keys(params: Mapping[str, Array], grads: Mapping[str, Array]) -> None:
    """Every parameter has its gradient: a zip that stops short would leave some untrained for ever."""
    if params.keys() != grads.keys():
        odd = sorted(params.keys() ^ grads.keys())
        raise ValueError(f"grads should have the keys of params; only one of the two has {', '.join(odd)}")


class SGD:
    """v = momentum * v + grad;  param -= lr * v.  momentum = 0 is plain gradient descent.

    v is the velocity, one array for each parameter.

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
        for name, param in params.items():
            v = slot(self.state, f"v.{name}", param)
            v *= self.momentum
            v += grads[name]
            param -= self.lr * v


class Adagrad:
    """s += grad^2;  param -= lr * grad / (sqrt(s) + tiny): a step size for every weight, which only ever shrinks.

    s is the sum of the squares so far, one array for each parameter.

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
        for name, param in params.items():
            grad = grads[name]
            s = slot(self.state, f"s.{name}", param)
            s += grad * grad
            root = get_xp(param).sqrt(s)
            root += self.tiny
            param -= self.lr * grad / root


class Adam:
    """m = beta1 m + grad;  v = beta2 v + grad^2;  param -= lr m_hat / (sqrt(v_hat) + tiny), m_hat and v_hat averages.

    m and v are sums over the past, one array for each parameter, in which a gradient weighs beta1^age and its square
    beta2^age. Divided by the sum of the weights, 1 + beta1 + ... + beta1^(steps - 1) = (1 - beta1^steps) / (1 - beta1),
    they are averages: m_hat = m / m_weight and v_hat = v / v_weight, those of the paper, whose own m and v are
    (1 - beta1) m and (1 - beta2) v. The two weights are numbers and need not divide whole arrays: the same step is
    param -= (lr sqrt(v_weight) / m_weight) m / (sqrt(v) + tiny sqrt(v_weight)).

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
        m_weight = (1 - self.beta1**self.steps) / (1 - self.beta1)
        root_v_weight = math.sqrt((1 - self.beta2**self.steps) / (1 - self.beta2))
        for name, param in params.items():
            grad, xp = grads[name], get_xp(param)
            m, v = slot(self.state, f"m.{name}", param), slot(self.state, f"v.{name}", param)
            m *= self.beta1
            m += grad
            v *= self.beta2
            v += grad * grad
            step = xp.sqrt(v)
            step += self.tiny * root_v_weight
            xp.divide(m, step, out=step)
            step *= self.lr * root_v_weight / m_weight
            param -= step


OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {optimizer.name: optimizer for optimizer in (SGD, Adagrad, Adam)}
