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
# # 01 · Autoencoders
#
# An autoencoder squeezes an image through a few numbers and is asked to give the image back. It is the ancestor of
# the VAE. This page builds one, compares it with a method from linear algebra, and shows what it cannot do.
#
# **What you will do**
# - train an autoencoder with two numbers between encoder and decoder;
# - show that a linear one finds the subspace of principal component analysis (PCA);
# - try to make new images with it, and fail.
#
# **What you will learn**
# - what a bottleneck keeps and what it loses;
# - that a bottleneck need not be narrow, and what a wide one does;
# - why the space of codes of an autoencoder cannot be sampled.
#
# **What you need**
# - matrices, eigenvectors, and page 00. About 20 minutes. It runs in about ten seconds.

# %%
from importlib.util import find_spec

if find_spec("scratchvae") is None:
    raise SystemExit(
        "This page needs scratchvae; in the README's folder: pip install -r requirements.txt"
    )

import numpy as np

from scratchvae import Adam, Autoencoder, Gaussian, fit, load_data
from scratchvae.view.notebook import panels, show
from scratchvae.view.plots import latent_scatter, reconstructions

data = load_data("mnist-sample")
x_train, x_test = data.x_train[:4000], data.x_test[:1000]  # (N, D), (M, D)  uint8

# %% [markdown]
# ## The bottleneck
#
# Write $x$ for an image, a row of $D = 784$ pixels. An **autoencoder** has two halves.
#
# - The **encoder** $f$ turns $x$ into a **code** $z = f(x)$ of $Z$ numbers.
# - The **decoder** $g$ turns $z$ into a picture.
#
# Both are small neural networks. Between them is the **bottleneck**: all that the decoder learns about $x$ are the
# $Z$ numbers in $z$. With $Z = 2$ each image becomes a point in the plane.
#
# Training needs a measure of how well the decoder does. The decoder's output is read as a distribution $p(x \mid z)$
# over images, and training maximises $\log p(x \mid z)$ at $z = f(x)$. For pixels that are on or off the natural
# choice is a probability for each pixel to be on, the **Bernoulli** likelihood. Its negative logarithm,
#
# $$\text{nll} = -\log p(x \mid z),$$
#
# is measured in **nats**, the unit of natural logarithms, summed over the 784 pixels. Page 09 says more about this
# choice. An **epoch** is one pass over the training images, and `Adam` a way of following the gradient; both come
# back on page 09 too.

# %%
rng = np.random.default_rng(0)
model = Autoencoder(n_x=784, n_hidden=(200,), n_z=2, rng=rng)
history = fit(
    model, x_train, x_test, epochs=12, optimizer=Adam(lr=2e-3), rng=rng, progress=False
)
print("nll per held-out image, in nats, pixels binarised:")
print("  after 1 epoch  ", round(history["test_nll"][0], 1))
print("  after 12 epochs", round(history["test_nll"][-1], 1))

assert history["test_nll"][-1] < history["test_nll"][0]

# %% [markdown]
# *Before you look:* two numbers for 784 pixels. Which properties of a digit will survive, and which will not?

# %%
_, first = np.unique(data.y_test[:1000], return_index=True)
ten = x_test[first]  # (10, D)  the first of each digit
show(
    reconstructions(model, ten, data.image_shape),
    "Ten digits and below each what the decoder makes of its code: blurred, some taken for another digit.",
)

# %% [markdown]
# Overall shape survives: how round, how slanted, how many strokes. Fine detail does not. Where two digits have
# similar codes, the decoder shows something between them.
#
# ## A linear autoencoder finds PCA's subspace
#
# Take the activation functions and the hidden layers away. Encoder and decoder are then matrices and offsets:
#
# $$z = x W_e + b_e, \qquad \hat x = z W_d + b_d,$$
#
# with $W_e$ of the shape $(D, Z)$ and $W_d$ of the shape $(Z, D)$. Measure the error by squares: the **Gaussian**
# likelihood with a fixed standard deviation $\sigma$ has
#
# $$\text{nll} = \frac{1}{2\sigma^2} \lVert x - \hat x \rVert^2 + \text{constant}.$$
#
# Every $\hat x$ lies in a plane of dimension $Z$: the offset $b_d$ plus the rows of $W_d$. Which plane is best?
# Linear algebra knows the answer. Among all planes of dimension $Z$, the one through the mean that is spanned by the
# $Z$ leading eigenvectors of the covariance matrix of $x$ has the smallest mean squared distance to the data (the
# theorem of Eckart and Young). It is the plane of **principal component analysis**.
#
# We train the linear autoencoder and compare the two planes. To keep it quick we use images shrunk to $7 \times 7$
# pixels, so $D = 49$, and $Z = 2$.


# %%
def shrink(images):
    """Rows of 28 x 28 pixels to rows of 7 x 7, by averaging blocks of 4 x 4: (N, 49), in [0, 1]."""
    return images.reshape(-1, 7, 4, 7, 4).mean(axis=(2, 4)).reshape(len(images), -1) / 255


small_train, small_test = shrink(x_train), shrink(x_test)  # (N, 49), (M, 49)
n_z = 2
rng = np.random.default_rng(1)
linear = Autoencoder(49, n_hidden=(), n_z=n_z, likelihood=Gaussian(), rng=rng, dtype="float64")
linear_history = fit(
    linear,
    small_train,
    small_test,
    epochs=60,
    optimizer=Adam(),
    rng=rng,
    schedule=lambda epoch: 2e-2 * 0.93**epoch,
    binarise="none",
    progress=False,
)

# %% [markdown]
# PCA by hand: subtract the mean, take the eigenvectors of the covariance matrix with the largest eigenvalues. Two
# planes are equal when each vector of an orthonormal basis of one lies in the other. The cosines of the **principal
# angles** between them, the singular values of $Q_1^\top Q_2$ for orthonormal bases $Q_1, Q_2$, are then all 1.

# %% tags=["claim-17"]
mean = small_train.mean(axis=0)  # (49,)
eigenvalues, eigenvectors = np.linalg.eigh(np.cov(small_train.T))  # (49,), (49, 49)  rising
pca = eigenvectors[:, -n_z:]  # (49, Z)

decoder_plane, _ = np.linalg.qr(linear.params["logits.W"].T)  # (49, Z)  an orthonormal basis
cosines = np.linalg.svd(pca.T @ decoder_plane, compute_uv=False)  # (Z,)


def mean_squared_error(x, x_hat):
    """Summed over pixels, averaged over images."""
    return ((x - x_hat) ** 2).sum(axis=1).mean()


pca_error = mean_squared_error(small_train, mean + (small_train - mean) @ pca @ pca.T)
ae_error = mean_squared_error(small_train, linear.reconstruct(small_train))
print("cosines of the principal angles:", cosines.round(6))
print(f"squared error per image: PCA {pca_error:.5f}, linear autoencoder {ae_error:.5f}")

assert (cosines > 0.9999).all()  # the same plane
assert pca_error <= ae_error < 1.001 * pca_error  # PCA is the optimum, and training comes close
assert np.isclose(
    pca_error, eigenvalues[:-n_z].sum() * (1 - 1 / len(small_train))
)  # what is left

# %% [markdown]
# The planes agree; the bases do not. The rows of $W_d$ need not be orthogonal, nor sorted: any invertible change of
# the code can be undone by the decoder. Only the subspace is determined.
#
# > **Often said.** "The code must be smaller than the image, or the network just copies."
# >
# > **What is true.** A narrow code is one way to force a choice. A code as wide as the data can indeed copy, and then
# > learns nothing about what is typical. But other limits work as well: noise added to the code, or a penalty on it.
# > The VAE uses both, and may have more latents than it needs.
# >
# > **Run this cell.** It trains a linear autoencoder whose code is as wide as the image.

# %% tags=["claim-17"]
rng = np.random.default_rng(2)
wide = Autoencoder(49, n_hidden=(), n_z=49, likelihood=Gaussian(), rng=rng, dtype="float64")
wide_history = fit(
    wide,
    small_train,
    small_test,
    epochs=30,
    optimizer=Adam(lr=3e-3),
    rng=rng,
    binarise="none",
    progress=False,
)
noise = np.random.default_rng(3).random((500, 49))  # pictures of nothing
error_digits = mean_squared_error(small_test, wide.reconstruct(small_test))
error_noise = mean_squared_error(noise, wide.reconstruct(noise))
print(
    f"squared error per picture: digits {error_digits:.4f}, of {(small_test**2).sum(axis=1).mean():.2f}"
)
print(
    f"                           noise  {error_noise:.4f}, of {(noise**2).sum(axis=1).mean():.2f}"
)

assert error_digits < 0.05 * pca_error

# %% [markdown]
# The wide one gives digits back almost without loss. A low reconstruction error is no sign of understanding.
#
# ## Can we sample from it?
#
# To make new images with the first autoencoder we need codes to decode. Which ones? Look at where it has put the
# held-out images.

# %%
show(
    latent_scatter(model, (x_test >= 128), data.y_test[:1000]),
    "The codes of 1,000 images in the plane: a dense middle, long arms, much empty space.",
)

# %% [markdown]
# Nothing in training says where codes should lie. They form arms and clumps, at any distance from zero, with empty
# space between. There is no distribution to draw a $z$ from. Two attempts:
#
# - draw $z$ from a normal distribution with the mean and the covariance of the codes;
# - draw $z$ evenly from the box that holds all codes.
#
# How would we notice a bad code? The decoder was trained on codes of images. For each drawn code we measure the
# distance to the nearest code of a training image, and compare it with the distance that held-out images keep.

# %%
z_train, _ = model.encode((x_train >= 128).astype("float32"))  # (N, 2)
z_test, _ = model.encode((x_test >= 128).astype("float32"))  # (M, 2)
rng = np.random.default_rng(4)
z_normal = rng.multivariate_normal(z_train.mean(axis=0), np.cov(z_train.T), size=1000)
z_box = rng.uniform(z_train.min(axis=0), z_train.max(axis=0), size=(1000, 2))


def distance_to_nearest(z):
    """For each row of z (n, 2) the distance to the nearest code of a training image, (n,)."""
    return np.sqrt(((z[:, None] - z_train[None]) ** 2).sum(axis=2).min(axis=1))


near = np.quantile(distance_to_nearest(z_test), 0.95)
shares = {
    name: (distance_to_nearest(z) > near).mean()
    for name, z in (("held-out images", z_test), ("normal", z_normal), ("box", z_box))
}
for name, share in shares.items():
    print(f"{name:16} {share:5.1%} of the codes lie where hardly any image does")

assert shares["normal"] > 2 * shares["held-out images"]
assert shares["box"] > 5 * shares["held-out images"]

# %%
fig, axes = panels(2, height=3.1, xlabel="$z_1$", ylabel="$z_2$")
for ax, z, title in zip(
    axes, (z_normal, z_box), ("drawn from a normal", "drawn from the box"), strict=True
):
    ax.plot(*z_train.T, ".", color="#BBBBBB", markersize=2, label="codes of images")
    ax.plot(*z[:200].T, "+", color="#D55E00", markersize=5, label="drawn codes")
    ax.set_title(title)
axes[0].legend(frameon=False, fontsize="small", loc="best")
show(
    fig,
    "Codes of images in grey; many of the drawn codes fall into the empty space between the arms.",
)

# %%
bad = z_box[np.argsort(distance_to_nearest(z_box))[-10:]]  # (10, 2)  the ten farthest out
images = model.likelihood.mean(model.decode(bad)[0])  # (10, D)

fig, axes = panels(10, height=1.1)
for ax, image in zip(axes, images, strict=True):
    ax.imshow(image.reshape(data.image_shape), cmap="gray", vmin=0, vmax=1)
    ax.axis("off")
fig.suptitle("what the decoder makes of ten codes from the empty space", fontsize="medium")
show(fig, "Ten decoder outputs: broken or overlaid strokes, hardly any of them a digit.")

# %% [markdown]
# The decoder has never been asked about such codes, and nothing made it behave there. The autoencoder is a good
# compressor and no generative model.
#
# What is missing is a distribution over codes, agreed on in advance, that the codes of images fill. The next pages
# build it: page 02 begins with the rule of probability that connects codes and images.
#
# ## Recap
#
# 1. **Definition.** Encoder $z = f(x)$, decoder $p(x \mid z)$, trained to maximise $\log p(x \mid z)$ at $z = f(x)$.
# 2. **Bottleneck.** The decoder knows only $z$; a narrow code keeps what most lowers the nll.
# 3. **Linear case.** With squared error the decoder spans PCA's subspace; the basis within it is arbitrary.
# 4. **Width.** A wide code copies; a low error alone says little.
# 5. **Sampling.** Nothing fixes where codes lie, so there is no distribution to draw $z$ from.
#
# ## On your own
#
# 1. Why does the linear autoencoder need the offset $b_d$? Which value has it at the optimum if codes have mean 0?
# 2. Repeat the comparison with PCA for $Z = 10$. Do the planes agree as well? Look at the eigenvalues near the tenth.
# 3. Train the first autoencoder with `n_z=20`. Which digits gain most?
# 4. *A small project.* Make a denoising autoencoder: set a quarter of the input pixels to zero and ask for the whole
#    image back (`objective` and `backward` give you all you need). Are its codes spread differently?
#
# ## Further reading
#
# - Pierre Baldi and Kurt Hornik, *Neural networks and principal component analysis* (1989).
# - Geoffrey Hinton and Ruslan Salakhutdinov, *Reducing the dimensionality of data with neural networks* (2006).
#
# [Back: start here](00_start_here.ipynb) · [Contents](README.md) · [Next: Bayes' rule](02_bayes_rule.ipynb)
