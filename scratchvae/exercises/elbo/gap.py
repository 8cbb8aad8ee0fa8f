"""What the bound lacks: its gap for one measurement."""

import numpy as np

from scratchvae.exercises.blank import Slip, value
from scratchvae.exercises.elbo.measurement import gap_of, kl_to, one_measurement, terms_by_quadrature, two_terms
from scratchvae.gaussian import LOG_2PI


def gap_by_subtraction(mu: float, sigma: float, x: float, noise: float) -> dict[str, float]:
    """log p(x) in closed form, less the ELBO by quadrature."""
    expected, kl = terms_by_quadrature(mu, sigma, x, noise).values()
    evidence = 1 + noise**2  # the variance of x
    return {"gap": -0.5 * (x**2 / evidence + LOG_2PI + np.log(evidence)) - expected + kl}


def posterior(x: float, noise: float) -> tuple[float, float]:
    return x / (1 + noise**2), noise**2 / (1 + noise**2)


GAP = value(
    gap_of,
    gap_by_subtraction,
    one_measurement,
    (
        "The gap is a KL. From which density to which, and which of the two did page 02 find from x and the noise?",
        "KL(N(mu, sigma^2) || N(m, v)) with m = x / (1 + noise^2), v = noise^2 / (1 + noise^2)",
        "m, v = x / (1 + noise**2), noise**2 / (...); return 0.5 * ((sigma**2 + (mu - m) ** 2) / v - 1 + np.log(...))",
    ),
    (
        Slip(
            lambda mu, sigma, x, n: kl_to(0, 1, mu, sigma),
            "elementwise-factor",
            "this is the KL to the prior: the gap is the one to the posterior",
        ),
        Slip(
            lambda mu, sigma, x, n: kl_to(mu, sigma**2, x / (1 + n**2), n / np.sqrt(1 + n**2)),
            "transpose",
            "this is the KL from the posterior to q: the mean is taken under q",
        ),
        Slip(
            lambda mu, sigma, x, n: kl_to(x, n**2, mu, sigma),
            "elementwise-factor",
            "this is the KL to the likelihood, read as a density of z: the prior counts as well",
        ),
        Slip(
            lambda mu, sigma, x, n: kl_to(x / (1 + n**2), n**4 / (1 + n**2) ** 2, mu, sigma),
            "elementwise-factor",
            "the variance of the posterior is squared once too often: noise^2 / (1 + noise^2) is the variance already",
        ),
        Slip(
            lambda mu, sigma, x, n: kl_to(x / (1 + n**2), 1 + 1 / n**2, mu, sigma),
            "elementwise-factor",
            "this is the precision of the posterior, where its variance belongs: precisions add, and one over that",
        ),
        Slip(
            lambda mu, sigma, x, n: kl_to(x, n**2 / (1 + n**2), mu, sigma),
            "elementwise-factor",
            "the posterior's mean is not x: the prior pulls it towards 0",
        ),
        Slip(
            lambda mu, sigma, x, n: kl_to(0.96, 0.2, mu, sigma),
            "elementwise-factor",
            "N(0.96, 0.2) is the posterior of x = 1.2 with the noise 0.5: what is it for any x and any noise?",
        ),
        Slip(
            lambda mu, sigma, x, n: kl_to(posterior(x, n)[0], 0.2, mu, sigma),
            "elementwise-factor",
            "0.2 is the posterior's variance for the noise 0.5 alone",
        ),
        Slip(
            lambda mu, sigma, x, n: kl_to(posterior(x, n)[0], 1 + n**2, mu, sigma),
            "elementwise-factor",
            "1 + noise^2 is the variance of x: precisions add to the posterior's, 1 and 1 / noise^2",
        ),
        Slip(
            lambda mu, sigma, x, n: kl_to(x / n**2, posterior(x, n)[1], mu, sigma),
            "elementwise-factor",
            "the posterior's mean is not x / noise^2: that is still to be multiplied by its variance",
        ),
        Slip(
            lambda *point: two_terms(*point)[0] - two_terms(*point)[1],
            "elementwise-factor",
            "this is the ELBO itself: the gap is what it lacks of log p(x)",
        ),
        Slip(
            lambda mu, sigma, x, n: -kl_to(*posterior(x, n), mu, sigma),
            "sign",
            "it is negative: the ELBO lies below log p(x)",
        ),
        Slip(
            lambda mu, sigma, x, n: kl_to(0, 1 + n**2, mu, sigma),
            "elementwise-factor",
            "N(0, 1 + noise^2) is the density of x: the gap compares two densities of z",
        ),
        Slip(
            lambda mu, sigma, x, n: kl_to(x / (1 + n), n / (1 + n), mu, sigma),
            "elementwise-factor",
            "noise is a standard deviation: in the posterior stands its square",
        ),
        Slip(
            lambda mu, sigma, x, n: kl_to(x / (1 + n**2), n / np.sqrt(1 + n**2), mu, sigma),
            "elementwise-factor",
            "the posterior's standard deviation stands where its variance belongs",
        ),
        Slip(
            lambda mu, sigma, x, n: kl_to(*posterior(x, n), mu, np.sqrt(sigma)),
            "elementwise-factor",
            "sigma stands where the variance of q belongs: square it",
        ),
        Slip(
            lambda mu, sigma, x, n: kl_to(*posterior(x, n), mu, sigma) - np.log(n**2 / (1 + n**2) / sigma**2),
            "sign",
            "the logarithm has the wrong sign: on top in it stands the posterior's variance",
        ),
        Slip(
            lambda mu, sigma, x, n: kl_to(0, posterior(x, n)[1], 0, sigma),
            "missing-term",
            "the means do not stand in it: how far is mu from the posterior's?",
        ),
        Slip(
            lambda mu, sigma, x, n: kl_to(*posterior(x, n), mu, sigma) + 0.5,
            "missing-term",
            "the -1 is missing: where q is the posterior the gap has to be 0",
        ),
        Slip(
            lambda mu, sigma, x, n: 2 * kl_to(*posterior(x, n), mu, sigma),
            "factor",
            "twice what it should be: a 1/2 stands in front",
        ),
    ),
)
