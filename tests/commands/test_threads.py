"""One BLAS thread unless --threads says otherwise, in the verbs only."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from scratchvae import load_data
from scratchvae.cli import COMMANDS, main
from scratchvae.commands.options import blas_threads

ROOT = Path(__file__).parent.parent.parent


def threads_now():
    """How many threads each BLAS library uses, as NumPy would find it."""
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


pytestmark = pytest.mark.skipif(not threads_now(), reason="threadpoolctl cannot set this BLAS, as Apple's Accelerate")


@pytest.fixture
def seen(monkeypatch):
    """The numbers of threads that verbs met; none of them does anything else. Outside of them it is two."""
    seen = []
    for command in COMMANDS.values():
        monkeypatch.setattr(command, "run", lambda args: seen.append(threads_now()) or 0)
    with threadpool_limits(2, user_api="blas"):
        yield seen


def words(verb, *options):
    return [verb, *(["RUN"] if verb in ("evaluate", "sample", "plot") else []), *options]


@pytest.mark.parametrize("verb", COMMANDS)
def test_a_verb_has_one_thread_and_leaves_the_number_as_it_was(seen, verb):
    assert main(words(verb)) == 0
    assert seen == [{1}]
    assert threads_now() == {2}


@pytest.mark.parametrize("verb", [verb for verb in COMMANDS if verb != "data"])
def test_a_verb_has_as_many_as_it_was_told(seen, verb):
    assert main(words(verb, "--threads", "3")) == 0
    assert seen == [{3}]
    assert threads_now() == {2}


@pytest.mark.parametrize("number", ["0", "-1", "many", "1.5"])
def test_what_is_no_number_of_threads(capsys, number):
    with pytest.raises(SystemExit) as stop:
        main(["doctor", f"--threads={number}"])
    err = capsys.readouterr().err
    assert stop.value.code == 2
    assert f"argument --threads: expected a whole number of at least 1, got '{number}'" in err


def test_the_inner_number_holds_and_the_outer_one_comes_back():
    """A run that is resumed brings its own number into a verb that began with another."""
    with threadpool_limits(2, user_api="blas"):
        with blas_threads(1):
            with blas_threads(3):
                assert threads_now() == {3}
            assert threads_now() == {1}
        assert threads_now() == {2}


def test_the_number_comes_back_after_a_failure(monkeypatch, capsys):
    def fail(args):
        raise ValueError("no")

    monkeypatch.setattr(COMMANDS["doctor"], "run", fail)
    with threadpool_limits(2, user_api="blas"):
        assert main(["doctor"]) == 2
        assert threads_now() == {2}


def python(code, threads):
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads}
    env["MKL_NUM_THREADS"] = threads
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, timeout=60)
    assert done.stderr == ""
    return done.stdout.split()


def test_importing_the_package_changes_no_number_of_threads_and_asks_for_nothing_but_numpy():
    code = """
import sys, numpy.random, threadpoolctl
def told():
    return [library["num_threads"] for library in threadpoolctl.threadpool_info()]
def packages():
    return {name.split(".")[0] for name in sys.modules} - sys.stdlib_module_names
threads, there = told(), packages()
import scratchvae
print(*threads, *told(), *packages() - there)
"""
    assert python(code, threads="2") == ["2", "2", "scratchvae"]
    assert python("import sys, scratchvae; print('threadpoolctl' in sys.modules)", threads="2") == ["False"]


def test_the_environment_changes_no_bit_of_a_run(tmp_path):
    """Two threads add up the products over 784 pixels in another order than one."""
    sample = load_data("mnist-sample")
    np.savez(tmp_path / "some.npz", x_train=sample.x_train[:1000], x_test=sample.x_test[:50])
    code = f"""
from scratchvae.cli import main
from scratchvae.view import plots
plots.write_pictures = lambda *args, **keywords: []  # they take longer than all the rest
main(["train", "--data", {str(tmp_path / "some.npz")!r}, "--epochs", "1", "--out", "OUT"])
"""
    for threads in ("1", "2"):
        python(code.replace("OUT", str(tmp_path / threads)), threads)
    one, two = ((tmp_path / threads / "checkpoint.npz").read_bytes() for threads in ("1", "2"))
    assert one == two
