"""check_vjp: one forward/backward pair against central differences."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from scratchvae.checks.report import Finding, Line, Report, Row

TOLERANCE = 1e-7


def check_vjp(
    forward: Callable[..., tuple[Any, Any]],
    backward: Callable[[Any, Any], Any],
    inputs: Mapping[str, Any],
    *,
    constants: Mapping[str, Any] | None = None,
    rng: np.random.Generator | None = None,
    title: str = "",
) -> Report:
    """dx of sum(dy * y), for a random upstream dy, against central differences, for every input.

    forward(**inputs, **constants) -> y, cache. backward(dy, cache) -> a dict by input name, a tuple in the inputs'
    order, or the one array of a single input. inputs are differentiated; constants (eps, targets, a mask) are handed
    on as they are, and no gradient of theirs is expected.

    Raises    ValueError: inputs that are not floats, more gradients than inputs, a gradient under an unknown name.
    """
    rng = np.random.default_rng(0) if rng is None else rng
    constants = dict(constants or {})
    report = Report(title or getattr(forward, "__name__", "pair"))
    x = {name: np.array(value, dtype=float) for name, value in inputs.items()}
    y, cache = forward(**x, **constants)
    dy = rng.standard_normal(np.shape(y))
    grads = named(backward(dy, cache), list(x))

    for name, value in x.items():
        grad = np.asarray(grads[name])
        u = rng.choice([-1.0, 1.0], value.shape) * rng.uniform(0.5, 1.5, value.shape)

        def f(h: float, name: str = name, value: np.ndarray = value, u: np.ndarray = u) -> float:
            moved, _ = forward(**{**x, name: value + h * u}, **constants)
            return float((dy * moved).sum())

        slope = float((grad * u).sum())
        scale = float(np.linalg.norm(grad) * np.linalg.norm(u) / math.sqrt(value.size))
        error = abs((f(1e-5) - f(-1e-5)) / 2e-5 - slope) / max(scale, 1e-300)
        report.rows.append(
            Row(name, value.shape, error, "ok" if error < TOLERANCE else "wrong", "", Line(f, slope, scale))
        )
        if error >= TOLERANCE:
            report.findings.append(Finding(name, "unknown", f"d{name} does not agree with differences"))
    return report


def named(grads: Any, names: list[str]) -> dict[str, Any]:
    """What a backward returned, as a dict by input name."""
    if isinstance(grads, Mapping):
        return dict(grads)
    if not isinstance(grads, tuple | list):
        grads = (grads,)
    return dict(zip(names, grads, strict=True))
