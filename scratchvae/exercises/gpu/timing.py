"""What a clock shows of a device that works on by itself, on a machine whose times are known."""

from collections.abc import Callable
from typing import Any

import numpy as np

from scratchvae.exercises.blank import Slip, value

N = 4  # steps


class Machine:
    """A host and a device, and the time of each. The host asks for kernels one by one, and goes on; a queue keeps them.

    A launch takes the host a moment. The device begins a kernel when it has been asked for and the one before it is
    done. The first step is compiled before it is asked for. wait() ends when the device has nothing left to do.
    """

    def __init__(self, launch: float, work: float, kernels: int, compiling: float = 0.0, start: float = 0.0) -> None:
        self.launch, self.work, self.kernels, self.compiling = launch, work, kernels, compiling  # seconds of each
        self.start = self.host = self.device = start
        self.log: list[tuple[float, float, float]] = []  # of each kernel: asked for, begun, done

    def run(self, steps: int) -> None:
        """Ask for steps."""
        if not self.log:
            self.host += self.compiling
        for _ in range(steps * self.kernels):
            self.host += self.launch
            begun = max(self.device, self.host)
            self.device = begun + self.work
            self.log.append((self.host, begun, self.device))

    def wait(self) -> None:
        """Return when all that was asked for is done."""
        self.host = max(self.host, self.device)

    def clock(self) -> float:
        """The time, in seconds."""
        return self.host

    def fresh(self) -> "Machine":
        """The same machine, just switched on."""
        return Machine(self.launch, self.work, self.kernels, self.compiling, self.start)


def seconds_a_step(machine, n):
    """The mean time of n steps, one right after the other, without the first ever: -> a number.

    machine.run(n) asks for n steps; machine.wait() returns when all that was asked for is done;
    machine.clock() is the time.
    """
    machine.run(1)
    machine.wait()
    began = machine.clock()
    machine.run(n)
    machine.wait()
    return (machine.clock() - began) / n


def seconds_by_formula(machine: Machine, n: int) -> dict[str, float]:
    """The first kernel has to be asked for; from then on whichever is slower keeps the pace."""
    m, count = machine, n * machine.kernels
    return {"seconds": (m.launch + m.work + (count - 1) * max(m.launch, m.work)) / n}


def some_machine(rng: np.random.Generator) -> tuple[Machine, int]:
    """Its kernels take longer than a launch, so that a queue builds up."""
    launch = rng.uniform(4e-6, 6e-6)
    work = launch * rng.uniform(2, 5)
    return Machine(launch, work, int(rng.integers(3, 7)), rng.uniform(0.5, 2), rng.uniform(0, 10)), N


def of_a_fresh_one(answer: Callable[[Machine, int], Any]) -> Callable[[Machine, int], Any]:
    """A wrong answer, on a machine that no other answer has warmed up."""
    return lambda machine, n: answer(machine.fresh(), n)


def timed(warm: int, before: bool, inside: bool, after: bool) -> Callable[[Machine, int], float]:
    """warm steps, a wait or none; the clock, steps with or without a wait after each, a wait or none, the clock."""

    def answer(machine: Machine, n: int) -> float:
        machine.run(warm)
        if before:
            machine.wait()
        began = machine.clock()
        for _ in range(n):
            machine.run(1)
            if inside:
                machine.wait()
        if after:
            machine.wait()
        return (machine.clock() - began) / n

    return of_a_fresh_one(answer)


def from_the_start(machine: Machine, n: int) -> float:
    began = machine.clock()
    machine.run(1)
    machine.wait()
    machine.run(n)
    machine.wait()
    return (machine.clock() - began) / n


SECONDS = value(
    seconds_a_step,
    seconds_by_formula,
    some_machine,
    (
        "What has the device done when run() returns? What is it still doing when you read the clock for the first "
        "time? And what is special about the first step?",
        "(clock after - clock before) / n, where nothing is left in the queue at either reading, and one step has been "
        "run before",
        "run(1); wait(); began = clock(); run(n); ...; return (clock() - began) / ...",
    ),
    (
        Slip(
            timed(1, True, False, False),
            "factor",
            "the clock is read when the steps have been asked for: this is the time of the queue. Wait first",
        ),
        Slip(
            timed(1, False, False, True),
            "missing-term",
            "work of the first step is still in the queue when the clock starts: wait before that, too",
        ),
        Slip(
            timed(0, True, False, True),
            "missing-term",
            "the first step ever is in it, with all that is compiled: run one before you start the clock",
        ),
        Slip(
            timed(0, True, False, False),
            "missing-term",
            "the first step is in it, and the end is not: run one before, and wait at the end",
        ),
        Slip(
            of_a_fresh_one(from_the_start),
            "missing-term",
            "the clock starts before the first step: start it when that is done",
        ),
        Slip(
            timed(1, True, True, True),
            "missing-term",
            "the queue runs empty after every step, and none is asked for while another runs: wait once, after all n",
        ),
        Slip(
            of_a_fresh_one(lambda machine, n: n * seconds_a_step(machine, n)),
            "factor",
            "this is the time of all n steps: divide by n",
        ),
        Slip(
            of_a_fresh_one(lambda machine, n: seconds_a_step(machine, n) * n / (n + 1)),
            "factor",
            "divided by n + 1: the first step is not in the time, so do not count it",
        ),
        Slip(
            of_a_fresh_one(lambda machine, n: (n - 1) * seconds_a_step(machine, n - 1) / n),
            "factor",
            "n - 1 steps are in the time, and it is divided by n: the first step ever is not one of the n",
        ),
        Slip(
            of_a_fresh_one(lambda machine, n: seconds_a_step(machine, n - 1)),
            "factor",
            "n - 1 steps are timed: the first step ever is not one of the n",
        ),
        Slip(
            of_a_fresh_one(lambda machine, n: -seconds_a_step(machine, n)),
            "sign",
            "before minus after: the later reading is the larger one",
        ),
    ),
)
