"""What a layer object holds: its parameters, and after a backward their gradients, by how one would write them.

A path leads to an array: ("W",) is self.W, ("params", "W") is self.params["W"], ("layers", 0, "W") self.layers[0].W,
("W", "data") self.W.data, which has its gradient beside it, in self.W.grad.
"""

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from scratchvae.checks.files.names import gradient_of, role, short

Path = tuple[str | int, ...]
PARAMETERS = ("params", "parameters", "param", "_params", "weights", "trainable_params")
GRADIENTS = ("grads", "gradients", "grad", "_grads", "dparams", "gradient", "param_grads")
VALUES = ("data", "value", "val")  # of an object that is a parameter with its gradient
TRAINABLE = ("weight", "recurrent", "bias", "gain", "shift")
DEPTH = 4  # of objects in objects
EMPTIED = ("zero_grad", "zero_grads", "flush_gradients", "clear_grads", "reset_grads")  # what a layer may call it


def arrays(thing: Any, path: Path = ()) -> dict[Path, np.ndarray]:
    """Every array of floats inside an object, its dicts, lists and objects of its own."""
    return {path: a for path, a in leaves(thing, path).items() if isinstance(a, np.ndarray)}


def leaves(thing: Any, path: Path = ()) -> dict[Path, Any]:
    """The same, and the single numbers."""
    if isinstance(thing, float):  # np.float64 is one
        return {path: thing} if path else {}
    if isinstance(thing, np.ndarray):
        return {path: thing} if thing.dtype.kind == "f" and thing.size and path else {}
    parts: Iterable[tuple[Any, Any]] = ()
    if isinstance(thing, Mapping):
        parts = thing.items()
    elif isinstance(thing, list | tuple):
        parts = enumerate(thing)
    elif hasattr(thing, "__dict__") and not isinstance(thing, type) and not callable(getattr(thing, "__code__", None)):
        parts = vars(thing).items()
    if len(path) >= DEPTH:
        return {}
    return {p: a for key, value in parts if isinstance(key, str | int) for p, a in leaves(value, (*path, key)).items()}


def snapshot(thing: Any) -> dict[Path, np.ndarray]:
    """The same, copied: what they are now."""
    return {path: a.copy() for path, a in arrays(thing).items()}


def written(path: Path) -> str:
    """W, fc1.W, layers[0].W; params["W"] is W as well."""
    if len(path) > 1 and path[-1] in VALUES:
        path = path[:-1]
    if len(path) > 1 and path[-2] in PARAMETERS and isinstance(path[-1], str):
        path = (*path[:-2], path[-1])
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def key_of_parameter(path: Path) -> Path:
    """What a parameter and its gradient have in common."""
    if len(path) > 1 and path[-1] in VALUES:
        path = path[:-1]
    front, last = path[:-1], path[-1]
    if front and front[-1] in PARAMETERS:
        front = front[:-1]
    return (*front, short(last) if isinstance(last, str) else last)


def keys_of_gradient(path: Path) -> list[Path]:
    """The parameters that an array may be the gradient of: dW, grad_W, grads["W"], grads["dW"], grads[0]."""
    front, last = path[:-1], path[-1]
    if front and last in GRADIENTS and isinstance(front[-1], str):  # W.grad
        return [key_of_parameter(front)]
    if front and front[-1] in GRADIENTS:
        if isinstance(last, int):
            return [(*front[:-1], last)]
        return [(*front[:-1], short(last)), (*front[:-1], gradient_of(last))]
    return [(*front, gradient_of(last))] if isinstance(last, str) and gradient_of(last) else []


def gradients(layer: Any) -> dict[Path, np.ndarray]:
    """Every array that is the gradient of something by its name, by the parameter's key."""
    return {key: np.asarray(a) for path, a in leaves(layer).items() for key in reversed(keys_of_gradient(path))}


def with_numbers(layer: Any, grads: Mapping[Path, Any]) -> Any:
    """The layer with an array () in place of every plain number of which a gradient is known."""
    layer = copy.deepcopy(layer)
    for path, value in leaves(layer).items():
        if isinstance(value, float) and not keys_of_gradient(path) and key_of_parameter(path) in grads:
            holder = parts_of(layer)
            for part in path[:-1]:
                holder = parts_of(holder[part])
            if not isinstance(holder, tuple):
                holder[path[-1]] = np.array(value)
    return layer


def parts_of(thing: Any) -> Any:
    """What can be looked up in it by the steps of a path: of an object its attributes."""
    return thing if isinstance(thing, Mapping | list | tuple) else vars(thing)


def kept(layer: Any, forward: Any) -> dict[Path, np.ndarray]:
    """The arrays that a forward leaves where they are: no activations."""
    before = arrays(layer)
    fresh = {id(a): a.copy() for a in before.values()}
    later = with_arrays(layer, fresh)
    forward(later)
    after = arrays(later)
    return {path: a for path, a in before.items() if after.get(path) is fresh[id(a)]}


def with_arrays(layer: Any, new: Mapping[int, np.ndarray]) -> Any:
    """A copy of the layer that has other arrays wherever it holds those of these ids: in lists and attributes alike."""
    return copy.deepcopy(layer, dict(new))


def parameters(still: Mapping[Path, np.ndarray], grads: Mapping[Path, Any]) -> dict[str, list[Path]]:
    """The arrays that are differentiated, by name, with all the places where each of them is.

    Those that have a gradient. Of the others those that are parameters by their names, if any has a gradient at all:
    the gradient of a bias may have been forgotten, that of a running mean has not.
    """
    places: dict[int, list[Path]] = {}
    keys = {key_of_parameter(path) for path in still}
    for path, a in still.items():
        if not keys.intersection(keys_of_gradient(path)):
            places.setdefault(id(a), []).append(path)
    chosen = {}
    for paths in places.values():
        paths.sort(key=lambda path: (isinstance(path[-1], int), len(path)))
        name = key_of_parameter(paths[0])[-1]
        missed = isinstance(name, str) and role(name) in TRAINABLE and beside_a_gradient(paths, grads)
        if missed or any(key_of_parameter(path) in grads for path in paths):
            chosen[written(paths[0])] = paths
    return chosen


def left_out(still: Mapping[Path, np.ndarray], places: Mapping[str, Iterable[Path]]) -> tuple[str, ...]:
    """The arrays that are parameters by their names and are not among those that are differentiated."""
    known, keys = {path for paths in places.values() for path in paths}, {key_of_parameter(path) for path in still}
    others = [path for path in still if path not in known and not keys.intersection(keys_of_gradient(path))]
    named = [path for path in others if role(str(key_of_parameter(path)[-1])) in TRAINABLE]
    return tuple(written(path) for path in named)


def beside_a_gradient(paths: Iterable[Path], grads: Mapping[Path, Any]) -> bool:
    """Does something else in the same object have one?"""
    return any(key_of_parameter(path)[:-1] == key[:-1] for path in paths for key in grads)


def flushed(layer: Any) -> Any:
    """The layer after what it has for emptying its gradients."""
    for name in EMPTIED:
        if callable(getattr(layer, name, None)):
            getattr(layer, name)()
            break
    return layer
