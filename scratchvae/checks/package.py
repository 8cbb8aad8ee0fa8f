"""check_package: every derivative, distribution and bound that models are made of. Whatever is registered is checked.

Sizes: B batch, D data, H hidden, Z latent.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from scratchvae.autoencoder import Autoencoder
from scratchvae.backend import Array
from scratchvae.checks.evidence.check import check_evidence
from scratchvae.checks.likelihood.check import check_likelihood
from scratchvae.checks.model import Outputs, check_gradients
from scratchvae.checks.pixels import drawn_pixels
from scratchvae.checks.report import Report
from scratchvae.checks.sampler.check import check_sampler
from scratchvae.checks.vjp.check import check_vjp
from scratchvae.gaussian import (
    gaussian_log_density,
    gaussian_log_density_backward,
    kl_to_standard_normal,
    kl_to_standard_normal_backward,
    reparameterize,
    reparameterize_backward,
)
from scratchvae.iwae import ImportanceWeighted, importance_weighted_bound, importance_weighted_bound_backward
from scratchvae.layers import (
    ACTIVATIONS,
    LAYERS,
    Layer,
    dense,
    dense_backward,
    glorot_uniform,
    layer_norm,
    layer_norm_backward,
    make_layer,
    mlp,
)
from scratchvae.likelihoods import LIKELIHOODS
from scratchvae.vae import VAE

B, D, H, Z = 5, 6, 4, 2


def check_package() -> Iterator[Report]:
    """From the layers up to whole bounds."""
    rng = np.random.default_rng(0)
    yield from check_layers(rng)
    yield from check_gaussian(rng)
    yield from check_likelihoods(rng)
    yield from check_models(rng)
    yield from check_bounds(rng)


def titled(report: Report, title: str) -> Report:
    report.title = title
    return report


def check_layers(rng: np.random.Generator) -> Iterator[Report]:
    """The functions, every class in LAYERS with its own parameters, and a chain of them."""
    x, h = 2 * rng.standard_normal((B, D)), rng.standard_normal((B, H))
    dense_inputs = {"x": h, "W": rng.standard_normal((H, D)), "b": rng.standard_normal(D)}
    yield check_vjp(dense, dense_backward, dense_inputs, title="layers.dense")
    norm_inputs = {"x": x, "gain": rng.standard_normal(D), "b": rng.standard_normal(D)}
    yield check_vjp(layer_norm, layer_norm_backward, norm_inputs, title="layers.layer_norm")
    for name, (forward, backward) in ACTIVATIONS.items():
        yield check_vjp(forward, backward, {"x": x}, title=f"layers.{name}")
    for name in LAYERS:
        yield check_layer(make_layer(name, D, D, rng=rng, init=glorot_uniform, dtype="float64", backend="numpy"), name)
    layers = ("dense", "layer-norm", "tanh")
    yield check_layer(mlp(D, (H, 3), layers, rng=rng, dtype="float64"), f"chain of {', '.join(layers)}")


def check_layer(layer: Layer, name: str) -> Report:
    """A layer as a function of x and of the parameters that it holds, after a step away from where they start."""
    rng = np.random.default_rng(0)
    for p in layer.params.values():
        p += 0.2 * rng.standard_normal(p.shape)  # no bias at 0, no gain at 1
    x, held = rng.standard_normal((B, D)), Outputs(layer, None, None, 1.0)

    def forward(x: Array, **params: Array) -> tuple[Array, Any]:
        y, cache = held.at(params, lambda: layer.forward(x))
        return y, (params, cache)

    def backward(dy: Array, cache: Any) -> dict[str, Array]:
        params, cache = cache  # why: a cache may hold the layer's own weights, which are to be those of the forward
        dx, grads = held.at(params, lambda: layer.backward(dy, cache))
        return {"x": dx, **grads}

    return check_vjp(forward, backward, {"x": x, **layer.params}, title=f"layer {name}")


def check_gaussian(rng: np.random.Generator) -> Iterator[Report]:
    """The draw and its distribution, the KL, the log density, and the bound of log weights."""
    mu, logvar, z, eps = rng.standard_normal((4, B, Z))
    q = {"mu": mu, "logvar": logvar}
    yield check_vjp(reparameterize, reparameterize_backward, q, constants={"eps": eps}, title="gaussian.reparameterize")
    yield titled(check_sampler(reparameterize, mu, logvar), "distribution of reparameterize")
    yield check_vjp(kl_to_standard_normal, kl_to_standard_normal_backward, q, title="gaussian.kl_to_standard_normal")
    yield check_vjp(
        gaussian_log_density, gaussian_log_density_backward, {"z": z, **q}, title="gaussian.gaussian_log_density"
    )
    log_w = {"log_w": rng.standard_normal((3, B))}
    yield check_vjp(
        importance_weighted_bound, importance_weighted_bound_backward, log_w, title="iwae.importance_weighted_bound"
    )


def check_likelihoods(rng: np.random.Generator) -> Iterator[Report]:
    """All claims of every likelihood in LIKELIHOODS."""
    for name, likelihood in LIKELIHOODS.items():
        yield titled(check_likelihood(likelihood(), rng), f"likelihoods.{name}")


def check_models(rng: np.random.Generator) -> Iterator[Report]:
    """Every parameter of both models, with every activation and every likelihood; of a VAE with every layer."""
    for kind in (Autoencoder, VAE):
        for activation in ACTIVATIONS:
            for name, likelihood in LIKELIHOODS.items():
                model = kind(D, (H, 3), Z, activation, likelihood(), rng=rng, dtype="float64")
                x = drawn_pixels(model.likelihood, B, D, rng)  # (B, D)
                report = check_gradients(model, x, model.draw_eps(B, rng), rng=rng)
                yield titled(report, f"{model.kind}, {activation}, {name}")
    for name in LAYERS:
        layers = tuple(dict.fromkeys(("dense", name, "tanh")))
        vae = VAE(D, (H, 3), Z, layers=layers, rng=rng, dtype="float64")
        report = check_gradients(vae, rng.random((B, D)), vae.draw_eps(B, rng), rng=rng)
        yield titled(report, f"vae, {'+'.join(layers)}")


def check_bounds(rng: np.random.Generator) -> Iterator[Report]:
    """log p(x) = ELBO + KL(q || p(z|x)) with every likelihood, and the importance-weighted bound."""
    for name, likelihood in LIKELIHOODS.items():
        vae = VAE(D, (H,), Z, "tanh", likelihood(), rng=rng, dtype="float64")
        yield titled(check_evidence(vae, drawn_pixels(vae.likelihood, B, D, rng)), f"evidence of a vae, {name}")
    vae = VAE(D, (H, 3), Z, "tanh", rng=rng, dtype="float64")
    yield titled(check_gradients(ImportanceWeighted(vae, K=3), rng.random((B, D)), rng=rng), "iwae: the bound of a vae")
    yield titled(check_evidence(ImportanceWeighted(vae, K=3), rng.random((B, D))), "iwae: between ELBO and evidence")
