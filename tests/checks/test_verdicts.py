"""The verdicts: no entry that is off is ever ok, no right one is ever wrong, and what cannot be seen is untested."""

import numpy as np
import pytest
from functions import KINDS, SLIPS, draw, spoiled
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchvae.checks import check_vjp
from scratchvae.checks.vjp import check
from scratchvae.layers import dense, dense_backward, relu, relu_backward, tanh

HIDDEN = {"weighed wildly", "cross entropy", "cancelling", "oscillating"}  # much of it is below the rounding of y
SEEDS = st.integers(0, 10**9)


def states(forward, backward, inputs, seed=0):
    report = check_vjp(forward, backward, inputs, rng=np.random.default_rng(seed))
    return {row.name: row.status for row in report.rows}, report


def right_and_wrong(kind, slip, seed):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(check, "explain", lambda *_: [])  # the verdicts alone: explaining them takes longer
        judge_both(kind, slip, seed)


def judge_both(kind, slip, seed):
    forward, backward, inputs = draw(kind, seed)
    found, report = states(forward, backward, inputs, seed)
    assert "wrong" not in found.values(), f"{kind} {seed}: {report}"
    assert not report.findings, f"{kind} {seed}: {report}"
    if bad := spoiled(forward, backward, inputs, slip, np.random.default_rng(seed)):
        wrong, name = bad
        found, report = states(forward, wrong, inputs, seed)
        assert found[name] != "ok", f"{kind} {slip} {seed}: {report}"


# -- two thousand functions --------------------------------------------------------------------------------------------


@given(kind=st.sampled_from(list(KINDS)), slip=st.sampled_from(list(SLIPS)), seed=SEEDS)
@settings(max_examples=200, deadline=None)
def test_an_entry_that_is_off_is_never_ok_and_a_right_one_never_wrong(kind, slip, seed):
    right_and_wrong(kind, slip, seed)


@pytest.mark.slow
@given(kind=st.sampled_from(list(KINDS)), slip=st.sampled_from(list(SLIPS)), seed=SEEDS)
@settings(max_examples=2000, deadline=None)
def test_two_thousand_functions(kind, slip, seed):
    right_and_wrong(kind, slip, seed)


@pytest.mark.parametrize("kind", sorted(set(KINDS) - HIDDEN))
def test_most_of_what_is_right_is_seen(kind, rng):
    """Where y shows its slopes at all, nine functions in ten are ok."""
    seeds = rng.integers(0, 10**9, 10)
    found = [states(*draw(kind, seed), seed)[0] for seed in seeds]
    rows = [state for each in found for state in each.values()]
    assert rows.count("ok") >= 0.7 * len(rows), rows


# -- compositions ------------------------------------------------------------------------------------------------------


def composed(ops, weights):
    """A forward and its backward, composed from simple ones: affine maps, curves, products, a skip, a sum."""

    def forward(x, **W):
        tape, h = [], x
        for i, op in enumerate(ops):
            tape.append(h)
            if op == "affine":
                h = h @ W[f"W{i}"] + 0.5
            elif op == "tanh":
                h = np.tanh(h)
            elif op == "sin":
                h = np.sin(h)
            elif op == "square":
                h = h * h
            elif op == "times x":
                h = h * x
            elif op == "skip":
                h = h + x
        return h.sum(axis=1), (tape, x, W)

    def backward(dy, cache):
        tape, x, W = cache
        grads = {}
        dh, dx = np.broadcast_to(dy[:, None], x.shape), np.zeros(x.shape)
        for i, op in reversed(list(enumerate(ops))):
            h = tape[i]
            if op == "affine":
                grads[f"W{i}"] = h.T @ dh
                dh = dh @ W[f"W{i}"].T
            elif op == "tanh":
                dh = dh * (1 - np.tanh(h) ** 2)
            elif op == "sin":
                dh = dh * np.cos(h)
            elif op == "square":
                dh = 2 * dh * h
            elif op == "times x":
                dx, dh = dx + dh * h, dh * x
            elif op == "skip":
                dx = dx + dh
        return {"x": dx + dh, **grads}

    return forward, backward


OPS = st.lists(st.sampled_from(["affine", "tanh", "sin", "square", "times x", "skip"]), min_size=1, max_size=6)


@given(ops=OPS, seed=SEEDS, scale=st.sampled_from([1e-8, 1e-3, 1.0, 3.0]))
@settings(max_examples=60, deadline=None)
def test_random_correct_functions_are_accepted(ops, seed, scale):
    rng = np.random.default_rng(seed)
    weights = {f"W{i}": 0.7 * rng.standard_normal((3, 3)) for i, op in enumerate(ops) if op == "affine"}
    forward, backward = composed(ops, weights)
    found, report = states(forward, backward, {"x": scale * rng.standard_normal((4, 3)), **weights}, seed)
    assert "wrong" not in found.values(), str(report)
    assert not report.findings, str(report)


@given(ops=OPS, seed=SEEDS, data=st.data())
@settings(max_examples=30, deadline=None)
def test_one_entry_by_a_thousandth_is_never_ok_wherever_it_sits(ops, seed, data):
    rng = np.random.default_rng(seed)
    weights = {f"W{i}": 0.7 * rng.standard_normal((3, 3)) for i, op in enumerate(ops) if op == "affine"}
    forward, backward = composed(ops, weights)
    inputs = {"x": rng.standard_normal((4, 3)), **weights}
    name = data.draw(st.sampled_from(sorted(inputs)))
    y, cache = forward(**inputs)
    size = np.abs(backward(rng.standard_normal(y.shape), cache)[name])
    places = np.argwhere(size > 0)
    place = tuple(places[data.draw(st.integers(0, len(places) - 1))])

    def wrong(dy, cache):
        grads = backward(dy, cache)
        grads[name][place] *= 1.001
        return grads

    found, report = states(forward, wrong, inputs, seed)
    assert found[name] != "ok", str(report)
    if size[place] > 1e-2 * size.max():  # an entry whose derivative is there to be seen
        (finding,) = report.findings
        assert (finding.inputs, finding.where) == ((name,), place)
        assert finding.ratio == pytest.approx(1 / 1.001, rel=1e-4)


def test_a_gradient_that_bends_much_has_no_noise_of_its_own():
    """sin of a fourth power: no curve of low degree follows its gradient for long, and that is no rounding."""
    ops, rng = ["affine", "square", "square", "sin"], np.random.default_rng(1244)
    weights = {"W0": 0.7 * rng.standard_normal((3, 3))}
    forward, backward = composed(ops, weights)

    def wrong(dy, cache):
        grads = backward(dy, cache)
        grads["x"][1, 2] *= 1.001
        return grads

    found, report = states(forward, wrong, {"x": rng.standard_normal((4, 3)), **weights}, 1244)
    assert found["x"] == "wrong", str(report)
    assert report.findings[0].where == (1, 2)


# -- what cannot be seen -----------------------------------------------------------------------------------------------


def of_real_numbers(f):
    """The same function for those who cannot do complex numbers."""
    return lambda x: f(np.array([float(a) for a in x.flat]).reshape(x.shape))


@pytest.mark.parametrize("wrong", [0.9, 1.1, -1.0, 0.0])
def test_an_oscillation_is_never_agreement(wrong):
    def forward(x):
        return np.sin(1e6 * x), x

    for seed in range(3):
        x = np.random.default_rng(seed).standard_normal(5)
        for f in (forward, of_real_numbers(forward)):
            found, report = states(f, lambda dy, x: wrong * dy * 1e6 * np.cos(1e6 * x), {"x": x}, seed)
            assert found["x"] != "ok", str(report)
        found, report = states(forward, lambda dy, x: dy * 1e6 * np.cos(1e6 * x), {"x": x}, seed)
        assert report.ok, str(report)


def log_determinant(A):
    """log det(A A^T + I) by a Cholesky factor, which for complex numbers is that of another function."""
    K = A @ A.T + np.eye(len(A))
    return 2 * np.log(np.diag(np.linalg.cholesky(K))).sum(), (A, K)


def beside_a_norm(x):
    """asarray leaves the class behind that follows a complex step."""
    return x.sum() + np.linalg.norm(np.asarray(x)), x


@pytest.mark.parametrize(
    ("forward", "backward", "shape"),
    [
        (log_determinant, lambda dy, c: dy * 2 * np.linalg.inv(c[1]) @ c[0], (4, 4)),
        (beside_a_norm, lambda dy, x: dy * (1 + x / np.linalg.norm(x)), (5,)),
    ],
)
def test_a_complex_step_that_loses_something_is_no_witness(forward, backward, shape):
    for seed in range(5):
        x = np.random.default_rng(seed).standard_normal(shape)
        report = check_vjp(forward, backward, {"x": x} if len(shape) == 1 else {"A": x})
        assert report.ok, str(report)
        assert report.rows[0].second is None
        wrong = check_vjp(forward, lambda dy, c: 2 * backward(dy, c), {"x": x} if len(shape) == 1 else {"A": x})
        assert wrong.findings[0].cause == "factor", str(wrong)


def test_the_complex_step_sees_what_differences_do_not():
    """The second term is 20 digits below the first."""

    def forward(x):
        return np.stack([x[0] ** 2 + 1e-20 * x[1] ** 2]), x

    def backward(dy, x):
        return np.array([2 * dy[0] * x[0], 2e-20 * dy[0] * x[1]])

    x = np.array([1.3, 0.7])
    assert states(forward, backward, {"x": x})[0] == {"x": "ok"}
    assert states(of_real_numbers(forward), backward, {"x": x})[0] == {"x": "untested"}
    for slip in (1.001, -1.0, 0.0):
        wrong = [forward, lambda dy, x, slip=slip: backward(dy, x) * np.array([1.0, slip]), {"x": x}]
        assert states(*wrong)[0] != {"x": "ok"}  # nor wrong: so much could be the rounding of backward
        assert states(of_real_numbers(forward), *wrong[1:])[0] == {"x": "untested"}


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_zero_where_everything_cancels_is_untested(scale):
    for seed in range(5):
        x = scale * np.random.default_rng(seed).standard_normal((6, 3))

        def centred(x):
            return (x - x.mean()).sum(), x.shape

        for f in (centred, of_real_numbers(centred)):
            found, report = states(f, lambda dy, shape: np.zeros(shape), {"x": x}, seed)
            assert found == {"x": "untested"}, str(report)
            assert not report.findings


def test_a_slope_hidden_by_rounding_inside_is_not_the_slope_of_its_remainder():
    """y is near 0 and what it is made of is not: by the finest steps the logarithm stands still."""

    def forward(x):
        return np.log(np.expm1(x) / x) - 0.3 * x, x

    def right(dy, x):
        return dy * (0.5 + x / 12 - 0.3)

    def wrong(dy, x):
        return -0.3 * dy + 0 * x

    for seed in range(3):
        x = 1e-6 * np.random.default_rng(seed).standard_normal(8)
        for f in (forward, of_real_numbers(forward)):
            assert states(f, right, {"x": x}, seed)[0]["x"] != "wrong"
            assert states(f, wrong, {"x": x}, seed)[0]["x"] != "ok"


def test_no_slope_anywhere_is_no_pass():
    found, report = states(relu, relu_backward, {"x": -np.ones((3, 2))})
    assert found == {"x": "untested"}
    assert not report.ok
    assert not report.findings
    some = np.array([-1.0, 2.0, -3.0])
    assert states(relu, relu_backward, {"x": some})[1].ok  # a unit that is off has a reason to stand still
    assert states(tanh, lambda dy, y: 0 * dy, {"x": some})[0] == {"x": "wrong"}


def test_entries_of_all_sizes_in_float32(rng):
    inputs = {name: rng.standard_normal(shape).astype("float32") for name, shape in SHAPES.items()}
    found, report = states(dense, dense_backward, inputs)
    assert found == {"x": "ok", "W": "ok", "b": "ok"}
    assert [finding.cause for finding in report.findings] == ["precision"]
    for slip in SLIPS:
        wrong, name = spoiled(dense, dense_backward, inputs, slip, rng)
        found, _ = states(dense, wrong, inputs)
        assert found[name] == "wrong"


SHAPES = {"x": (5, 4), "W": (4, 3), "b": (3,)}


def test_a_curve_that_is_rough_in_a_long_stretch_is_looked_at_in_shorter_ones():
    """tanh of the sine of a fourth power: what a long stretch leaves beside a curve is no rounding."""
    ops, rng = ["affine", "affine", "square", "square", "sin", "tanh"], np.random.default_rng(24826)
    weights = {f"W{i}": 0.7 * rng.standard_normal((3, 3)) for i in (0, 1)}
    forward, backward = composed(ops, weights)

    def wrong(dy, cache):
        grads = backward(dy, cache)
        grads["W0"][0, 0] *= 1.001
        return grads

    found, report = states(forward, wrong, {"x": rng.standard_normal((4, 3)), **weights}, 24826)
    assert found == {"x": "ok", "W0": "wrong", "W1": "ok"}, str(report)
