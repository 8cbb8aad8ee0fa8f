"""The default run, as it is typed, on this machine as it is and while another process keeps one core busy.

python benchmarks/busy.py --out results/speed-busy
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

from report import load, ratios, spread, table, verdict, write
from turns import THREADS

TARGET = 1.3
SPIN = """
import os
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # one core, and always the same
while True:
    pass
"""


def seconds(options: list[str], busy: bool) -> float:
    """From the start of `python -m scratchvae train` to its end; no variable sets the number of its threads."""
    environment = {name: value for name, value in os.environ.items() if name not in THREADS}
    neighbours = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(busy)]
    try:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "scratchvae", "train", *options, "--out", str(Path(folder) / "run")]
            began = perf_counter()
            subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
            return perf_counter() - began
    finally:
        for neighbour in neighbours:
            neighbour.kill()
            neighbour.wait()


def main() -> None:
    """Idle, busy, idle, busy ..."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", default="30")
    parser.add_argument("--data", default="mnist-sample")
    parser.add_argument("--out", help="write OUT.md and OUT.json")
    args = parser.parse_args()

    before = load()
    options = ["--data", args.data, "--epochs", args.epochs]
    rounds = [[seconds(options, busy) for busy in (False, True)] for _ in range(args.rounds)]
    idle, busy = (list(times) for times in zip(*rounds, strict=True))
    slower = ratios(busy, idle)
    header = ["", "the machine as it is, s", "one more process that never rests, s", "the second / the first"]
    row = ["the default run", spread(idle), spread(busy), spread(slower)]
    text = (
        f"`python -m scratchvae train`, {args.epochs} epochs of {Path(args.data).stem}, from its start to its end.\n"
        f"The middle one of {args.rounds} rounds (lower to upper quartile); ratios are taken round by round.\n\n"
        f"{table(header, [row])}\n\n"
        f"- {median(slower):.2f} of the time on the machine as it is ({verdict(median(slower), TARGET)})"
    )
    write(args.out, "The default run beside a busy core", text, {"busy over idle": slower, "seconds": rounds}, before)


if __name__ == "__main__":
    main()
