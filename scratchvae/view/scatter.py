"""Where the encoder puts its inputs: a map of the plane of two latents, and a small one for each class.

Sizes: N rows of a data set, n of them drawn, C classes, Z latent.
"""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from matplotlib.patheffects import withStroke

from scratchvae.backend import to_numpy
from scratchvae.evaluation import in_batches
from scratchvae.model import Model
from scratchvae.vae import VAE
from scratchvae.view.style import BLUE, GREY, PALE, PALETTE, WIDTH, readable, square_around

SHOWN = 2500  # inputs: more would be one blot
CLASSES = 64  # small maps
BESIDE = ((3, 3, 1), (6, 3, 2), (10, 5, 2), (CLASSES, 5, 3))  # up to so many classes: rows and columns beside the map
NAME = 6.5  # ems: what a small map is wide enough for
CELLS = 24  # along a side of the map, for placing names
PRIOR = "dashed: 1 and 2 σ of the prior, which hold 39 % and 86 % of it"  # 1 - exp(-r^2 / 2)


def latent_scatter(model: Model, x: np.ndarray, y: np.ndarray | None = None) -> Figure:
    """Where the encoder puts x: mu for a VAE, z for an autoencoder. With labels y, the map has their names on it.

    Beside the map each class stands alone, before all other inputs in grey. Up to ten classes have a colour each.

    Shapes    x (N, D), y (N,) or None. Of more than 2,500 rows that many, chosen at random, are drawn.
    Units     a VAE's axes are in standard deviations of the prior, whose 1 and 2 sigma circles are drawn; a code
              without a prior has no unit.
    Raises    ValueError: other than two latents.
    """
    require_two_latents(model, "latent_scatter")
    shown = np.random.default_rng(0).permutation(len(x))[:SHOWN]  # (n,)  in no order: no class covers the others
    z = np.concatenate([to_numpy(model.encode(rows)[0]) for rows in in_batches(model, x[shown])])  # (n, 2)
    names, of, counts = np.unique(np.zeros(len(z)) if y is None else y[shown], return_inverse=True, return_counts=True)
    classes = [] if y is None else np.sort(np.argsort(-counts, kind="stable")[:CLASSES]).tolist()  # the largest
    has_prior = isinstance(model, VAE)
    box = map_limits(z, 2.1 if has_prior else 0.0)

    figure, ax, small = maps(len(classes))
    colours = PALETTE if 1 < len(names) <= len(PALETTE) else (BLUE,) * len(names)
    draw_points(ax, z, [colours[k] for k in of], box, has_prior)
    titles = [readable(names[k], NAME) for k in classes]
    for k, one, title in zip(classes, small, titles, strict=True):
        draw_points(one, z[of != k], PALE, box, False)
        draw_points(one, z[of == k], colours[k], box, has_prior)
        one.set(xticks=[], yticks=[])
        one.spines[:].set(visible=True, color=PALE)
        one.set_title(title, fontsize="small", pad=2)
    write_names(ax, titles, z, [of == k for k in classes], box)
    inputs = f"{len(z):,}{f' of {len(x):,}' if len(z) < len(x) else ''} inputs"
    symbol, unit = ("μ", "σ of the prior") if has_prior else ("z", "no unit")
    ax.set_title(f"The means μ of q(z|x) for {inputs}" if has_prior else f"Codes z of {inputs}")
    ax.set(xlabel=f"{symbol}₁ ({unit})", ylabel=f"{symbol}₂ ({unit})")
    outside = int(((z < box[0]) | (z > box[1])).any(axis=1).sum())
    said = ["small maps: a class before all others in grey"] if classes else []
    said += [f"{len(classes)} of {len(names)} classes, the largest"] if 0 < len(classes) < len(names) else []
    said += [f"{outside:,} of the inputs lie outside"] if outside else []
    caption = "\n".join([PRIOR] * has_prior + ["; ".join(said)] * bool(said))
    figure.text(0.5, 0.08 / figure.get_figheight(), caption, ha="center", va="bottom", size="small", color=GREY)
    return figure


def map_limits(z: np.ndarray, least: float) -> np.ndarray:
    """The square that a map shows, (2, 2), its lower left corner first: all of z and `least` around the origin.

    Where a few points would squeeze the others into a corner, 98 % along each axis are enough.
    """
    low, high = z.min(axis=0), z.max(axis=0)  # (2,), (2,)
    inner = np.quantile(z, (0.01, 0.99), axis=0)  # (2, 2)
    if (high - low).max() > 3 * np.ptp(inner, axis=0).max() > 0:
        low, high = inner - 0.5 * np.ptp(inner, axis=0) * [[1], [-1]]
    low, high = np.minimum(low, -least), np.maximum(high, least)
    return square_around(np.stack([low, high]))


def maps(C: int) -> tuple[Figure, Axes, list[Axes]]:
    """A figure with a square map, and C small ones to its right and below."""
    if C == 0:
        figure = Figure(figsize=(0.8 * WIDTH, 0.8 * WIDTH))
        return figure, figure.add_axes((0.14, 0.14, 0.81, 0.81)), []
    rows, columns = next((rows, columns) for most, rows, columns in BESIDE if most >= C)
    left, top, name, apart = 0.8, 0.35, 0.22, 0.12  # inches: of labels, a title, a small map's name, between maps
    small = (WIDTH - left - apart - columns * apart - rows * name) / (rows + columns)
    side = rows * (small + name)  # of the map: as high as the small ones beside it
    across = int((WIDTH - apart) / (small + apart))  # small ones in a row below
    below = max(0, math.ceil((C - rows * columns) / across))  # such rows
    height = top + side + 0.95 + below * (small + name)
    right = WIDTH - columns * (small + apart)
    corners = [  # left, top
        *((right + j * (small + apart), top + name + i * (small + name)) for i in range(rows) for j in range(columns)),
        *(
            (apart + j * (small + apart), top + side + 0.5 + name + i * (small + name))
            for i in range(below)
            for j in range(across)
        ),
    ]
    figure = Figure(figsize=(WIDTH, height))

    def square(x: float, y: float, size: float) -> Axes:
        return figure.add_axes((x / WIDTH, 1 - (y + size) / height, size / WIDTH, size / height))

    return figure, square(left, top, side), [square(*corner, small) for corner in corners[:C]]


def draw_points(ax: Axes, z: np.ndarray, colours: str | list[str], box: np.ndarray, has_prior: bool) -> None:
    """Points in the square, their size after the size of the map, and the prior's circles."""
    scale = inches(ax) / 5
    ax.scatter(z[:, 0], z[:, 1], c=colours, s=12 * scale, linewidths=0, alpha=0.75)
    if has_prior:
        for radius in (1, 2):
            circle = Circle((0, 0), radius, fill=False, edgecolor="#333333", linestyle=(0, (4, 3)))
            circle.set_linewidth(max(0.8 * scale, 0.4))
            ax.add_patch(circle)
    ax.set(xlim=box[:, 0], ylim=box[:, 1])
    ax.ticklabel_format(style="sci", scilimits=(-3, 4))
    ax.spines[["top", "right"]].set_visible(False)


def inches(ax: Axes) -> float:
    """How wide the axes are on paper."""
    return ax.get_position().width * ax.figure.get_figwidth()  # type: ignore[union-attr]


def write_names(ax: Axes, names: list[str], z: np.ndarray, members: list[np.ndarray], box: np.ndarray) -> None:
    """Each class's name on the map where the class is most at home; none where another name stands.

    The map is cut into cells. A class is at home where its points are many, and few of others are among them.
    """
    if not names:
        return
    edges = np.linspace(box[0], box[1], CELLS + 1).T  # (2, CELLS + 1)
    counts = np.array([np.histogram2d(z[one, 0], z[one, 1], edges)[0] for one in members])
    total = np.histogram2d(z[:, 0], z[:, 1], edges)[0]  # (CELLS, CELLS)
    home = counts**2 / np.maximum(total, 1)  # (C, CELLS, CELLS)  points, times the share that the class has in them
    letter = 0.095 / (inches(ax) / CELLS)  # cells
    beside = math.ceil(letter * max(map(len, names)))  # cells from the middle of a name to that of the next
    edge = min(math.ceil(beside / 2), CELLS // 2 - 1)
    for inner, outer in ((edge, slice(0, edge)), (CELLS - 1 - edge, slice(CELLS - edge, CELLS))):  # a name stays on it
        home[:, inner] = np.maximum(home[:, inner], home[:, outer].max(axis=1))
        home[:, outer] = 0
    for k in np.argsort(-home.max(axis=(1, 2)), kind="stable"):
        i, j = np.unravel_index(home[k].argmax(), (CELLS, CELLS))
        if home[k, i, j] > 0:
            place = edges[0, i : i + 2].mean(), edges[1, j : j + 2].mean()
            halo = [withStroke(linewidth=3, foreground="white")]
            ax.text(*place, names[k], ha="center", va="center", weight="bold", path_effects=halo)
            home[:, max(0, i - beside) : i + beside + 1, max(0, j - 1) : j + 2] = 0


def require_two_latents(model: Model, what: str) -> None:
    if model.n_z != 2:
        raise ValueError(f"{what} draws a plane and needs a model with n_z = 2, got n_z = {model.n_z}")
