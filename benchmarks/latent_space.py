"""What noise and KL do to a latent plane: four models over several seeds, measured as on page 12.

    python benchmarks/latent_space.py --out results/latent-space

The four share their start and their batches: an autoencoder, with neither; a VAE without the KL (beta = 0), with noise
alone; one whose eps is 0, with the KL alone; and a VAE. Differences are taken seed by seed.
"""

import argparse
from typing import Any

import numpy as np
from report import load, table, write

from scratchvae import VAE, Adam, Autoencoder, fit, load_data
from scratchvae.batches import binarised
from scratchvae.model import Model

MEASURES = {
    "jitter": "how far a picture moves, in % of the distance of two pictures, when its code moves by 0.1 spreads",
    "jitter, median": "the same, the spread taken from the median distance of two codes, which far codes hardly move",
    "even": "% of a walk's steps that make half of its change: 50 if all make the same",
    "detour": "length of a walk's path over the distance of its ends",
    "standard": "% of draws from N(0, I) in holes: farther from every code than 95 % of fresh codes",
    "fitted": "% of draws from a normal with the codes' mean and covariance in holes",
    "missed": "% of codes in holes of N(0, I): farther from every draw than 95 % of fresh draws",
    "clear in holes": "% of the draws in holes of N(0, I) whose pictures are clear: nine or ten of the ten real images "
    "nearest to it are the same digit",
    "clear elsewhere": "the same of the other draws",
    "another": "% of walks whose middle is named (by those ten) other than both ends",
    "spread": "standard deviation of the means",
    "sigma": "mean standard deviation of q(z|x)",
}
STEPS, PAIRS, DRAWS = 50, 200, 1000


class Noiseless(VAE):
    """A VAE that is trained and used at z = mu."""

    def draw_eps(self, B: int, rng: np.random.Generator) -> Any:
        """Zeros."""
        return 0 * super().draw_eps(B, rng)


KINDS: dict[str, tuple[type[Model], float]] = {
    "neither": (Autoencoder, 1),
    "noise alone": (VAE, 0),
    "KL alone": (Noiseless, 1),
    "both": (VAE, 1),
}


def pictures(model: Any, z: np.ndarray) -> np.ndarray:
    """The decoder's means."""
    return np.asarray(model.likelihood.mean(model.decode(z.astype("float32"))[0]), float)


def in_holes(draws: np.ndarray, codes: np.ndarray, fresh: np.ndarray) -> np.ndarray:
    """Of each draw, whether it is farther from every code than 95 % of fresh codes."""
    to_draws, to_fresh = (
        np.array([((point - codes) ** 2).sum(axis=1).min() for point in points]) for points in (draws, fresh)
    )
    return to_draws > np.quantile(to_fresh, 0.95)


class Votes:
    """The ten real images nearest to a picture vote for a digit."""

    def __init__(self, real: np.ndarray, labels: np.ndarray) -> None:
        self.real, self.labels = real, labels

    def __call__(self, shown: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The digit and its votes, of each picture."""
        squares = (self.real**2).sum(axis=1) - 2 * shown.astype("float32") @ self.real.T
        ten = np.argpartition(squares, 10, axis=1)[:, :10]
        votes = (self.labels[ten][:, :, None] == np.arange(10)).sum(axis=1)
        return votes.argmax(axis=1), votes.max(axis=1)


def smoothness(model: Any, mu: np.ndarray, votes: Votes, rng: np.random.Generator) -> dict[str, float]:
    """Small steps and walks between the codes of random images."""
    a, b = rng.permutation(len(mu))[: 2 * PAIRS].reshape(2, PAIRS)
    t = np.linspace(0, 1, STEPS + 1)[:, None, None]
    walks = pictures(model, ((1 - t) * mu[a] + t * mu[b]).reshape(-1, 2)).reshape(STEPS + 1, PAIRS, -1)
    steps = np.sqrt(((walks[1:] - walks[:-1]) ** 2).sum(axis=2))  # (STEPS, PAIRS)
    ends = np.sqrt(((walks[-1] - walks[0]) ** 2).sum(axis=1))  # (PAIRS,)
    largest_first = np.cumsum(np.sort(steps / steps.sum(axis=0), axis=0)[::-1], axis=0)
    first, middle, last = (votes(walks[i])[0] for i in (0, STEPS // 2, STEPS))
    noise, shown = 0.1 * rng.standard_normal(mu.shape), pictures(model, mu)
    distances = np.sqrt(((mu - np.roll(mu, len(mu) // 2, axis=0)) ** 2).sum(axis=1))
    spreads = (mu.std(axis=0), np.median(distances) / (2 * np.sqrt(np.log(2))))  # for a normal plane they agree
    moved, moved_less = (np.sqrt(((pictures(model, mu + s * noise) - shown) ** 2).sum(axis=1)) for s in spreads)
    return {
        "jitter": float(100 * moved.mean() / ends.mean()),
        "jitter, median": float(100 * moved_less.mean() / ends.mean()),
        "even": float(100 * ((largest_first < 0.5).sum(axis=0) + 1).mean() / STEPS),
        "detour": float((steps.sum(axis=0) / ends).mean()),
        "another": float(100 * ((middle != first) & (middle != last)).mean()),
    }


def measured(model: Any, x: np.ndarray, held_out: np.ndarray, votes: Votes) -> dict[str, float]:
    """All measures of a trained model."""
    rng = np.random.default_rng(1)
    encoded = [model.encode(rows) for rows in (x, held_out)]
    codes, fresh = (np.asarray(one[0], float) for one in encoded)  # (N, 2), (M, 2)
    standard, more = rng.standard_normal((2, len(x), 2))
    fitted = rng.multivariate_normal(codes.mean(axis=0), np.cov(codes.T), size=DRAWS)
    hole = in_holes(standard[:DRAWS], codes, fresh)
    clear = votes(pictures(model, standard[:DRAWS]))[1] >= 9
    return smoothness(model, fresh, votes, rng) | {
        "standard": float(100 * hole.mean()),
        "fitted": float(100 * in_holes(fitted, codes, fresh).mean()),
        "missed": float(100 * in_holes(fresh, standard, more[:DRAWS]).mean()),
        "clear in holes": float(100 * clear[hole].mean()),
        "clear elsewhere": float(100 * clear[~hole].mean()),
        "spread": float(codes.std(axis=0).mean()),
        "sigma": float(np.exp(0.5 * encoded[1][1]).mean()) if isinstance(model, VAE) else 0.0,
    }


def trained(name: str, seed: int, x: np.ndarray, x_test: np.ndarray, epochs: int) -> Model:
    """A model of one kind from one seed."""
    kind, beta = KINDS[name]
    rng = np.random.default_rng(seed)
    model = kind(784, n_hidden=(200,), n_z=2, rng=rng)
    fit(model, x, x_test[:100], epochs=epochs, optimizer=Adam(lr=2e-3), rng=rng, beta=beta, progress=False)
    return model


def mean_and_error(values: Any, digits: int) -> str:
    """As text: over the seeds."""
    return f"{np.mean(values):.{digits}f} ± {np.std(values, ddof=1) / np.sqrt(len(values)):.{digits}f}"


def main() -> None:
    """Train, measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=12)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--out", help="write OUT.md and OUT.json")
    args = parser.parse_args()
    before, data = load(), load_data("mnist-sample")
    x_train = data.x_train[: args.images]
    x, held_out = (
        binarised(images, "dynamic", np.random.default_rng(seed)).astype("float32")
        for images, seed in ((x_train, 10), (data.x_test, 9))
    )
    votes = Votes(data.x_train[5000:7000].astype("float32") / 255, np.asarray(data.y_train)[5000:7000])
    values: dict[str, dict[str, list[float]]] = {name: {measure: [] for measure in MEASURES} for name in KINDS}
    for seed in range(args.seeds):
        for name in KINDS:
            model = trained(name, seed, x_train, data.x_test, args.epochs)
            for measure, number in measured(model, x, held_out, votes).items():
                values[name][measure].append(number)
    rows = []
    for measure in MEASURES:
        digits = 2 if measure in ("detour", "spread", "sigma") else 1
        less = [np.subtract(values["both"][measure], values[name][measure]) for name in list(KINDS)[:-1]]
        columns = [*(values[name][measure] for name in KINDS), *less]
        rows.append([measure, *(mean_and_error(column, digits) for column in columns)])
    header = ["", *KINDS, *(f"both less {name}" for name in list(KINDS)[:-1])]
    text = (
        f"784-200-2-200-784, {args.images} images of the embedded sample, {args.epochs} epochs, Adam with step size\n"
        f"2e-3, batches of 128. The mean of {args.seeds} seeds ± its standard error; differences seed by seed.\n\n"
        + "\n".join(f"- *{name}*: {text}" for name, text in MEASURES.items())
        + f"\n\n{table(header, rows)}"
    )
    write(args.out, "What noise and KL do to a latent plane", text, {"values": values}, before)


if __name__ == "__main__":
    main()
