"""docs/derivations/05_layers.md, line by line: loops over indices, and definitions with plain exponentials."""

import itertools
import math

import numpy as np
import pytest

from scratchvae.layers import (
    dense,
    dense_backward,
    layer_norm,
    layer_norm_backward,
    mlp,
    relu,
    relu_backward,
    sigmoid,
    sigmoid_backward,
    softplus,
    softplus_backward,
    tanh,
    tanh_backward,
)

B, IN, OUT = 3, 4, 2


@pytest.fixture
def layer(rng):
    x, W, b, dy = (rng.standard_normal(shape) for shape in ((B, IN), (IN, OUT), OUT, (B, OUT)))
    y, cache = dense(x, W, b)
    dx, dW, db = dense_backward(dy, cache)
    return {"x": x, "W": W, "b": b, "dy": dy, "y": y, "dx": dx, "dW": dW, "db": db}


def jacobian(f, x, h=1e-6):
    """d f(x)_n / d x_m for all entries, (M, N), one entry of x at a time."""
    rows = []
    for index in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[index] = h
        rows.append(((f(x + step) - f(x - step)) / (2 * h)).ravel())
    return np.array(rows)


@pytest.mark.equation("chain-rule")
def test_the_sum_over_all_outputs(layer):
    J = jacobian(lambda x: dense(x, layer["W"], layer["b"])[0], layer["x"])
    np.testing.assert_allclose((J @ layer["dy"].ravel()).reshape(B, IN), layer["dx"], atol=1e-8)


@pytest.mark.equation("fork-adds")
def test_gradients_add_where_a_value_is_used_twice(layer, rng):
    other, dy_other = rng.standard_normal((IN, OUT)), rng.standard_normal((B, OUT))

    def J(x):
        return np.array((layer["dy"] * (x @ layer["W"])).sum() + (dy_other * np.tanh(x @ other)).sum())

    y, cache = dense(layer["x"], other, np.zeros(OUT))
    _, tanh_cache = tanh(y)
    from_other, _, _ = dense_backward(tanh_backward(dy_other, tanh_cache), cache)
    np.testing.assert_allclose(jacobian(J, layer["x"]).reshape(B, IN), layer["dx"] + from_other, atol=1e-8)


@pytest.mark.equation("dense")
def test_dense_by_indices(layer):
    for b, o in itertools.product(range(B), range(OUT)):
        y = sum(layer["x"][b, i] * layer["W"][i, o] for i in range(IN)) + layer["b"][o]
        assert abs(y - layer["y"][b, o]) < 1e-14


@pytest.mark.equation("dense-dx")
def test_dx_by_indices_and_by_the_transpose(layer):
    for b, i in itertools.product(range(B), range(IN)):
        assert abs(sum(layer["dy"][b, o] * layer["W"][i, o] for o in range(OUT)) - layer["dx"][b, i]) < 1e-14
    np.testing.assert_allclose(layer["dx"], layer["dy"] @ layer["W"].T, rtol=1e-14)


@pytest.mark.equation("dense-dw")
def test_dw_by_indices_and_by_the_transpose(layer):
    for i, o in itertools.product(range(IN), range(OUT)):
        assert abs(sum(layer["x"][b, i] * layer["dy"][b, o] for b in range(B)) - layer["dW"][i, o]) < 1e-14
    np.testing.assert_allclose(layer["dW"], layer["x"].T @ layer["dy"], rtol=1e-14)
    J = jacobian(lambda W: dense(layer["x"], W, layer["b"])[0], layer["W"])
    np.testing.assert_allclose((J @ layer["dy"].ravel()).reshape(IN, OUT), layer["dW"], atol=1e-8)


@pytest.mark.equation("dense-db")
def test_db_is_a_sum_and_not_a_mean(layer):
    J = jacobian(lambda b: dense(layer["x"], layer["W"], b)[0], layer["b"])
    np.testing.assert_allclose(J @ layer["dy"].ravel(), layer["db"], atol=1e-8)
    for o in range(OUT):
        assert abs(sum(layer["dy"][b, o] for b in range(B)) - layer["db"][o]) < 1e-14


T = np.array([-6.0, -1.2, -1e-3, 1e-3, 0.4, 2.0, 7.0])


def derivative(g, t, h=1e-6):
    return (g(t + h) - g(t - h)) / (2 * h)


@pytest.mark.equation("elementwise-backward")
@pytest.mark.parametrize(
    ("forward", "backward"),
    [
        (relu, relu_backward),
        (tanh, tanh_backward),
        (sigmoid, sigmoid_backward),
        (softplus, softplus_backward),
    ],
)
def test_the_jacobian_of_an_activation_is_diagonal(forward, backward, rng):
    J = jacobian(lambda t: forward(t)[0], T, h=1e-5)
    dy = rng.standard_normal(T.shape)
    assert np.abs(J - np.diag(np.diag(J))).max() == 0
    np.testing.assert_allclose(backward(dy, forward(T)[1]), dy * np.diag(J), atol=1e-9)


@pytest.mark.equation("relu")
def test_relu_and_its_mask():
    for t in T:
        y, cache = relu(np.array([t]))
        assert y[0] == (t if t > 0 else 0)
        assert relu_backward(np.ones(1), cache)[0] == (1 if t > 0 else 0)
    assert relu_backward(np.ones(1), relu(np.zeros(1))[1])[0] == 0


@pytest.mark.equation("tanh")
def test_tanh_from_exponentials():
    for t in T:
        y = (math.exp(t) - math.exp(-t)) / (math.exp(t) + math.exp(-t))
        assert abs(tanh(np.array([t]))[0][0] - y) < 1e-15
        assert abs((1 - y * y) - derivative(math.tanh, t)) < 1e-9


@pytest.mark.equation("sigmoid")
def test_sigmoid_from_its_definition():
    for t in T:
        p = 1 / (1 + math.exp(-t))
        assert abs((1 + math.tanh(t / 2)) / 2 - p) < 1e-15
        assert abs(sigmoid(np.array([t]))[0][0] - p) < 1e-15
        assert abs(p * (1 - p) - derivative(lambda t: 1 / (1 + math.exp(-t)), t)) < 1e-9


@pytest.mark.equation("softplus")
def test_softplus_line_by_line():
    for t in T:
        value, p = math.log(1 + math.exp(t)), 1 / (1 + math.exp(-t))
        for line in (-math.log(1 - p), t - math.log(p), max(t, 0) - math.log(max(p, 1 - p))):
            assert abs(line - value) < 1e-12
        assert abs(softplus(np.array([t]))[0][0] - value) < 1e-15 * max(8, value)
        assert abs(p - derivative(lambda t: math.log(1 + math.exp(t)), t)) < 1e-9


@pytest.mark.equation("sigmoid", "softplus")
def test_their_error_is_absolute_and_not_relative():
    t = np.linspace(-60, 60, 241, dtype="float32")
    p = np.exp(np.minimum(t, 0.0), dtype="float64") / (1 + np.exp(-np.abs(t), dtype="float64"))
    unit = np.finfo("float32").eps
    assert np.abs(sigmoid(t)[0] - p).max() < unit
    larger = np.maximum(np.logaddexp(0.0, t, dtype="float64"), 1)
    assert (np.abs(softplus(t)[0] - np.logaddexp(0.0, t, dtype="float64")) < 2 * unit * larger).all()
    off = {v: sigmoid(np.array([v], "float32"))[0][0] * (1 + math.exp(-v)) - 1 for v in (-15.0, -20.0)}
    assert abs(abs(off[-15.0]) - 0.026) < 0.001
    assert off[-20.0] == -1


@pytest.mark.equation("mlp")
def test_a_composition_backward_layer_by_layer(rng):
    chain = mlp(IN, (5, 3), ("dense", "tanh"), rng=rng, dtype="float64")
    p = chain.params
    x, dh = rng.standard_normal((B, IN)), rng.standard_normal((B, 3))
    a0 = x @ p["0.W"] + p["0.b"]
    a1 = np.tanh(a0) @ p["1.W"] + p["1.b"]
    da1 = dh * (1 - np.tanh(a1) ** 2)
    dh0 = da1 @ p["1.W"].T
    da0 = dh0 * (1 - np.tanh(a0) ** 2)
    expected = {"1.W": np.tanh(a0).T @ da1, "1.b": da1.sum(axis=0), "0.W": x.T @ da0, "0.b": da0.sum(axis=0)}
    h, cache = chain.forward(x)
    dx, grads = chain.backward(dh, cache)
    np.testing.assert_allclose(h, np.tanh(a1), rtol=1e-14)
    np.testing.assert_allclose(dx, da0 @ p["0.W"].T, rtol=1e-12)
    for name, value in expected.items():
        np.testing.assert_allclose(grads[name], value, rtol=1e-12)


TINY = 1e-5


def normalised(row):
    m = sum(row) / len(row)
    s = math.sqrt(TINY + sum((t - m) ** 2 for t in row) / len(row))
    return [(t - m) / s for t in row], m, s * s, s


@pytest.mark.equation("layer-norm")
def test_a_row_is_normalised_by_its_own_mean_and_deviation(rng):
    x, gain, b = 3 * rng.standard_normal((B, 5)) + 2, rng.standard_normal(5), rng.standard_normal(5)
    y, _ = layer_norm(x, gain, b)
    for row, out in zip(x, y, strict=True):
        u, *_ = normalised(row)
        np.testing.assert_allclose(out, [g * t + c for g, t, c in zip(gain, u, b, strict=True)], rtol=1e-12)


@pytest.mark.equation("layer-norm-backward")
def test_each_line_of_the_backward_of_layer_norm(rng):
    H = 5
    x, gain, b, dy = (rng.standard_normal(n) for n in (H, H, H, H))
    u, m, _, s = normalised(x)
    u, one = np.array(u), np.eye(H)
    # columns: what moves when x_j moves
    np.testing.assert_allclose(jacobian(lambda t: np.array(normalised(t)[1]), x)[:, 0], np.full(H, 1 / H), atol=1e-9)
    np.testing.assert_allclose(jacobian(lambda t: np.array(normalised(t)[2]), x)[:, 0], 2 / H * (x - m), atol=1e-9)
    np.testing.assert_allclose(jacobian(lambda t: np.array(normalised(t)[3]), x)[:, 0], u / H, atol=1e-9)
    J = (one - 1 / H - np.outer(u, u) / H) / s  # (i, j), symmetric
    np.testing.assert_allclose(jacobian(lambda t: np.array(normalised(t)[0]), x), J, atol=1e-8)
    du = dy * gain
    dx = (du - du.mean() - u * (du * u).mean()) / s
    np.testing.assert_allclose(dx, du @ J, rtol=1e-12)
    _, cache = layer_norm(x[None], gain, b)
    got = layer_norm_backward(dy[None], cache)
    for a, expected in zip(got, (dx[None], dy * u, dy), strict=True):
        np.testing.assert_allclose(a, expected, rtol=1e-11, atol=1e-14)


@pytest.mark.equation("layer-norm-backward")
def test_what_layer_norm_cannot_see(rng):
    x, gain = rng.standard_normal((1, 6)), np.ones(6)
    _, cache = layer_norm(x, gain, np.zeros(6))
    u, scale, _ = cache
    shift, *_ = layer_norm_backward(np.ones((1, 6)), cache)
    assert np.abs(shift).max() < 1e-15
    stretch, *_ = layer_norm_backward(u, cache)
    np.testing.assert_allclose(stretch, u * scale * TINY * scale**2, rtol=1e-9)
