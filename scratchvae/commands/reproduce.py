"""reproduce: run a row of the ledger of published numbers again."""

import argparse
import statistics
from pathlib import Path

from scratchvae.commands.options import command_line
from scratchvae.data import load_data
from scratchvae.reproduction import trained
from scratchvae.reproduction.rows import Row, row, rows
from scratchvae.run_folder import RunFolder

HELP = "run a row of the ledger of published numbers again, or list the rows"
EXAMPLE = """examples:
  python -m scratchvae reproduce
  python -m scratchvae reproduce iwae-table-1-vae
  python -m scratchvae reproduce iwae-table-1-vae --data folder/with/mnist"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which row, and where its data are."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="a row; without it all are listed")
    parser.add_argument("--data", metavar="PATH", help="where the data of the row are, if not in the usual place")
    parser.add_argument("--out", metavar="FOLDER", help="run folder (default runs/NAME); a stopped run in it goes on")


def run(args: argparse.Namespace) -> int:
    """List the rows, or run one: train, measure, and write what was found beside its configuration."""
    if args.name is None:
        for each in rows():
            print(f"{each.name:<28} {each.config['title']}")
        return 0
    chosen = row(args.name)
    with RunFolder(Path("runs") / chosen.name if args.out is None else args.out) as folder:
        try:
            return carry_out(chosen, folder, args.data or chosen.config["data"])
        except KeyboardInterrupt:
            print(f"\nstopped; what is done is kept. Go on with: {command_line('reproduce', chosen.name)}")
            raise


def carry_out(chosen: Row, folder: RunFolder, where: str) -> int:
    """Train, measure, write."""
    config, data = chosen.config, load_data(where)
    print(config["title"], flush=True)
    vae, seconds = trained.train(config, data, folder)
    found = trained.measured(config, data, vae, folder.path)
    minutes = len(seconds) * statistics.median(seconds) / 60  # why the median: other work beside it slows some epochs
    file = chosen.write({"minutes": round(minutes, 1), **found})
    for K, value in found["minus_log_px"].items():
        print(f"-log p(x), {int(K):,} draws: {value['mean']:.2f} +- {value['standard_error']:.2f}")
    print(f"wrote {file}")
    return 0
