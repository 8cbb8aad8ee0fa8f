"""Which terms in the logits alone are wrong, where all that depends on x is right: the draws follow exp(-nll) / total.

At one value of x that part of nll is its terms in the logits and a constant; what they should be is known from the
totals. So it is seen whether they are missing, have the wrong sign, or are those of minus the logit.

Sizes: L rows of logits, P parameters.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from scratchvae.checks.amounts import nats, off_by, same
from scratchvae.checks.likelihood.density import Mass, Pixel
from scratchvae.checks.likelihood.elsewhere import MANY, ORDER, rows_of
from scratchvae.checks.likelihood.lattices import attempt
from scratchvae.checks.report import Finding

CLOSE = 1e-6  # of the terms, relative to the largest, or in nats where that is below 1
REPAIR = "exp(-nll) adds up to 1"


class Normaliser(NamedTuple):
    """The terms in the logits at many rows of them."""

    masses: list[Mass]
    value: float  # of x
    written: np.ndarray  # (L,) nll at that value
    right: np.ndarray  # (L,) what it has to be

    @property
    def rows(self) -> np.ndarray:
        return np.stack([mass.pixel.logits for mass in self.masses])  # (L, P)


def normaliser_of(masses: list[Mass]) -> Normaliser | None:
    """At x = 0, or at an end of the support: there no term in both x and the logits is left, if there is such an x."""
    pixel = masses[0].pixel
    everywhere = attempt([pixel._replace(logits=row) for row in rows_of(masses)], masses[0].lattice)
    known = [mass for mass in everywhere if mass.settled and 0 < mass.total < np.inf]
    if len(known) < len(everywhere):
        return None
    for value in (0.0, *pixel.support):
        if not (pixel.support[0] <= value <= pixel.support[1] and np.isfinite(value)):
            continue
        written = nll_at((mass.pixel, value) for mass in known)  # (L,)
        if np.isfinite(written).all():
            return Normaliser(known, value, written, written + np.log([mass.total for mass in known]))
    return None


def fits(got: np.ndarray, right: np.ndarray) -> bool:
    return bool(np.isfinite(got).all() and np.abs(got - right).max() <= CLOSE * max(1.0, float(np.abs(right).max())))


def is_constant(nll: np.ndarray) -> bool:
    return fits(nll - nll.mean(), 0 * nll)


def nll_at(places: Iterable[tuple[Pixel, float]]) -> np.ndarray:
    """nll of each pixel at a value of x, (L,)."""
    with np.errstate(all="ignore"):
        return np.array([-pixel.log_density(np.array([x]))[0] for pixel, x in places])


def at_their_means(masses: list[Mass]) -> np.ndarray:
    """nll at the mean of x, (L,): the terms in the logits alone where x enters as (x - m) / s or as x / s."""
    return nll_at((mass.pixel, mass.mean) for mass in masses)


def of_the_normaliser(masses: list[Mass]) -> Finding | None:
    """What is seen to be wrong with the terms in the logits; None if that cannot be said."""
    if not masses or len(masses[0].pixel.logits) > MANY or (seen := normaliser_of(masses)) is None:
        return None
    rows, P = seen.rows, masses[0].pixel.logits.size
    columns = np.arange(P)
    for which in [columns == j for j in range(P)] + [columns >= 0] * (P > 1):
        pixels = [masses[0].pixel._replace(logits=row) for row in np.where(which, -rows, rows)]
        turned = nll_at((pixel, seen.value) for pixel in pixels)  # (L,)
        if fits(turned, seen.right):
            name = "every logit" if which.sum() > 1 else f"{ORDER[which.argmax()]} logit" if P > 1 else "the logit"
            text = f"the normalising term has minus {name}, where {name} belongs"
            return Finding(("nll",), "sign", text, REPAIR)
    if is_constant(seen.written) or is_constant(at_their_means(seen.masses)):
        return Finding(("nll",), "missing-term", "a normalising term is missing", REPAIR)
    table = np.stack([seen.written, np.ones(len(rows))], axis=1)  # (L, 2)
    c, constant = np.linalg.lstsq(table, seen.right, rcond=None)[0].tolist()
    if fits(seen.written + constant, seen.right):
        text = f"but for a constant the terms in the logits are right: {nats(constant)} a pixel are missing"
        return Finding(("nll",), "missing-term", text if constant > 0 else text.replace("missing", "too many"), REPAIR)
    if c and fits(table @ [c, constant], seen.right):
        how, repair = off_by(1 / c)
        cause = "sign" if same(c, -1.0) else "factor"
        return Finding(("nll",), cause, f"the normalising term {how}", repair)
    return None


def one_term_explains(masses: list[Mass]) -> bool:
    """Is the logarithm of the total a number times a usual term in one logit, and a constant?"""
    rows, log_total = np.stack([mass.pixel.logits for mass in masses]), np.log([mass.total for mass in masses])
    for a in rows.T:
        for term in (a, np.exp(a), np.exp(-a), np.logaddexp(0, a), np.logaddexp(0, -a), a * a):
            table = np.stack([term, np.ones(len(a))], axis=1)  # (L, 2)
            if len(a) > 2 and fits(table @ np.linalg.lstsq(table, log_total, rcond=None)[0], log_total):
                return True
    return False
