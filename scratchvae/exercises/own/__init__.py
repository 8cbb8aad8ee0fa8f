"""The blanks of the last page, in its order: a VAE from first weights to pictures. A blank has its function's name."""

from scratchvae.exercises.blank import Blank
from scratchvae.exercises.own import (
    adam,
    after,
    back,
    halves,
    kl,
    layers,
    likelihood,
    noise,
    objective,
    training,
    whole,
)

BLANKS: dict[str, Blank] = {
    "initial_params": layers.INITIAL_PARAMS,
    "dense": layers.DENSE,
    "dense_backward": layers.DENSE_BACKWARD,
    "tanh_backward": layers.TANH_BACKWARD,
    "encode": halves.ENCODE,
    "reparameterize": halves.REPARAMETERIZE,
    "decode": halves.DECODE,
    "bernoulli_nll": likelihood.BERNOULLI_NLL,
    "kl_to_prior": kl.KL_TO_PRIOR,
    "forward": objective.FORWARD,
    "bernoulli_nll_backward": likelihood.BERNOULLI_NLL_BACKWARD,
    "kl_backward": kl.KL_BACKWARD,
    "reparameterize_backward": noise.REPARAMETERIZE_BACKWARD,
    "decoder_backward": whole.DECODER_BACKWARD,
    "encoder_backward": whole.ENCODER_BACKWARD,
    "backward": back.BACKWARD,
    "adam": adam.ADAM,
    "train": training.TRAIN,
    "evaluate": after.EVALUATE,
    "sample": after.SAMPLE,
    "sheet": after.SHEET,
}
