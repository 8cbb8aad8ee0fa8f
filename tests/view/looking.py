"""What a reader sees: the images that a page of tiles holds, and whether a picture is cut at its edges."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg

from scratchvae.view.style import DPI
from scratchvae.view.tiles import FRAME


def tiles(ax, R, C, h, w, gap=FRAME):
    """The images (R, C, h, w) in axes that Page.show has filled; those that it repeats its pixels for, once."""
    sheet = np.ma.filled(ax.images[0].get_array(), np.nan)
    high, wide = sheet.shape[0] - 2 * FRAME + gap, sheet.shape[1] - 2 * FRAME + gap
    sheet = sheet[FRAME : FRAME + high, FRAME : FRAME + wide]
    sheet = np.pad(sheet, [(0, size - n) for size, n in zip((high, wide), sheet.shape, strict=True)])
    tile = sheet.reshape(R, high // R, C, wide // C)[:, : high // R - gap, :, : wide // C - gap]
    return tile[:, :: tile.shape[1] // h, :, :: tile.shape[3] // w].transpose(0, 2, 1, 3)


def pixels(figure):
    """What goes into a file, (height, width, 3)."""
    figure.set_dpi(DPI)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def assert_nothing_is_cut(figure):
    """What runs off the page leaves ink on its outermost pixels; no page is wider than meant; no captions meet."""
    image = pixels(figure)
    for name, edge in (("top", image[0]), ("bottom", image[-1]), ("left", image[:, 0]), ("right", image[:, -1])):
        assert (edge == 255).all(), f"ink on the {name} edge"
    assert image.shape[1] <= 960
    captions = [text.get_window_extent() for text in figure.texts if text.get_text()]
    boxes = captions + [ax.get_tightbbox() for ax in figure.axes]
    for i, caption in enumerate(captions):
        assert not any(caption.overlaps(box) for box in boxes[i + 1 :])
    return image
