"""The oracle: models whose evidence is known, in closed form or on a grid. NumPy, float64, for checking and teaching.

Sizes: B batch, D data, Z latent, G grid points.
"""

import math
from typing import NamedTuple

import numpy as np

from scratchvae.arguments import require_count, require_positive
from scratchvae.backend import to_numpy
from scratchvae.gaussian import LOG_2PI
from scratchvae.vae import VAE

# ---------------------------------------------------------------------------------------------------------------------
# The linear-Gaussian model: everything in closed form


class LinearGaussian(NamedTuple):
    """z ~ N(0, I), x = W z + mean + sigma * noise: probabilistic PCA, the VAE whose decoder is linear.

    Shapes    W (D, Z), mean (D,), sigma a number.
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
        """C = W W^T + sigma^2 I, (D, D): x ~ N(mean, C)."""
        return self.W @ self.W.T + self.sigma**2 * np.eye(len(self.W))

    @property
    def posterior_precision(self) -> np.ndarray:
        """W^T W / sigma^2 + I, (Z, Z): the same for every x."""
        return self.W.T @ self.W / self.sigma**2 + np.eye(self.W.shape[1])

    def log_px(self, x: np.ndarray) -> np.ndarray:
        """log p(x) = log N(x; mean, C).

        Shapes    x (B, D); log_px (B,).
        Units     nats per example.
        Source    [eq: linear-gaussian-evidence].
        """
        C, r = self.covariance, x - self.mean  # (D, D), (B, D)
        squares = (r * np.linalg.solve(C, r.T).T).sum(axis=1)  # (B,)
        return -0.5 * (squares + np.linalg.slogdet(C).logabsdet + len(C) * LOG_2PI)

    def log_px_backward(self, x: np.ndarray, dlog_px: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        """dW, dmean, dsigma of sum_b dlog_px_b log p(x_b).

        With s = C^-1 (x - mean), dC = (s s^T - C^-1) / 2; then dW = 2 dC W, dsigma = 2 sigma tr(dC), dmean = s.

        Shapes    x (B, D), dlog_px (B,); dW (D, Z), dmean (D,), dsigma a number.
        Source    [eq: linear-gaussian-gradient].
        """
        inverse = np.linalg.inv(self.covariance)  # (D, D)
        s = (x - self.mean) @ inverse  # (B, D)
        dC = 0.5 * ((dlog_px[:, None] * s).T @ s - dlog_px.sum() * inverse)  # (D, D)
        return 2 * dC @ self.W, dlog_px @ s, float(2 * self.sigma * np.trace(dC))

    def posterior(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """p(z|x) = N(mu, cov) with cov = (W^T W / sigma^2 + I)^-1 and mu = cov W^T (x - mean) / sigma^2.

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
        r = x - self.mean - mu @ self.W.T  # (B, D)
        expected_squares = (r * r).sum(axis=1) + np.einsum("...ij,ij->...", cov, self.W.T @ self.W)  # (B,)
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
        d = mu - self.posterior(x)[0]  # (B, Z)
        traces = np.einsum("...ij,ij->...", cov, P)
        log_ratio = np.linalg.slogdet(P).logabsdet + np.linalg.slogdet(cov).logabsdet
        return 0.5 * (traces + np.einsum("bi,ij,bj->b", d, P, d) - len(P) - log_ratio)

    def optimal_elbo(self, x: np.ndarray) -> np.ndarray:
        """The ELBO of the best diagonal q: log p(x) - (sum_i log P_ii - log det P) / 2, P the posterior's precision.

        The gap is the same for every x, and zero when the columns of W are orthogonal.

        Shapes    x (B, D); elbo (B,).
        Source    Lucas et al. (2019), arXiv 1911.02469.
        """
        P = self.posterior_precision  # (Z, Z)
        return self.log_px(x) - 0.5 * (np.log(np.diag(P)).sum() - np.linalg.slogdet(P).logabsdet)


def fit_linear_gaussian(x: np.ndarray, n_z: int, sigma: float | None = None) -> LinearGaussian:
    """The maximum-likelihood model of the rows of x: column i of W is u_i sqrt(max(lambda_i - sigma^2, 0)).

    lambda_i, u_i are the largest eigenvalues of the covariance of x (divided by B) and their vectors. sigma^2 is the
    mean of the eigenvalues left out; with a sigma given, a latent with lambda_i <= sigma^2 collapses to a zero column.

    Shapes    x (B, D), B > 1; the columns of W are orthogonal.
    Source    Tipping & Bishop (1999), eq. 15 and App. A;
              [eq: linear-gaussian-maximum-likelihood], [eq: linear-gaussian-noise].
    Raises    ValueError: as many latents as dimensions or more, a sigma that is not positive.
    """
    B, D = x.shape
    n_z = require_count(n_z, "n_z")
    if n_z >= D:
        raise ValueError(f"n_z should be smaller than the {D} dimensions of x, got {n_z}")
    mean = x.mean(axis=0)  # (D,)
    values, vectors = np.linalg.eigh((x - mean).T @ (x - mean) / B)  # (D,), (D, D)  rising
    values, vectors = values[::-1], vectors[:, ::-1]
    sigma = require_positive(math.sqrt(max(values[n_z:].mean(), 0.0)) if sigma is None else sigma, "sigma")
    W = vectors[:, :n_z] * np.sqrt(np.maximum(values[:n_z] - sigma**2, 0))  # (D, Z)
    return LinearGaussian(W, mean, sigma)


# ---------------------------------------------------------------------------------------------------------------------
# Any decoder with one or two latents: integrals as sums over a grid


class GridPosterior(NamedTuple):
    """p(z|x) on a regular grid. A sum over the grid times cell is an integral."""

    z: np.ndarray  # (G, Z) the points
    cell: float  # the volume around a point
    log_density: np.ndarray  # (B, G) log p(z|x)
    log_px: np.ndarray  # (B,)
    error: np.ndarray  # (B,) an estimate of the error of log_px, in nats

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """The mean (B, Z) and the covariance (B, Z, Z) of p(z|x)."""
        p = np.exp(self.log_density) * self.cell  # (B, G)
        mean = p @ self.z  # (B, Z)
        return mean, np.einsum("bg,gi,gj->bij", p, self.z, self.z) - mean[:, :, None] * mean[:, None, :]

    def kl_from(self, mu: np.ndarray, logvar: np.ndarray) -> np.ndarray:
        """KL(q || p(z|x)) for q = N(mu, exp(logvar)), by summing over the grid; infinite if the grid misses part of q.

        Shapes    mu, logvar (B, Z); kl_posterior (B,).
        Units     nats per example.
        """
        log_q = diagonal_log_density(self.z, mu, logvar)  # (B, G)
        q = np.exp(log_q) * self.cell  # (B, G)
        return np.where(abs(q.sum(axis=1) - 1) < 1e-6, (q * (log_q - self.log_density)).sum(axis=1), math.inf)


def make_grid(n_z: int, half_width: float, n: int) -> tuple[np.ndarray, float]:
    """The points (n^Z, Z) of a regular grid on [-half_width, half_width]^Z, and the volume of a cell."""
    axis = np.linspace(-half_width, half_width, n)
    return np.stack([a.ravel() for a in np.meshgrid(*[axis] * n_z, indexing="ij")], axis=1), (axis[1] - axis[0]) ** n_z


def diagonal_log_density(z: np.ndarray, mu: np.ndarray, logvar: np.ndarray) -> np.ndarray:
    """log N(z_g; mu_b, exp(logvar_b)) for every point and every row.

    Shapes    z (G, Z), mu, logvar (B, Z); log_q (B, G).
    """
    u = (z[None] - mu[:, None]) * np.exp(-0.5 * logvar)[:, None]  # (B, G, Z)
    return -0.5 * ((u * u).sum(axis=2) + (logvar + LOG_2PI).sum(axis=1)[:, None])


def grid_posterior(vae: VAE, x: np.ndarray, half_width: float = 8.0, n: int | None = None) -> GridPosterior:
    """log p(x) = log sum_g p(x|z_g) p(z_g) cell, and p(z|x) with it, for one or two latents and any decoder.

    Look at `error` before using the rest: it is large, or infinite, when the grid is too coarse for a narrow posterior
    or too small for a distant one. Take more points n an axis, or a wider half_width, until it is not.

    Shapes    x (B, D) floats; n points an axis, made odd and at least 3; by default 2001 for one latent, 201 for two.
    Units     nats per example.
    Source    [eq: evidence-on-a-grid].
    Raises    ValueError: more than two latents, n below 1, a half_width that is not positive.
    """
    if vae.n_z > 2:
        raise ValueError(f"a grid needs a model with 1 or 2 latents, got {vae.n_z}; use evaluation.log_evidence")
    n = (2001 if vae.n_z == 1 else 201) if n is None else max(3, require_count(n, "n") // 2 * 2 + 1)
    z, cell = make_grid(vae.n_z, require_positive(half_width, "half_width"), n)  # (G, Z)
    log_joint = log_likelihood(vae, x, z) - 0.5 * (z * z + LOG_2PI).sum(axis=1)  # (B, G)
    largest = log_joint.max(axis=1)  # (B,)  why: exp of the rest is at most 1, and nothing overflows
    log_px = largest + np.log(np.exp(log_joint - largest[:, None]).sum(axis=1) * cell)  # (B,)
    log_density = log_joint - log_px[:, None]  # (B, G)
    error = grid_error(log_density.reshape(len(x), *[n] * vae.n_z), cell)  # (B,)
    return GridPosterior(z, cell, log_density, log_px, error)


def grid_error(log_density: np.ndarray, cell: float) -> np.ndarray:
    """How far the logarithm of a sum over a grid may be from that of the integral: the sum of three estimates.

    kinks    the same sum over every second point of each axis, compared with the sum over all;
    spacing  what a Gaussian of the same curvature would lose halfway between two points, 2 exp(-2 pi^2 / c) with
             c = (spacing / sigma)^2; infinite where sigma is below 0.4 spacings, since then points miss the peak;
    edge     the mass beyond the grid, if the density goes on falling as it does at the edge; infinite if it rises.

    Shapes    log_density (B, n) or (B, n, n), its sum over the grid times cell being 1; error (B,).
    Units     nats.
    """
    mass = np.exp(log_density) * cell  # (B, n, ...)
    axes = tuple(range(1, mass.ndim))
    coarse = mass[:, ::2] if len(axes) == 1 else mass[:, ::2, ::2]  # (B, n / 2, ...)
    error = np.abs(np.log(np.maximum(coarse.sum(axis=axes) * 2 ** len(axes), 1e-300)))  # (B,)
    for axis in axes:
        m, log_m = np.moveaxis(mass, axis, 1), np.moveaxis(log_density, axis, 1)  # (B, n, ...)
        curvature = 2 * log_m[:, 1:-1] - log_m[:, :-2] - log_m[:, 2:]  # (B, n - 2, ...)
        c = np.maximum((m[:, 1:-1] * curvature).sum(axis=axes), 0.01)  # (B,)
        lost = 2 * np.exp(-2 * math.pi**2 / np.minimum(c, 2 * math.pi))  # (B,)
        error += np.where(c < 2 * math.pi, -np.log1p(-lost), math.inf)
        slices = m.sum(axis=axes[1:])  # (B, n)  the mass of each slice across the axis
        last, before = slices[:, [0, -1]], slices[:, [1, -2]]  # (B, 2)  at both ends
        falls = before > last  # (B, 2)
        beyond = last * last / np.where(falls, before - last, 1.0)  # (B, 2)  a geometric series of ratio last / before
        error += np.where(falls | (last == 0), np.log1p(beyond), math.inf).sum(axis=1)
    return error


def grid_log_evidence(
    vae: VAE, x: np.ndarray, half_width: float = 8.0, n: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """log p(x) and an estimate of its error, both (B,), in nats, for one or two latents: see `grid_posterior`."""
    posterior = grid_posterior(vae, x, half_width, n)
    return posterior.log_px, posterior.error


def log_likelihood(vae: VAE, x: np.ndarray, z: np.ndarray, rows: int = 4096) -> np.ndarray:
    """log p(x_b|z_g) for every row and every point.

    Shapes    x (B, D), z (G, Z); (B, G).
    """
    x = vae.as_input(x, "x", (None, vae.n_x))[:, None]  # (B, 1, D)
    nll = []
    for start in range(0, len(z), rows):
        logits, _ = vae.decode(z[start : start + rows])  # (g, D)
        nll.append([to_numpy(vae.likelihood.nll(row, logits)[0]) for row in x])  # (B, g)
    return -np.concatenate(nll, axis=1).astype(float)


class Gap(NamedTuple):
    """log p(x) = elbo + approximation + amortization, each (B,), in nats."""

    log_px: np.ndarray
    elbo: np.ndarray  # of the encoder's q
    approximation: np.ndarray  # KL(best Gaussian || p(z|x)): what the family cannot do
    amortization: np.ndarray  # what the encoder has not learned: its KL above the best one


def split_gap(vae: VAE, x: np.ndarray, posterior: GridPosterior) -> Gap:
    """The gap between log p(x) and the ELBO, split in two: log p(x) - elbo = approximation + amortization.

    The ELBO is an average over eps, the right side sums KLs over z: that both sides agree is checked for every row.

    Shapes    x (B, D), posterior from `grid_posterior(vae, x)`.
    Source    Cremer, Li & Duvenaud (2018), arXiv 1801.03558; [eq: gap-split].
    Raises    ValueError: the sides differ, or the posterior's error allows them to, by more than 0.001 nat.
    """
    mu, logvar = (to_numpy(a).astype(float) for a in vae.encode(x)[:2])  # (B, Z), (B, Z)
    elbo, kl_posterior = expected_elbo(vae, x), posterior.kl_from(mu, logvar)  # (B,), (B,)
    off = float((np.abs(posterior.log_px - elbo - kl_posterior) + posterior.error).max())
    if not off <= 1e-3:
        raise ValueError(
            f"log p(x) - ELBO and the KL to the posterior should agree to 0.001 nat, they may differ by {off:.2g}; "
            "give grid_posterior more points n, or another half_width"
        )
    approximation = posterior.kl_from(*best_gaussian(posterior, mu, logvar))  # (B,)
    return Gap(posterior.log_px, elbo, approximation, kl_posterior - approximation)


def expected_elbo(vae: VAE, x: np.ndarray) -> np.ndarray:
    """The ELBO with its expectation over eps taken on a grid: no noise, (B,), in nats."""
    eps, cell = make_grid(vae.n_z, 8.0, 801 if vae.n_z == 1 else 121)  # (G, Z)
    weights = np.exp(-0.5 * (eps * eps + LOG_2PI).sum(axis=1)) * cell  # (G,)
    rows = (np.broadcast_to(row, (len(eps), len(row))) for row in x)
    return np.array([weights @ to_numpy(vae.objective(row, eps)[0].elbo) for row in rows])


def best_gaussian(posterior: GridPosterior, mu: np.ndarray, logvar: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The diagonal Gaussian with the smallest KL(q || p(z|x)), by descent from mu, logvar (B, Z).

    Each step is Newton's, with the curvature of -log p(z|x) averaged over q: it is exact for a Gaussian p(z|x). A row
    whose step does not help takes it back and halves its steps. The optimum is a local one.
    """
    rate = np.ones((len(mu), 1))  # (B, 1)
    kl = posterior.kl_from(mu, logvar)[:, None]  # (B, 1)
    for _ in range(300):  # a dozen are enough, as a rule
        log_q = diagonal_log_density(posterior.z, mu, logvar)  # (B, G)
        excess = np.exp(log_q) * (log_q - posterior.log_density) * posterior.cell  # (B, G)
        sigma = np.exp(0.5 * logvar)  # (B, Z)
        u = (posterior.z - mu[:, None]) / sigma[:, None]  # (B, G, Z)
        curvature = np.maximum(1 + np.einsum("bg,bgz->bz", excess, u * u - 1), 0.1)  # (B, Z)  in units of 1 / sigma^2
        new_mu = mu - rate * sigma / curvature * np.einsum("bg,bgz->bz", excess, u)  # (B, Z)
        new_logvar = logvar - rate * np.log(curvature)  # (B, Z)
        new_kl = posterior.kl_from(new_mu, new_logvar)[:, None]  # (B, 1)
        better = new_kl < kl - 1e-12  # (B, 1)
        old, new = (mu, logvar, kl), (new_mu, new_logvar, new_kl)
        mu, logvar, kl = (np.where(better, n, o) for n, o in zip(new, old, strict=True))
        rate = np.where(better, np.minimum(1.0, 1.5 * rate), 0.5 * rate)
        if (rate < 1e-3).all():
            break
    return mu, logvar
