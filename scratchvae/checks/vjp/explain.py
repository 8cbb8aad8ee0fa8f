"""Naming the cause: what would have to be done to a wrong gradient to make it right?

Each hypothesis is a small function that proposes "expected = something done to got". It is believed when that explains
every entry that was measured, for several upstream gradients at once, to one part in a million. They are tried from
the simplest on, and the first that holds names the cause.
"""

import numpy as np

from scratchvae.checks.report import Finding
from scratchvae.checks.vjp.case import Case, Verdict
from scratchvae.checks.vjp.causes_factor import (
    array_factor,
    constant_factor,
    factor_at_the_output,
    one_array_for_another,
    unnamed_factor,
)
from scratchvae.checks.vjp.causes_layout import (
    another_order,
    another_shape,
    diagonal_only,
    jacobian_for_its_transpose,
    nothing_there,
    some_rows,
    transposed,
    wrong_axis,
    wrong_product,
)
from scratchvae.checks.vjp.causes_term import (
    derived_term,
    one_side_of_a_fork,
    one_term_of_the_objective,
    plain_term,
    product_term,
)

HYPOTHESES = (
    nothing_there,
    another_order,
    another_shape,
    constant_factor,
    transposed,
    wrong_product,
    jacobian_for_its_transpose,
    diagonal_only,
    wrong_axis,
    one_term_of_the_objective,
    one_side_of_a_fork,
    array_factor,
    some_rows,
    factor_at_the_output,
    plain_term,
    one_array_for_another,
    derived_term,
    product_term,
    unnamed_factor,
)


def diagnose(case: Case) -> Finding:
    """The first hypothesis that holds, and the worst entry."""
    with np.errstate(all="ignore"):  # why: most hypotheses are nonsense, and what is not finite explains nothing
        verdict = next(filter(None, (hypothesis(case) for hypothesis in HYPOTHESES)), None)
    if verdict is None:
        text = f"d{case.name} is wrong, and no simple repair explains it: work out this one entry by hand"
        verdict = Verdict("unknown", text)
    finding = Finding((case.name,), verdict.cause, verdict.message, factor=verdict.factor, also=verdict.also)
    if any(g is None or g.shape != case.shape for g in case.gots):
        return finding
    error = np.abs(case.expected - case.got)  # (K, m)
    k, worst = np.unravel_index(int(error.argmax()), error.shape)
    where = tuple(int(i) for i in np.unravel_index(case.entries[worst], case.shape))
    return finding._replace(where=where, expected=float(case.expected[k, worst]), got=float(case.got[k, worst]))
