"""gradcheck: every derivative and every bound that models are made of, or what a file of yours computes by hand."""

import argparse
import json
from collections import Counter
from pathlib import Path

from scratchvae.checks.files.check import NOT_RUN, SECONDS, check_file
from scratchvae.checks.package import check_package
from scratchvae.checks.report import Report, wrapped
from scratchvae.commands.options import positive

HELP = "check every backward against differences, here or in a file of yours, and say what is wrong"
EXAMPLE = """examples:
  python -m scratchvae gradcheck
  python -m scratchvae gradcheck student.py
  python -m scratchvae gradcheck student.py --json

A file is checked as it stands. Pairs are functions f and f_backward, or f_forward and f_backward, and classes with
forward and backward, whose gradients are returned, or kept in self.dW, self.grad_W or self.grads. Inputs that fit are
made up; a dictionary in the file gives others: examples = {"f": {"x": array, ...}}, and for a class
{"Layer": {"init": {"n_in": 4}, "x": array}}. A pair for which no inputs fit is not run, and says why.

It ends with 0 if something was checked and nothing is wrong, with 1 if something is wrong, with 2 if nothing could
be checked."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Whose derivatives to check."""
    parser.add_argument("file", nargs="?", metavar="FILE", help="a Python file with pairs (default: scratchvae itself)")
    parser.add_argument("--json", action="store_true", help="print one JSON document, for machines")
    parser.add_argument(
        "--timeout",
        type=positive,
        default=SECONDS,
        metavar="SECONDS",
        help=f"for importing FILE, for each pair in it, and again for why one is wrong (default: {SECONDS:g})",
    )


def run(args: argparse.Namespace) -> int:
    """Print one table, or JSON; the exit code says whether something is wrong."""
    reports = list(check_package() if args.file is None else check_file(python_file(args.file), args.timeout))
    counts = Counter(verdict(report) for report in reports)
    code = 1 if counts["wrong"] else 0 if counts["ok"] else 2
    if args.json:
        told = [{**report.as_dict(), "verdict": verdict(report)} for report in reports]
        print(json.dumps({"reports": told, "counts": dict(counts), "exit_code": code}, indent=2))
        return code
    print("\n".join(table(reports)))
    for report in reports:
        if verdict(report) == "wrong":
            print(f"\n{report}")
    print(summary(counts))
    return code


def verdict(report: Report) -> str:
    """ok, wrong, not written yet, not run, or untested."""
    states = {row.status for row in report.rows}
    if report.findings or "wrong" in states:
        return "wrong"
    if "not written yet" in states:
        return "not written yet"
    if any(row.note.startswith(NOT_RUN) for row in report.rows):
        return "not run"
    return "ok" if report.ok else "untested"


def table(reports: list[Report]) -> list[str]:
    """A line for every report, and below it the notes of what was taken for granted, or is not ok."""
    width, lines = max(len(report.title) for report in reports), []
    for report in reports:
        wrong = [row for row in report.rows if row.status == "wrong"]
        errors = [row.error for row in wrong or report.rows]
        known = [error for error in errors if error == error]  # why: NaN is no error
        error = f"{max(known):.1e}" if known else "-"
        unit = "" if report.unit == "error" else report.unit
        said = verdict(report)
        lines.append(f"  {report.title:<{width}}  {error:>7} {unit:<18}  {'WRONG' if said == 'wrong' else said}")
        for row in report.rows if said != "wrong" else ():
            if row.status != "ok" or (row.note and row is report.rows[0]):
                state = "" if row.status == "ok" or row.note.startswith(NOT_RUN) else f"{row.status}, "
                front = "" if row.name in ("backward", report.title) else f"{row.name}: "
                if text := f"{state}{row.note}".rstrip(", ").removeprefix("not written yet"):
                    lines.append(wrapped(f"{front}{text}", "      "))
    return lines


def summary(counts: Counter[str]) -> str:
    """7 checked, 2 wrong, 1 not written yet, 1 not run: behind the first two what is none is left out."""
    checked = counts["ok"] + counts["wrong"] + counts["untested"]
    parts = [f"{checked} checked", f"{counts['wrong'] or 'none'} wrong"]
    return ", ".join(
        parts + [f"{counts[key]} {key}" for key in ("untested", "not written yet", "not run") if counts[key]]
    )


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
