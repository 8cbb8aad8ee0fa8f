"""For notebooks: `panels` to draw in, and `show`, which displays a figure with a text for those who cannot see it."""

from io import BytesIO
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from scratchvae.view.png import save_png

WIDTH = 7.2  # inches: the width of a page
DPI = 100


def panels(n: int = 1, height: float = 3.0, width: float = WIDTH, **settings: Any) -> tuple[Figure, Any]:
    """A figure with n axes side by side and no needless frame: fig, ax for n = 1, fig, axes for more.

    settings go to every axes: xlabel, ylabel, title, xlim, ylim, ...
    """
    figure, axes = plt.subplots(1, n, figsize=(width, height), layout="constrained")
    for ax in figure.axes:
        ax.spines[["top", "right"]].set_visible(False)
        ax.set(**settings)
    return figure, axes


def show(figure: Figure, alt: str) -> None:
    """Display the figure below the cell, described by alt; outside a notebook, print alt."""
    data = BytesIO()
    save_png(figure, data, dpi=DPI)
    plt.close(figure)  # why: the notebook would display an open figure once more, without its text
    try:
        from IPython import get_ipython
        from IPython.display import Image as Picture
        from IPython.display import display
    except ImportError:
        get_ipython = None
    if get_ipython is None or get_ipython() is None:
        print(f"[figure] {alt}")
    else:
        display(Picture(data=data.getvalue(), format="png", alt=alt))
