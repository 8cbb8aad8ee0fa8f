"""The blanks of the page on the evidence, in its order."""

from scratchvae.exercises.blank import Blank
from scratchvae.exercises.evidence import bent, pieces, straight

BLANKS: dict[str, Blank] = {
    "moments": straight.MOMENTS,
    "grid": bent.GRID,
    "kinks": pieces.KINKS,
    "piece": pieces.PIECE,
}
