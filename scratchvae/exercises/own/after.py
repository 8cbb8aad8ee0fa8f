"""What a trained model is good for: a number with its error, pictures, and the sheet that they stand on.

Sizes: B batch, D pixels, H hidden units, Z latents.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from scratchvae.exercises.blank import Slip, value
from scratchvae.exercises.own import oracle
from scratchvae.exercises.own.halves import decode
from scratchvae.exercises.own.objective import forward
from scratchvae.exercises.own.oracle import B, D, Z, bits, drawn_params
from scratchvae.exercises.own.told import in_a_row

MANY = 2000  # examples, so that it does not matter whether N or N - 1 is divided by


def evaluate(params, x, eps):
    """The mean ELBO of N images, and its standard error: x (N, D), eps (N, Z) -> two numbers."""
    elbo = forward(params, x, eps, 1.0)["objective"]
    return elbo.mean(), elbo.std() / np.sqrt(len(elbo))


def elbos(params: Any, x: Any, eps: Any) -> np.ndarray:
    return oracle.library(params).objective(x, eps)[0].elbo


def evaluate_by_sums(params: Any, x: Any, eps: Any) -> dict[str, float]:
    elbo = elbos(params, x, eps)
    mean, square = sum(elbo) / MANY, sum(elbo**2) / MANY
    return {"mean": mean, "standard error": np.sqrt((square - mean**2) / MANY)}


def evaluate_with(change: Callable[..., Any]) -> Callable[..., Any]:
    """A wrong answer, from elbo, nll and kl (N,)."""

    def answer(params: Any, x: Any, eps: Any) -> Any:
        made = oracle.everything(params, x, eps, 1.0)
        return change(made["objective"], made["nll"], made["kl"])

    return answer


EVALUATE = value(
    evaluate,
    evaluate_by_sums,
    lambda rng: (drawn_params(rng), bits(rng, MANY), rng.standard_normal((MANY, Z))),
    (
        "At which beta is the objective the ELBO? By what is a standard deviation divided to give the error of a mean?",
        "mean = sum_n elbo_n / N, error = std / sqrt(N)",
        'elbo = forward(params, x, eps, 1.0)["objective"], then elbo.mean() and elbo.std() / ...',
    ),
    (
        Slip(
            evaluate_with(lambda e, n, k: (e.mean(), e.std())), "factor", "the second is the spread of one image's ELBO"
        ),
        Slip(
            evaluate_with(lambda e, n, k: (e.mean(), e.std() / len(e))),
            "factor",
            "the error is divided by N: errors of means shrink with the root",
        ),
        Slip(
            evaluate_with(lambda e, n, k: (e.mean(), e.var() / np.sqrt(len(e)))),
            "unknown",
            "the variance stands where the standard deviation belongs",
        ),
        Slip(
            evaluate_with(lambda e, n, k: (e.mean(), e.var() / len(e))),
            "unknown",
            "this is the error squared: its root is missing",
        ),
        Slip(
            evaluate_with(lambda e, n, k: (e.mean(), e.std(ddof=1))),
            "factor",
            "the second is how far one image's ELBO is from the mean: that of a mean of N is smaller",
        ),
        Slip(
            evaluate_with(lambda e, n, k: (e.mean(), e.std(ddof=1) / len(e))),
            "factor",
            "the error is divided by N, and not by its root",
        ),
        Slip(
            evaluate_with(lambda e, n, k: (e.mean(), e.var(ddof=1) / np.sqrt(len(e)))),
            "unknown",
            "a variance is divided by the root of N: that belongs to a standard deviation",
        ),
        Slip(
            evaluate_with(lambda e, n, k: (e.mean(), e.var(ddof=1) / len(e))),
            "unknown",
            "this is the variance of the mean: the error is its root",
        ),
        Slip(
            evaluate_with(lambda e, n, k: (-n.mean(), n.std(ddof=1) / np.sqrt(len(n)))),
            "missing-term",
            "this is -nll alone, without the KL",
        ),
        Slip(
            evaluate_with(lambda e, n, k: (e.std() / np.sqrt(len(e)), e.mean())),
            "transpose",
            "the two are swapped: the mean comes first",
        ),
        Slip(
            evaluate_with(lambda e, n, k: ((k - n).mean(), (k - n).std() / np.sqrt(len(e)))),
            "sign",
            "the KL is added: the ELBO is -nll - kl",
        ),
        Slip(
            evaluate_with(lambda e, n, k: (-e.mean(), e.std() / np.sqrt(len(e)))),
            "sign",
            "the mean has the wrong sign: an ELBO of bits is negative",
        ),
        Slip(
            evaluate_with(lambda e, n, k: (-n.mean(), n.std() / np.sqrt(len(n)))),
            "missing-term",
            "the KL is missing: this is the first term alone",
        ),
        Slip(
            evaluate_with(lambda e, n, k: (e.sum(), e.std() * np.sqrt(len(e)))),
            "factor",
            "these are a sum over the images and its error: the mean is asked for",
        ),
    ),
    close=5e-4,
)


def sample(params, z, u):
    """Pictures from codes: the probability of a lit pixel, and bits, 1 where u is below it.

    z (B, Z), u (B, D) uniform between 0 and 1 -> x_mean (B, D), x_sample (B, D).
    """
    logits, _ = decode(params, z)
    x_mean = 1 / (1 + np.exp(-logits))
    return x_mean, (u < x_mean).astype(float)


def sample_by_pixels(params: Any, z: Any, u: Any) -> dict[str, Any]:
    p = oracle.library(params).decode(z)[0]
    p = 0.5 * (1 + np.tanh(0.5 * p))
    return {
        "x_mean": p,
        "x_sample": np.array([[float(b < a) for a, b in zip(*row, strict=True)] for row in zip(p, u, strict=True)]),
    }


def sample_with(change: Callable[..., Any]) -> Callable[..., Any]:
    """A wrong answer, from the logits, the probabilities and u."""

    def answer(params: Any, z: Any, u: Any) -> Any:
        logits, _ = oracle.pixels(params, z)
        return change(logits, 1 / (1 + np.exp(-logits)), u)

    return answer


SAMPLE = value(
    sample,
    sample_by_pixels,
    lambda rng: (drawn_params(rng), rng.standard_normal((B, Z)), rng.random((B, D))),
    (
        "What does the decoder give, and how does it become a probability? How often is a uniform number below 0.3?",
        "x_mean = 1 / (1 + exp(-logits)); x_sample is 1 where u < x_mean, and 0 elsewhere",
        "logits, _ = decode(params, z), the sigmoid, and (u < ...).astype(float)",
    ),
    (
        Slip(
            sample_with(lambda a, p, u: (a, (u < a).astype(float))),
            "unknown",
            "the logits are taken for probabilities: the sigmoid is missing",
        ),
        Slip(
            sample_with(lambda a, p, u: (p, (u < a).astype(float))),
            "unknown",
            "u is compared with the logits: it belongs beside the probabilities",
        ),
        Slip(
            sample_with(lambda a, p, u: (a, (u < p).astype(float))),
            "unknown",
            "x_mean holds the logits: the probabilities are asked for",
        ),
        Slip(
            sample_with(lambda a, p, u: (1 - p, (u < 1 - p).astype(float))),
            "sign",
            "these are the probabilities of a dark pixel: the sigmoid has exp(-l) in it",
        ),
        Slip(
            sample_with(lambda a, p, u: (p, (u > p).astype(float))),
            "unknown",
            "x_sample is lit where u is above: that is a negative, lit with the probability 1 - p",
        ),
        Slip(
            sample_with(lambda a, p, u: (p, (p > 0.5).astype(float))),
            "zero",
            "x_sample is the mean cut at a half: nothing is drawn, and u has no influence",
        ),
        Slip(
            sample_with(lambda a, p, u: (p, (u < 0.5).astype(float))),
            "unknown",
            "u is compared with a half: that is a coin for each pixel, whatever the decoder says",
        ),
        Slip(
            sample_with(lambda a, p, u: ((u < p).astype(float), p)),
            "transpose",
            "the two are swapped: the mean comes first",
        ),
        Slip(sample_with(lambda a, p, u: (p, p)), "zero", "both are the mean: a draw holds zeros and ones"),
        Slip(
            sample_with(lambda a, p, u: (np.tanh(a), (u < np.tanh(a)).astype(float))),
            "unknown",
            "tanh is no probability: it goes from -1 to 1",
        ),
    ),
)
SAMPLE = in_a_row(SAMPLE, "x_mean", "x_sample")


def sheet(x, rows, columns, side):
    """Square pictures side by side, a row of them full before the next, as one large picture.

    x (rows columns, side^2) -> (rows side, columns side)
    """
    tiles = x.reshape(rows, columns, side, side)
    return tiles.transpose(0, 2, 1, 3).reshape(rows * side, columns * side)


def sheet_by_pixels(x: Any, rows: int, columns: int, side: int) -> dict[str, Any]:
    large = np.zeros((rows * side, columns * side))
    for n, picture in enumerate(x):
        for d, pixel in enumerate(picture):
            large[n // columns * side + d // side, n % columns * side + d % side] = pixel
    return {"sheet": large}


SHEET = value(
    sheet,
    sheet_by_pixels,
    lambda rng: (rng.standard_normal((6, 16)), 2, 3, 4),
    (
        "A picture has two axes, and the sheet of pictures has two. In a line of the large picture, which of the four "
        "runs fastest, and which next?",
        "x as (rows, columns, side, side), the middle two axes swapped, then as (rows side, columns side)",
        "x.reshape(rows, columns, side, side).transpose(0, 2, 1, 3) and a second reshape",
    ),
    (
        Slip(
            lambda x, r, c, s: x.reshape(r * s, c * s),
            "transpose",
            "the pictures are cut into stripes: one line of the large picture crosses all pictures of a row",
        ),
        Slip(
            lambda x, r, c, s: x.reshape(r, c, s, s).transpose(0, 3, 1, 2).reshape(r * s, c * s),
            "transpose",
            "each picture is turned over its diagonal: lines and columns of pixels are swapped",
        ),
        Slip(
            lambda x, r, c, s: x.reshape(c, r, s, s).transpose(1, 2, 0, 3).reshape(r * s, c * s),
            "transpose",
            "the pictures run down the columns: fill a row first",
        ),
        Slip(
            lambda x, r, c, s: np.block([[x[i * r + j].reshape(s, s) for j in range(c)] for i in range(r)]),
            "unknown",
            "a new row begins after `rows` pictures: a row holds as many as there are columns",
        ),
        Slip(
            lambda x, r, c, s: x.reshape(r, c, s, s).transpose(0, 2, 1, 3)[..., ::-1].reshape(r * s, c * s),
            "transpose",
            "each picture is mirrored",
        ),
        Slip(
            lambda x, r, c, s: x.reshape(r * c * s, s),
            "shape",
            "the pictures stand in one column: the sheet is (rows side, columns side)",
        ),
        Slip(
            lambda x, r, c, s: x.reshape(r, c, s, s)[:, :, ::-1].transpose(0, 2, 1, 3).reshape(r * s, c * s),
            "transpose",
            "each picture stands on its head",
        ),
    ),
)
