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

BLUE, VERMILLION, GREY = "#0072B2", "#D55E00", "#555555"

# %% [markdown]
# ## The integral
#
# From here on $z$ is a vector of $Z$ latents and $x$ a vector of $D$ data values, for instance the pixels of an
# image. The model draws $z$ from the prior $p(z) = \mathcal{N}(z; 0, I)$, the standard normal density in $Z$
# dimensions ($I$ is the identity matrix). Then it draws $x$ from the likelihood $p(x \mid z)$. By the sum rule of
# page 02,
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
#   and the mixed terms vanish. Both covariances are $I$. So the covariance is $C = W W^\top + \sigma^2 I$, of the
#   shape $(D, D)$.
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
# vector is in general not normal, and for a network no formula of its density is known.
#
# We need such a decoder to play with. The data are points around a circle in the plane, so $D = 2$. The model has one
# latent, $Z = 1$. The library trains it in a second; how, is the subject of pages 06 to 10. Here only the result
# matters: some network $g$ that turns a number into a point of the plane.

# %%
rng = np.random.default_rng(1)
sigma = 0.25
points = circle(2200, rng, sigma=sigma)  # (N, 2)
x_train, x_test = points[:2000], points[2000:]
vae = VAE(2, (64, 32), 1, "relu", Gaussian(sigma), rng=rng, dtype="float64")
how = {"optimizer": Adam(lr=1e-2), "rng": rng, "batch_size": 100}
history = fit(vae, x_train, x_test, epochs=60, binarise="none", progress=False, **how)

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
print(
    f"by a loop {np.log(total):.8f}, by the library {log_px[0]:.8f}, may be off by {error[0]:.0e}"
)

assert np.isclose(np.log(total), log_px[0], rtol=0, atol=1e-10)
assert error[0] < 1e-3

# %% [markdown]
# *Before you look:* the latents form a line, the data a circle. The decoder has to cut the circle open somewhere.
# What does the posterior look like for a point close to the cut?

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
    at = vae.decode(np.array([[float(tick)]]))[0][0]  # (2,)
    ax.plot(*at, "s", color=GREY, markersize=5)
    radius = {-2: 1.75, 2: 1.5}.get(tick, 0.5)  # the ends outside of the ring, for room
    place = radius * at / np.hypot(*at)
    ax.text(*place, f"z = {tick}", fontsize=8, ha="center", va="center")
for i, colour, marker, name in ((calm, BLUE, "o", "A"), (torn, VERMILLION, "D", "B")):
    ax.plot(*x_test[i], marker, color=colour, markersize=9, label=f"point {name}")
    style = "-" if name == "A" else "--"
    bx.plot(posterior.z[:, 0], np.exp(posterior.log_density[i]), style, color=colour)
    top = posterior.z[posterior.log_density[i].argmax(), 0]
    height = np.exp(posterior.log_density[i].max())
    bx.text(top, height + 0.06, f"p(z | {name})", color=colour, ha="center")
ax.set(aspect="equal", xlabel="$x_1$", ylabel="$x_2$", title="A line, bent into the plane")
ax.set(xlim=(-1.7, 2.1), ylim=(-1.7, 1.7))
fig.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=8)
bx.set(xlim=(-3.5, 3.5), xlabel="z", ylabel="density", title="Posteriors of two points")
bx.set_ylim(0, 1.1 * np.exp(posterior.log_density[calm].max()))
show(
    fig,
    "Left: a ring of data and the decoder's curve along it, cut open at one place, with a point A"
    " on the curve and a point B at the cut. Right: the posterior of A has one peak, that of B two.",
)

# %% [markdown]
# A normal density has one peak. The posterior of B has two: the point may have come from either end of the line. The
# prior is normal, the likelihood is normal for each fixed $z$, and still the posterior is not. But the integral was
# easy: one latent, 4,001 points.
#
# ## It is the bend, not the dimension alone
#
# > **Often said.** "The integral is hard because $z$ has many dimensions."
# >
# > **What is true.** With a linear decoder and normal noise it is exact in any dimension. With a bent decoder the
# > formula is wrong in one dimension already, but a grid still works. It is hard where both come together: no
# > formula, and too many latents for a grid.
# >
# > **Run this cell.** It replaces a decoder by its tangent, $g(z) \approx g(z_0) + J\,(z - z_0)$, where $J$ is the
# > slope of $g$ at $z_0$, and applies the exact formula to the tangent. For a linear decoder nothing is lost. For the
# > bent one it is wrong, even with $z_0$ at the highest point of the posterior.


# %% tags=["claim-09"]
def log_px_of_tangent(model, x, z0):
    """log p(x) of the linear-Gaussian model that touches the decoder at z0 (Z,)."""
    h = 1e-6 * np.eye(len(z0))  # (Z, Z)  one small step for each latent
    here = model.decode(z0[None])[0][0]  # (D,)
    J = (model.decode(z0 + h)[0] - model.decode(z0 - h)[0]).T / 2e-6  # (D, Z)
    return LinearGaussian(J, here - J @ z0, model.likelihood.sigma).log_px(x[None])[0]


rng = np.random.default_rng(2)
flat = VAE(300, (), 200, likelihood=Gaussian(0.5), rng=rng, dtype="float64")  # no hidden layer
W = flat.params["logits.W"]  # (Z, D)  the decoder is z W + b
exact = LinearGaussian(W.T, flat.params["logits.b"], 0.5).log_px(x_wide)[0]
flat_error = log_px_of_tangent(flat, x_wide[0], rng.standard_normal(200)) - exact
print(f"linear decoder, Z = 200: error of the formula {abs(flat_error):.1e} nats")

highest = posterior.z[posterior.log_density.argmax(axis=1)]  # (B, 1)
tangents = [log_px_of_tangent(vae, row, z0) for row, z0 in zip(x_test, highest, strict=True)]
bent_error = tangents - posterior.log_px  # (B,)  against the true values, by the grid
print(f"bent decoder,   Z = 1:   error of the formula up to {abs(bent_error).max():.2f} nats")
print("points of a grid with 4001 an axis, for Z = 1, 2, 5, 20:", end=" ")
print(", ".join(f"{4001.0**Z:.0e}" for Z in (1, 2, 5, 20)))

assert abs(flat_error) < 1e-6
assert abs(bent_error).max() > 0.5
assert posterior.error.max() < 1e-3

# %% [markdown]
# ## Averages over the prior
#
# What is left for a bent decoder with many latents? The evidence is an expectation, and an expectation can be
# estimated from random draws. Draw $z_1, \dots, z_K$ from the prior and average:
#
# $$\hat p(x) = \frac1K \sum_{k=1}^{K} p(x \mid z_k), \qquad \mathbb{E}[\hat p(x)] = p(x).$$
#
# This is **prior Monte Carlo**. It is right on average for any decoder. Its **standard error**, the typical distance
# from $p(x)$, is the standard deviation of one $p(x \mid z)$ divided by $\sqrt K$. So everything depends on the
# variance of one draw. Divide it by $p(x)^2$, to have it without units:
#
# $$\begin{aligned}
# \frac{\mathrm{Var}[p(x \mid z)]}{p(x)^2}
#   &= \frac{\mathbb{E}_{p(z)}[p(x \mid z)^2]}{p(x)^2} - 1
#   && \text{variance = mean square minus squared mean} \\
#   &= \int p(z) \left( \frac{p(x \mid z)}{p(x)} \right)^2 dz - 1 && \text{definition of the expectation} \\
#   &= \int \frac{p(z \mid x)^2}{p(z)}\, dz - 1 && \text{Bayes' rule: } p(x \mid z) / p(x) = p(z \mid x) / p(z).
# \end{aligned}$$
#
# Call the last integral $R$. It is 1 where posterior and prior agree, and large where the posterior is narrow or far
# from the prior's bulk. For a relative standard error of 10 % we need $\sqrt{(R - 1) / K} = 0.1$, that is $K =
# 100\,(R - 1)$ draws.
#
# ### What a dimension does to it
#
# To see the dimension alone, take $Z$ independent copies of the measurement of page 02: $x_j = z_j + \sigma n_j$ for
# $j = 1, \dots, Z$ with $\sigma = 0.5$. Everything is a product over $j$: the prior, the likelihood, the evidence,
# and so $R$. Each posterior is normal with variance $v = 1/(1 + 1/\sigma^2)$ and mean $m_j = v x_j / \sigma^2$. For
# one latent, with mean $m$,
#
# $$R = \int \frac{\mathcal{N}(z; m, v)^2}{\mathcal{N}(z; 0, 1)}\, dz
#   = \frac{\sqrt{2\pi}}{2\pi v} \int \exp\!\left( -\frac{(z - m)^2}{v} + \frac{z^2}{2} \right) dz .$$
#
# The exponent is $-a z^2 + 2 c z - c\,m$ with $a = \frac1v - \frac12$ and $c = \frac{m}{v}$. It is $-a (z - c/a)^2 +
# c^2/a - c\,m$ after completing the square. The integral of $e^{-a (z - c/a)^2}$ is $\sqrt{\pi / a}$, and $c^2/a -
# c\,m = m^2 / (2 - v)$. Together:
#
# $$R = \frac{1}{\sqrt{v\,(2 - v)}}\; e^{m^2 / (2 - v)} .$$
#
# A factor above 1 for each latent: the number of draws grows **exponentially** with $Z$.

# %%
s = 0.5
v = 1 / (1 + 1 / s**2)
x_long = np.full(32, 1.2)  # (32,)  page 02's x, once for each latent
means = v * x_long / s**2  # (32,)  the posterior's means


def log_R(Z):
    """log R of the first Z copies: a sum of Z terms."""
    return (means[:Z] ** 2 / (2 - v) - 0.5 * np.log(v * (2 - v))).sum()


def gauss(value, mean, variance):
    """The density of N(mean, variance) at value."""
    return np.exp(-0.5 * (value - mean) ** 2 / variance) / np.sqrt(2 * np.pi * variance)


grid, step = np.linspace(-12, 12, 4001, retstep=True)
ratio = gauss(grid, means[0], v) ** 2 / gauss(grid, 0, 1)  # (4001,)
assert np.isclose(np.log(ratio.sum() * step), log_R(1), rtol=1e-8)

copies = {Z: LinearGaussian(np.eye(Z), np.zeros(Z), s) for Z in (1, 2, 4, 8, 12, 16, 24, 32)}
true = {Z: model.log_px(x_long[None, :Z])[0] for Z, model in copies.items()}
print(" Z   log p(x)   draws for a standard error of 10 %")
for Z in copies:
    print(f"{Z:2}   {true[Z]:8.3f}   {100 * np.expm1(log_R(Z)):10.3g}")

assert log_R(32) > 3 * log_R(8)

# %% [markdown]
# The evidence of these copies is exact, in any dimension. Prior Monte Carlo does not know that. *Before you run the
# cell:* with 10,000 draws, up to which $Z$ do you trust it? And where it fails, will the estimate be too high or too
# low?

# %%
K, repeats = 10_000, 20


def log_mean_exp(log_w):
    """log of the mean of exp(log_w) over the first axis: the library's, explained below."""
    return importance_weighted_bound(log_w)[0]


def log_normal_sum(value, mean, variance):
    """log N(value; mean, variance I), the last axis being that of the latents."""
    squares = (value - mean) ** 2 / variance
    return -0.5 * (squares + np.log(2 * np.pi * variance)).sum(axis=-1)


def prior_estimates(Z, rng):
    """log of the mean of p(x|z) over K draws from the prior, many times over: (repeats,)."""
    log_w = np.empty((K, repeats))
    for i in range(repeats):
        z = rng.standard_normal((K, Z))  # (K, Z)
        log_w[:, i] = log_normal_sum(x_long[:Z], z, s**2)
    return log_mean_exp(log_w), log_w


rng = np.random.default_rng(4)
by_prior = {}
for Z in copies:
    by_prior[Z], log_w = prior_estimates(Z, rng)
    w = np.exp(log_w[:, 0] - true[Z])  # (K,)  of the first repetition, p(x|z) / p(x)
    error = w.std() / np.sqrt(K)
    print(f"Z = {Z:2}: estimate of p(x) / true value = {w.mean():9.3g} ± {error:.2g}")
    if Z <= 4:
        assert abs(w.mean() - 1) < 5 * error

off = np.array([by_prior[Z] - true[Z] for Z in copies])  # (8, repeats), in nats
assert np.abs(off[0]).max() < 0.1
assert np.median(off[-1]) < -0.5  # far too low, as a rule
assert abs(w.mean() - 1) > 5 * error  # and the standard error does not say so

# %% [markdown]
# Look at the last rows. The estimate is too low, and the standard error that comes with it is too small as well:
# hardly any draw has come close to the posterior, so the sample does not know what it has missed. A printed error is
# no help where the error itself is estimated from draws that miss.
#
# ## Log-sum-exp
#
# The cell of above averaged $p(x \mid z)$ without ever computing one. With an image that is a must. A likelihood is a
# product over pixels, so it is tiny; the computer rounds it to zero, and the logarithm of zero is $-\infty$. Write
# $a_k = \log p(x \mid z_k)$ and let $m = \max_k a_k$ be the largest. Take $e^m$ out of the sum:
#
# $$\log \frac1K \sum_k e^{a_k} = \log \left( e^{m} \, \frac1K \sum_k e^{a_k - m} \right)
#   = m + \log \sum_k e^{a_k - m} - \log K .$$
#
# Nothing was approximated. Now the largest exponent is 0, so nothing overflows, and the sum is at least 1, so its
# logarithm is safe. This is **log-sum-exp**. The library's `importance_weighted_bound` computes it for arrays of the
# shape $(K, B)$, with $B$ examples side by side.
#
# > **Where people stumble.** "Why subtract the maximum? The formula works without."
# >
# > **Run this cell.** A decoder that nobody has trained yet, two latents, one digit; then the same digit with each
# > pixel drawn as four. The true value comes from a grid.

# %% tags=["stumble-10"]
digit = (load_data("mnist-sample").x_test[:1] > 127).astype(float)  # (1, 784)  bits
large = digit.reshape(28, 28).repeat(2, axis=0).repeat(2, axis=1).reshape(1, -1)  # (1, 3136)
print("pixels  dtype     log of the mean   log-sum-exp        (in nats)")
for image in (digit, large):
    decoder = VAE(
        image.shape[1], (20,), 2, "tanh", rng=np.random.default_rng(5), dtype="float64"
    )
    z = np.random.default_rng(6).standard_normal((2000, 2))  # (K, Z)
    logits, _ = decoder.decode(z)  # (K, D)
    nll, _ = Bernoulli().nll(np.broadcast_to(image, logits.shape), logits)  # (K,)
    for dtype in ("float32", "float64"):
        a = -nll[:, None].astype(dtype)  # (K, 1)
        with np.errstate(divide="ignore"):
            naive = np.log(np.exp(a).mean(axis=0))[0]
        safe = log_mean_exp(a)[0]
        print(f"{image.shape[1]:6}  {dtype}  {naive:15.3f}   {safe:11.3f}")
        assert np.isfinite(safe)
    w = np.exp(a[:, 0] - safe)  # (K,)  relative to the estimate
    error = w.std() / np.sqrt(len(w))
    log_px, grid_error = grid_log_evidence(decoder, image, n=101)
    print(f"        true value {log_px[0]:.3f}; standard error of log-sum-exp {error:.3f}")
    assert grid_error[0] < 1e-3
    assert abs(np.expm1(safe - log_px[0])) < 5 * error
assert naive == -np.inf

# %% [markdown]
# ## Importance sampling
#
# Draws from the prior miss the posterior. So draw from a better place. Let $q(z)$ be any density that is positive
# wherever $p(x \mid z)\, p(z)$ is, called the **proposal**. Multiply and divide the integrand by it:
#
# $$p(x) = \int q(z)\, \frac{p(x \mid z)\, p(z)}{q(z)}\, dz
#   = \mathbb{E}_{z \sim q}[\,w(z)\,], \qquad w(z) = \frac{p(x \mid z)\, p(z)}{q(z)} .$$
#
# $w$ is the **importance weight**: the joint over the proposal. The mean of $w$ over draws from $q$ is right on
# average, for every such $q$. With $q = p(z)$ it is prior Monte Carlo.
#
# The weights also correct other averages. For any function $f$,
#
# $$\mathbb{E}_{p(z \mid x)}[f(z)] = \int \frac{p(x \mid z)\, p(z)}{p(x)}\, f(z)\, dz
#   = \frac{\mathbb{E}_q[w(z)\, f(z)]}{\mathbb{E}_q[w(z)]}
#   \approx \frac{\sum_k w_k f(z_k)}{\sum_k w_k} .$$
#
# > **Where people stumble.** The weights upside down, proposal over joint. A published importance-weighted VAE does
# > that: the draws that explain $x$ worst get the most weight, and the loss still falls.
# >
# > **Run this cell.** It estimates the evidence and the posterior mean of page 02's measurement at $x = 1.2$, with
# > the weights both ways up. Only one way gives the closed form.

# %% tags=["stumble-10"]
one = LinearGaussian(np.eye(1), np.zeros(1), sigma=0.5)
x_one = np.array([[1.2]])  # (1, 1)
true_mean = one.posterior(x_one)[0][0, 0]
true_px = np.exp(one.log_px(x_one)[0])

K = 100_000
z = 0.5 + np.random.default_rng(7).standard_normal(K)  # (K,)  draws from q = N(0.5, 1)
log_joint = np.log(gauss(1.2, z, 0.25)) + np.log(gauss(z, 0, 1))  # (K,)
log_q = np.log(gauss(z, 0.5, 1))  # (K,)
print(f"true values: p(x) = {true_px:.4f}, posterior mean {true_mean:.4f}")
for name, log_w in (
    ("joint / proposal", log_joint - log_q),
    ("proposal / joint", log_q - log_joint),
):
    w = np.exp(log_w)  # (K,)
    share = w / w.sum()  # (K,)  the normalised weights
    mean = (share * z).sum()
    error = np.sqrt((share**2 * (z - mean) ** 2).sum())
    right = abs(mean - true_mean) < 5 * error and abs(w.mean() - true_px) < 5 * w.std() / K**0.5
    print(
        f"{name}: mean weight {w.mean():.4g}, posterior mean {mean:.4f} ± {error:.4f}", end=""
    )
    print(f", largest weight at z = {z[w.argmax()]:.2f}")
    assert right == (name == "joint / proposal")

# %% [markdown]
# ### Which proposal is the best?
#
# Take $q(z) = p(z \mid x)$, the posterior. Then by Bayes' rule
#
# $$w(z) = \frac{p(x \mid z)\, p(z)}{p(z \mid x)} = p(x) \qquad \text{for every } z:$$
#
# the weight is constant, and a single draw gives the exact answer. This is no free lunch, since the posterior needs
# the evidence. But it says what to aim for: **a proposal that is close to the posterior**. How well does one do that
# is a little off? For the copies of above, we take the posterior's mean with twice its variance.

# %%
rng = np.random.default_rng(8)
by_proposal = {}
for Z in copies:
    estimates = []
    for _ in range(repeats):
        z = means[:Z] + np.sqrt(2 * v) * rng.standard_normal((1000, Z))  # (K, Z)  K = 1,000
        log_w = log_normal_sum(x_long[:Z], z, s**2) + log_normal_sum(z, 0, 1)
        log_w = log_w - log_normal_sum(z, means[:Z], 2 * v)  # (K,)
        estimates.append(log_mean_exp(log_w[:, None])[0])
    by_proposal[Z] = np.array(estimates)

z = means + np.sqrt(v) * rng.standard_normal((3, 32))  # (3, Z)  three draws from the posterior
log_w = log_normal_sum(x_long, z, s**2) + log_normal_sum(z, 0, 1) - log_normal_sum(z, means, v)
print("log weights with the posterior as proposal, Z = 32:", log_w.round(6))
print(f"true log p(x):                                      {true[32]:.6f}")

assert np.allclose(log_w, true[32])
spread_prior = (by_prior[32] - true[32]).std()
spread_proposal = (by_proposal[32] - true[32]).std()
assert spread_proposal < spread_prior

# %%
fig, axes = panels(2, height=3.2, xlabel="number of latents Z", ylim=(off.min() - 1, 3))
cases = (
    (axes[0], by_prior, VERMILLION, "o", "10,000 draws from the prior"),
    (axes[1], by_proposal, BLUE, "D", "1,000 draws from a proposal"),
)
for ax, estimates, colour, marker, title in cases:
    for Z in copies:
        error = estimates[Z] - true[Z]
        ax.plot([Z] * repeats, error, marker, color=colour, markersize=4, alpha=0.5)
    ax.axhline(0, color="black", linewidth=1)
    ax.set_title(title)
axes[0].set_ylabel("estimate of log p(x)\nminus true value, in nats")
show(
    fig,
    "Two panels, the error of the estimate against the number of latents. Draws from the prior:"
    " errors spread and sink to tens of nats below zero. Draws from a proposal near the"
    " posterior: errors stay close to zero, with a tenth of the draws.",
)

# %% [markdown]
# ## An encoder as proposal
#
# The posterior differs from one $x$ to the next. A VAE has a network for that: the **encoder** takes $x$ and returns
# the mean and the variance of a normal density $q(z \mid x)$, made to be close to $p(z \mid x)$. The library's
# `log_evidence` draws $K$ latents for each $x$ from it, and takes log-sum-exp of the log weights. We compare it with
# the true values from the grid, for 200 points around the circle.

# %%
estimates = log_evidence(vae, x_test, K=500, rng=np.random.default_rng(9))  # (B,)
miss = estimates - posterior.log_px  # (B,)
print(f"log p(x), mean over 200 points: true value {posterior.log_px.mean():.3f}", end="")
print(f", by 500 draws {estimates.mean():.3f}")
print(f"error for half of the points below {np.median(abs(miss)):.3f} nats, ", end="")
print(f"for the worst {abs(miss).max():.2f} nats")
wide_posterior = covs[abs(miss).argmax(), 0, 0] / np.median(covs)
print(f"variance of the worst one's posterior: {wide_posterior:.0f} times the median")

eps = np.random.default_rng(10).standard_normal((20_000, 1, 1))  # (K, B, Z)  noise, B = 1
log_w, _ = log_importance_weights(vae, x_test[calm : calm + 1], eps)  # (K, 1)
w = np.exp(log_w[:, 0] - posterior.log_px[calm])  # (K,)  weight / p(x): 1 on average
print(f"point A: mean weight / true value = {w.mean():.4f} ± {w.std() / len(w) ** 0.5:.4f}")

assert abs(w.mean() - 1) < 5 * w.std() / np.sqrt(len(w))
assert np.median(abs(miss)) < 0.05
assert wide_posterior > 10

# %% [markdown]
# For most points it is close. The worst ones lie at the cut, like B: their posterior has two peaks, and a normal
# $q(z \mid x)$ covers one of them.
#
# Two questions are now open. How does one measure how far $q$ is from the posterior? [The next
# page](05_kl_divergence.ipynb) does that. And how does one train a network to make it small, without knowing the
# posterior? That is page 06.
#
# ## Recap
#
# 1. **Definition.** $p(x) = \int p(x \mid z)\, p(z)\, dz = \mathbb{E}_{p(z)}[p(x \mid z)]$, and we want its
#    logarithm.
# 2. **Exact when.** The model is linear and Gaussian, in any dimension; or it has one or two latents, on a grid.
# 3. **Prior Monte Carlo.** Right on average, but the draws it needs grow exponentially with the latents that $x$ pins
#    down.
# 4. **Log-sum-exp.** $m + \log \sum_k e^{a_k - m} - \log K$ with $m = \max_k a_k$: the same number, without
#    underflow.
# 5. **Importance weights.** Joint over proposal. With the posterior as proposal one draw would do.
#
# ## On your own
#
# 1. In the linear-Gaussian model let $\sigma$ go to 0 with $D > Z$. What does $\log p(x)$ tend to for an $x$ outside
#    of the plane that $W$ spans, and why?
# 2. In the copies, which $\sigma$ makes $R$ close to 1? What does the measurement then say about $z$?
# 3. Use a proposal with *half* the posterior's variance instead of twice. Compute $\mathbb{E}_q[w^2] / p(x)^2$ for
#    one latent. For which variances of $q$ is it infinite?
# 4. Show that $\mathbb{E}_{p(z \mid x)}[1 / p(x \mid z)] = 1 / p(x)$. Estimate the evidence this way in page 02's
#    measurement. Why is it a bad idea?
# 5. *A small project.* Give the VAE of this page two latents and compare `log_evidence` with the grid as $K$ grows
#    from 1 to 10,000. From which side does the estimate approach the true value, and why?
#
# ## Further reading
#
# - Christopher Bishop, *Pattern Recognition and Machine Learning* (2006), sections 11.1 and 12.2.
# - Michael Tipping and Christopher Bishop, *Probabilistic Principal Component Analysis* (1999).
# - Yuri Burda, Roger Grosse, Ruslan Salakhutdinov, *Importance Weighted Autoencoders* (2016), arXiv 1509.00519.
# - [The derivation page](../docs/derivations/01_evidence.md) on Bayes' rule and the evidence.
#
# [Back: Bayes' rule](02_bayes_rule.ipynb) · [Contents](README.md) ·
# [Next: KL divergence](05_kl_divergence.ipynb)
