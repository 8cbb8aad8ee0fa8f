"""First weights, a dense layer there and back, and the slope of tanh.

Sizes: B batch, I inputs and O outputs of a layer, D pixels, H hidden units, Z latents.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from scratchvae.checks.report import Finding, Report, Row
from scratchvae.exercises.blank import Blank, Slip, gradient, of_the_names, of_the_shape, value
from scratchvae.exercises.own.oracle import shapes
from scratchvae.exercises.own.told import in_a_row

B, I, O = 4, 6, 5  # noqa: E741


def initial_params(D, H, Z, rng):
    """The first weights, a dict: for each layer a W (I, O), from N(0, 1/I), and zeros b (O,).

    The layers: encoder.0 (D to H), mu and logvar (H to Z), decoder.0 (Z to H), logits (H to D).
    The names: "encoder.0.W", "encoder.0.b", "mu.W", ...
    """
    sizes = {
        "encoder.0": (D, H),
        "mu": (H, Z),
        "logvar": (H, Z),
        "decoder.0": (Z, H),
        "logits": (H, D),
    }
    params = {}
    for name, (n_in, n_out) in sizes.items():
        params[f"{name}.W"] = rng.standard_normal((n_in, n_out)) / np.sqrt(n_in)
        params[f"{name}.b"] = np.zeros(n_out)
    return params


class Watched(np.random.Generator):
    """Remembers the standard normal numbers that it has given."""

    given: list[np.ndarray]

    def standard_normal(self, size: Any = None, dtype: Any = np.float64, out: Any = None) -> Any:
        numbers = super().standard_normal(size, dtype, out)
        self.given.append(np.ravel(numbers).astype(float))
        return numbers

    def normal(self, loc: Any = 0.0, scale: Any = 1.0, size: Any = None) -> Any:
        return loc + scale * self.standard_normal(np.broadcast_shapes(np.shape(loc), np.shape(scale), shape_of(size)))


def shape_of(size: Any) -> tuple[int, ...]:
    return () if size is None else (size,) if np.ndim(size) == 0 else tuple(size)


def judge_params(answer: Callable[..., Any], rng: np.random.Generator) -> Report:
    """Each weight times sqrt(I) is a number that the generator gave, and no number is used twice."""
    D, H, Z = 11, 7, 3
    watched = Watched(rng.bit_generator)
    watched.given = []
    params, wanted = answer(D, H, Z, watched), shapes(D=D, H=H, Z=Z)
    report = Report("")
    used: set[int] = set()
    given = np.sort(np.concatenate([*watched.given, [np.inf]]))  # never empty
    if (text := of_the_names(params, wanted, "")) is not None:
        report.findings = [Finding(("values",), "shape", text)]
    for name, shape in wanted.items() if not report.findings else ():
        if (finding := of_the_shape(name, shape, [params[name]])) is None:
            array = np.asarray(params[name], float)
            finding = of_the_biases(name, array) if array.ndim == 1 else of_the_weights(name, array, given, used)
        report.rows.append(Row(name, shape, 0.0, "wrong" if finding else "ok"))
        report.findings += [finding] if finding else []
    return report


def of_the_biases(name: str, b: np.ndarray) -> Finding | None:
    return Finding((name,), "unknown", f"{name} is not zero") if b.any() else None


def of_the_weights(name: str, W: np.ndarray, given: np.ndarray, used: set[int]) -> Finding | None:
    """Which numbers of the generator they are, noted in used."""
    numbers = W.ravel() * np.sqrt(len(W))  # (I O,)
    right = np.searchsorted(given, numbers - 1e-9)
    if (np.abs(given[right] - numbers) > 1e-9).any():
        return Finding((name,), "factor", f"{name} is not a draw of rng from N(0, 1/I), with I the number of its rows")
    indices = set(right.tolist())
    if len(indices) < len(numbers) or indices & used:
        return Finding((name,), "unknown", f"{name} holds numbers that another place holds too: draw for each")
    used |= indices
    return None


def wrong_params(W: Callable[..., Any], b: Callable[..., Any] = lambda rng, n: np.zeros(n)) -> Callable[..., Any]:
    """In the order of the solution, with other weights W(rng, I, O) or biases b(rng, O)."""

    def answer(D: int, H: int, Z: int, rng: np.random.Generator) -> dict[str, Any]:
        params = {}
        for name, shape in shapes(D=D, H=H, Z=Z).items():
            params[name] = W(rng, *shape) if len(shape) == 2 else b(rng, *shape)
        return params

    return answer


def twins(D: int, H: int, Z: int, rng: np.random.Generator) -> dict[str, Any]:
    params = initial_params(D, H, Z, rng)
    return {**params, "logvar.W": params["mu.W"]}


INITIAL_PARAMS = Blank(
    initial_params,
    lambda rng: (11, 7, 3, rng),
    judge_params,
    (
        "Which number makes the variance of rng.standard_normal((I, O)) 1/I? And how often would you like to write "
        "the same two lines?",
        "W = n / sqrt(I) with n from N(0, 1), and b = 0, for each of the five layers",
        'a dict of sizes, {"encoder.0": (D, H), ...}; in a loop params[f"{name}.W"] = rng.standard_normal(...) / ...',
    ),
    (
        Slip(
            wrong_params(lambda rng, i, o: rng.standard_normal((i, o))),
            "factor",
            "the weights have a variance of 1: a unit adds I of them up, and tanh would be saturated from the start",
        ),
        Slip(
            wrong_params(lambda rng, i, o: rng.standard_normal((i, o)) / i),
            "factor",
            "1/I is the variance of a weight, and here it is the standard deviation",
        ),
        Slip(
            wrong_params(lambda rng, i, o: rng.standard_normal((i, o)) * np.sqrt(i)),
            "factor",
            "the weights are multiplied by the root of I: the more a unit adds up, the smaller each is to be",
        ),
        Slip(
            wrong_params(lambda rng, i, o: rng.standard_normal((i, o)) / np.sqrt(o)),
            "factor",
            "the number of outputs stands where that of inputs belongs: what does one unit add up?",
        ),
        Slip(
            wrong_params(lambda rng, i, o: rng.standard_normal((i, o)) * np.sqrt(2 / i)),
            "factor",
            "the variance is 2/I, which suits a relu, where half of the inputs are 0: here it is 1/I",
        ),
        Slip(
            wrong_params(lambda rng, i, o: rng.standard_normal((i, o)) * np.sqrt(2 / (i + o))),
            "factor",
            "the variance is 2/(I + O), a mean of both ways: here it is 1/I",
        ),
        Slip(
            wrong_params(lambda rng, i, o: np.zeros((i, o))),
            "zero",
            "all weights are zero: then all hidden units are alike, and remain so",
        ),
        Slip(
            wrong_params(lambda rng, i, o: rng.random((i, o)) / np.sqrt(i)),
            "unknown",
            "rng.random gives numbers between 0 and 1: the weights should have both signs",
        ),
        Slip(
            wrong_params(
                lambda rng, i, o: rng.standard_normal((i, o)) / np.sqrt(i), lambda rng, n: rng.standard_normal(n)
            ),
            "unknown",
            "the biases are drawn: they begin at zero",
        ),
        Slip(
            wrong_params(lambda rng, i, o: (rng.standard_normal((i, o)) / np.sqrt(i)).T),
            "shape",
            "the weights are (O, I): in y = x W the rows of W belong to the inputs",
        ),
        Slip(twins, "unknown", "mu and logvar have the same weights: each head needs a draw of its own"),
    ),
)


def dense(x, W, b):
    """y = x W + b, row by row: x (B, I), W (I, O), b (O,) -> (B, O)."""
    return x @ W + b


DENSE = value(
    dense,
    lambda x, W, b: {"y": np.einsum("bi,io->bo", x, W) + np.broadcast_to(b, (len(x), len(b)))},
    lambda rng: (rng.standard_normal((B, I)), rng.standard_normal((I, O)), rng.standard_normal(O)),
    (
        "Which sum stands behind y_bo? Which of the three arrays knows nothing of the example?",
        "y_bo = sum_i x_bi W_io + b_o",
        "a matrix product, and b, which is added to each row by itself",
    ),
    (
        Slip(lambda x, W, b: x @ W, "missing-term", "the bias is missing"),
        Slip(lambda x, W, b: x @ W - b, "sign", "the bias is subtracted"),
        Slip(lambda x, W, b: (x @ W) * b, "missing-term", "the bias is a factor, where it should be added"),
        Slip(lambda x, W, b: x @ W / len(W) + b, "factor", "a mean over the inputs: a layer adds them up"),
        Slip(lambda x, W, b: (x @ W + b).sum(axis=0), "shape", "it is summed over the batch: each row has its own y"),
        Slip(lambda x, W, b: np.maximum(x @ W + b, 0), "unknown", "there is a relu in it: this layer is straight"),
        Slip(lambda x, W, b: np.tanh(x @ W + b), "unknown", "there is a tanh in it: a head of the encoder has none"),
    ),
)


def dense_backward(dy, x, W):
    """Back through y = x W + b: dy (B, O), x (B, I), W (I, O) -> dx, dW, db, like x, W, b."""
    return dy @ W.T, x.T @ dy, dy.sum(axis=0)


DENSE_BACKWARD = gradient(
    dense_backward,
    lambda x, W, b: (x @ W + b, (x, W)),
    lambda rng: (
        {"x": rng.standard_normal((B, I)), "W": rng.standard_normal((I, O)), "b": rng.standard_normal(O)},
        {},
    ),
    (
        "Each gradient has the shape of its thing. Which products of dy with x or W have these shapes? Where is b "
        "used, and how often?",
        "dx_bi = sum_o dy_bo W_io, dW_io = sum_b x_bi dy_bo, db_o = sum_b dy_bo",
        "dy @ W.T, then x and dy the same way, then a sum over the examples",
    ),
    (
        Slip(
            lambda d, x, W: (d @ W.T, x.T @ d, d),
            "batch-sum",
            "db is not summed over the batch: b is used once for every example",
        ),
        Slip(
            lambda d, x, W: (d @ W.T, x.T @ d, d.mean(axis=0)),
            "factor",
            "db is a mean over the batch: the weights 1/B are in dy already",
        ),
        Slip(
            lambda d, x, W: (d @ W.T, x.T @ d / len(x), d.mean(axis=0)),
            "factor",
            "dW and db are divided by the number of rows: the weights 1/B are in dy already",
        ),
        Slip(lambda d, x, W: (d @ W.T, d.T @ x, d.sum(axis=0)), "shape", "dW is transposed: it has the shape of W"),
        Slip(
            lambda d, x, W: (d @ W.T, x.T @ d, d.sum(axis=1)),
            "shape",
            "db is summed over the outputs: b has an entry for each output",
        ),
        Slip(
            lambda d, x, W: (x.T @ d, d @ W.T, d.sum(axis=0)),
            "shape",
            "dx and dW are swapped: the order is that of x, W and b",
        ),
    ),
)
DENSE_BACKWARD = in_a_row(DENSE_BACKWARD, "dx", "dW", "db")


def tanh_backward(dh, h):
    """Back through h = tanh(a), from h alone: dh (B, H), h (B, H) -> da (B, H)."""
    return dh * (1 - h**2)


TANH_BACKWARD = gradient(
    tanh_backward,
    lambda a: (np.tanh(a), (np.tanh(a),)),
    lambda rng: ({"a": rng.standard_normal((B, O))}, {}),
    (
        "What is the slope of tanh, written with its value? Where is it 1, and where nearly 0?",
        "da = dh (1 - h^2), entry by entry",
        "dh * (1 - ...)",
    ),
    (
        Slip(lambda d, h: d, "elementwise-factor", "the slope of tanh is forgotten: this is what has arrived"),
        Slip(
            lambda d, h: 1 - h**2,
            "elementwise-factor",
            "this is the slope alone: what arrives from above is forgotten",
        ),
        Slip(
            lambda d, h: d * (1 - np.tanh(h) ** 2),
            "elementwise-factor",
            "tanh is taken twice: h is the output already",
        ),
        Slip(
            lambda d, h: d * h * (1 - h),
            "elementwise-factor",
            "this is the slope of the sigmoid, whose values lie between 0 and 1",
        ),
        Slip(
            lambda d, h: d * (1 - h), "elementwise-factor", "a square is missing: the slope is the same at h and at -h"
        ),
        Slip(lambda d, h: d * (h**2 - 1), "sign", "it has the wrong sign: tanh rises everywhere"),
        Slip(lambda d, h: d * (h > 0), "elementwise-factor", "this is the slope of a relu"),
    ),
)
TANH_BACKWARD = in_a_row(TANH_BACKWARD, "da")
