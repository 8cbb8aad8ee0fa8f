"""Sticking the landing: the gradient through the draws alone.

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


class StickingTheLanding(ImportanceWeighted):
    """The importance-weighted bound of K draws, the ELBO for K = 1; the path through q's own density is left out.

    Backward  as the bound's, but for dmu_q and dlogvar_q, which are dropped. For K = 1 what is dropped is the score of
              q, whose mean is 0: the gradient stays unbiased, and where q is the posterior the encoder's has no
              variance at all.
              For K > 1 the scores are weighted by the weights, and the mean of what is dropped is not 0: a bias.
    Source    Roeder, Wu & Duvenaud (2017), arXiv 1703.09194; the bias: Tucker et al. (2019), arXiv 1810.04152;
              [eq: sticking-the-landing], [eq: landing-without-variance], [eq: landing-bias], [eq: landing-limit].
    """

    name = "sticking-the-landing"

    def backward(self, dobjective: Array, cache: BoundCache, trace: dict[str, Array] | None = None) -> dict[str, Array]:
        dobjective = self.model.as_input(dobjective, "dobjective", (cache.log_w.B,))  # (B,)
        dlog_w = importance_weighted_bound_backward(dobjective, cache.bound)  # (K, B)
        paths, decoder_grads = latents_backward(self.model, dlog_w, cache.log_w)
        no_path = 0 * paths.dmu_q  # q's own mu and logvar are held fixed
        return {**draws_backward(self.model, paths.dz, no_path, no_path, cache.log_w, trace), **decoder_grads}
