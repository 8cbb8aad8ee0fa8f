"""The moments of a Gaussian that is cut off, to nearly all digits however far out the cuts are, or however close.

A Gaussian between two points is measured from the highest point that it has there. With u >= 0 the distance from it in
standard deviations, the Gaussian falls like exp(-s u - u^2 / 2). Its steepness s >= 0 is zero at the mode; it is 50 if
the mode lies 50 standard deviations beyond the cut.
"""

import math

import numpy as np

LEVELS = 100  # of the continued fraction: enough from s = 2 on
TERMS = 60  # of the power series: enough up to s t + t^2 / 2 = 2
FARTHEST = 40.0  # standard deviations; exp(-40^2 / 2) is zero in float64

erfc = np.vectorize(math.erfc, otypes=[float])


def half_line_moments(s: np.ndarray) -> np.ndarray:
    """M_n(s) = integral over u > 0 of u^n exp(-s u - u^2 / 2), for n = 0, 1, 2.

    M_0 is a scaled erfc, sqrt(pi / 2) exp(s^2 / 2) erfc(s / sqrt(2)), and below s = 2 it is computed so. Above, erfc
    falls to zero and the recurrence cancels; there each ratio of moments comes from the next one, and no term is
    negative. The relative errors of M are below 2e-15, 1e-14 and 5e-14.

    Shapes    s any, s >= 0; (3, *s.shape).
    Source    [eq: scaled-erfc], [eq: half-line-recurrence], [eq: laplace-fraction].
    """
    low, high = np.minimum(s, 2.0), np.maximum(s, 2.0)
    zeroth = math.sqrt(math.pi / 2) * np.exp(0.5 * low * low) * erfc(low / math.sqrt(2))
    first = 1 - low * zeroth
    by_erfc = zeroth, first, zeroth - low * first

    ratio = 0.5 * (np.sqrt(high * high + 4 * LEVELS) - high)  # M_n / M_(n-1) for n = LEVELS, roughly
    for n in range(LEVELS - 1, 1, -1):
        ratio = n / (high + ratio)  # M_n / M_(n-1)
    first_ratio = 1 / (high + ratio)
    zeroth = 1 / (high + first_ratio)
    first = first_ratio * zeroth
    by_fraction = zeroth, first, ratio * first
    return np.where(s < 2, by_erfc, by_fraction)


def truncated_moments(s: np.ndarray, t: np.ndarray) -> np.ndarray:
    """M_n(s, t) = integral over 0 < u < t of u^n exp(-s u - u^2 / 2), for n = 0, 1, 2; t may be infinite.

    What lies beyond t is a half-line again, lower and steeper, and is taken off. Where the integrand falls by less than
    a factor of exp(2), too few digits would be left: there its power series is integrated instead. The relative errors
    of M are below 2e-15, 1e-14 and 5e-14.

    Shapes    s, t of one shape, s >= 0, t >= 0; (3, *s.shape).
    Source    [eq: truncated-moments], [eq: truncated-series].
    """
    t = np.minimum(t, FARTHEST)
    fall = t * (s + 0.5 * t)
    whole, beyond, rest = half_line_moments(s), half_line_moments(s + t), np.exp(-fall)
    by_difference = (
        whole[0] - rest * beyond[0],
        whole[1] - rest * (t * beyond[0] + beyond[1]),
        whole[2] - rest * (t * t * beyond[0] + 2 * t * beyond[1] + beyond[2]),
    )
    return np.where(fall < 2, series_moments(s, np.where(fall < 2, t, 0)), by_difference)


def series_moments(s: np.ndarray, t: np.ndarray) -> np.ndarray:
    """M_n(s, t) for s t + t^2 / 2 <= 2, term by term: exp(-s u - u^2 / 2) = sum_j f_j u^j.

    Source    [eq: truncated-series].
    """
    moments = np.zeros((3, *t.shape))
    term, last = np.ones_like(t), np.zeros_like(t)  # f_j t^j, f_(j-1) t^(j-1)
    for j in range(TERMS):
        moments += [term * t / (j + 1), term * t**2 / (j + 2), term * t**3 / (j + 3)]
        term, last = -(s * t * term + t * t * last) / (j + 1), term
    return moments
