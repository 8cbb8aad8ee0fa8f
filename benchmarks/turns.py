"""Contestants take turns, A B C A B C ..., each in a process of its own, so that all of them meet the same weather.

A contestant is a script that gets ready and then calls `serve(step)`. The others sleep while one has its turn.
"""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from time import perf_counter, process_time, sleep
from typing import Any

THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
REST = 0.05  # seconds between turns: threads that spin on after their work fall asleep

Times = dict[str, dict[str, list[float]]]  # contestant -> "wall" and "processor": seconds a step, a number a round


def serve(step: Callable[[], Any], rehearse: bool = True) -> None:
    """Read numbers of steps from standard input; for each take so many steps and print how long they took.

    With rehearse every turn begins with a step that is not timed: the caches fill up again.

    Units     seconds a step: "wall" is the median over the steps of the turn, "processor" is of all threads together.
    """
    step()
    print("ready", flush=True)
    for line in sys.stdin:
        if rehearse:
            step()
        seconds = []
        processor = process_time()
        for _ in range(int(line)):
            began = perf_counter()
            step()
            seconds.append(perf_counter() - began)
        processor = (process_time() - processor) / len(seconds)
        print(json.dumps({"wall": statistics.median(seconds), "processor": processor}), flush=True)


class Contestant:
    """A script at work in a process of its own, with so many threads."""

    def __init__(self, command: Sequence[str], threads: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *command],
            env={**os.environ, **dict.fromkeys(THREADS, str(threads))},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        while self.answer().strip() != "ready":
            pass

    def answer(self) -> str:
        """Its next line."""
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("a contestant stopped; its message stands above")
        return line

    def turn(self, steps: int) -> dict[str, float]:
        """Let it take so many steps."""
        print(steps, file=self.process.stdin, flush=True)
        return json.loads(self.answer())

    def leave(self) -> None:
        """End its process."""
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def compete(contestants: dict[str, Contestant], rounds: int, steps: int) -> Times:
    """So many rounds, in each of which everybody takes so many steps; then they leave."""
    times: Times = {name: {"wall": [], "processor": []} for name in contestants}
    for _ in range(rounds):
        for name, contestant in contestants.items():
            sleep(REST)
            for clock, seconds in contestant.turn(steps).items():
                times[name][clock].append(seconds)
    for contestant in contestants.values():
        contestant.leave()
    return times
