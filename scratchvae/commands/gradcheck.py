"""gradcheck: every derivative and every bound of this package, or the pairs f / f_backward of a file of yours."""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from scratchvae.autoencoder import Autoencoder
from scratchvae.checks import Report, check_evidence, check_gradients, check_sampler, check_vjp
from scratchvae.checks.student import check_file
from scratchvae.gaussian import (
    gaussian_log_density,
    gaussian_log_density_backward,
    kl_to_standard_normal,
    kl_to_standard_normal_backward,
    reparameterize,
    reparameterize_backward,
)
from scratchvae.iwae import ImportanceWeighted, importance_weighted_bound, importance_weighted_bound_backward
from scratchvae.layers import ACTIVATIONS, dense, dense_backward
from scratchvae.likelihoods import LIKELIHOODS
from scratchvae.vae import VAE

HELP = "check every backward against differences, here or in a file of yours, and say what is wrong"
EXAMPLE = """examples:
  python -m scratchvae gradcheck
  python -m scratchvae gradcheck student.py

A file is checked by its names: f(x, W, b) -> y, cache and f_backward(dy, cache) -> dx, dW, db are a pair. Inputs are
made from the names of the parameters; a dictionary in the file chooses them: INPUTS = {"f": {"x": array, ...}}."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Whose derivatives to check."""
    parser.add_argument("file", nargs="?", metavar="FILE", help="a Python file with pairs (default: scratchvae itself)")


def run(args: argparse.Namespace) -> int:
    """Print one table; 0 if there are no findings, 1 if there are."""
    reports = list(check_package() if args.file is None else check_file(python_file(args.file)))
    width = max(len(report.title) for report in reports)
    for report in reports:
        error = f"{max(row.error for row in report.rows):.1e}" if report.rows else "-"
        unit = "" if report.unit == "error" else report.unit
        print(f"  {report.title:<{width}}  {error:>7} {unit:<15}  {'ok' if report.ok else 'WRONG'}")
        for row in report.rows if report.ok else ():
            if row.status != "ok":
                print(f"      {row.name}: {row.status}, {row.note}")
    for report in reports:
        if not report.ok:
            print(f"\n{report}")
    wrong = sum(not report.ok for report in reports)
    print(f"{len(reports)} checked, {wrong or 'none'} wrong")
    return 1 if wrong else 0


def python_file(text: str) -> Path:
    """The path, if a Python file that may be read is there.

    Raises    ValueError: something else, and what it is. OSError: it may not be read.
    """
    path = Path(text)
    if not text or not path.exists():
        what = "is not there; check the path"
    elif path.is_dir():
        what = "is a folder; name a file in it"
    elif not path.is_file():
        what = "is not a file; name one"
    elif path.suffix == ".ipynb":
        what = "is a notebook; save its functions in a file of their own, as in student.py"
    elif path.suffix != ".py":
        what = "does not end in .py; name a file that does"
    else:
        path.open("rb").close()
        return path
    raise ValueError(f"FILE should be a Python file, and {text or repr(text)} {what}")


def check_package() -> Iterator[Report]:
    """Layers, Gaussian functions, likelihoods, models, the importance-weighted bound, the sampler and the evidence."""
    rng = np.random.default_rng(0)
    B, D, H, Z = 5, 6, 4, 2
    x, h, logits = rng.random((B, D)), rng.standard_normal((B, H)), 2 * rng.standard_normal((B, D))
    mu, logvar, z, eps = rng.standard_normal((4, B, Z))

    dense_inputs = {"x": h, "W": rng.standard_normal((H, D)), "b": rng.standard_normal(D)}
    yield check_vjp(dense, dense_backward, dense_inputs, title="layers.dense")
    for name, (forward, backward) in ACTIVATIONS.items():
        yield check_vjp(forward, backward, {"x": logits}, title=f"layers.{name}")

    q = {"mu": mu, "logvar": logvar}
    yield check_vjp(reparameterize, reparameterize_backward, q, constants={"eps": eps}, title="gaussian.reparameterize")
    yield check_vjp(kl_to_standard_normal, kl_to_standard_normal_backward, q, title="gaussian.kl_to_standard_normal")
    yield check_vjp(
        gaussian_log_density, gaussian_log_density_backward, {"z": z, **q}, title="gaussian.gaussian_log_density"
    )
    log_w = {"log_w": rng.standard_normal((3, B))}
    yield check_vjp(
        importance_weighted_bound, importance_weighted_bound_backward, log_w, title="iwae.importance_weighted_bound"
    )
    for name, likelihood in LIKELIHOODS.items():
        p = likelihood()
        title = f"likelihoods.{name}"
        yield check_vjp(p.nll, p.nll_backward, {"logits": logits}, constants={"x": x}, title=title)

    for kind in (Autoencoder, VAE):
        for activation in ACTIVATIONS:
            for name, likelihood in LIKELIHOODS.items():
                model = kind(D, (H, 3), Z, activation, likelihood(), rng=rng, dtype="float64")
                report = check_gradients(model, x, model.draw_eps(B, rng), rng=rng)
                report.title = f"{model.kind}, {activation}, {name}"
                yield report
    vae = VAE(D, (H, 3), Z, "tanh", rng=rng, dtype="float64")
    report = check_gradients(ImportanceWeighted(vae, K=3), x, rng=rng)
    report.title = "iwae: the bound of a vae"
    yield report

    report = check_sampler(reparameterize, mu, logvar)
    report.title = "distribution of reparameterize"
    yield report
    for name, likelihood in LIKELIHOODS.items():
        report = check_evidence(VAE(D, (H,), Z, "tanh", likelihood(), rng=rng, dtype="float64"), x)
        report.title = f"evidence of a vae, {name}"
        yield report
