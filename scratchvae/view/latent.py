"""Pictures of the latent space: the line between two inputs, what moving each latent does, and what was generated.

As in `plots`, every function returns a matplotlib Figure of its own.

Sizes: B batch, D data, Z latent; images are (h, w) with h w = D.
"""

import math

import numpy as np
from matplotlib.figure import Figure

from scratchvae.autoencoder import Autoencoder
from scratchvae.backend import to_numpy
from scratchvae.evaluation import kl_per_latent
from scratchvae.vae import VAE
from scratchvae.view.plots import GREY, VERMILLION, WIDTH, _as_rows, _grey_range, _grey_scale, _show_tiles

LATENTS = 50  # rows of a traversal that one picture holds


def interpolation(
    model: Autoencoder, starts: np.ndarray, ends: np.ndarray, image_shape: tuple[int, int], steps: int = 9
) -> Figure:
    """Decoder means E[x|z] at z = (1 - t) z_a + t z_b, t from 0 to 1, between the codes of two inputs a and b.

    The code is the posterior's mean mu for a VAE, f(x) for an autoencoder. The inputs themselves stand at both ends.

    Shapes    starts, ends (B, D), a row of the picture each.
    """
    B, (h, w) = len(starts), image_shape
    inputs = [to_numpy(_as_rows(model, x)) for x in (starts, ends)]  # (B, D) each
    z_a, z_b = (to_numpy(model.encode(x)[0]) for x in inputs)  # (B, Z) each
    t = np.linspace(0, 1, steps)[:, None]  # (steps, 1)
    z = (1 - t) * z_a[:, None] + t * z_b[:, None]  # (B, steps, Z)
    means = decoder_means(model, z.reshape(B * steps, -1)).reshape(B, steps, h, w)

    figure = Figure(figsize=(WIDTH, 0.9 + WIDTH / (steps + 2.5) * B * h / w), layout="constrained")
    axes = figure.subplots(1, 3, width_ratios=[1, steps, 1])
    images = (inputs[0].reshape(B, 1, h, w), means, inputs[1].reshape(B, 1, h, w))
    where = "mu(a) to mu(b)" if isinstance(model, VAE) else "f(a) to f(b)"
    titles = ("input a", f"E[x|z] for z on the line from {where}: decoder means", "input b")
    limits = _grey_range(model, inputs[0])
    for ax, shown, title in zip(axes, images, titles, strict=True):
        _show_tiles(ax, shown, limits)
        ax.set_title(title, fontsize="medium")
    axes[1].set_xlabel(_grey_scale(limits), fontsize="small", color=GREY)
    axes[1].set_xticks([0.5, steps / 2, steps - 0.5], ["t = 0", "t = 1/2", "t = 1"])
    return figure


def traversal(vae: VAE, x: np.ndarray, image_shape: tuple[int, int], steps: int = 13) -> Figure:
    """Decoder means E[x|z] with one latent moved from -3 to 3 and the others kept at mu of an input: a latent a row.

    The rows are ordered by the latents' KL, averaged over x. A latent that says nothing about x has a KL near 0, and
    its row does not change. A mark stands at the value that the latent has in mu.

    Shapes    x (B, D); its first row is the input that the traversal starts from.
    Units     z in standard deviations of the prior; KL in nats.
    """
    kl, (h, w) = kl_per_latent(vae, x), image_shape
    order = np.argsort(-kl, kind="stable")[:LATENTS]  # (R,)
    rows = _as_rows(vae, x[:1])  # (1, D)
    mu = to_numpy(vae.encode(rows)[0])  # (1, Z)
    R, values = len(order), np.linspace(-3, 3, steps)
    z = np.tile(mu, (R, steps, 1))  # (R, steps, Z)
    z[np.arange(R), :, order] = values
    moved = decoder_means(vae, z.reshape(R * steps, -1)).reshape(R, steps, h, w)
    head = np.full((1, steps, h, w), np.nan)  # the uppermost row: the input and its reconstruction, the rest empty
    head[0, :2] = to_numpy(rows).reshape(h, w), decoder_means(vae, mu).reshape(h, w)

    tile = 0.85 * WIDTH / steps * h / w
    figure = Figure(figsize=(WIDTH, 0.9 + tile * (R + 1)), layout="constrained")
    limits = _grey_range(vae, moved)
    ax = figure.add_subplot()
    _show_tiles(ax, np.concatenate([head, moved]), limits)
    unit = "value of the latent, in standard deviations of the prior"
    ax.set_xlabel(f"{unit}\n{_grey_scale(limits)}", fontsize="small", color=GREY)
    some = "" if len(kl) == R else f" ({R} of {len(kl)}, by their KL)"
    moving = f"Below, one latent at a time is moved{some}; the mark is its value in mu(x)."
    note = f"An input x, and E[x|z] at z = mu(x).\n{moving}"
    ax.text(2.15, R + 0.5, note, va="center", fontsize="small", in_layout=False)
    ax.set_xticks(np.arange(steps)[::2] + 0.5, [f"{value:g}".replace("-", "−") for value in values[::2]])
    ax.set_yticks(
        R - 0.5 - np.arange(-1, R), ["KL, nats", *(f"z{j + 1}   {kl[j]:.2f}" for j in order)], fontsize="small"
    )
    marks = np.interp(mu[0, order], values, np.arange(steps) + 0.5)  # (R,)
    ax.scatter(marks, R - 0.96 - np.arange(R), marker="|", s=60, color=VERMILLION, linewidths=2, clip_on=False)
    return figure


def sheet(model: Autoencoder, x: np.ndarray, image_shape: tuple[int, int], title: str) -> Figure:
    """The rows of x as images, side by side in a square; what is left of its last row stays empty.

    Shapes    x (B, D).
    """
    side, (h, w) = math.ceil(math.sqrt(len(x))), image_shape
    tiles = np.full((math.ceil(len(x) / side) * side, h, w), np.nan)
    tiles[: len(x)] = x.reshape(-1, h, w)
    figure = Figure(figsize=(0.8 * WIDTH, 0.4 + 0.8 * WIDTH * len(tiles) / side**2 * h / w), layout="constrained")
    ax = figure.add_subplot(title=title)
    limits = _grey_range(model, x)
    _show_tiles(ax, tiles.reshape(-1, side, h, w), limits)
    ax.set_xlabel(_grey_scale(limits), fontsize="small", color=GREY)
    return figure


def decoder_means(model: Autoencoder, z: np.ndarray) -> np.ndarray:
    """E[x|z] on the host.

    Shapes    z (B, Z) -> (B, D).
    """
    logits, _ = model.decode(z)  # (B, D)
    return to_numpy(model.likelihood.mean(logits))
