"""The Gaussian with a diagonal covariance: its log density, its KL to the prior, and the reparameterized draw.

logvar is the logarithm of the variance sigma^2, never of the standard deviation sigma. Any real number is allowed for
it, which is why the encoder returns it. All terms are in nats, one number an example.

Sizes: B batch, Z latent.
"""

import math

from scratchvae.backend import Array, Cache, get_xp

LOG_2PI = math.log(2 * math.pi)


def reparameterize(mu: Array, logvar: Array, eps: Array) -> tuple[Array, Cache]:
    """z = mu + sigma * eps with sigma = exp(logvar / 2): a draw from N(mu, exp(logvar)) when eps ~ N(0, I).

    Shapes    all (B, Z).
    Backward  dmu = dz;  dlogvar = dz * sigma * eps / 2;  eps is a constant of the pass.
    Source    Kingma & Welling (2014), Sec. 2.4; [eq: reparameterization], [eq: reparameterization-backward].
    """
    xp = get_xp(mu)
    sigma = xp.exp(0.5 * logvar)  # (B, Z)  a standard deviation, not a variance
    return mu + sigma * eps, (sigma, eps)


def reparameterize_backward(dz: Array, cache: Cache) -> tuple[Array, Array]:
    sigma, eps = cache
    return dz, 0.5 * dz * sigma * eps  # (B, Z) dmu, (B, Z) dlogvar


def kl_to_standard_normal(mu: Array, logvar: Array) -> tuple[Array, Cache]:
    """KL(N(mu, sigma^2) || N(0, I)) = 1/2 sum_j (mu_j^2 + sigma_j^2 - 1 - logvar_j), with sigma^2 = exp(logvar).

    Shapes    mu, logvar (B, Z); kl (B,).
    Units     nats per example, summed over the latents; but for rounding >= 0, and 0 only for mu = 0, logvar = 0.
    Backward  dmu = dkl mu;  dlogvar = dkl (sigma^2 - 1) / 2.
    Source    Kingma & Welling (2014), App. B; [eq: kl-standard-normal], [eq: kl-standard-normal-backward].
    """
    xp = get_xp(mu)
    var = xp.exp(logvar)  # (B, Z)
    kl = 0.5 * (mu * mu + var - 1 - logvar).sum(axis=1)  # (B,)
    return kl, (mu, var)


def kl_to_standard_normal_backward(dkl: Array, cache: Cache) -> tuple[Array, Array]:
    mu, var = cache
    dkl = dkl[:, None]  # (B, 1)
    return dkl * mu, 0.5 * dkl * (var - 1)  # (B, Z) dmu, (B, Z) dlogvar


def gaussian_log_density(z: Array, mu: Array, logvar: Array) -> tuple[Array, Cache]:
    """log N(z; mu, sigma^2) = -1/2 sum_j (u_j^2 + logvar_j + log 2 pi) with u = (z - mu) / sigma.

    Shapes    z, mu, logvar (B, Z); log_q (B,).
    Units     nats per example.
    Backward  dz = -dlog_q u / sigma;  dmu = -dz;  dlogvar = dlog_q (u^2 - 1) / 2.
    Source    [eq: gaussian-log-density], [eq: gaussian-log-density-backward].
    """
    xp = get_xp(z)
    inverse_sigma = xp.exp(-0.5 * logvar)  # (B, Z)
    u = (z - mu) * inverse_sigma  # (B, Z)
    log_q = -0.5 * (u * u + logvar + LOG_2PI).sum(axis=1)  # (B,)
    return log_q, (u, inverse_sigma)


def gaussian_log_density_backward(dlog_q: Array, cache: Cache) -> tuple[Array, Array, Array]:
    u, inverse_sigma = cache
    dlog_q = dlog_q[:, None]  # (B, 1)
    dz = -dlog_q * u * inverse_sigma  # (B, Z)
    return dz, -dz, 0.5 * dlog_q * (u * u - 1)  # (B, Z) dz, dmu, dlogvar
