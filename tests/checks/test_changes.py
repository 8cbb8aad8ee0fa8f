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
