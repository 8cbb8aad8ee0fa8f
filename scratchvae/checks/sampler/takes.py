"""Which eps each z takes, and in words which it should not.

Sizes: B rows, Z latents, N = B Z entries.
"""

import numpy as np

from scratchvae.checks.report import Finding
from scratchvae.checks.sampler.draw import Linear
from scratchvae.checks.sampler.instead import DRAW

OWN = f"the eps in the same place: {DRAW}"


def wrong_eps(linear: Linear, shape: tuple[int, ...], law_is_right: bool) -> Finding | None:
    """A z that takes the eps of another one. What has the right law, such as a rotation of all eps, is no fault.

    Neither is noise that is handed on to other places, one number to each: its spread is judged by itself.
    """
    takes = linear.takes  # (N, N)
    N = len(takes)
    if (takes.sum(axis=0) == 1).all() and (takes.sum(axis=1) == 1).all():
        return None
    count = takes.sum(axis=1)  # (N,)
    z, eps = np.nonzero(takes)
    (row, latent), (of_row, of_latent) = np.unravel_index(z, shape), np.unravel_index(eps, shape)
    if law_is_right or not takes[~np.eye(N, dtype=bool)].any():
        return None
    others = [what for what, a, b in (("row", row, of_row), ("latent", latent, of_latent)) if (a != b).any()]
    where = " and ".join(f"{what}s" for what in others)
    if (count > 1).any():
        return Finding(("eps",), "shape", f"each z mixes the eps of several {where}", DRAW)
    i = int(np.flatnonzero(z != eps)[0])
    a, b = ([int(k) for k in pair] for pair in ((row[i], latent[i]), (of_row[i], of_latent[i])))
    against = bool(linear.mixing[z[i], eps[i]] < 0)
    example = f"z{a} takes {'minus ' * against}eps{b}"
    if len(set(eps)) < len(eps):
        text = (
            f"{where} share their eps ({example}), so that they move {'against each other' if against else 'together'}"
        )
        return Finding(("eps",), "shape", text, OWN)
    return Finding(("eps",), "transpose", f"{where} take each other's eps: {example}", OWN)
