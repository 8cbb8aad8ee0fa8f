"""Two likelihoods: the nll of bits from logits, and the spread of a Gaussian that fits best.

Sizes: B images, D pixels.
"""

import numpy as np

from scratchvae.exercises.blank import Slip, value

B, D = 4, 5


def bernoulli_nll(x, logits):
    """-log p(x|z) of bits, from the logits: (B, D), (B, D) -> (B,)."""
    return (np.log(1 + np.exp(logits)) - x * logits).sum(axis=1)


def bits_and_logits(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return (rng.random((B, D)) < 0.4).astype(float), 2 * rng.standard_normal((B, D))


def by_products(x: np.ndarray, logits: np.ndarray) -> dict[str, np.ndarray]:
    """Minus the logarithm of the probability of the whole image, a product over its pixels."""
    p = 0.5 * (1 + np.tanh(logits / 2))
    return {"nll": -np.log(np.prod(np.where(x == 1, p, 1 - p), axis=1))}


def cross_entropy(x: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Of each pixel, (B, D)."""
    return -x * np.log(p) - (1 - x) * np.log(1 - p)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))


BERNOULLI = value(
    bernoulli_nll,
    by_products,
    bits_and_logits,
    (
        "What is the probability of one pixel, if it is 1 and if it is 0? What becomes of a product under a logarithm?",
        "the sum over d of log(1 + exp(l_d)) - x_d l_d",
        "(np.log(1 + np.exp(logits)) - ...).sum(axis=...)",
    ),
    (
        Slip(
            lambda x, a: cross_entropy(x, sigmoid(a)).mean(axis=1),
            "factor",
            "this is a mean over the pixels: the logarithm of a product is a sum",
        ),
        Slip(
            lambda x, a: cross_entropy(x, sigmoid(a)).sum(),
            "shape",
            "this adds up the images, too: one number for each is wanted",
        ),
        Slip(
            lambda x, a: cross_entropy(x, sigmoid(a)).mean(),
            "shape",
            "this is a mean over all pixels of all images: one sum for each image is wanted",
        ),
        Slip(
            lambda x, a: cross_entropy(x, sigmoid(a)),
            "shape",
            "these are the terms, one for each pixel: add up those of an image",
        ),
        Slip(
            lambda x, a: cross_entropy(x, sigmoid(a)).sum(axis=0),
            "shape",
            "this adds up the images, and has a number for each pixel: the sum is over the pixels",
        ),
        Slip(
            lambda x, a: -cross_entropy(x, sigmoid(a)).sum(axis=1),
            "sign",
            "this is log p(x|z): the nll is minus that",
        ),
        Slip(
            lambda x, a: cross_entropy(1 - x, sigmoid(a)).sum(axis=1),
            "elementwise-factor",
            "0 and 1 have changed places: where the pixel is 1, its probability is the sigmoid",
        ),
        Slip(
            lambda x, a: -(x * np.log(sigmoid(a))).sum(axis=1),
            "missing-term",
            "only the pixels that are 1 count here: those that are 0 have a probability, too",
        ),
        Slip(
            lambda x, a: cross_entropy(x, sigmoid(sigmoid(a))).sum(axis=1),
            "elementwise-factor",
            "the sigmoid is taken twice",
        ),
        Slip(
            lambda x, a: (np.log(1 + np.exp(a)) + x * a).sum(axis=1),
            "sign",
            "the sign of x times the logit is turned: a large logit makes a 1 probable",
        ),
        Slip(
            lambda x, a: np.log(1 + np.exp(a)).sum(axis=1),
            "missing-term",
            "this is the nll if every pixel is 0: what do those that are 1 take off?",
        ),
        Slip(
            lambda x, a: (np.log(1 + np.exp(-a)) - x * a).sum(axis=1),
            "sign",
            "1 - p is 1 / (1 + exp(l)): with exp(-l) it would be p",
        ),
        Slip(
            lambda x, a: -(np.log(1 + np.exp(a)) + x * a).sum(axis=1),
            "sign",
            "log(1 - p) is minus log(1 + exp(l)): that minus is lost",
        ),
        *(
            Slip(
                lambda x, a, small=small: (
                    -(x * np.log(sigmoid(a) + small) + (1 - x) * np.log(1 - sigmoid(a) + small)).sum(axis=1)
                ),
                "elementwise-factor",
                f"nearly right: {small:.0e} is added inside the logarithms; from the logits no such help is needed",
            )
            for small in (1e-7, 1e-6)
        ),
        Slip(
            lambda x, a: cross_entropy(x, a).sum(axis=1),
            "non-finite",
            "the logits stand where probabilities belong, and a negative number has no logarithm",
        ),
        Slip(
            lambda x, a: ((x - sigmoid(a)) ** 2).sum(axis=1),
            "elementwise-factor",
            "this is squared error, the loss of another likelihood",
        ),
    ),
    close=1e-6,  # 1e-8 inside the logarithms, as programs have it, is right as well
)


def best_sigma(x, m):
    """The sigma_x with the smallest nll of all images, whose means are m: (B, D), (B, D) -> a number."""
    return np.sqrt(np.mean((x - m) ** 2))


def images_and_means(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    m = rng.normal(0, 2, (B, D))
    return m + rng.normal(0.6, 1) + rng.uniform(0.3, 2) * rng.standard_normal((B, D)), m


def by_halving(x: np.ndarray, m: np.ndarray) -> dict[str, float]:
    """Where the slope of the nll in log sigma, N - S / sigma^2 for N pixels, crosses zero."""
    squares, low, high = sum(((a - b) ** 2).item() for a, b in zip(x.flat, m.flat, strict=True)), -20.0, 20.0
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (low, middle) if x.size > squares * np.exp(-2 * middle) else (middle, high)
    return {"sigma_x": float(np.exp(low))}


BEST_SIGMA = value(
    best_sigma,
    by_halving,
    images_and_means,
    (
        "Let S be the sum of all squared errors and n the number of all pixels. Where is the derivative of "
        "S / (2 sigma^2) + n log sigma zero?",
        "sigma_x^2 = the mean of (x - m)^2 over all images and pixels",
        "np.sqrt(np.mean(...))",
    ),
    (
        Slip(lambda x, m: np.mean((x - m) ** 2), "elementwise-factor", "this is the variance: its root is wanted"),
        Slip(
            lambda x, m: np.std(x - m),
            "elementwise-factor",
            "this takes the mean of the errors out first: the decoder's means are what they are",
        ),
        Slip(
            lambda x, m: np.std(x),
            "elementwise-factor",
            "this is the spread of the images themselves: take their distances from the means",
        ),
        Slip(
            lambda x, m: np.mean(np.abs(x - m)),
            "elementwise-factor",
            "this is the mean of the absolute errors: the Gaussian has squares",
        ),
        Slip(
            lambda x, m: np.sqrt(np.mean(((x - m) ** 2).sum(axis=1))),
            "factor",
            "the squares of a whole image are added up: sigma_x belongs to one pixel",
        ),
        Slip(
            lambda x, m: np.sqrt(((x - m) ** 2).sum()),
            "factor",
            "this is the root of the sum of all squares: a mean is wanted",
        ),
        Slip(
            lambda x, m: np.sqrt(((x - m) ** 2).sum() / x.shape[1]),
            "factor",
            "the squares of all images are divided by the pixels of one",
        ),
        Slip(
            lambda x, m: np.sqrt(((x - m) ** 2).mean(axis=1)).mean(),
            "elementwise-factor",
            "a root for each image, and then their mean: the root comes last, after the mean of all squares",
        ),
        Slip(
            lambda x, m: np.sqrt(np.mean((x - m) ** 2) / 2),
            "factor",
            "the 2 in S / (2 sigma^2) is gone after the derivative",
        ),
        Slip(
            lambda x, m: np.sqrt(((x - m) ** 2).mean(axis=1)),
            "shape",
            "this is a sigma_x for each image: all share one",
        ),
        Slip(
            lambda x, m: np.sqrt(((x - m) ** 2).mean(axis=0)),
            "shape",
            "this is a sigma_x for each pixel: all share one",
        ),
        Slip(
            lambda x, m: np.sqrt(((x - m) ** 2).sum() / (x.size - 1)),
            "factor",
            "no degree of freedom is lost, since the means were not computed from these errors: divide by n",
        ),
    ),
)
