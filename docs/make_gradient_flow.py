"""The pictures of the gradients, docs/images/*.svg: OPENBLAS_NUM_THREADS=1 python docs/make_gradient_flow.py

It trains for some seconds. On one thread, as on page 09, since the last digits depend on it.
"""

from pathlib import Path

import numpy as np

from scratchvae import VAE, Adam, fit, load_data
from scratchvae.view.flow import trace_gradients
from scratchvae.view.pulls import gather_pulls
from scratchvae.view.svg import save_svg

IMAGES = Path(__file__).parent / "images"
FLOW = (
    "The graph of a VAE with a number in every box and at every gradient. Gradients reach mu and logvar on two ways "
    "each, through z and from the kl, and add; dz times sigma ends at eps, unused."
)
PLANE = (
    "The plane of two latents: at mu an arrow from the decoder, one from the kl to the origin, and their sum, the "
    "diagonal of a parallelogram."
)
NOISE = (
    "The gradient of logvar through z over 2,000 draws, a panel a latent: a peak near zero, partly above it, and a "
    "long tail to the left, which carries the mean below zero."
)


def main() -> None:
    """One digit forward and back through a VAE that was trained on 3,000 others."""
    data = load_data("mnist-sample")
    rng = np.random.default_rng(1)
    vae = VAE(n_x=784, n_hidden=(100,), n_z=2, rng=rng)
    fit(vae, data.x_train[:3000], data.x_test[:200], epochs=6, optimizer=Adam(lr=2e-3), rng=rng, progress=False)
    x = (data.x_test[:1] >= 128).astype(vae.dtype)  # (1, D)
    eps = np.array([[-0.3, 0.8]], vae.dtype)  # (1, Z)  why: another dmu_z than the mean in the second picture
    flow = trace_gradients(vae, x, eps)
    save_svg(flow.draw(), IMAGES / "gradient-flow.svg", FLOW)
    pulls = gather_pulls(vae, x[0], vae.draw_eps(2000, rng))
    save_svg(pulls.plane(), IMAGES / "pulls.svg", PLANE)
    save_svg(pulls.histogram(), IMAGES / "noise.svg", NOISE)


if __name__ == "__main__":
    main()
