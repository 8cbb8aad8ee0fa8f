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
# Two numbers go in, a digit comes out: steer that machine first, then see what it is a model of, and what the other
# pages build.
#
# **What you will do**
# - aim at digits, and write the score and the machine;
# - fit two kinds of model to the same points, and ask both about a point far away;
# - break a check, and repeat a training bit by bit.
#
# **What you will learn**
# - what a generative model answers, and a discriminative one does not;
# - what the pages are about;
# - which numbers repeat exactly, and which nearly.
#
# **What you need**
# - some Python with NumPy, matrix products, logarithms, the normal density. About 35 minutes with the blanks. It runs
#   in 15 seconds.

# %%
from importlib.util import find_spec

if find_spec("scratchvae") is None:
    raise SystemExit(
        "This page needs scratchvae; in the README's folder: pip install -r requirements.txt"
    )

from datetime import date
from unittest.mock import patch

import numpy as np
from threadpoolctl import threadpool_limits

from scratchvae import VAE, Adam, Bernoulli, fit, load_data
from scratchvae.commands import doctor
from scratchvae.data.toy import mixture
from scratchvae.exercises import check, hint, progress, solution, use  # noqa: F401
from scratchvae.view.notebook import panels, show

threadpool_limits(1, user_api="blas")  # one thread; "What repeats exactly" says why
COLOURS, MARKERS = ("#0072B2", "#D55E00", "#009E73"), ("o", "s", "^")

# %% [markdown]
# ## Steer
#
# This cell trains a **variational autoencoder** (VAE) on 10,000 handwritten digits, in some seconds. Of the labels it
# is told nothing. One half of it, the **decoder**, makes a picture of $28 \times 28 = 784$ pixels from two numbers,
# the **code** $z = (z_1, z_2)$; the other half, the **encoder**, says which codes suit an image.

# %%
data = load_data("mnist-sample")
rng = np.random.default_rng(0)
vae = VAE(784, n_hidden=(200,), n_z=2, rng=rng)
how = {"epochs": 10, "batch_size": 100, "optimizer": Adam(lr=3e-3), "rng": rng}
history = fit(vae, data.x_train, data.x_test[:500], **how, progress=False)


def picture(z):
    """The decoder's pictures, numbers between 0 and 1: (B, 2) -> (B, 784)."""
    logits, _ = vae.decode(np.asarray(z, "float32"))  # any numbers
    return (1 + np.tanh(logits / 2)) / 2  # an S-shaped curve takes them to between 0 and 1


# %% [markdown]
# Its map: each tile is the picture of the code at its middle.

# %%
ticks = np.linspace(-2.4, 2.4, 13)  # (13,)
codes = np.stack(np.meshgrid(ticks, ticks[::-1]), axis=-1).reshape(-1, 2)  # (169, 2)
tiles = picture(codes).reshape(13, 13, 28, 28).transpose(0, 2, 1, 3).reshape(364, 364)
fig, ax = panels(height=4.8, width=4.8, xlabel="$z_1$", ylabel="$z_2$")
ax.imshow(tiles, "gray", vmin=0, vmax=1, extent=(-2.6, 2.6, -2.6, 2.6))
show(
    fig,
    "A map of thirteen by thirteen pictures: 0 at the upper left, 1 at the right, 9 and 7 at the"
    " bottom, 5 at the top of the middle, and blurred shapes like 8, 3 and 6 in the middle.",
)

# %% [markdown]
# Now steer. Change the two numbers, run the cell, change them again. The title names the labels of the **ten nearest**
# of 2,000 real images, those with the smallest sum of squared differences; the model was not trained on them.

# %%
real, labels = (data.x_test / 255).astype("float32"), data.y_test  # (2000, 784), (2000,)


def ten_nearest(x):
    """The labels of the ten real images nearest to each picture: (N, 784) -> (N, 10)."""
    squares = (real**2).sum(axis=1) - 2 * x @ real.T  # (N, 2000)  but for the sum of x^2
    return labels[np.argsort(squares, axis=1)[:, :10]]


def look(z):
    """Show the picture of one code."""
    x = picture([z])  # (1, 784)
    fig, ax = panels(height=1.9, width=3)
    ax.imshow(x.reshape(28, 28), "gray", vmin=0, vmax=1)
    ax.set_title("nearest: " + " ".join(map(str, ten_nearest(x)[0])), fontsize=10)
    ax.axis("off")
    show(fig, f"The picture of the code {z}, and the labels of the ten nearest real images.")


# %%
z = (0.0, 0.0)  # yours: two numbers, about -3 to 3
best = {}  # your best score for each digit, below

look(z)

# %% [markdown]
# A game needs a score. Take the share of the ten that are the digit you aim at. Write it in place of
# `raise NotImplementedError`, and run the cell. Stuck? `hint("start.score")` in a cell of its own asks a question;
# a third hint is nearly the code. Whatever value your function returns, the cells below run.


# %% tags=["blank"]
def score(labels, digit):
    """The share of the ten labels that are this digit, for each picture: (N, 10), a number -> (N,)."""
    raise NotImplementedError


check("start.score", score)

# %% [markdown]
# **Aim.** Easy: a 0 with the score 1. Harder: an 8 with 0.9.

# %%
z, digit = (0.0, 0.0), 8  # yours

score_of = use("start.score", score)
look(z)
got = score_of(ten_nearest(picture([z])), digit)[0]
best[digit] = max(got, best.get(digit, 0))
print(f"score for {digit}: {got:.1f}; your best so far: {best[digit]:.1f}")

# %% [markdown]
# *Write down a guess:* of 4,000 codes drawn at random, both numbers from the normal distribution with mean 0 and
# variance 1, how many are an 8 with a score of at least 0.9?

# %%
guess = None  # a number up to 4000

# %% tags=["answer"]
at_random = np.random.default_rng(5).standard_normal((4000, 2))  # (4000, 2)
nearest = ten_nearest(picture(at_random))  # (4000, 10)
scores = np.stack([score_of(nearest, digit) for digit in range(10)], axis=1)  # (4000, 10)
hits = (scores > 0.85).sum(axis=0)  # (10,)
print("digit     ", *(f"{digit:5}" for digit in range(10)))
print("hits      ", *(f"{n:5}" for n in hits))
print("best score", *(f"{s:5.1f}" for s in scores.max(axis=0)))
print(f"one code with the best score for 8: {at_random[scores[:, 8].argmax()].round(2)}")
print("your guess:", guess)

assert np.allclose(scores.sum(axis=1), 1)  # every vote goes to one digit
# spoil: scores[0, 0] += 0.1
assert 0 < hits[8] < 40  # luck needs a hundred tries and more
# spoil: hits[8] = hits[0]
assert min(hits[0], hits[1]) > 10 * hits[8]
# spoil: hits[0] = hits[8]
assert scores[:, 0].max() == 1
# spoil: scores[:, 0] = 1 - scores[:, 0].max()

# %% [markdown]
# ## What you steered
#
# Write the machine. A matrix product and the larger of 0 and the sum (`np.maximum`) give 200 **hidden** numbers;
# another product and an S-shaped curve, the **sigmoid**, give each pixel's probability of being lit:
#
# $$h = \max(0,\; z W_h + b_h), \qquad \bar{x} = \frac{1}{1 + e^{-(h W_x + b_x)}} .$$


# %% tags=["blank"]
def decoder(z, W_h, b_h, W_x, b_x):
    """The probability that each pixel is lit, for each code: z (B, Z) -> (B, D).

    W_h (Z, H), b_h (H,), W_x (H, D), b_x (D,).
    """
    raise NotImplementedError


check("start.decoder", decoder)

# %% [markdown]
# *Write down a guess:* steer far off the map, to $z = (12, -5)$, farther out than the encoder puts any image that the
# model was trained on. Will the picture be grey, noise, black or sharp?

# %%
guess = None  # "grey", "noise", "black" or "sharp"

# %% tags=["answer"]
decoder_of = use("start.decoder", decoder)
names = ("decoder.0.W", "decoder.0.b", "logits.W", "logits.b")
weights = [vae.params[name].astype(float) for name in names]  # W_h, b_h, W_x, b_x
apart = np.abs(decoder_of(codes, *weights) - picture(codes)).max()
print(f"yours and the library's differ by {apart:.0e} at most")

means, _, _ = vae.encode(data.x_train / 255)  # (10000, 2)  where the encoder puts images
farthest = np.linalg.norm(means, axis=1).max()
far_codes = np.array([[12, -5], [-12, 3], [0, 12], [9, 9], [-9, -9]])  # (5, 2)
far_pictures = decoder_of(far_codes, *weights)  # (5, 784)
grey_map, grey_far = (
    ((x > 0.05) & (x < 0.95)).mean() for x in (picture(codes), far_pictures)
)  # the share of pixels that are neither nearly black nor nearly white
print(f"the farthest image has its code {farthest:.1f} from the middle")
print(f"grey pixels: {grey_map:.0%} on the map, {grey_far:.0%} far away; your guess: {guess}")

assert apart < 1e-4
# spoil: apart = np.abs(decoder_of(codes + 0.01, *weights) - picture(codes)).max()
assert farthest < 0.8 * np.linalg.norm(far_codes, axis=1).min()
# spoil: farthest = np.linalg.norm(far_codes, axis=1).max()
assert grey_far < 0.4 * grey_map
# spoil: grey_far = grey_map

# %%
fig, axes = panels(5, height=1.7)
for ax, code, x_mean in zip(axes, far_codes, far_pictures, strict=True):
    ax.imshow(x_mean.reshape(28, 28), "gray", vmin=0, vmax=1)
    ax.set_title(f"({code[0]}, {code[1]})", fontsize=9)
    ax.axis("off")
show(
    fig,
    "Five pictures in hard black and white: at the second code a fat 0, at the fourth a 1; the others are"
    " pieces of strokes, somewhat like a 1, a 5 and a 9.",
)

# %% [markdown]
# Sharper than on the map. A sure answer is no sign that the machine has been there.
#
# ## What it was trained for
#
# Draw a code from $p(z) = \mathcal{N}(0, I)$, two independent normal numbers; decode it; light each pixel with its
# probability. That makes an image $x$ of bits: the VAE is a distribution $p(x)$. Training should make the $p(x)$ of
# real images large. It takes an integral over all codes, out of reach for longer codes (page 03), so a lower bound of
# $\log p(x)$ is raised instead, the **ELBO** (page 06). Its unit is the **nat**, for natural logarithms. Real pixels
# are grey; in training each is lit with its grey value as the probability, afresh in each **epoch**, each pass over the
# images.
#
# *Write down a guess:* a model that flips 784 fair coins has $\log p(x) = -784 \log 2 \approx -543$ nats for every
# image. Coins that are biased, each as often lit as that pixel in all images, have about $-200$. And the VAE's bound?

# %%
guess = None  # nats

# %% tags=["answer"]
images = data.x_test[:500] / 255  # (500, 784)
p_lit = (data.x_train.sum(axis=0) / 255 + 0.5) / (len(data.x_train) + 1)  # (784,)  never 0 or 1
fair, biased = (
    (images * np.log(p) + (1 - images) * np.log(1 - p)).sum(axis=1).mean() for p in (0.5, p_lit)
)  # the mean over images, and over how their bits fall
bound = history["test_elbo"][-1]
print(f"mean log p(x) of held-out images: fair coins {fair:.1f}, biased coins {biased:.1f}")
print(f"the VAE's bound: {bound:.1f}, after one epoch {history['test_elbo'][0]:.1f}")
print("your guess:", guess)
print(f"on average {bound - biased:.0f} nats above the biased coins")

assert np.isclose(fair, -784 * np.log(2))
# spoil: fair = biased
assert abs(biased + 200) < 5
# spoil: biased = fair
assert bound > biased + 30
# spoil: bound = biased

# %% [markdown]
# ## Two questions about the same data
#
# What the model is for is easier to see in the plane. Here are $N = 300$ points $x$ of three classes, $y = 0, 1, 2$.

# %%
x, y = mixture(300, np.random.default_rng(0))  # (N, 2), (N,)


def draw_points(ax, x, y):
    for c in range(3):
        ax.plot(*x[y == c].T, MARKERS[c], color=COLOURS[c], markersize=3, label=f"y = {c}")


plane = {"xlabel": "$x_1$", "ylabel": "$x_2$", "aspect": "equal"}
fig, ax = panels(height=2.9, width=4.2, **plane)
draw_points(ax, x, y)
ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
show(
    fig,
    "Three separate round clouds: class 0 above, 1 at the lower left, 2 at the lower right.",
)

# %% [markdown]
# *Which class has this point?* asks for $p(y \mid x)$; a model of that alone is **discriminative**. *What do points
# look like?* asks for $p(x)$ or $p(x, y)$; a model of that is **generative**.
#
# A discriminative model: three numbers for each point, $s = x W + b$, and as probabilities their **softmax**
# $e^{s_c} / \sum_{c'} e^{s_{c'}}$. To fit it, follow the slope of the mean of $\log p(y \mid x)$ uphill; in $s$ that
# slope is (1 for the own class, else 0, minus probability) over $N$, and page 08 shows how it gets to $W$ and $b$.

# %%
W, b = np.zeros((2, 3)), np.zeros(3)  # (2, C), (C,)  C = 3 classes


def softmax(s):
    """Probabilities: (N, C) -> (N, C). The largest s of a row is taken off, lest e^s overflow."""
    e = np.exp(s - s.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


for _ in range(200):
    ds = (np.eye(3)[y] - softmax(x @ W + b)) / len(x)  # (N, C)
    W, b = W + 2 * x.T @ ds, b + 2 * ds.sum(axis=0)  # uphill, with the step size 2

# %% [markdown]
# A generative model: $p(x, y) = p(y)\, p(x \mid y)$, in each class a normal density with its mean $m_y$ and one
# variance $v_y$ for both coordinates:
#
# $$p(x, y) = p(y)\, \frac{1}{2 \pi v_y}\, e^{-|x - m_y|^2 / (2 v_y)} .$$
#
# Such numbers can be too small for a computer. Write the logarithm.


# %% tags=["blank"]
def log_joint(x, means, variances, p_y):
    """log p(x, y) for each point and class: -> (N, C).

    x (N, 2), means (C, 2), variances (C,), p_y (C,).
    """
    raise NotImplementedError


check("start.joint", log_joint)

# %% [markdown]
# Bayes' rule, page 02, gives the classes back: $p(y \mid x) = p(x, y) / \sum_{y'} p(x, y')$, the softmax of
# $\log p(x, y)$. So both models are a softmax of three numbers.
#
# *Before you run the cell:* add one number to all three of a point, and another for the next point. What becomes of
# $p(y \mid x)$? And of $\log \sum_c e^{s_c}$?

# %% tags=["answer"]
joint_of = use("start.joint", log_joint)
m = np.stack([x[y == c].mean(axis=0) for c in range(3)])  # (C, 2)
v = np.array([((x[y == c] - m[c]) ** 2).mean() for c in range(3)])  # (C,)
fitted = m, v, np.bincount(y) / len(y)


def log_sum(s):
    """The logarithm of the sum of e^s in each row: (N, C) -> (N,)."""
    top = s.max(axis=1)  # (N,)
    return top + np.log(np.exp(s - top[:, None]).sum(axis=1))


s, shift = x @ W + b, np.random.default_rng(3).normal(0, 9, (300, 1))  # (N, C), (N, 1)
changed = np.abs(softmax(s + shift) - softmax(s)).max()
moved = log_sum(s + shift) - log_sum(s)  # (N,)
right = [(a.argmax(axis=1) == y).mean() for a in (s, joint_of(x, *fitted))]
print(f"right of the 300: discriminative {right[0]:.1%}, generative {right[1]:.1%}")
print(f"p(y|x) changes by {changed:.0e}, the logarithm of the sum by {abs(moved).max():.0f}")
line, step = np.linspace(-5, 5, 201, retstep=True)  # (201,)
grid = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)  # (201^2, 2)
area = np.exp(log_sum(joint_of(grid, *fitted))).sum() * step**2
print(f"the generative model's sum, integrated over the plane: {area:.6f}")

assert min(right) > 0.98
# spoil: right[1] = 1 - right[1]
assert changed < 1e-12
# spoil: changed = np.abs(softmax(7 * s) - softmax(s)).max()
assert np.allclose(moved, shift[:, 0])
# spoil: moved = moved.mean()
assert np.isclose(area, 1)
# spoil: area = np.exp(log_sum(grid @ W + b)).sum() * step**2

# %% [markdown]
# The classes stay, the sum moves. So the discriminative model's sum could be anything and says nothing. The generative
# model's is $p(x)$.
#
# *Write down a guess:* what do both say of two points far from all others, $x = (30, -12)$ and the opposite one,
# $(-30, 12)$? Which classes, how surely?

# %%
discriminative, generative = None, None  # two classes each, and a probability

# %% tags=["answer"]
far = np.array([[30.0, -12.0], [-30.0, 12.0]])  # (2, 2)
by_scores, by_bayes = softmax(far @ W + b), softmax(joint_of(far, *fitted))  # (2, C) each
for kind, p in (("discriminative", by_scores), ("generative", by_bayes)):
    print(f"{kind:14} classes {p.argmax(axis=1)}, less than 1 by", 1 - p.max(axis=1))
print("your guesses:", discriminative, generative)
leads = np.diff(np.sort(joint_of(far, *fitted), axis=1))[:, -1]  # (2,)
print("the generative model's class leads by", leads.round(), "nats")
angle = np.linspace(0, 2 * np.pi, 360)  # (360,)
circle = 1000 * np.stack([np.cos(angle), np.sin(angle)], axis=1)  # (360, 2)
winners = joint_of(circle, *fitted).argmax(axis=1)  # (360,)

assert min(by_scores.max(axis=1).min(), by_bayes.max(axis=1).min()) > 1 - 1e-6  # certain
# spoil: by_bayes = softmax(joint_of(m.mean(axis=0) + 0 * far, *fitted))
assert (by_scores.argmax(axis=1) != by_bayes.argmax(axis=1)).all()  # of different classes
# spoil: by_scores = by_bayes
assert (winners == v.argmax()).all()  # in every direction the class with the largest variance
# spoil: winners = (circle @ W + b).argmax(axis=1)

# %% [markdown]
# Both are certain, and here they contradict each other: in $p(y \mid x)$ the generative model is no wiser. Far enough
# out its class is the one with the largest variance, in every direction, since the squares outgrow all else and are
# divided by $2 v_y$. But it also has $p(x)$. *Before you run the cell:* what is that at the far points?

# %% tags=["answer"]
log_px, log_far = log_sum(joint_of(x, *fitted)), log_sum(joint_of(far, *fitted))  # (N,), (2,)
print("log p(x) there:", log_far.round(), " without logarithms:", np.exp(log_far))
print(f"at the data: {np.median(log_px):.1f} typically, {log_px.min():.1f} at least")
squares = ((far[0] - m) ** 2).sum(axis=1)  # (C,)
lifted = fitted[2] / (2 * np.pi * v) * np.exp(5000 - squares / (2 * v))  # (C,)  e^5000 times
plain = fitted[2] / (2 * np.pi * v) * np.exp(-squares / (2 * v))  # (C,)

assert np.isclose(log_far[0], np.log(lifted.sum()) - 5000, rtol=1e-9)
# spoil: log_far = log_far + 1
assert abs(log_far[0] + 5001) < 1
# spoil: log_far = log_far[::-1]
assert log_far.max() < log_px.min() - 4000
# spoil: log_far = log_px
assert plain.sum() == 0  # too small for a float
# spoil: plain = lifted

# %% [markdown]
# About $e^{-5001}$ at the first: unlike any point of the data. Without logarithms the computer would make that 0, and
# Bayes' rule 0/0. (The converse need not hold: page 12 shows a black image that is more probable than most digits.)
#
# And it makes new points: draw a class, then a point of it. Write the second draw, from normal numbers `eps` with mean
# 0 and variance 1.


# %% tags=["blank"]
def new_points(y, means, variances, eps):
    """The mean of each class in y, plus its standard deviation times eps: -> (N, 2).

    y (N,), means (C, 2), variances (C,), eps (N, 2).
    """
    raise NotImplementedError


check("start.draw", new_points)

# %% [markdown]
# *Write down a guess:* one panel shows fresh points from where the data came, the other your draws. Which?

# %%
guess = None  # "left" or "right": your draws

# %%
rng, points_of = np.random.default_rng(1), use("start.draw", new_points)


def draws(n):
    """n points from the model, and their classes."""
    y = rng.choice(3, size=n, p=fitted[2])  # (n,)
    return points_of(y, m, v, rng.standard_normal((n, 2))), y


pair = [mixture(300, rng), draws(300)]
order = rng.permutation(2)
fig, axes = panels(2, height=2.7, xlim=(-3, 3), ylim=(-2.5, 3), **plane)
for ax, which in zip(axes, order, strict=True):
    draw_points(ax, *pair[which])
show(fig, "Two panels with three round clouds each, alike at a glance.")

# %% tags=["answer"]
print("your draws:", "left" if order[0] == 1 else "right", "  your guess:", guess)
many, classes = draws(60_000)  # (60000, 2), (60000,)
middles = np.stack([many[classes == c].mean(axis=0) for c in range(3)])  # (C, 2)
again = np.array([((many[classes == c] - m[c]) ** 2).mean() for c in range(3)])  # (C,)
changes = np.stack([real[labels == digit].var(axis=0) for digit in range(10)])  # (10, 784)

assert np.allclose(again, v, rtol=0.05)  # a fit to draws finds the model again
# spoil: again = again**0.5
assert np.allclose(middles, m, atol=0.02)
# spoil: middles = -middles
assert changes.min(axis=1).max() == 0 < 0.1 < changes.max(axis=1).min()  # in each digit
# spoil: changes = changes + 0.01

# %% [markdown]
# ## Where the course is going
#
# A round cloud for each class is enough for these points. Digits form no round clouds in 784 dimensions (in each,
# some pixels never change): there a decoder does what your `new_points` does here.
#
# | pages | the question |
# |---|---|
# | 01 | What does an autoencoder learn, and why is drawing from it no model until codes have a distribution? |
# | 02, 03, 04 | What does Bayes' rule say of $z$, why is the evidence $p(x)$ hard, how is it estimated? |
# | 05, 06 | What can be computed instead? |
# | 07, 08, 09 | How do gradients get through a draw, through a network, through mean and spread, by hand? |
# | 10, 11, 12 | What happens in training, when does it collapse, what has been learned? |
# | 14 | What changes on a GPU? |
# | 15, 16 | Which bugs pass unnoticed? Can you write the whole model? |
#
# > **Often said.** "The VAE was invented by ...", and one name follows.
# >
# > **What is true.** It has two origins: Diederik Kingma and Max Welling (arXiv 1312.6114, 20 December 2013) and
# > Danilo Rezende, Shakir Mohamed and Daan Wierstra (arXiv 1401.4082, 16 January 2014). Each had to find the slope of
# > a mean over random codes. With $z = \mu + \sigma \epsilon$, where $\epsilon$ is normal with mean 0 and variance 1,
# > the first take the mean of $f'(z)\, \epsilon$ as the slope of the mean of $f(z)$ in $\sigma$; the second also state
# > another rule, after Price (1958), in which it is the mean of $\sigma f''(z)$.
# >
# > **Run this cell.** *Before that:* how many days lie between them? And do the rules agree for $f(z) = z^3$, whose
# > mean is $\mu^3 + 3 \mu \sigma^2$?

# %% tags=["claim-19", "answer"]
first_version = {"1312.6114": date(2013, 12, 20), "1401.4082": date(2014, 1, 16)}
kingma, rezende = first_version.values()
days = (rezende - kingma).days
mu, sigma, eps = 0.7, 1.3, np.random.default_rng(2).standard_normal(1_000_000)  # (K,)
z = mu + sigma * eps  # (K,)
rules = {"f'(z) eps": 3 * z**2 * eps, "sigma f''(z)": sigma * 6 * z}  # (K,) each
by_hand = 6 * mu * sigma
print(f"{days} days; the slope by hand {by_hand:.4f}")
for name, values in rules.items():
    error = values.std() / 1000
    print(f"mean of {name:12} {values.mean():.4f} ± {error:.4f}")
    assert abs(values.mean() - by_hand) < 4 * error < 0.1
    # spoil: values = values / sigma

assert days < 31
# spoil: days = (date(2015, 1, 16) - kingma).days
for number, day in first_version.items():  # an arXiv number starts with year and month
    assert number[:4] == day.strftime("%y%m")
    # spoil: number = "1412.6114"

# %% [markdown]
# ## Is my installation sound?
#
# `python -m scratchvae doctor` answers from a terminal; this cell asks the same. But can it fail? So ask once more,
# with a library that is broken on purpose: it averages the log-probability of an image over the pixels instead of
# adding up, a slip that is often made, and the slope follows. *Before you run the cell:* the doctor looks at the
# images, at a KL divergence (page 05), at 784 fair coins, and at the gradients of two models. Which will fail?

# %%
right_value, right_slope = Bernoulli.nll, Bernoulli.nll_backward


def mean_value(self, x, logits):
    """Wrong: a mean over pixels."""
    nll, cache = right_value(self, x, logits)
    return nll / x.shape[1], cache


def mean_slope(self, dnll, cache):
    """The slope of that mean."""
    return right_slope(self, dnll / cache[0].shape[1], cache)


# %% tags=["stumble-12", "answer"]
failed = {}
for library, value, slope in (
    ("sound", right_value, right_slope),
    ("broken", mean_value, mean_slope),
):
    with patch.multiple(Bernoulli, nll=value, nll_backward=slope):
        lines = list(doctor.checks("numpy"))
    failed[library] = [name for name, holds, _ in lines if not holds]
    print(library)
    for name, holds, figure in lines:
        print(f"  {'ok  ' if holds else 'FAIL'} {name}: {figure}")

assert not failed["sound"], "install the package again"
# spoil: failed['sound'] = failed['broken']
assert failed["broken"] == ["784 fair coins = 784 log 2"]  # this one, and no other
# spoil: failed['broken'] = failed['sound']

# %% [markdown]
# The gradients pass: they are compared with the value that is there, right or wrong.
#
# ## What repeats exactly, and what does not
#
# All randomness here comes from a generator with a seed, handed to the function that needs it. Is that enough for the
# same numbers? *Write down a guess:* ten numbers in 32 bits, added one after another, in 1,000 random orders. How many
# different sums?

# %%
guess = None  # a number from 1 to 1000

# %% tags=["answer"]
rng, sums = np.random.default_rng(0), set()
numbers = rng.standard_normal(10).astype("float32")  # (10,)
for _ in range(1000):
    running = np.float32(0)
    for value in rng.permutation(numbers):
        running = running + value
    sums.add(float(running))
print(
    f"{len(sums)} different sums, {max(sums) - min(sums):.0e} apart at most; your guess: {guess}"
)

assert len(sums) > 3
# spoil: sums = {round(value, 3) for value in sums}
assert max(sums) - min(sums) < 1e-5
# spoil: sums.add(0.1)

# %% [markdown]
# In which order a matrix product adds up can depend on the processor, on the library, and on how many **threads** share
# the work. Does such a difference matter later? We train a small VAE again and again: as before; with one matrix of the
# start made larger by one part in 100,000, a nudge; from another seed.


# %%
def train(seed, nudge=0.0):
    """All weights of a small VAE after three epochs, and its ELBO on held-out images."""
    rng = np.random.default_rng(seed)
    small = VAE(784, n_hidden=(100,), n_z=2, rng=rng)
    small.params["decoder.0.W"][...] *= np.float32(1 + nudge)
    how = {"epochs": 3, "optimizer": Adam(lr=2e-3), "rng": rng, "progress": False}
    history = fit(small, data.x_train[:2000], data.x_test[:500], **how)
    return np.concatenate([p.ravel() for p in small.params.values()]), history["test_elbo"][-1]


runs = [train(seed) for seed in range(5)]
others = {
    "again": [train(seed) for seed in range(2)],
    "nudged": [train(seed, nudge=1e-5) for seed in range(5)],
    "other seed": [*runs[1:], runs[0]],
}

# %% [markdown]
# *Write down a guess:* after the nudge, by how much will the weight that differs most differ?

# %%
guess = None  # a number

# %% tags=["stumble-13", "answer"]
worst, elbo_off = {}, {}
print(f"{'':11}  ELBO at most    largest difference of a weight, for each seed")
for name, other in others.items():
    worst[name] = [np.abs(a - c).max() for (a, _), (c, _) in zip(runs, other, strict=False)]
    elbo_off[name] = max(abs(a - c) for (_, a), (_, c) in zip(runs, other, strict=False))
    listed = "  ".join(f"{difference:.0e}" for difference in worst[name])
    print(f"{name:11} {elbo_off[name]:11.4f}      {listed}")
starts = [VAE(784, (100,), 2, rng=np.random.default_rng(seed)).params for seed in range(5)]
nudge = 1e-5 * max(np.abs(start["decoder.0.W"]).max() for start in starts)
print(f"the nudge itself: {nudge:.0e} at most; your guess: {guess}")
products = []
for threads in (1, 2):
    with threadpool_limits(threads, user_api="blas"):
        products.append(real @ real.T)  # (2000, 2000)
print(f"a product on two threads: {(products[0] != products[1]).mean():.0%} of entries differ")

assert np.allclose(*products, rtol=1e-4)
# spoil: products[1] = products[0] + 0.01 * abs(products[0])
assert max(worst["again"]) == 0  # bit for bit
# spoil: worst['again'] = worst['nudged']
assert elbo_off["nudged"] < 0.1
# spoil: elbo_off['nudged'] = elbo_off['other seed']
assert min(worst["nudged"]) < 2 * nudge  # as small as at the start
# spoil: worst['nudged'] = worst['nudged'][3:]
assert max(worst["nudged"]) > 200 * nudge
# spoil: worst['nudged'] = worst['nudged'][:1]
assert elbo_off["other seed"] > 1
# spoil: elbo_off['other seed'] = elbo_off['nudged']

# %% [markdown]
# So the course promises bits only for the same seed on the same machine, with the same versions and number of threads.
# From that seed elsewhere it promises an ELBO within a tolerance, and nothing of a single weight: the same nudge stayed
# small from one seed, and grew several hundredfold from another. And two methods are compared from several seeds.
#
# ## Your progress

# %%
progress("start")

# %% [markdown]
# ## Recap
#
# 1. **Code and picture.** A decoder makes a picture of a code, a sure one even where it was never trained.
# 2. **Discriminative.** A model of $p(y \mid x)$: it draws borders, and has no $p(x)$.
# 3. **Generative.** A model of $p(x)$ or $p(x, y)$: it makes new $x$, classifies by Bayes' rule, and says how usual an
#    $x$ is. Work in logarithms.
# 4. **Nats.** Log-probabilities in natural logarithms, added over pixels, averaged over images.
# 5. **What repeats.** Bits on one machine with one seed, the same versions and threads. Elsewhere the ELBO nearly.
#    Single weights need not.
#
# ## On your own
#
# 1. Write a search that raises the score of a 4. How high does it get?
# 2. Which of the two models of the plane would you ask for mislabelled points? Swap ten labels and try.
# 3. Give each class a variance for each coordinate, or a covariance. Do the draws look more like the data?
# 4. Give all classes the same variance. Why does the generative model now agree with the discriminative one far out, in
#    nearly all directions?
# 5. *A small project.* Fit a normal density a class to the digits, and draw from it. What is missing?
#
# ## Further reading
#
# - Andrew Ng and Michael Jordan, *On discriminative vs. generative classifiers* (2001).
# - Diederik Kingma and Max Welling, *An Introduction to Variational Autoencoders* (2019), arXiv 1906.02691.
# - Danilo Rezende, Shakir Mohamed and Daan Wierstra, *Stochastic backpropagation and approximate inference in deep
#   generative models* (2014), arXiv 1401.4082.
#
# [Contents](README.md) · [Next: autoencoders](01_autoencoders.ipynb)
