"""Faults, and what a run makes of them: each is tried, and the table of what happened is docs/faults.md.

    python tests/core/faults.py > docs/faults.md

A run is killed in a process of its own, by the signal that no program can catch: at a moment that dice name, or inside
a write, after so many bytes of it. Then it is gone on with, here, and compared with one that was never stopped.
"""

import io
import json
import os
import random
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple
from unittest import mock

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from matplotlib.figure import Figure
from tqdm import tqdm

from scratchvae import VAE, Adam, fit, load_checkpoint, run_folder
from scratchvae.cli import main
from scratchvae.run_folder import CHECKPOINT, CONFIG, LOCK, METRICS, RunFolder
from scratchvae.view.png import save_png

EPOCHS, STOPPED = 4, 2
PICTURE = "curve.png"
FILES = (CONFIG, CHECKPOINT, METRICS, PICTURE)
PIXELS = np.random.default_rng(7).integers(0, 256, size=(50, 16), dtype=np.uint8)

# ---------------------------------------------------------------------------------------------------------------------
# A run, from Python and on the command line


def begun(folder):
    return any((folder / name).exists() for name in (CONFIG, CHECKPOINT, METRICS))


def draw(history, folder):
    """One picture, in a moment: those of `train` take a second, and are written in the same way."""
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot(history["epoch"], history["test_elbo"])
    save_png(figure, folder / PICTURE)
    return folder / PICTURE


def from_python(folder, epochs):
    """The run in a folder, begun or gone on with."""
    rng = np.random.default_rng(3)
    vae = VAE(16, (6,), 2, rng=rng)
    how = {"optimizer": Adam(1e-2), "rng": rng, "batch_size": 16, "epochs": epochs, "progress": False}
    draw(fit(vae, PIXELS[:40], PIXELS[40:], out=folder, resume=begun(folder), **how), folder)


def on_the_command_line(folder, epochs):
    """The same; what `train` complains of is an OSError here."""
    data, argv = folder.parent / "pixels.npz", ["train", "--out", str(folder), "--epochs", str(epochs)]
    if not data.exists():
        np.savez(data, x_train=PIXELS[:40], x_test=PIXELS[40:])
    argv += ["--resume"] if begun(folder) else ["--data", str(data), "--hidden", "6", "--batch-size", "16"]

    def one_picture(model, data, history, folder, *_):
        return [draw(history, folder)]

    complaint, pictures = io.StringIO(), mock.patch("scratchvae.view.plots.write_pictures", one_picture)
    with pictures, redirect_stdout(io.StringIO()), redirect_stderr(complaint):
        status = main(argv)
    if status != 0:
        raise OSError(complaint.getvalue().strip())


WAYS = {"fit": from_python, "train": on_the_command_line}

# ---------------------------------------------------------------------------------------------------------------------
# A process that is killed


def die():
    os.kill(os.getpid(), signal.SIGKILL)


class Fatal(io.FileIO):
    """A file that takes so many bytes, and then ends the process that writes it."""

    def __init__(self, path, mode, most):
        super().__init__(path, mode)
        self.most = most

    def write(self, data):
        data = memoryview(data).cast("B")
        if self.tell() + len(data) > self.most:
            super().write(data[: self.most - self.tell()])
            die()
        return super().write(data)


class FullDisk(Fatal):
    """A file on a disk that has room for so many bytes."""

    def write(self, data):
        if self.tell() + len(data) > self.most:
            raise OSError(28, "No space left on device")
        return super().write(data)


MOMENTS = {  # of a write, and how many of the file's bytes are there
    "before the first byte": lambda size: 0,
    "after one byte": lambda size: 1,
    "after a tenth": lambda size: size // 10,
    "after a third": lambda size: size // 3,
    "after nine tenths": lambda size: 9 * size // 10,
    "before the last byte": lambda size: size - 1,
    "before fsync": None,
    "before the rename": None,
    "after the rename": None,
}


def place(name, nth, moment, size):
    """From now on this process ends at a moment of the nth write of a file called so, which will have that size."""
    writes, due = 0, False
    fsync, replace, most = os.fsync, os.replace, MOMENTS[moment]

    def opened(path, mode):
        nonlocal writes, due
        writes += path.name == f"{name}.part"
        due = path.name == f"{name}.part" and writes == nth
        return Fatal(path, mode, most(size)) if due and most else open(path, mode)

    def sync(number):
        if due and moment == "before fsync":
            die()
        fsync(number)

    def rename(part, file):
        if due and moment == "before the rename":
            die()
        replace(part, file)
        if due and moment == "after the rename":
            die()

    run_folder.open, os.fsync, os.replace = opened, sync, rename


def killed(action, after=None):
    """Do something in a process of its own; whether it was killed: by itself, or from here after so many seconds."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            tqdm.set_lock(threading.RLock())  # why: its own is shared by processes, and one that is killed keeps it
            action()
            status = 0
        finally:
            os._exit(status)
    if after is not None:
        time.sleep(after)
        os.kill(child, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL), f"the child ended with {status}"
    return status != 0


# ---------------------------------------------------------------------------------------------------------------------
# What somebody may do to a table or to a configuration while nobody looks

METRICS_EDITS = {
    "deleted": lambda text: None,
    "empty": lambda text: b"",
    "words": lambda text: b"not a table\n",
    "binary": lambda text: bytes(range(256)) * 100,
    "a half row": lambda text: text[: text.rindex(b",") - 3],
    "a half number": lambda text: text[:-3],
    "a row missing": lambda text: b"".join(text.splitlines(keepends=True)[:2]),
    "a row twice": lambda text: text + text.splitlines(keepends=True)[-1],
    "rows of another run": lambda text: text.replace(b"-", b"-1"),
    "no header": lambda text: text.split(b"\n", 1)[1],
    "CRLF": lambda text: text.replace(b"\n", b"\r\n"),
    "no end of line": lambda text: text.rstrip(),
    "huge": lambda text: text + b"9," * 2**24,
    "UTF-16": lambda text: text.decode().encode("utf-16"),
}
CONFIG_EDITS = {
    "deleted": lambda text: None,
    "empty": lambda text: b"",
    "a half": lambda text: text[: len(text) // 2],
    "a list": lambda text: b"[]",
    "binary": lambda text: bytes(range(256)),
    "a deep nest": lambda text: b"[" * 10**6,
    "other numbers": lambda text: text.replace(b"16", b"17"),
}


def edit(file, change):
    text = change(file.read_bytes())
    file.unlink() if text is None else file.write_bytes(text)


# ---------------------------------------------------------------------------------------------------------------------
# What must be true


def rows(folder):
    """metrics.csv without its last column, which is a time."""
    file = folder / METRICS
    return [line.rpartition(",")[0] for line in file.read_text().splitlines()] if file.exists() else []


def names(folder):
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def assert_whole(folder, unbroken):
    """What a kill leaves: whole files of this run or none, and at most one .part beside them."""
    got = rows(folder)
    assert got in ([], [""], rows(unbroken)[: len(got)])
    if (folder / CONFIG).exists():
        json.loads((folder / CONFIG).read_text())
    done = load_checkpoint(folder).epoch if (folder / CHECKPOINT).exists() else 0
    assert len(got) in (done, done + 1)  # with its header: the last row may be missing
    parts = {name for name in names(folder) if name.endswith(".part")}
    assert len(parts) <= 1
    assert names(folder) - parts <= {*FILES, LOCK}


def assert_same(folder, unbroken):
    """The checkpoint, the configuration and the picture byte for byte, the table but for the seconds; nothing else."""
    for name in (CHECKPOINT, CONFIG, PICTURE):
        assert (folder / name).read_bytes() == (unbroken / name).read_bytes(), name
    assert rows(folder) == rows(unbroken)
    assert names(folder) == {*FILES, LOCK}


def line_of(action):
    """The line with which something is refused."""
    try:
        action()
    except (ValueError, OSError) as error:
        assert "\n" not in str(error)  # noqa: PT017
        return str(error)
    raise AssertionError("it should have been refused, and was not")


# ---------------------------------------------------------------------------------------------------------------------
# The trials: each returns how often it tried, and ends with an AssertionError where something was lost


class Trials:
    """A place to try things in, with a run that was never stopped, and one that was after two epochs."""

    def __init__(self, folder, run):
        self.at, self.run, self.unbroken, self.stopped = folder, run, folder / "unbroken", folder / "stopped"
        self.sizes = {False: self.noted(self.unbroken, EPOCHS)}  # of what a run writes, in turn, by name
        began = time.perf_counter()
        run(folder / "again", EPOCHS)
        self.seconds = time.perf_counter() - began
        self.noted(self.stopped, STOPPED)
        self.sizes[True] = self.noted(shutil.copytree(self.stopped, folder / "gone-on"), EPOCHS)

    def noted(self, folder, epochs):
        """Run, and note the size of every file that is written."""
        sizes, replace = {name: [] for name in FILES}, os.replace

        def noting(part, file):
            sizes[file.name].append(part.stat().st_size)
            replace(part, file)

        with mock.patch("os.replace", noting):
            self.run(folder, epochs)
        return sizes

    def folder(self, stopped):
        """That of a run that is to begin, or to go on after two epochs."""
        shutil.rmtree(self.at / "run", ignore_errors=True)
        return shutil.copytree(self.stopped, self.at / "run") if stopped else self.at / "run"

    def go_on(self, folder):
        self.run(folder, EPOCHS)
        assert_same(folder, self.unbroken)

    def kill_at_random(self, times=20):
        """At so many moments between the first and the last of a run; one that comes too late is not counted."""
        dice, done = random.Random(2014), 0
        while done < times:
            folder = self.folder(stopped=False)
            done += killed(lambda folder=folder: self.run(folder, EPOCHS), after=dice.random() * self.seconds)
            assert_whole(folder, self.unbroken)
            self.go_on(folder)
        return done

    def kill_inside(self, name, moments=tuple(MOMENTS)):
        """Inside the first and the last write of a file, in a run that begins and in one that goes on."""
        done = 0
        for stopped, sizes in self.sizes.items():
            for nth in sorted({1, len(sizes[name])}):
                for moment in moments:
                    folder, size = self.folder(stopped), sizes[name][nth - 1]

                    def action(folder=folder, nth=nth, moment=moment, size=size):
                        place(name, nth, moment, size)
                        self.run(folder, EPOCHS)

                    assert killed(action), f"no write {nth} of {name} was killed {moment}"
                    assert_whole(folder, self.unbroken)
                    self.go_on(folder)
                    done += 1
        return done

    def full_disk(self, name):
        """In a run that goes on: the line names the file, and the old one is kept."""
        folder = self.folder(stopped=True)
        before, room = (folder / name).read_bytes(), self.sizes[True][name][0] // 2

        def opened(path, mode):
            return FullDisk(path, mode, room) if path.name == f"{name}.part" else open(path, mode)

        with mock.patch.object(run_folder, "open", opened, create=True):
            line = line_of(lambda: self.run(folder, EPOCHS))
        assert f"{folder / name} cannot be written (No space left on device), and what was there is kept" in line
        assert (folder / name).read_bytes() == before
        assert_whole(folder, self.unbroken)
        self.go_on(folder)
        return 1

    def edits(self, name, changes):
        for change in changes.values():
            folder = self.folder(stopped=True)
            edit(folder / name, change)
            self.go_on(folder)
        return len(changes)

    def leftovers(self):
        folder = self.folder(stopped=True)
        for name in FILES:
            (folder / f"{name}.part").write_bytes(b"half")
        self.go_on(folder)
        return len(FILES)

    def no_checkpoint(self):
        folder = self.folder(stopped=True)
        (folder / CHECKPOINT).unlink()
        self.go_on(folder)
        return 1

    def changed_checkpoint(self):
        """One bit at a time of the numbers, with the checksums of the zip file made anew."""
        with np.load(self.stopped / CHECKPOINT) as stored:
            arrays = {name: stored[name] for name in stored.files}
        tries = [name for name in arrays if name != "sha256"]
        for name in tries:
            folder, other = self.folder(stopped=True), arrays[name].copy().reshape(-1)
            other.view(np.uint8)[0] ^= 1
            np.savez(folder / CHECKPOINT, **{**arrays, name: other.reshape(arrays[name].shape)})
            before = (folder / CHECKPOINT).read_bytes()
            assert f"{folder / CHECKPOINT} should hold" in line_of(lambda folder=folder: self.run(folder, EPOCHS))
            assert (folder / CHECKPOINT).read_bytes() == before
        return len(tries)

    def lost_folder(self):
        """After the third epoch; what is in its place by then is left as it is."""

        def replace(folder):
            shutil.rmtree(folder)
            with RunFolder(folder) as other:
                other.write_config({"mine": 1})

        losses = {shutil.rmtree: set(), replace: {CONFIG, LOCK}}
        losses[lambda folder: folder.rename(self.at / "elsewhere")] = set()
        losses[lambda folder: (folder / LOCK).unlink()] = set(FILES)
        write_metrics = RunFolder.write_metrics
        for lose, left in losses.items():
            folder = self.folder(stopped=True)

            def losing(held, history, seconds, lose=lose):
                write_metrics(held, history, seconds)
                if len(seconds) == STOPPED + 1:
                    lose(held.path)

            with mock.patch.object(RunFolder, "write_metrics", losing):
                line = line_of(lambda folder=folder: self.run(folder, EPOCHS))
            assert "was deleted or moved while this run wrote to it" in line
            assert names(folder) == left
        shutil.rmtree(self.at / "elsewhere")
        return len(losses)

    def second_writer(self):
        """In another process, while this one holds the folder."""
        folder = self.folder(stopped=True)
        with RunFolder(folder):
            before = {path: path.read_bytes() for path in folder.iterdir()}
            assert not killed(lambda: line_of(lambda: self.run(folder, EPOCHS)).index("is in use"))
            assert {path: path.read_bytes() for path in folder.iterdir()} == before
        self.go_on(folder)
        return 1


class Kind(NamedTuple):
    """A row of the table: what is done, how, and what comes of it."""

    what: str
    trial: Callable[[Trials], int]
    outcome: str


def kinds() -> Iterator[Kind]:
    same = "gone on with, it is the run that was never stopped"
    yield Kind("SIGKILL at a random moment of a run", Trials.kill_at_random, same)
    for name in FILES:
        what = "a picture" if name == PICTURE else f"`{name}`"
        yield Kind(f"SIGKILL inside the write of {what}", lambda trials, name=name: trials.kill_inside(name), same)
    for name in (CONFIG, CHECKPOINT, METRICS):
        outcome = f"a line with its name; the old one is kept; {same}"
        yield Kind(f"no room on the disk for `{name}`", lambda trials, name=name: trials.full_disk(name), outcome)
    for name, changes in ((CONFIG, CONFIG_EDITS), (METRICS, METRICS_EDITS)):
        outcome = f"it is made anew from the checkpoint; {same}"
        trial = lambda trials, name=name, changes=changes: trials.edits(name, changes)  # noqa: E731
        yield Kind(f"`{name}`: {', '.join(changes)}", trial, outcome)
    yield Kind("`.part` files that a kill has left", Trials.leftovers, f"they go; {same}")
    yield Kind(f"`{CHECKPOINT}` deleted", Trials.no_checkpoint, f"it starts over; {same}")
    yield Kind(
        f"one bit of an array of `{CHECKPOINT}` changed",
        Trials.changed_checkpoint,
        "refused in a line, and left as it is",
    )
    outcome = "it ends in a line; what is in its place is left as it is"
    yield Kind("the folder deleted, moved, unlocked or replaced during a run", Trials.lost_folder, outcome)
    yield Kind("a second process in the folder of a run", Trials.second_writer, f"refused in a line; {same}")


HEAD = """# What a run survives

A run folder holds `config.json`, `checkpoint.npz`, `metrics.csv` and pictures. Each is written beside its place and
then renamed: whenever somebody looks or something ends, a file is the old one or the new one. The checkpoint is the
truth; the table and the configuration are made anew from it. What follows was made by `tests/core/faults.py`, which
tries all of it.

*The run that was never stopped* is meant literally: `checkpoint.npz`, `config.json` and the picture are the same byte
for byte, the rows of `metrics.csv` are the same but for the column `seconds`, and nothing else lies in the folder but
an empty `.lock`. The picture is a small one, which the trial draws with the writer of all pictures.
Kills inside a write come before its first byte, after one byte, a tenth, a third, nine tenths, before the last byte,
before `fsync`, before the rename and after it; in the first and in the last write of the file, in a run that begins
and in one that goes on.

| what happened | times, `fit` | times, `train` | what came of it |
|---|---:|---:|---|
"""


def page(tries):
    """docs/faults.md: tries says how often each kind was tried, for each way to run."""
    lines = [
        f"| {kind.what} | {' | '.join(map(str, n))} | {kind.outcome} |" for kind, n in zip(kinds(), tries, strict=True)
    ]
    return HEAD + "".join(f"{line}\n" for line in lines)


def try_all(folder: Path, runs: Sequence[Callable[[Path, int], None]] = tuple(WAYS.values())) -> list[list[int]]:
    """How often each kind was tried, for each way to run."""
    trials = []
    for run in runs:
        (folder / run.__name__).mkdir()
        trials.append(Trials(folder / run.__name__, run))
    return [[kind.trial(t) for t in trials] for kind in kinds()]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as at:
        print(page(try_all(Path(at))), end="")
