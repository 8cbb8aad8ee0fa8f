"""save_png: a figure as a small PNG, with a palette in place of millions of colours."""

from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from scratchvae.run_folder import write_whole
from scratchvae.view.style import DPI

GREYS = 40  # plenty, and a third of the bytes


def save_png(figure: Figure, target: Path | BytesIO, dpi: int = DPI) -> None:
    """Write the figure with 40 greys, and with up to 216 other colours, so chosen that rare ones do not merge."""
    drawn = BytesIO()
    figure.savefig(drawn, format="png", dpi=dpi)
    with Image.open(drawn) as opened:
        image = opened.convert("RGB")
    pixels = np.asarray(image)  # (h, w, 3)
    index = np.round(pixels[..., 0] * ((GREYS - 1) / 255)).astype(np.uint8)  # (h, w)  right for the greys
    palette = np.linspace(0, 255, GREYS).astype(np.uint8).repeat(3).tolist()
    coloured = np.ptp(pixels, axis=2) > 0  # (h, w)
    if coloured.any():
        row = Image.fromarray(pixels[coloured][None]).quantize(256 - GREYS, Image.Quantize.MAXCOVERAGE)
        index[coloured] = np.asarray(row)[0] + GREYS
        palette += row.getpalette() or []
    chosen = Image.fromarray(index)
    chosen.putpalette(palette)
    if isinstance(target, BytesIO):
        chosen.save(target, format="png", optimize=True)
    else:
        write_whole(target, lambda file: chosen.save(file, format="png", optimize=True))
