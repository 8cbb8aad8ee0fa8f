"""check_function: a torch.autograd.Function of your own under the same checks as a pair in NumPy.

PyTorch is an extra, and nothing else in this package imports this file:

    pip install "scratchvae[torch]"
    from scratchvae.checks.pytorch import check_function
"""

import ast
import contextlib
import inspect
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from scratchvae.checks.report import Report
from scratchvae.checks.vjp.check import check_vjp

WORST_FIRST = ("wrong", "not written yet", "untested", "ok")


def check_function(
    function: Any,
    inputs: Mapping[str, Any],
    *,
    constants: Mapping[str, Any] | None = None,
    rng: np.random.Generator | None = None,
) -> Report:
    """Its backward against differences of its forward, for every input, and if wrong, why.

    inputs, tensors or arrays by the names of forward's arguments, are differentiated; constants (targets, a mask, p,
    flags) are handed on as they are, and what neither names keeps its default. All is computed on the CPU in float64.
    Of several outputs each is checked on its own. ctx is PyTorch's: saved tensors, attributes, needs_input_grad,
    setup_context; and as in PyTorch a gradient that is larger than its input by broadcasting is summed.
    Not checked: a second derivative, and a forward that writes into its input (mark_dirty).

    Raises    ValueError: PyTorch is missing, an argument has no value, a wrong number of gradients.

    Example

        class Scale(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x, sigma):
                ctx.save_for_backward(x, sigma)
                return x * sigma

            @staticmethod
            def backward(ctx, dy):
                x, sigma = ctx.saved_tensors
                return dy, (dy * x).sum(dim=0)

        print(check_function(Scale, {"x": x, "sigma": sigma}))

        Scale: 1 finding

          dx: sigma is missing where dy enters
            cause   elementwise-factor (x)
            repair  multiply dy by sigma

    torch.autograd.gradcheck(Scale.apply, (x, sigma)) says of the same function: Jacobian mismatch for output 0 with
    respect to input 0, and prints both matrices, of 15 rows and columns for an x of three rows and five columns.
    """
    try:
        import torch
    except ImportError:
        raise ValueError('check_function needs PyTorch; install it with: pip install "scratchvae[torch]"') from None
    if not inspect.isclass(function) or not issubclass(function, torch.autograd.Function):
        raise ValueError(f"check_function takes a class made of torch.autograd.Function, got {function!r}")
    title, constants = function.__name__, constants or {}
    arrays, fixed = ({name: as_array(a) for name, a in given.items()} for given in (inputs, constants))
    names = [name for name, a in arrays.items() if np.asarray(a).dtype.kind == "f"]
    subject = Subject(function, names, arguments(function, inputs, constants))
    reports = []
    for k in subject.outputs(arrays, fixed):
        forward, backward = subject.pair(k)
        reports.append(check_vjp(forward, backward, arrays, constants=fixed, rng=rng, title=title))
    return reports[0] if len(reports) == 1 else together(title, reports)


class Subject(NamedTuple):
    """A Function, the names of its inputs that are differentiated, and those of all arguments in their order."""

    function: Any
    names: list[str]
    order: dict[str, Any]  # name -> default

    def apply(self, values: Mapping[str, Any]) -> tuple[list[Any], Any, dict[str, np.ndarray]]:
        """The outputs, the ctx of this call, and what it has saved, as arrays that share memory with it."""
        import torch

        x = {name: np.asarray(values[name]) for name in self.names}
        if any(a.dtype.kind == "c" for a in x.values()):  # why: torch multiplies no complex matrix with a real one
            x = {name: a.astype(complex) if a.dtype.kind == "f" else a for name, a in x.items()}
        tensors = {name: as_tensor(value) for name, value in {**values, **x}.items()}
        for name in self.names:
            tensors[name].requires_grad_(tensors[name].is_floating_point() or tensors[name].is_complex())
        saved: list[Any] = []

        def keep(tensor: Any) -> Any:  # why: without torch's own version counter, that raises where we want to look
            saved.append(tensor.detach())
            return saved[-1]

        with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            out = self.function.apply(*(tensors.get(name, default) for name, default in self.order.items()))
        outputs = [*out] if isinstance(out, tuple | list) else [out]
        ctx = next((y.grad_fn for y in outputs if getattr(y, "grad_fn", None) is not None), None)
        if ctx is None:
            raise ValueError(f"{self.function.__name__} should return a tensor that depends on {', '.join(self.names)}")
        names = saved_names(self.function, len(saved))
        kept = dict(zip(names, saved, strict=True))
        kept |= {name: value for name, value in vars(ctx).items() if torch.is_tensor(value)}
        return outputs, ctx, {name: shared(tensor) for name, tensor in kept.items()}

    def outputs(self, arrays: Mapping[str, Any], constants: Mapping[str, Any]) -> list[int]:
        """The places of the outputs that have a derivative."""
        wide = {name: a.astype(float) if a.dtype.kind == "f" else a for name, a in arrays.items()}
        outputs, ctx, _ = self.apply({**wide, **constants})
        return [k for k, y in enumerate(outputs) if getattr(y, "grad_fn", None) is ctx]

    def pair(self, k: int) -> tuple[Callable[..., Any], Callable[[Any, Any], Any]]:
        """Output k as a forward and a backward in NumPy."""

        def forward(**values: Any) -> tuple[np.ndarray, Any]:
            outputs, ctx, kept = self.apply(values)

            def pull(dy: np.ndarray) -> dict[str, Any]:
                dys = [as_tensor(dy) if i == k else zeros(y) for i, y in enumerate(outputs)]
                return self.gradients(ctx, dys, {name: np.shape(values[name]) for name in self.names})

            return shared(outputs[k]), (kept, pull)

        return forward, lambda dy, cache: cache[1](dy)

    def gradients(self, ctx: Any, dys: Sequence[Any], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
        """What backward returns, by name; None where it gives none."""
        import torch

        own = self.function.backward is not torch.autograd.Function.backward
        with torch.no_grad():
            grads = (self.function.backward if own else self.function.vjp)(ctx, *dys)
        grads = [*grads] if isinstance(grads, tuple | list) else [grads]
        if len(grads) < len(self.order) or any(g is not None for g in grads[len(self.order) :]):
            expected = f"one for each of forward's {len(self.order)} arguments ({', '.join(self.order)})"
            raise ValueError(f"backward should return {expected}, None where there is none, got {len(grads)}")
        found = dict(zip(self.order, grads, strict=False))
        return {name: None if found[name] is None else summed(found[name], shape) for name, shape in shapes.items()}


def arguments(function: Any, inputs: Mapping[str, Any], constants: Mapping[str, Any]) -> dict[str, Any]:
    """forward's arguments by name, in order, with their defaults; those of *args are called as inputs and constants."""
    import torch

    parameters = [*inspect.signature(function.forward).parameters.values()]
    if function.setup_context is torch.autograd.Function.setup_context:
        parameters = parameters[1:]  # ctx
    order: dict[str, Any] = {p.name: p.default for p in parameters if p.kind is not p.VAR_POSITIONAL}
    given = {**inputs, **constants}
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        order |= {name: p.empty for p in parameters[-1:] for name in given if name not in order}
    if odd := sorted(given.keys() - order.keys()):
        raise ValueError(f"forward takes {', '.join(order)}, got {', '.join(odd)}; use its own names")
    if missing := [n for n, default in order.items() if default is inspect.Parameter.empty and n not in given]:
        raise ValueError(f"forward needs a value for {', '.join(missing)}; put it into inputs, or into constants")
    return order


def saved_names(function: Any, n: int) -> list[str]:
    """What the n saved tensors are called where they are saved; by their place if the source does not say."""
    by_place = [f"saved_tensors[{i}]" for i in range(n)]
    try:
        trees = [ast.parse(textwrap.dedent(inspect.getsource(f))) for f in (function.forward, function.setup_context)]
    except (OSError, TypeError, SyntaxError):
        return by_place
    calls = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    found = [c.args for c in calls if isinstance(c.func, ast.Attribute) and c.func.attr == "save_for_backward"]
    names = [ast.unparse(arg) for arg in found[0]] if len(found) == 1 else []
    return names if len(names) == n == len(set(names)) and "*" not in "".join(names) else by_place


def as_array(value: Any) -> Any:
    """A tensor as an array of the same numbers; a float one that NumPy does not have, in float32."""
    if not hasattr(value, "detach"):
        return value
    tensor = value.detach().cpu()
    return tensor.float().numpy() if "bfloat16" in str(tensor.dtype) else tensor.numpy()


def as_tensor(value: Any) -> Any:
    """An array as a tensor that shares its memory, if it may be written to; floats in float64; the rest as it is."""
    import torch

    if not isinstance(value, np.ndarray):
        return value
    wide = value.astype(float) if value.dtype.kind == "f" and value.dtype != float else value
    return torch.from_numpy(wide if wide.flags.writeable else wide.copy())


def shared(tensor: Any) -> np.ndarray:
    """A tensor as an array on the same memory."""
    array: np.ndarray = tensor.detach().numpy()
    return array[...]  # why: a view of an array can be made read-only and back, one of a tensor cannot


def zeros(y: Any) -> Any:
    """What an output hears that nobody asks for."""
    import torch

    return torch.zeros_like(y) if torch.is_tensor(y) else None


def summed(grad: Any, shape: tuple[int, ...]) -> np.ndarray:
    """The gradient as PyTorch takes it: summed to the input's shape, if it is larger by broadcasting only."""
    with contextlib.suppress(RuntimeError):  # why: another shape is told by the check
        grad = grad.sum_to_size(shape)
    return grad.detach().numpy()


def together(title: str, reports: Sequence[Report]) -> Report:
    """One report about all outputs: the worst row of every input, and every finding once."""
    report = Report(title)
    for rows in zip(*(r.rows for r in reports), strict=True):
        k, seen = min(
            enumerate(rows), key=lambda pair: (WORST_FIRST.index(pair[1].status), -np.nan_to_num(pair[1].error))
        )
        report.rows.append(seen._replace(note=seen.note or (f"from output {k}" if seen.status == "wrong" else "")))
    told: dict[tuple[Any, ...], list[int]] = {}
    for k, one in enumerate(reports):
        for finding in one.findings:
            told.setdefault((finding.inputs, finding.cause, finding.message), []).append(k)
    for (inputs, cause, message), outputs in told.items():
        findings = reports[outputs[0]].findings
        finding = next(f for f in findings if (f.inputs, f.cause, f.message) == (inputs, cause, message))
        where = "" if len(outputs) == len(reports) else f"from output {' and '.join(map(str, outputs))}: "
        report.findings.append(finding._replace(message=where + message))
    return report
