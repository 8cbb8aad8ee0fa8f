"""evaluate: how good a trained VAE is on held-out images, and what each of its latents does."""

import argparse
import json
import math
from typing import Any

import numpy as np

from scratchvae.commands.job import describe
from scratchvae.commands.options import count
from scratchvae.commands.saved import add_data, add_run, held_out, open_run
from scratchvae.evaluation import ACTIVE, Estimate, active_units, estimate, evaluate_terms, kl_per_latent, log_evidence
from scratchvae.likelihoods import Bernoulli
from scratchvae.training import TEST_SEED

HELP = "print the ELBO, -log p(x) by importance sampling, and what each latent does"
EXAMPLE = """examples:
  python -m scratchvae evaluate runs/mnist-sample-vae-2
  python -m scratchvae evaluate runs/mnist-sample-vae-2 --samples 5000
  python -m scratchvae evaluate runs/mnist-sample-vae-2 --json"""
COLUMNS = 5  # latents a line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which run, and how many draws."""
    add_run(parser)
    add_data(parser)
    parser.add_argument(
        "--samples", type=count, default=100, metavar="K", help="draws an image for -log p(x) (default 100)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the tables")


def run(args: argparse.Namespace) -> int:
    """Measure, and print as it comes: the importance sampling takes longer than all the rest."""
    saved = open_run(args.run)
    vae, seen, rng = saved.vae, held_out(saved, args.data), np.random.default_rng(TEST_SEED)
    epochs = saved.checkpoint.epoch
    title = f"{describe(vae)}, {epochs} epoch{'s' if epochs > 1 else ''}"
    terms = evaluate_terms(vae, seen.x, rng)
    kl, active = kl_per_latent(vae, seen.x), active_units(vae, seen.x)  # (Z,), (Z,)
    if not args.json:
        print(f"{title}\n{seen.describe()}\n\n{'nats per image':>39}  standard error", flush=True)
        for name, what in (("elbo", "elbo, one draw an image"), ("nll", "  nll"), ("kl", "  kl")):
            print(line(what, terms[name]), flush=True)
    minus_log_px = estimate(-log_evidence(vae, seen.x, args.samples, rng))
    if args.json:
        report: dict[str, Any] = {
            "run": str(saved.folder),
            "model": title,
            "data": seen.data.name,
            "images": len(seen.x),
            "binarise": seen.binarise,
            "test_seed": TEST_SEED,
            "units": "nats per image",
            **{name: as_json(terms[name]) for name in ("elbo", "nll", "kl")},
            "samples": args.samples,
            "minus_log_px": as_json(minus_log_px),
            "kl_per_latent": kl.tolist(),
            "active_units": active.tolist(),
        }
        print(json.dumps(report, indent=2, allow_nan=False))
        return 0
    draws = f"{args.samples:,} draw{'s' if args.samples > 1 else ''}"
    print(line(f"-log p(x), {draws}", minus_log_px))
    print("importance sampling estimates -log p(x) from above: more draws lower it")
    if isinstance(vae.likelihood, Bernoulli) and seen.binarise == "none":
        print("grey pixels make the nll of a Bernoulli a cross-entropy: then p(x) is not a normalised density")
    print_latents(kl, active)
    return 0


def print_latents(kl: np.ndarray, active: np.ndarray) -> None:
    """The kl of each latent, the largest first, and which of them are in use."""
    print("\nkl of each latent, the largest first; their sum is the mean kl")
    order = np.argsort(-kl, kind="stable")  # (Z,)
    cells = [f"{f'z{j + 1}':>5} {kl[j]:5.2f}{' ' if active[j] else '*'}" for j in order]
    print("\n".join("".join(cells[i : i + COLUMNS]).rstrip() for i in range(0, len(cells), COLUMNS)))
    rest = "" if active.all() else "; * is not"
    print(f"active latents: {active.sum()} of {len(active)} (variance of mu over the images above {ACTIVE}){rest}")


def line(what: str, value: Estimate) -> str:
    """One row of the table."""
    return f"{what:<25}{value.mean:14.2f}{value.standard_error:16.2f}"


def as_json(value: Estimate) -> dict[str, float | None]:
    """A mean and its standard error; JSON knows no NaN, which a single image has for the latter."""
    error = value.standard_error
    return {"mean": value.mean, "standard_error": None if math.isnan(error) else error}
