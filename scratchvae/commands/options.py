"""Types for options of the command line: text in, a checked value out, or one line about what was expected."""

import argparse
from collections.abc import Callable
from typing import Any

from scratchvae.arguments import require_count, require_positive


def checked(parse: Callable[[str], Any], expected: str) -> Callable[[str], Any]:
    """An argparse type that says what it expected when parse raises a ValueError."""

    def convert(text: str) -> Any:
        try:
            return parse(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}") from None

    return convert


def parse_widths(text: str) -> list[int]:
    """ "400,200" to [400, 200]."""
    return [require_count(int(width), "width") for width in text.split(",")]


count = checked(lambda text: require_count(int(text), "count"), "a whole number of at least 1")
whole = checked(
    lambda text: 0 if int(text) == 0 else require_count(int(text), "number"), "a whole number of at least 0"
)
positive = checked(lambda text: require_positive(float(text), "number"), "a positive finite number")
not_negative = checked(
    lambda text: require_positive(float(text), "number", or_zero=True), "zero or a positive finite number"
)
widths = checked(parse_widths, "widths of at least 1 with commas between them, as in 400,200")
