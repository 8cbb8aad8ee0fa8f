"""Derivatives without a formula: by the complex step of the checks, one entry at a time."""

from collections.abc import Callable
from typing import Any

import numpy as np

from scratchvae.checks.vjp.complex_step import complex_step


def slope(s: Callable[[Any], Any], at: np.ndarray) -> np.ndarray:
    """ds/dat of one number s, entry by entry."""
    steps = np.eye(at.size).reshape(-1, *at.shape)  # (size, ...)
    return np.array([complex_step(s, at, step) for step in steps], dtype=float).reshape(at.shape)
