"""The blanks of the page on Bayes' rule, in its order."""

from scratchvae.exercises.bayes import densities, tables
from scratchvae.exercises.blank import Blank

BLANKS: dict[str, Blank] = {
    "evidence": tables.EVIDENCE,
    "posterior": tables.POSTERIOR,
    "logs": tables.LOGS,
    "grid": densities.GRID,
    "normal": densities.NORMAL,
}
