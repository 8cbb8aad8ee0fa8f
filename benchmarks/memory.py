"""How much memory training on all of MNIST takes: the most that a fresh process ever held.

python benchmarks/memory.py --out results/speed-memory
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from report import load, table, verdict, write

MEGABYTE = 1e6
TARGET = 300  # MB
STAGES = {"numpy": "NumPy imported", "data": "data loaded", "fit": "one epoch of `fit`, its checkpoint written"}


def peak() -> float:
    """The most memory that this process held so far, in MB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MEGABYTE


def train(data_name: str) -> dict[str, float]:
    """Train for an epoch, and note the peak after every stage."""
    import numpy as np

    peaks = {"numpy": peak()}

    from scratchvae import VAE, Adam, fit, load_data

    data = load_data(data_name)
    peaks["data"] = peak()
    rng = np.random.default_rng(0)
    vae = VAE(784, (400,), 20, rng=rng)
    with tempfile.TemporaryDirectory() as out:
        fit(vae, data.x_train, data.x_test, epochs=1, optimizer=Adam(), rng=rng, out=out, progress=False)
    return {**peaks, "fit": peak()}


def main() -> None:
    """Train in a fresh process, and say what it held."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--out", help="write OUT.md and OUT.json")
    parser.add_argument("--fresh", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.fresh:
        print(json.dumps(train(args.data)))
        return

    before = load()
    command = [sys.executable, __file__, "--fresh", f"--data={args.data}"]
    peaks = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout)
    rows = [[STAGES[stage], f"{megabytes:.0f}"] for stage, megabytes in peaks.items()]
    text = (
        f"{Path(args.data).stem}, 784-400-20-400-784, batch 128; a fresh process, the most that was ever resident.\n\n"
        f"{table(['after', 'MB'], rows)}\n\n- {peaks['fit']:.0f} MB ({verdict(peaks['fit'], TARGET)})"
    )
    write(args.out, "Memory of a training run", text, {"megabytes": peaks}, before)


if __name__ == "__main__":
    main()
