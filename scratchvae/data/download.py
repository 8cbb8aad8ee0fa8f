"""Verified download: a file counts only when the content in it, unpacked, has the hash that is known beforehand.

    NAME/train-images-idx3-ubyte.gz.part   what has come so far; an interrupted download goes on from there
    NAME/train-images-idx3-ubyte.gz        the same file, renamed once its hash has been found right
    NAME/.lock                             lets one process at a time fetch into the folder; the others wait

Files stay gzipped, as the mirrors send them: verifying ends in one rename, MNIST takes a fifth of the space, and a copy
from elsewhere can be put into the folder by hand. Reading all of MNIST that way, with its hashes, takes 0.2 s.
"""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from urllib.error import URLError

import numpy as np

from scratchvae.data.dataset import DataError
from scratchvae.data.files import IDX_FILES, present
from scratchvae.data.idx import read_idx
from scratchvae.data.sources import SOURCES, Source
from scratchvae.data.transfer import transfer
from scratchvae.npz import brief


def data_folder() -> Path:
    """Where data sets are kept: SCRATCHVAE_DATA, or scratchvae in the user's cache.

    Source    XDG Base Directory Specification: XDG_CACHE_HOME, if it is an absolute path, or ~/.cache.
    """
    chosen, cache = os.environ.get("SCRATCHVAE_DATA"), Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        if chosen:
            return Path(chosen).expanduser()
        return (cache if cache.is_absolute() else Path.home() / ".cache") / "scratchvae"
    except RuntimeError:
        raise DataError("a home folder is needed to keep data in, and there is none; set SCRATCHVAE_DATA") from None


def obtain(name: str) -> dict[str, np.ndarray]:
    """The four arrays of a data set of SOURCES: from its folder where they are there and right, else from a mirror.

    Raises    DataError: no mirror gave the file; the message names each with what went wrong.
    """
    source, folder = SOURCES[name], data_folder() / name
    return {key: obtain_file(file, folder, source) for key, file in IDX_FILES.items()}


def state(name: str) -> str:
    """What is in the folder of a data set: "verified", "not here", or how many files are right and which damaged."""
    source, folder = SOURCES[name], data_folder() / name
    right = [file for file in source.sha256 if verified(file, folder, source) is not None]
    damaged = [file for file in source.sha256 if file not in right and present(file, folder)]
    if len(right) == len(source.sha256):
        return "verified"
    if not right and not damaged:
        return "not here"
    return f"{len(right)} of {len(source.sha256)} files" + (f", damaged: {', '.join(damaged)}" if damaged else "")


def obtain_file(file: str, folder: Path, source: Source) -> np.ndarray:
    """One of them. A file that is there and damaged is fetched again."""
    array = verified(file, folder, source)
    if array is not None:
        return array
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with one_process_at_a_time(folder):
            array = verified(file, folder, source)  # why: another process may have fetched it while this one waited
            return fetch(file, folder, source) if array is None else array
    except OSError as error:
        raise DataError(
            f"{folder} should be a folder to keep data in: {brief(error)}; set SCRATCHVAE_DATA to another"
        ) from None


def verified(file: str, folder: Path, source: Source) -> np.ndarray | None:
    """The array in a file of folder, gzipped or plain, whose content has the right hash; None if there is no such."""
    for path in present(file, folder):
        with suppress(DataError):  # damaged: as if it were not there
            return read_idx(path, source.sha256[file])
    return None


def fetch(file: str, folder: Path, source: Source) -> np.ndarray:
    """The file from the first mirror that has it, verified, then under its final name."""
    final, part = folder / f"{file}.gz", folder / f"{file}.gz.part"
    failures = []
    for mirror in source.mirrors:
        url = f"{mirror}{file}.gz"
        try:
            array = fetch_from(url, part, source.sha256[file])
        except (OSError, HTTPException, ValueError, RuntimeError) as error:  # the last: in a browser there is no thread
            reason = error.reason if type(error) is URLError else error
            failures.append(f"{url} ({brief(reason) or type(reason).__name__})")
            continue
        os.replace(part, final)
        return array
    raise DataError(
        f"{file}.gz should come from one of its mirrors, and none gave it: {', '.join(failures)}; try again later, or "
        f"put the files {', '.join(f'{name}.gz' for name in IDX_FILES.values())} into {folder} yourself"
    )


def fetch_from(url: str, part: Path, sha256: str) -> np.ndarray:
    """The array behind url. After a connection that failed, part stays for the next try; a wrong one is removed."""
    resumed = False
    try:
        resumed = transfer(url, part)
        return read_idx(part, sha256)
    except DataError:
        part.unlink()
        if not resumed:
            raise
    return fetch_from(url, part, sha256)  # why: what was there may be damaged, or from a mirror that packs otherwise


@contextmanager
def one_process_at_a_time(folder: Path) -> Iterator[None]:
    """Wait for the lock on folder and hold it. The system frees it when the process ends, in whatever way."""
    with open(folder / ".lock", "w") as file:
        if sys.platform == "win32":
            import msvcrt

            while True:
                try:
                    msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
                    break
                except OSError as error:
                    if error.errno != errno.EDEADLK:  # that is its word for ten seconds of waiting
                        raise
        elif sys.platform != "emscripten":
            import fcntl

            with suppress(OSError):  # why: some network drives have no locks; no file gets its name unverified even so
                fcntl.flock(file, fcntl.LOCK_EX)
        yield
