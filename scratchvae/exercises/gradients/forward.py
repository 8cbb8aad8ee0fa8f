"""The forward pass: from logvar to sigma, from eps to z, its two slopes, and the KL.

Sizes: B batch, Z latents.
"""

import numpy as np

from scratchvae.exercises.blank import Slip, value

B, Z = 4, 3


def sigma_of(logvar):
    """sigma, the standard deviation, from the logarithm of the variance: (B, Z) -> (B, Z)."""
    return np.exp(logvar / 2)


SIGMA = value(
    sigma_of,
    lambda logvar: {"sigma": np.sqrt(np.exp(logvar))},
    lambda rng: (rng.standard_normal((B, Z)),),
    (
        "logvar is the logarithm of what? And what is sigma of that?",
        "v = log sigma^2, so sigma^2 = exp(v). The square root of an exponential halves the exponent.",
        "np.exp of one half of logvar",
    ),
    (
        Slip(
            np.exp,
            "elementwise-factor",
            "this is the variance, sigma squared: how far does z scatter, in the units of z?",
        ),
        Slip(
            lambda v: v / 2,
            "elementwise-factor",
            "this is log sigma, which may be negative: which function undoes a logarithm?",
        ),
        Slip(
            lambda v: np.exp(-v / 2),
            "elementwise-factor",
            "this is 1 / sigma: should a larger variance make it larger or smaller?",
        ),
        Slip(
            lambda v: v,
            "elementwise-factor",
            "this is the log-variance itself, which may be negative; a standard deviation cannot",
        ),
        Slip(
            lambda v: np.exp(v) / 2,
            "elementwise-factor",
            "half the variance is no root of it: where does the square root of an exponential put its 1/2?",
        ),
        Slip(
            lambda v: np.exp(2 * v),
            "elementwise-factor",
            "the exponent was doubled: does a square root double or halve it?",
        ),
        Slip(
            np.sqrt, "elementwise-factor", "this is the root of a logarithm, which may be negative: undo the log first"
        ),
    ),
)


def draw_z(mu, logvar, eps):
    """z ~ N(mu, sigma^2) made from eps ~ N(0, 1): (B, Z) each."""
    return mu + np.exp(logvar / 2) * eps


DRAW = value(
    draw_z,
    lambda mu, logvar, eps: {"z": mu + np.sqrt(np.exp(logvar)) * eps},
    lambda rng: tuple(rng.standard_normal((3, B, Z))),
    (
        "eps scatters by 1 around 0. What has to be done to it to scatter by sigma around mu?",
        "z = mu + sigma eps, with sigma = exp(logvar / 2)",
        "mu plus np.exp(logvar / 2) times eps",
    ),
    (
        Slip(
            lambda m, v, e: m + np.exp(v) * e,
            "elementwise-factor",
            "eps is multiplied by the variance: then z scatters by sigma squared",
        ),
        Slip(
            lambda m, v, e: m + np.exp(v / 2),
            "elementwise-factor",
            "there is no eps in it: the same z every time is not a draw",
        ),
        Slip(
            lambda m, v, e: m - np.exp(v / 2) * e,
            "sign",
            "eps is subtracted: z would scatter just so, but its slope in sigma would be -eps",
        ),
        Slip(
            lambda m, v, e: m + v * e,
            "elementwise-factor",
            "eps is multiplied by logvar, which may be negative: what is sigma?",
        ),
        Slip(
            lambda m, v, e: m + e, "elementwise-factor", "eps is not scaled: z scatters by 1, whatever the encoder says"
        ),
        Slip(
            lambda m, v, e: m + np.exp(v / 2) * e[:, :1],
            "shape",
            "all latents of an example share one eps, so they move together",
        ),
        Slip(lambda m, v, e: m + np.exp(v / 2) * e[0], "shape", "all examples share the eps of the first one"),
        Slip(lambda m, v, e: m, "missing-term", "this is the mean alone: where is the noise?"),
        Slip(lambda m, v, e: np.exp(v / 2) * e, "missing-term", "z scatters around 0: where is mu?"),
        Slip(
            lambda m, v, e: (m + e) * np.exp(v / 2),
            "elementwise-factor",
            "mu is scaled as well: the mean of z should be mu itself",
        ),
    ),
)


def kl_of(mu, logvar):
    """KL(N(mu, sigma^2) || N(0, 1)) of each example, over all its latents: (B, Z), (B, Z) -> (B,)."""
    return 0.5 * (mu**2 + np.exp(logvar) - 1 - logvar).sum(axis=1)


def kl_by_quadrature(mu: np.ndarray, logvar: np.ndarray) -> dict[str, np.ndarray]:
    """sum_j E_q[log q - log p], with Gauss-Hermite nodes: exact, since the integrand is a square."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(8)
    u = nodes[:, None, None]  # (8, 1, 1)
    z = mu + np.exp(logvar / 2) * u  # (8, B, Z)
    log_ratio = -0.5 * (u * u + logvar) + 0.5 * z * z  # (8, B, Z)  the constants cancel
    return {"kl": np.tensordot(weights / weights.sum(), log_ratio, 1).sum(axis=1)}


KL = value(
    kl_of,
    kl_by_quadrature,
    lambda rng: tuple(rng.standard_normal((2, B, Z))),
    (
        "For one latent, E_q[log q - log p] has a term in mu^2, one in sigma^2, one in log sigma^2 and a constant. At "
        "mu = 0, sigma = 1 it is 0. And what is added up for an example?",
        "kl_b = 1/2 sum_j (mu_bj^2 + sigma_bj^2 - 1 - v_bj), with sigma^2 = exp(v)",
        "0.5 * (... four terms ...).sum(axis=1)",
    ),
    (
        Slip(
            lambda m, v: 0.5 * (m**2 + np.exp(v) - 1 - v).mean(axis=1),
            "factor",
            "this is the mean over the latents: independent ones add up, so that more of them cost more",
        ),
        Slip(
            lambda m, v: 0.5 * (m**2 + np.exp(v) - 1 - v).sum(),
            "shape",
            "this is one number for the whole batch: each example has its own KL, (B,)",
        ),
        Slip(
            lambda m, v: 0.5 * (m**2 + np.exp(v) - 1 - v).sum(axis=0),
            "shape",
            "the sum goes over the examples: one number for each latent is left, not one for each example",
        ),
        Slip(
            lambda m, v: 0.5 * (m**2 + np.exp(v) - 1 - v),
            "shape",
            "one number for each latent: add them up for each example",
        ),
        Slip(
            lambda m, v: 0.5 * (m**2 + np.exp(v) - 1 - v / 2).sum(axis=1),
            "elementwise-factor",
            "log sigma stands where log sigma^2 belongs: v is the logarithm of the variance already",
        ),
        Slip(
            lambda m, v: 0.5 * ((m**2 + np.exp(v) - v).sum(axis=1) - 1),
            "factor",
            "the -1 is there once for each example: every latent has its own",
        ),
        Slip(
            lambda m, v: 0.5 * ((1 + m**2) * np.exp(-v) - 1 + v).sum(axis=1),
            "elementwise-factor",
            "this is KL(N(0, 1) || N(mu, sigma^2)): the mean is to be taken under q",
        ),
        Slip(lambda m, v: -0.5 * (m**2 + np.exp(v) - 1 - v).sum(axis=1), "sign", "it is negative, and a KL never is"),
        Slip(
            lambda m, v: 0.5 * (m**2 + np.exp(v / 2) - 1 - v).sum(axis=1),
            "elementwise-factor",
            "sigma stands where sigma squared belongs",
        ),
        Slip(
            lambda m, v: (m**2 + np.exp(v) - 1 - v).sum(axis=1),
            "factor",
            "twice what it should be: each of the four terms carries the 1/2",
        ),
        Slip(
            lambda m, v: 0.5 * (m**2 + np.exp(v) - v).sum(axis=1),
            "missing-term",
            "it is not 0 where q is the prior, at mu = 0 and sigma = 1: a constant is missing",
        ),
        Slip(
            lambda m, v: 0.5 * (m**2 + np.exp(v) - 1 + v).sum(axis=1),
            "sign",
            "the log-variance has the wrong sign: then the KL falls below 0 as sigma shrinks",
        ),
        Slip(
            lambda m, v: 0.5 * (m + np.exp(v) - 1 - v).sum(axis=1),
            "elementwise-factor",
            "mu enters as it is: should moving q to the left and to the right not cost the same?",
        ),
        Slip(
            lambda m, v: 0.5 * (m**2 + v**2 - 1 - np.log(v**2)).sum(axis=1),
            "elementwise-factor",
            "logvar was taken for sigma: it is the logarithm of the variance",
        ),
    ),
)


def slopes(eps):
    """dz/dmu and dz/dsigma of z = mu + sigma eps, entry by entry: (B, Z) -> (B, Z), (B, Z)."""
    return np.ones_like(eps), eps


def slopes_by_differences(eps: np.ndarray) -> dict[str, np.ndarray]:
    """z is linear in both, so a step of 1 is as good as a small one."""
    mu, sigma = 0.3, 1.7
    z = mu + sigma * eps
    return {"dz/dmu": (mu + 1) + sigma * eps - z, "dz/dsigma": mu + (sigma + 1) * eps - z}


SLOPES = value(
    slopes,
    slopes_by_differences,
    lambda rng: (rng.standard_normal((B, Z)),),
    (
        "Raise mu by 0.1: by how much does z rise? Raise sigma by 0.1, while eps is -1.3: does z rise?",
        "z = mu + sigma eps is linear in both: the slopes are what mu and sigma are multiplied with",
        "return np.ones_like(eps), and what sigma is multiplied with",
    ),
    (
        Slip(lambda e: (e, np.ones_like(e)), "transpose", "the two are swapped"),
        Slip(lambda e: (np.ones_like(e), np.abs(e)), "sign", "where eps is negative a larger sigma takes z down"),
        Slip(
            lambda e: (np.ones_like(e), np.ones_like(e)),
            "elementwise-factor",
            "dz/dsigma is 1 only where eps is 1: what is sigma multiplied with?",
        ),
        Slip(lambda e: (e, e), "elementwise-factor", "dz/dmu: eps multiplies sigma; what is mu multiplied with?"),
        Slip(lambda e: (np.ones_like(e), -e), "sign", "dz/dsigma has the wrong sign"),
        Slip(
            lambda e: (np.ones_like(e), np.zeros_like(e)),
            "zero",
            "sigma does move z: by how much is a matter of eps",
        ),
    ),
)
