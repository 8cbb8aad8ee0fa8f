"""The blanks of the page on gradients, in its order: from one draw to every weight of the encoder."""

from scratchvae.exercises.blank import Blank
from scratchvae.exercises.gradients import forks, forward, from_kl, through_z

BLANKS: dict[str, Blank] = {
    "sigma": forward.SIGMA,
    "draw": forward.DRAW,
    "slopes": forward.SLOPES,
    "kl": forward.KL,
    "dlogits": through_z.DLOGITS,
    "dmu_z": through_z.DMU_Z,
    "dsigma_z": through_z.DSIGMA_Z,
    "dlogvar_z": through_z.DLOGVAR_Z,
    "from_the_kl": from_kl.FROM_THE_KL,
    "fork": forks.FORK,
    "dh": forks.DH,
    "encoder": forks.ENCODER,
}
