"""Is p(x|z) a distribution over x? It adds up to 1, and its pixels are independent."""

from typing import Any

import numpy as np

from scratchvae.backend import to_numpy
from scratchvae.checks.causes.case import ratio
from scratchvae.checks.causes.sentences import factor_sentence
from scratchvae.checks.report import Finding, Report, Row

LOGITS = np.array([-3.0, -0.5, 0.2, 1.0, 4.0])


def check_likelihood(likelihood: Any, report: Report) -> None:
    """Two rows: exp(-nll) of one pixel sums or integrates to 1 for several logits; the nll of several is their sum.

    likelihood has nll(x, logits) -> nll (B,), cache, and perhaps support, the range of a pixel.
    """
    ways = [np.array([way(likelihood, logit) for logit in LOGITS]) for way in (sum_over_bits, integral)]  # (5,) each
    if not np.isfinite(getattr(likelihood, "support", (0.0, 1.0))).all():
        ways = ways[1:]
    totals = min(ways, key=lambda total: np.abs(total - 1).max())
    error = float(np.abs(totals - 1).max())
    report.rows.append(Row("p(x|z) adds up to 1", (), error, "ok" if error < 1e-6 else "wrong"))
    if not error < 1e-6:
        how = "for every logit: a constant is missing" if np.ptp(totals) < 1e-6 else "or other values at other logits"
        text = f"exp(-nll) adds up to {totals[0]:.6g} instead of 1, {how}; a log-likelihood needs its normalising terms"
        report.findings.append(Finding("nll", "missing-term", text))
    x, logits = np.array([[0.0, 1.0, 1.0, 0.0, 1.0]]), LOGITS[None]  # (1, 5)
    whole = nll_of(likelihood, x, logits)  # (1,)
    parts = np.concatenate([nll_of(likelihood, x[:, d : d + 1], logits[:, d : d + 1]) for d in range(5)])  # (5,)
    error = float(np.abs(whole - parts.sum()).max())
    report.rows.append(Row("nll sums over pixels", (), error, "ok" if error < 1e-9 else "wrong"))
    if not error < 1e-9:
        c = ratio(np.array([parts.sum()]), whole)
        what = factor_sentence(c, {"D": 5}) if c else "has nothing of them"
        report.findings.append(Finding("nll", "factor", f"the nll of 5 pixels is not the sum of theirs: it {what}", c))


def sum_over_bits(likelihood: Any, logit: float) -> float:
    """The sum of exp(-nll) over x in {0, 1}."""
    return float(np.exp(-nll_of(likelihood, np.array([[0.0], [1.0]]), np.full((2, 1), logit))).sum())


def integral(likelihood: Any, logit: float) -> float:
    """The integral of exp(-nll) over the support, by a trapezoid whose points crowd where the mass may be."""
    t = np.linspace(-30, 30, 60001)  # (G,)
    low, high = getattr(likelihood, "support", (0.0, 1.0))
    if np.isfinite([low, high]).all():  # both ends
        x = low + (high - low) / (1 + np.exp(-t))
        weight = (x - low) * (high - x) / (high - low)
    else:  # around the logit, at every scale
        x, weight = logit + np.sinh(t / 2), 0.5 * np.cosh(t / 2)
    with np.errstate(all="ignore"):
        density = np.exp(-nll_of(likelihood, x[:, None], np.full((len(x), 1), logit)))  # (G,)
    return float((density * weight).sum() * (t[1] - t[0]))


def nll_of(likelihood: Any, x: np.ndarray, logits: np.ndarray) -> np.ndarray:
    return to_numpy(likelihood.nll(x, logits)[0]).astype(float)
