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
# # 06 · The ELBO
#
# In general, page 03 could not compute $\log p(x)$, nor page 05 the KL to the posterior; here you derive a number that
# takes hold of both, the **ELBO**, as a bound and as an identity.
#
# **What you will do**
# - write the bound, its two terms, its gap and its loss;
# - draw $\log p(x)$, ELBO and gap along the training of a VAE.
#
# **What you will learn**
# - what lies between the ELBO and $\log p(x)$;
# - what raising the ELBO does, and every sign.
#
# **What you need**
# - pages 02 to 05. About 45 minutes with the blanks. It runs in ten seconds.

# %%
from importlib.util import find_spec

if find_spec("scratchvae") is None:
    raise SystemExit(
        "This page needs scratchvae; in the README's folder: pip install -r requirements.txt"
    )

import math

import numpy as np

from scratchvae import VAE, Adam, Gaussian
from scratchvae.checks import check_evidence
from scratchvae.data.toy import circle
from scratchvae.exact import LinearGaussian, best_gaussian, grid_posterior, piecewise_posterior
from scratchvae.exercises import check, hint, progress, solution, use  # noqa: F401
from scratchvae.view.notebook import panels, show

BLUE, VERMILLION, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#555555"

# %% [markdown]
# ## The logarithm of a mean
#
# Let $t > 0$ be random. Which is larger, the mean of its logarithm or the logarithm of its mean? Write both. Stuck?
# `hint("elbo.jensen")`.


# %% tags=["blank"]
def both_logs(p, t):
    """The mean of log t, and the logarithm of the mean of t; t[i] has the probability p[i], (N,) each."""
    raise NotImplementedError


check("elbo.jensen", both_logs)

# %% [markdown]
# **Jensen's inequality** answers. With $a = \mathbb{E}[t]$, the logarithm lies below its tangent at $a$:
# $\log t \le \log a + (t - a)/a$. In the mean the last term is $(\mathbb{E}[t] - a)/a = 0$, so
#
# $$\mathbb{E}[\log t] \le \log \mathbb{E}[t],$$
#
# with equality only if $t$ is constant. Their difference is the **gap**.
#
# *Before you run the cell:* A is 0.4 or 3.2, equally likely. B is 1, or 10,000 once in a million; its variance is 50
# times larger. Which has the wider gap?

# %% tags=["answer"]
logs_of = use("elbo.jensen", both_logs)
cases = {"A": ([0.5, 0.5], [0.4, 3.2]), "B": ([1 - 1e-6, 1e-6], [1.0, 1e4])}
between, variances = {}, {}
for name, (p, t) in cases.items():
    p, t = np.array(p), np.array(t)  # (2,) each
    mean_log, log_mean = logs_of(p, t)
    between[name], variances[name] = log_mean - mean_log, p @ t**2 - (p @ t) ** 2
    print(f"{name}: variance {variances[name]:5.1f}, gap {between[name]:.4f} nats")
t, a = np.linspace(0.12, 4, 300), 1.8  # (300,), and the mean of A
tangent = np.log(a) + (t - a) / a  # (300,)

assert (np.log(t) <= tangent).all()
# spoil: tangent = tangent - 0.01
assert min(between.values()) > 0
# spoil: between['A'] = -between['A']
assert variances["B"] > 50 * variances["A"]
# spoil: variances['B'] = variances['A']
assert between["A"] > 40 * between["B"]  # the variance does not decide
# spoil: between['B'] = between['A']

# %%
fig, ax = panels(height=2.7, xlabel="t", ylabel="log t", xlim=(0, 4))
ax.plot(t, np.log(t), color=BLUE, label="log t")
ax.plot(t, tangent, ":", color=GREY, label="tangent at the mean")
ax.plot([0.4, 3.2], np.log([0.4, 3.2]), "o--", color=VERMILLION, label="the two values of A")
ax.plot([a, a], [np.log([0.4, 3.2]).mean(), np.log(a)], color="black", lw=3, label="the gap")
ax.legend(frameon=False, loc="lower right")
show(
    fig,
    "The curve of log t, its tangent above it, and a line between two of its points. At the mean"
    " of the two the line lies below the curve; a thick bar marks the gap.",
)

# %% [markdown]
# ## First derivation: a bound
#
# Choose a density that we can compute and draw from, and call it $q(z \mid x)$: one density over $z$ for each $x$.
#
# $$\begin{aligned}
# (1)\;\; && \log p(x) &= \log \int p(x, z)\, dz && \text{sum rule} \\
# (2)\;\; && &= \log \int q(z \mid x)\, \frac{p(x, z)}{q(z \mid x)}\, dz && \text{multiply and divide by } q \\
# (3)\;\; && &= \log \mathbb{E}_q\!\left[ \frac{p(x, z)}{q(z \mid x)} \right] && \text{a mean under } q \\
# (4)\;\; && &\ge \mathbb{E}_q\!\left[ \log \frac{p(x, z)}{q(z \mid x)} \right] && \text{Jensen.}
# \end{aligned}$$
#
# Line (4) is the **evidence lower bound**, the ELBO. Nothing in it is out of reach: $p(x, z) = p(x \mid z)\, p(z)$.
# Line (2) has a condition: $q > 0$ wherever the joint is. Write the ELBO as a sum over a grid.


# %% tags=["blank"]
def bound(log_joint, log_q, step):
    """The ELBO of q, an integral as a sum over a grid of that step: (G,), (G,), a number -> a number."""
    raise NotImplementedError


check("elbo.bound", bound)

# %% [markdown]
# Our example is the measurement of page 02: $x = z + \text{noise} = 1.2$, the prior $\mathcal{N}(0, 1)$, noise of
# standard deviation 0.5. Variances add, so $p(x) = \mathcal{N}(1.2; 0, 1.25)$. Our $q$ is
# $\mathcal{N}(\mu, \sigma^2)$ with $\mu = \sigma = 0.6$.

# %%
x, noise = 1.2, 0.5
mu, sigma = 0.6, 0.6  # of q
z, step = np.linspace(-10, 10, 8001, retstep=True)  # (8001,)


def log_normal(value, mean, spread):
    """log N(value; mean, spread^2)."""
    return -0.5 * (((value - mean) / spread) ** 2 + np.log(2 * np.pi * spread**2))


def log_joint_at(z):
    """log p(x, z) of our x."""
    return log_normal(x, z, noise) + log_normal(z, 0, 1)


bound_of = use("elbo.bound", bound)


def elbo_of(mu, sigma):
    """The ELBO of N(mu, sigma^2), on a grid eight sigma to either side."""
    z, step = np.linspace(mu - 8 * sigma, mu + 8 * sigma, 2001, retstep=True)  # (2001,)
    return bound_of(log_joint_at(z), log_normal(z, mu, sigma), step)


log_px = log_normal(x, 0, np.sqrt(1 + noise**2))
log_joint = log_joint_at(z)  # (8001,)
elbo = elbo_of(mu, sigma)

# %% [markdown]
# > **Where people stumble.** Derivations skip lines, and a wrong step goes unnoticed.
# >
# > **Run this cell.** The lines by routes of their own. *Before that:* which fails if $q$ is uniform on $[0, 1]$?
# > Is (4) still a bound?

# %% tags=["stumble-05", "answer"]
K = 100_000
draws = mu + sigma * np.random.default_rng(0).standard_normal(K)  # (K,)
log_w = log_joint_at(draws) - log_normal(draws, mu, sigma)  # (K,)
w = np.exp(log_w)  # (K,)  p(x, z) / q(z|x)
by_grid = np.log(np.exp(log_joint).sum() * step)
error_3, error_4 = (values.std() / np.sqrt(K) for values in (w / w.mean(), log_w))
print(f"(1) {by_grid:.4f} on a grid, {log_px:.4f} in closed form")
print(f"(3) {np.log(w.mean()):.4f} ± {error_3:.4f} from draws")
print(f"(4) {log_w.mean():.4f} ± {error_4:.4f} from draws, {elbo:.4f} on the grid")
inside = (z > 0) & (z < 1)
log_uniform = np.full(inside.sum(), -np.log(inside.sum() * step))
uniform_3 = np.log(np.exp(log_joint[inside]).sum() * step)
uniform_4 = bound_of(log_joint[inside], log_uniform, step)
print(f"uniform q: (3) {uniform_3:.4f}, (4) {uniform_4:.4f}")

assert np.isclose(by_grid, log_px)
# spoil: by_grid += 1e-4
assert abs(np.log(w.mean()) - log_px) < 5 * error_3
# spoil: w = 1.05 * w
assert abs(log_w.mean() - elbo) < 5 * error_4 < 0.1
# spoil: elbo = log_px
assert elbo < log_px - 0.4  # the one inequality
# spoil: elbo = log_px
assert uniform_4 + 0.1 < uniform_3 < log_px - 0.5  # (2) fails, and the bound holds all the same
# spoil: uniform_3 = log_px

# %% [markdown]
# Where $q$ is zero, line (2) loses a part of the evidence, and (4) stays a bound.
#
# ## Two terms
#
# A VAE computes the ELBO in another form:
#
# $$\begin{aligned}
# \mathrm{ELBO} &= \mathbb{E}_q[\log p(x \mid z) + \log p(z) - \log q(z \mid x)] && \text{product rule in (4)} \\
# &= \mathbb{E}_q[\log p(x \mid z)] - \mathbb{E}_q[\log q(z \mid x) - \log p(z)] && \text{a mean is linear} \\
# &= \mathbb{E}_q[\log p(x \mid z)] - \mathrm{KL}(q(z \mid x) \,\Vert\, p(z)) && \text{definition of the KL.}
# \end{aligned}$$
#
# For our measurement both terms have a closed form.


# %% tags=["blank"]
def two_terms(mu, sigma, x, noise):
    """E_q[log p(x|z)] and KL(q || p(z)): q = N(mu, sigma^2), p(z) = N(0, 1), p(x|z) = N(x; z, noise^2)."""
    raise NotImplementedError


check("elbo.terms", two_terms)

# %% [markdown]
# > **Often said.** "The first term is the likelihood of the data."
# >
# > **What is true.** It is the *expected log*-likelihood under $q$. The evidence is a mean under the *prior*, with no
# > logarithm inside.
# >
# > **Run this cell.** *Before that:* which is the largest: $\mathbb{E}_q[\log p(x \mid z)]$, $\log p(x \mid \mu)$,
# > $\log \mathbb{E}_q[p(x \mid z)]$ or $\log p(x)$?

# %% tags=["claim-04", "answer"]
terms_of = use("elbo.terms", two_terms)
first, to_prior = terms_of(mu, sigma, x, noise)
numbers = {
    "E_q[log p(x|z)], the first term": first,
    "log p(x|z) at z = mu": log_normal(x, mu, noise),
    "log E_q[p(x|z)]": log_normal(x, mu, np.sqrt(sigma**2 + noise**2)),
    "log p(x) = log E_prior[p(x|z)]": log_px,
}
for name, value in numbers.items():
    print(f"{name:34} {value:.4f}")
print(f"first term - KL = {first:.4f} - {to_prior:.4f} = {first - to_prior:.4f}")

assert np.isclose(first - to_prior, elbo)  # closed form and grid
# spoil: to_prior = -to_prior
assert np.diff(sorted(numbers.values())).min() > 0.01
# spoil: numbers['log E_q[p(x|z)]'] = first
q_times_likelihood = np.exp(log_normal(z, mu, sigma) + log_normal(x, z, noise))  # (8001,)
assert np.isclose(numbers["log E_q[p(x|z)]"], np.log(q_times_likelihood.sum() * step))
# spoil: numbers['log E_q[p(x|z)]'] = first
prior_times_likelihood = np.exp(log_normal(z, 0, 1) + log_normal(x, z, noise))  # (8001,)
assert np.isclose(
    numbers["log p(x) = log E_prior[p(x|z)]"], np.log(prior_times_likelihood.sum() * step)
)
# spoil: prior_times_likelihood = q_times_likelihood

# %% [markdown]
# > **Often said.** "Maximise the first term and/or minimise the second."
# >
# > **What is true.** They pull apart, and a weight $\beta$ on the KL decides. The first minus $\beta\, \mathrm{KL}$ is
# > $\mathrm{ELBO} - (\beta - 1)\, \mathrm{KL}$: for $\beta \ge 1$ that is a bound, too, and never a higher one.
# >
# > **Run this cell.** It takes the best of 30,400 densities $q$. *Before that:* is it a bound for $\beta = 0.5$?

# %%
guess = None  # "yes" or "no"

# %% tags=["claim-05", "answer"]
tried = [(m, s) for m in np.linspace(0, 1.5, 76) for s in np.linspace(0.003, 1.2, 400)]
fits, kls = np.array([terms_of(m, s, x, noise) for m, s in tried]).T  # (76 * 400,) each
print(f"log p(x) = {log_px:.3f}; your guess: {guess}")
print(" beta    mu  sigma  first term      KL     ELBO  first - beta KL")
best = {}
for beta in (0, 0.5, 1, 2, 1000):
    i = np.argmax(fits - beta * kls)
    best[beta] = (*tried[i], fits[i], kls[i], fits[i] - kls[i], fits[i] - beta * kls[i])
    print("{:5} {:5.2f} {:6.3f} {:11.3f} {:7.3f} {:8.3f} {:16.3f}".format(beta, *best[beta]))

assert all(best[beta][5] > log_px + 0.2 for beta in (0, 0.5))  # no bound
# spoil: best[0.5] = best[2]
assert all(best[beta][5] < log_px + 1e-9 for beta in (1, 2, 1000))  # a bound
# spoil: best[2] = best[0.5]
assert max(v[4] for beta, v in best.items() if beta != 1) < best[1][4] - 0.05
# spoil: best[1] = best[2]
for beta, (m, s, *_) in best.items():  # where both slopes are zero, by hand
    by_hand = x / (1 + beta * noise**2), np.sqrt(beta / (1 / noise**2 + beta))
    assert np.allclose((m, s), by_hand, atol=0.011)
    # spoil: s = s + 0.02

# %% [markdown]
# The first term alone makes $q$ a point, as in an autoencoder. The second alone makes it the prior, whatever $x$ is.
#
# ## Second derivation: an identity
#
# Jensen does not say what is lost. Start from the KL that page 05 asked for:
#
# $$\begin{aligned}
# \mathrm{KL}(q(z \mid x) \,\Vert\, p(z \mid x)) &= \mathbb{E}_q[\log q(z \mid x) - \log p(z \mid x)]
#   && \text{definition} \\
# &= \mathbb{E}_q[\log q(z \mid x) - \log p(x, z) + \log p(x)] && \text{Bayes' rule} \\
# &= \mathbb{E}_q[\log q(z \mid x) - \log p(x, z)] + \log p(x) && \log p(x) \text{ holds no } z \\
# &= -\mathrm{ELBO} + \log p(x) && \text{line (4).}
# \end{aligned}$$
#
# $$\log p(x) = \mathrm{ELBO} + \mathrm{KL}(q(z \mid x) \,\Vert\, p(z \mid x)) \quad \text{for every } q.$$
#
# Page 05 was off by minus this $\log p(x)$. So we *can* compare this KL between densities $q$: it is lowest where the
# ELBO is highest. For our measurement page 02 has found the posterior, $\mathcal{N}(0.96, 0.2)$. Write the gap for any
# $x$ and noise.


# %% tags=["blank"]
def gap_of(mu, sigma, x, noise):
    """log p(x) - ELBO of q = N(mu, sigma^2), as a KL; p(z) = N(0, 1), p(x|z) = N(x; z, noise^2)."""
    raise NotImplementedError


check("elbo.gap", gap_of)

# %% [markdown]
# > **Often said.** "We maximise an approximation of the likelihood."
# >
# > **What is true.** It is a bound on the log *evidence*, whose gap is exactly a KL, zero only if $q$ is the posterior.
# >
# > **Run this cell.** A thousand random $q$: ELBO on the grid plus gap in closed form.

# %% tags=["claim-06", "stumble-05"]
gap_at = use("elbo.gap", gap_of)
rng = np.random.default_rng(1)
pairs = np.stack([rng.uniform(-2, 3, 1000), np.exp(rng.uniform(-2, 0.5, 1000))], axis=1)
# (1000, 2)  mu and sigma
elbos = np.array([elbo_of(*pair) for pair in pairs])  # (1000,)
gaps = np.array([gap_at(*pair, x, noise) for pair in pairs])  # (1000,)
print(f"log p(x) = {log_px:.6f}")
print(f"ELBO + gap lies between {(elbos + gaps).min():.6f} and {(elbos + gaps).max():.6f}")
print(f"the gap between {gaps.min():.4f} and {gaps.max():.1f}")
at_posterior = elbo_of(0.96, np.sqrt(0.2))

assert np.allclose(elbos + gaps, log_px)
# spoil: gaps = gaps * 1.001
assert elbos.max() < log_px
# spoil: elbos[7] = log_px
assert np.isclose(at_posterior, log_px)
# spoil: at_posterior = elbos.max()
assert np.isclose(-log_px, 1.6065, atol=5e-5)  # by which page 05 was off
# spoil: log_px = -log_px

# %% [markdown]
# > **Often said.** "Training minimises *the* KL."
# >
# > **What is true.** There are two: to the *posterior*, the gap, and to the *prior*, in the ELBO. While the model stays
# > as it is, only one must fall as the ELBO rises.
# >
# > **Run this cell.** From $q$ at the prior it climbs the ELBO, whose slopes are $(x - \mu)/\text{noise}^2 - \mu$ in
# > $\mu$ and $\tfrac12 (1 - \sigma^2/\text{noise}^2 - \sigma^2)$ in $\log \sigma^2$: the derivatives of your two
# > terms. *Before that:* which of the two KLs falls?

# %%
guess = None  # "posterior", "prior", "both" or "neither"

# %% tags=["claim-03", "answer"]
m, logvar, steps = 0.0, 0.0, []
for _ in range(80):
    variance = np.exp(logvar)
    first, to_prior = terms_of(m, np.sqrt(variance), x, noise)
    steps.append((first - to_prior, gap_at(m, np.sqrt(variance), x, noise), to_prior))
    m += 0.03 * ((x - m) / noise**2 - m)
    logvar += 0.03 * 0.5 * (1 - variance / noise**2 - variance)
steps = np.array(steps)  # (80, 3)
print("your guess:", guess)
for k in (0, 5, 20, 79):
    print("step {:2}: ELBO {:.3f}, KL to posterior {:.3f}, prior {:.3f}".format(k, *steps[k]))

assert (np.diff(steps[:, 0]) > 0).all()
# spoil: steps[7, 0] += 1
assert (np.diff(steps[:, 1]) < 0).all()  # the KL to the posterior falls
# spoil: steps[:, 1] = steps[:, 2]
assert (np.diff(steps[:, 2]) > 0).all()  # that to the prior grows
# spoil: steps[:, 2] = steps[:, 1]
assert np.allclose(steps[:, 0] + steps[:, 1], log_px)
# spoil: steps[:, 1] = steps[:, 2]
growth = np.diff(steps[:, 2])  # (79,)  first more and more, then less and less
assert 0 < growth.argmax() < 10
# spoil: growth = growth[::-1]
assert (np.diff(growth[growth.argmax() :]) < 0).all()
# spoil: growth[50] += 0.01

# %%
fig, (ax, bx) = panels(2, height=3.0, ylabel="nats")
means = np.linspace(-0.3, 2.2, 101)  # (101,)
ax.axhline(log_px, color="black", linewidth=1.5)
ax.text(0.96, log_px + 0.12, "log p(x)", ha="center")
for spread, colour, style in ((np.sqrt(0.2), BLUE, "-"), (0.9, VERMILLION, "--")):
    curve = [elbo_of(one, spread) for one in means]
    ax.plot(means, curve, style, color=colour, label=f"ELBO, σ = {spread:.2f}")
ax.fill_between(means, curve, log_px, color=VERMILLION, alpha=0.15, label="gap of the wide q")
ax.set(xlabel="μ, the mean of q", ylim=(log_px - 5, log_px + 0.7), title="The gap is a KL")
ax.legend(frameon=False, fontsize=8, loc="lower center")
bx.plot(steps[:, 1], color=BLUE, label="KL to the posterior: the gap")
bx.plot(steps[:, 2], "--", color=VERMILLION, label="KL to the prior: in the ELBO")
bx.set(
    xlabel="step of ascent on the ELBO", ylim=(0, None), title="One KL falls, the other grows"
)
bx.legend(frameon=False, fontsize=8)
show(
    fig,
    "Left: a horizontal line at log p(x); the ELBO over the mean of q touches it for the"
    " posterior's width and stays below it for a wider q. Right: the KL to the posterior falls to"
    " nearly zero, the KL to the prior rises from zero, faster at first, then ever more slowly.",
)

# %% [markdown]
# ## One draw, and the signs
#
# For most networks the first term has no closed form. It is estimated from draws of $z$ from $q$, often a single one:
#
# - `nll` $= -\log p(x \mid z)$ at the draw: smaller is better;
# - `kl` $= \mathrm{KL}(q(z \mid x) \,\Vert\, p(z))$, in closed form: smaller is cheaper;
# - `elbo` $= -$ `nll` $-$ `kl`: larger is better, and its *expectation* over draws is the ELBO.
#
# *Write down a guess:* our $q$'s ELBO lies 0.43 nats below $\log p(x)$. Which share of the single draws does?

# %%
guess = None  # a number between 0 and 1

# %% tags=["answer"]
first, to_prior = terms_of(mu, sigma, x, noise)
one_draw = log_normal(x, draws, noise) - to_prior  # (K,)  -nll - kl
share = (one_draw < log_px).mean()
print(
    f"mean {one_draw.mean():.4f}, log p(x) {log_px:.4f}, below it {share:.1%}; guess: {guess}"
)

# A draw lies above log p(x) if z is nearer to x than this; the share below, in closed form:
near = noise * np.sqrt(2 * (log_normal(x, x, noise) - to_prior - log_px))
low, high = ((x + side * near - mu) / (sigma * math.sqrt(2)) for side in (-1, 1))
exact = 1 - (math.erf(high) - math.erf(low)) / 2

assert abs(share - exact) < 5 * np.sqrt(exact * (1 - exact) / K)
# spoil: share = 1 - share
assert share < 0.5  # most lie above,
# spoil: share = 1 - share
assert first - to_prior < log_px - 0.4  # and the expectation below
# spoil: to_prior = -to_prior
of_ten = (one_draw.reshape(-1, 10).mean(axis=1) > log_px).mean()
print(f"of the means of ten draws {of_ten:.1%} lie above")
assert 0.02 < of_ten < 0.5  # a mean of a few is not bounded either
# spoil: of_ten = 0

# %% [markdown]
# Most single draws *exceed* $\log p(x)$ here, and some means of ten; others lie far below, and pull the expectation
# down.
#
# What is *minimised* is a loss. Write it.


# %% tags=["blank"]
def loss(log_likelihood, kl):
    """What is minimised, the mean of -ELBO over B examples with K draws each: (B, K), (B,) -> a number."""
    raise NotImplementedError


check("elbo.loss", loss)

# %% [markdown]
# > **Where people stumble.** Flip the sign of the KL, and the number still looks like a bound. (The usual
# > `-0.5*sum(1 + logvar - mu**2 - exp(logvar))`, with `logvar` $= \log \sigma^2$, *is* the KL: the minus turns the
# > bracket around.)
# >
# > **Run this cell.** For 2,000 random $x$ and $q$: how often does each pair of signs lie below $\log p(x)$?

# %% tags=["stumble-03", "answer"]
rng = np.random.default_rng(6)
signs = {"-nll - kl": (-1, -1), "-nll + kl": (-1, 1), " nll - kl": (1, -1), " nll + kl": (1, 1)}
below, difference, shows, close = dict.fromkeys(signs, 0), 0.0, [], []
for _ in range(2000):
    point, m, logvar = np.sqrt(1 + noise**2) * rng.standard_normal(), *rng.standard_normal(2)
    first, kl = terms_of(m, np.exp(logvar / 2), point, noise)
    as_written = -0.5 * (1 + logvar - m**2 - np.exp(logvar))
    difference = max(difference, abs(as_written - kl))
    evidence = log_normal(point, 0, np.sqrt(1 + noise**2))
    for name, (a, b) in signs.items():
        below[name] += -a * first + b * kl <= evidence
    shows.append(first + kl > evidence)
    close.append(gap_at(m, np.exp(logvar / 2), point, noise) < 2 * kl)
print(*(f"{name}: {count / 2000:.0%}" for name, count in below.items()), sep="\n")

assert difference < 1e-12
# spoil: difference = abs(as_written + kl)
assert below["-nll - kl"] == 2000
# spoil: below['-nll - kl'] -= 1
assert 1000 < below["-nll + kl"] < 2000
# spoil: below['-nll + kl'] = 2000
assert below[" nll + kl"] == 0 <= below[" nll - kl"] < 20  # the latter is rare
# spoil: below[' nll - kl'] = 20
assert shows == close  # above log p(x) exactly where the gap is below 2 kl
# spoil: close[shows.index(True)] = False
for m, s in ((0.96, np.sqrt(0.2)), (mu, 1e-3)):  # the posterior, and a q that is narrow enough
    first, kl = terms_of(m, s, x, noise)
    assert first + kl > log_px + 0.5
    # spoil: kl = -kl
far = [sum(terms_of(-3.0, s, x, noise)) for s in (1e-3, 1e-20)]  # first + kl, of two widths
assert far[0] < log_px < far[1]  # how narrow is enough depends on the mean of q
# spoil: far = far[::-1]

# %% [markdown]
# Treacherous is `-nll + kl`, the ELBO plus 2 `kl`: it exceeds $\log p(x)$ exactly where the gap is below 2 `kl`, as at
# the posterior, or once $q$ is narrow enough. The library's checker integrates over a grid, and names the cause.


# %% tags=["stumble-03"]
class Flipped(VAE):
    """A VAE whose ELBO has the wrong sign at the KL."""

    def objective(self, x, eps):  # eps makes the draws, see page 07
        terms, cache = super().objective(x, eps)
        wrong = -terms.nll + terms.kl
        return terms._replace(elbo=wrong, objective=wrong), cache


rows, causes = np.random.default_rng(4).standard_normal((4, 3)), {}  # (B, D)
for kind in (VAE, Flipped):
    vae = kind(3, (8,), 1, "tanh", Gaussian(0.6), rng=np.random.default_rng(5), dtype="float64")
    causes[kind] = [finding.cause for finding in check_evidence(vae, rows).findings]
    print(f"{kind.__name__:8} causes named: {causes[kind]}")

assert causes == {VAE: [], Flipped: ["sign"]}
# spoil: causes[VAE] = ['sign']

# %% [markdown]
# ## In a VAE: two halves, one bound
#
# Here $q(z \mid x) = \mathcal{N}(\mu, \sigma^2)$ comes from the **encoder**, a network that takes $x$ and
# returns $\mu$ and $\log \sigma^2$. Its weights $\phi$ serve all $x$, also those never seen: **amortization**. The
# **decoder**, with the weights $\theta$, gives $p(x \mid z)$. Both climb the mean ELBO; later pages say how. The
# data are points around a circle, $D = 2$ and $Z = 1$. The decoder is made of straight pieces, and $\log p(x)$ is
# [a finite sum](derivations/10_relu_decoder.ipynb) over them.

# %%
points = circle(2060, np.random.default_rng(1), sigma=0.25)  # (N, D)
x_train, x_test = points[:2000], points[2000:]  # (2000, 2), (60, 2)
eps = np.linspace(-6, 6, 241)  # (241,)  a grid for the mean over the noise


def measure(vae):
    """Means over the test points: log p(x), a sum over its linear pieces, and the ELBO."""
    mus, logvars, _ = vae.encode(x_test)  # (60, 1) each
    logits, _ = vae.decode((mus + np.exp(logvars / 2) * eps).reshape(-1, 1))  # (60 * 241, D)
    nll, _ = vae.likelihood.nll(np.repeat(x_test, len(eps), axis=0), logits)
    weights = np.exp(-0.5 * eps**2) / np.exp(-0.5 * eps**2).sum()  # (241,)
    to_prior = 0.5 * (mus**2 + np.exp(logvars) - 1 - logvars)[:, 0]  # (60,)
    by_row = -nll.reshape(60, -1) @ weights - to_prior  # (60,)
    return piecewise_posterior(vae, x_test).log_px.mean(), by_row.mean()


# %%
def train(part, n_steps, every=None):
    """A VAE after n_steps of ascent on the ELBO in the weights named; (step, log p(x), ELBO) on the way."""
    rng = np.random.default_rng(7)
    vae = VAE(2, (64, 32), 1, "relu", Gaussian(0.25), rng=rng, dtype="float64")
    moving = {name: p for name, p in vae.params.items() if name.startswith(part)}
    adam, record = Adam(lr=1e-2), []
    for k in range(n_steps):
        if every and k % every == 0 and k <= 300:
            record.append((k, *measure(vae)))
        batch = x_train[rng.integers(2000, size=200)]  # (B, D)
        _, cache = vae.objective(batch, vae.draw_eps(200, rng))
        grads = vae.backward(np.full(200, -1 / 200), cache)
        adam.step(moving, {name: grads[name] for name in moving})
    return vae, np.array(record)


# %% [markdown]
# > **Often said.** "Variational inference finds $q$, and that is what a VAE does."
# >
# > **What is true.** It is half of it: $\theta$ learns from the same bound.
# >
# > **Run this cell.** 300 steps in $\phi$ alone, in $\theta$ alone, in both. *Before that:* when does $\log p(x)$
# > stand still?

# %% tags=["claim-08", "answer"]
phi, theta = ("encoder", "mu", "logvar"), ("decoder", "logits")
halves = {"nothing": (phi, 0), "phi alone": (phi, 300), "theta alone": (theta, 300)}
halves["both"] = (phi + theta, 300)
results = {name: measure(train(*one)[0]) for name, one in halves.items()}
print("trained       log p(x)     ELBO      gap   (means over 60 points, nats)")
for name, (above, under) in results.items():
    print(f"{name:12} {above:9.3f} {under:8.3f} {above - under:8.3f}")

start, by_phi, by_theta, by_both = results.values()
assert by_phi[0] == start[0]  # theta has not moved, and so log p(x) has not
# spoil: by_phi = by_theta
assert by_phi[0] - by_phi[1] < (start[0] - start[1]) / 2  # but the bound has come closer
# spoil: by_phi = start
assert abs(by_theta[0] - start[0]) > 0.1  # up or down: the page comes to that
# spoil: by_theta = start
assert by_both[1] > max(by_phi[1], by_theta[1])
# spoil: by_both = by_theta

# %% [markdown]
# > **Often said.** "Raising the ELBO raises $\log p(x)$ and closes the gap."
# >
# > **What is true.** It raises $\log p(x)$ minus the gap. *Write down a guess:* while the ELBO rises, can the gap grow?
# > Can $\log p(x)$ fall?

# %%
guess = None  # for example ("yes", "no")

# %% tags=["answer"]
vae, record = train(phi + theta, 1200, every=10)
at, above, under = record.T  # (31,) each: step, log p(x), ELBO
along = above - under  # (31,)  the gap
begin, end = 3, 6  # steps 30 to 60
print("your guess:", guess)
print("step  log p(x)     ELBO      gap")
for i in range(begin, end + 1):
    print(f"{at[i]:4.0f} {above[i]:9.2f} {under[i]:8.2f} {along[i]:8.2f}")

assert (np.diff(under[begin : end + 1]) > 0).all()  # every tenth step it is higher,
# spoil: under[end] = under[begin]
assert (np.diff(along[begin : end + 1]) > 0).all()  # and the gap grows
# spoil: along[end] = along[begin]
assert along[end] > along[begin] + 0.5
# spoil: along[end] = along[begin]

# %% tags=["answer"]
fig, (ax, bx) = panels(2, height=3.1, xlabel="step of training", xlim=(0, 300))
ax.plot(at, above, color="black", label="log p(x)")
ax.plot(at, under, "--", color=BLUE, label="ELBO")
ax.fill_between(at, under, above, color=GREY, alpha=0.2, label="gap")
ax.set(ylim=(-9, -1.5), ylabel="nats, mean over 60 points", title="log p(x), ELBO and gap")
ax.legend(frameon=False, fontsize=8, loc="lower right")
bx.plot(at, along, color=GREY)
bx.set(ylim=(0, 2), title="The gap alone")
for one in (ax, bx):
    one.axvspan(at[begin], at[end], color=VERMILLION, alpha=0.25, linewidth=0)
bx.text(66, 1.75, "here the ELBO rises\nand the gap grows", color=VERMILLION, fontsize=9)
show(
    fig,
    "Left: log p(x) and the ELBO against the step; both rise, with ups and downs, and the space"
    " between them is the gap. Right: the gap alone falls steeply, then goes up and down between"
    " 0.4 and 1.5 nats. A band from step 30 to 60 marks where it grows while the ELBO rises.",
)

# %% [markdown]
# For the second question give our measurement a decoder with one weight $\theta$: $x = \theta z + \text{noise}$, so
# $p(x) = \mathcal{N}(1.2; 0, \theta^2 + 0.25)$. Keep $q$ at the prior, and raise the ELBO in $\theta$, from
# $\theta = 1$.

# %%
thetas = np.linspace(-1, 1, 201)  # (201,)
log_priors = log_normal(z, 0, 1)  # (8001,)  and log q
bounds = np.array(
    [bound_of(log_normal(x, one * z, noise) + log_priors, log_priors, step) for one in thetas]
)
log_pxs = log_normal(x, 0, np.sqrt(thetas**2 + noise**2))  # (201,)
top = bounds.argmax()
for i in (200, top):
    print(f"theta = {thetas[i]:.2f}: ELBO {bounds[i]:.3f}, log p(x) {log_pxs[i]:.3f}")

assert abs(thetas[top]) < 1e-9
# spoil: top = 200
assert bounds[top] > bounds[200] + 1.9
# spoil: top = 200
assert log_pxs[top] < log_pxs[200] - 1.4
# spoil: top = 200
assert np.isclose(log_pxs[top], bounds[top])  # and the gap is closed
# spoil: top = 200

# %% [markdown]
# The decoder stops using $z$. Then the posterior is the prior, as $q$ is: the gap has closed as the *model* got worse.
#
# ## What the gap is made of
#
# > **Often said.** "$q(x \mid z)$ approximates $p(x \mid z)$."
# >
# > **What is true.** $q(z \mid x)$ approximates the posterior $p(z \mid x)$. The likelihood, a density over $x$, needs
# > no approximation: the decoder *is* the likelihood.
# >
# > **Run this cell.** The KL from $q(z \mid x)$ to the posterior of the same $x$, and to that of another.

# %% tags=["claim-01"]
posterior = grid_posterior(vae, x_test, n=2001)  # its z (2001, 1), log_density (60, 2001)
mus, logvars, _ = vae.encode(x_test)  # (60, 1) each
own = posterior.kl_from(mus, logvars)  # (60,)
other = posterior.kl_from(np.roll(mus, 1, axis=0), np.roll(logvars, 1, axis=0))  # (60,)
print(f"median KL to the own posterior {np.median(own):.3f}, to another {np.median(other):.1f}")
log_px_mean, elbo_mean = measure(vae)

assert 2 * np.median(own) < 1 < np.median(other)
# spoil: own = other
assert np.isclose(log_px_mean - elbo_mean, own.mean(), rtol=0.02, atol=0.002)  # the identity
# spoil: own = 1.1 * own

plane = np.stack(np.meshgrid(*[np.linspace(-4, 4, 201)] * 2), axis=-1).reshape(-1, 2)  # many x
logits, _ = vae.decode(np.array([[0.5]]))  # (1, D)  at one z
nll, _ = vae.likelihood.nll(plane, np.broadcast_to(logits, plane.shape))
over_x = np.exp(-nll).sum() * 0.04**2
assert np.isclose(over_x, 1)  # p(x|z) is a density over x
# spoil: over_x *= 1.01

# %% [markdown]
# Our encoder's $q$ is a normal density with a diagonal covariance. Let $q^*$ be the best one of that family for this
# $x$. Add and subtract its KL:
#
# $$\log p(x) - \mathrm{ELBO} = \underbrace{\mathrm{KL}(q^* \,\Vert\, p(z \mid x))}_{\text{approximation gap}}
#   + \underbrace{\mathrm{KL}(q \,\Vert\, p(z \mid x)) -
#   \mathrm{KL}(q^* \,\Vert\, p(z \mid x))}_{\text{amortization gap}} .$$
#
# The first is what the family cannot do, the second what the encoder has not learned.
#
# > **Often said.** "Give $q$ the same distribution as the posterior, and the bound is exact."
# >
# > **What is true.** It would be. But the family holds the posterior in special cases alone.
# >
# > **Run this cell.** This linear model with two latents has a slanted posterior of precision $P$. The best
# > diagonal $q$ leaves $\tfrac12 (\sum_j \log P_{jj} - \log \det P)$; 2,000 others leave more.

# %% tags=["claim-07"]
slanted = LinearGaussian(np.array([[1.0, 0.8], [0.0, 0.6], [0.5, 0.5]]), np.zeros(3), 0.5)
x_3 = np.array([[0.5, -1.0, 0.3]])  # (1, D)
P = slanted.posterior_precision  # (Z, Z)
left = 0.5 * (np.log(np.diag(P)).sum() - np.log(np.linalg.det(P)))
mean, _ = slanted.posterior(x_3)  # (1, Z)
rng, others = np.random.default_rng(7), []
for scale in np.geomspace(0.001, 1, 2000):
    spread = np.diag(np.exp(scale * rng.standard_normal(2)) / np.diag(P))  # (Z, Z)
    others.append(slanted.gap(x_3, mean + scale * rng.standard_normal((1, 2)), spread)[0])
print(
    f"left by the best diagonal q: {left:.4f} nats; by 2,000 others: {min(others):.4f} or more"
)

assert left > 0.1
# spoil: left = 0
assert min(others) >= left - 1e-12
# spoil: left = left + 0.01
assert min(others) < left + 1e-4
# spoil: left = left - 0.01

# %% [markdown]
# For the bent decoder descent to $q^*$ may end on the smaller of two peaks, as on page 05. So we try 2,130 normal
# densities for each point, and descend from the best. *Before you run the cell:* which part of the gap is larger here?

# %% tags=["answer"]
grid, cell = posterior.z[:, 0], posterior.cell  # (2001,)
m, s = (v.ravel() for v in np.meshgrid(np.linspace(-3.5, 3.5, 71), np.geomspace(0.03, 1.5, 30)))
log_qs = log_normal(grid, m[:, None], s[:, None])  # (2130, 2001)  a row for each q
qs = np.exp(log_qs) * cell  # (2130, 2001)
kl_table = (qs * log_qs).sum(axis=1)[:, None] - qs @ posterior.log_density.T  # (2130, 60)  nats
start = kl_table.argmin(axis=0)  # (60,)
best_mu, best_logvar = best_gaussian(posterior, m[start, None], 2 * np.log(s[start, None]))
approximation = posterior.kl_from(best_mu, best_logvar)  # (60,)
amortization = own - approximation  # (60,)
local_mu, local_logvar = best_gaussian(posterior, mus, logvars)  # descent from the encoder's q
from_encoder = posterior.kl_from(local_mu, local_logvar)  # (60,)
sides = [
    best_gaussian(posterior, np.full((60, 1), one), logvars * 0 - 2) for one in (-1.5, 1.5)
]
left, right = (posterior.kl_from(*side) for side in sides)  # (60,) each: from two starts
print(f"approximation gap {approximation.mean():.3f}, amortization {amortization.mean():.3f}")
n = (from_encoder > approximation + 0.05).sum()
print(f"descent from the encoder's q stops elsewhere at {n} of 60, there at most", end="")
print(f" {(from_encoder - approximation).max():.2f} nats above")
print(f"descents from -1.5 and 1.5 differ by up to {abs(left - right).max():.2f} nats")

assert (approximation < kl_table.min(axis=0) + 1e-9).all()  # no q of the table is better,
# spoil: approximation = np.maximum(left, right)
assert (approximation < np.minimum(left, right) + 1e-3).all()  # no end of a descent is
# spoil: approximation = np.maximum(left, right)
assert abs(left - right).max() > 0.2
# spoil: left = right
assert amortization.mean() > approximation.mean()  # here
# spoil: amortization = -amortization

# %%
chosen = np.argsort(own)[[30, -2, -1]]
names = ("a point in the middle", "the second largest gap", "the largest gap")
fig, axes = panels(3, height=3.0, xlabel="z", yticks=[])
for ax, i, name in zip(axes, chosen, names, strict=True):
    ax.fill_between(grid, np.exp(posterior.log_density[i]), color="#CCCCCC", label="posterior")
    for mean, log_variance, style, colour, label in (
        (mus[i], logvars[i], "-", VERMILLION, "the encoder's q"),
        (best_mu[i], best_logvar[i], "--", GREEN, "best normal q*"),
        (local_mu[i], local_logvar[i], ":", "black", "descent from the encoder's q"),
    ):
        density = np.exp(log_normal(grid, mean, np.exp(log_variance / 2)))
        ax.plot(grid, density, style, color=colour, label=label)
    ax.set(xlim=(-3.5, 3.5), ylim=(0, 1.4 * ax.get_ylim()[1]))
    ax.set_title(name, fontsize=9)
    text = f"approximation {approximation[i]:.2f}\namortization {amortization[i]:.2f}"
    ax.text(0.03, 0.97, text, transform=ax.transAxes, va="top", fontsize=8)
lines, labels = axes[0].get_legend_handles_labels()
fig.legend(lines, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=8)
show(
    fig,
    "Three panels with a posterior and three normal densities. In the middle of the 60 points all"
    " nearly agree. At the second largest gap the posterior has a large and a small peak; q* sits on"
    " the large one, the encoder's q a little to its right. At the largest gap q* sits on the higher"
    " peak; the encoder's q, and the descent from it, sit on the lower one.",
)

# %% [markdown]
# ## Your progress

# %%
progress("elbo")

# %% [markdown]
# What remains is the slope of the ELBO, a mean over draws from $q$.
#
# ## Recap
#
# 1. **Definition.** $\mathrm{ELBO} = \mathbb{E}_q[\log p(x, z) - \log q(z \mid x)]$: the expected log-likelihood
#    minus the KL to the prior.
# 2. **Identity.** $\log p(x) = \mathrm{ELBO} + \mathrm{KL}(q(z \mid x) \,\Vert\, p(z \mid x))$, for every $q$.
# 3. **Signs.** `elbo = -nll - kl`, and the loss is `nll + kl`. The expectation over draws is bounded by $\log p(x)$; a
#    draw, or the mean of a few, is not.
# 4. **The gap.** Approximation (the family) plus amortization (the encoder); zero only if $q$ is the posterior.
# 5. **Who learns.** $\phi$ moves the gap, not $\log p(x)$; $\theta$ both. A rising ELBO promises neither a smaller gap
#    nor a larger $\log p(x)$.
#
# ## On your own
#
# 1. Which line of the first derivation becomes an equality if $q$ is the posterior, and why?
# 2. For which $q$ does $\log p(x, z) - \log q(z \mid x)$ not scatter at all? And `elbo`?
# 3. Train with ten other seeds. In how many does the gap grow by 0.3 while the ELBO rises?
# 4. *A small project.* Take the point with the largest amortization gap, and climb its ELBO in $\mu$ and $\sigma$.
#
# ## Further reading
#
# - Diederik Kingma and Max Welling, *Auto-Encoding Variational Bayes* (2014), arXiv 1312.6114, section 2.
# - Chris Cremer, Xuechen Li, David Duvenaud, *Inference Suboptimality in Variational Autoencoders* (2018), arXiv
#   1801.03558.
# - [The derivation page](derivations/03_elbo.ipynb) on the ELBO.
#
# [Back: KL divergence](05_kl_divergence.ipynb) · [Contents](README.md) ·
# [Next: the reparameterization trick](07_the_reparameterization_trick.ipynb)
