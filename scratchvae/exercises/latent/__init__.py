"""The blanks of the page on the latent space."""

from scratchvae.exercises.blank import Blank
from scratchvae.exercises.latent import clouds, pictures, walks

BLANKS: dict[str, Blank] = {
    "walk": walks.WALK,
    "detour": walks.DETOUR,
    "aggregate": clouds.AGGREGATE,
    "holes": clouds.HOLES,
    "draws": pictures.DRAWS,
}
