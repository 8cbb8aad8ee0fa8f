"""The gradient-flow figure says what backward computes, in numbers that add as they are printed."""

import re
import types
from functools import cache

import numpy as np
import pytest

from scratchvae import VAE, Autoencoder, Gaussian
from scratchvae.layers import LAYERS
from scratchvae.likelihoods import LIKELIHOODS
from scratchvae.view.flow import trace_gradients
from scratchvae.view.flow_figure import THINNEST, WIDEST
from scratchvae.view.flow_numbers import added, decimals, fixed
from scratchvae.view.svg import save_svg


def model(kind=VAE, n_hidden=(7, 5), seed=0, size=0.3, n_z=2, **how):
    rng = np.random.default_rng(seed)
    made = kind(6, n_hidden, n_z, how.pop("activation", "tanh"), rng=rng, dtype="float64", **how)
    for p in made.params.values():
        p += size * rng.standard_normal(p.shape)
    return made


def flow_of(seed=0, beta=1.0, latent=0, **how):
    rng = np.random.default_rng(seed + 100)
    made = model(seed=seed, **how)
    eps = rng.standard_normal((1, made.n_z)) if isinstance(made, VAE) else None
    return trace_gradients(made, rng.random((1, 6)), eps, beta, latent)


def unit(text):
    """One of the last digit of a printed number."""
    digits, _, power = text.replace("−", "-").partition("e")
    return 10.0 ** (int(power or 0) - len(digits.partition(".")[2]))


SETTINGS = [
    {},
    {"latent": 1, "seed": 1},
    {"n_z": 1, "seed": 2},
    {"beta": 0.0},
    {"beta": 0.37, "seed": 3},
    {"beta": 4.0, "seed": 4},
    {"n_hidden": (5,), "activation": "relu"},
    {"n_hidden": ()},
    {"n_hidden": (9, 8, 7, 6)},
    {"likelihood": Gaussian(0.01)},
    {"likelihood": Gaussian(1e3), "seed": 5},
    {"size": 2.0, "seed": 6},
    {"size": 0.0, "seed": 7},
    {"kind": Autoencoder},
    {"kind": Autoencoder, "n_hidden": ()},
    *({"likelihood": make()} for make in LIKELIHOODS.values()),
    *({"likelihood": make(), "kind": Autoencoder} for make in LIKELIHOODS.values()),
]
every_setting = pytest.mark.parametrize("number", range(len(SETTINGS)))


@cache
def drawn_once(number):
    """The flow of a setting and its drawing."""
    flow = flow_of(**SETTINGS[number])
    return flow, flow.draw()


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts if text.get_text()]


def lines(figure):
    return {line.get_gid(): line for line in figure.axes[0].lines if line.get_gid()}


def as_number(text):
    return float(text.replace("−", "-").replace(" ", ""))


def by_name(flow):
    return {move.name: move.number for move in flow.moves if not move.forward}


@every_setting
def test_printed_numbers_add(number):
    """Every sum in the drawing, exactly as it is read; and its parts are those at the arrows."""
    flow, figure = drawn_once(number)
    drawn = texts(figure)
    sums = [text.replace("\n", " ") for text in drawn if re.search(r"\d\s= [+−]?\d", text)]
    for text in sums:
        *_, terms, total = text.split("=")
        numbers = [as_number(n) for n in re.findall(r"[+−]? ?[\d.]+", terms)]
        assert len(numbers) == 2, text
        places = len(total.partition(".")[2])
        assert round(sum(numbers), places) == as_number(total), text
    two = "mu" in flow.values
    assert len(sums) == len(flow.sums) + 2 * two  # and z, and the objective
    assert len(flow.sums) == (2 + any(name.startswith("encoder") for name in flow.entries)) * two
    for name, parts in (("dmu", ("dmu_z", "dmu_kl")), ("dlogvar", ("dlogvar_z", "dlogvar_kl"))) if two else ():
        (text,) = [text for text in sums if text.startswith(f"{name} =")]
        terms = [n.replace(" ", "").lstrip("+") for n in re.findall(r"[+−] ?[\d.]+|[\d.]+", text.split("=")[1])]
        at_arrows = [next(t.split("\n")[1] for t in drawn if t.split("\n")[0] == part) for part in parts]
        assert terms == [n.lstrip("+") for n in at_arrows]


@every_setting
def test_printed_numbers_are_those_of_backward(number):
    """To half a unit of the last digit at the arrows, to one at the sums."""
    flow, figure = drawn_once(number)
    drawn = texts(figure)
    for move in flow.moves:
        if move.forward:
            continue
        name = "dh" if move.name.startswith("dencoder") else move.name
        numbers = [
            t.split("\n")[1] for t in drawn if re.split(r"[\n ]", t)[0] == name and "\n" in t and t.count("=") < 2
        ]
        if move.name == "deps":
            numbers = [re.search(r"dz · sigma = (\S+)", t)[1] for t in drawn if t.startswith("dz · sigma")]
        assert any(abs(as_number(n) - move.number) <= 0.5001 * unit(n) for n in numbers), (move, numbers)
    for one in flow.sums:
        total = flow.gradients[one.name][0, flow.entries[one.node]]
        name = one.name if one.name in ("dmu", "dlogvar") else "dh"
        (text,) = [t.replace("\n", " ") for t in drawn if t.startswith(f"{name} =")]
        told = text.rpartition("= ")[2]
        assert abs(as_number(told) - total) <= 1.001 * unit(told)


def test_any_two_numbers_add_as_they_are_printed():
    rng = np.random.default_rng(0)
    for _ in range(2000):
        two_numbers_add(rng)


def two_numbers_add(rng):
    parts = (rng.standard_normal(2) * 10.0 ** rng.uniform(-7, 7, 2)).tolist()
    places = decimals(parts)
    terms, total = added(parts, places)
    first, second = re.fullmatch(r"([+−]?[\d.]+) ([+−] [\d.]+)", terms).groups()
    assert as_number(total) == pytest.approx(as_number(first) + as_number(second), abs=1e-9 * max(map(abs, parts)))
    assert abs(as_number(total) - sum(parts)) <= 1.0001 * 10.0**-places
    assert [first, second.replace(" ", "")] == [fixed(part, places, sign=True) for part in parts] or "0" in terms


def test_zero_has_no_sign():
    for number in (0.0, -0.0, -1e-9, 1e-9):
        assert fixed(number, 2, sign=True) == "0.00"
    drawn = " ".join(texts(flow_of(beta=0.0).draw()))
    assert not re.search(r"[−+][0.]+(?![\d.])", drawn)
    assert not re.search(r"-\d", drawn)


@every_setting
def test_widths_follow_the_scale_that_is_told(number):
    flow, figure = drawn_once(number)
    (told,) = [t for t in texts(figure) if t.endswith("or less")]
    per_unit = THINNEST / float(told.split()[0])  # points
    for name, gradient in by_name(flow).items():
        width = lines(figure)[name].get_linewidth()
        assert width == pytest.approx(max(THINNEST, abs(gradient) * per_unit), rel=1e-6)
    samples = [line.get_linewidth() for line in figure.axes[0].lines if line.get_color() == "black"]
    numbers = [float(t.split()[0]) for t in texts(figure) if re.fullmatch(r"[\d.e+-]+( or less)?", t.strip())]
    np.testing.assert_allclose(samples, np.array(numbers[-3:]) * per_unit, rtol=1e-5)
    assert samples[0] == pytest.approx(WIDEST)
    assert WIDEST / 2.5 - 1e-9 <= max(abs(n) for n in by_name(flow).values()) * per_unit <= WIDEST * (1 + 1e-9)


@pytest.mark.parametrize("n_hidden", [(), (5,), (7, 5, 4)])
@pytest.mark.parametrize("kind", [VAE, Autoencoder])
def test_every_hidden_layer_has_a_box_and_a_gradient(kind, n_hidden):
    flow = flow_of(kind=kind, n_hidden=n_hidden)
    figure = flow.draw()
    boxes = {patch.get_gid() for patch in figure.axes[0].patches if patch.get_gid()}
    hidden = {f"{part}.{i}" for part in ("encoder", "decoder") for i in range(len(n_hidden))}
    latent = {"mu", "logvar", "sigma", "eps", "kl"} if kind is VAE else set()
    assert boxes == hidden | latent | {"x", "z", "logits", "nll", "objective"}
    reached = {move.target for move in flow.moves if not move.forward}
    assert hidden <= reached
    assert "x" not in reached


def test_the_objective_is_last_and_what_is_maximised():
    for beta, formula in ((1.0, "−nll − kl ="), (0.5, "−nll − 0.5 kl ="), (0.0, "−nll − 0 kl =")):
        flow = flow_of(beta=beta)
        drawn = texts(flow.draw())
        assert any(text.startswith(formula) for text in drawn)
        assert "elbo" not in " ".join(drawn)
        assert flow.values["objective"] == -flow.values["nll"] - beta * flow.values["kl"]
    boxes = {patch.get_gid(): patch for patch in flow.draw().axes[0].patches if patch.get_gid()}
    assert max(boxes, key=lambda name: boxes[name].get_x()) == "objective"


@pytest.mark.parametrize("kind", [VAE, Autoencoder])
@pytest.mark.parametrize("name", LIKELIHOODS)
def test_the_rule_for_dlogits_is_the_likelihoods_own(name, kind):
    likelihood = LIKELIHOODS[name]()
    flow = flow_of(kind=kind, likelihood=likelihood)
    assert flow.rule in likelihood.nll.__doc__
    assert flow.rule.startswith(("dlogits = ", "dm = "))
    (drawn,) = [text for text in texts(flow.draw()) if re.match(r"(dlogits|dm) = ", text)]
    assert re.sub(r"[\s;]", "", drawn) == re.sub(r"[\s;]", "", flow.rule.replace("-", "−").replace("^2", "²")).replace(
        "*", "·"
    )
    assert len(set(map(rule_of, LIKELIHOODS))) == len(LIKELIHOODS)


def rule_of(name):
    return flow_of(likelihood=LIKELIHOODS[name]()).rule


@pytest.mark.parametrize("kind", [VAE, Autoencoder])
def test_a_readers_likelihood_and_layer_are_drawn(kind, monkeypatch):
    """Those of docs/extending.md, of which nobody else knows; the likelihood has no docstring."""
    from core.test_promises import blocks

    monkeypatch.setitem(LIKELIHOODS, "log-normal", None)
    monkeypatch.setitem(LAYERS, "leaky-relu", None)
    module = types.ModuleType("extending")
    for what in ("likelihood", "layer"):
        exec(blocks(what)[0], module.__dict__)
    rng = np.random.default_rng(0)
    made = kind(6, (5,), 2, layers=("dense", "layer-norm", "leaky-relu"), likelihood=module.LogNormal(), rng=rng)
    flow = trace_gradients(made, rng.random((1, 6)) + 0.1, made.draw_eps(1, rng))
    assert "dlogits = nll_backward(dnll)" in texts(flow.draw())


def test_parts_are_the_derivatives_of_the_objective():
    """By differences in mu and in logvar, with everything else held: through z alone, and through the KL alone."""
    made, rng = model(), np.random.default_rng(5)
    x, eps = rng.random((1, 6)), rng.standard_normal((1, 2))
    g = {name: array.copy() for name, array in trace_gradients(made, x, eps, beta=0.5).gradients.items()}
    mu, logvar, _ = made.encode(x)
    h = 1e-6

    def through_z(m, v):
        return -made.likelihood.nll(x, made.decode(m + np.exp(v / 2) * eps)[0])[0][0]

    def through_kl(m, v):
        return -0.5 * 0.5 * (m**2 + np.exp(v) - 1 - v).sum()

    for k in range(2):
        e = np.eye(2)[k : k + 1] * h
        for part, f in (("z", through_z), ("kl", through_kl)):
            dmu = (f(mu + e, logvar) - f(mu - e, logvar)) / (2 * h)
            dlogvar = (f(mu, logvar + e) - f(mu, logvar - e)) / (2 * h)
            assert g[f"dmu_{part}"][0, k] == pytest.approx(dmu, rel=1e-5, abs=1e-8)
            assert g[f"dlogvar_{part}"][0, k] == pytest.approx(dlogvar, rel=1e-5, abs=1e-8)


def test_the_gradient_at_eps_exists_and_ends_there():
    flow = flow_of()
    number = by_name(flow)["deps"]
    assert number == pytest.approx(by_name(flow)["dz"] * flow.number("sigma"))
    assert abs(number) > 1e-3
    assert [move.name for move in flow.moves if move.source == "eps"] == ["eps"]  # forward alone
    assert any("exists at eps,\nand is not used" in text for text in texts(flow.draw()))
    assert lines(flow.draw())["deps"].get_linestyle() == "--"


def test_a_backward_that_drops_a_part_is_not_drawn():
    class Forgetful(VAE):
        def encode_backward(self, dmu, dlogvar, cache, trace=None):
            return super().encode_backward(0 * dmu, dlogvar, cache, trace)

    with pytest.raises(AssertionError):
        flow_of(kind=Forgetful)


@every_setting
def test_every_forward_edge_has_its_way_back_but_for_the_data(number):
    moves = drawn_once(number)[0].moves
    forward = {(m.source, m.target) for m in moves if m.forward and m.source != "x"}
    assert {(m.target, m.source) for m in moves if not m.forward} == forward


@every_setting
def test_no_two_texts_of_the_drawing_overlap_and_none_is_cut(number):
    _, figure = drawn_once(number)
    figure.canvas.draw()
    drawn = [text for text in figure.axes[0].texts if text.get_text()]
    boxes = [text.get_window_extent() for text in drawn]
    page = figure.bbox
    for i, box in enumerate(boxes):
        assert page.x0 <= box.x0, drawn[i]
        assert box.x1 <= page.x1, drawn[i]
        for j in range(i):
            assert not box.overlaps(boxes[j]), (drawn[i].get_text(), drawn[j].get_text())


@pytest.mark.parametrize("step", [0, 5, 14, 20, None])
def test_a_step_draws_as_many_arrows(step):
    flow = flow_of()
    figure = flow.draw(step)
    arrows = [line for line in figure.axes[0].lines if line.get_gid()]
    assert len(arrows) == len(flow.moves[:step])
    assert len([text for text in texts(figure) if text.startswith(("dmu =", "dlogvar ="))]) == (
        2 if step is None else 0
    )


def test_the_table_has_a_line_a_move():
    for number in range(len(SETTINGS)):
        flow, _ = drawn_once(number)
        assert len(str(flow).splitlines()) == len(flow.moves) + 1


def test_more_than_one_example_is_refused():
    made = model()
    with pytest.raises(ValueError, match=r"pass x\[:1\]"):
        trace_gradients(made, np.zeros((2, 6)), np.zeros((2, 2)))
    with pytest.raises(ValueError, match="one of 0 to 1"):
        trace_gradients(made, np.zeros((1, 6)), np.zeros((1, 2)), latent=2)


def test_an_svg_is_the_same_file_twice(tmp_path):
    for name in ("one", "other"):
        save_svg(flow_of().draw(), tmp_path / f"{name}.svg", "what it shows")
    text = (tmp_path / "one.svg").read_text()
    assert text == (tmp_path / "other.svg").read_text()
    assert "what it shows" in text
    assert "<dc:date>" not in text
    assert len(text) < 250_000
