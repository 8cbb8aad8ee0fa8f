"""The blanks of the page on training, in its order."""

from scratchvae.exercises.blank import Blank
from scratchvae.exercises.training import evidence, losses, optimizer

BLANKS: dict[str, Blank] = {
    "bernoulli": losses.BERNOULLI,
    "best_sigma": losses.BEST_SIGMA,
    "weights": optimizer.WEIGHTS,
    "adam": optimizer.ADAM,
    "log_weight": evidence.LOG_WEIGHT,
}
