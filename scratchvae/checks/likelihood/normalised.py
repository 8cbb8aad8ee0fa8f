"""Is exp(-nll) a distribution over x? It adds up to 1 over the support, and an image is made of independent pixels.

Sizes: B batch, D pixels, P parameters a pixel, L rows of logits to try them at.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from scratchvae.backend import to_numpy
from scratchvae.checks.amounts import nats, off_by
from scratchvae.checks.likelihood.claims import Claim, as_image, at
from scratchvae.checks.likelihood.density import EXTREME, WHOLE, Mass, Pixel
from scratchvae.checks.likelihood.elsewhere import of_the_draws
from scratchvae.checks.likelihood.frequencies import of_a_point, values_that_differ
from scratchvae.checks.likelihood.lattices import ALLOWED, add_up, attempt, best_way, off_one
from scratchvae.checks.likelihood.normalisers import REPAIR, of_the_normaliser, one_term_explains
from scratchvae.checks.likelihood.variants import adds_up_once, factor_of_the_rest, multiplied, with_a_term
from scratchvae.checks.likelihood.witnesses import drawn, draws_leave, may_be, objection, point_that_is_missing
from scratchvae.checks.report import Finding
from scratchvae.checks.vjp.case import ratio

VALUES = np.array([-3.0, -0.5, 0.2, 1.0, 4.0])  # of a parameter: both signs, small and large
SUPPORTS = ((-math.inf, math.inf), (0.0, math.inf), (0.0, 1.0), (-1.0, 1.0), (0.0, 255.0))  # what else it may have been
LIKELY = ((0.0, 1.0), (0.0, math.inf), (-math.inf, math.inf))  # the supports of one that names none, smallest first
TOTAL = "p(x|z) adds up to 1"
CLIPPED = 1e-3  # of a total, or of a mean, at extreme logits
FACTORS = (-1.0, 0.5, 2.0, -0.5, -2.0)  # by which an nll may have to be multiplied
TERMS = (  # how often a term has to be added, and what is wrong then
    (1.0, "is missing", "missing-term"),
    (-1.0, "is in it once too often", "missing-term"),
    (2.0, "has the wrong sign", "sign"),
    (-2.0, "has the wrong sign", "sign"),
)
BOUNDED = ("-log (n over x)", "log (n - x)!")  # terms of a lattice from one end to the other
SUM = 1e-9  # of the nll of an image, relative


def claims_of_the_nll(
    p: Any,
    rng: np.random.Generator,
    known: list[Mass],
    extremes: bool = False,
    support: tuple[float, float] | None = None,
) -> Iterator[Claim]:
    """Both claims; known receives the densities that were added up, for the claims that stand on them.

    support stands in for one that p does not name.
    """
    masses = measured(p, extremes, support)
    claim = adds_up(masses)
    if claim.status == "wrong" and (wider := beyond_the_support(masses[: len(VALUES)])) is not None:
        declared, masses = masses[0].pixel.support, measured(p, extremes, wider)
        claim = adds_up(masses)
        claim = claim._replace(note=f"{claim.note}; over {wider}, beyond the support {declared}, as the draws do")
    if claim.status == "wrong" and (point := point_that_is_missing(masses[: len(VALUES)])) is not None:
        yield Claim(TOTAL, math.nan, ALLOWED, f"it does, with a point of mass at {point:g}: no more is tested")
        return
    yield claim
    known.extend(mass for mass in usable_of(masses) if not math.isnan(distance(mass)))
    if known:
        yield sums_over_pixels(p, known, rng)


def measured(p: Any, extremes: bool = False, support: tuple[float, float] | None = None) -> list[Mass]:
    """exp(-nll) of one pixel at every row of logits, added up in the way that suits it."""
    P = getattr(p, "n_params", 1)
    rows = np.stack([np.roll(VALUES, 2 * j) for j in range(P)], axis=1)  # (5, P)
    if support is None:
        support = p.support if hasattr(p, "support") else where_draws_lie(p, rows)
    support = float(support[0]), float(support[1])
    far = [np.where(np.arange(P) == j, end, rows[2]) for j in range(min(P, 3)) for end in (-EXTREME, EXTREME)]
    masses = best_way([Pixel(p, row, support) for row in rows])
    return masses + [add_up(Pixel(p, row, support), masses[0].lattice) for row in (far if extremes else ())]


def where_draws_lie(p: Any, rows: np.ndarray) -> tuple[float, float]:
    """The support of a likelihood that names none: [0, 1], or what else is needed to hold its draws."""
    x = drawn([Pixel(p, row, (0.0, 1.0)) for row in rows], 200)
    holds = [support for support in LIKELY if x is not None and ((support[0] <= x) & (x <= support[1])).all()]
    return holds[0] if holds else LIKELY[0]


def beyond_the_support(near: list[Mass]) -> tuple[float, float] | None:
    """Where a density lives whose support is declared as the range of the data alone: there its draws lie, too.

    A Gaussian may well be the density of pixels in [0, 1]. Draws that stop at the declared ends speak of another one.
    """
    low, high = declared = near[0].pixel.support
    for other in SUPPORTS:
        pixels = [mass.pixel._replace(support=other) for mass in near]
        wider = other != declared and other[0] <= low and high <= other[1]
        if wider and off_one(attempt(pixels, near[0].lattice)) < ALLOWED and draws_leave(declared, other, near):
            return other
    return None


# ---------------------------------------------------------------------------------------------------------------------
# One pixel


def adds_up(masses: list[Mass]) -> Claim:
    """exp(-nll) of one pixel integrates or sums to 1, at all logits where that can be told."""
    off = np.array([distance(mass) for mass in masses])  # (L,)
    unseen = [mass for mass, error in zip(masses, off, strict=True) if math.isnan(error)]
    within = [mass.error for mass in masses if mass.settled]
    notes = [f"it {verb(masses)}, to within {max(within):.0e}"] if within else []
    if unseen:
        others = f" (one of {len(unseen)})" if len(unseen) > 1 else ""
        notes.append(f"out of reach {at(unseen[0].pixel.logits)}{others}: {unseen[0].error:.0e} may be missing")
    note = "; ".join(notes)
    if len(unseen) == len(masses):
        return Claim(TOTAL, math.nan, ALLOWED, note)
    error = float(np.nanmax(off))
    finding = wrong_total(masses, off) if error > ALLOWED else None
    return Claim(TOTAL, error, ALLOWED, note, finding)


def verb(masses: list[Mass]) -> str:
    return "sums" if masses[0].lattice else "integrates"


def distance(mass: Mass) -> float:
    """|total - 1|; NaN where less than 1 was found and there may be more.

    Far out a density is so narrow that a clip of x, which keeps a logarithm finite, is a part of it: no fault. A sum
    over whole numbers may there have missed what lies at hundreds of millions.
    """
    far = mass.is_extreme
    endless = mass.lattice == WHOLE or math.inf in mass.pixel.support
    missed = far and mass.lattice and endless and mass.total < 1 - ALLOWED
    off = abs(mass.total - 1) if mass.total > 1 + ALLOWED or (mass.settled and not missed) else math.nan
    return 0.0 if off < CLIPPED and far else off


def wrong_total(masses: list[Mass], off: np.ndarray) -> Finding:
    """Is it the support, a sign or a factor, a term in x, a constant, a term in the logits, or more than that?"""
    worst, near = masses[int(np.nanargmax(off))], masses[: len(VALUES)]
    if worst.total == math.inf and np.nanmax(np.where(np.isfinite(off), off, 0)[: len(VALUES)]) > ALLOWED:
        worst = near[int(np.nanargmax(np.where(np.isfinite(off), off, 0)[: len(VALUES)]))]  # why: a number tells more
    total, where, support = worst.total, at(worst.pixel.logits), worst.pixel.support
    near_ones = float(np.nanmax(off[: len(VALUES)])) > ALLOWED  # why: what is right there has the right support
    for other in SUPPORTS if near_ones else ():
        pixels = [mass.pixel._replace(support=other) for mass in near]
        if other != support and off_one(attempt(pixels, worst.lattice)) < ALLOWED and may_be(other, near):
            text = f"exp(-nll) {verb(masses)} to 1 over {other}, and {where} to {total:.6g} over the support {support}"
            repair = f"support = {other}; or what lies beyond is added to the ends, if x is clipped"
            return Finding(("support",), "missing-term", text, repair, expected=1.0, got=total)
    for c in FACTORS:
        if adds_up_once(multiplied(c), near) and objection(usable_of(near)) != "":  # why: sigma may make it 1
            how, repair = off_by(1 / c)
            return Finding(("nll",), "sign" if c == -1 else "factor", f"nll {how}", repair, c, expected=1.0, got=total)
    text = f"exp(-nll) {verb(masses)} to {total:.6g} instead of 1"
    for what in (
        *("log x", "log x!") * (support[0] >= 0),
        *BOUNDED * bool(worst.lattice and math.isfinite(support[1] - support[0])),
    ):
        for side, how, cause in TERMS:
            if adds_up_once(with_a_term(what, side, worst), near):
                text, repair = f"{text} {where}: the term {what} {how}", REPAIR
                return Finding(("nll",), cause, text, repair, expected=1.0, got=total)
    return without_a_constant(masses, text, worst)


def without_a_constant(masses: list[Mass], text: str, worst: Mass) -> Finding:
    """A constant, or a term in the logits: missing if the draws follow exp(-nll) but for that, else it is not all."""
    totals = [mass.total for mass in masses]
    if max(totals) < math.inf and np.ptp(totals) < ALLOWED * max(totals):
        what, how, log_total = "constant", "for every logit", math.log(worst.total)
        repair = f"{nats(log_total)} a pixel {'more' if log_total > 0 else 'less'}"
    else:
        what, how = "term", f"{at(worst.pixel.logits)}, and to other values at other logits"
        repair = REPAIR
    usable, factor = usable_of(masses[: len(VALUES)]), None
    against, cause = objection(usable), "missing-term"
    if against is None and (finding := of_a_point(usable)):
        return finding
    if against is not None and what == "term" and (values := values_that_differ(usable)):
        some = " and ".join(f"{value:g}" for value in values)
        text = f"{text} {at(worst.pixel.logits)}: for x = {some} alone it is not the share of the draws"
        repair = f"look at the nll of {some}"
        if len(worst.x) > 2:
            repair += ": it may lack what lies beyond an end, or one of two ways to come by it"
    elif against and what == "constant" and (c := factor_of_the_rest(usable)):
        (how_much, repair), factor = off_by(1 / c), c
        text, cause = f"{text}, {how}: what depends on x in nll {how_much}", "factor"
    elif against and (at_others := of_the_draws(usable)):
        text = f"{text} {at(worst.pixel.logits)}: as a function of x it fits the draws with {at_others.words}"
        cause = at_others.cause
        repair = f"look at the parameter in the terms with x: they may have {at_others.undone}"
    elif against:
        text, cause = f"{text}, {how}, and {against}: more than a normalising {what} is wrong", "unknown"
        repair = "look at the terms with x: an exponent, a power, a scale, a coefficient"
    elif against is None:
        text = f"{text}, {how}: a normalising {what} is missing, or its shape is wrong"
        repair += ", if it is the constant" * (what == "constant")
    elif what == "term":
        return in_the_logits_alone(usable, f"{text}, {how}", worst)
    else:
        text = f"{text}, {how}: a normalising {what} is missing"
    return Finding(("nll",), cause, text, repair, factor, expected=1.0, got=worst.total)


def in_the_logits_alone(usable: list[Mass], text: str, worst: Mass) -> Finding:
    """As a function of x it fits the draws: which term in the logits is wrong, if that can be said?"""
    finding = of_the_normaliser(usable)
    if finding is None and one_term_explains(usable):
        finding = Finding(("nll",), "missing-term", "a normalising term is missing, or one is wrong", REPAIR)
    if finding is None:
        text = f"{text}: the terms in the logits alone are wrong"
        return Finding(("nll",), "unknown", text, REPAIR, expected=1.0, got=worst.total)
    return finding._replace(message=f"{text}: {finding.message}", expected=1.0, got=worst.total)


def usable_of(masses: list[Mass]) -> list[Mass]:
    return [mass for mass in masses if mass.settled and 0 < mass.total < math.inf]


# ---------------------------------------------------------------------------------------------------------------------
# An image


def sums_over_pixels(p: Any, masses: list[Mass], rng: np.random.Generator) -> Claim:
    """The nll of an image is the sum over its pixels, the first D columns of logits being the first parameter.

    Every image has other logits, so that a mean over the batch is seen.
    """
    B, D = 3, len(masses)
    which = np.arange(D) // np.arange(1, B + 1)[:, None]  # (B, D)
    rows = np.stack([mass.pixel.logits for mass in masses])[which]  # (B, D, P)
    x = np.array([[masses[j].quantile(rng.random(1))[0] for j in row] for row in which])  # (B, D)
    one_by_one = [[masses[j].pixel.log_density(x[b, d : d + 1])[0] for d, j in enumerate(which[b])] for b in range(B)]
    parts, logits = -np.array(one_by_one), np.concatenate([as_image(row) for row in rows])  # (B, D), (B, D P)
    sums, whole = parts.sum(axis=1), nll_of(p, x, logits)  # (B,), (B,)
    error = float((np.abs(whole - sums) / (np.abs(parts).sum(axis=1) + 1)).max())
    claim = Claim("nll sums over pixels", error, SUM, f"of {D}")
    if claim.status == "ok":
        return claim
    if np.allclose(nll_of(p, x, rows.reshape(B, -1)), sums, rtol=SUM):
        text = "nll reads the logits pixel by pixel, not parameter by parameter"
        repair = "the first D columns are the first parameter, the next D the second"
        return claim._replace(finding=Finding(("nll",), "transpose", text, repair))
    alone = np.concatenate([nll_of(p, x[b : b + 1], logits[b : b + 1]) for b in range(B)])  # (B,)
    if np.allclose(alone, sums, rtol=SUM):
        text = "the nll of an image changes with the other images of the batch: rows meet in it"
        return claim._replace(finding=Finding(("nll",), "shape", text, "sums and means along axis 1 alone"))
    if np.ptp(more := whole - sums) <= SUM * np.abs(more).max():
        text = f"the nll of {D} pixels is off from the sum of theirs by the same {nats(more.mean())} in every row"
        text = f"{text}: a constant is counted once, and not for each pixel, or the other way round"
        return claim._replace(finding=Finding(("nll",), "missing-term", text, "the constant of each pixel, once each"))
    c = ratio(whole, sums)
    how, repair = "is not theirs in any simple way", "a sum over the pixels of a row, axis 1"
    if c:
        how, repair = off_by(c, {"D": D}, sure=True)  # why: of one pixel it is right
    text = f"the nll of {D} pixels is not the sum of theirs: it {how}"
    cause = "unknown" if c is None else "sign" if abs(c + 1) < 1e-5 else "factor"
    return claim._replace(finding=Finding(("nll",), cause, text, repair, 1 / c if c else None))


def nll_of(p: Any, x: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """The nll of a batch.

    Raises    ValueError: it has another shape than (B,).
    """
    nll = to_numpy(p.nll(x, logits)[0]).astype(float)
    if nll.shape != (len(x),):
        raise ValueError(f"nll has the shape {nll.shape} for a batch of {len(x)}, expected ({len(x)},)")
    return nll
