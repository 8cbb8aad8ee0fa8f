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
# # 16 · Write your own
#
# On this page you write a variational autoencoder from empty functions to a trained model, in NumPy alone. Each
# function is checked as soon as you run its cell.
#
# **What you will do**
# - write 21 functions, about 80 lines: first weights, layers, both halves, both terms, every gradient, Adam, training;
# - predict what the model does before it is trained, at its first step, and at its last;
# - have the whole checked by differences, and the trained one compared with the course's.
#
# **What you will learn**
# - that the whole model is about 80 lines of NumPy, below its `def`s;
# - in which order its parts can be written, so that each is right before the next one needs it;
# - which evidence there is that a whole model is right, beside a curve that rises.
#
# **What you need**
# - pages 01 to 10. About 120 minutes with the blanks, less if page 09 is fresh; the reading is a quarter of an hour of
#   that. It runs in fifteen seconds.

# %%
from importlib.util import find_spec

if find_spec("scratchvae") is None:
    raise SystemExit(
        "This page needs scratchvae; in the README's folder: pip install -r requirements.txt"
    )

from typing import NamedTuple

import numpy as np

from scratchvae import VAE, Adam, load_data
from scratchvae.checks import check_gradients
from scratchvae.exercises import check, hint, progress, solution  # noqa: F401
from scratchvae.exercises.together import Together
from scratchvae.view.notebook import panels, show

# %% [markdown]
# ## How this page works
#
# The model is that of page 09: one hidden layer of $H$ tanh units in each half, $Z$ latents, $D$ pixels that are 0 or
# 1, a batch of $B$ images. You write no class. What a function gets and returns is mostly arrays, or dicts of them; it
# writes into none that it was given.
#
# Your later functions call your earlier ones, by their names. So that an empty or wrong one spoils nothing below it,
# a line `together.go_on(...)` stands before the first that calls it. From there on, a name means *your* function if its
# check passes, and otherwise the *course's*, which calls yours where it can. The last cell says whose functions run.
# When you have changed a function, run the next such line once more.
#
# `hint("own.dense")` in a cell of its own asks a question; a second call gives the formula, a third nearly the code,
# and then `solution("own.dense")` shows one way to write it.

# %%
together = Together("own", globals())

# %% [markdown]
# ## Layers
#
# All weights live in one dict, `params`. Before training they are noise of the right size: the mean square of a
# layer's outputs should be about that of its inputs. An output is a sum of $I$ products $x_i w_i$, one for each input.
# Weights that are independent, with the mean 0, make its mean square that of the $x_i$, times $I$, times the variance
# of a weight: so that is to be $1/I$.


# %% tags=["blank"]
def initial_params(D, H, Z, rng):
    """The first weights, a dict: for each layer a W (I, O), from N(0, 1/I), and zeros b (O,).

    The layers: encoder.0 (D to H), mu and logvar (H to Z), decoder.0 (Z to H), logits (H to D).
    The names: "encoder.0.W", "encoder.0.b", "mu.W", ...
    """
    raise NotImplementedError


check("own.initial_params", initial_params)


# %% tags=["blank"]
def dense(x, W, b):
    """y = x W + b, row by row: x (B, I), W (I, O), b (O,) -> (B, O)."""
    raise NotImplementedError


check("own.dense", dense)

# %% [markdown]
# Now its backward. A name such as `dy` stands for the derivative of one number with respect to $y$, and has the shape
# of $y$.


# %% tags=["blank"]
def dense_backward(dy, x, W):
    """Back through y = x W + b: dy (B, O), x (B, I), W (I, O) -> dx, dW, db, like x, W, b."""
    raise NotImplementedError


check("own.dense_backward", dense_backward)

# %% [markdown]
# The activation is `np.tanh`. Its slope can be written with its value, which is why the value is what one keeps.


# %% tags=["blank"]
def tanh_backward(dh, h):
    """Back through h = tanh(a), from h alone: dh (B, H), h (B, H) -> da (B, H)."""
    raise NotImplementedError


check("own.tanh_backward", tanh_backward)

# %% [markdown]
# The digits have $D = 784$ pixels; we take $H = 100$ and $Z = 10$. *Write down a guess:* how many numbers does
# `params` hold?

# %%
guess = None  # a number

# %% tags=["answer"]
together.go_on("initial_params", "dense", "dense_backward", "tanh_backward")
D, H, Z = 784, 100, 10
params = initial_params(D, H, Z, np.random.default_rng(0))
count = sum(p.size for p in params.values())
in_large = params["encoder.0.W"].size + params["logits.W"].size
print(
    f"{count:,} numbers; {in_large / count:.0%} in two of the ten arrays; your guess: {guess}"
)

x = np.random.default_rng(1).standard_normal((1000, D))  # (B, D)
y = dense(x, params["encoder.0.W"], params["encoder.0.b"])  # (B, H)
print(f"mean square of inputs {(x**2).mean():.2f}, of outputs {(y**2).mean():.2f}")

assert np.isclose((y**2).mean(), (x**2).mean(), rtol=0.05)
# spoil: y = y * np.sqrt(D)
assert count == 2 * (D * H + H * Z) + Z * H + 2 * H + 2 * Z + D
# spoil: count -= D
assert in_large > 0.95 * count
# spoil: in_large = params['encoder.0.W'].size

# %% [markdown]
# ## Encoder, draw, decoder
#
# The encoder returns its hidden layer too, and so does the decoder: the way back will need them.


# %% tags=["blank"]
def encode(params, x):
    """q(z|x), and the hidden layer h: x (B, D) -> mu (B, Z), logvar (B, Z), h (B, H)."""
    raise NotImplementedError


check("own.encode", encode)


# %% tags=["blank"]
def reparameterize(mu, logvar, eps):
    """The draw z ~ N(mu, sigma^2), made from the noise eps: (B, Z) each -> (B, Z)."""
    raise NotImplementedError


check("own.reparameterize", reparameterize)


# %% tags=["blank"]
def decode(params, z):
    """The logits of p(x|z), and the hidden layer g: z (B, Z) -> logits (B, D), g (B, H)."""
    raise NotImplementedError


check("own.decode", decode)

# %% [markdown]
# ## The two terms, and the objective
#
# A lit pixel has the probability $p = 1 / (1 + e^{-l})$, with $l$ its logit, so that
#
# $$\text{nll} = -\log p(x \mid z) = \sum_d \bigl( \log(1 + e^{l_d}) - x_d\, l_d \bigr) .$$
#
# Written as it stands, it overflows at $l = 800$. Yours should not.


# %% tags=["blank"]
def bernoulli_nll(x, logits):
    """-log p(x|z) of each example, finite for every logit: x (B, D), logits (B, D) -> (B,)."""
    raise NotImplementedError


check("own.bernoulli_nll", bernoulli_nll)


# %% tags=["blank"]
def kl_to_prior(mu, logvar):
    """KL(N(mu, sigma^2) || N(0, I)) of each example: mu (B, Z), logvar (B, Z) -> (B,)."""
    raise NotImplementedError


check("own.kl_to_prior", kl_to_prior)

# %% [markdown]
# Now all of it in a row. What is made on the way is kept in a dict, the **cache**, from which the way back will read.

# %%
together.go_on("encode", "reparameterize", "decode", "bernoulli_nll", "kl_to_prior")


# %% tags=["blank"]
def forward(params, x, eps, beta):
    """From images to the objective -nll - beta kl, (B,): a dict of all on the way to it.

    x (B, D), eps (B, Z) -> {"x": x, "eps": eps, ...} with the names
    x, eps, h, mu, logvar, z, g, logits, nll, kl, objective.
    """
    raise NotImplementedError


check("own.forward", forward)

# %% [markdown]
# Here are the data: grey digits, each pixel lit with its grey value as the probability. The model is untrained.
# *Write down a guess:* how large is nll, in nats an image? To compare: all logits 0, and each pixel is a fair coin.

# %%
guess = None  # nats

# %% tags=["answer"]
together.go_on("forward")
data = load_data("mnist-sample")
grey_train, grey_test = data.x_train[:4000] / 255, data.x_test / 255  # (N, D), (M, D)
rng = np.random.default_rng(1)
x_test = (rng.random(grey_test.shape) < grey_test).astype(float)  # (M, D)
eps_test = rng.standard_normal((len(x_test), Z))  # (M, Z)

untrained = [
    forward(initial_params(D, H, Z, np.random.default_rng(seed)), x_test, eps_test, 1.0)
    for seed in range(5)
]
coins = D * np.log(2)
nlls = [cache["nll"].mean() for cache in untrained]
print(
    f"nll of five first models: {np.round(nlls, 1)}; D log 2 = {coins:.1f}; your guess: {guess}"
)

tilts = [(x_test * cache["logits"]).sum(axis=1).mean() for cache in untrained]  # of x_d l_d
assert min(nlls) > coins
# spoil: nlls = [nll - 60 for nll in nlls]
assert abs(np.mean(tilts)) < 0.1 * (np.mean(nlls) - coins)
# spoil: tilts = [nll - coins for nll in nlls]

# %% [markdown]
# Worse than coins, and that is no accident. A weight is as likely to be $w$ as $-w$, so that over many first models a
# logit is 0 on average, and $-x_d\, l_d$ averages out; but $\log(1 + e^{l})$ is convex, and its average is more than
# $\log 2$, by Jensen. To be sure without a reason costs.
#
# ## The way back
#
# Five functions turn back one part each, and a sixth puts them together. Your own page 09 may lie beside this one.


# %% tags=["blank"]
def bernoulli_nll_backward(dnll, x, logits):
    """Back through the nll: dnll (B,), x (B, D), logits (B, D) -> dlogits (B, D)."""
    raise NotImplementedError


check("own.bernoulli_nll_backward", bernoulli_nll_backward)


# %% tags=["blank"]
def kl_backward(dkl, mu, logvar):
    """Back through the KL: dkl (B,), mu (B, Z), logvar (B, Z) -> dmu (B, Z), dlogvar (B, Z)."""
    raise NotImplementedError


check("own.kl_backward", kl_backward)


# %% tags=["blank"]
def reparameterize_backward(dz, logvar, eps):
    """Back through z = mu + sigma eps: dz, logvar, eps (B, Z) -> dmu, dlogvar (B, Z)."""
    raise NotImplementedError


check("own.reparameterize_backward", reparameterize_backward)

# %% [markdown]
# The next two need what each of their layers has read: it is in the cache. Call `dense_backward` and `tanh_backward`.


# %% tags=["blank"]
def decoder_backward(dlogits, params, cache):
    """Back through the decoder, from dlogits (B, D): dz (B, Z), and a dict of four gradients.

    cache is what forward has returned; the names in the dict are those of params.
    """
    raise NotImplementedError


check("own.decoder_backward", decoder_backward)


# %% tags=["blank"]
def encoder_backward(dmu, dlogvar, params, cache):
    """Back through the encoder, from dmu (B, Z) and dlogvar (B, Z): a dict of six gradients.

    Nobody trains x, so no dx is returned.
    """
    raise NotImplementedError


check("own.encoder_backward", encoder_backward)

# %% [markdown]
# And the whole. Each example has a weight of its own, $w_b$ = `dobjective[b]`. *Before you write:* at which two places
# does $\beta$ belong, in `forward` and here?

# %%
together.go_on(
    "bernoulli_nll_backward", "kl_backward", "reparameterize_backward",
    "decoder_backward", "encoder_backward",
)  # fmt: skip


# %% tags=["blank"]
def backward(dobjective, params, cache, beta):
    """The gradient of sum_b dobjective_b objective_b: a dict with the names of params.

    dobjective (B,); objective = -nll - beta kl; cache is what forward has returned.
    """
    raise NotImplementedError


check("own.backward", backward)

# %% [markdown]
# ## The whole model, checked
#
# Each function was checked alone, with inputs that the check has made up. Are they right together?
# `check_gradients` moves every weight of a model, and compares how the objective changes with what the backward pass
# says. It takes an object with `params`, `objective` and `backward`, so we dress your functions as one; the tuple is
# there for its names. At first $\beta$ is the same on both ways. Then we forget it on the way back.
#
# *Write down a guess:* with $\beta$ forgotten, how many of the ten arrays get a wrong gradient?

# %%
guess = None  # a number from 0 to 10


# %%
class Terms(NamedTuple):
    """Per example, (B,)."""

    nll: np.ndarray
    kl: np.ndarray
    objective: np.ndarray


class Mine:
    """Your functions, as check_gradients wants them; if forgetful, beta is 1 on the way back."""

    def __init__(self, params, forgetful=False):
        self.params, self.forgetful = params, forgetful

    def objective(self, x, eps, beta=1.0):
        cache = forward(self.params, x, eps, beta)
        return Terms(cache["nll"], cache["kl"], cache["objective"]), (cache, beta)

    def backward(self, dobjective, cache):
        made, beta = cache
        return backward(dobjective, self.params, made, 1.0 if self.forgetful else beta)


# %% tags=["answer"]
together.go_on("backward")
rng = np.random.default_rng(2)
small = initial_params(5, 4, 2, rng)
for p in small.values():
    p += 0.3 * rng.standard_normal(p.shape)  # biases away from zero, for a fair test
x = (rng.random((4, 5)) < 0.5).astype(float)  # (B, D)
eps = rng.standard_normal((4, 2))  # (B, Z)

right = check_gradients(Mine(small), x, eps, beta=0.7)
forgetful = check_gradients(Mine(small, forgetful=True), x, eps, beta=0.7)
wrong = [row.name for row in forgetful.rows if row.status == "wrong"]
print(right)
print(f"beta forgotten: {len(wrong)} wrong, {', '.join(wrong)}; your guess: {guess}")

assert right.ok
# spoil: right = forgetful
assert {row.name for row in right.rows} >= set(small)
# spoil: right.rows.pop()
assert sorted(wrong) == sorted(n for n in small if n.startswith(("encoder", "mu", "logvar")))
# spoil: wrong.pop()

# %% [markdown]
# The KL depends on the encoder alone, so the decoder's four gradients stay right. Training would not complain: it would
# climb the ELBO, whatever objective is printed.
#
# A second witness: the course's model gets your weights, and computes both gradients by code of its own.

# %%
vae = VAE(n_x=5, n_hidden=(4,), n_z=2, activation="tanh", rng=rng, dtype="float64")
for name, p in vae.params.items():
    p[...] = small[name]
w = rng.standard_normal(4)  # (B,)
made = forward(small, x, eps, 0.7)
apart = {}
for beta in (0.7, 1.0):  # on the way back; of the objective of the course's model
    ours = backward(w, small, made, beta)
    theirs = vae.backward(w, vae.objective(x, eps, beta)[1])
    apart[beta] = max(np.abs(ours[name] - theirs[name]).max() for name in small)
print(
    f"largest differences: {apart[0.7]:.0e}; beta forgotten, from the ELBO's {apart[1.0]:.0e}"
)

assert apart[0.7] < 1e-12
# spoil: apart[0.7] = np.abs(ours['mu.W'] - vae.backward(w, vae.objective(x, eps, 0.7)[1])['mu.W']).max()
assert apart[1.0] < 1e-12
# spoil: apart[1.0] = np.abs(ours['mu.W'] - vae.backward(w, vae.objective(x, eps, 0.7)[1])['mu.W']).max()

# %% [markdown]
# ## Adam, and the loop
#
# As on page 10: both averages start at zero, are too small at first, and are corrected for it before the step; to the
# root in the denominator $10^{-8}$ is added.


# %% tags=["blank"]
def adam(param, grad, m, v, t, lr):
    """Step t = 1, 2, ... of one array, downhill: the new param, m and v, all of one shape.

    m and v are running averages of grad and of grad^2, the past weighing 0.9 and 0.999; they start
    at zero.
    """
    raise NotImplementedError


check("own.adam", adam)

# %% [markdown]
# The loop takes its batches from outside, images and noise together, so that another model can have the same.
# `batches` makes them: in each epoch a new order, new bits, new noise.

# %%
together.go_on("adam")


# %% tags=["blank"]
def train(params, batches, lr):
    """Climb the mean objective, with beta = 1: a step of adam for each of the batches (x, eps).

    Returns new params; those that were given stay as they are.
    """
    raise NotImplementedError


check("own.train", train)


# %%
def batches(grey, size, n_z, epochs, rng):
    """Pairs of x (B, D), bits, and eps (B, Z), for so many passes over grey (N, D)."""
    for _ in range(epochs):
        order = rng.permutation(len(grey))  # (N,)
        for start in range(0, len(grey), size):
            rows = grey[order[start : start + size]]  # (B, D)
            x = (rng.random(rows.shape) < rows).astype(float)  # (B, D)
            yield x, rng.standard_normal((len(rows), n_z))


together.go_on("train")

# %% [markdown]
# *Write down a guess:* with the step size $\eta = 0.003$, how far does one weight move in the first step, if its
# gradient is 100? If it is 0.01?

# %%
guess = None  # two numbers

# %% tags=["answer"]
lr = 0.003
first = list(batches(grey_train[:100], 100, Z, 1, np.random.default_rng(3)))  # one batch
moved = train(params, first, lr)
grads = backward(np.full(100, -1 / 100), params, forward(params, *first[0], 1.0), 1.0)
steps = np.concatenate([(moved[name] - params[name]).ravel() for name in params])
slopes = np.concatenate([grads[name].ravel() for name in params])
plain = np.abs(slopes) > 1e-5
print(f"gradients from {np.abs(slopes[plain]).min():.0e} to {np.abs(slopes[plain]).max():.0e}")
print(f"moves from {np.abs(steps[plain]).min():.6f} to {np.abs(steps[plain]).max():.6f}")
dark = ~first[0][0].any(axis=0)  # (D,)  pixels that no image of the batch has lit
print(f"gradients that are 0: {(slopes == 0).mean():.0%}; your guess: {guess}")

assert np.allclose(steps[plain], -lr * np.sign(slopes[plain]), rtol=2e-3, atol=0)
# spoil: steps = steps * 1.01
assert (steps[slopes == 0] == 0).all()
# spoil: steps = steps + lr
assert (grads["encoder.0.W"][dark] == 0).all()
# spoil: dark = ~dark
assert (slopes == 0).sum() == dark.sum() * H
# spoil: dark = dark[::2]

# %% [markdown]
# At $t = 1$ the corrected averages are $g$ and $g^2$, and their quotient $g / \sqrt{g^2}$ is a sign: the size of the
# gradient cancels, as long as it is large beside $10^{-8}$. What stays are the weights behind pixels that no image of
# the batch has lit: their gradient is 0.
#
# ## Train it
#
# The last bias starts at the logits of the mean image, clipped to between 1 % and 99 %. Six epochs take some seconds.
# First the number that says how good it is, on images that it has not seen.


# %% tags=["blank"]
def evaluate(params, x, eps):
    """The mean ELBO of N images, and its standard error: x (N, D), eps (N, Z) -> two numbers."""
    raise NotImplementedError


check("own.evaluate", evaluate)

# %% [markdown]
# *Write down a guess:* coins score $-543$. Which ELBO has your model before training, when only the last bias knows
# the mean image? And after?

# %%
before, after = None, None  # nats

# %% tags=["answer"]
together.go_on("evaluate")
often = np.clip(grey_train.mean(axis=0), 0.01, 0.99)  # (D,)  how often a pixel is lit
start = {**params, "logits.b": np.log(often / (1 - often))}
all_batches = list(batches(grey_train, 100, Z, 6, np.random.default_rng(4)))
trained = train(start, all_batches, lr)

elbo_start, error_start = evaluate(start, x_test, eps_test)
elbo, error = evaluate(trained, x_test, eps_test)
cache = forward(trained, x_test, eps_test, 1.0)
print(f"before: {elbo_start:.1f} ± {error_start:.1f};  after: {elbo:.1f} ± {error:.1f} nats")
print(f"after: nll {cache['nll'].mean():.1f}, kl {cache['kl'].mean():.1f} nats")
print("your guesses:", before, after)
print(together)

assert -260 < elbo_start < -200
# spoil: elbo_start = evaluate(params, x_test, eps_test)[0]
assert elbo > -150
# spoil: elbo = elbo_start
assert 8 < cache["kl"].mean() < 25
# spoil: cache['kl'] = 0 * cache['kl']

# %% [markdown]
# ### The same by the course's model
#
# *Before you run the cell:* the course's model starts from the same weights and sees the same images in the same order,
# with the same noise. After 240 steps, in which digit does its ELBO differ from yours?

# %% tags=["answer"]
course = VAE(n_x=D, n_hidden=(H,), n_z=Z, activation="tanh", rng=rng, dtype="float64")
for name, p in course.params.items():
    p[...] = start[name]
optimizer = Adam(lr=lr)
for x, eps in all_batches:
    _, c = course.objective(x, eps)
    optimizer.step(course.params, course.backward(np.full(len(x), -1 / len(x)), c))

elbo_course = course.objective(x_test, eps_test)[0].elbo.mean()
print(f"yours {elbo:.12f}, the course's {elbo_course:.12f}")

assert len(all_batches) == 240
# spoil: all_batches = all_batches[1:]
assert abs(elbo - elbo_course) < 1e-6
# spoil: elbo_course = course.objective(x_test, eps_test[::-1])[0].elbo.mean()

# %% [markdown]
# Two programs agree after 240 steps but for rounding. Rounding is not the same on every machine, and not for every way
# to write a sum; so the cell asks for a millionth of a nat, and not for the same bits.
#
# ## Pictures
#
# Generation takes two draws: a code from the prior, then the bits. And a sheet to put them on.


# %% tags=["blank"]
def sample(params, z, u):
    """Pictures from codes: the probability of a lit pixel, and bits, 1 where u is below it.

    z (B, Z), u (B, D) uniform between 0 and 1 -> x_mean (B, D), x_sample (B, D).
    """
    raise NotImplementedError


check("own.sample", sample)


# %% tags=["blank"]
def sheet(x, rows, columns, side):
    """Square pictures side by side, a row of them full before the next, as one large picture.

    x (rows columns, side^2) -> (rows side, columns side)
    """
    raise NotImplementedError


check("own.sheet", sheet)

# %% [markdown]
# *Write down a guess:* of the pixels of held-out images, 12 % are lit. Of those of your draws: fewer, as many, or more?

# %%
guess = None  # "fewer", "as many" or "more"

# %% tags=["answer"]
together.go_on("sample", "sheet")
rng = np.random.default_rng(5)
x_mean, x_sample = sample(trained, rng.standard_normal((2000, Z)), rng.random((2000, D)))
fig, axes = panels(3, height=2.6)
titles = ("means", "draws, same codes", "held-out images, as bits")
for ax, title, x in zip(axes, titles, (x_mean, x_sample, x_test), strict=True):
    ax.imshow(sheet(x[:25], 5, 5, 28), cmap="gray", vmin=0, vmax=1)
    ax.set_title(title)
    ax.axis("off")
show(
    fig,
    "Three sheets of 25 pictures. The means: soft strokes, of which some read as a 0, 3, 6"
    " or 9 and others as no digit. The draws: the same shapes, grainy. The images: clean thin strokes.",
)

_, again = sample(trained, cache["z"], rng.random((2000, D)))  # from the images' own codes
moved = rng.standard_normal((2000, Z)) + cache["z"].mean(axis=0)  # (2000, Z)  by their mean
_, nearer = sample(trained, moved, rng.random((2000, D)))
lit = [pictures.mean() for pictures in (x_test, x_sample, again, nearer)]
print("lit: images {:.3f}, draws {:.3f}, from the images' own codes {:.3f}".format(*lit))
print(f"from the prior's codes, moved by the mean of those: {lit[3]:.3f}")
print("your guess:", guess)

assert round(100 * lit[0]) == 12
# spoil: lit[0] = x_sample.mean()
assert lit[1] > 1.1 * lit[0]
# spoil: lit[1] = again.mean()
assert abs(lit[2] / lit[0] - 1) < 0.1
# spoil: lit[2] = x_sample.mean()
assert round(100 * grey_train.mean()) == 13 < 100 * lit[1]
# spoil: lit[1] = again.mean()
assert lit[3] < lit[0]
# spoil: lit[3] = x_sample.mean()

# %% [markdown]
# More ink, here, and more than the 13 % of the images that it learned from. The decoder is not at fault: from the
# images' own codes it draws the right amount within a tenth. But codes from the prior are not distributed as those of
# all images together: that was page 12. Here it is the mean: that of the images' codes is not 0, and with the prior's
# moved there, the surplus is gone.
#
# ## Whose model is it?

# %%
together.go_on(*together.running)
print(together)
progress("own")

# %% [markdown]
# When both lines say 21, every function from the first weights to the pictures is yours; `load_data`, `batches`, the
# checks and the frame of the figure are not. If a line above was the course's, write it, and run the page from there.
#
# ## Recap
#
# 1. **Order.** Layers, halves, terms, objective; the way back; the optimizer. Each is right before the next needs it.
# 2. **Cache.** The way back reads what the way forth has left, and draws no noise of its own.
# 3. **Two paths.** `dnll` and `dkl` carry the minus, `dkl` alone $\beta$; at `mu` and `logvar` their gradients add.
# 4. **Evidence.** Each part alone; the whole by differences; the whole beside an independent program. A curve that
#    rises shows that something is climbed, not what.
# 5. **Size.** About 80 lines below 21 `def`s hold it all.
#
# ## On your own
#
# 1. Replace tanh by relu. Which functions change? What may `check_gradients` now say of kinks?
# 2. Give each half a second hidden layer. Write the layers in a list and a loop before you write them twice.
# 3. Write the Gaussian likelihood of page 10 in place of the Bernoulli: two functions, and a draw for `sample`. Which
#    constant may you not leave out if you want to compare ELBOs?
# 4. Leave out the bias at the mean image. How many more steps does the model need for the same ELBO?
# 5. *A small project.* Train yours on your own images, and write down for another reader what must be said so that your
#    number can be repeated.
#
# ## Further reading
#
# - [The whole model, derived line by line](derivations/07_vae_backward.ipynb), and
#   [the library's own](../scratchvae/vae.py), which you can now read.
# - Diederik Kingma and Max Welling, *Auto-Encoding Variational Bayes* (2014), arXiv 1312.6114. Read it again.
#
# [Back: the bug museum](15_the_bug_museum.ipynb) · [Contents](README.md)
