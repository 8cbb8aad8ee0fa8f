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
# # 06 · The reparameterization trick
#
# The ELBO holds an expectation over $z$, and $z$ is drawn at random. To train the encoder we need the gradient of
# that expectation. This page derives two estimators of it, measures both against the exact gradient, and shows what
# becomes of the noise.
#
# **What you will do**
# - differentiate an expectation in closed form, and estimate the same number in two ways;
# - measure how much the two estimators scatter;
# - break the trick on purpose, by drawing the noise twice.
#
# **What you will learn**
# - that the expectation is differentiable although a draw is random;
# - why the pathwise gradient scatters less than the score function's;
# - that eps is drawn afresh for each pass and is a constant within it.
#
# **What you need**
# - page 05, and the chain rule. About 25 minutes. It runs in about ten seconds.

# %%
from importlib.util import find_spec

if find_spec("scratchvae") is None:
    raise SystemExit(
        "This page needs scratchvae; in the README's folder: pip install -r requirements.txt"
    )

import numpy as np

from scratchvae import VAE, reparameterize, reparameterize_backward
from scratchvae.checks import check_gradients, check_sampler
from scratchvae.view.notebook import panels, show

# %% [markdown]
# ## An expectation is a smooth function
#
# Let $z$ be one number, drawn from a normal distribution $q$ with mean $\mu$ and standard deviation $\sigma$. Let $f$
# be a smooth function of one number. We want the derivatives of
#
# $$F(\mu, \sigma) = \mathbb{E}_{z \sim \mathcal{N}(\mu, \sigma^2)}[f(z)] = \int q(z)\, f(z)\, dz .$$
#
# A single draw jumps from one run to the next. The expectation does not: it is an integral, and $\mu$ and $\sigma$
# enter it smoothly through the density $q$. Take $f(z) = z^2 + \sin z$. Two known integrals give $F$ in closed form:
#
# $$\mathbb{E}[z^2] = \mu^2 + \sigma^2, \qquad \mathbb{E}[\sin z] = \sin(\mu)\, e^{-\sigma^2 / 2}.$$
#
# Differentiating them gives the **true values** of this page:
#
# $$\frac{\partial F}{\partial \mu} = 2\mu + \cos(\mu)\, e^{-\sigma^2/2}, \qquad
#   \frac{\partial F}{\partial \sigma} = 2\sigma - \sigma \sin(\mu)\, e^{-\sigma^2/2}.$$

# %%
mu, sigma = 0.4, 0.8


def f(z):
    return z**2 + np.sin(z)


def df(z):
    """The derivative of f."""
    return 2 * z + np.cos(z)


def expectation(mu, sigma):
    """F(mu, sigma), in closed form."""
    return mu**2 + sigma**2 + np.sin(mu) * np.exp(-(sigma**2) / 2)


true_dmu = 2 * mu + np.cos(mu) * np.exp(-(sigma**2) / 2)
true_dsigma = 2 * sigma - sigma * np.sin(mu) * np.exp(-(sigma**2) / 2)

h = 1e-5  # a central difference of the closed form, as a second route
by_difference = (expectation(mu + h, sigma) - expectation(mu - h, sigma)) / (2 * h)
print(f"dF/dmu = {true_dmu:.6f}, dF/dsigma = {true_dsigma:.6f}")

assert np.isclose(true_dmu, by_difference, rtol=1e-8)
z, step = np.linspace(mu - 12 * sigma, mu + 12 * sigma, 4001, retstep=True)
q = np.exp(-0.5 * ((z - mu) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))
assert np.isclose((q * f(z)).sum() * step, expectation(mu, sigma))

# %% [markdown]
# > **Often said.** "Sampling is random, so one cannot differentiate through it."
# >
# > **What is true.** A draw is not a function of $\mu$ and $\sigma$ alone, but the expectation is, and it is
# > differentiable. The question is only how to estimate its gradient from draws.
# >
# > **Run this cell.** It plots $F$ against $\mu$, once in closed form and once as an average over 20 fresh draws for
# > each $\mu$. The average jumps, the expectation does not.

# %% tags=["claim-10"]
rng = np.random.default_rng(0)
mus = np.linspace(-1.5, 1.5, 121)
rough = np.array([f(m + sigma * rng.standard_normal(20)).mean() for m in mus])
smooth = expectation(mus, sigma)

fig, ax = panels(height=2.8, xlabel=r"$\mu$", ylabel=r"$F(\mu, \sigma)$")
ax.set_title("An expectation is smooth; an average of a few draws is not")
ax.plot(mus, rough, ".", color="#D55E00", markersize=4, label="mean of 20 fresh draws")
ax.plot(mus, smooth, color="#0072B2", label="expectation, closed form")
ax.legend(frameon=False)
show(
    fig,
    "A smooth curve over mu, and scattered points around it: averages of twenty draws each.",
)

jumps_rough, jumps_smooth = np.abs(np.diff(rough, 2)).mean(), np.abs(np.diff(smooth, 2)).mean()
assert jumps_rough > 100 * jumps_smooth

# %% [markdown]
# ## First estimator: the score function
#
# Move the derivative under the integral. Only $q$ depends on $\mu$:
#
# $$\frac{\partial F}{\partial \mu} = \int \frac{\partial q(z)}{\partial \mu} f(z)\, dz .$$
#
# This is an integral, but no longer an expectation under $q$. Multiply and divide by $q$, and use the chain rule
# backwards, $\frac{1}{q}\frac{\partial q}{\partial \mu} = \frac{\partial \log q}{\partial \mu}$:
#
# $$\frac{\partial F}{\partial \mu} = \int q(z)\, \frac{\partial \log q(z)}{\partial \mu} f(z)\, dz
#   = \mathbb{E}_q\!\left[ f(z)\, \frac{\partial \log q(z)}{\partial \mu} \right].$$
#
# $\partial \log q / \partial \mu$ is called the **score**. For the normal density, $\log q = -\tfrac12 ((z -
# \mu)/\sigma)^2 - \log \sigma + \text{constant}$, and with $\epsilon = (z - \mu)/\sigma$ the scores are
#
# $$\frac{\partial \log q}{\partial \mu} = \frac{\epsilon}{\sigma}, \qquad
#   \frac{\partial \log q}{\partial \sigma} = \frac{\epsilon^2 - 1}{\sigma}.$$
#
# Draw $z$, compute $f(z)$ times the score, average. It needs no derivative of $f$ at all.
#
# ## Second estimator: the path
#
# A draw from $\mathcal{N}(\mu, \sigma^2)$ can be made from a draw $\epsilon$ of the **standard** normal distribution:
#
# $$z = \mu + \sigma\, \epsilon, \qquad \epsilon \sim \mathcal{N}(0, 1).$$
#
# Check: $z$ is normal, as a shifted and scaled normal number; its mean is $\mu + \sigma \cdot 0 = \mu$, its variance
# $\sigma^2 \cdot 1$. Now the expectation is over $\epsilon$, whose distribution knows nothing of $\mu$ and $\sigma$:
#
# $$F(\mu, \sigma) = \mathbb{E}_{\epsilon}[f(\mu + \sigma \epsilon)].$$
#
# The derivative goes under the expectation, and the chain rule does the rest:
#
# $$\frac{\partial F}{\partial \mu} = \mathbb{E}_\epsilon[f'(z) \cdot 1], \qquad
#   \frac{\partial F}{\partial \sigma} = \mathbb{E}_\epsilon[f'(z) \cdot \epsilon].$$
#
# This is the **reparameterization trick**; the estimator is called **pathwise**, since the derivative follows the
# path from $\mu$ and $\sigma$ through $z$ to $f$.
#
# Both are unbiased. *Before you run the cell:* which one scatters more, and by how much?

# %%
n = 200_000
eps = np.random.default_rng(1).standard_normal(n)  # (n,)
z = mu + sigma * eps  # (n,)

estimators = {  # name: what one draw says about dF/dmu, and about dF/dsigma; (n,) each
    "score function": (f(z) * eps / sigma, f(z) * (eps**2 - 1) / sigma),
    "pathwise": (df(z), df(z) * eps),
}
for name, draws in estimators.items():
    for parameter, values, true in zip(
        ("mu", "sigma"), draws, (true_dmu, true_dsigma), strict=True
    ):
        error = values.std() / np.sqrt(n)
        print(
            f"{name:15} dF/d{parameter:5} {values.mean():.4f} ± {error:.4f}"
            f"   true value {true:.4f}   variance of one draw {values.var():7.2f}"
        )
        assert abs(values.mean() - true) < 5 * error

ratio = estimators["score function"][0].var() / estimators["pathwise"][0].var()
print(f"for mu, the score function needs {ratio:.0f} times as many draws for the same accuracy")
assert ratio > 2

# %%
few = 50
fig, axes = panels(2, height=2.8, ylabel="how often")
names = (r"$\partial F/\partial\mu$", r"$\partial F/\partial\sigma$")
for ax, k, name, true in zip(axes, (0, 1), names, (true_dmu, true_dsigma), strict=True):
    for (label, draws), colour, style in zip(
        estimators.items(), ("#D55E00", "#0072B2"), ("step", "stepfilled"), strict=True
    ):
        means = draws[k].reshape(-1, few).mean(axis=1)  # (n / 50,)
        ax.hist(means, 60, histtype=style, color=colour, alpha=0.8, label=label)
    ax.axvline(true, color="black", linestyle="--", linewidth=1)
    ax.set(xlabel=f"estimate of {name} from {few} draws", yticks=[])
axes[0].legend(frameon=False, fontsize="small")
show(
    fig,
    "Histograms of both estimators around the true value: the pathwise one is clearly narrower.",
)

# %% [markdown]
# The score function multiplies a noisy factor by all of $f$, whatever its level: add 10 to $f$ and it scatters far
# more, although no derivative has changed. The path uses the slope $f'$, which does not see the level.

# %%
for level in (0, 10, 100):
    score = ((f(z) + level) * eps / sigma).var()
    print(
        f"f + {level:3}: variance of a draw  score function {score:9.1f}   pathwise {df(z).var():6.2f}"
    )

assert ((f(z) + 100) * eps / sigma).var() > 100 * (f(z) * eps / sigma).var()

# %% [markdown]
# A known case from the field: $\phi$ is one parameter, $z \sim \mathcal{N}(\phi^3, (e^{\phi})^2)$, and we ask for the
# derivative of $\mathbb{E}[z^2 + \sin z]$ with respect to $\phi$. The chain rule joins the two derivatives of above,
# with $d\mu/d\phi = 3\phi^2$ and $d\sigma/d\phi = e^\phi$. One teaching notebook of the field prints the output of a
# simulation here and calls it the true value; the closed form takes one line.


# %%
def by_phi(phi):
    """The true derivative, and the variances of one draw of both estimators."""
    m, s = phi**3, np.exp(phi)
    d_m = 2 * m + np.cos(m) * np.exp(-(s**2) / 2)
    d_s = 2 * s - s * np.sin(m) * np.exp(-(s**2) / 2)
    z = m + s * eps
    path = df(z) * (3 * phi**2 + s * eps)
    score = f(z) * (eps / s * 3 * phi**2 + (eps**2 - 1) / s * s)
    return d_m * 3 * phi**2 + d_s * s, path, score


for phi in (0.3, 0.5):
    true, path, score = by_phi(phi)
    print(f"phi = {phi}: true value {true:.12f}", end="   ")
    print(f"variance of a draw: score {score.var():.1f}, path {path.var():.1f}")
    for values in (path, score):
        assert abs(values.mean() - true) < 5 * values.std() / np.sqrt(n)

# %% [markdown]
# ## In the library: mu, logvar and eps
#
# An encoder returns any real numbers, and a standard deviation must be positive. So it returns the logarithm of the
# **variance**, `logvar` $= \log \sigma^2$, and $\sigma$ is computed from it. The factor $\tfrac12$ is where many
# programs go wrong:
#
# $$\sigma = \sqrt{e^{\,\text{logvar}}} = e^{\,\text{logvar}/2}, \qquad
#   \frac{\partial \sigma}{\partial\, \text{logvar}} = \frac{\sigma}{2}.$$
#
# Write $B$ for the number of examples and $Z$ for the number of latents. `mu`, `logvar` and `eps` have the shape
# $(B, Z)$, and every entry is on its own: the covariance of $q$ is diagonal. With `dz`, the gradient that arrives at
# $z$, the chain rule gives
#
# $$\text{dmu} = \text{dz}, \qquad \text{dlogvar} = \text{dz} \cdot \epsilon \cdot \frac{\sigma}{2}.$$

# %%
rng = np.random.default_rng(2)
mu_rows, logvar_rows, eps_rows, dz = rng.standard_normal((4, 5, 3))  # (B, Z) each, B = 5, Z = 3
z_rows, cache = reparameterize(mu_rows, logvar_rows, eps_rows)
dmu, dlogvar = reparameterize_backward(dz, cache)

slow = np.zeros((5, 3))
for b in range(5):
    for k in range(3):
        slow[b, k] = dz[b, k] * eps_rows[b, k] * np.exp(logvar_rows[b, k] / 2) / 2

assert np.allclose(z_rows, mu_rows + np.exp(logvar_rows / 2) * eps_rows)
assert np.array_equal(dmu, dz)
assert np.allclose(dlogvar, slow)
print("reparameterize_backward agrees with the chain rule, entry by entry")

# %% [markdown]
# > **Often said.** `std = exp(logvar)`. It stands in the code of several well-known examples, and their gradient
# > checks pass: the backward pass is consistent with the wrong forward pass.
# >
# > **What is true.** `exp(logvar)` is the variance. A sampler that uses it as a standard deviation draws from another
# > distribution than the one that the KL term talks about. Differences cannot see that. Moments can.
# >
# > **Run this cell.** The checker compares draws with the distribution that the KL assumes.


# %% tags=["stumble-02", "claim-13"]
def wrong_sampler(mu, logvar, eps):
    """The slip: a variance where a standard deviation belongs."""
    return mu + np.exp(logvar) * eps


mean, logvar = np.array([[0.5, -1.0]]), np.array([[1.0, -1.0]])  # (1, 2), (1, 2)
good = check_sampler(reparameterize, mean, logvar, rng=np.random.default_rng(3))
bad = check_sampler(wrong_sampler, mean, logvar, rng=np.random.default_rng(3))
print(good)
print(bad)

assert good.ok
assert not bad.ok

# %% [markdown]
# ## What becomes of eps
#
# > **Often said.** "Epsilon is fixed." Or: "epsilon is random, so the pass is random."
# >
# > **What is true.** Its *distribution* is fixed, for good. Its *value* is drawn afresh before each pass, and within
# > that pass, forward and backward, it is a constant like the data.
# >
# > **Run this cell.** A fresh eps gives another gradient; the same eps gives the same gradient, to the last bit; and
# > the average over many eps settles.

# %% tags=["claim-12"]
rng = np.random.default_rng(4)
vae = VAE(6, (8,), 2, "tanh", rng=rng, dtype="float64")
x = rng.random((4, 6))  # (B, D)


def gradient(eps):
    """The gradient of the mean ELBO with respect to the weights of mu's head."""
    _, cache = vae.objective(x, eps)
    return vae.backward(np.full(4, 1 / 4), cache)["mu.W"]


eps_1, eps_2 = vae.draw_eps(4, rng), vae.draw_eps(4, rng)
print("same eps, same gradient:", np.array_equal(gradient(eps_1), gradient(eps_1)))
print("fresh eps, same gradient:", np.array_equal(gradient(eps_1), gradient(eps_2)))

many = np.array([gradient(vae.draw_eps(4, rng)) for _ in range(2000)])  # (2000, 8, 2)
halves = many[:1000].mean(axis=0), many[1000:].mean(axis=0)
error = many.std(axis=0) * np.sqrt(2 / 1000)  # of the difference of two means of 1,000
assert np.array_equal(gradient(eps_1), gradient(eps_1))
assert not np.array_equal(gradient(eps_1), gradient(eps_2))
assert (np.abs(halves[0] - halves[1]) < 5 * error).all()

# %% [markdown]
# ### What goes wrong when it is drawn twice
#
# Suppose that the backward pass draws its own noise, instead of using the one that made $z$. A published VAE does
# that. Then `dlogvar` is `dz * (another eps) * sigma / 2`. The other eps is independent of `dz` and has mean zero, so
# on average nothing is left of the path through $\sigma$: the encoder's uncertainty is then trained by the KL alone.
# We measure it on the function of above, where the true value is known.

# %%
other_eps = np.random.default_rng(5).standard_normal(
    n
)  # (n,)  drawn again, for the backward pass
right, wrong = df(z) * eps, df(z) * other_eps  # (n,), (n,)
for name, values in (("the eps of the forward pass", right), ("another eps", wrong)):
    print(f"dF/dsigma with {name:28} {values.mean():+.4f} ± {values.std() / np.sqrt(n):.4f}")
print(f"true value {true_dsigma:+.4f}")

assert abs(right.mean() - true_dsigma) < 5 * right.std() / np.sqrt(n)
assert abs(wrong.mean()) < 5 * wrong.std() / np.sqrt(n)  # nothing but noise around zero

# %% [markdown]
# In training such a bug is hard to see: the loss still falls. A checker sees it at once, because a function that
# draws inside is not the same function twice.


# %%
class DrawsAgain(VAE):
    """A VAE that ignores the eps it is given."""

    own = np.random.default_rng(6)

    def objective(self, x, eps, beta=1.0):
        return super().objective(x, self.draw_eps(len(x), self.own), beta)


broken = DrawsAgain(6, (8,), 2, "tanh", rng=np.random.default_rng(7), dtype="float64")
report = check_gradients(broken, x, eps_1)
print("cause named by the checker:", sorted({finding.cause for finding in report.findings}))

assert not report.ok
assert "noise-redrawn" in {finding.cause for finding in report.findings}
assert check_gradients(vae, x, eps_1).ok

# %% [markdown]
# ## Recap
#
# 1. **Definition.** $z = \mu + \sigma \epsilon$ with $\sigma = e^{\text{logvar}/2}$ and $\epsilon \sim \mathcal{N}(0,
#    I)$.
# 2. **Two estimators.** Score function: $\mathbb{E}[f \cdot \partial \log q]$. Pathwise: $\mathbb{E}[f' \cdot
#    \partial z]$.
# 3. **Backward.** dmu = dz; dlogvar = dz · eps · sigma / 2; nothing for eps.
# 4. **Which to use.** Pathwise where $f$ and the path are differentiable: it scatters less, and ignores the level of
#    $f$.
# 5. **The noise.** Drawn afresh for each pass, by the caller; the same in forward and backward; never updated.
#
# ## On your own
#
# 1. For $f(z) = z$, what is the variance of one draw of the pathwise estimator for $\mu$? And of the score
#    function's?
# 2. Subtract a constant from $f$ in the score function's estimator. Show that its mean stays. Which constant makes
#    its variance smallest?
# 3. Why does the trick in this form not work for a latent that is 0 or 1? Which of the two estimators does?
# 4. Reparameterize an exponential distribution: find $z = g(\lambda, u)$ with $u$ uniform, and check its moments.
# 5. *A small project.* Train the VAE of page 09 with score-function gradients for the encoder. How many draws per
#    image does it need before it learns?
#
# ## Further reading
#
# - Diederik Kingma and Max Welling, *Auto-Encoding Variational Bayes* (2014), arXiv 1312.6114, section 2.4.
# - Danilo Rezende, Shakir Mohamed, Daan Wierstra, *Stochastic Backpropagation* (2014), arXiv 1401.4082.
# - Shakir Mohamed and others, *Monte Carlo Gradient Estimation in Machine Learning* (2020), arXiv 1906.10652.
# - [The derivation page](../docs/derivations/) on the reparameterization and the score function.
#
# [Back: the ELBO](05_the_elbo.ipynb) · [Contents](README.md) ·
# [Next: backpropagation by hand](07_backpropagation_by_hand.ipynb)
