"""A decoder, from a code to pixels, and the score of its pictures.

Sizes: N pictures, B batch, Z latent, H hidden, D pixels.
"""

import math

import numpy as np

from scratchvae.exercises.blank import Slip, value

N, B, Z, H, D = 7, 6, 2, 8, 5


def score(labels, digit):
    """The share of the ten labels that are this digit, for each picture: (N, 10), a number -> (N,)."""
    return (labels == digit).mean(axis=1)


def votes(rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """Labels among which the digit is neither rare nor the smallest, and where the first is not always it."""
    labels = rng.integers(0, 5, (N, 10))
    labels[0, :3], labels[1, :2] = (2, 2, 4), (4, 2)
    return labels, 2


def score_by_counting(labels: np.ndarray, digit: int) -> dict[str, np.ndarray]:
    return {"score": np.array([row.tolist().count(digit) / len(row) for row in labels])}


SCORE = value(
    score,
    score_by_counting,
    votes,
    (
        "Which of the ten are this digit? A comparison with == gives True or False for each. What is the mean of a "
        "row of those?",
        "score = (how many of the ten labels are the digit) / 10, row by row",
        "return (labels == ...).mean(axis=...)",
    ),
    (
        Slip(
            lambda labels, digit: (labels == digit).sum(axis=1),
            "factor",
            "this is the number of votes: the share of the ten is wanted",
        ),
        Slip(
            lambda labels, digit: (labels == digit).mean(axis=0),
            "transpose",
            "this goes down the columns: each picture has a row of ten, so the mean is along axis 1",
        ),
        Slip(
            lambda labels, digit: (labels == digit).mean(),
            "shape",
            "this is one number for all pictures: the mean is to be taken row by row",
        ),
        Slip(
            lambda labels, digit: (labels != digit).mean(axis=1),
            "sign",
            "these are the votes against: != where == belongs",
        ),
        Slip(
            lambda labels, digit: labels == digit,
            "shape",
            "this says of each label whether it is the digit: the share of a row is wanted",
        ),
        Slip(
            lambda labels, digit: labels.mean(axis=1),
            "missing-term",
            "a mean of labels: the digit is not used, and a 3 and a 5 would make a 4",
        ),
        Slip(
            lambda labels, digit: (labels == digit).any(axis=1),
            "elementwise-factor",
            "this says whether there is any vote at all: how many of the ten?",
        ),
        Slip(
            lambda labels, digit: labels[:, 0] == digit,
            "elementwise-factor",
            "this asks one of the ten alone: all of them vote",
        ),
        Slip(
            lambda labels, digit: (labels == digit).sum(axis=1) / len(labels),
            "factor",
            "len(labels) is the number of pictures: ten vote for each",
        ),
    ),
)


def decoder(z, W_h, b_h, W_x, b_x):
    """The probability that each pixel is lit, for each code: z (B, Z) -> (B, D).

    W_h (Z, H), b_h (H,), W_x (H, D), b_x (D,).
    """
    h = np.maximum(0, z @ W_h + b_h)
    return 1 / (1 + np.exp(-(h @ W_x + b_x)))


def a_small_decoder(rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Codes and weights, none of them 0, and logits of either sign."""
    shapes = ((B, Z), (Z, H), (H,), (H, D), (D,))
    sizes = (1.0, 1.0, 0.7, 0.5, 0.8)
    return tuple(size * rng.standard_normal(shape) for size, shape in zip(sizes, shapes, strict=True))


def decoder_by_loops(
    z: np.ndarray, W_h: np.ndarray, b_h: np.ndarray, W_x: np.ndarray, b_x: np.ndarray
) -> dict[str, np.ndarray]:
    """Unit by unit and pixel by pixel, with tanh for the S-shaped curve."""
    x_mean = np.zeros((len(z), len(b_x)))
    for n, code in enumerate(z.tolist()):
        sums = [b + sum(a * w for a, w in zip(code, W_h[:, j].tolist(), strict=True)) for j, b in enumerate(b_h)]
        for d, b in enumerate(b_x.tolist()):
            logit = b + sum(s * W_x[j, d] for j, s in enumerate(sums) if s > 0)
            x_mean[n, d] = (1 + math.tanh(logit / 2)) / 2
    return {"x_mean": x_mean}


def hidden(z: np.ndarray, W_h: np.ndarray, b_h: np.ndarray) -> np.ndarray:
    return np.maximum(0, z @ W_h + b_h)


def logistic(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))


DECODER = value(
    decoder,
    decoder_by_loops,
    a_small_decoder,
    (
        "Two steps of the same kind: a matrix product plus a row of numbers, then a bend. Which bend leads to numbers "
        "from 0 up, and which to numbers between 0 and 1?",
        "h = max(0, z W_h + b_h), and x_mean = 1 / (1 + e^-(h W_x + b_x))",
        "h = np.maximum(0, z @ ... + b_h); return 1 / (1 + np.exp(-(h @ ... + ...)))",
    ),
    (
        Slip(
            lambda z, W, b, V, c: hidden(z, W, b) @ V + c,
            "missing-term",
            "these are the logits, which may be any number: the S-shaped curve is missing",
        ),
        Slip(
            lambda z, W, b, V, c: logistic((z @ W + b) @ V + c),
            "missing-term",
            "the first bend is missing: without it both steps are one, and the hidden numbers of no use",
        ),
        Slip(
            lambda z, W, b, V, c: logistic(logistic(z @ W + b) @ V + c),
            "elementwise-factor",
            "the S-shaped curve stands in both places: the hidden numbers are max(0, ...)",
        ),
        Slip(
            lambda z, W, b, V, c: logistic(np.maximum(0, hidden(z, W, b) @ V + c)),
            "elementwise-factor",
            "max(0, ...) stands in the second step, too: so no pixel could be darker than 1/2",
        ),
        Slip(
            lambda z, W, b, V, c: logistic(-(hidden(z, W, b) @ V + c)),
            "sign",
            "a negative: in 1 / (1 + exp(-a)) the minus is missing",
        ),
        Slip(
            lambda z, W, b, V, c: logistic(np.minimum(0, z @ W + b) @ V + c),
            "sign",
            "the wrong half is kept: it is the positive sums that go on",
        ),
        Slip(
            lambda z, W, b, V, c: logistic(np.abs(z @ W + b) @ V + c),
            "elementwise-factor",
            "a negative sum becomes 0, and not its absolute value",
        ),
        Slip(
            lambda z, W, b, V, c: logistic(np.maximum(0, z @ W) @ V + c),
            "missing-term",
            "b_h is not in it",
        ),
        Slip(
            lambda z, W, b, V, c: logistic(np.maximum(0, z @ W) @ V),
            "missing-term",
            "neither b_h nor b_x is in it",
        ),
        Slip(
            lambda z, W, b, V, c: logistic(np.max(z @ W + b, 0) @ V + c),
            "shape",
            "np.max(a, 0) is the largest of each column: np.maximum(0, a) compares every entry with 0",
        ),
        Slip(
            lambda z, W, b, V, c: logistic(hidden(z, W, b) @ V),
            "missing-term",
            "b_x is not in it",
        ),
        Slip(
            lambda z, W, b, V, c: logistic((np.maximum(0, z @ W) + b) @ V + c),
            "elementwise-factor",
            "b_h is added after the bend: it belongs inside, to the sums that are bent",
        ),
        Slip(
            lambda z, W, b, V, c: logistic(hidden(z, W, b) @ V + c) > 0.5,
            "elementwise-factor",
            "rounded to black and white: the probabilities themselves are wanted",
        ),
        Slip(
            lambda z, W, b, V, c: np.clip(hidden(z, W, b) @ V + c, 0, 1),
            "elementwise-factor",
            "cut off at 0 and 1: the S-shaped curve comes near both, and bends on the way",
        ),
        Slip(
            lambda z, W, b, V, c: np.maximum(0, hidden(z, W, b) @ V + c),
            "elementwise-factor",
            "max(0, ...) stands in both places: a probability comes from the S-shaped curve",
        ),
        Slip(
            lambda z, W, b, V, c: np.tanh(hidden(z, W, b) @ V + c),
            "elementwise-factor",
            "tanh is S-shaped as well, but goes from -1 to 1: a probability is 1 / (1 + exp(-a))",
        ),
        Slip(
            lambda z, W, b, V, c: np.exp(hidden(z, W, b) @ V + c),
            "elementwise-factor",
            "exp alone may exceed 1: a probability is 1 / (1 + exp(-a))",
        ),
        Slip(
            lambda z, W, b, V, c: logistic(np.tanh(z @ W + b) @ V + c),
            "elementwise-factor",
            "tanh is another bend: this decoder was trained with max(0, ...)",
        ),
        Slip(
            lambda z, W, b, V, c: 1 / (1 + np.exp(-hidden(z, W, b) @ V + c)),
            "sign",
            "the minus is in front of the product only: -(h @ W_x + b_x), with the brackets",
        ),
    ),
)
