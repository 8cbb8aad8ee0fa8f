"""Dense layers and activations: each forward with its derivative right below it.

A forward returns `y, cache`; its backward takes `dy`, the gradient of some scalar with respect to y, and the cache, and
returns the gradient with respect to the inputs. Nothing is kept anywhere else. The classes below the functions hold
parameters and call them; `Chain` puts one behind the other.

Sizes: B batch, I inputs of a layer, O outputs of a layer, H hidden units.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from scratchvae.arguments import require_count
from scratchvae.backend import DTYPES, Array, Cache, as_backend, get_xp, resolve_backend

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
    dW, db = dense_backward_parameters(dy, cache)
    return dx, dW, db


def dense_backward_parameters(dy: Array, cache: Cache) -> tuple[Array, Array]:
    """The half of `dense_backward` that a first layer needs: nobody asks for the gradient of the data."""
    x, _ = cache
    dW = x.T @ dy  # (I, O)
    db = dy.sum(axis=0)  # (O,)
    return dW, db


# ---------------------------------------------------------------------------------------------------------------------
# Layer normalisation


class LayerNormCache(NamedTuple):
    """What `layer_norm` leaves for its backward."""

    u: Array  # (B, H) the normalised inputs
    scale: Array  # (B, 1) 1 / the standard deviation of a row
    gain: Array  # (H,)


def layer_norm(x: Array, gain: Array, b: Array, tiny: float = 1e-5) -> tuple[Array, LayerNormCache]:
    """y = gain * u + b with u = (x - mean) / sqrt(variance + tiny): mean and variance over the features of a row.

    Each example is normalised by itself: unlike batch normalisation, no row knows of the others.

    Shapes    x, y (B, H), gain, b (H,).
    Backward  with du = dy gain:  dx = (du - mean(du) - u mean(du u)) / sqrt(variance + tiny), the means over a row;
              dgain = sum_b dy_b u_b;  db = sum_b dy_b.
    Source    Ba, Kiros & Hinton (2016), arXiv 1607.06450, eq. 4; [eq: layer-norm], [eq: layer-norm-backward].
    """
    u = x - x.mean(axis=1, keepdims=True)  # (B, H)
    scale = 1 / get_xp(x).sqrt((u * u).mean(axis=1, keepdims=True) + tiny)  # (B, 1)
    u *= scale
    return gain * u + b, LayerNormCache(u, scale, gain)


def layer_norm_backward(dy: Array, cache: LayerNormCache) -> tuple[Array, Array, Array]:
    u, scale, gain = cache
    du = dy * gain  # (B, H)
    dx = du - du.mean(axis=1, keepdims=True)  # (B, H)  a shift of the row changes nothing
    dx -= u * (du * u).mean(axis=1, keepdims=True)  # (B, H)  and neither does a stretch, but for tiny
    dx *= scale
    return dx, (dy * u).sum(axis=0), dy.sum(axis=0)  # (B, H) dx, (H,) dgain, (H,) db


# ---------------------------------------------------------------------------------------------------------------------
# Activations: elementwise, so the cache is whatever makes the derivative one multiplication


def relu(x: Array) -> tuple[Array, Cache]:
    """y = max(x, 0).

    Shapes    any; y like x.
    Backward  dx = dy where x > 0, else 0. At the kink x = 0 the slope is taken to be 0.
    Source    [eq: relu].
    """
    xp = get_xp(x)
    return xp.maximum(x, 0), x > 0  # why: strictly; y >= 0 is true everywhere


def relu_backward(dy: Array, cache: Cache) -> Array:
    positive = cache
    return dy * positive


def tanh(x: Array) -> tuple[Array, Cache]:
    """y = tanh(x). The cache is y itself, the same array: who writes into it spoils the backward.

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

    The cache is y itself, the same array: who writes into it spoils the backward.

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
    below 1/2, so the logarithm is safe. The error is of the order of the dtype's epsilon, absolute where y < 1 and
    relative where y > 1; far to the left, where y itself is smaller than that, y is 0. (log1p would keep those digits,
    and costs up to several times as much where NumPy has no vectorised one, as without AVX-512.)

    Shapes    any; y like x.
    Backward  dx = dy p: the derivative of softplus is the sigmoid.
    Source    [eq: softplus].
    """
    xp = get_xp(x)
    p, _ = sigmoid(x)
    larger = xp.maximum(p, 1 - p)
    y = xp.maximum(x, 0) - xp.log(larger)
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
    """W_io ~ Uniform(-limit, limit), limit = sqrt(6 / (I + O)), so that the variance of W is 2 / (I + O).

    It lies between 1 / I, which keeps the variance of a linear layer level, and 1 / O, which does so for its dx.

    Shapes    (I, O).
    Source    Glorot & Bengio (2010), eq. 16.
    """
    limit = math.sqrt(6 / (n_in + n_out))
    return rng.uniform(-limit, limit, size=(n_in, n_out))


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


class Params(Mapping[str, Array]):
    """Parameters by name. The mapping is read-only; its arrays are the layers' own, and are there to be written into.

    Raises    TypeError: params[name] = array, which would leave the layer with the array that it has.

    Example
        >>> layer = Dense(2, 3, rng=np.random.default_rng(0))
        >>> layer.params["b"][...] = 1
        >>> layer.params["b"] += 1
        >>> layer.forward(np.zeros((1, 2), "float32"))[0]
        array([[2., 2., 2.]], dtype=float32)
    """

    def __init__(self, arrays: Mapping[str, Array]) -> None:
        self._arrays = dict(arrays)

    def __getitem__(self, name: str) -> Array:
        return self._arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def __setitem__(self, name: str, array: Array) -> None:
        # why: params[name] += 1 has written into the array by now, and ends here with that same array
        if name not in self._arrays or array is not self._arrays[name]:
            raise TypeError(
                f"params should be written into, not replaced, got params[{name!r}] = ...; "
                f"write params[{name!r}][...] = ... with an array of the same shape"
            )

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name!r}: {array.shape}" for name, array in self.items())
        return f"Params({{{shapes}}})"


def prefixed(name: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The same arrays under longer names: prefixed("mu", {"W": W}) is {"mu.W": W}."""
    return {f"{name}.{key}": array for key, array in arrays.items()}


class Layer(Protocol):
    """What a chain needs. A layer that may come first can save its dx by a method `backward_parameters`, as `Dense`."""

    @property
    def params(self) -> Mapping[str, Array]: ...
    def forward(self, x: Array) -> tuple[Array, Cache]: ...
    def backward(self, dy: Array, cache: Cache) -> tuple[Array, dict[str, Array]]: ...


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
        W = as_backend(init(n_in, n_out, rng), xp, dtype)  # (I, O)
        self.params = Params({"W": W, "b": xp.zeros(n_out, dtype=dtype)})

    def forward(self, x: Array) -> tuple[Array, Cache]:
        return dense(x, self.params["W"], self.params["b"])

    def backward(self, dy: Array, cache: Cache) -> tuple[Array, dict[str, Array]]:
        """dx (B, I), grads with the keys and shapes of params."""
        dx, dW, db = dense_backward(dy, cache)
        return dx, {"W": dW, "b": db}

    def backward_parameters(self, dy: Array, cache: Cache) -> dict[str, Array]:
        """The grads alone."""
        dW, db = dense_backward_parameters(dy, cache)
        return {"W": dW, "b": db}


class LayerNorm:
    """`layer_norm` with its own gain, which starts at 1, and b, which starts at 0. It draws nothing, and needs no init.

    Shapes    params["gain"] (H,), params["b"] (H,).
    Raises    ValueError: other than as many outputs as inputs.
    """

    def __init__(self, n_in: int, n_out: int, *, dtype: str, backend: str, **_: Any) -> None:
        if n_in != n_out:
            raise ValueError(f"layer-norm keeps the width, got {n_in} inputs and {n_out} outputs; put dense before it")
        xp = resolve_backend(backend)
        self.params = Params({"gain": xp.ones(n_out, dtype=dtype), "b": xp.zeros(n_out, dtype=dtype)})

    def forward(self, x: Array) -> tuple[Array, Cache]:
        return layer_norm(x, self.params["gain"], self.params["b"])

    def backward(self, dy: Array, cache: Cache) -> tuple[Array, dict[str, Array]]:
        dx, dgain, db = layer_norm_backward(dy, cache)
        return dx, {"gain": dgain, "b": db}


class Activation:
    """An activation as a layer, which has no parameters."""

    def __init__(self, name: str) -> None:
        self._forward, self._backward = ACTIVATIONS[name]
        self.params = Params({})

    def forward(self, x: Array) -> tuple[Array, Cache]:
        return self._forward(x)

    def backward(self, dy: Array, cache: Cache) -> tuple[Array, dict[str, Array]]:
        return self._backward(dy, cache), {}


class Chain:
    """Layers one behind the other, each given what the one before it returns. An empty chain returns x.

    Shapes    params holds those of all layers, under the names of the layers: {"0": Dense(...)} gives "0.W" and "0.b".
    Backward  through the layers in the opposite order; [eq: mlp].

    Example
        >>> rng = np.random.default_rng(0)
        >>> chain = Chain({"0": Dense(3, 4, rng=rng), "0.relu": Activation("relu"), "1": Dense(4, 2, rng=rng)})
        >>> y, cache = chain.forward(np.ones((5, 3), "float32"))
        >>> dx, grads = chain.backward(np.ones_like(y), cache)
        >>> dx.shape, list(grads)
        ((5, 3), ['1.W', '1.b', '0.W', '0.b'])
    """

    def __init__(self, layers: Mapping[str, Layer]) -> None:
        self.layers = dict(layers)
        self.params = Params(
            {key: array for name, layer in layers.items() for key, array in prefixed(name, layer.params).items()}
        )

    def forward(self, x: Array) -> tuple[Array, Cache]:
        caches = {}
        for name, layer in self.layers.items():
            x, caches[name] = layer.forward(x)
        return x, caches

    def backward(
        self, dy: Array, cache: Cache, need_dx: bool = True, trace: dict[str, Array] | None = None
    ) -> tuple[Array, dict[str, Array]]:
        """dx, grads with the keys and shapes of params. trace, a dict, receives every layer's dy, as in "0.relu.dy".

        need_dx   False for the first layers of a model, whose x is data: then dx is None where that saves work.
        """
        grads: dict[str, Array] = {}
        first = next(iter(self.layers), None)
        for name, layer in reversed(self.layers.items()):
            if trace is not None:
                trace[f"{name}.dy"] = dy
            if name == first and not need_dx and hasattr(layer, "backward_parameters"):
                dy, layer_grads = None, layer.backward_parameters(dy, cache[name])
            else:
                dy, layer_grads = layer.backward(dy, cache[name])
            grads.update(prefixed(name, layer_grads))
        return dy, grads


LAYERS: dict[str, Callable[..., Layer]] = {"dense": Dense, "layer-norm": LayerNorm}


def make_layer(name: str, n_in: int, n_out: int, **how: Any) -> Layer:
    """The layer of that name in `LAYERS`, or the activation in `ACTIVATIONS`."""
    return Activation(name) if name in ACTIVATIONS else LAYERS[name](n_in, n_out, **how)


def mlp(
    n_in: int,
    n_hidden: Sequence[int],
    layers: Sequence[str] = ("dense", "relu"),
    *,
    name: str = "",
    rng: np.random.Generator,
    dtype: str = "float32",
    backend: str = "numpy",
) -> Chain:
    """A multilayer perceptron: for each width in n_hidden the layers named, the first of which makes the width.

    All but activations are built as Layer(n_in, n_out, rng=, init=, dtype=, backend=); init suits the activation.
    The first is called by its number, 0, 1, ..., the others after it: layers = ("dense", "layer-norm", "relu") has the
    parameters "0.W", "0.b", "0.layer-norm.gain", "0.layer-norm.b", "1.W", ..., with the name "encoder" before them
    "encoder.0.W", ... Without widths the chain is empty.

    Source    [eq: mlp].
    Raises    ValueError: a name that is not known or that comes twice, a width below 1.
    """
    known = (*LAYERS, *ACTIVATIONS)
    if not layers or len(set(layers)) < len(layers) or not set(layers) <= set(known):
        raise ValueError(f"layers should be some of {', '.join(known)}, each once, got {layers!r}")
    if layers[0] in ACTIVATIONS:
        raise ValueError(f"layers should begin with one that makes the width, such as dense, got {layers!r}")
    init = next((INITS[layer] for layer in layers if layer in INITS), glorot_uniform)
    chain: dict[str, Layer] = {}
    for i, n_out in enumerate(n_hidden):
        number = f"{name}.{i}" if name else f"{i}"
        for layer in layers:
            key = number if layer == layers[0] else f"{number}.{layer}"
            chain[key] = make_layer(layer, n_in, n_out, rng=rng, init=init, dtype=dtype, backend=backend)
            n_in = n_out
    return Chain(chain)
