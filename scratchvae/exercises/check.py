"""check, use, hint, solution, progress: what a page says about the reader's lines."""

import inspect
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from scratchvae.exercises import (
    autoencoders,
    backprop,
    bayes,
    collapse,
    elbo,
    estimating,
    evidence,
    gpu,
    gradients,
    kl,
    latent,
    museum,
    own,
    reparameterization,
    start,
    training,
)
from scratchvae.exercises.attempt import JUDGING, NotWritten, Trouble, called, fresh, kindly, names_of
from scratchvae.exercises.blank import CLOSE, POINTS, Blank, in_order
from scratchvae.exercises.handed_on import as_the_solution
from scratchvae.exercises.progress import PROGRESS
from scratchvae.exercises.result import Result, of_a_finding

PAGES: dict[str, dict[str, Blank]] = {
    "start": start.BLANKS,
    "autoencoders": autoencoders.BLANKS,
    "bayes": bayes.BLANKS,
    "evidence": evidence.BLANKS,
    "estimating": estimating.BLANKS,
    "kl": kl.BLANKS,
    "elbo": elbo.BLANKS,
    "reparameterization": reparameterization.BLANKS,
    "backprop": backprop.BLANKS,
    "gradients": gradients.BLANKS,
    "training": training.BLANKS,
    "collapse": collapse.BLANKS,
    "latent": latent.BLANKS,
    "gpu": gpu.BLANKS,
    "museum": museum.BLANKS,
    "own": own.BLANKS,
}
SEED = 20131220  # of the random points


def blank_of(name: str) -> Blank:
    page, _, blank = name.partition(".")
    if blank not in PAGES.get(page, {}):
        known = [f"{page}.{blank}" for page, blanks in PAGES.items() for blank in blanks]
        raise ValueError(f"there is no blank {name!r}; there are {', '.join(known)}")
    return PAGES[page][blank]


def check(name: str, answer: Callable[..., Any]) -> Result:
    """Is the reader's function right? `check("gradients.dlogvar", dlogvar)`.

    It is called at random points with copies of what it gets. The result says passed, wrong or not written yet, and
    what is wrong; it has .passed, .state and .as_dict().
    """
    blank = blank_of(name)
    result = judged(name, blank, answer)
    PROGRESS.note(name, result.state)
    return result


def judged(name: str, blank: Blank, answer: Callable[..., Any]) -> Result:
    """Try it, look for it among the slips that people make, then judge it."""
    if answer is None:
        return Result(name, "not written yet")
    if not callable(answer):
        return Result(name, "wrong", f"a function belongs here, and this is {type(answer).__name__}: leave the () out")
    rng = np.random.default_rng(SEED)
    points = [blank.arguments(rng) for _ in range(POINTS)]
    try:
        values = [called(answer, point) for point in points]
        for slip in blank.slips:
            with np.errstate(all="ignore"):  # why: a wrong answer may overflow on its way
                found = [slip.answer(*map(fresh, point)) for point in points]
            if all(same(value, theirs) for value, theirs in zip(values, found, strict=True)):
                return Result(name, "wrong", slip.message, slip.cause)
        with kindly(JUDGING, "the check has no verdict: it is slow, or wrong in a way that is hard to name"):
            report = blank.judge(answer, rng)
    except NotWritten:
        return Result(name, "not written yet")
    except Trouble as trouble:
        return Result(name, "wrong", str(trouble))
    if report.ok:
        return Result(name, "passed")
    if not report.findings:
        return Result(name, "wrong", report.state)
    return of_a_finding(name, report.findings[0], names_of(blank.solution, 1)[0])


def same(a: Any, b: Any) -> bool:
    """The same values, in the same shapes: of an answer and of a slip."""
    n = len(b) if isinstance(b, tuple) else 1
    ours, theirs = in_order(a, n), in_order(b, n)
    return len(ours) == len(theirs) and all(close(one, other) for one, other in zip(ours, theirs, strict=True))


def close(a: Any, b: Any) -> bool:
    if isinstance(b, Mapping):
        return isinstance(a, Mapping) and a.keys() == b.keys() and all(close(a[name], b[name]) for name in b)
    try:
        ours, theirs = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    except (TypeError, ValueError):  # why: an answer may be anything
        return False
    if ours.shape != theirs.shape:
        return False
    size = float(np.abs(theirs[np.isfinite(theirs)]).max(initial=0.0))
    return np.allclose(ours, theirs, rtol=0, atol=CLOSE * size, equal_nan=True)


def use(name: str, answer: Callable[..., Any]) -> Callable[..., Any]:
    """The reader's function if it is right, and otherwise the solution: what a page goes on with.

    The reader's gives its values in the form in which the solution has them: a list becomes an array.
    """
    blank = blank_of(name)
    if not judged(name, blank, answer).passed:
        return blank.solution
    return as_the_solution(answer, blank, np.random.default_rng(SEED))


def hint(name: str) -> None:
    """The next of three: a question, the formula, nearly the code."""
    hints = blank_of(name).hints
    i = min(PROGRESS.hints.get(name, 0), len(hints) - 1)
    PROGRESS.hints[name] = i + 1
    print(f"hint {i + 1} of {len(hints)}: {hints[i]}")


def solution(name: str) -> None:
    """One right answer, once the third hint has been read or an answer has passed."""
    blank = blank_of(name)
    left = len(blank.hints) - PROGRESS.hints.get(name, 0)
    if left and PROGRESS.states.get(name) != "passed":
        hints = "hint" if left == 1 else "hints"
        print(f'{left} more {hints} first, `hint("{name}")`; or look into the page of this name in solutions/')
    else:
        print(textwrap.dedent(inspect.getsource(blank.solution)), end="")


def progress(page: str, keep: str | Path | None = None) -> None:
    """The line of progress of a page. keep: a small file, so that tomorrow goes on where today stopped."""
    if page not in PAGES:
        raise ValueError(f"there is no page {page!r}; there are {', '.join(PAGES)}")
    if keep is not None:
        PROGRESS.keep(keep)
    print(PROGRESS.line(page, list(PAGES[page])))
