"""Is nll_backward the derivative of nll; and beside an nll that is wrong, is it that of the nll as it should be?

One slip is one finding: a right nll_backward is no fault because nll lacks a term. What a wrong nll should be is known
if it is a density once it is multiplied by a number and divided by its total.

Sizes: B batch, D pixels, P parameters a pixel, L rows of logits, G values of a pixel.
"""

import math
from typing import Any

import numpy as np

from scratchvae.backend import to_numpy
from scratchvae.checks.likelihood.claims import Claim, another_shape, as_image, widened
from scratchvae.checks.likelihood.density import Mass
from scratchvae.checks.likelihood.lattices import attempt
from scratchvae.checks.likelihood.variants import Changed, multiplied
from scratchvae.checks.report import Finding, Report
from scratchvae.checks.vjp.check import check_vjp
from scratchvae.checks.vjp.differences import TOLERANCE
from scratchvae.checks.vjp.scope import numbers_of_class

STEP = 1e-4  # of a logit
CLOSE = 1e-4  # of two slopes, relative to the largest: what differences of a total leave
SHARES = np.array([0.08, 0.31, 0.43, 0.69, 0.9])  # of the mass below the values that are tried: not a median, a kink
JUDGED = ("sign", "factor", "elementwise-factor", "missing-term", "transpose", "batch-sum", "zero", "unknown")
REPAIRED = "it is not that of nll as it is, and it is that of nll as repaired"
UNKNOWN = "it is not that of nll, which is wrong itself"


def slope(p: Any, masses: list[Mass], rng: np.random.Generator) -> Claim:
    """nll_backward against differences of nll, at pixels that the density makes likely; in the dtype of logits."""
    B, D = 4, 5
    masses = [mass for mass in masses if not mass.is_extreme] or masses  # where rounding rules
    which = rng.integers(0, len(masses), (B, D))
    rows = np.stack([mass.pixel.logits for mass in masses])  # (L, P)
    x = np.array([[masses[j].quantile(rng.random(1))[0] for j in row] for row in which])  # (B, D)
    logits = np.concatenate([as_image(rows[row]) for row in which])  # (B, D P)
    logits += 0.1 * rng.standard_normal(logits.shape)
    narrow = [a.astype("float32") for a in (x, logits, np.ones(B))]
    dlogits = to_numpy(p.nll_backward(narrow[2], p.nll(*narrow[:2])[1]))  # (B, D P)
    if finding := another_shape("nll_backward", dlogits, logits.shape):
        return Claim("nll_backward", math.inf, TOLERANCE, finding=finding)
    report = check_vjp(
        lambda logits, x: p.nll(x, logits), p.nll_backward, {"logits": logits}, constants={"x": x}, rng=rng
    )
    (row,) = report.rows
    error = min(row.error, TOLERANCE)
    if row.status == "untested":  # why: some entries were not seen, and those that were decide
        error = error or math.nan
    wrong = report.findings or row.status not in ("ok", "untested")
    finding = asked(report.findings[0], p)._replace(inputs=("nll_backward",)) if report.findings else None
    note = (row.note + widened(dlogits)).removeprefix("; ")
    return Claim("nll_backward", math.inf if wrong else error, TOLERANCE, note, finding)


def asked(finding: Finding, p: Any) -> Finding:
    """Of a constant that is a number of the likelihood's own, or one over it, whether it is that."""
    c = abs(finding.factor or 0.0) if finding.cause == "factor" else 0.0
    numbers = {**numbers_of_class(p), **getattr(p, "__dict__", {})} if c else {}
    for name, a in numbers.items():
        if type(a) in (int, float) and a > 0 and min(abs(c - a), abs(c - 1 / a)) < 1e-6 * c:
            return finding._replace(message=f"{finding.message}; {name} is {a:g} here: is it that?")
    return finding


def beside_a_wrong_nll(report: Report, masses: list[Mass]) -> Report:
    """What is said of nll_backward beside a wrong nll stands only if the slope of the right one is the same."""
    of_the_nll = [finding for finding in report.findings if finding.inputs[0] in ("nll", "support")]
    judged = [
        f for f in report.findings if f.inputs == ("nll_backward",) and f.cause in JUDGED and " fails" not in f.message
    ]
    if not of_the_nll or not judged:
        return report
    status, note = "untested", UNKNOWN
    try:
        with np.errstate(all="ignore"):
            fits, same = of_the_repaired(masses, of_the_nll[0])
    except Exception:  # somebody's code may do anything
        fits = same = False
    if same and not fits:
        return report
    if fits:
        status, note = "ok", REPAIRED
    report.findings = [finding for finding in report.findings if finding not in judged]
    for i, row in enumerate(report.rows):
        if row.name == "nll_backward" and row.status == "wrong":
            report.rows[i] = row._replace(status=status, error=0.0 if fits else math.nan, note=note)
    return report


def of_the_repaired(masses: list[Mass], finding: Finding) -> tuple[bool, bool]:
    """Is nll_backward that of nll as repaired; and has that the slope of the nll as it is?"""
    fits = any(all(differs(mass, c)[0] for mass in masses) for c in (1.0, finding.factor) if c)
    same = finding.cause == "missing-term" and all(differs(mass, 1.0)[1] for mass in masses)
    return fits and bool(masses), same and bool(masses)


def differs(mass: Mass, c: float) -> tuple[bool, bool]:
    """Of c nll, made a density: is nll_backward its slope at the logits of a mass, and has nll the same?"""
    likelihood, row = mass.pixel.likelihood, mass.pixel.logits
    x = np.unique(mass.quantile(SHARES))  # (G,)
    cache = likelihood.nll(x[:, None], np.tile(row, (len(x), 1)))[1]
    claimed = to_numpy(likelihood.nll_backward(np.ones(len(x)), cache))  # (G, P)
    steps = STEP * np.eye(len(row))  # (P, P)
    sides = [
        np.stack([-mass.pixel.log_density(x, np.tile(row + side * step, (len(x), 1))) for step in steps], axis=1)
        for side in (1, -1)
    ]  # (G, P) each
    own = (sides[0] - sides[1]) / (2 * STEP)  # (G, P)
    of_the_total = np.array([log_total(mass, c, row + step) - log_total(mass, c, row - step) for step in steps])
    right = c * own + of_the_total / (2 * STEP)  # (G, P)
    room = CLOSE * max(1.0, float(np.abs(right).max()))
    return bool((np.abs(claimed - right) <= room).all()), bool((np.abs(own - right) <= room).all())


def log_total(mass: Mass, c: float, row: np.ndarray) -> float:
    """The logarithm of what exp(-c nll) adds up to at a row of logits (P,); NaN if that is not known."""
    pixel = mass.pixel._replace(likelihood=Changed(mass.pixel.likelihood, multiplied(c)), logits=row)
    found = attempt([pixel], mass.lattice)
    return math.log(found[0].total) if found and found[0].settled and 0 < found[0].total < math.inf else math.nan
