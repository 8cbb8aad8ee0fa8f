"""A run folder: held by one process at a time, and no file in it is ever half written.

    config.json      what the run was started with
    checkpoint.npz   the run itself: see `checkpoint`
    metrics.csv      the checkpoint's history as a table, and the seconds that an epoch took

The checkpoint is the truth, and the other two are views of it, written anew from it when a run goes on.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

CONFIG, CHECKPOINT, METRICS, LOCK = "config.json", "checkpoint.npz", "metrics.csv", ".lock"

History = dict[str, list[float]]  # a list a column, an entry an epoch


class RunFolder:
    """A folder that this process alone writes to, until it is closed or the process ends, however it ends.

    The lock is the operating system's, on an empty file .lock; it is the lock that counts, and not the file.

    Raises    ValueError: another process holds the folder, or it is a file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(f"out should be a folder, got the file {self.path}; choose another")
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = open(self.path / LOCK, "ab")  # noqa: SIM115  open for as long as the folder is held
        try:
            lock(self._lock)
        except OSError:
            self._lock.close()
            raise ValueError(
                f"out should be a folder that no other run writes to, and {self.path} is in use; "
                "wait for that run, or choose another folder"
            ) from None

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let others have it."""
        self._lock.close()

    def holds_a_run(self) -> bool:
        """Whether a run was begun here."""
        return any((self.path / name).exists() for name in (CONFIG, CHECKPOINT, METRICS))

    def write_config(self, config: Mapping[str, Any]) -> None:
        """config.json."""
        text = json.dumps(config, indent=2) + "\n"
        write_whole(self.path / CONFIG, lambda file: file.write(text.encode()))

    def write_metrics(self, history: History, seconds: Sequence[float | None]) -> None:
        """metrics.csv: a row an epoch."""
        text = "".join(f"{line}\n" for line in metrics_lines(history, seconds))
        write_whole(self.path / METRICS, lambda file: file.write(text.encode()))

    def seconds(self, history: History) -> list[float | None]:
        """What metrics.csv says of each epoch's time; None for a row that is missing or is not that of the history."""
        file = self.path / METRICS
        there = set(file.read_text(errors="replace").splitlines()) if file.is_file() else set()
        bare = metrics_lines(history, [None] * epochs_of(history))[1:]
        times = {row: time for row, _, time in (line.rpartition(",") for line in there)}
        return [as_seconds(times.get(line.removesuffix(","), "")) for line in bare]


def lock(file: BinaryIO) -> None:
    """Take the operating system's lock on an open file, which ends with the process; OSError if another one has it."""
    try:
        import fcntl
    except ImportError:  # not a Unix
        try:
            import msvcrt
        except ImportError:
            return  # why: in a browser there is neither, and there are no other processes
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined, unused-ignore]
    else:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def write_whole(file: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file under another name, then rename it: whoever looks, whenever, finds the old one or the new one."""
    part = file.with_name(f"{file.name}.part")
    try:
        with open(part, "wb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, file)
    finally:
        part.unlink(missing_ok=True)


def epochs_of(history: History) -> int:
    return len(next(iter(history.values()), []))


def metrics_lines(history: History, seconds: Sequence[float | None]) -> list[str]:
    """A header and a line an epoch: whole numbers as they are, nats and seconds with four decimals."""
    lines = [",".join([*history, "seconds"])]
    for values in zip(*history.values(), seconds, strict=True):
        lines.append(",".join("" if v is None else f"{v:.4f}" if isinstance(v, float) else f"{v}" for v in values))
    return lines


def as_seconds(text: str) -> float | None:
    """A time as metrics.csv has it; None for anything else."""
    return float(text) if text.replace(".", "", 1).isdigit() and text.isascii() else None
