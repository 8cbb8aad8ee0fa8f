"""A generative model of points in the plane: a normal density for each class.

Sizes: N points, C classes.
"""

import math

import numpy as np

from scratchvae.exercises.blank import Slip, value

N, C = 6, 3


def log_joint(x, means, variances, p_y):
    """log p(x, y) for each point and class: -> (N, C).

    x (N, 2), means (C, 2), variances (C,), p_y (C,).
    """
    squares = ((x[:, None] - means) ** 2).sum(axis=2)
    return np.log(p_y) - squares / (2 * variances) - np.log(2 * np.pi * variances)


def classes(rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Three classes of other means, widths and shares, and points among them; one so far that its density is 0."""
    p_y = rng.permutation([0.15, 0.3, 0.55])
    variances = rng.permutation([0.3, 0.8, 2.1]) * rng.uniform(0.9, 1.1, C)
    x = rng.normal(0, 1.5, (N, 2))
    x[2] = rng.choice([-1, 1], 2) * rng.uniform(48, 52, 2)
    return x, rng.normal(0, 1.5, (C, 2)), variances, p_y


def log_joint_by_coordinates(
    x: np.ndarray, means: np.ndarray, variances: np.ndarray, p_y: np.ndarray
) -> dict[str, np.ndarray]:
    """Two normal densities in one dimension each, point by point and class by class."""

    def log_normal(value: float, mean: float, variance: float) -> float:
        return -0.5 * ((value - mean) / math.sqrt(variance)) ** 2 - math.log(math.sqrt(2 * math.pi * variance))

    rows = []
    for a, b in x.tolist():
        logs = [log_normal(a, m[0], v) + log_normal(b, m[1], v) for m, v in zip(means.tolist(), variances, strict=True)]
        rows.append([math.log(p) + log for p, log in zip(p_y, logs, strict=True)])
    return {"log p(x, y)": np.array(rows)}


def squares(x: np.ndarray, means: np.ndarray) -> np.ndarray:
    return ((x[:, None] - means) ** 2).sum(axis=2)


def joint(x: np.ndarray, means: np.ndarray, variances: np.ndarray, p_y: np.ndarray) -> np.ndarray:
    """The density itself, (N, C): far away it is too small for a float, and 0."""
    return p_y * np.exp(-squares(x, means) / (2 * variances)) / (2 * np.pi * variances)


def log_of(densities: np.ndarray) -> np.ndarray:
    """Their logarithms, and minus infinity for 0."""
    with np.errstate(divide="ignore"):
        return np.log(densities)


JOINT = value(
    log_joint,
    log_joint_by_coordinates,
    classes,
    (
        "The logarithm of a product is a sum. Which three factors are there, and what is the logarithm of each? What "
        "is the squared distance of every point from every mean?",
        "log p(x, y) = log p(y) - |x - m_y|^2 / (2 v_y) - log(2 pi v_y)",
        "squares = ((x[:, None] - means) ** 2).sum(axis=2); return np.log(...) - squares / ... - np.log(...)",
    ),
    (
        Slip(
            lambda x, m, v, p: -squares(x, m) / (2 * v) - np.log(2 * np.pi * v),
            "missing-term",
            "p(y) is not in it: this is log p(x|y), and a rare class should count for less",
        ),
        Slip(
            lambda x, m, v, p: np.log(p) - squares(x, m) / (2 * v),
            "missing-term",
            "the factor in front of the exponential is missing: a wide cloud is lower at its middle than a narrow one",
        ),
        Slip(
            lambda x, m, v, p: np.log(p) - squares(x, m) / (2 * v) - np.log(v),
            "missing-term",
            "log 2 pi is missing: the same for all classes, so Bayes' rule does not notice, but p(x) does",
        ),
        Slip(
            lambda x, m, v, p: np.log(p) - squares(x, m) / (2 * v) - 0.5 * np.log(2 * np.pi * v),
            "elementwise-factor",
            "1 / sqrt(2 pi v) is the factor of one coordinate, and there are two",
        ),
        Slip(
            lambda x, m, v, p: np.log(p) + squares(x, m) / (2 * v) - np.log(2 * np.pi * v),
            "sign",
            "the density grows with the distance: a minus is missing in front of the squares",
        ),
        Slip(
            lambda x, m, v, p: np.log(p) - squares(x, m) / (2 * v) + np.log(2 * np.pi * v),
            "sign",
            "2 pi v stands below the line, so its logarithm is subtracted",
        ),
        Slip(
            lambda x, m, v, p: np.log(p) - squares(x, m) / v - np.log(2 * np.pi * v),
            "factor",
            "the squares are divided by 2 v, not by v",
        ),
        Slip(
            lambda x, m, v, p: np.log(p) - squares(x, m) / 2 * v - np.log(2 * np.pi * v),
            "elementwise-factor",
            "/ 2 * v divides by 2 and multiplies by v: brackets around the 2 v",
        ),
        Slip(
            lambda x, m, v, p: np.log(p) - squares(x, m) / (4 * v) - np.log(2 * np.pi * v),
            "factor",
            "half the squares: a mean over the coordinates, or one 2 too many? Their sum over 2 v is wanted",
        ),
        Slip(
            lambda x, m, v, p: np.log(p) - squares(x, m) / (2 * v**2) - np.log(2 * np.pi * v),
            "elementwise-factor",
            "variances are variances already: no square on them",
        ),
        Slip(
            lambda x, m, v, p: np.log(p) - squares(x, m) / (2 * v**2) - np.log(2 * np.pi * v**2),
            "elementwise-factor",
            "the variances are taken for standard deviations: they are squares already, in both places",
        ),
        Slip(
            lambda x, m, v, p: np.log(p) - squares(x, m) / (2 * np.sqrt(v)) - np.log(2 * np.pi * v),
            "elementwise-factor",
            "the squares are divided by a standard deviation: the variance belongs there",
        ),
        Slip(
            lambda x, m, v, p: np.log(p) - np.sqrt(squares(x, m)) / (2 * v) - np.log(2 * np.pi * v),
            "elementwise-factor",
            "this is the distance: its square belongs there",
        ),
        Slip(
            lambda x, m, v, p: p - squares(x, m) / (2 * v) - np.log(2 * np.pi * v),
            "elementwise-factor",
            "p(y) itself is added: its logarithm belongs there",
        ),
        Slip(
            joint,
            "missing-term",
            "this is the density: its logarithm is wanted, which stays a number where the density is too small for one",
        ),
        Slip(
            lambda x, m, v, p: log_of(joint(x, m, v, p)),
            "non-finite",
            "minus infinity for a point far away: there the density is too small for a computer, and 0. Take the "
            "logarithm of each factor, and add",
        ),
        Slip(
            lambda x, m, v, p: log_of(joint(x, m, v, p).sum(axis=1)),
            "shape",
            "this is log p(x), added up over the classes: one number for each class is wanted",
        ),
        Slip(
            lambda x, m, v, p: log_joint(x, m, v, p) - log_of(joint(x, m, v, p).sum(axis=1, keepdims=True)),
            "non-finite",
            "this is log p(y|x), divided by the sum over the classes: Bayes' rule comes after this function",
        ),
        Slip(
            lambda x, m, v, p: (np.log(p) - squares(x, m) / (2 * v) - np.log(2 * np.pi * v)).T,
            "transpose",
            "a row for each class: a row for each point is wanted",
        ),
    ),
)


def new_points(y, means, variances, eps):
    """The mean of each class in y, plus its standard deviation times eps: -> (N, 2).

    y (N,), means (C, 2), variances (C,), eps (N, 2).
    """
    return means[y] + np.sqrt(variances[y])[:, None] * eps


def noise(rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    _, means, variances, _ = classes(rng)
    return rng.permutation([0, 1, 2, 2, 0, 1]), means, variances, rng.standard_normal((N, 2))


def points_by_loop(y: np.ndarray, means: np.ndarray, variances: np.ndarray, eps: np.ndarray) -> dict[str, np.ndarray]:
    x = np.zeros(eps.shape)
    for n, c in enumerate(y.tolist()):
        for i in range(2):
            x[n, i] = means[c, i] + math.sqrt(variances[c]) * eps[n, i]
    return {"x": x}


DRAW = value(
    new_points,
    points_by_loop,
    noise,
    (
        "eps is spread around 0 with the standard deviation 1. By which factor is it to be stretched, and how far to "
        "be moved? y says which row of means belongs to each point.",
        "x = m_y + sqrt(v_y) eps",
        "return means[...] + np.sqrt(variances[...])[:, None] * ...",
    ),
    (
        Slip(
            lambda y, m, v, e: m[y] + v[y][:, None] * e,
            "elementwise-factor",
            "eps is stretched by the variance: the standard deviation, its root, belongs there",
        ),
        Slip(
            lambda y, m, v, e: m[y] + e,
            "missing-term",
            "all clouds have the width 1 here: the variances are not used",
        ),
        Slip(
            lambda y, m, v, e: m[y],
            "missing-term",
            "every point is the mean of its class: eps is not used",
        ),
        Slip(
            lambda y, m, v, e: np.sqrt(v[y])[:, None] * e,
            "missing-term",
            "all clouds lie around 0: the means are not used",
        ),
        Slip(
            lambda y, m, v, e: m[y] + e / np.sqrt(v[y])[:, None],
            "elementwise-factor",
            "divided by the standard deviation, so that a wide class comes out narrow: multiply",
        ),
        Slip(
            lambda y, m, v, e: m[y] - np.sqrt(v[y])[:, None] * e,
            "sign",
            "eps is subtracted: as good a draw, but another one. Add it, so that the two can be compared",
        ),
        Slip(
            lambda y, m, v, e: m[y] + np.sqrt(v[y])[:, None] * e[:, :1],
            "elementwise-factor",
            "one number for both coordinates: the points of a class lie on a line",
        ),
        Slip(
            lambda y, m, v, e: m[y] + np.sqrt(v[y])[:, None] * e[0],
            "elementwise-factor",
            "one row of eps for all points: each has its own",
        ),
        Slip(
            lambda y, m, v, e: m[y] + np.sqrt(v.mean()) * e,
            "elementwise-factor",
            "one width for all classes: each has its own",
        ),
        Slip(
            lambda y, m, v, e: m.mean(axis=0) + np.sqrt(v[y])[:, None] * e,
            "elementwise-factor",
            "all clouds lie around the same middle: y picks the mean, too",
        ),
        Slip(
            lambda y, m, v, e: (m[y] + e) * np.sqrt(v[y])[:, None],
            "elementwise-factor",
            "the mean is stretched, too: stretch eps first, then add the mean",
        ),
        Slip(
            lambda y, m, v, e: m[y] + np.sqrt(v[y])[:, None] + e,
            "elementwise-factor",
            "the standard deviation is added: that moves the cloud, and does not stretch it",
        ),
    ),
)
