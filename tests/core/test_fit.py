"""fit: what it maximises, what it averages, and what it refuses before anything is written."""

import json
from typing import ClassVar, NamedTuple

import numpy as np
import pytest

from scratchvae import (
    SGD,
    VAE,
    Adam,
    Autoencoder,
    Bernoulli,
    Dense,
    Gaussian,
    ImportanceWeighted,
    fit,
    load_checkpoint,
)
from scratchvae.batches import binarised
from scratchvae.evaluation import evaluate_terms
from scratchvae.layers import LAYERS
from scratchvae.likelihoods import LIKELIHOODS
from scratchvae.training import TEST_SEED

PIXELS = np.random.default_rng(7).integers(0, 256, size=(50, 16), dtype=np.uint8)
X_TRAIN, X_TEST = PIXELS[:40], PIXELS[40:]  # 40 rows in batches of 16: the last one is smaller
STILL = 1e-300  # a step size with which nothing moves
ELBO_COLUMNS = ["epoch", "train_elbo", "test_elbo", "test_nll", "test_kl"]


def fresh(model_class=VAE, **how):
    return model_class(16, (6,), 2, rng=np.random.default_rng(3), **how)


def run(model, **how):
    how = {"optimizer": Adam(1e-2), "rng": np.random.default_rng(5), "epochs": 2, "batch_size": 16} | how
    return fit(model, how.pop("x_train", X_TRAIN), how.pop("x_test", X_TEST), progress=False, **how)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


def assert_refused_before_anything_is_written(folder, message, model=None, **how):
    """In one line, and the folder is as it was, but for its lock."""
    before = contents(folder)
    with pytest.raises(ValueError, match=message) as caught:
        run(fresh() if model is None else model, out=folder, **how)
    assert "\n" not in str(caught.value)
    assert {**contents(folder), ".lock": b""} == {**before, ".lock": b""}


# -- what is averaged --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [16, 7, 40, 64])
def test_the_training_column_is_a_mean_over_the_rows(batch_size):
    """Of every row the same share, though the last batch is smaller; without noise, bits or steps it can be said."""
    ae = fresh(Autoencoder, dtype="float64")
    history = run(ae, optimizer=SGD(STILL), binarise="none", batch_size=batch_size)
    terms, _ = ae.objective(X_TRAIN / 255)
    assert len(set(np.round(terms.nll, 3))) > 30  # the rows differ, and so would another mean
    assert history["train_nll"] == pytest.approx([terms.nll.mean()] * 2, rel=1e-12)
    terms, _ = ae.objective(X_TEST / 255)
    assert history["test_nll"] == pytest.approx([terms.nll.mean()] * 2, rel=1e-12)


@pytest.mark.parametrize("as_floats", [False, True])
@pytest.mark.parametrize("likelihood", [Bernoulli(), Gaussian()])
def test_training_starts_at_the_mean_image(likelihood, as_floats):
    """In units of 0 to 1, whatever the pixels come in."""
    x = PIXELS[:40] // 3  # dark ones: a mean of 0.17, and none that the clipping at 0.01 and 0.99 would hide
    x = x / 255 if as_floats else x
    vae = fresh(likelihood=likelihood, dtype="float64")
    run(vae, x_train=x, optimizer=SGD(STILL), epochs=1, binarise="none")
    mean = (PIXELS[:40] // 3).mean(axis=0) / 255
    expected = np.log(mean / (1 - mean)) if isinstance(likelihood, Bernoulli) else mean
    np.testing.assert_allclose(vae.params["logits.b"], expected, rtol=1e-12)


def test_a_step_follows_the_gradient_of_the_mean_loss():
    """An epoch of plain gradient descent by hand: of 32 rows and then of the 8 that are left, each its own mean."""
    vae, by_hand = fresh(dtype="float64"), fresh(dtype="float64")
    run(vae, optimizer=SGD(0.1, momentum=0.0), epochs=1, batch_size=32, binarise="none", beta=0.5)
    rng = np.random.default_rng(5)
    x = X_TRAIN[rng.permutation(40)] / 255
    by_hand.start_output_bias(X_TRAIN.mean(axis=0) / 255)
    for rows in (x[:32], x[32:]):
        _, cache = by_hand.objective(rows, by_hand.draw_eps(len(rows), rng), beta=0.5)
        grads = by_hand.backward(np.full(len(rows), 1 / len(rows)), cache)
        for name, p in by_hand.params.items():
            p += 0.1 * grads[name]
    for name, p in by_hand.params.items():
        np.testing.assert_allclose(vae.params[name], p, rtol=1e-10, atol=1e-14, err_msg=name)


# -- what is maximised -------------------------------------------------------------------------------------------------


def test_the_importance_weighted_bound_has_columns_of_its_own(tmp_path):
    vae = fresh()
    history = run(vae, objective=ImportanceWeighted(vae, K=5), out=tmp_path)
    assert list(history) == [*ELBO_COLUMNS, "train_objective", "test_objective"]
    assert all(b > e for b, e in zip(history["test_objective"], history["test_elbo"], strict=True))
    assert load_checkpoint(tmp_path).config["training"]["objective"] == {"name": "importance-weighted", "K": 5}
    header, *rows = (tmp_path / "metrics.csv").read_text().splitlines()
    assert header == ",".join([*history, "seconds"])
    assert len(rows) == 2


@pytest.mark.parametrize("K", [1, 5])
def test_the_elbo_columns_stay_those_of_the_elbo(K):
    """At the same weights they are the same numbers, whatever is trained."""
    vae = fresh()
    history = run(vae, objective=ImportanceWeighted(vae, K), epochs=1)
    same = fresh()
    for name, p in vae.params.items():
        same.params[name][...] = p
    still = run(same, optimizer=SGD(STILL), epochs=1)
    for name in ("test_elbo", "test_nll", "test_kl"):
        assert history[name] == still[name]
    x_test = binarised(X_TEST, "dynamic", np.random.default_rng(TEST_SEED))
    elbo = evaluate_terms(vae, x_test, np.random.default_rng(TEST_SEED))["elbo"]
    assert history["test_elbo"] == pytest.approx([elbo.mean], rel=1e-6)


def test_the_bound_is_what_is_trained():
    """A step follows the gradient of the bound, and not that of the ELBO."""
    vae, by_hand = fresh(dtype="float64"), fresh(dtype="float64")
    how = {"optimizer": SGD(0.1, momentum=0.0), "epochs": 1, "batch_size": 40, "binarise": "none"}
    run(vae, objective=ImportanceWeighted(vae, K=5), **how)
    rng, bound = np.random.default_rng(5), ImportanceWeighted(by_hand, K=5)
    x = X_TRAIN[rng.permutation(40)] / 255
    by_hand.start_output_bias(X_TRAIN.mean(axis=0) / 255)
    _, cache = bound.objective(x, bound.draw_eps(40, rng))
    grads = bound.backward(np.full(40, 1 / 40), cache)
    for name, p in by_hand.params.items():
        np.testing.assert_allclose(vae.params[name], p + 0.1 * grads[name], rtol=1e-10, atol=1e-14, err_msg=name)


def test_a_run_of_the_bound_is_resumed_bit_for_bit(tmp_path):
    def part(folder, epochs, K=5, resume=False):
        vae = fresh()
        return run(vae, objective=ImportanceWeighted(vae, K), epochs=epochs, out=tmp_path / folder, resume=resume)

    unbroken = part("unbroken", 4)
    part("stopped", 2)
    before = contents(tmp_path / "stopped")
    with pytest.raises(ValueError, match=r"^resume needs the K of the stopped run, 5, got 7; or train into a"):
        part("stopped", 4, K=7, resume=True)
    for objective in (None, NoConfig):
        vae, name = fresh(), "none" if objective is None else "NoConfig"
        message = f"^resume needs the objective of the stopped run, importance-weighted, got {name}; or"
        with pytest.raises(ValueError, match=message):
            run(vae, objective=objective and objective(vae), epochs=4, out=tmp_path / "stopped", resume=True)
    assert contents(tmp_path / "stopped") == before
    assert part("stopped", 4, resume=True) == unbroken
    one, other = (tmp_path / name / "checkpoint.npz" for name in ("stopped", "unbroken"))
    assert one.read_bytes() == other.read_bytes()


def test_a_run_of_the_elbo_is_not_resumed_with_the_bound(tmp_path):
    run(fresh(), out=tmp_path)
    vae = fresh()
    with pytest.raises(ValueError, match=r"^resume needs the objective of the stopped run, none, got importance-w"):
        run(vae, objective=ImportanceWeighted(vae, 5), epochs=4, out=tmp_path, resume=True)


class NoConfig:
    """An objective as it may be handed to fit: the ELBO's own, by way of a wrapper that says nothing of itself."""

    def __init__(self, vae):
        self.vae = vae

    def draw_eps(self, B, rng):
        return self.vae.draw_eps(B, rng)

    def objective(self, x, eps, beta=1.0):
        terms, cache = self.vae.objective(x, eps, beta)
        return TwoTerms(terms.nll, terms.objective), cache

    def backward(self, dobjective, cache):
        return self.vae.backward(dobjective, cache)


class TwoTerms(NamedTuple):
    nll: np.ndarray
    objective: np.ndarray


def test_an_objective_of_ones_own(tmp_path):
    """nll and objective are enough; it trains as what it wraps does, saves, loads and is resumed."""
    vae, plain = fresh(), fresh()
    history = run(vae, objective=NoConfig(vae), out=tmp_path / "own", beta=2.0, warmup=2)
    expected = run(plain, out=tmp_path / "plain", beta=2.0, warmup=2)
    assert list(history) == ["epoch", "test_elbo", "test_nll", "test_kl", "train_objective", "test_objective"]
    for name in ("test_elbo", "test_nll", "test_kl"):
        assert history[name] == expected[name]
    for name, p in plain.params.items():
        assert np.array_equal(vae.params[name], p), name
    read = load_checkpoint(tmp_path / "own")
    assert read.config["training"]["objective"] == {"name": "NoConfig"}
    assert read.history == history
    again = fresh()
    history = run(again, objective=NoConfig(again), out=tmp_path / "own", beta=2.0, warmup=2, epochs=3, resume=True)
    assert history["epoch"] == [1, 2, 3]
    assert {len(column) for column in history.values()} == {3}


def test_an_objective_says_what_it_is_in_words_that_a_checkpoint_can_hold(tmp_path):
    class Sized(NoConfig):
        config: ClassVar = {"name": "sized", "sizes": (np.int64(3), 4)}

    vae = fresh()
    run(vae, objective=Sized(vae), epochs=1, out=tmp_path / "run")
    assert load_checkpoint(tmp_path / "run").config["training"]["objective"] == {"name": "sized", "sizes": [3, 4]}
    again = fresh()
    run(again, objective=Sized(again), epochs=2, out=tmp_path / "run", resume=True)  # a tuple there, a list here
    Sized.config = {"name": "sized", "f": print}
    message = "^objective.config should be words and finite numbers, which JSON can hold"
    assert_refused_before_anything_is_written(tmp_path / "new", message, vae, objective=Sized(vae))


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"beta": 2.0}, "^beta should be 1 for the importance-weighted bound, got 2.0; it has no KL to weigh$"),
        ({"beta": 0.0}, "^beta should be 1 for the importance-weighted bound, got 0.0; it has no KL to weigh$"),
        ({"warmup": 3}, "^beta should be 1 .*, got 0.0; it has no KL to weigh; warmup 3 begins with beta 0$"),
    ],
)
def test_the_bound_takes_neither_beta_nor_warm_up(tmp_path, how, message):
    vae = fresh()
    for K in (1, 5):
        objective = ImportanceWeighted(vae, K)
        assert_refused_before_anything_is_written(tmp_path / "run", message, vae, objective=objective, **how)
    assert not (tmp_path / "run").exists()


class OneNumber(NoConfig):
    def objective(self, x, eps, beta=1.0):
        terms, cache = super().objective(x, eps, beta)
        return TwoTerms(terms.nll, terms.objective.mean()), cache


class NoNll(NoConfig):
    def objective(self, x, eps, beta=1.0):
        terms, cache = super().objective(x, eps, beta)
        return terms.objective, cache


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda vae: ImportanceWeighted(fresh(), 5),
            "^objective should be one over the model that is trained, got o",
        ),
        (
            lambda vae: print,
            "^objective should have draw_eps, objective and backward, got one without draw",
        ),
        (OneNumber, r"of shape \(2,\) for two; got TwoTerms with nll \(2,\), objective \(\)$"),
        (NoNll, "^terms should be a NamedTuple with nll and objective, .* got ndarray with nll none, objective none$"),
    ],
)
def test_what_is_no_objective_over_the_model_is_refused(tmp_path, make, message):
    vae = fresh()
    assert_refused_before_anything_is_written(tmp_path / "run", message, vae, objective=make(vae))
    assert not (tmp_path / "run").exists()


class Laplace(Gaussian):
    """A likelihood that nobody has added to the table."""

    name = "laplace"


class Doubled(Dense):
    def forward(self, x):
        y, cache = super().forward(x)
        return 2 * y, cache


@pytest.fixture
def doubled(monkeypatch):
    monkeypatch.setitem(LAYERS, "doubled", Doubled)


def test_a_model_that_could_not_be_loaded_is_refused_before_the_first_epoch(tmp_path, monkeypatch, doubled):
    """With out alone: without it, nothing has to be loaded."""
    message = r"^a checkpoint names the likelihood, and 'laplace' is not in LIKELIHOODS; import the module that"
    assert_refused_before_anything_is_written(tmp_path, message, fresh(likelihood=Laplace()), binarise="none")
    run(fresh(likelihood=Laplace()), binarise="none", epochs=1)
    model = fresh(layers=("doubled", "relu"))
    del LAYERS["doubled"]
    message = r"^a checkpoint names the layer, and 'doubled' is not in LAYERS; import the module that puts it there$"
    assert_refused_before_anything_is_written(tmp_path, message, model)
    kind = type("Mine", (VAE,), {"kind": "mine"})
    assert_refused_before_anything_is_written(tmp_path, "names the model, and 'mine' is not in MODELS", fresh(kind))
    optimizer = type("Mine", (SGD,), {"name": "mine"})()
    message = "names the optimizer, and 'mine' is not in OPTIMIZERS; import"
    assert_refused_before_anything_is_written(tmp_path, message, optimizer=optimizer)


def test_once_they_are_in_the_tables_they_are_trained_saved_and_resumed(tmp_path, monkeypatch, doubled):
    monkeypatch.setitem(LIKELIHOODS, "laplace", Laplace)
    how = {"likelihood": Laplace(0.5), "layers": ("doubled", "layer-norm", "tanh")}
    unbroken = run(fresh(**how), binarise="none", epochs=3, out=tmp_path / "unbroken")
    run(fresh(**how), binarise="none", epochs=1, out=tmp_path / "stopped")
    model = load_checkpoint(tmp_path / "stopped").model
    assert type(model.likelihood) is Laplace
    assert model.likelihood.sigma == 0.5
    assert type(model.encoder.layers["encoder.0"]) is Doubled
    assert run(fresh(**how), binarise="none", epochs=3, out=tmp_path / "stopped", resume=True) == unbroken
    one, other = (tmp_path / name / "checkpoint.npz" for name in ("stopped", "unbroken"))
    assert one.read_bytes() == other.read_bytes()


class Tensor:
    """What an array of another library looks like from here."""

    dtype, shape, ndim = "torch.float32", (40, 16), 2

    def __array__(self, dtype=None, copy=None):
        return X_TRAIN / np.float32(255)

    def __len__(self):
        return 40


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (
            {"x_train": Tensor()},
            r"^x_train should be a NumPy array of uint8 \(0..255\) or floats, got Tensor; con",
        ),
        (
            {"x_test": X_TEST.tolist()},
            r"^x_test should be a NumPy array of uint8 \(0..255\) or floats, got list; conv",
        ),
        (
            {"x_train": np.ma.masked_greater(X_TRAIN, 200)},
            r"^x_train should hold plain numbers, got a masked array; fill what is masked: x_train.filled\(0\)$",
        ),
        ({"x_test": np.ma.array(X_TEST / 255)}, "^x_test should hold plain numbers, got a masked array; fill what"),
        ({"rng": 0}, r"^rng should be a generator such as np.random.default_rng\(0\), got 0$"),
        ({"rng": None}, r"^rng should be a generator such as np.random.default_rng\(0\), got None$"),
        ({"epochs": 0}, "^epochs should be a whole number of at least 1, got 0$"),
        ({"batch_size": 1.5}, "^batch_size should be a whole number of at least 1, got 1.5$"),
        ({"beta": -1}, "^beta should be zero or a positive finite number, got -1$"),
        ({"optimizer": Adam}, r"^optimizer should be an object such as Adam\(lr=1e-3\), got <class"),
        ({"optimizer": None}, r"^optimizer should be an object such as Adam\(lr=1e-3\), got None$"),
        ({"warmup": -1}, "^warmup should be a whole number of at least 0, got -1$"),
        ({"binarise": "no"}, "^binarise should be one of none, threshold, dynamic, got 'no'$"),
        (
            {"schedule": [0.1, 0.2]},
            r"^schedule should be pairs \[\(epoch, lr\), ...\] or a func.*, got \[0.1, 0.2\]$",
        ),
        ({"schedule": 0.1}, r"^schedule should be pairs \[\(epoch, lr\), ...\] or a function of the epoch, got 0.1$"),
        ({"schedule": [(-1, 0.1)]}, "^an epoch of the schedule should be a whole number of at least 0, got -1$"),
        ({"schedule": [(0, 0.0)]}, "^an lr of the schedule should be a positive finite number, got 0.0$"),
        ({"schedule": lambda epoch: 1 - epoch}, r"^schedule\(1\) should be a positive finite number, got 0$"),
    ],
)
def test_bad_arguments_are_one_line_and_nothing_is_written(tmp_path, how, message):
    assert_refused_before_anything_is_written(tmp_path / "run", message, **how)


# -- the step size -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (None, [0.01, 0.01, 0.01, 0.01]),
        ([(0, 0.5), (2, 0.25)], [0.5, 0.5, 0.25, 0.25]),
        ([(2, 0.25), (0, 0.5)], [0.5, 0.5, 0.25, 0.25]),
        ([(1, 0.5)], [0.01, 0.5, 0.5, 0.5]),
        ([(1, 0.5), (1, 0.25)], [0.01, 0.25, 0.25, 0.25]),  # of two for the same epoch, the one said last
        ([(9, 0.5)], [0.01, 0.01, 0.01, 0.01]),
        ([], [0.01, 0.01, 0.01, 0.01]),
        (lambda epoch: 2.0**-epoch, [1.0, 0.5, 0.25, 0.125]),
    ],
)
def test_the_step_size_of_every_epoch(schedule, expected):
    used = []

    class Noted(SGD):
        def step(self, params, grads):
            used.append(self.lr)

    run(fresh(), optimizer=Noted(0.01), epochs=4, batch_size=40, schedule=schedule)
    assert used == expected
    assert all(type(lr) is float for lr in used)


def test_metrics_csv_shows_the_history(tmp_path):
    history = run(fresh(), out=tmp_path)
    header, *rows = (tmp_path / "metrics.csv").read_text().splitlines()
    assert header.split(",") == [*ELBO_COLUMNS, "seconds"]
    for i, row in enumerate(rows):
        *numbers, seconds = row.split(",")
        assert [float(n) for n in numbers] == pytest.approx([history[name][i] for name in ELBO_COLUMNS], abs=5e-5)
        assert 0 < float(seconds) < 60
    assert json.loads((tmp_path / "config.json").read_text())["training"]["batch_size"] == 16


def test_an_objective_without_words_is_known_by_its_numbers(tmp_path):
    class Weighted(NoConfig):
        def __init__(self, vae, weight):
            super().__init__(vae)
            self.weight = weight

    vae = fresh()
    run(vae, objective=Weighted(vae, 0.5), out=tmp_path, epochs=1)
    assert load_checkpoint(tmp_path).config["training"]["objective"] == {"name": "Weighted", "weight": 0.5}
    again = fresh()
    with pytest.raises(ValueError, match=r"^resume needs the weight of the stopped run, 0\.5, got 0\.25"):
        run(again, objective=Weighted(again, 0.25), out=tmp_path, epochs=2, resume=True)


def test_a_likelihood_whose_config_forgets_an_option_is_refused_before_the_first_epoch(tmp_path, monkeypatch):
    class Forgets(Gaussian):
        name = "forgets"
        config: ClassVar = {"name": "forgets"}

    monkeypatch.setitem(LIKELIHOODS, "forgets", Forgets)
    for sigma in (1.0, 0.5):
        vae, out = fresh(likelihood=Forgets(sigma)), tmp_path / str(sigma)
        if sigma == 1.0:  # what its class is built with by itself
            run(vae, out=out, epochs=1, binarise="none")
        else:
            with pytest.raises(ValueError, match=r"^the likelihood's config should hold all that makes it"):
                run(vae, out=out, epochs=1, binarise="none")
            assert not (out / "checkpoint.npz").exists()


def test_an_objective_that_cannot_be_called_is_told_before_anything_is_written(tmp_path):
    class WithoutBeta(NoConfig):
        def objective(self, x, eps):
            return self.vae.objective(x, eps)

    vae = fresh()
    message = r"^objective\.objective\(x, eps, beta=\.\.\.\) should return terms and a cache, and ended in TypeError: "
    with pytest.raises(ValueError, match=message):
        run(vae, objective=WithoutBeta(vae), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_held_out_rows_are_scored_with_beta_1(tmp_path):
    heard = []

    class Listens(NoConfig):
        def objective(self, x, eps, beta):  # no default: fit says it
            heard.append(beta)
            return self.vae.objective(x, eps, beta)

    vae = fresh()
    history = run(vae, objective=Listens(vae), epochs=1, beta=0.25)
    assert heard[-1] == 1.0
    assert set(heard) == {0.25, 1.0}
    assert history["test_objective"] == history["test_elbo"]
