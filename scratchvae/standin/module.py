"""The module: every name of CuPy's with its own keywords, and what each of them asks of the device."""

import types

import numpy as np

from scratchvae.standin.array import NAMES, REDUCTIONS, check_keywords, counts, launch, ndarray, take


def asarray(a, dtype=None, order=None, *, copy=None, blocking=False):
    """A device array as it is if it may be; the host's numbers, converted there, in one transfer."""
    if isinstance(a, ndarray):
        return a.astype(a.dtype if dtype is None else dtype, copy=bool(copy))
    if isinstance(a, list | tuple) and a and all(isinstance(part, ndarray) for part in a):
        return asarray(stack(a), dtype)
    counts.to_device += 1
    return ndarray(np.array(a, dtype))


def array(a, dtype=None, copy=True):
    return asarray(a, dtype, copy=copy)


def asnumpy(a):
    return a.get() if isinstance(a, ndarray) else np.asarray(a)


def filled(name):
    def create(shape, *value, dtype=float, order="C"):
        counts.launches += 1
        return ndarray(getattr(np, name)(shape, *value, dtype=dtype))

    return create


def full(shape, fill_value, dtype=None):
    counts.launches += 1
    return ndarray(np.full(shape, take(fill_value), dtype))


def concatenate(tup, axis=0):
    """One kernel for more than eight arrays of one dtype, as in CuPy up to 2 MiB each on average, else one an array."""
    arrays = list(tup)
    if not all(isinstance(a, ndarray) for a in arrays):
        raise TypeError("Only cupy arrays can be concatenated")
    many = len(arrays) > 8 and len({a.dtype for a in arrays}) == 1
    counts.launches += 1 if many else len(arrays)
    counts.to_device += many  # the table of their addresses
    return ndarray(np.concatenate([a._host for a in arrays], axis))


def stack(tup, axis=0):
    return concatenate([a if not isinstance(a, ndarray) else ndarray(np.expand_dims(a._host, axis)) for a in tup], axis)


def dot(a, b, out=None):
    return launch(np.dot, a, b, out=out)


def vdot(a, b):
    return launch(np.vdot, a, b)


def average(a, axis=None, weights=None, returned=False, *, keepdims=False):
    if weights is not None or returned:
        raise NotImplementedError("the stand-in does not model weights of cupy.average")
    return a.mean(axis=axis, keepdims=keepdims)


def where(condition, x, y):
    return launch(np.where, condition.astype(bool, copy=False), x, y)


def broadcast_to(array, shape):
    return ndarray(np.broadcast_to(array._host, shape))


def method(name):
    """cupy.sum(a, axis=0) is a.sum(axis=0)."""
    return lambda a, *args, **options: getattr(a, name)(*args, **options)


def elementwise(ufunc):
    return lambda *args, out=None, **options: launch(ufunc, *args, out=out, **options)


FUNCTIONS = {
    **{
        f.__name__: f
        for f in (asarray, array, asnumpy, full, concatenate, stack, where, broadcast_to, dot, vdot, average)
    },
    **{name: filled(name) for name in ("zeros", "ones")},
    **{f"{name}_like": lambda a, name=name: launch(getattr(np, f"{name}_like"), a) for name in ("zeros", "ones")},
    **{name: method(name) for name in (*REDUCTIONS, "reshape", "ravel", "transpose", "squeeze", "copy", "astype")},
    "is_available": lambda: True,
}


def norm(x, ord=None, axis=None, keepdims=False):
    """The root of the sum of the squares, in three kernels; other norms are not modelled."""
    if ord is not None:
        raise NotImplementedError("the stand-in does not model other norms than the root of the sum of the squares")
    if not isinstance(x, ndarray):
        raise TypeError(f"Unsupported type {type(x)}")
    return launch(np.sqrt, (x * x).sum(axis=axis, keepdims=keepdims))


class Linalg:
    """Stands in for cupy.linalg."""

    def __getattr__(self, name):
        if name not in NAMES["linalg"]:
            raise AttributeError(f"module 'cupy.linalg' has no attribute {name!r}")
        if name != "norm":
            raise NotImplementedError(f"the stand-in does not model cupy.linalg.{name}: add it, with its kernels")
        return norm


class Generator:
    """Stands in for cupy.random.Generator: it lacks some of NumPy's methods, and the others give other draws."""

    def __init__(self, seed=None):
        pass

    def __getattr__(self, name):
        if name not in NAMES["generator"]:
            raise AttributeError(f"'Generator' object has no attribute {name!r}")
        raise TypeError("the device draws other numbers than NumPy: draw on the host, then move them")


class Cupy(types.ModuleType):
    """The module: every name of CuPy's, with its own keywords, and no other."""

    ndarray = ndarray
    __version__ = NAMES["version"]
    linalg = Linalg()
    random = types.SimpleNamespace(Generator=Generator, default_rng=Generator)

    def __init__(self):
        super().__init__("cupy")

    def __getattr__(self, name):
        if name in NAMES["others"] and hasattr(np, name):
            return getattr(np, name)  # a dtype or a constant
        allowed = NAMES["functions"].get(name)
        if allowed is None:
            raise AttributeError(f"module 'cupy' has no attribute {name!r}")
        function = FUNCTIONS.get(name)
        if function is None:
            if not isinstance(getattr(np, name, None), np.ufunc):
                raise NotImplementedError(f"the stand-in does not model cupy.{name}: add it, with its kernels")
            function = elementwise(getattr(np, name))

        def checked(*args, **options):
            check_keywords(name, options.keys(), allowed)
            return function(*args, **options)

        return checked
