"""docs/faults.md says what was tried, and it is tried: a few of it always, all of it by `pytest -m slow`."""

import os
from pathlib import Path

import faults
import pytest

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="kills processes, and needs fork and SIGKILL for it")


@pytest.fixture(scope="module", params=faults.WAYS)
def trials(request, tmp_path_factory):
    return faults.Trials(tmp_path_factory.mktemp(request.param), faults.WAYS[request.param])


def test_the_page_is_that_of_the_trials():
    """Its sentences and its kinds; how often each was tried is what the slow test holds it to."""
    text = PAGE.read_text()
    counts = [line.split(" | ")[1:3] for line in text.splitlines() if line.startswith("| ")][1:]
    assert text == faults.page(counts)
    times = [int(n) for row in counts for n in row]
    kills = len(faults.FILES)
    assert min(times[:2]) >= 20
    assert min(times[2 : 2 + 2 * kills]) >= 8
    assert min(times) >= 1


@pytest.mark.parametrize("name", faults.FILES)
def test_a_kill_in_the_middle_of_a_write(trials, name):
    assert trials.kill_inside(name, ["after a third"]) >= 2


def test_kills_at_random_moments(trials):
    assert trials.kill_at_random(3) == 3


def test_a_kill_leaves_the_lock_of_the_progress_bar():
    """It is a semaphore of the system: one that nobody gives back stops the next progress bar for ever."""
    lock = faults.tqdm.get_lock()

    def bar_that_is_killed():
        faults.tqdm.get_lock().acquire()
        faults.die()

    assert faults.killed(bar_that_is_killed)
    assert all(part.acquire(True, 1) for part in lock.locks)
    lock.release()


@pytest.mark.slow
def test_every_fault(tmp_path):
    assert PAGE.read_text() == faults.page(faults.try_all(tmp_path))
