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
# # 03 · The intractable evidence
#
# The evidence $p(x)$ is one integral; on this page you compute it exactly wherever that works, and find out which two
# things have to come together for every one of these ways to fail.
#
# **What you will do**
# - compute the evidence of a straight decoder in closed form, with 200 latents;
# - compute that of a network with one latent on a grid, and then piece by piece, exactly.
#
# **What you will learn**
# - that neither many latents nor a bent decoder is hard alone;
# - what a grid costs, and how wrong it is;
# - that the posterior of a network need not be a normal density.
#
# **What you need**
# - page 02, matrices, and what a covariance is. About 35 minutes with the blanks. It runs in some ten seconds.

# %%
from importlib.util import find_spec

if find_spec("scratchvae") is None:
    raise SystemExit(
        "This page needs scratchvae; in the README's folder: pip install -r requirements.txt"
    )

import math  # noqa: F401
from itertools import pairwise

import numpy as np

from scratchvae import VAE, Adam, Gaussian, fit
from scratchvae.data.toy import circle
from scratchvae.exact import LinearGaussian, grid_log_evidence, piecewise_posterior
from scratchvae.exercises import check, hint, progress, solution, use  # noqa: F401
from scratchvae.view.notebook import panels, show

BLUE, VERMILLION, GREY = "#0072B2", "#D55E00", "#555555"

# %% [markdown]
# ## The integral
#
# From here on $z$ is a vector of $Z$ latents and $x$ a vector of $D$ data values, for instance the pixels of an
# image. The model draws $z$ from the prior $p(z) = \mathcal{N}(z; 0, I)$, the standard normal density in $Z$
# dimensions ($I$ is the identity matrix). Then it draws $x$ from the likelihood $p(x \mid z)$. By the sum rule of
# page 02,
#
# $$p(x) = \int p(x \mid z)\, p(z)\, dz .$$
#
# We want its logarithm, $\log p(x)$, in **nats** (natural logarithms).
#
# ## A straight decoder: closed form
#
# Let $x$ be a linear map of $z$, plus an offset and normal noise, a **linear-Gaussian** model:
#
# $$x = W z + b + \sigma_x\, n, \qquad z \sim \mathcal{N}(0, I), \quad n \sim \mathcal{N}(0, I),$$
#
# with a matrix $W$ of the shape $(D, Z)$, an offset $b$ of the shape $(D,)$, a number $\sigma_x > 0$ and noise $n$ of
# the shape $(D,)$, independent of $z$. Then $x$ is a linear map of the normal vector $(z, n)$, plus $b$, so it is
# normal itself, and no integral has to be done: a mean and a covariance say all. With $C$ for the covariance,
# $m$ for the mean, and $r = x - m$,
#
# $$\log p(x) = -\tfrac12 \left( r^\top C^{-1} r + \log \det C + D \log 2\pi \right).$$
#
# Which mean, and which covariance? Stuck? `hint("evidence.moments")`.


# %% tags=["blank"]
def moments(W, b, sigma_x):
    """Mean (D,) and covariance (D, D) of x = W z + b + sigma_x n, with W (D, Z) and b (D,)."""
    raise NotImplementedError


check("evidence.moments", moments)

# %% [markdown]
# The library calls this model `LinearGaussian`. A sum over a grid of two latents knows nothing of covariances: it
# checks your formula, and the library.

# %%
moments_of = use("evidence.moments", moments)


def log_normal(value, mean, cov):
    """log N(value; mean, cov) for a vector of any length."""
    r = value - mean
    squares = r @ np.linalg.solve(cov, r)
    return -0.5 * (squares + np.linalg.slogdet(cov).logabsdet + len(r) * np.log(2 * np.pi))


rng = np.random.default_rng(0)
W, b, x = rng.standard_normal((3, 2)), rng.standard_normal(3), rng.standard_normal(3)
by_formula = log_normal(x, *moments_of(W, b, 0.7))
by_library = LinearGaussian(W, b, 0.7).log_px(x[None])[0]

axis, step = np.linspace(-8, 8, 401, retstep=True)
points = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)  # (G, Z)  G = 401 * 401
prior = np.exp(-0.5 * (points**2).sum(axis=1)) / (2 * np.pi)  # (G,)
squares = ((x - b - points @ W.T) ** 2).sum(axis=1) / 0.7**2  # (G,)
likelihood = np.exp(-0.5 * squares) / (2 * np.pi * 0.7**2) ** 1.5  # (G,)
by_grid = np.log((likelihood * prior).sum() * step**2)
print(f"log p(x): formula {by_formula:.8f}, library {by_library:.8f}, grid {by_grid:.8f}")

assert np.isclose(by_formula, by_grid, rtol=0, atol=1e-8)
# spoil: by_formula += 1e-6
assert np.isclose(by_library, by_grid, rtol=0, atol=1e-8)
# spoil: by_library += 1e-6

# %% [markdown]
# ### With 200 latents
#
# No grid reaches there. But Bayes' rule, solved for $p(x)$, says that
#
# $$\log p(x) = \log p(x \mid z) + \log p(z) - \log p(z \mid x) .$$
#
# The posterior of this model is known. As for the one latent of page 02 precisions add: it is normal, with the
# precision (inverse covariance) $P = I + W^\top W / \sigma_x^2$ and the mean $P^{-1} W^\top (x - b) / \sigma_x^2$.
#
# *Write down a guess:* for five random $z$ the likelihoods lie hundreds of nats apart. How far apart are the five sums
# of the three terms?

# %%
guess = None  # in nats

# %% tags=["answer"]
W, b = rng.standard_normal((300, 200)) / 10, np.zeros(300)  # D = 300, Z = 200
x_wide = rng.standard_normal(300)  # (D,)
exact = log_normal(x_wide, *moments_of(W, b, 0.5))
precision = np.eye(200) + W.T @ W / 0.5**2  # (Z, Z)
mean = np.linalg.solve(precision, W.T @ (x_wide - b)) / 0.5**2  # (Z,)

terms = []
for _ in range(5):
    z = rng.standard_normal(200)  # (Z,)  any z will do
    log_likelihood = log_normal(x_wide, W @ z + b, 0.25 * np.eye(300))
    log_posterior = log_normal(z, mean, np.linalg.inv(precision))
    terms.append((log_likelihood, log_normal(z, np.zeros(200), np.eye(200)), -log_posterior))
terms = np.array(terms)  # (5, 3)
sums = terms.sum(axis=1)  # (5,)
print(f"log p(x), Z = 200:   {exact:.6f}; the five sums: {sums.round(6)}")
print(
    f"apart: the likelihoods {np.ptp(terms[:, 0]):.0f} nats, the sums {np.ptp(sums):.0e}",
    end="",
)
print(f"; your guess: {guess}")

assert np.ptp(terms[:, 0]) > 200
# spoil: terms[:, 0] = terms[0, 0]
assert np.abs(sums - exact).max() < 1e-8
# spoil: exact += 1e-6

# %% [markdown]
# Every $z$ gives the same sum: on the left stands no $z$.
#
# ## A bent decoder with one latent: a grid
#
# The decoder of a VAE is a neural network $g$, here with normal noise:
# $p(x \mid z) = \mathcal{N}(x; g(z), \sigma_x^2 I)$. As a rule $g$ is bent (**nonlinear**). Then $x$ is a *bent* map
# of a normal vector plus noise, and in general not normal. The formula ends here.
#
# We need such a decoder to play with. The data are points around a circle in the plane, so $D = 2$; there is one
# latent, $Z = 1$. The library trains it in two seconds; how, is the subject of pages 06 to 10. Here only the result
# matters: a network that turns a number into a point of the plane.

# %%
rng = np.random.default_rng(1)
sigma_x = 0.25
data = circle(2200, rng, sigma=sigma_x)  # (N, D)
x_train, x_test = data[:2000], data[2000:]  # (2000, D), (200, D)
vae = VAE(2, (64, 32), 1, "relu", Gaussian(sigma_x), rng=rng, dtype="float64")
fit(
    vae,
    x_train,
    x_test,
    epochs=60,
    optimizer=Adam(lr=1e-2),
    rng=rng,
    batch_size=100,
    binarise="none",  # the data are no pixels
    progress=False,
)
layers = [
    (vae.params[f"{name}.W"], vae.params[f"{name}.b"])
    for name in ("decoder.0", "decoder.1", "logits")
]  # (1, 32), (32, 64), (64, 2) and their biases


def g(z, upto=2):
    """The decoder, or a layer's values before its relu: (G, 1) -> (G, D) or (G, H)."""
    for W, b in layers[:upto]:
        z = np.maximum(z @ W + b, 0)  # relu
    return z @ layers[upto][0] + layers[upto][1]


assert np.allclose(g(x_test[:, :1]), vae.decode(x_test[:, :1])[0])
# spoil: layers[0] = (layers[0][0] + 1, layers[0][1])

# %% [markdown]
# With one latent a grid does the integral. The $D$ coordinates are independent given $z$, each with the noise
# $\sigma_x$. Write the sum; the decoder's values at the grid points are handed to you.


# %% tags=["blank"]
def evidence_on_grid(x, g_z, z, sigma_x):
    """p(x) as a sum over a grid z (G,), with x (D,), g_z = g(z) (G, D), and the noise sigma_x."""
    raise NotImplementedError


check("evidence.grid", evidence_on_grid)

# %% [markdown]
# The latents form a line, the data a circle. Going around it once, the decoder cuts it open somewhere. *Write down a
# guess:* how many peaks has the posterior of a point at the cut?

# %%
guess = None  # a number


def peaks(density):
    """The highest point of each stretch of z on which the density exceeds a fifth of its maximum."""
    above = np.concatenate([[False], density > 0.2 * density.max(), [False]])  # (G + 2,)
    starts, stops = np.flatnonzero(above[1:] != above[:-1]).reshape(-1, 2).T
    return [
        round(float(z[i + density[i:j].argmax()]), 2)
        for i, j in zip(starts, stops, strict=True)
    ]


# %% tags=["answer"]
on_grid = use("evidence.grid", evidence_on_grid)
z, step = np.linspace(-8, 8, 4001, retstep=True)  # (G,)
by_grid = np.log([on_grid(row, g(z[:, None]), z, sigma_x) for row in x_test])  # (200,)

log_joint = -0.5 * ((x_test[:, None] - g(z[:, None])) ** 2).sum(axis=2) / sigma_x**2  # (200, G)
log_joint += -0.5 * z**2 - np.log(2 * np.pi * sigma_x**2) - 0.5 * np.log(2 * np.pi)  # D = 2
posterior = np.exp(log_joint - by_grid[:, None])  # (200, G)  Bayes' rule
variance = posterior @ z**2 * step - (posterior @ z * step) ** 2  # (200,)
cut = variance.argmax()  # the point whose posterior is the widest
calm = np.abs(variance - np.median(variance)).argmin()  # a point of the usual kind

for name, i in (("A, a usual point", calm), ("B, at the cut", cut)):
    print(f"{name}: log p(x) = {by_grid[i]:.3f}, posterior's peaks at {peaks(posterior[i])}")
print("your guess:", guess)

assert np.allclose(posterior.sum(axis=1) * step, 1, atol=1e-3)  # both are sums over this grid
# spoil: posterior = 1.01 * posterior
assert len(peaks(posterior[calm])) == 1
# spoil: posterior[calm] = posterior[cut]
assert len(peaks(posterior[cut])) == 2
# spoil: posterior[cut] = posterior[calm]

# %% tags=["answer"]
fig, (ax, bx) = panels(2, height=3.4)
ax.plot(*x_test.T, ".", color="#BBBBBB", markersize=4, label="data")
ax.plot(*g(np.linspace(-3.2, 3.2, 600)[:, None]).T, color=GREY, label="decoder g(z)")
for tick in range(-2, 3):
    at = g(np.array([[float(tick)]]))[0]  # (D,)
    ax.plot(*at, "s", color=GREY, markersize=5)
    place = (
        (1.8 if tick == -2 else 0.65) * at / np.hypot(*at)
    )  # inside of the ring, but for one
    ax.text(*place, f"z = {tick}", fontsize=8, ha="center", va="center")
for i, colour, marker, name, style in (
    (calm, BLUE, "o", "A", "-"),
    (cut, VERMILLION, "D", "B", "--"),
):
    ax.plot(*x_test[i], marker, color=colour, markersize=9, label=f"point {name}")
    bx.plot(z, posterior[i], style, color=colour, label=f"p(z | {name})")
ax.set(aspect="equal", xlabel="$x_1$", ylabel="$x_2$", title="A line, bent into the plane")
ax.set(xlim=(-1.8, 2.1), ylim=(-1.7, 1.8))
bx.set(xlim=(-3.5, 3.5), xlabel="z", ylabel="density", title="Posteriors of two points")
fig.legend(loc="outside lower center", ncols=6, frameon=False, fontsize=8)
show(
    fig,
    "Left: a ring of data and the decoder's curve along it, whose two ends cross; a point A"
    " beside the curve, a point B where they cross. Right: the posterior of A has one peak, that of B two.",
)

# %% [markdown]
# B may have come from either end of the line. A normal density has one peak: the prior is normal in $z$, the likelihood
# in $x$, and the posterior is not.
#
# ## The same, exactly
#
# A grid is a sum in place of an integral. How wrong is it? For this network there is an exact answer to compare with.
#
# A **relu** is $\max(a, 0)$. As $z$ moves, what enters it moves along a straight line, until some unit switches on or
# off. So $g$ is made of straight pieces (**piecewise linear**), and it bends at the **kinks**, where a unit's
# input is 0. Where are those? Between two points without a kink of an earlier layer, a unit's input is straight, so its
# values at both ends say whether and where it is 0.


# %% tags=["blank"]
def kinks_between(left, right, a_left, a_right):
    """Where between left and right units are 0, from their values at both ends, (H,) each."""
    raise NotImplementedError


check("evidence.kinks", kinks_between)

# %% [markdown]
# Layer by layer this finds all kinks: the first layer's inputs are straight everywhere, the second's between the kinks
# of the first. *Before you run the cell:* the two hidden layers have 32 and 64 units. A unit of the first layer
# switches at most once. And one of the second?

# %% tags=["answer"]
kinks_in = use("evidence.kinks", kinks_between)
kinks, counts = np.array([]), []
for layer in (0, 1):
    ends = np.array([-1e6, *kinks, 1e6])  # far beyond every posterior
    a = g(ends[:, None], layer)  # (R + 1, H)  the inputs of this layer's relus
    found = [kinks_in(*ends[i : i + 2], *a[i : i + 2]) for i in range(len(ends) - 1)]
    counts.append([len(one) for one in found])
    if layer == 1:
        of_unit = ((a[1:] * a[:-1]) < 0).sum(axis=0)  # (64,)  how often each unit switches
    kinks = np.sort(np.concatenate([kinks, *found]))
print(f"kinks of the first layer {sum(counts[0])}, of the second {sum(counts[1])}", end="")
print(f", so {len(kinks) + 1} straight pieces")
print(f"one unit of the second layer switches {of_unit.max()} times")

by_library = piecewise_posterior(vae, x_test)
assert np.allclose(kinks, by_library.kinks, rtol=0, atol=1e-7)
# spoil: kinks = kinks + 1e-5
assert of_unit.max() > 1
# spoil: of_unit = np.minimum(of_unit, 1)

middle = (kinks[1:] + kinks[:-1])[:, None] / 2  # (R, 1)  of each piece with two ends
off_line = g(middle) - (g(kinks[1:, None]) + g(kinks[:-1, None])) / 2  # (R, D)
assert np.abs(off_line).max() < 1e-6  # straight in between
# spoil: off_line[3] += 1e-4

# %% [markdown]
# On one piece, $g(z) = c z + d$ with vectors $c$ and $d$. If the decoder were this line for *all* $z$, your first
# blank would have its evidence, $p_\text{line}(x)$, and the posterior would be a normal density
# $\mathcal{N}(z; \text{mean}, \text{sd}^2)$. By Bayes' rule their product is the joint, and on the piece that is the
# joint of the network as well. So what does the piece add to $p(x)$? Python's `math.erf(u)` is
# $\frac{2}{\sqrt\pi} \int_0^u e^{-t^2}\, dt$, for an infinite $u$ too.


# %% tags=["blank"]
def piece(px_line, mean, sd, left, right):
    """What a piece adds to p(x); its line has the evidence px_line and the posterior N(mean, sd^2)."""
    raise NotImplementedError


check("evidence.piece", piece)

# %% [markdown]
# $p(x)$ is the sum over all pieces, the two without an outer end included. Nothing is approximated.

# %%
integral_of = use("evidence.piece", piece)
ends = np.array([-np.inf, *kinks, np.inf])  # (R + 1,)


def evidence_by_pieces(x):
    """p(x), (N,), of the rows of x (N, D): a sum over the R pieces."""
    total = np.zeros(len(x))  # (N,)
    for left, right in pairwise(ends):
        begin = left if np.isfinite(left) else right - 1
        length = (right if np.isfinite(right) else left + 1) - begin
        z = begin + length * np.array([[0.3], [0.7]])  # (2, 1)  two points of the piece
        c = (g(z[1:]) - g(z[:1])) / (z[1] - z[0])  # (1, D)  the slope
        d = g(z[:1]) - c * z[0]  # (1, D)
        line = LinearGaussian(c.T, d[0], sigma_x)
        means, cov = line.posterior(x)  # (N, 1), (1, 1)
        sd, px_line = np.sqrt(cov[0, 0]), np.exp(line.log_px(x))  # a number, (N,)
        total += [
            integral_of(p, m, sd, left, right)
            for p, m in zip(px_line, means[:, 0], strict=True)
        ]
    return total


# %%
log_px = np.log(evidence_by_pieces(x_test))  # (200,)
print(f"log p(x) of the first point: {log_px[0]:.10f} by {len(kinks) + 1} pieces,", end="")
print(f" {by_grid[0]:.10f} on a grid")
print(
    f"all 200: from the library's pieces {np.abs(log_px - by_library.log_px).max():.0e}", end=""
)
print(f", from the grid {np.abs(log_px - by_grid).max():.0e} nats at most")

assert np.allclose(log_px, by_library.log_px, rtol=0, atol=1e-9)
# spoil: log_px[5] += 1e-6
assert np.allclose(log_px, by_grid, rtol=0, atol=1e-3)
# spoil: by_grid = by_grid + 0.01

# %% [markdown]
# ### How wrong is a grid?
#
# *Write down a guess:* twice as many points on the grid. By which factor does the error fall, for the network with its
# kinks? And for a straight decoder, whose joint is smooth?

# %%
guess = None  # two numbers, for example (2, 2)

# %% tags=["answer"]
sizes = np.array([26, 51, 101, 201, 401, 801, 1601, 3201, 6401])  # points on [-8, 8]
c, d = (g(np.array([[0.1]])) - g(np.array([[0.0]]))) / 0.1, g(np.array([[0.0]]))  # (1, D) each
line = LinearGaussian(c.T, d[0], sigma_x)  # a straight decoder, with g's slope near z = 0
errors = {"network": [], "line": []}
for n in sizes:
    z_n = np.linspace(-8, 8, n)  # (n,)
    for name, values, true in (
        ("network", g(z_n[:, None]), log_px),
        ("line", c * z_n[:, None] + d, line.log_px(x_test)),
    ):
        sums = np.log([on_grid(row, values, z_n, sigma_x) for row in x_test])  # (200,)
        errors[name].append(np.median(np.abs(sums - true)))
network, straight = np.array(errors["network"]), np.array(errors["line"])  # (9,) each
per_doubling = (network[3] / network[8]) ** (1 / 5)
print("points  ", *(f"{n:8}" for n in sizes))
print("network ", *(f"{e:8.0e}" for e in network))
print("straight", *(f"{e:8.0e}" for e in straight))
print(f"network, per doubling from 201 points on: {per_doubling:.1f}; your guess: {guess}")

values, stated = grid_log_evidence(vae, x_test, n=401)  # (200,) each
beyond = (np.abs(values - log_px) > stated).sum()
above = (values > log_px).sum()
print(f"401 points: too high for {above} of 200; the library's estimate of its error", end="")
print(f" is too small for {beyond}")

assert 2.5 < per_doubling < 6.5
# spoil: per_doubling = 16
assert beyond > 4
# spoil: beyond = 0
assert 20 < above < 180  # the error has either sign
# spoil: above = 0
assert straight[4] < 1e-9 < 1e-5 < network[4]  # 401 points
# spoil: straight = network

# %% tags=["answer"]
fig, ax = panels(height=3.0, xlabel="points of the grid", ylabel="error of log p(x), nats")
ax.loglog(sizes, network, "o-", color=VERMILLION, label="network, with kinks")
ax.loglog(sizes, np.maximum(straight, 1e-16), "s--", color=BLUE, label="straight decoder")
ax.loglog(
    sizes[3:], network[3] * (sizes[3] / sizes[3:]) ** 2, ":", color=GREY, label="1 / points²"
)
ax.legend(frameon=False)
show(
    fig,
    "Two errors against the number of grid points, both axes logarithmic. That of the straight"
    " decoder drops from about 1 to rounding within a few sizes. That of the network falls, from"
    " 201 points on, about as a dotted line for one over points squared.",
)

# %% [markdown]
# At every kink a sum over a grid is a little off, upwards or downwards: from 201 points on the error falls about
# fourfold a doubling, on average; that of the straight decoder is down to rounding by 401 points. And the library's
# estimate of the error is too small at some points. Where there is an exact sum, take it.
#
# ## What makes it hard
#
# > **Often said.** "The integral is hard because $z$ has many dimensions."
# >
# > **What is true.** Straight, with normal noise: closed form for 200 latents. Bent, with one latent: a grid, or a sum
# > of pieces. It gets hard where both come together.
# >
# > **Run these cells.** We need a bent decoder with many latents and a *known* evidence. So we build one: $Z$ rings,
# > each bent by a latent $u_j$ of its own, as above. Then we hide how it was made: $z = Q u$ with an orthogonal
# > $Z \times Z$ matrix $Q$, which turns the latents. As $z$ is, $u$ is $\mathcal{N}(0, I)$, so $\log p(x)$ is the sum
# > over the rings, for every $Q$.


# %%
def turn(Z, seed):
    """A random orthogonal matrix."""
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((Z, Z)))[0]  # (Z, Z)


def rings(z, Q):
    """The decoder of Z rings: (G, Z) -> (G, 2 Z)."""
    u = z @ Q  # (G, Z)  each row is Q^T z
    return np.concatenate([g(u[:, [j]]) for j in range(u.shape[1])], axis=1)


Q_2 = turn(2, 0)
axis, step = np.linspace(-5, 5, 301, retstep=True)
plane = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)  # (G, Z)
x_2 = x_test[[cut, calm]].reshape(-1)  # (4,)  B on one ring, A on the other
squares = ((x_2 - rings(plane, Q_2)) ** 2).sum(axis=1) / sigma_x**2 + (plane**2).sum(axis=1)
two_rings = np.log(np.exp(-0.5 * squares).sum() * step**2)
two_rings -= 2 * np.log(2 * np.pi * sigma_x**2) + np.log(2 * np.pi)
print(f"two rings: {two_rings:.4f} on a grid of the plane", end="")
print(f", {log_px[cut] + log_px[calm]:.4f} as a sum over the rings")

assert np.isclose(two_rings, log_px[cut] + log_px[calm], rtol=0, atol=0.01)
# spoil: two_rings += 0.1

# %% [markdown]
# Now 20 rings; call their decoder $g$ as well. Three ways are open: the closed form of a straight decoder that touches
# $g$ at $z_0$, the highest point of the posterior, $g(z) \approx g(z_0) + J (z - z_0)$ with the slopes $J$; a grid with
# 101 points on each axis; the pieces. *Before you run the cell:* how long does the grid take, at a billion points a
# second?

# %%
guess = None  # in years


def log_px_of_tangent(decode, x, z0):
    """log p(x) of the straight decoder that touches decode at z0 (Z,)."""
    h = 1e-6 * np.eye(len(z0))  # (Z, Z)  one small step for each latent
    here = decode(z0[None])[0]  # (D,)
    J = (decode(z0 + h) - decode(z0 - h)).T / 2e-6  # (D, Z)
    return LinearGaussian(J, here - J @ z0, sigma_x).log_px(x[None])[0]


# %% tags=["claim-09", "answer"]
rng = np.random.default_rng(2)
highest = z[log_joint.argmax(axis=1)]  # (200,)  of one ring; the rings' posteriors multiply
off, years, pieces = {}, {}, {}
for Z in (1, 2, 5, 20):
    Q, missed_by = turn(Z, 3), []
    for _ in range(100):
        i = rng.integers(200, size=Z)  # (Z,)  a point for each ring
        value = log_px_of_tangent(
            lambda z, Q=Q: rings(z, Q), x_test[i].reshape(-1), Q @ highest[i]
        )
        missed_by.append(value - log_px[i].sum())
    off[Z] = np.sqrt(np.mean(np.square(missed_by)))
    years[Z], pieces[Z] = 101.0**Z / 1e9 / 3.15e7, float(len(kinks) + 1) ** Z
    print(f"Z = {Z:2}: tangent off by {off[Z]:.2f} nats (root mean square)", end="")
    print(f"; grid {years[Z]:8.1e} years; {pieces[Z]:.0e} pieces")
W, x_40 = rng.standard_normal((40, 20)), 5 * rng.standard_normal(40)  # (D, Z), (D,)  straight
tangent = log_px_of_tangent(lambda z: z @ W.T, x_40, rng.standard_normal(20))
off["straight"] = abs(tangent - log_normal(x_40, *moments_of(W, np.zeros(40), sigma_x)))
print(f"straight, Z = 20: off by {off['straight']:.0e}; your guess: {guess}")

assert off["straight"] < 1e-4 < 0.05 < off[1]
# spoil: off['straight'] = off[1]
assert 2 * off[1] < off[20]
# spoil: off[20] = off[1]
assert off[1] < off[2] < off[5] < off[20]
# spoil: off[5] = off[2]
assert years[5] < 1e-6 < 1.4e10 < years[20]  # half a minute; the age of the universe
# spoil: years[20] = years[5]
assert pieces[20] > 1e30
# spoil: pieces[20] = pieces[5]

# %% [markdown]
# The formula is wrong, the more so the more bent latents there are; the grid and the pieces have become astronomical.
# That *these* rings fall apart into 20 easy integrals is a back door that we built, and nobody builds one into a
# trained network.
#
# ### A straight layer, and bits
#
# *Before you run the cell:* the decoder is one linear layer, and $x$ are bits: $x_d$ is 1 with the probability
# $\mathrm{sigmoid}(W_d z + b_d)$, as for black and white pixels (**Bernoulli**), where
# $\mathrm{sigmoid}(a) = 1 / (1 + e^{-a})$. Is there a closed form? **Laplace's approximation** is a parabola through
# the highest point of $\log p(x, z)$, with its curvature there; for this layer with normal noise it gives
# $\log p(x)$ exactly.

# %% tags=["answer"]
W, b = np.array([4.0, -3.0, 2.0]), np.array([1.0, 0.5, -1.0])  # (D,) each: Z = 1, D = 3
z, step = np.linspace(-10, 10, 20_001, retstep=True)  # (G,)
logits = z[:, None] * W + b  # (G, D)
log_prior = -0.5 * (z**2 + np.log(2 * np.pi))  # (G,)
bits = np.array([[i >> 2 & 1, i >> 1 & 1, i & 1] for i in range(8)])  # (8, D)  all there are
of_bits = bits @ logits.T - np.log1p(np.exp(logits)).sum(axis=1) + log_prior  # (8, G)
of_noise = -0.5 * (bits[:, None] - logits) ** 2 - 0.5 * np.log(
    2 * np.pi
)  # (8, G, D)  sigma_x 1
of_noise = of_noise.sum(axis=2) + log_prior  # (8, G)

worst, true = {}, {}
for name, log_p in (("bits", of_bits), ("normal noise", of_noise)):
    true[name] = np.log(np.exp(log_p).sum(axis=1) * step)  # (8,)
    top = log_p.argmax(axis=1)  # (8,)
    here, left, right = (log_p[np.arange(8), top + i] for i in (0, -1, 1))  # (8,) each
    curvature = (2 * here - left - right) / step**2  # (8,)
    parabola = here + 0.5 * np.log(2 * np.pi / curvature)  # (8,)
    worst[name] = np.abs(parabola - true[name]).max()
    print(
        f"{name:12}: parabola off by up to {worst[name]:.0e} nats, for the same straight layer"
    )

assert np.isclose(np.exp(true["bits"]).sum(), 1)  # the probabilities of all 8
# spoil: true['bits'] = true['bits'] + 0.01
assert worst["normal noise"] < 1e-5
# spoil: worst['normal noise'] = worst['bits']
assert worst["bits"] > 0.05
# spoil: worst['bits'] = worst['normal noise']

# %% [markdown]
# None is known. The sigmoid bends the mean of $x$, and $\log p(x \mid z)$ is no parabola in $z$. So "bent" means: the
# joint, as a function of $z$, is not of the shape of a normal density. A VAE for images nearly always is bent, and
# often has tens of latents.
#
# What is left? The integral is a mean over the prior, and a mean can be estimated from draws.
#
# ## Your progress

# %%
progress("evidence")

# %% [markdown]
# ## Recap
#
# 1. **Definition.** $p(x) = \int p(x \mid z)\, p(z)\, dz$, and we want its logarithm, in nats.
# 2. **Straight.** With normal noise $x \sim \mathcal{N}(b, W W^\top + \sigma_x^2 I)$, for any number of latents.
# 3. **Few latents.** A grid; with one latent, relu layers and normal noise a finite sum of erf terms, exactly.
# 4. **Posterior.** Of a bent decoder it is in general not normal, and may have several peaks.
# 5. **Hard.** Bent and many latents *together*: no closed form is known, and a grid takes $n^Z$ points.
#
# ## On your own
#
# 1. In the straight model let $\sigma_x$ go to 0 with $D > Z$. What does $\log p(x)$ tend to for an $x$ outside of the
#    plane $b + W z$, and why?
# 2. How does the formula of the straight decoder change if the prior is $\mathcal{N}(m, S)$?
# 3. With which probability does B come from the left end of the line? You have all you need: sum pieces.
# 4. Two latents, relu layers: what are the pieces now, and what would have to be integrated over them?
# 5. *A small project.* Train the network with other seeds. How many pieces do you get? Where is the grid worst?
#
# ## Further reading
#
# - Christopher Bishop, *Pattern Recognition and Machine Learning* (2006), section 12.2.
# - Michael Tipping and Christopher Bishop, *Probabilistic Principal Component Analysis* (1999).
# - The derivation pages on [Bayes and the evidence](derivations/01_evidence.ipynb), on
#   [the linear-Gaussian model](derivations/09_linear_gaussian.ipynb) and on
#   [the relu decoder](derivations/10_relu_decoder.ipynb).
#
# [Back: Bayes' rule](02_bayes_rule.ipynb) · [Contents](README.md) ·
# [Next: estimating the evidence](04_estimating_the_evidence.ipynb)
