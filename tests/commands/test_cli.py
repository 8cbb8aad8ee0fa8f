"""The command line: what it prints is what it wrote, and what it names is there."""

import csv
import json
import os
import re
import shlex
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from scratchvae import VAE, Autoencoder, ContinuousBernoulli, Gaussian, load_checkpoint
from scratchvae import __version__ as version
from scratchvae.cli import COMMANDS, main, make_parser
from scratchvae.commands import doctor
from scratchvae.commands import train as train_module
from scratchvae.commands.runs import LONGEST
from scratchvae.commands.train import DEFAULTS

BOUND = ["train_objective", "test_objective"]
NUMBER = r"(-?\d+\.\d\d)"
LINE = {
    "vae": rf"epoch (\d)/3  train elbo {NUMBER}  test elbo {NUMBER}  nll {NUMBER}  kl {NUMBER}  \d+\.\d s",
    "autoencoder": rf"epoch (\d)/3  train nll {NUMBER}  test nll {NUMBER}  \d+\.\d s",
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty working folder with tiny.npz in it: 4 x 4 images of three kinds."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    y = np.arange(40) % 3
    x = np.clip(80 * y[:, None] + rng.integers(0, 60, size=(40, 16)), 0, 255).astype("uint8")
    np.savez(tmp_path / "tiny.npz", x_train=x[:30], x_test=x[30:], y_train=y[:30], y_test=y[30:])
    return tmp_path


@pytest.fixture
def no_pictures(monkeypatch):
    monkeypatch.setattr("scratchvae.view.plots.write_pictures", lambda *args: [])


def train(*options):
    return main(["train", "--data", "tiny.npz", "--hidden", "6", "--batch-size", "8", *options])


def table(folder):
    with open(Path(folder) / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("kind", ["vae", "autoencoder"])
def test_train_prints_what_it_wrote(folder, capsys, kind):
    assert train("--epochs", "3", "--model", kind) == 0
    out, err = capsys.readouterr()
    run = Path("runs") / f"tiny-{kind}-2"
    assert err == ""
    lines = out.splitlines()
    assert lines[:3] == [  # what does not change, said once
        f"{kind} 16-6-2-6-16, relu, bernoulli: 30 rows of tiny to train on, 10 held out",
        "adam, lr 0.001, 8 rows a step, seed 0",
        "nats per example, binarise dynamic",
    ]
    del lines[:2]

    rows = table(run)
    terms = ["elbo", "nll", "kl"] if kind == "vae" else ["nll"]
    columns = [f"train_{terms[0]}", *(f"test_{term}" for term in sorted(terms, key=["elbo", "nll", "kl"].index))]
    assert list(rows[0]) == ["epoch", *columns, "seconds"]
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    for row, line in zip(rows, lines[1:4], strict=True):
        epoch, *numbers = re.fullmatch(LINE[kind], line).groups()
        assert epoch == row["epoch"]
        for column, number in zip(columns, numbers, strict=True):
            assert abs(float(number) - float(row[column])) <= 0.00501, column
        if kind == "vae":
            assert float(row["test_elbo"]) == pytest.approx(-float(row["test_nll"]) - float(row["test_kl"]), abs=2e-4)

    history = load_checkpoint(run).history
    for column in columns:
        assert [f"{value:.4f}" for value in history[column]] == [row[column] for row in rows]

    assert lines[4] == ""
    assert re.fullmatch(r"done in \d+\.\d s: held-out rows, nats per example, binarise dynamic", lines[5])
    assert lines[6].split() == ["epoch", *terms]
    values = [float(row[f"test_{terms[0]}"]) for row in rows]
    best = values.index(max(values) if kind == "vae" else min(values))
    for line, name, i in zip(lines[7:10], ("first", "best", "last"), (0, best, 2), strict=True):
        shown = line.split()
        assert shown[:2] == [name, str(i + 1)]
        assert len(shown) == 2 + len(terms)
        for text, term in zip(shown[2:], terms, strict=True):
            assert abs(float(text) - float(rows[i][f"test_{term}"])) <= 0.00501

    written = re.fullmatch(rf"wrote {run}/: (.*)", lines[10])[1].split(", ")
    pictures = re.fullmatch(r"pictures: (.*)", lines[11])[1].split(", ")
    assert written == ["config.json", "metrics.csv", "checkpoint.npz"]
    expected = {"learning_curves.png", "reconstructions.png", "latent_scatter.png"}
    assert set(pictures) == expected | ({"samples.png", "manifold.png"} if kind == "vae" else set())
    assert sorted([".lock", *written, *pictures]) == sorted(path.name for path in run.iterdir())
    assert all((run / name).read_bytes().startswith(b"\x89PNG") for name in pictures)
    assert lines[12:] == []
    assert sorted(path.name for path in folder.iterdir()) == ["runs", "tiny.npz"]


def test_the_options_reach_the_model(folder, no_pictures):
    options = "--likelihood continuous-bernoulli --activation tanh --latent 3 --optimizer adagrad --lr 0.02 --beta 0.5"
    assert (
        train(*options.split(), "--warmup", "1", "--hidden", "7,5", "--epochs", "1", "--seed", "4", "--out", "a/b") == 0
    )
    got = load_checkpoint("a/b")
    assert type(got.model) is VAE
    assert isinstance(got.model.likelihood, ContinuousBernoulli)
    assert (got.model.n_x, got.model.n_hidden, got.model.n_z, got.model.layers) == (16, (7, 5), 3, ("dense", "tanh"))
    assert (got.optimizer.name, got.optimizer.lr) == ("adagrad", 0.02)
    training = {"batch_size": 8, "beta": 0.5, "warmup": 1, "binarise": "none", "objective": None}
    assert training.items() <= got.config["training"].items()
    config = json.loads(Path("a/b/config.json").read_text())
    assert config == {"scratchvae": version, **got.config["run"]}
    assert config == DEFAULTS | {
        "scratchvae": version,
        "data": "tiny.npz",
        "likelihood": "continuous-bernoulli",
        "activation": "tanh",
        "hidden": [7, 5],
        "latent": 3,
        "epochs": 1,
        "batch_size": 8,
        "optimizer": "adagrad",
        "lr": 0.02,
        "beta": 0.5,
        "warmup": 1,
        "binarise": "none",
        "seed": 4,
        "data_path": str(folder / "tiny.npz"),
        "image_shape": [4, 4],
    }


def test_samples_and_layers_reach_the_objective_and_the_model(folder, no_pictures, capsys):
    assert train("--samples", "5", "--layers", "dense,layer-norm,softplus", "--epochs", "2", "--out", "run") == 0
    got = load_checkpoint("run")
    assert got.config["training"]["objective"] == {"name": "importance-weighted", "K": 5}
    assert got.model.layers == ("dense", "layer-norm", "softplus")
    config = json.loads(Path("run/config.json").read_text())
    assert (config["samples"], config["layers"]) == (5, ["dense", "layer-norm", "softplus"])
    assert config["activation"] is None
    assert list(got.history)[1:] == ["train_elbo", "test_elbo", "test_nll", "test_kl", *BOUND]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("vae 16-6-2-6-16, layer-norm+softplus, bernoulli: ")
    assert lines[1].endswith(", importance-weighted bound of 5 draws")
    assert lines[-6].split() == ["epoch", "elbo", "nll", "kl", "objective"]
    assert lines[-3].split()[2:] == [f"{got.history[f'test_{name}'][-1]:.2f}" for name in lines[-6].split()[1:]]


def test_sigma_and_threads_reach_the_likelihood_and_the_products(folder, no_pictures, capsys, monkeypatch):
    threads = []
    monkeypatch.setattr(train_module, "blas_threads", lambda number: threads.append(number) or nullcontext())
    assert train("--likelihood", "gaussian", "--sigma", "0.5", "--threads", "3", "--epochs", "1", "--out", "run") == 0
    assert load_checkpoint("run").model.likelihood.sigma == 0.5
    assert threads == [3]
    config = json.loads(Path("run/config.json").read_text())
    assert (config["sigma"], config["threads"]) == (0.5, 3)
    lines = capsys.readouterr().out.splitlines()
    assert "relu, gaussian sigma 0.5: " in lines[0]
    assert lines[1].endswith(", 3 BLAS threads")


@pytest.mark.parametrize(
    ("options", "binarise"),
    [
        ([], "dynamic"),
        (["--likelihood", "gaussian"], "none"),
        (["--likelihood", "continuous-bernoulli"], "none"),
        (["--binarise", "threshold"], "threshold"),
        (["--binarise", "none"], "none"),
        (["--model", "autoencoder"], "dynamic"),
    ],
)
def test_it_is_said_once_before_and_once_after_how_images_were_binarised(
    folder, no_pictures, capsys, options, binarise
):
    assert train("--epochs", "2", *options) == 0
    told = [line for line in capsys.readouterr().out.splitlines() if "nats per example" in line]
    assert len(told) == 2
    assert all(line.endswith(f"nats per example, binarise {binarise}") for line in told)
    run = next(Path("runs").iterdir())
    assert json.loads((run / "config.json").read_text())["binarise"] == binarise


def test_a_gaussian_autoencoder(folder, no_pictures):
    assert train("--epochs", "1", "--model", "autoencoder", "--likelihood", "gaussian", "--out", "ae") == 0
    got = load_checkpoint("ae").model
    assert type(got) is Autoencoder
    assert isinstance(got.likelihood, Gaussian)


def test_the_same_command_gives_the_same_numbers(folder, no_pictures):
    for out, seed in (("one", "1"), ("again", "1"), ("other", "2")):
        assert train("--epochs", "2", "--seed", seed, "--out", out) == 0
    one, again, other = (Path(out, "checkpoint.npz").read_bytes() for out in ("one", "again", "other"))
    assert one == again
    assert one != other
    one, other = (load_checkpoint(out) for out in ("one", "other"))  # and not only because the seed stands in it
    assert all(a != b for a, b in zip(one.history["test_nll"], other.history["test_nll"], strict=True))
    assert not np.array_equal(one.model.params["mu.W"], other.model.params["mu.W"])


def runs():
    return sorted(path.name for path in Path("runs").iterdir())


def test_default_folders_are_numbered(folder, no_pictures, capsys):
    assert train("--epochs", "1", "--latent", "20") == 0  # not to be taken for a run with 2 latents
    for expected in ("tiny-vae-2", "tiny-vae-2-run2", "tiny-vae-2-run3"):
        assert train("--epochs", "1") == 0
        assert f"wrote runs/{expected}/: " in capsys.readouterr().out
    assert train("--epochs", "1", "--model", "autoencoder") == 0
    assert runs() == ["tiny-autoencoder-2", "tiny-vae-2", "tiny-vae-2-run2", "tiny-vae-2-run3", "tiny-vae-20"]


@pytest.mark.parametrize("name", ["my[1].npz", "a*b.npz", "two words.npz", "$x$.npz", "数.npz", "x" * 250 + ".npz"])
def test_default_folders_of_odd_names_are_numbered_too(folder, no_pictures, name):
    Path("tiny.npz").rename(name)
    for _ in range(2):
        assert main(["train", "--data", name, "--hidden", "6", "--epochs", "1"]) == 0
    stem = name.removesuffix(".npz")[:LONGEST]
    assert runs() == [f"{stem}-vae-2", f"{stem}-vae-2-run2"]


def test_data_without_pictures_of_digits(folder, capsys):
    """Points, not images: no labels, no image shape, three latents. What is drawn is named, and nothing else."""
    np.save("points.npy", np.random.default_rng(0).standard_normal((30, 5)))
    argv = "train --data points.npy --likelihood gaussian --latent 3 --hidden 4 --epochs 1 --out out"
    assert main(argv.split()) == 0
    pictures = ["learning_curves.png", "reconstructions.png", "samples.png"]
    assert capsys.readouterr().out.splitlines()[-1] == f"pictures: {', '.join(pictures)}"
    assert sorted(os.listdir("out")) == sorted([".lock", "checkpoint.npz", "config.json", "metrics.csv", *pictures])


class Undrawable(Exception):
    pass


@pytest.mark.parametrize(
    "error", [Undrawable("no\nfont"), ValueError("$"), OSError(28, "No space left"), MemoryError()]
)
def test_a_run_whose_pictures_fail_is_said_to_be_complete(folder, capsys, monkeypatch, error):
    """Not exit code 2, which is for bad input: there is nothing to mend in the command, and nothing to train again."""

    def fail(*args):
        raise error

    monkeypatch.setattr("scratchvae.view.plots.write_pictures", fail)
    assert train("--epochs", "1", "--out", "run") == 1
    out, err = capsys.readouterr()
    assert "\nwrote run/: config.json, metrics.csv, checkpoint.npz\n" in out
    assert "  last      1  " in out
    assert err.startswith(f"scratchvae train: no pictures ({type(error).__name__}: ")
    assert err.endswith("; the run itself is complete; draw them with: python -m scratchvae plot run\n")
    assert err.count("\n") == 1
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    assert main(["plot", "run"]) == 0
    assert Path("run/learning_curves.png").exists()


def test_ctrl_c_while_drawing_says_that_the_run_is_complete(folder, capsys, monkeypatch):
    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("scratchvae.view.plots.write_pictures", stop)
    assert train("--epochs", "1", "--out", "run") == 130
    text = (
        "stopped before its pictures were drawn; the run itself is complete; draw them with: python -m scratchvae plot"
    )
    assert capsys.readouterr().out.splitlines()[-1] == f"{text} run"


# -- help and doctor ---------------------------------------------------------------------------------------------------


def python_m(*argv):
    return subprocess.run([sys.executable, "-m", "scratchvae", *argv], capture_output=True, text=True, timeout=60)


def test_help_names_every_verb():
    done = python_m("--help")
    assert (done.returncode, done.stderr) == (0, "")
    for name, command in COMMANDS.items():
        assert re.search(rf"^ +{name}\s+{re.escape(command.HELP[:30])}", done.stdout, re.MULTILINE)


@pytest.mark.parametrize("verb", COMMANDS)
def test_the_help_of_each_verb_has_examples_that_parse(capsys, verb):
    with pytest.raises(SystemExit) as stop:
        main([verb, "--help"])
    out, err = capsys.readouterr()
    assert (stop.value.code, err) == (0, "")
    examples = re.findall(r"^  python -m scratchvae (.*)$", out, re.MULTILINE)
    assert examples
    for example in examples:
        assert make_parser().parse_args(shlex.split(example)).verb == verb


def test_the_help_of_train_tells_every_default(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")  # why: a narrow terminal breaks mnist-sample at its hyphen
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    out = " ".join(capsys.readouterr().out.split())
    for name, default in DEFAULTS.items():
        assert f"--{name.replace('_', '-')}" in out
        if default is not None:
            assert f"(default {default[0] if isinstance(default, list) else default})" in out, name
    assert "--out FOLDER" in out
    assert "--resume " in out


def test_doctor_finds_this_installation_sound_and_is_quick():
    began = time.perf_counter()
    done = python_m("doctor")
    assert time.perf_counter() - began < 5
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"scratchvae {version}, Python {sys.version_info[0]}.{sys.version_info[1]}.")
    assert f"numpy {np.__version__}" in lines[1]
    assert lines[2] == f"backend numpy {np.__version__}"
    checks = lines[3:-1]
    assert len(checks) == 5
    assert all(line.startswith("  ok   ") for line in checks)
    assert "10,000 + 2,000 images" in done.stdout
    assert f"{2 - np.log(2):.10f} nats" in done.stdout
    assert lines[-1] == "the installation is sound"


def wrong_kl(mu, logvar):
    return 0.5 * (mu * mu + np.exp(logvar) - 1 + logvar).sum(axis=1), None


class WrongBernoulli(doctor.Bernoulli):
    def nll(self, x, logits):
        nll, cache = super().nll(x, logits)
        return nll / x.shape[1], cache


class WrongVAE(VAE):
    def backward(self, dobjective, cache, trace=None):
        return {name: g * (1.001 if name == "mu.W" else 1) for name, g in super().backward(dobjective, cache).items()}


@pytest.mark.parametrize(
    ("name", "broken", "check"),
    [
        ("kl_to_standard_normal", wrong_kl, "KL(N(1, 4) || N(0, 1)) = 2 - log 2"),
        ("Bernoulli", WrongBernoulli, "784 fair coins = 784 log 2"),
        ("VAE", WrongVAE, "gradients of the vae against differences"),
    ],
)
def test_doctor_notices_what_is_wrong(monkeypatch, capsys, name, broken, check):
    monkeypatch.setattr(doctor, name, broken)
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert [line for line in out.splitlines() if line.startswith("  FAIL")] == [
        line for line in out.splitlines() if line.startswith(f"  FAIL {check}: ")
    ]
    assert out.count("  FAIL ") == 1
    assert "something is wrong" in out


def test_the_package_imports_numpy_alone():
    code = "import sys, scratchvae; print(*{'matplotlib', 'tqdm', 'cupy', 'torch', 'scipy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")


def test_one_bad_option_in_a_real_process(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "scratchvae", "train", "--data", "nothing.npz"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    text = "scratchvae train: data should be a file .npz or .npy, and there is no file nothing.npz; check the path\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", text)
    assert list(tmp_path.iterdir()) == []
