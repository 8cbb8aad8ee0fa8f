"""What is reported of a VAE with a bug in it, and what the right code says of the same weights.

    python benchmarks/museum.py --out results/museum

Twelve bugs of the museum are put into a VAE, one at a time. From each seed all thirteen share their start, their
batches and their noise, so differences are taken seed by seed.
"""

import argparse
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
from report import load, table, write

from scratchvae import VAE, Adam, fit, load_data
from scratchvae.batches import binarised
from scratchvae.evaluation import evaluate_terms, log_evidence
from scratchvae.layers import ACTIVATIONS
from scratchvae.museum import SPECIMENS
from scratchvae.museum.components import AssembledVAE, Decoded, Model, Pair, Posterior, Stepper
from scratchvae.museum.specimen import Component

BUGS = (
    "variance_for_standard_deviation",
    "half_the_standard_deviation",
    "kl_averaged_over_latents",
    "prior_with_log_std_one",
    "backward_with_other_noise",
    "dmu_of_the_kl_has_the_wrong_sign",
    "mean_for_the_draw",
    "relu_slope_from_its_output",
    "relu_writes_into_the_gradient",
    "pictures_of_softplus",
    "nll_averaged_over_pixels",
    "adam_without_memory",
)
SIZES: dict[str, Any] = {"n_x": 784, "n_hidden": (100,), "n_z": 10, "activation": "relu"}
LR = 2e-3
DRAWS = 10  # of eps, for the right code's bound


class WithPosterior(AssembledVAE):
    """A VAE whose draw and KL come from outside, and their backwards with them."""

    def backward(self, dobjective: Any, cache: Any, trace: Any = None) -> dict[str, Any]:
        """As VAE.backward."""
        p = self.posterior
        dnll, dkl = -dobjective, -cache.beta * dobjective
        dz, decoder_grads = self.decode_backward(self.likelihood.nll_backward(dnll, cache.nll), cache.decode, trace)
        dmu_z, dlogvar_z = p.draw_backward(dz, cache.reparameterize)
        dmu_kl, dlogvar_kl = p.kl_backward(dkl, cache.kl)
        return {**self.encode_backward(dmu_z + dmu_kl, dlogvar_z + dlogvar_kl, cache.encode, trace), **decoder_grads}


class Setup(NamedTuple):
    """Where a bug can sit."""

    kind: type[VAE] = VAE
    likelihood: Any = None
    posterior: Any = None
    relu: Any = None
    optimizer: Any = Adam


def setup(component: Component | None) -> Setup:
    """A component of the museum in the place where it belongs."""
    if isinstance(component, Posterior):
        return Setup(kind=WithPosterior, posterior=component)
    if isinstance(component, Decoded):
        return Setup(likelihood=component.likelihood)
    if isinstance(component, Model):
        return Setup(kind=component.kind)
    if isinstance(component, Pair):
        return Setup(relu=(component.forward, component.backward))
    if isinstance(component, Stepper):
        return Setup(optimizer=type(component.make()))
    return Setup()


def trained(s: Setup, seed: int, x: np.ndarray, held_out: np.ndarray, epochs: int) -> tuple[VAE, list[float]]:
    """A model from one seed, and what it reports: of held-out images, before training and after each epoch."""
    rng = np.random.default_rng(seed)
    with mock.patch.dict(ACTIVATIONS, {"relu": s.relu} if s.relu else {}):
        model = s.kind(**SIZES, likelihood=s.likelihood, rng=rng)
    if s.posterior:
        model.posterior = s.posterior  # type: ignore[attr-defined]
    start = reported(model, held_out)
    history = fit(
        model, x, held_out, epochs=epochs, optimizer=s.optimizer(lr=LR), rng=rng, binarise="dynamic", progress=False
    )
    return model, [start, *history["test_elbo"], reported(model, held_out)]


def reported(model: VAE, bits: np.ndarray) -> float:
    """The mean elbo as the code at hand computes it, over the draws that the right code gets, too."""
    return float(np.mean([evaluate_terms(model, bits, np.random.default_rng(d))["elbo"].mean for d in range(DRAWS)]))


def measured(
    component: Component | None, seed: int, x: np.ndarray, held_out: np.ndarray, epochs: int
) -> dict[str, Any]:
    """What is reported, what the right code says of the same weights, and log p(x) by importance sampling."""
    model, curve = trained(setup(component), seed, x, held_out, epochs)
    right = VAE(**SIZES, rng=np.random.default_rng(0))
    for name, p in model.params.items():
        right.params[name][...] = p
    log_px = log_evidence(right, held_out, 200, np.random.default_rng(1)).mean()
    return {
        "curve": curve[:-1],
        "reported": curve[-1],
        "bound": reported(right, held_out),
        "log_px": float(log_px) if np.isfinite(log_px) else None,
    }


def mean_and_error(values: Any) -> str:
    """As text: over the seeds; a model whose numbers run away has none."""
    if not np.isfinite(values).all() or np.abs(values).max() > 1e6:
        return "runs away"
    return f"{np.mean(values):.1f} ± {np.std(values, ddof=1) / np.sqrt(len(values)):.1f}"


def rows_of(values: dict[str, list[dict[str, Any]]]) -> list[list[str]]:
    """A row for the right code and for each bug."""
    rows = []
    for name, runs in values.items():
        columns = {key: np.array([run[key] for run in runs], float) for key in ("reported", "bound", "log_px")}
        less = [columns[key] - [run[key] for run in values["right"]] for key in ("reported", "bound")]
        rose = sum(run["reported"] > run["curve"][0] for run in runs)
        rows.append([name, *map(mean_and_error, [*columns.values(), *less]), f"{rose} of {len(runs)}"])
    return rows


def main() -> None:
    """Train, measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--out", help="write OUT.md and OUT.json")
    args = parser.parse_args()
    before, data = load(), load_data("mnist-sample")
    x = data.x_train[: args.images]
    held_out = binarised(data.x_test[:500], "dynamic", np.random.default_rng(9)).astype("float32")
    components: dict[str, Component | None] = {"right": None}
    components |= {name: next(s.broken for s in SPECIMENS if s.name == name) for name in BUGS}
    values: dict[str, list[dict[str, Any]]] = {name: [] for name in components}
    for seed in range(args.seeds):
        for name, component in components.items():
            values[name].append(measured(component, seed, x, held_out, args.epochs))
            print(seed, name, {k: v for k, v in values[name][-1].items() if k != "curve"}, flush=True)
    header = ["", "reported", "bound", "log p(x)", "reported less right", "bound less right", "rose"]
    text = (
        f"784-100-10-100-784 with relu, {args.images} images of the embedded sample, {args.epochs} epochs, Adam with\n"
        f"step size {LR:g}, batches of 128; 500 held-out images. The mean of {args.seeds} seeds ± its standard error,\n"
        "in nats; differences seed by seed.\n\n"
        "- *reported*: the mean elbo as the code with the bug computes it\n"
        "- *bound*: that of the right code, for the same weights and the same noise\n"
        "- *log p(x)*: for the same weights, by importance sampling with 200 draws\n"
        "- *rose*: in how many runs more is reported after training than before\n\n"
        f"{table(header, rows_of(values))}"
    )
    write(args.out, "What is reported of a VAE with a bug in it", text, {"values": values}, before)


if __name__ == "__main__":
    main()
