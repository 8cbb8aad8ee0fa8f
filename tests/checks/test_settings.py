"""Numbers that were handed in: a constant that is one of them by chance is told as that one, or asked about.

Sizes: B rows, D columns.
"""

import numpy as np
import pytest

from scratchvae.checks import check_gradients, check_vjp
from scratchvae.checks.vjp import explain


def only(report):
    assert len(report.findings) == 1, str(report)
    return report.findings[0]


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def huber_forward(p, t, delta=0.5):
    r = p - t
    small = np.abs(r) <= delta
    return np.where(small, 0.5 * r**2, delta * (np.abs(r) - 0.5 * delta)).mean(), (r, small, delta)


def test_half_is_delta_where_it_changes_with_delta():
    """A default is a setting as well, and nobody hands it in."""

    def backward(dy, cache):
        r, small, delta = cache  # noqa: RUF059 - the slip: it is not used
        return dy * np.where(small, r, np.sign(r)) / r.size

    finding = only(check_vjp(huber_forward, backward, {"p": numbers(5, 3)}, constants={"t": numbers(5, 3, seed=1)}))
    assert finding.message.endswith("delta is missing beside np.sign(r)")
    assert "1/2" not in finding.repair


def returns_forward(v, r, gamma=0.5, lam=0.5):
    advantage, last = np.zeros(len(r)), 0.0
    for t in reversed(range(len(r))):
        last = r[t] + gamma * v[t + 1] - v[t] + gamma * lam * last
        advantage[t] = last
    return advantage, (gamma, lam)


@pytest.mark.parametrize("forgotten", ["gamma", "lam"])
def test_of_two_settings_that_are_equal_the_right_one_is_named(forgotten):
    def backward(dy, cache):
        gamma, lam = cache
        other = lam if forgotten == "gamma" else gamma
        dv, carry = np.zeros(len(dy) + 1), 0.0
        for t in range(len(dy)):
            carry = dy[t] + other * carry
            dv[t] -= carry
            dv[t + 1] += gamma * carry
        return dv

    finding = only(check_vjp(returns_forward, backward, {"v": numbers(6)}, constants={"r": numbers(5, seed=1)}))
    assert f"{forgotten} is missing beside other * carry" in finding.message


def test_the_factor_of_a_forgotten_term_is_told_in_terms_of_the_setting():
    """With reg = 1/2 the term is W, and 2 reg W for any other."""

    def forward(x, W, reg=0.5):
        return (np.tanh(x @ W) ** 2).sum() + reg * (W * W).sum(), (x, np.tanh(x @ W), W)

    def backward(dy, cache):
        x, y, W = cache
        return dy * 2 * y * (1 - y * y) @ W.T, x.T @ (dy * 2 * y * (1 - y * y))

    finding = only(check_vjp(forward, backward, {"x": numbers(5, 3), "W": numbers(3, 2, seed=1)}))
    assert finding.repair == "add 2 * reg * dy * W"


def test_what_holds_for_these_settings_alone_says_so(monkeypatch):
    """gamma (1 - p)^(gamma - 1) log p is 2 (1 - p) log p while gamma is 2; that 1 - p is held constant always."""

    def forward(z, gamma=2.0):
        p = 1 / (1 + np.exp(-z))
        return -((1 - p) ** gamma) * np.log(p), (p, gamma)

    def backward(dy, cache):
        p, gamma = cache
        return dy * -((1 - p) ** gamma) / p * p * (1 - p)

    finding = only(check_vjp(forward, backward, {"z": numbers(4, 3)}))
    assert finding.message.endswith("(1 - p) of the forward computes is held constant")
    monkeypatch.setattr(explain, "HYPOTHESES", {n: h for n, h in explain.HYPOTHESES.items() if n != "detached"})
    finding = only(check_vjp(forward, backward, {"z": numbers(4, 3)}))
    assert finding.cause == "missing-term"
    assert finding.repair.endswith("while gamma is 2"), finding


OF_SETTINGS = [  # a function of settings that the backward forgets, and how it is told
    ({"p": 0.5}, lambda p: 1 - p, "0.5 is 1 - p, and it is missing"),
    ({"p": 0.5}, lambda p: 1 / (1 - p), "0.5 is 1 - p, and it is a factor too many, or a division by it is missing"),
    ({"step": 2, "warm": 4}, lambda step, warm: step / warm, "step / warm is missing, or what undoes it"),
    ({"step": 3, "warm": 9}, lambda step, warm: step / warm, "step / warm is missing, or what undoes it"),
    ({"a": 3.0, "b": 3.0}, lambda a, b: b, "3 is b, and it is missing"),
    ({"a": 3.0}, lambda a: a**2 / 3, "1/3 * a**2 is missing"),
    ({"a": 3.0}, lambda a: a**2, "a**2 is missing"),
    ({"a": 4.0}, lambda a: a**0.5, "sqrt(a) is missing"),
    ({"k": 2}, lambda k: k * (k - 1), "it changes with k: something made of that is missing"),
    ({"nu": 2.0}, lambda nu: nu / (nu - 1), "it changes with nu: something made of that is missing"),
    ({"a": 1.5}, lambda a: 3 - a, "it changes with a: something made of that is missing"),
    ({"a": 0.5, "b": 0.5}, lambda a, b: 0.5, "a factor 1/2 is missing"),
]


@pytest.mark.parametrize(("settings", "c", "words"), OF_SETTINGS, ids=[words for *_, words in OF_SETTINGS])
def test_a_setting_is_named_where_the_constant_changes_as_it_does(settings, c, words):
    """Not where it only changes with it, or is as large by chance."""

    def forward(x, **settings):
        return c(**settings) * np.sin(x), x

    x = {"x": numbers(4, 3)}
    finding = only(check_vjp(forward, lambda dy, x: dy * np.cos(x), x, constants=settings))
    assert finding.cause == "factor"
    assert words in finding.message
    assert finding.factor == pytest.approx(c(**settings))


def test_settings_in_a_dict_are_asked_about():
    """Those are not moved, and two of them are equal."""

    def forward(x, settings):
        return settings["a"] * settings["b"] * np.sin(x), (x, settings)

    def backward(dy, cache):
        x, settings = cache
        return dy * settings["a"] * np.cos(x)

    settings = {"settings": {"a": 3.0, "b": 3.0, "c": 5.0}}
    finding = only(check_vjp(forward, backward, {"x": numbers(4, 3)}, constants=settings))
    assert finding.message.endswith("a or b is 3 here: is it that?")


def test_of_two_equal_settings_the_one_that_is_forgotten_at_a_line_is_named():
    def forward(x, alpha=0.3, beta=0.3):
        return alpha * x**3 + beta * np.sin(alpha * x), (x, alpha)

    def backward(dy, cache):
        x, alpha = cache
        slope = np.cos(alpha * x) * alpha
        return dy * (3 * alpha * x**2 + slope)

    finding = only(check_vjp(forward, backward, {"x": numbers(4, 3)}))
    assert finding.cause == "elementwise-factor"  # since it is so in one of two terms alone
    assert "beta is missing beside" in finding.message


def pooled(x, f=2):
    return x.reshape(len(x) // f, f, -1).mean(axis=1), f


def pooled_backward(dy, cache):
    return np.repeat(dy, cache, axis=0)


def test_a_setting_that_cannot_be_another_one_is_asked_about():
    """Five rows are no two or three times two."""
    finding = only(check_vjp(pooled, pooled_backward, {"x": numbers(4, 3)}))
    assert finding.message == "dx is twice what it should be: a factor 1/2 is missing; f is 2 here: is it that?"


class Scaled:
    """-beta sum_j z_j^2 / 2 for z = tanh(x W), a number a row, with a beta of its own."""

    def __init__(self, beta):
        self.beta, self.params = beta, {"W": numbers(3, 4)}

    def objective(self, x, eps):
        z = np.tanh(x @ self.params["W"])
        return type("Terms", (), {"objective": -self.beta * 0.5 * (z * z).sum(axis=1)}), (x, z)

    def backward(self, dobjective, cache):
        x, z = cache
        scaled = dobjective[:, None] * z
        steep = 1 - z * z
        return {"W": -x.T @ (scaled * steep)}


def test_a_number_of_the_model_is_asked_about():
    """It cannot be moved, and 1/2 may be another 1/2."""
    finding = only(check_gradients(Scaled(2.0), numbers(5, 3, seed=2), numbers(5, 1)))
    assert "half of what it should be" in finding.message
    slips = "self.beta is as much here: is it that?", "a factor 2 is missing"
    assert any(words in finding.message for words in slips)


@pytest.mark.parametrize(("B", "C"), [(4, 2), (5, 3)])
def test_a_division_by_the_classes_is_no_root_of_the_rows(B, C):
    def forward(a, t):
        return ((a - t) ** 2).sum() / len(a), (a, t)

    def backward(dy, cache):
        a, t = cache
        return dy * 2 * (a - t) / a.shape[1]

    finding = only(check_vjp(forward, backward, {"a": numbers(B, C)}, constants={"t": numbers(B, C, seed=1)}))
    assert "root" not in finding.message
    assert f"divided by {C} where a division by {B} belongs" in finding.message


def test_two_outputs_in_one_are_no_batch():
    """Position and speed after a step, as two rows: what is missing is a path, not a sum over the rows."""

    def forward(x, v, dt=0.1):
        after = v - dt * np.sin(x)
        return np.stack([x + dt * after, after]), (x, dt)

    def backward(dy, cache):
        x, dt = cache
        dafter = dy[1]  # + dt dy[0]
        return dy[0] - dt * np.cos(x) * (dafter + dt * dy[0]), dafter

    finding = only(check_vjp(forward, backward, {"x": numbers(5), "v": numbers(5, seed=1)}))
    assert finding.cause == "missing-term"
    assert "batch" not in finding.message


def test_a_mask_that_is_there_is_not_said_to_be_missing():
    """-dy mask x^T for dy mask x^T: the mask has nothing to do with it."""

    def forward(a, b):
        active = ((a - b) ** 2).sum(axis=1) < 4
        return ((a - b) ** 2).sum(axis=1) * active, (a, b, active)

    def backward(dy, cache):
        a, b, active = cache
        d = 2 * (dy * active)[:, None] * (a - b)
        return d, d

    finding = only(check_vjp(forward, backward, {"a": numbers(6, 3), "b": numbers(6, 3, seed=1)}))
    assert (finding.inputs, finding.cause) == (("b",), "sign")


def test_of_rows_that_differ_no_term_of_one_is_told_of_all():
    """The smaller of two terms; where the other one is, its gradient was forgotten."""

    def forward(a, t):
        one, other = np.exp(a) * t, np.clip(np.exp(a), 0.8, 1.2) * t
        return -np.minimum(one, other).mean(), (np.exp(a), t)

    def backward(dy, cache):
        ratio, t = cache
        return -dy * t * ratio * ((ratio > 0.8) & (ratio < 1.2)) / len(t)

    finding = only(check_vjp(forward, backward, {"a": 0.4 * numbers(8)}, constants={"t": numbers(8, seed=3)}))
    assert "add" not in finding.repair
    assert "some entries get nothing" in finding.message


def test_a_setting_of_the_layer_that_keeps_its_x_is_asked_about():
    class Pool:
        def __init__(self, k):
            self.k = k

        def forward(self, x):
            self.shape = x.shape
            return x.reshape(len(x) // self.k, self.k, -1).mean(axis=1)

        def backward(self, dy):
            return np.repeat(dy, self.k, axis=0)

    pool = Pool(2)
    finding = only(check_vjp(lambda x: (pool.forward(x), None), lambda dy, _: pool.backward(dy), {"x": numbers(4, 3)}))
    assert finding.message.endswith("self.k is 2 here: is it that?")


def test_what_an_index_overwrites_is_seen_in_a_loss_that_is_one_number():
    def forward(U, v, ids):
        return np.sin(U[ids] @ v).sum(), (U, v, ids)

    def backward(dy, cache):
        U, v, ids = cache
        s, dU = np.cos(U[ids] @ v), np.zeros_like(U)
        dU[ids] += s[:, None] * v
        return dy * dU, dy * s @ U[ids]

    ids = np.array([3, 5, 3, 0, 3])
    finding = only(check_vjp(forward, backward, {"U": numbers(7, 4), "v": numbers(4, seed=1)}, constants={"ids": ids}))
    assert finding.cause == "batch-sum"
    assert "occurs more than once in ids" in finding.message
