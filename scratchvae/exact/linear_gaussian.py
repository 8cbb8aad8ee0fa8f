"""The linear-Gaussian model: evidence, posterior, ELBO and the best parameters in closed form, whatever Z.

NumPy, float64. Sizes: B batch, D data, Z latent.
"""

import math
from typing import NamedTuple

import numpy as np

from scratchvae.arguments import require_count, require_positive
from scratchvae.gaussian import LOG_2PI


class LinearGaussian(NamedTuple):
    """z ~ N(0, I), x = W z + m + sigma_x n with n ~ N(0, I): probabilistic PCA, the VAE whose decoder is linear.

    Shapes    W (D, Z), mean (D,), which is m, and sigma, which is sigma_x, a number.
    Source    Tipping & Bishop (1999).

    Example
        >>> model = LinearGaussian(W=np.ones((2, 1)), mean=np.zeros(2), sigma=1.0)
        >>> x = np.array([[1.0, 1.0]])
        >>> mu, cov = model.posterior(x)
        >>> bool(abs(model.elbo(x, mu, cov) - model.log_px(x)) < 1e-12)
        True
    """

    W: np.ndarray
    mean: np.ndarray
    sigma: float

    @property
    def covariance(self) -> np.ndarray:
        """C = W W^T + sigma_x^2 I, (D, D): x ~ N(m, C)."""
        return self.W @ self.W.T + self.sigma**2 * np.eye(len(self.W))

    @property
    def posterior_precision(self) -> np.ndarray:
        """P = W^T W / sigma_x^2 + I, (Z, Z): the same for every x."""
        return self.W.T @ self.W / self.sigma**2 + np.eye(self.W.shape[1])

    def log_px(self, x: np.ndarray) -> np.ndarray:
        """log p(x) = log N(x; m, C), with r = x - m.

        Shapes    x (B, D); log_px (B,).
        Units     nats per example.
        Source    [eq: linear-gaussian-evidence].
        """
        C, r = self.covariance, x - self.mean  # (D, D), (B, D)
        squares = (r * np.linalg.solve(C, r.T).T).sum(axis=1)  # (B,)
        return -0.5 * (squares + np.linalg.slogdet(C).logabsdet + len(C) * LOG_2PI)

    def log_px_backward(self, x: np.ndarray, dlog_px: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        """dW, dmean, dsigma of sum_b dlog_px_b log p(x_b).

        With s = C^-1 (x - m), dC = (s s^T - C^-1) / 2; then dW = 2 dC W, dsigma = 2 sigma_x tr(dC), dmean = s.

        Shapes    x (B, D), dlog_px (B,); dW (D, Z), dmean (D,), dsigma a number.
        Source    [eq: linear-gaussian-gradient].
        """
        inverse = np.linalg.inv(self.covariance)  # (D, D)
        s = (x - self.mean) @ inverse  # (B, D)
        dC = 0.5 * ((dlog_px[:, None] * s).T @ s - dlog_px.sum() * inverse)  # (D, D)
        return 2 * dC @ self.W, dlog_px @ s, float(2 * self.sigma * np.trace(dC))

    def posterior(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """p(z|x) = N(mu, cov) with cov = P^-1 and mu = cov W^T (x - m) / sigma_x^2.

        Shapes    x (B, D); mu (B, Z), cov (Z, Z), which does not depend on x.
        Source    [eq: linear-gaussian-posterior].
        """
        cov = np.linalg.inv(self.posterior_precision)  # (Z, Z)
        return (x - self.mean) @ self.W @ cov / self.sigma**2, cov

    def best_diagonal(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The best q with a diagonal covariance, as a VAE has it: the posterior's mean, 1 / its precision's diagonal.

        Shapes    x (B, D); mu (B, Z), cov (Z, Z), diagonal.
        Source    [eq: linear-gaussian-best-diagonal].
        """
        mu, _ = self.posterior(x)
        return mu, np.diag(1 / np.diag(self.posterior_precision))

    def elbo(self, x: np.ndarray, mu: np.ndarray, cov: np.ndarray) -> np.ndarray:
        """E_q[log p(x|z)] - KL(q || N(0, I)) for any Gaussian q = N(mu, cov), both in closed form.

        Shapes    x (B, D), mu (B, Z), cov (Z, Z) or (B, Z, Z); elbo (B,).
        Units     nats per example.
        Source    [eq: linear-gaussian-elbo].
        """
        D, Z = self.W.shape
        residual = x - self.mean - mu @ self.W.T  # (B, D)
        spread = np.einsum("...ij,ij->...", cov, self.W.T @ self.W)  # (B,) or a number
        expected_squares = (residual * residual).sum(axis=1) + spread  # (B,)
        log_likelihood = -0.5 * (expected_squares / self.sigma**2 + D * (LOG_2PI + 2 * math.log(self.sigma)))
        traces = np.trace(cov, axis1=-2, axis2=-1)
        kl = 0.5 * ((mu * mu).sum(axis=1) + traces - Z - np.linalg.slogdet(cov).logabsdet)
        return log_likelihood - kl

    def gap(self, x: np.ndarray, mu: np.ndarray, cov: np.ndarray) -> np.ndarray:
        """KL(q || p(z|x)) of q = N(mu, cov), directly from the two Gaussians; it is log p(x) - ELBO.

        Shapes    x (B, D), mu (B, Z), cov (Z, Z) or (B, Z, Z); kl_posterior (B,).
        Units     nats per example.
        Source    [eq: kl-full-gaussians], [eq: linear-gaussian-gap].
        """
        P = self.posterior_precision  # (Z, Z)
        off = mu - self.posterior(x)[0]  # (B, Z)
        traces = np.einsum("...ij,ij->...", cov, P)
        log_ratio = np.linalg.slogdet(P).logabsdet + np.linalg.slogdet(cov).logabsdet
        return 0.5 * (traces + np.einsum("bi,ij,bj->b", off, P, off) - len(P) - log_ratio)

    def optimal_elbo(self, x: np.ndarray) -> np.ndarray:
        """The ELBO of the best diagonal q: log p(x) - (sum_j log P_jj - log det P) / 2, P the posterior's precision.

        The gap is the same for every x, and zero when the columns of W are orthogonal.

        Shapes    x (B, D); elbo (B,).
        Source    Lucas et al. (2019), arXiv 1911.02469.
        """
        P = self.posterior_precision  # (Z, Z)
        return self.log_px(x) - 0.5 * (np.log(np.diag(P)).sum() - np.linalg.slogdet(P).logabsdet)


def fit_linear_gaussian(x: np.ndarray, n_z: int, sigma: float | None = None) -> LinearGaussian:
    """The maximum-likelihood model of the rows of x: column j of W is V_j sqrt(max(lambda_j - sigma_x^2, 0)).

    lambda_j, V_j are the largest eigenvalues of the covariance of x (divided by N) and their vectors. sigma_x^2 is the
    mean of the eigenvalues left out; with a sigma given, the columns with lambda_j <= sigma_x^2 collapse to zero.

    Shapes    x (N, D), N > 1; the columns of W are orthogonal.
    Source    Tipping & Bishop (1999), eq. 15 and App. A;
              [eq: linear-gaussian-maximum-likelihood], [eq: linear-gaussian-noise].
    Raises    ValueError: as many latents as dimensions or more, a sigma that is not positive.
    """
    N, D = x.shape
    n_z = require_count(n_z, "n_z")
    if n_z >= D:
        raise ValueError(f"n_z should be smaller than the {D} dimensions of x, got {n_z}")
    mean = x.mean(axis=0)  # (D,)
    values, vectors = np.linalg.eigh((x - mean).T @ (x - mean) / N)  # (D,), (D, D)  rising
    values, vectors = values[::-1], vectors[:, ::-1]
    sigma = require_positive(math.sqrt(max(values[n_z:].mean(), 0.0)) if sigma is None else sigma, "sigma")
    W = vectors[:, :n_z] * np.sqrt(np.maximum(values[:n_z] - sigma**2, 0))  # (D, Z)
    return LinearGaussian(W, mean, sigma)
