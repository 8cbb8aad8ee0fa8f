"""A relu decoder with one latent and Gaussian pixels: log p(x) and the posterior's moments as a finite sum.

A relu unit is affine in z on either side of the point where it switches. So the decoder's mean is affine between two
such points, the kinks, and p(x|z) p(z) is a stretch of a Gaussian in z there: its integral is a difference of erf.

NumPy, float64. Sizes: B batch, D data, H hidden, O outputs of a layer, R pieces, G points.
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
    """p(z|x) for one latent.

    On a piece log p(x, z) = log_joint + slope delta - precision delta^2 / 2, with delta = z - peak.
    """

    kinks: np.ndarray  # (R - 1,) where a hidden unit switches, rising; piece r ends at kink r
    precision: np.ndarray  # (R,)
    peak: np.ndarray  # (B, R) where p(x, z) is largest on the piece: at its mode, or at the end that is nearer to it
    log_joint: np.ndarray  # (B, R) log p(x, z) there
    slope: np.ndarray  # (B, R) its derivative there, on the piece
    log_px: np.ndarray  # (B,)
    mean: np.ndarray  # (B, 1)
    variance: np.ndarray  # (B, 1)

    def log_density(self, z: np.ndarray) -> np.ndarray:
        """log p(z_g|x_b) for every row and every point.

        Shapes    z (G, 1); (B, G).
        Source    [eq: relu-joint].
        """
        piece = np.searchsorted(self.kinks, z[:, 0])  # (G,)
        delta = z[:, 0] - self.peak[:, piece]  # (B, G)
        change = delta * (self.slope[:, piece] - 0.5 * self.precision[piece] * delta)  # (B, G)
        return self.log_joint[:, piece] + change - self.log_px[:, None]


def piecewise_posterior(vae: VAE, x: np.ndarray) -> PiecewisePosterior:
    """log p(x) = log sum_r integral over piece r of p(x|z) p(z), and the mean and variance of p(z|x) from the same sum.

    Nothing is approximated: the posterior may be as narrow, as far out and as bent as it likes. What remains is
    rounding, nearly all of it in log p(x|z), a sum of D squares. It is right to 1e-14 of what is added, and so is
    log_px, down to a sigma_x of a hundredth of x; below, x less the decoder's mean has lost more digits. Where several
    pieces share the posterior, it makes their shares uncertain by as much, and with them the moments.

    Shapes    x (B, D) floats.
    Units     nats per example.
    Source    [eq: relu-evidence], [eq: relu-moments].
    Raises    ValueError: other than one latent, hidden layers other than relu, a likelihood other than Gaussian.
    """
    sigma = require_gaussian_pieces(vae)
    x = as_float64(vae.as_input(x, "x", ("B", vae.n_x)))  # (B, D)
    names = [*(f"decoder.{i}" for i in range(len(vae.n_hidden))), "logits"]
    layers = [(as_float64(vae.params[f"{name}.W"]), as_float64(vae.params[f"{name}.b"])) for name in names]
    edges = find_edges(layers)  # (R + 1,)
    precision, peak, log_joint, slope = find_peaks(layers, edges, x, sigma)  # (R,), then (B, R) each
    highest = log_joint.max(axis=1, keepdims=True)  # (B, 1)  why: exp of the rest is at most 1, and nothing overflows
    mass, first, second = np.exp(log_joint - highest) * piece_moments(edges, precision, peak, slope)  # (B, R) each
    total = mass.sum(axis=1, keepdims=True)  # (B, 1)
    mean = (mass * peak + first).sum(axis=1, keepdims=True) / total  # (B, 1)
    off = peak - mean  # (B, R)
    variance = (mass * off * off + 2 * off * first + second).sum(axis=1, keepdims=True) / total  # (B, 1)
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
    """The ends of the pieces, (R + 1,), rising from -inf to inf: between them no hidden unit switches.

    Layer by layer: between the kinks of the layers below, each unit is affine in z and has at most one root.

    Source    [eq: relu-kinks].
    """
    edges = np.array([-math.inf, math.inf])
    for upto in range(1, len(layers)):
        anchor, value, slope = affine_pieces(layers[:upto], edges)  # (R,), (R, H), (R, H)
        distance = np.full_like(value, math.inf)  # (R, H)
        np.divide(-value, slope, out=distance, where=np.abs(value) < FARTHEST_KINK * np.abs(slope))
        root = anchor[:, None] + distance  # (R, H)
        inside = (edges[:-1, None] < root) & (root < edges[1:, None])  # (R, H)
        edges = np.unique([*edges, *root[inside]])
    return edges


def affine_pieces(layers: Layers, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the last layer returns on each piece, before its activation: value + slope (z - anchor).

    Shapes    edges (R + 1,), between which no unit of the layers below switches; anchor (R,), the point of the piece
              that is nearest to 0; value, slope (R, O).
    Source    [eq: relu-affine].
    """
    left, right = edges[:-1], edges[1:]  # (R,), (R,)
    anchor = np.clip(0.0, left, right)  # (R,)
    step = 0.5 * (np.maximum(left, anchor - 1) + np.minimum(right, anchor + 1)) - anchor  # (R,) to its inside
    value, slope = anchor[:, None], np.ones((len(anchor), 1))  # (R, 1), (R, 1) of z itself
    for W, b in layers[:-1]:
        value, slope = value @ W + b, slope @ W  # (R, H), (R, H)
        on = value + slope * step[:, None] > 0  # (R, H)
        value, slope = value * on, slope * on  # (R, H), (R, H)
    W, b = layers[-1]
    return anchor, value @ W + b, slope @ W


def find_peaks(
    layers: Layers, edges: np.ndarray, x: np.ndarray, sigma: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """precision (R,) of each piece, and for each row, (B, R): peak, log p(x, peak), its slope there.

    sigma is sigma_x, the standard deviation of a pixel.

    Source    [eq: relu-joint], [eq: relu-peak].
    """
    anchor, value, slope = affine_pieces(layers, edges)  # (R,), (R, D), (R, D) of the mean of p(x|z)
    slope = slope / sigma  # (R, D) in standard deviations of a pixel
    precision = 1 + (slope * slope).sum(axis=1)  # (R,)
    log_constant = 0.5 * LOG_2PI + x.shape[1] * (0.5 * LOG_2PI + math.log(sigma))
    peak, log_joint, slope_there = np.empty((3, len(x), len(anchor)))  # (B, R) each
    for b, row in enumerate(x):  # why: one row's residuals are (R, D), large enough
        residual = (row - value) / sigma  # (R, D) at the anchor
        mode = anchor + ((slope * residual).sum(axis=1) - anchor) / precision  # (R,) of the whole Gaussian
        peak[b] = np.clip(mode, edges[:-1], edges[1:])
        residual -= slope * (peak[b] - anchor)[:, None]  # at the peak
        log_joint[b] = -0.5 * ((residual * residual).sum(axis=1) + peak[b] ** 2) - log_constant
        slope_there[b] = (slope * residual).sum(axis=1) - peak[b]
    return precision, peak, log_joint, slope_there


def piece_moments(edges: np.ndarray, precision: np.ndarray, peak: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """The integral of delta^n exp(slope delta - precision delta^2 / 2) over each piece, delta = z - peak, n = 0, 1, 2.

    Shapes    edges (R + 1,), precision (R,), peak, slope (B, R); (3, B, R).
    Source    [eq: relu-piece].
    """
    spread = 1 / np.sqrt(precision)  # (R,) the standard deviation of the whole Gaussian
    steepness = np.maximum(np.stack([-slope, slope]) * spread, 0)  # (2, B, R) to the right of the peak, to its left
    length = np.stack([edges[1:] - peak, peak - edges[:-1]]) / spread  # (2, B, R)
    right, left = truncated_moments(steepness, length).swapaxes(0, 1)  # (3, B, R) each
    return np.stack([right[0] + left[0], spread * (right[1] - left[1]), spread**2 * (right[2] + left[2])]) * spread
