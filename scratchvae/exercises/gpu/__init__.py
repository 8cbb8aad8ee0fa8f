"""The blanks of the page on GPUs, in its order."""

from scratchvae.exercises.blank import Blank
from scratchvae.exercises.gpu import arrays, timing

BLANKS: dict[str, Blank] = {
    "log_mean_exp": arrays.LOG_MEAN_EXP,
    "draw": arrays.DRAW,
    "norm": arrays.NORM,
    "seconds": timing.SECONDS,
}
