"""A run that was stopped and resumed ends as one that was not, bit for bit; one that blows up keeps what was good."""

import csv
import json
import re

import numpy as np
import pytest

from scratchvae import (
    SGD,
    VAE,
    Adagrad,
    Adam,
    Autoencoder,
    Gaussian,
    __version__,
    fit,
    load_checkpoint,
    save_checkpoint,
)
from scratchvae import record as record_module
from scratchvae.run_folder import RunFolder
from scratchvae.training import NonFiniteObjective

EPOCHS, STEPS = 4, 3  # 40 rows in batches of 16: the last one is smaller
PIXELS = np.random.default_rng(7).integers(0, 256, size=(50, 16), dtype=np.uint8)
OPTIMIZERS = {"sgd": lambda: SGD(1e-3), "adagrad": lambda: Adagrad(1e-2), "adam": lambda: Adam(1e-2)}


class Run:
    """One attempt at the same run: a fresh model, a fresh optimizer and a fresh generator, as in a new process."""

    def __init__(self, model_class=VAE, optimizer="adam", n_z=2, **how):
        self.rng = np.random.default_rng(3)
        self.model = model_class(16, (6,), n_z, rng=self.rng, **how)
        self.optimizer = OPTIMIZERS[optimizer]()

    def fit(self, out, x=PIXELS[:40], **how):
        how = {"batch_size": 16, "warmup": 2, "schedule": lambda epoch: 0.01 / (1 + epoch), "progress": False} | how
        how = {"epochs": EPOCHS, "optimizer": self.optimizer, "rng": self.rng} | how
        return fit(self.model, x, PIXELS[40:], out=out, **how)

    def stop_at(self, step, when="before"):
        """Ctrl-C in the course of a step, counted from 1, before or after the weights have moved."""
        real = self.optimizer.step

        def interrupted(params, grads):
            due = self.optimizer.steps + 1 == step
            if due and when == "before":
                raise KeyboardInterrupt
            real(params, grads)
            if due:
                raise KeyboardInterrupt

        self.optimizer.step = interrupted
        return self


def metrics(folder):
    """The rows of metrics.csv without the last column, which is a time."""
    with open(folder / "metrics.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0][-1] == "seconds"
    return [row[:-1] for row in rows]


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def assert_same_run(one, other):
    assert one.joinpath("checkpoint.npz").read_bytes() == other.joinpath("checkpoint.npz").read_bytes()
    assert metrics(one) == metrics(other)
    assert sorted(path.name for path in one.iterdir()) == sorted(path.name for path in other.iterdir())


@pytest.mark.parametrize("step", [1, 3, 4, 5, 12])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("model_class", [VAE, Autoencoder])
def test_stopped_and_resumed_is_the_same_run(tmp_path, model_class, optimizer, when, step):
    unbroken = Run(model_class, optimizer)
    history = unbroken.fit(tmp_path / "unbroken")
    with pytest.raises(KeyboardInterrupt):
        Run(model_class, optimizer).stop_at(step, when).fit(tmp_path / "stopped")
    done = (step - 1) // STEPS
    assert (tmp_path / "stopped" / "checkpoint.npz").exists() == (done > 0)
    if done:
        assert load_checkpoint(tmp_path / "stopped").epoch == done
    resumed = Run(model_class, optimizer)
    assert resumed.fit(tmp_path / "stopped", resume=True) == history
    for name, p in resumed.model.params.items():
        assert np.array_equal(p, unbroken.model.params[name]), name
    assert_same_run(tmp_path / "stopped", tmp_path / "unbroken")


def test_the_run_moves_what_it_is_compared_by(tmp_path):
    """The comparison above is worth something: weights, warm-up, bits and noise differ from epoch to epoch."""
    run = Run()
    before = {name: p.copy() for name, p in run.model.params.items()}
    history = run.fit(tmp_path / "run")
    assert all(not np.array_equal(p, before[name]) for name, p in run.model.params.items())
    assert history["epoch"] == [1, 2, 3, 4]
    for column in ("train_elbo", "test_elbo", "test_nll", "test_kl"):
        assert len(set(history[column])) == EPOCHS


def test_stopped_twice(tmp_path):
    Run().fit(tmp_path / "unbroken")
    for step in (5, 11):
        with pytest.raises(KeyboardInterrupt):
            Run().stop_at(step).fit(tmp_path / "stopped", resume=step > 5)
    Run().fit(tmp_path / "stopped", resume=True)
    assert_same_run(tmp_path / "stopped", tmp_path / "unbroken")


@pytest.mark.parametrize("write", ["save_checkpoint", "write_metrics"])
def test_stopped_between_the_checkpoint_and_the_row(tmp_path, monkeypatch, write):
    """The checkpoint comes first: the row of its last epoch may be missing, and never the other way round."""
    Run().fit(tmp_path / "unbroken")
    place = record_module if write == "save_checkpoint" else RunFolder
    real = getattr(place, write)

    def third(*args, **how):
        epoch = how["epoch"] if "epoch" in how else len(args[-1])  # write_metrics(folder, history, seconds)
        if epoch == 3:
            raise KeyboardInterrupt
        return real(*args, **how)

    with monkeypatch.context() as broken:
        broken.setattr(place, write, third)
        with pytest.raises(KeyboardInterrupt):
            Run().fit(tmp_path / "stopped")
    assert load_checkpoint(tmp_path / "stopped").epoch == (2 if write == "save_checkpoint" else 3)
    assert [row[0] for row in metrics(tmp_path / "stopped")] == ["epoch", "1", "2"]
    Run().fit(tmp_path / "stopped", resume=True)
    assert_same_run(tmp_path / "stopped", tmp_path / "unbroken")


def test_more_epochs_later_is_the_same_as_more_at_once(tmp_path):
    Run().fit(tmp_path / "at-once", epochs=4)
    Run().fit(tmp_path / "later", epochs=2)
    Run().fit(tmp_path / "later", epochs=4, resume=True)
    assert_same_run(tmp_path / "later", tmp_path / "at-once")


def test_a_finished_run_is_only_loaded(tmp_path):
    first, again = Run(), Run()
    history = first.fit(tmp_path)
    before = (tmp_path / "checkpoint.npz").read_bytes(), (tmp_path / "metrics.csv").read_bytes()
    assert again.fit(tmp_path, resume=True) == history
    assert ((tmp_path / "checkpoint.npz").read_bytes(), (tmp_path / "metrics.csv").read_bytes()) == before
    for name, p in again.model.params.items():
        assert np.array_equal(p, first.model.params[name]), name


def test_the_step_size_is_that_of_the_stopped_run(tmp_path):
    """Whatever a new optimizer says; a schedule is what changes it."""
    Run().fit(tmp_path, epochs=1, schedule=None)
    run = Run()
    run.optimizer.lr = 0.5
    run.fit(tmp_path, epochs=2, schedule=None, resume=True)
    assert load_checkpoint(tmp_path).optimizer.lr == run.optimizer.lr == 1e-2
    Run().fit(tmp_path, epochs=4, schedule=[(3, 0.5)], resume=True)
    assert load_checkpoint(tmp_path).optimizer.lr == 0.5
    assert load_checkpoint(tmp_path).schedule == [(3, 0.5)]


def test_a_function_as_schedule_must_be_passed_again(tmp_path):
    Run().fit(tmp_path, epochs=1)
    before = files(tmp_path)
    with pytest.raises(ValueError, match=r"^resume needs the schedule of the stopped run, which was a function; pas"):
        Run().fit(tmp_path, resume=True, schedule=None)
    assert files(tmp_path) == before


def test_pairs_as_schedule_are_kept(tmp_path):
    """Stopped in the middle, and gone on without being told of it again; in any order."""
    pairs = [(np.int64(3), np.float32(0.25)), (1, 0.5)]
    Run().fit(tmp_path / "unbroken", schedule=pairs)
    for step in (2, 5, 8, 11):
        folder = tmp_path / f"stopped-{step}"
        with pytest.raises(KeyboardInterrupt):
            Run().stop_at(step).fit(folder, schedule=pairs)
        done = (step - 1) // STEPS
        if done:
            stopped = load_checkpoint(folder)
            assert stopped.schedule == [(1, 0.5), (3, 0.25)]
            assert stopped.optimizer.lr == [1e-2, 0.5, 0.5][done - 1]
        Run().fit(folder, resume=True, schedule=None if done else pairs)  # before the first checkpoint nothing is kept
        assert_same_run(folder, tmp_path / "unbroken")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"batch_size": 8}, "the batch_size of the stopped run, 16, got 8"),
        ({"beta": 2.0}, "the beta of the stopped run, 1.0, got 2.0"),
        ({"warmup": 0}, "the warmup of the stopped run, 2, got 0"),
        ({"binarise": "none"}, "the binarise of the stopped run, dynamic, got none"),
        ({"optimizer": SGD()}, "the optimizer of the stopped run, adam, got sgd"),
        ({"optimizer": Adam(beta1=0.5)}, "the beta1 of the stopped run, 0.9, got 0.5"),
        (
            {"rng": np.random.Generator(np.random.MT19937(0))},
            "the generator of the stopped run, PCG64, got MT19937",
        ),
        ({"model": Autoencoder}, "the model of the stopped run, vae, got autoencoder"),
        ({"n_z": 3}, "the n_z of the stopped run, 2, got 3"),
        ({"activation": "tanh"}, r"the layers of the stopped run, \['dense', 'relu'\], got \['dense', 'tanh'\]"),
        ({"likelihood": Gaussian(0.5)}, "the likelihood of the stopped run, bernoulli, got gaussian"),
        ({"dtype": "float64"}, "the dtype of the stopped run, float32, got float64"),
        ({"x": PIXELS[:40][::-1]}, "the data of the stopped run, got other data"),
        ({"x": PIXELS[:40] / 255}, "the data of the stopped run, got other data"),
        ({"x": PIXELS[:39]}, "the data of the stopped run, got other data"),
    ],
)
def test_another_run_is_not_resumed(tmp_path, changed, message):
    """The message names what differs, and only that; nothing is written."""
    Run().fit(tmp_path, epochs=1)
    before = files(tmp_path)
    model = {key: changed.pop(key) for key in ("n_z", "activation", "likelihood", "dtype") if key in changed}
    run = Run(changed.pop("model", VAE), **model)
    run.optimizer = changed.pop("optimizer", run.optimizer)
    run.rng = changed.pop("rng", run.rng)
    with pytest.raises(ValueError, match=rf"^resume needs {message}; or train into a new folder$"):
        run.fit(tmp_path, resume=True, **changed)
    assert files(tmp_path) == before


def test_one_changed_pixel_is_other_data(tmp_path):
    """Also among those held out."""
    Run().fit(tmp_path, epochs=1)
    for row, message in [(3, "got other data"), (44, "got other data"), (None, None)]:
        pixels = PIXELS.copy()
        if row is not None:
            pixels[row, 5] ^= 1
        run = Run()
        how = {"optimizer": run.optimizer, "rng": run.rng, "progress": False, "out": tmp_path, "resume": True}
        how |= {"batch_size": 16, "warmup": 2, "schedule": lambda epoch: 0.01, "epochs": 2}
        if message:
            with pytest.raises(ValueError, match=message):
                fit(run.model, pixels[:40], pixels[40:], **how)
        else:
            fit(run.model, pixels[:40], pixels[40:], **how)


def test_the_parameters_of_a_likelihood_are_part_of_a_run(tmp_path):
    Run(likelihood=Gaussian(0.5)).fit(tmp_path, epochs=1, binarise="none")
    with pytest.raises(ValueError, match=r"^resume needs the sigma of the stopped run, 0\.5, got 0\.25; or train"):
        Run(likelihood=Gaussian(0.25)).fit(tmp_path, resume=True, binarise="none")


def test_a_checkpoint_saved_without_its_training_is_not_resumed(tmp_path):
    run = Run()
    save_checkpoint(tmp_path, run.model, optimizer=run.optimizer, rng=run.rng)
    with pytest.raises(ValueError, match=r"^resume needs a checkpoint that fit has written, got one that was saved w"):
        run.fit(tmp_path, resume=True)


# -- which folder ------------------------------------------------------------------------------------------------------


def test_resume_needs_a_run(tmp_path):
    """A folder that is not there may be a slip of the pen; nothing is made of it."""
    (tmp_path / "empty").mkdir()
    for name, what in [("typo", "is not there"), ("empty", "holds none")]:
        with pytest.raises(ValueError, match=f"^resume=True needs the folder of a stopped run, and .*{name} {what}"):
            Run().fit(tmp_path / name, resume=True)
    with pytest.raises(ValueError, match=r"^resume=True needs out, the folder of the stopped run, got None; pass"):
        Run().fit(None, resume=True)
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "empty"]


def test_a_run_is_not_overwritten(tmp_path):
    Run().fit(tmp_path, epochs=1)
    before = files(tmp_path)
    with pytest.raises(ValueError, match=r"^out should be a folder without a run in it, got .*, or pass resume=True$"):
        Run().fit(tmp_path)
    with RunFolder(tmp_path) as folder, pytest.raises(ValueError, match=r"^out should be a folder without a run in it"):
        Run().fit(folder)
    assert files(tmp_path) == before


def test_a_folder_that_is_open_stays_open(tmp_path):
    with RunFolder(tmp_path / "open") as folder:
        Run().fit(folder, epochs=2)
        with pytest.raises(ValueError, match="is in use"):
            RunFolder(tmp_path / "open")
        Run().fit(folder, resume=True)
    Run().fit(tmp_path / "unbroken")
    assert_same_run(tmp_path / "open", tmp_path / "unbroken")
    RunFolder(tmp_path / "unbroken").close()  # what fit has opened it has closed


def test_fit_says_where_it_goes_on(tmp_path, capsys):
    run = Run()
    run.fit(tmp_path, epochs=1, progress=True)
    assert capsys.readouterr().out.splitlines()[0] == "nats per example, binarise dynamic"
    Run().fit(tmp_path, epochs=2, resume=True, progress=True)
    assert capsys.readouterr().out.splitlines()[0] == "nats per example, binarise dynamic; going on after epoch 1"
    (tmp_path / "checkpoint.npz").unlink()
    Run().fit(tmp_path, epochs=2, resume=True, progress=True)
    out = capsys.readouterr().out.splitlines()
    assert out[0].endswith("; it was stopped before its first checkpoint, and starts over")
    assert [line.split()[1] for line in out[1:]] == ["1/2", "2/2"]


# -- what else a run is told -------------------------------------------------------------------------------------------


def test_the_words_of_a_run_are_kept(tmp_path):
    config = {"data": "tiny.npz", "hidden": (6,), "lr": None, "seed": np.int64(3)}
    plain = {"data": "tiny.npz", "hidden": [6], "lr": None, "seed": 3}
    Run().fit(tmp_path, epochs=1, config=config)
    Run().fit(tmp_path, epochs=2, resume=True)  # which says nothing of them
    assert load_checkpoint(tmp_path).config["run"] == plain
    written = json.loads((tmp_path / "config.json").read_text())
    assert written.pop("scratchvae") == __version__
    assert written == plain
    Run().fit(tmp_path, epochs=3, resume=True, config=plain | {"seed": 4})
    assert load_checkpoint(tmp_path).config["run"]["seed"] == 4


def test_without_words_of_its_own_config_json_tells_the_model(tmp_path):
    run = Run()
    run.fit(tmp_path, epochs=1)
    written = json.loads((tmp_path / "config.json").read_text())
    assert written["model"] == run.model.config
    assert written["training"]["batch_size"] == 16


def test_words_that_json_cannot_hold_are_refused_at_once(tmp_path):
    with pytest.raises(ValueError, match=r"^config should be words and finite numbers, which JSON can hold, got {'f'"):
        Run().fit(tmp_path / "run", config={"f": print})
    assert files(tmp_path / "run") == {".lock": b""}


class Listener(VAE):
    """A VAE that notes the weight of the KL in every pass."""

    def objective(self, x, eps, beta=1.0):
        self.heard = [*getattr(self, "heard", []), beta]
        return super().objective(x, eps, beta)


def test_warm_up_goes_on_where_it_was_stopped(tmp_path):
    """Over the first 2 of 3 epochs of 3 steps the weight grows in 6 equal parts to beta, and stays there."""
    stopped, resumed = Run(Listener), Run(Listener)
    with pytest.raises(KeyboardInterrupt):
        stopped.stop_at(5).fit(tmp_path, epochs=3, beta=3.0)
    resumed.fit(tmp_path, epochs=3, beta=3.0, resume=True)
    assert stopped.model.heard[:4] == pytest.approx([0.0, 0.5, 1.0, 1.5])  # the first is a trial, of two rows
    held_out = [1.0]  # scored with beta 1, whatever the run has
    assert resumed.model.heard == pytest.approx([0.0, 2.0, 2.5, 3.0, *held_out, 3.0, 3.0, 3.0, *held_out])


# -- a run that blows up -----------------------------------------------------------------------------------------------


class Poisoned(VAE):
    """A VAE one of whose terms goes wrong for a single batch; it counts the passes that it makes."""

    passes, poison = 0, (0, "", 0.0)

    def objective(self, x, eps, beta=1.0):
        self.passes += 1
        terms, cache = super().objective(x, eps, beta)
        when, term, value = self.poison
        if self.passes == 1 + when:  # why: the first is fit's trial of two rows
            terms = terms._replace(**{term: np.full_like(terms.nll, value)})
        return terms, cache


@pytest.mark.parametrize(
    ("bad_pass", "term", "value", "step", "passes"),
    [
        (7, "nll", np.nan, 7, 50),  # in the first interval of 50 steps: it ends before the others begin
        (50, "kl", np.inf, 50, 50),
        (51, "elbo", -np.inf, 51, 60),  # the second is cut short by the end of the epoch
        (61 + 8, "objective", np.nan, 60 + 8, 61 + 50),  # in the second epoch: a pass more, for the held-out images
    ],
)
def test_the_first_bad_step_is_named_at_the_end_of_its_interval(tmp_path, bad_pass, term, value, step, passes):
    run = Run(Poisoned)
    run.model.poison = (bad_pass, term, value)
    epoch = 1 + (step - 1) // 60
    kept = f"; the checkpoint of epoch 1 is kept in {tmp_path}" if epoch == 2 else ""
    with pytest.raises(NonFiniteObjective) as caught:
        run.fit(tmp_path, x=PIXELS[np.arange(60) % 40], batch_size=1)
    lr = 0.01 / epoch
    text = f"{term} became {value} at step {step} in epoch {epoch}: lower the step size, which is {lr:g}{kept}"
    assert str(caught.value) == text
    assert run.model.passes == 1 + passes
    assert (tmp_path / "checkpoint.npz").exists() == (epoch == 2)


@pytest.mark.parametrize("model_class", [VAE, Autoencoder])
@pytest.mark.parametrize("lr", [1e20, 1e37])
def test_too_large_a_step_leaves_the_last_good_checkpoint(tmp_path, model_class, lr):
    Run(model_class, "sgd").fit(tmp_path, epochs=2)
    before = (tmp_path / "checkpoint.npz").read_bytes()
    run = Run(model_class, "sgd")
    kept = rf"lower the step size, which is {re.escape(f'{lr:g}')}; the checkpoint of epoch 2 is kept in "
    with pytest.raises(NonFiniteObjective, match=rf"^\w+ became (nan|-?inf) at step \d+ in epoch 3: {kept}"):
        run.fit(tmp_path, resume=True, schedule=lambda epoch: lr)
    assert (tmp_path / "checkpoint.npz").read_bytes() == before
    assert len(metrics(tmp_path)) == 1 + 2
    Run(model_class, "sgd").fit(tmp_path, resume=True)  # and from there it goes on
    assert load_checkpoint(tmp_path).epoch == EPOCHS


def test_held_out_images_that_blow_up_are_noticed(tmp_path):
    """One step an epoch: its own objective is still finite, and the first to see the new weights is the evaluation."""
    run = Run(Poisoned)
    run.model.poison = (2, "kl", np.inf)
    with pytest.raises(NonFiniteObjective, match=r"^kl became inf on the held-out images in epoch 1: lower ") as caught:
        run.fit(tmp_path, batch_size=40)
    assert "step 2" not in str(caught.value)  # the run has made one step only
    assert not (tmp_path / "checkpoint.npz").exists()


def fit_gaussian(x, lr):
    vae = VAE(16, (6,), 2, likelihood=Gaussian(), rng=np.random.default_rng(0))
    how = {"optimizer": SGD(lr), "rng": np.random.default_rng(0), "epochs": 2, "binarise": "none", "progress": False}
    return fit(vae, x, x, **how)


def test_the_advice_fits_the_cause(rng):
    """With data of such a size no step size helps; scaled, they train, unless it is the step size that is absurd."""
    x = rng.uniform(-1, 1, size=(40, 16))
    x[3, 5] = -1
    for lr in (1e-2, 1e-8):
        scale_them = r": the data go from -1e\+04 to .*: scale them first, to about unit variance a column$"
        with pytest.raises(NonFiniteObjective, match=scale_them):
            fit_gaussian(1e4 * x, lr)
        fit_gaussian(x, lr)
    with pytest.raises(NonFiniteObjective, match=r": lower the step size, which is 1e\+30$"):
        fit_gaussian(x, 1e30)
