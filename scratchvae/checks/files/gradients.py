"""What came back from a backward, by the names of what it is the gradient of."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from scratchvae.checks.files.names import CONSTANT, OF_X, gradient_of, role, short
from scratchvae.checks.files.source import returned


def by_name(grads: Any, values: Mapping[str, Any], backward: Callable[..., Any]) -> dict[str, Any]:
    """A dict, a tuple or one array as a dict by the names of the forward's arguments; dx, grads are both.

    Raises    ValueError: more gradients than there are names for.
    """
    if isinstance(grads, Mapping):
        return from_dict(grads, list(values))
    if not isinstance(grads, tuple | list):
        said = [gradient_of(name) for name in returned(backward)]
        whose = [name for name in values if said == [short(name)]]
        return {(whose or [the_one(grads, values)])[0]: grads}
    parts, more = list(grads), {}
    if parts and isinstance(parts[-1], Mapping):
        more = from_dict(parts.pop(), list(values))
    names = [name for name in values if name not in more]
    said = [gradient_of(name) for name in returned(backward)[: len(parts)]]
    said = said if len(said) == len(parts) else [""] * len(parts)
    spelled = {short(name): name for name in names}
    chosen = those_with(len(parts), {name: values[name] for name in names})
    fitting = len(chosen) == len(parts) and all(
        np.shape(values[name]) == np.shape(g) for name, g in zip(chosen, parts, strict=True)
    )
    known = [spelled[name] for name in said if name in spelled]
    named = len(parts) > 1 and len(set(known)) == len(known) == len(parts)
    if named and not fitting:  # why: a tuple is in the forward's order, unless the shapes say otherwise
        return {**{spelled[name]: g for name, g in zip(said, parts, strict=True)}, **more}
    fewer = len(parts) < sum(not not_of_floats(values[name]) for name in names) and set(known) != set(chosen)
    if known and fewer and len(set(known)) == len(known):
        chosen = beside([spelled.get(name, "") for name in said], {name: values[name] for name in names})
    elif not fitting:  # why: what has the shapes of all gradients is more likely than what is left of the names
        chosen = of_these_shapes([np.shape(g) for g in parts], {name: values[name] for name in names}) or chosen
    if len(parts) > len(names):
        raise ValueError(f"backward returns {len(parts)} gradients, and there are {len(names)} inputs")
    return {**dict(zip(chosen, parts, strict=True)), **more}


def of_these_shapes(shapes: Sequence[tuple[int, ...]], values: Mapping[str, Any]) -> list[str]:
    """The first arrays of floats, in order, that have these shapes; nothing, if there are none."""
    names = [name for name, value in values.items() if isinstance(value, np.ndarray) and value.dtype.kind == "f"]
    sets = itertools.combinations(names, len(shapes)) if len(shapes) > 1 else ()
    return list(next((some for some in sets if [values[name].shape for name in some] == list(shapes)), ()))


def beside(said: Sequence[str], values: Mapping[str, Any]) -> list[str]:
    """The names that a return says, and for what it does not name the likely ones that come next."""
    names, found, last = list(values), [], 0
    for name in said:
        open_ = [n for n in names if n not in said and n not in found]
        name = name or next((n for n in those_with(1, {n: values[n] for n in open_ if names.index(n) >= last})), "")
        found.append(name or next(iter(open_), ""))
        last = names.index(found[-1]) if found[-1] else last
    return found


def the_one(grad: Any, values: Mapping[str, Any]) -> str:
    """Whose gradient a single array is: the first that may have one, or the only one of its shape."""
    likely = those_with(1, values)[:1] or list(values)[:1]
    alike = [name for name, value in values.items() if np.shape(value) == np.shape(grad) and not not_of_floats(value)]
    return alike[0] if len(alike) == 1 and likely[0] not in alike else likely[0]


def from_dict(grads: Mapping[Any, Any], names: list[str]) -> dict[str, Any]:
    """Its entries under the forward's names: dW, grad_W and W are all W. Other entries keep their own."""
    spelled = {short(name): name for name in names}
    found = {}
    for key, g in grads.items():
        text = str(key)
        exact = text if text in names else spelled.get(gradient_of(text)) or spelled.get(short(text)) or text
        found[exact] = g
    return found


def those_with(n: int, values: Mapping[str, Any]) -> list[str]:
    """The n arguments that have a gradient: no settings, no integers, no targets as long as others are left."""
    names = list(values)
    if len(names) <= n:
        return names
    for unwanted in (not_an_array, not_of_floats):
        if len(fewer := [name for name in names if not unwanted(values[name])]) >= n:
            names = fewer
    for kind in CONSTANT:
        for name in [name for name in names if kind == role(name) or (kind == "target" and is_target(name, names))]:
            if len(names) > n:
                names.remove(name)
    return names[:n]


def is_target(name: str, names: Sequence[str]) -> bool:
    """x beside logits is what they are compared with."""
    return name.lower() == "x" and bool(OF_X.intersection(n.lower() for n in names))


def not_an_array(value: Any) -> bool:
    return not isinstance(value, np.ndarray)


def not_of_floats(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind != "f"
