"""Which term of a bound is at fault, and what that usually means.

Sizes: B rows, D data, Z latents.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from scratchvae.backend import to_numpy
from scratchvae.checks.quadrature import NllAt, Sides, expected_kl, expected_nll
from scratchvae.checks.report import Finding
from scratchvae.checks.vjp.case import EXPLAINED, ratio
from scratchvae.checks.vjp.sentences import factor_sentence

ALLOWED = 1e-5  # nats, relative to a term where that exceeds 1
SPREADS: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
    "sigma^2": ("elementwise-factor", lambda s: s * s),
    "sqrt(sigma)": ("elementwise-factor", lambda s: np.sqrt(s)),
    "sigma / 2": ("factor", lambda s: 0.5 * s),
    "2 sigma": ("factor", lambda s: 2 * s),
    "0": ("zero", lambda s: 0 * s),
}
PIECES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {  # what a KL may be made of, for one latent
    "mu^2": lambda mu, logvar: mu * mu,
    "sigma^2": lambda mu, logvar: np.exp(logvar),
    "logvar": lambda mu, logvar: logvar,
    "constant": lambda mu, logvar: np.ones(mu.shape),
    "|mu|": lambda mu, logvar: np.abs(mu),
    "mu": lambda mu, logvar: mu,
    "sigma": lambda mu, logvar: np.exp(0.5 * logvar),
    "logvar^2": lambda mu, logvar: logvar * logvar,
}


class Bound(NamedTuple):
    """A bound that does not fit, and what is known about it."""

    model: Any
    likelihood: Any  # the trusted one
    nll_at: NllAt
    x: np.ndarray  # (B, D)
    mu: np.ndarray  # (B, Z)
    logvar: np.ndarray  # (B, Z)
    sides: Sides  # what quadrature says
    claimed: dict[str, np.ndarray]  # what the model says: elbo, perhaps nll and kl, (B,) each
    excess: np.ndarray  # (B,)

    @property
    def side(self) -> str:
        """Which side of the identity is too large, and by how much."""
        which = "above" if self.excess.mean() > 0 else "below"
        return f"ELBO + KL(q || p(z|x)) lies up to {np.abs(self.excess).max():.3g} nats {which} log p(x)"

    @property
    def sizes(self) -> dict[str, int]:
        return {"B": len(self.x), "Z": self.mu.shape[1], "D": self.x.shape[1]}


def explain_bound(bound: Bound) -> list[Finding]:
    """A finding for every term that is not what quadrature says; for their sum, if the terms are right."""
    findings = []
    for name, explain in (("kl", explain_kl), ("nll", explain_nll)):
        true = getattr(bound.sides, name)
        if name in bound.claimed and not same(bound.claimed[name], true):
            findings.append(off_by_a_number(bound, name, bound.claimed[name], true) or explain(bound))
    return findings or [explain_sum(bound)]


def same(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.allclose(a, b, rtol=ALLOWED, atol=ALLOWED))


def off_by_a_number(bound: Bound, name: str, claimed: np.ndarray, true: np.ndarray) -> Finding | None:
    """A term that is off by a factor, or by the same amount for every x."""
    if c := ratio(true, claimed):
        cause = "sign" if abs(c + 1) < EXPLAINED else "factor"
        return Finding((name,), cause, f"{bound.side}: the {name} {factor_sentence(c, bound.sizes)}", factor=c)
    if len(true) > 2 and np.ptp(true - claimed) < ALLOWED:
        number = float((true - claimed).mean())
        text = f"{bound.side}: the {name} lacks {number:.6g} nats, the same for every x: a constant"
        return Finding((name,), "missing-term", text)
    return None


def explain_sum(bound: Bound) -> Finding:
    """The ELBO as a combination of nll and kl, which are right: which weight is not -1?"""
    terms = np.stack([bound.claimed.get(name, getattr(bound.sides, name)) for name in ("nll", "kl")], axis=1)  # (B, 2)
    weights, *_ = np.linalg.lstsq(terms, bound.claimed["elbo"], rcond=None)
    if len(terms) > 2 and same(terms @ weights, bound.claimed["elbo"]):
        for name, weight in zip(("nll", "kl"), weights, strict=True):
            if abs(weight) < EXPLAINED:
                return Finding(("elbo",), "missing-term", f"{bound.side}: the {name} is missing from the ELBO")
            if abs(weight + 1) > EXPLAINED:
                cause = "sign" if abs(weight - 1) < EXPLAINED else "factor"
                text = f"{bound.side}: in the ELBO the {name} {factor_sentence(-1 / weight, bound.sizes)}"
                return Finding(("elbo",), cause, text, factor=-1 / weight)
    text = f"{bound.side}, and the terms cannot be told apart: look at the sampler, the kl, the likelihood, the signs"
    return Finding(("elbo",), "unknown", text)


def explain_kl(bound: Bound) -> Finding:
    """Is it the KL of a q whose logvar was read as something else? Otherwise: which piece of it is off?"""
    readings = {"the logarithm of the standard deviation": 2 * bound.logvar, "twice the log-variance": bound.logvar / 2}
    for what, logvar in readings.items():
        if same(bound.claimed["kl"], expected_kl(bound.mu, logvar)):
            text = f"{bound.side}: the kl reads logvar as {what}, and the sampler does not; both need the same q"
            return Finding(("kl",), "elementwise-factor", text)
    for piece, right, found in pieces_of_the_kl(bound):
        if abs(found) < EXPLAINED:
            return Finding(("kl",), "missing-term", f"{bound.side}: the kl has no part that grows with {piece}")
        cause = "sign" if abs(found + right) < EXPLAINED else "factor"
        text = f"{bound.side}: the part of the kl that grows with {piece} {factor_sentence(right / found, bound.sizes)}"
        return Finding(("kl",), cause, text, factor=right / found)
    text = f"{bound.side}: the kl is off by another amount for each x; it is never negative, and 0 only where q = prior"
    return Finding(("kl",), "unknown", text)


def pieces_of_the_kl(bound: Bound) -> list[tuple[str, float, float]]:
    """Pieces whose weight is wrong: name, right weight, the model's. Fitted at mixtures of the rows, with eps = 0."""
    mixtures = np.random.default_rng(0).dirichlet(np.full(len(bound.x), 0.5), size=64) @ bound.x  # (64, D)
    mu, logvar = (to_numpy(a).astype(float) for a in bound.model.encode(mixtures)[:2])  # (64, Z) each
    terms, _ = bound.model.objective(mixtures, np.zeros(mu.shape))
    table = np.stack([piece(mu, logvar).sum(axis=1) for piece in PIECES.values()], axis=1)  # (64, 8)
    right, found = (
        np.linalg.lstsq(table, kl, rcond=1e-12)[0] for kl in (expected_kl(mu, logvar), to_numpy(terms.kl).astype(float))
    )
    if not np.allclose(table @ found, to_numpy(terms.kl), rtol=1e-8, atol=1e-8):
        return []
    off = [(name, float(r), float(f)) for name, r, f in zip(PIECES, right, found, strict=True) if abs(r - f) > 1e-5]
    return [(name, r, f) for name, r, f in off if abs(r) > 1e-5]


def explain_nll(bound: Bound) -> Finding:
    """Is it the nll of draws with another standard deviation, or of a density that is not normalised?"""
    sigma = np.exp(0.5 * bound.logvar)
    for what, (cause, change) in SPREADS.items():
        if same(bound.claimed["nll"], expected_nll(bound.nll_at, bound.x, bound.mu, change(sigma))):
            text = f"{bound.side}: z is drawn with the standard deviation {what}, and the kl takes it to be sigma"
            return Finding(("sampler",), cause, text)
    own = getattr(bound.model, "likelihood", bound.likelihood)
    logits = bound.model.decode(bound.mu[:1])[0]  # (1, D n_params)
    lacks = [(bound.likelihood.nll(row[None], logits)[0] - own.nll(row[None], logits)[0]).item() for row in bound.x]
    if min(map(abs, lacks)) > ALLOWED and np.ptp(lacks) < ALLOWED:
        text = f"{bound.side}: the nll lacks a term that depends on the logits and not on x: a normalising term"
        return Finding(("nll",), "missing-term", text)
    text = f"{bound.side}: the nll is not -log p(x|z) at draws from q, by another amount for each x; see check_sampler"
    return Finding(("nll",), "unknown", text)
