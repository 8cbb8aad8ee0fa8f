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
# # 11 · Collapse
#
# Some latents of a trained VAE say next to nothing; this page finds out when one is not worth its price, how one is
# lost, and what a warm-up does about it.
#
# **What you will do**
# - measure what each latent does, in two ways that disagree;
# - derive when a latent is worth its KL, and train a VAE that obeys;
# - compare runs pair by pair.
#
# **What you will learn**
# - a threshold in closed form, and how $\beta$ moves it;
# - what pulls at a lost latent, and what does not;
# - when warm-up saves latents, and when it is only faster.
#
# **What you need**
# - page 10. About 40 minutes with the blanks. It runs in twenty seconds.

# %%
from importlib.util import find_spec

if find_spec("scratchvae") is None:
    raise SystemExit(
        "This page needs scratchvae; in the README's folder: pip install -r requirements.txt"
    )

import json
from pathlib import Path

import numpy as np

from scratchvae import VAE, Adam, Gaussian, fit, load_data
from scratchvae.batches import binarised
from scratchvae.data.toy import linear_gaussian
from scratchvae.evaluation import active_units, evaluate_terms, kl_per_latent
from scratchvae.exact import LinearGaussian, fit_linear_gaussian
from scratchvae.exercises import check, hint, progress, solution, use  # noqa: F401
from scratchvae.view.notebook import panels, show

BLUE, VERMILLION, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#555555"
data = load_data("mnist-sample")
x_train, x_test = data.x_train[:4000], data.x_test  # (N, D), (M, D)  uint8
held_out = binarised(x_test, "dynamic", np.random.default_rng(2))  # (M, D)

# %% [markdown]
# ## What does a latent do?
#
# A latent $j$ is **collapsed** if $q(z_j \mid x)$ is the prior $\mathcal{N}(0, 1)$ for every image: its KL is zero
# (**posterior collapse**). The KL of an image is a sum over its latents. Take it apart.


# %% tags=["blank"]
def kl_of_each(mu, logvar):
    """The mean over N images of KL(q(z_j|x) || N(0, 1)), for each latent j: (N, Z), (N, Z) -> (Z,)."""
    raise NotImplementedError


check("collapse.kl", kl_of_each)

# %% [markdown]
# Another measure asks how much the mean $\mu_j$ moves from image to image. A latent is an **active unit** if its
# **activity** exceeds 0.01.


# %% tags=["blank"]
def activity(mu):
    """How much the mean of q of each latent varies over N images, as a variance: (N, Z) -> (Z,)."""
    raise NotImplementedError


check("collapse.activity", activity)

# %% [markdown]
# A VAE with two hidden layers and $Z = 20$, trained for eight epochs in large, noisy steps. *Write down a guess:* how
# many of its latents are active units, and how many have a KL above 0.1 nat?

# %%
active, above = None, None  # of 20


# %%
def rough(warmup=0, epochs=8):
    """A VAE trained with a large step size and small batches."""
    rng = np.random.default_rng(0)
    model = VAE(784, (150, 150), 20, rng=rng)
    how = {"optimizer": Adam(lr=4e-3), "batch_size": 50, "rng": rng, "progress": False}
    fit(model, x_train, x_test[:2], epochs=epochs, warmup=warmup, **how)
    return model


vae = rough()

# %% tags=["answer"]
kl_of, activity_of = use("collapse.kl", kl_of_each), use("collapse.activity", activity)
mu, logvar, _ = vae.encode(held_out.astype("float32"))  # (M, Z) each
mu, logvar = mu.astype(float), logvar.astype(float)
kl, moves = kl_of(mu, logvar), activity_of(mu)  # (Z,) each
print(f"active units {(moves > 0.01).sum()}, with a KL above 0.1 nat {(kl > 0.1).sum()}, of 20")
print(f"the KL of all: {kl.sum():.2f}; your guess: {active}, {above}")
of_terms = evaluate_terms(vae, held_out, np.random.default_rng(1))["kl"].mean
rng = np.random.default_rng(3)
tried = [
    rng.uniform(0.1, 3) * rng.standard_normal((2, 50, 20)) for _ in range(200)
]  # mu, logvar
least = min((kl_of(m, v) - activity_of(m) / 2).min() for m, v in tried)

assert np.isclose(kl.sum(), of_terms, rtol=1e-4)
# spoil: of_terms = kl[:10].sum()
assert np.allclose(kl, kl_per_latent(vae, held_out), atol=1e-4)
# spoil: kl = 2 * kl
assert np.array_equal(moves > 0.01, active_units(vae, held_out))
# spoil: moves = kl / 100
assert (moves > 0.01).sum() > (kl > 0.1).sum() + 4
# spoil: moves = kl / 10
assert (kl >= moves / 2).all()  # of these latents,
# spoil: kl = kl / 3
assert least > 0  # and of any codes
# spoil: least = min((kl_of(m, v) - activity_of(m)).min() for m, v in tried)

# %% [markdown]
# They disagree. How are the two related? In the KL, $\sigma^2 - 1 - \log \sigma^2 \ge 0$, and the mean of $\mu_j^2$ is
# the activity $a$ plus the square of a mean. So $\text{kl}_j \ge a / 2$, for any encoder: an active unit pays 0.005 nat
# at least, and perhaps little more. This page counts latents above 0.1 nat.

# %%
fig, ax = panels(height=2.5, xlabel="activity $a$", ylabel="KL, nats")
ax.plot([0, 1.5], [0, 0.75], color=GREY, label="$a / 2$, the least")
ax.plot(moves, kl, "o", color=BLUE, label="the 20 latents")
ax.axhline(0.1, color=VERMILLION, linestyle=":", label="0.1 nat")
ax.axvline(0.01, color=VERMILLION, linestyle="--", label="active unit: 0.01")
ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(0.05, 1))
show(
    fig,
    "KL against activity: nine latents above 0.1 nat, eight of them between 0.6 and 2.1 nats and far"
    " above the line a/2; eleven in a heap between 0 and 0.1 nat, all to the right of 0.01.",
)

# %% [markdown]
# ## When is a latent worth its KL?
#
# > **Often said.** "Collapse is a failure of the optimizer, or of the KL term."
# >
# > **What is true.** A latent costs KL and saves nll. Where it saves less than it costs, the best model does without
# > it; in a linear VAE $\log p(x)$ itself agrees. Beyond that, training can lose latents that were worth it.
# >
# > **Run the cells below.** This section and the next derive and train the first case; the rest is about the second.
#
# The first is exact in a linear VAE: $x = W z + b + \sigma_x \cdot \text{noise}$, with $W$ of the shape $(D, Z)$ and
# the offset $b$ at the mean of the data. Let the covariance matrix of the data have the eigenvectors $V_j$, of length
# 1, and the eigenvalues $\lambda_j$: along $V_j$ the data have the variance $\lambda_j$. Give latent $j$ the column
# $c\, V_j$ of $W$, where $c$ is a number. Variances of independent parts add, so along $V_j$ the model's $x$ has the
# variance $r = c^2 + \sigma_x^2$. The mean log-density of data of the variance $\lambda$ under it is
#
# $$-\tfrac12 \left( \log 2\pi + \log r + \frac{\lambda}{r} \right), \quad \text{with the slope} \quad
#   \frac{\lambda - r}{2 r^2} \text{ in } r .$$
#
# It rises up to $r = \lambda$ and falls from there on. But $r$ cannot be smaller than $\sigma_x^2$. Which $c^2$ is
# best?


# %% tags=["blank"]
def squared_length(eigenvalues, sigma_x):
    """The best c^2 of each latent; c^2 + sigma_x^2 is the model's variance: (Z,), a number -> (Z,)."""
    raise NotImplementedError


check("collapse.length", squared_length)

# %% [markdown]
# So a latent may collapse with the exact evidence as the objective: no bound and no optimizer in sight. (That
# the eigenvectors of the largest eigenvalues are the best columns is a theorem of Tipping and Bishop, 1999, on
# **probabilistic PCA**.)
#
# The *bound* agrees. The posterior has the precision matrix $W^\top W / \sigma_x^2 + I$. The columns are orthogonal, so
# the matrix is diagonal, and a diagonal $q$ can equal the posterior: no gap.
#
# The *price*. Precisions add (page 02), so a latent with $c > 0$ has the posterior variance
# $1 / (1 + c^2 / \sigma_x^2) = \sigma_x^2 / (\sigma_x^2 + c^2) = \sigma_x^2 / \lambda_j$, and the posterior mean
#
# $$\mu_j = \frac{\sigma_x^2}{\lambda_j} \cdot \frac{c\, V_j^\top (x - b)}{\sigma_x^2}
#   = \frac{c}{\lambda_j}\, V_j^\top (x - b) .$$
#
# The mean square of $V_j^\top (x - b)$ is $\lambda_j$, so that of $\mu_j$ is
# $c^2 / \lambda_j = 1 - \sigma_x^2 / \lambda_j$. Which mean KL is that?


# %% tags=["blank"]
def price(eigenvalues, sigma_x):
    """The mean KL of each latent at its best, 0 if it has collapsed: (Z,), a number -> (Z,)."""
    raise NotImplementedError


check("collapse.price", price)

# %% [markdown]
# Now a cloud in $D = 6$ dimensions, made from three directions and noise. First, your best $W$ for $Z = 4$ against 300
# others.

# %%
length_of, price_of = use("collapse.length", squared_length), use("collapse.price", price)
cloud = linear_gaussian(300, np.random.default_rng(5), n_x=6, n_z=3).x  # (N, D), D = 6
values, V = np.linalg.eigh(np.cov(cloud.T, bias=True))  # (D,), (D, D)  rising
values, V = values[::-1], V[:, ::-1]
print("eigenvalues", values.round(2), " their roots", np.sqrt(values).round(2))
W = V[:, :4] * np.sqrt(length_of(values[:4], 2.1))  # (D, Z)
best = LinearGaussian(W, cloud.mean(axis=0), 2.1)
rng, others = np.random.default_rng(6), []
for size in np.repeat([0.01, 0.1, 1.0], 100):
    other = LinearGaussian(W + size * rng.standard_normal(W.shape), cloud.mean(axis=0), 2.1)
    others.append(other.log_px(cloud).mean())
top, bound = best.log_px(cloud).mean(), best.optimal_elbo(cloud).mean()
print(f"mean log p(x) of your W {top:.6f}, of 300 others at most {max(others):.6f}")

assert top > max(others)
# spoil: top = LinearGaussian(1.1 * W, best.mean, 2.1).log_px(cloud).mean()
assert abs(bound - top) < 1e-9  # no gap
# spoil: bound = max(others)
assert abs(fit_linear_gaussian(cloud, 4, 2.1).log_px(cloud).mean() - top) < 1e-9
# spoil: top = max(others)

# %% [markdown]
# Then a VAE without hidden layers, trained with noise in every pass. *Write down a guess:* how many of its four latents
# stay in use, with a KL above 0.1 nat, for $\sigma_x = 1.0$, 2.1 and 2.7?

# %%
guess = None  # three numbers


# %%
def linear_vae(sigma_x, beta=1.0, warmup=0, epochs=1500, Z=4):
    """A VAE without hidden layers, trained on the cloud; its step falls from 0.07 to 0.0001."""
    rng = np.random.default_rng(0)
    model = VAE(6, (), Z, likelihood=Gaussian(sigma_x), rng=rng, dtype="float64")
    how = {"batch_size": 300, "binarise": "none", "rng": rng, "progress": False}
    how |= {"epochs": epochs, "beta": beta, "warmup": warmup, "optimizer": Adam(beta2=0.99)}
    fit(model, cloud, cloud[:1], schedule=lambda k: 0.07 * (1 / 700) ** (k / epochs), **how)
    return model


def found(model):
    """The KL of each latent, the largest first, (Z,): latents come in any order."""
    mu, logvar, _ = model.encode(cloud)
    return np.sort(kl_of(mu, logvar))[::-1]


trained = {sigma_x: found(linear_vae(sigma_x)) for sigma_x in (1.0, 2.1, 2.7)}  # (Z,) each

# %% tags=["stumble-08", "answer"]
print("your guess:", guess)
for sigma_x, kl in trained.items():
    predicted = price_of(values[:4], sigma_x)  # (Z,)
    print(f"sigma_x {sigma_x}: kl predicted {predicted.round(3)}, trained {kl.round(3)}")

    assert np.allclose(kl, predicted, atol=0.03)
    # spoil: predicted = 0.5 * np.log(values[:4] / sigma_x)
    assert np.array_equal(kl > 0.1, values[:4] > sigma_x**2)
    # spoil: kl = kl + 0.2

scan = np.linspace(0.7, 3.6, 300)
fig, ax = panels(height=2.7, xlabel=r"$\sigma_x$ of the decoder", ylabel="KL of a latent, nats")
for j, (colour, style) in enumerate(((BLUE, "-"), (VERMILLION, "--"), (GREEN, "-."))):
    curve = [price_of(values[:4], s)[j] for s in scan]
    ax.plot(scan, curve, style, color=colour, label=f"eigenvalue {values[j]:.2f}")
for sigma_x, kl in trained.items():
    ax.plot([sigma_x] * 4, kl, "o", color=GREY, label="trained" if sigma_x == 1 else "")
ax.legend(frameon=False)
show(
    fig,
    "Three falling curves that reach zero at sigma_x 1.8, 2.5 and 3.1. The trained latents, four at"
    " each of three values, lie on the curves or at zero.",
)

# %% [markdown]
# At none of these $\sigma_x$ had the fourth latent a chance: its eigenvalue, 0.26, is the noise's.
#
# ## What beta does
#
# With a weight $\beta$ on the KL, page 10's line
# $\sigma_x^2 (\text{nll} + \beta\, \text{kl}) = \tfrac12 \lVert x - m \rVert^2 + \beta \sigma_x^2\, \text{kl}$ + a
# constant holds $\beta$ and $\sigma_x$ only as a product, $\beta \sigma_x^2$. *Write down a guess:* at
# $\sigma_x = 1$, which $\beta$ leaves one latent of the cloud?

# %%
guess = None  # a number

# %% tags=["answer"]
by_beta = found(linear_vae(1.0, beta=2.7**2))  # (Z,)
print(
    f"sigma_x 1.0, beta {2.7**2:.2f}: {by_beta.round(3)};  sigma_x 2.7: {trained[2.7].round(3)}"
)
print(f"one latent for beta from {values[1]:.2f} to {values[0]:.2f}; your guess: {guess}")
of_digits = np.linalg.eigvalsh(np.cov(x_train.T / 255.0, bias=True))  # (784,)
for sigma_x in (0.1, 0.3, 1.0, np.sqrt(784 / 2)):
    print(
        f"digits, sigma_x {sigma_x:5.2f}: {(of_digits > sigma_x**2).sum():3d} of 784 directions"
    )

assert np.allclose(by_beta, trained[2.7], atol=0.02)
# spoil: by_beta = trained[2.1]
assert (by_beta > 0.1).sum() == 1
# spoil: by_beta = trained[2.1]
assert of_digits.max() < 784 / 2
# spoil: of_digits = of_digits * 100

# %% [markdown]
# The last line is "squared error, averaged over pixels, plus KL", where $1 / (2 \sigma_x^2) = 1/D$: not one direction
# of the digits is worth a latent to a linear VAE. For bits and a decoder with hidden layers there is no formula, but a
# price, too:

# %%
by_weight = {}
for beta in (1, 4, 16):
    rng = np.random.default_rng(0)
    model = VAE(784, (200,), 20, rng=rng)
    how = {"optimizer": Adam(lr=2e-3), "rng": rng, "progress": False}
    fit(model, x_train, x_test[:2], epochs=4, beta=beta, **how)
    kl = kl_per_latent(model, held_out)  # (Z,)
    by_weight[beta] = kl.sum(), (kl > 0.1).sum()
    print(f"beta {beta:5.2f}: kl {kl.sum():5.2f}, {(kl > 0.1).sum():2d} latents above 0.1 nat")

totals, counts = np.array(list(by_weight.values())).T  # (3,) each
assert (np.diff(totals) < -2).all()
# spoil: totals = totals[::-1]
assert (np.diff(counts) <= 0).all()
# spoil: counts = counts[::-1]
assert counts[-1] == 0
# spoil: counts = counts + 1

# %% [markdown]
# How much of this is price, and how much was lost in training, these runs do not tell.
#
# ## Lost on the way
#
# The second case. How many latents of our first VAE were above 0.1 nat after one epoch? Then take its most active
# latent, which is worth its price, and give it up on both sides: weights to zero.


# %% tags=["answer"]
def give_up(model, j, first):
    """Set to zero what makes latent j, and what the decoder's first weights make of it."""
    for name in ("mu", "logvar"):
        model.params[f"{name}.W"][:, j] = 0
        model.params[f"{name}.b"][j] = 0
    model.params[first][j] = 0  # (H,)


in_use = [int((kl_per_latent(m, held_out) > 0.1).sum()) for m in (rough(epochs=1), vae)]
print(f"latents above 0.1 nat: after one epoch {in_use[0]}, after eight {in_use[1]}")
before = evaluate_terms(vae, held_out, np.random.default_rng(1))["elbo"].mean
given_up, kept = (VAE(784, (150, 150), 20, rng=np.random.default_rng(0)) for _ in range(2))
for name, p in vae.params.items():
    given_up.params[name][...] = kept.params[name][...] = p
j = int(np.argmax(moves))
give_up(given_up, j, "decoder.0.W")
after = evaluate_terms(given_up, held_out, np.random.default_rng(1))["elbo"].mean
print(f"elbo with the latent {before:.1f}, without {after:.1f}")

assert in_use[0] > in_use[1] + 4
# spoil: in_use = in_use[::-1]
assert after < before - 5
# spoil: after = before

# %% [markdown]
# *Before you run the cell:* which gradient leads it back?

# %% tags=["answer"]
rng, some = np.random.default_rng(7), held_out[:100].astype("float32")  # (B, D)
eps, to_encoder, to_decoder = given_up.draw_eps(100, rng), [], []
for sign in (1, -1):  # of the noise of latent j; that of the others stays
    eps[:, j] *= sign
    _, cache = given_up.objective(some, eps)
    grads = given_up.backward(np.ones(100, "float32"), cache)
    of_latent = [grads[f"{name}.{part}"][..., j] for name in ("mu", "logvar") for part in "Wb"]
    to_encoder.append(max(np.abs(g).max() for g in of_latent))
    to_decoder.append(grads["decoder.0.W"][j])  # (H,)
    print(
        f"noise times {sign:2}: encoder {to_encoder[-1]}, decoder", to_decoder[-1][:5].round(2)
    )
largest, left = np.abs(to_decoder[0]).max(), np.abs(to_decoder[0] + to_decoder[1]).max()

assert max(to_encoder) == 0
# spoil: to_encoder = [0, largest]
assert left < 1e-3 * largest
# spoil: left = np.abs(to_decoder[0] - to_decoder[1]).max()

# %% [markdown]
# None. The encoder's gradient is exactly zero, since the decoder does not listen and the KL is at its minimum. The
# decoder's is noise: turn the sign of the latent's $\epsilon$, as likely as not, and the gradient turns its sign. Its
# mean is exactly zero, since the encoder does not speak. That leaves the noise. Does it bring the latent back, in four
# more epochs? And what do they give a copy that has kept it?

# %% tags=["answer"]
reached = {}
for arm, model in (("given up", given_up), ("kept", kept)):
    how = {"optimizer": Adam(lr=4e-3), "batch_size": 50, "rng": np.random.default_rng(8)}
    fit(model, x_train, x_test[:2], epochs=4, progress=False, **how)
    reached[arm] = evaluate_terms(model, held_out, np.random.default_rng(1))["elbo"].mean
    print(f"{arm:8}: KL {kl_per_latent(model, held_out)[j]:.4f} nat; elbo {reached[arm]:.1f}")
later = kl_per_latent(given_up, held_out)[j]

assert later < 0.1
# spoil: later = kl_per_latent(vae, held_out)[j]
assert 0 < reached["kept"] - reached["given up"] < 2
# spoil: reached['kept'] = before
assert reached["given up"] > after + 20  # by the other latents
# spoil: reached['given up'] = after

# %% [markdown]
# It stays lost, and costs less than two nats now: the others stand in. *Before you run the cell:* does a linear VAE
# with $Z = 3$, which has no latent to spare, get its largest back?

# %% tags=["answer"]
three = linear_vae(1.0, epochs=600, Z=3)
mu, logvar, _ = three.encode(cloud)
gone = int(np.argmax(kl_of(mu, logvar)))
give_up(three, gone, "logits.W")
how = {"optimizer": Adam(lr=0.01), "batch_size": 300, "binarise": "none", "progress": False}
fit(three, cloud, cloud[:1], epochs=400, rng=np.random.default_rng(8), **how)
back = kl_of(*three.encode(cloud)[:2])  # (Z,)
print("KL before", kl_of(mu, logvar).round(3), " after", back.round(3), " given up:", gone)

assert back[gone] > 0.3
# spoil: back = np.zeros(3)
assert np.argmax(back) != gone  # another is the largest now
# spoil: gone = np.argmax(back)

# %% [markdown]
# It is in use again, but no longer the largest: another took that place. Noise moves it off zero; the missing gradient
# alone does not keep a latent lost.
#
# ## Warm-up
#
# **KL warm-up** (or annealing) lets the weight of the KL grow from 0 to 1 over the first epochs: it changes the path,
# not the goal. To see what it gains, runs were [trained in pairs](../results/warmup.md) that share first weights,
# batches and noise, from eight seeds, for up to 64 epochs, in three ways: *gentle* (step size 0.001, batches of 100),
# *usual* (0.002, 128) and *rough* (0.004, 50). The warm-up takes four epochs. Write what a table of them needs.


# %% tags=["blank"]
def gain(with_it, without):
    """The mean of with - without, and its standard error, with n - 1: (n,), (n,) -> two numbers."""
    raise NotImplementedError


check("collapse.gain", gain)

# %% [markdown]
# *Write down guesses:* by how many nats is the elbo better with warm-up after 8 epochs, and after 64, in gentle steps?
# How many latents does it save there?

# %%
after_8, after_64, saved = None, None, None

# %%
root = next(f for f in (Path.cwd(), *Path.cwd().parents) if (f / "results").is_dir())
stored = json.loads((root / "results/warmup.json").read_text())
lengths, gain_of = stored["lengths"], use("collapse.gain", gain)


def runs(way, arm, measure):
    """Of the eight runs, at each length of training: (8, lengths)."""
    return np.array(stored["values"][way][arm][measure])


def gains(way, measure):
    """At each length of training, the gain of warm-up and its standard error: (lengths, 2)."""
    pairs = zip(runs(way, "with", measure).T, runs(way, "without", measure).T, strict=True)
    return np.array([gain_of(*pair) for pair in pairs])


# %% tags=["stumble-08", "answer"]
table = {}
print("          epochs   gain, held out   training images   latents above 0.1: without, with")
for way in ("gentle", "usual", "rough"):
    held, train = gains(way, "elbo"), gains(way, "train")  # (lengths, 2) each
    counts = [runs(way, arm, "above").mean(axis=0) for arm in ("without", "with")]
    table[way] = held, train, counts
    for length in (8, 64):
        i = lengths.index(length)
        print(
            f"{way:10} {length:5}     {held[i][0]:5.2f} ± {held[i][1]:.2f}      {train[i][0]:5.2f}"
            f" ± {train[i][1]:.2f}        {counts[0][i]:4.1f}, {counts[1][i]:4.1f}"
        )
print("your guesses:", after_8, after_64, saved)

eight, last = lengths.index(8), lengths.index(64)
assert all(held[eight][0] > 10 * held[eight][1] for held, _, _ in table.values())
# spoil: table['gentle'][0][eight] = table['gentle'][0][last]
assert min(counts[eight] for counts in table["gentle"][2]) > 19.5  # no latent was lost there
# spoil: table['gentle'][2][0][eight] = 10
assert all(
    abs(table[way][1][last][0]) < 2 * table[way][1][last][1] for way in ("gentle", "usual")
)
# spoil: table['usual'][1][last] = table['usual'][0][last]
assert table["rough"][1][last][0] > 10 * table["rough"][1][last][1]
# spoil: table['rough'][1][last] = table['usual'][1][last]
lost = [20 - counts[last] for counts in table["rough"][2]]  # without, with
assert 0.4 < lost[1] / lost[0] < 0.6
# spoil: lost = lost[::-1]
stays = runs("rough", "without", "above")[:, [lengths.index(12), last]].mean(axis=0)  # (2,)
assert stays[1] < stays[0] + 0.5
# spoil: stays = stays + [0, 5]
told = table["gentle"][0][eight][0], *(held[last][0] for held, _, _ in table.values())
assert np.allclose(told, [6.5, 0.5, 2, 5], atol=0.3)
# spoil: told = told[::-1]
more = [counts[1][last] - counts[0][last] for _, _, counts in table.values()]
assert np.allclose(more, [2, 4, 6], atol=0.5)
# spoil: more = more[::-1]

# %%
fig, axes = panels(2, height=2.9, xlabel="epochs", xscale="log")
kinds = zip(table, (BLUE, GREEN, VERMILLION), ("-o", "-.s", "--^"), strict=True)
for way, colour, style in kinds:
    held, _, counts = table[way]
    axes[0].errorbar(lengths, *held.T, fmt=style, color=colour, markersize=4, label=way)
    axes[1].plot(lengths, counts[1] - counts[0], style, color=colour, markersize=4, label=way)
axes[0].set(title="What warm-up gains", ylabel="elbo of held-out images, nats", ylim=(0, None))
axes[1].set(title="Latents that it saves", ylabel="of 20, above 0.1 nat", ylim=(-0.5, None))
for ax in axes:
    ax.set_xticks([4, 8, 16, 32, 64], ["4", "8", "16", "32", "64"])
    ax.minorticks_off()
axes[0].legend(frameon=False)
show(
    fig,
    "Against the epochs, 4 to 64. Left, the gain falls from 10 or 11 nats to 0.6 for gentle, 1.8 for"
    " usual and 5.0 for rough steps. Right, latents saved: gentle from none to 2, usual from less"
    " than one to 4, rough from 6 up to 8 after eight epochs and back to 6.",
)

# %% [markdown]
# In *gentle* steps no latent is lost in eight epochs, and yet warm-up gains 6.5 nats: that is speed. It melts. After 64
# epochs half a nat is left on held-out images, and on training images nothing that can be told from zero, with two
# latents fewer without it. So it ends in *usual* steps, but for two nats on held-out images and four latents. In
# *rough* steps without warm-up latents are lost in the first twelve epochs, and their number stays; warm-up saves half
# of them, and five nats with them.
#
# *Write down a guess:* after 64 epochs, which is better: rough steps with warm-up, or gentle steps without?

# %%
guess = None  # "rough with" or "gentle without"

# %% tags=["answer"]
gentle = runs("gentle", "without", "elbo")[:, last]  # (8,)
choice = gain_of(gentle, runs("rough", "with", "elbo")[:, last])
print(f"gentle without less rough with: {choice[0]:.2f} ± {choice[1]:.2f} nats; guess: {guess}")
early = gain_of(
    runs("gentle", "without", "elbo")[:, eight], runs("rough", "with", "elbo")[:, eight]
)
print(f"the same after eight epochs: {early[0]:.2f} ± {early[1]:.2f} nats")
warm = rough(warmup=4)
here = {}
for arm, model in (("without", vae), ("with", warm)):
    elbo = evaluate_terms(model, held_out, np.random.default_rng(1))["elbo"].mean
    here[arm] = elbo, runs("rough", arm, "elbo")[0, eight]
    count = (kl_per_latent(model, held_out) > 0.1).sum()
    print(
        f"this page's pair, {arm:7}: elbo {elbo:.2f}, in the table {here[arm][1]:.2f}; {count} latents"
    )

assert choice[0] > 5 * choice[1]
# spoil: choice = -choice[0], choice[1]
assert early[0] < -10 * early[1]
# spoil: early = choice
usual = {
    k: gain_of(runs("gentle", "without", "elbo")[:, k], runs("usual", "with", "elbo")[:, k])
    for k in (eight, last)
}
assert abs(usual[last][0]) < 0.5
# spoil: usual[last] = choice
assert usual[eight][0] < -10 * usual[eight][1]
# spoil: usual[eight] = usual[last]
assert all(abs(mine - theirs) < 1 for mine, theirs in here.values())  # the table's first pair
# spoil: here['with'] = here['with'][0], here['without'][1]

# %% [markdown]
# After 64 epochs, on held-out images, gentle steps do more for rough runs than a warm-up, for usual ones as much; after
# eight they are far behind. Against the first kind of collapse warm-up does not help:

# %%
again = found(linear_vae(2.7, warmup=375))  # (Z,)
print(
    "linear VAE, sigma_x 2.7, with warm-up:", again.round(3), " without:", trained[2.7].round(3)
)

assert np.allclose(again, trained[2.7], atol=0.01)
# spoil: again = trained[2.1]

# %% [markdown]
# ## Your progress

# %%
progress("collapse")

# %% [markdown]
# ## Recap
#
# 1. **Measures.** KL of each latent, and activity $a$; $\text{kl}_j \ge a / 2$. Say which, and with which threshold.
# 2. **Threshold.** A linear VAE uses latent $j$ where $\lambda_j > \sigma_x^2$, and pays
#    $\tfrac12 \log(\lambda_j / \sigma_x^2)$.
# 3. **Beta.** With a weight on the KL of a Gaussian VAE, $\beta \sigma_x^2$ stands in the place of $\sigma_x^2$.
# 4. **Lost latents.** Once encoder and decoder have both given one up, its mean gradient is zero; noise may bring it
#    back, or not.
# 5. **Warm-up.** Mostly early speed. In the end also latents, the more the rougher the steps, and in rough steps nats
#    that stay on training images, too; no latent that is not worth its price.
#
# ## On your own
#
# 1. Give up a latent on the encoder's side alone, or on the decoder's alone. Does a gradient lead back?
# 2. Turn $W$ by a rotation $R$ of the latents, $W \to W R$. What becomes of $\log p(x)$, of the best elbo, of the
#    number of active units?
# 3. Train the VAE of $\beta = 16$ for 12 epochs, with a warm-up over eight and without. Compare
#    $\text{nll} + 16\, \text{kl}$. Was the price too high?
# 4. *A small project.* **Free bits**: count the KL of a latent only above 0.1 nat. Which latents does it save? Is what
#    is maximised still a bound?
#
# ## Further reading
#
# - Michael Tipping and Christopher Bishop, *Probabilistic principal component analysis* (1999).
# - James Lucas and others, *Don't blame the ELBO!* (2019), arXiv 1911.02469, for the linear VAE.
# - Yuri Burda, Roger Grosse and Ruslan Salakhutdinov, *Importance weighted autoencoders* (2016), arXiv 1509.00519, for
#   active units.
# - [The linear-Gaussian model](derivations/09_linear_gaussian.ipynb), derived.
#
# [Back: train a VAE on digits](10_train_a_vae_on_digits.ipynb) · [Contents](README.md) ·
# [Next: the latent space](12_the_latent_space.ipynb)
