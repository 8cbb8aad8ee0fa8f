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
# # 07 · The reparameterization trick
#
# The ELBO holds an expectation over $z$, and $z$ is drawn at random. To train the encoder we need the gradient of that
# expectation. On this page you write two estimators of it, and measure both against the exact gradient.
#
# **What you will do**
# - draw the same curve three ways: exact, with fresh noise, with noise that is kept;
# - write the score function's estimator and the pathwise one, and predict which of them scatters more;
# - find a function for which the other one wins, and one for which the trick is wrong.
#
# **What you will learn**
# - that the expectation is differentiable although a draw is random;
# - what each estimator needs, and what makes it scatter;
# - that eps is drawn afresh for each pass and is a constant within it.
#
# **What you need**
# - page 06, and the chain rule. About 35 minutes with the blanks. It runs in a few seconds.

# %%
from importlib.util import find_spec

if find_spec("scratchvae") is None:
    raise SystemExit(
        "This page needs scratchvae; in the README's folder: pip install -r requirements.txt"
    )

import numpy as np

from scratchvae import VAE, reparameterize
from scratchvae.checks import check_gradients, check_sampler
from scratchvae.exercises import check, hint, progress, solution, use  # noqa: F401
from scratchvae.view.notebook import panels, show

BLUE, VERMILLION, BLACK = "#0072B2", "#D55E00", "#000000"

# %% [markdown]
# ## An expectation is a smooth function
#
# Let $z$ be one number, drawn from a normal distribution $q$ with mean $\mu$ and standard deviation $\sigma$, and let
# $f$ be a smooth function of one number. We want the derivatives of
#
# $$F(\mu, \sigma) = \mathbb{E}_{z \sim \mathcal{N}(\mu, \sigma^2)}[f(z)] = \int q(z)\, f(z)\, dz .$$
#
# A draw from $q$ can be made from a draw $\epsilon$ of the **standard** normal distribution,
# $z = \mu + \sigma\, \epsilon$: a shifted and scaled normal number is normal, with the mean $\mu + \sigma \cdot 0$
# and the variance $\sigma^2 \cdot 1$. So $F$ can be estimated from $K$ numbers $\epsilon_k$. Write the estimate.


# %% tags=["blank"]
def average(f, mu, sigma, eps):
    """The mean of f over the draws from N(mu, sigma^2) that these eps from N(0, 1) make: eps is (K,)."""
    raise NotImplementedError


check("reparameterization.average", average)

# %% [markdown]
# If you are stuck, `hint("reparameterization.average")` in a cell of its own asks a question; a third hint is nearly
# the code. Whatever value your function returns, the cells below it run.
#
# We take $f(z) = z^2 + \sin z$, for which $F$ is known. $\mathbb{E}[z^2] = \mu^2 + \sigma^2$. For the sine write
# $\sin(\mu + \sigma\epsilon) = \sin\mu \cos(\sigma\epsilon) + \cos\mu \sin(\sigma\epsilon)$. The second term is odd in
# $\epsilon$ and has the mean 0; the mean of $\cos(\sigma\epsilon)$ is $e^{-\sigma^2/2}$, a known integral. So
#
# $$F = \mu^2 + \sigma^2 + \sin(\mu)\, e^{-\sigma^2/2}, \qquad
#   \frac{\partial F}{\partial \mu} = 2\mu + \cos(\mu)\, e^{-\sigma^2/2}, \qquad
#   \frac{\partial F}{\partial \sigma} = 2\sigma - \sigma \sin(\mu)\, e^{-\sigma^2/2}.$$
#
# These are the **true values** of this page.

# %%
mu, sigma = 0.4, 0.8


def f(z):
    return z**2 + np.sin(z)


def df(z):
    """The derivative of f."""
    return 2 * z + np.cos(z)


def expectation(mu, sigma):
    """F(mu, sigma), in closed form."""
    return mu**2 + sigma**2 + np.sin(mu) * np.exp(-(sigma**2) / 2)


true_dmu = 2 * mu + np.cos(mu) * np.exp(-(sigma**2) / 2)
true_dsigma = 2 * sigma - sigma * np.sin(mu) * np.exp(-(sigma**2) / 2)

h = 1e-5  # central differences of the closed form, as a second route
by_mu = (expectation(mu + h, sigma) - expectation(mu - h, sigma)) / (2 * h)
by_sigma = (expectation(mu, sigma + h) - expectation(mu, sigma - h)) / (2 * h)
grid, step = np.linspace(mu - 12 * sigma, mu + 12 * sigma, 4001, retstep=True)  # (4001,)
q = np.exp(-0.5 * ((grid - mu) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))  # (4001,)
integral = (q * f(grid)).sum() * step
print(f"F = {integral:.6f}, dF/dmu = {true_dmu:.6f}, dF/dsigma = {true_dsigma:.6f}")

assert np.isclose(integral, expectation(mu, sigma), rtol=1e-10)
# spoil: integral += 1e-6
assert np.isclose(true_dmu, by_mu, rtol=1e-8)
# spoil: true_dmu = 2 * mu + np.cos(mu)
assert np.isclose(true_dsigma, by_sigma, rtol=1e-8)
# spoil: true_dsigma = 2 * sigma

# %% [markdown]
# > **Often said.** "Sampling is random, so one cannot differentiate through it."
# >
# > **What is true.** A draw is not a function of $\mu$ and $\sigma$ alone, but the expectation is, and it is
# > differentiable. And once the noise is *kept*, even the average of a few draws is a smooth function of $\mu$.
# >
# > **Run this cell.** It plots $F$ against $\mu$ three ways: in closed form, as the average over 20 draws that are
# > fresh for each $\mu$, and as the average over the same 20 $\epsilon$ for all $\mu$. *Before you look:* which of
# > the last two is nearer to $F$? Which has a slope?

# %% tags=["claim-10", "answer"]
rng = np.random.default_rng(0)
mus = np.linspace(-1.5, 1.5, 121)  # (121,)
mean_of = use("reparameterization.average", average)
fresh = np.array([mean_of(f, m, sigma, rng.standard_normal(20)) for m in mus])
same = rng.standard_normal(20)
kept = np.array([mean_of(f, m, sigma, same) for m in mus])
smooth = expectation(mus, sigma)

fig, ax = panels(height=2.8, xlabel=r"$\mu$", ylabel=r"$F(\mu, \sigma)$")
ax.set_title("Twenty draws for each point")
ax.plot(mus, fresh, ".", color=VERMILLION, markersize=4, label="fresh eps for each point")
ax.plot(mus, kept, color=BLUE, label="the same eps for all points")
ax.plot(mus, smooth, "--", color=BLACK, linewidth=1, label="expectation, closed form")
ax.legend(frameon=False)
show(
    fig,
    "Over mu: scattered points, averages with fresh noise; a smooth curve, the average with the"
    " same noise; and the expectation, a dashed curve that runs close to it.",
)

bend = {
    name: np.abs(np.diff(y, 2)).mean()
    for name, y in zip("fks", (fresh, kept, smooth), strict=True)
}
print("mean second difference: fresh {f:.5f}, kept {k:.5f}, exact {s:.5f}".format(**bend))
print(f"mean distance from F:   fresh {np.abs(fresh - smooth).mean():.2f}", end="")
print(f", kept {np.abs(kept - smooth).mean():.2f}")

assert bend["f"] > 100 * bend["s"]
# spoil: bend["f"] = bend["k"]
assert np.isclose(bend["k"], bend["s"], rtol=0.1)
# spoil: bend["k"] = bend["f"]

# %% [markdown]
# The curve with kept noise is off as well: 20 draws are few. But it *is a curve*, and its slope is a mean of slopes.
# That is the whole trick.
#
# ## First estimator: the path
#
# With $z = \mu + \sigma\epsilon$ the expectation is one over $\epsilon$, whose distribution knows nothing of $\mu$
# and $\sigma$: $F(\mu, \sigma) = \mathbb{E}_\epsilon[f(\mu + \sigma\epsilon)]$. If $f$ is continuous and has a slope
# almost everywhere (and neither grows too fast), the derivative may go under the expectation, and the chain rule does
# the rest. Write what each draw contributes to the two means; `df_of_z` holds $f'(z_k)$.


# %% tags=["blank"]
def path_estimate(df_of_z, eps):
    """What each draw says about dF/dmu and dF/dsigma along its path: (K,), (K,) -> (K,), (K,)."""
    raise NotImplementedError


check("reparameterization.path", path_estimate)

# %% [markdown]
# This is the **reparameterization trick**; the estimator is called **pathwise**, since the derivative follows the path
# from $\mu$ and $\sigma$ through $z$ to $f$.
#
# ## Second estimator: the score function
#
# There is another way, without any derivative of $f$. Move the derivative under the integral, where only $q$ depends on
# $\mu$, then multiply and divide by $q$:
#
# $$\frac{\partial F}{\partial \mu} = \int \frac{\partial q(z)}{\partial \mu} f(z)\, dz
#   = \int q(z)\, \frac{1}{q(z)} \frac{\partial q(z)}{\partial \mu} f(z)\, dz
#   = \mathbb{E}_q\!\left[ f(z)\, \frac{\partial \log q(z)}{\partial \mu} \right].$$
#
# $\partial \log q / \partial \mu$ is called the **score**. Here
# $\log q(z) = -\tfrac12 ((z - \mu)/\sigma)^2 - \log \sigma$ and a constant. Now $z$ is a point that stays where it
# is, and $\mu$ and $\sigma$ move.


# %% tags=["blank"]
def score(z, mu, sigma):
    """d log q(z) / d mu and d log q(z) / d sigma, q = N(mu, sigma^2): z (K,) -> (K,), (K,)."""
    raise NotImplementedError


check("reparameterization.score", score)


# %% tags=["blank"]
def score_estimate(f_of_z, dlogq_dmu, dlogq_dsigma):
    """What each draw says about dF/dmu and dF/dsigma by the score function: (K,) each -> (K,), (K,)."""
    raise NotImplementedError


check("reparameterization.score_estimate", score_estimate)

# %% [markdown]
# Both have the true value as their mean. *Write down a guess before you run the next cells:* by which factor is the
# variance of a draw of the score function's estimator for $\mu$ larger (or smaller, below 1) than that of the path's?

# %%
guess = None  # a number

# %% tags=["answer"]
n = 200_000
eps = np.random.default_rng(1).standard_normal(n)  # (n,)
z = mu + sigma * eps  # (n,)
slope_of_log_q = use("reparameterization.score", score)(z, mu, sigma)  # (n,), (n,)
by_score_of = use("reparameterization.score_estimate", score_estimate)
by_path_of = use("reparameterization.path", path_estimate)


def by_both(f_of_z, df_of_z):
    """What each draw says about dF/dmu and dF/dsigma, by both estimators; (n,) each."""
    return {
        "score function": by_score_of(f_of_z, *slope_of_log_q),
        "pathwise": by_path_of(df_of_z, eps),
    }


estimators = by_both(f(z), df(z))
off = []
for name, draws in estimators.items():
    for parameter, values, true in zip(
        ("mu", "sigma"), draws, (true_dmu, true_dsigma), strict=True
    ):
        error = values.std() / np.sqrt(n)
        off.append(abs(values.mean() - true) / error)
        print(
            f"{name:15} dF/d{parameter:5} {values.mean():.4f} ± {error:.4f}"
            f"   true value {true:.4f}   variance of one draw {values.var():6.2f}"
        )
ratio = estimators["score function"][0].var() / estimators["pathwise"][0].var()
print(f"ratio of the variances for mu: {ratio:.1f}; your guess: {guess}")

assert max(off) < 5  # standard errors
# spoil: off[0] = 6
assert 6 < ratio < 8
# spoil: ratio = 1 / ratio

# %% [markdown]
# ## What makes them scatter
#
# The score function multiplies a noisy factor by all of $f$, whatever its level. The path uses the slope $f'$, which
# does not see the level. *Before you run the cell:* which of the two suffers when 100 is added to $f$? And which when
# $f$ wiggles, as $\sin 5z$ does? The last row is a jump, $f(z) = 1$ for $z > 0$ and 0 elsewhere, whose slope is 0
# wherever it has one.

# %% tags=["answer"]
cases = {  # name: f, its slope, the true dF/dmu
    "z^2 + sin z": (f(z), df(z), true_dmu),
    "the same + 100": (f(z) + 100, df(z), true_dmu),
    "sin 5z": (np.sin(5 * z), 5 * np.cos(5 * z), 5 * np.cos(5 * mu) * np.exp(-12.5 * sigma**2)),
    "a jump at 0": ((z > 0) * 1.0, 0 * z, q[np.abs(grid).argmin()]),
}
means, variances = {}, {}
print(
    f"{'f':15} {'true dF/dmu':>12} {'score: mean':>14} {'variance':>9} {'path: mean':>13} {'variance':>9}"
)
for name, (values, slopes, true) in cases.items():
    both = [draws[0] for draws in by_both(values, slopes).values()]  # (n,), (n,)
    means[name], variances[name] = [v.mean() for v in both], [v.var() for v in both]
    print(
        f"{name:15} {true:12.3f} {means[name][0]:14.3f} {variances[name][0]:9.2f}"
        f" {means[name][1]:13.3f} {variances[name][1]:9.2f}"
    )

assert variances["the same + 100"][0] > 100 * variances["z^2 + sin z"][0]
# spoil: variances["the same + 100"] = variances["z^2 + sin z"]
assert variances["the same + 100"][1] == variances["z^2 + sin z"][1]
# spoil: variances["the same + 100"] = [0, variances["the same + 100"][0]]
assert variances["sin 5z"][0] < variances["sin 5z"][1] / 10  # here the score wins
# spoil: variances["sin 5z"].reverse()
assert abs(means["a jump at 0"][0] - cases["a jump at 0"][2]) < 0.01
# spoil: means["a jump at 0"].reverse()
assert means["a jump at 0"][1] == 0  # and here the path is wrong
# spoil: means["a jump at 0"].reverse()

# %% [markdown]
# So the path is no law: it wins where $f$ is smooth on the scale of $\sigma$, as a decoder's log-likelihood usually
# is. At a jump it is not noisy but *wrong*: all of the change of $F$ comes from draws that cross the jump, and no
# slope tells of them. A kink as in relu does no harm, since there the function itself does not jump.
#
# ## Back to the VAE
#
# In a VAE the function is $-\text{nll}$, many latents are drawn at once, and what is wanted is the gradient at $\mu$
# and $\log\sigma^2$. *Before you run the cell:* one example, one latent. By which factor do the variances differ
# here?

# %% tags=["answer"]
rng = np.random.default_rng(4)
vae = VAE(6, (8,), 1, "tanh", rng=rng, dtype="float64")
for p in vae.params.values():
    p += 0.5 * rng.standard_normal(p.shape)
x = (rng.random((1, 6)) < 0.5) * 1.0  # (1, D)
draws = 20_000
many_eps = rng.standard_normal((draws, 1))  # (K, 1)
trace = {}
terms, cache = vae.objective(np.repeat(x, draws, axis=0), many_eps)
_ = vae.backward(np.ones(draws), cache, trace=trace)
_, logvar, _ = vae.encode(x)
by_path = trace["dmu_z"][:, 0]  # (K,)
by_score = -terms.nll * many_eps[:, 0] / np.exp(logvar[0, 0] / 2)  # (K,)
error = np.sqrt((by_path.var() + by_score.var()) / draws)
print(
    f"gradient at mu, by the path  {by_path.mean():+.4f}, variance of a draw {by_path.var():.4f}"
)
print(
    f"gradient at mu, by the score {by_score.mean():+.4f}, variance of a draw {by_score.var():.4f}"
)
print(f"ratio of the variances: {by_score.var() / by_path.var():.0f}")
print(
    f"nll of the draws: {terms.nll.mean():.2f} ± {terms.nll.std():.2f} nats (standard deviation)"
)
centred = by_score * (
    1 - terms.nll.mean() / terms.nll
)  # (K,)  the mean nll subtracted from nll
print(f"ratio with the mean of nll subtracted: {centred.var() / by_path.var():.0f}")

assert abs(by_path.mean() - by_score.mean()) < 5 * error
# spoil: by_score = 2 * by_score
assert by_score.var() > 100 * by_path.var()
# spoil: by_score = by_path
assert centred.var() < by_score.var() / 10
# spoil: centred = by_score

# %% [markdown]
# Here the level of $f$ does most of the harm: nll is several nats, and changes little with $z$. Subtracting a constant
# from it changes no mean, since the score has the mean 0, and helps a good deal.
#
# ## In the library: mu, logvar and eps
#
# An encoder returns any real numbers, and a standard deviation must be positive. So it returns the logarithm of the
# **variance**, `logvar` $= \log \sigma^2$, and $\sigma = \sqrt{e^{\,\text{logvar}}} = e^{\,\text{logvar}/2}$. The
# factor $\tfrac12$ is where many programs go wrong. `mu`, `logvar` and `eps` have the shape $(B, Z)$, a row for each
# of $B$ examples and a column for each of $Z$ latents, and every entry is on its own: the covariance of $q$ is
# diagonal.
#
# > **Often said.** `std = exp(logvar)`. It stands in the code of several well-known examples, and their gradient
# > checks pass: the backward pass is consistent with the wrong forward pass.
# >
# > **What is true.** `exp(logvar)` is the variance. A sampler that uses it as a standard deviation draws from another
# > distribution than the one that the KL term talks about. Differences cannot see that. Moments can.
# >
# > **Run this cell.** The checker compares draws with the distribution that the KL assumes. At which $\sigma$ could
# > even moments not see it?


# %% tags=["stumble-02", "claim-13"]
def wrong_sampler(mu, logvar, eps):
    """The slip: a variance where a standard deviation belongs."""
    return mu + np.exp(logvar) * eps


mean, logvar = np.array([[0.5, -1.0]]), np.array([[1.0, -1.0]])  # (1, 2), (1, 2)
good = check_sampler(reparameterize, mean, logvar, rng=np.random.default_rng(3))
bad = check_sampler(wrong_sampler, mean, logvar, rng=np.random.default_rng(3))
print(good)
print(bad)

assert good.ok
# spoil: good = bad
assert not bad.ok
# spoil: bad = good

# %% [markdown]
# ## What becomes of eps
#
# > **Often said.** "Epsilon is fixed." Or: "epsilon is random, so the pass is random."
# >
# > **What is true.** Its *distribution* is fixed, for good. Its *value* is drawn afresh before each pass, and within
# > that pass, forward and backward, it is a constant like the data.
# >
# > **Run this cell.** The same eps gives the same gradient; a fresh one gives another. The average over many settles,
# > on the gradient of an average that was computed by Gauss-Hermite quadrature over $\epsilon$, without any draw.

# %% tags=["claim-12"]
eps_1, eps_2 = vae.draw_eps(1, rng), vae.draw_eps(1, rng)


def gradients(eps, weights):
    """The gradient of sum_k weights_k ELBO_k with respect to the weights of mu's head; eps (K, 1)."""
    _, cache = vae.objective(np.repeat(x, len(eps), axis=0), eps)
    return vae.backward(weights, cache)["mu.W"]  # (H, 1)


one = np.ones(1)
nodes, node_weights = np.polynomial.hermite_e.hermegauss(40)  # (40,) each
exact = gradients(nodes[:, None], node_weights / node_weights.sum())  # (H, 1)
many = np.array([gradients(vae.draw_eps(1, rng), one) for _ in range(2000)])  # (2000, H, 1)
error = many.std(axis=0) / np.sqrt(2000)
repeated = gradients(eps_1, one)
print("same eps, same gradient: ", np.array_equal(gradients(eps_1, one), repeated))
print("fresh eps, same gradient:", np.array_equal(gradients(eps_2, one), repeated))
print("largest |mean of 2,000 - exact|, in standard errors:", end=" ")
print(f"{(np.abs(many.mean(axis=0) - exact) / error).max():.1f}")

assert np.array_equal(gradients(eps_1, one), repeated)
# spoil: eps_1 = eps_2
assert not np.array_equal(gradients(eps_2, one), repeated)
# spoil: eps_2 = eps_1
assert (np.abs(many.mean(axis=0) - exact) < 5 * error).all()
# spoil: exact = gradients(np.zeros((1, 1)), one)

# %% [markdown]
# ### What goes wrong when it is drawn twice
#
# Suppose that the backward pass draws noise of its own, in place of the one that made $z$. Then `dlogvar` holds
# another eps, which is independent of `dz` and has mean zero. *What is left, on average, of the path through
# $\sigma$?* We measure it where the true value is known, and then hand a VAE with that bug to the checker.


# %% tags=["answer"]
class DrawsAgain(VAE):
    """A VAE whose backward does not use the eps of its forward."""

    own = np.random.default_rng(6)

    def backward(self, dobjective, cache, trace=None):
        sigma, eps = cache.reparameterize
        another = self.draw_eps(len(eps), self.own)
        return super().backward(
            dobjective, cache._replace(reparameterize=(sigma, another)), trace
        )


other_eps = np.random.default_rng(5).standard_normal(n)  # (n,)
right, wrong = df(z) * eps, df(z) * other_eps  # (n,), (n,)
for name, values in (("the eps of the forward pass", right), ("another eps", wrong)):
    print(f"dF/dsigma with {name:28} {values.mean():+.4f} ± {values.std() / np.sqrt(n):.4f}")
print(f"true value {true_dsigma:+.4f}")

broken = DrawsAgain(6, (8,), 2, "tanh", rng=np.random.default_rng(7), dtype="float64")
report = check_gradients(broken, np.random.default_rng(8).random((4, 6)))
print("the checker:", report.findings[0].message)

assert abs(right.mean() - true_dsigma) < 5 * right.std() / np.sqrt(n)
# spoil: right = wrong
assert abs(wrong.mean()) < 5 * wrong.std() / np.sqrt(n)  # nothing but noise around zero
# spoil: wrong = right
assert [finding.cause for finding in report.findings] == ["noise-redrawn"]
# spoil: report = check_gradients(vae, x)

# %% [markdown]
# The encoder's uncertainty is then trained by the KL alone, and the loss still falls.
#
# ## Your progress

# %%
progress("reparameterization")

# %% [markdown]
# ## Recap
#
# 1. **Definition.** $z = \mu + \sigma \epsilon$ with $\sigma = e^{\text{logvar}/2}$ and
#    $\epsilon \sim \mathcal{N}(0, I)$.
# 2. **Two estimators.** Score function: the mean of $f$ times a slope of $\log q$. Pathwise: the mean of $f'$ times a
#    slope of $z$.
# 3. **What they need.** The score: a density that can be differentiated. The path: an $f$ without jumps, and its slope.
# 4. **Which to use.** The path where $f$ is smooth on the scale of $\sigma$; the score suffers from the level of $f$,
#    the path from wiggles.
# 5. **The noise.** Drawn afresh for each pass, by the caller; the same in forward and backward; never updated.
#
# ## On your own
#
# 1. For $f(z) = z$, what is the variance of one draw of the pathwise estimator for $\mu$? And of the score
#    function's?
# 2. Subtract a constant from $f$ in the score function's estimator. Show that its mean stays. Which constant makes
#    its variance smallest, and how far does it help in the VAE of this page?
# 3. Why does the trick in this form not work for a latent that is 0 or 1? Which of the two estimators does?
# 4. Reparameterize an exponential distribution: find $z = g(\lambda, u)$ with $u$ uniform, and check its moments.
# 5. *A small project.* At which frequency $a$ in $f(z) = \sin az$ do both estimators have the same variance?
#
# ## Further reading
#
# - Diederik Kingma and Max Welling, *Auto-Encoding Variational Bayes* (2014), arXiv 1312.6114, section 2.4.
# - Danilo Rezende, Shakir Mohamed, Daan Wierstra, *Stochastic Backpropagation* (2014), arXiv 1401.4082.
# - Shakir Mohamed and others, *Monte Carlo Gradient Estimation in Machine Learning* (2020), arXiv 1906.10652.
# - [The derivation page](derivations/04_reparameterization.ipynb) on the reparameterization and the score
#   function.
#
# [Back: the ELBO](06_the_elbo.ipynb) · [Contents](README.md) ·
# [Next: backpropagation by hand](08_backpropagation_by_hand.ipynb)
