"""Why a gradient is wrong: one slip, one finding, and no word that a second point does not bear out."""

import numpy as np
import pytest
from planted import PLANTED

from scratchvae.checks import check_vjp
from scratchvae.checks.vjp import check
from scratchvae.checks.vjp.explain import HYPOTHESES, VAGUE, cases_at, opinions, smallest_cover
from scratchvae.checks.vjp.point import Hints


def report_of(plant, seed):
    rng = np.random.default_rng(1000 + seed)
    return check_vjp(plant.forward, plant.backward, plant.inputs(rng), constants=plant.constants(rng), rng=rng)


@pytest.mark.parametrize("name", PLANTED)
def test_the_cause_is_named(name):
    plant = PLANTED[name]
    for seed in range(3):
        report = report_of(plant, seed)
        assert len(report.findings) == 1, str(report)
        finding = report.findings[0]
        assert (" ".join(finding.inputs), finding.cause) == (plant.wrong, plant.cause), str(report)
        assert plant.words in f"{finding.message} || {finding.repair}", str(report)


def opinions_about(plant, seed, monkeypatch):
    """What every hypothesis says about an example, at both points."""
    caught = []
    monkeypatch.setattr(check, "explain", lambda *args: caught.append(args) or [])
    report_of(plant, seed)
    monkeypatch.undo()
    pair, x, index, columns, hints = caught[0]
    with np.errstate(all="ignore"):
        return opinions(cases_at(pair, x, index, columns, hints or Hints()), HYPOTHESES)


def told(said):
    """What would be told: the claims, and the inputs that each is about."""
    chosen = smallest_cover(said, VAGUE) or smallest_cover(said)
    return {(claim.cause, claim.kind, claim.words, claim.place, names) for claim, names in chosen}


@pytest.mark.parametrize("name", [name for name in PLANTED if PLANTED[name].hypothesis != "in_one_row"])
def test_without_a_hypothesis_its_examples_are_lost_and_nothing_else(name, monkeypatch):
    said = opinions_about(PLANTED[name], 0, monkeypatch)
    before = told(said)
    for hypothesis in HYPOTHESES:
        after = told({key: value for key, value in said.items() if key != hypothesis})
        assert (after != before) == (hypothesis == PLANTED[name].hypothesis), (hypothesis, before, after)


@pytest.mark.parametrize("name", [name for name in PLANTED if PLANTED[name].hypothesis != "in_one_row"])
def test_the_order_of_the_hypotheses_does_not_matter(name, monkeypatch):
    said = opinions_about(PLANTED[name], 1, monkeypatch)
    rng = np.random.default_rng(5)
    for _ in range(10):
        keys = list(said)
        rng.shuffle(keys)
        shuffled = {key: {n: c[::-1] for n, c in said[key].items()} for key in keys}
        assert told(shuffled) == told(said)


def test_every_hypothesis_has_an_example():
    models_only = {"one_term_of_the_objective", "one_side_of_a_fork"}
    assert {plant.hypothesis for plant in PLANTED.values()} - {"in_one_row"} | models_only == HYPOTHESES.keys()
