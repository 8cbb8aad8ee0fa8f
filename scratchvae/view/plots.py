"""The pictures of a run: learning curves, reconstructions, samples, the manifold and the latents.

Every function returns a matplotlib Figure of its own; there is no pyplot and no global state. Rows x are uint8, bits or
floats; `write_pictures` binarises them for the encoder as in training. Colours are those of Okabe & Ito, which
colour-blind readers can tell apart, and colour is never the only cue.

Sizes: N rows of a data set, B batch, D data, Z latent; images are (h, w) with h w = D.
"""

from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from scratchvae.autoencoder import Autoencoder
from scratchvae.backend import Array, get_xp, to_numpy
from scratchvae.batches import binarised, to_unit_floats
from scratchvae.checkpoint import History
from scratchvae.data import Dataset
from scratchvae.training import TEST_SEED
from scratchvae.vae import VAE
from scratchvae.view.png import save_png

BLUE, VERMILLION, GREY = "#0072B2", "#D55E00", "#666666"
PALETTE = ("#000000", "#E69F00", "#56B4E9", "#009E73", "#D8C400", BLUE, VERMILLION, "#CC79A7", "#999999", "#7A3B00")
TERMS = {"nll": "nll = −log p(x|z)", "kl": "kl = KL(q(z|x) ‖ p(z))", "elbo": "elbo = −nll − kl"}
WIDTH = 8.0  # inches
DPI = 120  # of the files: 960 pixels wide
SHOWN = 2500  # inputs in a scatter: of more, the classes drawn last would cover the others


def learning_curves(history: History, note: str = "", per: str = "image") -> Figure:
    """nll, kl and elbo by epoch, a panel each, of held-out data; training's own record stands beside it.

    Units     nats per image (or whatever `per` says), epochs. note goes above, e.g. how images were binarised.
    """
    terms, epochs = [term for term in TERMS if f"test_{term}" in history], history["epoch"]
    figure = Figure(figsize=(WIDTH if len(terms) > 1 else WIDTH / 2, 3.2), layout="constrained")
    for i, term in enumerate(terms):
        ax = figure.add_subplot(1, len(terms), i + 1, xlabel="epoch", ylabel=f"nats per {per}")
        for part, colour, line, when in (
            ("train", BLUE, "--", "train, mean over the epoch"),
            ("test", VERMILLION, "-", "test, after the epoch"),
        ):
            if f"{part}_{term}" in history:
                marker = "o" if len(epochs) <= 12 else ""  # a single epoch would be invisible as a line
                ax.plot(epochs, history[f"{part}_{term}"], line, color=colour, marker=marker, ms=3.5, label=when)
        ax.set_title(TERMS[term], fontsize="medium")
        ax.set_xlim(0, epochs[-1] + 1)
        ax.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=[1, 2, 5, 10]))
        ax.grid(alpha=0.25)
        ax.spines[["top", "right"]].set_visible(False)
    lines, labels = figure.axes[-1].get_legend_handles_labels()  # the elbo's panel has both lines
    figure.legend(lines, labels, loc="outside lower center", ncols=2, frameon=False, fontsize="small")
    figure.suptitle(note, fontsize="medium", color=GREY)
    return figure


def reconstructions(model: Autoencoder, x: np.ndarray, image_shape: tuple[int, int]) -> Figure:
    """Inputs in one row, below each its decoder mean E[x|z]: at z = mu for a VAE, at the code z = f(x) otherwise.

    Shapes    x (B, D), a column each; about 10 fit.
    """
    rows = _as_rows(model, x)  # (B, D)
    images = np.stack([to_numpy(rows), to_numpy(model.reconstruct(rows))]).reshape(2, len(x), *image_shape)
    height = 0.6 + 2 * (WIDTH - 1.1) / len(x) * image_shape[0] / image_shape[1]
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    ax = figure.add_subplot(title="Reconstructions: the decoder's mean image, not a draw")
    limits = _grey_range(model, images[0])
    _show_tiles(ax, images, limits)
    ax.set_xlabel(_grey_scale(limits), fontsize="small", color=GREY)
    ax.set_yticks([1.5, 0.5], ["input x", f"E[x|z]\nat z = {'mu' if isinstance(model, VAE) else 'f'}(x)"])
    return figure


def samples(vae: VAE, rng: np.random.Generator, image_shape: tuple[int, int], n: int = 8) -> Figure:
    """n^2 latents z ~ N(0, I), shown twice: the decoder means E[x|z], and draws x ~ p(x|z) for the same z."""
    logits, _ = vae.decode(vae.draw_eps(n * n, rng))  # (n^2, D)
    means, draws = (  # (n, n, h, w) each
        to_numpy(x).reshape(n, n, *image_shape)
        for x in (vae.likelihood.mean(logits), vae.likelihood.sample(logits, rng))
    )
    limits = _grey_range(vae, means)
    figure = Figure(figsize=(WIDTH, 0.6 + WIDTH / 2 * image_shape[0] / image_shape[1]), layout="constrained")
    for i, (images, title) in enumerate(((means, "Decoder means E[x|z]"), (draws, "Draws x ~ p(x|z), the same z"))):
        ax = figure.add_subplot(1, 2, i + 1, title=title)
        _show_tiles(ax, images, limits)
        ax.set_xlabel(_grey_scale(limits), fontsize="small", color=GREY)
    figure.suptitle("Generation: z ~ N(0, I)")
    return figure


def manifold(vae: VAE, image_shape: tuple[int, int], n: int = 20) -> Figure:
    """Decoder means E[x|z] for n x n points of the latent plane: z1 grows to the right, z2 upwards.

    The points are the prior's quantiles at (i + 1/2) / n, so every image stands for the same share of the prior.

    Raises    ValueError: other than two latents.
    """
    _require_two_latents(vae, "manifold")
    prior = NormalDist()
    axis = [prior.inv_cdf((i + 0.5) / n) for i in range(n)]
    z2, z1 = np.meshgrid(axis, axis, indexing="ij")  # (n, n)  a row has one z2, the lowest first
    logits, _ = vae.decode(vae.as_input(np.stack([z1.ravel(), z2.ravel()], axis=1), "z", (None, 2)))  # (n^2, D)
    images = to_numpy(vae.likelihood.mean(logits)).reshape(n, n, *image_shape)
    limits = _grey_range(vae, images)
    figure = Figure(figsize=(0.8 * WIDTH, 0.3 + 0.8 * WIDTH * image_shape[0] / image_shape[1]), layout="constrained")
    ax = figure.add_subplot()
    ax.set_title(f"Decoder means E[x|z] over the latent plane\n{_grey_scale(limits)}", fontsize="medium")
    _show_tiles(ax, images[::-1], limits, gap=0)  # the first row of tiles is the uppermost
    values = (-2, -1, -0.5, 0, 0.5, 1, 2)
    where = [n * prior.cdf(z) for z in values]  # equal steps on paper are equal shares of the prior
    labels = [f"{z:g}".replace("-", "−") for z in values]
    ax.set(xticks=where, yticks=where, xticklabels=labels, yticklabels=labels)
    ax.tick_params(length=3)
    ax.set(xlabel="$z_1$, at quantiles of the prior N(0, 1)", ylabel="$z_2$, at quantiles of the prior N(0, 1)")
    return figure


def latent_scatter(model: Autoencoder, x: np.ndarray, y: np.ndarray | None = None) -> Figure:
    """Where the encoder puts x: mu for a VAE, z for an autoencoder, every point drawn as its label.

    Shapes    x (N, D), y (N,) or None. Of more than 2,500 rows that many, chosen at random, are drawn.
    Units     a VAE's axes are in standard deviations of the prior, whose 1 and 2 sigma circles are drawn; a code
              without a prior has no unit.
    Raises    ValueError: other than two latents.
    """
    _require_two_latents(model, "latent_scatter")
    shown = np.sort(np.random.default_rng(0).permutation(len(x))[:SHOWN])  # (min(N, SHOWN),)
    inputs = f"{len(shown):,}{f' of {len(x):,}' if len(shown) < len(x) else ''} inputs"
    z = to_numpy(model.encode(_as_rows(model, x[shown]))[0])  # (min(N, SHOWN), 2)
    figure = Figure(figsize=(0.8 * WIDTH, 0.8 * WIDTH), layout="constrained")
    ax = figure.add_subplot()
    labels = [None] if y is None else sorted(set(y[shown].tolist()))
    for k, label in enumerate(labels):
        a, b = (z if y is None else z[y[shown] == label]).T  # a class's first and second latent
        marker = "o" if label is None else f"${label}$"  # every point is its own label: colour alone would not do
        ax.scatter(a, b, c=PALETTE[k % len(PALETTE)], marker=marker, s=26, linewidths=0.1, alpha=0.8)
    halo = [withStroke(linewidth=3, foreground="white")]
    if isinstance(model, VAE):
        for radius in (1, 2):
            ax.add_patch(Circle((0, 0), radius, fill=False, edgecolor=GREY, linewidth=0.8, linestyle=(0, (4, 3))))
            ax.text(0, -radius, f"{radius}σ", color=GREY, size="small", ha="center", va="center", path_effects=halo)
        ax.set_title(f"The means μ of q(z|x) for {inputs}")
        ax.set(xlabel=r"$\mu_1$ (σ of the prior)", ylabel=r"$\mu_2$ (σ of the prior)")
    else:
        ax.set(title=f"Codes z of {inputs}", xlabel="$z_1$ (no unit)", ylabel="$z_2$ (no unit)")
    ax.set_aspect("equal", adjustable="datalim")
    ax.grid(alpha=0.25)
    ax.spines[["top", "right"]].set_visible(False)
    return figure


def write_pictures(
    model: Autoencoder, data: Dataset, history: History, folder: str | Path, rng: np.random.Generator, binarise: str
) -> list[Path]:
    """Save the pictures that make sense for this model and these data as PNG files, and return their paths.

    Images need an image_shape, the manifold and the scatter two latents, and anything generated needs a prior. Held-out
    images are binarised as `fit` does it, once and from their own seed.
    """
    x = binarised(data.x_test, binarise, np.random.default_rng(TEST_SEED))  # (N, D)
    figures: dict[str, Figure] = {}
    if history:
        note = "" if data.image_shape is None else f"{data.name}, binarise {binarise}"
        figures["learning_curves"] = learning_curves(history, note, "example" if data.image_shape is None else "image")
    if data.image_shape is not None:
        first = np.arange(len(x)) if data.y_test is None else np.unique(data.y_test, return_index=True)[1]
        figures["reconstructions"] = reconstructions(model, x[first[:10]], data.image_shape)
        if isinstance(model, VAE):
            figures["samples"] = samples(model, rng, data.image_shape)
            if model.n_z == 2:
                figures["manifold"] = manifold(model, data.image_shape)
    if model.n_z == 2:
        figures["latent_scatter"] = latent_scatter(model, x, data.y_test)
    paths = [Path(folder) / f"{name}.png" for name in figures]
    for path, figure in zip(paths, figures.values(), strict=True):
        save_png(figure, path)
    return paths


def _as_rows(model: Autoencoder, x: np.ndarray) -> Array:
    return to_unit_floats(x, model.dtype, get_xp(model.logits.params["b"]))  # (B, D)


def _require_two_latents(model: Autoencoder, what: str) -> None:
    if model.n_z != 2:
        raise ValueError(f"{what} draws a plane and needs a model with n_z = 2, got n_z = {model.n_z}")


def _grey_range(model: Autoencoder, images: np.ndarray) -> tuple[float, float]:
    """The pixel values of black and white: the ends of the likelihood's support, or those of images if it has none."""
    low, high = model.likelihood.support
    return (low, high) if np.isfinite([low, high]).all() else (float(images.min()), float(images.max()))


def _grey_scale(limits: tuple[float, float]) -> str:
    return f"pixel values from {limits[0]:.2g} (black) to {limits[1]:.2g} (white)".replace("-", "−")


def _show_tiles(ax: Axes, images: np.ndarray, limits: tuple[float, float], gap: int = 2) -> None:
    """A sheet of images (R, C, h, w), the first row uppermost, in axes where every tile is 1 x 1; gap is in pixels."""
    R, C, h, w = images.shape
    sheet: Any = np.full((R, h + gap, C, w + gap), np.nan)  # NaN stays white
    sheet[:, :h, :, :w] = images.transpose(0, 2, 1, 3)
    sheet = sheet.reshape(R * (h + gap), C * (w + gap))
    ax.imshow(sheet, cmap="gray", vmin=limits[0], vmax=limits[1], extent=(0, C, 0, R), aspect=(h + gap) / (w + gap))
    ax.set(xticks=[], yticks=[])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
