"""Run a test module of the core on the stand-in for CuPy: its arrays stay NumPy's, the core's become the device's.

`on_device(module)` is a second copy of a test module in which every function and class of the core minds the border:
an array that goes in is wrapped as a device array, one that comes out is unwrapped. Both share their memory, so that
what the core writes in place is seen by the test, and what the test froze cannot be written to. Inside the core nothing
is converted: there, a NumPy array that meets a device array is an error.
"""

import functools
import importlib
import importlib.util
import inspect
import sys
import types
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from scratchvae import standin
from scratchvae.layers import Params

TESTS = Path(__file__).parents[1] / "core"
FOREIGN = ("training", "checkpoint", "batches", "evaluation", "exact")  # they take arrays of the host, and move them
CORE = ("backend", "arguments", "layers", "gaussian", "likelihoods", "model", "autoencoder", "vae", "iwae", "optim")
CORE += FOREIGN
HOST_METHODS = ("output_bias", "start_output_bias")  # they take the mean image, of the host
crossed = []  # not empty while the core is running


@contextmanager
def inside():
    crossed.append(True)
    try:
        yield
    finally:
        crossed.pop()


def convert(thing, array, change):
    """thing with change applied to every array in it, wherever it sits in tuples, lists and dicts."""
    if isinstance(thing, array):
        return change(thing)
    if isinstance(thing, dict | Params):
        return type(thing)({key: convert(value, array, change) for key, value in thing.items()})
    if isinstance(thing, tuple) and hasattr(thing, "_fields"):
        return type(thing)(*(convert(value, array, change) for value in thing))
    if isinstance(thing, tuple | list):
        return type(thing)(convert(value, array, change) for value in thing)
    return thing


def to_device(thing):
    return convert(thing, np.ndarray, standin.ndarray)


def to_host(thing):
    return convert(thing, standin.ndarray, lambda a: a._host)


def crossing(function, host=False):
    """function with the border around it; with host, its arguments stay on the host."""

    @functools.wraps(function)
    def crossed_over(*args, **options):
        if crossed:
            return function(*args, **options)
        there = (args, options) if host else (to_device(args), to_device(options))
        with inside():
            result = to_host(function(*there[0], **there[1]))
        for mine, theirs in zip((*args, *options.values()), (*there[0], *there[1].values()), strict=True):
            if type(mine) is dict and mine is not theirs:  # a trace, or params: what was put into the dict's copy
                mine.update(to_host(theirs))
        return result

    return crossed_over


@functools.cache
def device_class(cls):
    """cls with the border around its methods and attributes; a model is built on the device."""

    class OnDevice(cls):
        def __init__(self, *args, **options):
            if "backend" in inspect.signature(cls).parameters:
                options = {"backend": "cupy", **options}
            with inside():
                super().__init__(*args, **options)

        def __getattribute__(self, name):
            value = super().__getattribute__(name)
            if crossed or name.startswith("__"):
                return value
            return crossing(value, host=name in HOST_METHODS) if inspect.ismethod(value) else to_host(value)

    OnDevice.__name__, OnDevice.__doc__ = cls.__name__, cls.__doc__
    return OnDevice


def at_the_border(thing):
    """A function, a class, or a table of them, as the copy of a test module sees it."""
    home = getattr(thing, "__module__", None) or ""
    if isinstance(thing, dict):
        return {key: at_the_border(value) for key, value in thing.items()}
    if type(thing) is tuple:
        return tuple(at_the_border(value) for value in thing)
    if not home.startswith("scratchvae."):
        return thing
    name = home.removeprefix("scratchvae.").split(".")[0]  # of a package, such as exact, its own name
    if inspect.isfunction(thing) and name in CORE:
        return crossing(thing, host=name in FOREIGN)
    holds_arrays = name in ("layers", "likelihoods", "autoencoder", "vae", "iwae", "optim") and thing is not Params
    if inspect.isclass(thing) and holds_arrays and not issubclass(thing, tuple):
        return device_class(thing)
    return thing


def facade(name):
    """The module called name with the border around everything in it."""
    copy = types.ModuleType(name)
    vars(copy).update({key: at_the_border(value) for key, value in vars(importlib.import_module(name)).items()})
    return copy


def on_device(name):
    """A second copy of the test module of the core called name, in which the core computes on the device."""
    facades = {full: facade(full) for full in ("scratchvae", *(f"scratchvae.{part}" for part in CORE))}
    real = dict(sys.modules)
    spec = importlib.util.spec_from_file_location(f"{name}_on_device", TESTS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules.update(facades)
    try:
        spec.loader.exec_module(module)
    finally:
        for full in [full for full in sys.modules if full.startswith("scratchvae.") and full not in real]:
            del sys.modules[full]  # why: a module imported meanwhile has seen the facades
        sys.modules.update({full: real[full] for full in facades})
    return module
