"""The array-backend switch: what it finds, what it converts, and what it says when it cannot."""

import sys
import types

import numpy as np
import pytest

from scratchvae import VAE, Adam, Autoencoder, Gaussian, fit, get_xp, to_numpy
from scratchvae.arguments import as_floats, require_count, require_positive
from scratchvae.backend import as_backend, resolve_backend
from scratchvae.cli import main
from scratchvae.standin import Cupy
from scratchvae.standin import ndarray as DeviceArray


@pytest.fixture
def fake_cupy(monkeypatch):
    """The strict stand-in, found by the package as the module cupy."""
    module = Cupy()
    monkeypatch.setitem(sys.modules, "cupy", module)
    return module


def test_the_library_is_found_from_the_array(fake_cupy):
    assert get_xp(np.zeros(2)) is np
    assert get_xp(2.0) is np
    assert get_xp(fake_cupy.asarray([1.0])) is fake_cupy
    assert resolve_backend("numpy") is np
    assert resolve_backend("cupy") is fake_cupy


def test_without_cupy_everything_is_numpy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert get_xp(np.zeros(2)) is np
    assert to_numpy([1.0, 2.0]).tolist() == [1.0, 2.0]


def test_there_and_back(fake_cupy, rng):
    x = rng.standard_normal((3, 2))
    there = as_backend(x, fake_cupy, "float32")
    assert type(there) is DeviceArray
    assert there.dtype == np.float32
    back = to_numpy(there)
    assert type(back) is np.ndarray
    assert np.array_equal(back, x.astype("float32"))
    assert type(as_backend(there, np)) is np.ndarray


def test_arrays_that_fit_are_not_copied(rng):
    x = rng.standard_normal((3, 2))
    assert to_numpy(x) is x
    assert as_backend(x, np) is x
    assert as_backend(x, np, x.dtype) is x
    assert as_backend(x, np, "float32").dtype == np.float32


@pytest.mark.parametrize("model_class", [VAE, Autoencoder])
@pytest.mark.parametrize("likelihood", [None, Gaussian(0.5)])
def test_training_draws_on_the_host_and_computes_on_the_device(fake_cupy, model_class, likelihood):
    def trained(backend):
        rng = np.random.default_rng(3)
        x = rng.integers(0, 256, size=(20, 16), dtype=np.uint8)
        model = model_class(16, (8,), 2, "tanh", likelihood, rng=rng, backend=backend)
        history = fit(model, x, x[:5], epochs=2, optimizer=Adam(), rng=rng, batch_size=8, progress=False)
        return model.params, history

    (host, host_history), (device, device_history) = trained("numpy"), trained("cupy")
    assert host_history == device_history
    for name, p in device.items():
        assert type(p) is DeviceArray, name
        assert np.array_equal(to_numpy(p), host[name]), name


# -- complaints --------------------------------------------------------------------------------------------------------


def not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)


def no_gpu(monkeypatch):
    fake = types.ModuleType("cupy")
    fake.ndarray = DeviceArray
    fake.is_available = lambda: False
    monkeypatch.setitem(sys.modules, "cupy", fake)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (not_installed, "needs the package CuPy, which is not installed .*pip install cupy-cuda12x, .*'numpy'"),
        (no_gpu, "needs a CUDA GPU, and CuPy finds none.* use backend 'numpy'"),
    ],
)
def test_asking_for_cupy_in_vain_gives_one_line(monkeypatch, capsys, tmp_path, rng, make, message):
    monkeypatch.chdir(tmp_path)
    make(monkeypatch)
    with pytest.raises(ValueError, match=message) as caught:
        VAE(4, (3,), 2, rng=rng, backend="cupy")
    assert "\n" not in str(caught.value)
    for verb in ("train", "doctor"):
        assert main([verb, "--backend", "cupy"]) == 2
        err = capsys.readouterr().err
        assert err == f"scratchvae {verb}: {caught.value}\n"
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_backend_is_named():
    with pytest.raises(ValueError, match=r"^backend should be one of numpy, cupy, got 'torch'$"):
        resolve_backend("torch")


@pytest.mark.parametrize(
    ("array", "shape", "message"),
    [
        (
            np.zeros((2, 3), "uint8"),
            ("B", 3),
            r"x should hold floats, got uint8; scale .* x.astype\('float32'\) / 255",
        ),
        (np.zeros((2, 3), int), ("B", 3), r"x should hold floats, got int64; scale .* x.astype\('float32'\) / 255$"),
        (np.zeros((2, 3), bool), ("B", 3), r"x should hold floats, got bool; convert it: x.astype\('float32'\)$"),
        (np.zeros((2, 3), complex), ("B", 3), "x should hold floats, got complex128"),
        (np.array([["a"]]), ("B", 1), "x should hold floats, got <U1"),
        (np.zeros((2, 4)), ("B", 3), r"shape \(B, 3\), B at least 1, got \(2, 4\)$"),
        (np.zeros(3), ("B", 3), r"shape \(B, 3\), B at least 1, got \(3,\)$"),
        (np.zeros((0, 3)), ("B", 3), r"shape \(B, 3\), B at least 1, got \(0, 3\)$"),
        (np.zeros((2, 1, 3)), ("B", 3), r"got \(2, 1, 3\); flatten it with x.reshape\(len\(x\), -1\)$"),
        (np.zeros(3), (2,), r"shape \(2,\), got \(3,\)$"),
        (np.zeros((2, 1)), (2,), r"shape \(2,\), got \(2, 1\)$"),
        (np.zeros((1, 2, 3)), (2, 3), r"shape \(2, 3\), got \(1, 2, 3\)$"),
        (np.zeros((2, 3)), ("K", 2, 3), r"shape \(K, 2, 3\), K at least 1, got \(2, 3\)$"),
        (1.5, (2,), r"got \(\)$"),
    ],
)
def test_as_floats_refuses(array, shape, message):
    with pytest.raises(ValueError, match=message) as caught:
        as_floats(array, "x", shape, like=np.zeros(1, "float32"))
    assert "\n" not in str(caught.value)


def test_as_floats_converts_once_and_copies_only_if_it_must(rng):
    x = rng.standard_normal((2, 3)).astype("float32")
    assert as_floats(x, "x", ("B", 3), like=np.zeros(1, "float32")) is x
    assert as_floats(x, "x", ("B", 3), like=np.zeros(1)).dtype == np.float64
    assert as_floats([[0.5]], "x", ("B", 1), like=np.zeros(1, "float32")).dtype == np.float32


@pytest.mark.parametrize("value", [0, -1, 1.0, True, "2", None, float("nan")])
def test_a_count_is_a_whole_number_from_1_up(value):
    with pytest.raises(ValueError, match=f"^size should be a whole number of at least 1, got {value!r}$"):
        require_count(value, "size")
    assert require_count(np.int64(3), "size") == 3


@pytest.mark.parametrize("value", [-1, -0.5, float("nan"), float("inf"), 10**400, True, "1", None])
def test_a_positive_number(value):
    for or_zero, expected in ((False, "a positive finite number"), (True, "zero or a positive finite number")):
        with pytest.raises(ValueError, match=rf"^lr should be {expected}, got {value!r}$"):
            require_positive(value, "lr", or_zero=or_zero)


def test_a_positive_number_becomes_a_python_float():
    assert type(require_positive(np.float64(0.1), "lr")) is float
    assert require_positive(0, "beta", or_zero=True) == 0.0
    with pytest.raises(ValueError, match=r"got 0$"):
        require_positive(0, "lr")
