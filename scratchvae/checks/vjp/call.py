"""A forward and its backward as two functions of named arrays, called so that nothing gets damaged."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from scratchvae.backend import to_numpy

Values = dict[str, np.ndarray]


class Pair(NamedTuple):
    """A forward and its backward, called by name; every call gets copies, and its floating-point warnings are muted."""

    forward: Callable[..., tuple[Any, Any]]
    backward: Callable[[Any, Any], Any]
    names: list[str]  # the inputs that are differentiated
    constants: Mapping[str, Any]

    def run(self, x: Values, constants: Mapping[str, Any] | None = None) -> tuple[Any, Any]:
        constants = copied(self.constants) if constants is None else constants
        with np.errstate(all="ignore"):
            out = self.forward(**x, **constants)
        if not isinstance(out, tuple) or len(out) != 2:
            raise ValueError(f"forward should return the pair y, cache, got {type(out).__name__}; return y, cache")
        return out

    def y(self, x: Values) -> np.ndarray:
        """The output, in float64 (or complex, for complex inputs)."""
        y = to_numpy(self.run(copied(x))[0])
        return y if y.dtype.kind == "c" else y.astype(float)

    def pull(self, dy: np.ndarray, cache: Any) -> dict[str, Any]:
        """backward, its answer as a dict by input name; None where it gave none."""
        with np.errstate(all="ignore"):
            return named(self.backward(dy, cache), self.names)

    def grads(self, x: Values, dy: np.ndarray) -> dict[str, Any]:
        """A forward and a backward, on fresh copies."""
        _, cache = self.run(copied(x))
        return self.pull(dy.copy(), cache)


def copied(x: Mapping[str, Any]) -> dict[str, Any]:
    """The same values under the same names; arrays are copied."""
    return {name: value.copy() if hasattr(value, "copy") else value for name, value in x.items()}


def named(grads: Any, names: list[str]) -> dict[str, Any]:
    """What a backward returned, by input name; a dict may also say dW for W."""
    if isinstance(grads, Mapping):
        given = {key if key in names or key[1:] not in names else key[1:]: g for key, g in grads.items()}
        if odd := sorted(set(given) - set(names)):
            raise ValueError(f"backward should return gradients of {', '.join(names)}, got one of {', '.join(odd)}")
    else:
        several = isinstance(grads, tuple | list)
        if several and len(grads) > len(names):
            raise ValueError(
                f"backward should return one gradient for each of {', '.join(names)}, got {len(grads)}; "
                "an input that is not to be differentiated belongs in constants, and gets none"
            )
        given = dict(zip(names, grads if several else (grads,), strict=False))
    return {name: None if given.get(name) is None else to_numpy(given[name]) for name in names}
