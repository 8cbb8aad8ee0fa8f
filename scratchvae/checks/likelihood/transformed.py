"""Are wrong draws those of exp(-nll) but for a last step: a minus, an exp, a logarithm, a reciprocal?

Sizes: n draws, L pixels, each with its own logits.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from scratchvae.checks.likelihood.density import Mass
from scratchvae.checks.likelihood.draws import DRAWS, of_the_distribution
from scratchvae.checks.likelihood.witnesses import OTHER_SEED, drawn
from scratchvae.checks.report import Finding
from scratchvae.layers import sigmoid


class Step(NamedTuple):
    """What the draws are of the right ones, and what makes the right ones of them."""

    words: str
    undo: Callable[[np.ndarray], np.ndarray]
    repair: str
    cause: str = "elementwise-factor"


STEPS = (
    Step("minus", np.negative, "turn their sign; the log of a uniform number is negative", "sign"),
    Step("the logarithm of", np.exp, "take exp of them"),
    Step("the exponential of", np.log, "take their logarithm"),
    Step("the reciprocal of", np.reciprocal, "take 1 divided by them"),
    Step("the square of", np.sqrt, "take their square root"),
    Step("the square root of", np.square, "take their square"),
    Step("the logit of", lambda x: sigmoid(x)[0], "take the sigmoid of them"),
    Step("1 minus", lambda x: 1 - x, "take 1 minus them"),
)


def of_a_step(finding: Finding, masses: list[Mass]) -> Finding:
    """The finding with the one step that explains the draws at all logits; as it is if none does, or two."""
    x = drawn([mass.pixel for mass in masses], DRAWS)
    found = [step for step in STEPS if x is not None and follow(step.undo(x), masses)]
    if len(found) != 1:  # why: of two, one is a coincidence
        return finding
    (step,) = found
    text = f"the draws are {step.words} those of exp(-nll)"
    return finding._replace(cause=step.cause, message=text, repair=step.repair)


def follow(x: np.ndarray, masses: list[Mass]) -> bool:
    """Do draws (n, L) lie in the support, and follow exp(-nll)?"""
    (low, high), lattice = masses[0].pixel.support, masses[0].lattice
    if not ((low <= x) & (x <= high)).all() or (lattice and not lattice.holds(x).all()):
        return False
    return all(claim.status == "ok" for claim in of_the_distribution(x, masses, np.random.default_rng(OTHER_SEED)))
