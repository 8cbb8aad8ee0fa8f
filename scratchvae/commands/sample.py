"""sample: new images from the prior, as arrays and as a picture, into the run folder."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scratchvae.backend import to_numpy
from scratchvae.commands.options import count, whole
from scratchvae.commands.saved import SavedRun, add_run, held_out, open_run
from scratchvae.run_folder import write_whole

if TYPE_CHECKING:
    from scratchvae.view.tiles import Greys

HELP = "generate from a trained VAE: an .npz and a picture in its run folder"
EXAMPLE = """examples:
  python -m scratchvae sample runs/mnist-sample-vae-2
  python -m scratchvae sample runs/mnist-sample-vae-2 -n 1000 --draw --seed 1"""
SHOWN = 400  # images that one picture holds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which run, how many, and what of p(x|z) to keep."""
    add_run(parser)
    parser.add_argument("-n", type=count, default=64, metavar="N", help="how many (default 64)")
    parser.add_argument(
        "--draw", action="store_true", help="draws x ~ p(x|z), instead of the decoder means E[x|z] that figures show"
    )
    parser.add_argument("--seed", type=whole, default=0, metavar="N", help="of the latents and the draws (default 0)")


def run(args: argparse.Namespace) -> int:
    """z ~ N(0, I), then the mean of p(x|z) or a draw from it; nothing that is there already is overwritten."""
    saved = open_run(args.run)
    vae, rng = saved.vae, np.random.default_rng(args.seed)
    z = vae.draw_eps(args.n, rng)  # (n, Z)
    logits, _ = vae.decode(z)  # (n, D n_params)
    x = to_numpy(vae.likelihood.sample(logits, rng) if args.draw else vae.likelihood.mean(logits))  # (n, D)
    name, key = ("draws", "x_sample") if args.draw else ("means", "x_mean")
    of = "x ~ p(x|z)" if args.draw else "E[x|z]"
    what = ("draw" if args.draw else "decoder mean") + "s" * (args.n > 1)
    arrays, picture = claim_names(saved.folder, f"sample-{name}", (".npz", ".png"))
    content = {key: x, "z": to_numpy(z)}
    write_whole(arrays, lambda file: np.savez_compressed(file, **content))  # type: ignore[arg-type, unused-ignore]
    print(f"{args.n:,} {what} {of}, z ~ N(0, I), seed {args.seed}")
    print(f"wrote {arrays}: {key} {x.shape}, and the latents that they were made of: z {z.shape}")
    if saved.image_shape is not None:
        from scratchvae.view.latent import sheet  # why: matplotlib takes longer to import than all the rest
        from scratchvae.view.png import save_png
        from scratchvae.view.tiles import GRAIN

        part = f", the first {SHOWN} of {args.n:,}" if args.n > SHOWN else ""
        title = f"{what.capitalize()} {of}, z ~ N(0, I){part}"
        notes = [GRAIN] if args.draw else []
        save_png(sheet(vae, x[:SHOWN], saved.image_shape, title, greys_of_run(saved), notes), picture)
        print(f"wrote {picture}")
    return 0


def greys_of_run(saved: SavedRun) -> "Greys | None":
    """The grey scale that the other pictures of the run have, if the images that it comes from are still there."""
    from scratchvae.view.tiles import grey_scale

    try:
        return grey_scale(saved.vae, held_out(saved).x)
    except (ValueError, OSError):
        return None


def claim_names(folder: Path, name: str, suffixes: tuple[str, ...]) -> list[Path]:
    """name, name-2, name-3, ...: the first that no file with one of the suffixes has yet; the first file is made."""
    number = 1
    while True:
        stem = name if number == 1 else f"{name}-{number}"
        paths = [folder / f"{stem}{suffix}" for suffix in suffixes]
        if not any(path.exists() for path in paths):
            try:
                paths[0].touch(exist_ok=False)  # why: of two processes that ask at once, one is told that it made it
                return paths
            except FileExistsError:
                pass
        number += 1
