"""The array: what stands in for cupy.ndarray, and what the device was asked for."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

NAMES = json.loads(Path(__file__).with_name("cupy_names.json").read_text())
IMPLICIT = (  # the words of CuPy's own error
    "Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct a NumPy array explicitly."
)


@dataclass
class Counts:
    """What the device was asked for since the last clear()."""

    launches: int = 0
    syncs: int = 0
    to_device: int = 0
    to_host: int = 0

    def clear(self):
        self.__init__()


counts = Counts()


def take(value):
    """The NumPy value behind an argument of a kernel: a device array or a number; anything else is refused."""
    if isinstance(value, ndarray):
        return value._host
    if isinstance(value, bool | int | float | complex | np.generic):
        return value
    raise TypeError(f"Unsupported type {type(value)}")


def give(result):
    """A result as device arrays. A number becomes a 0-d array: it stays on the device."""
    if isinstance(result, tuple):
        return tuple(give(part) for part in result)
    return ndarray(np.asarray(result))


def check_keywords(name, given, allowed):
    """Refuse the keywords that CuPy's function or method does not have."""
    wrong = [] if "**" in allowed else sorted(given - set(allowed))
    if wrong:
        raise TypeError(f"{name}() got an unexpected keyword argument {wrong[0]!r}")


def launch(function, *args, out=None, kernels=1, **options):
    """Run a NumPy function as a kernel: device arrays and numbers in, a device array out."""
    counts.launches += kernels
    if out is None:
        return give(function(*map(take, args), **options))
    if not isinstance(out, ndarray):
        raise TypeError("Output arguments type must be cupy.ndarray")
    function(*map(take, args), out=out._host, **options)
    return out


def view_or_copy(result, source):
    """Views are free; where NumPy had to copy, so has CuPy."""
    counts.launches += 0 if np.shares_memory(result, source) else 1
    return ndarray(result)


def require_basic(index):
    """Whole numbers, slices, None and the ellipsis."""
    for part in index if isinstance(index, tuple) else (index,):
        if isinstance(part, bool) or not (
            part is None or part is Ellipsis or isinstance(part, int | np.integer | slice)
        ):
            raise TypeError(f"indexing with {type(part).__name__} is not modelled: CuPy wraps indices out of range")


def operator(name, ufunc):
    """The three methods of a binary operator: x + y, y + x, and x += y."""

    def forward(self, other):
        return launch(ufunc, self, other)

    def reflected(self, other):
        return launch(ufunc, other, self)

    def in_place(self, other):
        return launch(ufunc, self, other, out=self)

    return {f"__{name}__": forward, f"__r{name}__": reflected, f"__i{name}__": in_place}


class ndarray:
    """Stands in for cupy.ndarray."""

    __slots__ = ("_host",)
    __hash__ = None  # type: ignore[assignment]  # as of any array: what can be written to has no hash
    __array_priority__ = 100

    def __init__(self, host):
        assert type(host) is np.ndarray
        self._host = host

    # -- what NumPy is told when it meets one --------------------------------------------------------------------------

    def __array__(self, dtype=None, copy=None):
        raise TypeError(IMPLICIT)

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        """A NumPy number on the left of an operator arrives here; a NumPy array there, or np.exp(x), is refused."""
        if method == "__call__" and len(inputs) == 2 and not options and isinstance(inputs[0], np.generic):
            return launch(ufunc, *inputs)
        host = [type(a) for a in inputs if isinstance(a, np.ndarray)]
        raise TypeError(f"Unsupported type {host[0]}" if host else f"np.{ufunc.__name__} met a device array; use xp")

    def __array_function__(self, function, kinds, args, options):
        raise TypeError(f"np.{function.__name__} met a device array; use xp.{function.__name__}")

    # -- what is known without asking the device -----------------------------------------------------------------------

    shape = property(lambda self: self._host.shape)
    dtype = property(lambda self: self._host.dtype)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    itemsize = property(lambda self: self._host.itemsize)
    nbytes = property(lambda self: self._host.nbytes)
    T = property(lambda self: ndarray(self._host.T))

    def __len__(self):
        return len(self._host)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    # -- what makes the host wait --------------------------------------------------------------------------------------

    def get(self):
        counts.syncs += 1
        counts.to_host += 1
        return self._host.copy()

    def item(self):
        return self.get().item()

    def tolist(self):
        return self.get().tolist()

    def __bool__(self):
        return bool(self.get())

    def __float__(self):
        return float(self.get())

    def __int__(self):
        return int(self.get())

    def __repr__(self):
        return repr(self.get())

    def __str__(self):
        return str(self.get())

    def __format__(self, spec):
        return format(self.get(), spec)

    # -- kernels -------------------------------------------------------------------------------------------------------

    for _name, _ufunc in {
        "add": np.add,
        "sub": np.subtract,
        "mul": np.multiply,
        "truediv": np.true_divide,
        "floordiv": np.floor_divide,
        "mod": np.remainder,
        "pow": np.power,
        "and": np.bitwise_and,
        "or": np.bitwise_or,
        "xor": np.bitwise_xor,
        "matmul": np.matmul,
    }.items():
        locals().update(operator(_name, _ufunc))
    for _name in ("less", "less_equal", "equal", "not_equal", "greater", "greater_equal"):
        _short = {"less": "lt", "less_equal": "le", "equal": "eq", "not_equal": "ne", "greater": "gt"}.get(_name, "ge")
        locals()[f"__{_short}__"] = operator(_name, getattr(np, _name))[f"__{_name}__"]
    del _name, _ufunc, _short

    def __neg__(self):
        return launch(np.negative, self)

    def __abs__(self):
        return launch(np.absolute, self)

    def __invert__(self):
        return launch(np.invert, self)

    def __getitem__(self, index):
        require_basic(index)
        index = index if isinstance(index, tuple) else (index,)
        return ndarray(
            self._host[index if Ellipsis in index else (*index, ...)]
        )  # the ellipsis: a 0-d array, no number

    def __setitem__(self, index, value):
        require_basic(index)
        counts.launches += 1
        self._host[index] = take(value)

    def astype(self, dtype, order="K", copy=True):
        if not copy and self.dtype == dtype:
            return self
        return launch(np.ndarray.astype, self, dtype=dtype, order=order)

    def copy(self, order="C"):
        return launch(np.ndarray.copy, self, order=order)

    def fill(self, value):
        self[...] = value

    def reshape(self, *shape, order="C"):
        return view_or_copy(self._host.reshape(*shape, order=order), self._host)

    def ravel(self, order="C"):
        return view_or_copy(self._host.ravel(order), self._host)

    def transpose(self, *axes):
        return ndarray(self._host.transpose(*axes))

    def squeeze(self, axis=None):
        return ndarray(self._host.squeeze(axis))

    def __getattr__(self, name):
        """Reductions, and an answer for every other name."""
        allowed = NAMES["methods"].get(name)
        if allowed is None:
            if name in NAMES["attributes"]:
                raise NotImplementedError(f"the stand-in does not model the attribute {name}")
            raise AttributeError(f"'cupy.ndarray' object has no attribute {name!r}")
        if name not in REDUCTIONS:
            raise NotImplementedError(f"the stand-in does not model the method {name}")

        def reduce(*args, **options):
            check_keywords(name, options.keys(), allowed)
            options |= zip(allowed, args, strict=False)
            return launch(getattr(np.ndarray, name), self, kernels=REDUCTIONS[name], **options)

        return reduce


REDUCTIONS = dict.fromkeys(("sum", "prod", "mean", "max", "min", "all", "any", "argmax", "argmin", "cumsum"), 1)
REDUCTIONS |= {"var": 2, "std": 3}  # a mean first; then a root
