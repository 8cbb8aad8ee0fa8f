"""A pair with its arguments: the forward at some arrays, the backward, and the gradients by name.

What belongs to a layer is the layer's: every call works on a copy of it, so nothing that it keeps can be a fault.
"""

import copy
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from scratchvae.checks.files import layers
from scratchvae.checks.files.gradients import by_name
from scratchvae.checks.files.names import RATES, short
from scratchvae.checks.files.pairs import Context, Written, arguments
from scratchvae.checks.files.readings import Ran, Reading, pull, run
from scratchvae.checks.vjp.call import numbers_by_default

Array = np.ndarray
KEEPS_X = ("dinputs", "dinput", "dx", "dX", "grad_input", "input_grad", "d_input", "grad_inputs")


class Case(NamedTuple):
    """A pair with arguments: its inputs are those of the forward, and the parameters of the layer."""

    pair: Written
    base: Any  # the object; every call gets a copy
    places: dict[str, list[layers.Path]]  # where the layer holds its parameters
    values: dict[str, Any]  # the forward's arguments
    reset: Callable[[], None]  # the generators, to where they were
    left_out: tuple[str, ...] = ()  # what the object holds that looks like a parameter, and has no gradient

    @property
    def settings(self) -> dict[str, int | float]:
        """The numbers that its forward takes by default."""
        return numbers_by_default(self.pair.forward)

    def run(self, arrays: Mapping[str, Any]) -> Ran:
        """The forward at these arrays."""
        self.reset()
        values = {name: arrays.get(name, copy.deepcopy(value)) for name, value in (self.settings | self.values).items()}
        return run(self.pair, self.host(arrays), values)

    def host(self, arrays: Mapping[str, Any]) -> Any:
        """A copy of the layer with these parameters, or a fresh ctx."""
        if self.pair.kind != "layer":
            return Context()
        held = layers.arrays(self.base)
        return layers.with_arrays(
            self.base,
            {id(held[paths[0]]): np.array(arrays[name]) for name, paths in self.places.items() if name in arrays},
        )

    def pull(self, reading: Reading, ran: Ran, dys: list[Array], times: int = 1) -> dict[str, Any]:
        """The backward on a copy of what the forward left, its gradients by name; of several calls those of the last.

        Raises    NotImplementedError: it does nothing. ValueError: nothing is found of what it does.
        """
        host = copy.deepcopy(ran.host)
        before = layers.snapshot(host)
        for _ in range(times):
            host = layers.flushed(host)  # why: where gradients add up until somebody empties them, as in PyTorch
            raw = pull(self.pair, reading, ran._replace(host=host), dys)
        names = {name: value for name, value in ran.values.items() if name in self.values}
        floats = [value for value in names.values() if isinstance(value, np.ndarray) and value.dtype.kind == "f"]
        if not isinstance(raw, tuple) or len(raw) != len(floats):  # why: else they are those of what went in
            names |= dict.fromkeys(self.places, np.zeros(1))
        grads = {} if raw is None else by_name(raw, names, self.pair.backward)
        grads = {name: g for name, g in grads.items() if g is not None}
        if self.pair.kind == "layer":
            grads = {**self.kept(host, before), **grads}
        if grads:
            return grads
        if layers.snapshot(host).keys() == before.keys():
            raise NotImplementedError("backward returns nothing")
        raise ValueError("backward returns nothing, and no gradient was found in self.dx, self.dW or the like")

    def kept(self, host: Any, before: Mapping[layers.Path, Array]) -> dict[str, Any]:
        """The gradients that a layer keeps, and the steps that it took with a learning rate of 1."""
        found: dict[str, Any] = {}
        held, grads = layers.arrays(host), layers.gradients(host)
        steps = any(name.lower() in RATES for name in arguments(self.pair.backward))
        for name, paths in self.places.items():
            keys = [key for path in paths if (key := layers.key_of_parameter(path)) in grads]
            if keys:
                found[name] = grads[keys[0]]
            elif steps:
                found[name] = before[paths[0]] - held[paths[0]]
        for name in list(self.values)[:1]:
            own = [grads[key] for key in [(short(name),)] if key in grads]
            own += [a for n in KEEPS_X if isinstance(a := vars(host).get(n), np.ndarray)]
            found |= {name: own[0]} if own else {}
        return found
