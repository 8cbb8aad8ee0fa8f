"""Images side by side on a page: what they are made of, which grey is which value, and how large a pixel is.

A page is measured out by hand, in inches: no image, however thin or large, makes it higher than it was meant to be or
takes more pixels than paper can show, and its last lines say what was done to the image for that.

Sizes: B batch, D data, Z latent; R rows and C columns of a sheet; images are (h, w) with h w = D.
"""

from collections.abc import Sequence
from math import ceil, isfinite
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from scratchvae.backend import Array, to_numpy
from scratchvae.batches import to_unit_floats
from scratchvae.model import Model
from scratchvae.view.style import DPI, GREY, WIDTH, signed

TINT = "#A9C4D9"  # around tiles: neither black nor white nor a grey, so that no image melts into it
FRAME = 2  # pixels of the file
EDGE, LINE = 0.15, 0.16  # inches: beside a sheet; a line of the caption
THIN, STOUT = 8, 3  # an image more than 8 times as high as wide, or as wide as high, gets a tile of 3 times
SMALL, LARGE = 0.15, 2.5  # inches: a side of a tile
GRAIN = "given z, a draw sets each pixel on its own: the grain is the noise of p(x|z)"  # for a picture of draws
PIXELS = 4_000_000  # that one picture asks for: about four times what it can show


# -- what is drawn -----------------------------------------------------------------------------------------------------


def as_rows(model: Model, x: np.ndarray) -> Array:
    """The rows of x (B, D), uint8, bits or floats, as the model takes them: floats of its dtype, on its backend."""
    return to_unit_floats(x, model.dtype, model.xp)  # (B, D)


def decoder_means(model: Model, z: Array) -> np.ndarray:
    """E[x|z] on the host.

    Shapes    z (B, Z) -> (B, D).
    """
    logits, _ = model.decode(z)  # parameters, D of them or more
    return to_numpy(model.likelihood.mean(logits))


def fewer(n: int, D: int) -> int:
    """n, or as many things of D pixels, at least two, as one picture should ask for."""
    return min(n, max(2, PIXELS // D))


# -- which grey is which value -----------------------------------------------------------------------------------------


class Greys(NamedTuple):
    """The pixel values that are drawn black and white, and the line that says so."""

    black: float
    white: float
    caption: str


def grey_scale(model: Model, x: np.ndarray, what: str = "held-out images of this run") -> Greys:
    """The grey scale for every picture of a run whose held-out images are x.

    A likelihood whose pixels lie between two values has those for black and white. Otherwise they are the ends of the
    range in which 99 % of the pixels of x lie, and pixels beyond it are clipped.

    Shapes    x (N, D), uint8, bits or floats.
    """
    black, white = model.likelihood.support
    clipped = ""
    if not (isfinite(black) and isfinite(white)):
        pixels = to_unit_floats(x[: fewer(len(x), x.shape[1])], "float64", np)  # (n, D)
        black, white = (float(q) for q in np.quantile(pixels, (0.005, 0.995)))
        if black == white:  # why: images with few lit pixels
            black, white = float(pixels.min()), float(pixels.max())
        if black == white:
            black, white = black - 0.5, white + 0.5
        clipped = f"\n99 % of the pixels of {len(pixels):,} {what} lie between; what is beyond is drawn black or white"
    return Greys(black, white, f"grey: {signed(black)} is black, {signed(white)} is white{clipped}")


# -- a page of sheets --------------------------------------------------------------------------------------------------


class Page(NamedTuple):
    """A figure with axes for sheets of tiles, beside each other; in its axes every tile is 1 x 1."""

    figure: Figure
    axes: list[Axes]
    greys: Greys
    tile: tuple[int, int]  # pixels of the file: height, width
    gap: int  # pixels of the file, between tiles

    def show(self, i: int, images: np.ndarray) -> None:
        """Images (R, C, h, w) in the i-th axes, the first row uppermost; a tile of NaN stays empty."""
        tiles = resized(resized(images, self.tile[0] - self.gap, axis=2), self.tile[1] - self.gap, axis=3)
        R, C, h, w = tiles.shape
        high, wide = h + self.gap, w + self.gap
        sheet = np.full((R, high, C, wide), np.nan)
        sheet[:, :h, :, :w] = tiles.transpose(0, 2, 1, 3)
        edge = (FRAME, FRAME - self.gap)  # pixels before the first tile, and after the last one and its gap
        sheet = np.pad(sheet.reshape(R * high, C * wide), (edge, edge), constant_values=np.nan)
        above, below, left, right = edge[0] / high, edge[1] / high, edge[0] / wide, edge[1] / wide
        frames = [
            Rectangle((c - left, R - 1 - r - below), 1 + left + right, 1 + above + below)
            for r, c in np.argwhere(~np.isnan(images).all(axis=(2, 3)))
        ]
        ax, (black, white, _) = self.axes[i], self.greys
        ax.add_collection(PatchCollection(frames, facecolor=TINT, edgecolor="none", antialiased=False, zorder=-1))
        extent = (-left, C + right, -below, R + above)
        ax.imshow(sheet, cmap="gray", vmin=black, vmax=white, extent=extent, aspect="auto")
        ax.set(xticks=[], yticks=[])
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)


def page(
    image_shape: tuple[int, int],
    grids: Sequence[tuple[int, int]],
    greys: Greys,
    notes: Sequence[str] = (),
    *,
    left: float = EDGE,
    head: float = 0.4,
    foot: float = 0.1,
    most: float = 10.0,
    gap: int = FRAME,
) -> Page:
    """A page for sheets of (R, C) tiles beside each other, with a caption below: the notes, the greys, the pixels.

    Units     inches: what is left free beside, above and below the sheets; `most` is the height of all tiles together.
    """
    R, C = max(R for R, _ in grids), sum(C for _, C in grids)
    room = WIDTH - left - EDGE * len(grids)  # for the tiles, with a space after each sheet
    ratio = image_shape[0] / image_shape[1]
    if max(ratio, 1 / ratio) > THIN:
        ratio = STOUT if ratio > 1 else 1 / STOUT
    wide = max(min(room / C, most / R / ratio, LARGE, LARGE / ratio), SMALL)
    high = min(max(wide * ratio, SMALL), most / R)
    tile = round(high * DPI), round(wide * DPI)
    lines = [*notes, *greys.caption.split("\n"), *pixels_in_words(image_shape, tile, gap)]
    below = foot + LINE * len(lines) + 0.1
    height = head + R * high + below
    figure = Figure(figsize=(WIDTH, height))
    axes, x = [], left
    for rows, columns in grids:
        slot = room * columns / C  # a sheet that is narrower stands in the middle of it
        corner = x + (slot - columns * wide) / 2, height - head - rows * high
        axes.append(
            figure.add_axes((corner[0] / WIDTH, corner[1] / height, columns * wide / WIDTH, rows * high / height))
        )
        x += slot + EDGE
    figure.text(0.5, 0.08 / height, "\n".join(lines), ha="center", va="bottom", size="small", color=GREY)
    return Page(figure, axes, greys, tile, gap)


def pixels_in_words(image_shape: tuple[int, int], tile: tuple[int, int], gap: int) -> list[str]:
    """What drawing an image in a tile does to it: no line, or one that says that pixels are averaged, or not square."""
    (h, w), (high, wide) = image_shape, tile
    blocks, stretch = (block(h, high - gap), block(w, wide - gap)), (wide / w) / (high / h)
    said = [] if blocks == (1, 1) else [f"averages over blocks of {blocks[0]} x {blocks[1]} pixels are shown"]
    if not 0.9 < stretch < 1.1:
        longer, other = ("wide", "high") if stretch > 1 else ("high", "wide")
        times = max(stretch, 1 / stretch)
        said.append(f"pixels are drawn {times:.{0 if times >= 9.95 else 1}f} times as {longer} as {other}")
    return [f"images of {h} x {w}: {', '.join(said)}"] if said else []


def resized(images: np.ndarray, side: int, axis: int) -> np.ndarray:
    """The images with at most `side` pixels along an axis: each as often as that allows, or averaged in blocks."""
    size = images.shape[axis]
    if size <= side:
        return images.repeat(side // size, axis)
    starts = np.arange(0, size, block(size, side))
    counts = np.diff([*starts, size]).reshape([-1 if i == axis else 1 for i in range(images.ndim)])
    return np.add.reduceat(images, starts, axis) / counts


def block(size: int, side: int) -> int:
    """How many neighbours among `size` pixels are averaged, so that they fit into `side`."""
    return ceil(size / side)
