"""Whole models, whose terms and heads are known: a term of the objective, or a side of a fork, that is lost.

Sizes: m entries that were measured, M entries of y that were asked, Z latents.
"""

from collections.abc import Iterator

import numpy as np

from scratchvae.checks.vjp.case import EXPLAINED, Case, Claim, Seen, ratio
from scratchvae.checks.vjp.causes_factor import array_factors, constant


def one_term_of_the_objective(case: Case, seen: Seen) -> Iterator[Claim]:
    """Is the gradient of one term missing, or scaled, while the others are right?"""
    if not seen.fits or not seen.linear:
        return
    for name, part in seen.parts.items():
        rest = seen.right - part  # (m, M)
        if np.abs(part).max() <= EXPLAINED * np.abs(rest).max():
            continue
        left = seen.got - rest  # what the backward returns for this term
        if np.abs(rest).max() <= EXPLAINED * np.abs(part).max():  # there is no other: a constant of it is one of all
            if c := ratio(part, left):
                yield constant(c)._replace(kind="constant of", detail=(name,), cost=1.2)
            continue
        if np.abs(left).max() <= EXPLAINED * np.abs(part).max():
            yield Claim("missing-term", "objective", detail=(name,), cost=1.0)
            continue
        if c := ratio(part, left):
            yield constant(c)._replace(kind="constant of", detail=(name,), cost=1.2)
        for claim in array_factors(case, seen, part, left):
            yield claim._replace(kind=f"{claim.kind} of", detail=(name,), cost=claim.cost + 0.5)


def one_side_of_a_fork(case: Case, seen: Seen) -> Iterator[Claim]:
    """The encoder's gradient combines the derivatives of its two outputs; does got combine those of one only?"""
    for name in seen.spans:
        others = [span for other, span in seen.spans.items() if other != name]
        if seen.fits and others and inside(seen.got.T, others[0]) and not inside(seen.right.T, others[0]):
            if in_the_rest(seen, name):
                yield Claim("missing-term", "fork", detail=(name,), cost=2.0)
            else:
                yield Claim("elementwise-factor", "other side of a fork", detail=(name,), cost=2.3)


def in_the_rest(seen: Seen, name: str) -> bool:
    """Is got what comes along the other sides of the fork, and not more, or less?"""
    others = [span for other, span in seen.spans.items() if other != name]
    spans = np.concatenate([*others, seen.spans[name]], axis=2)  # (M, m, all)
    Z = seen.spans[name].shape[2]
    if spans.shape[2] > spans.shape[1]:
        return True  # why: of so few entries it cannot be told
    for got, right, span in zip(seen.got.T, seen.right.T, spans, strict=True):
        ways = np.linalg.lstsq(span, right, rcond=None)[0]  # (all,)
        if np.abs(got - span[:, :-Z] @ ways[:-Z]).max() > EXPLAINED * np.abs(right).max():
            return False
    return True


def inside(rows: np.ndarray, spans: np.ndarray) -> bool:
    """Is every row (m,) a combination of the columns of its span (m, Z), which has fewer of them than rows?"""
    if spans.shape[1] <= spans.shape[2] + 1:
        return False
    left = [row - span @ np.linalg.lstsq(span, row, rcond=None)[0] for row, span in zip(rows, spans, strict=True)]
    return bool(np.abs(left).max() <= EXPLAINED * np.abs(rows).max())


HYPOTHESES = (one_term_of_the_objective, one_side_of_a_fork)
