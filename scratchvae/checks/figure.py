"""The figure of a gradient check: error against step size, and the Taylor remainder."""

from typing import TYPE_CHECKING, Any

import numpy as np

from scratchvae.checks.report import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#8C564B")
GREY = "#808080"


def draw(title: str, rows: list[Row]) -> "Figure":
    """Left: |D(h) - g.u| / |g|, D(h) the central difference; a V for a right gradient, a shelf for a wrong one.

    Right: |f(x + h u) - f(x) - h g.u|, of slope 2 in h for a right gradient and 1 for a wrong one.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.4, 4.2), layout="constrained")
    figure.suptitle(title)
    left, right = figure.subplots(1, 2)
    h = np.logspace(0, -12, 49)
    for i, row in enumerate(row for row in rows if row.line is not None):
        line = row.line
        assert line is not None
        at = line.value(0.0)
        ahead, behind = (np.array([line.value(s * step) for step in h]) for s in (1, -1))
        error = np.abs((ahead - behind) / (2 * h) - line.slope) / line.scale
        remainder = np.abs(ahead - at - h * line.slope) / line.scale
        wrong = row.status == "wrong"
        style: dict[str, Any] = {
            "color": COLOURS[i % len(COLOURS)],
            "label": f"{row.name}, wrong" if wrong else row.name,
        }
        style |= {"linewidth": 2.4 if wrong else 1.4, "linestyle": "-" if i < len(COLOURS) else "--"}
        left.loglog(h, positive(error), **style)
        right.loglog(h[h > 1e-8], positive(remainder)[h > 1e-8], **style)
    left.set(title="central difference", xlabel="step h", ylabel="relative error of the derivative", ylim=(1e-14, 1e2))
    right.set(
        title="Taylor remainder", xlabel="step h", ylabel="|f(x + h u) - f(x) - h g·u|, relative", ylim=(1e-16, 1e2)
    )
    triangle(right, 2, (1e-4, 1e-14), "slope 2:\nright gradient")
    triangle(right, 1, (5e-8, 1e-3), "slope 1:\nwrong gradient")
    for ax in (left, right):
        ax.spines[["top", "right"]].set_visible(False)
        ax.tick_params(which="minor", length=0)
    figure.legend(*left.get_legend_handles_labels(), frameon=False, fontsize="small", loc="outside right center")
    return figure


def positive(values: np.ndarray) -> np.ndarray:
    """NaN where a logarithm has nothing to show."""
    return np.where(values > 0, values, np.nan)


def triangle(ax: "Axes", slope: int, corner: tuple[float, float], text: str) -> None:
    """A triangle of the given slope over one decade, drawn from its lower left corner."""
    x, y = corner
    xs, ys = [x, 10 * x, 10 * x, x], [y, y, y * 10**slope, y]
    ax.plot(xs, ys, color=GREY, linewidth=1)
    ax.text(14 * x, y * 10 ** (slope / 2), text, color=GREY, size="small", va="center")
