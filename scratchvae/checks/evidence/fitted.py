"""The z inside an objective that cannot be listened to, from how its value depends on eps.

The value is a known function of z = shift + spread * eps, such as -log p(x|z): the two are fitted.

Sizes: E noises, B rows, Z latents.
"""

from collections.abc import Callable

import numpy as np

from scratchvae.checks.evidence.readings import AS_AGREED, READINGS

SOLVED = 1e-8  # of the largest value, what a fit may leave over
ROUNDS, POLISH = 60, 3
Start = tuple[np.ndarray, np.ndarray]  # shift and spread, (B, Z) each


def fitted(
    value_at: Callable[[np.ndarray, int], np.ndarray],
    eps: np.ndarray,
    values: np.ndarray,
    starts: list[Start],
    up_to: bool,
) -> Start | None:
    """shift and spread with values (E, B) = value_at(shift + spread * eps, row), eps (E, Z); None if none are found.

    up_to: up to a number for each row.
    """
    found = []
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
        found.append(theta.reshape(2, -1))
    shift, spread = np.stack(found, axis=1)
    return shift, spread


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
        h = 1e-6 * np.maximum(np.abs(theta), 1e-2)  # (P,)
        J = np.stack([(left(theta + step) - left(theta - step)) / (2 * step.sum()) for step in np.diag(h)], axis=1)
        while damping < 1e8:
            A = J.T @ J
            move = np.linalg.solve(A + damping * np.diag(np.diag(A) + 1e-12), -J.T @ r)  # (P,)
            if (after := left(theta + move)) @ after < r @ r:
                theta, r, damping = theta + move, after, damping / 10
                break
            damping *= 10
        else:
            break
    return theta if np.abs(r).max() <= allowed else None
