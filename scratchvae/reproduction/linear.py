"""A row on posterior collapse: a linear VAE, trained by gradients, beside probabilistic PCA, which is its optimum.

A latent is in use at the optimum if its eigenvalue of the data's covariance exceeds sigma_x^2, and collapses if not.

Sizes: N rows of a data set, D data, Z latent.
"""

from typing import Any

import numpy as np

from scratchvae.batches import to_unit_floats
from scratchvae.data import Dataset
from scratchvae.evaluation import active_units
from scratchvae.exact import LinearGaussian
from scratchvae.exact.linear_gaussian import fit_linear_gaussian
from scratchvae.likelihoods import Gaussian
from scratchvae.optim import Adam
from scratchvae.reproduction.trained import falling
from scratchvae.training import fit
from scratchvae.vae import VAE


def exact_elbo(vae: VAE, x: np.ndarray, sigma: float) -> float:
    """The mean ELBO of a linear VAE, with its KL and its expected squares in closed form: no draw."""
    W, mean = (np.asarray(vae.params[name], dtype=float) for name in ("logits.W", "logits.b"))  # (Z, D), (D,)
    mu, logvar, _ = vae.encode(x)  # (N, Z) each
    covs = np.exp(logvar.astype(float))[:, :, None] * np.eye(vae.n_z)  # (N, Z, Z)
    return float(LinearGaussian(W.T, mean, sigma).elbo(x, mu.astype(float), covs).mean())


def trained(config: dict[str, Any], x: np.ndarray, sigma: float, epochs: int) -> VAE:
    """A VAE without hidden layers, fitted to grey pixels (N, D) in [0, 1]."""
    rng = np.random.default_rng(config["seed"])
    vae = VAE(x.shape[1], (), config["Z"], likelihood=Gaussian(sigma), rng=rng)
    first, last = config["lr"]
    fit(
        vae,
        x,
        x[:100],
        epochs=epochs,
        optimizer=Adam(lr=first),
        rng=rng,
        batch_size=config["batch_size"],
        schedule=falling(first, last, epochs),
        binarise="none",
        progress=False,
    )
    return vae


def measured(config: dict[str, Any], data: Dataset) -> dict[str, Any]:
    """For each sigma_x^2: latents in use, predicted and found; the spread of each mean; the ELBO, reached and best."""
    x, result = to_unit_floats(data.x_train, "float64", np), []
    values = np.linalg.eigvalsh(np.cov(x.T, bias=True))[::-1]  # (D,)  falling
    for variance, epochs in config["runs"]:
        sigma = variance**0.5
        vae, best = trained(config, x.astype("float32"), sigma, epochs), fit_linear_gaussian(x, config["Z"], sigma)
        spread = np.sort(vae.encode(x)[0].astype(float).var(axis=0))[::-1]  # (Z,)
        predicted = np.maximum(values[: config["Z"]] - variance, 0) / values[: config["Z"]]  # (Z,)
        result.append(
            {
                "sigma_x^2": variance,
                "epochs": epochs,
                "eigenvalues": values[: config["Z"]].tolist(),
                "active": {"predicted": int((predicted > 0).sum()), "found": int(active_units(vae, x).sum())},
                "spread": {"predicted": predicted.tolist(), "found": spread.tolist()},
                "elbo": {"best": float(best.log_px(x).mean()), "reached": exact_elbo(vae, x, sigma)},
            }
        )
    return {"runs": result}
