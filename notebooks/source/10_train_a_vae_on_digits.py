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
# # 10 · Train a VAE on digits
#
# All parts are there: the bound, the noise, the gradients. This page puts them to work on images of digits, and looks
# at the choices that decide whether it works: the likelihood, the weight of the KL, the step size, the warm-up.
#
# **What you will do**
# - turn grey pixels into bits, and likelihoods into losses;
# - train a VAE, once with a loop of your own and once with the library, and read its curves;
# - spoil it in three ways: with a mean in the wrong place, with a step that is too large, with latents that collapse.
#
# **What you will learn**
# - why the choice of likelihood is the choice of loss;
# - which means are harmless, and which are a hidden weight on the KL;
# - when a latent is worth its KL: a threshold in closed form.
#
# **What you need**
# - pages 06 and 09. About 30 minutes. It runs in about fifteen seconds.

# %%
from importlib.util import find_spec

if find_spec("scratchvae") is None:
    raise SystemExit(
        "This page needs scratchvae; in the README's folder: pip install -r requirements.txt"
    )

import numpy as np

from scratchvae import SGD, VAE, Adam, Bernoulli, ContinuousBernoulli, Gaussian, fit, load_data
from scratchvae.batches import batches, binarised
from scratchvae.data.toy import linear_gaussian
from scratchvae.evaluation import evaluate_terms, kl_per_latent
from scratchvae.exact import fit_linear_gaussian
from scratchvae.gaussian import kl_to_standard_normal, kl_to_standard_normal_backward
from scratchvae.gaussian import reparameterize
from scratchvae.view.notebook import panels, show
from scratchvae.view.plots import learning_curves, reconstructions

data = load_data("mnist-sample")
x_train, x_test = data.x_train[:4000], data.x_test[:1000]  # (N, D), (M, D)  uint8
D = x_train.shape[1]  # 784 pixels

# %% [markdown]
# Four symbols. $x$ is an image, a row of $D$ pixels; for the digits $D = 784$. $z$ is its code, a row of $Z$ latents.
# The encoder returns $q(z \mid x)$, a normal distribution with the mean $\mu$ and the standard deviation $\sigma_q$,
# both rows of $Z$ numbers. The decoder returns $p(x \mid z)$. Training maximises the ELBO of page 06,
#
# $$\text{elbo} = -\text{nll} - \text{kl}, \qquad \text{nll} = -\log p(x \mid z), \qquad
#   \text{kl} = \mathrm{KL}(q(z \mid x) \,\|\, p(z)),$$
#
# where $z$ is one draw from $q(z \mid x)$. All three are in nats per image.
#
# ## Grey pixels and bits
#
# The pixels are grey: 256 levels, which we scale to $[0, 1]$. Most of them are black or nearly white. A model of
# *bits*, pixels that are 0 or 1, is simpler, and many published numbers for these images belong to bits. There are
# two usual ways to get them.
#
# - **Threshold**: a pixel is 1 if it is brighter than a half. The same bits every time.
# - **Dynamic**: a pixel with the grey value $g$ becomes 1 with probability $g$, drawn afresh in each epoch, an
#   **epoch** being one pass over all images.

# %%
image = x_train[7:8]  # (1, D)
rng = np.random.default_rng(0)
versions = {
    "grey": image / 255,
    "threshold": binarised(image, "threshold", rng),
    "dynamic": binarised(image, "dynamic", rng),
    "dynamic, again": binarised(image, "dynamic", rng),
}
black, white = (x_train < 26).mean(), (x_train > 229).mean()  # the darkest and lightest tenths
print(f"{black:.0%} of the pixels are nearly black, {white:.0%} nearly white")

fig, axes = panels(4, height=2.0)
for ax, (name, pixels) in zip(axes, versions.items(), strict=True):
    ax.imshow(pixels.reshape(28, 28), cmap="gray", vmin=0, vmax=1)
    ax.set_title(name)
    ax.axis("off")
show(
    fig,
    "One digit four times: grey, cut at a half, and two random versions that differ along the edges.",
)

# %% [markdown]
# The mean of a dynamic bit is the grey value. We check that over 2,000 draws, each pixel within 5 of its own standard
# errors.

# %%
n = 2000
draws = binarised(np.repeat(image, n, axis=0), "dynamic", rng)  # (n, D)
g = image[0] / 255  # (D,)
error = np.sqrt(g * (1 - g) / n)  # (D,)  the standard error of a mean of n bits
print(
    f"largest distance of a mean from its grey value: {np.abs(draws.mean(axis=0) - g).max():.3f}"
)

assert (np.abs(draws.mean(axis=0) - g) <= 5 * error).all()

# %% [markdown]
# ## The likelihood is the loss
#
# ### Bits: the Bernoulli likelihood
#
# For each pixel $d$ the decoder returns a **logit** $l_d$, any real number. The probability that the pixel is 1 is
# $p_d = 1 / (1 + e^{-l_d})$, the sigmoid of the logit. Given $z$ the pixels are independent, so their probabilities
# multiply:
#
# $$p(x \mid z) = \prod_{d=1}^{D} p_d^{\,x_d} (1 - p_d)^{1 - x_d}.$$
#
# Each factor is $p_d$ if $x_d = 1$, and $1 - p_d$ if $x_d = 0$. Minus the logarithm turns the product into a sum, the
# **cross-entropy**:
#
# $$\text{nll} = -\sum_{d=1}^{D} \left[ x_d \log p_d + (1 - x_d) \log(1 - p_d) \right].$$
#
# To avoid the logarithm of a rounded 0, put in the sigmoid. From $1 - p = 1 / (1 + e^{l})$ and $p = e^{l} (1 - p)$,
#
# $$-x \log p - (1 - x) \log(1 - p) = -x\, l - \log(1 - p) = \log(1 + e^{l}) - x\, l .$$
#
# That is what the library computes. It is linear in $x$.
#
# ### Real numbers: the Gaussian likelihood
#
# Let the decoder return the mean $m_d$ of each pixel, and let all pixels have the same fixed standard deviation
# $\sigma$. (It belongs to the decoder. The encoder's is $\sigma_q$.) Then
#
# $$p(x \mid z) = \prod_{d=1}^{D} \frac{1}{\sigma \sqrt{2 \pi}} e^{-(x_d - m_d)^2 / 2 \sigma^2}, \qquad
#   \text{nll} = \frac{1}{2 \sigma^2} \sum_{d=1}^{D} (x_d - m_d)^2 + D \log \sigma + \frac{D}{2} \log 2 \pi .$$
#
# This is **squared error**, with a factor that $\sigma$ decides, and two terms in which the decoder's output does not
# occur.
#
# > **Often said.** "Cross-entropy or squared error: take the loss that works better."
# >
# > **What is true.** Each loss is a likelihood, and says what the data are. Cross-entropy says bits. Squared error
# > says real numbers with normal noise of one fixed $\sigma$. Multiply the loss of the Gaussian by $\sigma^2$:
# > $\sigma^2 (\text{nll} + \text{kl}) = \tfrac12 \lVert x - m \rVert^2 + \sigma^2\, \text{kl} + \text{constant}$. So
# > $\sigma^2$ is the price of a nat of KL in units of squared error. To leave it out is to choose it.
# >
# > **Run this cell.** Loops against the library; then the gradients of a whole VAE with $\sigma = 0.3$ against those
# > of a VAE with $\sigma = 1$ whose KL has the weight $\beta = \sigma^2$.

# %% tags=["claim-18"]
rng = np.random.default_rng(1)
bits = (rng.random((5, 6)) < 0.4).astype(float)  # (B, D), B = 5, D = 6
logits = 3 * rng.standard_normal((5, 6))  # (B, D)
cross_entropy, squared_error = np.zeros(5), np.zeros(5)  # (B,)
for b in range(5):
    for d in range(6):
        p = 1 / (1 + np.exp(-logits[b, d]))
        cross_entropy[b] -= bits[b, d] * np.log(p) + (1 - bits[b, d]) * np.log(1 - p)
        squared_error[b] += (bits[b, d] - logits[b, d]) ** 2

sigma = 0.3
constant = 6 * np.log(sigma) + 6 / 2 * np.log(2 * np.pi)
assert np.allclose(Bernoulli().nll(bits, logits)[0], cross_entropy)
assert np.allclose(
    Gaussian(sigma).nll(bits, logits)[0], squared_error / (2 * sigma**2) + constant
)


def gradient(model, x, eps, beta):
    """The gradient of the objective, summed over the examples: a dict of arrays, like params."""
    _, cache = model.objective(x, eps, beta)
    return model.backward(np.ones(len(x)), cache)


narrow, unit = (
    VAE(6, (8,), 2, "tanh", Gaussian(s), rng=np.random.default_rng(2), dtype="float64")
    for s in (sigma, 1.0)
)
eps = narrow.draw_eps(5, rng)  # (B, Z)
grads_narrow, grads_unit = gradient(narrow, bits, eps, 1), gradient(unit, bits, eps, sigma**2)
for name, grad in grads_narrow.items():
    assert np.allclose(sigma**2 * grad, grads_unit[name]), name
print(f"sigma = {sigma} is squared error / 2 with the weight {sigma**2:.2f} on the KL")

# %% [markdown]
# Which $\sigma$ is right? For given means $m$, the one with the smallest nll. Write $S$ for the squared error of an
# image. Setting the derivative of $S / 2\sigma^2 + D \log \sigma$ to zero gives $-S / \sigma^3 + D / \sigma = 0$, so
#
# $$\sigma^2 = S / D,$$
#
# the mean squared error of a pixel. That is where a mean over pixels belongs: in $\sigma$, not in the loss. A scan
# over $\sigma$ agrees:

# %%
sigmas = np.geomspace(0.01, 3, 2000)
m = np.full((1, D), g.mean())  # (1, D)  a decoder that returns one grey value for all pixels
nlls = [Gaussian(s).nll(image / 255, m)[0][0] for s in sigmas]
best = np.sqrt(((g - g.mean()) ** 2).mean())
print(f"best sigma by formula {best:.4f}, by scan {sigmas[np.argmin(nlls)]:.4f}")

assert np.isclose(sigmas[np.argmin(nlls)], best, rtol=0.005)

# %% [markdown]
# ### Grey pixels under a Bernoulli
#
# The Bernoulli's formula for one pixel, $p^x (1 - p)^{1 - x}$, is $e^{l x} / (1 + e^{l})$, by the line above. Its
# integral over the grey values from 0 to 1 is
#
# $$\int_0^1 \frac{e^{l x}}{1 + e^{l}}\, dx = \frac{e^{l} - 1}{l\, (1 + e^{l})} = \frac{\tanh(l / 2)}{l} \le \frac12
# ,$$
#
# where the last step is $\tanh(a) \le a$ for $a \ge 0$ (and the expression is the same for $l$ and $-l$).
#
# > **Often said.** "Cross-entropy accepts grey pixels, so no binarisation is needed."
# >
# > **What is true.** It accepts them, and training works: the formula is linear in $x$, so the cross-entropy of the
# > grey image is the mean over its dynamic bits. But a likelihood has to sum or integrate to 1 over all $x$ that can
# > occur. Over the two bits the Bernoulli does. Over the grey values it does not: at least half of the probability of
# > each pixel is missing, and the nll is at least $\log 2$ nats a pixel too high to be that of a density. The
# > **continuous Bernoulli** divides by the integral. That depends on $l$, so it trains to another model.
# >
# > **Run this cell.** It integrates both over $x$, with the midpoint rule.

# %% tags=["stumble-06"]
logit = np.linspace(-12, 12, 242)  # (L,)
middle = (np.arange(4000) + 0.5) / 4000  # (G,)  the midpoints of 4,000 intervals in [0, 1]
integrals = {}
for likelihood in (Bernoulli(), ContinuousBernoulli()):
    values = [likelihood.nll(middle[:, None], np.full((4000, 1), a))[0] for a in logit]
    integrals[likelihood.name] = np.exp(-np.array(values)).mean(axis=1)  # (L,)

fig, ax = panels(height=2.6, xlabel="logit $l$", ylabel="integral over x in [0, 1]")
ax.set_title("A density integrates to 1; the Bernoulli's formula on grey pixels does not")
ax.plot(logit, integrals["continuous-bernoulli"], color="#0072B2", label="continuous Bernoulli")
ax.plot(logit, integrals["bernoulli"], "--", color="#D55E00", label="Bernoulli")
ax.set_ylim(0, 1.1)
ax.legend(frameon=False, loc="center right")
show(fig, "A flat line at 1, and a bell-shaped curve that reaches one half at the logit zero.")

zero_and_one = [Bernoulli().nll(np.full((242, 1), bit), logit[:, None])[0] for bit in (0, 1)]
assert np.allclose(np.exp(-zero_and_one[0]) + np.exp(-zero_and_one[1]), 1)
assert np.allclose(integrals["continuous-bernoulli"], 1, atol=1e-5)
assert np.allclose(integrals["bernoulli"], np.tanh(logit / 2) / logit, atol=1e-5)

few = draws[:500].astype(float)  # (500, D)
output = np.tile(np.linspace(-3, 3, D), (500, 1))  # (500, D)  logits, the same for all
of_bits = Bernoulli().nll(few, output)[0]  # (500,)
of_grey = Bernoulli().nll(g[None], output[:1])[0][0]
spread = of_bits.std(ddof=1) / np.sqrt(500)
missing = of_grey - ContinuousBernoulli().nll(g[None], output[:1])[0][0]
print(f"missing from the Bernoulli: {missing / D:.3f} nats a pixel; log 2 is {np.log(2):.3f}")
print(
    f"nll of the grey image {of_grey:.2f}; mean over bits {of_bits.mean():.2f} ± {spread:.2f}"
)

assert missing > D * np.log(2)
assert abs(of_bits.mean() - of_grey) < 4 * spread

# %% [markdown]
# From here on the page uses bits, drawn dynamically, and the Bernoulli.
#
# ## Training is a loop of four lines
#
# For each batch: draw the noise, compute the objective, go backward, step. A batch has $B$ images. Optimizers
# minimise, and the **loss** is minus the mean of the objective over the batch: so `backward` starts from $-1/B$ for
# each image. Adam turns gradients into steps; `lr` is its step size.
#
# The loop takes one more argument, `moves`: which parameters may move. All of them, for now.


# %%
def train(model, x, epochs, lr, rng, moves=lambda name: True):
    """What fit does, without its comforts: no held-out images, no warm-up, no checkpoints."""
    model.start_output_bias(x.mean(axis=0) / 255)  # begin at the mean image
    optimizer = Adam(lr=lr)
    for _ in range(epochs):
        for batch in batches(x, 128, "dynamic", rng, model.dtype, np):  # (B, D)
            _, cache = model.objective(batch, model.draw_eps(len(batch), rng))
            weights = np.full(len(batch), -1 / len(batch), dtype=model.dtype)  # (B,)
            grads = model.backward(weights, cache)
            grads = {name: grad if moves(name) else 0 * grad for name, grad in grads.items()}
            optimizer.step(model.params, grads)
    return model


def fresh(hidden=(200,), n_z=20, seed=0):
    """A VAE with its first weights, and the generator that has drawn them."""
    rng = np.random.default_rng(seed)
    return VAE(D, hidden, n_z, rng=rng), rng


mine, rng = fresh()
train(mine, x_train[:1000], 2, 2e-3, rng)
theirs, rng = fresh()
how = {"optimizer": Adam(lr=2e-3), "rng": rng, "progress": False}
history = fit(theirs, x_train[:1000], x_test[:100], epochs=2, **how)
same = all(np.array_equal(mine.params[name], theirs.params[name]) for name in mine.params)
print("the loop and fit end with the same weights, to the last bit:", same)

assert same

# %% [markdown]
# > **Often said.** "A VAE is variational inference with a neural network."
# >
# > **What is true.** That is half of it. Variational inference takes a model as given and looks for the best $q$.
# > Here the model itself is learned, by the same bound: the weights $\theta$ of the decoder together with the weights
# > $\phi$ of the encoder. And $\phi$ is shared by all images, which is called **amortization**: a new image needs one
# > pass through the encoder, and no search.
# >
# > **Run this cell.** *Before you do:* the first line of the table trains $\phi$ alone, the second $\theta$ alone,
# > the third both. Which half matters more?

# %% tags=["claim-08"]
theta = ("decoder.", "logits.")  # how the names of the decoder's weights begin
held_out = binarised(x_test, "dynamic", np.random.default_rng(3))  # (M, D)
halves = {}
for name, moves in (
    ("phi alone", lambda name: not name.startswith(theta)),
    ("theta alone", lambda name: name.startswith(theta)),
    ("both", lambda name: True),
):
    model, rng = fresh()
    train(model, x_train, 2, 2e-3, rng, moves)
    halves[name] = evaluate_terms(model, held_out, np.random.default_rng(4))["elbo"]
    m, e = halves[name].mean, halves[name].standard_error
    print(f"{name:12} elbo {m:8.2f} ± {e:.2f} nats on held-out images")

no_code = Bernoulli().output_bias(x_train.mean(axis=0) / 255)  # (D,)  logits of the mean image
without = -Bernoulli().nll(held_out, np.tile(no_code, (len(x_test), 1)))[0].mean()
print(f"{'no code':12} elbo {without:8.2f}: the mean image for every z, and a KL of zero")

for name in ("phi alone", "theta alone"):
    assert halves["both"].mean > halves[name].mean + 5 * halves["both"].standard_error
    assert halves["both"].mean - without > 5 * abs(halves[name].mean - without)

# %% [markdown]
# Either half alone stays near the last line: a decoder that returns the mean image whatever $z$ is. Together they
# leave it far behind. And the images in the table were in no training set. Nothing was fitted to them: the encoder
# gave their $q$ at once.
#
# ## A run, and its curves
#
# Now eight epochs with the library, $Z = 20$.


# %%
def run(model, rng, epochs=8, lr=2e-3, **settings):
    """A run of fit on the digits; returns its history."""
    how = {"epochs": epochs, "optimizer": Adam(lr=lr), "rng": rng, "progress": False}
    return fit(model, x_train, x_test, **how, **settings)


vae, rng = fresh()
history = run(vae, rng)
show(
    learning_curves(history, "mnist-sample, binarise dynamic"),
    "Three panels over eight epochs: nll falls, kl rises, elbo rises, for training and test.",
)

# %% [markdown]
# How to read them:
#
# - The **nll** falls: the decoder gets better at the image it is asked for.
# - The **kl** rises. That is no failure. The code begins to carry information about the image, and the KL is its
#   price.
# - The **elbo** is the sum, with its sign. It alone is what is trained, and what should be compared.
# - The dashed line is a mean over an epoch in which the weights moved, so at first it lags behind. Later it runs ahead:
#   these are the images that the weights were fitted to. Overfitting in earnest would show as a test curve that turns
#   back while the training curve goes on.

# %%
terms = evaluate_terms(vae, held_out, np.random.default_rng(4))
for name, term in terms.items():
    print(f"{name:5} {term.mean:8.2f} ± {term.standard_error:.2f} nats per held-out image")

assert np.isclose(terms["elbo"].mean, -terms["nll"].mean - terms["kl"].mean)
assert history["train_elbo"][0] < history["test_elbo"][0]
assert history["train_elbo"][-1] > history["test_elbo"][-1]
assert history["test_kl"][-1] > history["test_kl"][0]
assert history["test_elbo"][-1] > history["test_elbo"][0]

# %%
_, first = np.unique(data.y_test[:1000], return_index=True)
show(
    reconstructions(vae, held_out[first], data.image_shape),
    "Ten binarised digits and below each the decoder's mean: the same digits, smooth.",
)

# %% [markdown]
# ### Which numbers may be compared
#
# *Before you run the cell:* the same weights, the same images, but the pixels are once dynamic bits, once cut at a
# half, once grey. Is the elbo the same?

# %%
elbos = {}
for name in ("dynamic", "threshold", "none"):
    pixels = binarised(x_test, name, np.random.default_rng(3))  # (M, D)
    elbos[name] = evaluate_terms(vae, pixels, np.random.default_rng(4))["elbo"]
    print(f"binarise {name:10} {elbos[name].mean:8.2f} ± {elbos[name].standard_error:.2f}")

assert elbos["threshold"].mean > elbos["dynamic"].mean + 5 * elbos["dynamic"].standard_error

# %% [markdown]
# It is not. A number without its binarisation says little. Two published ones: the VAE among PyTorch's examples ends
# near 105.5 ($-$elbo, grey pixels, ten epochs); the importance-weighted autoencoder paper gives 86.76 for its VAE
# with one sample ($-\log p(x)$, pixels binarised at random, 3,280 epochs). Different quantities, on different data.
#
# ## Mean or sum
#
# The ELBO sums over pixels and over latents, since logarithms of products are sums. Many programs take means instead.
# Write $\text{nll} = \sum_d \text{nll}_d$ and $\text{kl} = \sum_j \text{kl}_j$, with $j$ from 1 to $Z$. Then
#
# $$\begin{aligned}
#   \tfrac1D \textstyle\sum_d \text{nll}_d + \sum_j \text{kl}_j
#     &= \tfrac1D \left( \text{nll} + D\, \text{kl} \right), && \text{mean over pixels}, \\
#   \textstyle\sum_d \text{nll}_d + \tfrac1Z \sum_j \text{kl}_j
#     &= \text{nll} + \tfrac1Z\, \text{kl}, && \text{mean over latents}, \\
#   \tfrac1D \textstyle\sum_d \text{nll}_d + \tfrac1Z \sum_j \text{kl}_j
#     &= \tfrac1D \left( \text{nll} + \tfrac{D}{Z}\, \text{kl} \right), && \text{both}.
# \end{aligned}$$
#
# In the brackets stands the loss of a VAE whose KL has the weight $\beta = D$, $\beta = 1/Z$ or $\beta = D/Z$. Nobody
# chose that weight; it came with the word `mean`. It also changes whenever the images or the code change their size.
#
# A mean over the **batch** is different: it has the same factor $1/B$ before both terms, and only scales the step.
#
# > **Often said.** "Mean or sum only changes the learning rate."
# >
# > **What is true.** So it is for the batch. A mean over pixels or latents changes the objective.
# >
# > **Run this cell.** It writes the three losses down as they are often written, differentiates them by central
# > differences in random directions, and compares with the library's gradient at the $\beta$ from above.


# %% tags=["stumble-01"]
def written_with_means(model, x, eps, pixels, latents):
    """The loss as many programs have it; pixels and latents are np.mean or np.sum."""
    mu, logvar, _ = model.encode(x)  # (B, Z), (B, Z)
    logits, _ = model.decode(mu + np.exp(logvar / 2) * eps)  # (B, D)
    nll = pixels(np.log(1 + np.exp(logits)) - x * logits, axis=1)  # (B,)
    kl = latents((mu**2 + np.exp(logvar) - 1 - logvar) / 2, axis=1)  # (B,)
    return np.mean(nll + kl)  # the batch


rng = np.random.default_rng(5)
small = VAE(12, (8,), 3, "tanh", rng=rng, dtype="float64")  # D = 12, Z = 3
x, eps, h = (rng.random((4, 12)) < 0.5).astype(float), small.draw_eps(4, rng), 1e-5
for title, pixels, latents, factor, beta in (
    ("sums", np.sum, np.sum, 1, 1),
    ("mean over pixels", np.mean, np.sum, 1 / 12, 12),
    ("mean over latents", np.sum, np.mean, 1, 1 / 3),
    ("both means", np.mean, np.mean, 1 / 12, 12 / 3),
):
    _, cache = small.objective(x, eps, beta)
    grads = small.backward(np.full(4, -factor / 4), cache)  # of factor * (nll + beta kl), B = 4
    for name, p in small.params.items():
        direction, losses = rng.standard_normal(p.shape), []
        for shift in (h, -h):
            p += shift * direction
            losses.append(written_with_means(small, x, eps, pixels, latents))
            p -= shift * direction
        slope = (losses[0] - losses[1]) / (2 * h)
        assert np.isclose(slope, (grads[name] * direction).sum(), rtol=1e-5, atol=1e-8), name
    print(f"{title:18} is {factor:.3f} times a VAE with beta = {beta:.3f}")

# %% [markdown]
# ### What the accidental weight does
#
# Back to the digits, $D = 784$ and $Z = 20$. We train with the four values of $\beta$ and judge all of them by the
# elbo, with weight 1. *Before you run the cell:* which of them will make good reconstructions, and which good
# samples?

# %%
accidental = {
    "sums": 1,
    "mean over latents": 1 / 20,
    "both means": 784 / 20,
    "mean over pixels": 784,
}
models, results = {}, {}
for title, beta in accidental.items():
    models[title] = vae
    if beta != 1:
        models[title], rng = fresh()
        record = run(models[title], rng, beta=beta)
    results[title] = evaluate_terms(models[title], held_out, np.random.default_rng(4))
    nll, kl, elbo = (results[title][name].mean for name in ("nll", "kl", "elbo"))
    print(f"{title:18} beta {beta:7.2f}   nll {nll:6.1f}   kl {kl:5.2f}   elbo {elbo:7.1f}")

assert results["mean over pixels"]["kl"].mean < 0.01  # nothing is left in the code
assert results["both means"]["kl"].mean < 0.01
assert results["mean over latents"]["nll"].mean < results["sums"]["nll"].mean
assert max(results, key=lambda title: results[title]["elbo"].mean) == "sums"

# %%
seven = held_out[first][:7].astype("float32")  # (7, D)  the digits 0 to 6
sheets = {
    "reconstructions": [model.reconstruct(seven) for model in models.values()],
    "decoder means, z from the prior": [
        model.sample(7, np.random.default_rng(6)) for model in models.values()
    ],
}
fig, axes = panels(2, height=2.25)
for ax, (title, rows) in zip(axes, sheets.items(), strict=True):
    sheet = np.stack(rows).reshape(4, 7, 28, 28).transpose(0, 2, 1, 3).reshape(112, 196)
    ax.imshow(sheet, cmap="gray", vmin=0, vmax=1)
    ax.set_title(title)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
axes[0].set_yticks([14, 42, 70, 98], [name.replace("over ", "over\n") for name in models])
axes[0].tick_params(length=0)
show(
    fig,
    "Four rows. Sums: digits on both sides. Mean over latents: sharp reconstructions, "
    "broken samples. Both means, and mean over pixels: one grey blur everywhere.",
)

# %% [markdown]
# - $\beta < 1$: the best reconstructions, and samples that are hardly digits. The codes may lie far from the prior,
#   and the prior then hits places where no code was (page 12 counts such holes). It is a step back towards the
#   autoencoder of page 01.
# - $\beta \gg 1$: a nat of KL costs more than it can save. The code is given up, and the decoder returns nearly the
#   mean image whatever $z$ is.
#
# A weight other than 1 can be a choice, and a good one. Then it should have a name, $\beta$, and a reported value.
#
# ## NaN
#
# The encoder returns the logarithm of the variance, `logvar` $= \log \sigma_q^2$, without any bound. Numbers on a
# computer have bounds: in `float32` the largest is about $3.4 \cdot 10^{38}$, the exponential of 88.7.
#
# > **Often said.** "logvar can be any real number, so nothing can go wrong."
# >
# > **What is true.** The variance $e^{\text{logvar}}$ overflows at logvar = 88.7, the standard deviation
# > $e^{\text{logvar}/2}$ at twice that. Adam squares the gradient, which holds $(e^{\text{logvar}} - 1)/2$, and so it
# > overflows at about half. Downwards nothing overflows in the KL, which grows like $-\text{logvar}/2$. But a program
# > that stores $\sigma_q$ and takes its logarithm gets $\log 0$.
# >
# > **Run this cell.** It searches each limit by bisection, in `float32`, through the library's own functions.


# %% tags=["stumble-07"]
def limit(f, good, bad):
    """The last logvar on the way from good to bad for which f is finite, by bisection."""
    for _ in range(60):
        half = (good + bad) / 2
        with np.errstate(all="ignore"):  # overflow is what we look for
            good, bad = (
                (half, bad) if np.isfinite(f(np.float32([[half]]))).all() else (good, half)
            )
    return good


zero, one = np.zeros((1, 1), "float32"), np.ones(1, "float32")  # mu (B, Z) and dkl (B,)


def kl_gradient(logvar):
    return kl_to_standard_normal_backward(one, kl_to_standard_normal(zero, logvar)[1])[1]


limits = {
    "the KL": limit(lambda logvar: kl_to_standard_normal(zero, logvar)[0], 0, 1000),
    "its gradient": limit(kl_gradient, 0, 1000),
    "its gradient, squared": limit(lambda logvar: kl_gradient(logvar) ** 2, 0, 1000),
    "the draw z": limit(lambda logvar: reparameterize(zero, logvar, zero + 1)[0], 0, 1000),
    "log(exp(logvar))": limit(lambda logvar: np.log(np.exp(logvar)), 0, -1000),
}
for name, value in limits.items():
    print(f"{name:22} is finite up to logvar = {value:7.2f}")

largest = np.log(float(np.finfo("float32").max))
assert np.isclose(limits["the KL"], largest, atol=0.01)
assert np.isclose(limits["the draw z"], 2 * largest, atol=0.01)
assert np.isclose(limits["its gradient, squared"], largest / 2 + np.log(2), atol=0.01)
far_left, _ = kl_to_standard_normal(zero, np.float32([[-1e30]]))
assert np.isfinite(far_left).all()

# %% [markdown]
# An infinity becomes NaN, *not a number*, as soon as it meets a zero or another infinity: $0 \cdot \infty$ and
# $\infty - \infty$ have no value. Weights that take one step along such a gradient are lost.
#
# How does a logvar get there? A step that is too large. We make one on purpose, with plain gradient descent, and
# watch the largest logvar of a batch.

# %%
hot, rng = fresh(n_z=10)
hot.start_output_bias(x_train.mean(axis=0) / 255)
optimizer, finite, step = SGD(lr=0.1, momentum=0.0), True, 0
images = batches(x_train, 128, "dynamic", rng, "float32", np)
while finite:
    x, step = next(images), step + 1  # (B, D)
    with np.errstate(all="ignore"):
        terms, cache = hot.objective(x, hot.draw_eps(len(x), rng))
        top, nll, kl = hot.encode(x)[1].max(), terms.nll.mean(), terms.kl.mean()
        finite = np.isfinite(terms.elbo).all()
        weights = np.full(len(x), -1 / len(x), dtype="float32")
        optimizer.step(hot.params, hot.backward(weights, cache))
    print(f"step {step}: largest logvar {top:9.2f}   nll {nll:9.3g}   kl {kl:9.3g}")

lost = np.isnan(hot.params["logvar.W"]).mean()
print(f"after that step {lost:.0%} of the weights of logvar's head are NaN")

assert top > limits["the KL"]
assert lost > 0

# %% [markdown]
# `fit` looks for this and stops with the step, the term and the remedy. With a smaller step the same run is fine.

# %%
outcome = {}
for lr in (0.1, 0.01):
    model, rng = fresh(n_z=10)
    how = {"optimizer": SGD(lr=lr, momentum=0.0), "rng": rng, "progress": False}
    try:
        elbo = fit(model, x_train, x_test, epochs=1, **how)["test_elbo"][0]
        outcome[lr] = f"elbo {elbo:.1f} after one epoch"
    except ArithmeticError as error:
        outcome[lr] = str(error)
    print(f"lr = {lr}: {outcome[lr]}")

assert "lower the step size" in outcome[0.1]
assert outcome[0.01].startswith("elbo -")

# %% [markdown]
# ## Posterior collapse
#
# A latent $j$ is **collapsed** when $q(z_j \mid x)$ equals the prior for every $x$: its KL is zero, and it says
# nothing about the image. When does that happen?
#
# > **Often said.** "Posterior collapse is a failure of the optimizer, or of the KL term."
# >
# > **What is true.** A latent costs KL and saves nll. Where it saves less than it costs, the best model does without
# > it, and the evidence itself, $\log p(x)$, agrees. In a linear model the threshold is known exactly. Beyond that,
# > training can also lose latents that would have been worth their price. The two cases have different cures.
# >
# > **Run the cells below.** The first section derives the first case and trains it; the second shows the other.
#
# ### The threshold, in a linear VAE
#
# Let the decoder be linear with a Gaussian likelihood: $x = W z + b + \sigma \cdot \text{noise}$, with a matrix $W$
# of the shape $(D, Z)$ and an offset $b$ of $D$ numbers. Let $C$ be the covariance matrix of the data, of the shape
# $(D, D)$, with the eigenvectors $u_i$ and the eigenvalues $\lambda_i$: along $u_i$ the data have the variance
# $\lambda_i$.
#
# *One direction.* Give latent $i$ the column $w\, u_i$ of $W$, where $w$ is a number. Along $u_i$ the model's $x$ is
# then normal with the variance $v = w^2 + \sigma^2$: variances of independent parts add. The mean log-density of data
# with the variance $\lambda$ under a normal density with the same mean and the variance $v$ is
#
# $$-\tfrac12 \left( \log 2\pi + \log v + \frac{\lambda}{v} \right), \qquad \text{with the derivative} \quad
#   -\tfrac12 \left( \frac1v - \frac{\lambda}{v^2} \right) = \frac{\lambda - v}{2 v^2} .$$
#
# It is positive for $v < \lambda$ and negative for $v > \lambda$. So the best $v$ is $\lambda$, if it can be had. But
# $v = w^2 + \sigma^2$ cannot be smaller than $\sigma^2$. Hence
#
# $$w^2 = \lambda_i - \sigma^2 \ \text{ if } \lambda_i > \sigma^2, \qquad w = 0 \ \text{ if } \lambda_i \le \sigma^2
# .$$
#
# In the second case the latent is not used: it **collapses**, with the exact evidence as the objective, no bound and
# no optimizer in sight. (That eigenvectors are the best columns is the theorem of Tipping and Bishop, 1999.)
#
# *The bound.* Page 06 shows that the ELBO falls short of the evidence by $\mathrm{KL}(q \,\|\, p(z \mid x))$. Here
# the posterior $p(z \mid x)$ is normal with the precision matrix $W^\top W / \sigma^2 + I$. The columns of $W$ are
# orthogonal, so the matrix is diagonal, a diagonal $q$ can equal the posterior, and the gap is zero. The maximum of
# the ELBO is that of the evidence, and so are its collapsed latents.
#
# *The price.* Precisions add (page 02), so an active latent has the posterior variance
# $1 / (1 + w^2 / \sigma^2) = \sigma^2 / (\sigma^2 + w^2) = \sigma^2 / \lambda_i$, and its posterior mean is
#
# $$\mu_i = \frac{\sigma^2}{\lambda_i} \cdot \frac{w\, u_i^\top (x - b)}{\sigma^2}
#   = \frac{w}{\lambda_i}\, u_i^\top (x - b) .$$
#
# The mean square of $u_i^\top (x - b)$ over the data is $\lambda_i$, with $b$ at the mean of the data. So the mean
# square of $\mu_i$ is $w^2 / \lambda_i = (\lambda_i - \sigma^2) / \lambda_i = 1 - \sigma^2 / \lambda_i$. Put both
# into the formula for the KL:
#
# $$\overline{\text{kl}}_i
#   = \tfrac12 \left( \overline{\mu_i^2} + \sigma_{q,i}^2 - 1 - \log \sigma_{q,i}^2 \right)
#   = \tfrac12 \left( 1 - \frac{\sigma^2}{\lambda_i} + \frac{\sigma^2}{\lambda_i} - 1
#     - \log \frac{\sigma^2}{\lambda_i} \right)
#   = \tfrac12 \log \frac{\lambda_i}{\sigma^2} ,$$
#
# where the bar is a mean over the data. It reaches zero exactly at the threshold.
#
# Now the test: a cloud of points in $D = 6$ dimensions, made from three directions and noise; a linear VAE with
# $Z = 4$, trained by `fit` with noise in every pass, for four values of the decoder's $\sigma$.
# *Before you run the cell:* how many latents will be active for each $\sigma$?

# %%
cloud = linear_gaussian(300, np.random.default_rng(5), n_x=6, n_z=3).x  # (N, D), D = 6
eigenvalues = np.linalg.eigvalsh(np.cov(cloud.T, bias=True))[::-1]  # (D,)  falling
print("eigenvalues:               ", eigenvalues.round(2))
print("their roots, the thresholds:", np.sqrt(eigenvalues).round(2))


def linear_vae(sigma, epochs=2000, **settings):
    """A VAE without hidden layers, trained on the cloud; its step falls from 0.07 to 0.0001."""
    rng = np.random.default_rng(0)
    model = VAE(6, (), 4, likelihood=Gaussian(sigma), rng=rng, dtype="float64")
    how = {"batch_size": len(cloud), "binarise": "none", "rng": rng, "progress": False}
    record = fit(
        *(model, cloud, cloud[:1]),  # nobody looks at the held-out elbo
        epochs=epochs,
        optimizer=Adam(beta2=0.99),
        schedule=lambda epoch: 0.07 * (1 / 700) ** (epoch / epochs),
        **how,
        **settings,
    )
    assert len(record["epoch"]) == epochs
    return model


trained = {sigma: linear_vae(sigma) for sigma in (1.0, 2.1, 2.7, 3.3)}

# %% tags=["stumble-08"]
for sigma, model in trained.items():
    predicted = np.maximum(0, 0.5 * np.log(eigenvalues[:4] / sigma**2))  # (Z,)
    found = np.sort(kl_per_latent(model, cloud))[::-1]  # (Z,)  latents come in any order
    exact = fit_linear_gaussian(cloud, 4, sigma)
    p, f = predicted.round(3), found.round(3)
    print(f"sigma {sigma}: kl of each latent, predicted {p}, found {f}")

    assert np.allclose(found, predicted, atol=0.02)
    assert np.array_equal(found > 0.01, eigenvalues[:4] > sigma**2)
    assert np.array_equal((exact.W**2).sum(axis=0) > 0, eigenvalues[:4] > sigma**2)
    assert np.allclose(exact.optimal_elbo(cloud), exact.log_px(cloud))  # no gap at the optimum

# %%
scan = np.linspace(0.7, 3.6, 300)  # values of sigma
fig, ax = panels(height=3.0, xlabel=r"the decoder's $\sigma$", ylabel="KL of a latent, nats")
ax.set_title("A latent is given up where $\\sigma^2$ reaches its eigenvalue")
colours, lines = ("#0072B2", "#D55E00", "#009E73"), ("-", "--", "-.")
for value, colour, line in zip(eigenvalues, colours, lines, strict=False):
    kl = np.maximum(0, 0.5 * np.log(value / scan**2))
    ax.plot(scan, kl, line, color=colour, label=f"closed form, eigenvalue {value:.2f}")
for sigma, model in trained.items():
    label = "trained" if sigma == 1 else ""
    ax.plot([sigma] * 4, kl_per_latent(model, cloud), "o", color="#555555", label=label)
ax.legend(frameon=False)
show(
    fig,
    "Three falling curves that reach zero at sigma 1.8, 2.5 and 3.1; trained latents lie on them.",
)

# %% [markdown]
# The decoder's $\sigma$ sets the threshold: a large $\sigma$ says that small variations are noise.
# Apply that to the digits. How many latents could a *linear* VAE use on these images, for some values of $\sigma$?
# The last one is the $\sigma$ behind "squared error, averaged over pixels, plus KL": there $\frac1D \lVert x - m
# \rVert^2 + \text{kl}$ has $\frac{1}{2\sigma^2} = \frac1D$, so $\sigma = \sqrt{D/2}$.

# %%
of_digits = np.linalg.eigvalsh(np.cov(x_train.T / 255.0, bias=True))  # (D,)
for sigma in (0.1, 0.3, 1.0, np.sqrt(D / 2)):
    worth = (of_digits > sigma**2).sum()
    print(f"sigma {sigma:5.2f}: {worth:3d} of {D} directions are worth a latent")

assert of_digits.max() < D / 2  # with the mean over pixels, not a single one

# %% [markdown]
# ### Latents lost on the way: KL warm-up
#
# A deep decoder has no such formula. And there the path matters. At the start the decoder does not use $z$ yet, so
# the nll gives the encoder little reason to pay for a code, while the KL pulls at once. A latent that both halves
# have given up has no slope to come back. The encoder's gradient is zero, because the decoder does not listen and the
# KL is at its minimum. The decoder's is noise with the mean zero, because the encoder does not speak. We give up the
# first latent of the trained VAE by hand, setting its weights to zero, and look at its gradients over 200 draws of
# the noise.

# %%
given_up, _ = fresh()
for name, p in given_up.params.items():
    p[...] = vae.params[name]
for name in ("mu", "logvar"):
    given_up.params[f"{name}.W"][:, 0] = 0
    given_up.params[f"{name}.b"][0] = 0
given_up.params["decoder.0.W"][0] = 0  # (H,)  what the decoder makes of the first latent

rng = np.random.default_rng(7)
some = held_out[:100].astype("float32")  # (B, D)
to_encoder, to_decoder = [], []
for _ in range(200):
    grads = gradient(given_up, some, given_up.draw_eps(100, rng), 1)
    to_encoder.append([np.abs(grads[f"{name}.W"][:, 0]).max() for name in ("mu", "logvar")])
    to_decoder.append(grads["decoder.0.W"][0].astype(float))
means = np.mean(to_decoder, axis=0)  # (H,)
errors = np.std(to_decoder, axis=0, ddof=1) / np.sqrt(200)  # (H,)
on = errors > 0  # (H,)  a hidden unit that is never on has no gradient at all
off = np.abs(means[on]) / errors[on]
print(f"encoder: the largest gradient is {np.max(to_encoder)}")
print(f"decoder: its means are off zero by {np.median(off):.2f} standard errors, typically")

assert np.max(to_encoder) == 0
assert off.max() < 5

# %% [markdown]
# **KL warm-up** changes the path and not the goal: the weight of the KL grows linearly from 0 to 1 over the first
# epochs, and then stays. If the lost latents were not worth their price, keeping them could not raise the elbo.
#
# *Before you run the cell:* two runs with two hidden layers and $Z = 20$, the same in all but the warm-up. Which ends
# with the larger KL? Which with the better elbo?

# %% tags=["stumble-08"]
warm = {}
for title, warmup in (("no warm-up", 0), ("warm-up", 4)):
    model, rng = fresh(hidden=(150, 150))
    record = run(model, rng, lr=4e-3, batch_size=50, warmup=warmup)
    kl = np.sort(kl_per_latent(model, held_out))[::-1]  # (Z,)
    elbo = evaluate_terms(model, held_out, np.random.default_rng(4))["elbo"]
    warm[title] = record, kl, elbo
    in_use, m, e = (kl > 0.1).sum(), elbo.mean, elbo.standard_error
    print(
        f"{title:10} {in_use:2d} latents above 0.1 nat, kl {kl.sum():5.2f}, elbo {m:.2f} ± {e:.2f}"
    )


# %%
fig, axes = panels(2, height=3.0)
for (title, (record, kl, _)), colour, line in zip(
    warm.items(), ("#D55E00", "#0072B2"), ("--o", "-s"), strict=True
):
    axes[0].plot(range(1, 21), kl, line, color=colour, markersize=3.5, label=title)
    axes[1].plot(record["epoch"], record["test_kl"], line, color=colour, markersize=3.5)
axes[0].set(title="Each latent", xlabel="latents, sorted by their KL", ylabel="KL, nats")
axes[0].set_xticks([1, 5, 10, 15, 20])
axes[0].legend(frameon=False)
axes[1].set(title="All latents together", xlabel="epoch", ylabel="test kl, nats per image")
axes[1].set_ylim(0, None)
show(
    fig,
    "Left: without warm-up the KL is near zero after nine latents, with it after about sixteen. "
    "Right: with warm-up the KL starts high and comes down; without, it climbs from below.",
)

gain = warm["warm-up"][2].mean - warm["no warm-up"][2].mean
assert (warm["warm-up"][1] > 0.1).sum() > (warm["no warm-up"][1] > 0.1).sum()
assert gain > 5 * warm["warm-up"][2].standard_error

# %% [markdown]
# The lost latents had been worth their price: with them the elbo is better. But this is one pair of runs, and a short
# one; question 5 asks for more.
#
# Against the first kind of collapse no warm-up helps. The linear VAE again, with $\sigma = 2.7$ and a warm-up over a
# quarter of its epochs:

# %%
again = np.sort(kl_per_latent(linear_vae(2.7, warmup=500), cloud))[::-1]  # (Z,)
print("with warm-up   ", again.round(3))
print("without        ", np.sort(kl_per_latent(trained[2.7], cloud))[::-1].round(3))

assert np.array_equal(again > 0.01, eigenvalues[:4] > 2.7**2)

# %% [markdown]
# ## Recap
#
# 1. **Likelihood = loss.** Bernoulli: cross-entropy of bits. Gaussian: squared error over $2\sigma^2$, and $\sigma^2$
#    is the price of the KL.
# 2. **Data.** Say how pixels were binarised; numbers for grey pixels and for bits do not compare.
# 3. **Sums.** Sum over pixels and latents; a mean there is a weight $\beta$ of $D$, $1/Z$ or $D/Z$ on the KL. Only
#    the batch is averaged.
# 4. **NaN.** $e^{\text{logvar}}$ overflows `float32` at 88.7; the usual cause is the step size.
# 5. **Collapse.** A linear VAE uses latent $i$ where $\lambda_i > \sigma^2$, and pays $\tfrac12 \log(\lambda_i /
#    \sigma^2)$; warm-up saves latents that are worth it, and no others.
#
# ## On your own
#
# 1. A program has `loss = mse(x, m).mean() + kl.mean()`, both over all entries of their arrays. Which $\beta$, and
#    which $\sigma$, is that for $D = 784$ and $Z = 20$?
# 2. Adam divides by the size of past gradients. Show that a loss multiplied by $1/784$ leads to nearly the same
#    steps. Why does that hide a mean over pixels, and why does it not excuse it?
# 3. Train with `ContinuousBernoulli()` and `binarise="none"`. Its elbo may be positive. Why is that no mistake?
# 4. Clip logvar to $[-10, 10]$ in a copy of `VAE.encode`. What is the gradient outside? When is the cure worse than
#    the illness?
# 5. *A small project.* Repeat the pair of runs of the last section for five seeds, and for 8, 16 and 32 epochs. Draw
#    the mean gain of the warm-up with its standard error. When does it vanish?
#
# ## Further reading
#
# - Gabriel Loaiza-Ganem and John Cunningham, *The continuous Bernoulli* (2019), arXiv 1907.06845.
# - James Lucas and others, *Don't blame the ELBO!* (2019), arXiv 1911.02469, for the linear VAE.
# - Michael Tipping and Christopher Bishop, *Probabilistic principal component analysis* (1999).
# - Yuri Burda, Roger Grosse and Ruslan Salakhutdinov, *Importance weighted autoencoders* (2016), arXiv 1509.00519,
#   whose table 1 has the 86.76.
# - The derivations of [the likelihoods](../docs/derivations/06_likelihoods.md) and of
#   [the linear-Gaussian model](../docs/derivations/09_linear_gaussian.md).
# - Means, sums and weights as people met them: [keras-io 270](https://github.com/keras-team/keras-io/issues/270) and
#   [PyTorch's examples 652](https://github.com/pytorch/examples/issues/652).
#
# [Back: gradients through mu and sigma](09_gradients_through_mu_and_sigma.ipynb) · [Contents](README.md) ·
# [Next: the latent space](12_the_latent_space.ipynb)
