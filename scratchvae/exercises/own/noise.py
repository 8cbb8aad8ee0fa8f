"""The way back through the draw.

Sizes: B batch, D pixels, H hidden units, Z latents.
"""

import numpy as np

from scratchvae.exercises.blank import Slip, gradient
from scratchvae.exercises.own.oracle import B, Z
from scratchvae.exercises.own.told import in_a_row


def reparameterize_backward(dz, logvar, eps):
    """Back through z = mu + sigma eps: dz, logvar, eps (B, Z) -> dmu, dlogvar (B, Z)."""
    return dz, dz * eps * np.exp(logvar / 2) / 2


REPARAMETERIZE_BACKWARD = gradient(
    reparameterize_backward,
    lambda mu, logvar, eps: (mu + np.exp(logvar / 2) * eps, (logvar, eps)),
    lambda rng: (
        {"mu": rng.standard_normal((B, Z)), "logvar": rng.standard_normal((B, Z))},
        {"eps": rng.standard_normal((B, Z))},
    ),
    (
        "By how much does z rise with mu? By how much with logvar, which has to go through exp(logvar / 2) first?",
        "dmu = dz, dlogvar = dz eps sigma / 2",
        "dz, dz * eps * np.exp(...) / 2",
    ),
    (
        Slip(
            lambda d, v, e: (d, d * e * np.exp(v / 2)),
            "factor",
            "dlogvar is twice what it should be: what is the inner derivative of exp(logvar / 2)?",
        ),
        Slip(
            lambda d, v, e: (d, d * e * np.exp(v)),
            "elementwise-factor",
            "dlogvar: this would be right if z were mu + sigma^2 eps",
        ),
        Slip(
            lambda d, v, e: (d, d * e / 2),
            "elementwise-factor",
            "dlogvar lacks sigma: an exponential is a factor of its own slope",
        ),
        Slip(
            lambda d, v, e: (d, d * e),
            "elementwise-factor",
            "dlogvar: this is the gradient of sigma, one more step leads to logvar",
        ),
        Slip(
            lambda d, v, e: (d, d * np.exp(v / 2) / 2),
            "elementwise-factor",
            "dlogvar lacks eps: it is what sigma is multiplied with",
        ),
        Slip(
            lambda d, v, e: (d, -d * e * np.exp(v / 2) / 2),
            "sign",
            "dlogvar has the wrong sign",
        ),
        Slip(
            lambda d, v, e: (d * e, d * e * np.exp(v / 2) / 2),
            "elementwise-factor",
            "dmu has a factor eps too many: mu stands in z by itself",
        ),
        Slip(
            lambda d, v, e: (d.sum(axis=0), (d * e * np.exp(v / 2) / 2).sum(axis=0)),
            "shape",
            "both are summed over the batch: each example has its own mu and logvar",
        ),
        Slip(
            lambda d, v, e: (d * e * np.exp(v / 2) / 2, d),
            "transpose",
            "the two are swapped: mu comes first",
        ),
    ),
)
REPARAMETERIZE_BACKWARD = in_a_row(REPARAMETERIZE_BACKWARD, "dmu", "dlogvar")
