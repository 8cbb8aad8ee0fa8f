"""Is mean(logits) the mean of exp(-nll), and if it is not, what is it?

Sizes: P parameters a pixel, L rows of logits.
"""

import math
from typing import Any

import numpy as np

from scratchvae.backend import to_numpy
from scratchvae.checks.amounts import CLOSE, number, off_by
from scratchvae.checks.likelihood.claims import Claim, another_shape, as_image, at, frozen, widened
from scratchvae.checks.likelihood.density import EPSILON, EXTREME, Mass
from scratchvae.checks.likelihood.draws import ALLOWED
from scratchvae.checks.likelihood.normalised import CLIPPED
from scratchvae.checks.report import Finding
from scratchvae.layers import sigmoid, softplus

REPAIR = "the integral of x exp(-nll)"


def mean_of_the_density(p: Any, masses: list[Mass]) -> Claim:
    """mean(logits) is the integral of x p(x), where there is one; it is an image, in the dtype of logits."""
    masses = [mass for mass in masses if mass.mean_error < 0.1 * ALLOWED * mass.scale]
    if not masses:
        return Claim("mean", math.nan, ALLOWED, "the density has none")
    rows = np.stack([mass.pixel.logits for mass in masses])  # (L, P)
    expected, scale = np.array([[mass.mean, mass.scale] for mass in masses]).T  # (L,), (L,)
    mean, narrow = (to_numpy(p.mean(frozen(as_image(rows).astype(dtype)))) for dtype in ("float64", "float32"))
    if finding := another_shape("mean", mean, (1, len(masses))):
        return Claim("mean", math.inf, ALLOWED, finding=finding)
    mean = mean[0]  # (L,)
    scale += EPSILON / ALLOWED * np.median(scale)  # (L,)  why: a mean of 1e-300 may well be 0
    off = np.nan_to_num(np.abs(mean - expected) / scale, nan=math.inf)  # (L,)
    low, high = masses[0].pixel.support
    tiny = (off < CLIPPED) | (np.abs(mean - expected) < ALLOWED * (high - low) * math.isfinite(high - low))
    off[(np.abs(rows).max(axis=1) >= EXTREME) & tiny] = 0.0  # why: far out rounding is felt, and a clip
    if off.max() <= ALLOWED:
        finding = None
    elif rows.shape[1] > 1 and np.allclose(to_numpy(p.mean(frozen(rows.reshape(1, -1))))[0], expected, rtol=1e-5):
        repair = "the first D columns are the first parameter, the next D the second"
        text = "mean reads the logits pixel by pixel, not parameter by parameter"
        finding = Finding(("mean",), "transpose", text, repair)
    else:
        finding = wrong_mean(rows, mean, expected, masses, int(off.argmax()))
    return Claim("mean", float(off.max()), ALLOWED, f"of {len(masses)} densities{widened(narrow)}", finding)


def wrong_mean(rows: np.ndarray, mean: np.ndarray, expected: np.ndarray, masses: list[Mass], j: int) -> Finding:
    """The two means at the logits where it is worst, and what the wrong one is, if that is something known."""
    text, numbers = "mean is not that of exp(-nll)", (float(expected[j]), float(mean[j]))
    scale = np.array([mass.scale for mass in masses])  # (L,)
    if what := known_mean(rows, mean, masses):
        return Finding(("mean",), "elementwise-factor", f"{text}: it is {what}", REPAIR, None, (j,), *numbers)
    fitting = made_from(mean, expected, scale, masses[0].pixel.support)
    if len(fitting) != 1:  # why: where two fit, one of them is a coincidence
        return Finding(("mean",), "unknown", f"{text}, {at(rows[j])} and elsewhere", REPAIR, None, (j,), *numbers)
    ((what, amount),) = fitting.items()
    if what == "factor":
        how, repair = off_by(amount)
        cause = "sign" if "sign" in how else "factor"
        return Finding(("mean",), cause, f"mean {how}, beside that of exp(-nll)", repair, 1 / amount, (j,), *numbers)
    if what == "shift":
        how, repair = ("low", "add") if amount < 0 else ("high", "take away")
        text, repair = f"mean is {number(abs(amount))} too {how}, at all logits", f"{repair} {number(abs(amount))}"
        return Finding(("mean",), "missing-term", text, repair, None, (j,), *numbers)
    return Finding(("mean",), "elementwise-factor", f"mean is {what} that of exp(-nll)", REPAIR, None, (j,), *numbers)


def known_mean(rows: np.ndarray, mean: np.ndarray, masses: list[Mass]) -> str:
    """The usual thing that mean is, at all logits; nothing if it is none."""
    known = {
        "the sigmoid, which is the mean of a Bernoulli alone": sigmoid(rows[:, 0])[0],
        "the softplus": softplus(rows[:, 0])[0],
        "the first parameter itself": rows[:, 0],
        "the last parameter": rows[:, -1],
    }
    found = [what for what, other in known.items() if np.allclose(mean, other, rtol=1e-9, atol=1e-15)]
    medians = np.array([mass.quantile(np.array([0.5]))[0] for mass in masses])  # (L,)
    found += ["the median"] if np.allclose(mean, medians, rtol=1e-3) else []  # why so few digits: see Mass.quantile
    return found[0] if found else ""


def made_from(
    mean: np.ndarray, expected: np.ndarray, scale: np.ndarray, support: tuple[float, float]
) -> dict[str, float]:
    """How mean may come from the right one, and the number that is in it: every entry fits, relative to itself.

    Extreme logits make one entry a billion times another: relative to the largest of them anything would fit.
    """
    found, room = {}, ALLOWED * scale  # (L,)
    with np.errstate(all="ignore"):
        c = float((mean * expected / scale**2).sum() / (expected**2 / scale**2).sum())
        if c and fits(mean, c * expected, room):
            found["factor"] = c
        sharpest = int(np.argmin(scale))
        shift = float(mean[sharpest] - expected[sharpest])
        if fits(mean - expected, np.full(len(mean), shift), room) and (abs(shift) > 100 * room).sum() > 2:
            found["shift"] = shift
        if fits(mean, 1 / expected, 0 * room) and np.ptp(np.log(np.abs(expected))) > CLOSE:
            found["the reciprocal of"] = -1.0
        if support == (0.0, 1.0) and fits(mean, 1 - expected, room):
            found["1 minus"] = 1.0
    return found


def fits(got: np.ndarray, candidate: np.ndarray, room: np.ndarray) -> bool:
    return bool((np.abs(got - candidate) <= CLOSE * np.abs(candidate) + room).all())
