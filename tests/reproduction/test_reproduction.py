"""The ledger: its rows, a run that is stopped, the three rows that take under a minute, and the page made of them."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from scratchvae import load_data
from scratchvae.cli import main
from scratchvae.data import Dataset
from scratchvae.evaluation import log_evidence
from scratchvae.reproduction import linear, score_function, signal_to_noise, trained
from scratchvae.reproduction.rows import ROWS, row, rows
from scratchvae.run_folder import RunFolder

ROOT = Path(__file__).parents[2]
LEDGER = ROOT / ROWS
SMALL = {
    "title": "small",
    "place": 1,
    "kind": "trained",
    "data": "mnist-sample",
    "seed": 0,
    "model": {"n_hidden": [12], "n_z": 3, "activation": "tanh"},
    "objective": {"name": "dreg", "K": 3},
    "optimizer": {"name": "adam"},
    "lr": [0.004, 0.001],
    "epochs": 3,
    "batch_size": 50,
    "draws": [4, 9],
}


@pytest.fixture
def small():
    """Few images, and few of them held out."""
    data = load_data("mnist-sample")
    return Dataset("small", data.x_train[::50], data.x_test[:600], None, None, (28, 28))


def test_the_step_size_falls_by_equal_ratios():
    stairs = trained.falling(4e-3, 1e-4, 700)
    epochs, rates = zip(*stairs, strict=True)
    assert (len(stairs), epochs[0], rates[0]) == (50, 0, 4e-3)
    np.testing.assert_allclose(rates[-1], 1e-4, rtol=1e-12)
    np.testing.assert_allclose(np.diff(np.log(rates)), np.log(1e-4 / 4e-3) / 49, rtol=1e-9)
    assert set(np.diff([*epochs, 700])) == {14}
    assert trained.falling(1e-3, 1e-5, 1) == [(0, 1e-3)]
    assert len(trained.falling(1e-3, 1e-5, 7)) == 7


def test_every_row_is_complete_and_every_run_is_of_its_configuration():
    every = rows(LEDGER)
    assert [row.config["place"] for row in every] == sorted({row.config["place"] for row in every})
    for each in every:
        assert each.config["title"]
        assert each.config["kind"] in ("trained", "linear", "signal-to-noise", "score-function")
        assert each.measured is None or "minutes" in each.measured


def test_a_row_is_found_by_its_name(tmp_path):
    assert row("linear-vae", LEDGER).config["kind"] == "linear"
    with pytest.raises(ValueError, match=r"NAME should be one of table-1-vae, .*, got 'table-2'"):
        row("table-2", LEDGER)
    with pytest.raises(ValueError, match="change to the checkout's root"):
        rows(tmp_path / "nowhere")


def test_a_small_row_is_trained_and_measured(small, tmp_path):
    with RunFolder(tmp_path) as folder:
        found = trained.measured(SMALL, small, folder)
    assert found["minus_log_px"]["9"]["mean"] < found["minus_log_px"]["4"]["mean"] < found["minus_elbo"]["mean"]
    assert found["active_units"].keys() == {"by_variance", "by_kl"}
    assert 0 < found["active_units"]["by_variance"] <= 3


def test_a_stopped_run_ends_as_if_it_had_not_been_stopped(small, tmp_path, monkeypatch):
    with RunFolder(tmp_path / "whole") as folder:
        whole = trained.measured(SMALL, small, folder)

    calls = []

    def stops(*args):
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return log_evidence(*args)

    monkeypatch.setattr(trained, "log_evidence", stops)
    with RunFolder(tmp_path / "whole-again") as folder, pytest.raises(KeyboardInterrupt):
        trained.measured(SMALL, small, folder)
    calls.clear()
    monkeypatch.setattr(trained, "log_evidence", lambda *args: calls.append(args) or log_evidence(*args))
    with RunFolder(tmp_path / "whole-again") as folder:
        again = trained.measured(SMALL, small, folder)
    assert len(calls) == 3  # of the four parts one was done before
    assert again["minus_log_px"] == whole["minus_log_px"]


def test_the_command_lists_runs_and_complains(monkeypatch, capsys, tmp_path):
    folder = tmp_path / ROWS / "score"
    folder.mkdir(parents=True)
    config = {"title": "score", "place": 1, "kind": "score-function", "seed": 0, "t": 0.3, "steep": [0.4, 0.8]}
    (folder / "config.json").write_text(json.dumps({**config, "repeats": 1000}))
    monkeypatch.chdir(tmp_path)
    assert main(["reproduce"]) == 0
    assert capsys.readouterr().out.split() == ["score", "score"]
    assert main(["reproduce", "score"]) == 0
    assert json.loads((folder / "measured.json").read_text())["square and sine"]["ratio"] > 9
    assert main(["reproduce", "other"]) == 2
    assert "NAME should be one of score, got 'other'" in capsys.readouterr().err
    (folder / "config.json").write_text(json.dumps({**config, "kind": "odd"}))
    assert main(["reproduce", "score"]) == 2
    assert "got 'odd'" in capsys.readouterr().err


# -- the rows that take under a minute ---------------------------------------------------------------------------------


def test_score_and_path_agree_on_the_derivative_and_not_on_the_variance():
    chosen = row("score-function", LEDGER)
    found = score_function.measured({**chosen.config, "repeats": 200_000})
    for name, each in found.items():
        recorded = chosen.measured[name]
        assert abs(each["derivative"]["pathwise"] - each["derivative"]["score"]) < 1e-12
        assert each["variance"] == pytest.approx(recorded["variance"], rel=1e-9)
        for estimator, variance in each["variance"].items():
            assert each["variance_by_draws"][estimator] == pytest.approx(variance, rel=0.05)
    t, h = 0.3, 1e-5

    def mean(t):  # of z^2 + sin z, in closed form
        m, s = t**3, np.exp(t)
        return m * m + s * s + np.sin(m) * np.exp(-s * s / 2)

    difference = (mean(t + h) - mean(t - h)) / (2 * h)
    assert found["square and sine"]["derivative"]["score"] == pytest.approx(difference, abs=1e-8)
    assert found["square and sine"]["ratio"] == pytest.approx(9.588, abs=1e-3)
    assert found["steep sine"]["ratio"] == pytest.approx(0.78125 / 12.5, abs=1e-4)


@pytest.mark.slow
def test_signal_over_noise_falls_and_grows_as_theory_says():
    chosen = row("signal-to-noise", LEDGER)
    found = signal_to_noise.measured(chosen.config)
    assert found["slopes"] == {name: pytest.approx(each, abs=0.01) for name, each in chosen.measured["slopes"].items()}
    for head in ("mu", "logvar"):
        assert found["slopes"]["importance-weighted"][head] == pytest.approx(-0.5, abs=0.1)
        assert found["slopes"]["dreg"][head] == pytest.approx(0.5, abs=0.1)
    spread = found["spread_at_the_posterior"]
    assert max(spread["dreg"], spread["sticking-the-landing"]) < 1e-12
    assert spread["importance-weighted"] > 1


@pytest.mark.slow
def test_a_linear_vae_finds_the_latents_that_theory_predicts():
    chosen = row("linear-vae", LEDGER)
    runs = [run for run in chosen.config["runs"] if run[1] <= 60]
    found = linear.measured({**chosen.config, "runs": runs}, load_data("mnist-sample"))["runs"]
    for each, recorded in zip(found, chosen.measured["runs"], strict=False):
        assert each["active"] == recorded["active"]
        assert each["elbo"]["reached"] == pytest.approx(recorded["elbo"]["reached"], abs=0.01)
        assert 0 <= each["elbo"]["best"] - each["elbo"]["reached"] < 0.02
    assert found[0]["active"] == {"predicted": 6, "found": 6}
    np.testing.assert_allclose(found[0]["spread"]["found"], found[0]["spread"]["predicted"], atol=0.03)


def test_the_page_is_made_of_the_recorded_runs():
    spec = importlib.util.spec_from_file_location("make_reproduction", ROOT / "docs" / "make_reproduction.py")
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    assert made.PAGE.read_text(encoding="utf-8") == made.page(), "run: python docs/make_reproduction.py"
    assert "{" not in made.PAGE.read_text(encoding="utf-8")
