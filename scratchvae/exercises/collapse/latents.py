"""What each latent does: its KL, and how much its mean moves from image to image.

Sizes: N images, Z latents.
"""

import numpy as np

from scratchvae.exercises.blank import Slip, value

N, Z = 7, 3
MANY = 4000  # images, for a variance


def kl_of_each(mu, logvar):
    """The mean over N images of KL(q(z_j|x) || N(0, 1)), for each latent j: (N, Z), (N, Z) -> (Z,)."""
    return 0.5 * (mu**2 + np.exp(logvar) - 1 - logvar).mean(axis=0)


def codes(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.normal(rng.normal(0, 1, Z), 1, (N, Z)), rng.uniform(-2, 0.8, (N, Z))


def kl_by_quadrature(mu: np.ndarray, logvar: np.ndarray) -> dict[str, np.ndarray]:
    """E_q[log q - log p], with Gauss-Hermite nodes, which are exact for squares."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(5)  # (5,)
    weights = weights / weights.sum()
    total = np.zeros(Z)
    for m, v in zip(mu, logvar, strict=True):
        for node, weight in zip(nodes, weights, strict=True):
            z = m + np.exp(v / 2) * node  # (Z,)
            total += weight * (-0.5 * (node**2 + v) + 0.5 * z**2)
    return {"kl": total / len(mu)}


def each(mu: np.ndarray, logvar: np.ndarray) -> np.ndarray:
    """The KL of each latent for each image, (N, Z)."""
    return 0.5 * (mu**2 + np.exp(logvar) - 1 - logvar)


KL = value(
    kl_of_each,
    kl_by_quadrature,
    codes,
    (
        "The KL of an image is a sum over its latents. What is left, if that sum is not taken? And what is averaged?",
        "the mean over n of 1/2 (mu_nj^2 + exp(logvar_nj) - 1 - logvar_nj)",
        "0.5 * (mu**2 + np.exp(...) - 1 - ...).mean(axis=...)",
    ),
    (
        Slip(lambda m, v: each(m, v).sum(axis=1), "shape", "this is the KL of each image, over all its latents"),
        Slip(lambda m, v: each(m, v).mean(axis=1), "shape", "this averages over the latents: over the images"),
        Slip(lambda m, v: each(m, v).sum(axis=0), "factor", "the images are added up: their mean is wanted"),
        Slip(lambda m, v: each(m, v).mean(), "shape", "one number for all latents: each has its own"),
        Slip(lambda m, v: each(m, v), "shape", "this is of each image: take the mean over them"),
        Slip(lambda m, v: 2 * each(m, v).mean(axis=0), "factor", "the 1/2 is missing"),
        Slip(lambda m, v: -each(m, v).mean(axis=0), "sign", "the sign is turned: a KL is never negative"),
        Slip(
            lambda m, v: each(m.mean(axis=0), v.mean(axis=0)),
            "elementwise-factor",
            "mu and logvar are averaged first: a mean that is 0 on average may say much about each image",
        ),
        Slip(
            lambda m, v: 0.5 * (m.mean(axis=0) ** 2 + (np.exp(v) - 1 - v).mean(axis=0)),
            "elementwise-factor",
            "mu is averaged before it is squared: the mean of the squares is wanted",
        ),
        Slip(
            lambda m, v: each(m, 2 * v).mean(axis=0),
            "elementwise-factor",
            "exp(logvar) is the variance already, and its square is used for it",
        ),
        Slip(
            lambda m, v: 0.5 * (m**2 + np.exp(v / 2) - 1 - v).mean(axis=0),
            "elementwise-factor",
            "the standard deviation stands where the variance belongs",
        ),
        Slip(
            lambda m, v: 0.5 * (np.exp(v) - 1 - v).mean(axis=0),
            "missing-term",
            "mu is missing: a latent pays for where its mean is, too",
        ),
    ),
)


def activity(mu):
    """How much the mean of q of each latent varies over N images, as a variance: (N, Z) -> (Z,)."""
    return mu.var(axis=0)


def activity_by_squares(mu: np.ndarray) -> dict[str, np.ndarray]:
    """The mean of the squares less the square of the mean, column by column."""
    columns = mu.T.tolist()
    return {"activity": np.array([sum(a * a for a in c) / len(c) - (sum(c) / len(c)) ** 2 for c in columns])}


ACTIVITY = value(
    activity,
    activity_by_squares,
    lambda rng: (rng.normal(rng.normal(0, 1, Z), rng.uniform(0.5, 1.5, Z), (MANY, Z)),),
    (
        "A latent that says nothing has the same mean for every image. What is the variance of a column?",
        "the mean over n of (mu_nj - m_j)^2, m_j being the mean over n of mu_nj",
        "mu.var(axis=...)",
    ),
    (
        Slip(lambda mu: mu.var(axis=1), "shape", "this is the variance over the latents of an image"),
        Slip(lambda mu: mu.var(), "shape", "one number for all latents: each has its own"),
        Slip(
            lambda mu: (mu**2).mean(axis=0),
            "elementwise-factor",
            "the mean of each latent is not taken out: one that is 3 for every image says nothing",
        ),
        Slip(lambda mu: mu.std(axis=0), "elementwise-factor", "this is the standard deviation: its square is wanted"),
        Slip(
            lambda mu: np.abs(mu - mu.mean(axis=0)).mean(axis=0),
            "elementwise-factor",
            "this is the mean distance: squares are wanted",
        ),
        Slip(lambda mu: mu.mean(axis=0), "elementwise-factor", "this is the mean of each latent, not its spread"),
        Slip(
            lambda mu: mu.var(axis=0) * len(mu),
            "factor",
            "the squares are added up: their mean is wanted",
        ),
        Slip(
            lambda mu: mu.var(axis=0) > 0.01,
            "elementwise-factor",
            "this says which latents are active units: the variance itself is wanted",
        ),
        Slip(
            lambda mu: ((mu - mu.mean(axis=1, keepdims=True)) ** 2).mean(axis=0),
            "elementwise-factor",
            "what is taken out is the mean of each image: that of each latent",
        ),
    ),
    close=4e-4,  # a variance over MANY or over MANY - 1
)
