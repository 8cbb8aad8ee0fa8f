"""gradcheck: every derivative and every bound of this package, or the pairs f / f_backward of a file of yours."""

import argparse
from pathlib import Path

from scratchvae.checks.files import check_file
from scratchvae.checks.package import check_package

HELP = "check every backward against differences, here or in a file of yours, and say what is wrong"
EXAMPLE = """examples:
  python -m scratchvae gradcheck
  python -m scratchvae gradcheck student.py

A file is checked by its names: f(x, W, b) -> y, cache and f_backward(dy, cache) -> dx, dW, db are a pair. Inputs are
made from the names of the parameters; a dictionary in the file chooses them: INPUTS = {"f": {"x": array, ...}}."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Whose derivatives to check."""
    parser.add_argument("file", nargs="?", metavar="FILE", help="a Python file with pairs (default: scratchvae itself)")


def run(args: argparse.Namespace) -> int:
    """Print one table; 0 if there are no findings, 1 if there are."""
    reports = list(check_package() if args.file is None else check_file(python_file(args.file)))
    width = max(len(report.title) for report in reports)
    for report in reports:
        error = f"{max(row.error for row in report.rows):.1e}" if report.rows else "-"
        unit = "" if report.unit == "error" else report.unit
        print(f"  {report.title:<{width}}  {error:>7} {unit:<18}  {'ok' if report.ok else 'WRONG'}")
        for row in report.rows if report.ok else ():
            if row.status != "ok":
                print(f"      {row.name}: {row.status}, {row.note}")
    for report in reports:
        if not report.ok:
            print(f"\n{report}")
    wrong = sum(not report.ok for report in reports)
    print(f"{len(reports)} checked, {wrong or 'none'} wrong")
    return 1 if wrong else 0


def python_file(text: str) -> Path:
    """The path, if a Python file that may be read is there.

    Raises    ValueError: something else, and what it is. OSError: it may not be read.
    """
    path = Path(text)
    if not text or not path.exists():
        what = "is not there; check the path"
    elif path.is_dir():
        what = "is a folder; name a file in it"
    elif not path.is_file():
        what = "is not a file; name one"
    elif path.suffix == ".ipynb":
        what = "is a notebook; save its functions in a file of their own, as in student.py"
    elif path.suffix != ".py":
        what = "does not end in .py; name a file that does"
    else:
        path.open("rb").close()
        return path
    raise ValueError(f"FILE should be a Python file, and {text or repr(text)} {what}")
