"""The pathwise gradient of the ELBO: through everything that mu and logvar touch.

Sizes: B batch, Z latent, K draws.
"""

from scratchvae.backend import Array
from scratchvae.iwae import (
    BoundCache,
    BoundTerms,
    ImportanceWeighted,
    log_importance_weights,
    log_importance_weights_backward,
    require_no_weight,
)


class Pathwise(ImportanceWeighted):
    """objective = (1/K) sum_k log w_k: the ELBO from K draws, its KL sampled too.

    Shapes    x (B, D), eps (K, B, Z); every term (B,).
    Units     nats per example.
    Backward  dlog_w_k = dobjective / K, and down every path: through the draw z = mu + sigma eps, and through the
              density q and its mu and logvar. It is the derivative of the objective for the eps at hand.
    Source    Kingma & Welling (2014), eq. 6; [eq: elbo-pathwise].
    """

    name = "pathwise"

    def objective(self, x: Array, eps: Array, beta: float = 1.0) -> tuple[BoundTerms, BoundCache]:
        require_no_weight(beta, "an ELBO whose KL is sampled")
        log_w, cache = log_importance_weights(self.model, x, eps)  # (K, B)
        elbo = log_w.mean(axis=0)  # (B,)
        return BoundTerms(cache.mean_nll, elbo, elbo), BoundCache(cache, log_w)

    def backward(self, dobjective: Array, cache: BoundCache, trace: dict[str, Array] | None = None) -> dict[str, Array]:
        return log_importance_weights_backward(self.model, self.per_draw(dobjective), cache.log_w, trace)

    def per_draw(self, dobjective: Array) -> Array:
        """dlog_w: each draw has 1/K of the mean, (K, B)."""
        dobjective = self.model.as_input(dobjective, "dobjective", ("B",))  # (B,)
        return self.model.xp.broadcast_to(dobjective / self.K, (self.K, len(dobjective)))
