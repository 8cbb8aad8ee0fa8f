"""A backward followed line by line: the line that is told is the one that is wrong, and nothing right is told."""

import numpy as np
import pytest
from planted import is_told, report_of
from planted_lines import LINES, graph, nodes, residual, with_a_shortcut

from scratchvae.checks import check_vjp
from scratchvae.checks.vjp import explain
from scratchvae.checks.vjp.tape import Tape, plain

BUT_CHANGES = {**explain.GENERAL, **explain.LINES}


@pytest.mark.parametrize("name", LINES)
def test_the_line_and_the_cause_are_named(name, monkeypatch):
    """As it is said of values; a small change of an operation may be a better reason, and is told then."""
    monkeypatch.setattr(explain, "HYPOTHESES", BUT_CHANGES)
    for seed in range(3):
        report = report_of(LINES[name], 2000 + seed)
        assert is_told(LINES[name], report), str(report)


@pytest.mark.parametrize("name", LINES)
def test_without_a_hypothesis_its_lines_are_lost_and_nothing_else(name, monkeypatch):
    plant = LINES[name]
    for hypothesis in {*explain.LINES, plant.hypothesis}:
        monkeypatch.setattr(explain, "HYPOTHESES", {n: h for n, h in BUT_CHANGES.items() if n != hypothesis})
        assert is_told(plant, report_of(plant, 2000)) == (hypothesis != plant.hypothesis), hypothesis
        monkeypatch.undo()


def test_every_hypothesis_about_lines_has_an_example():
    assert explain.LINES.keys() <= {plant.hypothesis for plant in LINES.values()}


def spoiled(place):
    """A network of three layers whose backward adds something odd to one of the values that it hands on."""

    def forward(x, W1, W2, W3):
        h = np.tanh(x @ W1)
        k = np.tanh(h @ W2)
        return k @ W3, (x, W1, W2, W3, h, k)

    def backward(dy, cache):
        x, W1, W2, W3, h, k = cache
        odd = [0.3 * np.sin(np.arange(a.size) + 1.0).reshape(a.shape) for a in (k, k, h, h)]
        dk = (dy @ W3.T) * (1 + (place == 0) * odd[0])
        db = (dk * (1 - k * k)) * (1 + (place == 1) * odd[1])
        dh = (db @ W2.T) * (1 + (place == 2) * odd[2])
        da = (dh * (1 - h * h)) * (1 + (place == 3) * odd[3])
        return da @ W1.T, x.T @ da, h.T @ db, k.T @ dy

    return forward, backward


@pytest.mark.parametrize("place", range(4))
def test_where_no_repair_is_known_the_wrong_line_is_among_those_that_are_told(place):
    rng = np.random.default_rng(place)
    inputs = {name: rng.standard_normal(shape) for name, shape in [("x", (5, 4)), ("W1", (4, 4)), ("W2", (4, 3))]}
    forward, backward = spoiled(place)
    (finding,) = check_vjp(forward, backward, {**inputs, "W3": rng.standard_normal((3, 2))}, rng=rng).findings
    first = backward.__code__.co_firstlineno
    assert str(first + 3 + place) in finding.message, finding.message
    assert finding.inputs == (("x", "W1", "W2") if place < 2 else ("x", "W1"))


def test_right_code_is_right_and_followed_without_a_trace():
    rng = np.random.default_rng(0)
    forward, backward = graph(turned=False)
    A = rng.random((5, 5))
    assert check_vjp(forward, backward, nodes(rng), constants={"A": A}, rng=rng).ok
    x = nodes(rng)
    right = backward(np.ones((5, 2)), forward(**x, A=A)[1])
    tape = Tape({})
    _, cache = forward(**{n: tape.wrapped(a) for n, a in x.items()}, A=A)
    tape.runs = True
    followed = backward(tape.wrapped(np.ones((5, 2))), cache)
    for name, g in right.items():
        assert np.array_equal(g, plain(followed[name]))
    assert [site.variable for site in tape.values if site.variable] == ["dz", "dh", "da"]


def test_values_that_are_written_in_place_and_functions_that_are_no_ufuncs_are_followed():
    tape = Tape({})
    tape.runs = True
    a = tape.wrapped(np.arange(6.0).reshape(2, 3))
    total = np.zeros(3)
    total += a.sum(axis=0)
    a *= 2
    parts = np.concatenate([a, a], axis=1)
    halves = np.split(parts, 2, axis=1)
    dot = a.dot(np.ones(3))
    mean = float(a.mean())
    assert np.array_equal(total, [3, 5, 7])
    assert np.array_equal(plain(parts)[:, :3], [[0, 2, 4], [6, 8, 10]])
    assert np.array_equal(plain(halves[1]), plain(a))
    assert np.array_equal(plain(dot), [6, 24])
    assert mean == 5
    assert [site.does for site in tape.values] == [
        *("add.reduce", "add.__call__", "multiply.__call__", "concatenate", "dot", "add.reduce", "divide.__call__")
    ]


def test_a_function_that_refuses_such_arrays_is_judged_as_before():
    forward, backward = residual()

    def strict(dy, cache):
        assert type(dy) is np.ndarray, "a plain array, please"
        return backward(dy, cache)

    rng = np.random.default_rng(3)
    (finding,) = check_vjp(forward, strict, with_a_shortcut(rng), rng=rng).findings
    assert finding.cause == "unknown"


def two_layers(x, W, V):
    h = x @ W
    return np.maximum(h, 0) @ V, (x, W, V, h)


def two_layers_backward(dy, cache):
    x, W, V, h = cache
    dh = (dy @ V.T) * (x > 0)
    return dh @ W.T, x.T @ dh, np.maximum(h, 0).T @ dy


@pytest.mark.parametrize("near", [1.0, 1e-5])
def test_a_kink_within_the_reach_of_differences_spoils_no_explanation(near):
    """One h is 1e-5 from its kink, over which a difference steps."""
    rng = np.random.default_rng(6)
    x, W, V = (rng.standard_normal(shape) for shape in ((5, 4), (4, 4), (4, 3)))
    x[2] *= near / abs(x[2] @ W[:, 1])
    report = check_vjp(two_layers, two_layers_backward, {"x": x, "W": W, "V": V})
    (finding,) = report.findings
    assert finding.inputs == ("x", "W"), str(report)
    assert "((dy @ V.T) * (x > 0))" in finding.message, str(report)


def heads(h, W, b, V, c):
    return (h @ W + b, h @ V + c), (h, W, V)


def heads_backward(dys, cache):
    (dmu, dlogvar), (h, W, V) = dys, cache
    return dmu @ W.T + dlogvar @ V.T, h.T @ dmu, dmu.sum(0), h.T @ dlogvar, dmu.sum(0)


def test_the_gradient_of_another_output_is_no_mask():
    rng = np.random.default_rng(7)
    shapes = {"h": (4, 5), "W": (5, 2), "b": (2,), "V": (5, 2), "c": (2,)}
    report = check_vjp(heads, heads_backward, {name: rng.standard_normal(shape) for name, shape in shapes.items()})
    (finding,) = report.findings
    assert finding.inputs == ("c",)
    assert "(dmu.sum(0)): dlogvar belongs where dmu stands" in finding.message, str(report)


def test_what_is_assigned_in_a_loop_and_should_be_added_up():
    def forward(x, h, W, b):
        path = [h]
        for t in range(len(x)):
            path.append(np.tanh(x[t] + path[-1] @ W + b))
        return np.stack(path[1:]), (path, W)

    def backward(dy, cache):
        path, W = cache
        dx, dh, dW = np.zeros_like(dy), np.zeros_like(path[0]), np.zeros_like(W)
        for t in reversed(range(len(dy))):
            da = (dy[t] + dh) * (1 - path[t + 1] ** 2)
            dx[t] = da
            dW += path[t].T @ da
            db = da.sum(0)
            dh = da @ W.T
        return dx, dh, dW, db

    rng = np.random.default_rng(8)
    shapes = {"x": (4, 2, 3), "h": (2, 3), "W": (3, 3), "b": (3,)}
    report = check_vjp(forward, backward, {name: rng.standard_normal(shape) for name, shape in shapes.items()})
    (finding,) = report.findings
    assert finding.message == "db: what belongs there is the sum of db over all steps", str(report)
    assert finding.cause == "missing-term"


def test_a_minus_may_be_missing_on_the_way_to_a_sum():
    """y = x / |x|: what becomes of |x| has a minus, and lost it before it is added."""

    def forward(x):
        s = np.sqrt((x * x).sum(axis=1, keepdims=True))
        return x / s, (x, s)

    def backward(dy, cache):
        x, s = cache
        ds = (dy * x).sum(axis=1, keepdims=True) / s**2
        through_s = ds * x / s
        return dy / s + through_s

    (finding,) = check_vjp(forward, backward, {"x": np.random.default_rng(9).standard_normal((4, 3))}).findings
    assert finding.cause == "sign"
    assert "(dy / s + through_s): + stands where - belongs; or a minus is missing, or there twice" in finding.message
