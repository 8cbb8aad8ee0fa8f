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
# Bayes' rule is one area, cut in two ways. On this page you draw that area, first for a die and then for a
# measurement, and use it to say how probable each value is of something that nobody saw.
#
# **What you will do**
# - write the posterior of a table, on a grid, and in closed form;
# - throw darts at Bayes' rule;
# - repair a posterior that is `nan`.
#
# **What you will learn**
# - four names: prior, likelihood, evidence, posterior;
# - that what is rare can stay improbable when the data speak for it;
# - that a likelihood is not a distribution over what is unknown.
#
# **What you need**
# - sums, integrals, and what a probability density is. About 45 minutes with the blanks. It runs in a few seconds.

# %%
from importlib.util import find_spec

if find_spec("scratchvae") is None:
    raise SystemExit(
        "This page needs scratchvae; in the README's folder: pip install -r requirements.txt"
    )

from fractions import Fraction

import matplotlib.pyplot as plt
import numpy as np

from scratchvae.exact import LinearGaussian
from scratchvae.exercises import check, hint, progress, solution, use  # noqa: F401
from scratchvae.view.notebook import panels, show

BLUE, VERMILLION, GREY = "#0072B2", "#D55E00", "#555555"

# %% [markdown]
# ## A box of dice
#
# One die in twenty is loaded: it shows a six nine times in ten, and each other face with probability 0.02. You draw a
# die from the box, without seeing its kind, and roll it once.
#
# - $z$ is the kind, *fair* or *loaded*. You do not see it: it is called **latent**.
# - $x$ is the face, 1 to 6. You see it: it is the **data**.
#
# How common each kind is, before any roll, is the **prior** $p(z)$. How each rolls is the **likelihood**
# $p(x \mid z)$.

# %%
dice_prior = np.array([0.95, 0.05])  # (2,)  p(z): fair, loaded
dice_likelihood = np.array([[1 / 6] * 6, [0.02] * 5 + [0.9]])  # (2, 6)  p(x|z), a row a kind

assert np.isclose(dice_prior.sum(), 1)  # a distribution over z
# spoil: dice_prior = np.array([0.95, 0.5])
assert np.allclose(dice_likelihood.sum(axis=1), 1)  # for each z, a distribution over x
# spoil: dice_likelihood = np.array([[1 / 6] * 6, [0.2] * 5 + [0.9]])

# %% [markdown]
# The **product rule** says how often a kind and a face come together. The **sum rule** says how often a face comes at
# all, whatever the kind:
#
# $$p(x, z) = p(x \mid z)\, p(z), \qquad p(x) = \sum_z p(x, z) .$$
#
# $p(x, z)$ is the **joint** distribution, and $p(x)$ the **evidence** (marginal likelihood). Write the evidence,
# in place of `raise NotImplementedError`, and run the cell.


# %% tags=["blank"]
def evidence_of_table(prior, likelihood):
    """p(x) for each x, from p(z), (N,), and p(x|z), (N, R), a row for each z: -> (R,)."""
    raise NotImplementedError


check("bayes.evidence", evidence_of_table)

# %% [markdown]
# Stuck? `hint("bayes.evidence")` in a cell of its own asks a question; a third hint is nearly the code. Whatever value
# your function returns, the cells below it run.
#
# ### As areas
#
# Cut a square of side 1 into columns, one for each kind, as wide as the prior. Shade each column up to the likelihood
# of the face that was seen. A shaded rectangle has the area height times width: that is the joint. All the shading
# together is the evidence.
#
# *Write down a guess before you run the next cell:* what is the probability of a six?

# %%
guess = None  # a number


def draw_columns(ax, widths, heights, colours):
    """Columns side by side in a square of side 1, each shaded up to its height."""
    left = np.cumsum(widths) - widths  # (N,)
    ax.bar(left, 1, widths, align="edge", color="#EEEEEE", edgecolor="white")
    ax.bar(left, heights, widths, align="edge", color=colours, edgecolor="white")
    ax.set(xlim=(0, 1), ylim=(0, 1), xticks=(), yticks=(0, 1), aspect="equal")


# %% tags=["answer"]
dice_evidence = use("bayes.evidence", evidence_of_table)(dice_prior, dice_likelihood)  # (6,)
fig, axes = panels(2, height=3.3)
for ax, face, name in zip(axes, (5, 2), ("six", "three"), strict=True):
    draw_columns(ax, dice_prior, dice_likelihood[:, face], (BLUE, VERMILLION))
    ax.set(title=f"{name}: shaded area {dice_evidence[face]:.3f}", ylabel=f"p({name} | z)")
    ax.text(0.475, -0.08, "fair, 0.95", ha="center", color=BLUE)
    ax.text(1.0, -0.08, "loaded, 0.05", ha="center", color=VERMILLION)
show(
    fig,
    "Two squares, each with a wide column for the fair dice and a very thin one for the loaded."
    " For a six the wide one is shaded up to 0.17 and the thin one up to 0.9; for a three both"
    " shaded parts are low, and that of the thin column can hardly be seen.",
)
print(
    "p(six) = {:.4f}, p(three) = {:.4f}".format(*dice_evidence[[5, 2]]), "  your guess:", guess
)

assert np.isclose(dice_evidence[5], float(Fraction(1, 6) * 19 / 20 + Fraction(9, 10) / 20))
# spoil: dice_evidence[5] = dice_likelihood[:, 5].mean()

# %% [markdown]
# ## The same area, cut the other way
#
# You rolled a six. Which kind of die is it? The question asks for $p(z \mid x)$, the **posterior**: how probable each
# kind is, now that $x$ is known.
#
# The joint does not care which of $x$ and $z$ we name first. So the product rule can be read both ways:
#
# $$p(x \mid z)\, p(z) = p(x, z) = p(z \mid x)\, p(x) .$$
#
# On the left, columns of different heights with the prior as their widths. On the right, columns of *one* height,
# $p(x)$, with the posterior as their widths. Divide by $p(x)$, which is not zero for a face that was seen:
#
# $$p(z \mid x) = \frac{p(x \mid z)\, p(z)}{p(x)} .$$
#
# This is **Bayes' rule**: the posterior is a share of the shaded area.


# %% tags=["blank"]
def posterior_of_table(prior, likelihood):
    """p(z|x) for each z, from p(z), (N,), and p(x|z) of the x that was seen, (N,): -> (N,)."""
    raise NotImplementedError


check("bayes.posterior", posterior_of_table)

# %% [markdown]
# *Write down a guess:* a loaded die shows a six nine times in ten, and you see a six. How probable is it that your die
# is loaded?
#
# The next cell also asks chance. A dart thrown at the square plays the game once: its column is
# the die, and its height is the roll, a six if it lands in the shading. Of the darts in the shading, which share is in
# the loaded column? The share has a **standard error**, its typical distance from the true value.

# %%
guess = None  # a number

# %% tags=["answer"]
posterior_of = use("bayes.posterior", posterior_of_table)
after_six = posterior_of(dice_prior, dice_likelihood[:, 5])  # (2,)  p(z | six)

across, up = np.random.default_rng(2).random((2, 100_000))  # (100000,) each
loaded = across > dice_prior[0]  # (100000,)  which column
six = up < np.where(loaded, 0.9, 1 / 6)  # (100000,)  in the shading
share = loaded[six].mean()
error = np.sqrt(share * (1 - share) / six.sum())
print(f"p(loaded | six): by Bayes' rule {after_six[1]:.4f}, by darts {share:.4f} ± {error:.4f}")
print(f"p(six): shaded area {dice_evidence[5]:.4f}, by darts {six.mean():.4f}")
print("your guess:", guess)

assert abs(share - after_six[1]) < 4 * error
# spoil: after_six[1] = 0.9
assert abs(six.mean() - dice_evidence[5]) < 0.006  # more than four standard errors
# spoil: six = up < 0.9
assert np.isclose(after_six[1], 27 / 122)  # by hand, in fractions
# spoil: after_six = dice_likelihood[:, 5] / dice_likelihood[:, 5].sum()
assert after_six.max() < dice_prior.max()  # less certain of the kind than before the roll
# spoil: after_six = np.array([0.99, 0.01])

# %% tags=["answer"]
fig, axes = panels(2, height=3.3)
draw_columns(axes[0], dice_prior, dice_likelihood[:, 5], (BLUE, VERMILLION))
axes[0].plot(across[:1000], up[:1000], ".", color="black", markersize=2)
axes[0].set(title="1,000 darts; widths: prior", ylabel="p(six | z)")
draw_columns(axes[1], after_six, [dice_evidence[5]] * 2, (BLUE, VERMILLION))
axes[1].set(title="same areas; widths: posterior", ylabel="p(six)")
for middle, kind, p in zip((0.39, 0.89), ("fair", "loaded"), after_six, strict=True):
    axes[1].text(middle, 0.24, f"{kind}\n{p:.2f}", ha="center")
show(
    fig,
    "Left: the square for a six, with dots all over it; most of those in the shading lie in the"
    " fair column. Right: the same two areas, levelled to one height of 0.2; the loaded one takes"
    " about a fifth of the width.",
)
drawn = [[bar.get_width() * bar.get_height() for bar in ax.patches[2:]] for ax in axes]
print("areas on the left:", np.round(drawn[0], 4), "  on the right:", np.round(drawn[1], 4))

assert np.allclose(drawn[0], drawn[1])
# spoil: drawn[1] = drawn[1][::-1]

# %% [markdown]
# Nine in ten is $p(\text{six} \mid \text{loaded})$. What was asked, $p(\text{loaded} \mid \text{six})$, is about two in
# nine: the loaded column is high, but thin. And data need not make us more certain. Before the roll *fair* had 95 %,
# now it has 78 %.
#
# ## Roll after roll
#
# Roll the same die again. For a given die, rolls are independent: $p(x_1, x_2 \mid z) = p(x_1 \mid z)\, p(x_2 \mid z)$.
# So
#
# $$p(z \mid x_1, x_2) = \frac{p(x_2 \mid z)\; p(x_1 \mid z)\, p(z)}{p(x_1, x_2)}
#   = \frac{p(x_2 \mid z)\; p(z \mid x_1)}{p(x_1, x_2) / p(x_1)} .$$
#
# The posterior after the first roll stands where the prior stood: today's posterior is tomorrow's prior.
# *Write down a guess:* how many sixes in a row until *loaded* is more probable than *fair*?

# %%
guess = None  # a number of rolls

# %% tags=["answer"]
belief = dice_prior
beliefs = [belief[1]]
for _ in range(5):
    belief = posterior_of(belief, dice_likelihood[:, 5])
    beliefs.append(belief[1])
beliefs = np.array(beliefs)  # (6,)  p(loaded) after 0 to 5 sixes
print("p(loaded) after 0 to 5 sixes:", beliefs.round(3), "  your guess:", guess)

odds = 5.4 ** np.arange(6) / 19  # (6,)  loaded to fair: a six multiplies them by 0.9 / (1/6)
assert np.allclose(beliefs, odds / (1 + odds))
# spoil: beliefs[2] = beliefs[1]
assert beliefs[1] < 0.5 < beliefs[2]
# spoil: beliefs[1] = 0.9

# %% [markdown]
# ### Two thousand rolls
#
# In another box half of the dice are loaded, but little: a six has the probability 0.18. One of these dice shows 345
# sixes in 2,000 rolls. *Before you run the cell:* what does the rule give? The true value comes from exact fractions.

# %% tags=["answer"]
p_six = np.array([1 / 6, 0.18])  # (2,)
p_other = (1 - p_six) / 5  # (2,)  of each other face
joint = 0.5 * p_six**345 * p_other**1655  # (2,)
with np.errstate(invalid="ignore"):
    print("joint:", joint, "  posterior:", joint / joint.sum())

exact = [Fraction(1, 6) ** 2000, Fraction(18, 100) ** 345 * Fraction(164, 1000) ** 1655]
true_posterior = np.array([float(one / sum(exact)) for one in exact])  # (2,)
print("true posterior:", true_posterior.round(6))

assert (joint == 0).all()  # smaller than the smallest float64
# spoil: joint = np.array([1e-300, 0])
pixel = np.float32(0.5)
assert pixel**784 == 0  # the same with one factor a pixel
# spoil: pixel = 0.5
assert 0.5 < true_posterior[0] < 0.6  # though a fair die shows only 333 in the mean
# spoil: true_posterior = np.array([0.0, 1.0])

# %% [markdown]
# The joint has 2,000 factors below one, and no `float64` is that small: 0 divided by 0 is `nan`. In `float32`, as
# networks use it, 784 pixels of probability $\frac12$ are enough. So later pages keep $\log p(x, z)$, a sum of moderate
# numbers. Only a *share* is wanted, and it stays the same when all products are multiplied by one number. Choose it
# well.


# %% tags=["blank"]
def posterior_from_logs(log_joint):
    """p(z|x) for each z, from log p(x, z), (N,), where p(x, z) itself is too small for a float: -> (N,)."""
    raise NotImplementedError


check("bayes.logs", posterior_from_logs)

# %%
log_joint = np.log(0.5) + 345 * np.log(p_six) + 1655 * np.log(p_other)  # (2,)
from_logs = use("bayes.logs", posterior_from_logs)(log_joint)  # (2,)
print("log joint:", log_joint.round(2), "  posterior:", from_logs.round(6))

assert np.allclose(from_logs, true_posterior, rtol=1e-9)
# spoil: from_logs = np.array([0.5, 0.5])

# %% [markdown]
# ## From a table to a density
#
# Now let the unknown be a real number. A signal $z$ is a draw from $p(z) = \mathcal{N}(z; 0, 1)$, the normal density
# with mean 0 and variance 1. You measure it with noise of standard deviation $\sigma_x = 0.5$:
#
# $$x = z + \sigma_x \cdot \text{noise}, \qquad p(x \mid z) = \mathcal{N}(x; z, \sigma_x^2) ,$$
#
# and read off $x = 1.2$. Nothing changes but the sum: $p(x) = \int p(x \mid z)\, p(z)\, dz$.
#
# Cut the line into strips of width $\Delta$. A strip at $z$ has the prior probability $p(z)\, \Delta$, nearly, and we
# have a table again. Take 17 strips, 0.5 wide, with their middles from $-4$ to 4. *Write down a guess:* what will the
# posterior's mean be, and how many of its digits can so coarse a table get right?

# %%
guess = None  # the mean of the posterior


# %% tags=["answer"]
def normal(value, mean, variance):
    """The density of N(mean, variance) at value."""
    return np.exp(-0.5 * (value - mean) ** 2 / variance) / np.sqrt(2 * np.pi * variance)


x, sigma_x = 1.2, 0.5
strips, width = np.linspace(-4, 4, 17, retstep=True)  # (17,)  their middles, and 0.5
strip_prior = normal(strips, 0, 1) * width  # (17,)
strip_prior /= strip_prior.sum()  # what lies beyond the strips, 0.00002, is left out
heights = normal(x, strips, sigma_x**2)  # (17,)  p(x|z) at x = 1.2
strip_posterior = posterior_of(strip_prior, heights)  # (17,)
strip_evidence = (strip_prior * heights).sum()
strip_mean = (strip_posterior * strips).sum()
print(f"17 strips: p(x) = {strip_evidence:.7f}, mean {strip_mean:.6f}; your guess: {guess}")

assert np.isclose(width, 0.5)  # the middles are from -4 to 4, the strips from -4.25 to 4.25
# spoil: width = 8 / 17
at_draws = normal(x, np.random.default_rng(4).standard_normal(100_000), sigma_x**2)  # (100000,)
error = at_draws.std() / np.sqrt(100_000)
print(f"mean height at draws of z from the prior: {at_draws.mean():.4f} ± {error:.4f}")
assert abs(at_draws.mean() - strip_evidence) < 4 * error
# spoil: strip_evidence = heights.mean()

# %% tags=["answer"]
colours = plt.get_cmap("viridis")((strips + 2) / 4.5)
fig, axes = panels(2, height=3.5)
draw_columns(axes[0], strip_prior, heights, colours)
axes[0].set(title="widths: prior of each z", ylabel="p(x | z)")
draw_columns(axes[1], strip_posterior, np.full(17, strip_evidence), colours)
axes[1].set(title="same areas; widths: posterior", ylabel="p(x)")
for ax, widths in zip(axes, (strip_prior, strip_posterior), strict=True):
    middles = widths.cumsum() - widths / 2  # (17,)
    for i in np.flatnonzero(widths > 0.04):  # where there is room for a number
        ax.text(middles[i], -0.07, f"{strips[i]:g}", ha="center", fontsize=8)
    ax.set_xlabel("z", labelpad=16)
show(
    fig,
    "Left: a square cut into columns for z, widest at 0, shaded to a hill that is highest at z = 1."
    " Right: the same colours levelled to the height 0.2; z = 0.5, 1 and 1.5 take most of the"
    " width.",
)

# %% [markdown]
# Levelled, the shading has the height $p(x)$: the evidence is the *mean height*, the likelihood averaged over the
# prior. (The heights are densities now, and might exceed 1.) Make the strips thin, and divide each probability by the
# width: that is a density, on a **grid**.


# %% tags=["blank"]
def posterior_on_grid(prior, likelihood, step):
    """The density p(z|x) on a grid, from p(z) and p(x|z) there, and its step: (G,), (G,) -> (G,)."""
    raise NotImplementedError


check("bayes.grid", posterior_on_grid)

# %%
grid, step = np.linspace(-8, 8, 1601, retstep=True)  # (1601,)  the points z, and 0.01
prior = normal(grid, 0, 1)  # (1601,)  p(z)
likelihood = normal(x, grid, sigma_x**2)  # (1601,)  p(x|z), for the one x that was measured
density_of = use("bayes.grid", posterior_on_grid)


def moments(density):
    """Mean and variance of a density on the grid."""
    mean = (grid * density).sum() * step
    return mean, ((grid - mean) ** 2 * density).sum() * step


on_grid = density_of(prior, likelihood, step)  # (1601,)  p(z|x)
mean_on_grid, variance_on_grid = moments(on_grid)
print(f"mean {mean_on_grid:.6f}, variance {variance_on_grid:.6f}")

assert np.isclose(strip_mean, mean_on_grid, atol=1e-6)
# spoil: strip_mean = (strip_prior * strips).sum()

# %% [markdown]
# How wide may the strips be? *Before you run the cell:* which of 0.25, 0.5, 1 and 2 will do?

# %% tags=["answer"]
off = {}  # the largest error of the mean, wherever the strips lie
for every in (25, 50, 100, 200):  # strips of 0.25, 0.5, 1 and 2
    shifted = []
    for first in range(0, every, every // 25):
        joint = (prior * likelihood)[first::every]
        shifted.append((grid[first::every] * joint).sum() / joint.sum())
    off[every] = np.abs(np.array(shifted) - mean_on_grid).max()
    print(f"strips of {step * every:4.2f}: mean from {min(shifted):.6f} to {max(shifted):.6f}")

assert off[50] < 1e-6
# spoil: off[50] = off[100]
assert off[200] > 0.5
# spoil: off[200] = off[50]

# %% [markdown]
# Strips about as wide as the posterior (its standard deviation is 0.45) are off by less than a millionth, wherever they
# lie. With strips four times as wide, all depends on where they lie. (The densities are smooth, and die out at the
# ends.)
#
# ## Completing the square
#
# Here no grid is needed. Both densities are exponentials of squares, and so is their product. Its exponent is
# $-\tfrac12$ times
#
# $$\begin{aligned}
# \frac{(1.2 - z)^2}{0.25} + z^2 &= 4\,(1.44 - 2.4\, z + z^2) + z^2 && \text{open the square} \\
# &= 5 z^2 - 9.6\, z + 5.76 && \text{collect} \\
# &= 5\,(z^2 - 1.92\, z) + 5.76 && \text{5 goes out in front} \\
# &= 5\,(z - 0.96)^2 - 5 \cdot 0.96^2 + 5.76 && (z - 0.96)^2 = z^2 - 1.92\, z + 0.96^2 \\
# &= \frac{(z - 0.96)^2}{0.2} + 1.152 .
# \end{aligned}$$
#
# Where $z$ stands, this is the exponent of $\mathcal{N}(z; 0.96, 0.2)$: that is the posterior. The rest, 1.152, holds
# no $z$ and belongs to the evidence. In front of the exponential stands $1/(2\pi \cdot 0.5)$, and the integral over $z$
# gives $\sqrt{2\pi \cdot 0.2}$. So
#
# $$p(1.2) = \frac{\sqrt{2\pi \cdot 0.2}}{2\pi \cdot 0.5}\, e^{-1.152/2}
#   = \frac{1}{\sqrt{2\pi \cdot 1.25}}\, e^{-1.2^2 / (2 \cdot 1.25)} = \mathcal{N}(1.2; 0, 1.25) .$$
#
# The evidence is a normal density in $x$, with the variances of signal and noise added.
#
# Do the same with letters, for any $x$ and $\sigma_x$. The number in front of $z^2$ is called the **precision**: one
# over the variance.


# %% tags=["blank"]
def posterior_of_normal(x, sigma_x):
    """Mean and variance of p(z|x), for p(z) = N(0, 1) and p(x|z) = N(x; z, sigma_x^2)."""
    raise NotImplementedError


check("bayes.normal", posterior_of_normal)

# %% [markdown]
# Three other routes have to agree: the grid; the library's `LinearGaussian`, the model $x = W z + \text{noise}$ with
# $W = 1$ here; and Bayes' rule solved for $p(x)$, without a sum: $p(x \mid z)\, p(z) / p(z \mid x)$ must be the *same*
# number at every $z$.

# %%
normal_posterior = use("bayes.normal", posterior_of_normal)
mean, variance = normal_posterior(x, sigma_x)
in_closed_form = normal(grid, mean, variance)  # (1601,)
near = abs(grid) < 3  # (1601,)
ratios = (likelihood * prior / in_closed_form)[near]  # (599,)  p(x), at each of these z
xs = np.linspace(-4, 4, 33)  # (33,)  other measurements
evidences = (normal(xs[:, None], grid, sigma_x**2) * prior).sum(axis=1) * step  # (33,)
model = LinearGaussian(W=np.eye(1), mean=np.zeros(1), sigma=sigma_x)
mu, cov = model.posterior(np.array([[x]]))  # (1, 1), (1, 1)
print(
    f"posterior: mean {mean:.4f}, variance {variance:.4f}; library {mu[0, 0]:.4f}, {cov[0, 0]:.4f}"
)
print(
    f"evidence: between {ratios.min():.10f} and {ratios.max():.10f} at {near.sum()} values of z"
)

assert np.allclose((mean, variance), (0.96, 0.2), rtol=1e-12)
# spoil: variance = 0.2**0.5
assert np.allclose(on_grid, in_closed_form, rtol=0, atol=1e-10)
# spoil: in_closed_form = normal(grid, x, variance)
assert np.allclose(ratios, normal(x, 0, 1 + sigma_x**2), rtol=1e-10)
# spoil: ratios = (likelihood * prior / normal(grid, 0.96, 0.21))[near]
assert np.allclose(evidences, normal(xs, 0, 1 + sigma_x**2), rtol=1e-10)
# spoil: evidences = (normal(xs[:, None], grid, sigma_x) * prior).sum(axis=1) * step
assert np.allclose((mu[0, 0], cov[0, 0]), (mean, variance), rtol=1e-12)
# spoil: cov = cov**0.5

# %% [markdown]
# *Write down a guess:* $x = 3$ lies far out, where the prior is low. Is the posterior then wider than at $x = 1.2$,
# narrower, or as wide? And where does its mean go as the noise grows?

# %%
guess = None  # "wider", "narrower" or "as wide"

# %% tags=["answer"]
noises, values = (0.25, 0.5, 2.0), (1.2, 3.0)
likelihoods = [[normal(v, grid, s**2) for s in noises] for v in values]  # a row an x
posteriors = [[density_of(prior, h, step) for h in row] for row in likelihoods]
found = np.array([[moments(density) for density in row] for row in posteriors])  # (2, 3, 2)
means, variances = found[:, :, 0], found[:, :, 1]  # (2, 3) each
print("means, a row an x:    ", means.round(3).tolist())
print("variances, a row an x:", variances.round(3).tolist())
by_square = normal(2.0, grid**2, sigma_x**2)  # (1601,)  a measurement of z^2, which gave 2
_, variance_by_square = moments(density_of(prior, by_square, step))
print(f"after a measurement of z^2: variance {variance_by_square:.2f}; your guess: {guess}")

assert np.allclose(variances[0], variances[1])  # x does not matter to the variance
# spoil: variances[1] *= 1.01
assert (variances < np.minimum(1, np.square(noises))).all()  # narrower than both
# spoil: variances[0, 1] = 0.26
weight = 1 / np.square(noises)  # (3,)  of x; that of 0 is 1
assert np.allclose(means, np.outer(values, weight / (1 + weight)))
# spoil: means = np.array(values)[:, None] - means
assert (np.diff(means) < 0).all()  # more noise: closer to the prior's mean
# spoil: means = means[:, ::-1]
assert variance_by_square > 1.5  # wider than the prior
# spoil: variance_by_square = variance

# %% tags=["answer"]
fig, axes = plt.subplots(
    2, 3, figsize=(7.2, 4.2), sharex=True, sharey=True, layout="constrained"
)
for (i, j), ax in np.ndenumerate(axes):
    ax.spines[["top", "right"]].set_visible(False)
    ax.plot(grid, prior, "--", color=GREY, label="prior")
    ax.plot(grid, likelihoods[i][j], ":", color=VERMILLION, label="likelihood")
    ax.fill_between(grid, posteriors[i][j], color=BLUE, alpha=0.3)
    ax.plot(grid, posteriors[i][j], color=BLUE, label="posterior")
    ax.set(xlim=(-3, 5), ylim=(0, 1.8), title=f"x = {values[i]}, noise {noises[j]}")
for ax in axes[1]:
    ax.set_xlabel("z")
axes[0, 2].legend(frameon=False)
show(
    fig,
    "Six panels, for two values of x and three of the noise. The posterior lies between prior and"
    " likelihood: close to the likelihood for small noise, closer to the prior for large. Within a"
    " column it has the same shape for both x.",
)

# %% [markdown]
# The mean is a mean of 0 and $x$ with the precisions as weights: at $x = 1.2$, noise 0.5, it is
# $(1 \cdot 0 + 4 \cdot 1.2) / 5$. The precisions add, so this posterior is narrower than the prior and than the
# likelihood, wherever $x$ is. That is no general rule. A measurement of $z^2$ that gave 2 leaves both signs open, and
# the variance grows. The first six made us less certain of the die, too.
#
# ## What sums to one, and what need not
#
# > **Often said.** "The likelihood is the probability of z."
# >
# > **What is true.** $p(x \mid z)$ is a distribution over $x$, for each $z$. Along $z$, for the $x$ that was seen, it
# > may sum or integrate to anything. For $\mathcal{N}(x; z, \sigma_x^2)$ it happens to be 1, since $x$ and $z$ can be
# > exchanged there.
# >
# > **Run the next cell.** *Before you do:* guess the integral over $z$ for a measurement of $2z$ with the same noise,
# > and for one bit that is 1 with the probability $1/(1 + e^{-z})$, and was 1.

# %%
guess = None  # two numbers

# %% tags=["answer"]
wide, wide_step = np.linspace(-16, 16, 3201, retstep=True)  # (3201,)  twice as far as before


def bit(z):
    """The probability of a bit that is 1."""
    return 1 / (1 + np.exp(-z))


over_z = {
    "measuring z": normal(x, wide, sigma_x**2).sum() * wide_step,
    "measuring 2z": normal(x, 2 * wide, sigma_x**2).sum() * wide_step,
    "bit to 8": bit(grid).sum() * step,
    "bit to 16": bit(wide).sum() * wide_step,
    "a six": dice_likelihood[:, 5].sum(),
}
for name, value in over_z.items():
    print(f"{name:16} {value:8.4f}")
bit_evidence = (bit(wide) * normal(wide, 0, 1)).sum() * wide_step
print(f"evidence of the bit: {bit_evidence:.6f}; your guess: {guess}")

assert np.isclose(over_z["measuring z"], 1)
# spoil: over_z["measuring z"] = over_z["measuring 2z"]
assert np.isclose(over_z["measuring 2z"], 1 / 2)  # half as wide in z, and as high
# spoil: over_z["measuring 2z"] = over_z["measuring z"]
assert over_z["bit to 16"] > 1.9 * over_z["bit to 8"]  # it grows with the grid, without end
# spoil: over_z["bit to 16"] = over_z["bit to 8"]
assert abs(over_z["a six"] - 1) > 0.05
# spoil: over_z["a six"] = dice_likelihood[0].sum()
assert np.isclose(bit_evidence, 1 / 2)  # by symmetry: bit(z) + bit(-z) = 1
# spoil: bit_evidence = over_z["bit to 8"]

# %% [markdown]
# Bayes' rule does not mind. It needs the integral of likelihood *times prior*, which is $\frac12$ for the bit.
#
# ## What will be hard
#
# Whoever builds the model chooses prior and likelihood, and the joint is one multiplication. But the evidence needs
# *every* $z$ that could have made this $x$, and the posterior needs the evidence.
#
# *Write down a guess:* you have the joint at any $z$ you like, and no sum over all. Which of the two can you answer?
# First: by which factor is the posterior larger at $z = 1$ than at $z = 0$? Second: how large is it at $z = 1$?

# %%
guess = None  # "first", "second", "both" or "none"

# %% tags=["answer"]
at_one, at_zero = (normal(x, z, sigma_x**2) * normal(z, 0, 1) for z in (1.0, 0.0))
factor = at_one / at_zero
large = at_one / ((likelihood * prior).sum() * step)
print(f"first:  {factor:.2f} times as large, from two products: the evidence cancels")
print(f"second: {large:.4f}, a product divided by a sum over the grid;   your guess: {guess}")

assert np.isclose(factor, normal(1.0, 0.96, 0.2) / normal(0.0, 0.96, 0.2))
# spoil: factor = normal(x, 1.0, sigma_x**2) / normal(x, 0.0, sigma_x**2)
assert np.isclose(large, normal(1.0, 0.96, 0.2))
# spoil: large = at_one

# %% [markdown]
# Here 17 strips were enough. With $Z$ latents a grid of 17 on each axis has $17^Z$ points.
# [The next page](03_the_evidence.ipynb) shows when the sum gets out of reach, page 04 what is left.
#
# ## Your progress

# %%
progress("bayes")

# %% [markdown]
# ## Recap
#
# 1. **Definition.** $p(z \mid x) = p(x \mid z)\, p(z) / p(x)$: posterior = likelihood times prior over evidence.
# 2. **One area, two cuts.** $p(x \mid z)\, p(z) = p(x, z) = p(z \mid x)\, p(x)$.
# 3. **Evidence.** $p(x) = \sum_z p(x \mid z)\, p(z)$, or an integral: the likelihood averaged over the prior.
# 4. **What sums to one.** The prior over $z$, the likelihood over $x$, the posterior over $z$. The likelihood over $z$
#    need not.
# 5. **When it is easy.** A short table, a grid in one dimension, or a model that is linear and Gaussian, where
#    precisions add.
#
# ## On your own
#
# 1. Which faces make *fair* most probable? How probable?
# 2. How common must loaded dice be, for one six to make *loaded* as probable as *fair*? Draw its square.
# 3. Draw the posterior for the measurement of $z^2$, for $x = 2$ and for $x = -1$. Why is neither a normal density?
# 4. Complete the square for a prior $\mathcal{N}(m, s^2)$. Then measure twice: does it matter in which order?
# 5. *A small project.* Estimate the evidence of the measurement of $z^2$ as a mean height at draws from the prior. Plot
#    the standard error against the number of draws.
#
# ## Further reading
#
# - David MacKay, *Information Theory, Inference, and Learning Algorithms* (2003), chapters 2 and 3.
# - Christopher Bishop, *Pattern Recognition and Machine Learning* (2006), sections 1.2 and 2.3.
# - The derivation pages on [Bayes and the evidence](derivations/01_evidence.ipynb) and on
#   [the linear-Gaussian model](derivations/09_linear_gaussian.ipynb).
#
# [Back: autoencoders](01_autoencoders.ipynb) · [Contents](README.md) ·
# [Next: the evidence](03_the_evidence.ipynb)
