"""How good is a trained model: the ELBO with its standard error, log p(x) by sampling, what each latent does.

This file and `training.py` are the only places in the core where terms are averaged over examples. The standard errors
are over examples.

Sizes: N rows of a data set, B batch, D data, Z latent, K draws.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from scratchvae.arguments import require_count
from scratchvae.backend import Array, to_numpy
from scratchvae.batches import check_pixels, rows_in_order
from scratchvae.gaussian import kl_to_standard_normal
from scratchvae.iwae import log_importance_weights
from scratchvae.model import Model
from scratchvae.vae import VAE

DECODED = 500  # rows that importance sampling decodes at a time: what comes of them stays in the processor's cache
ACTIVE = 0.01  # a latent is active if the variance of its mean over the data exceeds this (Burda et al. 2016, Sec. 5.2)


class Estimate(NamedTuple):
    """A mean over examples and its standard error, in nats."""

    mean: float
    standard_error: float


def estimate(values: np.ndarray) -> Estimate:
    """The mean of values (N,), and their standard deviation over sqrt(N); NaN for the latter if N = 1."""
    spread = float(values.std(ddof=1)) if len(values) > 1 else math.nan
    return Estimate(float(values.mean()), spread / math.sqrt(len(values)))


def require_vae(model: Model, what: str) -> None:
    if not isinstance(model, VAE):
        raise ValueError(f"{what} needs a VAE, whose q(z|x) and prior it looks at, got {type(model).__name__}")


def in_batches(model: Model, x: np.ndarray) -> Iterator[Array]:
    """The rows of x (N, D) as floats on the model's backend, a few hundred at a time; uint8, bits or floats.

    Raises    ValueError: data that does not fit the model.
    """
    bits = isinstance(x, np.ndarray) and x.dtype == bool
    check_pixels(x.view(np.uint8) if bits else x, "x", model.n_x, model.likelihood.support, "none")
    yield from rows_in_order(x, model.dtype, model.xp)


def evaluate_terms(model: Model, x: np.ndarray, rng: np.random.Generator) -> dict[str, Estimate]:
    """Every term of the objective (nll, and for a VAE kl and elbo), with one draw of eps an example.

    Shapes    x (N, D), uint8 0..255, bits, or floats in the range of the likelihood.
    Units     nats per example.
    Raises    ValueError: data that does not fit the model.
    """
    values: dict[str, list[np.ndarray]] = {}
    for rows in in_batches(model, x):
        terms, _ = model.objective(rows, model.draw_eps(len(rows), rng))
        for name, term in terms._asdict().items():
            values.setdefault(name, []).append(to_numpy(term).astype(float))
    return {name: estimate(np.concatenate(parts)) for name, parts in values.items() if name != "objective"}


def log_evidence(
    vae: VAE, x: np.ndarray, K: int, rng: np.random.Generator, q: tuple[np.ndarray, np.ndarray] | None = None
) -> np.ndarray:
    """log p(x) >= E[log (1/K) sum_k w_k], estimated with K draws from q(z|x): the importance-weighted bound.

    The draws stream by, a few at a time, through a running log-sum-exp: memory does not grow with K.

    q         mu and logvar (N, Z) of another Gaussian to draw from, a row an example; the encoder's own unless given.

    Shapes    x (N, D); log_px (N,).
    Units     nats per example. A lower bound in expectation, which tightens as K grows, whatever q is.
    Source    Burda, Grosse & Salakhutdinov (2016), arXiv 1509.00519; see `iwae`;
              [eq: importance-unbiased], [eq: bound-grows], [eq: bound-streaming].
    Raises    ValueError: K below 1, data or a q that do not fit.
    """
    require_vae(vae, "log_evidence")
    K, xp, log_px, start = require_count(K, "K"), vae.xp, [], 0
    if q is not None:
        q = tuple(vae.as_input(head, name, (len(x), vae.n_z)) for head, name in zip(q, ("mu", "logvar"), strict=True))
    for rows in in_batches(vae, x):
        B = len(rows)
        mu, logvar = vae.encode(rows)[:2] if q is None else (head[start : start + B] for head in q)  # (B, Z) each
        largest, total = xp.full(B, -math.inf), xp.zeros(B)  # (B,), float64: the sum of weights is exp(largest) * total
        at_once = max(1, DECODED // B)
        for done in range(0, K, at_once):
            n = min(at_once, K - done)  # n draws in this portion
            eps = vae.draw_eps(n * B, rng).reshape(n, B, vae.n_z)  # (n, B, Z)
            log_w = log_importance_weights(vae, rows, eps, (mu, logvar))[0]  # (n, B)  why [0]: a cache would stay alive
            new = xp.maximum(largest, log_w.max(axis=0))  # (B,)
            total = total * xp.exp(largest - new) + xp.exp(log_w - new).sum(axis=0)  # (B,)
            largest = new
        log_px.append(to_numpy(largest + xp.log(total)) - math.log(K))
        start += B
    return np.concatenate(log_px)


def kl_per_latent(vae: VAE, x: np.ndarray) -> np.ndarray:
    """The mean over the data of KL(q(z_j|x) || N(0, 1)), (Z,), in nats; they sum to the mean KL. 0 is a collapse."""
    require_vae(vae, "kl_per_latent")
    parts = []
    for rows in in_batches(vae, x):
        mu, logvar, _ = vae.encode(rows)  # (B, Z), (B, Z)
        kl, _ = kl_to_standard_normal(mu.reshape(-1, 1), logvar.reshape(-1, 1))  # (B Z,)  each latent on its own
        parts.append(to_numpy(kl).reshape(len(rows), -1))
    return np.concatenate(parts).astype(float).mean(axis=0)


def active_units(vae: VAE, x: np.ndarray) -> np.ndarray:
    """Which latents are in use, (Z,) bool: the variance over the data of mu_j exceeds 0.01.

    Source    Burda, Grosse & Salakhutdinov (2016), arXiv 1509.00519, Sec. 5.2.
    """
    require_vae(vae, "active_units")
    mu = np.concatenate([to_numpy(vae.encode(rows)[0]) for rows in in_batches(vae, x)])  # (N, Z)
    return mu.astype(float).var(axis=0) > ACTIVE
