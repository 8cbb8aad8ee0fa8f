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
# # 12 · The latent space
#
# One expects of a VAE that draws from $\mathcal{N}(0, I)$ fall where its encoder puts images; this page measures
# whether they do, what lies between, and what comes out.
#
# **What you will do**
# - walk between two images, through pixels and through codes, and measure the path;
# - write the density of all codes together, and count holes;
# - make pictures in two draws.
#
# **What you will learn**
# - what makes a latent space smooth, and which measure shows it;
# - what the KL asks for, and what it does not;
# - how far the model's images are from the data's.
#
# **What you need**
# - pages 01 and 10. About 40 minutes with the blanks. It runs in fifteen seconds.

# %%
from importlib.util import find_spec

if find_spec("scratchvae") is None:
    raise SystemExit(
        "This page needs scratchvae; in the README's folder: pip install -r requirements.txt"
    )

import json
from pathlib import Path

import numpy as np

from scratchvae import VAE, Adam, fit, load_data
from scratchvae.batches import binarised
from scratchvae.evaluation import log_evidence
from scratchvae.exercises import check, hint, progress, solution, use  # noqa: F401
from scratchvae.view.notebook import panels, show
from scratchvae.view.plots import manifold

# %% [markdown]
# ## A walk
#
# A code $z$ is a point, a row of $Z$ numbers. Go from one to another in equal steps on a straight line. Stuck?
# `hint("latent.walk")`.


# %% tags=["blank"]
def walk(a, b, steps):
    """Points in equal steps on the straight line from a to b, both included: (Z,), (Z,), S -> (S, Z)."""
    raise NotImplementedError


check("latent.walk", walk)

# %% [markdown]
# Now a VAE of page 10 with $Z = 2$, so that its latent space is a plane that we can see. For an image $x$ the encoder
# gives $q(z \mid x) = \mathcal{N}(\mu, \sigma^2)$; the decoder gives for each pixel of an image the
# probability that it is 1. These probabilities, shown in grey, are the decoder's **mean**: the **picture** of $z$.

# %%
data = load_data("mnist-sample")
x_train, x_test, y_test = data.x_train[:5000], data.x_test, data.y_test  # (N, D), (M, D), (M,)
grey = (x_test / 255).astype("float32")  # (M, D)  held-out images
rng = np.random.default_rng(0)
vae = VAE(784, n_hidden=(200,), n_z=2, rng=rng)
how = {"epochs": 12, "optimizer": Adam(lr=2e-3), "rng": rng, "progress": False}
history = fit(vae, x_train, x_test[:100], **how)


# %%
def encode(images, seed):
    """Images, drawn as bits as in training, (N, D); their mu and logvar, (N, Z) each."""
    bits = binarised(images, "dynamic", np.random.default_rng(seed)).astype("float32")  # (N, D)
    mu, logvar, _ = vae.encode(bits)
    return bits, mu.astype(float), logvar.astype(float)


def decode(z):
    """The probability that each pixel is 1: (N, Z) -> (N, D)."""
    logits, _ = vae.decode(z.astype("float32"))
    return 1 / (1 + np.exp(-logits))


_, mu_train, logvar_train = encode(x_train, 10)  # (N, Z) each
bits, mu, logvar = encode(x_test, 9)  # (M, D), (M, Z), (M, Z)

# %% [markdown]
# We name pictures as on page 01: the ten nearest of 2,000 real images vote. It is right for 84 % of held-out
# images; a picture with nine votes or ten is **clear**.

# %%
real, labels = (data.x_train[5000:7000] / 255).astype("float32"), data.y_train[5000:7000]


def judge(pictures):
    """The digit and its votes of ten: (N,) each."""
    squares = (real**2).sum(axis=1) - 2 * pictures.astype("float32") @ real.T  # (N, 2000)
    ten = np.argpartition(squares, 10, axis=1)[:, :10]  # (N, 10)
    votes = (labels[ten][:, :, None] == np.arange(10)).sum(axis=1)  # (N, 10)
    return votes.argmax(axis=1), votes.max(axis=1)


right = (judge(grey)[0] == y_test).mean()
assert 0.82 < right < 0.86
# spoil: right = right - 0.05

# %%
walk_of = use("latent.walk", walk)
start, end = np.flatnonzero(y_test == 1)[0], np.flatnonzero(y_test == 0)[0]
walks = {
    "through pixels": walk_of(grey[start], grey[end], 9),  # (9, D)
    "through codes": decode(walk_of(mu[start], mu[end], 9)),  # (9, D)
}
fig, ax = panels(height=2.3)
for row, (name, x) in enumerate(walks.items()):
    ax.imshow(
        np.hstack(list(x.reshape(-1, 28, 28))),
        cmap="gray",
        vmin=0,
        vmax=1,
        extent=(0, 9, -1.4 * row, 1 - 1.4 * row),
    )
    ax.text(-0.1, 0.5 - 1.4 * row, name, ha="right", va="center")
    for i, digit in enumerate(judge(x)[0]):
        ax.text(i + 0.5, -0.25 - 1.4 * row, str(digit), ha="center")
ax.set(xlim=(-1.8, 9), ylim=(-1.8, 1))
ax.axis("off")
show(
    fig,
    "Nine pictures each from a 1 to a 0, their names below. Through pixels the 1 fades under a growing 0;"
    " all are named 1 or 0. Through codes the 1 becomes a blur, named 6, which opens into a 0.",
)

# %% [markdown]
# Through pixels one digit fades out while the other fades in. *Write down a guess:* between images of two digits, for
# which share of walks is the middle named other than both ends, through pixels and through codes?

# %%
by_pixels, by_codes = None, None  # numbers between 0 and 1

# %% tags=["answer"]
rng = np.random.default_rng(3)
one, two = rng.permutation(2000), rng.permutation(2000)  # (2000,) each
one, two = one[y_test[one] != y_test[two]], two[y_test[one] != y_test[two]]  # (P,) each
another, errors = {}, {}
for name, points, picture in (("pixels", grey, lambda x: x), ("codes", mu, decode)):
    at_ends = judge(picture(points[one]))[0], judge(picture(points[two]))[0]  # (P,) each
    middle, votes = judge(picture((points[one] + points[two]) / 2))  # (P,) each
    new = (middle != at_ends[0]) & (middle != at_ends[1])  # (P,)
    another[name], errors[name] = new.mean(), new.std() / np.sqrt(len(new))
    print(f"through {name:6} {another[name]:.0%} ± {errors[name]:.0%}")
sure, sure_else = (votes >= 9)[new].mean(), (votes >= 9)[~new].mean()  # of those through codes
print(f"of these middles {sure:.0%} are clear, of the others {sure_else:.0%}")
between = (mu[one] + mu[two]) / 2  # (P, Z)
near = [((z - mu_train) ** 2).sum(axis=1).argpartition(50)[:50] for z in between]
of_near = data.y_train[:5000][np.array(near)]  # (P, 50)
ends = np.stack([y_test[one], y_test[two]], axis=1)  # (P, 2)
third = (of_near[:, :, None] != ends[:, None]).all(axis=2).mean(axis=1)  # (P,)
there, elsewhere = third[new].mean(), third[~new].mean()
print(f"codes near them: {there:.0%} of a third digit; near the others: {elsewhere:.0%}")
print("your guess:", by_pixels, by_codes)

assert another["codes"] > 2 * another["pixels"]
# spoil: another['codes'] = another['pixels'] + 0.1
assert another["codes"] > another["pixels"] + 5 * np.hypot(*errors.values())
# spoil: errors['codes'] = 0.1
assert sure < 0.15 < 2 * 0.15 < sure_else
# spoil: sure = sure_else
assert there > elsewhere + 0.1
# spoil: elsewhere = there

# %% [markdown]
# Through codes, here, it is named as another digit more than twice as often, though seldom clearly: between two regions
# of the plane lie others. Near such a middle more codes are of a third digit than near the rest. (Of all codes four in
# five are.)
#
# ## Is it smooth?
#
# Small steps should make small changes, and no walk a jump. A first measure: how long is the path of a walk's
# pictures, compared with the distance of its ends?


# %% tags=["blank"]
def detour(path):
    """The length of a path, the sum of its steps, over the distance of its ends: (S, D) -> a number."""
    raise NotImplementedError


check("latent.detour", detour)

# %% [markdown]
# > **Often said.** "The latent space is smooth because each image has a mean and a standard deviation."
# >
# > **What is true.** The noise makes nearby codes share a picture: the decoder cannot change much within $\sigma$.
# > The KL keeps $\sigma$ from shrinking, and the means from running away. To see what each does, take one out.
# >
# > **Run these cells.** [Four models](../results/latent-space.md), each from twelve seeds: neither (an autoencoder),
# > noise alone ($\beta = 0$), KL alone (trained at $z = \mu$), both. The **jitter** says how far a picture moves if
# > noise of a tenth of the codes' spread moves its code, in % of the distance of two pictures. *Before that:* which
# > measure tells the four apart, detour or jitter?

# %%
guess = None  # "detour", "jitter", "both" or "neither"

# %%
root = next(f for f in (Path.cwd(), *Path.cwd().parents) if (f / "results").is_dir())
values = json.loads((root / "results/latent-space.json").read_text())["values"]
KINDS = ("neither", "noise alone", "KL alone", "both")


def show_rows(*measures):
    """The mean over twelve seeds, and its standard error, for each kind of model."""
    print(" " * 15, *(f"{kind:>14}" for kind in KINDS))
    for measure in measures:
        columns = [np.array(values[kind][measure]) for kind in KINDS]  # (12,) each
        cells = (f"{c.mean():8.2f} ± {c.std(ddof=1) / np.sqrt(len(c)):.2f}" for c in columns)
        print(f"{measure:15}", *(f"{cell:>14}" for cell in cells))


def both_less(kind, measure, this="both"):
    """How much less this kind (the VAE) has, seed by seed, in standard errors: below -3 is less."""
    less = np.subtract(values[this][measure], values[kind][measure])  # (12,)
    return less.mean() / (less.std(ddof=1) / np.sqrt(len(less)))


# %% tags=["claim-15", "answer"]
show_rows("detour", "jitter", "jitter, median", "sigma", "spread")
print("your guess:", guess)
detour_of = use("latent.detour", detour)
paths = [decode(walk_of(mu[i], mu[j], 51)) for i, j in zip(one[:200], two[:200], strict=True)]
detours = [detour_of(path) for path in paths]  # 200
apart = np.mean([np.linalg.norm(path[-1] - path[0]) for path in paths])
noise = np.random.default_rng(4).standard_normal(mu.shape)  # (M, Z)
moved = decode(mu + 0.1 * mu.std(axis=0) * noise) - decode(mu)  # (M, D)
jitter = 100 * np.linalg.norm(moved, axis=1).mean() / apart
print(f"this page's VAE: detour {np.mean(detours):.2f}, jitter {jitter:.1f} %")

lengths = [np.mean(values[kind]["detour"]) for kind in KINDS]
assert max(lengths) < 1.05 * min(lengths)
# spoil: lengths = [np.mean(values[kind]["jitter"]) for kind in KINDS]
assert max(both_less(kind, "jitter") for kind in KINDS[:3]) < -3
# spoil: values['both']['jitter'] = values['KL alone']['jitter'][::-1]
ruler = "jitter, median"
assert max(both_less(kind, ruler) for kind in KINDS[:2]) < -3
# spoil: ruler = "detour"
assert abs(both_less("KL alone", ruler)) < 2  # not told apart
# spoil: ruler = "jitter"
assert abs(both_less("neither", ruler, this="noise alone")) < 2  # nor these
# spoil: ruler = "jitter"
by_median = [np.mean(values[kind][ruler]) for kind in KINDS]
assert max(by_median) < 1.15 * min(by_median)
# spoil: by_median = [np.mean(values[kind]["jitter"]) for kind in KINDS]
assert np.mean(values["noise alone"]["sigma"]) < 0.2 * np.mean(values["both"]["sigma"])
# spoil: values['noise alone'] = values['both']
assert np.mean(values["noise alone"]["spread"]) > 1.3 * np.mean(values["both"]["spread"])
# spoil: values['noise alone'] = values['both']
agreement = jitter / values["both"]["jitter"][0]  # the page measures what the table does
assert 0.8 < agreement < 1.25
# spoil: agreement = agreement / 2

# %% [markdown]
# The detour hardly differs, and the fading walk through pixels has the smallest of all, 1. The jitter is least with
# both. But mind the ruler: far codes stretch the spread. Take it from the median distance of two codes, and the
# four differ by a tenth: still less with both than without the KL, but noise alone gains nothing that shows, and KL
# alone does as well. With noise alone $\sigma$ shrinks, and the means spread.
#
# ## The plane
#
# In equal steps some tiles would stand for much more of the prior $p(z) = \mathcal{N}(0, I)$ than others. So they lie
# on its quantiles: each stands for the same share.

# %%
fig = manifold(vae, data.image_shape, n=12)
show(
    fig,
    "A grid of twelve by twelve pictures: 0 at the left, 1 at the upper right, 7 and 9 at the lower"
    " right, 4 at the bottom, blurred shapes like 8, 5 and 3 in the middle. Neighbours look alike.",
)

# %% [markdown]
# But where are the images? Draw an image, then $z \sim q(z \mid x)$. With $N$ images, the density of $z$ is a mixture
# of $N$ blobs, the **aggregate posterior** $q(z) = \frac{1}{N} \sum_n q(z \mid x_n)$. Write it.


# %% tags=["blank"]
def aggregate(z, mu, logvar):
    """The density at z of the mixture of N blobs N(mu, exp(logvar)): (G, Z), (N, Z), (N, Z) -> (G,)."""
    raise NotImplementedError


check("latent.aggregate", aggregate)

# %% [markdown]
# The objective's KL asks *each* blob to be like the prior. What does it ask of their mixture? Subtract and add
# $\log q(z)$ inside, and take the mean over the images:
#
# $$\frac{1}{N} \sum_n \mathrm{KL}(q(z \mid x_n) \,\Vert\, p(z)) =
# \underbrace{\frac{1}{N} \sum_n
# \mathbb{E}_{q(z \mid x_n)}\!\left[\log \frac{q(z \mid x_n)}{q(z)}\right]}_{\text{information}}
# + \underbrace{\mathrm{KL}(q(z) \,\Vert\, p(z))}_{\text{mismatch}} .$$
#
# The **information** says how well $z$ tells which image it belongs to. Only the **mismatch** compares the mixture
# with the prior. *Write down a guess:* the mean KL is about 5 nats. How many of them are mismatch?

# %%
guess = None  # nats

# %% tags=["answer"]
density = use("latent.aggregate", aggregate)
m, v = mu_train[:1500], logvar_train[:1500]  # (1500, Z) each
axis, step = np.linspace(-6, 6, 101, retstep=True)  # (101,)
points = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)  # (101^2, Z)
q = np.concatenate([density(some, m, v) for some in np.array_split(points, 17)])  # (101^2,)
p = np.exp(-0.5 * (points**2).sum(axis=1)) / (2 * np.pi)  # (101^2,)
cell = step**2  # area
mass, mismatch = q.sum() * cell, (q * np.log((q + 1e-300) / p)).sum() * cell

eps = np.random.default_rng(5).standard_normal(m.shape)  # (1500, Z)
log_own = -0.5 * (eps**2 + v + np.log(2 * np.pi)).sum(axis=1)  # (1500,)
drawn = np.split(m + np.exp(0.5 * v) * eps, 3)
ratio = log_own - np.log(np.concatenate([density(z, m, v) for z in drawn]))  # (1500,)
information, error = ratio.mean(), ratio.std() / np.sqrt(len(ratio))
mean_kl = 0.5 * (m**2 + np.exp(v) - 1 - v).sum(axis=1).mean()
print(f"mean KL {mean_kl:.2f}; information {information:.2f} ± {error:.2f}")
print(f"mismatch {mismatch:.2f}; your guess: {guess}")

assert abs(mass - 1) < 0.01
# spoil: mass = 2 * mass
assert abs(information + mismatch - mean_kl) < 4 * error < 0.2  # draws, a grid, a closed form
# spoil: mismatch = 2 * mismatch
assert abs(mean_kl - 5) < 0.5
# spoil: mean_kl = mean_kl + 1
assert mismatch < 0.15 * mean_kl
# spoil: mismatch = information

# %% [markdown]
# About nine tenths say which image it is. The objective weighs the rest like any nat, against what it gains in
# $\log p(x \mid z)$; no part of it demands zero.
#
# The map shows $\log q(z) - \log p(z)$. *Before you look:* the circle holds 99 % of the prior. How much of $q$?

# %% tags=["answer"]
radius = np.sqrt(-2 * np.log(0.01))  # in two dimensions P(|z| > r) = exp(-r^2 / 2)
inside = (points**2).sum(axis=1) < radius**2  # (101^2,)
of_q, of_p = q[inside].sum() * cell, p[inside].sum() * cell
print(f"in the circle: {of_p:.1%} of the prior, {of_q:.1%} of q")
thin = p[q < p / 4].sum() * cell
print(f"{thin:.0%} of the prior lie where q is less than a quarter of it")

fig, ax = panels(height=3.9, width=4.8, xlabel="$z_1$", ylabel="$z_2$", aspect="equal")
log_ratio = np.log((q + 1e-300) / p).reshape(101, 101)
mesh = ax.pcolormesh(axis, axis, log_ratio, cmap="RdBu", vmin=-3, vmax=3, rasterized=True)
fig.colorbar(mesh, ax=ax, label="log q(z) − log p(z), nats", extend="both")
turn = np.linspace(0, 2 * np.pi, 100)
ax.plot(radius * np.cos(turn), radius * np.sin(turn), color="black", linewidth=1)
ax.set(xlim=(-5, 5), ylim=(-5, 5))
show(
    fig,
    "A map of the plane. Inside the circle mostly pale, with a red patch at the upper right of the middle and"
    " red gaps at the rim; at the upper right, left and below, dark blue lobes reach out of the circle.",
)

assert np.isclose(of_p, 0.99, atol=0.002)
# spoil: of_p = of_q
assert of_q < 0.95
# spoil: of_q = of_p
assert thin > 0.08
# spoil: thin = p[q > p / 4].sum() * cell / 100

# %% [markdown]
# ## Holes
#
# Where $q$ is thin, the decoder has seen few codes. To count such **holes** for models without blobs, too, measure as
# on page 01: a draw is in a hole if its nearest code is farther than that of 95 % of fresh codes, those of held-out
# images.


# %% tags=["blank"]
def holes(draws, codes, fresh):
    """The share of draws whose nearest code is farther away than that of 95 % of fresh codes.

    draws (G, Z), codes (N, Z), fresh (M, Z) -> a number. np.quantile finds what 95 % are below.
    """
    raise NotImplementedError


check("latent.holes", holes)

# %% [markdown]
# If draws come as codes do, 5 % fall in holes. *Write down a guess* for our VAE, from $\mathcal{N}(0, I)$, from the
# narrow $\mathcal{N}(0, 0.3^2 I)$, and from the aggregate posterior. Turned round, with draws and codes in each
# other's place, the same function says which share of codes is **missed** by the draws.

# %%
from_prior, from_narrow, from_aggregate = None, None, None  # numbers between 0 and 1

# %% tags=["answer"]
holes_of, rng = use("latent.holes", holes), np.random.default_rng(6)
n = 4000
pick = rng.integers(len(mu_train), size=n)  # (n,)
sources = {
    "prior": rng.standard_normal((n, 2)),
    "narrow": 0.3 * rng.standard_normal((n, 2)),
    "aggregate": mu_train[pick]
    + np.exp(0.5 * logvar_train[pick]) * rng.standard_normal((n, 2)),
}
hole, missed = {}, {}
for name, z in sources.items():
    hole[name] = holes_of(z[:1000], mu_train, mu[:1000])
    missed[name] = holes_of(mu[:1000], z[1000:], z[:1000])
    print(f"{name:10} in holes {hole[name]:6.1%}, codes missed {missed[name]:6.1%}")
print("your guess:", from_prior, from_narrow, from_aggregate)

assert hole["prior"] > hole["aggregate"] + 0.01
# spoil: hole['prior'] = hole['aggregate']
assert hole["narrow"] < 0.01
# spoil: hole['narrow'] = hole['prior']
assert missed["narrow"] > 0.5 > 0.2 > missed["prior"] > 1.5 * missed["aggregate"]
# spoil: missed['narrow'] = missed['prior']

# %% [markdown]
# A narrow cloud avoids holes by drawing much the same each time: one number says nothing without the other. Now the
# four kinds of models: *standard* is the share of draws from $\mathcal{N}(0, I)$ in holes, *missed* the codes that
# these miss, *fitted* the holes of a normal with the codes' mean and covariance (all in %). *Before you run the cell:*
# which model has the fewest holes under $\mathcal{N}(0, I)$?

# %% tags=["answer"]
show_rows("standard", "missed", "fitted")
average = {
    measure: {kind: np.mean(values[kind][measure]) for kind in KINDS}
    for measure in ("standard", "missed")
}

assert both_less("neither", "standard") > -2  # no fewer than an autoencoder
# spoil: values['both']['standard'] = [0.8 * value for value in values['neither']['standard']]
assert min(average["standard"], key=average["standard"].get) == "noise alone"
# spoil: average['standard']['KL alone'] = 0
assert max(average["missed"], key=average["missed"].get) == "noise alone"
# spoil: average['missed']['both'] = 100
assert max(both_less(kind, "fitted") for kind in KINDS[:3]) < -3
# spoil: values['both']['fitted'] = values['neither']['fitted'][::-1]

# %% [markdown]
# Under $\mathcal{N}(0, I)$ the VAE has no fewer holes than an autoencoder that was never told of it. Noise alone has
# fewest: its means run far and lie thinly, fresh codes are far from them, and so its limit is wide. (With the VAE's
# limit three seeds had about as many holes as the VAE.) So the first row measures the choice of a distribution, and of
# the limit, as much as the model. Fit a normal to each, and the VAE has fewest.
#
# *Write down a guess:* are pictures from holes less often clear than others?

# %%
guess = None  # "less often", "as often" or "more often"

# %% tags=["answer"]
show_rows("clear in holes", "clear elsewhere")
print("your guess:", guess)
clearer = np.subtract(
    values["both"]["clear in holes"], values["both"]["clear elsewhere"]
)  # (12,)
z, fresh = sources["prior"][:2000], mu[:1000]  # (2000, Z), (1000, Z)
clear, out = judge(decode(z))[1] >= 9, np.linalg.norm(z, axis=1) > 1.5  # (2000,) each
inner, outer = clear[~out].mean(), clear[out].mean()
of_holes = holes_of(z[out], mu_train, fresh) * out.mean() / holes_of(z, mu_train, fresh)
print(f"this page's VAE, |z| > 1.5: {out.mean():.0%} of the draws, {of_holes:.0%} of the holes")
print(f"clear pictures: {outer:.0%} of those out there, {inner:.0%} of the others")
ones = {name: (judge(decode(sources[name]))[0] == 1).mean() for name in ("prior", "aggregate")}
print(
    "draws named 1:", ", ".join(f"from the {name} {share:.0%}" for name, share in ones.items())
)

assert clearer.min() > 0
# spoil: clearer = -clearer
assert outer > 1.5 * inner
# spoil: outer = inner
assert of_holes > 0.6 > 1.5 * out.mean()
# spoil: of_holes = 1 - of_holes
assert ones["prior"] > ones["aggregate"] + 0.05
# spoil: ones['prior'] = ones['aggregate']

# %% [markdown]
# More often, from all twelve seeds: most holes lie far out, where more pictures are clear. A clear picture is no proof
# that images lie there. What holes do is to change the proportions: the prior draws more often than $q(z)$ where the
# map is red, and less often where it is blue. Here more of its pictures are named 1.
#
# ## Generation takes two draws
#
# > **Often said.** "Sample from the latent distribution to generate."
# >
# > **What is true.** There are two. $q(z \mid x)$ belongs to an image: it gives variations of that image. Generation
# > knows no image: $z \sim p(z)$. And then a second draw, $x \sim p(x \mid z)$: each pixel is 1 with its probability.
#
# Write both draws. With $\mu = 0$ and log-variance 0 the function generates.


# %% tags=["blank"]
def two_draws(mu, logvar, eps, u, decode):
    """Pictures of bits: z from N(mu, exp(logvar)) with the noise eps, then each pixel from p(x|z) with u.

    mu, logvar, eps (B, Z); u (B, D), uniform between 0 and 1; decode takes z (B, Z) to the probability that a
    pixel is 1, (B, D). Returns (B, D), zeros and ones.
    """
    raise NotImplementedError


check("latent.draws", two_draws)

# %% [markdown]
# *Before you run the cell:* of variations of 2,000 held-out images, which share is named as its image is labelled? And
# of as many generated images?

# %% tags=["claim-14", "answer"]
draw, rng = use("latent.draws", two_draws), np.random.default_rng(7)
eps, u = rng.standard_normal(mu.shape), rng.random(bits.shape)  # (M, Z), (M, D)
means = decode(mu)  # (M, D)  no draw at all
varied = draw(mu, logvar, eps, u, decode)  # (M, D)  z ~ q(z|x)
generated = draw(0 * mu, 0 * logvar, eps, u, decode)  # (M, D)  z ~ p(z)
same = {}
named = {"images": bits, "variations": varied, "generated": generated, "means": means}
for name, x in named.items():
    hit = judge(x)[0] == y_test  # (M,)
    same[name] = hit.mean()
    print(f"{name:10} named as labelled {hit.mean():.1%} ± {hit.std() / np.sqrt(len(hit)):.1%}")

assert 0.3 < same["variations"] < 0.5
# spoil: same['variations'] = same['generated']
assert abs(same["generated"] - 0.1) < 0.03  # what guessing gives
# spoil: same['generated'] = same['variations']
assert same["means"] - same["variations"] < 0.1
# spoil: same['means'] = right
assert same["images"] > 0.8
# spoil: same['images'] = same['means']

# %% [markdown]
# Generated images know no label. Of the variations many are named otherwise. The images show that bits as such can be
# named, and the draws are hardly to blame, since the means at $\mu$ do little better: two numbers say little about an
# image.
#
# ### A mean is not a draw
#
# Leave out the second draw, and the mean is shown instead.

# %% tags=["stumble-09"]
z = np.random.default_rng(5).standard_normal((10, 2))  # (10, Z)
shown = {
    "means E[x|z]": decode(z),
    "draws x ~ p(x|z), same z": draw(0 * z, 0 * z, z, rng.random((10, 784)), decode),
    "held-out images, as bits": bits[:10],
}
fig, axes = panels(3, height=1.3)
for ax, (title, x) in zip(axes, shown.items(), strict=True):
    tiles = x.reshape(2, 5, 28, 28).transpose(0, 2, 1, 3).reshape(56, 140)
    ax.imshow(tiles, cmap="gray", vmin=0, vmax=1)
    ax.set_title(title)
    ax.axis("off")
show(
    fig,
    "Ten pictures each: the means smooth and blurred, the draws of the same codes grainy, the images"
    " with clean strokes.",
)
grey_share = ((decode(z) > 0.05) & (decode(z) < 0.95)).mean()
nought, same_z = np.zeros((4000, 2)), np.tile(z[0], (4000, 1))  # (4000, Z) each
many = draw(nought, nought, same_z, rng.random((4000, 784)), decode)  # (4000, D)
error = np.abs(many.mean(axis=0) - decode(z[:1])[0]).max()
print(f"{grey_share:.0%} of the means' pixels are grey; of the draws' none")

assert grey_share > 0.2
# spoil: grey_share = ((many > 0.05) & (many < 0.95)).mean()
of_images = ((grey > 0.05) & (grey < 0.95)).mean()
assert of_images < 0.12 < grey_share / 2
# spoil: of_images = grey_share
assert error < 0.05  # the mean of many draws is the mean
# spoil: error = np.abs(many[0] - decode(z[:1])[0]).max()

# %% [markdown]
# ## The model's distribution is not the data's
#
# Draws are grainy: about a third of the means' pixels are grey, of the images' a tenth, and each is drawn on its own.
# *Write down a guess:* if you count where neighbouring pixels of a row differ, how often can you tell an image of bits
# from a draw of the model, given as many of each?

# %%
guess = None  # a number between 0.5 and 1

# %% [markdown]
# > **Often said.** "The VAE learns $p(x)$", as if there were one.
# >
# > **What is true.** $p_\text{data}(x)$ made the images; nobody can evaluate it. $p_\theta(x)$ is the model's, with
# > parameters $\theta$: evidence, bound and draws belong to it. For every set $A$ of images,
# > $P_\theta(A) - P_\text{data}(A)$ is at most their **total variation**, which is 0 for equal distributions and 1 at
# > most.
# >
# > **Run this cell.** $A$ holds the images with more than so many changes; the number is chosen on others.

# %% tags=["claim-16", "answer"]


def changes(x):
    """Where neighbouring pixels of a row differ, counted: (N,)."""
    return np.abs(np.diff(x.reshape(-1, 28, 28), axis=2)).sum(axis=(1, 2))


rng = np.random.default_rng(8)
other_images, _, _ = encode(data.x_train[7000:9000], 11)  # (2000, D)
other_draws = vae.sample(2000, rng, draw=True)  # (2000, D)
limits = np.arange(0, 200)
separation = [
    (changes(other_draws) > c).mean() - (changes(other_images) > c).mean() for c in limits
]
limit = limits[np.argmax(separation)]
variation = (changes(generated) > limit).mean() - (changes(bits) > limit).mean()
ink = abs(generated.mean() / bits.mean() - 1)
print(f"changes: data {changes(bits).mean():.0f}, model {changes(generated).mean():.0f}")
print(f"total variation at least {variation:.2f}; right {(1 + variation) / 2:.0%} of the time")
print(f"lit pixels: {bits.mean():.3f} and {generated.mean():.3f}; your guess: {guess}")

assert variation > 0.7
# spoil: variation = (changes(other_draws) > limit).mean() - (changes(generated) > limit).mean()
assert ink < 0.1  # seen from here they are alike
# spoil: ink = abs(changes(generated).mean() / changes(bits).mean() - 1)

# %% [markdown]
# The amount of ink nearly agrees; the grain gives the model away.
#
# ## What $\log p_\theta(x)$ says
#
# With $Z = 2$ we can add up $p(x \mid z)\, p(z)$ on a grid, and have $\log p_\theta(x)$. *Before you run the cells:* is
# it higher for a black image, or for most held-out images? And if the ELBO is taken at $z = \mu$, as `reconstruct(x)`
# decodes it, and not as a mean over draws: does it stay below?

# %%
line, width = np.linspace(-5, 5, 141, retstep=True)  # (141,)
nodes = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)  # (141^2, Z)


def log_evidence_on_grid(x):
    """log p(x), a sum over the grid: (N, D) -> (N,)."""
    parts = []
    for z in np.split(nodes, 141):
        logits, _ = vae.decode(z.astype("float32"))  # (141, D)
        log_likelihood = x @ logits.T - np.logaddexp(0, logits).sum(axis=1)  # (N, 141)
        parts.append(log_likelihood - 0.5 * (z**2).sum(axis=1) - np.log(2 * np.pi))
    log_joint = np.concatenate(parts, axis=1).astype(float)  # (N, 141^2)
    top = log_joint.max(axis=1)  # (N,)
    return top + np.log(np.exp(log_joint - top[:, None]).sum(axis=1) * width**2)


# %% tags=["answer"]
some = bits[:200]  # (200, D)
of_black, *log_px = log_evidence_on_grid(np.vstack([np.zeros_like(some[:1]), some]))
by_draws = log_evidence(vae, some, 100, np.random.default_rng(9))  # (200,)
log_px = np.array(log_px)  # (200,)
off = np.median(np.abs(by_draws - log_px))
blacker = (of_black > log_px).mean()
ones, zeros = (log_px[y_test[:200] == digit].mean() for digit in (1, 0))
print(f"log p(x): black {of_black:.0f}, all {log_px.mean():.0f}, 1 {ones:.0f}, 0 {zeros:.0f}")
print(f"black is more probable than {blacker:.0%} of the images")

assert off < 0.3  # importance sampling, page 04, says the same
# spoil: off = np.median(np.abs(by_draws - of_black))
assert blacker > 0.8
# spoil: blacker = (np.median(log_px) > log_px).mean()
assert ones > zeros + 80
# spoil: ones, zeros = zeros, ones

# %% tags=["answer"]
at_mu = vae.objective(some, np.zeros((200, 2), "float32"))[0].elbo  # (200,)
above, less = (at_mu > log_px).mean(), log_px - at_mu  # (200,)
error = less.std() / np.sqrt(200)
print(
    f"at z = mu: above log p(x) for {above:.0%}, on average {less.mean():.1f} ± {error:.1f} below"
)
noise = np.random.default_rng(10).standard_normal((100, 200, 2)).astype("float32")
at_draws = np.array([vae.objective(some, eps)[0].elbo for eps in noise])  # (100, 200)
of_one, of_mean = (at_draws > log_px).mean(), (at_draws.mean(axis=0) > log_px).mean()
print(f"at a draw: above for {of_one:.0%}; the mean over 100 draws: for {of_mean:.0%}")

assert 0.2 < above < 0.6
# spoil: above = (at_mu > log_px + 3).mean()
assert less.mean() > 3 * error
# spoil: less = -less
assert of_one > 0.2 > 0.05 > of_mean
# spoil: of_mean = of_one

# %% [markdown]
# An image with few uncertain pixels has little to say, and is more probable: a 1 more than a 0, black more than most.
# This is no measure of beauty. And at $z = \mu$ the number is no bound, image by image; on average it stays below here.
# Nor is it one at a single draw: only the mean over all draws is.
#
# ## Your progress

# %%
progress("latent")

# %% [markdown]
# ## Recap
#
# 1. **Smooth.** Not by noise alone: it takes the KL. Measure small steps, not the length of a walk, and mind the ruler.
# 2. **Aggregate posterior.** $q(z)$, the mixture of all $q(z \mid x)$. The KL is information plus mismatch.
# 3. **Holes.** They depend on what you draw from; and ask also what the draws miss.
# 4. **Two draws.** Generation: $z \sim p(z)$, then $x \sim p(x \mid z)$. A mean is not a draw.
# 5. **Two distributions.** $p_\theta$ is not $p_\text{data}$, and $\log p_\theta(x)$ no measure of beauty.
#
# ## On your own
#
# 1. Which digits do walks from 4 to 9 pass? From 0 to 1?
# 2. Two draws from $\mathcal{N}(0, I)$ with $Z = 20$: how far from 0 are they, and how far is the middle of a straight
#    walk between them? Where is the density higher? Write a walk that keeps the distance.
# 3. Count holes with $Z = 20$. Why is the nearest distance a poor measure there?
# 4. Let $N$ grow in the aggregate posterior. What is the most that the information can be?
# 5. *A small project.* Fit a mixture of ten normals to the codes, and draw from that. What of holes, of missed codes?
#
# ## Further reading
#
# - Matthew Hoffman and Matthew Johnson, *ELBO surgery* (2016), for information and mismatch.
# - Irina Higgins and others, *beta-VAE* (2017), for the weight of the KL.
# - Jakub Tomczak and Max Welling, *VAE with a VampPrior* (2018), arXiv 1705.07120, for priors made of blobs.
#
# [Back: collapse](11_collapse.ipynb) · [Contents](README.md) ·
# [Next: the same code on a GPU](14_the_same_code_on_a_gpu.ipynb)
