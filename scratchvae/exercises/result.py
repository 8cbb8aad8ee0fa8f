"""What the reader is told of an answer: passed, wrong, or not written yet, in at most four lines."""

import re
from html import escape
from typing import Any, NamedTuple

from scratchvae.checks.report import Finding

ROWS = {"passed": "ok", "wrong": "wrong", "not written yet": "untested"}  # the row of a report with the same colour


class Result(NamedTuple):
    """Of one blank. No number that the answer should have: it says where, by which ratio, and the likely cause."""

    blank: str
    state: str  # passed, wrong, not written yet
    message: str = ""
    cause: str = ""
    where: str = ""  # the worst entry
    ratio: float | None = None  # there: what the answer gives over what it should give

    @property
    def passed(self) -> bool:
        return self.state == "passed"

    @property
    def lines(self) -> list[str]:
        """What is shown."""
        lines = [f"{self.blank}: {self.state}"]
        if self.message:
            lines.append(self.message)
        if self.ratio is not None:
            lines.append(f"worst at {self.where}: {as_much(self.ratio)}")
        if not self.passed:
            lines.append(f'hint("{self.blank}") helps')
        return lines

    def as_dict(self) -> dict[str, Any]:
        """As plain data: for json.dumps."""
        return {**self._asdict(), "passed": self.passed}

    def __repr__(self) -> str:
        return "\n".join(self.lines)

    def _repr_html_(self) -> str:
        from scratchvae.checks.page import TINTS, framed  # why: a terminal has no use for it

        head, *rest = map(escape, self.lines)
        return framed(TINTS[ROWS[self.state]], [f"<strong>{head}</strong>", *rest])


def as_much(ratio: float) -> str:
    """A ratio in words; one within half a thousandth of 1 by how much it is off."""
    if abs(ratio - 1) < 5e-4:
        return f"off by {abs(ratio - 1):.0e} of itself; a small constant inside a log, a root or a division?"
    return f"{ratio:.4g} times what it should be"


def of_a_finding(blank: str, finding: Finding, upstream: str) -> Result:
    """A finding without its repair and its numbers. + 0.0 makes 0 of -0.

    upstream: what the reader's function calls the gradient that arrives, which is dy to the checks.
    """
    message = re.sub(r"\bdy\b", upstream, finding.message)
    ratio = None if finding.expected in (None, 0) or finding.got is None else finding.got / finding.expected + 0.0
    index = f"[{', '.join(map(str, finding.where))}]" if finding.where else ""
    return Result(blank, "wrong", message, finding.cause, f"{finding.inputs[0]}{index}", ratio)
