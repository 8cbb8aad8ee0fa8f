"""Correct formulations of the blanks on the museum of bugs."""

import numpy as np
from scipy.integrate import trapezoid
from scipy.special import logsumexp, rel_entr


def slopes_in_steps(f, gradient, x, u, h):
    ahead, behind = f(x + h * u), f(x - h * u)
    claimed = 0.0
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            claimed += gradient[i, j] * u[i, j]
    return 0.5 * (ahead - behind) / h, claimed


def slopes_of_two_sides(f, gradient, x, u, h):
    forward, backward = (f(x + h * u) - f(x)) / h, (f(x) - f(x - h * u)) / h
    return (forward + backward) / 2, np.vdot(gradient, u)


def slopes_of_a_line(f, gradient, x, u, h):
    def along(t):
        return f(x + t * u)

    return (along(h) - along(-h)) / (h - -h), np.einsum("ab,ab->", gradient, u)


def moments_by_loop(z, mu, sigma):
    first = second = 0.0
    for number in z:
        u = (number - mu) / sigma
        first, second = first + u, second + (u * u - 1)
    return first / len(z) ** 0.5, second / (2 * len(z)) ** 0.5


def moments_in_the_units_of_z(z, mu, sigma):
    K = len(z)
    return (z.mean() - mu) / (sigma / K**0.5), (np.mean((z - mu) ** 2) - sigma**2) / (sigma**2 * np.sqrt(2 / K))


def residual_by_the_bound(log_joint, log_q, step, reported):
    return np.sum(np.exp(log_q) * (log_joint - log_q)) * step - reported


def residual_by_scipy(log_joint, log_q, step, reported):
    log_px = logsumexp(log_joint) + np.log(step)
    return log_px - reported - rel_entr(np.exp(log_q), np.exp(log_joint - log_px)).sum() * step


def residual_by_loop(log_joint, log_q, step, reported):
    px = sum(np.exp(a) * step for a in log_joint)
    kl = sum(np.exp(b) * (b - a + np.log(px)) * step for a, b in zip(log_joint, log_q, strict=True))
    return np.log(px) - kl - reported


def mended_by_loop(dy, positive):
    dx = dy.copy()
    for b in range(dy.shape[0]):
        for j in range(dy.shape[1]):
            if positive[b, j]:
                dx[b, j] += dy[b, j]
    return dx


def mended_in_place_of_a_copy(dy, positive):
    through = np.array(dy)
    through[~positive] = 0
    return dy + through


FORMULATIONS = {
    "museum.slopes": [
        slopes_in_steps,
        slopes_of_two_sides,
        slopes_of_a_line,
        lambda f, g, x, u, h: ((f(x + h * u) - f(x - h * u)) / h / 2, np.sum(g * u)),
        lambda f, g, x, u, h: [(f(x - h * u) - f(x + h * u)) / (-2 * h), g.ravel() @ u.ravel()],
        lambda f, g, x, u, h: (-np.diff([f(x + h * u), f(x - h * u)])[0] / (2 * h), np.trace(g.T @ u)),
    ],
    "museum.moments": [
        moments_by_loop,
        moments_in_the_units_of_z,
        lambda z, m, s: (
            np.sqrt(len(z)) * np.mean((z - m) / s),
            np.sqrt(len(z) / 2) * (np.mean(((z - m) / s) ** 2) - 1),
        ),
        lambda z, m, s: [
            ((z - m) / s).sum() / z.size**0.5,
            ((((z - m) / s) ** 2).sum() - z.size) / (2 * z.size) ** 0.5,
        ],
        lambda z, m, s: (
            (np.average(z) - m) * len(z) ** 0.5 / s,
            ((z.var() + (z.mean() - m) ** 2) / s**2 - 1) / np.sqrt(2 / len(z)),
        ),
    ],
    "museum.identity": [
        residual_by_the_bound,
        residual_by_scipy,
        residual_by_loop,
        lambda j, q, step, r: logsumexp(j, b=step) - r - np.exp(q) @ (q - j + logsumexp(j, b=step)) * step,
        lambda j, q, step, r: trapezoid(np.exp(q) * (j - q), dx=step) - r,
        lambda j, q, step, r: (np.average(j - q, weights=np.exp(q)) - r).item(),
    ],
    "museum.mend": [
        mended_by_loop,
        mended_in_place_of_a_copy,
        lambda dy, positive: dy * (1 + positive),
        lambda dy, positive: np.where(positive, 2 * dy, dy),
        lambda dy, positive: 2 * dy - dy * ~positive,
        lambda dy, positive: np.add(dy, np.multiply(dy, positive)),
    ],
}
