"""time_limit: what runs within it ends in time, whatever it is. By an alarm; where there is none, by looking on.

A browser has no alarms and no threads, but Python can call a function before every instruction: slow, and it works.
"""

import contextlib
import math
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from types import FrameType
from typing import Any

EVERY = 0.002  # seconds from one alarm to the next: code that swallows the first one meets another
EXITS = (__file__, contextlib.__file__)  # where the exits of a time limit and of a contextmanager are written
LOOKS = 100  # instructions from one look at the clock to the next


class OutOfTime(BaseException):
    """The time is over. No Exception: a loop with `except Exception` in it is to end as well."""


def time_limit(seconds: float) -> AbstractContextManager[None]:
    """with time_limit(0.3): f()    raises OutOfTime if f takes longer.

    Neither way ends a single call of compiled code. Where there are no alarms only the functions that the body calls
    are looked at, and one that catches BaseException goes on.
    """
    if not seconds > 0:
        raise ValueError(f"seconds should be a positive number, got {seconds}")
    return Alarm(seconds) if has_alarms() else watch(seconds)


def has_alarms() -> bool:
    """Signals reach the main thread only, and no browser."""
    here = threading.current_thread() is threading.main_thread()
    return here and hasattr(signal, "setitimer") and sys.platform != "emscripten"


class Alarm(AbstractContextManager[None]):
    """The same by SIGALRM. An alarm that somebody else had set rings when it would have, or right after.

    Where nobody had, and the handler was the default, this one stays and does nothing.
    """

    def __init__(self, seconds: float):
        self.seconds, self.end = seconds, math.inf

    def ring(self, number: int, frame: FrameType | None) -> None:
        # why: on the way out the next alarm waits for the first call, which may be the exit of a `with`; a generator
        # or an alarm whose exit is cut off at its first line is never closed, and rings on into whoever comes after
        if time.monotonic() >= self.end and frame and frame.f_code.co_filename not in EXITS:
            raise OutOfTime(f"took more than {self.seconds:g} seconds")

    def __enter__(self) -> None:
        self.start, self.handler = time.monotonic(), signal.signal(signal.SIGALRM, self.ring)
        self.before = signal.setitimer(signal.ITIMER_REAL, self.seconds, EVERY)
        self.end = self.start + self.seconds  # why last: until here, and from the exit on, no alarm is of this limit

    def __exit__(self, *error: object) -> None:
        self.end = math.inf
        signal.setitimer(signal.ITIMER_REAL, 0)
        delay, interval = self.before
        # why: a last alarm may still be on its way, through another thread, and the default is to end the process
        if delay or self.handler != signal.SIG_DFL:
            signal.signal(signal.SIGALRM, self.handler)
        if delay:
            signal.setitimer(signal.ITIMER_REAL, max(1e-6, delay - time.monotonic() + self.start), interval)


@contextmanager
def watch(seconds: float) -> Iterator[None]:
    """The same by a trace function, in all that is called from here on."""
    end, count = time.monotonic() + seconds, 0

    def look(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        count += 1
        if count % LOOKS == 0 and time.monotonic() > end:
            raise OutOfTime(f"took more than {seconds:g} seconds")
        frame.f_trace_opcodes = True  # why: a loop on one line is one line
        return look

    before = sys.gettrace()
    sys.settrace(look)
    try:
        yield
    finally:
        sys.settrace(before)
