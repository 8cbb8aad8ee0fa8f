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
# # 15 · The bug museum
#
# A VAE can train, its curve rise, its pictures look fine, and its code be wrong. Here you predict which check sees
# which bug, and then see.
#
# **What you will do**
# - guess by their curves which of three programs is right;
# - write three checks, and mend a line;
# - predict what eight bugs from public code set off.
#
# **What you will learn**
# - what each check compares with what, and so what it cannot see;
# - at which points a check is blind;
# - why no check replaces another.
#
# **What you need**
# - pages 06 to 09. About 35 minutes with the blanks. It runs in fifteen seconds.

# %%
from importlib.util import find_spec

if find_spec("scratchvae") is None:
    raise SystemExit(
        "This page needs scratchvae; in the README's folder: pip install -r requirements.txt"
    )

import json
from math import erfc
from pathlib import Path

import numpy as np

from scratchvae import VAE, Adam, fit, load_data
from scratchvae.batches import binarised
from scratchvae.checks import check_evidence, check_sampler
from scratchvae.exercises import check, hint, progress, solution, use  # noqa: F401
from scratchvae.gaussian import kl_to_standard_normal, kl_to_standard_normal_backward
from scratchvae.gaussian import reparameterize, reparameterize_backward
from scratchvae.museum import SPECIMENS, examine, seen_by
from scratchvae.museum.source import comparison
from scratchvae.vae import ObjectiveCache, Terms
from scratchvae.view.notebook import panels, show

# %% [markdown]
# ## The curve that looks best
#
# This is the VAE of pages 09 and 10, but the draw, the KL and their backwards can be exchanged.


# %%
class Parts(VAE):
    """The library's VAE with parts that a subclass can exchange."""

    draw, draw_backward = staticmethod(reparameterize), staticmethod(reparameterize_backward)
    kl = staticmethod(kl_to_standard_normal)
    kl_backward = staticmethod(kl_to_standard_normal_backward)

    def objective(self, x, eps, beta=1.0):
        mu, logvar, of_encode = self.encode(x)  # (B, Z) each
        z, of_draw = self.draw(mu, logvar, eps)  # (B, Z)
        logits, of_decode = self.decode(z)  # (B, D)
        nll, of_nll = self.likelihood.nll(x, logits)  # (B,)
        kl, of_kl = self.kl(mu, logvar)  # (B,)
        cache = ObjectiveCache(len(x), beta, of_encode, of_draw, of_decode, of_nll, of_kl)
        return Terms(nll, kl, -nll - kl, -nll - beta * kl), cache

    def backward(self, w, cache, trace=None):
        dlogits = self.likelihood.nll_backward(-w, cache.nll)  # (B, D)
        dz, decoder = self.decode_backward(dlogits, cache.decode)  # (B, Z)
        through_z = self.draw_backward(dz, cache.reparameterize)  # dmu, dlogvar
        from_kl = self.kl_backward(-cache.beta * w, cache.kl)  # dmu, dlogvar
        dmu, dlogvar = (a + b for a, b in zip(through_z, from_kl, strict=True))  # (B, Z)
        return {**self.encode_backward(dmu, dlogvar, cache.encode), **decoder}


# %% [markdown]
# Two bugs, each of which has stood in public code. One averages the KL over the latents, as in
# [a Keras example](https://github.com/keras-team/keras-io/issues/270). The other draws with a
# standard deviation of $e^{v}$, $v$ the log-variance, as in
# [numpy-ml](https://github.com/ddbourgin/numpy-ml/blob/master/numpy_ml/neural_nets/models/vae.py); each backward is the
# derivative of its wrong forward.


# %%
class MeanKL(Parts):
    """The KL is a mean over the latents."""

    @staticmethod
    def kl(mu, logvar):
        kl, cache = kl_to_standard_normal(mu, logvar)
        return kl / mu.shape[1], cache  # right: kl, cache

    @staticmethod
    def kl_backward(dkl, cache):
        return kl_to_standard_normal_backward(dkl / cache[0].shape[1], cache)  # right: dkl


class VarianceDraw(Parts):
    """The draw takes the variance for the standard deviation."""

    @staticmethod
    def draw(mu, logvar, eps):
        sigma = np.exp(logvar)  # right: np.exp(0.5 * logvar)
        return mu + sigma * eps, (sigma, eps)

    @staticmethod
    def draw_backward(dz, cache):
        sigma, eps = cache
        return dz, dz * sigma * eps  # right: 0.5 * dz * sigma * eps


# %% [markdown]
# Three programs, the right one and these two in some order, start from the same weights and see the same images with
# the same noise. What they report of held-out images:

# %%
data = load_data("mnist-sample")
x_train, held_out = data.x_train[:2000], data.x_test[:500]  # (N, D), (M, D)
bits = binarised(held_out, "dynamic", np.random.default_rng(9)).astype("float32")  # (M, D)
order = np.random.default_rng(2).permutation(3)
programs = {
    name: (Parts, MeanKL, VarianceDraw)[i] for name, i in zip("ABC", order, strict=True)
}
models, curves = {}, {}
for name, program in programs.items():
    rng = np.random.default_rng(0)
    models[name] = program(784, n_hidden=(100,), n_z=10, rng=rng)
    how = {"epochs": 8, "optimizer": Adam(lr=2e-3), "rng": rng, "progress": False}
    curves[name] = fit(models[name], x_train, bits, **how)["test_elbo"]  # 8 numbers

fig, ax = panels(height=2.8, xlabel="epoch", ylabel="reported ELBO, nats")
for name, color in zip(curves, ("#0072B2", "#D55E00", "#009E73"), strict=True):
    ax.plot(range(1, 9), curves[name], "o-", color=color)
    ax.text(8.1, curves[name][-1], name, va="center", color=color)
show(
    fig,
    "Reported ELBO of three programs over eight epochs: three rising curves. At the end C is the"
    " highest, then A, then B close below it.",
)

# %% [markdown]
# *Before you go on:* which is right?

# %%
guess = None  # "A", "B" or "C"

# %% [markdown]
# The right code can be asked about anybody's weights: `VAE.objective` is the library's own. The same images, the same
# ten draws of $\epsilon$ for each:

# %% tags=["answer"]
noise = np.random.default_rng(1).standard_normal((10, 500, 10)).astype("float32")  # (10, M, Z)
reported, bound = {}, {}
for name, program in programs.items():
    model = models[name]
    reported[name] = np.mean([model.objective(bits, eps)[0].elbo for eps in noise])
    bound[name] = np.mean([VAE.objective(model, bits, eps)[0].elbo for eps in noise])
    print(f"{name} {program.__name__:12} reports {reported[name]:.1f}, is {bound[name]:.1f}")
(right,) = (name for name, program in programs.items() if program is Parts)
print("your guess:", guess)

assert all(np.diff(curve).min() > 0 for curve in curves.values())  # all three rise
# spoil: curves['A'][3] = -300
assert curves["C"][-1] > curves["A"][-1] > curves["B"][-1]  # as in the figure
# spoil: curves['A'][-1] = -100
assert reported[right] == min(reported.values())
# spoil: reported[right] += 30
assert bound[right] == max(bound.values())
# spoil: bound[right] -= 30

# %% [markdown]
# The right program reports the least, and has the best bound. No shape is wrong, nothing diverges, and whoever compares
# reported numbers would keep the bug. A VAE is its own referee, so it needs others.
#
# ## Calculus: does the backward belong to the forward?
#
# Page 08 moved one number at a time. Cheaper: move all at once, along a random direction $u$. Write the slope that is
# measured and the slope that the gradient claims. Stuck? `hint("museum.slopes")`.


# %% tags=["blank"]
def both_slopes(f, gradient, x, u, h):
    """The slope of f at x along u: by a central difference of step h, and as the gradient claims it.

    f takes an array like x to a number; gradient, x and u (A, B).
    """
    raise NotImplementedError


check("museum.slopes", both_slopes)

# %% [markdown]
# A forward with many outputs becomes one number by a random upstream gradient $\text{dy}$. Here are five pairs of a
# forward and its backward, as functions of one input. In the first the mask of the relu is asked of its output, as in
# [NumPy's tutorial](https://numpy.org/numpy-tutorials/content/tutorial-deep-learning-on-mnist.html). *Write down a
# guess:* in which of the five do the two slopes differ?

# %%
guess = None  # a list of names, such as ["relu", "variance draw"]

# %%
mu, eps = np.random.default_rng(1).standard_normal((2, 4, 3))  # (B, Z) each


def tutorial_relu(x):
    y = np.maximum(x, 0)
    return y, y >= 0  # right: y, x > 0


PAIRS = {
    "relu": (tutorial_relu, lambda dy, mask: dy * mask),
    "no half": (
        lambda v: reparameterize(mu, v, eps),
        lambda dz, cache: 2 * reparameterize_backward(dz, cache)[1],  # right: without the 2
    ),
    "variance draw": (
        lambda v: VarianceDraw.draw(mu, v, eps),
        lambda dz, c: VarianceDraw.draw_backward(dz, c)[1],
    ),
    "mean KL": (lambda v: MeanKL.kl(mu, v), lambda dkl, c: MeanKL.kl_backward(dkl, c)[1]),
    "right draw": (
        lambda v: reparameterize(mu, v, eps),
        lambda dz, c: reparameterize_backward(dz, c)[1],
    ),
}

# %% tags=["answer"]
slopes_of = use("museum.slopes", both_slopes)


def mismatch(forward, backward, seed):
    """How far the slopes are apart, for a random x, dy and u, in units of the gradient's length."""
    rng = np.random.default_rng(seed)
    x, u = rng.standard_normal((2, 4, 3))  # (B, Z) each
    y, cache = forward(x)
    dy = rng.standard_normal(y.shape)
    gradient = backward(dy.copy(), cache)  # (B, Z)
    measured, claimed = slopes_of(lambda x: (dy * forward(x)[0]).sum(), gradient, x, u, 1e-5)
    return abs(measured - claimed) / np.linalg.norm(gradient)


off = {name: [mismatch(*pair, seed) for seed in range(20)] for name, pair in PAIRS.items()}
for name, errors in off.items():
    print(f"{name:13} between {min(errors):.1e} and {max(errors):.1e} in 20 trials")
print("your guess:", guess)

assert min(off["relu"] + off["no half"]) > 1e-6
# spoil: off['relu'][3] = 1e-9
assert max(off["variance draw"] + off["mean KL"] + off["right draw"]) < 1e-8
# spoil: off['mean KL'][3] = 1e-7

# %% [markdown]
# Two of four bugs. A difference is taken of the forward *that is there*. If that computes the wrong thing and the
# backward is its derivative, they agree, as well as rounding lets them. What $z$ should be distributed as, nobody has
# told this check.
#
# ## Probability: is it drawn as claimed?
#
# If $z \sim \mathcal{N}(\mu, \sigma^2)$, then $u = (z - \mu)/\sigma$ has the mean 0, and $u^2$ the mean 1. Means of $K$
# draws miss that by chance; the standard error says how much by. In its units every test has the same limit: with
# thousands of draws, a right sampler comes beyond 5 about once in a million times.


# %% tags=["blank"]
def moments(z, mu, sigma):
    """Are these K draws from N(mu, sigma^2)? Then u = (z - mu) / sigma has the mean 0, and u^2 has the mean 1.

    z (K,) -> how many standard errors the mean of u and that of u^2 are off; the variance of u is 1, of u^2 it is 2.
    """
    raise NotImplementedError


check("museum.moments", moments)

# %% [markdown]
# *Write down a guess:* for which log-variance does the variance draw pass, however many draws there are?

# %%
guess = None  # a number between -2 and 2

# %% tags=["answer"]
moments_of, K, levels = use("museum.moments", moments), 10_000, (-2, -1, -0.1, 0, 0.1, 1, 2)
worst = {}
for name, draw in {"right draw": Parts.draw, "variance draw": VarianceDraw.draw}.items():
    for v in levels:
        tests = []
        for seed in range(20):
            eps_k = np.random.default_rng(seed).standard_normal(K)  # (K,)
            z, _ = draw(np.full(K, 0.7), np.full(K, float(v)), eps_k)  # (K,)
            tests.append(moments_of(z, 0.7, np.exp(0.5 * v)))
        worst[name, v] = np.abs(tests).max(axis=1)  # (20,)
        low, high = worst[name, v].min(), worst[name, v].max()
        print(f"{name}, logvar {v:+4}: off by {low:5.1f} to {high:5.1f} standard errors")
print("your guess:", guess)

by_chance = 2 * erfc(5 / np.sqrt(2))  # two numbers, each nearly normal for so many draws
assert 0.5e-6 < by_chance < 2e-6
# spoil: by_chance = 1e-5
assert all(worst["right draw", v].max() < 5 for v in levels)
# spoil: worst['right draw', 1][3] = 6
assert worst["variance draw", 0].max() < 5
# spoil: worst['variance draw', 0] = worst['variance draw', 1]
assert all(worst["variance draw", v].min() > 5 for v in (-2, -1, 1, 2))
# spoil: worst['variance draw', 1][3] = 1

# %% [markdown]
# At 0, where $\sigma$, $\sigma^2$ and 1 are the same number, and where a test with zeros looks: **a special
# point hides mistakes**.
#
# ## Probability: does the bound bound?
#
# Page 06 had an identity, $\log p(x) = \mathrm{ELBO} + \mathrm{KL}(q \,\Vert\, p(z \mid x))$, for every $q$ and every
# model. With one or two latents all of it can be added up on a grid. What is left over if the code's own number is put
# in the place of the ELBO?


# %% tags=["blank"]
def residual(log_joint, log_q, step, reported):
    """log p(x) - reported - KL(q || p(z|x)), on a grid of that step: (G,), (G,), a number, a number -> a number.

    log_joint is log p(x, z). The residual is 0 if what is reported is the ELBO.
    """
    raise NotImplementedError


check("museum.identity", residual)

# %% [markdown]
# On a plane a step is an area. The code reports one draw's number for each $\epsilon$; we take its mean over the grid,
# too, weighted by $\epsilon$'s density. The joint is written afresh here, from what the decoder is said to mean.


# %%
def log_normal(z, mu, logvar):
    """log N(z; mu, exp(logvar)), added up over the latents: (G, Z) -> (G,)."""
    return -0.5 * ((z - mu) ** 2 / np.exp(logvar) + logvar + np.log(2 * np.pi)).sum(axis=1)


def left_over(model, x):
    """The residual for one x (1, D), in nats."""
    line, width = np.linspace(-12, 12, 121, retstep=True)  # (121,)
    z = np.stack(np.meshgrid(*[line] * model.n_z), axis=-1).reshape(-1, model.n_z)  # (G, Z)
    step, prior = width**model.n_z, log_normal(z, 0, np.zeros(model.n_z))  # (G,)
    mu, logvar, _ = model.encode(x)  # (1, Z) each
    logits, _ = model.decode(z)  # (G, D)
    log_joint = (x * logits - np.logaddexp(0, logits)).sum(axis=1) + prior  # (G,)
    terms, _ = model.objective(np.repeat(x, len(z), axis=0), z)  # z in the part of eps
    reported = (np.exp(prior) * terms.elbo).sum() * step
    return residual_of(log_joint, log_normal(z, mu, logvar), step, reported)


# %% [markdown]
# Two more bugs. `AtMu` reports the bound at $z = \mu$, as
# [an author of the VAE paper](https://github.com/pytorch/examples/pull/419) found in an example; `NoHalf` has the
# backward without its half. The models have random weights: bad models, and is bad wrong? *Write down a guess:* of
# these, the first two bugs, and `Parts`, which is right, whose residual is not 0?

# %%
guess = None  # a list of names, of Parts, NoHalf, MeanKL, VarianceDraw, AtMu


# %%
class AtMu(Parts):
    """The bound is taken at z = mu."""

    def objective(self, x, eps, beta=1.0):
        return super().objective(x, 0 * eps, beta)  # right: eps


class NoHalf(Parts):
    """dlogvar of the draw is twice too large."""

    @staticmethod
    def draw_backward(dz, cache):
        dmu, dlogvar = reparameterize_backward(dz, cache)
        return dmu, 2 * dlogvar  # right: dlogvar


def small(program, seed, n_z=2):
    """A model with random weights and biases, and an image of five bits, (1, D)."""
    rng = np.random.default_rng(seed)
    model = program(5, (5,), n_z, "tanh", rng=rng, dtype="float64")
    for p in model.params.values():
        p += 0.2 * rng.standard_normal(p.shape)
    model.params["logvar.b"] -= 1  # q lies well inside the grid
    return model, rng.integers(0, 2, (1, 5)).astype(float)


# %% tags=["answer"]
residual_of = use("museum.identity", residual)
left = {}
for program in (Parts, NoHalf, MeanKL, VarianceDraw, AtMu):
    name = program.__name__
    left[name] = np.array([left_over(*small(program, seed)) for seed in range(10)])  # (10,)
    low, high = np.abs(left[name]).min(), np.abs(left[name]).max()
    print(f"{name:12} between {low:.1e} and {high:.1e} nats in 10 models")
left["one latent"] = np.array([left_over(*small(MeanKL, seed, n_z=1)) for seed in range(10)])
print(f"MeanKL with one latent: at most {np.abs(left['one latent']).max():.1e}")
print("your guess:", guess)

assert max(np.abs(left[name]).max() for name in ("Parts", "NoHalf")) < 1e-6
# spoil: left['NoHalf'][3] = 1e-3
assert min(np.abs(left[name]).min() for name in ("MeanKL", "VarianceDraw", "AtMu")) > 1e-4
# spoil: left['AtMu'][3] = 0
assert np.abs(left["one latent"]).max() < 1e-6
# spoil: left['one latent'] = left['MeanKL']
assert left["MeanKL"].max() < 0  # it reports more than the ELBO, from every model
# spoil: left['MeanKL'][3] = 0.1

# %% [markdown]
# The identity holds for bad models, so a residual is no matter of training. It sees what the *forward* claims, and
# never calls a backward: without its half the gradient is wrong, and the bound is not. And with one latent a mean is a
# sum: one more special point.
#
# ## Aliasing: whose array is it?
#
# A relu as in [a well-known book's code](https://github.com/oreilly-japan/deep-learning-from-scratch) writes into the
# gradient that it is given. In a plain chain nobody minds. Here is a block with a path past the relu,
# $y = x + \mathrm{relu}(x)$, which still needs $\text{dy}$ afterwards. *Write down a guess:* let every entry of
# $\text{dy}$ be 1. What does the block return where $x < 0$, and what should it?

# %%
returned, wanted = None, None  # numbers


# %%
def relu_backward(dy, positive):
    dy[~positive] = 0  # right: dy = dy * positive
    return dy


def careless_backward(dy, positive):
    through = relu_backward(dy, positive)
    return dy + through


def relu(x):
    return np.maximum(x, 0), x > 0


def block(x):
    y, positive = relu(x)
    return x + y, positive


def writes(backward, seed):
    """Whether a backward writes into the dy that it is given."""
    rng = np.random.default_rng(seed)
    dy, positive = rng.standard_normal((4, 3)), rng.random((4, 3)) < 0.5  # (B, H) each
    dy.flags.writeable = False
    try:
        backward(dy, positive)
    except ValueError:  # assignment destination is read-only
        return True
    return False


# %% tags=["answer"]
at_minus, at_plus = careless_backward(np.ones(2), np.array([False, True]))
slopes = [(block(x + 1e-6)[0] - block(x - 1e-6)[0]) / 2e-6 for x in (-0.5, 0.5)]
print(f"dy = 1 comes back as {at_minus:g} where x < 0, as {at_plus:g} where x > 0;")
print(f"differences of the block: {slopes[0]:.6f} and {slopes[1]:.6f}")
alone = max(mismatch(relu, relu_backward, seed) for seed in range(20))
inside = min(mismatch(block, careless_backward, seed) for seed in range(20))
print(f"differences: the relu alone at most {alone:.1e}, the block at least {inside:.1e}")
written = {seed: writes(relu_backward, seed) for seed in range(20)}
print(f"read-only: the relu is caught in {sum(written.values())} of 20 trials")
print("your guess:", returned, wanted)

assert (at_minus, at_plus) == (0, 2)
# spoil: at_minus = 1
assert np.allclose(slopes, (1, 2))
# spoil: slopes[0] = 0
assert alone < 1e-8
# spoil: alone = inside
assert inside > 1e-6
# spoil: inside = alone
assert all(written.values())
# spoil: written[3] = False

# %% [markdown]
# As a part the relu is right, by every difference. Only what it does to somebody else's array is wrong, and that shows
# at once if the array is made read-only. Mend the block.


# %% tags=["blank"]
def block_backward(dy, positive):
    """The gradient of y = x + relu(x): dy (B, H), and where x > 0, (B, H) of booleans -> dx (B, H)."""
    raise NotImplementedError


check("museum.mend", block_backward)

# %% tags=["answer"]
mended = use("museum.mend", block_backward)
worst_mended = max(mismatch(block, mended, seed) for seed in range(20))
still_writes = [writes(mended, seed) for seed in range(20)]
print(f"differences at most {worst_mended:.1e}; writes in {sum(still_writes)} of 20 trials")

assert worst_mended < 1e-8
# spoil: worst_mended = inside
assert not any(still_writes)
# spoil: still_writes[3] = True

# %% [markdown]
# ## Predict, then see
#
# The [museum](../docs/museum.md) holds 93 bugs, each beside its right line. Here are eight, all from public code:
# [1](https://github.com/ddbourgin/numpy-ml/blob/master/numpy_ml/neural_nets/models/vae.py),
# [2](https://github.com/HIPS/autograd/pull/266),
# [3](https://numpy.org/numpy-tutorials/content/tutorial-deep-learning-on-mnist.html),
# [4](https://github.com/oreilly-japan/deep-learning-from-scratch/blob/master/common/layers.py),
# [5](https://github.com/jax-ml/jax/blob/main/examples/mnist_vae.py),
# [6](https://github.com/keras-team/keras/issues/3373),
# [7](https://github.com/pytorch/examples/pull/419),
# [8](https://github.com/danielkurniadi/Numpy-Variational-Autoencoder). The wrong lines have a minus, the right ones a
# plus.

# %%
EIGHT = {
    1: ("variance_for_standard_deviation", "the draw, and its backward"),
    2: ("prior_with_log_std_one", "the KL: log sigma of the prior; the backward knows of it"),
    3: ("relu_slope_from_its_output", "a relu: y, and where the backward lets dy through"),
    4: ("relu_writes_into_the_gradient", "the backward of a relu"),
    5: ("pictures_of_softplus", "the mean of a Bernoulli, which pictures show"),
    6: ("nll_averaged_over_pixels", "the nll of a Bernoulli, and its backward"),
    7: ("mean_for_the_draw", "the objective"),
    8: ("adam_without_memory", "a step of Adam"),
}
BUGS = {specimen.name: specimen for specimen in SPECIMENS}
for number, (name, place) in EIGHT.items():
    print(f"{number} {place}")
    for line in comparison(BUGS[name].bug).splitlines():
        if line.startswith(("-", "+")):
            print("   ", line.split("  # ")[0])

# %% [markdown]
# The library's checks ask what yours asked, and more:
#
# | word | asks | by |
# |---|---|---|
# | differences | is the backward the derivative of the forward? | `check_vjp`, `check_gradients` |
# | read-only | is anything written that belongs to the caller? | all of these |
# | sampler | is the draw what $\mu$ and logvar claim? | `check_sampler` |
# | evidence | is the bound the ELBO? | `check_evidence` |
# | likelihood | does $e^{-\text{nll}}$ add up to 1? are mean and draws those of its density? | `check_likelihood` |
# | optimizer | step by step, is it what another computes? | `check_optimizer` |
#
# For the evidence a draw, a KL, an nll and an objective become part of a whole VAE; a relu and Adam are asked alone.
# *Write down your guesses:* for each bug the words that turn red.

# %%
guess = {1: None, 2: None, 3: None, 4: None, 5: None, 6: None, 7: None, 8: None}
# such as {1: "differences sampler", ...}

# %% tags=["answer"]
CHECKS = ("differences", "read-only", "sampler", "evidence", "likelihood", "optimizer")


def red(name):
    """Which of the checks that apply see a bug of the museum; the shapes are looked at as well."""
    return seen_by(examine(BUGS[name].broken, BUGS[name].correct))


def score(guesses):
    """How many of the eight are foreseen exactly."""
    words = {number: set((guesses[number] or "").split()) for number in EIGHT}
    return sum(words[number] == seen[name] for number, (name, _) in EIGHT.items())


seen = {name: red(name) for name, _ in EIGHT.values()}
for number, (name, _) in EIGHT.items():
    print(number, f"{' '.join(sorted(seen[name])):20} your guess: {guess[number]}")
usual = dict.fromkeys(EIGHT, "differences")
print(f"right: {score(guess)} of 8; of who says differences every time: {score(usual)}")

assert all(seen.values())
# spoil: seen['adam_without_memory'] = set()
assert score(usual) == 1
# spoil: usual[5] = 'likelihood'
assert [n for n, (name, _) in EIGHT.items() if "differences" in seen[name]] == [3]
# spoil: seen['prior_with_log_std_one'].add('differences')
assert seen["pictures_of_softplus"] == {"likelihood"}
# spoil: seen['pictures_of_softplus'] = {'likelihood', 'evidence'}
assert len(SPECIMENS) == 93
# spoil: SPECIMENS = SPECIMENS[1:]
assert {check for checks in seen.values() for check in checks} == set(CHECKS)
# spoil: seen['adam_without_memory'] = {'evidence'}

# %% [markdown]
# The reasons: in 1, 2, 6 and 7 the forward is wrong, and the backward is its derivative. In 3 the backward is
# wrong, in 4 it is right and writes. In 5 the bound is right and so is training; the pictures are not, and only the
# check that asks for the mean sees it. In 8 there is no derivative and no density: only steps.
#
# ## Twelve bugs, and what saw them
#
# Four more: `MeanKL`, half of $\sigma$ in the draw, other noise in its backward, and $\text{dKL}/\text{d}\mu = -\mu$.
# And three columns: do two calls agree (repeat), do the shapes, and does the curve rise, in
# [a VAE trained from eight seeds](../results/museum.md)? *Write down a guess:* how many of the twelve does the curve
# give away, and how many report a *better* ELBO than the right code?

# %%
given_away, flattered = None, None  # numbers of twelve

# %% tags=["answer"]
root = next(f for f in (Path.cwd(), *Path.cwd().parents) if (f / "results").is_dir())
runs = json.loads((root / "results/museum.json").read_text())["values"]
columns = ("shapes", "curve", "differences", "repeat", *CHECKS[1:])
table = {}
for name in list(runs)[1:]:
    table[name] = seen.get(name) or red(name)
    if any(run["reported"] < run["curve"][0] for run in runs[name]):
        table[name] = table[name] | {"curve"}
print(" " * 33, *(f"{column[:6]:6}" for column in columns))
for name, found in table.items():
    print(f"{name:33}", *(f"{'●' if column in found else '·':6}" for column in columns))
caught = {column: sum(column in found for found in table.values()) for column in columns}
print(f"{'caught of 12':33}", *(f"{caught[column]:<6}" for column in columns))

assert runs["pictures_of_softplus"] == runs["right"]  # it trains as the right code does
# spoil: runs['pictures_of_softplus'] = runs['mean_for_the_draw']
assert runs["relu_writes_into_the_gradient"] == runs["right"]  # a plain chain does not mind
# spoil: runs['relu_writes_into_the_gradient'] = runs['mean_for_the_draw']
assert caught["shapes"] == 0
# spoil: caught['shapes'] = 1
assert caught["curve"] == 1
# spoil: caught['curve'] = 2
assert all(found - {"curve"} for found in table.values())  # together the checks see all
# spoil: table['adam_without_memory'] = {'curve'}
needed = {c for c in columns if any(found - {"curve"} == {c} for found in table.values())}
assert needed == set(columns) - {"shapes", "curve", "sampler"}
# spoil: needed.remove('repeat')

# %% [markdown]
# Leave out any of six checks, and a bug goes unseen. Of the rest the shapes see nothing, and the curve one that others
# see. And the sampler? What it sees here the evidence sees, too. Is it needed? Here is a draw that uses one row of
# noise for the whole batch.

# %%
guess = None  # "sampler", "evidence", "both" or "neither"


# %% tags=["answer"]
class OneNoise(Parts):
    """All rows of a batch share their noise."""

    @staticmethod
    def draw(mu, logvar, eps):
        return reparameterize(mu, logvar, np.broadcast_to(eps[:1], eps.shape))  # right: eps


means, logvars = np.random.default_rng(2).standard_normal((2, 4, 20))  # (B, Z) each
images = np.random.default_rng(3).integers(0, 2, (4, 5)).astype(float)  # (B, D)
by_sampler = check_sampler(OneNoise.draw, means, logvars)
by_evidence = check_evidence(small(OneNoise, 3, n_z=1)[0], images)
print(by_sampler.findings[0].message)
print("evidence:", by_evidence.state)
print("your guess:", guess)

assert not by_sampler.ok
# spoil: by_sampler = by_evidence
assert by_evidence.ok
# spoil: by_evidence = by_sampler

# %% [markdown]
# Each row alone is drawn rightly, so each bound is right; only together they are wrong. And the evidence needs a grid,
# for one latent or two; the sampler was just asked with twenty.
#
# Now the numbers that were reported, less those of the right code, seed by seed, beside the bound of the same weights:

# %% tags=["answer"]
better = []
for name in list(runs)[1:]:
    less = {}
    for key in ("reported", "bound"):
        one, other = ([run[key] for run in runs[kind]] for kind in (name, "right"))  # 8 each
        differences = np.subtract(one, other)  # (8,)
        less[key] = differences.mean(), differences.std(ddof=1) / np.sqrt(8)
    if less["reported"][0] > 5 * less["reported"][1] and less["reported"][0] > 0:
        better.append(name)
        cells = (f"{mean:+6.1f} ± {error:.1f}" for mean, error in less.values())
        print(f"{name:33} reported {next(cells)}, bound {next(cells)}")
        assert less["bound"][0] < -5 * less["bound"][1]
        # spoil: less['bound'] = less['reported']
print("your guesses:", given_away, flattered)

assert len(better) == 6
# spoil: better.pop()
assert not any(table[name] & {"differences", "repeat", "read-only"} for name in better)
# spoil: better.append('relu_slope_from_its_output')
assert all("evidence" in table[name] for name in better)
# spoil: better.append('adam_without_memory')

# %% [markdown]
# Half of them look better than the right code, and the true bound of each is worse. The gradient checks see none
# of the six: they are bugs of probability. A better number is a reason to check.

# %%
progress("museum")

# %% [markdown]
# ## Recap
#
# 1. **Calculus.** Differences compare a backward with its own forward. A wrong forward with its own derivative passes.
# 2. **Probability.** The sampler's moments, and the identity, compare what the code does with what it claims.
# 3. **Aliasing.** Right as a part, wrong in company: hand in arrays that cannot be written to.
# 4. **Special points.** At logvar 0, with one latent, in a chain without forks, some bugs do not show. Test elsewhere.
# 5. **The number.** A curve that rises proves little, and a better number nothing.
#
# ## On your own
#
# 1. In `residual`, show that $\log p(x)$ drops out. What is compared with what, then?
# 2. Draw with $1.01\,\sigma$. From how many draws on does `moments` see it? And the identity?
# 3. Call `OneNoise.draw` many times on four rows. Why does `moments` see nothing in the draws of one row? Write a
#    number that does.
# 4. Which checks should see $\text{dKL}/\text{d}\mu = -\mu$, and which a KL without its $-1$? Look into the museum.
# 5. *A small project.* Run all of these checks on a VAE of yours, or from the web.
#
# ## Further reading
#
# - [The museum](../docs/museum.md), with the origin of every bug; [how the checks think](../docs/checks.md).
# - John Geweke, *Getting It Right* (2004), on tests of samplers.
# - Roger Grosse and David Duvenaud, *Testing MCMC Code* (2014), arXiv 1412.5218.
#
# [Back: the same code on a GPU](14_the_same_code_on_a_gpu.ipynb) · [Contents](README.md) ·
# [Next: write your own](16_write_your_own.ipynb)
