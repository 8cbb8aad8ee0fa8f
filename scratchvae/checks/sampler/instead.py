"""A draw z = shift + spread * eps whose shift is not mu or whose spread is not sigma: what they are instead.

Shift and spread are known exactly, or to within errors of their own, for the mu and the logvar that were asked about
and, where more can be asked, for others. A formula has to fit all of them, and one with a constant has to fit more of
them than it has constants.

Sizes: K points, B rows, Z latents.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from scratchvae.checks.amounts import number, times
from scratchvae.checks.report import Finding
from scratchvae.checks.sampler.formulas import DRAWS, MEANS, SPREADS, Formula

EXACT = 1e-7  # relative: what a formula may leave over, where measuring is exact
OF_THE_MEAN, OF_THE_SPREAD = 1e-9, 1e-4  # relative: how far off they may be; a tiny constant under a root is no fault
DRAW = "z = mu + sigma * eps"
SIGMA = "sigma = exp(logvar / 2): logvar is the logarithm of the variance, and sigma is its root"


class Measured(NamedTuple):
    """(K, B, Z) each; the first point is what was asked about."""

    mu: np.ndarray
    logvar: np.ndarray
    shift: np.ndarray
    spread: np.ndarray  # with the sign that it gives eps
    shift_error: np.ndarray
    spread_error: np.ndarray

    @property
    def sigma(self) -> np.ndarray:
        return np.exp(0.5 * self.logvar)

    @property
    def mean_off(self) -> np.ndarray:
        """In units of sigma."""
        return np.abs(self.shift - self.mu) / self.sigma

    @property
    def spread_off(self) -> np.ndarray:
        """Relative to sigma."""
        return np.abs(np.abs(self.spread) / self.sigma - 1)

    @property
    def mean_wrong(self) -> np.ndarray:
        allowed = np.maximum(self.shift_error, OF_THE_MEAN * (np.abs(self.mu) + self.sigma))
        return np.abs(self.shift - self.mu) > allowed

    @property
    def spread_wrong(self) -> np.ndarray:
        return self.spread_off > np.maximum(self.spread_error / self.sigma, OF_THE_SPREAD)


class Said(NamedTuple):
    """What something is, as a formula, and which cause that is."""

    formula: str
    cause: str
    factor: float | None = None  # what it would have to be multiplied with
    also: str = ""
    power: bool = True  # may it be that logvar was read in another way?


def findings(m: Measured) -> list[Finding]:
    """None, one or two: a mean and a spread that are wrong in one and the same way are one finding."""
    mean, spread = m.mean_wrong, m.spread_wrong  # (K, B, Z)
    if mean.any() and spread.any() and (both := of_both(m)):
        return [at_the_worst(Finding(("mean", "spread"), both.cause, both.formula, DRAW, both.factor), m)]
    if where := never_written(m):
        text = f"z is 0 in {where}, whatever mu, logvar and eps are: it is not written there"
        return [at_the_worst(Finding(("mean", "spread"), "zero", text, f"all rows and latents: {DRAW}"), m)]
    found = []
    if mean.any():
        said, where = in_some(m, mean, of_the_mean)
        text = f"the mean of z is {said.formula}{where}"
        found.append(Finding(("mean",), said.cause, text, DRAW, said.factor, also=said.also))
    if spread.any():
        said, where = in_some(m, spread, of_the_spread)
        text = f"the spread of z is {said.formula}{where}, and the KL takes it to be sigma"
        repair = SIGMA if ("logvar" in said.formula or "sigma^" in said.formula) and said.power else DRAW
        found.append(Finding(("spread",), said.cause, text, repair, said.factor, also=said.also))
    return [at_the_worst(finding, m) for finding in found]


def never_written(m: Measured) -> str:
    """The one row or latent in which every z is 0, if nothing else is wrong; nothing otherwise."""
    wrong = m.mean_wrong | m.spread_wrong  # (K, B, Z)
    gone = (np.abs(m.shift) <= m.shift_error) & (np.abs(m.spread) <= m.spread_error)  # (K, B, Z)
    for what, axis in (("row", 1), ("latent", 2)):
        odd = wrong.any(axis=tuple({0, 1, 2} - {axis}))  # (B,) or (Z,)
        if odd.sum() == 1 and not odd.all() and gone.compress(odd, axis=axis).all():
            return f"{what} {np.flatnonzero(odd)[0]}"
    return ""


def at_the_worst(finding: Finding, m: Measured) -> Finding:
    """With the two numbers at the worst of the entries that were asked about, if it is wrong."""
    spread = finding.inputs[0] == "spread"
    wrong, off = (m.spread_wrong, m.spread_off) if spread else (m.mean_wrong, m.mean_off)
    b, j = np.unravel_index(int(off[0].argmax()), off[0].shape)
    if not wrong[0, b, j]:
        return finding
    expected, got = (m.sigma, np.abs(m.spread)) if spread else (m.mu, m.shift)
    return finding._replace(where=(int(b), int(j)), expected=float(expected[0, b, j]), got=float(got[0, b, j]))


def in_some(m: Measured, wrong: np.ndarray, explain: Callable[[Measured], Said | None]) -> tuple[Said, str]:
    """What explains all entries, or those latents or rows alone that are wrong; and which these are."""
    if said := explain(m):
        return said, ""
    for what, axis in (("latent", 2), ("row", 1)):
        odd = wrong.any(axis=tuple({0, 1, 2} - {axis}))  # (Z,) or (B,)
        if not odd.all() and (said := explain(Measured(*(a.compress(odd, axis=axis) for a in m)))):
            return said, f" in {what} {' and '.join(map(str, np.flatnonzero(odd)))} alone"
    return Said(in_numbers(m, explain), "unknown"), ""


def in_numbers(m: Measured, explain: Callable[[Measured], Said | None]) -> str:
    """Of something that no formula fits, how far off it is."""
    if explain is of_the_mean:
        return f"off by up to {number3(m.mean_off.max())} sigma, in no usual way"
    c = np.abs(m.spread) / m.sigma  # (K, B, Z)
    low, high = number3(c.min()), number3(c.max())
    return f"{low} times sigma" if low == high else f"between {low} and {high} times sigma, in no usual way"


def number3(c: float) -> str:
    return f"{c:.3g}"


# ---------------------------------------------------------------------------------------------------------------------
# Which formula


def fits(got: np.ndarray, formula: np.ndarray, error: np.ndarray) -> bool:
    return bool((np.abs(got - formula) <= EXACT * np.maximum(np.abs(got), np.abs(formula)) + error).all())


def constant(got: np.ndarray, base: np.ndarray, error: np.ndarray) -> float | None:
    """The c with got = c * base in every entry, if it explains more entries than one."""
    seen = np.abs(base) > error + EXACT * np.abs(base).max()
    if seen.sum() < 2:
        return None
    c = float(np.median(got[seen] / base[seen]))
    if not (c and np.isfinite(c)):
        return None
    known = float((error[seen] / np.maximum(np.abs(got[seen]), 1e-300)).min())  # of c, relative
    c = float(f"{c:.{int(np.clip(1 - np.log10(max(known, 1e-12)), 2, 12))}g}")
    return c if fits(got, c * base, error) else None


def varied(a: np.ndarray, error: np.ndarray) -> bool:
    """Are there values, all positive, that tell one formula from another?"""
    return bool(a.max() / a.min() > 1 + 10 * (error / a).max() + EXACT)


def of_the_spread(m: Measured) -> Said | None:
    s, sigma, error = np.abs(m.spread), m.sigma, m.spread_error
    with np.errstate(all="ignore"):
        if (s <= error).all():
            return Said("0, so that z does not depend on eps", "zero")
        if not varied(sigma, error):
            return None
        if said := as_it_is(s, SPREADS, m, error):
            return said
        if c := constant(s, sigma, error):
            return Said(f"{times(c)} sigma", "factor", factor=1 / c)
        if c := constant(s, np.ones(s.shape), error):
            return Said(f"{number(c)}, whatever logvar is{seen_between(m.logvar)}", "elementwise-factor", power=False)
        if c := constant(s - sigma, np.ones(s.shape), error):
            return Said(f"sigma {signed(c)}", "missing-term")
        if c := constant(s * s - sigma * sigma, np.ones(s.shape), 2 * s * error + EXACT * s * s):
            return Said(f"sqrt(sigma^2 {signed(c)})", "missing-term")
        if text := clipped(s, sigma, error, "sigma", "logvar", lambda end: 2 * np.log(end)):
            return Said(text, "elementwise-factor", power=False)
        for formula in SPREADS:
            if c := constant(s, np.abs(formula.value(m.mu, m.logvar)), error):
                return Said(f"{times(c)} {formula.name}", formula.cause, also="factor")
        if s.all() and (p := constant(np.log(s), 0.5 * m.logvar, error / s)):
            return Said(f"sigma to the power {number(p)}", "elementwise-factor")
    return None


def seen_between(logvar: np.ndarray) -> str:
    """The bounds of what was seen, where they are narrow: beyond them a clip may end."""
    low, high = float(logvar.min()), float(logvar.max())
    return "" if low < -2 and high > 2 else f" between {number3(low)} and {number3(high)}"


def of_the_mean(m: Measured) -> Said | None:
    d, mu, sigma, error = m.shift, m.mu, m.sigma, m.shift_error + EXACT * (np.abs(m.mu) + m.sigma)
    with np.errstate(all="ignore"):
        if fits(d, -mu, error):  # why first: where every mu is negative this is |mu|
            return Said("-mu", "sign", factor=-1.0)
        if said := as_it_is(d, MEANS, m, error):
            return said
        if c := constant(d, mu, error):
            return Said(f"{times(c)} mu", "factor", factor=1 / c)
        if c := constant(d - mu, np.ones(d.shape), error):
            return Said(f"mu {signed(c)}", "missing-term")
        if text := clipped(d, mu, error, "mu", "mu", lambda end: end):
            return Said(text, "elementwise-factor")
        for name, a in {"sigma": sigma, "sigma^2": sigma * sigma, "logvar": m.logvar, "mu^2": mu * mu}.items():
            if c := constant(d - mu, a, error):
                return Said(f"mu {signed(c)} * {name}", "missing-term")
        if c := constant(d, np.ones(d.shape), error):
            return Said(f"{number(c)}, whatever mu is", "missing-term")
        for formula in MEANS:
            if c := constant(d, formula.value(mu, m.logvar), error):
                return Said(f"{times(c)} {formula.name}", formula.cause, also="factor")
    return None


def of_both(m: Measured) -> Said | None:
    """One slip that spoils mean and spread: the whole draw is multiplied, or heads, rows or latents are mixed up."""
    s, d, sigma = m.spread, m.shift, m.sigma
    mean_error = m.shift_error + EXACT * (np.abs(m.mu) + sigma)
    with np.errstate(all="ignore"):
        for draw in DRAWS:
            shift, times_eps = draw.values(m.mu, m.logvar)
            if fits(d, shift, mean_error) and fits(np.abs(s), np.abs(times_eps), m.spread_error):
                return Said(f"z is {draw.formula}: {draw.why}", draw.cause)
        whole = s / sigma  # (K, B, Z)  what the whole draw is multiplied with, if it is
        if fits(d, whole * m.mu, mean_error * np.maximum(1, np.abs(whole))):
            if c := constant(s, sigma, m.spread_error):
                return Said(f"the whole draw, mu + sigma * eps, is multiplied by {number(c)}", "factor", 1 / c)
            for name, a in {"sigma": sigma, "sigma^2": sigma**2, "mu": m.mu, "logvar": m.logvar}.items():
                if fits(np.abs(whole), np.abs(a), m.spread_error / sigma):
                    return Said(f"the whole draw, mu + sigma * eps, is multiplied by {name}", "elementwise-factor")
        mean, spread = (as_it_is(*a) for a in ((d, MEANS, m, mean_error), (np.abs(s), SPREADS, m, m.spread_error)))
    if mean and spread and spread.formula.replace("sigma", "mu") == mean.formula:
        return Said(f"z takes mu and {spread.formula}", mean.cause)
    return None


def as_it_is(got: np.ndarray, formulas: tuple[Formula, ...], m: Measured, error: np.ndarray) -> Said | None:
    """The first of the formulas, which have no constant, that fits."""
    for formula in formulas:
        value = formula.value(m.mu, m.logvar)
        if fits(got, np.abs(value) if formulas is SPREADS else value, error):
            return Said(formula.name, formula.cause)
    return None


def clipped(
    got: np.ndarray, base: np.ndarray, error: np.ndarray, what: str, of: str, back: Callable[[float], float]
) -> str:
    """base within bounds, both met more than once; nothing if it is not."""
    low, high = float(got.min()), float(got.max())
    for ends in ((low, np.inf), (-np.inf, high), (low, high)):
        inside = (ends[0] < base) & (base < ends[1])
        if inside.sum() > 1 and (~inside).sum() > 1 and fits(got, np.clip(base, *ends), error):
            parts = [
                f"{number(end)} for every {of} {side} {number3(back(end))}"
                for end, side in zip(ends, ("below", "above"), strict=True)
                if np.isfinite(end)
            ]
            return f"{what}, but clipped: {', '.join(parts)}"
    return ""


def signed(c: float) -> str:
    return f"{'+' if c > 0 else '-'} {number(abs(c))}"
