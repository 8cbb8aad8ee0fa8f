"""What two terms are compared by, and which slip a wrong sum of nll and kl is, point by point.

Sizes: B rows, Z latents, E noises.
"""

from collections.abc import Mapping

import numpy as np

from scratchvae.checks.amounts import nats, off_by, same
from scratchvae.checks.report import Finding
from scratchvae.checks.vjp.case import ratio
from scratchvae.gaussian import LOG_2PI

ALLOWED = 1e-5  # nats, relative to a term where that exceeds 1
Heads = tuple[np.ndarray, np.ndarray]  # mu, logvar, (B, Z) each


def close(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.isfinite(b).all() and np.allclose(a, b, rtol=ALLOWED, atol=ALLOWED))


def log_normal(z: np.ndarray, mu: np.ndarray | float = 0.0, logvar: np.ndarray | float = 0.0) -> np.ndarray:
    """log N(z; mu, exp(logvar)), summed over the latents."""
    return -0.5 * ((z - mu) ** 2 * np.exp(-np.asarray(logvar)) + logvar + LOG_2PI).sum(axis=-1)


def by_a_number(name: str, got: np.ndarray, right: np.ndarray, sizes: Mapping[str, int]) -> Finding | None:
    """A term that is off by a factor, or by the same amount at every point."""
    if not np.abs(got).max() > ALLOWED:
        return Finding((name,), "zero", f"the {name} is 0 for every x and eps", f"the {name} belongs here")
    if c := ratio(got, right):
        text, repair = off_by(c, sizes)
        return Finding((name,), "sign" if same(c, -1.0) else "factor", f"the {name} {text}", repair, 1 / c)
    if got.size > 2 and np.ptp(got - right) < ALLOWED * max(1.0, float(np.abs(right).max())):
        lacks = float((right - got).mean())
        word = "too small" if lacks > 0 else "too large"
        text = f"the {name} is {word} by the same {nats(lacks)} for every x: a constant"
        return Finding((name,), "missing-term", text, f"{'add' if lacks > 0 else 'take away'} the constant")
    return None


def wrong_sum(name: str, bound: np.ndarray, nll: np.ndarray, kl: np.ndarray, beta: bool = False) -> Finding | None:
    """The bound as a combination of nll and kl, (E, B) each: None if it is -nll - kl, or with beta any -nll - c kl."""
    table = np.stack([nll.ravel(), kl.ravel()], axis=1)  # (E B, 2)
    weights = np.linalg.lstsq(table, bound.ravel(), rcond=None)[0]  # (2,)
    if close(bound, -nll - kl) or (beta and same(weights[0], -1.0) and weights[1] <= 0):
        return None
    repair = f"{name} = -nll - kl"
    if not close(table @ weights, bound.ravel()):
        if np.ptp(bound + nll + kl) < ALLOWED:
            text = f"{name} is off by the same {nats(float((bound + nll + kl).mean()))} for every x"
            return Finding((name,), "missing-term", f"{text}: a constant", repair)
        return Finding((name,), "unknown", f"{name} is not made of nll and kl alone, though both are right", repair)
    if (np.abs(weights - 1) < ALLOWED).all():
        text = f"{name} has the wrong sign: it is nll + kl, the loss"
        return Finding((name,), "sign", text, repair, -1.0)
    if same(weights[0], weights[1]):
        text, how = off_by(-weights[0])
        return Finding((name,), "factor", f"{name} {text}", how, -1 / weights[0])
    for term, weight in zip(("nll", "kl"), weights, strict=True):
        if abs(weight) < ALLOWED:
            return Finding((name,), "missing-term", f"the {term} is missing from {name}", repair)
        if not same(weight, -1.0):
            text, how = off_by(-weight)
            cause = "sign" if same(weight, 1.0) else "factor"
            return Finding((name,), cause, f"in {name} the {term} {text}", how, -1 / weight)
    return None
