"""Draws that are not normal: by which curve eps enters them, or which noise they are made of.

Sizes: n draws, N entries.
"""

import math
from collections.abc import Callable, Mapping

import numpy as np

from scratchvae.checks.amounts import number
from scratchvae.checks.sampler.draw import Sample, normal_function

Curve = Callable[[np.ndarray], np.ndarray]

OF_EPS: Mapping[str, Curve] = {
    "squared": lambda e: e * e,
    "as |eps|": np.abs,
    "as its sign alone": np.sign,
    "cubed": lambda e: e**3,
    "as eps |eps|": lambda e: e * np.abs(e),
    "as tanh(eps)": np.tanh,
    "as sigmoid(eps)": lambda e: 0.5 * (1 + np.tanh(0.5 * e)),
    "as relu(eps)": lambda e: np.maximum(e, 0),
    "as softplus(eps)": lambda e: np.logaddexp(e, 0),
    "as exp(eps)": np.exp,
    "as sin(eps)": np.sin,
    "as cos(eps)": np.cos,
    "as sqrt(|eps|)": lambda e: np.sqrt(np.abs(e)),
    "rounded": np.rint,
    "as its distribution function, which makes it uniform": lambda e: normal_function(e),
}
OF_THE_DRAW: Mapping[str, Curve] = {  # of w = mu + sigma * eps
    "tanh": np.tanh,
    "sigmoid": lambda w: 0.5 * (1 + np.tanh(0.5 * w)),
    "relu": lambda w: np.maximum(w, 0),
    "softplus": lambda w: np.logaddexp(w, 0),
    "exp": np.exp,
    "sin": np.sin,
    "abs": np.abs,
    "the square": lambda w: w * w,
    "rounding": np.rint,
    "elu": lambda w: np.where(w > 0, w, np.expm1(np.minimum(w, 0))),
    "leaky relu": lambda w: np.where(w > 0, w, 0.01 * w),
}
NOISES: Mapping[str, Curve] = {  # distribution functions of other noises, of mean 0 and spread 1
    "uniform, not normal": lambda u: np.clip(0.5 + u / math.sqrt(12), 0, 1),
    "a Laplace noise, not normal": lambda u: (
        np.where(u < 0, 0.5 * np.exp(math.sqrt(2) * np.minimum(u, 0)), 0)
        + np.where(u >= 0, 1 - 0.5 * np.exp(-math.sqrt(2) * np.maximum(u, 0)), 0)
    ),
    "exponential, not normal": lambda u: np.where(u > -1, -np.expm1(-np.maximum(u + 1, 0)), 0),
}


def curve_of(sample: Sample, mu: np.ndarray, logvar: np.ndarray) -> str:
    """In which way eps enters, as far as it is a usual one; mu and logvar (N,)."""
    z, eps = sample.z, sample.eps  # (n, N) each
    w = mu + np.exp(0.5 * logvar) * eps  # (n, N)
    with np.errstate(all="ignore"):
        for name, curve in OF_THE_DRAW.items():
            if close(z, curve(w)):
                return f"z is {name} of mu + sigma * eps"
        for name, curve in OF_EPS.items():
            if follows(z, np.stack([curve(e) for e in eps.T], axis=1)):
                return f"eps enters {name}"
    low, high = z.min(axis=0), z.max(axis=0)  # (N,)
    for what, a in (("eps", (z - mu) * np.exp(-0.5 * logvar)), ("z", z)):
        end = float(np.abs(a).max())
        if close(a, np.clip(eps if what == "eps" else w, -end, end)) and (np.abs(a) == end).sum() > 1:
            return f"{what} is clipped at -{number(round(end, 9))} and {number(round(end, 9))}"
    if (np.mean((z == low) | (z == high), axis=0) > 0.99).all():
        return "z takes two values alone"
    return ""


def close(z: np.ndarray, curve: np.ndarray) -> bool:
    return bool((np.abs(z - curve) <= 1e-6 * np.abs(z).max(axis=0)).all())


def follows(z: np.ndarray, curve: np.ndarray) -> bool:
    """Is every z a multiple of the curve, and a constant?"""
    c = curve - curve.mean(axis=0)  # (n, N)
    slope = (c * z).sum(axis=0) / np.maximum((c * c).sum(axis=0), 1e-300)  # (N,)
    return close(z, z.mean(axis=0) + slope * c) and bool(slope.any())


def noise_of(sample: Sample, allowed: float) -> str:
    """Which other noise the draws are made of, if it is a usual one."""
    u = np.sort((sample.z - sample.shift) / np.maximum(sample.spread, 1e-300), axis=0)  # (n, N)
    steps = (np.arange(len(u)) + 0.5)[:, None] / len(u)  # (n, 1)
    for name, F in NOISES.items():
        if (np.abs(F(u) - steps).max(axis=0) <= allowed).all():
            return name
    return ""
