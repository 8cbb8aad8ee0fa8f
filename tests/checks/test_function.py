"""Is a pair a function and its derivative? What is written to, what is kept, what is drawn, what is no number."""

import numpy as np
import pytest

from scratchvae.checks import check_gradients, check_vjp
from scratchvae.checks.vjp import check
from scratchvae.checks.vjp.batch import cuts
from scratchvae.checks.vjp.call import Pair
from scratchvae.gaussian import reparameterize, reparameterize_backward
from scratchvae.layers import dense, dense_backward, relu, sigmoid, tanh, tanh_backward
from scratchvae.vae import VAE

R = np.random.default_rng(7)
X = R.standard_normal((5, 4))
DENSE = {"x": X, "W": R.standard_normal((4, 3)), "b": R.standard_normal(3)}
MU, LOGVAR, EPS = R.standard_normal((3, 6, 2))
Q, NOISE = {"mu": MU, "logvar": LOGVAR}, {"eps": EPS}


def only(report):
    """The one finding of a report."""
    assert len(report.findings) == 1, str(report)
    return report.findings[0]


# -- noise -------------------------------------------------------------------------------------------------------------


def test_noise_drawn_inside_the_forward(rng):
    def noisy(mu, logvar):
        eps = rng.standard_normal(mu.shape)
        return mu + np.exp(0.5 * logvar) * eps, (np.exp(0.5 * logvar), eps)

    report = check_vjp(noisy, reparameterize_backward, Q)
    assert only(report).cause == "noise-redrawn"
    assert {row.status for row in report.rows} == {"untested"}
    assert not report.ok


def test_noise_drawn_inside_the_backward(rng):
    redrawn = check_vjp(
        reparameterize, lambda dz, c: (dz, 0.5 * dz * c[0] * rng.standard_normal(dz.shape)), Q, constants=NOISE
    )
    finding = only(redrawn)
    assert (finding.inputs, finding.cause) == (("logvar",), "noise-redrawn")


def writes_dy(dy, x):
    dy *= 2 * x
    return dy


def writes_x(x):
    noisy = x**2 + np.random.default_rng().standard_normal(x.shape)
    x *= 1.0 + 1e-9
    return noisy, x.copy()


@pytest.mark.parametrize(
    ("forward", "backward"),
    [
        (lambda x: (x**2 + np.random.default_rng().standard_normal(x.shape), x), writes_dy),
        (writes_x, lambda dy, x: 2 * dy * x),
    ],
)
def test_redrawn_noise_is_found_beside_a_write(forward, backward):
    report = check_vjp(forward, backward, {"x": X})
    assert {finding.cause for finding in report.findings} == {"mutates-input", "noise-redrawn"}
    assert [row.status for row in report.rows] == ["untested"]


# -- what belongs to the caller ----------------------------------------------------------------------------------------


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


WRITERS = {
    "forward writes x": (in_place_forward, lambda dy, _: 2 * dy, "x", "forward writes into x"),
    "backward writes dy": (relu, in_place_dy, "dy", "backward writes into dy"),
    "backward writes its cache": (sigmoid, in_place_cache, "y", "backward writes into"),
    "backward writes the same value": (relu, same_value_again, "dy", "backward writes into its argument"),
}


@pytest.mark.parametrize("name", WRITERS)
def test_writing_into_what_the_caller_owns(name):
    forward, backward, fault, words = WRITERS[name]
    finding = check_vjp(forward, backward, {"x": X}).findings[0]
    assert (finding.inputs, finding.cause) == ((fault,), "mutates-input")
    assert words in finding.message


def test_constants_are_not_written_to_either():
    def forward(mu, logvar, eps):
        eps *= np.exp(0.5 * logvar)
        return mu + eps, eps

    finding = only(check_vjp(forward, lambda dz, c: (dz, 0.5 * dz * c), Q, constants={"eps": EPS.copy()}))
    assert (finding.inputs, finding.cause) == (("eps",), "mutates-input")


def test_the_checks_do_not_touch_what_they_are_given(rng):
    inputs = {name: a.copy() for name, a in DENSE.items()}
    check_vjp(dense, lambda dy, c: (dy @ c[1].T, c[0].T @ dy / 5, dy.sum(axis=0)), inputs, rng=rng)
    for name, a in DENSE.items():
        np.testing.assert_array_equal(inputs[name], a)
        assert inputs[name].flags.writeable


# -- layers that keep their own things ---------------------------------------------------------------------------------


class Affine:
    """A layer of a course: x, dW and db are its own attributes; fill says how it writes its gradients."""

    def __init__(self, fill):
        self.fill, self.W, self.b = fill, DENSE["W"].copy(), DENSE["b"].copy()
        self.dW, self.db = np.zeros((4, 3)), np.zeros(3)
        self.grads = {"W": np.zeros((4, 3)), "b": np.zeros(3)}

    def forward(self, x, W, b):
        self.x, self.W, self.b = x, W, b
        return x @ W + b, None

    def backward(self, dy, _):
        dW, db = self.x.T @ dy, dy.sum(axis=0)
        if self.fill == "rebound":
            self.dW, self.db = dW, db
        elif self.fill == "in place":
            self.dW[:], self.db[:] = dW, db
        elif self.fill == "dict":
            self.grads["W"], self.grads["b"] = dW, db
            return dy @ self.W.T, self.grads["W"], self.grads["b"]
        elif self.fill == "dict in place":
            self.grads["W"][...], self.grads["b"][...] = dW, db
            return dy @ self.W.T, self.grads["W"], self.grads["b"]
        elif self.fill == "zeroed":
            self.dW[:], self.db[:] = 0, 0
            self.dW += dW
            self.db += db
        elif self.fill == "grows":
            self.dW += dW
            self.db += db
        elif self.fill == "rebound and grows":
            self.dW, self.db = self.dW + dW, self.db + db
        return dy @ self.W.T, self.dW, self.db


def bound(layer):
    return layer.forward, layer.backward


def by_closure(layer):
    return lambda x, W, b: layer.forward(x, W, b), lambda dy, c: layer.backward(dy, c)


def by_cache(layer):
    return lambda x, W, b: (layer.forward(x, W, b)[0], layer), lambda dy, c: c.backward(dy, None)


@pytest.mark.parametrize("reached", [bound, by_closure, by_cache])
@pytest.mark.parametrize("fill", ["rebound", "in place", "dict", "dict in place", "zeroed"])
def test_what_a_layer_does_to_its_own_is_its_own_business(fill, reached):
    report = check_vjp(*reached(Affine(fill)), DENSE)
    assert report.ok, str(report)


@pytest.mark.parametrize("reached", [bound, by_closure, by_cache])
@pytest.mark.parametrize("fill", ["grows", "rebound and grows"])
def test_a_gradient_that_grows_from_call_to_call_accumulates(fill, reached):
    finding = only(check_vjp(*reached(Affine(fill)), DENSE))
    assert (finding.inputs, finding.cause) == (("W", "b"), "accumulates")


def test_nodes_that_are_never_zeroed_accumulate():
    """Every node adds to its own gradient and passes it on: the second answer is not twice the first."""

    class Node:
        def __init__(self, value):
            self.value, self.grad = value, 0.0

    def forward(x):
        a, b = Node(x), Node(x * x)
        return b.value * b.value, (a, b)

    def backward(dy, nodes):
        a, b = nodes
        b.grad = b.grad + 2 * b.value * dy
        a.grad = a.grad + 2 * a.value * b.grad
        return a.grad

    finding = only(check_vjp(forward, backward, {"x": X}))
    assert (finding.inputs, finding.cause) == (("x",), "accumulates")


def test_a_model_that_never_zeroes_its_gradients_accumulates(rng):
    class Grows(VAE):
        kept = None

        def backward(self, dobjective, cache, trace=None):
            grads = super().backward(dobjective, cache, trace)
            self.kept = grads if self.kept is None else {n: g + self.kept[n] for n, g in grads.items()}
            return self.kept

    model = Grows(5, (4,), 2, "tanh", rng=rng, dtype="float64")
    finding = only(check_gradients(model, rng.random((3, 5))))
    assert (finding.inputs, finding.cause) == (tuple(model.params), "accumulates")


def test_a_cache_that_is_handed_over_has_to_be_used():
    """The layer promises a cache and keeps x elsewhere: a second forward before the backward spoils the first."""
    state = {}

    def forward(x):
        state["x"] = x
        return x * x, (x,)

    finding = only(check_vjp(forward, lambda dy, _: 2 * dy * state["x"], {"x": X}))
    assert finding.cause == "mutates-input"
    assert "kept outside the cache" in finding.message


# -- precision ---------------------------------------------------------------------------------------------------------


def inside_32(x):
    y = np.tanh(x.astype("float32")).astype(float)
    return y, y


@pytest.mark.parametrize(
    ("forward", "backward", "where"),
    [
        (lambda x: (np.tanh(x).astype("float32"), np.tanh(x)), tanh_backward, "y"),
        (inside_32, tanh_backward, "x"),
        (tanh, lambda dy, y: (dy * (1 - y * y)).astype("float32"), "x"),
    ],
)
def test_float32_is_one_finding(forward, backward, where):
    for seed in range(5):
        x = np.random.default_rng(seed).standard_normal((5, 4))
        finding = only(check_vjp(forward, backward, {"x": x}))
        assert (finding.inputs, finding.cause) == ((where,), "precision")


def test_float32_inputs_are_widened_and_still_tested():
    inputs = {name: a.astype("float32") for name, a in DENSE.items()}
    report = check_vjp(dense, dense_backward, inputs)
    assert (only(report).cause, only(report).inputs) == ("precision", ("x", "W", "b"))
    assert {row.status for row in report.rows} == {"ok"}
    wrong = check_vjp(dense, lambda dy, c: (dy @ c[1].T, -c[0].T @ dy, dy.sum(axis=0)), inputs)
    assert [finding.cause for finding in wrong.findings] == ["sign", "precision"]


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_outputs_that_cancel_are_not_called_float32(scale):
    def centred(x):
        return (x - x.mean()).sum(), x.shape

    for seed in range(20):
        x = scale * np.random.default_rng(seed).standard_normal((6, 3))
        report = check_vjp(centred, lambda dy, shape: np.zeros(shape), {"x": x})
        assert "precision" not in {finding.cause for finding in report.findings}, str(report)


# -- shapes of all kinds -----------------------------------------------------------------------------------------------


def test_no_axis_and_one_number():
    report = check_vjp(lambda s: (s * s, s), lambda dy, s: 2 * s, {"s": np.array(0.7)})
    finding = only(report)
    assert (finding.inputs, finding.cause) == (("s",), "elementwise-factor")
    assert "dy, the upstream gradient, is forgotten" in finding.message
    assert check_vjp(lambda s: (s * s, s), lambda dy, s: 2 * dy * s, {"s": np.array(0.7)}).ok
    assert check_vjp(lambda x: (float((x * x).sum()), x), lambda dy, x: 2 * dy * x, {"x": X}).ok
    assert check_vjp(lambda x: ([1.0, 2.0] * x, x), lambda dy, x: [dy[0], 2 * dy[1]], {"x": np.ones(2)}).ok


@pytest.mark.parametrize("rows", [1, 2])
def test_one_unit_and_one_row(rows, rng):
    inputs = {"x": rng.standard_normal((rows, 4)), "W": rng.standard_normal((4, 1)), "b": rng.standard_normal(1)}
    assert check_vjp(dense, dense_backward, inputs).ok


@pytest.mark.parametrize(
    ("forward", "backward", "words"),
    [
        (lambda x: (x, x, x), tanh_backward, "y, cache; got a tuple of 3"),
        (lambda x: 3.0, tanh_backward, "y, cache; got the number 3.0"),
        (lambda x: ({"y": x}, x), tanh_backward, "y is dict"),
        (tanh, lambda dy, y: (dy, dy), "one gradient for each of x, got 2"),
        (tanh, lambda dy, y: {"z": dy}, "gradients of x, got one of z"),
    ],
)
def test_what_is_no_pair_is_told_what_it_is(forward, backward, words):
    with pytest.raises(ValueError, match=words):
        check_vjp(forward, backward, {"x": X})


def test_parameters_in_a_dict_have_rows_of_their_own():
    def forward(x, params):
        return x @ params["W"] + params["b"], (x, params)

    def backward(dy, cache):
        x, params = cache
        return {"x": dy @ params["W"].T, "params": {"W": x.T @ dy, "b": dy.mean(axis=0)}}

    report = check_vjp(forward, backward, {"x": X, "params": {"W": DENSE["W"], "b": DENSE["b"]}})
    assert [row.name for row in report.rows] == ["x", "params.W", "params.b"]
    assert (only(report).inputs, only(report).cause) == (("params.b",), "factor")


# -- not written yet ---------------------------------------------------------------------------------------------------


def empty(*_, **__):
    raise NotImplementedError


@pytest.mark.parametrize(
    ("forward", "backward"),
    [
        (tanh, empty),
        (tanh, lambda dy, y: None),
        (tanh, lambda dy, y: ...),
        (empty, tanh_backward),
        (lambda x: None, tanh_backward),
    ],
)
def test_a_blank_is_not_written_yet(forward, backward):
    report = check_vjp(forward, backward, {"x": X})
    assert [row.status for row in report.rows] == ["not written yet"]
    assert not report.findings
    assert not report.ok
    assert "x not written yet" in str(report)


def test_one_blank_of_three():
    report = check_vjp(dense, lambda dy, c: (dy @ c[1].T, ..., dy.sum(axis=0)), DENSE)
    assert [row.status for row in report.rows] == ["ok", "not written yet", "ok"]


def test_what_rounding_leaves_of_a_gradient_that_is_zero_is_no_float32():
    """A bias in front of a softmax: its gradient is a sum that cancels, down to a power of two."""
    scores, rng = np.array([[0.3, -1.0, 0.7]]), np.random.default_rng(0)

    def forward(b):
        p = np.exp(scores + b) / np.exp(scores + b).sum()
        return np.log(p[0, 0]), p

    report = check_vjp(forward, lambda dy, p: {"b": dy * np.array(2.0**-56)}, {"b": np.array(0.5)}, rng=rng)
    assert not report.findings, str(report)
    assert report.rows[0].status == "untested"


def test_a_reason_that_crashes_takes_no_verdict_with_it(monkeypatch):
    def crash(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(check, "explain", crash)
    x = {"x": np.array([1.0, -2.0])}
    with pytest.raises(ZeroDivisionError):
        check_vjp(lambda x: (x * x, x), lambda dy, x: dy * x, x)
    monkeypatch.setattr(check, "FORGIVEN", (Exception,))
    report = check_vjp(lambda x: (x * x, x), lambda dy, x: dy * x, x)
    assert not report.ok
    assert [finding.message for finding in report.findings] == ["dx: wrong, and no reason was found"]


def test_a_table_that_cannot_be_cut_into_rows():
    """With one row of it an index names a second: nothing is asked of such rows."""

    def forward(E, ids):
        path = [np.zeros(E.shape[1])]
        for each in ids:
            path.append(np.tanh(E[each] + 0.5 * path[-1][::-1]))
        return np.stack(path[1:]), (E, ids)

    x = {"E": R.standard_normal((3, 4))}
    pair = Pair(forward, lambda dy, cache: {}, ["E"], {"ids": np.array([0, 2, 1])})
    assert all(row.y is not None for cut in cuts(pair, x) for row in cut.rows)


def test_float32_from_end_to_end_is_one_finding():
    x = {"x": X.astype(np.float32)}
    report = check_vjp(lambda x: ((x * x).astype(np.float32), x), lambda dy, x: 2 * dy * x, x)
    assert only(report).cause == "precision"
