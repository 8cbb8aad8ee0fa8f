"""One claim of a likelihood: how far off it is, how far off it may be, and what to say if it is further.

Sizes: D pixels, P parameters a pixel, L rows of logits.
"""

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from scratchvae.checks.report import Finding, Report, Row


class Claim(NamedTuple):
    """An error of NaN says that nothing could be seen."""

    name: str
    error: float
    allowed: float
    note: str = ""
    finding: Finding | None = None  # for the case that it does not hold

    @property
    def status(self) -> str:
        return "untested" if math.isnan(self.error) else "ok" if self.error <= self.allowed else "wrong"

    def row(self, share: bool) -> Row:
        """A row of a report, whose errors may be shares of what is allowed."""
        return Row(self.name, (), self.error / self.allowed if share else self.error, self.status, self.note)


def add(report: Report, what: str, claims: Callable[[], Iterable[Claim]], share: bool = True) -> None:
    """Put claims into a report; what goes wrong while they are looked at is a finding too."""
    try:
        with np.errstate(all="ignore"):
            for claim in claims():
                report.rows.append(claim.row(share))
                if claim.status == "wrong" and claim.finding is not None:
                    report.findings.append(claim.finding)
    except Exception as error:  # somebody's code may do anything
        text = " ".join(str(error).split())
        cause = "mutates-input" if "read-only" in text else "shape" if "shape" in text else "unknown"
        report.rows.append(Row(what, (), math.inf, "wrong", "it fails"))
        report.findings.append(Finding((what,), cause, f"{what} fails, with {type(error).__name__}: {text}"))


def as_image(rows: np.ndarray) -> np.ndarray:
    """Rows of logits (L, P), one for each of L pixels, as the logits of an image, (1, L P): parameter by parameter."""
    return rows.T.reshape(1, -1)


def frozen(array: np.ndarray) -> np.ndarray:
    """A copy that refuses to be written to."""
    array = array.copy()
    array.flags.writeable = False
    return array


def another_shape(name: str, got: np.ndarray, shape: tuple[int, ...]) -> Finding | None:
    """Another shape than the one expected."""
    if got.shape == shape:
        return None
    return Finding((name,), "shape", f"{name} has the shape {got.shape}", f"the shape {shape}")


def widened(narrow: np.ndarray) -> str:
    """What was made of float32 logits may be float64: slow in a model of float32, and not wrong."""
    return "" if narrow.dtype == np.float32 else f"; makes {narrow.dtype} of float32 logits"


def at(logits: np.ndarray) -> str:
    """The logits of a pixel (P,), for a sentence."""
    values = [f"{value:g}" for value in logits[:4]] + ["..."] * (len(logits) > 4)
    return f"at the logit{'s' * (len(logits) > 1)} {', '.join(values)}"
