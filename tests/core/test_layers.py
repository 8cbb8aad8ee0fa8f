"""Dense layers and activations: every backward against differences, in every shape and at every extreme."""

import copy
import math
import pickle
import re
from typing import ClassVar

import numpy as np
import pytest
from proof import assert_backward_matches, directional_error, freeze

from scratchvae import Chain, Dense
from scratchvae.layers import (
    ACTIVATIONS,
    dense,
    dense_backward,
    dense_backward_parameters,
    glorot_uniform,
    he_normal,
    layer_norm,
    layer_norm_backward,
    mlp,
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
        W = mlp(200, (200,), ("dense", activation), rng=rng).params["0.W"]
        assert np.abs(W).max() <= bound
    assert np.abs(W).max() > 3 * math.sqrt(2 / 200)  # relu: normal, so it has tails
    W = mlp(200, (200,), ("dense", "softplus"), rng=rng).params["0.W"]
    assert np.abs(W).max() > 3 * math.sqrt(2 / 200)  # a smooth relu: as relu
    W = mlp(200, (200,), ("dense", "layer-norm", "relu"), rng=rng).params["0.W"]
    assert np.abs(W).max() > 3 * math.sqrt(2 / 200)  # the activation counts, wherever it stands


LAYERS_OF_A_HIDDEN_LAYER = [("dense", name) for name in ACTIVATIONS] + [("dense", "layer-norm", "tanh"), ("dense",)]


@pytest.mark.equation("mlp")
@pytest.mark.parametrize("n_hidden", [(), (6,), (6, 3)])
@pytest.mark.parametrize("layers", LAYERS_OF_A_HIDDEN_LAYER, ids="+".join)
def test_mlp_backward(layers, n_hidden, rng):
    chain = mlp(4, n_hidden, layers, rng=rng, dtype="float64")
    for p in chain.params.values():
        p += 0.3 * rng.standard_normal(p.shape)
    x = rng.standard_normal((5, 4))
    assert_backward_matches(chain.forward, lambda dy, cache: chain.backward(dy, cache)[0], [x], rng, tolerance=1e-7)
    chain = copy.deepcopy(chain)  # the caches, which hold weights, were frozen
    y, cache = chain.forward(x)
    dy = rng.standard_normal(y.shape)
    _, grads = chain.backward(dy, cache)
    dx, same = chain.backward(dy, cache, need_dx=False)
    assert (dx is None) == bool(n_hidden)
    assert {key: g.shape for key, g in grads.items()} == {key: p.shape for key, p in chain.params.items()}
    for name, p in chain.params.items():
        np.testing.assert_array_equal(grads[name], same[name])

        def objective(value, p=p):
            before = p.copy()
            p[...] = value
            y, _ = chain.forward(x)
            p[...] = before
            return (dy * y).sum()

        if np.linalg.norm(grads[name]) > 1e-9:
            assert directional_error(objective, p.copy(), grads[name], rng) < 1e-7, name


def test_a_hidden_layer_counts_once_and_names_what_follows_its_first_layer(rng):
    chain = mlp(4, (6, 3), ("dense", "layer-norm", "relu"), name="encoder", rng=rng)
    assert list(chain.layers) == [f"encoder.{i}{what}" for i in (0, 1) for what in ("", ".layer-norm", ".relu")]
    vectors = ("b", "layer-norm.gain", "layer-norm.b")
    shapes = {f"encoder.{i}.{what}": (n,) for i, n in ((0, 6), (1, 3)) for what in vectors}
    shapes |= {"encoder.0.W": (4, 6), "encoder.1.W": (6, 3)}
    assert {name: p.shape for name, p in chain.params.items()} == shapes


def test_chain_trace_has_the_gradient_of_every_layers_output(rng):
    chain = mlp(4, (6, 3), ("dense", "tanh"), rng=rng, dtype="float64")
    _, cache = chain.forward(rng.standard_normal((5, 4)))
    trace, dy = {}, rng.standard_normal((5, 3))
    _, grads = chain.backward(dy, cache, trace=trace)
    assert {key: g.shape for key, g in trace.items()} == {
        "0.dy": (5, 6),
        "0.tanh.dy": (5, 6),
        "1.dy": (5, 3),
        "1.tanh.dy": (5, 3),
    }
    np.testing.assert_array_equal(trace["1.tanh.dy"], dy)
    np.testing.assert_allclose(trace["0.dy"].sum(axis=0), grads["0.b"], rtol=1e-13)


class Doubles:
    """The smallest thing that a chain takes: no parameters, and no method beyond the two."""

    params: ClassVar[dict] = {}

    def forward(self, x):
        return 2 * x, None

    def backward(self, dy, cache):
        return 2 * dy, {}


def test_chain_composes_anything_with_forward_and_backward(rng):
    inner = Chain({"twice": Doubles(), "dense": Dense(3, 2, rng=rng, dtype="float64")})
    chain = Chain({"first": Doubles(), "inner": inner})
    assert list(chain.params) == ["inner.dense.W", "inner.dense.b"]
    x = rng.standard_normal((5, 3))
    y, cache = chain.forward(x)
    np.testing.assert_allclose(y, 4 * x @ chain.params["inner.dense.W"], rtol=1e-13)
    dx, grads = chain.backward(np.ones((5, 2)), cache, need_dx=False)
    np.testing.assert_allclose(dx, 4 * np.ones((5, 2)) @ chain.params["inner.dense.W"].T)  # nothing could be saved
    np.testing.assert_allclose(grads["inner.dense.W"], 4 * x.T @ np.ones((5, 2)))


def test_an_empty_chain_hands_on_what_it_gets(rng):
    x = rng.standard_normal((5, 3))
    y, cache = Chain({}).forward(x)
    dx, grads = Chain({}).backward(x, cache)
    assert y is x
    assert dx is x
    assert grads == {}


# -- layer normalisation -----------------------------------------------------------------------------------------------


@pytest.mark.equation("layer-norm", "layer-norm-backward")
@pytest.mark.parametrize(("B", "H"), [(1, 3), (5, 4), (3, 50)])
def test_layer_norm_backward(B, H, rng):
    inputs = [10 * rng.standard_normal((B, H)) + 3, rng.standard_normal(H), rng.standard_normal(H)]
    assert_backward_matches(layer_norm, layer_norm_backward, inputs, rng, tolerance=1e-7)


def test_layer_norm_gives_every_row_mean_0_and_variance_1_whatever_its_shift_and_stretch(rng):
    x = rng.standard_normal((7, 20))
    gain, b = np.ones(20), np.zeros(20)
    y, _ = layer_norm(x, gain, b)
    np.testing.assert_allclose(y.mean(axis=1), 0, atol=1e-14)
    np.testing.assert_allclose(y.var(axis=1), x.var(axis=1) / (x.var(axis=1) + 1e-5), rtol=1e-12)
    moved, _ = layer_norm(1e3 * x + 50 * rng.standard_normal((7, 1)), gain, b)
    np.testing.assert_allclose(moved, y, atol=1e-4)
    one, _ = layer_norm(x[2:3], gain, b)  # no row knows of the others
    np.testing.assert_array_equal(one[0], y[2])


def test_layer_norm_is_finite_where_a_row_is_constant():
    x = np.full((2, 4), 7.0, "float32")
    y, cache = layer_norm(x, np.ones(4, "float32"), np.zeros(4, "float32"))
    dx, *_ = layer_norm_backward(np.ones_like(y), cache)
    assert np.isfinite(y).all()
    assert np.isfinite(dx).all()


# -- parameters --------------------------------------------------------------------------------------------------------


def test_params_are_the_layers_own_arrays(rng):
    chain = mlp(4, (6,), rng=rng)
    before, _ = chain.forward(np.ones((1, 4), dtype="float32"))
    chain.params["0.b"] += 1
    after, _ = chain.forward(np.ones((1, 4), dtype="float32"))
    assert (after != before).any()
    assert chain.params is chain.params
    assert chain.params["0.b"] is chain.layers["0"].params["b"]


def test_params_cannot_be_replaced_and_say_what_to_write(rng):
    layer = Dense(2, 3, rng=rng)
    before = layer.params["W"].copy()
    with pytest.raises(TypeError, match=r"written into, not replaced, .* write params\['W'\]\[\.\.\.\] = "):
        layer.params["W"] = np.zeros((2, 3))
    with pytest.raises(TypeError, match="written into"):
        layer.params["new"] = np.zeros(3)
    with pytest.raises((TypeError, AttributeError)):
        del layer.params["W"]
    np.testing.assert_array_equal(layer.params["W"], before)
    assert repr(layer.params) == "Params({'W': (2, 3), 'b': (3,)})"


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda chain: pickle.loads(pickle.dumps(chain))])
def test_a_copy_keeps_the_sharing(copied, rng):
    chain = mlp(4, (6,), rng=rng)
    twin = copied(chain)
    twin.params["0.W"][...] = 0
    assert not twin.forward(np.ones((1, 4), "float32"))[0].any()
    assert chain.params["0.W"].all()


NAMES = "layers should be some of dense, layer-norm, relu, tanh, sigmoid, softplus"


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda rng: Dense(0, 3, rng=rng), "n_in should be a whole number of at least 1, got 0"),
        (lambda rng: Dense(3, 2.5, rng=rng), "n_out should be a whole number of at least 1, got 2.5"),
        (lambda rng: Dense(3, 2, rng=rng, dtype="float16"), "dtype should be one of float32, float64, got 'float16'"),
        (lambda rng: Dense(3, 2, rng=rng, backend="torch"), "backend should be one of numpy, cupy, got 'torch'"),
        (lambda rng: mlp(3, (4, 0), rng=rng), "n_out should be a whole number of at least 1, got 0"),
        (lambda rng: mlp(3, (4,), ("dense", "gelu"), rng=rng), f"{NAMES}, each once, got ('dense', 'gelu')"),
        (lambda rng: mlp(3, (4,), ("dense", "dense"), rng=rng), f"{NAMES}, each once, got ('dense', 'dense')"),
        (lambda rng: mlp(3, (4,), "dense", rng=rng), f"{NAMES}, each once, got 'dense'"),
        (lambda rng: mlp(3, (4,), (), rng=rng), f"{NAMES}, each once, got ()"),
        (
            lambda rng: mlp(3, (4,), ("layer-norm", "relu"), rng=rng),
            "layer-norm keeps the width, got 3 inputs and 4 outputs; put dense before it",
        ),
        (
            lambda rng: mlp(3, (4,), ("relu", "dense"), rng=rng),
            "layers should begin with one that makes the width, such as dense, got ('relu', 'dense')",
        ),
    ],
)
def test_layers_say_what_they_expected(build, text, rng):
    with pytest.raises(ValueError, match="^" + re.escape(text) + "$"):
        build(rng)
