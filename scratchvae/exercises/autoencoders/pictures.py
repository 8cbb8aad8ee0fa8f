"""What a decoder makes of codes, and how far it is from the image.

Sizes: N images, D pixels, Z numbers in a code.
"""

from typing import Any

import numpy as np

from scratchvae.exercises.blank import Slip, value

N, D, Z = 6, 5, 2


def reconstruct(x, W_e, b_e, W_d, b_d):
    """The picture of each image by way of its code: (N, D) -> (N, D).

    x (N, D), W_e (D, Z), b_e (Z,), W_d (Z, D), b_d (D,).
    """
    z = x @ W_e + b_e
    return z @ W_d + b_d


def linear_weights(rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    return tuple(rng.standard_normal(shape) for shape in ((N, D), (D, Z), (Z,), (Z, D), (D,)))


def reconstruct_by_sums(
    x: np.ndarray, W_e: np.ndarray, b_e: np.ndarray, W_d: np.ndarray, b_d: np.ndarray
) -> dict[str, np.ndarray]:
    """Number by number."""
    picture = np.zeros(x.shape)
    for n, row in enumerate(x):
        code = [b_e[k] + sum(row[d] * W_e[d, k] for d in range(D)) for k in range(Z)]
        picture[n] = [b_d[d] + sum(code[k] * W_d[k, d] for k in range(Z)) for d in range(D)]
    return {"x_hat": picture}


RECONSTRUCT = value(
    reconstruct,
    reconstruct_by_sums,
    linear_weights,
    (
        "The encoder makes Z numbers of each image, the decoder D numbers of these. What is added in each half?",
        "z = x W_e + b_e, then x_hat = z W_d + b_d",
        "z = x @ ... + b_e; return z @ ... + b_d",
    ),
    (
        Slip(
            lambda x, W_e, b_e, W_d, b_d: x @ W_e + b_e,
            "shape",
            "this is the code: the decoder is still to come",
        ),
        Slip(
            lambda x, W_e, b_e, W_d, b_d: x @ W_e @ W_d,
            "missing-term",
            "both offsets are missing: the picture of a black image would be black, whatever the images are",
        ),
        Slip(
            lambda x, W_e, b_e, W_d, b_d: x @ W_e @ W_d + b_d,
            "missing-term",
            "the code lacks its offset b_e",
        ),
        Slip(
            lambda x, W_e, b_e, W_d, b_d: (x @ W_e + b_e) @ W_d,
            "missing-term",
            "the picture lacks its offset b_d",
        ),
        Slip(
            lambda x, W_e, b_e, W_d, b_d: (x @ W_d.T + b_e) @ W_e.T + b_d,
            "transpose",
            "encoder and decoder have changed places, and were transposed so that it fits",
        ),
        Slip(
            lambda x, W_e, b_e, W_d, b_d: (x @ W_e + b_e) @ W_e.T + b_d,
            "elementwise-factor",
            "the decoder is the encoder, transposed: it has a matrix of its own, W_d",
        ),
        Slip(
            lambda x, W_e, b_e, W_d, b_d: ((x - b_d) @ W_e + b_e) @ W_d + b_d,
            "missing-term",
            "b_d is taken off the image first: the encoder has an offset of its own, and sees x as it is",
        ),
        Slip(
            lambda x, W_e, b_e, W_d, b_d: np.maximum(x @ W_e + b_e, 0) @ W_d + b_d,
            "elementwise-factor",
            "negative codes are set to zero: this decoder takes any number",
        ),
        Slip(
            lambda x, W_e, b_e, W_d, b_d: 1 / (1 + np.exp(-((x @ W_e + b_e) @ W_d + b_d))),
            "elementwise-factor",
            "the picture is pressed between 0 and 1: this decoder is linear, and ends with its offset",
        ),
        Slip(
            lambda x, W_e, b_e, W_d, b_d: (x @ W_e - b_e) @ W_d - b_d,
            "sign",
            "the offsets have the wrong sign",
        ),
    ),
)


def squared_errors(x, x_hat):
    """The squared distance of each picture from its image: (N, D), (N, D) -> (N,)."""
    return ((x - x_hat) ** 2).sum(axis=1)


def errors_by_products(x: np.ndarray, x_hat: np.ndarray) -> dict[str, np.ndarray]:
    """|a - b|^2 = |a|^2 - 2 a b + |b|^2, row by row."""
    return {"errors": np.array([a @ a - 2 * (a @ b) + b @ b for a, b in zip(x, x_hat, strict=True)])}


ERRORS = value(
    squared_errors,
    errors_by_products,
    lambda rng: tuple(rng.standard_normal((2, N, D))),
    (
        "One number for each image. Over which of the two axes of x - x_hat do you add, and what do you add?",
        "sum over d of (x_nd - x_hat_nd)^2, for each n",
        "((...) ** 2).sum(axis=...)",
    ),
    (
        Slip(
            lambda x, y: ((x - y) ** 2).mean(axis=1),
            "factor",
            "this is the mean over the pixels: wanted is their sum, so that larger images can have larger errors",
        ),
        Slip(lambda x, y: ((x - y) ** 2).sum(), "batch-sum", "the images are added up as well: one number each"),
        Slip(lambda x, y: ((x - y) ** 2).mean(), "batch-sum", "one number for all images and pixels: one for each"),
        Slip(
            lambda x, y: ((x - y) ** 2).sum(axis=1).mean(),
            "batch-sum",
            "the mean over the images comes later: here each has its own number",
        ),
        Slip(
            lambda x, y: ((x - y) ** 2).sum(axis=0),
            "transpose",
            "this has a number for each pixel, and adds over the images: the other axis",
        ),
        Slip(lambda x, y: (x - y) ** 2, "shape", "the pixels are not added up yet"),
        Slip(
            lambda x, y: np.linalg.norm(x - y, axis=1),
            "elementwise-factor",
            "this is the distance: wanted is its square",
        ),
        Slip(lambda x, y: np.abs(x - y).sum(axis=1), "elementwise-factor", "absolute values, where squares belong"),
        Slip(
            lambda x, y: (x - y).sum(axis=1),
            "elementwise-factor",
            "too bright here and too dark there cancel: square before you add",
        ),
        Slip(
            lambda x, y: (x - y).sum(axis=1) ** 2,
            "elementwise-factor",
            "this is the square of a sum: wanted is the sum of the squares",
        ),
        Slip(
            lambda x, y: (x**2 - y**2).sum(axis=1),
            "elementwise-factor",
            "a difference of squares: wanted is the square of the difference",
        ),
    ),
)


def halfway(x_1, x_2, encode, decode):
    """The pictures of the codes halfway between those of x_1 and x_2: (N, D) each -> (N, D).

    encode takes images (N, D) to codes (N, Z), decode takes codes to pictures.
    """
    return decode((encode(x_1) + encode(x_2)) / 2)


def two_halves(rng: np.random.Generator) -> tuple[Any, ...]:
    """Images, and an encoder and a decoder that are bent."""
    W_e, W_d = rng.standard_normal((D, Z)), rng.standard_normal((Z, D))
    x_1, x_2 = rng.standard_normal((2, N, D))
    return x_1, x_2, lambda x: np.tanh(x @ W_e) + 0.3, lambda z: np.exp(z @ W_d)


def halfway_by_rows(x_1: np.ndarray, x_2: np.ndarray, encode: Any, decode: Any) -> dict[str, np.ndarray]:
    """From the first code half of the way to the second, one pair after the other."""
    codes = [(encode(a[None]), encode(b[None])) for a, b in zip(x_1, x_2, strict=True)]
    return {"pictures": np.concatenate([decode(a + 0.5 * (b - a)) for a, b in codes])}


HALFWAY = value(
    halfway,
    halfway_by_rows,
    two_halves,
    (
        "In which space is the middle taken: of the images, of the codes, or of the pictures?",
        "g((f(x_1) + f(x_2)) / 2), with the encoder f and the decoder g",
        "decode((... + ...) / 2)",
    ),
    (
        Slip(
            lambda a, b, f, g: (a + b) / 2,
            "elementwise-factor",
            "this is the mean of the two images: no code has been used",
        ),
        Slip(
            lambda a, b, f, g: g((f(b) - f(a)) / 2),
            "missing-term",
            "this is half of the way between the two codes: it begins at the first one",
        ),
        Slip(
            lambda a, b, f, g: g(f((a + b) / 2)),
            "elementwise-factor",
            "this is the picture of the mean image: take the mean of the codes",
        ),
        Slip(
            lambda a, b, f, g: (g(f(a)) + g(f(b))) / 2,
            "elementwise-factor",
            "this is the mean of the two pictures: take the mean before you decode",
        ),
        Slip(lambda a, b, f, g: (f(a) + f(b)) / 2, "shape", "these are codes: decode them"),
        Slip(lambda a, b, f, g: g(f(a) + f(b)), "factor", "the codes are added: their middle is half of that"),
        Slip(
            lambda a, b, f, g: g(f(a) + f(b) / 2),
            "factor",
            "only the second code is halved: put the sum in brackets",
        ),
        Slip(
            lambda a, b, f, g: g(f(a) / 2 + f(b)),
            "factor",
            "only the first code is halved: the second should be, too",
        ),
        Slip(
            lambda a, b, f, g: g((f(a) - f(b)) / 2),
            "sign",
            "half of the difference: the middle of two equal codes would be 0",
        ),
        Slip(lambda a, b, f, g: g(f(a)), "missing-term", "these are the pictures of x_1: where is x_2?"),
    ),
)
