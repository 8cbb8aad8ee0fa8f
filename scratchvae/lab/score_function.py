"""The score-function gradient of the ELBO, REINFORCE: no path through the draw at all.

Sizes: B batch, Z latent, K draws.
"""

from scratchvae.backend import Array
from scratchvae.gaussian import gaussian_log_density_backward
from scratchvae.iwae import BoundCache, draws_backward, latents_backward
from scratchvae.lab.pathwise import Pathwise
from scratchvae.vae import VAE


class ScoreFunction(Pathwise):
    """The same objective; q is moved towards the draws that earned more than the others.

    Backward  dlog_q_k = dobjective (log w_k - baseline_k) / K, z_k held fixed; then through the density log q(z_k),
              whose derivative is the score. The baseline of a draw is the mean of log w over the other K - 1: it does
              not depend on z_k, so it changes no mean, and takes most of the noise. The decoder's gradient is as ever.
    Source    Williams (1992); the baseline: Kool, van Hoof & Welling (2019);
              [eq: elbo-score-function], [eq: leave-one-out-baseline].
    Raises    ValueError: a baseline with a single draw, which has no others.
    """

    name = "score-function"

    def __init__(self, vae: VAE, K: int, baseline: bool = True) -> None:
        super().__init__(vae, K)
        if baseline and K < 2:
            raise ValueError(f"K should be at least 2 with a baseline, the mean of the other draws, got {K}")
        self.baseline = baseline

    @property
    def config(self) -> dict[str, object]:
        return {**super().config, "baseline": self.baseline}

    def backward(self, dobjective: Array, cache: BoundCache, trace: dict[str, Array] | None = None) -> dict[str, Array]:
        log_w, dlog_w = cache.bound, self.per_draw(dobjective)  # (K, B) each
        _, decoder_grads = latents_backward(self.model, dlog_w, cache.log_w)
        others = (log_w.sum(axis=0) - log_w) / (self.K - 1) if self.baseline else 0.0  # (K, B)
        dlog_q = (dlog_w * (log_w - others)).reshape(-1)  # (K B,)
        dz, dmu_q, dlogvar_q = gaussian_log_density_backward(dlog_q, cache.log_w.log_q)  # (K B, Z) each
        no_path = 0 * dz  # z is held fixed
        return {**draws_backward(self.model, no_path, dmu_q, dlogvar_q, cache.log_w, trace), **decoder_grads}
