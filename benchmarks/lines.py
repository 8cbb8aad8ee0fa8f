"""Where a training step spends its time: the milliseconds of each line of the package, inside the running step.

    python benchmarks/lines.py --out results/speed-lines

A line is charged with what passes from its start to the start of the next; what it calls, to the lines called.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # why: before numpy is imported

import argparse
import linecache
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import thread_time
from types import FrameType
from typing import Any

from report import load, table, write
from vae_step import training_step

Place = tuple[str, int]  # a file and a line of it


def seconds_of_lines(step: Callable[[], None]) -> Counter[Place]:
    """The processor time of every line during one step."""
    spent: Counter[Place] = Counter()
    running: list[Place] = [("", 0)]  # the line that runs, below those that called it
    since = thread_time()

    def watch(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal since
        spent[running[-1]] += thread_time() - since
        place = (frame.f_code.co_filename, frame.f_lineno)
        if event == "call":
            running.append(place)
        elif event == "line":
            running[-1] = place
        elif event == "return":
            running.pop()
        since = thread_time()
        return watch

    sys.settrace(watch)
    step()
    sys.settrace(None)
    return spent


def main() -> None:
    """Print the dearest lines."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--lines", type=int, default=40, help="how many to show")
    parser.add_argument("--out", help="write OUT.md and OUT.json")
    args = parser.parse_args()

    before = load()
    step = training_step()
    for _ in range(10):
        step()
    steps = [seconds_of_lines(step) for _ in range(args.steps)]
    spent = {place: 1e3 * median(seconds[place] for seconds in steps) for place in steps[0]}
    whole = sum(spent.values())
    rows = []
    for (file, line), ms in sorted(spent.items(), key=lambda item: -item[1])[: args.lines]:
        code = linecache.getline(file, line).split("  #")[0].strip().replace("|", "\\|")
        rows.append([f"`{code}`", Path(file).name, f"{ms:.3f}", f"{100 * ms / whole:.1f}"])
    text = (
        "One step of the 784-400-20-400-784 VAE at batch 128, float32, one thread, processor time: the median over\n"
        f"{args.steps} steps, all calls of a line in a step together. Being watched costs most lines about 0.001 ms a\n"
        f"call, which is in the figures; the sum of all lines is {whole:.2f} ms.\n\n"
        f"{table(['line', 'file', 'ms', '%'], rows)}"
    )
    write(args.out, "The lines of a training step", text, {"milliseconds": rows}, before)


if __name__ == "__main__":
    main()
