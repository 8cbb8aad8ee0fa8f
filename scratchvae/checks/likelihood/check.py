"""check_likelihood: is p(x|z) a distribution over x, and are its mean, its draws and its backward those of its nll?

Nothing is taken on trust but the nll: what exp(-nll) adds up to over the support, its mean and its distribution come
from quadrature, see `density`.

Sizes: B batch, D pixels, P parameters a pixel, L rows of logits to try them at.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from scratchvae.checks.likelihood.claims import Claim, add, frozen
from scratchvae.checks.likelihood.density import WHOLE, Mass
from scratchvae.checks.likelihood.draws import ALLOWED, NOT_LEVELS, OUTSIDE, claims_of_the_draws, values_of
from scratchvae.checks.likelihood.elsewhere import of_the_draws, of_the_mean
from scratchvae.checks.likelihood.lattices import fill
from scratchvae.checks.likelihood.means import mean_of_the_density
from scratchvae.checks.likelihood.normalised import TOTAL, claims_of_the_nll
from scratchvae.checks.likelihood.slopes import beside_a_wrong_nll, slope
from scratchvae.checks.likelihood.transformed import of_a_step
from scratchvae.checks.likelihood.witnesses import agree_against
from scratchvae.checks.report import SEED, Finding, Report, Row

ANOTHER = "mean and draws agree with each other"
NOT_THOSE = ("the draws have another", "the standard deviation of the draws is not", "mean is not that of exp(-nll)")


def check_likelihood(p: Any, rng: np.random.Generator | None = None) -> Report:
    """Every claim of a likelihood against its nll, at several logits of both signs and of all sizes.

    p has nll(x, logits) -> nll (B,), cache, and the rest of `likelihoods.Likelihood`. What it lacks is not tested;
    without n_params it has one parameter a pixel, without support one that holds its draws. exp(-nll) of a pixel is
    integrated over the support, or summed over the whole numbers in it, over the grey levels k / 255 or over another
    lattice that the draws lie on, whichever comes to 1.

    Errors are shares of what is allowed. The statistics of the draws have a known distribution: a right sample is
    called wrong once in a million checks.

    Shapes    x (B, D), logits (B, D n_params), the first D columns the first parameter.
    Raises    ValueError: a support that is not two numbers.

    Example
        >>> from scratchvae import Gaussian
        >>> class WithoutConstant(Gaussian):
        ...     def nll(self, x, logits):
        ...         u = (x - logits) / self.sigma
        ...         return 0.5 * (u * u).sum(axis=1), u
        >>> check_likelihood(WithoutConstant(sigma=0.5)).findings[0].message
        'exp(-nll) integrates to 1.25331 instead of 1, for every logit: a normalising constant is missing'
    """
    rng = np.random.default_rng(SEED) if rng is None else rng
    if np.shape(support := getattr(p, "support", (0.0, 1.0))) != (2,):
        raise ValueError(f"support should be the lowest and the highest value of a pixel, as (0.0, 1.0), got {support}")
    report = Report(f"likelihood {getattr(p, 'name', type(p).__name__)}", unit="of what is allowed")
    known: list[Mass] = []
    add(report, "nll", lambda: claims_of_the_nll(p, rng, known, extremes=True))
    others: dict[str, Callable[[], Iterable[Claim]]] = {
        "mean": lambda: [mean_of_the_density(p, known)],
        "sample": lambda: claims_of_the_draws(p, known, rng),
        "nll_backward": lambda: [slope(p, known, rng)],
        "output_bias": lambda: [start(p)],
    }
    for name, claims in others.items():
        if hasattr(p, name) and known:
            add(report, name, claims)
        else:
            why = "the density is not known" if hasattr(p, name) else f"there is no {name}"
            report.rows.append(Row(name, (), math.nan, "untested", why))
    report = without_consequences(another_density(two_against_one(report, known), known))
    usual = [mass for mass in known if not mass.is_extreme]
    if usual:
        report.findings = [undone(finding, usual) for finding in report.findings]
    return beside_a_wrong_nll(with_other_logits(report, usual), usual)


def two_against_one(report: Report, masses: list[Mass]) -> Report:
    """Where the nll adds up over a lattice, and neither the mean nor the draws know of it, the nll is wrong."""
    mean = [finding for finding in report.findings if finding.inputs == ("mean",)]
    draws = [finding for finding in report.findings if finding.message.startswith(NOT_LEVELS)]
    if mean and draws and all(map(follows_from_the_nll, mean)) and fill([mass.pixel for mass in masses]):
        support, alone = masses[0].pixel.support, f"the {values_of(masses[0].lattice or WHOLE)} alone"
        text = f"exp(-nll) adds up to 1 over {alone}, and mean and draws are those of all of {support}"
        repair = f"a density on {support}: exp(-nll) integrates to 1"
        nll = Finding(("nll",), "missing-term", f"{text}: a normalising term is missing", repair)
        report.findings = [nll, *(finding for finding in report.findings if finding not in (*mean, *draws))]
        report.rows = [row._replace(status="wrong") if row.name == TOTAL else row for row in report.rows]
    return report


def another_density(report: Report, masses: list[Mass]) -> Report:
    """Where mean and draws agree with each other, and not with exp(-nll), it is the nll that is to be looked at."""
    masses = [mass for mass in masses if mass.mean_error < 0.1 * ALLOWED * mass.scale and not mass.is_extreme]
    found = [finding for finding in report.findings if finding.inputs[0] in ("nll", "support", "mean", "sample")]
    if not found or not masses or found[0].inputs != ("mean",) or not all(map(follows_from_the_nll, found)):
        return report
    if agree_against(masses):
        text = f"{ANOTHER} and not with exp(-nll), which is a density, but not theirs"
        repair = "the nll of the density that the draws have; or mean and sample, both, from that of exp(-nll)"
        nll = Finding(("nll",), "unknown", text, repair)
        report.findings = [nll, *(finding for finding in report.findings if finding not in found)]
        report.rows.insert(0, Row("nll", (), math.inf, "wrong", "it is not the density of mean and draws"))
    return report


@np.errstate(all="ignore")
def undone(finding: Finding, masses: list[Mass]) -> Finding:
    """Draws of which nobody knows what they are may be the right ones but for a last step."""
    of_draws = finding.inputs == ("sample",) and finding.cause == "unknown"
    return of_a_step(finding, masses) if of_draws and finding.message.startswith((OUTSIDE, *NOT_THOSE)) else finding


def with_other_logits(report: Report, masses: list[Mass]) -> Report:
    """What is not that of exp(-nll), and nobody knows what it is, may be that of exp(-nll) at other logits."""
    for i, finding in enumerate(report.findings if masses else []):
        if finding.cause != "unknown" or not finding.message.startswith((ANOTHER, *NOT_THOSE)):
            continue
        mean = finding.inputs == ("mean",)
        if at_others := of_the_mean(masses) if mean else of_the_draws(masses):
            text = f"those that exp(-nll) has with {at_others.words}"
            repair = f"look at the parameter: {finding.inputs[0]} may have {at_others.made}"
            if finding.inputs == ("nll",):
                text = f"{ANOTHER}, and are {text}"
                repair = f"look at the parameter: nll may have {at_others.undone}; or mean and sample, {at_others.made}"
            else:
                text = f"mean is that of exp(-nll) with {at_others.words}" if mean else f"the draws are {text}"
            report.findings[i] = finding._replace(cause=at_others.cause, message=text, repair=repair)
    return report


def without_consequences(report: Report) -> Report:
    """If exp(-nll) is not a density, a mean and draws that differ from it may well be right: nobody can tell.

    What does not depend on the density stays: shapes, dtypes, the generator, what fails.
    """
    if any(finding.inputs[0] in ("nll", "support") for finding in report.findings):
        report.findings = [finding for finding in report.findings if not follows_from_the_nll(finding)]
        named = {finding.inputs[0] for finding in report.findings}
        for i, row in enumerate(report.rows):
            what = row.name.split(":")[0]
            if row.status == "wrong" and what in ("mean", "sample") and what not in named:
                report.rows[i] = row._replace(status="untested", note="it may follow from the nll")
    return report


def follows_from_the_nll(finding: Finding) -> bool:
    judged = finding.cause in ("sign", "factor", "elementwise-factor", "missing-term", "transpose", "unknown")
    return finding.inputs[0] in ("mean", "sample") and judged and " fails, with " not in finding.message


def start(p: Any) -> Claim:
    """output_bias has every parameter of a pixel, and is finite also where a pixel is black or white in every image."""
    low, high = getattr(p, "support", (0.0, 1.0))
    ends = [end for end in (low, high) if math.isfinite(end)]
    pixel_mean = frozen(np.clip([0.0, 0.3, 1.0, *ends], low, high))  # (D,)
    bias = np.asarray(p.output_bias(pixel_mean))
    shape, finding = (len(pixel_mean) * getattr(p, "n_params", 1),), None
    if bias.shape != shape:
        text = f"output_bias has the shape {bias.shape} for {len(pixel_mean)} pixels, where each logit has a number"
        finding = Finding(("output_bias",), "shape", text, f"the shape {shape}")
    elif not np.isfinite(bias).all():
        d = int(np.argmin(np.isfinite(bias))) % len(pixel_mean)
        text = f"output_bias is not finite for a pixel whose mean is {pixel_mean[d]:g}"
        finding = Finding(("output_bias",), "non-finite", text, "clip the mean first", where=(d,))
    return Claim("output_bias", float(finding is not None), 0.5, finding=finding)
