"""Pictures of the latent space: the line between two inputs, what moving each latent does, and what was generated.

As in `plots`, every function returns a matplotlib Figure of its own and takes the grey scale of the run, `greys`.

Sizes: B batch, D data, Z latent; images are (h, w) with h w = D.
"""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from scratchvae.backend import to_numpy
from scratchvae.evaluation import kl_per_latent
from scratchvae.model import Model
from scratchvae.vae import VAE
from scratchvae.view.style import VERMILLION, readable
from scratchvae.view.tiles import Greys, as_rows, decoder_means, fewer, grey_scale, page

LATENTS = 50  # rows of a traversal that one picture holds


def interpolation(
    model: Model,
    starts: np.ndarray,
    ends: np.ndarray,
    image_shape: tuple[int, int],
    steps: int = 9,
    greys: Greys | None = None,
) -> Figure:
    """Decoder means E[x|z] at z = (1 - t) z_a + t z_b, t from 0 to 1, between the codes of two inputs a and b.

    The code is the posterior's mean mu for a VAE, f(x) for an autoencoder. The inputs themselves stand at both ends.

    Shapes    starts, ends (B, D), a row of the picture each.
    """
    B, (h, w) = len(starts), image_shape
    a, b = as_rows(model, starts), as_rows(model, ends)  # (B, D) each
    z_a, z_b = (to_numpy(model.encode(x)[0]) for x in (a, b))  # (B, Z) each
    t = np.linspace(0, 1, steps)[:, None]  # (steps, 1)
    z = (1 - t) * z_a[:, None] + t * z_b[:, None]  # (B, steps, Z)
    means = decoder_means(model, z.reshape(B * steps, -1))  # (B steps, D)

    grids = [(B, 1), (B, steps), (B, 1)]
    sheets = page(image_shape, grids, greys or grey_scale(model, starts, "inputs a"), foot=0.35)
    where = "mu(a) to mu(b)" if isinstance(model, VAE) else "f(a) to f(b)"
    titles = ("input a", f"E[x|z] for z on the line from {where}: decoder means", "input b")
    for i, (images, title) in enumerate(zip((to_numpy(a), means, to_numpy(b)), titles, strict=True)):
        sheets.show(i, images.reshape(*grids[i], h, w))
        sheets.axes[i].set_title(title, fontsize="medium")
    sheets.axes[1].set_xticks([0.5, steps / 2, steps - 0.5], ["t = 0", "t = 1/2", "t = 1"])
    return sheets.figure


def traversal(
    vae: VAE, x: np.ndarray, image_shape: tuple[int, int], steps: int = 13, greys: Greys | None = None
) -> Figure:
    """Decoder means E[x|z] with one latent moved from -3 to 3 and the others kept at mu of an input: a latent a row.

    The rows are ordered by the latents' KL, averaged over x. A trained latent that says nothing about x has a KL near
    0, and its row hardly changes. A mark stands at the value that the latent has in mu.

    Shapes    x (B, D); its first row is the input that the traversal starts from.
    Units     z in standard deviations of the prior; KL in nats.
    """
    kl, (h, w) = kl_per_latent(vae, x), image_shape
    order = np.argsort(-kl, kind="stable")[: fewer(LATENTS, steps * vae.n_x)]  # (R,)
    rows = as_rows(vae, x[:1])  # (1, D)
    mu = to_numpy(vae.encode(rows)[0])  # (1, Z)
    R, values = len(order), np.linspace(-3, 3, steps)
    z = np.tile(mu, (R, steps, 1))  # (R, steps, Z)
    z[np.arange(R), :, order] = values
    moved = decoder_means(vae, z.reshape(R * steps, -1)).reshape(R, steps, h, w)
    head = np.full((1, steps, h, w), np.nan)  # the uppermost row: the input and its reconstruction, the rest empty
    head[0, :2] = to_numpy(rows).reshape(h, w), decoder_means(vae, mu).reshape(h, w)

    some = "" if len(kl) == R else f" ({R} of {len(kl)}, by their KL)"
    moved_in_words = f"Below, one latent at a time is moved{some}; the mark is its value in mu(x)."
    unit = "value of the latent, in standard deviations of the prior"
    greys = greys or grey_scale(vae, moved.reshape(-1, h * w), "decoder means")
    sheets = page(image_shape, [(R + 1, steps)], greys, left=0.95, head=0.5, foot=0.5, most=max(6.0, 0.55 * R))
    sheets.show(0, np.concatenate([head, moved]))
    ax = sheets.axes[0]
    ax.set_xlabel(unit, fontsize="small")
    ax.set_title(f"An input x, and E[x|z] at z = mu(x).\n{moved_in_words}", loc="left", fontsize="small")
    ax.set_xticks(np.arange(steps)[::2] + 0.5, [f"{value:g}".replace("-", "−") for value in values[::2]])
    labels = ["KL, nats", *(f"z{j + 1}   {kl[j]:.2f}" for j in order)]
    ax.set_yticks(R - 0.5 - np.arange(-1, R), labels, fontsize="small")
    marks = np.interp(mu[0, order], values, np.arange(steps) + 0.5)  # (R,)
    ax.scatter(marks, R - 0.96 - np.arange(R), marker="|", s=60, color=VERMILLION, linewidths=2, clip_on=False)
    return sheets.figure


def sheet(
    model: Model,
    x: np.ndarray,
    image_shape: tuple[int, int],
    title: str,
    greys: Greys | None = None,
    notes: Sequence[str] = (),
) -> Figure:
    """The rows of x as images, side by side in a square, and below them what notes say of them.

    Shapes    x (B, D).
    """
    shown = x[: fewer(len(x), x.shape[1])]  # (n, D)
    side, (h, w) = math.ceil(math.sqrt(len(shown))), image_shape
    R = math.ceil(len(shown) / side)
    tiles = np.full((R * side, h, w), np.nan)
    tiles[: len(shown)] = shown.reshape(-1, h, w)
    notes = [*notes, *([f"the first {len(shown):,} of {len(x):,}"] if len(shown) < len(x) else [])]
    sheets = page(image_shape, [(R, side)], greys or grey_scale(model, x, "images shown"), notes)
    sheets.show(0, tiles.reshape(R, side, h, w))
    sheets.axes[0].set_title(readable(title, 50))
    return sheets.figure
