"""data: which data sets there are, where they lie, and fetching one."""

import argparse

from scratchvae.commands.options import command_line
from scratchvae.data import load_data
from scratchvae.data.download import data_folder, state
from scratchvae.data.sources import SOURCES

HELP = "list the data sets, or fetch one and verify it"
EXAMPLE = """examples:
  python -m scratchvae data
  python -m scratchvae data mnist
  SCRATCHVAE_DATA=shared python -m scratchvae data fashion-mnist"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which one to fetch."""
    parser.add_argument(
        "name", nargs="?", choices=list(SOURCES), metavar="NAME", help=f"one of {', '.join(SOURCES)}; none: list them"
    )


def run(args: argparse.Namespace) -> int:
    """List, or fetch what is not there yet; 0 unless that fails."""
    if args.name is None:
        print(table())
        print(f"\nfetch one with: {command_line('data', 'NAME')}; SCRATCHVAE_DATA chooses another folder")
        return 0
    data = load_data(args.name)
    h, w = data.image_shape or (1, data.x_train.shape[1])
    print(f"{args.name}: {len(data.x_train):,} + {len(data.x_test):,} images of {h} x {w}, verified")
    print(f"in {data_folder() / args.name}; train on it with: {command_line('train', '--data', args.name)}")
    return 0


def table() -> str:
    """A line a data set: name, images, size, state, place."""
    rows = [("name", "images", "size", "state", "where")]
    rows.append(("mnist-sample", "10,000 + 2,000", "2 MB", "ready", "inside the package"))
    for name, source in SOURCES.items():
        where = str(data_folder() / name)
        rows.append((name, "60,000 + 10,000", f"{source.megabytes} MB", state(name), where))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    return "\n".join("  ".join([*(f"{t:<{n}}" for t, n in zip(row, widths, strict=False)), row[4]]) for row in rows)
