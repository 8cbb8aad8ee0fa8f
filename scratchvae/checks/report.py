"""What a check has to say: one row for everything that was looked at, one finding for everything that is wrong.

A report prints as a table in a terminal, shows itself as one in a notebook, and draws the differences behind it.
"""

import html
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

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
    "precision",
    "unknown",
)


SEED = 13126114  # of the checks' own draws: students seed with 0, and an upstream equal to x would hide a transpose
BAD = "background: #f6d5c3; color: black"


class Line(NamedTuple):
    """The checked function along one direction: value(h) = f(x + h u), and the derivative g.u that was claimed."""

    value: Callable[[float], float]
    slope: float
    scale: float  # what errors of the slope are judged against


class Row(NamedTuple):
    """One thing that was looked at: its largest error, and whether that passes."""

    name: str
    shape: tuple[int, ...]
    error: float
    status: str  # "ok", "wrong" or "untested" (zero on both sides: nothing was seen)
    note: str = ""
    line: Line | None = None
    second: float | None = None  # the error by the complex step, where the function takes complex numbers


class Finding(NamedTuple):
    """One thing that is wrong: where, which of CAUSES, and a sentence that says what to do.

    factor is what the result would have to be multiplied with, if that is a number; where is the index of the worst
    entry; also is a second cause, when two fit.
    """

    input: str
    cause: str
    message: str
    factor: float | None = None
    where: tuple[int, ...] | None = None
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
        """Where, what, and the two numbers."""
        place = "" if self.where is None else f"[{', '.join(map(str, self.where))}]"
        numbers = "" if self.expected is None else f" (expected {self.expected:.6g}, got {self.got:.6g})"
        cause = f"{self.cause}, {self.also}" if self.also else self.cause
        return f"{self.input}{place}: {cause}{numbers}"

    def __str__(self) -> str:
        return f"{self.headline}\n    {self.message}"


@dataclass
class Report:
    """Rows and findings of one check. ok means that there are no findings."""

    title: str
    rows: list[Row] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    unit: str = "error"  # the heading of the errors: relative ones, standard errors, nats

    @property
    def ok(self) -> bool:
        return not self.findings

    @property
    def state(self) -> str:
        """In two words; what was not seen is no pass."""
        if self.findings:
            return f"{len(self.findings)} finding{'s' if len(self.findings) > 1 else ''}"
        untested = sum(row.status == "untested" for row in self.rows)
        return f"ok, {untested} untested" if untested else "ok"

    def cells(self) -> list[tuple[str, ...]]:
        """The table as text: name, shape, error, status, note."""
        return [
            (
                r.name,
                "x".join(map(str, r.shape)) or "-",
                f"{r.error:.1e}",
                "" if r.second is None else f"{r.second:.1e}",
                r.status,
                r.note,
            )
            for r in self.rows
        ]

    @property
    def heading(self) -> tuple[str, ...]:
        return (
            "name",
            "shape",
            self.unit,
            "complex step" if any(r.second is not None for r in self.rows) else "",
            "",
            "",
        )

    def __str__(self) -> str:
        table = [self.heading, *self.cells()]
        widths = [max(len(row[i]) for row in table) for i in range(5)]
        lines = [f"{self.title}: {self.state}"]
        for name, shape, *numbers, status, note in table:
            parts = [f"{name:<{widths[0]}}", f"{shape:>{widths[1]}}"]
            parts += [f"{text:>{width}}" for text, width in zip(numbers, widths[2:4], strict=True) if width]
            lines.append("  ".join(["", *parts, f"{status:<{widths[4]}}", note]).rstrip())
        return "\n".join(lines + [f"  {finding}" for finding in self.findings])

    def _repr_html_(self) -> str:
        table = [self.heading, *self.cells()]
        columns = [i for i in range(6) if any(row[i] for row in table)]
        rows = [
            f'<tr style="{BAD if "wrong" in cells else ""}">'
            + "".join(f'<td style="text-align: left">{html.escape(cells[i])}</td>' for i in columns)
            + "</tr>"
            for cells in table
        ]
        findings = [f"<li><b>{html.escape(f.headline)}</b><br>{html.escape(f.message)}</li>" for f in self.findings]
        title = f"<b>{html.escape(self.title)}: {self.state}</b>"
        return f"{title}<table>{''.join(rows)}</table><ul>{''.join(findings)}</ul>"

    def plot(self) -> "Figure":
        """Error against step size, and the Taylor remainder.

        Raises    ValueError: nothing to draw; only gradients have steps.
        """
        if not any(row.line for row in self.rows):
            raise ValueError(f"plot draws the differences behind a gradient, and the report {self.title!r} has none")
        from scratchvae.checks.drawing import draw  # why: nothing is drawn unless somebody asks

        return draw(self.title, self.rows)
