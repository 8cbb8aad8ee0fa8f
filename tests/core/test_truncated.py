"""The moments of a cut-off Gaussian against power series in a hundred decimals and more, and against erfc itself."""

import math
from decimal import Decimal, localcontext

import numpy as np
import pytest

from scratchvae.exact.truncated import half_line_moments, truncated_moments

ERRORS = np.array([2e-15, 1e-14, 5e-14])  # as the docstrings say


def by_series(s, t):
    """M_n(s, t), n = 0, 1, 2, from the power series of exp(-s u - u^2 / 2), with digits to spare."""
    s, t = Decimal(float(s)), Decimal(float(t))
    fall = int(t * (s + t / 2)) + 1
    with localcontext() as context:
        context.prec = 40 + fall  # why: terms as large as exp(fall) leave a result of exp(-fall)
        moments, f, last = [Decimal(0)] * 3, Decimal(1), Decimal(0)
        for j in range(100 + 10 * fall):
            moments = [m + f * t ** (j + n + 1) / (j + n + 1) for n, m in enumerate(moments)]
            f, last = -(s * f + last) / (j + 1), f
        return np.array([float(m) for m in moments])


def length_with_fall(s, fall):
    """t with s t + t^2 / 2 = fall."""
    return 2 * fall / (s + math.sqrt(s * s + 2 * fall))


def assert_moments(moments, expected):
    assert (np.abs(moments - expected) <= ERRORS * expected).all(), (moments, expected)


def steepnesses(rng, n):
    """Zero, around the seam at 2, and everything else up to 1e9."""
    return np.concatenate([[0.0], rng.uniform(1.5, 2.5, n), rng.uniform(0, 10, n), 10 ** rng.uniform(-9, 9, n)])


def test_a_piece_of_any_length_at_any_steepness(rng):
    """Both seams, s = 2 and a fall of 2, are in the middle of what is drawn."""
    for s in steepnesses(rng, 40):
        for fall in (10 ** rng.uniform(-15, 0), rng.uniform(1.5, 2.5), rng.uniform(0, 40)):
            t = length_with_fall(s, fall)
            assert_moments(truncated_moments(np.array(s), np.array(t)), by_series(s, t))


def test_half_a_line_is_a_piece_on_which_the_integrand_falls_to_nothing(rng):
    for s in steepnesses(rng, 12):
        expected = by_series(s, length_with_fall(s, 90.0))  # exp(-90) of it is cut off
        assert_moments(half_line_moments(np.array(s)), expected)
        assert_moments(truncated_moments(np.array(s), np.array(math.inf)), expected)


def test_the_scaled_erfc_is_erfc_scaled():
    """As far as neither factor leaves the range of float64: erfc(26.5) is 1e-307, exp(37^2 / 2) is 1e297."""
    s = np.linspace(0, 37, 371)
    erfc = np.array([math.erfc(v / math.sqrt(2)) for v in s])
    direct = math.sqrt(math.pi / 2) * np.exp(s * s / 2) * erfc
    rounding = 2e-15 + s * s * np.finfo(float).eps  # of s * s / 2 in the exponent, and of s / sqrt(2)
    assert (np.abs(half_line_moments(s)[0] / direct - 1) < rounding).all()


@pytest.mark.parametrize("s", [50.0, 500.0, 1e5, 1e9, 1e30])
def test_far_out_the_asymptotic_series_holds(s):
    """Watson: expand exp(-u^2 / 2), integrate each u^(2 j + n) exp(-s u). The terms shrink for a long while."""
    j = np.arange(9)  # of the terms, (2 j + n)! / (j! (-2 s^2)^j)
    factorials = np.array([math.factorial(k) for k in range(19)], float)
    series = [(factorials[2 * j + n] / factorials[j] * (-0.5 / s / s) ** j).sum() / s ** (n + 1) for n in range(3)]
    assert_moments(half_line_moments(np.array(s)), np.array(series))


def test_a_piece_without_length_has_no_moments():
    s = np.array([0.0, 1.0, 1e12])
    np.testing.assert_array_equal(truncated_moments(s, np.zeros(3)), 0)


def test_arrays_are_computed_entry_by_entry(rng):
    s, t = rng.uniform(0, 5, (2, 3, 4)), rng.uniform(0, 3, (2, 3, 4))
    t[0, 0, 0] = math.inf
    together = truncated_moments(s, t)
    assert together.shape == (3, 2, 3, 4)
    for index in np.ndindex(s.shape):
        np.testing.assert_array_equal(together[(slice(None), *index)], truncated_moments(s[index], t[index]))
