"""A relu decoder with one latent and Gaussian pixels: log p(x) and the posterior's moments as a finite sum.

A relu unit is affine in z on either side of the point where it switches. So the decoder's mean is affine between two
such points, the kinks, and p(x|z) p(z) is a stretch of a Gaussian in z there: its integral is a difference of erf.

NumPy, float64. Sizes: B batch, D data, H hidden, O outputs of a layer, P pieces, G points.
"""

import math
from typing import NamedTuple

import numpy as np

from scratchvae.backend import Array, to_numpy
from scratchvae.exact.truncated import truncated_moments
from scratchvae.gaussian import LOG_2PI
from scratchvae.likelihoods import Gaussian
from scratchvae.vae import VAE

Layers = list[tuple[np.ndarray, np.ndarray]]  # W (I, O) and b (O,) of each dense layer
FARTHEST_KINK = 1e12  # farther out no posterior lies, and a latent would have few digits after its point


class PiecewisePosterior(NamedTuple):
    """p(z|x) for one latent: on a piece, log p(x, z) = log_joint + slope d - precision d^2 / 2 with d = z - peak."""

    kinks: np.ndarray  # (P - 1,) where a hidden unit switches, rising; piece i ends at kink i
    precision: np.ndarray  # (P,)
    peak: np.ndarray  # (B, P) where p(x, z) is largest on the piece: at its mode, or at the end that is nearer to it
    log_joint: np.ndarray  # (B, P) log p(x, z) there
    slope: np.ndarray  # (B, P) its derivative there, on the piece
    log_px: np.ndarray  # (B,)
    mean: np.ndarray  # (B, 1)
    variance: np.ndarray  # (B, 1)

    def log_density(self, z: np.ndarray) -> np.ndarray:
        """log p(z_g|x_b) for every row and every point.

        Shapes    z (G, 1); (B, G).
        Source    [eq: relu-joint].
        """
        piece = np.searchsorted(self.kinks, z[:, 0])  # (G,)
        d = z[:, 0] - self.peak[:, piece]  # (B, G)
        log_joint = self.log_joint[:, piece] + d * (self.slope[:, piece] - 0.5 * self.precision[piece] * d)  # (B, G)
        return log_joint - self.log_px[:, None]


def piecewise_posterior(vae: VAE, x: np.ndarray) -> PiecewisePosterior:
    """log p(x) = log sum_i integral over piece i of p(x|z) p(z), and the mean and variance of p(z|x) from the same sum.

    Nothing is approximated: the posterior may be as narrow, as far out and as bent as it likes. What remains is
    rounding, nearly all of it in log p(x|z), a sum of D squares. It is right to 1e-14 of its size, and so is log_px.
    Where several pieces share the posterior, it makes their shares uncertain by as much, and with them the moments.

    Shapes    x (B, D) floats.
    Units     nats per example.
    Source    [eq: relu-evidence], [eq: relu-moments].
    Raises    ValueError: other than one latent, hidden layers other than relu, a likelihood other than Gaussian.
    """
    sigma = require_gaussian_pieces(vae)
    x = as_float64(vae.as_input(x, "x", ("B", vae.n_x)))  # (B, D)
    names = [*(f"decoder.{i}" for i in range(len(vae.n_hidden))), "logits"]
    layers = [(as_float64(vae.params[f"{name}.W"]), as_float64(vae.params[f"{name}.b"])) for name in names]
    edges = find_edges(layers)  # (P + 1,)
    precision, peak, log_joint, slope = find_peaks(layers, edges, x, sigma)  # (P,), then (B, P) each
    highest = log_joint.max(axis=1, keepdims=True)  # (B, 1)  why: exp of the rest is at most 1, and nothing overflows
    mass, first, second = np.exp(log_joint - highest) * piece_moments(edges, precision, peak, slope)  # (B, P) each
    total = mass.sum(axis=1, keepdims=True)  # (B, 1)
    mean = (mass * peak + first).sum(axis=1, keepdims=True) / total  # (B, 1)
    d = peak - mean  # (B, P)
    variance = (mass * d * d + 2 * d * first + second).sum(axis=1, keepdims=True) / total  # (B, 1)
    log_px = (highest + np.log(total))[:, 0]  # (B,)
    return PiecewisePosterior(edges[1:-1], precision, peak, log_joint, slope, log_px, mean, variance)


def as_float64(array: Array) -> np.ndarray:
    return to_numpy(array).astype(float)


def require_gaussian_pieces(vae: VAE) -> float:
    """The sigma of the pixels if p(x|z) p(z) is Gaussian in z piece by piece; a ValueError that says so if not."""
    if vae.n_z != 1:
        other = "grid_posterior" if vae.n_z == 2 else "evaluation.log_evidence"
        raise ValueError(f"a sum over pieces needs a model with 1 latent, got {vae.n_z}; use {other}")
    if vae.n_hidden and vae.layers != ("dense", "relu"):
        raise ValueError(f"linear pieces need a relu decoder, got layers {vae.layers}; use grid_posterior")
    if not isinstance(vae.likelihood, Gaussian):
        raise ValueError(f"Gaussian pieces need the likelihood gaussian, got {vae.likelihood.name}; use grid_posterior")
    return vae.likelihood.sigma


def find_edges(layers: Layers) -> np.ndarray:
    """The ends of the pieces, (P + 1,), rising from -inf to inf: between them no hidden unit switches.

    Layer by layer: between the kinks of the layers below, each unit is affine in z and has at most one root.

    Source    [eq: relu-kinks].
    """
    edges = np.array([-math.inf, math.inf])
    for i in range(1, len(layers)):
        anchor, value, slope = affine_pieces(layers[:i], edges)  # (P,), (P, H), (P, H)
        distance = np.full_like(value, math.inf)  # (P, H)
        np.divide(-value, slope, out=distance, where=np.abs(value) < FARTHEST_KINK * np.abs(slope))
        root = anchor[:, None] + distance  # (P, H)
        inside = (edges[:-1, None] < root) & (root < edges[1:, None])  # (P, H)
        edges = np.unique([*edges, *root[inside]])
    return edges


def affine_pieces(layers: Layers, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the last layer returns on each piece, before its activation: value + slope (z - anchor).

    Shapes    edges (P + 1,), between which no unit of the layers below switches; anchor (P,), the point of the piece
              that is nearest to 0; value, slope (P, O).
    Source    [eq: relu-affine].
    """
    left, right = edges[:-1], edges[1:]  # (P,), (P,)
    anchor = np.clip(0.0, left, right)  # (P,)
    step = 0.5 * (np.maximum(left, anchor - 1) + np.minimum(right, anchor + 1)) - anchor  # (P,) to its inside
    value, slope = anchor[:, None], np.ones((len(anchor), 1))  # (P, 1), (P, 1) of z itself
    for W, b in layers[:-1]:
        value, slope = value @ W + b, slope @ W  # (P, H), (P, H)
        on = value + slope * step[:, None] > 0  # (P, H)
        value, slope = value * on, slope * on  # (P, H), (P, H)
    W, b = layers[-1]
    return anchor, value @ W + b, slope @ W


def find_peaks(
    layers: Layers, edges: np.ndarray, x: np.ndarray, sigma: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """precision (P,) of each piece, and for each row, (B, P): peak, log p(x, peak), its slope there.

    Source    [eq: relu-joint], [eq: relu-peak].
    """
    anchor, value, slope = affine_pieces(layers, edges)  # (P,), (P, D), (P, D) of the mean of p(x|z)
    slope = slope / sigma  # (P, D) in standard deviations of a pixel
    precision = 1 + (slope * slope).sum(axis=1)  # (P,)
    log_constant = 0.5 * LOG_2PI + x.shape[1] * (0.5 * LOG_2PI + math.log(sigma))
    peak, log_joint, slope_there = np.empty((3, len(x), len(anchor)))  # (B, P) each
    for b, row in enumerate(x):  # why: one row's residuals are (P, D), large enough
        r = (row - value) / sigma  # (P, D) at the anchor
        mode = anchor + ((slope * r).sum(axis=1) - anchor) / precision  # (P,) of the whole Gaussian
        peak[b] = np.clip(mode, edges[:-1], edges[1:])
        r -= slope * (peak[b] - anchor)[:, None]  # at the peak
        log_joint[b] = -0.5 * ((r * r).sum(axis=1) + peak[b] ** 2) - log_constant
        slope_there[b] = (slope * r).sum(axis=1) - peak[b]
    return precision, peak, log_joint, slope_there


def piece_moments(edges: np.ndarray, precision: np.ndarray, peak: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """The integral of d^n exp(slope d - precision d^2 / 2), d = z - peak, over each piece, n = 0, 1, 2: (3, B, P).

    Source    [eq: relu-piece].
    """
    spread = 1 / np.sqrt(precision)  # (P,) the standard deviation of the whole Gaussian
    steepness = np.maximum(np.stack([-slope, slope]) * spread, 0)  # (2, B, P) to the right of the peak, to its left
    length = np.stack([edges[1:] - peak, peak - edges[:-1]]) / spread  # (2, B, P)
    right, left = truncated_moments(steepness, length).swapaxes(0, 1)  # (3, B, P) each
    return np.stack([right[0] + left[0], spread * (right[1] - left[1]), spread**2 * (right[2] + left[2])]) * spread
