"""The checkers checked: right gradients pass, whatever their scale; wrong ones are found, and their cause is named."""

import numpy as np
import pytest
from planted import PLANTED, but, network, two_layers

from scratchvae.checks import CAUSES, check_vjp
from scratchvae.checks.pixels import drawn_pixels
from scratchvae.gaussian import reparameterize, reparameterize_backward
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
from scratchvae.likelihoods import LIKELIHOODS

R = np.random.default_rng(7)
X, W, BIAS = R.standard_normal((5, 4)), R.standard_normal((4, 3)), R.standard_normal(3)
SQUARE = {"x": X, "W": R.standard_normal((4, 4)), "b": R.standard_normal(4)}
DENSE = {"x": X, "W": W, "b": BIAS}
MU, LOGVAR, EPS = R.standard_normal((3, 6, 2))
Q = {"mu": MU, "logvar": LOGVAR}
NOISE = {"eps": EPS}


def accused(report):
    """Does the report say that something is wrong? What it could not see is no accusation."""
    return bool(report.findings) or "wrong" in {row.status for row in report.rows}


def only(report):
    """The one finding of a report."""
    assert len(report.findings) == 1, str(report)
    return report.findings[0]


# -- right gradients ---------------------------------------------------------------------------------------------------


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
        assert not accused(report), str(report)


@pytest.mark.parametrize("name", LIKELIHOODS)
@pytest.mark.parametrize("size", [1e-6, 1.0, 30.0, 1e4])
def test_no_false_alarm_at_huge_logits(name, size):
    likelihood = LIKELIHOODS[name]()
    logits, x = size * R.standard_normal((5, 4 * likelihood.n_params)), drawn_pixels(likelihood, 5, 4, R)
    report = check_vjp(likelihood.nll, likelihood.nll_backward, {"logits": logits}, constants={"x": x})
    assert not accused(report), str(report)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_no_false_alarm_in_the_package_with_the_complex_step_as_witness(name):
    report = check_vjp(*ACTIVATIONS[name], {"x": X})
    assert report.ok
    if name in ("tanh", "sigmoid"):
        assert report.rows[0].second < 1e-14


def test_zero_on_both_sides_is_no_pass_but_no_alarm_either():
    report = check_vjp(relu, relu_backward, {"x": -np.ones((3, 2))})
    assert not report.ok
    assert not report.findings
    assert report.rows[0].status == "untested"
    assert str(report).startswith("relu: x untested")
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


# -- wrong gradients ---------------------------------------------------------------------------------------------------


def test_what_follows_from_a_named_cause_is_no_finding_but_no_pass():
    forward, backward = two_layers(lambda h: h >= 0)
    inputs = network(np.random.default_rng(0))
    report = check_vjp(forward, backward, inputs)
    assert only(report).inputs == ("x", "W1", "b1")
    rows = {row.name: row for row in report.rows}
    assert rows["W2"].status == "ok"
    assert check_vjp(*two_layers(), inputs).ok


def test_every_cause_is_planted_somewhere():
    elsewhere = {"noise-redrawn", "mutates-input", "accumulates", "precision", "non-finite"}  # these are no derivatives
    assert {plant.cause for plant in PLANTED.values()} | elsewhere == set(CAUSES)


NOT_FINITE = {
    "log of zero": (lambda x: (x * np.log(x), x), lambda dy, x: dy * np.log(x), [[0.5, 1.0], [0.0, 2.0]], "y"),
    "0/0 in the backward": (
        lambda x: ((x * x).sum(axis=1), x),
        lambda dy, x: 2 * dy[:, None] * x * x / x,
        [[0.5, 1.0], [0.0, 2.0]],
        "x",
    ),
}


@pytest.mark.parametrize("name", NOT_FINITE)
def test_what_is_not_finite_is_found(name):
    forward, backward, x, where = NOT_FINITE[name]
    finding = only(check_vjp(forward, backward, {"x": np.array(x)}))
    assert (finding.inputs, finding.cause) == ((where,), "non-finite")


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
    assert (finding.inputs, finding.where, finding.cause) == (("W",), place, "unknown")
    assert f"wrong in one entry alone, [{place[0]}, {place[1]}]" in finding.message
    assert finding.ratio == pytest.approx(1 / 1.01, rel=1e-6)


@pytest.mark.parametrize("places", [[(37, 5)], [(i, i) for i in range(60)]])
def test_a_few_entries_of_a_large_elementwise_gradient_are_not_all_of_it(places, rng):
    """Each entry of y depends on one of x: what is right must be among what is asked."""

    def spoiled(dy, x):
        dx = 2 * x * dy
        for place in places:
            dx[place] *= 1.5
        return dx

    finding = only(check_vjp(lambda x: (x * x, x), spoiled, {"x": rng.standard_normal((200, 100))}))
    assert (finding.cause, finding.where in places) == ("unknown", True)
    assert "wrong in one entry alone" in finding.message
    assert "that were measured" in finding.message


def test_numpys_mnist_tutorial_takes_the_mask_from_the_output():
    """relu' computed as output >= 0: true everywhere. The wrong layer's mask is told from the right one."""
    finding = only(check_vjp(lambda x: (np.maximum(x, 0),) * 2, lambda dy, y: dy * (y >= 0), {"x": X}))
    assert finding.cause == "elementwise-factor"
    assert finding.repair == "multiply dy by (x > 0)"


def test_the_backward_of_reparameterize_with_another_noise():
    other = R.standard_normal(EPS.shape)
    wrong = check_vjp(reparameterize, lambda dz, c: (dz, 0.5 * dz * c[0] * other), Q, constants=NOISE)
    assert only(wrong).cause == "elementwise-factor"
    assert check_vjp(reparameterize, reparameterize_backward, Q, constants=NOISE).ok


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
        (lambda x: x * x, tanh_backward, {"x": X}, "y, cache; got an array of shape"),
    ],
)
def test_a_call_that_makes_no_sense_says_so(forward, backward, inputs, text):
    with pytest.raises(ValueError, match=text):
        check_vjp(forward, backward, inputs)


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
