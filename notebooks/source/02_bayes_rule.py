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
# # 02 · Bayes' rule
#
# A variational autoencoder is built on one rule of probability. This page derives it, first from a table with six
# numbers, then for a number that can take any value.
#
# **What you will do**
# - read a joint distribution off a table, and turn it around with Bayes' rule;
# - do the same for a continuous unknown, on a grid;
# - check every sum and every integral.
#
# **What you will learn**
# - the four names that the rest of the course uses: prior, likelihood, evidence, posterior;
# - why the evidence is the hard part;
# - that a likelihood is not a distribution over what is unknown.
#
# **What you need**
# - sums, integrals, and what a probability density is. About 15 minutes. It runs in a few seconds.

# %%
from importlib.util import find_spec

if find_spec("scratchvae") is None:
    raise SystemExit(
        "This page needs scratchvae; in the README's folder: pip install -r requirements.txt"
    )

import numpy as np

from scratchvae.exact import LinearGaussian
from scratchvae.view.notebook import panels, show

# %% [markdown]
# ## A table
#
# A box holds two kinds of dice. You draw one die, without seeing which, and roll it once.
#
# - $z$ is the kind of die: *fair* or *loaded*. You do not see it. It is called the **latent** variable.
# - $x$ is what the roll shows: *low* (1 to 3), *middle* (4 or 5) or *six*. You see it. It is called the **data**.
#
# Two things are known. How common each kind is, before any roll, is the **prior** $p(z)$. How each kind rolls is the
# **likelihood** $p(x \mid z)$.

# %%
prior = np.array([0.8, 0.2])  # (2,)    p(z): fair, loaded
likelihood = np.array([[3 / 6, 2 / 6, 1 / 6], [0.1, 0.2, 0.7]])  # (2, 3)  p(x|z), a row a kind

assert np.isclose(prior.sum(), 1)  # a distribution over z
assert np.allclose(likelihood.sum(axis=1), 1)  # for each z, a distribution over x

# %% [markdown]
# The **product rule** says how often a kind and a result come together:
#
# $$p(x, z) = p(x \mid z)\, p(z).$$
#
# This is the **joint** distribution: six numbers that sum to one.

# %%
joint = likelihood * prior[:, None]  # (2, 3)  p(x, z)
print(joint)

assert np.isclose(joint.sum(), 1)

# %% [markdown]
# The **sum rule** says how often a result comes at all, whatever the kind was:
#
# $$p(x) = \sum_z p(x, z) = \sum_z p(x \mid z)\, p(z).$$
#
# $p(x)$ is called the **evidence**. It is the denominator of what follows.

# %%
evidence = joint.sum(axis=0)  # (3,)  p(x)
for result, p in zip(("low", "middle", "six"), evidence, strict=True):
    print(f"p({result}) = {p:.4f}")

assert np.isclose(evidence.sum(), 1)

# %% [markdown]
# ## Turning it around
#
# You rolled a six. Which die do you hold? The question asks for $p(z \mid x)$, the **posterior**: how probable each
# kind is, now that $x$ is known.
#
# The product rule can be read both ways, because $p(x, z)$ does not care which of the two we name first:
#
# $$p(z \mid x)\, p(x) = p(x, z) = p(x \mid z)\, p(z).$$
#
# Divide by $p(x)$, which is not zero for a result that was seen:
#
# $$p(z \mid x) = \frac{p(x \mid z)\, p(z)}{p(x)}.$$
#
# This is **Bayes' rule**. It is one line of code.
#
# *Before you run the cell:* one die in five is loaded, and a loaded die shows a six with probability 0.7. Is the die in
# your hand more likely to be loaded or fair?

# %%
posterior = joint / evidence  # (2, 3)  p(z|x): a column a result
print(f"after a six: fair {posterior[0, 2]:.3f}, loaded {posterior[1, 2]:.3f}")

assert np.allclose(posterior.sum(axis=0), 1)  # for each x, a distribution over z
assert posterior[1, 2] > 0.5

# %% [markdown]
# ### A second way to the same number
#
# Rule and simulation must agree. Draw a hundred thousand dice, roll each once, keep those that showed a six, and count
# the loaded ones. The count is a Monte-Carlo estimate: it comes with a **standard error**, the typical distance
# between the estimate and the true value.

# %%
rng = np.random.default_rng(2)
n = 100_000
z = rng.random(n) < prior[1]  # (n,)  True is a loaded die
p_six = np.where(z, likelihood[1, 2], likelihood[0, 2])  # (n,)
six = rng.random(n) < p_six  # (n,)

share = z[six].mean()
standard_error = np.sqrt(share * (1 - share) / six.sum())
print(f"simulated {share:.4f} ± {standard_error:.4f}, by Bayes' rule {posterior[1, 2]:.4f}")

assert abs(share - posterior[1, 2]) < 4 * standard_error

# %% [markdown]
# ### A likelihood is not a distribution over z
#
# > **Often said.** "The likelihood is the probability of z."
# >
# > **What is true.** $p(x \mid z)$ is a distribution over $x$, for each fixed $z$. Read along $z$, for a fixed $x$, it
# > does not sum to one. Only the posterior does.
# >
# > **Run this cell.**

# %%
along_x = likelihood.sum(axis=1)  # (2,)
along_z = likelihood.sum(axis=0)  # (3,)
print("sums over x:", along_x, "  sums over z:", along_z.round(3))

assert np.allclose(along_x, 1)
assert not np.isclose(along_z, 1).any()

# %% [markdown]
# ## From a table to a density
#
# Now let the unknown be a real number. A signal $z$ is a draw from $p(z) = \mathcal{N}(z; 0, 1)$, the normal density
# with mean 0 and variance 1. You measure it with noise of standard deviation $\sigma = 0.5$:
#
# $$x = z + \sigma \cdot \text{noise}, \qquad p(x \mid z) = \mathcal{N}(x; z, \sigma^2).$$
#
# Nothing changes but the sum: it becomes an integral,
#
# $$p(x) = \int p(x \mid z)\, p(z)\, dz.$$
#
# On a fine grid of points $z_1, z_2, \dots$ with spacing $\Delta$, an integral is a sum times $\Delta$. Each of the
# four names is again one line.

# %%
sigma, x = 0.5, 1.2
grid, step = np.linspace(-8, 8, 4001, retstep=True)  # (4001,)  the points z, and their spacing


def normal(value, mean, variance):
    """The density of N(mean, variance) at value."""
    return np.exp(-0.5 * (value - mean) ** 2 / variance) / np.sqrt(2 * np.pi * variance)


prior = normal(grid, 0, 1)  # (4001,)  p(z)
likelihood = normal(x, grid, sigma**2)  # (4001,)  p(x|z), for the one x that was measured
evidence = (likelihood * prior).sum() * step  # one number, p(x)
posterior = likelihood * prior / evidence  # (4001,)  p(z|x)

assert np.isclose(prior.sum() * step, 1)
assert np.isclose(posterior.sum() * step, 1)

# %%
fig, ax = panels(xlabel="z", ylabel="density", xlim=(-3, 3))
ax.set_title("The posterior lies between prior and data")
ax.plot(grid, prior, "--", color="#555555", label="prior p(z)")
ax.plot(grid, likelihood, ":", color="#D55E00", label=f"likelihood p(x|z) at x = {x}")
ax.plot(grid, posterior, color="#0072B2", label="posterior p(z|x)")
ax.set_ylim(0, None)
ax.legend(frameon=False)
show(
    fig,
    "Over z: a wide prior around 0, a narrow likelihood around 1.2, the posterior in between.",
)

# %% [markdown]
# The measurement pulls the posterior away from the prior's mean, 0, but not all the way to $x = 1.2$. It is also
# narrower than both: two sources of knowledge are better than one.
#
# ### The same in closed form
#
# Prior and likelihood are both normal, so the product is an exponential of a square in $z$, and the posterior is normal
# too. Precisions (one over variance) add, and the mean is their weighted mean:
#
# $$\frac{1}{\text{variance}} = \frac{1}{1} + \frac{1}{\sigma^2}, \qquad
#   \text{mean} = \text{variance} \cdot \frac{x}{\sigma^2}.$$
#
# The evidence is normal as well: a sum of two independent normal variables, with variance $1 + \sigma^2$. The library
# knows this model under the name `LinearGaussian`. Grid, formula and library must give the same.

# %%
variance = 1 / (1 + 1 / sigma**2)
mean = variance * x / sigma**2

model = LinearGaussian(W=np.array([[1.0]]), mean=np.zeros(1), sigma=sigma)
mu, cov = model.posterior(np.array([[x]]))  # (1, 1), (1, 1)
log_px = model.log_px(np.array([[x]]))  # (1,)

print(f"posterior mean {mean:.4f}, variance {variance:.4f}; evidence {evidence:.6f}")

assert np.isclose((grid * posterior).sum() * step, mean)
assert np.isclose(((grid - mean) ** 2 * posterior).sum() * step, variance)
assert np.isclose(evidence, normal(x, 0, 1 + sigma**2))
assert np.isclose(mu[0, 0], mean)
assert np.isclose(cov[0, 0], variance)
assert np.isclose(log_px[0], np.log(evidence))

# %% [markdown]
# ## What will be hard
#
# Three of the four were easy. The prior and the likelihood are chosen by whoever builds the model. Their product is one
# multiplication. The evidence is an integral over **every** $z$ that could have made this $x$. Here a grid of 4,001
# points did it. [The next page](03_the_intractable_evidence.ipynb) shows when that stops working, and why.
#
# ## Recap
#
# 1. **Definition.** $p(z \mid x) = p(x \mid z)\, p(z) / p(x)$: posterior = likelihood times prior over evidence.
# 2. **Two readings of the joint.** $p(x, z) = p(x \mid z)\, p(z) = p(z \mid x)\, p(x)$.
# 3. **Evidence.** $p(x) = \sum_z p(x \mid z)\, p(z)$, an integral where $z$ is continuous.
# 4. **What sums to one.** The prior over $z$, the likelihood over $x$, the posterior over $z$. Not the likelihood over
#    $z$.
# 5. **When it is easy.** A short table, a grid in one dimension, or a model that is linear and Gaussian.
#
# ## On your own
#
# 1. In the table, which result makes the fair die most probable, and how probable is it then?
# 2. Roll the same die twice and see two sixes. Use the posterior after the first roll as the prior for the second. Do
#    you get the same as from $p(x_1, x_2 \mid z) = p(x_1 \mid z)\, p(x_2 \mid z)$ in one go?
# 3. Make $\sigma$ larger and smaller in the continuous example. What do the posterior's mean and variance tend to?
# 4. Replace the likelihood by $p(x \mid z) = \mathcal{N}(x; z^2, \sigma^2)$ and draw the posterior for $x = 1.2$. Why
#    does no formula with one mean and one variance describe it?
# 5. *A small project.* Estimate the evidence of the last model by averaging $p(x \mid z)$ over draws of $z$ from the
#    prior. Plot the standard error against the number of draws.
#
# ## Further reading
#
# - David MacKay, *Information Theory, Inference, and Learning Algorithms* (2003), chapters 2 and 3.
# - Christopher Bishop, *Pattern Recognition and Machine Learning* (2006), sections 1.2 and 2.3.
#
# [Back: autoencoders](01_autoencoders.ipynb) · [Contents](README.md) ·
# [Next: the intractable evidence](03_the_intractable_evidence.ipynb)
