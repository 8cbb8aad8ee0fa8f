"""How long `import scratchvae` takes beside `import numpy`, in fresh processes, in turn.

python benchmarks/startup.py --out results/speed-startup
"""

import argparse
import subprocess
import sys
from statistics import median
from time import perf_counter

from report import load, spread, table, verdict, write

CODES = {"python": "pass", "numpy": "import numpy", "scratchvae": "import scratchvae"}
TARGET = 100  # ms above NumPy's own


def milliseconds(code: str) -> float:
    """From the start of a Python process to its end."""
    began = perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return 1e3 * (perf_counter() - began)


def main() -> None:
    """Start one after the other, round by round."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=41)
    parser.add_argument("--out", help="write OUT.md and OUT.json")
    args = parser.parse_args()

    before = load()
    for code in CODES.values():
        milliseconds(code)  # not counted: the files come from the disk
    rounds = [{name: milliseconds(code) for name, code in CODES.items()} for _ in range(args.rounds)]
    times = {name: [one[name] for one in rounds] for name in CODES}
    above = [one["scratchvae"] - one["numpy"] for one in rounds]
    rows = [[f"`{CODES[name]}`", spread(ms, digits=0)] for name, ms in times.items()]
    rows.append(["scratchvae above NumPy", spread(above, digits=0)])
    text = (
        "A fresh Python process from its start to its end; the middle one of "
        f"{args.rounds} rounds (lower to upper quartile).\n\n"
        f"{table(['', 'ms'], rows)}\n\n- {median(above):.0f} ms above NumPy's own ({verdict(median(above), TARGET)})"
    )
    write(args.out, "Time to import", text, {"above_numpy": median(above), "milliseconds": times}, before)


if __name__ == "__main__":
    main()
