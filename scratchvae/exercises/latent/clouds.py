"""Where the codes lie: the aggregate posterior, and the share of points that are far from all of them.

Sizes: N images, M fresh codes, G points, Z latent.
"""

import numpy as np

from scratchvae.exercises.blank import Slip, value

N, G, Z = 7, 5, 2


def aggregate(z, mu, logvar):
    """The density at z of the mixture of N blobs N(mu, exp(logvar)): (G, Z), (N, Z), (N, Z) -> (G,)."""
    u = (z[:, None] - mu) ** 2 / np.exp(logvar)
    return np.exp(-0.5 * (u + logvar + np.log(2 * np.pi)).sum(axis=2)).mean(axis=1)


def blobs(rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    return rng.normal(0, 0.8, (G, Z)), rng.normal(0, 0.8, (N, Z)), rng.uniform(-1.5, 0.8, (N, Z))


def aggregate_by_matrices(z: np.ndarray, mu: np.ndarray, logvar: np.ndarray) -> dict[str, np.ndarray]:
    """Blob by blob, with a covariance matrix and its determinant."""
    density = np.zeros(len(z))
    for m, v in zip(mu, logvar, strict=True):
        C = np.diag(np.exp(v))
        for g, point in enumerate(z):
            square = (point - m) @ np.linalg.solve(C, point - m)
            density[g] += np.exp(-square / 2) / np.sqrt(np.linalg.det(2 * np.pi * C))
    return {"density": density / len(mu)}


def each_blob(z: np.ndarray, mu: np.ndarray, logvar: np.ndarray) -> np.ndarray:
    """The density of each blob at each point, (G, N)."""
    u = (z[:, None] - mu) ** 2 / np.exp(logvar)
    return np.exp(-0.5 * (u + logvar + np.log(2 * np.pi)).sum(axis=2))


AGGREGATE = value(
    aggregate,
    aggregate_by_matrices,
    blobs,
    (
        "Draw an image, then z from its q. Given the image the density is that of its blob: how do N equally likely "
        "images combine?",
        "q(z) = (1/N) sum over n of prod over j of N(z_j; mu_nj, exp(logvar_nj))",
        "u = (z[:, None] - mu) ** 2 / np.exp(...); "
        "np.exp(-0.5 * (u + logvar + np.log(2 * np.pi)).sum(axis=...)).mean(axis=...)",
    ),
    (
        Slip(
            lambda z, m, v: each_blob(z, m, v).sum(axis=1),
            "factor",
            "the blobs are added: with N of them this integrates to N, and each has the weight 1/N",
        ),
        Slip(
            lambda z, m, v: np.exp(np.log(each_blob(z, m, v)).mean(axis=1)),
            "elementwise-factor",
            "this is the mean of the logarithms: the densities themselves are averaged",
        ),
        Slip(
            lambda z, m, v: np.log(each_blob(z, m, v).mean(axis=1)),
            "elementwise-factor",
            "this is the logarithm of the density",
        ),
        Slip(
            lambda z, m, v: each_blob(z, m.mean(axis=0, keepdims=True), v.mean(axis=0, keepdims=True))[:, 0],
            "elementwise-factor",
            "this is one blob with the mean of all mu and logvar: a mixture keeps its N bumps",
        ),
        Slip(
            lambda z, m, v: each_blob(z, m, np.log(m.var(axis=0) + np.exp(v).mean(axis=0))[None]).mean(axis=1),
            "elementwise-factor",
            "each blob has its own width: the spread of the means comes from having many",
        ),
        Slip(
            lambda z, m, v: each_blob(z, m, 2 * v).mean(axis=1),
            "elementwise-factor",
            "exp(logvar) is the variance already, and its square is used for it",
        ),
        Slip(
            lambda z, m, v: each_blob(z, m, v / 2).mean(axis=1),
            "elementwise-factor",
            "the square of z - mu is divided by sigma: it belongs over the variance",
        ),
        Slip(
            lambda z, m, v: np.exp(-0.5 * ((z[:, None] - m) ** 2 / np.exp(v)).sum(axis=2)).mean(axis=1),
            "missing-term",
            "no blob has an area of 1: the factor before the exponential, 1 over the root of 2 pi variance, is missing",
        ),
        Slip(
            lambda z, m, v: sum(each_blob(z[:, [j]], m[:, [j]], v[:, [j]]).mean(axis=1) for j in range(Z)),
            "elementwise-factor",
            "the densities of the latents are added: given the image they are independent, and multiply",
        ),
        Slip(
            lambda z, m, v: np.prod(
                [each_blob(z[:, [j]], m[:, [j]], v[:, [j]]).mean(axis=1) for j in range(Z)], axis=0
            ),
            "elementwise-factor",
            "here each latent is averaged over the images on its own: multiply within each blob first, then average",
        ),
        Slip(
            lambda z, m, v: np.log(each_blob(z, m, v)).mean(axis=1),
            "elementwise-factor",
            "this is the mean of the logarithms: the density is the mean of the densities",
        ),
        Slip(
            lambda z, m, v: (each_blob(z, m, v) * np.exp(v.sum(axis=1) / 2)).mean(axis=1),
            "missing-term",
            "wide blobs are as high as narrow ones here: before the exponential stands 1 / sigma, once for each latent",
        ),
        Slip(
            lambda z, m, v: (each_blob(z, m, v) * (2 * np.pi) ** ((Z - 1) / 2)).mean(axis=1),
            "factor",
            "the 2 pi is there once: each latent has its own",
        ),
        Slip(
            lambda z, m, v: (each_blob(z, m, v) ** 2 * np.exp(v.sum(axis=1) / 2) * (2 * np.pi) ** (Z / 2)).mean(axis=1),
            "elementwise-factor",
            "the half in the exponent is missing: a normal has -(z - mu)^2 / (2 variance) there",
        ),
        Slip(
            lambda z, m, v: (each_blob(z, m, v) * (2 * np.pi) ** (Z / 2)).mean(axis=1),
            "factor",
            "the 2 pi is missing, once for each latent",
        ),
        Slip(
            lambda z, m, v: each_blob(z, m, v).mean(axis=0),
            "shape",
            "this has a number for each blob, averaged over the points: average over the blobs",
        ),
        Slip(
            lambda z, m, v: each_blob(z, m, v).max(axis=1) / len(m),
            "elementwise-factor",
            "only the nearest blob counts here: all of them do",
        ),
        Slip(
            lambda z, m, v: each_blob(z, m, np.zeros_like(v)).mean(axis=1),
            "elementwise-factor",
            "every blob has the width 1: logvar is not used",
        ),
    ),
)


def holes(draws, codes, fresh):
    """The share of draws whose nearest code is farther away than that of 95 % of fresh codes.

    draws (G, Z), codes (N, Z), fresh (M, Z) -> a number. np.quantile finds what 95 % are below.
    """
    to_draws, to_fresh = (np.array([((z - codes) ** 2).sum(axis=1).min() for z in points]) for points in (draws, fresh))
    return (to_draws > np.quantile(to_fresh, 0.95)).mean()


def three_clouds(rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    codes, fresh = rng.standard_normal((60, Z)), rng.standard_normal((200, Z))
    return rng.normal(0, 1.7, (50, Z)), codes, fresh


def holes_by_sorting(draws: np.ndarray, codes: np.ndarray, fresh: np.ndarray) -> dict[str, float]:
    """From all distances at once, and a sorted list."""

    def nearest(points: np.ndarray) -> np.ndarray:
        squares = (points**2).sum(axis=1)[:, None] - 2 * points @ codes.T + (codes**2).sum(axis=1)
        return np.sqrt(np.maximum(squares.min(axis=1), 0))

    order, place = np.sort(nearest(fresh)), 0.95 * (len(fresh) - 1)
    low = int(place)
    limit = order[low] + (place - low) * (order[low + 1] - order[low])
    return {"share": sum(distance > limit for distance in nearest(draws)) / len(draws)}


def distances(points: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """(number of points, number of codes)."""
    return np.sqrt(((points[:, None] - codes) ** 2).sum(axis=2))


HOLES = value(
    holes,
    holes_by_sorting,
    three_clouds,
    (
        "How far is a point from the nearest code? Take that for fresh codes first: it says what is usual.",
        "share of draws with min_n |z - c_n| > L, where 95 % of fresh codes have min_n |z - c_n| < L",
        "near = lambda points: np.array([((z - codes) ** 2).sum(axis=1).min() for z in points]); "
        "(near(draws) > np.quantile(near(...), 0.95)).mean()",
    ),
    (
        Slip(
            lambda d, c, f: (distances(d, c).min(axis=1) <= np.quantile(distances(f, c).min(axis=1), 0.95)).mean(),
            "sign",
            "this is the share that is near: the rest is wanted",
        ),
        Slip(
            lambda d, c, f: (distances(d, c).min(axis=1) > np.quantile(distances(f, c).min(axis=1), 0.05)).mean(),
            "elementwise-factor",
            "the limit is the distance that 5 % are below: 95 % are wanted",
        ),
        Slip(
            lambda d, c, f: (distances(d, c).min(axis=1) > distances(f, c).min(axis=1).mean()).mean(),
            "elementwise-factor",
            "the limit is the mean distance: the one that 95 % are below is wanted",
        ),
        Slip(
            lambda d, c, f: (distances(d, c).min(axis=1) > distances(f, c).min(axis=1).max()).mean(),
            "elementwise-factor",
            "the limit is the largest distance, which a single odd image decides",
        ),
        Slip(
            lambda d, c, f: (distances(d, c).mean(axis=1) > np.quantile(distances(f, c).mean(axis=1), 0.95)).mean(),
            "elementwise-factor",
            "the mean distance to all codes does not see a hole in the middle: take the nearest",
        ),
        Slip(
            lambda d, c, f: (distances(d, c).min(axis=1) > np.quantile(distances(c, c).min(axis=1), 0.95)).mean(),
            "zero",
            "each code is its own nearest, at a distance of 0: fresh codes set the limit",
        ),
        Slip(
            lambda d, c, f: (distances(d, c).min(axis=1) > np.quantile(distances(d, c).min(axis=1), 0.95)).mean(),
            "zero",
            "draws are compared with draws, and 5 % come out whatever they are: fresh codes set the limit",
        ),
        Slip(
            lambda d, c, f: (distances(d, f).min(axis=1) > np.quantile(distances(f, c).min(axis=1), 0.95)).mean(),
            "elementwise-factor",
            "the draws look for the nearest fresh code: both they and the fresh codes look among codes",
        ),
        Slip(
            lambda d, c, f: (distances(d, c).min(axis=1) > np.quantile(distances(c, f).min(axis=1), 0.95)).mean(),
            "transpose",
            "the limit is of codes that look among fresh ones: a fresh code looks for the nearest code",
        ),
        Slip(
            lambda d, c, f: (distances(d, c).min(axis=0) > np.quantile(distances(f, c).min(axis=0), 0.95)).mean(),
            "transpose",
            "each code looks for the nearest draw and fresh code: it is those that look, among the codes",
        ),
        Slip(
            lambda d, c, f: (distances(d, c).max(axis=1) > np.quantile(distances(f, c).max(axis=1), 0.95)).mean(),
            "elementwise-factor",
            "this is the distance to the farthest code: take the nearest",
        ),
        Slip(
            lambda d, c, f: (distances(f, c).min(axis=1) > np.quantile(distances(d, c).min(axis=1), 0.95)).mean(),
            "transpose",
            "draws and fresh codes have changed places",
        ),
        Slip(
            lambda d, c, f: (distances(d, c).min(axis=1) > np.quantile(distances(f, c).min(axis=1), 0.95)).sum(),
            "factor",
            "this is the number of draws: the share is wanted",
        ),
        Slip(
            lambda d, c, f: (distances(d, c).min(axis=1) > np.quantile(distances(f, c), 0.95)).mean(),
            "elementwise-factor",
            "the limit is taken from the distances to all codes: for each fresh code, the nearest first",
        ),
        Slip(
            lambda d, c, f: distances(d, c).min(axis=1) > np.quantile(distances(f, c).min(axis=1), 0.95),
            "shape",
            "this says of each draw whether it falls in a hole: the share of them is wanted",
        ),
    ),
)
