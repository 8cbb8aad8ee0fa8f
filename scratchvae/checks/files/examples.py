"""Arguments that fit: made up from the names of the parameters, one layout after the other.

Sizes: B = 5 rows (2 images or sequences), I = 4 inputs, O = 3 outputs, H = 6 hidden, T = 5 steps, 6x6 pixels.
"""

import inspect
import re
from collections.abc import Iterator, Mapping
from itertools import chain, islice, product
from typing import Any, NamedTuple

import numpy as np

from scratchvae.checks.files import layers
from scratchvae.checks.files.layouts import LAYOUTS, TOLD, VECTORS, Layout, Shape
from scratchvae.checks.files.names import NUMBERS, OF_X, WORDS, role
from scratchvae.checks.files.pairs import Written, arguments, required
from scratchvae.checks.files.products import shapes_asked
from scratchvae.checks.files.source import for_vectors, integers, looked_up, multiplied, told
from scratchvae.checks.report import SEED

TRIES = 120
H = 6
SETTINGS = {"mode": "train", "p": 0.5, "seed": 0, "eps": 1e-5, "momentum": 0.9, "stride": 2, "pad": 0, "f": 2}
SETTINGS |= {"pool_height": 2, "pool_width": 2}
KINDS = ("labels", "one-hot", "like x", "of the output")  # of targets


class Made(NamedTuple):
    """Arguments for a constructor and for a forward, and the layout that they are in; none if they were given."""

    layout: Layout | None
    init: dict[str, Any]
    call: dict[str, Any]


class Choice(NamedTuple):
    """What is left open by the names: how targets look, what a name that says nothing is, gates, the range of x."""

    layout: Layout
    target: str = "labels"
    unknown: str = "data"
    gates: int = 1
    positive: bool = False
    beside: str = "like x"  # what is data beside x: like x, or a number for every one of its rows
    told: Mapping[str, Shape] = {}
    state: int = 3  # how wide a state is


def examples(pair: Written, given: Mapping[str, Any], positive: bool = False) -> Iterator[Made]:
    """Some of them, the likely ones first, with x above 0 if so asked. What is given is taken as it is."""
    built = pair.kind == "layer" and pair.owner and pair.owner.__init__ is not object.__init__  # type: ignore[misc]
    init = required(pair.owner.__init__) if built else {}  # type: ignore[misc]
    call = required(pair.forward)
    first = {n: v for n, v in given.items() if built and n in arguments(pair.owner.__init__)}  # type: ignore[misc]
    first = {n: v for n, v in first.items() if n not in arguments(pair.forward)}
    later = {n: v for n, v in given.items() if n not in first and (n != "init" or pair.kind != "layer")}
    first |= given.get("init", {}) if pair.kind == "layer" else {}
    missing, unknown = [n for n in call if n not in later], [n for n in later if n not in arguments(pair.forward)]
    if len(missing) == len(unknown) == 1:  # why: the one input of a forward is meant, whatever it is called
        later[missing[0]] = later.pop(unknown[0])
    open_init = [p for name, p in init.items() if name not in first]
    open_call = [p for name, p in call.items() if name not in later]
    if not open_init and not open_call:
        yield Made(None, first, later)
        return
    names = [*init, *call]
    roles = {name: place(name, names, bool(built)) for name in names}
    roles |= in_products(pair, roles)
    if not set(roles.values()) & {"data", "prediction"}:  # somebody must be the data
        first_one = [name for name in call if roles[name] != "index"][:1]
        roles |= {name: "data" for name in first_one if roles[name] not in ("weight", "bias")}
    embeds = built or "weight" in roles.values()  # why: where nothing is looked up, nobody asks for indices
    usual = chain(for_this_code(pair, roles, positive), islice(choices(pair.title, roles, positive), TRIES))

    def made(choice: Choice, roles: Mapping[str, str]) -> Made:
        rng = np.random.default_rng(SEED)
        made_init = {p.name: number(p, choice, roles, rng) for p in open_init}
        made_call = {p.name: argument(p.name, choice, roles, rng) for p in open_call}
        return Made(choice.layout, {**made_init, **first}, {**made_call, **later})

    yield from (made(choice, roles) for choice in usual if embeds or "indices" not in choice.layout.label)
    asked = list(as_multiplied(pair, roles, positive))
    yield from (made(choice, others) for choice, others in asked)
    if built and not asked:
        held = sides(pair, made(Choice(LAYOUTS[0]), roles).init)
        yield from (made(choice, roles) for choice in as_wide(held, "state" in roles.values()))


def in_products(pair: Written, roles: Mapping[str, str]) -> dict[str, str]:
    """Roles that the code gives: A of A @ x is a matrix, and w of a loss without products weighs its samples."""
    products, found = multiplied(pair.forward), {}
    if "data" in {role for name, role in roles.items() if len(name) > 1 or not name.isupper() or name == "X"}:
        found = {n: "weight" for n in roles if n in products and len(n) == 1 and n.isupper() and n not in "XHQKV"}
    if found.get("A") and "W" in roles and {"X", "H"} & roles.keys():
        found |= {"A": "graph"} | {n: "data" for n in roles if n == "H"}
    said = {*integers(pair.forward, roles), *looked_up(pair.forward)}
    found |= {n: "" for n, own in roles.items() if own == "index" and n not in said}
    found |= {n: "index" for n, own in roles.items() if own in ("", "data", "index") and n in said}
    if {"target", "prediction"} & set(roles.values()):
        found |= {n: "given" for n, own in roles.items() if own == "weight" and n not in products}
    return found


def for_this_code(pair: Written, roles: Mapping[str, str], positive: bool) -> Iterator[Choice]:
    """What comes before all layouts: shapes that are told, and vectors if the code speaks of nothing else."""
    told_shapes = told(pair.forward, tuple(roles)) if pair.kind == "function" else {}
    kinds = KINDS if "target" in roles.values() else KINDS[:1]
    for layout, target in product(TOLD if told_shapes else (), kinds):
        yield Choice(layout, target, "data", 1, positive, "rows", told_shapes)
    if pair.kind == "function" and for_vectors(pair.forward, pair.backward) and "weight" not in roles.values():
        yield Choice(VECTORS, "like x", "data", 1, positive)


def sides(pair: Written, init: Mapping[str, Any]) -> list[int]:
    """The lengths of the sides of a layer's own matrices and vectors, those of the inputs and states among them."""
    try:
        held = layers.arrays(pair.owner(**init)).values()  # type: ignore[misc]
    except Exception:  # somebody's constructor may do anything
        return []
    return sorted({n for a in held if a.ndim in (1, 2) for n in a.shape})


def as_wide(held: list[int], has_state: bool) -> Iterator[Choice]:
    """Inputs, and states, that are as wide as what the layer holds: rows, sequences, images, features first, alone."""
    forms = ((5, -1), 0), ((4, 2, -1), 0), ((2, -1, 6, 6), 0), ((2, 6, 6, -1), 0), ((-1, 5), 1), ((-1,), None)
    for n, m, (form, batch) in product(held, held if has_state else [Choice.state], forms):
        data = tuple(n if k < 0 else k for k in form)
        label = f"{n} features, {m} of the state" if has_state else f"{n} features"
        yield Choice(Layout(label, data, (4, 3), (3,), (4,), batch, 0 if batch else -1), state=m)


def as_multiplied(
    pair: Written, roles: Mapping[str, str], positive: bool
) -> Iterator[tuple[Choice, Mapping[str, str]]]:
    """Shapes that the products of the forward ask for, where the names did not lead to any that fit."""
    kinds = KINDS if "target" in roles.values() else KINDS[:1]
    data = next(iter(arguments(pair.forward)), "")
    for layout, shapes in shapes_asked(pair.forward, roles, data):
        others = {**roles, data: "data", **{name: "weight" if len(shapes[name]) > 1 else "bias" for name in shapes}}
        for kind in kinds:
            yield Choice(layout, kind, "data", 1, positive, told=shapes), others


def place(name: str, names: list[str], has_own: bool) -> str:
    """The role of an argument, beside the others; has_own: of an object that may have matrices of its own."""
    low, roles = {n.lower() for n in names}, {role(n) for n in names}
    own = role(name)
    if name.lower() == "y" and low & {"logits", "scores", "y_hat", "yhat", "y_pred", "pred", "p", "probs", "x1"}:
        return "target"
    if own == "data" and name.lower() == "x" and low & OF_X and "target" not in roles:
        return "target"
    if name == "a" and low & {"q", "q_values", "qvals", "logits"}:
        return "index"
    if own == "bias" and low & {"scale", "g", "s", "alpha"} and not roles & {"weight", "recurrent"}:
        return ""
    if own == "bias" and not roles & {"weight", "recurrent"}:
        return "shift" if "gain" in roles else "data"
    if own == "state" and ("data" not in roles if roles & {"weight"} else not has_own and "recurrent" not in roles):
        return "data"  # why: without a matrix beside it h is no state
    if own == "noise" and name.lower() == "eps" and not low & {"mu", "logvar", "log_var", "mean", "sigma", "std"}:
        return "noise of a model" if has_own and not roles & {"gain", "weight"} else "number"
    if name.lower() in ("a_prev", "prev_a") and "recurrent" in roles:
        return "state"
    if own == "target" and len(names) == 1:
        return "data"
    return own


def choices(title: str, roles: Mapping[str, str], positive: bool) -> Iterator[Choice]:
    """Every layout with all that is open in it."""
    present = set(roles.values())
    kinds, besides = KINDS, ("like x", "rows") if "given" in present else ("like x",)
    unknowns = ("data", "gain", "weight", "target") if "" in present else ("data",)
    gates = [1, 4, 3] if "recurrent" in present else [1]
    if re.search("lstm|c_prev|prev_c|c0", " ".join([title.lower(), *roles])):
        gates = [4]
    for unknown in unknowns:
        targets = kinds if "target" in (*present, unknown) else kinds[:1]
        for layout in LAYOUTS:
            for k in gates:
                for target, beside in product(targets if layout.data else targets[2:3] or targets, besides):
                    yield Choice(layout, target, unknown, k, positive, beside)


def number(p: inspect.Parameter, choice: Choice, roles: Mapping[str, str], rng: np.random.Generator) -> Any:
    """For a constructor: a size or a rate by its name; a parameter by its role."""
    low = p.name.lower()
    if p.name in choice.told:
        return argument(p.name, choice, roles, rng)
    if low in NUMBERS and "ndarray" not in str(p.annotation):
        return NUMBERS[low]
    if "shape" in low and "kernel" not in low:
        return choice.layout.data[1:] if choice.layout.batch == 0 else choice.layout.data
    if "shape" in low or ("kernel" in low and "size" in low):
        return (2, 2)
    if low in WORDS:
        return WORDS[low]
    return argument(p.name, choice, roles, rng) if roles[p.name] else 4


def argument(name: str, choice: Choice, roles: Mapping[str, str], rng: np.random.Generator) -> Any:
    """For a forward: an array by its role."""
    own, layout = roles[name] or choice.unknown, choice.layout
    if name.lower() in WORDS:
        return WORDS[name.lower()]
    if own == "number" or (
        roles[name] == "" and name.lower() in NUMBERS and choice.unknown == "data" and name not in choice.told
    ):
        return NUMBERS.get(name.lower(), 1e-5)
    if own == "settings":
        return dict(SETTINGS)
    if own == "flag":
        return True
    if own == "shift" and "gain" not in roles.values():
        return 1.0
    if own == "target":
        return target(name, choice, roles, rng)
    if own == "index":
        size = choice.told.get(
            name, layout.data[:1] if choice.beside == "rows" or len(layout.data) < 3 else layout.data[:2]
        )
        return rng.integers(0, 3, size)
    if layout.label.startswith("indices") and own == "data":
        return rng.integers(0, 3, layout.data)
    shape = choice.told.get(name, shape_of(name, own, choice, roles))
    if own == "noise of a model":  # why: nobody knows how many latents it has, and a column fits any number of them
        return rng.standard_normal((*layout.data[:1], 1))
    if own == "graph":  # of the examples; rows that add up to 1
        n = layout.data[layout.batch or 0] if layout.data else 1
        return (shares := rng.random((n, n))) / shares.sum(axis=1, keepdims=True)
    if own == "mask":
        return (rng.random(shape) < 0.7).astype(float)
    if own == "prediction" or (choice.positive and own == "data"):
        return np.asarray(rng.uniform(0.2, 0.8, shape))
    return np.asarray(rng.uniform(0.5, 1.5, shape) if own == "spread" else rng.standard_normal(shape))


def target(name: str, choice: Choice, roles: Mapping[str, str], rng: np.random.Generator) -> np.ndarray:
    """Labels of 3 classes, the same as one-hot vectors, or numbers, in the shape of x or of the output."""
    layout, outputs = choice.layout, 3 if {"weight", "recurrent"} & set(roles.values()) else 4
    shape = list(layout.data)
    axis = layout.features
    if name in choice.told:
        shape = list(choice.told[name])
        return rng.integers(0, 3, shape) if choice.target == "labels" else rng.uniform(0.2, 0.8, shape)
    if choice.target == "like x":
        return np.asarray(rng.uniform(0.2, 0.8, shape))
    del shape[axis]
    labels = rng.integers(0, 3, shape)
    if choice.target == "labels":
        return labels
    if choice.target == "one-hot":
        return np.moveaxis(np.eye(outputs)[labels], -1, axis)
    shape.insert(axis % len(layout.data), layout.weight[-1] if outputs == 3 else 1)
    return rng.uniform(0.2, 0.8, shape)


def shape_of(name: str, own: str, choice: Choice, roles: Mapping[str, str]) -> Shape:
    """The shape for a role in a layout. W1 and W2 are two layers; Wx and Wh are a recurrence with gates."""
    layout, (place, last) = choice.layout, numbered(name, roles)
    first = layout.features == 0
    if "recurrent" in roles.values() and len(layout.weight) == 2:
        wide = 3 * choice.gates
        shapes: dict[str, Shape] = {"weight": (4, wide), "recurrent": (3, wide), "bias": (wide,)}
        if first:
            shapes = {"weight": (wide, 4), "recurrent": (wide, 3), "bias": (wide, 1)}
        if own in shapes:
            return shapes[own]
    if own == "given" and choice.beside == "rows":
        return layout.data[:1]
    if own == "state":
        batch = () if layout.batch is None else (layout.data[layout.batch],)
        return (choice.state, *batch) if first else (*batch, choice.state)
    if last > 1 and own in ("weight", "bias") and len(layout.weight) == 2:
        sizes = (4 if place == 1 else H, 3 if place == last else H)
        if own == "weight":
            return sizes[::-1] if layout.weight == (3, 4) else sizes
        return tuple(sizes[1] if n == 3 else n for n in layout.bias)
    return {"weight": layout.weight, "bias": layout.bias, "gain": layout.gain, "shift": layout.gain}.get(
        own, layout.data
    )


def numbered(name: str, roles: Mapping[str, str]) -> tuple[int, int]:
    """W2 of three: 2, 3; of a name without a number 0, 0."""
    numbers = {n: int(found[1]) for n in roles if (found := re.search(r"(\d+)$", n)) and roles[n] == "weight"}
    if not (found := re.search(r"(\d+)$", name)) or len(numbers) < 2:
        return 0, 0
    return int(found[1]), max(numbers.values())
