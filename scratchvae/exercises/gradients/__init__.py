"""The blanks of the page on gradients, in its order: from one draw to every weight of the encoder."""

from scratchvae.exercises.blank import Blank
from scratchvae.exercises.gradients import forks, forward, from_kl, through_z

BLANKS: dict[str, Blank] = {
    "slopes": forward.SLOPES,
    "sigma": forward.SIGMA,
    "draw": forward.DRAW,
    "kl": forward.KL,
    "dlogits": through_z.DLOGITS,
    "dmu": through_z.DMU,
    "dsigma": through_z.DSIGMA,
    "dlogvar": through_z.DLOGVAR,
    "from_kl": from_kl.FROM_KL,
    "fork": forks.FORK,
    "dh": forks.DH,
    "encoder": forks.ENCODER,
}
