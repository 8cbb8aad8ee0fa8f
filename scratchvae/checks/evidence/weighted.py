"""Is a bound of K draws the importance-weighted one, log (1/K) sum_k w_k with w = p(x|z) p(z) / q(z|x)?

Its expectation lies between the ELBO, which it is for K = 1, and log p(x), and grows with K. It is judged by that
expectation, beside the one of weights made here: over a grid where K Z is 2 at most, over random draws otherwise.

Sizes: K draws, B rows, D data, Z latents, n sets of K draws.
"""

import math
from typing import NamedTuple

import numpy as np

from scratchvae.checks.evidence.inside import require_rows_apart
from scratchvae.checks.evidence.many import Many
from scratchvae.checks.evidence.noise import law_of_draw_eps
from scratchvae.checks.evidence.prior import of_another_prior
from scratchvae.checks.evidence.quadrature import by_quadrature
from scratchvae.checks.evidence.terms import ALLOWED
from scratchvae.checks.evidence.weights import explain_weights, other_prior
from scratchvae.checks.report import Report, Row
from scratchvae.exact import make_grid
from scratchvae.gaussian import LOG_2PI

SETS = 1000  # random sets of K draws
MORE = 32  # times as many, where these do not decide
ERRORS = 6.0  # standard errors that are allowed


class Nodes(NamedTuple):
    """Sets of K draws, their weights in an expectation (n,), and whether they are random."""

    eps: np.ndarray  # (K, n, Z)
    weights: np.ndarray
    random: bool

    def mean(self, values: np.ndarray) -> tuple[float, float]:
        """The expectation of values (n,), and what it may be off by."""
        error = ERRORS * float(values.std()) / math.sqrt(len(values)) if self.random else 0.0
        return float(self.weights @ values), error


def nodes_for(K: int, Z: int, rng: np.random.Generator) -> Nodes:
    if K * Z > 2:
        return Nodes(rng.standard_normal((K, SETS, Z)), np.full(SETS, 1 / SETS), True)
    eps, cell = make_grid(K * Z, 7.0, 281 if K * Z == 1 else 71)  # (n, K Z)
    weights = np.exp(-0.5 * (eps * eps + LOG_2PI).sum(axis=1)) * cell  # (n,)
    return Nodes(eps.reshape(-1, K, Z).swapaxes(0, 1), weights, False)


def bound_of_many(report: Report, many: Many, rng: np.random.Generator) -> None:
    """A row for every row of x, two about other K, and what is wrong if one does not fit."""
    K, (mu, logvar) = many.K, many.heads
    require_rows_apart(many.objective, many.x, rng.standard_normal((K, *mu.shape)))
    report.rows += law_of_draw_eps(many.objective, len(mu), mu.shape[1], rng.spawn(1)[0])
    sides, nodes = by_quadrature(many.nll_at, many.x, mu, logvar), nodes_for(K, mu.shape[1], rng)
    elbo = -sides.nll - sides.kl  # (B,)
    for b, log_px in enumerate(sides.log_px):
        got = many.bound(b, nodes.eps)  # (n,)
        off, error = nodes.mean(got - many.right(b, nodes.eps))
        allowed = ALLOWED * max(1.0, float(np.abs(got).max()))
        if allowed < error and abs(off) <= allowed + error:  # why: it is not right draw by draw, and may be on average
            off, error = over_more(many, b, rng.spawn(1)[0])
        wrong = not abs(off) <= allowed + error
        bound, spread = nodes.mean(got)
        about = f" +- {spread / ERRORS:.1g}" if nodes.random else ""
        note = f"ELBO {elbo[b]:.4f}, bound of {K} {bound:.4f}{about}, log p(x) {log_px:.4f}"
        report.rows.append(Row(f"x[{b}]", (), abs(off), "wrong" if wrong else "ok", note))
    judged = any(row.status == "wrong" for row in report.rows)
    report.rows += [alone(many, elbo, judged, rng), more(many, judged, rng)]
    if judged and (prior := other_prior(many, rng)):
        report.rows = of_another_prior(report.rows, prior, wrong=False)
    elif judged:
        report.findings += explain_weights(many, rng)


def over_more(many: Many, b: int, rng: np.random.Generator) -> tuple[float, float]:
    """How far the bound of row b is off on average, and what that may be off by, from many times as many draws."""
    shape, parts = (many.K, SETS, many.heads[0].shape[1]), []
    for _ in range(MORE):
        eps = rng.standard_normal(shape)
        parts.append(many.bound(b, eps) - many.right(b, eps))  # (n,)
    each = np.concatenate(parts)
    return float(each.mean()), ERRORS * float(each.std()) / math.sqrt(len(each))


def alone(many: Many, elbo: np.ndarray, judged: bool, rng: np.random.Generator) -> Row:
    """With one draw the bound is the ELBO, (B,), as far as quadrature knows that: the nll may have kinks."""
    nodes, one, rows = nodes_for(1, many.heads[0].shape[1], rng), many.with_K(1), range(len(elbo))
    try:
        off = np.array([nodes.mean(one.bound(b, nodes.eps))[0] - elbo[b] for b in rows])  # (B,)
        doubt = np.array([nodes.mean(one.right(b, nodes.eps))[0] - elbo[b] for b in rows])  # (B,)  of the quadrature
    except Exception as error:  # somebody's code may do anything
        return Row("K = 1", (), math.nan, "untested", f"it fails, with {type(error).__name__}")
    worst = float(np.abs(off).max())
    fits = bool((np.abs(off) <= ALLOWED * np.maximum(1, np.abs(elbo)) + 2 * np.abs(doubt)).all())
    if not fits and not judged:
        right = f"{many.K} draws are" if many.K > 1 else "one draw is"
        return Row("K = 1", (), math.nan, "untested", f"not the ELBO, though {right} right: is K fixed inside?")
    return Row("K = 1", (), worst, "ok" if fits else "wrong", "is the ELBO" if fits else "should be the ELBO")


def more(many: Many, judged: bool, rng: np.random.Generator) -> Row:
    """With twice the draws the bound is at least the average of those with each half: the logarithm is concave."""
    K, name = many.K, f"K = {2 * many.K}"
    try:
        short = []
        for b in range(len(many.x)):
            eps = rng.standard_normal((2 * K, 50, many.heads[0].shape[1]))  # (2 K, n, Z)
            halves = 0.5 * (many.bound(b, eps[:K]) + many.bound(b, eps[K:]))  # (n,)
            short.append(float((halves - many.with_K(2 * K).bound(b, eps)).max()))
    except Exception as error:  # somebody's code may do anything
        return Row(name, (), math.nan, "untested", f"it fails, with {type(error).__name__}")
    grows = max(short) <= ALLOWED * 10
    if not grows and not judged:
        return Row(name, (), math.nan, "untested", f"not at least K = {K}, which is right: is K fixed inside?")
    return Row(name, (), max(0.0, *short), "ok" if grows else "wrong", f"is {'' if grows else 'not '}at least K = {K}")
