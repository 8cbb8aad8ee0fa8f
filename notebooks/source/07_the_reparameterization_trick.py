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
# - see where the other one wins, and where the trick is wrong.
#
# **What you will learn**
# - that the expectation is differentiable although a draw is random;
# - what each estimator needs, and what makes it scatter;
# - that eps is drawn afresh for each pass and is a constant within it.
#
# **What you need**
# - page 06, and the chain rule. About 35 minutes with the blanks. It runs in ten seconds.

# %%
from importlib.util import find_spec

if find_spec("scratchvae") is None:
    raise SystemExit(
        "This page needs scratchvae; in the README's folder: pip install -r requirements.txt"
    )

import numpy as np

from scratchvae import VAE, Adam, fit, load_data, reparameterize
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

h = 1e-5  # slopes of the closed form from its values a step h to either side
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
# > fresh for each $\mu$, and over the same 20 $\epsilon$ for all $\mu$. *Before you look:* which of the last two is
# > nearer to $F$, over many repetitions? Which has a slope?

# %% tags=["claim-10", "answer"]
rng = np.random.default_rng(0)
mus = np.linspace(-1.5, 1.5, 121)  # (121,)
mean_of = use("reparameterization.average", average)


def curves():
    """The average at each mu with fresh noise, and with noise that is kept; and that noise."""
    fresh = np.array([mean_of(f, m, sigma, rng.standard_normal(20)) for m in mus])
    same = rng.standard_normal(20)
    return fresh, np.array([mean_of(f, m, sigma, same) for m in mus]), same


fresh, kept, same = curves()
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

# %% tags=["answer"]
bend = {
    name: np.abs(np.diff(y, 2)).mean()
    for name, y in zip("fks", (fresh, kept, smooth), strict=True)
}
print("mean second difference: fresh {f:.5f}, kept {k:.5f}, exact {s:.5f}".format(**bend))
repeated = np.array([curves()[:2] for _ in range(200)])  # (200, 2, 121)
squares = ((repeated - smooth) ** 2).mean(axis=2)  # (200, 2)
distances = np.sqrt(squares.mean(axis=0))  # (2,)
print("root mean squared distance from F: fresh {:.2f}, kept {:.2f}".format(*distances))
between = squares[:, 1] - squares[:, 0]  # (200,)
mean_slopes = [df(m + sigma * same).mean() for m in mus[1:-1]]

assert bend["f"] > 100 * bend["s"]
# spoil: bend["f"] = bend["k"]
assert np.isclose(bend["k"], bend["s"], rtol=0.2)
# spoil: bend["k"] = bend["f"]
assert abs(between.mean()) < 5 * between.std() / np.sqrt(200)
# spoil: between = between + 1
assert np.allclose((kept[2:] - kept[:-2]) / (mus[2:] - mus[:-2]), mean_slopes, atol=1e-3)
# spoil: kept = fresh

# %% [markdown]
# Neither is nearer: at each $\mu$ both are averages of 20 draws. But with kept noise it *is a curve*, and its slope is
# a mean of slopes. That is the whole trick.
#
# ## First estimator: the path
#
# With $z = \mu + \sigma\epsilon$ the expectation is one over $\epsilon$, whose distribution knows nothing of $\mu$
# and $\sigma$: $F(\mu, \sigma) = \mathbb{E}_\epsilon[f(\mu + \sigma\epsilon)]$. If $f$ is continuous and has a slope
# except at isolated points (and neither grows too fast), the derivative may go under the expectation, and the chain
# rule does the rest. Write what each draw contributes to the two means; `df_of_z` holds $f'(z_k)$.


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
# $\mu$ (for a normal $q$ it may, even where $f$ jumps), then multiply and divide by $q$:
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

squared_score = (q * (f(grid) * (grid - mu) / sigma**2) ** 2).sum() * step
squared_path = (q * df(grid) ** 2).sum() * step
assert max(off) < 5  # standard errors
# spoil: off[0] = 6
assert np.isclose(
    ratio, (squared_score - true_dmu**2) / (squared_path - true_dmu**2), rtol=0.05
)
# spoil: ratio = 1 / ratio

# %% [markdown]
# ## What makes them scatter
#
# One estimator multiplies by $f$, the other by $f'$. *Before you run the cell:* which of them suffers when 100 is added
# to $f$? And which when $f$ wiggles, as $\sin 5z$ does? The last rows are a kink, $f(z) = \max(z, 0)$, and a jump,
# $f(z) = 1$ for $z > 0$ and 0 elsewhere, whose slope is 0 wherever it has one. Is an estimator wrong there?

# %% tags=["answer"]
cases = {  # name: f, its slope, the true dF/dmu
    "z^2 + sin z": (f(z), df(z), true_dmu),
    "the same + 100": (f(z) + 100, df(z), true_dmu),
    "sin 5z": (np.sin(5 * z), 5 * np.cos(5 * z), 5 * np.cos(5 * mu) * np.exp(-12.5 * sigma**2)),
    "a kink at 0": (np.maximum(z, 0), (z > 0) * 1.0, q[grid > 0].sum() * step),
    "a jump at 0": ((z > 0) * 1.0, 0 * z, q[np.abs(grid).argmin()]),
}
variances, misses = {}, {}
print(
    f"{'f':15} {'true dF/dmu':>12} {'score: mean':>14} {'variance':>9} {'path: mean':>13} {'variance':>9}"
)
for name, (values, slopes, true) in cases.items():
    score_draws, path_draws = (v[0] for v in by_both(values, slopes).values())  # (n,), (n,)
    variances[name] = [score_draws.var(), path_draws.var()]
    misses[name] = [abs(score_draws.mean() - true), abs(path_draws.mean() - true)]
    print(
        f"{name:15} {true:12.3f} {score_draws.mean():14.3f} {variances[name][0]:9.2f}"
        f" {path_draws.mean():13.3f} {variances[name][1]:9.2f}"
    )
errors = {name: np.sqrt(np.array(v) / n) for name, v in variances.items()}  # standard errors

assert variances["the same + 100"][0] > 100 * variances["z^2 + sin z"][0]
# spoil: variances["the same + 100"] = variances["z^2 + sin z"]
assert variances["the same + 100"][1] == variances["z^2 + sin z"][1]
# spoil: variances["the same + 100"] = [0, variances["the same + 100"][0]]
assert variances["sin 5z"][0] < variances["sin 5z"][1] / 10
# spoil: variances["sin 5z"].reverse()
failing = [name for name in cases if not (misses[name] < 5 * errors[name] + 1e-12).all()]
assert failing == ["a jump at 0"]
# spoil: failing = []
assert misses["a jump at 0"][0] < 5 * errors["a jump at 0"][0]
# spoil: misses["a jump at 0"].reverse()

# %% [markdown]
# The score function multiplies a noisy factor by all of $f$, whatever its level; the slope $f'$ does not see the
# level, but grows with wiggles. So the path is no law: it wins where $f$ is smooth on the scale of $\sigma$. At a jump
# it is not noisy but *wrong*: all of the change of this $F$ comes from draws that cross the jump, and no slope tells of
# them. A kink, as in relu, does no harm.
#
# ## Back to the VAE
#
# In a VAE the function is $-\text{nll}$ (the KL needs no draw), many latents are drawn at once, and what is wanted is
# the gradient at $\mu$ and $\log\sigma^2$. We train one with a single latent on digits; page 10 says how.

# %%
digits = load_data("mnist-sample")
images = (digits.x_test[:5] > 127) * 1.0  # (5, D)


def trained(kind):
    """A VAE after ten epochs, and its history."""
    rng = np.random.default_rng(4)
    model = kind(784, (32,), 1, "tanh", rng=rng, dtype="float64")
    train, test = digits.x_train[:2000], digits.x_test[:200]  # (N, D), (M, D)
    adam = Adam(lr=3e-3)
    return model, fit(model, train, test, epochs=10, optimizer=adam, rng=rng, progress=False)


vae, _ = trained(VAE)

# %% [markdown]
# *Before you run the cell:* by which factor do the variances at $\mu$ differ, for five images? And once the mean nll is
# subtracted from nll?

# %% tags=["answer"]
rng, draws = np.random.default_rng(5), 2000
factors, differences = [], []
for image in images:
    many_eps, trace = rng.standard_normal((draws, 1)), {}  # (K, 1)
    terms, cache = vae.objective(np.tile(image, (draws, 1)), many_eps)
    _ = vae.backward(np.ones(draws), cache, trace=trace)
    _, logvar, _ = vae.encode(image[None])
    by_path = trace["dmu_z"][:, 0]  # (K,)  what reaches mu through z
    to_mu = many_eps[:, 0] / np.exp(logvar[0, 0] / 2)  # (K,)  d log q / d mu = eps / sigma
    by_score = -terms.nll * to_mu  # (K,)
    centred = (terms.nll.mean() - terms.nll) * to_mu  # (K,)
    factors.append([v.var() / by_path.var() for v in (by_score, centred)])
    for v in (by_score, centred):
        error = np.sqrt((v.var() + by_path.var()) / draws)
        differences.append(abs(v.mean() - by_path.mean()) / error)
    print(
        f"nll {terms.nll.mean():.0f} ± {terms.nll.std():.1f} nats (standard deviation);",
        end=" ",
    )
    print("ratio of the variances {:.0f}, with the mean subtracted {:.1f}".format(*factors[-1]))
factors = np.array(factors)  # (5, 2)

assert max(differences) < 5  # the means agree
# spoil: differences[1] = 6
assert factors[:, 1].min() > 1
# spoil: factors[0, 1] = 0.9
assert (factors[:, 0] > 100 * factors[:, 1]).all()
# spoil: factors[0] = factors[0, 1]

# %% [markdown]
# Here the level of $f$ does most of the harm: nll is large, and changes little with $z$. Subtracting a constant changes
# no mean, since the score has the mean 0, and helps a good deal. The path still wins.
#
# ## In the library: mu, logvar and eps
#
# An encoder returns any real numbers, and a standard deviation must be positive. So it returns the logarithm of the
# **variance**, `logvar` $= \log \sigma^2$, and $\sigma = \sqrt{e^{\,\text{logvar}}} = e^{\,\text{logvar}/2}$. The
# factor $\tfrac12$ is where many programs go wrong. `mu`, `logvar` and `eps` have the shape $(B, Z)$, a row for each
# of $B$ examples and a column for each of $Z$ latents, and every entry is on its own: the covariance of $q$ is
# diagonal.
#
# > **Often said.** `std = exp(logvar)`. It stands in the code of
# > [several well-known examples](../docs/museum.md), and a gradient check passes: the backward belongs to the wrong
# > forward.
# >
# > **What is true.** `exp(logvar)` is the variance. This sampler draws from another distribution than the one that the
# > KL term talks about. Differences cannot see that. Moments can.
# >
# > **Run this cell.** It divides the spread of the draws by $\sigma$. *Before that:* at which of the logvars 1, -1 and
# > 0 is it too wide, at which too narrow, and at which can even moments see nothing?


# %% tags=["stumble-02", "claim-13", "answer"]
def wrong_sampler(mu, logvar, eps):
    """The slip: a variance where a standard deviation belongs."""
    return mu + np.exp(logvar) * eps


mean, logvar = np.array([[0.5, -1.0, 2.0]]), np.array([[1.0, -1.0, 0.0]])  # (1, 3)
noise = np.random.default_rng(3).standard_normal((100_000, 3))
spread = wrong_sampler(mean, logvar, noise).std(axis=0) / np.exp(logvar[0] / 2)  # (3,)
print("spread / sigma at logvar 1, -1 and 0:", spread.round(2))
ahead, back = (wrong_sampler(mean, logvar + d, noise) for d in (h, -h))
by_logvar = (ahead - back) / (2 * h)  # (100000, 3)
good = check_sampler(reparameterize, mean, logvar, rng=np.random.default_rng(3))
bad = check_sampler(wrong_sampler, mean, logvar, rng=np.random.default_rng(3))
print(good)
print(bad)

assert np.allclose(spread, np.exp([0.5, -0.5, 0]), rtol=0.02)  # off by sigma itself
# spoil: spread[2] = 1.1
assert np.allclose(by_logvar, np.exp(logvar) * noise)  # its own slope: differences see no slip
# spoil: by_logvar = by_logvar / 2
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
# > **Run this cell.** It takes a gradient twice with one eps, once with another and 2,000 times with fresh ones; and
# > that of the average over $\epsilon$, by quadrature, without any draw. *Before that:* which agree?

# %% tags=["claim-12", "answer"]
x = images[2:3]  # (1, D)
eps_1, eps_2 = vae.draw_eps(1, rng), vae.draw_eps(1, rng)


def gradients(eps, weights):
    """The gradient of sum_k weights_k ELBO_k with respect to the weights of mu's head; eps (K, 1)."""
    _, cache = vae.objective(np.repeat(x, len(eps), axis=0), eps)
    return vae.backward(weights, cache)["mu.W"]  # (H, 1)


one = np.ones(1)
# Gauss-Hermite: sum_k w_k g(node_k) is the mean of g(eps) if sum_k w_k = 1, exact to degree 79
nodes, node_weights = np.polynomial.hermite_e.hermegauss(40)  # (40,) each
exact = gradients(nodes[:, None], node_weights / node_weights.sum())  # (H, 1)
many = np.array([gradients(vae.draw_eps(1, rng), one) for _ in range(2000)])  # (2000, H, 1)
error = many.std(axis=0) / np.sqrt(2000)
first = gradients(eps_1, one)  # (H, 1)
print("same eps, same gradient: ", np.array_equal(gradients(eps_1, one), first))
print("fresh eps, same gradient:", np.array_equal(gradients(eps_2, one), first))
print("largest |mean of 2,000 - exact|, in standard errors:", end=" ")
print(f"{(np.abs(many.mean(axis=0) - exact) / error).max():.1f}")

assert np.array_equal(gradients(eps_1, one), first)
# spoil: eps_1 = eps_2
assert not np.array_equal(gradients(eps_2, one), first)
# spoil: eps_2 = eps_1
assert (np.abs(many.mean(axis=0) - exact) < 5 * error).all()
# spoil: exact = gradients(np.zeros((1, 1)), one)

# %% [markdown]
# ### What goes wrong when it is drawn twice
#
# Suppose that the backward pass draws noise of its own, in place of the one that made $z$. Then the slope in
# $\sigma$ is $f'(z)$ times another eps, independent of $z$, with mean zero. *What is left, on average, of the path
# through $\sigma$?* We measure it where the true value is known, and then hand a VAE with that bug to the checker.


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

small = DrawsAgain(6, (8,), 2, "tanh", rng=np.random.default_rng(7), dtype="float64")
report = check_gradients(small, np.random.default_rng(8).random((4, 6)))
print("the checker:", report.findings[0].message)

assert abs(right.mean() - true_dsigma) < 5 * right.std() / np.sqrt(n)
# spoil: right = wrong
assert abs(wrong.mean()) < 5 * wrong.std() / np.sqrt(n)  # nothing but noise around zero
# spoil: wrong = right
assert [finding.cause for finding in report.findings] == ["noise-redrawn"]
# spoil: report = check_gradients(vae, x)

# %% [markdown]
# *Before you run the next cell:* train a VAE with that bug. Where does $\sigma$ end? Does the loss fall?

# %% tags=["answer"]
buggy, history = trained(DrawsAgain)
sigmas = {}
for name, model in (("one eps", vae), ("drawn twice", buggy)):
    sigmas[name] = np.exp(model.encode(digits.x_test[:200] / 255)[1] / 2)  # (M, 1)
    print(
        f"{name:12} sigma {sigmas[name].mean():.2f} ± {sigmas[name].std():.2f} (standard deviation)"
    )
loss = -np.array(history["test_elbo"])  # (epochs,)
print(f"the loss with the bug, first and last epoch: {loss[0]:.0f}, {loss[-1]:.0f} nats")

assert sigmas["one eps"].mean() < 0.4
# spoil: sigmas["one eps"] = sigmas["drawn twice"]
assert 0.7 < sigmas["drawn twice"].mean() < 1.4
# spoil: sigmas["drawn twice"] = sigmas["one eps"]
assert loss[-1] < loss[0] - 3
# spoil: loss = loss[::-1]

# %% [markdown]
# The slope at `logvar` is then, on average, the KL's alone, which pulls $\sigma$ to 1. The loss still falls.
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
# 3. **What they need.** The score: a density that can be differentiated in its parameters. The path: $z$ made from them
#    and noise, an $f$ without jumps, and its slope.
# 4. **Which to use.** The path where $f$ is smooth on the scale of $\sigma$; the score suffers from the level of $f$,
#    the path from wiggles.
# 5. **The noise.** Drawn afresh for each pass, by the caller; the same in forward and backward; never updated.
#
# ## On your own
#
# 1. For $f(z) = z$, what is the variance of one draw of the pathwise estimator for $\mu$? And of the score
#    function's?
# 2. Subtract a constant from $f$ in the score function's estimator. Show that its mean stays. Which constant makes
#    its variance smallest? Does the path still win in VAEs with large random weights?
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
