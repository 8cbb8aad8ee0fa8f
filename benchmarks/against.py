"""A training step of this checkout beside that of another one, for a change that must not cost anything.

    git worktree add ../before v0.1.0
    python benchmarks/against.py ../before

Both are the step of step.py, each in a process that imports its own checkout, and they take turns.
"""

import argparse
import os
from pathlib import Path
from statistics import median

import numpy as np
from report import load
from turns import Contestant, compete

HERE = Path(__file__).resolve().parents[1]


def contestant(checkout: Path) -> Contestant:
    """The step of a checkout, with one thread."""
    os.environ["PYTHONPATH"] = str(checkout)
    sizes = ["--serve=ours", "--batch=128", "--hidden=400", "--latent=20", "--threads=1"]
    return Contestant([str(checkout / "benchmarks" / "step.py"), *sizes], threads=1)


def main() -> None:
    """Print the median of the ratios, round by round, and how far apart they are."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("other", type=Path, help="the root of another checkout")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--steps", type=int, default=20, help="in each round")
    args = parser.parse_args()
    checkouts = {"this": HERE, "other": args.other.resolve()}
    times = compete({name: contestant(path) for name, path in checkouts.items()}, args.rounds, args.steps)
    this, other = (np.array(times[name]["wall"]) for name in checkouts)
    ratio = np.sort(this / other)
    low, high = ratio[len(ratio) // 4], ratio[3 * len(ratio) // 4]
    print(f"load before the start {load()}")
    print(f"this {1000 * median(this):.3f} ms, other {1000 * median(other):.3f} ms a step")
    print(f"this / other, round by round: {median(ratio):.4f}, half of them from {low:.4f} to {high:.4f}")


if __name__ == "__main__":
    main()
