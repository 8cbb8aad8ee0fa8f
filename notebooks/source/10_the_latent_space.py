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
# # 10 · The latent space
#
# A trained VAE has put every image somewhere in a space of a few numbers, and can make an image from any point of it.
# This page walks through that space: what lies where, what lies between, and what generation really means.
#
# **What you will do**
# - draw the whole latent plane of a model with two latents, and walk along a line in it;
# - put an autoencoder and a VAE side by side, and count their holes;
# - generate images in two draws, and compare draws with means.
#
# **What you will learn**
# - why the space of a VAE is smooth, and why it still has holes;
# - the difference between reconstructing and generating;
# - why most published pictures are not samples.
#
# **What you need**
# - pages 01 and 09. About 20 minutes. It runs in about fifteen seconds.

# %%
from importlib.util import find_spec

if find_spec("scratchvae") is None:
    raise SystemExit(
        "This page needs scratchvae; in the README's folder: pip install -r requirements.txt"
    )

import numpy as np

from scratchvae import VAE, Adam, Autoencoder, fit, load_data
from scratchvae.batches import binarised
from scratchvae.evaluation import log_evidence
from scratchvae.view.notebook import panels, show
from scratchvae.view.plots import latent_scatter, manifold

data = load_data("mnist-sample")
x_train, x_test, y_test = data.x_train[:5000], data.x_test, data.y_test  # (N, D), (M, D), (M,)
bits = binarised(x_test, "dynamic", np.random.default_rng(9)).astype("float32")  # (M, D)

# %% [markdown]
# Two models of the same size, trained on the same images: an autoencoder and a VAE, both with $Z = 2$ latents. We
# also keep a VAE whose KL term has almost no weight ($\beta = 0.01$ in place of 1), to see what the KL does.

# %%
models = {}
for name, kind, beta in (
    ("autoencoder", Autoencoder, 1),
    ("VAE", VAE, 1),
    ("VAE, beta 0.01", VAE, 0.01),
):
    rng = np.random.default_rng(0)
    model = kind(n_x=784, n_hidden=(200,), n_z=2, rng=rng)
    how = {
        "epochs": 12,
        "optimizer": Adam(lr=2e-3),
        "rng": rng,
        "beta": beta,
        "progress": False,
    }
    history = fit(model, x_train, x_test[:500], **how)
    models[name] = model
vae = models["VAE"]

# %% [markdown]
# ## The manifold
#
# For each point $z$ of the plane the decoder gives $p(x \mid z)$, whose mean we can show. Equal steps in $z$ would
# spend most of the picture on points that the prior $p(z) = \mathcal{N}(0, I)$ hardly ever draws. So the grid lies on
# the **quantiles** of the prior: each tile stands for the same share of its probability.

# %%
show(
    manifold(vae, data.image_shape, n=14),
    "A grid of digits over the latent plane: neighbours look alike, and classes pass into each other.",
)

# %% [markdown]
# Neighbouring tiles look alike. Between the regions of two digits there are shapes that are neither.
#
# > **Often said.** "The latent space is smooth because each image has a mean and a standard deviation."
# >
# > **What is true.** Two things make it smooth, together. The noise: the decoder must cope with every $z$ near $\mu$,
# > so it cannot change much within a distance of $\sigma$. And the KL: it keeps $\sigma$ from shrinking to zero, and
# > the means from running away. Without the KL, $\sigma$ shrinks and the VAE becomes an autoencoder.
# >
# > **Run this cell.** It prints what the encoders of the two VAEs return.

# %% tags=["claim-15"]
spread, typical = {}, {}
for name in ("VAE", "VAE, beta 0.01"):
    mu, logvar, _ = models[name].encode(bits)  # (M, Z), (M, Z)
    spread[name] = mu.std()
    typical[name] = np.exp(0.5 * logvar).mean()
    ratio = spread[name] / typical[name]
    print(
        f"{name:15} typical sigma {typical[name]:.3f}, spread of the means {spread[name]:.2f}",
        end="",
    )
    print(f", so about {ratio:.0f} sigmas fit into one spread")

assert typical["VAE, beta 0.01"] < typical["VAE"]
assert spread["VAE, beta 0.01"] / typical["VAE, beta 0.01"] > 3 * spread["VAE"] / typical["VAE"]

# %% [markdown]
# ## Where the images are
#
# $q(z \mid x)$ is a small blob around $\mu(x)$. The blobs of all images together should fill the prior: that is what
# the KL asks for.

# %%
show(
    latent_scatter(vae, bits[:1000], y_test[:1000]),
    "The means of 1,000 images, a colour a digit, a small map for each: a cloud about as wide as the prior's circles.",
)

# %% [markdown]
# ### Holes
#
# Draw $z$ from the prior. Does it fall where images are? Page 01 asked that of an autoencoder and got a bad answer.
# We measure it in the same way for all three models: how often is a drawn code farther from every training image than
# 95 of 100 held-out images are? A model without a prior has to be given one: a normal distribution with the mean and
# covariance of its codes.

# %%
train_bits = binarised(x_train, "dynamic", np.random.default_rng(10)).astype("float32")
holes = {}
for name, model in models.items():
    z_train, z_test = (
        np.asarray(model.encode(x)[0], float) for x in (train_bits, bits)
    )  # (N, 2), (M, 2)
    rng = np.random.default_rng(1)
    if model is vae:
        z = rng.standard_normal((1000, 2))  # the prior
    else:
        z = rng.multivariate_normal(z_train.mean(axis=0), np.cov(z_train.T), size=1000)
    nearest = [np.sqrt(((p - z_train) ** 2).sum(axis=1).min()) for p in (*z_test, *z)]
    limit = np.quantile(nearest[: len(z_test)], 0.95)
    holes[name] = np.mean(np.array(nearest[len(z_test) :]) > limit)
    print(f"{name:15} {holes[name]:5.1%} of drawn codes fall into holes")

assert holes["VAE"] < holes["autoencoder"]

# %% [markdown]
# The VAE has fewer holes. It does not have none: the blobs need not fill the prior everywhere, and the prior has mass
# where no image was put.
#
# ## A walk between two images
#
# Take two images, encode both, and walk in a straight line from one mean to the other. Decode each step.


# %%
def walk(model, start, end, steps=9):
    """Decoder means along the line between the codes of two images, (steps, D)."""
    a, b = (model.encode(image[None])[0] for image in (start, end))  # (1, 2), (1, 2)
    t = np.linspace(0, 1, steps)[:, None]  # (steps, 1)
    return model.likelihood.mean(model.decode(((1 - t) * a + t * b).astype("float32"))[0])


one, zero = bits[y_test == 1][0], bits[y_test == 0][0]
walks = {name: walk(model, one, zero) for name, model in models.items()}

fig, axes = panels(1, height=2.9)
rows = [
    np.hstack(list(images.reshape(-1, 28, 28))) for images in walks.values()
]  # (28, 9 * 28) each
axes.imshow(np.vstack(rows), cmap="gray", vmin=0, vmax=1)
axes.set_yticks([14, 42, 70], list(walks))
axes.set_xticks([14, 28 * 8 + 14], ["code of a one", "code of a zero"])
axes.set_title("Decoder means along a line between two codes")
for side in ("left", "bottom"):
    axes.spines[side].set_visible(False)
axes.tick_params(length=0)
show(
    fig,
    "Three rows of nine pictures from a one to a zero: autoencoder, VAE, VAE with a weak KL.",
)

# %% [markdown]
# How typical are the steps in between? A generative model can say: $\log p(x)$, estimated by importance sampling
# (page 03), for images drawn along the way. *Before you run the cell:* where will it be lowest?

# %%
path = walks["VAE"]
drawn = (np.random.default_rng(2).random((20, *path.shape)) < path).reshape(
    -1, 784
)  # (20 * 9, D)
log_px = log_evidence(vae, drawn.astype("float32"), 50, np.random.default_rng(3)).reshape(
    20, -1
)  # (20, 9)
middle, error = log_px.mean(axis=0), log_px.std(axis=0, ddof=1) / np.sqrt(20)

fig, ax = panels(height=2.6, xlabel="step of the walk", ylabel="log p(x), nats per image")
ax.set_title("How probable the VAE finds images drawn along its own walk")
ax.errorbar(range(9), middle, 2 * error, color="#0072B2", marker="o", capsize=3)
show(fig, "A curve with error bars of two standard errors over the nine steps of the walk.")

assert middle[0] - middle[-1] > 5 * np.hypot(error[0], error[-1])

# %% [markdown]
# The lowest point lies past the middle, but most of the fall has another reason. A one is a simple image, with few
# pixels near an edge; a zero has many, and each uncertain pixel costs up to $\log 2$ nats. So $\log p(x)$ is not a
# measure of how good an image looks: it also counts how much there is to say.
#
# ## Generation takes two draws
#
# > **Often said.** "Sample from the latent distribution to generate."
# >
# > **What is true.** There are two latent distributions. $q(z \mid x)$ belongs to an image: drawing from it gives
# > variations of that image, a **reconstruction**. **Generation** knows no image: draw $z$ from the prior $p(z)$,
# > then $x$ from $p(x \mid z)$.
# >
# > **Run this cell.** It draws 200 images in both ways and asks how far they are from one given image.

# %% tags=["claim-14"]
rng = np.random.default_rng(4)
image = bits[y_test == 0][0][None]  # (1, D)  a zero
mu, logvar, _ = vae.encode(image)
z_q = mu + np.exp(0.5 * logvar) * vae.draw_eps(200, rng)  # (200, 2)  z ~ q(z|x)
z_p = vae.draw_eps(200, rng)  # (200, 2)  z ~ p(z)
distances = {}
for name, z in (("z from q(z|x)", z_q), ("z from the prior", z_p)):
    x_mean = vae.likelihood.mean(vae.decode(z)[0])  # (200, D)
    distances[name] = np.abs(x_mean - image).mean(axis=1)  # (200,)
    m, e = distances[name].mean(), distances[name].std() / np.sqrt(200)
    print(f"{name:17} differs from the image by {m:.4f} ± {e:.4f} a pixel")

gap = distances["z from the prior"].mean() - distances["z from q(z|x)"].mean()
assert gap > 5 * distances["z from the prior"].std() / np.sqrt(200)

# %% [markdown]
# ### Means are not samples
#
# The second draw, $x \sim p(x \mid z)$, is often left out, and the decoder's mean is shown instead. The mean is not
# an image that the model would ever produce: its pixels are grey, while the model's images have pixels that are 0 or
# 1. Under this model each pixel is drawn on its own, given $z$, and so real samples look grainy. That grain is what
# the model has not learned.

# %% tags=["stumble-09"]
means = vae.sample(16, np.random.default_rng(5))  # (16, D)
draws = vae.sample(16, np.random.default_rng(5), draw=True)  # (16, D)  the same z

fig, axes = panels(2, height=2.0)
for ax, images, title in zip(
    axes, (means, draws), ("decoder means E[x|z]", "draws x ~ p(x|z)"), strict=True
):
    sheet = images.reshape(2, 8, 28, 28).transpose(0, 2, 1, 3).reshape(56, 224)
    ax.imshow(sheet, cmap="gray", vmin=0, vmax=1)
    ax.set_title(title)
    ax.axis("off")
show(
    fig,
    "Left, sixteen smooth grey digits; right, the same sixteen drawn pixel by pixel, grainy.",
)

values = np.unique(draws)
grey = ((means > 0.05) & (means < 0.95)).mean()
print(f"draws take the values {values.tolist()}; {grey:.0%} of the means' pixels are grey")

assert set(values) == {0.0, 1.0}
assert grey > 0.1

# %% [markdown]
# The same care is needed when reconstructing. With `reconstruct(x)` the library decodes the mean $\mu$ and shows the
# mean image: no noise at all, the same every time. With a generator, `reconstruct(x, rng)`, it draws twice. And the
# ELBO of a held-out image is neither: it is defined with $z$ drawn from $q(z \mid x)$. Put $\mu$ in its place and you
# get another number, which is not a bound on anything.

# %%
eps = vae.draw_eps(len(bits), np.random.default_rng(6))
with_draws, _ = vae.objective(bits, eps)
with_means, _ = vae.objective(bits, 0 * eps)  # z = mu
difference = with_means.elbo.astype(float) - with_draws.elbo  # (M,)
error = difference.std() / np.sqrt(len(bits))
print(
    f"the 'ELBO' at z = mu is too good by {difference.mean():.2f} ± {error:.2f} nats per image"
)

assert np.array_equal(vae.reconstruct(bits[:5]), vae.reconstruct(bits[:5]))
assert difference.mean() > 5 * error

# %% [markdown]
# ## The model's distribution is not the data's
#
# > **Often said.** "The VAE learns p(x)", as if there were one.
# >
# > **What is true.** There are two. $p_\text{data}(x)$ made the images; nobody can evaluate it. $p_\theta(x)$ is the
# > model's, with parameters $\theta$, and it is what the evidence, the bound and the samples belong to. Training
# > brings the second near the first. Where they differ, only a look at data can tell.
# >
# > **Run this cell.** It compares one simple statistic, the share of lit pixels in an image, in data and in samples.

# %% tags=["claim-16"]
ink_data = bits.mean(axis=1)  # (M,)
ink_model = vae.sample(2000, np.random.default_rng(7), draw=True).mean(axis=1)  # (2000,)
for name, ink in (("data", ink_data), ("model", ink_model)):
    print(f"{name:6} share of lit pixels {ink.mean():.4f}, standard deviation {ink.std():.4f}")


def transitions(images):
    """How often neighbouring pixels in a row differ, per image: grain has many."""
    return np.abs(np.diff(images.reshape(-1, 28, 28), axis=2)).sum(axis=(1, 2)).mean()


grain_data, grain_model = (
    transitions(bits),
    transitions(vae.sample(2000, np.random.default_rng(8), draw=True)),
)
print(f"changes from pixel to pixel, per image: data {grain_data:.0f}, model {grain_model:.0f}")

assert grain_model > 1.2 * grain_data  # the ink nearly agrees, the grain does not

# %% [markdown]
# ## Recap
#
# 1. **Definition.** The latent space is where $z$ lives; the prior $p(z) = \mathcal{N}(0, I)$ says how it is used.
# 2. **Two draws.** Generation: $z \sim p(z)$, then $x \sim p(x \mid z)$. Reconstruction: $z \sim q(z \mid x)$ first.
# 3. **Smoothness.** From noise and KL together; weaken the KL and $\sigma$ shrinks.
# 4. **Holes.** Fewer than an autoencoder has, but some: the blobs of $q$ need not fill the prior.
# 5. **Pictures.** A mean is not a sample; say which one is shown.
#
# ## On your own
#
# 1. Why does the manifold use quantiles of the prior and not equal steps? What share of the prior does a tile stand
#    for?
# 2. Walk from a four to a nine and from a one to an eight. Which walk crosses a third digit?
# 3. Use twenty latents and repeat the count of holes. Why is nearest distance a poor measure there?
# 4. Replace the straight walk by one on a circle around the origin. When would that be the better choice?
# 5. *A small project.* Estimate $\mathrm{KL}$ between the mixture of all $q(z \mid x)$ and the prior on a grid for
#    the model with two latents. Does it agree with what you see in the scatter?
#
# ## Further reading
#
# - Irina Higgins and others, *beta-VAE* (2017), for the weight of the KL.
# - Matthew Hoffman and Matthew Johnson, *ELBO surgery* (2016), for the mixture of all $q$ and the prior.
#
# [Back: train a VAE on digits](09_train_a_vae_on_digits.ipynb) · [Contents](README.md) ·
# [Next: the same code on a GPU](11_the_same_code_on_a_gpu.ipynb)
