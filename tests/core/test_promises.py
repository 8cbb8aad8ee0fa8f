"""Three promises: a likelihood is one class, a layer is one class, an objective is one argument of fit.

The classes are those of docs/extending.md. Nothing else in this repository knows of them.
"""

import math
import re
import types
from pathlib import Path

import numpy as np
import pytest

from scratchvae import VAE, Adam, Autoencoder, fit, load_checkpoint
from scratchvae.checks import check_evidence, check_gradients, check_likelihood, check_vjp
from scratchvae.checks.pixels import drawn_pixels
from scratchvae.checks.vjp.explain import HYPOTHESES
from scratchvae.checks.vjp.sentences import SENTENCES
from scratchvae.cli import main
from scratchvae.data import load_data
from scratchvae.evaluation import evaluate_terms, log_evidence
from scratchvae.layers import LAYERS
from scratchvae.likelihoods import LIKELIHOODS
from scratchvae.view.plots import write_pictures

PAGE = (Path(__file__).parents[2] / "docs" / "extending.md").read_text()
GREY = (np.random.default_rng(7).integers(0, 256, size=(60, 4, 4)) + 1).astype("float32") / 256  # above 0


def blocks(what):
    """The blocks of Python under a heading of the page: the class, and how it is used."""
    section = re.search(rf"^## An? {what}\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S)[1]
    return re.findall(r"^```python\n(.*?)^```", section, re.M | re.S)


def extension(what):
    """What the page's class block defines, as a module."""
    module = types.ModuleType(f"extending_{what}")
    exec(blocks(what)[0], module.__dict__)
    return module


@pytest.fixture
def log_normal(monkeypatch):
    monkeypatch.setitem(LIKELIHOODS, "log-normal", None)  # taken out again at the end
    return extension("likelihood").LogNormal


@pytest.fixture
def leaky_relu(monkeypatch):
    monkeypatch.setitem(LAYERS, "leaky-relu", None)
    return extension("layer").LeakyRelu


@pytest.fixture
def grey(tmp_path):
    """Sixty images as a file."""
    np.savez(tmp_path / "grey.npz", x_train=GREY)
    return load_data(str(tmp_path / "grey.npz"))


def trained(make, x, out=None, epochs=3, stop=None, objective=None):
    """A model of a fresh process after so many epochs, perhaps stopped on the way and resumed; and its history."""
    for last in (stop, epochs) if stop else (epochs,):
        rng = np.random.default_rng(3)
        model = make(rng)
        goal = None if objective is None else objective(model)
        how = {"epochs": last, "optimizer": Adam(lr=0.01), "rng": rng, "batch_size": 16, "binarise": "none"}
        resume = stop is not None and last == epochs
        history = fit(model, x[:48], x[48:], out=out, resume=resume, progress=False, objective=goal, **how)
    return model, history


def assert_same_weights(one, other):
    assert one.params.keys() == other.params.keys()
    for name, p in one.params.items():
        np.testing.assert_array_equal(p, other.params[name])


@pytest.mark.parametrize("what", ["likelihood", "layer", "objective"])
def test_the_page_runs_from_top_to_bottom_as_it_is(what, tmp_path, monkeypatch, capsys):
    """And the class is a screenful."""
    monkeypatch.chdir(tmp_path)
    for table in (LIKELIHOODS, LAYERS):
        for name in ("log-normal", "leaky-relu"):
            monkeypatch.setitem(table, name, None)  # taken out again at the end
    scope = {}
    for block in blocks(what):
        exec(block, scope)
    report, _, told = capsys.readouterr().out.partition("nats per example")
    assert ": ok\n" in report
    assert "wrong" not in report
    assert "epoch 3/3" in told
    assert len(list(tmp_path.glob("runs/*/checkpoint.npz"))) == 1
    assert len(blocks(what)) == 2
    assert len(blocks(what)[0].splitlines()) <= 52


# -- a likelihood ------------------------------------------------------------------------------------------------------


def test_a_likelihood_is_judged_claim_by_claim(log_normal):
    report = check_likelihood(log_normal())
    assert report.ok, str(report)
    assert {row.status for row in report.rows} == {"ok"}


@pytest.mark.parametrize("kind", [VAE, Autoencoder])
def test_a_likelihood_is_one_class(kind, log_normal, grey, tmp_path):
    x = GREY.reshape(60, 16)

    def make(rng):
        return kind(16, (8,), 2, likelihood=log_normal(), rng=rng)

    model, history = trained(make, x, tmp_path / "run")
    assert history["test_nll"][-1] < history["test_nll"][0]

    loaded = load_checkpoint(tmp_path / "run").model
    assert_same_weights(loaded, model)
    assert loaded.likelihood.config == {"name": "log-normal"}
    resumed, resumed_history = trained(make, x, tmp_path / "stopped", stop=1)
    assert_same_weights(resumed, model)
    assert resumed_history == history

    terms = evaluate_terms(loaded, x, np.random.default_rng(0))
    assert all(math.isfinite(value.mean) for value in terms.values())
    assert (loaded.reconstruct(x) > 0).all()
    pictures = write_pictures(loaded, grey, history, tmp_path, np.random.default_rng(0), "none")
    assert all(picture.stat().st_size > 1000 for picture in pictures)
    assert len(pictures) == (5 if kind is VAE else 3)
    if kind is VAE:
        assert (log_evidence(loaded, x, 50, np.random.default_rng(0)) > -np.inf).all()
        draws = loaded.sample(100, np.random.default_rng(0), draw=True)
        assert draws.shape == (100, 16)
        assert draws.min() > 0


def test_a_model_with_it_is_checked(log_normal):
    rng = np.random.default_rng(0)
    for kind in (VAE, Autoencoder):
        model = kind(6, (5,), 2, "tanh", log_normal(), rng=rng, dtype="float64")
        x = drawn_pixels(model.likelihood, 5, 6, rng)
        assert check_gradients(model, x, rng=rng).ok
    vae = VAE(6, (5,), 1, "tanh", log_normal(), rng=rng, dtype="float64")
    assert check_evidence(vae, x).ok


def test_the_command_line_knows_it(log_normal, grey, tmp_path, capsys):
    run = tmp_path / "run"
    how = ["--data", str(tmp_path / "grey.npz"), "--hidden", "8", "--epochs", "2", "--out", str(run)]
    assert main(["train", "--likelihood", "log-normal", *how]) == 0, capsys.readouterr().err
    assert "log-normal" in capsys.readouterr().out
    assert main(["train", "--resume", "--epochs", "3", "--out", str(run)]) == 0, capsys.readouterr().err
    for verb in (["evaluate", "--samples", "10"], ["sample", "-n", "5", "--draw"], ["plot"]):
        assert main([verb[0], str(run), *verb[1:]]) == 0, capsys.readouterr().err
    assert {"learning_curves.png", "samples.png", "manifold.png"} <= {file.name for file in run.iterdir()}


def test_pixels_outside_its_support_are_refused_in_one_line(log_normal, tmp_path, capsys):
    for name, x in (("floats", GREY - 1 / 256), ("bytes", np.zeros((60, 4, 4), np.uint8))):
        np.savez(tmp_path / f"{name}.npz", x_train=x)
        out = ["--out", str(tmp_path / "run"), "--epochs", "1"]
        assert main(["train", "--likelihood", "log-normal", "--data", str(tmp_path / f"{name}.npz"), *out]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "should lie in [1e-30, inf]" in line


# -- a layer -----------------------------------------------------------------------------------------------------------


def test_a_layer_is_one_class(leaky_relu, tmp_path):
    x = GREY.reshape(60, 16)

    def make(rng):
        return VAE(16, (8, 6), 2, layers=("dense", "leaky-relu"), rng=rng)

    model, history = trained(make, x, tmp_path / "run")
    assert history["test_elbo"][-1] > history["test_elbo"][0]
    slopes = [p for name, p in model.params.items() if name.endswith("leaky-relu.slope")]
    assert [p.shape for p in slopes] == [(8,), (6,), (6,), (8,)]
    assert all((p != 0.25).all() for p in slopes)  # trained, every one of them
    assert_same_weights(load_checkpoint(tmp_path / "run").model, model)
    assert_same_weights(trained(make, x, tmp_path / "stopped", stop=1)[0], model)

    trace = {}
    _, cache = model.objective(x[:5], model.draw_eps(5, np.random.default_rng(0)))
    grads = model.backward(np.ones(5, "float32"), cache, trace=trace)
    assert trace["encoder.0.leaky-relu.dy"].shape == (5, 8)
    assert {grads[name].dtype for name in grads} == {np.dtype("float32")}


def test_a_model_with_that_layer_is_checked(leaky_relu):
    rng = np.random.default_rng(0)
    for layers in (("dense", "leaky-relu"), ("dense", "layer-norm", "leaky-relu")):
        vae = VAE(6, (5, 4), 2, layers=layers, rng=rng, dtype="float64")
        report = check_gradients(vae, rng.random((5, 6)), rng=rng)
        assert report.ok, str(report)
        assert "decoder.1.leaky-relu.slope" in {row.name for row in report.rows}


# -- an objective ------------------------------------------------------------------------------------------------------


def small(rng):
    return VAE(16, (8,), 2, "tanh", rng=rng)


def test_an_objective_is_one_argument_of_fit(tmp_path):
    averaged = extension("objective").AveragedElbo
    x = GREY.reshape(60, 16)
    model, history = trained(small, x, tmp_path / "run", objective=lambda vae: averaged(vae, 2))
    assert history["test_elbo"][-1] > history["test_elbo"][0]
    assert {"train_objective", "test_objective"} <= history.keys()
    checkpoint = load_checkpoint(tmp_path / "run")
    assert_same_weights(checkpoint.model, model)
    assert checkpoint.config["training"]["objective"] == {"name": "averaged-elbo", "K": 2}
    resumed = trained(small, x, tmp_path / "stopped", stop=1, objective=lambda vae: averaged(vae, 2))
    assert_same_weights(resumed[0], model)
    assert resumed[1] == history
    with pytest.raises(ValueError, match=r"^resume needs the K of the stopped run, 2, got 3"):
        trained(small, x, tmp_path / "run", epochs=4, stop=4, objective=lambda vae: averaged(vae, 3))
    with pytest.raises(ValueError, match=r"^objective should be one over the model that is trained"):
        trained(small, x, objective=lambda vae: averaged(small(np.random.default_rng(0)), 2))


def test_that_objective_is_checked_and_is_what_it_says():
    averaged = extension("objective").AveragedElbo
    rng = np.random.default_rng(0)
    vae = VAE(6, (5,), 2, "tanh", rng=rng, dtype="float64")
    x, two = rng.random((5, 6)), averaged(vae, 2)
    assert check_gradients(two, x, beta=0.7, rng=rng).ok
    eps = two.draw_eps(5, rng)
    terms, _ = two.objective(x, eps)
    ones = [vae.objective(x, e)[0].objective for e in eps]
    np.testing.assert_allclose(terms.objective, (ones[0] + ones[1]) / 2, rtol=1e-14)
    n = 40_000
    x = np.tile(x[:1], (n, 1))
    one, two = (goal.objective(x, goal.draw_eps(n, rng))[0].objective for goal in (vae, two))  # (n,) each
    assert abs(one.mean() - two.mean()) < 5 * math.hypot(one.std(), two.std()) / math.sqrt(n)
    assert abs(two.std() / one.std() - math.sqrt(0.5)) < 0.03


# -- a check -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def own_hypothesis():
    """What the page adds is taken out again."""
    before = dict(HYPOTHESES), dict(SENTENCES)
    yield
    for known, kept in zip((HYPOTHESES, SENTENCES), before, strict=True):
        known.clear()
        known.update(kept)


def test_a_check_of_ones_own():
    check_rows = extension("check").check_rows
    assert check_rows(lambda x: (np.tanh(x), x), GREY[:, 0]).ok
    report = check_rows(lambda x: (x - x.mean(axis=0), None), GREY[:, 0])
    assert "depend on each other" in report.findings[0].message


def test_a_hypothesis_of_ones_own(own_hypothesis, capsys):
    namespace = vars(extension("check"))
    exec(blocks("check")[1], namespace)
    assert "dx: the first step's gradient comes last" in capsys.readouterr().out
    del HYPOTHESES["steps_backwards"]
    running_sum, backward = namespace["running_sum"], namespace["running_sum_backward"]
    report = check_vjp(running_sum, backward, {"x": np.random.default_rng(0).standard_normal((5, 3))})
    assert "in another order" in report.findings[0].message
