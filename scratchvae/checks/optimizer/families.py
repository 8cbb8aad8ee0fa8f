"""The usual optimizers, and their usual slips, from the gradients alone.

What an optimizer does is compared with all slips of the rule that its reference follows, over all steps and all entries
at once.
"""

import numpy as np

from scratchvae.checks.optimizer.adam import ADAM, ADAMW
from scratchvae.checks.optimizer.rules import Family, Slip, before, memory

SGD = Family(
    ("lr", "momentum"),
    lambda r: r.velocity,
    "v = momentum * v + grad; param -= lr * v",
    (
        Slip("there is no momentum: each step is that of the gradient alone", lambda r: r.g),
        Slip("the momentum has the wrong sign", lambda r: memory(r.g, -r.momentum), "sign"),
        Slip("the gradient enters v times 1 - momentum", lambda r: (1 - r.momentum) * r.velocity, "factor"),
        Slip("it is Nesterov's momentum, which looks one step ahead", lambda r: r.g + r.momentum * r.velocity),
        Slip("the momentum is applied twice", lambda r: memory(r.g, r.momentum**2)),
        Slip("the momentum is missing from v, which sums all gradients", lambda r: memory(r.g, 1.0), "factor"),
        Slip("the step uses v of the step before", lambda r: before(r.velocity)),
        Slip("v is multiplied by the momentum once more in the step", lambda r: r.momentum * r.velocity, "factor"),
        Slip(
            "the gradient is left out of v at the first step",
            lambda r: memory(np.concatenate([0 * r.g[:1], r.g[1:]]), r.momentum),
        ),
    ),
)
NESTEROV = Family(
    ("lr", "momentum"),
    lambda r: r.g + r.momentum * r.velocity,
    "v = momentum * v + grad; param -= lr * (grad + momentum * v)",
    (
        Slip("it is plain momentum, which does not look ahead", lambda r: r.velocity),
        Slip("there is no momentum: each step is that of the gradient alone", lambda r: r.g),
        Slip("the step takes momentum * v alone, without the gradient", lambda r: r.momentum * r.velocity),
        Slip("the step takes v of the step before", lambda r: r.g + r.momentum * before(r.velocity)),
        Slip("v enters the step without the momentum", lambda r: r.g + r.velocity, "factor"),
    ),
)
RMSPROP = Family(
    ("lr", "rho", "tiny"),
    lambda r: r.g / (np.sqrt(r.square) + r.tiny),
    "s = rho * s + (1 - rho) * grad^2; param -= lr * grad / (sqrt(s) + tiny)",
    (
        Slip("the root of s is missing", lambda r: r.g / (r.square + r.tiny), "elementwise-factor"),
        Slip("tiny stands inside the root", lambda r: r.g / np.sqrt(r.square + r.tiny), "elementwise-factor"),
        Slip("tiny is missing", lambda r: r.g / np.sqrt(r.square)),
        Slip(
            "the square enters s without 1 - rho", lambda r: r.g / (np.sqrt(memory(r.g**2, r.rho)) + r.tiny), "factor"
        ),
        Slip("s sums all squares (it is Adagrad)", lambda r: r.g / (np.sqrt(r.s) + r.tiny)),
        Slip("s holds the last square alone", lambda r: r.g / (np.sqrt((1 - r.rho) * r.g**2) + r.tiny)),
        Slip(
            "rho and 1 - rho have changed places",
            lambda r: r.g / (np.sqrt(r.rho * memory(r.g**2, 1 - r.rho)) + r.tiny),
            "transpose",
        ),
        Slip(
            "s averages |grad|, not its square",
            lambda r: r.g / (np.sqrt((1 - r.rho) * memory(np.abs(r.g), r.rho)) + r.tiny),
            "elementwise-factor",
        ),
        Slip("s is used before the new square enters", lambda r: r.g / (np.sqrt(before(r.square)) + r.tiny)),
        Slip("the gradient is not divided by sqrt(s)", lambda r: r.g, "elementwise-factor"),
    ),
)
ADAGRAD = Family(
    ("lr", "tiny"),
    lambda r: r.g / (np.sqrt(r.s) + r.tiny),
    "s += grad^2; param -= lr * grad / (sqrt(s) + tiny)",
    (
        Slip("s holds the last square alone, not the sum", lambda r: r.g / (np.abs(r.g) + r.tiny)),
        Slip("s is the mean of the squares, not their sum", lambda r: r.g / (np.sqrt(r.s / r.t) + r.tiny), "factor"),
        Slip("the root of s is missing", lambda r: r.g / (r.s + r.tiny), "elementwise-factor"),
        Slip("tiny stands inside the root", lambda r: r.g / np.sqrt(r.s + r.tiny), "elementwise-factor"),
        Slip("tiny is missing", lambda r: r.g / np.sqrt(r.s)),
        Slip(
            "s sums |grad|, not its square",
            lambda r: r.g / (np.sqrt(np.cumsum(np.abs(r.g), 0)) + r.tiny),
            "elementwise-factor",
        ),
        Slip("s is used before the new square is added", lambda r: r.g / (np.sqrt(before(r.s)) + r.tiny)),
        Slip(
            "s forgets (it is RMSprop, with 0.9)",
            lambda r: r.g / (np.sqrt(0.1 * memory(r.g**2, 0.9)) + r.tiny),
        ),
        Slip(
            "s forgets (it is RMSprop, with 0.99)",
            lambda r: r.g / (np.sqrt(0.01 * memory(r.g**2, 0.99)) + r.tiny),
        ),
        Slip("the gradient is not divided by sqrt(s)", lambda r: r.g, "elementwise-factor"),
    ),
)
FAMILIES = (SGD, NESTEROV, ADAGRAD, RMSPROP, ADAM, ADAMW)
