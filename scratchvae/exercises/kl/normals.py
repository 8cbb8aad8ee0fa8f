"""The KL of two normal densities, and the normal density that is nearest to a p with two peaks.

Sizes: G grid points.
"""

import numpy as np

from scratchvae.exercises.blank import Slip, value

G = 2001


def kl_of_normals(mu, sigma, m, s):
    """KL(N(mu, sigma^2) || N(m, s^2)) in closed form; sigma and s are standard deviations."""
    return 0.5 * ((sigma**2 + (mu - m) ** 2) / s**2 - 1 + np.log(s**2 / sigma**2))


def kl_by_quadrature(mu: float, sigma: float, m: float, s: float) -> dict[str, float]:
    """The mean of log q - log p under q, with Gauss-Hermite nodes: exact, since it is a polynomial of degree two."""
    u, weights = np.polynomial.hermite_e.hermegauss(6)  # (6,)
    z = mu + sigma * u
    log_ratio = -0.5 * u * u - np.log(sigma) + 0.5 * ((z - m) / s) ** 2 + np.log(s)
    return {"kl": float((weights * log_ratio).sum() / weights.sum())}


NORMALS = value(
    kl_of_normals,
    kl_by_quadrature,
    lambda rng: (*rng.normal(size=1), *np.exp(rng.normal(size=1)), *rng.normal(size=1), *np.exp(rng.normal(size=1))),
    (
        "Take the mean of log q(z) - log p(z) under q, term by term. What is E_q[(z - mu)^2]? And E_q[(z - m)^2], with "
        "z - m = (z - mu) + (mu - m)?",
        "E_q[(z - mu)^2] = sigma^2, and E_q[(z - m)^2] = sigma^2 + (mu - m)^2: the mixed term has the mean 0",
        "0.5 * ((sigma**2 + ...) / s**2 - 1 + np.log(... / ...))",
    ),
    (
        Slip(
            lambda mu, sigma, m, s: kl_of_normals(m, s, mu, sigma),
            "transpose",
            "this is KL(p || q): the mean is to be taken under q, whose standard deviation is sigma",
        ),
        Slip(
            lambda mu, sigma, m, s: 2 * kl_of_normals(mu, sigma, m, s),
            "factor",
            "twice what it should be: both logarithms have a 1/2 in front",
        ),
        Slip(
            lambda mu, sigma, m, s: 0.5 * ((sigma**2 + (mu - m) ** 2) / s**2 - 1 + np.log(s / sigma)),
            "missing-term",
            "log s^2 is twice log s: the logarithm is of the variances",
        ),
        Slip(
            lambda mu, sigma, m, s: 0.5 * ((sigma**2 + (mu - m) ** 2) / s**2 - 1 - np.log(s**2 / sigma**2)),
            "sign",
            "the logarithm has the wrong sign: a very narrow q has to have a large KL",
        ),
        Slip(
            lambda mu, sigma, m, s: 0.5 * ((sigma**2 + (mu - m) ** 2) / s**2 + np.log(s**2 / sigma**2)),
            "missing-term",
            "it is not 0 for two equal densities: a constant is missing",
        ),
        Slip(
            lambda mu, sigma, m, s: 0.5 * (sigma**2 / s**2 - 1 + np.log(s**2 / sigma**2)),
            "missing-term",
            "it is the same wherever the two means are",
        ),
        Slip(
            lambda mu, sigma, m, s: 0.5 * ((mu - m) ** 2 / s**2 - 1 + np.log(s**2 / sigma**2)),
            "missing-term",
            "E_q[(z - m)^2] is more than (mu - m)^2: z varies around mu",
        ),
        Slip(
            lambda mu, sigma, m, s: 0.5 * ((sigma + (mu - m) ** 2) / s - 1 + np.log(s / sigma)),
            "elementwise-factor",
            "standard deviations stand where variances belong",
        ),
        Slip(
            lambda mu, sigma, m, s: 0.5 * (sigma**2 / s**2 + (mu - m) ** 2 - 1 + np.log(s**2 / sigma**2)),
            "missing-term",
            "the distance of the means is not measured in units of s: the same distance costs less if p is wide",
        ),
        Slip(
            lambda mu, sigma, m, s: 0.5 * ((sigma**2 + (mu - m) ** 2) / sigma**2 - 1 + np.log(s**2 / sigma**2)),
            "elementwise-factor",
            "the mean square is divided by the variance of q: (z - m)^2 stands in log p",
        ),
        Slip(
            lambda mu, sigma, m, s: kl_of_normals(mu, sigma, m, s) + 0.5 * np.log(2 * np.pi),
            "missing-term",
            "log 2 pi stands in both logarithms, and their difference loses it",
        ),
        Slip(
            lambda mu, sigma, m, s: 0.5 * ((sigma**2 + (mu - m) ** 2) / s**2 - 1),
            "missing-term",
            "the logarithms of the two variances are missing",
        ),
        Slip(
            lambda mu, sigma, m, s: -kl_of_normals(mu, sigma, m, s),
            "sign",
            "this is the mean of log p - log q: the difference is turned around",
        ),
        Slip(
            lambda mu, sigma, m, s: 0.5 * (mu**2 + sigma**2 - 1 - np.log(sigma**2)),
            "missing-term",
            "this is the KL to N(0, 1): here p has a mean m and a standard deviation s of its own",
        ),
        Slip(
            lambda mu, sigma, m, s: 0.5 * ((sigma**2 + abs(mu - m)) / s**2 - 1 + np.log(s**2 / sigma**2)),
            "elementwise-factor",
            "the distance of the means enters as it is: the exponent of a normal density has its square",
        ),
    ),
)


def best_normal(z, density, step):
    """Mean and standard deviation of the normal q of least KL(p || q); density is p on a grid, (G,)."""
    mean = np.sum(z * density) * step
    return mean, np.sqrt(np.sum((z - mean) ** 2 * density) * step)


def two_peaks(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, float]:
    z, step = np.linspace(-12, 12, G, retstep=True)  # (G,)
    (a, b), (s, t), share = rng.normal(0, 2, 2), rng.uniform(0.5, 1.2, 2), rng.uniform(0.2, 0.8)
    peaks = [np.exp(-0.5 * ((z - c) / w) ** 2) / (w * np.sqrt(2 * np.pi)) for c, w in ((a, s), (b, t))]
    return z, share * peaks[0] + (1 - share) * peaks[1], float(step)


def best_by_slopes(z: np.ndarray, density: np.ndarray, step: float) -> dict[str, float]:
    """Newton's steps to where -E_p[log q] has no slope in m and in log s, from its derivatives on the grid."""
    m, log_s = 0.0, 1.0
    for _ in range(100):
        u = (z - m) * np.exp(-log_s)  # (G,)
        moments = [(density * u**k).sum() * step for k in range(3)]
        m += moments[1] / moments[0] * np.exp(log_s)
        log_s += 0.5 * (1 - 1 / ((density * ((z - m) * np.exp(-log_s)) ** 2).sum() * step))
    return {"mean": m, "standard deviation": float(np.exp(log_s))}


def moments(z: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """Sums with these weights, whatever they sum to, the mean among them: a wrong answer if not to one."""
    mean = np.sum(z * weights)
    return mean, np.sqrt(np.sum((z - mean) ** 2 * weights))


MATCHED = value(
    best_normal,
    best_by_slopes,
    two_peaks,
    (
        "-E_p[log q] = log sigma + E_p[(z - mu)^2] / (2 sigma^2) + a constant. Where is its slope in mu zero, and "
        "where in sigma?",
        "mu = E_p[z], and sigma^2 = E_p[(z - mu)^2]: q has the mean and the variance of p",
        "mean = np.sum(z * density) * step; the standard deviation is the root of such a sum, too",
    ),
    (
        Slip(
            lambda z, p, step: (np.sum(z * p), np.sqrt(np.sum((z - np.sum(z * p) * step) ** 2 * p))),
            "factor",
            "a sum over a grid is an integral only with the width of a step",
        ),
        Slip(
            lambda z, p, step: moments(z, p),
            "elementwise-factor",
            "neither sum has the width of a step, and without it a sum over a grid is no integral",
        ),
        Slip(
            lambda z, p, step: moments(z, p / G),
            "elementwise-factor",
            "np.mean divides by the number of points: an integral is the sum times the width of a step",
        ),
        Slip(
            lambda z, p, step: (np.mean(z * p), np.std(z * p)),
            "elementwise-factor",
            "these are the mean and the spread of z times the density: the density is the weight of each z",
        ),
        Slip(
            lambda z, p, step: moments(z, p * step)[::-1],
            "transpose",
            "the two are exchanged: the mean comes first",
        ),
        Slip(
            lambda z, p, step: (z[p.argmax()], moments(z, p * step)[1]),
            "elementwise-factor",
            "the first is the highest peak of p: the slope in mu is zero at the mean of p",
        ),
        Slip(
            lambda z, p, step: (moments(z, p * step)[0], 2 * np.log(moments(z, p * step)[1])),
            "elementwise-factor",
            "the second is log sigma^2: the standard deviation is wanted",
        ),
        Slip(
            lambda z, p, step: (np.sum(z * p) * step, np.sqrt(np.sum((z - np.sum(z * p) * step) ** 2 * p))),
            "factor",
            "the mean has the width of a step; the sum of the squares needs it, too",
        ),
        Slip(
            lambda z, p, step: (np.sum(z * p) * step, np.sum((z - np.sum(z * p) * step) ** 2 * p) * step),
            "elementwise-factor",
            "the second number is the variance: wanted is the standard deviation",
        ),
        Slip(
            lambda z, p, step: (np.sum(z * p) * step, np.sqrt(np.sum(z**2 * p) * step)),
            "missing-term",
            "the spread is measured from 0: it should be measured from the mean",
        ),
        Slip(
            lambda z, p, step: (z[p.argmax()], np.sqrt(np.sum((z - z[p.argmax()]) ** 2 * p) * step)),
            "elementwise-factor",
            "this is the highest peak: the slope in mu is zero at the mean of p",
        ),
        Slip(
            lambda z, p, step: (z.mean(), z.std()),
            "elementwise-factor",
            "this is the mean of the grid: each point counts with the density there",
        ),
        Slip(
            lambda z, p, step: (np.mean(z * p), np.sqrt(np.mean((z - np.sum(z * p) * step) ** 2 * p))),
            "factor",
            "the mean over the grid points is no integral: the density is to be added up with the width of a step",
        ),
    ),
)
