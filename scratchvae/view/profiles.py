"""Pictures of rows that are not images: in their plane if they have two features, else feature by feature.

Sizes: N rows of a data set, n of them used, D data.
"""

from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from scratchvae.backend import to_numpy
from scratchvae.model import Model
from scratchvae.vae import VAE
from scratchvae.view.style import BLUE, GREY, VERMILLION, WIDTH, square_around
from scratchvae.view.tiles import as_rows, fewer

ROWS = 2000  # of the data set, that a picture is made from
PANELS = 6  # rows that are shown one by one
PLANE = 500  # points in a plane
FEATURES = 500  # paper has no room for more
MARKED = 40  # up to so many features are drawn as marks: their order may mean nothing, and a line would say it does
UNLIKE = 10  # standard deviations that differ by more than this factor do not share an axis
SPREAD = (0.05, 0.95)  # quantiles


def row_reconstructions(model: Model, x: np.ndarray) -> Figure:
    """Rows x and their decoder means E[x|z], at z = mu for a VAE, at the code z = f(x) otherwise.

    Two features span a plane; of one, E[x|z] stands over x. Of other rows six are shown, feature by feature, and below
    them what the error of every feature is over up to 2,000 rows, as a share of the feature's standard deviation.

    Shapes    x (N, D).
    """
    rows = as_rows(model, x[: fewer(ROWS, model.n_x)])  # (n, D)
    inputs, means = (to_numpy(a).astype(float) for a in (rows, model.reconstruct(rows)))  # (n, D), (n, D)
    names = "input x", f"decoder mean E[x|z] at z = {'mu' if isinstance(model, VAE) else 'f'}(x)"
    figure = Figure(figsize=(WIDTH, 6.6), layout="constrained")
    figure.suptitle("Reconstructions: the decoder's mean, not a draw")
    if inputs.shape[1] == 2:
        ax = figure.add_subplot()
        ax.plot(*np.stack([inputs[:PLANE], means[:PLANE]]).transpose(2, 0, 1), color=GREY, lw=0.5, alpha=0.6)
        draw_plane(ax, inputs[:PLANE], BLUE, names[0])
        draw_plane(ax, means[:PLANE], VERMILLION, names[1])
    elif inputs.shape[1] == 1:
        ax = figure.add_subplot()
        draw_plane(ax, np.concatenate([inputs, means], axis=1)[:PLANE], BLUE, "a held-out row")
        ax.set_aspect("auto")
        ax.axline((0, 0), slope=1, color=GREY, lw=0.8, ls="--", label="E[x|z] = x")
        ax.set(xlabel=names[0], ylabel=names[1])
    else:
        draw_rows(figure, inputs, means, names)
    lines, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(lines, labels, loc="outside lower center", ncols=2, frameon=False, fontsize="small")
    return figure


def row_samples(vae: VAE, x: np.ndarray, rng: np.random.Generator) -> Figure:
    """Draws x ~ p(x|z), z ~ N(0, I), beside as many rows of x: as points of a plane, or the spread of every feature.

    Shapes    x (N, D).
    """
    inputs = to_numpy(as_rows(vae, x[: fewer(ROWS, vae.n_x)])).astype(float)  # (n, D)
    draws = to_numpy(vae.sample(len(inputs), rng, draw=True)).astype(float)  # (n, D)
    both = ((inputs, BLUE, "held-out inputs x"), (draws, VERMILLION, "draws x ~ p(x|z), z ~ N(0, I)"))
    if inputs.shape[1] == 2:
        figure = Figure(figsize=(WIDTH, 4.6), layout="constrained")
        limits = square_around(np.concatenate([inputs, draws]))
        for ax, (points, colour, name) in zip(figure.subplots(1, 2), both, strict=True):
            draw_plane(ax, points[:PLANE], colour, name)
            ax.set(title=name, xlim=limits[:, 0], ylim=limits[:, 1])
        return figure
    figure = Figure(figsize=(WIDTH, 3.6), layout="constrained")
    ax = figure.add_subplot(title="Generation: the mean of every feature, and where 90 % of the rows lie")
    scaled, unit = comparable(inputs)
    for i, (rows, colour, name) in enumerate(both):
        draw_spread(ax, scaled(rows), colour, name, 0.3 * i - 0.15)
    ax.set_ylabel(unit)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize="small")
    return figure


def draw_rows(figure: Figure, inputs: np.ndarray, means: np.ndarray, names: tuple[str, str]) -> None:
    """The first rows, a panel each, and below them the error of every feature."""
    scaled, unit = comparable(inputs)
    grid, first = figure.add_gridspec(3, 3), None
    for i in range(min(PANELS, len(inputs))):
        ax = figure.add_subplot(grid[divmod(i, 3)], sharey=first)
        first = first or ax
        draw_features(ax, scaled(inputs[i]), BLUE, "o", names[0])
        draw_features(ax, scaled(means[i]), VERMILLION, "_", names[1])
        ax.set_title(f"held-out row {i + 1}", fontsize="small")
        ax.set(ylabel=unit if i % 3 == 0 else "", xlabel="")
    spread = inputs.std(axis=0)  # (D,)
    rms = np.sqrt(((means - inputs) ** 2).mean(axis=0))  # (D,)
    error = np.divide(rms, spread, out=np.full_like(rms, np.nan), where=spread > 0)  # (D,)
    ax = figure.add_subplot(grid[2, :])
    draw_features(ax, error, GREY, "o", "")
    ax.axhline(1, color=GREY, lw=0.8, ls="--")
    ax.set(ylabel="error / std", ylim=(0, 1.1 * np.nanmax([1.0, *error])))
    what = f"error of E[x|z] over {len(inputs):,} rows (root mean square), in standard deviations of the feature"
    ax.set_title(f"{what}; 1 is no better than its mean", fontsize="small")


def comparable(inputs: np.ndarray) -> tuple[Callable[[np.ndarray], np.ndarray], str]:
    """How to bring rows like inputs onto one axis, and what it shows: their values, or standardised features."""
    mean, spread = inputs.mean(axis=0), inputs.std(axis=0)  # (D,), (D,)
    varying = spread[spread > 0]
    if len(varying) == 0 or varying.max() <= UNLIKE * varying.min():
        return lambda rows: rows, "value"
    spread = np.where(spread > 0, spread, 1.0)  # (D,)
    return lambda rows: (rows - mean) / spread, "standardised"


def draw_features(ax: Axes, values: np.ndarray, colour: str, mark: str, name: str) -> None:
    """A value for each feature: marks for a few, a line for many.

    Shapes    values (D,).
    """
    at = features(ax, len(values))
    if len(values) <= MARKED:
        ax.plot(at, values, mark, color=colour, ms=8 if mark == "_" else 3.5, mew=1.8 if mark == "_" else 0, label=name)
    else:
        ax.plot(at, values[at - 1], color=colour, lw=1, alpha=0.8, label=name)


def draw_spread(ax: Axes, rows: np.ndarray, colour: str, name: str, aside: float) -> None:
    """The mean of each feature in a bar from one quantile to the other, or in a band if there are many.

    Shapes    rows (n, D).
    """
    at = features(ax, rows.shape[1])
    mean, (low, high) = rows[:, at - 1].mean(axis=0), np.quantile(rows[:, at - 1], SPREAD, axis=0)  # (features,) each
    if rows.shape[1] <= MARKED:
        ax.plot(at + aside, mean, "o", color=colour, ms=5, label=name)
        ax.vlines(at + aside, low, high, color=colour, lw=2)
    else:
        ax.plot(at, mean, color=colour, lw=1.2, label=name)
        ax.fill_between(at, low, high, color=colour, alpha=0.25, lw=0)


def features(ax: Axes, D: int) -> np.ndarray:
    """The numbers, from 1, of the features that are drawn; the axis says so if these are not all."""
    every = -(-D // FEATURES)
    ax.set_xlabel("feature" if every == 1 else f"feature (one in {every} is drawn)")
    ax.xaxis.set_major_locator(MaxNLocator(10 if D <= 10 else 6, integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
    ax.set_xlim(0.5, D + 0.5)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(alpha=0.25)
    return np.arange(1, D + 1, every)


def draw_plane(ax: Axes, points: np.ndarray, colour: str, name: str) -> None:
    """Points (n, 2) in a plane whose axes have one scale."""
    ax.scatter(points[:, 0], points[:, 1], s=8, color=colour, linewidths=0, alpha=0.7, label=name)
    ax.set(xlabel="feature 1", ylabel="feature 2")
    ax.set_aspect("equal")
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(alpha=0.25)
