"""The usual optimizers, and their usual slips, from the gradients alone.

What an optimizer does is compared with all slips of the rule that its reference follows, over all steps and all entries
at once.
"""

import numpy as np

from scratchvae.checks.optimizer.adam import ADAM
from scratchvae.checks.optimizer.averages import ADADELTA, CENTRED, LION, SIGNS, SIGNUM
from scratchvae.checks.optimizer.kin import ADAMAX, ADAMAX_INSIDE, AMSGRAD, AMSGRAD_LATE, NADAM, NADAM_PLAIN
from scratchvae.checks.optimizer.rules import Family, Run, Slip, before, memory


def started_at(r: Run, start: float) -> np.ndarray:
    """RMSprop with another s before the first step."""
    return r.g / (np.sqrt(r.square + start * r.rho**r.t) + r.tiny)


def dampened(r: Run) -> np.ndarray:
    """v with 1 - momentum before every gradient but the first."""
    return memory(np.concatenate([r.g[:1], (1 - r.momentum) * r.g[1:]]), r.momentum)


SGD = Family(
    "SGD",
    ("momentum",),
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
        Slip("from step 2 on the gradient enters v times 1 - momentum", dampened, "factor"),
        Slip(
            "v remembers the gradient of one step before, and none that is older",
            lambda r: r.g + r.momentum * before(r.g),
        ),
    ),
)
AVERAGE = Family(
    "momentum that averages",
    ("momentum",),
    lambda r: (1 - r.momentum) * r.velocity,
    "v = momentum * v + (1 - momentum) * grad; param -= lr * v",
    (
        Slip("there is no momentum: each step is that of the gradient alone", lambda r: r.g),
        Slip("there is no momentum, and 1 - momentum is left", lambda r: (1 - r.momentum) * r.g),
        Slip("the gradient enters v without 1 - momentum", lambda r: r.velocity, "factor"),
        Slip("the step uses v of the step before", lambda r: (1 - r.momentum) * before(r.velocity)),
        Slip(
            "momentum and 1 - momentum have changed places",
            lambda r: r.momentum * memory(r.g, 1 - r.momentum),
            "transpose",
        ),
        Slip(
            "v is corrected for its bias, as Adam does it",
            lambda r: (1 - r.momentum) * r.velocity / (1 - r.momentum**r.t),
            "factor",
        ),
        Slip("v starts at the first gradient, not at 0", lambda r: dampened(r)),
    ),
)
WITHOUT_MOMENTUM = (  # slips of SGD where the momentum is 0
    Slip(
        "all gradients so far are summed, where each step is that of its own gradient",
        lambda r: memory(r.g, 1.0),
        repair="param -= lr * grad",
    ),
    Slip("the step uses the gradient of the step before", lambda r: before(r.g), repair="param -= lr * grad"),
)
NESTEROV = Family(
    "Nesterov's momentum",
    ("momentum",),
    lambda r: r.g + r.momentum * r.velocity,
    "v = momentum * v + grad; param -= lr * (grad + momentum * v)",
    (
        Slip("it is plain momentum, which does not look ahead", lambda r: r.velocity),
        Slip("there is no momentum: each step is that of the gradient alone", lambda r: r.g),
        Slip("the step takes momentum * v alone, without the gradient", lambda r: r.momentum * r.velocity),
        Slip("the step takes v of the step before", lambda r: r.g + r.momentum * before(r.velocity)),
        Slip("the step is v of the step before alone: it is 0 at first", lambda r: before(r.velocity)),
        Slip(
            "the step is (1 + momentum) * v, from which momentum * v of the step before is not taken away",
            lambda r: (1 + r.momentum) * r.velocity,
        ),
        Slip(
            "v and v of the step before have changed places",
            lambda r: (1 + r.momentum) * before(r.velocity) - r.momentum * r.velocity,
            "transpose",
        ),
        Slip("v enters the step without the momentum", lambda r: r.g + r.velocity, "factor"),
        Slip(
            "the momentum stands before the gradient, where it belongs before v",
            lambda r: r.momentum * r.g + r.velocity,
            "transpose",
        ),
        Slip(
            "v of the step before enters the step with the wrong sign",
            lambda r: (1 + r.momentum) * r.velocity + r.momentum * before(r.velocity),
            "sign",
            "with v = momentum * v - lr * grad: param += (1 + momentum) * v - momentum * v_before",
        ),
    ),
)
RMSPROP = Family(
    "RMSprop",
    ("rho", "tiny"),
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
        Slip(
            "s is corrected for its bias, as Adam does it",
            lambda r: r.g / (np.sqrt(r.square / (1 - r.rho**r.t)) + r.tiny),
            "factor",
        ),
        Slip("s starts at 1, not at 0", lambda r: started_at(r, 1.0)),
        Slip("s starts at 0.1, not at 0", lambda r: started_at(r, 0.1)),
        Slip(
            "s starts at the first square, not at 0",
            lambda r: r.g / (np.sqrt(r.square + r.rho**r.t * r.g[:1] ** 2) + r.tiny),
        ),
        Slip(
            "s is centred: the square of the mean gradient is taken away",
            lambda r: r.g / (np.sqrt(r.square - (memory(r.g, r.rho) * (1 - r.rho)) ** 2) + r.tiny),
        ),
        Slip("the gradient is not divided by sqrt(s)", lambda r: r.g, "elementwise-factor"),
    ),
)
ADAGRAD = Family(
    "Adagrad",
    ("tiny",),
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
        Slip("s starts at 1, not at 0", lambda r: r.g / (np.sqrt(r.s + 1) + r.tiny)),
        Slip("s starts at 0.1, not at 0", lambda r: r.g / (np.sqrt(r.s + 0.1) + r.tiny)),
        Slip(
            "s starts at 0.1, not at 0, and tiny is missing",
            lambda r: r.g / np.sqrt(r.s + 0.1),
        ),
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
FAMILIES = (
    *(SGD, AVERAGE, NESTEROV, ADAGRAD, RMSPROP, CENTRED, ADAM),
    *(ADAMAX, ADAMAX_INSIDE, NADAM, NADAM_PLAIN, AMSGRAD, AMSGRAD_LATE, LION, SIGNS, SIGNUM, ADADELTA),
)
OFTEN_CLIPPED = (SGD, AVERAGE, NESTEROV, RMSPROP, ADAM)
