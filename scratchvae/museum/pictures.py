"""check_pictures: are the mean and the draws of a likelihood those of the density that its nll claims?

Sizes: B batch, D data, G nodes.
"""

import numpy as np

from scratchvae.backend import Array
from scratchvae.checks import Finding, Report, Row
from scratchvae.likelihoods import Likelihood

DRAWS = 4_000


def nodes(likelihood: Likelihood) -> np.ndarray:
    """Values of a pixel whose plain sum stands for its sum or integral: 0 and 1, or the midpoints of a fine grid."""
    if likelihood.name == "bernoulli":
        return np.array([0.0, 1.0])
    low, high = np.clip(likelihood.support, -20, 20)
    return low + (high - low) * (np.arange(4000) + 0.5) / 4000


def expected_mean(likelihood: Likelihood, logits: np.ndarray) -> np.ndarray:
    """E[x|z] = sum_g x_g exp(-nll(x_g)) / sum_g exp(-nll(x_g)), pixel by pixel, from nll alone; like logits (D,)."""
    x = nodes(likelihood)  # (G,)
    means = []
    for logit in logits:
        nll, _ = likelihood.nll(x[:, None], np.full((len(x), 1), logit))  # (G,)
        p = np.exp(nll.min() - nll)  # (G,)
        means.append((x * p).sum() / p.sum())
    return np.array(means)


def check_pictures(likelihood: Likelihood, logits: Array, rng: np.random.Generator | None = None) -> Report:
    """`mean` against E[x|z] to 1e-5, and the average of many `sample` to 5 standard errors.

    Shapes    logits (D,).
    """
    rng = np.random.default_rng(0) if rng is None else rng
    report = Report(f"{likelihood.name}: mean and draws")
    expected = expected_mean(likelihood, logits)  # (D,)
    mean = likelihood.mean(logits[None])[0]  # (D,)
    draws = likelihood.sample(np.broadcast_to(logits, (DRAWS, len(logits))), rng)  # (DRAWS, D)
    standard_error = draws.std(axis=0) / DRAWS**0.5 + 1 / DRAWS  # (D,)  why: draws that are all the same have none
    for name, got, allowed in (("mean", mean, 1e-5), ("sample", draws.mean(axis=0), 5 * standard_error)):
        error = np.abs(got - expected)  # (D,)
        wrong = (error > allowed).any()
        report.rows.append(Row(name, logits.shape, float(error.max()), "wrong" if wrong else "ok"))
        if wrong:
            d = int(error.argmax())
            message = f"{name} is not that of the density exp(-nll): derive it from the same p(x|z) as nll"
            ratio = got / expected
            cause = "factor" if np.ptp(ratio) < 1e-3 * abs(ratio[0]) else "elementwise-factor"
            report.findings.append(
                Finding(name, cause, message, where=(d,), expected=float(expected[d]), got=float(got[d]))
            )
    return report
