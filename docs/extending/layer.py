"""A layer is one class. This one is a relu that lets a share of what is below 0 through, and learns how much."""

from scratchvae.backend import get_xp, resolve_backend
from scratchvae.layers import LAYERS, Params


class LeakyRelu:
    """y = x where x > 0, else slope x; the slope is a parameter, one a unit, and starts at 1/4.

    Source    He et al. (2015), arXiv 1502.01852, Sec. 2.1.
    """

    def __init__(self, n_in, n_out, *, dtype, backend, **_):
        xp = resolve_backend(backend)
        self.params = Params({"slope": xp.full(n_out, 0.25, dtype=dtype)})  # (H,)

    def forward(self, x):
        slope = self.params["slope"]
        return get_xp(x).where(x > 0, x, slope * x), (x, slope)  # (B, H)

    def backward(self, dy, cache):
        x, slope = cache
        xp = get_xp(x)
        dx = dy * xp.where(x > 0, 1, slope)  # (B, H)
        dslope = (dy * xp.minimum(x, 0)).sum(axis=0)  # (H,)
        return dx, {"slope": dslope}


LAYERS["leaky-relu"] = LeakyRelu
