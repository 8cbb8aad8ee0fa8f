"""Arguments that fit a pair, found by trying, and the pair as two functions of named arrays, as check_vjp wants it."""

import copy
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np

from scratchvae.checks.files import layers
from scratchvae.checks.files.case import Case
from scratchvae.checks.files.examples import Made, examples
from scratchvae.checks.files.gradients import is_target
from scratchvae.checks.files.layouts import Layout
from scratchvae.checks.files.names import CONSTANT, RATES, gradient_of, role, short
from scratchvae.checks.files.pairs import Written, arguments
from scratchvae.checks.files.readings import Ran, Reading, joined, parted, pull, readings, run, times
from scratchvae.checks.files.source import frozen, gradients_named, multiplied, returned
from scratchvae.checks.report import SEED

Array = np.ndarray
RAISES, MISFITS, FITS = 1, 2, 3  # the backward raises; some gradient is missing or has another shape; all are there


class Fit(NamedTuple):
    """How well it went, and all that is needed to do it again."""

    score: int
    reading: Reading
    layout: Layout | None
    inputs: dict[str, Array]  # differentiated
    constants: dict[str, Any]  # other arrays, and settings
    forward: Callable[..., tuple[Any, Any]]
    backward: Callable[[Any, Any], dict[str, Any]]
    y: Array
    grows: list[str]  # parameters whose gradients a second backward adds to
    error: Exception | None = None
    left_out: tuple[str, ...] = ()  # parameters whose gradient was not found
    shapes: Mapping[str, tuple[int, ...]] = {}  # of the gradients
    made: Made | None = None

    @property
    def rank(self) -> float:
        """The score, and of those that misfit the share of the gradients that have the shapes of their inputs."""
        alike = [self.shapes.get(name) == a.shape for name, a in self.inputs.items()]
        return self.score + (sum(alike) / (len(alike) + 1) if self.score == MISFITS else 0.0)


class Unfit(ValueError):
    """Nothing that was tried fits."""


def fits(pair: Written, given: Mapping[str, Any], reset: Callable[[], None]) -> list[Fit]:
    """The readings of a pair with the first arguments that fit all of one, or else with those that came closest.

    Raises    Unfit: no forward ran. NotImplementedError: one that is not written yet. Unread: one without a meaning.
    """
    best: list[Fit] = []
    first: Exception | None = None
    tried = 0
    for positive in (False, True):
        for made in examples(pair, given, positive):
            tried += 1
            try:
                found = attempts(pair, made, reset)
            except (NotImplementedError, Unread):
                raise
            except Exception as error:
                first = first or error
                continue
            score = max(fit.score for fit in found)
            if score == MISFITS and (other := reshaped(made, found)):
                found = [*fitting(pair, other, reset), *found]
                score = found[0].score
            if not best or max(fit.rank for fit in found) > max(fit.rank for fit in best):
                best = found
            if score == FITS:
                return [fit for fit in found if fit.score == FITS]
        if best or not isinstance(first, OutOfDomain):
            break
    if best:
        return sorted(best, key=lambda fit: -fit.rank)
    raise Unfit(tried) from first


def fitting(pair: Written, made: Made, reset: Callable[[], None]) -> list[Fit]:
    """The readings that fit these arguments; none, if they raise."""
    with suppress(Exception):
        return [fit for fit in attempts(pair, made, reset) if fit.score == FITS]
    return []


def reshaped(made: Made, found: list[Fit]) -> Made | None:
    """The same arguments, those that were made up of nothing but a name now in the shape of their gradients.

    A number or a vector only, and no parameters of layers: there it is a sum that is missing, or one too many.
    """
    shapes = next((fit.shapes for fit in found if fit.shapes), {})
    return with_shapes(made, {name: shape for name, shape in shapes.items() if len(shape) < 2})


def others(pair: Written, fit: Fit, wrong: Iterable[str], reset: Callable[[], None]) -> list[Fit]:
    """What else may have been meant, if this is wrong: numbers for what is wrong, or numbers for the rows of x.

    A gradient that is a sum over everything says the one, an energy that is then a single number the other.
    """
    names = list(fit.inputs)
    if fit.made is None or fit.made.layout is None or fit.score < FITS or pair.kind == "layer" or len(names) < 2:
        return []
    numbers = [set(wrong), *({name} for name in wrong)]
    tried = [with_shapes(fit.made, dict.fromkeys(some, ())) for some in numbers if some < set(names)]
    found = [other for made in tried if made for other in fitting(pair, made, reset)]
    rows = with_shapes(fit.made, dict.fromkeys(names[1:], fit.inputs[names[0]].shape[:1])) if fit.y.ndim else None
    return found + [other for other in (fitting(pair, rows, reset) if rows else ()) if not other.y.ndim]


def with_shapes(made: Made, shapes: Mapping[str, tuple[int, ...]]) -> Made | None:
    """The same arguments, with other shapes wherever the name leaves them open; none, if that changes nothing."""
    new = {
        name: np.random.default_rng(SEED).uniform(0.5, 1.5, shape)
        for name, shape in shapes.items()
        if name in made.call and np.shape(made.call[name]) != shape and free(name)
    }
    if made.layout is None or not new:
        return None
    text = ", ".join([made.layout.label, *(f"{name} {np.shape(a) or 'a number'}" for name, a in new.items())])
    return Made(made.layout._replace(label=text), made.init, {**made.call, **new})


def free(name: str) -> bool:
    """Does the name leave the shape open?"""
    return role(name) not in layers.TRAINABLE or name == "theta"


class Unread(ValueError):
    """A pair that nothing can be said of, whatever the arguments."""


class OutOfDomain(ValueError):
    """An output that is not finite: a logarithm of numbers below 0."""


def attempts(pair: Written, made: Made, reset: Callable[[], None]) -> list[Fit]:
    """One set of arguments, in every reading of the pair.

    Raises    whatever a constructor or a forward raises; what a backward raises is part of a fit.
    """
    case = prepared(pair, made, reset)
    ran = case.run({})
    for y in ran.outputs:
        if y.dtype.kind != "f" or not y.size:
            raise ValueError(f"forward returns {y.dtype}, which has no derivatives")
        if not np.isfinite(y).all():
            raise OutOfDomain("forward returns numbers that are not finite")
    found = [fit for reading in readings(pair) if (fit := attempt(case, made.layout, reading, ran))]
    return [fit._replace(made=made) for fit in found]


def prepared(pair: Written, made: Made, reset: Callable[[], None]) -> Case:
    """The object, its parameters a little away from where they start: no bias at 0, no gain at 1."""
    if pair.kind != "layer" or pair.owner is None:
        return Case(pair, None, {}, made.call, reset)
    reset()
    base = pair.owner(**made.init)
    warm = copy.deepcopy(base)
    grads = gradient_keys(pair, run(pair, warm, copy.deepcopy(made.call)))
    base, warm = (layers.with_numbers(layer, grads) for layer in (base, warm))
    still = layers.kept(warm, lambda layer: run(pair, layer, copy.deepcopy(made.call)))
    if set(still) - set(layers.arrays(base)):  # why: some layers make their parameters when they first see x
        base = layers.flushed(warm)
    places = layers.parameters(still, grads)
    case = Case(pair, base, places, made.call, reset, layers.left_out(still, places))
    rng, held = np.random.default_rng(SEED), layers.arrays(base)
    shaken = {name: held[paths[0]] + 0.2 * rng.standard_normal(held[paths[0]].shape) for name, paths in places.items()}
    return case._replace(base=case.host(shaken))


def gradient_keys(pair: Written, ran: Ran) -> dict[layers.Path, Any]:
    """Of which parameters a backward leaves or returns a gradient, or makes a step."""
    host = copy.deepcopy(ran.host)
    dys = [np.ones_like(y) for y in ran.outputs]
    for reading in readings(pair):
        try:
            raw = pull(pair, reading, ran._replace(host=host), dys)
        except NotImplementedError:
            raise
        except Exception:
            continue
        keys: dict[layers.Path, Any] = dict(layers.gradients(host))
        parts = list(raw) if isinstance(raw, tuple | list) else [raw]
        inside = [str(name) for part in parts if isinstance(part, Mapping) for name in part]
        spelled = (name if gradient_of(name) else f"d{name}" for name in inside)
        said = returned(pair.backward) if all(returned(pair.backward)) else ()
        keys |= {(gradient_of(name),): None for name in (*said, *spelled)}
        if any(name.lower() in RATES for name in arguments(pair.backward)):
            before = layers.leaves(ran.host)
            moved = [path for path, a in layers.leaves(host).items() if np.ndim(a) or a != before.get(path)]
            keys |= {layers.key_of_parameter(path): None for path in moved}
        return keys
    return {}


def attempt(case: Case, layout: Layout | None, reading: Reading, ran: Ran) -> Fit | None:
    """One reading; none if it would be the same as another, or makes no sense for this output."""
    rng = np.random.default_rng(SEED)
    out = ran.outputs[0]
    if not out.ndim:
        reading = reading._replace(note="")  # why: it is a number already
    dys = [rng.standard_normal(y.shape) for y in ran.outputs]
    if reading.style == "alone" and len(readings(case.pair)) > 2 and out.ndim != 1:
        return None  # dy = None stands there, and this is no loss; or dy = 1 does, and is to be used
    values = {name: v for name, v in case.values.items() if isinstance(v, np.ndarray)}
    held = layers.arrays(case.base) if case.places else {}
    params = {name: np.array(held[paths[0]], float) for name, paths in case.places.items()}
    error = None
    try:
        grads = case.pull(reading, ran, dys)
    except NotImplementedError:
        raise
    except Exception as problem:
        grads, error = {}, problem
    values |= {n: np.array(float(v)) for n, v in case.values.items() if type(v) in (int, float) and n in grads}
    elementwise = by_entry(reading, out, grads, values)
    if elementwise:
        grads = {name: times(dys[0], g) for name, g in grads.items()}
    if reading.total == "mean" and (elementwise or not out.ndim):
        return None
    is_loss = out.ndim == 0 or any(value.ndim > out.ndim == 1 for value in values.values())
    names = [n for n in values if values[n].dtype.kind == "f" and (error or is_input(n, case, grads, is_loss))]
    inputs = {**{n: values[n].astype(float) for n in names}, **params}
    constants = {n: v for n, v in {**case.settings, **values}.items() if n not in inputs}
    fitting = bool(inputs) and all(n in grads and np.shape(grads[n]) == a.shape for n, a in inputs.items())
    forward, backward = functions(case, reading, list(inputs), elementwise)
    y = forward(**{**copy.deepcopy(constants), **copy.deepcopy(inputs)})[0]
    grows = growing(case, reading, ran, dys, grads, list(params)) if fitting and params else []
    score = RAISES if error else FITS if fitting else MISFITS
    shapes = {n: np.shape(g) for n, g in grads.items()}
    open_ones = [n for n in values if values[n].dtype.kind == "f" and n not in inputs and role(n) not in CONSTANT]
    left_out = (*case.left_out, *(() if is_loss or error else open_ones))
    return Fit(score, reading, layout, inputs, constants, forward, backward, y, grows, error, left_out, shapes)


def by_entry(reading: Reading, out: Array, grads: Mapping[str, Any], values: Mapping[str, Array]) -> bool:
    """Is what came back a slope of every entry of y, or a Jacobian, that dy has still to be multiplied with?

    Raises    Unread: it is neither, and no dy was handed in.
    """
    alike = all(np.shape(g) == out.shape for g in grads.values())
    if reading.style == "alone" and not alike and out.ndim > 1:
        raise Unread(f"forward returns an array {out.shape}, and backward() takes no dy: of which loss is it?")
    jacobian = bool(out.ndim) and all(np.shape(g) == out.shape + np.shape(values.get(n, 0)) for n, g in grads.items())
    return reading.style.startswith("slope") and (alike or jacobian)


def growing(
    case: Case, reading: Reading, ran: Ran, dys: list[Array], grads: Mapping[str, Any], params: list[str]
) -> list[str]:
    """The parameters whose gradients a second backward adds to."""
    if any(name.lower() in RATES for name in arguments(case.pair.backward)):  # why: two calls take two steps
        return []
    again = case.pull(reading, ran, dys, times=2)
    return [n for n in params if np.any(grads[n]) and np.allclose(again.get(n, 0), 2 * grads[n])]


def is_input(name: str, case: Case, grads: Mapping[str, Any], is_loss: bool) -> bool:
    """Is a gradient expected? Of all but targets, noise and the like; and of x only if of anything like it."""
    if name in grads:
        return True
    names, own, forward = list(case.values), role(name), case.pair.forward
    of_two = is_loss and len(names) == 2 and name == names[1] and own not in layers.TRAINABLE
    if (
        own in CONSTANT
        or is_target(name, names)
        or of_two
        or (is_loss and name.lower() == "y")
        or frozen(forward, name)
    ):
        return False  # why: the second of two of a loss is what the first is compared with
    if is_loss and not is_asked_of_a_loss(name, own, multiplied(forward), grads):
        return False
    of_data = any(role(n) not in layers.TRAINABLE for n in grads if n in names)
    return own in layers.TRAINABLE or (of_data and short(name) in gradients_named(case.pair.backward))


def is_asked_of_a_loss(name: str, own: str, products: frozenset[str], grads: Mapping[str, Any]) -> bool:
    """Beside a prediction stands much that is data: weights of the samples, what an old policy said, and so on.

    Parameters are matrices that enter a product, and what belongs to a layer while another parameter has a gradient.
    """
    if name in products and (own in layers.TRAINABLE or not own):
        return True
    if own in ("weight", "recurrent", "spread") or not own:
        return own == "spread" and any(role(n) == "latent" for n in grads)
    return own not in layers.TRAINABLE or any(role(n) in layers.TRAINABLE for n in grads)


def functions(case: Case, reading: Reading, names: list[str], elementwise: bool) -> tuple[Any, Any]:
    """forward(**arrays) -> y, cache and backward(dy, cache) -> a gradient for every name."""
    total = np.mean if reading.total == "mean" else np.sum

    def forward(**arrays: Array) -> tuple[Array, Any]:
        ran = case.run(arrays)
        kept = {} if case.pair.kind == "function" else layers.snapshot(ran.host)
        caches = {"cache": ran.caches[0] if len(ran.caches) == 1 else ran.caches} if ran.caches else {}
        y = joined(ran.outputs) if reading.style == "given" else ran.outputs[0]
        if reading.style != "given" and not elementwise:
            y = np.asarray(total(y))
        return y, {**{layers.written(path): a for path, a in kept.items()}, **caches, "": lambda: ran}

    def backward(dy: Array, cache: Any) -> dict[str, Any]:
        ran = cache[""]()
        if reading.style == "given":
            grads = case.pull(reading, ran, parted(dy, ran.outputs))
        else:
            grads = {name: times(dy, g) for name, g in case.pull(reading, ran, []).items()}
        return {name: grads.get(name) for name in names}

    return forward, backward
