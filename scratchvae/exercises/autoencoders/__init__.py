"""The blanks of the page on autoencoders."""

from scratchvae.exercises.autoencoders import pictures, planes
from scratchvae.exercises.blank import Blank

BLANKS: dict[str, Blank] = {
    "reconstruct": pictures.RECONSTRUCT,
    "errors": pictures.ERRORS,
    "plane": planes.PLANE,
    "undo": planes.UNDO,
    "halfway": pictures.HALFWAY,
}
