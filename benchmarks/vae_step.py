"""The step that everything here times: forward, backward and Adam of the 784-H-Z-H-784 VAE; and its matrix products."""

from collections.abc import Callable
from itertools import cycle

import numpy as np

from scratchvae import VAE, Adam, load_data
from scratchvae.batches import batches


def images(B: int, n: int = 8) -> list[np.ndarray]:
    """n batches (B, 784) float32 of digits, binarised once; the embedded sample, repeated where B asks for more."""
    x = load_data("mnist-sample").x_train
    x = np.resize(x, (n * B, x.shape[1]))
    return list(batches(x, B, "dynamic", np.random.default_rng(0), "float32", np))


def build(H: int = 400, Z: int = 20) -> VAE:
    """The model, always with the same weights to start from."""
    return VAE(784, (H,), Z, rng=np.random.default_rng(0))


def training_step(B: int = 128, H: int = 400, Z: int = 20) -> Callable[[], None]:
    """What `fit` does with a batch: noise, objective, backward, Adam."""
    vae, optimizer, rng, x = build(H, Z), Adam(), np.random.default_rng(1), cycle(images(B))
    dobjective = np.full(B, -1 / B, dtype="float32")  # (B,)  of the loss, -objective.mean()

    def step() -> None:
        _, cache = vae.objective(next(x), vae.draw_eps(B, rng))
        optimizer.step(vae.params, vae.backward(dobjective, cache))

    return step


def matrix_products(B: int = 128, H: int = 400, Z: int = 20) -> Callable[[], None]:
    """The fourteen matrix products of that step, and nothing else: the same shapes, layouts and order."""
    vae, rng = build(H, Z), np.random.default_rng(1)
    W1, Wmu, Wlogvar, W3, W4 = (
        vae.params[f"{name}.W"] for name in ("encoder.0", "mu", "logvar", "decoder.0", "logits")
    )
    x, dlogits = images(B, 1)[0], rng.standard_normal((B, 784), dtype="float32")  # (B, D)
    h, dh = (rng.standard_normal((B, H), dtype="float32") for _ in range(2))  # (B, H)
    z, dz = (rng.standard_normal((B, Z), dtype="float32") for _ in range(2))  # (B, Z)

    def products() -> None:
        x @ W1, h @ Wmu, h @ Wlogvar, z @ W3, h @ W4  # forward
        dlogits @ W4.T, h.T @ dlogits, dh @ W3.T, z.T @ dh  # the decoder, backward
        dz @ Wmu.T, h.T @ dz, dz @ Wlogvar.T, h.T @ dz, x.T @ dh  # the encoder; no gradient of the data

    return products
