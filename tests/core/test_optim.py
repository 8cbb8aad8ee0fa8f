"""Optimizers against sequences worked out by hand, on f(theta) = theta^2 / 2 from theta = 1, where g = theta."""

import math

import numpy as np
import pytest
from proof import freeze

from scratchvae import SGD, Adagrad, Adam
from scratchvae.optim import OPTIMIZERS


def run(optimizer, steps):
    params, path = {"theta": np.array([1.0])}, []
    for _ in range(steps):
        optimizer.step(params, freeze({"theta": params["theta"].copy()}))
        path.append(params["theta"][0])
    return path


def test_sgd_by_hand():
    # v: 1, 0.5 + 0.9 = 1.4, 0.7 + 0.76 = 1.46;  theta: 0.9, 0.76, 0.614
    np.testing.assert_allclose(run(SGD(lr=0.1, momentum=0.5), 3), [0.9, 0.76, 0.614], rtol=1e-15)
    np.testing.assert_allclose(run(SGD(lr=0.1, momentum=0.0), 3), [0.9, 0.81, 0.729], rtol=1e-15)


def test_adagrad_by_hand():
    # s: 1, 1 + 0.25 = 1.25;  theta: 1 - 0.5 * 1/1 = 0.5;  0.5 - 0.5 * 0.5 / sqrt(1.25)
    second = 0.5 - 0.25 / math.sqrt(1.25)
    third = second - 0.5 * second / math.sqrt(1.25 + second**2)
    np.testing.assert_allclose(run(Adagrad(lr=0.5, tiny=1e-300), 3), [0.5, second, third], rtol=1e-15)


def test_adagrad_adds_tiny_outside_the_root():
    np.testing.assert_allclose(run(Adagrad(lr=0.5, tiny=1.0), 1), [1 - 0.5 / 2], rtol=1e-15)


def test_adam_by_hand():
    # beta1 = 0.5, beta2 = 0.75, lr = 0.25.  Step 1: m_hat = v_hat = 1, theta = 1 - 0.25 = 0.75.
    # Step 2: m = 0.5 * 0.5 + 0.5 * 0.75 = 0.625, over 1 - 0.25;
    #         v = 0.75 * 0.25 + 0.25 * 0.5625 = 0.328125, over 1 - 0.5625.
    second = 0.75 - 0.25 * (0.625 / 0.75) / math.sqrt(0.328125 / 0.4375)
    got = run(Adam(lr=0.25, beta1=0.5, beta2=0.75, tiny=1e-300), 2)
    np.testing.assert_allclose(got, [0.75, second], rtol=1e-15)


def test_adam_adds_tiny_to_the_corrected_root():
    # step 1: m_hat = v_hat = 1, whatever the betas: theta = 1 - lr / (1 + tiny)
    np.testing.assert_allclose(run(Adam(lr=0.25, tiny=0.5), 1), [1 - 0.25 / 1.5], rtol=1e-14)


def test_adam_corrects_the_root_and_not_tiny():
    # beta1 = 0.5, beta2 = 0.75, lr = 0.25, tiny = 0.5.  Step 1: theta = 1 - 0.25 / 1.5; step 2 with g = theta:
    # m_hat = (0.5 * 0.5 + 0.5 g) / 0.75, v_hat = (0.75 * 0.25 + 0.25 g^2) / 0.4375, and tiny stays what it is.
    g = 1 - 0.25 / 1.5
    m_hat, v_hat = (0.25 + 0.5 * g) / 0.75, (0.1875 + 0.25 * g * g) / 0.4375
    second = g - 0.25 * m_hat / (math.sqrt(v_hat) + 0.5)
    np.testing.assert_allclose(run(Adam(lr=0.25, beta1=0.5, beta2=0.75, tiny=0.5), 2), [g, second], rtol=1e-14)


def test_float32_work_is_float32_to_the_last_bit(rng):
    """A NumPy number among the options would compute in float64 and round at the end."""
    start, grad = rng.standard_normal((2, 1000)).astype("float32")
    params = {"theta": start.copy()}
    SGD(lr=0.1, momentum=0.0).step(params, {"theta": grad})
    np.testing.assert_array_equal(params["theta"], start - np.float32(0.1) * grad)
    assert (params["theta"] != (start - 0.1 * grad.astype("float64")).astype("float32")).any()  # else nothing was seen


def test_adam_takes_steps_of_lr_whatever_the_scale_of_the_gradient():
    for scale in (1e-3, 1.0, 1e6):
        params = {"theta": np.zeros(3)}
        Adam(lr=0.01).step(params, {"theta": scale * np.array([1.0, -1.0, 2.0])})
        np.testing.assert_allclose(params["theta"], [-0.01, 0.01, -0.01], rtol=1e-4)


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values())
def test_step_changes_parameters_in_place_in_their_dtype_and_nothing_else(optimizer, rng):
    opt = optimizer(lr=0.01)
    theta, g = rng.standard_normal((3, 4)).astype("float32"), freeze(rng.standard_normal((3, 4)).astype("float32"))
    params = {"W": theta}
    before, g_before = theta.copy(), g.copy()
    for _ in range(3):
        opt.step(params, {"W": g})
    assert params["W"] is theta
    assert theta.dtype == np.float32
    assert (theta != before).all()
    assert all(s.dtype == np.float32 and not np.shares_memory(s, g) for s in opt.state.values())
    np.testing.assert_array_equal(g, g_before)
    assert opt.steps == 3


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values())
def test_a_parameter_without_a_gradient_is_an_error(optimizer):
    with pytest.raises(ValueError, match=r"grads should have the keys of params; only one of the two has b$"):
        optimizer().step({"W": np.ones(2), "b": np.ones(2)}, {"W": np.ones(2)})


@pytest.mark.parametrize("lr", [0, -1e-3, math.nan, math.inf, "0.1"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS.values())
def test_step_size_must_be_positive_and_finite(optimizer, lr):
    with pytest.raises(ValueError, match=r"^lr should be a positive finite number, got"):
        optimizer(lr=lr)


@pytest.mark.parametrize("build", [lambda: SGD(momentum=1.0), lambda: Adam(beta1=-0.1), lambda: Adam(beta2=1.0)])
def test_decay_rates_lie_below_one(build):
    with pytest.raises(ValueError, match=r"should lie in \[0, 1\)"):
        build()
