"""Checks of anyone's code, from gradients to whole bounds. Each returns a Report that says what is wrong.

report = check_vjp(forward, backward, {"x": x, "W": W, "b": b})   # one forward/backward pair
report = check_gradients(model, x, eps)                           # every parameter of a whole model
report = check_sampler(sampler, mu, logvar)                       # a draw against the N(mu, exp(logvar)) of the KL
report = check_likelihood(likelihood)                             # p(x|z): its integral, mean, draws and backward
report = check_evidence(model, x)                                 # log p(x) = ELBO + KL(q || p(z|x)), Z = 1 or 2
report = check_optimizer(optimizer, reference)                    # step by step beside another optimizer

report.ok; report.rows; report.findings; print(report); report.plot()
"""

from scratchvae.checks.evidence.check import check_evidence
from scratchvae.checks.likelihood.check import check_likelihood
from scratchvae.checks.model import check_gradients
from scratchvae.checks.optimizer.check import check_optimizer
from scratchvae.checks.report import CAUSES, Finding, Report, Row
from scratchvae.checks.sampler.check import check_sampler
from scratchvae.checks.vjp.check import check_vjp

__all__ = [
    "CAUSES",
    "Finding",
    "Report",
    "Row",
    "check_evidence",
    "check_gradients",
    "check_likelihood",
    "check_optimizer",
    "check_sampler",
    "check_vjp",
]
