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
# # 04 · Estimating the evidence
#
# The evidence $p(x)$ is a mean over the prior, so it can be estimated from draws; on this page you do that, find out
# what the draws miss, and learn what a better place to draw from can and cannot mend.
#
# **What you will do**
# - write log-sum-exp, importance weights, and the number of draws that an estimate takes;
# - see where an estimate that is right on average comes out, time after time.
#
# **What you will learn**
# - why every latent that $x$ pins down multiplies the number of draws;
# - which way up an importance weight goes, and on which side a proposal should err;
# - that a good proposal makes the growth slower, and leaves it exponential.
#
# **What you need**
# - page 03, and the variance of a mean. About 35 minutes with the blanks. It runs in some ten seconds.

# %%
from importlib.util import find_spec

if find_spec("scratchvae") is None:
    raise SystemExit(
        "This page needs scratchvae; in the README's folder: pip install -r requirements.txt"
    )

import numpy as np

from scratchvae import load_data
from scratchvae.exercises import check, hint, progress, solution, use  # noqa: F401
from scratchvae.view.notebook import panels, show

BLUE, VERMILLION, GREY = "#0072B2", "#D55E00", "#555555"

# %% [markdown]
# ## A mean over draws
#
# The evidence is the likelihood, averaged over the prior:
#
# $$p(x) = \int p(x \mid z)\, p(z)\, dz = \mathbb{E}_{z \sim p(z)}[\,p(x \mid z)\,] .$$
#
# So draw $z_1, \dots, z_K$ from the prior, and take the mean of the $K$ likelihoods. This is **prior Monte Carlo**. For
# any decoder it is right on average (**unbiased**). Its **standard error**, the root of the mean squared distance
# from $p(x)$, is the standard deviation of one $p(x \mid z)$, divided by $\sqrt K$.
#
# To judge an estimate one needs the truth. We take a model that has it for any number of latents: $Z$ independent
# copies of the measurement of page 02, $x_j = z_j + \text{noise} = 1.2$, with noise of standard deviation 0.5. For
# each, the posterior is $\mathcal{N}(0.96, 0.2)$ and $p(x_j) = \mathcal{N}(1.2; 0, 1.25)$; everything multiplies over
# $j$.
#
# *Write down a guess:* how many draws give $p(x)$ to 10 % with one latent? And with 20?

# %%
guess = None  # for example (100, 2000)


def log_normal(value, mean, variance):
    """log N(value; mean, variance), entry by entry."""
    return -0.5 * ((value - mean) ** 2 / variance + np.log(2 * np.pi * variance))


def true_log_px(Z):
    """log p(x) of Z copies, in closed form."""
    return Z * log_normal(1.2, 0, 1.25)


def log_likelihood(z):
    """log p(x|z): (..., Z) -> (...)."""
    return log_normal(1.2, z, 0.25).sum(axis=-1)


K = 10_000
for Z in (1, 2, 4):
    w = np.exp(log_likelihood(np.random.default_rng(0).standard_normal((K, Z))))  # (K,)
    ratio, error = np.array([w.mean(), w.std() / np.sqrt(K)]) / np.exp(true_log_px(Z))
    print(f"Z = {Z}: estimate / true value {ratio:.3f} ± {error:.3f}")
    assert abs(ratio - 1) < 5 * error
    # spoil: ratio = 1 + 6 * error

# %% [markdown]
# ## In logarithms
#
# The likelihood of an image is a product over its pixels. It can be so small that the computer rounds it to 0, and
# $\log 0 = -\infty$. So write $a_k = \log p(x \mid z_k)$, and look for a way to $\log \frac1K \sum_k e^{a_k}$ on
# which no $e^{a_k}$ is ever formed. What can be taken out of a sum of exponentials, before it is too late? The answer
# is known as **log-sum-exp**.


# %% tags=["blank"]
def log_mean_exp(a):
    """log of the mean over the K draws of e^a, for numbers a of any size: (K, R) -> (R,)."""
    raise NotImplementedError


check("estimating.log_mean_exp", log_mean_exp)

# %% [markdown]
# > **Where people stumble.** "Why subtract the maximum? The formula works without."
# >
# > **Run this cell.** One digit, and the same with each pixel drawn as four; a decoder that nobody has trained, with
# > one latent, so that a grid has the true value. *Before that:* where does the plain formula fail, in single precision
# > (float32) and in double?

# %%
log_mean = use("estimating.log_mean_exp", log_mean_exp)
digit = (load_data("mnist-sample").x_test[0] > 127).reshape(28, 28)
images = {784: digit, 3136: digit.repeat(2, axis=0).repeat(2, axis=1)}  # by the pixels, D


def log_bits(z, W, x):
    """log p(x|z): pixel d is lit with the probability sigmoid(z W_d); (K,) -> (K,)."""
    logits = z[:, None] * W  # (K, D)
    return (logits * x - np.log1p(np.exp(logits))).sum(axis=1)


# %% tags=["stumble-10", "answer"]
K, plain = 2000, {}
grid, step = np.linspace(-8, 8, 1001, retstep=True)  # (1001,)
for D, image in images.items():
    rng = np.random.default_rng(5)
    W, z = 0.1 * rng.standard_normal(D), rng.standard_normal(K)  # (D,), (K,)
    on_grid = log_bits(grid, W, image.ravel()) + log_normal(grid, 0, 1)  # (1001,)
    true = np.logaddexp.reduce(on_grid) + np.log(step)
    a = log_bits(z, W, image.ravel())  # (K,)
    scatter = np.std(np.exp(a - true)) / np.sqrt(K)
    for dtype in ("float32", "float64"):
        with np.errstate(divide="ignore", under="ignore"):
            plain[D, dtype] = np.log(np.exp(a.astype(dtype)).mean())
        safe = log_mean(a[:, None].astype(dtype))[0]
        print(
            f"{D:4} pixels, {dtype}: plain {plain[D, dtype]:9.3f}, log-sum-exp {safe:9.3f}",
            end="",
        )
        print(f", true {true:.3f}")
        assert abs(np.expm1(safe - true)) < 5 * scatter + 1e-3
        # spoil: safe += 1

assert list(np.isfinite(list(plain.values()))) == [False, True, False, False]
# spoil: plain[3136, 'float64'] = 0.0

# %% [markdown]
# The largest $a_k$ comes out: $m + \log \frac1K \sum_k e^{a_k - m}$ with $m = \max_k a_k$. No exponent is above 0, and
# one is 0, so the sum is at least 1.
#
# ## What a latent costs
#
# How much do the draws scatter? Write $q$ for the density that they come from, here the prior, and $w$ for what is
# averaged, here $p(x \mid z)$. Divide the variance by $p(x)^2$, to have it without units. This is the
# **relative variance**:
#
# $$\begin{aligned}
# \frac{\mathrm{Var}_q[w]}{p(x)^2} &= \mathbb{E}_q\!\left[ \left( \frac{w}{p(x)} \right)^{\!2} \right] - 1
#   && \text{mean square minus squared mean} \\
#   &= \mathbb{E}_q\!\left[ \left( \frac{p(z \mid x)}{q(z)} \right)^{\!2} \right] - 1
#   && \text{Bayes' rule: } p(x \mid z) / p(x) = p(z \mid x) / p(z) \\
#   &= \int \frac{p(z \mid x)^2}{q(z)}\, dz - 1 && \text{a mean under } q.
# \end{aligned}$$
#
# The integral is the **second moment** of $w / p(x)$. It is 1 where $q$ is the posterior, and large where the posterior
# is much narrower than $q$, or lies where $q$ seldom draws. Write it for one latent, as a sum over a grid.


# %% tags=["blank"]
def second_moment(log_posterior, log_q, step):
    """E_q[w^2] / p(x)^2 as a sum over a grid of that step: (G,), (G,), a number -> a number."""
    raise NotImplementedError


check("estimating.second_moment", second_moment)

# %% [markdown]
# With $Z$ independent copies the integral is a product of $Z$ equal **factors**. A relative standard error of, say,
# 0.1 means that the root of the relative variance, over $\sqrt K$, is 0.1. Solve for $K$.


# %% tags=["blank"]
def draws_needed(factor, Z, error):
    """K for a relative standard error, with Z independent latents of that second moment each."""
    raise NotImplementedError


check("estimating.draws", draws_needed)

# %% tags=["answer"]
moment = use("estimating.second_moment", second_moment)
needed = use("estimating.draws", draws_needed)
grid, step = np.linspace(-12, 12, 6001, retstep=True)  # (6001,)
posterior = log_normal(grid, 0.96, 0.2)  # (6001,)  its logarithm
prior_factor = moment(posterior, log_normal(grid, 0, 1), step)
print(f"factor of a latent, with the prior: {prior_factor:.4f}")
more = {}
for Z in (1, 5, 20, 32):
    more[Z] = needed(prior_factor, Z + 1, 0.1) / needed(prior_factor, Z, 0.1)
    print(f"Z = {Z:2}: {needed(prior_factor, Z, 0.1):8.2g} draws for 10 %", end="")
    print(f"; one latent more: times {more[Z]:.2f}")
print("your guess:", guess)

assert more[1] > 3.5
# spoil: more[1] = more[5]
assert np.isclose(more[5], prior_factor, rtol=0.01)
# spoil: more[5] = more[1]
by_hand = np.exp(0.96**2 / (2 - 0.2)) / np.sqrt(0.2 * (2 - 0.2))  # by completing the square
assert np.isclose(prior_factor, by_hand)
# spoil: by_hand *= 1.01
w = np.exp(log_likelihood(np.random.default_rng(1).standard_normal((200_000, 3))))  # (K,)
square = (w / np.exp(true_log_px(3))) ** 2  # (K,)
measured, error = square.mean(), square.std() / np.sqrt(len(w))
print(f"second moment at Z = 3: {prior_factor**3:.1f}, from draws {measured:.1f} ± {error:.1f}")
assert abs(measured - prior_factor**3) < 5 * error < 0.2 * measured
# spoil: measured = 3 * prior_factor

# %% [markdown]
# Every latent that $x$ pins down multiplies the second moment by 2.8 here, and after the first few the draws as well:
# they grow **exponentially** with $Z$.
#
# ## Right on average
#
# *Write down a guess:* 32 latents, 10,000 draws from the prior, done 20 times. How many of the 20 estimates are too
# low? By how much?

# %%
guess = None  # for example (10, "a factor of 2")

# %% tags=["answer"]
K, repeats, sizes = 10_000, 20, (1, 2, 4, 8, 16, 32)
rng, by_prior = np.random.default_rng(4), {}
for Z in sizes:
    a = np.stack([log_likelihood(rng.standard_normal((K, Z))) for _ in range(repeats)], axis=1)
    by_prior[Z] = log_mean(a) - true_log_px(Z)  # (repeats,)  in nats
    w = np.exp(a - true_log_px(Z))  # (K, repeats)  1 on average
    stated = w.std(axis=0) / np.sqrt(K)  # (repeats,)  the standard error as it is computed
    outside = (np.abs(w.mean(axis=0) - 1) > 5 * stated).sum()
    print(
        f"Z = {Z:2}: too low {(by_prior[Z] < 0).sum():2} of 20, median {np.median(by_prior[Z]):7.2f}"
    )
    print(f"        further from the truth than five stated standard errors: {outside:2} of 20")
print("your guess:", guess)
nearest = a.max()  # the best of all draws with 32 latents

assert (by_prior[32] < 0).sum() == 20
# spoil: by_prior[32] = -by_prior[32]
assert -40 < np.median(by_prior[32]) < -10
# spoil: by_prior[32] = by_prior[4]
assert outside > 15  # and the standard error does not say so
# spoil: outside = 0
assert np.abs(by_prior[1]).max() < 0.1
# spoil: by_prior[1] = by_prior[8]

# %% [markdown]
# The stated error comes from the same draws, and misses what they miss. How can a mean be right on average, and too low
# every time? Ask where the evidence comes from. Take the region
# $p(x \mid z) > t$ that holds half of it, which is to say, half of the posterior. How often does the prior draw from
# there?

# %% tags=["answer"]
one_in = {}
for Z in sizes:
    z = 0.96 + np.sqrt(0.2) * np.random.default_rng(6).standard_normal(
        (200_000, Z)
    )  # posterior
    a = log_likelihood(z)  # (200000,)
    inside = a > np.median(a)  # half of the posterior
    # p(z) / p(z|x) = p(x) / p(x|z) turns a share under the posterior into one under the prior
    share = (inside * np.exp(true_log_px(Z) - a)).mean()
    one_in[Z] = 1 / share
    print(f"Z = {Z:2}: half of p(x) comes from one draw in {one_in[Z]:.2g}")
    if Z <= 4:
        counted = log_likelihood(np.random.default_rng(7).standard_normal((200_000, Z)))
        counted = counted > np.median(a)
        error = counted.std() / np.sqrt(200_000)
        assert abs(counted.mean() - share) < 5 * error + 0.01 * share
        # spoil: share = 2 * share

assert 1e9 * K < one_in[32] < 2e9 * K  # a run has K draws
# spoil: one_in[32] = one_in[8]
assert nearest < np.median(a) - 10  # Z = 32: none of the 200,000 draws above is inside
# spoil: nearest = a.max()

# %% [markdown]
# With 32 latents none of our 200,000 draws came near. Once in more than a billion runs of 10,000 draws one
# would, and its weight would be so huge that half of the mean over *all* runs comes from it.
#
# ### The logarithm of a mean, and the mean of logarithms
#
# Few draws, few latents: 4 latents, 50 draws, repeated 10,000 times. Here the mean of all estimates can be seen to be
# right. *Before you run the cell:* is the mean of their *logarithms* $\log p(x)$? Above? Below?

# %%
guess = None  # "equal", "above" or "below"

# %% tags=["answer"]
rng, gaps = np.random.default_rng(8), {}
for K in (50, 500):
    a = log_likelihood(rng.standard_normal((K, 10_000, 4)))  # (K, R)
    logs = log_mean(a) - true_log_px(4)  # (R,)  0 would be right
    ratios = np.exp(logs)  # (R,)  1 would be right
    error = ratios.std() / np.sqrt(10_000)
    error_of_log = logs.std() / np.sqrt(10_000)
    gaps[K] = logs.mean(), error_of_log, -(prior_factor**4 - 1) / (2 * K)
    print(f"{K} draws: mean of estimate / p(x) {ratios.mean():.3f} ± {error:.3f}", end="")
    print(f", too low {(logs < 0).mean():.0%}", end="")
    print(f", mean of the log {logs.mean():.3f} ± {error_of_log:.3f}")
    assert abs(ratios.mean() - 1) < 5 * error
    # spoil: ratios = ratios + 0.2
    assert logs.mean() < -5 * error_of_log
    # spoil: logs = logs - logs.mean()
    assert (logs < 0).mean() > 0.5
    # spoil: logs = -logs
print(f"half of the relative variance, 500 draws: {-gaps[500][2]:.3f}; your guess: {guess}")

assert abs(gaps[500][0] / gaps[500][2] - 1) < 0.25
# spoil: gaps[500] = (gaps[50][0], *gaps[500][1:])

# %% [markdown]
# Below. A logarithm is bent downwards (**Jensen's inequality**): an estimate of half the true value costs 0.69 nats,
# and one that is too high by as much gains 0.41. For small errors the loss is half the relative variance. So the
# *logarithm* of a right estimate is, on average, too small: its mean is a lower bound of $\log p(x)$. Keep that in
# mind: page 06 turns this flaw into the method.
#
# ## Draw from a better place
#
# Draws from the prior miss the posterior. Let $q(z)$ be any density that is positive wherever $p(x \mid z)\, p(z)$ is,
# the **proposal**. Multiply and divide by it:
#
# $$p(x) = \int q(z)\, \frac{p(x \mid z)\, p(z)}{q(z)}\, dz = \mathbb{E}_{z \sim q}[\,w(z)\,], \qquad
#   w(z) = \frac{p(x \mid z)\, p(z)}{q(z)} .$$
#
# $w$ is the **importance weight**. Its mean over draws from $q$ is right on average, for every such $q$; with
# $q = p(z)$ it is prior Monte Carlo. Write its logarithm.


# %% tags=["blank"]
def log_weights(log_likelihood, log_prior, log_q):
    """log w of K draws from q: (K,), and (K, Z) each, an entry for each latent -> (K,)."""
    raise NotImplementedError


check("estimating.log_weights", log_weights)

# %% [markdown]
# > **Where people stumble.** The weights upside down, proposal over joint. A published importance-weighted VAE
# > [weighs its draws by their loss](https://github.com/AntixK/PyTorch-VAE/blob/a6896b9/models/iwae.py#L149), upside
# > down as well.
# >
# > **Run this cell.** One latent, draws from $q = \mathcal{N}(0.5, 1)$, the weights both ways up. *Before that:* which
# > draw has the largest weight, each time?

# %% tags=["stumble-10", "answer"]
log_w_of = use("estimating.log_weights", log_weights)
K = 1_000_000
z = 0.5 + np.random.default_rng(7).standard_normal((K, 1))  # (K, Z)
log_w = log_w_of(log_likelihood(z), log_normal(z, 0, 1), log_normal(z, 0.5, 1))  # (K,)
relative = np.exp(log_w - true_log_px(1))  # (K,)  w / p(x)
error = relative.std() / np.sqrt(K)
print(f"joint over proposal: mean weight / p(x) = {relative.mean():.4f} ± {error:.4f}", end="")
print(f"; largest at z = {z[log_w.argmax(), 0]:.2f}")
for n in (100, 10_000, K):
    print(f"upside down: mean of {n:7} weights {np.exp(-log_w[:n]).mean():8.2g}", end="")
    print(f"; largest at z = {z[:n][log_w[:n].argmin(), 0]:.2f}")

assert abs(relative.mean() - 1) < 5 * error < 0.02
# spoil: relative = 1.1 * relative
assert abs(z[log_w.argmax(), 0] - 1.075) < 0.01  # where joint / proposal is largest
# spoil: log_w = -log_w
farthest = np.abs(z[:, 0] - 1.075).argmax()
assert log_w.argmin() == farthest  # upside down
# spoil: farthest = log_w.argmax()
ten = np.exp(np.sort(-log_w)[-10:])  # of a million
assert ten.sum() > 0.9 * np.exp(-log_w).sum()
# spoil: ten = ten / 2

# %% tags=["answer"]
means = []
for reach in (4, 6, 8):  # q w^-1 = q^2 / joint, integrated from -reach to reach
    t, dt = np.linspace(-reach, reach, 4001, retstep=True)  # (4001,)
    joint = log_normal(1.2, t, 0.25) + log_normal(t, 0, 1)  # (4001,)
    means.append(np.exp(2 * log_normal(t, 0.5, 1) - joint).sum() * dt)
print("upside down, its mean as an integral to 4, 6, 8: ", *(f"{m:.0e}" for m in means))
assert means[2] > 1e4 * means[1] > 1e8 * means[0]
# spoil: means[2] = means[1]

# %% [markdown]
# Upside down the weights have an infinite mean. The average of a sample is a number all the same, and so is its
# standard error, but they estimate nothing: a few draws, those that explain $x$ worst, decide.
#
# ## Which proposal?
#
# In the derivation of the second moment, $w / p(x) = p(z \mid x) / q(z)$ holds for every $q$. So with the posterior
# itself as proposal the weight is $p(x)$ for *every* $z$: one draw would do. That is no free lunch, since the
# posterior needs the evidence. But how good is nearly right? Let $q$ have the posterior's mean and $r$ times its
# variance. *Write down a guess:* which is worse, $r = \frac12$ or $r = 2$?

# %%
guess = None  # 0.5 or 2

# %% tags=["answer"]
tried = np.array([0.51, 0.55, 0.7, 1, 1.5, 2, 5, 10])  # (8,)
wide, step = np.linspace(-60, 60, 60_001, retstep=True)  # a narrow q has a long way to go
log_p = log_normal(wide, 0.96, 0.2)  # (60001,)
factors = np.array(
    [moment(log_p, log_normal(wide, 0.96, 0.2 * r), step) for r in tried]
)  # (8,)
off_by_one = moment(log_p, log_normal(wide, 0.96 + np.sqrt(0.2), 0.4), step)
too_narrow = {0.5: [], 0.45: []}
for reach in (5, 10, 20):
    within = np.abs(wide - 0.96) < reach  # (60001,)
    for r, found in too_narrow.items():
        found.append(moment(log_p[within], log_normal(wide[within], 0.96, 0.2 * r), step))
print("r     ", *(f"{r:8.2f}" for r in tried))
print("factor", *(f"{f:8.4f}" for f in factors))
print(f"r = 2, and the mean one standard deviation off: {off_by_one:.4f}")
for r, found in too_narrow.items():
    print(f"r = {r:.2f}, integrated to 5, 10, 20:", *(f"{f:.1e}" for f in found))
print("your guess:", guess)

assert np.allclose(factors, tried / np.sqrt(2 * tried - 1))  # by completing the square
# spoil: factors = factors * 1.001
assert np.isclose(factors[5], 2 / np.sqrt(3))
# spoil: factors[5] = factors[6]
assert factors[0] > factors[-1]  # hardly more than a half is worse than ten times
# spoil: factors[0] = factors[1]
assert factors.argmin() == 3  # r = 1, the posterior itself
# spoil: factors[3] = factors[2]
assert np.allclose(np.divide(too_narrow[0.5][1:], too_narrow[0.5][:-1]), 2, rtol=0.01)
# spoil: too_narrow[0.5][2] = too_narrow[0.5][1]
near, far, farther = too_narrow[0.45]
assert farther > 1e3 * far > 1e6 * near  # these grow without end
# spoil: farther = far
assert off_by_one > 1.3 * factors[5]
# spoil: off_by_one = factors[5]

# %% [markdown]
# The factor is $r / \sqrt{2r - 1}$. Ten times the posterior's variance costs 2.3 a latent. In the tails the weights
# grow without limit for every $r < 1$; with a half or less their squares grow as fast as $q$ falls, or faster, so
# their variance is infinite. The mean is right, but any error bar computed is too small. So a proposal should err on
# the wide side.
#
# ### Still exponential
#
# With $r = 2$ the factor is $2/\sqrt3 = 1.15$, where the prior has 2.8, and our $q$ even knows the posterior's mean
# exactly. *Write down a guess:* 1,000 draws. Up to how many latents is the median error below 1 nat?

# %%
guess = None  # a number of latents

# %% tags=["answer"]
rng, by_proposal, repeats = np.random.default_rng(9), {}, 40
for Z in (1, 4, 16, 32, 64, 128, 256):
    estimates = []
    for _ in range(repeats):
        z = 0.96 + np.sqrt(0.4) * rng.standard_normal((1000, Z))  # (K, Z)
        log_w = log_w_of(log_likelihood(z), log_normal(z, 0, 1), log_normal(z, 0.96, 0.4))
        estimates.append(log_mean(log_w[:, None])[0] - true_log_px(Z))
    by_proposal[Z] = np.array(estimates)  # (repeats,)  nats
    print(f"Z = {Z:3}: median error {np.median(by_proposal[Z]):6.2f} nats", end="")
    print(f"; draws for 10 %: {needed(2 / np.sqrt(3), Z, 0.1):.1g}")
print("your guess:", guess)

assert np.abs(by_proposal[32]).max() < 1.5  # where the prior was off by tens of nats
# spoil: by_proposal[32] = by_prior[32]
assert -1 < np.median(by_proposal[64]) < -0.2
# spoil: by_proposal[64] = by_proposal[16]
assert -6 < np.median(by_proposal[128]) < -2
# spoil: by_proposal[128] = by_proposal[16]
assert -16 < np.median(by_proposal[256]) < -8
# spoil: by_proposal[256] = by_proposal[16]
further = np.median(by_proposal[128]) / np.median(by_prior[16])
assert 0.4 < further < 2.2  # eight times as many latents, and about as far off
# spoil: further = np.median(by_proposal[128]) / np.median(by_prior[8])
assert 0.3 < np.median(by_proposal[256]) / np.median(by_prior[32]) < 1
# spoil: by_prior[32] = by_prior[16]

# %% tags=["answer"]
fig, axes = panels(
    2, height=3.2, xlabel="number of latents Z", xscale="log", ylim=(-40, 3), xlim=(0.8, 330)
)
for ax, estimates, colour, marker, title in (
    (axes[0], by_prior, VERMILLION, "o", "10,000 draws from the prior"),
    (axes[1], by_proposal, BLUE, "D", "1,000 from near the posterior"),
):
    for Z, error in estimates.items():
        ax.plot([Z] * len(error), error, marker, color=colour, markersize=4, alpha=0.4)
    ax.axhline(0, color="black", linewidth=1)
    ax.set_xticks((1, 4, 16, 64, 256), ("1", "4", "16", "64", "256"))
    ax.minorticks_off()
    ax.set_title(title)
axes[0].set_ylabel("estimate of log p(x)\nminus true value, nats")
show(
    fig,
    "Errors of the estimate against the number of latents, on the same axes. Left, draws from the"
    " prior: near zero up to 8 latents, then sinking steeply, to about -24 nats at 32. Right,"
    " draws from near the posterior: near zero up to 32, sinking to about -12 nats at 256.",
)

# %% [markdown]
# Importance sampling has moved the wall, not taken it down: the right picture is the left one, some ten times further
# out, with a tenth of the draws. Only the posterior itself has the factor 1, since a variance is 0 only if the weight
# is constant.
#
# ## A wish
#
# So a proposal must be close to the posterior, the closer the more latents there are. It has to be a density that one
# can draw from and compute. And our $q$ was made for one $x$: another $x$ has another posterior. The wish is a density
# $q$, for every $x$, that is close to the posterior. What does *close* mean? And can one get there without knowing the
# posterior? [The next page](05_kl_divergence.ipynb) begins with the first question.
#
# ## Your progress

# %%
progress("estimating")

# %% [markdown]
# ## Recap
#
# 1. **Prior Monte Carlo.** The mean of $p(x \mid z)$ over draws from the prior: right on average.
# 2. **Log-sum-exp.** $m + \log \frac1K \sum_k e^{a_k - m}$ with $m = \max_k a_k$: the same number, never $\log 0$.
# 3. **Cost.** The relative variance of a weight is $\int p(z \mid x)^2 / q(z)\, dz - 1$; independent latents multiply,
#    so the draws grow exponentially.
# 4. **Too low.** Rare huge weights make the mean right; the logarithm of an estimate is too small on average.
# 5. **Importance weights.** Joint over proposal. A proposal near the posterior makes the factor of a latent smaller;
#    only the posterior makes it 1. Too narrow, and the variance is infinite.
#
# ## On your own
#
# 1. For which noise is the prior's factor of a latent below 1.1? What does the measurement then say about $z$?
# 2. Derive $r / \sqrt{2r - 1}$ by completing the square.
# 3. For any function $f$, show that $\mathbb{E}_{p(z \mid x)}[f(z)] = \mathbb{E}_q[w f] / \mathbb{E}_q[w]$, and
#    estimate the posterior mean so.
# 4. Show that $\mathbb{E}_{p(z \mid x)}[1 / p(x \mid z)] = 1 / p(x)$. Why is it a bad way to estimate the evidence?
# 5. *A small project.* Take page 03's network, and a $q$ that covers both peaks of point B, as a mixture of two normal
#    densities. How many draws does it take for 1 %, by your formula and by trial?
#
# ## Further reading
#
# - Christopher Bishop, *Pattern Recognition and Machine Learning* (2006), section 11.1.
# - Yuri Burda, Roger Grosse, Ruslan Salakhutdinov, *Importance Weighted Autoencoders* (2016), arXiv 1509.00519.
# - The derivation pages on [the evidence](derivations/01_evidence.ipynb) and on
#   [the importance-weighted bound](derivations/08_importance_weighted_bound.ipynb).
#
# [Back: the intractable evidence](03_the_evidence.ipynb) · [Contents](README.md) ·
# [Next: KL divergence](05_kl_divergence.ipynb)
