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
# Training needs the derivative of one number with respect to every weight. This page derives it for the parts that a
# network is made of, index by index, and shows how to find out whether a derivative is right.
#
# **What you will do**
# - differentiate a dense layer by indices, and turn the sums into matrix products;
# - check derivatives by differences, and look at where such checks fail;
# - map where the simple formulas of sigmoid and softplus break.
#
# **What you will learn**
# - where the transpose comes from, and why gradients add at a fork;
# - what a good gradient check looks like, and what it tells you;
# - how to compute a loss that is never NaN without cause.
#
# **What you need**
# - partial derivatives, the chain rule, matrix products. About 30 minutes. It runs in about ten seconds.

# %%
from importlib.util import find_spec

if find_spec("scratchvae") is None:
    raise SystemExit(
        "This page needs scratchvae; in the README's folder: pip install -r requirements.txt"
    )

import numpy as np

from scratchvae import VAE, Adam, Bernoulli, Chain, Dense, fit, kl_to_standard_normal, load_data
from scratchvae.checks import check_vjp
from scratchvae.layers import (
    ACTIVATIONS,
    Activation,
    dense,
    dense_backward,
    relu,
    relu_backward,
)
from scratchvae.layers import sigmoid, softplus
from scratchvae.view.notebook import panels, show

# %% [markdown]
# ## A dense layer, by indices
#
# The sizes: $B$ examples in a batch, $I$ inputs and $O$ outputs of a layer. The input $x$ has the shape $(B, I)$, the
# weights $W$ the shape $(I, O)$, the bias $b$ the shape $(O,)$. The layer computes $y$ of the shape $(B, O)$:
#
# $$y_{bo} = \sum_i x_{bi} W_{io} + b_o .$$
#
# Somewhere further on stands one number $J$ that depends on $y$; during training it is the loss. Suppose that we know
# already how $J$ reacts to each output. This array is called the **upstream gradient**:
#
# $$\text{dy}_{bo} = \frac{\partial J}{\partial y_{bo}}, \quad \text{of the shape of } y.$$
#
# In the same way $\text{dx}$, $\text{dW}$, $\text{db}$ stand for the derivatives of $J$ with respect to $x$, $W$ and
# $b$, each with the shape of its thing. The chain rule says: add up, over **all** outputs, how $J$ reacts to the
# output times how the output reacts to the input,
#
# $$\text{dx}_{bi} = \sum_{b'} \sum_o \text{dy}_{b'o}\, \frac{\partial y_{b'o}}{\partial x_{bi}} .$$
#
# Row $b'$ of $y$ uses row $b'$ of $x$ and no other, so only $b' = b$ is left; and $\partial y_{bo} / \partial x_{bi}
# = W_{io}$. In the same way $\partial y_{bo} / \partial W_{io} = x_{bi}$ and $\partial y_{bo} / \partial b_o = 1$,
# and these two are used by every row:
#
# $$\text{dx}_{bi} = \sum_o \text{dy}_{bo}\, W_{io}, \qquad \text{dW}_{io} = \sum_b x_{bi}\, \text{dy}_{bo}, \qquad
#   \text{db}_o = \sum_b \text{dy}_{bo} .$$
#
# ### From sums to matrix products
#
# A matrix product $(A C)_{mn} = \sum_k A_{mk} C_{kn}$ sums over the **last** index of the left factor and the
# **first** of the right one. In $\text{dx}$ the sum runs over $o$, which is last in $\text{dy}$, but also last in
# $W$. So $W$ has to be turned: $W_{io} = (W^\top)_{oi}$. In $\text{dW}$ the sum runs over $b$, first in both, so $x$
# has to be turned:
#
# $$\text{dx} = \text{dy}\, W^\top, \qquad \text{dW} = x^\top \text{dy}.$$
#
# That is where the transpose comes from: it puts the index that is summed where a matrix product looks for it.

# %%
rng = np.random.default_rng(0)
B, I, O = 5, 3, 2  # noqa: E741  the names of the formulas
x, W, b = rng.standard_normal((B, I)), rng.standard_normal((I, O)), rng.standard_normal(O)
dy = rng.standard_normal((B, O))  # any upstream gradient

dx, dW, db = np.zeros((B, I)), np.zeros((I, O)), np.zeros(O)
for n in range(B):
    for o in range(O):
        db[o] += dy[n, o]
        for i in range(I):
            dx[n, i] += dy[n, o] * W[i, o]
            dW[i, o] += x[n, i] * dy[n, o]

y, cache = dense(x, W, b)
for name, slow, fast in zip(
    ("dx", "dW", "db"), (dx, dW, db), dense_backward(dy, cache), strict=True
):
    assert slow.shape == fast.shape
    assert np.allclose(slow, fast)
    print(f"{name} {slow.shape}: loops and matrix products agree")

# %% [markdown]
# > **Often said.** "Put the transposes so that the shapes fit."
# >
# > **What is true.** Shapes are a hint, not a reason. With a square $W$, `dy @ W` fits as well as `dy @ W.T`, and
# > one of them is wrong. What decides is the index that is summed.
# >
# > **Run this cell.** It compares both with differences: move one entry of $x$ by a small $h$ to either side, and
# > divide the change of $J = \sum_{bo} \text{dy}_{bo}\, y_{bo}$ by $2h$.

# %% tags=["stumble-04"]
square = rng.standard_normal((I, I))  # (I, I)
dy_square = rng.standard_normal((B, I))  # (B, I)


def J(x):
    """A number with the upstream gradient dy_square."""
    return (dy_square * (x @ square)).sum()


def by_differences(f, x, h=1e-6):
    """The derivative of f with respect to every entry of x."""
    slopes = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        move = np.zeros(x.shape)
        move[index] = h
        slopes[index] = (f(x + move) - f(x - move)) / (2 * h)
    return slopes


measured = by_differences(J, x)
for name, candidate in (
    ("dy @ W.T", dy_square @ square.T),
    ("dy @ W  ", dy_square @ square),
):
    error = np.abs(candidate - measured).max()
    print(f"{name} has the shape {candidate.shape}, largest error {error:.1e}")

assert (dy_square @ square).shape == (dy_square @ square.T).shape == x.shape
assert np.allclose(dy_square @ square.T, measured, rtol=1e-6, atol=1e-8)
assert not np.allclose(dy_square @ square, measured, rtol=1e-2, atol=1e-2)

# %% [markdown]
# ## Why gradients add at a fork
#
# Let one number $u$ be used twice: $s = f(u)$, $t = g(u)$, and $J$ depends on $s$ and $t$. Move $u$ by a little $h$.
# Then $s$ moves by $f'(u)\, h$ and $t$ by $g'(u)\, h$. To first order, $J$ feels both movements, one after the other:
#
# $$J(s + f' h,\; t + g' h) - J(s, t) \approx \frac{\partial J}{\partial s} f' h + \frac{\partial J}{\partial t} g' h
# .$$
#
# Divide by $h$:
#
# $$\text{du} = \text{ds}\, f'(u) + \text{dt}\, g'(u).$$
#
# Each use sends back its part, and the parts are **added**. Not averaged, and none of them overwrites another. The
# sums above are forks already: a bias is used once in every row, so $\text{db}$ is a sum over rows.
#
# In the cell, $u$ has the shape $(3,)$, $s = \tanh u$, $t = u^2$, and $J = \sum_n s_n t_n$. So $\text{ds} = t$ and
# $\text{dt} = s$.

# %% tags=["stumble-04"]
u = np.array([0.5, -1.2, 2.0])  # (3,)
s, t = np.tanh(u), u**2
through_s, through_t = t * (1 - s**2), s * 2 * u  # (3,), (3,)
measured = by_differences(lambda u: (np.tanh(u) * u**2).sum(), u)
for name, candidate in (
    ("one path only", through_s),
    ("their mean", (through_s + through_t) / 2),
    ("their sum", through_s + through_t),
):
    print(f"{name:14} largest error {np.abs(candidate - measured).max():.1e}")

assert np.allclose(through_s + through_t, measured, rtol=1e-6)
assert not np.allclose((through_s + through_t) / 2, measured, rtol=1e-2)
assert not np.allclose(through_s, measured, rtol=1e-2)

# %% [markdown]
# ## Activations
#
# Without something bent between them, two dense layers are one. An **activation** is a function of one number,
# applied to each entry: $y_{bo} = g(a_{bo})$. Entry $(b, o)$ of $y$ depends on entry $(b, o)$ of $a$ alone, so its
# backward is a product entry by entry, $\text{da}_{bo} = \text{dy}_{bo}\, g'(a_{bo})$. The four of the library:
#
# | name | $g(a)$ | $g'(a)$ |
# |---|---|---|
# | relu | $\max(a, 0)$ | $1$ for $a > 0$, else $0$ |
# | tanh | $\tanh a$ | $1 - g(a)^2$ |
# | sigmoid | $1 / (1 + e^{-a})$ | $g(a)\,(1 - g(a))$ |
# | softplus | $\log(1 + e^a)$ | $e^a / (1 + e^a)$, the sigmoid |
#
# The slopes of tanh and sigmoid are written with the **output** $g(a)$, which the forward pass has already computed.
# Relu has a kink at $0$ and no slope there; the library takes $0$.

# %%
a = np.linspace(-4, 4, 400)  # (400,)  an even number of points: none is at the kink
fig, axes = panels(2, height=2.8, xlabel="a")
colours, styles = ("#0072B2", "#D55E00", "#009E73", "#E69F00"), ("-", "--", "-.", ":")
for (name, (forward, backward)), colour, style in zip(
    ACTIVATIONS.items(), colours, styles, strict=True
):
    value, cache = forward(a)
    slope = backward(np.ones(len(a)), cache)
    measured = (forward(a + 1e-6)[0] - forward(a - 1e-6)[0]) / 2e-6
    assert np.allclose(slope, measured, rtol=1e-6, atol=1e-8), name
    axes[0].plot(a, value, style, color=colour, label=name)
    axes[1].plot(a, slope, style, color=colour)
axes[0].set(title="the function g", ylabel="g(a)", ylim=(-1.2, 3))
axes[1].set(title="its slope", ylabel="g'(a)")
axes[0].legend(frameon=False, fontsize="small")
show(
    fig,
    "Left: relu, tanh, sigmoid and softplus. Right: their slopes; relu's jumps, the others are smooth.",
)

# %% [markdown]
# ## A network
#
# A network is a chain of such functions. Forward, each hands its output to the next and keeps what its backward will
# need, its **cache**. Backward, the order is reversed, and each hands its $\text{dx}$ to the one before. Two dense
# layers with a tanh after each, by hand and by the library's `Chain`:

# %%
how = {"rng": np.random.default_rng(1), "dtype": "float64"}
chain = Chain(
    {
        "0": Dense(3, 5, **how),
        "0.tanh": Activation("tanh"),
        "1": Dense(5, 2, **how),
        "1.tanh": Activation("tanh"),
    }
)
W0, b0, W1, b1 = (chain.params[name] for name in ("0.W", "0.b", "1.W", "1.b"))

h0 = np.tanh(x @ W0 + b0)  # (B, 5)
h1 = np.tanh(h0 @ W1 + b1)  # (B, 2)
dh1 = rng.standard_normal(h1.shape)  # (B, 2)  upstream
da1 = dh1 * (1 - h1**2)  # (B, 2)
da0 = (da1 @ W1.T) * (1 - h0**2)  # (B, 5)
by_hand = {"0.W": x.T @ da0, "0.b": da0.sum(axis=0), "1.W": h0.T @ da1, "1.b": da1.sum(axis=0)}

output, cache = chain.forward(x)
dx, grads = chain.backward(dh1, cache)
assert np.allclose(output, h1)
assert np.allclose(dx, da0 @ W0.T)
assert grads.keys() == by_hand.keys()
for name in by_hand:
    assert np.allclose(grads[name], by_hand[name])
print("agree:", ", ".join(grads))

# %% [markdown]
# ## Is a derivative right?
#
# Compare it with a difference. For a function $f$ of one number, Taylor's theorem gives
#
# $$f(x \pm h) = f(x) \pm h f'(x) + \tfrac{h^2}{2} f''(x) \pm \tfrac{h^3}{6} f'''(x) + \dots$$
#
# Subtract $f(x)$ and divide by $h$: the **forward difference** $(f(x + h) - f(x))/h$ is off by about $\tfrac{h}{2}
# f''$. Subtract the two lines instead and divide by $2h$: the terms with $f$ and $f''$ cancel, and the **central
# difference** is off by about $\tfrac{h^2}{6} f'''$. Make $h$ ten times smaller, and its error falls a hundredfold.
#
# But only for a while. A computer rounds each value of $f$ to a relative precision $u$, about $10^{-16}$ in float64
# and $10^{-7}$ in float32. The difference then carries an error of about $u |f| / h$, which **grows** as $h$ shrinks.
# Both together make a V.
#
# A third way has no subtraction at all. If $f$ can be computed for complex numbers, $f(x + ih) = f(x) + i h f'(x) +
# \dots$, so the imaginary part over $h$ is the derivative, for $h$ as small as you like: the **complex step**.
#
# *Before you run the cell:* where is the lowest point of the central difference in float64? In float32?

# %%
x0, steps = 0.7, np.logspace(-0.3, -12, 60)
true_slope = np.cos(x0) * np.exp(np.sin(x0))  # of exp(sin x), in closed form


def f(x):
    return np.exp(np.sin(x))


narrow = np.float32  # the same function, in half as many bits
curves = {
    "forward, float64": [(f(x0 + h) - f(x0)) / h for h in steps],
    "central, float64": [(f(x0 + h) - f(x0 - h)) / (2 * h) for h in steps],
    "central, float32": [float(f(narrow(x0 + h)) - f(narrow(x0 - h))) / (2 * h) for h in steps],
    "complex step": [f(x0 + 1j * h).imag / h for h in steps],
}
errors = {name: np.abs(np.array(values) / true_slope - 1) for name, values in curves.items()}
for name, error in errors.items():
    print(f"{name:17} smallest error {error.min():.0e} at h = {steps[error.argmin()]:.0e}")

assert errors["central, float64"].min() < 1e-10 < errors["forward, float64"].min()
assert errors["central, float32"].min() > 1e-6
assert errors["complex step"].min() < 1e-15

# %%
fig, ax = panels(
    height=3.4, xscale="log", yscale="log", xlabel="step h", ylabel="relative error"
)
for (name, error), colour, style in zip(
    errors.items(),
    ("#E69F00", "#0072B2", "#D55E00", "#009E73"),
    ("--", "-", "-.", ":"),
    strict=True,
):
    ax.plot(steps, np.maximum(error, 1e-17), style, color=colour, label=name)
ax.set(title="Too large a step is crude, too small a step is noise", ylim=(1e-17, 1e3))
fig.legend(frameon=False, fontsize="small", loc="outside right center")
show(
    fig,
    "Errors over the step: V-shaped for all differences, deepest for the central one in float64; "
    "the complex step falls and stays at the bottom.",
)

# %% [markdown]
# ### Where checks go wrong
#
# > **Often said.** "The gradient check fails, so the gradient is wrong." Or: "it passes within one per cent, so it is
# > right."
# >
# > **What is true.** A check fails on right code in three ways. In **float32**, as just seen, the differences are too
# > coarse to see a small slip. On a **kink**, the two sides have two slopes, and the difference gives something in
# > between. With **noise that changes** from call to call, it compares two different functions.
# >
# > **Run this cell.** It makes all three happen, and shows what `check_vjp` says about each. It takes a `forward`,
# > its `backward` and the inputs.

# %% tags=["stumble-11"]
at_the_kink = np.array([0.0, 1.0])  # and one beside it, where there is a slope to be seen
_, mask = relu(at_the_kink)
claimed = relu_backward(np.ones(2), mask)[0]
difference = (relu(np.array([1e-6]))[0] - relu(np.array([-1e-6]))[0])[0] / 2e-6
print(f"relu at 0: the backward says {claimed:.1f}, a central difference {difference:.1f}")
kink = check_vjp(relu, relu_backward, {"x": at_the_kink}, title="relu at its kink")
print(kink)

single = check_vjp(
    dense, dense_backward, {"x": x, "W": W.astype("float32"), "b": b}, title="in float32"
)
print(single)

generator = np.random.default_rng(2)


def dropout(x):
    """Half of the entries, chosen anew at each call: not the same function twice."""
    mask = generator.random(x.shape) < 0.5
    return x * mask, mask


noisy = check_vjp(dropout, lambda dy, mask: dy * mask, {"x": x}, title="noise inside")
print(noisy)

assert claimed == 0
assert np.isclose(difference, 0.5)
assert kink.ok  # a kink is no fault: it is checked a little beside it
assert {finding.cause for finding in single.findings} == {"precision"}
assert {finding.cause for finding in noisy.findings} == {"noise-redrawn"}

# %% [markdown]
# The cures: check in float64; do not stand on kinks; and hand noise in as an argument. That is why the models of this
# library take `eps` from outside.
#
# ### A check that does not show the answer
#
# > **Often said.** "To help, a checker has to print the right gradient." Then there is nothing left to find.
# >
# > **What is true.** A checker can name the **kind** of mistake and the place, from the numbers alone. The formula
# > stays yours to find.
# >
# > **Run this cell.** A student has written a dense layer with a tanh. One line of the backward is wrong. *Which
# > one?* Decide before you look at the report.


# %% tags=["stumble-14"]
def student(x, W, b):
    """y = tanh(x W + b)."""
    y = np.tanh(x @ W + b)  # (B, O)
    return y, (x, W, y)


def student_backward(dy, cache):
    """What the student handed in."""
    x, W, y = cache
    da = dy * (1 - y**2)  # (B, O)
    return {"x": da @ W.T, "W": x.T @ da, "b": da.mean(axis=0)}


report = check_vjp(
    student, student_backward, {"x": x, "W": W, "b": b}, title="a student's layer"
)
print(report)

assert {row.name for row in report.rows if row.status == "wrong"} == {"b"}
assert report.findings[0].cause == "factor"
assert np.isclose(report.findings[0].factor, B)

# %% [markdown]
# The same report as a picture. On the left the V-curve of each input: a right gradient falls into the V, a wrong one
# stays on a shelf, whatever the step. On the right the **Taylor remainder** $|f(x + h u) - f(x) - h\, g \cdot u|$,
# where $u$ is a random direction and $g$ the claimed gradient. If $g$ is right, what is left is of the order $h^2$:
# slope 2 on these axes. If it is wrong, a term in $h$ is left: slope 1.

# %%
show(
    report.plot(),
    "Left: x and W fall into a V, b stays on a shelf near one. Right: x and W have slope 2, b has slope 1.",
)


def repaired_backward(dy, cache):
    """A bias is used once in every row: a sum, not a mean."""
    x, W, y = cache
    da = dy * (1 - y**2)
    return {"x": da @ W.T, "W": x.T @ da, "b": da.sum(axis=0)}


assert check_vjp(student, repaired_backward, {"x": x, "W": W, "b": b}).ok

# %% [markdown]
# ## Formulas that break
#
# A formula that is right on paper can fail in floating point. The largest number is about $6.6 \cdot 10^4$ in
# float16, $3 \cdot 10^{38}$ in float32, $2 \cdot 10^{308}$ in float64; $e^a$ passes them at $a \approx 11$, $89$ and
# $710$. The VAE needs the probability of a lit pixel, $p = 1/(1 + e^{-a})$, and minus the logarithm of its
# complement, $-\log(1 - p) = \log(1 + e^a) = \operatorname{softplus}(a)$. Three ways to compute these are called
# naive here. The library's replace them:
#
# - **sigmoid** as $\tfrac12 (1 + \tanh \tfrac{a}{2})$: no exponential that could overflow. It is the same function:
#   multiply numerator and denominator of $1/(1 + e^{-a})$ by $e^{a/2}$.
# - **softplus** as $\max(a, 0) - \log \max(p, 1 - p)$. For $a > 0$, $\log(1 + e^a) = a + \log(1 + e^{-a}) = a - \log
#   p$; for $a < 0$ it is $-\log(1 - p)$. The larger of $p$ and $1 - p$ is at least $\tfrac12$, so the logarithm is
#   safe.
#
# The cell tries every function for 401 values of $a$ in three precisions. The reference is computed in float64 with
# `log1p`, which keeps the digits of small numbers. An error counts as small if it is below 16 units of the precision
# (the distance from 1 to the next number), times the larger of 1 and the value.

# %% tags=["stumble-07"]
side = np.concatenate([[0], np.geomspace(0.1, 1000, 200)])
logits = np.concatenate([-side[:0:-1], side])  # (401,)


def naive_sigmoid(a):
    return 1 / (1 + np.exp(-a))


def true_sigmoid(a):
    return np.where(a > 0, 1 / (1 + np.exp(-np.abs(a))), 1 - 1 / (1 + np.exp(-np.abs(a))))


def true_softplus(a):
    return np.maximum(a, 0) + np.log1p(np.exp(-np.abs(a)))


functions = {  # name: how it is computed, and the reference
    "sigmoid, naive: 1 / (1 + exp(-a))": (naive_sigmoid, true_sigmoid),
    "sigmoid, library": (lambda a: sigmoid(a)[0], true_sigmoid),
    "softplus, naive: log(1 + exp(a))": (lambda a: np.log(1 + np.exp(a)), true_softplus),
    "softplus, naive: -log(1 - p)": (lambda a: -np.log(1 - naive_sigmoid(a)), true_softplus),
    "softplus, library": (lambda a: softplus(a)[0], true_softplus),
}


def verdict(function, reference, a):
    """For each a: 0 right, 1 right but something overflows on the way, 2 digits lost, 3 inf or NaN."""
    with np.errstate(all="ignore"):
        value, true = function(a).astype(float), reference(a.astype(float))
    unit = np.finfo(a.dtype).eps
    small = np.abs(value - true) <= 16 * unit * np.maximum(1, np.abs(true))
    overflows = np.zeros(len(a), bool)
    for n in range(len(a)):
        try:
            with np.errstate(over="raise", invalid="raise", divide="raise", under="ignore"):
                function(a[n : n + 1])
        except FloatingPointError:
            overflows[n] = True
    return np.where(~np.isfinite(value), 3, np.where(~small, 2, overflows.astype(int)))


precisions = ("float16", "float32", "float64")
table = {
    (name, dtype): verdict(function, reference, logits.astype(dtype))
    for name, (function, reference) in functions.items()
    for dtype in precisions
}
for (name, dtype), codes in table.items():
    if (codes >= 2).any():
        first = np.abs(logits[codes >= 2]).min()
        print(f"{name:34} {dtype}: wrong from |a| = {first:5.1f}")

for (name, _), codes in table.items():
    assert (codes == 0).all() == ("library" in name)

# %%
colours = ("#E6E6E6", "#56B4E9", "#E69F00", "#D55E00")
meanings = ("right", "right, with an overflow on the way", "digits lost", "inf or NaN")
hatches = ("", "//", "..", "xx")
fig, axes = panels(3, height=3.6, xscale="symlog", xlabel="logit a", xlim=(-1000, 1000))
for ax, dtype in zip(axes, precisions, strict=True):
    for row, name in enumerate(functions):
        codes = table[name, dtype]
        for code in range(4):
            ax.fill_between(
                logits,
                row - 0.4,
                row + 0.4,
                where=codes == code,
                step="mid",
                facecolor=colours[code],
                hatch=hatches[code],
                edgecolor="white",
                linewidth=0,
            )
    ax.set(title=dtype, xticks=[-1000, -10, 0, 10, 1000], yticks=[])
    ax.set_xticklabels(["-1000", "-10", "0", "10", "1000"], fontsize="x-small")
    ax.invert_yaxis()
short = (
    "sigmoid\nnaive",
    "sigmoid\nlibrary",
    "log(1 + exp)\nnaive",
    "-log(1 - p)\nnaive",
    "softplus\nlibrary",
)
axes[0].set_yticks(range(5), short, fontsize="small")
patches = [
    axes[0].fill_between([], [], facecolor=c, hatch=h, edgecolor="white", linewidth=0)
    for c, h in zip(colours, hatches, strict=True)
]
fig.legend(
    patches, meanings, loc="outside lower center", ncols=4, frameon=False, fontsize="small"
)
show(
    fig,
    "Three panels, one a precision, five bars each. The library's two bars are right everywhere; the naive ones "
    "overflow, lose digits or become infinite for large logits, sooner the fewer bits there are.",
)

# %% [markdown]
# The same happens to gradients. Through $p$, the derivative of $-\log(1 - p)$ is $1/(1 - p)$, and that of the sigmoid
# is $p (1 - p)$. On paper the product is $p$. In floating point $p$ becomes $1$, and the product $\infty \cdot 0$ is
# **NaN**, "not a number"; one NaN in one pixel spreads to every weight. The library never forms the two factors: its
# likelihood starts from the logit, and its gradient is $p - x$.

# %% tags=["stumble-07"]
a = np.array([[40.0]], dtype="float32")
p = naive_sigmoid(a)
with np.errstate(all="ignore"):
    naive = 1 / (1 - p) * (p * (1 - p))
nll, cache = Bernoulli().nll(np.zeros_like(a), a)
dlogits = Bernoulli().nll_backward(np.ones(1, "float32"), cache)
print(f"at the logit 40, for a dark pixel: naive {naive[0, 0]}, library {dlogits[0, 0]}")
print(f"nll from the logit: {nll[0]}")

assert np.isnan(naive).all()
assert dlogits[0, 0] == 1
assert nll[0] == 40

# %% [markdown]
# > **Often said.** "A NaN in the loss? Clip it, or add a small number to the logarithm."
# >
# > **What is true.** That hides the cause, and clipping kills the gradient. With stable formulas one cause is left in
# > a VAE: a log-variance that runs away. It may be any number, and the KL contains $e^{\text{logvar}}$. In float32
# > this overflows near $89$. A variance of $e^{89}$ is no estimate of anything: the step size was too large.
# >
# > **Run this cell.** The library does not clip. `fit` stops at the first bad step and says what to do.

# %% tags=["stumble-07"]
for value in (80.0, 100.0):
    with np.errstate(over="ignore"):
        kl, _ = kl_to_standard_normal(
            np.zeros((1, 1), "float32"), np.full((1, 1), value, "float32")
        )
    print(f"logvar = {value:.0f}: kl = {kl[0]:.3g}")
    assert np.isfinite(kl[0]) == (value < 89)

data = load_data("mnist-sample")
wild = VAE(784, (50,), 2, rng=np.random.default_rng(3))
message = ""
try:
    fit(
        wild,
        data.x_train[:1000],
        data.x_test[:100],
        epochs=5,
        optimizer=Adam(lr=3.0),
        rng=np.random.default_rng(4),
        progress=False,
    )
except ArithmeticError as error:
    message = str(error)
print(message)

assert "lower the step size" in message

# %% [markdown]
# ## Recap
#
# 1. **A dense layer.** $\text{dx} = \text{dy}\, W^\top$, $\text{dW} = x^\top \text{dy}$, $\text{db} = \sum_b
#    \text{dy}_b$.
# 2. **The transpose.** It puts the index that is summed where a matrix product looks for it.
# 3. **A fork.** What is used several times gets the sum of what each use sends back.
# 4. **A check.** In float64, off the kinks, with noise as an argument; a V for a right gradient, a shelf for a wrong
#    one.
# 5. **Stable formulas.** From the logit, with tanh and a safe logarithm; NaN is a symptom, so look for the cause.
#
# ## On your own
#
# 1. Derive the backward of $y = x \odot x$ (entry by entry) and of $y = \sum_i x_{bi}$, and check both with
#    `check_vjp`.
# 2. Where is the bottom of the V of the central difference? Minimise $\tfrac{h^2}{6} |f'''| + u |f| / h$ over $h$.
# 3. Change `da @ W.T` to `da @ W` in the student's layer, with a square $W$. What does the report say?
# 4. Derive the backward of softmax, $y_{bk} = e^{x_{bk}} / \sum_j e^{x_{bj}}$. Why does subtracting the largest
#    $x_{bj}$ first change neither $y$ nor its gradient?
# 5. *A small project.* Write layer normalisation with its backward. Break it in three ways, one after the other, and
#    see whether the checker names each cause.
#
# ## Further reading
#
# - Andreas Griewank and Andrea Walther, *Evaluating Derivatives* (2008), chapters 1 to 3.
# - Nicholas Higham, *Accuracy and Stability of Numerical Algorithms* (2002), chapter 1.
# - Joaquim Martins, Peter Sturdza, Juan Alonso, *The Complex-Step Derivative Approximation* (2003).
# - [The derivations of the layers](../docs/derivations/05_layers.md).
#
# [Back: the reparameterization trick](06_the_reparameterization_trick.ipynb) · [Contents](README.md) ·
# [Next: gradients through mu and sigma](08_gradients_through_mu_and_sigma.ipynb)
