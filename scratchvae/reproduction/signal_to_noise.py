"""A row on gradient estimators: how signal over noise of the encoder's gradient goes with the number of draws.

The model is linear and Gaussian, and its encoder is the posterior, moved by a little: the bounds of every K have a
gradient there, and all weights have a variance.

Sizes: K draws, R repeats, D data, Z latent.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from scratchvae.exact import LinearGaussian
from scratchvae.iwae import ImportanceWeighted
from scratchvae.lab import DReG, StickingTheLanding
from scratchvae.likelihoods import Gaussian
from scratchvae.vae import VAE

ESTIMATORS: tuple[type[ImportanceWeighted], ...] = (ImportanceWeighted, StickingTheLanding, DReG)
AT_ONCE = 2**16  # draws times repeats that go through the model together


def posterior_encoder(exact: LinearGaussian, off: float = 0.0) -> VAE:
    """A VAE without hidden layers whose q(z|x) is the posterior, if the columns of W are orthogonal; off by so much."""
    (D, Z), cov = exact.W.shape, np.linalg.inv(exact.posterior_precision)
    vae = VAE(D, (), Z, likelihood=Gaussian(exact.sigma), rng=np.random.default_rng(0), dtype="float64")
    to_mu = exact.W @ cov / exact.sigma**2  # (D, Z)
    values = {"mu.W": to_mu, "mu.b": off - exact.mean @ to_mu, "logvar.W": 0.0, "logvar.b": off + np.log(np.diag(cov))}
    for name, value in {**values, "logits.W": exact.W.T, "logits.b": exact.mean}.items():
        vae.params[name][...] = value
    return vae


def orthogonal_model(config: dict[str, Any]) -> tuple[LinearGaussian, np.ndarray]:
    """A model whose columns are orthogonal, so that a diagonal q can be its posterior, and one of its examples."""
    rng = np.random.default_rng(config["seed"])
    D, Z = config["D"], config["Z"]
    W = np.linalg.qr(rng.standard_normal((D, Z)))[0] * np.linspace(2.0, 1.0, Z)  # (D, Z)
    exact = LinearGaussian(W, rng.standard_normal(D), config["sigma"])
    z, noise = rng.standard_normal((1, Z)), rng.standard_normal((1, D))
    return exact, z @ W.T + exact.mean + exact.sigma * noise


def head_gradients(objective: ImportanceWeighted, x: np.ndarray, repeats: int, rng: np.random.Generator) -> np.ndarray:
    """What reaches mu and logvar of one example x (1, D), for so many independent draws of eps: (R, 2 Z)."""
    K, Z, parts = objective.K, objective.model.n_z, []
    for start in range(0, repeats, most := max(1, AT_ONCE // K)):
        R = min(most, repeats - start)
        trace: dict[str, np.ndarray] = {}
        _, cache = objective.objective(np.repeat(x, R, axis=0), objective.draw_eps(R, rng))
        objective.backward(np.ones(R), cache, trace)
        per_draw = [trace[f"{head}_z"] + trace.get(f"{head}_q", 0.0) for head in ("dmu", "dlogvar")]  # (K R, Z) each
        parts.append(np.concatenate([a.reshape(K, R, Z).sum(axis=0) for a in per_draw], axis=1))  # (R, 2 Z)
    return np.concatenate(parts)


def slope(draws: Sequence[int], values: np.ndarray) -> float:
    """The exponent p of values ~ K^p: the slope of the logarithms by least squares."""
    return float(np.polyfit(np.log(draws), np.log(values), 1)[0])


def measured(config: dict[str, Any]) -> dict[str, Any]:
    """Signal over noise for every K, its slope for mu and for logvar, and the spread at the posterior itself.

    The signal of all three is the mean of DReG, which has no bias and little noise; that of sticking the landing, which
    has a bias, is its own.
    """
    exact, x = orthogonal_model(config)
    vae, Z, draws, rng = posterior_encoder(exact, config["off"]), config["Z"], config["draws"], np.random.default_rng(1)
    ratios: dict[str, list[list[float]]] = {}
    for K in draws:
        seen = {each.name: head_gradients(each(vae, K), x, config["repeats"], rng) for each in ESTIMATORS}
        signal = np.abs(seen[DReG.name].mean(axis=0))  # (2 Z,)
        for name, grads in seen.items():
            own = np.abs(grads.mean(axis=0)) if name == StickingTheLanding.name else signal
            ratio = own / grads.std(axis=0)  # (2 Z,)
            ratios.setdefault(name, []).append([float(ratio[:Z].mean()), float(ratio[Z:].mean())])
    slopes = {
        name: {head: slope(draws, np.array(each)[:, i]) for i, head in enumerate(("mu", "logvar"))}
        for name, each in ratios.items()
    }
    at_the_posterior = {
        each.name: float(head_gradients(each(posterior_encoder(exact), 1), x, 1000, rng).std(axis=0).max())
        for each in ESTIMATORS
    }
    return {"draws": draws, "signal_over_noise": ratios, "slopes": slopes, "spread_at_the_posterior": at_the_posterior}
