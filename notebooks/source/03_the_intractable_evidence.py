# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 03 · The intractable evidence
#
# The evidence $p(x)$ is one integral. This page computes it in every way that works, and finds out where each way
# stops.
#
# **What you will do**
# - compute the evidence of a linear model exactly, with 200 latents;
# - compute that of a bent model with one latent on a grid;
# - estimate it from random draws, and watch the estimate fail as latents are added;
# - mend the estimate with importance sampling.
#
# **What you will learn**
# - that the bend of the decoder makes the integral hard, not the number of latents alone;
# - why averages of likelihoods are taken with log-sum-exp;
# - which way up an importance weight goes, and which proposal is the best.
#
# **What you need**
# - page 02, matrices, and the variance of a mean. About 25 minutes. It runs in about ten seconds.

# %%
from importlib.util import find_spec

if find_spec("scratchvae") is None:
    raise SystemExit(
        "This page needs scratchvae; in the README's folder: pip install -r requirements.txt"
    )

import numpy as np

from scratchvae import VAE, Adam, Bernoulli, Gaussian, fit, load_data
from scratchvae.data.toy import circle
from scratchvae.evaluation import log_evidence
from scratchvae.exact import LinearGaussian, grid_log_evidence, grid_posterior
from scratchvae.iwae import importance_weighted_bound, log_importance_weights
from scratchvae.view.notebook import panels, show

BLUE, VERMILLION, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#555555"

# %% [markdown]
# ## The integral
#
# From here on $z$ is a vector of $Z$ latents and $x$ a vector of $D$ data values, for instance the pixels of an image.
# The model draws $z$ from the prior $p(z) = \mathcal{N}(z; 0, I)$, the standard normal density in $Z$ dimensions ($I$
# is the identity matrix). Then it draws $x$ from the likelihood $p(x \mid z)$. By the sum rule of page 02,
#
# $$p(x) = \int p(x \mid z)\, p(z)\, dz = \mathbb{E}_{z \sim p(z)}[\,p(x \mid z)\,].$$
#
# The right side reads the same integral as an **expectation**: the mean of $p(x \mid z)$ over draws of $z$ from the
# prior. We need its logarithm, $\log p(x)$, in **nats** (natural logarithms). How hard is it to get?
#
# ## Exact in any dimension: the linear-Gaussian model
#
# Let the likelihood be a linear map of $z$ with noise added:
#
# $$x = W z + b + \sigma\, n, \qquad z \sim \mathcal{N}(0, I), \quad n \sim \mathcal{N}(0, I),$$
#
# with a matrix $W$ of the shape $(D, Z)$, an offset $b$ of the shape $(D,)$, a number $\sigma > 0$ and noise $n$ of
# the shape $(D,)$, independent of $z$. No integral has to be done by hand:
#
# - $x$ is a linear map of normal vectors, so it is normal itself.
# - Its mean is $W\, \mathbb{E}[z] + b + \sigma\, \mathbb{E}[n] = b$.
# - Its covariance is $W\, \mathrm{Cov}(z)\, W^\top + \sigma^2\, \mathrm{Cov}(n)$, since $z$ and $n$ are independent
#   and the mixed terms vanish. Both covariances are $I$. So the covariance is $C = W W^\top + \sigma^2 I$, of the shape
#   $(D, D)$.
#
# The evidence is the normal density with that mean and covariance. With $r = x - b$,
#
# $$\log p(x) = -\tfrac12 \left( r^\top C^{-1} r + \log \det C + D \log 2\pi \right).$$
#
# The library calls this model `LinearGaussian`. We check formula and library against a sum over a grid of $z$, first
# with two latents.

# %%
rng = np.random.default_rng(0)
model = LinearGaussian(W=rng.standard_normal((3, 2)), mean=rng.standard_normal(3), sigma=0.7)
x = rng.standard_normal((1, 3))  # (1, D)  one example, D = 3

C = model.W @ model.W.T + model.sigma**2 * np.eye(3)  # (D, D)
r = (x - model.mean)[0]  # (D,)
by_formula = -0.5 * (
    r @ np.linalg.solve(C, r) + np.linalg.slogdet(C).logabsdet + 3 * np.log(2 * np.pi)
)

axis, step = np.linspace(-8, 8, 401, retstep=True)
z = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)  # (G, Z)  G = 401 * 401
prior = np.exp(-0.5 * (z * z).sum(axis=1)) / (2 * np.pi)  # (G,)
misses = ((x - model.mean - z @ model.W.T) / model.sigma) ** 2  # (G, D)
likelihood = np.exp(-0.5 * misses.sum(axis=1)) / (2 * np.pi * model.sigma**2) ** 1.5  # (G,)
by_grid = np.log((likelihood * prior).sum() * step**2)

print(f"log p(x), in nats: formula {by_formula:.8f}, grid {by_grid:.8f}")
print(f"                   library {model.log_px(x)[0]:.8f}")

assert np.isclose(by_formula, by_grid, rtol=0, atol=1e-8)
assert np.isclose(by_formula, model.log_px(x)[0], rtol=0, atol=1e-10)

# %% [markdown]
# With 200 latents a grid is out of the question, but the formula does not care. We can still check it. Bayes' rule
# solved for $p(x)$ says that
#
# $$\log p(x) = \log p(x \mid z) + \log p(z) - \log p(z \mid x) \qquad \text{for every } z.$$
#
# The posterior of this model is known (page 02 has the case of one latent), so the right side can be computed at any
# $z$ we like. It has to come out the same each time.


# %%
def log_normal(value, mean, cov):
    """log N(value; mean, cov) for vectors of any length."""
    r = value - mean
    squares = r @ np.linalg.solve(cov, r)
    return -0.5 * (squares + np.linalg.slogdet(cov).logabsdet + len(r) * np.log(2 * np.pi))


wide = LinearGaussian(rng.standard_normal((300, 200)) / 10, np.zeros(300), sigma=0.5)
x_wide = rng.standard_normal((1, 300))  # (1, D)  D = 300, Z = 200
exact = wide.log_px(x_wide)[0]
mu, cov = wide.posterior(x_wide)  # (1, Z), (Z, Z)

differences = []
for _ in range(5):
    z = rng.standard_normal(200)  # (Z,)  any z will do
    at_z = (
        log_normal(x_wide[0], wide.W @ z, 0.25 * np.eye(300))
        + log_normal(z, np.zeros(200), np.eye(200))
        - log_normal(z, mu[0], cov)
    )
    differences.append(at_z - exact)
print(f"Z = 200: log p(x) = {exact:.6f} nats")
print(f"largest difference from Bayes' rule at five random z: {np.abs(differences).max():.1e}")

assert np.abs(differences).max() < 1e-8

# %% [markdown]
# ## Exact in one dimension: a bent decoder
#
# The decoder of a VAE is a neural network $g$. It bends the space of $z$, so that $p(x \mid z) = \mathcal{N}(x; g(z),
# \sigma^2 I)$ with a non-linear $g$. The argument of above ends at its first line: a *non-linear* map of a normal
# vector is not normal, and no formula is known for its density.
#
# We need such a decoder to play with. The data are points around a circle in the plane, so $D = 2$. The model has one
# latent, $Z = 1$. The library trains it in a second; how, is the subject of pages 05 to 09. Here only the result
# matters: some network $g$ that turns a number into a point of the plane.

# %%
rng = np.random.default_rng(1)
sigma = 0.25
points = circle(2200, rng, sigma=sigma)  # (N, 2)
x_train, x_test = points[:2000], points[2000:]
vae = VAE(2, (64, 32), 1, "relu", Gaussian(sigma), rng=rng, dtype="float64")
history = fit(
    vae,
    x_train,
    x_test,
    epochs=60,
    optimizer=Adam(lr=1e-2),
    rng=rng,
    batch_size=100,
    binarise="none",
    progress=False,
)

# %% [markdown]
# With one latent a grid does the integral. In logarithms, with $G$ points $z_1, \dots, z_G$ at the spacing $\Delta$,
#
# $$\log p(x) \approx \log \sum_{g=1}^{G} e^{a_g}, \qquad
#   a_g = \log p(x \mid z_g) + \log p(z_g) + \log \Delta .$$
#
# First by a loop, then by the library. Both are sums over a grid, so the library also says how far it may be off.

# %%
z_axis, step = np.linspace(-8, 8, 4001, retstep=True)
total = 0.0
for z in z_axis:
    g, _ = vae.decode(np.array([[z]]))  # (1, D)  the decoder at one z
    log_likelihood = -0.5 * (((x_test[0] - g[0]) / sigma) ** 2).sum() - np.log(
        2 * np.pi * sigma**2
    )
    total += np.exp(log_likelihood) * np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi) * step

log_px, error = grid_log_evidence(vae, x_test[:1], n=4001)  # (1,), (1,)
print(f"by a loop {np.log(total):.8f}, by the library {log_px[0]:.8f}, may be off by {error[0]:.0e}")

assert np.isclose(np.log(total), log_px[0], rtol=0, atol=1e-10)
assert error[0] < 1e-3

# %% [markdown]
# *Before you look:* the latents form a line, the data a circle. The decoder has to cut the circle open somewhere. What
# does the posterior look like for a point close to the cut?

# %%
posterior = grid_posterior(vae, x_test, n=4001)
_, covs = posterior.moments()  # (B, 1), (B, 1, 1)
torn = covs[:, 0, 0].argmax()  # the point whose posterior is the widest
calm = np.abs(covs[:, 0, 0] - np.median(covs)).argmin()  # a point of the usual kind

fig, (ax, bx) = panels(2, height=3.4)
line = np.linspace(-3.2, 3.2, 600)[:, None]  # (600, 1)
curve, _ = vae.decode(line)  # (600, 2)
ax.plot(*x_test.T, ".", color="#BBBBBB", markersize=4, label="data")
ax.plot(*curve.T, color=GREY, label="decoder g(z)")
for tick in range(-2, 3):
    at, _ = vae.decode(np.array([[float(tick)]]))
    ax.annotate(f"z = {tick}", at[0], fontsize=8)
    ax.plot(*at[0], "|", color=GREY)
for i, colour, marker, name in ((calm, BLUE, "o", "A"), (torn, VERMILLION, "D", "B")):
    ax.plot(*x_test[i], marker, color=colour, markersize=9, label=f"point {name}")
    style = "-" if name == "A" else "--"
    bx.plot(
        posterior.z[:, 0],
        np.exp(posterior.log_density[i]),
        style,
        color=colour,
        label=f"p(z|{name})",
    )
ax.set(aspect="equal", xlabel="$x_1$", ylabel="$x_2$", title="A line, bent into the plane")
ax.legend(frameon=False, fontsize=8, loc="center")
bx.set(xlim=(-3.5, 3.5), xlabel="z", ylabel="density", title="Posteriors of two points")
bx.set_ylim(0, None)
bx.legend(frameon=False)
show(
    fig,
    "Left: a ring of data and the decoder's curve along it, cut open at one place, with a point A"
    " on the curve and a point B at the cut. Right: the posterior of A has one peak, that of B two.",
)
