"""check_sampler: is a reparameterized draw a draw from the q that the KL assumes?"""

from collections.abc import Callable
from typing import Any

import numpy as np

from scratchvae.backend import Array
from scratchvae.checks.report import Finding, Report, Row


def check_sampler(
    sampler: Callable[[Any, Any, Any], Any],
    mu: Array,
    logvar: Array,
    *,
    rng: np.random.Generator | None = None,
    n: int = 40_000,
) -> Report:
    """Moments and distribution of z = sampler(mu, logvar, eps), eps ~ N(0, I), against N(mu, exp(logvar)).

    sampler returns z or (z, cache). Errors are in standard errors; 5 are allowed.

    Shapes    mu, logvar (B, Z); each of the B Z entries gets n draws.
    """
    rng = np.random.default_rng(0) if rng is None else rng
    mu, logvar = np.atleast_2d(np.asarray(mu, float)), np.atleast_2d(np.asarray(logvar, float))
    report = Report("sampler", unit="standard errors")
    z = np.empty((n, *mu.shape))
    for i, eps in enumerate(rng.standard_normal((n, *mu.shape))):
        out = sampler(mu, logvar, eps)
        z[i] = out[0] if isinstance(out, tuple) else out
    u = (z - mu) / np.exp(0.5 * logvar)
    for name, values, expected in (("mean", u, 0.0), ("variance", u**2, 1.0)):
        error = float((np.abs(values.mean(axis=0) - expected) / (values.std(axis=0) / np.sqrt(n) + 1e-300)).max())
        report.rows.append(Row(name, mu.shape, error, "ok" if error < 5 else "wrong"))
        if error >= 5:
            report.findings.append(
                Finding(name, "unknown", f"the {name} of the draws is not that of N(mu, exp(logvar))")
            )
    return report
