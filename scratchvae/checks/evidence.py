"""check_evidence: log p(x) = ELBO + KL(q || p(z|x)), each side by quadrature."""

from typing import Any

import numpy as np

from scratchvae.backend import Array
from scratchvae.checks.report import Finding, Report, Row
from scratchvae.exact import expected_elbo, grid_posterior


def check_evidence(model: Any, x: Array, *, likelihood: Any = None) -> Report:
    """The identity log p(x) = ELBO + KL(q || p(z|x)), for a model with one or two latents.

    model has encode(x) -> mu, logvar, ...;  decode(z) -> logits, ...;  objective(x, eps, beta) -> terms, cache with
    terms.elbo or terms.objective (B,). likelihood says what the logits mean: by default the model's own, or Bernoulli.

    Shapes    x (B, D), a few rows.
    Units     nats.
    """
    report = Report("evidence", unit="nats")
    posterior = grid_posterior(model, x)
    mu, logvar, *_ = model.encode(x)
    residual = np.abs(posterior.log_px - expected_elbo(model, x) - posterior.kl_from(mu, logvar))
    for b, error in enumerate(residual):
        report.rows.append(Row(f"x[{b}]", (), float(error), "ok" if error < 1e-5 else "wrong"))
    if (residual >= 1e-5).any():
        report.findings.append(Finding("elbo", "unknown", "log p(x) is not ELBO + KL(q || p(z|x))"))
    return report
