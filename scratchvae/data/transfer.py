"""One file from one server: appended to what is there already, with a bar, and in limited time."""

import sys
import time
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from scratchvae.data.dataset import DataError
from scratchvae.npz import FREE

TIMEOUT = 20.0  # seconds without a byte
DEADLINE = 900.0  # seconds for one file from one server; what has come by then is kept
CHUNK = 2**16


def transfer(url: str, part: Path) -> bool:
    """Append what is missing of url to part, or all of it where the server knows no ranges. True if it was appended.

    Raises    OSError, HTTPException: the connection failed, ended early, or took too long. DataError: it has no end.
    """
    from tqdm import tqdm

    have = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "scratchvae"} | ({"Range": f"bytes={have}-"} if have else {})
    pieces = arriving(Request(url, headers=headers))
    try:
        status, length = next(pieces)
    except HTTPError as error:
        error.close()
        if error.code != 416 or not have:  # range not satisfiable: part is as long as the file, or longer
            raise
        part.unlink()
        return transfer(url, part)
    appended = have > 0 and status == 206
    have = have if appended else 0
    bar = tqdm(
        desc=part.name.removesuffix(".gz.part"),
        initial=have,
        total=None if length is None else have + length,
        unit="B",
        unit_scale=True,
        file=sys.stdout,
        disable=None,  # where it is no terminal
    )
    with bar, closing(pieces), open(part, "ab" if appended else "wb") as file:
        for chunk in pieces:
            have += len(chunk)
            if have > FREE:
                raise DataError(f"no file of these data sets is so long, and more than {FREE} bytes came")
            file.write(chunk)
            bar.update(len(chunk))
    return appended


def arriving(request: Request) -> Generator[Any, None, None]:
    """Status and length of the reply to a request, then its bytes piece by piece, for at most DEADLINE seconds in all.

    why a thread: the time limit of a socket begins anew with every byte, and a server may send one every ten seconds,
    of a header even. The thread touches no file, so that it may be left waiting.
    """
    arrived: SimpleQueue[Any] = SimpleQueue()
    over = Event()

    def receive() -> None:
        try:
            with urlopen(request, timeout=TIMEOUT) as reply:
                arrived.put((reply.status, reply.length))
                while not over.is_set() and (chunk := reply.read1(CHUNK)):
                    arrived.put(chunk)
                if reply.length:  # what is still to come
                    raise ConnectionError(f"the connection ended {reply.length} bytes early")
            arrived.put(None)
        except Exception as error:
            arrived.put(error)

    Thread(target=receive, name="download", daemon=True).start()
    end = time.monotonic() + DEADLINE
    try:
        while True:
            thing = arrived.get(timeout=max(0.0, end - time.monotonic()))
            if thing is None:
                return
            if isinstance(thing, Exception):
                raise thing
            yield thing
    except Empty:
        raise TimeoutError(f"it had not come after {DEADLINE:g} seconds") from None
    finally:
        over.set()
