"""The same arguments in other sizes: a factor that is the same there is a number in the code, and no length.

Other sizes: 7 rows, 11 outputs, 7 hidden, and 14 inputs where it may be these; the sides of images stay as they are.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from scratchvae.checks.files.examples import Made
from scratchvae.checks.files.fit import Fit
from scratchvae.checks.report import SEED, Report

OTHER: Mapping[int, int] = {5: 7, 2: 7, 4: 14, 3: 11, 6: 7}
PIXELS = 6  # along the side of an image
CLOSE = 1e-6


def in_other_sizes(made: Made | None, numbers: set[float]) -> Made | None:
    """All arrays and sizes that were made up, with other numbers for rows and outputs, and for inputs if need be.

    numbers are the factors in question: 5 and 12 change with the rows and the outputs, of 5 x 4 and 4 x 3.
    """
    if made is None or made.layout is None:
        return None
    data = made.layout.data
    kept = {PIXELS, 3} if PIXELS in data[1:] else set() if 2 in data else {2}  # why: elsewhere 2 are groups or sides
    if not any(number % 3 and number % 5 for number in numbers):  # why: inputs cost the most, and 4 are theirs alone
        kept |= {4}
    size = {n: other for n, other in OTHER.items() if n not in kept}
    rng = np.random.default_rng(SEED)
    init = {name: resized(value, size, rng) for name, value in made.init.items()}
    call = {name: resized(value, size, rng) for name, value in made.call.items()}
    return Made(made.layout._replace(data=tuple(size.get(n, n) for n in data)), init, call)


def resized(value: Any, size: Mapping[int, int], rng: np.random.Generator) -> Any:
    """A size as another size, an array with other sides: its own numbers again, a little apart from each other."""
    if type(value) is int:
        return size.get(value, value)
    if isinstance(value, tuple):
        return tuple(resized(part, size, rng) for part in value)
    if not isinstance(value, np.ndarray):
        return value
    marks = value.dtype.kind != "f" or bool(np.isin(value, (0, 1)).all())
    for axis, n in enumerate(value.shape):
        more = size.get(n, n)
        if marks and value.ndim > 1 and (value.sum(axis=axis) == 1).all():  # why: one of more classes is still one
            value = np.concatenate([value, np.zeros_like(np.repeat(value.take([0], axis), more - n, axis))], axis)
        else:
            value = value.take(np.arange(more) % n, axis)
    return value if marks else value * rng.uniform(0.9, 1.1, value.shape)


def lengths_in_question(report: Report, fit: Fit) -> set[float]:
    """The factors in a report that are as large as a length in it, or twice or half as large."""
    found = [magnitude(finding.factor) for finding in report.findings if finding.factor is not None]
    there = set(lengths([*fit.inputs.values(), *fit.constants.values(), fit.y]))
    half = {n for n in found if n > 2 and {2 * n, n / 2} & there}
    return {n for n in found if n > 1 and n in there} | half


def lengths(values: Iterable[Any]) -> Iterator[int]:
    """Of all sides, and of how many numbers there are, in all, in a row, and in a channel of it."""
    for a in (a for a in values if isinstance(a, np.ndarray)):
        yield from a.shape
        yield from (int(np.prod(a.shape[axis:])) for axis in range(a.ndim))


def magnitude(factor: float) -> float:
    """2 of 2, -2 and 1/2."""
    return round(max(abs(factor), 1 / max(abs(factor), 1e-300)), 6)


def with_plain_numbers(report: Report, other: Report) -> Report:
    """The report; what is said of a factor is what is said of the same factor in other sizes, if there is the same."""
    for i, finding in enumerate(report.findings):
        for there in other.findings:
            if finding.inputs == there.inputs and is_a_number_of_the_code(finding.factor, there.factor):
                report.findings[i] = finding._replace(message=there.message, repair=there.repair)
    return report


def is_a_number_of_the_code(here: float | None, there: float | None) -> bool:
    """Is it the same in both sizes, and the length of nothing in the other ones?"""
    if here is None or there is None or abs(here - there) > CLOSE * abs(here):
        return False
    number = magnitude(here)
    return all(number % n for n in set(OTHER.values()))
