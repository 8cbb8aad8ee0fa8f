"""The blanks of the page on the ELBO, in its order."""

from scratchvae.exercises.blank import Blank
from scratchvae.exercises.elbo import bounds, gap, loss, measurement

BLANKS: dict[str, Blank] = {
    "jensen": bounds.JENSEN,
    "bound": bounds.BOUND,
    "terms": measurement.TERMS,
    "gap": gap.GAP,
    "loss": loss.LOSS,
}
