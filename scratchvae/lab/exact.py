"""The exact gradient of the ELBO, without a draw: where the decoder is linear and the pixels are Gaussian.

Sizes: B batch, D data, Z latent.
"""

import numpy as np

from scratchvae.exact import LinearGaussian
from scratchvae.likelihoods import Gaussian
from scratchvae.vae import VAE


def elbo_backward(
    model: LinearGaussian, x: np.ndarray, mu: np.ndarray, logvar: np.ndarray, delbo: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """dmu, dlogvar, dW, dmean of sum_b delbo_b ELBO_b, for a q with variances exp(logvar) and no covariances.

    With t = x - m - W mu: dmu = W^T t / sigma_x^2 - mu, dlogvar_j = (1 - P_jj exp(logvar_j)) / 2,
    dmean = t / sigma_x^2, dW = (t mu^T - W diag(exp(logvar))) / sigma_x^2.

    Shapes    x (B, D), mu, logvar (B, Z), delbo (B,); dmu, dlogvar (B, Z), dW (D, Z), dmean (D,).
    Source    [eq: linear-gaussian-elbo-gradient].
    """
    var, weight = np.exp(logvar), delbo[:, None]  # (B, Z), (B, 1)
    precision = 1 / model.sigma**2
    t = x - model.mean - mu @ model.W.T  # (B, D)
    dmu = weight * (precision * t @ model.W - mu)
    dlogvar = 0.5 * weight * (1 - np.diag(model.posterior_precision) * var)
    dW = precision * ((weight * t).T @ mu - model.W * (delbo @ var))
    return dmu, dlogvar, dW, precision * delbo @ t


def exact_elbo_gradient(vae: VAE, x: np.ndarray) -> dict[str, np.ndarray]:
    """The gradient of sum_b ELBO_b: same keys and shapes as vae.params.

    The ELBO of a linear decoder with Gaussian pixels is a closed form in mu, logvar and the decoder; from mu and logvar
    the encoder's own backward goes on.

    Shapes    x (B, D).
    Raises    ValueError: hidden layers in the decoder, or another likelihood: then there is no closed form.
    """
    if vae.n_hidden or not isinstance(vae.likelihood, Gaussian):
        raise ValueError(
            "vae should have no hidden layers and Gaussian(sigma) pixels, "
            f"got n_hidden {vae.n_hidden} and {vae.likelihood.name}"
        )
    W, mean = (np.asarray(vae.params[name], dtype=float) for name in ("logits.W", "logits.b"))  # (Z, D), (D,)
    mu, logvar, cache = vae.encode(x)  # (B, Z), (B, Z)
    exact = LinearGaussian(W.T, mean, vae.likelihood.sigma)
    dmu, dlogvar, dW, dmean = elbo_backward(exact, x, mu, logvar, np.ones(len(x)))
    return {**vae.encode_backward(dmu, dlogvar, cache), "logits.W": dW.T, "logits.b": dmean}
