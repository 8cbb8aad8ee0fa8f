"""A forward and its backward as two functions of named arrays, called so that nothing gets damaged."""

import copy
import inspect
import types
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from scratchvae.backend import to_numpy

Values = dict[str, np.ndarray]


class Pair(NamedTuple):
    """A forward and its backward, called by name; every call gets copies."""

    forward: Callable[..., tuple[Any, Any]]
    backward: Callable[[Any, Any], Any]
    names: list[str]  # the inputs that are differentiated
    constants: Mapping[str, Any]
    keeper: Any = None  # the object on which they keep what backward needs, if there is one: then there is no cache

    def run(self, x: Values, constants: Mapping[str, Any] | None = None) -> Any:
        """y, cache as they came.

        Raises    NotImplementedError: an empty forward. ValueError: something else than y, cache.
        """
        constants = copied(self.constants) if constants is None else constants
        out: Any = self.forward(**x, **constants)
        if out is None or out is Ellipsis:
            raise NotImplementedError("forward returns nothing")
        if not isinstance(out, tuple) or len(out) != 2:
            raise ValueError(f"forward should return y, cache; got {described(out)}")
        return out

    def y(self, x: Values) -> np.ndarray:
        """The output, in float64."""
        return as_output(self.run(copied(x))[0]).astype(float)

    def pull(self, dy: np.ndarray, cache: Any) -> dict[str, Any]:
        """backward, its answer as a dict by input name; None where it gave none, Ellipsis where it is to be written."""
        return named(self.backward(dy, cache), self.names)

    def grads(self, x: Values, dy: np.ndarray) -> dict[str, Any]:
        """A forward and a backward, on fresh copies, and copies of what came: the next call may use its memory."""
        _, cache = self.run(copied(x))
        found = copied(self.pull(dy.copy(), cache))
        return {name: None if g is Ellipsis else g for name, g in found.items()}


def numbers_by_default(function: Callable[..., Any]) -> dict[str, int | float]:
    """The plain numbers that a function takes if it is given none: settings, as delta of a Huber loss."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # of what is built in
        return {}
    by_name = (p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY))
    return {p.name: p.default for p in by_name if type(p.default) in (int, float)}


class Kept(NamedTuple):
    """What the backward of a model needs: its cache, which may hold the weights themselves, and these as they were."""

    params: Values
    cache: Any


def described(thing: Any) -> str:
    """What came instead, in a few words."""
    if isinstance(thing, tuple | list):
        return f"a {type(thing).__name__} of {len(thing)}"
    if hasattr(thing, "shape"):
        return f"an array of shape {tuple(thing.shape)}"
    return f"the number {thing}" if isinstance(thing, int | float) else type(thing).__name__


def as_array(thing: Any) -> np.ndarray | None:
    """An array, a number, or lists of numbers, as an array of numbers; None for anything else."""
    try:
        array = to_numpy(thing)
    except (ValueError, TypeError):  # of lists that are no array
        return None
    return array if array.dtype.kind in "fiubc" else None


def as_output(y: Any) -> np.ndarray:
    """y as an array.

    Raises    ValueError: it is none.
    """
    array = as_array(y)
    if array is None:
        raise ValueError(f"forward should return y, cache with an array y; y is {described(y)}")
    return array


def copied(thing: Any) -> Any:
    """The same values in the same dicts, lists and tuples; arrays are copied, and generators with their state."""
    if isinstance(thing, np.random.Generator):
        return copy.deepcopy(thing)
    if hasattr(thing, "dtype") and hasattr(thing, "shape"):
        return thing.copy()
    if type(thing) is dict:
        return {key: copied(value) for key, value in thing.items()}
    if type(thing) in (list, tuple):
        return type(thing)(copied(value) for value in thing)
    if isinstance(thing, tuple) and hasattr(thing, "_fields"):
        return type(thing)(*map(copied, thing))
    return copied(dict(thing)) if isinstance(thing, types.MappingProxyType) else thing


def flattened(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """A dict within a dict, {"params": {"W": W}}, as one with longer names, {"params.W": W}."""
    flat: dict[str, Any] = {}
    for key, value in inputs.items():
        inner = flattened(value) if isinstance(value, Mapping) else {"": value}
        flat |= {f"{key}.{name}" if name else str(key): part for name, part in inner.items()}
    return flat


def nested(flat: Mapping[str, Any], like: Mapping[str, Any], front: str = "") -> dict[str, Any]:
    """The values of a flattened dict where they belong in one like the first."""
    return {
        key: nested(flat, value, f"{front}{key}.") if isinstance(value, Mapping) else flat[f"{front}{key}"]
        for key, value in like.items()
    }


# ---------------------------------------------------------------------------------------------------------------------
# What a backward returned


def named(grads: Any, names: list[str]) -> dict[str, Any]:
    """Gradients by input name: from a dict (dW means W), or in the inputs' order, or dx and a dict of others.

    Raises    NotImplementedError: there is nothing in it. ValueError: too many, an unknown name, no numbers.
    """
    by_name: dict[str, Any] = {}
    in_order = sorted_out(grads, names, by_name)
    if odd := sorted(set(by_name) - set(names)):
        raise ValueError(f"backward should return gradients of {', '.join(names)}, got one of {', '.join(odd)}")
    rest = [name for name in names if name not in by_name]
    if len(in_order) > len(rest):
        raise ValueError(
            f"backward should return one gradient for each of {', '.join(names)}, got {len(in_order) + len(by_name)}; "
            "an input that is not to be differentiated belongs in constants, and gets none"
        )
    by_name |= dict(zip(rest, in_order, strict=False))
    if by_name and all(g is None or g is Ellipsis for g in by_name.values()):
        raise NotImplementedError("backward returns nothing")
    return {name: numbers(name, by_name.get(name)) for name in names}


def sorted_out(grads: Any, names: list[str], by_name: dict[str, Any]) -> list[Any]:
    """Put what has a name into by_name; return the others in their order."""
    if isinstance(grads, Mapping):
        by_name.update({input_of(key, names): g for key, g in flattened(grads).items()})
        return []
    if not isinstance(grads, tuple | list) or (len(names) == 1 and len(grads) > 1 and plain(grads)):
        return [grads]
    return [found for g in grads for found in ([g] if plain(g) else sorted_out(g, names, by_name))]


def input_of(key: str, names: list[str]) -> str:
    """The input that a key of a dict of gradients means: W, dW, d_W or grad_W; the key itself if it is none of these.

    Inside a dict of parameters the last part of a name will do, if it is the only one: W for params.W.
    """
    last = key.rsplit(".", 1)[-1]
    meant = [word.removeprefix(front) for word in (key, last) for front in ("", "grad_", "d_", "d")]
    ends = [name for name in names if "." in name and name.rsplit(".", 1)[-1] in meant]
    return next((name for name in meant if name in names), ends[0] if len(ends) == 1 else key)


def plain(thing: Any) -> bool:
    """Is it lists of plain numbers, and so one gradient rather than several?"""
    return isinstance(thing, tuple | list) and all(isinstance(g, int | float) or plain(g) for g in thing)


def numbers(name: str, g: Any) -> Any:
    """One gradient as an array; what a blank returns is left as it is."""
    if g is None or g is Ellipsis:
        return g
    array = as_array(g)
    if array is None:
        raise ValueError(f"backward should return an array for {name}, got {described(g)}")
    return array
