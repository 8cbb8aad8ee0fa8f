"""What the KL sends to mu and to logvar.

Sizes: B batch, Z latents.
"""

import numpy as np

from scratchvae.exercises.blank import Slip, gradient

B, Z = 4, 3


def kl_to_mu_and_logvar(dkl, mu, sigma):
    """What the KL sends to mu and to logvar: (B,), (B, Z), (B, Z) -> (B, Z), (B, Z)."""
    return dkl[:, None] * mu, dkl[:, None] * (sigma**2 - 1) / 2


FROM_KL = gradient(
    kl_to_mu_and_logvar,
    lambda mu, logvar: (0.5 * (mu**2 + np.exp(logvar) - 1 - logvar).sum(axis=1), (mu, np.exp(logvar / 2))),
    lambda rng: ({"mu": rng.standard_normal((B, Z)), "logvar": rng.standard_normal((B, Z))}, {}),
    (
        "kl = 1/2 sum_j (mu_j^2 + exp(v_j) - 1 - v_j). What is the slope in mu_j, and what in v_j? Where are both 0?",
        "dmu_bj = dkl_b mu_bj, and dlogvar_bj = dkl_b (sigma_bj^2 - 1) / 2",
        "dkl[:, None] * mu, dkl[:, None] * (...) / 2",
    ),
    (
        Slip(
            lambda d, m, s: (d[:, None] * m, d[:, None] * s**2 / 2),
            "missing-term",
            "dlogvar is not 0 at sigma = 1, where the KL is smallest: -v has a slope too",
        ),
        Slip(
            lambda d, m, s: (d[:, None] * m, d[:, None] * (s**2 / 2 - 1)),
            "elementwise-factor",
            "dlogvar is not 0 at sigma = 1: -v carries the 1/2, too",
        ),
        Slip(
            lambda d, m, s: (d[:, None] * m, d[:, None] * (s**2 - 1)),
            "factor",
            "dlogvar is twice what it should be: the 1/2 in front of the KL stays",
        ),
        Slip(
            lambda d, m, s: (2 * d[:, None] * m, d[:, None] * (s**2 - 1) / 2),
            "factor",
            "dmu is twice what it should be: the 2 of the square and the 1/2 cancel",
        ),
        Slip(
            lambda d, m, s: (d[:, None] * m / 2, d[:, None] * (s**2 - 1) / 2),
            "factor",
            "dmu is half of what it should be: the square brings a 2",
        ),
        Slip(
            lambda d, m, s: (d[:, None] * m, d[:, None] * (s - 1) / 2),
            "elementwise-factor",
            "dlogvar: sigma stands where sigma squared belongs",
        ),
        Slip(
            lambda d, m, s: (d[:, None] * m, d[:, None] * (s - 1 / s)),
            "elementwise-factor",
            "this is the gradient of sigma: one more step leads to logvar",
        ),
        Slip(
            lambda d, m, s: (m, (s**2 - 1) / 2),
            "elementwise-factor",
            "both are the same whatever dkl is: what arrives from above is forgotten",
        ),
        Slip(
            lambda d, m, s: (-d[:, None] * m, d[:, None] * (1 - s**2) / 2),
            "sign",
            "both have the wrong sign: the sign is in dkl already",
        ),
        Slip(
            lambda d, m, s: (d[:, None] * m, d[:, None] * (1 - s**2) / 2),
            "sign",
            "dlogvar has the wrong sign: a sigma above 1 makes the KL larger",
        ),
        Slip(lambda d, m, s: (d[:, None] * (s**2 - 1) / 2, d[:, None] * m), "transpose", "the two are swapped"),
    ),
)
