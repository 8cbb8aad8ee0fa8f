"""What a check has to say: one row for everything that was looked at, one finding for everything that is wrong.

A report prints as a table in a terminal, shows itself as one in a notebook, and draws the differences behind it.
"""

import html
import math
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CAUSES = (
    "sign",
    "factor",
    "elementwise-factor",
    "transpose",
    "batch-sum",
    "missing-term",
    "zero",
    "shape",
    "non-finite",
    "noise-redrawn",
    "mutates-input",
    "accumulates",
    "precision",
    "unknown",
)
STATES = ("ok", "wrong", "untested", "not written yet")  # of a row


SEED = 13126114  # of the checks' own draws: students seed with 0, and an upstream equal to x would hide a transpose
BAD = "background: #f6d5c3; color: black"


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
        return f"{', '.join(self.inputs)}: {self.cause}{f', {self.also}' if self.also else ''}"

    @property
    def numbers(self) -> str:
        """The two numbers at the worst entry; nothing if there are none."""
        if self.expected is None or self.got is None:
            return ""
        place = f"{self.inputs[0]}[{', '.join(map(str, self.where))}]" if self.where else self.inputs[0]
        return f"at {place}: expected {self.expected:.6g}, got {self.got:.6g}"

    def __str__(self) -> str:
        parts = [self.message, f"repair: {self.repair}" if self.repair else "", self.numbers]
        return "\n".join([f"  {self.headline}", *(wrapped(part, "    ") for part in parts if part)])


def wrapped(text: str, indent: str) -> str:
    """A text in lines of 80 columns at most, all of them indented."""
    return textwrap.fill(text, 80, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)


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
        table = self.cells()
        widths = [max(len(row[i]) for row in table) for i in range(5)]
        lines = [f"{self.title}: {self.state}", *map(str, self.findings)]
        for name, shape, *numbers, status, note in table if self.rows else ():
            parts = [f"{name:<{widths[0]}}", f"{shape:>{widths[1]}}"]
            parts += [f"{text:>{width}}" for text, width in zip(numbers, widths[2:4], strict=True) if width]
            line = "  ".join(["", *parts, f"{status:<{widths[4]}}"])
            fits = len(line) + 2 + len(note) <= 80
            lines.append(f"{line}  {note}".rstrip() if fits else line.rstrip())
            lines += [] if fits else [wrapped(note, "      ")]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        table = self.cells()
        columns = [i for i in range(6) if any(row[i] for row in table)]
        rows = [
            f'<tr style="{BAD if "wrong" in cells else ""}">'
            + "".join(f'<td style="text-align: left">{html.escape(cells[i])}</td>' for i in columns)
            + "</tr>"
            for cells in table
        ]
        findings = [f"<li><b>{html.escape(f.headline)}</b><br>{html.escape(f.message)}</li>" for f in self.findings]
        title = f"<b>{html.escape(self.title)}: {html.escape(self.state)}</b>"
        return f"{title}<ul>{''.join(findings)}</ul><table>{''.join(rows)}</table>"

    def plot(self) -> "Figure":
        """Error against step size, and the Taylor remainder.

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


def cells_of(row: Row) -> tuple[str, ...]:
    """A row of the table as text."""
    shape = "x".join(map(str, row.shape)) or "-"
    error = "" if math.isnan(row.error) else f"{row.error:.1e}"
    return row.name, shape, error, "" if row.second is None else f"{row.second:.1e}", row.status, row.note


def finite(number: float) -> float | None:
    """JSON knows neither NaN nor infinity."""
    return number if math.isfinite(number) else None
