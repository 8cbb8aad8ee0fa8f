"""Why a gradient is wrong: one slip, one finding, and no word that a second point does not bear out."""

import numpy as np
import pytest
from planted import PLANTED

from scratchvae.checks import check_vjp
from scratchvae.checks.vjp.explain import HYPOTHESES


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


def test_every_hypothesis_has_an_example():
    models_only = {"one_term_of_the_objective", "one_side_of_a_fork"}
    assert {plant.hypothesis for plant in PLANTED.values()} - {"in_one_row"} | models_only == HYPOTHESES.keys()
