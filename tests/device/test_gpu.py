"""CuPy against NumPy: on a GPU with `pytest -m gpu`; by default on the stand-in, where these tests are seen to work.

On the stand-in the numbers are equal bit for bit, so that the tolerances below matter on a GPU alone.
"""

import math
import sys
import time

import numpy as np
import pytest

from scratchvae import VAE, Adam, Autoencoder, Bernoulli, ContinuousBernoulli, Gaussian, fit, load_checkpoint, to_numpy
from scratchvae.backend import get_xp
from scratchvae.cli import main
from scratchvae.commands import doctor
from scratchvae.evaluation import log_evidence
from scratchvae.standin import Cupy, counts

TOLERANCE = {"float64": 1e-10, "float32": 1e-4}  # of the largest entry: sums are taken in another order
PIXELS = np.random.default_rng(5).integers(0, 256, size=(200, 36), dtype=np.uint8)


@pytest.fixture(params=["stand-in", pytest.param("gpu", marks=pytest.mark.gpu)])
def cupy(request, monkeypatch):
    """The module cupy: the stand-in, or the real one where a GPU answers."""
    if request.param == "stand-in":
        module = Cupy()
        monkeypatch.setitem(sys.modules, "cupy", module)
        return module
    module = pytest.importorskip("cupy", reason="CuPy is not installed; pip install cupy-cuda12x")
    if not module.is_available():
        pytest.skip(f"CuPy {module.__version__} is installed, and no GPU answers")
    return module


def built(kind, backend, likelihood=None, dtype="float32"):
    return kind(36, (20, 10), 3, "tanh", likelihood, rng=np.random.default_rng(0), dtype=dtype, backend=backend)


def assert_close(one, other, tolerance):
    """Every entry within tolerance of the largest: on the host, where numbers may be looked at."""
    assert one.keys() == other.keys()
    for name in one:
        a, b = to_numpy(one[name]), to_numpy(other[name])
        assert (a.shape, a.dtype) == (b.shape, b.dtype), name
        assert np.abs(a - b).max() <= tolerance * np.abs(a).max(), name


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("likelihood", [Bernoulli(), Gaussian(0.5), ContinuousBernoulli()], ids=lambda p: p.name)
@pytest.mark.parametrize("kind", [VAE, Autoencoder])
def test_the_objective_and_every_gradient_for_the_same_eps(cupy, kind, likelihood, dtype):
    x, w = PIXELS[:32] / 255, np.random.default_rng(1).standard_normal(32)
    results = {}
    for backend in ("numpy", "cupy"):
        model = built(kind, backend, likelihood, dtype)
        terms, cache = model.objective(x, model.draw_eps(32, np.random.default_rng(2)), beta=0.7)
        trace = {}
        grads = model.backward(w, cache, trace=trace)
        results[backend] = {**terms._asdict(), **grads, **trace}
        assert all(get_xp(array).__name__ == backend for array in results[backend].values())
    assert_close(results["numpy"], results["cupy"], TOLERANCE[dtype])


def trained(kind, backend, out, epochs=1, resume=False):
    rng, adam = np.random.default_rng(3), Adam(lr=0.01)
    model = built(kind, backend, dtype="float64")
    how = {"optimizer": adam, "rng": rng, "batch_size": 32, "progress": False, "out": out, "resume": resume}
    return model, fit(model, PIXELS[:150], PIXELS[150:], epochs=epochs, **how)


@pytest.mark.parametrize("kind", [VAE, Autoencoder])
def test_two_epochs_of_training(cupy, kind, tmp_path):
    host, host_history = trained(kind, "numpy", tmp_path / "host", epochs=2)
    device, device_history = trained(kind, "cupy", tmp_path / "device", epochs=2)
    assert host_history["test_nll"][1] < host_history["test_nll"][0]
    for name, column in host_history.items():
        np.testing.assert_allclose(device_history[name], column, rtol=1e-8)
    assert_close(host.params, device.params, 1e-6)


@pytest.mark.parametrize(("writer", "reader"), [("numpy", "cupy"), ("cupy", "numpy")])
def test_a_checkpoint_written_on_one_is_read_and_gone_on_with_on_the_other(cupy, writer, reader, tmp_path):
    model, _ = trained(VAE, writer, tmp_path / "run")
    read = load_checkpoint(tmp_path / "run", backend=reader)
    for name, p in model.params.items():
        assert get_xp(read.model.params[name]).__name__ == reader
        np.testing.assert_array_equal(to_numpy(read.model.params[name]), to_numpy(p))
    resumed, history = trained(VAE, reader, tmp_path / "run", epochs=2, resume=True)
    unbroken, unbroken_history = trained(VAE, writer, tmp_path / "unbroken", epochs=2)
    assert_close(unbroken.params, resumed.params, 1e-6)
    np.testing.assert_allclose(history["test_elbo"], unbroken_history["test_elbo"], rtol=1e-8)


def test_log_evidence(cupy):
    results = [
        log_evidence(built(VAE, backend, dtype="float64"), PIXELS[:20], 50, np.random.default_rng(4))
        for backend in ("numpy", "cupy")
    ]
    np.testing.assert_allclose(*results, rtol=1e-10)


def test_reading_back_waits_for_the_device(cupy):
    """How a step is timed: the clock is read after a transfer to the host, never after a launch."""
    began = time.perf_counter()
    seconds = doctor.seconds_a_step("cupy", steps=3)
    assert 0 < 3 * seconds < time.perf_counter() - began
    if isinstance(cupy, Cupy):
        counts.clear()
        doctor.seconds_a_step("cupy", steps=3)
        assert (counts.syncs, counts.to_host) == (2, 2)  # before the first reading of the clock, and before the last


def test_doctor_looks_at_cupy(cupy, capsys):
    assert main(["doctor", "--backend", "cupy"]) == 0
    out = capsys.readouterr().out
    print(out)
    assert f"backend cupy {cupy.__version__}\n" in out
    assert out.count("  ok   objective and gradients of the ") == 4
    for line in (
        "an epoch of training as on numpy",
        "a checkpoint from numpy on cupy",
        "a checkpoint from cupy on numpy",
    ):
        assert f"  ok   {line}: " in out
    assert "  a training step of 784-400-2-400-784, batch 128, float32: numpy " in out
    assert out.endswith("the installation is sound\n")


@pytest.mark.parametrize("error", [1e-6, math.nan])
def test_doctor_notices_a_gradient_that_is_off(monkeypatch, capsys, error):
    right = doctor.one_pass

    def wrong(model_class, backend, dtype, x):
        results = right(model_class, backend, dtype, x)
        if (backend, dtype) == ("cupy", "float64"):
            results["decoder.0.b"] *= 1 + error
        return results

    monkeypatch.setitem(sys.modules, "cupy", Cupy())
    monkeypatch.setattr(doctor, "one_pass", wrong)
    assert main(["doctor", "--backend", "cupy"]) == 1
    out = capsys.readouterr().out
    failed = [line.split(":")[0] for line in out.splitlines() if line.startswith("  FAIL ")]
    assert failed == [
        f"  FAIL objective and gradients of the {kind} as on numpy, float64" for kind in ("vae", "autoencoder")
    ]
    assert "something is wrong" in out
