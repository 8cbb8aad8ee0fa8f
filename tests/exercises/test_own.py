"""The last page: dicts are judged by name, what runs is told, and the solutions are NumPy and each other alone."""

import builtins
import inspect
from types import CodeType

import numpy as np
import pytest
from build import SOURCES, checked_in, read_source, tags
from formulations import FORMULATIONS

from scratchvae.exercises import check
from scratchvae.exercises.check import PAGES, blank_of
from scratchvae.exercises.own import oracle
from scratchvae.exercises.together import Together

OWN = list(PAGES["own"])


def names_in(code):
    """Every name that a function looks up outside itself, or asks of a thing."""
    yield from code.co_names
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from names_in(inner)


@pytest.mark.parametrize("name", OWN)
def test_a_solution_needs_numpy_and_the_blanks_before_it_alone(name):
    solution = PAGES["own"][name].solution
    assert solution.__name__ == name
    from_outside = {one for one in names_in(solution.__code__) if one in solution.__globals__}
    assert from_outside <= {"np", *OWN[: OWN.index(name)]}
    assert not from_outside & set(vars(builtins))


def test_the_page_says_how_many_lines_the_reader_writes():
    lines = 0
    for blank in PAGES["own"].values():
        text = inspect.getsource(blank.solution)
        body = text.split('"""')[-1].strip().splitlines()
        lines += sum(bool(line.strip()) for line in body)
    assert 70 <= lines <= 85  # "about 80 lines"


def page_of(**written):
    """The names of a page on which these functions are written, and all others are empty."""

    def empty(*arguments):
        raise NotImplementedError

    return {"np": np, **dict.fromkeys(OWN, empty), **written}


def test_the_functions_of_the_course_call_those_of_the_reader():
    calls = []

    def encode(params, x):
        calls.append("encode")
        return PAGES["own"]["encode"].solution(params, x)

    page = page_of(encode=encode)
    together = Together("own", page)
    together.go_on(*OWN)
    calls.clear()
    params, x, eps = oracle.drawn_params(np.random.default_rng(0)), np.ones((2, oracle.D)), np.ones((2, oracle.Z))
    got = page["forward"](params, x, eps, 0.7)
    assert calls == ["encode"]
    assert np.allclose(got["objective"], oracle.everything(params, x, eps, 0.7)["objective"])
    assert str(together) == "1 of 21 functions that run are yours; the course's: " + ", ".join(
        name for name in OWN if name != "encode"
    )


def test_what_is_written_anew_is_looked_at_anew():
    page = page_of(tanh_backward=lambda dh, h: dh)
    together = Together("own", page)
    for _ in range(2):
        together.go_on("dense", "tanh_backward")
        assert str(together) == "0 of 2 functions that run are yours"
    page["tanh_backward"] = right = lambda dh, h: dh * (1 - h * h)
    for _ in range(2):
        together.go_on("tanh_backward")
        assert str(together) == "1 of 2 functions that run are yours; the course's: dense"
        assert page["tanh_backward"].__wrapped__ is right
    page["tanh_backward"] = lambda dh, h: -dh
    together.go_on("tanh_backward")
    assert together.readers == []


@pytest.mark.parametrize("run", range(5))
def test_a_whole_of_other_formulations_is_right_together(run):
    """Each is called by the course's functions, or by the reader's, and gives what the library gives."""
    chosen = {name: FORMULATIONS[f"own.{name}"][run] for name in OWN[run % 2 :: 2]}
    page = page_of(**chosen)
    together = Together("own", page)
    together.go_on(*OWN)
    assert set(together.readers) == set(chosen)
    params, x, eps = oracle.drawn_params(np.random.default_rng(run)), np.ones((2, oracle.D)), np.ones((2, oracle.Z))
    w = np.array([0.3, -2.0])
    grads = page["backward"](w, params, page["forward"](params, x, eps, 0.7), 0.7)
    vae = oracle.library(params)
    for name, grad in vae.backward(w, vae.objective(x, eps, 0.7)[1]).items():
        np.testing.assert_allclose(grads[name], grad, rtol=1e-9, atol=1e-12)


def without(name):
    def answer(*arguments):
        made = blank_of("own.backward").solution(*arguments)
        del made[name]
        return made

    return answer


def right(*arguments):
    return blank_of("own.backward").solution(*arguments)


@pytest.mark.parametrize(
    ("name", "answer", "message"),
    [
        ("own.backward", without("mu.b"), "the dict lacks mu.b"),
        ("own.backward", lambda *a: {**right(*a), "dx": 1.0}, "the dict has also dx"),
        ("own.backward", lambda *a: {**without("mu.b")(*a), "b": 1.0}, "the dict lacks mu.b and has also b"),
        ("own.backward", lambda *a: tuple(right(*a).values()), "a dict should be returned"),
        ("own.backward", lambda *a: {**right(*a), "mu.b": right(*a)["mu.b"][:, None]}, "mu.b has the shape"),
        ("own.backward", lambda *a: {**right(*a), "mu.b": -right(*a)["mu.b"]}, "mu.b has the wrong sign"),
        ("own.backward", lambda *a: {**right(*a), "mu.b": None}, "mu.b is None"),
        ("own.decoder_backward", lambda d, p, c: d, "dz, and a dict of gradients should be returned"),
        ("own.decoder_backward", lambda d, p, c: ({}, d), "dz, and a dict of gradients should be returned"),
        ("own.initial_params", lambda D, H, Z, rng: {}, "the dict lacks encoder.0.W, encoder.0.b, "),
        (
            "own.train",
            lambda params, batches, lr: params.update(batches=0) or params,
            "writes into its argument params",
        ),
        ("own.train", lambda params, batches, lr: batches.pop() and params, "writes into its argument batches"),
    ],
)
def test_what_is_wrong_with_a_dict_is_told(name, answer, message):
    result = check(name, answer)
    assert result.state == "wrong"
    assert message in result.message, result
    assert len(result.lines) <= 4


def test_weights_that_are_written_to_in_place_are_refused():
    def train(params, batches, lr):
        for x, eps in batches:
            grads = blank_of("own.backward").solution(
                np.full(len(x), -1 / len(x)), params, blank_of("own.forward").solution(params, x, eps, 1.0), 1.0
            )
            for name in params:
                params[name] -= lr * grads[name]
        return params

    assert "writes into its argument params" in check("own.train", train).message


def test_first_weights_may_be_drawn_in_any_order_and_way_but_not_twice():
    def twice(D, H, Z, rng):
        params = blank_of("own.initial_params").solution(D, H, Z, rng)
        return {**params, "mu.W": np.repeat(params["mu.W"][:, :1], Z, axis=1)}

    def seeded(D, H, Z, rng):
        return blank_of("own.initial_params").solution(D, H, Z, np.random.default_rng(0))

    assert "another place holds too" in check("own.initial_params", twice).message
    assert "is not a draw of rng from N(0, 1/I)" in check("own.initial_params", seeded).message


@pytest.mark.parametrize("name", ["dense_backward", "kl_backward", "reparameterize_backward"])
def test_what_a_later_function_takes_apart_is_a_row_of_values(name):
    """A dict that has passed would stop the page at the first function that unpacks it."""
    solution = blank_of(f"own.{name}").solution
    as_dict = check(f"own.{name}", lambda *a: dict(enumerate(solution(*a))))
    assert "in this order, and not a dict" in as_dict.message
    assert "in this order, and there" in check(f"own.{name}", lambda *a: solution(*a)[1:]).message
    assert check(f"own.{name}", lambda *a: list(solution(*a))).passed


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("encode", lambda mu, logvar, h: (mu + 1, logvar + 1, h + 1), "h has other numbers"),
        ("decode", lambda logits, g: (logits + 1, g + 1), "g has other numbers"),
        ("adam", lambda param, m, v: (param + 1, 2 * m, v), "m is 2 times"),
        ("encoder_backward", lambda grads: {name: g + 1 for name, g in grads.items()}, "mu.W has other numbers"),
        ("decoder_backward", lambda dz, grads: (dz + 1, {n: g + 1 for n, g in grads.items()}), "logits.W has other"),
        ("backward", lambda grads: {name: g + 1 for name, g in grads.items()}, "logits.W has other numbers"),
    ],
)
def test_of_several_wrong_values_the_one_is_told_of_which_the_others_are_made(name, change, message):
    solution = blank_of(f"own.{name}").solution

    def answer(*arguments):
        values = solution(*arguments)
        return change(*values) if isinstance(values, tuple) else change(values)

    assert message in check(f"own.{name}", answer).message


@pytest.mark.parametrize("far", [30, 100, 700])
def test_an_nll_whose_logits_are_cut_off_is_wrong(far):
    right = blank_of("own.bernoulli_nll").solution
    assert check("own.bernoulli_nll", lambda x, logits: right(x, np.clip(logits, -far, far))).state == "wrong"


def test_the_page_chooses_a_function_before_another_calls_it():
    """So that an empty one leaves those that call it what they are."""
    page = next(source for source in SOURCES if source.stem == "16_write_your_own")
    chosen: set[str] = set()
    for cell in read_source(page).cells:
        if cell.cell_type == "code" and "blank" in tags(cell):
            solution = blank_of(checked_in(cell)[1]).solution
            assert set(names_in(solution.__code__)) & set(OWN) <= chosen, solution.__name__
        elif cell.cell_type == "code" and "together.go_on(" in cell.source:
            chosen |= {name for name in OWN if f'"{name}"' in cell.source}
    assert chosen == set(OWN)
