"""log q(z|x) as it is written by mistake: another square, another scale, a latent that is left out.

Sizes: Z latents, the last axis of z, mu and logvar; ... the others.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from scratchvae.checks.evidence.terms import close
from scratchvae.gaussian import LOG_2PI

Part = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
SQUARES: dict[str, Part] = {  # z, mu, logvar -> what stands for (z - mu)^2 / sigma^2
    "(z - mu)^2": lambda z, m, v: (z - m) ** 2,
    "(z - mu)^2 / sigma": lambda z, m, v: (z - m) ** 2 * np.exp(-0.5 * v),
    "(z - mu)^2 * sigma^2": lambda z, m, v: (z - m) ** 2 * np.exp(v),
    "(z - mu)^2 * sigma": lambda z, m, v: (z - m) ** 2 * np.exp(0.5 * v),
    "(z - mu)^2 / sigma^4": lambda z, m, v: (z - m) ** 2 * np.exp(-2 * v),
    "(z - mu) / sigma": lambda z, m, v: (z - m) * np.exp(-0.5 * v),
    "z^2 / sigma^2": lambda z, m, v: z**2 * np.exp(-v),
    "z^2": lambda z, m, v: z**2 + 0 * v,
}
SCALES: dict[str, Callable[[np.ndarray], np.ndarray]] = {  # logvar -> what stands for it
    "sigma": lambda v: np.exp(0.5 * v),
    "sigma^2": np.exp,
}


class Written(NamedTuple):
    """In words, which slip that is, and log q(z|x) of it, (...)."""

    text: str
    cause: str
    log_q: np.ndarray


def written(z: np.ndarray, mu: np.ndarray, logvar: np.ndarray) -> Iterator[Written]:
    """The usual slips."""
    mu, logvar = np.broadcast_to(mu, z.shape), np.broadcast_to(logvar, z.shape)
    with np.errstate(all="ignore"):
        square = (z - mu) ** 2 * np.exp(-logvar)  # (..., Z)
        for name, part in SQUARES.items():
            log_q = -0.5 * (part(z, mu, logvar) + logvar + LOG_2PI).sum(axis=-1)
            text = f"log q(z|x) has {name}, where (z - mu)^2 / sigma^2 belongs"
            text += ", or log p(z) has eps^2, where z^2 belongs" * (name == "z^2")  # why: either way they cancel
            yield Written(text, "elementwise-factor", log_q)
        for name, scale in SCALES.items():
            log_q = -0.5 * (square + scale(logvar) + LOG_2PI).sum(axis=-1)
            yield Written(f"log q(z|x) has {name}, where logvar belongs", "elementwise-factor", log_q)
        for j in range(z.shape[-1] if z.shape[-1] > 1 else 0):
            log_q = -0.5 * np.delete(square + logvar + LOG_2PI, j, axis=-1).sum(axis=-1)
            yield Written(f"log q(z|x) leaves out latent {j}", "missing-term", log_q)


def which_is(log_q: np.ndarray, z: np.ndarray, mu: np.ndarray, logvar: np.ndarray) -> Written | None:
    """The one slip that log_q (...) is, with or without a log(2 pi) of each latent; None if there is not one alone."""
    found = []
    for slip in written(z, mu, logvar):
        for n in range(z.shape[-1] + 1):
            value = slip.log_q + 0.5 * n * LOG_2PI
            if close(log_q, value):
                found.append(slip._replace(log_q=value))
    return found[0] if len(found) == 1 else None
