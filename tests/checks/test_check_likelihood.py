"""check_likelihood: every planted mistake is found and named, and nothing that is right is accused."""

import math

import numpy as np
import pytest
from scipy.special import gammaln as log_gamma
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

    def remembered(p, extremes, support):
        if p not in found:
            found[p] = measured(p, extremes, support)
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


# -- right ones in odd styles, and the kinds of mistakes that they are mistaken for ------------------------------------

REAL, HALF, UNIT = (-math.inf, math.inf), (0.0, math.inf), (0.0, 1.0)
LOG_2PI = math.log(2 * math.pi)


class Written:
    """A likelihood out of functions of x and of its parameters, (B, D) each."""

    def __init__(self, name, support, nll, mean=None, sample=None, n_params=1):
        self.name, self.support, self.n_params, self.of_a_pixel = name, support, n_params, nll
        if mean:
            self.mean = lambda logits: np.asarray(mean(*self.split(logits))).astype(logits.dtype)
        if sample:
            self.sample = lambda logits, rng: np.asarray(sample(rng, *self.split(logits))).astype(logits.dtype)

    def split(self, logits):
        return logits.reshape(len(logits), self.n_params, -1).swapaxes(0, 1)

    def nll(self, x, logits):
        return self.of_a_pixel(x, *self.split(logits)).sum(axis=1), None


def unit(x, m, s):
    return (x - m) * np.exp(-s)


def squashed(logits):
    return 0.5 + 0.5 * np.tanh(0.5 * logits)


def binomial(n, step, low):
    """A binomial, whose n + 1 values are low + k step."""

    def nll(x, logits):
        k = np.rint((x - low) / step)
        log_choices = math.lgamma(n + 1) - log_gamma(k + 1) - log_gamma(n - k + 1)
        return n * np.logaddexp(0, logits) - k * logits - log_choices

    def sample(rng, logits):
        return low + step * rng.binomial(n, squashed(logits))

    mean = lambda logits: low + step * n * squashed(logits)  # noqa: E731
    return Written(f"binomial-{n}-{low:g}", (low, low + n * step), nll, mean, sample)


def cells(support, levels):
    """A discretised logistic of scale 1/20 in the cells of k / levels + low, the outermost taking what lies beyond."""
    low, high = support

    def nll(x, logits):
        below, upto = (squashed(20 * (x - np.tanh(logits) + side / levels)) for side in (-0.5, 0.5))
        p = np.where(x > high - 0.1 / levels, 1, upto) - np.where(x < low + 0.1 / levels, 0, below)
        return -np.log(np.maximum(p, 1e-300))

    def sample(rng, logits):
        x = np.clip(np.tanh(logits) + rng.logistic(size=logits.shape) / 20, low, high)
        return np.rint((x - low) * levels) / levels + low

    return Written(f"cells-{levels:g}", support, nll, None, sample)


class Comb(Written):
    """Forty narrow peaks, 3.3 apart, or peaks of the weights w at c."""

    def __init__(self, c, w, sigma=0.02):
        self.c, self.w, self.sigma = np.asarray(c, float), np.asarray(w, float), sigma
        super().__init__("comb", REAL, self.density, lambda m: m + (self.c * self.w).sum(), self.draws)

    def density(self, x, m):
        u = (x[..., None] - m[..., None] - self.c) / self.sigma
        return -np.logaddexp.reduce(np.log(self.w) - 0.5 * u * u, axis=-1) + math.log(self.sigma) + 0.5 * LOG_2PI

    def draws(self, rng, m):
        return m + rng.choice(self.c, m.shape, p=self.w) + self.sigma * rng.standard_normal(m.shape)


def t_nll(x, m, s, power=2.5):
    """Student's t with 4 degrees of freedom."""
    return (
        math.lgamma(2) - math.lgamma(2.5) + 0.5 * math.log(4 * math.pi) + s + power * np.log1p(unit(x, m, s) ** 2 / 4)
    )


def t_sample(rng, m, s):
    return m + np.exp(s) * rng.standard_t(4, m.shape)


def half_normal(x, s):
    return 0.5 * math.log(math.pi / 2) + s + 0.5 * (x * np.exp(-s)) ** 2


HALF_NORMAL = (
    lambda s: np.exp(s) * math.sqrt(2 / math.pi),
    lambda rng, s: np.exp(s) * np.abs(rng.standard_normal(s.shape)),
)
GAMMA = (
    lambda x, a, b: -np.exp(a) * b + log_gamma(np.exp(a)) - (np.exp(a) - 1) * np.log(x) + np.exp(b) * x,
    lambda rng, a, b: rng.standard_gamma(np.exp(a)) * np.exp(-b),
)
RATE = (lambda x, s: np.exp(s) * x - s, lambda rng, s: rng.standard_exponential(s.shape) * np.exp(-s))
GEOMETRIC = (
    lambda x, s: x * np.logaddexp(0, s) + np.logaddexp(0, -s),
    lambda rng, s: rng.geometric(squashed(s)) - 1,
)
LOG_NORMAL = (
    lambda x, m, s: np.log(x) + s + 0.5 * LOG_2PI + 0.5 * unit(np.log(x), m, s) ** 2,
    lambda rng, m, s: np.exp(m + np.exp(s) * rng.standard_normal(m.shape)),
)
GUMBEL = (
    lambda m, s: m + np.exp(s) * 0.5772156649015329,
    lambda rng, m, s: m + np.exp(s) * rng.gumbel(size=m.shape),
)


def two_sided(x, m, s):
    """A density that is twice as wide on the right."""
    u = unit(x, m, s)
    return math.log(3) + s + np.where(u < 0, -u, 0.5 * u)


def two_sided_draws(rng, m, s):
    right = rng.random(m.shape) < 2 / 3
    return m + np.exp(s) * rng.standard_exponential(m.shape) * np.where(right, 2, -1)


def centres(x, s):
    """Whole cells: their centres (k + 1/2) / 16, of a geometric decay that depends on s."""
    k, q = x * 16 - 0.5, 0.9 * squashed(s)
    return -k * np.log(q) - np.log((1 - q) / (1 - q**16))


def centres_drawn(rng, s):
    q = (0.9 * squashed(s))[..., None] ** np.arange(16)
    below = np.cumsum(q / q.sum(axis=-1, keepdims=True), axis=-1)[..., :-1]
    return ((rng.random(s.shape)[..., None] > below).sum(axis=-1) + 0.5) / 16


ODD = [
    binomial(31, 1 / 31, 0.0),
    binomial(15, 2 / 15, -1.0),
    binomial(1, 2.0, -1.0),
    binomial(6, 0.5, 0.0),
    cells((-1.0, 1.0), 127.5),
    Comb(3.3 * np.arange(40), np.full(40, 1 / 40)),
    Comb([-1000.3, 0, 77.77], [0.001, 0.5, 0.499]),
    Written("t", REAL, t_nll, lambda m, s: m + 0 * s, t_sample, 2),
    Written("half-normal", HALF, half_normal, *HALF_NORMAL),
    Written("two-sided", REAL, two_sided, lambda m, s: m + np.exp(s), two_sided_draws, 2),
    Written("centres", UNIT, centres, None, centres_drawn),
    Written("half-normal-of-a-mean-alone", HALF, half_normal, HALF_NORMAL[0]),
    Written("grey-without-draws", UNIT, binomial(31, 1 / 31, 0.0).of_a_pixel),
    Written("log-normal", HALF, LOG_NORMAL[0], lambda m, s: np.exp(m + np.exp(2 * s) / 2), LOG_NORMAL[1], 2),
]


@pytest.mark.parametrize("p", ODD, ids=lambda p: p.name)
def test_right_ones_in_odd_styles_pass(p):
    report = check_likelihood(p)
    assert report.ok, str(report)
    assert report.rows[0].status == "ok"


def on_the_line(rng, s):
    return np.exp(s) * rng.standard_normal(s.shape)


def test_a_density_on_more_than_the_range_of_the_data_is_right_if_its_draws_are_its_own():
    """Pixels in [0, 1] may have a Gaussian for their density; draws that stop at the ends speak of another one."""
    for p in (
        NarrowSupport(0.5),
        Written("line", HALF, lambda x, s: half_normal(x, s) + math.log(2), None, on_the_line),
    ):
        report = check_likelihood(p)
        assert report.ok, str(report)
        assert not report.findings
        assert "over (-inf, inf), beyond the support" in report.rows[0].note
    for sample in (lambda rng, s: np.abs(on_the_line(rng, s)), None):
        report = check_likelihood(Written("half", HALF, lambda x, s: half_normal(x, s) + math.log(2), None, sample))
        assert not report.ok, str(report)
        assert report.findings[0].inputs[0] in ("nll", "support")


def test_a_support_may_be_an_array():
    p = Bernoulli()
    p.support = np.array([0.0, 1.0])
    assert check_likelihood(p).ok


def test_without_a_support_it_is_the_one_that_holds_the_draws():
    for low, nll, sample in (
        (0.0, RATE[0], RATE[1]),
        (-math.inf, lambda x, s: half_normal(x, s) + math.log(2), on_the_line),
    ):
        for constant, ok in ((0.0, True), (1.0, False)):
            p = Written("no support", (0.0, 1.0), lambda x, s, nll=nll, c=constant: nll(x, s) + c, None, sample)
            del p.support
            report = check_likelihood(p)
            assert report.ok is ok, str(report)
            assert ok or "a normalising constant is missing" in report.findings[0].message, (low, str(report))


ZERO_INFLATED = (
    lambda x, w, s: np.where(x == 0, np.logaddexp(0, -w), np.logaddexp(0, w) + np.exp(s) * x - s),
    lambda rng, w, s: np.where(rng.random(w.shape) < squashed(w), 0, RATE[1](rng, s)),
)


def test_a_density_with_a_point_of_mass_is_untested():
    """It is neither an integral nor a sum; one that does not come to 1 with the point either is wrong."""
    nll, sample = ZERO_INFLATED
    report = check_likelihood(Written("zero-inflated", HALF, nll, None, sample, 2))
    assert not report.findings, str(report)
    assert {row.status for row in report.rows} == {"untested"}
    assert "with a point of mass at 0" in report.rows[0].note
    report = check_likelihood(Written("zero-inflated", HALF, lambda x, w, s: nll(x, w, s) + 1, None, sample, 2))
    assert [finding.inputs[0] for finding in report.findings] == ["nll"], str(report)


SHAPE = "more than a normalising constant is wrong"
KINDS = {
    # one entry that fits is not all of them: a mean beside the right one
    "gamma's mode": (HALF, GAMMA[0], lambda a, b: (np.exp(a) - 1) * np.exp(-b), GAMMA[1], "mean", "and elsewhere"),
    "gamma's a + 1": (HALF, GAMMA[0], lambda a, b: (np.exp(a) + 1) * np.exp(-b), GAMMA[1], "mean", "and elsewhere"),
    "gamma's half": (
        HALF,
        GAMMA[0],
        lambda a, b: np.exp(a - b) / 2,
        GAMMA[1],
        "mean",
        "mean is half of what it should",
    ),
    "s for 2 s": (HALF, LOG_NORMAL[0], lambda m, s: np.exp(m + np.exp(s) / 2), LOG_NORMAL[1], "mean", "with l / 2 in"),
    "rate for mean": (HALF, RATE[0], lambda s: np.exp(s), RATE[1], "mean", "mean is the reciprocal of that of"),
    "from 1 on": (HALF, GEOMETRIC[0], lambda s: 1 + np.exp(-s), GEOMETRIC[1], "mean", "mean is 1 too high, at all"),
    # what follows exp(-nll) lacks a constant; what does not lacks more
    "a constant": (REAL, lambda x, m, s: t_nll(x, m, s) - 1, lambda m, s: m, t_sample, "nll", CONSTANT),
    "a power": (REAL, lambda x, m, s: t_nll(x, m, s, 2.0), lambda m, s: m, t_sample, "nll", "x in nll is 0.8 times"),
    "no half": (
        REAL,
        lambda x, m, s: 0.5 * LOG_2PI + s + unit(x, m, s) ** 2,
        lambda m, s: m,
        lambda rng, m, s: m + np.exp(s) * rng.standard_normal(m.shape),
        "nll",
        "what depends on x in nll is twice what it should be",
    ),
    "a square": (
        REAL,
        lambda x, m, s: math.log(2) + s + 0.5 * unit(x, m, s) ** 2,
        lambda m, s: m,
        lambda rng, m, s: m + np.exp(s) * rng.laplace(size=m.shape),
        "nll",
        SHAPE,
    ),
    "no coefficient": (
        (0.0, 10.0),
        lambda x, s: 10 * np.logaddexp(0, s) - x * s,
        lambda s: 10 * squashed(s),
        lambda rng, s: rng.binomial(10, squashed(s)),
        "nll",
        "the term -log (n over x) is missing",
    ),
    "no draws": (REAL, lambda x, m, s: t_nll(x, m, s, 2.0), lambda m, s: m, None, "nll", "or its shape is wrong"),
    "a mean": (
        HALF,
        lambda x, s: half_normal(x, s) - np.log(x) + s,
        HALF_NORMAL[0],
        None,
        "nll",
        "mean is not its mean",
    ),
    "no Jacobian": (
        HALF,
        lambda x, m, s: LOG_NORMAL[0](x, m, s) - np.log(x),
        lambda m, s: np.exp(m + np.exp(2 * s) / 2),
        LOG_NORMAL[1],
        "nll",
        "the term log x is missing",
    ),
    # half of a line: the draws decide
    "log 2": (HALF, lambda x, s: half_normal(x, s) + math.log(2), *HALF_NORMAL, "nll", CONSTANT),
    "log 2, no draws": (HALF, lambda x, s: half_normal(x, s) + math.log(2), HALF_NORMAL[0], None, "nll", "constant is"),
    # two witnesses against one
    "the other Gumbel": (REAL, lambda x, m, s: np.exp(unit(x, m, s)) - unit(x, m, s) + s, *GUMBEL, "nll", "not theirs"),
    "the mean alone": (
        REAL,
        lambda x, m, s: np.exp(-unit(x, m, s)) + unit(x, m, s) + s,
        lambda m, s: m - np.exp(s) * 0.5772156649015329,
        GUMBEL[1],
        "mean",
        "and elsewhere",
    ),
    # draws whose mean is made from the right one
    "9 of 10": ((0.0, 10.0), None, None, lambda rng, s: rng.binomial(9, squashed(s)), "sample", "is 0.9 times that of"),
    "1 - x": (UNIT, None, None, lambda rng, s: rng.binomial(10, squashed(-s)) / 10, "sample", "is 1 minus that of"),
    # other lattices
    "k/31 + 1/62": (
        UNIT,
        None,
        None,
        lambda rng, s: (rng.binomial(30, squashed(s)) + 0.5) / 31,
        "sample",
        "multiples of",
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_of_two_that_look_alike_each_is_told(kind):
    support, nll, mean, sample, where, words = KINDS[kind]
    if nll is None:
        n = 31 if "31" in kind else 10
        right = binomial(n, support[1] / n, 0.0)
        nll, mean = right.of_a_pixel, lambda s: support[1] * squashed(s)
    p = Written(kind, support, nll, mean, sample, nll.__code__.co_argcount - 1 - len(nll.__defaults__ or ()))
    report = check_likelihood(p)
    assert [finding.inputs[0] for finding in report.findings] == [where], str(report)
    (finding,) = report.findings
    assert words in finding.message, finding.message
    assert not finding.repair or finding.repair not in finding.message
    assert len(finding.message.split()) <= 32, finding.message
    assert finding.cause in CAUSES


WEIBULL = (
    lambda x, k, m: -k + m * np.exp(k) - (np.exp(k) - 1) * np.log(x) + (x * np.exp(-m)) ** np.exp(k),
    lambda rng, k, m: np.exp(m) * rng.weibull(np.exp(k), k.shape),
)
SOFT_HALF_NORMAL = lambda x, s: half_normal(x, np.log(np.logaddexp(0, s)))  # noqa: E731
BINOMIAL = binomial(10, 1.0, 0.0)
FIRST, SECOND, ONE = "the first logit l", "the second logit l", "the logit l"
NORMAL = lambda rng, m, s: m + np.exp(s) * rng.standard_normal(m.shape)  # noqa: E731
LAPLACE = lambda rng, m, s: m + np.exp(s) * rng.laplace(size=m.shape)  # noqa: E731
OF_M = lambda m, s: m  # noqa: E731
POWER = "elementwise-factor"
PARAMETERS = {  # support, nll, mean, sample; the finding's place, cause and words
    # draws of another parameter
    "rate": (HALF, GAMMA[0], None, lambda rng, a, b: GAMMA[1](rng, a, -b), "sample", POWER, "-l in place of " + SECOND),
    "square": (
        HALF,
        GAMMA[0],
        None,
        lambda rng, a, b: GAMMA[1](rng, 2 * a, b),
        "sample",
        POWER,
        "2 l in place of " + FIRST,
    ),
    "twice": (
        HALF,
        WEIBULL[0],
        None,
        lambda rng, k, m: WEIBULL[1](rng, k + np.log(2), m),
        "sample",
        "factor",
        "l + log 2 in place of " + FIRST,
    ),
    "swapped": (HALF, GAMMA[0], None, lambda rng, a, b: GAMMA[1](rng, b, a), "sample", POWER, "in each other's place"),
    "variance": (
        HALF,
        LOG_NORMAL[0],
        None,
        lambda rng, m, s: LOG_NORMAL[1](rng, m, 2 * s),
        "sample",
        POWER,
        "2 l in place of " + SECOND,
    ),
    "half": (
        HALF,
        LOG_NORMAL[0],
        None,
        lambda rng, m, s: LOG_NORMAL[1](rng, m, s - np.log(2)),
        "sample",
        "factor",
        "l - log 2 in",
    ),
    "unused": (
        HALF,
        LOG_NORMAL[0],
        None,
        lambda rng, m, s: LOG_NORMAL[1](rng, m, 0 * s),
        "sample",
        POWER,
        "0 in place of " + SECOND,
    ),
    "shape": (
        HALF,
        WEIBULL[0],
        None,
        lambda rng, k, m: WEIBULL[1](rng, k / 2, m),
        "sample",
        POWER,
        "l / 2 in place of " + FIRST,
    ),
    "complement": (
        (0.0, 10.0),
        BINOMIAL.of_a_pixel,
        None,
        lambda rng, s: BINOMIAL.sample(-s, rng),
        "sample",
        POWER,
        "-l in place of " + ONE,
    ),
    "softplus": (
        HALF,
        SOFT_HALF_NORMAL,
        None,
        lambda rng, s: HALF_NORMAL[1](rng, 2 * np.log(np.logaddexp(0, s))),
        "sample",
        POWER,
        "softplus(l)^2 in place of softplus(l)",
    ),
    "minus": (
        REAL,
        lambda x, m, s: np.exp(-unit(x, m, s)) + unit(x, m, s) + s,
        None,
        lambda rng, m, s: GUMBEL[1](rng, -m, s),
        "sample",
        "sign",
        "-l in place of " + FIRST,
    ),
    # terms with x of another parameter
    "no square": (
        REAL,
        lambda x, m, s: 0.5 * LOG_2PI + s + 0.5 * (x - m) ** 2 * np.exp(-s),
        OF_M,
        NORMAL,
        "nll",
        POWER,
        "fits the draws with 2 l in place of " + SECOND,
    ),
    "a square": (
        REAL,
        lambda x, m, s: math.log(2) + s + np.abs(x - m) * np.exp(-2 * s),
        OF_M,
        LAPLACE,
        "nll",
        POWER,
        "l / 2 in place of " + SECOND,
    ),
    "b for 1 / b": (
        REAL,
        lambda x, m, s: math.log(2) + s + np.abs(x - m) * np.exp(s),
        OF_M,
        LAPLACE,
        "nll",
        POWER,
        "-l in place of " + SECOND,
    ),
    "one b": (
        HALF,
        lambda x, a, b: GAMMA[0](x, a, b) - np.exp(b) * x + np.exp(-b) * x,
        None,
        GAMMA[1],
        "nll",
        POWER,
        "-l in place of " + SECOND,
    ),
    "x + m": (
        REAL,
        lambda x, m, s: 0.5 * LOG_2PI + s + 0.5 * unit(x, -m, s) ** 2 + 0.1 * m,
        OF_M,
        NORMAL,
        "nll",
        "sign",
        "-l in place of " + FIRST,
    ),
    # a mean, or mean and draws, of another parameter
    "mean": (
        HALF,
        GAMMA[0],
        lambda a, b: np.exp(a + b),
        GAMMA[1],
        "mean",
        POWER,
        "mean is that of exp(-nll) with -l in place of " + SECOND,
    ),
    "both": (
        HALF,
        GAMMA[0],
        lambda a, b: np.exp(a + b),
        lambda rng, a, b: GAMMA[1](rng, a, -b),
        "nll",
        POWER,
        "mean and draws agree with each other, and are those",
    ),
    # what no parameter explains
    "more": (
        REAL,
        lambda x, m, s: 0.5 * LOG_2PI + s + 0.5 * unit(x, m, s) ** 2,
        OF_M,
        lambda rng, m, s: NORMAL(rng, m, np.log(np.exp(s) + 0.3)),
        "sample",
        "unknown",
        "is not that of exp(-nll)",
    ),
    "a + 1": (
        HALF,
        GAMMA[0],
        None,
        lambda rng, a, b: GAMMA[1](rng, np.log(np.exp(a) + 1), b),
        "sample",
        "unknown",
        "another mean",
    ),
    "cut off": (
        HALF,
        GAMMA[0],
        None,
        lambda rng, a, b: np.minimum(GAMMA[1](rng, a, -b), 9),
        "sample",
        "unknown",
        "another",
    ),
}


def the_one_finding(name, support, nll, mean, sample):
    p = Written(name, support, nll, mean, sample, nll.__code__.co_argcount - 1)
    report = check_likelihood(p)
    assert len(report.findings) == 1, str(report)
    (finding,) = report.findings
    assert len(finding.message.split()) <= 34, finding.message
    assert finding.cause in CAUSES
    return finding


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
@pytest.mark.parametrize("kind", PARAMETERS)
def test_another_parameter_is_told_as_other_logits(kind):
    *p, where, cause, words = PARAMETERS[kind]
    finding = the_one_finding(kind, *p)
    assert (finding.inputs, finding.cause) == ((where,), cause), finding
    assert words in finding.message, finding.message


def binned(x, m, low=1.0, high=1.0):
    """A logistic of scale 1 in bins from 0 to 20; low and high say how much of what lies beyond the outer ones take."""
    below, upto = (squashed(x - 20 * squashed(m) + side) for side in (-0.5, 0.5))
    return -np.log(np.maximum(upto - below + low * below * (x < 0.5) + high * (1 - upto) * (x > 19.5), 1e-300))


def inflated(x, w, s, zero):
    """A Poisson with more zeros."""
    pi, rate = squashed(w), np.exp(s)
    return np.where(x == 0, -np.log(zero(pi, np.exp(-rate))), rate - x * s + log_gamma(x + 1) - np.log1p(-pi))


BINNED = lambda rng, m: np.clip(np.rint(20 * squashed(m) + rng.logistic(size=m.shape)), 0, 20)  # noqa: E731


def inflated_draws(rng, w, s):
    return np.where(rng.random(w.shape) < squashed(w), 0, rng.poisson(np.minimum(np.exp(s), 1e9)))


TABLE = (0.0, 20.0)
VALUES = {
    "half of an end": (TABLE, lambda x, m: binned(x, m, low=0.5), BINNED, "for x = 0 alone"),
    "both ends": (TABLE, lambda x, m: binned(x, m, 2.0, 0.5), BINNED, "for x = 0 and 20 alone"),
    "no Poisson": (HALF, lambda x, w, s: inflated(x, w, s, lambda pi, p: pi), inflated_draws, "for x = 0 alone"),
    "no zeros": (
        HALF,
        lambda x, w, s: inflated(x, w, s, lambda pi, p: (1 - pi) * p),
        inflated_draws,
        "for x = 0 alone",
    ),
    "no 1 - pi": (HALF, lambda x, w, s: inflated(x, w, s, lambda pi, p: pi + p), inflated_draws, "for x = 0 alone"),
    "all": (TABLE, lambda x, m: binned(x, m) + 0.1 * m, BINNED, "a normalising term is missing"),
    "two values": (
        UNIT,
        lambda x, m: -x * m + np.log(2 + 0 * m),
        lambda rng, m: (rng.random(m.shape) < squashed(m)) * 1.0,
        "a normalising term is missing",
    ),
}


FACTORIAL = np.vectorize(lambda x: math.lgamma(x + 1), otypes=[float])
POISSON = lambda rng, m: rng.poisson(np.exp(m)) * 1.0  # noqa: E731
BITS = lambda rng, m: (rng.random(m.shape) < squashed(m)) * 1.0  # noqa: E731
MINUS = "the normalising term has minus the logit, where the logit belongs"
NORMALISERS = {  # support, nll, draws, cause, the end of the sentence
    "exp(-l)": (HALF, lambda x, m: np.exp(-m) - x * m + FACTORIAL(x), POISSON, "sign", MINUS),
    "-exp(l)": (
        HALF,
        lambda x, m: -np.exp(m) - x * m + FACTORIAL(x),
        POISSON,
        "sign",
        "the normalising term has the wrong sign",
    ),
    "none": (HALF, lambda x, m: FACTORIAL(x) - x * m, POISSON, "missing-term", ": a normalising term is missing"),
    "softplus(-l)": (UNIT, lambda x, m: np.logaddexp(0, -m) - x * m, BITS, "sign", MINUS),
    "another": (
        UNIT,
        lambda x, m: np.sqrt(1 + m * m) - x * m,
        BITS,
        "unknown",
        ": the terms in the logits alone are wrong",
    ),
}


@pytest.mark.parametrize("kind", NORMALISERS)
def test_a_normaliser_is_called_missing_only_if_it_is(kind):
    support, nll, sample, cause, words = NORMALISERS[kind]
    finding = the_one_finding(kind, support, nll, None, sample)
    assert (finding.inputs, finding.cause) == (("nll",), cause), finding
    assert finding.message.endswith(words), finding.message
    assert " inf " not in finding.message


@pytest.mark.parametrize("width", [0.5, 2.0])
def test_a_spread_that_is_one_number_has_no_power(width):
    """Half of 0.5 is its square as well."""
    nll = lambda x, m: 0.5 * ((x - m) / width) ** 2 + math.log(width) + 0.5 * LOG_2PI  # noqa: E731
    for factor in (0.5, 2.0):
        draws = lambda rng, m, c=factor: m + c * width * rng.standard_normal(m.shape)  # noqa: E731
        finding = the_one_finding("wide", REAL, nll, lambda m: m, draws)
        assert finding.message.endswith("times that of exp(-nll), at all logits")
        assert f"is {factor:.1g} times" in finding.message


def test_a_scale_of_another_power_is_named_in_a_family_whose_scale_is_no_spread():
    """The spread of a Laplace is sqrt(2) b."""
    nll = lambda x, m, s: np.abs(unit(x, m, s)) + s + math.log(2)  # noqa: E731
    root = lambda rng, m, s: rng.laplace(m, np.exp(s / 2))  # noqa: E731
    finding = the_one_finding("root", REAL, nll, lambda m, s: m, root)
    assert finding.message.endswith("is 1.2 times the square root of that of exp(-nll)")


@pytest.mark.parametrize("kind", VALUES)
def test_a_value_that_alone_is_wrong_is_named(kind):
    support, nll, sample, words = VALUES[kind]
    finding = the_one_finding(kind, support, nll, None, sample)
    assert (finding.inputs, finding.cause) == (("nll",), "missing-term"), finding
    assert words in finding.message, finding.message


def test_what_is_binned_or_inflated_in_the_right_way_passes():
    zeros = lambda x, w, s: inflated(x, w, s, lambda pi, p: pi + (1 - pi) * p)  # noqa: E731
    assert check_likelihood(Written("inflated", HALF, zeros, None, inflated_draws, 2)).ok
    assert check_likelihood(Written("binned", TABLE, lambda x, m: binned(x, m), None, BINNED)).ok


def test_a_constant_is_all_that_is_missing_whatever_the_draws_are_made_from():
    """The uniform numbers of the sample are not those that choose a side of a jump."""
    draws = lambda rng, m: (rng.random(m.shape) < squashed(m)) * 1.0  # noqa: E731
    finding = the_one_finding("bits", UNIT, lambda x, m: np.logaddexp(0, m) - x * m + 0.7, squashed, draws)
    assert CONSTANT in finding.message


def hurdle(x, w, s, zero, other=0.0):
    return np.where(x == 0, -np.log(zero(squashed(w))), np.logaddexp(0, w) + RATE[0](x, s) + other)


@pytest.mark.parametrize("zero", [lambda pi: 1 - pi, lambda pi: pi / 2, lambda pi: pi**2])
def test_a_point_of_mass_that_alone_is_wrong_is_named(zero):
    nll = lambda x, w, s: hurdle(x, w, s, zero)  # noqa: E731
    finding = the_one_finding("hurdle", HALF, nll, None, ZERO_INFLATED[1])
    assert (finding.inputs, finding.cause) == (("nll",), "missing-term"), finding
    assert "at x = 0 exp(-nll) is not the share of the draws" in finding.message
    beside = lambda x, w, s: hurdle(x, w, s, zero, 0.3)  # noqa: E731
    assert "at x = 0" not in the_one_finding("hurdle", HALF, beside, None, ZERO_INFLATED[1]).message


# -- one slip, one finding ---------------------------------------------------------------------------------------------


class ComplementaryLogLog:
    """A Bernoulli of p = 1 - exp(-exp(l)), whose slope for a 1 is soon too small for differences."""

    name, n_params = "cloglog", 1

    def nll(self, x, logits):
        rate = np.exp(np.maximum(logits.real, -30))  # no complex step
        return np.where(x > 0.5, -np.log(-np.expm1(-rate)), rate).sum(axis=1), (x, logits)

    def nll_backward(self, dnll, cache):
        x, logits = cache
        rate = np.exp(logits)
        return dnll[:, None] * np.where(x > 0.5, -rate / np.expm1(rate), rate)

    def mean(self, logits):
        return -np.expm1(-np.exp(logits))

    def sample(self, logits, rng):
        return (rng.random(logits.shape) < self.mean(logits)).astype(logits.dtype)


class WithoutTheChainOfZeros(ComplementaryLogLog):
    def nll_backward(self, dnll, cache):
        return super().nll_backward(dnll, cache) / np.where(cache[0] > 0.5, 1.0, np.exp(cache[1]))


def test_what_is_not_to_be_seen_does_not_make_a_slope_wrong():
    row = next(row for row in check_likelihood(ComplementaryLogLog()).rows if row.name == "nll_backward")
    assert row.status == "ok"
    assert "not to be seen" in row.note
    assert [f.inputs for f in check_likelihood(WithoutTheChainOfZeros()).findings] == [("nll_backward",)]


class LogVariance:
    """A Gaussian with a log variance, from parts that a slip may replace."""

    name, support, n_params = "gaussian2", (-math.inf, math.inf), 2

    def of_a_pixel(self, x, m, s):
        return 0.5 * ((x - m) ** 2 * np.exp(-s) + s + math.log(2 * math.pi))

    def nll(self, x, logits):
        return self.of_a_pixel(x, *halves(logits)).sum(axis=1), (x, logits)

    def nll_backward(self, dnll, cache):
        x, (m, s) = cache[0], halves(cache[1])
        u = (x - m) * np.exp(-s)
        return dnll[:, None] * np.concatenate([-u, 0.5 * (1 - (x - m) * u)], axis=1)

    def mean(self, logits):
        return halves(logits)[0].copy()

    def sample(self, logits, rng):
        m, s = halves(logits)
        return m + np.exp(0.5 * s) * rng.standard_normal(m.shape)


class LacksTheLogVariance(LogVariance):
    def of_a_pixel(self, x, m, s):
        return super().of_a_pixel(x, m, s) - 0.5 * s


class TwiceTheSquares(LogVariance):
    def of_a_pixel(self, x, m, s):
        return super().of_a_pixel(x, m, s) + 0.5 * (x - m) ** 2 * np.exp(-s)


class TwiceInAll(LogVariance):
    def of_a_pixel(self, x, m, s):
        return 2 * super().of_a_pixel(x, m, s)


class InverseVariance(LogVariance):
    def of_a_pixel(self, x, m, s):
        return super().of_a_pixel(x, m, -s) + s


class MeanOverTheBatch(LogVariance):
    def of_a_pixel(self, x, m, s):
        return super().of_a_pixel(x, m, s) - 0.5 * s + 0.5 * s.mean()


@pytest.mark.parametrize(
    ("p", "status"),
    [
        (LacksTheLogVariance(), "ok"),
        (TwiceTheSquares(), "ok"),
        (TwiceInAll(), "ok"),
        (MeanOverTheBatch(), "ok"),
        (InverseVariance(), "untested"),
    ],
    ids=lambda v: type(v).__name__,
)
def test_a_right_slope_is_no_fault_beside_a_wrong_nll(p, status):
    report = check_likelihood(p)
    assert [finding.inputs for finding in report.findings] == [("nll",)], str(report)
    row = next(row for row in report.rows if row.name == "nll_backward")
    assert row.status == status, str(report)
    assert "it is not that of nll" in row.note


def test_a_wrong_slope_is_told_beside_an_nll_that_lacks_a_number():
    class Both(NoConstant):
        def nll_backward(self, dnll, cache):
            return 2 * super().nll_backward(dnll, cache)

    nll, backward = check_likelihood(Both(0.3)).findings
    assert [nll.inputs, backward.inputs] == [("nll",), ("nll_backward",)]
    assert "twice" in backward.message


def test_rows_that_meet_in_an_nll_are_told():
    (finding,) = check_likelihood(MeanOverTheBatch()).findings
    assert "changes with the other images of the batch" in finding.message


def test_an_nll_that_is_a_density_when_halved_by_coincidence_lacks_a_constant():
    class TwiceTheConstant(Gaussian):
        def nll(self, x, logits):
            nll, cache = super().nll(x, logits)
            return nll + x.shape[1] * 0.5 * math.log(2 * math.pi), cache

    (finding,) = check_likelihood(TwiceTheConstant(0.5)).findings
    assert finding.cause == "missing-term"
    assert CONSTANT in finding.message


class WrongSignOfTheFactorial(NoFactorial):
    def nll(self, x, logits):
        nll, cache = super().nll(x, logits)
        return nll - log_gamma(x + 1.0).sum(axis=1), cache


class LacksAFactorial:
    """A binomial of 10 throws without the log (n - x)! of its coefficient."""

    name, support, n = "binomial", (0.0, 10.0), 10
    log_factorial = staticmethod(lambda x: log_gamma(x + 1.0))

    def nll(self, x, logits):
        ways = math.lgamma(self.n + 1.0) - self.log_factorial(x)
        return (self.n * softplus(logits)[0] - x * logits - ways).sum(axis=1), None

    def sample(self, logits, rng):
        return rng.binomial(self.n, Bernoulli().mean(logits)).astype(logits.dtype)


def test_a_factorial_of_a_coefficient_is_named():
    (finding,) = check_likelihood(LacksAFactorial()).findings
    assert finding.inputs == ("nll",)
    assert "the term log (n - x)! is missing" in finding.message


def test_a_term_of_the_wrong_sign_is_named():
    (finding,) = check_likelihood(WrongSignOfTheFactorial()).findings
    assert (finding.inputs, finding.cause) == (("nll",), "sign")
    assert "the term log x! has the wrong sign" in finding.message


# -- draws that lack a last step ---------------------------------------------------------------------------------------


class LogNormal:
    """exp of a Gaussian of variance 1."""

    name, support, n_params = "lognormal", (0.0, math.inf), 1

    def nll(self, x, logits):
        u = np.log(x)
        return (u + 0.5 * (u - logits) ** 2 + 0.5 * math.log(2 * math.pi)).sum(axis=1), None

    def sample(self, logits, rng):
        return logits + rng.standard_normal(logits.shape)


class NoMinus(Exponential):
    def sample(self, logits, rng):
        return -super().sample(logits, rng)


class SoftplusForExp(Poisson):
    def sample(self, logits, rng):
        return rng.poisson(softplus(logits)[0]).astype(logits.dtype)


@pytest.mark.parametrize(
    ("p", "cause", "words"),
    [
        (LogNormal(), "elementwise-factor", "the draws are the logarithm of those of exp(-nll)"),
        (NoMinus(), "sign", "the draws are minus those of exp(-nll)"),
        (SoftplusForExp(), "elementwise-factor", "log(softplus(l)) in place of the logit l"),
    ],
    ids=lambda v: type(v).__name__,
)
def test_a_last_step_of_the_draws_is_named(p, cause, words):
    (finding,) = check_likelihood(p).findings
    assert (finding.inputs, finding.cause) == (("sample",), cause)
    assert words in finding.message


class Overflows(ContinuousBernoulli):
    """As an inverse cdf may, far out; or at a usual logit."""

    lost = -20.0

    def sample(self, logits, rng):
        return np.where(logits == self.lost, np.inf, super().sample(logits, rng)).astype(logits.dtype)


def test_draws_that_overflow_far_out_are_not_tested_there():
    report = check_likelihood(Overflows())
    assert report.ok, str(report)
    assert any("not finite at the logit -20" in row.note for row in report.rows)


def test_draws_outside_the_support_are_told_with_their_logit():
    p = Overflows()
    p.lost = 1.0
    (finding,) = check_likelihood(p).findings
    assert finding.message.startswith("draws lie outside the support (0, 1) at the logit 1, inf for one")
