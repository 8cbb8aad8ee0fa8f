"""Data to try a likelihood on: x has to lie in its support, and to be whole numbers where those are all it knows.

Sizes: B batch, D data, P parameters a pixel.
"""

import math
from typing import Any

import numpy as np

from scratchvae.backend import Array, to_numpy


def drawn_pixels(p: Any, B: int, D: int, rng: np.random.Generator) -> np.ndarray:
    """x (B, D), float64, drawn from the likelihood itself at random logits (B, D P)."""
    logits = rng.standard_normal((B, D * getattr(p, "n_params", 1)))  # (B, D P)
    return to_numpy(p.sample(logits, rng)).astype(float)


def require_pixels(x: Array, p: Any) -> None:
    """Nothing, if x lies in the support of p, or p has none.

    Raises    ValueError: it does not.
    """
    low, high = getattr(p, "support", (-math.inf, math.inf))
    least, most = float(x.min()), float(x.max())
    if not (low <= least and most <= high):
        name = getattr(p, "name", type(p).__name__)
        raise ValueError(
            f"x should lie in [{low:g}, {high:g}], the support of {name}, got values from {least:g} to {most:g}"
        )
