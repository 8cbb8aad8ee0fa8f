"""DReG: the doubly reparameterized gradient of the importance-weighted bound.

Sizes: B batch, Z latent, K draws.
"""

from scratchvae.backend import Array
from scratchvae.iwae import (
    BoundCache,
    ImportanceWeighted,
    draws_backward,
    importance_weighted_bound_backward,
    latents_backward,
)


class DReG(ImportanceWeighted):
    """The importance-weighted bound of K draws; the encoder is reached through the draws alone, and without bias.

    Backward  with the normalised weights v_k = w_k / sum_j w_j, the decoder receives dlog_w_k = dobjective v_k as ever.
              The encoder receives dz_k v_k: the square of the weight, and nothing through q's own mu and logvar.
              dz is linear in dlog_w, so one pass through the decoder serves both. For K = 1 it is sticking the landing.
    Source    Tucker, Lawson, Gu & Maddison (2019), arXiv 1810.04152; [eq: dreg].
    """

    name = "dreg"

    def backward(self, dobjective: Array, cache: BoundCache, trace: dict[str, Array] | None = None) -> dict[str, Array]:
        dobjective, normalised = self.model.as_input(dobjective, "dobjective", (cache.log_w.B,)), cache.bound
        dlog_w = importance_weighted_bound_backward(dobjective, normalised)  # (K, B)
        paths, decoder_grads = latents_backward(self.model, dlog_w, cache.log_w)
        dz = paths.dz * normalised.reshape(-1, 1)  # (K B, Z)
        no_path = 0 * dz  # q's own mu and logvar are held fixed
        return {**draws_backward(self.model, dz, no_path, no_path, cache.log_w, trace), **decoder_grads}
