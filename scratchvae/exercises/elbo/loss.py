"""What is minimised in place of the ELBO.

Sizes: B examples, K draws.
"""

import numpy as np

from scratchvae.exercises.blank import Slip, value

B, K = 4, 6


def loss(log_likelihood, kl):
    """What is minimised, the mean of -ELBO over B examples with K draws each: (B, K), (B,) -> a number."""
    nll = -log_likelihood.mean(axis=1)  # (B,)
    return np.mean(nll + kl)


def log_likelihoods_and_kl(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Mostly negative or mostly positive: a density may exceed 1."""
    return rng.choice([-4, 4]) + rng.normal(0, 2, (B, K)), rng.exponential(2, B)


LOSS = value(
    loss,
    lambda a, kl: {
        "loss": sum(k - sum(row) / len(row) for row, k in zip(a.tolist(), kl.tolist(), strict=True)) / len(kl)
    },
    log_likelihoods_and_kl,
    (
        "The ELBO is to be large. Which sign does each term then have in a loss? What is averaged over the K draws, "
        "what over the B examples?",
        "the mean over b of (-(1/K) sum_k log p(x_b|z_bk) + kl_b)",
        "nll = -log_likelihood.mean(axis=...); return np.mean(nll ... kl)",
    ),
    (
        Slip(
            lambda a, kl: np.mean(-a.mean(axis=1) - kl),
            "sign",
            "the KL has the wrong sign: minimising this drives q away from the prior without limit",
        ),
        Slip(
            lambda a, kl: np.mean(a.mean(axis=1) - kl),
            "sign",
            "this is the ELBO: a loss is minimised, so both signs turn",
        ),
        Slip(
            lambda a, kl: np.mean(a.mean(axis=1) + kl),
            "sign",
            "the log-likelihood has the wrong sign: minimising this makes the data improbable",
        ),
        Slip(
            lambda a, kl: abs(np.mean(a)) + np.mean(kl),
            "elementwise-factor",
            "abs is no minus: a density may exceed 1, and then its logarithm is positive",
        ),
        Slip(
            lambda a, kl: np.mean(abs(a)) + np.mean(kl),
            "elementwise-factor",
            "abs of each draw is no minus: where a density exceeds 1, its logarithm is positive",
        ),
        Slip(
            lambda a, kl: np.sum(-a.mean(axis=1) + kl),
            "factor",
            "a sum over the examples, where a mean belongs",
        ),
        Slip(
            lambda a, kl: np.sum(kl) - np.mean(a),
            "elementwise-factor",
            "the KL is summed over the examples: it takes a mean, as the first term does",
        ),
        Slip(
            lambda a, kl: np.sum(kl) - np.sum(a),
            "elementwise-factor",
            "all is added up: the mean over the draws and the mean over the examples are wanted",
        ),
        Slip(
            lambda a, kl: np.mean(-a[:, 0] + kl),
            "elementwise-factor",
            "only the first draw counts: there are K, and their mean is wanted",
        ),
        Slip(
            lambda a, kl: -a.mean(axis=1) + kl,
            "shape",
            "one number for each example: take their mean",
        ),
        Slip(
            lambda a, kl: np.mean(-a.sum(axis=1) + kl),
            "elementwise-factor",
            "the draws are added up: the first term is their mean, and the KL then counts K times too little",
        ),
        Slip(
            lambda a, kl: np.mean(-np.log(np.exp(a).mean(axis=1)) + kl),
            "elementwise-factor",
            "this is the logarithm of a mean over the draws: the first term is the mean of a logarithm",
        ),
        Slip(
            lambda a, kl: np.mean(-a.mean(axis=1)),
            "missing-term",
            "the KL is missing: this trains an autoencoder",
        ),
        Slip(
            lambda a, kl: np.mean(-a.mean(axis=1) + kl / K),
            "factor",
            "the KL is divided by the number of draws: it was not drawn, and counts in full",
        ),
        Slip(
            lambda a, kl: np.mean(-a.mean(axis=1) + kl / B),
            "factor",
            "the KL is divided by the batch size twice",
        ),
    ),
)
