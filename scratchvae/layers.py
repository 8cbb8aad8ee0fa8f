"""Dense layers and activations: each forward with its derivative right below it.

A forward returns `y, cache`; its backward takes `dy`, the gradient of some scalar with respect to y, and the cache, and
returns the gradient with respect to the inputs. Nothing is kept anywhere else. `Dense` and `MLP` hold parameters and
call the functions.

Sizes: B batch, I inputs of a layer, O outputs of a layer.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from scratchvae.backend import DTYPES, Array, Cache, as_backend, get_xp, require_count, resolve_backend

# ---------------------------------------------------------------------------------------------------------------------
# The dense layer


def dense(x: Array, W: Array, b: Array) -> tuple[Array, Cache]:
    """y = x W + b, row by row: y_bo = sum_i x_bi W_io + b_o.

    Shapes    x (B, I), W (I, O), b (O,), y (B, O).
    Backward  dx = dy W^T;  dW = x^T dy;  db = sum_b dy_b, since b is used once for every row.
    Source    [eq: dense], [eq: dense-dx], [eq: dense-dw], [eq: dense-db].
    """
    y = x @ W  # (B, O)
    y += b
    return y, (x, W)


def dense_backward(dy: Array, cache: Cache) -> tuple[Array, Array, Array]:
    _, W = cache
    dx = dy @ W.T  # (B, I)
    return dx, *dense_backward_parameters(dy, cache)


def dense_backward_parameters(dy: Array, cache: Cache) -> tuple[Array, Array]:
    """The half of `dense_backward` that a first layer needs: nobody asks for the gradient of the data."""
    x, _ = cache
    dW = x.T @ dy  # (I, O)
    db = dy.sum(axis=0)  # (O,)
    return dW, db


# ---------------------------------------------------------------------------------------------------------------------
# Activations: elementwise, so the cache is whatever makes the derivative one multiplication


def relu(x: Array) -> tuple[Array, Cache]:
    """y = max(x, 0).

    Shapes    any; y like x.
    Backward  dx = dy where x > 0, else 0. At the kink x = 0 the slope is taken to be 0.
    Source    [eq: relu].
    """
    xp = get_xp(x)
    return xp.maximum(x, 0), x > 0  # why: y >= 0 would be true everywhere; the mask belongs to the input


def relu_backward(dy: Array, cache: Cache) -> Array:
    positive = cache
    return dy * positive


def tanh(x: Array) -> tuple[Array, Cache]:
    """y = tanh(x).

    Shapes    any; y like x.
    Backward  dx = dy (1 - y^2).
    Source    [eq: tanh].
    """
    y = get_xp(x).tanh(x)
    return y, y


def tanh_backward(dy: Array, cache: Cache) -> Array:
    y = cache
    return dy * (1 - y * y)


def sigmoid(x: Array) -> tuple[Array, Cache]:
    """y = 1 / (1 + exp(-x)), computed as (1 + tanh(x / 2)) / 2: the same function, with no exp that could overflow.

    Shapes    any; y like x, in [0, 1].
    Backward  dx = dy y (1 - y).
    Source    [eq: sigmoid].
    """
    y = get_xp(x).tanh(0.5 * x)
    y += 1
    y *= 0.5
    return y, y


def sigmoid_backward(dy: Array, cache: Cache) -> Array:
    y = cache
    return dy * (y * (1 - y))


def softplus(x: Array) -> tuple[Array, Cache]:
    """y = log(1 + exp(x)), computed as max(x, 0) - log(max(p, 1 - p)) with p = sigmoid(x): finite for every finite x.

    For x > 0 it is x + log(1 + exp(-x)) = x - log(p); for x < 0 it is -log(1 - p). The larger of p and 1 - p is never
    below 1/2, so the logarithm is safe. The absolute error is of the order of the dtype's epsilon; far to the left,
    where y itself is smaller than that, y is 0. (log1p would keep those digits and costs ten times as much.)

    Shapes    any; y like x.
    Backward  dx = dy p: the derivative of softplus is the sigmoid.
    Source    [eq: softplus].
    """
    xp = get_xp(x)
    p, _ = sigmoid(x)
    y = xp.maximum(p, 1 - p)
    y = xp.maximum(x, 0) - xp.log(y)
    return y, p


def softplus_backward(dy: Array, cache: Cache) -> Array:
    p = cache
    return dy * p


ACTIVATIONS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "relu": (relu, relu_backward),
    "tanh": (tanh, tanh_backward),
    "sigmoid": (sigmoid, sigmoid_backward),
    "softplus": (softplus, softplus_backward),
}

# ---------------------------------------------------------------------------------------------------------------------
# Where the weights start


def glorot_uniform(n_in: int, n_out: int, rng: np.random.Generator) -> np.ndarray:
    """W_io ~ Uniform(-a, a) with a = sqrt(6 / (I + O)): keeps the variance of tanh and sigmoid layers level.

    Shapes    (I, O).
    Source    Glorot & Bengio (2010), eq. 16.
    """
    a = math.sqrt(6 / (n_in + n_out))
    return rng.uniform(-a, a, size=(n_in, n_out))


def he_normal(n_in: int, n_out: int, rng: np.random.Generator) -> np.ndarray:
    """W_io ~ N(0, 2 / I): twice the variance, because relu sets half of its inputs to zero.

    Shapes    (I, O).
    Source    He et al. (2015), eq. 10.
    """
    return rng.standard_normal((n_in, n_out)) * math.sqrt(2 / n_in)


Init = Callable[[int, int, np.random.Generator], np.ndarray]
INITS: dict[str, Init] = {
    "relu": he_normal,
    "softplus": he_normal,  # a smooth relu
    "tanh": glorot_uniform,
    "sigmoid": glorot_uniform,
}

# ---------------------------------------------------------------------------------------------------------------------
# Thin holders of parameters


def prefixed(name: str, arrays: dict[str, Array]) -> dict[str, Array]:
    """The same arrays under longer names: prefixed("mu", {"W": W}) is {"mu.W": W}."""
    return {f"{name}.{key}": array for key, array in arrays.items()}


class Dense:
    """y = x W + b with its own W and b; W from init, b zero. The draws are made on the host, in float64.

    Shapes    params["W"] (I, O), params["b"] (O,).
    Source    `glorot_uniform` (the default, right for a linear layer) or `he_normal`.
    Raises    ValueError: a size below 1, a dtype other than float32 and float64, a backend that is not there.
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        *,
        rng: np.random.Generator,
        init: Init = glorot_uniform,
        dtype: str = "float32",
        backend: str = "numpy",
    ) -> None:
        if dtype not in DTYPES:
            raise ValueError(f"dtype should be one of {', '.join(DTYPES)}, got {dtype!r}")
        xp = resolve_backend(backend)
        n_in, n_out = require_count(n_in, "n_in"), require_count(n_out, "n_out")
        self.params = {
            "W": as_backend(init(n_in, n_out, rng), xp, dtype),  # (I, O)
            "b": as_backend(np.zeros(n_out), xp, dtype),  # (O,)
        }

    def forward(self, x: Array) -> tuple[Array, Cache]:
        return dense(x, self.params["W"], self.params["b"])

    def backward(self, dy: Array, cache: Cache, need_dx: bool = True) -> tuple[Array, dict[str, Array]]:
        """dx (B, I), grads with the keys and shapes of params; dx is None if nobody needs it."""
        if not need_dx:
            dW, db = dense_backward_parameters(dy, cache)
            return None, {"W": dW, "b": db}
        dx, dW, db = dense_backward(dy, cache)
        return dx, {"W": dW, "b": db}


class MLP:
    """Dense layers, each followed by the activation: h = act(... act(x W_0 + b_0) ...). Without layers it is h = x.

    Shapes    params["0.W"] (I, n_hidden[0]), params["0.b"] (n_hidden[0],), params["1.W"] ...; the dense layers count.
    Source    [eq: mlp].
    Raises    ValueError: an unknown activation, a width below 1.
    """

    def __init__(
        self,
        n_in: int,
        n_hidden: Sequence[int],
        activation: str = "relu",
        *,
        rng: np.random.Generator,
        dtype: str = "float32",
        backend: str = "numpy",
    ) -> None:
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation should be one of {', '.join(ACTIVATIONS)}, got {activation!r}")
        self.activation = activation
        self.widths = (n_in, *(require_count(width, "every width in n_hidden") for width in n_hidden))
        self.layers = [
            Dense(i, o, rng=rng, init=INITS[activation], dtype=dtype, backend=backend)
            for i, o in zip(self.widths[:-1], self.widths[1:], strict=True)
        ]

    @property
    def n_out(self) -> int:
        return self.widths[-1]

    @property
    def params(self) -> dict[str, Array]:
        """The layers' own arrays under their flat names; write into them, since the dict is made anew at each look."""
        return {key: p for i, layer in enumerate(self.layers) for key, p in prefixed(str(i), layer.params).items()}

    def forward(self, x: Array) -> tuple[Array, Cache]:
        act, _ = ACTIVATIONS[self.activation]
        caches = []
        h = x  # (B, I)
        for layer in self.layers:
            a, dense_cache = layer.forward(h)  # (B, O) before the activation
            h, act_cache = act(a)  # (B, O) after it
            caches.append((dense_cache, act_cache))
        return h, caches

    def backward(
        self, dy: Array, cache: Cache, need_dx: bool = True, trace: dict[str, Array] | None = None
    ) -> tuple[Array, dict[str, Array]]:
        """dx (B, I), grads with the keys and shapes of params; trace receives the gradient of every h and a."""
        _, act_backward = ACTIVATIONS[self.activation]
        grads: dict[str, Array] = {}
        dh = dy  # (B, O) of the last layer
        for i in reversed(range(len(self.layers))):
            dense_cache, act_cache = cache[i]
            da = act_backward(dh, act_cache)  # (B, O)
            if trace is not None:
                trace.update({f"{i}.dh": dh, f"{i}.da": da})
            dh, layer_grads = self.layers[i].backward(da, dense_cache, need_dx=need_dx or i > 0)  # (B, I)
            grads.update(prefixed(str(i), layer_grads))
        return dh, grads
