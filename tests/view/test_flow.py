"""The gradient-flow figure says what backward computes: every part, its size and its sign."""

import numpy as np
import pytest

from scratchvae import VAE
from scratchvae.view.flow import trace_gradients
from scratchvae.view.flow_figure import PLACES


@pytest.fixture
def setting(rng):
    vae = VAE(6, (7, 5), 2, "tanh", rng=rng, dtype="float64")
    for p in vae.params.values():
        p += 0.3 * rng.standard_normal(p.shape)
    return vae, rng.random((4, 6)), rng.standard_normal((4, 2))


def test_parts_add_up_to_the_gradient_of_the_mean_objective(setting):
    vae, x, eps = setting
    trace = trace_gradients(vae, x, eps, beta=0.5)
    moves = {move.name: move.array for move in trace.moves if not move.forward}
    h = trace.values["hidden"]
    _, cache = vae.objective(x, eps, beta=0.5)
    grads = vae.backward(np.full(4, 0.25), cache)
    np.testing.assert_allclose(h.T @ (moves["dmu_z"] + moves["dmu_kl"]), grads["mu.W"], rtol=1e-12)
    np.testing.assert_allclose(h.T @ (moves["dlogvar_z"] + moves["dlogvar_kl"]), grads["logvar.W"], rtol=1e-12)
    np.testing.assert_allclose(moves["dlogvar_z"], moves["dsigma"] * trace.values["sigma"] / 2, rtol=1e-12)
    np.testing.assert_allclose(moves["dsigma"], moves["dz"] * eps, rtol=1e-12)
    np.testing.assert_allclose(moves["dmu_kl"], -0.5 / 4 * trace.values["mu"], rtol=1e-12)


def test_a_backward_that_drops_a_part_is_not_drawn(setting):
    class Forgetful(VAE):
        def encode_backward(self, dmu, dlogvar, cache, trace=None):
            return super().encode_backward(0 * dmu, dlogvar, cache, trace)

    _, x, eps = setting
    with pytest.raises(AssertionError):
        trace_gradients(Forgetful(6, (5,), 2, rng=np.random.default_rng(0), dtype="float64"), x, eps)


def test_the_forward_values_are_those_of_the_model(setting):
    vae, x, eps = setting
    values = trace_gradients(vae, x, eps).values
    mu, logvar, _ = vae.encode(x)
    np.testing.assert_array_equal(values["sigma"], np.exp(0.5 * logvar))
    np.testing.assert_array_equal(values["z"], mu + np.exp(0.5 * logvar) * eps)
    np.testing.assert_array_equal(values["elbo"], vae.objective(x, eps)[0].elbo)
    assert values.keys() == PLACES.keys()


def test_eps_goes_forward_only_and_nothing_reaches_the_data(setting):
    moves = trace_gradients(*setting).moves
    assert [move.target for move in moves if "eps" in move[:2]] == ["z"]
    assert not [move for move in moves if move.target in ("x", "eps")]


def test_every_forward_edge_but_those_two_has_its_way_back(setting):
    moves = trace_gradients(*setting).moves
    forward = {(m.source, m.target) for m in moves if m.forward} - {("x", "hidden"), ("eps", "z")}
    assert {(m.target, m.source) for m in moves if not m.forward} == forward


def test_sign_is_told_only_where_there_is_one(setting):
    trace = trace_gradients(*setting)
    (dnll,) = [move for move in trace.moves if move.name == "dnll"]
    assert (dnll.sign, dnll.size) == ("−", 0.25)
    assert dnll._replace(array=np.array([1.0, -1.0])).sign == "±"


@pytest.mark.parametrize("step", [0, 5, 14, 20, None])
def test_the_drawing_has_an_arrow_a_move_and_a_label_a_gradient(setting, step):
    trace = trace_gradients(*setting)
    done = trace.moves[:step]
    ax = trace.draw(step).axes[0]
    arrows = [patch for patch in ax.patches if type(patch).__name__ == "FancyArrowPatch"]
    assert len(arrows) == len(done)
    texts = [text.get_text() for text in ax.texts]
    for move in done:
        label = f"\n{move.sign}{move.size:.2g}"
        assert move.forward or any(text.startswith(move.name) and text.endswith(label) for text in texts)


def test_no_two_texts_of_the_drawing_overlap(setting):
    figure = trace_gradients(*setting).draw()
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts if text.get_text()]
    overlaps = [(a, b) for i, a in enumerate(boxes) for b in boxes[:i] if a.overlaps(b)]
    assert not overlaps


def test_the_table_has_a_line_a_move(setting):
    trace = trace_gradients(*setting)
    assert len(str(trace).splitlines()) == len(trace.moves) + 1


def test_a_linear_model_has_no_hidden_layer_to_draw(rng):
    with pytest.raises(ValueError, match="draws a model with hidden layers"):
        trace_gradients(VAE(6, (), 2, rng=rng), rng.random((1, 6)), np.zeros((1, 2)))
