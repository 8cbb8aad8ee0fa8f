"""Bad input: a ValueError in Python, exit code 2 and one line on the command line; nothing is written."""

import pickle
import re
from pathlib import Path

import numpy as np
import pytest

from scratchvae import (
    SGD,
    VAE,
    Adagrad,
    Adam,
    Autoencoder,
    Bernoulli,
    ContinuousBernoulli,
    Dense,
    Gaussian,
    fit,
    load_checkpoint,
    load_data,
)
from scratchvae.cli import main
from scratchvae.data import DataError
from scratchvae.likelihoods import LIKELIHOODS

X = np.random.default_rng(0).random((6, 16))
U8 = (255 * X).astype("uint8")
NAN, INF, NEGATIVE, LARGE = (np.where(np.arange(16) == 3, value, X) for value in (np.nan, np.inf, -0.1, 1.5))


def snapshot(folder):
    paths = [path for path in sorted(folder.rglob("*")) if path.name != ".lock"]
    return {path: path.read_bytes() if path.is_file() else None for path in paths}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


# -- Python: models and optimizers -------------------------------------------------------------------------------------


def model(model_class=VAE, **how):
    return model_class(**({"n_x": 16, "n_hidden": (4,), "n_z": 2, "rng": np.random.default_rng(0)} | how))


COUNT = "should be a whole number of at least 1, got"
POSITIVE = "should be a positive finite number, got"

OPTIONS = {
    "n_x 0": (lambda: model(n_x=0), f"n_x {COUNT} 0"),
    "n_x float": (lambda: model(n_x=16.0), f"n_x {COUNT} 16.0"),
    "n_z 0": (lambda: model(n_z=0), f"n_z {COUNT} 0"),
    "n_z -1": (lambda: model(n_z=-1), f"n_z {COUNT} -1"),
    "n_z True": (lambda: model(n_z=True), f"n_z {COUNT} True"),
    "n_z text": (lambda: model(n_z="2"), f"n_z {COUNT} '2'"),
    "n_hidden 0": (lambda: model(n_hidden=(4, 0)), f"every width in n_hidden {COUNT} 0"),
    "n_hidden -3": (lambda: model(n_hidden=(-3,)), f"every width in n_hidden {COUNT} -3"),
    "n_hidden float": (lambda: model(n_hidden=(4.5,)), f"every width in n_hidden {COUNT} 4.5"),
    "activation": (
        lambda: model(activation="gelu"),
        "activation should be one of relu, tanh, sigmoid, softplus, got 'gelu'",
    ),
    "dtype": (lambda: model(dtype="float16"), "dtype should be one of float32, float64, got 'float16'"),
    "backend": (lambda: model(backend="jax"), "backend should be one of numpy, cupy, got 'jax'"),
    "dense width": (lambda: Dense(3, 0, rng=np.random.default_rng(0)), f"n_out {COUNT} 0"),
    "sigma 0": (lambda: Gaussian(0), f"sigma {POSITIVE} 0"),
    "sigma nan": (lambda: Gaussian(float("nan")), f"sigma {POSITIVE} nan"),
    "sgd lr 0": (lambda: SGD(0), f"lr {POSITIVE} 0"),
    "sgd lr -1": (lambda: SGD(-1), f"lr {POSITIVE} -1"),
    "adagrad lr nan": (lambda: Adagrad(float("nan")), f"lr {POSITIVE} nan"),
    "adam lr inf": (lambda: Adam(float("inf")), f"lr {POSITIVE} inf"),
    "adam lr text": (lambda: Adam("1e-3"), f"lr {POSITIVE} '1e-3'"),
    "adam tiny": (lambda: Adam(tiny=0), f"tiny {POSITIVE} 0"),
    "adagrad tiny": (lambda: Adagrad(tiny=-1e-8), f"tiny {POSITIVE} -1e-08"),
    "momentum 1": (lambda: SGD(momentum=1), "momentum should lie in [0, 1), got 1"),
    "beta1 -0.1": (lambda: Adam(beta1=-0.1), "beta1 should lie in [0, 1), got -0.1"),
    "beta2 nan": (lambda: Adam(beta2=float("nan")), "beta2 should lie in [0, 1), got nan"),
    "sample 0": (lambda: model().sample(0, np.random.default_rng(0)), f"n {COUNT} 0"),
    "objective beta": (
        lambda: model().objective(X, np.zeros((6, 2)), beta=-1),
        "beta should be zero or a positive finite number, got -1",
    ),
    "grads": (
        lambda: Adam().step({"W": X}, {"b": X}),
        "grads should have the keys of params; only one of the two has W, b",
    ),
    "x width": (lambda: model().encode(X[:, :5]), "x should have the shape (B, 16), B at least 1, got (6, 5)"),
    "x integers": (
        lambda: model().encode(U8),
        "x should hold floats, got uint8; scale images first: x.astype('float32') / 255",
    ),
    "x empty": (lambda: model().encode(X[:0]), "x should have the shape (B, 16), B at least 1, got (0, 16)"),
    "x images": (
        lambda: model(Autoencoder).encode(X.reshape(6, 4, 4)),
        "x should have the shape (B, 16), B at least 1, got (6, 4, 4); flatten it with x.reshape(len(x), -1)",
    ),
    "z width": (lambda: model().decode(X), "z should have the shape (B, 2), B at least 1, got (6, 16)"),
    "eps rows": (
        lambda: model().objective(X, np.zeros((5, 2))),
        "eps should have the shape (6, 2), B at least 1, got (5, 2)",
    ),
    "eps width": (
        lambda: model().objective(X, np.zeros((6, 3))),
        "eps should have the shape (6, 2), B at least 1, got (6, 3)",
    ),
    "dobjective": (
        lambda: model().backward(np.ones(5), model().objective(X, np.zeros((6, 2)))[1]),
        "dobjective should have the shape (6,), B at least 1, got (5,)",
    ),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_models_and_optimizers_say_what_they_expected(case):
    call, text = OPTIONS[case]
    with pytest.raises(ValueError) as caught:
        call()
    assert str(caught.value) == text


# -- Python: fit -------------------------------------------------------------------------------------------------------

ROWS = "should have the shape (N, 16) of the model, N at least 1, got"
RANGE = "rescale train and test data with one (x - low) / (high - low), or use the gaussian likelihood"
RANGE += " with binarise 'none'"

FIT = {
    "epochs 0": ({"epochs": 0}, f"epochs {COUNT} 0"),
    "epochs -1": ({"epochs": -1}, f"epochs {COUNT} -1"),
    "epochs 1.5": ({"epochs": 1.5}, f"epochs {COUNT} 1.5"),
    "batch_size 0": ({"batch_size": 0}, f"batch_size {COUNT} 0"),
    "beta -1": ({"beta": -1}, "beta should be zero or a positive finite number, got -1"),
    "beta nan": ({"beta": float("nan")}, "beta should be zero or a positive finite number, got nan"),
    "warmup -1": ({"warmup": -1}, f"warmup {COUNT} -1"),
    "warmup 1.5": ({"warmup": 1.5}, f"warmup {COUNT} 1.5"),
    "schedule": ({"schedule": lambda epoch: -0.1}, f"schedule(0) {POSITIVE} -0.1"),
    "binarise": ({"binarise": "otsu"}, "binarise should be one of none, threshold, dynamic, got 'otsu'"),
    "a list": (
        {"x_train": X.tolist()},
        "x_train should be a NumPy array of uint8 (0..255) or floats, got list; convert it first",
    ),
    "no test set": (
        {"x_test": None},
        "x_test should be a NumPy array of uint8 (0..255) or floats, got NoneType; convert it first",
    ),
    "int64": (
        {"x_train": U8.astype("int64")},
        "x_train should be a NumPy array of uint8 (0..255) or floats, got int64; convert it first",
    ),
    "objects": (
        {"x_train": X.astype(object)},
        "x_train should be a NumPy array of uint8 (0..255) or floats, got object; convert it first",
    ),
    "width": ({"x_train": X[:, :5]}, f"x_train {ROWS} (6, 5); a model with n_x=5 takes rows of 5 numbers"),
    "images": ({"x_train": X.reshape(6, 4, 4)}, f"x_train {ROWS} (6, 4, 4); flatten images with x.reshape(len(x), -1)"),
    "other images": (
        {"x_train": X.reshape(4, 4, 6)},
        f"x_train {ROWS} (4, 4, 6); flatten images with x.reshape(len(x), -1); "
        "a model with n_x=24 takes rows of 24 numbers",
    ),
    "one row": ({"x_train": X[0]}, f"x_train {ROWS} (16,); a single row is x[None]"),
    "a line": ({"x_train": X[0, :5]}, f"x_train {ROWS} (5,)"),
    "a number": ({"x_train": np.array(0.5)}, f"x_train {ROWS} ()"),
    "empty": ({"x_train": X[:0]}, f"x_train {ROWS} (0, 16)"),
    "empty test": ({"x_test": X[:0]}, f"x_test {ROWS} (0, 16)"),
    "masked": (
        {"x_test": np.ma.masked_less(X, 0.1)},
        "x_test should hold plain numbers, got a masked array; fill what is masked: x_test.filled(0)",
    ),
    "nan": ({"x_train": NAN}, "x_train should be finite, got NaN or infinity; remove or fill those entries first"),
    "nan, gaussian": (
        {"x_train": NAN, "likelihood": Gaussian(), "binarise": "none"},
        "x_train should be finite, got NaN or infinity; remove or fill those entries first",
    ),
    "inf": ({"x_test": INF}, "x_test should be finite, got NaN or infinity; remove or fill those entries first"),
    "negative": (
        {"x_train": NEGATIVE, "binarise": "none"},
        f"x_train should lie in [0, 1] for this likelihood, got values from -0.1 to {NEGATIVE.max():g}; {RANGE}",
    ),
    "large": (
        {"x_test": LARGE, "binarise": "none", "likelihood": ContinuousBernoulli()},
        f"x_test should lie in [0, 1] for this likelihood, got values from {LARGE.min():g} to 1.5; {RANGE}",
    ),
    "0..255 as floats": (
        {"x_train": U8.astype(float)},
        f"x_train should lie in [0, 1] for binarise 'dynamic', got values from {U8.min()} to {U8.max()}; {RANGE}",
    ),
    "bits of no pixel": (
        {"x_train": LARGE, "binarise": "threshold", "likelihood": Gaussian()},
        f"x_train should lie in [0, 1] for binarise 'threshold', got values from {LARGE.min():g} to 1.5; {RANGE}",
    ),
}


@pytest.mark.parametrize("case", FIT)
def test_fit_says_what_it_expected_and_writes_nothing(folder, capsys, case):
    how, text = FIT[case]
    likelihood = how.get("likelihood", Bernoulli())
    options = {"x_train": X, "x_test": X, "epochs": 1, "out": folder / "run"} | how
    options.pop("likelihood", None)
    vae = model(likelihood=likelihood)
    before = {name: p.copy() for name, p in vae.params.items()}
    with pytest.raises(ValueError) as caught:
        fit(vae, **options, optimizer=Adam(), rng=np.random.default_rng(0))
    assert str(caught.value) == text
    assert snapshot(folder) == {}
    assert capsys.readouterr() == ("", "")
    assert all(np.array_equal(p, before[name]) for name, p in vae.params.items()) or case == "schedule"


@pytest.mark.parametrize("x", [NEGATIVE, LARGE, 100 * X - 50])
def test_what_a_gaussian_can_take_is_taken(x):
    how = {"epochs": 1, "optimizer": Adam(), "rng": np.random.default_rng(0), "binarise": "none", "progress": False}
    assert len(fit(model(likelihood=Gaussian(10.0)), x, x, **how)["epoch"]) == 1


def fit_into(out, **how):
    return fit(model(), X, X, epochs=1, optimizer=Adam(), rng=np.random.default_rng(0), out=out, progress=False, **how)


def test_fit_does_not_overwrite_a_run(folder):
    fit_into(folder / "run")
    before = snapshot(folder)
    with pytest.raises(ValueError, match=r"out should be a folder without a .*; choose another, or pass resume=True$"):
        fit_into(folder / "run")
    assert snapshot(folder) == before


def test_fit_does_not_empty_somebody_elses_metrics(folder):
    (folder / "run").mkdir()
    (folder / "run" / "metrics.csv").write_text("week,sales\n1,100\n")
    before = snapshot(folder)
    with pytest.raises(ValueError, match=r"out should be a folder without a .*; choose another, or pass resume=True$"):
        fit_into(folder / "run")
    assert snapshot(folder) == before


@pytest.mark.parametrize("resume", [False, True])
def test_fit_does_not_take_a_file_for_a_folder(folder, resume):
    (folder / "run").write_text("mine")
    with pytest.raises(ValueError, match=r"(out should be a|resume=True needs the) folder.*run"):
        fit_into(folder / "run", resume=resume)
    assert snapshot(folder) == {folder / "run": b"mine"}


def test_a_run_folder_named_like_a_file_works_or_is_refused_at_once(folder):
    """A folder run.npz would be taken for the checkpoint itself, and an epoch would be lost before that shows."""
    try:
        fit_into(folder / "run.npz")
    except ValueError:
        assert snapshot(folder) == {}
    else:
        assert load_checkpoint(folder / "run.npz").epoch == 1


def test_fit_resumes_only_what_fit_has_written(folder):
    from scratchvae import save_checkpoint

    save_checkpoint(folder / "run", model())
    before = snapshot(folder)
    with pytest.raises(ValueError, match="resume needs a checkpoint that fit has written, got one that was saved wi"):
        fit_into(folder / "run", resume=True)
    assert snapshot(folder) == before


# -- data files: in Python and on the command line ---------------------------------------------------------------------


class Trap:
    """Unpickling it leaves a file behind."""

    def __reduce__(self):
        return (Path.touch, (Path("sprung"),))


def npz(**arrays):
    return lambda path: np.savez(path, **arrays)


def npy(array):
    def write(path):
        with open(path, "wb") as stream:
            np.save(stream, array, allow_pickle=True)

    return write


def raw(content):
    return lambda path: path.write_bytes(content)


def pickled(path):
    path.write_bytes(pickle.dumps(Trap()))


SHAPE = r"should have the shape \(N, D\) or \(N, h, w\) with no size of 0, got"
KIND = r"should hold uint8 in 0..255 or floats in 0..1, got"
SAVE_AGAIN = r"save it again with np.savez\(file, x_train=array\), uint8 or float32$"
UNREADABLE = f"should hold plain numbers as .npz or .npy, and it cannot be read: .+; {SAVE_AGAIN}"
TYPE = f"should hold plain numbers as .npz .* read: {{}} is of the type '{{}}', not of plain numbers; {SAVE_AGAIN}"
NO_NUMPY = f"should hold plain numbers as .npz .* read: it begins with {{}}, as no NumPy file does; {SAVE_AGAIN}"
LABELS = "should hold one whole number for each of the 6 rows, got"

DATA = {
    "missing": ("my.npz", None, "data should be a file .npz or .npy, and there is no file my.npz; check the path"),
    "unknown name": ("cifar", None, "data should be mnist-sample.* or the path of an .npz or .npy file.*, got 'cifar'"),
    "a folder": (".", None, r" should .*, and there is no .*; check the path$"),
    "1-d": ("my.npy", npy(X[0]), rf"x_train in my.npy {SHAPE} \(16,\)"),
    "0-d": ("my.npy", npy(np.float64(1)), rf"x_train in my.npy {SHAPE} \(\)"),
    "4-d": ("my.npz", npz(x_train=X.reshape(6, 2, 2, 4)), rf"x_train in my.npz {SHAPE} \(6, 2, 2, 4\)"),
    "no rows": ("my.npz", npz(x_train=X[:0]), rf"x_train in my.npz {SHAPE} \(0, 16\)"),
    "no columns": ("my.npz", npz(x_train=X[:, :0]), rf"x_train in my.npz {SHAPE} \(6, 0\)"),
    "no test rows": ("my.npz", npz(x_train=X, x_test=X[:0]), rf"x_test in my.npz {SHAPE} \(0, 16\)"),
    "one row": ("my.npy", npy(X[:1]), "x should have at least 2 rows, since one is held out, got 1; add rows"),
    "int64": (
        "my.npz",
        npz(x_train=U8.astype(int)),
        f"x_train in my.npz {KIND} int64 from 0 to 2.*; save x.astype.'uint8'. in its place",
    ),
    "int8": (
        "my.npz",
        npz(x_train=U8.astype("int8")),
        f"x_train in my.npz {KIND} int8 from -.* to 127; save .*float32.* in its place",
    ),
    "bool": (
        "my.npz",
        npz(x_train=X > 0.5),
        f"x_train in my.npz {KIND} bool from 0 to 1; save x.astype.'float32'. in its place",
    ),
    "complex": ("my.npz", npz(x_train=X + 0j), TYPE.format("x_train", "<c16")),
    "text array": ("my.npz", npz(x_train=np.array([["a", "b"]])), f"x_train in my.npz {KIND} <U1; convert it first"),
    "widths": (
        "my.npz",
        npz(x_train=X, x_test=X[:, :9]),
        "should agree in width and kind, got 16 float64 and 9 float64",
    ),
    "kinds": ("my.npz", npz(x_train=U8, x_test=X), "should agree in width and kind, got 16 uint8 and 16 float64"),
    "images": (
        "my.npz",
        npz(x_train=X.reshape(6, 2, 8), x_test=X.reshape(6, 4, 4)),
        r"x_train and x_test in my.npz should agree .*\(?2, 8\)? .*\(?4, 4\)?",
    ),
    "few labels": (
        "my.npz",
        npz(x_train=X, y_train=np.arange(5)),
        rf"y_train in my.npz {LABELS} int64 of shape \(5,\)",
    ),
    "float labels": (
        "my.npz",
        npz(x_train=X, y_train=np.ones(6)),
        rf"y_train in my.npz {LABELS} float64 of shape \(6,\)",
    ),
    "one-hot": (
        "my.npz",
        npz(x_train=X, x_test=X, y_test=np.eye(6, dtype=int)),
        rf"y_test in my.npz {LABELS} int64 of shape \(6, 6\); leave y_test out if there are no labels",
    ),
    "other names": (
        "my.npz",
        npz(images=X, y=U8),
        "should hold an array named x_train, it holds images, y; save it und",
    ),
    "no arrays": ("my.npz", npz(), "should hold an array named x_train, it holds nothing; save it under that name"),
    "pickled npy": ("my.npy", npy(np.array([Trap()])), TYPE.format("the array", r"\|O")),
    "pickled npz": ("my.npz", npz(x_train=np.array([Trap()])), TYPE.format("x_train", r"\|O")),
    "raw pickle": ("my.npz", pickled, NO_NUMPY.format("80 04 .*")),
    "text": ("my.csv", raw(b"1,2,3\n"), NO_NUMPY.format("31 2c 32 .*")),
    "png": ("my.npz", raw(b"\x89PNG\r\n\x1a\n" + bytes(100)), NO_NUMPY.format("89 50 4e 47 .*")),
    "empty file": ("my.npz", raw(b""), UNREADABLE),
    "zip head": ("my.npz", raw(b"PK\x03\x04" + bytes(30)), UNREADABLE),
    "npy head": ("my.npy", raw(b"\x93NUMPY\x01\x00"), UNREADABLE),
}


@pytest.mark.parametrize("case", DATA)
def test_data_that_cannot_be_used(folder, capsys, case):
    name, write, message = DATA[case]
    if write is not None:
        write(folder / name)
    before = snapshot(folder)
    with pytest.raises(DataError, match=message) as caught:
        load_data(name)
    assert "\n" not in str(caught.value)
    assert main(["train", "--data", name]) == 2
    assert capsys.readouterr() == ("", f"scratchvae train: {caught.value}\n")
    assert snapshot(folder) == before


@pytest.mark.parametrize("suffix", [".npz", ".npy"])
def test_a_data_file_cut_at_any_length(folder, suffix):
    whole, cut = folder / f"whole{suffix}", folder / f"cut{suffix}"
    np.savez(whole, x_train=X, x_test=X) if suffix == ".npz" else np.save(whole, X)
    content = whole.read_bytes()
    for length in [len(content) * part // 50 for part in range(50)] + [len(content) - short for short in (1, 22)]:
        cut.write_bytes(content[:length])
        with pytest.raises(DataError, match=f"cut{suffix} should hold .* and it ") as caught:
            load_data(cut)
        assert "\n" not in str(caught.value)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files in /proc")
def test_no_refused_data_file_stays_open(folder):
    (folder / "my.npz").write_bytes(b"PK\x03\x04" + bytes(30))
    with pytest.raises(DataError) as caught:
        load_data("my.npz")
    opened = [str(entry.resolve()) for entry in Path("/proc/self/fd").iterdir() if entry.exists()]
    assert str(folder / "my.npz") not in opened, caught.value


@pytest.mark.parametrize(
    ("x", "options", "message"),
    [
        (NAN, [], "x_train should be finite, got NaN or infinity; remove or fill those entries first"),
        (INF, ["--likelihood", "gaussian"], "x_train should be finite, got NaN or infinity; remove or fill"),
        (NEGATIVE, [], r"x_train should lie in \[0, 1\] for binarise 'dynamic', got values from -0.1 to .*; rescale"),
        (LARGE, ["--binarise", "none"], r"x_train should lie in \[0, 1\] for this likelihood, got .* to 1.5; rescale"),
        (LARGE, ["--likelihood", "continuous-bernoulli"], r"x_train should lie in \[0, 1\] for this likelihood"),
        (LARGE, ["--likelihood", "gaussian", "--binarise", "dynamic"], r"x_train should lie in \[0, 1\] for binarise"),
    ],
)
def test_pixels_that_the_likelihood_cannot_take(folder, capsys, x, options, message):
    np.savez(folder / "my.npz", x_train=x, x_test=X)
    before = snapshot(folder)
    assert main(["train", "--data", "my.npz", *options]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert re.match(f"scratchvae train: {message}", err)
    assert err.count("\n") == 1
    assert snapshot(folder) == before


# -- the command line --------------------------------------------------------------------------------------------------


def run(capsys, *argv):
    try:
        code = main(argv)
    except SystemExit as stop:
        code = stop.code
    return code, *capsys.readouterr()


WHOLE = "expected a whole number of at least 1, got"
FINITE = "expected a positive finite number, got"
SEE = "see python -m scratchvae train --help"

ARGUMENTS = (
    {
        "unknown verb": (
            ["fly"],
            r"scratchvae: argument VERB: invalid choice: 'fly' \(choose from .*train.*doctor.*\); see ",
        ),
        "unknown option": (["train", "--depth", "3"], f"unrecognized arguments: --depth 3; {SEE}"),
        "no value": (["train", "--epochs"], f"argument --epochs: expected one argument; {SEE}"),
        "a word too many": (["doctor", "please"], "unrecognized arguments: please; see "),
    }
    | {
        f"{option} {value}": (
            ["train", f"--{option}={value}"],
            f"scratchvae train: argument --{option}: {expected} {re.escape(repr(value))}; {SEE}",
        )
        for option, values, expected in (
            ("epochs", ("0", "-1", "1.5", "many", ""), WHOLE),
            ("latent", ("0", "-2", "two"), WHOLE),
            ("batch-size", ("0", "-128", "1e3"), WHOLE),
            ("hidden", ("0", "400,0", "400,", "-5", "a", "400;200"), "expected widths of at least 1 .*, got"),
            ("lr", ("0", "-0.1", "nan", "inf", "fast"), FINITE),
            ("beta", ("-1", "nan", "inf"), "expected zero or a positive finite number, got"),
            ("warmup", ("-1", "0.5"), "expected a whole number of at least 0, got"),
            ("seed", ("-1", "x"), "expected a whole number of at least 0, got"),
            ("samples", ("0", "-5", "2.5", "many"), WHOLE),
            ("threads", ("0", "-1", "all"), WHOLE),
            ("sigma", ("0", "-0.5", "nan", "inf", "wide"), FINITE),
        )
        for value in values
    }
    | {
        f"{option} unknown": (
            ["train", f"--{option}", "xyz"],
            rf"argument --{option}: invalid choice: 'xyz' \(choose from .*{known}.*\); {SEE}",
        )
        for option, known in (
            ("model", "autoencoder"),
            ("likelihood", "bernoulli.*gaussian.*gaussian-learned.*continuous-bernoulli"),
            ("activation", "relu.*tanh"),
            ("optimizer", "sgd.*adagrad.*adam"),
            ("binarise", "none.*threshold.*dynamic"),
            ("backend", "numpy.*cupy"),
        )
    }
)


@pytest.mark.parametrize("case", ARGUMENTS)
def test_options_out_of_range(folder, capsys, case):
    argv, message = ARGUMENTS[case]
    code, out, err = run(capsys, *argv)
    assert (code, out) == (2, "")
    assert re.search(message, err)
    assert err.count("\n") == 1
    assert err.endswith("--help\n")
    assert snapshot(folder) == {}


@pytest.mark.parametrize("option", ["latent", "hidden", "batch-size", "threads"])
@pytest.mark.parametrize("value", ["1000000000000000", "99999999999999999999"])
def test_options_beyond_any_memory(folder, capsys, no_pictures, option, value):
    """One line, or (a batch size that a checkpoint can hold) no harm at all: it is then the whole data set.

    So many threads are as many as the library has.
    """
    np.savez(folder / "my.npz", x_train=X[:, :5], x_test=X[:, :5])
    code, _, err = run(capsys, "train", "--data", "my.npz", "--epochs", "1", f"--{option}", value)
    if option == "threads" or (option == "batch-size" and len(value) < 17):
        assert (code, err) == (0, "")
        return
    assert code == 2
    assert err.startswith("scratchvae train: ")
    assert err.count("\n") == 1
    assert list(snapshot(folder)) == [folder / "my.npz"]


@pytest.fixture
def no_pictures(monkeypatch):
    monkeypatch.setattr("scratchvae.view.plots.write_pictures", lambda *args: [])


@pytest.fixture
def finished(folder, capsys, no_pictures):
    """A working folder with a data set and a run of one epoch."""
    np.savez(folder / "my.npz", x_train=X[:, :5], x_test=X[:, :5])
    assert main(["train", "--data", "my.npz", "--hidden", "4", "--epochs", "1", "--out", "run"]) == 0
    capsys.readouterr()
    return folder


def test_a_run_folder_named_like_a_checkpoint(finished, capsys):
    before = snapshot(finished)
    code, _, err = run(capsys, "train", "--data", "my.npz", "--hidden", "4", "--epochs", "1", "--out", "new.npz")
    if code == 0:
        assert load_checkpoint("new.npz").epoch == 1
    else:
        assert (code, err.count("\n")) == (2, 1)
        assert snapshot(finished) == before


# -- options that do not go together -----------------------------------------------------------------------------------

VAE_ALONE = "leave it out, or train a vae"
TOGETHER = {
    "--model autoencoder --beta 3": f"--beta 3 is about the KL, and an autoencoder has none; {VAE_ALONE}",
    "--model autoencoder --beta 0": f"--beta 0 is about the KL, and an autoencoder has none; {VAE_ALONE}",
    "--model autoencoder --warmup 4": f"--warmup 4 is about the KL, and an autoencoder has none; {VAE_ALONE}",
    "--model autoencoder --samples 5": f"--samples 5 draws latents, and an autoencoder draws none; {VAE_ALONE}",
    "--samples 5 --beta 2": "--samples 5 trains a bound that has no KL to weigh, got --beta 2; leave one of them out",
    "--samples 2 --warmup 1": "--samples 2 trains a bound that has no KL to weigh, got --warmup 1; "
    "leave one of them out",
    "--sigma 1": "--sigma is the fixed standard deviation of --likelihood gaussian, got --likelihood bernoulli; "
    "leave one of them out",
    "--sigma 0.5 --likelihood gaussian-learned": "--sigma is the fixed standard deviation of --likelihood gaussian, "
    "got --likelihood gaussian-learned; leave one of them out",
    "--layers dense,relu --activation relu": "--layers names the activation too, got --activation beside it; "
    "leave one of them out",
    "--layers dense,gelu": "layers should be some of dense, layer-norm, relu, tanh, sigmoid, softplus, each once, "
    "got ('dense', 'gelu')",
    "--layers dense,relu,relu": "layers should be some of dense, layer-norm, relu, tanh, sigmoid, softplus, each once, "
    "got ('dense', 'relu', 'relu')",
    "--layers relu": "layers should begin with one that makes the width, such as dense, got ('relu',)",
    "--layers=": "layers should be some of dense, layer-norm, relu, tanh, sigmoid, softplus, each once, got ('',)",
}


@pytest.mark.parametrize("options", TOGETHER)
def test_options_that_do_not_go_together(folder, capsys, options):
    """Refused, not ignored: config.json would say beta 3 of a run in which it did nothing, and so would its reader."""
    np.savez(folder / "my.npz", x_train=X, x_test=X)
    before = snapshot(folder)
    code, out, err = run(capsys, "train", "--data", "my.npz", *options.split())
    assert (code, out, err) == (2, "", f"scratchvae train: {TOGETHER[options]}\n")
    assert snapshot(folder) == before


@pytest.mark.parametrize(
    "options", ["--model autoencoder --beta 1 --warmup 0 --samples 1", "--samples 1 --beta 2 --warmup 1", "--samples 2"]
)
def test_options_that_change_nothing_may_be_said(folder, capsys, no_pictures, options):
    np.savez(folder / "my.npz", x_train=X, x_test=X)
    assert run(capsys, "train", "--data", "my.npz", "--hidden", "4", "--epochs", "1", *options.split())[0] == 0


@pytest.mark.parametrize(
    ("options", "noted"),
    [
        ("--likelihood gaussian --binarise dynamic", "gaussian"),
        ("--likelihood gaussian-learned --binarise threshold", "gaussian-learned"),
        ("--likelihood continuous-bernoulli --binarise dynamic", "continuous-bernoulli"),
        ("--likelihood gaussian", None),
        ("--likelihood bernoulli --binarise none", None),
        ("--likelihood bernoulli", None),
    ],
)
def test_bits_under_a_density_are_noted(folder, capsys, no_pictures, options, noted):
    """Trained all the same: squared error on bits is what was asked for. But its nats are of another kind."""
    np.savez(folder / "my.npz", x_train=X, x_test=X)
    code, out, err = run(capsys, "train", "--data", "my.npz", "--hidden", "4", "--epochs", "1", *options.split())
    assert (code, err) == (0, "")
    text = f"note: {noted} is a density, and these are bits: its nats compare with runs of the same kind alone"
    assert [line for line in out.splitlines() if line.startswith("note: ")] == ([text] if noted else [])


def test_the_binarisation_is_the_likelihoods_own(folder, capsys, no_pictures, monkeypatch):
    """Asked of the class, not guessed from its name: one that is registered tomorrow has its own default."""

    class Mine(Gaussian):
        name, binarise = "mine", "threshold"

    monkeypatch.setitem(LIKELIHOODS, "mine", Mine)
    np.savez(folder / "my.npz", x_train=X, x_test=X)
    argv = ["train", "--data", "my.npz", "--hidden", "4", "--epochs", "1", "--likelihood", "mine", "--out", "run"]
    assert run(capsys, *argv)[0] == 0
    assert load_checkpoint("run").config["training"]["binarise"] == "threshold"
