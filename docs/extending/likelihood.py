"""A likelihood is one class. This one is for data above 0 whose logarithm is Gaussian: two parameters a pixel."""

import math

import numpy as np

from scratchvae.backend import as_backend, get_xp
from scratchvae.gaussian import gaussian_log_density, gaussian_log_density_backward
from scratchvae.likelihoods import LIKELIHOODS


class LogNormal:
    """log x ~ N(m, exp(s)). Logits are m and then s, a column a pixel each: (B, 2 D)."""

    name = "log-normal"
    support = (1e-30, math.inf)
    n_params = 2
    binarise = "none"

    @property
    def config(self):
        return {"name": self.name}

    def nll(self, x, logits):
        y, D = get_xp(x).log(x), x.shape[1]  # (B, D)
        log_density, cache = gaussian_log_density(y, logits[:, :D], logits[:, D:])  # (B,)
        return y.sum(axis=1) - log_density, cache  # p(x) dx = p(y) dy with dy = dx / x

    def nll_backward(self, dnll, cache):
        _, dm, ds = gaussian_log_density_backward(-dnll, cache)  # (B, D) each
        return get_xp(dm).concatenate([dm, ds], axis=1)  # (B, 2 D)

    def mean(self, logits):
        xp, D = get_xp(logits), logits.shape[1] // 2
        return xp.exp(logits[:, :D] + 0.5 * xp.exp(logits[:, D:]))  # (B, D)

    def sample(self, logits, rng):
        xp, D = get_xp(logits), logits.shape[1] // 2
        noise = as_backend(rng.standard_normal((len(logits), D)), xp, logits.dtype)  # (B, D)
        return xp.exp(logits[:, :D] + xp.exp(0.5 * logits[:, D:]) * noise)

    def output_bias(self, pixel_mean):
        return np.concatenate([np.log(np.maximum(pixel_mean, 0.01)) - 0.5, np.zeros_like(pixel_mean)])


LIKELIHOODS[LogNormal.name] = LogNormal
