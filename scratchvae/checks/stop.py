"""time_limit: what runs within it ends in time, whatever it is. By an alarm; where there is none, by looking on.

A browser has no alarms and no threads, but Python can call a function before every instruction: slow, and it works.
"""

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

EVERY = 0.002  # seconds from one alarm to the next: code that swallows the first one meets another
LOOKS = 100  # instructions from one look at the clock to the next


class OutOfTime(BaseException):
    """The time is over. No Exception: a loop with `except Exception` in it is to end as well."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """with time_limit(0.3): f()    raises OutOfTime if f takes longer.

    Neither way ends a single call of compiled code. Where there are no alarms only the functions that the body calls
    are looked at, and one that catches BaseException goes on.
    """
    if not seconds > 0:
        raise ValueError(f"seconds should be a positive number, got {seconds}")
    with alarm(seconds) if has_alarms() else watch(seconds):
        yield


def has_alarms() -> bool:
    """Signals reach the main thread only, and no browser."""
    here = threading.current_thread() is threading.main_thread()
    return here and hasattr(signal, "setitimer") and sys.platform != "emscripten"


@contextmanager
def alarm(seconds: float) -> Iterator[None]:
    """The same by SIGALRM. An alarm that somebody else had set rings when it would have, or right after."""
    over = False

    def ring(number: int, frame: FrameType | None) -> None:
        if not over:
            raise OutOfTime(f"took more than {seconds:g} seconds")

    start, handler = time.monotonic(), signal.signal(signal.SIGALRM, ring)
    delay, interval = signal.setitimer(signal.ITIMER_REAL, seconds, EVERY)
    try:
        yield
    finally:
        over = True  # why: an alarm that rings from here on would end the clearing up
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if delay:
            signal.setitimer(signal.ITIMER_REAL, max(1e-6, delay - time.monotonic() + start), interval)


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
