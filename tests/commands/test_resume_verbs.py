"""A run folder from the command line: claimed by one, held while it is written, resumed as if it had never stopped."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from scratchvae import VAE, Adam, fit, load_checkpoint, save_checkpoint
from scratchvae.cli import main
from scratchvae.commands import runs
from scratchvae.commands.runs import LONGEST, claim, default_name, numbered_runs
from scratchvae.commands.train import DEFAULTS
from scratchvae.run_folder import RunFolder

PIXELS = np.random.default_rng(7).integers(0, 256, size=(50, 16), dtype=np.uint8)


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch):
    monkeypatch.setattr("scratchvae.view.plots.write_pictures", lambda *args: [])


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A data set in an empty working folder, and the options of a run on it that takes a moment."""
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "tiny.npz", x_train=PIXELS[:40], x_test=PIXELS[40:])
    return ["train", "--data", "tiny.npz", "--hidden", "6", "--batch-size", "16"]


@pytest.fixture
def run(tiny, capsys):
    """The same, and in the folder run a run of one epoch."""
    assert main([*tiny, "--epochs", "1", "--out", "run"]) == 0
    capsys.readouterr()
    return Path("run")


def resume(*options, out="run"):
    return main(["train", "--resume", *([] if out is None else ["--out", out]), *options])


def metrics(folder):
    """The rows of metrics.csv without the last column, which is a time."""
    with open(Path(folder) / "metrics.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0][-1] == "seconds"
    return [row[:-1] for row in rows]


def assert_same_run(one, other):
    """To the last byte, but for the seconds that an epoch took."""
    one, other = Path(one), Path(other)
    assert one.joinpath("checkpoint.npz").read_bytes() == other.joinpath("checkpoint.npz").read_bytes()
    assert one.joinpath("config.json").read_text() == other.joinpath("config.json").read_text()
    assert metrics(one) == metrics(other)
    assert contents(one).keys() == contents(other).keys()


def contents(folder):
    """Every file below a folder but the locks, which are empty, and when it was last written."""
    paths = [path for path in sorted(Path(folder).rglob("*")) if path.name != ".lock"]
    return {path.relative_to(folder): path.read_bytes() if path.is_file() else None for path in paths}


def assert_refused(capsys, text, argv, where="."):
    """Exit code 2, one line, nothing said before it and nothing written."""
    before = contents(where)
    capsys.readouterr()
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"scratchvae train: {text}\n")
    assert contents(where) == before


# -- going on ----------------------------------------------------------------------------------------------------------

OPTIONS = {
    "vae": "--warmup 2 --optimizer sgd --latent 3 --seed 5",
    "a bound": "--samples 3 --latent 3 --optimizer adagrad",
    "layer norm": "--layers dense,layer-norm,tanh --likelihood gaussian --sigma 0.5 --beta 2",
    "two parameters a pixel": "--likelihood gaussian-learned --lr 0.01 --threads 2",
    "an autoencoder": "--model autoencoder --binarise threshold",
}


@pytest.mark.parametrize("name", OPTIONS)
def test_resume_takes_the_options_of_the_stopped_run(tiny, name):
    options = OPTIONS[name].split()
    assert main([*tiny, *options, "--epochs", "4", "--out", "at-once"]) == 0
    assert main([*tiny, *options, "--epochs", "2", "--out", "later"]) == 0
    assert resume("--epochs", "3", out="later") == 0
    assert resume("--epochs", "4", out="later") == 0
    assert_same_run("later", "at-once")


def test_what_is_said_again_as_it_was_is_no_other_run(tiny):
    options = ["--lr", "0.01", "--likelihood", "gaussian", "--sigma", "0.5", "--layers", "dense,relu", "--threads", "1"]
    assert main([*tiny, *options, "--epochs", "2", "--out", "at-once"]) == 0
    assert main([*tiny, *options, "--epochs", "1", "--out", "later"]) == 0
    assert main([*tiny, *options, "--epochs", "2", "--out", "later", "--resume"]) == 0
    assert_same_run("later", "at-once")
    assert load_checkpoint("later").schedule is None


def test_what_was_not_said_is_kept_as_what_it_was(tiny):
    """A default stands in config.json and in the checkpoint as a number: it may be said later, and is no surprise."""
    assert main([*tiny, "--likelihood", "gaussian", "--epochs", "2", "--out", "at-once"]) == 0
    assert main([*tiny, "--likelihood", "gaussian", "--epochs", "1", "--out", "later"]) == 0
    assert (
        resume("--epochs", "2", "--lr", "0.001", "--sigma", "1", "--binarise", "none", "--beta", "1", out="later") == 0
    )
    assert_same_run("later", "at-once")
    assert not [
        name for name, value in load_checkpoint("later").config["run"].items() if value is None and name != "layers"
    ]


def test_it_says_from_which_epoch_it_goes_on(run, capsys):
    assert resume("--epochs", "3") == 0
    out = capsys.readouterr().out
    assert "going on after epoch 1\n" in out
    assert [line.split()[1] for line in out.splitlines() if line.startswith("epoch ")] == ["2/3", "3/3"]


def test_a_run_that_is_done_is_left_as_it_is_and_its_pictures_are_drawn(run, capsys, monkeypatch):
    """Nothing to do is no failure: whoever asks for 1 epoch has it. A run killed at its pictures gets them so."""
    before = contents(run)
    drawn = []
    monkeypatch.setattr("scratchvae.view.plots.write_pictures", lambda *args: drawn.append(args) or [])
    for options in ([], ["--epochs", "1"]):
        assert resume(*options) == 0
        out = capsys.readouterr().out
        assert "epochs done: 1 of 1; nothing is left to train, --epochs asks for more\n" in out
        assert "done in" not in out
    assert contents(run) == before
    assert len(drawn) == 2


def test_fewer_epochs_than_are_done_cannot_be_had(run, capsys):
    assert resume("--epochs", "3") == 0
    text = "--epochs should be at least 3, which are done in run, got 2"
    assert_refused(capsys, text, ["train", "--resume", "--out", "run", "--epochs", "2"])


def test_another_step_size_counts_from_there_on(run):
    assert resume("--epochs", "2", "--lr", "0.25") == 0
    got = load_checkpoint("run")
    assert (got.epoch, got.optimizer.lr, got.schedule) == (2, 0.25, [(1, 0.25)])
    assert got.config["run"]["lr"] == json.loads((run / "config.json").read_text())["lr"] == 0.25
    assert resume("--epochs", "3") == 0  # and stays, without being said again
    assert resume("--epochs", "4", "--lr", "0.5") == 0
    got = load_checkpoint("run")
    assert (got.epoch, got.optimizer.lr, got.schedule) == (4, 0.5, [(1, 0.25), (3, 0.5)])


def test_the_step_size_moves_the_weights(tiny, tmp_path):
    """An epoch at another step size ends elsewhere; one at the same ends where the run would have ended anyway."""
    for lr in ("0.001", "0.25"):
        assert main([*tiny, "--epochs", "1", "--out", lr]) == 0
        assert resume("--epochs", "2", "--lr", lr, out=lr) == 0
    assert main([*tiny, "--epochs", "2", "--out", "plain"]) == 0
    weights = {name: load_checkpoint(name).model.params["mu.W"] for name in ("plain", "0.001", "0.25")}
    assert np.array_equal(weights["plain"], weights["0.001"])
    assert not np.allclose(weights["plain"], weights["0.25"], atol=1e-3)


def test_threads_are_those_of_the_run(run, monkeypatch):
    """Two threads add up in another order than one: the number comes from the checkpoint, not from the environment."""
    from scratchvae.commands import train

    used = []
    real = train.blas_threads
    monkeypatch.setattr(train, "blas_threads", lambda number: used.append(number) or real(number))
    assert (
        main(["train", "--data", "tiny.npz", "--hidden", "6", "--epochs", "1", "--threads", "2", "--out", "two"]) == 0
    )
    assert resume("--epochs", "2", out="two") == 0
    assert resume("--epochs", "2") == 0
    assert resume("--epochs", "3", "--threads", "2") == 0
    assert used == [2, 2, 1, 2]
    assert load_checkpoint("run").config["run"]["threads"] == 2


@pytest.mark.parametrize(
    ("option", "was", "value"),
    [
        ("--latent", "2", "3"),
        ("--hidden", "6", "6,6"),
        ("--seed", "0", "1"),
        ("--beta", "1.0", "2.0"),
        ("--warmup", "0", "1"),
        ("--batch-size", "16", "8"),
        ("--model", "vae", "autoencoder"),
        ("--likelihood", "bernoulli", "gaussian"),
        ("--activation", "relu", "tanh"),
        ("--layers", "not given", "dense,layer-norm,relu"),
        ("--optimizer", "adam", "sgd"),
        ("--binarise", "dynamic", "none"),
        ("--samples", "1", "5"),
        ("--sigma", "not given", "0.5"),
    ],
)
def test_options_of_another_run_are_refused(tiny, run, capsys, option, was, value):
    text = f"--resume needs the options of the stopped run: {option} was {was}, got {value}; "
    text += "leave it out, or train into a new folder"
    assert_refused(capsys, text, ["train", option, value, "--epochs", "2", "--resume", "--out", "run"])


def test_every_option_is_either_refused_or_may_change():
    refused = {mark.args[1][i][0] for mark in test_options_of_another_run_are_refused.pytestmark for i in range(14)}
    assert {f"--{name.replace('_', '-')}" for name in DEFAULTS} - refused == {
        "--data",
        "--epochs",
        "--lr",
        "--threads",
        "--backend",
    }


def test_a_run_that_blows_up_ends_with_code_1_and_one_line(tiny, tmp_path, capsys):
    assert main([*tiny, "--optimizer", "sgd", "--epochs", "2", "--out", "run"]) == 0
    before = (tmp_path / "run" / "checkpoint.npz").read_bytes()
    capsys.readouterr()
    assert resume("--epochs", "3", "--lr", "1e30") == 1
    err = capsys.readouterr().err
    assert err.startswith("scratchvae train: ")
    assert " in epoch 3: lower the step size, which is 1e+30" in err
    assert err.count("\n") == 1
    assert (tmp_path / "run" / "checkpoint.npz").read_bytes() == before
    assert resume("--epochs", "3") == 0  # with the step size that it had
    assert load_checkpoint("run").optimizer.lr == 1e-3


# -- which folder ------------------------------------------------------------------------------------------------------


def test_an_empty_folder_is_taken(tiny, tmp_path):
    """And so is one with what a process leaves that was killed before it began."""
    assert main([*tiny, "--epochs", "1", "--out", "fresh"]) == 0
    (tmp_path / "empty").mkdir()
    (tmp_path / "killed").mkdir()
    (tmp_path / "killed" / ".lock").touch()
    (tmp_path / "killed" / "config.json.part").write_text("{")
    for name in ("empty", "killed"):
        assert main([*tiny, "--epochs", "1", "--out", name]) == 0
        assert (tmp_path / name / "checkpoint.npz").read_bytes() == (tmp_path / "fresh/checkpoint.npz").read_bytes()


@pytest.mark.parametrize("name", ["config.json", "checkpoint.npz", "metrics.csv"])
def test_a_folder_with_a_run_needs_resume(tiny, capsys, monkeypatch, name):
    """Said at once, before data are loaded or fetched."""
    monkeypatch.setattr("scratchvae.commands.train.prepare", None)
    Path("run").mkdir()
    Path("run", name).write_text("whatever")
    text = "--out should be a folder without a run in it, got run; choose another, or go on with that by --resume"
    assert_refused(capsys, text, [*tiny, "--out", "run"])


def test_a_folder_with_other_files_is_nobodys_run_folder(tiny, capsys):
    """samples.png in it would be overwritten by the run's own."""
    Path("photos").mkdir()
    Path("photos/samples.png").write_bytes(b"mine")
    text = "--out should be a new or an empty folder, got photos, which holds samples.png; choose another"
    assert_refused(capsys, text, [*tiny, "--out", "photos"])


@pytest.mark.parametrize("flags", [[], ["--resume"]])
@pytest.mark.parametrize("out", ["tiny.npz", "tiny.npz/run"])
def test_a_file_is_no_run_folder(tiny, capsys, flags, out):
    before = contents(".")
    assert main([*tiny, "--epochs", "1", "--out", out, *flags]) == 2
    printed, err = capsys.readouterr()
    assert printed == ""
    assert err.startswith("scratchvae train: ")
    assert "tiny.npz" in err
    assert err.count("\n") == 1
    assert contents(".") == before


@pytest.mark.parametrize(
    ("make", "what"),
    [(lambda: None, "is not there"), (Path("typo").mkdir, "holds none"), (Path("typo").touch, "is a file")],
)
def test_resume_is_not_misled_by_a_slip_of_the_pen(tiny, run, capsys, make, what):
    make()
    text = f"--resume needs the folder of a run, and typo {what}; check --out"
    assert_refused(capsys, text, [*tiny, "--resume", "--out", "typo"])


def test_resume_takes_the_checkpoint_for_its_folder(run):
    assert resume("--epochs", "2", out="run/checkpoint.npz") == 0
    assert load_checkpoint("run").epoch == 2


def test_resume_without_a_folder_goes_on_with_the_last_run_of_that_name(tiny, capsys):
    text = "--resume goes on with a run, and there is none called runs/tiny-vae-2; say which with --out"
    assert_refused(capsys, text, [*tiny, "--resume"])
    for _ in range(2):
        assert main([*tiny, "--epochs", "1"]) == 0
    Path("runs/tiny-vae-2-run7").mkdir()  # nobody's run, though it has the name of one
    assert main([*tiny, "--epochs", "2", "--resume"]) == 0
    assert "wrote runs/tiny-vae-2-run2/: " in capsys.readouterr().out
    assert [load_checkpoint(f"runs/{name}").epoch for name in ("tiny-vae-2", "tiny-vae-2-run2")] == [1, 2]
    assert main([*tiny, "--epochs", "1"]) == 0
    assert load_checkpoint("runs/tiny-vae-2-run8").epoch == 1


def test_bad_options_leave_no_folder(tiny, capsys):
    """The folder is claimed last, when everything else is known to be right."""
    for options in (
        ["--data", "nothing.npz"],
        ["--layers", "dense,gelu"],
        ["--sigma", "2"],
        ["--model", "autoencoder", "--samples", "5"],
        ["--latent", "1000000000000000"],
    ):
        for out in ([], ["--out", "a/b"]):
            before = contents(".")
            assert main([*tiny, *options, *out]) == 2
            assert capsys.readouterr().err.count("\n") == 1
            assert contents(".") == before


def test_a_default_name_that_another_process_takes_meanwhile_is_passed_over(tiny, monkeypatch):
    """Both looked when the name was still free, as they do when they start at once: mkdir decides."""
    monkeypatch.setattr(runs, "numbered_runs", lambda base: {})
    options = {**DEFAULTS, "data": "tiny.npz"}
    with claim(None, options) as first, claim(None, options) as second, claim(None, options) as third:
        names = [folder.path.name for folder in (first, second, third)]
    assert names == ["tiny-vae-2", "tiny-vae-2-run2", "tiny-vae-2-run3"]


@pytest.mark.parametrize("error", [ValueError("no"), MemoryError(), KeyboardInterrupt()])
@pytest.mark.parametrize("out", [None, "new", "new/and/deep", "empty", "empty/new"])
def test_a_run_of_which_nothing_came_leaves_no_folder(tiny, capsys, monkeypatch, error, out):
    """Stopped or refused between the claim and the first write; an empty folder that was there stays."""
    from scratchvae.commands import train

    def fail(*args, **how):
        raise error

    Path("empty").mkdir()
    before = contents(".")
    with monkeypatch.context() as broken:
        broken.setattr(train, "fit", fail)
        assert main([*tiny, "--epochs", "1", *([] if out is None else ["--out", out])]) in (2, 130)
    assert contents(".") == before
    assert main([*tiny, "--epochs", "1", *([] if out is None else ["--out", out])]) == 0
    assert load_checkpoint("runs/tiny-vae-2" if out is None else out).epoch == 1


@pytest.mark.parametrize(
    "data",
    ["my.npz", "x" * 250 + ".npz", "数" * 83 + ".npz", "-x.npz", "..", "/", ".npz", "a\nb\x1b.npz", "\udcff.npz"],
)
def test_default_names_are_names(tmp_path, monkeypatch, data):
    """Whatever the data are called: not too long, no step out of runs/, not an option when it is typed."""
    monkeypatch.chdir(tmp_path)
    options = {**DEFAULTS, "data": data}
    name = default_name(options)
    assert len(os.fsencode(name)) <= LONGEST + len("-autoencoder-1000000-run1000000")
    assert name.endswith("-vae-2")
    assert name.isprintable()
    with claim(None, options) as first, claim(None, options) as second:
        assert [first.path, second.path] == [Path("runs", name), Path("runs", f"{name}-run2")]
    assert numbered_runs(name) == {1: Path("runs", name), 2: Path("runs", f"{name}-run2")}


# -- one process at a time ---------------------------------------------------------------------------------------------


def in_use(out):
    return (
        f"out should be a folder that no other run writes to, and {out} is in use; "
        "wait for that run, or choose another folder"
    )


def test_a_folder_in_use_is_refused(run, capsys):
    Path("new").mkdir()
    with RunFolder("run"), RunFolder("new"):
        assert_refused(capsys, in_use("run"), ["train", "--resume", "--out", "run", "--epochs", "2"])
        text = in_use("new")
        assert_refused(capsys, text, ["train", "--data", "tiny.npz", "--hidden", "6", "--epochs", "1", "--out", "new"])
    assert resume("--epochs", "2") == 0


def test_the_folder_is_held_to_the_last_picture_and_no_longer(tiny, monkeypatch, capsys):
    seen = []

    def draw(model, data, history, folder, rng, binarise):
        seen.append(main(["train", "--resume", "--out", str(folder)]))
        return []

    monkeypatch.setattr("scratchvae.view.plots.write_pictures", draw)
    assert main([*tiny, "--epochs", "1", "--out", "run"]) == 0
    assert seen == [2]
    assert capsys.readouterr().err == f"scratchvae train: {in_use('run')}\n"
    RunFolder("run").close()


def test_a_run_that_was_faster_between_the_look_and_the_lock(tiny, monkeypatch, capsys):
    """Both processes found the folder free; one has trained there before the other has loaded its data."""
    from scratchvae.commands import train

    real = train.prepare

    def slow(options):
        monkeypatch.setattr(train, "prepare", real)
        assert main([*tiny, "--epochs", "1", "--out", "run"]) == 0
        return real(options)

    monkeypatch.setattr(train, "prepare", slow)
    assert main([*tiny, "--epochs", "3", "--out", "run"]) == 2
    assert "--out should be a folder without a run in it, got run; " in capsys.readouterr().err
    assert load_checkpoint("run").epoch == 1
    RunFolder("run").close()  # the refused one holds it no longer


WITHOUT_PICTURES = (
    "import sys; from scratchvae.commands import train; train.draw = lambda *args: 0;"
    "from scratchvae.cli import main; sys.exit(main(sys.argv[1:]))"
)


def start(folder, *argv):
    """The command line in a process of its own, listening to Ctrl-C even where the shell has switched it off."""
    return subprocess.Popen(
        [sys.executable, "-c", WITHOUT_PICTURES, *argv],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        preexec_fn=(lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)) if os.name != "nt" else None,
    )


def test_processes_that_start_at_once_get_a_folder_each(tiny, tmp_path):
    processes = [start(tmp_path, *tiny, "--epochs", "2", "--seed", str(seed)) for seed in range(6)]
    for process in processes:
        process.communicate(timeout=120)
        assert process.returncode == 0
    assert len(numbered_runs("tiny-vae-2")) == 6
    seeds = {load_checkpoint(path).config["run"]["seed"] for path in numbered_runs("tiny-vae-2").values()}
    assert seeds == set(range(6))
    assert all(
        [row[0] for row in metrics(path)] == ["epoch", "1", "2"] for path in numbered_runs("tiny-vae-2").values()
    )


def test_of_processes_that_name_one_folder_one_gets_it(tiny, tmp_path):
    processes = [start(tmp_path, *tiny, "--epochs", "40", "--out", "run", "--seed", str(seed)) for seed in range(4)]
    told = [(*process.communicate(timeout=120), process.returncode) for process in processes]
    assert sorted(code for _, _, code in told) == [0, 2, 2, 2]
    for _, err, code in told:
        assert (err == "") == (code == 0)
        assert err == "" or err.count("\n") == 1
    winner = [code for _, _, code in told].index(0)
    assert load_checkpoint("run").config["run"]["seed"] == winner
    assert [row[0] for row in metrics("run")[1:]] == [str(epoch) for epoch in range(1, 41)]


# -- stopped -----------------------------------------------------------------------------------------------------------


def stop_in_the_first_epoch(tiny, monkeypatch, *options):
    def interrupted(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as stopped:
        stopped.setattr(Adam, "step", interrupted)
        assert main([*tiny, *options, "--out", "run"]) == 130


def test_ctrl_c_before_the_first_epoch_ends(tiny, capsys, monkeypatch):
    stop_in_the_first_epoch(tiny, monkeypatch, "--epochs", "2", "--seed", "3")
    out, err = capsys.readouterr()
    assert "stopped; before its first epoch ended. Go on with: python -m scratchvae train --resume --out run\n" in out
    assert err == ""
    assert resume() == 0
    assert "; it was stopped before its first checkpoint, and starts over\n" in capsys.readouterr().out
    assert main([*tiny, "--epochs", "2", "--seed", "3", "--out", "unbroken"]) == 0
    assert_same_run("run", "unbroken")


@pytest.mark.parametrize("content", [None, "", "{}", "[1]", "3", "not json", '{"data": "tiny.npz"}', "[" * 10**5])
def test_without_a_checkpoint_and_without_a_config_nobody_knows_what_it_was(tiny, capsys, monkeypatch, content):
    stop_in_the_first_epoch(tiny, monkeypatch)
    Path("run/config.json").unlink() if content is None else Path("run/config.json").write_text(content)
    text = "--resume needs the config.json or the checkpoint.npz of a run, and run has neither"
    assert_refused(capsys, text, ["train", "--resume", "--out", "run"])


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("model", "gan"),
        ("likelihood", "poisson"),
        ("optimizer", "lion"),
        ("activation", "gelu"),
        ("layers", ["gelu"]),
        ("layers", [{}]),
        ("binarise", "otsu"),
        ("backend", "torch"),
        ("data", "cifar"),
        ("data", 3),
        ("data_path", "/nowhere.npz"),
        ("latent", 0),
        ("hidden", "wide"),
        ("hidden", [0]),
        ("batch_size", "many"),
        ("lr", -1.0),
        ("lr", "fast"),
        ("beta", -1),
        ("warmup", -1),
        ("samples", 0),
        ("threads", 0),
        ("sigma", 0.5),
        ("seed", -1),
        ("seed", True),
        *[(name, None) for name in DEFAULTS if name not in ("sigma", "activation", "layers")],
        *[(name, "long" * 500) for name in ("hidden", "beta", "optimizer")],
    ],
)
def test_a_config_edited_by_hand_is_checked_like_any_option(tiny, capsys, monkeypatch, option, value):
    stop_in_the_first_epoch(tiny, monkeypatch)
    file = Path("run/config.json")
    file.write_text(json.dumps(json.loads(file.read_text()) | {option: value}))
    if option in ("data", "data_path"):
        Path("tiny.npz").rename("moved.npz")
    before = contents("run")
    capsys.readouterr()
    assert resume("--epochs", "2") == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert len(err) < 500
    assert contents("run") == before


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT to send to one process")
def test_ctrl_c_in_the_middle_of_an_epoch(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, size=(4000, 60), dtype=np.uint8)
    np.savez(tmp_path / "mine.npz", x_train=x, x_test=x[:100])
    options = ["--data", str(tmp_path / "mine.npz"), "--hidden", "50", "--latent", "3", "--batch-size", "4"]
    options += ["--epochs", "3", "--warmup", "3"]

    process = start(tmp_path, "train", *options, "--out", "stopped")
    for line in process.stdout:
        if line.startswith("epoch 1/3"):
            break
    time.sleep(0.05)  # an epoch has 1,000 steps and takes several times as long
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert err == ""
    assert out == (
        "\nstopped; the checkpoint of its last whole epoch is kept. "
        "Go on with: python -m scratchvae train --resume --out stopped\n"
    )
    stopped = tmp_path / "stopped"
    assert {path.name for path in contents(stopped)} == {"checkpoint.npz", "config.json", "metrics.csv"}
    done = load_checkpoint(stopped).epoch
    assert done in (1, 2)  # on a busy machine the signal may come an epoch late

    process = start(tmp_path, "train", "--resume", "--out", "stopped")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert [line.split()[1] for line in out.splitlines() if line.startswith("epoch ")] == ["2/3", "3/3"][done - 1 :]

    assert main(["train", *options, "--out", str(tmp_path / "unbroken")]) == 0
    for name in ("checkpoint.npz", "config.json"):
        assert stopped.joinpath(name).read_bytes() == (tmp_path / "unbroken" / name).read_bytes()
    assert metrics(stopped) == metrics(tmp_path / "unbroken")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_kill_leaves_no_lock(tiny, tmp_path):
    process = start(tmp_path, *tiny, "--epochs", "100000", "--out", "run")
    for line in process.stdout:
        if line.startswith("epoch "):
            break
    process.kill()
    process.communicate(timeout=20)
    done = load_checkpoint("run").epoch
    assert resume("--epochs", str(done + 2)) == 0
    assert main([*tiny, "--epochs", str(done + 2), "--out", "unbroken"]) == 0
    assert_same_run("run", "unbroken")


# -- config.json is a view of the checkpoint ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "is missing"),
        ("", "is not that of a run"),
        ("[1]", "is not that of a run"),
        ({"latent": 3, "lr": "fast"}, "says latent 3, not 2; lr fast, not 0.001"),
        ({"data": "other.npz"}, "says data other.npz, not tiny.npz"),
        ({"note": "mine"}, "says note mine, not None"),
    ],
)
def test_a_config_that_was_edited_or_deleted_is_written_anew(tiny, run, capsys, content, said):
    file = run / "config.json"
    if content is None:
        file.unlink()
    else:
        edited = content if isinstance(content, str) else json.dumps(json.loads(file.read_text()) | content)
        file.write_text(edited)
    assert resume("--epochs", "2") == 0
    assert f"run/config.json {said}: the checkpoint counts, and it is written anew\n" in capsys.readouterr().out
    assert main([*tiny, "--epochs", "2", "--out", "unbroken"]) == 0
    assert_same_run("run", "unbroken")


def test_an_option_that_was_deleted_from_the_config_is_noticed(run, capsys):
    config = json.loads((run / "config.json").read_text())
    del config["beta"]
    (run / "config.json").write_text(json.dumps(config))
    assert resume() == 0
    assert "run/config.json says beta None, not 1.0: the checkpoint counts, and " in capsys.readouterr().out
    assert json.loads((run / "config.json").read_text())["beta"] == 1.0


def test_a_config_as_it_was_is_not_spoken_of(run, capsys):
    assert resume("--epochs", "2") == 0
    assert "config.json " not in capsys.readouterr().out


def test_metrics_that_were_deleted_or_garbled_come_back(tiny, run):
    (run / "metrics.csv").write_text("epoch,x\n1,2\n9")
    assert resume("--epochs", "2") == 0
    (run / "metrics.csv").unlink()
    assert resume("--epochs", "3") == 0
    assert main([*tiny, "--epochs", "3", "--out", "unbroken"]) == 0
    assert_same_run("run", "unbroken")


@pytest.mark.parametrize("content", [b"", b"truncated", b"PK\x03\x04" + bytes(40)], ids=["empty", "text", "zip"])
def test_a_damaged_checkpoint_is_not_resumed(run, capsys, content):
    (run / "checkpoint.npz").write_bytes(content)
    before = contents(run)
    assert resume("--epochs", "9", "--lr", "0.5") == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(
        "scratchvae train: run/checkpoint.npz should hold a scratchvae checkpoint 2, and it cannot be"
    )
    assert contents(run) == before


def test_a_run_from_python_goes_on_in_python(tiny, capsys):
    rng = np.random.default_rng(0)
    vae = VAE(16, (6,), 2, rng=rng)
    fit(vae, PIXELS, PIXELS, epochs=1, optimizer=Adam(), rng=rng, out="run", progress=False)
    text = "expected a run of the command train, and that in run was trained from Python, which does not say on which "
    assert_refused(capsys, f"{text}data; go on in Python", ["train", "--resume", "--out", "run"])
    save_checkpoint("weights", vae)
    assert main(["train", "--resume", "--out", "weights"]) == 2


# -- the data of a run -------------------------------------------------------------------------------------------------


def test_it_goes_on_from_another_folder(tiny, run, tmp_path, monkeypatch):
    assert main([*tiny, "--epochs", "2", "--out", "unbroken"]) == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert resume("--epochs", "2", out="../run") == 0
    assert_same_run("../run", "../unbroken")


def test_data_that_were_moved_are_asked_for_in_one_line(run, tmp_path, capsys):
    Path("tiny.npz").rename("moved.npz")
    text = f"the data of this run should be at {tmp_path / 'tiny.npz'}, and nothing is there; "
    text += "put them back, or say with --data where they are now"
    assert_refused(capsys, text, ["train", "--resume", "--out", "run", "--epochs", "2"])
    assert resume("--epochs", "2", "--data", "moved.npz") == 0
    told = load_checkpoint("run").config["run"]
    assert (told["data"], told["data_path"]) == ("moved.npz", str(tmp_path / "moved.npz"))
    assert resume("--epochs", "3") == 0


def test_a_folder_that_was_moved_with_its_data(run, tmp_path, monkeypatch):
    """The absolute path is of no use then, but what was typed still is."""
    project = tmp_path.with_name(f"{tmp_path.name}-renamed")
    tmp_path.rename(project)
    monkeypatch.chdir(project)
    assert resume("--epochs", "2") == 0
    assert load_checkpoint("run").config["run"]["data_path"] == str(project / "tiny.npz")


@pytest.mark.parametrize("options", [[], ["--data", "other.npz"], ["--data", "mnist-sample"]])
def test_other_data_are_refused(run, capsys, options):
    """Behind the same path or another: the fingerprint decides, not the name."""
    changed = PIXELS.copy()
    changed[49, 15] ^= 1  # one bit of one held-out pixel
    np.savez("other.npz", x_train=changed[:40], x_test=changed[40:])
    if not options:
        os.replace("other.npz", "tiny.npz")
    before = contents(run)
    assert resume("--epochs", "2", *options) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    where = options[-1] if "mnist-sample" in options else Path(options[-1] if options else "tiny.npz").absolute()
    got = load_checkpoint("run").config["training"]["data"][:12]
    assert f"the data that the run was trained on, with the fingerprint {got}, and {where} holds others, with" in err
    assert contents(run) == before


def test_the_rows_that_are_held_out_are_chosen_by_the_seed_of_the_run(tmp_path, monkeypatch, capsys):
    """A file without x_test: with another seed other rows would be held out, and the fingerprint would be another."""
    monkeypatch.chdir(tmp_path)
    np.save("rows.npy", PIXELS)
    argv = ["train", "--data", "rows.npy", "--hidden", "6"]
    assert main([*argv, "--epochs", "1", "--seed", "5", "--out", "run"]) == 0
    assert main([*argv, "--epochs", "2", "--seed", "5", "--out", "unbroken"]) == 0
    assert main([*argv, "--epochs", "1", "--seed", "6", "--out", "other"]) == 0
    data = {name: load_checkpoint(name).config["training"]["data"] for name in ("run", "other")}
    assert data["run"] != data["other"]
    assert resume("--epochs", "2") == 0
    assert_same_run("run", "unbroken")
