"""The KL to the prior, with its derivative.

Sizes: B batch, Z latents.
"""

from typing import Any

import numpy as np

from scratchvae.exercises.blank import Slip, gradient, value
from scratchvae.exercises.own.oracle import B, Z
from scratchvae.exercises.own.told import in_a_row


def kl_to_prior(mu, logvar):
    """KL(N(mu, sigma^2) || N(0, I)) of each example: mu (B, Z), logvar (B, Z) -> (B,)."""
    return 0.5 * (mu**2 + np.exp(logvar) - 1 - logvar).sum(axis=1)


def kl_by_expectations(mu: Any, logvar: Any) -> dict[str, Any]:
    """E_q[log q - log p], from E_q[(z - mu)^2] and E_q[z^2], latent by latent."""
    kl = np.zeros(len(mu))
    for j in range(mu.shape[1]):
        sigma = np.sqrt(np.exp(logvar[:, j]))
        expected_log_q = -0.5 - np.log(sigma) - np.log(2 * np.pi) / 2
        expected_log_p = -0.5 * (mu[:, j] ** 2 + sigma**2) - np.log(2 * np.pi) / 2
        kl += expected_log_q - expected_log_p
    return {"kl": kl}


KL_TO_PRIOR = value(
    kl_to_prior,
    kl_by_expectations,
    lambda rng: tuple(rng.standard_normal((2, B, Z))),
    (
        "For one latent there is a term in mu^2, one in sigma^2, one in log sigma^2 and a constant. Where is it 0?",
        "kl_b = 1/2 sum_j (mu_bj^2 + sigma_bj^2 - 1 - logvar_bj), with sigma^2 = exp(logvar)",
        "0.5 * (... four terms ...).sum(axis=1)",
    ),
    (
        Slip(
            lambda m, v: 0.5 * (m**2 + np.exp(v) - 1 - v).mean(axis=1),
            "factor",
            "this is the mean over the latents: each costs its nats, so that they add up",
        ),
        Slip(
            lambda m, v: (m**2 + np.exp(v) - 1 - v).sum(axis=1),
            "factor",
            "twice what it should be: all four terms carry the 1/2",
        ),
        Slip(
            lambda m, v: -0.5 * (m**2 + np.exp(v) - 1 - v).sum(axis=1),
            "sign",
            "it is negative, and a KL never is: the sign comes in the objective",
        ),
        Slip(
            lambda m, v: 0.5 * (m**2 + np.exp(v / 2) - 1 - v).sum(axis=1),
            "elementwise-factor",
            "sigma stands where sigma squared belongs",
        ),
        Slip(
            lambda m, v: 0.5 * (m**2 + np.exp(v) - v).sum(axis=1),
            "missing-term",
            "it is not 0 where q is the prior: a constant is missing",
        ),
        Slip(
            lambda m, v: 0.5 * ((m**2 + np.exp(v) - v).sum(axis=1) - 1),
            "missing-term",
            "the 1 is taken off once for each example: it belongs into the sum, once for each latent",
        ),
        Slip(
            lambda m, v: (0.5 * (m**2 + np.exp(v) - 1) - v).sum(axis=1),
            "factor",
            "the log-variance lacks its 1/2: all four terms carry it",
        ),
        Slip(
            lambda m, v: (0.5 * m**2 + np.exp(v) - 1 - v).sum(axis=1),
            "factor",
            "the 1/2 stands before the first term alone: all four carry it",
        ),
        Slip(
            lambda m, v: 0.5 * (m**2 + v - 1 - np.log(v)).sum(axis=1),
            "non-finite",
            "logvar is taken for the variance: it is a logarithm already, and may be negative",
        ),
        Slip(
            lambda m, v: 0.5 * (m**2 + v**2 - 1 - np.log(v**2)).sum(axis=1),
            "elementwise-factor",
            "logvar is taken for sigma: it is log sigma^2",
        ),
        Slip(
            lambda m, v: 0.5 * (m**2 + np.exp(2 * v) - 1 - 2 * v).sum(axis=1),
            "elementwise-factor",
            "logvar is taken for log sigma: it is log sigma^2, and its exp is sigma^2",
        ),
        Slip(
            lambda m, v: 0.5 * (m**2 + np.exp(v) ** 2 - 1 - v).sum(axis=1),
            "elementwise-factor",
            "sigma to the fourth stands where sigma squared belongs: exp(logvar) is squared already",
        ),
        Slip(
            lambda m, v: 0.5 * (m**2 + np.exp(v) - 1 - np.log(v)).sum(axis=1),
            "non-finite",
            "a logarithm of logvar: it is a logarithm already",
        ),
        Slip(
            lambda m, v: 0.5 * (m + np.exp(v) - 1 - v).sum(axis=1),
            "elementwise-factor",
            "the square of mu is missing: a mean of -1 costs as much as one of 1",
        ),
        Slip(
            lambda m, v: 0.5 * (m**2 + np.exp(v) - 1 - v).sum(axis=0),
            "shape",
            "it is summed over the examples: the latents are axis 1",
        ),
        Slip(
            lambda m, v: 0.5 * (m**2 + np.exp(v) - 1 + v).sum(axis=1),
            "sign",
            "the log-variance has the wrong sign: a narrow q should cost something",
        ),
        Slip(
            lambda m, v: 0.5 * (m**2 + np.exp(v) - 1 - v / 2).sum(axis=1),
            "factor",
            "log sigma stands where log sigma squared belongs",
        ),
        Slip(
            lambda m, v: 0.5 * (m**2 + np.exp(v) - 1 - v).sum(), "shape", "one number for the batch: sum along axis 1"
        ),
        Slip(
            lambda m, v: 0.5 * (m**2 + np.exp(v) - 1 - v),
            "shape",
            "one number for each latent: sum along axis 1",
        ),
    ),
)


def kl_backward(dkl, mu, logvar):
    """Back through the KL: dkl (B,), mu (B, Z), logvar (B, Z) -> dmu (B, Z), dlogvar (B, Z)."""
    return dkl[:, None] * mu, dkl[:, None] * (np.exp(logvar) - 1) / 2


KL_BACKWARD = gradient(
    kl_backward,
    lambda mu, logvar: (0.5 * (mu**2 + np.exp(logvar) - 1 - logvar).sum(axis=1), (mu, logvar)),
    lambda rng: ({"mu": rng.standard_normal((B, Z)), "logvar": rng.standard_normal((B, Z))}, {}),
    (
        "What is the slope of 1/2 (mu^2 + exp(v) - 1 - v) in mu, and what in v? At which sigma is the second one 0?",
        "dmu_bj = dkl_b mu_bj, dlogvar_bj = dkl_b (exp(v_bj) - 1) / 2",
        "dkl[:, None] * mu, dkl[:, None] * (...) / 2",
    ),
    (
        Slip(
            lambda d, m, v: (d[:, None] * m, d[:, None] * np.exp(v) / 2),
            "missing-term",
            "dlogvar is not 0 at sigma = 1, where the KL is smallest: -v has a slope, too",
        ),
        Slip(
            lambda d, m, v: (d[:, None] * m, d[:, None] * (np.exp(v) - 1)),
            "factor",
            "dlogvar is twice what it should be: the 1/2 in front of the KL stays",
        ),
        Slip(
            lambda d, m, v: (2 * d[:, None] * m, d[:, None] * (np.exp(v) - 1) / 2),
            "factor",
            "dmu is twice what it should be: the 2 of the square and the 1/2 cancel",
        ),
        Slip(
            lambda d, m, v: (d[:, None] * m, d[:, None] * (np.exp(v / 2) - 1) / 2),
            "elementwise-factor",
            "dlogvar: sigma stands where sigma squared belongs",
        ),
        Slip(
            lambda d, m, v: (m, (np.exp(v) - 1) / 2),
            "elementwise-factor",
            "both are the same whatever dkl is: what arrives from above is forgotten",
        ),
        Slip(
            lambda d, m, v: (-d[:, None] * m, -d[:, None] * (np.exp(v) - 1) / 2),
            "sign",
            "both have the wrong sign: the sign is in dkl already",
        ),
        Slip(
            lambda d, m, v: (d[:, None] * m / Z, d[:, None] * (np.exp(v) - 1) / 2 / Z),
            "factor",
            "both are divided by the number of latents: the KL is a sum over them",
        ),
        Slip(
            lambda d, m, v: (d[:, None] * (np.exp(v) - 1) / 2, d[:, None] * m),
            "transpose",
            "the two are swapped: mu stands first",
        ),
    ),
)
KL_BACKWARD = in_a_row(KL_BACKWARD, "dmu", "dlogvar")
