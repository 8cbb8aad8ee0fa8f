"""The linear VAE at its optimum: how long each column is, and what its latent pays.

Sizes: Z latents, each along an eigenvector of the data.
"""

import numpy as np

from scratchvae.exercises.blank import Slip, value

Z = 6


def squared_length(eigenvalues, sigma_x):
    """The best c^2 of each latent; c^2 + sigma_x^2 is the model's variance: (Z,), a number -> (Z,)."""
    return np.maximum(eigenvalues - sigma_x**2, 0)


def above_and_below(rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Eigenvalues on both sides of sigma_x^2."""
    sigma_x = float(rng.uniform(1.2, 2))
    return sigma_x**2 * np.exp(np.array([-1.2, -0.5, -0.2, 0.3, 0.8, 1.5]) + rng.uniform(-0.1, 0.1, Z)), sigma_x


def length_by_search(eigenvalues: np.ndarray, sigma_x: float) -> dict[str, np.ndarray]:
    """The best c^2 by halving: where the slope of the mean log-density, by a complex step, crosses zero."""
    found = []
    for eigenvalue in eigenvalues:
        low, high = 0.0, 100.0
        for _ in range(100):
            middle = (low + high) / 2
            variance = middle + 1e-30j + sigma_x**2
            slope = (-0.5 * (np.log(variance) + eigenvalue / variance)).imag
            low, high = (middle, high) if slope > 0 else (low, middle)
        found.append(low)
    return {"c^2": np.array(found)}


LENGTH = value(
    squared_length,
    length_by_search,
    above_and_below,
    (
        "Which variance of the model fits data of the variance lambda best? And if that is less than the noise?",
        "c^2 = lambda - sigma_x^2 where that is positive, and 0 elsewhere",
        "np.maximum(..., 0)",
    ),
    (
        Slip(
            lambda e, s: e - s**2,
            "elementwise-factor",
            "some are negative, which no square is: what is the best that can be had there?",
        ),
        Slip(
            lambda e, s: np.abs(e - s**2),
            "elementwise-factor",
            "below the noise, the absolute value makes the model's variance larger still: 0 is the best there",
        ),
        Slip(
            lambda e, s: np.where(e > s**2, e, 0),
            "missing-term",
            "the noise is not taken off: the model's variance is c^2 and the noise together",
        ),
        Slip(
            lambda e, s: np.maximum(e, s**2),
            "elementwise-factor",
            "this is r, the model's variance: c^2 is what it has beyond the noise",
        ),
        Slip(lambda e, s: e, "missing-term", "the noise has a variance, too: what is left for c^2?"),
        Slip(
            lambda e, s: np.maximum(e - s, 0),
            "elementwise-factor",
            "sigma_x is a standard deviation: variances are subtracted",
        ),
        Slip(
            lambda e, s: np.sqrt(np.maximum(e - s**2, 0)),
            "elementwise-factor",
            "this is c: its square is wanted",
        ),
        Slip(
            lambda e, s: np.minimum(e - s**2, 0),
            "elementwise-factor",
            "the smaller of the two is kept, where the larger is wanted: no square is negative",
        ),
        Slip(
            lambda e, s: np.maximum(s**2 - e, 0),
            "sign",
            "the other way round: a latent is worth it where the data vary more than the noise",
        ),
        Slip(
            lambda e, s: np.maximum(1 - s**2 / e, 0),
            "elementwise-factor",
            "this is the share of the variance that is no noise: c^2 is a variance",
        ),
    ),
)


def price(eigenvalues, sigma_x):
    """The mean KL of each latent at its best, 0 if it has collapsed: (Z,), a number -> (Z,)."""
    return np.maximum(0.5 * np.log(eigenvalues / sigma_x**2), 0)


def price_from_posteriors(eigenvalues: np.ndarray, sigma_x: float) -> dict[str, np.ndarray]:
    """From the posterior of a latent: its precision, and the mean square of its mean."""
    kl = []
    for eigenvalue in eigenvalues:
        c = np.sqrt(max(eigenvalue - sigma_x**2, 0))
        variance = 1 / (1 + c**2 / sigma_x**2)
        mean_square = (variance * c / sigma_x**2) ** 2 * eigenvalue
        kl.append(0.5 * (mean_square + variance - 1 - np.log(variance)))
    return {"kl": np.array(kl)}


PRICE = value(
    price,
    price_from_posteriors,
    above_and_below,
    (
        "Put the variance sigma_x^2 / lambda and the mean square 1 - sigma_x^2 / lambda into the KL. What cancels? And "
        "what does a latent pay that is not used?",
        "1/2 log(lambda / sigma_x^2) where lambda > sigma_x^2, and 0 elsewhere",
        "np.maximum(0.5 * np.log(...), 0)",
    ),
    (
        Slip(
            lambda e, s: 0.5 * np.log(e / s**2),
            "elementwise-factor",
            "some are negative, which no KL is: a latent below the threshold is not used, and pays nothing",
        ),
        Slip(
            lambda e, s: np.abs(0.5 * np.log(e / s**2)),
            "elementwise-factor",
            "below the threshold a latent is not used, and pays nothing: no absolute value",
        ),
        Slip(lambda e, s: np.maximum(np.log(e / s**2), 0), "factor", "the 1/2 is missing"),
        Slip(
            lambda e, s: np.maximum(0.5 * np.log(e / s), 0),
            "elementwise-factor",
            "sigma_x is a standard deviation: the eigenvalue is compared with its square",
        ),
        Slip(
            lambda e, s: np.maximum(0.5 * np.log(s**2 / e), 0),
            "sign",
            "the ratio is upside down: the posterior's variance sigma_x^2 / lambda has a minus before its logarithm",
        ),
        Slip(
            lambda e, s: np.maximum(0.5 * np.log2(e / s**2), 0),
            "factor",
            "these are bits: nats come with the natural logarithm",
        ),
        Slip(
            lambda e, s: np.where(e > s**2, 0.5 * (1 - s**2 / e), 0),
            "missing-term",
            "this is half the mean square of the means: the variance has its terms in the KL, too",
        ),
        Slip(
            lambda e, s: np.where(e > s**2, 0.5 * (s**2 / e - 1 - np.log(s**2 / e)), 0),
            "missing-term",
            "the mean square of mu is left out: this is the KL of an image whose code is 0",
        ),
        Slip(
            lambda e, s: np.where(e > s**2, 0.5 * ((1 - s**2 / e) ** 2 + s**2 / e - 1 - np.log(s**2 / e)), 0),
            "elementwise-factor",
            "1 - sigma_x^2 / lambda is squared: it is a mean square already",
        ),
        Slip(
            lambda e, s: 0.5 * np.log(1 + e / s**2),
            "elementwise-factor",
            "this would take the whole eigenvalue for c^2: c^2 + sigma_x^2 is the eigenvalue",
        ),
        Slip(
            lambda e, s: np.full(len(e), np.maximum(0.5 * np.log(e / s**2), 0).sum()),
            "elementwise-factor",
            "this is the KL of all latents together, for each",
        ),
        Slip(
            lambda e, s: np.maximum(0.5 * np.log(e / s**2), 0).sum(),
            "shape",
            "this is the KL of all latents together: each has its own",
        ),
    ),
)
