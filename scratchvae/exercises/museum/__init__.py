"""The blanks of the page on the museum of bugs: three checks, and a line to mend."""

from scratchvae.exercises.blank import Blank
from scratchvae.exercises.museum import aliasing, calculus, probability

BLANKS: dict[str, Blank] = {
    "slopes": calculus.SLOPES,
    "moments": probability.MOMENTS,
    "identity": probability.IDENTITY,
    "mend": aliasing.MEND,
}
