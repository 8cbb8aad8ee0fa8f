"""doctor: is this installation sound? Versions, backend, data, gradients, and numbers that are known by hand."""

import argparse
import math
import platform
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from scratchvae import __version__
from scratchvae.autoencoder import Autoencoder
from scratchvae.backend import BACKENDS, as_backend, get_xp, resolve_backend, to_numpy
from scratchvae.checkpoint import load_checkpoint
from scratchvae.checks import check_gradients
from scratchvae.commands.needed import PACKAGES
from scratchvae.data import load_data
from scratchvae.gaussian import kl_to_standard_normal
from scratchvae.likelihoods import Bernoulli
from scratchvae.model import Model
from scratchvae.optim import Adam
from scratchvae.training import fit
from scratchvae.vae import VAE

HELP = "tell in a second or two whether the installation is sound"
EXAMPLE = f"""examples:
  python -m scratchvae doctor
  python -m scratchvae doctor --backend {BACKENDS[-1]}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which backend to look at."""
    parser.add_argument("--backend", choices=list(BACKENDS), default="numpy", help="array library (default numpy)")


def run(args: argparse.Namespace) -> int:
    """Print one line a check; 0 if all of them hold."""
    xp = resolve_backend(args.backend)
    print(f"scratchvae {__version__}, Python {platform.python_version()} on {platform.system()} {platform.machine()}")
    print(", ".join(f"{name} {installed(name)}" for name in PACKAGES.values()))
    print(f"backend {args.backend} {xp.__version__}")
    sound = True
    for name, holds, figure in checks(args.backend):
        print(f"  {'ok  ' if holds else 'FAIL'} {name}: {figure}")
        sound = sound and holds
    if args.backend != "numpy":
        times = (f"{name} {1000 * seconds_a_step(name):.2f} ms" for name in ("numpy", args.backend))
        print(f"  a training step of 784-400-2-400-784, batch 128, float32: {', '.join(times)}")
    print("the installation is sound" if sound else "something is wrong: install again; if it stays, report it")
    return 0 if sound else 1


def installed(package: str) -> str:
    """The version of a package; one that was not installed by pip may not tell."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "of an unknown version"


def checks(backend: str) -> Iterator[tuple[str, bool, str]]:
    """Each check: its name, whether it holds, and the figure seen."""
    xp = resolve_backend(backend)
    data = load_data("mnist-sample")
    digits, counts = np.unique(np.concatenate([data.y_train, data.y_test]), return_counts=True)
    sizes = f"{len(data.x_train):,} + {len(data.x_test):,} images, {counts.min():,} of each digit"
    yield "embedded sample", len(digits) == 10 and bool((counts == 1200).all()), sizes

    kl, _ = kl_to_standard_normal(as_backend([[1.0]], xp), as_backend([[math.log(4.0)]], xp))
    expected = 0.5 * (1 + 4 - 1 - math.log(4.0))
    yield "KL(N(1, 4) || N(0, 1)) = 2 - log 2", abs(float(kl[0]) - expected) < 1e-12, f"{float(kl[0]):.10f} nats"

    nll, _ = Bernoulli().nll(as_backend(np.ones((1, 784)), xp), as_backend(np.zeros((1, 784)), xp))
    yield "784 fair coins = 784 log 2", abs(float(nll[0]) - 784 * math.log(2)) < 1e-9, f"{float(nll[0]):.6f} nats"

    for model_class in (VAE, Autoencoder):
        rng = np.random.default_rng(0)
        model = model_class(12, (9, 7), 3, "tanh", rng=rng, dtype="float64", backend=backend)
        report = check_gradients(model, rng.random((5, model.n_x)), model.draw_eps(5, rng), rng=rng)
        error = max(row.error for row in report.rows)
        yield f"gradients of the {model.kind} against differences", report.ok, f"largest error {error:.1e}"

    if backend != "numpy":
        yield from checks_against_numpy(backend, data.x_train[:2000], data.x_test[:500])


# -- what another array library owes: NumPy's numbers ------------------------------------------------------------------


def checks_against_numpy(backend: str, x_train: np.ndarray, x_test: np.ndarray) -> Iterator[tuple[str, bool, str]]:
    """The same pass, the same epoch, the same checkpoint on both."""
    both = ("numpy", backend)
    x = x_train[:128] / 255  # (B, D)
    for model_class in (VAE, Autoencoder):
        for dtype, tolerance in (("float64", 1e-10), ("float32", 1e-4)):
            one, other = (one_pass(model_class, name, dtype, x) for name in both)
            errors = [np.abs(one[name] - other[name]).max() / np.abs(one[name]).max() for name in one]
            error = float(np.max(errors))  # why: Python's max may lose a NaN
            name = f"objective and gradients of the {model_class.kind} as on numpy, {dtype}"
            yield name, error < tolerance, f"largest difference {error:.1e} of the largest entry"

    with tempfile.TemporaryDirectory() as folder:
        models, nll = {}, {}
        for name in both:
            run, rng = Path(folder) / name, np.random.default_rng(0)
            models[name] = VAE(x.shape[1], rng=rng, backend=name)
            history = fit(models[name], x_train, x_test, epochs=1, optimizer=Adam(), rng=rng, out=run, progress=False)
            nll[name] = history["test_nll"][0]
        off = abs(nll["numpy"] - nll[backend])
        yield "an epoch of training as on numpy", off < 0.1, f"test nll {nll[backend]:.4f} nats, off by {off:.1e}"

        for writer, reader in (both, both[::-1]):
            read, wrote = load_checkpoint(Path(folder) / writer, backend=reader).model.params, models[writer].params
            equal = [np.array_equal(to_numpy(read[name]), to_numpy(p)) for name, p in wrote.items()]
            yield f"a checkpoint from {writer} on {reader}", all(equal), f"{sum(equal)} of {len(equal)} arrays equal"


def one_pass(model_class: type[Model], backend: str, dtype: str, x: np.ndarray) -> dict[str, np.ndarray]:
    """The objective and every gradient for the same weights, x and eps. tanh: relu's mask may flip on a rounding."""
    rng = np.random.default_rng(0)
    model = model_class(x.shape[1], (400,), 2, "tanh", rng=rng, dtype=dtype, backend=backend)
    terms, cache = model.objective(x, model.draw_eps(len(x), rng))
    grads = model.backward(np.full(len(x), -1 / len(x)), cache)
    return {name: to_numpy(array) for name, array in (terms._asdict() | grads).items()}


def seconds_a_step(backend: str, steps: int = 20) -> float:
    """The time of a training step. A GPU works on by itself: reading a weight back waits for all that was asked."""
    rng = np.random.default_rng(0)
    model, optimizer = VAE(784, (400,), 2, rng=rng, backend=backend), Adam()
    xp = get_xp(model.params["logits.b"])
    x = as_backend(rng.random((128, 784)), xp, model.dtype)  # (B, D)
    w = xp.full(len(x), -1 / len(x), dtype=model.dtype)  # (B,)

    def step() -> None:
        _, cache = model.objective(x, model.draw_eps(len(x), rng))
        optimizer.step(model.params, model.backward(w, cache))

    step()  # why: the first one compiles the kernels
    to_numpy(model.params["logits.b"])
    began = time.perf_counter()
    for _ in range(steps):
        step()
    to_numpy(model.params["logits.b"])
    return (time.perf_counter() - began) / steps
