"""VAE: the variational autoencoder of Kingma & Welling (2014). This is the only place where its terms meet.

The encoder (recognition model) returns not a code but a distribution of codes, q(z|x) = N(mu, sigma^2). The decoder
(generative model), the same as an autoencoder's, returns the parameters of p(x|z). The prior is p(z) = N(0, I).

    elbo = E_q[log p(x|z)] - KL(q(z|x) || p(z))  <=  log p(x)

The expectation is estimated with one draw, z = mu + sigma * eps. eps is drawn by the caller, afresh for every pass, and
is a constant during that pass: the gradient flows through mu and sigma, around the noise.

Sizes: B batch, D data, H hidden, Z latent.
"""

from typing import NamedTuple

import numpy as np

from scratchvae.arguments import require_count, require_generator, require_positive
from scratchvae.backend import Array, Cache
from scratchvae.gaussian import (
    kl_to_standard_normal,
    kl_to_standard_normal_backward,
    reparameterize,
    reparameterize_backward,
)
from scratchvae.layers import prefixed
from scratchvae.model import Model


class Terms(NamedTuple):
    """Per example, in nats, (B,). elbo = -nll - kl is the bound; objective = -nll - beta kl is what is maximised."""

    nll: Array
    kl: Array
    elbo: Array
    objective: Array


class EncodeCache(NamedTuple):
    """What `VAE.encode` leaves for `VAE.encode_backward`."""

    h: Cache
    mu: Cache
    logvar: Cache


class ObjectiveCache(NamedTuple):
    """What `VAE.objective` leaves for `VAE.backward`."""

    B: int
    beta: float
    encode: EncodeCache
    reparameterize: Cache
    decode: Cache
    nll: Cache
    kl: Cache


class VAE(Model):
    """An autoencoder whose code is a distribution. Its layers and its decoder are `Model`'s.

    Shapes    x (B, n_x), mu, logvar, eps, z (B, n_z), logits (B, n_x n_params). n_hidden is mirrored in the decoder.
    Source    Kingma & Welling (2014), arXiv 1312.6114; Rezende, Mohamed & Wierstra (2014), arXiv 1401.4082.
    Raises    ValueError: a size below 1, an unknown layer, dtype or backend.

    Example
        >>> rng = np.random.default_rng(0)
        >>> vae = VAE(n_x=4, n_hidden=(8,), n_z=2, rng=rng)
        >>> x = np.array([[0.0, 1.0, 1.0, 0.0]])
        >>> terms, cache = vae.objective(x, eps=vae.draw_eps(1, rng))
        >>> grads = vae.backward(np.ones(1), cache)
        >>> grads["mu.W"].shape == vae.params["mu.W"].shape
        True
    """

    kind = "vae"
    head_names = ("mu", "logvar")

    def encode(self, x: Array) -> tuple[Array, Array, EncodeCache]:
        """q(z|x) = N(mu, exp(logvar)): two linear heads on the same h, the last hidden layer.

        Shapes    x (B, D) -> mu (B, Z), logvar (B, Z).
        Backward  h is used twice, so its gradients add: dh = dh through mu + dh through logvar.
        Source    [eq: fork-adds], [eq: vae-heads].
        """
        x = self.as_input(x, "x", ("B", self.n_x))  # (B, D)
        h, h_cache = self.encoder.forward(x)  # (B, H)
        mu, mu_cache = self.heads["mu"].forward(h)  # (B, Z)
        logvar, logvar_cache = self.heads["logvar"].forward(h)  # (B, Z)
        return mu, logvar, EncodeCache(h_cache, mu_cache, logvar_cache)

    def encode_backward(
        self, dmu: Array, dlogvar: Array, cache: EncodeCache, trace: dict[str, Array] | None = None
    ) -> dict[str, Array]:
        dh_mu, mu_grads = self.heads["mu"].backward(dmu, cache.mu)  # (B, H)
        dh_logvar, logvar_grads = self.heads["logvar"].backward(dlogvar, cache.logvar)  # (B, H)
        if trace is not None:
            trace.update(dh_mu=dh_mu, dh_logvar=dh_logvar)
        dh = dh_mu + dh_logvar  # (B, H)  at a fork gradients add
        _, encoder_grads = self.encoder.backward(dh, cache.h, need_dx=False, trace=trace)
        return {**encoder_grads, **prefixed("mu", mu_grads), **prefixed("logvar", logvar_grads)}

    def draw_eps(self, B: int, rng: np.random.Generator) -> Array:
        """eps ~ N(0, I), (B, Z): drawn on the host, in float64, then in the model's dtype and on its backend."""
        return self.on_backend(require_generator(rng).standard_normal((B, self.n_z)))

    def objective(self, x: Array, eps: Array, beta: float = 1.0) -> tuple[Terms, ObjectiveCache]:
        """objective = -nll - beta * kl, with nll = -log p(x|z) at the draw z = mu + sigma * eps. beta = 1 is the ELBO.

        Shapes    x (B, D), eps (B, Z); every term (B,).
        Units     nats per example.
        Backward  dnll = -dobjective;  dkl = -beta dobjective;  mu and logvar are used twice, by z and by the KL.
        Source    Kingma & Welling (2014), eq. 7 and 10, with L = 1; beta: Higgins et al. (2017);
                  [eq: elbo-one-draw], [eq: beta-objective], [eq: vae-objective].
        Raises    ValueError: a shape that does not fit, integer images, negative beta. Whether x lies in the support is
                  looked at once a data set, in `fit` and in `evaluation`, and not here, once a step.
        """
        beta = require_positive(beta, "beta", or_zero=True)
        x = self.as_input(x, "x", ("B", self.n_x))  # (B, D)
        eps = self.as_input(eps, "eps", (len(x), self.n_z))  # (B, Z)
        mu, logvar, encode_cache = self.encode(x)  # (B, Z), (B, Z)
        z, z_cache = reparameterize(mu, logvar, eps)  # (B, Z)
        logits, decode_cache = self.decode(z)  # (B, D n_params)
        nll, nll_cache = self.likelihood.nll(x, logits)  # (B,)
        kl, kl_cache = kl_to_standard_normal(mu, logvar)  # (B,)
        terms = Terms(nll, kl, elbo=-nll - kl, objective=-nll - beta * kl)
        return terms, ObjectiveCache(len(x), beta, encode_cache, z_cache, decode_cache, nll_cache, kl_cache)

    def backward(
        self, dobjective: Array, cache: ObjectiveCache, trace: dict[str, Array] | None = None
    ) -> dict[str, Array]:
        """The gradient of sum_b dobjective_b * objective_b: same keys and shapes as params.

        dobjective = 1 asks for the direction in which the objective grows; training, which minimises, passes -1 / B.
        trace, a dict, receives every intermediate gradient by name.

        Source    [eq: vae-weights], [eq: vae-logits], [eq: vae-latent], [eq: vae-mu], [eq: vae-logvar].
        """
        dobjective = self.as_input(dobjective, "dobjective", (cache.B,))  # (B,)
        dnll, dkl = -dobjective, -cache.beta * dobjective  # (B,), (B,)
        dlogits = self.likelihood.nll_backward(dnll, cache.nll)  # (B, D n_params)
        dz, decoder_grads = self.decode_backward(dlogits, cache.decode, trace)  # (B, Z)
        dmu_z, dlogvar_z = reparameterize_backward(dz, cache.reparameterize)  # (B, Z)  what comes through the draw
        dmu_kl, dlogvar_kl = kl_to_standard_normal_backward(dkl, cache.kl)  # (B, Z)  what comes from the KL
        dmu, dlogvar = dmu_z + dmu_kl, dlogvar_z + dlogvar_kl  # (B, Z)  at a fork gradients add
        encoder_grads = self.encode_backward(dmu, dlogvar, cache.encode, trace)
        if trace is not None:
            trace.update(dnll=dnll, dkl=dkl, dlogits=dlogits, dz=dz, dmu_z=dmu_z, dlogvar_z=dlogvar_z)
            trace.update(dmu_kl=dmu_kl, dlogvar_kl=dlogvar_kl, dmu=dmu, dlogvar=dlogvar)
        return {**encoder_grads, **decoder_grads}

    def reconstruct(self, x: Array, rng: np.random.Generator | None = None) -> Array:
        """x_mean = E[x|z] at z = mu, (B, D); with rng two draws instead, z ~ q(z|x) and then x ~ p(x|z)."""
        mu, logvar, _ = self.encode(x)  # (B, Z)
        if rng is None:
            logits, _ = self.decode(mu)  # (B, D n_params)
            return self.likelihood.mean(logits)
        z, _ = reparameterize(mu, logvar, self.draw_eps(len(mu), rng))  # (B, Z)
        logits, _ = self.decode(z)  # (B, D n_params)
        return self.likelihood.sample(logits, rng)

    def sample(self, n: int, rng: np.random.Generator, draw: bool = False) -> Array:
        """Generation: z ~ p(z) = N(0, I), then x_mean = E[x|z], (n, D); with draw, x_sample ~ p(x|z) instead."""
        logits, _ = self.decode(self.draw_eps(require_count(n, "n"), rng))  # (n, D n_params)
        return self.likelihood.sample(logits, rng) if draw else self.likelihood.mean(logits)
