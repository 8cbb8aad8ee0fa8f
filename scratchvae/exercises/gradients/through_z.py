"""From nll back to mu, sigma and logvar, through the draw.

Sizes: B batch, Z latents, D pixels. A name such as dz stands for the gradient of s = sum_b w_b objective_b.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from scratchvae.exercises.blank import Slip, gradient

B, Z, D = 4, 3, 6
Inputs = dict[str, Any]


def nll_to_logits(dnll, logits, x):
    """Back through nll_b = sum_d (log(1 + exp(l_bd)) - x_bd l_bd): (B,), (B, D), (B, D) -> (B, D)."""
    return dnll[:, None] * (1 / (1 + np.exp(-logits)) - x)


DLOGITS = gradient(
    nll_to_logits,
    lambda logits, x: ((np.logaddexp(0, logits) - x * logits).sum(axis=1), (logits, x)),
    lambda rng: ({"logits": rng.standard_normal((B, D))}, {"x": rng.random((B, D))}),
    (
        "What is the slope of log(1 + exp(l)), and what that of x l? What arrives from above, once for each example?",
        "dlogits_bd = dnll_b (p_bd - x_bd), with p = 1 / (1 + exp(-l))",
        "dnll[:, None] * (... - x)",
    ),
    (
        Slip(
            lambda d, a, x: d[:, None] * (x - 1 / (1 + np.exp(-a))),
            "sign",
            "it has the wrong sign: nll grows where the model lights a dark pixel",
        ),
        Slip(
            lambda d, a, x: 1 / (1 + np.exp(-a)) - x,
            "elementwise-factor",
            "it is the same whatever dnll is: each example is to be multiplied by what arrives from above",
        ),
        Slip(
            lambda d, a, x: d[:, None] * (a - x),
            "elementwise-factor",
            "the logit is compared with x: which function makes a probability of it?",
        ),
        Slip(
            lambda d, a, x: d[:, None] * (np.exp(a) - x),
            "missing-term",
            "exp(l) is the inner derivative alone: what is the slope of the logarithm around it?",
        ),
        Slip(
            lambda d, a, x: d[:, None] * (1 / (1 + np.exp(a)) - x),
            "elementwise-factor",
            "1 / (1 + exp(l)) falls as l grows, while the slope of log(1 + exp(l)) rises from 0 to 1",
        ),
        Slip(
            lambda d, a, x: d[:, None] * (1 / (1 + np.exp(-a)) - x) / (1 + np.exp(-a)) / (1 + np.exp(a)),
            "elementwise-factor",
            "the sigmoid's own slope is a factor too many: log(1 + exp(l)) has the sigmoid for its slope",
        ),
        Slip(
            lambda d, a, x: d[:, None] / (1 + np.exp(-a)),
            "missing-term",
            "the slope of one of the two terms of nll is there, that of the other is missing",
        ),
        Slip(
            lambda d, a, x: d[:, None] * (1 / (1 + np.exp(-a)) - x) / D,
            "factor",
            "1/6 of what it should be: nll is a sum over the pixels, not a mean",
        ),
    ),
)


def with_respect_to(name: str) -> Callable[[np.random.Generator], tuple[Inputs, Inputs]]:
    """Draws of mu, logvar and eps, of both signs: one is an input, and the rest are constants."""

    def draw(rng: np.random.Generator) -> tuple[Inputs, Inputs]:
        drawn = dict(zip(("mu", "logvar", "eps"), rng.standard_normal((3, B, Z)), strict=True))
        return {name: drawn.pop(name)}, drawn

    return draw


def through_the_draw(mu: Any, logvar: Any, eps: Any) -> tuple[Any, tuple[Any, ...]]:
    """z, and what the reader's functions get beside dz."""
    sigma = np.exp(logvar / 2)
    return mu + sigma * eps, (eps, sigma)


def z_to_mu(dz, eps, sigma):
    """What reaches mu through z = mu + sigma eps: (B, Z), (B, Z), (B, Z) -> (B, Z)."""
    return dz


DMU = gradient(
    z_to_mu,
    through_the_draw,
    with_respect_to("mu"),
    (
        "The chain rule multiplies what arrives, dz, by a slope. Which slope did you find for mu?",
        "dmu = dz (dz/dmu), and z = mu + sigma eps",
        "return what arrives, times 1",
    ),
    (
        Slip(
            lambda d, e, s: np.ones_like(d),
            "elementwise-factor",
            "this is the local slope: what arrives from above is forgotten",
        ),
        Slip(lambda d, e, s: 1, "shape", "this is the local slope: what arrives from above, dz, is multiplied by it"),
        Slip(lambda d, e, s: d * e, "elementwise-factor", "eps is a factor too many: it multiplies sigma, not mu"),
        Slip(lambda d, e, s: d * s, "elementwise-factor", "sigma is a factor too many: it multiplies eps, not mu"),
        Slip(
            lambda d, e, s: d * s * e,
            "elementwise-factor",
            "sigma eps is a factor too many: what is mu multiplied with?",
        ),
        Slip(
            lambda d, e, s: d.sum(axis=0),
            "shape",
            "it is summed over the batch: mu is one row for each example, and so is its gradient",
        ),
        Slip(lambda d, e, s: -d, "sign", "it has the wrong sign"),
        Slip(
            lambda d, e, s: d / len(d),
            "factor",
            "it is divided by the number of rows: the weights 1/B are in dz already",
        ),
    ),
)


def z_to_sigma(dz, eps, sigma):
    """What reaches sigma through z = mu + sigma eps: (B, Z), (B, Z), (B, Z) -> (B, Z)."""
    return dz * eps


DSIGMA = gradient(
    z_to_sigma,
    lambda sigma, mu, eps: (mu + sigma * eps, (eps, sigma)),
    lambda rng: (
        {"sigma": np.exp(rng.standard_normal((B, Z)))},
        {"mu": rng.standard_normal((B, Z)), "eps": rng.standard_normal((B, Z))},
    ),
    (
        "The chain rule multiplies what arrives, dz, by a slope. Which slope did you find for sigma?",
        "dsigma = dz (dz/dsigma), and z = mu + sigma eps",
        "dz times what sigma is multiplied with",
    ),
    (
        Slip(lambda d, e, s: d, "elementwise-factor", "eps is missing: that is mu's part, which has the slope 1"),
        Slip(lambda d, e, s: e, "elementwise-factor", "this is the local slope: what arrives from above is forgotten"),
        Slip(
            lambda d, e, s: d * s,
            "elementwise-factor",
            "this is what would reach eps, if anybody asked: the other factor of the product is wanted",
        ),
        Slip(
            lambda d, e, s: d * s * e,
            "elementwise-factor",
            "sigma is a factor too many: the slope of sigma eps in sigma has none",
        ),
        Slip(
            lambda d, e, s: d * np.abs(e),
            "sign",
            "the sign of eps is lost: where eps is negative a larger sigma takes z down",
        ),
        Slip(
            lambda d, e, s: (d * e).sum(axis=0),
            "shape",
            "it is summed over the batch: sigma is one row for each example",
        ),
    ),
)


def z_to_logvar(dz, eps, sigma):
    """What reaches logvar through z = mu + sigma eps: (B, Z), (B, Z), (B, Z) -> (B, Z)."""
    return dz * eps * sigma / 2


DLOGVAR = gradient(
    z_to_logvar,
    through_the_draw,
    with_respect_to("logvar"),
    (
        "sigma is reached with dz eps. From sigma it is one more step to logvar: what is the slope of exp(v / 2), "
        "written with sigma?",
        "dlogvar = dz (dz/dsigma) (dsigma/dv), and dsigma/dv = sigma / 2",
        "dz * eps * sigma, and a number",
    ),
    (
        Slip(
            lambda d, e, s: d * e * s, "factor", "twice what it should be: what is the inner derivative of exp(v / 2)?"
        ),
        Slip(
            lambda d, e, s: d * e / 2,
            "elementwise-factor",
            "sigma is missing: an exponential is a factor of its own slope",
        ),
        Slip(
            lambda d, e, s: d * e * s**2 / 2,
            "elementwise-factor",
            "sigma is a factor too many: z contains sigma, not its square",
        ),
        Slip(lambda d, e, s: d * e * s**2, "elementwise-factor", "this would be right if z were mu + sigma^2 eps"),
        Slip(
            lambda d, e, s: d * s / 2, "elementwise-factor", "eps is missing: it is what sigma is multiplied with in z"
        ),
        Slip(
            lambda d, e, s: d * e, "elementwise-factor", "this is the gradient of sigma: one more step leads to logvar"
        ),
        Slip(
            lambda d, e, s: e * s / 2,
            "elementwise-factor",
            "this is the local slope: what arrives from above is forgotten",
        ),
        Slip(lambda d, e, s: d / 2, "elementwise-factor", "sigma eps is missing: what is the slope of exp(v / 2) eps?"),
        Slip(lambda d, e, s: -d * e * s / 2, "sign", "it has the wrong sign"),
        Slip(
            lambda d, e, s: d * e / (2 * s),
            "elementwise-factor",
            "divided by sigma where it should be multiplied: this is the gradient of the variance",
        ),
        Slip(
            lambda d, e, s: (d * e * s / 2).sum(axis=0),
            "shape",
            "it is summed over the batch: logvar is one row for each example",
        ),
    ),
)
