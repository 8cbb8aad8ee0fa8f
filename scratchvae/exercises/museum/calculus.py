"""A slope along a direction: measured by a central difference, and claimed by a gradient.

Sizes: A, B of an array.
"""

from typing import Any

import numpy as np

from scratchvae.exercises.blank import Slip, value

A, B = 3, 4


def both_slopes(f, gradient, x, u, h):
    """The slope of f at x along u: by a central difference of step h, and as the gradient claims it.

    f takes an array like x to a number; gradient, x and u (A, B).
    """
    return (f(x + h * u) - f(x - h * u)) / (2 * h), (gradient * u).sum()


class Cubic:
    """f(x) = a . x + (b . x)^3, whose central differences are known."""

    def __init__(self, a: np.ndarray, b: np.ndarray) -> None:
        self.a, self.b = a, b

    def __call__(self, x: Any) -> float:
        x = np.asarray(x, dtype=float)
        return float(np.vdot(self.a, x) + np.vdot(self.b, x) ** 3)


def a_function_and_a_gradient(rng: np.random.Generator) -> tuple[Any, ...]:
    """The gradient is not that of f: what is claimed need not be true."""
    a, b, gradient, x, u = rng.standard_normal((5, A, B))
    return Cubic(a, b), gradient, x, u, float(rng.uniform(0.003, 0.01))


def slopes_in_closed_form(f: Cubic, gradient: np.ndarray, x: np.ndarray, u: np.ndarray, h: float) -> dict[str, float]:
    """((s + h t)^3 - (s - h t)^3) / 2h = 3 s^2 t + h^2 t^3, with s = b . x and t = b . u."""
    s, t = (sum(p * q for p, q in zip(f.b.flat, v.flat, strict=True)) for v in (x, u))
    linear = sum(p * q for p, q in zip(f.a.flat, u.flat, strict=True))
    claimed = sum(p * q for p, q in zip(gradient.flat, u.flat, strict=True))
    return {"measured slope": float(linear + 3 * s * s * t + h * h * t**3), "claimed slope": float(claimed)}


def measured(change: Any) -> Any:
    """A wrong answer in the first of the two alone."""
    return lambda f, g, x, u, h: (change(f, x, u, h), (g * u).sum())


def claimed(change: Any) -> Any:
    return lambda f, g, x, u, h: (both_slopes(f, g, x, u, h)[0], change(g, u))


SLOPES = value(
    both_slopes,
    slopes_in_closed_form,
    a_function_and_a_gradient,
    (
        "How far apart are the two points at which f is asked? And if every entry of x moves by its entry of u, which "
        "sum does the gradient predict?",
        "(f(x + h u) - f(x - h u)) / (2 h), and the sum over all entries of gradient times u",
        "(f(x + h * u) - f(...)) / (2 * h), (gradient * ...).sum()",
    ),
    (
        Slip(
            measured(lambda f, x, u, h: (f(x + h * u) - f(x)) / h),
            "missing-term",
            "this is one-sided: its error shrinks like h, that of the central difference like h squared",
        ),
        Slip(
            measured(lambda f, x, u, h: (f(x) - f(x - h * u)) / h),
            "missing-term",
            "this looks back alone: a central difference looks to both sides",
        ),
        Slip(
            measured(lambda f, x, u, h: (f(x + h * u) - f(x - h * u)) / h),
            "factor",
            "the measured slope is twice too large: how far apart are the two points?",
        ),
        Slip(
            measured(lambda f, x, u, h: (f(x + h * u) - f(x - h * u)) / 2 * h),
            "factor",
            "/ 2 * h divides by 2 and multiplies by h: brackets",
        ),
        Slip(
            measured(lambda f, x, u, h: f(x + h * u) - f(x - h * u)),
            "factor",
            "this is a difference, and no slope yet: by what is it divided?",
        ),
        Slip(
            measured(lambda f, x, u, h: (f(x - h * u) - f(x + h * u)) / (2 * h)),
            "sign",
            "the measured slope has its sign turned: the point ahead comes first",
        ),
        Slip(
            measured(lambda f, x, u, h: (f(x + h) - f(x - h)) / (2 * h)),
            "elementwise-factor",
            "here every entry moves by the same h: along u each moves by h times its entry of u",
        ),
        Slip(
            measured(lambda f, x, u, h: (f(x + h / 2 * u) - f(x - h / 2 * u)) / h),
            "unknown",
            "the step is half of h here: go a whole h to either side",
        ),
        Slip(
            measured(lambda f, x, u, h: both_slopes(f, x, x, u / np.linalg.norm(u), h)[0]),
            "elementwise-factor",
            "the measured slope is that along a u of length 1: take u as it is",
        ),
        Slip(
            lambda f, g, x, u, h: both_slopes(f, g, x, u / np.linalg.norm(u), h),
            "elementwise-factor",
            "both slopes are along a u of length 1: take u as it is",
        ),
        Slip(
            claimed(lambda g, u: np.linalg.norm(g)),
            "elementwise-factor",
            "the length of the gradient is its slope along itself: the slope along u is wanted",
        ),
        Slip(
            claimed(lambda g, u: g @ u.T),
            "shape",
            "the claimed slope is a number: multiply entry by entry, and add all up",
        ),
        Slip(
            claimed(lambda g, u: g.sum()),
            "elementwise-factor",
            "the claimed slope does not know the direction: each entry of the gradient counts as much as u moves it",
        ),
        Slip(
            claimed(lambda g, u: g * u),
            "shape",
            "the claimed slope is a number: the products of the entries add up",
        ),
        Slip(
            claimed(lambda g, u: (g * u).mean()),
            "factor",
            "the claimed slope is a mean over the entries: what they contribute adds up",
        ),
        Slip(
            claimed(lambda g, u: (g * u).sum() / np.sqrt((u * u).sum())),
            "factor",
            "the claimed slope is that along a u of length 1, the measured one is not",
        ),
        Slip(
            lambda f, g, x, u, h: both_slopes(f, g, x, u, h)[::-1],
            "transpose",
            "the two are swapped: the measured slope first",
        ),
        Slip(
            lambda f, g, x, u, h: both_slopes(f, g, x, u, h)[0] - both_slopes(f, g, x, u, h)[1],
            "shape",
            "this is how far the two are apart: return both",
        ),
    ),
)
