"""Model: what an autoencoder and a variational autoencoder are made of.

    x -> encoder -> heads (z; or mu and logvar)          z -> decoder -> logits, the parameters of p(x|z)

What happens between the heads and the decoder, and what is maximised, is said in `autoencoder` and in `vae`.

Sizes: B batch, D data, H hidden, Z latent.
"""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np

from scratchvae.arguments import as_floats, require_count, require_generator
from scratchvae.backend import Array, Cache, as_backend, get_xp
from scratchvae.layers import ACTIVATIONS, LAYERS, Chain, Dense, Params, mlp, prefixed
from scratchvae.likelihoods import Bernoulli, Likelihood


class DecodeCache(NamedTuple):
    """What `Model.decode` leaves for `Model.decode_backward`."""

    h: Cache
    logits: Cache


class Model:
    """The layers of both halves, their parameters by name, and the decoder.

    activation  of the hidden layers, relu unless said; short for layers = ("dense", activation).
    layers      what one hidden layer is made of, by name: see `layers.mlp`.

    Shapes    x (B, n_x), z (B, n_z), logits (B, n_x n_params). n_hidden is mirrored in the decoder; () makes it linear.
    Raises    ValueError: a size below 1, an unknown layer, dtype or backend, both activation and layers.
    """

    kind: ClassVar[str]  # its name in a checkpoint
    head_names: ClassVar[tuple[str, ...]]  # the linear layers on top of the encoder

    encode: Callable[..., Any]  # these five are what a model adds: see `Autoencoder` and `VAE`
    draw_eps: Callable[..., Any]
    objective: Callable[..., tuple[Any, Cache]]
    backward: Callable[..., dict[str, Array]]
    reconstruct: Callable[..., Array]

    def __init__(
        self,
        n_x: int,
        n_hidden: Sequence[int] = (400,),
        n_z: int = 20,
        activation: str | None = None,
        likelihood: Likelihood | None = None,
        *,
        layers: Sequence[str] | None = None,
        rng: np.random.Generator,
        dtype: str = "float32",
        backend: str = "numpy",
    ) -> None:
        self.n_x, self.n_z = require_count(n_x, "n_x"), require_count(n_z, "n_z")
        if isinstance(n_hidden, int):
            raise ValueError(f"n_hidden should be a sequence of widths such as (400,), got {n_hidden}")
        if likelihood is not None and (isinstance(likelihood, type) or not hasattr(likelihood, "nll")):
            raise ValueError(f"likelihood should be an object such as Bernoulli(), got {likelihood!r}")
        self.n_hidden = tuple(require_count(width, "every width in n_hidden") for width in n_hidden)
        self.layers = named_layers(activation, layers)
        self.likelihood = Bernoulli() if likelihood is None else likelihood
        self.dtype = str(dtype)  # why: x.dtype is welcome, and config is for JSON
        how: dict[str, Any] = {"rng": require_generator(rng), "dtype": self.dtype, "backend": backend}
        from_encoder = (n_x, *self.n_hidden)[-1]  # widths; without hidden layers those of x and of z themselves
        from_decoder = (n_z, *self.n_hidden[::-1])[-1]
        self.encoder = mlp(n_x, self.n_hidden, self.layers, name="encoder", **how)
        self.heads = {name: Dense(from_encoder, n_z, **how) for name in self.head_names}
        self.decoder = mlp(n_z, self.n_hidden[::-1], self.layers, name="decoder", **how)
        self.logits = Dense(from_decoder, n_x * self.likelihood.n_params, **how)
        self.require_rows(self.encoder, n_x, from_encoder)
        self.require_rows(self.decoder, n_z, from_decoder)
        heads = {key: p for name, head in self.heads.items() for key, p in prefixed(name, head.params).items()}
        logits = prefixed("logits", self.logits.params)
        self.params = Params({**self.encoder.params, **heads, **self.decoder.params, **logits})

    @property
    def xp(self) -> Any:
        """The array library of the parameters, a module: see `backend.get_xp`."""
        return get_xp(self.logits.params["b"])

    @property
    def config(self) -> dict[str, Any]:
        """What it takes to build this model again, in words and numbers that JSON can hold."""
        return {
            "kind": self.kind,
            "n_x": self.n_x,
            "n_hidden": list(self.n_hidden),
            "n_z": self.n_z,
            "layers": list(self.layers),
            "likelihood": self.likelihood.config,
            "dtype": self.dtype,
        }

    def require_rows(self, chain: Chain, n_in: int, n_out: int) -> None:
        """A ValueError if hidden layers do not turn rows (B, n_in) into (B, n_out) of the model's dtype: tried once."""
        wanted = f"layers should turn {self.dtype} (B, {n_in}) into (B, {n_out}), each a row by itself"
        try:
            y, _ = chain.forward(self.xp.zeros((2, n_in), dtype=self.dtype))
        except Exception as error:  # why: a layer of a reader's may raise anything
            raise ValueError(f"{wanted}; {self.layers} end in {type(error).__name__}: {error}") from error
        if y.shape != (2, n_out) or y.dtype != self.dtype:
            raise ValueError(f"{wanted}; {self.layers} make {y.dtype} of shape {y.shape} of two rows")

    def as_input(self, array: Array, name: str, shape: tuple[int | str, ...]) -> Array:
        """An argument in the model's own dtype and on its own backend, its shape checked: a letter is any size."""
        return as_floats(array, name, shape, like=self.logits.params["b"])

    def on_backend(self, array: np.ndarray) -> Array:
        """Numbers drawn on the host, in the model's dtype and on its backend."""
        return as_backend(array, self.xp, self.dtype)

    def start_output_bias(self, pixel_mean: np.ndarray) -> None:
        """Start an untrained decoder at the average image: logits.b = the likelihood's parameters of it, (D n_params,).

        Shapes    pixel_mean (D,), in the units of x.
        """
        b = self.logits.params["b"]
        if not b.any():
            b[...] = self.as_input(self.likelihood.output_bias(pixel_mean), "output_bias", b.shape)

    def decode(self, z: Array) -> tuple[Array, DecodeCache]:
        """logits = decoder(z), the parameters of p(x|z).

        Shapes    z (B, Z) -> logits (B, D n_params).
        """
        z = self.as_input(z, "z", ("B", self.n_z))  # (B, Z)
        h, h_cache = self.decoder.forward(z)  # (B, H)
        logits, logits_cache = self.logits.forward(h)  # (B, D n_params)
        return logits, DecodeCache(h_cache, logits_cache)

    def decode_backward(
        self, dlogits: Array, cache: DecodeCache, trace: dict[str, Array] | None = None
    ) -> tuple[Array, dict[str, Array]]:
        dh, logits_grads = self.logits.backward(dlogits, cache.logits)  # (B, H)
        dz, decoder_grads = self.decoder.backward(dh, cache.h, trace=trace)  # (B, Z)
        return dz, {**decoder_grads, **prefixed("logits", logits_grads)}


def named_layers(activation: str | None, layers: Sequence[str] | None) -> tuple[str, ...]:
    """What one hidden layer is made of: ("dense", activation), or layers as given."""
    if layers is None:
        activation = "relu" if activation is None else activation
        if activation not in (*ACTIVATIONS, *LAYERS):
            raise ValueError(f"activation should be one of {', '.join(ACTIVATIONS)}, got {activation!r}")
        return ("dense", activation)
    if activation is not None:
        raise ValueError(f"layers should name the activation too, got activation={activation!r} beside {layers!r}")
    if isinstance(layers, str):
        raise ValueError(f"layers should be several names, such as ('dense', 'relu'), got {layers!r}")
    return tuple(layers)
