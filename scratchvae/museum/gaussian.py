"""Chapter gaussian: the draw from q(z|x), and its KL to the prior. Most famous VAE bugs live here."""

import numpy as np

from scratchvae.backend import Array, Cache
from scratchvae.gaussian import (
    gaussian_log_density,
    gaussian_log_density_backward,
    kl_to_standard_normal,
    kl_to_standard_normal_backward,
    reparameterize,
)
from scratchvae.museum.components import Pair, Posterior, normal
from scratchvae.museum.specimen import Specimen, plant

SPECIMENS: list[Specimen] = []

Q = Posterior()
LOG_DENSITY = Pair(
    gaussian_log_density,
    gaussian_log_density_backward,
    {"z": normal(5, 3), "mu": normal(5, 3, seed=1), "logvar": normal(5, 3, seed=2)},
)

# ---------------------------------------------------------------------------------------------------------------------
# The draw


@plant(SPECIMENS, Q)
def variance_for_standard_deviation(correct: Posterior) -> Posterior:
    """The draw uses exp(logvar) as its standard deviation, the KL as its variance

    Origin  [numpy-ml](https://github.com/ddbourgin/numpy-ml/blob/master/numpy_ml/neural_nets/models/vae.py),
            [DeZero](https://github.com/oreilly-japan/deep-learning-from-scratch-3/blob/master/examples/vae.py),
            [MIT 6.S191, lab 2](https://github.com/MITDeepLearning/introtodeeplearning),
            Keras ([#3283](https://github.com/keras-team/keras/issues/3283),
            [PR 9970](https://github.com/keras-team/keras/pull/9970),
            [PR 9972](https://github.com/keras-team/keras/pull/9972))
    Effect  At logvar = 1 the draws have the variance 7.37 (measured in numpy-ml) where exp(1) = 2.72 is claimed. The
            backward is that of the wrong forward: differences agree to 5e-11.
    Cause   elementwise-factor
    """

    def draw(mu: Array, logvar: Array, eps: Array) -> tuple[Array, Cache]:
        sigma = np.exp(logvar)  # the slip: this is the variance
        # right: sigma = np.exp(0.5 * logvar)
        return mu + sigma * eps, (sigma, eps)

    def backward(dz: Array, cache: Cache) -> tuple[Array, Array]:
        sigma, eps = cache
        return dz, dz * sigma * eps
        # right: return dz, 0.5 * dz * sigma * eps

    return correct._replace(draw=draw, draw_backward=backward)


@plant(SPECIMENS, Q)
def half_the_standard_deviation(correct: Posterior) -> Posterior:
    """The draw has half of the standard deviation that the KL pays for

    Origin  [easyvae 1.3.3](https://pypi.org/project/easyvae/1.3.3/)
    Effect  A quarter of the variance. The decoder sees less noise than q claims, so reconstructions look good and the
            number called ELBO is no bound.
    Cause   factor
    """

    def draw(mu: Array, logvar: Array, eps: Array) -> tuple[Array, Cache]:
        sigma = 0.5 * np.exp(0.5 * logvar)  # the slip: one 0.5 too many
        # right: sigma = np.exp(0.5 * logvar)
        return mu + sigma * eps, (sigma, eps)

    return correct._replace(draw=draw)


@plant(SPECIMENS, Q)
def backward_with_other_noise(correct: Posterior) -> Posterior:
    """z is drawn with one noise array, and another one is stored for the backward

    Origin  [kwj2104/Simple-Variational-Autoencoder](https://github.com/kwj2104/Simple-Variational-Autoencoder)
    Effect  On average dlogvar gets nothing from the reconstruction, only from the KL, and the loss still falls.
    Cause   noise-redrawn
    """
    rng = np.random.default_rng(0)

    def draw(mu: Array, logvar: Array, eps: Array) -> tuple[Array, Cache]:
        z, (sigma, _) = reparameterize(mu, logvar, eps)
        return z, (sigma, rng.standard_normal(eps.shape))  # the slip: not the eps of z
        # right: return z, (sigma, eps)

    return correct._replace(draw=draw)


@plant(SPECIMENS, Q)
def half_missing_in_dlogvar(correct: Posterior) -> Posterior:
    """dlogvar of the draw lacks its 1/2

    Origin  classic slip
    Effect  The derivative of exp(logvar / 2) is half of itself. Without the half the reconstruction pulls twice as hard
            at sigma as the KL holds it.
    Cause   factor
    """

    def backward(dz: Array, cache: Cache) -> tuple[Array, Array]:
        sigma, eps = cache
        return dz, dz * sigma * eps  # the slip: sigma is exp(logvar / 2), and its slope has the half of it
        # right: return dz, 0.5 * dz * sigma * eps

    return correct._replace(draw_backward=backward)


@plant(SPECIMENS, Q)
def eps_missing_in_dlogvar(correct: Posterior) -> Posterior:
    """dlogvar of the draw lacks its eps

    Origin  classic slip
    Effect  Wrong in size everywhere, and in sign wherever the noise was negative.
    Cause   elementwise-factor
    """

    def backward(dz: Array, cache: Cache) -> tuple[Array, Array]:
        sigma, eps = cache
        return dz, 0.5 * dz * sigma  # the slip: sigma is multiplied by eps
        # right: return dz, 0.5 * dz * sigma * eps

    return correct._replace(draw_backward=backward)


@plant(SPECIMENS, Q)
def log_variance_clipped_in_the_draw(correct: Posterior) -> Posterior:
    """The draw clips logvar, the KL does not

    Origin  classic slip, against the overflow of
            [synthcity#331](https://github.com/vanderschaarlab/synthcity/issues/331)
    Effect  Beyond the clip q claims one width and draws another. There logvar has no gradient from the reconstruction,
            and only the KL can bring it back. Here the limits are -1 and 1; -10 and 10 are usual.
    Cause   elementwise-factor
    """

    def draw(mu: Array, logvar: Array, eps: Array) -> tuple[Array, Cache]:
        inside = abs(logvar) < 1
        # right: inside = 1
        sigma = np.exp(0.5 * np.clip(logvar, -1, 1))  # the slip: encode should clip, for both
        # right: sigma = np.exp(0.5 * logvar)
        return mu + sigma * eps, (sigma, eps * inside)

    return correct._replace(draw=draw)


# ---------------------------------------------------------------------------------------------------------------------
# The KL to the prior


@plant(SPECIMENS, Q)
def dmu_of_the_kl_has_the_wrong_sign(correct: Posterior) -> Posterior:
    """dKL/dmu = -mu

    Origin  a VAE in NumPy alone, on the web
    Effect  The means are pushed away from the prior, the further the harder.
    Cause   sign
    """

    def backward(dkl: Array, cache: Cache) -> tuple[Array, Array]:
        mu, var = cache
        return -dkl[:, None] * mu, 0.5 * dkl[:, None] * (var - 1)  # the slip: the ELBO has -KL, and this is the KL
        # right: return dkl[:, None] * mu, 0.5 * dkl[:, None] * (var - 1)

    return correct._replace(kl_backward=backward)


@plant(SPECIMENS, Q)
def kl_backward_without_the_minus_one(correct: Posterior) -> Posterior:
    """dKL/dlogvar = sigma^2 / 2: the derivative of -logvar is forgotten

    Origin  classic slip
    Effect  Always positive: the KL shrinks sigma for ever instead of pulling it to 1.
    Cause   missing-term
    """

    def backward(dkl: Array, cache: Cache) -> tuple[Array, Array]:
        mu, var = cache
        return dkl[:, None] * mu, 0.5 * dkl[:, None] * var  # the slip: the KL has -logvar as well
        # right: return dkl[:, None] * mu, 0.5 * dkl[:, None] * (var - 1)

    return correct._replace(kl_backward=backward)


@plant(SPECIMENS, Q)
def kl_averaged_over_latents(correct: Posterior) -> Posterior:
    """The KL is a mean over the latents, not a sum

    Origin  [keras-io#270](https://github.com/keras-team/keras-io/issues/270),
            [keras-molecules#59](https://github.com/maxhodak/keras-molecules/issues/59),
            [keras#6015](https://github.com/keras-team/keras/issues/6015)
    Effect  With 20 latents the KL counts a twentieth: an unlabelled beta of 0.05, reported as an ELBO.
    Cause   factor
    """

    def kl(mu: Array, logvar: Array) -> tuple[Array, Cache]:
        var = np.exp(logvar)
        return 0.5 * (mu * mu + var - 1 - logvar).mean(axis=1), (mu, var)  # the slip: a mean over Z
        # right: return 0.5 * (mu * mu + var - 1 - logvar).sum(axis=1), (mu, var)

    def backward(dkl: Array, cache: Cache) -> tuple[Array, Array]:
        dkl = dkl / cache[0].shape[1]
        # right: no such line
        return kl_to_standard_normal_backward(dkl, cache)

    return correct._replace(kl=kl, kl_backward=backward)


@plant(SPECIMENS, Q)
def kl_without_the_half(correct: Posterior) -> Posterior:
    """The KL lacks its 1/2

    Origin  classic slip
    Effect  An unlabelled beta of 2.
    Cause   factor
    """

    def kl(mu: Array, logvar: Array) -> tuple[Array, Cache]:
        var = np.exp(logvar)
        return (mu * mu + var - 1 - logvar).sum(axis=1), (mu, var)  # the slip: the half is missing
        # right: return 0.5 * (mu * mu + var - 1 - logvar).sum(axis=1), (mu, var)

    def backward(dkl: Array, cache: Cache) -> tuple[Array, Array]:
        mu, var = cache
        return 2 * dkl[:, None] * mu, dkl[:, None] * (var - 1)
        # right: return dkl[:, None] * mu, 0.5 * dkl[:, None] * (var - 1)

    return correct._replace(kl=kl, kl_backward=backward)


@plant(SPECIMENS, Q)
def kl_without_its_constant(correct: Posterior) -> Posterior:
    """The KL lacks its -1

    Origin  classic slip; [ericjang/draw PR 6](https://github.com/ericjang/draw/pull/6) has it once for all latents
    Effect  Half a nat a latent too much, for ever: 10 nats with 20 latents. The gradient does not know.
    Cause   missing-term
    """

    def kl(mu: Array, logvar: Array) -> tuple[Array, Cache]:
        var = np.exp(logvar)
        return 0.5 * (mu * mu + var - logvar).sum(axis=1), (mu, var)  # the slip: at mu = 0, var = 1 it is not 0
        # right: return 0.5 * (mu * mu + var - 1 - logvar).sum(axis=1), (mu, var)

    return correct._replace(kl=kl)


@plant(SPECIMENS, Q)
def absolute_value_for_the_square(correct: Posterior) -> Posterior:
    """The KL has |mu| for mu^2

    Origin  classic slip
    Effect  Means beyond 1 cost too little, and a kink at 0 nails the small ones down.
    Cause   elementwise-factor
    """

    def kl(mu: Array, logvar: Array) -> tuple[Array, Cache]:
        var = np.exp(logvar)
        kl = 0.5 * (abs(mu) + var - 1 - logvar).sum(axis=1)  # the slip: the square of mu
        # right: kl = 0.5 * (mu * mu + var - 1 - logvar).sum(axis=1)
        return kl, (0.5 * np.sign(mu), var)
        # right: return kl, (mu, var)

    return correct._replace(kl=kl)


@plant(SPECIMENS, Q)
def standard_deviation_for_variance(correct: Posterior) -> Posterior:
    """The KL has sigma for sigma^2

    Origin  [pytorch/examples#225](https://github.com/pytorch/examples/issues/225) suspects it
    Effect  Its minimum lies at sigma = 2, not 1: q is drawn towards a prior with four times the variance.
    Cause   elementwise-factor
    """

    def kl(mu: Array, logvar: Array) -> tuple[Array, Cache]:
        sigma = np.exp(0.5 * logvar)
        kl = 0.5 * (mu * mu + sigma - 1 - logvar).sum(axis=1)  # the slip: the variance
        # right: kl = 0.5 * (mu * mu + sigma * sigma - 1 - logvar).sum(axis=1)
        return kl, (mu, 0.5 * sigma)
        # right: return kl, (mu, sigma * sigma)

    return correct._replace(kl=kl)


@plant(SPECIMENS, Q)
def logvar_squared(correct: Posterior) -> Posterior:
    """The KL has the square of log sigma where the logarithm of sigma^2 is meant

    Origin  [FluxML/model-zoo#73](https://github.com/FluxML/model-zoo/issues/73), mended in
            [PR 76](https://github.com/FluxML/model-zoo/pull/76) up to its sign, which took
            [PR 147](https://github.com/FluxML/model-zoo/pull/147)
    Effect  The KL turns negative for a small sigma, and falls without end as sigma goes to 0: q is paid for being a
            point.
    Cause   elementwise-factor
    """

    def kl(mu: Array, logvar: Array) -> tuple[Array, Cache]:
        var, log_sigma = np.exp(logvar), 0.5 * logvar
        kl = 0.5 * (mu * mu + var - 1 - log_sigma**2).sum(axis=1)  # the slip: the log of a square, not its square
        # right: kl = 0.5 * (mu * mu + var - 1 - 2 * log_sigma).sum(axis=1)
        return kl, (mu, var + 1 - log_sigma)
        # right: return kl, (mu, var)

    return correct._replace(kl=kl)


@plant(SPECIMENS, Q)
def prior_with_log_std_one(correct: Posterior) -> Posterior:
    """The prior has the *log* standard deviation 1

    Origin  [HIPS/autograd PR 266](https://github.com/HIPS/autograd/pull/266), 2016 to 2017 in its VAE example
    Effect  q is drawn towards N(0, e^2), and pictures are drawn from N(0, 1): "works about the same", said the author.
    Cause   factor
    """

    def kl(mu: Array, logvar: Array) -> tuple[Array, Cache]:
        log_std = 1  # the slip: the standard deviation is 1, its logarithm is 0
        # right: log_std = 0
        kl, (u, var) = kl_to_standard_normal(mu * np.exp(-log_std), logvar - 2 * log_std)
        return kl, (u * np.exp(-log_std), var)

    return correct._replace(kl=kl)


@plant(SPECIMENS, Q)
def kl_summed_over_the_batch(correct: Posterior) -> Posterior:
    """The KL is summed along the wrong axis

    Origin  classic slip
    Effect  One number a latent, where one an example is wanted. With B = Z nothing fails.
    Cause   shape
    """

    def kl(mu: Array, logvar: Array) -> tuple[Array, Cache]:
        var = np.exp(logvar)
        return 0.5 * (mu * mu + var - 1 - logvar).sum(axis=0), (mu, var)  # the slip: axis 0 is the batch
        # right: return 0.5 * (mu * mu + var - 1 - logvar).sum(axis=1), (mu, var)

    def backward(dkl: Array, cache: Cache) -> tuple[Array, Array]:
        mu, var = cache
        return dkl * mu, 0.5 * dkl * (var - 1)
        # right: return dkl[:, None] * mu, 0.5 * dkl[:, None] * (var - 1)

    return correct._replace(kl=kl, kl_backward=backward)


@plant(SPECIMENS, Q)
def kl_summed_over_everything(correct: Posterior) -> Posterior:
    """The sum has no axis: every row of the batch pays for the KL of all

    Origin  [GNTPP#4](https://github.com/EDAPINENUT/GNTPP/issues/4)
    Effect  The sum is a number, and a number broadcasts: no shape is wrong. The KL counts B times, and the reported
            bound depends on the batch size.
    Cause   batch-sum
    """

    def kl(mu: Array, logvar: Array) -> tuple[Array, Cache]:
        var = np.exp(logvar)
        kl = 0.5 * (mu * mu + var - 1 - logvar).sum() * np.ones(len(mu))  # the slip: no axis
        # right: kl = 0.5 * (mu * mu + var - 1 - logvar).sum(axis=1)
        return kl, (mu, var)

    def backward(dkl: Array, cache: Cache) -> tuple[Array, Array]:
        mu, var = cache
        return dkl.sum() * mu, 0.5 * dkl.sum() * (var - 1)
        # right: return dkl[:, None] * mu, 0.5 * dkl[:, None] * (var - 1)

    return correct._replace(kl=kl, kl_backward=backward)


@plant(SPECIMENS, LOG_DENSITY)
def log_density_slope_without_sigma(correct: Pair) -> Pair:
    """The slope of log N(z; mu, sigma^2) in mu is u, without the 1 / sigma

    Origin  classic slip
    Effect  u = (z - mu) / sigma already has one sigma, so the second one looks like a mistake. Right only at sigma = 1.
    Cause   elementwise-factor
    """

    def backward(dlog_q: Array, cache: Cache) -> tuple[Array, Array, Array]:
        u, inverse_sigma = cache
        dz, _, dlogvar = gaussian_log_density_backward(dlog_q, cache)
        return dz, dlog_q[:, None] * u, dlogvar  # the slip: (z - mu) / sigma^2 has one sigma more than u
        # right: return dz, dlog_q[:, None] * u * inverse_sigma, dlogvar

    return correct._replace(backward=backward)
