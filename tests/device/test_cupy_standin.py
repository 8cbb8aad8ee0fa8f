"""The stand-in for CuPy refuses what CuPy refuses and counts what it costs; the core on it gives NumPy's numbers."""

import sys

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
    Gaussian,
    fit,
    get_xp,
    load_checkpoint,
    save_checkpoint,
    standin,
    to_numpy,
)
from scratchvae import gaussian as gaussian_module
from scratchvae.backend import as_backend
from scratchvae.evaluation import active_units, evaluate_terms, kl_per_latent, log_evidence
from scratchvae.iwae import (
    importance_weighted_bound,
    importance_weighted_bound_backward,
    log_importance_weights,
    log_importance_weights_backward,
)
from scratchvae.layers import ACTIVATIONS, dense, dense_backward
from scratchvae.recipe import Recipe
from scratchvae.record import Run
from scratchvae.standin import Cupy, counts
from scratchvae.training import INTERVAL, train_epoch

LIKELIHOODS = [Bernoulli(), Gaussian(0.5), ContinuousBernoulli()]


@pytest.fixture(autouse=True)
def cupy(monkeypatch):
    module = Cupy()
    monkeypatch.setitem(sys.modules, "cupy", module)
    counts.clear()
    return module


@pytest.fixture
def a(cupy):
    array = cupy.asarray(np.arange(6.0).reshape(2, 3))
    counts.clear()
    return array


# -- what CuPy refuses -------------------------------------------------------------------------------------------------

HOST = np.ones((2, 3))


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda a, xp: np.asarray(a), TypeError, "Implicit conversion to a NumPy array is not allowed"),
        (lambda a, xp: np.array([a, a]), TypeError, "Implicit conversion"),
        (lambda a, xp: HOST.__setitem__(0, a[0]), TypeError, "Implicit conversion"),
        (lambda a, xp: a + HOST, TypeError, "Unsupported type <class 'numpy.ndarray'>"),
        (lambda a, xp: HOST * a, TypeError, "Unsupported type <class 'numpy.ndarray'>"),
        (lambda a, xp: a @ HOST.T, TypeError, "Unsupported type"),
        (lambda a, xp: HOST.T @ a, TypeError, "Unsupported type"),
        (lambda a, xp: a < HOST, TypeError, "Unsupported type"),
        (lambda a, xp: a.__iadd__(HOST), TypeError, "Unsupported type"),
        (lambda a, xp: HOST.__iadd__(a), TypeError, "Unsupported type"),
        (lambda a, xp: a.__add__([1.0, 2.0, 3.0]), TypeError, "Unsupported type <class 'list'>"),
        (lambda a, xp: a + np.array(1.0), TypeError, "Unsupported type"),
        (lambda a, xp: xp.maximum(a, HOST), TypeError, "Unsupported type"),
        (lambda a, xp: xp.where(a > 0, a, HOST), TypeError, "Unsupported type"),
        (lambda a, xp: xp.stack([a, HOST]), TypeError, "Only cupy arrays can be concatenated"),
        (lambda a, xp: a.__setitem__(..., HOST), TypeError, "Unsupported type"),
        (lambda a, xp: np.exp(a), TypeError, "np.exp met a device array; use xp"),
        (lambda a, xp: np.stack([a, a]), TypeError, "np.stack met a device array"),
        (lambda a, xp: np.linalg.norm(a), TypeError, "met a device array"),
        (lambda a, xp: xp.block([a]), AttributeError, "module 'cupy' has no attribute 'block'"),
        (lambda a, xp: xp.errstate(all="ignore"), AttributeError, "'errstate'"),
        (lambda a, xp: xp.insert(a, 0, 1), AttributeError, "'insert'"),
        (lambda a, xp: xp.geomspace(1, 2), AttributeError, "'geomspace'"),
        (lambda a, xp: xp.exp(a, where=a > 0), TypeError, "unexpected keyword argument 'where'"),
        (lambda a, xp: xp.sum(a, initial=0.0), TypeError, "unexpected keyword argument 'initial'"),
        (lambda a, xp: a.sum(initial=0.0), TypeError, "unexpected keyword argument 'initial'"),
        (lambda a, xp: a.max(axis=0, where=a > 0), TypeError, "unexpected keyword argument 'where'"),
        (lambda a, xp: a.astype("float32", casting="safe"), TypeError, "unexpected keyword argument 'casting'"),
        (lambda a, xp: a.setflags(write=False), AttributeError, "has no attribute 'setflags'"),
        (lambda a, xp: xp.random.default_rng(0).normal(), AttributeError, "'Generator' object has no attribute"),
        (lambda a, xp: xp.random.default_rng(0).permutation(3), AttributeError, "no attribute 'permutation'"),
        (lambda a, xp: xp.random.Generator().spawn(2), AttributeError, "no attribute 'spawn'"),
        (lambda a, xp: xp.random.default_rng(0).standard_normal(3), TypeError, "draw on the host"),
        (lambda a, xp: a[np.array([5])], TypeError, "indexing with ndarray is not modelled"),
        (lambda a, xp: a[[5]], TypeError, "indexing with list is not modelled"),
        (lambda a, xp: a[a > 2], TypeError, "indexing with ndarray is not modelled"),
        (lambda a, xp: bool(a), ValueError, "ambiguous"),
        (lambda a, xp: {a}, TypeError, "unhashable"),
        (lambda a, xp: xp.fft(a), AttributeError, "'fft'"),
        (lambda a, xp: xp.einsum("ij->i", a), NotImplementedError, "does not model cupy.einsum"),
        (lambda a, xp: xp.linalg.norm(HOST), TypeError, "Unsupported type <class 'numpy.ndarray'>"),
        (lambda a, xp: xp.linalg.lapack(a), AttributeError, "module 'cupy.linalg' has no attribute 'lapack'"),
        (lambda a, xp: xp.average(a, weights=a), NotImplementedError, "does not model weights"),
        (lambda a, xp: xp.dot(a, HOST.T), TypeError, "Unsupported type"),
        (lambda a, xp: xp.linalg.solve(a, a), NotImplementedError, "does not model cupy.linalg.solve"),
        (lambda a, xp: xp.linalg.norm(a, 1), NotImplementedError, "does not model other norms"),
        (lambda a, xp: a.sort(), NotImplementedError, "does not model the method sort"),
        (lambda a, xp: a.strides, NotImplementedError, "does not model the attribute strides"),
    ],
)
def test_refused(call, error, text, a, cupy):
    with pytest.raises(error, match=text):
        call(a, cupy)


def test_numbers_may_stand_on_either_side_and_the_dtype_is_the_one_of_nep_50(cupy):
    a = cupy.ones(3, dtype="float32")
    for narrow in (a + 1, 2.0 * a, a / 3, np.float32(2) * a, a > 0.5, cupy.maximum(a, 0)):
        assert isinstance(narrow, standin.ndarray)
        assert narrow.dtype in (np.float32, bool)
    for wide in (np.float64(2) * a, a * np.float64(2)):  # why the package keeps its numbers as Python floats
        assert isinstance(wide, standin.ndarray)
        assert wide.dtype == np.float64


# -- what it counts ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "look",
    [float, int, bool, str, repr, lambda n: f"{n:.2f}", lambda n: n.item(), lambda n: n.tolist(), lambda n: n.get()],
)
def test_a_look_at_a_number_makes_the_host_wait(look, a):
    total = a.sum()
    assert total.shape == ()  # a reduction stays on the device, as a 0-d array
    assert (counts.syncs, counts.to_host) == (0, 0)
    look(total)
    assert (counts.syncs, counts.to_host) == (1, 1)


def test_to_numpy_is_one_look_and_a_copy(a):
    there = to_numpy(a)
    assert (counts.syncs, counts.to_host, counts.launches) == (1, 1, 0)
    there += 1
    assert a.tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    ("work", "launches"),
    [
        (lambda a, xp: a[0], 0),
        (lambda a, xp: a[:, None, 1:], 0),
        (lambda a, xp: a.T, 0),
        (lambda a, xp: a.reshape(3, 2), 0),
        (lambda a, xp: a.T.reshape(6), 1),  # no view can do that
        (lambda a, xp: xp.broadcast_to(a, (4, 2, 3)), 0),
        (lambda a, xp: xp.broadcast_to(a, (4, 2, 3)).reshape(8, 3), 1),
        (lambda a, xp: a + 1, 1),
        (lambda a, xp: a.__imul__(2), 1),
        (lambda a, xp: 0.5 * a * a + 1, 3),
        (lambda a, xp: a @ a.T, 1),
        (lambda a, xp: a.sum(axis=1), 1),
        (lambda a, xp: xp.max(a, axis=0), 1),
        (lambda a, xp: a.std(), 3),
        (lambda a, xp: xp.linalg.norm(a), 3),
        (lambda a, xp: xp.dot(a, a.T), 1),
        (lambda a, xp: xp.vdot(a, a), 1),
        (lambda a, xp: xp.average(a, axis=1), 1),
        (lambda a, xp: xp.array([a[0, 0], a[0, 1]]), 2),
        (lambda a, xp: a.copy(), 1),
        (lambda a, xp: a.astype("float32"), 1),
        (lambda a, xp: xp.asarray(a), 0),
        (lambda a, xp: xp.asarray(a, "float64"), 0),
        (lambda a, xp: xp.asarray(a, "float32"), 1),
        (lambda a, xp: a.__setitem__(..., 0), 1),
        (lambda a, xp: xp.zeros(3), 1),
        (lambda a, xp: xp.full(3, 0.5, dtype="float32"), 1),
        (lambda a, xp: xp.zeros_like(a), 1),
        (lambda a, xp: xp.where(a > 1, a, 0), 2),
        (lambda a, xp: xp.stack([a] * 8), 8),
        (lambda a, xp: xp.stack([a] * 9), 1),
        (lambda a, xp: (a.shape, a.dtype, a.ndim, a.size, len(a)), 0),
    ],
)
def test_kernels(work, launches, a, cupy):
    work(a, cupy)
    assert counts.launches == launches
    assert counts.syncs == 0


def test_transfers(cupy):
    as_backend(np.ones(3), cupy, "float32")  # converted on the host: one transfer and no kernel
    assert (counts.to_device, counts.launches, counts.to_host) == (1, 0, 0)


# -- the same numbers --------------------------------------------------------------------------------------------------


def to_device(thing, xp):
    return {key: xp.asarray(value) for key, value in thing.items()} if isinstance(thing, dict) else xp.asarray(thing)


def flat(thing):
    """Every array in tuples, lists and dicts, in order."""
    if isinstance(thing, dict):
        thing = list(thing.values())
    return [thing] if hasattr(thing, "shape") else [a for part in thing if part is not None for a in flat(part)]


def assert_same_on_both(work, *arrays):
    """work(*arrays) gives, bit for bit, the same numbers on NumPy and on the device, and stays there."""
    host = flat(work(*(array.copy() for array in arrays)))
    xp = sys.modules["cupy"]
    device = flat(work(*(xp.asarray(array) for array in arrays)))
    assert len(host) == len(device) > 0
    for one, other in zip(host, device, strict=True):
        assert isinstance(other, standin.ndarray)
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, to_numpy(other))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_pair_of_functions(dtype, rng):
    x, W, b, dy = (rng.standard_normal(s).astype(dtype) for s in ((5, 4), (4, 3), (3,), (5, 3)))

    def dense_pair(x, W, b, dy):
        y, cache = dense(x, W, b)
        return y, dense_backward(dy, cache)

    assert_same_on_both(dense_pair, x, W, b, dy)
    for forward, backward in ACTIVATIONS.values():

        def activation_pair(x, dx, forward=forward, backward=backward):
            y, cache = forward(x)
            return y, backward(dx, cache)

        assert_same_on_both(activation_pair, 3 * x, x[::-1].copy())
    for name in ("reparameterize", "kl_to_standard_normal", "gaussian_log_density"):
        forward, backward = (getattr(gaussian_module, f"{name}{half}") for half in ("", "_backward"))
        n_inputs = 2 if name.startswith("kl") else 3

        def gaussian_pair(*inputs, forward=forward, backward=backward):
            y, cache = forward(*inputs)
            return y, backward(0.5 * y, cache)

        assert_same_on_both(gaussian_pair, *(rng.standard_normal((5, 2)).astype(dtype) for _ in range(n_inputs)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=lambda p: p.name)
def test_every_likelihood(likelihood, dtype, rng):
    def all_of_it(x, logits, dnll):
        nll, cache = likelihood.nll(x, logits)
        sample = likelihood.sample(logits, np.random.default_rng(1))
        return nll, likelihood.nll_backward(dnll, cache), likelihood.mean(logits), sample

    x, logits, dnll = rng.random((5, 4)), 3 * rng.standard_normal((5, 4)), rng.standard_normal(5)
    logits[0, 0] = 0.0
    assert_same_on_both(all_of_it, *(a.astype(dtype) for a in (x, logits, dnll)))


def built(kind, likelihood, backend, dtype="float32", n_z=3):
    return kind(6, (7, 5), n_z, "tanh", likelihood, rng=np.random.default_rng(0), dtype=dtype, backend=backend)


def assert_same_arrays(host, device):
    assert host.keys() == device.keys()
    for name, array in host.items():
        assert type(device[name]) is standin.ndarray, name
        assert device[name].dtype == array.dtype, name
        np.testing.assert_array_equal(array, to_numpy(device[name]), err_msg=name)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=lambda p: p.name)
@pytest.mark.parametrize("kind", [VAE, Autoencoder])
def test_both_models(kind, likelihood, dtype, rng):
    x, w = rng.random((5, 6)), rng.standard_normal(5)  # of the host, float64: moved and narrowed by the model
    results = {}
    for backend in ("numpy", "cupy"):
        model = built(kind, likelihood, backend, dtype)
        eps = model.draw_eps(5, np.random.default_rng(1))
        terms, cache = model.objective(x, eps, beta=0.7)
        trace = {}
        grads = model.backward(w, cache, trace=trace)
        results[backend] = {**terms._asdict(), **grads, **trace, "x_mean": model.reconstruct(x)}
        if kind is VAE:
            results[backend]["x_sample"] = model.sample(4, np.random.default_rng(2), draw=True)
            results[backend]["x_sample_given_x"] = model.reconstruct(x, np.random.default_rng(3))
    assert_same_arrays(results["numpy"], results["cupy"])


@pytest.mark.parametrize("optimizer", [SGD, Adagrad, Adam])
def test_every_optimizer(optimizer, cupy, rng):
    start = {"W": rng.standard_normal((3, 4)).astype("float32"), "b": rng.standard_normal(4).astype("float32")}
    grads = [{name: rng.standard_normal(p.shape).astype("float32") for name, p in start.items()} for _ in range(3)]
    host, device = {name: p.copy() for name, p in start.items()}, to_device(start, cupy)
    on_host, on_device = optimizer(lr=0.01), optimizer(lr=0.01)
    for g in grads:
        on_host.step(host, g)
        on_device.step(device, to_device(g, cupy))
    assert_same_arrays(host, device)
    assert_same_arrays(on_host.state, on_device.state)
    assert counts.syncs == len(start) + len(on_host.state)  # only those of this test


def trained(kind, backend, out=None, epochs=1, resume=False, seed=3):
    rng = np.random.default_rng(seed)
    x = np.random.default_rng(5).integers(0, 256, size=(40, 6), dtype=np.uint8)
    model, optimizer = built(kind, Bernoulli(), backend), Adam(lr=0.01)
    how = {"batch_size": 16, "progress": False, "warmup": 2, "out": out, "resume": resume}
    history = fit(model, x, x[:10], epochs=epochs, optimizer=optimizer, rng=rng, **how)
    return model, optimizer, history


@pytest.mark.parametrize("kind", [VAE, Autoencoder])
def test_an_epoch_of_training(kind):
    host, host_optimizer, host_history = trained(kind, "numpy", epochs=2)
    device, device_optimizer, device_history = trained(kind, "cupy", epochs=2)
    assert host_history == device_history
    assert_same_arrays(host.params, device.params)
    assert_same_arrays(host_optimizer.state, device_optimizer.state)


@pytest.mark.parametrize(("writer", "reader"), [("numpy", "cupy"), ("cupy", "numpy")])
@pytest.mark.parametrize("kind", [VAE, Autoencoder])
def test_a_checkpoint_written_on_one_is_read_on_the_other(kind, writer, reader, tmp_path):
    """And training goes on there as if it had never moved."""
    model, optimizer, history = trained(kind, writer, tmp_path / "run")
    read = load_checkpoint(tmp_path / "run", backend=reader)
    again = save_checkpoint(tmp_path / "again", read.model, optimizer=read.optimizer, epoch=1, history=history)
    assert (read.history, read.epoch) == (history, 1)
    back = load_checkpoint(again, backend=writer)
    for name, p in model.params.items():
        assert get_xp(read.model.params[name]).__name__ == reader
        np.testing.assert_array_equal(to_numpy(back.model.params[name]), to_numpy(p))
    for name, s in optimizer.state.items():
        np.testing.assert_array_equal(to_numpy(back.optimizer.state[name]), to_numpy(s))

    resumed, _, resumed_history = trained(kind, reader, tmp_path / "run", epochs=2, resume=True)
    unbroken, _, unbroken_history = trained(kind, writer, epochs=2)
    assert resumed_history == unbroken_history
    for name, p in unbroken.params.items():
        np.testing.assert_array_equal(to_numpy(resumed.params[name]), to_numpy(p))


def test_evaluation_and_the_importance_weighted_bound(rng):
    x = rng.integers(0, 256, size=(7, 6), dtype=np.uint8)
    results = {}
    for backend in ("numpy", "cupy"):
        vae = built(VAE, Bernoulli(), backend)
        seeds = (np.random.default_rng(i) for i in range(3))
        eps = vae.draw_eps(4 * 7, next(seeds)).reshape(4, 7, 3)
        log_w, cache = log_importance_weights(vae, x.astype("float32") / 255, eps)
        bound, bound_cache = importance_weighted_bound(log_w)
        grads = log_importance_weights_backward(vae, importance_weighted_bound_backward(bound, bound_cache), cache)
        figures = [log_evidence(vae, x, 25, next(seeds)), kl_per_latent(vae, x), active_units(vae, x)]
        assert all(type(figure) is np.ndarray for figure in figures)
        terms = evaluate_terms(vae, x, next(seeds))
        arrays = {"log_w": log_w, "bound": bound, **grads}
        results[backend] = {name: to_numpy(a) for name, a in arrays.items()} | dict(enumerate(figures)) | terms
    for name, one in results["numpy"].items():
        np.testing.assert_array_equal(one, results["cupy"][name], err_msg=str(name))


# -- what a training step costs ----------------------------------------------------------------------------------------


def default_training(batch_size):
    """The default model and optimizer, past the first interval: Adam has its running averages."""
    rng = np.random.default_rng(0)
    vae, adam = VAE(784, (400,), 2, rng=rng, backend="cupy"), Adam()
    run = Run(vae, vae, adam, rng, Recipe(batch_size, beta=1.0, warmup=0, binarise="dynamic"), data="", folder=None)

    def epoch(steps):
        x = rng.integers(0, 256, size=(steps * batch_size, 784), dtype=np.uint8)
        train_epoch(run, x, 0, "")

    epoch(1)
    counts.clear()
    return epoch


def test_a_training_step_launches_at_most_180_kernels():
    epoch = default_training(batch_size=8)  # kernels do not depend on the batch
    epoch(INTERVAL)
    per_step = counts.launches / INTERVAL
    print(f"kernels a step {per_step:.1f}, transfers to the device {counts.to_device / INTERVAL:.1f}")
    assert per_step <= 180


@pytest.mark.parametrize(("steps", "looks"), [(1, 1), (INTERVAL, 1), (INTERVAL + 1, 2), (3 * INTERVAL, 3)])
def test_training_looks_at_the_device_once_a_logging_interval(steps, looks):
    epoch = default_training(batch_size=4)
    epoch(steps)
    assert (counts.syncs, counts.to_host) == (looks, looks)
    assert counts.to_device <= 2 * steps + looks  # x and eps each step; at a look, where the losses lie
