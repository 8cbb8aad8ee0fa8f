"""check_file: every pair f / f_backward that a file defines, on inputs made from the names of the parameters.

Sizes in what is made up: B = 5 rows, I = 4 inputs, O = 3 outputs, Z = 2 latents.
"""

import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from scratchvae.checks.report import Finding, Report
from scratchvae.checks.vjp.check import check_vjp

B, I, O, Z, H = 5, 4, 3, 2, 6  # noqa: E741  the house's names of sizes
TARGETS = ("eps", "mask", "target", "targets", "label", "labels", "t", "y", "x")  # no gradient is missed, in this order
SHAPES: dict[str, tuple[int, ...]] = dict.fromkeys(("z", "mu", "logvar", "log_var", "eps", "noise", "sigma"), (B, Z))
SHAPES |= {"W": (I, O), "b": (O,), "W1": (I, H), "b1": (H,), "W2": (H, O), "b2": (O,), "gamma": (I,), "beta": (I,)}


def check_file(path: str | Path) -> Iterator[Report]:
    """A report for every pair, in the order of the file. A module-level INPUTS = {"f": {"x": array}} chooses inputs.

    Raises    ValueError, in one line: no such file, one that cannot be imported, one without pairs.
    """
    module = imported(Path(path))
    functions = {
        n: f for n, f in vars(module).items() if callable(f) and getattr(f, "__module__", "") == module.__name__
    }
    pairs = [name for name in functions if f"{name}_backward" in functions]
    if not pairs:
        raise ValueError(f"{path} should define pairs of functions named f and f_backward, got {found(functions)}")
    given = getattr(module, "INPUTS", {})
    for name in pairs:
        yield check_pair(name, functions[name], functions[f"{name}_backward"], given.get(name, {}))


def found(functions: Mapping[str, Any]) -> str:
    return ", ".join(functions) or "no functions"


def imported(path: Path) -> ModuleType:
    """The file as a module; its own folder is on the import path meanwhile."""
    if not path.is_file():
        raise ValueError(f"expected a Python file, got {path}, which is not there; check the path")
    spec = importlib.util.spec_from_file_location(f"student_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ValueError(f"expected a Python file, got {path}; its name should end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # whatever a file can do while it is imported
        raise ValueError(
            f"{path} cannot be imported: {type(error).__name__}: {error}; run it on its own first"
        ) from None
    finally:
        sys.path.remove(str(path.parent))
    return module


def check_pair(
    name: str, forward: Callable[..., Any], backward: Callable[..., Any], given: Mapping[str, Any]
) -> Report:
    """One pair. What goes wrong while it runs is a finding too, since the other pairs are still to be checked."""
    rng = np.random.default_rng(0)
    parameters = [p.name for p in inspect.signature(forward).parameters.values() if p.default is p.empty]
    inputs = {**{p: made_up(p, parameters, rng) for p in parameters}, **given}
    try:
        y, cache = forward(**{p: np.copy(value) for p, value in inputs.items()})
        grads = backward(rng.standard_normal(np.shape(y)), cache)
        constants = without_gradient(list(inputs), grads)
        return check_vjp(
            forward,
            backward,
            {p: value for p, value in inputs.items() if p not in constants},
            constants={p: inputs[p] for p in constants},
            title=name,
        )
    except Exception as error:  # a student's code may do anything
        shapes = ", ".join(f"{p} {np.shape(value)}" for p, value in inputs.items())
        text = f"{type(error).__name__}: {error}; called with {shapes}; INPUTS = {{'{name}': {{...}}}} chooses others"
        return Report(name, findings=[Finding((name,), "unknown", " ".join(text.split()))])


def made_up(name: str, parameters: list[str], rng: np.random.Generator) -> np.ndarray:
    """Numbers for a parameter of this name, beside the others."""
    shape = SHAPES.get(name, (B, I))
    if name in ("z", "h", "a") and ("W" in parameters or "W1" in parameters):
        shape = (B, I)
    if name in TARGETS and ("logits" in parameters or "p" in parameters or name != "x"):
        return rng.random(shape) if name not in ("eps",) else rng.standard_normal(shape)
    if name in ("p", "probs", "sigma"):
        return rng.uniform(0.2, 0.8, shape)
    return rng.standard_normal(shape)


def without_gradient(names: list[str], grads: Any) -> list[str]:
    """Which inputs are constants, when fewer gradients come back than there are inputs: targets and noise go first."""
    several = isinstance(grads, tuple | list)
    if isinstance(grads, Mapping):
        return [name for name in names if name in TARGETS and not {name, f"d{name}"} & set(grads)]
    missing = len(names) - (len(grads) if several else 1)
    return [name for name in TARGETS if name in names][: max(0, missing)]
