"""Are the draws of draw_eps (K, B, Z) from N(0, 1), and of that shape?

Sizes: n calls, K draws, B rows, Z latents.
"""

import math
from typing import Any

import numpy as np

from scratchvae.backend import to_numpy
from scratchvae.checks.evidence.inside import Fault
from scratchvae.checks.report import Row
from scratchvae.checks.sampler.chance import allowed_errors, allowed_gap
from scratchvae.checks.sampler.curves import noise_of
from scratchvae.checks.sampler.draw import Sample

CALLS = 2000
REPAIR = "rng.standard_normal((K, B, Z))"


def law_of_draw_eps(model: Any, B: int, Z: int, rng: np.random.Generator) -> list[Row]:
    """A row if the draws depend on each other, which may be meant: pairs of eps and -eps, say.

    Raises    Fault: they have another shape, are the same, or are not from N(0, 1).
    """
    eps = np.stack([to_numpy(model.draw_eps(B, rng)).astype(float) for _ in range(CALLS)])  # (n, K, B, Z)
    if eps.shape[2:] != (B, Z):
        text = f"draw_eps returns the shape {eps.shape[1:]} for {B} rows and {Z} latents"
        raise Fault("draw_eps", "shape", text, REPAIR)
    if not np.ptp(eps, axis=0).any():
        raise Fault("draw_eps", "noise-redrawn", "draw_eps returns the same noise in every call", "draw it from rng")
    if eps.shape[1] > 1 and not np.ptp(eps, axis=1).any():
        raise Fault("draw_eps", "shape", "the K draws of draw_eps are the same", REPAIR)
    one = eps[:, :, 0].reshape(CALLS, -1)  # (n, K Z)  why one row: others may share its noise
    sample = Sample(one, one, allowed_errors(one.shape[1]))
    gap = allowed_gap(one.shape[1], CALLS)
    mean = np.abs(sample.shift) > sample.shift_error
    spread = np.abs(sample.spread - 1) > sample.spread_error
    if mean.any() or spread.any() or sample.gap().max() > gap:
        numbers = f"mean {sample.shift.mean():.2f} and spread {sample.spread.mean():.2f}"
        normal = noise_of(sample, gap) or ("not normal" if sample.gap().max() > gap else "")
        text = f"draw_eps draws noise of {numbers}{f', {normal}' * bool(normal)}, not N(0, 1)"
        raise Fault("draw_eps", "elementwise-factor", text.replace(", not normal, not", ", not"), REPAIR)
    together, allowed = sample.dependence()
    if together > allowed:
        return [Row("draw_eps", (), math.nan, "untested", "the draws of a row depend on each other: is it meant?")]
    return []
