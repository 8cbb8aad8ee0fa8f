"""Whole models, samplers, bounds and optimizers: what is wrong, and where in the model the fault is."""

import sys

import numpy as np
import pytest
from zoo import Laplace

import scratchvae.vae as vae_module
from scratchvae import VAE, Autoencoder, Bernoulli, Gaussian, ImportanceWeighted
from scratchvae.checks import check_evidence, check_gradients, check_vjp
from scratchvae.checks.pixels import drawn_pixels
from scratchvae.layers import ACTIVATIONS, prefixed
from scratchvae.standin import Cupy


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


class GoesBackThroughMu(VAE):
    def encode_backward(self, dmu, dlogvar, cache, trace=None):
        grads = super().encode_backward(dmu, dlogvar, cache, trace)
        dh = dmu @ self.params["mu.W"].T + dlogvar @ self.params["mu.W"].T
        _, encoder_grads = self.encoder.backward(dh, cache.h, need_dx=False)
        return {**grads, **encoder_grads}


class AveragesTwice(VAE):
    def backward(self, dobjective, cache, trace=None):
        return super().backward(dobjective / len(dobjective), cache, trace)


class ForgetsTheKL(VAE):
    def backward(self, dobjective, cache, trace=None):
        return super().backward(dobjective, cache._replace(beta=0.0), trace)


class AddsTheKL(VAE):
    """Whose backward subtracts it."""

    def objective(self, x, eps, beta=1.0):
        terms, cache = super().objective(x, eps, beta)
        return terms._replace(objective=-terms.nll + beta * terms.kl), cache


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
        (HalvedAtLogvar, "encoder.0.W encoder.0.b logvar.W logvar.b", "factor", "(0.5 * dlogvar)"),
        (DropsLogvarAtTheFork, "encoder.0.W encoder.0.b", "missing-term", "path"),
        (GoesBackThroughMu, "encoder.0.W encoder.0.b", "elementwise-factor", "logvar comes along another one"),
        (AveragesTwice, "everything", "factor", "the batch has 5 rows; a mean was taken where a sum belongs"),
        (ForgetsTheKL, "the encoder", "missing-term", "the gradient of kl never reaches"),
        (AddsTheKL, "the encoder", "sign", "the part that comes from kl is the negative of what it should be"),
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
        "(0.5 * dz) of test_checks_models.py: sigma is missing",
    ),
    "eps forgotten in the draw": (
        "reparameterize_backward",
        lambda dz, c: (dz, 0.5 * dz * c[0]),
        "logvar",
        "elementwise-factor",
        "(0.5 * dz) of test_checks_models.py: eps is missing",
    ),
    "no half in the draw": (
        "reparameterize_backward",
        lambda dz, c: (dz, dz * c[0] * c[1]),
        "logvar",
        "factor",
        "(dz * c[0]) of test_checks_models.py is twice",
    ),
    "the KL pushes mu away": (
        "kl_to_standard_normal_backward",
        lambda d, c: (-d[:, None] * c[0], 0.5 * d[:, None] * (c[1] - 1)),
        "mu",
        "sign",
        "(dmu_z + dmu_kl): + stands where - belongs",
    ),
    "the KL without its -1": (
        "kl_to_standard_normal_backward",
        lambda d, c: (d[:, None] * c[0], 0.5 * d[:, None] * c[1]),
        "logvar",
        "missing-term",
        "(0.5 * dz * sigma * eps) of gaussian.py: a term is missing or wrong, dy itself",
    ),
}


@pytest.mark.parametrize("name", PATHS)
def test_the_term_and_the_array_are_named_inside_a_model(name, monkeypatch):
    function, slip, where, cause, words = PATHS[name]
    monkeypatch.setattr(vae_module, function, slip)
    model = build()
    report = check_gradients(model, *batch(model))
    finding = only(report)
    wrong = ("encoder.0.W", "encoder.0.b", f"{where}.W", f"{where}.b")  # one line explains them all
    assert (finding.inputs, finding.cause) == (wrong, cause), str(finding)
    assert words in finding.message


def test_a_wrong_activation_inside_names_its_layer(monkeypatch):
    forward, _ = ACTIVATIONS["tanh"]
    monkeypatch.setitem(ACTIVATIONS, "tanh", (forward, lambda dy, y: dy * (1 - y)))
    model = build()
    finding = only(check_gradients(model, *batch(model)))
    assert finding.cause == "elementwise-factor"
    assert "(1 - y) of test_checks_models.py: y is missing beside y" in finding.message, finding


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


def test_noise_is_drawn_where_none_is_given(rng):
    assert check_gradients(VAE(5, (4,), 2, "tanh", rng=rng, dtype="float64"), rng.random((3, 5))).ok


def test_inputs_that_are_no_dict():
    with pytest.raises(ValueError, match=r"^inputs should be a dict from names to arrays, got an array of shape"):
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
