"""Any decoder with one or two latents: evidence and posterior as sums over a grid, with an estimate of their error.

NumPy, float64 but for what the model computes in its own dtype. Sizes: B batch, D data, Z latent, G grid points.
"""

import math
from typing import NamedTuple

import numpy as np

from scratchvae.arguments import require_count, require_positive
from scratchvae.backend import to_numpy
from scratchvae.gaussian import LOG_2PI
from scratchvae.vae import VAE


class GridPosterior(NamedTuple):
    """p(z|x) on a regular grid. A sum over the grid times cell is an integral."""

    z: np.ndarray  # (G, Z) the points
    cell: float  # the volume around a point
    log_density: np.ndarray  # (B, G) log p(z|x)
    log_px: np.ndarray  # (B,)
    error: np.ndarray  # (B,) an estimate of the error of log_px, in nats

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """The mean (B, Z) and the covariance (B, Z, Z) of p(z|x)."""
        p = np.exp(self.log_density) * self.cell  # (B, G)
        mean = p @ self.z  # (B, Z)
        return mean, np.einsum("bg,gi,gj->bij", p, self.z, self.z) - mean[:, :, None] * mean[:, None, :]

    def kl_from(self, mu: np.ndarray, logvar: np.ndarray) -> np.ndarray:
        """KL(q || p(z|x)) for q = N(mu, exp(logvar)), by summing over the grid; infinite if the grid misses part of q.

        Shapes    mu, logvar (B, Z); kl_posterior (B,).
        Units     nats per example.
        """
        log_q = diagonal_log_density(self.z, mu, logvar)  # (B, G)
        q = np.exp(log_q) * self.cell  # (B, G)
        return np.where(abs(q.sum(axis=1) - 1) < 1e-6, (q * (log_q - self.log_density)).sum(axis=1), math.inf)


def make_grid(n_z: int, half_width: float, n: int) -> tuple[np.ndarray, float]:
    """The points (n^Z, Z) of a regular grid on [-half_width, half_width]^Z, and the volume of a cell."""
    axis = np.linspace(-half_width, half_width, n)
    points = np.stack([values.ravel() for values in np.meshgrid(*[axis] * n_z, indexing="ij")], axis=1)  # (n^Z, Z)
    return points, (axis[1] - axis[0]) ** n_z


def diagonal_log_density(z: np.ndarray, mu: np.ndarray, logvar: np.ndarray) -> np.ndarray:
    """log N(z_g; mu_b, exp(logvar_b)) for every point and every row.

    Shapes    z (G, Z), mu, logvar (B, Z); log_q (B, G).
    """
    u = (z[None] - mu[:, None]) * np.exp(-0.5 * logvar)[:, None]  # (B, G, Z)
    return -0.5 * ((u * u).sum(axis=2) + (logvar + LOG_2PI).sum(axis=1)[:, None])


def grid_posterior(vae: VAE, x: np.ndarray, half_width: float = 8.0, n: int | None = None) -> GridPosterior:
    """log p(x) = log sum_g p(x|z_g) p(z_g) cell, and p(z|x) with it, for one or two latents and any decoder.

    Look at `error` before using the rest: it is large, or infinite, when the grid is too coarse for a narrow posterior
    or too small for a distant one. Take more points n an axis, or a wider half_width, until it is not.

    Shapes    x (B, D) floats; n points an axis, made odd and at least 3; by default 2001 for one latent, 201 for two.
    Units     nats per example.
    Source    [eq: evidence-on-a-grid].
    Raises    ValueError: more than two latents, n below 1, a half_width that is not positive.
    """
    if vae.n_z > 2:
        raise ValueError(f"a grid needs a model with 1 or 2 latents, got {vae.n_z}; use evaluation.log_evidence")
    n = (2001 if vae.n_z == 1 else 201) if n is None else max(3, require_count(n, "n") // 2 * 2 + 1)
    z, cell = make_grid(vae.n_z, require_positive(half_width, "half_width"), n)  # (G, Z)
    log_joint = log_likelihood(vae, x, z) - 0.5 * (z * z + LOG_2PI).sum(axis=1)  # (B, G)
    largest = log_joint.max(axis=1)  # (B,)  why: exp of the rest is at most 1, and nothing overflows
    log_px = largest + np.log(np.exp(log_joint - largest[:, None]).sum(axis=1) * cell)  # (B,)
    log_density = log_joint - log_px[:, None]  # (B, G)
    error = grid_error(log_density.reshape(len(x), *[n] * vae.n_z), cell)  # (B,)
    return GridPosterior(z, cell, log_density, log_px, error)


def grid_error(log_density: np.ndarray, cell: float) -> np.ndarray:
    """How far the logarithm of a sum over a grid may be from that of the integral: the sum of three estimates.

    kinks    the same sum over every second point of each axis, compared with the sum over all;
    spacing  what a Gaussian of the same curvature would lose halfway between two points, 2 exp(-2 pi^2 / c) with
             c = (spacing / its width)^2; infinite where the width is below 0.4 spacings: then points miss the peak;
    edge     the mass beyond the grid, if the density goes on falling as it does at the edge; infinite if it rises.

    It is an estimate, not a bound. Both sums may by chance miss the kinks of a relu decoder by nearly as much: with
    random decoders of that kind, one row in twenty to one in five is off by more than this and rounding (see
    `piecewise_posterior`). A second mode beyond the edge is not seen at all, nor is what a float32 model rounds.

    Shapes    log_density (B, n) or (B, n, n), its sum over the grid times cell being 1; error (B,).
    Units     nats.
    """
    mass = np.exp(log_density) * cell  # (B, n, ...)
    axes = tuple(range(1, mass.ndim))
    coarse = mass[:, ::2] if len(axes) == 1 else mass[:, ::2, ::2]  # (B, n / 2, ...)
    error = np.abs(np.log(np.maximum(coarse.sum(axis=axes) * 2 ** len(axes), 1e-300)))  # (B,)
    for axis in axes:
        along, log_along = np.moveaxis(mass, axis, 1), np.moveaxis(log_density, axis, 1)  # (B, n, ...)
        curvature = 2 * log_along[:, 1:-1] - log_along[:, :-2] - log_along[:, 2:]  # (B, n - 2, ...)
        c = np.maximum((along[:, 1:-1] * curvature).sum(axis=axes), 0.01)  # (B,)
        lost = 2 * np.exp(-2 * math.pi**2 / np.minimum(c, 2 * math.pi))  # (B,)
        error += np.where(c < 2 * math.pi, -np.log1p(-lost), math.inf)
        slices = along.sum(axis=axes[1:])  # (B, n)  the mass of each slice across the axis
        last, before = slices[:, [0, -1]], slices[:, [1, -2]]  # (B, 2)  at both ends
        falls = before > last  # (B, 2)
        beyond = last * last / np.where(falls, before - last, 1.0)  # (B, 2)  a geometric series of ratio last / before
        error += np.where(falls | (last == 0), np.log1p(beyond), math.inf).sum(axis=1)
    return error


def grid_log_evidence(
    vae: VAE, x: np.ndarray, half_width: float = 8.0, n: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """log p(x) and an estimate of its error, both (B,), in nats, for one or two latents.

    Shapes    x (B, D) floats; n points an axis: see `grid_posterior`.
    """
    posterior = grid_posterior(vae, x, half_width, n)
    return posterior.log_px, posterior.error


def log_likelihood(vae: VAE, x: np.ndarray, z: np.ndarray, at_once: int = 4096) -> np.ndarray:
    """log p(x_b|z_g) for every row and every point, some points at once.

    Shapes    x (B, D), z (G, Z); (B, G).
    """
    x = vae.as_input(x, "x", ("B", vae.n_x))[:, None]  # (B, 1, D)
    nll = []
    for start in range(0, len(z), at_once):
        logits, _ = vae.decode(z[start : start + at_once])  # (at_once, D n_params)
        nll.append([to_numpy(vae.likelihood.nll(row, logits)[0]) for row in x])  # (B, at_once)
    return -np.concatenate(nll, axis=1).astype(float)
