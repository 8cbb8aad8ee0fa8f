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
# # 09 · Gradients through mu and sigma
#
# This page follows one gradient from the objective back to the first layer of the encoder, and you write it: twelve
# short functions. Each is checked as soon as you run its cell, and most slips are told by name.
#
# **What you will do**
# - write the draw, the KL, and the gradients on the way from the objective to the encoder's first weights;
# - predict which way the noise pushes sigma, and count;
# - put your functions together, and compare them with the library's backward pass.
#
# **What you will learn**
# - why two gradients meet at mu and two at logvar, and why they add;
# - why the gradient at sigma is used and the one at eps is not, although they enter as a product;
# - that mu and sigma are outputs of the encoder: what is trained are the weights.
#
# **What you need**
# - pages 05, 07 and 08; the balance at the end uses a model of page 03. About 80 minutes with the blanks. It runs in
#   ten seconds.

# %%
from importlib.util import find_spec

if find_spec("scratchvae") is None:
    raise SystemExit(
        "This page needs scratchvae; in the README's folder: pip install -r requirements.txt"
    )

import numpy as np

from scratchvae import (
    SGD,
    VAE,
    Adam,
    Gaussian,
    fit,
    kl_to_standard_normal,
    load_data,
    reparameterize,
)
from scratchvae.checks import check_gradients
from scratchvae.exact import LinearGaussian
from scratchvae.exercises import check, hint, progress, solution, use  # noqa: F401
from scratchvae.view.flow import trace_gradients
from scratchvae.view.notebook import show
from scratchvae.view.pulls import gather_pulls

# %% [markdown]
# ## Two slopes
#
# For each image the encoder says where its latent may lie: around a mean $\mu$, with a standard deviation $\sigma$.
# The draw is $z = \mu + \sigma \epsilon$, where $\epsilon$ is a number from $\mathcal{N}(0, 1)$.
#
# Take $\mu = 0.5$, $\sigma = 2$ and $\epsilon = -1.3$, so that $z = -2.1$. *Before you write:* raise $\mu$ by 0.1. By
# how much does $z$ change? Raise $\sigma$ by 0.1 instead. Does $z$ go up?
#
# Now for arrays. An array of the shape $(B, Z)$ has a row for each of $B$ examples and a column for
# each of $Z$ latents. Here $z$ is made entry by entry: `*` multiplies so, `@` is a matrix product. Write both slopes in
# place of `raise NotImplementedError`, and run the cell.


# %% tags=["blank"]
def slopes(eps):
    """dz/dmu and dz/dsigma of z = mu + sigma eps, entry by entry: (B, Z) -> (B, Z), (B, Z)."""
    raise NotImplementedError


check("gradients.slopes", slopes)

# %% [markdown]
# If you are stuck, `hint("gradients.slopes")` in a cell of its own asks a question. A second call gives the formula, a
# third nearly the code, and then `solution("gradients.slopes")` shows one way to write it. Whatever value your function
# returns, the cells below it run.
#
# ## The forward pass
#
# A small VAE: $D = 6$ data values, $H = 5$ hidden units, $Z = 2$ latents, a batch of $B = 4$. Each line uses what
# stands above it; three lines are yours.
#
# | line | what | shape |
# |---|---|---|
# | $h = \tanh(x W_0 + b_0)$ | hidden layer of the encoder | $(B, H)$ |
# | $\mu = h W_\mu + b_\mu$ | mean of $q(z \mid x)$ | $(B, Z)$ |
# | $v = h W_v + b_v$ | `logvar`, the **logarithm of the variance** of $q(z \mid x)$ | $(B, Z)$ |
# | $\sigma$, from $v$ | standard deviation: *yours* | $(B, Z)$ |
# | $z$, from $\mu$, $v$ and $\epsilon$ | the draw: *yours* | $(B, Z)$ |
# | $g = \tanh(z W_1 + b_1)$ | hidden layer of the decoder | $(B, H)$ |
# | $l = g W_l + b_l$ | logits: one number a pixel | $(B, D)$ |
# | $\text{nll} = \sum_d [\log(1 + e^{l_d}) - x_d l_d]$ | $-\log p(x \mid z)$, Bernoulli | $(B,)$ |
# | $\text{kl}$, from $\mu$ and $v$ | $\mathrm{KL}(q(z \mid x) \Vert p(z))$, in nats: *yours* | $(B,)$ |
# | $\text{objective} = -\text{nll} - \text{kl}$ | for one draw; its mean over $\epsilon$ is the ELBO | $(B,)$ |


# %% tags=["blank"]
def sigma_of(logvar):
    """sigma, the standard deviation, from the logarithm of the variance: (B, Z) -> (B, Z)."""
    raise NotImplementedError


check("gradients.sigma", sigma_of)


# %% tags=["blank"]
def draw_z(mu, logvar, eps):
    """z ~ N(mu, sigma^2) made from eps ~ N(0, 1): (B, Z) each."""
    raise NotImplementedError


check("gradients.draw", draw_z)

# %% [markdown]
# The KL to the standard normal was derived on page 05. The latents are independent in both, so that their KLs add up.


# %% tags=["blank"]
def kl_of(mu, logvar):
    """KL(N(mu, sigma^2) || N(0, 1)) of each example, over all its latents: (B, Z), (B, Z) -> (B,)."""
    raise NotImplementedError


check("gradients.kl", kl_of)

# %% [markdown]
# From here on we use the library's forward pass, so that the page goes on whatever you have written. The noise
# $\epsilon$ is drawn now, and is a constant from here on.

# %%
rng = np.random.default_rng(0)
B = 4
vae = VAE(n_x=6, n_hidden=(5,), n_z=2, activation="tanh", rng=rng, dtype="float64")
for p in vae.params.values():
    p += 0.3 * rng.standard_normal(p.shape)  # biases away from zero, for a fair test
x = (rng.random((B, 6)) < 0.5).astype("float64")  # (B, D)  pixels, dark or lit
eps = vae.draw_eps(B, rng)  # (B, Z)

mu, logvar, _ = vae.encode(x)  # (B, Z) each
z, (sigma, _) = reparameterize(mu, logvar, eps)
terms, cache = vae.objective(x, eps)
with np.printoptions(precision=3, suppress=True):
    for name, array in {"mu": mu, "sigma": sigma, "eps": eps, "z": z}.items():
        print(f"{name:6}", *array)
    print("kl    ", terms.kl)
    print("nll   ", terms.nll)

assert np.allclose((z - mu) / eps, sigma)
# spoil: sigma = sigma**2

# %% [markdown]
# ## From the objective to the draw
#
# We differentiate one number, $s = \sum_b w_b\, \text{objective}_b$, the objective with a weight for each example; the
# mean has $w_b = 1/B$. A name such as `dz` stands for the derivative of $s$ with respect to $z$, and has the shape of
# $z$. The library's `backward` takes the weights $w$, and a dictionary `trace` in which it leaves gradients by
# name.
#
# Both terms stand in the objective with a minus sign, so that each example's nll receives $\text{dnll}_b = -w_b$, and
# so does its kl. Your first step back is over the nll.


# %% tags=["blank"]
def nll_to_logits(dnll, logits, x):
    """Back through nll_b = sum_d (log(1 + exp(l_bd)) - x_bd l_bd): (B,), (B, D), (B, D) -> (B, D)."""
    raise NotImplementedError


check("gradients.dlogits", nll_to_logits)

# %% [markdown]
# From the logits to $z$ there are two dense layers and a tanh, as on page 08: a product with the transposed weights for
# each dense layer, a factor $1 - g^2$ for the tanh.

# %%
P, trace = vae.params, {}
grads = vae.backward(np.full(B, 1 / B), cache, trace=trace)

g = np.tanh(z @ P["decoder.0.W"] + P["decoder.0.b"])  # (B, H)
dg = trace["dlogits"] @ P["logits.W"].T  # (B, H)
dz = (dg * (1 - g**2)) @ P["decoder.0.W"].T  # (B, Z)

assert np.allclose(dz, trace["dz"])
# spoil: dz = dg @ P['decoder.0.W'].T

# %% [markdown]
# ## Through the draw
#
# Now $\text{dz}$ has arrived. The chain rule multiplies it by the slopes that you found above. Two lines, one each.


# %% tags=["blank"]
def z_to_mu(dz, eps, sigma):
    """What reaches mu through z = mu + sigma eps: (B, Z), (B, Z), (B, Z) -> (B, Z)."""
    raise NotImplementedError


check("gradients.dmu", z_to_mu)


# %% tags=["blank"]
def z_to_sigma(dz, eps, sigma):
    """What reaches sigma through z = mu + sigma eps: (B, Z), (B, Z), (B, Z) -> (B, Z)."""
    raise NotImplementedError


check("gradients.dsigma", z_to_sigma)

# %% [markdown]
# ### And eps?
#
# $\sigma$ and $\epsilon$ enter $z$ as a product. *Before you run the cell:* is there a derivative of the objective with
# respect to $\epsilon$? Is it zero?


# %% tags=["answer"]
def mean_objective(mu, logvar, eps, model=vae, x=x):
    """The mean objective when mu, logvar and eps are moved by hand."""
    logits, _ = model.decode(reparameterize(mu, logvar, eps)[0])
    nll, _ = model.likelihood.nll(x, logits)
    kl, _ = kl_to_standard_normal(mu, logvar)
    return (-nll - kl).mean()


def by_differences(f, at, h=1e-5):
    """The derivative of f with respect to every entry of at."""
    moves = np.eye(at.size).reshape(-1, *at.shape) * h  # one entry at a time
    return np.array([(f(at + m) - f(at - m)) / (2 * h) for m in moves]).reshape(at.shape)


deps = by_differences(lambda e: mean_objective(mu, logvar, e), eps)  # (B, Z)
print("by differences, example 0:", deps[0].round(6))
print("dz * sigma,     example 0:", (dz * sigma)[0].round(6))

assert np.allclose(deps, dz * sigma, rtol=1e-6, atol=1e-9)
# spoil: deps = deps * eps
assert np.abs(deps).min() > 1e-4
# spoil: deps = 0 * deps
assert not any("eps" in name for name in trace)  # backward does without it
# spoil: trace = {**trace, "deps": deps}

# %% [markdown]
# It is there, and it is $\text{dz} \cdot \sigma$. Nobody uses it. A gradient is passed on to what a thing was computed
# *from*: behind $\sigma$ stands the encoder with its weights, behind $\epsilon$ a random number generator, which has
# nothing to be trained. So $\epsilon$ is a constant of the pass, and a known number in the gradients of others.
#
# ### From sigma to logvar
#
# The encoder returns $v$, the logarithm of the variance. What reaches $\sigma$ goes one step further.


# %% tags=["blank"]
def z_to_logvar(dz, eps, sigma):
    """What reaches logvar through z = mu + sigma eps: (B, Z), (B, Z), (B, Z) -> (B, Z)."""
    raise NotImplementedError


check("gradients.dlogvar", z_to_logvar)

# %% [markdown]
# ## From the KL
#
# $\mu$ and $v$ stand in the KL too. Each entry of `dkl` belongs to one example. *Before you write:* at which $\mu$ and
# $\sigma$ should both gradients be zero?


# %% tags=["blank"]
def kl_to_mu_and_logvar(dkl, mu, sigma):
    """What the KL sends to mu and to logvar: (B,), (B, Z), (B, Z) -> (B, Z), (B, Z)."""
    raise NotImplementedError


check("gradients.from_kl", kl_to_mu_and_logvar)

# %% [markdown]
# ## The first fork: mu and logvar are used twice
#
# A quantity that is used twice receives a gradient from each use, and **at a fork gradients add**: move $\mu$ a
# little, and the objective changes by what comes through $z$ *plus* what comes through the KL.
#
# Put both together. With $\beta$ in front of the KL, the objective is $-\text{nll} - \beta\, \text{kl}$; on this page
# $\beta = 1$, and your function should work for any.


# %% tags=["blank"]
def to_mu_and_logvar(dz, mu, logvar, eps, w, beta):
    """All that reaches mu and logvar from sum_b w_b (-nll_b - beta kl_b), of which dz brings the nll's part.

    dz, mu, logvar, eps (B, Z), w (B,), beta a number -> dmu, dlogvar (B, Z).
    """
    raise NotImplementedError


check("gradients.fork", to_mu_and_logvar)

# %%
dmu, dlogvar = trace["dmu"], trace["dlogvar"]  # (B, Z) each
print("example 0, latent 1    through z   from the KL   together")
for name in ("dmu", "dlogvar"):
    parts = [trace[f"{name}{part}"][0, 0] for part in ("_z", "_kl", "")]
    print(f"{name:20} {parts[0]:+11.4f} {parts[1]:+13.4f} {parts[2]:+10.4f}")

by_mu = by_differences(lambda m: mean_objective(m, logvar, eps), mu)
by_logvar = by_differences(lambda v: mean_objective(mu, v, eps), logvar)
assert np.allclose(dmu, by_mu, rtol=1e-6, atol=1e-9)
# spoil: dmu = trace['dmu_z']
assert not np.allclose(trace["dmu_z"], by_mu)  # neither part is the whole
# spoil: trace['dmu_z'] = by_mu
assert not np.allclose(trace["dmu_kl"], by_mu)
# spoil: trace['dmu_kl'] = by_mu
assert np.allclose(dlogvar, by_logvar, rtol=1e-6, atol=1e-9)
# spoil: dlogvar = trace['dlogvar_z']

# %% [markdown]
# ## The second fork: one hidden layer, two heads
#
# $h$ is used by both heads, the layers of $\mu$ and $v$. Then it is one more layer to the weights of the encoder. The
# gradient of the data is not computed: nobody trains the data.


# %% tags=["blank"]
def heads_to_h(dmu, dlogvar, W_mu, W_logvar):
    """What reaches h through both heads, mu = h W_mu + b_mu and logvar = h W_logvar + b_logvar.

    dmu, dlogvar (B, Z), W_mu, W_logvar (H, Z) -> (B, H).
    """
    raise NotImplementedError


check("gradients.dh", heads_to_h)


# %% tags=["blank"]
def h_to_weights(dh, h, x):
    """The gradients of W and b of h = tanh(x W + b): (B, H), (B, H), (B, D) -> (D, H), (H,)."""
    raise NotImplementedError


check("gradients.encoder", h_to_weights)

# %% [markdown]
# ## Put together
#
# This cell runs the backward pass from one end to the other and compares what reaches the first layer with the
# library. It calls five of your functions, which build on the other seven, and the solution where one has not
# passed. Which weights' gradients does it leave out?

# %%
h = np.tanh(x @ P["encoder.0.W"] + P["encoder.0.b"])  # (B, H)
w = np.full(B, 1 / B)  # (B,)
logits, _ = vae.decode(use("gradients.draw", draw_z)(mu, logvar, eps))  # (B, D)
dlogits = use("gradients.dlogits", nll_to_logits)(-w, logits, x)
dg = dlogits @ P["logits.W"].T  # (B, H)
dz = (dg * (1 - g**2)) @ P["decoder.0.W"].T  # (B, Z)
dmu, dlogvar = use("gradients.fork", to_mu_and_logvar)(dz, mu, logvar, eps, w, 1.0)
dh = use("gradients.dh", heads_to_h)(dmu, dlogvar, P["mu.W"], P["logvar.W"])
dW, db = use("gradients.encoder", h_to_weights)(dh, h, x)
progress("gradients")

assert np.allclose(dW, grads["encoder.0.W"])
# spoil: dW = dW.T.reshape(dW.shape)
assert np.allclose(db, grads["encoder.0.b"])
# spoil: db = 2 * db
_, h_cache = vae.encoder.forward(x)
dx, _ = vae.encoder.backward(dh, h_cache, need_dx=False)  # as the library does
assert dx is None  # the data's
# spoil: dx = x

# %% [markdown]
# Those of the heads and the decoder, which are as on page 08. `check_gradients` looks at all of them: it moves every
# weight along a random direction, and compares the change of the objective with what `backward` says. Any code of yours
# should pass it before it trains.

# %%
report = check_gradients(vae, x, eps)
print(report)

assert report.ok
# spoil: report.findings.append('x')
assert {row.name for row in report.rows} >= set(vae.params)
# spoil: report.rows.pop()

# %% [markdown]
# ## What the two parts want
#
# The KL pulls $\mu$ to 0 and $\sigma$ to 1, whatever the image. The path through $z$ pulls them to where the decoder
# explains the image better. We train a small model on digits and look at what reaches logvar through $z$, for one image
# and many draws of $\epsilon$.
#
# *Write down a guess:* for which share of the draws does that path ask for a **larger** sigma?

# %%
guess = None  # a number between 0 and 1

# %%
data = load_data("mnist-sample")
rng = np.random.default_rng(1)
digits = VAE(n_x=784, n_hidden=(100,), n_z=2, rng=rng)
history = fit(
    digits,
    data.x_train[:3000],
    data.x_test[:200],
    epochs=6,
    optimizer=Adam(lr=2e-3),
    rng=rng,
    progress=False,
)
# %% tags=["answer"]
image = (data.x_test[0] >= 128).astype("float32").ravel()  # (D,)
draws = digits.draw_eps(2000, rng)  # (K, Z)
gathered = {}
_, c = digits.objective(np.repeat(image[None], 2000, axis=0), draws)
_ = digits.backward(np.ones(2000), c, trace=gathered)
through_z = gathered["dlogvar_z"]  # (K, Z)

share = (through_z > 0).mean(axis=0)
error = through_z.std(axis=0) / np.sqrt(2000)
for k in range(2):
    print(
        f"latent {k + 1}: larger in {share[k]:.0%} of the draws; mean {through_z[:, k].mean():+.2f} "
        f"± {error[k]:.2f}, the KL sends {gathered['dlogvar_kl'][0, k]:+.2f} in every draw"
    )
print("your guess:", guess)
pulls = gather_pulls(digits, image, draws)
show(
    pulls.histogram(),
    "The gradient of logvar through z over 2,000 draws, a panel a latent: a peak near zero, partly "
    "above it, and a long tail to the left, which carries the mean below zero.",
)

assert (through_z.mean(axis=0) + 5 * error < 0).all()
# spoil: through_z = abs(through_z)
assert ((through_z > 0) == (gathered["dz"] * draws > 0)).all()  # the same sign
# spoil: draws = -draws
assert (share > 0.05).all()
# spoil: share = 0 * share

# %% tags=["answer"]
six = (data.x_test[:6].reshape(6, -1) >= 128).astype("float32")  # (6, D)
of_six = [gather_pulls(digits, one, draws) for one in six]  # the same draws for six images
shares = np.array([(one.dlogvar_z > 0).mean(axis=0) for one in of_six])  # (6, Z)
for k in range(2):
    print(f"latent {k + 1}: share in six images:", shares[:, k].round(2))

assert (np.ptp(shares, axis=0) > 0.1).all()
# spoil: shares = 0 * shares
assert np.array_equal(
    np.sign(trace["dlogvar_kl"]), np.sign(1 - sigma)
)  # to 1, from either side
# spoil: sigma = 1 / sigma

# %% [markdown]
# On average the decoder asks for a smaller $\sigma$ for this image: it would rather know where $z$ is. A single draw
# may well ask for a larger one: where $\text{dz}$ and $\epsilon$ have the same sign, going a little further out
# explains the image better. How often differs from image to image; training averages over the draws.
#
# At $\mu$ both pulls are arrows. *Before you run the cell:* where does the KL's arrow point?

# %% tags=["answer"]
show(
    pulls.plane(),
    "The plane of two latents: at mu an arrow from the decoder, one from the kl to the origin, and "
    "their sum, the diagonal of a parallelogram.",
)

images = np.repeat(image[None], 2000, axis=0)  # (K, D)
at, wide = pulls.mu[None], 2 * np.log(pulls.sigma[None])  # (1, Z), (1, Z)
measured = by_differences(lambda m: mean_objective(m, wide, draws, digits, images), at, h=1e-2)[
    0
]  # (Z,)
both = (pulls.dmu_z + pulls.dmu_kl).mean(axis=0)  # (Z,)
print("both added:", both.round(2), "  by differences:", measured.round(2))

assert np.allclose(both, measured, rtol=0.02, atol=0.02)
# spoil: both = both - pulls.dmu_kl[0]
assert np.allclose(pulls.dmu_kl[0], -pulls.mu)  # to the origin
# spoil: pulls = pulls._replace(mu=-pulls.mu)

# %% [markdown]
# ### Where the pulls balance: a case that is known
#
# Let the decoder be linear, $l = z W + b$, and the likelihood Gaussian with standard deviation $\sigma_x$. With
# $w = 1$, the mean over $\epsilon$ of what comes through $z$ is
#
# $$\mathbb{E}[\text{dlogvar}_k] = -\frac{\sigma_k^2}{2 \sigma_x^2} \sum_d W_{kd}^2 ,$$
#
# since in $\tfrac12 \text{dz}_k \sigma_k \epsilon_k$ only the term with $\epsilon_k^2$ has a mean that is not zero. It
# is never positive. The KL sends $\tfrac12 (1 - \sigma_k^2)$, and the sum is zero at
#
# $$\sigma_k^2 = \frac{1}{1 + \sum_d W_{kd}^2 / \sigma_x^2}.$$
#
# *Before you run the cell:* is that the variance of latent $k$ under the exact posterior?

# %% tags=["answer"]
sigma_x, K = 0.7, 50_000
linear = VAE(
    6, (), 2, likelihood=Gaussian(sigma_x), rng=np.random.default_rng(2), dtype="float64"
)
W, b = linear.params["logits.W"], linear.params["logits.b"]  # (Z, D), (D,)
x_row = np.random.default_rng(3).standard_normal((1, 6))  # (1, D)
exact = LinearGaussian(W=W.T, mean=b, sigma=sigma_x)
covariance = np.linalg.inv(exact.posterior_precision)  # (Z, Z)
best_mu = exact.posterior(x_row)[0][0]  # (Z,)
best_var = 1 / (1 + (W**2).sum(axis=1) / sigma_x**2)  # (Z,)

noise = np.random.default_rng(4).standard_normal((K, 2))
logits, decode_cache = linear.decode(best_mu + np.sqrt(best_var) * noise)  # (K, D)
_, nll_cache = linear.likelihood.nll(np.repeat(x_row, K, axis=0), logits)
row_dz, _ = linear.decode_backward(
    linear.likelihood.nll_backward(-np.ones(K), nll_cache), decode_cache
)
pull = (
    row_dz * noise * np.sqrt(best_var) / 2 + (1 - best_var) / 2
)  # (K, Z)  through z, and from the KL
error = pull.std(axis=0) / np.sqrt(K)
print("mean pull on logvar there:", pull.mean(axis=0).round(4), "±", error.round(4))
print("sigma^2 at balance:       ", best_var.round(4))
print("variances of the posterior:", np.diag(covariance).round(4))

assert (np.abs(pull.mean(axis=0)) < 5 * error).all()
# spoil: pull = pull + 0.02
assert np.allclose(best_var, 1 / np.diag(exact.posterior_precision))
# spoil: best_var = np.diag(covariance)
assert (best_var < np.diag(covariance) - 1e-4).all()
# spoil: covariance = np.diag(best_var)

# %% [markdown]
# It is not. At the balance $\sigma_k^2$ is one over the $k$-th diagonal entry of the posterior's *precision*, which is
# smaller than the variance wherever latent $k$ is correlated with another: the best diagonal $q$ is too narrow.

# %% [markdown]
# ## The picture to remember
#
# `trace_gradients` follows one example and one latent: every arrow is one number. Grey arrows are values on the way
# forward, coloured ones gradients on the way back. Of $h$, $g$ and the logits one entry is shown. *Before you look:*
# $\epsilon = -1.3$. If dz is positive, which sign has dlogvar through $z$?

# %% tags=["answer"]
single = VAE(
    n_x=6,
    n_hidden=(5,),
    n_z=1,
    activation="tanh",
    rng=np.random.default_rng(374),
    dtype="float64",
)
for p in single.params.values():
    p *= 2.0
eps_1 = np.array([[-1.3]])
flow = trace_gradients(single, x[:1], eps_1)
g_of = {name: array.item() for name, array in flow.gradients.items() if array.size == 1}
print(
    f"mu:     {g_of['dmu_z']:+.4f} through z, {g_of['dmu_kl']:+.4f} from the KL, {g_of['dmu']:+.4f} in all"
)
print(
    f"logvar: {g_of['dlogvar_z']:+.4f} through z, {g_of['dlogvar_kl']:+.4f} from the KL, "
    f"{g_of['dlogvar']:+.4f} in all"
)
show(
    flow.draw(),
    "The graph of a VAE with a number in every box and at every gradient: two reach mu and two logvar, "
    "through z and from the kl, and their sums are written there; dz times sigma ends at eps, unused.",
)

mu_1, logvar_1, _ = single.encode(x[:1])
by_mu = by_differences(lambda m: mean_objective(m, logvar_1, eps_1, single, x[:1]), mu_1)
by_logvar = by_differences(lambda v: mean_objective(mu_1, v, eps_1, single, x[:1]), logvar_1)
assert np.isclose(flow.gradients["dmu"].item(), by_mu.item(), rtol=1e-6)
# spoil: flow.gradients['dmu'] += 0.1
assert np.isclose(flow.gradients["dlogvar"].item(), by_logvar.item(), rtol=1e-6)
# spoil: flow.gradients['dlogvar'] *= 1.1

# %% [markdown]
# ## sigma, its square, its logarithm
#
# > **Often said.** "The encoder returns sigma." Then, a line later, `exp` of it is taken, or half of it, or its
# > square.
# >
# > **What is true.** Standard deviation, variance and log-variance are three numbers, and the gradient with respect to
# > one is not that with respect to another: $\partial s/\partial \sigma^2 = (\partial s/\partial \sigma) / (2\sigma)$
# > and $\partial s/\partial v = (\partial s/\partial \sigma) \cdot \sigma / 2$. Only $v$ may be any real number. All of
# > it is entry by entry, since the covariance is diagonal.
# >
# > **Run this cell.** It takes all three by differences, with $\mu$ and $\epsilon$ held fixed. At which $\sigma$ are
# > the first two equal?


# %% tags=["claim-13"]
def of_sigma(sigma):
    """The mean objective as a function of sigma."""
    logits, _ = vae.decode(mu + sigma * eps)
    nll, _ = vae.likelihood.nll(x, logits)
    kl = 0.5 * (mu**2 + sigma**2 - 1 - np.log(sigma**2)).sum(axis=1)
    return (-nll - kl).mean()


dsigma = dz * eps + trace["dkl"][:, None] * (
    sigma - 1 / sigma
)  # (B, Z)  through z, and from the KL
for name, by_hand, measured in (
    ("sigma", dsigma, by_differences(of_sigma, sigma)),
    (
        "variance",
        dsigma / (2 * sigma),
        by_differences(lambda v: of_sigma(np.sqrt(v)), sigma**2),
    ),
    ("logvar", dsigma * sigma / 2, by_differences(lambda v: of_sigma(np.exp(v / 2)), logvar)),
):
    print(f"d{name:9} of example 0: {by_hand[0].round(5)}")
    assert np.allclose(by_hand, measured, rtol=1e-6, atol=1e-9)
    # spoil: by_hand = by_hand * sigma

bump = np.zeros((B, 2))
bump[1, 0] = 0.1
changed = (mu + np.exp((logvar + bump) / 2) * eps) != z
assert changed[1, 0]
# spoil: changed[1, 0] = False
assert changed.sum() == 1  # one entry of logvar, one entry of z
# spoil: changed[0, 0] = True

# %% [markdown]
# ## What is trained
#
# *Before you read on:* a step for example 0 alone: how many of the four means will move?
#
# > **Often said.** "The mean and the standard deviation are the parameters that we train."
# >
# > **What is true.** They are *outputs* of the encoder, one pair for each image. What is trained are its weights,
# > $\phi$, and the decoder's, $\theta$. The gradient at $\mu$ says where $\mu$ should go; it gets there only as far
# > as shared weights allow, and moving them for one image moves the pairs of the others.
# >
# > **Run this cell.** It takes one step for example 0 alone, and looks at all four pairs.

# %% tags=["claim-11", "answer"]
before = np.stack(vae.encode(x)[:2])  # (2, B, Z)  mu and logvar
_, cache = vae.objective(x, eps)
only_first = np.array([-1.0, 0.0, 0.0, 0.0])  # the loss of example 0
wanted = {}
step_grads = vae.backward(only_first, cache, trace=wanted)
SGD(lr=0.05, momentum=0.0).step(vae.params, step_grads)
after = np.stack(vae.encode(x)[:2])  # (2, B, Z)
moved = np.abs(after - before).max(axis=2)  # (2, B)

for b in range(B):
    wish = np.abs(wanted["dmu"][b]).max()
    print(
        f"example {b}: gradient at mu {wish:.3f}; moved by {moved[0, b]:.4f}, logvar {moved[1, b]:.4f}"
    )

assert np.all(wanted["dmu"][1:] == 0)  # nobody asked the other three to move
# spoil: wanted['dmu'][2] += 0.1
assert np.all(wanted["dlogvar"][1:] == 0)
# spoil: wanted['dlogvar'][2] += 0.1
assert (moved > 1e-4).all()  # and they moved, in both
# spoil: moved[1, 3] = 0

# %% [markdown]
# ## Recap
#
# 1. **Definition.** The backward pass differentiates $\sum_b w_b\, \text{objective}_b$ with $x$ and $\epsilon$ fixed.
# 2. **Two parts at mu.** dz through the draw, dkl · mu from the KL.
# 3. **Two parts at logvar.** dz · eps · sigma / 2 through the draw, dkl · (sigma² - 1) / 2 from the KL.
# 4. **Sign and units.** Derivatives of what is maximised, in nats per unit of the thing; training passes $-1/B$.
# 5. **What moves.** Weights. mu and sigma are outputs, and eps is a constant of the pass.
#
# ## On your own
#
# 1. Set `eps` to zero everywhere. Which of the four parts vanish, and what does that mean for training?
# 2. Suppose the encoder returned $\log \sigma$ in place of `logvar`. Which two factors $\tfrac12$ would disappear?
# 3. Drop the second part of dlogvar in a subclass of `VAE` and run `check_gradients`. What does the report say?
# 4. Derive the backward of the KL to a prior $N(m, s^2)$ with known $m$ and $s$, and check it with `check_vjp`.
# 5. *A small project.* Give the encoder a second sample per image (two draws of eps, their objectives averaged).
#    Which lines of the backward pass change?
#
# ## Further reading
#
# - [The derivation of the whole backward pass](derivations/07_vae_backward.ipynb), with each equation's test.
# - Diederik Kingma and Max Welling, *Auto-Encoding Variational Bayes* (2014), arXiv 1312.6114, section 2.4 and
#   appendix B.
#
# [Back: backpropagation by hand](08_backpropagation_by_hand.ipynb) · [Contents](README.md) ·
# [Next: train a VAE on digits](10_train_a_vae_on_digits.ipynb)
