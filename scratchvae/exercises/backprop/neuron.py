"""One neuron: the slopes on its edges, the way back through tanh, and a slope by differences.

Sizes: B batch, O outputs.
"""

import numpy as np
from numpy.polynomial import Polynomial

from scratchvae.exercises.blank import Slip, gradient, value

B, O = 4, 3  # noqa: E741  the names of the formulas


def edge_slopes(x, w, b):
    """da/dx, da/dw and da/db of a = w x + b, all of them numbers."""
    return w, x, 1


def edges_by_steps(x: float, w: float, b: float) -> dict[str, float]:
    """a is linear in each of the three, so a step of 1 is as good as a small one."""
    a = w * x + b
    return {"da/dx": w * (x + 1) + b - a, "da/dw": (w + 1) * x + b - a, "da/db": w * x + (b + 1) - a}


EDGES = value(
    edge_slopes,
    edges_by_steps,
    lambda rng: tuple(rng.normal(0, 2, 3).tolist()),
    (
        "Raise x by 0.1 and leave w and b alone: by how much does w x + b rise? Then the same for w, and for b.",
        "a product has the other factor for its slope: da/dx = w, da/dw = x; and b is added as it is",
        "return w, ..., ... in the order x, w, b",
    ),
    (
        Slip(
            lambda x, w, b: (x, w, 1),
            "transpose",
            "the first two are swapped: when w moves, it is x that multiplies the move",
        ),
        Slip(
            lambda x, w, b: (w, x, b),
            "elementwise-factor",
            "the third: b is added, so how far does a move when b moves by 1?",
        ),
        Slip(
            lambda x, w, b: (w, x, 0),
            "zero",
            "the third: b is a constant only while x or w moves; here b itself moves",
        ),
        Slip(
            lambda x, w, b: (w + b, x + b, 1),
            "missing-term",
            "b stands still while x or w moves: it adds nothing to their slopes",
        ),
        Slip(
            lambda x, w, b: (w * x, w * x, b),
            "elementwise-factor",
            "these are the parts of a itself: wanted is by how much a moves when x, w or b moves by 1",
        ),
        Slip(
            lambda x, w, b: (0.01 * w, 0.01 * x, 0.01),
            "factor",
            "this is how far a moves for a step of 0.01: a slope is the move divided by the step",
        ),
        Slip(
            lambda x, w, b: (1, 1, 1),
            "elementwise-factor",
            "x and w are multiplied with each other: a move of one of them is multiplied by the other",
        ),
        Slip(
            lambda x, w, b: tuple((1 - np.tanh(w * x + b) ** 2) * slope for slope in (w, x, 1)),
            "elementwise-factor",
            "these are the slopes of y: wanted are those of a, before the tanh",
        ),
        Slip(
            lambda x, w, b: tuple(np.tanh(w * x + b) * slope for slope in (w, x, 1)),
            "elementwise-factor",
            "a tanh is in it: wanted are the slopes of a, which stands before the tanh",
        ),
    ),
)


def through_tanh(dy, y):
    """What reaches a through y = tanh(a), entry by entry, from dy and y, arrays of one shape."""
    return dy * (1 - y**2)


TANH = gradient(
    through_tanh,
    lambda a: (np.tanh(a), (np.tanh(a),)),
    lambda rng: ({"a": rng.standard_normal((B, O))}, {}),
    (
        "tanh a = s / c with s = e^a - e^-a and c = e^a + e^-a. Of what is c the slope, and of what is s? Which "
        "combination of them does the quotient rule give, and how is it written with y = s / c?",
        "(c c - s s) / c^2 = 1 - y^2, times what arrives, dy",
        "dy * (1 - ...)",
    ),
    (
        Slip(
            lambda dy, y: 1 - y**2,
            "elementwise-factor",
            "this is the slope alone: the chain rule multiplies it by what arrives, dy",
        ),
        Slip(
            lambda dy, y: dy * (1 - np.tanh(y) ** 2),
            "elementwise-factor",
            "tanh was taken twice: y is the output, so it is tanh(a) already",
        ),
        Slip(
            lambda dy, y: dy * (1 - y),
            "elementwise-factor",
            "1 - y falls from 2 to 0: the slope of tanh is the same at a and at -a",
        ),
        Slip(
            lambda dy, y: dy * y * (1 - y),
            "elementwise-factor",
            "y (1 - y) is the slope of the sigmoid: tanh rises from -1 to 1",
        ),
        Slip(lambda dy, y: dy * (y**2 - 1), "sign", "it has the wrong sign: tanh rises everywhere"),
        Slip(
            lambda dy, y: dy * (1 + y**2),
            "elementwise-factor",
            "this slope grows far out, where tanh is flat: look at the sign of y^2",
        ),
        Slip(
            lambda dy, y: dy * (1 - y) ** 2,
            "elementwise-factor",
            "(1 - y)^2 is 4 far to the left, where tanh is flat: which terms does it square?",
        ),
        Slip(
            lambda dy, y: dy * (1 + y) ** 2,
            "elementwise-factor",
            "(1 + y)^2 is 4 far to the right, where tanh is flat",
        ),
        Slip(
            lambda dy, y: dy * (1 - 2 * y),
            "elementwise-factor",
            "1 - 2 y falls from 3 to -1: tanh rises everywhere, and is flat far out",
        ),
        Slip(
            lambda dy, y: dy * (2 - y**2),
            "elementwise-factor",
            "this slope is 2 at a = 0 and 1 far out, where tanh is flat",
        ),
        Slip(
            lambda dy, y: dy * y**2,
            "elementwise-factor",
            "y^2 is 0 at a = 0, where tanh is steepest, and 1 far out, where it is flat",
        ),
        Slip(
            lambda dy, y: dy / (1 - y**2),
            "elementwise-factor",
            "dy is divided by the slope: which way does the chain rule use it?",
        ),
        Slip(lambda dy, y: dy * y, "elementwise-factor", "dy is multiplied by the output: wanted is the slope there"),
        Slip(lambda dy, y: dy * (y > 0), "elementwise-factor", "this is the slope of relu, not that of tanh"),
        Slip(
            lambda dy, y: dy * (1 - y**2).mean(),
            "elementwise-factor",
            "all entries share one mean slope: each has its own",
        ),
    ),
)


def central_difference(f, x, h):
    """The slope of f at x from two values of f, a step h to either side of x: numbers."""
    return (f(x + h) - f(x - h)) / (2 * h)


def of_a_cubic(f: Polynomial, x: float, h: float) -> dict[str, float]:
    """f'(x) + h^2 f'''/6: for a polynomial of degree three that is all there is."""
    return {"slope": float(f.deriv()(x) + h**2 * f.coef[3])}


DIFFERENCE = value(
    central_difference,
    of_a_cubic,
    lambda rng: (Polynomial(rng.normal(size=4)), float(rng.normal()), float(rng.uniform(0.2, 0.6))),
    (
        "How far is it from x - h to x + h? By how much does f change on that way?",
        "(f(x + h) - f(x - h)) / (2 h)",
        "(f(...) - f(...)) / (2 * h), with both brackets",
    ),
    (
        Slip(
            lambda f, x, h: (f(x + h) - f(x)) / h,
            "missing-term",
            "this looks to one side only: the step goes to either side of x",
        ),
        Slip(
            lambda f, x, h: (f(x) - f(x - h)) / h,
            "missing-term",
            "this looks back only: the step goes to either side of x",
        ),
        Slip(
            lambda f, x, h: (f(x + h) - f(x - h)) / h,
            "factor",
            "twice what it should be: how far apart are x - h and x + h?",
        ),
        Slip(
            lambda f, x, h: (f(x - h) - f(x + h)) / (2 * h),
            "sign",
            "it has the wrong sign: a rising f has a positive slope",
        ),
        Slip(
            lambda f, x, h: (f(x + h) - f(x - h)) / 2 * h,
            "factor",
            "/ 2 * h divides by 2 and multiplies by h: put 2 * h in brackets",
        ),
        Slip(
            lambda f, x, h: f(x + h) - f(x - h) / (2 * h),
            "missing-term",
            "only f(x - h) is divided: put the difference in brackets",
        ),
        Slip(
            lambda f, x, h: f(x + h) - f(x - h),
            "factor",
            "this is the change of f: a slope is a change over the way that it took",
        ),
        Slip(
            lambda f, x, h: (f(x + h) + f(x - h)) / (2 * h),
            "sign",
            "a sum stands where a difference belongs: a constant f has the slope 0",
        ),
        Slip(
            lambda f, x, h: (f(x + h / 2) - f(x - h / 2)) / h,
            "factor",
            "it goes h/2 to either side: right for half the step, and wanted is a step h to either side",
        ),
        Slip(
            lambda f, x, h: (f(x + h) - f(x - h)) / 2,
            "factor",
            "half of the change of f: divide it by the whole way from x - h to x + h",
        ),
        Slip(
            lambda f, x, h: (f(x + 1e-5) - f(x - 1e-5)) / 2e-5,
            "factor",
            "the step is not h: it has a tiny one of its own, and h is an argument, so that the page can try many",
        ),
        Slip(
            lambda f, x, h: (f(x + 1e-3) - f(x - 1e-3)) / 2e-3,
            "factor",
            "the step is a thousandth, whatever h is: use the h that is handed in",
        ),
        Slip(
            lambda f, x, h: f(x + 1j * h).imag / h,
            "sign",
            "this is the complex step, which comes later: here two values of f are subtracted",
        ),
    ),
)
