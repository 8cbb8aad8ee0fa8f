"""The command line: a verb, its options, and one plain line when something is wrong.

Exit codes: 0 done, 1 a run or a check that failed, 2 bad input, 130 stopped by Ctrl-C, 141 nobody reads on (`| head`).
"""

import argparse
import io
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from scratchvae import __version__
from scratchvae.commands import data, doctor, evaluate, gradcheck, plot, reproduce, sample, train
from scratchvae.commands.options import add_threads, blas_threads, command_line
from scratchvae.training import NonFiniteObjective

COMMANDS = {
    "train": train,
    "evaluate": evaluate,
    "sample": sample,
    "plot": plot,
    "data": data,
    "gradcheck": gradcheck,
    "reproduce": reproduce,
    "doctor": doctor,
}
# why without train: it has --threads among the options of a run
COMPUTE = ("evaluate", "sample", "plot", "gradcheck", "reproduce", "doctor")
WRITERS = {  # what to do when a verb cannot write
    "train": "choose another --out",
    "sample": "it writes into RUN: make that writable, or copy it to where you may write",
    "plot": "it writes into RUN: make that writable, or copy it to where you may write",
    "data": "choose another folder with SCRATCHVAE_DATA",
}


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are one line, without the usage above them."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {command_line(*self.prog.split()[1:], '--help')}\n")


def make_parser() -> Parser:
    """One parser a verb; each module in `commands` says what its options are."""
    parser = Parser(prog="scratchvae", description="A variational autoencoder written by hand in NumPy.")
    parser.add_argument("--version", action="version", version=f"scratchvae {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", parser_class=Parser)
    for name, command in COMMANDS.items():
        verb = verbs.add_parser(
            name,
            help=command.HELP,
            description=command.HELP,
            epilog=command.EXAMPLE.replace("python -m scratchvae", command_line()),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_arguments(verb)
        if name in COMPUTE:
            add_threads(verb)
        verb.set_defaults(parser=verb)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # why: a name that the terminal cannot show must not stop a run
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        try:
            return run(argv)
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()  # why: here, not when Python ends, it can still be told that nobody reads on
    except OSError as error:  # of the output itself: the reader has left, as in `| head -1`, or its disk is full
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # why: Python flushes once more when it ends
        if isinstance(error, BrokenPipeError):
            return 141
        print(f"scratchvae: cannot write what it prints: {error.strerror}", file=sys.stderr)
        return 2


def run(argv: Sequence[str] | None) -> int:
    """The same; a reader who leaves in the middle is a BrokenPipeError."""
    parser = make_parser()
    args, unknown = parser.parse_known_args(argv)
    if unknown:
        (parser if args.verb is None else args.parser).error(f"unrecognized arguments: {' '.join(unknown)}")
    if args.verb is None:
        parser.print_help()
        return 2
    try:
        with blas_threads(getattr(args, "threads", None) or 1):
            return COMMANDS[args.verb].run(args)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        raise
    except NonFiniteObjective as error:
        code, text = 1, str(error)
    except MemoryError as error:
        code, text = 2, f"this needs more memory than there is: {error}; ask for less"
    except OSError as error:
        code, text = 2, os_complaint(error, args.verb)
    except ValueError as error:  # the rest of the package's own complaints, in one line of text
        code, text = 2, str(error)
    print(f"scratchvae {args.verb}: {' '.join(text.split())}", file=sys.stderr)
    return code


def os_complaint(error: OSError, verb: str) -> str:
    """What could not be read or written, why, and what to do, without the number of the error."""
    if not error.strerror:
        return str(error)
    name = error.filename if error.filename2 is None else error.filename2
    doing = "write" if verb in WRITERS else "read" if name is not None else "read or write"
    advice = WRITERS.get(verb, "check the path" if name is not None else "make room")
    return f"cannot {doing}{'' if name is None else f' {name}'}: {error.strerror.lower()}; {advice}"
