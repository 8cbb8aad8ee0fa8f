"""An epoch of the default run with one and with two BLAS threads, while the other core rests and while it is busy.

python benchmarks/threads.py --out results/speed-threads
"""

import argparse
import subprocess
import sys
from pathlib import Path
from statistics import median

from report import load, ratios, spread, table, write
from turns import Contestant, compete

EPOCH = str(Path(__file__).with_name("epoch.py"))
SPIN = [sys.executable, "-c", "while True: pass"]


def main() -> None:
    """Race one thread against two, without and with a neighbour that never rests."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--data", default="mnist-sample")
    parser.add_argument("--out", help="write OUT.md and OUT.json")
    args = parser.parse_args()

    before = load()
    rows, results = [], {}
    for neighbours, words in ((0, "the machine as it is"), (1, "one more process that never rests")):
        others = [subprocess.Popen(SPIN) for _ in range(neighbours)]
        command = [EPOCH, "--serve=ours", f"--data={args.data}", "--latent=2"]
        times = compete({str(n): Contestant(command, threads=n) for n in (1, 2)}, args.rounds, steps=1)
        for other in others:
            other.kill()
            other.wait()
        two = ratios(times["2"]["wall"], times["1"]["wall"])
        rows.append([words, spread(times["1"]["wall"]), spread(times["2"]["wall"]), spread(two)])
        results[words] = {"two over one": median(two), "seconds": times}
    header = ["", "one thread, s an epoch", "two threads, s an epoch", "two / one"]
    text = (
        f"An epoch of the default run: {Path(args.data).stem}, 784-400-2-400-784, batch 128.\n"
        f"The middle one of {args.rounds} rounds (lower to upper quartile); ratios are taken round by round.\n\n"
        f"{table(header, rows)}"
    )
    write(args.out, "One BLAS thread or two", text, results, before)


if __name__ == "__main__":
    main()
