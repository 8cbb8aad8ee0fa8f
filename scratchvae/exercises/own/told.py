"""What is told of an answer before its numbers, and which of its wrong values is told first."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from scratchvae.checks.report import Report
from scratchvae.exercises.blank import Blank, differ, in_order, of_the_values


def in_a_row(blank: Blank, *names: str) -> Blank:
    """A dict, or another number of values, is wrong: functions further down take apart what this one returns."""
    n = len(names)
    text = f"{n} value{'s' * (n > 1)} should be returned, {', '.join(names)}{', in this order' * (n > 1)}"

    def judge(answer: Callable[..., Any], rng: np.random.Generator) -> Report:
        values = answer(*blank.arguments(rng))
        if isinstance(values, Mapping):
            return of_the_values(f"{text}, and not a dict")
        if (found := len(in_order(values, n))) != n:
            return of_the_values(f"{text}, and there {'is' if found == 1 else 'are'} {found}")
        return blank.judge(answer, rng)

    return blank._replace(judge=judge)


def without_dice(blank: Blank, text: str) -> Blank:
    """Two calls with the same arguments give the same numbers, but for rounding; else something is drawn inside."""

    def judge(answer: Callable[..., Any], rng: np.random.Generator) -> Report:
        point = blank.arguments(copy.deepcopy(rng))
        if differ(*(answer(*copy.deepcopy(point)) for _ in range(2))):
            return of_the_values(text, "noise-redrawn")
        return blank.judge(answer, rng)

    return blank._replace(judge=judge)


def source_first(blank: Blank, *names: str) -> Blank:
    """Of several wrong values the first to be computed is told: those made of it are wrong with it."""

    def judge(answer: Callable[..., Any], rng: np.random.Generator) -> Report:
        report = blank.judge(answer, rng)
        report.findings.sort(key=lambda finding: names.index(finding.inputs[0]) if finding.inputs[0] in names else -1)
        return report

    return blank._replace(judge=judge)
