"""The oracle: models whose evidence is known; for checking and teaching.

    linear_gaussian    a linear decoder and Gaussian noise: closed forms, any number of latents
    grid               any decoder with one or two latents: sums over a grid
    truncated          the moments of a Gaussian that is cut off
    piecewise          a relu decoder, one latent, Gaussian noise: a finite sum over its linear pieces
    gap                the gap between log p(x) and the ELBO, split in two

All of it is NumPy, float64, on the host, but for what `grid` and `gap` ask the model itself, in its own dtype.
"""

from scratchvae.exact.gap import Gap, best_gaussian, expected_elbo, split_gap
from scratchvae.exact.grid import (
    GridPosterior,
    diagonal_log_density,
    grid_error,
    grid_log_evidence,
    grid_posterior,
    log_likelihood,
    make_grid,
)
from scratchvae.exact.linear_gaussian import LinearGaussian, fit_linear_gaussian
from scratchvae.exact.piecewise import PiecewisePosterior, piecewise_posterior

__all__ = [
    "Gap",
    "GridPosterior",
    "LinearGaussian",
    "PiecewisePosterior",
    "best_gaussian",
    "diagonal_log_density",
    "expected_elbo",
    "fit_linear_gaussian",
    "grid_error",
    "grid_log_evidence",
    "grid_posterior",
    "log_likelihood",
    "make_grid",
    "piecewise_posterior",
    "split_gap",
]
