"""The two terms of the objective, each with its derivative.

Sizes: B batch, D pixels, Z latents.
"""

from typing import Any

import numpy as np

from scratchvae.exercises.blank import Slip, gradient, value
from scratchvae.exercises.own.oracle import B, D, Z


def bernoulli_nll(x, logits):
    """-log p(x|z) of each example, finite for every logit: x (B, D), logits (B, D) -> (B,)."""
    softplus = np.maximum(logits, 0) + np.log1p(np.exp(-np.abs(logits)))
    return (softplus - x * logits).sum(axis=1)


def far_logits(rng: np.random.Generator) -> tuple[Any, Any]:
    """Also those that overflow in exp, at pixels which are as the model says, and one that is surely wrong."""
    x, logits = (rng.random((B, D)) < 0.5).astype(float), 2 * rng.standard_normal((B, D))
    x[0, :3], logits[0, :3] = (1, 0, 1), (800, -800, -30)
    return x, logits


def quietly(answer: Any) -> Any:
    """A wrong answer whose overflow is part of it."""

    def quiet(*arguments: Any) -> Any:
        with np.errstate(all="ignore"):
            return answer(*arguments)

    return quiet


def sigmoid(a: Any) -> Any:
    return np.exp(-np.logaddexp(0, -a))


def clipped(x: Any, a: Any) -> Any:
    p = np.clip(sigmoid(a), 1e-7, 1 - 1e-7)
    return -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum(axis=1)


BERNOULLI_NLL = value(
    bernoulli_nll,
    lambda x, logits: {"nll": np.where(x == 1, np.logaddexp(0, -logits), np.logaddexp(0, logits)).sum(axis=1)},
    far_logits,
    (
        "For one pixel, -x log p - (1 - x) log(1 - p) with p = 1 / (1 + exp(-l)): what is left when p is put in? And "
        "what does exp do at l = 800?",
        "nll_b = sum_d log(1 + exp(l_bd)) - x_bd l_bd, and log(1 + exp(l)) = max(l, 0) + log(1 + exp(-|l|))",
        "(np.maximum(logits, 0) + np.log1p(...) - x * logits).sum(axis=1)",
    ),
    (
        Slip(
            quietly(lambda x, a: (np.log(1 + np.exp(a)) - x * a).sum(axis=1)),
            "non-finite",
            "exp overflows at a large logit: take the larger of l and 0 out of the logarithm first",
        ),
        Slip(
            quietly(
                lambda x, a: -(x * np.log(1 / (1 + np.exp(-a))) + (1 - x) * np.log(1 - 1 / (1 + np.exp(-a)))).sum(1)
            ),
            "non-finite",
            "the logarithm of a probability that was rounded to 0: put the sigmoid into the formula, and simplify",
        ),
        Slip(
            clipped,
            "unknown",
            "the probabilities are clipped: finite, and wrong wherever the model is surer than the clip allows",
        ),
        Slip(
            lambda x, a: (np.logaddexp(0, a) - x * a).mean(axis=1),
            "factor",
            "this is the mean over the pixels: log-probabilities of independent pixels add up",
        ),
        Slip(
            lambda x, a: (np.logaddexp(0, a) - x * a).sum(),
            "shape",
            "this is one number for the whole batch: each example has its own nll, (B,)",
        ),
        Slip(
            lambda x, a: np.logaddexp(0, a) - x * a, "shape", "one number for each pixel: add them up for each example"
        ),
        Slip(
            lambda x, a: (x * a - np.logaddexp(0, a)).sum(axis=1),
            "sign",
            "it is negative: this is log p(x|z), and nll is minus that",
        ),
        Slip(
            lambda x, a: (np.logaddexp(0, a) - (1 - x) * a).sum(axis=1),
            "sign",
            "black and white are swapped: a lit pixel should ask for a large logit",
        ),
        Slip(
            lambda x, a: np.logaddexp(0, a).sum(axis=1),
            "missing-term",
            "the image has no influence: a term with x is missing",
        ),
    ),
)


def bernoulli_nll_backward(dnll, x, logits):
    """Back through the nll: dnll (B,), x (B, D), logits (B, D) -> dlogits (B, D)."""
    p = 1 / (1 + np.exp(-logits))
    return dnll[:, None] * (p - x)


BERNOULLI_NLL_BACKWARD = gradient(
    bernoulli_nll_backward,
    lambda logits, x: ((np.logaddexp(0, logits) - x * logits).sum(axis=1), (x, logits)),
    lambda rng: ({"logits": 2 * rng.standard_normal((B, D))}, {"x": (rng.random((B, D)) < 0.5).astype(float)}),
    (
        "What is the slope of log(1 + exp(l)), and what that of -x l? What arrives from above, once for each example?",
        "dlogits_bd = dnll_b (p_bd - x_bd), with p = 1 / (1 + exp(-l))",
        "dnll[:, None] * (... - x)",
    ),
    (
        Slip(
            lambda d, x, a: d[:, None] * (x - sigmoid(a)),
            "sign",
            "it has the wrong sign: nll grows where the model lights a dark pixel",
        ),
        Slip(
            lambda d, x, a: sigmoid(a) - x,
            "elementwise-factor",
            "it is the same whatever dnll is: each example is to be multiplied by what arrives from above",
        ),
        Slip(
            lambda d, x, a: d[:, None] * (a - x),
            "elementwise-factor",
            "the logit is compared with x: which function makes a probability of it?",
        ),
        Slip(
            lambda d, x, a: d[:, None] * sigmoid(a),
            "missing-term",
            "the slope of one of the two terms of nll is there, that of the other is missing",
        ),
        Slip(
            lambda d, x, a: d[:, None] * (sigmoid(a) - x) / D,
            "factor",
            "it is divided by the number of pixels: nll is a sum over them, not a mean",
        ),
        Slip(
            lambda d, x, a: d[:, None] * (sigmoid(a) - x) * sigmoid(a) * sigmoid(-a),
            "elementwise-factor",
            "the slope of the sigmoid is in it once too often: that is for a squared error of probabilities",
        ),
    ),
)


def kl_to_prior(mu, logvar):
    """KL(N(mu, sigma^2) || N(0, I)) of each example: mu (B, Z), logvar (B, Z) -> (B,)."""
    return 0.5 * (mu**2 + np.exp(logvar) - 1 - logvar).sum(axis=1)


def kl_by_expectations(mu: Any, logvar: Any) -> dict[str, Any]:
    """E_q[log q - log p], from E_q[(z - mu)^2] and E_q[z^2], latent by latent."""
    kl = np.zeros(len(mu))
    for j in range(mu.shape[1]):
        sigma = np.sqrt(np.exp(logvar[:, j]))
        expected_log_q = -0.5 - np.log(sigma) - np.log(2 * np.pi) / 2
        expected_log_p = -0.5 * (mu[:, j] ** 2 + sigma**2) - np.log(2 * np.pi) / 2
        kl += expected_log_q - expected_log_p
    return {"kl": kl}


KL_TO_PRIOR = value(
    kl_to_prior,
    kl_by_expectations,
    lambda rng: tuple(rng.standard_normal((2, B, Z))),
    (
        "For one latent there is a term in mu^2, one in sigma^2, one in log sigma^2 and a constant. Where is it 0?",
        "kl_b = 1/2 sum_j (mu_bj^2 + sigma_bj^2 - 1 - logvar_bj), with sigma^2 = exp(logvar)",
        "0.5 * (... four terms ...).sum(axis=1)",
    ),
    (
        Slip(
            lambda m, v: 0.5 * (m**2 + np.exp(v) - 1 - v).mean(axis=1),
            "factor",
            "this is the mean over the latents: each costs its nats, so that they add up",
        ),
        Slip(
            lambda m, v: (m**2 + np.exp(v) - 1 - v).sum(axis=1),
            "factor",
            "twice what it should be: all four terms carry the 1/2",
        ),
        Slip(
            lambda m, v: -0.5 * (m**2 + np.exp(v) - 1 - v).sum(axis=1),
            "sign",
            "it is negative, and a KL never is: the sign comes in the objective",
        ),
        Slip(
            lambda m, v: 0.5 * (m**2 + np.exp(v / 2) - 1 - v).sum(axis=1),
            "elementwise-factor",
            "sigma stands where sigma squared belongs",
        ),
        Slip(
            lambda m, v: 0.5 * (m**2 + np.exp(v) - v).sum(axis=1),
            "missing-term",
            "it is not 0 where q is the prior: a constant is missing",
        ),
        Slip(
            lambda m, v: 0.5 * (m**2 + np.exp(v) - 1 + v).sum(axis=1),
            "sign",
            "the log-variance has the wrong sign: a narrow q should cost something",
        ),
        Slip(
            lambda m, v: 0.5 * (m**2 + np.exp(v) - 1 - v / 2).sum(axis=1),
            "factor",
            "log sigma stands where log sigma squared belongs",
        ),
        Slip(
            lambda m, v: 0.5 * (m**2 + np.exp(v) - 1 - v).sum(), "shape", "one number for the batch: sum along axis 1"
        ),
        Slip(
            lambda m, v: 0.5 * (m**2 + np.exp(v) - 1 - v),
            "shape",
            "one number for each latent: sum along axis 1",
        ),
    ),
)


def kl_backward(dkl, mu, logvar):
    """Back through the KL: dkl (B,), mu (B, Z), logvar (B, Z) -> dmu (B, Z), dlogvar (B, Z)."""
    return dkl[:, None] * mu, dkl[:, None] * (np.exp(logvar) - 1) / 2


KL_BACKWARD = gradient(
    kl_backward,
    lambda mu, logvar: (0.5 * (mu**2 + np.exp(logvar) - 1 - logvar).sum(axis=1), (mu, logvar)),
    lambda rng: ({"mu": rng.standard_normal((B, Z)), "logvar": rng.standard_normal((B, Z))}, {}),
    (
        "What is the slope of 1/2 (mu^2 + exp(v) - 1 - v) in mu, and what in v? At which sigma is the second one 0?",
        "dmu_bj = dkl_b mu_bj, dlogvar_bj = dkl_b (exp(v_bj) - 1) / 2",
        "dkl[:, None] * mu, dkl[:, None] * (...) / 2",
    ),
    (
        Slip(
            lambda d, m, v: (d[:, None] * m, d[:, None] * np.exp(v) / 2),
            "missing-term",
            "dlogvar is not 0 at sigma = 1, where the KL is smallest: -v has a slope, too",
        ),
        Slip(
            lambda d, m, v: (d[:, None] * m, d[:, None] * (np.exp(v) - 1)),
            "factor",
            "dlogvar is twice what it should be: the 1/2 in front of the KL stays",
        ),
        Slip(
            lambda d, m, v: (2 * d[:, None] * m, d[:, None] * (np.exp(v) - 1) / 2),
            "factor",
            "dmu is twice what it should be: the 2 of the square and the 1/2 cancel",
        ),
        Slip(
            lambda d, m, v: (d[:, None] * m, d[:, None] * (np.exp(v / 2) - 1) / 2),
            "elementwise-factor",
            "dlogvar: sigma stands where sigma squared belongs",
        ),
        Slip(
            lambda d, m, v: (m, (np.exp(v) - 1) / 2),
            "elementwise-factor",
            "both are the same whatever dkl is: what arrives from above is forgotten",
        ),
        Slip(
            lambda d, m, v: (-d[:, None] * m, -d[:, None] * (np.exp(v) - 1) / 2),
            "sign",
            "both have the wrong sign: the sign is in dkl already",
        ),
        Slip(
            lambda d, m, v: (d[:, None] * m / Z, d[:, None] * (np.exp(v) - 1) / 2 / Z),
            "factor",
            "both are divided by the number of latents: the KL is a sum over them",
        ),
        Slip(
            lambda d, m, v: (d[:, None] * (np.exp(v) - 1) / 2, d[:, None] * m),
            "transpose",
            "the two are swapped: mu stands first",
        ),
    ),
)
