"""The complex step: the derivative along u is Im y(x + i h u) / h, with no difference and so without cancellation.

With h = 1e-100 it is exact to the last digits, however small the share of an entry in y, for every function that takes
complex numbers. What would lose the imaginary part unnoticed, as |x| does, is replaced or refused. What gets past that
is noticed beside a difference: see `lies`.
"""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from scratchvae.checks.vjp.differences import Function, measured, units

H = 1e-100
PLAIN = 1e-3  # relative: a difference that is plain to see
OF_REAL_NUMBERS: dict[Any, Callable[..., Any]] = {  # what these do on the real line
    np.absolute: lambda z: np.where(z.real < 0, -z, z),
    np.sign: lambda z: np.sign(z.real),
    np.logaddexp: lambda a, b: np.where(np.real(a) > np.real(b), a + log_1_plus_exp(b - a), b + log_1_plus_exp(a - b)),
}
LOSSY = {np.conjugate, np.real, np.imag, np.angle, np.vdot, np.nan_to_num, np.round, np.correlate, np.cov, np.corrcoef}
HOLOMORPHIC = {"det", "inv", "solve", "matrix_power", "multi_dot", "tensorinv", "tensorsolve"}  # of numpy.linalg


def log_1_plus_exp(z: np.ndarray) -> np.ndarray:
    return np.log1p(np.exp(z))


class Stepped(np.ndarray):
    """Complex numbers x + i h u on their way through a forward; whatever is made of them is of this class too."""

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = (), **kwargs: Any) -> Any:
        if ufunc in LOSSY or (method != "__call__" and ufunc in OF_REAL_NUMBERS):
            return NotImplemented
        if out:
            kwargs["out"] = tuple(bare(array) for array in out)
        function = OF_REAL_NUMBERS.get(ufunc) or getattr(ufunc, method)
        result = function(*map(bare, inputs), **kwargs)
        return out[0] if len(out) == 1 else stepped(result)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        conjugates = "linalg" in str(function.__module__) and function.__name__ not in HOLOMORPHIC
        if function in LOSSY or conjugates:
            return NotImplemented
        return stepped(super().__array_function__(function, types, args, kwargs))

    def __getitem__(self, key: Any) -> Any:
        return stepped(super().__getitem__(key))

    def var(  # type: ignore[override]
        self, axis: Any = None, dtype: Any = None, out: Any = None, ddof: float = 0, keepdims: bool = False
    ) -> Any:
        """The mean of the squares; NumPy's own takes those of the absolute values."""
        from_mean = self - self.mean(axis=axis, keepdims=True)
        squares = (from_mean * from_mean).mean(axis=axis, keepdims=keepdims)
        return squares * (from_mean.size / (from_mean.size - ddof * squares.size))

    def std(  # type: ignore[override]
        self, axis: Any = None, dtype: Any = None, out: Any = None, ddof: float = 0, keepdims: bool = False
    ) -> Any:
        return np.sqrt(self.var(axis, ddof=ddof, keepdims=keepdims))

    def lost(self) -> Any:
        raise TypeError("the real part alone has lost the step")

    real: Any = property(lost)
    imag: Any = property(lost)


def bare(thing: Any) -> Any:
    """The same numbers as a plain array."""
    return thing.view(np.ndarray) if isinstance(thing, Stepped) else thing


def stepped(thing: Any) -> Any:
    """Complex results, also of several parts, as arrays that go on being watched."""
    if isinstance(thing, tuple | list):
        return type(thing)(map(stepped, thing))
    if isinstance(thing, np.ndarray | np.generic) and thing.dtype.kind == "c":
        return np.asarray(thing).view(Stepped)
    return bare(thing)


def complex_step(y: Callable[[np.ndarray], Any], x: np.ndarray, u: np.ndarray) -> np.ndarray | None:
    """The derivative of every output along u, (M,); None where y does not take complex numbers from beginning to end.

    Shapes    x and u alike; y(x) is whatever the forward returns.
    """
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("error")
            end = y(stepped(x + 1j * H * u))
    except Exception:  # whatever a forward does when it is not made for complex numbers
        return None
    if not isinstance(end, Stepped) or not np.isfinite(bare(end)).all():
        return None
    return bare(end).imag.ravel() / H


def lies(y: Function, end: Callable[[np.ndarray], Any], x: np.ndarray, dys: np.ndarray) -> bool:
    """Does it differ from a difference that is plain to see, along a direction in which all entries move?

    y and end are the same forward, for real numbers and for complex ones.
    """
    rng = np.random.default_rng(0)
    u = units(x) * rng.choice([-1.0, 1.0], x.shape) * rng.uniform(0.5, 1.5, x.shape)
    if (exact := complex_step(end, x, u)) is None:
        return False
    at, along = y(x).ravel(), lambda t: y(x + (t[0] - 1.0) * u).ravel()
    seen = measured(along, np.ones(1), at, 0, dys)
    if seen is None or not seen.settled:
        return False
    told = dys @ exact  # (K,)
    size = np.maximum(np.abs(told), np.abs(seen.values))  # (K,)
    return bool((np.abs(told - seen.values) > PLAIN * size + 10 * seen.bars).any())
