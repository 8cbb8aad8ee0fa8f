"""The blanks of the page on estimating the evidence, in its order."""

from scratchvae.exercises.blank import Blank
from scratchvae.exercises.estimating import draws, logs

BLANKS: dict[str, Blank] = {
    "log_mean_exp": logs.LOG_MEAN_EXP,
    "second_moment": draws.SECOND_MOMENT,
    "draws": draws.DRAWS,
    "log_weights": logs.LOG_WEIGHTS,
}
