"""Why a gradient is wrong: one slip, one finding, and no word that a second point does not bear out."""

import numpy as np
import pytest
from planted import PLANTED, activated, layer, report_of, slope_of_gelu

from scratchvae.checks import check_vjp
from scratchvae.checks.vjp import check, explain
from scratchvae.checks.vjp.cover import VAGUE, opinions, smallest_cover
from scratchvae.checks.vjp.curves import Phi
from scratchvae.checks.vjp.explain import GENERAL
from scratchvae.checks.vjp.point import Hints, cases_at
from scratchvae.layers import sigmoid, softplus


@pytest.mark.parametrize("name", PLANTED)
def test_the_cause_is_named(name, monkeypatch):
    """As it is said of the gradients; a line may be a better reason, and is told then."""
    plant = PLANTED[name]
    monkeypatch.setattr(explain, "HYPOTHESES", GENERAL)
    for seed in range(3):
        report = report_of(plant, 1000 + seed)
        assert len(report.findings) == 1, str(report)
        finding = report.findings[0]
        assert (" ".join(finding.inputs), finding.cause) == (plant.wrong, plant.cause), str(report)
        assert plant.words in f"{finding.message} || {finding.repair}", str(report)


@pytest.mark.parametrize(("c", "sign"), [(-0.7, False), (0.7, True)])
def test_the_sign_of_a_setting_that_is_missing_is_not_told_as_another_fault(c, sign):
    def backward(dy, y):
        return (-dy if sign else dy) * (1 - y * y)

    x = {"x": np.random.default_rng(0).standard_normal((4, 3))}
    (finding,) = check_vjp(lambda x, c: (c * np.tanh(x), np.tanh(x)), backward, x, constants={"c": c}).findings
    assert finding.message.startswith("dx is minus 1.42857 times")
    assert ("the sign is wrong" in finding.message) == sign
    assert finding.repair == f"multiply by c{', and change the sign' * sign}"


@pytest.mark.parametrize("name", PLANTED)
def test_beside_the_lines_it_is_one_finding_about_the_same_gradients(name):
    plant = PLANTED[name]
    (finding,) = report_of(plant, 1000).findings
    assert " ".join(finding.inputs) == plant.wrong
    assert finding.cause == plant.cause or finding.message.startswith(("line", "a value")), finding


def opinions_about(plant, seed, monkeypatch):
    """What every hypothesis says about an example, at both points."""
    caught = []
    monkeypatch.setattr(check, "explain", lambda *args: caught.append(args) or [])
    report_of(plant, 1000 + seed)
    monkeypatch.undo()
    pair, x, index, columns, hints = caught[0]
    with np.errstate(all="ignore"):
        return opinions(cases_at(pair, x, index, columns, hints or Hints()), GENERAL)


def told(said):
    """What would be told: the claims, and the inputs that each is about."""
    chosen = smallest_cover(said, VAGUE) or smallest_cover(said)
    return {(claim.cause, claim.kind, claim.words, claim.place, names) for claim, names in chosen}


@pytest.mark.parametrize("name", [name for name in PLANTED if PLANTED[name].hypothesis != "by_rows"])
def test_without_a_hypothesis_its_examples_are_lost_and_nothing_else(name, monkeypatch):
    said = opinions_about(PLANTED[name], 0, monkeypatch)
    before = told(said)
    for hypothesis in GENERAL:
        after = told({key: value for key, value in said.items() if key != hypothesis})
        assert (after != before) == (hypothesis == PLANTED[name].hypothesis), (hypothesis, before, after)


@pytest.mark.parametrize("name", [name for name in PLANTED if PLANTED[name].hypothesis != "by_rows"])
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
    assert {plant.hypothesis for plant in PLANTED.values()} - {"by_rows"} | models_only == GENERAL.keys()


# -- no coincidence is told --------------------------------------------------------------------------------------------


def odd_slope(a, y):
    """No slope of any activation, and no simple function of what is in play."""
    return 0.3 + np.sin(1.7 * a + 0.4) ** 2


@pytest.mark.parametrize("units", [1, 2, 3])
@pytest.mark.parametrize("rows", [1, 2, 5])
def test_a_bias_of_a_few_units_does_not_fit_everything(units, rows):
    forward, backward = activated(np.tanh, odd_slope)
    for seed in range(10):
        rng = np.random.default_rng(seed)
        constants = {"x": rng.standard_normal((rows, 4)), "W": rng.standard_normal((4, units))}
        report = check_vjp(
            lambda b, x, W: forward(x, W, b),
            lambda dy, c: {"b": backward(dy, c)[2]},
            {"b": rng.standard_normal(units)},
            constants=constants,
            rng=rng,
        )
        told = {(f.cause, f.message) for f in report.findings}
        assert {cause for cause, _ in told} <= {"unknown", "elementwise-factor"}, str(report)
        true = ("wrong array", "no simple repair was found", "slope of the ", "(1 - y**2) belongs where ")
        assert all(any(words in text for words in true) for _, text in told), told


def test_a_number_that_is_already_a_mean_is_no_function_of_dy():
    """Whatever dy is, got / expected is the same for a loss that is one number: that explains nothing."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        p, t, off = rng.standard_normal((3, 4, 3))
        report = check_vjp(
            lambda p, t: (((p - t) ** 2).mean(), (p, t)),
            lambda d, c, off=off: {"p": 2 * d * (c[0] - c[1]) / 12 + 0.1 * d * np.sin(3 * c[0] + off)},
            {"p": p},
            constants={"t": t},
        )
        (finding,) = report.findings
        assert finding.cause in ("unknown", "missing-term"), str(report)
        assert finding.cause == "unknown" or "np.sin" in finding.message, str(report)


def test_a_missing_mean_is_said_as_the_rows_of_the_batch():
    """4 rows: a factor of 4 is the batch, and no two halves."""
    rng = np.random.default_rng(0)
    inputs = {"p": rng.standard_normal((4, 3))}
    report = check_vjp(lambda p: ((p * p).sum() / len(p), p), lambda d, p: 2 * d * p, inputs)
    assert "4 times what it should be: p has 4 rows" in report.findings[0].message


CURVES = {
    "tanh": (np.tanh, lambda a: 1 - np.tanh(a) ** 2),
    "sigmoid": (lambda a: sigmoid(a)[0], lambda a: sigmoid(a)[0] * (1 - sigmoid(a)[0])),
    "softplus": (lambda a: softplus(a)[0], lambda a: sigmoid(a)[0]),
    "relu": (lambda a: np.maximum(a, 0), lambda a: (a > 0) * 1.0),
    "leaky relu": (lambda a: np.where(a > 0, a, 0.01 * a), lambda a: np.where(a > 0, 1, 0.01)),
    "elu": (
        lambda a: np.where(a > 0, a, np.exp(np.minimum(a, 0)) - 1),
        lambda a: np.where(a > 0, 1, np.exp(np.minimum(a, 0))),
    ),
    "silu": (lambda a: a * sigmoid(a)[0], lambda a: sigmoid(a)[0] * (1 + a * (1 - sigmoid(a)[0]))),
    "gelu": (lambda a: a * Phi(a), slope_of_gelu),
}


@pytest.mark.parametrize("right", CURVES)
@pytest.mark.parametrize("wrong", [None, *CURVES])
def test_a_slope_in_place_of_another_or_none_is_one_finding_for_the_layer(right, wrong):
    """Neither the pre-activation nor the output is in the cache: the checks work them out."""
    if right == wrong or (right, wrong) == ("sigmoid", "softplus"):  # that is y, which lacks its (1 - y)
        return
    curve, _ = CURVES[right]
    slope = (lambda a: np.ones(a.shape)) if wrong is None else CURVES[wrong][1]
    rng = np.random.default_rng(3)

    def backward(dy, c):
        da = dy * slope(c[0] @ c[1] + c[2])
        return da @ c[1].T, c[0].T @ da, da.sum(axis=0)

    report = check_vjp(lambda x, W, b: (curve(x @ W + b), (x, W, b)), backward, layer(rng), rng=rng)
    assert len(report.findings) == 1, str(report)
    finding = report.findings[0]
    assert (finding.inputs, finding.cause) == (("x", "W", "b"), "elementwise-factor"), str(report)
    what = "is missing" if wrong is None else "in place of"
    assert f"the slope of the {right}" in finding.message, str(report)
    assert what in finding.message or right == "relu", str(
        report
    )  # times the mask, any slope that is 1 above 0 is right
    assert "where dy enters" in finding.message, str(report)


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "softplus"])
def test_a_slope_taken_at_what_comes_out_is_told_as_that(name):
    curve, slope = CURVES[name]
    rng = np.random.default_rng(4)

    def backward(dy, c):
        da = dy * slope(curve(c[0] @ c[1] + c[2]))
        return da @ c[1].T, c[0].T @ da, da.sum(axis=0)

    report = check_vjp(lambda x, W, b: (curve(x @ W + b), (x, W, b)), backward, layer(rng), rng=rng)
    (finding,) = report.findings
    assert finding.inputs == ("x", "W", "b")
    assert (
        f"the slope of the {name} taken at its output y stands in place of the slope of the {name}" in finding.message
    )


@pytest.mark.parametrize(("name", "formula"), [("tanh", "(1 - a^2)"), ("sigmoid", "a (1 - a)")])
def test_what_goes_in_where_the_output_belongs_is_told_as_that(name, formula):
    curve, _ = CURVES[name]
    rng = np.random.default_rng(4)

    def backward(dy, c):
        a = c[0] @ c[1] + c[2]
        da = dy * (1 - a * a if name == "tanh" else a * (1 - a))
        return da @ c[1].T, c[0].T @ da, da.sum(axis=0)

    report = check_vjp(lambda x, W, b: (curve(x @ W + b), (x, W, b)), backward, layer(rng), rng=rng)
    (finding,) = report.findings
    assert finding.inputs == ("x", "W", "b")
    assert f"{formula} with a = x @ W + b stands in place of the slope of the {name}" in finding.message


def test_columns_are_no_rows():
    """As many features as examples, as many units: which axis is the batch's is tried, not guessed."""
    for seed in range(5):
        rng = np.random.default_rng(seed)
        plant = PLANTED["inside a network in columns"]
        x = {name: rng.standard_normal(shape) for name, shape in SQUARES.items()}
        report = check_vjp(plant.forward, plant.backward, x, constants={"t": rng.standard_normal((4, 4))}, rng=rng)
        (finding,) = report.findings
        assert (finding.inputs, finding.cause) == (("X", "W1", "b1"), "elementwise-factor"), str(report)


SQUARES = {"X": (4, 4), "W1": (4, 4), "b1": (4, 1), "W2": (4, 4)}


@pytest.mark.parametrize("kept", [[0], [4], [1, 2, 3, 4], [0, 2]])  # of which a single row has no fourth
def test_which_rows_count_is_solved_for_where_a_loss_is_one_number(kept):
    def forward(x, W, t):
        return ((np.tanh(x @ W) - t) ** 2).mean(), (x, W, t)

    def backward(d, c):
        x, W, t = c
        y = np.tanh(x @ W)
        da = d * 2 * (y - t) / t.size * (1 - y * y)
        return {"W": x[kept].T @ da[kept], "x": da @ W.T}

    rng = np.random.default_rng(6)
    inputs = {"x": rng.standard_normal((5, 4)), "W": rng.standard_normal((4, 3))}
    report = check_vjp(forward, backward, inputs, constants={"t": rng.standard_normal((5, 3))}, rng=rng)
    (finding,) = report.findings
    assert (finding.inputs, finding.cause) == (("W",), "batch-sum")
    which = {(0,): "the first row", (4,): "the last row"}.get(tuple(kept), f"rows {', '.join(map(str, kept))}")
    assert f"only {which} of the 5" in finding.message


def test_what_only_some_rows_show_is_no_fault_of_their_sum():
    """The first row has no negative number, where the slope is wrong: right alone, and no matter of rows."""
    x = np.random.default_rng(7).standard_normal((5, 4))
    x[0] = np.abs(x[0])
    elu = lambda x: (np.where(x > 0, x, 0.7 * np.expm1(x)), x)  # noqa: E731
    report = check_vjp(elu, lambda dy, x: dy * np.where(x > 0, 1, 0.7 * np.exp(x) - 0.7 + 0.1 * x), {"x": x})
    (finding,) = report.findings
    assert finding.cause == "elementwise-factor"


def test_the_two_sides_of_a_difference_are_one_finding():
    """Their gradients are each other's negatives, and so is the term that both lack."""
    rng = np.random.default_rng(8)
    inputs = {name: rng.standard_normal((4, 3)) for name in ("pred", "target")}
    report = check_vjp(
        lambda pred, target: ((pred - target) ** 2 + 3 * np.sin(pred - target), pred - target),
        lambda dy, d: (2 * dy * d + 3 * dy, -2 * dy * d - 3 * dy),
        inputs,
        rng=rng,
    )
    assert len(report.findings) == 1, str(report)


def test_a_clipped_gradient_is_not_one_that_is_the_same_whatever_dy_is():
    """Of a loss that is one number one dy tells nothing: how it is with none does."""
    rng = np.random.default_rng(9)
    inputs = {"x": rng.standard_normal((4, 3))}
    report = check_vjp(lambda x: ((x**2).sum(), x), lambda d, x: np.clip(2 * d * x, -0.01, 0.01), inputs, rng=rng)
    (finding,) = report.findings
    assert finding.cause == "unknown"
    assert "not proportional to dy" in finding.message
