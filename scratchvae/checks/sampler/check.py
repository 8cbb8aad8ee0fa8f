"""check_sampler: is a reparameterized draw a draw from the q that the KL assumes?

Sizes: n draws, B rows, Z latents, N = B Z entries.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from scratchvae.backend import Array, to_numpy
from scratchvae.checks.report import SEED, Finding, Report, Row
from scratchvae.checks.sampler.draw import Draw, entry_by_entry
from scratchvae.checks.sampler.instead import DRAW
from scratchvae.checks.sampler.law import Law, Point, Question, law_of

ROWS = ("mean", "spread", "distribution", "independence", "eps")
POINTS = 16  # other values of mu and logvar
USUAL = 3.0  # logvar between -3 and 3 is looked at in any case
MOST = 24  # entries of a sampler that mixes them


def check_sampler(
    sampler: Callable[[Any, Any, Any], Any],
    mu: Array,
    logvar: Array,
    *,
    rng: np.random.Generator | None = None,
    n: int = 4_000,
) -> Report:
    """Mean, spread, distribution and independence of z = sampler(mu, logvar, eps), eps ~ N(0, I), against q.

    sampler returns z or z, cache. Where z is linear in eps, as it should be, all four are measured exactly; where it
    takes its own eps alone, to three digits; only otherwise are n draws counted, and then a right sampler is called
    wrong once in a million checks. The mean is judged in units of sigma, the spread relative to sigma. A gradient check
    cannot see what this one sees: the wrong distribution may well have the right derivative.

    Shapes    mu, logvar (B, Z), a few rows with different values; of dtype float32, z has to be so too.
    Raises    ValueError: logvar is 0 everywhere, or nearly, where sigma, sigma^2 and 1 cannot be told apart.

    Example
        >>> report = check_sampler(lambda mu, logvar, eps: mu + 0.3 + np.exp(logvar / 2) * eps, [[0.5]], [[1.0]])
        >>> report.findings[0].message
        'the mean of z is mu + 0.3'
    """
    rng = np.random.default_rng(SEED) if rng is None else rng
    mu, logvar = (as_rows(a) for a in (mu, logvar))
    if np.abs(logvar).max() < 1e-3:
        raise ValueError("logvar should hold different values, got 0 everywhere, where any power of sigma looks right")
    report = Report(getattr(sampler, "__name__", "sampler"), unit="off by")
    calls = Calls(sampler)
    try:
        with np.errstate(all="ignore"):
            report.rows, report.findings = law_of_the_sampler(calls, *two_rows(calls, mu, logvar, rng), rng, n)
    except NotImplementedError:
        report.rows, report.findings = [Row(name, mu.shape, math.nan, "not written yet") for name in ROWS], []
    except Fault as fault:
        report.findings.append(fault.finding)
    if calls.written:
        names = tuple(calls.written)
        text = f"the sampler writes into {' and '.join(names)}, which the KL and the backward still need"
        report.findings.insert(0, Finding(names, "mutates-input", text, "make a new array"))
    seen = {row.name for row in report.rows}
    report.rows += [Row(name, mu.shape, math.nan, "untested") for name in ROWS if name not in seen]
    report.findings = [within(finding, len(mu)) for finding in report.findings]
    return report


def as_rows(a: Array) -> np.ndarray:
    """(B, Z), float32 if it is that, else float64."""
    a = np.atleast_2d(to_numpy(a) if hasattr(a, "dtype") else np.asarray(a))
    return a if a.dtype == np.float32 else a.astype(float)


def within(finding: Finding, B: int) -> Finding:
    """Without the numbers of a row that nobody asked about."""
    if finding.where and finding.where[0] >= B:
        return finding._replace(where=None, expected=None, got=None)
    return finding


class Fault(Exception):
    """Something that ends the check."""

    def __init__(self, cause: str, message: str, repair: str = "") -> None:
        super().__init__(message)
        self.finding = Finding(("z",), cause, message, repair)


class Calls:
    """A sampler that is handed copies, and whose results are copied; what it writes to is noted."""

    def __init__(self, sampler: Callable[[Any, Any, Any], Any]) -> None:
        self.sampler = sampler
        self.written: dict[str, None] = {}  # names, in order

    def __call__(self, mu: np.ndarray, logvar: np.ndarray, eps: np.ndarray) -> np.ndarray:
        """z (B, Z), float64.

        Raises    Fault: it fails, or z is no array like mu.
        """
        given = {"mu": mu, "logvar": logvar, "eps": eps.astype(mu.dtype)}
        handed = {name: a.copy() for name, a in given.items()}
        try:
            out = self.sampler(*handed.values())
        except NotImplementedError:
            raise
        except Exception as error:  # somebody's code may do anything
            text = " ".join(str(error).split())
            raise Fault("unknown", f"the sampler fails, with {type(error).__name__}: {text}") from error
        self.written |= {name: None for name, a in handed.items() if not np.array_equal(a, given[name])}
        z = out[0] if isinstance(out, tuple | list) else out
        if z is None:
            raise Fault("shape", "the sampler returns None: its return is missing", "return z, or z, cache")
        z = np.array(to_numpy(z) if hasattr(z, "dtype") else z)
        if z.shape != mu.shape:
            text = f"z has the shape {z.shape} for {mu.shape[0]} rows and {mu.shape[1]} latents: every entry is drawn"
            raise Fault("shape", text, f"z has the shape of mu, {mu.shape}")
        if not np.isfinite(z).all():
            raise Fault("non-finite", "z is not finite, for mu, logvar and eps that are", DRAW)
        if mu.dtype == np.float32 and z.dtype != np.float32:
            text = f"z is {z.dtype} for float32 mu, logvar and eps: a constant or an array of float64 widens it"
            raise Fault("precision", text, "Python floats as constants; arrays in the dtype of mu")
        return z.astype(float)


def two_rows(
    calls: Calls, mu: np.ndarray, logvar: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A second row beside a single one, if the sampler takes it: rows that share their noise are seen then."""
    calls(mu, logvar, rng.standard_normal(mu.shape))
    if len(mu) > 1:
        return mu, logvar
    more = np.concatenate([mu, mu + 1]).astype(mu.dtype), np.concatenate([logvar, logvar - 0.5]).astype(mu.dtype)
    try:
        calls(*more, rng.standard_normal(more[0].shape))
    except Fault:
        return mu, logvar
    return more


def law_of_the_sampler(calls: Calls, mu: np.ndarray, logvar: np.ndarray, rng: np.random.Generator, n: int) -> Law:
    """The law at mu and logvar, and around them."""
    low, high = min(-USUAL, float(logvar.min())), max(USUAL, float(logvar.max()))

    def at(mu: np.ndarray, logvar: np.ndarray) -> Draw:
        return lambda eps: calls(mu, logvar, eps)

    if mu.size > MOST and entry_by_entry(at(mu, logvar), mu.shape, rng) is None:
        rows = max(2, MOST // mu.shape[1])
        mu, logvar = mu[:rows], logvar[:rows]

    def others() -> Iterator[Point]:
        m, s = (np.repeat(a[:1], len(a), axis=0) for a in (mu, logvar))  # equal rows
        yield m, s, at(m, s)
        for k in range(POINTS):
            u, v = rng.standard_normal((2, *mu.shape))
            s = np.clip(logvar + v, low, high) if k % 2 else np.clip(1.5 * v, -USUAL, USUAL)
            m, s = ((mu if k % 2 else 0) + u).astype(mu.dtype), s.astype(mu.dtype)
            yield m, s, at(m, s)

    return law_of(Question(at(mu, logvar), mu, logvar, others, rng, n))
