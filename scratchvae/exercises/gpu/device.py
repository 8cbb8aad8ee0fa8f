"""A blank that is judged twice: on NumPy for its numbers, and on the stand-in for CuPy for what it asks of a device."""

import traceback
from collections.abc import Callable
from typing import Any

import numpy as np

from scratchvae.checks.report import Finding, Report, Row
from scratchvae.exercises.blank import Blank
from scratchvae.standin import counts, ndarray, stand_in

NARROW = 1e-5  # what float32 may be off by, relative to the largest entry
REFUSED = {  # words of an error: what they mean
    "Implicit conversion": "an array of the device is turned into one of NumPy's, and CuPy wants to be asked for that",
    "met a device array": (
        "NumPy is called by its name. CuPy would take most such calls over, but nobody who reads it sees where it "
        "computes: take the function from the library of the array"
    ),
    "Unsupported type <class 'numpy.ndarray'>": "an array of the host meets one of the device",
    "Only cupy arrays": "an array of the host meets one of the device",
    "draw on the host": "the device's own generator gives other draws than NumPy's: use those that were handed in",
    "unexpected keyword": "CuPy's function does not have this keyword",
    "'function' object has no attribute": (
        "a method of a function is called, such as reduce: CuPy has these for few functions, the stand-in for none; "
        "write it another way"
    ),
    "has no attribute": "CuPy does not have this name",
    "does not model": "CuPy may well know this function, but the stand-in does not: write it another way",
}


def on_both(blank: Blank, host: tuple[int, ...] = (), waits: int = 0, number: bool = False) -> Blank:
    """blank, whose answer has to work on a device too, and make the host wait at most so often.

    host: which arguments stay on the host. number: the result is a number of Python's, and no array.
    """

    def judge(answer: Callable[..., Any], rng: np.random.Generator) -> Report:
        report = blank.judge(answer, rng)
        if report.ok and (finding := there(answer, blank, rng, host, waits, number)) is not None:
            report.rows.append(Row("device", (), np.nan, "wrong"))
            report.findings.append(finding)
        return report

    return blank._replace(judge=judge)


def there(
    answer: Callable[..., Any],
    blank: Blank,
    rng: np.random.Generator,
    host: tuple[int, ...],
    waits: int,
    number: bool,
) -> Finding | None:
    """What is wrong with an answer on the device, if anything is."""
    point = blank.arguments(rng)
    expected = np.asarray(blank.solution(*point))
    with stand_in() as xp:
        moved = [thing if i in host else move(thing, xp) for i, thing in enumerate(point)]
        counts.clear()
        try:
            result = answer(*moved)
        except (TypeError, AttributeError, NotImplementedError) as error:
            if (text := meaning(error)) is None:
                raise
            return told(text)
        syncs = counts.syncs
        if (text := misplaced(result, number)) is not None:
            return told(text)
        got = result.get() if isinstance(result, ndarray) else np.asarray(result)
    if syncs > waits:
        enough = ("it need not wait at all: leave all there", "once is enough: add on the device, then look")[waits]
        return told(f"the host waits {syncs} time{'s' * (syncs > 1)}, and {enough}")
    if np.abs(got - expected).max() > NARROW * np.abs(expected).max():
        return told("other numbers than on NumPy")
    return None


def told(text: str) -> Finding:
    return Finding(("device",), "unknown", f"right on NumPy; on a device: {text}")


def move(thing: Any, xp: Any) -> Any:
    """Arrays of float64 become arrays of float32 on the device; a dict of them, too."""
    if isinstance(thing, dict):
        return {name: move(value, xp) for name, value in thing.items()}
    return xp.asarray(thing, "float32") if isinstance(thing, np.ndarray) else thing


def meaning(error: Exception) -> str | None:
    """What the device refused, and at which line of the reader's; None if it was something else."""
    for words, text in REFUSED.items():
        if words in str(error):
            frames = [f for f in traceback.extract_tb(error.__traceback__) if "scratchvae" not in f.filename]
            line = f", at the line `{frames[-1].line}`" if frames and frames[-1].line else ""
            return f"{text}{line}"
    return None


def misplaced(result: Any, number: bool) -> str | None:
    """What is wrong with the kind of a result."""
    if number:
        if isinstance(result, ndarray):
            return "the result still lies there, an array without axes: float() brings it here"
        return None
    if not isinstance(result, ndarray):
        return "the result lies on the host: it should stay where the first argument lies"
    if result.dtype != np.float32:
        return (
            f"the result is {result.dtype}, and the first argument float32: something wide has been let in, as on NumPy"
        )
    return None
