"""Pairs of runs: what one kind gains over the other, and how sure that is.

Sizes: n pairs.
"""

import numpy as np

from scratchvae.exercises.blank import Slip, value

n = 8


def gain(with_it, without):
    """The mean of with - without, and its standard error, with n - 1: (n,), (n,) -> two numbers."""
    difference = with_it - without
    return difference.mean(), difference.std(ddof=1) / np.sqrt(len(difference))


def runs(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """What two runs of a pair share is larger than what they differ by."""
    shared = rng.normal(-120, 3, n)
    return shared + rng.normal(2, 1, n), shared + 0.5 * rng.standard_normal(n)


def gain_by_sums(with_it: np.ndarray, without: np.ndarray) -> dict[str, float]:
    """From all differences of two differences: their mean square is twice the variance."""
    less = [a - b for a, b in zip(with_it.tolist(), without.tolist(), strict=True)]
    squares = [(a - b) ** 2 for i, a in enumerate(less) for b in less[:i]]
    return {"mean": sum(less) / n, "standard error": float(np.sqrt(sum(squares) / len(squares) / 2 / n))}


def of_the_error(change):
    """A wrong standard error beside the right mean."""
    return lambda a, b: ((a - b).mean(), change(a, b))


GAIN = value(
    gain,
    gain_by_sums,
    runs,
    (
        "The two runs of a pair share their start. If you subtract pair by pair, what drops out? What is the standard "
        "error of a mean of n numbers?",
        "d = with - without; the mean of d, and the root of sum (d - mean)^2 / (n - 1), divided by the root of n",
        "d = with_it - without; return d.mean(), d.std(ddof=1) / np.sqrt(...)",
    ),
    (
        Slip(
            lambda a, b: ((b - a).mean(), (b - a).std(ddof=1) / np.sqrt(len(a))),
            "sign",
            "this is without less with: a gain is the other way round",
        ),
        Slip(
            of_the_error(lambda a, b: np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / len(a))),
            "elementwise-factor",
            "this error is that of unpaired runs: what the two of a pair share is still in it",
        ),
        Slip(
            of_the_error(lambda a, b: np.sqrt((a.var() + b.var()) / len(a))),
            "elementwise-factor",
            "this error is that of unpaired runs, and over n at that: take the spread of the differences",
        ),
        Slip(
            of_the_error(lambda a, b: (a - b).std() / np.sqrt(len(a))),
            "factor",
            "the spread of a few differences around their own mean comes out too small: divide by n - 1, ddof=1",
        ),
        Slip(
            of_the_error(lambda a, b: (a - b).std(ddof=1) / np.sqrt(len(a) - 1)),
            "factor",
            "n - 1 is there twice: it belongs in the spread, and the root is that of n",
        ),
        Slip(
            of_the_error(lambda a, b: (a - b).std(ddof=1)),
            "factor",
            "the second is the spread of the differences: their mean scatters less, by the root of n",
        ),
        Slip(
            of_the_error(lambda a, b: (a - b).std(ddof=1) / len(a)),
            "factor",
            "divided by n: the standard error has its root",
        ),
        Slip(
            of_the_error(lambda a, b: (a - b).var(ddof=1) / len(a)),
            "elementwise-factor",
            "this is the square of the standard error",
        ),
        Slip(
            of_the_error(lambda a, b: (a.std(ddof=1) - b.std(ddof=1)) / np.sqrt(len(a))),
            "elementwise-factor",
            "this is the difference of two spreads: take the spread of the differences",
        ),
        Slip(
            of_the_error(lambda a, b: np.abs(a - b).mean() / np.sqrt(len(a))),
            "elementwise-factor",
            "the differences' mean size is no spread: they scatter around their mean",
        ),
        Slip(
            lambda a, b: ((a - b).std(ddof=1) / np.sqrt(len(a)), (a - b).mean()),
            "elementwise-factor",
            "the two are in the other order: the mean, then its standard error",
        ),
        Slip(
            lambda a, b: ((a - b).sum(), (a - b).std(ddof=1) / np.sqrt(len(a))),
            "factor",
            "the first is the sum of the differences: their mean is wanted",
        ),
        Slip(
            lambda a, b: (np.median(a - b), (a - b).std(ddof=1) / np.sqrt(len(a))),
            "elementwise-factor",
            "the first is the median: the mean is asked for",
        ),
    ),
)
