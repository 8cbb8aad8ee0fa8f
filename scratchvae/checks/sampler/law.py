"""The law of a draw beside N(mu, sigma^2): its rows and its findings, by the way in which z depends on eps.

Sizes: n draws, K points, B rows, Z latents, N = B Z entries.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from scratchvae.checks.report import Finding, Row, listed
from scratchvae.checks.sampler.chance import Tail, allowed_errors, allowed_gap, wrong_tail
from scratchvae.checks.sampler.curves import curve_of, noise_of
from scratchvae.checks.sampler.draw import (
    Draw,
    Linear,
    Sample,
    all_together,
    along_the_curve,
    entry_by_entry,
    noises,
    takes_its_own,
)
from scratchvae.checks.sampler.instead import DRAW, Measured, findings
from scratchvae.checks.sampler.takes import wrong_eps

CURVE = 4000  # points of a curve, an even number: eps = 0 is never drawn
GAP = 1e-3  # how far the distribution function of a curve may be from the normal one
REPEATS = 8  # why: what takes few values may twice be the same by chance
MIXING = 64  # entries of a sampler that are asked which eps they take
CORRELATED = 1e-4  # of a draw that is linear in eps

Point = tuple[np.ndarray, np.ndarray, Draw]  # mu (B, Z), logvar (B, Z), and the draw there


class Law(NamedTuple):
    """What was seen."""

    rows: list[Row]
    findings: list[Finding]


class Question(NamedTuple):
    """A draw at one mu and logvar, (B, Z) each; others are those at which it may be asked for an explanation."""

    draw: Draw
    mu: np.ndarray
    logvar: np.ndarray
    others: Callable[[], Iterable[Point]]
    rng: np.random.Generator
    n: int
    called: str = "z"

    @property
    def sigma(self) -> np.ndarray:
        return np.exp(0.5 * self.logvar)

    def row(self, name: str, off: float, wrong: bool, note: str) -> Row:
        return Row(name, self.mu.shape, off, "wrong" if wrong else "ok", note)


def law_of(q: Question) -> Law:
    """In order: noise of its own, no noise at all, linear in eps, a curve of its own eps, anything else."""
    eps = q.rng.standard_normal(q.mu.shape)  # (B, Z)
    z = q.draw(eps)  # (B, Z)
    if any((q.draw(eps) != z).any() for _ in range(REPEATS)):
        return of_its_own_noise(q)
    others = [-eps, *noises(REPEATS, q.mu.shape, q.rng)]
    visible = q.sigma > 1e3 * np.finfo(q.mu.dtype).eps * np.abs(q.mu)  # (B, Z)  beside mu, in its digits
    if visible.any() and all(np.array_equal(q.draw(e), z) for e in others):
        return without_eps(q, z)
    for linear_in in (entry_by_entry, all_together):
        if (linear := linear_in(q.draw, q.mu.shape, q.rng)) is not None:
            return of_a_linear_draw(q, linear)
    return of_a_curve(q) if takes_its_own(q.draw, q.mu.shape, q.rng) else of_random_draws(q)


def without_eps(q: Question, z: np.ndarray) -> Law:
    """The same z for every eps: mu alone, or always the same noise."""
    where = f"{q.called} does not depend on eps"
    if np.allclose(z, q.mu):
        return Law([], [Finding(("z",), "zero", f"{where}: it is mu, and the model a plain autoencoder", DRAW)])
    repeated = [draw(q.mu) for mu, logvar, draw in q.others() if np.ptp(mu, axis=0).max() == 0]
    if any(np.ptp(a, axis=0).any() for a in repeated):
        text = f"{where}, but equal rows get different z: always the same noise, from a generator of its own"
        return Law([], [Finding(("z",), "noise-redrawn", text, "use the eps that is given")])
    return Law([], [Finding(("z",), "zero", where, DRAW)])


# ---------------------------------------------------------------------------------------------------------------------
# Linear in eps: exact


def of_a_linear_draw(q: Question, linear: Linear) -> Law:
    """Mean, spread and correlations are those of the numbers themselves; linear in eps is normal."""
    m = measured(q, linear)
    together = np.abs(linear.correlation)  # (N, N)
    law_is_right = together.max() <= CORRELATED and not m.spread_wrong.any()
    taken = wrong_eps(linear, q.mu.shape, law_is_right)
    mean, spread = bool(m.mean_wrong.any()), bool(m.spread_wrong.any())
    own = not linear.takes[~np.eye(q.mu.size, dtype=bool)].any()
    note = "each z takes its own" if own else "z takes that of others, and the law is right"
    rows = [
        q.row("mean", float(m.mean_off.max()), mean, "of sigma; measured exactly"),
        q.row("spread", float(m.spread_off.max()), spread, "of sigma; measured exactly"),
        q.row("distribution", 0.0, False, "linear in eps, so normal"),
        q.row("independence", float(together.max()), bool(together.max() > CORRELATED), "largest correlation"),
        q.row("eps", float(taken is not None), taken is not None, "" if taken else note),
    ]
    found = findings(m)
    if (linear.takes.sum(axis=1) > 1).any():  # a mixture has a spread of its own, which is no second slip
        found = [finding for finding in found if taken is None or finding.inputs == ("mean",)]
    return Law(rows, found if taken is None else [taken, *found])


def measured(q: Question, linear: Linear) -> Measured:
    """Shift and spread at what was asked, and at the other points, where each z takes one eps."""
    shape = (1, *q.mu.shape)
    spread = linear.spread * np.sign(linear.mixing[np.arange(q.mu.size), np.abs(linear.mixing).argmax(axis=1)])
    asked = (q.mu, q.logvar, linear.shift, spread, linear.error, linear.error)
    points = [Measured(*(a.reshape(shape).astype(float) for a in asked))]
    if (linear.takes.sum(axis=1) <= 1).all():
        noise = (linear.error / np.maximum(np.abs(linear.shift) + linear.spread, 1e-300)).max()
        source = np.where(linear.takes.any(axis=1), np.abs(linear.mixing).argmax(axis=1), np.arange(q.mu.size))  # (N,)
        points += [there for point in q.others() if (there := measured_at(point, source, noise, q.rng))]
    return Measured(*(np.concatenate(parts) for parts in zip(*points, strict=True)))


def measured_at(point: Point, source: np.ndarray, noise: float, rng: np.random.Generator) -> Measured | None:
    """Half the sum and half the difference of the draws for eps and -eps; None if z takes several eps there."""
    mu, logvar, draw = point
    eps = rng.choice([-1.0, 1.0], mu.shape) * rng.uniform(0.5, 1.5, mu.shape)  # (B, Z)  why: none at 0, none equal
    above, below = draw(eps), draw(-eps)  # (B, Z)
    if not follows_at(point, source, (above, below, eps), noise, rng) and mu.size <= MIXING:
        there = all_together(draw, (mu.shape[0], mu.shape[1]), rng)
        if there is not None and (there.takes.sum(axis=1) > 1).any():
            return None
        if there is not None:  # why: which eps a z takes may depend on mu or logvar
            source = np.where(there.takes.any(axis=1), np.abs(there.mixing).argmax(axis=1), np.arange(mu.size))
    spread = 0.5 * (above - below) / eps.ravel()[source].reshape(mu.shape)  # (B, Z)
    error = noise * (np.abs(above) + np.abs(below))  # (B, Z)
    parts = (mu, logvar, 0.5 * (above + below), spread, error, error)
    return Measured(*(a[None].astype(float) for a in parts))


def follows_at(
    point: Point, source: np.ndarray, seen: tuple[np.ndarray, ...], noise: float, rng: np.random.Generator
) -> bool:
    """Does z take the same eps here as where it was asked about: the draw for another eps is then known?"""
    (mu, _, draw), (above, below, eps) = point, seen
    other = rng.standard_normal(mu.shape)  # (B, Z)
    share = (other.ravel()[source] / eps.ravel()[source]).reshape(mu.shape)  # (B, Z)
    half = 0.5 * (above - below)  # (B, Z)
    allowed = 1e-5 * np.abs(half) * (1 + np.abs(share)) + 10 * noise * (np.abs(above) + np.abs(below))  # (B, Z)
    return bool((np.abs(draw(other) - 0.5 * (above + below) - half * share) <= allowed).all())


# ---------------------------------------------------------------------------------------------------------------------
# Otherwise: along the curve, or at random


def of_a_curve(q: Question) -> Law:
    """Each z is a function of its own eps, and is followed from one end of the normal distribution to the other.

    Twice, beside other eps each time: if z is not the same then, it takes those as well.
    """
    sample, again = in_order(q), in_order(q)
    if not np.allclose(sample.z, again.z, rtol=1e-9, atol=1e-12 * float(np.abs(sample.z).max())):
        return of_random_draws(q)
    law = of_a_sample(q, sample, GAP)
    law.rows.append(q.row("independence", 0.0, False, "each z takes its own eps"))
    law.rows.append(q.row("eps", 0.0, False, "each z takes its own"))
    if not any(row.status == "wrong" for row in law.rows):
        return law
    curve = curve_of(sample, q.mu.ravel(), q.logvar.ravel())
    text = "z is not normal, since it is not linear in eps" + (f": {curve}" if curve else "")
    cause = "elementwise-factor" if curve else "unknown"
    return law._replace(findings=[Finding(("distribution",), cause, text, DRAW)])


def in_order(q: Question) -> Sample:
    """Every z along its curve, drawn in an order of its own: one eps for all would hide what z takes of the others."""
    curve, N = along_the_curve(CURVE), q.mu.size
    order = q.rng.permuted(np.tile(np.arange(CURVE)[:, None], (1, N)), axis=0)  # (n, N)
    found = drawn(q, curve[order].reshape(CURVE, *q.mu.shape), 0.0)
    z = np.empty_like(found.z)
    np.put_along_axis(z, order, found.z, axis=0)
    return Sample(np.tile(curve[:, None], (1, N)), z, 0.0)


def of_random_draws(q: Question) -> Law:
    """z takes the eps of others as well, and not linearly, as in the way of Box and Muller, which is a right one."""
    sample = drawn(q, q.rng.standard_normal((q.n, *q.mu.shape)), allowed_errors(q.mu.size))
    law = of_a_sample(q, sample, allowed_gap(q.mu.size, q.n))
    wrong = {row.name for row in law.rows if row.status == "wrong"}
    law.rows.append(q.row("eps", 0.0, False, "z takes that of others as well, which may be right"))
    if not wrong:
        return law
    known = [finding for finding in law.findings if finding.cause != "unknown"]
    if len(known) == 1 and wrong <= {"mean", "spread"}:
        return law._replace(findings=known)
    cause = "shape" if "independence" in wrong else "unknown"
    text = f"z is no draw from N(mu, sigma^2): {what_is_off(q, sample, wrong)}"
    return law._replace(findings=[Finding(("z",), cause, text, DRAW)])


def what_is_off(q: Question, sample: Sample, wrong: set[str]) -> str:
    """In words, for draws that no formula explains."""
    words = {"mean": "its mean is not mu", "spread": "its spread is not sigma", "distribution": "it is not normal"}
    off = [text for name, text in words.items() if name in wrong]
    if wrong == {"distribution"} and (tail := tail_of(q, sample)):
        off = [f"beyond {tail.beyond:g} sigma lie {in_percent(tail.share)} of them, and not {in_percent(tail.wanted)}"]
    if "independence" in wrong:
        pairs = np.nonzero(sample.correlation() > sample.allowed_correlation)
        one, other = (np.unravel_index(a, q.mu.shape) for a in pairs)
        both = zip(("rows", "latents"), one, other, strict=True)
        of = [name for name, a, b in both if (a != b).any()]  # none where it is seen in the sum of all entries alone
        off.append(f"its {' and '.join(of) or 'entries'} depend on each other")
    return listed(off)


def of_its_own_noise(q: Question) -> Law:
    """The same eps gives another z. Is eps used at all, and what is the noise like?"""
    sample = drawn(q, q.rng.standard_normal((q.n, *q.mu.shape)), allowed_errors(q.mu.size))
    text, repair = "the same eps gives another z: the sampler draws noise of its own", "use the eps that is given"
    follows = (sample.eps * (sample.z - sample.shift)).mean(axis=0) / np.maximum(sample.z.std(axis=0), 1e-300)  # (N,)
    if np.abs(follows).max() > sample.allowed_correlation:
        return Law([], [Finding(("z",), "noise-redrawn", f"{text}, beside eps", repair)])
    law = of_a_sample(q, sample, gap := allowed_gap(q.mu.size, q.n))
    wrong = {row.name for row in law.rows if row.status == "wrong"}
    if wrong & {"distribution", "independence"}:
        text += ", shared by several entries" if "independence" in wrong else ""
        text += f", {noise_of(sample, gap) or 'and it is not normal'}" if "distribution" in wrong else ""
        return law._replace(findings=[Finding(("z",), "noise-redrawn", text, repair)])
    others = [finding for finding in law.findings if finding.cause != "unknown"]  # why: the noise may explain the rest
    return law._replace(findings=[Finding(("z",), "noise-redrawn", text, repair), *others])


def drawn(q: Question, eps: np.ndarray, errors: float) -> Sample:
    """The draws for many eps (n, B, Z)."""
    z = np.stack([q.draw(e) for e in eps])  # (n, B, Z)
    return Sample(eps.reshape(len(eps), -1), z.reshape(len(z), -1), errors)


def of_a_sample(q: Question, sample: Sample, allowed: float) -> Law:
    """Each of the four with its own error, and what is wrong with mean and spread."""
    shape = (1, *q.mu.shape)
    parts = (q.mu, q.logvar, sample.shift, sample.spread, sample.shift_error, sample.spread_error)
    m = Measured(*(a.reshape(shape).astype(float) for a in parts))
    gap, (together, limit) = float(sample.gap().max()), sample.dependence() if sample.errors else (0.0, 0.0)
    mean, within = worst(m.mean_off, m.shift_error / m.sigma)
    spread, about = worst(m.spread_off, m.spread_error / m.sigma)
    rows = [
        q.row("mean", mean, bool(m.mean_wrong.any()), f"of sigma; {within:.2g} allowed"),
        q.row("spread", spread, bool(m.spread_wrong.any()), f"of sigma; {about:.2g} allowed"),
        q.row("distribution", gap, gap > allowed, f"between the distribution functions; {allowed:.2g} allowed"),
    ]
    if sample.errors:
        note = f"largest correlation, of a pair or in the sum; {limit:.2g} allowed"
        rows.append(q.row("independence", together, together > limit, note))
        if all(row.status == "ok" for row in rows) and (tail := tail_of(q, sample)):
            note = f"of the draws beyond {tail.beyond:g} sigma, where {in_percent(tail.wanted)} belong"
            rows[2] = q.row("distribution", tail.share, True, note)
    return Law(rows, findings(m))


def worst(off: np.ndarray, allowed: np.ndarray) -> tuple[float, float]:
    """The entry that is farthest from what it is allowed, and that."""
    i = int((off - allowed).argmax())
    return float(off.flat[i]), float(allowed.flat[i])


def tail_of(q: Question, sample: Sample) -> Tail | None:
    """What is wrong with the tails of draws whose mean, spread and independence are right, as far as one sees."""
    return wrong_tail((sample.z - q.mu.ravel()) / q.sigma.ravel())


def in_percent(share: float) -> str:
    return f"{100 * share:.2g} %"
