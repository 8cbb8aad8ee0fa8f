"""What is told of an answer that is right but for its last digits, or whose products stand in the wrong order."""

import inspect

import numpy as np
import pytest

from scratchvae.exercises import check
from scratchvae.exercises.check import blank_of
from scratchvae.layers import softplus


def cut(a, low=-np.inf, high=np.inf):
    """Right between the two, and beyond them what softplus comes near to: 0, and a."""
    inside = np.maximum(a, 0) + np.log1p(np.exp(-np.abs(a)))
    return np.where(a > high, a, np.where(a < low, 0, inside))


SOFTPLUS = {
    "returns a alone": [lambda a, t=t: cut(a, high=t) for t in (8, 10, 15, 20, 25, 28)],
    "returns 0": [lambda a, t=t: cut(a, low=t) for t in (-10, -20, -30)],
    "far to the left it is 0": [lambda a: cut(a, low=-36), lambda a: cut(a, low=-100)],
    "np.log1p(u) is log(1 + u)": [
        lambda a: np.maximum(a, 0) + np.log(1 + np.exp(-np.abs(a))),
        lambda a: np.where(a > 35, a, np.log(1 + np.exp(np.minimum(a, 35)))),
        lambda a: softplus(a)[0],
    ],
}


@pytest.mark.parametrize(
    ("message", "answer"), [(message, answer) for message, answers in SOFTPLUS.items() for answer in answers]
)
def test_a_softplus_that_loses_digits_is_told_where_and_not_what_it_should_be(message, answer):
    with np.errstate(all="ignore"):
        result = check("backprop.softplus", answer)
    assert result.state == "wrong"
    assert message in result.message
    assert result.ratio is None


@pytest.mark.parametrize("high", [33, 35, 37, 40, 300])
def test_what_is_cut_off_below_the_last_digit_is_right(high):
    assert check("backprop.softplus", lambda a: cut(a, high=high)).passed


@pytest.mark.parametrize("name", ["backprop.softplus", "autoencoders.undo"])
def test_two_values_too_many_and_two_shapes_are_told(name):
    assert "should be returned" in check(name, lambda *arguments: (arguments[0],) * 5).message
    assert "shape" in check(name, lambda *arguments: (np.zeros((9, 9)),) * (1 + (name == "autoencoders.undo"))).message


def test_the_order_of_a_product_is_told_in_a_sentence_of_its_own():
    def inverse_last(W_d, b_d, A, c):
        return W_d @ np.linalg.inv(A), b_d - c @ W_d @ np.linalg.inv(A)

    def shift_last(W_d, b_d, A, c):
        W_new = np.linalg.inv(A) @ W_d
        return W_new, b_d - W_new @ c

    assert "in the wrong order" in check("autoencoders.undo", inverse_last).message
    assert "c is a row" in check("autoencoders.undo", shift_last).message
    for answer in (inverse_last, shift_last):
        assert "matmul" not in check("autoencoders.undo", answer).message


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("own.tanh_backward", lambda dh, h: dh * dh * (1 - h * h)),
        ("own.kl_backward", lambda dkl, mu, v: (dkl[:, None] ** 2 * mu, dkl[:, None] * (np.exp(v) - 1) / 2)),
    ],
)
def test_the_gradient_that_arrives_has_the_name_that_the_reader_gave_it(name, answer):
    message = check(name, answer).message
    assert blank_of(name).solution.__code__.co_varnames[0] in message
    assert "dy" not in message


def test_what_is_nearly_right_is_not_one_times_what_it_should_be():
    result = check("kl.table", lambda q, p: np.sum(q * np.log((q + 1e-6) / (p + 1e-6))))
    assert result.state == "wrong"
    assert "of itself; a small constant" in str(result)
    assert "times" not in str(result)


def test_an_error_inside_numpy_is_told_at_the_readers_line():
    def total(q, p):
        return np.erf(q).sum()

    def shaped(q, p):
        return np.apply_along_axis(lambda row: row @ np.ones(99), 0, q)

    assert "`return np.erf(q).sum()`" in check("kl.table", total).message
    assert "np.ones(99)" in check("kl.table", shaped).message


def test_one_number_is_not_said_to_be_wrong_in_every_entry():
    moments = blank_of("kl.matched").solution
    wrong = check("kl.matched", lambda *a: (3 * moments(*a)[0], moments(*a)[1]))
    assert wrong.message == "mean is 3 times what it should be, each time"


def test_what_is_left_by_rounding_is_zero():
    logarithms = blank_of("elbo.jensen").solution
    wrong = check("elbo.jensen", lambda p, t: (logarithms(p, t)[0], np.log(np.sum(p))))
    assert (wrong.cause, wrong.message) == ("zero", "logarithm of the mean is zero")


def redrawn(eps):
    return np.random.default_rng().standard_normal(eps.shape)


@pytest.mark.parametrize("name", ["start.draw", "gradients.draw", "reparameterization.average", "latent.draws"])
def test_noise_of_ones_own_is_told(name):
    solution = blank_of(name).solution
    where = list(inspect.signature(solution).parameters).index("eps")

    def answer(*arguments):
        return solution(*arguments[:where], redrawn(arguments[where]), *arguments[where + 1 :])

    answer.__signature__ = inspect.signature(solution)
    result = check(name, answer)
    assert (result.state, result.cause) == ("wrong", "noise-redrawn")
