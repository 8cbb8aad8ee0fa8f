"""Another route to everything that the reader writes: sums by indices, the library's model, and the complex step.

Sizes: B batch, D pixels, H hidden units, Z latents.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from scratchvae import VAE

B, D, H, Z = 4, 6, 5, 3
SIZES = {"encoder.0": ("D", "H"), "mu": ("H", "Z"), "logvar": ("H", "Z"), "decoder.0": ("Z", "H"), "logits": ("H", "D")}
Arrays = Mapping[str, Any]


def shapes(**size: int) -> dict[str, tuple[int, ...]]:
    """Of every array in params."""
    pairs = {name: (size[n_in], size[n_out]) for name, (n_in, n_out) in SIZES.items()}
    return {f"{name}.{key}": pair if key == "W" else pair[1:] for name, pair in pairs.items() for key in "Wb"}


def drawn_params(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """No weight and no bias is zero."""
    return {name: 0.6 * rng.standard_normal(shape) for name, shape in shapes(D=D, H=H, Z=Z).items()}


def bits(rng: np.random.Generator, n: int = B) -> np.ndarray:
    return (rng.random((n, D)) < 0.5).astype(float)


def library(params: Arrays) -> VAE:
    """The course's model with these weights."""
    (n_x, n_hidden), n_z = params["encoder.0.W"].shape, len(params["decoder.0.W"])
    vae = VAE(n_x, (n_hidden,), n_z, "tanh", rng=np.random.default_rng(0), dtype="float64")
    for name, p in vae.params.items():
        p[...] = params[name]
    return vae


def layer(params: Arrays, name: str, x: Any) -> Any:
    """By indices; for complex numbers too."""
    return np.einsum("bi,io->bo", x, params[f"{name}.W"]) + params[f"{name}.b"]


def heads(params: Arrays, x: Any) -> tuple[Any, Any, Any]:
    h = np.tanh(layer(params, "encoder.0", x))
    return layer(params, "mu", h), layer(params, "logvar", h), h


def pixels(params: Arrays, z: Any) -> tuple[Any, Any]:
    g = np.tanh(layer(params, "decoder.0", z))
    return layer(params, "logits", g), g


def everything(params: Arrays, x: Any, eps: Any, beta: float) -> dict[str, Any]:
    """What the reader's forward returns; for complex params too."""
    mu, logvar, h = heads(params, x)
    z = mu + np.sqrt(np.exp(logvar)) * eps
    logits, g = pixels(params, z)
    p = 1 / (1 + np.exp(-logits))
    nll = -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum(axis=1)
    kl = (0.5 * (mu**2 + np.exp(logvar)) - 0.5 - 0.5 * logvar).sum(axis=1)
    made = {"h": h, "mu": mu, "logvar": logvar, "z": z, "g": g, "logits": logits}
    return {"x": x, "eps": eps, **made, "nll": nll, "kl": kl, "objective": -nll - beta * kl}


def slopes(s: Callable[[Arrays], Any], at: Arrays, names: Iterable[str]) -> dict[str, np.ndarray]:
    """ds/d at[name] of one number s, for each of the names: by the complex step, entry by entry."""
    found = {name: np.zeros(at[name].shape) for name in names}
    for name, slope in found.items():
        for index in np.ndindex(slope.shape):
            moved = at[name].astype(complex)
            moved[index] += 1e-100j
            slope[index] = s({**at, name: moved}).imag / 1e-100
    return found
