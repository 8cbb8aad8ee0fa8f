"""Are the draws of a likelihood those of the density that its nll claims?

With F the distribution function of the density, F(x) of a draw is uniform on (0, 1), whatever the density, and its
normal score, the g with P(N(0, 1) < g) = F(x), is standard normal. Of values with more than a point's mass, F jumps:
there a uniform number chooses between its two sides. So the errors below have a known distribution, without a limit
theorem and without a second moment, and what is allowed follows from how often a right sample may be called wrong.
With so many draws a standard deviation that is 8 % off is seen.

Sizes: n draws, L pixels, each with its own logits, P parameters.
"""

import math
from collections.abc import Iterator
from contextlib import suppress
from statistics import NormalDist
from typing import Any

import numpy as np

from scratchvae.backend import to_numpy
from scratchvae.checks.likelihood.claims import Claim, another_shape, as_image, at, frozen, widened
from scratchvae.checks.likelihood.density import Lattice, Mass
from scratchvae.checks.report import Finding

DRAWS = 5_000
FALSE_ALARM = 1e-6  # the chance that a right sample fails one of its statistics
ALLOWED = 1e-6  # of a mean, relative to the size of x
REPAIR = "draws from the density exp(-nll)"
NOT_LEVELS = "draws are not"
OUTSIDE = "draws lie outside the support"
VARIES = 2.0  # the largest standard deviation over the smallest, where powers of it can be told apart
POWERS = {"the square of": 2.0, "the square root of": 0.5, "the reciprocal of": -1.0}  # usual slips about a scale


def claims_of_the_draws(p: Any, masses: list[Mass], rng: np.random.Generator) -> Iterator[Claim]:
    """In order: shape and dtype, the generator, the support, then mean, spread, distribution and independence."""
    rows = np.stack([mass.pixel.logits for mass in masses])  # (L, P)
    logits = frozen(np.tile(as_image(rows), (DRAWS, 1)))  # (n, L P)
    seed = int(rng.integers(2**32))
    x = to_numpy(p.sample(logits, np.random.default_rng(seed)))  # (n, L)
    narrow = to_numpy(p.sample(frozen(logits[:1].astype("float32")), np.random.default_rng(seed)))  # (1, L)
    if finding := another_shape("sample", x, (DRAWS, len(masses))):
        yield Claim("sample", math.inf, 1.0, finding=finding)
        return
    generator = of_the_generator(p, logits, x, seed)
    seen = in_reach(x, masses)  # (L,)
    if not seen.any():
        yield Claim("sample", math.nan, 1.0, "not finite")
        return
    x, masses = x[:, seen], [mass for mass, known in zip(masses, seen, strict=True) if known]
    far = "" if seen.all() else f"not finite {at(rows[~seen][0])}, and not tested there"
    for claim in (
        generator._replace(note=generator.note + widened(narrow)),
        of_the_support(x, masses)._replace(note=far),
    ):
        yield claim
        if claim.status == "wrong":
            return
    yield from of_the_distribution(x.astype(float), masses, rng)


def in_reach(x: np.ndarray, masses: list[Mass]) -> np.ndarray:
    """At which logits the draws can be judged, (L,): far out an inverse cdf may overflow."""
    low, high = masses[0].pixel.support
    lost = ~((low <= x) & (x <= high)) & ~np.isfinite(x)  # (n, L)
    return ~lost.any(axis=0) | ~np.array([mass.is_extreme for mass in masses])


def of_the_generator(p: Any, logits: np.ndarray, x: np.ndarray, seed: int) -> Claim:
    """The same seed gives the same draws; the generator moves on, so that the next draws are others."""
    rng = np.random.default_rng(seed)
    again, next_ones = (to_numpy(p.sample(logits, rng)) for _ in range(2))
    finding = None
    if not np.array_equal(x, again, equal_nan=True):
        text = "the same seed gives other draws: sample uses a generator of its own"
        finding = Finding(("sample",), "noise-redrawn", text, "use the rng that is given")
    elif np.array_equal(again, next_ones, equal_nan=True):
        text = "every call gives the same draws: is it a mean, or a new generator each time?"
        finding = Finding(("sample",), "zero", text, "draw from the rng that is given")
    return Claim("sample: generator", float(finding is not None), 0.5, "same seed, same draws", finding)


def of_the_support(x: np.ndarray, masses: list[Mass]) -> Claim:
    """Draws lie in the support, and where the mass is on a lattice they are values of it."""
    (low, high), lattice = masses[0].pixel.support, masses[0].lattice
    out = ~((low <= x) & (x <= high))  # (n, L)
    text = f"{OUTSIDE} ({low:g}, {high:g})"
    if out.any() and not out.any(axis=0).all():
        text = f"{text} {at(masses[int(out.any(axis=0).argmax())].pixel.logits)}"
    if not out.any() and lattice:
        out = ~lattice.holds(x)
        text = f"{NOT_LEVELS} {values_of(lattice)}, though it is over those that exp(-nll) comes closest to the sum 1"
    share = float(out.mean())
    example = f", {float(x[out][0]):.6g} for one, {100 * share:.3g} % of them" if share else ""
    return Claim("sample: support", share, 0.5 / x.size, finding=Finding(("sample",), "unknown", text + example))


def values_of(lattice: Lattice) -> str:
    """The values of a lattice, in words."""
    if lattice.origin:
        side = "+" if lattice.origin > 0 else "-"
        return f"values k/{lattice.levels:g} {side} {abs(lattice.origin):g}"
    return "whole numbers" if lattice.levels == 1 else f"multiples of 1/{lattice.levels:g}"


def of_the_distribution(x: np.ndarray, masses: list[Mass], rng: np.random.Generator) -> Iterator[Claim]:
    """Of the normal scores: mean 0, variance 1, distribution function, no correlation between pixels.

    A finding comes with the first that fails: the others are its consequences.
    """
    n, L = x.shape
    u = np.stack([shares(mass, x[:, j], rng) for j, mass in enumerate(masses)], axis=1)  # (n, L)
    g = normal_scores(u)  # (n, L)
    tests = 3 * L + L * (L - 1) // 2
    z = -NormalDist().inv_cdf(FALSE_ALARM / tests / 2)  # standard errors
    mean = math.sqrt(n) * np.abs(g.mean(axis=0)) / np.maximum(g.std(axis=0), 1e-9)  # (L,)  after Student
    spread = np.abs(math.sqrt(2 * n) * g.std(axis=0) - math.sqrt(2 * n - 3))  # (L,)  the root of chi squared: Fisher
    steps = np.arange(n + 1)[:, None] / n  # (n + 1, 1)
    u = np.sort(u, axis=0)
    above, below = (steps[1:] - u).max(axis=0), (u - steps[:-1]).max(axis=0)  # (L,)
    gap = np.maximum(above, below)  # (L,)  after Dvoretzky, Kiefer, Wolfowitz and Massart
    allowed_gap = math.sqrt(math.log(2 * tests / FALSE_ALARM) / (2 * n))
    correlation = np.nan_to_num(np.corrcoef(g, rowvar=False)).reshape(L, L) - np.eye(L)
    together = math.sqrt(n - 3) * np.abs(np.arctanh(np.clip(correlation, -1 + 1e-15, 1 - 1e-15))).max(axis=1)  # (L,)

    told = False
    for name, error, allowed, unit, explain in (
        ("mean", mean, z, "standard errors", wrong_mean),
        ("spread", spread, z, "standard errors", wrong_spread),
        ("distribution", gap, allowed_gap, "between the functions", wrong_shape),
        ("independence", together, z, "standard errors", dependent),
    ):
        worst = float(error.max())
        claim = Claim(f"sample: {name}", worst, allowed, f"{worst:.2g} {unit}, {allowed:.2g} allowed")
        if claim.status == "wrong" and not told:
            told, claim = True, claim._replace(finding=explain(x, masses, int(error.argmax())))
        yield claim


def shares(mass: Mass, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """F(x), (n,): uniform on (0, 1) if x is drawn from mass."""
    below, upto = mass.distribution(x)  # (n,), (n,)
    u = below + rng.random(len(x)) * (upto - below)
    return np.clip(u, 1e-16, 1 - 1e-16)


def normal_scores(u: np.ndarray) -> np.ndarray:
    """The g with P(N(0, 1) < g) = u, entry by entry."""
    score = NormalDist().inv_cdf
    return np.array([score(v) for v in u.ravel().tolist()]).reshape(u.shape)


# ---------------------------------------------------------------------------------------------------------------------
# What is wrong, in words


def wrong_mean(x: np.ndarray, masses: list[Mass], j: int) -> Finding | None:
    """The draws' mean beside the density's; nothing if it is that of `mean`, which is wrong itself and said to be."""
    got, expected = x.mean(axis=0), np.array([mass.mean for mass in masses])  # (L,), (L,)
    error = 5 * x.std(axis=0) / math.sqrt(len(x))  # (L,)
    if follows_mean(masses[j], float(got[j]), float(error[j] / 5)):
        return None
    if not same_shape(x, masses) or abs(got[j] - expected[j]) <= error[j]:
        return wrong_shape(x, masses, j)
    text, cause = f"the draws have another mean than exp(-nll), {at(masses[j].pixel.logits)}", "unknown"
    spread = np.array([mass.spread for mass in masses])  # (L,)
    error = np.fmax(error, 5 * spread / math.sqrt(len(x)))  # (L,)  why: what is rare may not be among the draws
    if len(fitting := made_from(got, expected, error, masses[0].pixel.support)) == 1:  # of two, one is a coincidence
        ((text, cause),) = fitting.items()
    return Finding(("sample",), cause, text, REPAIR, None, (j,), float(expected[j]), float(got[j]))


def made_from(got: np.ndarray, expected: np.ndarray, error: np.ndarray, support: tuple[float, float]) -> dict[str, str]:
    """What the means of the draws may be, as sentences, and the causes; every entry fits, as far as chance lets it."""
    found, text = {}, "the mean of the draws is"
    for what, power in POWERS.items():
        if (np.abs(got / expected**power - 1) < 0.1).all():
            found[f"{text} {what} that of exp(-nll)"] = "elementwise-factor"
    if support == (0.0, 1.0) and (np.abs(got - 1 + expected) <= error).all():
        found[f"{text} 1 minus that of exp(-nll)"] = "elementwise-factor"
    known = np.isfinite(expected) & np.isfinite(error)
    got, expected, error = got[known], expected[known], np.maximum(error[known], 1e-300)
    if not len(got):
        return found
    best = int(error.argmin())
    shift = float(got[best] - expected[best])
    if (np.abs(got - expected - shift) <= error + error[best]).all():
        found[f"{text} {abs(shift):.2g} too {'high' if shift > 0 else 'low'}, at all logits"] = "missing-term"
    c = float((got * expected / error**2).sum() / (expected**2 / error**2).sum())
    if (np.abs(got - c * expected) <= error).all():
        found[f"{text} {c:.2g} times that of exp(-nll), at all logits"] = "factor"
    return found


def same_shape(x: np.ndarray, masses: list[Mass]) -> bool:
    """Would the draws be those of the density, moved and scaled? On a half line or an interval nobody can tell."""
    n = len(x)
    allowed = math.sqrt(math.log(2 * len(masses) / FALSE_ALARM) / (2 * n))
    for mass, column in zip(masses, x.T, strict=True):
        if not mass.lattice and not any(map(math.isfinite, mass.pixel.support)) and math.isfinite(mass.spread):
            moved = mass.mean + (np.sort(column) - column.mean()) * mass.spread / max(
                float(column.std()), 1e-300
            )  # (n,)
            gap = np.abs(mass.distribution(moved)[1] - (np.arange(n) + 0.5) / n).max()
            if gap > allowed:
                return False
    return True


def follows_mean(mass: Mass, got: float, standard_error: float) -> bool:
    """Is mean wrong, and are the draws built on it, as far as it lies in the support?"""
    (low, high), claimed = mass.pixel.support, math.nan
    with suppress(Exception):  # a mean that fails has its own finding
        claimed = float(to_numpy(mass.pixel.likelihood.mean(mass.pixel.logits[None]))[0, 0])
    wrong = abs(claimed - mass.mean) > ALLOWED * mass.scale > 10 * mass.mean_error
    return wrong and (not low <= claimed <= high or abs(got - claimed) <= 5 * standard_error)


def wrong_spread(x: np.ndarray, masses: list[Mass], j: int) -> Finding:
    """The draws' standard deviation beside the density's; a slip with squares is named."""
    got, expected = x.std(axis=0), np.array([mass.spread for mass in masses])  # (L,), (L,)
    if not same_shape(x, masses):
        return wrong_shape(x, masses, j)
    text, cause, c = "the standard deviation of the draws", "unknown", got / expected  # (L,)
    how = f"is not that of exp(-nll) {at(masses[j].pixel.logits)}"
    if (np.abs(c / np.median(c) - 1) < 0.1).all():
        how, cause = f"is {np.median(c):.2g} times that of exp(-nll), at all logits", "factor"
    if (np.abs(got / np.median(got) - 1) < 0.1).all() and not (np.abs(expected / np.median(expected) - 1) < 0.1).all():
        how, cause = f"is {np.median(got):.2g}, whatever the logits are", "elementwise-factor"
    if expected.max() > VARIES * expected.min():  # why: where it is one number every power of it is a factor
        for what, power in POWERS.items():
            c = got / expected**power  # (L,)
            if (np.abs(c / np.median(c) - 1) < 0.1).all():
                often = "" if abs(np.median(c) - 1) < 0.1 else f"{np.median(c):.2g} times "
                how, cause = f"is {often}{what} that of exp(-nll)", "elementwise-factor"
    return Finding(("sample",), cause, f"{text} {how}", REPAIR, None, (j,), float(expected[j]), float(got[j]))


def wrong_shape(x: np.ndarray, masses: list[Mass], j: int) -> Finding:
    """Where the two distribution functions are farthest apart."""
    values = np.sort(x[:, j])  # (n,)
    share, F = (np.arange(len(x)) + 0.5) / len(x), np.mean(masses[j].distribution(values), axis=0)  # (n,), (n,)
    i = int(np.abs(F - share).argmax())
    text = f"the draws have another distribution than exp(-nll): {at(masses[j].pixel.logits)}"
    text = f"{text} {100 * share[i]:.3g} % of them lie below {values[i]:.4g}"
    return Finding(("sample",), "unknown", text, f"{REPAIR}: {100 * F[i]:.3g} % there", where=(j,))


def dependent(x: np.ndarray, masses: list[Mass], j: int) -> Finding:
    """Every pixel for itself is right, and knows of another one."""
    text = "pixels move together: does a noise of the shape (B, 1) broadcast?"
    return Finding(("sample",), "shape", text, "a noise of its own for every pixel", where=(j,))
