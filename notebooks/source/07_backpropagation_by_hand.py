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
# # 07 · Backpropagation by hand
#
# Training needs the derivative of one number with respect to hundreds of thousands of weights. This page works it out
# for a dense layer and for activations, says how to check it, and shows where the textbook formulas break in floating
# point.
#
# **What you will do**
# - differentiate a dense layer index by index, and turn the sums into matrix products;
# - check a gradient with differences, and see how small the step should be;
# - find out where naive formulas overflow, and use stable ones.
#
# **What you will learn**
# - where the transpose comes from, and why gradients add at a fork;
# - what a gradient check can see, and what fools it;
# - how to read a report that names the cause of a wrong gradient and does not give the answer away.
#
# **What you need**
# - partial derivatives and matrix products. About 30 minutes. It runs in about ten seconds.

# %%
from importlib.util import find_spec

if find_spec("scratchvae") is None:
    raise SystemExit(
        "This page needs scratchvae; in the README's folder: pip install -r requirements.txt"
    )

import numpy as np

from scratchvae.checks import check_vjp
from scratchvae.layers import dense, dense_backward, relu, sigmoid, softplus
from scratchvae.layers import tanh, tanh_backward
from scratchvae.view.notebook import panels, show

BLUE, VERMILLION, GREY = "#0072B2", "#D55E00", "#555555"

# %% [markdown]
# ## What a backward pass computes
#
# A layer turns an array $x$ into an array $y$. Further layers turn $y$ into one number $s$, the thing that is
# maximised or minimised. Write `dy` for the derivatives of $s$ with respect to the entries of $y$: an array of the
# shape of $y$, the **upstream gradient**. Somebody hands it to us. Our task is `dx`, the derivatives of $s$ with
# respect to the entries of $x$.
#
# The **chain rule** for many variables says: sum over every way in which an entry of $x$ can change $s$,
#
# $$\text{dx}_m = \sum_n \text{dy}_n \frac{\partial y_n}{\partial x_m} .$$
#
# That is all of backpropagation. The rest is filling in $\partial y_n / \partial x_m$, and doing the sum cleverly.
#
# ## A dense layer, by indices
#
# Sizes: $B$ examples in a batch, $I$ inputs, $O$ outputs. $x$ has the shape $(B, I)$, the weights $W$ the shape
# $(I, O)$, the biases $b$ the shape $(O,)$, and $y$ the shape $(B, O)$. For example $n$ and output $o$,
#
# $$y_{no} = \sum_i x_{ni} W_{io} + b_o .$$
#
# Three derivatives:
#
# $$\frac{\partial y_{no}}{\partial x_{ni}} = W_{io}, \qquad
#   \frac{\partial y_{no}}{\partial W_{io}} = x_{ni}, \qquad
#   \frac{\partial y_{no}}{\partial b_o} = 1 .$$
#
# All others are zero: an example's outputs do not depend on another example's inputs, and output $o$ does not use the
# weights of another output. Put them into the chain rule, and sum over what remains:
#
# $$\text{dx}_{ni} = \sum_o \text{dy}_{no} W_{io}, \qquad
#   \text{dW}_{io} = \sum_n x_{ni}\, \text{dy}_{no}, \qquad
#   \text{db}_o = \sum_n \text{dy}_{no} .$$

# %%
rng = np.random.default_rng(0)
B, n_in, n_out = 5, 3, 2
x, W, b = rng.standard_normal((B, n_in)), rng.standard_normal((n_in, n_out)), rng.random(n_out)
dy = rng.standard_normal((B, n_out))  # (B, O)  the upstream gradient, handed to us

dx, dW, db = np.zeros_like(x), np.zeros_like(W), np.zeros_like(b)
for n in range(B):
    for o in range(n_out):
        db[o] += dy[n, o]
        for i in range(n_in):
            dx[n, i] += dy[n, o] * W[i, o]
            dW[i, o] += x[n, i] * dy[n, o]
print("dW by loops:\n", dW.round(4))

# %% [markdown]
# ### Where the transpose comes from
#
# > **Often said.** "In the backward pass you transpose the weights", as a rule to be remembered.
# >
# > **What is true.** A matrix product sums over the *inner* index: $(AC)_{no} = \sum_i A_{ni} C_{io}$. In
# > $\text{dx}_{ni} = \sum_o \text{dy}_{no} W_{io}$ the summed index is $o$, which stands last in $W$. To bring it
# > inside, swap the two indices of $W$: $\sum_o \text{dy}_{no} (W^\top)_{oi}$. The transpose only puts the summed
# > index where a matrix product wants it. The same for $\text{dW}$, where the sum runs over examples.
# >
# > And gradients **add at a fork**, since the chain rule sums over all uses: $b_o$ is used by every example, so its
# > gradient is a sum over examples, not a mean.
# >
# > **Run this cell.** Loops, matrices and the library must agree; then a value that is used twice.

# %% tags=["stumble-04"]
y, cache = dense(x, W, b)
for by_loop, by_matrix, by_library in zip(
    (dx, dW, db), (dy @ W.T, x.T @ dy, dy.sum(axis=0)), dense_backward(dy, cache), strict=True
):
    assert np.allclose(by_loop, by_matrix)
    assert np.allclose(by_loop, by_library)
print("dx = dy W^T, dW = x^T dy, db = the sum of the rows of dy")

W2 = rng.standard_normal((n_in, n_out))  # a second layer that uses the same x


def s(x):
    """One number, in which x is used twice."""
    return (dy * (x @ W + b)).sum() + (dy * np.tanh(x @ W2)).sum()


y2, cache2 = dense(x, W2, np.zeros(n_out))
t, tanh_cache = tanh(y2)
dx2, _, _ = dense_backward(tanh_backward(dy, tanh_cache), cache2)

step = np.zeros_like(x)
step[1, 2] = 1e-6
difference = (s(x + step) - s(x - step)) / 2e-6
print(f"first use {dx[1, 2]:+.6f}, second {dx2[1, 2]:+.6f}, sum {dx[1, 2] + dx2[1, 2]:+.6f}")
print(f"by a difference                            {difference:+.6f}")
assert np.isclose(dx[1, 2] + dx2[1, 2], difference, rtol=1e-6)

# %% [markdown]
# ## Activations
#
# An activation $g$ acts on each entry by itself, $y_{ni} = g(x_{ni})$. Then only one term of the chain rule is left,
# and
#
# $$\text{dx}_{ni} = \text{dy}_{ni}\, g'(x_{ni}) .$$
#
# | $g(t)$ | $g'(t)$ | what the forward pass keeps |
# |---|---|---|
# | $\max(t, 0)$, relu | 1 for $t > 0$, 0 for $t < 0$ | the mask $t > 0$ |
# | $\tanh t$ | $1 - \tanh^2 t$ | the output |
# | $1 / (1 + e^{-t})$, sigmoid | $g(t)\,(1 - g(t))$ | the output |
# | $\log(1 + e^t)$, softplus | $1 / (1 + e^{-t})$ | the sigmoid |
#
# At $t = 0$ the relu has no derivative: its slope jumps from 0 to 1. The library takes 0 there.

# %%
t = np.linspace(-4, 4, 400)
fig, axes = panels(4, height=2.1, xlabel="t")
for ax, forward, name in zip(
    axes, (relu, tanh, sigmoid, softplus), ("relu", "tanh", "sigmoid", "softplus"), strict=True
):
    values = forward(t)[0]
    ax.plot(t, values, color=BLUE, label="g")
    ax.plot(
        t[1:-1],
        (values[2:] - values[:-2]) / (t[2:] - t[:-2]),
        "--",
        color=VERMILLION,
        label="g'",
    )
    ax.set_title(name)
axes[0].legend(frameon=False)
show(
    fig,
    "Four activations and their slopes: relu with a jump in its slope, tanh, sigmoid, softplus.",
)

# %% [markdown]
# ## Checking a gradient
#
# Move the input by a small step $h$ in some direction $u$, forward and back, and divide:
#
# $$\frac{s(x + h u) - s(x - h u)}{2h} \approx \sum_m \text{dx}_m u_m .$$
#
# This **central difference** is off by about $h^2$ times a third derivative (Taylor's formula; the term in $h$
# cancels). But $s$ is rounded: its last digits are noise of the size $\varepsilon |s|$, where $\varepsilon$ is the
# resolution of the floating-point format, about $10^{-16}$ in float64. Divided by $h$ the noise grows as $h$ shrinks.
# So the error falls and then rises: a **V-curve**. *Before you run the cell:* where is its lowest point, roughly?

# %%
direction = rng.standard_normal(x.shape)
exact = ((dx + dx2) * direction).sum()
steps = 10.0 ** np.arange(-13, 0.5, 0.5)
errors = [abs((s(x + h * direction) - s(x - h * direction)) / (2 * h) - exact) for h in steps]
best = steps[np.argmin(errors)]

fig, ax = panels(height=2.8, width=5.4, xlabel="step h", ylabel="error of the difference")
ax.loglog(steps, np.maximum(errors, 1e-17), "o-", color=BLUE, markersize=3)
ax.loglog(
    steps[steps >= 1e-4], 0.3 * steps[steps >= 1e-4] ** 2, "--", color=GREY, label="h squared"
)
ax.loglog(
    steps[steps <= 1e-7], 3e-16 / steps[steps <= 1e-7], ":", color=GREY, label="rounding / h"
)
ax.set_title("The V-curve of a central difference, float64")
ax.legend(frameon=False)
show(
    fig,
    "A V on logarithmic axes: the error falls with h squared to the right of 1e-5 and rises to its left.",
)

print(f"smallest error {min(errors):.0e} at h = {best:.0e}")
assert 1e-7 < best < 1e-3
assert min(errors) < 1e-8

# %% [markdown]
# ### What fools a check
#
# > **Often said.** "The difference does not agree, so my gradient is wrong", or "it agrees to 1 %, good enough".
# >
# > **What is true.** Three things make a check of a *right* gradient fail. A **kink**: if the step crosses it, the
# > difference averages two slopes. **float32**: with its resolution of $10^{-7}$ the whole V-curve lies far higher,
# > and the small steps that are right for float64 drown in rounding. **Noise** that is drawn inside: then $s$ is not
# > the same function twice. So: step off kinks, check in float64, and hand the noise in. And 1 % is not good enough:
# > in float64 a right gradient agrees to many digits.
# >
# > **Run this cell.** It commits all three sins on purpose.

# %% tags=["stumble-11"]
h = 1e-4
at_kink = 0.3 * h  # so near to 0 that the step crosses it; the true slope is 1
across = (relu(np.array(at_kink + h))[0] - relu(np.array(at_kink - h))[0]) / (2 * h)
print(f"kink: slope 1 measured as {across:.2f}")
assert abs(across - 1) > 0.1

x32, W32 = x.astype("float32"), W.astype("float32")
errors32 = []
for h in (1e-2, 1e-3, 1e-4, 1e-5):
    moved = [np.tanh((x32 + np.float32(k * h)) @ W32).sum(dtype="float32") for k in (1, -1)]
    slope = ((1 - np.tanh(x @ W) ** 2) @ W.T).sum()
    errors32.append(abs((moved[0] - moved[1]) / (2 * h) - slope) / abs(slope))
    print(f"float32, h = {h:.0e}: relative error {errors32[-1]:.0e}")
assert min(errors32) > 100 * min(errors)  # the whole V-curve lies higher

drawing = np.random.default_rng(1)
noisy = [((x + k * 1e-5) * drawing.standard_normal(x.shape)).sum() for k in (1, -1)]
print(f"noise drawn inside: 'slope' {(noisy[0] - noisy[1]) / 2e-5:.0e}")
assert abs(noisy[0] - noisy[1]) / 2e-5 > 1e3

# %% [markdown]
# ### A check that does not show the answer
#
# A checker could print the right gradient. Then nothing is learned. The library's `check_vjp` compares your forward
# and backward in random directions and, where they disagree, looks for a *cause*: a constant factor, a transpose, a
# sum that is missing. It takes a forward that returns `y, cache` and a backward that takes `dy, cache`.
#
# Here is a student's dense layer with two mistakes. Can you see them before the report does?


# %% tags=["stumble-14"]
def my_dense(x, W, b):
    """Right."""
    return x @ W + b, (x, W)


def my_dense_backward(dy, cache):
    """Wrong in two places."""
    x, W = cache
    return {"x": dy @ W.T, "W": x.T @ dy / len(x), "b": dy.mean(axis=0)}


inputs = {"x": x, "W": W, "b": b}
report = check_vjp(my_dense, my_dense_backward, inputs)
print(report)

assert not report.ok
assert {finding.input for finding in report.findings} >= {"W"}
assert check_vjp(dense, dense_backward, inputs).ok

# %% [markdown]
# The report's picture shows the V-curve of the whole pair, and a second test: the **Taylor remainder**. For a right
# gradient, $s(x + hu) - s(x) - h \sum_m \text{dx}_m u_m$ falls like $h^2$, a slope of 2 on logarithmic axes. For a
# wrong one a term in $h$ is left, and the slope is 1.


# %%
def curved(x):
    """A dense layer and a tanh: y and what the backward needs."""
    y, dense_cache = dense(x, W, b)
    t, tanh_cache = tanh(y)
    return t, (dense_cache, tanh_cache)


def curved_backward(dt, cache):
    dense_cache, tanh_cache = cache
    dx, _, _ = dense_backward(tanh_backward(dt, tanh_cache), dense_cache)
    return dx


good = check_vjp(curved, curved_backward, {"x": x})
assert good.ok
show(
    good.plot(),
    "Left a V-curve of the error against the step, right a straight line with the slope two.",
)

# %% [markdown]
# ## Where the formulas break
#
# The sigmoid is $1 / (1 + e^{-t})$, and softplus $\log(1 + e^t)$. Typed as they stand, both call the exponential of a
# large number for some $t$. The largest number of a format is about $6.6 \cdot 10^4$ in float16, $3.4 \cdot 10^{38}$
# in float32 and $1.8 \cdot 10^{308}$ in float64. Beyond $e^{11}$, $e^{88}$ and $e^{709}$ the exponential is infinite.
# Then comes $\infty - \infty$, or $0 \cdot \infty$, and **NaN**, "not a number", which spreads to every weight.
#
# Stable forms of the same functions never exponentiate a large number:
#
# $$\text{sigmoid}(t) = \tfrac12 (1 + \tanh(t/2)), \qquad
#   \text{softplus}(t) = \max(t, 0) - \log \max(p, 1 - p), \quad p = \text{sigmoid}(t).$$
#
# The first holds since $\tanh(t/2) = (1 - e^{-t}) / (1 + e^{-t})$. For the second: if $t > 0$, then
# $\log(1 + e^t) = t + \log(1 + e^{-t}) = t - \log p$; if $t < 0$, it is $-\log(1 - p)$.
#
# > **Often said.** "My loss is NaN, so the learning rate is too high."
# >
# > **What is true.** Perhaps. But look first at the cross-entropy, $-x \log p - (1 - x) \log(1 - p)$: where $p$ is
# > rounded to 1 and $x = 1$, the second term is $0 \cdot \log 0$, which is $0 \cdot (-\infty)$, NaN. And an unbounded
# > log-variance overflows in $e^v$.
# >
# > **Run this cell.** It maps where four naive formulas fail, in three formats.


# %% tags=["stumble-07"]
def naive_cross_entropy(t):
    """For a pixel x = 1, from the probability."""
    p = 1 / (1 + np.exp(-t))
    return -1 * np.log(p) - (1 - 1) * np.log(1 - p)


formulas = {
    "1 / (1 + exp(-t))": (lambda t: 1 / (1 + np.exp(-t)), lambda t: sigmoid(t)[0]),
    "exp(t) / (1 + exp(t))": (lambda t: np.exp(t) / (1 + np.exp(t)), lambda t: sigmoid(t)[0]),
    "log(1 + exp(t))": (lambda t: np.log(1 + np.exp(t)), lambda t: softplus(t)[0]),
    "cross-entropy from p, x = 1": (naive_cross_entropy, lambda t: softplus(-t)[0]),
}
reach = np.array([-1e4, -800.0, -100.0, -20.0, 0.0, 20.0, 100.0, 800.0, 1e4])
reference = {name: stable(reach.astype("float64")) for name, (_, stable) in formulas.items()}
fails = np.zeros((len(formulas), 3, len(reach)), bool)
for row, (name, (naive, stable)) in enumerate(formulas.items()):
    for column, dtype in enumerate(("float16", "float32", "float64")):
        with np.errstate(all="ignore"):
            values = naive(reach.astype(dtype)).astype(float)
        close = np.isclose(values, reference[name], rtol=1e-2, atol=1e-2)
        fails[row, column] = ~(np.isfinite(values) & close)
        assert np.isfinite(stable(reach.astype(dtype))).all()  # the stable form never fails

fig, axes = panels(4, height=2.0)
for ax, name, failed in zip(axes, formulas, fails, strict=True):
    ax.imshow(np.where(failed, 1.0, 0.0), cmap="Oranges", vmin=0, vmax=1.4, aspect="auto")
    for i, j in zip(*np.nonzero(failed), strict=True):
        ax.text(j, i, "x", ha="center", va="center", fontsize=8)
    ax.set_title(name, fontsize=7.5)
    ax.set_xticks(range(0, 9, 2), ["-1e4", "-100", "0", "100", "1e4"], fontsize=7)
    ax.set_yticks(
        range(3), ["float16", "float32", "float64"] if ax is axes[0] else ["", "", ""]
    )
    ax.set_xlabel("t")
show(
    fig,
    "Four small tables, formats against t; crosses mark where a naive formula is wrong or not finite.",
)

assert fails.any(axis=2).sum() >= 8  # not a rare accident
assert not fails[0].any()  # it overflows, and is saved by 1 / infinity = 0
print(f"{fails.sum()} of {fails.size} cells fail; the stable forms fail nowhere")

# %% [markdown]
# The first formula is saved by luck: its exponential overflows too, and one over infinity is 0, which is right. NumPy
# still warns. The others have no such luck.
#
# ## Recap
#
# 1. **Definition.** A backward turns dy, the derivative with respect to outputs, into those of inputs and weights.
# 2. **Two forms.** Sums over indices; matrix products, where the summed index must stand inside.
# 3. **Sign.** A backward has none of its own; the upstream gradient carries it.
# 4. **Shape and unit.** A gradient has the shape of its thing, and the unit of $s$ over that of the thing.
# 5. **A check is right when** it is in float64, off kinks, with fixed noise, and judged by more than one direction.
#
# ## On your own
#
# 1. Why is `db` a sum over the batch, although most people want a mean in the end? Where is the mean taken?
# 2. Derive the backward of $y = x / \lVert x \rVert$ for one vector, by indices, and check it with `check_vjp`.
# 3. Find the mistake that the report found in `my_dense_backward`, and mend it. Why could two wrongs look right for
#    $B = 1$?
# 4. Write `leaky_relu` and its backward. What does the checker say exactly at the kink?
# 5. *A small project.* Write softmax and cross-entropy as one layer with a stable forward, derive its backward, and
#    let the checker find a mistake that you plant.
#
# ## Further reading
#
# - [The derivation of each layer's backward](../docs/derivations/05_layers.md), with each equation's test.
# - [The museum](../docs/museum.md): wrong gradients from real code, and which check sees them.
# - Andreas Griewank and Andrea Walther, *Evaluating Derivatives* (2008).
#
# [Back: the reparameterization trick](06_the_reparameterization_trick.ipynb) · [Contents](README.md) ·
# [Next: gradients through mu and sigma](08_gradients_through_mu_and_sigma.ipynb)
