"""What KL warm-up gains: pairs of runs, with and without, over several seeds, step sizes and lengths of training.

    python benchmarks/warmup.py --out results/warmup

The two runs of a pair share their first weights, their batches, their bits and their noise. Differences are taken pair
by pair. A run is measured on its way: a length of training is an epoch of the same run, whose step size stays.
"""

import argparse
from typing import Any

import numpy as np
from report import load, table, write

from scratchvae import VAE, Adam, fit, load_data
from scratchvae.batches import binarised
from scratchvae.evaluation import active_units, evaluate_terms, kl_per_latent

WARMUP = 4  # epochs over which the weight of the KL grows from 0 to 1
LENGTHS = (4, 6, 8, 12, 16, 24, 32, 48, 64)
ARMS = (("without", 0), ("with", WARMUP))
SETTINGS = {"gentle": (1e-3, 100), "usual": (2e-3, 128), "rough": (4e-3, 50)}  # step size, batch size
MEASURES = {
    "elbo": "on held-out images, nats per image, the same bits and noise for all",
    "train": "the same on training images",
    "kl": "on held-out images, nats per image",
    "active": "active units of 20: latents whose mean has a variance above 0.01 over the held-out images",
    "above": "latents of 20 with a KL above 0.1 nat",
}


def measured(vae: VAE, held_out: np.ndarray, x: np.ndarray) -> dict[str, float]:
    """All measures of a model."""
    kl = kl_per_latent(vae, held_out)
    return {
        "elbo": evaluate_terms(vae, held_out, np.random.default_rng(1))["elbo"].mean,
        "train": evaluate_terms(vae, x, np.random.default_rng(1))["elbo"].mean,
        "kl": float(kl.sum()),
        "active": float(active_units(vae, held_out).sum()),
        "above": float((kl > 0.1).sum()),
    }


def a_run(seed: int, setting: str, warmup: int, lengths: tuple[int, ...], data: Any) -> list[dict[str, float]]:
    """The measures of one run, at each length of training."""
    x_train, x_test, held_out, x = data
    lr, batch_size = SETTINGS[setting]
    rng = np.random.default_rng(seed)
    vae, optimizer = VAE(784, (150, 150), 20, rng=rng), Adam(lr=lr)
    how = {"optimizer": optimizer, "rng": rng, "batch_size": batch_size, "progress": False}
    found, done = [], 0
    for length in lengths:
        epochs = length - done
        fit(vae, x_train, x_test[:2], epochs=epochs, warmup=0 if done else warmup, **how)  # the optimizer goes on
        found.append(measured(vae, held_out, x))
        done = length
    return found


def mean_and_error(values: Any, digits: int = 2) -> str:
    """As text: over the seeds."""
    return f"{np.mean(values):.{digits}f} ± {np.std(values, ddof=1) / np.sqrt(len(values)):.{digits}f}"


def main() -> None:
    """Train the pairs, measure, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--lengths", type=int, nargs="+", default=LENGTHS)
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--out", help="write OUT.md and OUT.json")
    args = parser.parse_args()
    if min(args.lengths) < WARMUP:
        parser.error(f"the lengths should be at least {WARMUP}, the epochs of the warm-up")
    before, digits = load(), load_data("mnist-sample")
    x_train = digits.x_train[: args.images]
    held_out, x = (binarised(images, "dynamic", np.random.default_rng(2)) for images in (digits.x_test, x_train[:2000]))
    data, lengths = (x_train, digits.x_test, held_out, x), tuple(sorted(args.lengths))
    values: dict[str, Any] = {}
    tables = []
    for setting in args.settings:
        pairs = {name: [a_run(seed, setting, w, lengths, data) for seed in range(args.seeds)] for name, w in ARMS}
        values[setting] = {
            name: {one: [[at[one] for at in run] for run in runs] for one in MEASURES} for name, runs in pairs.items()
        }
        tables.append(in_words(setting, values[setting], lengths))
        print(tables[-1], flush=True)
    text = (
        f"784-150-150-20-150-150-784, {args.images} images of the embedded sample, Adam with a step size that stays.\n"
        f"The weight of the KL grows from 0 to 1 over {WARMUP} epochs, or is 1 from the start. The mean of "
        f"{args.seeds} seeds ± its\nstandard error; "
        "the gain is the elbo with warm-up less that without, pair by pair.\n\n"
        + "\n".join(f"- *{name}*: {words}" for name, words in MEASURES.items())
        + "\n\n"
        + "\n\n".join(tables)
    )
    write(args.out, "What KL warm-up gains", text, {"lengths": lengths, "values": values}, before)


def in_words(setting: str, values: dict[str, dict[str, list[list[float]]]], lengths: tuple[int, ...]) -> str:
    """A table of one setting, a row a length of training."""
    lr, batch_size = SETTINGS[setting]
    without, with_it = ({name: np.array(rows) for name, rows in values[arm].items()} for arm in ("without", "with"))
    rows = []
    for i, length in enumerate(lengths):
        gains = [mean_and_error(with_it[name][:, i] - without[name][:, i]) for name in ("elbo", "train")]
        both = [(arm[name][:, i], 1) for name in ("active", "above") for arm in (without, with_it)]
        both += [(arm["kl"][:, i], 2) for arm in (without, with_it)]
        others = [mean_and_error(*one) for one in both]
        rows.append([length, mean_and_error(without["elbo"][:, i]), *gains, *others])
    header = ["epochs", "elbo without", "gain", "gain on training images"]
    header += [f"{name} {arm}" for name in ("active", "above", "kl") for arm in ("without", "with")]
    return f"**{setting}**: step size {lr:g}, batches of {batch_size}\n\n{table(header, rows)}"


if __name__ == "__main__":
    main()
