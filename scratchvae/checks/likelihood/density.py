"""p(x|z) of one pixel from its nll alone: what exp(-nll) adds up to, its mean, and the distribution function of x.

The nll is a black box. Panels crowd at every scale around the ends of the support and around wherever the mass may be,
and a panel is halved until a rule on it and the same rule on its halves agree. A sum goes over the whole numbers around
the mode, over the grey levels k / 255 that images of uint8 become, or over another lattice, origin + k / levels.

Sizes: G values of a pixel, S panels, P parameters.
"""

import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np

from scratchvae.backend import to_numpy
from scratchvae.checks.report import SEED

P9 = np.polynomial.legendre.Legendre.basis(9)
ENDS_AND_ROOTS = np.array([-1.0, *P9.deriv().roots(), 1.0])
NODES, WEIGHTS = (1 + ENDS_AND_ROOTS) / 2, 1 / (90 * P9(ENDS_AND_ROOTS) ** 2)  # Lobatto's rule on [0, 1], of degree 17
NEAR, FAR = -300, 150  # powers of ten: how close to 0 panels go, and how far out
TOLERANCE = 1e-13  # of a panel, relative to the whole
ROUNDS, PANELS = 60, 10_000  # so often, and so many at once, panels are halved
TERMS = 2**18  # of a sum, on each side of the mode
EPSILON = float(np.finfo(float).eps)
SLACK = 1e-4  # of a step of a lattice: its values may be k / 127.5 - 1, or (k - 127.5) / 127.5, in float32
EXTREME = 20.0  # of one parameter: as the log of a variance, nothing, or five hundred million
NOISE = 4  # what rounding may do to a total, in jumps of the log density


class Pixel(NamedTuple):
    """One pixel under p(x|z): a likelihood at one row of logits (P,)."""

    likelihood: Any
    logits: np.ndarray
    support: tuple[float, float]

    def log_density(self, x: np.ndarray, logits: np.ndarray | None = None) -> np.ndarray:
        """-nll at values of the pixel, (G,), perhaps at other logits (G, P); where it is NaN there is no mass.

        Raises    ValueError: nll has another shape than (G,).
        """
        if not len(x):
            return np.zeros(0)
        with np.errstate(all="ignore"):
            logits = np.tile(self.logits, (len(x), 1)) if logits is None else logits  # (G, P)
            nll = to_numpy(self.likelihood.nll(x[:, None], logits)[0])
        if nll.shape != x.shape:
            raise ValueError(f"nll has the shape {nll.shape} for a batch of {len(x)}, expected ({len(x)},)")
        return np.where(np.isnan(nll), -math.inf, -nll.astype(float))

    def rounding(self, x: float) -> float:
        """By how much the log density at x jumps, beside a smooth curve, when the logits move in their last digits."""
        h = np.arange(-8, 9)  # (17,)
        p = self.log_density(np.full(len(h), x), self.logits * (1 + 2 * EPSILON * h[:, None]))  # (17,)
        if not np.isfinite(p).all():
            return math.inf
        curve = np.polynomial.Polynomial.fit(h, p - p[8], 2)
        return float(np.abs(p - p[8] - curve(h)).max())


class Lattice(NamedTuple):
    """The values origin + k / levels, for whole numbers k."""

    levels: float
    origin: float = 0.0

    def snapped(self, x: np.ndarray) -> np.ndarray:
        """The nearest values of the lattice, as far as floats tell them apart."""
        k = (x - self.origin) * self.levels
        return self.at(np.rint(k[np.abs(k) < 2**52]))

    def at(self, k: np.ndarray) -> np.ndarray:
        return k / self.levels + self.origin

    def holds(self, x: np.ndarray) -> np.ndarray:
        """Which x lie on it, but for rounding."""
        k = (x - self.origin) * self.levels
        return np.abs(k - np.rint(k)) <= SLACK


WHOLE, GREY = Lattice(1), Lattice(255)


class Mass(NamedTuple):
    """What exp(-nll) of one pixel adds up to, and how it is spread over x: an integral, or a sum over a lattice."""

    pixel: Pixel
    lattice: Lattice | None  # None: an integral
    total: float
    error: float  # of the total, relative: what lies outside the panels, and what they disagree about
    mean: float
    mean_error: float
    scale: float  # of x: |mean| and the mean distance from a point in the bulk; what errors of the mean are judged by
    spread: float  # the standard deviation, where there is one
    x: np.ndarray  # (S + 1,) the ends of the panels; for a sum the values that it goes over
    below: np.ndarray  # (S + 1,) the share of the mass that lies below x

    @property
    def settled(self) -> bool:
        """Is it known how much mass there is?"""
        return self.error < 1e-7

    @property
    def is_extreme(self) -> bool:
        """Is it so far out that rounding rules?"""
        return bool(np.abs(self.pixel.logits).max() >= EXTREME)

    def distribution(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """P(pixel < x) and P(pixel <= x), (G,) each."""
        if self.lattice:
            below, slack = np.append(self.below, 1.0), SLACK / self.lattice.levels  # (S + 2,)
            return below[np.searchsorted(self.x, x - slack)], below[np.searchsorted(self.x, x + slack, side="right")]
        x = np.clip(x, self.x[0], self.x[-1])
        i = np.searchsorted(self.x[1:-1], x, side="right")  # (G,)  the panel that x lies in
        within = rule(self.pixel, self.x[i], x, self.mean, math.log(self.total))[0]  # (G,)
        share = np.clip(self.below[i] + within, 0.0, 1.0)  # (G,)
        return share, share

    def quantile(self, u: np.ndarray) -> np.ndarray:
        """A value of x with about the share u below it, like u: good enough to try a function on."""
        if self.lattice:
            return self.x[np.searchsorted(self.below, u, side="right") - 1]
        inside = (self.below > 0) & (self.below < 1)  # (S + 1,)
        return np.interp(u, self.below[inside], self.x[inside])


# ---------------------------------------------------------------------------------------------------------------------
# Where to look


def ladder(centre: float, low: float, high: float) -> np.ndarray:
    """centre -+ 10^k for every k at which that is another number, as far as it lies in (low, high)."""
    finest = NEAR if centre == 0 else math.floor(math.log10(abs(centre))) - 15
    steps = 10.0 ** np.arange(max(finest, NEAR), FAR + 1)
    x = np.concatenate([centre - steps, [centre], centre + steps])
    return x[(low < x) & (x < high)]


def hints(pixel: Pixel) -> np.ndarray:
    """Where the mass may be, by what the likelihood says itself; it does no harm if that is wrong."""
    likelihood, logits = pixel.likelihood, pixel.logits
    found = [logits]
    with np.errstate(all="ignore"):
        with suppress(Exception):
            found.append(to_numpy(likelihood.mean(logits[None])).ravel())
        with suppress(Exception):
            draws = to_numpy(likelihood.sample(np.tile(logits, (200, 1)), np.random.default_rng(SEED)))
            found.append(np.quantile(draws, [0, 0.1, 0.5, 0.9, 1]))
    x = np.concatenate(found).astype(float)
    return np.unique(x[np.isfinite(x)])


def grid(pixel: Pixel, snap: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Values of the pixel at every scale around the ends of the support, the hints and the peaks of the density.

    snap rounds to the values that a sum goes over.
    """
    low, high = pixel.support
    anchors = [end for end in (low, high) if math.isfinite(end)] or [0.0]
    near = hints(pixel)
    x = np.concatenate([ladder(a, low, high) for a in (*anchors, *near)] + [np.clip([low, high], -1e150, 1e150)])
    x = inside(snap(x), low, high)
    p = pixel.log_density(x)
    heads = np.concatenate([[-math.inf], p, [-math.inf]])
    peaks = np.flatnonzero((p >= heads[:-2]) & (p >= heads[2:]) & (p > -math.inf))
    best = peaks[np.argsort(-p[peaks], kind="stable")[:3]]
    found = [climb(pixel, x[max(i - 1, 0)], x[min(i + 1, len(x) - 1)], snap) for i in best]
    around = [ladder(peak, low, high) for peak in found]
    return inside(snap(np.concatenate([x, *around])), low, high)


def inside(x: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.unique(x[(low <= x) & (x <= high)])


def climb(pixel: Pixel, low: float, high: float, snap: Callable[[np.ndarray], np.ndarray]) -> float:
    """The peak of the density between low and high, by looking ever closer."""
    for _ in range(12):
        x = np.unique(snap(np.linspace(low, high, 101)))
        i = int(np.argmax(pixel.log_density(x)))
        if len(x) <= 3:
            break
        low, high = x[max(i - 1, 0)], x[min(i + 1, len(x) - 1)]
    return float(x[i])


# ---------------------------------------------------------------------------------------------------------------------
# Integrals and sums


def rule(pixel: Pixel, left: np.ndarray, right: np.ndarray, centre: float, log_scale: float) -> np.ndarray:
    """The integrals over panels of f, (x - centre) f and (x - centre)^2 f with f = exp(-nll - log_scale), (3, S)."""
    x = left[:, None] + (right - left)[:, None] * NODES  # (S, 10)
    with np.errstate(all="ignore"):
        f = np.exp(pixel.log_density(x.ravel()).reshape(x.shape) - log_scale) * WEIGHTS  # (S, 10)
        f = np.where(np.isfinite(f), f, 0.0) * (right - left)[:, None]  # why: an end of the support may be a pole
        u = x - centre  # (S, 10)
        return np.stack([f.sum(axis=1), (f * u).sum(axis=1), (f * u * u).sum(axis=1)])


@np.errstate(all="ignore")
def integrated(pixel: Pixel, draws: np.ndarray | None = None) -> Mass:
    """The integral of exp(-nll) over the support, perhaps with a panel between each two of the draws, (n,)."""
    x = grid(pixel, lambda x: x)  # (S + 1,)
    if draws is not None:
        x = inside(np.concatenate([x, draws]), *pixel.support)
    p = pixel.log_density(x)  # (S + 1,)
    mass = p[1:-1] + np.log(np.minimum(x[2:] - x[1:-1], x[1:-1] - x[:-2]))  # (S - 1,)
    centre, log_scale = float(x[1:-1][mass.argmax()]), float(mass.max())
    if not math.isfinite(log_scale):
        return nothing_to_add(pixel, None, log_scale, x)
    noise = NOISE * pixel.rounding(centre)
    panels, error = halved(lambda left, right: rule(pixel, left, right, centre, log_scale), x, noise)
    x, (f, fu, fuu) = np.append(panels[0], x[-1]), panels[2:]
    outside = sum(left_over(pixel, x, end, centre, log_scale) for end in (0, -1))  # (3,)
    error = error + outside
    total = f.sum()
    shift, second = fu.sum() / total, fuu.sum() / total
    return Mass(
        pixel,
        None,
        total=float(np.exp(log_scale) * total),
        error=float(error[0] / total) + noise,
        mean=float(centre + shift),
        mean_error=float(error[1] / total),
        scale=float(abs(centre + shift) + np.abs(fu).sum() / total),
        spread=float(np.sqrt(max(second - shift * shift, 0.0))),
        x=x,
        below=np.concatenate([[0.0], np.cumsum(f) / total]),
    )


def nothing_to_add(pixel: Pixel, lattice: Lattice | None, log_scale: float, x: np.ndarray) -> Mass:
    """Of a density that is 0 wherever one looks, or infinite."""
    total = math.inf if log_scale > 0 else 0.0
    return Mass(pixel, lattice, total, 0.0, math.nan, math.inf, math.nan, math.nan, x, np.zeros(len(x)))


def halved(
    integrals: Callable[[np.ndarray, np.ndarray], np.ndarray], x: np.ndarray, noise: float
) -> tuple[np.ndarray, np.ndarray]:
    """Panels in order, as rows left, right and K integrals, and an error of each integral (K,).

    A panel is halved until its integrals (K, S) are the sums of those of its halves, as far as their own relative noise
    lets one see.
    """
    left, right = x[:-1], x[1:]
    whole = integrals(left, right)  # (K, S)
    size, error = np.zeros(len(whole)), np.zeros(len(whole))  # (K,) of the panels that are kept
    kept = []
    for round_ in range(ROUNDS + 1):
        middle = left + (right - left) / 2
        lower, upper = integrals(left, middle), integrals(middle, right)  # (K, S) each
        off = np.abs(whole - lower - upper)  # (K, S)
        size_now = (size + np.abs(whole).sum(axis=1))[:, None]  # (K, 1)
        good = (off <= TOLERANCE * size_now + noise * np.abs(whole)).all(axis=0)  # (S,)
        last = round_ == ROUNDS or len(left) > PANELS
        good |= last | (right - left <= 10.0**NEAR) | (middle <= left) | (middle >= right)
        for part in (np.stack([left, middle, *lower]), np.stack([middle, right, *upper])):
            kept.append(part[:, good])
        size += np.abs(lower[:, good]).sum(axis=1) + np.abs(upper[:, good]).sum(axis=1)
        error += off[:, good].sum(axis=1)
        if good.all():
            break
        bad = ~good
        left, right = np.concatenate([left[bad], middle[bad]]), np.concatenate([middle[bad], right[bad]])
        whole = np.concatenate([lower[:, bad], upper[:, bad]], axis=1)
    panels = np.concatenate(kept, axis=1)  # (2 + K, S)
    panels = panels[:, panels[0] < panels[1]]  # why: between two neighbouring numbers there is no middle
    return panels[:, np.argsort(panels[0], kind="stable")], error


def left_over(pixel: Pixel, x: np.ndarray, end: int, centre: float, log_scale: float) -> np.ndarray:
    """About how much of f, (x - centre) f, (x - centre)^2 f lies beyond the panels at an end, or between the last two.

    A tail that falls like a power of x has as much beyond as in the last stretch; one that falls faster has nothing.
    """
    bounded = math.isfinite(pixel.support[end])
    at = (x[x > x[0]][0] if end == 0 else x[x < x[-1]][-1]) if bounded else x[end]
    width = abs(at - x[end]) if bounded else abs(at)
    with np.errstate(all="ignore"):
        log_f = pixel.log_density(np.array([at]))[0] - log_scale + np.log(width)
        return np.exp(log_f + np.arange(3) * np.log(abs(at - centre)))


@np.errstate(all="ignore")
def summed(pixel: Pixel, lattice: Lattice = WHOLE) -> Mass:
    """The sum of exp(-nll) over the values of a lattice in the support: all of them, or those around the mode."""
    levels, origin = lattice
    x = grid(pixel, lattice.snapped)  # (G,)
    p = pixel.log_density(x)  # (G,)
    peak, mode = float(p.max()), np.rint((float(x[p.argmax()]) - origin) * levels)
    if not math.isfinite(peak):
        return nothing_to_add(pixel, lattice, peak, x)
    low, high = ((end - origin) * levels for end in pixel.support)
    first, last = np.ceil(low - SLACK), np.floor(high + SLACK)
    reach = np.abs((hints(pixel) - origin) * levels - mode).max()  # why: another mode, and nothing in between
    wide, beyond = 64, 1.0
    while (beyond > 1e-14 or wide < reach) and wide < TERMS:
        wide *= 4
        ends = np.array([mode - wide, mode + wide])
        ends = ends[(first < ends) & (ends < last)]  # those at which the sum breaks off
        beyond = float(np.exp(pixel.log_density(lattice.at(ends)) - peak).sum()) * wide
    x = lattice.at(np.arange(max(first, mode - wide), min(last, mode + wide) + 1))  # (S,)
    f = np.exp(pixel.log_density(x) - peak)  # (S,)
    total = f.sum()
    mean = float((f * x).sum() / total)
    return Mass(
        pixel,
        lattice,
        total=float(np.exp(peak) * total),
        error=float(beyond / total) + NOISE * pixel.rounding(float(lattice.at(mode))),
        mean=mean,
        mean_error=float(beyond * wide / levels / total),
        scale=float(abs(mean) + (f * np.abs(x - mean)).sum() / total),
        spread=float(np.sqrt((f * (x - mean) ** 2).sum() / total)),
        x=x,
        below=np.concatenate([[0.0], np.cumsum(f[:-1]) / total]),
    )
