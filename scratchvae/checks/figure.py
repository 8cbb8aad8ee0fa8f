"""The figure of a gradient check: error against step size, and the Taylor remainder, with a text that says the same."""

from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font

from scratchvae.checks.report import Line, Row, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RIGHT = ("#0072B2", "#009E73", "#56B4E9", "#000000")  # Okabe & Ito's colours, which colour-blind readers tell apart
WRONG = ("#D55E00", "#CC79A7", "#E69F00", "#8C564B")
DASHES = ("-", "--", ":")
GREY = "#666666"
MOST = 8  # curves; of more rows the wrong ones first
STEPS = np.logspace(0, -12, 49)
FLOOR = 1e-17  # below every rounding error: where a difference that is exactly 0 is drawn
LEGEND: Any = {"frameon": False, "fontsize": "small", "title_fontsize": "small", "loc": "outside right center"}
ROUNDING = 1e-15  # a remainder below this says nothing


class Drawing(Figure):
    """A figure that shows itself in a notebook, and says in words what is on it: alt."""

    alt = ""

    def _ipython_display_(self) -> None:
        from IPython.display import Image, display

        data = BytesIO()
        self.savefig(data, format="png", dpi=100)
        display(Image(data=data.getvalue(), format="png", alt=self.alt))


class Curve(NamedTuple):
    """What was measured of one row, along its direction u; NaN where the function has no finite value."""

    name: str
    wrong: bool
    error: np.ndarray  # |D(h) - g.u| / |g|, D(h) the central difference, for every step
    remainder: np.ndarray  # |f(x + h u) - f(x) - h g.u| / |g|

    @property
    def best(self) -> tuple[float, float]:
        """The smallest error, and its step."""
        if np.isnan(self.error).all():
            return np.nan, np.nan
        i = int(np.nanargmin(self.error))
        return float(self.error[i]), float(STEPS[i])


def draw(title: str, rows: list[Row]) -> Drawing:
    """Left: the error of the derivative; a V for a right gradient, a shelf for a wrong one.

    Right: the remainder, of slope 2 in h for a right gradient and 1 for a wrong one.
    """
    drawn = [row for row in rows if row.line is not None]
    few = sorted(drawn, key=lambda row: row.status != "wrong")[:MOST]
    curves = [measured(row.name, row.status == "wrong", row.line) for row in few if row.line is not None]
    figure = Drawing(figsize=(9.6, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for curve, style in zip(curves, styles(curves), strict=True):
        left.loglog(STEPS, curve.error, **style)
        right.loglog(STEPS[STEPS > 1e-8], curve.remainder[STEPS > 1e-8], **style)
    highest = max(np.nanmax(c.error[STEPS < 1e-2], initial=0.0) for c in curves)
    frame(left, "a right gradient makes a V, a wrong one a shelf", "error of the derivative, relative", highest)
    frame(right, "a right gradient has slope 2, a wrong one 1", "|f(x + h u) − f(x) − h g·u|, relative", highest)
    right.axhspan(FLOOR / 3, ROUNDING, color=GREY, alpha=0.12, linewidth=0)
    right.text(1.0, 1.6 * ROUNDING, "rounding", color=GREY, size="small", ha="right")
    triangle(right, 2, (2e-3, 1e-13))
    triangle(right, 1, (3e-7, 1e-2))
    heading = f"{len(few)} of {len(drawn)} drawn" if len(few) < len(drawn) else ""
    names = [f"{drawable(c.name, 24)}, wrong" if c.wrong else drawable(c.name, 24) for c in curves]
    legend = figure.legend(left.lines, [" "] * len(curves), title=heading, **LEGEND)
    for text, name in zip(legend.get_texts(), names, strict=True):  # why: matplotlib hides a label that begins with _
        text.set(text=name, parse_math=False, usetex=False)
    figure.suptitle(drawable(title, 90), parse_math=False, usetex=False)
    figure.alt = described(title, curves, len(drawn))
    return figure


def measured(name: str, wrong: bool, line: Line) -> Curve:
    """The function at every step; far away it may have no value."""

    def value(h: float) -> float:
        try:
            return float(line.value(h))
        except (ArithmeticError, ValueError):
            return np.nan

    with np.errstate(all="ignore"):
        at = value(0.0)
        ahead, behind = (np.array([value(sign * h) for h in STEPS]) for sign in (1, -1))
        error = np.abs((ahead - behind) / (2 * STEPS) - line.slope) / line.scale
        remainder = np.abs(ahead - at - STEPS * line.slope) / line.scale
    visible = (np.where(np.isfinite(a), np.maximum(a, FLOOR), np.nan) for a in (error, remainder))
    return Curve(name, wrong, *visible)


def styles(curves: list[Curve]) -> list[dict[str, Any]]:
    """Wrong ones thick and warm, right ones thin and cool; no two alike."""
    found: list[dict[str, Any]] = []
    for i, curve in enumerate(curves):
        before = sum(other.wrong == curve.wrong for other in curves[:i])
        colours = WRONG if curve.wrong else RIGHT
        dash = DASHES[before // len(colours) % len(DASHES)]
        style = {"color": colours[before % len(colours)], "linestyle": dash}
        found.append({**style, "linewidth": 2.6 if curve.wrong else 1.3, "zorder": 3 if curve.wrong else 2})
    return found


def frame(ax: "Axes", title: str, ylabel: str, highest: float) -> None:
    """What the two panels have in common."""
    top = max(1e2, 30 * highest)
    ax.set(xlabel="step h", ylabel=ylabel, ylim=(FLOOR / 3, top))
    ax.set_yticks(10.0 ** np.arange(-16, np.log10(top), 4))
    ax.set_title(title, size="medium", loc="left")
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(which="minor", length=0)


def triangle(ax: "Axes", slope: int, corner: tuple[float, float]) -> None:
    """A triangle of the given slope over one decade, drawn from its lower left corner."""
    x, y = corner
    ax.plot([x, 10 * x, 10 * x, x], [y, y, y * 10**slope, y], color=GREY, linewidth=1)
    ax.text(13 * x, y * 10 ** (slope / 2), f"slope {slope}", color=GREY, size="small", va="center")


def drawable(text: str, most: int) -> str:
    """One line of so many characters at most; what the font cannot draw is written as Python would escape it."""
    font = get_font(findfont(FontProperties()))
    known = (c if c.isprintable() and font.get_char_index(ord(c)) else ascii(c)[1:-1] for c in " ".join(text.split()))
    return shortened("".join(known), most)


def described(title: str, curves: list[Curve], n: int) -> str:
    """The figure in words, for those who cannot see it."""
    lines = [
        f"Two panels about {shortened(title, 90)}: error of the derivative against the step size, and Taylor remainder."
    ]
    for curve in curves:
        error, step = curve.best
        if np.isnan(error):
            lines.append(f"{curve.name} has no finite difference to show.")
        elif curve.wrong:
            lines.append(f"{curve.name} is wrong: its error stays on a shelf, never below {error:.0e}.")
        else:
            lines.append(f"{curve.name} falls to {max(error, 1e-16):.0e} at a step of {step:.0e}.")
    return " ".join(lines + ([f"{n - len(curves)} more are not drawn."] if n > len(curves) else []))
