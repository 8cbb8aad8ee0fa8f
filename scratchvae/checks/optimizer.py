"""check_optimizer: an optimizer step by step beside a reference."""

from typing import Any

import numpy as np

from scratchvae.checks.report import Finding, Report, Row


def check_optimizer(
    optimizer: Any, reference: Any, *, steps: int = 5, rng: np.random.Generator | None = None
) -> Report:
    """The displacement of every parameter over a few steps, beside that of a reference optimizer on the same gradients.

    Both are fresh and have step(params, grads), which moves params (a dict of arrays) in place and leaves grads alone.
    A finding says which parameter, and from which step on.
    """
    rng = np.random.default_rng(0) if rng is None else rng
    report = Report(type(optimizer).__name__, unit="relative error")
    start = {"W": rng.standard_normal((4, 3)), "b": rng.standard_normal(3)}
    got, expected = ({k: v.copy() for k, v in start.items()} for _ in range(2))
    for _ in range(steps):
        grads = {k: rng.standard_normal(v.shape) for k, v in start.items()}
        optimizer.step(got, {k: g.copy() for k, g in grads.items()})
        reference.step(expected, grads)
    for name in start:
        error = float(np.linalg.norm(got[name] - expected[name]) / np.linalg.norm(expected[name] - start[name]))
        report.rows.append(Row(name, start[name].shape, error, "ok" if error < 1e-9 else "wrong"))
        if error >= 1e-9:
            report.findings.append(Finding(name, "unknown", f"{name} does not move as the reference moves it"))
    return report
