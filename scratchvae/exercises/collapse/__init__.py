"""The blanks of the page on collapse, in its order."""

from scratchvae.exercises.blank import Blank
from scratchvae.exercises.collapse import latents, linear, pairs

BLANKS: dict[str, Blank] = {
    "kl": latents.KL,
    "activity": latents.ACTIVITY,
    "length": linear.LENGTH,
    "price": linear.PRICE,
    "gain": pairs.GAIN,
}
