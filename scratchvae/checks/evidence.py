"""check_evidence: log p(x) = ELBO + KL(q || p(z|x)), each side by quadrature.

The identity holds for every q and every decoder, trained or not, so it grades an ELBO without knowing the answer: the
sampler, the KL, the likelihood and their signs have to fit together, or the two sides differ.

Sizes: B rows, D data, Z latents, G grid points.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from scratchvae.backend import Array, to_numpy
from scratchvae.checks.causes.case import ratio
from scratchvae.checks.causes.sentences import factor_sentence
from scratchvae.checks.normalised import check_likelihood
from scratchvae.checks.report import Finding, Report, Row
from scratchvae.exact import make_grid
from scratchvae.gaussian import LOG_2PI
from scratchvae.likelihoods import Bernoulli

ALLOWED = 1e-5  # nats, relative to the size of the ELBO where that exceeds 1
SPREADS: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
    "sigma^2": ("elementwise-factor", lambda s: s * s),
    "sqrt(sigma)": ("elementwise-factor", lambda s: np.sqrt(s)),
    "sigma / 2": ("factor", lambda s: 0.5 * s),
    "2 sigma": ("factor", lambda s: 2 * s),
    "0": ("zero", lambda s: 0 * s),
}


class Sides(NamedTuple):
    """The terms of the identity as quadrature gives them, each (B,), in nats."""

    log_px: np.ndarray
    nll: np.ndarray  # E_q[-log p(x|z)]
    kl: np.ndarray  # E_q[log q(z|x) - log p(z)]

    @property
    def kl_posterior(self) -> np.ndarray:
        """E_q[log q(z|x) - log p(z|x)] with log p(z|x) = log p(x|z) + log p(z) - log p(x)."""
        return self.kl + self.nll + self.log_px


def check_evidence(model: Any, x: Array, *, likelihood: Any = None) -> Report:
    """The identity log p(x) = ELBO + KL(q || p(z|x)), for a model with one or two latents.

    model has encode(x) -> mu, logvar, ...;  decode(z) -> logits, ...;  objective(x, eps) -> terms, cache with
    terms.elbo or terms.objective (B,). likelihood says what the logits mean: the model's own if it has one, else
    Bernoulli. With terms.nll and terms.kl the report says which of them is at fault.

    Shapes    x (B, D), at least 4 rows that differ.
    Units     nats.
    Raises    ValueError: more than two latents.
    """
    report = Report(f"evidence of {type(model).__name__}", unit="nats")
    mu, logvar = (to_numpy(a).astype(float) for a in model.encode(x)[:2])  # (B, Z) each
    if mu.shape[1] > 2:
        raise ValueError(f"the identity is checked on a grid: build the model with 1 or 2 latents, got {mu.shape[1]}")
    own = getattr(model, "likelihood", None)
    trusted = likelihood or own or Bernoulli()
    if own is not None:
        check_likelihood(own, report)

    def nll_at(z: np.ndarray, row: np.ndarray) -> np.ndarray:
        logits = model.decode(z)[0]  # (G, D)
        return to_numpy(trusted.nll(np.broadcast_to(row, (len(z), len(row))), logits)[0]).astype(float)  # (G,)

    sides = by_quadrature(nll_at, x, mu, logvar)
    claimed = expected_terms(model, x, mu.shape[1])
    excess = claimed["elbo"] + sides.kl_posterior - sides.log_px  # (B,)
    allowed = ALLOWED * np.maximum(1, np.abs(claimed["elbo"]))
    for b, error in enumerate(excess):
        log_px, elbo, kl = sides.log_px[b], claimed["elbo"][b], sides.kl_posterior[b]
        note = f"log p(x) {log_px:.4f}, ELBO {elbo:.4f}, KL to the posterior {kl:.4f}"
        report.rows.append(Row(f"x[{b}]", (), abs(float(error)), "ok" if abs(error) <= allowed[b] else "wrong", note))
    if not (np.abs(excess) <= allowed).all():
        report.findings += explain(nll_at, x, mu, logvar, sides, claimed, excess)
    return report


def by_quadrature(nll_at: Callable[..., np.ndarray], x: np.ndarray, mu: np.ndarray, logvar: np.ndarray) -> Sides:
    """log p(x) on a grid of z under the prior, and the expectations under q on a grid of eps."""
    Z = mu.shape[1]
    z, cell = make_grid(Z, 8.0, 2001 if Z == 1 else 201)  # (G, Z)
    log_prior = -0.5 * (z * z + LOG_2PI).sum(axis=1)  # (G,)
    log_joint = np.stack([log_prior - nll_at(z, row) for row in x])  # (B, G)
    log_px = np.logaddexp.reduce(log_joint, axis=1) + np.log(cell)  # (B,)
    return Sides(log_px, expected_nll(nll_at, x, mu, np.exp(0.5 * logvar)), expected_kl(mu, logvar))


def expected_kl(mu: np.ndarray, logvar: np.ndarray) -> np.ndarray:
    """E_q[log q(z|x) - log p(z)], (B,), as an average over eps."""
    eps, weights = noise_grid(mu.shape[1])
    z = mu[:, None] + np.exp(0.5 * logvar)[:, None] * eps  # (B, G, Z)
    return 0.5 * ((z * z - eps * eps).sum(axis=2) - logvar.sum(axis=1)[:, None]) @ weights


def expected_nll(nll_at: Callable[..., np.ndarray], x: np.ndarray, mu: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """E[-log p(x|z)] for z ~ N(mu, sigma^2), (B,)."""
    eps, weights = noise_grid(mu.shape[1])
    return np.array([weights @ nll_at(m + s * eps, row) for m, s, row in zip(mu, sigma, x, strict=True)])


def noise_grid(Z: int) -> tuple[np.ndarray, np.ndarray]:
    """eps (G, Z), and the weights (G,) that make a sum the expectation under N(0, I)."""
    eps, cell = make_grid(Z, 8.0, 801 if Z == 1 else 121)
    return eps, np.exp(-0.5 * (eps * eps + LOG_2PI).sum(axis=1)) * cell


def expected_terms(model: Any, x: np.ndarray, Z: int) -> dict[str, np.ndarray]:
    """What the model says: elbo, and nll and kl if it has them, averaged over eps, (B,) each."""
    eps, weights = noise_grid(Z)
    rows = []
    for row in x:
        terms, _ = model.objective(np.broadcast_to(row, (len(eps), len(row))).copy(), eps.copy())
        elbo = terms.elbo if hasattr(terms, "elbo") else terms.objective
        named = {"elbo": elbo, **{name: getattr(terms, name) for name in ("nll", "kl") if hasattr(terms, name)}}
        rows.append({name: float(weights @ np.broadcast_to(to_numpy(t), len(eps))) for name, t in named.items()})
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def explain(
    nll_at: Callable[..., np.ndarray],
    x: np.ndarray,
    mu: np.ndarray,
    logvar: np.ndarray,
    sides: Sides,
    claimed: dict[str, np.ndarray],
    excess: np.ndarray,
) -> list[Finding]:
    """Which term is at fault, and what that usually means."""
    which = "above" if excess.mean() > 0 else "below"
    side = f"ELBO + KL(q || p(z|x)) lies up to {np.abs(excess).max():.3g} nats {which} log p(x)"
    sizes = {"B": len(x), "Z": mu.shape[1], "D": x.shape[1]}
    findings = []
    if "kl" in claimed and not same(claimed["kl"], sides.kl):
        findings.append(
            about("kl", side, claimed["kl"], sides.kl, sizes) or confused_kl(side, claimed["kl"], mu, logvar)
        )
    if "nll" in claimed and not same(claimed["nll"], sides.nll):
        found = about("nll", side, claimed["nll"], sides.nll, sizes)
        findings.append(found or another_spread(nll_at, x, mu, logvar, side, claimed["nll"]))
    if findings:
        return findings
    nll, kl = (claimed.get(name, getattr(sides, name)) for name in ("nll", "kl"))
    weights, *_ = np.linalg.lstsq(np.stack([nll, kl], axis=1), claimed["elbo"], rcond=None)  # should be -1, -1
    if len(x) > 2 and same(weights[0] * nll + weights[1] * kl, claimed["elbo"]):
        for name, weight in zip(("nll", "kl"), weights, strict=True):
            if abs(weight) < 1e-6:
                return [Finding("elbo", "missing-term", f"{side}: the {name} is missing from the ELBO")]
            if abs(weight + 1) > 1e-6:
                cause = "sign" if abs(weight - 1) < 1e-6 else "factor"
                text = f"{side}: in the ELBO the {name} {factor_sentence(-1 / weight, sizes)}"
                return [Finding("elbo", cause, text, -1 / weight)]
    text = f"{side}, though the terms cannot be told apart: look at the sampler, the KL, the likelihood and the signs"
    return [Finding("elbo", "unknown", text)]


def same(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.allclose(a, b, rtol=ALLOWED, atol=ALLOWED))


def about(name: str, side: str, claimed: np.ndarray, true: np.ndarray, sizes: dict[str, int]) -> Finding | None:
    """A term that is off by a factor, or by the same amount for every x."""
    if c := ratio(true, claimed):
        cause = "sign" if abs(c + 1) < 1e-6 else "factor"
        return Finding(name, cause, f"{side}: the {name} {factor_sentence(c, sizes)}", c)
    if len(true) > 2 and np.ptp(true - claimed) < ALLOWED:
        text = f"{side}: the {name} lacks {float((true - claimed).mean()):.6g} nats, the same for every x: a constant"
        return Finding(name, "missing-term", text)
    return None


def confused_kl(side: str, claimed: np.ndarray, mu: np.ndarray, logvar: np.ndarray) -> Finding:
    """Is it the KL of another q: one whose logvar was read as something else, or a mean left out?"""
    readings = {
        "the logarithm of the standard deviation": ("elementwise-factor", mu, 2 * logvar),
        "twice the log-variance": ("elementwise-factor", mu, 0.5 * logvar),
        "the log-variance, but mu as 0": ("missing-term", 0 * mu, logvar),
    }
    for what, (cause, m, v) in readings.items():
        if same(claimed, expected_kl(m, v)):
            text = f"{side}: the kl reads logvar as {what}, and the rest of the model does not; q must be one q"
            return Finding("kl", cause, text)
    too = "small" if (claimed < 0).any() or "above" in side else "large"
    text = f"{side}: the kl is too {too}, by another amount for each x; it is never negative, and 0 only for q = prior"
    return Finding("kl", "unknown", text)


def another_spread(
    nll_at: Callable[..., np.ndarray], x: np.ndarray, mu: np.ndarray, logvar: np.ndarray, side: str, claimed: np.ndarray
) -> Finding:
    """Is it the nll of draws with another standard deviation than the KL takes them to have?"""
    sigma = np.exp(0.5 * logvar)
    for what, (cause, change) in SPREADS.items():
        if same(claimed, expected_nll(nll_at, x, mu, change(sigma))):
            text = f"{side}: z is drawn with the standard deviation {what}, and the kl takes it to be sigma"
            return Finding("sampler", cause, text)
    text = f"{side}: the nll is not -log p(x|z) at draws from q, by another amount for each x; see check_sampler"
    return Finding("nll", "unknown", text)
