"""Chapter likelihoods: what the decoder's output means, with its constants, its mean and its draws."""

import numpy as np

from scratchvae.backend import Array, Cache
from scratchvae.layers import sigmoid, softplus
from scratchvae.likelihoods import Bernoulli, ContinuousBernoulli, Gaussian
from scratchvae.museum.components import B, D, Decoded, Pair, bits, normal
from scratchvae.museum.specimen import Specimen, plant

SPECIMENS: list[Specimen] = []

BERNOULLI = Decoded(Bernoulli(), Bernoulli(), bits())
GAUSSIAN = Decoded(Gaussian(sigma=0.5), Gaussian(sigma=0.5), normal(B, D, seed=3))
CONTINUOUS = Decoded(ContinuousBernoulli(), ContinuousBernoulli(), sigmoid(normal(B, D, seed=3))[0])


def nll_of_logits(logits: Array, x: Array) -> tuple[Array, Cache]:
    """The nll of a Bernoulli as a function of its logits first."""
    return Bernoulli().nll(x, logits)


SQUARE = Pair(
    nll_of_logits, Bernoulli().nll_backward, {"logits": normal(4, 4)}, {"x": (normal(4, 4, seed=1) > 0) * 1.0}
)
SATURATED = Pair(
    nll_of_logits,
    Bernoulli().nll_backward,
    {"logits": np.array([[-800.0, -1.0, 0.5], [0.1, 2.0, 800.0]])},
    {"x": np.array([[0.0, 1.0, 1.0], [0.0, 0.0, 1.0]])},
)


@plant(SPECIMENS, BERNOULLI)
def pictures_of_softplus(correct: Decoded) -> Decoded:
    """Pictures show softplus(logits) as the probability of a lit pixel

    Origin  [JAX's VAE example](https://github.com/jax-ml/jax/blob/main/examples/mnist_vae.py)
    Effect  -log(1 - p) instead of p: at p = 1/2 the pixel is drawn with the probability 0.69, and beyond p = 0.63 it is
            always lit. Training is right, and the digits look fine, a little bold.
    Cause   elementwise-factor
    """

    class Broken(Bernoulli):
        def mean(self, logits: Array) -> Array:
            return softplus(logits)[0]  # the slip: its slope, the sigmoid, is the probability
            # right: return sigmoid(logits)[0]

    return correct._replace(likelihood=Broken())


@plant(SPECIMENS, BERNOULLI)
def nll_averaged_over_pixels(correct: Decoded) -> Decoded:
    """The nll is a mean over the pixels, not a sum

    Origin  [keras#3373](https://github.com/keras-team/keras/issues/3373) and its
            [PR 3383](https://github.com/keras-team/keras/pull/3383)
    Effect  On MNIST an unlabelled beta of 784: the KL wins, and every latent collapses.
    Cause   factor
    """

    class Broken(Bernoulli):
        def nll(self, x: Array, logits: Array) -> tuple[Array, Cache]:
            nll, (x, p) = super().nll(x, logits)
            return nll / x.shape[1], (x, p)  # the slip: a mean over D
            # right: return nll, (x, p)

        def nll_backward(self, dnll: Array, cache: Cache) -> Array:
            x, p = cache
            return dnll[:, None] * (p - x) / x.shape[1]
            # right: return dnll[:, None] * (p - x)

    return correct._replace(likelihood=Broken())


@plant(SPECIMENS, BERNOULLI)
def log_likelihood_called_nll(correct: Decoded) -> Decoded:
    """What is called nll is +log p

    Origin  [pythae's get_nll](https://github.com/clementchadebec/benchmark_VAE/blob/main/src/pythae/models/vae/vae_model.py)
    Effect  Tables show the evidence upside down. Its tests assert that the nll is negative: they were written from the
            output.
    Cause   sign
    """

    class Broken(Bernoulli):
        def nll(self, x: Array, logits: Array) -> tuple[Array, Cache]:
            nll, cache = super().nll(x, logits)
            return -nll, cache  # the slip: the n of nll is a minus
            # right: return nll, cache

        def nll_backward(self, dnll: Array, cache: Cache) -> Array:
            return super().nll_backward(-dnll, cache)
            # right: return super().nll_backward(dnll, cache)

    return correct._replace(likelihood=Broken())


@plant(SPECIMENS, SATURATED)
def logarithm_of_zero(correct: Pair) -> Pair:
    """The cross-entropy is computed from probabilities, not from logits

    Origin  [tensorflow-mnist-VAE#4](https://github.com/hwalsuklee/tensorflow-mnist-VAE/issues/4)
    Effect  From a logit of 37 on, p rounds to 1 in float64 (17 in float32) and 0 * log(1 - p) is NaN.
    Cause   non-finite
    """

    def forward(logits: Array, x: Array) -> tuple[Array, Cache]:
        p = sigmoid(logits)[0]
        nll = -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum(axis=1)  # the slip: log(0)
        # right: nll = (softplus(logits)[0] - x * logits).sum(axis=1)
        return nll, (x, p)

    return correct._replace(forward=forward)


@plant(SPECIMENS, SQUARE)
def upstream_meets_the_wrong_axis(correct: Pair) -> Pair:
    """(B,) times (B, D) without [:, None]

    Origin  classic slip
    Effect  With B = D it broadcasts along the pixels, silently. In training all weights are the same -1 / B, so nothing
            is wrong until examples are weighted (importance weights).
    Cause   shape
    """

    def backward(dnll: Array, cache: Cache) -> Array:
        x, p = cache
        return dnll * (p - x)  # the slip: (B,) is laid along the pixels
        # right: return dnll[:, None] * (p - x)

    return correct._replace(backward=backward)


@plant(SPECIMENS, GAUSSIAN)
def gaussian_without_its_constants(correct: Decoded) -> Decoded:
    """The Gaussian nll is the squared error alone

    Origin  classic slip
    Effect  log(sigma) + log(2 pi) / 2 a pixel is missing: 720 nats for 784 pixels at sigma = 1. Bounds cannot be
            compared with anybody's, and a sigma that is chosen by them goes wrong. The gradient does not know.
    Cause   missing-term
    """

    class Broken(Gaussian):
        def nll(self, x: Array, logits: Array) -> tuple[Array, Cache]:
            u = (x - logits) / self.sigma
            return 0.5 * (u * u).sum(axis=1), u  # the slip: no normaliser
            # right: return (0.5 * (u * u + np.log(2 * np.pi)) + np.log(self.sigma)).sum(axis=1), u

    return correct._replace(likelihood=Broken(sigma=0.5))


@plant(SPECIMENS, GAUSSIAN)
def one_sigma_too_few(correct: Decoded) -> Decoded:
    """The backward of the Gaussian divides by sigma once, not twice

    Origin  classic slip
    Effect  Right for sigma = 1, where it is usually tried.
    Cause   factor
    """

    class Broken(Gaussian):
        def nll_backward(self, dnll: Array, cache: Cache) -> Array:
            return -dnll[:, None] * cache  # the slip: (x - m) / sigma has one sigma, its square two
            # right: return -dnll[:, None] * cache / self.sigma

    return correct._replace(likelihood=Broken(sigma=0.5))


@plant(SPECIMENS, CONTINUOUS)
def cross_entropy_on_grey_pixels(correct: Decoded) -> Decoded:
    """A continuous Bernoulli without its normaliser: cross-entropy on grey pixels

    Origin  [Loaiza-Ganem & Cunningham](https://arxiv.org/abs/1907.06845),
            [pytorch/examples#460](https://github.com/pytorch/examples/issues/460)
    Effect  exp(-nll) does not integrate to 1 over the grey values, so the bound bounds nothing.
    Cause   missing-term
    """

    class Broken(ContinuousBernoulli):
        def nll(self, x: Array, logits: Array) -> tuple[Array, Cache]:
            return Bernoulli().nll(x, logits)  # the slip: it adds up to 1 over 0 and 1, not over the greys
            # right: return super().nll(x, logits)

        def nll_backward(self, dnll: Array, cache: Cache) -> Array:
            return Bernoulli().nll_backward(dnll, cache)
            # right: return super().nll_backward(dnll, cache)

    return correct._replace(likelihood=Broken())


@plant(SPECIMENS, CONTINUOUS)
def sigmoid_for_the_mean(correct: Decoded) -> Decoded:
    """The mean of a continuous Bernoulli is taken to be the sigmoid

    Origin  [Loaiza-Ganem & Cunningham](https://arxiv.org/abs/1907.06845), Sec. 3
    Effect  Pictures have too much contrast: at the logit 3 the mean is 0.72 and the sigmoid 0.95.
    Cause   elementwise-factor
    """

    class Broken(ContinuousBernoulli):
        def mean(self, logits: Array) -> Array:
            return sigmoid(logits)[0]  # the slip: the mean of the Bernoulli over 0 and 1
            # right: return super().mean(logits)

        def nll(self, x: Array, logits: Array) -> tuple[Array, Cache]:
            nll, _ = super().nll(x, logits)
            return nll, (x, super().mean(logits))

    return correct._replace(likelihood=Broken())
