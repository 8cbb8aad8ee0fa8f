"""plot: all pictures of a run once more, and those of its latent space."""

import argparse

import numpy as np

from scratchvae.commands.options import whole
from scratchvae.commands.saved import HeldOut, add_data, add_run, held_out, open_run
from scratchvae.vae import VAE

HELP = "draw the pictures of a run again, and add interpolation and, for a VAE, traversal"
EXAMPLE = """examples:
  python -m scratchvae plot runs/mnist-sample-vae-2
  python -m scratchvae plot runs/mnist-sample-vae-2 --seed 1"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which run."""
    add_run(parser)
    add_data(parser)
    parser.add_argument("--seed", type=whole, default=0, metavar="N", help="of the generated samples (default 0)")


def run(args: argparse.Namespace) -> int:
    """Draw what makes sense for this model and these data; pictures of the same name are replaced."""
    saved = open_run(args.run)
    seen = held_out(saved, args.data)

    from scratchvae.view.latent import interpolation, traversal  # why: matplotlib takes long to import
    from scratchvae.view.plots import write_pictures
    from scratchvae.view.png import save_png
    from scratchvae.view.tiles import grey_scale

    model, rng = saved.checkpoint.model, np.random.default_rng(args.seed)
    paths = write_pictures(model, seen.data, saved.checkpoint.history, saved.folder, rng, seen.binarise)
    shape, x = seen.data.image_shape, seen.x
    figures = {}
    if shape is not None:
        starts, ends = pairs(seen)
        greys = grey_scale(model, x)
        if len(starts):
            figures["interpolation"] = interpolation(model, x[starts], x[ends], shape, greys=greys)
        if isinstance(model, VAE):
            figures["traversal"] = traversal(model, x, shape, greys=greys)
    for name, figure in figures.items():
        paths.append(saved.folder / f"{name}.png")
        save_png(figure, paths[-1])
    print(seen.describe())
    print(f"pictures in {saved.folder}/: {', '.join(path.name for path in paths)}")
    return 0


def pairs(seen: HeldOut) -> tuple[np.ndarray, np.ndarray]:
    """Which held-out images to join, five pairs at most: the first of each class, of ten 0 with 5, 1 with 6, ..."""
    y = seen.data.y_test
    first = np.array([]) if y is None else np.unique(y, return_index=True)[1]
    chosen = first[:10] if len(first) > 1 else np.arange(min(10, len(seen.x)))
    half = len(chosen) // 2
    return chosen[:half], chosen[half : 2 * half]
