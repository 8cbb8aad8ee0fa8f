"""A strict stand-in for CuPy: it computes with NumPy, refuses what CuPy refuses, and counts what a GPU would be asked.

    with stand_in() as xp:
        y = f(xp.asarray(x))  # in f, get_xp finds the stand-in
    print(counts.launches, counts.syncs)

The interface is CuPy's own, frozen in cupy_names.json: a name or a keyword that is not in there is refused with
the error CuPy raises. An array is a wrapper, not a subclass of numpy.ndarray, so NumPy never takes it by mistake.

Stricter than CuPy, since the package has no use for it: NumPy functions called on these arrays, indexing with arrays,
random numbers drawn on the device. A function that is CuPy's but is not modelled here raises NotImplementedError.

    launches   kernels: a ufunc, a reduction, a product, a copy, a fill; views are free
    syncs      the host waits: float(), bool(), int(), printing, item(), tolist(), get(), asnumpy()
    to_device, to_host   transfers of whole arrays
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from scratchvae.standin.array import NAMES, Counts, counts, ndarray
from scratchvae.standin.module import Cupy

__all__ = ["NAMES", "Counts", "Cupy", "counts", "ndarray", "plug_in", "stand_in"]


def plug_in() -> Cupy:
    """From now on, until this Python ends, the name cupy means the stand-in."""
    module = Cupy()
    sys.modules["cupy"] = module
    return module


@contextmanager
def stand_in() -> Iterator[Cupy]:
    """For a while the name cupy means the stand-in, and the counts begin at zero; then it means what it did before."""
    before = sys.modules.get("cupy")
    counts.clear()
    try:
        yield plug_in()
    finally:
        if before is None:
            del sys.modules["cupy"]
        else:
            sys.modules["cupy"] = before
