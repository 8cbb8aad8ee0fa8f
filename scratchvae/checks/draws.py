"""Are the draws of a likelihood those of the density that its nll claims?

With F the distribution function of the density, F(x) of a draw is uniform on (0, 1), whatever the density, and its
normal score, the g with P(N(0, 1) < g) = F(x), is standard normal. Of values with more than a point's mass, F jumps:
there a uniform number chooses between its two sides. So the errors below have a known distribution, without a limit
theorem and without a second moment, and what is allowed follows from how often a right sample may be called wrong.

Sizes: n draws, L pixels, each with its own logits, P natural parameters.
"""

import math
from collections.abc import Iterator
from statistics import NormalDist
from typing import Any

import numpy as np

from scratchvae.backend import to_numpy
from scratchvae.checks.claims import Claim, as_image, at, frozen, not_like
from scratchvae.checks.density import Mass
from scratchvae.checks.report import Finding

DRAWS = 5_000
FALSE_ALARM = 1e-6  # the chance that a right sample fails one of its statistics
POWERS = {"the square of": 2.0, "the square root of": 0.5}  # usual slips about a standard deviation


def claims_of_the_draws(p: Any, masses: list[Mass], rng: np.random.Generator) -> Iterator[Claim]:
    """In order: shape and dtype, the generator, the support, then mean, spread, distribution and independence."""
    rows = np.stack([mass.pixel.logits for mass in masses])  # (L, P)
    logits = frozen(np.tile(as_image(rows), (DRAWS, 1)))  # (n, L P)
    seed = int(rng.integers(2**32))
    x = to_numpy(p.sample(logits, np.random.default_rng(seed)))  # (n, L)
    narrow = to_numpy(p.sample(frozen(logits[:1].astype("float32")), np.random.default_rng(seed)))  # (1, L)
    if finding := not_like("sample", x, (DRAWS, len(masses)), narrow):
        yield Claim("sample", math.inf, 1.0, finding=finding)
        return
    for claim in (of_the_generator(p, logits, x, seed), of_the_support(x, masses)):
        yield claim
        if claim.status == "wrong":
            return
    yield from of_the_distribution(x.astype(float), masses, rng)


def of_the_generator(p: Any, logits: np.ndarray, x: np.ndarray, seed: int) -> Claim:
    """The same seed gives the same draws; the generator moves on, so that the next draws are others."""
    rng = np.random.default_rng(seed)
    again, next_ones = (to_numpy(p.sample(logits, rng)) for _ in range(2))
    finding = None
    if not np.array_equal(x, again):
        text = "the same seed gives other draws: sample uses a generator of its own; use the rng that it is given"
        finding = Finding("sample", "noise-redrawn", text)
    elif np.array_equal(again, next_ones):
        text = "every call gives the same draws: is it a mean, or a new generator each time? Use the rng that is given"
        finding = Finding("sample", "zero", text)
    return Claim("sample: generator", float(finding is not None), 0.5, "same seed, same draws", finding)


def of_the_support(x: np.ndarray, masses: list[Mass]) -> Claim:
    """Draws lie in the support, and where the mass is on whole numbers they are whole numbers."""
    (low, high), levels = masses[0].pixel.support, masses[0].levels
    out = ~((low <= x) & (x <= high))  # (n, L)
    text = f"draws lie outside the support ({low:g}, {high:g})"
    if not out.any() and levels:
        out = np.rint(x * levels) != x * levels
        what = "whole numbers" if levels == 1 else f"multiples of 1/{levels}"
        text = f"draws are not {what}, though it is over those that exp(-nll) comes closest to the sum 1"
    share = float(out.mean())
    example = f", {float(x[out][0]):.6g} for one, {100 * share:.2g} % of them" if share else ""
    return Claim("sample: support", share, 0.5 / x.size, finding=Finding("sample", "unknown", text + example))


def of_the_distribution(x: np.ndarray, masses: list[Mass], rng: np.random.Generator) -> Iterator[Claim]:
    """Of the normal scores: mean 0, variance 1, distribution function, no correlation between pixels.

    A finding comes with the first that fails: the others are its consequences.
    """
    n, L = x.shape
    u = np.stack([shares(mass, x[:, j], rng) for j, mass in enumerate(masses)], axis=1)  # (n, L)
    g = normal_scores(u)  # (n, L)
    tests = 3 * L + L * (L - 1) // 2
    z = -NormalDist().inv_cdf(FALSE_ALARM / tests / 2)  # standard errors
    within = f"standard errors, {z:.1f} allowed"

    mean = math.sqrt(n) * np.abs(g.mean(axis=0)) / np.maximum(g.std(axis=0), 1e-9)  # (L,)  after Student
    spread = np.abs(math.sqrt(2 * n) * g.std(axis=0) - math.sqrt(2 * n - 3))  # (L,)  the root of chi squared: Fisher
    steps = np.arange(n + 1)[:, None] / n  # (n + 1, 1)
    u = np.sort(u, axis=0)
    above, below = (steps[1:] - u).max(axis=0), (u - steps[:-1]).max(axis=0)  # (L,)
    gap = np.maximum(above, below)  # (L,)  after Dvoretzky, Kiefer, Wolfowitz and Massart
    allowed_gap = math.sqrt(math.log(2 * tests / FALSE_ALARM) / (2 * n))
    correlation = np.nan_to_num(np.corrcoef(g, rowvar=False)).reshape(L, L) - np.eye(L)
    together = math.sqrt(n - 3) * np.abs(np.arctanh(np.clip(correlation, -1 + 1e-15, 1 - 1e-15))).max(axis=1)  # (L,)

    claims = [
        Claim("sample: mean", float(mean.max()), z, f"{mean.max():.1f} {within}"),
        Claim("sample: spread", float(spread.max()), z, f"{spread.max():.1f} {within}"),
        Claim(
            "sample: distribution", float(gap.max()), allowed_gap, f"off by {gap.max():.1g}, {allowed_gap:.1g} allowed"
        ),
        Claim("sample: independence", float(together.max()), z, f"{together.max():.1f} {within}"),
    ]
    first = next((i for i, claim in enumerate(claims) if claim.status == "wrong"), None)
    if first is not None:
        finding = (
            lambda: wrong_mean(x, masses, mean),
            lambda: wrong_spread(x, masses, spread),
            lambda: wrong_shape(x, masses, gap, u),
            lambda: DEPENDENT,
        )[first]()
        claims[first] = claims[first]._replace(finding=finding)
    yield from claims


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

DEPENDENT = Finding("sample", "shape", "pixels move together: each needs its own noise; does a (B, 1) noise broadcast?")


def wrong_mean(x: np.ndarray, masses: list[Mass], error: np.ndarray) -> Finding:
    """The draws' mean beside the density's where it is worst."""
    j = int(error.argmax())
    got, expected = float(x[:, j].mean()), masses[j].mean
    text = f"{at(masses[j].pixel.logits)} the draws have the mean {got:.4g}, and exp(-nll) has {expected:.4g}"
    return Finding("sample", "unknown", text, where=(j,), expected=expected, got=got)


def wrong_spread(x: np.ndarray, masses: list[Mass], error: np.ndarray) -> Finding:
    """The draws' standard deviation beside the density's where it is worst; a slip with squares is named."""
    j = int(error.argmax())
    got, expected = x.std(axis=0), np.array([mass.spread for mass in masses])  # (L,), (L,)
    where, text = at(masses[j].pixel.logits), "the draws have the standard deviation"
    text = f"{where} {text} {got[j]:.4g}, and exp(-nll) has {expected[j]:.4g}"
    cause, c = "unknown", got / expected  # (L,)
    if (np.abs(c / np.median(c) - 1) < 0.1).all():
        text, cause = f"{text}: {np.median(c):.3g} times what it should be, at all logits", "factor"
    for what, power in POWERS.items():
        if (np.abs(got / expected**power - 1) < 0.1).all():
            text, cause = f"{text}: {what} what it should be", "elementwise-factor"
    return Finding("sample", cause, text, where=(j,), expected=float(expected[j]), got=float(got[j]))


def wrong_shape(x: np.ndarray, masses: list[Mass], gap: np.ndarray, u: np.ndarray) -> Finding:
    """Mean and spread are right, the distribution is not."""
    j = int(gap.argmax())
    n = len(x)
    i = int(np.abs(u[:, j] - (np.arange(n) + 0.5) / n).argmax())
    value = float(np.sort(x[:, j])[i])
    text = (
        f"{at(masses[j].pixel.logits)} {100 * (i + 0.5) / n:.3g} % of the draws lie below {value:.4g}, and "
        f"{100 * u[i, j]:.3g} % of exp(-nll): mean and spread are about right, the distribution is another one"
    )
    return Finding("sample", "unknown", text, where=(j,))
