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
# # 00 · Start here
#
# This course builds a variational autoencoder (VAE) by hand: every layer, every derivative, every line of the
# derivation. This page says what such a model is for, shows where the course is going, and checks your installation.
#
# **What you will do**
# - fit two kinds of model to the same small data set, and ask both the same questions;
# - train a first VAE on real digits and look at what it has learned;
# - check that the package on your machine computes what it should.
#
# **What you will learn**
# - what a discriminative model and a generative model answer;
# - what the pages of this course are about;
# - which numbers to expect to repeat exactly, and which only nearly.
#
# **What you need**
# - some Python, and what a probability density is. About 15 minutes. It runs in about ten seconds.

# %%
from importlib.util import find_spec

if find_spec("scratchvae") is None:
    raise SystemExit(
        "This page needs scratchvae; in the README's folder: pip install -r requirements.txt"
    )

import numpy as np

from scratchvae import VAE, Adam, Dense, fit, load_data
from scratchvae.data.toy import mixture
from scratchvae.view.notebook import panels, show
from scratchvae.view.plots import manifold

COLOURS, MARKERS = ("#0072B2", "#D55E00", "#009E73"), ("o", "s", "^")

# %% [markdown]
# ## Two questions about the same data
#
# Here are 300 points $x$ in the plane. Each belongs to one of three classes, $y = 0, 1, 2$. Write $B = 300$ for the
# number of points; `x` has the shape $(B, 2)$ and `y` the shape $(B,)$.

# %%
x, y = mixture(300, np.random.default_rng(0))  # (B, 2), (B,)

fig, ax = panels(height=3.4, width=4.6, xlabel="$x_1$", ylabel="$x_2$", aspect="equal")
ax.set_title("300 points of three classes")
for k in range(3):
    ax.plot(*x[y == k].T, MARKERS[k], color=COLOURS[k], markersize=3, label=f"y = {k}")
ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
show(
    fig,
    "Three round clouds of points in the plane, one for each class, at the corners of a triangle.",
)

# %% [markdown]
# Two questions can be asked about such data.
#
# - *Which class does this point belong to?* The answer is $p(y \mid x)$: for each point, three probabilities. A model
#   that is built to answer only this is **discriminative**.
# - *What do such points look like?* The answer is $p(x, y)$, or $p(x)$ where there are no labels. A model that
#   answers this is **generative**: it can make new points.
#
# ### A discriminative model
#
# One dense layer gives three scores for each point, $s = x W + b$, with $W$ of the shape $(2, 3)$ and $b$ of the
# shape $(3,)$. The **softmax** turns scores into probabilities: $p(y = k \mid x) = e^{s_k} / \sum_j e^{s_j}$.
# Gradient ascent on the mean of $\log p(y \mid x)$ fits $W$ and $b$. The gradient of that with respect to the scores
# is (one-hot label minus probability) over $B$; how a gradient reaches $W$ and $b$ is the subject of page 08.

# %%
layer = Dense(2, 3, rng=np.random.default_rng(0), dtype="float64")
one_hot = np.eye(3)[y]  # (B, 3)


def class_probabilities(points):
    """p(y|x) for rows of points: (N, 3), and what the backward pass needs."""
    scores, cache = layer.forward(points)  # (N, 3)
    e = np.exp(scores - scores.max(axis=1, keepdims=True))  # (N, 3)
    return e / e.sum(axis=1, keepdims=True), cache


for _ in range(200):
    p, cache = class_probabilities(x)
    _, grads = layer.backward((one_hot - p) / len(x), cache)
    for name, parameter in layer.params.items():
        parameter += 2.0 * grads[name]  # ascent: uphill

accuracy = (class_probabilities(x)[0].argmax(axis=1) == y).mean()
print(f"{accuracy:.1%} of the points are given their own class")

assert accuracy > 0.95
assert np.allclose(class_probabilities(x)[0].sum(axis=1), 1)

# %% [markdown]
# It answers the first question well. The second it cannot answer at all. *Before you run the cell:* what does it say
# about a point that lies far from everything it has seen?

# %%
far = np.array([[30.0, -12.0]])
p, _ = class_probabilities(far)
print(
    "a point far from all the others:",
    "  ".join(f"p(y = {k}) = {v:.6f}" for k, v in enumerate(p[0])),
)

assert p.max() > 0.999

# %% [markdown]
# It is sure of itself. It knows where the borders between classes run, and nothing about where points are.
#
# ### A generative model
#
# Now model the points themselves: $p(x, y) = p(y)\, p(x \mid y)$, with a normal density for each class whose mean and
# variance are those of the class. Two lines fit it. **Bayes' rule**, the subject of page 02, gives the classes back:
# $p(y \mid x) = p(x \mid y)\, p(y) / p(x)$.

# %%
means = np.stack([x[y == k].mean(axis=0) for k in range(3)])  # (3, 2)
variances = np.array([x[y == k].var(axis=0).mean() for k in range(3)])  # (3,)
p_y = np.bincount(y) / len(y)  # (3,)


def joint_density(points):
    """p(x, y) for rows of points and every class: (N, 3)."""
    squares = ((points[:, None] - means) ** 2).sum(axis=2)  # (N, 3)
    return p_y * np.exp(-0.5 * squares / variances) / (2 * np.pi * variances)


generative_accuracy = (joint_density(x).argmax(axis=1) == y).mean()
density_at_points, density_far = joint_density(x).sum(axis=1), joint_density(far).sum()
print(f"{generative_accuracy:.1%} of the points are given their own class")
print(
    f"p(x) is {np.median(density_at_points):.3f} at a typical point, {density_far:.1e} far away"
)

assert generative_accuracy > 0.95
assert density_far < 1e-100

# %% [markdown]
# The generative model answers both questions, and it also says that the far point is like nothing that it knows. And
# it can make new points: draw a class from $p(y)$, then a point from $p(x \mid y)$.

# %%
rng = np.random.default_rng(1)
new_y = rng.choice(3, size=300, p=p_y)  # (300,)
new_x = means[new_y] + np.sqrt(variances[new_y])[:, None] * rng.standard_normal(
    (300, 2)
)  # (300, 2)

fig, axes = panels(
    2, height=3.2, xlabel="$x_1$", ylabel="$x_2$", aspect="equal", xlim=(-3, 3), ylim=(-2.5, 3)
)
for ax, points, labels, title in zip(
    axes, (x, new_x), (y, new_y), ("data", "drawn from the model"), strict=True
):
    ax.set_title(title)
    for k in range(3):
        ax.plot(*points[labels == k].T, MARKERS[k], color=COLOURS[k], markersize=3)
show(
    fig,
    "Two panels that look alike: the data, and as many points drawn from the model.",
)

# %% [markdown]
# ## Where the course is going
#
# A blob for each class is enough for this data set. It is not enough for pictures. An image of a digit is a point
# with 784 coordinates, and digits do not form round clouds. A **variational autoencoder** is a generative model for
# such data: it draws a few numbers $z$, the **latent** variables, from a simple distribution, and a neural network,
# the **decoder**, turns them into a picture. Here is one with two latents, trained for a few seconds.
#
# Training makes one number as large as it can: the **ELBO**, a lower bound of $\log p(x)$, whose name and derivation
# are the subject of page 06. Higher is better. Its unit is the **nat**, the unit of natural logarithms. An **epoch**
# is one pass over the training images.

# %%
data = load_data("mnist-sample")
rng = np.random.default_rng(0)
vae = VAE(n_x=784, n_hidden=(200,), n_z=2, rng=rng)
history = fit(
    vae,
    data.x_train[:4000],
    data.x_test[:500],
    epochs=10,
    optimizer=Adam(lr=2e-3),
    rng=rng,
    progress=False,
)
first, last = history["test_elbo"][0], history["test_elbo"][-1]
print(f"test ELBO after the first epoch {first:.1f}, after the last {last:.1f}")
print("(nats per image, pixels binarised afresh each epoch)")

assert last > first

# %%
show(
    manifold(vae, data.image_shape, n=14),
    "A grid of pictures made by the decoder: neighbours look alike, several digits are seen.",
)

# %% [markdown]
# Nobody told the model which digit is which. What the numbers mean, why the picture looks as it does, and how the
# training works without any automatic differentiation, is what the other pages are about.
#
# | pages | the question |
# |---|---|
# | 01 | What is an autoencoder, and why can one not sample from it? |
# | 02, 03 | What does Bayes' rule say about $z$, and why is it hard to compute? |
# | 04, 05 | What can be computed instead? |
# | 06, 07, 08 | How do gradients get through a random draw, and through a network, by hand? |
# | 09, 10 | What happens in training, and what has been learned? |
# | 11 | What changes on a GPU? |
#
# > **Often said.** "The VAE was invented by ..." and one name follows.
# >
# > **What is true.** It has two origins in the same months: Diederik Kingma and Max Welling (arXiv 1312.6114,
# > December 2013) and Danilo Rezende, Shakir Mohamed and Daan Wierstra (arXiv 1401.4082, January 2014). The library
# > names both.
# >
# > **Run this cell.**

# %% tags=["claim-19"]
for line in VAE.__doc__.splitlines():
    if "arXiv" in line:
        print(line.strip())

assert all(number in VAE.__doc__ for number in ("1312.6114", "1401.4082"))

# %% [markdown]
# ## Is my installation sound?
#
# `python -m scratchvae doctor` answers that from a terminal. It checks that the embedded images are complete, that
# two numbers which can be worked out by hand come out right, and that gradients agree with finite differences. The
# same checks from Python:

# %% tags=["stumble-12"]
from scratchvae.commands.doctor import checks

for name, holds, _figure in checks("numpy"):
    print("ok  " if holds else "FAIL", name)
    assert holds, f"{name}: install the package again"

# %% [markdown]
# ### What repeats exactly, and what does not
#
# All randomness in this course comes from a generator with a seed, such as `np.random.default_rng(0)`, that is handed
# to the function which needs it. On one machine with one set of versions, the same seed gives the same bits, run
# after run. Across machines it does not: processors add numbers in different orders, and rounding differs in the last
# digits. Training then lets small differences grow. So the course promises equality on your machine, and agreement
# within stated tolerances on others.

# %% tags=["stumble-13"]
results = []
for _ in range(2):
    rng = np.random.default_rng(7)
    small = VAE(n_x=784, n_hidden=(32,), n_z=2, rng=rng)
    fit(
        small,
        data.x_train[:500],
        data.x_test[:100],
        epochs=1,
        optimizer=Adam(),
        rng=rng,
        progress=False,
    )
    results.append(small.params["mu.W"].copy())

numbers = np.random.default_rng(0).standard_normal(100_000).astype("float32")
forward, backward = np.cumsum(numbers)[-1], np.cumsum(numbers[::-1])[-1]
print("two runs with one seed: largest difference", np.abs(results[0] - results[1]).max())
print(
    f"the same 100,000 numbers added from the left {forward:.4f}, from the right {backward:.4f}"
)

assert np.array_equal(*results)  # bit for bit
assert forward != backward  # the order of a sum matters in floating point
assert np.isclose(forward, backward, rtol=1e-3)

# %% [markdown]
# ## Recap
#
# 1. **Discriminative.** A model of $p(y \mid x)$: it draws borders, and cannot make an $x$.
# 2. **Generative.** A model of $p(x)$ or $p(x, y)$: it can make an $x$, and by Bayes' rule it can classify.
# 3. **VAE.** A generative model that draws a few latent numbers $z$ and decodes them.
# 4. **Unit.** Log-probabilities are in nats (natural logarithms), summed over pixels, averaged over images.
# 5. **What repeats.** Bits on one machine with one seed; tolerances everywhere else.
#
# ## On your own
#
# 1. Which of the two models of the plane would you use to find mislabelled points, and why?
# 2. Draw the three classes closer together (`mixture` takes `centres` and `sigma`). Which accuracy suffers first?
# 3. Give the generative model one variance per coordinate. Does it draw points that look more like the data?
# 4. *A small project.* Fit the generative model of this page, a normal density for each class, to the digits. Draw
#    from it and look at the pictures. What is missing?
#
# ## Further reading
#
# - Andrew Ng and Michael Jordan, *On discriminative vs. generative classifiers* (2001).
# - Diederik Kingma and Max Welling, *An Introduction to Variational Autoencoders* (2019), arXiv 1906.02691.
#
# [Contents](README.md) · [Next: autoencoders](01_autoencoders.ipynb)
