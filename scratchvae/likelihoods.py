"""p(x|z): what the decoder's output means, as a negative log-likelihood with all its constants.

The decoder returns one or more parameters a pixel, called logits for short: (B, D n_params), the first D
columns the first parameter. A likelihood turns them into `nll`, into the mean image and into a draw; it has no
parameters that are trained. Choosing a likelihood is choosing a loss: cross-entropy is Bernoulli, squared error is
Gaussian.

Every nll is in nats per example, shape (B,), summed over pixels. The backwards take dnll (B,).

Sizes: B batch, D data.
"""

import math
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from scratchvae.arguments import require_positive
from scratchvae.backend import Array, Cache, as_backend, get_xp
from scratchvae.gaussian import LOG_2PI, gaussian_log_density, gaussian_log_density_backward
from scratchvae.layers import sigmoid, softplus

MEAN_MARGIN = 0.01  # a pixel that is never lit has the mean 0 and the logit -inf: clip the mean to [0.01, 0.99] first


class Likelihood(Protocol):
    """What a decoder needs from p(x|z)."""

    name: str
    support: tuple[float, float]  # where pixels may lie
    n_params: int  # parameters of p(x|z) for a pixel: logits are (B, D n_params)
    binarise: str  # what `train` does with grey pixels unless it is told otherwise, see `batches.binarised`

    @property
    def config(self) -> dict[str, Any]: ...  # its name in LIKELIHOODS, and what its class is called with
    def nll(self, x: Array, logits: Array) -> tuple[Array, Cache]: ...
    def nll_backward(self, dnll: Array, cache: Cache) -> Array: ...
    def mean(self, logits: Array) -> Array: ...
    def sample(self, logits: Array, rng: np.random.Generator) -> Array: ...
    def output_bias(self, pixel_mean: np.ndarray) -> np.ndarray: ...  # (D,) -> (D n_params,): where training starts


def logit_of_clipped_mean(pixel_mean: np.ndarray) -> np.ndarray:
    """l = log(m / (1 - m)) with the mean m clipped to [0.01, 0.99], (D,): where the output bias of a decoder starts."""
    m = np.clip(pixel_mean, MEAN_MARGIN, 1 - MEAN_MARGIN)
    return np.log(m / (1 - m))


def uniforms_like(logits: Array, rng: np.random.Generator) -> Array:
    """Draws from Uniform[0, 1), on the host and in the dtype of logits: a float64 rounded to float32 could become 1."""
    return as_backend(rng.random(logits.shape, dtype=logits.dtype), get_xp(logits))


class Bernoulli:
    """x in {0, 1}, and 1 with the probability p = sigmoid(l), l the logit.

    Grey pixels in [0, 1] are accepted, as everywhere in the field, and then nll is the cross-entropy; it is no longer
    the logarithm of a normalised density (see ContinuousBernoulli).
    """

    name = "bernoulli"
    support = (0.0, 1.0)
    n_params = 1
    binarise = "dynamic"

    @property
    def config(self) -> dict[str, Any]:
        return {"name": self.name}

    def nll(self, x: Array, logits: Array) -> tuple[Array, Cache]:
        """-log p(x|z) = sum_d softplus(l_d) - x_d l_d: the cross-entropy -x log p - (1 - x) log(1 - p), from logits.

        Shapes    x, logits (B, D); nll (B,).
        Units     nats per example.
        Backward  dlogits = dnll (p - x).
        Source    [eq: bernoulli-nll], [eq: bernoulli-backward].
        """
        normaliser, p = softplus(logits)  # (B, D), (B, D)  the slope of softplus is p
        normaliser -= x * logits
        return normaliser.sum(axis=1), (x, p)

    def nll_backward(self, dnll: Array, cache: Cache) -> Array:
        x, p = cache
        dlogits = p - x  # (B, D)
        dlogits *= dnll[:, None]
        return dlogits

    def mean(self, logits: Array) -> Array:
        """E[x|z] = p, (B, D)."""
        p, _ = sigmoid(logits)
        return p

    def sample(self, logits: Array, rng: np.random.Generator) -> Array:
        """x ~ p(x|z), (B, D), zeros and ones."""
        return (uniforms_like(logits, rng) < self.mean(logits)).astype(logits.dtype)

    def output_bias(self, pixel_mean: np.ndarray) -> np.ndarray:
        return logit_of_clipped_mean(pixel_mean)


class Gaussian:
    """x ~ N(m, sigma_x^2), sigma_x fixed and the same for every pixel; the decoder returns the mean m, not squashed.

    Units     sigma, which is sigma_x, in the units of x. It weighs the nll against the KL: it is not a matter of taste.
    Raises    ValueError: sigma that is not positive and finite.
    """

    name = "gaussian"
    support = (-math.inf, math.inf)
    n_params = 1
    binarise = "none"

    def __init__(self, sigma: float = 1.0) -> None:
        self.sigma = require_positive(sigma, "sigma")

    @property
    def config(self) -> dict[str, Any]:
        return {"name": self.name, "sigma": self.sigma}

    def nll(self, x: Array, logits: Array) -> tuple[Array, Cache]:
        """-log p(x|z) = sum_d (u_d^2 + log 2 pi) / 2 + log sigma_x with u = (x - m) / sigma_x.

        Shapes    x, logits (B, D); nll (B,).
        Units     nats per example (of a density: it may be negative).
        Backward  dlogits = -dnll u / sigma_x.
        Source    [eq: gaussian-nll], [eq: gaussian-nll-backward].
        """
        u = x - logits  # (B, D)
        u /= self.sigma
        nll = 0.5 * (u * u).sum(axis=1)  # (B,)
        nll += x.shape[1] * (0.5 * LOG_2PI + math.log(self.sigma))
        return nll, u

    def nll_backward(self, dnll: Array, cache: Cache) -> Array:
        u = cache
        return -dnll[:, None] * u / self.sigma  # (B, D)

    def mean(self, logits: Array) -> Array:
        """E[x|z] = m, (B, D): the decoder's output itself, copied."""
        return logits.copy()

    def sample(self, logits: Array, rng: np.random.Generator) -> Array:
        """x ~ p(x|z), (B, D)."""
        noise = as_backend(rng.standard_normal(logits.shape), get_xp(logits), logits.dtype)
        return logits + self.sigma * noise

    def output_bias(self, pixel_mean: np.ndarray) -> np.ndarray:
        return pixel_mean


class GaussianLearned:
    """x ~ N(m, sigma_x^2), both from the decoder: logits are m and then s, with sigma_x^2 = floor^2 + exp(s) a pixel.

    Without the floor a decoder that hits a pixel exactly, such as a border that is always black, could shrink its
    variance for ever, and the density would grow without bound. As it is, nll >= D (log floor + log(2 pi) / 2).

    Units     floor, a standard deviation, in the units of x. The default is a grey level of 255, a round number
              above the 0.29 of one that rounding has. For data in other units choose it anew.
    Source    [eq: gaussian-floor], [eq: gaussian-learned-bound].
    Raises    ValueError: a floor that is not positive and finite.
    """

    name = "gaussian-learned"
    support = (-math.inf, math.inf)
    n_params = 2
    binarise = "none"

    def __init__(self, floor: float = 1 / 255) -> None:
        self.floor = require_positive(floor, "floor")

    @property
    def config(self) -> dict[str, Any]:
        return {"name": self.name, "floor": self.floor}

    def mean_and_x_logvar(self, logits: Array) -> tuple[Array, Array, Array]:
        """m, log sigma_x^2 = c + softplus(s - c) with c = log floor^2, which is log(floor^2 + exp(s)), its slope in s.

        Shapes    logits (B, 2 D); all three (B, D).
        """
        D, c = logits.shape[1] // 2, 2 * math.log(self.floor)
        x_logvar, slope = softplus(logits[:, D:] - c)  # (B, D)
        x_logvar += c
        return logits[:, :D], x_logvar, slope

    def nll(self, x: Array, logits: Array) -> tuple[Array, Cache]:
        """-log p(x|z) = sum_d (u_d^2 + log sigma_xd^2 + log 2 pi) / 2 with u = (x - m) / sigma_x.

        Shapes    x (B, D), logits (B, 2 D); nll (B,).
        Units     nats per example (of a density: it may be negative).
        Backward  dm = -dnll u / sigma_x;  ds = dnll (1 - u^2) / 2 * slope, the slope being exp(s) / sigma_x^2.
        Source    [eq: gaussian-learned-nll], [eq: gaussian-learned-backward].
        """
        m, x_logvar, slope = self.mean_and_x_logvar(logits)  # (B, D) each
        log_density, cache = gaussian_log_density(x, m, x_logvar)  # (B,)
        return -log_density, (cache, slope)

    def nll_backward(self, dnll: Array, cache: Cache) -> Array:
        density_cache, slope = cache
        _, dm, dx_logvar = gaussian_log_density_backward(-dnll, density_cache)  # (B, D) each
        return get_xp(dm).concatenate([dm, dx_logvar * slope], axis=1)  # (B, 2 D)

    def mean(self, logits: Array) -> Array:
        """E[x|z] = m, (B, D)."""
        return self.mean_and_x_logvar(logits)[0].copy()

    def sample(self, logits: Array, rng: np.random.Generator) -> Array:
        """x ~ p(x|z), (B, D)."""
        xp = get_xp(logits)
        m, x_logvar, _ = self.mean_and_x_logvar(logits)  # (B, D)
        return m + xp.exp(0.5 * x_logvar) * as_backend(rng.standard_normal(m.shape), xp, logits.dtype)

    def output_bias(self, pixel_mean: np.ndarray) -> np.ndarray:
        return np.concatenate([pixel_mean, np.zeros_like(pixel_mean)])  # a variance of about 1, as Gaussian's


class ContinuousBernoulli:
    """The density on [0, 1] proportional to p^x (1 - p)^(1 - x): Bernoulli's formula, normalised for grey pixels.

    With the logit l the density is exp(l x) / integral_0^1 exp(l t) dt, and the integral is (exp(l) - 1) / l.

    Source    Loaiza-Ganem & Cunningham (2019), arXiv 1907.06845; [eq: continuous-bernoulli-normaliser].
    """

    name = "continuous-bernoulli"
    support = (0.0, 1.0)
    n_params = 1
    binarise = "none"

    @property
    def config(self) -> dict[str, Any]:
        return {"name": self.name}

    def nll(self, x: Array, logits: Array) -> tuple[Array, Cache]:
        """-log p(x|z) = sum_d log((exp(l_d) - 1) / l_d) - x_d l_d.

        The first term is max(l, 0) + log((1 - exp(-|l|)) / |l|), in which nothing overflows.

        Shapes    x, logits (B, D); nll (B,).
        Units     nats per example (of a density: it may be negative).
        Backward  dlogits = dnll (E[x|z] - x).
        Source    [eq: continuous-bernoulli-nll], [eq: continuous-bernoulli-backward].
        """
        xp = get_xp(logits)
        size = xp.maximum(xp.abs(logits), 1e-12)  # (B, D)  why: (1 - exp(-|l|)) / |l| tends to 1, but is 0/0 at l = 0
        log_integral = xp.maximum(logits, 0) + xp.log(-xp.expm1(-size) / size)  # (B, D)
        return (log_integral - x * logits).sum(axis=1), (x, self.mean(logits))

    def nll_backward(self, dnll: Array, cache: Cache) -> Array:
        x, mean = cache
        return dnll[:, None] * (mean - x)  # (B, D)

    def mean(self, logits: Array) -> Array:
        """E[x|z] = 1 / (1 - exp(-l)) - 1 / l, (B, D); 1/2 at l = 0. Not the sigmoid.

        For |l| < 0.1 the two terms cancel, and the series 1/2 + l/12 - l^3/720 + l^5/30240 - l^7/1209600 stands in.

        Source    [eq: continuous-bernoulli-mean].
        """
        xp = get_xp(logits)
        size = xp.abs(logits)  # (B, D)
        far = xp.maximum(size, 0.1)  # (B, D)  why: where() computes both sides, and neither may divide by zero
        near = xp.minimum(size, 0.1)  # (B, D)
        square = near * near  # (B, D)
        above_half = xp.where(  # (B, D)  of |l|: the mean is symmetric about 1/2
            size < 0.1,
            near * (1 / 12 - square * (1 / 720 - square * (1 / 30240 - square / 1209600))),
            -1 / xp.expm1(-far) - 1 / far - 0.5,
        )
        return 0.5 + xp.sign(logits) * above_half

    def sample(self, logits: Array, rng: np.random.Generator) -> Array:
        """x ~ p(x|z), (B, D): the inverse of the distribution function at a uniform draw.

        Source    [eq: continuous-bernoulli-draw].
        """
        xp = get_xp(logits)
        uniforms = uniforms_like(logits, rng)  # (B, D)
        size = xp.maximum(xp.abs(logits), 1e-6)  # (B, D)  why: 0/0 at l = 0, where the draw is uniform
        falling = -xp.log1p(uniforms * xp.expm1(-size)) / size  # (B, D)  a draw for the logit -|l|
        return xp.where(logits < 0, falling, 1 - falling)

    def output_bias(self, pixel_mean: np.ndarray) -> np.ndarray:
        return logit_of_clipped_mean(pixel_mean)  # a start, not a fit: the mean here is not the sigmoid


LIKELIHOODS: dict[str, Callable[..., Likelihood]] = {
    likelihood.name: likelihood for likelihood in (Bernoulli, Gaussian, GaussianLearned, ContinuousBernoulli)
}
