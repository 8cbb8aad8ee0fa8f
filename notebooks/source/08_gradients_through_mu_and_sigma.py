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
# # 08 · Gradients through mu and sigma
#
# This page walks the whole backward pass of a VAE, from the objective to the first layer of the encoder. Each step is
# one line of the chain rule, computed by a loop and compared with the library.
#
# **What you will do**
# - write down the forward pass, and then the derivative of the objective with respect to everything in it;
# - separate what reaches mu and logvar through the draw from what the KL sends;
# - draw the flow of gradients, and check every parameter.
#
# **What you will learn**
# - why two gradients meet at mu and two at logvar, and why they add;
# - where the noise enters the backward pass, although nothing is ever updated in it;
# - that mu and sigma are outputs of the encoder: what is trained are the weights.
#
# **What you need**
# - pages 06 and 07. About 25 minutes. It runs in about ten seconds.

# %%
from importlib.util import find_spec

if find_spec("scratchvae") is None:
    raise SystemExit(
        "This page needs scratchvae; in the README's folder: pip install -r requirements.txt"
    )

import numpy as np

from scratchvae import SGD, VAE, Adam, Gaussian, fit, load_data
from scratchvae.checks import check_gradients
from scratchvae.exact import LinearGaussian
from scratchvae.view.flow import trace_gradients
from scratchvae.view.notebook import show

# %% [markdown]
# ## The forward pass
#
# A small VAE, so that every number can be looked at: $D = 6$ data values, one hidden layer of $H = 5$ units, $Z = 2$
# latents, and a batch of $B = 4$ examples. In the forward pass each line uses only what stands above it.
#
# | line | what | shape |
# |---|---|---|
# | $h = \tanh(x W_0 + b_0)$ | hidden layer of the encoder | $(B, H)$ |
# | $\mu = h W_\mu + b_\mu$ | mean of $q(z \mid x)$ | $(B, Z)$ |
# | $v = h W_v + b_v$ | log-variance of $q(z \mid x)$, `logvar` | $(B, Z)$ |
# | $\sigma = e^{v/2}$, $z = \mu + \sigma \epsilon$ | standard deviation, and the draw | $(B, Z)$ |
# | $h' = \tanh(z W_1 + b_1)$ | hidden layer of the decoder | $(B, H)$ |
# | $l = h' W_l + b_l$ | logits: one number a pixel | $(B, D)$ |
# | $\text{nll} = \sum_d \log(1 + e^{l_d}) - x_d l_d$ | $-\log p(x \mid z)$, Bernoulli | $(B,)$ |
# | $\text{kl} = \tfrac12 \sum_j (\mu_j^2 + \sigma_j^2 - 1 - v_j)$ | $\mathrm{KL}(q(z \mid x) \Vert p(z))$ | $(B,)$ |
# | $\text{objective} = -\text{nll} - \text{kl}$ | for one draw; its mean over $\epsilon$ is the ELBO | $(B,)$ |
#
# Products of arrays of the same shape are taken entry by entry. The noise $\epsilon$ is drawn now, and is a constant
# from here on.

# %%
rng = np.random.default_rng(0)
vae = VAE(n_x=6, n_hidden=(5,), n_z=2, activation="tanh", rng=rng, dtype="float64")
for p in vae.params.values():
    p += 0.3 * rng.standard_normal(p.shape)  # biases away from zero, for a fair test
P = vae.params
x, eps = rng.random((4, 6)), vae.draw_eps(4, rng)  # (B, D), (B, Z)

h = np.tanh(x @ P["encoder.0.W"] + P["encoder.0.b"])  # (B, H)
mu = h @ P["mu.W"] + P["mu.b"]  # (B, Z)
logvar = h @ P["logvar.W"] + P["logvar.b"]  # (B, Z)
sigma = np.exp(logvar / 2)  # (B, Z)
z = mu + sigma * eps  # (B, Z)
h_decoder = np.tanh(z @ P["decoder.0.W"] + P["decoder.0.b"])  # (B, H)
logits = h_decoder @ P["logits.W"] + P["logits.b"]  # (B, D)
nll = (np.log(1 + np.exp(logits)) - x * logits).sum(axis=1)  # (B,)
kl = 0.5 * (mu**2 + sigma**2 - 1 - logvar).sum(axis=1)  # (B,)

terms, cache = vae.objective(x, eps)
assert np.allclose(terms.nll, nll)
assert np.allclose(terms.kl, kl)
assert np.allclose(terms.objective, -nll - kl)
print("objective of the four examples, in nats:", terms.objective.round(3))

# %% [markdown]
# ## The backward pass
#
# We differentiate one number, the mean objective $s = \tfrac1B \sum_b \text{objective}_b$. A name such as `dz` stands
# for the derivative of $s$ with respect to $z$, and has the shape of $z$. We walk the table from the bottom to the
# top.
#
# The library's `backward` takes the weight of each example, here $1/B$, and a dictionary `trace`, into which it puts
# every gradient on its way. We compare each of ours with it.

# %%
B = 4
trace = {}
grads = vae.backward(np.full(B, 1 / B), cache, trace=trace)
print("names in the trace:", ", ".join(sorted(trace)))

# %% [markdown]
# **Objective to nll and kl.** Both stand in it with a minus sign, so each example receives $-1/B$ for either.
#
# **nll to logits.** The derivative of $\log(1 + e^l)$ is the sigmoid $p = 1/(1 + e^{-l})$, that of $x l$ is $x$. So
# $\text{dlogits} = \text{dnll} \cdot (p - x)$.

# %%
dnll = np.full(B, -1 / B)  # (B,)
dkl = np.full(B, -1 / B)  # (B,)

dlogits = np.zeros((B, 6))
for b in range(B):
    for d in range(6):
        p = 1 / (1 + np.exp(-logits[b, d]))
        dlogits[b, d] = dnll[b] * (p - x[b, d])

assert np.allclose(trace["dnll"], dnll)
assert np.allclose(trace["dkl"], dkl)
assert np.allclose(trace["dlogits"], dlogits)

# %% [markdown]
# **Logits to z.** Two dense layers and a tanh, as on page 07: a product with the transposed weights for each dense
# layer, and a factor $1 - h'^2$ for the tanh.

# %%
dh_decoder = dlogits @ P["logits.W"].T  # (B, H)
da_decoder = dh_decoder * (1 - h_decoder**2)  # (B, H)  before the activation
dz = da_decoder @ P["decoder.0.W"].T  # (B, Z)

assert np.allclose(trace["decoder.0.tanh.dy"], dh_decoder)
assert np.allclose(trace["decoder.0.dy"], da_decoder)
assert np.allclose(trace["dz"], dz)
print("dz agrees; the KL does not contain z, so nothing else arrives there")

# %% [markdown]
# ### The first fork: mu and logvar are used twice
#
# $\mu$ stands in $z = \mu + \sigma \epsilon$ and in the KL. The chain rule sums over both uses: **at a fork gradients
# add**.
#
# $$\text{dmu} = \underbrace{\text{dz}}_{\text{through } z}
#    + \underbrace{\text{dkl} \cdot \mu}_{\text{from the KL}}$$
#
# For the first part, $\partial z / \partial \mu = 1$. For the second, the derivative of $\tfrac12 \mu^2$ is $\mu$.
#
# $v$ stands in $z$ too, inside $\sigma = e^{v/2}$, and in the KL, as $\tfrac12 (e^v - v)$:
#
# $$\text{dlogvar} = \underbrace{\text{dz} \cdot \epsilon \cdot \tfrac{\sigma}{2}}_{\text{through } z}
#    + \underbrace{\text{dkl} \cdot \tfrac12 (\sigma^2 - 1)}_{\text{from the KL}}$$
#
# For the first part, $\partial z / \partial \sigma = \epsilon$ and $\partial \sigma / \partial v = \sigma / 2$. Here
# the noise enters the backward pass, as a known number.

# %%
parts = {name: np.zeros((B, 2)) for name in ("dmu_z", "dmu_kl", "dlogvar_z", "dlogvar_kl")}
for b in range(B):
    for j in range(2):
        parts["dmu_z"][b, j] = dz[b, j]
        parts["dmu_kl"][b, j] = dkl[b] * mu[b, j]
        parts["dlogvar_z"][b, j] = dz[b, j] * eps[b, j] * sigma[b, j] / 2
        parts["dlogvar_kl"][b, j] = dkl[b] * (sigma[b, j] ** 2 - 1) / 2
dmu, dlogvar = parts["dmu_z"] + parts["dmu_kl"], parts["dlogvar_z"] + parts["dlogvar_kl"]

for name, part in parts.items():
    assert np.allclose(trace[name], part), name
assert np.allclose(trace["dmu"], dmu)
assert np.allclose(trace["dlogvar"], dlogvar)
print("example 0, latent 0:")
for name, part in parts.items():
    print(f"  {name:10} {part[0, 0]:+.4f}")

# %% [markdown]
# Two ways to check a claim such as "this part comes through $z$". The first: let a difference quotient act on that
# part alone, with the KL left out. The second: let the KL's weight $\beta$ be zero; the library then returns the
# first part and nothing else.


# %%
def nll_alone(mu, logvar):
    """The mean of -nll when mu and logvar are moved by hand, the noise held fixed."""
    logits, _ = vae.decode(mu + np.exp(logvar / 2) * eps)
    return -vae.likelihood.nll(x, logits)[0].mean()


step = np.zeros((B, 2))
step[0, 0] = 1e-5
by_difference = (nll_alone(mu, logvar + step) - nll_alone(mu, logvar - step)) / 2e-5
without_kl = {}
_, cache_without = vae.objective(x, eps, beta=0.0)
vae.backward(np.full(B, 1 / B), cache_without, trace=without_kl)

print(f"dlogvar_z[0, 0] = {parts['dlogvar_z'][0, 0]:.8f}, by a difference {by_difference:.8f}")
assert np.isclose(parts["dlogvar_z"][0, 0], by_difference, rtol=1e-6)
assert np.allclose(without_kl["dmu"], parts["dmu_z"])
assert np.allclose(without_kl["dlogvar"], parts["dlogvar_z"])

# %% [markdown]
# ### What the two parts want
#
# The KL pulls $\mu$ to 0 and $\sigma$ to 1, whatever the image. The path through $z$ pulls them to where the decoder
# explains the image better. *Before you run the cell:* averaged over many draws of $\epsilon$, does the path through
# $z$ make $\sigma$ larger or smaller? Think of a decoder that has to hit one image from a blurred position.

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
images = (data.x_test[:200] >= 128).astype("float32")  # (200, D)

through_z, from_kl = [], []
for _ in range(200):
    gathered = {}
    _, c = digits.objective(images, digits.draw_eps(200, rng))
    _ = digits.backward(np.ones(200), c, trace=gathered)
    through_z.append(gathered["dlogvar_z"].mean())
    from_kl.append(gathered["dlogvar_kl"].mean())
for name, values in (("through z", through_z), ("from the KL", from_kl)):
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    print(
        f"mean of dlogvar {name:12} {np.mean(values):+.4f} ± {error:.4f} nats per unit of logvar"
    )

assert np.mean(through_z) < 0 < np.mean(from_kl)

# %% [markdown]
# The decoder asks for a smaller $\sigma$, the KL for a larger one. After this short training the two do not balance
# yet.
#
# ### Where the two pulls balance: a case that is known
#
# Let the decoder be linear, $l = z W + b$ with $W$ of the shape $(Z, D)$, and the likelihood Gaussian with standard
# deviation $s$; each example has the weight 1. Then $\text{dlogits} = (x - l)/s^2$, and for one example
#
# $$\text{dz}_k = \frac{1}{s^2} \sum_d \Big(x_d - b_d - \sum_m (\mu_m + \sigma_m \epsilon_m) W_{md}\Big) W_{kd}.$$
#
# Write $\text{dmu}^{(z)}$ and $\text{dlogvar}^{(z)}$ for the parts that come through $z$.
# Take expectations over $\epsilon$, with $\mathbb{E}[\epsilon_m] = 0$, $\mathbb{E}[\epsilon_k^2] = 1$ and
# $\mathbb{E}[\epsilon_m \epsilon_k] = 0$ for $m \neq k$. In $\text{dlogvar}^{(z)}_k = \tfrac12 \text{dz}_k \sigma_k
# \epsilon_k$ every term vanishes except that with $\epsilon_k^2$:
#
# $$\mathbb{E}[\text{dmu}^{(z)}_k] = \frac{1}{s^2} \sum_d \Big(x_d - b_d - \sum_m \mu_m W_{md}\Big) W_{kd}, \qquad
#   \mathbb{E}[\text{dlogvar}^{(z)}_k] = -\frac{\sigma_k^2}{2 s^2} \sum_d W_{kd}^2 .$$
#
# These are true values. Adding the KL's part, $\tfrac12 (1 - \sigma_k^2)$, and asking for zero gives
#
# $$\sigma_k^2 = \frac{1}{1 + \sum_d W_{kd}^2 / s^2},$$
#
# one over the $k$-th diagonal entry of the posterior's precision. For the mean, the pull is zero at the mean of the
# exact posterior, which the library knows in closed form.


# %%
def pulls(vae, x_row, mu_row, logvar_row, eps):
    """What reaches mu and logvar through z, for each draw of eps: (K, Z) each."""
    sigma = np.exp(logvar_row / 2)  # (Z,)
    logits, decode_cache = vae.decode(mu_row + sigma * eps)  # (K, D)
    _, nll_cache = vae.likelihood.nll(np.tile(x_row, (len(eps), 1)), logits)
    dz, _ = vae.decode_backward(
        vae.likelihood.nll_backward(-np.ones(len(eps)), nll_cache), decode_cache
    )
    return dz, dz * eps * sigma / 2


s = 0.7
linear = VAE(6, (), 2, likelihood=Gaussian(s), rng=np.random.default_rng(2), dtype="float64")
W, b = linear.params["logits.W"], linear.params["logits.b"]  # (Z, D), (D,)
x_row = np.random.default_rng(3).standard_normal(6)  # (D,)
mu_row, logvar_row = np.array([0.3, -0.8]), np.array([-0.5, 0.2])  # (Z,), (Z,)
many = np.random.default_rng(4).standard_normal((50_000, 2))  # (K, Z)

true_values = (
    W @ (x_row - b - mu_row @ W) / s**2,
    -np.exp(logvar_row) * (W**2).sum(axis=1) / (2 * s**2),
)
names, measured = ("dmu_z", "dlogvar_z"), pulls(linear, x_row, mu_row, logvar_row, many)
for name, values, true in zip(names, measured, true_values, strict=True):
    error = values.std(axis=0) / np.sqrt(len(many))  # (Z,)
    for k in range(2):
        print(f"{name:9} latent {k}: {values[:, k].mean():+.4f} ± {error[k]:.4f}", end="")
        print(f"   true value {true[k]:+.4f}")
    assert (np.abs(values.mean(axis=0) - true) < 5 * error).all()

exact = LinearGaussian(W=W.T, mean=b, sigma=s)
best_mu = exact.posterior(x_row[None])[0][0]  # (Z,)
best_var = 1 / (1 + (W**2).sum(axis=1) / s**2)  # (Z,)
assert np.allclose(W @ (x_row - b - best_mu @ W) / s**2 - best_mu, 0)  # no pull on mu is left
assert np.allclose(best_var, 1 / np.diag(exact.posterior_precision))

# %% [markdown]
# ### The second fork: one hidden layer, two heads
#
# $h$ is used by both heads, so again gradients add:
#
# $$\text{dh} = \text{dmu}\, W_\mu^\top + \text{dlogvar}\, W_v^\top .$$
#
# Each head's weights receive $h^\top$ times what arrives at the head. From $h$ it is a tanh and a dense layer to the
# start. The gradient of the data itself is never computed: nobody trains the data.

# %%
dh = dmu @ P["mu.W"].T + dlogvar @ P["logvar.W"].T  # (B, H)
da = dh * (1 - h**2)  # (B, H)
ours = {
    "encoder.0.W": x.T @ da,
    "encoder.0.b": da.sum(axis=0),
    "mu.W": h.T @ dmu,
    "mu.b": dmu.sum(axis=0),
    "logvar.W": h.T @ dlogvar,
    "logvar.b": dlogvar.sum(axis=0),
    "decoder.0.W": z.T @ da_decoder,
    "decoder.0.b": da_decoder.sum(axis=0),
    "logits.W": h_decoder.T @ dlogits,
    "logits.b": dlogits.sum(axis=0),
}
assert ours.keys() == grads.keys()
for name in ours:
    assert np.allclose(ours[name], grads[name]), name
print(f"all {len(ours)} gradients by hand agree with the library")

# %% [markdown]
# ## The picture to remember
#
# `trace_gradients` runs one pass and keeps what flows along every edge. Grey arrows are values on the way forward.
# Coloured arrows are gradients on the way back: blue where raising the value would raise the objective, vermillion
# where it would lower it, purple where the entries disagree. The width tells the size. We use one digit and the model
# that was trained above.

# %%
flow = trace_gradients(digits, images[:1], digits.draw_eps(1, np.random.default_rng(2)))
show(
    flow.draw(),
    "The graph of a VAE: gradients reach mu and logvar on two ways each, through z and from the kl; "
    "none goes back to eps.",
)

# %% [markdown]
# In one sentence: the objective pulls on $\mu$ and $\sigma$ on two ways, through $z$ and through the KL, and the
# noise takes part in one of them without being updated. The same as a table:

# %%
print(flow)

# %% [markdown]
# Step by step. After the 14 moves of the forward pass every value is known and no gradient is:

# %%
show(flow.draw(step=14), "The same graph with its grey forward arrows only.")

# %% [markdown]
# The first four moves back belong to the KL. Its gradients reach $\mu$ and logvar at once, without passing the
# decoder:

# %%
show(
    flow.draw(step=18),
    "The graph with the two gradients that the kl sends to mu and to logvar.",
)

# %% [markdown]
# Then the reconstruction's gradient comes through the decoder to $z$, and splits: as it is to $\mu$, times $\epsilon$
# to $\sigma$:

# %%
show(
    flow.draw(step=24),
    "The graph when the gradient has come through the decoder to z, mu, sigma and logvar.",
)

# %% [markdown]
# ## Every parameter, checked
#
# The checker moves each parameter along a random direction and compares the change of the objective with the
# gradient. It is the test that any code of yours should pass before it trains.

# %%
report = check_gradients(vae, x, eps)
print(report)

assert report.ok
assert {row.name for row in report.rows} >= set(vae.params)

# %% [markdown]
# > **Often said.** "The encoder returns sigma." Then, a line later, `exp` of it is taken, or half of it, or its
# > square.
# >
# > **What is true.** Standard deviation, variance and log-variance are three numbers, and the gradient with respect to
# > one is not that with respect to another: $\partial s/\partial \sigma^2 = (\partial s/\partial \sigma) / (2\sigma)$
# > and $\partial s/\partial v = (\partial s/\partial \sigma) \cdot \sigma / 2$. Only $v$ may be any real number. And
# > all
# > of it is entry by entry, since the covariance is diagonal.
# >
# > **Run this cell.** It takes all three by differences, with $\mu$ and $\epsilon$ held fixed.


# %% tags=["claim-13"]
def of_sigma(sigma):
    """The mean objective as a function of sigma."""
    logits, _ = vae.decode(mu + sigma * eps)
    nll, _ = vae.likelihood.nll(x, logits)
    kl = 0.5 * (mu**2 + sigma**2 - 1 - np.log(sigma**2)).sum(axis=1)
    return (-nll - kl).mean()


def by_differences(f, at, h=1e-5):
    """The derivative of f with respect to every entry of at."""
    moves = np.eye(at.size).reshape(-1, *at.shape) * h  # one entry at a time
    return np.array([(f(at + m) - f(at - m)) / (2 * h) for m in moves]).reshape(at.shape)


dsigma = dz * eps + dkl[:, None] * (sigma - 1 / sigma)  # (B, Z)  through z, and from the KL
for name, by_hand, measured in (
    ("sigma", dsigma, by_differences(of_sigma, sigma)),
    (
        "variance",
        dsigma / (2 * sigma),
        by_differences(lambda v: of_sigma(np.sqrt(v)), sigma**2),
    ),
    ("logvar", dlogvar, by_differences(lambda v: of_sigma(np.exp(v / 2)), logvar)),
):
    print(f"d{name:9} of example 0: {by_hand[0].round(5)}")
    assert np.allclose(by_hand, measured, rtol=1e-6, atol=1e-9)

bump = np.zeros((B, 2))
bump[1, 0] = 0.1
changed = (mu + np.exp((logvar + bump) / 2) * eps) != z
assert changed[1, 0]
assert changed.sum() == 1  # one entry of logvar, one entry of z

# %% [markdown]
# ## What is trained
#
# > **Often said.** "The mean and the standard deviation are the parameters that we train."
# >
# > **What is true.** They are *outputs* of the encoder, one pair for each image. What is trained are its weights,
# > $\phi$, and the decoder's, $\theta$. The gradient at $\mu$ says where $\mu$ should go; it gets there only as far
# > as shared weights allow, and moving them for one image moves the pairs of all images.
# >
# > **Run this cell.** It takes one step for example 0 alone, and looks at the means of all four.

# %% tags=["claim-11"]
before, _, _ = vae.encode(x)
_, cache = vae.objective(x, eps)
only_first = np.array([-1.0, 0.0, 0.0, 0.0])  # the loss of example 0
wanted = {}
step_grads = vae.backward(only_first, cache, trace=wanted)
SGD(lr=0.05, momentum=0.0).step(vae.params, step_grads)
after, _, _ = vae.encode(x)

for b in range(B):
    moved = np.abs(after[b] - before[b]).max()
    print(
        f"example {b}: gradient at mu {np.abs(wanted['dmu'][b]).max():.3f}, mu moved by {moved:.4f}"
    )

assert np.all(wanted["dmu"][1:] == 0)  # nobody asked the other three to move
assert (np.abs(after - before)[1:].max(axis=1) > 1e-4).all()  # and they moved
assert not any(name.startswith(("eps", "sigma")) for name in vae.params)

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
# - [The derivation of the whole backward pass](../docs/derivations/07_vae_backward.md), with each equation's test.
# - Diederik Kingma and Max Welling, *Auto-Encoding Variational Bayes* (2014), arXiv 1312.6114, section 2.4 and
#   appendix B.
#
# [Back: backpropagation by hand](07_backpropagation_by_hand.ipynb) · [Contents](README.md) ·
# [Next: train a VAE on digits](09_train_a_vae_on_digits.ipynb)
