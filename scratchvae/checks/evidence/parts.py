"""The weights of a bound of K draws by the terms of their log q(z|x): is one of them missing, or a number times itself?

Sizes: K draws, B rows, Z latents, n sets.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from scratchvae.checks.amounts import off_by, same
from scratchvae.checks.evidence.many import Many
from scratchvae.checks.evidence.terms import ALLOWED, close
from scratchvae.checks.evidence.written_q import Written, which_is
from scratchvae.checks.report import Finding
from scratchvae.gaussian import LOG_2PI

LOG_Q = "log q(z|x) = -1/2 sum_j (log(2 pi) + 2 log sigma + (z - mu)^2 / sigma^2)"
LOG_P = "log p(z) = -1/2 sum_j (log(2 pi) + z^2)"
NAMES = ("- sum log sigma", "- 1/2 sum (z - mu)^2 / sigma^2")
FACTORS = (0.0, -1.0, 0.5, 2.0, -0.5, -2.0)  # the usual slips: with few rows other numbers may be a coincidence


def terms_of_q(many: Many, z: np.ndarray) -> np.ndarray:
    """Both terms of log q(z|x) of every draw (B, K, n, Z), as (2, B, K, n)."""
    mu, logvar = (a[:, None, None] for a in many.heads)  # (B, 1, 1, Z) each
    logs = np.broadcast_to(-0.5 * logvar.sum(axis=-1), z.shape[:-1])  # (B, K, n)
    with np.errstate(all="ignore"):
        return np.stack([logs, -0.5 * ((z - mu) ** 2 * np.exp(-logvar)).sum(axis=-1)])


class Said(NamedTuple):
    """What is wrong with log q(z|x), what each of its terms is multiplied by, (2,), and what is taken from it."""

    finding: Finding
    factors: np.ndarray
    left_out: float


def term_of_log_q(many: Many, got_one: np.ndarray, parts_one: np.ndarray, z_one: np.ndarray) -> Said | None:
    """The one term of log q(z|x) that is wrong in the weights; None if it is not one of them alone.

    got_one (B, n), parts_one (3, B, K, n) and z_one (B, K, n, Z) are those of K draws that are the same.
    """
    columns = [parts_one[0], parts_one[1], *terms_of_q(many, z_one)]
    table = np.stack([np.ones(got_one.size), *(a[:, 0].ravel() for a in columns)], axis=1)  # (B n, 5)
    if not np.isfinite(table).all() or np.linalg.matrix_rank(table) < table.shape[1]:
        return None
    constant, nll, log_p, *of_q = np.linalg.lstsq(table, got_one.ravel(), rcond=None)[0].tolist()
    if not (close(table @ [constant, nll, log_p, *of_q], got_one.ravel()) and same(nll, -1.0) and same(log_p, 1.0)):
        return None
    c = np.array([next((f for f in (1.0, *FACTORS) if abs(-a - f) < ALLOWED), np.nan) for a in of_q])  # (2,)
    whole = 0.5 * z_one.shape[-1] * LOG_2PI  # what log q(z|x) has of a constant, with its sign turned
    if np.isnan(c).any() or (c == 1).sum() != 1 or min(abs(constant), abs(constant - whole)) > ALLOWED:
        return None
    left_out = whole if abs(constant) < ALLOWED else 0.0
    return Said(in_words(c, " and no log(2 pi)" if left_out else ""), c, left_out)


def slip_in_log_q(many: Many, got_one: np.ndarray, parts_one: np.ndarray, z_one: np.ndarray) -> Written | None:
    """The usual slip that log q(z|x) in the weights is, from K draws that are the same; None if there is not one."""
    mu, logvar = (a[:, None] for a in many.heads)  # (B, 1, Z) each
    return which_is(parts_one[1, :, 0] - parts_one[0, :, 0] - got_one, z_one[:, 0], mu, logvar)


def one_for_all(parts: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """The parts of the weights, (3, B, K, n), with one of them the same for all K draws, and what that is."""
    ways = {"averaged over the draws": lambda a: a.mean(axis=1), "that of the first draw": lambda a: a[:, 0]}
    for i, name in enumerate(("nll", "log p(z)", "log q(z|x)")):
        for how, of in ways.items():
            changed = parts.copy()
            changed[i] = of(parts[i])[:, None]
            yield f"in the weights {name} is {how}, where each draw has its own", changed


def in_words(c: np.ndarray, also: str) -> Finding:
    i = int(np.argmax(c != 1))
    if c[i] == 0:
        text = f"in the weights log q(z|x) has no {NAMES[i]}{also}"
        text += ": it is that of eps, not that of z = mu + sigma eps" if i == 0 else ""
        return Finding(("weights",), "missing-term", text, LOG_Q)
    how, repair = off_by(float(c[i]))
    text = f"in the weights the term {NAMES[i]} of log q(z|x) {how}{f',{also} is in it' * bool(also)}"
    return Finding(("weights",), "sign" if c[i] == -1 else "factor", text, f"{repair}: {LOG_Q}", 1 / float(c[i]))
