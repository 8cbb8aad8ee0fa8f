"""The README's picture of the gradients: python docs/make_gradient_flow.py, after the README's first block."""

from pathlib import Path

import numpy as np

from scratchvae import load_checkpoint, load_data
from scratchvae.view.flow import trace_gradients
from scratchvae.view.png import save_png

HERE = Path(__file__).parent


def main() -> None:
    """One digit forward and back through the default run."""
    vae = load_checkpoint(HERE.parent / "runs" / "mnist-sample-vae-2").model
    x = (load_data("mnist-sample").x_test[:1] > 127).astype(vae.dtype)  # (1, D)
    flow = trace_gradients(vae, x, vae.draw_eps(1, np.random.default_rng(0)))
    save_png(flow.draw(), HERE / "images" / "gradient-flow.png", dpi=130)  # why 130: there the letters fit their boxes


if __name__ == "__main__":
    main()
