"""The blanks of the page on GPUs: what is right on NumPy alone is told so, and the machine keeps the time it says."""

import sys

import numpy as np
import pytest
from formulations_gpu import FORMULATIONS, ON_NUMPY_ALONE

from scratchvae.exercises import check
from scratchvae.exercises.check import blank_of
from scratchvae.exercises.gpu.timing import Machine, seconds_a_step, seconds_by_formula
from scratchvae.standin import Cupy, counts, plug_in, stand_in


@pytest.mark.parametrize("name", ON_NUMPY_ALONE)
def test_what_works_on_numpy_alone_is_told_why(name):
    for answer, words in ON_NUMPY_ALONE[name]:
        result = check(name, answer)
        assert (result.state, result.cause) == ("wrong", "unknown"), words
        assert result.message.startswith("right on NumPy; on a device: ")
        assert words in result.message
        assert len(result.lines) <= 4


def test_the_line_that_was_refused_is_named():
    message = check("gpu.draw", lambda mu, sigma, eps: mu + sigma * eps).message
    assert message.endswith("mu + sigma * eps).message`")


@pytest.mark.parametrize("name", ON_NUMPY_ALONE)
def test_a_check_leaves_the_name_cupy_as_it_was(name, monkeypatch):
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    for answer in (*FORMULATIONS[name], *(answer for answer, _ in ON_NUMPY_ALONE[name])):
        check(name, answer)
        assert "cupy" not in sys.modules
    own = Cupy()
    monkeypatch.setitem(sys.modules, "cupy", own)
    assert check(name, FORMULATIONS[name][0]).passed
    assert sys.modules["cupy"] is own


def test_the_stand_in_goes_as_it_came(monkeypatch):
    monkeypatch.delitem(sys.modules, "cupy", raising=False)

    def body():
        with stand_in() as xp:
            assert sys.modules["cupy"] is xp
            xp.ones(3).sum()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        body()
    assert "cupy" not in sys.modules
    assert counts.launches == 2
    with stand_in():
        assert counts.launches == 0
    monkeypatch.setitem(sys.modules, "cupy", None)
    xp = plug_in()
    assert sys.modules["cupy"] is xp


def test_another_error_of_the_readers_is_told_as_it_is():
    def answer(x):
        if type(x) is not np.ndarray:
            raise TypeError("of my own")
        return blank_of("gpu.log_mean_exp").solution(x)

    assert check("gpu.log_mean_exp", answer).message.startswith("TypeError at the line `raise TypeError")


def test_whoever_gives_other_numbers_on_a_device_is_found():
    def answer(x):
        return blank_of("gpu.log_mean_exp").solution(x) + (0 if type(x) is np.ndarray else 0.01)

    assert check("gpu.log_mean_exp", answer).message.endswith("other numbers than on NumPy")


@pytest.mark.parametrize("work", [1e-6, 5e-6, 2e-5])
def test_the_machine_takes_the_time_of_the_formula(work):
    """Whether the host or the device is the slower one."""
    machine = Machine(launch=5e-6, work=work, kernels=7, compiling=1.0)
    assert np.isclose(seconds_a_step(machine, 10), seconds_by_formula(machine, 10)["seconds"], rtol=1e-9)
    asked, begun, done = np.array(machine.log).T
    assert (begun >= asked).all()
    assert (begun[1:] >= done[:-1]).all()


def test_what_a_right_answer_gives_is_told_from_every_slip_on_many_machines(rng):
    blank = blank_of("gpu.seconds")
    for _ in range(200):
        machine, n = blank.arguments(rng)
        right = seconds_by_formula(machine, n)["seconds"]
        for slip in blank.slips:
            assert abs(slip.answer(machine, n) / right - 1) > 1e-3, slip.message
