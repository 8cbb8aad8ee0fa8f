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
# # 05 · KL divergence
#
# Page 04 ended with a wish: a density $q$ that is close to the posterior. This page says what *close* means, computes
# it in three ways, and looks at what becomes of it when $q$ is fitted.
#
# **What you will do**
# - write the KL divergence of two tables, of two normal densities, and its estimate from draws;
# - fit a normal density to one with two peaks, in both directions.
#
# **What you will learn**
# - that KL measures how different two distributions are, and is not a distance;
# - that the direction matters, and what each direction does;
# - why the KL to the posterior is out of reach.
#
# **What you need**
# - page 02; pages 03 and 04 help. About 35 minutes with the blanks. It runs in a few seconds.

# %%
from importlib.util import find_spec

if find_spec("scratchvae") is None:
    raise SystemExit(
        "This page needs scratchvae; in the README's folder: pip install -r requirements.txt"
    )

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from scratchvae import kl_to_standard_normal
from scratchvae.exact import GridPosterior, best_gaussian
from scratchvae.exercises import check, hint, progress, solution, use  # noqa: F401
from scratchvae.view.notebook import panels, show

BLUE, VERMILLION, GREY = "#0072B2", "#D55E00", "#555555"

# %% [markdown]
# ## The definition, on a table
#
# Let $q$ and $p$ be two distributions over the same outcomes. The **Kullback-Leibler divergence** from $q$ to $p$, KL
# for short and *relative entropy* elsewhere, is the mean of the difference of their logarithms, *the mean being taken
# under $q$*:
#
# $$\mathrm{KL}(q \,\Vert\, p) = \mathbb{E}_{z \sim q}[\log q(z) - \log p(z)] = \sum_z q(z) \log \frac{q(z)}{p(z)} .$$
#
# With the natural logarithm the unit is the **nat**. An outcome with $q(z) = 0$ adds nothing. One with $q(z) > 0$ and
# $p(z) = 0$ makes the KL infinite: $q$ allows what $p$ forbids.
#
# Write it for two tables. The check tries tables in which $q$ has a zero. If you are stuck, `hint("kl.table")` in a
# cell of its own asks a question; a third hint is nearly the code. Whatever value your function returns, the cells
# below it run.


# %% tags=["blank"]
def kl_of_tables(q, p):
    """KL(q || p) of two tables of probabilities, (N,) each. Some entries of q are 0; none of p is."""
    raise NotImplementedError


check("kl.table", kl_of_tables)

# %% [markdown]
# *Before you run the next cell:* each outcome adds a part. Can a part be negative? Can the sum?

# %% tags=["answer"]
q = np.array([0.5, 0.3, 0.2])  # (3,)
p = np.array([0.1, 0.3, 0.6])  # (3,)
parts = q * np.log(q / p)  # (3,)
print(
    "parts:", parts.round(3), f"  KL(q || p) = {use('kl.table', kl_of_tables)(q, p):.4f} nats"
)

assert parts.min() < 0 < parts.sum()
# spoil: parts = abs(parts)
with np.errstate(divide="ignore"):
    forbidden = q @ np.log(q / np.array([0.4, 0.6, 0.0]))  # the third outcome
assert forbidden == np.inf
# spoil: forbidden = 1e9

# %% [markdown]
# ### It is never negative
#
# Single parts may be negative. The sum never is. Two steps show it. First, the logarithm lies below its tangent at 1:
# $\log t \le t - 1$, with equality only at $t = 1$. Second, put $t = p(z) / q(z)$ and take the mean under $q$:
#
# $$\begin{aligned}
# -\mathrm{KL}(q \,\Vert\, p) &= \mathbb{E}_q\!\left[ \log \frac{p(z)}{q(z)} \right]
#   && \text{definition, and } -\log t = \log (1/t) \\
# &\le \mathbb{E}_q\!\left[ \frac{p(z)}{q(z)} - 1 \right] && \text{the tangent, for each } z \\
# &= \sum_{z:\, q(z) > 0} p(z) - 1 && q \text{ cancels, and sums to one} \\
# &\le 0 && p \text{ sums to at most one over a part of the outcomes.}
# \end{aligned}$$
#
# Equality needs $p(z) = q(z)$ wherever $q$ puts any mass. Both sum to one, so they are the same.

# %%
t = np.linspace(0.01, 5, 500)  # (500,)
gap = t - 1 - np.log(t)  # (500,)  from the logarithm up to the tangent
assert (gap[abs(t - 1) > 0.005] > 0).all()  # they touch only at 1
# spoil: gap = gap - 0.001

rng = np.random.default_rng(0)
pairs = rng.dirichlet(np.ones(4), size=(2, 10_000))  # (2, 10000, 4)  random pairs of tables
many = (pairs[0] * np.log(pairs[0] / pairs[1])).sum(axis=1)  # (10000,)
print(f"10,000 random pairs: the smallest KL is {many.min():.6f}, the mean {many.mean():.3f}")

assert (many > 0).all()
# spoil: many = many - 0.01

# %% [markdown]
# ## Two normal densities, in three ways
#
# For densities the sum becomes an integral; the two steps above stay as they are. Let
# $q = \mathcal{N}(\mu, \sigma^2)$ and $p = \mathcal{N}(m, s^2)$, with means $\mu$ and $m$ and standard deviations
# $\sigma$ and $s$, all of them numbers. Their logarithms are
#
# $$\log q(z) = -\tfrac12 \left( \tfrac{(z - \mu)^2}{\sigma^2} + \log \sigma^2 + \log 2\pi \right), \qquad
#   \log p(z) = -\tfrac12 \left( \tfrac{(z - m)^2}{s^2} + \log s^2 + \log 2\pi \right).$$
#
# Take the mean of the difference under $q$. Two means are needed. $\mathbb{E}_q[(z - \mu)^2] = \sigma^2$ is the
# variance. For $\mathbb{E}_q[(z - m)^2]$ write $z - m = (z - \mu) + (\mu - m)$, and square: what is the mean of the
# mixed term? What you get is the **closed form**.


# %% tags=["blank"]
def kl_of_normals(mu, sigma, m, s):
    """KL(N(mu, sigma^2) || N(m, s^2)) in closed form; sigma and s are standard deviations."""
    raise NotImplementedError


check("kl.normals", kl_of_normals)

# %% [markdown]
# A second way is **quadrature**: the integral as a sum over a grid. A third is **Monte Carlo**: draw from $q$, and
# average. It needs no integral at all, and comes with a standard error.


# %% tags=["blank"]
def kl_from_draws(log_q, log_p):
    """An estimate of KL(q || p) and its standard error, from log q and log p of draws from q, (K,)."""
    raise NotImplementedError


check("kl.draws", kl_from_draws)

# %% [markdown]
# *Before you run the cell:* let $q = \mathcal{N}(0.8, 0.6^2)$ and $p = \mathcal{N}(0, 1)$. Of 100,000 single draws from
# $q$, which share has a negative $\log q(z) - \log p(z)$?


# %% tags=["answer"]
def log_normal(z, mean, sigma):
    """log N(z; mean, sigma^2)."""
    return -0.5 * (((z - mean) / sigma) ** 2 + np.log(2 * np.pi * sigma**2))


kl = use("kl.normals", kl_of_normals)  # yours, if it has passed

mu, sigma, m, s = 0.8, 0.6, 0.0, 1.0
z, step = np.linspace(-10, 10, 4001, retstep=True)  # (4001,)
integrand = np.exp(log_normal(z, mu, sigma)) * (log_normal(z, mu, sigma) - log_normal(z, m, s))
by_grid = integrand.sum() * step

K = 100_000
draws = mu + sigma * np.random.default_rng(1).standard_normal(K)  # (K,)
values = log_normal(draws, mu, sigma) - log_normal(draws, m, s)  # (K,)
estimate, error = use("kl.draws", kl_from_draws)(
    log_normal(draws, mu, sigma), log_normal(draws, m, s)
)

print(f"closed form {kl(mu, sigma, m, s):.6f}, quadrature {by_grid:.6f}", end="")
print(f", Monte Carlo {estimate:.4f} ± {error:.4f} nats")
print(f"share of the single draws that are negative: {(values < 0).mean():.0%}")

assert np.isclose(by_grid, kl(mu, sigma, m, s), rtol=1e-6)
# spoil: by_grid = by_grid * 1.0001
assert abs(estimate - kl(mu, sigma, m, s)) < 5 * error
# spoil: estimate = estimate + 6 * error
mass = np.exp(log_normal(z, mu, sigma))[integrand < 0].sum() * step  # of q, where q < p
assert abs((values < 0).mean() - mass) < 0.01
# spoil: values = abs(values)

# %%
fig, (ax, bx) = panels(2, height=2.9, xlabel="z", xlim=(-3, 3.5))
ax.plot(z, np.exp(log_normal(z, mu, sigma)), color=BLUE, label="q")
ax.plot(z, np.exp(log_normal(z, m, s)), "--", color=GREY, label="p")
ax.set(title="Two densities", ylabel="density", ylim=(0, None))
ax.legend(frameon=False)
bx.plot(z, integrand, color="black", linewidth=1)
bx.fill_between(z, integrand, 0, integrand > 0, color=BLUE, alpha=0.5, label="adds")
bx.fill_between(
    z, integrand, 0, integrand < 0, color=VERMILLION, hatch="///", alpha=0.5, label="takes away"
)
bx.set(title="The KL is the area, with its sign", ylabel="q(z) (log q(z) − log p(z))")
bx.legend(frameon=False)
show(
    fig,
    "Left: a narrow density q beside a wide density p. Right: the integrand of the KL, a large"
    " positive area where q exceeds p, a small negative one to the left of it, and a hardly visible"
    " one to the right.",
)

# %% [markdown]
# ### In the library
#
# In a VAE, $q$ has $Z$ independent latents and $p$ is the prior $\mathcal{N}(0, I)$. The logarithm of a product is a
# sum, so the KLs of the latents add. With $m = 0$ and $s = 1$ and with `logvar` $= \log \sigma^2$, one value for each
# latent,
#
# $$\mathrm{KL}(q \,\Vert\, p) = \frac12 \sum_{j=1}^{Z} \left( \mu_j^2 + \sigma_j^2 - 1 - \log \sigma_j^2 \right).$$
#
# `kl_to_standard_normal(mu, logvar)` takes arrays of the shape $(B, Z)$, a row for each of $B$ examples, and returns
# one number for each example, with what a backward pass needs (page 08). It is summed over the latents, never averaged.

# %%
rng = np.random.default_rng(2)
mus, logvars = rng.standard_normal((2, 5, 3))  # (B, Z) each, B = 5, Z = 3
by_library, _ = kl_to_standard_normal(mus, logvars)  # (B,)

by_loop = np.zeros(5)
for b in range(5):
    for j in range(3):
        by_loop[b] += kl(mus[b, j], np.exp(logvars[b, j] / 2), 0, 1)
print("KL of five examples, in nats:", by_library.round(4))

assert np.allclose(by_library, by_loop)
# spoil: by_loop = by_loop / 3

# %% [markdown]
# ## A dissimilarity, not a distance
#
# > **Often said.** "KL measures how similar two distributions are." Or: "KL is the distance between them."
# >
# > **What is true.** It measures how much they *differ*, and is 0 only if they are equal. And it is no distance:
# > exchanging the two can change it, and a detour can be shorter than the straight way.
# >
# > **Run this cell.** Which of the two is larger: from the narrow density to the wide one, or back?

# %% tags=["answer", "claim-02"]
print(
    "KL(N(0, 1) || N(m, 1)) for m = 0, 1, 2, 3:", *(f"{kl(0, 1, m, 1):.1f}" for m in range(4))
)
there, back = kl(0, 1, 0, 2), kl(0, 2, 0, 1)
print(f"KL(N(0, 1) || N(0, 4)) = {there:.3f}, the other way round {back:.3f}")
straight, detour = kl(0, 1, 2, 1), kl(0, 1, 1, 1) + kl(1, 1, 2, 1)
print(f"from N(0, 1) to N(2, 1): {straight:.1f}; with a stop at N(1, 1): {detour:.1f}")

assert abs(kl(0, 1, 0, 1)) < 1e-9 < kl(0, 1, 1, 1) < kl(0, 1, 2, 1) < kl(0, 1, 3, 1)
# spoil: kl = lambda mu, sigma, m, s: abs(s - sigma)
assert not np.isclose(there, back)
# spoil: back = there
assert detour < straight  # a distance would never allow that
# spoil: detour = straight

# %% [markdown]
# ## Both directions, fitted to two peaks
#
# Let $p$ have two peaks: 0.65 of its mass is $\mathcal{N}(-1.5, 0.5^2)$, and 0.35 is $\mathcal{N}(1.8, 0.6^2)$. Let
# $q = \mathcal{N}(\mu, \sigma^2)$ be a single normal density. The best $q$ depends on the direction of the KL.
#
# - $\mathrm{KL}(q \,\Vert\, p)$ is a mean under $q$. It is large if $q$ has much mass where $p$ is far smaller. A peak
#   of $p$ where $q$ is almost zero adds almost nothing. If $p$ is a posterior, looking for the $q$ that makes this KL
#   small is called **variational inference**.
# - $\mathrm{KL}(p \,\Vert\, q)$ is a mean under $p$. It is large if $p$ has much mass where $q$ is far smaller.
#
# *Before you run the cells:* sketch where you expect both.
#
# The second direction can be solved by hand. $\mathrm{KL}(p \,\Vert\, q)$ depends on $\mu$ and $\sigma$ only through
# $-\mathbb{E}_p[\log q] = \log \sigma + \mathbb{E}_p[(z - \mu)^2] / (2 \sigma^2)$, plus a constant. Set its derivatives
# with respect to $\mu$ and to $\sigma$ to zero: which $\mu$ and which $\sigma$ are best?


# %% tags=["blank"]
def best_normal(z, density, step):
    """Mean and standard deviation of the normal q of least KL(p || q); density is p on a grid, (G,)."""
    raise NotImplementedError


check("kl.matched", best_normal)

# %% [markdown]
# Now both directions without any theory: we try means and standard deviations on a grid.

# %% tags=["answer"]
z, step = np.linspace(-16, 16, 1601, retstep=True)  # (1601,)
density = 0.65 * np.exp(log_normal(z, -1.5, 0.5)) + 0.35 * np.exp(log_normal(z, 1.8, 0.6))
log_p = np.log(density)  # (1601,)

means, sigmas = np.linspace(-3, 3, 121), np.linspace(0.3, 2.5, 111)  # (121,), (111,)
q_to_p, p_to_q = np.empty((2, 121, 111))
for i, mean in enumerate(means):
    log_q = log_normal(z[:, None], mean, sigmas)  # (1601, 111)
    q_to_p[i] = (np.exp(log_q) * (log_q - log_p[:, None])).sum(axis=0) * step
    p_to_q[i] = (density[:, None] * (log_p[:, None] - log_q)).sum(axis=0) * step

best = {}
for name, values in (("KL(q || p)", q_to_p), ("KL(p || q)", p_to_q)):
    i, j = np.unravel_index(values.argmin(), values.shape)
    best[name] = means[i], sigmas[j]
    print(f"{name}: best mean {means[i]:+.2f}, standard deviation {sigmas[j]:.2f}", end="")
    print(f", {values[i, j]:.3f} nats")

mean, spread = use("kl.matched", best_normal)(z, density, step)
print(f"by hand, KL(p || q):    mean {mean:+.2f}, standard deviation {spread:.2f}")

assert np.allclose(best["KL(p || q)"], (mean, spread), atol=0.03)  # to the spacing tried
# spoil: mean = mean + 0.1
assert np.allclose(best["KL(q || p)"], (-1.5, 0.5), atol=0.03)
# spoil: best["KL(q || p)"] = best["KL(p || q)"]
assert -np.log(0.65) - 0.005 < q_to_p.min() < -np.log(0.65)
# spoil: q_to_p = q_to_p + 0.01
log_q = log_normal(z, -1.5, 0.5)  # (1601,)
left_out = (np.exp(log_q) * (log_q - log_p))[z > 0.5].sum() * step  # at the smaller peak
assert abs(left_out) < 1e-3
# spoil: left_out = left_out - 0.01

# %% [markdown]
# The best $q$ of the first direction leaves the smaller peak out. Where it lies, $p$ is nearly 0.65 of a normal
# density, so this costs about $-\log 0.65 = 0.43$ nats.
#
# The grid shows this KL from above; a descent sees only its surroundings. *Before you run the cell:* the library's
# descent on $\mathrm{KL}(q \,\Vert\, p)$ goes from three starts. At how many places will it end?


# %% tags=["answer"]
def valleys(values):
    """Where a table is lower than at its eight neighbours: a mean and a standard deviation each."""
    lowest = sliding_window_view(values, (3, 3)).min(axis=(2, 3))  # (119, 109)
    i, j = np.nonzero(values[1:-1, 1:-1] == lowest)
    return np.stack([means[i + 1], sigmas[j + 1]], axis=1)  # (V, 2)


# the library's descent wants a posterior: its points, their distance, log p there; the rest is not needed
target = GridPosterior(z[:, None], cell=step, log_density=log_p[None], log_px=None, error=None)
ends = []
for mean, spread in ((-2.0, 1.0), (0.0, 1.5), (2.5, 1.0)):
    mu, logvar = best_gaussian(target, np.array([[mean]]), np.array([[2 * np.log(spread)]]))
    ends.append([mu[0, 0], np.exp(logvar[0, 0] / 2), target.kl_from(mu, logvar)[0]])
    print(f"from mean {mean:+.1f}, standard deviation {spread:.1f}", end="")
    print(" to {:+.2f}, {:.2f}: {:.3f} nats".format(*ends[-1]))
ends, on_grid = np.array(ends), valleys(q_to_p)  # (3, 3), (V, 2)
print(f"valleys on the grid: {len(on_grid)}; of KL(p || q): {len(valleys(p_to_q))}")

assert len(on_grid) == 3
# spoil: on_grid = on_grid[:2]
assert np.allclose(ends[:, :2], on_grid, atol=0.05)
# spoil: ends = ends[[0, 2, 2]]
assert len(valleys(p_to_q)) == 1
# spoil: p_to_q = q_to_p
assert ends[0, 2] < ends[1, 2] < ends[2, 2]
# spoil: ends = ends[::-1]

# %%
fig, (ax, bx) = panels(2, height=3.1)
ax.fill_between(z, density, color="#DDDDDD", label="p")
for (name, (mean, spread)), colour, style in zip(
    best.items(), (BLUE, VERMILLION), ("-", "--"), strict=True
):
    label = f"q of least {name.replace('||', '‖')}"
    ax.plot(z, np.exp(log_normal(z, mean, spread)), style, color=colour, label=label)
ax.set(xlim=(-5, 5), ylim=(0, 1.15), xlabel="z", ylabel="density", title="Two best fits")
ax.legend(frameon=False, fontsize=8, loc="upper right")
levels = (0.45, 0.6, 0.8, 0.93, 1.1, 1.25, 1.5, 2, 3, 5)
lines = bx.contour(means, sigmas, q_to_p.T, levels, cmap="viridis", vmax=8)
bx.clabel(lines, fontsize=7)
bx.plot(ends[:, 0], ends[:, 1], "o", color=BLUE)
bx.set(xlabel="mean of q", ylabel="standard deviation of q", title="KL(q ‖ p), in nats")
show(
    fig,
    "Left: a density with two peaks; the q of least KL(q || p) sits on the larger peak, that of"
    " least KL(p || q) is wide and covers both, with its top between them. Right: contour lines of"
    " KL(q || p) over mean and standard deviation, with three valleys, a dot in each: one for each"
    " peak, and one between them, of a wide q.",
)

# %% [markdown]
# $\mathrm{KL}(q \,\Vert\, p)$ has three valleys: one at each peak, and one of a wide $q$ over both, which is better
# than the smaller peak. A descent can end in any of them. $\mathrm{KL}(p \,\Vert\, q)$ has one. Elsewhere the first
# direction is called *reverse* or *mode-seeking*, the second *forward* or *mass-covering*.
#
# Neither direction is wrong; they answer different questions. A VAE wants a $q$ that is close to the posterior
# $p(z \mid x)$, and it can draw from $q$, not from the posterior. So it takes the mean under $q$:
# $\mathrm{KL}(q \,\Vert\, \cdot)$.
#
# ## The KL that we want
#
# Let $q(z \mid x)$ be the density that we choose for this $x$. Page 02 has found the posterior of one measurement:
# $x = 1.2$, the prior $\mathcal{N}(0, 1)$, noise of standard deviation 0.5. It is $\mathcal{N}(0.96, 0.2)$, so there
# the KL to the posterior has a closed form: yours. For most models it has none. In any model Bayes' rule says
#
# $$\mathrm{KL}(q(z \mid x) \,\Vert\, p(z \mid x)) = \mathbb{E}_q[\log q(z \mid x) - \log p(z \mid x)], \qquad
#   p(z \mid x) = \frac{p(x \mid z)\, p(z)}{p(x)},$$
#
# and $p(x)$ is the integral of page 03, out of reach for most models. *Before you run the cell:* we leave it out, and
# put the joint, $p(x \mid z)\, p(z)$, where the posterior belongs. For three densities $q$, by how much is the result
# off?

# %% tags=["answer"]
z, step = np.linspace(-10, 10, 4001, retstep=True)  # (4001,)
log_joint = log_normal(1.2, z, 0.5) + log_normal(z, 0, 1)  # (4001,)  log p(x|z) + log p(z)
off = []
for mean, spread in ((0.0, 1.0), (0.6, 0.6), (1.0, 0.4)):
    log_q = log_normal(z, mean, spread)  # (4001,)
    with_joint = (np.exp(log_q) * (log_q - log_joint)).sum() * step
    to_posterior = kl(mean, spread, 0.96, np.sqrt(0.2))
    off.append(with_joint - to_posterior)
    print(f"q = N({mean}, {spread}^2): KL {to_posterior:.4f}, with the joint", end="")
    print(f" {with_joint:.4f}, off by {off[-1]:.4f}")

assert np.allclose(off, off[0])
# spoil: off[1] += 0.001
assert off[0] > 1
# spoil: off[0] = 0

# %% [markdown]
# It is off by the same number for every $q$. What number is that? And where we cannot compute the KL to the posterior,
# can we still make it small?
#
# ## Your progress

# %%
progress("kl")

# %% [markdown]
# ## Recap
#
# 1. **Definition.** $\mathrm{KL}(q \,\Vert\, p) = \mathbb{E}_q[\log q - \log p]$, in nats; a mean under the first
#    one.
# 2. **Properties.** Never negative, zero only if equal; not symmetric; no triangle inequality.
# 3. **Gaussian to prior.** $\frac12 \sum_j (\mu_j^2 + \sigma_j^2 - 1 - \log \sigma_j^2)$, summed over the latents.
# 4. **Direction.** Where two peaks of $p$ lie far apart, the normal $q$ of least $\mathrm{KL}(q \,\Vert\, p)$ sits on
#    one of them; that of least $\mathrm{KL}(p \,\Vert\, q)$ has the mean and the variance of $p$.
# 5. **Out of reach.** The KL to the posterior contains $\log p(x)$. With the joint in the posterior's place, it is off
#    by a number that does not depend on $q$.
#
# ## On your own
#
# 1. Which $\mu$ and $\sigma$ make $\mathrm{KL}(\mathcal{N}(\mu, \sigma^2) \,\Vert\, \mathcal{N}(0, 1))$ equal to 0?
#    Find them from the derivatives of the closed form.
# 2. Compute the KL of two uniform densities, on $[0, 1]$ and on $[0, 2]$, in both directions. Why is one infinite?
# 3. Move the two peaks of $p$ closer together. From which distance on does $\mathrm{KL}(q \,\Vert\, p)$ have a single
#    valley? At which distance does the wide $q$ become the best one?
# 4. The mean of $\log q - \log p$ over draws can be negative, the KL cannot. Let $q$ be nowhere 0. Show that the mean
#    of $r - 1 - \log r$ with $r = p(z)/q(z)$ over draws from $q$ estimates the same KL and is never negative.
# 5. *A small project.* Fit a mixture of two normal densities $q$ to the two-peaked $p$ by descent on
#    $\mathrm{KL}(q \,\Vert\, p)$, estimated by quadrature. Does it find both peaks from every start?
#
# ## Further reading
#
# - Christopher Bishop, *Pattern Recognition and Machine Learning* (2006), sections 1.6 and 10.1.
# - Solomon Kullback and Richard Leibler, *On Information and Sufficiency* (1951).
# - David MacKay, *Information Theory, Inference, and Learning Algorithms* (2003), chapters 2 and 33.
# - [The derivation page](derivations/02_kl.ipynb) on the KL of Gaussians, with its backward pass.
#
# [Back: estimating the evidence](04_estimating_the_evidence.ipynb) · [Contents](README.md) ·
# [Next: the ELBO](06_the_elbo.ipynb)
