"""What chance may do to random draws: how far off those of a right sampler are, all tests together once in a million.

A right sampler draws from a normal distribution, so that the laws of what is counted are known for few draws as well.

Sizes: n draws, N entries.
"""

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

FALSE_ALARM = 1e-6  # the chance that random draws of a right sampler are called wrong; most draws are no random ones
TAILS = (2.0, 2.5, 3.0, 3.5)  # sigmas; a distribution function shows little of what lies beyond


def tests_of(N: int) -> int:
    """Mean, spread and distribution of N entries, their pairs twice, two sums, and the tails of each and of all."""
    return 3 * N + N * (N - 1) + 2 + len(TAILS) * (N + 1)


def allowed_errors(N: int) -> float:
    """Standard errors of one of the means, spreads, correlations and sums, the last two of two kinds, of N entries."""
    return -NormalDist().inv_cdf(FALSE_ALARM / tests_of(N) / 2)


def allowed_gap(N: int, n: int) -> float:
    """Between two distribution functions, after Dvoretzky, Kiefer, Wolfowitz and Massart."""
    return math.sqrt(math.log(2 * tests_of(N) / FALSE_ALARM) / (2 * n))


def student(errors: float, nu: int) -> float:
    """What Student's t of nu degrees of freedom exceeds as rarely as a normal number exceeds errors, after Wallace."""
    return math.sqrt(nu * math.expm1((errors * (8 * nu + 3) / (8 * nu + 1)) ** 2 / nu))


def chi_squared(errors: float, nu: int) -> float:
    """The same of chi squared over nu, below 1 for errors below 0, after Wilson and Hilferty."""
    return max(1 - 2 / (9 * nu) + errors * math.sqrt(2 / (9 * nu)), 0.0) ** 3


def allowed_correlation(errors: float, n: int) -> float:
    """Of a pair of entries."""
    t = student(errors, max(n - 2, 1))
    return t / math.hypot(t, math.sqrt(max(n - 2, 1)))


class Tail(NamedTuple):
    """The share of the draws that lies farther than beyond from the mean, in units of sigma, and what belongs there."""

    beyond: float
    share: float
    wanted: float


def wrong_tail(u: np.ndarray) -> Tail | None:
    """The tail of u (n, N), normal numbers if all is right, that is farthest from that; of one entry, or of all.

    Why: the chance of a share like this is exp(-n KL) at most, KL being that of the two shares, after Chernoff.
    """
    allowed = math.log(2 * tests_of(u.shape[1]) / FALSE_ALARM)
    found: list[tuple[float, Tail]] = []
    for beyond in TAILS:
        wanted, out = 2 * NormalDist().cdf(-beyond), np.abs(u) > beyond  # (n, N)
        for share, count in [(float(out.mean()), u.size), *((float(s), len(u)) for s in out.mean(axis=0))]:
            pairs = ((share, wanted), (1 - share, 1 - wanted))
            surprise = count * sum(p * math.log(p / q) for p, q in pairs if p > 0)
            found.append((surprise - allowed, Tail(beyond, share, wanted)))
    excess, tail = max(found)
    return tail if excess > 0 else None
