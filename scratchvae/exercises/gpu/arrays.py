"""Functions that work wherever their arrays lie.

Sizes: B batch, K draws, Z latents.
"""

import numpy as np

from scratchvae.backend import as_backend, get_xp
from scratchvae.exercises.blank import Slip, value
from scratchvae.exercises.gpu.device import on_both

B, K, Z = 4, 5, 3


def log_mean_exp(x):
    """log of the mean of exp(x) over each row, in the library of x: (B, K) -> (B,)."""
    xp = get_xp(x)
    return xp.log(xp.exp(x).mean(axis=1))


def log_mean_exp_two_at_a_time(x: np.ndarray) -> dict[str, np.ndarray]:
    return {"log_mean_exp": np.logaddexp.reduce(x, axis=1) - np.log(x.shape[1])}


LOG_MEAN_EXP = on_both(
    value(
        log_mean_exp,
        log_mean_exp_two_at_a_time,
        lambda rng: (2 * rng.standard_normal((B, K)),),
        (
            "Which library does x belong to, and which function says so? From which module do exp and log come then?",
            "log (1/K sum_k e^(x_bk)) for each row b, with exp and log taken from get_xp(x)",
            "xp = get_xp(x); return xp.log(xp.exp(x).mean(axis=...))",
        ),
        (
            Slip(
                lambda x: x.mean(axis=1),
                "missing-term",
                "this is the mean of x, or exp and log have undone each other: the mean belongs between them",
            ),
            Slip(
                lambda x: np.log(np.exp(x).sum(axis=1)),
                "missing-term",
                "a sum where the mean belongs: too much by log K",
            ),
            Slip(
                lambda x: np.log(np.exp(x).mean(axis=0)),
                "shape",
                "this is the mean over the batch: each row has its own",
            ),
            Slip(lambda x: np.log(np.exp(x).mean()), "shape", "this is the mean over everything: one per row"),
            Slip(lambda x: np.exp(x).mean(axis=1), "missing-term", "the logarithm of this mean is missing"),
            Slip(lambda x: x.max(axis=1), "missing-term", "this is the largest alone: the others add to it"),
            Slip(
                lambda x: np.log(np.exp(x)).sum(axis=1),
                "missing-term",
                "this is the sum of x: log stands inside, and undoes exp before anything is added",
            ),
            Slip(
                lambda x: np.log(np.exp(x).mean(axis=1)) / x.shape[1],
                "factor",
                "divided by K outside the logarithm: the mean inside has done that already",
            ),
        ),
    )
)


def draw_z(mu, sigma, eps):
    """z = mu + sigma eps, (B, Z) each, where mu lies and in its dtype.

    eps comes from NumPy: it is float64, and lies on the host.
    """
    eps = as_backend(eps, get_xp(mu), mu.dtype)
    return mu + sigma * eps


def draw_by_loop(mu: np.ndarray, sigma: np.ndarray, eps: np.ndarray) -> dict[str, np.ndarray]:
    rows = zip(mu.tolist(), sigma.tolist(), eps.tolist(), strict=True)
    return {"z": np.array([[m + s * e for m, s, e in zip(*row, strict=True)] for row in rows])}


DRAW = on_both(
    value(
        draw_z,
        draw_by_loop,
        lambda rng: (
            rng.standard_normal((B, Z)),
            rng.uniform(0.5, 2, (B, Z)),
            rng.standard_normal((B, Z)),
        ),
        (
            "Two of the three arrays lie in one place, and one lies on the host. Which one should move, and what else "
            "about it is different?",
            "as_backend(array, library, dtype) gives the same numbers in another library and dtype",
            "eps = as_backend(eps, get_xp(...), ...); return mu + sigma * eps",
        ),
        (
            Slip(lambda m, s, e: m + s**2 * e, "elementwise-factor", "the variance stands where sigma belongs"),
            Slip(lambda m, s, e: m + e, "elementwise-factor", "sigma is missing: every latent is spread alike"),
            Slip(lambda m, s, e: m + s, "elementwise-factor", "eps is missing: nothing is random"),
            Slip(lambda m, s, e: s * e, "missing-term", "mu is missing"),
            Slip(lambda m, s, e: m * e + s, "elementwise-factor", "mu and sigma have changed places"),
            Slip(lambda m, s, e: m - s * e, "sign", "minus: as good a draw, and not the one of this eps"),
            Slip(
                lambda m, s, e: m + np.sqrt(s) * e, "elementwise-factor", "the root of sigma, which is a spread already"
            ),
            Slip(lambda m, s, e: (m + s) * e, "elementwise-factor", "eps multiplies mu as well: a bracket is too much"),
        ),
    ),
    host=(2,),
)


def norm_of(grads):
    """The root of the sum of the squares of all entries, as a Python float, with one wait.

    grads: name -> array, of any shape.
    """
    total = sum((g * g).sum() for g in grads.values())
    return float(total) ** 0.5


def norm_by_numpy(grads: dict[str, np.ndarray]) -> dict[str, float]:
    return {"norm": float(np.linalg.norm(np.concatenate([g.ravel() for g in grads.values()])))}


NORM = on_both(
    value(
        norm_of,
        norm_by_numpy,
        lambda rng: (
            {
                "W": rng.standard_normal((B, K)),
                "b": rng.standard_normal(K),
                "V": rng.standard_normal((K, Z)),
                "c": rng.standard_normal(Z),
            },
        ),
        (
            "Where are the squares added? What does float() do to a number that is still being computed, and how often "
            "do you call it?",
            "norm = sqrt(sum over all arrays g of sum of g^2): one float(), around the whole sum",
            "total = sum((g * g).sum() for g in grads.values()); return float(...) ** ...",
        ),
        (
            Slip(lambda d: sum((g * g).sum() for g in d.values()), "missing-term", "the root is missing"),
            Slip(
                lambda d: sum(np.sqrt((g * g).sum()) for g in d.values()),
                "elementwise-factor",
                "a sum of norms: the root belongs around the sum of all squares",
            ),
            Slip(
                lambda d: sum((g * g).mean() for g in d.values()) ** 0.5,
                "elementwise-factor",
                "a mean of squares: large arrays should weigh more",
            ),
            Slip(
                lambda d: (sum((g * g).sum() for g in d.values()) / sum(g.size for g in d.values())) ** 0.5,
                "factor",
                "divided by the number of entries: that is a typical entry, not the length",
            ),
            Slip(
                lambda d: sum(np.abs(g).sum() for g in d.values()),
                "elementwise-factor",
                "a sum of sizes: squares are wanted, and a root",
            ),
            Slip(
                lambda d: max(np.abs(g).max() for g in d.values()),
                "elementwise-factor",
                "this is the largest entry",
            ),
            Slip(
                lambda d: (list(d.values())[-1] ** 2).sum() ** 0.5,
                "missing-term",
                "this is the last array alone: keep what has been added so far",
            ),
            Slip(
                lambda d: sum(g.sum() ** 2 for g in d.values()) ** 0.5,
                "elementwise-factor",
                "the sums are squared: square the entries first, then add",
            ),
        ),
    ),
    waits=1,
    number=True,
)
