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
# An autoencoder turns an image into a row of numbers, its code, and the code into a picture. On this page you build
# one, choose codes yourself, and measure the pictures that come out.
#
# **What you will do**
# - write a linear autoencoder and its error, and the best one without training;
# - change all codes and keep all pictures; choose codes; go halfway between two digits.
#
# **What you will learn**
# - what a bottleneck keeps, and that it need not be narrow;
# - that the error says nothing of where codes lie;
# - why "draw a code and decode it" is no model of images until a distribution of codes has been chosen.
#
# **What you need**
# - matrices, orthonormal directions, eigenvectors, singular values, covariance, the normal density, following a slope
#   downhill. About 45 minutes with the blanks. It runs in 15 seconds.

# %%
from importlib.util import find_spec

if find_spec("scratchvae") is None:
    raise SystemExit(
        "This page needs scratchvae; in the README's folder: pip install -r requirements.txt"
    )

import numpy as np

from scratchvae import Adam, Autoencoder, Gaussian, fit, load_data
from scratchvae.exercises import check, hint, progress, solution, use  # noqa: F401
from scratchvae.view.notebook import panels, show

BLUE, VERMILLION, GREEN = "#0072B2", "#D55E00", "#009E73"

# %% [markdown]
# ## Two numbers for an image
#
# Write $x$ for an image, a row of $D$ pixels. The **encoder** makes a **code** $z$ of it, a row of $Z$ numbers; the
# **decoder** makes a picture $\hat x$ of the code, again $D$ pixels. Between them is the **bottleneck**: all that
# the decoder learns about $x$ is $z$. The simplest is linear, matrices and offsets:
#
# $$z=xW_e+b_e,\qquad\hat x=zW_d+b_d.$$
#
# Write it for $N$ images, the rows of `x`, in place of `raise NotImplementedError`; run the cell.


# %% tags=["blank"]
def reconstruct(x, W_e, b_e, W_d, b_d):
    """The picture of each image by way of its code: (N, D) -> (N, D).

    x (N, D), W_e (D, Z), b_e (Z,), W_d (Z, D), b_d (D,).
    """
    raise NotImplementedError


check("autoencoders.reconstruct", reconstruct)

# %% [markdown]
# Stuck? `hint("autoencoders.reconstruct")` in a cell of its own asks a question; a third hint is nearly the code.
# Whatever value your function returns, the cells below it run.
#
# How good is a picture? We take the squared distance from its image.


# %% tags=["blank"]
def squared_errors(x, x_hat):
    """The squared distance of each picture from its image: (N, D), (N, D) -> (N,)."""
    raise NotImplementedError


check("autoencoders.errors", squared_errors)

# %% [markdown]
# ### Training, by hand
#
# The **error** is the mean of these over $N=800$ images of handwritten digits, shrunk to $7\times7$ pixels to keep it
# quick, so $D=49$; a pixel is a number from 0, black, to 1, white. Training starts from small random weights and takes
# steps against the slope: the error moves by $2(\hat x-x)/N$ for each unit of $\hat x$, and each matrix product passes
# that on through a transpose (page 08 derives this).


# %%
def shrink(images):
    """Rows of 28 x 28 bytes to rows of 7 x 7 numbers in [0, 1], by averaging blocks of 4 x 4: (N, 49)."""
    return images.reshape(-1, 7, 4, 7, 4).mean(axis=(2, 4)).reshape(len(images), -1) / 255


def slopes(x, W_e, b_e, W_d, b_d):
    """The slopes of the error with respect to W_e, b_e, W_d, b_d."""
    z = x @ W_e + b_e  # (N, Z)
    dx_hat = 2 * (z @ W_d + b_d - x) / len(x)  # (N, D)
    dz = dx_hat @ W_d.T  # (N, Z)
    return x.T @ dz, dz.sum(axis=0), z.T @ dx_hat, dx_hat.sum(axis=0)


def train(x, n_z, steps=800, step=0.2, penalty=0.0, size=0.03, seed=0):
    """W_e, b_e, W_d, b_d after steps against the slope. A penalty and other starts are for later."""
    rng, D = np.random.default_rng(seed), x.shape[1]
    weights = [rng.normal(0, size, s) for s in ((D, n_z), n_z, (n_z, D), D)]
    for _ in range(steps):
        pulls = (2 * penalty * weights[0], 0, 2 * penalty * weights[2], 0)
        weights = [
            w - step * (d + pull)
            for w, d, pull in zip(weights, slopes(x, *weights), pulls, strict=True)
        ]
    return weights


# %% [markdown]
# *Write down a guess:* a decoder that knows nothing can still show the mean of all images. Two numbers for 49 pixels,
# well chosen: which share of that error is left?

# %%
guess = None  # a number between 0 and 1

# %% tags=["answer"]
data = load_data("mnist-sample")
small, held_out = shrink(data.x_train[:800]), shrink(data.x_test[:1000])  # (N, D) each
picture_of, errors_of = (
    use("autoencoders.reconstruct", reconstruct),
    use("autoencoders.errors", squared_errors),
)


def error(x, weights):
    return errors_of(x, picture_of(x, *weights)).mean()


start = train(small, 2, steps=100)
along, h = [np.random.default_rng(1).normal(size=w.shape) for w in start], 1e-5
up, down = ([w + s * a for w, a in zip(start, along, strict=True)] for s in (h, -h))
by_differences = (error(small, up) - error(small, down)) / (2 * h)
by_slopes = sum((d * a).sum() for d, a in zip(slopes(small, *start), along, strict=True))

narrow = train(small, 2)
of_the_mean = errors_of(small, np.broadcast_to(small.mean(axis=0), small.shape)).mean()
left = error(small, narrow) / of_the_mean
print(f"error {error(small, narrow):.3f}, of the mean image {of_the_mean:.3f}")
print(f"share that is left: {left:.0%}; your guess: {guess}")

assert np.isclose(by_slopes, by_differences, rtol=1e-6)
# spoil: by_slopes = by_slopes / 2
assert 0.65 < left < 0.75
# spoil: left = 1 - left


# %%
def strip(pictures):
    """Pictures side by side, with as many rows as columns each: (N, D) -> (side, side N)."""
    side = round(pictures.shape[1] ** 0.5)
    return pictures.reshape(-1, side, side).transpose(1, 0, 2).reshape(side, -1)


def sheet(rows, height):
    """A figure with a strip of ten pictures for each name in rows."""
    fig, ax = panels(height=height)
    strips = np.vstack([strip(x[:10]) for x in rows.values()])  # (side rows, 10 side)
    ax.imshow(strips, "gray", vmin=0, vmax=1)
    ax.set_yticks(len(strips) / len(rows) * (0.5 + np.arange(len(rows))) - 0.5, list(rows))
    ax.set_xticks([])
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    return fig


y_test = data.y_test[:1000]
_, first = np.unique(y_test, return_index=True)  # the first of each digit
show(
    sheet({"image": held_out[first], "two numbers": picture_of(held_out[first], *narrow)}, 1.7),
    "Ten small images, below each the picture of its two numbers: 0 and 1 keep something of"
    " their shape, most others have become much the same grey patch.",
)

# %% [markdown]
# Most of it is left. Is training to blame?
#
# ## The best plane, without training
#
# Every $\hat x$ lies in a plane: the offset $b_d$ plus a combination of the $Z$ rows of $W_d$. In a given plane the
# nearest point to $x$ is its projection. Let the plane go through the mean $m$ of the images, along orthonormal
# directions, the columns $v_k$ of $V$ $(D,Z)$. Then the projection is $m+(x-m)VV^\top$, and by Pythagoras the
# error is
#
# $$\text{error}=\text{total variance}-\sum_k v_k^\top C\,v_k,$$
#
# with the covariance matrix $C$ of the images and the **total variance**, their mean squared distance from $m$. The sum
# gives the eigenvalue of each eigenvector $u$ of $C$ the weight $\sum_k(v_k^\top u)^2$; as the $v_k$ are orthonormal,
# no weight is above 1, and all add up to $Z$. So the sum is largest when the $v_k$ are the eigenvectors with the $Z$
# largest eigenvalues: **principal component analysis** (PCA). And no offset is better than the mean, the point with
# the smallest mean squared distance.


# %% tags=["blank"]
def best_plane(x, n_z):
    """The mean of the rows of x, and the projection on the n_z directions of largest variance.

    x (N, D) -> mean (D,), P (D, D).
    """
    raise NotImplementedError


check("autoencoders.plane", best_plane)

# %% [markdown]
# *Before you run the cell:* which should agree with our trained autoencoder: the plane, the pictures, the codes?
# Two planes are the same if they have the same directions *and* a point in common. The cosines of the angles between
# directions are the singular values of $V^\top Q$, with an orthonormal basis $Q$ of the rows of $W_d$. For the point we
# take the distance of the mean of the images from the trained plane.

# %% tags=["claim-17", "answer"]
W_e, b_e, W_d, b_d = narrow
mean, P = use("autoencoders.plane", best_plane)(small, 2)  # (D,), (D, D)
variances, V = np.linalg.eigh(np.cov(small.T, bias=True))  # (D,), (D, D)  rising
variances, V = variances[::-1], V[:, ::-1]  # falling: used again below

Q, _ = np.linalg.qr(W_d.T)  # (D, Z)
cosines = np.linalg.svd(V[:, :2].T @ Q, compute_uv=False)  # (Z,)
off_plane = np.linalg.norm((mean - b_d) - (mean - b_d) @ Q @ Q.T)
best = errors_of(small, mean + (small - mean) @ P).mean()
trained = error(small, narrow)
apart = np.abs(picture_of(held_out, *narrow) - (mean + (held_out - mean) @ P)).max()
print(f"cosines {cosines.round(6)}, distance of the mean from the plane {off_plane:.1e}")
print(f"error: best plane {best:.5f}, trained {trained:.5f}")
print(f"largest difference between two pictures of held-out images: {apart:.3f}")

assert (cosines > 1 - 1e-4).all()
# spoil: cosines = np.linalg.svd(V[:, 1:3].T @ Q, compute_uv=False)
assert off_plane < 1e-4
# spoil: off_plane = np.linalg.norm(b_d - b_d @ Q @ Q.T)
assert np.isclose(best, variances[2:].sum())  # Pythagoras
# spoil: best = errors_of(small, small @ P).mean()
assert best <= trained < 1.001 * best
# spoil: trained = error(small, start)
assert apart < 0.02
# spoil: apart = np.abs(picture_of(held_out, *start) - (mean + (held_out - mean) @ P)).max()

# %%
rng, tilted = np.random.default_rng(2), []  # other planes near by: are they worse?
for _ in range(100):
    U, _ = np.linalg.qr(V[:, :2] + 0.02 * rng.standard_normal((49, 2)))  # (D, 2)
    tilted.append(errors_of(small, mean + (small - mean) @ U @ U.T).mean())

assert min(tilted) > best
# spoil: best = errors_of(small, mean + (small - mean) @ U @ U.T).mean()

# %% [markdown]
# Training has found PCA's plane, and nearly PCA's pictures. With two numbers and no bend, nothing does better. And the
# codes?
#
# ## The codes may be anywhere
#
# Change every code: $zA+c$ in place of $z$, with any matrix $A$ that has an inverse and any row $c$. Write the decoder
# that makes *the same pictures* of the new codes.


# %% tags=["blank"]
def undo(W_d, b_d, A, c):
    """The decoder for new codes z A + c that makes the pictures which W_d, b_d made of z.

    W_d (Z, D), b_d (D,), A (Z, Z) with an inverse, c (Z,) -> W_new (Z, D), b_new (D,).
    """
    raise NotImplementedError


check("autoencoders.undo", undo)

# %% [markdown]
# *Before you run the cell:* codes sheared, a hundred times as large, and shifted by a thousand. What happens to
# the error?

# %% tags=["answer"]
A, c = np.array([[100.0, 30.0], [0.0, 100.0]]), np.array([1000.0, -1000.0])  # (Z, Z), (Z,)
moved = [W_e @ A, b_e @ A + c, *use("autoencoders.undo", undo)(W_d, b_d, A, c)]
difference = np.abs(picture_of(small, *moved) - picture_of(small, *narrow)).max()
codes, new_codes = small @ W_e + b_e, small @ moved[0] + moved[1]  # (N, Z) each
print(
    "mean of the codes before",
    codes.mean(axis=0).round(1),
    "after",
    new_codes.mean(axis=0).round(1),
)
print(f"largest difference between two pictures: {difference:.1e}")

assert difference < 1e-9
# spoil: difference = np.abs(picture_of(small, *moved[:2], W_d, b_d) - picture_of(small, *narrow)).max()
assert np.abs(new_codes.mean(axis=0)).min() > 100 * np.abs(codes.mean(axis=0)).max()
# spoil: new_codes = codes

# %% [markdown]
# The error sees pictures only. **It cannot say where codes lie**: endlessly many autoencoders have the same error. The
# start and the steps decide, or a penalty. *Before you run it:* does a start ten times as large (with smaller steps)
# change the variances of the codes?

# %% tags=["answer"]
starts = {f"small, seed {seed}": {"seed": seed} for seed in (1, 2)}
starts["ten times as large"] = {"size": 0.3, "step": 0.05, "steps": 2000}
ratio, excess = {}, {}
for name, how in starts.items():
    w = train(small, 2, **how)
    spread = np.linalg.eigvalsh(np.cov((small @ w[0]).T))[::-1]  # (Z,)
    ratio[name], excess[name] = spread / variances[:2], error(small, w) / best - 1
    print(f"{name:18} variances of the codes over PCA's {ratio[name].round(2)}", end=", ")
    print(f"error above the best plane's {excess[name]:.2%}")

far_start = ratio.pop("ten times as large")
assert max(np.abs(r - 1).max() for r in ratio.values()) < 0.1  # small starts: near PCA's
# spoil: ratio["small, seed 1"] = far_start
assert far_start.max() < 0.8  # another start: other codes,
# spoil: far_start = ratio["small, seed 1"]
assert max(excess.values()) < 0.003  # and nearly the same error
# spoil: excess["small, seed 1"] = of_the_mean / best - 1

# %% [markdown]
# ## Must a bottleneck be narrow?
#
# > **Often said.** "The code must be smaller than the image, or the network just copies."
# >
# > **What is true.** With $Z=D$ it *can* copy: $W_e$ and $W_d$ may undo each other. From small weights, these 800 steps
# > get there only along directions of large variance. Along these it copies anything, digit or not. And a narrow code
# > is one limit among others: a penalty on the weights works with any width.
# >
# > **Run this cell.** It trains three with 49 numbers in the code, one for longer, one with the penalty $\lambda$ times
# > the sum of the squared weights. *Before you look:* of its squared distance to the mean image, which share is lost of
# > a digit, and of noise?
#
# Along a direction with variance $s^2$, with one weight $a$ in the encoder and one $b$ in the decoder, what passes is
# the **gain** $g=ab$, and the error with its penalty is $s^2(1-g)^2+\lambda(a^2+b^2)$. For $g\ge0$ the penalty is
# smallest at $a=b$, where it is $2\lambda g$. The slope is zero at $g=1-\lambda/s^2$; if that is negative, $g=0$ is
# best. So directions with a variance below $\lambda$ are not used.

# %% tags=["claim-17", "answer"]
penalty = 0.03
wide, limited = train(small, 49), train(small, 49, penalty=penalty)
longer = train(small, 49, steps=1600)
noise = np.random.default_rng(3).random((500, 49))  # pictures of nothing
tame = mean + (noise - mean) @ V[:, :15] @ V[:, :15].T  # noise along 15 directions of digits

lost = {}
for kind, x in (("held-out digits", held_out), ("noise", noise), ("tame noise", tame)):
    of_the_mean = errors_of(x, np.broadcast_to(mean, x.shape)).mean()
    lost[kind] = [error(x, w) / of_the_mean for w in (narrow, wide, limited)]
    print(
        "share lost of {:15}: Z = 2 {:5.1%}, Z = 49 {:6.2%}, with penalty {:5.1%}".format(
            kind, *lost[kind]
        )
    )
later = error(noise, longer) / errors_of(noise, np.broadcast_to(mean, noise.shape)).mean()
print(f"share lost of noise after 1,600 steps in place of 800, Z = 49: {later:.1%}")

gains = {  # along each direction v: v W_e W_d v, (D,)
    name: ((V.T @ w[0]) * (w[2] @ V).T).sum(axis=1)
    for name, w in (("Z = 2", narrow), ("Z = 49", wide), ("Z = 49, penalty", limited))
}
formula = np.maximum(0, 1 - penalty / np.maximum(variances, 1e-12))  # (D,)

assert lost["held-out digits"][1] < 0.03  # the wide one gives digits back,
# spoil: lost['held-out digits'] = lost['noise']
assert lost["tame noise"][1] < 0.01  # and what is no digit, along the same directions,
# spoil: lost['tame noise'] = lost['noise']
assert lost["noise"][1] > 0.5  # but it does not copy noise,
# spoil: lost['noise'] = lost['tame noise']
assert later < lost["noise"][1] - 0.03  # yet: more steps copy more of it
# spoil: later = lost["noise"][1]
assert np.abs(gains["Z = 49, penalty"] - formula).max() < 0.05
# spoil: formula = gains['Z = 49']
assert (gains["Z = 49, penalty"] > 0.05).sum() < 15
# spoil: gains['Z = 49, penalty'] = gains['Z = 49']

# %%
fig, ax = panels(
    height=2.7, xlabel="direction, by falling variance of the digits", ylabel="gain"
)
number = np.arange(1, 50)  # (D,)
ax.plot(number, gains["Z = 2"], "s-", color=GREEN, markersize=3, linewidth=0.8, label="Z = 2")
ax.plot(number, gains["Z = 49"], "o-", color=BLUE, markersize=3, linewidth=0.8, label="Z = 49")
ax.plot(number, gains["Z = 49, penalty"], "^", color=VERMILLION, label="Z = 49, with penalty")
ax.plot(number, formula, color="black", linewidth=0.8, label="1 − λ / variance, or 0")
ax.legend(frameon=False)
show(
    fig,
    "Gain over 49 directions. Z = 2: one for the first two, then zero. Z = 49: one for "
    "about twenty, then falling to zero. With the penalty: falling from 0.87 to zero at the"
    " twelfth, near the curve of the formula.",
)

# %% [markdown]
# More steps copy more of the noise: a low error of a wide autoencoder is no sign that it knows digits. The VAE has
# other limits: noise on the code, and a penalty on where it lies.
#
# ## A bend: one hidden layer
#
# A **hidden layer** bends the plane: a matrix and an offset make $H$ numbers, and negative ones are set to zero (relu).
# The library's `Autoencoder` has one in each half here. It calls the last layer `logits`, a name from another kind of
# image; with squared errors these are the pictures themselves. `Gaussian()` stands for squared errors: its `nll`, minus
# the logarithm of a normal density, is half of ours plus a constant. `fit` takes steps as we did, on 128 images at a
# time; `Adam` sets their sizes (page 10). An epoch is one pass over the images; `binarise="none"` leaves pixels grey.
# Images have $28\times28$ pixels now.


# %%
def unit(images):
    """Bytes to numbers in [0, 1]."""
    return images.astype("float32") / 255


x_train, x_test = unit(data.x_train[:3000]), unit(data.x_test[:1000])  # (3000, D), (1000, D)
rng = np.random.default_rng(0)
model = Autoencoder(784, n_hidden=(100,), n_z=2, likelihood=Gaussian(), rng=rng)
optimizer, how = Adam(lr=3e-3), {"epochs": 20, "binarise": "none", "progress": False}
history = fit(model, x_train, x_test[:100], optimizer=optimizer, rng=rng, **how)


# %%
def encode(x, net):
    """The codes of images, with the weights net."""
    h = np.maximum(x @ net["encoder.0.W"] + net["encoder.0.b"], 0)  # (N, H)
    return h @ net["z.W"] + net["z.b"]  # (N, Z)


def decode(z, net):
    """The pictures of codes."""
    h = np.maximum(z @ net["decoder.0.W"] + net["decoder.0.b"], 0)  # (N, H)
    return h @ net["logits.W"] + net["logits.b"]  # (N, D)


net = dict(model.params)
pictures = decode(encode(x_test, net), net)  # (1000, D)
nll = model.objective(x_test)[0].nll  # (1000,)
halves = errors_of(x_test, pictures) / 2 + 784 / 2 * np.log(2 * np.pi)  # (1000,)

assert np.allclose(pictures, model.reconstruct(x_test), atol=1e-4)
# spoil: pictures = np.maximum(pictures, 0)
assert np.allclose(nll, halves, rtol=1e-4)
# spoil: halves = 2 * halves

# %% [markdown]
# We need a judge of pictures. Of 2,000 real images that the autoencoder has not seen it lets the ten nearest to the
# picture vote. It reports the digit with most **votes**, how many of the ten, and the **distance** to the nearest; a
# picture is **far** if 19 of 20 held-out real images have a smaller one. *Before you trust it:* what will it say of a
# black picture, of the mean image, of noise?

# %% tags=["answer"]
real, labels = unit(data.x_train[4000:6000]), data.y_train[4000:6000]  # (2000, D), (2000,)


def judge(pictures):
    """The digit, its votes of ten, and the distance to the nearest real image: (N,) each."""
    squares = (pictures**2).sum(axis=1)[:, None] + (real**2).sum(axis=1)  # (N, 2000)
    squares = squares - 2 * pictures @ real.T
    ten = np.argpartition(squares, 10, axis=1)[:, :10]  # (N, 10)
    votes = (labels[ten][:, :, None] == np.arange(10)).sum(axis=1)  # (N, 10)
    return votes.argmax(axis=1), votes.max(axis=1), np.sqrt(squares.min(axis=1))


limit = np.quantile(judge(x_test)[2], 0.95)  # (): beyond it a picture is far
black, static = np.zeros(784), np.random.default_rng(0).random(784)  # (D,) each
tried = np.stack([black, x_train.mean(axis=0), static])  # (3, D)
_, tried_votes, tried_distances = judge(tried)  # (3,) each
print(f"far: beyond {limit:.1f}")
for k, name in enumerate(("black", "mean image", "noise")):
    print(f"{name:10} {tried_votes[k]:2} votes, distance {tried_distances[k]:4.1f}")

assert tried_votes[0] == 10  # votes are fooled by black
# spoil: tried_votes = tried_votes - 1
nearest = tried_distances[:2].max()
assert nearest < limit < tried_distances[2]  # and distance by black and by blur
# spoil: nearest = 2 * nearest
both = (tried_votes >= 9) & (tried_distances < limit)  # (3,)
assert list(both) == [True, False, False]  # and both together by black
# spoil: both = (tried_votes >= 9) & (tried_distances > limit)

# %% [markdown]
# Black looks like a thin 1, with ten votes *and* near: even both together are no proof.
#
# *Write down a guess:* which digit comes back as itself most often, and which least?

# %%
most, least = None, None  # two digits

# %% tags=["answer"]
flat_mean, flat_P = use("autoencoders.plane", best_plane)(x_train, 2)  # (D,), (D, D)
flat = flat_mean + (x_test - flat_mean) @ flat_P  # (1000, D)  pictures of the best plane
right = {}
for name, x in (("the images", x_test), ("the best plane", flat), ("the network", pictures)):
    right[name] = judge(x)[0] == y_test  # (1000,)
    print(
        f"{name:15} error {errors_of(x_test, x).mean():5.2f}, named right {right[name].mean():.0%}"
    )
each = np.array([right["the network"][y_test == k].mean() for k in range(10)])  # (10,)
print("the network, digit by digit:", *(f"{k}: {share:.0%}" for k, share in enumerate(each)))
print(f"your guess: most {most}, least {least}")

gain_of_bend = errors_of(x_test, flat) - errors_of(x_test, pictures)  # (1000,)
assert gain_of_bend.mean() > 5 * gain_of_bend.std() / np.sqrt(1000)
# spoil: gain_of_bend = gain_of_bend - gain_of_bend.mean()
assert right["the images"].mean() > 0.8
# spoil: right['the images'] = right['the network']
assert 0.35 < right["the network"].mean() < 0.65
# spoil: right['the network'] = right['the images']
assert each[1] == each.max() > 0.9
# spoil: each = each[::-1]
assert each.min() < 0.3
# spoil: each = each + 0.3


# %%
rows = {"image": x_test, "best plane": flat, "network": pictures}
show(
    sheet({name: x[first] for name, x in rows.items()}, 2.3),
    "Ten images; below each the pictures of the best plane, of which 0, 1 and 9 can be read, and of"
    " the network: 0, 1, 7 and 9 can be read, 4 has become a 9, the others lie between digits.",
)

# %% [markdown]
# ## Choose codes
#
# Each dot below is the code of one of the 3,000 images; each digit stands at the median of its codes.
# *Choose five codes* inside the cloud, in a gap, far outside, and write down what you expect: a digit, or None.

# %%
z_train = encode(x_train, net)  # (3000, Z)
fig, ax = panels(height=3.6, width=4.6, xlabel="$z_1$", ylabel="$z_2$")
ax.plot(*z_train.T, ".", color="#BBBBBB", markersize=2)
for k in range(10):
    where = np.median(z_train[data.y_train[:3000] == k], axis=0)
    ax.text(*where, str(k), ha="center", va="center", weight="bold")
show(
    fig,
    "Codes of 3,000 images in the plane: one cloud, with an arm at the lower right, where 1"
    " is. 0 lies at the left, 4, 8 and 9 close together in the middle.",
)

# %%
my_codes = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, -1.0], [-0.5, 1.0], [3.0, 3.0]])  # yours
my_digits = [None, None, None, None, None]  # what you expect


# %% tags=["answer"]
def look(codes):
    """Decode codes, and show the pictures with what the judge says."""
    shown = decode(codes, net)  # (N, D)
    fig, axes = panels(len(codes), height=2.1)
    for ax, x, z, digit, n, d in zip(axes, shown, codes, *judge(shown), strict=True):
        ax.imshow(x.reshape(28, 28), cmap="gray", vmin=0, vmax=1)
        ax.set_title(
            f"z = {z[0]:g}, {z[1]:g}\n{digit}: {n} votes\ndistance {d:.1f}", fontsize=9
        )
        ax.axis("off")
    show(fig, "A picture for each chosen code; above it its code, its votes and its distance.")


look(my_codes)
print("you expected", my_digits)

# %% [markdown]
# Try other codes: one with few votes, one with ten votes that is far?
#
# The next cell decodes a grid over the box that holds all codes, and one that reaches three times as far. *A guess
# first:* where do pictures get more votes, in the half of the box near to codes of images, or in the empty one?

# %%
low, high = z_train.min(axis=0), z_train.max(axis=0)  # (Z,) each
z_1, z_2 = np.linspace(low, high, 32).T  # (32,) each
grid = np.stack(np.meshgrid(z_1, z_2), axis=-1).reshape(-1, 2)  # (1024, Z)
on_grid = decode(grid, net)  # (1024, D)
_, votes, distance = judge(on_grid)  # (1024,) each
bright = on_grid.max(axis=1) > 1.2  # (1024,)  some pixel is a fifth above white, which is 1
outside = 3 * grid - 2 * grid.mean(axis=0)  # (1024, Z)
far_out = decode(outside, net)  # (1024, D)
_, votes_out, distance_out = judge(far_out)  # (1024,) each
distance_cut = judge(np.clip(far_out, 0, 1))[2]  # (1024,)  cut off at black and white
to_codes = np.array([((z - z_train) ** 2).sum(axis=1).min() for z in grid])  # (1024,)  squared
empty = to_codes > np.median(to_codes)  # (1024,)


# %% tags=["answer"]
for name, here in (("near codes", ~empty), ("empty half", empty)):
    print(
        f"{name}: {votes[here].mean():.1f} votes, {(distance[here] > limit).mean():.0%} far, "
        f"{bright[here].mean():.0%} too bright"
    )
print(
    f"three times as far out: {votes_out.mean():.1f} votes, "
    f"{(distance_out > limit).mean():.0%} far, "
    f"{(distance_cut > limit).mean():.0%} if cut off at black and white"
)

assert votes[empty].mean() > votes[~empty].mean()
# spoil: empty = ~empty
assert (distance > limit)[empty].mean() < 0.2
# spoil: distance = 2 * distance
assert bright[empty].mean() > 0.5 > 0.2 > bright[~empty].mean()
# spoil: empty = ~empty
assert votes_out.mean() > 8
# spoil: votes_out = votes_out / 2
assert (distance_out > limit).mean() > 0.6
# spoil: distance_out = distance
still_far = (distance_cut[distance_out > limit] > limit).mean()  # of the far, even cut off
assert 0.3 < still_far < 0.7
# spoil: still_far = 1

# %% tags=["answer"]
fig, axes = panels(2, height=3.1, xlabel="$z_1$", ylabel="$z_2$")
for ax, what, title in zip(axes, (votes, distance), ("votes", "distance"), strict=True):
    ax.set_title(f"{title} of the picture at each code")
    mesh = ax.pcolormesh(z_1, z_2, what.reshape(32, 32), cmap="cividis", rasterized=True)
    ax.plot(*z_train[::10].T, ".", color="white", markersize=1.5)
    fig.colorbar(mesh, ax=ax)
axes[1].contour(z_1, z_2, distance.reshape(32, 32), [limit], colors="white")
show(
    fig,
    "Two maps over the codes; white dots: every tenth image's code. Votes: few in the middle of the "
    "cloud and along lines that run outwards from it, ten in most of the rest. Distance: small at the lower right, "
    "where 1 is; beyond the white lines, in two corners, it is far.",
)

# %% [markdown]
# Here the empty half makes *clearer* pictures, and few are far. But the last layer has no bound:
# strokes become brighter than white. Farther out most are far, half of them even cut off, while votes still agree.
#
# ## Halfway between two digits
#
# Write the picture that lies halfway between two images, by way of their codes.


# %% tags=["blank"]
def halfway(x_1, x_2, encode, decode):
    """The pictures of the codes halfway between those of x_1 and x_2: (N, D) each -> (N, D).

    encode takes images (N, D) to codes (N, Z), decode takes codes to pictures.
    """
    raise NotImplementedError


check("autoencoders.halfway", halfway)

# %% [markdown]
# For the linear autoencoder this is the mean of two pictures, two inks over each other; for the network it is not.
# *Write down a guess:* for which share of pairs of images of two digits do the votes name a third digit halfway?

# %%
guess = None  # a number between 0 and 1

# %% tags=["answer"]
rng = np.random.default_rng(7)
one, two = rng.permutation(1000), rng.permutation(1000)  # (1000,) each
unlike = y_test[one] != y_test[two]
one, two = one[unlike], two[unlike]
middle = use("autoencoders.halfway", halfway)
between = {
    "first picture, no halving": pictures[one],
    "middle of the codes": middle(
        x_test[one], x_test[two], lambda x: encode(x, net), lambda z: decode(z, net)
    ),
    "mean of the pictures": (pictures[one] + pictures[two]) / 2,
    "mean of the images": (x_test[one] + x_test[two]) / 2,
}
sound = right["the network"][one] & right["the network"][two]  # both pictures are named right
third, of_sound = {}, {}
for name, x in between.items():
    digit, votes, _ = judge(x)
    strange = (digit != y_test[one]) & (digit != y_test[two])
    third[name], of_sound[name] = strange.mean(), strange[sound].mean()
    print(f"{name:25} a third digit: {third[name]:.0%} of all pairs,", end=" ")
    print(f"{of_sound[name]:.0%} of those with both pictures named right")
print(f"{sound.mean():.0%} of the pairs have both pictures named right; your guess: {guess}")

# %%
flat_pair = middle(
    held_out[:500], held_out[500:], lambda x: x @ W_e + b_e, lambda z: z @ W_d + b_d
)
two_inks = picture_of(held_out, *narrow).reshape(2, 500, 49).mean(axis=0)  # (500, 49)

assert np.allclose(flat_pair, two_inks)
# spoil: two_inks = 2 * two_inks
assert third["first picture, no halving"] > 0.35  # much of it is there without any halving
# spoil: third["first picture, no halving"] = third["mean of the images"]
assert of_sound["middle of the codes"] > 0.4  # but not all
# spoil: of_sound["middle of the codes"] = of_sound["mean of the pictures"]
assert 0.25 > of_sound["mean of the pictures"] > of_sound["mean of the images"]
# spoil: of_sound["mean of the pictures"] = of_sound["middle of the codes"]

# %% [markdown]
# Without any halving many pictures are named a third digit. Of the pairs with both ends named right, half are named one
# halfway between their codes, and a sixth as the mean of their pictures. Between two codes lies whatever the network
# has put there.
#
# ## New images: draw codes from what?
#
# To make a new image, draw a code and decode it. But from which distribution? None was fixed in training. The
# standard normal $\mathcal{N}(0,I)$? That depends on where the codes happen to be: with `undo` we also *centre* them,
# to mean 0 and covariance $I$, and no picture of an image changes. Evenly from the box? Or look at the codes
# *afterwards*: draw one of the 3,000 and add a little noise. That is a **mixture** of 3,000 narrow normal densities
# (**density**: probability per area).
#
# *Write down a guess:* a picture with nine votes or ten is **clear**; here fewer than half of those of held-out images
# are. How many from the box?

# %%
guess = None  # a number between 0 and 1

# %%
n, width, rng = 1000, 0.07, np.random.default_rng(4)
A = np.linalg.inv(np.linalg.cholesky(np.cov(z_train.T))).T  # (Z, Z)
c = -z_train.mean(axis=0) @ A  # (Z,)
centred = {**net, "z.W": net["z.W"] @ A, "z.b": net["z.b"] @ A + c}
centred["decoder.0.W"], centred["decoder.0.b"] = use("autoencoders.undo", undo)(
    net["decoder.0.W"], net["decoder.0.b"], A, c
)
same = np.abs(decode(encode(x_test, centred), centred) - pictures).max()
print(f"largest difference between two pictures: {same:.0e}")

assert same < 1e-4
# spoil: same = np.abs(decode(encode(x_test, net), centred) - pictures).max()

# %%
standard = rng.standard_normal((n, 2))  # (n, Z)
picked = z_train[rng.integers(len(z_train), size=n)]  # (n, Z)
made = {
    "real images": x_test,
    "pictures of these": pictures,
    "N(0, I)": decode(standard, net),
    "N(0, I), centred": decode(standard, centred),
    "box": decode(rng.uniform(low, high, (n, 2)), net),
    "mixture": decode(picked + width * rng.standard_normal((n, 2)), net),
}

# %% tags=["answer"]
is_far, is_bright, clear, good, other = {}, {}, {}, {}, {}
usual = np.bincount(judge(pictures)[0], minlength=10) / len(pictures)  # (10,)
print("shares in %        far bright clear good   named 0  1  2  3  4  5  6  7  8  9   other")
for name, x in made.items():
    digit, votes, distance = judge(x)
    beyond, white, sure = distance > limit, x.max(axis=1) > 1.2, votes >= 9  # (N,) each
    is_far[name], is_bright[name], clear[name] = beyond.mean(), white.mean(), sure.mean()
    good[name] = (sure & ~beyond & ~white).mean()  # all three at once
    named = np.bincount(digit, minlength=10) / len(digit)  # (10,)
    other[name] = np.abs(named - usual).sum() / 2  # would have to change their digit
    numbers = (100 * share[name] for share in (is_far, is_bright, clear, good))
    print("{:18} {:3.0f} {:6.0f} {:5.0f} {:4.0f}       ".format(name, *numbers), end="")
    print("".join(f"{100 * share:3.0f}" for share in named), f"{100 * other[name]:7.0f}")
print("your guess:", guess)

assert is_far["N(0, I)"] > 0.1 > 0.02 > is_far["N(0, I), centred"]
# spoil: is_far['N(0, I)'] = is_far['N(0, I), centred']
assert clear["real images"] > 0.5 > clear["pictures of these"]
# spoil: clear['pictures of these'] = clear['real images']
assert clear["box"] > clear["mixture"] + 0.02
# spoil: clear['box'] = clear['mixture']
# with default_rng(11) to (24) for the network the box's share was less by 0.03 to 0.23, but
# with (22) and (24) it was more, by 0.06 and 0.02
assert good["box"] < good["mixture"] + 0.04
# spoil: good["box"] = clear["box"]
assert good["real images"] > max(good["box"], good["mixture"])
# spoil: good['real images'] = good['mixture']
assert is_bright["box"] > 0.2 > 0.1 > is_bright["mixture"]
# spoil: is_bright['box'] = is_bright['mixture']
assert other["box"] > 1.5 * other["mixture"]
# spoil: other['box'] = other['mixture']

# %%
show(
    sheet(made, 4.2),
    "Six rows of ten pictures: real images, the pictures that the network makes of them, and four of"
    " new ones. More than half of those from N(0, I) have thick white strokes. Of those from"
    " the box eight are clear and four too bright; those from the mixture are as grey as the"
    " pictures of real images.",
)

# %% [markdown]
# Of the box's pictures more are clear than of the mixture's, but many are too bright. *Good* (clear, near, not too
# bright) are about as many here, and fewer from most of the network's other starts. The box's digits come in other
# proportions (*other*: the share that would have to change to match pictures of held-out images). All this is decided
# by the distribution of codes, which training never saw. Fitting one afterwards helps, and can be judged by the
# density that it gives to codes of held-out images: here against a single normal, also fitted to the 3,000.


# %%
def mixture(z):
    """The density of the mixture at the rows of z: (N,)."""
    squares = ((z[:, None] - z_train) ** 2).sum(axis=2) / width**2  # (N, 3000)
    return np.exp(-squares / 2).mean(axis=1) / (2 * np.pi * width**2)


def log_one_normal(z):
    """The log density of the normal: that of N(0, I) at the centred code, times the change of area."""
    y = z @ A + c  # (N, Z)
    return -(y**2).sum(axis=1) / 2 - np.log(2 * np.pi) + np.log(np.linalg.det(A))


axis_1, axis_2 = np.linspace(low - 0.4, high + 0.4, 40).T  # (40,) each
points = np.stack(np.meshgrid(axis_1, axis_2), axis=-1).reshape(-1, 2)  # (1600, Z)
area = (axis_1[1] - axis_1[0]) * (axis_2[1] - axis_2[0])
mass = mixture(points).sum() * area  # is it a density?
z_test = encode(x_test, net)  # (1000, Z)
better = np.log(mixture(z_test)) - log_one_normal(z_test)  # (1000,)
standard_error = better.std() / np.sqrt(len(better))
print(
    f"log density of held-out codes, mixture less normal: {better.mean():.2f} ± {standard_error:.2f}"
)

assert np.isclose(mass, 1, atol=0.01)
# spoil: mass = mass / 2
assert better.mean() > 3 * standard_error
# spoil: better = -better

# %% [markdown]
# An autoencoder *with* a fitted density can make images. That is **a different model**, with two fits; the second takes
# the codes as it finds them. The VAE turns this round: it fixes the distribution of codes first, and trains encoder and
# decoder to fill it. For that we need the rule that connects codes and images, page 02.
#
# ## Your progress

# %%
progress("autoencoders")

# %% [markdown]
# ## Recap
#
# 1. **Definition.** Encoder $z = f(x)$, decoder $\hat x = g(z)$, trained for a small error of $\hat x$.
# 2. **Linear case.** The best one projects on PCA's plane: through the mean, along the rows of $W_d$.
# 3. **Codes.** The decoder can undo any invertible linear change of the codes; the error does not see it.
# 4. **Width.** A wide code copies what varies as the data do; a penalty limits it.
# 5. **Drawing.** No distribution of codes is fixed in advance. One can be fitted afterwards: a second model.
#
# ## On your own
#
# 1. Which value has $b_d$ at the optimum if the codes have mean 0? Which plane is best if $b_d$ must be 0?
# 2. Compare with PCA for $Z=10$. After how many steps do the planes agree as well?
# 3. Start the wide autoencoder from $W_e=W_d=I$. What does it lose of noise, before and after training?
# 4. Take `n_z=20`: `(n, 2)` becomes `(n, 20)`; of the cells with codes in a plane keep `z_train`, `low` and `high`;
#    skip `mixture`'s and the asserts. Which digits gain most?
# 5. *A small project.* Set a quarter of the input pixels to zero and ask for the whole image back. Are the codes spread
#    differently?
#
# ## Further reading
#
# - Pierre Baldi and Kurt Hornik, *Neural networks and principal component analysis* (1989).
# - Geoffrey Hinton and Ruslan Salakhutdinov, *Reducing the dimensionality of data with neural networks* (2006).
# - Daniel Kunin and others, *Loss landscapes of regularized linear autoencoders* (2019), arXiv 1901.08168.
#
# [Back: start here](00_start_here.ipynb) · [Contents](README.md) · [Next: Bayes' rule](02_bayes_rule.ipynb)
