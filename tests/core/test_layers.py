"""Dense layers and activations: every backward against differences, in every shape and at every extreme."""

import math

import numpy as np
import pytest
from proof import assert_backward_matches, freeze

from scratchvae import MLP, Dense
from scratchvae.layers import (
    ACTIVATIONS,
    dense,
    dense_backward,
    dense_backward_parameters,
    glorot_uniform,
    he_normal,
    relu,
    relu_backward,
    sigmoid,
    softplus,
)

away_from_the_kink = 1e-3  # relu has no derivative at 0, and a difference step must not cross it


@pytest.mark.equation("dense-dx", "dense-dw", "dense-db")
@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 4, 3), (2, 7, 7)])
def test_dense_backward(shape, rng):
    B, n_in, n_out = shape
    inputs = rng.standard_normal((B, n_in)), rng.standard_normal((n_in, n_out)), rng.standard_normal(n_out)
    assert_backward_matches(dense, dense_backward, inputs, rng)


def test_dense_backward_parameters_is_the_half_of_dense_backward(rng):
    x, W, b = rng.standard_normal((5, 4)), rng.standard_normal((4, 3)), rng.standard_normal(3)
    y, cache = dense(x, W, b)
    _, dW, db = dense_backward(y, cache)
    for half, whole in zip(dense_backward_parameters(y, cache), (dW, db), strict=True):
        np.testing.assert_array_equal(half, whole)


@pytest.mark.equation("relu", "tanh", "sigmoid", "softplus")
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_backward(name, rng):
    x = 3 * rng.standard_normal((6, 5))
    x += away_from_the_kink * np.sign(x)
    assert_backward_matches(*ACTIVATIONS[name], [x], rng)


@pytest.mark.equation("relu", "tanh", "sigmoid", "softplus")
def test_activations_have_their_textbook_values():
    x = np.linspace(-8, 8, 33)
    values = {
        "relu": np.where(x > 0, x, 0),
        "tanh": np.tanh(x),
        "sigmoid": 1 / (1 + np.exp(-x)),
        "softplus": np.log1p(np.exp(x)),
    }
    for name, (forward, _) in ACTIVATIONS.items():
        np.testing.assert_allclose(forward(x)[0], values[name], rtol=0, atol=1e-15 * 8)


def test_relu_is_flat_at_its_kink():
    y, cache = relu(np.array([-1.0, 0.0, 2.0]))
    np.testing.assert_array_equal(relu_backward(np.ones(3), cache), [0.0, 0.0, 1.0])
    np.testing.assert_array_equal(y, [0.0, 0.0, 2.0])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_are_finite_far_out_and_keep_the_dtype(name, dtype):
    forward, backward = ACTIVATIONS[name]
    x = freeze(np.array([-1e4, -100.0, -1.0, 0.0, 1.0, 100.0, 1e4], dtype=dtype))
    y, cache = forward(x)
    dx = backward(np.ones_like(x), freeze(cache))
    for array in (y, dx):
        assert array.dtype == dtype
        assert np.isfinite(array).all()


def test_softplus_error_is_of_the_order_of_epsilon():
    x = np.linspace(-30, 30, 1001)
    exact = np.logaddexp(0, x)
    for dtype, factor in (("float32", 4), ("float64", 4)):
        y, _ = softplus(x.astype(dtype))
        error = np.abs(y - np.logaddexp(0, x.astype(dtype).astype(float)))
        assert (error <= factor * np.finfo(dtype).eps * np.maximum(1, exact)).all()


def test_sigmoid_is_symmetric(rng):
    x = rng.standard_normal(100)
    np.testing.assert_allclose(sigmoid(x)[0] + sigmoid(-x)[0], 1, atol=1e-15)


@pytest.mark.parametrize(("init", "variance"), [(glorot_uniform, 2 / (300 + 500)), (he_normal, 2 / 300)])
def test_initial_weights_have_the_variance_of_their_source(init, variance, rng):
    W = init(300, 500, rng)
    squares = (W**2).ravel()
    assert abs(squares.mean() - variance) < 5 * squares.std() / math.sqrt(squares.size)
    assert abs(W.mean()) < 5 * math.sqrt(variance / W.size)


def test_mlp_uses_he_for_relu_and_glorot_for_tanh(rng):
    for activation, bound in (("tanh", math.sqrt(6 / 400)), ("sigmoid", math.sqrt(6 / 400)), ("relu", math.inf)):
        W = MLP(200, (200,), activation, rng=rng).params["0.W"]
        assert np.abs(W).max() <= bound
    assert np.abs(W).max() > 3 * math.sqrt(2 / 200)  # relu: normal, so it has tails


@pytest.mark.equation("mlp")
@pytest.mark.parametrize("n_hidden", [(), (6,), (6, 3)])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_mlp_backward(activation, n_hidden, rng):
    mlp = MLP(4, n_hidden, activation, rng=rng, dtype="float64")
    for p in mlp.params.values():
        p += 0.3 * rng.standard_normal(p.shape)
    assert_backward_matches(
        mlp.forward, lambda dy, cache: mlp.backward(dy, cache)[0], [rng.standard_normal((5, 4))], rng
    )
    _, cache = mlp.forward(rng.standard_normal((5, 4)))
    dx, grads = mlp.backward(np.ones((5, mlp.n_out)), cache, need_dx=False)
    assert (dx is None) == bool(n_hidden)
    assert {key: g.shape for key, g in grads.items()} == {key: p.shape for key, p in mlp.params.items()}


def test_mlp_trace_has_the_gradient_of_every_intermediate(rng):
    mlp = MLP(4, (6, 3), "tanh", rng=rng, dtype="float64")
    _, cache = mlp.forward(rng.standard_normal((5, 4)))
    trace = {}
    mlp.backward(np.ones((5, 3)), cache, trace=trace)
    assert {key: g.shape for key, g in trace.items()} == {
        "0.dh": (5, 6),
        "0.da": (5, 6),
        "1.dh": (5, 3),
        "1.da": (5, 3),
    }


def test_params_are_the_layers_own_arrays(rng):
    mlp = MLP(4, (6,), rng=rng)
    before, _ = mlp.forward(np.ones((1, 4), dtype="float32"))
    mlp.params["0.b"] += 1
    after, _ = mlp.forward(np.ones((1, 4), dtype="float32"))
    assert (after != before).any()


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda rng: Dense(0, 3, rng=rng), "n_in should be a whole number of at least 1, got 0"),
        (lambda rng: Dense(3, 2.5, rng=rng), "n_out should be a whole number of at least 1, got 2.5"),
        (lambda rng: Dense(3, 2, rng=rng, dtype="float16"), "dtype should be one of float32, float64, got 'float16'"),
        (lambda rng: Dense(3, 2, rng=rng, backend="torch"), "backend should be one of numpy, cupy, got 'torch'"),
        (lambda rng: MLP(3, (4, 0), rng=rng), "every width in n_hidden should be a whole number of at least 1, got 0"),
        (
            lambda rng: MLP(3, (4,), "gelu", rng=rng),
            "activation should be one of relu, tanh, sigmoid, softplus, got 'gelu'",
        ),
    ],
)
def test_layers_say_what_they_expected(build, text, rng):
    with pytest.raises(ValueError, match="^" + text.replace("(", r"\(") + "$"):
        build(rng)
