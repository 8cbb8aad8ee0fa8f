"""The layer that keeps on itself what its backward needs: self.x in forward, used in backward, and no cache.

Its forward and backward are methods of one object, or functions that reach the same one. What they return as cache is
nothing, or that object. A dict in which two functions remember things is no such object, and neither is a cache that
is handed over and then not used: there the state is hidden where nobody looks for it.
"""

import functools
import types
from collections.abc import Callable, Iterator
from typing import Any

from scratchvae.checks.vjp.arrays import NO_OBJECTS
from scratchvae.checks.vjp.call import Pair, Values, copied


def keeper_of(pair: Pair, x: Values) -> Any:
    """The object that keeps what backward needs, if the pair works that way."""
    (_, cache), (_, again) = pair.run(copied(x)), pair.run(copied(x))
    if cache is not None:
        return cache if cache is again and is_layer(cache) else None
    theirs = list(layers_of(pair.backward))
    return next((layer for layer in layers_of(pair.forward) if any(layer is other for other in theirs)), None)


def layers_of(function: Callable[..., Any]) -> Iterator[Any]:
    """The layers that a function is a method of, or that it can reach by name."""
    if isinstance(function, functools.partial):
        yield from filter(is_layer, (*function.args, *function.keywords.values()))
        function = function.func
    owner = getattr(function, "__self__", function)  # why: a layer may be called itself, as a function
    if is_layer(owner):
        yield owner
    if code := getattr(function, "__code__", None):
        cells = [cell.cell_contents for cell in function.__closure__ or () if cell != types.CellType()]
        names = (function.__globals__.get(name) for name in code.co_names)
        yield from filter(is_layer, (*cells, *(function.__defaults__ or ()), *names))
        for inner in filter(lambda thing: isinstance(thing, types.FunctionType | types.MethodType), cells):
            yield from layers_of(inner)


def is_layer(thing: Any) -> bool:
    """An object of somebody's own class, with methods and attributes."""
    methods = (value for name, value in vars(type(thing)).items() if not name.startswith("__"))
    return hasattr(thing, "__dict__") and not isinstance(thing, NO_OBJECTS) and any(map(callable, methods))
