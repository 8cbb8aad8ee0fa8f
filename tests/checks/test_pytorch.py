"""check_function: the usual ways to write a torch.autograd.Function, right and wrong; skipped without PyTorch."""

import inspect
import re
import subprocess
import sys
import textwrap

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason='PyTorch is missing: pip install "scratchvae[torch]"')

from scratchvae.checks.pytorch import check_function  # noqa: E402


def normal(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


DENSE = {"x": normal(5, 4), "W": normal(4, 3, seed=1), "b": normal(3, seed=2)}


def function(forward, backward, **more):
    """A Function of these two."""
    methods = {"forward": forward, "backward": backward, **more}
    return type("Mine", (torch.autograd.Function,), {name: staticmethod(f) for name, f in methods.items()})


def dense(ctx, x, W, b):
    ctx.save_for_backward(x, W)
    return x @ W + b


def dense_backward(ctx, dy):
    x, W = ctx.saved_tensors
    return dy @ W.T, x.T @ dy, dy.sum(dim=0)


def only(report):
    assert len(report.findings) == 1, str(report)
    return report.findings[0]


# ---------------------------------------------------------------------------------------------------------------------
# Right ones: as PyTorch's own gradcheck says, and no false alarm


def softplus_of(ctx, x, beta=1.0, threshold=20.0):
    ctx.beta = beta
    ctx.save_for_backward(x)
    return torch.log1p(torch.exp(beta * x)) / beta


def softplus_back(ctx, dy):
    (x,) = ctx.saved_tensors
    return dy * torch.sigmoid(ctx.beta * x), None, None


def new_style(x, W):
    return torch.tanh(x) @ W


def new_style_setup(ctx, inputs, output):
    ctx.save_for_backward(*inputs)


def new_style_back(ctx, dy):
    x, W = ctx.saved_tensors
    y = torch.tanh(x)
    return (dy @ W.T) * (1 - y * y), y.T @ dy


def only_if_needed(ctx, x, W, b):
    return dense(ctx, x, W, b)


def only_if_needed_back(ctx, dy):
    x, W = ctx.saved_tensors
    needed = ctx.needs_input_grad
    return (
        dy @ W.T if needed[0] else None,
        x.T @ dy if needed[1] else None,
        dy.sum(dim=0) if needed[2] else None,
    )


def two_outputs(ctx, x, k):
    y = torch.exp(x)
    ctx.save_for_backward(x, y)
    ctx.k = k
    index = torch.argmax(x, dim=1)
    ctx.mark_non_differentiable(index)
    return y, index, (x**k).sum()


def two_outputs_back(ctx, dy, dindex, ds):
    x, y = ctx.saved_tensors
    return dy * y + ds * ctx.k * x ** (ctx.k - 1), None


def scores(ctx, logits, labels):
    p = torch.softmax(logits, dim=1)
    ctx.save_for_backward(p, labels)
    return -torch.log(p[torch.arange(len(p)), labels]).mean()


def scores_back(ctx, dloss):
    p, labels = ctx.saved_tensors
    grad = p.clone()
    grad[torch.arange(len(p)), labels] -= 1
    return dloss * grad / len(p), None


def stacked(ctx, *xs):
    ctx.n = len(xs)
    return torch.cat(xs)


def stacked_back(ctx, dy):
    return tuple(dy.chunk(ctx.n))


def not_summed_back(ctx, dy):
    x, W = ctx.saved_tensors
    return dy @ W.T, x.T @ dy, dy  # PyTorch sums what was broadcast


RIGHT = {
    "dense": (function(dense, dense_backward), DENSE, {}),
    "only what is needed": (function(only_if_needed, only_if_needed_back), DENSE, {}),
    "defaults": (function(softplus_of, softplus_back), {"x": normal(4, 3)}, {}),
    "a flag": (function(softplus_of, softplus_back), {"x": normal(4, 3)}, {"beta": 2.0}),
    "setup_context": (
        function(new_style, new_style_back, setup_context=new_style_setup),
        {"x": normal(4, 3), "W": normal(3, 2, seed=1)},
        {},
    ),
    "several outputs": (function(two_outputs, two_outputs_back), {"x": normal(4, 3)}, {"k": 3}),
    "labels": (function(scores, scores_back), {"logits": normal(4, 3)}, {"labels": torch.tensor([0, 2, 1, 1])}),
    "labels among the inputs": (
        function(scores, scores_back),
        {"logits": normal(4, 3), "labels": torch.tensor([0, 2, 1, 1])},
        {},
    ),
    "any number": (function(stacked, stacked_back), {"a": normal(2, 3), "b": normal(2, 3, seed=1)}, {}),
    "not summed": (function(dense, not_summed_back), DENSE, {}),
    "vjp": (function(dense, torch.autograd.Function.backward, vjp=dense_backward), DENSE, {}),
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_pytorch_accepts_is_accepted(name):
    mine, inputs, constants = RIGHT[name]
    given = {key: torch.clone(value) for key, value in inputs.items()}
    report = check_function(mine, inputs, constants=constants)
    assert report.ok, str(report)
    assert {row.name for row in report.rows} == {key for key, x in inputs.items() if x.is_floating_point()}
    for key, value in inputs.items():
        assert torch.equal(value, given[key])
        assert not value.requires_grad
    arguments = [constants.get(key, inputs.get(key)) for key in [*inputs, *constants]]
    if name not in ("a flag", "defaults"):
        leaves = [a.clone().requires_grad_() if torch.is_tensor(a) and a.is_floating_point() else a for a in arguments]
        assert torch.autograd.gradcheck(lambda *args: differentiable(mine.apply(*args)), leaves)


def differentiable(out):
    return tuple(y for y in out if y.requires_grad) if isinstance(out, tuple) else out


def test_arrays_are_taken_like_tensors():
    mine = function(dense, dense_backward)
    assert check_function(mine, {name: tensor.numpy() for name, tensor in DENSE.items()}).ok


# ---------------------------------------------------------------------------------------------------------------------
# Wrong ones


def averaged(ctx, dy):
    x, W = ctx.saved_tensors
    return dy @ W.T, x.T @ dy, dy.mean(dim=0)


def untouched(ctx, dy):
    _, W = ctx.saved_tensors
    return dy @ W.T, None, dy.sum(dim=0)


def too_long(ctx, dy):
    x, W = ctx.saved_tensors
    return dy @ W.T, x.T @ dy, torch.cat([dy.sum(dim=0)] * 2)


def in_place(ctx, dy):
    x, W = ctx.saved_tensors
    db = dy.sum(dim=0)
    return dy @ W.T, x.T @ dy.mul_(1.0), dy.mul_(2.0).sum(dim=0) * 0 + db


def on_the_cache(ctx, dy):
    x, W = ctx.saved_tensors
    dx = dy @ W.T
    return dx, x.mul_(2.0).T @ dy / 2, dy.sum(dim=0)


def half_precision(ctx, dy):
    x, W = ctx.saved_tensors
    return (dy.float() @ W.T.float()), x.T @ dy, dy.sum(dim=0)


WRONG = {"averaged": ("b", "factor"), "untouched": ("W", "zero"), "too_long": ("b", "shape")}
WRONG |= {"on_the_cache": ("x", "mutates-input"), "in_place": ("dy", "mutates-input")}
WRONG |= {"half_precision": ("x", "precision")}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_found_and_named(name):
    where, cause = WRONG[name]
    finding = only(check_function(function(dense, globals()[name]), DENSE))
    assert (finding.inputs, finding.cause) == ((where,), cause)


def test_noise_inside_is_found():
    def noisy(ctx, x):
        return x + torch.randn_like(x)

    assert only(check_function(function(noisy, lambda ctx, dy: dy), {"x": normal(3, 2)})).cause == "noise-redrawn"


def test_what_is_saved_goes_by_its_name():
    """An attribute of ctx, and a saved tensor, which forgotten factors are named by."""

    def scaled(ctx, x, eps):
        sigma = torch.exp(0.5 * eps)
        ctx.sigma = sigma
        return x * sigma

    mine, eps = function(scaled, lambda ctx, dy: (dy, None)), normal(3, 2, seed=1)
    finding = only(check_function(mine, {"x": normal(3, 2)}, constants={"eps": eps}))
    assert finding.cause == "elementwise-factor"
    assert "sigma" in finding.message + finding.repair

    def saving(ctx, x, mask):
        gate = mask * 3.0 + torch.arange(6.0, dtype=torch.float64).reshape(3, 2)
        ctx.save_for_backward(x, gate)
        return x * gate

    mine, mask = function(saving, lambda ctx, dy: (dy, None)), torch.ones(3, 2, dtype=torch.float64)
    finding = only(check_function(mine, {"x": normal(3, 2)}, constants={"mask": mask}))
    assert "gate" in finding.message + finding.repair


def test_of_several_outputs_the_wrong_one_is_said():
    def backward(ctx, dy, dindex, ds):
        x, y = ctx.saved_tensors
        return dy * y + ds * x ** (ctx.k - 1), None  # k is forgotten, in the last output

    report = check_function(function(two_outputs, backward), {"x": normal(4, 3)}, constants={"k": 3})
    assert only(report).message.startswith("from output 1: dx")
    assert [(row.name, row.status, row.note) for row in report.rows] == [("x", "wrong", "from output 1")]


def test_one_slip_in_all_outputs_is_one_finding():
    def backward(ctx, dy, dindex, ds):
        return tuple(None if g is None else -g for g in two_outputs_back(ctx, dy, dindex, ds))

    finding = only(check_function(function(two_outputs, backward), {"x": normal(4, 3)}, constants={"k": 3}))
    assert finding.cause == "sign"
    assert not finding.message.startswith("from output")


# ---------------------------------------------------------------------------------------------------------------------
# Calls that make no sense


@pytest.mark.parametrize(
    ("mine", "inputs", "constants", "text"),
    [
        (function(dense, dense_backward).apply, DENSE, {}, "takes a class made of torch.autograd.Function"),
        (function(dense, dense_backward), {"x": DENSE["x"]}, {}, "forward needs a value for W, b"),
        (function(dense, dense_backward), DENSE, {"p": 0.5}, "forward takes x, W, b, got p"),
        (function(dense, lambda ctx, dy: dy), DENSE, {}, "one for each of forward's 3 arguments"),
        (function(lambda ctx, x: 3.0, lambda ctx, dy: dy), {"x": DENSE["x"]}, {}, "a tensor that depends on x"),
    ],
)
def test_a_call_that_makes_no_sense_says_so_in_one_line(mine, inputs, constants, text):
    with pytest.raises(ValueError, match=text) as caught:
        check_function(mine, inputs, constants=constants)
    assert "\n" not in str(caught.value)


def test_the_docstring_shows_what_is_printed():
    """Its class, its report, and what torch.autograd.gradcheck says of it."""
    example = inspect.getdoc(check_function).split("Example", 1)[1]
    code, rest = example.split("print(check_function", 1)
    shown = textwrap.dedent(rest.split("\n", 1)[1].split("torch.autograd", 1)[0]).strip()
    scope = {"torch": torch}
    exec(textwrap.dedent(code), scope)
    x, sigma = normal(3, 5), torch.exp(normal(5, seed=1))
    printed = str(check_function(scope["Scale"], {"x": x, "sigma": sigma}))
    assert printed.startswith(shown), printed
    with pytest.raises(RuntimeError) as caught:
        torch.autograd.gradcheck(scope["Scale"].apply, (x.requires_grad_(), sigma.requires_grad_()))
    said = " ".join(str(caught.value).split())
    assert "Jacobian mismatch for output 0 with respect to input 0" in said
    assert "Jacobian mismatch for output 0 with respect to input 0" in " ".join(example.split())
    assert len(re.findall(r"tensor\(\[\[", said)) == 2


def test_the_package_needs_no_pytorch():
    code = "import sys, scratchvae.checks.pytorch; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    code = """
import sys
sys.modules["torch"] = None
from scratchvae.checks.pytorch import check_function
try:
    check_function(object, {})
except ValueError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == 'check_function needs PyTorch; install it with: pip install "scratchvae[torch]"\n'
