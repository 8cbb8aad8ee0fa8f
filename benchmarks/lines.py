"""Where a training step spends its time: the seconds of each line of the package, measured inside the running step.

    python benchmarks/lines.py

A line is charged with what passes between its start and the start of the next one; what it calls is charged to the
lines called. Watching costs about a microsecond a line, or some 0.2 ms of a step; lines are compared, not added up.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # why: before numpy is imported

import argparse
import linecache
import sys
from collections import Counter
from pathlib import Path
from time import thread_time

from vae_step import training_step

PACKAGE = str(Path(sys.modules["scratchvae"].__file__).parent)  # type: ignore[arg-type]


def seconds_per_line(step, steps: int) -> Counter:
    """(file, line) -> processor seconds a step, over so many steps of one thread."""
    spent: Counter = Counter()
    here = [("", 0)]  # the line being run, under those that called it
    since = [thread_time()]

    def charge() -> None:
        now = thread_time()
        spent[here[-1]] += now - since[0]
        since[0] = thread_time()

    def watch(frame, event, _):
        charge()
        place = (frame.f_code.co_filename, frame.f_lineno)
        if event == "call":
            here.append(place)
        elif event == "line":
            here[-1] = place
        elif event == "return":
            here.pop()
        return watch

    sys.settrace(watch)
    for _ in range(steps):
        step()
    sys.settrace(None)
    return Counter({place: total / steps for place, total in spent.items()})


def main() -> None:
    """Print the dearest lines, and what the rest comes to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--lines", type=int, default=40, help="how many to show")
    args = parser.parse_args()

    step = training_step()
    for _ in range(10):
        step()
    spent = seconds_per_line(step, args.steps)
    whole = sum(spent.values())
    print(f"{1e3 * whole:.2f} ms a step, watched")
    for (file, line), seconds in spent.most_common(args.lines):
        where, text = f"{file.removeprefix(PACKAGE + os.sep)}:{line}", linecache.getline(file, line).strip()
        print(f"{1e3 * seconds:7.3f} ms {100 * seconds / whole:5.1f} %  {where:22} {text}")


if __name__ == "__main__":
    main()
