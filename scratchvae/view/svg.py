"""save_svg: a figure as an SVG that is the same file whenever it is made, and looks the same everywhere."""

from io import BytesIO
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure

from scratchvae.run_folder import write_whole


def save_svg(figure: Figure, target: Path, alt: str) -> None:
    """Write the figure without date and random names, its letters as outlines, and alt for those who cannot see it."""
    drawn = BytesIO()
    with rc_context({"svg.hashsalt": "scratchvae", "svg.fonttype": "path"}):
        figure.savefig(drawn, format="svg", metadata={"Date": None, "Creator": None, "Description": alt})
    write_whole(target, lambda file: file.write(drawn.getvalue()))
