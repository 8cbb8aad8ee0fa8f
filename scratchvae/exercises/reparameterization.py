"""The blanks of the page on the reparameterization trick.

Sizes: K draws.
"""

from typing import Any

import numpy as np

from scratchvae.exercises.blank import Blank, Slip, value
from scratchvae.exercises.score import SCORE, SCORE_ESTIMATE, K
from scratchvae.exercises.steps import slope


def f(z: Any) -> Any:
    """A function to take means of: neither odd nor even, and not linear."""
    return z**2 + np.sin(z) + 0.5 * z


def average(f, mu, sigma, eps):
    """The mean of f over the draws from N(mu, sigma^2) that these eps from N(0, 1) make: eps is (K,)."""
    return f(mu + sigma * eps).mean()


def average_by_a_loop(f: Any, mu: float, sigma: float, eps: np.ndarray) -> dict[str, float]:
    return {"mean": float(sum(f(mu + sigma * e) for e in eps.tolist()) / len(eps))}


AVERAGE = value(
    average,
    average_by_a_loop,
    lambda rng: (f, float(rng.normal()), float(np.exp(rng.normal())), rng.normal(size=K)),
    (
        "Each eps is a draw from N(0, 1). What makes a draw from N(mu, sigma^2) of it? And of what is the mean taken?",
        "(1/K) sum_k f(mu + sigma eps_k)",
        "f(...).mean()",
    ),
    (
        Slip(
            lambda f, mu, sigma, eps: f((mu + sigma * eps).mean()),
            "elementwise-factor",
            "this is f of the mean of the draws: wanted is the mean of f",
        ),
        Slip(
            lambda f, mu, sigma, eps: f(mu),
            "missing-term",
            "there is no noise in it: f at the mean is not the mean of f",
        ),
        Slip(
            lambda f, mu, sigma, eps: f(mu + sigma**2 * eps).mean(),
            "elementwise-factor",
            "these draws have the variance sigma^4: eps is to be multiplied by the standard deviation",
        ),
        Slip(
            lambda f, mu, sigma, eps: f(mu + eps).mean(), "elementwise-factor", "these draws scatter by 1, not by sigma"
        ),
        Slip(
            lambda f, mu, sigma, eps: f(sigma * eps).mean(),
            "missing-term",
            "these draws scatter around 0: where is mu?",
        ),
        Slip(
            lambda f, mu, sigma, eps: (mu + sigma * eps).mean(),
            "missing-term",
            "f is missing: this is the mean of the draws themselves",
        ),
        Slip(
            lambda f, mu, sigma, eps: f((eps - mu) / sigma).mean(),
            "elementwise-factor",
            "this is the way back, from z to eps: here eps is given, and z is made from it",
        ),
        Slip(
            lambda f, mu, sigma, eps: f(mu + np.sqrt(sigma) * eps).mean(),
            "elementwise-factor",
            "sigma is the standard deviation already, and not the variance: it needs no root",
        ),
        Slip(
            lambda f, mu, sigma, eps: (f(mu + sigma * eps) * np.exp(-(eps**2) / 2) / np.sqrt(2 * np.pi)).mean(),
            "elementwise-factor",
            "a density stands in it: likely draws come more often already, and need no weight",
        ),
        Slip(
            lambda f, mu, sigma, eps: f(mu + np.exp(sigma) * eps).mean(),
            "elementwise-factor",
            "sigma is handed in itself, not its logarithm: it needs no exp",
        ),
        Slip(
            lambda f, mu, sigma, eps: f(mu + np.exp(sigma / 2) * eps).mean(),
            "elementwise-factor",
            "sigma is handed in itself, not the log-variance: it needs no exp",
        ),
        Slip(
            lambda f, mu, sigma, eps: f(sigma + mu * eps).mean(),
            "transpose",
            "mu and sigma are exchanged: which of them moves the mean?",
        ),
        Slip(lambda f, mu, sigma, eps: f(mu + sigma * eps), "shape", "one number for each draw: take their mean"),
        Slip(lambda f, mu, sigma, eps: f(mu + sigma * eps).sum(), "factor", "a sum, where a mean belongs"),
        Slip(
            lambda f, mu, sigma, eps: f((mu + eps) * sigma).mean(),
            "elementwise-factor",
            "mu is scaled as well: the mean of the draws should be mu itself",
        ),
    ),
)


def path_estimate(df_of_z, eps):
    """What each draw says about dF/dmu and dF/dsigma along its path: (K,), (K,) -> (K,), (K,)."""
    return df_of_z, df_of_z * eps


def path_by_steps(df_of_z: np.ndarray, eps: np.ndarray) -> dict[str, np.ndarray]:
    """Slopes of sum_k c_k z_k, the straight line with the slopes of f at the draws."""
    mu, sigma = np.zeros(len(eps)), np.ones(len(eps))
    return {
        "dF/dmu": slope(lambda at: (df_of_z * (at + sigma * eps)).sum(), mu),
        "dF/dsigma": slope(lambda at: (df_of_z * (mu + at * eps)).sum(), sigma),
    }


PATH_ESTIMATE = value(
    path_estimate,
    path_by_steps,
    lambda rng: tuple(rng.normal(size=(2, K))),
    (
        "f(z) changes by f'(z) times the change of z. By how much does z = mu + sigma eps change with mu, and with "
        "sigma?",
        "f'(z_k) (dz_k/dmu) and f'(z_k) (dz_k/dsigma)",
        "df_of_z times 1, df_of_z times what sigma is multiplied with",
    ),
    (
        Slip(lambda d, e: (d * e, d), "transpose", "the two are swapped"),
        Slip(lambda d, e: (d, d), "elementwise-factor", "the second: a change of sigma moves z by eps as much"),
        Slip(
            lambda d, e: (np.ones_like(e), e),
            "elementwise-factor",
            "these are the slopes of z: the one of f is missing",
        ),
        Slip(lambda d, e: (d * e, d * e**2), "elementwise-factor", "both have an eps too many"),
        Slip(
            lambda d, e: (d, d * np.abs(e)),
            "sign",
            "the second loses the sign of eps: where it is negative, a larger sigma takes z down",
        ),
        Slip(
            lambda d, e: (d.mean(), (d * e).mean()),
            "shape",
            "these are means: one number for each draw is wanted, so that their spread can be seen",
        ),
        Slip(lambda d, e: (d / len(e), d * e / len(e)), "factor", "these are divided by K: the means are taken later"),
        Slip(
            lambda d, e: (d * e, d * (e**2 - 1)),
            "elementwise-factor",
            "eps and eps^2 - 1 belong to the score: by how much does z move with mu, and with sigma?",
        ),
        Slip(
            lambda d, e: (d, d * (e**2 - 1)),
            "elementwise-factor",
            "the second mixes both estimators: e^2 - 1 belongs to the score",
        ),
    ),
)

BLANKS: dict[str, Blank] = {
    "average": AVERAGE,
    "path": PATH_ESTIMATE,
    "score": SCORE,
    "score_estimate": SCORE_ESTIMATE,
}
