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
# # 05 · The ELBO
#
# The evidence is out of reach, so a VAE is trained on something else: a lower bound of its logarithm, the **ELBO**.
# This page derives the bound twice, checks every line on a model whose evidence is known, and takes the gap between
# the two apart.
#
# **What you will do**
# - follow two derivations, line by line, each line with its number;
# - compare an encoder's answer with the true posterior;
# - train one half of a VAE while the other one stands still.
#
# **What you will learn**
# - what $q(z \mid x)$ approximates, and what it does not;
# - what the two terms of the bound are, and why neither is enough alone;
# - what the gap is made of, and why it never closes in general.
#
# **What you need**
# - pages 03 and 04. About 30 minutes. It runs in a few seconds.

# %%
from importlib.util import find_spec

if find_spec("scratchvae") is None:
    raise SystemExit(
        "This page needs scratchvae; in the README's folder: pip install -r requirements.txt"
    )

import numpy as np

from scratchvae import VAE, Adam, Gaussian, fit
from scratchvae.data.toy import circle
from scratchvae.exact import LinearGaussian, best_gaussian, expected_elbo
from scratchvae.exact import grid_posterior, split_gap
from scratchvae.view.notebook import panels, show

BLUE, VERMILLION, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#555555"

# %% [markdown]
# ## The setting
#
# As before, $z$ is the latent and $x$ the data. The prior $p(z)$ is standard normal and the likelihood $p(x \mid z)$
# comes from the decoder. Bayes' rule defines the posterior $p(z \mid x)$, but its denominator, the evidence, is not
# to be had. So we choose a density that we *can* compute and draw from, and call it $q(z \mid x)$: one density over
# $z$ for each $x$. It is meant to be close to the posterior.
#
# For the derivations we take the measurement of page 02, one latent and one data value, $x = 1.2$, with the noise
# 0.5. All of it is known in closed form. As $q$ we take a normal density that is *not* the posterior: mean 0.6,
# standard deviation 0.6. Sums over a grid do the integrals.

# %%
model = LinearGaussian(W=np.eye(1), mean=np.zeros(1), sigma=0.5)
x = np.array([[1.2]])  # (B, D) = (1, 1)
log_px = model.log_px(x)[0]  # the true value, in closed form

z, step = np.linspace(-10, 10, 8001, retstep=True)  # (8001,)


def log_normal(value, mean, sigma):
    """log N(value; mean, sigma^2)."""
    return -0.5 * (((value - mean) / sigma) ** 2 + np.log(2 * np.pi * sigma**2))


def integral(values):
    return values.sum() * step


log_prior = log_normal(z, 0, 1)  # (8001,)  log p(z)
log_likelihood = log_normal(x[0, 0], z, 0.5)  # (8001,)  log p(x|z)
log_joint = log_likelihood + log_prior  # (8001,)  log p(x, z)
log_posterior = log_joint - log_px  # (8001,)  log p(z|x), by Bayes' rule
log_q = log_normal(z, 0.6, 0.6)  # (8001,)  log q(z|x)
q = np.exp(log_q)


def mean_under_q(values):
    """E_q[values], the values being given on the grid."""
    return integral(q * values)


print(f"log p(x) = {log_px:.6f} nats")
assert np.isclose(integral(q), 1)
assert np.isclose(integral(np.exp(log_posterior)), 1)

# %% [markdown]
# ## First derivation: Jensen
#
# **Jensen's inequality** says that the logarithm of a mean is at least the mean of the logarithm. Here is why. Let $t
# > 0$ be random with the mean $a = \mathbb{E}[t]$. The logarithm lies below its tangent at $a$,
#
# $$\log t \le \log a + \frac{t - a}{a},$$
#
# with equality only at $t = a$. Take the mean of both sides. The last term becomes $(\mathbb{E}[t] - a)/a = 0$, and
# what is left is
#
# $$\mathbb{E}[\log t] \le \log \mathbb{E}[t].$$
#
# The more $t$ scatters, the wider the gap. If $t$ is constant, there is none.

# %%
t = np.array([0.4, 3.2])  # (2,)  two equally likely values
a = t.mean()
curve = np.linspace(0.12, 4, 300)
fig, ax = panels(height=3.0, xlabel="t", ylabel="log t", xlim=(0, 4))
ax.set_title("The mean of the logarithm lies below the logarithm of the mean")
ax.plot(curve, np.log(curve), color=BLUE, label="log t")
ax.plot(curve, np.log(a) + (curve - a) / a, ":", color=GREY, label="tangent at the mean")
ax.plot(t, np.log(t), "o--", color=VERMILLION, label="two values of t")
ax.plot([a, a], [np.log(t).mean(), np.log(a)], color="black", linewidth=3, label="the gap")
ax.legend(frameon=False, loc="lower right")
show(
    fig,
    "The curve of log t with its tangent above it. Two points on it are joined by a line; at the"
    " mean of the two, the line lies below the curve, and a thick bar marks the gap.",
)
assert (np.log(curve) <= np.log(a) + (curve - a) / a).all()
assert np.log(t).mean() < np.log(a)

# %% [markdown]
# Now the derivation. Each line names the rule that leads to it.
#
# $$\begin{aligned}
# (1)\;\; && \log p(x) &= \log \int p(x, z)\, dz && \text{sum rule} \\
# (2)\;\; && &= \log \int q(z \mid x)\, \frac{p(x, z)}{q(z \mid x)}\, dz && \text{multiply and divide by } q \\
# (3)\;\; && &= \log \mathbb{E}_q\!\left[ \frac{p(x, z)}{q(z \mid x)} \right]
#   && \text{definition of the expectation} \\
# (4)\;\; && &\ge \mathbb{E}_q\!\left[ \log \frac{p(x, z)}{q(z \mid x)} \right]
#   && \text{Jensen, with } t = p(x, z) / q(z \mid x) \\
# (5)\;\; && &= \mathbb{E}_q[\log p(x \mid z) + \log p(z) - \log q(z \mid x)]
#   && \text{product rule; log of a quotient} \\
# (6)\;\; && &= \mathbb{E}_q[\log p(x \mid z)] - \mathbb{E}_q[\log q(z \mid x) - \log p(z)]
#   && \text{the mean is linear} \\
# (7)\;\; && &= \mathbb{E}_q[\log p(x \mid z)] - \mathrm{KL}(q(z \mid x) \,\Vert\, p(z))
#   && \text{definition of the KL, page 04.}
# \end{aligned}$$
#
# Line (4) is the **evidence lower bound**, ELBO for short. Line (7) is the form that a VAE computes. Note the only
# inequality: it stands between (3) and (4).
#
# > **Where people stumble.** Derivations skip lines, and a wrong step goes unnoticed.
# >
# > **Run this cell.** It computes every line on its own and compares it with the line before.

# %% tags=["stumble-05"]
w = np.exp(log_joint - log_q)  # (8001,)  p(x, z) / q(z|x)
lines = {
    1: np.log(integral(np.exp(log_joint))),
    2: np.log(integral(q * w)),
    3: np.log(mean_under_q(w)),
    4: mean_under_q(np.log(w)),
    5: mean_under_q(log_likelihood + log_prior - log_q),
    6: mean_under_q(log_likelihood) - mean_under_q(log_q - log_prior),
    7: mean_under_q(log_likelihood) - 0.5 * (0.6**2 + 0.6**2 - 1 - np.log(0.6**2)),
}
for number, value in lines.items():
    sign = ">=" if number == 4 else "= "
    print(f"({number}) {sign} {value:.6f}")

assert np.isclose(lines[1], log_px)
for number in (2, 3, 5, 6, 7):
    assert np.isclose(lines[number], lines[number - 1])
assert lines[4] < lines[3] - 0.01  # the one inequality, and here it is strict

K = 100_000  # the same by draws: lines (3) and (4) as averages
draws = 0.6 + 0.6 * np.random.default_rng(0).standard_normal(K)  # (K,)
log_w = log_normal(1.2, draws, 0.5) + log_normal(draws, 0, 1) - log_normal(draws, 0.6, 0.6)
for number, values, true in ((3, np.exp(log_w), np.exp(log_px)), (4, log_w, lines[4])):
    error = values.std() / np.sqrt(K)
    print(f"mean of line ({number}) over draws {values.mean():.4f} ± {error:.4f}", end="")
    print(f", true value {true:.4f}")
    assert abs(values.mean() - true) < 5 * error

# %% [markdown]
# ## Second derivation: an exact identity
#
# Jensen says that there is a gap, but not what it is. Start from the other end, from the KL between $q$ and the
# posterior:
#
# $$\begin{aligned}
# (8)\;\; && \mathrm{KL}(q(z \mid x) \,\Vert\, p(z \mid x)) &= \mathbb{E}_q[\log q(z \mid x) - \log p(z \mid x)]
#   && \text{definition} \\
# (9)\;\; && &= \mathbb{E}_q[\log q(z \mid x) - \log p(x, z) + \log p(x)] && \text{Bayes' rule} \\
# (10)\;\; && &= \mathbb{E}_q[\log q(z \mid x) - \log p(x, z)] + \log p(x)
#   && \log p(x) \text{ does not depend on } z \\
# (11)\;\; && &= -\mathrm{ELBO} + \log p(x) && \text{line (4), with the sign turned.}
# \end{aligned}$$
#
# Move the ELBO to the other side:
#
# $$\log p(x) = \mathrm{ELBO} + \mathrm{KL}(q(z \mid x) \,\Vert\, p(z \mid x)).$$
#
# This is an identity, for every $q$. A KL is never negative (page 04), so the ELBO is a lower bound: Jensen was not
# even needed. It is met exactly when $q$ *is* the posterior.
#
# > **Often said.** "We maximise an approximation of the likelihood", without a name.
# >
# > **What is true.** It has a name, the ELBO. It is a lower bound by Jensen, and the gap is exactly the KL from $q$
# > to the posterior.
# >
# > **Run this cell.** Each line again, and then the library, which has closed forms for any normal $q$.

# %% tags=["claim-06", "stumble-05"]
identity = {
    8: mean_under_q(log_q - log_posterior),
    9: mean_under_q(log_q - log_joint + log_px),
    10: mean_under_q(log_q - log_joint) + log_px,
    11: -lines[4] + log_px,
}
for number, value in identity.items():
    print(f"({number:2}) {value:.6f}")
print(
    f"ELBO {lines[7]:.6f} + KL to the posterior {identity[8]:.6f} = {lines[7] + identity[8]:.6f}"
)

for number in (9, 10, 11):
    assert np.isclose(identity[number], identity[number - 1])

mu, cov = np.array([[0.6]]), np.array([[0.36]])  # (B, Z), (Z, Z)
assert np.isclose(model.elbo(x, mu, cov)[0], lines[4])
assert np.isclose(model.gap(x, mu, cov)[0], identity[8])

rng = np.random.default_rng(1)
for _ in range(1000):  # any other q
    mu, cov = 2 * rng.standard_normal((1, 1)), np.exp(rng.standard_normal((1, 1)))
    elbo, gap = model.elbo(x, mu, cov)[0], model.gap(x, mu, cov)[0]
    assert np.isclose(elbo + gap, log_px)
    assert gap >= 0
assert np.isclose(model.elbo(x, *model.posterior(x))[0], log_px)  # and no gap at the posterior

# %% [markdown]
# ### The gap drawn
#
# *Before you look:* if only the mean of $q$ moves, where is the ELBO highest? And does it touch $\log p(x)$ if the
# standard deviation of $q$ is not that of the posterior?

# %%
means = np.linspace(-0.3, 2.2, 201)
true_mean, true_cov = model.posterior(x)
true_sigma = np.sqrt(true_cov[0, 0])

fig, ax = panels(height=3.2, xlabel="mean of q", ylabel="nats")
ax.set_title("The ELBO lies below log p(x), and the gap is a KL")
ax.axhline(log_px, color="black", linewidth=1.5)
ax.text(-0.28, log_px + 0.12, "log p(x)")
for sigma, colour, style, name in (
    (true_sigma, BLUE, "-", "that of the posterior"),
    (0.9, VERMILLION, "--", "0.9, too wide"),
):
    elbos = [model.elbo(x, np.array([[m]]), np.array([[sigma**2]]))[0] for m in means]
    ax.plot(means, elbos, style, color=colour, label=f"ELBO, standard deviation {name}")
    assert max(elbos) <= log_px + 1e-12
    assert abs(means[np.argmax(elbos)] - true_mean[0, 0]) < 0.02
ax.fill_between(means, elbos, log_px, color=VERMILLION, alpha=0.15)
arrow = {"arrowstyle": "<->", "color": VERMILLION}
ax.annotate("", (means[10], log_px), (means[10], elbos[10]), arrowprops=arrow)
ax.text(means[10] + 0.04, log_px - 0.7, "KL(q ‖ p(z|x))\nof the wide q", va="center")
ax.set_ylim(log_px - 5, log_px + 0.7)
ax.legend(frameon=False, loc="lower center")
show(
    fig,
    "A horizontal line at log p(x). Below it two curves over the mean of q: one with the"
    " posterior's width touches the line at the posterior's mean; a wider one stays below, and"
    " the space between is shaded as the KL.",
)

# %% [markdown]
# ## The two terms
#
# $$\mathrm{ELBO} = \underbrace{\mathbb{E}_q[\log p(x \mid z)]}_{\text{how well draws from } q \text{ explain } x}
#   - \underbrace{\mathrm{KL}(q(z \mid x) \,\Vert\, p(z))}_{\text{how far } q \text{ is from the prior}}$$
#
# > **Often said.** "The first term is the likelihood of the data."
# >
# > **What is true.** It is the *expected log*-likelihood: the mean under $q$ of a logarithm. The evidence $p(x)$,
# > also called the marginal likelihood, is a mean under the *prior*, and it has no logarithm inside.
# >
# > **Run this cell.** Four numbers that are taken for each other.

# %% tags=["claim-04"]
first_term = mean_under_q(log_likelihood)
at_mean = log_normal(1.2, 0.6, 0.5)  # log p(x|z) at z = the mean of q
log_of_mean = np.log(mean_under_q(np.exp(log_likelihood)))
numbers = {
    "E_q[log p(x|z)], the first term": first_term,
    "log p(x|z) at the mean of q": at_mean,
    "log E_q[p(x|z)]": log_of_mean,
    "log p(x), a mean under the prior": log_px,
}
for name, value in numbers.items():
    print(f"{name:34} {value:.4f}")

values = sorted(numbers.values())
assert np.diff(values).min() > 0.01  # all different
assert first_term < log_of_mean  # Jensen
closed = at_mean - 0.5 * 0.6**2 / 0.5**2  # the width of q costs sigma_q^2 / (2 sigma^2)
assert np.isclose(first_term, closed)

# %% [markdown]
# > **Often said.** "Maximise the first term and/or minimise the second."
# >
# > **What is true.** Only the sum is a bound. The first term alone gives an autoencoder: $q$ shrinks to a point at
# > the best code, and its KL grows without limit. The second alone gives a collapse: $q$ is the prior, whatever $x$
# > is.
# >
# > **Run this cell.** Here the best $q$ of each is known. The likelihood is highest at $z = x$, with no width at all.

# %% tags=["claim-05"]
kinds = {
    "first term alone, nearly": (1.2, 1e-6),
    "second term alone": (0.0, 1.0),
    "their sum": (true_mean[0, 0], true_sigma),
}
print(f"log p(x) = {log_px:.4f}")
print("optimised               E_q[log p(x|z)]      KL to prior       ELBO")
table = {}
for name, (m, sigma) in kinds.items():
    elbo = model.elbo(x, np.array([[m]]), np.array([[sigma**2]]))[0]
    to_prior = 0.5 * (m**2 + sigma**2 - 1 - np.log(sigma**2))
    table[name] = elbo + to_prior, to_prior, elbo
    print(f"{name:25} {elbo + to_prior:13.4f} {to_prior:16.4f} {elbo:10.4f}")

one, two, both = table.values()
assert one[0] > max(two[0], both[0])  # best at the first term,
assert two[1] < min(one[1], both[1])  # best at the second,
assert max(one[2], two[2]) < both[2] - 0.5  # and neither is near the bound of the sum
assert np.isclose(both[2], log_px)

# %% [markdown]
# ## A bent decoder, and an encoder
#
# In a VAE, $q(z \mid x) = \mathcal{N}(\mu, \sigma^2)$ comes from the **encoder**, a network that takes $x$ and
# returns $\mu$ and $\log \sigma^2$, each of the shape $(Z,)$. Its weights are called $\phi$. The weights of the
# decoder are called $\theta$. We train one on points around a circle: $D = 2$ and $Z = 1$, as on page 03. How the
# training works is the subject of the next pages. It raises the mean ELBO over the data, in $\phi$ and in $\theta$.

# %%
rng = np.random.default_rng(1)
noise = 0.25
points = circle(2060, rng, sigma=noise)  # (N, 2)
x_train, x_test = points[:2000], points[2000:]  # (2000, 2), (60, 2)


def make(seed):
    """An untrained VAE for points of the plane, with one latent."""
    rng = np.random.default_rng(seed)
    return VAE(2, (64, 32), 1, "relu", Gaussian(noise), rng=rng, dtype="float64")


vae = make(1)
how = {"optimizer": Adam(lr=1e-2), "rng": rng, "batch_size": 100}
history = fit(vae, x_train, x_test, epochs=60, binarise="none", progress=False, **how)
posterior = grid_posterior(vae, x_test, n=4001)
print(f"mean log p(x) of 60 new points: {posterior.log_px.mean():.3f} nats")
print(f"mean ELBO:                      {expected_elbo(vae, x_test).mean():.3f} nats")

assert posterior.error.max() < 1e-3
assert (expected_elbo(vae, x_test) < posterior.log_px + 1e-3).all()

# %% [markdown]
# `vae.objective(x, eps)` computes nll, kl and elbo with a *single* draw from $q$, made from the noise `eps`. Its mean
# over the noise is the ELBO. A single draw may lie above $\log p(x)$, so only the mean is a bound.

# %%
row = x_test[:1]  # (1, D)
K = 20_000
eps = np.random.default_rng(2).standard_normal((K, 1))  # (K, Z)
terms, _ = vae.objective(np.broadcast_to(row, (K, 2)), eps)
error = terms.elbo.std() / np.sqrt(K)
true = expected_elbo(vae, row)[0]  # by quadrature over eps
print(
    f"mean of {K:,} single draws {terms.elbo.mean():.4f} ± {error:.4f}; true value {true:.4f}"
)
above = (terms.elbo > posterior.log_px[0]).mean()
print(f"log p(x) = {posterior.log_px[0]:.4f}; share of single draws above it: {above:.0%}")

assert abs(terms.elbo.mean() - true) < 5 * error
assert true < posterior.log_px[0]
assert above > 0

# %% [markdown]
# ### What q approximates
#
# > **Often said.** "$q(x \mid z)$ approximates $p(x \mid z)$."
# >
# > **What is true.** $q(z \mid x)$ approximates the posterior $p(z \mid x)$: a density over $z$, for each $x$. The
# > likelihood $p(x \mid z)$ needs no approximation. The decoder *is* the likelihood.
# >
# > **Run this cell.** The encoder returns a density over $z$. It integrates to one over $z$, as the posterior does,
# > and for most points it lies close to it. The likelihood integrates to one over $x$.

# %% tags=["claim-01"]
mu, logvar, _ = vae.encode(x_test)  # (B, Z), (B, Z)
sigma = np.exp(logvar / 2)  # (B, Z)
grid = posterior.z[:, 0]  # (4001,)
q_rows = np.exp(log_normal(grid, mu, sigma))  # (B, 4001)  q(z|x), a row for each x
p_rows = np.exp(posterior.log_density)  # (B, 4001)  p(z|x)
assert np.allclose(q_rows.sum(axis=1) * posterior.cell, 1)
assert np.allclose(p_rows.sum(axis=1) * posterior.cell, 1)

axis, side = np.linspace(-4, 4, 401, retstep=True)
plane = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)  # (401 * 401, D)  many x
logits, _ = vae.decode(np.array([[0.5]]))  # (1, D)  the decoder at one z
nll, _ = vae.likelihood.nll(plane, np.broadcast_to(logits, plane.shape))
assert np.isclose(np.exp(-nll).sum() * side**2, 1)  # p(x|z): one over x

to_own = posterior.kl_from(mu, logvar)  # (B,)  KL(q(z|x) || p(z|x))
to_other = posterior.kl_from(np.roll(mu, 1, axis=0), np.roll(logvar, 1, axis=0))
print(f"KL of q(z|x) to the posterior of the same x: median {np.median(to_own):.3f} nats")
print(f"                 to that of the next point:  median {np.median(to_other):.1f} nats")
assert np.median(to_own) < 0.2
assert np.median(to_other) > 10 * np.median(to_own)

# %% [markdown]
# ### What the gap is made of
#
# The encoder's $q$ is a normal density with a diagonal covariance. Let $q^*$ be the best one of that family for this
# $x$, the one with the smallest KL to the posterior. Add and subtract its KL:
#
# $$\log p(x) - \mathrm{ELBO} = \underbrace{\mathrm{KL}(q^* \,\Vert\, p(z \mid x))}_{\text{approximation gap}}
#   + \underbrace{\mathrm{KL}(q \,\Vert\, p(z \mid x)) - \mathrm{KL}(q^* \,\Vert\, p(z \mid x))}_{\text{amortization
#   gap}} .$$
#
# - The **approximation gap** is what the family cannot do. A normal density with a diagonal covariance has one peak
#   and no slant.
# - The **amortization gap** is what the encoder has not learned. It answers for all $x$ with one network, and may be
#   off for this one.
#
# > **Often said.** "Give $q$ the same distribution as the posterior, and the bound is exact."
# >
# > **What is true.** The family does not contain the posterior, save in special cases. Something is left even for the
# > best $q$; the encoder leaves more.
# >
# > **Run this cell.** First the smallest example: a linear-Gaussian model with a slanted posterior, where the best
# > diagonal $q$ is known in closed form. Then the library's `split_gap` for 60 points on the bent decoder.

# %% tags=["claim-07"]
slanted = LinearGaussian(np.array([[1.0, 0.8], [0.0, 0.6], [0.5, 0.5]]), np.zeros(3), 0.5)
x_3 = np.array([[0.5, -1.0, 0.3]])
P = slanted.posterior_precision  # (Z, Z)  the inverse of the posterior's covariance
left = 0.5 * (np.log(np.diag(P)).sum() - np.log(np.linalg.det(P)))
print(f"slanted posterior, best diagonal q: {left:.4f} nats are left")
assert left > 0.1
assert np.isclose(slanted.gap(x_3, *slanted.best_diagonal(x_3))[0], left)

gap = split_gap(vae, x_test, posterior)  # each (B,)
print("bent decoder, nats, mean over 60 points:")
for name in ("log_px", "elbo", "approximation", "amortization"):
    print(f"  {name:14} {getattr(gap, name).mean():7.3f}")

assert np.allclose(gap.elbo + gap.approximation + gap.amortization, gap.log_px, atol=1e-3)
assert (gap.approximation > 0).all()
assert (gap.amortization > -1e-9).all()

# %%
order = np.argsort(gap.approximation + gap.amortization)
chosen = order[len(order) // 2], gap.approximation.argmax(), gap.amortization.argmax()
best_mu, best_logvar = best_gaussian(posterior, mu, logvar)
names = ("a point of the usual kind", "largest approximation gap", "largest amortization gap")
fig, axes = panels(3, height=3.0, xlabel="z", yticks=[])
for ax, i, name in zip(axes, chosen, names, strict=True):
    best = np.exp(log_normal(grid, best_mu[i], np.exp(best_logvar[i] / 2)))
    ax.fill_between(grid, p_rows[i], color="#CCCCCC", label="posterior p(z|x)")
    ax.plot(grid, best, "--", color=GREEN, label="best normal q*")
    ax.plot(grid, q_rows[i], color=VERMILLION, label="the encoder's q(z|x)")
    ax.set(xlim=(-3.5, 3.5), ylim=(0, 1.25 * max(p_rows[i].max(), best.max(), q_rows[i].max())))
    ax.set_title(name, fontsize=9)
    text = f"approximation {gap.approximation[i]:.2f}\namortization {gap.amortization[i]:.2f}"
    ax.text(0.03, 0.97, text, transform=ax.transAxes, va="top", fontsize=8)
axes[0].set_ylabel("density")
lines, labels = axes[0].get_legend_handles_labels()
fig.legend(lines, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
show(
    fig,
    "Three panels with the true posterior, the best normal density and the encoder's q. For a"
    " usual point all three nearly agree. The largest approximation gap belongs to a posterior that is"
    " far from a bell. The largest amortization gap belongs to a q away from the posterior.",
)

# %% [markdown]
# ## Both halves learn from the same bound
#
# > **Often said.** "Variational inference finds $q$, and that is what a VAE does."
# >
# > **What is true.** It is half of it. The same bound also trains the decoder's $\theta$, and that moves $\log p(x)$
# > itself. And classical variational inference searches a separate $q$ for each $x$; here one set of weights $\phi$
# > serves all $x$, also those never seen. This is called **amortization**.
# >
# > **Run this cell.** From the same start, train only $\phi$, only $\theta$, or both. With $\theta$ fixed, $\log
# > p(x)$ cannot move, and only the gap shrinks.


# %% tags=["claim-08"]
def train(part, steps=300):
    """Ascent on the mean ELBO in the weights whose names begin as part says; log p(x), ELBO."""
    model, rng, opt = make(3), np.random.default_rng(4), Adam(lr=1e-2)
    moving = {name: p for name, p in model.params.items() if name.startswith(part)}
    for _ in range(steps):
        batch = x_train[rng.integers(len(x_train), size=200)]  # (200, D)
        _, cache = model.objective(batch, model.draw_eps(200, rng))
        grads = model.backward(np.full(200, -1 / 200), cache)
        opt.step(moving, {name: grads[name] for name in moving})
    log_px = grid_posterior(model, x_test, n=4001).log_px
    return log_px.mean(), expected_elbo(model, x_test).mean()


phi, theta = ("encoder", "mu", "logvar"), ("decoder", "logits")
results = {
    "nothing": train(phi, steps=0),
    "phi alone": train(phi),
    "theta alone": train(theta),
    "both": train(phi + theta),
}
print("trained         log p(x)       ELBO        gap    (means, nats)")
for name, (log_px_mean, elbo) in results.items():
    print(f"{name:12} {log_px_mean:11.3f} {elbo:10.3f} {log_px_mean - elbo:10.3f}")

start, by_phi, by_theta, by_both = results.values()
assert by_phi[0] == start[0]  # theta has not moved, and so log p(x) has not
assert by_phi[1] > start[1]  # but the bound has come closer
assert by_theta[0] > start[0]
assert by_both[1] > max(by_phi[1], by_theta[1])

n_phi = sum(p.size for name, p in vae.params.items() if name.startswith(phi))
print(f"numbers to find: {n_phi:,} in phi for any number of points;")
print(f"a separate mean and log-variance for each of a million points: {2 * 10**6:,}")

# %% [markdown]
# Raising the ELBO does two things at once: it raises $\log p(x)$, and it closes the gap. In which proportion, nobody
# says.
#
# What remains is the gradient. The ELBO holds a mean over draws from $q$, and $q$ depends on $\phi$.
# [The next page](06_the_reparameterization_trick.ipynb) differentiates it.
#
# ## Recap
#
# 1. **Definition.** $\mathrm{ELBO} = \mathbb{E}_q[\log p(x, z) - \log q(z \mid x)] = \mathbb{E}_q[\log p(x \mid z)] -
#    \mathrm{KL}(q(z \mid x) \,\Vert\, p(z))$.
# 2. **Identity.** $\log p(x) = \mathrm{ELBO} + \mathrm{KL}(q(z \mid x) \,\Vert\, p(z \mid x))$, for every $q$.
# 3. **Two terms.** Expected log-likelihood minus KL to the prior; only their sum is a bound.
# 4. **The gap.** Approximation (the family) plus amortization (the encoder); zero only if $q$ is the posterior.
# 5. **Who learns.** $\phi$ closes the gap; $\theta$ moves $\log p(x)$ as well; both from the same bound.
#
# ## On your own
#
# 1. Which line of the first derivation becomes an equality if $q$ is the posterior, and why? Check it.
# 2. Write the ELBO as $\mathbb{E}_q[\log p(x, z)]$ plus the entropy of $q$, $-\mathbb{E}_q[\log q]$. Compute both for
#    the first model.
# 3. In the linear-Gaussian model, which $W$ leave no approximation gap for a diagonal $q$?
# 4. Take the encoder's $q$ at the point with the largest amortization gap, and improve it by gradient steps on this
#    one $x$. How much of the gap closes?
# 5. *A small project.* Put 2 instead of 1 in front of the KL and train again. Is the objective still a lower bound of
#    $\log p(x)$? And with 0.5?
#
# ## Further reading
#
# - Diederik Kingma and Max Welling, *Auto-Encoding Variational Bayes* (2014), arXiv 1312.6114, section 2.
# - Chris Cremer, Xuechen Li, David Duvenaud, *Inference Suboptimality in Variational Autoencoders* (2018), arXiv
#   1801.03558.
# - James Lucas and others, *Don't Blame the ELBO! A Linear VAE Perspective on Posterior Collapse* (2019), arXiv
#   1911.02469.
# - [The derivation page](../docs/derivations/03_elbo.md) on the ELBO.
#
# [Back: KL divergence](04_kl_divergence.ipynb) · [Contents](README.md) ·
# [Next: the reparameterization trick](06_the_reparameterization_trick.ipynb)
