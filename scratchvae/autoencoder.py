"""Autoencoder: the deterministic ancestor of the VAE. It squeezes x through a code z and is asked for x back.

Sizes: B batch, D data, H hidden, Z latent.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from scratchvae.backend import Array, Cache, as_floats, require_count
from scratchvae.layers import MLP, Dense, prefixed
from scratchvae.likelihoods import Bernoulli, Likelihood


class AutoencoderTerms(NamedTuple):
    """Per example, in nats, (B,). objective = -nll is what training maximises."""

    nll: Array
    objective: Array


class AutoencoderCache(NamedTuple):
    """What `Autoencoder.objective` leaves for `Autoencoder.backward`."""

    B: int
    encode: Cache
    decode: Cache
    nll: Cache


class Autoencoder:
    """x -> encoder -> z -> decoder -> logits, trained to maximise log p(x|z) at z = f(x).

    There is no prior and no noise: nothing says what the codes look like as a whole, so there is nothing to draw from.

    Shapes    x (B, n_x), z (B, n_z), logits (B, n_x). n_hidden is mirrored in the decoder; () makes it linear.
    Raises    ValueError: a size below 1, an unknown activation, dtype or backend.
    """

    kind = "autoencoder"
    head_names: tuple[str, ...] = ("z",)  # the linear layers on top of the encoder

    def __init__(
        self,
        n_x: int,
        n_hidden: Sequence[int] = (400,),
        n_z: int = 20,
        activation: str = "relu",
        likelihood: Likelihood | None = None,
        *,
        rng: np.random.Generator,
        dtype: str = "float32",
        backend: str = "numpy",
    ) -> None:
        self.n_x, self.n_z = require_count(n_x, "n_x"), require_count(n_z, "n_z")
        if isinstance(n_hidden, int):
            raise ValueError(f"n_hidden should be a sequence of widths such as (400,), got {n_hidden}")
        if likelihood is not None and (isinstance(likelihood, type) or not hasattr(likelihood, "nll")):
            raise ValueError(f"likelihood should be an object such as Bernoulli(), got {likelihood!r}")
        self.n_hidden = tuple(n_hidden)
        self.activation = activation
        self.likelihood = Bernoulli() if likelihood is None else likelihood
        self.dtype = dtype
        how: dict[str, Any] = {"rng": rng, "dtype": dtype, "backend": backend}
        self.encoder = MLP(n_x, self.n_hidden, activation, **how)
        self.heads = {name: Dense(self.encoder.n_out, n_z, **how) for name in self.head_names}
        self.decoder = MLP(n_z, self.n_hidden[::-1], activation, **how)
        self.logits = Dense(self.decoder.n_out, n_x * self.likelihood.n_params, **how)

    @property
    def params(self) -> dict[str, Array]:
        """Every parameter by name. The arrays are the layers' own, write into them; the dict is made anew."""
        layers: dict[str, MLP | Dense] = {
            "encoder": self.encoder,
            **self.heads,
            "decoder": self.decoder,
            "logits": self.logits,
        }
        return {key: p for name, layer in layers.items() for key, p in prefixed(name, layer.params).items()}

    @property
    def config(self) -> dict[str, Any]:
        """What it takes to build this model again, in words and numbers that JSON can hold."""
        return {
            "kind": self.kind,
            "n_x": self.n_x,
            "n_hidden": list(self.n_hidden),
            "n_z": self.n_z,
            "activation": self.activation,
            "likelihood": self.likelihood.config,
            "dtype": self.dtype,
        }

    def as_input(self, array: Array, name: str, shape: tuple[int | None, ...]) -> Array:
        """An argument in the model's own dtype and on its own backend, its shape checked; None stands for B."""
        return as_floats(array, name, shape, like=self.logits.params["b"])

    def start_output_bias(self, pixel_mean: np.ndarray) -> None:
        """Start an untrained decoder at the average image: logits.b = the logit (or value) of the pixel mean, (D,)."""
        if self.logits.params["b"].any():
            return
        self.logits.params["b"][...] = self.as_input(self.likelihood.output_bias(pixel_mean), "pixel_mean", (self.n_x,))

    # -- the two halves ------------------------------------------------------------------------------------------------

    def encode(self, x: Array) -> tuple[Array, Cache]:
        """z = f(x).

        Shapes    x (B, D) -> z (B, Z).
        """
        x = self.as_input(x, "x", (None, self.n_x))  # (B, D)
        h, h_cache = self.encoder.forward(x)  # (B, H)
        z, z_cache = self.heads["z"].forward(h)  # (B, Z)
        return z, (h_cache, z_cache)

    def encode_backward(self, dz: Array, cache: Cache, trace: dict[str, Array] | None = None) -> dict[str, Array]:
        h_cache, z_cache = cache
        dh, z_grads = self.heads["z"].backward(dz, z_cache)  # (B, H)
        return {**self._encoder_grads(dh, h_cache, trace), **prefixed("z", z_grads)}

    def _encoder_grads(self, dh: Array, h_cache: Cache, trace: dict[str, Array] | None) -> dict[str, Array]:
        inner: dict[str, Array] = {}
        _, grads = self.encoder.backward(dh, h_cache, need_dx=False, trace=inner)
        if trace is not None:
            trace.update(prefixed("encoder", inner))
        return prefixed("encoder", grads)

    def decode(self, z: Array) -> tuple[Array, Cache]:
        """logits = g(z), the natural parameters of p(x|z).

        Shapes    z (B, Z) -> logits (B, D).
        """
        z = self.as_input(z, "z", (None, self.n_z))  # (B, Z)
        h, h_cache = self.decoder.forward(z)  # (B, H)
        logits, logits_cache = self.logits.forward(h)  # (B, D)
        return logits, (h_cache, logits_cache)

    def decode_backward(
        self, dlogits: Array, cache: Cache, trace: dict[str, Array] | None = None
    ) -> tuple[Array, dict[str, Array]]:
        h_cache, logits_cache = cache
        inner: dict[str, Array] = {}
        dh, logits_grads = self.logits.backward(dlogits, logits_cache)  # (B, H)
        dz, decoder_grads = self.decoder.backward(dh, h_cache, trace=inner)  # (B, Z)
        if trace is not None:
            trace.update(prefixed("decoder", inner))
        return dz, {**prefixed("decoder", decoder_grads), **prefixed("logits", logits_grads)}

    # -- what is maximised ---------------------------------------------------------------------------------------------

    def draw_eps(self, B: int, rng: np.random.Generator) -> Array | None:
        """None: this model has no noise. `fit` asks every model for it."""
        return None

    def objective(self, x: Array, eps: None = None, beta: float = 1.0) -> tuple[AutoencoderTerms, Cache]:
        """objective = log p(x|z) at z = f(x). eps and beta are part of the protocol, and mean nothing here.

        Shapes    x (B, D); every term (B,).
        Units     nats per example.
        Backward  dnll = -dobjective, then back through the likelihood, the decoder and the encoder.
        """
        x = self.as_input(x, "x", (None, self.n_x))  # (B, D)
        z, encode_cache = self.encode(x)  # (B, Z)
        logits, decode_cache = self.decode(z)  # (B, D)
        nll, nll_cache = self.likelihood.nll(x, logits)  # (B,)
        return AutoencoderTerms(nll, -nll), AutoencoderCache(len(x), encode_cache, decode_cache, nll_cache)

    def backward(
        self, dobjective: Array, cache: AutoencoderCache, trace: dict[str, Array] | None = None
    ) -> dict[str, Array]:
        """The gradient of sum_b dobjective_b * objective_b: same keys and shapes as params.

        trace, a dict, receives every intermediate gradient by name.
        """
        dnll = -self.as_input(dobjective, "dobjective", (cache.B,))  # (B,)
        dlogits = self.likelihood.nll_backward(dnll, cache.nll)  # (B, D)
        dz, decoder_grads = self.decode_backward(dlogits, cache.decode, trace)  # (B, Z)
        encoder_grads = self.encode_backward(dz, cache.encode, trace)
        if trace is not None:
            trace.update(dnll=dnll, dlogits=dlogits, dz=dz)
        return {**encoder_grads, **decoder_grads}

    def reconstruct(self, x: Array) -> Array:
        """x_mean = E[x|z] at z = f(x), (B, D)."""
        z, _ = self.encode(x)
        logits, _ = self.decode(z)
        return self.likelihood.mean(logits)
