"""The z inside an objective that cannot be listened to, from how its value depends on eps.

The value is a known function of z = shift + spread * eps, such as -log p(x|z): the two are fitted.

Sizes: E noises, B rows, Z latents.
"""

from collections.abc import Callable

import numpy as np

from scratchvae.checks.evidence.readings import AS_AGREED, READINGS, Heads
from scratchvae.checks.sampler.instead import Measured

SOLVED = 1e-8  # of the largest value, what a fit may leave over
ROUNDS, POLISH = 60, 3
KNOWN = 1e-5  # relative: more digits of shift and spread than these are not believed
ROUNDING = 1e-14  # of a value, relative to the largest
Start = tuple[np.ndarray, np.ndarray]  # shift and spread, (B, Z) each


def fitted(
    value_at: Callable[[np.ndarray, int], np.ndarray],
    eps: np.ndarray,
    values: np.ndarray,
    heads: Heads,
    up_to: bool = False,
) -> Measured | None:
    """The draw with values (E, B) = value_at(shift + spread * eps, row), eps (E, Z), and how well it is known.

    up_to: up to a number for each row. None if no such shift and spread are found.
    """
    found, starts = [], usual_starts(*heads)
    for b in range(values.shape[1]):
        target = values[:, b] - up_to * values[:, b].mean()  # (E,)

        def left(theta: np.ndarray, b: int = b, target: np.ndarray = target) -> np.ndarray:
            shift, spread = theta.reshape(2, -1)
            value = value_at(shift + spread * eps, b)  # (E,)
            return value - up_to * value.mean() - target

        allowed = SOLVED * float(np.abs(values[:, b]).max())
        solutions = (solved(left, np.concatenate([d[b], s[b]]), allowed) for d, s in starts)
        theta = next((theta for theta in solutions if theta is not None), None)
        if theta is None:
            return None
        noise = np.abs(left(theta)) + ROUNDING * np.abs(values[:, b]).max()  # (E,)
        error = np.abs(np.linalg.pinv(jacobian(left, theta))) @ noise  # (P,)
        found.append(np.stack([theta, error]).reshape(2, 2, -1))
    (shift, spread), errors = np.stack(found, axis=2)  # (2, B, Z) each
    least = KNOWN * (np.abs(shift) + np.abs(spread))  # (B, Z)
    return Measured(*(a[None] for a in (*heads, shift, spread, *(least + errors))))


def usual_starts(mu: np.ndarray, logvar: np.ndarray) -> list[Start]:
    """Where to look first: encode's arrays in every reading, and the usual slips of a draw."""
    meant = [reading.heads(mu, logvar) for reading in (AS_AGREED, *READINGS)]
    starts = [(m, np.exp(0.5 * v)) for m, v in meant if np.isfinite(v).all() and np.abs(v).max() < 20]
    sigma = np.exp(0.5 * logvar)
    return [*starts, (mu, 0.1 * sigma), (mu, 0.01 * sigma), (-mu, sigma), (0 * mu, sigma)]


def solved(left: Callable[[np.ndarray], np.ndarray], theta: np.ndarray, allowed: float) -> np.ndarray | None:
    """The theta where nothing is left over, after Levenberg and Marquardt; None if it is not found."""
    damping, r, polish = 1e-3, left(theta), 0
    for _ in range(ROUNDS):
        if np.abs(r).max() <= allowed:
            polish += 1  # why: a solution that is just good enough has few digits
        if polish > POLISH:
            break
        J = jacobian(left, theta)  # (E, P)
        if not np.isfinite(J).all():
            break
        size = np.sqrt((J * J).sum(axis=0) + 1e-12)  # (P,)
        nothing = np.zeros(len(theta))
        while damping < 1e8:  # why least squares: a latent that y hardly depends on makes the normal equations singular
            damped = np.vstack([J, np.diag(np.sqrt(damping) * size)])  # (E + P, P)
            move = np.linalg.lstsq(damped, -np.concatenate([r, nothing]), rcond=None)[0]  # (P,)
            if (after := left(theta + move)) @ after < r @ r:
                theta, r, damping = theta + move, after, damping / 10
                break
            damping *= 10
        else:
            break
    return theta if np.abs(r).max() <= allowed else None


def jacobian(left: Callable[[np.ndarray], np.ndarray], theta: np.ndarray) -> np.ndarray:
    """(E, P), by central differences."""
    h = 1e-6 * np.maximum(np.abs(theta), 1e-2)  # (P,)
    return np.stack([(left(theta + step) - left(theta - step)) / (2 * step.sum()) for step in np.diag(h)], axis=1)
