"""Gradients add wherever a value is used twice: a term, a path through a fork, or one term of a sum that is off.

Sizes: K upstream gradients, m entries that were measured, Z latent.
"""

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from scratchvae.checks.vjp.arrays import derived
from scratchvae.checks.vjp.case import EXPLAINED, Case, Verdict, ratio, spread
from scratchvae.checks.vjp.causes_factor import factors, parallel, scaled, scaled_by_an_array
from scratchvae.checks.vjp.causes_layout import products
from scratchvae.checks.vjp.sentences import number


def one_term_of_the_objective(case: Case) -> Verdict | None:
    """Is the gradient of one term missing, or scaled, while the others are right?"""
    for name, part in case.parts.items():
        rest = case.expected - part  # (K, m)
        if np.abs(part).max() <= EXPLAINED * np.abs(rest).max() or np.abs(rest).max() <= EXPLAINED * np.abs(part).max():
            continue
        left = case.got - rest  # (K, m)  what the backward returns for this term
        if np.abs(left).max() <= EXPLAINED * np.abs(part).max():
            return Verdict("missing-term", f"the gradient of {name} never reaches {case.name}; at a fork gradients add")
        what = f"in d{case.name} the part that comes from {name}"
        if found := scaled(case, what, part, left) or scaled_by_an_array(case, what, part, left):
            return found._replace(message=f"{found.message}; the rest is right")
    return None


def one_side_of_a_fork(case: Case) -> Verdict | None:
    """The encoder's gradient combines the derivatives of its two outputs; does got combine those of one only?"""
    for name in case.spans:
        others = [span for other, span in case.spans.items() if other != name]
        if others and inside(case.got, others[0]) and not inside(case.expected, others[0]):
            text = f"d{case.name} lacks the path through {name}: at a fork gradients add, and this one was dropped"
            return Verdict("missing-term", text)
    return None


def inside(rows: np.ndarray, spans: np.ndarray) -> bool:
    """Is every row (m,) a combination of the columns of its span (m, Z)?"""
    left = [row - span @ np.linalg.lstsq(span, row, rcond=None)[0] for row, span in zip(rows, spans, strict=True)]
    return bool(np.abs(left).max() <= EXPLAINED * np.abs(rows).max())


def plain_term(case: Case) -> Verdict | None:
    """expected - got = c * dy * a for an array a in play, or dy alone, or a product of dy and a matrix in play."""
    return missing_term(case, {"": np.ones(1), **case.arrays})


def derived_term(case: Case) -> Verdict | None:
    """The same with simple functions of the arrays in play."""
    return missing_term(case, derived(case.arrays))


def missing_term(case: Case, arrays: Mapping[str, np.ndarray]) -> Verdict | None:
    for name, a in arrays.items():
        for what, term in terms(case, name, a):
            if c := ratio(case.expected - case.got, term):
                text = f"a term of d{case.name} is missing: add {number(c)}{what}"
                return Verdict("missing-term", f"{text}; whatever is used twice has two paths, and their gradients add")
    return None


def product_term(case: Case) -> Verdict | None:
    """expected - got = c * dy * a * b for two arrays in play, entry by entry."""
    upstream = [spread(dy, case.shape) for dy in case.dys]
    if any(dy is None for dy in upstream):
        return None
    dy = np.stack([case.pick(full) for full in upstream if full is not None])  # (K, m)
    named = list(factors(case))
    residual = case.expected - case.got
    for name, a in named:
        for j in parallel([(dy * a * b).ravel() for _, b in named], [residual.ravel()])[:, 0]:
            if c := ratio(residual, dy * a * named[j][1]):
                return Verdict(
                    "missing-term", f"a term of d{case.name} is missing: add {number(c)}dy * {name} * {named[j][0]}"
                )
    return None


def terms(case: Case, name: str, a: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """dy * a brought to the shape of the input, and the matrix products of dy and a that have it; (K, m) each."""
    made: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        f"dy * {name}" if name else "dy": lambda dy: to_shape(
            dy if name or not case.row_by_row else dy.sum(), a, case.shape
        )
    }
    if name and a.shape == case.shape == case.dys.shape[1:]:
        made[f"{name} * (dy * {name}).sum(axis=-1)"] = lambda dy: a * (dy * a).sum(axis=-1, keepdims=True)
    yield from products(case, name, a)
    for what, make in made.items():
        try:
            yield what, np.stack([case.pick(make(dy)) for dy in case.dys])
        except ValueError:  # shapes that do not fit: not this one
            continue


def to_shape(dy: np.ndarray, a: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """dy * a, with dy spread over the axes that it lacks and summed over those that the input lacks."""
    target = max((dy.shape, a.shape, shape), key=len)
    full = spread(dy, target)
    product = (dy if full is None else full) * a
    while product.ndim > len(shape):
        product = product.sum(axis=0)
    return np.broadcast_to(product, shape)
