"""The z inside an objective that cannot be listened to, from how its nll depends on eps.

nll(x, eps) = -log p(x|z) with z = shift + spread * eps, and -log p(x|z) is known for every z: the two are fitted.

Sizes: E noises, B rows, Z latents.
"""

from collections.abc import Callable

import numpy as np

from scratchvae.checks.quadrature import NllAt

SOLVED = 1e-8  # of the largest value, what a fit may leave over
ROUNDS = 60


def fitted(
    nll_at: NllAt,
    x: np.ndarray,
    eps: np.ndarray,
    nll: np.ndarray,
    starts: list[tuple[np.ndarray, np.ndarray]],
    up_to: bool,
) -> tuple[np.ndarray, np.ndarray] | None:
    """shift and spread, (B, Z) each, with nll (E, B) = nll_at(shift + spread * eps), eps (E, Z); None if none are found.

    starts are pairs of shift and spread, (B, Z) each. up_to: up to a number for each row of x.
    """
    found = []
    for b, row in enumerate(x):
        target = nll[:, b] - up_to * nll[:, b].mean()  # (E,)

        def left(theta: np.ndarray, row: np.ndarray = row, target: np.ndarray = target) -> np.ndarray:
            shift, spread = theta.reshape(2, -1)
            value = nll_at(shift + spread * eps, row)  # (E,)
            return value - up_to * value.mean() - target

        scale = np.abs(nll[:, b]).max()
        solutions = (solved(left, np.concatenate([d[b], s[b]]), SOLVED * scale) for d, s in starts)
        theta = next((theta for theta in solutions if theta is not None), None)
        if theta is None:
            return None
        found.append(theta.reshape(2, -1))
    shift, spread = np.stack(found, axis=1)
    return shift, spread


def solved(left: Callable[[np.ndarray], np.ndarray], theta: np.ndarray, allowed: float) -> np.ndarray | None:
    """The theta where nothing is left over, after Levenberg and Marquardt; None if it is not found."""
    damping, r = 1e-3, left(theta)
    for _ in range(ROUNDS):
        if np.abs(r).max() <= allowed:
            return theta
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
            return None
    return None
