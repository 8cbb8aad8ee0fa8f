"""The blanks of the page on the KL divergence, in its order."""

from scratchvae.exercises.blank import Blank
from scratchvae.exercises.kl import definition, normals

BLANKS: dict[str, Blank] = {
    "table": definition.TABLE,
    "normals": normals.NORMALS,
    "draws": definition.DRAWS,
    "matched": normals.MATCHED,
}
