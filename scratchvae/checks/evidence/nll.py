"""Which slip a wrong nll is, point by point.

Sizes: B rows, D data, Z latents, E noises.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

from scratchvae.backend import as_backend, get_xp, to_numpy
from scratchvae.checks.amounts import number, same
from scratchvae.checks.evidence.inside import logits_of
from scratchvae.checks.evidence.terms import ALLOWED, by_a_number, close
from scratchvae.checks.report import Finding
from scratchvae.checks.vjp.case import ratio
from scratchvae.likelihoods import Bernoulli

At = Callable[[np.ndarray], np.ndarray]  # x (E B, D) -> its nll at the same logits, (E, B)
REPAIR = "-log p(x|z) of x itself, summed over its pixels"


def wrong_nll(nll: np.ndarray, right: np.ndarray, z: np.ndarray, x: np.ndarray, model: Any, p: Any) -> Finding:
    """nll (E, B) is not -log p(x|z), right (E, B), at z (E, B, Z) and x (B, D)."""
    if finding := by_a_number("nll", nll, right, {"D": x.shape[1]}):
        return finding
    logits = logits_of(model, z.reshape(-1, z.shape[-1]))  # (E B, D n_params)
    many = np.broadcast_to(x, (len(z), *x.shape)).reshape(-1, x.shape[1])  # (E B, D)

    def at(x: np.ndarray) -> np.ndarray:
        rows = as_backend(x, get_xp(logits), logits.dtype)
        return to_numpy(p.nll(rows, logits)[0]).astype(float).reshape(nll.shape)

    for known in (of_another_x, of_a_half, of_squares):
        with np.errstate(all="ignore"), suppress(Exception):  # somebody's likelihood may refuse what is tried
            if finding := known(nll, many, logits, p, at):
                return finding
    return in_no_known_way(nll, right, x, model, p, logits)


def of_another_x(nll: np.ndarray, x: np.ndarray, logits: Any, p: Any, at: At) -> Finding | None:
    """The right nll of something else than x (E B, D)."""
    others = {"1 - x": 1 - x, "x > 0.5": 1.0 * (x > 0.5), "x - 0.5": x - 0.5, "2 x - 1": 2 * x - 1}
    B = nll.shape[1]
    others["the x of other rows"] = np.tile(x[:B][::-1], (len(nll), 1))
    for name, other in others.items():
        with suppress(Exception):  # why: a likelihood of whole numbers has no nll at 1/2
            if close(nll, at(other)):
                cause = "transpose" if "rows" in name else "elementwise-factor"
                return Finding(("nll",), cause, f"the nll is that of {name}", REPAIR)
    return None


def of_a_half(nll: np.ndarray, x: np.ndarray, logits: Any, p: Any, at: At) -> Finding | None:
    for name, half in halves(x, to_numpy(logits), p).items():
        if close(nll, half.reshape(nll.shape)):
            return Finding(("nll",), "missing-term", f"the nll has the part of {name} alone", REPAIR)
    return None


def of_squares(nll: np.ndarray, x: np.ndarray, logits: Any, p: Any, at: At) -> Finding | None:
    squares = ((x - to_numpy(p.mean(logits))) ** 2).sum(axis=1).reshape(nll.shape)  # (E, B)
    if c := ratio(nll, squares):
        often = "" if same(c, 1.0) else f"{number(c)} times "
        text = f"the nll is {often}the squared distance of x from the decoder's mean"
        return Finding(("nll",), "missing-term", text, "-log p(x|z) of the likelihood, with its constants")
    return None


def in_no_known_way(nll: np.ndarray, right: np.ndarray, x: np.ndarray, model: Any, p: Any, logits: Any) -> Finding:
    own = getattr(model, "likelihood", None) or p
    lacks = np.zeros(1)
    with suppress(Exception):  # somebody's code may do anything
        lacks = np.array(
            [to_numpy(p.nll(row, logits[:1])[0] - own.nll(row, logits[:1])[0]).item() for row in x[:, None]]
        )
    if np.abs(lacks).min() > ALLOWED and np.ptp(lacks) < ALLOWED:
        text = "the nll lacks a term that depends on the logits and not on x: a normalising term"
        return Finding(("nll",), "missing-term", text, "a log-likelihood with all its normalising terms")
    if (off := np.abs(nll - right).max()) <= 1e-3 * np.abs(right).max():
        text = f"the nll is nearly right, off by up to {off:.1g} nats: look for a small constant inside a logarithm"
        return Finding(("nll",), "missing-term", text, "the logarithm from the logits, where it needs no constant")
    text = "the nll is not -log p(x|z) at its own z, by another amount for each x, in no usual way"
    return Finding(("nll",), "unknown", text, REPAIR)


def halves(x: np.ndarray, logits: np.ndarray, p: Any) -> dict[str, np.ndarray]:
    """The two parts of the nll of a Bernoulli, (B,) each, by what they belong to; nothing for another likelihood."""
    if getattr(p, "name", "") != Bernoulli.name:
        return {}
    ones, zeros = x * np.logaddexp(0, -logits), (1 - x) * np.logaddexp(0, logits)  # (B, D) each
    return {"the ones, -x log p,": ones.sum(axis=1), "the zeros, -(1 - x) log(1 - p),": zeros.sum(axis=1)}
