"""doctor: is this installation sound? Versions, backend, data, gradients, and numbers that are known by hand."""

import argparse
import math
import platform
from collections.abc import Callable, Iterator
from importlib.metadata import version

import numpy as np

from scratchvae import __version__
from scratchvae.autoencoder import Autoencoder
from scratchvae.backend import BACKENDS, Array, as_backend, get_xp, resolve_backend, to_numpy
from scratchvae.data import load_data
from scratchvae.gaussian import kl_to_standard_normal
from scratchvae.likelihoods import Bernoulli
from scratchvae.vae import VAE

HELP = "tell in a second or two whether the installation is sound"
EXAMPLE = """examples:
  python -m scratchvae doctor
  python -m scratchvae doctor --backend cupy"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which backend to look at."""
    parser.add_argument("--backend", choices=list(BACKENDS), default="numpy", help="array library (default numpy)")


def run(args: argparse.Namespace) -> int:
    """Print one line a check; 0 if all of them hold."""
    xp = resolve_backend(args.backend)
    print(f"scratchvae {__version__}, Python {platform.python_version()} on {platform.system()} {platform.machine()}")
    print(", ".join(f"{name} {version(name)}" for name in ("numpy", "matplotlib", "tqdm")))
    print(f"backend {args.backend} {xp.__version__}")
    sound = True
    for name, holds, figure in checks(args.backend):
        print(f"  {'ok  ' if holds else 'FAIL'} {name}: {figure}")
        sound = sound and holds
    print(
        "the installation is sound" if sound else "something is wrong: install again, then file an issue with this text"
    )
    return 0 if sound else 1


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
        error = gradient_error(model, rng)
        yield f"gradients of the {model.kind} against differences", error < 1e-7, f"largest error {error:.1e}"


def gradient_error(model: Autoencoder, rng: np.random.Generator, h: float = 1e-5) -> float:
    """The largest error over the parameters of the derivative along a random direction, relative to its scale."""
    x, w = rng.random((5, model.n_x)), rng.standard_normal(5)  # (B, D), (B,)
    eps = model.draw_eps(5, rng)

    def weighted_objective() -> float:
        terms, _ = model.objective(x, eps)
        return float(to_numpy(terms.objective) @ w)

    _, cache = model.objective(x, eps)
    grads = model.backward(w, cache)
    return max(
        directional_error(p, to_numpy(grads[name]), weighted_objective, rng, h) for name, p in model.params.items()
    )


def directional_error(p: Array, grad: np.ndarray, f: Callable[[], float], rng: np.random.Generator, h: float) -> float:
    """|g.u - (f(p + h u) - f(p - h u)) / 2h| in units of |g| |u| / sqrt(n); p is moved and put back."""
    u, before = rng.standard_normal(p.shape), p.copy()
    values = []
    for sign in (1, -1):
        p[...] = before + as_backend(sign * h * u, get_xp(p))
        values.append(f())
    p[...] = before
    scale = np.linalg.norm(grad) * np.linalg.norm(u) / math.sqrt(p.size)
    return float(abs((grad * u).sum() - (values[0] - values[1]) / (2 * h)) / scale)
