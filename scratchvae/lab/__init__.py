"""Gradient estimators to compare: different ways back to the encoder, each an objective for `fit`.

    score_function          the draw's path as a value times a score: its density is moved by how much it earned
    pathwise                every path: through the draw z = mu + sigma eps, and through the density q
    sticking_the_landing    through the draw alone; the path through q's own parameters is left out
    dreg                    through the draw alone, with the weight of a draw once more: unbiased for every K

What they return for the encoder is not the derivative of the number that `objective` returns for one eps, the pathwise
one apart: it agrees with the gradient of its *mean* over eps, or says where it does not. So they are judged in
expectation and never by differences: those of the ELBO against its exact gradient (`exact_elbo_gradient`), those of a
bound of K draws against each other. The derivation of each is on docs/derivations/11_gradient_estimators.md.
"""

from scratchvae.lab.dreg import DReG
from scratchvae.lab.exact import exact_elbo_gradient
from scratchvae.lab.moments import Moments, gradient_moments
from scratchvae.lab.pathwise import Pathwise
from scratchvae.lab.score_function import ScoreFunction
from scratchvae.lab.sticking_the_landing import StickingTheLanding

__all__ = [
    "DReG",
    "Moments",
    "Pathwise",
    "ScoreFunction",
    "StickingTheLanding",
    "exact_elbo_gradient",
    "gradient_moments",
]
