"""A row that trains a model on images and then measures it: the bound of a paper's table.

Sizes: N rows of a data set, D data, K draws, Z latent.
"""

import statistics
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from scratchvae.batches import binarised
from scratchvae.data import Dataset
from scratchvae.evaluation import Estimate, active_units, estimate, evaluate_terms, kl_per_latent, log_evidence
from scratchvae.iwae import ImportanceWeighted
from scratchvae.lab import DReG, StickingTheLanding
from scratchvae.optim import OPTIMIZERS
from scratchvae.run_folder import RunFolder, write_whole
from scratchvae.training import TEST_SEED, fit
from scratchvae.vae import VAE

OBJECTIVES: dict[str, Callable[..., ImportanceWeighted]] = {
    objective.name: objective for objective in (ImportanceWeighted, StickingTheLanding, DReG)
}
UNITS = 500  # images on which the mean of a latent in use varies; the paper's code takes as many training images
STAIRS = 50  # a falling step size goes down in so many stairs
AT_ONCE = 500  # images between two notes of how far log p(x) has come
ACTIVE_KL = 0.01  # nats: a latent with a smaller mean KL carries nothing
NOTES = "log-px.npz"


def falling(first: float, last: float, epochs: int) -> list[tuple[int, float]]:
    """Pairs (epoch, lr): from first to last, each stair lower than the one before by the same factor."""
    stairs = min(STAIRS, epochs)
    return [(epochs * i // stairs, first * (last / first) ** (i / max(stairs - 1, 1))) for i in range(stairs)]


def train(config: dict[str, Any], data: Dataset, folder: RunFolder) -> tuple[VAE, list[float]]:
    """The model of a row, trained into a run folder or read from it; and the seconds of its epochs."""
    rng = np.random.default_rng(config["seed"])
    vae = VAE(data.x_train.shape[1], **config["model"], rng=rng)
    named = dict(config["optimizer"])
    optimizer = OPTIMIZERS[named.pop("name")](**named)
    first, last = config["lr"]
    objective = None
    if config["objective"]["name"] != "elbo":
        objective = OBJECTIVES[config["objective"]["name"]](vae, config["objective"]["K"])
    history = fit(
        vae,
        data.x_train,
        data.x_test,
        epochs=config["epochs"],
        optimizer=optimizer,
        rng=rng,
        batch_size=config["batch_size"],
        schedule=falling(first, last, config["epochs"]),
        objective=objective,
        out=folder,
        resume=folder.holds_a_run(),
        config=config,
    )
    return vae, [seconds or 0.0 for seconds in folder.seconds(history)]


def measured(config: dict[str, Any], data: Dataset, folder: RunFolder) -> dict[str, Any]:
    """Train, then look at all held-out images, binarised once from the seed that `fit` uses.

    The minutes of training are those of the middle epoch times their number: other work beside it slows some of them.
    """
    vae, seconds = train(config, data, folder)
    x = binarised(data.x_test, "dynamic", np.random.default_rng(TEST_SEED))  # (N, D)
    elbo = evaluate_terms(vae, x, np.random.default_rng(TEST_SEED))["elbo"]
    some = x[:: len(x) // UNITS]  # (500, D)
    result: dict[str, Any] = {
        "minutes_of_training": round(len(seconds) * statistics.median(seconds) / 60, 1),
        "minus_elbo": Estimate(-elbo.mean, elbo.standard_error)._asdict(),
        "active_units": {
            "by_variance": int(active_units(vae, some).sum()),
            "by_kl": int((kl_per_latent(vae, x) > ACTIVE_KL).sum()),
        },
        "minus_log_px": {},
    }
    for K in config["draws"]:
        log_px = np.concatenate(list(log_evidence_by_parts(vae, x, K, folder.path / NOTES)))
        result["minus_log_px"][str(K)] = estimate(-log_px)._asdict()
    return result


def log_evidence_by_parts(vae: VAE, x: np.ndarray, K: int, notes: Path) -> Iterator[np.ndarray]:
    """log p(x) with K draws, some images at a time; what is done is noted, so that a stopped measurement goes on.

    Each part has a seed of its own, so where it was stopped does not matter.
    """
    done: dict[str, np.ndarray] = {}
    if notes.exists():
        with np.load(notes, allow_pickle=False) as arrays:
            done = dict(arrays)
    for start in range(0, len(x), AT_ONCE):
        name = f"{K}-{start}"
        if name not in done:
            done[name] = log_evidence(vae, x[start : start + AT_ONCE], K, np.random.default_rng([TEST_SEED, K, start]))
            write_whole(notes, lambda stream: np.savez(stream, **done))  # type: ignore[arg-type]
            print(f"log p(x), {K:,} draws: {start + AT_ONCE:,} of {len(x):,} images", flush=True)
        yield done[name]
