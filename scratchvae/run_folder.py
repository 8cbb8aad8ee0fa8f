"""A run folder: held by one process at a time, and none of these files is ever half written.

    config.json      what the run was started with
    checkpoint.npz   the run itself: see `checkpoint`
    metrics.csv      the checkpoint's history as a table, and the seconds that an epoch took

The checkpoint is the truth, and the other two are views of it, but for the seconds, written anew when a run goes on.
"""

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

CONFIG, CHECKPOINT, METRICS, LOCK = "config.json", "checkpoint.npz", "metrics.csv", ".lock"
LONGEST_METRICS = 2**24  # bytes of metrics.csv that are looked at: some hundred thousand epochs

History = dict[str, list[float]]  # a list a column, an entry an epoch


class RunFolder:
    """A folder that this process alone writes to, until it is closed or the process ends, however it ends.

    The lock is the operating system's, on an empty file .lock; it is the lock that counts, and not the file.

    Raises    ValueError: another process holds the folder, it is a file, or it cannot be written to.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            if self.path.exists() and not self.path.is_dir():
                raise ValueError(f"out should be a folder, got the file {self.path}; choose another")
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = open(self.path / LOCK, "ab")  # noqa: SIM115  open for as long as the folder is held
        except OSError as error:
            raise ValueError(
                f"out should be a folder that can be written to, got {self.path} ({error.strerror}); choose another"
            ) from None
        if not locked(self._lock):
            self._lock.close()
            raise ValueError(
                f"out should be a folder that no other run writes to, and {self.path} is in use; "
                "wait for that run, or choose another folder"
            )
        for name in (CONFIG, CHECKPOINT, METRICS):  # what a kill may have left
            discard(part_of(self.path / name))

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let others have it."""
        self._lock.close()

    def require_held(self) -> None:
        """A ValueError if the folder is no longer the one that was locked: deleted, moved, perhaps another run's."""
        try:
            held = os.path.samestat(os.stat(self.path / LOCK), os.fstat(self._lock.fileno()))
        except OSError:
            held = False
        if not held:
            raise ValueError(
                f"the run folder {self.path}, or the {LOCK} in it, was deleted or moved while this run wrote to it; "
                "this run ends here, since another one may have taken its place"
            )

    def holds_a_run(self) -> bool:
        """Whether a run was begun here."""
        return holds_a_run(self.path)

    def write_config(self, config: Mapping[str, Any]) -> None:
        """config.json."""
        self.write(CONFIG, json.dumps(config, indent=2) + "\n")

    def write_metrics(self, history: History, seconds: Sequence[float | None]) -> None:
        """metrics.csv: a row an epoch."""
        self.write(METRICS, "".join(f"{line}\n" for line in metrics_lines(history, seconds)))

    def write(self, name: str, text: str) -> None:
        """A file of that name in the folder, all of it or nothing."""
        self.require_held()
        write_whole(self.path / name, lambda file: file.write(text.encode()))

    def seconds(self, history: History) -> list[float | None]:
        """What metrics.csv says of each epoch's time; None for a row that is missing or is not that of the history."""
        try:
            with open(self.path / METRICS, "rb") as file:
                text = file.read(LONGEST_METRICS).decode(errors="replace")
        except OSError:
            text = ""
        times = {row: time for row, _, time in (line.rpartition(",") for line in text.splitlines())}
        bare = metrics_lines(history, [None] * epochs_of(history))[1:]
        return [as_seconds(times.get(line.removesuffix(","), "")) for line in bare]


def holds_a_run(path: Path) -> bool:
    """Whether a run was begun in a folder."""
    return any((path / name).exists() for name in (CONFIG, CHECKPOINT, METRICS))


def locked(file: BinaryIO) -> bool:
    """Take the operating system's lock on an open file, which ends with the process; False if another one has it.

    Where there are no locks, as in a browser and on some network drives, the file counts as locked.
    """
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined, unused-ignore]
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # the one on Unix, the other on Windows
        return False
    except (ImportError, OSError):
        return True
    return True


def part_of(file: Path) -> Path:
    """Where a file is written before it is renamed."""
    return file.with_name(f"{file.name}.part")


def discard(part: Path) -> None:
    with suppress(OSError):
        part.unlink()


def write_whole(file: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file under another name, then rename it: whoever looks, whenever, finds the old one or the new one.

    Raises    OSError, in one line: no room, no right to write there, a folder of that name.
    """
    part = part_of(file)
    try:
        with open(part, "wb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, file)
    except OSError as error:
        discard(part)
        raise OSError(
            f"{file} cannot be written ({error.strerror or error}), and what was there is kept; "
            "make room or take the right to write there, and try again"
        ) from None
    except BaseException:
        discard(part)
        raise


def epochs_of(history: History) -> int:
    return len(next(iter(history.values()), []))


def metrics_lines(history: History, seconds: Sequence[float | None]) -> list[str]:
    """A header and a line an epoch: whole numbers as they are, nats and seconds with four decimals."""
    lines = [",".join([*history, "seconds"])]
    for values in zip(*history.values(), seconds, strict=True):
        lines.append(",".join("" if v is None else f"{v:.4f}" if isinstance(v, float) else f"{v}" for v in values))
    return lines


def as_seconds(text: str) -> float | None:
    """A time as metrics.csv has it; None for anything else, such as one that was cut short."""
    return float(text) if re.fullmatch(r"\d{1,12}\.\d{4}", text, re.ASCII) else None
