"""The pictures of a run: learning curves, reconstructions, samples, the manifold and the latents.

Every function that draws returns a matplotlib Figure of its own; there is no pyplot and no global state. Rows x are
uint8, bits or floats; `write_pictures` binarises them for the encoder as in training. The pictures of images take
`greys`, the grey scale that all pictures of a run share; without it they have one of their own.

Sizes: N rows of a data set, B batch, D data, Z latent; images are (h, w) with h w = D.
"""

from math import isqrt
from pathlib import Path
from statistics import NormalDist

import numpy as np
from matplotlib.figure import Figure

from scratchvae.backend import to_numpy
from scratchvae.batches import binarised
from scratchvae.checkpoint import History
from scratchvae.data import Dataset
from scratchvae.model import Model
from scratchvae.training import TEST_SEED
from scratchvae.vae import VAE
from scratchvae.view.curves import learning_curves
from scratchvae.view.png import save_png
from scratchvae.view.profiles import row_reconstructions, row_samples
from scratchvae.view.scatter import latent_scatter, require_two_latents
from scratchvae.view.style import signed
from scratchvae.view.tiles import GRAIN, Greys, as_rows, decoder_means, fewer, grey_scale, page

COLUMNS = 10  # reconstructions


def reconstructions(model: Model, x: np.ndarray, image_shape: tuple[int, int], greys: Greys | None = None) -> Figure:
    """Inputs in one row, below each its decoder mean E[x|z]: at z = mu for a VAE, at the code z = f(x) otherwise.

    Shapes    x (B, D), a column each; about 10 fit.
    """
    rows = as_rows(model, x)  # (B, D)
    images = np.stack([to_numpy(rows), to_numpy(model.reconstruct(rows))]).reshape(2, len(x), *image_shape)
    sheets = page(image_shape, [(2, len(x))], greys or grey_scale(model, x, "images shown"), left=1.1, most=6)
    sheets.show(0, images)
    ax = sheets.axes[0]
    ax.set_title("Reconstructions: the decoder's mean image, not a draw")
    ax.set_yticks([1.5, 0.5], ["input x", f"E[x|z]\nat z = {'mu' if isinstance(model, VAE) else 'f'}(x)"])
    return sheets.figure


def samples(
    vae: VAE, rng: np.random.Generator, image_shape: tuple[int, int], n: int = 8, greys: Greys | None = None
) -> Figure:
    """n^2 latents z ~ N(0, I), shown twice: the decoder means E[x|z], and draws x ~ p(x|z) for the same z."""
    n = isqrt(fewer(n * n, vae.n_x))
    logits, _ = vae.decode(vae.draw_eps(n * n, rng))  # parameters of n^2 images
    means, draws = to_numpy(vae.likelihood.mean(logits)), to_numpy(vae.likelihood.sample(logits, rng))  # (n^2, D) each
    noise = float(np.sqrt(np.mean((draws - means).astype(float) ** 2)))
    greys = greys or grey_scale(vae, means, "decoder means")
    notes = [f"{GRAIN}, here {signed(noise)} a pixel, where black to white is {signed(greys.white - greys.black)}"]
    sheets = page(image_shape, [(n, n), (n, n)], greys, notes, head=0.65)
    for i, (images, title) in enumerate(((means, "Decoder means E[x|z]"), (draws, "Draws x ~ p(x|z), the same z"))):
        sheets.show(i, images.reshape(n, n, *image_shape))
        sheets.axes[i].set_title(title)
    sheets.figure.suptitle("Generation: z ~ N(0, I)", y=1 - 0.08 / sheets.figure.get_figheight())
    return sheets.figure


def manifold(vae: VAE, image_shape: tuple[int, int], n: int = 20, greys: Greys | None = None) -> Figure:
    """Decoder means E[x|z] for n x n points of the latent plane: z1 grows to the right, z2 upwards.

    The points are the prior's quantiles at (i + 1/2) / n, so every image stands for the same share of the prior.

    Raises    ValueError: other than two latents.
    """
    require_two_latents(vae, "manifold")
    n = isqrt(fewer(n * n, vae.n_x))
    prior = NormalDist()
    axis = [prior.inv_cdf((i + 0.5) / n) for i in range(n)]
    z2, z1 = np.meshgrid(axis, axis, indexing="ij")  # (n, n)  a row has one z2, the lowest first
    images = decoder_means(vae, np.stack([z1.ravel(), z2.ravel()], axis=1))  # (n^2, D)
    sheets = page(
        image_shape,
        [(n, n)],
        greys or grey_scale(vae, images, "decoder means"),
        left=0.75,
        foot=0.5,
        most=6.0,
        gap=0,
    )
    sheets.show(0, images.reshape(n, n, *image_shape)[::-1])  # the first row of tiles is the uppermost
    values = (-2, -1, -0.5, 0, 0.5, 1, 2)
    where = [n * prior.cdf(z) for z in values]  # equal steps on paper are equal shares of the prior
    labels = [f"{z:g}".replace("-", "−") for z in values]
    ax = sheets.axes[0]
    ax.set_title("Decoder means E[x|z] over the latent plane")
    ax.set(xticks=where, yticks=where, xticklabels=labels, yticklabels=labels)
    ax.tick_params(length=3)
    ax.set(xlabel="z₁, at quantiles of the prior N(0, 1)", ylabel="z₂, at quantiles of the prior N(0, 1)")
    return sheets.figure


def write_pictures(
    model: Model, data: Dataset, history: History, folder: str | Path, rng: np.random.Generator, binarise: str
) -> list[Path]:
    """Save the pictures that make sense for this model and these data as PNG files, and return their paths.

    Images need an image_shape, the manifold and the scatter two latents, and anything generated needs a prior. Held-out
    images are binarised as `fit` does it, once and from their own seed.
    """
    x = binarised(data.x_test, binarise, np.random.default_rng(TEST_SEED))  # (N, D)
    shape = data.image_shape
    figures: dict[str, Figure] = {}
    if history:
        note = data.name if shape is None and binarise == "none" else f"{data.name}, binarise {binarise}"
        figures["learning_curves"] = learning_curves(history, note, "example" if shape is None else "image")
    if shape is None:
        figures["reconstructions"] = row_reconstructions(model, x)
        if isinstance(model, VAE):
            figures["samples"] = row_samples(model, x, rng)
    else:
        greys = grey_scale(model, x)
        first = np.arange(len(x)) if data.y_test is None else np.unique(data.y_test, return_index=True)[1]
        figures["reconstructions"] = reconstructions(model, x[first[:COLUMNS]], shape, greys)
        if isinstance(model, VAE):
            figures["samples"] = samples(model, rng, shape, greys=greys)
            if model.n_z == 2:
                figures["manifold"] = manifold(model, shape, greys=greys)
    if model.n_z == 2:
        figures["latent_scatter"] = latent_scatter(model, x, data.y_test)
    paths = [Path(folder) / f"{name}.png" for name in figures]
    for path, figure in zip(paths, figures.values(), strict=True):
        save_png(figure, path)
    return paths
