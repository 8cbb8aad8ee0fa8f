"""check_evidence: log p(x) = ELBO + KL(q || p(z|x)), each side by quadrature.

The identity holds for every q and every decoder, trained or not, so it grades an ELBO without knowing the answer: the
sampler, the KL, the likelihood and their signs have to fit together, or the two sides differ.

Sizes: B rows, D data, Z latents, G grid points.
"""

from typing import Any

import numpy as np

from scratchvae.backend import Array, as_backend, get_xp, to_numpy
from scratchvae.checks.bound import ALLOWED, Bound, explain_bound
from scratchvae.checks.claims import add
from scratchvae.checks.normalised import claims_of_the_nll
from scratchvae.checks.pixels import require_pixels
from scratchvae.checks.quadrature import by_quadrature, expected_terms
from scratchvae.checks.report import SEED, Finding, Report, Row
from scratchvae.likelihoods import Bernoulli


def check_evidence(model: Any, x: Array, *, likelihood: Any = None) -> Report:
    """The identity log p(x) = ELBO + KL(q || p(z|x)), for a model with one or two latents.

    model has encode(x) -> mu, logvar, ...;  decode(z) -> logits, ...;  objective(x, eps) -> terms, cache with
    terms.elbo or terms.objective (B,). likelihood says what the logits mean: the model's own if it has one, else
    Bernoulli. With terms.nll and terms.kl the report says which of them is at fault.

    Shapes    x (B, D), at least 4 rows that differ; what decode returns is the likelihood's, (G, D n_params).
    Units     nats.
    Raises    ValueError: more than two latents, an x outside the support of the likelihood.
    """
    report = Report(f"evidence of {type(model).__name__}", unit="nats")
    own = getattr(model, "likelihood", None)
    trusted = likelihood or own or Bernoulli()
    require_pixels(x, trusted)
    mu, logvar = (to_numpy(a).astype(float) for a in model.encode(x)[:2])  # (B, Z) each
    if mu.shape[1] > 2:
        raise ValueError(f"the identity is checked on a grid: build the model with 1 or 2 latents, got {mu.shape[1]}")
    if own is not None:
        add(report, "nll", lambda: claims_of_the_nll(own, np.random.default_rng(SEED), []), share=False)

    def nll_at(z: np.ndarray, row: np.ndarray) -> np.ndarray:
        logits = model.decode(z)[0]  # (G, D n_params)
        rows = as_backend(np.broadcast_to(row, (len(z), len(row))), get_xp(logits), logits.dtype)  # (G, D)
        return to_numpy(trusted.nll(rows, logits)[0]).astype(float)  # (G,)

    sides = by_quadrature(nll_at, x, mu, logvar)
    try:
        claimed = expected_terms(model, x, mu.shape[1])
    except ValueError as error:
        text = f"objective fails on a batch of another size: {error}; is something summed over the wrong axis?"
        report.findings.append(Finding(("objective",), "shape", " ".join(text.split())))
        return report
    excess = claimed["elbo"] + sides.kl_posterior - sides.log_px  # (B,)
    allowed = ALLOWED * np.maximum(1, np.abs(claimed["elbo"]))  # (B,)
    for b, off in enumerate(excess):
        log_px, elbo, kl = sides.log_px[b], claimed["elbo"][b], sides.kl_posterior[b]
        note = f"log p(x) {log_px:.4f}, ELBO {elbo:.4f}, KL to the posterior {kl:.4f}"
        report.rows.append(Row(f"x[{b}]", (), abs(float(off)), "ok" if abs(off) <= allowed[b] else "wrong", note))
    if not (np.abs(excess) <= allowed).all():
        report.findings += explain_bound(Bound(model, trusted, nll_at, x, mu, logvar, sides, claimed, excess))
    return report
