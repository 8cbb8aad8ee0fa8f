"""The logarithm of an importance weight, from one draw of the encoder.

Sizes: B rows, Z latents.
"""

import numpy as np

from scratchvae.exercises.blank import Slip, value

B, Z = 5, 3


def log_weight(nll, z, mu, logvar):
    """log of p(x, z) / q(z|x) at a draw z from q = N(mu, exp(logvar)): (B,), thrice (B, Z) -> (B,)."""
    u = (z - mu) ** 2 / np.exp(logvar)
    return -nll + 0.5 * (u + logvar - z**2).sum(axis=1)


def a_draw(rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """The last nll is that of an image of many pixels: its weight is 0 as a float."""
    mu, logvar, eps = rng.standard_normal((3, B, Z))
    return np.append(rng.normal(3, 2, B - 1), rng.uniform(800, 900)), mu + np.exp(logvar / 2) * eps, mu, logvar


def by_densities(nll: np.ndarray, z: np.ndarray, mu: np.ndarray, logvar: np.ndarray) -> dict[str, np.ndarray]:
    """Row by row, from the densities themselves."""
    log_w = []
    for b in range(len(z)):
        prior = np.prod(np.exp(-(z[b] ** 2) / 2) / np.sqrt(2 * np.pi))
        sigma = np.sqrt(np.exp(logvar[b]))
        q = np.prod(np.exp(-(((z[b] - mu[b]) / sigma) ** 2) / 2) / (sigma * np.sqrt(2 * np.pi)))
        log_w.append(np.log(prior / q) - nll[b])
    return {"log w": np.array(log_w)}


def log_q(z: np.ndarray, mu: np.ndarray, logvar: np.ndarray) -> np.ndarray:
    """log q(z|x), (B,)."""
    return -0.5 * ((z - mu) ** 2 / np.exp(logvar) + logvar + np.log(2 * np.pi)).sum(axis=1)


def log_prior(z: np.ndarray) -> np.ndarray:
    return -0.5 * (z**2 + np.log(2 * np.pi)).sum(axis=1)


LOG_WEIGHT = value(
    log_weight,
    by_densities,
    a_draw,
    (
        "The joint is p(x|z) p(z). What are the logarithms of the three densities at z, and which sign has each?",
        "-nll - 1/2 sum_j (z_j^2 + log 2 pi) + 1/2 sum_j ((z_j - mu_j)^2 / exp(logvar_j) + logvar_j + log 2 pi)",
        "u = (z - mu) ** 2 / ...; return -nll + 0.5 * (u + ... - z**2).sum(axis=1)",
    ),
    (
        Slip(
            lambda n, z, m, v: n - log_prior(z) + log_q(z, m, v),
            "sign",
            "the weight is upside down: q stands below",
        ),
        Slip(
            lambda n, z, m, v: n + log_prior(z) - log_q(z, m, v),
            "sign",
            "nll is minus log p(x|z): it enters with a minus",
        ),
        Slip(
            lambda n, z, m, v: -n - log_q(z, m, v),
            "missing-term",
            "the prior is missing: the joint is p(x|z) p(z)",
        ),
        Slip(
            lambda n, z, m, v: -n + log_prior(z),
            "missing-term",
            "this is the joint: it is still to be divided by q",
        ),
        Slip(
            lambda n, z, m, v: -n + 0.5 * ((z - m) ** 2 / np.exp(v) + v).sum(axis=1),
            "missing-term",
            "z^2 is missing: the joint is p(x|z) p(z), and p(z) is standard normal",
        ),
        Slip(
            lambda n, z, m, v: -n - 0.5 * (z**2).sum(axis=1),
            "missing-term",
            "this is the joint, but for a constant: it is still to be divided by q",
        ),
        Slip(
            lambda n, z, m, v: -n - 0.5 * ((z - m) ** 2 / np.exp(v) + v + z**2).sum(axis=1),
            "sign",
            "log q is added: q stands below, so its logarithm is subtracted",
        ),
        Slip(
            lambda n, z, m, v: -n + log_prior(z) + 0.5 * ((z - m) ** 2 / np.exp(v) + v).sum(axis=1),
            "missing-term",
            "log 2 pi is in the prior and not in q: in both it cancels",
        ),
        Slip(
            lambda n, z, m, v: -n - 0.5 * (z**2).sum(axis=1) - log_q(z, m, v),
            "missing-term",
            "log 2 pi is in q and not in the prior: in both it cancels",
        ),
        Slip(
            lambda n, z, m, v: -n + 0.5 * ((z - m) ** 2 / np.exp(v) - v - z**2).sum(axis=1),
            "sign",
            "the sign of logvar is turned: q has 1 / sigma in front, and stands below",
        ),
        Slip(
            lambda n, z, m, v: -n + (0.5 * ((z - m) ** 2 / np.exp(v) + v) - z**2).sum(axis=1),
            "factor",
            "the prior has z^2 / 2: the half is missing",
        ),
        Slip(
            lambda n, z, m, v: -n - 0.5 * (m**2 + np.exp(v) - 1 - v).sum(axis=1),
            "elementwise-factor",
            "this is the ELBO with the KL in closed form, the mean of log w over draws: each draw has its own weight",
        ),
        Slip(
            lambda n, z, m, v: -n + log_prior(z) + log_q(z, m, v),
            "sign",
            "the densities are multiplied: q stands below, and its logarithm has a minus",
        ),
        Slip(
            lambda n, z, m, v: -n + log_prior(z) - log_q(z, m, 2 * v),
            "elementwise-factor",
            "exp(logvar) is the variance already, and its square is used for it",
        ),
        Slip(
            lambda n, z, m, v: -n + log_prior(z) - log_q(z, m, v / 2),
            "elementwise-factor",
            "sigma is used for the variance, exp(logvar)",
        ),
        Slip(
            lambda n, z, m, v: -n + 0.5 * ((z - m) ** 2 / np.exp(v / 2) + v - z**2).sum(axis=1),
            "elementwise-factor",
            "the square is divided by sigma: the variance is exp(logvar)",
        ),
        Slip(
            lambda n, z, m, v: -n + 0.5 * ((z - m) ** 2 / np.exp(v) ** 2 + v - z**2).sum(axis=1),
            "elementwise-factor",
            "the square is divided by sigma^4: exp(logvar) is sigma^2 already",
        ),
        Slip(
            lambda n, z, m, v: -n + 0.5 * ((z - m) ** 2 / np.exp(v) + 2 * v - z**2).sum(axis=1),
            "elementwise-factor",
            "q is divided by sigma^2 in front: by sigma, whose logarithm is logvar / 2",
        ),
        Slip(
            lambda n, z, m, v: -n + 0.5 * ((z - m) ** 2 / np.exp(v) + v - z**2).sum(),
            "elementwise-factor",
            "the sum runs over all images: over the latents of each, axis=1",
        ),
        Slip(
            lambda n, z, m, v: np.log(np.exp(-n + log_prior(z) - log_q(z, m, v))),
            "non-finite",
            "a weight is formed first, and is 0 as a float where nll is large: add up the logarithms",
        ),
        Slip(
            lambda n, z, m, v: -n + 0.5 * ((z - m) ** 2 / np.exp(v) - z**2).sum(axis=1),
            "missing-term",
            "logvar is missing: a narrow q is higher at its top, by 1 over sigma",
        ),
        Slip(
            lambda n, z, m, v: np.exp(-n + log_prior(z) - log_q(z, m, v)),
            "elementwise-factor",
            "this is the weight itself: of an image of 784 pixels it is 0 as a float, so its logarithm is asked for",
        ),
        Slip(
            lambda n, z, m, v: -n + 0.5 * ((z - m) ** 2 / np.exp(v) + v - z**2).mean(axis=1),
            "elementwise-factor",
            "this is a mean over the latents: densities multiply, and their logarithms add up",
        ),
        Slip(
            lambda n, z, m, v: -n + 0.5 * ((z - m) ** 2 / np.exp(v) + v - m**2).sum(axis=1),
            "elementwise-factor",
            "the prior is taken at mu: it is that of the draw z",
        ),
        Slip(
            lambda n, z, m, v: -n + log_prior(z) - log_q(z, 0 * m, v),
            "elementwise-factor",
            "q is taken around 0: its mean is mu",
        ),
    ),
)
