"""A run folder: one writer, whole files, and a table that is made anew from the checkpoint whatever was done to it."""

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress

import numpy as np
import pytest
from faults import CONFIG_EDITS, METRICS_EDITS, edit

from scratchvae import VAE, Adam, fit, load_checkpoint
from scratchvae import run_folder as run_folder_module
from scratchvae.run_folder import CHECKPOINT, CONFIG, LOCK, METRICS, RunFolder, metrics_lines, write_whole

PIXELS = np.random.default_rng(7).integers(0, 256, size=(24, 4), dtype=np.uint8)
HISTORY = {"epoch": [1, 2, 3], "test_elbo": [-3.5, -2.25, -1e-6]}
ROWS = ["epoch,test_elbo,seconds", "1,-3.5000,0.2500", "2,-2.2500,12.0000", "3,-0.0000,0.1235"]
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


def train(out, epochs=3, resume=False, stop_after=None):
    """The same run, with another clock in every process: its seconds differ, and nothing else may."""
    rng = np.random.default_rng(3)
    vae, adam = VAE(4, (3,), 2, rng=rng), Adam()
    if stop_after is not None:
        step = adam.step

        def stopped(params, grads):
            if adam.steps == 3 * stop_after:
                raise KeyboardInterrupt
            step(params, grads)

        adam.step = stopped
    return fit(
        vae,
        PIXELS,
        PIXELS[:5],
        optimizer=adam,
        rng=rng,
        epochs=epochs,
        batch_size=8,
        out=out,
        resume=resume,
        progress=False,
    )


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def without_seconds(folder):
    return [line.rpartition(",")[0] for line in (folder / METRICS).read_text().splitlines()]


# -- one writer --------------------------------------------------------------------------------------------------------


def test_a_folder_is_held_until_it_is_closed(tmp_path):
    path = tmp_path / "a" / "b"
    in_use = "^out should be a folder that no other run writes to, and .*b is in use; wait for that run, or choose ano"
    with RunFolder(path) as folder:
        for same in (path, str(path), tmp_path / "a" / "." / "b"):
            with pytest.raises(ValueError, match=in_use):
                RunFolder(same)
        folder.require_held()
    with RunFolder(path):
        pass
    assert files(path) == {LOCK: b""}


def test_of_many_threads_one_gets_it(tmp_path):
    held, gate = [], threading.Barrier(16)

    def claim():
        gate.wait()
        with suppress(ValueError):
            held.append(RunFolder(tmp_path / "run"))

    threads = [threading.Thread(target=claim) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(held) == 1
    held[0].close()


CLAIM = """
import sys, time
from scratchvae.run_folder import RunFolder
while time.time() < float(sys.argv[2]):
    pass
try:
    folder = RunFolder(sys.argv[1])
except ValueError as error:
    print("refused" if "is in use" in str(error) else error)
else:
    print("held")
    time.sleep(1)
"""


def test_of_many_processes_one_gets_it(tmp_path):
    at = str(time.time() + 1)
    argv = [sys.executable, "-c", CLAIM, str(tmp_path / "run"), at]
    processes = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert sorted(process.communicate()[0].strip() for process in processes) == ["held"] + ["refused"] * 3


@forks
def test_a_killed_process_lets_go(tmp_path):
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        folder = RunFolder(tmp_path)
        os.write(writer, b"held")
        time.sleep(60)
        folder.close()
        os._exit(0)
    assert os.read(reader, 4) == b"held"
    with pytest.raises(ValueError, match="is in use"):
        RunFolder(tmp_path)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    RunFolder(tmp_path).close()


@forks
@pytest.mark.parametrize("way", ["close", "exit", "kill"])
def test_a_child_that_ends_does_not_let_go_for_its_parent(tmp_path, way):
    """As those of multiprocessing do, which inherit what is open."""
    with RunFolder(tmp_path) as folder:
        child = os.fork()
        if child == 0:
            if way == "close":
                folder.close()
            os.kill(os.getpid(), signal.SIGKILL) if way == "kill" else os._exit(0)
        os.waitpid(child, 0)
        with pytest.raises(ValueError, match="is in use"):
            RunFolder(tmp_path)
        folder.require_held()


def test_where_there_are_no_locks_the_folder_is_taken(tmp_path, monkeypatch):
    """In a browser, and on some network drives."""
    fcntl = pytest.importorskip("fcntl")

    def no_locks(*args):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    train(tmp_path, epochs=1)
    monkeypatch.setitem(sys.modules, "fcntl", None)
    train(tmp_path, epochs=2, resume=True)


@pytest.mark.parametrize("loss", ["folder", "lock", "moved", "another run's"])
def test_a_folder_that_is_lost_is_not_written_to(tmp_path, loss, monkeypatch):
    """The run ends in a line. What may be another run's by then is left as it is."""
    path = tmp_path / "run"
    others = []

    def lose():
        if loss == "lock":
            (path / LOCK).unlink()
        elif loss == "moved":
            path.rename(tmp_path / "elsewhere")
        else:
            shutil.rmtree(path)
        if loss == "another run's":
            others.append(RunFolder(path))
            others[0].write_config({"mine": 1})

    real, rows = RunFolder.write_metrics, []

    def write_metrics(folder, history, seconds):
        real(folder, history, seconds)
        rows.append(len(seconds))
        if rows[-1] == 2:
            lose()

    monkeypatch.setattr(RunFolder, "write_metrics", write_metrics)
    with pytest.raises(ValueError, match=r"^the run folder .*run, or the .lock in it, was deleted or moved while this"):
        train(path)
    assert rows == [0, 1, 2]
    if loss == "folder":
        assert not path.exists()
    elif loss == "another run's":
        assert files(path).keys() == {LOCK, CONFIG}
        assert json.loads((path / CONFIG).read_text()) == {"mine": 1}
        others[0].close()
    else:
        monkeypatch.undo()
        where = path if loss == "lock" else tmp_path / "elsewhere"
        train(where, resume=True)
        assert load_checkpoint(where).epoch == 3


def test_a_closed_folder_is_not_written_to(tmp_path):
    folder = RunFolder(tmp_path)
    folder.close()
    with pytest.raises(ValueError, match="closed"):
        folder.write_config({})
    assert files(tmp_path) == {LOCK: b""}


@pytest.mark.parametrize("path", ["file", "file/run", "/proc/scratchvae/run", "name\0", "n" * 300])
def test_what_cannot_be_a_folder_is_refused_in_a_line(tmp_path, path):
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(
        ValueError, match=r"^(out should be a folder(,| that can be written to,) got .*|embedded null byte)"
    ):
        RunFolder(tmp_path / path)
    assert files(tmp_path) == {"file": b"mine"}


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_the_right_to_write_is_refused_in_a_line(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ValueError, match=r"got .* \(Permission denied\); choose another$"):
        RunFolder(tmp_path)
    tmp_path.chmod(0o700)


def test_a_folder_in_the_place_of_the_lock(tmp_path):
    (tmp_path / LOCK).mkdir()
    with pytest.raises(ValueError, match=r"^out should be a folder that can be written to, got .* \(Is a directory\)"):
        RunFolder(tmp_path)


# -- whole files -------------------------------------------------------------------------------------------------------


class FullDisk(io.FileIO):
    """A file on a disk without room."""

    def write(self, data):
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("name", [CONFIG, CHECKPOINT, METRICS])
@pytest.mark.parametrize("epoch", [1, 2])
def test_a_full_disk_stops_the_run_and_spoils_nothing(tmp_path, monkeypatch, name, epoch):
    train(tmp_path / "unbroken")
    if epoch == 2:
        train(tmp_path / "run", epochs=1)
    with monkeypatch.context() as full:
        full.setattr(
            run_folder_module,
            "open",
            lambda path, mode: (FullDisk if path.name == f"{name}.part" else open)(path, mode),
            raising=False,
        )
        message = rf"run/{re.escape(name)} cannot be written \(No space left on device\), and what was there is kept; "
        with pytest.raises(OSError, match=message) as caught:
            train(tmp_path / "run", resume=epoch == 2)
        assert "\n" not in str(caught.value)
    assert not list(tmp_path.rglob("*.part"))
    begun = (tmp_path / "run" / CONFIG).exists()
    train(tmp_path / "run", resume=begun)
    assert without_seconds(tmp_path / "run") == without_seconds(tmp_path / "unbroken")
    same = [files(tmp_path / name) for name in ("run", "unbroken")]
    assert same[0][CHECKPOINT] == same[1][CHECKPOINT]
    assert same[0].keys() == same[1].keys()


@pytest.mark.parametrize("name", [CONFIG, METRICS])
def test_a_folder_where_a_file_should_be_is_a_line(tmp_path, name):
    train(tmp_path, epochs=1)
    (tmp_path / name).unlink()
    (tmp_path / name / "mine").mkdir(parents=True)
    with pytest.raises(OSError, match=rf"{re.escape(name)} cannot be written \(Is a directory\), and what was there"):
        train(tmp_path, resume=True)
    assert (tmp_path / name / "mine").is_dir()
    assert load_checkpoint(tmp_path).epoch == 1


def test_a_folder_where_the_checkpoint_should_be_is_a_line(tmp_path):
    train(tmp_path, epochs=1)
    (tmp_path / CHECKPOINT).unlink()
    (tmp_path / CHECKPOINT).mkdir()
    with pytest.raises(ValueError, match=r"^expected a run folder or a checkpoint .npz, and there is no file "):
        train(tmp_path, resume=True)


def test_what_a_kill_left_is_cleaned_up(tmp_path):
    """The parts of this folder's own files, and nothing else."""
    train(tmp_path, epochs=1)
    for name in (CONFIG, CHECKPOINT, METRICS, "mine"):
        (tmp_path / f"{name}.part").write_bytes(b"PK\x03\x04 half")
    train(tmp_path, epochs=1, resume=True)
    assert files(tmp_path).keys() == {LOCK, CONFIG, CHECKPOINT, METRICS, "mine.part"}


def test_write_whole(tmp_path):
    file, seen = tmp_path / "file", []
    write_whole(file, lambda stream: stream.write(b"one"))

    def write(stream):
        stream.write(b"two" * 10**6)
        seen.append(file.read_bytes())

    write_whole(file, write)
    assert seen == [b"one"]
    assert files(tmp_path) == {"file": b"two" * 10**6}


# -- the table ---------------------------------------------------------------------------------------------------------


def test_metrics_lines():
    assert metrics_lines(HISTORY, [0.25, 12.0, 0.12349]) == ROWS
    assert metrics_lines(HISTORY, [None, 1.0, None])[1:] == ["1,-3.5000,", "2,-2.2500,1.0000", "3,-0.0000,"]
    assert metrics_lines({}, []) == ["seconds"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\n".join(ROWS), [0.25, 12.0, 0.1235]),
        ("\r\n".join(ROWS), [0.25, 12.0, 0.1235]),
        ("\n".join(reversed(ROWS)), [0.25, 12.0, 0.1235]),  # each row is known by its numbers
        ("\n".join([*ROWS[1:3], "", "x"]), [0.25, 12.0, None]),
        ("\n".join([ROWS[1], ROWS[2] + ROWS[3]]), [0.25, None, None]),  # glued
        ("\n".join([*ROWS[:3], ROWS[3][:-2]]), [0.25, 12.0, None]),  # cut short in its seconds
        ("\n".join([*ROWS[:3], ROWS[3][:-8]]), [0.25, 12.0, None]),
        ("\n".join([ROWS[1].replace("3.5", "3.6"), *ROWS[2:]]), [None, 12.0, 0.1235]),  # edited
        (ROWS[1].replace("0.2500", "nan"), [None] * 3),
        (ROWS[1].replace("0.2500", "-0.2500"), [None] * 3),
        (ROWS[1].replace("0.2500", "٣.٢٥٠٠"), [None] * 3),
        (ROWS[1].replace("0.2500", "1e9.0000"), [None] * 3),
        (ROWS[1].replace("0.2500", "9" * 400 + ".0000"), [None] * 3),
        ("", [None] * 3),
        (None, [None] * 3),
    ],
)
def test_seconds_of_whole_rows_are_kept(tmp_path, text, expected):
    if text is not None:
        (tmp_path / METRICS).write_bytes(text.encode())
    with RunFolder(tmp_path) as folder:
        assert folder.seconds(HISTORY) == expected


@pytest.mark.parametrize("fault", METRICS_EDITS)
def test_the_table_is_made_anew_from_the_checkpoint(tmp_path, fault):
    """And goes on with complete rows; the times of rows that are as they were stay."""
    train(tmp_path / "unbroken")
    train(tmp_path / "run", epochs=2)
    file = tmp_path / "run" / METRICS
    before = file.read_bytes()
    edit(file, METRICS_EDITS[fault])
    train(tmp_path / "run", resume=True)
    assert without_seconds(tmp_path / "run") == without_seconds(tmp_path / "unbroken")
    assert (tmp_path / "run" / CHECKPOINT).read_bytes() == (tmp_path / "unbroken" / CHECKPOINT).read_bytes()
    rows = file.read_text().splitlines()
    kept = [row in before.decode().splitlines() for row in rows[1:3]]
    as_they_were = {"no header": 2, "a row twice": 2, "CRLF": 2, "no end of line": 2, "huge": 2}
    as_they_were |= {"a half row": 1, "a half number": 1, "a row missing": 1}
    assert kept == [True] * as_they_were.get(fault, 0) + [False] * (2 - as_they_were.get(fault, 0))
    assert [row.endswith(",") for row in rows[1:]] == [*(not k for k in kept), False]


@pytest.mark.parametrize("fault", CONFIG_EDITS)
def test_config_json_is_made_anew(tmp_path, fault):
    """What it said stands in the checkpoint."""
    train(tmp_path, epochs=1)
    before = (tmp_path / CONFIG).read_bytes()
    edit(tmp_path / CONFIG, CONFIG_EDITS[fault])
    train(tmp_path, epochs=2, resume=True)
    assert (tmp_path / CONFIG).read_bytes() == before


def test_a_checkpoint_that_was_deleted_means_starting_over(tmp_path, capsys):
    train(tmp_path / "unbroken")
    train(tmp_path / "run", epochs=2)
    (tmp_path / "run" / CHECKPOINT).unlink()
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run", resume=True, stop_after=0)
    assert without_seconds(tmp_path / "run") == [""]  # the rows are gone with the run that they told of
    train(tmp_path / "run", resume=True)
    assert without_seconds(tmp_path / "run") == without_seconds(tmp_path / "unbroken")


def test_a_run_that_is_done_leaves_its_files_as_they_are(tmp_path):
    train(tmp_path)
    before = files(tmp_path)
    train(tmp_path, resume=True)
    assert files(tmp_path) == before
