"""Whole models, samplers, bounds and optimizers: what is wrong, and where in the model the fault is."""

import math
import sys

import numpy as np
import pytest
from standin import Cupy
from zoo import Laplace

import scratchvae.vae as vae_module
from scratchvae import SGD, VAE, Adagrad, Adam, Autoencoder, Bernoulli, Gaussian, ImportanceWeighted, reparameterize
from scratchvae.checks import check_evidence, check_gradients, check_optimizer, check_sampler, check_vjp
from scratchvae.checks.pixels import drawn_pixels
from scratchvae.layers import ACTIVATIONS, prefixed
from scratchvae.likelihoods import LIKELIHOODS


def build(kind=VAE, likelihood=None, activation="tanh", n_z=2, n_hidden=(7,), dtype="float64"):
    rng = np.random.default_rng(3)
    model = kind(6, n_hidden, n_z, activation, likelihood, rng=rng, dtype=dtype)
    for p in model.params.values():
        p += (0.3 * rng.standard_normal(p.shape)).astype(dtype)
    return model


def batch(model, B=5):
    rng = np.random.default_rng(4)
    return rng.random((B, 6)), model.draw_eps(B, rng)


def only(report):
    assert len(report.findings) == 1, str(report)
    return report.findings[0]


# -- gradients of a model ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("kind", [VAE, Autoencoder])
def test_right_models_pass_and_are_left_as_they_were(kind, activation):
    model = build(kind, activation=activation, n_hidden=(7, 5))
    before = {name: p.copy() for name, p in model.params.items()}
    report = check_gradients(model, *batch(model), beta=0.7)
    assert report.ok, str(report)
    assert [row.name for row in report.rows] == list(model.params)
    for name, p in model.params.items():
        np.testing.assert_array_equal(p, before[name])


@pytest.mark.parametrize("likelihood", [Bernoulli(), Laplace()], ids=lambda p: p.name)
def test_an_untrained_relu_model_sits_on_kinks_and_passes(likelihood):
    """Biases of zero and dead units put pre-activations at 0 exactly: no slope there is the only right one.

    Under a Laplace with a small scale one example's slope may be ten thousand times that of the one on a kink.
    """
    for seed in range(40):
        rng = np.random.default_rng(seed)
        model = Autoencoder(6, (4, 3), 2, "relu", likelihood, rng=rng, dtype="float64")
        report = check_gradients(model, drawn_pixels(likelihood, 5, 6, rng), rng=rng)
        assert report.ok, f"seed {seed}: {report}"


class HalvedAtLogvar(VAE):
    def encode_backward(self, dmu, dlogvar, cache, trace=None):
        return super().encode_backward(dmu, 0.5 * dlogvar, cache, trace)


class DropsLogvarAtTheFork(VAE):
    def encode_backward(self, dmu, dlogvar, cache, trace=None):
        _, logvar_grads = self.heads["logvar"].backward(dlogvar, cache.logvar)
        dh, mu_grads = self.heads["mu"].backward(dmu, cache.mu)
        _, grads = self.encoder.backward(dh, cache.h, need_dx=False)
        return {**grads, **prefixed("mu", mu_grads), **prefixed("logvar", logvar_grads)}


class AveragesTwice(VAE):
    def backward(self, dobjective, cache, trace=None):
        return super().backward(dobjective / len(dobjective), cache, trace)


class ForgetsTheKL(VAE):
    def backward(self, dobjective, cache, trace=None):
        return super().backward(dobjective, cache._replace(beta=0.0), trace)


class NeverTrainsBiases(VAE):
    def backward(self, dobjective, cache, trace=None):
        grads = super().backward(dobjective, cache, trace)
        return {name: g for name, g in grads.items() if not name.endswith(".b")}


class OneColumn(VAE):
    def objective(self, x, eps, beta=1.0):
        terms, cache = super().objective(x, eps, beta)
        return terms._replace(objective=-terms.nll[:, None] - terms.kl), cache


class CentresTheParameters(VAE):
    def objective(self, x, eps, beta=1.0):
        self.params["mu.b"][...] -= self.params["mu.b"].mean()
        return super().objective(x, eps, beta)


@pytest.mark.parametrize(
    ("kind", "where", "cause", "words"),
    [
        (HalvedAtLogvar, "logvar.W logvar.b", "factor", "half of what they should be"),
        (DropsLogvarAtTheFork, "encoder.0.W encoder.0.b", "missing-term", "the path through logvar"),
        (AveragesTwice, "everything", "factor", "the batch has 5 rows; a mean was taken where a sum belongs"),
        (ForgetsTheKL, "the encoder", "missing-term", "the gradient of kl never reaches"),
        (NeverTrainsBiases, "every bias", "zero", "no gradient for encoder.0.b"),
        (OneColumn, "objective", "shape", "did (B,) meet (B, 1)?"),
        (CentresTheParameters, "mu.b", "mutates-input", "only an optimizer may write"),
    ],
)
def test_one_finding_names_the_root_and_not_its_consequences(kind, where, cause, words):
    model = build(kind)
    finding = only(check_gradients(model, *batch(model)))
    encoder = [name for name in model.params if name.split(".")[0] in ("encoder", "mu", "logvar")]
    names = {"everything": list(model.params), "every bias": [n for n in model.params if n.endswith("b")]}.get(
        where, encoder if where == "the encoder" else where.split()
    )
    assert (list(finding.inputs), finding.cause) == (names, cause), str(finding)
    assert words in finding.message


PATHS = {
    "sigma forgotten in the draw": (
        "reparameterize_backward",
        lambda dz, c: (dz, 0.5 * dz * c[1]),
        "logvar",
        "elementwise-factor",
        "comes from nll, sigma is missing in the gradient that arrives there",
    ),
    "eps forgotten in the draw": (
        "reparameterize_backward",
        lambda dz, c: (dz, 0.5 * dz * c[0]),
        "logvar",
        "elementwise-factor",
        "comes from nll, eps is missing in the gradient that arrives there",
    ),
    "no half in the draw": (
        "reparameterize_backward",
        lambda dz, c: (dz, dz * c[0] * c[1]),
        "logvar",
        "factor",
        "comes from nll is twice",
    ),
    "the KL pushes mu away": (
        "kl_to_standard_normal_backward",
        lambda d, c: (-d[:, None] * c[0], 0.5 * d[:, None] * (c[1] - 1)),
        "mu",
        "sign",
        "comes from kl is the negative",
    ),
    "the KL without its -1": (
        "kl_to_standard_normal_backward",
        lambda d, c: (d[:, None] * c[0], 0.5 * d[:, None] * c[1]),
        "logvar",
        "missing-term",
        "in the gradient that arrives there a term is missing, or has the wrong sign: dy itself",
    ),
}


@pytest.mark.parametrize("name", PATHS)
def test_the_term_and_the_array_are_named_inside_a_model(name, monkeypatch):
    function, slip, where, cause, words = PATHS[name]
    monkeypatch.setattr(vae_module, function, slip)
    model = build()
    report = check_gradients(model, *batch(model))
    finding = only(report)
    assert (finding.inputs, finding.cause) == ((f"{where}.W", f"{where}.b"), cause), str(finding)
    assert words in finding.message
    assert "may follow from" in next(row.note for row in report.rows if row.name == "encoder.0.W")


def test_a_wrong_activation_inside_names_its_layer(monkeypatch):
    forward, _ = ACTIVATIONS["tanh"]
    monkeypatch.setitem(ACTIVATIONS, "tanh", (forward, lambda dy, y: dy * (1 - y)))
    model = build()
    finding = only(check_gradients(model, *batch(model)))
    assert (finding.inputs, finding.cause) == (("decoder.0.W", "decoder.0.b"), "elementwise-factor")
    assert "(1 - decoder.0.tanh) stands in place of (1 - decoder.0.tanh^2)" in finding.message


def test_models_on_a_device_are_checked_from_the_host(monkeypatch):
    """The parameters, the noise and the gradients are device arrays; the differences are NumPy's."""
    monkeypatch.setitem(sys.modules, "cupy", Cupy())
    rng = np.random.default_rng(0)
    x = rng.random((5, 6))
    for kind, causes in ((VAE, []), (HalvedAtLogvar, ["factor"])):
        model = kind(6, (4,), 2, "tanh", rng=rng, dtype="float64", backend="cupy")
        report = check_gradients(model, x, model.draw_eps(5, rng))
        assert [f.cause for f in report.findings] == causes, str(report)
        assert check_evidence(model, x).ok


def test_float32_models_are_sent_back():
    model = build(dtype="float32")
    finding = only(check_gradients(model, *batch(model)))
    assert finding.cause == "precision"
    assert "dtype='float64'" in finding.message


def test_a_students_model_needs_the_protocol_only():
    class Linear:
        """objective = -(x W - x)^2 / 2, with one parameter and no terms but the objective."""

        def __init__(self):
            self.params = {"W": np.random.default_rng(0).standard_normal((6, 6))}

        def objective(self, x, eps=None, beta=1.0):
            r = x @ self.params["W"] - x
            return type("Terms", (), {"objective": -0.5 * (r * r).sum(axis=1)}), (x, r)

        def backward(self, dobjective, cache):
            x, r = cache
            return {"W": -x.T @ (dobjective[:, None] * r)}

    assert check_gradients(Linear(), np.random.default_rng(1).random((5, 6))).ok
    Linear.backward = lambda self, d, cache: {"W": cache[0].T @ (d[:, None] * cache[1])}
    assert only(check_gradients(Linear(), np.random.default_rng(1).random((5, 6)))).cause == "sign"


# -- samplers ----------------------------------------------------------------------------------------------------------


MU, LOGVAR = np.random.default_rng(8).standard_normal((2, 3, 2))


def sigma(logvar):
    return np.exp(0.5 * logvar)


def own_noise(mu, logvar, eps):
    return mu + sigma(logvar) * np.random.default_rng().standard_normal(eps.shape)


@pytest.mark.parametrize(
    ("sampler", "where", "cause", "words"),
    [
        (lambda m, v, e: m + np.exp(v) * e, "variance", "elementwise-factor", "logvar is the logarithm of a variance"),
        (lambda m, v, e: m + 0.5 * sigma(v) * e, "variance", "factor", "half of what it should be"),
        (lambda m, v, e: m + e, "variance", "elementwise-factor", "lacks a factor, sigma"),
        (lambda m, v, e: m + 0 * e, "z", "zero", "plain autoencoder"),
        (lambda m, v, e: -m + sigma(v) * e, "mean", "sign", "wrong sign"),
        (lambda m, v, e: sigma(v) * e, "mean", "missing-term", "mu is missing"),
        (lambda m, v, e: m + sigma(v) * e[:, :1], "z", "shape", "move together"),
        (lambda m, v, e: (m + sigma(v) * e).sum(axis=1), "z", "shape", "every entry is drawn"),
        (lambda m, v, e: m + sigma(v) * np.sign(e), "z", "unknown", "not Gaussian"),
        (lambda m, v, e: m + sigma(v) * e / 0, "z", "non-finite", "not finite"),
        (own_noise, "z", "noise-redrawn", "use the eps that it is given"),
    ],
)
def test_a_sampler_that_is_not_the_q_of_the_kl(sampler, where, cause, words):
    with np.errstate(all="ignore"):
        finding = only(check_sampler(sampler, MU, LOGVAR))
    assert (finding.inputs[0], finding.cause) == (where, cause)
    assert words in finding.message


def test_right_samplers_pass_at_many_seeds():
    for seed in range(6):
        assert check_sampler(reparameterize, MU, LOGVAR, rng=np.random.default_rng(seed)).ok
    assert check_sampler(lambda m, v, e: m - sigma(v) * e, MU, LOGVAR).ok  # the same distribution


# -- evidence ----------------------------------------------------------------------------------------------------------


class NoConstant(Gaussian):
    def nll(self, x, logits):
        nll, cache = super().nll(x, logits)
        return nll - 0.5 * x.shape[1] * math.log(2 * math.pi), cache


class MeanOverPixels(Bernoulli):
    def nll(self, x, logits):
        nll, cache = super().nll(x, logits)
        return nll / x.shape[1], cache


class SignOfTheKL(VAE):
    def objective(self, x, eps, beta=1.0):
        terms, cache = super().objective(x, eps, beta)
        return terms._replace(elbo=-terms.nll + terms.kl), cache


class UsesMuForZ(VAE):
    def objective(self, x, eps, beta=1.0):
        return super().objective(x, 0 * eps, beta)


def evidence(model, rows=5):
    return check_evidence(model, np.random.default_rng(4).random((rows, 6)))


@pytest.mark.parametrize("likelihood", LIKELIHOODS.values(), ids=LIKELIHOODS)
@pytest.mark.parametrize("n_z", [1, 2])
def test_the_identity_holds_for_right_models(n_z, likelihood):
    model = build(n_z=n_z, likelihood=likelihood())
    report = check_evidence(model, drawn_pixels(model.likelihood, 5, 6, np.random.default_rng(4)))
    assert report.ok, str(report)
    assert max(row.error for row in report.rows) < 1e-6


def test_log_px_of_the_check_is_that_of_the_oracle():
    from scratchvae.exact import grid_log_evidence

    model = build()
    log_px = grid_log_evidence(model, np.random.default_rng(4).random((5, 6)))[0]
    shown = [float(row.note.split()[2].rstrip(",")) for row in evidence(model).rows if row.name.startswith("x[")]
    np.testing.assert_allclose(shown, log_px, atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "likelihood", "where", "cause", "words"),
    [
        (SignOfTheKL, None, "elbo", "sign", "above log p(x): in the ELBO the kl has the wrong sign"),
        (UsesMuForZ, None, "sampler", "zero", "above log p(x)"),
        (VAE, NoConstant(), "nll", "missing-term", "a log-likelihood needs its normalising terms"),
        (VAE, MeanOverPixels(), "nll", "factor", "1/D of what it should be (D = 5)"),
    ],
)
def test_bounds_that_are_none(kind, likelihood, where, cause, words):
    finding = only(evidence(build(kind, likelihood)))
    assert (finding.inputs[0], finding.cause) == (where, cause), str(finding)
    assert words in finding.message, finding.message


@pytest.mark.parametrize(
    ("function", "slip", "where", "cause", "words"),
    [
        ("reparameterize", lambda m, v, e: m + np.exp(v) * e, "sampler", "elementwise-factor", "sigma^2"),
        ("reparameterize", lambda m, v, e: m + 0.5 * sigma(v) * e, "sampler", "factor", "sigma / 2"),
        (
            "kl_to_standard_normal",
            lambda m, v: 0.5 * (m * m + np.exp(v) - 1 - v).sum(axis=1) * 2,
            "kl",
            "factor",
            "twice",
        ),
        (
            "kl_to_standard_normal",
            lambda m, v: 0.5 * (m * m + np.exp(v) - v).sum(axis=1),
            "kl",
            "missing-term",
            "-1 nats",
        ),
        (
            "kl_to_standard_normal",
            lambda m, v: 0.5 * (m * m + np.exp(2 * v) - 1 - 2 * v).sum(axis=1),
            "kl",
            "elementwise-factor",
            "logarithm of the standard deviation",
        ),
        (
            "kl_to_standard_normal",
            lambda m, v: 0.5 * (np.exp(v) - 1 - v).sum(axis=1),
            "kl",
            "missing-term",
            "no part that grows with mu^2",
        ),
        (
            "kl_to_standard_normal",
            lambda m, v: 0.5 * (abs(m) + np.exp(v) - 1 - v).sum(axis=1),
            "kl",
            "missing-term",
            "no part that grows with mu^2",
        ),
    ],
)
def test_the_side_at_fault_is_named(function, slip, where, cause, words, monkeypatch):
    monkeypatch.setattr(vae_module, function, lambda *a: (slip(*a), None))
    finding = only(evidence(build()))
    assert (finding.inputs[0], finding.cause) == (where, cause), str(finding)
    assert words in finding.message


def test_a_students_model_needs_encode_decode_and_objective_only():
    class Student:
        """What a course's first notebook may hold: no likelihood, no terms but the bound."""

        def __init__(self, vae):
            self.encode, self.decode, self.vae = vae.encode, vae.decode, vae

        def objective(self, x, eps):
            terms, _ = self.vae.objective(x, eps)
            return type("Terms", (), {"objective": terms.elbo}), None

    assert evidence(Student(build())).ok
    broken = Student(build())
    broken.objective = lambda x, eps: (type("T", (), {"objective": -broken.vae.objective(x, eps)[0].nll}), None)
    finding = only(evidence(broken))
    assert (finding.inputs[0], finding.cause) == ("elbo", "missing-term")
    assert "above log p(x): the kl is missing from the ELBO" in finding.message
    with_gaussian = check_evidence(
        Student(build(likelihood=Gaussian(0.5))), batch(build())[0], likelihood=Gaussian(0.5)
    )
    assert with_gaussian.ok


def test_pixels_outside_the_support_are_refused():
    rng, x = np.random.default_rng(0), np.full((4, 6), 1.5)
    vae = build()
    for check in (
        lambda: check_evidence(vae, x),
        lambda: check_gradients(vae, x),
        lambda: check_gradients(ImportanceWeighted(vae, K=2), x),
        lambda: check_evidence(build(likelihood=Gaussian()), x, likelihood=Bernoulli()),
    ):
        with pytest.raises(
            ValueError, match=r"^x should lie in \[0, 1\], the support of bernoulli, got values from 1.5 to"
        ):
            check()
    assert check_gradients(build(likelihood=Gaussian()), x, rng=rng).ok


def test_evidence_needs_a_grid_that_fits():
    with pytest.raises(ValueError, match="with 1 or 2 latents, got 3"):
        evidence(build(n_z=3))


# -- optimizers --------------------------------------------------------------------------------------------------------


class Uphill(SGD):
    def step(self, params, grads):
        super().step(params, {name: -g for name, g in grads.items()})


class Squares(SGD):
    def step(self, params, grads):
        for g in grads.values():
            g *= g


class OnlyWeights(Adam):
    def step(self, params, grads):
        super().step({"W": params["W"]}, {"W": grads["W"]})


class AdamWithoutMemory(Adam):
    """Drops beta1 * m: right at the first step, when m is still zero."""

    def step(self, params, grads):
        for name in [name for name in self.state if name.startswith("m.")]:
            self.state[name][...] = 0
        super().step(params, grads)


class GradientSquared(SGD):
    def step(self, params, grads):
        super().step(params, {name: g * np.abs(g) for name, g in grads.items()})


@pytest.mark.parametrize(
    ("optimizer", "reference", "cause", "words"),
    [
        (Uphill(), SGD(), "sign", "step 1"),
        (SGD(lr=0.1, momentum=0.0), SGD(lr=0.2, momentum=0.0), "factor", "half of what it should be"),
        (Squares(), SGD(), "mutates-input", "belongs to the caller"),
        (OnlyWeights(), Adam(), "zero", "does not move b"),
        (AdamWithoutMemory(), Adam(), "missing-term", "running state"),
        (SGD(momentum=0.0), SGD(momentum=0.9), "missing-term", "step 2 is not"),
        (GradientSquared(), SGD(), "elementwise-factor", "a factor too many, entry by entry: |g|"),
    ],
)
def test_an_optimizer_beside_its_reference(optimizer, reference, cause, words):
    report = check_optimizer(optimizer, reference)
    assert report.findings[0].cause == cause
    assert words in report.findings[0].message


@pytest.mark.parametrize("kind", [SGD, Adagrad, Adam])
def test_the_optimizers_agree_with_themselves(kind):
    assert check_optimizer(kind(), kind()).ok


def test_only_gradients_are_drawn():
    with pytest.raises(ValueError, match="plot draws the differences behind a gradient"):
        check_optimizer(SGD(), SGD()).plot()


def test_a_sampler_that_writes_into_what_it_was_given():
    def in_place(mu, logvar, eps):
        mu += np.exp(logvar / 2) * eps
        return mu

    report = check_sampler(in_place, np.array([[0.3, -1.0]]), np.array([[0.5, -0.5]]))
    assert [(finding.inputs[0], finding.cause) for finding in report.findings] == [("mu", "mutates-input")]


def test_a_sampler_is_not_judged_where_every_power_of_sigma_is_one():
    with pytest.raises(ValueError, match=r"^logvar should hold different values, got 0 everywhere"):
        check_sampler(lambda mu, logvar, eps: mu + np.exp(logvar) * eps, np.ones((2, 2)), np.zeros((2, 2)))


def test_noise_is_drawn_where_none_is_given(rng):
    assert check_gradients(VAE(5, (4,), 2, "tanh", rng=rng, dtype="float64"), rng.random((3, 5))).ok


def test_inputs_that_are_no_dict():
    with pytest.raises(ValueError, match=r"^inputs should be a dict from names to arrays, got ndarray$"):
        check_vjp(lambda x: (x, None), lambda dy, cache: dy, np.ones(3))


def test_a_transpose_is_seen_when_the_student_seeds_with_zero():
    """With the same seed the first upstream gradient would equal x, and x^T x is its own transpose."""
    rng = np.random.default_rng(0)
    x, W = rng.standard_normal((5, 4)), rng.standard_normal((4, 4))

    def backward(dy, cache):
        x, W = cache
        return {"x": dy @ W.T, "W": (x.T @ dy).T}

    report = check_vjp(lambda x, W: (x @ W, (x, W)), backward, {"x": x, "W": W})
    assert [(finding.inputs, finding.cause) for finding in report.findings] == [(("W",), "transpose")]
