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
# # 08 · Backpropagation by hand
#
# Training needs the derivative of one number with respect to every weight. On this page you go back to the weights,
# through a neuron and a layer, and find out how to know that a derivative is right.
#
# **What you will do**
# - write the way back through a neuron and a layer, and measure it;
# - see a check fail on right code, and pass on wrong code;
# - write a softplus that keeps its digits.
#
# **What you will learn**
# - where the transpose comes from, and why gradients add at a fork;
# - how small a step should be;
# - which error matters, the absolute or the relative one.
#
# **What you need**
# - the chain and quotient rules, Taylor's theorem, $i^2=-1$, matrix products; at the end the KL and logvar (page 05).
#   About 45 minutes with the blanks. It runs in ten seconds.

# %%
from importlib.util import find_spec

if find_spec("scratchvae") is None:
    raise SystemExit(
        "This page needs scratchvae; in the README's folder: pip install -r requirements.txt"
    )

import numpy as np

from scratchvae import SGD, VAE, Bernoulli, Chain, Dense, fit, kl_to_standard_normal, load_data
from scratchvae.checks import check_vjp
from scratchvae.exercises import check, hint, progress, solution, use  # noqa: F401
from scratchvae.layers import ACTIVATIONS, Activation, dense, dense_backward, sigmoid, softplus
from scratchvae.view.notebook import panels, show

BLUE, VERMILLION, GREEN, ORANGE = "#0072B2", "#D55E00", "#009E73", "#E69F00"

# %% [markdown]
# ## One neuron
#
# A neuron multiplies its input $x$ by a weight $w$, adds a bias $b$, and bends the sum:
#
# $$a=w x+b, \qquad y=\tanh a .$$
#
# Take $x=1.2$, $w=0.5$, $b=0.2$. *Before you write:* raise $w$ by 0.01. By how much does $a$ rise?


# %% tags=["blank"]
def edge_slopes(x, w, b):
    """da/dx, da/dw and da/db of a = w x + b, all of them numbers."""
    raise NotImplementedError


check("backprop.edges", edge_slopes)

# %% [markdown]
# If you are stuck, `hint("backprop.edges")` in a cell of its own asks a question; a third hint is nearly the code.
# Whatever value your function returns, the cells below it run.
#
# A target $t=1$ says what $y$ should be, $J=(y-t)^2$ how wrong it is. By the **chain rule** $J$ reacts to $w$ by the
# product of the slopes on the way:
#
# $$\frac{\partial J}{\partial w}=\frac{\partial J}{\partial y}\cdot\frac{\partial y}{\partial a}
#   \cdot\frac{\partial a}{\partial w}.$$
#
# Write $\text{dy}$ for $\partial J/\partial y$, and so on. We start with $\text{dy}=2(y-t)$ and go
# **backwards**. A function receives the gradient of its output, its **upstream gradient**, and multiplies it by its
# slope: $\text{da} = \text{dy} \cdot \partial y / \partial a$, then
# $\text{dw} = \text{da} \cdot \partial a / \partial w$.
#
# The slope of $\tanh a=(e^a-e^{-a})/(e^a+e^{-a})$ is missing. Numerator and denominator are each other's
# derivative. Use the quotient rule, and write the result with $y$ alone.


# %% tags=["blank"]
def through_tanh(dy, y):
    """What reaches a through y = tanh(a), entry by entry, from dy and y, arrays of one shape."""
    raise NotImplementedError


check("backprop.tanh", through_tanh)

# %% [markdown]
# *Write down a guess:* which of $\text{dx}$, $\text{dw}$ and $\text{db}$ is largest in size?

# %%
guess = None  # "dx", "dw" or "db"

# %% tags=["answer"]
x, w, b, t = 1.2, 0.5, 0.2, 1.0
a = w * x + b
y = np.tanh(a)
J = (y - t) ** 2

dy = 2 * (y - t)
one_by_one = np.array([[dy]]), np.array([[y]])  # one row, one neuron
da = use("backprop.tanh", through_tanh)(*one_by_one)[0][0]
on_the_edges = use("backprop.edges", edge_slopes)(x, w, b)
dx, dw, db = (da * slope for slope in on_the_edges)
sizes = {"dx": abs(dx), "dw": abs(dw), "db": abs(db)}
print(f"a = {a:.3f}, y = {y:.3f}, J = {J:.3f}")
print(f"dy = {dy:.3f}, da = {da:.3f}, dx = {dx:.3f}, dw = {dw:.3f}, db = {db:.3f}")
print(f"the largest is {max(sizes, key=sizes.get)}; your guess: {guess}")

assert max(dx, dw, db) < 0 < t - y  # raising any of them raises y, which is too low
# spoil: dx = -dx
assert max(sizes, key=sizes.get) == "dw"  # x is larger than w and than 1
# spoil: sizes = {"dx": abs(da * x), "dw": abs(da * w), "db": abs(da)}

# %% tags=["answer"]
places = {"x": (0, 2), "w": (0, 1), "b": (0, 0), "a": (1.7, 1), "y": (3.3, 1), "J": (4.9, 1)}
values = {"x": x, "w": w, "b": b, "a": a, "y": y, "J": J}
gradients = {"x": dx, "w": dw, "b": db, "a": da, "y": dy, "J": 1.0}
slopes = dict(zip(("xa", "wa", "ba"), on_the_edges, strict=True)) | {"ay": da / dy, "yJ": dy}

fig, ax = panels(height=3.2, xlim=(-0.5, 5.4), ylim=(-0.5, 2.5))
ax.axis("off")
box = {"boxstyle": "round,pad=0.5", "facecolor": "#F4F4F4", "edgecolor": "#999999"}
middle = {"ha": "center", "va": "center", "linespacing": 1.8}
for name, (across, up) in places.items():
    lines = f"{name} = {values[name]:.3g}\nd{name} = {gradients[name]:+.3f}"
    ax.text(across, up, lines, **middle, color="none", bbox=box)
    ax.text(across, up + 0.16, lines.split("\n")[0], **middle)
    ax.text(across, up - 0.16, lines.split("\n")[1], **middle, color=VERMILLION)
for (start, end), slope in slopes.items():
    (x0, y0), (x1, y1) = places[start], places[end]
    x0, x1, y1 = x0 + 0.56, x1 - 0.56, y1 + 0.2 * (y0 - y1)
    ax.annotate("", (x1, y1), (x0, y0), arrowprops={"arrowstyle": "->", "color": BLUE})
    ax.text((x0 + x1) / 2, (y0 + y1) / 2 + 0.13, f"{slope:.3g}", ha="center", color=BLUE)
ax.set_title("Values and gradients at the nodes, slopes on the edges")
show(
    fig,
    "A graph: x, w and b lead to a, a to y, y to J. At each node stand its value and below it, in"
    " red, its gradient; on each edge, in blue, its slope.",
)

# %% [markdown]
# Each gradient but $\text{dJ}$ is the one to its right times the slope between, and negative: raising $x$, $w$ or
# $b$ raises $y$, towards its target.
#
# ## Measure it
#
# Without a formula: move the input by a small step $h$ to either side, and divide the change by the way. This is the
# **central difference**.


# %% tags=["blank"]
def central_difference(f, x, h):
    """The slope of f at x from two values of f, a step h to either side of x: numbers."""
    raise NotImplementedError


check("backprop.difference", central_difference)

# %%
central = use("backprop.difference", central_difference)  # yours, if it has passed
measured = {
    "dx": central(lambda x: (np.tanh(w * x + b) - t) ** 2, x, 1e-5),
    "dw": central(lambda w: (np.tanh(w * x + b) - t) ** 2, w, 1e-5),
    "db": central(lambda b: (np.tanh(w * x + b) - t) ** 2, b, 1e-5),
}
backwards = {"dx": dx, "dw": dw, "db": db}
for name, value in measured.items():
    print(f"{name}: backwards {backwards[name]:+.9f}, measured {value:+.9f}")
    assert np.isclose(backwards[name], value, rtol=1e-8)
    # spoil: value = value / (1 - y**2)

# %% [markdown]
# ## A fork
#
# Many networks add a layer's input to its output: $y=x+\tanh(w x+b)$. Now $x$ is used twice. Along the straight
# edge it receives $\text{dy}$, through the neuron $\text{da}\cdot w$.
#
# *Write down a guess:* is $\text{dx}$ their sum, their mean, or the one that arrives last?

# %%
guess = None  # "sum", "mean" or "last"

# %% tags=["stumble-04", "answer"]
y = x + np.tanh(a)
dy = 2 * (y - t)
straight, bent = dy, dy * (1 - np.tanh(a) ** 2) * w
candidates = {"sum": straight + bent, "mean": (straight + bent) / 2, "last": bent}
slope = central(lambda x: (x + np.tanh(w * x + b) - t) ** 2, x, 1e-5)
print(f"measured {slope:.4f};", ", ".join(f"{k} {v:.4f}" for k, v in candidates.items()))
print("your guess:", guess)

right = [name for name, value in candidates.items() if np.isclose(value, slope, rtol=1e-6)]
assert right == ["sum"]
# spoil: right = [name for name, value in candidates.items() if np.isclose(value, slope / 2, rtol=1e-6)]

# %% [markdown]
# Move $x$ by a small $h$: $y$ moves by $h$ and by $(1-\tanh^2 a)\,w\,h$, and $J$ by $\text{dy}$ times both
# together. So **the parts add**.
#
# ## A layer, by indices
#
# A dense layer has an input $x$ $(B,I)$, a row for each of $B$ examples, weights $W$ $(I,O)$, biases $b$ $(O,)$, and
# the output
#
# $$y_{no}=\sum_i x_{ni} W_{io}+b_o .$$
#
# $\text{dy}_{no}=\partial J/\partial y_{no}$ has arrived. An input is used by many outputs, and the parts add:
# $\text{dx}_{ni}=\sum_{mo} \text{dy}_{mo}\,\partial y_{mo}/\partial x_{ni}$. Most terms are zero.
#
# - Row $m$ of $y$ uses row $m$ of $x$ alone: for $x_{ni}$ only $m=n$ is left, with the slope $W_{io}$.
# - Column $o$ of $y$ uses column $o$ of $W$ and entry $o$ of $b$ alone: for $W_{io}$ only column $o$ is left, in all
#   rows, with the slope $x_{ni}$; for $b_o$ with the slope 1.
#
# $$\text{dx}_{ni}=\sum_o\text{dy}_{no}W_{io},\qquad\text{dW}_{io}=\sum_n x_{ni}\,\text{dy}_{no},\qquad
#   \text{db}_o=\sum_n\text{dy}_{no}.$$
#
# A matrix product $(A C)_{mk}=\sum_j A_{mj} C_{jk}$ sums over the **last** index of its left factor and the
# **first** of its right one. Where does the summed index stand above? Which factor has to be turned, with `.T`?


# %% tags=["blank"]
def dense_gradients(dy, x, W):
    """dx, dW and db of y = x W + b: dy (B, O), x (B, I), W (I, O) -> (B, I), (I, O), (O,)."""
    raise NotImplementedError


check("backprop.dense", dense_gradients)

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

products = use("backprop.dense", dense_gradients)(dy, x, W)
for name, by_loop, by_product in zip(("dx", "dW", "db"), (dx, dW, db), products, strict=True):
    print(f"{name} {by_loop.shape}: the loops and the matrix products agree")
    assert np.allclose(by_loop, by_product)
    # spoil: by_product = by_product / B

# %% [markdown]
# Turning a factor puts the summed index where a product looks for it: hence the transpose.
#
# > **Often said.** "Put the transposes so that the shapes fit."
# >
# > **What is true.** What decides is the index that is summed.
# >
# > **Run this cell.** Here $W$ is square. *Before that:* does Python complain about the wrong one?


# %% tags=["stumble-04", "answer"]
def by_differences(f, x, h=1e-6):
    """The slope of a number f(x) with respect to every entry of x, of the shape of x."""
    moves = np.eye(x.size, dtype=x.dtype).reshape(-1, *x.shape)  # one entry at a time
    slopes = [central(lambda s, m=m: f((x + s * m).astype(x.dtype)), 0.0, h) for m in moves]
    return np.array(slopes).reshape(x.shape)


square, dy_square = rng.standard_normal((I, I)), rng.standard_normal((B, I))
slopes = by_differences(lambda x: (dy_square * (x @ square)).sum(), x)  # (B, I)
off = {}
for name, candidate in (("dy @ W.T", dy_square @ square.T), ("dy @ W", dy_square @ square)):
    off[name] = np.abs(candidate - slopes).max()
    print(f"{name:8} has the shape {candidate.shape}, largest error {off[name]:.1e}")

assert off["dy @ W.T"] < 1e-8
# spoil: off["dy @ W.T"] = off["dy @ W"]
assert off["dy @ W"] > 0.1
# spoil: off["dy @ W"] = off["dy @ W.T"]

# %% [markdown]
# ## In the library: a forward and its backward
#
# `dense(x, W, b)` returns $y$ and a **cache**: what its backward will need, here $x$ and $W$. `dense_backward(dy,
# cache)` returns the three gradients, by your lines. Every layer of the library is such a pair, and every term of its
# loss.
#
# The **Jacobian** is the table of all slopes, a row for each output, a column for each input. A backward returns `dy`
# times that table, a **vector-Jacobian product** (*vjp*), and never builds it. Ours, for $x$, has 10 rows and 15
# columns. *Write down a guess:* which share of it is zero?

# %%
guess = None  # a number between 0 and 1

# %% tags=["answer"]
outputs = [(n, o) for n in range(B) for o in range(O)]
table = [by_differences(lambda x, at=at: dense(x, W, b)[0][at], x).ravel() for at in outputs]
jacobian = np.array(table)  # (B O, B I)
_, cache = dense(x, W, b)
dx, _, _ = dense_backward(dy, cache)
zeros = (jacobian == 0).mean()
print(f"{zeros:.0%} of the Jacobian are zeros; your guess: {guess}")
print("the backward is dy times the Jacobian, largest error", end=" ")
print(f"{np.abs(dy.ravel() @ jacobian - dx.ravel()).max():.0e}")

assert np.isclose(zeros, 1 - 1 / B)  # a row of y sees one row of x
# spoil: zeros = 1 - 1 / O
assert np.allclose(dy.ravel() @ jacobian, dx.ravel())
# spoil: jacobian = np.abs(jacobian)

# %% [markdown]
# A network is a chain of pairs. Backward, each hands its `dx` to the one before. Two dense layers, each with a tanh, by
# hand, by the library's `Chain`, and each of the 32 weights by differences:

# %%
chain = Chain(
    {
        "0": Dense(3, 5, rng=rng, dtype="float64"),
        "0.tanh": Activation("tanh"),
        "1": Dense(5, 2, rng=rng, dtype="float64"),
        "1.tanh": Activation("tanh"),
    }
)
P = chain.params
y0 = np.tanh(x @ P["0.W"] + P["0.b"])  # (B, 5)
y1 = np.tanh(y0 @ P["1.W"] + P["1.b"])  # (B, 2)
dy1 = rng.standard_normal((B, 2))  # upstream
da1 = dy1 * (1 - y1**2)  # (B, 2)
da0 = (da1 @ P["1.W"].T) * (1 - y0**2)  # (B, 5)
by_hand = {"0.W": x.T @ da0, "0.b": da0.sum(axis=0), "1.W": y0.T @ da1, "1.b": da1.sum(axis=0)}

# %%
_, cache = chain.forward(x)
_, grads = chain.backward(dy1, cache)


def J_of(value, name):
    """J = sum dy1 y1 with other values in one of the parameters."""
    kept = P[name].copy()
    P[name][...] = value
    total = (dy1 * chain.forward(x)[0]).sum()
    P[name][...] = kept
    return total


for name in by_hand:
    slopes = by_differences(lambda value, name=name: J_of(value, name), P[name])
    assert np.allclose(by_hand[name], slopes, rtol=1e-6, atol=1e-8)
    # spoil: slopes = slopes / B
    assert np.allclose(grads[name], by_hand[name])
    # spoil: grads[name] = 2 * grads[name]
print("by hand, by differences and by the library:", ", ".join(by_hand))

# %% [markdown]
# ## Activations
#
# An **activation** is a function of one number, applied entry by entry.
#
# |name|$y$|$\partial y/\partial a$|
# |---|---|---|
# |relu|$\max(a,0)$|1 for $a>0$, else 0|
# |tanh|$\tanh a$|$1-y^2$|
# |sigmoid|$1/(1+e^{-a})$|$y(1-y)$|
# |softplus|$\log(1+e^a)$|$e^a/(1+e^a)$, the sigmoid|
#
# Relu has no slope at its kink; the library takes 0. The sigmoid is a tanh, shifted and scaled: multiply numerator and
# denominator by $e^{a/2}$.
#
# $$\frac{1}{1+e^{-a}}=\frac{e^{a/2}}{e^{a/2}+e^{-a/2}}
#   =\frac12\left(1+\frac{e^{a/2}-e^{-a/2}}{e^{a/2}+e^{-a/2}}\right)=\frac12\left(1+\tanh\frac{a}{2}\right).$$
#
# Its slope is $\frac14 (1-\tanh^2 \frac a2)=y (1-y)$. *Before you run the cells:* a gradient of 1 goes back
# through ten sigmoids. How much is left at most?

# %% tags=["answer"]
a = np.linspace(-4, 4, 400)  # (400,)  an even number of points: none is at the kink
fig, axes = panels(2, height=2.8, xlabel="a")
colours, styles = (BLUE, VERMILLION, GREEN, ORANGE), ("-", "--", "-.", ":")
steepest = {}
for (name, (forward, backward)), colour, style in zip(
    ACTIVATIONS.items(), colours, styles, strict=True
):
    value, cache = forward(a)
    slope = backward(np.ones(len(a)), cache)
    steepest[name] = slope.max()
    measured = [central(lambda s, f=forward: f(np.array(s))[0], v, 1e-6) for v in a.tolist()]
    axes[0].plot(a, value, style, color=colour, label=name)
    axes[1].plot(a, slope, style, color=colour)
    assert np.allclose(slope, measured, rtol=1e-6, atol=1e-8), name
    # spoil: slope = value * (1 - value)
axes[0].set(title="the function", ylabel="y", ylim=(-1.2, 3))
axes[1].set(title="its slope", ylabel="dy/da")
axes[0].legend(frameon=False, fontsize="small")
show(
    fig,
    "Left: relu, tanh, sigmoid and softplus. Right: their slopes. That of relu jumps from 0 to 1,"
    " that of tanh is a peak of height 1, that of the sigmoid one of 1/4; softplus has an S.",
)
assert abs(steepest["sigmoid"] - 0.25) < 1e-4
# spoil: steepest["sigmoid"] = steepest["tanh"]

# %% tags=["answer"]
y, left = a, np.ones(400)
for _ in range(10):  # ten sigmoids in a row
    y, _ = sigmoid(y)
    left = left * y * (1 - y)
print(f"a slope is no more than {steepest['sigmoid']:.2f}, so ten leave no more than", end=" ")
print(f"{0.25**10:.1e}; measured: {left.max():.1e}")

assert 0.1 * 0.25**10 < left.max() < 0.25**10  # a bound: not all ten can be at their steepest
# spoil: left = 4 * left

# %% [markdown]
# ## How small a step?
#
# For $f(x)=e^{\sin x}$ we know the slope, $\cos(x)\,e^{\sin x}$, and measure the error of three others over a
# hundred points. Beside the central difference stand the **forward difference** $(f(x+h)-f(x))/h$, and one that
# subtracts nothing, the **complex step**: $f(x+ih)=f(x)+ihf'(x)+\dots$, so the imaginary part over $h$ is about
# the slope. *Write down a guess:* which $h$ is best for the central difference, in float64 (16 digits) and float32 (7)?

# %%
guess = None  # two numbers

# %% tags=["answer"]
points = np.random.default_rng(0).uniform(0.5, 1, 100).astype("float32").astype(float)  # (100,)
true_slopes = np.cos(points) * np.exp(np.sin(points))  # (100,)
steps = np.logspace(-0.3, -18, 90)  # (90,)
narrow = np.float32


def f(x):
    return np.exp(np.sin(x))


def median_errors(slope):
    """The median over the points of the relative error of slope(x, h), for every step."""
    found = np.array([[slope(p, h) for p in points] for h in steps], float)  # (90, 100)
    return np.median(np.abs(found / true_slopes - 1), axis=1)


errors = {
    "forward, float64": median_errors(lambda x, h: (f(x + h) - f(x)) / h),
    "central, float64": median_errors(lambda x, h: central(f, x, h)),
    "central, float32": median_errors(lambda x, h: central(f, narrow(x), narrow(h))),
    "complex step": median_errors(lambda x, h: f(x + 1j * h).imag / h),
}
best = {name: steps[error.argmin()] for name, error in errors.items()}
for name, error in errors.items():
    print(f"{name:17} smallest error {error.min():.0e} at h = {best[name]:.0e}")
print("your guess:", guess)

# %% tags=["answer"]
fig, ax = panels(
    height=3.4, xscale="log", yscale="log", xlabel="step h", ylabel="relative error, median"
)
for (name, error), colour, style in zip(
    errors.items(), (ORANGE, BLUE, VERMILLION, GREEN), ("--", "-", "-.", ":"), strict=True
):
    ax.plot(steps, np.maximum(error, 1e-17), style, color=colour, label=name)
ax.set(title="Too large a step is crude, too small a step is noise", ylim=(1e-17, 30))
fig.legend(frameon=False, fontsize="small", loc="outside right center")
show(
    fig,
    "Errors over the step, both axes logarithmic. The three differences make a V each, the central"
    " one in float64 the deepest, and end on a plateau at 1. The complex step falls and stays low.",
)

# %% [markdown]
# **The right arm of the V.** By Taylor's theorem
#
# $$f(x\pm h)=f(x)\pm hf'(x)+\tfrac{h^2}{2}f''(x)\pm\tfrac{h^3}{6}f'''(x)+\dots$$
#
# In the central difference $f$ and $f''$ cancel, and it is off by $\tfrac{h^2}{6}|f'''|$: a tenth of the step, a
# hundredth of the error. In the forward difference $\tfrac h2|f''|$ stays.
#
# **The left arm.** A computer rounds each value of $f$, to a relative precision $r$ of $1.1\cdot10^{-16}$ in float64
# and $6\cdot10^{-8}$ in float32. That is about $r|f|/h$ in the difference, and *grows* as $h$ shrinks.
#
# **The bottom.** The sum $\tfrac{h^2}{6}|f'''|+r|f|/h$ has the slope zero where $\tfrac h3|f'''|=r|f|/h^2$, so at
# $h=(3r|f|/|f'''|)^{1/3}$. Where $f$ and $f'''$ are about 1, that is about $r^{1/3}$, with an error of about $r^{2/3}$.
#
# **The plateau.** Between $\tfrac12$ and 1, where our points lie, float32 numbers are $2^{-24}$ apart. For $h<2^{-25}$
# both $x+h$ and $x-h$ round to $x$: the difference is 0, its relative error 1. In float64: below $2^{-54}$.

# %%
c, s = np.cos(points), np.sin(points)
third = (c**3 - 3 * s * c - c) * f(points)  # (100,)  f''', in closed form
bottom, depth, edge = {}, {}, {"central, float64": 2.0**-54, "central, float32": 2.0**-25}
for name, dtype in (("central, float64", "float64"), ("central, float32", "float32")):
    r = np.finfo(dtype).eps / 2
    bottom[name] = np.median((3 * r * f(points) / np.abs(third)) ** (1 / 3))
    depth[name] = r ** (2 / 3)
    print(
        f"{name}: bottom at {bottom[name]:.0e} in theory, {best[name]:.0e} measured;", end=" "
    )
    print(f"error {depth[name]:.0e} in theory, {errors[name].min():.0e} measured")
    assert 1 / 5 < best[name] / bottom[name] < 5
    # spoil: bottom[name] = r ** (1 / 2)
    assert 1 / 5 < errors[name].min() / depth[name] < 5
    # spoil: depth[name] = r
    clear = (steps < edge[name]) | (steps > 4 * edge[name])  # between them some points round
    assert np.array_equal((errors[name] == 1)[clear], (steps < edge[name])[clear])
    # spoil: edge[name] = edge[name] / 16
right_arm = (steps > 1e-2) & (steps < 0.1)
arm = np.polyfit(np.log(steps[right_arm]), np.log(errors["central, float64"][right_arm]), 1)[0]
print(f"slope of the right arm of the central difference, on these axes: {arm:.2f}")

assert abs(arm - 2) < 0.05
# spoil: arm = arm / 2
assert errors["complex step"][steps < 1e-8].max() < 1e-15
# spoil: errors["complex step"] = errors["central, float64"]

# %% [markdown]
# ## A check that fails on right code
#
# > **Often said.** "The check fails, so the gradient is wrong." Or: "it passes within one per cent, so it is right."
# >
# > **What is true.** In **float32** the difference is coarse. At a **kink** it takes the mean of two slopes. With
# > **noise drawn inside**, it subtracts values of two functions.
# >
# > **Run these cells:** right code six times, then wrong code once. *Before you look:* which of the three is farthest
# > off?


# %%
def simple_check(forward, backward, x, h=1e-6):
    """How far a backward is from central differences, over its largest entry."""
    y, cache = forward(x)
    claimed = backward(np.ones_like(y), cache)
    slopes = by_differences(lambda x: forward(x)[0].sum(), x, h)
    return np.abs(claimed - slopes).max() / np.abs(claimed).max()


def dropout(x, seed=None):
    """About half of the entries are set to 0: other ones in each call if there is no seed."""
    generator = noise if seed is None else np.random.default_rng(seed)
    keep = generator.random(x.shape) < 0.5
    return x * keep, keep


def masked(dy, keep):
    """The backward of dropout."""
    return dy * keep


noise = np.random.default_rng(2)
relu, relu_backward = ACTIVATIONS["relu"]
tanh, tanh_backward = ACTIVATIONS["tanh"]

# %% tags=["stumble-11", "answer"]
at_a_kink = np.array([0.0, 1.0, -1.0])
cases = {
    "tanh in float32": (tanh, tanh_backward, x.astype("float32")),
    "relu at its kink": (relu, relu_backward, at_a_kink),
    "dropout, noise drawn inside": (dropout, masked, x),
    "tanh in float64": (tanh, tanh_backward, x),
    "relu beside its kink": (relu, relu_backward, at_a_kink + 0.01),
    "dropout, noise handed in": (lambda x: dropout(x, seed=3), masked, x),
    "tanh, 0.5 % too large": (tanh, lambda dy, y: 1.005 * tanh_backward(dy, y), x),
}
off = {name: simple_check(*case) for name, case in cases.items()}
for name, error in off.items():
    print(f"{name:28} error {error:7.0e}  {'passes' if error < 1e-2 else 'FAILS'} within 1 %")

names = list(cases)
assert min(off[name] for name in names[:3]) > 1e-2  # right code, and the check fails
# spoil: off["tanh in float32"] = off["tanh in float64"]
assert max(off[name] for name in names[3:6]) < 1e-8  # the same code, checked well
# spoil: off["relu beside its kink"] = off["relu at its kink"]
assert 1e-3 < off["tanh, 0.5 % too large"] < 1e-2  # wrong code, and it passes
# spoil: off["tanh, 0.5 % too large"] = 0.0
assert max(off, key=off.get) == "dropout, noise drawn inside"
# spoil: off["relu at its kink"] = 1e9

# %% [markdown]
# So check in float64, beside the kinks, with the noise as an argument (the models of this library take `eps` from
# outside), within a millionth, *and with a step that suits the function*. Which suits $\sin(10^4 x)$?

# %% tags=["answer"]
bottom = (3 * np.finfo("float64").eps / 2 / 1e12) ** (1 / 3)  # f is about 1, f''' about 10^12
right_code = lambda x: (np.sin(1e4 * x), x), lambda dy, x: dy * 1e4 * np.cos(1e4 * x)
by_step = {h: simple_check(*right_code, x, h) for h in (1e-6, bottom)}
for h, error in by_step.items():
    print(
        f"h = {h:.0e}: error {error:.0e}, {'passes' if error < 1e-6 else 'FAILS'} within 1e-6"
    )

assert by_step[bottom] < 1e-6 < by_step[1e-6]
# spoil: by_step[1e-6] = by_step[bottom]

# %% [markdown]
# `check_vjp` looks for dtype, kinks and noise itself, and tries many steps:

# %%
kink = check_vjp(relu, relu_backward, {"x": at_a_kink}, title="relu at its kink")
single = check_vjp(tanh, tanh_backward, {"x": x.astype("float32")}, title="in float32")
noisy = check_vjp(dropout, masked, {"x": x}, title="noise inside")
for report in (kink, single, noisy):
    print(f"{report.title}: {report.state}")
    for finding in report.findings:
        print(f"  {finding.cause}: {finding.message.split(':')[0]}")

assert kink.ok  # it looks a little beside the kink
# spoil: kink = noisy
assert [finding.cause for finding in single.findings] == ["precision"]
# spoil: single = kink
assert [finding.cause for finding in noisy.findings] == ["noise-redrawn"]
# spoil: noisy = single

# %% [markdown]
# ## A check that keeps the answer to itself
#
# > **Often said.** "To help, a checker has to print the right gradient."
# >
# > **What is true.** A kind of mistake shows in a *ratio*. The blanks of this course print no number that you should
# > have. `check_vjp`, made for work, prints one, at the worst entry, and a repair; then the relative error of each
# > gradient, by differences and by a complex step.
# >
# > **Run this cell.** Of a student's dense layer with a tanh one line is wrong. *Which one?*


# %%
def student(x, W, b):
    """y = tanh(x W + b)."""
    y = np.tanh(x @ W + b)  # (B, O)
    return y, (x, W, y)


def student_backward(dy, cache):
    """What the student handed in."""
    x, W, y = cache
    da = dy * (1 - y**2)  # (B, O)
    return {"x": da @ W.T, "W": x.T @ da, "b": da.mean(axis=0)}


# %% tags=["stumble-14", "answer"]
def the_dense_part(dy, x, W):
    """The student's lines after the tanh, as an answer to the blank above."""
    return dy @ W.T, x.T @ dy, dy.mean(axis=0)


report = check_vjp(student, student_backward, {"x": x, "W": W, "b": b}, title="student's layer")
told = check("backprop.dense", the_dense_part)
print(told, report, sep="\n\n")
# the error is over b's right gradient, that by the complex step over the one that was claimed
row = report.rows[-1]

shown = {"expected", "got", "repair"} & told.as_dict().keys()
assert not shown
# spoil: shown = {"expected", "got", "repair"} & report.findings[0]._asdict().keys()
assert report.findings[0].expected is not None
# spoil: report.findings[0] = report.findings[0]._replace(expected=None)
assert {row.name for row in report.rows if row.status == "wrong"} == {"b"}
# spoil: report.rows.append(report.rows[-1]._replace(name="W"))
assert np.isclose(row.error, 1 - 1 / B)
# spoil: row = row._replace(error=B - 1)
assert row.second > 0.99 * (B - 1)  # and along one direction, for both entries together
# spoil: row = row._replace(second=row.error)
assert np.isclose(report.findings[0].factor, B)
# spoil: report.findings[0] = report.findings[0]._replace(factor=1 / B)

# %% [markdown]
# On the left a right gradient makes a V; a wrong one stays on a shelf, however small the step. On the right is what is
# left of a change of $J$ without the gradient's part: of the order $h^2$, or $h$ if the gradient is wrong.

# %% tags=["answer"]
drawn = report.plot()
show(drawn, drawn.alt)


def repaired_backward(dy, cache):
    """A bias is used once in every row: a sum, not a mean."""
    x, W, y = cache
    da = dy * (1 - y**2)
    return {"x": da @ W.T, "W": x.T @ da, "b": da.sum(axis=0)}


assert check_vjp(student, repaired_backward, {"x": x, "W": W, "b": b}).ok
# spoil: repaired_backward = student_backward

# %% [markdown]
# ## Formulas that break
#
# The largest number is about $3\cdot10^{38}$ in float32 and $2\cdot10^{308}$ in float64; $e^a$ passes them at $a=89$
# and $710$. A VAE needs the probability of a lit pixel, $p=1/(1+e^{-a})$, and $-\log(1-p)=\log(1+e^a)$, the softplus.
# Take $e^a$ out of the logarithm, $\log(1+e^a)=\log\left(e^a(e^{-a}+1)\right)$, and see which form is safe on which
# side. Write one that is right for every number, small values included: $1+u$ loses digits of a small $u$, and
# `np.log1p(u)` is $\log(1+u)$ without that sum.


# %% tags=["blank"]
def stable_softplus(a):
    """log(1 + exp(a)) with all its digits, entry by entry, for a from -1000 to 1000: (B,) -> (B,)."""
    raise NotImplementedError


check("backprop.softplus", stable_softplus)

# %% [markdown]
# We try six functions for 401 values of $a$. The **unit** of a precision is the distance from 1 to the next number. A
# value is right in **absolute** terms within 16 units (times the value, above 1), in **relative** terms within 16 units
# times the value, however small that is (unless too small for all digits). *Before you look:* which sigmoid is right in
# which terms, the plain one or the library's $\tfrac12(1+\tanh\tfrac a2)$?


# %%
side = np.concatenate([[0], np.geomspace(0.1, 1000, 200)])
logits = np.concatenate([-side[:0:-1], side])  # (401,)


def plain_sigmoid(a):
    return 1 / (1 + np.exp(-a))


def true_sigmoid(a):
    """Right in every digit: exp never sees a positive number."""
    return np.exp(np.minimum(a, 0)) / (1 + np.exp(-np.abs(a)))


def true_softplus(a):
    return np.logaddexp(0, a)  # NumPy's own log(exp(0) + exp(a))


whose = "yours" if check("backprop.softplus", stable_softplus).passed else "the course's"
functions = {  # name: how it is computed, and the reference
    "sigmoid: 1 / (1 + exp(-a))": (plain_sigmoid, true_sigmoid),
    "sigmoid, library": (lambda a: sigmoid(a)[0], true_sigmoid),
    "softplus: log(1 + exp(a))": (lambda a: np.log(1 + np.exp(a)), true_softplus),
    "softplus: -log(1 - p)": (lambda a: -np.log(1 - plain_sigmoid(a)), true_softplus),
    "softplus, library": (lambda a: softplus(a)[0], true_softplus),
    f"softplus, {whose}": (use("backprop.softplus", stable_softplus), true_softplus),
}


# %%
def overflows(function, a):
    """Does something on the way become infinite or undefined?"""
    try:
        with np.errstate(over="raise", invalid="raise", divide="raise", under="ignore"):
            function(a)
    except FloatingPointError:
        return True
    return False


def verdicts(function, reference, a):
    """Absolute and relative: 0 right, 1 right with an overflow, 2 digits lost, 3 inf or NaN."""
    info = np.finfo(a.dtype)
    with np.errstate(all="ignore"):
        value, true = function(a).astype(float), reference(a.astype(float))
        error = np.abs(value - true)
    unit = 16 * float(info.eps)
    allowed = unit * np.maximum(1, true), unit * true + float(info.smallest_normal)
    way = np.array([overflows(function, a[n : n + 1]) for n in range(len(a))])
    return [
        np.where(~np.isfinite(value), 3, np.where(error > most, 2, way)) for most in allowed
    ]


# %% tags=["stumble-07", "answer"]
maps = {
    (name, dtype): verdicts(function, reference, logits.astype(dtype))
    for name, (function, reference) in functions.items()
    for dtype in ("float16", "float32", "float64")
}
print("in float32: the smallest and the largest a that is wrong,")
print(f"{'':28} in absolute terms            in relative terms")
for name in functions:
    wrong = [logits[codes >= 2] for codes in maps[name, "float32"]]
    print(
        f"{name:28}",
        *(f"{f'{w.min():.0f} to {w.max():.0f}' if len(w) else '-':28}" for w in wrong),
    )

library = {key: codes for key, codes in maps.items() if "library" in key[0]}
plain = {key: codes for key, codes in maps.items() if ": " in key[0]}
assert all((absolute == 0).all() for absolute, _ in library.values())
# spoil: library["sigmoid, library", "float32"].reverse()
assert all((relative == 2).any() for _, relative in library.values())
# spoil: library["softplus, library", "float64"][1] = np.zeros(401)
assert all((absolute > 0).any() for absolute, _ in plain.values())
# spoil: plain["sigmoid: 1 / (1 + exp(-a))", "float32"][0] = np.zeros(401)
plain_is_exact = [(codes[1] < 2).all() for key, codes in plain.items() if "sigmoid" in key[0]]
assert all(plain_is_exact)  # in relative terms, too
# spoil: plain_is_exact = [(codes[1] < 2).all() for codes in library.values()]

# %% tags=["answer"]
meanings = ("right", "right, with an overflow on the way", "digits lost", "inf or NaN")
looks = (("#E6E6E6", ""), ("#56B4E9", "//"), (ORANGE, ".."), (VERMILLION, "xx"))
fig, axes = panels(2, height=5.0, xscale="symlog", xlabel="a", xlim=(-1000, 1000))
for kind, ax in enumerate(axes):
    for row, key in enumerate(maps):
        place = row + row // 3  # three precisions, then a gap
        for code, (colour, hatch) in enumerate(looks):
            where = np.convolve(maps[key][kind] == code, [1, 1, 1], "same") > 0  # no gaps
            bar = {"facecolor": colour, "hatch": hatch, "edgecolor": "white", "linewidth": 0}
            ax.fill_between(logits, place - 0.45, place + 0.45, where=where, step="mid", **bar)
    ax.set_title(("absolute error", "relative error")[kind])
    ax.set(xticks=[-1000, -10, 0, 10, 1000], xticklabels=["−1000", "−10", "0", "10", "1000"])
    ax.tick_params(axis="x", labelsize=8)
    ax.set(yticks=[])
    ax.invert_yaxis()
names = [name.replace(": ", "\n").replace(", ", "\n") for name in functions]
axes[0].set_yticks([4 * row + 1 for row in range(6)], names, fontsize="small")
for row, key in enumerate(maps):
    axes[1].text(1050, row + row // 3, key[1], fontsize=6, va="center")
patches = [
    axes[0].fill_between([], [], facecolor=c, hatch=h, edgecolor="white") for c, h in looks
]
fig.legend(patches, meanings, loc="outside lower center", ncols=4, frameon=False, fontsize=7.5)
show(
    fig,
    "Two panels, absolute and relative error, with a bar for each of six functions in three"
    " precisions. The library's are right throughout on the left panel, and lose digits for"
    " negative a on the right one; the plain sigmoid never does, but overflows on the way.",
)

# %% [markdown]
# Both sigmoids are right in absolute terms, only the plain one in relative terms: far to the left $\tanh \tfrac a2$ is
# near $-1$, and adding 1 leaves no digits. What the library gains is that nothing overflows on the way.

# %%
print("   a    library's sigmoid in float32, relative error")
relative = {}
for value in (-5.0, -10.0, -15.0, -20.0):
    p, _ = sigmoid(np.array([value], "float32"))
    relative[value] = p[0] / true_sigmoid(value) - 1
    print(f"{value:5.0f}   {p[0]:.3e}  {relative[value]:+.1e}")

assert 0.02 < abs(relative[-15.0]) < 0.03
# spoil: relative[-15.0] = relative[-5.0]
assert relative[-20.0] == -1  # it is 0
# spoil: relative[-20.0] = relative[-15.0]

# %% [markdown]
# Enough? The loss of a pixel is $\text{softplus}(a)-xa$, its gradient $p-x$: sums, where an absolute error of
# $10^{-7}$ is harmless. A relative one matters where one divides by a small $p$ or takes its logarithm; the library
# starts from the logit $a$ instead. Through $p$, the gradient of $-\log(1-p)$ is $1/(1-p)$ times $p(1-p)$, on paper
# $p$. In floating point $p$ becomes 1, and $\infty\cdot0$ is **NaN**, "not a number".

# %% tags=["stumble-07"]
a = np.array([[40.0]], dtype="float32")
p = plain_sigmoid(a)
with np.errstate(all="ignore"):
    through_p = 1 / (1 - p) * (p * (1 - p))
nll, cache = Bernoulli().nll(np.zeros_like(a), a)
dlogits = Bernoulli().nll_backward(np.ones(1, "float32"), cache)
print(
    f"at the logit 40, for a dark pixel: through p {through_p[0, 0]}, library {dlogits[0, 0]}"
)
print(f"the loss, from the logit: {nll[0]}")

assert np.isnan(through_p).all()
# spoil: through_p = dlogits
assert dlogits[0, 0] == true_sigmoid(40.0)
# spoil: dlogits = through_p
assert np.isclose(nll[0], true_softplus(40.0))
# spoil: nll = nll + 1e-3

# %% [markdown]
# > **Often said.** "A NaN in the loss? Clip it, or add a small number to the logarithm."
# >
# > **What is true.** That hides the cause. Here a log-variance runs away: the KL contains $e^{\text{logvar}}$.
# >
# > **Run this cell.** The step size is far too large. *Before you look:* from which log-variance on is the KL infinite?

# %% tags=["stumble-07", "answer"]
data = load_data("mnist-sample")
pixels = (data.x_train[:100] >= 128).astype("float32")  # (100, D)
rng, descent = np.random.default_rng(4), SGD(lr=1.0, momentum=0.0)
wild = VAE(784, (50,), 2, rng=np.random.default_rng(3))
largest, kls = [], []
with np.errstate(all="ignore"):
    while not kls or (np.isfinite(kls[-1]) and len(kls) < 20):
        mu, logvar, _ = wild.encode(pixels)  # (B, Z) each
        terms, cache = wild.objective(pixels, wild.draw_eps(100, rng))
        largest.append(logvar.max())
        kls.append(terms.kl.max())
        print(
            f"step {len(kls) - 1}: largest logvar {largest[-1]:8.0f}, largest kl {kls[-1]:.1e}"
        )
        descent.step(wild.params, wild.backward(np.full(100, -0.01, "float32"), cache))
    limit = np.log(np.finfo("float32").max)
    at_the_limit = kl_to_standard_normal(
        np.zeros((2, 1), "float32"), np.array([[limit - 0.01], [limit + 0.01]], "float32")
    )[0]
print(f"e^logvar overflows from logvar = {limit:.2f} on, its root from {2 * limit:.1f}")

assert list(np.isfinite(at_the_limit)) == [True, False]
# spoil: at_the_limit = at_the_limit[::-1]
assert np.array_equal(np.isfinite(kls), np.array(largest) < limit)
# spoil: largest.reverse()
assert np.isnan(terms.nll).any()  # beyond the second limit sigma is infinite, and z with it
# spoil: terms = terms._replace(nll=terms.kl)
assert np.abs(mu).max() > 1e4  # no clip of logvar holds these
# spoil: mu = np.zeros(2)

# %% [markdown]
# Clipping would stop the gradient: what is clipped has the slope 0. Here the means run away, too. `fit` does not clip.
# It looks at the losses every 50 steps and at the end of an epoch, names the first bad step, and says what to do.

# %%
# nll and kl break at one step here: the message names nll, which stands first
message, descent = "", SGD(lr=1.0, momentum=0.0)
try:
    wild = VAE(784, (50,), 2, rng=np.random.default_rng(3))
    how = {"epochs": 5, "optimizer": descent, "progress": False}
    fit(wild, data.x_train[:1000], data.x_test[:100], rng=np.random.default_rng(4), **how)
except ArithmeticError as error:
    message = str(error)
named = int(message.split(" at step ")[1].split()[0])
print(f"{message}; {descent.steps} steps were taken")

assert "lower the step size" in message
# spoil: message = ""
assert named < descent.steps  # the look came later
# spoil: named = descent.steps

# %% [markdown]
# ## Your progress

# %%
progress("backprop")

# %% [markdown]
# ## Recap
#
# 1. **Backwards.** What arrives, times the slope of the edge; at a fork the parts add.
# 2. **A dense layer.** $\text{dx}=\text{dy}\,W^\top$, $\text{dW}=x^\top\text{dy}$, $\text{db}=\sum_n\text{dy}_n$.
# 3. **A central difference.** Where $f$ and $f'''$ are about 1, best at $h\approx r^{1/3}$, with an error of about
#    $r^{2/3}$.
# 4. **A check.** In float64, beside the kinks, with noise as an argument and a step that suits, within a millionth.
# 5. **Stable formulas.** From the logit. A NaN is a symptom: look for the cause.
#
# ## On your own
#
# 1. Derive the backward of $y_{ni}=x_{ni}^2$ and of $y_n=\sum_i x_{ni}$. Check both with `check_vjp`.
# 2. Where is the bottom of the V of the forward difference, and how deep is it?
# 3. Derive the backward of softmax, $y_{nk}=e^{x_{nk}}/\sum_j e^{x_{nj}}$. Why does subtracting the largest
#    $x_{nj}$ first change nothing?
# 4. *A small project.* Write layer normalisation with its backward, and break it. Does the checker name each cause?
#
# ## Further reading
#
# - Andreas Griewank and Andrea Walther, *Evaluating Derivatives* (2008), chapters 1 to 3.
# - Nicholas Higham, *Accuracy and Stability of Numerical Algorithms* (2002), chapter 1.
# - Joaquim Martins, Peter Sturdza, Juan Alonso, *The Complex-Step Derivative Approximation* (2003).
# - [The derivations of the layers](derivations/05_layers.ipynb).
#
# [Back: the reparameterization trick](07_the_reparameterization_trick.ipynb) · [Contents](README.md) ·
# [Next: gradients through mu and sigma](09_gradients_through_mu_and_sigma.ipynb)
