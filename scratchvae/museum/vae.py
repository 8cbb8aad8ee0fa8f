"""Chapter vae: whole models, where the terms meet, and the importance-weighted bound."""

# mypy: disable-error-code="override"

from typing import Any

import numpy as np

from scratchvae.backend import Array, Cache
from scratchvae.iwae import (
    BoundCache,
    BoundTerms,
    ImportanceWeighted,
    importance_weighted_bound,
    importance_weighted_bound_backward,
    log_importance_weights,
)
from scratchvae.layers import prefixed
from scratchvae.museum.components import AssembledVAE, Model, Pair, Several, normal
from scratchvae.museum.specimen import Specimen, plant
from scratchvae.vae import VAE, Terms

SPECIMENS: list[Specimen] = []


class CentredVAE(VAE):
    """A VAE that moves pixels to [-1/2, 1/2] first."""

    def encode(self, x: Array) -> Any:
        return super().encode(x - 0.5)


MODEL = Model(VAE)
CENTRED = Model(CentredVAE)
SEVERAL = Several(ImportanceWeighted)
BOUND = Pair(importance_weighted_bound, importance_weighted_bound_backward, {"log_w": normal(5, 3)})


@plant(SPECIMENS, MODEL)
def mean_for_the_draw(correct: Model) -> Model:
    """The bound is evaluated at z = mu, without noise

    Origin  [pytorch/examples PR 419](https://github.com/pytorch/examples/pull/419), by an author of the VAE paper
    Effect  Not the ELBO, and mostly larger than it. Curves of the test loss look better than they are.
    Cause   zero
    """

    class Broken(VAE):
        def objective(self, x: Array, eps: Array, beta: float = 1.0) -> Any:
            return super().objective(x, 0 * eps, beta)  # the slip: no noise
            # right: return super().objective(x, eps, beta)

    return correct._replace(kind=Broken)


@plant(SPECIMENS, MODEL)
def noise_of_its_own(correct: Model) -> Model:
    """The objective draws its own noise, whatever it is given

    Origin  classic slip; dropout does the same to a check, as in [chainer#3046](https://github.com/chainer/chainer/issues/3046)
    Effect  Trains as it should. But no two calls agree, so no difference quotient means anything.
    Cause   noise-redrawn
    """
    rng = np.random.default_rng(0)

    class Broken(VAE):
        def objective(self, x: Array, eps: Array, beta: float = 1.0) -> Any:
            eps = self.draw_eps(len(x), rng)  # the slip: eps is an argument
            # right: no such line
            return super().objective(x, eps, beta)

    return correct._replace(kind=Broken)


@plant(SPECIMENS, MODEL)
def one_head_dropped_at_the_fork(correct: Model) -> Model:
    """The hidden layer hears from the head of mu alone

    Origin  classic slip
    Effect  Both heads are trained, and the layers below never learn to say how sure they are.
    Cause   missing-term
    """

    class Broken(VAE):
        def encode_backward(self, dmu: Array, dlogvar: Array, cache: Any, trace: Any = None) -> dict[str, Array]:
            dh, mu_grads = self.heads["mu"].backward(dmu, cache.mu)
            _, logvar_grads = self.heads["logvar"].backward(dlogvar, cache.logvar)  # the slip: h is used twice
            # right: dh_logvar, logvar_grads = self.heads["logvar"].backward(dlogvar, cache.logvar)
            # right: dh = dh + dh_logvar
            _, encoder_grads = self.encoder.backward(dh, cache.h, need_dx=False, trace=trace)
            return {**encoder_grads, **prefixed("mu", mu_grads), **prefixed("logvar", logvar_grads)}

    return correct._replace(kind=Broken)


@plant(SPECIMENS, MODEL)
def kl_added_to_the_bound(correct: Model) -> Model:
    """objective = -nll + kl

    Origin  proposed again and again, to authors who had it right:
            [pytorch/examples#298](https://github.com/pytorch/examples/issues/298),
            [#824](https://github.com/pytorch/examples/issues/824),
            [generative-models#43](https://github.com/wiseodd/generative-models/issues/43)
    Effect  The KL is maximised: q runs away from the prior until something overflows.
    Cause   sign
    """

    class Broken(VAE):
        def objective(self, x: Array, eps: Array, beta: float = 1.0) -> Any:
            t, cache = super().objective(x, eps, beta)
            t = t._replace(elbo=-t.nll + t.kl, objective=-t.nll + beta * t.kl)  # the slip: the kl is a price
            # right: t = t._replace(elbo=-t.nll - t.kl, objective=-t.nll - beta * t.kl)
            return t, cache._replace(beta=-beta)
            # right: return t, cache

    return correct._replace(kind=Broken)


@plant(SPECIMENS, MODEL)
def value_averaged_over_the_batch(correct: Model) -> Model:
    """What is reported is divided by B, the gradient is not

    Origin  a VAE in NumPy alone, on the web
    Effect  The step size depends on the batch size, and the curve does not show it.
    Cause   factor
    """

    class Broken(VAE):
        def objective(self, x: Array, eps: Array, beta: float = 1.0) -> Any:
            terms, cache = super().objective(x, eps, beta)
            return Terms(*(term / len(x) for term in terms)), cache  # the slip: the backward was not told
            # right: return terms, cache

    return correct._replace(kind=Broken)


@plant(SPECIMENS, MODEL)
def column_meets_row(correct: Model) -> Model:
    """A KL of the shape (B, 1) is subtracted from an nll of the shape (B,)

    Origin  classic slip
    Effect  The bound becomes (B, B): every nll with everybody's KL. Its mean is still right, so the curve is, too.
    Cause   shape
    """

    class Broken(VAE):
        def objective(self, x: Array, eps: Array, beta: float = 1.0) -> Any:
            t, cache = super().objective(x, eps, beta)
            kl = t.kl[:, None]  # the slip: a column, as keepdims leaves it
            # right: kl = t.kl
            return t._replace(elbo=-t.nll - kl, objective=-t.nll - beta * kl), cache

        def backward(self, dobjective: Array, cache: Any, trace: Any = None) -> dict[str, Array]:
            return super().backward(dobjective.sum(axis=0) if dobjective.ndim == 2 else dobjective, cache, trace)

    return correct._replace(kind=Broken)


@plant(SPECIMENS, MODEL)
def biases_without_gradient(correct: Model) -> Model:
    """The gradients of all biases are left at the zeros that they started from

    Origin  a course template of KIT, whose checker counted 0/0 as a pass
    Effect  Every bias stays where it started; at 0, its layer goes through the origin for ever. A test that divides 0
            by 0, or starts from zero biases and compares their size, is content.
    Cause   zero
    """

    class Broken(VAE):
        def backward(self, dobjective: Array, cache: Any, trace: Any = None) -> dict[str, Array]:
            grads = super().backward(dobjective, cache, trace)
            return {name: g if name.endswith("W") else 0 * g for name, g in grads.items()}  # the slip
            # right: return grads

    return correct._replace(kind=Broken)


@plant(SPECIMENS, CENTRED)
def batch_centred_in_place(correct: Model) -> Model:
    """encode centres the batch in place

    Origin  classic slip
    Effect  x -= 0.5 changes the caller's images. The nll is computed against the wrong target, and in the next epoch
            the data are centred again.
    Cause   mutates-input
    """

    class Broken(VAE):
        def encode(self, x: Array) -> Any:
            x -= 0.5  # the slip: x belongs to the caller
            # right: x = x - 0.5
            return super().encode(x)

    return correct._replace(kind=Broken)


@plant(SPECIMENS, MODEL)
def upstream_gradient_ignored(correct: Model) -> Model:
    """backward has the mean over the batch built in, and does not look at what it is given

    Origin  classic slip: most VAEs that are written by hand
    Effect  Right for a loss that is the mean over the batch. Examples cannot be weighted, and no other loss can stand
            on top of this one.
    Cause   elementwise-factor
    """

    class Broken(VAE):
        def backward(self, dobjective: Array, cache: Any, trace: Any = None) -> dict[str, Array]:
            dobjective = np.ones(cache.B) / cache.B  # the slip: dobjective was an argument
            # right: no such line
            return super().backward(dobjective, cache, trace)

    return correct._replace(kind=Broken)


class LogSigmaVAE(AssembledVAE):
    """A VAE whose second head is log sigma. q and encode turn it into the log-variance, and encode_backward back."""

    def q(self, x: Array) -> Any:
        mu, log_sigma, cache = super().encode(x)
        return mu, 2 * log_sigma, cache

    def encode(self, x: Array) -> Any:
        return self.q(x)

    def encode_backward(self, dmu: Array, dlogvar: Array, cache: Any, trace: Any = None) -> dict[str, Array]:
        return super().encode_backward(dmu, 2 * dlogvar, cache, trace)


@plant(SPECIMENS, Model(LogSigmaVAE))
def log_sigma_for_the_log_variance(correct: Model) -> Model:
    """encode returns log sigma; the draw and the KL inside know it, and whoever calls encode does not

    Origin  classic slip; [vae-tf#3](https://github.com/fastforwardlabs/vae-tf/issues/3) asks which of the two it is
    Effect  Training is right, and so is the bound. Every use of encode from outside, a plot of q or an estimate of
            log p(x) by importance sampling, takes sigma to be its own root.
    Cause   factor
    """

    class Broken(LogSigmaVAE):
        def encode(self, x: Array) -> Any:
            return VAE.encode(self, x)  # the slip: the second head is log sigma
            # right: return self.q(x)

    return correct._replace(kind=Broken)


@plant(SPECIMENS, SEVERAL)
def logarithms_averaged(correct: Several) -> Several:
    """The bound of K draws averages the logarithms of the weights, not the weights

    Origin  classic slip; [generative-tf#1](https://github.com/arahuja/generative-tf/issues/1) suspects it
    Effect  That is the ELBO with K draws: less noise, and no tighter however large K is. Its gradient is its own.
    Cause   elementwise-factor
    """

    class Broken(ImportanceWeighted):
        def objective(self, x: Array, eps: Array, beta: float = 1.0) -> Any:
            log_w, cache = log_importance_weights(self.model, x, eps)
            bound, w = log_w.mean(axis=0), 0 * log_w + 1 / len(log_w)  # the slip: the mean belongs inside the logarithm
            # right: bound, w = importance_weighted_bound(log_w)
            return BoundTerms(cache.mean_nll, log_w.mean(axis=0), bound), BoundCache(cache, w)

    return correct._replace(kind=Broken)


@plant(SPECIMENS, Pair(importance_weighted_bound, importance_weighted_bound_backward, {"log_w": normal(5, 3) - 800}))
def weights_that_underflow(correct: Pair) -> Pair:
    """exp(log w) without taking out the largest

    Origin  [Importance_Weighted_Autoencoders#2](https://github.com/xqding/Importance_Weighted_Autoencoders/issues/2)
            asks whether it is needed
    Effect  An image of MNIST has log w near -100, a bad draw -800: exp of that is 0, and where all draws
            are bad the bound is log(0).
    Cause   non-finite
    """

    def forward(log_w: Array) -> tuple[Array, Cache]:
        w = np.exp(log_w)  # the slip: all of them are 0
        # right: w = np.exp(log_w - log_w.max(axis=0))
        shift = np.zeros(log_w.shape[1])
        # right: shift = log_w.max(axis=0)
        return shift + np.log(w.mean(axis=0)), w / w.sum(axis=0)

    return correct._replace(forward=forward)


@plant(SPECIMENS, BOUND)
def weights_of_the_worst(correct: Pair) -> Pair:
    """Importance weights from the loss, not from its negative

    Origin  [AntixK/PyTorch-VAE#34](https://github.com/AntixK/PyTorch-VAE/issues/34),
            [PR 53](https://github.com/AntixK/PyTorch-VAE/pull/53)
    Effect  The worst of K samples get the largest weights. The loss falls all the same.
    Cause   elementwise-factor
    """

    def forward(log_w: Array) -> tuple[Array, Cache]:
        bound, w = importance_weighted_bound(log_w)
        return bound, importance_weighted_bound(-log_w)[1]  # the slip: the sign
        # right: return bound, w

    return correct._replace(forward=forward)


@plant(SPECIMENS, BOUND)
def weights_not_detached(correct: Pair) -> Pair:
    """The gradient goes through the normalised weights as well

    Origin  [AntixK/PyTorch-VAE#34](https://github.com/AntixK/PyTorch-VAE/issues/34),
            [PR 53](https://github.com/AntixK/PyTorch-VAE/pull/53),
            [generative-tf](https://github.com/arahuja/generative-tf/blob/master/generative-tf/models/variational_autoencoder.py)
    Effect  The derivative of sum_k w_k log w_k with w_k normalised, which is another function than the bound.
    Cause   elementwise-factor
    """

    def forward(log_w: Array) -> tuple[Array, Cache]:
        bound, w = importance_weighted_bound(log_w)
        return bound, w * (1 + log_w - (w * log_w).sum(axis=0))  # the slip: w alone is the derivative
        # right: return bound, w

    return correct._replace(forward=forward)
