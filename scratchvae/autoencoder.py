"""Autoencoder: the deterministic ancestor of the VAE. It squeezes x through a code z and is asked for x back.

Sizes: B batch, D data, H hidden, Z latent.
"""

from typing import NamedTuple

import numpy as np

from scratchvae.backend import Array, Cache
from scratchvae.layers import prefixed
from scratchvae.model import Model


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


class Autoencoder(Model):
    """x -> encoder -> z -> decoder -> logits, trained to maximise log p(x|z) at z = encoder(x); see `Model`.

    There is no prior and no noise: nothing fixes how codes are distributed. A density can be fitted to them afterwards,
    and then it is another model, from which one can draw.

    Shapes    x (B, n_x), z (B, n_z), logits (B, n_x n_params). n_hidden is mirrored in the decoder; () makes it linear.
    """

    kind = "autoencoder"
    head_names = ("z",)

    def encode(self, x: Array) -> tuple[Array, Cache]:
        """z = encoder(x).

        Shapes    x (B, D) -> z (B, Z).
        """
        x = self.as_input(x, "x", ("B", self.n_x))  # (B, D)
        h, h_cache = self.encoder.forward(x)  # (B, H)
        z, z_cache = self.heads["z"].forward(h)  # (B, Z)
        return z, (h_cache, z_cache)

    def encode_backward(self, dz: Array, cache: Cache, trace: dict[str, Array] | None = None) -> dict[str, Array]:
        h_cache, z_cache = cache
        dh, z_grads = self.heads["z"].backward(dz, z_cache)  # (B, H)
        _, encoder_grads = self.encoder.backward(dh, h_cache, need_dx=False, trace=trace)
        return {**encoder_grads, **prefixed("z", z_grads)}

    def draw_eps(self, B: int, rng: np.random.Generator) -> None:
        """None: this model has no noise. `fit` asks every model for it."""
        return

    def objective(self, x: Array, eps: None = None, beta: float = 1.0) -> tuple[AutoencoderTerms, AutoencoderCache]:
        """objective = log p(x|z) at z = encoder(x). eps and beta are part of the protocol, and mean nothing here.

        Shapes    x (B, D); every term (B,).
        Units     nats per example.
        Backward  dnll = -dobjective, then back through the likelihood, the decoder and the encoder.
        """
        x = self.as_input(x, "x", ("B", self.n_x))  # (B, D)
        z, encode_cache = self.encode(x)  # (B, Z)
        logits, decode_cache = self.decode(z)  # (B, D n_params)
        nll, nll_cache = self.likelihood.nll(x, logits)  # (B,)
        return AutoencoderTerms(nll, -nll), AutoencoderCache(len(x), encode_cache, decode_cache, nll_cache)

    def backward(
        self, dobjective: Array, cache: AutoencoderCache, trace: dict[str, Array] | None = None
    ) -> dict[str, Array]:
        """The gradient of sum_b dobjective_b * objective_b: same keys and shapes as params.

        trace, a dict, receives every intermediate gradient by name.
        """
        dnll = -self.as_input(dobjective, "dobjective", (cache.B,))  # (B,)
        dlogits = self.likelihood.nll_backward(dnll, cache.nll)  # (B, D n_params)
        dz, decoder_grads = self.decode_backward(dlogits, cache.decode, trace)  # (B, Z)
        encoder_grads = self.encode_backward(dz, cache.encode, trace)
        if trace is not None:
            trace.update(dnll=dnll, dlogits=dlogits, dz=dz)
        return {**encoder_grads, **decoder_grads}

    def reconstruct(self, x: Array) -> Array:
        """x_mean = E[x|z] at z = encoder(x), (B, D)."""
        z, _ = self.encode(x)  # (B, Z)
        logits, _ = self.decode(z)  # (B, D n_params)
        return self.likelihood.mean(logits)
