"""check_likelihood: every planted mistake is found and named, and nothing that is right is accused."""

import math

import numpy as np
import pytest
from zoo import ZOO, Categorical, Exponential, Laplace, Poisson, halves

from scratchvae import Bernoulli, ContinuousBernoulli, Gaussian, GaussianLearned
from scratchvae.checks import CAUSES, check_likelihood
from scratchvae.checks.likelihood import draws, normalised
from scratchvae.checks.likelihood.density import integrated
from scratchvae.checks.likelihood.normalised import measured
from scratchvae.layers import softplus
from scratchvae.likelihoods import LIKELIHOODS, uniforms_like

REGISTERED = [make() for make in LIKELIHOODS.values()]
SETTINGS = [Gaussian(sigma=0.3), GaussianLearned(floor=0.1)]


def named(p):
    return f"{p.name}-{''.join(f'{value:g}' for value in getattr(p, 'config', {}).values() if value != p.name)}".rstrip(
        "-"
    )


# -- no false alarm ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [*REGISTERED, *SETTINGS, *ZOO], ids=named)
def test_what_is_right_passes(p):
    report = check_likelihood(p)
    assert report.ok, str(report)
    assert all(row.error <= 1 for row in report.rows if row.status == "ok")


@pytest.mark.parametrize("p", REGISTERED, ids=named)
def test_every_claim_of_a_registered_likelihood_is_tested(p):
    rows = check_likelihood(p).rows
    assert {row.status for row in rows} == {"ok"}
    assert [row.name for row in rows] == [
        "p(x|z) adds up to 1",
        "nll sums over pixels",
        "mean",
        "sample: generator",
        "sample: support",
        "sample: mean",
        "sample: spread",
        "sample: distribution",
        "sample: independence",
        "nll_backward",
        "output_bias",
    ]


@pytest.fixture
def measured_once(monkeypatch):
    """The quadrature draws nothing: whatever the seed, it is the same."""
    found = {}

    def remembered(p, extremes):
        if p not in found:
            found[p] = measured(p, extremes)
        return found[p]

    monkeypatch.setattr(normalised, "measured", remembered)


@pytest.mark.slow
@pytest.mark.usefixtures("measured_once")
@pytest.mark.parametrize("p", [*REGISTERED, *SETTINGS, *ZOO], ids=named)
def test_no_seed_is_an_unlucky_one(p):
    for seed in range(50):
        report = check_likelihood(p, np.random.default_rng(seed))
        assert report.ok, f"seed {seed}: {report}"


@pytest.mark.parametrize("p", [Exponential(), Poisson()], ids=named)
def test_right_draws_fail_as_rarely_as_is_said(p, monkeypatch):
    """With one alarm in five allowed there are fewer than that; with one in a million, none."""
    masses = measured(p)
    logits = np.tile(np.stack([mass.pixel.logits for mass in masses]).T.reshape(1, -1), (1000, 1))
    alarms = {1e-6: 0, 0.2: 0}
    for seed in range(60):
        rng = np.random.default_rng(seed)
        x = p.sample(logits, rng)
        for rate in alarms:
            monkeypatch.setattr(draws, "FALSE_ALARM", rate)
            claims = draws.of_the_distribution(x, masses, np.random.default_rng(seed + 1000))
            alarms[rate] += any(claim.status == "wrong" for claim in claims)
    assert alarms[1e-6] == 0
    assert 0 < alarms[0.2] < 0.2 * 60 + 5 * math.sqrt(60 * 0.2 * 0.8)


# -- planted mistakes --------------------------------------------------------------------------------------------------


class NoConstant(Gaussian):
    def nll(self, x, logits):
        u = (x - logits) / self.sigma
        return 0.5 * (u * u).sum(axis=1), u


class NoLogVariance(GaussianLearned):
    def nll(self, x, logits):
        nll, cache = super().nll(x, logits)
        return nll - 0.5 * self.mean_and_x_logvar(logits)[1].sum(axis=1), cache

    def nll_backward(self, dnll, cache):
        dm, ds = halves(super().nll_backward(dnll, cache))
        return np.concatenate([dm, ds - 0.5 * dnll[:, None] * cache[1]], axis=1)


class NoFactorial(Poisson):
    def nll(self, x, logits):
        rate = np.exp(logits)
        return (rate - x * logits).sum(axis=1), (rate, x)


class WrongSign(Gaussian):
    def nll(self, x, logits):
        nll, u = super().nll(x, logits)
        return -nll, -u


class Twice(Bernoulli):
    """Or half of it."""

    def __init__(self, c=2.0):
        self.c = c

    def nll(self, x, logits):
        nll, cache = super().nll(x, logits)
        return self.c * nll, cache

    def nll_backward(self, dnll, cache):
        return super().nll_backward(self.c * dnll, cache)


class CrossEntropyOnGrey(ContinuousBernoulli):
    nll, nll_backward = Bernoulli.nll, Bernoulli.nll_backward


class NarrowSupport(Gaussian):
    support = (0.0, 1.0)


class WideSupport(ContinuousBernoulli):
    support = (-math.inf, math.inf)


class NegativeRates(Exponential):
    support = (-math.inf, math.inf)


class MeanOverPixels(Bernoulli):
    def nll(self, x, logits):
        nll, cache = super().nll(x, logits)
        return nll / x.shape[1], cache

    def nll_backward(self, dnll, cache):
        return super().nll_backward(dnll / cache[0].shape[1], cache)


class PixelByPixel(GaussianLearned):
    def by_parameter(self, logits):
        return logits.reshape(len(logits), -1, 2).swapaxes(1, 2).reshape(len(logits), -1)

    def nll(self, x, logits):
        return super().nll(x, self.by_parameter(logits))

    def nll_backward(self, dnll, cache):
        dlogits = super().nll_backward(dnll, cache)
        return dlogits.reshape(len(dlogits), 2, -1).swapaxes(1, 2).reshape(len(dlogits), -1)

    def mean(self, logits):
        return super().mean(self.by_parameter(logits))

    def sample(self, logits, rng):
        return super().sample(self.by_parameter(logits), rng)


class OneColumn(Gaussian):
    def nll(self, x, logits):
        nll, u = super().nll(x, logits)
        return nll[:, None], u


class SigmoidForTheMean(ContinuousBernoulli):
    def mean(self, logits):
        return Bernoulli().mean(logits)

    def nll(self, x, logits):
        return super().nll(x, logits)[0], (x, super().mean(logits))


class HalvesSwapped(GaussianLearned):
    def mean(self, logits):
        return halves(logits)[1].copy()


class LogRate(Poisson):
    def mean(self, logits):
        return logits.copy()


class HalfTheMean(Exponential):
    def mean(self, logits):
        return 0.5 * np.exp(-logits)


class MeanOfAllParameters(GaussianLearned):
    def mean(self, logits):
        return logits.copy()


class WidensTheMean(Gaussian):
    def mean(self, logits):
        return logits * np.float64(1)


class WritesIntoLogits(Gaussian):
    def mean(self, logits):
        logits += 0
        return logits


class SigmaSquared(GaussianLearned):
    def sample(self, logits, rng):
        m, logvar, _ = self.mean_and_x_logvar(logits)
        return m + np.exp(logvar) * rng.standard_normal(m.shape).astype(logits.dtype)


class HalfTheSigma(Gaussian):
    def sample(self, logits, rng):
        return (logits + 0.5 * self.sigma * rng.standard_normal(logits.shape)).astype(logits.dtype)


class ForgetsTheFloor(GaussianLearned):
    def sample(self, logits, rng):
        m, s = halves(logits)
        return m + np.exp(0.5 * s) * rng.standard_normal(m.shape).astype(logits.dtype)


class SoftplusForTheMean(Bernoulli):
    def mean(self, logits):
        return softplus(logits)[0]  # and sample, which stands on it, follows


class EightPerCentMore(Gaussian):
    def sample(self, logits, rng):
        return (logits + 1.08 * self.sigma * rng.standard_normal(logits.shape)).astype(logits.dtype)


class OffByATenth(Gaussian):
    def sample(self, logits, rng):
        return super().sample(logits, rng) + logits.dtype.type(0.05)


class LaplaceNoise(Gaussian):
    def sample(self, logits, rng):
        noise = rng.laplace(size=logits.shape) / math.sqrt(2)  # of variance 1
        return (logits + self.sigma * noise).astype(logits.dtype)


class NormalForLaplace(Laplace):
    def sample(self, logits, rng):
        m, s = halves(logits)
        return (m + np.exp(s) * rng.standard_normal(m.shape)).astype(logits.dtype)


class GreyForBits(Bernoulli):
    def sample(self, logits, rng):
        return self.mean(logits)


class ByPixels(GaussianLearned):
    def mean(self, logits):
        return logits[:, ::2]


class RateForScale:
    """An exponential density with the rate exp(logit)."""

    name, support, n_params = "exponential", (0.0, math.inf), 1

    def nll(self, x, logits):
        return (np.exp(logits) * x - logits).sum(axis=1), (x, logits)

    def nll_backward(self, dnll, cache):
        x, logits = cache
        return dnll[:, None] * (np.exp(logits) * x - 1)

    def mean(self, logits):
        return np.exp(-logits)

    def sample(self, logits, rng):
        return rng.exponential(np.exp(logits))


class RoundedUp(Poisson):
    def sample(self, logits, rng):
        return super().sample(logits, rng) + logits.dtype.type(0.5)


class OutsideTheSupport(ContinuousBernoulli):
    def sample(self, logits, rng):
        return super().sample(logits, rng) + 0.01 * rng.standard_normal(logits.shape).astype(logits.dtype)


class OwnGenerator(Gaussian):
    generator = np.random.default_rng(3)

    def sample(self, logits, rng):
        return super().sample(logits, self.generator)


class NewGenerator(Gaussian):
    def sample(self, logits, rng):
        return super().sample(logits, np.random.default_rng(0))


class NoiseForAllPixels(Gaussian):
    def sample(self, logits, rng):
        return (logits + self.sigma * rng.standard_normal((len(logits), 1))).astype(logits.dtype)


class UniformForAllPixels(Bernoulli):
    def sample(self, logits, rng):
        u = uniforms_like(logits[:, :1], rng)
        return (u < self.mean(logits)).astype(logits.dtype)


class WidensTheDraws(Gaussian):
    def sample(self, logits, rng):
        return logits + self.sigma * rng.standard_normal(logits.shape)


class TwiceTheSlope(Gaussian):
    def nll_backward(self, dnll, cache):
        return 2 * super().nll_backward(dnll, cache)


class SwappedSlopes(GaussianLearned):
    def nll_backward(self, dnll, cache):
        dm, ds = halves(super().nll_backward(dnll, cache))
        return np.concatenate([ds, dm], axis=1)


class NoSlopeOfTheFloor(GaussianLearned):
    def nll_backward(self, dnll, cache):
        density_cache, slope = cache
        return super().nll_backward(dnll, (density_cache, np.ones_like(slope)))


class SlopeOfTheMeanAlone(GaussianLearned):
    def nll_backward(self, dnll, cache):
        return halves(super().nll_backward(dnll, cache))[0]


class UnclippedBias(Bernoulli):
    def output_bias(self, pixel_mean):
        return np.log(pixel_mean / (1 - pixel_mean))


class HalfABias(GaussianLearned):
    def output_bias(self, pixel_mean):
        return pixel_mean


class WritesIntoThePixelMean(Bernoulli):
    def output_bias(self, pixel_mean):
        pixel_mean += 0.01
        return pixel_mean


class Breaks(Gaussian):
    def mean(self, logits):
        raise RuntimeError("not today")


CONSTANT = "for every logit: a normalising constant is missing"
PLANTED = [
    (NoConstant(0.5), "nll", "missing-term", CONSTANT),
    (NoLogVariance(), "nll", "missing-term", "and to other values at other logits: a normalising term is missing"),
    (NoFactorial(), "nll", "missing-term", "exp(-nll) sums to"),
    (WrongSign(), "nll", "sign", "nll has the wrong sign"),
    (Twice(), "nll", "factor", "nll is twice what it should be"),
    (Twice(0.5), "nll", "factor", "nll is half of what it should be"),
    (NarrowSupport(0.5), "support", "missing-term", "to 1 over (-inf, inf)"),
    (WideSupport(), "support", "missing-term", "to 1 over (0.0, 1.0)"),
    (NegativeRates(), "support", "missing-term", "to 1 over (0.0, inf)"),
    (MeanOverPixels(), "nll", "factor", "it is 1/7 of what it should be (D is 7)"),
    (PixelByPixel(), "nll", "transpose", "nll reads the logits pixel by pixel"),
    (OneColumn(), "nll", "shape", "nll has the shape"),
    (CrossEntropyOnGrey(), "nll", "missing-term", "mean and draws are those of all of (0.0, 1.0)"),
    (SigmoidForTheMean(), "mean", "elementwise-factor", "it is the sigmoid"),
    (SoftplusForTheMean(), "mean", "elementwise-factor", "it is the softplus"),
    (HalvesSwapped(), "mean", "elementwise-factor", "it is the last parameter"),
    (ByPixels(0.1), "mean", "transpose", "mean reads the logits pixel by pixel"),
    (RateForScale(), "sample", "elementwise-factor", "the mean of the draws is the reciprocal of"),
    (LogRate(), "mean", "elementwise-factor", "it is the first parameter itself"),
    (HalfTheMean(), "mean", "factor", "half of what it should be"),
    (MeanOfAllParameters(), "mean", "shape", "mean has the shape (1, 18)"),
    (WritesIntoLogits(), "mean", "mutates-input", "read-only"),
    (Breaks(), "mean", "unknown", "mean fails, with RuntimeError: not today"),
    (SigmaSquared(), "sample", "elementwise-factor", "the square of that of exp(-nll)"),
    (HalfTheSigma(0.3), "sample", "factor", "times that of exp(-nll), at all logits"),
    (ForgetsTheFloor(), "sample", "unknown", "is not that of exp(-nll) at the logits 0.2, -20"),
    (EightPerCentMore(0.5), "sample", "factor", "1.1 times that of exp(-nll), at all logits"),
    (OffByATenth(0.5), "sample", "missing-term", "the mean of the draws is 0.0"),
    (LaplaceNoise(0.5), "sample", "unknown", "the draws have another distribution"),
    (NormalForLaplace(), "sample", "unknown", "the draws have another distribution"),
    (GreyForBits(), "sample", "zero", "is it a mean"),
    (RoundedUp(), "sample", "unknown", "draws are not whole numbers"),
    (OutsideTheSupport(), "sample", "unknown", "draws lie outside the support (0, 1)"),
    (OwnGenerator(), "sample", "noise-redrawn", "the same seed gives other draws"),
    (NewGenerator(), "sample", "zero", "every call gives the same draws"),
    (NoiseForAllPixels(), "sample", "shape", "pixels move together"),
    (UniformForAllPixels(), "sample", "shape", "pixels move together"),
    (TwiceTheSlope(), "nll_backward", "factor", "twice what it should be"),
    (SwappedSlopes(), "nll_backward", None, ""),
    (NoSlopeOfTheFloor(0.1), "nll_backward", None, ""),
    (SlopeOfTheMeanAlone(), "nll_backward", "shape", "has the shape"),
    (UnclippedBias(), "output_bias", "non-finite", "a pixel whose mean is 0"),
    (HalfABias(), "output_bias", "shape", "output_bias has the shape (3,)"),
    (WritesIntoThePixelMean(), "output_bias", "mutates-input", "read-only"),
]


@pytest.mark.parametrize("p", [WidensTheMean(), WidensTheDraws()])
def test_a_wider_dtype_is_told_and_not_called_wrong(p):
    report = check_likelihood(p)
    assert report.ok
    assert any("makes float64 of float32 logits" in row.note for row in report.rows)


@pytest.mark.parametrize(
    ("p", "where", "cause", "words"), PLANTED, ids=lambda v: type(v).__name__ if hasattr(v, "nll") else ""
)
def test_a_planted_mistake_is_the_one_finding(p, where, cause, words):
    report = check_likelihood(p)
    assert len(report.findings) == 1, str(report)
    (finding,) = report.findings
    assert finding.inputs[0] == where, str(report)
    assert finding.cause in CAUSES
    assert cause is None or finding.cause == cause, str(report)
    assert words in finding.message, finding.message
    assert "wrong" in {row.status for row in report.rows}


@pytest.mark.slow
@pytest.mark.usefixtures("measured_once")
@pytest.mark.parametrize(("p", "where"), [(p, where) for p, where, _, _ in PLANTED], ids=lambda v: type(v).__name__)
def test_a_planted_mistake_is_found_whatever_the_seed(p, where):
    for seed in range(10):
        report = check_likelihood(p, np.random.default_rng(seed))
        assert [finding.inputs[0] for finding in report.findings] == [where], f"seed {seed}: {report}"


def test_of_two_mistakes_both_are_found():
    class Both(SigmaSquared, HalvesSwapped):
        pass

    assert [finding.inputs[0] for finding in check_likelihood(Both()).findings] == ["mean", "sample"]


def test_what_does_not_hang_on_the_density_is_told_beside_a_wrong_nll():
    class Own(NoConstant):
        generator = np.random.default_rng(3)

        def sample(self, logits, rng):
            return super().sample(logits, self.generator)

    class Twice(NoConstant):
        def mean(self, logits):
            return 2 * logits

    assert [(f.inputs[0], f.cause) for f in check_likelihood(Own(0.5)).findings] == [
        ("nll", "missing-term"),
        ("sample", "noise-redrawn"),
    ]
    report = check_likelihood(Twice(0.5))
    assert [f.inputs[0] for f in report.findings] == ["nll"]
    assert {row.name: row.status for row in report.rows}["mean"] == "untested"


def test_the_message_holds_no_repair_and_no_expected_number():
    for p, *_ in PLANTED:
        for finding in (f for f in check_likelihood(p).findings if f.inputs != ("nll_backward",)):
            assert len(finding.message.split()) <= 32, finding.message
            assert not finding.repair or finding.repair not in finding.message
            shown = f"{finding.expected:.6g}" if finding.expected is not None else ""
            assert finding.inputs[0] in ("nll", "support") or not shown or shown not in finding.message.split()


def test_what_a_students_likelihood_lacks_is_not_tested():
    class NllAlone:
        def nll(self, x, logits):
            return Bernoulli().nll(x, logits)

    report = check_likelihood(NllAlone())
    assert report.ok
    assert report.state == "ok, mean, sample, nll_backward and output_bias untested"
    assert report.title == "likelihood NllAlone"


def test_a_density_that_nobody_can_add_up_is_untested():
    class AlmostAllAtZero:
        """x^(k - 1) k on (0, 1] with k = 1e-4: nine tenths of it lie below the smallest number."""

        def nll(self, x, logits):
            return (-math.log(1e-4) - (1e-4 - 1) * np.log(x)).sum(axis=1), None

    report = check_likelihood(AlmostAllAtZero())
    assert {row.status for row in report.rows} == {"untested"}
    assert "out of reach at the logit -3 (one of 7)" in report.rows[0].note


def test_the_generator_of_the_check_is_the_one_that_is_given():
    one, same, other = (str(check_likelihood(Gaussian(), np.random.default_rng(seed))) for seed in (1, 1, 2))
    assert one == same
    assert one != other
    assert str(check_likelihood(Categorical())) == str(check_likelihood(Categorical()))


def test_independent_pixels_are_a_matter_of_the_normal_scores():
    """The scores of right draws are standard normal for every pixel, whatever its density."""
    mass = integrated(measured(Exponential())[0].pixel)
    x = mass.pixel.likelihood.sample(np.full((20_000, 1), mass.pixel.logits[0]), np.random.default_rng(5))[:, 0]
    g = draws.normal_scores(draws.shares(mass, x, np.random.default_rng(6)))
    assert abs(g.mean()) < 5 / math.sqrt(len(g))
    assert abs((g * g).mean() - 1) < 5 * math.sqrt(2 / len(g))
    assert abs((g**4).mean() - 3) < 5 * math.sqrt(96 / len(g))
