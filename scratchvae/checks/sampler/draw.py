"""A draw as a function of its noise: z = shift + mixing eps if it is linear in eps, otherwise its distribution.

A number that a function returns can be measured to the last digits, one that only its draws show to within a standard
error. So the noise is regressed out first: of a draw that is linear in all of eps nothing is left over, its mean, its
spread and its correlations are then known exactly. If z takes only its own eps, in whatever way, it is a curve, and the
curve is followed from one end of the normal distribution to the other.

Sizes: n draws, B rows, Z latents, N = B Z entries.
"""

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from scratchvae.checks.sampler.chance import allowed_correlation, chi_squared, student

LINEAR = 1e-6  # of the largest |z|: what a linear draw may leave over, float32 included
CALLS = 32
SCALES = np.array([0.01, 0.3, 1.0, 3.0])
REPEATS = 4  # why: what takes few values may be the same by chance
ROUNDING = 30.0  # in units of what is left over
Draw = Callable[[np.ndarray], np.ndarray]  # eps (B, Z) -> z (B, Z)


class Linear(NamedTuple):
    """z = shift + mixing eps, entry by entry of what is flattened."""

    shift: np.ndarray  # (N,)
    mixing: np.ndarray  # (N, N)
    error: np.ndarray  # (N,) of each

    @property
    def spread(self) -> np.ndarray:
        """(N,), scaled before it is squared: a large sigma has no square."""
        return self.largest * np.sqrt(((self.mixing / self.largest[:, None]) ** 2).sum(axis=1))

    @property
    def largest(self) -> np.ndarray:
        """What each z takes most of, (N,), and at least a tiny number."""
        return np.maximum(np.abs(self.mixing).max(axis=1), 1e-300)

    @property
    def correlation(self) -> np.ndarray:
        """(N, N), with 0 on its diagonal and where nothing is drawn."""
        scaled = self.mixing / np.maximum(self.spread, 1e-300)[:, None]  # (N, N)
        return scaled @ scaled.T * (1 - np.eye(len(scaled)))

    @property
    def takes(self) -> np.ndarray:
        """Which eps each z takes, (N, N)."""
        return np.abs(self.mixing) > 1e-9 * np.abs(self.mixing).max() + self.error[:, None]


def noises(n: int, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """eps of all sizes that occur, and larger ones: a bend may be far out, or at 0; (n, B, Z)."""
    return np.clip(np.resize(SCALES, (n, 1, 1)) * rng.standard_normal((n, *shape)), -6, 6)


def entry_by_entry(draw: Draw, shape: tuple[int, int], rng: np.random.Generator) -> Linear | None:
    """The draw, if every z is linear in its own eps."""
    eps = noises(CALLS, shape, rng)  # (CALLS, B, Z)
    z = np.stack([draw(e) for e in eps])  # (CALLS, B, Z)
    scale = np.abs(z).max(axis=0)  # (B, Z)
    e = eps - eps.mean(axis=0)  # (CALLS, B, Z)
    spread = (e * z).sum(axis=0) / (e * e).sum(axis=0)  # (B, Z)
    shift = z.mean(axis=0) - spread * eps.mean(axis=0)  # (B, Z)
    left = np.abs(z - shift - spread * eps).max(axis=0)  # (B, Z)
    if not (left <= LINEAR * scale).all():
        return None
    return Linear(shift.ravel(), np.diag(spread.ravel()), ROUNDING * left.ravel() + 1e-14 * scale.ravel())


def all_together(draw: Draw, shape: tuple[int, int], rng: np.random.Generator) -> Linear | None:
    """The draw, if every z is linear in the eps of all."""
    N = shape[0] * shape[1]
    calls = 2 * N + CALLS
    eps = noises(calls, shape, rng)  # (calls, B, Z)
    z = np.stack([draw(e) for e in eps]).reshape(calls, N)  # (calls, N)
    table = np.column_stack([np.ones(calls), eps.reshape(calls, N)])  # (calls, 1 + N)
    weights = np.linalg.lstsq(table, z, rcond=None)[0]  # (1 + N, N)
    left = np.abs(z - table @ weights).max(axis=0)  # (N,)
    scale = np.abs(z).max(axis=0)  # (N,)
    if not (left <= LINEAR * scale).all():
        return None
    return Linear(weights[0], weights[1:].T, ROUNDING * left + 1e-13 * scale)


def takes_its_own(draw: Draw, shape: tuple[int, int], rng: np.random.Generator) -> bool:
    """Does every z keep its value when all other eps change, small ones and large ones?"""
    for eps in noises(len(SCALES), shape, rng):
        z = draw(eps)
        for index in np.ndindex(*shape):
            for other in noises(REPEATS, shape, rng):
                mixed = other.copy()
                mixed[index] = eps[index]
                if not np.allclose(draw(mixed)[index], z[index], rtol=1e-12):
                    return False
    return True


# ---------------------------------------------------------------------------------------------------------------------
# Draws that are not linear


class Sample(NamedTuple):
    """Draws of every entry, and how far from those of N(mu, sigma^2) they may be."""

    eps: np.ndarray  # (n, N)
    z: np.ndarray  # (n, N)
    errors: float  # how many standard errors are allowed; 0 if the draws are no random ones

    @property
    def shift(self) -> np.ndarray:
        """(N,)."""
        return self.z.mean(axis=0)

    @property
    def spread(self) -> np.ndarray:
        """(N,), beside that of the eps themselves where they are no random ones."""
        return self.z.std(axis=0) / (1.0 if self.errors else self.eps.std(axis=0))

    @property
    def shift_error(self) -> np.ndarray:
        """(N,), after Student: the spread is not known either."""
        if not self.errors:
            return 1e-3 * self.spread
        nu = len(self.z) - 1
        return student(self.errors, nu) * self.spread / math.sqrt(nu)

    @property
    def spread_error(self) -> np.ndarray:
        """(N,), that of normal draws, and more where the fourth moment is larger."""
        if not self.errors:
            return 1e-3 * self.spread
        n = len(self.z)
        u = (self.z - self.shift) / np.maximum(self.z.std(axis=0), 1e-300)  # (n, N)
        fourth = np.maximum((u**4).mean(axis=0), 3.0)  # (N,)
        least = math.sqrt(chi_squared(-self.errors, n - 1) * (n - 1) / n)  # of the spread, in units of sigma
        return self.spread * (1 / max(least, 1e-300) - 1) * np.sqrt((fourth - 1) / 2)

    def gap(self) -> np.ndarray:
        """How far the distribution function is from the normal one of the same mean and spread, (N,)."""
        u = np.sort((self.z - self.shift) / np.maximum(self.spread, 1e-300), axis=0)  # (n, N)
        F = normal_function(u)  # (n, N)
        steps = (np.arange(len(u)) + 0.5)[:, None] / len(u)  # (n, 1)
        return np.abs(F - steps).max(axis=0)

    def correlation(self) -> np.ndarray:
        """Of the draws, and of their sizes, whichever is larger, (N, N), with 0 on its diagonal."""
        tables = [np.abs(u.T @ u) / len(u) for u in self.units()]  # (N, N) each
        return np.max(tables, axis=0) * (1 - np.eye(self.z.shape[1]))

    @property
    def allowed_correlation(self) -> float:
        return allowed_correlation(self.errors, len(self.z))

    def dependence(self) -> tuple[float, float]:
        """The largest correlation, or how far the sums of all entries are from those of independent ones; the allowed.

        Why sums: N entries whose mean has been taken away have correlations of -1/(N - 1), too small to be seen one by
        one, and a sum of 0. The variance of a sum is N where they are independent, and over n draws it has the law of
        chi squared; over N sqrt(2) it has the standard error of a correlation, 1/sqrt(n).
        """
        N, allowed = self.z.shape[1], (chi_squared(self.errors, len(self.z)) - 1) / math.sqrt(2)
        sums = [abs(float((u.sum(axis=1) ** 2).mean()) / N - 1) / math.sqrt(2) for u in self.units()]
        pairs = (float(self.correlation().max()), self.allowed_correlation)
        return max(pairs, (max(sums), allowed), key=lambda seen: seen[0] - seen[1])

    def units(self) -> list[np.ndarray]:
        """The draws, and their sizes, with mean 0 and spread 1, (n, N) each."""
        both = (self.z - self.shift, np.abs(self.z - self.shift))  # (n, N) each
        return [(a - a.mean(axis=0)) / np.maximum(a.std(axis=0), 1e-300) for a in both]


def normal_function(u: np.ndarray) -> np.ndarray:
    """P(N(0, 1) < u), from a table whose steps are too small to matter."""
    points = np.linspace(-8, 8, 4001)
    return np.interp(u, points, [NormalDist().cdf(p) for p in points])


def along_the_curve(n: int) -> np.ndarray:
    """n noises in order, each with the same chance 1/n: the middles of n equal slices, (n,)."""
    return np.array([NormalDist().inv_cdf((i + 0.5) / n) for i in range(n)])
