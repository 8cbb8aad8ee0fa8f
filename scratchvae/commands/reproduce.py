"""reproduce: run a row of the ledger of published numbers again."""

import argparse
import json
import time
from pathlib import Path
from typing import Any

from scratchvae.commands.options import command_line
from scratchvae.data import load_data
from scratchvae.reproduction import linear, score_function, signal_to_noise, trained
from scratchvae.reproduction.rows import Row, row, rows
from scratchvae.run_folder import RunFolder

HELP = "run a row of the ledger of published numbers again, or list the rows"
EXAMPLE = """examples:
  python -m scratchvae reproduce
  python -m scratchvae reproduce table-1-vae
  python -m scratchvae reproduce table-1-vae --data folder/with/mnist"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which row, and where its data are."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="a row; without it all are listed")
    parser.add_argument("--data", metavar="PATH", help="where the data of the row are, if not in the usual place")
    parser.add_argument("--out", metavar="FOLDER", help="run folder (default runs/NAME); a stopped run in it goes on")


def run(args: argparse.Namespace) -> int:
    """List the rows, or run one, and write what was found beside its configuration."""
    if args.name is None:
        for each in rows():
            print(f"{each.name:<24} {each.config['title']}")
        return 0
    chosen = row(args.name)
    print(chosen.config["title"], flush=True)
    began = time.perf_counter()
    found = measured(chosen, args.data or chosen.config.get("data", ""), args.out or Path("runs") / chosen.name)
    found = {"minutes": round((time.perf_counter() - began) / 60, 2), **found}
    print(json.dumps(found, indent=2))
    print(f"wrote {chosen.write(found)}")
    return 0


def measured(chosen: Row, where: str, out: str | Path) -> dict[str, Any]:
    """What a row finds, by its kind; the long ones can be stopped and go on."""
    config = chosen.config
    match config["kind"]:
        case "signal-to-noise":
            return signal_to_noise.measured(config)
        case "score-function":
            return score_function.measured(config)
        case "linear":
            return linear.measured(config, load_data(where))
        case "trained":
            with RunFolder(out) as folder:
                try:
                    return trained.measured(config, load_data(where), folder)
                except KeyboardInterrupt:
                    print(f"\nstopped; what is done is kept. Go on with: {command_line('reproduce', chosen.name)}")
                    raise
    raise ValueError(f"the kind of a row should be one that `reproduce` knows, got {config['kind']!r}")
