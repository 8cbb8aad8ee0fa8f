"""time_limit: what does not end is ended, with alarms and without."""

import contextlib
import signal
import sys
import threading
import time

import pytest

from scratchvae.checks import stop
from scratchvae.checks.stop import OutOfTime, time_limit


def forever():
    while True:
        pass


def swallows():
    """A loop that catches all that it may."""
    while True:
        with contextlib.suppress(Exception):
            time.sleep(0)


@pytest.mark.parametrize("loop", [forever, swallows])
@pytest.mark.parametrize("alarms", [True, False])
def test_a_loop_without_end_is_ended_in_time(loop, alarms, monkeypatch):
    if not alarms:
        monkeypatch.setattr(stop, "has_alarms", lambda: False)
    start = time.monotonic()
    with pytest.raises(OutOfTime, match=r"took more than 0\.3 seconds"), time_limit(0.3):
        loop()
    assert 0.25 < time.monotonic() - start < 1.5


def test_no_alarm_rings_after_the_end(monkeypatch):
    """On a busy machine the next alarm is due while the first one is on its way out."""
    monkeypatch.setattr(stop, "EVERY", 2e-5)

    @contextlib.contextmanager
    def within():
        with time_limit(0.0005):
            yield

    for limit in (lambda: time_limit(0.0005), within) * 200:
        with contextlib.suppress(OutOfTime), limit():
            forever()
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    signal.raise_signal(signal.SIGALRM)  # and one that comes late ends nobody


def test_in_a_thread_there_are_no_alarms():
    seen = []

    def work():
        try:
            with time_limit(0.2):
                forever()
        except OutOfTime:
            seen.append("ended")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(5)
    assert seen == ["ended"]


@pytest.mark.parametrize("alarms", [True, False])
def test_everything_is_put_back(alarms, monkeypatch):
    if not alarms:
        monkeypatch.setattr(stop, "has_alarms", lambda: False)
    rung = []
    default = signal.signal(signal.SIGALRM, lambda number, frame: rung.append(number))
    try:
        before = signal.getsignal(signal.SIGALRM), sys.gettrace()
        with time_limit(1.0):
            answer = sum(range(10))
        assert answer == 45
        assert (signal.getsignal(signal.SIGALRM), sys.gettrace()) == before
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with contextlib.suppress(OutOfTime), time_limit(0.3):
            forever()
        time.sleep(0.05)
        assert rung == [signal.SIGALRM]  # somebody else's alarm
    finally:
        signal.signal(signal.SIGALRM, default)


def test_no_time_is_no_limit():
    with pytest.raises(ValueError, match=r"^seconds should be a positive number, got 0$"), time_limit(0):
        pass
