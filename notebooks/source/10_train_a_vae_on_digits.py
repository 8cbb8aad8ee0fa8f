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
# The bound, the noise and the gradients go to work on images of digits, and what you say the pixels are decides the
# loss.
#
# **What you will do**
# - write a likelihood from logits, the start of the backward pass, Adam, and an importance weight;
# - train a VAE, read its curves, and estimate $\log p(x)$;
# - spoil it: with a mean in the wrong place, with too large a step.
#
# **What you will learn**
# - why the choice of likelihood is the choice of loss;
# - which numbers may be compared;
# - which means are a hidden weight on the KL.
#
# **What you need**
# - pages 04, 06 and 09. About 45 minutes with the blanks. It runs in fifteen seconds.

# %%
from importlib.util import find_spec

if find_spec("scratchvae") is None:
    raise SystemExit(
        "This page needs scratchvae; in the README's folder: pip install -r requirements.txt"
    )

import numpy as np

from scratchvae import SGD, VAE, Adam, Bernoulli, ContinuousBernoulli, Gaussian, fit, load_data
from scratchvae.batches import batches, binarised
from scratchvae.evaluation import evaluate_terms, log_evidence
from scratchvae.exercises import check, hint, progress, solution, use  # noqa: F401
from scratchvae.gaussian import kl_to_standard_normal, kl_to_standard_normal_backward
from scratchvae.gaussian import reparameterize
from scratchvae.iwae import log_importance_weights
from scratchvae.view.notebook import panels, show

BLUE, VERMILLION, GREY = "#0072B2", "#D55E00", "#555555"
data = load_data("mnist-sample")
x_train, x_test, y_test = data.x_train[:4000], data.x_test[:1000], data.y_test[:1000]
D = x_train.shape[1]  # 784 pixels; x_train (N, D), x_test (M, D), uint8

# %% [markdown]
# An image $x$ is a row of $D$ pixels. The encoder gives $q(z \mid x)$, normal, with means $\mu$ and standard
# deviations $\sigma$, $Z$ numbers each; the decoder gives $p(x \mid z)$; the prior $p(z)$ is standard normal. Training
# raises the ELBO of page 06, $\text{elbo} = -\text{nll} - \text{kl}$, with $\text{nll} = -\log p(x \mid z)$ at a draw
# of $z$; in nats per image.
#
# ## Grey pixels and bits
#
# The pixels are grey, 256 levels, scaled to $[0, 1]$. A model of *bits* is simpler. Two ways lead to them.
# **Threshold**: 1 if brighter than a half. **Dynamic**: a pixel of the grey value $g$ becomes 1 with probability $g$,
# drawn afresh in each **epoch**, a pass over all images.
#
# *Before you run the cell:* where will two dynamic versions of one digit differ?

# %% tags=["answer"]
image = x_train[7:8]  # (1, D)
rng = np.random.default_rng(0)
ways = {"threshold": "threshold", "dynamic": "dynamic", "again": "dynamic"}
versions = {name: binarised(image, way, rng)[0] for name, way in ways.items()}
versions["grey"] = g = image[0] / 255  # (D,)
versions["they differ"] = versions["dynamic"] != versions["again"]
fig, axes = panels(5, height=1.7)
for ax, name in zip(axes, ("grey", *ways, "they differ"), strict=True):
    ax.imshow(versions[name].reshape(28, 28), cmap="gray", vmin=0, vmax=1)
    ax.set_title(name)
    ax.axis("off")
show(
    fig,
    "One 3 five times: grey with soft edges, cut at a half, two random versions with ragged edges,"
    " and where these two differ: scattered points along the outline.",
)
draws = binarised(np.repeat(image, 2000, axis=0), "dynamic", rng)  # (2000, D)
off, error = np.abs(draws.mean(axis=0) - g), np.sqrt(g * (1 - g) / 2000)  # (D,) each

assert (versions["threshold"] == (g > 0.5)).all()
# spoil: versions['threshold'] = versions['dynamic']
assert not versions["they differ"][(g == 0) | (g == 1)].any()
# spoil: versions['they differ'] = versions['grey'] > 0
assert (off <= 5 * error).all()  # the mean of the bits is the grey value
# spoil: off = np.abs(draws.mean(axis=0) - g[::-1])

# %% [markdown]
# ## The likelihood is the loss
#
# **Bits.** For pixel $d$ the decoder returns a **logit** $l_d$, any real number; the pixel is 1 with the probability
# $p_d = 1 / (1 + e^{-l_d})$. Given $z$ the pixels are independent, so their probabilities multiply, and
#
# $$\text{nll} = -\log \prod_d p_d^{\,x_d} (1 - p_d)^{1 - x_d}
#   = -\sum_d \left[ x_d \log p_d + (1 - x_d) \log(1 - p_d) \right],$$
#
# the **cross-entropy**. Put in the logits: $1 - p = 1 / (1 + e^{l})$ and $\log p = l + \log(1 - p)$. What is left?


# %% tags=["blank"]
def bernoulli_nll(x, logits):
    """-log p(x|z) of bits, from the logits: (B, D), (B, D) -> (B,)."""
    raise NotImplementedError


check("training.bernoulli", bernoulli_nll)

# %% [markdown]
# **Real numbers.** Let the decoder return a mean $m_d$ for each pixel, and let all share the standard deviation
# $\sigma_x$. Then
#
# $$\text{nll} = \frac{1}{2 \sigma_x^2} \sum_d (x_d - m_d)^2 + D \log \sigma_x + \frac{D}{2} \log 2 \pi,$$
#
# **squared error** with a factor, and two terms without the decoder's output. Which $\sigma_x$ makes the nll
# smallest, if the means are given?


# %% tags=["blank"]
def best_sigma(x, m):
    """The sigma_x with the smallest nll of all images, whose means are m: (B, D), (B, D) -> a number."""
    raise NotImplementedError


check("training.best_sigma", best_sigma)

# %%
sigma_of = use("training.best_sigma", best_sigma)
some = x_train[:50] / 255  # (50, D)
means = np.tile(some.mean(axis=0), (50, 1))  # (50, D)  a decoder that knows no more
scan = np.geomspace(0.05, 2, 2000)
nlls = [Gaussian(s).nll(some, means)[0].mean() for s in scan]
best = sigma_of(some, means)
print(f"best sigma_x: yours {best:.4f}, by a scan {scan[np.argmin(nlls)]:.4f}")

assert np.isclose(scan[np.argmin(nlls)], best, rtol=0.002)
# spoil: best = best**2

# %% [markdown]
# Here a mean over pixels belongs: in $\sigma_x$, not in the loss.
#
# > **Often said.** "Cross-entropy or squared error: take what works better."
# >
# > **What is true.** Each is a likelihood, and says what the data are: bits, or real numbers with normal noise of one
# > $\sigma_x$. And $\sigma_x^2 (\text{nll} + \text{kl}) = \tfrac12 \lVert x - m \rVert^2 + \sigma_x^2\, \text{kl}$ + a
# > constant: $\sigma_x^2$ is the price of a nat of KL in half the squared error. To leave it out is to choose it.
# >
# > **Run this cell.** Your nll and the formula above against the library; then the gradients of a VAE with
# > $\sigma_x = 0.3$. *Before that:* which weight $\beta$ on the KL gives a VAE with $\sigma_x = 1$ the same gradients,
# > up to a factor?

# %%
guess = None  # a number

# %% tags=["claim-18", "answer"]
nll_of = use("training.bernoulli", bernoulli_nll)
rng = np.random.default_rng(1)
bits = (rng.random((5, 6)) < 0.4).astype(float)  # (B, D), B = 5, D = 6
logits = 3 * rng.standard_normal((5, 6))  # (B, D)
sigma_x, squares = 0.3, ((bits - logits) ** 2).sum(axis=1)  # (B,)
by_hand = squares / (2 * sigma_x**2) + 6 * np.log(sigma_x) + 3 * np.log(2 * np.pi)  # (B,)
narrow, unit = (
    VAE(6, (8,), 2, "tanh", Gaussian(s), rng=np.random.default_rng(2), dtype="float64")
    for s in (sigma_x, 1.0)
)
eps = narrow.draw_eps(5, rng)  # (B, Z)


def gradient(model, beta):
    """The gradient of the objective -nll - beta kl, summed over the examples, as one row."""
    _, cache = model.objective(bits, eps, beta)
    return np.concatenate([a.ravel() for a in model.backward(np.ones(5), cache).values()])


grad_narrow, grad_unit = gradient(narrow, 1), gradient(unit, sigma_x**2)
print(f"sigma_x = {sigma_x} is squared error / 2 with beta = {sigma_x**2:.2f}; guess: {guess}")

assert np.allclose(Bernoulli().nll(bits, logits)[0], nll_of(bits, logits))
# spoil: nll_of = lambda x, a: Bernoulli().nll(1 - x, a)[0]
assert np.allclose(Gaussian(sigma_x).nll(bits, logits)[0], by_hand)
# spoil: by_hand = squares / 2
assert np.allclose(sigma_x**2 * grad_narrow, grad_unit)
# spoil: grad_unit = gradient(unit, 1)

# %% [markdown]
# ### Grey pixels under a Bernoulli
#
# For one pixel the Bernoulli's formula is $e^{l x} / (1 + e^{l})$. Its integral over the grey values is
#
# $$\int_0^1 \frac{e^{l x}}{1 + e^{l}}\, dx = \frac{e^{l} - 1}{l\, (1 + e^{l})} = \frac{\tanh(l / 2)}{l} \le \frac12,$$
#
# since $\tanh a \le a$ for $a \ge 0$, and the expression is the same for $-l$.
#
# > **Often said.** "Cross-entropy accepts grey pixels, so no bits are needed."
# >
# > **What is true.** It accepts them, and training works. But over the grey values it is no density: half of the
# > probability or more is missing, $\log 2$ nats a pixel at least. The **continuous Bernoulli** divides by the
# > integral, which depends on $l$, and so trains to another model.
# >
# > **Run this cell.** Both integrals, by the midpoint rule.

# %% tags=["stumble-06"]
logit = np.linspace(-12, 12, 242)  # (L,)
middle = (np.arange(4000) + 0.5) / 4000  # (G,)  midpoints in [0, 1]
integrals = {}
for likelihood in (Bernoulli(), ContinuousBernoulli()):
    values = [likelihood.nll(middle[:, None], np.full((4000, 1), a))[0] for a in logit]
    integrals[likelihood.name] = np.exp(-np.array(values)).mean(axis=1)  # (L,)
fig, ax = panels(height=2.3, xlabel="logit $l$", ylabel="integral over x in [0, 1]")
ax.plot(logit, integrals["continuous-bernoulli"], color=BLUE, label="continuous Bernoulli")
ax.plot(logit, integrals["bernoulli"], "--", color=VERMILLION, label="Bernoulli")
ax.set_ylim(0, 1.1)
ax.legend(frameon=False, loc="center right")
show(fig, "A flat line at 1, and a bell that reaches one half at the logit zero.")
fitted = {}  # the logit that a pixel of the grey value 0.2 asks for
for likelihood in (Bernoulli(), ContinuousBernoulli()):
    nlls = likelihood.nll(np.full((242, 1), 0.2), logit[:, None])[0]  # (L,)
    fitted[likelihood.name] = logit[np.argmin(nlls)]
at_bits = [Bernoulli().nll(np.full((242, 1), bit), logit[:, None])[0] for bit in (0, 1)]
sums = np.exp(-np.array(at_bits)).sum(axis=0)  # (L,)

assert np.allclose(sums, 1)  # over the two bits
# spoil: sums = sums / 2
assert np.allclose(integrals["continuous-bernoulli"], 1, atol=1e-5)
# spoil: integrals['continuous-bernoulli'] = integrals['bernoulli']
assert np.allclose(integrals["bernoulli"], np.tanh(logit / 2) / logit, atol=1e-5)
# spoil: integrals['bernoulli'] = integrals['continuous-bernoulli']
assert integrals["bernoulli"].max() <= 0.5
# spoil: integrals['bernoulli'] = 2 * integrals['bernoulli']
assert fitted["continuous-bernoulli"] < fitted["bernoulli"] - 1  # another model
# spoil: fitted['continuous-bernoulli'] = fitted['bernoulli']

# %% [markdown]
# ## A step
#
# `backward(w, cache)` returns the gradient of $\sum_b w_b\, \text{objective}_b$ over a batch of $B$ images.
# Optimizers go downhill. So the **loss** is minus the mean of the objective. Which $w$ gives its gradient?


# %% tags=["blank"]
def weights(objective):
    """The derivatives of the loss, which is -mean(objective), by each objective: (B,) -> (B,)."""
    raise NotImplementedError


check("training.weights", weights)

# %% [markdown]
# Plain descent takes off `lr` times the gradient. **Adam** keeps two averages for every weight, $m$
# of its gradients and $v$ of their squares: $m \leftarrow 0.9\, m + 0.1\, \text{grad}$ and
# $v \leftarrow 0.999\, v + 0.001\, \text{grad}^2$. Both begin at 0, so that after $t$ steps the shares of the gradients
# in them sum to $1 - 0.9^t$ and $1 - 0.999^t$. Divided by these they are $\hat m$ and $\hat v$; what is taken off is
# $\text{lr} \cdot \hat m / (\sqrt{\hat v} + 10^{-8})$.


# %% tags=["blank"]
def adam(grad, m, v, t, lr):
    """Step t = 1, 2, ... of Adam: the new m and v, and what is taken off the weights; (I,) each."""
    raise NotImplementedError


check("training.adam", adam)

# %% [markdown]
# *Write down a guess:* divide the loss by 784. What becomes of the steps, of plain descent and of Adam?

# %%
plain, with_adam = None, None  # each a factor

# %% tags=["answer"]
step_of = use("training.adam", adam)
rng = np.random.default_rng(3)
shift, steps = rng.standard_normal(4), {}  # (I,)
for scale in (1, 1 / 784):
    a, m, v, steps[scale] = np.zeros(4), np.zeros(4), np.zeros(4), []  # a: the weights, (I,)
    for t in range(1, 31):
        noisy = scale * (a - shift + 0.1 * np.sin(np.arange(4) + 7 * t))  # (I,)  a gradient
        m, v, step = step_of(noisy, m, v, t, 0.01)
        a = a - step
        steps[scale].append(step)
first, largest = np.abs(steps[1][0]), np.abs(steps[1]).max()  # (I,), a number
change = np.abs(np.subtract(steps[1 / 784], steps[1])).max() / largest
tiny = {"W": np.zeros(1)}
Adam(lr=0.01).step(tiny, {"W": np.full(1, 1e-9)})
print(f"plain descent: 1/784 of a step; Adam: the same, but for {change:.0e} of the largest")
print("your guess:", plain, with_adam, " Adam's first steps, with lr = 0.01:", first.round(4))

assert change < 1e-3
# spoil: change = 1 - 1 / 784
assert np.allclose(first, 0.01)  # whatever the gradient is: lr, with its sign
# spoil: first = np.abs(shift) * 0.01
assert np.abs(tiny["W"]).max() < 0.001  # below 1e-8 the scale comes back
# spoil: tiny['W'] = first

# %% [markdown]
# Adam divides the scale away: while the gradients are far above $10^{-8}$, a factor before the loss goes
# almost unnoticed.
#
# Training is a loop of four lines. `moves` says which weights may move: all, for now.


# %%
def train(model, x, epochs, lr, rng, moves=lambda name: True):
    """What fit does, without its comforts."""
    model.start_output_bias(x.mean(axis=0) / 255)  # begin near the mean image
    optimizer = Adam(lr=lr)
    for _ in range(epochs):
        for batch in batches(x, 128, "dynamic", rng, model.dtype, np):  # (B, D)
            terms, cache = model.objective(batch, model.draw_eps(len(batch), rng))
            grads = model.backward(weights_of(terms.objective).astype(model.dtype), cache)
            grads = {name: grad if moves(name) else 0 * grad for name, grad in grads.items()}
            optimizer.step(model.params, grads)
    return model


def fresh(n_z=20, seed=0):
    """A VAE with its first weights, and the generator that has drawn them."""
    rng = np.random.default_rng(seed)
    return VAE(D, (200,), n_z, rng=rng), rng


# %%
weights_of = use("training.weights", weights)
(mine, rng), (theirs, rng_fit) = fresh(), fresh()
train(mine, x_train[:1000], 2, 2e-3, rng)
how = {"optimizer": Adam(lr=2e-3), "rng": rng_fit, "progress": False}
fit(theirs, x_train[:1000], x_test[:100], epochs=2, **how)
apart = max(np.abs(mine.params[name] - theirs.params[name]).max() for name in mine.params)
print(f"after 16 steps, the loop and fit differ by {apart:.1e}")

assert apart < 1e-6
# spoil: apart = np.abs(mine.params['mu.W'] - fresh()[0].params['mu.W']).max()

# %% [markdown]
# > **Often said.** "A VAE is variational inference with a network."
# >
# > **What is true.** Half of it: the decoder's weights $\theta$ are learned by the same bound as the encoder's $\phi$.
# >
# > **Run this cell.** Two epochs of $\phi$ alone, $\theta$ alone, both. *Before that:* which beat a model that
# > returns the mean image for every $z$, and pays no KL?

# %% tags=["claim-08", "answer"]
theta = ("decoder.", "logits.")  # how the names of the decoder's weights begin
held_out = binarised(x_test, "dynamic", np.random.default_rng(3)).astype("float32")  # (M, D)
halves = {
    "phi alone": lambda name: not name.startswith(theta),
    "theta alone": lambda name: name.startswith(theta),
    "both": lambda name: True,
}
elbos = {}
for name, moves in halves.items():
    model, rng = fresh()
    train(model, x_train, 2, 2e-3, rng, moves)
    elbos[name] = evaluate_terms(model, held_out, np.random.default_rng(4))["elbo"]
    print(f"{name:12} {elbos[name].mean:8.2f} ± {elbos[name].standard_error:.2f}")
p = (x_train.sum(axis=0) / 255 + 0.5) / (len(x_train) + 1)  # (D,)  half an image more: never 0
mean_image = -nll_of(held_out, np.tile(np.log(p / (1 - p)), (len(x_test), 1))).mean()
print(f"{'mean image':12} {mean_image:8.2f}")

assert elbos["phi alone"].mean < mean_image
# spoil: elbos['phi alone'] = elbos['both']
assert abs(elbos["theta alone"].mean - mean_image) < 4
# spoil: elbos['theta alone'] = elbos['both']
assert elbos["both"].mean > mean_image + 40
# spoil: elbos['both'] = elbos['theta alone']

# %% [markdown]
# One half alone comes no further than about the mean image. (± is the standard error: the standard deviation over
# images divided by the root of their number.)
#
# ## A run, and its curves
#
# Eight epochs. *Before you run the cell:* which of nll and kl will rise?


# %%
def run(model, rng, beta=1.0, lr=2e-3):
    """Eight epochs of fit; returns its history."""
    how = {"optimizer": Adam(lr=lr), "rng": rng, "progress": False}
    return fit(model, x_train, x_test, epochs=8, beta=beta, **how)


# %% tags=["answer"]
vae, rng = fresh()
history = run(vae, rng)
fig, axes = panels(3, height=2.5, xlabel="epoch")
for ax, name in zip(axes, ("nll", "kl", "elbo"), strict=True):
    ax.plot(history["epoch"], history[f"test_{name}"], color=BLUE, label="held-out images")
    ax.set_title(name)
axes[0].set_ylabel("nats per image")
axes[2].plot(history["epoch"], history["train_elbo"], "--", color=GREY, label="training images")
axes[2].legend(frameon=False, fontsize=8)
show(
    fig,
    "Over eight epochs nll falls from 165 to 105 and kl rises from 10 to 22, with a dip. The elbo rises; the"
    " training curve begins below the held-out one and ends above it.",
)
ends = [history[f"test_{name}"][k] for name in ("nll", "kl") for k in (0, -1)]
ahead = np.subtract(history["train_elbo"], history["test_elbo"])  # (8,)

assert (np.diff(history["test_nll"]) < 0).all()
# spoil: history['test_nll'] = history['test_kl']
assert np.allclose(ends, (165, 105, 10, 22), rtol=0.1)
# spoil: ends = ends[::-1]
assert (np.diff(history["test_elbo"]) > 0).all()
# spoil: history['test_elbo'] = history['test_nll']
assert ahead[0] < 0 < ahead[-1]
# spoil: ahead = -ahead

# %% [markdown]
# - The **kl** rises, and that is no failure: the code begins to say something about the image, and KL is its price.
# - The **elbo** is what is trained and compared.
# - The dashed line, a mean over an epoch in which the weights moved, lags at first, and later runs ahead: they were
#   fitted to these images.
#
# ### Which numbers may be compared
#
# *Write down a guess:* the same weights and images. Which elbo is highest: with dynamic bits, bits cut at a half,
# or grey pixels?

# %%
guess = None  # "dynamic", "threshold" or "grey"


# %%
def elbo_of(seen, scored):
    """The elbo of each image, (M,): its q from the pixels seen, its nll on the pixels scored, same eps."""
    mu, logvar, _ = vae.encode(seen)  # (M, Z), (M, Z)
    z = reparameterize(mu, logvar, vae.draw_eps(len(seen), np.random.default_rng(4)))[0]
    nll = vae.likelihood.nll(scored, vae.decode(z)[0])[0]  # (M,)
    return (-nll - kl_to_standard_normal(mu, logvar)[0]).astype(float)


def paired(a, b):
    """The mean difference, and its standard error: image by image."""
    return (a - b).mean(), (a - b).std() / np.sqrt(len(a))


# %% tags=["answer"]
cut, grey = (x_test > 127).astype("float32"), (x_test / 255).astype("float32")  # (M, D)
other = binarised(x_test, "dynamic", np.random.default_rng(33)).astype("float32")  # (M, D)
cases = {"dynamic": (held_out, held_out), "threshold": (cut, cut), "grey": (grey, grey)}
cases |= {
    "bits seen, others scored": (held_out, other),
    "bits seen, grey scored": (held_out, grey),
}
cases["grey seen, bits scored"] = (grey, held_out)
found = {name: elbo_of(*pair) for name, pair in cases.items()}  # (M,) each
for name, values in found.items():
    print(f"{name:24} {values.mean():8.2f} ± {values.std() / np.sqrt(len(values)):.2f}", end="")
    print("   less dynamic: {:6.2f} ± {:.2f}".format(*paired(values, found["dynamic"])))
print("your guess:", guess)

gains = {name: paired(values, found["dynamic"]) for name, values in found.items()}
assert gains["threshold"][0] > 10 * gains["threshold"][1]
# spoil: gains['threshold'] = gains['grey']
edges = (x_test > 0).astype("float32")  # no chance in these either, and a lower elbo
assert elbo_of(edges, edges).mean() < found["dynamic"].mean() - 1
# spoil: edges = cut
chance, luck = paired(found["bits seen, grey scored"], found["bits seen, others scored"])
assert abs(chance) < 4 * luck < 1  # linear in x: grey is the mean over fresh bits
# spoil: chance, luck = gains['bits seen, others scored']
assert abs(gains["bits seen, others scored"][0] + 5) < 1
# spoil: gains['bits seen, others scored'] = gains['grey']
to_grey, spread = paired(found["grey"], found["bits seen, grey scored"])
assert to_grey > 10 * spread
# spoil: to_grey = -to_grey
scatter = found["dynamic"].std() / np.sqrt(len(x_test))
assert max(error for _, error in gains.values()) < 0.4 * scatter
# spoil: scatter /= 4
assert np.allclose([found[name].mean() for name in ("dynamic", "grey")], (-127, -129), atol=3)
# spoil: found['grey'] = found['threshold']

# %% [markdown]
# Cut at a half, each pixel shows its likelier bit. Why do grey pixels score less than dynamic bits, though the nll is
# linear in $x$? Score *other* bits than the encoder has seen, and five nats are gone: the code also tells how the bits
# fell. From grey pixels comes a better code, without that luck.
#
# A difference, image by image, is free of most of the scatter of images.
#
# ### log p(x)
#
# Two published numbers: 105.5, of the VAE among PyTorch's examples ($-$elbo, grey pixels, ten epochs); 86.76, of a VAE
# in the paper on importance-weighted autoencoders ($-\log p(x)$, dynamic bits, 3,280 epochs, 5,000 draws). Different
# quantities. Page 04 estimated $p(x)$ by the mean of the weights $w = p(x, z) / q(z \mid x)$. Write $\log w$.


# %% tags=["blank"]
def log_weight(nll, z, mu, logvar):
    """log of p(x, z) / q(z|x) at a draw z from q = N(mu, exp(logvar)): (B,), thrice (B, Z) -> (B,)."""
    raise NotImplementedError


check("training.log_weight", log_weight)

# %%
log_w_of = use("training.log_weight", log_weight)
few, rng = held_out[:10], np.random.default_rng(6)  # (10, D)
mu, logvar, _ = vae.encode(few)
eps = rng.standard_normal((20, 10, 20), dtype="float32")  # (K, B, Z)
by_library = log_importance_weights(vae, few, eps)[0]  # (K, B)
by_you = []
for one in eps:
    z = mu + np.exp(logvar / 2) * one  # (B, Z)
    by_you.append(log_w_of(nll_of(few, vae.decode(z)[0]), z, mu, logvar))
difference = np.abs(np.array(by_you) - by_library).max()
print(f"your log weights lie between {np.min(by_you):.1f} and {np.max(by_you):.1f}")

assert difference < 1e-2  # of numbers near -120, in float32
# spoil: difference = np.abs(np.array(by_you) + by_library).max()

# %% [markdown]
# *Write down a guess:* the elbo is about $-127$. How far above it is $\log p(x)$? `log_evidence` takes the
# log-mean-exp of $K$ such weights, for each of 200 images.

# %%
guess = None  # nats

# %% tags=["answer"]
hundreds = held_out[:200]  # (200, D)
log_px = {
    K: log_evidence(vae, hundreds, K, np.random.default_rng(9)) for K in (1, 10, 100, 500)
}
above = {K: paired(log_px[K], found["dynamic"][:200]) for K in log_px}
for K, (mean, spread) in above.items():
    print(f"K = {K:3}: {log_px[K].mean():8.2f}, above their elbo by {mean:5.2f} ± {spread:.2f}")
print("your guess:", guess)
growth = {K: paired(log_px[K], log_px[k]) for k, K in ((1, 10), (10, 100), (100, 500))}

assert abs(above[1][0]) < 4 * above[1][1]  # one draw: the elbo again
# spoil: above[1] = above[500]
assert all(mean > 4 * spread for mean, spread in growth.values())
# spoil: growth[500] = above[1]
assert growth[10][0] > growth[100][0] > growth[500][0]
# spoil: growth[500] = growth[10]
assert 5 < above[500][0] < 10
# spoil: above[500] = above[1]

# %% [markdown]
# Each row is still a lower bound, on average, and the next is higher. The last stands beside 86.76: the same quantity,
# of the same kind of bits. Between them lie 4,000 images for eight epochs against 60,000 for 3,280, a
# smaller network, 200 test images, and fewer draws. Beside 105.5 belongs minus the elbo of grey pixels, 129, though
# these weights learned from bits.
#
# ## Mean or sum
#
# Many programs have means over pixels or latents, where logarithms of products are sums:
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
# In the brackets stands a VAE with a weight $\beta$ on the KL that nobody chose; Adam hides the factor before them.
#
# > **Often said.** "Mean or sum only changes the learning rate."
# >
# > **What is true.** For the batch, yes. Over pixels or latents it changes the objective.
# >
# > **Run these cells.** The losses as written, by central differences in a random direction,
# > against the library's gradient at the $\beta$ above.


# %%
def written(model, x, eps, pixels, latents):
    """The loss as many programs have it; pixels and latents are np.mean or np.sum."""
    mu, logvar, _ = model.encode(x)  # (B, Z), (B, Z)
    logits, _ = model.decode(mu + np.exp(logvar / 2) * eps)  # (B, D)
    nll = pixels(np.log(1 + np.exp(logits)) - x * logits, axis=1)  # (B,)
    return np.mean(nll + latents((mu**2 + np.exp(logvar) - 1 - logvar) / 2, axis=1))


# %% tags=["stumble-01"]
rng = np.random.default_rng(5)
small = VAE(12, (8,), 3, "tanh", rng=rng, dtype="float64")  # D = 12, Z = 3
x, eps, h = (rng.random((4, 12)) < 0.5).astype(float), small.draw_eps(4, rng), 1e-5
losses = {"sums": (np.sum, np.sum, 1, 1), "mean over pixels": (np.mean, np.sum, 1 / 12, 12)}
losses |= {"over latents": (np.sum, np.mean, 1, 1 / 3), "both": (np.mean, np.mean, 1 / 12, 4)}
slopes = {}
print("                  differences; library with beta, and with beta 1")
for title, (pixels, latents, factor, beta) in losses.items():
    grads = small.backward(np.full(4, -factor / 4), small.objective(x, eps, beta)[1])
    at_beta_1 = small.backward(np.full(4, -factor / 4), small.objective(x, eps, 1.0)[1])
    way = {name: rng.standard_normal(p.shape) for name, p in small.params.items()}
    ends = []
    for shift in (h, -2 * h, h):  # up, down, and back
        for name, p in small.params.items():
            p += shift * way[name]
        ends.append(written(small, x, eps, pixels, latents))
    by_differences = (ends[0] - ends[1]) / (2 * h)
    by_library = [sum((g[name] * way[name]).sum() for name in way) for g in (grads, at_beta_1)]
    slopes[title] = by_differences, *by_library
    print(f"{title:17} {by_differences:8.5f}  {by_library[0]:8.5f} {by_library[1]:8.5f}")

assert all(np.isclose(s[0], s[1], rtol=1e-5) for s in slopes.values())
# spoil: slopes['both'] = slopes['both'][0], slopes['both'][2]
assert all(abs(s[0] / s[2] - 1) > 0.01 for name, s in slopes.items() if name != "sums")
# spoil: slopes['both'] = slopes['both'][0], 0, slopes['both'][0]

# %% [markdown]
# Back to the digits, $D = 784$, $Z = 20$, all judged by the elbo with weight 1. As on page 01 the ten nearest of
# 2,000 real images vote on a picture: it is **clear** if nine or ten agree. *Before you run the cell:* which weight has
# the best nll? Are pictures from the prior clear as often as real images?

# %%
real, labels = (data.x_train[5000:7000] / 255).astype("float32"), data.y_train[5000:7000]


def clear(pictures):
    """The share of pictures of which nine or ten of the ten nearest real images are one digit."""
    squares = (real**2).sum(axis=1) - 2 * pictures.astype("float32") @ real.T  # (n, 2000)
    ten = np.argpartition(squares, 10, axis=1)[:, :10]  # (n, 10)
    return ((labels[ten][:, :, None] == np.arange(10)).sum(axis=1).max(axis=1) >= 9).mean()


# %% tags=["answer"]
accidental = {"sums": 1, "mean over latents": 1 / 20, "both": 784 / 20, "mean over pixels": 784}
given_up = ("both", "mean over pixels")
models, results, share = {"sums": vae}, {}, {"real images": clear(grey)}
for title, beta in accidental.items():
    if title != "sums":
        models[title], rng = fresh()
        run(models[title], rng, beta=beta)
    terms = evaluate_terms(models[title], held_out, np.random.default_rng(4))
    results[title] = {name: terms[name].mean for name in ("nll", "kl", "elbo")}
    share[title] = clear(models[title].sample(1000, np.random.default_rng(6)))
    print(
        f"{title:17} beta {beta:6.2f}  nll {terms['nll'].mean:5.1f}  kl {terms['kl'].mean:5.2f}"
        f"  elbo {terms['elbo'].mean:6.1f}  clear {share[title]:4.0%}"
    )
print(f"real images: clear {share['real images']:.0%}")

assert max(results, key=lambda title: results[title]["elbo"]) == "sums"
# spoil: results['sums'] = results['both']
assert results["mean over latents"]["nll"] < results["sums"]["nll"] - 10
# spoil: results['mean over latents'] = results['sums']
assert max(results[title]["kl"] for title in given_up) < 0.01
# spoil: results['both'] = results['sums']
assert max(abs(results[title]["elbo"] - mean_image) for title in given_up) < 3
# spoil: results['both'] = results['mean over latents']
assert max(share[title] for title in accidental) < share["real images"] - 0.2
# spoil: share['sums'] = share['real images']
assert 2.5 < results["mean over latents"]["kl"] / results["sums"]["kl"] < 4
# spoil: results['mean over latents']['kl'] = results['sums']['kl']

# %%
_, firsts = np.unique(y_test, return_index=True)
seven = held_out[firsts][:7]  # (7, D)  the digits 0 to 6
sheets = {
    "reconstructions": [model.reconstruct(seven) for model in models.values()],
    "z from the prior": [m.sample(7, np.random.default_rng(6)) for m in models.values()],
}
fig, axes = panels(2, height=2.25)
for ax, (title, rows) in zip(axes, sheets.items(), strict=True):
    sheet = np.stack(rows).reshape(4, 7, 28, 28).transpose(0, 2, 1, 3).reshape(112, 196)
    ax.imshow(sheet, cmap="gray", vmin=0, vmax=1)
    ax.set_title(title)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
axes[0].set_yticks([14, 42, 70, 98], [name.replace("over ", "over\n") for name in models])
axes[0].tick_params(length=0)
show(
    fig,
    "Four rows. Sums, and mean over latents: readable reconstructions but for the 3 and the 6, crisper in the"
    " second; from the prior, some digits among broken strokes, fainter in the second. Both, and"
    " mean over pixels: one grey blur for every image, and from the prior the same with grain.",
)

# %% [markdown]
# - $\beta < 1$: the best nll, for three times the KL: a step back towards the autoencoder of page 01.
# - $\beta \gg 1$: the code is given up, and the elbo is that of the mean image. Page 11 says when.
# - Even with sums, the pictures from the prior are clear far less often than real images.
#
# A weight other than 1 can be a choice, if it has a name, $\beta$, and is reported.
#
# ## NaN
#
# The encoder returns `logvar` $= \log \sigma^2$ without any bound. In `float32` the largest number is about
# $3.4 \cdot 10^{38}$, the exponential of 88.7.
#
# > **Often said.** "logvar can be any real number, so nothing can go wrong."
# >
# > **What is true.** $e^{\text{logvar}}$ overflows at 88.7, $\sigma$ at twice that. Adam squares a gradient that holds
# > $(e^{\text{logvar}} - 1)/2$. Downwards the KL is safe, but a stored $\sigma^2$ becomes 0, and its $\log$ infinite.
# >
# > **Run this cell.** Each limit by bisection. *Before that:* at which logvar does that square overflow?


# %%
def limit(f, good, bad):
    """The last logvar on the way from good to bad for which f is finite."""
    for _ in range(60):
        half = (good + bad) / 2
        with np.errstate(all="ignore"):  # overflow is what we look for
            finite = np.isfinite(f(np.float32([[half]]))).all()
        good, bad = (half, bad) if finite else (good, half)
    return good


def kl_slope(logvar):
    return kl_to_standard_normal_backward(one, kl_to_standard_normal(zero, logvar)[1])[1]


# %% tags=["stumble-07", "answer"]
zero, one = np.zeros((1, 1), "float32"), np.ones(1, "float32")  # mu (B, Z) and dkl (B,)
limits = {
    "the KL": limit(lambda logvar: kl_to_standard_normal(zero, logvar)[0], 0, 1000),
    "its slope, squared": limit(lambda logvar: kl_slope(logvar) ** 2, 0, 1000),
    "the draw z": limit(lambda logvar: reparameterize(zero, logvar, zero + 1)[0], 0, 1000),
    "log(exp(logvar))": limit(lambda logvar: np.log(np.exp(logvar)), 0, -1000),
}
for name, value in limits.items():
    print(f"{name:20} is finite up to logvar = {value:7.2f}")
largest = np.log(float(np.finfo("float32").max))
far_left = kl_to_standard_normal(zero, zero - 1e30)[0]

assert np.isclose(limits["the KL"], largest, atol=0.01)
# spoil: limits['the KL'] += 1
assert np.isclose(limits["the draw z"], 2 * largest, atol=0.01)
# spoil: limits['the draw z'] = largest
assert np.isclose(limits["its slope, squared"], largest / 2 + np.log(2), atol=0.01)
# spoil: limits['its slope, squared'] = largest
assert -110 < limits["log(exp(logvar))"] < -85
# spoil: limits['log(exp(logvar))'] = 0
assert np.isfinite(far_left).all()
# spoil: far_left = far_left * np.inf

# %% [markdown]
# An infinity can turn into NaN, *not a number*. *Write down a guess:* how many of $\infty - \infty$,
# $0 \cdot \infty$, $\infty / \infty$, $\infty + \infty$, $\infty + 0$?

# %%
guess = None  # of the five

# %% tags=["answer"]
infinity = float("inf")
nan = {
    "inf - inf": infinity - infinity,
    "0 * inf": 0 * infinity,
    "inf / inf": infinity / infinity,
}
still = {"inf + inf": infinity + infinity, "inf + 0": infinity + 0}
print(f"NaN: {', '.join(nan)}; not NaN: {', '.join(still)}; your guess: {guess}")

assert np.isnan(list(nan.values())).all()
# spoil: nan['inf / inf'] = infinity
assert not np.isnan(list(still.values())).any()
# spoil: still['inf + 0'] = infinity - infinity

# %% [markdown]
# Now too large a step: plain descent with `lr` 0.1.

# %%
hot, rng = fresh(n_z=10)
hot.start_output_bias(x_train.mean(axis=0) / 255)
optimizer, finite, k = SGD(lr=0.1, momentum=0.0), True, 0
images = batches(x_train, 128, "dynamic", rng, "float32", np)
while finite and k < 30:
    x, k = next(images), k + 1  # (B, D)
    with np.errstate(all="ignore"):
        terms, cache = hot.objective(x, hot.draw_eps(len(x), rng))
        top, nll, kl = hot.encode(x)[1].max(), terms.nll.mean(), terms.kl.mean()
        finite = np.isfinite(terms.elbo).all()
        optimizer.step(
            hot.params, hot.backward(weights_of(terms.elbo).astype("float32"), cache)
        )
    print(f"step {k}: largest logvar {top:9.2f}   nll {nll:9.3g}   kl {kl:9.3g}")
lost = np.isnan(hot.params["logvar.W"]).mean()
print(f"after that step {lost:.0%} of the weights of logvar's head are NaN")

assert top > limits["the KL"]
# spoil: top = limits['the KL']
assert lost > 0
# spoil: lost = 0

# %% [markdown]
# Such weights are lost. `fit` looks for this, and stops with step, term and remedy:

# %%
outcome = {}
for lr in (0.1, 0.01):
    model, rng = fresh(n_z=10)
    how = {"optimizer": SGD(lr=lr, momentum=0.0), "rng": rng, "progress": False}
    try:
        reached = fit(model, x_train, x_test[:100], epochs=1, **how)["test_elbo"][0]
        outcome[lr] = f"elbo {reached:.1f} after one epoch"
    except ArithmeticError as trouble:
        outcome[lr] = str(trouble)
    print(f"lr = {lr}: {outcome[lr]}")

assert all(word in outcome[0.1] for word in ("nll", "at step", "lower the step size"))
# spoil: outcome[0.1] = outcome[0.01]
assert outcome[0.01].startswith("elbo -")
# spoil: outcome[0.01] = outcome[0.1]

# %% [markdown]
# ## Your progress

# %%
progress("training")

# %% [markdown]
# ## Recap
#
# 1. **Likelihood = loss.** Bernoulli: cross-entropy of bits. Gaussian: squared error over $2\sigma_x^2$, and
#    $\sigma_x^2$ is the price of the KL.
# 2. **A step.** $w = -1/B$ for each image; Adam divides the scale of the loss away.
# 3. **Numbers.** Say which bits, elbo or $\log p(x)$, how many draws; compare image by image.
# 4. **Sums.** A mean over pixels or latents is a weight $\beta$ of $D$, $1/Z$ or $D/Z$. Only the batch is averaged.
# 5. **NaN.** $e^{\text{logvar}}$ overflows `float32` at 88.7; here too large a step led there.
#
# ## On your own
#
# 1. A program has `loss = np.mean((x-m)**2) + np.mean(kl)`, with `kl` of shape (B, Z). Which $\beta$ is that at
#    $\sigma_x=1$, and which $\sigma_x$ at $\beta=1$, if $D=784$ and $Z=20$?
# 2. Train with `ContinuousBernoulli()` and `binarise="none"`. Its elbo may be positive. Why is that no mistake?
# 3. Clip logvar to $[-10, 10]$ in a copy of `VAE.encode`. What is the gradient outside?
# 4. *A small project.* Train for 30 epochs on all 10,000 images. How far is it then to 86.76?
#
# ## Further reading
#
# - Diederik Kingma and Jimmy Ba, *Adam* (2015), arXiv 1412.6980.
# - Gabriel Loaiza-Ganem and John Cunningham, *The continuous Bernoulli* (2019), arXiv 1907.06845.
# - Yuri Burda, Roger Grosse and Ruslan Salakhutdinov, *Importance weighted autoencoders* (2016), arXiv 1509.00519,
#   whose table 1 has the 86.76.
# - [The likelihoods](derivations/06_likelihoods.ipynb), derived.
# - Means and sums as people met them: [keras-io 270](https://github.com/keras-team/keras-io/issues/270) and
#   [PyTorch's examples 652](https://github.com/pytorch/examples/issues/652).
#
# [Back: gradients through mu and sigma](09_gradients_through_mu_and_sigma.ipynb) · [Contents](README.md) ·
# [Next: collapse](11_collapse.ipynb)
