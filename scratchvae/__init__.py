"""scratchvae: a variational autoencoder written by hand in NumPy, whose derivation is a test.

Read the modules in this order; each uses only those above it.

    chapter                                     module           notebook
    the array-backend switch                    backend          14
    what an argument must be                    arguments
    dense layers and activations, backward      layers           08
    densities, KL, the reparameterized draw     gaussian         05, 07
    p(x|z) and its constants                    likelihoods      10
    what the two models are made of             model            01, 06
    the deterministic ancestor                  autoencoder      01
    the VAE: where the terms meet               vae              06, 09
    the bound with many draws                   iwae             04, 10
    following the gradient                      optim            10
    order, bits, the move to the backend        batches          10
    what training is asked to do                recipe           10
    arrays read without trusting them           npz
    a folder that one process writes to         run_folder
    what a checkpoint says, and who believes it manifest
    a run on disk                               checkpoint
    going on with a run that was stopped        resume
    how a run went, and the files that tell it  record
    epochs                                      training         10
    how good a trained model is                 evaluation       10, 12
    the oracle: evidence that is known          exact            03, 06

From npz to record nothing is mathematics: it is what keeps a run on disk whole, and can be read on another day.

Beside the core: `data` (digits, your own files, toy sets), `lab` (gradient estimators to compare), `reproduction`
(published numbers, a row each), `checks` (what is wrong with a gradient, a sampler, a bound; yours or ours), `museum`
(planted bugs, and which check sees each), `exercises` (what readers of the notebooks write, and how it is judged),
`view` (pictures), `commands` and `cli` (the command line).
"""

__version__ = "0.1.0"

from scratchvae.commands.needed import complain_and_stop

complain_and_stop()  # why here: `python -m scratchvae doctor` imports this file first, and NumPy may not be there

from scratchvae.autoencoder import Autoencoder
from scratchvae.backend import get_xp, to_numpy
from scratchvae.checkpoint import load_checkpoint, save_checkpoint
from scratchvae.data import load_data
from scratchvae.gaussian import (
    kl_to_standard_normal,
    kl_to_standard_normal_backward,
    reparameterize,
    reparameterize_backward,
)
from scratchvae.iwae import ImportanceWeighted
from scratchvae.layers import Chain, Dense
from scratchvae.likelihoods import Bernoulli, ContinuousBernoulli, Gaussian, GaussianLearned
from scratchvae.optim import SGD, Adagrad, Adam
from scratchvae.training import fit
from scratchvae.vae import VAE

__all__ = [
    "SGD",
    "VAE",
    "Adagrad",
    "Adam",
    "Autoencoder",
    "Bernoulli",
    "Chain",
    "ContinuousBernoulli",
    "Dense",
    "Gaussian",
    "GaussianLearned",
    "ImportanceWeighted",
    "fit",
    "get_xp",
    "kl_to_standard_normal",
    "kl_to_standard_normal_backward",
    "load_checkpoint",
    "load_data",
    "reparameterize",
    "reparameterize_backward",
    "save_checkpoint",
    "to_numpy",
]
