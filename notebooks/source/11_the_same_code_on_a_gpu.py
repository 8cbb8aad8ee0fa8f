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
# # 11 · The same code on a GPU
#
# CuPy is a library with NumPy's functions whose arrays lie on a graphics card (GPU). The code of this course runs on
# both. This page shows how the switch works, how to test that both give the same numbers, and how to time them.
#
# **What you will do**
# - find out which array library an array belongs to, and write a function that works with both;
# - meet the things that CuPy refuses, on a miniature of its border;
# - compare gradients of two backends, and time a training step correctly.
#
# **What you will learn**
# - why random numbers are drawn on the host;
# - what parity means, and why it is not equality of bits;
# - why a naive timing of a GPU is wrong.
#
# **What you need**
# - page 09. About 15 minutes. It runs in a few seconds, with a GPU or without one.

# %%
from importlib.util import find_spec

if find_spec("scratchvae") is None:
    raise SystemExit(
        "This page needs scratchvae; in the README's folder: pip install -r requirements.txt"
    )

import time

import numpy as np

from scratchvae import VAE, Adam, get_xp, load_data, to_numpy
from scratchvae.backend import resolve_backend
from scratchvae.layers import softplus
from scratchvae.view.notebook import panels, show

# %% [markdown]
# ## Is there a GPU?
#
# A backend is asked for by name. Where CuPy is not installed, or no GPU answers, the answer is one line that says
# what to do. This page then goes on with NumPy, and says so.

# %%
try:
    backend = resolve_backend("cupy").__name__
    print("A GPU answers: this page runs on CuPy, beside NumPy.")
except ValueError as message:
    backend = "numpy"
    print("No GPU here: this page runs on NumPy alone, twice where it compares.")
    print("The package said:", message)

# %% [markdown]
# ## The switch is a question asked of the array
#
# There is no global setting. A function that gets an array asks which library it belongs to, and calls that library:
#
# ```python
# xp = get_xp(x)      # the module numpy, or the module cupy
# y = xp.exp(x)
# ```
#
# That is all. `xp` stands for either module. Here is a function of the library's, and one of ours.


# %%
def log_mean_exp(x):
    """log of the mean of exp(x), along the last axis: on whatever device x lies."""
    xp = get_xp(x)
    largest = x.max(axis=-1, keepdims=True)
    return (largest + xp.log(xp.exp(x - largest).mean(axis=-1, keepdims=True)))[..., 0]


x = np.array([[0.0, 1.0, 2.0], [1000.0, 1000.0, 1000.0]])  # (2, 3)
print("library:", get_xp(x).__name__)
print("log_mean_exp:", log_mean_exp(x).round(4), "  softplus:", softplus(x)[0][0].round(4))

assert get_xp(x) is np
assert np.isclose(log_mean_exp(x)[0], np.log(np.exp(x[0]).mean()))
assert log_mean_exp(x)[1] == 1000.0  # the naive formula overflows here

# %% [markdown]
# ## What CuPy refuses
#
# An array on a GPU cannot be read by the processor without a transfer, which is slow. CuPy therefore never converts
# in silence. What works in NumPy by accident is an error there:
#
# | in NumPy | in CuPy |
# |---|---|
# | `np.exp(x)` for any `x` | `np.exp` of a CuPy array gives a CuPy array, but `np.asarray(x)` raises |
# | `x + y` with any two arrays | raises if one lies on the host and one on the device |
# | `np.add(x, y, where=mask)` | no `where=` in its functions |
# | `rng.permutation(n)`, `rng.shuffle(x)` | its generators do not have them |
# | `if x.sum() > 0:` | works, and makes the host wait for the device |
#
# The miniature below has two of these rules. It holds an array and guards the border.


# %%
class OnDevice:
    """A miniature of a device array: it meets its own kind and numbers, and converts only when asked."""

    def __init__(self, host):
        self._host = np.array(host)

    def __array__(self, dtype=None, copy=None):
        raise TypeError("no implicit conversion to NumPy; ask for it with .get()")

    def __add__(self, other):
        if isinstance(other, np.ndarray):
            raise TypeError("one array lies on the host, the other on the device")
        return OnDevice(self._host + (other._host if isinstance(other, OnDevice) else other))

    def get(self):
        """A copy on the host: a transfer, and a wait."""
        return self._host.copy()


a = OnDevice([1.0, 2.0])
refused = 0
for description, attempt in (
    ("np.asarray(a)", lambda: np.asarray(a)),
    ("a + an array of the host", lambda: a + np.ones(2)),
):
    try:
        attempt()
    except TypeError as error:
        refused += 1
        print(f"{description:26} refused: {error}")
print(f"{'a + a, then a + 1':26} allowed: {(a + a + 1).get()}")

assert refused == 2
assert np.array_equal((a + a + 1).get(), [3.0, 5.0])

# %% [markdown]
# The tests of this package run the whole core on a strict stand-in of this kind, which knows every name and every
# keyword of CuPy's. A line that mixes host and device fails there, on a machine without a GPU.
#
# ## Why random numbers come from the host
#
# CuPy has generators of its own. Their streams differ from NumPy's and change between versions. If each backend drew
# its own noise, two runs could never be compared. So weights, order of batches, bits and eps are drawn by NumPy and
# then moved. Per step that is one batch and one eps, a few hundred kilobytes.

# %%
data = load_data("mnist-sample")
images = (data.x_train[:128] >= 128).astype("float32")  # (B, D) = (128, 784)


def build(name, dtype="float32"):
    """The same model, from the same seed, on a backend."""
    return VAE(784, (400,), 20, rng=np.random.default_rng(0), dtype=dtype, backend=name)


on_host, on_device = build("numpy"), build(backend)
eps_host = on_host.draw_eps(128, np.random.default_rng(1))  # (128, 20)
eps_device = on_device.draw_eps(128, np.random.default_rng(1))  # (128, 20)

assert np.array_equal(eps_host, to_numpy(eps_device))
for name, p in on_host.params.items():
    assert np.array_equal(p, to_numpy(on_device.params[name]))
print("same weights and same eps on both, to the last bit")

# %% [markdown]
# ## Parity
#
# With the same weights, images and noise, both backends compute the same function. Do they give the same bits? A GPU
# adds numbers in another order, and rounding depends on the order. So the test is agreement within a few units of
# rounding, relative to the largest entry. We can see what rounding alone does on one machine: compute in float32 and
# in float64.


# %%
def objective_and_gradients(model, x, eps):
    """The mean objective and the gradient of every parameter, on the host."""
    terms, cache = model.objective(x, eps)
    grads = model.backward(np.full(len(x), 1 / len(x)), cache)
    return float(terms.objective.mean()), {name: to_numpy(g) for name, g in grads.items()}


def largest_difference(one, other):
    """Over all parameters: the largest difference, in units of the largest entry."""
    return max(np.abs(one[name] - other[name]).max() / np.abs(one[name]).max() for name in one)


value_host, grads_host = objective_and_gradients(on_host, images, eps_host)
value_device, grads_device = objective_and_gradients(on_device, images, eps_device)
fine = build("numpy", "float64")
for name, p in fine.params.items():
    p[...] = on_host.params[name]  # the same weights, so that only the arithmetic differs
value_fine, grads_fine = objective_and_gradients(fine, images, eps_host)

rounding = largest_difference(grads_fine, grads_host)
parity = largest_difference(grads_host, grads_device)
print(
    f"float32 against float64: objective differs by {abs(value_host - value_fine):.1e} nat, ",
    end="",
)
print(f"gradients by {rounding:.1e}")
print(f"numpy against {backend}: gradients differ by {parity:.1e}")

assert rounding < 1e-4
assert parity < 1e-4

# %% [markdown]
# Agreement of one step does not mean agreement of a whole run. Training amplifies small differences, and after some
# epochs two runs have different weights and equally good ones. What should agree is the test ELBO.
#
# ## Timing
#
# A GPU works on by itself. A call returns as soon as the work is *queued*. If you read the clock then, you have timed
# the queue. Read something back first: that makes the host wait for all that was asked before. And leave the first
# step out: it compiles kernels and fills caches.
#
# *Before you run the cell:* on NumPy, will the two ways of timing differ?


# %%
def step(model, optimizer, eps):
    """One training step: forward, backward, Adam. The weights are those of the loss."""
    _, cache = model.objective(images, eps)
    optimizer.step(model.params, model.backward(np.full(128, -1 / 128), cache))


def milliseconds(model, eps, wait, n=20):
    """The median time of a step, with or without waiting for its result."""
    optimizer = Adam()
    step(model, optimizer, eps)  # left out
    times = []
    for _ in range(n):
        began = time.perf_counter()
        step(model, optimizer, eps)
        if wait:
            to_numpy(model.params["logits.b"])
        times.append(time.perf_counter() - began)
    return 1e3 * float(np.median(times))


queued = milliseconds(build(backend), eps_device, wait=False)
finished = milliseconds(build(backend), eps_device, wait=True)
print(
    "a training step takes", "a few" if finished < 100 else "many", "milliseconds on", backend
)

# %% [markdown]
# On NumPy both are the same up to chance, since a call returns when its work is done. On a GPU the first can be many
# times smaller than the second, and only the second is true. The figures themselves depend on your machine, so they
# are not printed here: look at `queued` and `finished`.
#
# ### When is a GPU worth it?
#
# A **kernel** is one small program that runs on the GPU: one addition of arrays, one sum, one matrix product. It
# takes a few microseconds to start, however little it does. A step of the default model asks for fewer than 180
# kernels. So a GPU pays when each of them has much to do: large batches, wide layers. The work in the matrix products
# of one step grows with the batch and with the widths; the number of kernels does not.


# %%
def products(batch, width, n_x=784, n_z=20):
    """Multiplications in the matrix products of a step: forward, weights' gradients, inputs' gradients."""
    forward = n_x * width + 2 * width * n_z + n_z * width + width * n_x
    return batch * (3 * forward - n_x * width)  # the first layer's dx is never needed


widths = np.array([100, 200, 400, 1000, 2000, 4000])
fig, ax = panels(
    height=2.8,
    xlabel="hidden width",
    ylabel="multiplications a step",
    xscale="log",
    yscale="log",
)
ax.set_title("The work of a step grows with width and batch; the number of kernels stays")
for batch, colour, marker in (
    (16, "#555555", "o"),
    (128, "#0072B2", "s"),
    (1024, "#D55E00", "^"),
):
    ax.plot(
        widths,
        [products(batch, w) for w in widths],
        color=colour,
        marker=marker,
        label=f"B = {batch}",
    )
ax.legend(frameon=False)
show(
    fig,
    "Three rising lines on logarithmic axes, one for each batch size, from ten million to ten billion.",
)

assert products(1024, 400) == 8 * products(128, 400)

# %% [markdown]
# ## Recap
#
# 1. **Definition.** `xp = get_xp(x)`: the library is found from the array; no global switch.
# 2. **Two worlds.** Host and device; crossing the border is always written out (`to_numpy`, `as_backend`).
# 3. **Noise.** Drawn on the host, moved to the device: both backends see the same numbers.
# 4. **Parity.** Agreement within rounding for one step, not equality of bits, and not equality of whole runs.
# 5. **Timing.** Read something back before you read the clock, and leave out the first step.
#
# ## On your own
#
# 1. Which lines of `scratchvae/vae.py` would change if CuPy were dropped? Look for them.
# 2. Extend the miniature by `__mul__` and `sum`, and let it count how often `.get()` is called.
# 3. Write `if terms.elbo.mean() > best:` inside a training loop. What does it cost on a GPU, and how does `fit` avoid
#    it?
# 4. *A small project.* If you have a GPU, time steps for widths from 100 to 4,000 on both backends, with waiting.
#    Where do the two curves cross?
#
# ## Further reading
#
# - [What has been tried on a GPU, and how it is tested without one](../docs/gpu.md).
# - The user guide of CuPy, the pages on differences between CuPy and NumPy and on performance.
#
# [Back: the latent space](10_the_latent_space.ipynb) · [Contents](README.md)
