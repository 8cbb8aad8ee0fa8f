"""A run that was stopped and resumed ends as one that was not, bit for bit; one that blows up keeps what was good."""

import csv

import numpy as np
import pytest

from scratchvae import SGD, VAE, Adagrad, Adam, Autoencoder, fit, load_checkpoint
from scratchvae import training as training_module
from scratchvae.training import NonFiniteObjective

EPOCHS, STEPS = 4, 3  # 40 rows in batches of 16: the last one is smaller
PIXELS = np.random.default_rng(7).integers(0, 256, size=(50, 16), dtype=np.uint8)
OPTIMIZERS = {"sgd": lambda: SGD(1e-3), "adagrad": lambda: Adagrad(1e-2), "adam": lambda: Adam(1e-2)}


class Run:
    """One attempt at the same run: a fresh model, a fresh optimizer and a fresh generator, as in a new process."""

    def __init__(self, model_class=VAE, optimizer="adam"):
        self.rng = np.random.default_rng(3)
        self.model = model_class(16, (6,), 2, rng=self.rng)
        self.optimizer = OPTIMIZERS[optimizer]()

    def fit(self, out, x=PIXELS[:40], **how):
        how = {"epochs": EPOCHS, "batch_size": 16, "warmup": 2, "schedule": lambda epoch: 0.01 / (1 + epoch)} | how
        how |= {"optimizer": self.optimizer, "rng": self.rng, "progress": False}
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
            Run().stop_at(step).fit(tmp_path / "stopped", resume=True)
    Run().fit(tmp_path / "stopped", resume=True)
    assert_same_run(tmp_path / "stopped", tmp_path / "unbroken")


def test_stopped_between_the_row_and_the_checkpoint(tmp_path, monkeypatch):
    Run().fit(tmp_path / "unbroken")
    real = training_module.save_checkpoint

    def save(*args, epoch, **how):
        if epoch == 3:
            raise KeyboardInterrupt
        return real(*args, epoch=epoch, **how)

    with monkeypatch.context() as broken:
        broken.setattr(training_module, "save_checkpoint", save)
        with pytest.raises(KeyboardInterrupt):
            Run().fit(tmp_path / "stopped")
    assert len(metrics(tmp_path / "stopped")) == 1 + 3  # a row more than epochs in the checkpoint
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


def test_the_step_size_may_change(tmp_path):
    Run().fit(tmp_path, epochs=1, schedule=None)
    run = Run()
    run.optimizer.lr = 0.5
    run.fit(tmp_path, epochs=2, schedule=None, resume=True)
    assert load_checkpoint(tmp_path).optimizer.lr == 0.5


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"batch_size": 8},
            r"resume needs the training of the stopped run, .*'batch_size': 16.* got .*'batch_size': 8",
        ),
        ({"beta": 2.0}, r"needs the training .*'beta': 1.0.* got .*'beta': 2.0"),
        ({"warmup": 0}, r"needs the training .*'warmup': 2.* got .*'warmup': 0"),
        ({"binarise": "none"}, r"needs the training .*'dynamic'.* got .*'none'"),
        ({"optimizer": SGD()}, r"needs the optimizer .*'adam'.* got .*'sgd'"),
        ({"optimizer": Adam(beta1=0.5)}, r"needs the optimizer .*'beta1': 0.9,.* got .*'beta1': 0.5"),
        ({"rng": np.random.Generator(np.random.MT19937(0))}, r"needs the rng .*PCG64, got MT19937"),
        ({"model": Autoencoder}, r"needs the model .*'vae'.* got .*'autoencoder'"),
    ],
)
def test_another_run_is_not_resumed(tmp_path, changed, message):
    Run().fit(tmp_path, epochs=1)
    before = (tmp_path / "checkpoint.npz").read_bytes(), (tmp_path / "metrics.csv").read_bytes()
    run = Run(changed.pop("model", VAE))
    run.optimizer = changed.pop("optimizer", run.optimizer)
    run.rng = changed.pop("rng", run.rng)
    with pytest.raises(ValueError, match=message + ".*; or train into a new folder$") as caught:
        run.fit(tmp_path, resume=True, **changed)
    assert "\n" not in str(caught.value)
    assert ((tmp_path / "checkpoint.npz").read_bytes(), (tmp_path / "metrics.csv").read_bytes()) == before


class Listener(VAE):
    """A VAE that notes the weight of the KL in every pass that trains it; evaluation does not ask for any."""

    def objective(self, x, eps, beta=None):
        self.heard = [*getattr(self, "heard", []), *([] if beta is None else [beta])]
        return super().objective(x, eps, 1.0 if beta is None else beta)


def test_warm_up_goes_on_where_it_was_stopped(tmp_path):
    """Over the first 2 of 3 epochs of 3 steps the weight grows in 6 equal parts to beta, and stays there."""
    stopped, resumed = Run(Listener), Run(Listener)
    with pytest.raises(KeyboardInterrupt):
        stopped.stop_at(5).fit(tmp_path, epochs=3, beta=3.0)
    resumed.fit(tmp_path, epochs=3, beta=3.0, resume=True)
    assert stopped.model.heard[:3] == pytest.approx([0.5, 1.0, 1.5])
    assert resumed.model.heard == pytest.approx([2.0, 2.5, 3.0, 3.0, 3.0, 3.0])


# -- a run that blows up -----------------------------------------------------------------------------------------------


class Poisoned(VAE):
    """A VAE one of whose terms goes wrong for a single batch; it counts the passes that it makes."""

    passes, poison = 0, (0, "", 0.0)

    def objective(self, x, eps, beta=1.0):
        self.passes += 1
        terms, cache = super().objective(x, eps, beta)
        when, term, value = self.poison
        if self.passes == when:
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
    kept = f"; the last good checkpoint is {tmp_path / 'checkpoint.npz'}, of epoch 1" if epoch == 2 else ""
    with pytest.raises(NonFiniteObjective) as caught:
        run.fit(tmp_path, x=PIXELS[np.arange(60) % 40], batch_size=1)
    lr = 0.01 / epoch
    text = f"{term} became {value} at step {step} in epoch {epoch} (lr {lr:g}): lower the step size{kept}"
    assert str(caught.value) == text
    assert run.model.passes == passes
    assert (tmp_path / "checkpoint.npz").exists() == (epoch == 2)


@pytest.mark.parametrize("model_class", [VAE, Autoencoder])
@pytest.mark.parametrize("lr", [1e20, 1e37])
def test_too_large_a_step_leaves_the_last_good_checkpoint(tmp_path, model_class, lr):
    Run(model_class, "sgd").fit(tmp_path, epochs=2)
    before = (tmp_path / "checkpoint.npz").read_bytes()
    run = Run(model_class, "sgd")
    with pytest.raises(NonFiniteObjective, match=r"^\w+ became (nan|-?inf) at step \d+ in epoch 3 .* of epoch 2$"):
        run.fit(tmp_path, resume=True, schedule=lambda epoch: lr)
    assert (tmp_path / "checkpoint.npz").read_bytes() == before
    assert len(metrics(tmp_path)) == 1 + 2
    Run(model_class, "sgd").fit(tmp_path, resume=True)  # and from there it goes on
    assert load_checkpoint(tmp_path).epoch == EPOCHS


def test_held_out_images_that_blow_up_are_noticed(tmp_path):
    """One step an epoch: its own objective is still finite, and the first to see the new weights is the evaluation."""
    run = Run(Poisoned)
    run.model.poison = (2, "kl", np.inf)
    with pytest.raises(NonFiniteObjective, match=r"^kl .*became inf .*in epoch 1 ") as caught:
        run.fit(tmp_path, batch_size=40)
    assert "step 2" not in str(caught.value)  # the run has made one step only
    assert not (tmp_path / "checkpoint.npz").exists()
