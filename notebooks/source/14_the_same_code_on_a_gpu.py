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
# # 14 · The same code on a GPU
#
# Code written for NumPy is taken to a graphics card (GPU), without a second version of it. On this page you take it
# across that border, find a line that breaks there, and count what it asks for on the other side.
#
# **What you will do**
# - write functions that work wherever their arrays lie, and repair one that does not;
# - count kernels and waits;
# - read a clock at the right moment.
#
# **What you will learn**
# - what a GPU's library refuses that NumPy allows;
# - why a GPU can be slow although it computes fast;
# - which differences between two machines are rounding, and whether training makes them grow.
#
# **What you need**
# - page 10; for the first blank the log-mean-exp of page 04. About 35 minutes with the blanks. It runs in some ten
#   seconds, with a GPU or without one.

# %%
from importlib.util import find_spec

if find_spec("scratchvae") is None:
    raise SystemExit(
        "This page needs scratchvae; in the README's folder: pip install -r requirements.txt"
    )

import time

import numpy as np

from scratchvae import VAE, Adam, fit, get_xp, load_data, to_numpy
from scratchvae.backend import as_backend, resolve_backend
from scratchvae.exercises import check, hint, progress, solution, use  # noqa: F401
from scratchvae.exercises.gpu.timing import Machine
from scratchvae.standin import counts, plug_in, stand_in
from scratchvae.view.notebook import panels, show

BLUE, VERMILLION = "#0072B2", "#D55E00"

# %% [markdown]
# ## Two places for an array
#
# CuPy has most of NumPy's functions, for arrays that lie in the memory of a GPU. The GPU is called the **device**, the
# computer around it the **host**. Code of this course asks an array where it belongs, `xp = get_xp(x)`, and gets the
# module `numpy` or the module `cupy`. From then on it writes `xp.exp(x)`. There is no global setting. `to_numpy(x)`
# brings an array to the host, and `as_backend(x, xp, dtype)` takes it to the library `xp`.
#
# Where no GPU answers, this page uses a **stand-in**. It computes with NumPy, but its arrays are of a type of their
# own. It knows the names and keywords of CuPy 14.2 and no others, refuses what CuPy refuses and a little more, and
# counts what a device would be asked for. It shows nothing of CuPy's arithmetic or speed.

# %%
try:
    cupy, on_gpu = resolve_backend("cupy"), True
    print("A GPU answers: what follows runs on it. Where we count, it is the stand-in's turn.")
except ValueError as message:
    cupy, on_gpu = plug_in(), False
    print("No GPU answers: the stand-in is used. The package said:")
    print(message)

# %% [markdown]
# Take the module from the array, in place of `raise NotImplementedError`, and run the cell. `check` calls your
# function with arrays of both kinds. (Their numbers are small: page 04's maximum may stay out.)


# %% tags=["blank"]
def log_mean_exp(x):
    """log of the mean of exp(x) over each row, in the library of x: (B, K) -> (B,)."""
    raise NotImplementedError


check("gpu.log_mean_exp", log_mean_exp)

# %% [markdown]
# Stuck? `hint("gpu.log_mean_exp")` in a cell of its own asks a question; a third hint is nearly the code. Whatever
# value your function returns, the cells below it run.

# %%
rng = np.random.default_rng(0)
log_w = rng.standard_normal((4, 5)).astype("float32")  # (B, K)
on_both = use("gpu.log_mean_exp", log_mean_exp)  # yours, if it has passed
on_host = on_both(log_w)  # (B,)
on_device = on_both(as_backend(log_w, cupy))  # (B,)
print("lies in", get_xp(on_host).__name__, on_host.round(4))
print("lies in", get_xp(on_device).__name__, to_numpy(on_device).round(4))

two_at_a_time = np.logaddexp.reduce(log_w.astype(float), axis=1) - np.log(5)  # (B,)
assert np.allclose(to_numpy(on_device), two_at_a_time, atol=1e-6)
# spoil: two_at_a_time += np.log(5)
assert get_xp(on_device) is cupy  # it stayed where x lies
# spoil: on_device = to_numpy(on_device)

# %% [markdown]
# ## What a device refuses
#
# The processor does not compute with what lies in the GPU's memory: it has to be sent over, and that takes time. So
# in arithmetic CuPy sends no array unless it is asked to (an array of indices it sends). Some other things it just does
# not have. NumPy runs all eight lines below.
#
# *Write down a guess:* which of them raise an error when `a` lies on a device?

# %%
guess = None  # some of the letters, such as "ab"

# %% tags=["answer"]
lines = {
    "a": ("a + an array of the host", lambda a, xp: a + np.ones(3)),
    "b": ("2.0 * a", lambda a, xp: 2.0 * a),
    "c": ("np.asarray(a)", lambda a, xp: np.asarray(a)),
    "d": ("float(a.sum())", lambda a, xp: float(a.sum())),
    "e": ("a.sum(initial=0.0)", lambda a, xp: a.sum(initial=0.0)),
    "f": ("if a.sum() > 0: ...", lambda a, xp: 1 if a.sum() > 0 else 0),
    "g": ("xp.exp(a, out=b, where=a > 1)", lambda a, xp: xp.exp(a, out=a * 0, where=a > 1)),
    "h": ("a permutation", lambda a, xp: xp.random.default_rng(0).permutation(3)),
}


def refused_by(xp):
    """The letters of the lines that raise, with what the error says."""
    a, told = xp.asarray(np.arange(3.0)), {}
    for letter, (_, attempt) in lines.items():
        try:
            attempt(a, xp)
        except (TypeError, AttributeError) as error:
            told[letter] = str(error)
    return told


# %% tags=["answer"]
told = refused_by(cupy)
for letter, (text, _) in lines.items():
    print(f"{letter} {text:30} {told[letter][:58] if letter in told else 'runs'}")
print("your guess:", guess)

assert "".join(told) == "acegh"
# spoil: told = refused_by(np)
assert not refused_by(np)
# spoil: lines["b"] = ("nothing", lambda a, xp: a + None)

# %% [markdown]
# Lines *d* and *f* run, and cost something that does not show yet; we come back to it. One line more, `np.exp(a)`, is
# different on the stand-in: CuPy takes such a call over from NumPy, the stand-in refuses it, and so do the checks of
# this page. Whoever reads `np.exp` thinks of the host.
#
# ## One bug to find
#
# This function draws $z = \mu + \sigma \epsilon$ and returns an ELBO, for a decoder that does nothing: $x$ is $z$ with
# noise of standard deviation 1 (the constant of that density is left out). It works on NumPy.
#
# *Write down two guesses:* which line raises an error on a device? Which line is to blame?

# %%
guess = None  # two numbers


def elbo_of(x, mu, logvar, rng):
    xp = get_xp(mu)  # line 1
    sigma = xp.exp(0.5 * logvar)  # 2
    eps = rng.standard_normal(mu.shape)  # 3
    z = mu + sigma * eps  # 4
    nll = 0.5 * ((x - z) ** 2).sum(axis=1)  # 5
    kl = 0.5 * (mu * mu + sigma * sigma - 1 - logvar).sum(axis=1)  # 6
    return -nll - kl  # 7


# %% tags=["answer"]
def line_that_raises(function, *arguments):
    """Counted from the line below def; None if there is none."""
    try:
        function(*arguments, np.random.default_rng(1))
    except TypeError as error:
        inside = error.__traceback__.tb_next
        return inside.tb_lineno - function.__code__.co_firstlineno
    return None


ours = [rng.standard_normal((4, 3)).astype("float32") for _ in range(3)]  # x, mu, logvar
moved = [as_backend(array, cupy) for array in ours]
line = line_that_raises(elbo_of, *moved)
elbo = elbo_of(*ours, np.random.default_rng(1))  # (B,)
print("on the device line", line, "raises; your guesses:", guess)
print("on the host every array that goes in is float32, and what comes out is", elbo.dtype)

assert line == 4
# spoil: line = line_that_raises(elbo_of, *ours)
assert elbo.dtype == np.float64
# spoil: elbo = elbo.astype("float32")

# %% [markdown]
# The error appears in line 4, where an array of the host meets one of the device. To blame is line 3, which made an
# array on the host. The same line does harm on NumPy, in silence: it makes float64, and the result is twice as wide as
# all that went in.
#
# Write the draw so that it works in both places. The noise is an argument now.


# %% tags=["blank"]
def draw_z(mu, sigma, eps):
    """z = mu + sigma eps, (B, Z) each, where mu lies and in its dtype.

    eps comes from NumPy: it is float64, and lies on the host.
    """
    raise NotImplementedError


check("gpu.draw", draw_z)


# %%
def repaired(x, mu, logvar, rng):
    xp = get_xp(mu)
    sigma = xp.exp(0.5 * logvar)
    z = use("gpu.draw", draw_z)(mu, sigma, rng.standard_normal(mu.shape))
    nll = 0.5 * ((x - z) ** 2).sum(axis=1)
    kl = 0.5 * (mu * mu + sigma * sigma - 1 - logvar).sum(axis=1)
    return -nll - kl


line = line_that_raises(repaired, *moved)
elbo_there = to_numpy(repaired(*moved, np.random.default_rng(1)))  # (B,)
print("before, on the host:  ", elbo.round(5), elbo.dtype)
print("after, on the device: ", elbo_there.round(5), elbo_there.dtype)

assert line is None
# spoil: line = line_that_raises(elbo_of, *moved)
assert np.allclose(elbo, elbo_there, rtol=1e-5)
# spoil: elbo_there = to_numpy(repaired(*moved, np.random.default_rng(2)))
assert elbo_there.dtype == np.float32
# spoil: elbo_there = elbo

# %% [markdown]
# ### Why the noise comes from the host
#
# Both libraries have random number generators, and their draws differ. If each drew its own noise, results could only
# be compared on average. So the weights, the order of the batches and the noise are drawn by NumPy, and then moved.

# %%
data = load_data("mnist-sample")
images = (data.x_train[:128] >= 128).astype("float32")  # (B, D)


def build(backend, dtype="float32", width=50, seed=0):
    """The same model, from the same seed, in either place."""
    rng = np.random.default_rng(seed)
    return VAE(784, (width,), 20, "tanh", rng=rng, dtype=dtype, backend=backend)


# %%
host, device = build("numpy"), build("cupy")
eps = host.draw_eps(128, np.random.default_rng(1))  # (B, Z)
eps_there = device.draw_eps(128, np.random.default_rng(1))  # (B, Z)
there = {name: to_numpy(p) for name, p in device.params.items()}
same = [np.array_equal(p, there[name]) for name, p in host.params.items()]
print(f"{sum(same)} of {len(same)} arrays of weights are equal; eps there:")
print(eps_there[:1, :4])

assert np.array_equal(eps, to_numpy(eps_there))
# spoil: eps_there = device.draw_eps(128, np.random.default_rng(2))
assert all(same)
# spoil: same = [np.array_equal(p, there[name]) for name, p in build("numpy", seed=1).params.items()]

# %% [markdown]
# ## Kernels
#
# A **kernel** is one small program that runs on the device: one addition of two arrays, one sum, one matrix product.
# The host asks for each, one by one. How many does an expression ask for? We let the stand-in count them: one for each
# operation that makes or changes an array, none for a view such as `a.T`.
#
# Take the KL to the standard normal, `0.5 * (mu * mu + xp.exp(v) - 1 - v).sum(axis=1)`, where `v` is the log-variance.
# *Write down a guess:* how many kernels does it take for 4 examples? How many for 400?

# %%
guess = None  # two numbers

# %% tags=["answer"]
expressions = {
    "0.5 * (mu * mu + xp.exp(v) - 1 - v).sum(axis=1)": lambda mu, v, xp: (
        0.5 * (mu * mu + xp.exp(v) - 1 - v).sum(axis=1)
    ),
    "mu @ v.T": lambda mu, v, xp: mu @ v.T,
    "mu[:, 0]": lambda mu, v, xp: mu[:, 0],
    "mu *= 2": lambda mu, v, xp: mu.__imul__(2),
}
kernels = {}
for B in (4, 400):
    with stand_in() as xp:
        mu, v = xp.asarray(np.ones((B, 3))), xp.asarray(np.ones((B, 3)))
        for text, expression in expressions.items():
            before = counts.launches
            expression(mu, v, xp)
            kernels[text, B] = counts.launches - before
for text in expressions:
    print(f"{text:50} {kernels[text, 4]} kernels, and {kernels[text, 400]} for 400 examples")
print("your guess:", guess)

assert [kernels[text, 4] for text in expressions] == [7, 1, 0, 1]
# spoil: kernels["mu @ v.T", 4] = 2  # a copy for the transpose
assert all(kernels[text, 4] == kernels[text, 400] for text in expressions)
# spoil: kernels["mu *= 2", 400] = 100

# %% [markdown]
# A training step has three parts: forward, backward, and Adam. The matrix products stand in the first two, and with 128
# images nearly all multiplications are in them.
#
# *Write down a guess:* which of the three asks for the most kernels?

# %%
guess = None  # "forward", "backward" or "Adam"


# %% tags=["answer"]
def kernels_of_a_step(B, width):
    """Kernels of the parts of the second training step; the first one makes Adam's averages."""
    with stand_in() as xp:
        model, adam, parts = build("cupy", width=width), Adam(), {}
        x, w = xp.zeros((B, 784), dtype="float32"), xp.full(B, -1 / B, dtype="float32")
        eps = model.draw_eps(B, np.random.default_rng(0))
        for _ in range(2):
            counts.clear()
            _, cache = model.objective(x, eps)
            parts["forward"] = counts.launches
            grads = model.backward(w, cache)
            parts["backward"] = counts.launches - parts["forward"]
            before = counts.launches
            adam.step(model.params, grads)
            parts["Adam"] = counts.launches - before
        waits = counts.syncs
    return parts, waits, len(model.params)


# %% tags=["answer"]
parts, waits, n_params = kernels_of_a_step(128, 400)
small, _, _ = kernels_of_a_step(2, 5)
print("kernels:", parts, "in all", sum(parts.values()), " waits:", waits)
print("two images and five hidden units:", small)
print("your guess:", guess)

assert parts["Adam"] > sum(parts.values()) / 2
# spoil: parts["Adam"] = 70
assert parts["Adam"] == 10 * n_params  # ten operations on each array of weights
# spoil: n_params = n_params + 1
assert small == parts
# spoil: small, _, _ = dict(parts, forward=1), 0, 0

# %% [markdown]
# In this count the kernels are those of the *operations*, not of the numbers in them. A larger batch and wider layers
# give most kernels more to do, and do not add one. (On a GPU an operation may take two: CuPy may add up a whole array
# in two passes.)
#
# ## Waits
#
# The host asks for a kernel and goes on before it is done. It waits where it has to know a number: `float(a)`,
# `print(a)`, `if a > 0`, `to_numpy(a)`. While it waits it asks for nothing, and when it goes on, the device has nothing
# left to do. We come back to the lines *b*, *d* and *f* from above, and add two.

# %%
lines["i"] = ("str(a), as in print(a)", lambda a, xp: str(a))
lines["j"] = ("to_numpy(a)", lambda a, xp: to_numpy(a))
looked = {}
for letter in "bdfij":
    with stand_in() as xp:
        a = xp.asarray(np.arange(3.0))
        _, attempt = lines[letter]
        attempt(a, xp)
        looked[letter] = counts.syncs
print("waits:", {lines[letter][0]: n for letter, n in looked.items()})

assert looked == {"b": 0, "d": 1, "f": 1, "i": 1, "j": 1}
# spoil: looked["f"] = 0

# %% [markdown]
# People like to watch the length of the gradient, the root of the sum of all squares. Write it with one wait, however
# many arrays there are.


# %% tags=["blank"]
def norm_of(grads):
    """The root of the sum of the squares of all entries, as a Python float, with one wait.

    grads: name -> array, of any shape.
    """
    raise NotImplementedError


check("gpu.norm", norm_of)


# %%
def one_by_one(grads):
    """The same number, with a float() inside the loop."""
    return sum(float((g * g).sum()) for g in grads.values()) ** 0.5


waited = {}
with stand_in():
    model = build("cupy")
    _, cache = model.objective(images, model.draw_eps(128, np.random.default_rng(1)))
    grads = model.backward(np.full(128, 1 / 128), cache)
    for name, norm in {
        "float in the loop": one_by_one,
        "yours": use("gpu.norm", norm_of),
    }.items():
        counts.clear()
        length = norm(grads)
        waited[name] = counts.syncs
        print(f"{name:18} length {length:.4f}, waits: {waited[name]}")

assert waited == {"float in the loop": len(grads), "yours": 1}
# spoil: waited["yours"] = waited["float in the loop"]

# %% [markdown]
# *Write down a guess:* `fit` reports the losses of every epoch. How many waits do 200 steps of training take more than
# 50 steps?

# %%
guess = None  # a number

# %% tags=["answer"]
waits_of = {}
for steps in (50, 100, 150, 200):
    with stand_in():
        rng = np.random.default_rng(0)
        narrow = VAE(784, (10,), 2, rng=rng, backend="cupy")
        x_train, x_test = data.x_train[: 4 * steps], data.x_test[:4]
        how = {"epochs": 1, "optimizer": Adam(), "batch_size": 4, "progress": False}
        fit(narrow, x_train, x_test, rng=rng, **how)
        waits_of[steps] = counts.syncs
print("waits by steps:", waits_of, "  your guess:", guess)

assert waits_of[200] - waits_of[50] == 3  # one look for each 50 steps
# spoil: waits_of[200] = waits_of[50] + 150
assert waits_of[50] == 3
# spoil: waits_of = {steps: n + 1 for steps, n in waits_of.items()}

# %% [markdown]
# `fit` leaves the losses on the device and looks at those of 50 steps at once, or of what is left of an epoch. Two
# waits are left: one before the first step, where it looks whether the output bias has been set, and one an epoch for
# the losses of the test images.
#
# ## A queue, and a clock
#
# What the host has asked for stands in a queue. The device takes one kernel after the other: it begins when the kernel
# has been asked for *and* the one before it is done. The host takes a moment to ask, here 5 µs, which we assume.


# %%
def timeline(launch, work, n):
    """When each of n kernels is asked for, begins and ends: (n,) each."""
    asked = launch * np.arange(1, n + 1)
    begun, done = np.zeros(n), np.zeros(n)
    for i in range(n):
        begun[i] = max(asked[i], done[i - 1] if i else 0.0)
        done[i] = begun[i] + work
    return asked, begun, done


# %% [markdown]
# *Write down a guess:* a kernel works for 20 µs, four times as long as it takes to ask for it, and a step has eight of
# them. You read the clock when the host has asked for all. Which share of the true time have you seen?

# %%
guess = None  # a number between 0 and 1

# %% tags=["answer"]
fig, axes = panels(2, height=2.6, xlabel="time in µs", ylim=(-0.7, 1.9))
seen = {}
for ax, work in zip(axes, (2.0, 20.0), strict=True):
    asked, begun, done = timeline(5.0, work, 8)
    ax.barh(np.ones(8), 4.4, left=asked - 5, height=0.5, color=BLUE)
    ax.barh(np.zeros(8), done - begun - 0.06 * work, left=begun, height=0.5, color=VERMILLION)
    ax.axvline(asked[-1], color="black", linewidth=1, linestyle=":")
    ax.axvline(done[-1], color="black", linewidth=1)
    ax.set(title=f"a kernel works for {work:g} µs", yticks=(0, 1))
    ax.set(yticklabels=("device", "host"))
    seen[work] = asked[-1] / done[-1]
axes[1].text(42, 1.5, "read too early", fontsize=8)
axes[1].text(162, 1.5, "read after a wait", ha="right", fontsize=8)
show(
    fig,
    "Two timelines with eight launches of the host above and eight kernels of the device below."
    " Left: the host is busy without a gap, the device idle between short kernels. Right: the host"
    " is done after 40 of 165 microseconds, and the device works on without a gap.",
)
print({f"{work:g} µs": f"{share:.0%} seen" for work, share in seen.items()})
print("your guess:", guess)

assert np.isclose(seen[20.0], 8 * 5 / (5 + 8 * 20))
# spoil: seen[20.0] = seen[2.0]
assert seen[2.0] > 0.9
# spoil: seen[2.0] = seen[20.0]

# %% [markdown]
# On the left the host is the slow one: the time of a step is the number of kernels times the time to ask for one,
# however little each does. This is one reason why a GPU can be slow. It pays where each kernel has much to do: large
# batches and wide layers.

# %%
asks = sum(parts.values())  # kernels of a training step
step_times = {work: timeline(5e-6, work * 1e-6, asks)[2][-1] for work in (0.5, 2.0, 20.0)}
for work, seconds in step_times.items():
    print(f"{asks} kernels of {work:4g} µs each: {1e3 * seconds:.2f} ms")

assert np.allclose([step_times[0.5], step_times[2.0]], 5e-6 * asks, rtol=0.01)
# spoil: step_times[0.5] = step_times[2.0] / 4
assert np.isclose(step_times[20.0], 20e-6 * asks, rtol=0.01)
# spoil: step_times[20.0] = step_times[2.0]

# %% [markdown]
# Now the stop watch. A machine has `run(n)`, which asks for `n` training steps and returns when they stand in the
# queue, `wait()`, which returns when nothing is left there, and `clock()`, the time in seconds. The very first step
# takes much longer: its kernels are compiled, or read from the disk.


# %% tags=["blank"]
def seconds_a_step(machine, n):
    """The mean time of n steps, one right after the other, without the first ever: -> a number.

    machine.run(n) asks for n steps; machine.wait() returns when all that was asked for is done;
    machine.clock() is the time.
    """
    raise NotImplementedError


check("gpu.seconds", seconds_a_step)

# %% [markdown]
# `check` times machines whose times are known. Here is a real one: a model that trains, where `to_numpy` of a weight
# is the wait. With a GPU the cell prints what it took; without one NumPy's time is only kept, in `times`.


# %%
class Training:
    """Training steps of a model, as a machine."""

    def __init__(self, backend):
        self.model, self.adam = build(backend, width=400), Adam()
        self.x = as_backend(images, self.model.xp)  # (B, D)
        self.eps = self.model.draw_eps(128, np.random.default_rng(1))  # (B, Z)
        self.w = self.model.xp.full(128, -1 / 128, dtype="float32")  # (B,)

    def run(self, n):
        for _ in range(n):
            _, cache = self.model.objective(self.x, self.eps)
            self.adam.step(self.model.params, self.model.backward(self.w, cache))

    def wait(self):
        to_numpy(self.model.params["logits.b"])

    def clock(self):
        return time.perf_counter()


# %%
stop_watch = use("gpu.seconds", seconds_a_step)
known = Machine(launch=5e-6, work=20e-6, kernels=asks, compiling=1.0)
times = {"known": stop_watch(known, 10), "numpy": stop_watch(Training("numpy"), 10)}
if on_gpu:
    times["cupy"] = stop_watch(Training("cupy"), 10)
    print({name: f"{1e3 * seconds:.2f} ms" for name, seconds in times.items()})
with stand_in():
    stop_watch(Training("cupy"), 3)
    looks = counts.syncs
print(f"a machine that is known: {1e3 * times['known']:.2f} ms a step")
print("waits in a timing:", looks)

assert np.isclose(times["known"], step_times[20.0], rtol=0.01)
# spoil: times["known"] = 5e-6 * asks  # the time of the queue
assert looks >= 2  # before the first reading of the clock, and before the last
# spoil: looks = 1

# %% [markdown]
# ## The same numbers?
#
# With the same weights, images and noise, two machines compute the same function. They add its terms in another order,
# and in floating point a sum depends on the order. How much? We need no GPU to see it: number the hidden units of the
# encoder differently. The function is the same, and the sums over hidden units are taken in another order.
#
# *Write down a guess:* relative to the largest entry of a gradient, how large is the difference in float32 and in
# float64?

# %%
guess = None  # two numbers

# %%
HIDDEN = {"encoder.0.W": 1, "encoder.0.b": 0, "mu.W": 0, "logvar.W": 0}  # the axis of units


def renumbered(arrays, order):
    """The same weights, or gradients, with the encoder's hidden units in another order."""
    return {n: np.take(a, order, HIDDEN[n]) if n in HIDDEN else a for n, a in arrays.items()}


def twin(model, order):
    """The same function as model, added up in another order."""
    other = build("numpy", model.dtype, model.params["mu.W"].shape[0])
    for name, p in renumbered(model.params, order).items():
        other.params[name][...] = p
    return other


# %% tags=["answer"]
def gradients(model, x, noise):
    """Of the mean objective, on the host."""
    _, cache = model.objective(x, noise)
    grads = model.backward(np.full(len(x), 1 / len(x)), cache)
    return {name: to_numpy(g) for name, g in grads.items()}


def off(one, other):
    """The largest difference over all arrays, in units of the largest entry of each."""
    return max(np.abs(one[n] - other[n]).max() / np.abs(one[n]).max() for n in one)


# %% tags=["answer"]
rounding = {}
for dtype in ("float32", "float64"):
    model, found = build("numpy", dtype), []
    for seed in range(10):
        order = np.random.default_rng(seed).permutation(50)
        theirs = gradients(twin(model, order), images, eps)
        found.append(off(gradients(model, images, eps), renumbered(theirs, np.argsort(order))))
    rounding[dtype] = max(found)
left_out = off(gradients(host, images, eps), gradients(host, images[:-1], eps[:-1]))
parity = off(gradients(host, images, eps), gradients(device, images, eps))
print("another order:", {name: f"{size:.0e}" for name, size in rounding.items()})
print("your guess:", guess)
print(f"one image of 128 left out: {left_out:.0e}")
print(f"host and {'GPU' if on_gpu else 'stand-in'}: {parity:.0e}")

assert 0 < rounding["float64"] < 1e-13 < rounding["float32"] < 1e-5
# spoil: rounding["float64"] = 0.0
assert left_out > 100 * 1e-4  # of the wider tolerance below
# spoil: left_out = rounding["float32"]
assert parity <= (1e-4 if on_gpu else 0)
# spoil: parity = left_out

# %% [markdown]
# So two machines agree if they agree within rounding, and the tests of this package ask for $10^{-4}$ in float32 and
# $10^{-10}$ in float64. A bug as small as one image left out of 128 is far above both. (The stand-in adds in NumPy's
# order, and differs by 0. That it ran shows that no arrays were mixed; the 0 says nothing about a GPU's rounding.)
#
# ### Does training make it grow?
#
# > **Often said.** "Training amplifies rounding: after some epochs the weights are different, and just as good."
# >
# > **What is true.** It may, and it need not.
# >
# > **Run this cell.** It trains twins, five pairs for each of two step sizes. *Before you look:* how far apart are
# > their weights after 150 steps, if the step size is 0.001? If it is 0.03?


# %%
def trained_twins(lr, seed, steps=150, B=32, width=30):
    """Distance of the twins' weights, every fifth step, and the test ELBO of each."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(width)
    one = build("numpy", width=width, seed=seed)
    pair, adams, apart = (one, twin(one, order)), (Adam(lr=lr), Adam(lr=lr)), []
    x = (data.x_train[:2000] >= 128).astype("float32")
    for step in range(1, steps + 1):
        rows, noise = rng.integers(0, 2000, B), one.draw_eps(B, rng)
        for model, adam in zip(pair, adams, strict=True):
            _, cache = model.objective(x[rows], noise)
            adam.step(model.params, model.backward(np.full(B, -1 / B), cache))
        if step % 5 == 0:
            back = renumbered(pair[1].params, np.argsort(order))
            apart.append(max(np.abs(p - back[name]).max() for name, p in one.params.items()))
    test, noise = (data.x_test[:300] >= 128).astype("float32"), one.draw_eps(300, rng)
    return apart, [float(m.objective(test, noise)[0].elbo.mean()) for m in pair]


# %% tags=["answer"]
fig, ax = panels(
    height=3.0, yscale="log", xlabel="step", ylabel="largest difference of a weight"
)
last, gaps = {}, {}
for lr, colour, style in ((0.001, BLUE, "-"), (0.03, VERMILLION, "--")):
    runs = [trained_twins(lr, seed) for seed in range(5)]
    for seed, (apart, _) in enumerate(runs):
        label = f"step size {lr:g}" if seed == 0 else None
        ax.plot(5 * np.arange(1, 31), apart, style, color=colour, linewidth=1.2, label=label)
    last[lr] = np.array([apart[-1] for apart, _ in runs])
    gaps[lr] = np.abs([one - other for _, (one, other) in runs])  # (5,)
    print(f"step size {lr:<5g}: weights apart by {last[lr].min():.0e} to {last[lr].max():.0e},")
    print(f"    test ELBOs by {gaps[lr].min():.0e} to {gaps[lr].max():.0e} nat")
ax.legend(frameon=False)
show(
    fig,
    "Ten curves on a logarithmic axis. The five of the step size 0.001 stay below a millionth; the"
    " five of 0.03 begin near a millionth and have climbed to about 1 after 130 steps.",
)

assert np.median(last[0.001]) < 1e-5
# spoil: last[0.001] = last[0.03]
assert gaps[0.001].max() < 0.01
# spoil: gaps[0.001] = gaps[0.03]
assert np.median(last[0.03]) > 0.3
# spoil: last[0.03] = last[0.001]
assert gaps[0.03].max() > 1
# spoil: gaps[0.03] = gaps[0.001]

# %% [markdown]
# With the small step these twins stay where rounding put them, and their ELBOs agree. (A few other seeds go further: of
# 200 pairs the furthest was apart by 0.0007.) With the large step they part until weights differ by about 1, and some
# of their ELBOs are nats apart, although nothing but the order of sums was different. So compare a run on a GPU with
# one on NumPy by the test ELBO, and only where twins on NumPy agree in theirs.

# %% [markdown]
# ## Your progress

# %%
progress("gpu")

# %% [markdown]
# ## Recap
#
# 1. **The library.** `xp = get_xp(x)`: from the array, with no global switch.
# 2. **The border.** What crosses it is written out, in the right dtype. The line that raises is often not the line to
#    blame.
# 3. **Kernels.** As many as there are operations, whatever the sizes; of this model's step more than half are Adam's.
# 4. **Waits.** Looking at a number is one. Add on the device, look once.
# 5. **A clock.** Wait before each reading, and leave the first step out.
#
# ## On your own
#
# 1. Write `if terms.elbo.mean() > best:` into a training loop. How many waits does that add to 200 steps?
# 2. Write the KL with fewer than seven kernels. What do `xp.expm1` and the `out` argument change, and what do they not?
# 3. Renumber the latents instead of the hidden units (in both heads, in the decoder's first layer and in the noise).
#    Is the difference as small?
# 4. At which step size between 0.001 and 0.03 do twins begin to part? Is it the same for every seed?
# 5. *A small project.* If you have a GPU, time steps for widths from 50 to 4,000 on both libraries. Where do the two
#    curves cross, and is the GPU's flat before that?
#
# ## Further reading
#
# - [What has been tried on a GPU, and how it is tested without one](../docs/gpu.md).
# - The user guide of CuPy: *Differences between CuPy and NumPy*, *Performance Best Practices*.
# - David Goldberg, *What Every Computer Scientist Should Know About Floating-Point Arithmetic* (1991).
#
# [Back: the latent space](12_the_latent_space.ipynb) · [Contents](README.md) ·
# [Next: the bug museum](15_the_bug_museum.ipynb)
