"""What lies between log p(x) and the ELBO: what the family of q cannot do, and what the encoder has not learned.

NumPy, float64 but for what the model computes in its own dtype. Sizes: B batch, D data, Z latent, G grid points.
"""

from typing import NamedTuple

import numpy as np

from scratchvae.backend import to_numpy
from scratchvae.exact.grid import GridPosterior, diagonal_log_density, make_grid
from scratchvae.gaussian import LOG_2PI
from scratchvae.vae import VAE


class Gap(NamedTuple):
    """log p(x) = elbo + approximation + amortization, each (B,), in nats."""

    log_px: np.ndarray
    elbo: np.ndarray  # of the encoder's q
    approximation: np.ndarray  # KL(best Gaussian || p(z|x)): what the family cannot do
    amortization: np.ndarray  # what the encoder has not learned: its KL above the best one


def split_gap(vae: VAE, x: np.ndarray, posterior: GridPosterior) -> Gap:
    """The gap between log p(x) and the ELBO, split in two: log p(x) - elbo = approximation + amortization.

    The ELBO is an average over eps, the right side sums KLs over z: that both sides agree is checked for every row.
    The best Gaussian is the better end of two descents, from the encoder's q and from the highest point of p(z|x): one
    alone may end on the smaller of two peaks. A row that still does blames the family for what the encoder missed.

    Shapes    x (B, D), posterior from `grid_posterior(vae, x)`.
    Source    Cremer, Li & Duvenaud (2018), arXiv 1801.03558; [eq: gap-split].
    Raises    ValueError: the sides differ, or the posterior's error allows them to, by more than 0.001 nat.
    """
    mu, logvar = (to_numpy(head).astype(float) for head in vae.encode(x)[:2])  # (B, Z), (B, Z)
    elbo, kl_posterior = expected_elbo(vae, x), posterior.kl_from(mu, logvar)  # (B,), (B,)
    off = float((np.abs(posterior.log_px - elbo - kl_posterior) + posterior.error).max())
    if not off <= 1e-3:
        raise ValueError(
            f"log p(x) - ELBO and the KL to the posterior should agree to 0.001 nat, they may differ by {off:.2g}; "
            "give grid_posterior more points n, or another half_width"
        )
    peak = posterior.z[posterior.log_density.argmax(axis=1)]  # (B, Z)  the highest point of p(z|x)
    reached = [posterior.kl_from(*best_gaussian(posterior, start, logvar)) for start in (mu, peak)]  # (2, B)
    approximation = np.minimum(*reached)  # (B,)
    return Gap(posterior.log_px, elbo, approximation, kl_posterior - approximation)


def expected_elbo(vae: VAE, x: np.ndarray) -> np.ndarray:
    """The ELBO with its expectation over eps taken on a grid: no noise, (B,), in nats."""
    eps, cell = make_grid(vae.n_z, 8.0, 801 if vae.n_z == 1 else 121)  # (G, Z)
    weights = np.exp(-0.5 * (eps * eps + LOG_2PI).sum(axis=1)) * cell  # (G,)
    rows = (np.broadcast_to(row, (len(eps), len(row))) for row in x)
    return np.array([weights @ to_numpy(vae.objective(row, eps)[0].elbo) for row in rows])


def best_gaussian(posterior: GridPosterior, mu: np.ndarray, logvar: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The diagonal Gaussian with the smallest KL(q || p(z|x)), by descent from mu, logvar (B, Z).

    Each step is Newton's, with the curvature of -log p(z|x) averaged over q: it is exact where p(z|x) is a diagonal
    Gaussian. A row whose step does not help takes it back and halves its steps. The optimum is a local one.
    """
    rate = np.ones((len(mu), 1))  # (B, 1)
    kl = posterior.kl_from(mu, logvar)[:, None]  # (B, 1)
    for _ in range(300):  # a few dozen are enough, as a rule
        log_q = diagonal_log_density(posterior.z, mu, logvar)  # (B, G)
        excess = np.exp(log_q) * (log_q - posterior.log_density) * posterior.cell  # (B, G)
        sigma = np.exp(0.5 * logvar)  # (B, Z)
        u = (posterior.z - mu[:, None]) / sigma[:, None]  # (B, G, Z)
        curvature = np.maximum(1 + np.einsum("bg,bgz->bz", excess, u * u - 1), 0.1)  # (B, Z)  in units of 1 / sigma^2
        new_mu = mu - rate * sigma / curvature * np.einsum("bg,bgz->bz", excess, u)  # (B, Z)
        new_logvar = logvar - rate * np.log(curvature)  # (B, Z)
        new_kl = posterior.kl_from(new_mu, new_logvar)[:, None]  # (B, 1)
        better = new_kl < kl - 1e-12  # (B, 1)
        old, new = (mu, logvar, kl), (new_mu, new_logvar, new_kl)
        mu, logvar, kl = (np.where(better, after, before) for after, before in zip(new, old, strict=True))
        rate = np.where(better, np.minimum(1.0, 1.5 * rate), 0.5 * rate)
        if (rate < 1e-3).all():
            break
    return mu, logvar
