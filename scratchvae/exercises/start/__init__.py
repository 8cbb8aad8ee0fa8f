"""The blanks of the page to start with, in its order."""

from scratchvae.exercises.blank import Blank
from scratchvae.exercises.start import machine, plane

BLANKS: dict[str, Blank] = {
    "score": machine.SCORE,
    "decoder": machine.DECODER,
    "joint": plane.JOINT,
    "draw": plane.DRAW,
}
