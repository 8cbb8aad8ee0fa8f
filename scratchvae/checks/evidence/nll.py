"""Which slip a wrong nll is, point by point.

Sizes: B rows, D data, Z latents, E noises.
"""

import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

from scratchvae.backend import as_backend, get_xp, to_numpy
from scratchvae.checks.amounts import number, off_by, same
from scratchvae.checks.evidence.inside import logits_of
from scratchvae.checks.evidence.terms import ALLOWED, by_a_number, close
from scratchvae.checks.report import Finding, listed
from scratchvae.checks.vjp.case import ratio
from scratchvae.likelihoods import Bernoulli

At = Callable[[np.ndarray], np.ndarray]  # x (E B, D) -> its nll at the same logits, (E, B)
NEARLY = 1e-3  # of the largest nll
IN_LOGITS = "the sum of log(1 + exp(logit)) - x * logit"
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

    for known in (
        of_another_x,
        of_a_half,
        of_squares,
        of_a_factor,
        of_a_term,
        of_other_logits,
        of_its_pixels,
        of_its_parts,
        of_a_small_constant,
    ):
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


def of_a_factor(nll: np.ndarray, x: np.ndarray, logits: Any, p: Any, at: At) -> Finding | None:
    """All of it but a constant."""
    right = at(x).ravel()
    c, constant = np.linalg.lstsq(np.stack([right, np.ones(nll.size)], axis=1), nll.ravel(), rcond=None)[0].tolist()
    if abs(c) < ALLOWED or not close(nll.ravel(), c * right + constant):
        return None
    if c > 0 and isinstance(sigma := getattr(p, "sigma", None), float):
        other = type(p)(sigma=sigma / c**0.5)
        if close(nll.ravel(), to_numpy(other.nll(as_backend(x, get_xp(logits), logits.dtype), logits)[0])):
            text = f"the nll is that of sigma = {number(other.sigma)}, where the likelihood has {number(sigma)}"
            return Finding(("nll",), "factor", text, "the likelihood's own sigma")
    text, _ = off_by(c)
    return Finding(("nll",), "sign" if same(c, -1.0) else "factor", f"but for a constant the nll {text}", REPAIR)


def of_a_term(nll: np.ndarray, x: np.ndarray, logits: Any, p: Any, at: At) -> Finding | None:
    """A term that is missing or too much, in x alone or in the logits alone."""
    lacks = at(x) - nll  # (E, B)
    scale = max(1.0, float(np.abs(nll).max()))
    if np.ptp(lacks, axis=0).max() <= ALLOWED * scale:
        if (x == np.rint(x)).all() and (x >= 0).all():
            factorial = np.array([sum(math.lgamma(a + 1) for a in row) for row in x]).reshape(nll.shape)
            if close(lacks, factorial):
                return Finding(("nll",), "missing-term", "the nll lacks log x!, a term in x alone", "add log x!")
        text = "the nll is off by a term that does not depend on the logits, another amount for each x"
        return Finding(("nll",), "missing-term", text, "a log-likelihood with the terms in x alone as well")
    for name, term in terms_in_logits(to_numpy(logits).astype(float), getattr(p, "n_params", 1)).items():
        if c := ratio(lacks, term.reshape(nll.shape)):
            often = "" if same(abs(c), 1.0) else f"{number(abs(c))} times "
            text = (
                f"the nll {'lacks' if c > 0 else 'has a term too many,'} {often}the sum of {name}, in the logits alone"
            )
            return Finding(("nll",), "missing-term", text, "a log-likelihood with all its normalising terms")
    return None


def of_its_pixels(nll: np.ndarray, x: np.ndarray, logits: Any, p: Any, at: At) -> Finding | None:
    """The right nll of some of the pixels alone."""
    D, of = x.shape[1], logits.reshape(len(x), -1, x.shape[1])  # (E B, P, D)
    each = [to_numpy(p.nll(as_backend(x[:, [d]], get_xp(of), of.dtype), of[:, :, d])[0]) for d in range(D)]
    table = np.stack(each, axis=1).astype(float)  # (E B, D)
    if not close(table.sum(axis=1), at(x).ravel()) or np.linalg.matrix_rank(table) < D:
        return None
    counted = np.linalg.lstsq(table, nll.ravel(), rcond=None)[0]  # (D,)
    gone = np.abs(counted) < ALLOWED  # (D,)
    if not (gone.any() and close(counted[~gone], np.ones((~gone).sum())) and close(table @ counted, nll.ravel())):
        return None
    which = listed([str(d) for d in np.flatnonzero(gone)])
    text = f"the nll leaves out pixel{'s' if gone.sum() > 1 else ''} {which}"
    return Finding(("nll",), "missing-term", text, "sum over all pixels")


def of_its_parts(nll: np.ndarray, x: np.ndarray, logits: Any, p: Any, at: At) -> Finding | None:
    """The nll of a Bernoulli, log(1 + exp(logit)) - x * logit, with another weight of one of both."""
    if getattr(p, "name", "") != Bernoulli.name:
        return None
    a = to_numpy(logits).astype(float)  # (E B, D)
    table = np.stack([np.logaddexp(0, a).sum(axis=1), -(x * a).sum(axis=1)], axis=1)  # (E B, 2)
    weights = np.linalg.lstsq(table, nll.ravel(), rcond=None)[0].tolist()
    if not close(table @ weights, nll.ravel()):
        return None
    for name, c in zip(("log(1 + exp(logit))", "x * logit"), weights, strict=True):
        if abs(c) < ALLOWED:
            return Finding(("nll",), "missing-term", f"the nll has no {name}", IN_LOGITS)
        if not same(c, 1.0):
            how, repair = off_by(c)
            cause = "sign" if same(c, -1.0) else "factor"
            return Finding(("nll",), cause, f"in the nll {name} {how}", f"{repair}: {IN_LOGITS}", 1 / c)
    return None


def terms_in_logits(logits: np.ndarray, P: int) -> dict[str, np.ndarray]:
    """What a normaliser may be made of, summed over the pixels, (E B,) each."""
    by_parameter = logits.reshape(len(logits), P, -1)  # (E B, P, D)
    of_each = {"first": 0, "second": 1, "third": 2} if P > 1 else {}
    return {
        **{f"the {name} parameter": by_parameter[:, k].sum(axis=1) for name, k in of_each.items() if k < P},
        "log(1 + exp(logit))": np.logaddexp(0, logits).sum(axis=1),
        "exp(logit)": np.exp(logits).sum(axis=1),
        "the logits": logits.sum(axis=1),
        "the logsumexp over the parameters of a pixel": np.logaddexp.reduce(by_parameter, axis=1).sum(axis=1),
    }


def of_a_small_constant(nll: np.ndarray, x: np.ndarray, logits: Any, p: Any, at: At) -> Finding | None:
    """Probabilities that are kept from 0 inside the logarithms, by much."""
    if getattr(p, "name", "") != Bernoulli.name or np.abs(nll - at(x)).max() <= NEARLY * np.abs(at(x)).max():
        return None
    q = 0.5 * (1 + np.tanh(0.5 * to_numpy(logits).astype(float)))  # (E B, D)
    for c in 10.0 ** -np.arange(1, 9):
        inside = -(x * np.log(q + c) + (1 - x) * np.log(1 - q + c)).sum(axis=1)  # (E B,)
        if close(nll, inside.reshape(nll.shape)):
            text = f"the nll adds {c:g} to the probabilities inside its logarithms"
            return Finding(("nll",), "missing-term", text, "the logarithm from the logits, where it needs no constant")
    return None


def of_other_logits(nll: np.ndarray, x: np.ndarray, logits: Any, p: Any, at: At) -> Finding | None:
    """The right nll of something made of the logits."""
    of, P = to_numpy(logits).astype(float), getattr(p, "n_params", 1)
    apart = of.reshape(len(of), P, -1)  # (E B, P, D)
    soft = np.exp(apart - np.logaddexp.reduce(apart, axis=1, keepdims=True))
    others = {
        "sigmoid(logits)": 0.5 * (1 + np.tanh(0.5 * of)),
        "tanh(logits)": np.tanh(of),
        "exp(logits)": np.exp(of),
        "minus the logits": -of,
        "logits read pixel by pixel, not parameter by parameter": of.reshape(len(of), -1, P).swapaxes(1, 2),
        "the softmax of the logits": soft,
        "parameters in reverse order": apart[:, ::-1],
    }
    for name, other in others.items():
        with suppress(Exception):  # somebody's likelihood may refuse them
            logits = as_backend(other.reshape(of.shape), get_xp(logits), logits.dtype)
            if close(nll, to_numpy(p.nll(as_backend(x, get_xp(logits), logits.dtype), logits)[0]).reshape(nll.shape)):
                text = f"the nll is that of {name}, where the logits belong as they are"
                return Finding(("nll",), "elementwise-factor", text, "the nll of the logits that decode returns")
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
    if (off := np.abs(nll - right).max()) <= NEARLY * np.abs(right).max():
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
