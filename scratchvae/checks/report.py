"""What a check has to say: one row for everything that was looked at, one finding for everything that is wrong.

A report prints as a table in a terminal, shows itself as one in a notebook, and draws the differences behind it.
"""

import math
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CAUSES = {
    "sign": "Every entry has the wrong sign: a minus is missing, or is there twice.",
    "factor": "Every entry is off by one and the same number, such as 1/2 or the number of rows.",
    "elementwise-factor": (
        "Every entry is off by a number of its own: a slope, a mask, sigma or eps is missing, is there once too often, "
        "or stands where another one belongs."
    ),
    "transpose": "The right numbers stand in the wrong places: a matrix, or one side of a product, is transposed.",
    "batch-sum": "A sum over the batch is missing, leaves rows out, or weighs them unequally.",
    "missing-term": "Something is missing from a sum, or is too much in it: a path, a term of a bound, a constant.",
    "zero": "Nothing arrives where something should: the gradient is zero or None, or an input has no influence.",
    "shape": "The result has another shape than it should have, or is summed or spread along the wrong axis.",
    "non-finite": "There is a NaN or an infinity in it.",
    "noise-redrawn": "The same call gives another result: noise is drawn inside that should be an argument.",
    "mutates-input": "Something is written to that belongs to the caller, or that another call still needs.",
    "accumulates": "A second backward returns more than the first: the gradient is added to the one before.",
    "precision": "There are too few digits for differences to confirm anything: float32 somewhere, or rounding.",
    "unknown": "Something is wrong, and no simple repair was found: the report says where.",
}
STATES = ("ok", "wrong", "untested", "not written yet")  # of a row
SEED = 13126114  # of the checks' own draws: students seed with 0, and an upstream equal to x would hide a transpose
WIDTH = 80  # columns of a terminal
SHAPE = 16  # so many of them at most for a shape; a name gets what is left


class Line(NamedTuple):
    """The checked function along one direction: value(h) = f(x + h u), and the derivative g.u that was claimed."""

    value: Callable[[float], float]
    slope: float
    scale: float  # what errors of the slope are judged against


class Row(NamedTuple):
    """One thing that was looked at: its largest error, and which of STATES it is in.

    What could not be seen is untested: a slope that is zero on both sides, or one that drowns in rounding.
    """

    name: str
    shape: tuple[int, ...]
    error: float
    status: str
    note: str = ""
    line: Line | None = None
    second: float | None = None  # the error by the complex step, where the function takes complex numbers


class Finding(NamedTuple):
    """One thing that is wrong, in all that it spoils: which of CAUSES, where to look, and apart from it the repair.

    message says what is wrong and names the line; repair says what to write, expected and got are numbers at the worst
    entry, where. factor is what the results would have to be multiplied with, if that is a number; also is a second
    cause, when two fit.
    """

    inputs: tuple[str, ...]
    cause: str
    message: str
    repair: str = ""
    factor: float | None = None
    where: tuple[int, ...] | None = None  # an index of the first of the inputs
    expected: float | None = None
    got: float | None = None
    also: str = ""

    @property
    def ratio(self) -> float | None:
        """expected / got at the worst entry."""
        if self.expected is None or not self.got:
            return None
        return self.expected / self.got

    @property
    def headline(self) -> str:
        """What is wrong, and which cause."""
        return f"{listed(list(self.inputs))}: {self.causes}"

    @property
    def causes(self) -> str:
        """The cause, or the two that fit."""
        return f"{self.cause}, {self.also}" if self.also else self.cause

    @property
    def numbers(self) -> str:
        """The two numbers at the worst entry; nothing if there are none."""
        if self.expected is None or self.got is None:
            return ""
        place = f"{self.inputs[0]}[{', '.join(map(str, self.where))}]" if self.where else self.inputs[0]
        digits = 6 if f"{self.expected:.6g}" != f"{self.got:.6g}" else 12
        return f"expected {self.expected:.{digits}g}, got {self.got:.{digits}g}, at {place}"

    def __str__(self) -> str:
        parts = {"cause": f"{self.causes} ({listed(list(self.inputs))})", "repair": self.repair, "worst": self.numbers}
        fields = [wrapped(text, f"    {name:<6}  ", " " * 12) for name, text in parts.items() if text.strip()]
        return "\n".join([wrapped(self.message, "  "), *fields])


def wrapped(text: str, first: str, later: str | None = None) -> str:
    """A text in lines that fit, all of them indented like the first, or otherwise from the second on."""
    later = first if later is None else later
    words = " ".join(text.split())  # why: str.split knows more blanks than textwrap does
    return textwrap.fill(words, WIDTH, initial_indent=first, subsequent_indent=later, break_on_hyphens=False)


@dataclass
class Report:
    """Rows and findings of one check. ok means that something was seen to be right, and nothing to be wrong."""

    title: str
    rows: list[Row] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    unit: str = "error"  # the heading of the errors: relative ones, standard errors, nats

    @property
    def ok(self) -> bool:
        states = {row.status for row in self.rows}
        return not self.findings and "ok" in states and "wrong" not in states

    @property
    def state(self) -> str:
        """In a few words, with the names of what was not tested; what was not seen is no pass."""
        names = {state: [row.name for row in self.rows if row.status == state] for state in STATES}
        parts = [f"{len(self.findings)} finding{'s' * (len(self.findings) > 1)}"] if self.findings else []
        if not parts and names["wrong"]:
            parts = [f"wrong: {listed(names['wrong'])}"]
        if not parts and names["ok"]:
            parts = ["ok"]
        parts += [f"{listed(names[state])} {state}" for state in STATES[2:] if names[state]]
        return ", ".join(parts) or "nothing was checked"

    def as_dict(self) -> dict[str, Any]:
        """Everything but the lines of the figure, as plain data: for json.dumps."""
        rows = [{**row._replace(line=None)._asdict(), "error": finite(row.error)} for row in self.rows]
        findings = [finding._asdict() for finding in self.findings]
        return {"title": self.title, "ok": self.ok, "state": self.state, "rows": rows, "findings": findings}

    def cells(self) -> list[tuple[str, ...]]:
        """The table as text: name, shape, error, complex step, status, note; a heading first."""
        twice = any(row.second is not None for row in self.rows)
        heading = ("name", "shape", self.unit, "complex step" if twice else "", "", "")
        return [heading, *(cells_of(row) for row in self.rows)]

    def __str__(self) -> str:
        head = wrapped(f"{self.title.strip()}: {self.state}", "", "  ")
        findings = [str(finding) for finding in self.findings]
        return ("\n\n" if findings else "\n").join(filter(None, [head, *findings, self.table]))

    @property
    def table(self) -> str:
        """The rows, in columns."""
        table = [(name, shortened(shape, SHAPE), *rest) for name, shape, *rest in self.cells()]
        widths = [max(len(row[i]) for row in table) for i in range(5)]
        room = WIDTH - sum(width + 2 for width in widths[1:] if width) - 2
        table = [(shortened(name, room), *rest) for name, *rest in table]
        widths[0] = max(len(row[0]) for row in table)
        lines = []
        for name, shape, *numbers, status, note in table if self.rows else ():
            parts = [f"{name:<{widths[0]}}", f"{shape:>{widths[1]}}"]
            parts += [f"{text:>{width}}" for text, width in zip(numbers, widths[2:4], strict=True) if width]
            line = "  ".join(["", *parts, f"{status:<{widths[4]}}"])
            fits = not note or len(line) + 2 + len(note) <= WIDTH
            lines.append(f"{line}  {note}".rstrip() if fits else line.rstrip())
            lines += [] if fits else [wrapped(note, "      ")]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        from scratchvae.checks.page import page  # why: a terminal has no use for it

        return page(self)

    def plot(self) -> "Figure":
        """Error against step size, and the Taylor remainder. In a notebook it shows itself; .alt says it in words.

        Raises    ValueError: nothing to draw; only gradients have steps.
        """
        if not any(row.line for row in self.rows):
            raise ValueError(f"plot draws the differences behind a gradient, and the report {self.title!r} has none")
        from scratchvae.checks.figure import draw  # why: nothing is drawn unless somebody asks

        return draw(self.title, self.rows)


def listed(names: list[str]) -> str:
    """a; a and b; a, b and c; of many the first three, and how many more."""
    if len(names) > 4:
        names = [*names[:3], f"{len(names) - 3} more"]
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def shortened(text: str, most: int) -> str:
    """One line of so many characters at most, two or more: a longer one loses its middle."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most // 2 - 1]}…{line[len(line) - (most - most // 2) :]}"


def cells_of(row: Row) -> tuple[str, ...]:
    """A row of the table as text."""
    shape = "x".join(map(str, row.shape)) or "-"
    error = "" if math.isnan(row.error) else f"{row.error:.1e}"
    note = " ".join(row.note.split())  # why: a message of somebody's code may have lines of its own
    return row.name, shape, error, "" if row.second is None else f"{row.second:.1e}", row.status, note


def finite(number: float) -> float | None:
    """JSON knows neither NaN nor infinity."""
    return number if math.isfinite(number) else None
