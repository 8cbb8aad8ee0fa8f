"""save_png: a figure as a small PNG, with a palette in place of millions of colours."""

from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from scratchvae.run_folder import write_whole

GREYS = 40  # plenty, and a third of the bytes


def save_png(figure: Figure, target: Path | BytesIO, dpi: int = 120) -> None:
    """Write the figure with 40 greys, or with 256 colours so chosen that rare ones do not merge."""
    drawn = BytesIO()
    figure.savefig(drawn, format="png", dpi=dpi)
    image = Image.open(drawn).convert("RGB")
    grey = not np.ptp(np.asarray(image), axis=2).any()
    image = image.quantize(GREYS) if grey else image.quantize(256, Image.Quantize.MAXCOVERAGE)
    if isinstance(target, BytesIO):
        image.save(target, format="png", optimize=True)
    else:
        write_whole(target, lambda file: image.save(file, format="png", optimize=True))
