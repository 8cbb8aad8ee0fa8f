"""Bayes' rule for a table: the evidence, the posterior, and the posterior from logarithms.

Sizes: N rows, one for each value of z; R columns, one for each value of x.
"""

import numpy as np

from scratchvae.exercises.blank import Slip, value

N, R = 4, 6


def evidence_of_table(prior, likelihood):
    """p(x) for each x, from p(z), (N,), and p(x|z), (N, R), a row for each z: -> (R,)."""
    joint = likelihood * prior[:, None]
    return joint.sum(axis=0)


def evidence_by_a_loop(prior: np.ndarray, likelihood: np.ndarray) -> dict[str, np.ndarray]:
    total = np.zeros(likelihood.shape[1])
    for r in range(len(total)):
        for p, row in zip(prior.tolist(), likelihood.tolist(), strict=True):
            total[r] += p * row[r]
    return {"evidence": total}


EVIDENCE = value(
    evidence_of_table,
    evidence_by_a_loop,
    lambda rng: (rng.dirichlet(np.ones(N)), rng.dirichlet(np.ones(R), N)),
    (
        "How often do a kind z and a face x come together? And over which of the two do you add, if you want to know "
        "how often the face comes at all?",
        "p(x) = sum over z of p(x|z) p(z)",
        "joint = likelihood * prior[:, None]; return joint.sum(axis=...)",
    ),
    (
        Slip(
            lambda prior, likelihood: likelihood.sum(axis=0),
            "missing-term",
            "where is the prior? A kind that is rare adds little",
        ),
        Slip(
            lambda prior, likelihood: likelihood.mean(axis=0),
            "elementwise-factor",
            "all kinds count the same here: each should count as often as it comes",
        ),
        Slip(
            lambda prior, likelihood: (likelihood * prior[:, None]).sum(axis=1),
            "transpose",
            "this adds over x, and gives the prior back: add over z",
        ),
        Slip(
            lambda prior, likelihood: (likelihood * prior[:, None]).sum(),
            "shape",
            "this adds over both, which is 1: one number for each x is wanted",
        ),
        Slip(
            lambda prior, likelihood: likelihood * prior[:, None],
            "shape",
            "this is the joint: add it up over z",
        ),
        Slip(
            lambda prior, likelihood: (likelihood * prior[:, None]).mean(axis=0),
            "factor",
            "a mean, where a sum belongs: the prior holds the weights already",
        ),
        Slip(
            lambda prior, likelihood: (likelihood * prior[:, None]).max(axis=0),
            "missing-term",
            "this is the largest part alone: every kind that can show this face adds to it",
        ),
        Slip(
            lambda prior, likelihood: (likelihood + prior[:, None]).sum(axis=0),
            "elementwise-factor",
            "how often both come together is a product, not a sum",
        ),
        Slip(
            lambda prior, likelihood: prior[0] * likelihood[0] + prior[1] * likelihood[1],
            "missing-term",
            "these are the first two kinds: a table may have more rows than that",
        ),
    ),
)


def posterior_of_table(prior, likelihood):
    """p(z|x) for each z, from p(z), (N,), and p(x|z) of the x that was seen, (N,): -> (N,)."""
    joint = likelihood * prior
    return joint / joint.sum()


def posterior_by_odds(prior: np.ndarray, likelihood: np.ndarray) -> dict[str, np.ndarray]:
    """One over the sum of the odds of each z against this one."""
    weights = [p * h for p, h in zip(prior.tolist(), likelihood.tolist(), strict=True)]
    return {"posterior": np.array([1 / sum(other / this for other in weights) for this in weights])}


POSTERIOR = value(
    posterior_of_table,
    posterior_by_odds,
    lambda rng: (rng.dirichlet(np.ones(N)), rng.uniform(0.05, 0.95, N)),
    (
        "What is the area of each shaded rectangle? And which share of all the shading is it?",
        "p(z|x) = p(x|z) p(z) / p(x), and p(x) is the sum of the products above the line",
        "joint = likelihood * prior; return joint / ...",
    ),
    (
        Slip(
            lambda prior, likelihood: likelihood * prior,
            "missing-term",
            "this is the joint, and does not sum to one: divide by the evidence",
        ),
        Slip(
            lambda prior, likelihood: likelihood / likelihood.sum(),
            "elementwise-factor",
            "the prior is not in it: this would be right if all kinds were equally common",
        ),
        Slip(
            lambda prior, likelihood: likelihood,
            "missing-term",
            "this is p(x|z), and p(z|x) was asked for: the two are often taken for each other",
        ),
        Slip(
            lambda prior, likelihood: prior,
            "missing-term",
            "this is the prior: nothing has been learnt from x",
        ),
        Slip(
            lambda prior, likelihood: likelihood / (likelihood * prior).sum(),
            "elementwise-factor",
            "below the line is the evidence: above it should stand the joint, and the prior is missing from that",
        ),
        Slip(
            lambda prior, likelihood: likelihood * prior / likelihood.sum(),
            "factor",
            "the sum below the line is of the likelihoods alone: the evidence is the sum of the products",
        ),
        Slip(
            lambda prior, likelihood: likelihood * prior / (likelihood * prior).max(),
            "factor",
            "the most probable z has the probability 1 here: divide by the sum, not by the largest",
        ),
        Slip(
            lambda prior, likelihood: likelihood * prior / (likelihood * prior).mean(),
            "factor",
            "divided by the mean of the products, where their sum belongs",
        ),
        Slip(
            lambda prior, likelihood: prior / likelihood / (prior / likelihood).sum(),
            "elementwise-factor",
            "the likelihood stands below the line: a z that makes x likely should gain",
        ),
        Slip(
            lambda prior, likelihood: (prior + likelihood) / (prior + likelihood).sum(),
            "elementwise-factor",
            "a sum of prior and likelihood: a z that one of them rules out would stay possible",
        ),
        Slip(
            lambda prior, likelihood: (likelihood * prior).sum(),
            "shape",
            "this is the evidence: one number for each z is wanted",
        ),
        Slip(
            lambda prior, likelihood: likelihood * prior / (likelihood[:2] @ prior[:2]),
            "factor",
            "below the line stand the first two kinds alone: the evidence adds up all of them",
        ),
    ),
)


def posterior_from_logs(log_joint):
    """p(z|x) for each z, from log p(x, z), (N,), where p(x, z) itself is too small for a float: -> (N,)."""
    weights = np.exp(log_joint - log_joint.max())
    return weights / weights.sum()


def posterior_by_differences(log_joint: np.ndarray) -> dict[str, np.ndarray]:
    """One over the sum of the odds, each from a difference of two logarithms."""
    with np.errstate(over="ignore"):  # why: odds of infinity to one are a probability of 0
        return {"posterior": np.array([1 / np.exp(log_joint - this).sum() for this in log_joint])}


def far_down(rng: np.random.Generator) -> tuple[np.ndarray]:
    """Three logarithms near each other, and two so far below that a mean of all is of no use."""
    a = rng.uniform(-9000, -1000) + np.concatenate([rng.normal(0, 1, 3), rng.uniform(-3200, -2800, 2)])
    return (rng.permutation(a),)


LOGS = value(
    posterior_from_logs,
    posterior_by_differences,
    far_down,
    (
        "The posterior is a share: it stays the same if every product is multiplied by the same number. By which "
        "number, so that the largest product becomes 1? What does that do to the logarithms?",
        "p(z|x) = e^(a_z - c) / sum over all z' of e^(a_z' - c), with a = log p(x, z) and c the largest a",
        "weights = np.exp(log_joint - ...); return weights / ...",
    ),
    (
        Slip(
            lambda a: np.full(np.shape(a), np.nan),
            "non-finite",
            "0 divided by 0: every product is too small for a float. Make all of them larger before exp, by one factor",
        ),
        Slip(
            lambda a: np.exp(a),
            "zero",
            "all are 0: these products are too small for a float, and nothing has been divided yet",
        ),
        Slip(
            lambda a: a / a.sum(),
            "elementwise-factor",
            "shares of the logarithms: it is the products whose shares are wanted",
        ),
        Slip(
            lambda a: np.exp(a - a.max()),
            "missing-term",
            "the largest is 1: what is missing is a division by the sum",
        ),
        Slip(
            lambda a: a - a.max() - np.log(np.exp(a - a.max()).sum()),
            "missing-term",
            "these are the logarithms of the answer: an exp is missing",
        ),
        Slip(
            lambda a: np.full(np.shape(a), 1 / len(a)),
            "elementwise-factor",
            "every z gets the same: if a small number was added to each product, it is all that is left",
        ),
        Slip(
            lambda a: np.exp(a.min() - a) / np.exp(a.min() - a).sum(),
            "sign",
            "upside down: the z of the largest product should be the most probable",
        ),
        Slip(
            lambda a: np.where(a - a.mean() < 0, 0, np.nan),
            "non-finite",
            "the mean (or the smallest) is not enough: the others lie so far above it that exp gives infinity",
        ),
        Slip(
            lambda a: np.exp(a - a[0]) / np.exp(a - a[0]).sum(),
            "non-finite",
            "the first one is not always enough: another may lie so far above it that exp gives infinity",
        ),
        Slip(
            lambda a: np.exp(a / a.max()) / np.exp(a / a.max()).sum(),
            "elementwise-factor",
            "divided by the largest logarithm: to multiply all products by one number, add to their logarithms",
        ),
        Slip(
            lambda a: (a == a.max()).astype(float),
            "elementwise-factor",
            "all or nothing: the others are less probable, and not impossible",
        ),
        Slip(
            lambda a: np.exp2(a - a.max()) / np.exp2(a - a.max()).sum(),
            "elementwise-factor",
            "powers of 2: these are natural logarithms",
        ),
    ),
)
