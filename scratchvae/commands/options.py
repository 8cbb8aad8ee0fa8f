"""What the verbs share: types for options (text in, a checked value out), BLAS threads, the program's own name."""

import argparse
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scratchvae.arguments import require_count, require_positive


def checked(parse: Callable[[str], Any], expected: str) -> Callable[[str], Any]:
    """An argparse type that says what it expected when parse raises a ValueError."""

    def convert(text: str) -> Any:
        try:
            return parse(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}") from None

    return convert


def parse_widths(text: str) -> list[int]:
    """ "400,200" to [400, 200]."""
    return [require_count(int(width), "width") for width in text.split(",")]


count = checked(lambda text: require_count(int(text), "count"), "a whole number of at least 1")
whole = checked(
    lambda text: 0 if int(text) == 0 else require_count(int(text), "number"), "a whole number of at least 0"
)
positive = checked(lambda text: require_positive(float(text), "number"), "a positive finite number")
not_negative = checked(
    lambda text: require_positive(float(text), "number", or_zero=True), "zero or a positive finite number"
)
widths = checked(parse_widths, "widths of at least 1 with commas between them, as in 400,200")


# -- BLAS threads ------------------------------------------------------------------------------------------------------


def add_threads(parser: argparse.ArgumentParser) -> None:
    """The option --threads."""
    parser.add_argument(
        "--threads", type=count, default=1, metavar="N", help="BLAS threads for the matrix products (default 1)"
    )


MOST_THREADS = 2**31 - 1  # what an int of C holds; a library has a limit of its own, far below


@contextmanager
def blas_threads(number: int) -> Iterator[None]:
    """Meanwhile NumPy's matrix products use so many threads, whatever the environment says.

    Two threads wait for each other in a loop: when other work takes one of their cores, both stand still, and an epoch
    takes several times as long. They also add up in another order, so the number belongs to a run, as its seed does.
    What threadpoolctl cannot set (Apple's Accelerate) stays as it is.
    """
    from threadpoolctl import threadpool_limits  # why: only a verb needs it, not `import scratchvae`

    with threadpool_limits(min(number, MOST_THREADS), user_api="blas"):
        yield


# -- how this program was started --------------------------------------------------------------------------------------


def command_line(*words: str | Path) -> str:
    """The words after this program, named as it was started: a line that can be pasted into the same shell.

    Example
        >>> command_line("train", "--resume", "--out", "two words")
        "python -m scratchvae train --resume --out 'two words'"
    """
    started = Path(sys.argv[0])
    if started.parts[-2:] == ("scratchvae", "__main__.py"):
        program = sys.orig_argv[: len(sys.orig_argv) - len(sys.argv) + 1]  # .venv/bin/python -m scratchvae
    elif started.stem == "scratchvae":
        found = shutil.which("scratchvae")
        program = ["scratchvae"] if found and Path(found).resolve() == started.resolve() else [sys.argv[0]]
    elif started.suffix == ".py" and started.name not in ("__main__.py", "ipykernel_launcher.py"):
        program = ["python", sys.argv[0]]  # a file that adds something of its own and calls main()
    else:  # main() was called from Python
        program = ["python", "-m", "scratchvae"]
    return shlex.join([*program, *map(str, words)])
