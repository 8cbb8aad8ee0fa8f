"""Two checks of what is drawn and what is claimed: moments of a sampler, and the identity of the evidence.

Sizes: K draws, G grid points.
"""

import math
from typing import Any

import numpy as np

from scratchvae.exercises.blank import Slip, value
from scratchvae.exercises.elbo.bounds import bound_in_closed_form, two_densities

K = 40


def moments(z, mu, sigma):
    """Are these K draws from N(mu, sigma^2)? Then u = (z - mu) / sigma has the mean 0, and u^2 has the mean 1.

    z (K,) -> how many standard errors the mean of u and that of u^2 are off; the variance of u is 1, of u^2 it is 2.
    """
    u = (z - mu) / sigma
    return u.mean() / np.sqrt(1 / len(u)), ((u**2).mean() - 1) / np.sqrt(2 / len(u))


def draws_that_are_off(rng: np.random.Generator) -> tuple[np.ndarray, float, float]:
    """From a normal with another mean and another spread than is claimed."""
    mu, sigma = float(rng.normal()), float(rng.uniform(0.3, 0.8))
    return mu + sigma * (rng.normal(0, 0.5) + rng.uniform(0.4, 1.6) * rng.standard_normal(K)), mu, sigma


def moments_by_sums(z: np.ndarray, mu: float, sigma: float) -> dict[str, float]:
    """From the sums of z and of its square."""
    s, q, n = math.fsum(z.tolist()), math.fsum((z * z).tolist()), len(z)
    squares = (q - 2 * mu * s + n * mu * mu) / sigma**2
    return {"mean of u": (s - n * mu) / (sigma * math.sqrt(n)), "mean of u^2": (squares - n) / math.sqrt(2 * n)}


def of_u(change: Any) -> Any:
    """A wrong answer, as a function of u and of the two right numbers."""
    return lambda z, mu, sigma: change((z - mu) / sigma, *moments(z, mu, sigma))


MOMENTS = value(
    moments,
    moments_by_sums,
    draws_that_are_off,
    (
        "The mean of K independent numbers has the variance of one of them, divided by K. What is then its standard "
        "error? What should be subtracted from the mean of u^2?",
        "mean(u) / sqrt(1 / K), and (mean(u^2) - 1) / sqrt(2 / K)",
        "u = (z - mu) / sigma; u.mean() / np.sqrt(1 / len(u)), ((u**2).mean() - ...) / np.sqrt(... / len(u))",
    ),
    (
        Slip(of_u(lambda u, a, b: (b, a)), "transpose", "the two are swapped: the mean of u first"),
        Slip(
            of_u(lambda u, a, b: (u.mean(), (u**2).mean() - 1)),
            "factor",
            "these are what they are off by: how many standard errors is that?",
        ),
        Slip(
            of_u(lambda u, a, b: (a / np.sqrt(len(u)) * len(u), b / np.sqrt(2 / len(u)))),
            "factor",
            "1 / K is the variance of a mean of K numbers: its root is the standard error",
        ),
        Slip(
            of_u(lambda u, a, b: (u.mean(), ((u**2).mean() - 1) / np.sqrt(2))),
            "factor",
            "this is in units of the spread of one draw: a mean of K scatters less",
        ),
        Slip(
            of_u(lambda u, a, b: (a, b * np.sqrt(2))),
            "factor",
            "the second takes the variance of u^2 to be 1: it is 2",
        ),
        Slip(
            of_u(lambda u, a, b: (a, b / np.sqrt(2))),
            "factor",
            "the second takes 2 for a standard deviation: it is the variance of u^2",
        ),
        Slip(
            of_u(lambda u, a, b: (a, (u**2).mean() / np.sqrt(2 / len(u)))),
            "missing-term",
            "the second: the mean of u^2 should be 1, so how far is it from that?",
        ),
        Slip(
            of_u(lambda u, a, b: (a, (u.var() - 1) / np.sqrt(2 / len(u)))),
            "missing-term",
            "the second takes the spread about the mean of the draws: about the claimed mean is meant",
        ),
        Slip(
            of_u(lambda u, a, b: (u.mean() / (u.std() / np.sqrt(len(u))), b)),
            "elementwise-factor",
            "the first takes its standard error from the draws themselves, which are on trial: take the claimed one",
        ),
        Slip(
            of_u(lambda u, a, b: (a, ((u**2).mean() - 1) / ((u**2).std() / np.sqrt(len(u))))),
            "elementwise-factor",
            "the second takes its standard error from the draws themselves, which are on trial: take the claimed one",
        ),
        Slip(
            of_u(lambda u, a, b: (a, (u.mean() ** 2 - 1) / np.sqrt(2 / len(u)))),
            "elementwise-factor",
            "the second squares the mean: the mean of the squares is meant",
        ),
        Slip(
            of_u(lambda u, a, b: (a / len(u), b / len(u))),
            "factor",
            "these are what they are off by, times the standard error: divide by it",
        ),
        Slip(
            of_u(lambda u, a, b: (a, b * 2)),
            "factor",
            "the second is multiplied by the root of 2: the standard error, root of 2 / K, divides",
        ),
        Slip(
            of_u(lambda u, a, b: tuple((v.mean() - m) / v.std(ddof=1) * len(u) ** 0.5 for v, m in ((u, 0), (u**2, 1)))),
            "elementwise-factor",
            "both take the variances from the draws, which are on trial: 1 and 2 are claimed, take these",
        ),
        Slip(
            of_u(lambda u, a, b: tuple((v.mean() - m) / v.std() * len(u) ** 0.5 for v, m in ((u, 0), (u**2, 1)))),
            "elementwise-factor",
            "both take their standard errors from the draws themselves, which are on trial: take the claimed ones",
        ),
        Slip(
            lambda z, mu, sigma: moments(z, mu, sigma**2),
            "elementwise-factor",
            "u divides by the variance: sigma is the standard deviation",
        ),
        Slip(
            lambda z, mu, sigma: moments(z - mu, 0, 1),
            "elementwise-factor",
            "z - mu is not divided by sigma",
        ),
        Slip(
            of_u(lambda u, a, b: (abs(a), abs(b))),
            "sign",
            "the sign is gone, and it says in which direction they are off",
        ),
    ),
)


def residual(log_joint, log_q, step, reported):
    """log p(x) - reported - KL(q || p(z|x)), on a grid of that step: (G,), (G,), a number, a number -> a number.

    log_joint is log p(x, z). The residual is 0 if what is reported is the ELBO.
    """
    log_px = np.log(np.exp(log_joint).sum() * step)
    log_posterior = log_joint - log_px
    return log_px - reported - (np.exp(log_q) * (log_q - log_posterior)).sum() * step


def densities_and_a_report(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, float, float]:
    """What is reported is about as far from the ELBO as a bug takes it."""
    log_joint, log_q, step = two_densities(rng)
    true = bound_in_closed_form(log_joint, log_q, step)["ELBO"]
    return log_joint, log_q, step, true + float(rng.choice([-1, 1]) * rng.uniform(0.3, 2))


def residual_in_closed_form(log_joint: np.ndarray, log_q: np.ndarray, step: float, reported: float) -> dict[str, float]:
    """The ELBO itself, from the coefficients of two parabolas, less what is reported."""
    return {"residual": bound_in_closed_form(log_joint, log_q, step)["ELBO"] - reported}


def parts(j: np.ndarray, q: np.ndarray, step: float) -> tuple[float, float]:
    """log p(x), and the KL to the posterior."""
    log_px = float(np.log(np.exp(j).sum() * step))
    return log_px, float((np.exp(q) * (q - j + log_px)).sum() * step)


def of_parts(change: Any) -> Any:
    """A wrong answer, as a function of log p(x), the KL and what is reported."""
    return lambda j, q, step, reported: change(*parts(j, q, step), reported)


def reversed_kl(j: np.ndarray, q: np.ndarray, step: float) -> float:
    log_px, _ = parts(j, q, step)
    return float((np.exp(j - log_px) * (j - log_px - q)).sum() * step)


IDENTITY = value(
    residual,
    residual_in_closed_form,
    densities_and_a_report,
    (
        "Three numbers: which integral over z is p(x)? What is the posterior, if the joint is known? Under which "
        "density is the mean of a KL taken?",
        "log p(x) = log(sum p(x, z) step), log p(z|x) = log_joint - log p(x), KL = sum q (log q - log p(z|x)) step",
        "log_px = np.log(np.exp(log_joint).sum() * step); "
        "log_px - reported - (np.exp(log_q) * (log_q - (log_joint - ...))).sum() * step",
    ),
    (
        Slip(
            of_parts(lambda p, kl, r: p - r),
            "missing-term",
            "this is the gap, which an honest bound has as well: the KL to the posterior is to be taken off",
        ),
        Slip(
            of_parts(lambda p, kl, r: p - r + kl), "sign", "the KL has the wrong sign: ELBO and KL add up to log p(x)"
        ),
        Slip(of_parts(lambda p, kl, r: p + r - kl), "sign", "what is reported has the wrong sign: it is taken off"),
        Slip(
            of_parts(lambda p, kl, r: p - kl),
            "missing-term",
            "this is the ELBO by the identity: what is reported is still to be taken off",
        ),
        Slip(
            lambda j, q, step, r: parts(j, q, step)[0] - r - (np.exp(q) * (q - j - parts(j, q, step)[0])).sum() * step,
            "sign",
            "the log posterior is the joint's logarithm less log p(x): here it is added",
        ),
        Slip(of_parts(lambda p, kl, r: r + kl - p), "sign", "the sign is turned: log p(x) comes first"),
        Slip(
            of_parts(lambda p, kl, r: abs(p - r - kl)), "sign", "the sign is gone: it says whether too much is reported"
        ),
        Slip(
            of_parts(lambda p, kl, r: np.exp(p) - r - kl),
            "elementwise-factor",
            "p(x) stands where its logarithm belongs",
        ),
        Slip(
            lambda j, q, step, r: parts(j, q, step)[0] - r - (np.exp(q) * (q - j)).sum() * step,
            "missing-term",
            "the KL goes to the joint, which is no density of z: divide it by p(x) for the posterior",
        ),
        Slip(
            lambda j, q, step, r: parts(j, q, step)[0] - r - reversed_kl(j, q, step),
            "transpose",
            "this is the KL from the posterior to q: its mean is taken under q",
        ),
        Slip(
            lambda j, q, step, r: parts(j, q, step)[0] - np.log(step) - r - parts(j, q, step)[1],
            "missing-term",
            "p(x) is an integral: the sum of the joint, times the width of a step",
        ),
        Slip(
            lambda j, q, step, r: parts(j, q, step)[0] - r - parts(j, q, step)[1] / step,
            "factor",
            "in the KL the width of a step is missing",
        ),
        Slip(
            lambda j, q, step, r: parts(j, q, 1)[0] - r - parts(j, q, 1)[1],
            "missing-term",
            "p(x) and the KL are integrals: the width of a step is missing from both sums",
        ),
        Slip(
            lambda j, q, step, r: parts(j, q, step)[0] - r - (q - j + parts(j, q, step)[0]).sum() * step,
            "elementwise-factor",
            "in the KL all points count the same: its mean weighs each by q",
        ),
        Slip(
            lambda j, q, step, r: j.sum() * step - r - parts(j, q, step)[1],
            "elementwise-factor",
            "log p(x) is the logarithm of an integral, and not the integral of the logarithm",
        ),
    ),
)
