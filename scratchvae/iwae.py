"""The importance-weighted bound: the ELBO with K draws, averaged inside the logarithm.

    log w_k = log p(x|z_k) + log p(z_k) - log q(z_k|x),   z_k = mu + sigma * eps_k
    bound_K = log( (1/K) sum_k w_k ),   E[bound_K] <= log p(x);   bound_1 is the ELBO of one draw, its KL sampled too

Two forwards, each with its backward: from parameters to log weights, and from log weights to the bound. `fit` trains
the bound when it is handed `ImportanceWeighted(vae, K)`, which is the two together.

Sizes: B batch, D data, Z latent, K draws.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from scratchvae.arguments import require_count
from scratchvae.backend import Array, Cache, get_xp
from scratchvae.gaussian import (
    LOG_2PI,
    gaussian_log_density,
    gaussian_log_density_backward,
    reparameterize,
    reparameterize_backward,
)
from scratchvae.layers import Params
from scratchvae.vae import VAE


class WeightsCache(NamedTuple):
    """What `log_importance_weights` leaves its backward; rows are draws times examples, but in encode."""

    K: int
    B: int
    mean_nll: Array  # (B,) over the draws; for the record, the backward does not use it
    z: Array
    encode: Any  # an EncodeCache; None where q came from elsewhere
    reparameterize: Cache
    decode: Cache
    nll: Cache
    log_q: Cache


def log_importance_weights(
    vae: VAE, x: Array, eps: Array, q: tuple[Array, Array] | None = None
) -> tuple[Array, WeightsCache]:
    """log w_kb = -nll(x_b, z_kb) + log p(z_kb) - log q(z_kb|x_b), with z_kb = mu_b + sigma_b * eps_kb.

    q         mu and logvar of another Gaussian to draw from than the encoder's: then there is no way back.

    Shapes    x (B, D), eps (K, B, Z), mu and logvar (B, Z); log_w (K, B).
    Units     nats.
    Backward  with the upstream gradient dlog_w, z reaches log w by three paths: through the decoder; through the prior,
              dz = -dlog_w z; and through q, dz = dlog_w u / sigma with u = (z - mu) / sigma. mu and logvar reach it by
              two, through z and through q. At each fork the gradients add (for mu, the two terms from q cancel).
    Source    Burda, Grosse & Salakhutdinov (2016), arXiv 1509.00519, eq. 8; [eq: importance-weight].
    """
    xp = vae.xp
    x = vae.as_input(x, "x", ("B", vae.n_x))  # (B, D)
    eps = vae.as_input(eps, "eps", ("K", len(x), vae.n_z))  # (K, B, Z)
    K, B, Z = eps.shape
    mu, logvar, encode_cache = vae.encode(x) if q is None else (*q, None)  # (B, Z), (B, Z)
    mu, logvar = (xp.broadcast_to(head, (K, B, Z)).reshape(K * B, Z) for head in (mu, logvar))  # (K B, Z)
    x = xp.broadcast_to(x, (K, *x.shape)).reshape(K * B, -1)  # (K B, D)
    z, z_cache = reparameterize(mu, logvar, eps.reshape(K * B, Z))  # (K B, Z)
    logits, decode_cache = vae.decode(z)  # (K B, D n_params)
    nll, nll_cache = vae.likelihood.nll(x, logits)  # (K B,)
    log_prior = -0.5 * (z * z + LOG_2PI).sum(axis=1)  # (K B,)
    log_q, q_cache = gaussian_log_density(z, mu, logvar)  # (K B,)
    log_w = (log_prior - nll - log_q).reshape(K, B)  # (K, B)
    mean_nll = nll.reshape(K, B).mean(axis=0)  # (B,)
    return log_w, WeightsCache(K, B, mean_nll, z, encode_cache, z_cache, decode_cache, nll_cache, q_cache)


class LatentGradients(NamedTuple):
    """How the log weights reach q: through z, by three paths that meet, and through q's own mu and logvar; (K B, Z)."""

    dz_decoder: Array
    dz_prior: Array
    dz_q: Array
    dz: Array
    dmu_q: Array
    dlogvar_q: Array


def log_importance_weights_backward(
    vae: VAE, dlog_w: Array, cache: WeightsCache, trace: dict[str, Array] | None = None
) -> dict[str, Array]:
    """The gradient of sum_kb dlog_w_kb log w_kb, drawn from the encoder: same keys and shapes as vae.params.

    trace, a dict, receives the gradient along each path by name, rows being draws times examples, (K B, Z).
    """
    paths, decoder_grads = latents_backward(vae, dlog_w, cache)
    encoder_grads = draws_backward(vae, paths.dz, paths.dmu_q, paths.dlogvar_q, cache, trace)
    if trace is not None:
        trace.update(paths._asdict())
    return {**encoder_grads, **decoder_grads}


def latents_backward(vae: VAE, dlog_w: Array, cache: WeightsCache) -> tuple[LatentGradients, dict[str, Array]]:
    """From log w down to the draws z, the density q, and the decoder's parameters.

    Shapes    dlog_w (K, B); the gradients of z, mu and logvar (K B, Z), a row a draw of an example.
    Source    [eq: weight-latent-backward].
    """
    K, B = cache.K, cache.B
    dlog_w = vae.as_input(dlog_w, "dlog_w", (K, B)).reshape(K * B)  # (K B,)
    dlogits = vae.likelihood.nll_backward(-dlog_w, cache.nll)  # (K B, D n_params)
    dz_decoder, decoder_grads = vae.decode_backward(dlogits, cache.decode)  # (K B, Z)
    dz_prior = -dlog_w[:, None] * cache.z  # (K B, Z)
    dz_q, dmu_q, dlogvar_q = gaussian_log_density_backward(-dlog_w, cache.log_q)  # (K B, Z) each
    dz = dz_decoder + dz_prior + dz_q  # (K B, Z)  three paths meet in z
    return LatentGradients(dz_decoder, dz_prior, dz_q, dz, dmu_q, dlogvar_q), decoder_grads


def draws_backward(
    vae: VAE, dz: Array, dmu_q: Array, dlogvar_q: Array, cache: WeightsCache, trace: dict[str, Array] | None = None
) -> dict[str, Array]:
    """From the draws z, and from the density q, down to the encoder's parameters: the K draws of an example add.

    Shapes    dz, dmu_q, dlogvar_q (K B, Z), a row a draw of an example.
    Source    [eq: weight-parameters-backward].
    """
    K, B = cache.K, cache.B
    dmu_z, dlogvar_z = reparameterize_backward(dz, cache.reparameterize)  # (K B, Z) each
    dmu = (dmu_z + dmu_q).reshape(K, B, -1).sum(axis=0)  # (B, Z)  K draws share one mu and one logvar
    dlogvar = (dlogvar_z + dlogvar_q).reshape(K, B, -1).sum(axis=0)  # (B, Z)
    if trace is not None:
        trace.update(dmu_z=dmu_z, dlogvar_z=dlogvar_z)
    return vae.encode_backward(dmu, dlogvar, cache.encode)


def importance_weighted_bound(log_w: Array) -> tuple[Array, Cache]:
    """bound_b = log sum_k exp(log w_kb) - log K, with the largest log weight taken out first.

    Shapes    log_w (K, B); bound (B,).
    Units     nats per example.
    Backward  dlog_w_kb = dbound_b * w_kb / sum_j w_jb: the normalised weights, which sum to 1 over the draws.
    Source    Burda, Grosse & Salakhutdinov (2016), arXiv 1509.00519, eq. 8 and 14;
              [eq: importance-weighted-bound], [eq: bound-log-sum-exp], [eq: bound-backward].
    """
    xp = get_xp(log_w)
    largest = log_w.max(axis=0)  # (B,)  why: exp of the rest is at most 1, and nothing overflows
    scaled = xp.exp(log_w - largest)  # (K, B)  the weights over the largest
    total = scaled.sum(axis=0)  # (B,)
    return largest + xp.log(total) - math.log(len(log_w)), scaled / total


def importance_weighted_bound_backward(dbound: Array, cache: Cache) -> Array:
    normalised = cache
    return dbound * normalised  # (K, B)


class BoundTerms(NamedTuple):
    """Per example, in nats, (B,): -log p(x|z) and log w, averaged over the draws; and the bound.

    elbo <= objective, but for rounding.
    """

    nll: Array
    elbo: Array
    objective: Array


class BoundCache(NamedTuple):
    """What `ImportanceWeighted.objective` leaves for `ImportanceWeighted.backward`."""

    log_w: WeightsCache
    bound: Cache


def require_no_weight(beta: float, what: str) -> None:
    if beta != 1:
        raise ValueError(f"beta should be 1 for {what}, got {beta!r}; it has no KL to weigh")


class ImportanceWeighted:
    """An objective for `fit`: the importance-weighted bound of a VAE with K draws an example.

    More draws tighten the bound, and drown the encoder's gradient in noise: signal over noise falls like 1 / sqrt(K).

    Source    Burda, Grosse & Salakhutdinov (2016), arXiv 1509.00519, Sec. 3; Rainforth et al. (2018), arXiv 1802.04537.
    Raises    ValueError: K below 1, something other than a VAE.

    Example
        >>> rng = np.random.default_rng(0)
        >>> vae = VAE(n_x=4, n_hidden=(8,), n_z=2, rng=rng)
        >>> bound = ImportanceWeighted(vae, K=5)
        >>> eps = bound.draw_eps(3, rng)
        >>> terms, cache = bound.objective(np.zeros((3, 4)), eps)
        >>> eps.shape, terms.objective.shape, bool((terms.objective >= terms.elbo).all())
        ((5, 3, 2), (3,), True)
    """

    name = "importance-weighted"

    def __init__(self, vae: VAE, K: int) -> None:
        if not isinstance(vae, VAE):
            raise ValueError(f"the importance-weighted bound needs a VAE, got {type(vae).__name__}")
        self.model, self.K = vae, require_count(K, "K")

    @property
    def config(self) -> dict[str, Any]:
        return {"name": self.name, "K": self.K}

    @property
    def params(self) -> Params:
        """The VAE's own: what `checks.check_gradients` moves."""
        return self.model.params

    def draw_eps(self, B: int, rng: np.random.Generator) -> Array:
        """eps ~ N(0, I), (K, B, Z)."""
        return self.model.draw_eps(self.K * B, rng).reshape(self.K, B, self.model.n_z)

    def objective(self, x: Array, eps: Array, beta: float = 1.0) -> tuple[BoundTerms, BoundCache]:
        """objective = log (1/K) sum_k w_k.

        Shapes    x (B, D), eps (K, B, Z); every term (B,).
        Units     nats per example.
        Raises    ValueError: beta other than 1. The bound has no KL of its own to weigh: it is inside the weights.
        """
        require_no_weight(beta, "the importance-weighted bound")
        log_w, cache = log_importance_weights(self.model, x, eps)  # (K, B)
        bound, bound_cache = importance_weighted_bound(log_w)  # (B,)
        return BoundTerms(cache.mean_nll, log_w.mean(axis=0), bound), BoundCache(cache, bound_cache)

    def backward(self, dobjective: Array, cache: BoundCache, trace: dict[str, Array] | None = None) -> dict[str, Array]:
        """The gradient of sum_b dobjective_b * objective_b: same keys and shapes as the VAE's params."""
        dobjective = self.model.as_input(dobjective, "dobjective", (cache.log_w.B,))  # (B,)
        dlog_w = importance_weighted_bound_backward(dobjective, cache.bound)  # (K, B)
        return log_importance_weights_backward(self.model, dlog_w, cache.log_w, trace)
