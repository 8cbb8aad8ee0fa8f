"""Small changes of one operation: that which mends it is told, each by its own hypothesis, and none by chance."""

import numpy as np
import pytest
from planted import is_told, report_of
from planted_changes import CHANGED, recurrence, sequence

from scratchvae.checks import check_vjp
from scratchvae.checks.vjp import explain
from scratchvae.checks.vjp.scope import grouped, taken_apart


@pytest.mark.parametrize("name", CHANGED)
def test_the_change_is_told(name, monkeypatch):
    monkeypatch.setattr(explain, "HYPOTHESES", explain.CHANGES)
    for seed in range(2):
        report = report_of(CHANGED[name], 3000 + seed)
        assert is_told(CHANGED[name], report), str(report)


@pytest.mark.parametrize("name", CHANGED)
def test_its_own_hypothesis_is_enough_and_without_it_the_change_is_lost(name, monkeypatch):
    plant = CHANGED[name]
    for own in (True, False):
        some = {n: h for n, h in explain.CHANGES.items() if (n == plant.hypothesis) == own}
        monkeypatch.setattr(explain, "HYPOTHESES", some)
        assert is_told(plant, report_of(plant, 3000)) == own


@pytest.mark.slow
@pytest.mark.parametrize("name", explain.CHANGES)
def test_without_a_hypothesis_nothing_but_its_own_changes_is_lost(name, monkeypatch):
    monkeypatch.setattr(explain, "HYPOTHESES", {n: h for n, h in explain.CHANGES.items() if n != name})
    for other in [plant for plant in CHANGED.values() if plant.hypothesis != name]:
        assert is_told(other, report_of(other, 3000))


def test_every_hypothesis_about_changes_has_an_example():
    assert explain.CHANGES.keys() == {plant.hypothesis for plant in CHANGED.values()}


@pytest.mark.parametrize("name", CHANGED)
def test_beside_all_the_others_it_is_one_finding_about_the_same_gradients(name):
    plant = CHANGED[name]
    (finding,) = report_of(plant, 3000).findings
    assert " ".join(finding.inputs) == plant.wrong
    assert finding.cause != "unknown", finding


def test_a_loop_that_is_right_is_right_and_no_change_is_told_by_chance():
    rng = np.random.default_rng(0)
    assert check_vjp(*recurrence(), sequence(rng), rng=rng).ok
    odd = recurrence(
        da=lambda dy, dnext, h, before: (dy + 0.3 * dnext) * (1 - h**2) * (1.2 + np.sin(3 * before)),
        dnext=lambda da, U, before: (da @ U.T) * (2 + before),
    )
    report = check_vjp(*odd, sequence(rng), rng=rng)
    assert report.findings
    assert "line" not in report.findings[0].message, str(report)


def test_a_change_is_tried_where_gradients_are_too_few_to_solve_for_a_value():
    """x_{t+1} = A x_t + k |x_t|^2: three steps of four numbers, and six gradients. The costate goes back by A."""

    def forward(x, k, A):
        path = [x]
        for _ in range(3):
            path.append(A @ path[-1] + k * (path[-1] @ path[-1]))
        return path[-1] @ path[-1], (path, k, A)

    def backward(d, cache):
        path, k, A = cache
        costate, dk = 2 * path[-1], np.zeros_like(k)
        for t in (2, 1, 0):
            dk += costate * (path[t] @ path[t])
            costate = A @ costate + 2 * path[t] * (costate @ k)
        return d * costate, d * dk

    rng = np.random.default_rng(4)
    inputs, A = {"x": rng.standard_normal(4), "k": 0.2 * rng.standard_normal(4)}, rng.standard_normal((4, 4))
    (finding,) = check_vjp(forward, backward, inputs, constants={"A": A}, rng=rng).findings
    assert finding.inputs == ("x", "k")
    assert "(A @ costate): A belongs there transposed" in finding.message


def gated_recurrence(slope):
    """h_t = (1 - z) h_{t-1} + z c, with the gate z and a candidate c that sees a part r of h: many names in a loop."""

    def sigmoid(a):
        return 1 / (1 + np.exp(-a))

    def forward(x, h, U, V, W):
        steps = []
        for t in range(x.shape[1]):
            both = np.concatenate([x[:, t], h], axis=1)
            z, r = sigmoid(both @ U), sigmoid(both @ V)
            part = np.concatenate([x[:, t], r * h], axis=1)
            c = np.tanh(part @ W)
            steps.append((both, part, z, r, c, h))
            h = (1 - z) * h + z * c
        return h, (steps, x.shape, U, V, W)

    def backward(dh, cache):
        steps, shape, U, V, W = cache
        D, dx, dU, dV, dW = shape[2], np.zeros(shape), 0, 0, 0
        for t in reversed(range(shape[1])):
            both, part, z, r, c, h = steps[t]
            dc = dh * z * (1 - c * c)
            dW = dW + part.T @ dc
            dpart = dc @ W.T
            dr = dpart[:, D:] * h * r * (1 - r)
            dz = slope(dh * (c - h), z)
            dU, dV = dU + both.T @ dz, dV + both.T @ dr
            dboth = dz @ U.T + dr @ V.T
            dx[:, t] = dboth[:, :D] + dpart[:, :D]
            dh = dh * (1 - z) + dboth[:, D:] + dpart[:, D:] * r
        return dx, dh, dU, dV, dW

    return forward, backward


def test_among_thousands_of_changes_those_of_the_line_where_a_value_would_do_are_tried():
    rng = np.random.default_rng(5)
    shapes = {"x": (3, 2, 2), "h": (3, 3), "U": (5, 3), "V": (5, 3), "W": (5, 3)}
    inputs = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    assert check_vjp(*gated_recurrence(lambda d, z: d * z * (1 - z)), inputs, rng=rng).ok
    (finding,) = check_vjp(*gated_recurrence(lambda d, z: d), inputs, rng=rng).findings
    assert finding.cause == "elementwise-factor"
    assert "z * (1 - z) is missing beside" in finding.message


@pytest.mark.parametrize(
    ("text", "whole", "operands"),
    [
        ("a + b * c", "a + b * c", ("a", "b * c")),
        ("dx += np.sum(g)", "dx + np.sum(g)", ("dx", "np.sum(g)")),
        ("x.sum(axis=0)", "x.sum(axis=0)", ("x",)),
        ("np.sin(2 * t)", "np.sin(2 * t)", ("2 * t",)),
        ("a @\n    b.T", "a @ b.T", ("a", "b.T")),
        ("a +", "", ()),
    ],
)
def test_an_expression_is_taken_apart(text, whole, operands):
    assert taken_apart(text) == (whole, operands)


@pytest.mark.parametrize(
    ("text", "part"), [("a", "a"), ("a[:, None]", "a[:, None]"), ("a + b", "(a + b)"), ("f(x)", "f(x)")]
)
def test_an_expression_is_put_in_brackets_where_it_needs_them(text, part):
    assert grouped(text) == part
