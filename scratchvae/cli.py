"""The command line: a verb, its options, and one plain line when something is wrong.

Exit codes: 0 done, 1 a run or a check that failed, 2 bad input, 130 stopped by Ctrl-C.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from scratchvae.commands import data, doctor, evaluate, gradcheck, plot, sample, train
from scratchvae.training import NonFiniteObjective

COMMANDS = {
    "train": train,
    "evaluate": evaluate,
    "sample": sample,
    "plot": plot,
    "data": data,
    "gradcheck": gradcheck,
    "doctor": doctor,
}


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are one line, without the usage above them."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def make_parser() -> Parser:
    """One parser a verb; each module in `commands` says what its options are."""
    parser = Parser(prog="scratchvae", description="A variational autoencoder written by hand in NumPy.")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True, parser_class=Parser)
    for name, command in COMMANDS.items():
        verb = verbs.add_parser(
            name,
            help=command.HELP,
            description=command.HELP,
            epilog=command.EXAMPLE,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_arguments(verb)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    args = make_parser().parse_args(argv)
    try:
        return COMMANDS[args.verb].run(args)
    except KeyboardInterrupt:
        return 130
    except NonFiniteObjective as error:
        print(f"scratchvae {args.verb}: {error}", file=sys.stderr)
        return 1
    except MemoryError as error:
        print(f"scratchvae {args.verb}: this needs more memory than there is: {error}; ask for less", file=sys.stderr)
        return 2
    except (ValueError, OSError) as error:  # the package's own complaints are all ValueErrors with one line of text
        print(f"scratchvae {args.verb}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
