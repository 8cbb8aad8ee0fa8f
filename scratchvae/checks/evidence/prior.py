"""Does a kl belong to another prior than N(0, I), one and the same for all x?

A prior may be learned, or have layers. Nobody can tell from outside whether it is meant, but a slip rarely makes a
density: log p(z) = log q(z|x) - log w has to be the same for all x, and to integrate to 1.

Sizes: n points, B rows, Z latents, G grid points.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from scratchvae.checks.evidence.terms import Heads, close, log_normal
from scratchvae.checks.report import Row
from scratchvae.exact import make_grid
from scratchvae.gaussian import LOG_2PI
from scratchvae.vae import VAE

LogP = Callable[[np.ndarray, int], np.ndarray]  # z (G, Z), a row -> log p(z) as its kl says, (G,)
WIDE = 8.0  # the prior is looked for between -WIDE and WIDE, if it is not normal
PARTS = 1e-2  # what it may integrate to beside 1: the grid is coarse, and a density may have a kink or a tail


def is_known(model: Any) -> bool:
    """Does the model draw its pictures from N(0, I), as VAE.sample does? Then its prior can be told."""
    return getattr(type(model), "sample", None) is VAE.sample


def of_closed_kl(kl: np.ndarray, heads: Heads) -> str:
    """The N(m, C) that kl (n,) is the divergence to, for mu and logvar (n, Z) each; nothing if there is none."""
    mu, logvar = heads
    Z = mu.shape[1]
    pairs = [(j, k) for j in range(Z) for k in range(j, Z)]
    second = [mu[:, j] * mu[:, k] + (j == k) * np.exp(logvar[:, j]) for j, k in pairs]
    table = np.stack([*second, *mu.T, np.ones(len(kl))], axis=1)  # (n, P)
    return normal(table, kl + 0.5 * (logvar.sum(axis=1) + Z), -1.0, pairs)


def of_log_p(log_p: np.ndarray, z: np.ndarray) -> str:
    """The N(m, C) that log_p (n,) is the density of, at z (n, Z); nothing if there is none."""
    Z = z.shape[1]
    pairs = [(j, k) for j in range(Z) for k in range(j, Z)]
    table = np.stack([*(z[:, j] * z[:, k] for j, k in pairs), *z.T, np.ones(len(z))], axis=1)  # (n, P)
    return normal(table, log_p + 0.5 * Z * LOG_2PI, 1.0, pairs)


def normal(table: np.ndarray, values: np.ndarray, sign: float, pairs: list[tuple[int, int]]) -> str:
    """values (n,) = sign * (-z'Pz/2 + h'z - h'm/2 + log|P|/2), or an expectation of that: m and C = 1/P in words."""
    P, Z = table.shape[1], pairs[-1][0] + 1
    if not (np.isfinite(table).all() and np.isfinite(values).all()) or len(values) < P:
        return ""
    weights, _, rank, _ = np.linalg.lstsq(table, sign * values, rcond=1e-10)  # (P,)
    if rank < P or not close(table @ weights, sign * values):
        return ""
    precision, h = np.zeros((Z, Z)), weights[len(pairs) : -1]
    for (j, k), weight in zip(pairs, weights, strict=False):
        precision[j, k] = precision[k, j] = -weight * (2 if j == k else 1)
    if not (np.linalg.eigvalsh(precision) > 1e-6).all():
        return ""
    mean, covariance = np.linalg.solve(precision, h), np.linalg.inv(precision)
    if close(mean, np.zeros(Z)) and close(covariance, np.eye(Z)):
        return ""
    constant = 0.5 * (np.linalg.slogdet(precision)[1] - h @ mean)
    return in_words(mean, covariance) if close(constant, weights[-1]) else ""


def in_words(mean: np.ndarray, covariance: np.ndarray) -> str:
    """A normal distribution by its numbers."""
    m, v = (", ".join(f"{a:.3g}" for a in np.where(np.abs(of) < 1e-6, 0, of)) for of in (mean, np.diag(covariance)))
    spread = np.sqrt(np.diag(covariance))
    r = float(covariance[0, -1] / (spread[0] * spread[-1])) if len(mean) > 1 else 0.0
    return f"N of mean {m} and variance {v}" + (f", correlated by {r:.3g}" if abs(r) > 1e-6 else "")


def of_draws(log_p_at: LogP, B: int, Z: int, rng: np.random.Generator) -> str:
    """The prior whose log p(z) is the same in every row, and integrates to 1; nothing if there is none."""
    z = rng.standard_normal((24, Z))
    rows = np.stack([log_p_at(z, b) for b in range(B)])  # (B, 24)
    if not np.isfinite(rows).all() or not close(rows, np.broadcast_to(rows[0], rows.shape)):
        return ""
    if close(rows[0], log_normal(z)):
        return ""
    if words := of_log_p(rows[0], z):
        return words
    even, cell = make_grid(Z, WIDE, 1601 if Z == 1 else 121)  # (G, Z)
    steps, small = make_grid(Z, 7.0, 1601 if Z == 1 else 121)  # (G, Z)
    totals = [
        np.exp(log_p_at(even, 0)).sum() * cell,
        (np.exp(log_p_at(np.sinh(steps), 0)) * np.cosh(steps).prod(axis=1)).sum() * small,  # why: tails may be heavy
    ]
    return "a density that is not normal" if min(abs(total - 1) for total in totals) < PARTS else ""


def of_another_prior(rows: list[Row], prior: str, wrong: bool) -> list[Row]:
    """What does not fit N(0, I) and fits another prior is untested: nobody can tell from here which one is meant."""
    if not wrong:
        rows = [
            row._replace(status="untested", note=row.note.split(": ")[0] + ", for the prior N(0, I)")
            if row.status == "wrong" or row.name.startswith("x[")
            else row
            for row in rows
        ]
    return [*rows, Row("prior", (), math.nan, "untested", f"the kl is that to {prior}, not to N(0, I): is it meant?")]
