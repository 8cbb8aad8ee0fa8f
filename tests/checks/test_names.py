"""What a name stands for: a slip at several places is told once, each kind by its own hypothesis."""

import sys

import numpy as np
import pytest
from planted import is_told, report_of
from planted_names import NAMED, messages, neighbours

from scratchvae.checks import check_vjp
from scratchvae.checks.vjp import explain
from scratchvae.checks.vjp.repeats import repeats


@pytest.mark.parametrize("name", NAMED)
def test_the_name_is_told(name, monkeypatch):
    monkeypatch.setattr(explain, "HYPOTHESES", explain.NAMES)
    for seed in range(2):
        report = report_of(NAMED[name], 4000 + seed)
        assert is_told(NAMED[name], report), str(report)


@pytest.mark.parametrize("name", NAMED)
def test_its_own_hypothesis_is_enough_and_without_it_the_slip_is_not_found(name, monkeypatch):
    plant = NAMED[name]
    for own in (True, False):
        some = {n: h for n, h in explain.NAMES.items() if (n == plant.hypothesis) == own}
        monkeypatch.setattr(explain, "HYPOTHESES", some)
        assert is_told(plant, report_of(plant, 4000)) == own


@pytest.mark.parametrize("name", NAMED)
def test_beside_all_the_others_it_is_one_finding_about_the_same_gradients(name):
    (finding,) = report_of(NAMED[name], 4000).findings
    assert " ".join(finding.inputs) == NAMED[name].wrong
    assert finding.cause != "unknown", finding


def test_every_hypothesis_about_names_has_an_example_and_no_hypothesis_has_the_name_of_another():
    assert explain.NAMES.keys() == {plant.hypothesis for plant in NAMED.values()}
    families = (explain.GENERAL, explain.LINES, explain.CHANGES, explain.NAMES)
    assert len(explain.HYPOTHESES) == sum(map(len, families))


def test_no_name_is_told_by_chance():
    """Here two places need two different mends, and the mask is half right: no single name is to blame."""
    forward, backward = messages()

    def odd(dy, cache):
        A, h = cache
        return np.roll(A, 1, axis=0) @ backward(dy, (A, h)) * (2 + np.sin(h))

    rng = np.random.default_rng(0)
    report = check_vjp(forward, odd, {"x": rng.standard_normal((4, 3))}, constants=neighbours(rng), rng=rng)
    (finding,) = report.findings
    assert "belongs where" not in finding.message, finding
    assert "should be" not in finding.message, finding


def test_who_looks_on_still_looks_on_afterwards():
    """A debugger, or a measure of what the tests reach, has a function that Python calls before every line as well."""
    seen = []

    def look(frame, event, arg):
        seen.append(event)

    before = sys.gettrace()
    sys.settrace(look)
    try:
        report_of(NAMED["the variance for its root"], 4000)
        assert sys.gettrace() is look
    finally:
        sys.settrace(before)


def test_what_the_checks_do_with_a_gradient_is_nobodys_slip():
    """To turn the gradient round where it is read would do; no name of the backward stands for the wrong thing."""

    def forward(x):
        return np.cumsum(x, axis=0), None

    def backward(dy, cache):
        steps, total = [], 0
        for row in dy[::-1]:
            total = total + row
            steps.append(total)
        return np.array(steps)

    (finding,) = check_vjp(forward, backward, {"x": np.random.default_rng(0).standard_normal((5, 3))}).findings
    assert "array" not in finding.message, finding


def test_a_loop_that_would_not_end_with_another_number_is_left():
    """It counts up to n, and half of an odd number is never met."""

    def forward(x):
        return np.sin(x), x

    def backward(dy, x):
        n, k, g = x.shape[0], 0, np.zeros_like(x)
        while k != n:
            g[k] = dy[k] * np.cos(x[k]) * np.cosh(x[k] - 0.3) ** (k + 0.5)
            k += 1
        return g

    (finding,) = check_vjp(forward, backward, {"x": np.random.default_rng(0).standard_normal((5, 2))}).findings
    assert finding.inputs == ("x",)


@pytest.mark.parametrize(
    ("place", "more_than_once"),
    [
        (np.array([0, 1, 2]), False),
        (np.array([0, 1, 0]), True),
        ([2, 2], True),
        ((np.array([0, 0]), np.array([1, 2])), False),
        ((np.array([0, 0]), 1), True),
        ((slice(None), [1, 1]), True),
        (np.array([True, True]), False),
        (slice(0, 2), False),
        (3, False),
    ],
)
def test_an_index_that_names_a_place_more_than_once(place, more_than_once):
    assert repeats(place) == more_than_once
