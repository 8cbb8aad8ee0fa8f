"""What all pictures have in common: their colours, their size, and words that no name can break.

Colours are those of Okabe & Ito, which colour-blind readers can tell apart, with a darker yellow, greys and a brown of
our own; colour is never the only cue.
"""

from unicodedata import category, normalize

import numpy as np
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.ft2font import FT2Font

BLUE, VERMILLION, GREY, PALE = "#0072B2", "#D55E00", "#666666", "#C8C8C8"
PALETTE = ("#000000", "#E69F00", "#56B4E9", "#009E73", "#D8C400", BLUE, VERMILLION, "#CC79A7", "#999999", "#7A3B00")
WIDTH = 8.0  # inches
DPI = 120  # of the files: 960 pixels wide
EM = 10 / 72  # inches: how wide one em of ordinary text is


def readable(text: object, ems: float) -> str:
    """text on one line of at most `ems`, in characters that the font has, and with no mathematics in it.

    Everything that a user has named goes through here before it stands in a picture: a data set, a label, a title. What
    the font cannot draw is written as Python would escape it (a Chinese character as \\u4e2d, a bell as \\x07), and a
    line that is too wide loses its middle. Dollars are escaped, so that matplotlib draws them instead of reading them.

    Units     ems: the size of the font; a letter takes a little more than half of one.
    """
    font = get_font(findfont(FontProperties()))
    font.set_size(100, 72)  # an em is 100 pixels
    rounding = 0.045  # ems: a file of 100 dots an inch rounds each character to whole pixels
    line = normalize("NFC", " ".join(str(text).split()))
    pieces = [c if drawable(c, font) else c.encode("unicode_escape").decode() for c in line]
    advances = {c: font.load_char(ord(c)).linearHoriAdvance / 65536 / 100 + rounding for piece in pieces for c in piece}
    widths = np.array([sum(advances[c] for c in piece) for piece in pieces])
    if widths.sum() > ems:
        half = (ems - 1) / 2  # the dots take one
        head, tail = (int(np.searchsorted(np.cumsum(w), half, side="right")) for w in (widths, widths[::-1]))
        pieces = [*pieces[:head], "…", *pieces[len(pieces) - tail :]]
    return "".join(pieces).replace("$", r"\$")


def drawable(character: str, font: FT2Font) -> bool:
    """Whether the font draws it as one thing on one line: marks, which may be piled up without end, are not."""
    printable = character.isprintable() and not category(character).startswith("M")
    return printable and font.get_char_index(ord(character)) != 0


def signed(number: float, digits: int = 2) -> str:
    """A number in a few digits, with a minus that is as wide as a plus."""
    return f"{number:.{digits}g}".replace("-", "−")


def square_around(points: np.ndarray) -> np.ndarray:
    """The limits of a square with room for points (n, 2): its lower left and its upper right corner, (2, 2)."""
    low, high = points.min(axis=0), points.max(axis=0)  # (2,), (2,)
    half = 0.53 * float((high - low).max()) or 1.0
    return (low + high) / 2 + half * np.array([[-1.0], [1.0]])
