"""The checkers checked: right gradients pass, whatever their scale; wrong ones are found, and their cause is named."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchvae.checks import CAUSES, check_vjp
from scratchvae.checks.pixels import drawn_pixels
from scratchvae.gaussian import kl_to_standard_normal, reparameterize, reparameterize_backward
from scratchvae.layers import (
    ACTIVATIONS,
    dense,
    dense_backward,
    relu,
    relu_backward,
    sigmoid,
    sigmoid_backward,
    tanh,
    tanh_backward,
)
from scratchvae.likelihoods import LIKELIHOODS, Bernoulli

R = np.random.default_rng(7)
X, W, BIAS = R.standard_normal((5, 4)), R.standard_normal((4, 3)), R.standard_normal(3)
SQUARE = {"x": X, "W": R.standard_normal((4, 4)), "b": R.standard_normal(4)}
DENSE = {"x": X, "W": W, "b": BIAS}
MU, LOGVAR, EPS = R.standard_normal((3, 6, 2))
Q = {"mu": MU, "logvar": LOGVAR}
NOISE = {"eps": EPS}


def only(report):
    """The one finding of a report."""
    assert len(report.findings) == 1, str(report)
    return report.findings[0]


# -- right gradients ---------------------------------------------------------------------------------------------------


def composed(ops, weights):
    """A forward and its backward, composed from simple ones: affine maps, curves, products, a skip, a sum."""

    def forward(x, **W):
        tape, h = [], x
        for i, op in enumerate(ops):
            tape.append(h)
            if op == "affine":
                h = h @ W[f"W{i}"] + 0.5
            elif op == "tanh":
                h = np.tanh(h)
            elif op == "sin":
                h = np.sin(h)
            elif op == "square":
                h = h * h
            elif op == "times x":
                h = h * x
            elif op == "skip":
                h = h + x
        return h.sum(axis=1), (tape, x, W)

    def backward(dy, cache):
        tape, x, W = cache
        grads = {}
        dh, dx = np.broadcast_to(dy[:, None], x.shape), np.zeros(x.shape)
        for i, op in reversed(list(enumerate(ops))):
            h = tape[i]
            if op == "affine":
                grads[f"W{i}"] = h.T @ dh
                dh = dh @ W[f"W{i}"].T
            elif op == "tanh":
                dh = dh * (1 - np.tanh(h) ** 2)
            elif op == "sin":
                dh = dh * np.cos(h)
            elif op == "square":
                dh = 2 * dh * h
            elif op == "times x":
                dx, dh = dx + dh * h, dh * x
            elif op == "skip":
                dx = dx + dh
        return {"x": dx + dh, **grads}

    return forward, backward


OPS = st.lists(st.sampled_from(["affine", "tanh", "sin", "square", "times x", "skip"]), min_size=1, max_size=6)


@given(ops=OPS, seed=st.integers(0, 10_000), scale=st.sampled_from([1e-8, 1e-3, 1.0, 3.0]))
@settings(max_examples=60, deadline=None)
def test_random_correct_functions_are_accepted(ops, seed, scale):
    rng = np.random.default_rng(seed)
    weights = {f"W{i}": 0.7 * rng.standard_normal((3, 3)) for i, op in enumerate(ops) if op == "affine"}
    forward, backward = composed(ops, weights)
    report = check_vjp(forward, backward, {"x": scale * rng.standard_normal((4, 3)), **weights}, rng=rng)
    assert report.ok, str(report)


@given(ops=OPS, seed=st.integers(0, 10_000), data=st.data())
@settings(max_examples=30, deadline=None)
def test_one_entry_by_two_thousandths_is_rejected_wherever_it_sits(ops, seed, data):
    rng = np.random.default_rng(seed)
    weights = {f"W{i}": 0.7 * rng.standard_normal((3, 3)) for i, op in enumerate(ops) if op == "affine"}
    forward, backward = composed(ops, weights)
    inputs = {"x": rng.standard_normal((4, 3)), **weights}
    name = data.draw(st.sampled_from(sorted(inputs)))
    y, cache = forward(**inputs)
    size = np.abs(backward(rng.standard_normal(y.shape), cache)[name])
    places = np.argwhere(size > 1e-2 * size.max())  # an entry whose derivative is there to be seen
    place = tuple(places[data.draw(st.integers(0, len(places) - 1))])

    def spoiled(dy, cache):
        grads = backward(dy, cache)
        grads[name][place] *= 2.001 / 2
        return grads

    finding = only(check_vjp(forward, spoiled, inputs, rng=rng))
    assert (finding.inputs[0], finding.where) == (name, place)
    assert finding.ratio == pytest.approx(2 / 2.001, rel=1e-4)


def pairwise(curve, slope):
    return lambda x: (curve(x), x), lambda dy, x: dy * slope(x)


def naive_sigmoid(x):
    return 1 / (1 + np.exp(-x))  # overflows on its way to the right answer


INNOCENT = {
    "a kink at the point itself": (relu, relu_backward, {"x": np.array([[0.0, 0.0, 1.0], [-2.0, 0.0, 3.0]])}),
    "a kink, slope 1 there": (lambda x: (np.maximum(x, 0), x), lambda dy, x: dy * (x >= 0), {"x": np.zeros((3, 2))}),
    "kinks very near": (relu, relu_backward, {"x": np.array([1e-6, -1e-6, 1e-9, -1e-9, 2.0])}),
    "many kinks": (relu, relu_backward, {"x": R.standard_normal((300, 100)) * (R.random((300, 100)) > 0.5)}),
    "abs": (*pairwise(np.abs, np.sign), {"x": np.array([0.0, -1.0, 2.0])}),
    "clip": (
        *pairwise(lambda x: np.clip(x, 0, 1), lambda x: ((x > 0) & (x < 1)) * 1.0),
        {"x": np.array([0.0, 1, 0.3, 2])},
    ),
    "max of a row": (
        lambda x: (x.max(axis=1), x),
        lambda dy, x: dy[:, None] * (x == x.max(axis=1, keepdims=True)),
        {"x": R.standard_normal((5, 4))},
    ),
    "saturated tanh": (tanh, tanh_backward, {"x": np.array([30.0, -30.0, 19.0, 0.5])}),
    "saturated through and through": (sigmoid, sigmoid_backward, {"x": np.array([40.0, 50.0, -60.0])}),
    "overflow that does no harm": (
        *pairwise(naive_sigmoid, lambda x: naive_sigmoid(x) * (1 - naive_sigmoid(x))),
        {"x": np.array([-1e4, 1e4, 0.3])},
    ),
    "large numbers": (dense, dense_backward, {"x": 1e8 * X, "W": W, "b": BIAS}),
    "small numbers": (dense, dense_backward, {"x": 1e-8 * X, "W": 1e-8 * W, "b": 1e-8 * BIAS}),
    "large outputs": (*pairwise(lambda x: 1e8 * np.sin(x), lambda x: 1e8 * np.cos(x)), {"x": X}),
    "small outputs": (*pairwise(lambda x: 1e-8 * np.sin(x), lambda x: 1e-8 * np.cos(x)), {"x": X}),
    "log near zero": (*pairwise(np.log, lambda x: 1 / x), {"x": np.array([1e-8, 1e-3, 1.0, 1e8])}),
    "a sigmoid at 1e-8": (sigmoid, sigmoid_backward, {"x": 1e-8 * X}),
    "faster than any step": (*pairwise(lambda x: np.sin(1e10 * x), lambda x: 1e10 * np.cos(1e10 * x)), {"x": X}),
    "zeros": (dense, dense_backward, {"x": np.zeros((5, 4)), "W": np.zeros((4, 3)), "b": np.zeros(3)}),
    "a single number": (lambda x: (np.exp(x), np.exp(x)), lambda dy, y: dy * y, {"x": np.array(0.3)}),
    "one row": (dense, dense_backward, {"x": X[:1], "W": W, "b": BIAS}),
    "an identity that returns dy": (lambda x: (x.copy(), None), lambda dy, _: dy, {"x": X}),
    "an empty input": (
        lambda x, e: (x * 2 + e.sum(), e.shape),
        lambda dy, s: (2 * dy, np.ones(s) * dy.sum()),
        {"x": X, "e": np.zeros((0,))},
    ),
}


@pytest.mark.parametrize("name", INNOCENT)
def test_no_false_alarm(name):
    forward, backward, inputs = INNOCENT[name]
    for seed in range(3):
        report = check_vjp(forward, backward, inputs, rng=np.random.default_rng(seed))
        assert report.ok, str(report)


@pytest.mark.parametrize("name", LIKELIHOODS)
@pytest.mark.parametrize("size", [1e-6, 1.0, 30.0, 1e4])
def test_no_false_alarm_at_huge_logits(name, size):
    likelihood = LIKELIHOODS[name]()
    logits, x = size * R.standard_normal((5, 4 * likelihood.n_params)), drawn_pixels(likelihood, 5, 4, R)
    report = check_vjp(likelihood.nll, likelihood.nll_backward, {"logits": logits}, constants={"x": x})
    assert report.ok, str(report)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_no_false_alarm_in_the_package_with_the_complex_step_as_witness(name):
    report = check_vjp(*ACTIVATIONS[name], {"x": X})
    assert report.ok
    if name in ("tanh", "sigmoid"):
        assert report.rows[0].second < 1e-14


def test_zero_on_both_sides_is_no_pass_but_no_alarm_either():
    report = check_vjp(relu, relu_backward, {"x": -np.ones((3, 2))})
    assert report.ok
    assert report.rows[0].status == "untested"
    assert str(report).startswith("relu: ok, 1 untested")
    finding = only(check_vjp(lambda x: (x * x, x), lambda dy, x: 0 * x, {"x": X}))
    assert finding.cause == "zero"


def test_integers_are_constants():
    def pick(x, index):
        return x[index], (x.shape, index)

    def pick_backward(dy, cache):
        dx = np.zeros(cache[0])
        np.add.at(dx, cache[1], dy)
        return dx

    assert check_vjp(pick, pick_backward, {"x": X, "index": np.array([0, 2, 2])}).ok


# -- wrong gradients: the cause, by name -------------------------------------------------------------------------------


def dense_with(rule):
    """The dense layer with another backward: rule(dy, x, W) -> dx, dW, db."""
    return dense, lambda dy, cache: rule(dy, *cache)


def right(dy, x, W):
    return [dy @ W.T, x.T @ dy, dy.sum(axis=0)]


def but(place, make):
    """dense's gradients, with one of the three replaced by make(dy, x, W)."""

    def rule(dy, x, W):
        grads = right(dy, x, W)
        grads[place] = make(dy, x, W)
        return tuple(grads)

    return dense_with(rule)


def curve_with(forward, rule):
    return forward, rule


def square_plus(x):
    return x * x + 3 * x, x


def gated(x, g):
    return x * np.tanh(g) + x, (x, np.tanh(g))


PLANTED = {
    # name: forward, backward, inputs, constants, input at fault, cause, words in the message
    "minus": (*but(0, lambda dy, x, W: -dy @ W.T), DENSE, {}, "x", "sign", "minus"),
    "mean over the batch": (
        *but(1, lambda dy, x, W: x.T @ dy / len(x)),
        DENSE,
        {},
        "W",
        "factor",
        "1/B of what it should be (B = 5)",
    ),
    "bias averaged": (*but(2, lambda dy, x, W: dy.mean(axis=0)), DENSE, {}, "b", "factor", "mean over the batch"),
    "a half too few": (
        reparameterize,
        lambda dz, c: (dz, dz * c[0] * c[1]),
        Q,
        NOISE,
        "logvar",
        "factor",
        "1/2 is missing",
    ),
    "times B": (*but(1, lambda dy, x, W: x.T @ dy * 5), DENSE, {}, "W", "factor", "B times"),
    "over D": (
        lambda x: ((x * x).sum(axis=1), x),
        lambda dy, x: 2 * dy[:, None] * x / 7,
        {"x": R.random((5, 7))},
        {},
        "x",
        "factor",
        "x.shape[1]",
    ),
    "odd constant": (tanh, lambda dy, y: 1.37 * dy * (1 - y * y), {"x": X}, {}, "x", "factor", "1.37 times"),
    "sigma forgotten": (
        reparameterize,
        lambda dz, c: (dz, 0.5 * dz * c[1]),
        Q,
        NOISE,
        "logvar",
        "elementwise-factor",
        "by sigma",
    ),
    "eps forgotten": (
        reparameterize,
        lambda dz, c: (dz, 0.5 * dz * c[0]),
        Q,
        NOISE,
        "logvar",
        "elementwise-factor",
        "by eps",
    ),
    "sigma squared": (
        reparameterize,
        lambda dz, c: (dz, 0.5 * dz * c[0] ** 2 * c[1]),
        Q,
        NOISE,
        "logvar",
        "elementwise-factor",
        "take sigma out",
    ),
    "mask on the output": (relu, lambda dy, m: dy, {"x": X}, {}, "x", "elementwise-factor", "mask x > 0"),
    "1 - y^2 forgotten": (tanh, lambda dy, y: dy, {"x": X}, {}, "x", "elementwise-factor", "(1 - y^2)"),
    "1 - y for 1 - y^2": (
        tanh,
        lambda dy, y: dy * (1 - y),
        {"x": X},
        {},
        "x",
        "elementwise-factor",
        "uses (1 - y) where (1 - y^2) belongs",
    ),
    "1 - y forgotten": (sigmoid, lambda dy, y: dy * y, {"x": X}, {}, "x", "elementwise-factor", "(1 - y)"),
    "at the pre-activation": (
        lambda x: (sigmoid(x)[0], x),
        lambda dy, x: dy * x * (1 - x),
        {"x": X},
        {},
        "x",
        "elementwise-factor",
        "y (1 - y) belongs",
    ),
    "|mu| for mu^2": (
        lambda mu: (np.abs(mu).sum(axis=1), mu),
        lambda d, mu: d[:, None] * mu,
        {"mu": MU},
        {},
        "mu",
        "elementwise-factor",
        "mu",
    ),
    "upstream forgotten": (
        kl_to_standard_normal,
        lambda d, c: (c[0], 0.5 * d[:, None] * (c[1] - 1)),
        Q,
        {},
        "mu",
        "elementwise-factor",
        "dy, the upstream gradient",
    ),
    "upstream forgotten by a matrix": (
        *but(1, lambda dy, x, W: x.T @ np.ones(dy.shape)),
        DENSE,
        {},
        "W",
        "elementwise-factor",
        "dy, the upstream gradient",
    ),
    "no mask on the way to W": (
        lambda x, W: (np.tanh(x @ W), (x, W, np.tanh(x @ W))),
        lambda dy, c: (dy * (1 - c[2] ** 2) @ c[1].T, c[0].T @ dy),
        {"x": X, "W": W},
        {},
        "W",
        "elementwise-factor",
        "(1 - y^2)",
    ),
    "an array nobody knows": (
        tanh,
        lambda dy, y: dy * (1 - y * y) * np.linspace(1, 2, 20).reshape(5, 4),
        {"x": X},
        {},
        "x",
        "elementwise-factor",
        "none of the arrays in play",
    ),
    "W^T, square": (*but(0, lambda dy, x, W: dy @ W), SQUARE, {}, "x", "transpose", "dy @ W^T"),
    "dW transposed, square": (*but(1, lambda dy, x, W: dy.T @ x), SQUARE, {}, "W", "transpose", "square"),
    "dW transposed": (*but(1, lambda dy, x, W: dy.T @ x), DENSE, {}, "W", "transpose", "(3, 4)"),
    "bias not summed": (*but(2, lambda dy, x, W: dy), DENSE, {}, "b", "batch-sum", ".sum(axis=0)"),
    "last row only": (*but(2, lambda dy, x, W: dy[-1]), DENSE, {}, "b", "batch-sum", "only row 4 of the 5"),
    "last rows lost": (*but(1, lambda dy, x, W: x[:3].T @ dy[:3]), DENSE, {}, "W", "batch-sum", "rows 0, 1, 2"),
    "summed to nothing": (*but(2, lambda dy, x, W: dy.sum()), DENSE, {}, "b", "shape", "an axis too many"),
    "keepdims": (
        *but(2, lambda dy, x, W: dy.sum(axis=0, keepdims=True)),
        DENSE,
        {},
        "b",
        "shape",
        "broadcast silently",
    ),
    "no gradient at all": (
        *dense_with(lambda dy, x, W: (dy @ W.T, x.T @ dy)),
        DENSE,
        {},
        "b",
        "zero",
        "no gradient for b",
    ),
    "zeros": (*but(2, lambda dy, x, W: 0 * dy[0]), DENSE, {}, "b", "zero", "never be trained"),
    "a term": (square_plus, lambda dy, x: 2 * dy * x, {"x": X}, {}, "x", "missing-term", "add 3 * dy"),
    "a term of the KL": (
        kl_to_standard_normal,
        lambda d, c: (d[:, None] * c[0], 0.5 * d[:, None] * c[1]),
        Q,
        {},
        "logvar",
        "missing-term",
        "-1/2 * dy",
    ),
    "a path at a fork": (
        gated,
        lambda dy, c: (dy * c[1], dy * c[0] * (1 - c[1] ** 2)),
        {"x": X, "g": X + 1},
        {},
        "x",
        "missing-term",
        "add dy",
    ),
    "a path through a matrix": (
        lambda x, W: (x @ W + x, (x, W)),
        lambda dy, c: (dy.copy(), c[0].T @ dy),
        {"x": X, "W": SQUARE["W"]},
        {},
        "x",
        "missing-term",
        "dy @ W^T",
    ),
    "log of zero": (
        lambda x: (x * np.log(x), x),
        lambda dy, x: dy * np.log(x),
        {"x": np.array([[0.5, 1.0], [0.0, 2.0]])},
        {},
        "y",
        "non-finite",
        "log(0)",
    ),
    "0/0 in the backward": (
        lambda x: ((x * x).sum(axis=1), x),
        lambda dy, x: 2 * dy[:, None] * x * x / x,
        {"x": np.array([[0.5, 1.0], [0.0, 2.0]])},
        {},
        "x",
        "non-finite",
        "0/0",
    ),
    "unrelated": (tanh, lambda dy, y: np.roll(dy, 1) + y, {"x": X}, {}, "x", "unknown", "by hand"),
}


def softmax(x):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True), e / e.sum(axis=1, keepdims=True)


def two_layers(x, W1, b1, W2):
    h = np.maximum(x @ W1 + b1, 0)
    return h @ W2, {"x": x, "h": h, "W1": W1, "W2": W2}


def two_layers_backward(dy, c, slope=lambda h: h >= 0):  # the slip of NumPy's MNIST tutorial
    da = dy @ c["W2"].T * slope(c["h"])
    return {"x": da @ c["W1"].T, "W1": c["x"].T @ da, "b1": da.sum(axis=0), "W2": c["h"].T @ dy}


NETWORK = {"x": X, "W1": R.standard_normal((4, 6)), "b1": R.standard_normal(6), "W2": R.standard_normal((6, 3))}
PIXELS = {"x": R.random((5, 5))}
LOGITS = {"logits": R.standard_normal((5, 5))}
PLANTED |= {
    "gradients in another order": (
        reparameterize,
        lambda dz, c: (0.5 * dz * c[0] * c[1], dz + 0.0),
        {"mu": MU, "logvar": LOGVAR},
        NOISE,
        "mu",
        "transpose",
        "in the order of the inputs",
    ),
    "a running sum the wrong way": (
        lambda x: (np.cumsum(x, axis=1), None),
        lambda dy, _: np.cumsum(dy, axis=1),
        {"x": X},
        {},
        "x",
        "transpose",
        "Jacobian",
    ),
    "dy not transposed": (
        lambda a, b: (a @ b.T, (a, b)),
        lambda dy, c: (dy @ c[1], dy @ c[0]),
        {"a": SQUARE["W"], "b": SQUARE["W"] + 1},
        {},
        "b",
        "transpose",
        "should be dy^T @ a",
    ),
    "softmax entry by entry": (softmax, lambda dy, p: dy * p * (1 - p), {"x": X}, {}, "x", "missing-term", "own entry"),
    "softmax without its shift": (softmax, lambda dy, p: dy * p, {"x": X}, {}, "x", "missing-term", "sum(axis=-1)"),
    "half of the cross-entropy": (
        Bernoulli().nll,
        lambda d, c: -d[:, None] * c[0] * (1 - c[1]),
        LOGITS,
        PIXELS,
        "logits",
        "missing-term",
        "(1 - x)",
    ),
    "dnll along the columns": (
        Bernoulli().nll,
        lambda d, c: d * (c[1] - c[0]),
        LOGITS,
        PIXELS,
        "logits",
        "shape",
        "dy[:, None]",
    ),
    "neither the mean nor its 2": (
        lambda p: ((p * p).mean(), p),
        lambda d, p: d * p,
        {"p": X},
        {},
        "p",
        "factor",
        "p.size / 2 times",
    ),
    "the mask of the output inside a network": (
        two_layers,
        two_layers_backward,
        NETWORK,
        {},
        "W1",
        "elementwise-factor",
        "multiply by mask h > 0",
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_the_cause_is_named(name):
    forward, backward, inputs, constants, fault, cause, words = PLANTED[name]
    for seed in range(2):
        report = check_vjp(forward, backward, inputs, constants=constants, rng=np.random.default_rng(seed))
        finding = report.findings[0]
        assert {f.cause for f in report.findings} == {cause}
        assert (finding.inputs[0], finding.cause) == (fault, cause), str(finding)
        assert words in finding.message, finding.message


def test_what_follows_from_a_named_cause_is_no_finding_but_no_pass():
    report = check_vjp(two_layers, two_layers_backward, NETWORK)
    assert {f.inputs[0] for f in report.findings} == {"W1", "b1"}
    rows = {row.name: row for row in report.rows}
    assert (rows["x"].status, rows["x"].note) == ("wrong", "may follow from b1")
    assert rows["W2"].status == "ok"
    assert check_vjp(two_layers, lambda dy, c: two_layers_backward(dy, c, lambda h: h > 0), NETWORK).ok


def test_every_cause_is_planted_somewhere():
    elsewhere = {"noise-redrawn", "mutates-input", "precision"}  # below: these are no derivatives
    assert {p[5] for p in PLANTED.values()} | elsewhere == set(CAUSES)


def test_a_constant_factor_is_measured():
    finding = only(check_vjp(*but(1, lambda dy, x, W: x.T @ dy / len(x)), DENSE))
    assert finding.factor == pytest.approx(5, rel=1e-9)
    assert finding.ratio == pytest.approx(5, rel=1e-9)
    both = only(check_vjp(*but(1, lambda dy, x, W: -2 * x.T @ dy), DENSE))
    assert (both.cause, both.also) == ("factor", "sign")
    assert both.factor == pytest.approx(-0.5)


def test_a_transpose_that_is_also_halved_names_both():
    finding = only(check_vjp(*but(1, lambda dy, x, W: 0.5 * dy.T @ x), SQUARE))
    assert (finding.cause, finding.also) == ("transpose", "factor")


def test_row_and_column_of_the_worst_entry():
    def spoiled(dy, cache):
        dx, dW, db = dense_backward(dy, cache)
        dW[2, 1] += 10.0
        return dx, dW, db

    finding = only(check_vjp(dense, spoiled, DENSE))
    assert (finding.inputs[0], finding.where) == ("W", (2, 1))
    assert finding.got - finding.expected == pytest.approx(10, rel=1e-6)
    assert "W[2, 1]" in str(finding)


@pytest.mark.parametrize("shape", [(40, 60), (400, 300)])
def test_one_entry_one_percent_off_in_a_large_array(shape, rng):
    inputs = {"x": rng.standard_normal((3, shape[0])), "W": rng.standard_normal(shape), "b": np.zeros(shape[1])}
    place = (shape[0] // 3, shape[1] // 2)

    def spoiled(dy, cache):
        dx, dW, db = dense_backward(dy, cache)
        dW[place] *= 1.01
        return dx, dW, db

    finding = only(check_vjp(dense, spoiled, inputs))
    assert (finding.inputs[0], finding.where, finding.cause) == ("W", place, "elementwise-factor")
    assert finding.ratio == pytest.approx(1 / 1.01, rel=1e-6)


def test_numpys_mnist_tutorial_takes_the_mask_from_the_output():
    """relu' computed as output >= 0: true everywhere. The wrong layer's mask is told from the right one."""
    finding = only(check_vjp(lambda x: (np.maximum(x, 0),) * 2, lambda dy, y: dy * (y >= 0), {"x": X}))
    assert finding.cause == "elementwise-factor"
    assert "mask x > 0" in finding.message


def test_the_backward_of_reparameterize_with_another_noise():
    other = R.standard_normal(EPS.shape)
    wrong = check_vjp(reparameterize, lambda dz, c: (dz, 0.5 * dz * c[0] * other), Q, constants=NOISE)
    assert only(wrong).cause == "elementwise-factor"
    assert check_vjp(reparameterize, reparameterize_backward, Q, constants=NOISE).ok


# -- not a function ----------------------------------------------------------------------------------------------------


def test_noise_drawn_inside_the_forward(rng):
    def noisy(mu, logvar):
        eps = rng.standard_normal(mu.shape)
        return mu + np.exp(0.5 * logvar) * eps, (np.exp(0.5 * logvar), eps)

    report = check_vjp(noisy, reparameterize_backward, Q)
    assert only(report).cause == "noise-redrawn"
    assert {row.status for row in report.rows} == {"untested"}


def test_noise_drawn_inside_the_backward(rng):
    redrawn = check_vjp(
        reparameterize, lambda dz, c: (dz, 0.5 * dz * c[0] * rng.standard_normal(dz.shape)), Q, constants=NOISE
    )
    finding = only(redrawn)
    assert (finding.inputs[0], finding.cause) == ("logvar", "noise-redrawn")


def in_place_forward(x):
    x *= 2
    return x.copy(), None


def in_place_dy(dy, mask):
    dy *= mask
    return dy


def in_place_cache(dy, y):
    y *= 1 - y
    return dy * y


def same_value_again(dy, mask):
    dy[mask] = dy[mask]
    return dy * mask


class Accumulates:
    """A layer that adds to the gradient of the last call."""

    total = 0.0

    def backward(self, dy, x):
        self.total = self.total + 2 * dy * x
        return self.total


class OneBuffer:
    """A layer that hands out the same array each time."""

    buffer = np.zeros(X.shape)

    def backward(self, dy, x):
        np.multiply(2 * dy, x, out=self.buffer)
        return self.buffer


class KeepsInput:
    """A layer that keeps x in itself instead of the cache."""

    def forward(self, x):
        self.x = x
        return x * x, None

    def backward(self, dy, _):
        return 2 * dy * self.x


keeper = KeepsInput()
WRITERS = {
    "forward writes x": (in_place_forward, lambda dy, _: 2 * dy, "x", "forward writes into x"),
    "backward writes dy": (relu, in_place_dy, "dy", "backward writes into dy"),
    "backward writes its cache": (sigmoid, in_place_cache, "cache", "backward writes into"),
    "backward writes the same value": (relu, same_value_again, "dy", "backward writes into its argument"),
    "the gradient accumulates": (
        lambda x: (x * x, x),
        lambda dy, x: Accumulates.backward(ACC, dy, x),
        "x",
        "added to the last one",
    ),
    "one buffer for all": (lambda x: (x * x, x), OneBuffer().backward, "x", "overwritten by the next"),
    "a stale cache": (keeper.forward, keeper.backward, "x", "kept outside the cache"),
}
ACC = Accumulates()


@pytest.mark.parametrize("name", WRITERS)
def test_writing_where_one_should_not(name):
    forward, backward, fault, words = WRITERS[name]
    report = check_vjp(forward, backward, {"x": X})
    finding = report.findings[0]
    assert finding.cause == "mutates-input"
    assert words in finding.message, finding.message
    assert finding.inputs[0] in (fault, "y")  # a cache that is y itself goes by that name


def test_constants_are_not_written_to_either():
    def forward(mu, logvar, eps):
        eps *= np.exp(0.5 * logvar)
        return mu + eps, eps

    finding = only(check_vjp(forward, lambda dz, c: (dz, 0.5 * dz * c), Q, constants={"eps": EPS.copy()}))
    assert (finding.inputs[0], finding.cause) == ("eps", "mutates-input")


def test_float32_in_four_places():
    inputs_32 = {name: a.astype("float32") for name, a in DENSE.items()}
    finding = only(check_vjp(dense, dense_backward, inputs_32))
    assert (finding.cause, finding.inputs[0]) == ("precision", "x")

    def output_32(x):
        return np.tanh(x).astype("float32"), np.tanh(x)

    assert only(check_vjp(output_32, tanh_backward, {"x": X})).cause == "precision"

    def inside_32(x):
        y = np.tanh(x.astype("float32")).astype(float)
        return y, y

    assert only(check_vjp(inside_32, tanh_backward, {"x": X})).cause == "precision"

    def gradient_32(dy, y):
        return (dy * (1 - y * y)).astype("float32")

    assert only(check_vjp(tanh, gradient_32, {"x": X})).cause == "precision"


# -- how it is called, and what it looks like --------------------------------------------------------------------------


def test_gradients_by_name_by_place_and_alone():
    assert check_vjp(dense, named, DENSE).ok
    assert check_vjp(dense, dense_backward, DENSE).ok
    assert check_vjp(tanh, tanh_backward, {"x": X}).ok


def named(dy, cache):
    dx, dW, db = dense_backward(dy, cache)
    return {"db": db, "W": dW, "dx": dx}


@pytest.mark.parametrize(
    ("forward", "backward", "inputs", "text"),
    [
        (tanh, tanh_backward, {"x": np.arange(3)}, "at least one array of floats, got x"),
        (dense, lambda dy, c: (1, 2, 3, 4), DENSE, "one gradient for each of x, W, b, got 4"),
        (dense, lambda dy, c: {"V": c[0]}, DENSE, "gradients of x, W, b, got one of V"),
        (lambda x: x * x, tanh_backward, {"x": X}, "the pair y, cache, got ndarray"),
    ],
)
def test_a_call_that_makes_no_sense_says_so(forward, backward, inputs, text):
    with pytest.raises(ValueError, match=text):
        check_vjp(forward, backward, inputs)


def test_the_report_in_a_terminal_and_in_a_notebook():
    report = check_vjp(*but(1, lambda dy, x, W: x.T @ dy / len(x)), DENSE, title="dense <mine>")
    lines = str(report).splitlines()
    assert lines[0] == "dense <mine>: 1 finding"
    assert lines[1].split() == ["name", "shape", "error", "complex", "step"]
    assert [line.split()[0] for line in lines[2:5]] == ["x", "W", "b"]
    assert "expected" in lines[5]
    assert "take it in the loss only" in lines[6]
    page = report._repr_html_()
    assert "dense &lt;mine&gt;" in page
    assert page.count("<tr") == 4
    assert "take it in the loss only" in page
    assert str(check_vjp(tanh, tanh_backward, {"x": X})).startswith("tanh: ok")


def slope(line, upper, lower):
    """The slope of a curve between two step sizes, in decades over decades."""
    h, e = line.get_data()
    i, j = np.argmin(np.abs(np.log(h / upper))), np.argmin(np.abs(np.log(h / lower)))
    return np.log(e[i] / e[j]) / np.log(h[i] / h[j])


def test_the_figure_has_a_v_and_slopes_two_and_one():
    forward, backward = lambda x, w: (np.tanh(x) * w, (x, w)), lambda dy, c: (dy * c[1], dy * np.tanh(c[0]))
    figure = check_vjp(forward, backward, {"x": X, "w": X + 1}).plot()  # dx is wrong, dw is right
    left, right = figure.axes
    wrong, _ = right.lines[:2]
    assert slope(wrong, 1e-3, 1e-5) == pytest.approx(1, abs=0.05)
    report = check_vjp(tanh, tanh_backward, {"x": X})
    left, right = report.plot().axes
    assert slope(right.lines[0], 1e-2, 1e-4) == pytest.approx(2, abs=0.05)
    h, error = left.lines[0].get_data()
    assert 1e-7 < h[np.nanargmin(error)] < 1e-3  # the V: truncation to the right of it, rounding to the left
    assert np.nanmin(error) < 1e-8 < error[0]


def test_the_checks_do_not_touch_what_they_are_given(rng):
    inputs = {name: a.copy() for name, a in DENSE.items()}
    check_vjp(*but(1, lambda dy, x, W: x.T @ dy / len(x)), inputs, rng=rng)
    for name, a in DENSE.items():
        np.testing.assert_array_equal(inputs[name], a)
        assert inputs[name].flags.writeable
